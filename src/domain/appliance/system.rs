//! The two systems an appliance may run: how a service is asked about, where files lie. Data, and nothing that decides.

use serde::{Deserialize, Serialize};

use super::super::guest::Guest;
use super::answer::Gave;

/// Options of Alpine's service for the rules: it loads them and never writes them.
const RULES_AS_THEY_ARE: &str =
    "IPTABLES_SAVE=\"/etc/iptables/rules-save\"\nSAVE_RESTORE_OPTIONS=\"\"\nSAVE_ON_STOP=\"no\"\nIPFORWARD=\"no\"\n";

/// The options that Debian starts dnsmasq with.
pub const DNSMASQ_OPTIONS: &str = "/etc/default/dnsmasq";

/// A system an appliance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// Alpine with OpenRC.
    Alpine,
    /// Debian with systemd.
    Debian,
}

/// A service of the appliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// DHCP and DNS.
    Dnsmasq,
    /// The way in to apps.
    Caddy,
    /// Loads the rules at boot.
    Rules,
    /// Sets the kernel's values at boot.
    Sysctl,
    /// Asks for the appliance's own address on the way out.
    Lease,
}

/// What a service's own exit status says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// It runs.
    Up,
    /// It is on its way, up or down; the word.
    Between(&'static str),
    /// It does not run; the word.
    Down(&'static str),
    /// The status is none that is known.
    Odd(i32),
}

/// What starts with the appliance, in the order in which it is asked about.
pub const AT_BOOT: [Service; 4] = [Service::Sysctl, Service::Rules, Service::Dnsmasq, Service::Caddy];

impl System {
    /// The system of a container by its configured `ostype`; `None` for one that Proximity cannot drive.
    pub fn of(guest: &Guest) -> Option<System> {
        match guest.ostype.as_deref()? {
            "alpine" => Some(System::Alpine),
            "debian" => Some(System::Debian),
            _ => None,
        }
    }

    /// `Alpine`, `Debian`.
    pub fn word(self) -> &'static str {
        match self {
            System::Alpine => "Alpine",
            System::Debian => "Debian",
        }
    }

    /// Packages it needs beside the base. Of busybox come `nslookup` and `wget`, the same on both systems.
    pub fn packages(self) -> &'static [&'static str] {
        match self {
            System::Alpine => &["dnsmasq", "caddy", "iptables", "iproute2"],
            System::Debian => &["dnsmasq", "caddy", "iptables", "iptables-persistent", "iproute2", "procps", "busybox"],
        }
    }

    /// The service's name there.
    pub fn service(self, service: Service) -> &'static str {
        match (self, service) {
            (_, Service::Dnsmasq) => "dnsmasq",
            (_, Service::Caddy) => "caddy",
            (System::Alpine, Service::Rules) => "iptables",
            (System::Debian, Service::Rules) => "netfilter-persistent",
            (System::Alpine, Service::Sysctl) => "sysctl",
            (System::Debian, Service::Sysctl) => "systemd-sysctl",
            (_, Service::Lease) => "networking",
        }
    }

    /// Asks whether a service runs; the answer is the exit status, see [`System::run`].
    pub fn status(self, service: Service) -> [&'static str; 3] {
        match self {
            System::Alpine => ["rc-service", self.service(service), "status"],
            System::Debian => ["systemctl", "is-active", self.service(service)],
        }
    }

    /// Reads the exit status of [`System::status`] (OpenRC: facts §12.1; systemd: systemctl(1), LSB).
    pub fn run(self, status: i32) -> Run {
        match (self, status) {
            (_, 0) => Run::Up,
            (System::Alpine, 3) => Run::Down("stopped"),
            (System::Alpine, 4) => Run::Between("stopping"),
            (System::Alpine, 8) => Run::Between("starting"),
            (System::Alpine, 16) => Run::Between("inactive"),
            (System::Alpine, 32) => Run::Down("crashed"),
            (System::Alpine, 64) => Run::Between("unsupervised: its supervisor is gone"),
            (System::Alpine, 1) => Run::Down("not installed as a service"),
            (System::Debian, 3) => Run::Down("not active"),
            (System::Debian, 4) => Run::Down("not installed as a service"),
            (_, odd) => Run::Odd(odd),
        }
    }

    /// Restarts a service.
    pub fn restart(self, service: Service) -> [&'static str; 3] {
        match self {
            System::Alpine => ["rc-service", self.service(service), "restart"],
            System::Debian => ["systemctl", "restart", self.service(service)],
        }
    }

    /// Stops a service.
    pub fn stop(self, service: Service) -> [&'static str; 3] {
        match self {
            System::Alpine => ["rc-service", self.service(service), "stop"],
            System::Debian => ["systemctl", "stop", self.service(service)],
        }
    }

    /// Has a service started at boot.
    pub fn enable(self, service: Service) -> Vec<&'static str> {
        match (self, service) {
            (System::Alpine, Service::Sysctl) => vec!["rc-update", "-q", "add", "sysctl", "boot"],
            (System::Alpine, _) => vec!["rc-update", "-q", "add", self.service(service), "default"],
            (System::Debian, _) => vec!["systemctl", "enable", "--quiet", self.service(service)],
        }
    }

    /// Asks whether a service is started at boot: success or not.
    pub fn is_enabled(self, service: Service) -> Vec<String> {
        match self {
            System::Alpine => vec!["test".into(), "-e".into(), self.in_runlevel(service)],
            System::Debian => ["systemctl", "is-enabled", "--quiet", self.service(service)].map(str::to_owned).into(),
        }
    }

    /// Where Alpine keeps that a service is started at boot.
    fn in_runlevel(self, service: Service) -> String {
        let level = if service == Service::Sysctl { "boot" } else { "default" };
        format!("/etc/runlevels/{level}/{}", self.service(service))
    }

    /// Asks the same of all in [`AT_BOOT`] at once; the answer is for [`System::starts`].
    pub fn all_enabled(self) -> Vec<String> {
        let head: &[&str] = match self {
            System::Alpine => &["ls", "-d"],
            System::Debian => &["systemctl", "show", "--property=Id,UnitFileState"],
        };
        let of = |service| match self {
            System::Alpine => self.in_runlevel(service),
            System::Debian => format!("{}.service", self.service(service)),
        };
        head.iter().map(|w| (*w).to_owned()).chain(AT_BOOT.map(of)).collect()
    }

    /// Reads it: which of them start. `None` for what is no answer. What systemd calls enabled is what `is-enabled` does.
    pub fn starts(self, gave: &Gave) -> Option<Vec<(Service, bool)>> {
        const ENABLED: [&str; 6] = ["enabled", "enabled-runtime", "static", "alias", "indirect", "generated"];
        let text = gave.text();
        match self {
            // It fails where one of them is missing, and lists the others.
            System::Alpine if gave.status <= 2 => Some(AT_BOOT.map(|s| (s, text.lines().any(|l| l == self.in_runlevel(s)))).into()),
            System::Debian if gave.status == 0 => {
                let states: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("UnitFileState=")).collect();
                (states.len() == AT_BOOT.len()).then(|| AT_BOOT.into_iter().zip(states.iter().map(|s| ENABLED.contains(s))).collect())
            }
            _ => None,
        }
    }

    /// Asks whether the start of the system has come to rest, and what it says then.
    pub fn at_rest(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            System::Alpine => (&["rc-status", "-r"], &["default"]),
            // Its exit status is 1 when something failed at the start; that is not asked here.
            System::Debian => (&["systemctl", "show", "--property=SystemState", "--value"], &["running", "degraded"]),
        }
    }

    /// Fetches and installs the packages.
    pub fn install(self) -> Vec<Vec<String>> {
        let with = |head: &[&str]| head.iter().chain(self.packages()).map(|w| (*w).to_owned()).collect();
        match self {
            System::Alpine => vec![with(&["apk", "add", "--no-cache", "--no-progress"])],
            System::Debian => vec![
                // Without the option it says that all is well where nothing could be fetched (apt-get(8)).
                ["apt-get", "-qq", "--error-on=any", "update"].map(str::to_owned).into(),
                // Nobody answers a question about a file that is ours already, and a system that looks for updates after its
                // first start is waited for.
                with(&[
                    "env",
                    "DEBIAN_FRONTEND=noninteractive",
                    "apt-get",
                    "-qq",
                    "-y",
                    "--no-install-recommends",
                    "-o",
                    "Dpkg::Options::=--force-confold",
                    "-o",
                    "DPkg::Lock::Timeout=300",
                    "install",
                ]),
            ],
        }
    }

    /// Asks whether the packages can be installed, where that must be found out before: success or not.
    pub fn installable(self) -> Option<Vec<&'static str>> {
        match self {
            System::Alpine => None,
            System::Debian => Some(["apt-cache", "--quiet", "show"].into_iter().chain(self.packages().iter().copied()).collect()),
        }
    }

    /// The programs that are there when the packages are.
    pub fn programs(self) -> &'static [&'static str] {
        &["dnsmasq", "caddy", "iptables-restore", "ip", "sysctl", "busybox"]
    }

    /// Files of this system alone: path, text in a shell's words, and who reads it.
    ///
    /// Whoever asks for an address leaves the resolver alone: busybox's default.script of Alpine; dhclient-script(8) and, from
    /// Debian 13 on, dhcpcd-run-hooks(8). And Debian starts dnsmasq with options of its own: not with a folder of more
    /// configuration, which could undo all of ours, and not with what resolvconf collects. Alpine saves the rules in force over
    /// its file of rules at each stop, and what is in force may be another's.
    pub fn own_files(self) -> &'static [(&'static str, &'static str, Service)] {
        match self {
            System::Alpine => &[
                ("/etc/conf.d/iptables", RULES_AS_THEY_ARE, Service::Rules),
                ("/etc/udhcpc/udhcpc.conf", "RESOLV_CONF=\"no\"\n", Service::Lease),
            ],
            System::Debian => &[
                (DNSMASQ_OPTIONS, "CONFIG_DIR=\nIGNORE_RESOLVCONF=yes\n", Service::Dnsmasq),
                ("/etc/dhcp/dhclient-enter-hooks.d/proximity", "make_resolv_conf() { :; }\n", Service::Lease),
                ("/etc/dhcpcd.enter-hook", "skip_hooks=\"$skip_hooks resolv.conf\"\n", Service::Lease),
            ],
        }
    }

    /// The file that loads the rules at boot.
    pub fn rules_file(self) -> &'static str {
        match self {
            System::Alpine => "/etc/iptables/rules-save",
            System::Debian => "/etc/iptables/rules.v4",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_starts_at_boot_is_told_for_each() {
        let of = |system: System, status, out: &str| {
            let all = system.starts(&Gave { status, out: out.into(), err: Vec::new() })?;
            Some(all.iter().map(|(s, starts)| format!("{} {starts}", system.service(*s))).collect::<Vec<_>>().join(" "))
        };
        let words = System::Alpine.all_enabled();
        assert_eq!(words[..3], ["ls", "-d", "/etc/runlevels/boot/sysctl"]);
        assert_eq!(of(System::Alpine, 0, &words[2..].join("\n")).unwrap(), "sysctl true iptables true dnsmasq true caddy true");
        assert_eq!(of(System::Alpine, 1, &words[3..5].join("\n")).unwrap(), "sysctl false iptables true dnsmasq true caddy false");
        assert_eq!(of(System::Alpine, 3, ""), None);
        let debian = "Id=systemd-sysctl.service\nUnitFileState=static\n\nUnitFileState=enabled\nId=netfilter-persistent.service\n\nId=dnsmasq.service\nUnitFileState=masked\n\nId=caddy.service\nUnitFileState=\n";
        assert_eq!(of(System::Debian, 0, debian).unwrap(), "systemd-sysctl true netfilter-persistent true dnsmasq false caddy false");
        assert_eq!(of(System::Debian, 0, "UnitFileState=enabled\n"), None);
    }

    #[test]
    fn only_a_zero_says_that_it_runs() {
        for system in [System::Alpine, System::Debian] {
            for status in -1..=255 {
                assert_eq!(system.run(status) == Run::Up, status == 0, "{system:?} {status}");
            }
        }
        assert_eq!(System::Alpine.run(32), Run::Down("crashed"));
        assert_eq!(System::Debian.run(32), Run::Odd(32));
    }
}
