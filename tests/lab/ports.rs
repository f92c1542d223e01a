//! Ports given out beside what really listens: on the node, in the appliance, in the sites of a real Caddy.

use serde_json::{Value, json};

use crate::harness::{Lab, Said, skip, wait_for};

fn ports(lab: &Lab, words: &str) -> (Said, Value) {
    let said = lab.exec("pve1", &["bash", "-c", &format!("proximity -o json ports {words} 3</root/pw")]);
    let told = serde_json::from_str(&said.out).unwrap_or(Value::Null);
    (said, told)
}

/// `proximity ports …` that is to be remembered; the public port.
fn change(lab: &Lab, words: &str, rc: i32) -> u64 {
    let (said, told) = ports(lab, &format!("{words} --passphrase-fd 3"));
    assert_eq!(said.rc, rc, "{words}: {said:?}");
    told["public"].as_u64().unwrap_or(0)
}

#[test]
fn what_listens_keeps_its_port_and_what_cannot_be_asked_is_unknown() {
    let Some(lab) = Lab::up("ports") else { return skip("no lab on this machine") };
    let lab = &lab;
    lab.sh("umask 077; echo 'orbit lantern mosaic velvet quarry seven' >/root/pw; proximity init --operator ada --passphrase-fd 3 3</root/pw >/root/words");
    // The sites of web and wiki, which somebody wrote; a program of the node, one in the appliance, a connection of its own.
    lab.sh("setsid busybox nc -ll -p 30002 -e true >/dev/null 2>&1 </dev/null &");
    lab.guest(9999, "busybox nc -ll -p 40004 -e true >/dev/null 2>&1 &");
    lab.guest(101, "busybox nc -ll -p 81 -e sleep 1000 >/dev/null 2>&1 &");
    lab.sh("web=$(lxc-info -n 101 -i -H); setsid nsenter --net=/proc/$(lxc-info -n 9999 -p -H)/ns/net curl --local-port 40003 http://$web:81/ >/dev/null 2>&1 </dev/null &");
    let seen = || {
        let (_, told) = ports(lab, "list");
        let item = |i: &Value| format!("{} {} {}", i["public"], i["state"].as_str().unwrap_or(""), i["listens"]);
        told["items"].as_array().map_or(Vec::new(), |items| items.iter().map(item).collect())
    };
    let all = [
        r#"30001 foreign ["caddy","appliance"]"#,
        r#"30002 foreign ["caddy","appliance","host"]"#,
        r#"30003 foreign ["outgoing"]"#,
        r#"30004 foreign ["appliance"]"#,
    ];
    wait_for("all four", || seen() == all);
    let (said, told) = ports(lab, "list");
    assert_eq!((said.rc, &told["unknown"], &told["nearer_limit"]["is"]), (0, &json!([]), &"addresses".into()), "{said:?}");
    assert_eq!(change(lab, "reserve nextcloud", 0), 30_000);
    assert_eq!(change(lab, "reserve gitea", 0), 30_005);
    assert_eq!(change(lab, "reserve nextcloud", 0), 30_000);
    assert_eq!(change(lab, "pin web 30001", 0), 30_001, "what listens there is what it is pinned for");
    let (_, told) = ports(lab, "who 30001");
    assert_eq!((&told["state"], &told["listens"], &told["now"]["by"]), (&"kept".into(), &json!(["caddy", "appliance"]), &"ada".into()));
    assert_eq!(change(lab, "release nextcloud", 0), 30_000);
    assert_eq!(change(lab, "reserve photos", 0), 30_006, "30000 cools down");

    // An appliance that does not run: its sites are files that nobody read.
    lab.node(&["pct", "stop", "9999"]);
    let (said, told) = ports(lab, "reserve wiki --passphrase-fd 3");
    assert_eq!((said.rc, &told["public"]), (10, &30_003.into()), "{said:?}");
    assert_eq!(told["unknown"][1], json!({"what": "sites of its Caddy", "why": "the appliance is stopped"}), "{told}");

    // Written down, and whole.
    let log = lab.sh("proximity audit list -o json; proximity audit verify --passphrase-fd 3 3</root/pw");
    assert_eq!(log.matches("\"ports.reserve\"").count(), 4, "{log}");
}
