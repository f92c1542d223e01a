//! What each recorded end must come out as. `pve-X.Y/NAME` are recordings of real nodes; the last line of their task is the one
//! of the node's own list of tasks. Ends of which there is no recording are in Proxmox's own words.

use proximity::domain::job::State;

/// In place of an exit status: the operator asked for the end meanwhile.
pub const CANCELLED: i32 = -1;

/// How the task's log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// There was no task: the command ended before it began one.
    NoTask,
    /// With this line.
    Task(&'static str),
    /// In the middle: its worker vanished.
    Cut,
    /// It cannot be read.
    Unreadable,
}

/// What is on the storage then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    Nothing,
    Whole,
    Empty,
    Partial,
}

/// Who judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The worker that followed it.
    Followed,
    /// Somebody later: the worker was killed. `runs`: the task goes on.
    FoundOut { runs: bool },
}

#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub recording: &'static str,
    /// In place of a recording.
    pub lines: Option<&'static str>,
    pub rc: Option<i32>,
    pub guest: u32,
    pub restores: bool,
    pub last: Last,
    pub disk: Disk,
    /// Lock of the guest afterwards; `gone`: it has no configuration.
    pub lock: Option<&'static str>,
    pub how: How,
    pub state: State,
    /// A part of what is said.
    pub what: &'static str,
    pub not_in_it: Vec<&'static str>,
    /// Parts of what is told to be left.
    pub left: Vec<&'static str>,
}

const DATA: &[&str] = &["volume mount point mp0 ('/data') from backup (disabled)"];

fn case(recording: &'static str, guest: u32) -> Case {
    Case {
        name: recording.into(),
        recording,
        lines: None,
        rc: None,
        guest,
        restores: false,
        last: Last::Task("TASK OK"),
        disk: Disk::Whole,
        lock: None,
        how: How::Followed,
        state: State::Succeeded,
        what: "local:backup/vzdump-",
        not_in_it: Vec::new(),
        left: Vec::new(),
    }
}

fn failed(recording: &'static str, guest: u32, what: &'static str) -> Case {
    let last = Last::Task("TASK ERROR: job errors");
    Case { last, disk: Disk::Nothing, state: State::Failed, what, ..case(recording, guest) }
}

/// It never came to a task.
fn refused(recording: &'static str, guest: u32, what: &'static str) -> Case {
    Case { last: Last::NoTask, ..failed(recording, guest, what) }
}

/// The task ended with a text of its own.
fn ended(recording: &'static str, guest: u32, last: &'static str, what: &'static str) -> Case {
    Case { last: Last::Task(last), ..failed(recording, guest, what) }
}

fn restored(recording: &'static str, guest: u32) -> Case {
    Case { restores: true, what: "is there and was checked", ..case(recording, guest) }
}

fn not_restored(recording: &'static str, guest: u32, last: Last, what: &'static str) -> Case {
    Case { restores: true, last, lock: Some("gone"), ..failed(recording, guest, what) }
}

fn said(name: &str, lines: &'static str, rc: i32) -> Case {
    Case { name: name.into(), lines: Some(lines), rc: Some(rc), ..case("", 101) }
}

pub fn all() -> Vec<Case> {
    let mut all = Vec::new();
    for (recording, guest) in [
        ("pve-8.4/vzdump-stop-ok", 100),
        ("pve-8.4/vzdump-suspend-ok", 100),
        ("pve-9.1/pvesh-create-vzdump", 100),
        ("pve-9.1/sched-task-log-quiet", 100),
        ("pve-9.1/vzdump-gzip", 100),
        ("pve-9.1/vzdump-hook-ok", 100),
        ("pve-9.1/vzdump-lzo", 100),
        ("pve-9.1/vzdump-none", 100),
        ("pve-9.1/vzdump-notes-protected", 100),
        ("pve-9.1/vzdump-prune", 100),
        ("pve-9.1/vzdump-prune-2", 100),
        ("pve-9.1/vzdump-snapshot-ok", 110),
        ("pve-9.1/vzdump-stop-ok", 100),
        ("pve-9.1/vzdump-suspend-ok", 100),
        ("pve-9.1/vzdump-template", 110),
    ] {
        all.push(case(recording, guest));
    }
    for name in ["exclude-path", "stopped-ct", "stopped-ct-stopmode", "zstd-threads"] {
        let recording: &'static str = Box::leak(format!("pve-9.1/vzdump-{name}").into_boxed_str());
        all.push(Case { not_in_it: DATA.to_vec(), ..case(recording, 300) });
    }
    // What is not in it, once each; and a mode that was not possible.
    let fell_back = "in suspend mode: some volumes do not support snapshots";
    all.push(Case { not_in_it: DATA.to_vec(), ..case("pve-9.1/danger-2-vzdump", 200) });
    let bind = vec!["bind mount point mp1 ('/mnt/bind') from backup (not a volume)"];
    all.push(Case { not_in_it: bind, ..case("pve-9.1/edge-vzdump-mps", 100) });
    all.push(Case { what: fell_back, ..case("pve-8.4/vzdump-snapshot-raw-fallback", 100) });
    all.push(Case { what: fell_back, ..case("pve-9.1/vzdump-snapshot-raw-fallback", 100) });
    all.push(Case { what: fell_back, not_in_it: DATA.to_vec(), ..case("pve-9.1/vzdump-debian-snapshot-fallback", 200) });

    // The guest cannot be backed up: vzdump's own reason, whatever it says after it.
    all.push(failed("pve-8.4/vzdump-locked-stop", 100, "CT is locked (backup)"));
    all.push(failed("pve-9.1/vzdump-locked-stop", 100, "CT is locked (backup)"));
    let locked = "200 is still locked (backup)";
    all.push(Case {
        lock: Some("backup"),
        left: vec![locked],
        ..failed("pve-9.1/vzdump-after-sigkill-locked", 200, "CT is locked (backup)")
    });
    for recording in ["pve-9.1/vzdump-with-mps", "pve-9.1/vzdump-with-mps-suspend"] {
        all.push(Case { lock: Some("mounted"), left: vec!["locked (mounted)"], ..failed(recording, 100, "CT is locked (mounted)") });
    }
    for recording in ["pve-8.4/vzdump-nonexistent-ct", "pve-9.1/vzdump-nonexistent-ct", "pve-9.1/pvesh-create-vzdump-fail"] {
        // pvesh exits 0 although its task failed.
        all.push(Case { lock: Some("gone"), left: vec!["no configuration"], ..failed(recording, 999, "unable to find VM '999'") });
    }
    all.push(failed("pve-9.1/vzdump-missing-disk", 211, "volume 'local:211/vm-211-disk-9.raw' does not exist"));
    all.push(failed("pve-9.1/noquorum-vzdump", 100, "unable to open file '/etc/pve/nodes/pve1/lxc/100.conf.tmp.2156' - Permission denied"));
    all.push(failed("pve-9.1/vzdump-dumpdir", 301, "Cannot open: Permission denied"));
    let vma =
        Case { lock: Some("gone"), left: vec!["no configuration"], ..failed("pve-9.1/vzdump-vm-nodisk", 400, "Backup of VM 400 failed") };
    all.push(vma);

    // A full disk: said by the compressor, in the middle.
    let full = "No space left on device";
    all.push(Case { not_in_it: DATA.to_vec(), ..failed("pve-9.1/vzdump-enospc-stop", 200, full) });
    all.push(Case { not_in_it: DATA.to_vec(), ..failed("pve-9.1/vzdump-enospc-suspend", 200, full) });
    // tar had written everything it read, and the compressor could not.
    let totals = "INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst'\n\
        INFO: zstd: error 70 : Write error : cannot write block : No space left on device \nINFO: Total bytes written: 878131200 (838MiB, 82MiB/s)\n\
        ERROR: Backup of VM 101 failed - command 'set -o pipefail && tar cpf - | zstd >/x.tar.dat' failed: exit code 70\n\
        INFO: Backup job finished with errors\njob errors\n";
    let full = Case { name: "full disk, with tar's total".into(), lines: Some(totals), rc: Some(255), ..failed("", 101, full) };
    all.push(Case { name: "the same, its partial file left".into(), disk: Disk::Partial, left: vec!["partial archive"], ..full.clone() });
    all.push(full);

    // Ended from outside, and by the operator.
    let ended_by = "interrupted by signal";
    let signal = Case { not_in_it: DATA.to_vec(), ..failed("pve-9.1/vzdump-sigterm", 200, ended_by) };
    let asked =
        Case { name: "ended on request".into(), rc: Some(CANCELLED), state: State::Cancelled, what: "ended on request", ..signal.clone() };
    all.extend([signal, asked]);

    // A hook fails after the archive is whole: it stays, and the job is no success.
    let stays = "the archive /var/lib/vz/dump/vzdump-lxc-";
    all.push(Case { disk: Disk::Whole, left: vec![stays], ..failed("pve-9.1/vzdump-hook-fail", 100, "/root/hook.sh backup-end") });
    // Retention fails behind a whole archive; on a backup server too.
    let prune = "INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst'\nINFO: archive file size: 245MB\n\
        INFO: prune older backups with retention: keep-last=1\nERROR: Backup of VM 101 failed - error pruning backups - check log\n\
        INFO: Backup job finished with errors\njob errors\n";
    let pruned = Case { name: "retention failed".into(), lines: Some(prune), rc: Some(255), ..failed("", 101, "error pruning backups") };
    all.push(Case { disk: Disk::Whole, left: vec![stays], ..pruned });
    let server = "INFO: creating Proxmox Backup Server archive 'ct/101/2026-05-09T15:43:57Z'\nINFO: Duration: 4.07s\n\
        ERROR: prune 'ct/101': proxmox-backup-client failed: Error: permission check failed - missing Datastore.Modify\n\
        ERROR: Backup of VM 101 failed - error pruning backups - check log\nINFO: Backup job finished with errors\njob errors\n";
    let denied = "Backup of VM 101 failed - error pruning backups";
    let left = vec!["whether ct/101/2026-05-09T15:43:57Z stands on its storage"];
    all.push(Case {
        name: "retention denied by a backup server".into(),
        left,
        lines: Some(server),
        rc: Some(255),
        ..failed("", 101, denied)
    });

    // Nothing was begun: no task, or one that says it in its own words.
    for recording in ["pve-8.4/vzdump-missing-storage", "pve-9.1/vzdump-missing-storage"] {
        let last = "TASK ERROR: could not activate storage 'nosuch': storage 'nosuch' does not exist could not get storage information for 'nosuch': storage 'nosuch' does not exist";
        all.push(ended(recording, 100, last, "storage 'nosuch' does not exist"));
    }
    for recording in ["pve-8.4/vzdump-storage-offline", "pve-9.1/vzdump-storage-offline"] {
        let last = "TASK ERROR: could not activate storage 'usbdisk': unable to activate storage 'usbdisk' - directory is expected to be a mount point but is not mounted: '/mnt/usb'";
        all.push(ended(recording, 100, last, "could not activate storage 'usbdisk'"));
    }
    let last = "TASK ERROR: could not activate storage 'olddisk': storage 'olddisk' is disabled";
    all.push(ended("pve-9.1/vzdump-storage-disabled", 100, last, "storage 'olddisk' is disabled"));
    let last = "TASK ERROR: could not get storage information for 'btr': can't use storage 'btr' for backups - wrong content type";
    all.push(ended("pve-9.1/vzdump-storage-no-backup", 100, last, "wrong content type"));
    let last = "TASK ERROR: dumpdir '/nonexistent' does not exist";
    all.push(ended("pve-9.1/vzdump-stdout-err", 301, last, "dumpdir '/nonexistent' does not exist"));
    let last = "TASK ERROR: got unexpected control message:  ";
    all.push(ended("pve-9.1/vzdump-lockwait0", 100, last, "can't acquire lock '/var/run/vzdump.lock'"));
    let vanished = Case {
        name: "lock not got in time, no last line".into(),
        last: Last::Cut,
        ..ended("pve-9.1/vzdump-lockwait0", 100, "", "can't acquire lock")
    };
    all.push(vanished);
    all.push(refused("pve-9.1/vzdump-as-user", 100, "Unable to load access control list"));
    all.push(refused("pve-9.1/pmxcfs-down-vzdump", 100, "Unable to load access control list: Connection refused"));
    all.push(refused("pve-9.1/vzdump-bad-mode", 100, "mode: value 'foo' does not have a value in the enumeration"));
    all.push(refused("pve-9.1/vzdump-bad-vmid", 100, "vmid"));
    // A guest of another node: not a word, exit status 0, and no backup.
    let elsewhere = refused("pve-9.1/offline-node-vzdump", 150, "it made none");
    all.push(Case { lock: Some("gone"), left: vec!["no configuration"], ..elsewhere });

    restores(&mut all);
    by_task(&mut all);
    found_out(&mut all);
    all
}

fn restores(all: &mut Vec<Case>) {
    use Last::{NoTask, Task};
    for (recording, guest) in [
        ("pve-8.4/pct-restore-new", 300),
        ("pve-9.1/pct-restore-new", 300),
        ("pve-9.1/pct-restore-no-storage", 301),
        ("pve-9.1/pct-restore-force-stopped", 200),
        ("pve-9.1/danger-3-restore-force", 200),
    ] {
        all.push(restored(recording, guest));
    }
    // Without a task of its own, it is the exit status that tells.
    all.push(Case { name: "restored, its task not found".into(), last: NoTask, ..restored("pve-9.1/pct-restore-new", 300) });
    let locked = Case {
        lock: Some("create"),
        state: State::Failed,
        what: "300 is locked (create)",
        left: vec!["locked (create)"],
        ..restored("pve-9.1/pct-restore-new", 300)
    };
    all.push(Case { name: "restored, and still locked".into(), ..locked });
    let missing = "TASK ERROR: unable to restore CT 302 - volume 'local:backup/vzdump-lxc-100-2020_01_01-00_00_00.tar.zst' does not exist";
    for recording in ["pve-8.4/pct-restore-missing-archive", "pve-9.1/pct-restore-missing-archive"] {
        all.push(not_restored(recording, 302, Task(missing), "does not exist"));
    }
    let missing = "TASK ERROR: unable to restore CT 302 - can't find file '/var/lib/vz/dump/nope.tar.zst'";
    all.push(not_restored("pve-9.1/pct-restore-missing-path", 302, Task(missing), "can't find file"));
    // Cut off in the middle; and with a container half made by it.
    let pipeline = "TASK ERROR: unable to restore CT 303 - command 'lxc-usernsexec -m u:0:100000:65536 -- tar xpf - --zstd --totals' failed: exit code 2";
    let cut = "tar: Unexpected EOF in archive";
    all.push(not_restored("pve-9.1/pct-restore-truncated", 303, Task(pipeline), cut));
    all.push(not_restored("pve-9.1/danger-12-restore-force-truncated", 301, Task(pipeline), cut));
    let half = Case {
        lock: Some("create"),
        left: vec!["guest 303, locked (create)"],
        ..not_restored("pve-9.1/pct-restore-truncated", 303, Task(pipeline), cut)
    };
    all.push(Case { name: "cut off, a half guest left".into(), ..half });
    let garbage = "TASK ERROR: unable to restore CT 304 - ERROR: archive contains no configuration file";
    all.push(not_restored("pve-9.1/pct-restore-garbage", 304, Task(garbage), "archive contains no configuration file"));
    all.push(not_restored("pve-9.1/danger-16-restore-force-garbage", 300, Task(garbage), "archive contains no configuration file"));
    for (recording, guest, what) in [
        ("pve-8.4/pct-restore-existing", 100, "CT 100 already exists on node"),
        ("pve-9.1/pct-restore-existing", 200, "CT 200 already exists on node 'pve1'"),
        ("pve-9.1/offline-node-restore-same-id", 150, "CT 150 already exists on node 'pve2'"),
        ("pve-9.1/pct-restore-bad-storage-content", 302, "storage 'backup' does not support container directories"),
        ("pve-9.1/pct-restore-missing-storage", 302, "storage 'nosuch' does not exist"),
        ("pve-9.1/pct-restore-running-force", 200, "can't overwrite running container"),
        ("pve-9.1/pct-restore-force-protected", 100, "protection mode enabled"),
        ("pve-9.1/pct-restore-bad-vmid", 107, "does not look like a valid VM ID"),
        ("pve-9.1/noquorum-restore", 161, "no quorum?"),
        ("pve-9.1/noquorum-restore-other-id", 150, "no quorum?"),
    ] {
        all.push(not_restored(recording, guest, NoTask, what));
    }
}

const MADE: &str =
    "INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst'\nINFO: archive file size: 245MB\n";

/// The task and the disk decide, and not the exit status.
fn by_task(all: &mut Vec<Case>) {
    let warns = "WARN: unable to freeze guest\nINFO: creating vzdump archive '/var/lib/vz/dump/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst'\n\
        INFO: Backup job finished successfully\nTask finished with 1 warning(s)!\n";
    let warned = Case { last: Last::Task("TASK WARNINGS: 1"), state: State::Warned, ..said("warnings", warns, 0) };
    all.push(warned);
    all.push(Case { last: Last::Task("TASK WARNINGS: 3"), state: State::Warned, ..said("warnings that were not heard", MADE, 0) });
    let failed = |name: &str, what| Case { disk: Disk::Nothing, state: State::Failed, what, ..said(name, MADE, 0) };
    all.push(failed("all is said to be well, and nothing stands there", "is not on local"));
    all.push(Case { disk: Disk::Empty, left: vec!["(0 B)"], ..failed("the archive is empty", "is empty") });
    all.push(Case { disk: Disk::Partial, left: vec!["partial archive"], ..failed("it is still partial", "still partial") });
    let lies = Case {
        last: Last::Task("TASK ERROR: job errors"),
        disk: Disk::Whole,
        left: vec!["the archive"],
        ..failed("exit status 0 of a task that failed", "job errors")
    };
    all.push(lies);
    let quiet = Case {
        last: Last::Task("TASK OK"),
        disk: Disk::Whole,
        rc: Some(255),
        left: vec!["the archive"],
        ..failed("a task that is well, by a command that is not", "status 255")
    };
    all.push(quiet);
    let cut = Case {
        last: Last::Cut,
        lock: Some("backup"),
        left: vec!["still locked (backup)"],
        ..failed("its worker vanished", "vanished without an end")
    };
    all.push(cut);
    let unknown = Case {
        last: Last::Unreadable,
        disk: Disk::Whole,
        state: State::Unknown,
        left: vec!["the archive"],
        ..failed("its log cannot be read", "is unknown")
    };
    all.push(unknown);
    let server = "INFO: creating Proxmox Backup Server archive 'ct/101/2026-05-09T15:43:57Z'\nINFO: Duration: 4.07s\nINFO: Finished Backup of VM 101 (00:00:04)\n";
    let what = "local:backup/ct/101/2026-05-09T15:43:57Z";
    all.push(Case { what, ..said("on a backup server", server, 0) });
}

/// The worker was killed, or the host went down: the same by whoever looks later.
fn found_out(all: &mut Vec<Case>) {
    let found =
        |name: &str, last, disk, state, what| Case { last, disk, state, what, how: How::FoundOut { runs: false }, ..said(name, MADE, 0) };
    let ok = Last::Task("TASK OK");
    all.push(found("found out: done", ok, Disk::Whole, State::Succeeded, "local:backup/vzdump-lxc-101"));
    all.push(found("found out: warnings", Last::Task("TASK WARNINGS: 2"), Disk::Whole, State::Warned, "local:backup/vzdump-lxc-101"));
    let not = |name: &str, last, disk, what, left| Case { left: vec![left], ..found(name, last, disk, State::Failed, what) };
    let killed = Case {
        lock: Some("backup"),
        ..not("found out: killed with it", Last::Cut, Disk::Partial, "ended without a result", "still locked (backup)")
    };
    all.push(killed);
    all.push(not("found out: job errors", Last::Task("TASK ERROR: job errors"), Disk::Whole, "job errors", "the archive"));
    all.push(not("found out: OK, and an empty archive", ok, Disk::Empty, "is empty", "(0 B)"));
    all.push(Case {
        left: vec!["the archive"],
        ..found("found out: no log to read", Last::Unreadable, Disk::Whole, State::Unknown, "is unknown")
    });
    all.push(Case {
        how: How::FoundOut { runs: true },
        ..found("found out: it goes on", ok, Disk::Partial, State::Running, "the task goes on without it")
    });
}
