//! Whose backup is to be drilled now: who was never seen to come back, or not for long; which archives nobody has read yet; and
//! what stands against it.
//!
//! Nobody is there to see what a run by the clock does to the node, so it holds back where the node is busy or the room is scarce,
//! and says so of each guest.

use crate::domain::backup::Archive;
use crate::domain::guest::{Kind, Vmid};
use crate::domain::inside::ledger::{Ledger, Standing};
use crate::domain::inside::verify::path_of;
use crate::domain::job::Job;
use crate::domain::plan::Purpose;
use crate::domain::proof::{Proof, Proofs};
use crate::domain::restore::{self, RestoreWish};
use crate::domain::settings::{Settings, Value};
use crate::domain::stamp::{Stamp, ago, bytes};
use crate::domain::storage::StorageId;
use crate::domain::task::TaskSeen;
use crate::domain::world::World;

/// One guest, and whether it is its turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Which.
    pub guest: Vmid,
    /// Number and name.
    pub title: String,
    /// The archive that would be drilled.
    pub volid: Option<String>,
    /// When one of its archives last came back, or did not.
    pub last: Option<Stamp>,
    /// Why it is its turn; else why not.
    pub due: Result<String, String>,
}

/// The bounds of a run, by the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// So old may the last word on a guest be, seconds.
    pub every_s: u64,
    /// So many drills in one run.
    pub most: u64,
    /// So much may the node have to do, percent of its processors.
    pub load: u64,
    /// So many archives are read to their ends in one run.
    pub reads: u64,
    /// Minutes of the node's day, from and to, between which something may begin.
    pub window: Option<(u16, u16)>,
}

impl Limits {
    /// As the settings say.
    pub fn of(settings: &Settings) -> Result<Limits, String> {
        Ok(Limits {
            every_s: settings.span("backups.drill_every")?,
            most: settings.number("backups.drill_most")?,
            load: settings.number("backups.drill_load")?,
            reads: settings.number("backups.verify_most")?,
            window: settings.window("backups.window")?,
        })
    }
}

/// All containers, those whose turn it is first: who was never seen to come back, then by the age of the last word. Else why that
/// cannot be said.
pub fn turns(world: &World, limits: Limits, now: Stamp) -> Result<Vec<Turn>, String> {
    let guests = world.guests.known.as_ref().map_err(|why| format!("the guests are unknown: {why}"))?;
    let archives = world.archives.known.as_ref().map_err(|why| format!("the backups are unknown: {why}"))?;
    let jobs = world.jobs.known.as_ref().map_err(|why| format!("which archives came back is unknown: {why}"))?;
    let proofs = Proofs::of(jobs);
    let mut all: Vec<Turn> = Vec::new();
    for guest in guests.iter().filter(|g| g.kind == Kind::Lxc && !g.template) {
        let newest = world.last_archive(guest.id);
        let last = proofs.guest(archives, guest.id);
        let here = guest.node.as_deref().is_none_or(|n| world.node_name().is_none_or(|me| me == n));
        let due = match newest {
            None if world.archives.gaps.is_empty() => Err("never backed up".into()),
            None => Err("no backup of it is known, and a storage did not answer".into()),
            Some(_) if !here => Err(format!("it lives on node {}", guest.node.as_deref().unwrap_or("?"))),
            Some(archive) => its_turn(archive, last, limits, now),
        };
        all.push(Turn { guest: guest.id, title: guest.title(), volid: newest.map(|a| a.volid.clone()), last: last.map(|p| p.at), due });
    }
    all.sort_by_key(|t| (t.due.is_err(), t.last, t.guest));
    Ok(all)
}

fn its_turn(archive: &Archive, last: Option<&Proof>, limits: Limits, now: Stamp) -> Result<String, String> {
    let Some(last) = last else { return Ok("never seen to come back".into()) };
    let old = u64::try_from(now.secs() - last.at.secs()).unwrap_or(0) >= limits.every_s;
    match &last.lives {
        Ok(()) if old => Ok(format!("it last came back {}", ago(now, last.at))),
        Ok(()) => Err(format!("it came back {}", ago(now, last.at))),
        Err(_) if last.volid != archive.volid => Ok("the last one did not come back, and there is a newer one".into()),
        Err(_) if old => Ok(format!("it did not come back {}", ago(now, last.at))),
        Err(_) => Err(format!("it did not come back {}, and there is no newer one", ago(now, last.at))),
    }
}

/// The archives nobody has read to their ends yet and that can be read from here, newest first; else why that cannot be said.
pub fn unread(world: &World) -> Result<Vec<&Archive>, String> {
    let archives = world.archives.known.as_ref().map_err(|why| format!("the backups are unknown: {why}"))?;
    let jobs = world.jobs.known.as_ref().map_err(|why| format!("which archives were read is unknown: {why}"))?;
    let ledger = Ledger::of(jobs);
    let never = |a: &&Archive| !a.is_empty() && ledger.standing(a) == Standing::Never && path_of(world, a).is_ok();
    let mut all: Vec<&Archive> = archives.iter().filter(never).collect();
    all.sort_by(|a, b| (b.made, &b.volid).cmp(&(a.made, &a.volid)));
    Ok(all)
}

/// What stands against beginning anything now: the time of day, the load, a backup or a restore that runs. A thing that is not
/// known stands against it too.
pub fn busy(world: &World, limits: Limits, now: Stamp) -> Result<(), String> {
    if let Some((from, to)) = limits.window {
        let schedules = world.schedules.known.as_ref().map_err(|why| format!("what time it is on the node is unknown: {why}"))?;
        let offset = schedules.zone.offset(now.secs());
        let minute = (now.secs() + i64::from(offset)).rem_euclid(86_400) / 60;
        let (after, before) = (minute >= i64::from(from), minute < i64::from(to));
        if !(if from < to { after && before } else { after || before }) {
            return Err(format!("it is {}, and begun is within {} only (backups.window)", now.clock(offset), Value::Window(from, to)));
        }
    }
    let node = world.node.known.as_ref().map_err(|why| format!("how busy the node is, is unknown: {why}"))?;
    let (Some([load, ..]), Some(cpus)) = (node.load, node.cpus.filter(|n| *n > 0)) else {
        return Err("how busy the node is, is unknown".into());
    };
    let percent = f64::from(load) * 100.0 / f64::from(cpus);
    if percent > limits.load as f64 {
        return Err(format!("the node has {percent:.0} % to do, and at most {} % is allowed (backups.drill_load)", limits.load));
    }
    let tasks = world.tasks.known.as_ref().map_err(|why| format!("which tasks run is unknown: {why}"))?;
    let copies = |t: &&TaskSeen| t.end.is_none() && matches!(t.upid.kind.as_str(), "vzdump" | "vzrestore" | "vzcreate" | "qmrestore");
    if let Some(task) = tasks.iter().find(copies) {
        return Err(format!("a task runs: {}", task.upid));
    }
    let jobs = world.jobs.known.as_ref().map_err(|why| format!("which jobs run is unknown: {why}"))?;
    let copies = |j: &&Job| {
        !j.state.is_final()
            && matches!(
                j.order.plan().purpose,
                Purpose::Backup | Purpose::RestoreBeside | Purpose::RestoreInPlace | Purpose::Drill | Purpose::Swap
            )
    };
    jobs.iter().find(copies).map_or(Ok(()), |job| Err(format!("job {} runs: {}", job.id, job.title())))
}

/// The storage on which a drill leaves room: beside what the disks of the copy may take, a tenth of it stays free.
pub fn room(world: &World, id: Vmid, storage: Option<&StorageId>) -> Result<StorageId, String> {
    let guest = world.guest(id).filter(|g| g.conf_read).ok_or("how big its disks are is unknown")?;
    let wish = RestoreWish::drill("", storage.cloned());
    let chosen = restore::choose(world, &wish, guest).map_err(|(why, _)| why)?;
    let space = world.storage(&chosen).and_then(|s| s.space.as_ref().ok()).ok_or(format!("storage {chosen} is unknown"))?;
    let disks: u64 = guest.mounts.iter().filter(|m| !m.bind).filter_map(|m| m.size).sum();
    if space.avail >= disks + space.total / 10 {
        return Ok(chosen);
    }
    Err(format!(
        "storage {chosen} has {} free; its disks may take {}, and a tenth of the storage is to stay free",
        bytes(space.avail),
        bytes(disks)
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::backup::tests::world;
    use crate::domain::conf::parse_lxc;
    use crate::domain::inside::verify::Verdict;
    use crate::domain::job::State;
    use crate::domain::proof::tests::{drill, read};
    use crate::domain::world::{From, Node, Part};

    const LIMITS: Limits = Limits { every_s: 7 * 86_400, most: 2, load: 80, reads: 0, window: None };

    fn archive(id: u32, made: i64) -> Archive {
        crate::domain::backup::tests::archive(id, &format!("local:backup/{id}-{made}"), Stamp(made), 9)
    }

    fn node(load: f32) -> Part<Node> {
        let node = Node { name: "pve1".into(), load: Some([load; 3]), cpus: Some(2), ..Node::default() };
        Part::new(node, Stamp(1), From::Files)
    }

    #[test]
    fn whose_turn_it_is() {
        let conf = |id: u32, node: &str| crate::domain::guest::Guest {
            node: Some(node.into()),
            ..parse_lxc(id.try_into().unwrap(), "hostname: x\n")
        };
        let guests = [101, 102, 103, 104, 105, 106].map(|id| conf(id, if id == 106 { "pve2" } else { "pve1" }));
        let archives = vec![archive(101, 5), archive(102, 5), archive(103, 5), archive(104, 4), archive(104, 5), archive(106, 5)];
        let jobs = vec![
            drill(1, State::Succeeded, "local:backup/102-5"),
            drill(9_000, State::Succeeded, "local:backup/103-5"),
            drill(9_001, State::Failed, "local:backup/104-4"),
        ];
        let w = World {
            guests: Part::new(guests.into(), Stamp(1), From::Files),
            archives: Part::new(archives, Stamp(1), From::Files),
            jobs: Part::new(jobs, Stamp(1), From::Files),
            node: node(0.1),
            ..world()
        };
        let told = turns(&w, LIMITS, Stamp::from_secs(900_200)).unwrap();
        let row = |t: &Turn| format!("{} {}", t.guest, t.due.as_ref().map_or_else(|why| format!("no: {why}"), Clone::clone));
        assert_eq!(
            told.iter().map(row).collect::<Vec<_>>(),
            [
                "101 never seen to come back",
                "102 it last came back 10 d ago",
                "104 the last one did not come back, and there is a newer one",
                "105 no: never backed up",
                "106 no: it lives on node pve2",
                "103 no: it came back 2 min ago",
            ]
        );
        assert!(turns(&World { jobs: Part::unknown("damaged", Stamp(1)), ..w }, LIMITS, Stamp(1)).unwrap_err().contains("damaged"));
    }

    #[test]
    fn what_stands_against_it() {
        let w = World { node: node(0.5), jobs: Part::new(vec![], Stamp(1), From::Files), ..world() };
        assert_eq!(busy(&w, LIMITS, Stamp(1)), Ok(()));
        let full = World { node: node(1.7), ..w.clone() };
        assert_eq!(busy(&full, LIMITS, Stamp(1)).unwrap_err(), "the node has 85 % to do, and at most 80 % is allowed (backups.drill_load)");
        let task = crate::domain::task::parse_active("UPID:pve1:00000BF2:0006FB2C:6B008D70:vzdump::root@pam: 0\n");
        assert!(
            busy(&World { tasks: Part::new(task, Stamp(1), From::Files), ..w.clone() }, LIMITS, Stamp(1)).unwrap_err().contains(":vzdump:")
        );
        let jobs = vec![drill(7, State::Running, "x")];
        assert!(
            busy(&World { jobs: Part::new(jobs, Stamp(1), From::Files), ..w.clone() }, LIMITS, Stamp(1))
                .unwrap_err()
                .starts_with("job 7 runs")
        );
        for unknown in [
            World { node: Part::unknown("x", Stamp(1)), ..w.clone() },
            World { tasks: Part::unknown("x", Stamp(1)), ..w.clone() },
            World { jobs: Part::unknown("x", Stamp(1)), ..w.clone() },
        ] {
            assert!(busy(&unknown, LIMITS, Stamp(1)).unwrap_err().contains("unknown"));
        }
    }

    #[test]
    fn what_nobody_has_read_is_read_the_newest_first() {
        let on = |name: &str, id: u32, made: i64| Archive { volid: format!("local:backup/{name}"), ..archive(id, made) };
        let [old, new, whole] = [("a.tar.zst", 101, 5), ("b.tar.zst", 102, 6), ("c.tar.zst", 102, 7)].map(|(n, id, made)| on(n, id, made));
        let elsewhere = crate::domain::backup::tests::archive(101, "pbs:backup/d", Stamp(8), 9);
        let machine = Archive { kind: Some(Kind::Qemu), ..on("e.vma.zst", 104, 8) };
        let empty = Archive { size: Some(0), ..on("f.tar.zst", 101, 9) };
        let jobs = vec![read(1, &whole.volid, Verdict::Whole)];
        let archives = vec![old, new, whole, elsewhere, machine, empty];
        let w = World { archives: Part::new(archives, Stamp(1), From::Files), jobs: Part::new(jobs, Stamp(1), From::Files), ..world() };
        let volids = |w: &World| unread(w).map(|all| all.iter().map(|a| a.volid.clone()).collect::<Vec<_>>());
        assert_eq!(volids(&w).unwrap(), ["local:backup/b.tar.zst", "local:backup/a.tar.zst"]);
        assert!(volids(&World { jobs: Part::unknown("x", Stamp(1)), ..w }).unwrap_err().contains("unknown"));
    }

    #[test]
    fn begun_is_within_the_window_of_the_nodes_day() {
        let schedules = |zone| crate::domain::schedule::Schedules { jobs: Vec::new(), zone, drills: Ok(None) };
        let at = |hour: i64, window, base_s| {
            let schedules = Part::new(schedules(crate::domain::calendar::Zone::fixed(base_s)), Stamp(1), From::Files);
            let w = World { node: node(0.5), jobs: Part::new(vec![], Stamp(1), From::Files), schedules, ..world() };
            busy(&w, Limits { window: Some(window), ..LIMITS }, Stamp::from_secs(hour * 3600))
        };
        let (night, over) = ((60, 300), (22 * 60, 6 * 60));
        assert_eq!([0, 1, 4, 5, 13].map(|h| at(h, night, 0).is_ok()), [false, true, true, false, false]);
        assert_eq!([21, 22, 23, 0, 5, 6].map(|h| at(h, over, 0).is_ok()), [false, true, true, true, true, false]);
        assert!(at(23, night, 2 * 3600).is_ok(), "it is 01:00 there");
        assert_eq!(at(13, night, 0).unwrap_err(), "it is 13:00, and begun is within 01:00-05:00 only (backups.window)");
        let w = World { node: node(0.5), schedules: Part::unknown("x", Stamp(1)), ..world() };
        assert!(busy(&w, Limits { window: Some(night), ..LIMITS }, Stamp(1)).unwrap_err().contains("unknown"));
    }

    #[test]
    fn room_is_left() {
        let mut w = world();
        let id = "101".parse().unwrap();
        assert_eq!(room(&w, id, None).unwrap().as_str(), "local-lvm");
        // 100 GiB in all: 4 for the disk, 10 that stay.
        let space = |w: &mut World, gib: u64| w.storages.known.as_mut().unwrap()[1].space.as_mut().unwrap().avail = gib << 30;
        space(&mut w, 14);
        assert!(room(&w, id, None).is_ok());
        space(&mut w, 13);
        assert!(room(&w, id, None).unwrap_err().starts_with("storage local-lvm has 13 GiB free; its disks may take 4.0 GiB"));
        space(&mut w, 3);
        assert!(room(&w, id, None).unwrap_err().contains("the disks are"));
        assert!(room(&w, id, "local".parse().ok().as_ref()).unwrap_err().contains("does not take root disks"));
    }
}
