//! An app is damaged, restored beside, proven, put in its place and taken back: on real containers, seen from the operator's
//! machine through its public port.

use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;

use crate::appliance::{appliance_lab, green};
use crate::harness::{Lab, Said, skip, wait_for};
use crate::publish::{done, wan};

pub(crate) fn backup(lab: &Lab, words: &str) -> Said {
    lab.exec("pve1", &["bash", "-c", &format!("proximity backup {words}")])
}

pub(crate) fn ok(lab: &Lab, words: &str) -> Said {
    let said = backup(lab, words);
    assert_eq!(said.rc, 0, "{words}: {said:?}");
    said
}

/// What the operator's machine gets from the app's public port: status, and the sum of what came.
pub(crate) fn seen(lab: &Lab, path: &str) -> (String, String) {
    let url = format!("http://{}:30000{path}", wan(lab));
    let line = format!("f=$(mktemp); curl -s -m 10 -o $f -w '%{{http_code}}' {url}; echo; md5sum <$f | cut -d' ' -f1; rm -f $f");
    let said = lab.exec("op", &["bash", "-c", &line]).out;
    let mut lines = said.lines();
    (lines.next().unwrap_or_default().to_owned(), lines.next().unwrap_or_default().to_owned())
}

pub(crate) fn conf(lab: &Lab, id: u32) -> String {
    lab.sh(&format!("cat /etc/pve/lxc/{id}.conf"))
}

pub(crate) fn runs(lab: &Lab, id: u32) -> bool {
    lab.sh(&format!("pct status {id}")).contains("running")
}

/// An app that starts with its container, and has data.
pub(crate) fn app(lab: &Lab) -> String {
    lab.guest(101, "sed -i '$a ::respawn:/bin/busybox httpd -f -p 80 -h /srv' /etc/inittab; dd if=/dev/urandom of=/srv/data bs=1M count=3 2>/dev/null; sync");
    lab.sh("pct reboot 101");
    done(lab, "publish cloud --to web:80");
    let sum = lab.guest(101, "md5sum </srv/data | cut -d' ' -f1");
    assert_eq!(seen(lab, "/data"), ("200".into(), sum.trim().to_owned()));
    sum.trim().to_owned()
}

pub(crate) fn archived(lab: &Lab) -> String {
    // An archive is named by the second in which it was begun.
    wait_for("the next second", || !lab.sh("ls /var/lib/vz/dump | grep $(date +%Y_%m_%d-%H_%M_%S) || true").contains("lxc-101"));
    let told: Value = serde_json::from_str(&ok(lab, "run 101 -o json").out).unwrap();
    told["outcome"]["volid"].as_str().unwrap().to_owned()
}

#[test]
fn a_damaged_app_is_restored_beside_takes_its_place_and_gives_it_back() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    let sum = app(lab);
    let volid = archived(lab);
    let lent = lab.guest(101, "ip -4 -o address show dev eth0 | awk '{print $4}'");
    lab.guest(101, "rm -rf /srv/*; echo written since >/srv/new; sync");
    assert_eq!(seen(lab, "/data").0, "404", "damaged");
    let before = conf(lab, 101);

    // Beside: proven from within, reached by nobody.
    let said = ok(lab, &format!("restore {volid} --to 103"));
    assert!(said.err.contains("wait until cloud answers in 103"), "{said:?}");
    assert_eq!((conf(lab, 101), seen(lab, "/data").0.as_str()), (before.clone(), "404"));
    let beside = conf(lab, 103);
    assert!(beside.contains("link_down=1") && beside.contains("hostname: web-103") && !beside.contains("onboot: 1"), "{beside}");
    assert_eq!(lab.guest(103, "cat /sys/class/net/eth0/carrier 2>/dev/null || echo 0").trim(), "0", "it is plugged in nowhere");
    assert_eq!(lab.guest(103, "md5sum </srv/data | cut -d' ' -f1").trim(), sum);

    let told: Value = serde_json::from_str(&ok(lab, "drill 101 -o json").out).unwrap();
    assert!(told["outcome"]["what"].as_str().unwrap().starts_with("it came back in "), "{told}");
    let list: Value = serde_json::from_str(&ok(lab, "list 101 -o json").out).unwrap();
    let proof = &list["items"][0]["proof"];
    assert_eq!((proof["lives"].as_bool(), proof["job"].as_u64()), (Some(true), told["id"].as_u64()), "{list}");
    assert_eq!(lab.exec("pve1", &["pct", "status", "100"]).rc, 2, "it is gone");

    // What HA manages is left to it.
    lab.sh("mkdir -p /etc/pve/ha; printf 'ct: 1030\n\tstate started\n\nct: 103\n\tstate started\n' >/etc/pve/ha/resources.cfg");
    let refused = backup(lab, "swap 101 103 --yes");
    assert!(refused.rc == 6 && refused.err.contains("HA manages 103"), "{refused:?}");
    lab.sh("sed -i '$d' /etc/pve/ha/resources.cfg; sed -i '$d' /etc/pve/ha/resources.cfg");

    // In its place, with all that others know it by.
    let said = ok(lab, "swap 101 103 --yes");
    assert!(said.out.contains("103 has the place and answers"), "{said:?}");
    assert_eq!(seen(lab, "/data"), ("200".into(), sum.clone()));
    assert_eq!(lab.guest(103, "ip -4 -o address show dev eth0 | awk '{print $4}'"), lent, "the lease went with the hardware address");
    assert_eq!(lab.guest(103, "hostname").trim(), "web");
    let aside = conf(lab, 101);
    assert!(!runs(lab, 101) && aside.contains("hostname: web-101") && aside.contains("link_down=1"), "{aside}");
    green(lab, "the change of places");
    let drift = lab.exec("pve1", &["proximity", "ports", "drift"]);
    assert_eq!(drift.rc, 0, "{drift:?}");
    assert_eq!(backup(lab, "swap 101 103 --yes").rc, 6, "it has that place already");

    // And back: what was written since is there, and nothing of the change stays in its configuration.
    ok(lab, "swap 103 101 --yes");
    assert_eq!((seen(lab, "/data").0.as_str(), seen(lab, "/new").0.as_str(), runs(lab, 103)), ("404", "200", false));
    assert_eq!(conf(lab, 101), before);
    green(lab, "the way back");
    let kept = volid.rsplit('/').next().unwrap();
    pruned(lab, kept);
}

/// What is shown is what goes, as Proxmox would have it; but for the last that came back.
fn pruned(lab: &Lab, proven: &str) {
    archived(lab);
    archived(lab);
    let files = || lab.sh("ls /var/lib/vz/dump | grep 'lxc-101-.*zst$'").lines().map(str::to_owned).collect::<Vec<_>>();
    let before = files();
    assert_eq!((before.len(), before[0].as_str()), (3, proven));
    let theirs = lab.sh("pvesm prune-backups local --keep-last 1 --dry-run 1 --vmid 101 --type lxc");
    let goes = |file: &str| theirs.lines().any(|l| l.contains(file) && l.trim_end().ends_with("remove"));
    assert_eq!(before.iter().map(|f| goes(f)).collect::<Vec<_>>(), [true, true, false], "{theirs}");
    let shown = ok(lab, "prune 101 --keep keep-last=1 --dry-run");
    assert!(
        shown.out.contains(&format!("kept: {proven} (the last that came back)")) && shown.out.contains("1 of 3 archives go"),
        "{shown:?}"
    );
    let refused = backup(lab, "prune 101 --keep keep-last=1 --yes");
    assert!(refused.rc != 0 && refused.err.contains("--name") && files() == before, "its name is asked for: {refused:?}");
    let refused = backup(lab, "prune 101 --keep keep-last=1 --yes --name web");
    assert!(refused.rc != 0 && refused.err.contains("--proof-fd") && files() == before, "and a passphrase: {refused:?}");
    ok(lab, "prune 101 --keep keep-last=1 --yes --name web --proof-fd 3 3</root/pw");
    assert_eq!(files(), [before[0].clone(), before[2].clone()]);
    assert!(ok(lab, "prune 101 --keep keep-last=1 --yes --name web").out.contains("nothing to do"));
}

/// What does not do its work is not put in the place of what does, or gives it back at once; and stays for a look.
#[test]
fn a_sabotaged_backup_is_found_out_and_the_original_goes_on() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    let sum = app(lab);
    lab.guest(101, "sed -i '/httpd/d' /etc/inittab; sync");
    let volid = archived(lab);

    // A drill tells the same, and leaves nothing.
    let said = backup(lab, "drill 101");
    assert!(said.rc != 0 && said.err.contains("nothing listens on 80 in 100"), "{said:?}");
    assert_eq!(lab.exec("pve1", &["pct", "status", "100"]).rc, 2, "it is gone");
    let told: Value = serde_json::from_str(&ok(lab, "list 101 -o json").out).unwrap();
    let proof = &told["items"][0]["proof"];
    assert_eq!((proof["lives"].as_bool(), proof["app"].as_bool()), (Some(false), Some(true)), "{told}");

    let said = backup(lab, &format!("restore {volid} --to 103"));
    assert!(said.rc != 0 && said.err.contains("nothing listens on 80 in 103"), "{said:?}");
    assert!(said.err.contains("pct destroy 103") && runs(lab, 103), "it stays for a look: {said:?}");
    assert_eq!(seen(lab, "/data"), ("200".into(), sum.clone()));

    let (was, other) = (conf(lab, 101), conf(lab, 103));
    let said = backup(lab, "swap 101 103 --yes");
    assert!(said.rc != 0 && said.err.contains("502"), "{said:?}");
    assert_eq!((conf(lab, 101), conf(lab, 103)), (was, other), "both as before");
    // The original was started again; its app is started by hand, for it starts with nothing by itself any more.
    assert!(runs(lab, 101) && runs(lab, 103));
    lab.guest(101, "busybox httpd -p 80 -h /srv");
    wait_for("the original", || seen(lab, "/data") == ("200".into(), sum.clone()));
}

/// Whoever changes places is killed at moments spread over the whole of it: one of both always has the whole place, and asked
/// for again, or for the way back, the app answers from there. 4 moments; PROXIMITY_KILLS says how many else.
#[test]
fn a_change_of_places_that_is_killed_loses_nothing() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    let sum = app(lab);
    let volid = archived(lab);
    ok(lab, &format!("restore {volid} --to 103"));
    let begun = Instant::now();
    ok(lab, "swap 101 103 --yes");
    let whole = begun.elapsed();
    let kills: u32 = std::env::var("PROXIMITY_KILLS").ok().map_or(4, |n| n.parse().unwrap());
    let (mut has, mut other, mut interrupted) = (103, 101, 0);
    for n in 0..kills {
        let at = whole * (2 * n + 1) / (2 * kills);
        let line = format!("exec proximity backup swap {has} {other} --yes");
        let mut running = lab.command("pve1", &["bash", "-c", &line]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < at {
            std::thread::sleep(at.saturating_sub(begun.elapsed()));
        }
        interrupted += u32::from(lab.exec("pve1", &["pkill", "-9", "-f", "[j]ob-worker|[p]roximity backup"]).rc == 0);
        running.wait().unwrap();
        let both = [has, other].map(|id| conf(lab, id));
        let place = |c: &String| c.contains("hostname: web\n") && !c.contains("link_down=1");
        let noted = |c: &String| c.contains("Set aside by Proximity");
        assert!(both.iter().any(|c| place(c) || noted(c)) && both.iter().filter(|c| place(c)).count() <= 1, "after {at:?}: {both:#?}");
        assert!(!(runs(lab, has) && runs(lab, other) && both.iter().all(place)), "two of one address");
        // In turns: on, and back.
        let (from, to) = if n % 2 == 0 { (has, other) } else { (other, has) };
        let said = backup(lab, &format!("swap {from} {to} --yes"));
        println!(
            "killed after {:>5} ms of {has} -> {other}, then {from} -> {to}: {} {}",
            at.as_millis(),
            said.rc,
            said.err.lines().last().unwrap_or("")
        );
        let nothing_to_do = |said: &Said| said.rc == 6 && said.err.contains("has that place and runs");
        assert!(said.rc == 0 || nothing_to_do(&said), "after {at:?}: {said:?}");
        // Whoever was told to end before the kill may end only now: then it is asked for once more.
        wait_for("the app", || {
            let again = backup(lab, &format!("swap {from} {to} --yes"));
            assert!(again.rc == 0 || nothing_to_do(&again), "after {at:?}: {again:?}");
            seen(lab, "/data") == ("200".into(), sum.clone())
        });
        assert!(runs(lab, to) && !runs(lab, from) && place(&conf(lab, to)));
        (has, other) = (to, from);
    }
    assert!(interrupted > 0, "none of {kills} was interrupted");
}
