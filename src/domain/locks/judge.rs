//! Who holds the lock of a guest: every kind of evidence with its word, and a verdict. *Nobody* is said only where each kind was
//! asked and none speaks against it.

use serde::Serialize;

use super::{SNAP, Seen, VZDUMP_LOCK, config_lock, rest_of_backup, rest_of_tmp};
use crate::domain::clean::clean;
use crate::domain::guest::Vmid;
use crate::domain::job::{Job, State};
use crate::domain::plan::{Act, Plan};
use crate::domain::stamp::Stamp;
use crate::domain::task::Upid;
use crate::domain::world::{Part, World};

/// What one kind of evidence says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// It was asked, and nobody is there.
    Free,
    /// Somebody is there.
    Held,
    /// It could not be asked, or does not tell.
    Unknown,
    /// Good to know; it decides nothing.
    Noted,
}

/// One kind of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Which: `tasks`, `vzdump.lock`, `open files`.
    pub kind: &'static str,
    /// Its word.
    pub mark: Mark,
    /// What was found.
    pub says: String,
    /// Who is there.
    #[serde(skip)]
    holder: Option<Holder>,
}

/// Somebody who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    by: String,
    since: Option<Stamp>,
    does: String,
    hint: String,
    /// Nothing ends it: it waits in the kernel.
    stuck: bool,
}

/// Who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody.
    Held {
        /// Who, with the process id.
        by: String,
        /// Since when he works.
        since: Option<Stamp>,
        /// What he does.
        does: String,
        /// What to do.
        hint: String,
    },
    /// Nobody: the evidence is the proof.
    Nobody,
    /// It cannot be told.
    Unknown {
        /// Why.
        why: String,
        /// What to do.
        hint: String,
    },
}

impl Verdict {
    /// In a sentence.
    pub fn words(&self) -> String {
        match self {
            Verdict::Held { by, does, .. } if does.is_empty() => format!("held by {by}"),
            Verdict::Held { by, does, .. } => format!("held by {by}: {does}"),
            Verdict::Nobody => "held by nobody: each kind of evidence was asked".into(),
            Verdict::Unknown { why, .. } => format!("unknown who holds it: {why}"),
        }
    }
}

/// All about one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exam {
    /// Each kind of evidence.
    pub evidence: Vec<Evidence>,
    /// What follows.
    pub verdict: Verdict,
}

/// Whether a backup runs on the node, of whichever guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// None.
    Idle,
    /// One; which.
    Works(String),
    /// It cannot be told; why.
    Unknown(String),
}

fn row(kind: &'static str, mark: Mark, says: impl Into<String>) -> Evidence {
    Evidence { kind, mark, says: says.into(), holder: None }
}

fn held(kind: &'static str, says: impl Into<String>, holder: Holder) -> Evidence {
    Evidence { kind, mark: Mark::Held, says: says.into(), holder: Some(holder) }
}

/// How a task stands to a guest.
#[derive(PartialEq)]
enum Of {
    It,
    Perhaps,
    Other,
}

/// Such a job has no guest in its name.
fn is_over_several(upid: &Upid) -> bool {
    upid.kind == "vzdump" && upid.id.is_empty()
}

fn of(upid: &Upid, id: Vmid) -> Of {
    match () {
        () if upid.id == id.to_string() => Of::It,
        () if is_over_several(upid) => Of::Perhaps,
        () => Of::Other,
    }
}

/// The examination of a guest. `jobs` are our own; `None` where they are not asked, for whoever asks is one of them.
pub fn judge(seen: &Seen, id: Vmid, jobs: Option<&Part<Vec<Job>>>) -> Exam {
    let mut evidence = vec![tasks(seen, id, jobs), pid_file(seen, id, jobs)];
    evidence.push(lock_file(seen, id, "vzdump.lock", VZDUMP_LOCK));
    evidence.push(lock_file(seen, id, "config lock", &config_lock(id)));
    evidence.push(open_files(seen, id));
    evidence.extend(jobs.map(|jobs| own_jobs(jobs, id)));
    let verdict = verdict(&evidence);
    Exam { evidence, verdict }
}

/// The same with what else is known of the guest: where it is, and storages that may be why somebody hangs.
pub fn examine(world: &World, seen: &Seen, id: Vmid) -> Exam {
    let mut exam = judge(seen, id, Some(&world.jobs));
    let guest = world.guest(id);
    if let (Some(node), Some(me)) = (guest.and_then(|g| g.node.as_deref()), world.node_name())
        && node != me
    {
        exam.evidence.push(row("node", Mark::Unknown, format!("it lives on {}: only that node can tell", clean(node))));
    }
    match guest {
        Some(g) if !g.conf_read => exam.evidence.push(row("configuration", Mark::Unknown, "it could not be read, so its lock is unknown")),
        Some(g) => {
            let of = seen.guests.get(&id).cloned().unwrap_or_default();
            let lock = g.lock.as_deref().map_or("no lock".to_owned(), |l| format!("lock: {}", clean(l)));
            let since = of.written.filter(|_| g.lock.is_some()).map_or(String::new(), |at| {
                let ago = u64::try_from(seen.at.secs() - at.secs()).unwrap_or(0);
                format!(", not written to for {}", crate::domain::stamp::span(ago))
            });
            let snapshot = match of.section {
                Some(super::Section::Whole) => "; snapshot 'vzdump' is there",
                Some(super::Section::Broken) => "; snapshot 'vzdump' is there, half made (snapstate)",
                None => "",
            };
            exam.evidence.push(row("configuration", Mark::Noted, format!("{lock}{since}{snapshot}")));
        }
        None => {}
    }
    // Whoever hangs there is found as a process that waits; a silent storage alone says nothing of a lock.
    for s in world.storages.get().into_iter().flatten().filter(|s| !s.disabled) {
        if let Err(why) = &s.space
            && why != "not for this node"
        {
            let says = format!("{}: {}; whoever waits for it is a process above", s.id, clean(why));
            exam.evidence.push(row("storage", Mark::Noted, says));
        }
    }
    exam.verdict = verdict(&exam.evidence);
    exam
}

fn verdict(evidence: &[Evidence]) -> Verdict {
    let holders = || evidence.iter().filter_map(|e| e.holder.as_ref());
    if let Some(h) = holders().find(|h| h.stuck).or_else(|| holders().next()) {
        return Verdict::Held { by: h.by.clone(), since: h.since, does: h.does.clone(), hint: h.hint.clone() };
    }
    let unknown: Vec<String> =
        evidence.iter().filter(|e| matches!(e.mark, Mark::Unknown | Mark::Held)).map(|e| format!("{}: {}", e.kind, e.says)).collect();
    if unknown.is_empty() {
        return Verdict::Nobody;
    }
    Verdict::Unknown { why: unknown.join("; "), hint: "nothing is done while that is so; look at it as root on the node itself".into() }
}

fn tasks(seen: &Seen, id: Vmid, jobs: Option<&Part<Vec<Job>>>) -> Evidence {
    const KIND: &str = "tasks";
    let all = match &seen.tasks {
        Ok(all) => all,
        Err(why) => return row(KIND, Mark::Unknown, why.clone()),
    };
    let (mut gone, mut perhaps) = (Vec::new(), None);
    for upid in all.iter().filter(|t| t.end.is_none()).map(|t| &t.upid) {
        let of = of(upid, id);
        if of == Of::Other {
            continue;
        }
        match seen.lives(upid) {
            Err(why) => return row(KIND, Mark::Unknown, why),
            Ok(false) => gone.push(end_of(seen, upid)),
            Ok(true) if of == Of::Perhaps => {
                perhaps = Some(format!("a backup of several guests runs (pid {}), which may be at this one; wait for its end", upid.pid));
            }
            Ok(true) => return held(KIND, format!("{} {} works on it", upid.kind, upid.as_str()), by_task(seen, upid, jobs)),
        }
    }
    match (perhaps, gone.first()) {
        (Some(says), _) => row(KIND, Mark::Unknown, says),
        (None, Some(gone)) => row(KIND, Mark::Free, format!("none works on it; {gone}")),
        (None, None) => row(KIND, Mark::Free, "none of this node works on it"),
    }
}

/// Why the process of a task is not the one that has its number.
fn end_of(seen: &Seen, upid: &Upid) -> String {
    let now = seen.processes.as_ref().ok().and_then(|all| all.get(&upid.pid));
    match now {
        Some(p) if p.lives() => format!("{} is gone: its pid {} is another process now ({})", upid.kind, upid.pid, p.command),
        _ => format!("{} is gone: there is no process {}", upid.kind, upid.pid),
    }
}

fn pid_file(seen: &Seen, id: Vmid, jobs: Option<&Part<Vec<Job>>>) -> Evidence {
    const KIND: &str = "vzdump.pid";
    let upid = match &seen.pid_file {
        Ok(Some(upid)) => upid,
        Ok(None) => return row(KIND, Mark::Free, "no vzdump says that it runs"),
        Err(why) => return row(KIND, Mark::Unknown, why.clone()),
    };
    match (seen.lives(upid), of(upid, id)) {
        (Err(why), _) => row(KIND, Mark::Unknown, why),
        (Ok(false), _) => row(KIND, Mark::Free, format!("left of one that ended: {}", end_of(seen, upid))),
        (Ok(true), Of::Other) => row(KIND, Mark::Free, format!("a backup of {} runs", clean(&upid.id))),
        (Ok(true), Of::Perhaps) => row(KIND, Mark::Unknown, "a backup of several guests runs, which may be at this one"),
        (Ok(true), Of::It) => held(KIND, format!("{} backs it up", upid.as_str()), by_task(seen, upid, jobs)),
    }
}

/// Who holds a flock; the error says why that is not known.
fn holders(seen: &Seen, path: &str) -> Result<Vec<u32>, String> {
    let file = seen.files.get(path).ok_or("it was not looked at")?;
    let taken = file.taken.clone().transpose()?.unwrap_or(false);
    let mut all: Vec<u32> = Vec::new();
    if let Some((device, inode)) = file.at.clone()? {
        let flocks = seen.flocks.as_ref().map_err(Clone::clone)?;
        let users = seen.users.as_ref().map_err(Clone::clone)?;
        all.extend(flocks.iter().filter(|l| l.inode == inode && l.device == device).map(|l| l.pid));
        // Whoever got the open file from a process that ended holds it too.
        let name = path.rsplit('/').next();
        all.extend(users.opened.iter().filter(|o| o.locks && o.path.rsplit('/').next() == name).map(|o| o.pid));
    }
    all.sort_unstable();
    all.dedup();
    let lives = |pid: &u32| seen.processes.as_ref().is_ok_and(|p| p.get(pid).is_some_and(|p| p.lives()));
    // The kernel names who took it, though he has ended and somebody else has it from him.
    if all.iter().any(lives) {
        all.retain(lives);
    }
    if taken && all.is_empty() { Err("it is taken, and by whom cannot be seen from here".into()) } else { Ok(all) }
}

fn lock_file(seen: &Seen, id: Vmid, kind: &'static str, path: &str) -> Evidence {
    let pids = match holders(seen, path) {
        Ok(pids) => pids,
        Err(why) => return row(kind, Mark::Unknown, format!("{path}: {why}")),
    };
    let running = || seen.tasks.iter().flatten().filter(|t| t.end.is_none()).map(|t| &t.upid).chain(seen.pid_file.iter().flatten());
    let backup_of = |pid: u32| {
        let is = |u: &&Upid| u.kind == "vzdump" && seen.lives(u) == Ok(true) && seen.family(u.pid).contains(&pid);
        running().find(is)
    };
    let mut others = Vec::new();
    for pid in pids {
        match backup_of(pid) {
            Some(upid) if of(upid, id) == Of::Other && path == VZDUMP_LOCK => others.push(format!("the backup of {}", clean(&upid.id))),
            Some(upid) if of(upid, id) == Of::Perhaps => {
                return row(kind, Mark::Unknown, "a backup of several guests holds it, which may be at this one");
            }
            _ => return held(kind, format!("process {pid} holds {path}"), by_process(seen, pid)),
        }
    }
    match others.first() {
        Some(other) => row(kind, Mark::Free, format!("{other} holds it, and none of this guest")),
        None => row(kind, Mark::Free, format!("nobody holds {path}")),
    }
}

fn open_files(seen: &Seen, id: Vmid) -> Evidence {
    const KIND: &str = "open files";
    let users = match &seen.users {
        Ok(users) => users,
        Err(why) => return row(KIND, Mark::Unknown, why.clone()),
    };
    let of_it = |path: &str| {
        let part = |p: &str| rest_of_backup(p).or_else(|| rest_of_tmp(p)) == Some(id);
        path.trim_end_matches(" (deleted)").split('/').any(part) || (is_below(path, SNAP) && reads(seen, id))
    };
    if let Some(o) = users.opened.iter().find(|o| of_it(&o.path)) {
        return held(KIND, format!("process {} has {} open", o.pid, clean(&o.path)), by_process(seen, o.pid));
    }
    match users.unread.len() {
        0 => row(KIND, Mark::Free, "no process has a file of a backup of it open"),
        n => row(KIND, Mark::Unknown, format!("what {n} processes have open could not be read")),
    }
}

/// Whether a path is this one or below it.
pub(super) fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether what is mounted for a backup is of this guest. Where that is not known it may be.
fn reads(seen: &Seen, id: Vmid) -> bool {
    let Ok(mounts) = &seen.mounts else { return true };
    mounts.iter().any(|(what, _)| what.contains(&format!("-{id}-disk-")) || what.contains(&format!("/{id}/")))
}

fn own_jobs(jobs: &Part<Vec<Job>>, id: Vmid) -> Evidence {
    const KIND: &str = "own jobs";
    let all = match &jobs.known {
        Ok(all) => all,
        Err(_) if jobs.is_pending() => return row(KIND, Mark::Free, "there is no store, so there are none"),
        Err(why) => return row(KIND, Mark::Unknown, why.clone()),
    };
    // One that waits its turn holds nothing, and before each step of a plan it is asked anew who works there.
    let works = |j: &&Job| !j.state.is_final() && j.state != State::Queued && touches(j.order.plan(), id);
    match all.iter().find(works) {
        Some(job) => {
            let hint = format!("wait for its end, or end it: proximity job cancel {}", job.id);
            let holder = Holder { by: format!("job {}", job.id), since: job.life.started, does: job.title().into(), hint, stuck: false };
            held(KIND, format!("job {} is {}: {}", job.id, job.state.word(), job.title()), holder)
        }
        None => row(KIND, Mark::Free, "none that runs works on it"),
    }
}

/// Whether a plan does something to a guest.
fn touches(plan: &Plan, id: Vmid) -> bool {
    let word = id.to_string();
    let step = |act: &Act| matches!(act, Act::Run { cmd, .. } if cmd.args.contains(&word));
    plan.guest == id || plan.steps.iter().any(|s| step(&s.act))
}

fn by_task(seen: &Seen, upid: &Upid, jobs: Option<&Part<Vec<Job>>>) -> Holder {
    let ours = jobs.and_then(|j| j.get()).into_iter().flatten().find(|j| !j.state.is_final() && j.life.upid.as_ref() == Some(upid));
    let hint = match ours {
        Some(job) => format!("wait for its end, or end it: proximity job cancel {}", job.id),
        None => "wait for its end, or stop the task on the Proxmox page".to_owned(),
    };
    let by = format!("{} of {} (pid {})", upid.kind, clean(&upid.user), upid.pid);
    stuck(seen, upid.pid, Holder { by, since: Some(upid.started), does: String::new(), hint, stuck: false })
}

fn by_process(seen: &Seen, pid: u32) -> Holder {
    let known = seen.processes.as_ref().ok().and_then(|all| all.get(&pid)).filter(|p| p.lives());
    let Some(process) = known else {
        let hint = "who got it from there is not told by the kernel: lsof on that file shows it".into();
        return Holder { by: format!("pid {pid}, which is not seen"), since: None, does: String::new(), hint, stuck: false };
    };
    let hint = format!("look what it is (ps -fp {pid}); wait for its end, or end it yourself");
    let holder = Holder { by: format!("{} (pid {pid})", process.command), since: seen.since(pid), does: String::new(), hint, stuck: false };
    stuck(seen, pid, holder)
}

/// What a holder, or whatever it started, waits for in the kernel.
fn stuck(seen: &Seen, pid: u32, holder: Holder) -> Holder {
    let Ok(all) = &seen.processes else { return holder };
    let waiting = seen.family(pid).into_iter().find_map(|p| all.get(&p).filter(|x| x.state == 'D').map(|x| (p, x)));
    let Some((p, process)) = waiting else { return holder };
    let waits = process.waits.as_deref().map_or(String::new(), |w| format!(" in {w}"));
    let open = process.files.first().map_or(String::new(), |f| format!(", with {} open", clean(f)));
    let what = if p == pid { "it".to_owned() } else { format!("{} (pid {p})", process.command) };
    let does = format!("{what} waits in the kernel (state D){waits}{open}");
    let hint = "no signal ends it while it waits: bring back what it waits for; where that cannot be, only a restart of the node".into();
    Holder { does, hint, stuck: true, ..holder }
}

/// Whether a backup runs on the node, by each kind of evidence that names one.
pub fn node_works(seen: &Seen) -> Node {
    let tasks = match &seen.tasks {
        Ok(tasks) => tasks.iter().filter(|t| t.end.is_none()).map(|t| &t.upid).filter(|u| u.kind == "vzdump"),
        Err(why) => return Node::Unknown(why.clone()),
    };
    let named = match &seen.pid_file {
        Ok(upid) => upid.iter(),
        Err(why) => return Node::Unknown(why.clone()),
    };
    for upid in tasks.chain(named) {
        match seen.lives(upid) {
            Ok(true) => return Node::Works(format!("a backup runs (pid {})", upid.pid)),
            Ok(false) => {}
            Err(why) => return Node::Unknown(why),
        }
    }
    match holders(seen, VZDUMP_LOCK) {
        Ok(pids) if pids.is_empty() => Node::Idle,
        Ok(pids) => Node::Works(format!("process {} holds {VZDUMP_LOCK}", pids[0])),
        Err(why) => Node::Unknown(why),
    }
}
