//! The lab proves itself: life of a guest, network, cut-off backups, power cuts, clean removal. Stories of the
//! program itself are modules beside this one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod appliance;
mod audit;
mod carry;
mod certificates;
mod console;
mod day_zero;
mod debian;
mod doctor;
mod drift;
mod harness;
mod inplace;
mod inside;
mod leases;
mod logs;
mod logs_away;
mod many;
mod ports;
mod publish;
mod queue;
mod restricted;
mod schedule;
mod story;
mod swap;
mod traffic;
mod visitor;

use harness::{Lab, Said, lab_script, skip, wait_for};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const DUMP: &str = "/var/lib/vz/dump";

/// The newest archive of a guest on the node.
fn newest_archive(lab: &Lab, vmid: u32) -> String {
    lab.sh(&format!("ls -t {DUMP}/vzdump-lxc-{vmid}-*.tar.zst | head -1"))
}

fn has(text: &str, part: &str) {
    assert!(text.contains(part), "no {part:?} in: {text}");
}

#[test]
fn a_guest_lives_is_backed_up_destroyed_and_restored() {
    let lab = shared_lab!();
    lab.create(301);
    let ended = lab.exec("pve1", &["pct", "exec", "301", "--", "sh", "-c", "echo out; echo err >&2; exit 42"]);
    assert_eq!((ended.rc, ended.out.as_str(), ended.err.as_str()), (42, "out\n", "err\n"));
    lab.guest(301, "mkdir -p /srv/x && dd if=/dev/urandom of=/srv/x/rnd bs=1M count=8 2>/dev/null && ln -s rnd /srv/x/link && sync");
    let before = lab.guest(301, "cd /srv/x && md5sum rnd link && stat -c '%u %g %a' rnd");

    lab.node(&["vzdump", "301", "--mode", "snapshot", "--storage", "local", "--compress", "zstd"]);
    let archive = newest_archive(lab, 301);
    lab.node(&["pct", "stop", "301"]);
    lab.node(&["pct", "destroy", "301", "--purge", "1"]);
    let gone = lab.exec("pve1", &["pct", "status", "301"]);
    assert_eq!(gone.rc, 2);
    has(&gone.err, "Configuration file 'nodes/pve1/lxc/301.conf' does not exist");
    assert_eq!(lab.sh("ls /var/lib/pool/images | grep -cx 301 || true"), "0", "the volume is gone");

    let volid = format!("local:backup/{}", Path::new(&archive).file_name().unwrap().to_str().unwrap());
    lab.node(&["pct", "restore", "301", &volid, "--storage", "local-lvm", "--unprivileged", "1"]);
    lab.node(&["pct", "start", "301"]);
    assert_eq!(lab.guest(301, "cd /srv/x && md5sum rnd link && stat -c '%u %g %a' rnd"), before);
    let tasks = lab.sh("cat /var/log/pve/tasks/index");
    for kind in ["vzcreate:301", "vzdump:301", "vzdestroy:301", "vzrestore:301"] {
        let line = tasks.lines().find(|l| l.contains(kind)).unwrap_or_else(|| panic!("no {kind} in {tasks}"));
        assert!(line.ends_with(" OK"), "{line}");
    }
}

#[test]
fn a_forced_restore_of_a_bad_archive_loses_the_old_guest() {
    let lab = shared_lab!();
    lab.create(302);
    lab.node(&["vzdump", "302", "--storage", "local", "--compress", "zstd", "--mode", "stop"]);
    let archive = newest_archive(lab, 302);
    lab.node(&["pct", "stop", "302"]);
    lab.sh(&format!("head -c 2000000 {archive} >{DUMP}/vzdump-lxc-302-2026_01_01-00_00_00.tar.zst"));
    let bad = "local:backup/vzdump-lxc-302-2026_01_01-00_00_00.tar.zst";
    let refused = lab.exec("pve1", &["pct", "restore", "302", bad, "--storage", "local-lvm"]);
    assert_eq!((refused.rc, refused.err.as_str()), (255, "CT 302 already exists on node 'pve1'\n"));
    let failed = lab.exec("pve1", &["pct", "restore", "302", bad, "--storage", "local-lvm", "--force", "1"]);
    assert_eq!(failed.rc, 255);
    has(&failed.err, "unable to restore CT 302 - command 'lxc-usernsexec -m u:0:100000:65536");
    has(&failed.err, "failed: exit code 2");
    assert_eq!(lab.exec("pve1", &["pct", "config", "302"]).rc, 2, "the configuration is gone");
    assert_eq!(lab.sh("ls /var/lib/pool/images | grep -cx 302 || true"), "0", "and so are the volumes");
}

#[test]
fn names_addresses_and_ports_work_through_the_appliance() {
    let lab = shared_lab!();
    let leases = lab.guest(9999, "cat /var/lib/misc/dnsmasq.leases");
    for app in ["web", "wiki"] {
        assert!(leases.lines().any(|l| l.split(' ').nth(3) == Some(app)), "{leases}");
    }
    has(&lab.guest(101, "nslookup wiki.prox.local"), "10.20.0.");
    has(&lab.guest(101, "nslookup upstream.test"), "203.0.113.10");
    let wan = lab.guest(9999, "ip -4 -o addr show eth0").split_whitespace().nth(3).unwrap().split('/').next().unwrap().to_owned();
    assert_eq!(lab.env()["LAB_WAN"], wan);
    // The internet saw the appliance, not the app: that is NAT.
    has(&lab.guest(101, "wget -qO- http://203.0.113.10/cgi-bin/peer"), &format!("\"peer\":\"{wan}\""));

    let ask = |port: u16| -> Said {
        lab.exec("op", &["curl", "-sS", "-i", "-H", "Authorization: Basic x", &format!("http://{wan}:{port}/cgi-bin/env")])
    };
    let public = ask(30001);
    assert_eq!(public.rc, 0, "{public:?}");
    has(&public.out.to_lowercase(), "x-frame-options: deny");
    let internal = ask(40001);
    has(&internal.out, "X-App: 1");
    assert!(!internal.out.to_lowercase().contains("x-frame-options"), "{}", internal.out);
    has(&ask(30002).out, "wiki");

    has(&request_seen_by_app(lab, &wan, 30001), "Authorization: Basic x");
    let internal = request_seen_by_app(lab, &wan, 40001);
    has(&internal, "Host: ");
    assert!(!internal.contains("Authorization"), "{internal}");

    wait_for("the access log", || lab.guest(9999, "cat /var/log/caddy/access.log").contains("/cgi-bin/env"));
    let line = lab.guest(9999, "tail -1 /var/log/caddy/access.log");
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(json["status"], 200, "{line}");
    has(&lab.guest(9999, "cat /var/log/dnsmasq.log"), "DHCPACK");
}

/// The raw request that reaches app 101 through a port of the appliance. (busybox httpd keeps credentials to itself.)
fn request_seen_by_app(lab: &Lab, wan: &str, port: u16) -> String {
    lab.guest(101, "rc-service -q web stop");
    let script = r#"#!/bin/sh
while read -r line && [ "$line" != "$(printf '\r')" ]; do echo "$line"; done >/root/request
printf 'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n'
"#;
    lab.guest(101, &format!("cat >/root/see <<'X'\n{script}X\nchmod +x /root/see"));
    let mut listener = lab.command("101", &["nc", "-l", "-p", "80", "-e", "/root/see"]).spawn().unwrap();
    wait_for("a listener in the app", || {
        lab.guest(101, "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -c ':0050 .* 0A ' || true") != "0"
    });
    let url = format!("http://{wan}:{port}/");
    lab.exec("op", &["curl", "-sS", "-m", "5", "-H", "Authorization: Basic x", &url]);
    let _ = listener.wait();
    lab.guest(101, "rc-service -q web start; cat /root/request")
}

#[test]
fn a_broken_caddyfile_is_refused_and_the_old_one_serves_on() {
    let lab = shared_lab!();
    let reload = "echo ':30009 { nonsense }' >/etc/caddy/apps/broken.caddy; rc-service caddy reload; rc=$?; rm /etc/caddy/apps/broken.caddy; echo rc=$rc";
    has(&lab.guest(9999, reload), "rc=1");
    let url = format!("http://{}:30002/", lab.env()["LAB_WAN"]);
    assert_eq!(lab.exec("op", &["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", &url]).out, "200");
}

/// Starts a slow backup and returns when its data file has grown.
fn slow_backup(lab: &Lab, vmid: u32) -> std::process::Child {
    lab.create(vmid);
    lab.guest(vmid, "dd if=/dev/urandom of=/srv/rnd bs=1M count=16 2>/dev/null");
    let id = vmid.to_string();
    let child = lab
        .command("pve1", &["env", "PVE_VZDUMP_BYTES_PER_S=6000000", "vzdump", &id, "--storage", "local", "--compress", "zstd"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("a growing archive", || {
        lab.sh(&format!("stat -c %s {DUMP}/vzdump-lxc-{vmid}-*.tar.dat 2>/dev/null || echo 0")).parse::<u64>().unwrap() > 3_000_000
    });
    child
}

/// Pid of the worker and UPID of the running backup.
fn holder(lab: &Lab) -> (u32, String) {
    let upid = lab.sh("cat /var/run/vzdump.pid");
    (u32::from_str_radix(upid.split(':').nth(2).unwrap(), 16).unwrap(), upid)
}

fn task_status(lab: &Lab, upid: &str) -> serde_json::Value {
    let text = lab.node(&["pvesh", "get", &format!("/nodes/pve1/tasks/{upid}/status"), "--output-format", "json"]);
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_killed_backup_leaves_lock_snapshot_and_data_and_can_be_repaired() {
    let Some(lab) = Lab::bare("k") else { return skip("no lab on this machine") };
    let lab = &lab;
    let mut child = slow_backup(lab, 311);
    let (pid, upid) = holder(lab);
    assert_eq!(task_status(lab, &upid)["status"], "running");
    lab.sh(&format!("kill -9 {pid}; pkill -9 -x vzdump; true"));
    let _ = child.wait();
    let conf = lab.sh("cat /etc/pve/lxc/311.conf");
    has(&conf, "lock: backup");
    has(&conf, "[vzdump]");
    has(&lab.sh("ls /var/lib/pool/images/311"), "@vzdump");
    let left = lab.sh(&format!("ls {DUMP}"));
    has(&left, ".tar.dat");
    has(&left, ".tmp");
    assert_eq!(task_status(lab, &upid)["exitstatus"], "unexpected status");
    let locked = lab.exec("pve1", &["vzdump", "311", "--storage", "local"]);
    assert_eq!(locked.rc, 255);
    has(&locked.out, "ERROR: Backup of VM 311 failed - CT is locked (backup)");

    lab.node(&["pct", "unlock", "311"]);
    lab.node(&["pct", "delsnapshot", "311", "vzdump", "--force", "1"]);
    assert!(!lab.sh("cat /etc/pve/lxc/311.conf").contains("vzdump"));
    lab.node(&["vzdump", "311", "--storage", "local", "--compress", "zstd"]);
}

#[test]
fn a_terminated_backup_cleans_up_behind_itself() {
    let Some(lab) = Lab::bare("t") else { return skip("no lab on this machine") };
    let lab = &lab;
    // The last one goes to the caller, which hands it on to its worker.
    for (vmid, signal) in [(321, "TERM"), (322, "INT"), (323, "HUP"), (324, "TERM to the caller")] {
        let mut child = slow_backup(lab, vmid);
        let (pid, upid) = holder(lab);
        lab.sh(&match signal.split_once(' ') {
            None => format!("kill -{signal} {pid}"),
            Some(_) => format!("kill -TERM $(ps -o ppid= -p {pid})"),
        });
        assert_eq!(child.wait().unwrap().code(), Some(255), "{signal}");
        let conf = lab.sh(&format!("cat /etc/pve/lxc/{vmid}.conf"));
        assert!(!conf.contains("lock") && !conf.contains("vzdump"), "{signal}: {conf}");
        let left = lab.sh(&format!("ls {DUMP} | grep -E 'lxc-{vmid}.*(dat|tmp|zst)$' || true"));
        assert_eq!(left, "", "{signal}");
        assert!(!lab.sh(&format!("ls /var/lib/pool/images/{vmid}")).contains('@'), "{signal}");
        assert_eq!(task_status(lab, &upid)["exitstatus"], "job errors", "{signal}");
        has(&lab.sh(&format!("cat /var/log/vzdump/lxc-{vmid}.log")), "failed: interrupted by signal");
        assert_eq!(lab.node(&["pct", "status", &vmid.to_string()]), "status: running");
    }
}

#[test]
fn a_full_disk_fails_the_backup_and_releases_the_guest() {
    let Some(lab) = Lab::bare("f") else { return skip("no lab on this machine") };
    lab.create(331);
    lab.guest(331, "dd if=/dev/urandom of=/srv/rnd bs=1M count=30 2>/dev/null");
    lab.sh("mount -t tmpfs -o size=8M none /var/lib/vz/dump");
    let full = lab.exec("pve1", &["vzdump", "331", "--storage", "local", "--compress", "zstd", "--mode", "snapshot"]);
    assert_eq!((full.rc, full.err.as_str()), (255, "job errors\n"), "{full:?}");
    has(&full.out, "INFO: zstd: error 70 : Write error : cannot write block : No space left on device");
    has(&full.out, "failed: exit code 70");
    assert!(!lab.sh("cat /etc/pve/lxc/331.conf").contains("lock"));
    assert_eq!(lab.sh("ls /var/lib/vz/dump | grep -vc log || true"), "0");
}

#[test]
fn guests_come_back_after_a_power_cut() {
    let Some(lab) = Lab::up("c") else { return skip("no lab on this machine") };
    lab.guest(101, "echo kept >/root/data; sync");
    lab.crash();
    assert_ne!(lab.exec("pve1", &["true"]).rc, 0, "the node is off");
    lab.boot();
    wait_for("the guests", || lab.sh("pct list").matches(" running ").count() == 3);
    assert_eq!(lab.guest(101, "cat /root/data"), "kept");
    let wan_port = format!("http://{}:30001/", lab.env()["LAB_WAN"]);
    wait_for("the app behind the appliance", || {
        lab.exec("op", &["curl", "-sS", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}", &wan_port]).out == "200"
    });
}

#[test]
fn a_backup_whose_caller_is_gone_ends_orderly() {
    let Some(lab) = Lab::bare("p") else { return skip("no lab on this machine") };
    let mut child = slow_backup(&lab, 341);
    let (pid, upid) = holder(&lab);
    lab.sh(&format!("kill -9 $(ps -o ppid= -p {pid})"));
    let _ = child.wait();
    assert_eq!(lab.sh(&format!("ps -o comm= -p {pid}")), "vzdump", "the worker goes on until it has something to say");
    wait_for("the worker to notice", || !lab.sh("cat /etc/pve/lxc/341.conf").contains("lock"));
    wait_for("the end of the worker", || {
        !Path::new(&format!("/proc/{pid}")).exists() || lab.exec("pve1", &["kill", "-0", &pid.to_string()]).rc != 0
    });
    assert_eq!(lab.sh(&format!("ls {DUMP} | grep -E '(dat|tmp|zst)$' || true")), "");
    assert_eq!(task_status(&lab, &upid)["exitstatus"], "unexpected status");
}

#[test]
fn the_node_is_reached_by_ssh_and_looks_like_a_node() {
    let lab = shared_lab!();
    let env = lab.env();
    let (key, hosts) = (env["LAB_KEY"].as_str(), format!("UserKnownHostsFile={}", env["LAB_KNOWN_HOSTS"]));
    let target = format!("root@{}", env["LAB_HOST"]);
    let said = lab.exec("op", &["ssh", "-i", key, "-o", &hosts, "-o", "BatchMode=yes", &target, "pct list; hostname; exit 3"]);
    assert_eq!(said.rc, 3, "{said:?}");
    has(&said.out, "9999       running                 prox-appliance");
    has(&said.out, "pve1");
    assert_eq!(lab.sh("readlink /etc/pve/local /etc/pve/lxc"), "nodes/pve1\nnodes/pve1/lxc");
    let list: serde_json::Value = serde_json::from_str(&lab.sh("cat /etc/pve/.vmlist")).unwrap();
    assert_eq!(list["ids"]["9999"]["node"], "pve1");
    has(&lab.sh("cat /proc/net/unix"), "@/var/lib/lxc/101/command");
    assert_eq!(lab.sh("test -d /sys/fs/cgroup/memory/lxc/101 -o -d /sys/fs/cgroup/lxc/101 && systemctl is-system-running"), "running");
    assert_eq!(lab.sh("ls -A /var/log/journal | wc -l"), "1", "the journal is kept");
}

#[test]
fn a_test_can_order_failures_and_slowness() {
    let lab = shared_lab!();
    let rule = "PVE_FAIL=pct status 101=7:boom";
    let ordered = lab.exec("pve1", &["env", rule, "pct", "status", "101"]);
    assert_eq!((ordered.rc, ordered.err.as_str()), (7, "boom\n"));
    assert_eq!(lab.exec("pve1", &["env", rule, "pct", "status", "102"]).rc, 0);
    let begin = std::time::Instant::now();
    lab.node(&["env", "PVE_DELAY_MS=700", "pct", "status", "101"]);
    assert!(begin.elapsed() >= Duration::from_millis(700));
    has(&lab.node(&["env", "PVE_VERSION=8.4", "pvesm", "status"]), "           Total            Used       Available");
}

/// What a lab could leave on the machine.
fn remains(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    if Path::new(&format!("/run/netns/pl-{name}")).exists() {
        found.push("network namespace".to_owned());
    }
    if Path::new(&format!("/var/lib/proxlab/{name}")).exists() {
        found.push("directory".to_owned());
    }
    let run = |argv: &[&str]| String::from_utf8(std::process::Command::new(argv[0]).args(&argv[1..]).output().unwrap().stdout).unwrap();
    let mine = format!("/proxlab/{name}/");
    found.extend(run(&["losetup", "-a"]).lines().filter(|l| l.contains(&mine)).map(|l| format!("loop {l}")));
    found.extend(std::fs::read_to_string("/proc/mounts").unwrap().lines().filter(|l| l.contains(&mine)).map(|l| format!("mount {l}")));
    let cgroups = run(&["find", "/sys/fs/cgroup", "-maxdepth", "4", "-type", "d", "-path", &format!("*/proxlab/{name}")]);
    found.extend(cgroups.lines().map(|l| format!("cgroup {l}")));
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&format!("/var/lib/proxlab/{name}")) || line.contains(&format!("pl-{name}-")) {
            found.push(format!("process {line}"));
        }
    }
    found
}

#[test]
fn a_killed_up_leaves_nothing_that_down_does_not_remove() {
    for (number, millis) in [80u64, 350, 900, 1500, 2200].into_iter().enumerate() {
        let name = format!("x{}{number}", std::process::id());
        let mut up = lab_script(&["up", &name]).stderr(Stdio::piped()).spawn().unwrap();
        // Not a synchronisation: the moment of the kill is the thing under test.
        std::thread::sleep(Duration::from_millis(millis));
        let _ = up.kill();
        let ended = up.wait_with_output().unwrap();
        if ended.status.code() == Some(77) {
            return skip(String::from_utf8_lossy(&ended.stderr).trim());
        }
        assert!(lab_script(&["down", &name]).output().unwrap().status.success());
        let mut left = remains(&name);
        // A child of the killed script may need a moment to notice that its lab is gone.
        for _ in 0..40 {
            if left.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
            left = remains(&name);
        }
        assert!(left.is_empty(), "killed after {millis} ms: {left:?}");
    }
}

#[test]
fn two_labs_stand_side_by_side() {
    let one = shared_lab!();
    let Some(two) = Lab::bare("b") else { return skip("no lab on this machine") };
    two.create(101);
    assert_eq!(two.guest(101, "hostname"), "t101");
    assert_eq!(one.guest(101, "hostname"), "web");
    let machine = std::process::Command::new("ip").args(["-4", "-o", "addr"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&machine.stdout).contains("10.77.0."), "the machine itself has no address of a lab");
    let name = two.name().to_owned();
    drop(two);
    assert_eq!(remains(&name), Vec::<String>::new());
    assert_eq!(one.guest(101, "hostname"), "web");
}

#[test]
fn a_lab_goes_with_its_owner() {
    let name = format!("o{}", std::process::id());
    let mut owner = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let up = lab_script(&["up", &name, "--bare", "--owner", &owner.id().to_string()]).output().unwrap();
    let stood = !remains(&name).is_empty();
    let _ = owner.kill();
    let _ = owner.wait();
    if up.status.code() == Some(77) {
        return skip(String::from_utf8_lossy(&up.stderr).trim());
    }
    assert!(up.status.success() && stood, "{}", String::from_utf8_lossy(&up.stderr));
    wait_for("the lab to follow its owner", || remains(&name).is_empty());
}
