//! This machine as a host: processes in their own group with a cleared environment, files read directly.

pub mod archive;
pub mod file;
mod journal;
mod knock;
mod look;
mod process;
mod unproven;
mod users;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Asked, Cmd, Found, Host, HostError, Look, NotOpened, Output, Pace, Said, Tree};
use crate::domain::calendar::Zone;
use crate::domain::guest::Vmid;
use crate::domain::inside::listing::Listing;
use crate::domain::job::Process;
use crate::domain::ports::{Knock, Knocked};
use crate::domain::stamp::Stamp;

pub use journal::Journal;
pub use process::{boot_id, moment, start_of, this_process};

/// This machine.
#[derive(Debug, Default)]
pub struct LocalHost {
    /// Looks that hang (a dead network storage); not asked again while they do.
    hung: Arc<Mutex<HashSet<Look>>>,
}

impl LocalHost {
    /// This machine.
    pub fn new() -> Self {
        LocalHost::default()
    }
}

impl Host for LocalHost {
    fn name(&self) -> &str {
        "local"
    }

    fn run<'a>(&'a self, cmd: Cmd) -> Asked<'a, Result<Output, HostError>> {
        Box::pin(process::run(cmd))
    }

    fn stream<'a>(&'a self, cmd: Cmd, pace: Pace, said: mpsc::Sender<Said>, stop: CancellationToken) -> Asked<'a, Result<(), HostError>> {
        Box::pin(process::stream(cmd, pace, said, stop))
    }

    fn look<'a>(&'a self, at: Vec<Look>) -> Asked<'a, Vec<Result<Found, HostError>>> {
        Box::pin(look::look(at, Arc::clone(&self.hung)))
    }

    fn knock<'a>(&'a self, pid: Option<u32>, at: Vec<Knock>) -> Asked<'a, Result<Knocked, HostError>> {
        Box::pin(knock::knock(pid, at))
    }

    fn tree(&self, guest: Option<Vmid>) -> Result<Tree, NotOpened> {
        guest.map_or_else(|| Ok(Tree::machine()), Tree::of_guest)
    }

    fn stopped_tree(&self, guest: Vmid) -> Result<Tree, NotOpened> {
        Tree::of_stopped(guest)
    }

    fn list_archive<'a>(&'a self, path: String, progress: Arc<archive::Progress>) -> Asked<'a, Result<Listing, HostError>> {
        Box::pin(async move {
            let what = path.clone();
            let listed = tokio::task::spawn_blocking(move || archive::list(&path, &progress)).await;
            listed.unwrap_or_else(|e| Err(HostError::Io { what, why: e.to_string() }))
        })
    }

    fn attach<'a>(&'a self, cmd: Cmd) -> Asked<'a, Result<i32, HostError>> {
        Box::pin(process::attach(cmd))
    }

    fn clock(&self) -> (Stamp, i32) {
        let now = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(_) => 0,
        };
        let offset = jiff::Timestamp::from_millisecond(now).map_or(0, |t| TimeZone::system().to_offset(t).seconds());
        (Stamp(now), offset)
    }

    fn zone(&self) -> Zone {
        zone(&TimeZone::system(), self.clock().0)
    }

    fn local_time(&self, civil: [u32; 6]) -> Option<Stamp> {
        let [y, mo, d, h, mi, s] = civil.map(|n| i16::try_from(n).ok());
        let small = |n: Option<i16>| n.and_then(|n| i8::try_from(n).ok());
        let time = jiff::civil::DateTime::new(y?, small(mo)?, small(d)?, small(h)?, small(mi)?, small(s)?, 0).ok()?;
        TimeZone::system().to_ambiguous_timestamp(time).compatible().ok().map(|t| Stamp(t.as_millisecond()))
    }

    fn alive<'a>(&'a self, process: &'a Process) -> Asked<'a, Result<bool, HostError>> {
        Box::pin(async move {
            let boot = process::boot_id().map_err(|e| HostError::Io { what: "boot id".into(), why: e.to_string() })?;
            Ok(boot == process.boot_id && process::start_of(process.pid) == Some(process.start))
        })
    }
}

/// A zone with its turns from two years before to twelve after; where it has more, its clocks stay as they are then.
pub fn zone(tz: &TimeZone, now: Stamp) -> Zone {
    const YEAR_S: i64 = 31_557_600;
    let at = |secs: i64| jiff::Timestamp::from_second(secs).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let (from, to) = (now.secs() - 2 * YEAR_S, now.secs() + 12 * YEAR_S);
    let turns = tz.following(at(from)).map(|t| (t.timestamp().as_second(), t.offset().seconds()));
    Zone { base_s: tz.to_offset(at(from)).seconds(), turns: turns.take_while(|(turn, _)| *turn <= to).collect() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn sh(script: &str) -> Cmd {
        Cmd::new("sh", ["-c", script])
    }

    #[tokio::test]
    async fn a_failed_command_cannot_be_read_as_a_good_one() {
        let out = LocalHost::new().run(sh("echo out; echo one >&2; echo 'two\u{1b}[2J' >&2; exit 3")).await.unwrap();
        let error = out.success().unwrap_err();
        assert!(matches!(&error, HostError::Failed { status: 3, said, .. } if said == "one · two␛[2J"), "{error:?}");
        assert_eq!((out.any().out, out.any().status), (&b"out\n"[..], 3));
    }

    #[tokio::test]
    async fn the_environment_is_the_allow_list() {
        let out = LocalHost::new().run(Cmd::new("env", [""; 0])).await.unwrap();
        let text = String::from_utf8_lossy(out.success().unwrap().out).into_owned();
        let names: Vec<&str> = text.lines().filter_map(|l| l.split('=').next()).collect();
        assert_eq!(names.len(), 4, "{text}");
        assert!(std::env::vars().count() > 4, "the test itself needs more variables than the list");
    }

    #[tokio::test]
    async fn children_run_under_the_usual_umask_and_we_do_not() {
        let ours = rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
        let out = LocalHost::new().run(sh("umask")).await.unwrap();
        assert_eq!(out.success().unwrap().out, b"0022\n");
        assert_eq!(rustix::process::umask(ours).bits(), 0o077);
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_ended_with_all_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("pid");
        let script = format!("trap '' TERM; (trap '' TERM; sleep 77 & echo $! > {}; wait) & wait", mark.display());
        let begun = Instant::now();
        let error = LocalHost::new().run(sh(&script).limit(5)).await.unwrap_err();
        assert!(matches!(error, HostError::TimedOut { .. }));
        assert!(begun.elapsed() < Duration::from_secs(60));
        let pid: u32 = std::fs::read_to_string(mark).unwrap().trim().parse().unwrap();
        while begun.elapsed() < Duration::from_secs(70) {
            if process::start_of(pid).is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        unreachable!("the grandchild {pid} still lives");
    }

    #[tokio::test]
    async fn missing_programs_and_bytes_that_are_not_text() {
        let host = LocalHost::new();
        assert!(matches!(host.run(Cmd::new("no-such-program", ["x"])).await, Err(HostError::Missing { .. })));
        let out = host.run(sh("printf '\\377\\376'; head -c 20000000 /dev/zero")).await.unwrap();
        assert!(matches!(out.success(), Err(HostError::Failed { said, .. }) if said.contains("lost")));
        let fed = host.run(Cmd { stdin: Some(b"x; y".to_vec()), ..Cmd::new("cat", [""; 0]) }).await.unwrap();
        assert_eq!(fed.success().unwrap().out, b"x; y");
    }

    #[tokio::test]
    async fn a_stream_tells_lines_and_its_end() {
        let (tx, mut rx) = mpsc::channel(100);
        LocalHost::new().stream(sh("echo a; echo b; printf c; exit 5"), Pace::Whole, tx, CancellationToken::new()).await.unwrap();
        let mut lines = Vec::new();
        let mut ended = None;
        while let Some(said) = rx.recv().await {
            match said {
                Said::Lines(l) => lines.extend(l),
                Said::Ended(status) => ended = Some(status),
                _ => {}
            }
        }
        assert_eq!((lines.concat(), ended), (b"abc".to_vec(), Some(5)));
    }

    #[tokio::test]
    async fn stopping_a_stream_lets_it_tidy_up() {
        let (tx, mut rx) = mpsc::channel(100);
        let stop = CancellationToken::new();
        let ask = stop.clone();
        let run = tokio::spawn(async move {
            LocalHost::new().stream(sh("trap 'echo tidy; exit 9' TERM; echo up; sleep 60 & wait"), Pace::Whole, tx, ask).await
        });
        let mut text = Vec::new();
        let mut status = None;
        while let Some(said) = rx.recv().await {
            match said {
                Said::Lines(l) => {
                    text.extend(l.concat());
                    stop.cancel();
                }
                Said::Ended(s) => status = Some(s),
                _ => {}
            }
        }
        run.await.unwrap().unwrap();
        assert_eq!((text, status), (b"uptidy".to_vec(), Some(9)));
    }

    #[tokio::test]
    async fn a_slow_reader_of_a_live_stream_loses_lines_and_is_told_how_many() {
        let (tx, mut rx) = mpsc::channel(1);
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("written");
        let script = format!(
            "for i in 1 2 3 4 5 6 7 8 9; do seq 1 10000; sleep 0.02; done; touch {}; sleep 0.5; echo last; sleep 0.5; echo end",
            mark.display()
        );
        let run = tokio::spawn(async move { LocalHost::new().stream(sh(&script), Pace::Live, tx, CancellationToken::new()).await });
        while !mark.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (mut seen, mut lost) = (0, 0);
        while let Some(said) = rx.recv().await {
            match said {
                Said::Lines(l) => seen += l.len() as u64,
                Said::Dropped(n) => lost += n,
                _ => {}
            }
        }
        run.await.unwrap().unwrap();
        assert!(lost > 0);
        assert_eq!(seen + lost, 90_002);
    }

    #[tokio::test]
    async fn looks_answer_in_order_and_never_follow_into_a_fifo() {
        let dir = tempfile::tempdir().unwrap();
        let at = |n: &str| dir.path().join(n).to_string_lossy().into_owned();
        for id in ["101", "102"] {
            std::fs::create_dir(at(id)).unwrap();
            std::fs::write(at(&format!("{id}/conf")), id).unwrap();
        }
        std::fs::create_dir(at("empty")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        let looks = vec![
            Look::Glob(at("*/conf"), 100),
            Look::File(at("pipe"), 10),
            Look::Tail(at("101/conf"), 2),
            Look::Glob(at("gone/*/conf"), 1),
            Look::Space(at("")),
            Look::Dir(at("101")),
        ];
        let found = LocalHost::new().look(looks).await;
        assert!(matches!(&found[0], Ok(Found::Files(f)) if f.len() == 2 && f[1].1 == Ok(b"102".to_vec())), "{found:?}");
        assert!(found[1].is_err());
        assert_eq!(found[2], Ok(Found::Bytes(b"01".to_vec())));
        assert!(matches!(found[3], Err(HostError::Missing { .. })));
        assert!(matches!(found[4], Ok(Found::Space(s)) if s.total > 0));
        assert_eq!(found[5], Ok(Found::Names(vec!["conf".into()])));
    }

    #[tokio::test]
    async fn a_process_is_told_from_a_later_one_of_its_number() {
        let host = LocalHost::new();
        let me = this_process().unwrap();
        assert_eq!(host.alive(&me).await, Ok(true));
        assert_eq!(host.alive(&Process { start: me.start + 1, ..me.clone() }).await, Ok(false));
        assert_eq!(host.alive(&Process { boot_id: "another".into(), ..me }).await, Ok(false));
    }

    #[test]
    fn civil_times_of_the_zone_come_back() {
        let host = LocalHost::new();
        let at = host.local_time([2026, 8, 27, 2, 0, 3]).unwrap();
        assert_eq!(at.secs() % 60, 3);
        assert_eq!(host.local_time([2026, 13, 27, 2, 0, 3]), None);
    }
}
