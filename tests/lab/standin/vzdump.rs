//! `vzdump`: the job, and the backup of one guest with everything it leaves behind when it is cut off.

use crate::args::{Given, Kind, Verb, list};
use crate::conf::{self, Conf};
use crate::fail::{OrDie, Outcome, die, say, warn};
use crate::guest::{self, SHIFT};
use crate::snapshots::local_time;
use crate::storage::{self, Storage, Volume};
use crate::{backups, knobs, mounts, run, signals, snapshots, task};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::chown;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const VERB: Verb = Verb {
    usage: "vzdump {<vmid>} [OPTIONS]",
    places: &[],
    options: &[
        ("all", Kind::Bool),
        ("bwlimit", Kind::Int(0, i64::MAX)),
        ("compress", Kind::OneOf(&["0", "1", "gzip", "lzo", "zstd"])),
        ("dumpdir", Kind::Text),
        ("exclude", Kind::Text),
        ("exclude-path", Kind::Text),
        ("ionice", Kind::Int(0, 8)),
        ("lockwait", Kind::Int(0, i64::MAX)),
        ("mailnotification", Kind::Text),
        ("mailto", Kind::Text),
        ("mode", Kind::OneOf(&["snapshot", "suspend", "stop"])),
        ("node", Kind::Text),
        ("notes-template", Kind::Text),
        ("notification-mode", Kind::Text),
        ("protected", Kind::Bool),
        ("prune-backups", Kind::Text),
        ("quiet", Kind::Bool),
        ("remove", Kind::Bool),
        ("stopwait", Kind::Int(0, i64::MAX)),
        ("storage", Kind::Text),
        ("tmpdir", Kind::Text),
        ("vmid", Kind::Text),
        ("zstd", Kind::Int(0, 64)),
    ],
    guest: false,
};

const GLOBAL_LOCK: &str = "/var/run/vzdump.lock";
const HOLDER: &str = "/var/run/vzdump.pid";
const NOTIFIED: &str = "INFO: notified via target `mail-to-root`";

/// Where and how a job writes.
struct Job<'a> {
    given: &'a Given,
    dir: String,
    storage: Option<Storage>,
    /// File name ending and the compressor with its argument.
    ending: &'static str,
    compressor: Option<(&'static str, String)>,
}

pub fn main(argv: &[String]) -> Outcome<()> {
    let given = VERB.parse(argv)?;
    let (id, quiet) = (task_id(&given), given.flag("quiet"));
    if nothing_here(&given)? {
        return Ok(());
    }
    task::finish(task::run("vzdump", &id, quiet, || job(&given))?.1)
}

/// The id part of the UPID: the guest, or nothing for several.
pub fn task_id(given: &Given) -> String {
    match wanted(given).as_slice() {
        [one] => one.clone(),
        _ => String::new(),
    }
}

fn wanted(given: &Given) -> Vec<String> {
    let mut ids: Vec<String> = given.rest.iter().flat_map(|w| list(w)).collect();
    ids.extend(given.get("vmid").map(list).unwrap_or_default());
    ids
}

/// Bad parameters fail; true when every guest lives on another node, which the real tool passes over in silence.
pub fn nothing_here(given: &Given) -> Outcome<bool> {
    let ids = wanted(given);
    if let Some(reason) = ids.iter().find_map(|id| crate::args::bad_vmid(id)) {
        VERB.refuse_one("vmid", &reason)?;
    }
    if ids.is_empty() && !given.flag("all") && given.get("exclude").is_none() {
        VERB.refuse_one("vmid", "property is missing")?;
    }
    if given.get("node").is_some_and(|n| n != knobs::node()) {
        return Ok(true);
    }
    let elsewhere = |id: &String| {
        let place = id.parse().ok().and_then(conf::whereabouts);
        place.is_some_and(|(node, _)| node != knobs::node())
    };
    Ok(!ids.is_empty() && ids.iter().all(elsewhere))
}

/// The whole job, inside the worker.
pub fn job(given: &Given) -> Outcome<()> {
    signals::end_orderly();
    let prepared = prepare(given).inspect_err(|_| say(NOTIFIED))?;
    let lock = File::create(GLOBAL_LOCK).or_die("can't open lock file")?;
    global_lock(&lock, given)?;
    let _ = std::fs::write(HOLDER, format!("{}\n", task::own_upid("vzdump", &task_id(given))));
    let done = guests(&prepared);
    let _ = std::fs::remove_file(HOLDER);
    done
}

fn prepare(given: &Given) -> Outcome<Job<'_>> {
    let (ending, compressor) = match given.get("compress").unwrap_or("0") {
        "zstd" => ("tar.zst", Some(("zstd", format!("--threads={}", given.get("zstd").unwrap_or("1"))))),
        "gzip" => ("tar.gz", Some(("gzip", "--rsyncable".to_owned()))),
        "1" | "lzo" => ("tar.lzo", Some(("lzop", "-3".to_owned()))),
        _ => ("tar", None),
    };
    if let Some(dir) = given.get("dumpdir") {
        if !std::path::Path::new(dir).is_dir() {
            return die(format!("dumpdir '{dir}' does not exist"));
        }
        return Ok(Job { given, dir: dir.into(), storage: None, ending, compressor });
    }
    let id = given.get("storage").unwrap_or("local");
    let storage = match storage::usable(id) {
        Ok(storage) => storage,
        Err(f) => {
            // A missing storage is reported by both steps.
            let twice = format!(" could not get storage information for '{id}': {}", f.text);
            let more = if f.text.ends_with("does not exist") { twice } else { String::new() };
            return die(format!("could not activate storage '{id}': {}{more}", f.text));
        }
    };
    if !storage.has("backup") {
        return die(format!("could not get storage information for '{id}': can't use storage '{id}' for backups - wrong content type"));
    }
    let dir = storage.dump_dir();
    std::fs::create_dir_all(&dir).or_die(format!("could not create '{dir}'"))?;
    Ok(Job { given, dir, storage: Some(storage), ending, compressor })
}

/// One backup job per node at a time.
fn global_lock(lock: &File, given: &Given) -> Outcome<()> {
    let take = || flock(lock, FlockOperation::NonBlockingLockExclusive).is_ok();
    if take() {
        return Ok(());
    }
    let minutes: u64 = given.get("lockwait").and_then(|m| m.parse().ok()).unwrap_or(180);
    if minutes == 0 {
        say(&format!("ERROR: can't acquire lock '{GLOBAL_LOCK}' (wait = 0)\n{NOTIFIED}"));
        return Err(crate::fail::Fail { rc: -1, text: String::new() });
    }
    say("INFO: trying to get global lock - waiting...");
    let deadline = Instant::now() + Duration::from_secs(minutes * 60);
    while !take() {
        if Instant::now() > deadline {
            say(&format!("ERROR: can't acquire lock '{GLOBAL_LOCK}' - got timeout"));
            return Err(crate::fail::Fail { rc: -1, text: String::new() });
        }
        if signals::interrupted() {
            return die("interrupted by signal");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    say("INFO: got global lock");
    Ok(())
}

fn guests(job: &Job) -> Outcome<()> {
    let given = job.given;
    say(&format!("INFO: starting new backup job: vzdump {}", job_words(given)));
    let all = given.flag("all") || given.get("exclude").is_some();
    let excluded = given.get("exclude").map(list).unwrap_or_default();
    let ids: Vec<u32> = if all {
        external_line();
        conf::vmids().into_iter().filter(|v| !excluded.contains(&v.to_string())).collect()
    } else {
        wanted(given).iter().filter_map(|v| v.parse().ok()).collect()
    };
    let mut failed = false;
    for vmid in ids {
        failed |= !one(job, vmid);
        if signals::interrupted() {
            break;
        }
    }
    let how = if failed { "with errors" } else { "successfully" };
    say(&format!("INFO: Backup job finished {how}\n{NOTIFIED}"));
    if failed { die("job errors") } else { Ok(()) }
}

fn external_line() {
    let external: Vec<String> = std::fs::read_dir(format!("{}/nodes", conf::ETC))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.file_name().to_string_lossy() != knobs::node())
        .flat_map(|e| std::fs::read_dir(e.path().join("lxc")).into_iter().flatten().flatten())
        .filter_map(|e| Some(e.file_name().to_str()?.strip_suffix(".conf")?.to_owned()))
        .collect();
    if !external.is_empty() {
        say(&format!("INFO: skip external VMs: {}", external.join(", ")));
    }
}

/// The job's options as its first line repeats them (the real order is random).
fn job_words(given: &Given) -> String {
    let mut words = wanted(given);
    for (name, value) in given.options.iter().filter(|(n, _)| n != "vmid") {
        words.push(format!("--{name}"));
        words.push(if needs_quotes(value) { format!("'{value}'") } else { value.clone() });
    }
    words.join(" ")
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty() || !text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./,:@+".contains(c))
}

/// The log of one guest: stdout and `/var/log/vzdump/lxc-N.log`, there with the time.
struct Log(Option<File>);

impl Log {
    fn open(vmid: u32) -> Self {
        let _ = std::fs::create_dir_all("/var/log/vzdump");
        Self(File::create(log_file(vmid)).ok())
    }

    fn write(&mut self, level: &str, text: &str) {
        for line in text.trim_end_matches('\n').split('\n') {
            say(&format!("{level}: {line}"));
            if let Some(file) = &mut self.0 {
                let _ = file.write_all(format!("{} {level}: {line}\n", clock()).as_bytes());
            }
        }
    }

    fn info(&mut self, text: impl AsRef<str>) {
        self.write("INFO", text.as_ref());
    }
}

fn log_file(vmid: u32) -> String {
    format!("/var/log/vzdump/lxc-{vmid}.log")
}

fn clock() -> String {
    local_time(conf::now() as i64, "%Y-%m-%d %H:%M:%S")
}

/// What a running backup has to take back at its end.
#[derive(Default)]
struct Held {
    locked: bool,
    snapshot: bool,
    stopped: bool,
    frozen: bool,
    temp: Option<String>,
    archive: Option<String>,
}

/// Backs up one guest; false when that failed.
fn one(job: &Job, vmid: u32) -> bool {
    let begin = Instant::now();
    if conf::whereabouts(vmid).is_none() {
        say(&format!("ERROR: Backup of VM {vmid} failed - unable to find VM '{vmid}'\nINFO: Failed at {}", clock()));
        return false;
    }
    let mut log = Log::open(vmid);
    let stamp = local_time(conf::now() as i64, "%Y_%m_%d-%H_%M_%S");
    let base = format!("{}/vzdump-lxc-{vmid}-{stamp}", job.dir);
    let temp = temp_dir(&job.dir, &base, vmid);
    log.info(format!("Starting Backup of VM {vmid} (lxc)"));
    say(&format!("INFO: Backup started at {}", clock()));
    let mut held = Held::default();
    let done = archive(job, vmid, &base, &temp, &mut log, &mut held);
    let_go(vmid, &mut held, &mut log, done.is_ok());
    let fine = done.is_ok();
    match done {
        Ok(()) => {
            let s = begin.elapsed().as_secs();
            log.info(format!("Finished Backup of VM {vmid} ({:02}:{:02}:{:02})", s / 3600, s / 60 % 60, s % 60));
            say(&format!("INFO: Backup finished at {}", clock()));
        }
        Err(failure) => {
            log.write("ERROR", &format!("Backup of VM {vmid} failed - {}", failure.text));
            say(&format!("INFO: Failed at {}", clock()));
        }
    }
    let _ = std::fs::copy(log_file(vmid), format!("{base}.log"));
    fine
}

/// Beside the archive where the file system keeps owners and attributes, else below /var/tmp.
fn temp_dir(dir: &str, base: &str, vmid: u32) -> String {
    let kind = run::text(&["stat", "-f", "-c", "%T", dir]).trim().to_owned();
    if ["ext2/ext3", "nfs", "xfs", "reiserfs", ""].contains(&kind.as_str()) {
        return format!("{base}.tmp");
    }
    let temp = format!("/var/tmp/vzdumptmp{}_{vmid}", std::process::id());
    say(&format!("INFO: filesystem type on dumpdir is '{kind}' -using {temp} for temporary files"));
    temp
}

fn archive(job: &Job, vmid: u32, base: &str, temp: &str, log: &mut Log, held: &mut Held) -> Outcome<()> {
    let running = guest::is_running(vmid);
    log.info(format!("status = {}", guest::state(vmid)));
    let conf = lock_guest(vmid, held)?;
    let volumes = storage::volumes(conf.current());
    let included: Vec<&Volume> = volumes.iter().filter(|v| v.backup && !v.is_bind()).collect();
    let mut mode = if running { job.given.get("mode").unwrap_or("snapshot") } else { "stop" };
    if mode == "snapshot" {
        name_lines(&conf, &volumes, log);
        if included.iter().any(|v| !v.is_snapshottable()) {
            log.info("mode failure - some volumes do not support snapshots");
            log.info("trying 'suspend' mode instead");
            mode = "suspend";
        }
    }
    log.info(format!("backup mode: {mode}"));
    if let Some(limit) = job.given.get("bwlimit").filter(|l| *l != "0") {
        log.info(format!("bandwidth limit: {limit} KiB/s"));
    }
    log.info(format!("ionice priority: {}", job.given.get("ionice").unwrap_or("7")));
    if mode != "snapshot" {
        name_lines(&conf, &volumes, log);
    }
    held.temp = Some(temp.to_owned());
    make_temp(temp, &conf)?;
    let mut source = mounts::SNAP.to_owned();
    match mode {
        "snapshot" => {
            log.info("create storage snapshot 'vzdump'");
            take_snapshot(vmid, &included, held, log)?;
            mount_all(&included, "@vzdump")?;
        }
        "suspend" => {
            copy_live(job, vmid, temp, &included, held, log)?;
            source = temp.to_owned();
        }
        _ if running => {
            log.info("stopping virtual guest");
            held.stopped = true;
            if !guest::shut_down(vmid, 60)? {
                guest::kill(vmid)?;
            }
        }
        _ => {}
    }
    let file = format!("{base}.{}", job.ending);
    log.info(format!("creating vzdump archive '{file}'"));
    if mode == "stop" {
        mount_all(&included, "")?;
    }
    write_archive(job, &conf, &included, &file, temp, &source, log, held)?;
    finish_archive(job, vmid, &conf, &file, log)
}

fn lock_guest(vmid: u32, held: &mut Held) -> Outcome<Conf> {
    let _lock = conf::lock(vmid, 10)?;
    let mut conf = conf::load(vmid)?;
    conf.check_lock()?;
    conf.current_mut().set("lock", "backup");
    conf.save();
    held.locked = true;
    Ok(conf)
}

fn name_lines(conf: &Conf, volumes: &[Volume], log: &mut Log) {
    log.info(format!("CT Name: {}", conf.current().hostname(conf.vmid)));
    for v in volumes {
        let what = format!("mount point {} ('{}')", v.key, v.target);
        log.info(if v.is_bind() {
            format!("excluding bind {what} from backup (not a volume)")
        } else if v.backup {
            format!("including {what} in backup")
        } else {
            format!("excluding volume {what} from backup (disabled)")
        });
    }
}

/// The temporary directory with the configuration as the archive will hold it.
fn make_temp(temp: &str, conf: &Conf) -> Outcome<()> {
    let dir = format!("{temp}/etc/vzdump");
    std::fs::create_dir_all(&dir).or_die(format!("unable to create temporary directory '{temp}'"))?;
    let mut section = conf.current().clone();
    for key in ["lock", "parent"] {
        section.keys.remove(key);
    }
    let text = section.file_lines().join("\n") + "\n\n";
    std::fs::write(format!("{dir}/pct.conf"), text).or_die("unable to write pct.conf")?;
    std::fs::write(format!("{dir}/pct.fw"), "").or_die("unable to write pct.fw")?;
    if conf.current().is_unprivileged() {
        for path in [temp.to_owned(), format!("{temp}/etc"), dir.clone(), format!("{dir}/pct.conf"), format!("{dir}/pct.fw")] {
            chown(&path, Some(SHIFT), Some(SHIFT)).or_die("chown")?;
        }
    }
    Ok(())
}

/// The storage snapshot and its section in the configuration.
fn take_snapshot(vmid: u32, included: &[&Volume], held: &mut Held, log: &mut Log) -> Outcome<()> {
    let _lock = conf::lock(vmid, 10)?;
    let mut conf = conf::load(vmid)?;
    if conf.snapshot("vzdump").is_some() {
        log.info("found old vzdump snapshot (force removal)");
        for volume in included {
            storage::delete_tree(&format!("{}@vzdump", volume.path()?));
        }
        snapshots::drop_section(&mut conf, "vzdump");
    }
    snapshots::add_section(&mut conf, "vzdump", Some("vzdump backup snapshot"));
    // Until its storage has it, it is half made (PVE::AbstractConfig, __snapshot_prepare).
    let section = |conf: &Conf| conf.sections.iter().position(|s| s.name == "vzdump");
    if let Some(at) = section(&conf) {
        conf.sections[at].set("snapstate", "prepare");
    }
    conf.save();
    held.snapshot = true;
    for volume in included {
        storage::snapshot(&volume.must_exist()?, "vzdump")?;
    }
    if let Some(at) = section(&conf) {
        conf.sections[at].keys.remove("snapstate");
    }
    conf.save();
    Ok(())
}

fn mount_all(included: &[&Volume], suffix: &str) -> Outcome<()> {
    let mut parts = Vec::new();
    for volume in included {
        volume.must_exist()?;
        parts.push((format!("{}{suffix}", volume.path()?), volume.target.clone()));
    }
    mounts::assemble(&parts)
}

/// Suspend mode: copy while it runs, freeze, copy the rest.
fn copy_live(job: &Job, vmid: u32, temp: &str, included: &[&Volume], held: &mut Held, log: &mut Log) -> Outcome<()> {
    let Some(pid) = guest::init_pid(vmid) else {
        return die(format!("unable to get PID for CT {vmid} (not running?)"));
    };
    let from = format!("/proc/{pid}/root/");
    let mut argv: Vec<String> = "rsync --stats -h -X -A --numeric-ids -aH --delete --no-whole-file --sparse --one-file-system --relative"
        .split(' ')
        .map(str::to_owned)
        .collect();
    if let Some(limit) = job.given.get("bwlimit").filter(|l| *l != "0") {
        argv.push(format!("--bwlimit={limit}"));
    }
    argv.extend(["--exclude=/tmp/?*", "--exclude=/var/tmp/?*", "--exclude=/var/run/?*.pid"].map(str::to_owned));
    // The configuration is part of the destination only.
    argv.push("--exclude=/etc/vzdump".into());
    argv.extend(included.iter().map(|v| format!("{from}/.{}", v.target)));
    argv.push(temp.to_owned());
    log.info(format!("starting first sync {from} to {temp}"));
    rsync(&argv, "first", log)?;
    log.info("suspending guest");
    let id = vmid.to_string();
    held.frozen = run::ok(&["lxc-freeze", "-n", &id]);
    let frozen = Instant::now();
    log.info(format!("starting final sync {from} to {temp}"));
    rsync(&argv, "final", log)?;
    log.info("resuming guest");
    run::ok(&["lxc-unfreeze", "-n", &id]);
    held.frozen = false;
    log.info(format!("guest is online again after {}", seconds(frozen)));
    Ok(())
}

fn rsync(argv: &[String], which: &str, log: &mut Log) -> Outcome<()> {
    let begin = Instant::now();
    let mut child = Command::new(&argv[0])
        .args(&argv[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .or_die("rsync")?;
    let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let status = wait_or_interrupt(&mut child);
    let words: Vec<String> = argv.iter().map(|a| if a.contains('=') { format!("'{a}'") } else { a.clone() }).collect();
    let name = format!("command '{}' failed", words.join(" "));
    let Some(code) = status else {
        return die(format!("{name}: interrupted by signal"));
    };
    for line in err.join().unwrap_or_default().lines() {
        log.info(line);
    }
    // 24: files vanished while copying a running guest.
    if code != 0 && code != 24 {
        return die(format!("{name}: exit code {code}"));
    }
    let stats = out.join().unwrap_or_default();
    let moved = stats
        .lines()
        .find_map(|l| l.strip_prefix("Total transferred file size: "))
        .map_or("0".into(), |l| l.trim_end_matches(" bytes").to_owned());
    log.info(format!("{which} sync finished - transferred {moved} bytes in {}s", begin.elapsed().as_secs()));
    Ok(())
}

fn seconds(since: Instant) -> String {
    match since.elapsed().as_secs() {
        0 => "<1 seconds".into(),
        n => format!("{n} seconds"),
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// The exit code, or nothing after an interruption (the child is gone then, too).
fn wait_or_interrupt(child: &mut Child) -> Option<i32> {
    loop {
        if signals::interrupted() {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Some(0),
            Ok(Some(status)) => {
                // A signal to the group reaches it and the thread that listens here at once: that one may be the later of them.
                std::thread::sleep(Duration::from_millis(100));
                return (!signals::interrupted()).then(|| status.code().unwrap_or(255));
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => return Some(255),
        }
    }
}

#[allow(clippy::too_many_arguments)]
fn write_archive(
    job: &Job,
    conf: &Conf,
    included: &[&Volume],
    file: &str,
    temp: &str,
    source: &str,
    log: &mut Log,
    held: &mut Held,
) -> Outcome<()> {
    let data = match job.compressor {
        Some(_) => format!("{}.dat", file.trim_end_matches(&format!(".{}", job.ending.trim_start_matches("tar.")))),
        None => format!("{}.dat", file.trim_end_matches(".tar")),
    };
    let tar = tar_words(job, conf, included, temp, source);
    let mut shown = shown(&tar);
    if let Some((program, option)) = &job.compressor {
        shown = format!("{shown} | {program} '{option}'");
    }
    let name = format!("command 'set -o pipefail && {shown} >{data}' failed");
    let target = File::create(&data).or_die(format!("unable to create '{data}'"))?;
    held.archive = Some(data.clone());
    let (code, words) = pipe(job, &tar, target)?;
    for line in words.lines().filter(|l| !l.trim().is_empty()) {
        log.info(line);
    }
    if signals::interrupted() && code.is_some() {
        return die("interrupted by signal"); // a reader that went away counts, too
    }
    match code {
        None => die(format!("{name}: interrupted by signal")),
        Some(0) => {
            std::fs::rename(&data, file).or_die(format!("unable to rename '{data}'"))?;
            held.archive = None;
            Ok(())
        }
        Some(code) => die(format!("{name}: exit code {code}")),
    }
}

fn tar_words(job: &Job, conf: &Conf, included: &[&Volume], temp: &str, source: &str) -> Vec<String> {
    let mut argv: Vec<String> = guest::id_map(conf.current()).iter().map(|w| (*w).to_owned()).collect();
    argv.extend(
        [
            "tar",
            "cpf",
            "-",
            "--totals",
            "--one-file-system",
            "-p",
            "--sparse",
            "--numeric-owner",
            "--acls",
            "--xattrs",
            "--xattrs-include=user.*",
            "--xattrs-include=security.capability",
            "--warning=no-file-ignored",
            "--warning=no-xattr-write",
            "--one-file-system",
            "--warning=no-file-ignored",
        ]
        .map(str::to_owned),
    );
    argv.push(format!("--directory={temp}"));
    argv.extend(["./etc/vzdump/pct.conf", "./etc/vzdump/pct.fw"].map(str::to_owned));
    argv.push(format!("--directory={source}"));
    argv.extend(["--no-anchored", "--exclude=lost+found", "--anchored"].map(str::to_owned));
    if source == temp {
        // Written above already, by name.
        argv.push("--exclude=./etc/vzdump".into());
    }
    argv.extend(["--exclude=./tmp/?*", "--exclude=./var/tmp/?*", "--exclude=./var/run/?*.pid"].map(str::to_owned));
    argv.extend(job.given.all("exclude-path").iter().map(|p| format!("--exclude=.{p}")));
    argv.extend(included.iter().map(|v| format!(".{}", v.target)));
    argv
}

fn shown(argv: &[String]) -> String {
    let quoted = |w: &String| if w.contains('=') { format!("'{w}'") } else { w.clone() };
    argv.iter().filter(|w| *w != "--exclude=./etc/vzdump").map(quoted).collect::<Vec<_>>().join(" ")
}

/// tar, through this process (which may be told to be slow), into the compressor or the file. The code is that of
/// the last program that failed; nothing after an interruption.
fn pipe(job: &Job, tar: &[String], mut target: File) -> Outcome<(Option<i32>, String)> {
    let mut reader =
        Command::new(&tar[0]).args(&tar[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().or_die("tar")?;
    let words = collect(reader.stderr.take());
    let mut from = reader.stdout.take().unwrap();
    let Some((program, option)) = &job.compressor else {
        let pumped = pump(job, &mut from, &mut target);
        drop(from);
        let code = wait_or_interrupt(&mut reader);
        let text = words.join().unwrap_or_default();
        // tar writes the file itself in the real pipeline and reports 2.
        return Ok((code.map(|c| if pumped { c } else { 2 }), text));
    };
    let mut zip = Command::new(program)
        .arg(option)
        .stdin(Stdio::piped())
        .stdout(Stdio::from(target))
        .stderr(Stdio::piped())
        .spawn()
        .or_die(program)?;
    let zip_words = collect(zip.stderr.take());
    let mut to = zip.stdin.take().unwrap();
    pump(job, &mut from, &mut to);
    drop(from);
    if signals::interrupted() {
        let _ = reader.kill();
        let _ = zip.kill();
    }
    drop(to);
    let first = wait_or_interrupt(&mut reader);
    let last = wait_or_interrupt(&mut zip);
    let text = words.join().unwrap_or_default() + &zip_words.join().unwrap_or_default();
    let code = match (first, last) {
        (Some(_), Some(last)) if last != 0 => Some(last),
        (Some(first), Some(_)) => Some(first),
        _ => None,
    };
    Ok((code, text))
}

/// Copies until the end, an error of the receiver (false) or an interruption.
fn pump(job: &Job, from: &mut impl Read, to: &mut impl Write) -> bool {
    let limit = job.given.get("bwlimit").and_then(|l| l.parse::<u64>().ok()).filter(|l| *l > 0).map(|k| k * 1024);
    let rate = [limit, knobs::vzdump_rate()].into_iter().flatten().min();
    // Small steps, so that a slow stream is slow evenly and stops at once.
    let mut buffer = vec![0u8; rate.map_or(1 << 18, |r| (r / 20).clamp(512, 1 << 18)) as usize];
    let begin = Instant::now();
    let mut sent = 0u64;
    loop {
        if signals::interrupted() {
            return true;
        }
        let count = match from.read(&mut buffer) {
            Ok(0) | Err(_) => return to.flush().is_ok(),
            Ok(count) => count,
        };
        if to.write_all(&buffer[..count]).is_err() {
            return false;
        }
        sent += count as u64;
        while let Some(rate) = rate
            && sent as f64 / rate as f64 > begin.elapsed().as_secs_f64()
            && !signals::interrupted()
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn finish_archive(job: &Job, vmid: u32, conf: &Conf, file: &str, log: &mut Log) -> Outcome<()> {
    let size = std::fs::metadata(file).map_or(0, |m| m.len());
    log.info(format!("archive file size: {}", size_text(size)));
    if let Some(template) = job.given.get("notes-template") {
        log.info("adding notes to backup");
        let notes = backups::unescaped(template)
            .replace("{{guestname}}", &conf.current().hostname(vmid))
            .replace("{{node}}", &knobs::node())
            .replace("{{cluster}}", "standalone node")
            .replace("{{vmid}}", &vmid.to_string());
        std::fs::write(format!("{file}.notes"), notes).or_die("unable to write notes")?;
    }
    if job.given.flag("protected") {
        log.info("marking backup as protected");
        std::fs::write(format!("{file}.protected"), "").or_die("unable to mark backup as protected")?;
    }
    let Some(storage) = &job.storage else { return Ok(()) };
    let retention = job.given.get("prune-backups").map(str::to_owned).or_else(|| storage.prune.clone());
    let Some(retention) = retention.filter(|r| !r.contains("keep-all") && job.given.get("remove") != Some("0")) else {
        return Ok(());
    };
    log.info(format!("prune older backups with retention: {retention}"));
    let gone = backups::prune(storage, vmid, &retention, &mut |line| log.info(line));
    let more = if gone > 0 { " not covered by keep-retention policy" } else { "" };
    log.info(format!("pruned {gone} backup(s){more}"));
    Ok(())
}

fn size_text(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        b if b >= MIB << 20 => format!("{:.2}TB", b as f64 / (MIB << 20) as f64),
        b if b >= MIB << 10 => format!("{:.2}GB", b as f64 / (MIB << 10) as f64),
        b if b >= MIB => format!("{}MB", b / MIB),
        b => format!("{}KB", b / 1024),
    }
}

/// Takes back what the backup holds, after success, failure and interruption alike.
fn let_go(vmid: u32, held: &mut Held, log: &mut Log, fine: bool) {
    mounts::take_apart();
    if held.frozen {
        run::ok(&["lxc-unfreeze", "-n", &vmid.to_string()]);
    }
    if held.snapshot {
        if fine {
            log.info("cleanup temporary 'vzdump' snapshot");
        }
        drop_snapshot(vmid);
    }
    if let Some(file) = &held.archive {
        let _ = std::fs::remove_file(file);
    }
    if let Some(temp) = &held.temp {
        let _ = std::fs::remove_dir_all(temp);
    }
    let Ok(mut conf) = conf::load(vmid) else { return };
    if held.locked {
        conf.current_mut().keys.remove("lock");
        conf.save();
    }
    if held.stopped {
        log.info("restarting vm");
        let begin = Instant::now();
        match guest::launch(&conf) {
            Ok(()) => log.info(format!("guest is online again after {}", seconds(begin))),
            Err(failure) => warn(&failure.text),
        }
    }
}

fn drop_snapshot(vmid: u32) {
    let Ok(mut conf) = conf::load(vmid) else { return };
    if let Some(at) = conf.sections.iter().position(|s| s.name == "vzdump") {
        conf.sections[at].set("snapstate", "delete");
        conf.save();
    }
    for volume in storage::volumes(conf.current()) {
        if let (true, Ok(path)) = (volume.backup && !volume.is_bind(), volume.path()) {
            storage::delete_tree(&format!("{path}@vzdump"));
        }
    }
    snapshots::drop_section(&mut conf, "vzdump");
    conf.save();
}
