//! The one table of settings. Screen, command line, validation, manual and JSON are made from it.

use super::Category::{Backups, Network, Ports, Proxmox, Resources, System};
use super::{Category, Definition, Kind};
use crate::domain::second;

const fn of(category: Category, name: &'static str, kind: Kind, default: &'static str, example: &'static str) -> Definition {
    Definition { category, name, kind, default, example, unit: "", rule: "", help: "", applies: "", used: true }
}

impl Definition {
    const fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }
    const fn rule(self, rule: &'static str) -> Self {
        Self { rule, ..self }
    }
    /// What it means, and when a change of it is felt.
    const fn help(self, help: &'static str, applies: &'static str) -> Self {
        Self { help, applies, ..self }
    }
    /// Kept and checked, but no part of the program asks for it yet.
    const fn unused(self) -> Self {
        Self { used: false, ..self }
    }
}

const MODES: Kind = Kind::Word(&["snapshot", "suspend", "stop"]);
const COMPRESSIONS: Kind = Kind::Word(&["zstd", "gzip", "lzo", "none"]);
const LEVELS: Kind = Kind::Word(&["error", "warn", "info", "debug"]);
const THEMES: Kind = Kind::Word(&["colour", "mono", "ascii", "plain"]);
const UPDATES: Kind = Kind::Word(&["never", "tell"]);

/// All settings, in the order of the screen. A default of nothing is *not set*.
pub static DEFINITIONS: [Definition; 45] = [
    of(Proxmox, "hosts", Kind::Hosts, "", "pve1.example.org, 10.1.2.30")
        .help("Hosts of the Proxmox interface. The first is asked.", "once it was tried: P, or settings test proxmox --save"),
    of(Proxmox, "port", Kind::Number { least: 1, most: 65535 }, "8006", "8006")
        .help("Port of the Proxmox interface.", "once it was tried: P, or settings test proxmox --save"),
    of(Proxmox, "user", Kind::Account, "", "root@pam!proximity").help(
        "Who Proximity is for Proxmox: a token (user@realm!name) or a user.",
        "once it was tried: P, or settings test proxmox --save",
    ),
    of(Proxmox, "secret", Kind::Secret, "", "").help(
        "The token's secret, or the user's password. Sealed in the vault and never shown again.",
        "once it was tried: P, or settings test proxmox --save",
    ),
    of(Proxmox, "ca", Kind::Path, "", "/etc/pve/pve-root-ca.pem").help(
        "File with the authority that signed the host's certificate. Not set: those of the system.",
        "once it was tried: P, or settings test proxmox --save",
    ),
    of(Proxmox, "fingerprint", Kind::Fingerprint, "", "AB:CD:… (32 pairs)").help(
        "SHA-256 of the one certificate that is accepted, whoever signed it.",
        "once it was tried: P, or settings test proxmox --save",
    ),
    of(Network, "subnet", Kind::Net, "10.20.0.0/24", "10.20.0.0/24")
        .rule("holds the gateway and the DHCP range")
        .help("Network of the apps, behind the appliance.", "when the appliance is converged"),
    of(Network, "gateway", Kind::Address, "10.20.0.1", "10.20.0.1")
        .rule("in the subnet, outside the DHCP range")
        .help("Address of the appliance in the network of the apps.", "when the appliance is converged"),
    of(Network, "dhcp", Kind::Range, "10.20.0.100-10.20.0.250", "10.20.0.100-10.20.0.250")
        .rule("in the subnet, in order, without the gateway and fixed addresses")
        .help("Addresses that are given out to apps.", "when the appliance is converged, at each app's next lease"),
    of(Network, "lease", Kind::Span { least: 120, most: 31_536_000 }, "12 h", "12 h")
        .help("How long an address is lent.", "when the appliance is converged, at each app's next lease"),
    of(Network, "domain", Kind::Domain, "prox.local", "prox.local").help("Apps are called NAME.DOMAIN.", "when the appliance is converged"),
    of(Network, "upstream", Kind::Addresses, "1.1.1.1", "1.1.1.1, 9.9.9.9")
        .help("DNS servers that are asked for all other names.", "when the appliance is converged"),
    of(Network, "wan_bridge", Kind::Interface, "vmbr0", "vmbr0")
        .rule("another one than the LAN bridge")
        .help("Bridge of the host that leads out.", "when the appliance is converged"),
    of(Network, "lan_bridge", Kind::Interface, "proximity-lan", "proximity-lan")
        .rule("another one than the WAN bridge")
        .help("Bridge of the apps.", "when the appliance is converged"),
    of(Resources, "memory", Kind::Number { least: 16, most: 4_194_304 }, "2048", "2048")
        .unit("MiB")
        .help("Memory of a new app.", "for new apps only")
        .unused(),
    of(Resources, "cores", Kind::Number { least: 1, most: 512 }, "2", "2").help("Processors of a new app.", "for new apps only").unused(),
    of(Resources, "disk", Kind::Number { least: 1, most: 131_072 }, "8", "8")
        .unit("GiB")
        .help("Root disk of a new app.", "for new apps only")
        .unused(),
    of(Resources, "storage", Kind::Storage, "local-lvm", "local-lvm")
        .help("Storage of the disks of a new app, and of the appliance.", "for new apps only"),
    of(Resources, "template", Kind::Volume, "", "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst")
        .help("Template of a new app that names none itself.", "for new apps only")
        .unused(),
    of(Ports, "public", Kind::Ports, "30000-30999", "30000-30999").rule("as many as internal ones, none in both").help(
        "Ports of the appliance under which apps are reached from outside.",
        "for new ports at once; in the appliance when it is converged",
    ),
    of(Ports, "internal", Kind::Ports, "40000-40999", "40000-40999")
        .rule("as many as public ones, none in both")
        .help("Ports of the appliance for trusted sources.", "for new ports at once; in the appliance when it is converged"),
    of(Ports, "cool_down", Kind::Span { least: 0, most: 31_536_000 }, "7 d", "7 d")
        .help("How long a port that was given back is given to nobody else.", "for ports given back from then on"),
    of(Ports, "quota", Kind::Number { least: 0, most: 32_768 }, "", "50")
        .help("How many things may be published at most. Not set: as many as there are ports.", "for what is published from then on"),
    of(Ports, "trusted", Kind::Nets, "", "192.168.1.0/24, fd00::/8")
        .help("Who may use internal ports. Not set: the network of the apps only.", "when the appliance is converged"),
    of(Backups, "storage", Kind::Storage, "", "local")
        .rule("a storage that takes backups")
        .help("Where backups go. Not set: the storage with most room.", "at the next backup"),
    of(Backups, "mode", MODES, "snapshot", "snapshot")
        .help("What happens to a running guest: it runs on, is frozen for a moment, or is stopped.", "at the next backup"),
    of(Backups, "compression", COMPRESSIONS, "zstd", "zstd").help("How archives are packed.", "at the next backup"),
    of(Backups, "retention", Kind::Keep, "keep-all=1", "keep-last=3,keep-daily=7,keep-weekly=4")
        .help("What is kept of old backups by backup prune. No backup removes another.", "at the next backup prune"),
    of(Backups, "parallel", Kind::Number { least: 1, most: 16 }, "2", "1")
        .help("How many restores and drills to one storage run at once; others wait in the queue.", "at the next one that begins"),
    of(Backups, "aside_warn", Kind::Span { least: 3600, most: 31_536_000 }, "3 d", "14 d")
        .help("So long a container whose place another one took may stand aside before it is told.", "at the next look"),
    of(Backups, "window", Kind::Window, "", "01:00-05:00")
        .help("When backup drill --due may begin something, in the node's time. Not set: at any time.", "at the next run of the drills"),
    of(Backups, "drill_every", Kind::Span { least: 3600, most: 31_536_000 }, "7 d", "30 d")
        .help("backup drill --due takes the backups of a guest again when so long ago one came back.", "at the next run of the drills"),
    of(Backups, "drill_most", Kind::Number { least: 1, most: 100 }, "2", "5")
        .help("How many guests one run of backup drill --due takes at most.", "at the next run of the drills"),
    of(Backups, "drill_load", Kind::Number { least: 1, most: 1000 }, "80", "80").unit("%").help(
        "backup drill --due begins nothing while the load of the node is above so much of its processors.",
        "at the next run of the drills",
    ),
    of(Backups, "verify_most", Kind::Number { least: 0, most: 1000 }, "0", "5").help(
        "How many archives that nobody has read to their end one run of backup drill --due verifies; 0: none.",
        "at the next run of the drills",
    ),
    of(System, "log_level", LEVELS, "warn", "info").help("How much Proximity says of itself in the journal.", "at the next start").unused(),
    of(System, "refresh", Kind::Span { least: 2, most: 3600 }, "10 s", "10 s").help(
        "Time between two looks at the host. A configuration file, the environment or a flag goes before it.",
        "on all consoles, at once",
    ),
    of(System, "idle_lock", Kind::Span { least: 0, most: 86_400 }, "15 min", "15 min")
        .rule("never, or 1 min and more")
        .help("A console without a key for so long locks itself.", "on all consoles, at once"),
    of(System, "theme", THEMES, "colour", "mono")
        .help("Looks: colours, no colours, ASCII only, or plain: neither. Flags can only take more away.", "on all consoles, at once"),
    of(System, "updates", UPDATES, "tell", "tell")
        .help("What happens when a newer Proximity is there.", "when updates are looked for")
        .unused(),
    of(System, "read_only", Kind::Flag, "off", "on")
        .help("Refuse every plan that changes something. Only this setting itself can then be changed.", "everywhere, at once"),
    of(System, "second_person", Kind::Word(second::WORDS), "never", "interrupts")
        .rule("from that risk on; interrupts holds what destroys too")
        .help("Which plans need the yes of a second operator as well.", "everywhere, at once"),
    of(System, "strict_audit", Kind::Flag, "off", "on")
        .help("Refuse every change that cannot be written to the audit log first.", "everywhere, at once")
        .unused(),
    of(System, "cert_warn", Kind::Span { least: 3600, most: 31_536_000 }, "21 d", "30 d")
        .rule("not shorter than cert_bad")
        .help("So long before its end a certificate is to be looked at; one that is renewed by itself later.", "at the next look"),
    of(System, "cert_bad", Kind::Span { least: 3600, most: 31_536_000 }, "7 d", "3 d")
        .rule("not longer than cert_warn")
        .help("So long before its end a certificate is urgent; one that is renewed by itself later.", "at the next look"),
];
