//! An app comes back in place, and no archive that does not come back, no kill and no power cut takes the original from anybody:
//! on real containers, seen from the operator's machine through the app's public port.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::appliance::{appliance_lab, green};
use crate::harness::{Lab, skip, wait_for};
use crate::swap::{app, archived, backup, conf, ok, runs, seen};

fn ids(lab: &Lab) -> Vec<u32> {
    lab.sh("ls /etc/pve/lxc | sed -n 's/[.]conf$//p'").lines().map(|id| id.parse().unwrap()).collect()
}

fn has_the_place(conf: &str) -> bool {
    conf.contains("hostname: web\n") && !conf.contains("link_down=1")
}

#[test]
fn an_app_comes_back_in_place_and_nothing_is_restored_over_anything() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    lab.sh("mkdir -p /data && echo of the host >/data/word && chown -R 100000:100000 /data && pct set 101 --mp0 /data,mp=/mnt/host");
    let sum = app(lab);
    let volid = archived(lab);
    lab.guest(101, "rm -rf /srv/*; echo written since >/srv/new; sync");
    let before = conf(lab, 101);

    // Beside, what is the host's can be read and not be written.
    ok(lab, &format!("restore {volid} --to 104"));
    assert_eq!(lab.guest(104, "cat /mnt/host/word").trim(), "of the host");
    let wrote = lab.exec("104", &["sh", "-c", "echo x >/mnt/host/word"]);
    assert!(wrote.rc != 0 && wrote.err.contains("ead-only"), "{wrote:?}");
    lab.sh("pct destroy 104 --force 1");

    let refused = backup(lab, &format!("restore {volid} --swap"));
    assert!(refused.rc != 0 && refused.err.contains("--yes") && ids(lab) == [101, 102, 9999], "{refused:?}");
    let said = ok(lab, &format!("restore {volid} --to 103 --swap --yes"));
    assert!(said.out.contains("103 has the place and answers"), "{said:?}");
    assert_eq!(seen(lab, "/data"), ("200".into(), sum.clone()));
    assert!(has_the_place(&conf(lab, 103)) && !conf(lab, 103).contains("ro=1") && !runs(lab, 101));
    lab.guest(103, "echo the app writes >/mnt/host/word");
    let list: Value = serde_json::from_str(&ok(lab, "list 101 -o json").out).unwrap();
    assert_eq!(list["items"][0]["proof"]["lives"], true, "{list}");
    green(lab, "in place");

    // Once more: who has the place now is put aside, and not who had it when the archive was made.
    let shown = ok(lab, &format!("restore {volid} --to 104 --swap --dry-run"));
    assert!(shown.out.contains("put 103 web aside as web-103") && !shown.out.contains("put 101"), "{shown:?}");
    ok(lab, "swap 103 101 --yes");
    assert_eq!((conf(lab, 101), seen(lab, "/new").0.as_str()), (before, "200"));

    // It is gone, and comes back as it was: name, number, addresses, start with the host.
    let lent = lab.guest(101, "ip -4 -o address show dev eth0 | awk '{print $4}'");
    let whole =
        |id| lab.sh(&format!("grep -E '^(hostname|net0|onboot|mp0|unprivileged):' /etc/pve/lxc/{id}.conf | grep -v 'onboot: 0' | sort"));
    let was = whole(101);
    lab.sh("pct destroy 103 --force 1; pct destroy 101 --force 1");
    assert_eq!(seen(lab, "/data").0, "502");
    ok(lab, &format!("restore {volid} --to 101 --swap --yes"));
    assert_eq!(seen(lab, "/data"), ("200".into(), sum));
    assert_eq!((whole(101), lab.guest(101, "ip -4 -o address show dev eth0 | awk '{print $4}'")), (was, lent));
    green(lab, "what was gone");
}

/// An archive that was cut, at several places, and one of garbage, by every door there is: the original serves on. Beside it what
/// Proxmox's own way over a guest does.
#[test]
fn a_truncated_archive_takes_nothing_from_anybody() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    let sum = app(lab);
    let volid = archived(lab);
    let path = format!("/var/lib/vz/dump/{}", volid.rsplit('/').next().unwrap());
    lab.sh(&format!("cp {path} /root/whole"));
    let before = conf(lab, 101);
    let serves = |what: &str| {
        assert_eq!((conf(lab, 101), seen(lab, "/data")), (before.clone(), ("200".into(), sum.clone())), "{what}");
        assert!(runs(lab, 101), "{what}");
    };
    for cut in ["head -c 95% ", "head -c 60% ", "head -c 4096 ", "garbage"] {
        match cut.strip_prefix("head -c ").map(str::trim) {
            Some(part) => {
                let size: u64 = lab.sh("stat -c %s /root/whole").trim().parse().unwrap();
                let keep = part.strip_suffix('%').map_or(4096, |p| size * p.parse::<u64>().unwrap() / 100);
                lab.sh(&format!("head -c {keep} /root/whole >{path}"));
            }
            None => {
                lab.sh(&format!("head -c 100000 /dev/urandom >{path}"));
            }
        }
        for door in
            ["restore VOLID", "restore VOLID --to 103", "restore VOLID --swap --yes", "drill VOLID", "drill 101", "restore VOLID --to 101"]
        {
            let said = backup(lab, &door.replace("VOLID", &volid));
            assert_ne!(said.rc, 0, "{cut} {door}: {said:?}");
            println!("{cut:<14} {door:<28} {} {}", said.rc, said.err.lines().find(|l| l.starts_with("proximity: ")).unwrap_or(""));
            serves(door);
            // What was made by it and left is told; nothing else is there.
            for id in ids(lab).into_iter().filter(|id| ![101, 102, 9999].contains(id)) {
                assert!(said.err.contains(&id.to_string()), "{id} is left and not told: {said:?}");
                lab.sh(&format!("pct unlock {id}; pct destroy {id} --force 1"));
            }
        }
    }
    lab.sh(&format!("head -c $(( $(stat -c %s /root/whole) * 60 / 100 )) /root/whole >{path}; pct stop 101"));
    let by_hand = lab.exec("pve1", &["pct", "restore", "101", &volid, "--force", "1", "--storage", "local-lvm"]);
    assert!(by_hand.rc != 0 && !ids(lab).contains(&101), "plain pct restore --force takes the original: {by_hand:?}");
    // And from the whole archive it comes back through the door that is meant for it.
    lab.sh(&format!("cp /root/whole {path}"));
    // It begins within the second in which the other one failed: that one's task is not its own.
    ok(lab, &format!("restore {volid} --to 101 --swap --yes"));
    assert_eq!(seen(lab, "/data"), ("200".into(), sum));
}

/// How a job is ended from outside.
#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    /// kill -9 of the console and the worker; what they started goes on.
    Workers,
    /// kill -9 of everything that has to do with it.
    All,
    /// The node loses its power.
    Cut,
}

/// Spread over the whole of a backup, a drill, a restore beside and one in place: killed with kill -9, in turns without and with
/// what was started, or by a power cut. There is always a whole original or a whole copy of it with the place, the console says
/// which, and by what it says everything is mended. One moment of each; PROXIMITY_KILLS and PROXIMITY_CUTS say how many else.
#[test]
fn whatever_is_killed_the_app_is_whole_somewhere_and_told() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    lab.sh("pct set 101 --onboot 1; pct set 102 --onboot 1");
    let sum = app(lab);
    let volid = archived(lab);
    let many = |name: &str, else_: u32| std::env::var(name).map_or(else_, |n| n.parse().unwrap());
    let (kills, cuts) = (many("PROXIMITY_KILLS", 4), many("PROXIMITY_CUTS", 1));
    let ops =
        ["run 101".to_owned(), "drill 101".into(), format!("restore {volid} --to 103"), format!("restore {volid} --to 103 --swap --yes")];
    let whole: Vec<Duration> = ops
        .iter()
        .map(|op| {
            let begun = Instant::now();
            ok(lab, op);
            let took = begun.elapsed();
            back_to_101(lab);
            took
        })
        .collect();
    println!("whole: {whole:?}");
    let (mut interrupted, mut told_of) = (0, 0);
    for n in 0..kills + cuts {
        let (at, of, end) = match n.checked_sub(kills) {
            None => (n, kills, if n % 8 < 4 { End::Workers } else { End::All }),
            Some(cut) => (cut, cuts, End::Cut),
        };
        // A cut is worth most in the middle of a change of places.
        let op = if end == End::Cut && cuts < 4 { 3 } else { (at as usize) % 4 };
        let (round, rounds) = if end == End::Cut && cuts < 4 { (at, cuts) } else { (at / 4, of.div_ceil(4)) };
        let after = whole[op] * (2 * round + 1) / (2 * rounds);
        let line = format!("exec proximity backup {}", ops[op]);
        let mut running = lab.command("pve1", &["bash", "-c", &line]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < after {
            std::thread::sleep(after.saturating_sub(begun.elapsed()));
        }
        ended(lab, end);
        let _ = running.wait();
        let job = settled(lab);
        let what = format!("{n} {end:?} after {} ms of {}", after.as_millis(), ops[op]);
        let state = job["state"].as_str().unwrap();
        interrupted += u32::from(state != "succeeded");
        let left: Vec<&str> = job["outcome"]["left"].as_array().into_iter().flatten().map(|l| l.as_str().unwrap()).collect();
        println!("{what}: {state}: {}; left: {left:?}", job["outcome"]["what"].as_str().unwrap_or(""));
        assert!(["failed", "unknown", "succeeded", "warned"].contains(&state), "{what}: {job}");
        let says_where = left.iter().any(|l| l.contains("has the place"));
        told_of += u32::from(says_where);
        // One whose worker never began did nothing, and says so.
        let begun = job["started"].is_string() || !job["outcome"]["what"].as_str().unwrap_or("").contains("nothing was done");
        assert!(op != 3 || !begun || says_where || state == "succeeded", "{what}: {job}");
        is_whole_and_told(lab, &what, &left, &sum);
        mended(lab, &left);
        back_to_101(lab);
        // One that was told to stop does so although nobody waits for it any more; that is told, and what to do.
        wait_for("the app", || {
            if !runs(lab, 101) {
                let said =
                    state == "succeeded" || op != 3 || end == End::Cut || left.iter().any(|l| l.contains("proximity guest start 101"));
                assert!(said, "{what}: 101 is down and nobody says so: {left:?}");
                lab.exec("pve1", &["pct", "start", "101"]);
            }
            seen(lab, "/data") == ("200".into(), sum.clone())
        });
        assert!(has_the_place(&conf(lab, 101)) && runs(lab, 101) && ids(lab) == [101, 102, 9999], "{what}");
    }
    println!("{interrupted} of {} interrupted, {told_of} with a word on the place", kills + cuts);
    assert!(interrupted > 0);
    // What was gone through did not harm what makes the next backup.
    ok(lab, "run 101");
    ok(lab, "drill 101");
}

fn ended(lab: &Lab, end: End) {
    match end {
        End::Workers => {
            lab.exec("pve1", &["pkill", "-9", "-f", "[j]ob-worker|[p]roximity backup"]);
        }
        End::All => {
            lab.exec(
                "pve1",
                &["pkill", "-9", "-f", "[j]ob-worker|[p]roximity backup|[v]zdump|[p]ct (restore|set|start|shutdown|destroy)|[t]ar "],
            );
        }
        End::Cut => {
            lab.crash();
            lab.boot();
            lab.sh("cat /proc/sys/kernel/random/uuid >/run/boot_id && mount --bind /run/boot_id /proc/sys/kernel/random/boot_id");
            wait_for("the appliance after a boot", || lab.exec("pve1", &["pct", "exec", "9999", "--", "true"]).rc == 0);
        }
    }
}

/// The newest job, once nothing works at it any more.
pub(crate) fn settled(lab: &Lab) -> Value {
    let mut newest = Value::Null;
    wait_for("the end of it to be found out", || {
        let list: Value = serde_json::from_str(&lab.exec("pve1", &["proximity", "job", "list", "-o", "json"]).out).unwrap();
        newest = list["items"][0].clone();
        !["queued", "running", "unreachable"].contains(&newest["state"].as_str().unwrap())
    });
    // What was started and not killed comes to its end by itself; what the console said of it may be older.
    wait_for("what goes on", || lab.exec("pve1", &["pgrep", "-f", "[v]zdump|[p]ct (restore|set|start|shutdown|destroy)"]).rc != 0);
    newest
}

/// Some container is the app, whole: by its configuration, or by the notes of one that was put aside for another.
fn is_whole_and_told(lab: &Lab, what: &str, left: &[&str], sum: &str) {
    let all: Vec<(u32, String)> = ids(lab).into_iter().filter(|id| ![102, 9999].contains(id)).map(|id| (id, conf(lab, id))).collect();
    let places: Vec<u32> = all.iter().filter(|(_, c)| has_the_place(c)).map(|(id, _)| *id).collect();
    let noted: Vec<u32> = all.iter().filter(|(_, c)| c.contains("Set aside by Proximity")).map(|(id, _)| *id).collect();
    assert!(places.len() <= 1, "{what}: two of one address: {all:#?}");
    let Some(whole) = places.first().or(noted.first()) else { panic!("{what}: nobody has the place: {all:#?}") };
    let root = lab.sh(&format!("pvesm path $(sed -n 's/^rootfs: \\([^,]*\\).*/\\1/p' /etc/pve/lxc/{whole}.conf | head -1)"));
    let found = lab.sh(&format!("md5sum <{}/srv/data | cut -d' ' -f1", root.trim()));
    assert_eq!(found.trim(), sum, "{what}: {whole} has the place and not the data");
    for line in left.iter().filter(|l| l.contains("has the place")) {
        let says = places.first().map_or("nobody has the place now".to_owned(), |id| format!("{id} has the place"));
        assert!(line.contains(&says), "{what}: told is {line:?}, and {says}");
    }
}

/// What was left is taken away as the console says.
fn mended(lab: &Lab, left: &[&str]) {
    for id in ids(lab).into_iter().filter(|id| conf(lab, *id).contains("lock: ")) {
        if id == 101 {
            assert!(left.iter().any(|l| l.contains("pct unlock 101")), "101 is locked and that is not told: {left:?}");
            wait_for("the lock to be nobody's", || lab.exec("pve1", &["proximity", "guest", "unlock", "101", "--yes"]).rc == 0);
        } else {
            assert!(left.iter().any(|l| l.contains(&format!("guest {id}"))), "{id} is locked and that is not told: {left:?}");
            lab.sh(&format!("pct unlock {id}"));
        }
    }
    lab.exec("pve1", &["bash", "-c", "pct delsnapshot 101 vzdump; rm -rf /var/lib/vz/dump/*.tmp /var/lib/vz/dump/*.dat"]);
}

/// 101 is the app again, and what was made of it is gone.
fn back_to_101(lab: &Lab) {
    let others: Vec<u32> = ids(lab).into_iter().filter(|id| ![101, 102, 9999].contains(id)).collect();
    let runs_as_it_was = || has_the_place(&conf(lab, 101)) && runs(lab, 101);
    if others.iter().any(|id| has_the_place(&conf(lab, *id))) || conf(lab, 101).contains("Set aside") {
        wait_for("the way back", || runs_as_it_was() || backup(lab, "swap 103 101 --yes").rc == 0);
    }
    for id in others {
        lab.sh(&format!("pct destroy {id} --force 1"));
    }
    if !runs(lab, 101) {
        lab.sh("pct start 101");
    }
}
