//! Backups: archives as they stand on a storage, what vzdump's log tells, and the plan that makes one.

use serde::{Deserialize, Serialize};

use super::guest::{Kind, Power, Vmid};
use super::plan::{Act, Check, Plan, Purpose, Refusal, Risk, Step, Watch};
use super::pve;
use super::stamp::{Stamp, bytes};
use super::storage::{Storage, StorageId};
use super::world::World;

mod asked;
mod complaint;
pub mod label;
mod many;
pub mod size;

pub use asked::{Notes, bandwidth};
pub use complaint::Complaint;
pub use many::{Many, Promised, containers, many};

/// One backup archive on a storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// `local:backup/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst`.
    pub volid: String,
    /// The storage it stands on.
    pub storage: StorageId,
    /// The guest it is of; `None` for a file with another name.
    pub vmid: Option<Vmid>,
    /// Container or machine.
    pub kind: Option<Kind>,
    /// When it was made, by its name (the host's local time read as such), else by its file time.
    pub made: Stamp,
    /// Size in bytes, where the storage tells it.
    pub size: Option<u64>,
    /// First line of its notes.
    pub notes: Option<String>,
    /// Protected against removal.
    pub protected: bool,
    /// What a backup server said when it verified it last: whether it is whole. None where it said nothing, or is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_says: Option<bool>,
}

impl Archive {
    /// Whether it is a file of no bytes: broken, and no backup however new.
    pub fn is_empty(&self) -> bool {
        self.size == Some(0)
    }
}

/// What the name of an archive tells: kind, guest and `(year, month, day, hour, minute, second)` in the
/// host's local time. `None` for partial files, logs, notes and renamed archives.
pub fn parse_name(file: &str) -> Option<(Kind, Vmid, [u32; 6])> {
    let rest = file.strip_prefix("vzdump-")?;
    let (kind, rest) = match rest.split_once('-')? {
        ("lxc", rest) => (Kind::Lxc, rest),
        ("qemu", rest) => (Kind::Qemu, rest),
        _ => return None,
    };
    let (id, rest) = rest.split_once('-')?;
    let (stamp, ext) = (rest.get(..19)?, rest.get(19..)?);
    let archive = match kind {
        Kind::Lxc => [".tar", ".tar.gz", ".tar.lzo", ".tar.zst", ".tgz"].contains(&ext),
        Kind::Qemu => [".vma", ".vma.gz", ".vma.lzo", ".vma.zst"].contains(&ext),
    };
    let numbers: Vec<u32> = stamp.split(['_', '-']).map(str::parse).collect::<Result<_, _>>().ok()?;
    Some((kind, id.parse().ok()?, numbers.try_into().ok()?)).filter(|_| archive)
}

/// What one line of vzdump's output tells about the guest that is being backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VzdumpLine {
    /// The archive's path, or its name on a backup server; the file grows beside it with `.dat` for its last extension.
    Archive(String),
    /// Something it is doing, in its own words.
    Phase(String),
    /// Percent done, only for virtual machines.
    Percent(u8),
    /// A mount point that is left out.
    Excluded(String),
    /// A warning.
    Warning(String),
    /// An error.
    Error(String),
    /// The mode that is used in the end: `snapshot`, `suspend`, `stop`.
    Mode(String),
    /// The mode that was asked for is not possible; why. Another one follows.
    FellBack(String),
    /// Another vzdump holds the node's lock.
    Waiting,
}

/// Reads one line of vzdump's output (facts §4.2–4.8); `None` for lines that tell nothing we use.
pub fn parse_line(line: &str) -> Option<VzdumpLine> {
    if let Some(text) = line.strip_prefix("ERROR: ") {
        return Some(VzdumpLine::Error(text.trim().into()));
    }
    if let Some(text) = line.strip_prefix("WARN: ") {
        return Some(VzdumpLine::Warning(text.trim().into()));
    }
    let text = line.strip_prefix("INFO: ")?;
    let quoted = |prefix: &str| text.strip_prefix(prefix)?.strip_suffix('\'');
    // A backup server's has no path: `ct/101/2026-05-09T15:43:57Z`.
    if let Some(path) = quoted("creating vzdump archive '").or_else(|| quoted("creating Proxmox Backup Server archive '")) {
        return Some(VzdumpLine::Archive(path.into()));
    }
    if let Some(mode) = text.strip_prefix("backup mode: ") {
        return Some(VzdumpLine::Mode(mode.into()));
    }
    if let Some(why) = text.strip_prefix("mode failure - ") {
        return Some(VzdumpLine::FellBack(why.into()));
    }
    if text.starts_with("trying to get global lock") {
        return Some(VzdumpLine::Waiting);
    }
    if text.starts_with("excluding ") && text.contains(" mount point ") {
        return Some(VzdumpLine::Excluded(text["excluding ".len()..].into()));
    }
    if let Some((percent, _)) = text.trim_start().split_once("% (") {
        return percent.parse().ok().map(VzdumpLine::Percent);
    }
    let phases = [
        "create storage snapshot",
        "suspend",
        "stopping virtual guest",
        "restarting vm",
        "starting first sync",
        "starting final sync",
        "prune older",
        "cleanup temporary",
        "archive file size",
        "got global lock",
    ];
    phases.iter().any(|p| text.starts_with(p)).then(|| VzdumpLine::Phase(text.into()))
}

/// Whether a line tells of a full disk or a used-up quota (ENOSPC, EDQUOT), whichever program says it.
pub fn no_room(line: &str) -> bool {
    line.contains("No space left on device") || line.contains("Disk quota exceeded")
}

/// The file that grows while the archive is made: its last extension replaced by `.dat`.
pub fn partial_of(archive: &str) -> Option<String> {
    let (stem, ext) = archive.rsplit_once('.')?;
    (!ext.contains('/')).then(|| format!("{stem}.dat"))
}

/// The temporary directory of an archive: everything behind the time stamp replaced by `.tmp`.
pub fn tmp_of(archive: &str) -> Option<String> {
    let (dir, file) = archive.rsplit_once('/')?;
    let stem = file.split('.').next().filter(|s| s.starts_with("vzdump-"))?;
    Some(format!("{dir}/{stem}.tmp"))
}

/// A backup that is wished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupWish {
    /// Of which guest.
    pub guest: Vmid,
    /// Where to; `None` takes the one of the settings, else the storage with most room that takes backups.
    pub storage: Option<StorageId>,
    /// `snapshot`, `suspend` or `stop`; `None` takes the one of the settings.
    pub mode: Option<Mode>,
    /// Read at most so fast, in KiB/s; 0 is no limit, `None` what `/etc/vzdump.conf` says.
    pub bandwidth: Option<u32>,
    /// Its notes; `None` takes the guest's name.
    pub notes: Option<Notes>,
    /// Protected against removal as soon as it is there.
    pub protected: bool,
}

impl BackupWish {
    /// Of this guest, as the settings say.
    pub fn of(guest: Vmid) -> BackupWish {
        BackupWish { guest, storage: None, mode: None, bandwidth: None, notes: None, protected: false }
    }
}

/// What a backup is made with: the wish, and the settings for what it leaves open.
struct How {
    storage: Option<StorageId>,
    mode: Mode,
    compress: &'static str,
    /// What of it comes from settings that were set.
    told: Option<String>,
}

impl How {
    fn of(world: &World, wish: &BackupWish) -> Result<How, String> {
        let settings = world.chosen()?;
        let (mut storage, mut told) = (wish.storage.clone(), Vec::new());
        if storage.is_none() {
            storage = settings.storage("backups.storage")?;
            told.extend(storage.as_ref().map(|id| format!("storage {id}")));
        }
        let mode = match wish.mode {
            Some(mode) => mode,
            None => Mode::from_word(settings.word("backups.mode")?).unwrap_or_default(),
        };
        if wish.mode.is_none() && mode != Mode::default() {
            told.push(format!("mode {}", mode.word()));
        }
        let word = settings.word("backups.compression")?;
        if word != "zstd" {
            told.push(format!("compression {word}"));
        }
        let unchecked = if settings.checked { "" } else { " (not checked: the vault is locked)" };
        let told = (!told.is_empty()).then(|| format!("by the settings: {}{unchecked}", told.join(", ")));
        Ok(How { storage, mode, compress: if word == "none" { "0" } else { word }, told })
    }
}

/// How a running guest is treated while it is backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// From a storage snapshot; goes on running.
    #[default]
    Snapshot,
    /// Frozen for a moment.
    Suspend,
    /// Stopped and started again.
    Stop,
}

impl Mode {
    /// vzdump's word.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Snapshot => "snapshot",
            Mode::Suspend => "suspend",
            Mode::Stop => "stop",
        }
    }

    /// The mode of vzdump's word.
    pub fn from_word(word: &str) -> Option<Mode> {
        [Mode::Snapshot, Mode::Suspend, Mode::Stop].into_iter().find(|m| m.word() == word)
    }
}

/// The plan of a backup, or why it is refused: guest here, no lock, storage takes backups and has room.
pub fn plan(world: &World, wish: &BackupWish) -> Result<Plan, Refusal> {
    plan_beside(world, wish, &Promised::by_jobs(world))
}

/// The same where room was promised to other backups already.
fn plan_beside(world: &World, wish: &BackupWish, promised: &Promised) -> Result<Plan, Refusal> {
    let what = format!("back up {}", wish.guest);
    let refuse = |why: String, hint: &str| Refusal::new(what.clone(), why, hint);
    let guest = world.the_guest(wish.guest).map_err(|(why, hint)| refuse(why, hint))?;
    if let (Some(node), Some(me)) = (&guest.node, world.node_name()) {
        // vzdump of a guest of another node does nothing and exits 0 (facts §16, trap 3).
        if node != me {
            return Err(refuse(format!("guest {} lives on node {node}, not on {me}", guest.id), "run it on that node"));
        }
    }
    if !guest.conf_read {
        return Err(refuse(format!("the configuration of {} could not be read, so its lock is unknown", guest.id), "see doctor"));
    }
    if let Some(lock) = &guest.lock {
        return Err(refuse(
            format!("{} is locked ({lock})", guest.title()),
            "wait for what holds it; if nothing does: proximity guest unlock",
        ));
    }
    // vzdump writes a lock into the configuration first.
    world.takes_changes().map_err(|(why, hint)| refuse(why, hint))?;
    if let Some(upid) = world.task_on(guest.id) {
        return Err(refuse(format!("task {upid} works on {} now", guest.title()), "wait until it ended"));
    }
    if let Some(job) = promised.of_guest(guest.id) {
        return Err(refuse(format!("job {job} backs it up already"), &format!("see proximity job show {job}")));
    }
    let expect = world.last_archive(guest.id).and_then(|a| a.size).or(guest.disk.map(|(used, _)| used));
    let how = How::of(world, wish).map_err(|why| refuse(why, "see proximity settings list"))?;
    let storage = choose(world, how.storage.as_ref(), expect, promised).map_err(|(why, hint)| refuse(why, hint))?;
    let mut notes: Vec<String> = guest.not_in_backup().into_iter().map(|m| format!("not in it: {m}")).collect();
    let size = match expect {
        Some(n) => format!("about {} by the last backup or the disk in use; {} has {} free", bytes(n), storage.id, bytes(room(storage))),
        None => format!("size unknown, there is no earlier backup; {} has {} free", storage.id, bytes(room(storage))),
    };
    let others = promised.on(&storage.id);
    let room_taken = (others > 0).then(|| format!("about {} of that go to backups that were asked for before", bytes(others)));
    let limit = match wish.bandwidth {
        None => None,
        Some(0) => Some("no limit of bandwidth".to_owned()),
        Some(kib) => Some(format!("read at {}/s at most", bytes(u64::from(kib) << 10))),
    };
    let stops = how.mode == Mode::Stop && guest.power == Power::Running;
    if stops {
        notes.push(format!("{} is stopped for the time of the backup", guest.title()));
    }
    Ok(Plan {
        purpose: Purpose::Backup,
        title: format!("back up {} to {}", guest.title(), storage.id),
        guest: guest.id,
        host: world.place.host.clone(),
        facts: std::iter::once(size).chain(room_taken).chain(limit).chain(how.told).collect(),
        notes,
        risk: if stops { Risk::Interrupts } else { Risk::Low },
        steps: vec![Step {
            title: format!("vzdump {} in {} mode", guest.id, how.mode.word()),
            act: Act::Run {
                cmd: pve::vzdump(
                    guest.id,
                    &pve::VzdumpOptions {
                        storage: &storage.id,
                        mode: how.mode.word(),
                        compress: how.compress,
                        notes: wish.notes.as_ref().map_or("{{guestname}}", Notes::template),
                        bandwidth: wish.bandwidth,
                        protected: wish.protected,
                    },
                ),
                watch: Watch::Vzdump { vmid: guest.id, expect },
            },
            check: Check::Archived { vmid: guest.id, storage: storage.id.clone() },
            undo: None,
            always: true,
        }],
    })
}

/// Bytes that a backup must find: a tenth on top of what is expected, for an archive seldom grows more between two backups,
/// and a full storage fails late.
fn needed(expect: Option<u64>) -> u64 {
    expect.map_or(64 << 20, |n| n + n / 10)
}

fn room(storage: &Storage) -> u64 {
    storage.space.as_ref().map_or(0, |s| s.avail)
}

pub(super) fn choose<'w>(
    world: &'w World,
    wished: Option<&StorageId>,
    expect: Option<u64>,
    promised: &Promised,
) -> Result<&'w Storage, (String, &'static str)> {
    let free = |s: &Storage| room(s).saturating_sub(promised.on(&s.id));
    let all = world.storages.known.as_ref().map_err(|why| (format!("the storages are unknown: {why}"), "see doctor"))?;
    let storage = match wished {
        Some(id) => all.iter().find(|s| s.id == *id).ok_or_else(|| (format!("there is no storage {id}"), "see status"))?,
        None => all.iter().filter(|s| s.takes("backup") && s.space.is_ok()).max_by_key(|s| free(s)).ok_or_else(|| {
            (
                "no storage that takes backups answers".to_owned(),
                "switch content 'backup' on for a storage, or see status for why one does not answer",
            )
        })?,
    };
    if storage.disabled {
        return Err((format!("storage {} is disabled", storage.id), "choose another storage"));
    }
    if !storage.takes("backup") {
        return Err((
            format!("storage {} does not take backups (content {})", storage.id, storage.content.join(",")),
            "choose another storage",
        ));
    }
    storage.space.as_ref().map_err(|why| (format!("storage {}: {why}", storage.id), "choose another storage"))?;
    let need = needed(expect);
    if free(storage) < need {
        let others = promised.on(&storage.id);
        let beside =
            if others > 0 { format!(" beside about {} for backups that were asked for before", bytes(others)) } else { String::new() };
        return Err((
            format!("storage {} has {} free and about {} are needed{beside}", storage.id, bytes(room(storage)), bytes(need)),
            "make room or choose another storage",
        ));
    }
    Ok(storage)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
pub(crate) mod tests;
