//! The lock doctor: what there is to see of who holds a lock and of what killed jobs left (facts §2.5, §4.8). What it means is
//! judged in `judge`, what is left is named in `left`, what is done about it is planned in `plan`.

mod judge;
mod left;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::backup::parse_name;
use super::guest::Vmid;
use super::stamp::Stamp;
use super::storage::StorageId;
use super::task::{TaskSeen, Upid};
use super::world::Gap;

pub use judge::{Evidence, Exam, Mark, Node, Verdict, examine, judge, node_works};
pub use left::{Left, Thing, idle_words, left, total};
pub use plan::{LockWish, plan};

/// The lock file of vzdump, for the whole node (facts §10).
pub const VZDUMP_LOCK: &str = "/var/run/vzdump.lock";
/// Who has it, by its own words: a UPID.
pub const VZDUMP_PID: &str = "/var/run/vzdump.pid";
/// Where a backup in snapshot mode mounts what it reads.
pub const SNAP: &str = "/mnt/vzsnap0";
/// Where temporary directories are made whose storage keeps no owners.
pub const VAR_TMP: &str = "/var/tmp";

/// The lock file that every change of a guest's configuration takes.
pub fn config_lock(id: Vmid) -> String {
    format!("/run/lock/lxc/pve-config-{id}.lock")
}

/// One thing that a process has open, or works in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The process.
    pub pid: u32,
    /// Its path, as the process sees it.
    pub path: String,
    /// A flock is taken through it.
    pub locks: bool,
}

/// Who has what open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    /// By process.
    pub opened: Vec<Opened>,
    /// Processes that could not be looked at.
    pub unread: Vec<u32>,
}

/// A process as the kernel tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// Who started it.
    pub parent: u32,
    /// Clock ticks from boot to its start.
    pub start: u64,
    /// `R`, `S`, `D`, `Z`, …
    pub state: char,
    /// Its program's name; its whole command, where that was asked.
    pub command: String,
    /// For one in state `D`: what in the kernel it waits in.
    pub waits: Option<String>,
    /// For one in state `D`: files that it has open.
    pub files: Vec<String>,
}

impl Process {
    /// Reads `/proc/PID/stat`: the name stands in brackets and may hold anything.
    pub fn parse(stat: &str) -> Option<(u32, Process)> {
        let (pid, rest) = stat.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let start = fields.nth(17)?.parse().ok()?;
        let command = super::clean::clean(name);
        Some((pid.parse().ok()?, Process { parent, start, state, command, waits: None, files: Vec::new() }))
    }

    /// Whether it is more than the entry of one that has ended.
    pub fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// A flock by `/proc/locks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flock {
    /// Who took it; it may have ended and left it to a child.
    pub pid: u32,
    /// Device, as `major:minor`.
    pub device: (u64, u64),
    /// Inode.
    pub inode: u64,
}

/// How often a thread has waited for something so far, where it is in state D now, by its `/proc/PID/task/TID/status`.
pub fn waits_in_kernel(status: &str) -> Option<u64> {
    let get = |key: &str| status.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    get("voluntary_ctxt_switches").filter(|_| get("State").is_some_and(|s| s.starts_with('D')))?.parse().ok()
}

/// Reads `/proc/locks` (proc_locks(5)): `1: FLOCK  ADVISORY  WRITE 4711 00:1a:1234 0 EOF`. Who waits has an arrow and holds
/// nothing.
pub fn parse_locks(text: &str) -> Vec<Flock> {
    let one = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, "FLOCK", _, _, pid, at, ..] = words[..] else { return None };
        let mut at = at.split(':');
        let mut hex = || u64::from_str_radix(at.next()?, 16).ok();
        let device = (hex()?, hex()?);
        Some(Flock { pid: pid.parse().ok()?, device, inode: at.next()?.parse().ok()? })
    };
    text.lines().filter_map(one).collect()
}

/// The numbers of a device as `/proc/locks` writes them (makedev(3), glibc).
pub fn numbers(dev: u64) -> (u64, u64) {
    (((dev >> 8) & 0xfff) | ((dev >> 32) & !0xfff), (dev & 0xff) | ((dev >> 12) & !0xff))
}

/// What names a file on a machine: the numbers of its device, and its inode.
pub type FileId = ((u64, u64), u64);

/// A lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockFile {
    /// Which; `None` where there is none, so that nobody can hold it.
    pub at: Result<Option<FileId>, String>,
    /// Whether it could be taken just now; `None` where that was not tried.
    pub taken: Option<Result<bool, String>>,
}

/// What a backup writes while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    /// Its path.
    pub path: String,
    /// The guest it is of.
    pub guest: Vmid,
    /// A directory; else a file.
    pub dir: bool,
    /// Bytes, where they could be counted.
    pub size: Option<u64>,
    /// When it was last written to.
    pub modified: Stamp,
    /// The storage it lies on; `None` below `/var/tmp`.
    pub storage: Option<StorageId>,
    /// Why somebody may be at it who is not seen from here, where that is so.
    pub shared: Option<String>,
}

/// What a path in a directory of backups is the rest of: the guest of `vzdump-lxc-101-….tar.dat`, `….dat`, `….tmp`.
pub fn rest_of_backup(name: &str) -> Option<Vmid> {
    let stem = name.strip_suffix(".dat").or_else(|| name.strip_suffix(".tmp"))?;
    let stem = stem.strip_suffix(".tar").or_else(|| stem.strip_suffix(".vma")).unwrap_or(stem);
    let whole = if stem.starts_with("vzdump-qemu-") { format!("{stem}.vma") } else { format!("{stem}.tar") };
    parse_name(&whole).map(|(_, id, _)| id)
}

/// The guest of `vzdumptmp4711_101`, a directory below [`VAR_TMP`].
pub fn rest_of_tmp(name: &str) -> Option<Vmid> {
    let (pid, id) = name.strip_prefix("vzdumptmp")?.split_once('_')?;
    pid.parse::<u32>().ok()?;
    id.parse().ok()
}

/// How far a snapshot section of a guest's configuration came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// It is whole.
    Whole,
    /// Proxmox died while it made or removed it (`snapstate`).
    Broken,
}

/// The section of a snapshot in the text of a configuration; `None` where there is none.
pub fn section(conf: &str, name: &str) -> Option<Section> {
    let head = format!("[{name}]");
    let mut inside = conf.lines().skip_while(|l| l.trim_end() != head);
    inside.next()?;
    let broken = inside.take_while(|l| !l.starts_with('[')).any(|l| l.starts_with("snapstate:"));
    Some(if broken { Section::Broken } else { Section::Whole })
}

/// Whether a snapshot other than this one is half made.
pub fn others_broken(conf: &str, name: &str) -> bool {
    let others = conf.lines().filter_map(|l| l.strip_prefix('[')?.trim_end().strip_suffix(']')).filter(|n| *n != name);
    others.into_iter().any(|n| section(conf, n) == Some(Section::Broken))
}

/// What more was seen of a guest that is locked or has a snapshot of a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfGuest {
    /// When its configuration was last written.
    pub written: Option<Stamp>,
    /// Its snapshot `vzdump`.
    pub section: Option<Section>,
    /// Another snapshot of it is half made.
    pub others_broken: bool,
    /// It is frozen; why that is not known. `None`: not asked, for it does not run.
    pub frozen: Option<Result<bool, String>>,
    /// Its root volume is mounted on the host by `pct mount`.
    pub mounted: bool,
}

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// When.
    pub at: Stamp,
    /// When this boot was, in seconds since 1970: process starts count from it.
    pub booted_s: Option<i64>,
    /// All processes.
    pub processes: Result<BTreeMap<u32, Process>, String>,
    /// The node's own list of tasks.
    pub tasks: Result<Vec<TaskSeen>, String>,
    /// Who says that he has vzdump's lock.
    pub pid_file: Result<Option<Upid>, String>,
    /// Flocks of the whole machine.
    pub flocks: Result<Vec<Flock>, String>,
    /// Lock files by their paths.
    pub files: BTreeMap<String, LockFile>,
    /// Who has lock files and rests of backups open.
    pub users: Result<Users, String>,
    /// Guests.
    pub guests: BTreeMap<Vmid, OfGuest>,
    /// What is mounted at [`SNAP`] and below it: what, and where.
    pub mounts: Result<Vec<(String, String)>, String>,
    /// Rests of backups.
    pub rests: Vec<Rest>,
    /// Where could not be looked, and why.
    pub gaps: Vec<Gap>,
}

impl Seen {
    /// Whether the process of a task lives: the very one, by its start. The error says why that is not known.
    pub fn lives(&self, upid: &Upid) -> Result<bool, String> {
        let all = self.processes.as_ref().map_err(|why| format!("processes: {why}"))?;
        Ok(all.get(&upid.pid).is_some_and(|p| p.lives() && p.start == upid.pstart))
    }

    /// A process and all that it started, as far as they live.
    pub fn family(&self, pid: u32) -> Vec<u32> {
        let Ok(all) = &self.processes else { return vec![pid] };
        let mut out = vec![pid];
        let mut at = 0;
        while let Some(parent) = out.get(at).copied() {
            let children = all.iter().filter(|(child, p)| p.parent == parent && p.lives() && !out.contains(child));
            let children: Vec<u32> = children.map(|(child, _)| *child).collect();
            out.extend(children);
            at += 1;
        }
        out
    }

    /// When a process started.
    pub fn since(&self, pid: u32) -> Option<Stamp> {
        let start = self.processes.as_ref().ok()?.get(&pid)?.start;
        // The kernel tells it in hundredths of a second, whatever it counts in (time(7), USER_HZ).
        Some(Stamp::from_secs(self.booted_s?.saturating_add(i64::try_from(start / 100).ok()?)))
    }
}
