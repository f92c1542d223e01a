//! Recorded ends of vzdump and `pct restore`, and of the tasks behind them, through the code that judges them when a job ends.
//!
//! A host plays a recording back: its lines, its exit status, its task with the last line as Proxmox wrote it, and what is then
//! on the disk. What must come out was written down by hand beside each. All are tried, and their number is printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use proximity::domain::audit::Phase;
use proximity::domain::backup::{Complaint, VzdumpLine, parse_line, partial_of};
use proximity::domain::cmd::Cmd;
use proximity::domain::guest::Vmid;
use proximity::domain::job::{Life, Outcome, Process, State};
use proximity::domain::plan::{Act, Approved, Check, Plan, Purpose, Risk, Step, Watch};
use proximity::domain::pve;
use proximity::domain::stamp::Stamp;
use proximity::domain::task::Upid;
use proximity::host::{Asked, Found, Host, HostError, Look, Output, Pace, PathStat, Said};
use proximity::jobs::Jobs;
use proximity::ops::audit::{Recorder, deed_of};
use proximity::ops::carry_out::{Journal, carry_out};
use proximity::store::Store;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[path = "outcomes/cases.rs"]
mod cases;

use cases::{Case, Disk, How, Last};

const BOOT: &str = "5f0c2d4e-0000-4000-8000-000000000001";
/// 2026-11-20 17:45:01 UTC, as in the UPID below.
const BEGAN: i64 = 0x6B00_86DD;

/// A node on which one recording is played back.
struct Recorded {
    lines: Vec<String>,
    rc: i32,
    files: BTreeMap<String, Result<Vec<u8>, &'static str>>,
    upid: Option<Upid>,
    runs: AtomicBool,
}

impl Recorded {
    fn new(case: &Case) -> Recorded {
        let recording = |end: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(format!("{}.{end}", case.recording));
            std::fs::read_to_string(path)
        };
        let text = match case.lines {
            Some(lines) => lines.to_owned(),
            None => recording("out").unwrap() + &recording("err").unwrap_or_default(),
        };
        // pvesh prints the name of the task behind its lines.
        let lines: Vec<String> = text.lines().filter(|l| !l.starts_with("\"UPID:") && !l.starts_with("TASK ")).map(str::to_owned).collect();
        let rc = case.rc.unwrap_or_else(|| recording("rc").unwrap().trim().parse().unwrap());
        let id = case.guest;
        let kind = if case.restores { "vzrestore" } else { "vzdump" };
        let upid: Upid = format!("UPID:pve1:00001139:000469BB:{BEGAN:08X}:{kind}:{id}:root@pam:").parse().unwrap();
        let mut files = BTreeMap::new();
        files.insert("/proc/sys/kernel/random/boot_id".to_owned(), Ok(BOOT.as_bytes().to_vec()));
        let conf = match case.lock {
            Some("gone") => None,
            Some(lock) => Some(format!("hostname: x\nlock: {lock}\n")),
            None => Some("hostname: x\n".to_owned()),
        };
        if let Some(conf) = conf {
            files.insert(format!("/etc/pve/lxc/{id}.conf"), Ok(conf.into_bytes()));
        }
        let has_task = case.last != Last::NoTask;
        if has_task {
            files.insert("/var/log/pve/tasks/active".into(), Ok(format!("{upid} 0\n").into_bytes()));
            let last = match case.last {
                Last::Task(last) => format!("{last}\n"),
                _ => String::new(),
            };
            let log = Ok(format!("{text}{last}").into_bytes());
            files.insert(upid.log_path(), if case.last == Last::Unreadable { Err("input/output error") } else { log });
        }
        let archive = lines.iter().find_map(|l| match parse_line(l) {
            Some(VzdumpLine::Archive(path)) => Some(path),
            _ => None,
        });
        if let Some(archive) = archive {
            let bytes = |n: usize| Ok(vec![0; n]);
            match case.disk {
                Disk::Nothing => {}
                Disk::Whole => drop(files.insert(archive, bytes(4096))),
                Disk::Empty => drop(files.insert(archive, bytes(0))),
                Disk::Partial => drop(files.insert(partial_of(&archive).unwrap(), bytes(2048))),
            }
        }
        Recorded { lines, rc, files, upid: has_task.then_some(upid), runs: AtomicBool::new(true) }
    }

    fn archive(&self) -> Option<String> {
        self.lines.iter().find_map(|l| if let Some(VzdumpLine::Archive(path)) = parse_line(l) { Some(path) } else { None })
    }
}

impl Host for Recorded {
    fn name(&self) -> &str {
        "local"
    }

    fn run<'a>(&'a self, cmd: Cmd) -> Asked<'a, Result<Output, HostError>> {
        // The list of a backup server: what it took stands there.
        let listed = cmd.program == "pvesm" && cmd.args.first().is_some_and(|a| a == "list");
        let pbs = self.archive().filter(|a| !a.starts_with('/'));
        let out = match pbs {
            Some(archive) if listed && self.files.contains_key(&archive) => {
                format!("Volid Format Type Size VMID\npbs:backup/{archive} pbs-ct backup 5 101\n")
            }
            _ => String::new(),
        };
        Box::pin(async move { Ok(Output::new(&cmd, i32::from(!listed), out.into_bytes(), b"not recorded".to_vec(), 0)) })
    }

    fn stream<'a>(&'a self, _cmd: Cmd, _pace: Pace, said: mpsc::Sender<Said>, stop: CancellationToken) -> Asked<'a, Result<(), HostError>> {
        Box::pin(async move {
            let process = Process { pid: 4408, start: 289_200, boot_id: BOOT.into() };
            let _ = said.send(Said::Started(process)).await;
            for line in &self.lines {
                let _ = said.send(Said::Lines(vec![line.as_bytes().into()])).await;
            }
            if self.rc == cases::CANCELLED {
                // The operator asks for the end while it runs.
                stop.cancel();
            }
            self.runs.store(false, Ordering::SeqCst);
            let _ = said.send(Said::Ended(if self.rc == cases::CANCELLED { 255 } else { self.rc })).await;
            Ok(())
        })
    }

    fn look<'a>(&'a self, at: Vec<Look>) -> Asked<'a, Vec<Result<Found, HostError>>> {
        let one = |look: Look| {
            let (Look::File(path, _) | Look::Tail(path, _) | Look::Stat(path)) = &look else { panic!("{look:?} was not recorded") };
            let bytes = match self.files.get(path) {
                Some(Ok(bytes)) => bytes.clone(),
                Some(Err(why)) => return Err(HostError::Io { what: path.clone(), why: (*why).into() }),
                None => return Err(HostError::Missing { what: path.clone() }),
            };
            let size = bytes.len() as u64;
            Ok(match look {
                // A backup server has no files.
                Look::Stat(path) if !path.starts_with('/') => return Err(HostError::Missing { what: path }),
                Look::Stat(_) => {
                    Found::Stat(PathStat { dir: false, size, modified: Stamp::from_secs(BEGAN), mode: 0o600, dev: 1, inode: 1 })
                }
                _ => Found::Bytes(bytes),
            })
        };
        let all = at.into_iter().map(one).collect();
        Box::pin(async move { all })
    }

    fn attach<'a>(&'a self, _cmd: Cmd) -> Asked<'a, Result<i32, HostError>> {
        panic!("nobody sits at a recording")
    }

    fn clock(&self) -> (Stamp, i32) {
        (Stamp::from_secs(BEGAN), 0)
    }

    fn local_time(&self, _civil: [u32; 6]) -> Option<Stamp> {
        None
    }

    fn alive<'a>(&'a self, process: &'a Process) -> Asked<'a, Result<bool, HostError>> {
        // The task lives as long as its command; whoever supervised it does not.
        let task = self.upid.as_ref().is_some_and(|u| u.pid == process.pid);
        let runs = task && self.runs.load(Ordering::SeqCst);
        Box::pin(async move { Ok(runs) })
    }
}

/// Nobody reads it.
struct Nowhere;

impl Journal for Nowhere {
    fn remember(&mut self, _life: &Life) -> Result<(), String> {
        Ok(())
    }

    fn line(&mut self, _at: Stamp, _text: &[u8]) {}
}

fn plan(case: &Case) -> Plan {
    let vmid: Vmid = case.guest.try_into().unwrap();
    let storage = "local".parse().unwrap();
    let step = if case.restores {
        let options = pve::RestoreOptions { storage, unprivileged: true, hostname: "x".into(), nets: vec![], notes: "x".into() };
        let act = Act::Run { cmd: pve::restore(vmid, "local:backup/x.tar.zst", &options), watch: Watch::Restore { vmid } };
        Step { title: "restore".into(), act, check: Check::Unlocked { vmid }, undo: None, always: true }
    } else {
        let (mode, compress, notes) = ("stop", "zstd", "x");
        let options = pve::VzdumpOptions { storage: &storage, mode, compress, notes, bandwidth: None, protected: false };
        let act = Act::Run { cmd: pve::vzdump(vmid, &options), watch: Watch::Vzdump { vmid, expect: None } };
        Step { title: "vzdump".into(), act, check: Check::Archived { vmid, storage }, undo: None, always: true }
    };
    Plan {
        purpose: if case.restores { Purpose::RestoreBeside } else { Purpose::Backup },
        title: "recorded".into(),
        guest: vmid,
        host: "local".into(),
        facts: vec![],
        notes: vec![],
        risk: Risk::Low,
        steps: vec![step],
    }
}

/// By the worker that followed it, or by whoever finds out later because the worker was killed.
async fn judged(case: &Case) -> (State, Outcome) {
    let host = Recorded::new(case);
    let (state, life) = match case.how {
        How::Followed => carry_out(&host, &plan(case), Life::default(), &mut Nowhere, CancellationToken::new()).await,
        How::FoundOut { runs } => {
            host.runs.store(runs, Ordering::SeqCst);
            let dir = std::env::temp_dir().join(format!("proximity-outcomes-{}", std::process::id()));
            std::fs::create_dir_all(&dir).unwrap();
            let jobs = Jobs::of_dir(Store::in_memory().unwrap(), dir, Recorder::new("test", &host));
            let order = Approved::new(plan(case), "ada", None).unwrap();
            let entry = Recorder::new("test", &host).entry(host.clock().0, Phase::Intent, deed_of(&order));
            let id = jobs.store().add_job(&order, host.clock().0, entry).unwrap();
            let worker = Process { pid: 4000, start: 1, boot_id: BOOT.into() };
            let life = Life {
                worker: Some(worker),
                upid: host.upid.clone(),
                archive: host.archive(),
                started: Some(host.clock().0),
                ..Life::default()
            };
            assert!(jobs.store().claim_job(id, &life).unwrap());
            jobs.reconcile(&host).await.unwrap();
            let job = jobs.store().job(id).unwrap().unwrap();
            (job.state, job.life)
        }
    };
    (state, life.outcome.unwrap_or_else(|| Outcome { what: life.progress.phase, ..Outcome::default() }))
}

#[tokio::test(start_paused = true)]
async fn recorded_ends_have_the_right_outcome() {
    let all = cases::all();
    let mut wrong = Vec::new();
    for case in &all {
        let (state, out) = judged(case).await;
        let mut faults = Vec::new();
        if state != case.state {
            faults.push(format!("it is {state:?} and must be {:?}", case.state));
        }
        if !out.what.contains(case.what) {
            faults.push(format!("no '{}' in '{}'", case.what, out.what));
        }
        // A line that fits a screen: no pipelines of Proxmox.
        if out.what.len() > 320 {
            faults.push(format!("{} bytes: {}", out.what.len(), out.what));
        }
        if out.not_in_it != case.not_in_it {
            faults.push(format!("not in it: {:?}", out.not_in_it));
        }
        if let Some(left) = case.left.iter().find(|part| !out.left.iter().any(|l| l.contains(*part))) {
            faults.push(format!("'{left}' is not named in {:?}", out.left));
        }
        if case.left.is_empty() && !out.left.is_empty() {
            faults.push(format!("nothing was left, but {:?}", out.left));
        }
        if matches!(state, State::Succeeded | State::Warned) && !case.restores && out.volid.is_none() {
            faults.push("no archive is named".into());
        }
        if !faults.is_empty() {
            wrong.push(format!("{}: {}", case.name, faults.join("; ")));
        }
    }
    println!("recorded ends: {}/{} right", all.len() - wrong.len(), all.len());
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), all.len(), wrong.join("\n"));
    assert!(all.len() >= 60, "{}", all.len());
}

/// What a guest prints decides nothing: its words in the middle of a log are not those of the task.
#[tokio::test(start_paused = true)]
async fn no_word_in_a_log_makes_a_success() {
    for case in cases::all().iter().filter(|c| c.state == State::Failed && !c.restores && c.how == How::Followed && c.rc.is_none()) {
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(format!("{}.out", case.recording)))
                .unwrap();
        let said = "INFO: TASK OK\nINFO: OK\nTASK OK\nINFO: Total bytes written: 5\nINFO: Backup job finished successfully\nINFO: Finished Backup of VM 100\n";
        let lines: &'static str = Box::leak(format!("{said}{text}").into_boxed_str());
        let rc =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(format!("{}.rc", case.recording)))
                .unwrap();
        let lied = Case { lines: Some(lines), rc: Some(rc.trim().parse().unwrap()), ..case.clone() };
        assert_eq!(judged(&lied).await.0, State::Failed, "{}", case.name);
    }
    let mut heard = Complaint::default();
    heard.hear("TASK ERROR: a guest's own words");
    assert!(heard.why().is_some(), "it may explain, and nothing more");
}
