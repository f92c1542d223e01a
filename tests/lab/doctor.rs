//! The lock doctor on real containers: backups and restores that are killed at any moment, what is then on the node by its own
//! tools, what the doctor says of it, and that its one plan clears away that and nothing else.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{Lab, skip, wait_for};
use crate::has;
use crate::story::{archives, backs_up, conf, expect, fast, growing, in_the_middle, init_pid, job, json, node, partial, slow, with_data};

const DUMP: &str = "/var/lib/vz/dump";

fn check(lab: &Lab, vmid: u32) -> Value {
    json(lab, &["repair", "check", "locks", &vmid.to_string()])
}

fn verdict(told: &Value) -> &str {
    told["guests"][0]["verdict"]["is"].as_str().unwrap()
}

/// What the doctor says is left and proven to be nobody's: kind and place.
fn named(told: &Value) -> BTreeSet<String> {
    let one = |l: &Value| {
        assert!(l["proof"].is_string(), "{told}");
        format!("{} {}", l["what"].as_str().unwrap(), l["at"].as_str().unwrap())
    };
    told["left"].as_array().unwrap().iter().map(one).collect()
}

/// What is on the node by its own tools.
fn on_node(lab: &Lab, vmid: u32) -> BTreeSet<String> {
    let conf = conf(lab, vmid);
    let mut out: BTreeSet<String> = partial(lab, vmid)
        .lines()
        .map(|f| if f.ends_with(".tmp") { format!("folder {DUMP}/{f}") } else { format!("partial {DUMP}/{f}") })
        .collect();
    let current = conf.split("\n[").next().unwrap();
    out.extend(current.lines().find_map(|l| l.strip_prefix("lock: ")).map(|l| format!("lock {l}")));
    out.extend(conf.contains("[vzdump]").then(|| "snapshot vzdump".to_owned()));
    out.extend((!lab.sh("grep -c ' /mnt/vzsnap0' /proc/self/mounts || true").starts_with('0')).then(|| "mount /mnt/vzsnap0".to_owned()));
    out.extend((lab.sh(&format!("lxc-info -n {vmid} -s -H")) == "FROZEN").then(|| "frozen frozen".to_owned()));
    out
}

fn snapshots_on_disk(lab: &Lab, vmid: u32) -> bool {
    lab.sh(&format!("ls /var/lib/pool/images/{vmid}")).contains('@')
}

/// Waits until what a killed backup had started is gone too.
fn settled(lab: &Lab) {
    wait_for("the end of all of it", || lab.sh("pgrep -x 'vzdump|tar|zstd' || true").is_empty());
}

#[test]
fn doctor_a_backup_that_is_killed_at_any_moment_leaves_nothing_that_is_not_named() {
    let Some(lab) = &node("dk") else { return skip("no lab on this machine") };
    with_data(lab, 601);
    let look = "md5sum /srv/rnd";
    let (data, init) = (lab.guest(601, look), init_pid(lab, 601));
    let before = conf(lab, 601);
    let backup = "vzdump 601 --storage local --compress zstd --mode snapshot";
    slow(lab);
    let begun = Instant::now();
    lab.sh(backup);
    let whole = begun.elapsed();
    let moments: u32 = std::env::var("PROXIMITY_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let mut kinds = BTreeSet::new();
    let mut seen = 0;
    for n in 0..moments {
        slow(lab);
        let begun = Instant::now();
        lab.sh(&format!("setsid {backup} >/dev/null 2>&1 </dev/null &"));
        // From its very begin to its very end; the last ones by what is there, not by the time.
        let at = whole.mul_f64(f64::from(n) / f64::from(moments.max(2) - 1));
        wait_for("the moment", || begun.elapsed() >= at);
        lab.sh("pkill -9 -x vzdump || true");
        settled(lab);
        let told = check(lab, 601);
        assert_eq!(verdict(&told), "nobody", "{told}");
        let truth = on_node(lab, 601);
        assert_eq!(named(&told), truth, "moment {n}: {told}");
        kinds.extend(truth.iter().filter_map(|l| l.split(' ').next()).map(str::to_owned));
        if !truth.is_empty() {
            seen += 1;
            let status = json(lab, &["status"]);
            let more = truth.iter().any(|l| !l.starts_with("lock"));
            let findings = status["findings"].as_array().unwrap();
            assert_eq!(findings.iter().any(|f| f["what"] == "left by killed jobs" && f["level"] == "warn"), more, "{status}");
            expect(lab, 6, &["repair", "fix", "locks", "601"]);
            expect(lab, 0, &["repair", "fix", "locks", "601", "--yes"]);
        }
        assert_eq!(on_node(lab, 601), BTreeSet::new(), "moment {n}");
        assert!(!snapshots_on_disk(lab, 601), "moment {n}");
        assert_eq!((conf(lab, 601), init_pid(lab, 601)), (before.clone(), init.clone()), "moment {n}");
        assert_eq!(lab.guest(601, look), data);
        // An archive is named by the second in which it was begun.
        wait_for("the next second", || !lab.sh(&format!("ls {DUMP}")).contains(&lab.sh("date +%Y_%m_%d-%H_%M_%S")));
        backs_up(lab, 601);
    }
    println!("killed at {moments} moments of {whole:?}: {seen} left something, of these kinds: {kinds:?}");
    assert!(seen >= moments / 2 && kinds.len() >= 4, "{seen}: {kinds:?}");
    // Suspend mode: what was killed while the guest stood still.
    lab.sh("sed -i '1i lock: backup' /etc/pve/lxc/601.conf && lxc-freeze -n 601");
    let told = check(lab, 601);
    assert_eq!(named(&told), on_node(lab, 601));
    assert!(named(&told).contains("frozen frozen"), "{told}");
    expect(lab, 0, &["repair", "fix", "locks", "--yes"]);
    assert_eq!((lab.guest(601, look), on_node(lab, 601)), (data, BTreeSet::new()));
}

#[test]
fn doctor_whoever_holds_it_is_named_and_kept() {
    let Some(lab) = &node("dh") else { return skip("no lab on this machine") };
    let id = in_the_middle(lab, 611);
    let told = check(lab, 611);
    assert_eq!(verdict(&told), "held", "{told}");
    let by = told["guests"][0]["verdict"]["by"].as_str().unwrap();
    let worker = lab.sh("pgrep -x vzdump | tail -1");
    has(by, &format!("vzdump of root@pam (pid {worker})"));
    has(told["guests"][0]["verdict"]["hint"].as_str().unwrap(), &format!("proximity job cancel {id}"));
    assert!(told["guests"][0]["verdict"]["since"].is_string() && told["left"].as_array().unwrap().is_empty(), "{told}");
    let locked = conf(lab, 611);
    for words in [&["repair", "fix", "locks", "611", "--yes"][..], &["guest", "unlock", "611", "--yes"]] {
        has(&expect(lab, 6, words).err, "held by vzdump");
    }
    // Nothing is left, so the plan of the node has no steps.
    has(&expect(lab, 0, &["repair", "fix", "locks", "--yes"]).out, "nothing to do");
    assert_eq!(conf(lab, 611), locked);
    fast(lab);
    expect(lab, 0, &["job", "wait", &id]);
    assert_eq!(archives(lab, 611).len(), 1);

    // Somebody who is no backup, at each of the two lock files; then only a child of his, after he was killed.
    lab.sh("sed -i '1i lock: backup' /etc/pve/lxc/611.conf");
    for path in ["/var/run/vzdump.lock", "/run/lock/lxc/pve-config-611.lock"] {
        lab.sh(&format!("mkdir -p /run/lock/lxc; setsid flock {path} sleep 4242 >/dev/null 2>&1 </dev/null &"));
        wait_for("the holder", || !lab.sh("pgrep -x sleep -a | grep 4242 || true").is_empty());
        let told = check(lab, 611);
        let (by, flock) = (told["guests"][0]["verdict"]["by"].as_str().unwrap().to_owned(), lab.sh("pgrep -x flock"));
        assert_eq!((verdict(&told), by), ("held", format!("flock {path} sleep 4242 (pid {flock})")), "{told}");
        has(&expect(lab, 6, &["repair", "fix", "locks", "611", "--yes"]).err, "held by flock");
        lab.sh("pkill -9 -x flock");
        let (told, sleep) = (check(lab, 611), lab.sh("pgrep -x sleep -a | grep 4242 | cut -d' ' -f1"));
        assert_eq!(told["guests"][0]["verdict"]["by"], format!("sleep 4242 (pid {sleep})"), "{told}");
        has(&expect(lab, 6, &["guest", "unlock", "611", "--yes"]).err, "held by sleep 4242");
        lab.sh(&format!("kill -9 {sleep}"));
    }
    has(&conf(lab, 611), "lock: backup");
    // What cannot be asked keeps it too.
    lab.sh("echo rubbish >/var/run/vzdump.pid");
    let told = check(lab, 611);
    assert_eq!((verdict(&told), told["left"][0]["proof"].is_null()), ("unknown", true), "{told}");
    expect(lab, 6, &["repair", "fix", "locks", "611", "--yes"]);
    // Left of a vzdump whose number another process has by now.
    lab.sh("printf 'UPID:pve1:%08X:00000001:6A62022E:vzdump:611:root@pam:\\n' 1 >/var/run/vzdump.pid");
    let told = check(lab, 611);
    has(&told.to_string(), "its pid 1 is another process now");
    assert_eq!(verdict(&told), "nobody");
    expect(lab, 0, &["repair", "fix", "locks", "611", "--yes"]);
    lab.sh("rm -f /var/run/vzdump.pid");
    assert!(!conf(lab, 611).contains("lock"));
    backs_up(lab, 611);
}

#[test]
fn doctor_who_waits_in_the_kernel_and_who_outlived_a_kill_are_told_and_nothing_is_done() {
    let Some(lab) = &node("dd") else { return skip("no lab on this machine") };
    with_data(lab, 621);
    lab.sh("sed -i '1i lock: backup' /etc/pve/lxc/621.conf");
    // Who starts another process waits in state D until that one runs its program (vfork(2)), and this one waits for a reader.
    let waits = "import os, fcntl\nl = open('/var/run/vzdump.lock', 'w')\nfcntl.flock(l, 2)\nos.posix_spawn('/bin/true', ['true'], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, '/root/fifo', os.O_RDONLY, 0)])\n";
    lab.write("/root/waits.py", waits);
    lab.sh("mkfifo /root/fifo; setsid python3 /root/waits.py >/dev/null 2>&1 </dev/null &");
    let waiting = || lab.sh("for p in $(pgrep -f waits[.]py); do echo $(cut -d' ' -f3 /proc/$p/stat) $p; done | sed -n 's/^D //p'");
    wait_for("a process in state D", || !waiting().is_empty());
    let (pid, told) = (waiting(), check(lab, 621));
    let of = &told["guests"][0]["verdict"];
    assert_eq!(verdict(&told), "held", "{told}");
    let by = of["by"].as_str().unwrap();
    assert!(by.starts_with("python3 /root/waits.py") && by.ends_with(&format!("(pid {pid})")), "{by}");
    has(of["does"].as_str().unwrap(), "it waits in the kernel (state D)");
    has(of["hint"].as_str().unwrap(), "no signal ends it while it waits");
    has(&expect(lab, 6, &["repair", "fix", "locks", "621", "--yes"]).err, "state D");
    lab.sh("pkill -9 -f waits[.]py");
    assert_eq!(verdict(&check(lab, 621)), "nobody");
    expect(lab, 0, &["repair", "fix", "locks", "621", "--yes"]);

    // What a backup had started goes on writing after the backup itself was killed: no task, no lock file tells of it.
    slow(lab);
    lab.sh("setsid vzdump 621 --storage local --compress zstd >/dev/null 2>&1 </dev/null &");
    growing(lab, 621);
    lab.sh("pkill -STOP -x zstd; pkill -9 -x vzdump");
    wait_for("the end of vzdump", || lab.sh("pgrep -x vzdump || true").is_empty());
    let (zstd, told) = (lab.sh("pgrep -x zstd"), check(lab, 621));
    has(told["guests"][0]["verdict"]["by"].as_str().unwrap(), &format!("(pid {zstd})"));
    has(&told.to_string(), &format!("process {zstd} has {DUMP}/vzdump-lxc-621-"));
    expect(lab, 6, &["repair", "fix", "locks", "621", "--yes"]);
    lab.sh("pkill -9 -x zstd");
    settled(lab);
    // On a shared storage another node may write it, but for what the log of a task of this node names.
    lab.sh("sed -i '/^dir: local$/a\\\tshared 1' /etc/pve/storage.cfg");
    assert_eq!(named(&check(lab, 621)), on_node(lab, 621));
    lab.sh("find /var/log/pve/tasks -type f -name '*vzdump*' -exec truncate -s 0 {} +");
    let told = check(lab, 621);
    let files = |l: &&Value| matches!(l["what"].as_str(), Some("partial" | "folder"));
    let files: Vec<&Value> = told["left"].as_array().unwrap().iter().filter(files).collect();
    assert!(files.len() == 2 && files.iter().all(|l| l["proof"].is_null() && l["unknown"].to_string().contains("is shared")), "{told}");
    expect(lab, 0, &["repair", "fix", "locks", "621", "--yes"]);
    assert!(on_node(lab, 621).iter().all(|l| l.starts_with("partial") || l.starts_with("folder")) && on_node(lab, 621).len() == 2);
    lab.sh("sed -i '/shared 1/d' /etc/pve/storage.cfg");
    expect(lab, 0, &["repair", "fix", "locks", "621", "--yes"]);
    assert_eq!(on_node(lab, 621), BTreeSet::new());
    backs_up(lab, 621);
}

/// A pct that goes to sleep at this verb instead of doing it.
fn pct_sleeps_at(lab: &Lab, verb: &str) {
    lab.write(
        "/root/pct",
        &format!("#!/bin/bash\n[ \"$1\" = {verb} ] && exec sleep 4711\nexec -a pct /usr/local/lib/lab/pve-standin \"$@\"\n"),
    );
    lab.sh("mv /usr/bin/pct /usr/bin/pct.away && install -m 755 /root/pct /usr/bin/pct");
}

/// The worker of the newest job is killed while its pct sleeps.
fn killed_in_its_sleep(lab: &Lab, id: &str) {
    wait_for("the sleep", || !lab.sh("pgrep -f 'sleep 471[1]' || true").is_empty());
    lab.sh(&format!("kill -9 $(systemctl show -p MainPID --value proximity-job-{id}); pkill -9 -f 'sleep 471[1]' || true"));
    wait_for("the end to be found out", || job(lab, id)["state"] == "failed");
    lab.sh("mv /usr/bin/pct.away /usr/bin/pct");
}

fn job_of(lab: &Lab, words: &str) -> String {
    lab.sh(&format!("proximity {words} --no-wait 3</root/pw")).trim().to_owned()
}

#[test]
fn doctor_half_a_guest_goes_by_its_name_and_its_removal_goes_on_after_a_kill() {
    let Some(lab) = &node("dr") else { return skip("no lab on this machine") };
    with_data(lab, 631);
    let told = json(lab, &["backup", "run", "631"]);
    let volid = told["outcome"]["volid"].as_str().unwrap();
    let (original, init, data) = (conf(lab, 631), init_pid(lab, 631), lab.guest(631, "md5sum /srv/rnd"));
    let half = || {
        // It stands still where the archive is unpacked.
        lab.write("/root/tar", "#!/bin/bash\n[ \"$1 $2\" = 'xpf -' ] && exec sleep 4712\nexec /usr/bin/tar.away \"$@\"\n");
        lab.sh("mv /usr/bin/tar /usr/bin/tar.away && install -m 755 /root/tar /usr/bin/tar");
        let id = job_of(lab, &format!("backup restore {volid} --to 651"));
        wait_for("the unpacking", || {
            !lab.sh("pgrep -f 'sleep 471[2]' || true").is_empty() && lab.sh("cat /etc/pve/lxc/651.conf || true").contains("rootfs")
        });
        let worker = format!("systemctl show -p MainPID --value proximity-job-{id}");
        lab.sh(&format!("kill -9 $({worker}); pkill -9 -x pct; pkill -9 -f 'sleep 471[2]'; mv /usr/bin/tar.away /usr/bin/tar"));
        wait_for("the end to be found out", || job(lab, &id)["state"] == "failed");
        wait_for("the end of all of it", || lab.sh("pgrep -x 'pct' || true").is_empty());
        id
    };
    let made_by = half();
    has(&conf(lab, 651), "lock: create");
    let told = check(lab, 651);
    assert_eq!((verdict(&told), named(&told)), ("nobody", ["half create".to_owned()].into()), "{told}");
    has(&told["left"][0]["words"].to_string(), &format!("half a guest, of our job {made_by}"));
    // Not with the rest of the node, not without its name, not by another one, not without a passphrase.
    has(&expect(lab, 6, &["repair", "fix", "locks", "--yes"]).err, "only by its own number");
    let name = conf(lab, 651).lines().find_map(|l| l.strip_prefix("hostname: ").map(str::to_owned)).unwrap_or("651".into());
    expect(lab, 6, &["repair", "fix", "locks", "651", "--yes"]);
    expect(lab, 6, &["repair", "fix", "locks", "651", "--yes", "--name", "t631"]);
    assert_ne!(lab.exec("pve1", &["proximity", "repair", "fix", "locks", "651", "--yes", "--name", &name]).rc, 0);
    has(&conf(lab, 651), "lock: create");

    // Killed between taking the lock away and removing it: it is known still, and goes on.
    let fix = format!("repair fix locks 651 --yes --name {name} --proof-fd 3");
    pct_sleeps_at(lab, "destroy");
    let id = job_of(lab, &fix);
    killed_in_its_sleep(lab, &id);
    assert!(!conf(lab, 651).contains("lock"), "{}", conf(lab, 651));
    let told = check(lab, 651);
    let what = told["left"][0]["words"].as_str().unwrap();
    has(what, &format!("a guest that job {id} made to be removed"));
    lab.sh(&format!("proximity {fix} 3</root/pw"));
    assert_ne!(lab.exec("pve1", &["pct", "status", "651"]).rc, 0, "it is gone");
    assert_eq!(lab.sh("ls /var/lib/pool/images | grep -cx 651 || true"), "0", "and its volume");
    assert_eq!((conf(lab, 631), init_pid(lab, 631), lab.guest(631, "md5sum /srv/rnd")), (original, init, data));

    // The plan of a killed backup, killed between two of its steps.
    slow(lab);
    lab.sh("setsid vzdump 631 --storage local --compress zstd >/dev/null 2>&1 </dev/null &");
    growing(lab, 631);
    lab.sh("pkill -9 -x vzdump");
    settled(lab);
    pct_sleeps_at(lab, "delsnapshot");
    let id = job_of(lab, "repair fix locks --yes");
    killed_in_its_sleep(lab, &id);
    let left = on_node(lab, 631);
    assert!(!left.iter().any(|l| l.starts_with("lock") || l.starts_with("mount")) && left.len() >= 2, "{left:?}");
    assert_eq!(named(&check(lab, 631)), left);
    expect(lab, 0, &["repair", "fix", "locks", "--yes"]);
    assert_eq!(on_node(lab, 631), BTreeSet::new());
    has(&expect(lab, 0, &["repair", "fix", "locks", "--yes"]).out, "nothing to do");
    backs_up(lab, 631);
}
