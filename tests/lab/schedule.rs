//! What runs by the clock, on a node with systemd: backup jobs that Proxmox's own tools have, and drills by a timer that find out
//! which backup would come back and which would not.

use serde_json::Value;

use crate::appliance::appliance_lab;
use crate::harness::{Lab, Said, skip, wait_for};
use crate::publish::done;

fn proximity(lab: &Lab, words: &str) -> Said {
    lab.exec("pve1", &["bash", "-c", &format!("proximity {words}")])
}

fn ok(lab: &Lab, words: &str) -> Said {
    let said = proximity(lab, words);
    assert_eq!(said.rc, 0, "{words}: {said:?}");
    said
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"))
}

/// What Proxmox's own tool has.
fn jobs(lab: &Lab) -> Vec<Value> {
    serde_json::from_str(&lab.sh("pvesh get /cluster/backup --output-format json")).unwrap()
}

/// What is told to be wrong, `what: why` each.
fn findings(lab: &Lab) -> Vec<String> {
    let told = json(&proximity(lab, "-o json status"));
    let one = |f: &Value| format!("{} {}: {}", f["level"].as_str().unwrap(), f["what"].as_str().unwrap(), f["why"].as_str().unwrap());
    told["findings"].as_array().unwrap().iter().map(one).collect()
}

fn finds(lab: &Lab, what: &str) -> bool {
    findings(lab).iter().any(|f| f.contains(what))
}

/// An app that answers as long as its database is not empty, and 500 else; it starts with its container.
fn app(lab: &Lab, id: u32, name: &str) {
    lab.guest(
        id,
        "mkdir -p /srv/cgi-bin; rm -f /srv/index.html; echo rows >/srv/db; cat >/srv/cgi-bin/index.cgi <<'X'
#!/bin/sh
if [ -s /srv/db ]; then printf 'Status: 200 OK\\r\\n\\r\\nwell\\n'; else printf 'Status: 500 Internal Server Error\\r\\n\\r\\nno rows\\n'; fi
X
chmod +x /srv/cgi-bin/index.cgi
sed -i '$a ::respawn:/bin/busybox httpd -f -p 80 -h /srv' /etc/inittab; sync",
    );
    lab.sh(&format!("pct reboot {id}"));
    wait_for("the app", || lab.exec(&id.to_string(), &["busybox", "wget", "-qO-", "http://127.0.0.1/"]).out.contains("well"));
    done(lab, &format!("publish site-{name} --to {name}:80"));
}

#[test]
fn backup_jobs_are_proxmoxs_own() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    app(lab, 101, "web");
    assert!(finds(lab, "101 web is published and not backed up by any schedule"), "{:?}", findings(lab));
    // Somebody's own job, made on the Proxmox page.
    lab.sh("pvesh create /cluster/backup --id nightly --schedule 'mon..fri 22:30' --storage local --mode stop --vmid 102 --comment mine");

    ok(lab, "backup schedule set 101 02:30 --storage local");
    let made = jobs(lab).into_iter().find(|j| j["id"] == "proximity-101").unwrap();
    let get = |key: &str| made[key].as_str().unwrap_or_default().to_owned();
    assert_eq!([get("schedule"), get("vmid"), get("storage"), get("mode")], ["02:30", "101", "local", "snapshot"], "{made}");
    assert_eq!((&made["enabled"], &made["prune-backups"]["keep-all"]), (&1.into(), &"1".into()), "{made}");
    assert!(!finds(lab, "not backed up by any schedule"), "{:?}", findings(lab));

    // The same again is nothing; another time changes it, and what it was stands in the plan.
    assert!(ok(lab, "backup schedule set 101 02:30").out.contains("nothing to do"));
    let shown = ok(lab, "backup schedule set 101 sat 15:00 --dry-run").out;
    assert!(
        shown.contains("pvesh set /cluster/backup/proximity-101")
            && shown.contains("undo: pvesh set /cluster/backup/proximity-101 --schedule 02:30"),
        "{shown}"
    );
    ok(lab, "backup schedule set 101 sat 15:00");
    let told = json(&proximity(lab, "-o json backup schedule list"));
    let row = |id: &str| told["items"].as_array().unwrap().iter().find(|j| j["id"] == id).unwrap().clone();
    let next = row("proximity-101")["next"].as_str().unwrap().to_owned();
    let systemd = lab.sh("systemd-analyze calendar 'Sat 15:00' | sed -n 's/.*(in UTC): Sat \\(.*\\) UTC/\\1/p; s/.*Next elapse: Sat \\(.*\\) UTC/\\1/p' | head -1");
    assert_eq!(next, format!("{}Z", systemd.trim().replace(' ', "T")));
    assert_eq!((row("nightly")["covers"].clone(), row("nightly")["ours"].clone()), (serde_json::json!([102]), false.into()));
    let board = json(&proximity(lab, "-o json backup coverage"));
    let scheduled =
        |id: u32| board["items"].as_array().unwrap().iter().find(|c| c["guest"] == id).unwrap()["scheduled"].as_str().unwrap().to_owned();
    assert_eq!(scheduled(9999), "not scheduled");

    // Off is asked about, on is not; what is somebody else's is only touched by its name.
    assert!(proximity(lab, "backup schedule disable nightly").rc != 0, "nobody said yes");
    ok(lab, "backup schedule disable nightly --yes");
    assert_eq!(jobs(lab).iter().find(|j| j["id"] == "nightly").unwrap()["enabled"], 0);
    ok(lab, "backup schedule enable nightly");
    ok(lab, "backup schedule remove proximity-101 --yes");
    assert_eq!(jobs(lab).iter().map(|j| j["id"].as_str().unwrap()).collect::<Vec<_>>(), ["nightly"]);
    assert_eq!(jobs(lab)[0]["comment"], "mine");

    // With rules Proxmox prunes; that it does not know what came back is said. Whatever fails is put back.
    let shown = ok(lab, "backup schedule set --all '*-*-01 03:00' --keep keep-last=2 --dry-run").out;
    assert!(shown.contains("know nothing of the last archive that came back"), "{shown}");
    lab.sh(r#"echo '{"fail": ["pvesh create /cluster/backup=255:boom"]}' >/etc/pve-standin.json"#);
    let failed = proximity(lab, "backup schedule set 101 1:00");
    assert!(failed.rc != 0 && failed.err.contains("boom"), "{failed:?}");
    assert_eq!(jobs(lab).len(), 1);
}

#[test]
fn a_timer_drills_and_tells_which_backup_would_not_come_back() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    app(lab, 101, "web");
    app(lab, 102, "wiki");
    // Others work on this machine.
    ok(lab, "settings set backups.drill_load 1000 --passphrase-fd 3 3</root/pw");
    ok(lab, "backup run 101");
    // The database is emptied, and then it is backed up.
    lab.guest(102, ": >/srv/db; sync");
    ok(lab, "backup run 102");
    lab.guest(102, "echo rows >/srv/db; sync");
    let due = ok(lab, "backup drill --due --dry-run").out;
    assert!(
        due.contains("101 web: due: ") && due.contains("102 wiki: due: ") && due.contains("9999 prox-appliance: not due: never backed up"),
        "{due}"
    );
    // Outside the hours for it nothing is begun.
    let hours = lab.sh("echo $(date -d '+2 hours' +%H:%M)-$(date -d '+3 hours' +%H:%M)");
    ok(lab, &format!("settings set backups.window {} --passphrase-fd 3 3</root/pw", hours.trim()));
    let put_off = proximity(lab, "backup drill --due");
    assert!(put_off.rc == 10 && put_off.out.matches("(backups.window)").count() == 2, "{put_off:?}");
    ok(lab, "settings unset backups.window --passphrase-fd 3 3</root/pw");
    ok(lab, "settings set backups.verify_most 1 --passphrase-fd 3 3</root/pw");
    assert_eq!(json(&proximity(lab, "-o json backup drill --due --dry-run"))["verified"].as_array().unwrap().len(), 1, "one a run");
    ok(lab, "settings set backups.verify_most 5 --passphrase-fd 3 3</root/pw");

    ok(lab, "backup schedule drills minutely");
    assert_eq!(
        lab.sh("stat -c '%U %a' /etc/systemd/system/proximity-drills.service /etc/systemd/system/proximity-drills.timer").trim(),
        "root 644\nroot 644"
    );
    assert!(lab.sh("systemctl list-timers --no-pager").contains("proximity-drills.timer"));
    let verified = lab.sh("systemd-analyze verify proximity-drills.service proximity-drills.timer 2>&1 || true");
    assert!(!verified.contains("proximity"), "{verified}");
    // Nobody is at a keyboard, and the vault is locked.
    let drilled = |lab: &Lab| {
        json(&proximity(lab, "-o json job list"))["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|j| j["title"].as_str().unwrap().contains("would come back") && !j["ended"].is_null())
            .count()
    };
    // The timer comes within a minute, and an app that does not answer is waited for another one and a half.
    wait_for("a drill by the timer", || drilled(lab) >= 1);
    wait_for("both drills by the timer", || drilled(lab) >= 2);
    wait_for("the end of the run", || !lab.sh("systemctl show --property=ActiveState --value proximity-drills.service").contains("ing"));
    // No second run begins what is done already.
    lab.sh("systemctl stop proximity-drills.timer");
    let board = json(&proximity(lab, "-o json backup coverage"));
    let row = |id: u32| board["items"].as_array().unwrap().iter().find(|c| c["guest"] == id).unwrap().clone();
    assert_eq!((row(101)["proof"]["lives"].clone(), row(101)["proof"]["app"].clone()), (true.into(), true.into()), "{board}");
    println!("by the timer: 101 came back in {} s", row(101)["proof"]["took_s"]);
    assert_eq!(row(102)["proof"]["lives"], false, "{board}");
    assert!(row(102)["proof"]["why"].as_str().unwrap().contains("answers 500"), "{board}");
    assert_eq!(lab.sh("pct list | awk 'NR>1{print $1}'").split_whitespace().collect::<Vec<_>>(), ["101", "102", "9999"], "nothing is left");
    // What nobody had read was read: the sabotaged one is whole, and does not come back all the same.
    let archives = json(&proximity(lab, "-o json backup list"));
    let read: Vec<_> = archives["items"].as_array().unwrap().iter().map(|a| a["verified"]["is"].as_str().unwrap()).collect();
    assert_eq!(read, ["whole", "whole"], "{archives}");

    let told = findings(lab);
    assert!(told.iter().any(|f| f.starts_with("bad job") && f.contains("102") && f.contains("answers 500")), "{told:#?}");
    assert!(told.iter().any(|f| f.starts_with("bad drills: their timer is there, and not switched on")), "{told:#?}");
    lab.sh("systemctl start proximity-drills.timer");
    wait_for("a run with nothing to do", || json(&proximity(lab, "-o json backup schedule list"))["drills"]["result"] == "success");
    assert!(!finds(lab, "drills: "), "{:?}", findings(lab));

    // Where the store is gone a run fails, and that is told.
    lab.sh(
        "systemctl stop proximity-drills.timer; mv /var/lib/proximity /var/lib/proximity.away; ! systemctl start proximity-drills.service",
    );
    lab.sh("rm -rf /var/lib/proximity; mv /var/lib/proximity.away /var/lib/proximity; systemctl start proximity-drills.timer");
    assert!(finds(lab, "bad drills: the run of "), "{:?}", findings(lab));

    ok(lab, "backup schedule drills off --yes");
    assert!(!lab.sh("systemctl list-timers --all --no-pager; ls /etc/systemd/system").contains("proximity-drills"));
    assert!(ok(lab, "backup schedule drills off --yes").out.contains("nothing to do"));
}
