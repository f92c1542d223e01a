//! Who came to which port, by Caddy's own log: exactly those who came, at the port at which they came.

use serde_json::{Value, json};

use crate::appliance::appliance_lab;
use crate::harness::{Lab, Said, skip, wait_for};

/// `proximity ports …` that is to be remembered.
fn done(lab: &Lab, words: &str) {
    let said = lab.exec("pve1", &["bash", "-c", &format!("proximity ports {words} --yes --passphrase-fd 3 3</root/pw")]);
    assert_eq!(said.rc, 0, "{words}: {said:?}");
}

/// What the operator's machine is answered: the status alone.
fn visit(lab: &Lab, words: &[&str], url: &str) -> String {
    lab.exec("op", &[&["curl", "-sk", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}"], words, &[url]].concat()).out
}

fn look(lab: &Lab) -> Value {
    let said: Said = lab.exec("pve1", &["proximity", "-o", "json", "ports", "drift"]);
    serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"))
}

fn row<'a>(told: &'a Value, name: &str) -> &'a Value {
    told["items"].as_array().unwrap().iter().find(|r| r["name"] == name).unwrap_or_else(|| panic!("no {name} in {told}"))
}

/// Requests, 5xx, 4xx of one of both ports.
fn counts(told: &Value, name: &str, port: &str) -> [Value; 3] {
    let of = &row(told, name)["requests"][port];
    ["requests", "failed_5xx", "refused_4xx"].map(|n| of[n].clone())
}

#[test]
fn who_came_is_counted_where_he_came_in_and_nobody_hides() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    let wan = lab.guest(9999, "ip -4 -o address show dev eth0 | awk '{sub(\"/.*\",\"\",$4); print $4}'");
    done(lab, "publish web --to web:80");
    done(lab, "publish wiki --to wiki:80");
    done(lab, "publish dead --to web:81 --unanswered");
    done(lab, "publish safe --to web:80 --tls internal --tls-name safe.home");
    let at = |port: u16, path: &str| format!("http://{wan}:{port}{path}");

    // Nobody but the console itself.
    let told = look(lab);
    for name in ["web", "wiki", "dead", "safe"] {
        assert_eq!(counts(&told, name, "public"), [json!(0), json!(0), json!(0)], "{told}");
        assert_eq!(counts(&told, name, "internal"), [json!(0), json!(0), json!(0)], "{told}");
    }
    assert!(row(&told, "web")["requests"]["public"]["own"].as_u64().unwrap() >= 1, "{told}");

    // As many as these, and each says that he is elsewhere or that he is the console.
    let forged = format!("Host: {wan}:30001");
    for _ in 0..7 {
        assert_eq!(visit(lab, &["-H", &forged], &at(30_000, "/")), "200");
    }
    for agent in ["curl", "proximity", "x\",\"port-30001\":\"y"] {
        assert_eq!(visit(lab, &["-A", agent], &at(30_000, "/nothing")), "404");
    }
    assert_eq!(visit(lab, &["-I", "-A", "proximity"], &at(30_000, "/")), "200");
    for _ in 0..2 {
        assert_eq!(visit(lab, &[], &at(30_002, "/")), "502");
    }
    lab.node(&["pct", "exec", "102", "--", "sh", "-c", "for n in 1 2 3 4; do busybox wget -q -O /dev/null http://10.20.0.1:40001/; done"]);
    // A site with names: also whoever says its name otherwise, or another, is seen.
    let to = format!("safe.home:30003:{wan}");
    for (host, status) in [("safe.home:30003", "200"), ("safe.home", "200"), ("SAFE.home:30003", "200"), ("else.where", "421")] {
        assert_eq!(visit(lab, &["--resolve", &to, "-H", &format!("Host: {host}")], "https://safe.home:30003/"), status, "{host}");
    }
    // A line is written when the answer has ended.
    wait_for("all visits in the log", || {
        let told = look(lab);
        counts(&told, "web", "public")[0] == 11 && counts(&told, "safe", "public")[0] == 4 && counts(&told, "dead", "public")[0] == 2
    });
    let told = look(lab);
    let all = [
        ("web", "public", [11, 0, 3]),
        ("web", "internal", [0, 0, 0]),
        ("wiki", "public", [0, 0, 0]),
        ("wiki", "internal", [4, 0, 0]),
        ("dead", "public", [2, 2, 0]),
        ("safe", "public", [4, 0, 1]),
    ];
    for (name, port, expected) in all {
        assert_eq!(counts(&told, name, port), expected.map(|n| json!(n)), "{name} {port}: {told}");
    }
    let web = &row(&told, "web")["requests"]["public"];
    assert!(web["mean_ms"].as_f64().unwrap() > 0.0 && web["p95_ms"].as_f64() >= web["mean_ms"].as_f64().map(|m| m / 20.0), "{web}");
    assert!(web["last"].as_str() > web["since"].as_str() && web["unread_lines"] == 0 && web["bytes"].as_u64().unwrap() > 0, "{web}");

    // What cannot be read is unknown, and no zero.
    lab.guest(9999, "mv /var/log/caddy/access.log /var/log/caddy/elsewhere");
    let told = look(lab);
    let gone = &row(&told, "web")["requests"]["public"];
    assert!(gone["is"] == "unknown" && gone["why"].as_str().unwrap().contains("No such file"), "{gone}");
    assert!(told["unknown"].to_string().contains("who came"), "{told}");
    lab.guest(9999, "mv /var/log/caddy/elsewhere /var/log/caddy/access.log");
    // Begun anew: what is behind it is all that came since.
    lab.guest(9999, "cd /var/log/caddy; cp -p access.log access-2026-11-22T08-00-00.000.log; sed -i 1,4d access.log");
    let told = look(lab);
    let cut = &row(&told, "web")["requests"]["public"];
    assert!(cut["is"] == "counted" && cut["requests"].as_u64().unwrap() <= 11, "{told}");

    // When each port last answered well is remembered beyond the app, and of nobody else.
    let last = |told: &Value, name: &str| row(told, name)["last_well"]["public"].clone();
    assert_eq!((&last(&told, "dead"), &last(&told, "web")["is"]), (&json!({"is": "never"}), &json!("at")), "{told}");
    lab.sh("pct stop 101");
    let told = look(lab);
    let before = last(&told, "web");
    assert!(row(&told, "web")["outside"]["status"] == 502 && before["is"] == "at", "{told}");
    assert!(before["at"].as_str() < told["as_of"].as_str(), "{told}");
    assert_eq!(last(&look(lab), "web"), before, "a look that finds nothing well changes nothing");
    let status = lab.exec("pve1", &["proximity", "-o", "json", "--read-only", "ports", "drift"]);
    assert!(status.out.contains(before["at"].as_str().unwrap()), "{status:?}");
    done(lab, "unpublish web");
    done(lab, "publish other --to web:80 --unanswered");
    let told = look(lab);
    assert_eq!(last(&told, "other"), json!({"is": "never"}), "{told}");
    assert_eq!(last(&told, "wiki")["is"], "at", "{told}");
}
