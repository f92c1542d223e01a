//! A node with any number of guests that lives in memory and answers looks as a real one does.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use proximity::domain::job::Process;
use proximity::domain::stamp::Stamp;
use proximity::domain::storage::Space;
use proximity::host::{Asked, Cmd, Found, Host, HostError, Look, Output, Pace, PathStat, Said};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub struct MemoryHost {
    files: BTreeMap<String, Vec<u8>>,
    /// What was found once; later looks cost a copy, as a read from the page cache does.
    found: Mutex<HashMap<Look, Result<Found, HostError>>>,
}

/// The configuration of a container as pct writes it.
pub fn conf(id: u32) -> String {
    format!(
        "arch: amd64\ncores: 2\ndescription: app {id}%0A\nfeatures: nesting=1\nhostname: app-{id}.prox.local\nmemory: 1024\nmp0: local-lvm:vm-{id}-disk-1,mp=/srv/data,backup=1,size=32G\n\
         net0: name=eth0,bridge=vmbr1,gw=10.20.0.1,hwaddr=BC:24:11:{:02X}:{:02X}:{:02X},ip=10.20.{}.{}/16,type=veth\nonboot: 1\nostype: debian\n\
         rootfs: local-lvm:vm-{id}-disk-0,size=8G\nstartup: order=2,up=5\nswap: 512\ntags: app;web\nunprivileged: 1\n",
        id >> 16 & 255,
        id >> 8 & 255,
        id & 255,
        id >> 8 & 255,
        id & 255
    )
}

impl MemoryHost {
    /// Three of four guests run; each has one archive with a note.
    pub fn with(guests: u32) -> MemoryHost {
        let mut files = BTreeMap::new();
        let mut add = |path: String, text: String| {
            files.insert(path, text.into_bytes());
        };
        let mut unix = "Num       RefCount Protocol Flags    Type St Inode Path\n".to_owned();
        for n in 0..300 {
            unix += &format!("ffff9a5c00000000: 00000002 00000000 00010000 0001 01 {} /run/systemd/journal/stdout\n", 20_000 + n);
        }
        for id in 100..100 + guests {
            add(format!("/etc/pve/nodes/pve1/lxc/{id}.conf"), conf(id));
            if id % 4 != 0 {
                unix += &format!("ffff9a5c00000000: 00000002 00000000 00010000 0001 01 {} @/var/lib/lxc/{id}/command\n", 90_000 + id);
                add(format!("/sys/fs/cgroup/lxc/{id}/memory.current"), format!("{}\n", 90_000_000 + id));
                add(
                    format!("/sys/fs/cgroup/lxc/{id}/cpu.stat"),
                    format!("usage_usec {}\nuser_usec 1\nsystem_usec 1\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n", 5_000_000 + id),
                );
            }
            let archive = format!("/var/lib/vz/dump/vzdump-lxc-{id}-2026_11_{:02}-02_00_00.tar.zst", 1 + id % 28);
            add(format!("{archive}.notes"), format!("app-{id}.prox.local"));
            add(archive, "archive".into());
        }
        let tasks: String = (0..25)
            .map(|n| format!("UPID:pve1:000{:05X}:00ABCDEF:69205{:03X}:vzdump:{}:root@pam: 1 692060{n:02X} OK\n", 4096 + n, n, 100 + n))
            .collect();
        for (path, text) in [
            (
                "/etc/pve/storage.cfg",
                "dir: local\n\tpath /var/lib/vz\n\tcontent iso,vztmpl,backup\n\nbtrfs: local-lvm\n\tpath /var/lib/pool\n\tcontent rootdir,images\n",
            ),
            ("/etc/pve/.members", "{\n\"nodename\": \"pve1\",\n\"version\": 0\n}\n"),
            ("/etc/pve/local", ""),
            ("/proc/net/unix", &unix),
            ("/proc/loadavg", "0.31 0.28 0.22 1/812 40213\n"),
            (
                "/proc/meminfo",
                "MemTotal:       65766228 kB\nMemFree:        20215888 kB\nMemAvailable:   41215888 kB\nSwapTotal:       8388604 kB\nSwapFree:        8388604 kB\n",
            ),
            ("/proc/stat", "cpu  100 0 100 1000 0 0 0 0 0 0\ncpu0 50 0 50 500 0 0 0 0 0 0\ncpu1 50 0 50 500 0 0 0 0 0 0\n"),
            ("/proc/uptime", "1048576.00 2000000.00\n"),
            ("/proc/sys/kernel/random/boot_id", "0b5e2a3c-0000-4000-8000-000000000001\n"),
            ("/proc/sys/kernel/hostname", "pve1\n"),
            ("/sys/class/net/vmbr0/bridge/bridge_id", "8000.bc2411000001\n"),
            ("/sys/class/net/vmbr0/operstate", "up\n"),
            ("/sys/class/net/vmbr1/bridge/bridge_id", "8000.bc2411000002\n"),
            ("/sys/class/net/vmbr1/operstate", "up\n"),
            ("/var/log/pve/tasks/active", &tasks),
            ("/proc/self/mounts", "/dev/mapper/pve-root / ext4 rw,relatime 0 0\n/dev/fuse /etc/pve fuse rw,nosuid 0 0\n"),
            ("/usr/share/perl5/PVE/pvecfg.pm", "sub version_info {\n    return {\n        'version' => '9.1.8'\n    };\n}\n"),
        ] {
            add(path.into(), text.into());
        }
        MemoryHost { files, found: Mutex::default() }
    }

    fn one(&self, look: &Look) -> Result<Found, HostError> {
        let missing = |path: &str| HostError::Missing { what: path.into() };
        match look {
            Look::File(path, most) | Look::Tail(path, most) => {
                self.files.get(path).map(|b| Found::Bytes(b[..b.len().min(*most)].to_vec())).ok_or_else(|| missing(path))
            }
            Look::Glob(pattern, _) => {
                let found: Vec<_> =
                    self.files.iter().filter(|(path, _)| fits(path, pattern)).map(|(path, b)| (path.clone(), Ok(b.clone()))).collect();
                // The cgroups of another version are not there at all.
                if found.is_empty() && pattern.contains("cgroup") { Err(missing(pattern)) } else { Ok(Found::Files(found)) }
            }
            Look::Dir(dir) => {
                let below = format!("{dir}/");
                let names = self.files.keys().filter_map(|p| p.strip_prefix(&below)).filter(|n| !n.contains('/'));
                Ok(Found::Names(names.map(str::to_owned).collect()))
            }
            Look::Stat(path) => {
                let file = self.files.get(path).ok_or_else(|| missing(path))?;
                Ok(Found::Stat(PathStat {
                    dir: false,
                    size: file.len() as u64,
                    modified: Stamp::from_secs(1_795_000_000),
                    mode: 0o755,
                    dev: 1,
                    inode: 0,
                }))
            }
            Look::Space(_) => Ok(Found::Space(Space { total: 1 << 40, used: 1 << 39, avail: 1 << 39 })),
            Look::Logs(..) | Look::Processes(_) | Look::Users(_) => Err(missing("guests")),
        }
    }
}

fn fits(path: &str, pattern: &str) -> bool {
    let (mut parts, mut wanted) = (path.split('/'), pattern.split('/'));
    loop {
        match (parts.next(), wanted.next()) {
            (None, None) => return true,
            (Some(part), Some(want)) => {
                let ok = match want.split_once('*') {
                    Some((head, tail)) => part.len() >= head.len() + tail.len() && part.starts_with(head) && part.ends_with(tail),
                    None => part == want,
                };
                if !ok {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

impl Host for MemoryHost {
    fn name(&self) -> &str {
        "memory"
    }

    fn run<'a>(&'a self, cmd: Cmd) -> Asked<'a, Result<Output, HostError>> {
        Box::pin(async move { Err(HostError::Missing { what: cmd.program }) })
    }

    fn stream<'a>(&'a self, cmd: Cmd, _: Pace, _: mpsc::Sender<Said>, _: CancellationToken) -> Asked<'a, Result<(), HostError>> {
        Box::pin(async move { Err(HostError::Missing { what: cmd.program }) })
    }

    fn look<'a>(&'a self, at: Vec<Look>) -> Asked<'a, Vec<Result<Found, HostError>>> {
        Box::pin(async move {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            at.into_iter().map(|look| found.entry(look.clone()).or_insert_with(|| self.one(&look)).clone()).collect()
        })
    }

    fn attach<'a>(&'a self, cmd: Cmd) -> Asked<'a, Result<i32, HostError>> {
        Box::pin(async move { Err(HostError::Missing { what: cmd.program }) })
    }

    fn clock(&self) -> (Stamp, i32) {
        (Stamp::from_secs(1_795_271_520), 0)
    }

    fn local_time(&self, [y, mo, d, h, mi, s]: [u32; 6]) -> Option<Stamp> {
        Stamp::from_civil(y.into(), mo, d, h, mi, s)
    }

    fn alive<'a>(&'a self, _: &'a Process) -> Asked<'a, Result<bool, HostError>> {
        Box::pin(async { Ok(false) })
    }
}
