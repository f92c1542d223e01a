//! What the kernel of the simulated node tells below /proc and /sys.

use super::APPLIANCE;
use super::node::{BOOT_ID, NAME, Node};
use super::storage::PLACES;

const CPUS: u64 = 8;
const MEM_KIB: u64 = 31 << 20;

/// A value that swings around a middle: `share` of it either way, once in `period` seconds.
fn swing(middle: f64, share: f64, period: f64, at: f64) -> f64 {
    let slow = (at / period * std::f64::consts::TAU).sin();
    let quick = (at / (period / 3.7) * std::f64::consts::TAU).sin();
    middle * (1.0 + share * (0.7 * slow + 0.3 * quick))
}

/// Files about the whole node.
pub(super) fn system(node: &Node, add: &mut impl FnMut(String, String)) {
    let up = node.uptime_s(node.now());
    let busy = node.tasks.iter().filter(|t| t.ended.is_none()).count() as f64;
    add("/proc/sys/kernel/hostname".into(), format!("{NAME}\n"));
    add("/proc/sys/kernel/random/boot_id".into(), format!("{BOOT_ID}\n"));
    add("/proc/uptime".into(), format!("{up:.2} {:.2}\n", up * CPUS as f64 * 0.9));
    let load = [swing(0.62, 0.4, 70.0, up) + busy, swing(0.55, 0.2, 300.0, up) + busy * 0.4, swing(0.51, 0.1, 900.0, up) + busy * 0.1];
    let threads = 700 + (up as u64 % 9);
    add(
        "/proc/loadavg".into(),
        format!("{:.2} {:.2} {:.2} {}/{threads} {}\n", load[0], load[1], load[2], 1 + busy as u64, 4_000_000 + up as u64 % 90_000),
    );
    add("/proc/meminfo".into(), meminfo(up));
    add("/proc/stat".into(), stat(node, up, busy));
    add("/proc/self/mounts".into(), mounts());
    let bridges = [("vmbr0", "8000.bc2411aa0001"), ("proximity-lan", "8000.bc2411aa0002")];
    for (name, id) in bridges {
        add(format!("/sys/class/net/{name}/bridge/bridge_id"), format!("{id}\n"));
        add(format!("/sys/class/net/{name}/operstate"), "up\n".into());
        add(format!("/sys/class/net/{name}/flags"), "0x1003\n".into());
        add(format!("/sys/class/net/{name}/mtu"), "1500\n".into());
    }
    for (name, state) in [("lo", "unknown"), ("enp3s0", "up")] {
        add(format!("/sys/class/net/{name}/operstate"), format!("{state}\n"));
    }
}

fn meminfo(up: f64) -> String {
    let available = swing(MEM_KIB as f64 * 0.58, 0.02, 180.0, up) as u64;
    let free = available / 5;
    format!(
        "MemTotal:       {MEM_KIB:8} kB\nMemFree:        {free:8} kB\nMemAvailable:   {available:8} kB\nBuffers:          412032 kB\nCached:         {:8} kB\nSwapCached:            0 kB\nSwapTotal:       8388604 kB\nSwapFree:        8126460 kB\n",
        available - free
    )
}

/// Ticks that only ever grow: the swing is added as its own sum over time, never as a momentary value.
fn stat(node: &Node, up: f64, busy: f64) -> String {
    let ticks = up * 100.0;
    let wave = 25.0 * (1.0 - (up / 40.0 * std::f64::consts::TAU).cos());
    let jobs: f64 = node.tasks.iter().map(|t| (t.ended.as_ref().map_or(node.now(), |e| e.0).0 - t.started.0) as f64 / 10.0).sum();
    let line = |name: &str, cpus: f64| {
        let user = (ticks * 0.045 + wave + jobs * 0.8 / CPUS as f64) * cpus;
        let (system, io) = (user * 0.4, user * 0.1);
        let idle = (ticks * cpus - user - system - io).max(0.0);
        format!("{name} {:.0} 0 {system:.0} {idle:.0} {io:.0} 0 0 0 0 0\n", user)
    };
    let each: String = (0..CPUS).map(|n| line(&format!("cpu{n}"), 1.0)).collect();
    let boot = node.now().secs() - up as i64;
    format!(
        "{}{each}ctxt {:.0}\nbtime {boot}\nprocesses {:.0}\nprocs_running {}\nprocs_blocked 0\n",
        line("cpu ", CPUS as f64),
        up * 900.0,
        up * 3.0,
        1 + busy as u64
    )
}

fn mounts() -> String {
    let mut out = String::from(
        "sysfs /sys sysfs rw,nosuid,nodev,noexec,relatime 0 0\nproc /proc proc rw,relatime 0 0\nudev /dev devtmpfs rw,nosuid,relatime 0 0\ntmpfs /run tmpfs rw,nosuid,nodev,noexec,relatime 0 0\n/dev/mapper/pve-root / ext4 rw,relatime,errors=remount-ro 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime 0 0\n",
    );
    for (n, p) in PLACES.iter().filter(|p| p.active() && !p.path.is_empty()).enumerate() {
        out += &format!("/dev/mapper/pve-data{n} {} ext4 rw,relatime 0 0\n", p.path);
    }
    out + "/dev/fuse /etc/pve fuse rw,nosuid,nodev,relatime,user_id=0,group_id=0,default_permissions,allow_other 0 0\n"
}

/// Files about the guests that run.
pub(super) fn guests(node: &Node, add: &mut impl FnMut(String, String)) {
    let now = node.now();
    let mut unix = String::from(
        "Num       RefCount Protocol Flags    Type St Inode Path\nffff8f0a8f1c8000: 00000002 00000000 00010000 0001 01 18341 /run/systemd/private\n",
    );
    for (id, guest) in &node.guests {
        let Some(init) = guest.init else { continue };
        let up = node.uptime_s(now) - node.uptime_s(init.since);
        let path = if guest.qemu { format!("/var/run/qemu-server/{id}.qmp") } else { format!("@/var/lib/lxc/{id}/command") };
        unix += &format!("ffff8f0b{:08x}: 00000002 00000000 00010000 0001 01 {:5} {path}\n", init.pid, 20_000 + id);
        let name = if guest.qemu { "kvm" } else { "init" };
        add(
            format!("/proc/{}/stat", init.pid),
            format!(
                "{} ({name}) S 1 {0} {0} 0 -1 4194560 900 0 4 0 12 31 0 0 20 0 1 0 {} 2400256 320 0\n",
                init.pid,
                node.ticks(init.since)
            ),
        );
        if guest.qemu {
            add(format!("/run/qemu-server/{id}.pid"), format!("{}\n", init.pid));
            continue;
        }
        add(format!("/proc/{}/ns/net", init.pid), String::new());
        let dir = format!("/sys/fs/cgroup/lxc/{id}");
        let memory = swing(guest.mem as f64, 0.06, 45.0 + f64::from(id % 50), node.uptime_s(now)).min(guest.memory() as f64 * 0.99);
        add(format!("{dir}/memory.current"), format!("{}\n", memory as u64 / 4096 * 4096));
        add(format!("{dir}/memory.max"), format!("{}\n", guest.memory()));
        add(format!("{dir}/cgroup.procs"), format!("{}\n", init.pid));
        // Each its own share of a processor, between one and nine percent.
        let share = f64::from(id % 9 + 1) / 100.0;
        let wave = 1.0 - (up / 25.0 * std::f64::consts::TAU).cos();
        let usage = (up * share + wave * share * 3.0) * 1e6;
        add(format!("{dir}/cpu.stat"), format!("usage_usec {:.0}\nuser_usec {:.0}\nsystem_usec {:.0}\n", usage, usage * 0.7, usage * 0.3));
        add(format!("/sys/class/net/veth{id}i0/operstate"), "up\n".into());
        if *id != APPLIANCE {
            add(format!("/proc/{}/net/tcp", init.pid), sockets(guest.ports(*id), false));
            add(format!("/proc/{}/net/udp", init.pid), sockets(&[], true));
        }
        if *id == APPLIANCE {
            add(format!("/proc/{}/net/tcp", init.pid), sockets(&[53, 2019, 30_001, 30_002], false));
            add(format!("/proc/{}/net/udp", init.pid), sockets(&[53, 67], true));
            add(format!("/sys/class/net/proximity-lan/brif/veth{id}i1/state"), "3\n".into());
        }
    }
    add("/proc/net/unix".into(), unix);
    add("/proc/net/tcp".into(), sockets(&[22, 8006, 3128], false));
    add("/proc/net/udp".into(), sockets(&[123], true));
    add("/proc/sys/net/ipv6/conf/proximity-lan/addr_gen_mode".into(), "1\n".into());
    add("/proc/net/route".into(), "Iface\tDestination\tGateway\nvmbr0\t00000000\t0101A8C0\nvmbr0\t0001A8C0\t00000000\n".into());
}

/// A list of sockets that wait for somebody (proc(5)).
fn sockets(ports: &[u16], udp: bool) -> String {
    let (state, more) = if udp { ("07", " ref pointer drops") } else { ("0A", "") };
    let head = format!("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode{more}\n");
    let line = |(n, port): (usize, &u16)| {
        format!(
            "{n:4}: 00000000:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {} 1 0\n",
            22_000 + n
        )
    };
    head + &ports.iter().enumerate().map(line).collect::<String>()
}
