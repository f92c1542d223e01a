//! The queue on real containers: backups asked for at once run one after the other, in the order that was put; whoever is killed
//! or ended on request strands nobody; a vzdump that is not ours is seen and named.

use crate::harness::{Lab, skip, wait_for};
use crate::has;
use crate::story::{expect, job, json, node};
use std::process::Stdio;

const DUMP: &str = "/var/lib/vz/dump";

/// Waits until the archive of a guest grows on the disk.
fn growing(lab: &Lab, vmid: u32) {
    let size = format!("stat -c %s {DUMP}/vzdump-lxc-{vmid}-*.tar.dat 2>/dev/null || echo 0");
    wait_for("a growing archive", || lab.sh(&size).parse::<u64>().unwrap() > 2_000_000);
}

fn worker(lab: &Lab, id: &str) -> String {
    lab.sh(&format!("systemctl show -p MainPID --value proximity-job-{id}"))
}

fn archives(lab: &Lab, vmid: u32) -> usize {
    lab.sh(&format!("ls {DUMP} | grep -cE 'lxc-{vmid}-.*[.]zst$' || true")).parse().unwrap()
}

fn waits(lab: &Lab, id: &str) -> String {
    job(lab, id)["waits"].as_str().unwrap_or("").to_owned()
}

/// Jobs that are asked for at once, without waiting for them.
fn asked(lab: &Lab, ids: &[&str]) -> Vec<String> {
    let words = [&["backup", "run"], ids, &["--no-wait"]].concat();
    expect(lab, 0, &words).out.lines().map(str::to_owned).collect()
}

fn slow(lab: &Lab) {
    lab.write("/etc/pve-standin.json", "{\"vzdump_bytes_per_s\": 6000000}");
}

fn fast(lab: &Lab) {
    lab.sh("rm -f /etc/pve-standin.json");
}

#[test]
fn notes_and_protection_are_written_looked_up_and_taken_away() {
    let Some(lab) = node("l") else { return skip("no lab on this machine") };
    let lab = &lab;
    lab.create(441);
    let words = ["backup", "run", "441", "--bandwidth", "50M", "--protected", "--notes", "before {{guestname}}\\n\nC:\\new"];
    expect(lab, 0, &words);
    let archive = lab.sh(&format!("ls {DUMP}/vzdump-lxc-441-*.tar.zst"));
    let volid = format!("local:backup/{}", archive.rsplit('/').next().unwrap());
    assert_eq!(lab.sh(&format!("cat {archive}.notes")), "before t441\\n\nC:\\new", "as it was typed");
    lab.sh(&format!("test -e {archive}.protected"));
    has(&lab.sh("cat /var/log/vzdump/lxc-441.log"), "51200");

    expect(lab, 0, &["backup", "note", &volid, "--", "-5 % \u{e4}\nsecond 'line'"]);
    assert_eq!(lab.sh(&format!("cat {archive}.notes")), "-5 % \u{e4}\nsecond 'line'");
    has(&expect(lab, 0, &["backup", "note", &volid, "--", "-5 % \u{e4}\nsecond 'line'"]).out, "nothing to do");
    has(&expect(lab, 0, &["backup", "note", &volid, "x", "--dry-run"]).out, "its notes now: -5 % \u{e4} / second 'line'");
    expect(lab, 6, &["backup", "note", &volid, "\u{1b}[31m"]);
    has(&expect(lab, 6, &["backup", "protect", &volid, "--off"]).err, "--yes");
    lab.sh(&format!("test -e {archive}.protected"));
    expect(lab, 0, &["backup", "protect", &volid, "--off", "--yes"]);
    assert_eq!(lab.exec("pve1", &["test", "-e", &format!("{archive}.protected")]).rc, 1);
    expect(lab, 0, &["backup", "protect", &volid]);
    lab.sh(&format!("test -e {archive}.protected"));
    expect(lab, 0, &["backup", "note", &volid, ""]);
    assert_eq!(lab.exec("pve1", &["test", "-e", &format!("{archive}.notes")]).rc, 1);
    expect(lab, 5, &["backup", "protect", "local:backup/vzdump-lxc-441-2000_01_01-00_00_00.tar.zst"]);
}

#[test]
fn backups_that_are_asked_for_at_once_run_one_after_the_other_and_nobody_is_stranded() {
    let Some(lab) = node("y") else { return skip("no lab on this machine") };
    let lab = &lab;
    for vmid in 431..435 {
        lab.create(vmid);
        lab.guest(vmid, "dd if=/dev/urandom of=/srv/rnd bs=1M count=24 2>/dev/null; sync");
    }
    slow(lab);
    let ids = asked(lab, &["431", "432", "433", "434"]);
    let [a, b, c, d] = &ids[..] else { panic!("{ids:?}") };
    growing(lab, 431);
    let states: Vec<_> = ids.iter().map(|id| job(lab, id)["state"].as_str().unwrap().to_owned()).collect();
    assert_eq!(states, ["running", "queued", "queued", "queued"]);
    assert_eq!(waits(lab, b), format!("1/3 after {a}: one vzdump at a time"));
    assert_eq!(waits(lab, d), format!("3/3 after {c}, {a} runs"));
    has(&expect(lab, 6, &["backup", "run", "432"]).err, &format!("job {b} backs it up already"));

    // Another order, and one that is ended on request before it began.
    has(&expect(lab, 0, &["job", "move", d, "first"]).out, &format!("1/3 after {a}"));
    has(&expect(lab, 6, &["job", "move", a, "first"]).err, "waits for nothing");
    expect(lab, 0, &["job", "cancel", c]);
    assert_eq!(job(lab, c)["state"], "cancelled");
    has(job(lab, c)["outcome"]["what"].as_str().unwrap(), "nothing was done");
    assert_eq!(waits(lab, b), format!("2/2 after {d}, {a} runs"));
    wait_for("its worker to go", || worker(lab, c) == "0");

    // The one that runs is killed: the next begins by itself, and what became of the killed one is told.
    assert_eq!(job(lab, a)["state"], "running");
    lab.sh(&format!("kill -9 {}", worker(lab, a)));
    growing(lab, 434);
    let told = job(lab, a);
    assert_eq!(told["state"], "failed", "{told}");
    has(told["outcome"]["what"].as_str().unwrap(), "interrupted: its worker was killed");
    fast(lab);
    for id in [d, b] {
        expect(lab, 0, &["job", "wait", id]);
        assert!(!expect(lab, 0, &["job", "log", id]).out.contains("global lock"), "none of ours waits inside vzdump");
    }
    assert_eq!([431, 432, 433, 434].map(|id| archives(lab, id)), [0, 1, 0, 1]);
    assert!(!lab.sh("cat /var/log/pve/tasks/active").contains(":vzdump:433:"), "nothing of the cancelled one was begun");
    let time = |id: &str, key: &str| job(lab, id)[key].as_str().unwrap().to_owned();
    assert!(time(d, "ended") <= time(b, "started") && time(a, "ended") <= time(d, "started"), "one after the other");

    // A vzdump of somebody else: it is named, and a killed one that waits strands nobody.
    lab.sh("pct unlock 431 2>/dev/null; pct delsnapshot 431 vzdump --force 1 2>/dev/null; true");
    slow(lab);
    let foreign = lab.command("pve1", &["vzdump", "434", "--storage", "local", "--mode", "snapshot", "--compress", "zstd"]);
    let mut foreign = { foreign }.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    growing(lab, 434);
    let upid = lab.sh("cat /var/run/vzdump.pid");
    let ids = asked(lab, &["432", "433"]);
    wait_for("it to be named", || waits(lab, &ids[0]) == format!("1/2 waits for a vzdump that is not ours: task {upid}"));
    assert_eq!(waits(lab, &ids[1]), format!("2/2 after {}", ids[0]));
    lab.sh(&format!("kill -9 {}", worker(lab, &ids[0])));
    wait_for("the next to be the first", || waits(lab, &ids[1]).starts_with("1/1 waits for a vzdump"));
    fast(lab);
    assert!(foreign.wait().unwrap().success());
    let told = job(lab, &ids[0]);
    assert_eq!(told["state"], "failed");
    has(told["outcome"]["what"].as_str().unwrap(), "its worker was killed while it waited for its turn; nothing was done");
    expect(lab, 0, &["job", "wait", &ids[1]]);
    assert_eq!((archives(lab, 432), archives(lab, 433)), (1, 1));
    let open = json(lab, &["job", "list"]);
    assert!(open["items"].as_array().unwrap().iter().all(|j| j["ended"].is_string()), "{open}");
}
