//! Restore beside: an archive becomes a new guest; the one it was made of is not touched.

use super::backup::Archive;
use super::conf::parse_lxc;
use super::fact::ArchiveConf;
use super::guest::{self, Guest, Kind, Nic, Vmid};
use super::plan::{Act, Check, Plan, Purpose, Refusal, Risk, Step, Watch};
use super::pve::{self, RestoreOptions};
use super::service::{Carry, Published};
use super::stamp::bytes;
use super::storage::StorageId;
use super::swap::{self, published};
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
    /// Start it and wait until it answers.
    pub start: bool,
    /// Plug its interfaces in: whatever it does then, it does to others.
    pub plugged: bool,
    /// Only to know whether it would come back: it is started, unplugged, asked, and removed again, whatever it answers.
    pub drill: bool,
}

impl RestoreWish {
    /// A drill with an archive.
    pub fn drill(volid: impl Into<String>, storage: Option<StorageId>) -> RestoreWish {
        RestoreWish { volid: volid.into(), to: None, storage, start: true, plugged: false, drill: true }
    }
}

/// The archive of a wish, from the World.
pub fn archive<'w>(world: &'w World, wish: &RestoreWish) -> Result<&'w Archive, Refusal> {
    let refuse = |why: String, hint: &str| Refusal::new(format!("restore {}", super::clean::clean(&wish.volid)), why, hint);
    let archives = world.archives.known.as_ref().map_err(|why| refuse(format!("the backups are unknown: {why}"), "see doctor"))?;
    archives.iter().find(|a| a.volid == wish.volid).ok_or_else(|| refuse("there is no such archive".into(), "see backup list"))
}

/// The plan of a restore beside, or why it is refused. `found` is the archive with the configuration inside it.
pub fn plan(world: &World, wish: &RestoreWish, found: &ArchiveConf) -> Result<Plan, Refusal> {
    let refuse = |why: String, hint: &str| Refusal::new(format!("restore {}", super::clean::clean(&wish.volid)), why, hint);
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
    let to = new_id(world, wish).map_err(|(why, hint)| refuse(why, hint))?;
    let storage = choose(world, wish, &old).map_err(|(why, hint)| refuse(why, hint))?;
    let hostname = beside_name(&old, to);
    let (nets, mut notes) = unplugged(&old, wish.plugged);
    notes.extend(old.not_in_backup().into_iter().map(|m| format!("not in it: {m}")));
    let options = RestoreOptions {
        storage: storage.clone(),
        unprivileged: old.unprivileged == Some(true),
        hostname: hostname.clone(),
        nets,
        notes: swap::notes_of_restored(&old, &wish.volid),
    };
    let mut steps = vec![Step {
        title: format!("restore {to} {hostname} from {}", wish.volid),
        act: Act::Run { cmd: pve::restore(to, &wish.volid, &options), watch: Watch::Restore { vmid: to } },
        check: Check::Unlocked { vmid: to },
        undo: Some(if wish.drill { pve::destroy(to) } else { pve::pct("destroy", to) }.into()),
        always: true,
    }];
    if wish.start {
        steps.push(Step {
            title: format!("start {to}"),
            act: Act::Run { cmd: pve::pct("start", to).limit(120), watch: Watch::Exit },
            check: Check::Running { vmid: to },
            undo: Some(pve::pct("stop", to).into()),
            always: false,
        });
        steps.push(Step {
            title: format!("wait until {to} answers"),
            act: Act::Wait { within_s: 90 },
            check: Check::Answers { vmid: to },
            undo: None,
            always: false,
        });
        let (asked, gap) = published(world, &old);
        notes.extend(gap);
        steps.extend(asked.into_iter().filter_map(|s| of_the_app(to, s)));
    }
    if wish.drill {
        steps.push(Step::run(format!("remove {to} again"), pve::destroy(to), Check::Gone { vmid: to }));
        return Ok(Plan {
            purpose: Purpose::Drill,
            title: format!("see whether {from} {} would come back: as {to} on {storage}, removed again", old.label()),
            guest: to,
            host: world.place.host.clone(),
            facts: vec![format!("{from} is not touched; {to} has no network and is removed, whatever it answers")],
            notes,
            risk: Risk::Low,
            steps,
        });
    }
    let network = if wish.plugged { "gets" } else { "has no network, gets" };
    Ok(Plan {
        purpose: Purpose::RestoreBeside,
        title: format!("restore {from} {} beside as {to} on {storage}", old.label()),
        guest: to,
        host: world.place.host.clone(),
        facts: vec![
            format!("{from} is not touched; the new guest {network} new hardware addresses and does not start with the host"),
            format!("once it is proven it takes the place of {from} with: proximity backup swap {from} {to}"),
        ],
        notes,
        risk: Risk::Low,
        steps,
    })
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

fn choose(world: &World, wish: &RestoreWish, old: &Guest) -> Result<StorageId, (String, &'static str)> {
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
        let archive = Archive {
            volid: volid.into(),
            storage: "local".parse().unwrap(),
            vmid: "101".parse().ok(),
            kind: Some(Kind::Lxc),
            made: Stamp(0),
            size: Some(77),
            notes: None,
            protected: false,
        };
        ArchiveConf { archive, conf: conf.into() }
    }

    fn wish() -> RestoreWish {
        RestoreWish { volid: found("").archive.volid, to: None, storage: None, start: true, plugged: false, drill: false }
    }

    #[test]
    fn the_plan_as_it_is_shown() {
        let conf = "hostname: web\nunprivileged: 1\nrootfs: local-lvm:vm-101-disk-0,size=4G\nnet0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=10.0.0.5/24,type=veth\n";
        insta::assert_snapshot!(plan(&world(), &wish(), &found(conf)).unwrap().lines().join("\n"), @"
        restore 101 web beside as 100 on local-lvm
        1 restore 100 web-100 from local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst
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
