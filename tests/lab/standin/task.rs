//! Tasks: what the real tools do in a forked worker. The worker is this binary again with a marker argument; its
//! output goes through the caller, which copies it to stdout and into the task log.
//!
//! Files: `/var/log/pve/tasks/{active,index,X/UPID…}`, X being the last hex digit of the start time.

use crate::conf;
use crate::fail::{Fail, OrDie, Outcome, die, say, warn};
use crate::{knobs, signals};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::signal::unix::SignalKind;

pub const DIR: &str = "/var/log/pve/tasks";
const MARKER: &str = "--standin-worker=";
const KEPT_FINISHED: usize = 25;

static WORKER: OnceLock<u64> = OnceLock::new();
static WARNINGS: AtomicU32 = AtomicU32::new(0);

/// Removes the marker that makes this process a worker.
pub fn take_marker(argv: &mut Vec<String>) {
    if let Some(start) = argv.first().and_then(|a| a.strip_prefix(MARKER)) {
        let _ = WORKER.set(start.parse().unwrap_or(0));
        argv.remove(0);
    }
}

pub fn is_worker() -> bool {
    WORKER.get().is_some()
}

/// A line `WARN: …` that raises the warning counter of the task.
pub fn add_warning(text: &str) {
    WARNINGS.fetch_add(1, Ordering::SeqCst);
    say(&format!("WARN: {text}"));
}

/// How a task ended, as the index has it.
#[derive(Clone, PartialEq)]
pub enum Ended {
    Ok,
    Warnings(u32),
    Error(String),
    /// The worker vanished without a word.
    Vanished,
}

impl Ended {
    pub fn status(&self) -> String {
        match self {
            Self::Ok => "OK".into(),
            Self::Warnings(n) => format!("WARNINGS: {n}"),
            Self::Error(text) => text.lines().next().unwrap_or("").to_owned(),
            Self::Vanished => "unexpected status".into(),
        }
    }
}

pub fn pstart(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name may hold blanks and brackets: count fields after the last one.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

pub fn upid(pid: u32, pstart: u64, start: u64, kind: &str, id: &str) -> String {
    format!("UPID:{}:{pid:08X}:{pstart:08X}:{start:08X}:{kind}:{id}:root@pam:", knobs::node())
}

pub fn log_path(upid: &str) -> Option<PathBuf> {
    let start = upid.split(':').nth(4)?;
    Some(PathBuf::from(format!("{DIR}/{}/{upid}", start.chars().last()?)))
}

/// The UPID of this worker.
pub fn own_upid(kind: &str, id: &str) -> String {
    let pid = std::process::id();
    upid(pid, pstart(pid).unwrap_or(0), *WORKER.get().unwrap_or(&0), kind, id)
}

/// Runs `body` as a task. In the worker: never returns. In the caller: the UPID and how it ended.
pub fn run(kind: &str, id: &str, quiet: bool, body: impl FnOnce() -> Outcome<()>) -> Outcome<(String, Ended)> {
    if is_worker() {
        work(body);
    }
    let start = conf::now();
    let (reader, writer) = std::io::pipe().or_die("unable to create pipe")?;
    let mut argv: Vec<_> = std::env::args_os().collect();
    let name = argv.remove(0);
    // By its own name, so that it is found by that name.
    let mut child = Command::new(Path::new("/usr/bin").join(Path::new(&name).file_name().unwrap_or_default()))
        .arg(format!("{MARKER}{start}"))
        .args(argv)
        .stdout(Stdio::from(writer.try_clone().or_die("pipe")?))
        .stderr(Stdio::from(writer))
        .spawn()
        .or_die("unable to fork worker")?;
    let pid = child.id();
    let upid = upid(pid, pstart(pid).unwrap_or(0), start, kind, id);
    forward_signals(pid);
    let mut log = open_log(&upid)?;
    register(&upid, None);
    let ended = copy(BufReader::new(reader), &mut log, quiet);
    let _ = child.wait();
    let last = match &ended {
        Ended::Ok => "TASK OK\n".to_owned(),
        // A task that was run in the foreground has an empty line here.
        Ended::Warnings(n) => format!("\nTASK WARNINGS: {n}\n"),
        Ended::Error(text) => format!("\nTASK ERROR: {text}\n"),
        Ended::Vanished => String::new(),
    };
    let _ = log.write_all(last.as_bytes());
    register(&upid, Some(&ended.status()));
    Ok((upid, ended))
}

/// Runs a task whose end is the end of the call: exit code 0 for OK and warnings, else 255.
pub fn call(kind: &str, id: &str, body: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
    finish(run(kind, id, false, body)?.1)
}

/// The CLI's last words for a task that ended like this.
pub fn finish(ended: Ended) -> Outcome<()> {
    match ended {
        Ended::Ok => Ok(()),
        Ended::Warnings(n) => {
            warn(&format!("Task finished with {n} warning(s)!"));
            Ok(())
        }
        Ended::Error(text) => die(text),
        Ended::Vanished => die("got unexpected control message: "),
    }
}

/// Some commands end with 0 although their task failed.
pub fn call_ignoring_status(kind: &str, id: &str, body: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
    if let Err(Fail { text, .. }) = call(kind, id, body) {
        warn(&text);
    }
    Ok(())
}

fn work(body: impl FnOnce() -> Outcome<()>) -> ! {
    // With a terminal the worker stays in the foreground group, so that Ctrl-C reaches it.
    if !std::io::stdin().is_terminal() {
        let _ = rustix::process::setsid();
    }
    let control = match body() {
        Ok(()) => match WARNINGS.load(Ordering::SeqCst) {
            0 => "OK".to_owned(),
            n => format!("WARNINGS {n}"),
        },
        Err(fail) if fail.rc < 0 => std::process::exit(255), // gone without a word, on purpose
        Err(fail) => format!("ERROR {}", fail.text.replace('\n', "\u{1}")),
    };
    say(&format!("\0{control}"));
    std::process::exit(0);
}

fn copy(mut from: impl BufRead, log: &mut std::fs::File, quiet: bool) -> Ended {
    let mut line = Vec::new();
    let mut ended = Ended::Vanished;
    loop {
        line.clear();
        if !matches!(from.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            return ended;
        }
        if line.first() == Some(&0) {
            ended = parse_control(String::from_utf8_lossy(&line[1..]).trim_end_matches('\n'));
            continue;
        }
        let _ = log.write_all(&line);
        if !quiet {
            let mut out = std::io::stdout().lock();
            if out.write_all(&line).and_then(|()| out.flush()).is_err() {
                std::process::exit(141);
            }
        }
    }
}

fn parse_control(text: &str) -> Ended {
    match text.split_once(' ') {
        Some(("WARNINGS", n)) => Ended::Warnings(n.parse().unwrap_or(1)),
        Some(("ERROR", rest)) => Ended::Error(rest.replace('\u{1}', "\n")),
        _ => Ended::Ok,
    }
}

/// INT, QUIT and TERM go to the worker's group as TERM, the fourth time as KILL.
fn forward_signals(worker: u32) {
    let count = std::sync::Arc::new(AtomicU32::new(0));
    let own_group = std::io::stdin().is_terminal();
    let kinds = [SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate()];
    signals::listen(&kinds, move || {
        use rustix::process::{Pid, Signal, kill_process, kill_process_group};
        let Some(pid) = Pid::from_raw(worker as i32) else { return };
        let hard = count.fetch_add(1, Ordering::SeqCst) >= 3;
        let what = if hard { Signal::KILL } else { Signal::TERM };
        if own_group || kill_process_group(pid, what).is_err() {
            let _ = kill_process(pid, what);
        }
    });
}

fn open_log(upid: &str) -> Outcome<std::fs::File> {
    let path = log_path(upid).unwrap();
    std::fs::create_dir_all(path.parent().unwrap()).or_die("unable to create task log directory")?;
    std::fs::File::create(path).or_die("unable to create output file")
}

/// One line of `active`.
#[derive(Clone)]
pub struct Entry {
    pub upid: String,
    pub end: Option<(u64, String)>,
}

impl Entry {
    pub fn alive(&self) -> bool {
        let mut parts = self.upid.split(':').skip(2);
        let pid = parts.next().and_then(|p| u32::from_str_radix(p, 16).ok());
        let start = parts.next().and_then(|p| u64::from_str_radix(p, 16).ok());
        matches!((pid, start), (Some(pid), Some(start)) if pstart(pid) == Some(start))
    }

    fn line(&self) -> String {
        match &self.end {
            None => format!("{} 0\n", self.upid),
            Some((when, status)) => format!("{} 1 {when:08X} {status}\n", self.upid),
        }
    }
}

fn parse_active(text: &str) -> Vec<Entry> {
    text.lines()
        .filter_map(|line| {
            let mut parts = line.splitn(4, ' ');
            let upid = parts.next()?.to_owned();
            let saved = parts.next()? == "1";
            let end = match (saved, parts.next(), parts.next()) {
                (true, Some(when), Some(status)) => Some((u64::from_str_radix(when, 16).ok()?, status.to_owned())),
                _ => None,
            };
            Some(Entry { upid, end })
        })
        .collect()
}

/// Running tasks and the last finished ones, newest first. Workers that vanished are closed on the way.
pub fn active() -> Vec<Entry> {
    update(|_| {})
}

fn register(upid: &str, status: Option<&str>) {
    update(|list| {
        let end = status.map(|s| (conf::now(), s.to_owned()));
        if let Some((when, status)) = &end {
            append_index(upid, *when, status);
        }
        list.retain(|e| e.upid != upid);
        list.insert(0, Entry { upid: upid.to_owned(), end });
    });
}

fn update(change: impl FnOnce(&mut Vec<Entry>)) -> Vec<Entry> {
    let _ = std::fs::create_dir_all(DIR);
    let Ok(lock) = std::fs::File::create(format!("{DIR}/.active.lock")) else {
        return Vec::new();
    };
    let _ = rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive);
    let mut list = parse_active(&std::fs::read_to_string(format!("{DIR}/active")).unwrap_or_default());
    change(&mut list);
    for entry in list.iter_mut().filter(|e| e.end.is_none()) {
        if !entry.alive() {
            let status = status_from_log(&entry.upid);
            let when = conf::now();
            append_index(&entry.upid, when, &status);
            entry.end = Some((when, status));
        }
    }
    let (running, mut finished): (Vec<_>, Vec<_>) = list.into_iter().partition(|e| e.end.is_none());
    finished.truncate(KEPT_FINISHED);
    let all: Vec<Entry> = running.into_iter().chain(finished).collect();
    conf::replace(&format!("{DIR}/active"), &all.iter().map(Entry::line).collect::<String>());
    all
}

fn append_index(upid: &str, when: u64, status: &str) {
    let index = std::fs::OpenOptions::new().create(true).append(true).open(format!("{DIR}/index"));
    if let Ok(mut index) = index {
        let _ = index.write_all(format!("{upid} {when:08X} {status}\n").as_bytes());
    }
}

/// What the last line of a task log says about the end.
pub fn status_from_log(upid: &str) -> String {
    let text = log_path(upid).and_then(|p| std::fs::read_to_string(p).ok()).unwrap_or_default();
    let last = text.lines().last().unwrap_or("");
    if last == "TASK OK" {
        "OK".into()
    } else if let Some(error) = last.strip_prefix("TASK ERROR: ") {
        error.into()
    } else if let Some(warnings) = last.strip_prefix("TASK WARNINGS: ") {
        format!("WARNINGS: {warnings}")
    } else {
        "unexpected status".into()
    }
}

/// Everything in the index, oldest first: UPID, end time, status.
pub fn index() -> Vec<(String, u64, String)> {
    std::fs::read_to_string(format!("{DIR}/index"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ' ');
            let upid = parts.next()?.to_owned();
            let when = u64::from_str_radix(parts.next()?, 16).ok()?;
            Some((upid, when, parts.next().unwrap_or("").to_owned()))
        })
        .collect()
}
