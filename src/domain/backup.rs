//! Backups: archives as they stand on a storage, what vzdump's log tells, and the plan that makes one.

use serde::{Deserialize, Serialize};

use super::guest::{Kind, Power, Vmid};
use super::plan::{Act, Check, Plan, Purpose, Refusal, Risk, Step, Watch};
use super::pve;
use super::stamp::{Stamp, bytes};
use super::storage::{Storage, StorageId};
use super::world::World;

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
    /// The archive's path; the file grows beside it with `.dat` for its last extension.
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
    if let Some(path) = quoted("creating vzdump archive '") {
        return Some(VzdumpLine::Archive(path.into()));
    }
    if let Some(mode) = text.strip_prefix("backup mode: ") {
        return Some(VzdumpLine::Mode(mode.into()));
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
    if let Some(upid) = world.task_on(guest.id) {
        return Err(refuse(format!("task {upid} works on {} now", guest.title()), "wait until it ended"));
    }
    let expect = world.last_archive(guest.id).and_then(|a| a.size).or(guest.disk.map(|(used, _)| used));
    let how = How::of(world, wish).map_err(|why| refuse(why, "see proximity settings list"))?;
    let storage = choose(world, how.storage.as_ref(), expect).map_err(|(why, hint)| refuse(why, hint))?;
    let mut notes: Vec<String> = guest.not_in_backup().into_iter().map(|m| format!("not in it: {m}")).collect();
    let size = match expect {
        Some(n) => format!("about {} by the last backup or the disk in use; {} has {} free", bytes(n), storage.id, bytes(room(storage))),
        None => format!("size unknown, there is no earlier backup; {} has {} free", storage.id, bytes(room(storage))),
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
        facts: std::iter::once(size).chain(how.told).collect(),
        notes,
        risk: if stops { Risk::Interrupts } else { Risk::Low },
        steps: vec![Step {
            title: format!("vzdump {} in {} mode", guest.id, how.mode.word()),
            act: Act::Run {
                cmd: pve::vzdump(guest.id, &storage.id, how.mode.word(), how.compress),
                watch: Watch::Vzdump { vmid: guest.id, expect },
            },
            check: Check::Archived { vmid: guest.id, storage: storage.id.clone() },
            undo: None,
            always: true,
        }],
    })
}

fn room(storage: &Storage) -> u64 {
    storage.space.as_ref().map_or(0, |s| s.avail)
}

fn choose<'w>(world: &'w World, wished: Option<&StorageId>, expect: Option<u64>) -> Result<&'w Storage, (String, &'static str)> {
    let all = world.storages.known.as_ref().map_err(|why| (format!("the storages are unknown: {why}"), "see doctor"))?;
    let storage = match wished {
        Some(id) => all.iter().find(|s| s.id == *id).ok_or_else(|| (format!("there is no storage {id}"), "see status"))?,
        None => all.iter().filter(|s| s.takes("backup") && s.space.is_ok()).max_by_key(|s| room(s)).ok_or_else(|| {
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
    let space = storage.space.as_ref().map_err(|why| (format!("storage {}: {why}", storage.id), "choose another storage"))?;
    // A tenth on top: an archive seldom grows more between two backups, and a full storage fails late.
    let need = expect.map_or(64 << 20, |n| n + n / 10);
    if space.avail < need {
        return Err((
            format!("storage {} has {} free and about {} are needed", storage.id, bytes(space.avail), bytes(need)),
            "make room or choose another storage",
        ));
    }
    Ok(storage)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
pub(super) mod tests {
    use super::super::conf::parse_lxc;
    use super::super::storage::{Space, parse_cfg};
    use super::super::world::{From, Part, Place};
    use super::*;

    pub fn world() -> World {
        let mut guest = parse_lxc(
            "101".parse().unwrap(),
            "hostname: web\nunprivileged: 1\nrootfs: local-lvm:vm-101-disk-0,size=4G\nmp0: /data,mp=/srv\nnet0: name=eth0,bridge=proximity-lan,ip=dhcp,hwaddr=bc:24:11:00:00:01\n",
        );
        guest.power = Power::Running;
        let (mut storages, _) = parse_cfg(
            "dir: local\n\tpath /var/lib/vz\n\tcontent backup,vztmpl\nbtrfs: local-lvm\n\tpath /var/lib/pool\n\tcontent rootdir,images\ndir: old\n\tpath /o\n\tcontent backup\n\tdisable\n",
        );
        for s in &mut storages {
            s.space = Ok(Space { total: 100 << 30, used: 10 << 30, avail: 90 << 30 });
        }
        World {
            place: Place { host: "local".into(), demo: false },
            guests: Part::new(vec![guest], Stamp(1), From::Files),
            storages: Part::new(storages, Stamp(1), From::Files),
            archives: Part::new(vec![], Stamp(1), From::Files),
            tasks: Part::new(vec![], Stamp(1), From::Files),
            ..World::default()
        }
    }

    fn wish() -> BackupWish {
        BackupWish { guest: "101".parse().unwrap(), storage: None, mode: None }
    }

    #[test]
    fn the_plan_as_it_is_shown() {
        insta::assert_snapshot!(plan(&world(), &wish()).unwrap().lines().join("\n"), @"
        back up 101 web to local
        1 vzdump 101 in snapshot mode
            $ vzdump 101 --storage local --mode snapshot --compress zstd --notes-template {{guestname}} --remove 0
            then: task ended well, archive stands whole on local
        size unknown, there is no earlier backup; local has 90 GiB free
        ! not in it: /srv (mp0 bind mount)
        ");
    }

    #[test]
    fn settings_decide_what_the_wish_leaves_open() {
        use crate::domain::settings::{Change, Key, Settings};
        let settings = |set: &[(&str, &str)]| {
            let changes: Vec<(Key, Change)> = set
                .iter()
                .map(|(k, v)| {
                    let key: Key = k.parse().unwrap();
                    let value = key.definition().parse(v).unwrap();
                    (key, Change::Set(value))
                })
                .collect();
            Settings::default().with(changes.iter().map(|(k, c)| (k, c)))
        };
        let mut w = world();
        let set = settings(&[("backups.storage", "local"), ("backups.mode", "stop"), ("backups.compression", "none")]);
        w.settings = Part::new(set, Stamp(1), From::Files);
        let p = plan(&w, &wish()).unwrap();
        let Act::Run { cmd, .. } = &p.steps[0].act else { panic!("nothing is run") };
        assert_eq!(cmd.shown(), "vzdump 101 --storage local --mode stop --compress 0 --notes-template {{guestname}} --remove 0");
        assert_eq!(p.facts[1], "by the settings: storage local, mode stop, compression none (not checked: the vault is locked)");
        assert_eq!(p.risk, Risk::Interrupts);
        let p = plan(&w, &BackupWish { mode: Some(Mode::Snapshot), ..wish() }).unwrap();
        assert_eq!(p.risk, Risk::Low, "the wish goes before the settings");
        w.settings = Part::new(settings(&[("backups.storage", "old")]), Stamp(1), From::Files);
        assert!(plan(&w, &wish()).unwrap_err().why.contains("disabled"));
        w.settings = Part::unknown("the store was tampered with", Stamp(1));
        assert!(plan(&w, &wish()).unwrap_err().why.contains("tampered"), "no default in its place");
    }

    #[test]
    fn refusals_say_why() {
        let why = |w: &World, wish: &BackupWish| plan(w, wish).unwrap_err().why;
        let mut w = world();
        assert_eq!(why(&w, &BackupWish { guest: "109".parse().unwrap(), ..wish() }), "there is no guest 109");
        for (name, text) in [("old", "disabled"), ("local-lvm", "does not take backups"), ("nowhere", "there is no storage")] {
            assert!(why(&w, &BackupWish { storage: Some(name.parse().unwrap()), ..wish() }).contains(text), "{name}");
        }
        w.guests.known.as_mut().unwrap()[0].lock = Some("backup".into());
        assert_eq!(why(&w, &wish()), "101 web is locked (backup)");
        w = world();
        w.storages.known.as_mut().unwrap()[0].space = Ok(Space { total: 1 << 30, used: 1 << 30, avail: 1000 });
        assert!(why(&w, &wish()).contains("1000 B free") || why(&w, &wish()).contains("free and about"));
        w = world();
        w.guests = Part::unknown("/etc/pve is empty", Stamp(1));
        assert!(why(&w, &wish()).contains("/etc/pve is empty"));
        w = world();
        w.guests.known.as_mut().unwrap()[0].node = Some("pve2".into());
        w.node = Part::new(
            super::super::world::Node {
                name: "pve1".into(),
                version: None,
                load: None,
                cpus: None,
                cpu_ticks: None,
                mem: None,
                swap: None,
                root: None,
                uptime_s: None,
                boot_id: None,
            },
            Stamp(1),
            From::Files,
        );
        assert!(why(&w, &wish()).contains("lives on node pve2"));
    }

    #[test]
    fn names_of_archives() {
        let (kind, id, at) = parse_name("vzdump-lxc-101-2026_08_27-02_00_03.tar.zst").unwrap();
        assert_eq!((kind, id.to_string().as_str(), at), (Kind::Lxc, "101", [2026, 8, 27, 2, 0, 3]));
        for no in [
            "vzdump-lxc-101-2026_08_27-02_00_03.tar.dat",
            "vzdump-lxc-101-2026_08_27-02_00_03.log",
            "vzdump-lxc-101-2026_08_27-02_00_03.tar.zst.notes",
            "vzdump-lxc-1-2026_08_27-02_00_03.tar",
            "vzdump-lxc-101-ü026_08_27-02_00_0.tar",
            "x",
        ] {
            assert!(parse_name(no).is_none(), "{no}");
        }
        let a = "/var/lib/vz/dump/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst";
        assert_eq!(partial_of(a).as_deref(), Some("/var/lib/vz/dump/vzdump-lxc-101-2026_08_27-02_00_03.tar.dat"));
        assert_eq!(tmp_of(a).as_deref(), Some("/var/lib/vz/dump/vzdump-lxc-101-2026_08_27-02_00_03.tmp"));
    }

    #[test]
    fn recorded_logs_are_read() {
        let of = |text: &str| text.lines().filter_map(parse_line).collect::<Vec<_>>();
        let ok = of(include_str!("../../tests/recordings/pve-9.1/vzdump-snapshot-ok.out"));
        assert!(ok.contains(&VzdumpLine::Mode("snapshot".into())));
        assert!(ok.iter().any(|l| matches!(l, VzdumpLine::Archive(p) if p.ends_with(".tar.zst"))));
        let bad = of(include_str!("../../tests/recordings/pve-9.1/vzdump-with-mps.out"));
        assert_eq!(bad, [VzdumpLine::Error("Backup of VM 100 failed - CT is locked (mounted)".into())]);
        assert_eq!(
            parse_line("INFO:  13% (3.4 GiB of 25.0 GiB) in 3s, read: 1.1 GiB/s, write: 350.2 MiB/s"),
            Some(VzdumpLine::Percent(13))
        );
        let mps = of(include_str!("../../tests/recordings/pve-9.1/edge-vzdump-mps.out"));
        assert!(mps.iter().any(|l| matches!(l, VzdumpLine::Excluded(_))), "{mps:?}");
    }
}
