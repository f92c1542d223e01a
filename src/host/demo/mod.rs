//! The demo host: a small simulated Proxmox node inside the program, for trying everything without a node.
//!
//! It answers the commands and looks of a real node with the texts that were recorded on one. It never looks at
//! the machine it runs on: no file is read, no process started or signalled; `tests/demo.rs` holds it to that.

mod appliance;
mod commands;
mod inside;
mod io;
mod jobs;
mod logs;
mod node;
mod pct;
mod proc;
mod pvesh;
mod pvesm;
mod restore;
mod seed;
mod storage;
mod tree;
mod vzdump;
mod words;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::commands::Answer;
use self::io::Io;
use self::logs::Source;
use self::node::Node;
use self::tree::Tree;
use super::{Asked, Cmd, Found, Host, HostError, Look, Output, Pace, Progress, Said};
use crate::domain::inside::listing::Listing;
use crate::domain::job::Process;
use crate::domain::ports::{Answer as Heard, Knock, Knocked};
use crate::domain::stamp::Stamp;

/// A simulated node. Clones are handles of the same one.
#[derive(Clone)]
pub struct DemoHost {
    node: Arc<Mutex<Node>>,
}

/// Id of its appliance.
const APPLIANCE: u32 = 9999;

impl DemoHost {
    /// A node whose clock shows `seed_time` now and runs on from there, in a zone `offset_s` seconds east of UTC.
    pub fn new(seed_time: Stamp, offset_s: i32) -> Self {
        DemoHost { node: Arc::new(Mutex::new(Node::new(seed_time, offset_s))) }
    }

    /// A node whose clock shows the time of this machine.
    pub fn at_wall_clock(offset_s: i32) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        DemoHost::new(Stamp(now), offset_s)
    }

    /// The same node with a clock that runs `factor` times as fast, and with it everything that takes time.
    pub fn with_speed(self, factor: f64) -> Self {
        {
            let mut node = self.lock();
            node.seed = node.now();
            node.began = tokio::time::Instant::now();
            node.speed = factor.clamp(0.01, 10_000.0);
        }
        self
    }

    /// The node's state with everything done that is due.
    fn lock(&self) -> MutexGuard<'_, Node> {
        let mut node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
        node.settle();
        node
    }

    /// Carries a command out and tells what it says; the status is given back.
    async fn act(&self, cmd: &Cmd, io: &mut Io) -> Result<i32, HostError> {
        let answer = commands::begin(&mut self.lock(), cmd)?;
        Ok(match answer {
            Answer::Now(reply) => {
                io.out(reply.out.lines()).await;
                io.err(reply.err.lines()).await;
                reply.status
            }
            Answer::Task(upid) => self.watch(&upid, io).await,
            Answer::Log(source, lines, on) => self.follow(source, lines, on, io).await,
            Answer::File(path, lines) => self.follow_file(&path, lines, io).await,
        })
    }

    /// Shows a task's lines until it ends. A TERM, or a reader that is gone, ends the task in good order.
    async fn watch(&self, upid: &str, io: &mut Io) -> i32 {
        let mut shown = 0;
        let mut told = false;
        loop {
            let (lines, ended, wait) = {
                let node = self.lock();
                let Some(task) = node.task(upid) else { return 255 };
                let wait = node.next_due(upid).map_or(Duration::from_millis(50), |at| node.until(at));
                (task.log[shown..].to_vec(), task.ended.as_ref().map(|(_, status)| status.clone()), wait)
            };
            shown += lines.len();
            // The last line of a task's log is not printed by the command that began it.
            let print = lines.len() - usize::from(ended.is_some() && !lines.is_empty());
            let heard = io.out(lines[..print].iter().map(String::as_str)).await;
            if let Some(status) = ended {
                if status == "OK" {
                    return 0;
                }
                io.err([status.as_str()]).await;
                return 255;
            }
            if (io.stop.is_cancelled() || !heard) && !told {
                told = true;
                self.lock().terminate(upid);
                continue;
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = io.stop.cancelled(), if !told => {}
            }
        }
    }

    /// Shows a log from so many lines before its end; where it goes `on`, until it is told to stop or the log breaks.
    async fn follow(&self, source: Source, lines: usize, on: bool, io: &mut Io) -> i32 {
        let path = crate::domain::appliance::CADDY_LOG;
        let (first, mut seen, there) = {
            let node = self.lock();
            let now = node.now();
            (logs::last(&node, source, lines, now), now, logs::there(&node, source, now))
        };
        if !there {
            io.err([format!("tail: cannot open '{path}' for reading: No such file or directory").as_str()]).await;
            if on {
                io.err(["tail: no files remaining"]).await;
            }
            return 1;
        }
        let mut heard = io.out(first.iter().map(String::as_str)).await;
        if !on {
            return 0;
        }
        while heard {
            let wait = self.lock().until(logs::next(source, seen));
            tokio::select! {
                () = sleep(wait) => {}
                () = io.stop.cancelled() => return 143,
            }
            let (news, now, there) = {
                let node = self.lock();
                let now = node.now();
                (logs::between(&node, source, seen, now), now, logs::there(&node, source, now))
            };
            seen = now;
            heard = io.out(news.iter().map(String::as_str)).await;
            if !there {
                io.err([format!("tail: '{path}' has become inaccessible: No such file or directory").as_str(), "tail: no files remaining"])
                    .await;
                return 1;
            }
        }
        141
    }

    /// Shows a file of the node from so many lines before its end, and what is added to it.
    async fn follow_file(&self, path: &str, lines: usize, io: &mut Io) -> i32 {
        let mut seen: Option<usize> = None;
        let mut complained = false;
        loop {
            let text = Tree::of(&self.lock()).text(path);
            let heard = match text {
                Ok(text) => {
                    let from = seen.map_or_else(
                        || text.len() - commands::last(&text, lines).len().min(text.len()),
                        |at| if at > text.len() { 0 } else { at },
                    );
                    seen = Some(text.len());
                    io.out(text.get(from..).unwrap_or("").lines()).await
                }
                Err(_) if complained => true,
                Err(_) => {
                    complained = true;
                    io.err([format!("tail: cannot open '{path}' for reading: No such file or directory").as_str()]).await
                }
            };
            if !heard {
                return 141;
            }
            tokio::select! {
                () = sleep(Duration::from_millis(500)) => {}
                () = io.stop.cancelled() => return 143,
            }
        }
    }
}

/// The entry of a running command in the node's table of processes, for as long as it runs.
struct Entry<'a> {
    host: &'a DemoHost,
    pid: u32,
}

impl<'a> Entry<'a> {
    fn new(host: &'a DemoHost) -> (Self, Process) {
        let mut node = host.lock();
        let (pid, now) = (node.pid(), node.now());
        node.processes.insert(pid, now);
        let process = Process { pid, start: node.ticks(now), boot_id: node::BOOT_ID.into() };
        drop(node);
        (Entry { host, pid }, process)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.host.lock().processes.remove(&self.pid);
    }
}

fn gone(what: &str) -> HostError {
    HostError::Io { what: what.into(), why: "the guest does not run".into() }
}

impl Host for DemoHost {
    fn name(&self) -> &str {
        "demo"
    }

    fn is_demo(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, cmd: Cmd) -> Asked<'a, Result<Output, HostError>> {
        Box::pin(async move {
            let stop = CancellationToken::new();
            let mut io = Io::kept(stop.clone());
            let Some(limit) = cmd.limit_s.map(|s| Duration::from_secs(s.into())) else {
                let status = self.act(&cmd, &mut io).await?;
                return Ok(io.output(&cmd, status));
            };
            let ended = {
                let mut acting = Box::pin(self.act(&cmd, &mut io));
                tokio::select! {
                    status = &mut acting => Some(status?),
                    () = sleep(limit) => {
                        stop.cancel();
                        let _ = acting.await;
                        None
                    }
                }
            };
            match ended {
                Some(status) => Ok(io.output(&cmd, status)),
                None => Err(HostError::TimedOut { what: cmd.shown(), limit }),
            }
        })
    }

    /// Only apps are played, asked from within.
    fn knock<'a>(&'a self, pid: Option<u32>, at: Vec<Knock>) -> Asked<'a, Result<Knocked, HostError>> {
        let node = self.lock();
        let of = |g: &&node::Guest| g.init.is_some_and(|i| Some(i.pid) == pid);
        let ports = node.guests.iter().find(|(id, g)| **id != APPLIANCE && of(g)).map(|(id, g)| g.ports(*id));
        drop(node);
        Box::pin(async move {
            let why = || HostError::Io { what: "ports".into(), why: "the demo does not play them".into() };
            let ports = ports.ok_or_else(why)?;
            let answer = |k: Knock| {
                let port = k.place.port();
                let well = Heard::Status { code: 200, ms: 3, size: None };
                (port, if ports.contains(&port) { well } else { Heard::Silent("refused".into()) })
            };
            Ok(Knocked { answers: at.into_iter().map(answer).collect(), ..Knocked::default() })
        })
    }

    fn stream<'a>(&'a self, cmd: Cmd, pace: Pace, said: mpsc::Sender<Said>, stop: CancellationToken) -> Asked<'a, Result<(), HostError>> {
        Box::pin(async move {
            // A program that is not there never becomes a process.
            if !commands::known(&cmd) {
                return Err(HostError::Missing { what: cmd.program });
            }
            let (_entry, process) = Entry::new(self);
            let _ = said.send(Said::Started(process)).await;
            let ran_out = CancellationToken::new();
            let mut io = Io::told(pace, said.clone(), stop.child_token());
            let own = io.stop.clone();
            let limit = cmd.limit_s.map(|s| Duration::from_secs(s.into()));
            let status = {
                let mut acting = Box::pin(self.act(&cmd, &mut io));
                tokio::select! {
                    status = &mut acting => status?,
                    () = io::after(limit) => {
                        ran_out.cancel();
                        own.cancel();
                        acting.await?
                    }
                }
            };
            if ran_out.is_cancelled() {
                return Err(HostError::TimedOut { what: cmd.shown(), limit: limit.unwrap_or_default() });
            }
            let _ = said.send(Said::Ended(status)).await;
            Ok(())
        })
    }

    fn look<'a>(&'a self, at: Vec<Look>) -> Asked<'a, Vec<Result<Found, HostError>>> {
        Box::pin(async move {
            let node = self.lock();
            let tree = Tree::of(&node);
            let one = |look: &Look| match look {
                Look::Logs(guest, _) => logs::files(&node, guest.map(u32::from)).map(Found::Logs).ok_or_else(|| gone("logs")),
                Look::Processes(id) if u32::from(*id) == APPLIANCE => {
                    Ok(Found::Names(["caddy", "crond", "dnsmasq", "init"].map(str::to_owned).into()))
                }
                Look::Processes(_) => Err(gone("processes")),
                look => tree.look(look),
            };
            at.iter().map(one).collect()
        })
    }

    /// It takes a moment, so that it is seen how far it is.
    fn list_archive<'a>(&'a self, path: String, progress: Arc<Progress>) -> Asked<'a, Result<Listing, HostError>> {
        const LOOKS: u64 = 4;
        Box::pin(async move {
            let listing = inside::listing(&self.lock(), &path)?;
            let size = self.lock().disk.get(&path).map_or(0, |f| f.size(Stamp(i64::MAX)));
            for nth in 0..LOOKS {
                inside::far(&progress, size, (nth, LOOKS));
                sleep(Duration::from_millis(120)).await;
                if progress.stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return Err(HostError::Cancelled { what: path });
                }
            }
            Ok(listing)
        })
    }

    fn attach<'a>(&'a self, cmd: Cmd) -> Asked<'a, Result<i32, HostError>> {
        let why = "the demo has no terminal inside its guests".to_owned();
        Box::pin(async move { Err(HostError::Io { what: cmd.shown(), why }) })
    }

    fn clock(&self) -> (Stamp, i32) {
        let node = self.lock();
        (node.now(), node.offset_s)
    }

    fn local_time(&self, civil: [u32; 6]) -> Option<Stamp> {
        let [y, mo, d, h, mi, s] = civil;
        let utc = Stamp::from_civil(y.into(), mo, d, h, mi, s)?;
        Some(Stamp(utc.0 - i64::from(self.lock().offset_s) * 1000))
    }

    fn alive<'a>(&'a self, process: &'a Process) -> Asked<'a, Result<bool, HostError>> {
        Box::pin(async move { Ok(process.boot_id == node::BOOT_ID && self.lock().lives(process.pid, process.start)) })
    }
}
