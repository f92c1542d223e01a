//! The world as it is when the simulation begins: guests, archives, what was done before, and what is broken.

use super::node::{Body, Conf, File, Guest, Init, Node, after, text_of};
use crate::domain::stamp::Stamp;

const MIB: u64 = 1 << 20;

struct Seed {
    id: u32,
    running: bool,
    /// MiB of memory in use.
    mem: u64,
    /// MiB in use on the root disk.
    used: u64,
    conf: &'static str,
}

/// A configuration without the lines all containers share; see [`COMMON`].
const GUESTS: [Seed; 10] = [
    Seed {
        id: 101,
        running: true,
        mem: 96,
        used: 640,
        conf: "hostname: web\nmemory: 256\nonboot: 1\nrootfs: local-lvm:vm-101-disk-0,size=4G\ntags: app;public",
    },
    Seed {
        id: 102,
        running: true,
        mem: 310,
        used: 1900,
        conf: "hostname: wiki\nmemory: 512\nonboot: 1\nmp0: /srv/media,mp=/media\nmp1: local-lvm:vm-102-disk-1,mp=/cache,size=8G\nrootfs: local-lvm:vm-102-disk-0,size=8G\ntags: app",
    },
    Seed {
        id: 103,
        running: true,
        mem: 1430,
        used: 9200,
        conf: "cores: 4\nhostname: nextcloud\nmemory: 2048\nmp0: local-lvm:vm-103-disk-1,mp=/data,backup=1,size=64G\nonboot: 1\nprotection: 1\nrootfs: local-lvm:vm-103-disk-0,size=16G\ntags: app;public",
    },
    // Its backup was killed: the lock stayed, and so did a partial file.
    Seed {
        id: 104,
        running: true,
        mem: 420,
        used: 2600,
        conf: "hostname: gitea\nlock: backup\nmemory: 1024\nonboot: 1\nrootfs: local-lvm:vm-104-disk-0,size=8G\ntags: app",
    },
    Seed {
        id: 105,
        running: true,
        mem: 780,
        used: 3100,
        conf: "cores: 2\nhostname: db\nmemory: 1024\nonboot: 1\nostype: debian\nrootfs: local-lvm:vm-105-disk-0,size=16G",
    },
    Seed { id: 106, running: true, mem: 40, used: 310, conf: "memory: 128\nrootfs: local-lvm:vm-106-disk-0,size=2G" },
    Seed {
        id: 107,
        running: false,
        mem: 120,
        used: 700,
        conf: "hostname: monitor\nmemory: 256\nonboot: 1\nrootfs: local-lvm:vm-107-disk-0,size=4G",
    },
    Seed {
        id: 110,
        running: false,
        mem: 0,
        used: 420,
        conf: "hostname: alpine-base\nmemory: 256\nrootfs: local-lvm:base-110-disk-0,size=2G\ntemplate: 1",
    },
    Seed { id: 200, running: true, mem: 2900, used: 6800, conf: "" },
    Seed {
        id: 9999,
        running: true,
        mem: 88,
        used: 510,
        conf: "#Proximity network appliance. Made and kept by Proximity; see: proximity manual appliance\nhostname: prox-appliance\nmemory: 512\nnameserver: 127.0.0.1\nnet0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:99:99:00,ip=dhcp,type=veth\nnet1: name=eth1,bridge=proximity-lan,hwaddr=BC:24:11:99:99:01,ip=10.20.0.1/24,type=veth\nonboot: 1\nrootfs: local-lvm:vm-9999-disk-0,size=4G\nsearchdomain: prox.local\nstartup: order=1\ntags: proximity",
    },
];

const COMMON: &str = "arch: amd64\ncores: 1\nfeatures: nesting=1\nostype: alpine\nswap: 256\nunprivileged: 1";

const MACHINE: &str = "agent: 1\nboot: order=scsi0\ncores: 2\ncpu: x86-64-v2-AES\nmemory: 4096\nname: home-assistant\nnet0: virtio=BC:24:11:20:00:01,bridge=vmbr0\nonboot: 1\nostype: l26\nscsi0: local-lvm:vm-200-disk-0,size=32G\nscsihw: virtio-scsi-single\n";

/// Storage folder, guest, days before, hour, size in MiB, note; size 0 is the broken one.
const ARCHIVES: [(&str, u32, i64, i64, u64, &str); 10] = [
    ("/var/lib/vz", 101, 8, 2, 211, "web"),
    ("/var/lib/vz", 101, 1, 2, 214, "web"),
    ("/var/lib/vz", 102, 1, 2, 702, "wiki"),
    ("/var/lib/vz", 103, 2, 2, 4310, "nextcloud"),
    ("/var/lib/vz", 103, 1, 2, 0, "nextcloud"),
    ("/var/lib/vz", 104, 9, 3, 980, "gitea"),
    ("/var/lib/vz", 105, 1, 3, 1180, "db"),
    ("/var/lib/vz", 9999, 3, 2, 166, "prox-appliance"),
    ("/mnt/tiny", 105, 20, 4, 590, "before the upgrade"),
    ("/mnt/tiny", 101, 31, 4, 198, "web"),
];

/// Fills a fresh node.
pub(super) fn fill(node: &mut Node) {
    for s in &GUESTS {
        let qemu = s.id == 200;
        let conf = if qemu { parse(MACHINE) } else { container(s.id, s.conf) };
        let since = Stamp(node.seed.0 - (node.uptime_s(node.seed) as i64 - 60) * 1000 + i64::from(s.id) * 40);
        let init = s.running.then(|| Init { pid: node.pid(), since });
        let tail = if s.id == 102 { snapshot(&conf, node.seed) } else { String::new() };
        node.guests.insert(s.id, Guest { qemu, conf, tail, init, mem: s.mem * MIB, used: s.used * MIB });
    }
    archives(node);
    node.disk.insert(super::jobs::PATH.into(), File { body: Body::Text(super::jobs::AT_FIRST.into()), modified: node.seed });
    killed(node);
    machine_archive(node);
    node.tasks.sort_by_key(|t| t.started);
}

fn parse(text: &str) -> Conf {
    text.lines().filter_map(|l| l.split_once(": ")).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn container(id: u32, own: &str) -> Conf {
    let mut conf = parse(COMMON);
    conf.insert(
        "net0".into(),
        format!("name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:{:02X}:{:02X},ip=dhcp,type=veth", id / 256, id % 256),
    );
    conf.extend(parse(own));
    conf
}

fn snapshot(conf: &Conf, seed: Stamp) -> String {
    let mut old = conf.clone();
    old.insert("snaptime".into(), (seed.secs() - 40 * 86_400).to_string());
    format!("\n[before_upgrade]\n{}", text_of(&old))
}

/// A time so many days before the beginning at this hour in the node's zone.
fn night(node: &Node, days: i64, hour: i64, minute: i64) -> Stamp {
    let local = node.seed.secs() + i64::from(node.offset_s);
    let midnight = local.div_euclid(86_400) * 86_400 - i64::from(node.offset_s);
    Stamp::from_secs(midnight - days * 86_400 + hour * 3600 + minute * 60 + 3)
}

fn archives(node: &mut Node) {
    for (at, (dir, id, days, hour, mib, note)) in ARCHIVES.into_iter().enumerate() {
        let from = night(node, days, hour, at as i64 * 3);
        let to = after(from, 14.0 + mib as f64 / 90.0);
        let path = format!("{dir}/dump/{}.tar.zst", node.stem("lxc", id, from));
        let mut conf = node.guests.get(&id).map(|g| g.conf.clone()).unwrap_or_default();
        conf.remove("lock");
        node.disk.insert(path.clone(), File { body: Body::Sparse(mib * MIB), modified: to });
        node.disk.insert(format!("{path}.notes"), File { body: Body::Text(note.into()), modified: to });
        if note == "before the upgrade" {
            node.disk.insert(format!("{path}.protected"), File { body: Body::Text(String::new()), modified: to });
        }
        let (status, log) = past_log(node, id, from, to, mib, &path);
        let sidecar = format!("{dir}/dump/{}.log", node.stem("lxc", id, from));
        node.disk
            .insert(sidecar, File { body: Body::Text(log.iter().map(|l| format!("{} {l}\n", node.written(to))).collect()), modified: to });
        node.inside.insert(path, conf);
        node.past("vzdump", &id.to_string(), from, to, status, log);
    }
    let start = after(node.seed, -3.0 * 3600.0);
    node.past("vzstop", "107", start, after(start, 1.0), "OK", vec!["TASK OK".into()]);
    let lines = vec!["WARN: Systemd 255 detected. You may need to enable nesting.".into(), "TASK WARNINGS: 1".into()];
    node.past("vzstart", "105", after(start, 900.0), after(start, 903.0), "WARNINGS: 1", lines);
}

fn past_log(node: &Node, id: u32, from: Stamp, to: Stamp, mib: u64, path: &str) -> (&'static str, Vec<String>) {
    let mut log = vec![
        format!("INFO: Starting Backup of VM {id} (lxc)"),
        format!("INFO: Backup started at {}", node.written(from)),
        "INFO: status = running".into(),
        format!("INFO: creating vzdump archive '{path}'"),
    ];
    if mib == 0 {
        log.push(format!("ERROR: Backup of VM {id} failed - command 'set -o pipefail && tar cpf - | zstd' failed: exit code 70"));
        log.extend([
            format!("INFO: Failed at {}", node.written(to)),
            "INFO: Backup job finished with errors".into(),
            "TASK ERROR: job errors".into(),
        ]);
        return ("job errors", log);
    }
    log.extend([
        format!("INFO: archive file size: {mib}MB"),
        format!("INFO: Finished Backup of VM {id}"),
        "INFO: Backup job finished successfully".into(),
        "TASK OK".into(),
    ]);
    ("OK", log)
}

/// The backup of 104 that was killed with signal 9: no last line in its log, a partial file, the lock.
fn killed(node: &mut Node) {
    let from = night(node, 1, 3, 40);
    let stem = node.stem("lxc", 104, from);
    let dat = format!("/var/lib/vz/dump/{stem}.tar.dat");
    node.disk.insert(dat.clone(), File { body: Body::Sparse(344 * MIB), modified: after(from, 6.0) });
    let log =
        vec!["INFO: Starting Backup of VM 104 (lxc)".into(), format!("INFO: creating vzdump archive '/var/lib/vz/dump/{stem}.tar.zst'")];
    node.past("vzdump", "104", from, after(from, 6.0), "unexpected status", log);
}

fn machine_archive(node: &mut Node) {
    let at = night(node, 1, 4, 10);
    let path = format!("/var/lib/vz/dump/{}.vma.zst", node.stem("qemu", 200, at));
    node.disk.insert(format!("{path}.notes"), File { body: Body::Text("home-assistant".into()), modified: at });
    node.inside.insert(path.clone(), parse(MACHINE));
    node.disk.insert(path, File { body: Body::Sparse(2900 * MIB), modified: after(at, 61.0) });
    let templates = [("debian-13-standard_13.1-2_amd64.tar.zst", 129_710_398), ("alpine-3.22-default_20250617_amd64.tar.xz", 3_283_344)];
    for (name, size) in templates {
        node.disk.insert(format!("/var/lib/vz/template/cache/{name}"), File { body: Body::Sparse(size), modified: after(at, -8e6) });
    }
}

impl Node {
    /// `vzdump-lxc-101-2026_11_20-17_36_32`.
    pub fn stem(&self, kind: &str, id: u32, at: Stamp) -> String {
        let (y, mo, d, h, mi, s) = at.civil(self.offset_s);
        format!("vzdump-{kind}-{id}-{y:04}_{mo:02}_{d:02}-{h:02}_{mi:02}_{s:02}")
    }
}
