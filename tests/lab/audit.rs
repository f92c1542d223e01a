//! Stories of the audit on a node: who came from where stands beside what was done; a changed row is found; a killed
//! worker is never remembered as success.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::console::Line;
use crate::harness::{Lab, skip, wait_for};
use crate::has;
use crate::story::{expect, in_the_middle, job, json, node};

const DB: &str = "/var/lib/proximity/proximity.db";

/// The records of jobs, newest first.
fn of_jobs(lab: &Lab) -> Vec<Value> {
    json(lab, &["audit", "list", "--action", "job."])["items"].as_array().unwrap().clone()
}

/// Changes the file of the store from outside, as somebody with a copy of sqlite does.
fn tamper(lab: &Lab, change: impl FnOnce(&rusqlite::Connection)) {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("proximity.db");
    std::fs::write(&copy, lab.command("pve1", &["cat", DB]).output().unwrap().stdout).unwrap();
    let conn = rusqlite::Connection::open(&copy).unwrap();
    change(&conn);
    conn.close().unwrap();
    let mut put = lab.command("pve1", &["tee", DB]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    put.stdin.take().unwrap().write_all(&std::fs::read(&copy).unwrap()).unwrap();
    assert!(put.wait().unwrap().success());
}

#[test]
fn story_the_audit_knows_who_backed_up_from_where_and_finds_a_changed_row() {
    let Some(lab) = node("i") else { return skip("no lab on this machine") };
    lab.create(471);
    let line = Line::open(&lab, "proximity backup run 471");
    line.wait("succeeded");
    wait_for("the outcome", || of_jobs(&lab).first().is_some_and(|r| r["outcome"] == "ok"));
    let all = of_jobs(&lab);
    let [record] = &all[..] else { panic!("{all:?}") };
    assert_eq!((record["action"].as_str(), record["object"].as_str()), (Some("job.backup"), Some("guest 471")));
    assert_eq!((&record["job"], &record["undo"]), (&1.into(), &"job 1".into()));
    has(record["title"].as_str().unwrap(), "back up 471");
    has(record["after"].as_str().unwrap(), "local:backup/vzdump-lxc-471-");
    assert_eq!(record["argv"].as_str().unwrap().len(), 64);
    let who = &record["who"];
    assert!(who["tty"].as_str().unwrap().starts_with("/dev/pts/"), "{who}");
    let address: std::net::IpAddr = who["ssh"].as_str().unwrap().parse().unwrap();
    has(&lab.exec("op", &["ip", "-o", "addr"]).out, &format!(" {address}/"));

    expect(&lab, 3, &["guest", "exec", "471", "--", "sh", "-c", "exit 3"]);
    let exec = json(&lab, &["audit", "list", "--action", "guest.exec"]);
    let exec = &exec["items"][0];
    assert_eq!((&exec["outcome"], &exec["exit"]), (&"failed".into(), &3.into()));
    assert!(!exec.to_string().contains("exit 3"), "the words of a command are not written down: {exec}");

    let verify = "proximity audit verify --passphrase-fd 3 3</root/pw";
    has(&lab.sh(verify), "ok: ");
    tamper(&lab, |conn| {
        let at = record["seq"].as_i64().unwrap();
        let mut entry: Vec<u8> = conn.query_row("SELECT entry FROM audit WHERE seq = ?1", [at], |row| row.get(0)).unwrap();
        let name = entry.windows(3).position(|w| w == b"471").unwrap();
        entry[name + 2] = b'9';
        assert_eq!(conn.execute("UPDATE audit SET entry = ?2 WHERE seq = ?1", rusqlite::params![at, entry]).unwrap(), 1);
    });
    let found = lab.exec("pve1", &["bash", "-c", verify]);
    assert_eq!(found.rc, 1, "{found:?}");
    has(&found.out, &format!("entry {}: it is not what was written", record["seq"]));
}

#[test]
fn story_a_killed_worker_is_unknown_to_the_audit_and_never_ok() {
    let Some(lab) = node("k") else { return skip("no lab on this machine") };
    let id = in_the_middle(&lab, 472);
    assert_eq!(of_jobs(&lab)[0]["outcome"], "unknown", "it was begun and no end is written down");
    let worker = lab.sh(&format!("systemctl show -p MainPID --value proximity-job-{id}"));
    lab.sh(&format!("kill -9 {worker}"));
    wait_for("the end to be found out", || job(&lab, &id)["state"] == "failed");
    let record = &of_jobs(&lab)[0];
    assert_eq!(record["outcome"], "unknown");
    assert!(record["ended"].is_string(), "{record}");
    has(record["after"].as_str().unwrap(), "interrupted: its worker was killed");
    has(&lab.sh("proximity audit verify --passphrase-fd 3 3</root/pw"), "ok: ");
}
