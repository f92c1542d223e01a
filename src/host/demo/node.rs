//! The state of the simulated node and how it moves: tasks are timelines of events that happen when somebody looks.
//!
//! No background work: [`Node::settle`] lets everything happen that was due by now. What a task prints and
//! when it ends is therefore the same whether it is watched, watched twice, or not watched at all.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tokio::time::{Duration, Instant};

use super::appliance::Edge;
use super::vzdump;
use crate::domain::stamp::Stamp;

/// Name of the node.
pub(super) const NAME: &str = "pve1";
/// Names this boot.
pub(super) const BOOT_ID: &str = "de300000-9e1f-4c07-8a52-0000000de300";
/// Seconds between the boot and the beginning of the simulation: 12 days and 3 hours.
const BOOTED_S: i64 = 12 * 86_400 + 3 * 3600;
/// Above the highest process id a Linux kernel gives (4,194,304), so that none of ours is ever a real one.
const FIRST_PID: u32 = 5_000_000;

/// Keys and values of a guest's configuration, in the order in which Proxmox writes them.
pub(super) type Conf = BTreeMap<String, String>;

/// One guest.
pub(super) struct Guest {
    pub qemu: bool,
    pub conf: Conf,
    /// Snapshot sections.
    pub tail: String,
    /// Its init while it runs.
    pub init: Option<Init>,
    /// Memory in use while it runs, in the middle.
    pub mem: u64,
    /// Bytes in use on its root disk.
    pub used: u64,
}

/// The first process of a running guest.
#[derive(Clone, Copy)]
pub(super) struct Init {
    pub pid: u32,
    pub since: Stamp,
}

impl Guest {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.conf.get(key).map(String::as_str)
    }

    pub fn name(&self, id: u32) -> String {
        let key = if self.qemu { "name" } else { "hostname" };
        self.get(key).map_or_else(|| format!("{}{id}", if self.qemu { "VM" } else { "CT" }), str::to_owned)
    }

    /// The file in /etc/pve: its notes stand first, line by line.
    pub fn text(&self) -> String {
        let notes: String = self.get("description").map_or("", |d| d).lines().map(|l| format!("#{}\n", l.replace('%', "%25"))).collect();
        let rest = self.conf.iter().filter(|(k, _)| *k != "description").map(|(k, v)| format!("{k}: {v}\n"));
        notes + &rest.collect::<String>() + &self.tail
    }

    /// What it listens on, by the first part of its name: a copy serves what its original does.
    pub fn ports(&self, id: u32) -> &'static [u16] {
        let name = self.name(id);
        match name.split(['-', '.']).next().unwrap_or_default() {
            "web" | "wiki" | "nextcloud" => &[80],
            "gitea" => &[22, 3000],
            "db" => &[5432],
            _ => &[],
        }
    }

    pub fn memory(&self) -> u64 {
        self.get("memory").and_then(|m| m.parse::<u64>().ok()).unwrap_or(512) << 20
    }

    /// Configured size of its root disk in bytes.
    pub fn disk(&self) -> u64 {
        let line = self.get("rootfs").or_else(|| self.get("scsi0")).unwrap_or("");
        part(line, "size").and_then(crate::domain::conf::size).unwrap_or(4 << 30)
    }
}

/// A configuration as `pct config` and the file show it.
pub(super) fn text_of(conf: &Conf) -> String {
    conf.iter().map(|(k, v)| format!("{k}: {v}\n")).collect()
}

/// The value of `key=` in `a,b=c,d=e`.
pub(super) fn part<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split(',').find_map(|w| w.strip_prefix(key)?.strip_prefix('='))
}

/// What a file on a simulated disk holds.
#[derive(Clone)]
pub(super) enum Body {
    Text(String),
    /// Only its size matters.
    Sparse(u64),
    /// Grows evenly.
    Growing {
        from: Stamp,
        until: Stamp,
        full: u64,
    },
}

/// A file on a simulated disk.
#[derive(Clone)]
pub(super) struct File {
    pub body: Body,
    pub modified: Stamp,
}

impl File {
    pub fn size(&self, now: Stamp) -> u64 {
        match &self.body {
            Body::Text(t) => t.len() as u64,
            Body::Sparse(n) => *n,
            Body::Growing { from, until, full } => {
                let (done, all) = ((now.0 - from.0).max(0) as u128, (until.0 - from.0).max(1) as u128);
                u64::try_from(u128::from(*full) * done.min(all) / all).unwrap_or(*full)
            }
        }
    }
}

/// What happens in the course of a task.
#[derive(Clone)]
pub(super) enum Event {
    Say(String),
    /// A line that ends with the time at which it is said.
    SayTime(&'static str),
    /// Sets or removes a guest's lock.
    Lock(u32, Option<&'static str>),
    Power(u32, bool),
    /// Gives a guest a configuration.
    Conf(u32, Box<Conf>, u64),
    Gone(u32),
    Write(String, File),
    Remove(String),
    /// The partial file becomes the archive, which holds this configuration.
    Archive {
        dat: String,
        path: String,
        size: u64,
        conf: Box<Conf>,
    },
    /// The log beside an archive: all lines of the task about the guest.
    Sidecar(String),
    /// From now on this happens instead of the rest when the task gets a TERM.
    OnTerm(Vec<Event>),
    /// A backup begins as soon as no other one runs.
    Vzdump(vzdump::Wish),
    /// The task ends, with the text it dies with if it fails.
    End(Result<(), String>),
}

/// A Proxmox task.
pub(super) struct Task {
    pub upid: String,
    pub pid: u32,
    pub started: Stamp,
    pub kind: String,
    pub id: String,
    pub log: Vec<String>,
    /// When it ended and with which status; the text it died with is its status.
    pub ended: Option<(Stamp, String)>,
    due: VecDeque<(Stamp, Event)>,
    on_term: Vec<Event>,
    /// It holds the one lock that all backups of a node share.
    pub holds: bool,
}

/// Everything that is.
pub(super) struct Node {
    pub seed: Stamp,
    pub offset_s: i32,
    pub speed: f64,
    pub began: Instant,
    pub guests: BTreeMap<u32, Guest>,
    pub disk: BTreeMap<String, File>,
    /// What was pulled out of archives: `101:/srv/x`.
    pub placed: BTreeSet<String>,
    /// Configurations inside archives, by the archive's path.
    pub inside: BTreeMap<String, Conf>,
    /// Oldest first.
    pub tasks: Vec<Task>,
    /// Processes of commands that run now, and when they started.
    pub processes: BTreeMap<u32, Stamp>,
    /// What somebody changed in the appliance.
    pub edge: RefCell<Edge>,
    /// What the command that is begun now reads.
    pub stdin: Vec<u8>,
    last_pid: u32,
}

impl Node {
    pub fn new(seed: Stamp, offset_s: i32) -> Self {
        let mut node = Node {
            seed,
            offset_s,
            speed: 1.0,
            began: Instant::now(),
            edge: RefCell::default(),
            stdin: Vec::new(),
            guests: BTreeMap::new(),
            disk: BTreeMap::new(),
            placed: BTreeSet::new(),
            inside: BTreeMap::new(),
            tasks: Vec::new(),
            processes: BTreeMap::new(),
            last_pid: FIRST_PID,
        };
        super::seed::fill(&mut node);
        node
    }

    /// The node's time.
    pub fn now(&self) -> Stamp {
        Stamp(self.seed.0 + (self.began.elapsed().as_secs_f64() * self.speed * 1000.0) as i64)
    }

    /// How long to wait until the node's clock shows this time.
    pub fn until(&self, at: Stamp) -> Duration {
        let ms = (at.0 - self.now().0).max(0) as f64 / self.speed;
        Duration::from_millis(ms.ceil() as u64 + 1)
    }

    pub fn uptime_s(&self, at: Stamp) -> f64 {
        (at.0 - self.seed.0) as f64 / 1000.0 + BOOTED_S as f64
    }

    /// Clock ticks between boot and a time.
    pub fn ticks(&self, at: Stamp) -> u64 {
        (self.uptime_s(at) * 100.0).max(0.0) as u64
    }

    pub fn pid(&mut self) -> u32 {
        self.last_pid += 7;
        self.last_pid
    }

    /// `2026-11-20 17:36:32` in the node's zone.
    pub fn written(&self, at: Stamp) -> String {
        let (y, mo, d, h, mi, s) = at.civil(self.offset_s);
        format!("{y:04}-{mo:02}-{d:02} {h:02}:{mi:02}:{s:02}")
    }

    /// Whether a process of the simulation lives and started then.
    pub fn lives(&self, pid: u32, start: u64) -> bool {
        let guests = self.guests.values().filter_map(|g| g.init).map(|i| (i.pid, i.since));
        let tasks = self.tasks.iter().filter(|t| t.ended.is_none()).map(|t| (t.pid, t.started));
        let commands = self.processes.iter().map(|(p, at)| (*p, *at));
        guests.chain(tasks).chain(commands).any(|(p, at)| p == pid && self.ticks(at) == start)
    }

    /// Begins a task whose events happen so many seconds from now, and gives its UPID.
    pub fn begin(&mut self, kind: &str, id: &str, events: Vec<(f64, Event)>) -> String {
        let (now, pid) = (self.now(), self.pid());
        let upid = self.upid(kind, id, now, pid);
        let due = events.into_iter().map(|(s, e)| (after(now, s), e)).collect();
        let (kind, id) = (kind.to_owned(), id.to_owned());
        let on_term = vec![Event::End(Err("interrupted by signal".into()))];
        self.tasks.push(Task { upid: upid.clone(), pid, started: now, kind, id, log: Vec::new(), ended: None, due, on_term, holds: false });
        self.settle();
        upid
    }

    /// A task that ended before the simulation began.
    pub fn past(&mut self, kind: &str, id: &str, from: Stamp, to: Stamp, status: &str, log: Vec<String>) {
        let pid = self.pid();
        let upid = self.upid(kind, id, from, pid);
        let ended = Some((to, status.to_owned()));
        self.tasks.push(Task {
            upid,
            pid,
            started: from,
            kind: kind.into(),
            id: id.into(),
            log,
            ended,
            due: VecDeque::new(),
            on_term: Vec::new(),
            holds: false,
        });
    }

    fn upid(&self, kind: &str, id: &str, at: Stamp, pid: u32) -> String {
        format!("UPID:{NAME}:{pid:08X}:{:08X}:{:08X}:{kind}:{id}:root@pam:", self.ticks(at), at.secs())
    }

    pub fn task(&self, upid: &str) -> Option<&Task> {
        self.tasks.iter().find(|t| t.upid == upid)
    }

    /// Lets everything happen that is due.
    pub fn settle(&mut self) {
        let now = self.now();
        for at in 0..self.tasks.len() {
            while let Some((when, event)) = self.tasks[at].due.front().cloned() {
                if when > now {
                    break;
                }
                if let Event::Vzdump(wish) = &event {
                    if !self.take_lock(at) {
                        break;
                    }
                    self.tasks[at].due.pop_front();
                    let rest = vzdump::timeline(self, wish, now);
                    self.tasks[at].due = rest.into_iter().map(|(s, e)| (after(now, s), e)).collect();
                    continue;
                }
                self.tasks[at].due.pop_front();
                self.happen(at, event, when);
            }
        }
    }

    fn take_lock(&mut self, at: usize) -> bool {
        const WAITING: &str = "INFO: trying to get global lock - waiting...";
        let held = self.tasks.iter().enumerate().any(|(n, t)| n != at && t.holds && t.ended.is_none());
        let task = &mut self.tasks[at];
        let waits = task.log.last().is_some_and(|l| l == WAITING);
        match (held, waits) {
            (true, false) => task.log.push(WAITING.into()),
            (false, true) => task.log.push("INFO: got global lock".into()),
            _ => {}
        }
        task.holds = !held;
        !held
    }

    /// When something of this task is due next.
    pub fn next_due(&self, upid: &str) -> Option<Stamp> {
        let (when, event) = self.task(upid)?.due.front()?;
        // One that waits for another is asked again a little later.
        Some(if matches!(event, Event::Vzdump(_)) { after(self.now(), 0.3) } else { *when })
    }

    /// What a TERM does to a task.
    pub fn terminate(&mut self, upid: &str) {
        self.settle();
        let now = self.now();
        let Some(at) = self.tasks.iter().position(|t| t.upid == upid && t.ended.is_none()) else { return };
        self.tasks[at].due.clear();
        for event in std::mem::take(&mut self.tasks[at].on_term) {
            self.happen(at, event, now);
        }
    }

    fn happen(&mut self, at: usize, event: Event, when: Stamp) {
        match event {
            Event::Say(line) => self.tasks[at].log.push(line),
            Event::SayTime(head) => {
                let line = format!("{head}{}", self.written(when));
                self.tasks[at].log.push(line);
            }
            Event::Lock(id, lock) => self.lock(id, lock),
            Event::Power(id, on) => self.power(id, on, when),
            Event::Conf(id, conf, used) => {
                let mem = 90 << 20;
                self.guests.insert(id, Guest { qemu: false, conf: *conf, tail: String::new(), init: None, mem, used });
            }
            Event::Gone(id) => {
                self.guests.remove(&id);
            }
            Event::Write(path, file) => {
                self.disk.insert(path, file);
            }
            Event::Remove(path) => {
                self.disk.remove(&path);
            }
            Event::Archive { dat, path, size, conf } => {
                self.disk.remove(&dat);
                self.disk.insert(path.clone(), File { body: Body::Sparse(size), modified: when });
                self.inside.insert(path, *conf);
            }
            Event::Sidecar(path) => {
                let at_time = self.written(when);
                let about = |l: &&String| !["starting new", "Backup started", "Backup finished", "Failed at"].iter().any(|w| l.contains(w));
                let text: String = self.tasks[at].log.iter().filter(about).map(|l| format!("{at_time} {l}\n")).collect();
                self.disk.insert(path, File { body: Body::Text(text), modified: when });
            }
            Event::OnTerm(events) => self.tasks[at].on_term = events,
            Event::Vzdump(_) => {}
            Event::End(end) => {
                let task = &mut self.tasks[at];
                let (line, status) = match end {
                    Ok(()) => ("TASK OK".to_owned(), "OK".to_owned()),
                    Err(text) => (format!("TASK ERROR: {text}"), text),
                };
                task.log.push(line);
                task.ended = Some((when, status));
            }
        }
    }

    pub fn lock(&mut self, id: u32, lock: Option<&str>) {
        if let Some(guest) = self.guests.get_mut(&id) {
            match lock {
                Some(lock) => guest.conf.insert("lock".into(), lock.into()),
                None => guest.conf.remove("lock"),
            };
        }
    }

    pub fn power(&mut self, id: u32, on: bool, since: Stamp) {
        let pid = self.pid();
        if let Some(guest) = self.guests.get_mut(&id) {
            guest.init = on.then_some(Init { pid, since });
        }
    }
}

/// So many seconds later.
pub(super) fn after(at: Stamp, seconds: f64) -> Stamp {
    Stamp(at.0 + (seconds * 1000.0) as i64)
}
