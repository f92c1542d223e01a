//! Asks the appliance everything its lamps are made of, all at once: about a dozen questions inside it, then a few from where
//! an app stands (`visitor.rs`). Nothing is changed, but that an app's own lease is renewed by asking for it again.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use futures_util::stream::{self, StreamExt};
use tokio::sync::OnceCell;

use crate::domain::appliance::Seen;
use crate::domain::appliance::answer::{Asked, Gave};
use crate::domain::appliance::desired::{Around, Desired, desired};
use crate::domain::appliance::instance::{self, Instance, RRD};
use crate::domain::appliance::judge::{Answers, BridgeSeen, FAR_NAME, MemorySeen, NO_NAME, judge, mtu, sites, stays};
use crate::domain::appliance::lamp::Lamp;
use crate::domain::appliance::lease::{self, Forecast, Leases, Pool};
use crate::domain::appliance::names::Mac;
use crate::domain::appliance::system::{Service, System};
use crate::domain::appliance::tar::Member;
use crate::domain::appliance::{LEASES, files};
use crate::domain::cmd::Cmd;
use crate::domain::guest::{Guest, Power, Vmid};
use crate::domain::interfaces::{self, Interfaces};
use crate::domain::ports::PortMap;
use crate::domain::pve;
use crate::domain::stamp::Stamp;
use crate::domain::world::Part;
use crate::domain::world::{From, World};
use crate::host::{Found, Host, HostError, Look, bytes_of, text_of};

use super::check::{init_pid, link_up};
use super::place::unpacked;
use super::visitor;
use crate::store::Store;

/// Seconds a question may take.
const LIMIT_S: u32 = 5;

/// What was found.
#[derive(Debug, Clone)]
pub struct Probed {
    /// The appliance.
    pub vmid: Vmid,
    /// All lamps.
    pub lamps: Vec<Lamp>,
    /// How it should be; else why that is not known.
    pub wish: Result<Desired, Vec<String>>,
    /// What was lent.
    pub leases: Result<Leases, String>,
}

/// Remembers how much of the range is used today, unless nothing may be written, and tells when it will be full.
pub fn forecast(store: &Store, pool: Pool, now: Stamp, write: bool) -> Forecast {
    let noted = if write { store.note_pool(now, pool.used) } else { Ok(()) };
    match noted.and_then(|()| store.pool_days()) {
        Ok(days) => lease::forecast(&days, pool, now.secs().div_euclid(86_400)),
        Err(e) => Forecast::Unknown(e.to_string()),
    }
}

/// Asks everything, joined to the guests of the World, which must be fresh. What is remembered is not asked here.
pub async fn look(host: &dyn Host, world: &World, read_only: bool) -> Part<Seen> {
    let probed = probe(host, world, read_only).await;
    let now = host.clock().0;
    let (leases, pool) = match &probed.leases {
        Ok(leases) => {
            let (rows, pool) = joined(leases, world, probed.wish.as_ref().ok(), now);
            (Ok(rows), pool)
        }
        Err(why) => (Err(why.clone()), None),
    };
    let forecast = Forecast::Unknown("there is no store".into());
    Part::new(Seen { lamps: probed.lamps, leases, pool, forecast, instances: instances(host, world).await }, now, From::Pct)
}

/// All appliances there are, by what Proxmox told of them last.
pub async fn instances(host: &dyn Host, world: &World) -> Vec<Instance> {
    let found = host.look(vec![Look::File(RRD.into(), 8 << 20)]).await;
    let rrd = found.first().map_or(Err("no answer".to_owned()), |f| text_of(f).map_err(|e| e.to_string()));
    let guests = world.guests.get().map_or(&[][..], Vec::as_slice);
    instance::instances(guests, world.appliance_id(), world.node_name(), &rrd)
}

/// Leases with the guests that hold them, where all guests are known, and how much of the pool is lent.
pub fn joined(leases: &Leases, world: &World, wish: Option<&Desired>, now: Stamp) -> (Vec<lease::Row>, Option<lease::Pool>) {
    let guests = world.guests.get().filter(|_| world.guests.from != From::Kernel).map(Vec::as_slice);
    (lease::join(leases, guests, wish, now), wish.map(|wish| lease::pool(leases, wish)))
}

/// Asks everything. The World must be fresh: it tells which guests run. Where nothing may be changed, by the word of whoever
/// asks or by the settings, no visitor is made.
pub async fn probe(host: &dyn Host, world: &World, read_only: bool) -> Probed {
    let interfaces = host_interfaces(host).await;
    let wish = wish(world, &interfaces);
    let may_make = match world.chosen().and_then(|s| s.flag("system.read_only")) {
        _ if read_only => Err("--read-only refuses everything that changes something".to_owned()),
        Ok(false) => Ok(()),
        _ => Err("system.read_only is on, or cannot be read".to_owned()),
    };
    probe_by(host, world, world.appliance_id(), wish, &interfaces, may_make).await
}

/// The same, by a wish that is known.
pub(super) async fn probe_by(
    host: &dyn Host,
    world: &World,
    vmid: Vmid,
    wish: Result<Desired, Vec<String>>,
    interfaces: &HostInterfaces,
    may_make: Result<(), String>,
) -> Probed {
    let guests = world.guests.get().map_or(&[][..], Vec::as_slice);
    let appliance = guests.iter().find(|g| g.id == vmid);
    let closed = match appliance {
        Some(g) if g.power == Power::Running => None,
        Some(g) if g.power == Power::Stopped => Some("the appliance is stopped".to_owned()),
        Some(_) => Some("whether the appliance runs is unknown".to_owned()),
        None => Some("the appliance is not there, or not known to be".to_owned()),
    };
    let room = Room { host, vmid, closed, init: OnceCell::new() };
    let d = wish.as_ref().ok();
    let system = d.map(|d| d.system).or_else(|| appliance.and_then(System::of)).unwrap_or(System::Alpine);
    let gateway = d.map_or(String::new(), |d| d.gateway.to_string());
    let name = |label: &str| d.map_or(label.to_owned(), |d| format!("{label}.{}", d.domain));
    let ask = |name: String, kind: &str| {
        let words = ["busybox".into(), "nslookup".into(), "-timeout=2".into(), format!("-type={kind}"), name, gateway.clone()];
        room.in_its_network(LIMIT_S, &NOBODY, words)
    };
    let own = d.map_or(String::new(), |d| name(&d.name.to_string()));
    let before = host.clock().0;
    let (
        (dnsmasq, caddy, own_name, far_name),
        (no_name, in_effect, rules, old_rules),
        (kernel, admin, adapted, files),
        (boot, access_log, links, own_links),
        rest,
    ) = tokio::join!(
        async {
            tokio::join!(
                room.inside(system.status(Service::Dnsmasq)),
                room.inside(system.status(Service::Caddy)),
                ask(own, "a"),
                ask(FAR_NAME.to_owned(), "a"),
            )
        },
        async {
            tokio::join!(
                ask(name(NO_NAME), "a"),
                ask(name(files::IN_EFFECT), "txt"),
                room.inside(["iptables-save"]),
                room.inside(["iptables-legacy-save"]),
            )
        },
        async {
            tokio::join!(
                room.in_its_network(
                    LIMIT_S,
                    &NOBODY,
                    ["sysctl", "net.ipv4.ip_forward", "net.ipv4.ip_local_reserved_ports"].map(str::to_owned)
                ),
                room.in_its_network(LIMIT_S, &NOBODY, admin()),
                room.inside(["caddy", "adapt", "--config", files::CADDYFILE, "--adapter", "caddyfile"]),
                room.inside(archive(system)),
            )
        },
        async {
            tokio::join!(
                room.inside(system.all_enabled()),
                room.inside(stays::log_question()),
                links(host, d, vmid),
                room.in_its_network(LIMIT_S, &[], mtu::QUESTION.map(str::to_owned)),
            )
        },
        async {
            tokio::join!(
                room.inside(["date", "+%s"]),
                room.inside(["df", "-kP", "/"]),
                memory(host, vmid, appliance, &room),
                bridge(host, d, interfaces),
            )
        },
    );
    let (clock, disk, memory, bridge) = rest;
    let clock_between = (before, clock.at);
    let leases = leases_in(&files);
    let may = match (&room.closed, may_make) {
        (Some(why), _) => Err(why.clone()),
        (None, may) => may,
    };
    let places = sites::asked(&admin);
    let (outside, sites) = tokio::join!(visitor::ask(host, d, guests, leases.as_ref().ok(), may), room.sites(places));
    let guests_asked = Asked {
        question: format!("/etc/pve/nodes/*/lxc/{vmid}.conf, /proc/net/unix"),
        at: world.guests.as_of,
        answer: world.guests.known.clone(),
    };
    let answers = Answers {
        guests: guests_asked,
        guests_whole: world.guests.from != From::Kernel,
        bridge,
        links,
        own_links,
        app_links: outside.links,
        dnsmasq,
        caddy,
        own_name,
        far_name,
        no_name,
        in_effect,
        who: outside.who,
        dhcp: outside.dhcp,
        rules,
        old_rules,
        kernel,
        way_out: outside.way_out,
        guarded: outside.guarded,
        admin,
        admin_outside: outside.admin,
        sites,
        adapted,
        boot,
        access_log,
        files,
        clock,
        clock_between,
        disk,
        memory,
    };
    Probed { vmid, lamps: judge(&wish, &answers, vmid), wish, leases }
}

/// What the running configuration of Caddy is, by its administration inside the appliance, which must run.
pub(super) async fn ask_admin(host: &dyn Host, vmid: Vmid) -> Asked<Gave> {
    Room::new(host, vmid).inside(admin()).await
}

/// Without a limit of its own: with one (-T) Debian's static busybox 1.35 crashes.
fn admin() -> Vec<String> {
    let words = ["busybox", "wget", "-q", "-O", "-"];
    words.into_iter().map(str::to_owned).chain([format!("http://{}/config/", files::ADMIN)]).collect()
}

/// What was lent, and how it should be.
pub async fn leases(host: &dyn Host, world: &World) -> (Result<Leases, String>, Result<Desired, Vec<String>>) {
    let wish = wish(world, &host_interfaces(host).await);
    (leases_of(host, world.appliance_id()).await, wish)
}

/// What was lent, and nothing else: one question.
pub(super) async fn leases_of(host: &dyn Host, vmid: Vmid) -> Result<Leases, String> {
    let room = Room::new(host, vmid);
    leases_in(&room.inside(archive(System::Alpine)).await)
}

fn archive(system: System) -> Vec<String> {
    let paths = files::paths(system).into_iter().chain([LEASES]).map(|p| p.trim_start_matches('/'));
    ["tar", "-C", "/", "-cf", "-"].into_iter().chain(paths).map(str::to_owned).collect()
}

fn leases_in(files: &Asked<Gave>) -> Result<Leases, String> {
    let gave = files.answer.as_ref().map_err(Clone::clone)?;
    Ok(lent(&unpacked(&gave.out, &gave.err)?))
}

/// What was lent, among the files of an archive. A file that is not there is one in which nothing was written yet: dnsmasq makes
/// it with the first lease.
pub(super) fn lent(files: &[Member]) -> Leases {
    let held = files.iter().find(|m| m.path == LEASES).and_then(|m| m.bytes.as_ref());
    held.map_or_else(Leases::default, |b| lease::parse(&String::from_utf8_lossy(b)))
}

pub(super) fn wish(world: &World, interfaces: &HostInterfaces) -> Result<Desired, Vec<String>> {
    wish_with(world, world.appliance_id(), interfaces, world.pinned().map_err(|why| vec![why])?)
}

/// The same for a container of this id, and with other static addresses than those that hold.
pub(super) fn wish_with(
    world: &World,
    vmid: Vmid,
    interfaces: &HostInterfaces,
    pins: BTreeMap<Mac, Ipv4Addr>,
) -> Result<Desired, Vec<String>> {
    let ports = match &world.ports.known {
        Ok(map) => map,
        // There is no store yet, so nothing is published.
        Err(_) if world.ports.is_pending() => &PortMap::default(),
        Err(why) => return Err(vec![format!("what is published is unknown: {why}")]),
    };
    wish_of(world, vmid, interfaces, pins, ports)
}

/// The same with other things published than those that are remembered now.
pub(super) fn wish_of(
    world: &World,
    vmid: Vmid,
    interfaces: &HostInterfaces,
    pins: BTreeMap<Mac, Ipv4Addr>,
    ports: &PortMap,
) -> Result<Desired, Vec<String>> {
    if let Some((_, why)) = ports.bad_services.first() {
        return Err(vec![why.clone()]);
    }
    let settings = world.chosen().map_err(|why| vec![why])?;
    let guests = world.guests.known.as_ref().map_err(|why| vec![format!("the guests are unknown: {why}")])?;
    let appliance = guests.iter().find(|g| g.id == vmid);
    let wan = "network.wan_bridge".parse().and_then(|key| settings.value(&key)).map_err(|why| vec![why])?.map(|v| v.to_string());
    let bridges = interfaces.files.iter().flat_map(|(_, f)| f.bridges());
    let addresses = bridges.filter(|b| Some(&b.name) == wan.as_ref()).flat_map(|b| b.addresses);
    let guarded: Vec<Ipv4Addr> = addresses.filter_map(|a| a.split('/').next()?.parse().ok()).collect();
    let mut d = desired(&settings, appliance, guests, &Around { guarded, pins, ..Around::default() })?;
    d.publish(ports);
    Ok(d)
}

/// The host's network files.
pub(super) struct HostInterfaces {
    pub(super) files: Vec<(String, Interfaces)>,
    /// Why not all are known.
    pub(super) gap: Option<String>,
}

pub(super) async fn host_interfaces(host: &dyn Host) -> HostInterfaces {
    const MOST: usize = 1 << 20;
    let looks = vec![Look::File(interfaces::PATH.into(), MOST), Look::Glob("/etc/network/interfaces.d/*".into(), MOST)];
    let mut found = host.look(looks).await.into_iter();
    let mut out = HostInterfaces { files: Vec::new(), gap: None };
    match found.next().map(|f| bytes_of(&f).map(<[u8]>::to_vec)) {
        Some(Ok(bytes)) => out.files.push((interfaces::PATH.into(), Interfaces::parse(bytes))),
        Some(Err(e)) => out.gap = Some(e.to_string()),
        None => out.gap = Some("no answer".into()),
    }
    if let Some(Ok(Found::Files(files))) = found.next() {
        out.files.extend(files.into_iter().filter_map(|(path, bytes)| Some((path, Interfaces::parse(bytes.ok()?)))));
    }
    let elsewhere = out.files.first().map_or(Vec::new(), |(_, f)| f.includes());
    let strange = elsewhere.into_iter().find(|i| !i.starts_with("/etc/network/interfaces.d"));
    out.gap = out.gap.or_else(|| strange.map(|i| format!("{} is taken in and was not read", crate::domain::clean::clean(&i))));
    out
}

pub(super) async fn bridge(host: &dyn Host, d: Option<&Desired>, interfaces: &HostInterfaces) -> Asked<BridgeSeen> {
    let Some(d) = d else { return Asked::not("/sys/class/net", host.clock().0, "how it should be is not known") };
    let name = &d.lan_bridge;
    let (flags, plugs) = (format!("/sys/class/net/{name}/flags"), format!("/sys/class/net/{name}/brif"));
    const MOST: usize = 1 << 20;
    let (four, six) = ("/proc/net/route".to_owned(), "/proc/net/if_inet6".to_owned());
    let staged = Look::Stat("/etc/network/interfaces.new".into());
    let looks = vec![Look::Dir(plugs.clone()), staged, Look::File(four.clone(), MOST), Look::File(six.clone(), MOST)];
    let (up, found) = tokio::join!(link_up(host, name.as_str()), host.look(looks));
    let mut found = found.into_iter();
    let (ports, staged) = (found.next(), found.next());
    let texts = [found.next(), found.next()].map(|f| f.map_or(Err(HostError::Missing { what: "answer".into() }), |f| text_of(&f)));
    let own = own_addresses(name.as_str(), texts);
    let question = format!("{flags}, {plugs}, {}, {four}, {six}", interfaces::PATH);
    let at = host.clock().0;
    let up = match up {
        Ok(up) => up,
        Err(why) => return Asked::not(question, at, why),
    };
    let there = interfaces.files.iter().flat_map(|(_, f)| f.bridges()).any(|b| b.name == name.as_str() && b.auto);
    let persisted = if there { Ok(true) } else { interfaces.gap.clone().map_or(Ok(false), Err) };
    let ports = if let Some(Ok(Found::Names(names))) = ports { names } else { Vec::new() };
    Asked { question, at, answer: Ok(BridgeSeen { up, ports, persisted, staged: matches!(staged, Some(Ok(_))), own }) }
}

/// MTUs on the host, as its kernel tells them.
async fn links(host: &dyn Host, d: Option<&Desired>, vmid: Vmid) -> Asked<Vec<(String, Option<u32>)>> {
    let Some(d) = d else { return Asked::not("/sys/class/net/*/mtu", host.clock().0, "how it should be is not known") };
    let names = mtu::on_host(d, vmid);
    let paths = names.clone().map(|name| format!("/sys/class/net/{name}/mtu"));
    let found = host.look(paths.iter().map(|p| Look::File(p.clone(), 64)).collect()).await;
    let one = |(name, found): (String, &Result<Found, HostError>)| match text_of(found) {
        Ok(text) => text.trim().parse().map(|mtu| (name.clone(), Some(mtu))).map_err(|e| format!("the MTU of {name} cannot be read: {e}")),
        Err(HostError::Missing { .. }) => Ok((name, None)),
        Err(e) => Err(e.to_string()),
    };
    let answer = if found.len() == names.len() { names.into_iter().zip(&found).map(one).collect() } else { Err("no answer".to_owned()) };
    Asked { question: paths.join(", "), at: host.clock().0, answer }
}

/// What the host has on an interface, by the kernel's own lists (proc(5)): networks of IPv4, addresses of IPv6. A kernel
/// without IPv6 has no list of it.
fn own_addresses(interface: &str, [four, six]: [Result<String, HostError>; 2]) -> Result<Vec<String>, String> {
    let four = four.map_err(|e| e.to_string())?;
    let six = match six {
        Err(HostError::Missing { .. }) => String::new(),
        other => other.map_err(|e| e.to_string())?,
    };
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let net = |w: Vec<String>| {
        let number = u32::from_str_radix(w.get(1)?, 16).ok()?;
        (w.first()? == interface).then(|| Ipv4Addr::from(number.swap_bytes()).to_string())
    };
    let address = |w: Vec<String>| {
        let bits = u128::from_str_radix(w.first()?, 16).ok()?;
        (w.get(5)? == interface).then(|| std::net::Ipv6Addr::from(bits).to_string())
    };
    Ok(four.lines().filter_map(|l| net(words(l))).chain(six.lines().filter_map(|l| address(words(l)))).collect())
}

/// Memory as Proxmox counts it: without file pages that could be given back at once (PVE::LXC::CGroup).
async fn memory(host: &dyn Host, vmid: Vmid, appliance: Option<&Guest>, room: &Room<'_>) -> Asked<MemorySeen> {
    let (new, old) = (format!("/sys/fs/cgroup/lxc/{vmid}"), format!("/sys/fs/cgroup/memory/lxc/{vmid}"));
    let paths = [
        format!("{new}/memory.current"),
        format!("{new}/memory.stat"),
        format!("{new}/memory.events"),
        format!("{old}/memory.usage_in_bytes"),
        format!("{old}/memory.stat"),
        format!("{old}/memory.oom_control"),
    ];
    let found = host.look(paths.iter().map(|p| Look::File(p.clone(), 1 << 16)).collect()).await;
    let at = host.clock().0;
    let text: Vec<Option<String>> = found.iter().map(|f| text_of(f).ok()).collect();
    let get = |n: usize| text.get(n).and_then(Option::as_deref);
    let field = |n: usize, key: &str| get(n)?.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(' ')?.trim().parse::<u64>().ok());
    let (from, key) = if get(0).is_some() { (0, "inactive_file") } else { (3, "total_inactive_file") };
    let question = paths[from..from + 3].join(", ");
    if let Some(why) = &room.closed {
        return Asked::not(question, at, why.clone());
    }
    let used = get(from).and_then(|t| t.trim().parse::<u64>().ok());
    let limit = appliance.and_then(|g| g.mem_max);
    let answer = match (used, limit) {
        (Some(used), Some(limit)) => {
            Ok(MemorySeen { used: used.saturating_sub(field(from + 1, key).unwrap_or(0)), limit, killed: field(from + 2, "oom_kill") })
        }
        (None, _) => Err("its control group tells nothing".to_owned()),
        (_, None) => Err("its limit is not configured".to_owned()),
    };
    Asked { question, at, answer }
}

/// The appliance, where commands run; `closed` says why none can.
pub(super) struct Room<'a> {
    host: &'a dyn Host,
    vmid: Vmid,
    closed: Option<String>,
    /// Its init.
    init: OnceCell<Result<u32, String>>,
}

impl<'a> Room<'a> {
    /// That of an appliance which runs.
    pub(super) fn new(host: &'a dyn Host, vmid: Vmid) -> Room<'a> {
        Room { host, vmid, closed: None, init: OnceCell::new() }
    }
}

impl Room<'_> {
    pub(super) async fn inside<A: Into<String>>(&self, argv: impl IntoIterator<Item = A>) -> Asked<Gave> {
        let cmd = pve::attach(self.vmid, argv).limit(LIMIT_S);
        if let Some(why) = &self.closed {
            return Asked::not(cmd.shown(), self.host.clock().0, why.clone());
        }
        let asked = run(self.host, cmd).await;
        // What lxc-attach says of a container that ended cannot be told from what a command in it says.
        match (&asked.answer, self.init().await) {
            (Ok(gave), Ok(pid)) if gave.status != 0 => match visitor::is_there(self.host, visitor::net_of(*pid)).await {
                Ok(true) => asked,
                Ok(false) => Asked::not(asked.question, asked.at, "the appliance went away meanwhile"),
                Err(why) => Asked::not(asked.question, asked.at, why),
            },
            (Ok(gave), Err(why)) if gave.status != 0 => Asked::not(asked.question, asked.at, why.clone()),
            _ => asked,
        }
    }

    /// Process id of its init, asked for once.
    pub(super) async fn init(&self) -> &Result<u32, String> {
        let ask = || async {
            if let Some(why) = &self.closed {
                return Err(why.clone());
            }
            let pid = init_pid(self.host, self.vmid).await.map_err(|e| e.to_string())?;
            pid.ok_or_else(|| "the init of the appliance is not known".to_owned())
        };
        self.init.get_or_init(ask).await
    }
}

/// Questions to one appliance that are put at once.
const AT_ONCE: usize = 16;

impl Room<'_> {
    /// Asks in the appliance's own network, with the host's programs: going into the container costs several times as much.
    async fn in_its_network(&self, limit_s: u32, more: &[&str], argv: impl IntoIterator<Item = String>) -> Asked<Gave> {
        let pid = self.init().await;
        let cmd = visitor::in_network(&visitor::net_of(*pid.as_ref().unwrap_or(&0)), more, argv).limit(limit_s);
        match pid {
            Err(why) => Asked::not(cmd.shown(), self.host.clock().0, why.clone()),
            Ok(_) => run(self.host, cmd).await,
        }
    }

    /// Asks places by HTTP, as a guest of the appliance's own network would.
    async fn sites(&self, places: Vec<SocketAddr>) -> Vec<(SocketAddr, Asked<Gave>)> {
        let one = async |place: SocketAddr| (place, self.in_its_network(2 * LIMIT_S, &NOBODY, sites::question(place)).await);
        stream::iter(places).map(one).buffered(AT_ONCE).collect().await
    }
}

/// What an app answers is read by somebody who may nothing on the host: `nobody` of Debian.
pub(super) const NOBODY: [&str; 2] = ["--setuid=65534", "--setgid=65534"];

pub(super) async fn run(host: &dyn Host, cmd: Cmd) -> Asked<Gave> {
    let question = cmd.shown();
    let answer = host.run(cmd).await.map_err(|e| e.to_string()).and_then(|out| {
        let text = out.any();
        if text.cut > 0 {
            return Err(format!("{} bytes of the answer were lost", text.cut));
        }
        Ok(Gave { status: text.status, out: text.out.to_vec(), err: text.err.to_vec() })
    });
    Asked { question, at: host.clock().0, answer }
}
