//! The host is gone. A bare one, the set that Proximity wrote of itself, the archives and the card: what the card says is typed,
//! line by line, and the app answers again, at its port, with its data, under its name and address.

use std::io::Write;
use std::process::Stdio;

use crate::appliance::{appliance_lab, green};
use crate::harness::{Lab, skip, wait_for};
use crate::publish::done;
use crate::swap::{app, archived, seen};

/// Packs paths of one node and unpacks them on the other.
fn carried(from: &Lab, to: &Lab, paths: &str) {
    let packed = from.command("pve1", &["bash", "-c", &format!("tar -C / -cf - {paths}")]).output().unwrap();
    assert!(packed.status.success());
    let mut child = to.command("pve1", &["tar", "-C", "/", "-xf", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&packed.stdout).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn by_the_card_everything_comes_back_on_a_bare_host() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    lab.sh("proximity appliance pin 101 10.20.0.33 --yes --passphrase-fd 3 3</root/pw");
    let sum = app(&lab);
    done(&lab, "publish again --to web:80");
    archived(&lab);
    let ports = |lab: &Lab| lab.sh("proximity ports list -o plain | awk '{print $1,$2,$3,$4}'");
    let (was, set) =
        (ports(&lab), lab.sh("mkdir /root/away; proximity backup set /root/away --passphrase-fd 3 3</root/pw -o json || test $? = 10"));
    let set: serde_json::Value = serde_json::from_str(&set).unwrap();
    let not_safe = set["not_safe"].to_string();
    assert!(not_safe.contains("the archives of 101 web stand on local") && not_safe.contains("102 wiki has no archive"), "{set}");
    assert_eq!(set["missing"].as_array().unwrap().len(), 0, "{set}");
    let at = set["set"].as_str().unwrap();
    assert_eq!(
        lab.sh(&format!("stat -c %a {at} {at}/proximity.db {at}/card.txt; ls -A /root/away | wc -l"))
            .split_whitespace()
            .collect::<Vec<_>>(),
        ["700", "600", "600", "1"]
    );
    let all = lab.sh(&format!("cat {at}/files/etc/pve/storage.cfg {at}/files/etc/network/interfaces"));
    assert!(all.contains("local-lvm") && all.contains("proximity-lan"), "{all}");
    // Neither the passphrase nor the host's key nor the words are in it.
    let key = lab.sh("od -An -v -tx1 /var/lib/proximity/host.key | tr -d ' \\n'");
    let found =
        lab.sh(&format!("find {at} -type f -exec od -An -v -tx1 {{}} + | tr -d ' \\n' | grep -c {} || true", &key[key.len() - 64..]));
    assert_eq!(found.trim(), "0", "the key of the host is in the set");

    let Some(other) = Lab::bare("dz") else { return skip("no lab on this machine") };
    other.sh("ip link del proximity-lan; sed -i '/^auto proximity-lan/,/addrgen/d' /etc/network/interfaces");
    lab.sh(&format!("cp -r {at} /root/set"));
    carried(&lab, &other, "root/set root/words root/pw var/lib/vz/dump");
    drop(lab);
    other.sh("grep -E '^ +[0-9]+ [a-z]' /root/words | tr -d '0-9' | tr -s ' \\n' ' ' >/root/w");
    let card = other.sh("cat /root/set/card.txt");
    let lines: Vec<&str> = card.lines().filter_map(|l| l.strip_prefix("$ ")).collect();
    assert!(lines.len() >= 9, "{card}");
    for line in lines {
        // Whoever types it is asked for these.
        let answered = match line {
            l if l.starts_with("proximity vault restore") => format!("{l} --passphrase-fd 3 3</root/w"),
            l if l.starts_with("proximity operator passphrase") => {
                format!("{l} --passphrase-fd 3 --new-passphrase-fd 4 3</root/w 4</root/pw")
            }
            l if l.starts_with("proximity appliance provision") => {
                format!("{l} --template local:vztmpl/alpine-lab-appliance_amd64.tar.zst")
            }
            l => l.to_owned(),
        };
        let said = other.exec("pve1", &["bash", "-c", &answered]);
        println!("{answered}: {}", said.rc);
        // The doctor tells of what a bare lab does not have.
        let fine = said.rc == 0 || line == "proximity doctor";
        assert!(fine, "{answered}: {said:?}");
    }
    // What starts with the container takes its time after it.
    wait_for("the app", || seen(&other, "/data").0 == "200");
    assert_eq!(seen(&other, "/data"), ("200".into(), sum));
    assert_eq!(ports(&other), was);
    assert_eq!(other.guest(101, "hostname; ip -4 -o address show dev eth0 | awk '{print $4}'"), "web\n10.20.0.33/24");
    green(&other, "the way back");
    // The vault opens with the new passphrase; the old host's key opens nothing here.
    other.sh("proximity vault status --passphrase-fd 3 3</root/pw");
}
