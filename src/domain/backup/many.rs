//! Backups of many guests: one plan each, so that each has its own truth, and room for the sum of them.

use std::collections::BTreeMap;

use super::{BackupWish, needed, plan_beside};
use crate::domain::guest::{Kind, Vmid};
use crate::domain::job::JobId;
use crate::domain::plan::{Act, Check, Plan, Purpose, Refusal, Watch};
use crate::domain::storage::StorageId;
use crate::domain::world::World;

/// Room on storages, in bytes, that backups will take which were asked for and are not there yet.
#[derive(Debug, Clone, Default)]
pub struct Promised {
    on: BTreeMap<StorageId, u64>,
    guests: BTreeMap<Vmid, JobId>,
}

impl Promised {
    /// By the jobs that have not ended; none where the jobs are not known.
    pub fn by_jobs(world: &World) -> Promised {
        let mut promised = Promised::default();
        for job in world.jobs.get().into_iter().flatten().filter(|j| !j.state.is_final()) {
            let plan = job.order.plan();
            if plan.purpose == Purpose::Backup {
                promised.guests.insert(plan.guest, job.id);
                promised.add(plan, job.life.progress.bytes.unwrap_or(0));
            }
        }
        promised
    }

    /// A plan's share, but for what it has written.
    fn add(&mut self, plan: &Plan, written: u64) {
        for step in &plan.steps {
            if let (Act::Run { watch: Watch::Vzdump { expect, .. }, .. }, Check::Archived { storage, .. }) = (&step.act, &step.check) {
                *self.on.entry(storage.clone()).or_default() += needed(*expect).saturating_sub(written);
            }
        }
    }

    /// Bytes on a storage.
    pub fn on(&self, storage: &StorageId) -> u64 {
        self.on.get(storage).copied().unwrap_or(0)
    }

    /// The job that backs a guest up, or will.
    pub fn of_guest(&self, guest: Vmid) -> Option<JobId> {
        self.guests.get(&guest).copied()
    }
}

/// The plans of several backups, and who is left out, each with why.
#[derive(Debug, Clone, Default)]
pub struct Many {
    /// One for each guest.
    pub plans: Vec<Plan>,
    /// Those that cannot be backed up now.
    pub refused: Vec<Refusal>,
}

/// Plans the backups of these guests, each as `like` says, in their order; one that is named twice once.
pub fn many(world: &World, guests: impl IntoIterator<Item = Vmid>, like: &BackupWish) -> Many {
    let (mut out, mut promised, mut seen) = (Many::default(), Promised::by_jobs(world), Vec::new());
    for guest in guests {
        if seen.contains(&guest) {
            continue;
        }
        seen.push(guest);
        match plan_beside(world, &BackupWish { guest, ..like.clone() }, &promised) {
            Ok(plan) => {
                promised.add(&plan, 0);
                out.plans.push(plan);
            }
            Err(refusal) => out.refused.push(refusal),
        }
    }
    out
}

/// A guest that is not meant, and why.
pub type LeftOut = (Vmid, String);

/// The containers that "all" means: of this node, and no templates; then those it does not mean, each with why. Else why the
/// containers are not known.
pub fn containers(world: &World) -> Result<(Vec<Vmid>, Vec<LeftOut>), String> {
    let guests = world.guests.known.as_ref().map_err(Clone::clone)?;
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for g in guests.iter().filter(|g| g.kind == Kind::Lxc) {
        match (&g.node, world.node_name()) {
            (Some(node), Some(me)) if node != me => others.push((g.id, format!("{} lives on node {node}, not on {me}", g.title()))),
            _ if g.template => others.push((g.id, format!("{} is a template; named by its id it is backed up", g.title()))),
            _ => ours.push(g.id),
        }
    }
    Ok((ours, others))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::backup::tests::world;
    use crate::domain::conf::parse_lxc;
    use crate::domain::job::{Job, Life, State};
    use crate::domain::plan::Approved;
    use crate::domain::stamp::Stamp;
    use crate::domain::storage::Space;
    use crate::domain::world::{From, Part};

    fn id(n: u32) -> Vmid {
        n.try_into().unwrap()
    }

    /// Four containers of 10 GiB each in use, and a storage with `room` GiB.
    fn four(room: u64) -> World {
        let mut w = world();
        let guests = w.guests.known.as_mut().unwrap();
        guests.clear();
        for n in 101..105 {
            let mut g = parse_lxc(id(n), "hostname: x\nrootfs: a:b,size=20G\n");
            g.disk = Some((10 << 30, 20 << 30));
            guests.push(g);
        }
        w.storages.known.as_mut().unwrap()[0].space = Ok(Space { total: 100 << 30, used: 0, avail: room << 30 });
        w
    }

    #[test]
    fn the_sum_must_find_room_and_who_is_left_out_is_told_why() {
        let mut w = four(34);
        w.guests.known.as_mut().unwrap()[0].lock = Some("backup".into());
        let out = many(&w, (101..105).map(id).chain([id(104), id(999)]), &BackupWish::of(id(101)));
        assert_eq!(out.plans.iter().map(|p| p.guest).collect::<Vec<_>>(), [102, 103, 104].map(id), "11 GiB each");
        assert_eq!(out.refused.iter().map(|r| r.why.as_str()).collect::<Vec<_>>(), ["101 x is locked (backup)", "there is no guest 999"]);
        assert!(out.plans[2].facts[1].contains("22 GiB of that go to backups"), "{:?}", out.plans[2].facts);
        let out = many(&four(32), (101..105).map(id), &BackupWish::of(id(101)));
        assert_eq!((out.plans.len(), out.refused.len()), (2, 2));
        assert!(out.refused[0].why.contains("beside about 22 GiB"), "{}", out.refused[0].why);
    }

    #[test]
    fn what_is_queued_counts_and_is_not_asked_twice() {
        let mut w = four(34);
        let order = Approved::new(super::super::plan(&w, &BackupWish::of(id(101))).unwrap(), "ada", None).unwrap();
        let mut job = Job { id: 7, state: State::Queued, created: Stamp(1), order, life: Life::default() };
        w.jobs = Part::new(vec![job.clone()], Stamp(1), From::Files);
        let out = many(&w, (101..105).map(id), &BackupWish::of(id(101)));
        assert_eq!(out.plans.iter().map(|p| p.guest).collect::<Vec<_>>(), [102, 103].map(id));
        assert_eq!(out.refused[0].why, "job 7 backs it up already");
        job.state = State::Succeeded;
        w.jobs = Part::new(vec![job], Stamp(1), From::Files);
        assert_eq!(many(&w, (101..105).map(id), &BackupWish::of(id(101))).plans.len(), 3);
    }

    #[test]
    fn all_are_the_containers_of_this_node() {
        let mut w = four(34);
        let guests = w.guests.known.as_mut().unwrap();
        guests[1].template = true;
        guests[2].kind = Kind::Qemu;
        let (ours, others) = containers(&w).unwrap();
        assert_eq!(ours, [101, 104].map(id));
        assert!(others[0].1.contains("template"), "{others:?}");
        w.guests = Part::unknown("no answer", Stamp(1));
        assert_eq!(containers(&w), Err("no answer".into()));
    }
}
