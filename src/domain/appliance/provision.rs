//! What is there → the plan that builds the appliance, or brings it back to how it should be. The same steps for both: each
//! step's check is asked before the plan is shown, and what holds already is no step of it.

use ipnet::Ipv4Net;

use super::desired::{Desired, LAN, WAN};
use super::files::{self, CADDYFILE, DNSMASQ_CONF, IN_EFFECT, Made, SITES, SYSCTLS};
use super::hold::LeaseWish;
use super::judge::BridgeSeen;
use super::lease::Lease;
use super::system::{Service, System};
use super::{CADDY_LOG, LEASES, MARK, TAG, is_ours};
use crate::domain::change::{Change, Content, Place, Was};
use crate::domain::clean::clean;
use crate::domain::cmd::Cmd;
use crate::domain::guest::{Guest, Kind, Power, Vmid};
use crate::domain::interfaces::{Interfaces, NotChanged, Wish};
use crate::domain::plan::{Check, Plan, Purpose, Refusal, Risk, Step, Wants, digest};
use crate::domain::pve::{self, CreateOptions};
use crate::domain::settings::Value;
use crate::domain::stamp::bytes;
use crate::domain::storage::StorageId;
use crate::domain::world::World;

/// What is wished of the appliance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplianceWish {
    /// Build it, or go on where that was broken off.
    Provision(Options),
    /// Bring it back to how the settings want it.
    Converge,
    /// Restart one of its services.
    Restart(Service),
    /// The line still holds after a change of the host's network.
    Confirm,
    /// Make a lease static or not, or take it back.
    Lease(LeaseWish),
}

/// How it is to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Storage of its root disk; `None` takes that of the settings, else the one with most room.
    pub storage: Option<StorageId>,
    /// Volume of its template; `None` takes the newest of Alpine that is there.
    pub template: Option<String>,
    /// Fetch the newest template where none is there.
    pub download: bool,
    /// Its own address with prefix, and the gateway, on the way out; `None` asks by DHCP.
    pub address: Option<(Ipv4Net, std::net::Ipv4Addr)>,
    /// Seconds in which a change of the host's network must be confirmed, [`CONFIRM_S`].
    pub confirm_s: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options { storage: None, template: None, download: false, address: None, confirm_s: 120 }
    }
}

/// The shortest and the longest time for a confirmation, in seconds (TRUST T43).
pub const CONFIRM_S: (u32, u32) = (10, 600);

/// The unit that takes a change of the host's network back.
pub const REVERT_UNIT: &str = "proximity-revert-network";

/// What is kept of the file as it was until the change is confirmed.
pub const BEFORE: &str = "/etc/network/interfaces.proximity-before";

/// Files by path; `None` for one that is not there.
pub type Files = Vec<(String, Option<Vec<u8>>)>;

/// What the World does not tell and the plan needs.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The host's main network file and those it takes in, with their paths.
    pub interfaces: Vec<(String, Interfaces)>,
    /// Why not all of them are known.
    pub gap: Option<String>,
    /// What lies at [`BEFORE`]: a change of the network was begun and not ended.
    pub before: Option<Vec<u8>>,
    /// Whether the timer runs that would take it back.
    pub armed: bool,
    /// The bridge of the apps.
    pub bridge: Result<BridgeSeen, String>,
    /// Networks that the host reaches, with their interfaces.
    pub routes: Result<Vec<(Ipv4Net, String)>, String>,
    /// Volumes that are templates.
    pub templates: Result<Vec<String>, String>,
    /// Templates that can be fetched; asked only where one is to be.
    pub available: Result<Vec<String>, String>,
    /// The appliance's files that matter, where it runs: path and bytes. `None` where it does not.
    pub inside: Option<Result<Files, String>>,
    /// Whether Caddy runs there: it is then told about new files without an interruption.
    pub caddy_runs: bool,
}

/// The plan, or why it is refused. Steps whose checks hold already are still in it.
pub fn plan(world: &World, wish: &ApplianceWish, d: &Desired, ground: &Ground, vmid: Vmid) -> Result<Plan, Refusal> {
    let host = world.place.host.clone();
    let made = |title: String, steps, facts, risk| Plan {
        purpose: Purpose::Appliance,
        title,
        guest: vmid,
        host,
        facts,
        notes: d.notes.clone(),
        risk,
        steps,
    };
    let what = match wish {
        ApplianceWish::Provision(_) => format!("build the appliance {vmid}"),
        ApplianceWish::Converge => format!("bring the appliance {vmid} back to its settings"),
        ApplianceWish::Restart(service) => format!("restart {} in {vmid}", d.system.service(*service)),
        ApplianceWish::Confirm => "keep the change of the host's network".to_owned(),
        ApplianceWish::Lease(wish) => wish.words(),
    };
    let refuse = |why: String, hint: &str| Refusal::new(what.clone(), why, hint);
    let guest = ours(world, vmid).map_err(|(why, hint)| refuse(why, &hint))?;
    match wish {
        ApplianceWish::Confirm => Ok(made(what.clone(), vec![confirm()], Vec::new(), Risk::Low)),
        ApplianceWish::Restart(service) => {
            running(guest, vmid).map_err(|(why, hint)| refuse(why, hint))?;
            let facts = vec!["apps keep their addresses; what is asked of it in between is not answered".to_owned()];
            Ok(made(what.clone(), restart(d, vmid, *service), facts, Risk::Interrupts))
        }
        // A pin is in how it should be already.
        ApplianceWish::Converge | ApplianceWish::Lease(_) => {
            running(guest, vmid).map_err(|(why, hint)| refuse(why, hint))?;
            let mut steps = bridge(d, ground, Options::default().confirm_s).map_err(|(why, hint)| refuse(why, &hint))?;
            steps.extend(guest.into_iter().flat_map(|g| nics(d, g)));
            steps.extend(plug(d, ground, vmid));
            steps.extend(inside(d, ground, vmid, d.system).map_err(|why| refuse(why, "see appliance status"))?);
            Ok(made(what.clone(), steps, Vec::new(), Risk::Interrupts))
        }
        ApplianceWish::Provision(options) => {
            let mut facts = Vec::new();
            let mut steps = bridge(d, ground, options.confirm_s).map_err(|(why, hint)| refuse(why, &hint))?;
            clear(d, ground).map_err(|(why, hint)| refuse(why, &hint))?;
            let system = match guest {
                Some(_) => d.system,
                None => {
                    let chosen = choose(world, options, ground).map_err(|(why, hint)| refuse(why, &hint))?;
                    facts.push(format!("template {}, on storage {}", chosen.template, chosen.storage));
                    let system = chosen.system;
                    steps.extend(create(d, vmid, options, chosen));
                    system
                }
            };
            let d = Desired { system, ..d.clone() };
            if guest.is_none_or(|g| g.power != Power::Running) {
                let start = Step::run(format!("start {vmid}"), pve::pct("start", vmid).limit(120), Check::Running { vmid });
                steps.push(start.undone_by(pve::pct("stop", vmid)));
            }
            steps.extend(guest.into_iter().flat_map(|g| nics(&d, g)));
            steps.extend(settle(vmid, system));
            steps.extend(packages(vmid, system));
            steps.extend(inside(&d, ground, vmid, system).map_err(|why| refuse(why, "see appliance status"))?);
            Ok(made(what.clone(), steps, facts, Risk::Interrupts))
        }
    }
}

/// The plan that takes back a lease whose guest is gone.
pub fn release(world: &World, d: &Desired, vmid: Vmid, lease: &Lease) -> Result<Plan, Refusal> {
    let title = format!("take the lease of {} ({}) back in {vmid}", lease.address, lease.mac);
    let refuse = |(why, hint): (String, String)| Refusal::new(title.clone(), why, hint);
    let guest = ours(world, vmid).map_err(refuse)?;
    running(guest, vmid).map_err(|(why, hint)| refuse((why, hint.to_owned())))?;
    let name = d.system.service(Service::Dnsmasq);
    let mut steps = super::hold::release(d, vmid, lease);
    steps.push(works_by_its_file(d, vmid));
    Ok(Plan {
        purpose: Purpose::Appliance,
        title,
        guest: vmid,
        host: world.place.host.clone(),
        facts: vec![
            "no guest has its hardware address any more".into(),
            format!("while {name} is stopped nobody is lent an address and no name is answered"),
        ],
        notes: Vec::new(),
        risk: Risk::Interrupts,
        steps,
    })
}

/// Waits until dnsmasq answers by its file.
pub fn works_by_its_file(d: &Desired, vmid: Vmid) -> Step {
    Step { always: true, ..Step::wait("ask whether dnsmasq works by its file", 10, in_effect(d, vmid)) }
}

/// The appliance, if it is there; what stands under its id and is not Proximity's is never touched.
fn ours(world: &World, vmid: Vmid) -> Result<Option<&Guest>, (String, String)> {
    let guests =
        world.guests.known.as_ref().map_err(|why| (format!("the guests of this host are unknown: {why}"), "see doctor".to_owned()))?;
    let Some(guest) = guests.iter().find(|g| g.id == vmid) else {
        return match world.guests.from {
            crate::domain::world::From::Kernel => Err((format!("whether there is a guest {vmid} is unknown"), "see doctor".into())),
            _ => Ok(None),
        };
    };
    let title = guest.title();
    if guest.kind != Kind::Lxc {
        return Err((format!("{title} is a virtual machine and not Proximity's"), "give it another id; it is not touched".into()));
    }
    if !guest.conf_read {
        return Err((format!("the configuration of {vmid} could not be read, so whose it is is unknown"), "see doctor".into()));
    }
    if let Some(lock) = guest.lock.as_deref() {
        let left = if lock == "create" { ", perhaps by a creation that was broken off" } else { "" };
        let hint = format!("wait for what holds it; if nothing does, look at it: pct config {vmid}");
        return Err((format!("{title} is locked ({lock}){left}"), hint));
    }
    if is_ours(guest) {
        return Ok(Some(guest));
    }
    let hint = format!("give it another id; if it is the appliance after all, say so: pct set {vmid} --tags {TAG} --description '{MARK}'");
    Err((format!("{title} is not Proximity's: it lacks the tag '{TAG}' or the note '{MARK}'"), hint))
}

fn running(guest: Option<&Guest>, vmid: Vmid) -> Result<(), (String, &'static str)> {
    match guest.map(|g| g.power) {
        None => Err((format!("there is no appliance {vmid}"), "build it: proximity appliance provision")),
        Some(Power::Running) => Ok(()),
        Some(Power::Stopped) => Err((format!("{vmid} is stopped"), "start it: proximity guest start 9999")),
        Some(Power::Unknown) => Err((format!("whether {vmid} runs is unknown"), "see doctor")),
    }
}

/// The network of the apps must be nobody else's: the appliance stands between both.
fn clear(d: &Desired, ground: &Ground) -> Result<(), (String, String)> {
    let routes = ground.routes.as_ref().map_err(|why| (format!("the networks of the host are unknown: {why}"), "see doctor".to_owned()))?;
    let meets = |net: &Ipv4Net| net.prefix_len() > 0 && (net.contains(&d.lan) || d.lan.contains(net));
    match routes.iter().find(|(net, through)| meets(net) && through != d.lan_bridge.as_str()) {
        Some((net, through)) => Err((
            format!("the network of the apps {} overlaps {net}, which the host reaches through {}", d.lan, clean(through)),
            "choose another one: proximity settings set network.subnet".into(),
        )),
        None => Ok(()),
    }
}

/// The bridge of the apps, now and after a boot. Only this one interface is brought up: what others changed in the file and
/// did not apply stays as it is.
fn bridge(d: &Desired, ground: &Ground, confirm_s: u32) -> Result<Vec<Step>, (String, String)> {
    let name = d.lan_bridge.as_str();
    let seen = ground.bridge.as_ref().map_err(|why| (format!("the bridges of the host are unknown: {why}"), "see doctor".to_owned()))?;
    if let Some(why) = &ground.gap {
        return Err((format!("the network files of the host are not all known: {why}"), "see doctor".into()));
    }
    let stanza =
        ground.interfaces.iter().flat_map(|(path, f)| f.bridges().into_iter().map(move |b| (path, b))).find(|(_, b)| b.name == name);
    if let Some((path, bridge)) = &stanza {
        let port = bridge.ports.first().map(|p| format!("the port {}", clean(p)));
        let address = bridge.addresses.first().map(|a| format!("the host's address {}", clean(a)));
        if let Some(what) = port.or(address) {
            let hint = "apps would not be isolated; choose another name: proximity settings set network.lan_bridge";
            return Err((format!("the bridge {name} in {path} has {what}"), hint.into()));
        }
    }
    let ours = stanza.as_ref().is_some_and(|(_, b)| b.ours);
    if let Some(what) = in_use(seen).filter(|_| !ours) {
        let hint = "somebody uses it; choose another name: proximity settings set network.lan_bridge";
        return Err((format!("the bridge {name}, which Proximity did not make, has {what}"), hint.into()));
    }
    let up = Check::LinkUp { name: name.to_owned() };
    // A bridge that is there is only switched on: by its file nothing is plugged in, and ifup would pull the guests out.
    let cmd = if seen.up.is_some() { Cmd::new("ip", ["link", "set", "dev", name, "up"]) } else { Cmd::new("ifup", [name]).limit(60) };
    let bring_up = || Step::run(format!("bring {name} up"), cmd.clone(), up.clone());
    match (stanza, seen.up) {
        (Some((path, b)), _) if b.auto || b.ours => {
            let Some((_, file)) = ground.interfaces.iter().find(|(p, _)| p == path) else { return Ok(Vec::new()) };
            let mut steps = Vec::new();
            // Ours is brought back to how it should be; nothing is applied by that.
            if b.ours {
                let with = file
                    .change(&Wish::new(d.lan_bridge.clone(), None))
                    .map_err(|why| (format!("{path}: {why}"), "leave one".to_owned()))?;
                steps.extend((with != *file).then(|| Step::put(change(name, path, file, &with))));
            }
            steps.push(bring_up());
            steps.extend(without_address(name));
            if ground.armed {
                steps.push(word(confirm_s, path.clone(), digest(file.bytes())));
            }
            if let Some(old) = &ground.before {
                steps.push(forget(old.clone().into()));
            }
            Ok(steps)
        }
        (Some((path, _)), _) => {
            Err((format!("{name} stands in {path} without 'auto': it is not there after a boot"), "add it there".into()))
        }
        (None, there) => {
            if seen.staged {
                let why = "changes of the network wait in /etc/network/interfaces.new; applying them would take the bridge away again";
                return Err((why.into(), "apply or discard them on the Proxmox page, node, Network".into()));
            }
            let Some((path, file)) = ground.interfaces.first() else {
                return Err(("the host has no network file".into(), "see doctor".into()));
            };
            let with = file.add(&Wish::new(d.lan_bridge.clone(), None)).map_err(|why| {
                let hint = match why {
                    NotChanged::Unfinished => "end its last line",
                    _ => "choose another name: proximity settings set network.lan_bridge",
                };
                (format!("{path}: {why}"), hint.to_owned())
            })?;
            let old: Content = file.bytes().to_vec().into();
            let change = change(name, path, file, &with);
            // Nothing is applied to a bridge that is up: nobody's line can be cut.
            if there == Some(true) {
                return Ok(std::iter::once(Step::put(change)).chain(without_address(name)).collect());
            }
            let keep = Change {
                path: BEFORE.into(),
                was: ground.before.clone().into(),
                now: Some(old.clone()),
                test: Vec::new(),
                ..change.clone()
            };
            Ok(vec![
                Step::put(keep),
                arm(name, path, confirm_s),
                Step::put(change),
                bring_up().undone_by(Cmd::new("ip", ["link", "delete", "dev", name, "type", "bridge"])),
                word(confirm_s, path.clone(), digest(with.bytes())),
                forget(old),
            ])
        }
    }
}

/// What a bridge has that nobody but its owner may take away: addresses of the host, and ports that are no guest's.
fn in_use(seen: &BridgeSeen) -> Option<String> {
    const GUESTS: [&str; 4] = ["veth", "tap", "fwpr", "fwln"];
    let port = seen.ports.iter().find(|p| !GUESTS.iter().any(|g| p.starts_with(g))).map(|p| format!("the port {}", clean(p)));
    // One of IPv6 for this link only is what the kernel gives unasked.
    let own = |all: &Vec<String>| all.iter().find(|a| !a.starts_with("fe80:")).map(|a| format!("the host's address {}", clean(a)));
    match &seen.own {
        Err(why) => Some(format!("perhaps an address of the host ({why})")),
        Ok(all) => port.or_else(|| own(all)),
    }
}

fn change(bridge: &str, path: &str, file: &Interfaces, with: &Interfaces) -> Change {
    Change {
        at: Place::Host,
        path: path.to_owned(),
        was: Was::This(file.bytes().to_vec().into()),
        now: Some(with.bytes().to_vec().into()),
        mode: 0o644,
        // Its own check of syntax refuses `bridge-ports none`, which Proxmox writes: so whether it finds the bridge.
        test: ["ifquery", bridge, "--interfaces"].map(str::to_owned).into(),
    }
}

fn word(confirm_s: u32, path: String, digest: String) -> Step {
    let kept = Check::Kept { unit: REVERT_UNIT.into(), path, digest };
    Step::wait(format!("say within {confirm_s} s that your line still holds: proximity appliance confirm"), confirm_s + 10, kept)
}

/// The file as it was is of no use any more.
fn forget(old: Content) -> Step {
    let change = Change { at: Place::Host, path: BEFORE.into(), was: Was::This(old), now: None, mode: 0o644, test: Vec::new() };
    Step { undo: None, ..Step::put(change) }
}

/// The host has no address on the bridge: the kernel gives it one of IPv6 unasked, by which apps reach it past all rules.
fn without_address(name: &str) -> [Step; 2] {
    let none = Check::Says {
        what: format!("the host has no address on {name}"),
        cmd: Cmd::new("ip", ["-o", "address", "show", "dev", name]),
        wants: Wants::Nothing,
    };
    let mode = Check::Says {
        what: format!("the kernel gives {name} no address"),
        cmd: Cmd::new("cat", [format!("/proc/sys/net/ipv6/conf/{name}/addr_gen_mode")]),
        wants: Wants::OneOf(vec!["1".into()]),
    };
    [
        Step::run(
            format!("have the kernel give {name} no address"),
            Cmd::new("ip", ["link", "set", "dev", name, "addrgenmode", "none"]),
            mode,
        ),
        Step::run(format!("take the host's own addresses off {name}"), Cmd::new("ip", ["address", "flush", "dev", name]), none),
    ]
}

/// The way back of a change of the network, outside of every session: systemd takes it unless it is told not to.
fn arm(bridge: &str, path: &str, confirm_s: u32) -> Step {
    let timer = format!("{REVERT_UNIT}.timer");
    let words = [
        "--quiet",
        "--collect",
        &format!("--unit={REVERT_UNIT}"),
        &format!("--on-active={confirm_s}"),
        "--timer-property=AccuracySec=1s",
        "--service-type=oneshot",
        &format!("--property=ExecStartPre=-/usr/sbin/ip link delete dev {bridge} type bridge"),
        &format!("--property=ExecStartPre=/usr/bin/mv -f {BEFORE} {path}"),
        "/usr/bin/systemctl",
        "stop",
        &timer,
    ];
    let check = Check::Says {
        what: format!("the way back is armed: without a word from you it is taken after {confirm_s} s"),
        cmd: Cmd::new("systemctl", ["is-active", "--quiet", &timer]),
        wants: Wants::Success,
    };
    Step::run("arm the way back", Cmd::new("systemd-run", words), check).undone_by(Cmd::new("systemctl", ["stop", &timer]))
}

fn confirm() -> Step {
    let timer = format!("{REVERT_UNIT}.timer");
    let check = Check::Says {
        what: "nothing takes the change back any more".into(),
        cmd: Cmd::new("systemctl", ["show", "--property=ActiveState", "--value", &timer]),
        wants: Wants::OneOf(vec!["inactive".into()]),
    };
    Step { always: true, ..Step::run("disarm the way back", Cmd::new("systemctl", ["stop", &timer]), check) }
}

struct Chosen {
    storage: StorageId,
    template: String,
    system: System,
    /// The storage to fetch it to and its name there.
    fetch: Option<(String, String)>,
}

/// Whom Caddy runs as, by the packages of both systems.
const CADDY_USER: &str = "caddy";

/// Memory in MiB, processors, root disk in GiB. Measured: dnsmasq, Caddy and OpenRC take less than 64 MiB together.
const SIZE: (u32, u32, u32) = (512, 1, 2);

fn choose(world: &World, options: &Options, ground: &Ground) -> Result<Chosen, (String, String)> {
    let storages = world.storages.known.as_ref().map_err(|why| (format!("the storages are unknown: {why}"), "see status".to_owned()))?;
    let set = "resources.storage".parse().ok().and_then(|key| world.chosen().ok()?.value(&key).ok().flatten());
    let set = if let Some(Value::Storage(id)) = set { Some(id) } else { None };
    let fits = |s: &&crate::domain::storage::Storage| s.takes("rootdir") && s.space.is_ok();
    let storage = match &options.storage {
        Some(id) => storages.iter().find(|s| s.id == *id).ok_or_else(|| (format!("there is no storage {id}"), "see status".to_owned()))?,
        None => storages
            .iter()
            .filter(fits)
            .max_by_key(|s| (Some(&s.id) == set.as_ref(), s.space.as_ref().map_or(0, |x| x.avail)))
            .ok_or_else(|| ("no storage that takes root disks answers".to_owned(), "see status for why".to_owned()))?,
    };
    if !storage.takes("rootdir") {
        return Err((format!("storage {} does not take root disks", storage.id), "choose another one: --storage".into()));
    }
    match &storage.space {
        Err(why) => return Err((format!("storage {} does not answer: {why}", storage.id), "choose another one: --storage".into())),
        Ok(space) if space.avail < u64::from(SIZE.2) << 30 => {
            let why = format!("storage {} has {} left, and {} GiB are needed", storage.id, bytes(space.avail), SIZE.2);
            return Err((why, "choose another one: --storage".into()));
        }
        Ok(_) => {}
    }
    let there = ground.templates.as_ref().map_err(|why| (format!("the templates are unknown: {why}"), "see status".to_owned()))?;
    let name = |volid: &str| volid.rsplit_once("vztmpl/").map_or(volid, |(_, n)| n).to_owned();
    let newest = |all: &[String]| all.iter().filter(|v| name(v).starts_with("alpine-")).max_by_key(|v| numbers(&name(v))).cloned();
    let takes = || storages.iter().find(|s| s.takes("vztmpl")).map(|s| s.id.clone());
    let (template, fetch) = match (&options.template, newest(there)) {
        (Some(volid), _) if there.contains(volid) => (volid.clone(), None),
        (Some(volid), _) => {
            return Err((format!("there is no template {}", clean(volid)), format!("those that are there: {}", there.join(" "))));
        }
        (None, Some(volid)) => (volid, None),
        (None, None) if options.download => {
            let all = ground
                .available
                .as_ref()
                .map_err(|why| (format!("what can be fetched is unknown: {why}"), "see pveam available".to_owned()))?;
            let name = newest(all).ok_or_else(|| ("no Alpine template can be fetched".to_owned(), "see pveam available".to_owned()))?;
            let to = takes().ok_or_else(|| ("no storage takes templates".to_owned(), "see status".to_owned()))?;
            (format!("{to}:vztmpl/{name}"), Some((to.to_string(), name)))
        }
        (None, None) => {
            let to = takes().map_or("a storage".into(), |s| s.to_string());
            let hint = format!("add --download, or bring a file alpine-…-default_…_amd64.tar.xz to {to} (content vztmpl)");
            return Err(("no Alpine template is there".into(), hint));
        }
    };
    let system = match name(&template).split('-').next() {
        Some("alpine") => System::Alpine,
        Some("debian") => System::Debian,
        _ => return Err((format!("{} is neither of Alpine nor of Debian", clean(&template)), "choose another one: --template".into())),
    };
    Ok(Chosen { storage: storage.id.clone(), template, system, fetch })
}

/// The numbers in a name, so that 3.9 comes before 3.10.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

fn create(d: &Desired, vmid: Vmid, options: &Options, chosen: Chosen) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some((storage, name)) = &chosen.fetch {
        // It exits with 0 also where nothing came (facts §7): the list tells.
        let check = Check::Says {
            what: format!("{} is there", chosen.template),
            cmd: Cmd::new("pvesm", ["list", storage, "--content", "vztmpl"]),
            wants: Wants::FirstWord(chosen.template.clone()),
        };
        steps.push(Step::run(format!("fetch {name}"), Cmd::new("pveam", ["download", storage, name]).unlimited(), check));
    }
    let wan = options.address.map_or("ip=dhcp".to_owned(), |(own, gateway)| format!("ip={own},gw={gateway}"));
    let nets = vec![
        ("net0".to_owned(), format!("name={WAN},bridge={},{wan}", d.wan_bridge.as_str())),
        ("net1".to_owned(), format!("name={LAN},bridge={},ip={}/{}", d.lan_bridge.as_str(), d.gateway, d.lan.prefix_len())),
    ];
    let options = CreateOptions {
        hostname: d.name.to_string(),
        storage: chosen.storage,
        disk_gib: SIZE.2,
        memory_mib: SIZE.0,
        cores: SIZE.1,
        nesting: chosen.system == System::Debian,
        nets,
        order: 1,
        tag: TAG.into(),
        notes: format!("{MARK}. Made and kept by Proximity; see: proximity manual appliance"),
    };
    let step = Step::run(format!("create {vmid} {}", d.name), pve::create(vmid, &chosen.template, &options), Check::Ours { vmid });
    steps.push(step.undone_by(Cmd::new("pct", ["destroy", &vmid.to_string(), "--purge", "1"])));
    steps
}

/// Interfaces of a container that is there, where they are not as they should be. Its hardware address stays.
fn nics(d: &Desired, guest: &Guest) -> Vec<Step> {
    let own = format!("{}/{}", d.gateway, d.lan.prefix_len());
    let lan = guest.nics.iter().find(|n| n.name == LAN);
    if lan.is_some_and(|n| n.bridge.as_deref() == Some(d.lan_bridge.as_str()) && n.ip.as_deref() == Some(&own)) {
        return Vec::new();
    }
    let hwaddr = lan.and_then(|n| n.hwaddr.as_ref()).map_or(String::new(), |h| format!(",hwaddr={h}"));
    let value = format!("name={LAN},bridge={},ip={own}{hwaddr},type=veth", d.lan_bridge.as_str());
    let key = lan.map_or("net1".to_owned(), |n| n.key.clone());
    let check = Check::Says {
        what: format!("{LAN} has {own}"),
        cmd: pve::exec(guest.id, ["ip", "-4", "-o", "address", "show", "dev", LAN, "to", &own]),
        wants: Wants::Something,
    };
    // Asked for because of what the configuration says, whatever holds at the moment.
    let step = Step::run(
        format!("plug {LAN} of {} into {}", guest.id, d.lan_bridge.as_str()),
        Cmd::new("pct", ["set", &guest.id.to_string(), &format!("--{key}"), &value]),
        check,
    );
    let step = Step { always: true, ..step };
    vec![match lan {
        Some(old) => step.undone_by(Cmd::new("pct", ["set", &guest.id.to_string(), &format!("--{key}"), &old.raw])),
        None => step.undone_by(Cmd::new("pct", ["set", &guest.id.to_string(), "--delete", &key])),
    }]
}

/// A running appliance whose interface somebody pulled out of the bridge. With the firewall of Proxmox on, another interface
/// stands between (facts §9.3), and nothing is guessed.
fn plug(d: &Desired, ground: &Ground, vmid: Vmid) -> Option<Step> {
    let seen = ground.bridge.as_ref().ok()?;
    let (veth, bridge) = (format!("veth{vmid}i1"), d.lan_bridge.as_str());
    if seen.ports.iter().any(|p| *p == veth || *p == format!("fwpr{vmid}p1")) {
        return None;
    }
    let check = Check::Says {
        what: format!("{veth} is in {bridge}"),
        cmd: Cmd::new("ls", [format!("/sys/class/net/{bridge}/brif/{veth}")]),
        wants: Wants::Success,
    };
    Some(Step::run(format!("plug {veth} into {bridge}"), Cmd::new("ip", ["link", "set", "dev", &veth, "master", bridge]), check))
}

/// After a start: services that are started while the system itself starts are in its way.
fn settle(vmid: Vmid, system: System) -> Vec<Step> {
    let (question, answers) = system.at_rest();
    let rest = Check::Says {
        what: "its start has come to rest".into(),
        cmd: pve::exec(vmid, question.iter().copied()).limit(10),
        wants: Wants::OneOf(answers.iter().map(|a| (*a).to_owned()).collect()),
    };
    vec![
        Step::wait(format!("wait until {vmid} answers"), 60, Check::Answers { vmid }),
        // A system that waits for a network that is not there takes two minutes and more (systemd-networkd-wait-online(8)).
        Step::wait(format!("wait until {vmid} has come to rest"), 180, rest),
    ]
}

fn packages(vmid: Vmid, system: System) -> Vec<Step> {
    let there = Check::Says {
        what: format!("{} are there", system.programs().join(", ")),
        cmd: pve::exec(vmid, std::iter::once("which").chain(system.programs().iter().copied())),
        wants: Wants::Success,
    };
    let way_out = Check::Says {
        what: "it has a way out".into(),
        cmd: pve::exec(vmid, ["ip", "-4", "route", "show", "default"]),
        wants: Wants::Something,
    };
    let mut steps = vec![Step::wait(format!("wait until {vmid} has an address on the way out"), 30, way_out)];
    let can_be = system.installable().map(|argv| Check::Says {
        what: "they can be installed".into(),
        cmd: pve::exec(vmid, argv),
        wants: Wants::Success,
    });
    let install = system.install();
    let last = install.len().saturating_sub(1);
    for (n, argv) in install.into_iter().enumerate() {
        let (title, check) = match &can_be {
            Some(can_be) if n < last => ("ask what can be installed", Check::Either(there.clone().into(), can_be.clone().into())),
            _ => ("install what it needs", there.clone()),
        };
        steps.push(Step::run(title, pve::exec(vmid, argv).limit(600), check).of_packages());
    }
    steps
}

/// Caddy is tested as root and runs as another: a log that the test makes would be closed to it (caddyserver/caddy#7829).
fn access_log(vmid: Vmid) -> [Step; 2] {
    let folder = CADDY_LOG.rsplit_once('/').map_or("/", |(dir, _)| dir);
    let there =
        Check::Says { what: format!("{CADDY_LOG} is there"), cmd: pve::exec(vmid, ["test", "-e", CADDY_LOG]), wants: Wants::Success };
    let owner = Check::Says {
        what: format!("both are {CADDY_USER}'s"),
        cmd: pve::exec(vmid, ["find", folder, CADDY_LOG, "-maxdepth", "0", "!", "-user", CADDY_USER]),
        wants: Wants::Nothing,
    };
    [
        Step::run("make Caddy's access log", pve::exec(vmid, ["touch", CADDY_LOG]), there),
        Step::run("give it and its folder to Caddy", pve::exec(vmid, ["chown", CADDY_USER, folder, CADDY_LOG]), owner),
    ]
}

/// Files, and everything that works by them.
fn inside(d: &Desired, ground: &Ground, vmid: Vmid, system: System) -> Result<Vec<Step>, String> {
    let d = &Desired { system, ..d.clone() };
    let at = Place::Guest(vmid);
    let found = match &ground.inside {
        None => None,
        Some(Ok(found)) => Some(found),
        Some(Err(why)) => return Err(format!("the files of {vmid} could not be read: {why}")),
    };
    let all = files::files(d);
    let folder = |path: &str| path.rsplit_once('/').map_or("/", |(dir, _)| dir).to_owned();
    let mut folders: Vec<String> =
        all.iter().map(|m| folder(m.path)).chain([SITES.to_owned(), folder(CADDY_LOG), folder(LEASES)]).collect();
    folders.sort();
    folders.dedup();
    folders.retain(|f| f != "/etc");
    let with = |head: &[&str]| head.iter().map(|w| (*w).to_owned()).chain(folders.clone()).collect::<Vec<_>>();
    let there = Check::Says { what: "they are there".into(), cmd: pve::exec(vmid, with(&["ls", "-d"])), wants: Wants::Success };
    let mut steps = vec![Step::run("make its folders", pve::exec(vmid, with(&["mkdir", "-p"])), there)];
    steps.extend(access_log(vmid));
    for made in all {
        let was = found.and_then(|f| f.iter().find(|(path, _)| path == made.path)).map_or(Was::Any, |(_, bytes)| bytes.clone().into());
        steps.push(Step::put(Change {
            at,
            path: made.path.into(),
            was,
            test: test(&made, system).iter().map(|w| (*w).to_owned()).collect(),
            now: Some(made.text.into()),
            mode: 0o644,
        }));
    }
    steps.extend(own_resolver(d, found, vmid));
    for service in [Service::Sysctl, Service::Rules, Service::Dnsmasq, Service::Caddy] {
        let name = system.service(service);
        let check =
            Check::Says { what: format!("{name} starts with it"), cmd: pve::exec(vmid, system.is_enabled(service)), wants: Wants::Success };
        steps.push(Step::run(format!("have {name} start with it"), pve::exec(vmid, system.enable(service)), check));
    }
    let values = Check::Says {
        what: "the kernel has these values".into(),
        cmd: pve::exec(vmid, std::iter::once("sysctl").chain(files::kernel(d).iter().map(|(k, _)| *k))),
        wants: Wants::Lines(files::kernel(d).iter().map(|(k, v)| format!("{k} = {v}")).collect()),
    };
    steps.push(Step::run("set the kernel's values", pve::exec(vmid, ["sysctl", "-q", "-p", SYSCTLS]), values));
    let rules = Check::Rules { vmid, text: super::nat::ruleset(d) };
    steps.push(Step::run("put the rules in force", pve::exec(vmid, ["iptables-restore", system.rules_file()]), rules));
    steps.push(Step::run("have dnsmasq work by its file", pve::exec(vmid, system.restart(Service::Dnsmasq)).limit(60), in_effect(d, vmid)));
    let caddy = if ground.caddy_runs {
        pve::exec(vmid, ["caddy", "reload", "--adapter", "caddyfile", "--config", CADDYFILE])
    } else {
        pve::exec(vmid, system.restart(Service::Caddy))
    };
    steps.push(Step::run("have Caddy work by its files", caddy.limit(60), Check::CaddyByFiles { vmid }));
    steps.push(lamps(d, vmid));
    Ok(steps)
}

/// Now, and after each start. Only when the packages are there: until then it must ask somebody else where they are.
fn own_resolver(d: &Desired, found: Option<&Files>, vmid: Vmid) -> [Step; 2] {
    let (id, server) = (vmid.to_string(), files::NAMESERVER);
    let kept = Check::Says {
        what: "its configuration says that it asks itself for names".into(),
        cmd: pve::pct("config", vmid),
        wants: Wants::Lines(vec![format!("nameserver: {server}"), format!("searchdomain: {}", d.domain)]),
    };
    let set = Cmd::new("pct", ["set", &id, "--nameserver", server, "--searchdomain", &d.domain.to_string()]);
    let keep = Step::run("have it ask itself for names after a start", set, kept);
    let was = found.and_then(|f| f.iter().find(|(path, _)| path == files::RESOLVER)).map_or(Was::Any, |(_, bytes)| bytes.clone().into());
    let now = Some(files::resolver(d).into());
    let change = Change { at: Place::Guest(vmid), path: files::RESOLVER.into(), was, now, mode: 0o644, test: Vec::new() };
    let check = Check::Says {
        what: "it asks itself for names, and nobody else".into(),
        cmd: pve::exec(vmid, ["grep", "^nameserver", files::RESOLVER]),
        wants: Wants::OneOf(vec![format!("nameserver {}", files::NAMESERVER)]),
    };
    [keep, Step { check, ..Step::put(change) }]
}

fn lamps(d: &Desired, vmid: Vmid) -> Step {
    Step::wait("ask what it does", 60, Check::Lamps { vmid, wish: Box::new(d.clone()) })
}

/// What takes a file before it takes the old one's place; the path of the new one comes last.
fn test(made: &Made, system: System) -> &'static [&'static str] {
    // They hold no settings: always the same words.
    if system.own_files().iter().any(|(path, _, _)| *path == made.path) {
        return &[];
    }
    match made.read_by {
        Service::Dnsmasq => &["dnsmasq", "--test", "-C"],
        Service::Caddy => &["caddy", "validate", "--adapter", "caddyfile", "--config"],
        Service::Rules => &["iptables-restore", "--test"],
        Service::Sysctl | Service::Lease => &[],
    }
}

fn in_effect(d: &Desired, vmid: Vmid) -> Check {
    let name = format!("{IN_EFFECT}.{}", d.domain);
    Check::Says {
        what: "dnsmasq works by this configuration".into(),
        cmd: pve::exec(vmid, ["busybox", "nslookup", "-timeout=2", "-type=txt", &name, &d.gateway.to_string()]).limit(10),
        wants: Wants::Lines(vec![format!("{name}\ttext = \"{}\"", files::in_effect(d))]),
    }
}

/// Never with a configuration that the program would not take: then the old one still runs.
fn restart(d: &Desired, vmid: Vmid, service: Service) -> Vec<Step> {
    let (file, check) = match service {
        Service::Dnsmasq => (DNSMASQ_CONF, Some(vec!["dnsmasq", "--test", "-C"])),
        Service::Caddy => (CADDYFILE, Some(vec!["caddy", "validate", "--adapter", "caddyfile", "--config"])),
        Service::Rules | Service::Sysctl | Service::Lease => ("", None),
    };
    let name = d.system.service(service);
    let mut steps = Vec::new();
    if let Some(argv) = check {
        let taken = Check::Says {
            what: format!("{name} takes {file}"),
            cmd: pve::exec(vmid, argv.into_iter().chain([file])),
            wants: Wants::Success,
        };
        if service == Service::Caddy {
            steps.extend(access_log(vmid));
        }
        steps.push(Step { always: true, ..Step::wait(format!("ask whether {name} takes its file"), 1, taken) });
    }
    let runs = Check::Says { what: format!("{name} runs"), cmd: pve::exec(vmid, d.system.status(service)), wants: Wants::Success };
    steps.push(Step { always: true, ..Step::run(format!("restart {name}"), pve::exec(vmid, d.system.restart(service)).limit(60), runs) });
    steps.push(lamps(d, vmid));
    steps
}

#[cfg(test)]
#[path = "provision_tests.rs"]
mod tests;
