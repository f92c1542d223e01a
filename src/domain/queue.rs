//! The queue: which jobs may not run at the same time, in which order the others follow, and what each waits for.
//!
//! One vzdump runs on a node at a time, for Proxmox holds a lock over it. Restores and drills to one storage run a few at a
//! time, as the settings say. Everything else begins at once.

use serde::{Deserialize, Serialize};

use super::job::{Job, JobId, State};
use super::plan::{Act, Plan, Purpose, Watch};
use super::pve;
use super::settings::Settings;
use super::storage::StorageId;

/// What jobs follow one another on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lane {
    /// vzdump of this node.
    Vzdump,
    /// Restores to a storage.
    Restores(StorageId),
}

impl Lane {
    /// The lane of a plan; `None` where it waits for nobody.
    pub fn of(plan: &Plan) -> Option<Lane> {
        match plan.purpose {
            Purpose::Backup => Some(Lane::Vzdump),
            Purpose::RestoreBeside | Purpose::RestoreInPlace | Purpose::Drill => {
                let restore = |act: &Act| match act {
                    Act::Run { cmd, watch: Watch::Restore { .. } } => pve::storage_of(cmd),
                    _ => None,
                };
                plan.steps.iter().find_map(|s| restore(&s.act)).map(Lane::Restores)
            }
            _ => None,
        }
    }

    /// So many of its jobs may run at once. A setting that cannot be read lets one run.
    pub fn at_once(&self, settings: Option<&Settings>) -> usize {
        match self {
            Lane::Vzdump => 1,
            Lane::Restores(_) => {
                let most = settings.and_then(|s| s.number("backups.parallel").ok());
                most.and_then(|n| usize::try_from(n).ok()).unwrap_or(1).max(1)
            }
        }
    }

    fn words(&self) -> String {
        match self {
            Lane::Vzdump => "one vzdump at a time".into(),
            Lane::Restores(storage) => format!("restores to {storage}"),
        }
    }
}

/// Whose turn it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Its own.
    Now,
    /// It comes behind these: the one before it in the queue, or those that run.
    After(Vec<JobId>),
}

/// The jobs of a lane that run, and those that wait, in their order.
fn lane_of<'j>(open: &'j [Job], lane: &Lane) -> (Vec<&'j Job>, Vec<&'j Job>) {
    let of_lane = open.iter().filter(|j| !j.state.is_final() && Lane::of(j.order.plan()).as_ref() == Some(lane));
    let (mut waiting, mut running): (Vec<&Job>, Vec<&Job>) = of_lane.partition(|j| j.state == State::Queued);
    waiting.sort_by_key(|j| (j.life.turn, j.id));
    running.sort_by_key(|j| j.id);
    (running, waiting)
}

/// Whether it is a queued job's turn, by all jobs that have not ended.
pub fn turn(open: &[Job], job: &Job, settings: Option<&Settings>) -> Turn {
    let Some(lane) = Lane::of(job.order.plan()) else { return Turn::Now };
    let (running, waiting) = lane_of(open, &lane);
    let at = waiting.iter().position(|j| j.id == job.id).unwrap_or(waiting.len());
    if running.len() + at < lane.at_once(settings) {
        return Turn::Now;
    }
    match waiting.get(..at).and_then(<[_]>::last) {
        Some(before) => Turn::After(vec![before.id]),
        None => Turn::After(running.iter().map(|j| j.id).collect()),
    }
}

/// Where a queued job stands among those that wait, and behind which jobs, in words; `None` where it does not wait. `jobs`: at least all that have not ended.
pub fn words(jobs: &[Job], job: &Job) -> Option<String> {
    let lane = Lane::of(job.order.plan()).filter(|_| job.state == State::Queued)?;
    let (running, waiting) = lane_of(jobs, &lane);
    let at = waiting.iter().position(|j| j.id == job.id)?;
    let number = |all: &[&Job]| all.iter().map(|j| j.id.to_string()).collect::<Vec<_>>().join(", ");
    let first = match (at, &running[..]) {
        // Its worker looks at the host and says what holds it up.
        (0, []) if !job.life.progress.phase.is_empty() => job.life.progress.phase.clone(),
        (0, []) => "next".into(),
        (0, running) => format!("after {}: {}", number(running), lane.words()),
        (_, []) => format!("after {}", number(&waiting[at - 1..at])),
        (_, running) => format!("after {}, {} runs", number(&waiting[at - 1..at]), number(running)),
    };
    Some(format!("{}/{} {first}", at + 1, waiting.len()))
}

/// One line about where a job stands: [`Job::line`], or its place in the queue.
pub fn line(jobs: &[Job], job: &Job) -> String {
    words(jobs, job).unwrap_or_else(|| job.line())
}

/// Where to in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Move {
    /// Before all others.
    First,
    /// One place forward.
    Sooner,
    /// One place back.
    Later,
    /// Behind all others.
    Last,
}

impl Move {
    /// The word on the command line and in the audit.
    pub fn word(self) -> &'static str {
        match self {
            Move::First => "first",
            Move::Sooner => "sooner",
            Move::Later => "later",
            Move::Last => "last",
        }
    }
}

/// The new turns of all that wait in a job's lane; why not, where it does not wait. Below 0: who comes later comes behind.
pub fn moved(open: &[Job], id: JobId, to: Move) -> Result<Vec<(JobId, i64)>, String> {
    let job = open.iter().find(|j| j.id == id).filter(|j| j.state == State::Queued);
    let job = job.ok_or_else(|| format!("job {id} waits for nothing"))?;
    let lane = Lane::of(job.order.plan()).ok_or_else(|| format!("job {id} waits for nothing"))?;
    let mut order: Vec<JobId> = lane_of(open, &lane).1.iter().map(|j| j.id).collect();
    let at = order.iter().position(|n| *n == id).unwrap_or(0);
    order.remove(at);
    let to = match to {
        Move::First => 0,
        Move::Sooner => at.saturating_sub(1),
        Move::Later => (at + 1).min(order.len()),
        Move::Last => order.len(),
    };
    order.insert(to, id);
    let len = order.len() as i64;
    Ok(order.into_iter().zip(-len..0).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::backup::{self, BackupWish, tests::world};
    use crate::domain::job::Life;
    use crate::domain::plan::{Approved, Check, Risk, Step};
    use crate::domain::pve::RestoreOptions;
    use crate::domain::stamp::Stamp;

    fn job(id: JobId, state: State, plan: Plan) -> Job {
        Job { id, state, created: Stamp(id), order: Approved::new(plan, "ada", None).unwrap(), life: Life::default() }
    }

    fn backup(id: JobId, state: State) -> Job {
        job(id, state, backup::plan(&world(), &BackupWish::of("101".parse().unwrap())).unwrap())
    }

    fn restore(id: JobId, state: State, storage: &str) -> Job {
        let vmid = "300".parse().unwrap();
        let storage = storage.parse().unwrap();
        let options = RestoreOptions { storage, unprivileged: true, hostname: "x".into(), nets: vec![], notes: String::new() };
        let cmd = pve::restore(vmid, "local:backup/x", &options);
        let act = Act::Run { cmd, watch: Watch::Restore { vmid } };
        let step = Step { title: "restore".into(), act, check: Check::Unlocked { vmid }, undo: None, always: false };
        let plan = Plan {
            purpose: Purpose::Drill,
            title: "drill".into(),
            guest: vmid,
            host: "local".into(),
            facts: vec![],
            notes: vec![],
            risk: Risk::Low,
            steps: vec![step],
        };
        job(id, state, plan)
    }

    #[test]
    fn backups_run_one_after_the_other() {
        use State::*;
        let open = [backup(1, Running), backup(2, Queued), backup(3, Queued), restore(4, Queued, "pool")];
        let turns: Vec<Turn> = open[1..].iter().map(|j| turn(&open, j, None)).collect();
        assert_eq!(turns, [Turn::After(vec![1]), Turn::After(vec![2]), Turn::Now]);
        assert_eq!(words(&open, &open[1]).unwrap(), "1/2 after 1: one vzdump at a time");
        assert_eq!(words(&open, &open[2]).unwrap(), "2/2 after 2, 1 runs");
        assert_eq!(words(&open, &open[0]), None);
        let open = [backup(1, Succeeded), backup(2, Queued), backup(3, Queued)];
        assert_eq!((turn(&open, &open[1], None), turn(&open, &open[2], None)), (Turn::Now, Turn::After(vec![2])));
    }

    #[test]
    fn restores_are_limited_per_storage_by_the_setting() {
        use State::*;
        let open = [restore(1, Running, "pool"), restore(2, Unreachable, "pool"), restore(3, Queued, "pool"), restore(4, Queued, "nas")];
        let default = Settings::default();
        assert_eq!(turn(&open, &open[2], Some(&default)), Turn::After(vec![1, 2]));
        assert_eq!(turn(&open, &open[3], Some(&default)), Turn::Now);
        assert_eq!(turn(&open[..1], &open[2], Some(&default)), Turn::Now);
        assert_eq!(turn(&open[..1], &open[2], None), Turn::After(vec![1]), "a setting that cannot be read");
    }

    #[test]
    fn the_queue_is_put_in_another_order_and_who_comes_later_comes_behind() {
        use State::*;
        let mut open = vec![backup(1, Running), backup(2, Queued), backup(3, Queued), backup(4, Queued)];
        let go = |open: &mut Vec<Job>, id, to| {
            for (n, turn) in moved(open, id, to).unwrap() {
                open.iter_mut().find(|j| j.id == n).unwrap().life.turn = turn;
            }
            lane_of(open, &Lane::Vzdump).1.iter().map(|j| j.id).collect::<Vec<_>>()
        };
        assert_eq!(go(&mut open, 4, Move::First), [4, 2, 3]);
        open.push(backup(5, Queued));
        assert_eq!(go(&mut open, 5, Move::Sooner), [4, 2, 5, 3]);
        assert_eq!(go(&mut open, 4, Move::Later), [2, 4, 5, 3]);
        assert_eq!(go(&mut open, 2, Move::Last), [4, 5, 3, 2]);
        assert_eq!(go(&mut open, 4, Move::Sooner), [4, 5, 3, 2]);
        open.push(backup(6, Queued));
        assert_eq!(turn(&open, open.last().unwrap(), None), Turn::After(vec![2]));
        assert!(moved(&open, 1, Move::First).unwrap_err().contains("waits for nothing") && moved(&open, 9, Move::First).is_err());
    }
}
