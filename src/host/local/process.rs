//! Runs commands: own process group, cleared environment, limits, and an end that reaches every descendant.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::super::{Cmd, HostError, Output, Pace, Said};
use crate::domain::job::Process;
use crate::domain::session::Moment;

/// Bytes of standard output that are kept; more is counted and makes the output unusable as a success.
const KEEP: usize = 16 << 20;
/// Bytes of standard error that are kept.
const KEEP_ERR: usize = 256 << 10;
/// A line longer than this is told in pieces.
const LONGEST_LINE: usize = 256 << 10;
/// Between TERM and KILL when a limit ran out.
const GRACE: Duration = Duration::from_secs(5);
/// Between TERM and KILL when somebody asked a stream to end: vzdump tidies up meanwhile.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long descendants may keep the pipes open after the command itself ended.
const STRAGGLE: Duration = Duration::from_secs(2);

/// The only variables a child sees. `pct exec` hands its environment into the guest (TRUST F14).
pub(super) const ENV: [(&str, &str); 4] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("LANG", "C.UTF-8"),
    ("LC_ALL", "C.UTF-8"),
    ("TERM", "dumb"),
];

/// This process as it is known to the kernel.
pub fn this_process() -> std::io::Result<Process> {
    let pid = std::process::id();
    let start = start_of(pid).ok_or_else(|| std::io::Error::other("no start time in /proc/self/stat"))?;
    Ok(Process { pid, start, boot_id: boot_id()? })
}

/// The id of this boot.
pub fn boot_id() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Now, by the clock that counts since boot, sleep included, and that nobody can set.
pub fn moment() -> std::io::Result<Moment> {
    let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let ms = u64::try_from(since.tv_sec).unwrap_or(0) * 1000 + u64::try_from(since.tv_nsec).unwrap_or(0) / 1_000_000;
    Ok(Moment { boot: boot_id()?, ms })
}

/// Kernel start time of a live process in clock ticks: field 22 of its stat, counted behind the
/// command name, which may hold blanks and brackets. A zombie has ended.
pub fn start_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Starts a child under the system's usual umask. Ours is 077, and `pct restore` under 077 makes directories that
/// an unprivileged guest's own tar cannot enter. Nothing of ours is exposed meanwhile: each file we make names its mode.
fn under_usual_umask<T>(start: impl FnOnce() -> T) -> T {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let ours = rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o022));
    let started = start();
    rustix::process::umask(ours);
    started
}

fn spawn(cmd: &Cmd) -> Result<Child, HostError> {
    let mut command = Command::new(&cmd.program);
    command
        .args(&cmd.args)
        .env_clear()
        .envs(ENV)
        .current_dir("/")
        .process_group(0)
        .stdin(if cmd.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    under_usual_umask(|| command.spawn()).map_err(|e| not_spawned(cmd, &e))
}

fn signal(child: &Child, group: Option<Pid>, signal: Signal) {
    // The group outlives its leader, so it is signalled even when the child itself was reaped.
    if let Some(group) = group.or_else(|| group_of(child)) {
        let _ = kill_process_group(group, signal);
    }
}

fn group_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

fn status_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(-1)
}

/// Runs in the foreground with our own standard streams. Stays in our process group, so that the terminal's
/// keys reach it; only its TERM is the operator's own.
pub(super) async fn attach(cmd: Cmd) -> Result<i32, HostError> {
    let mut command = Command::new(&cmd.program);
    command.args(&cmd.args).env_clear().envs(ENV).current_dir("/");
    if let Ok(term) = std::env::var("TERM") {
        command.env("TERM", term);
    }
    let mut child = under_usual_umask(|| command.spawn()).map_err(|e| not_spawned(&cmd, &e))?;
    // ^C is for the child; we go on until it ended.
    let _int = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
    let status = child.wait().await.map_err(|e| HostError::Io { what: cmd.shown(), why: e.to_string() })?;
    Ok(status_code(status))
}

fn not_spawned(cmd: &Cmd, e: &std::io::Error) -> HostError {
    match e.kind() {
        std::io::ErrorKind::NotFound => HostError::Missing { what: cmd.program.clone() },
        std::io::ErrorKind::PermissionDenied => HostError::Denied { what: cmd.program.clone() },
        _ => HostError::Io { what: cmd.shown(), why: e.to_string() },
    }
}

/// Reads to the end, keeps the first `keep` bytes, counts the rest.
async fn drain(mut from: impl tokio::io::AsyncRead + Unpin, keep: usize) -> (Vec<u8>, u64) {
    let (mut kept, mut cut) = (Vec::new(), 0u64);
    let mut block = vec![0; 64 << 10];
    while let Ok(n) = from.read(&mut block).await {
        if n == 0 {
            break;
        }
        let take = n.min(keep - kept.len());
        kept.extend_from_slice(&block[..take]);
        cut += (n - take) as u64;
    }
    (kept, cut)
}

/// Runs to the end or the limit.
pub(super) async fn run(cmd: Cmd) -> Result<Output, HostError> {
    let mut child = spawn(&cmd)?;
    let group = group_of(&child);
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(HostError::Io { what: cmd.shown(), why: "no pipes".into() });
    };
    let mut readers = Box::pin(async { tokio::join!(drain(out, KEEP), drain(err, KEEP_ERR)) });
    feed(&mut child, cmd.stdin.clone());
    let limit = cmd.limit_s.map(|s| Duration::from_secs(s.into()));
    let deadline = limit.map(|l| Instant::now() + l);
    let mut read = None;
    let ended = loop {
        tokio::select! {
            got = &mut readers, if read.is_none() => read = Some(got),
            status = child.wait() => break Some(status),
            () = until(deadline) => break None,
        }
    };
    let Some(status) = ended else {
        signal(&child, group, Signal::TERM);
        if timeout(GRACE, child.wait()).await.is_err() {
            signal(&child, group, Signal::KILL);
            let _ = timeout(GRACE, child.wait()).await;
        }
        signal(&child, group, Signal::KILL);
        return Err(HostError::TimedOut { what: cmd.shown(), limit: limit.unwrap_or_default() });
    };
    let status = status.map_err(|e| HostError::Io { what: cmd.shown(), why: e.to_string() })?;
    let ((out, cut), (err, _)) = match read {
        Some(got) => got,
        None => match timeout(STRAGGLE, &mut readers).await {
            Ok(got) => got,
            Err(_) => {
                // A descendant holds the pipe. What was said is not known to be whole.
                signal(&child, group, Signal::TERM);
                return Err(HostError::Io {
                    what: cmd.shown(),
                    why: "it ended, but left processes behind that held its output; they were ended".into(),
                });
            }
        },
    };
    Ok(Output::new(&cmd, status_code(status), out, err, cut))
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn feed(child: &mut Child, bytes: Option<Vec<u8>>) {
    if let (Some(bytes), Some(mut pipe)) = (bytes, child.stdin.take()) {
        tokio::spawn(async move {
            let _ = pipe.write_all(&bytes).await;
        });
    }
}

/// Runs and tells lines as they come.
pub(super) async fn stream(cmd: Cmd, pace: Pace, said: mpsc::Sender<Said>, stop: CancellationToken) -> Result<(), HostError> {
    let mut child = spawn(&cmd)?;
    let group = group_of(&child);
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(HostError::Io { what: cmd.shown(), why: "no pipes".into() });
    };
    feed(&mut child, cmd.stdin.clone());
    if let (Some(pid), Ok(boot_id)) = (child.id(), boot_id())
        && let Some(start) = start_of(pid)
    {
        let _ = said.send(Said::Started(Process { pid, start, boot_id })).await;
    }
    let deadline = cmd.limit_s.map(|s| Instant::now() + Duration::from_secs(s.into()));
    let mut readers = Box::pin(async { tokio::join!(tell(out, pace, &said), tell(err, pace, &said)) });
    let (mut told, mut timed_out, mut kill_at) = (false, false, None);
    let status = loop {
        tokio::select! {
            // The readers go on while it is being ended: what it says about its end is worth having.
            _ = &mut readers, if !told => told = true,
            status = child.wait() => break status,
            () = stop.cancelled(), if kill_at.is_none() => {
                signal(&child, group, Signal::TERM);
                kill_at = Some(Instant::now() + STOP_GRACE);
            }
            () = until(deadline), if kill_at.is_none() => {
                signal(&child, group, Signal::TERM);
                (timed_out, kill_at) = (true, Some(Instant::now() + GRACE));
            }
            () = until(kill_at) => {
                signal(&child, group, Signal::KILL);
                kill_at = Some(Instant::now() + GRACE);
            }
        }
    };
    if !told && timeout(STRAGGLE, readers).await.is_err() {
        signal(&child, group, Signal::TERM);
    }
    if kill_at.is_some() {
        signal(&child, group, Signal::KILL);
    }
    if timed_out {
        return Err(HostError::TimedOut { what: cmd.shown(), limit: Duration::from_secs(cmd.limit_s.unwrap_or(0).into()) });
    }
    let status = status.map_err(|e| HostError::Io { what: cmd.shown(), why: e.to_string() })?;
    let _ = said.send(Said::Ended(status_code(status))).await;
    Ok(())
}

/// Cuts a pipe into lines and sends all whole lines of one read as one message, so that the first after a
/// silence is told at once and a flood is told in few pieces.
async fn tell(mut from: impl tokio::io::AsyncRead + Unpin, pace: Pace, said: &mpsc::Sender<Said>) {
    let mut block = vec![0; 64 << 10];
    let mut rest: Vec<u8> = Vec::new();
    let mut dropped = 0u64;
    loop {
        let n = from.read(&mut block).await.unwrap_or(0);
        let mut lines: Vec<Box<[u8]>> = Vec::new();
        if n == 0 {
            if !rest.is_empty() {
                lines.push(std::mem::take(&mut rest).into());
            }
        } else {
            let mut from = 0;
            for at in memchr::memchr_iter(b'\n', &block[..n]) {
                rest.extend_from_slice(&block[from..at]);
                lines.push(rest.as_slice().into());
                rest.clear();
                from = at + 1;
            }
            rest.extend_from_slice(&block[from..n]);
            if rest.len() > LONGEST_LINE {
                lines.push(std::mem::take(&mut rest).into());
            }
        }
        if !lines.is_empty() && !send(said, pace, lines, &mut dropped).await {
            return;
        }
        if n == 0 {
            // Nothing comes after that could carry the count.
            if dropped > 0 {
                let _ = said.send(Said::Dropped(dropped)).await;
            }
            return;
        }
    }
}

/// Sends lines, or counts them as dropped where only what is new counts. False when nobody listens any more.
async fn send(said: &mpsc::Sender<Said>, pace: Pace, lines: Vec<Box<[u8]>>, dropped: &mut u64) -> bool {
    if pace == Pace::Whole {
        return said.send(Said::Lines(lines)).await.is_ok();
    }
    if *dropped > 0 {
        match said.try_send(Said::Dropped(*dropped)) {
            Ok(()) => *dropped = 0,
            Err(mpsc::error::TrySendError::Closed(_)) => return false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                *dropped += lines.len() as u64;
                return true;
            }
        }
    }
    let count = lines.len() as u64;
    match said.try_send(Said::Lines(lines)) {
        Ok(()) => true,
        Err(mpsc::error::TrySendError::Closed(_)) => false,
        Err(mpsc::error::TrySendError::Full(_)) => {
            *dropped += count;
            true
        }
    }
}
