//! Running guests: their state, the LXC configuration written at each start, start and stop.

use crate::args::{pair, pairs};
use crate::conf::{self, Conf, Section};
use crate::fail::{OrDie, Outcome, die, say, warn};
use crate::{run, storage, task};
use std::path::Path;
use std::time::{Duration, Instant};

/// First id of the mapped range of unprivileged guests.
pub const SHIFT: u32 = 100_000;

/// A guest runs when LXC listens on its command socket; the real tools look at the same place.
pub fn is_running(vmid: u32) -> bool {
    let wanted = format!("@/var/lib/lxc/{vmid}/command");
    std::fs::read_to_string("/proc/net/unix").is_ok_and(|t| t.lines().any(|l| l.ends_with(&wanted)))
}

pub fn state(vmid: u32) -> &'static str {
    if is_running(vmid) { "running" } else { "stopped" }
}

/// The pid of the guest's init, seen from the node.
pub fn init_pid(vmid: u32) -> Option<u32> {
    run::text(&["lxc-info", "-n", &vmid.to_string(), "-p", "-H"]).trim().parse().ok().filter(|p| *p > 0)
}

/// The prefix that runs a program with the id map of the guest.
pub fn id_map(section: &Section) -> Vec<&'static str> {
    if section.is_unprivileged() { vec!["lxc-usernsexec", "-m", "u:0:100000:65536", "-m", "g:0:100000:65536", "--"] } else { Vec::new() }
}

fn unit(vmid: u32) -> String {
    format!("pve-container@{vmid}.service")
}

pub fn start_onboot() -> Outcome<()> {
    for vmid in conf::vmids() {
        if conf::load(vmid)?.current().get("onboot") == Some("1") {
            run::ok(&["/usr/bin/pct", "start", &vmid.to_string()]);
        }
    }
    Ok(())
}

/// The work of `pct start`, inside a worker.
pub fn start(vmid: u32) -> Outcome<()> {
    let _lock = conf::lock(vmid, 10)?;
    let conf = conf::load(vmid)?;
    conf.check_lock()?;
    if is_running(vmid) {
        return die(format!("CT {vmid} already running"));
    }
    launch(&conf)
}

/// Starts without looking at locks (a backup restarts its own guest).
pub fn launch(conf: &Conf) -> Outcome<()> {
    let (vmid, section) = (conf.vmid, conf.current());
    if section.get("template") == Some("1") {
        return die("you can't start a CT if it's a template");
    }
    let volumes = storage::volumes(section);
    for volume in volumes.iter().filter(|v| !v.is_bind()) {
        volume.must_exist()?;
    }
    for (_, net) in nets(section) {
        let bridge = pair(&net, "bridge").unwrap_or("vmbr0");
        if !Path::new(&format!("/sys/class/net/{bridge}")).exists() {
            return die(format!("bridge '{bridge}' does not exist"));
        }
    }
    if volumes.iter().any(|v| v.is_bind() && v.must_exist().is_err()) {
        // The pre-start hook fails and LXC reports it; these are the words that reach the operator.
        say("run_buffer: 571 Script exited with status 2");
        say(&format!("lxc_init: 845 Failed to run lxc.hook.pre-start for container \"{vmid}\""));
        say(&format!("__lxc_start: 2039 Failed to initialize container \"{vmid}\""));
        return die(format!("startup for container '{vmid}' failed"));
    }
    write_lxc_config(conf)?;
    write_guest_files(conf);
    let unit = unit(vmid);
    run::ok(&["systemctl", "reset-failed", &unit]);
    if !run::ok(&["systemctl", "start", &unit]) || !wait(30, || is_up(vmid, &unit)) || !is_running(vmid) {
        say_start_errors(vmid);
        return die(format!("startup for container '{vmid}' failed"));
    }
    for (n, _) in nets(section).iter().filter(|(_, net)| pair(net, "link_down") == Some("1")) {
        run::ok(&["ip", "link", "set", "dev", &format!("veth{vmid}i{n}"), "down"]);
    }
    if needs_nesting(section) {
        task::add_warning(&format!("Systemd {} detected. You may need to enable nesting.", systemd_version(section)));
    }
    Ok(())
}

/// Up with an init, or failed: either ends the waiting.
fn is_up(vmid: u32, unit: &str) -> bool {
    (is_running(vmid) && init_pid(vmid).is_some()) || ["failed", "inactive"].contains(&run::text(&["systemctl", "is-active", unit]).trim())
}

fn say_start_errors(vmid: u32) {
    let text = std::fs::read_to_string(format!("/run/pve/ct-{vmid}.stderr")).unwrap_or_default();
    for line in text.lines().take(3) {
        // "lxc-start: 101: ../src/lxc/utils.c: run_buffer: 571 Script …" is shown from the function on.
        say(line.splitn(4, ": ").last().unwrap_or(line));
    }
}

/// The version the real tools warn about is 257 and newer without nesting.
fn needs_nesting(section: &Section) -> bool {
    section.is_unprivileged() && !section.get("features").is_some_and(|f| f.contains("nesting=1")) && systemd_version(section) >= 257
}

fn systemd_version(section: &Section) -> u32 {
    let Ok(root) = storage::root_path(section) else { return 0 };
    let dirs = ["usr/lib/systemd", "lib/systemd"].map(|d| Path::new(&root).join(d));
    dirs.iter()
        .flat_map(|d| std::fs::read_dir(d).into_iter().flatten().flatten())
        .filter_map(|e| {
            let name = e.file_name().to_string_lossy().into_owned();
            name.strip_prefix("libsystemd-shared-")?.split(['.', '-']).next()?.parse().ok()
        })
        .next()
        .unwrap_or(0)
}

/// Kills a guest and waits until LXC and its unit are gone.
pub fn kill(vmid: u32) -> Outcome<()> {
    run::ok(&["lxc-stop", "-k", "-n", &vmid.to_string()]);
    settled(vmid, 20)
}

/// Asks the guest's init to end; false when it still runs after the time.
pub fn shut_down(vmid: u32, seconds: u64) -> Outcome<bool> {
    run::ok(&["lxc-stop", "-n", &vmid.to_string(), "--nokill", "--timeout", &seconds.to_string()]);
    if is_running(vmid) {
        return Ok(false);
    }
    settled(vmid, 20)?;
    Ok(true)
}

fn settled(vmid: u32, seconds: u64) -> Outcome<()> {
    let unit = unit(vmid);
    let gone = || !is_running(vmid) && ["inactive", "failed"].contains(&run::text(&["systemctl", "is-active", &unit]).trim());
    if wait(seconds, gone) { Ok(()) } else { die("container did not stop") }
}

/// True as soon as the condition holds, false after so many seconds.
pub fn wait(seconds: u64, condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

type Net = Vec<(String, String)>;

pub fn nets(section: &Section) -> Vec<(u32, Net)> {
    let mut list: Vec<(u32, Net)> =
        section.keys.iter().filter_map(|(k, v)| Some((k.strip_prefix("net")?.parse().ok()?, pairs(v, "name")))).collect();
    list.sort_by_key(|(n, _)| *n);
    list
}

fn is_alpine(section: &Section) -> bool {
    section.get("ostype") == Some("alpine")
}

fn write_lxc_config(conf: &Conf) -> Outcome<()> {
    let (vmid, section) = (conf.vmid, conf.current());
    let volumes = storage::volumes(section);
    let mut lines: Vec<String> = vec![
        "lxc.cgroup.relative = 0".into(),
        format!("lxc.cgroup.dir.monitor = lxc.monitor/{vmid}"),
        format!("lxc.cgroup.dir.container = lxc/{vmid}"),
        "lxc.cgroup.dir.container.inner = ns".into(),
        "lxc.arch = amd64".into(),
        "lxc.apparmor.profile = unconfined".into(),
        "lxc.autodev = 1".into(),
        "lxc.pty.max = 1024".into(),
        "lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed".into(),
        "lxc.monitor.unshare = 1".into(),
        "lxc.init.cmd = /sbin/init".into(),
        format!("lxc.tty.max = {}", section.get("tty").unwrap_or("2")),
        "lxc.environment = TERM=linux".into(),
        format!("lxc.uts.name = {}", section.hostname(vmid)),
        format!("lxc.rootfs.path = dir:{}", storage::root_path(section)?),
    ];
    // busybox init and systemd listen to different signals.
    let (halt, reboot) = if is_alpine(section) { ("SIGUSR2", "SIGTERM") } else { ("SIGRTMIN+3", "SIGINT") };
    lines.push(format!("lxc.signal.halt = {halt}"));
    lines.push(format!("lxc.signal.reboot = {reboot}"));
    if section.is_unprivileged() {
        lines.push(format!("lxc.idmap = u 0 {SHIFT} 65536"));
        lines.push(format!("lxc.idmap = g 0 {SHIFT} 65536"));
    }
    let memory = storage::size_bytes(&format!("{}M", section.get("memory").unwrap_or("512")));
    lines.push(format!("lxc.cgroup.memory.limit_in_bytes = {memory}"));
    for volume in volumes.iter().skip(1) {
        let target = volume.target.trim_start_matches('/');
        let ro = if volume.read_only { ",ro" } else { "" };
        lines.push(format!("lxc.mount.entry = {} {target} none bind,create=dir{ro} 0 0", volume.path()?));
    }
    for (n, net) in nets(section) {
        let get = |key, or: &'static str| pair(&net, key).unwrap_or(or).to_owned();
        lines.push(format!("lxc.net.{n}.type = veth"));
        lines.push(format!("lxc.net.{n}.veth.pair = veth{vmid}i{n}"));
        // One that is unplugged is on no bridge, and its end on the node is down.
        if get("link_down", "0") != "1" {
            lines.push(format!("lxc.net.{n}.link = {}", get("bridge", "vmbr0")));
        }
        lines.push(format!("lxc.net.{n}.name = {}", get("name", "eth0")));
        lines.push(format!("lxc.net.{n}.hwaddr = {}", get("hwaddr", "")));
        lines.push(format!("lxc.net.{n}.flags = up"));
    }
    if nets(section).is_empty() {
        lines.push("lxc.net.0.type = empty".into());
    }
    lines.extend(section.raw.iter().map(|l| l.replacen(':', " =", 1)));
    let dir = format!("/var/lib/lxc/{vmid}");
    std::fs::create_dir_all(&dir).or_die("unable to create container directory")?;
    std::fs::create_dir_all("/run/pve").or_die("unable to create /run/pve")?;
    std::fs::write(format!("{dir}/config"), lines.join("\n") + "\n").or_die("unable to write container config")
}

/// Hostname, hosts, interfaces and resolver inside the guest, as the real tools write them at each start.
fn write_guest_files(conf: &Conf) {
    let (vmid, section) = (conf.vmid, conf.current());
    let host = section.hostname(vmid);
    let put = |path: &str, text: String| {
        if let Err(e) = write_inside(section, path, &text) {
            warn(&format!("unable to write {path} in CT {vmid} - {e}"));
        }
    };
    put("/etc/hostname", format!("{host}\n"));
    put("/etc/hosts", format!("127.0.0.1 localhost\n127.0.1.1 {host}\n"));
    put("/etc/network/interfaces", interfaces(section, &host));
    if let Some(servers) = section.get("nameserver") {
        let search = section.get("searchdomain").map(|d| format!("search {d}\n")).unwrap_or_default();
        let lines: String = crate::args::list(servers).iter().map(|s| format!("nameserver {s}\n")).collect();
        put("/etc/resolv.conf", search + &lines);
    }
}

fn interfaces(section: &Section, host: &str) -> String {
    let mut text = "auto lo\niface lo inet loopback\n".to_owned();
    for (_, net) in nets(section) {
        let name = pair(&net, "name").unwrap_or("eth0");
        text.push_str(&format!("\nauto {name}\n"));
        let ip = pair(&net, "ip").unwrap_or("manual");
        match ip.split_once('/') {
            None if ip == "dhcp" => {
                text.push_str(&format!("iface {name} inet dhcp\n"));
                if is_alpine(section) {
                    // Without -b a guest without an answer would never finish booting.
                    text.push_str(&format!("\tudhcpc_opts -b -x hostname:{host}\n"));
                }
            }
            Some((address, bits)) => {
                let bits: u32 = bits.parse().unwrap_or(24);
                let mask = std::net::Ipv4Addr::from(u32::MAX.checked_shl(32 - bits).unwrap_or(0));
                text.push_str(&format!("iface {name} inet static\n\taddress {address}\n\tnetmask {mask}\n"));
                if let Some(gateway) = pair(&net, "gw") {
                    text.push_str(&format!("\tgateway {gateway}\n"));
                }
            }
            None => text.push_str(&format!("iface {name} inet manual\n")),
        }
    }
    text
}

fn write_inside(section: &Section, path: &str, text: &str) -> std::io::Result<()> {
    let root = storage::root_path(section).map_err(|f| std::io::Error::other(f.text))?;
    let whole = format!("{root}{path}");
    let dir = Path::new(&whole).parent().unwrap();
    let name = Path::new(&whole).file_name().unwrap().to_string_lossy();
    if !dir.is_dir() || dir.join(format!(".pve-ignore.{name}")).exists() {
        return Ok(());
    }
    // A link in the guest must not lead the node's root to a file outside of it.
    if !dir.canonicalize()?.starts_with(&root) {
        return Ok(());
    }
    let _ = std::fs::remove_file(&whole);
    std::fs::write(&whole, text)?;
    let owner = if section.is_unprivileged() { SHIFT } else { 0 };
    std::os::unix::fs::chown(&whole, Some(owner), Some(owner))
}

/// Live numbers of a guest, for `status --verbose` and the API. All zero when it is stopped.
#[derive(Default)]
pub struct Numbers {
    pub pid: Option<u32>,
    pub uptime: u64,
    pub mem: u64,
    pub disk: u64,
    pub netin: u64,
    pub netout: u64,
}

pub fn numbers(conf: &Conf) -> Numbers {
    let vmid = conf.vmid;
    let Some(pid) = is_running(vmid).then(|| init_pid(vmid)).flatten() else {
        return Numbers::default();
    };
    let read = |path: String| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let net =
        |what: &str| (0..nets(conf.current()).len()).filter_map(|n| read(format!("/sys/class/net/veth{vmid}i{n}/statistics/{what}"))).sum();
    let now: f64 = std::fs::read_to_string("/proc/uptime").ok().and_then(|t| t.split(' ').next()?.parse().ok()).unwrap_or(0.0);
    let started = task::pstart(pid).unwrap_or(0) as f64 / 100.0;
    Numbers {
        pid: Some(pid),
        uptime: (now - started).max(0.0) as u64,
        mem: read(format!("/sys/fs/cgroup/memory/lxc/{vmid}/memory.usage_in_bytes")).unwrap_or(0),
        disk: storage::root_path(conf.current()).map(|p| storage::used(&p)).unwrap_or(0),
        // What leaves the guest arrives at the node's end of the pair.
        netin: net("tx_bytes"),
        netout: net("rx_bytes"),
    }
}
