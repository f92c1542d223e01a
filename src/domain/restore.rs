//! Restore: an archive becomes a new guest beside the one it was made of, which is not touched. It is asked from within, and may
//! then take the place of the original, which stays; so nothing is ever restored over a guest, not even where it comes back in place.

use super::backup::Archive;
use super::clean::clean;
use super::cmd::Cmd;
use super::conf::parse_lxc;
use super::fact::ArchiveConf;
use super::guest::{self, Guest, Kind, Mount, Nic, Power, Vmid};
use super::inside::ledger::{Ledger, Standing};
use super::plan::{Act, Check, Plan, Purpose, Refusal, Risk, Step, Watch};
use super::pve::{self, RestoreOptions};
use super::service::{Carry, Published};
use super::stamp::bytes;
use super::storage::StorageId;
use super::swap::{self, Identity, published};
use super::world::World;

/// A restore that is wished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreWish {
    /// Which archive.
    pub volid: String,
    /// Id of the new guest; `None` takes the lowest free one.
    pub to: Option<Vmid>,
    /// Storage of its volumes; `None` takes the one with most room that takes root disks.
    pub storage: Option<StorageId>,
    /// Plug its interfaces in: whatever it does then, it does to others.
    pub plugged: bool,
    /// What becomes of it.
    pub after: After,
}

/// What becomes of a guest that was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It stays as it is, stopped.
    Stay,
    /// It is started and asked, and goes on running beside the original.
    Start,
    /// The same, and then it takes the place of the original, or of one that is gone.
    Swap,
    /// The same, and then it is removed, whatever it answered: only to know whether it would come back.
    Remove,
}

impl RestoreWish {
    /// A drill with an archive.
    pub fn drill(volid: impl Into<String>, storage: Option<StorageId>) -> RestoreWish {
        RestoreWish { volid: volid.into(), to: None, storage, plugged: false, after: After::Remove }
    }
}

/// The archive of a wish, from the World.
pub fn archive<'w>(world: &'w World, wish: &RestoreWish) -> Result<&'w Archive, Refusal> {
    let refuse = |why: String, hint: &str| Refusal::new(format!("restore {}", clean(&wish.volid)), why, hint);
    let archives = world.archives.known.as_ref().map_err(|why| refuse(format!("the backups are unknown: {why}"), "see doctor"))?;
    archives.iter().find(|a| a.volid == wish.volid).ok_or_else(|| refuse("there is no such archive".into(), "see backup list"))
}

/// The plan of a restore beside, or why it is refused. `found` is the archive with the configuration inside it.
pub fn plan(world: &World, wish: &RestoreWish, found: &ArchiveConf) -> Result<Plan, Refusal> {
    let refuse = |why: String, hint: &str| Refusal::new(format!("restore {}", clean(&wish.volid)), why, hint);
    let from = found.archive.vmid.ok_or_else(|| refuse("its name does not tell which guest it is of".into(), "use pct restore by hand"))?;
    if found.archive.kind != Some(Kind::Lxc) {
        return Err(refuse("it is not of a container".into(), "use the Proxmox page for virtual machines"));
    }
    if found.archive.is_empty() {
        return Err(refuse("the archive is empty".into(), "choose another one"));
    }
    let old = parse_lxc(from, &found.conf);
    if !old.mounts.iter().any(|m| m.key == "rootfs") {
        return Err(refuse("the configuration inside names no root disk".into(), "the archive may be damaged; choose another one"));
    }
    world.takes_changes().map_err(|(why, hint)| refuse(why, hint))?;
    let to = new_id(world, wish).map_err(|(why, hint)| refuse(why, hint))?;
    let storage = choose(world, wish, &old).map_err(|(why, hint)| refuse(why, hint))?;
    if let Some(line) = old.raw_lxc.iter().find(|line| reaches_out(line)).filter(|_| wish.after != After::Stay) {
        let why = format!("it comes with a line of LXC's own by which the copy would share what the original has: {}", clean(line));
        return Err(refuse(why, "restore it without a start (--no-start) and look at its configuration"));
    }
    let hostname = beside_name(&old, to);
    let (nets, mut notes) = unplugged(&old, wish.plugged);
    notes.extend(what_to_think_of(&old));
    let ledger = world.jobs.get().map(|jobs| Ledger::of(jobs));
    notes.extend(
        ledger.iter().map(|l| l.standing(&found.archive)).filter(Standing::is_bad).map(|s| format!("when it was verified: {}", s.words())),
    );
    let options = RestoreOptions {
        storage: storage.clone(),
        unprivileged: old.unprivileged == Some(true),
        hostname: hostname.clone(),
        nets,
        notes: swap::notes_of_restored(&old, &wish.volid),
    };
    // In a place that is taken, what was restored stays for a look where it does not get there.
    let undo = match wish.after {
        After::Swap => None,
        After::Remove => Some(pve::destroy(to).into()),
        After::Stay | After::Start => Some(pve::pct("destroy", to).into()),
    };
    let mut steps = vec![Step {
        title: format!("restore {to} {hostname}"),
        act: Act::Run { cmd: pve::restore(to, &wish.volid, &options), watch: Watch::Restore { vmid: to } },
        check: Check::Unlocked { vmid: to },
        undo,
        always: true,
    }];
    let shared: Vec<&Mount> = old.mounts.iter().filter(|m| m.bind && !m.is_read_only()).collect();
    if !shared.is_empty() {
        let words = shared.iter().flat_map(|m| [format!("--{}", m.key), m.read_only()]);
        let cmd = Cmd::new("pct", ["set".to_owned(), to.to_string()].into_iter().chain(words));
        let check = Check::ReadOnly { vmid: to, keys: shared.iter().map(|m| m.key.clone()).collect() };
        steps.push(Step::run(format!("let {to} only read what it mounts of the host"), cmd, check));
    }
    if wish.after != After::Stay {
        steps.extend(swap::started(to));
        let (asked, gap) = published(world, &old);
        notes.extend(gap);
        steps.extend(asked.into_iter().filter_map(|s| of_the_app(to, s)));
    }
    let label = old.label();
    let plan = |purpose, title, facts, notes, risk, steps| Plan {
        purpose,
        title,
        guest: to,
        host: world.place.host.clone(),
        facts,
        notes,
        risk,
        steps,
    };
    Ok(match wish.after {
        After::Remove => {
            steps.push(Step::run(format!("remove {to} again"), pve::destroy(to), Check::Gone { vmid: to }));
            let title = format!("see whether {from} {label} would come back: as {to} on {storage}, removed again");
            let facts = vec![format!("{from} is not touched; {to} has no network and is removed, whatever it answers")];
            plan(Purpose::Drill, title, facts, notes, Risk::Low, steps)
        }
        After::Swap => {
            let has = swap::who_has(world, &old);
            let place = in_place(world, &old, has).map_err(|(why, hint)| refuse(why, hint))?;
            let copy = copy_of(&old, to, &options);
            let (more, more_notes) = swap::take(world, has, has.unwrap_or(&old), &copy, &place);
            let asked_from_outside = more_notes.into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>();
            steps.extend(more);
            let (title, mut facts) = match has {
                Some(has) => (
                    format!("restore {from} {label} as {to} on {storage} and put it in the place of {}", has.title()),
                    vec![
                        format!("{} goes on until {to} was asked from within; it is down from there until {to} answers", has.title()),
                        format!("what {} wrote since the backup is not in {to}", has.id),
                        swap::stays(has, to),
                    ],
                ),
                None => (
                    format!("restore {from} {label} as {to} on {storage}, as it was"),
                    vec![format!(
                        "{from} is gone and nobody has its place: {to} gets its name, its interfaces and its start with the host"
                    )],
                ),
            };
            facts.push(if has.is_some() {
                swap::PUT_BACK.into()
            } else {
                format!("if it does not answer {to} stays, stopped, for a look")
            });
            let notes = notes.into_iter().chain(asked_from_outside).collect();
            plan(Purpose::RestoreInPlace, title, facts, notes, Risk::Interrupts, steps)
        }
        After::Stay | After::Start => {
            let network = if wish.plugged { "gets" } else { "has no network, gets" };
            let facts = vec![
                format!("{from} is not touched; the new guest {network} new hardware addresses and does not start with the host"),
                format!("once it is proven it takes the place of {from} with: proximity backup swap {from} {to}"),
            ];
            plan(Purpose::RestoreBeside, format!("restore {from} {label} beside as {to} on {storage}"), facts, notes, Risk::Low, steps)
        }
    })
}

/// The place that what comes back takes: of whoever has it now, else as the archive tells.
fn in_place(world: &World, old: &Guest, has: Option<&Guest>) -> Result<Identity, (String, &'static str)> {
    let Some(has) = has else {
        return Identity::of(old).ok_or_else(|| ("it has no name of its own".into(), "restore it beside"));
    };
    swap::fit(world, has.id)?;
    // A number is given again after its guest was removed.
    if has.name != old.name && !swap::share_an_address(has, old) {
        let why =
            format!("the archive is of {}, and {} is another guest: neither its name nor an address is the same", old.label(), has.title());
        return Err((why, "restore it beside, look at it, and swap it"));
    }
    Identity::of(has).ok_or_else(|| (format!("{} has no name of its own", has.id), "give it one: pct set ID --hostname NAME"))
}

/// What was restored, as it is configured when it runs.
fn copy_of(old: &Guest, to: Vmid, options: &RestoreOptions) -> Guest {
    let of_net = |key: &str| options.nets.iter().find(|(k, _)| k == key).map(|(_, raw)| raw.clone());
    let nic = |n: &Nic| Nic { raw: of_net(&n.key).unwrap_or_else(|| n.raw.clone()), hwaddr: None, ..n.clone() };
    let mount = |m: &Mount| Mount { raw: if m.bind { m.read_only() } else { m.raw.clone() }, ..m.clone() };
    Guest {
        id: to,
        name: Some(options.hostname.clone()),
        onboot: false,
        power: Power::Running,
        notes: options.notes.lines().map(str::to_owned).collect(),
        nics: old.nics.iter().map(nic).collect(),
        mounts: old.mounts.iter().map(mount).collect(),
        ..old.clone()
    }
}

/// Whether a line of LXC's own lets a container do something outside itself.
fn reaches_out(line: &str) -> bool {
    ["lxc.mount", "lxc.hook"].iter().any(|key| line.starts_with(key))
}

/// What of its configuration may surprise who restores it.
fn what_to_think_of(old: &Guest) -> Vec<String> {
    let bind = old.mounts.iter().filter(|m| m.bind).map(|m| {
        format!(
            "not in the archive: {} ({}, mounted of the host's {}); the copy may only read there",
            clean(&m.path),
            m.key,
            clean(&m.source)
        )
    });
    let empty = old.mounts.iter().filter(|m| !m.bind && !m.in_backup);
    let empty = empty.map(|m| format!("comes back empty, for it is not in the archive: {} ({} backup=0)", clean(&m.path), m.key));
    let mut notes: Vec<String> = bind.chain(empty).collect();
    if old.unprivileged == Some(false) {
        notes.push("it is privileged: root in it is root of this host".into());
    }
    notes.extend(old.devices.iter().map(|path| format!("it gets the device {} of this host", clean(path))));
    notes.extend(old.raw_lxc.iter().map(|line| format!("it comes with a line of LXC's own: {}", clean(line))));
    notes
}

/// A name that does not take over the original's entry in the DNS: `web-103`, cut to a label's 63 characters.
pub(super) fn beside_name(old: &Guest, to: Vmid) -> String {
    let tail = format!("-{to}");
    let whole = old.name.as_deref().unwrap_or("guest").split('.').next().unwrap_or("guest");
    let stem: String = whole.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(63 - tail.len()).collect();
    let stem = stem.trim_matches('-');
    format!("{}{tail}", if stem.is_empty() { "guest" } else { stem })
}

/// Whatever the copy does, it does to nobody: it comes up unplugged. Plugged in on demand, but for interfaces with a fixed
/// address: two guests with one address break both.
fn unplugged(old: &Guest, plugged: bool) -> (Vec<(String, String)>, Vec<String>) {
    let fixed = |n: &Nic| n.ip.as_deref().is_some_and(|ip| !matches!(ip, "dhcp" | "manual" | "auto"));
    let one = |nic: &Nic| {
        let words: Vec<&str> = nic.raw.split(',').filter(|w| !w.starts_with("hwaddr=")).collect();
        (nic.key.clone(), guest::unplugged(&words.join(",")))
    };
    let nets = old.nics.iter().filter(|n| !plugged || fixed(n)).map(one).collect();
    let note = |n: &Nic| format!("{} has the fixed address {} and comes up unplugged (link_down=1)", n.key, n.ip.as_deref().unwrap_or(""));
    (nets, old.nics.iter().filter(|n| plugged && fixed(n)).map(note).collect())
}

/// What is published of the original, asked of the copy: from within, for it is reached by nobody else.
fn of_the_app(to: Vmid, service: &Published) -> Option<Step> {
    let Published { name, spec, .. } = service;
    let port = spec.to.port;
    let http = match spec.carry {
        Carry::Http => !spec.to.tls,
        Carry::Tcp => false,
        Carry::Udp => return None,
    };
    let check = Check::App { vmid: to, port, http };
    Some(Step { always: true, ..Step::wait(format!("wait until {name} answers in {to}"), 90, check) })
}

fn new_id(world: &World, wish: &RestoreWish) -> Result<Vmid, (String, &'static str)> {
    let guests = world.guests.known.as_ref().map_err(|why| (format!("the guests of this host are unknown: {why}"), "see doctor"))?;
    match wish.to {
        Some(id) if guests.iter().any(|g| g.id == id) => {
            Err((format!("guest {id} is there already, and restore beside never overwrites"), "choose a free id"))
        }
        Some(id) => Ok(id),
        None => world.next_id().ok_or(("no free id".into(), "choose one")),
    }
}

/// Where the disks of the copy go: where it takes them and they have room.
pub(super) fn choose(world: &World, wish: &RestoreWish, old: &Guest) -> Result<StorageId, (String, &'static str)> {
    let all = world.storages.known.as_ref().map_err(|why| (format!("the storages are unknown: {why}"), "see doctor"))?;
    let fits = |s: &&super::storage::Storage| s.takes("rootdir") && s.space.is_ok();
    // The storage it came from, where it still is; else the one with most room.
    let home = old.mounts.iter().find(|m| m.key == "rootfs").and_then(|m| m.source.split(':').next());
    let storage = match &wish.storage {
        Some(id) => all.iter().find(|s| s.id == *id).ok_or_else(|| (format!("there is no storage {id}"), "see status"))?,
        None => all
            .iter()
            .filter(fits)
            .max_by_key(|s| (Some(s.id.as_str()) == home, s.space.as_ref().map_or(0, |x| x.avail)))
            .ok_or_else(|| ("no storage that takes root disks answers".to_owned(), "see status for why"))?,
    };
    if !storage.takes("rootdir") {
        return Err((
            format!("storage {} does not take root disks (content {})", storage.id, storage.content.join(",")),
            "choose another storage",
        ));
    }
    let space = storage.space.as_ref().map_err(|why| (format!("storage {}: {why}", storage.id), "choose another storage"))?;
    // Thin storages need only what is written; the configured size is the sure side and the one a full disk asks for.
    let need: u64 = old.mounts.iter().filter(|m| !m.bind).filter_map(|m| m.size).sum();
    if space.avail < need {
        return Err((
            format!("storage {} has {} free and the disks are {}", storage.id, bytes(space.avail), bytes(need)),
            "make room or choose another storage",
        ));
    }
    Ok(storage.id.clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::backup::tests::world;
    use super::super::stamp::Stamp;
    use super::*;

    fn found(conf: &str) -> ArchiveConf {
        let volid = "local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst";
        let archive = crate::domain::backup::tests::archive(101, volid, Stamp(0), 77);
        ArchiveConf { archive, conf: conf.into() }
    }

    fn wish() -> RestoreWish {
        RestoreWish { volid: found("").archive.volid, to: None, storage: None, plugged: false, after: After::Start }
    }

    #[test]
    fn the_plan_as_it_is_shown() {
        let conf = "hostname: web\nunprivileged: 1\nrootfs: local-lvm:vm-101-disk-0,size=4G\nnet0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=10.0.0.5/24,type=veth\n";
        insta::assert_snapshot!(plan(&world(), &wish(), &found(conf)).unwrap().lines().join("\n"), @"
        restore 101 web beside as 100 on local-lvm
        1 restore 100 web-100
            $ pct restore 100 local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst --storage local-lvm --unprivileged 1 --unique 1 --onboot 0 --hostname web-100 --description 'Restored by Proximity from local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst' --net0 name=eth0,bridge=vmbr0,ip=10.0.0.5/24,type=veth,link_down=1
            then: 100 exists, without a lock
            undo: pct destroy 100
        2 start 100
            $ pct start 100
            then: 100 runs
            undo: pct stop 100
        3 wait until 100 answers
            wait, at most 90 s
            then: 100 runs and answers
        101 is not touched; the new guest has no network, gets new hardware addresses and does not start with the host
        once it is proven it takes the place of 101 with: proximity backup swap 101 100
        ! nothing is published: only its init is asked
        ");
    }

    #[test]
    fn it_has_no_network_unless_asked_for_and_its_app_is_asked_from_within() {
        let conf = "hostname: web\nrootfs: local-lvm:x,size=4G\nnet0: name=eth0,bridge=lan,hwaddr=BC:24:11:00:00:01,ip=dhcp\nnet1: name=eth1,bridge=lan,ip=10.0.0.5/24,link_down=0\n";
        let told = |plugged, world: &World| plan(world, &RestoreWish { plugged, ..wish() }, &found(conf)).unwrap();
        let line = |plan: &Plan| plan.lines().join("\n");
        let whole = "--net0 name=eth0,bridge=lan,ip=dhcp,link_down=1 --net1 name=eth1,bridge=lan,ip=10.0.0.5/24,link_down=1";
        assert!(line(&told(false, &world())).contains(whole));
        let plugged = line(&told(true, &world()));
        assert!(
            !plugged.contains("--net0") && plugged.contains("! net1 has the fixed address 10.0.0.5/24 and comes up unplugged"),
            "{plugged}"
        );
        let service = |name: &str, to: &str, carry| {
            let spec = super::super::service::Spec { carry, ..super::super::service::Spec::to(to.parse().unwrap()) };
            Published { name: name.parse().unwrap(), spec, at: Stamp(1), by: "ada".into() }
        };
        let services = vec![
            service("a", "web.prox.local:80", Carry::Http),
            service("b", "https://10.0.0.5:8443", Carry::Http),
            service("c", "web:25", Carry::Tcp),
            service("d", "web:53", Carry::Udp),
            service("e", "other:80", Carry::Http),
        ];
        let map = super::super::ports::PortMap { services, ..Default::default() };
        let part = super::super::world::From::Files;
        let world = World { ports: super::super::world::Part::new(map, Stamp(1), part), ..world() };
        let asked = |s: &Step| if let Check::App { port, http, .. } = s.check { Some((port, http)) } else { None };
        let all: Vec<_> = told(false, &world).steps.iter().filter_map(asked).collect();
        assert_eq!(all, [(80, true), (8443, false), (25, false)]);
    }

    /// The world in which 101 is there, with an address and something of the host that it mounts.
    fn with_original(conf: &str) -> World {
        let mut world = world();
        let mut guest = parse_lxc("101".parse().unwrap(), conf);
        guest.power = Power::Running;
        *world.guests.known.as_mut().unwrap() = vec![guest];
        world
    }

    const WEB: &str = "hostname: web\nonboot: 1\nunprivileged: 1\nrootfs: local-lvm:vm-101-disk-0,size=4G\nmp0: /data,mp=/srv\nmp1: local-lvm:vm-101-disk-1,mp=/var/lib/x,size=1G\nnet0: name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth\n";

    fn in_place() -> RestoreWish {
        RestoreWish { after: After::Swap, to: "103".parse().ok(), ..wish() }
    }

    #[test]
    fn in_place_is_beside_and_then_a_change_of_places() {
        insta::assert_snapshot!(plan(&with_original(WEB), &in_place(), &found(WEB)).unwrap().lines().join("\n"), @r#"
        restore 101 web as 103 on local-lvm and put it in the place of 101 web
        1 restore 103 web-103
            $ pct restore 103 local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst --storage local-lvm --unprivileged 1 --unique 1 --onboot 0 --hostname web-103 --description 'Restored by Proximity from local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst' --net0 name=eth0,bridge=proximity-lan,ip=dhcp,type=veth,link_down=1
            then: 103 exists, without a lock
        2 let 103 only read what it mounts of the host
            $ pct set 103 --mp0 /data,mp=/srv,ro=1
            then: 103 can only read at mp0
        3 start 103
            $ pct start 103
            then: 103 runs
            undo: pct stop 103
        4 wait until 103 answers
            wait, at most 90 s
            then: 103 runs and answers
        5 see that 101 web is as it was when this was planned
            asked once
            then: 101 is web, with net0
        6 stop 101 web
            $ pct shutdown 101 --forceStop 1 --timeout 60
            then: 101 is stopped
            undo: pct start 101
        7 stop 103 web-103
            $ pct shutdown 103 --forceStop 1 --timeout 60
            then: 103 is stopped
            undo: pct start 103
        8 put 101 web aside as web-101
            $ pct set 101 --hostname web-101 --onboot 0 --net0 name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth,link_down=1 --description 'Set aside by Proximity 1970-01-01T00:00:00Z; 103 took its place: {"hostname":"web","onboot":true,"nets":{"net0":"name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth"}}'
            then: 101 is web-101, with net0
            undo: pct set 101 --hostname web --onboot 1 --net0 name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth --description ''
        9 give 103 its name and interfaces
            $ pct set 103 --hostname web --onboot 1 --net0 name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth --description 'Restored by Proximity from local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst' --mp0 /data,mp=/srv
            then: 103 is web, with net0
            undo: pct set 103 --hostname web-103 --onboot 0 --net0 name=eth0,bridge=proximity-lan,ip=dhcp,type=veth,link_down=1 --description 'Restored by Proximity from local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst' --mp0 /data,mp=/srv,ro=1
        10 start 103
            $ pct start 103
            then: 103 runs
            undo: pct stop 103
        11 wait until 103 answers
            wait, at most 90 s
            then: 103 runs and answers
        101 web goes on until 103 was asked from within; it is down from there until 103 answers
        what 101 wrote since the backup is not in 103
        101 web stays, stopped and unplugged; the way back: proximity backup swap 103 101
        if it does not answer all is put back, and the other one started again
        ! not in the archive: /srv (mp0, mounted of the host's /data); the copy may only read there
        ! comes back empty, for it is not in the archive: /var/lib/x (mp1 backup=0)
        ! nothing is published: only its init is asked
        ! backup jobs of Proxmox that name 101 do not back 103 up
        "#);
    }

    #[test]
    fn who_has_the_place_now_loses_it_and_a_stranger_does_not() {
        let wish = in_place();
        // 101 was put aside for 102 before: 102 has the place now.
        let mut world = with_original(WEB);
        let (mut second, mut third) = (parse_lxc("102".parse().unwrap(), WEB), parse_lxc("103".parse().unwrap(), WEB));
        (second.power, third.power) = (Power::Stopped, Power::Stopped);
        third.name = Some("web-103".into());
        world.guests.known.as_mut().unwrap().push(second);
        let steps = plan(&world, &RestoreWish { to: "104".parse().ok(), ..wish.clone() }, &found(WEB)).unwrap().steps;
        assert!(steps.iter().any(|s| s.title == "put 101 web aside as web-101"));
        let mark = "Set aside by Proximity; 102 took its place: {\"hostname\":\"web\",\"onboot\":true,\"nets\":{}}";
        world.guests.known.as_mut().unwrap()[0].notes = vec![mark.into()];
        let steps = plan(&world, &RestoreWish { to: "104".parse().ok(), ..wish.clone() }, &found(WEB)).unwrap().steps;
        assert!(steps.iter().any(|s| s.title == "put 102 web aside as web-102"), "{steps:#?}");
        assert!(!steps.iter().any(|s| s.title.contains("101 web")), "{steps:#?}");
        // Removed, and its number given to another guest.
        let other = with_original("hostname: wiki\nrootfs: a:b,size=1G\nnet0: name=eth0,bridge=lan,hwaddr=BC:24:11:00:00:77,ip=dhcp\n");
        let refusal = plan(&other, &wish, &found(WEB)).unwrap_err();
        assert!(refusal.why.contains("101 wiki is another guest"), "{}", refusal.why);
        // Removed, and nobody in its place: it comes back as it was.
        let mut gone = with_original(WEB);
        gone.guests.known.as_mut().unwrap().clear();
        let text = plan(&gone, &RestoreWish { to: "101".parse().ok(), ..wish.clone() }, &found(WEB)).unwrap().lines().join("\n");
        assert!(text.contains("101 is gone and nobody has its place") && !text.contains("aside"), "{text}");
        let give =
            "$ pct set 101 --hostname web --onboot 1 --net0 name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth";
        assert!(text.contains(give) && text.contains("--mp0 /data,mp=/srv\n"), "{text}");
        // Locked: what would be refused as a change of places is refused before anything is restored.
        let mut locked = with_original(WEB);
        locked.guests.known.as_mut().unwrap()[0].lock = Some("backup".into());
        assert!(plan(&locked, &wish, &found(WEB)).unwrap_err().why.contains("101 web is locked"));
    }

    #[test]
    fn a_copy_does_not_write_where_the_original_does() {
        let text = plan(&world(), &wish(), &found(WEB)).unwrap().lines().join("\n");
        assert!(text.contains("$ pct set 100 --mp0 /data,mp=/srv,ro=1"), "{text}");
        assert!(text.find("--mp0").unwrap() < text.find("pct start 100").unwrap());
        for line in ["lxc.mount.entry: /data srv none rw,bind 0 0", "lxc.hook.pre-start = /root/x", "lxc.mount.auto: cgroup:rw"] {
            let conf = format!("{WEB}{line}\n");
            let refusal = plan(&world(), &wish(), &found(&conf)).unwrap_err();
            assert!(refusal.why.contains("lxc.") && refusal.hint.contains("--no-start"), "{line}: {}", refusal.why);
            let stopped = plan(&world(), &RestoreWish { after: After::Stay, ..wish() }, &found(&conf)).unwrap();
            assert!(stopped.notes.iter().any(|n| n.contains("a line of LXC's own")), "{:?}", stopped.notes);
        }
    }

    #[test]
    fn a_drill_is_removed_again_whatever_it_answers() {
        let wish = RestoreWish::drill(wish().volid, None);
        let conf = "hostname: web\nrootfs: local-lvm:x,size=4G\nnet0: name=eth0,bridge=lan,hwaddr=BC:24:11:00:00:01,ip=dhcp\n";
        let plan = plan(&world(), &wish, &found(conf)).unwrap();
        assert_eq!(
            (&plan.purpose, plan.title.as_str()),
            (&Purpose::Drill, "see whether 101 web would come back: as 100 on local-lvm, removed again")
        );
        let last = plan.steps.last().unwrap();
        assert_eq!(last.check, Check::Gone { vmid: plan.guest });
        let undo = plan.steps[0].undo.as_ref().unwrap().shown();
        assert!(plan.lines().join("\n").contains("link_down=1") && undo == "pct destroy 100 --force 1 --purge 1", "{undo}");
    }

    #[test]
    fn never_over_something_that_is_there() {
        let refusal = plan(&world(), &RestoreWish { to: "101".parse().ok(), ..wish() }, &found("rootfs: local-lvm:x,size=4G")).unwrap_err();
        assert!(refusal.why.contains("never overwrites"));
        let quorum = super::super::world::Part::new(super::super::world::Quorum::NoQuorum, Stamp(1), super::super::world::From::Files);
        let refusal = plan(&World { quorum, ..world() }, &wish(), &found("rootfs: local-lvm:x,size=4G")).unwrap_err();
        assert!(refusal.why.contains("no quorum"), "{}", refusal.why);
        let huge = plan(&world(), &wish(), &found("rootfs: local-lvm:x,size=4T")).unwrap_err();
        assert!(huge.why.contains("90 GiB free"), "{}", huge.why);
        assert!(plan(&world(), &wish(), &found("garbage")).unwrap_err().why.contains("no root disk"));
    }

    #[test]
    fn names_beside_are_labels() {
        let mut g = Guest::bare("101".parse().unwrap(), Kind::Lxc);
        for (name, want) in [(Some("web.example.org"), "web-103"), (None, "guest-103"), (Some("--x;reboot--"), "xreboot-103")] {
            g.name = name.map(str::to_owned);
            assert_eq!(beside_name(&g, "103".parse().unwrap()), want);
        }
        g.name = Some("a".repeat(200));
        assert_eq!(beside_name(&g, "103".parse().unwrap()).len(), 63);
    }
}
