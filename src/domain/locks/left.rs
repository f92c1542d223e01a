//! What killed jobs left behind, each with its proof or with why there is none.

use super::judge::{Node, Verdict, examine, is_below, node_works};
use super::{SNAP, Section, Seen};
use crate::domain::clean::clean;
use crate::domain::guest::{Guest, Kind, Vmid};
use crate::domain::job::{Job, JobId, State};
use crate::domain::plan::{Act, Check, Plan, Purpose};
use crate::domain::stamp::{Stamp, bytes};
use crate::domain::world::World;

/// One thing that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The guest it is of; `None` where it is of the node.
    pub guest: Option<Vmid>,
    /// What it is.
    pub thing: Thing,
    /// Its path or name.
    pub at: String,
    /// Bytes, where they are known.
    pub size: Option<u64>,
    /// Why nobody needs it any more; else why that is not known.
    pub proof: Result<String, String>,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// A lock behind which the guest is whole.
    Lock,
    /// The guest stands still.
    Frozen,
    /// The lock of `pct mount`, and the mount itself.
    Mounted,
    /// A lock behind which there may be half a guest that is worth to be mended by hand.
    Doubtful,
    /// Half a guest: one that was being made or removed.
    Half {
        /// The job of ours that made it.
        job: Option<JobId>,
    },
    /// A guest that a job of ours made to be removed.
    Scratch {
        /// The job.
        job: JobId,
    },
    /// The snapshot of a backup.
    Snapshot(
        /// Proxmox died while it made or removed it.
        bool,
    ),
    /// Half an archive.
    Partial,
    /// A temporary directory.
    Folder,
    /// What a backup read.
    Mount,
}

impl Thing {
    /// The word in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Thing::Lock => "lock",
            Thing::Frozen => "frozen",
            Thing::Mounted => "mounted",
            Thing::Doubtful => "doubtful",
            Thing::Half { .. } => "half",
            Thing::Scratch { .. } => "scratch",
            Thing::Snapshot(_) => "snapshot",
            Thing::Partial => "partial",
            Thing::Folder => "folder",
            Thing::Mount => "mount",
        }
    }
}

impl Left {
    /// What it is, in words.
    pub fn words(&self) -> String {
        let size = self.size.map_or(String::new(), |n| format!(" ({})", bytes(n)));
        let at = clean(&self.at);
        match &self.thing {
            Thing::Lock | Thing::Doubtful => format!("lock '{at}'"),
            Thing::Mounted => format!("lock '{at}', and its volume mounted on the host"),
            Thing::Frozen => "it is frozen: it answers nobody".into(),
            Thing::Half { job: Some(job) } => format!("half a guest, of our job {job}: lock '{at}'"),
            Thing::Half { job: None } => format!("half a guest: lock '{at}'"),
            Thing::Scratch { job } => format!("a guest that job {job} made to be removed: {at}"),
            Thing::Snapshot(false) => format!("snapshot '{at}'"),
            Thing::Snapshot(true) => format!("snapshot '{at}', half made"),
            Thing::Partial => format!("partial archive {at}{size}"),
            Thing::Folder => format!("temporary directory {at}{size}"),
            Thing::Mount => format!("mounted at {at}"),
        }
    }

    /// Whether a guest goes with it.
    pub fn is_a_guest(&self) -> bool {
        matches!(self.thing, Thing::Half { .. } | Thing::Scratch { .. })
    }
}

/// Bytes of all that is left, as far as they are known.
pub fn total(all: &[Left]) -> u64 {
    all.iter().filter_map(|l| l.size).sum()
}

/// Locks behind which a guest is whole.
const WHOLE: [&str; 4] = ["backup", "fstrim", "mounted", "snapshot"];
/// Locks of guests that are made or removed.
const HALF: [&str; 2] = ["create", "destroyed"];

/// Everything that is left, guest by guest and then the node's own. What somebody works on is not left.
pub fn left(world: &World, seen: &Seen) -> Vec<Left> {
    let mut out = Vec::new();
    for guest in world.guests.get().into_iter().flatten() {
        let here = guest.node.as_deref().is_none_or(|n| world.node_name().is_none_or(|me| me == n));
        if here && guest.kind == Kind::Lxc && guest.conf_read {
            out.extend(of_guest(world, seen, guest));
        }
    }
    for rest in &seen.rests {
        let Some(proof) = nobody(world, seen, rest.guest) else { continue };
        let opened = |path: &str| is_below(path.trim_end_matches(" (deleted)"), &rest.path);
        let user = seen.users.iter().flat_map(|u| &u.opened).find(|o| opened(&o.path));
        let proof = proof.and_then(|proof| match (user, &rest.shared) {
            (Some(o), _) => Err(format!("process {} has it open", o.pid)),
            (None, Some(why)) => Err(why.clone()),
            (None, None) => Ok(format!("{proof}, and no process has it open")),
        });
        let thing = if rest.dir { Thing::Folder } else { Thing::Partial };
        out.push(Left { guest: Some(rest.guest), thing, at: rest.path.clone(), size: rest.size, proof });
    }
    if seen.mounts.as_ref().is_ok_and(|m| !m.is_empty()) {
        let user = seen.users.iter().flat_map(|u| &u.opened).find(|o| is_below(&o.path, SNAP));
        let proof = match (node_works(seen), user) {
            (Node::Works(_), _) => None,
            (Node::Unknown(why), _) => Some(Err(why)),
            (Node::Idle, Some(o)) => Some(Err(format!("process {} works there", o.pid))),
            (Node::Idle, None) => Some(Ok("no backup runs on this node, and no process works there".to_owned())),
        };
        out.extend(proof.map(|proof| Left { guest: None, thing: Thing::Mount, at: SNAP.into(), size: None, proof }));
    }
    out
}

/// The proof that all that is left of a guest has, in words.
pub fn idle_words(id: Vmid) -> String {
    format!("nobody works on {id}")
}

/// The proof that nobody works on a guest; `None` where somebody does.
fn nobody(world: &World, seen: &Seen, id: Vmid) -> Option<Result<String, String>> {
    match examine(world, seen, id).verdict {
        Verdict::Held { .. } => None,
        Verdict::Nobody => Some(Ok(idle_words(id))),
        Verdict::Unknown { why, .. } => Some(Err(why)),
    }
}

fn of_guest(world: &World, seen: &Seen, guest: &Guest) -> Vec<Left> {
    let id = guest.id;
    let more = seen.guests.get(&id).cloned().unwrap_or_default();
    let scratch = world.jobs.get().and_then(|jobs| made_to_be_removed(jobs, guest, more.written));
    let lock = guest.lock.clone();
    if lock.is_none() && more.section.is_none() && scratch.is_none() {
        return Vec::new();
    }
    let Some(proof) = nobody(world, seen, id) else { return Vec::new() };
    let one = |thing, at: &str| Left { guest: Some(id), thing, at: at.into(), size: None, proof: proof.clone() };
    let mut out = Vec::new();
    match lock.as_deref() {
        Some(lock) if HALF.contains(&lock) => {
            let job = world.jobs.get().and_then(|jobs| maker(jobs, id));
            return vec![one(Thing::Half { job }, lock)];
        }
        Some("mounted") if more.mounted => out.push(one(Thing::Mounted, "mounted")),
        Some(lock) => {
            if more.frozen == Some(Ok(true)) {
                out.push(one(Thing::Frozen, "frozen"));
            }
            // What died was the removal of a backup's own snapshot: the guest has nothing to do with it.
            let of_backup = lock == "snapshot-delete" && more.section == Some(Section::Broken) && !more.others_broken;
            out.push(one(if of_backup || WHOLE.contains(&lock) { Thing::Lock } else { Thing::Doubtful }, lock));
        }
        None => {}
    }
    if let Some(job) = scratch {
        return vec![one(Thing::Scratch { job }, &guest.title())];
    }
    // What a doubtful lock stands for may be just this snapshot.
    if let Some(section) = more.section.filter(|_| !out.iter().any(|l| l.thing == Thing::Doubtful)) {
        out.push(one(Thing::Snapshot(section == Section::Broken), "vzdump"));
    }
    out
}

/// The newest job of ours that was to make a guest of this number and did not get it done.
fn maker(jobs: &[Job], id: Vmid) -> Option<JobId> {
    let makes = |p: &Plan| {
        matches!(p.purpose, Purpose::RestoreBeside | Purpose::RestoreInPlace | Purpose::Drill | Purpose::Appliance) && p.guest == id
    };
    let newest = jobs.iter().find(|j| makes(j.order.plan()))?;
    (newest.state.is_final() && newest.state != State::Succeeded).then_some(newest.id)
}

/// The job that made this very guest only to remove it again, or was to remove it, and is over.
fn made_to_be_removed(jobs: &[Job], guest: &Guest, written: Option<Stamp>) -> Option<JobId> {
    // The newest that had to do with it; what was done before that says nothing of what is there now.
    let job = jobs.iter().find(|j| j.order.plan().guest == guest.id)?;
    let plan = job.order.plan();
    let removes = plan.steps.iter().any(|s| s.check == Check::Gone { vmid: guest.id });
    if !removes || !job.state.is_final() || job.state == State::Succeeded {
        return None;
    }
    let ours = match plan.purpose {
        // It carries the notes that were given to it.
        Purpose::Drill => plan.steps.iter().find_map(|s| description(&s.act)).is_some_and(|notes| notes == guest.notes.join("\n")),
        // Its lock was taken away to remove it, and nobody wrote to it since: it is half still.
        Purpose::Unlock => guest.lock.is_none() && written.is_some_and(|at| job.life.ended.is_some_and(|ended| at <= ended)),
        _ => false,
    };
    ours.then_some(job.id)
}

fn description(act: &Act) -> Option<String> {
    let Act::Run { cmd, .. } = act else { return None };
    let at = cmd.args.iter().position(|a| a == "--description")?;
    cmd.args.get(at + 1).cloned()
}
