//! Looking inside archives of real containers: whether they are whole, what is in them, and some of it back where it belongs.

use serde_json::Value;

use crate::harness::{Lab, Said, skip};
use crate::has;
use crate::story::{expect, json, node};

const DUMP: &str = "/var/lib/vz/dump";

/// A running unprivileged guest with data of several owners, and its archive.
fn archived(lab: &Lab, vmid: u32) -> String {
    lab.create(vmid);
    lab.guest(
        vmid,
        "mkdir -p /srv/x/deep && dd if=/dev/urandom of=/srv/x/rnd bs=1M count=3 2>/dev/null && ln -s rnd /srv/x/link \
         && echo text >'/srv/x/deep/a b' && dd if=/dev/zero of=/srv/x/holes bs=1 count=1 seek=8M 2>/dev/null \
         && chown -R 1000:33 /srv/x && chmod 4750 /srv/x/rnd && chmod 2751 /srv/x/deep && sync",
    );
    let told = json(lab, &["backup", "run", &vmid.to_string()]);
    told["outcome"]["volid"].as_str().unwrap().to_owned()
}

fn file(volid: &str) -> String {
    format!("{DUMP}/{}", volid.rsplit('/').next().unwrap())
}

const LOOK: &str = "cd /srv/x && md5sum rnd 'deep/a b' holes && stat -c '%n %u %g %a %Y' rnd deep 'deep/a b' holes && readlink link";

/// The outcome of a verify that has to exit so.
fn verified(lab: &Lab, rc: i32, volid: &str) -> Value {
    let said = expect(lab, rc, &["-o", "json", "backup", "verify", volid]);
    let listed = json(lab, &["backup", "list"]);
    let one = listed["items"].as_array().unwrap().iter().find(|a| a["volid"] == volid).unwrap();
    assert!(!said.out.is_empty() || !said.err.is_empty());
    one["verified"].clone()
}

#[test]
fn an_archive_is_verified_and_every_way_of_being_spoilt_is_found() {
    let Some(lab) = node("iv") else { return skip("no lab on this machine") };
    let lab = &lab;
    let volid = archived(lab, 410);
    let path = file(&volid);
    lab.sh(&format!("cp {path} /root/whole"));
    let first = verified(lab, 0, &volid);
    assert_eq!(first["is"], "whole", "{first}");
    assert_eq!(first["sha256"].as_str().unwrap(), lab.sh(&format!("sha256sum <{path} | cut -d' ' -f1")));
    let shown = expect(lab, 0, &["backup", "verify", "410", "--dry-run"]);
    has(&shown.out, "$ nice -n 19 ionice -c3 ");
    let size: u64 = lab.sh(&format!("stat -c %s {path}")).parse().unwrap();
    for cut in [1, size / 2, size - 1] {
        lab.sh(&format!("head -c {cut} /root/whole >{path}"));
        let found = verified(lab, 1, &volid);
        // It was whole once, so it was changed since; and the job says what is wrong with it.
        assert_eq!(found["is"], "changed", "cut at {cut}: {found}");
        let jobs = json(lab, &["job", "list"]);
        has(jobs["items"][0]["outcome"]["what"].as_str().unwrap_or_default(), "DAMAGED");
    }
    lab.sh(&format!("cp /root/whole {path} && printf '\\377' | dd of={path} bs=1 seek={} conv=notrunc 2>/dev/null", size / 2));
    assert_eq!(verified(lab, 1, &volid)["is"], "changed");
    let status = expect(lab, 0, &["status"]);
    has(&status.out, "it is not what it was when it was read first");
    // One that was never whole is damaged from its first look on; and one that cannot be read is neither.
    let other = volid.replace("-410-2", "-411-2");
    lab.sh(&format!("head -c {} /root/whole >{}", size - 100, file(&other)));
    assert_eq!(verified(lab, 1, &other)["is"], "damaged");
    lab.sh("mv /usr/bin/zstd /usr/bin/zstd.away");
    let unknown = volid.replace("-410-2", "-412-2");
    lab.sh(&format!("cp /root/whole {}", file(&unknown)));
    let found = verified(lab, 7, &unknown);
    assert_eq!(
        (found["is"].as_str(), found["says"].as_str().unwrap().contains("zstd is not installed")),
        (Some("unknown"), true),
        "{found}"
    );
    lab.sh("mv /usr/bin/zstd.away /usr/bin/zstd");
    assert_eq!(verified(lab, 0, &unknown)["is"], "whole");
    // All at once: one that is spoilt keeps no other from being read.
    let said = expect(lab, 1, &["backup", "verify", "--all"]);
    has(&said.err, "1 whole, 2 DAMAGED: ");
}

#[test]
fn what_was_lost_in_a_guest_is_pulled_out_of_its_archive() {
    let Some(lab) = node("ip") else { return skip("no lab on this machine") };
    let lab = &lab;
    let volid = archived(lab, 420);
    let before = lab.guest(420, LOOK);
    let listed = json(lab, &["backup", "files", &volid, "/srv/x"]);
    let names: Vec<&str> = listed["items"].as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["deep", "holes", "link", "rnd"], "{listed}");
    let rnd = &listed["items"][3];
    assert_eq!(
        (rnd["mode"].as_str(), rnd["uid"].as_u64(), rnd["gid"].as_u64(), rnd["size"].as_u64()),
        (Some("4750"), Some(1000), Some(33), Some(3 << 20))
    );
    let kept = lab.sh("stat -c '%a %n' /var/lib/proximity/listings /var/lib/proximity/listings/*");
    assert!(kept.starts_with("700 ") && kept.lines().nth(1).unwrap().starts_with("600 "), "{kept}");

    // A file, while the guest runs: what is there now is kept.
    lab.guest(420, "echo spoilt >/srv/x/rnd");
    expect(lab, 0, &["backup", "pull", &volid, "/srv/x/rnd"]);
    assert_eq!(
        lab.guest(420, LOOK).lines().filter(|l| l.contains("rnd")).collect::<Vec<_>>(),
        before.lines().filter(|l| l.contains("rnd")).collect::<Vec<_>>()
    );
    assert_eq!(lab.guest(420, "cat /srv/x/rnd.before-*").trim(), "spoilt");
    // A folder that is gone.
    lab.guest(420, "rm -rf /srv/x; sync");
    expect(lab, 0, &["backup", "pull", &volid, "/srv/x"]);
    assert_eq!(lab.guest(420, LOOK), before);
    assert_eq!(lab.guest(420, "ls -A /srv").trim(), "x", "nothing else stays");
    // While it does not run, too.
    lab.guest(420, "rm /srv/x/rnd; sync");
    lab.node(&["pct", "stop", "420"]);
    expect(lab, 0, &["backup", "pull", &volid, "/srv/x/rnd"]);
    assert!(!lab.sh("cat /etc/pve/lxc/420.conf").contains("lock"), "its volumes were let go");
    lab.node(&["pct", "start", "420"]);
    assert_eq!(lab.guest(420, LOOK), before);
    // Killed in the middle: the file in its place is as it was, and what stands beside it is told, with the way to remove it.
    lab.sh(&format!(
        "root=$(pvesm path $(sed -n 's/^rootfs: \\([^,]*\\).*/\\1/p' /etc/pve/lxc/420.conf | head -1)); \
         b=backup; setsid proximity $b pull {volid} /srv/x/rnd >/dev/null 2>&1 & \
         for n in $(seq 3000); do ls -d $root/srv/x/.proximity-* 2>/dev/null && break; sleep 0.01; done; \
         pkill -9 -f '[j]ob-worker|[i]n-archive|[p]roximity backup'; true"
    ));
    assert_eq!(lab.guest(420, LOOK), before);
    assert!(lab.guest(420, "ls -A /srv/x").contains(".proximity-"), "it was not killed in the middle");
    let told = crate::inplace::settled(lab);
    let left = told["outcome"]["left"][0].as_str().unwrap_or_default();
    let remove = left.strip_prefix("what was unpacked, beside its place; to remove it: ");
    lab.sh(remove.unwrap_or_else(|| panic!("{told}")));
    assert_eq!((lab.guest(420, LOOK), lab.guest(420, "ls -A /srv/x").contains(".proximity-")), (before.clone(), false));
    // Into another folder of it, and on the host, where all of it is root's.
    expect(lab, 0, &["backup", "pull", &volid, "/srv/x", "--into", "420:/root"]);
    assert_eq!(lab.guest(420, &LOOK.replace("/srv/x", "/root/x")), before);
    lab.sh("mkdir /root/out");
    expect(lab, 0, &["backup", "pull", &volid, "/srv/x/rnd", "--into-dir", "/root/out"]);
    assert_eq!(lab.sh("stat -c '%u %g %a' /root/out/rnd"), "0 0 750");
    assert_eq!(lab.sh("md5sum </root/out/rnd | cut -d' ' -f1"), before.split(' ').next().unwrap());
}

#[test]
fn what_is_not_whole_or_leads_elsewhere_is_not_pulled() {
    let Some(lab) = node("ix") else { return skip("no lab on this machine") };
    let lab = &lab;
    let volid = archived(lab, 430);
    let before = lab.guest(430, LOOK);
    // The guest leads its folder to one of the host's names, and to one of its own.
    lab.sh("mkdir -p /root/victim && echo mine >/root/victim/rnd");
    for to in ["/root/victim", "../../../../../../../root/victim", "/etc", "/proc/1/root/root"] {
        lab.guest(430, &format!("mv /srv/x /srv/y && ln -s {to} /srv/x"));
        let said = expect(lab, 6, &["backup", "pull", &volid, "/srv/x/rnd"]);
        has(&said.err, "leads through a symbolic link there");
        lab.guest(430, "rm /srv/x && mv /srv/y /srv/x");
    }
    assert_eq!((lab.sh("ls -A /root/victim"), lab.sh("cat /root/victim/rnd")), ("rnd".into(), "mine".into()));
    assert_eq!(lab.guest(430, "test -e /etc/rnd || echo no").trim(), "no");
    // A link in the place itself is no way either: it is what is kept.
    lab.guest(430, "mv /srv/x/rnd /srv/x/was && ln -s /etc/passwd /srv/x/rnd && md5sum /etc/passwd >/root/sum");
    expect(lab, 0, &["backup", "pull", &volid, "/srv/x/rnd"]);
    lab.guest(430, "md5sum -c /root/sum && rm /srv/x/rnd.before-* /srv/x/was");
    assert_eq!(lab.guest(430, LOOK), before);
    // Of an archive that is cut short nothing comes back, and nothing is left.
    expect(lab, 0, &["backup", "files", &volid, "/srv"]);
    let path = file(&volid);
    let list = lab.sh(&format!("stat -c '%s %y' {path}"));
    lab.guest(430, "rm /srv/x/rnd; sync");
    // With the size and the time that its list was kept by: the list does not know.
    lab.sh(&format!(
        "touch -r {path} /root/time && truncate -s -4096 {path} && head -c 4096 /dev/zero >>{path} && touch -r /root/time {path}"
    ));
    assert_eq!(lab.sh(&format!("stat -c '%s %y' {path}")), list);
    for what in ["/srv/x/rnd", "/srv/x", "/etc/hostname"] {
        let said: Said = expect(lab, 1, &["backup", "pull", &volid, what, "--into", "430:/srv"]);
        has(&said.err, "the archive is damaged");
        assert_eq!(lab.guest(430, "ls -A /srv").trim(), "x", "{what}");
    }
    lab.guest(430, "test ! -e /srv/x/rnd");
    has(&expect(lab, 5, &["backup", "pull", &volid, "/srv/x/deep", "--into", "430:/none"]).err, "there is no folder /none there");
    has(&expect(lab, 6, &["backup", "pull", &volid, "/srv/none"]).err, "nothing of that name");
}
