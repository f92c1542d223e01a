//! Stories of the program on real containers: what is promised about backups, restores, jobs and refusals is looked
//! up on the node itself, not only in the program's own words.

use crate::harness::{Lab, Said, skip, wait_for};
use crate::has;
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;
use std::sync::OnceLock;

const DUMP: &str = "/var/lib/vz/dump";
const KNOBS: &str = "/etc/pve-standin.json";
/// Bytes a second of a slow backup: the tree of a guest with a file of `RANDOM_MIB` takes some seconds.
const SLOW: u32 = 6_000_000;
const RANDOM_MIB: u32 = 24;

/// A node with store and vault, without guests. The set-up costs seconds by design: it is made once and copied.
pub(crate) fn node(name: &str) -> Option<Lab> {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    let lab = Lab::bare(name)?;
    lab.sh("umask 077; echo 'orbit lantern mosaic velvet quarry seven' >/root/pw");
    let made = MADE.get_or_init(|| {
        lab.sh("proximity init --operator ada --passphrase-fd 3 3</root/pw >/root/words");
        lab.command("pve1", &["tar", "-C", "/", "-cf", "-", "var/lib/proximity"]).output().unwrap().stdout
    });
    let mut unpack = lab.command("pve1", &["tar", "-C", "/", "-xpf", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    unpack.stdin.take().unwrap().write_all(made).unwrap();
    assert!(unpack.wait().unwrap().success());
    Some(lab)
}

/// The node of the stories that disturb nobody.
fn quiet_node() -> Option<&'static Lab> {
    static QUIET: OnceLock<Option<Lab>> = OnceLock::new();
    QUIET.get_or_init(|| node("q")).as_ref()
}

macro_rules! story_lab {
    ($lab:expr) => {
        match $lab {
            Some(lab) => lab,
            None => return skip("no lab on this machine"),
        }
    };
}

/// The program on the node.
fn ask(lab: &Lab, words: &[&str]) -> Said {
    let mut argv = vec!["proximity"];
    argv.extend(words);
    lab.exec("pve1", &argv)
}

/// The program on the node, which has to exit so.
pub(crate) fn expect(lab: &Lab, rc: i32, words: &[&str]) -> Said {
    let said = ask(lab, words);
    assert_eq!(said.rc, rc, "proximity {words:?}: {said:?}");
    said
}

/// What it prints as JSON, with exit status 0.
pub(crate) fn json(lab: &Lab, words: &[&str]) -> Value {
    let mut all = vec!["-o", "json"];
    all.extend(words);
    serde_json::from_str(&expect(lab, 0, &all).out).unwrap()
}

pub(crate) fn job(lab: &Lab, id: &str) -> Value {
    json(lab, &["job", "show", id])
}

/// Texts of a list in JSON, one a line.
fn lines(list: &Value) -> String {
    list.as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

/// How many jobs were ever begun for a guest.
fn jobs_of(lab: &Lab, vmid: u32) -> usize {
    let all = json(lab, &["job", "list"]);
    all["items"].as_array().unwrap().iter().filter(|j| j["title"].as_str().unwrap().contains(&format!(" {vmid} "))).count()
}

pub(crate) fn init_pid(lab: &Lab, vmid: u32) -> String {
    lab.sh(&format!("lxc-info -n {vmid} -p -H"))
}

pub(crate) fn conf(lab: &Lab, vmid: u32) -> String {
    lab.sh(&format!("cat /etc/pve/lxc/{vmid}.conf"))
}

/// Partial files of backups of a guest.
pub(crate) fn partial(lab: &Lab, vmid: u32) -> String {
    lab.sh(&format!("ls {DUMP} | grep -E 'lxc-{vmid}-.*[.](dat|tmp)$' || true"))
}

pub(crate) fn archives(lab: &Lab, vmid: u32) -> Vec<String> {
    lab.sh(&format!("ls {DUMP} | grep -E 'lxc-{vmid}-.*[.]zst$' || true")).lines().map(str::to_owned).collect()
}

/// No lock, no snapshot, no partial file, and it runs.
fn is_clean(lab: &Lab, vmid: u32) {
    let conf = conf(lab, vmid);
    assert!(!conf.contains("lock") && !conf.contains("vzdump"), "{conf}");
    assert_eq!(partial(lab, vmid), "");
    assert!(!lab.sh(&format!("ls /var/lib/pool/images/{vmid}")).contains('@'));
    assert_eq!(lab.node(&["pct", "status", &vmid.to_string()]), "status: running");
}

/// A running guest with data that does not compress.
pub(crate) fn with_data(lab: &Lab, vmid: u32) {
    lab.create(vmid);
    lab.guest(vmid, &format!("dd if=/dev/urandom of=/srv/rnd bs=1M count={RANDOM_MIB} 2>/dev/null; sync"));
}

pub(crate) fn slow(lab: &Lab) {
    lab.write(KNOBS, &format!("{{\"vzdump_bytes_per_s\": {SLOW}}}"));
}

pub(crate) fn fast(lab: &Lab) {
    lab.sh(&format!("rm -f {KNOBS}"));
}

/// Waits until the archive of a guest grows on the disk.
pub(crate) fn growing(lab: &Lab, vmid: u32) {
    let size = format!("stat -c %s {DUMP}/vzdump-lxc-{vmid}-*.tar.dat 2>/dev/null || echo 0");
    wait_for("a growing archive", || lab.sh(&size).parse::<u64>().unwrap() > 2_000_000);
}

/// Waits until the archive of a guest grows, and holds it there until `go_on`.
fn held(lab: &Lab, vmid: u32) {
    growing(lab, vmid);
    lab.sh("pkill -STOP -x tar");
}

pub(crate) fn go_on(lab: &Lab) {
    lab.sh("pkill -CONT -x tar");
}

/// Starts a slow backup and gives its job's number while its archive grows and its task is known.
pub(crate) fn in_the_middle(lab: &Lab, vmid: u32) -> String {
    with_data(lab, vmid);
    slow(lab);
    let id = expect(lab, 0, &["backup", "run", &vmid.to_string(), "--no-wait"]).out.trim().to_owned();
    growing(lab, vmid);
    wait_for("the task's name", || job(lab, &id)["upid"].is_string());
    assert_eq!(job(lab, &id)["state"], "running");
    has(&conf(lab, vmid), "lock: backup");
    id
}

/// Does what each line of `left behind` says is to be done.
fn tidy(lab: &Lab, left: &str) {
    for line in left.lines() {
        if let Some((_, command)) = line.split_once(": pct ") {
            lab.sh(&format!("pct {command}"));
        } else if let Some(path) = line.strip_prefix("temporary directory ") {
            lab.node(&["rm", "-r", path]);
        } else if let Some(rest) = line.strip_prefix("partial archive ") {
            lab.node(&["rm", rest.split(' ').next().unwrap()]);
        } else {
            panic!("nothing is said about what to do: {line}");
        }
    }
}

/// A backup that runs through: an archive more, and nothing left.
pub(crate) fn backs_up(lab: &Lab, vmid: u32) {
    fast(lab);
    let before = archives(lab, vmid).len();
    let said = expect(lab, 0, &["backup", "run", &vmid.to_string()]);
    has(&said.out, &format!("succeeded: local:backup/vzdump-lxc-{vmid}-"));
    assert_eq!(archives(lab, vmid).len(), before + 1);
    is_clean(lab, vmid);
}

#[test]
fn story_a_backup_is_restored_beside_its_original() {
    let lab = story_lab!(quiet_node());
    lab.node(&[
        "pct",
        "create",
        "401",
        "local:vztmpl/alpine-lab-default_amd64.tar.zst",
        "--hostname",
        "shop",
        "--memory",
        "128",
        "--rootfs",
        "local-lvm:1",
        "--unprivileged",
        "1",
        "--onboot",
        "1",
        "--net0",
        "name=eth0,bridge=proximity-lan,ip=manual",
    ]);
    lab.node(&["pct", "start", "401"]);
    lab.guest(401, "mkdir /srv/x && dd if=/dev/urandom of=/srv/x/rnd bs=1M count=5 2>/dev/null && ln -s rnd /srv/x/link && chown 1000:33 /srv/x/rnd && chmod 640 /srv/x/rnd && sync");
    let look = "cd /srv/x && md5sum rnd link && stat -c '%u %g %a' rnd";
    let (data, before, init) = (lab.guest(401, look), conf(lab, 401), init_pid(lab, 401));

    let told: Value = serde_json::from_str(&expect(lab, 0, &["-o", "json", "backup", "run", "401"]).out).unwrap();
    let volid = told["outcome"]["volid"].as_str().unwrap();
    let file = archives(lab, 401).pop().unwrap();
    assert_eq!(volid, format!("local:backup/{file}"));
    assert_eq!(told["outcome"]["size"], lab.sh(&format!("stat -c %s {DUMP}/{file}")).parse::<u64>().unwrap());
    // What is written after the backup is not in it.
    lab.guest(401, "echo later >>/srv/x/rnd");

    expect(lab, 0, &["backup", "restore", volid, "--to", "451"]);
    assert_eq!(lab.guest(451, look), data);
    assert_ne!(lab.guest(401, look), data, "the original keeps what it wrote since");
    assert_eq!(conf(lab, 401), before);
    assert_eq!(init_pid(lab, 401), init, "the original was not restarted");
    let new = conf(lab, 451);
    has(&new, "hostname: shop-451\n");
    has(&new, "unprivileged: 1");
    assert!(!new.contains("onboot: 1"), "{new}");
    let mac = |text: &str| text.split("hwaddr=").nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert_ne!(mac(&new), mac(&before));
    assert_eq!(lab.sh("cat /proc/$(lxc-info -n 451 -p -H)/uid_map").split_whitespace().nth(1), Some("100000"));

    // It never overwrites.
    let rows = jobs_of(lab, 401);
    let refused = expect(lab, 6, &["backup", "restore", volid, "--to", "401"]);
    has(&refused.err, "never overwrites");
    assert_eq!((jobs_of(lab, 401), init_pid(lab, 401)), (rows, init));
}

#[test]
fn story_a_killed_worker_is_found_out_and_what_it_left_is_named() {
    let lab = &story_lab!(node("w"));
    let id = in_the_middle(lab, 411);
    let worker = lab.sh(&format!("systemctl show -p MainPID --value proximity-job-{id}"));
    lab.sh(&format!("kill -9 {worker}"));
    wait_for("the end to be found out", || job(lab, &id)["state"] == "failed");

    let told = job(lab, &id);
    has(told["outcome"]["what"].as_str().unwrap(), "interrupted: its worker was killed");
    assert!(told["ended"].is_string());
    has(&expect(lab, 0, &["job", "log", &id]).out, "found out later: failed: interrupted");
    let left = lines(&told["outcome"]["left"]);
    let on_node =
        [(conf(lab, 411).contains("lock: backup"), "locked (backup)"), (conf(lab, 411).contains("[vzdump]"), "snapshot 'vzdump'")];
    for (there, named) in on_node {
        assert_eq!(left.contains(named), there, "{named}: {left}");
    }
    partial(lab, 411).lines().for_each(|file| has(&left, file));
    let said = expect(lab, 1, &["job", "wait", &id]);
    has(&said.err, "its worker was killed");
    tidy(lab, &left);
    assert_eq!(archives(lab, 411), Vec::<String>::new(), "no half archive under a whole one's name");
    backs_up(lab, 411);
}

#[test]
fn story_warnings_are_told_and_are_no_plain_success() {
    let lab = &story_lab!(node("a"));
    lab.create(415);
    lab.write("/root/warns", "#!/bin/bash\necho 'WARN: a disk is old'\nexec -a vzdump /usr/local/lib/lab/pve-standin \"$@\"\n");
    lab.sh("mv /usr/bin/vzdump /usr/bin/vzdump.away && install -m 755 /root/warns /usr/bin/vzdump");
    let said = expect(lab, 10, &["backup", "run", "415"]);
    has(&said.out, "warned: local:backup/");
    has(&said.out, "warning: a disk is old");
    assert_eq!(archives(lab, 415).len(), 1);
    assert_eq!(job(lab, "1")["state"], "warned");
    expect(lab, 10, &["job", "wait", "1"]);
    is_clean(lab, 415);
}

/// Power cut and power on. The node shares the machine's kernel, so a new boot has to be told to it.
fn power_cut(lab: &Lab) {
    lab.crash();
    lab.boot();
    lab.sh("cat /proc/sys/kernel/random/uuid >/run/boot_id && mount --bind /run/boot_id /proc/sys/kernel/random/boot_id");
}

#[test]
fn story_a_power_cut_in_the_middle_of_a_backup_is_told_afterwards() {
    let lab = &story_lab!(node("p"));
    let id = in_the_middle(lab, 421);
    power_cut(lab);
    let all = json(lab, &["job", "list"]);
    let told = all["items"].as_array().unwrap().iter().find(|j| j["id"].as_i64() == id.parse().ok()).unwrap();
    assert_eq!(told["state"], "failed");
    has(told["outcome"]["what"].as_str().unwrap(), "the host went down");
    let left = lines(&told["outcome"]["left"]);
    has(&conf(lab, 421), "lock: backup");
    has(&left, "421 is still locked (backup): pct unlock 421");
    has(&left, "snapshot 'vzdump' of 421");
    let files = partial(lab, 421);
    assert_eq!(files.lines().count(), 2, "{files}");
    files.lines().for_each(|file| has(&left, &format!("{DUMP}/{file}")));

    let status = json(lab, &["status"]);
    let finding = status["findings"].as_array().unwrap().iter().find(|f| f["what"] == "guest 421 t421").unwrap();
    assert_eq!(finding["level"], "bad");
    has(finding["why"].as_str().unwrap(), "locked (backup) and held by nobody");
    expect(lab, 1, &["job", "wait", &id]);
    has(&expect(lab, 6, &["backup", "run", "421"]).err, "proximity guest unlock");
    // The lock goes after a look, and not while a process is at the lock files.
    expect(lab, 6, &["guest", "unlock", "421"]);
    for path in ["/var/run/vzdump.lock", "/run/lock/lxc/pve-config-421.lock"] {
        lab.sh(&format!("mkdir -p /run/lock/lxc; setsid flock {path} sleep 600 >/dev/null 2>&1 </dev/null & sleep 0.3"));
        // Both have it open: whoever took it, and what it runs.
        let said = expect(lab, 6, &["guest", "unlock", "421", "--yes"]).err;
        assert!(said.contains("held by flock ") && said.contains("sleep 600 (pid "), "{path}: {said}");
        has(&conf(lab, 421), "lock: backup");
        lab.sh("pkill -x sleep");
    }
    expect(lab, 0, &["guest", "unlock", "421", "--yes"]);
    assert!(!conf(lab, 421).contains("lock: backup"));
    has(&expect(lab, 6, &["guest", "unlock", "421", "--yes"]).err, "is not locked");
    let told = json(lab, &["audit", "list", "--action", "job.unlock"]);
    assert_eq!(told["items"][0]["outcome"], "ok", "{told}");
    let rest: Vec<&str> = left.lines().filter(|line| !line.contains("pct unlock")).collect();
    tidy(lab, &rest.join("\n"));
    lab.node(&["pct", "start", "421"]);
    backs_up(lab, 421);
}

#[test]
fn story_a_cancelled_backup_tidies_up_behind_itself() {
    let lab = &story_lab!(node("c"));
    let id = in_the_middle(lab, 431);
    // Still running: 9, and the wait did not disturb it.
    expect(lab, 9, &["job", "wait", &id, "--within", "1"]);
    let init = init_pid(lab, 431);
    expect(lab, 0, &["job", "cancel", &id]);
    let told = job(lab, &id);
    assert_eq!((told["state"].as_str(), lines(&told["outcome"]["left"]).as_str()), (Some("cancelled"), ""));
    is_clean(lab, 431);
    assert_eq!(archives(lab, 431), Vec::<String>::new());
    assert_eq!(init_pid(lab, 431), init);
    let log = expect(lab, 0, &["job", "log", &id]).out;
    has(log.lines().last().unwrap(), "cancelled: ended on request");
    assert_eq!(lab.sh("pgrep -x vzdump || true"), "", "no vzdump goes on");
    expect(lab, 1, &["job", "wait", &id]);
    has(&expect(lab, 6, &["job", "cancel", &id]).err, "has ended: cancelled");
    expect(lab, 5, &["job", "cancel", "4711"]);
    backs_up(lab, 431);
}

#[test]
fn story_a_storage_that_fills_up_fails_the_job_and_frees_the_guest() {
    let lab = &story_lab!(node("f"));
    with_data(lab, 441);
    let leave = |file: &str, bytes: u32| {
        lab.sh(&format!("fallocate -l $(($(df --output=avail -B1 /var/lib/vz | tail -1) - {bytes})) /var/lib/vz/{file}"));
    };
    leave("other", 90_000_000);
    let plan = expect(lab, 0, &["backup", "run", "441", "--dry-run"]);
    has(&plan.out, "vzdump 441");
    assert_eq!(
        lab.sh("ls /var/log/pve/tasks/index 2>/dev/null && grep -c vzdump: /var/log/pve/tasks/index || true"),
        lab.sh("ls /var/log/pve/tasks/index 2>/dev/null && echo 0 || true"),
        "a dry run runs nothing"
    );
    slow(lab);
    let id = expect(lab, 0, &["backup", "run", "441", "--no-wait"]).out.trim().to_owned();
    growing(lab, 441);
    leave("more", 1_000_000);
    let said = expect(lab, 1, &["job", "wait", &id]);
    let what = job(lab, &id)["outcome"]["what"].as_str().unwrap().to_owned();
    has(&what, "No space left on device");
    has(&said.err, &what);
    has(&expect(lab, 0, &["job", "log", &id]).out, "No space left on device");
    assert_eq!(lines(&job(lab, &id)["outcome"]["left"]), "");
    is_clean(lab, 441);
    assert_eq!(archives(lab, 441), Vec::<String>::new());
    // Now it is known to be too small, and refused before anything is begun.
    let full = expect(lab, 6, &["backup", "run", "441"]);
    has(&full.err, "are needed");
    assert_eq!(jobs_of(lab, 441), 1);
}

#[test]
fn story_what_is_refused_starts_nothing() {
    let lab = story_lab!(quiet_node());
    lab.create(461);
    lab.create(462);
    lab.sh("sed -i '1i lock: backup' /etc/pve/lxc/462.conf");
    let (init, tasks) =
        (init_pid(lab, 461), "cat /var/log/pve/tasks/index /var/log/pve/tasks/active 2>/dev/null | grep -cE ':46[12]:|:777:' || true");
    let before = lab.sh(tasks);
    has(&expect(lab, 6, &["backup", "run", "462"]).err, "462 t462 is locked (backup)");
    has(&expect(lab, 6, &["guest", "stop", "462", "--yes"]).err, "is locked");
    has(&expect(lab, 5, &["backup", "run", "777"]).err, "there is no guest 777");
    has(&expect(lab, 6, &["backup", "run", "461", "--storage", "local-lvm"]).err, "does not take backups");
    expect(lab, 5, &["backup", "run", "461", "--storage", "nowhere"]);
    has(&expect(lab, 6, &["guest", "stop", "461"]).err, "--yes");
    has(&expect(lab, 6, &["backup", "run", "461", "--mode", "stop"]).err, "--yes");
    has(&expect(lab, 6, &["guest", "start", "461"]).err, "runs already");
    has(&expect(lab, 8, &["--read-only", "backup", "run", "461"]).err, "read-only");
    has(&expect(lab, 8, &["--read-only", "guest", "exec", "461", "--", "touch", "/srv/x"]).err, "read-only");
    expect(lab, 2, &["backup", "run", "46x"]);
    expect(lab, 2, &["backup", "frobnicate"]);
    has(&expect(lab, 3, &["--state", "/nowhere", "backup", "run", "461"]).err, "proximity init");
    expect(lab, 0, &["--dry-run", "guest", "stop", "461"]);
    assert_eq!((jobs_of(lab, 461), jobs_of(lab, 462), jobs_of(lab, 777)), (0, 0, 0));
    assert_eq!(lab.sh(tasks), before);
    assert_eq!((init_pid(lab, 461), archives(lab, 461)), (init, Vec::new()));
    assert_eq!(lab.sh("ls -d /nowhere 2>/dev/null || true"), "");
    // And with the yes it is done.
    expect(lab, 0, &["guest", "stop", "461", "--yes"]);
    assert_eq!(lab.node(&["pct", "status", "461"]), "status: stopped");
    expect(lab, 0, &["guest", "start", "461"]);
    assert_eq!(lab.node(&["pct", "status", "461"]), "status: running");
    // The exit status of a command inside is its own.
    expect(lab, 42, &["guest", "exec", "461", "--", "sh", "-c", "exit 42"]);
}

#[test]
fn story_the_vault_opens_with_the_right_passphrase_only() {
    let lab = story_lab!(quiet_node());
    has(&lab.sh("proximity vault status --passphrase-fd 3 3</root/pw"), "opened by ada");
    let wrong =
        lab.exec("pve1", &["bash", "-c", "echo 'orbit lantern mosaic velvet quarry eight' | proximity vault status --passphrase-fd 0"]);
    assert_eq!(wrong.rc, 4, "{wrong:?}");
    has(&wrong.err, "passphrase is wrong");
    expect(lab, 3, &["--state", "/nowhere", "vault", "status"]);
    let again = lab.exec("pve1", &["bash", "-c", "proximity init --operator eve --passphrase-fd 3 3</root/pw"]);
    assert_eq!(again.rc, 6, "a second set-up is refused: {again:?}");
    assert_eq!(lab.sh("stat -c %a /var/lib/proximity"), "700");
    assert_eq!(lab.sh("find /var/lib/proximity -type f -perm /077"), "");
    assert_eq!(lab.sh("grep -rl 'mosaic velvet' /var/lib/proximity || true"), "");
}

#[test]
fn story_an_empty_cluster_file_system_is_never_a_healthy_empty_host() {
    let lab = &story_lab!(node("e"));
    has(&expect(lab, 0, &["guest", "list"]).out, "no guests on this host");
    lab.create(471);
    lab.create(472);
    lab.node(&["pct", "stop", "472"]);
    lab.sh("mv /etc/pve /etc/pve.away && mkdir /etc/pve");
    let status = json(lab, &["status"]);
    let reasons = status["unknown"].to_string();
    for (what, word) in [("guests", "guests"), ("storages", "storages"), ("quorum", "quorum")] {
        assert!(reasons.contains(word), "{what}: {reasons}");
    }
    has(&reasons, "/etc/pve is empty");
    assert!(!expect(lab, 0, &["status"]).out.contains("nothing wrong"));
    let list = expect(lab, 0, &["guest", "list"]);
    assert!(!list.out.contains("no guests"), "{list:?}");
    has(&(list.out.clone() + &list.err), "/etc/pve is empty");
    // It runs, and that can be seen without any file of Proxmox.
    has(&list.out, "471");
    assert_eq!(json(lab, &["guest", "list"])["from"], "kernel");
    has(&expect(lab, 6, &["backup", "run", "471"]).err, "could not be read");
    // It is there, whatever cannot be read now.
    has(&expect(lab, 6, &["backup", "run", "472"]).err, "unknown");
    has(&expect(lab, 7, &["guest", "show", "472"]).err, "unknown");
    let about = status["findings"].as_array().unwrap().iter().find(|f| f["what"] == "appliance").unwrap();
    assert_eq!(about["level"], "unknown");
    assert_eq!(ask(lab, &["backup", "list"]).rc, 7);
    assert_ne!(ask(lab, &["doctor"]).rc, 0);
    assert_eq!(jobs_of(lab, 471), 0);
    lab.sh("rm -r /etc/pve && mv /etc/pve.away /etc/pve");
    backs_up(lab, 471);
    expect(lab, 0, &["guest", "show", "472"]);
    // Where nothing runs either, nothing at all is known.
    lab.node(&["pct", "stop", "471"]);
    lab.sh("mv /etc/pve /etc/pve.away && mkdir /etc/pve");
    expect(lab, 7, &["guest", "list"]);
    expect(lab, 7, &["guest", "show", "471"]);
}

#[test]
fn story_without_pct_the_guests_are_still_told() {
    let lab = &story_lab!(node("m"));
    lab.create(481);
    lab.sh("mv /usr/bin/pct /usr/bin/pct.away");
    let doctor = expect(lab, 1, &["doctor"]);
    let row = doctor.out.lines().find(|l| l.split_whitespace().nth(1) == Some("pct")).unwrap();
    assert!(row.starts_with("FAIL") && row.contains("is not there"), "{row}");
    let list = json(lab, &["guest", "list"]);
    assert_eq!(
        (list["from"].as_str(), list["items"][0]["name"].as_str(), list["items"][0]["power"].as_str()),
        (Some("files"), Some("t481"), Some("running"))
    );
    has(&expect(lab, 0, &["status"]).out, "guests: 1 running");
    let init = init_pid(lab, 481);
    let stop = expect(lab, 1, &["guest", "stop", "481", "--yes"]);
    has(&stop.err, "pct");
    assert_eq!(init_pid(lab, 481), init);
    lab.sh("mv /usr/bin/pct.away /usr/bin/pct");
    expect(lab, 0, &["guest", "stop", "481", "--yes"]);
}

#[test]
fn story_a_hanging_command_can_be_cancelled() {
    let lab = &story_lab!(node("h"));
    lab.create(485);
    lab.node(&["pct", "stop", "485"]);
    lab.sh("mv /usr/bin/pct /usr/bin/pct.away; printf '#!/bin/sh\\nexec sleep 4711\\n' >/usr/bin/pct; chmod 755 /usr/bin/pct");
    let id = expect(lab, 0, &["guest", "start", "485", "--no-wait"]).out.trim().to_owned();
    wait_for("the hanging command", || !lab.sh("pgrep -f 'sleep 4711' || true").is_empty());
    expect(lab, 9, &["job", "wait", &id, "--within", "0"]);
    // The list and the status do not hang with it.
    expect(lab, 0, &["status"]);
    expect(lab, 0, &["job", "cancel", &id]);
    assert_eq!(job(lab, &id)["state"], "cancelled");
    assert_eq!(lab.sh("pgrep -f 'sleep 471[1]' || true"), "");
    lab.sh("mv /usr/bin/pct.away /usr/bin/pct");
    assert_eq!(lab.node(&["pct", "status", "485"]), "status: stopped");
}

#[test]
fn story_names_from_outside_cannot_steer_the_terminal() {
    let lab = story_lab!(quiet_node());
    lab.sh(r"printf 'arch: amd64\nhostname: a\033]0;x\007\377z\nmemory: 16\nostype: alpine\nrootfs: local-lvm:490/vm-490-disk-0.raw,size=1G\ntags: b\033[2J\nd\303(\033[31m odd\n' >/etc/pve/lxc/490.conf");
    lab.sh(r"printf 'arch: amd64\nmemory: 16\nostype: alpine\nrootfs: local-lvm:491/vm-491-disk-0.raw,size=1G\n' >/etc/pve/lxc/491.conf");
    for words in [
        &["guest", "list"][..],
        &["-o", "plain", "guest", "list"],
        &["-o", "json", "guest", "list"],
        &["guest", "show", "490"],
        &["status"],
        &["-o", "json", "status"],
        &["--dry-run", "guest", "start", "490"],
        &["doctor"],
    ] {
        let mut argv = vec!["proximity"];
        argv.extend(words);
        let out = lab.command("pve1", &argv).output().unwrap();
        for bytes in [&out.stdout, &out.stderr] {
            assert!(std::str::from_utf8(bytes).is_ok(), "{words:?} is not UTF-8");
            assert!(
                !bytes.iter().any(|b| *b < 0x20 && *b != b'\n' && *b != b'\t' || *b == 0x7f),
                "{words:?}: {:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
    let list = expect(lab, 0, &["guest", "list"]).out;
    has(list.lines().find(|l| l.starts_with("490 ")).unwrap(), "a␛]0;x␇\u{fffd}z");
    has(list.lines().find(|l| l.starts_with("491 ")).unwrap(), " CT491 ");
    lab.sh("rm /etc/pve/lxc/490.conf /etc/pve/lxc/491.conf");
}

#[test]
fn story_two_backups_at_once_wait_for_each_other() {
    let lab = &story_lab!(node("t"));
    with_data(lab, 493);
    with_data(lab, 494);
    slow(lab);
    let first = expect(lab, 0, &["backup", "run", "493", "--no-wait"]).out.trim().to_owned();
    held(lab, 493);
    let second = expect(lab, 0, &["backup", "run", "494", "--no-wait"]).out.trim().to_owned();
    wait_for("the second to wait", || job(lab, &second)["waits"] == format!("1/1 after {first}: one vzdump at a time"));
    assert_eq!(job(lab, &second)["state"], "queued");
    assert_eq!(job(lab, &first)["state"], "running");
    assert_eq!(lab.sh(&format!("ls {DUMP} | grep -c 'lxc-494' || true")), "0", "the second writes nothing yet");
    assert!(!conf(lab, 494).contains("lock"));
    // The same guest a second time is refused, not queued; and its lock is held.
    expect(lab, 6, &["backup", "run", "493"]);
    has(&expect(lab, 6, &["guest", "unlock", "493", "--yes"]).err, "held by vzdump of root@pam");
    go_on(lab);
    expect(lab, 0, &["job", "wait", &first]);
    expect(lab, 0, &["job", "wait", &second]);
    for vmid in [493, 494] {
        assert_eq!(archives(lab, vmid).len(), 1);
        is_clean(lab, vmid);
    }
}

#[test]
fn story_a_job_outlives_the_line_that_started_it() {
    let lab = &story_lab!(node("l"));
    with_data(lab, 495);
    slow(lab);
    let env = lab.env();
    let (key, known) = (&env["LAB_KEY"], format!("UserKnownHostsFile={}", env["LAB_KNOWN_HOSTS"]));
    // Without a terminal the far end only sees a closed pipe, with one it gets a hang-up.
    for (nth, tty) in ["-T", "-tt"].into_iter().enumerate() {
        let mut line = lab
            .command("op", &["ssh", tty, "-i", key, "-o", &known, "root@10.77.0.10", "proximity backup run 495"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        held(lab, 495);
        line.kill().unwrap();
        line.wait().unwrap();
        wait_for("the far end to notice", || lab.sh("pgrep -f 'sshd: root@(pts|notty)' || true").is_empty());
        let all = json(lab, &["job", "list"]);
        assert_eq!(all["items"][0]["state"], "running", "{tty}");
        let id = all["items"][0]["id"].to_string();
        go_on(lab);
        expect(lab, 0, &["job", "wait", &id]);
        assert_eq!(job(lab, &id)["state"], "succeeded", "{tty}");
        assert_eq!(archives(lab, 495).len(), nth + 1, "{tty}");
        is_clean(lab, 495);
    }
}
