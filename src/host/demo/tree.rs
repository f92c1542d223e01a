//! The files of the simulated node, as one tree made from its state, and how it is looked at.

use std::collections::BTreeMap;

use super::super::{Found, HostError, Look, PathStat};
use super::node::{Body, File, Guest, NAME, Node};
use super::{proc, storage};
use crate::domain::locks::Users;
use crate::domain::stamp::Stamp;
use crate::domain::storage::Space;

/// Directories that are there though nothing is in them.
const EMPTY: [&str; 6] = ["/mnt/pve/nas", "/etc/pve/priv/lock", "/root", "/tmp", "/run/lock/lxc", "/var/lib/vz/template/iso"];
/// Symbolic links: from, to.
const LINKS: [(&str, &str); 4] = [
    ("/etc/pve/local", "/etc/pve/nodes/pve1"),
    ("/etc/pve/lxc", "/etc/pve/nodes/pve1/lxc"),
    ("/etc/pve/qemu-server", "/etc/pve/nodes/pve1/qemu-server"),
    ("/var/run", "/run"),
];
/// Mount points and their device numbers.
const DEVICES: [(&str, u64); 8] =
    [("/", 1), ("/etc/pve", 2), ("/proc", 3), ("/sys", 4), ("/run", 5), ("/var/lib/vz", 6), ("/mnt/tiny", 7), ("/dev", 8)];

/// All files at one moment.
pub(super) struct Tree {
    files: BTreeMap<String, File>,
    now: Stamp,
    spaces: Vec<(&'static str, Space)>,
}

impl Tree {
    pub fn of(node: &Node) -> Self {
        let now = node.now();
        let mut tree = Tree { files: node.disk.clone(), now, spaces: Vec::new() };
        for p in storage::PLACES.iter().filter(|p| p.active() && !p.path.is_empty()) {
            tree.spaces.push((p.path, node.space(p)));
        }
        let mut add = |path: String, text: String| {
            tree.files.insert(path, File { body: Body::Text(text), modified: now });
        };
        add("/usr/bin/ionice".into(), String::new());
        etc(node, now, &mut add);
        proc::system(node, &mut add);
        proc::guests(node, &mut add);
        tasks(node, &mut add);
        super::jobs::noted(node, now, &mut add);
        tree
    }

    /// Answers one look.
    pub fn look(&self, look: &Look) -> Result<Found, HostError> {
        match look {
            Look::File(path, most) => self.read(path, *most, false).map(Found::Bytes),
            Look::Tail(path, most) => self.read(path, *most, true).map(Found::Bytes),
            Look::Glob(pattern, most) => self.glob(pattern, *most),
            Look::Dir(path) => self.names(path).map(Found::Names),
            Look::Stat(path) => self.stat(path).map(Found::Stat),
            Look::Space(path) => self.stat(path).map(|_| Found::Space(self.space(path))),
            // The only ones that work here are vzdump and pct, and they are told by their tasks.
            Look::Users(_) => Ok(Found::Users(Users::default())),
            // Of the guests, not of the files.
            Look::Logs(..) | Look::Processes(_) => Err(missing("guests")),
        }
    }

    /// The whole text of a file, for `cat` and `tail`.
    pub fn text(&self, path: &str) -> Result<String, HostError> {
        self.read(path, 64 << 20, false).map(|b| String::from_utf8_lossy(&b).into_owned())
    }

    fn read(&self, path: &str, most: usize, end: bool) -> Result<Vec<u8>, HostError> {
        let real = real(path);
        let Some(file) = self.files.get(&real) else {
            return Err(if self.is_dir(&real) {
                HostError::Io { what: path.into(), why: "not a regular file".into() }
            } else {
                missing(path)
            });
        };
        let bytes = match &file.body {
            Body::Text(t) => t.as_bytes(),
            // What is in an archive is nobody's business here; only its size is told truly.
            _ => return Ok(vec![0; usize::try_from(file.size(self.now)).unwrap_or(usize::MAX).min(most)]),
        };
        let (from, to) = if end { (bytes.len().saturating_sub(most), bytes.len()) } else { (0, bytes.len().min(most)) };
        Ok(bytes[from..to].to_vec())
    }

    /// Whether there is something of this path.
    pub fn is_there(&self, path: &str) -> bool {
        self.stat(path).is_ok()
    }

    fn is_dir(&self, real: &str) -> bool {
        let below = format!("{}/", real.trim_end_matches('/'));
        self.files.range(below.clone()..).next().is_some_and(|(p, _)| p.starts_with(&below))
            || EMPTY.iter().any(|e| *e == real || e.starts_with(&below))
    }

    fn names(&self, path: &str) -> Result<Vec<String>, HostError> {
        let real = real(path);
        if !self.is_dir(&real) {
            return Err(if self.files.contains_key(&real) { HostError::Missing { what: path.into() } } else { missing(path) });
        }
        let below = format!("{}/", real.trim_end_matches('/'));
        let files = self.files.range(below.clone()..).map(|(p, _)| p.as_str()).take_while(|p| p.starts_with(&below));
        let links = LINKS.iter().map(|(from, _)| *from);
        let all = files.chain(EMPTY).chain(links).filter_map(|p| p.strip_prefix(&below)?.split('/').next());
        let mut names: Vec<String> = all.map(str::to_owned).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn stat(&self, path: &str) -> Result<PathStat, HostError> {
        let real = real(path);
        let under = |at: &str| at == "/" || real == at || real.strip_prefix(at).is_some_and(|r| r.starts_with('/'));
        let dev = DEVICES.iter().filter(|(at, _)| under(at)).max_by_key(|(at, _)| at.len()).map_or(1, |(_, n)| *n);
        let inode = inode(&real);
        match self.files.get(&real) {
            Some(file) => {
                let mode = if dev == 2 { 0o640 } else { 0o644 };
                Ok(PathStat { dir: false, size: file.size(self.now), modified: file.modified.min(self.now), mode, dev, inode })
            }
            None if self.is_dir(&real) || real == "/" => {
                Ok(PathStat { dir: true, size: 4096, modified: self.now, mode: 0o755, dev, inode })
            }
            None => Err(missing(path)),
        }
    }

    /// Space of the file system a path lies on. A storage that is not mounted shows that of its parent, as on a real node.
    fn space(&self, path: &str) -> Space {
        let place = storage::holding(&real(path)).and_then(|p| self.spaces.iter().find(|(at, _)| *at == p.path));
        let (total, used) = storage::ROOT;
        place.map_or(Space { total, used, avail: total - used }, |(_, s)| *s)
    }

    /// The part before the first `*` must be there; deeper parts may be missing.
    fn glob(&self, pattern: &str, most: usize) -> Result<Found, HostError> {
        let star = pattern.find('*').unwrap_or(pattern.len());
        let cut = pattern[..star].rfind('/').unwrap_or(0);
        let base = &pattern[..cut];
        self.stat(if base.is_empty() { "/" } else { base })?;
        let mut paths = vec![base.to_owned()];
        for part in pattern[cut..].split('/').skip(1) {
            paths = match part.split_once('*') {
                None => paths.iter().map(|dir| format!("{dir}/{part}")).collect(),
                Some((head, tail)) => {
                    let fits = |n: &String| n.len() >= head.len() + tail.len() && n.starts_with(head) && n.ends_with(tail);
                    let inside = |dir: &String| {
                        self.names(dir).unwrap_or_default().into_iter().filter(fits).map(|n| format!("{dir}/{n}")).collect::<Vec<_>>()
                    };
                    paths.iter().flat_map(inside).collect()
                }
            };
        }
        paths.sort();
        let files = paths.into_iter().filter(|p| self.files.contains_key(&real(p)));
        Ok(Found::Files(files.map(|p| (p.clone(), self.read(&p, most, false))).collect()))
    }
}

fn missing(path: &str) -> HostError {
    HostError::Missing { what: path.into() }
}

/// A path without links and doubled slashes.
fn real(path: &str) -> String {
    let mut path = format!("/{}", path.split('/').filter(|p| !p.is_empty() && *p != ".").collect::<Vec<_>>().join("/"));
    for (from, to) in LINKS {
        if let Some(rest) = path.strip_prefix(from).filter(|r| r.is_empty() || r.starts_with('/')) {
            path = format!("{to}{rest}");
        }
    }
    path
}

/// What its daemon told last, within ten seconds.
fn told(node: &Node, now: Stamp) -> String {
    let secs = now.secs().div_euclid(10) * 10;
    let line = |(id, g): (&u32, &Guest)| {
        let (state, up) = g.init.map_or(("stopped", 0), |init| ("running", secs.saturating_sub(init.since.secs()).max(0)));
        let (cpu, mem, net) = if up > 0 { ("0.012", g.mem.to_string(), "48120411:9120334") } else { ("U", "U".into(), "U:U") };
        format!("pve-vm-9.0/{id}:{up}:{}:{state}:0:{secs}:2:{cpu}:{}:{mem}:{}:{}:{net}:0:0\n", g.name(*id), g.memory(), g.disk(), g.used)
    };
    node.guests.iter().map(line).collect()
}

fn etc(node: &Node, now: Stamp, add: &mut impl FnMut(String, String)) {
    add(crate::domain::interfaces::PATH.into(), super::appliance::INTERFACES.into());
    add("/etc/hostname".into(), format!("{NAME}\n"));
    add("/etc/pve/storage.cfg".into(), storage::cfg());
    add("/etc/pve/.members".into(), format!("{{\n\"nodename\": \"{NAME}\",\n\"version\": 0\n}}\n"));
    let ids: Vec<String> = node
        .guests
        .iter()
        .map(|(id, g)| {
            format!("\"{id}\": {{ \"node\": \"{NAME}\", \"type\": \"{}\", \"version\": {id} }}", if g.qemu { "qemu" } else { "lxc" })
        })
        .collect();
    add("/etc/pve/.vmlist".into(), format!("{{\n\"version\": 221,\n\"ids\": {{\n{}}}\n\n}}\n", ids.join(",\n")));
    add(crate::domain::appliance::instance::RRD.into(), told(node, now));
    add("/etc/pve/datacenter.cfg".into(), "keyboard: en-us\n".into());
    add("/etc/vzdump.conf".into(), "# vzdump default settings\n".into());
    for (id, guest) in &node.guests {
        let kind = if guest.qemu { "qemu-server" } else { "lxc" };
        add(format!("/etc/pve/nodes/{NAME}/{kind}/{id}.conf"), guest.text());
    }
    add("/usr/share/perl5/PVE/pvecfg.pm".into(), PVECFG.into());
}

/// The file Proxmox's own tools read the version from.
const PVECFG: &str = "package PVE::pvecfg;\n\nuse strict;\nuse warnings;\n\nsub package {\n    return 'pve-manager';\n}\n\nsub version {\n    return '9.1.8';\n}\n\nsub release {\n    return '9.1';\n}\n\nsub repoid {\n    return 'a8e257e1ab2c0d3e';\n}\n\nsub version_info {\n    return {\n        'release' => '9.1',\n        'repoid' => 'a8e257e1ab2c0d3e',\n        'version' => '9.1.8'\n    };\n}\n\n1;\n";

/// `active` holds what runs and the last 25 that ended; `index` all that ended.
/// Where the lock file of vzdump lies, `/var/run` being a link.
const VZDUMP_LOCK: &str = "/run/vzdump.lock";

/// The inode of a path: the same for as long as the path is, for nothing here has two names.
fn inode(real: &str) -> u64 {
    real.bytes().fold(7, |n: u64, b| (n * 31 + u64::from(b)) % 10_000_019)
}

fn tasks(node: &Node, add: &mut impl FnMut(String, String)) {
    let (mut active, mut index, mut locks) = (String::new(), String::new(), String::new());
    let mut ended = 0;
    for task in node.tasks.iter().rev() {
        match &task.ended {
            None => active += &format!("{} 0\n", task.upid),
            Some((at, status)) => {
                ended += 1;
                if ended <= 25 {
                    active += &format!("{} 1 {:08X} {status}\n", task.upid, at.secs());
                }
                index.insert_str(0, &format!("{} {:08X} {status}\n", task.upid, at.secs()));
            }
        }
        if task.ended.is_none() {
            let (pid, start) = (task.pid, node.ticks(task.started));
            add(
                format!("/proc/{pid}/stat"),
                format!("{pid} (task {}) S 1 {pid} {pid} 0 -1 4194560 9 0 4 0 1 3 0 0 20 0 1 0 {start} 9000 32 0\n", task.kind),
            );
            add(format!("/proc/{pid}/cmdline"), task.upid.replace(':', "\0"));
        }
        if task.holds && task.ended.is_none() {
            locks += &format!("1: FLOCK  ADVISORY  WRITE {} 00:05:{} 0 EOF\n", task.pid, inode(VZDUMP_LOCK));
        }
        let text: String = task.log.iter().map(|l| format!("{l}\n")).collect();
        add(format!("/var/log/pve/tasks/{:X}/{}", task.started.secs() & 0xF, task.upid), text);
    }
    // vzdump made it with the first backup.
    add(VZDUMP_LOCK.into(), String::new());
    add("/proc/locks".into(), locks);
    add("/var/log/pve/tasks/active".into(), active);
    add("/var/log/pve/tasks/index".into(), index);
}
