//! One container takes the place of another: its name, its interfaces with their hardware addresses, its start with the host,
//! and with these its leases and its ports. So what was restored beside its original becomes the app, and the original stays,
//! stopped and unplugged, until somebody says otherwise. The way back is the same once more.
//!
//! Each of both gets its new configuration by one command, which Proxmox writes whole. Whoever is put aside keeps in its notes
//! who took its place and what that place is: wherever the change is broken off, one of both has all of it, and asked for again
//! (or for the way back) it goes on from there. Both never run with the same addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::appliance::is_none_of_apps;
use super::backup::parse_name;
use super::caddy;
use super::cmd::Cmd;
use super::conf::parse_lxc;
use super::guest::{Guest, Kind, Mount, Power, Vmid, unplugged};
use super::plan::{Check, Plan, Purpose, Refusal, Risk, Step};
use super::ports::{Pair, ServiceName};
use super::pve;
use super::restore::beside_name;
use super::service::{Carry, Published, Spec, UpHost};
use super::stamp::Stamp;
use super::when::{self, Here};
use super::world::World;

/// A change of places that is wished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwapWish {
    /// Who has the place.
    pub from: Vmid,
    /// Who takes it.
    pub to: Vmid,
}

/// What makes a container the app that others know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its host name.
    pub hostname: String,
    /// Whether it starts with the host.
    pub onboot: bool,
    /// Its interfaces: `net0` and what stands behind it.
    pub nets: BTreeMap<String, String>,
}

/// How the line begins by which one that was put aside says so.
const ASIDE: &str = "Set aside by Proximity";
const TOOK: &str = " took its place: ";

impl Identity {
    /// That of a container as it is configured; none where it has no name of its own.
    pub fn of(guest: &Guest) -> Option<Identity> {
        let nets = guest.nics.iter().map(|n| (n.key.clone(), n.raw.clone())).collect();
        Some(Identity { hostname: guest.name.clone()?, onboot: guest.onboot, nets })
    }

    /// What a container is while it does not have this place: another name, unplugged, not started with the host.
    fn aside(&self, guest: &Guest) -> Identity {
        let nets = self.nets.iter().map(|(key, raw)| (key.clone(), unplugged(raw))).collect();
        let named = Guest { name: Some(self.hostname.clone()), ..Guest::bare(guest.id, Kind::Lxc) };
        Identity { hostname: beside_name(&named, guest.id), onboot: false, nets }
    }

    /// Whether a container is configured so. In which order Proxmox writes the parts of an interface means nothing.
    pub fn is_of(&self, guest: &Guest) -> bool {
        let parts = |raw: &str| raw.split(',').map(str::to_owned).collect::<BTreeSet<_>>();
        let nets = |all: &BTreeMap<String, String>| all.iter().map(|(key, raw)| (key.clone(), parts(raw))).collect::<BTreeMap<_, _>>();
        Identity::of(guest)
            .is_some_and(|has| (&has.hostname, has.onboot, nets(&has.nets)) == (&self.hostname, self.onboot, nets(&self.nets)))
    }

    /// The one command that makes it a container's, with these notes. Where none of both starts with the host nothing is said
    /// of that, for what was not written there is not to be written there afterwards.
    fn give(&self, guest: &Guest, notes: &[String], onboot: bool) -> Cmd {
        let mut words = vec!["set".to_owned(), guest.id.to_string(), "--hostname".into(), self.hostname.clone()];
        if onboot {
            words.extend(["--onboot".into(), u8::from(self.onboot).to_string()]);
        }
        self.nets.iter().for_each(|(key, raw)| words.extend([format!("--{key}"), raw.clone()]));
        let gone: Vec<&str> = guest.nics.iter().map(|n| n.key.as_str()).filter(|key| !self.nets.contains_key(*key)).collect();
        if !gone.is_empty() {
            words.extend(["--delete".into(), gone.join(",")]);
        }
        words.extend(["--description".into(), notes.join("\n")]);
        Cmd::new("pct", words)
    }
}

/// Who took the place of one that was put aside, and what that place is.
pub fn aside_for(guest: &Guest) -> Option<(Vmid, Identity)> {
    guest.notes.iter().find_map(|line| {
        let (_, rest) = line.strip_prefix(ASIDE)?.split_once("; ")?;
        let (id, place) = rest.split_once(TOOK)?;
        Some((id.parse().ok()?, serde_json::from_str(place).ok()?))
    })
}

/// Since when it is aside; none where it is not, or where that is not written there.
pub fn aside_since(guest: &Guest) -> Option<Stamp> {
    let at = guest.notes.iter().find_map(|line| line.strip_prefix(ASIDE)?.strip_prefix(' ')?.split_once("; "))?.0;
    when::parse(at, Here { now: Stamp::default(), offset_s: 0 }).ok()
}

fn without_mark(guest: &Guest) -> Vec<String> {
    guest.notes.iter().filter(|line| !line.starts_with(ASIDE)).cloned().collect()
}

/// The place that is to be taken, wherever an earlier change was broken off.
fn place(from: &Guest, to: &Guest) -> Option<Identity> {
    match (aside_for(from), aside_for(to)) {
        // It was put aside for the same one already.
        (Some((id, place)), _) if id == to.id => Some(place),
        // The way back; but who has the place now never got it whole.
        (_, Some((id, place))) if id == from.id && from.name.as_deref() != Some(&place.hostname) => Some(place),
        _ => Identity::of(from),
    }
}

/// The plan, or why it is refused.
pub fn plan(world: &World, wish: &SwapWish) -> Result<Plan, Refusal> {
    let refuse = |(why, hint): (String, &str)| Refusal::new(format!("put {} in the place of {}", wish.to, wish.from), why, hint);
    world.takes_changes().map_err(refuse)?;
    let (from, to) = (fit(world, wish.from).map_err(refuse)?, fit(world, wish.to).map_err(refuse)?);
    if from.id == to.id {
        return Err(refuse(("these are the same container".into(), "name two")));
    }
    let Some(place) = place(from, to) else {
        return Err(refuse((format!("{} has no name of its own", from.id), "give it one: pct set ID --hostname NAME")));
    };
    let (has, runs) = (place.is_of(to), |guest: &Guest| guest.power == Power::Running);
    if has && runs(to) && !runs(from) {
        return Err(refuse((format!("{} has that place and runs", to.title()), "nothing to do")));
    }
    let (steps, notes) = take(world, Some(from), from, to, &place);
    let older = made_of(to).map(|volid| format!("{} is of {volid}: what {} wrote since is not in it", to.id, from.id));
    Ok(Plan {
        purpose: Purpose::Swap,
        title: format!("put {} in the place of {}", to.title(), from.title()),
        guest: to.id,
        host: world.place.host.clone(),
        facts: older.into_iter().chain([stays(from, to.id), PUT_BACK.into()]).collect(),
        notes,
        risk: Risk::Interrupts,
        steps,
    })
}

/// What is said of an answer that does not come.
pub(super) const PUT_BACK: &str = "if it does not answer all is put back, and the other one started again";

/// What is said of the one that loses its place.
pub(super) fn stays(from: &Guest, to: Vmid) -> String {
    format!("{} stays, stopped and unplugged; the way back: proximity backup swap {to} {}", from.title(), from.id)
}

/// The steps by which a container takes a place, of the one that has it or of nobody, and what is to be thought about before.
/// `like` is who had it last: what that one may write of the host.
pub(super) fn take(world: &World, from: Option<&Guest>, like: &Guest, to: &Guest, place: &Identity) -> (Vec<Step>, Vec<String>) {
    let has = place.is_of(to);
    let runs = |guest: &&Guest| guest.power == Power::Running && !(has && guest.id == to.id);
    let is = |guest: &Guest, identity: &Identity| Check::Named { vmid: guest.id, identity: Box::new(identity.clone()) };
    // A job may wait for its turn, and another one be quicker.
    let as_planned = from
        .and_then(|g| Some((g, Identity::of(g)?)))
        .map(|(g, identity)| Step::wait(format!("see that {} is as it was when this was planned", g.title()), 0, is(g, &identity)));
    let mut steps: Vec<Step> = as_planned.into_iter().chain(from.into_iter().chain([to]).filter(runs).map(stop)).collect();
    let onboot = place.onboot || from.is_some_and(|g| g.onboot) || to.onboot;
    let before = if has { place.aside(to) } else { Identity::of(to).unwrap_or_else(|| place.aside(to)) };
    let mut notes = Vec::new();
    if let Some(from) = from {
        let mark = serde_json::to_string(place).unwrap_or_default();
        let marked: Vec<String> =
            without_mark(from).into_iter().chain([format!("{ASIDE} {}; {}{TOOK}{mark}", world.guests.as_of.rfc3339(), to.id)]).collect();
        let aside = place.aside(from);
        steps.push(
            Step::run(format!("put {} aside as {}", from.title(), aside.hostname), aside.give(from, &marked, onboot), is(from, &aside))
                .undone_by(place.give(from, &without_mark(from), onboot)),
        );
        notes.push(format!("backup jobs of Proxmox that name {} do not back {} up", from.id, to.id));
    }
    // What a copy only read of the host it may write when it is the app.
    let (mut give, mut back) = (place.give(to, &without_mark(to), onboot), before.give(to, &to.notes, onboot));
    for (mount, whole) in to.mounts.iter().filter_map(|m| Some((m, writable(m, like)?))) {
        give.args.extend([format!("--{}", mount.key), whole.to_owned()]);
        back.args.extend([format!("--{}", mount.key), mount.raw.clone()]);
    }
    steps.push(Step::run(format!("give {} its name and interfaces", to.id), give, is(to, place)).undone_by(back));
    steps.extend(started(to.id));
    let (asked, gaps) = asked(world, place);
    for (name, spec, pair) in asked {
        let vmid = world.appliance_id();
        let check = match spec.carry {
            Carry::Http => Check::Serves { vmid, pair, unanswered: false, tls: spec.tls },
            Carry::Tcp => Check::Takes { vmid, port: pair.public },
            Carry::Udp => continue,
        };
        steps.push(Step { always: true, ..Step::wait(format!("wait until {name} answers on {pair}"), 60, check) });
    }
    (steps, gaps.into_iter().chain(notes).collect())
}

/// How a mount point of the host stands with whoever had the place, where a copy of it may only read there.
fn writable<'g>(mount: &Mount, like: &'g Guest) -> Option<&'g str> {
    let same = |m: &&Mount| m.bind && (&m.source, &m.path) == (&mount.source, &mount.path) && !m.is_read_only();
    like.mounts.iter().find(same).filter(|_| mount.bind && mount.is_read_only()).map(|m| m.raw.as_str())
}

/// Who has the place now that a container had when it was backed up: itself, or whoever took it since. None where it is gone and
/// nobody has an address of it.
pub(super) fn who_has<'w>(world: &'w World, old: &Guest) -> Option<&'w Guest> {
    let guests = world.guests.get()?;
    let mut at = guests.iter().find(|g| g.id == old.id).or_else(|| guests.iter().find(|g| share_an_address(g, old)))?;
    // Each step leads to another one, so there are no more than guests.
    for _ in 0..guests.len() {
        match aside_for(at).and_then(|(id, _)| guests.iter().find(|g| g.id == id)) {
            Some(next) => at = next,
            None => break,
        }
    }
    Some(at)
}

/// Whether two are plugged in with one hardware address, or would be.
pub(super) fn share_an_address(one: &Guest, other: &Guest) -> bool {
    let all = |g: &Guest| g.nics.iter().filter(|n| !n.is_unplugged()).filter_map(|n| n.hwaddr.clone()).collect::<BTreeSet<_>>();
    !all(one).is_disjoint(&all(other))
}

/// How a line in the notes begins that tells which archive a container is made of.
pub const MADE_OF: &str = "Restored by Proximity from ";

/// Notes of what is restored of a container: its own, but none of what an earlier one was, and which archive it is made of.
pub(super) fn notes_of_restored(old: &Guest, volid: &str) -> String {
    let mut notes = without_mark(old);
    notes.retain(|line| !line.starts_with(MADE_OF));
    notes.push(format!("{MADE_OF}{volid}"));
    notes.join("\n")
}

/// The change of places that suggests itself for a container, in words.
pub fn offered(world: &World, guest: &Guest) -> Option<(&'static str, SwapWish)> {
    let others = || world.guests.get().into_iter().flatten().filter(|g| g.id != guest.id);
    if let Some((other, _)) = aside_for(guest) {
        return Some(("put it back in the place that it had", SwapWish { from: other, to: guest.id }));
    }
    if let Some(before) = others().find(|g| aside_for(g).is_some_and(|(id, _)| id == guest.id)) {
        return Some(("put back who had its place before", SwapWish { from: guest.id, to: before.id }));
    }
    let file = guest.notes.iter().find_map(|line| line.strip_prefix(MADE_OF))?.rsplit('/').next()?.to_owned();
    let (_, of, _) = parse_name(&file)?;
    let original = others().find(|g| g.id == of)?;
    Some(("put it in the place of what it was made of", SwapWish { from: original.id, to: guest.id }))
}

/// The archive that a container is made of, by its notes. Clean.
pub fn made_of(guest: &Guest) -> Option<String> {
    guest.notes.iter().find_map(|line| line.strip_prefix(MADE_OF)).map(super::clean::clean)
}

/// A container that may be swapped.
pub(super) fn fit(world: &World, id: Vmid) -> Result<&Guest, (String, &'static str)> {
    let guest = world.the_guest(id)?;
    let title = guest.title();
    if guest.kind != Kind::Lxc {
        return Err((format!("{title} is a virtual machine"), "use the Proxmox page"));
    }
    if let Some(node) = guest.node.as_deref().filter(|n| world.node_name().is_some_and(|me| me != *n)) {
        return Err((format!("{title} lives on node {}", super::clean::clean(node)), "run it on that node"));
    }
    if is_none_of_apps(guest, world.appliance_id()) {
        return Err((format!("{title} is the appliance"), "see proximity appliance rebuild"));
    }
    if !guest.conf_read {
        return Err((format!("the configuration of {id} could not be read"), "see doctor"));
    }
    if guest.template {
        return Err((format!("{title} is a template"), "clone it first"));
    }
    if let Some(lock) = &guest.lock {
        return Err((format!("{title} is locked ({lock})"), "wait for what holds it; if nothing does: proximity guest unlock"));
    }
    if let Some(upid) = world.task_on(id) {
        return Err((format!("task {upid} works on {title} now"), "wait until it ended"));
    }
    if guest.power == Power::Unknown {
        return Err((format!("whether {title} runs is unknown"), "see doctor"));
    }
    Ok(guest)
}

/// The steps by which a container is started and its init asked.
pub(super) fn started(id: Vmid) -> [Step; 2] {
    let start = Step::run(format!("start {id}"), pve::pct("start", id).limit(120), Check::Running { vmid: id });
    [start.undone_by(pve::pct("stop", id)), Step::wait(format!("wait until {id} answers"), 90, Check::Answers { vmid: id })]
}

/// Asks it to end; one that does not is ended, for it may be why somebody restores.
fn stop(guest: &Guest) -> Step {
    let id = guest.id.to_string();
    let cmd = Cmd::new("pct", ["shutdown", &id, "--forceStop", "1", "--timeout", "60"]).limit(150);
    Step::run(format!("stop {}", guest.title()), cmd, Check::Stopped { vmid: guest.id }).undone_by(pve::pct("start", guest.id))
}

/// What is published that leads to a guest by its name or an address of its own, and what is to be said where nobody can be
/// asked by that.
pub(super) fn published<'w>(world: &'w World, guest: &Guest) -> (Vec<&'w Published>, Option<String>) {
    let domain = world.chosen().and_then(|s| caddy::around(&s)).map(|(domain, _)| domain);
    let (map, domain) = match (&world.ports.known, domain) {
        (Ok(map), Ok(domain)) => (map, domain),
        (Err(_), _) if world.ports.is_pending() => return (Vec::new(), Some("nothing is published: only its init is asked".into())),
        (map, domain) => {
            let why = map.as_ref().err().cloned().or(domain.err()).unwrap_or_default();
            return (Vec::new(), Some(format!("what is published is unknown, so only its init is asked: {why}")));
        }
    };
    let own = |address: &IpAddr| {
        let is = |ip: &str| ip.split('/').next() == Some(&address.to_string());
        guest.nics.iter().any(|n| n.ip.as_deref().is_some_and(is))
    };
    let short = guest.name.as_deref().and_then(|n| n.split('.').next()).unwrap_or_default().to_ascii_lowercase();
    let leads = |to: &UpHost| match to {
        UpHost::Address(address) => own(address),
        UpHost::Name(name) => name.to_string() == short || name.to_string() == format!("{short}.{domain}"),
    };
    let all: Vec<_> = map.services.iter().filter(|s| leads(&s.spec.to.host)).collect();
    let none = all.is_empty().then(|| "nothing is published that leads to it by name: only its init is asked".to_owned());
    (all, none)
}

/// What is published of a place and can be asked from outside, and what is to be said where that is not all.
fn asked(world: &World, place: &Identity) -> (Vec<(ServiceName, Spec, Pair)>, Vec<String>) {
    let conf: String = place.nets.iter().map(|(key, raw)| format!("{key}: {raw}\n")).collect();
    let named = Guest { name: Some(place.hostname.clone()), ..parse_lxc(Vmid::APPLIANCE, &conf) };
    let (all, gap) = published(world, &named);
    let pair = |s: &Published| Some((s.name.clone(), s.spec.clone(), world.ports.get()?.of(&s.name)?.pair));
    let all: Vec<_> = all.into_iter().filter_map(pair).collect();
    let runs = world.guest(world.appliance_id()).is_some_and(|g| g.power == Power::Running);
    if !runs && !all.is_empty() {
        let names: Vec<String> = all.into_iter().map(|(name, ..)| name.to_string()).collect();
        return (Vec::new(), vec![format!("the appliance does not run, so {} cannot be asked", names.join(", "))]);
    }
    (all, gap.into_iter().collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::backup::tests::world;
    use super::super::ports::{Held, PortMap, What};
    use super::super::stamp::Stamp;
    use super::super::world::{From, Part};
    use super::*;

    const NET: &str = "name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth";

    fn guest(id: u32, conf: &str, power: Power) -> Guest {
        Guest { power, ..parse_lxc(id.try_into().unwrap(), conf) }
    }

    fn id(n: u32) -> Vmid {
        n.try_into().unwrap()
    }

    fn both() -> World {
        let web = guest(101, &format!("#my words\nhostname: web\nonboot: 1\nnet0: {NET}\n"), Power::Running);
        let beside = guest(
            103,
            "#Restored by Proximity from local%3Abackup/x.tar.zst\nhostname: web-103\nnet0: name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:99,ip=dhcp,link_down=1,type=veth\n",
            Power::Running,
        );
        let edge = guest(9999, "hostname: edge\n", Power::Running);
        let map = PortMap {
            held: vec![Held {
                pair: Pair { public: 30_001, internal: 40_001 },
                what: What::Reserved("cloud".parse().unwrap()),
                at: Stamp(1),
                by: "ada".into(),
            }],
            services: vec![Published {
                name: "cloud".parse().unwrap(),
                spec: Spec::to("web.prox.local:80".parse().unwrap()),
                at: Stamp(1),
                by: "ada".into(),
            }],
            ..PortMap::default()
        };
        World {
            guests: Part::new(vec![web, beside, edge], Stamp(1), From::Files),
            ports: Part::new(map, Stamp(1), From::Files),
            settings: Part::new(super::super::settings::Settings::default(), Stamp(1), From::Files),
            ..world()
        }
    }

    /// What Proxmox makes of a command of [`Identity::give`].
    fn done(world: &mut World, cmd: &Cmd) {
        let of = |option: &str| cmd.args.iter().position(|a| a == option).map(|at| cmd.args[at + 1].clone());
        let vmid = cmd.args[1].parse().unwrap();
        let all = world.guests.known.as_mut().unwrap();
        let guest = all.iter_mut().find(|g| g.id == vmid).unwrap();
        let notes: String = of("--description").unwrap().lines().map(|l| format!("#{l}\n")).collect();
        let nets: String = of("--net0").map(|net| format!("net0: {net}\n")).unwrap_or_default();
        let conf = format!("{notes}hostname: {}\nonboot: {}\n{nets}", of("--hostname").unwrap(), of("--onboot").unwrap());
        *guest = Guest { power: guest.power, ..parse_lxc(vmid, &conf) };
    }

    fn cmds(plan: &Plan) -> Vec<Cmd> {
        let act = |s: &Step| if let super::super::plan::Act::Run { cmd, .. } = &s.act { Some(cmd.clone()) } else { None };
        plan.steps.iter().filter_map(act).filter(|c| c.args[0] == "set").collect()
    }

    #[test]
    fn the_plan_as_it_is_shown() {
        let plan = plan(&both(), &SwapWish { from: id(101), to: id(103) }).unwrap();
        insta::assert_snapshot!(plan.lines().join("\n"), @r#"
        put 103 web-103 in the place of 101 web
        1 see that 101 web is as it was when this was planned
            asked once
            then: 101 is web, with net0
        2 stop 101 web
            $ pct shutdown 101 --forceStop 1 --timeout 60
            then: 101 is stopped
            undo: pct start 101
        3 stop 103 web-103
            $ pct shutdown 103 --forceStop 1 --timeout 60
            then: 103 is stopped
            undo: pct start 103
        4 put 101 web aside as web-101
            $ pct set 101 --hostname web-101 --onboot 0 --net0 name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth,link_down=1 --description 'my words␊Set aside by Proximity 1970-01-01T00:00:00Z; 103 took its place: {"hostname":"web","onboot":true,"nets":{"net0":"name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth"}}'
            then: 101 is web-101, with net0
            undo: pct set 101 --hostname web --onboot 1 --net0 name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth --description 'my words'
        5 give 103 its name and interfaces
            $ pct set 103 --hostname web --onboot 1 --net0 name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth --description 'Restored by Proximity from local:backup/x.tar.zst'
            then: 103 is web, with net0
            undo: pct set 103 --hostname web-103 --onboot 0 --net0 name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:99,ip=dhcp,link_down=1,type=veth --description 'Restored by Proximity from local:backup/x.tar.zst'
        6 start 103
            $ pct start 103
            then: 103 runs
            undo: pct stop 103
        7 wait until 103 answers
            wait, at most 90 s
            then: 103 runs and answers
        8 wait until cloud answers on 30001 / 40001
            wait, at most 60 s
            then: both ports answer: 30001 from outside, 40001 inside
        103 is of local:backup/x.tar.zst: what 101 wrote since is not in it
        101 web stays, stopped and unplugged; the way back: proximity backup swap 103 101
        if it does not answer all is put back, and the other one started again
        ! backup jobs of Proxmox that name 101 do not back 103 up
        "#);
    }

    /// There and back, and from wherever it was broken off there again or back: the place is always whole at one of both.
    #[test]
    fn wherever_it_is_broken_off_the_place_is_known() {
        let there = SwapWish { from: id(101), to: id(103) };
        let back = SwapWish { from: id(103), to: id(101) };
        let whole = Identity { hostname: "web".into(), onboot: true, nets: [("net0".to_owned(), NET.to_owned())].into() };
        let first = cmds(&plan(&both(), &there).unwrap());
        assert_eq!(first.len(), 2);
        for done_of in 0..=2 {
            for (again, has) in [(there, 103), (back, 101)] {
                let mut world = both();
                world
                    .guests
                    .known
                    .as_mut()
                    .unwrap()
                    .iter_mut()
                    .for_each(|g| g.power = if g.id == id(9999) { Power::Running } else { Power::Stopped });
                first[..done_of].iter().for_each(|cmd| done(&mut world, cmd));
                if done_of == 0 && again == back {
                    continue;
                }
                for cmd in cmds(&plan(&world, &again).unwrap()) {
                    done(&mut world, &cmd);
                }
                let other = if has == 101 { 103 } else { 101 };
                let of = |n| world.guest(id(n)).unwrap();
                assert!(whole.is_of(of(has)) && aside_for(of(has)).is_none(), "{done_of} {again:?}: {:?}", of(has));
                assert!(whole.aside(of(other)).is_of(of(other)), "{done_of} {again:?}: {:?}", of(other));
                assert_eq!(aside_for(of(other)), Some((id(has), whole.clone())));
                assert_eq!(of(101).notes[0], "my words");
            }
        }
    }

    #[test]
    fn what_is_undone_is_as_it_was() {
        let world = both();
        let plan = plan(&world, &SwapWish { from: id(101), to: id(103) }).unwrap();
        let mut after = both();
        cmds(&plan).iter().for_each(|cmd| done(&mut after, cmd));
        for step in plan.steps.iter().rev() {
            if let Some(super::super::plan::Undo::Run(cmd)) =
                step.undo.as_ref().filter(|u| matches!(u, super::super::plan::Undo::Run(c) if c.args[0] == "set"))
            {
                done(&mut after, cmd);
            }
        }
        for n in [101, 103] {
            let (was, is) = (world.guest(id(n)).unwrap(), after.guest(id(n)).unwrap());
            assert!(Identity::of(was).unwrap().is_of(is) && was.notes == is.notes, "{was:?} {is:?}");
        }
    }

    #[test]
    fn whoever_may_not_change_places_is_told() {
        let why = |change: &dyn Fn(&mut Vec<Guest>), from, to| {
            let mut world = both();
            change(world.guests.known.as_mut().unwrap());
            plan(&world, &SwapWish { from: id(from), to: id(to) }).unwrap_err().why
        };
        assert_eq!(why(&|_| (), 101, 101), "these are the same container");
        assert_eq!(why(&|_| (), 101, 9999), "9999 edge is the appliance");
        assert_eq!(why(&|_| (), 101, 200), "there is no guest 200");
        assert_eq!(why(&|all| all[1].lock = Some("backup".into()), 101, 103), "103 web-103 is locked (backup)");
        assert_eq!(why(&|all| all[0].power = Power::Unknown, 101, 103), "whether 101 web runs is unknown");
        assert_eq!(why(&|all| all[0].conf_read = false, 101, 103), "the configuration of 101 could not be read");
        assert_eq!(why(&|all| all[0].kind = Kind::Qemu, 101, 103), "101 web is a virtual machine");
        assert_eq!(why(&|all| all[1].template = true, 101, 103), "103 web-103 is a template");
        assert!(why(&|all| all[0].name = None, 101, 103).contains("no name"));
    }
}
