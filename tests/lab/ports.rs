//! Ports given out beside what really listens: on the node, in the appliance, in the sites of a real Caddy.

use std::collections::BTreeSet;

use proximity::domain::caddy;
use proximity::domain::ports::Ranges;
use proximity::domain::service::{Service, Spec};
use proximity::domain::settings::Settings;
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
    // Whatever has the appliance's id and is not Proximity's is not asked.
    let (said, told) = ports(lab, "list");
    assert_eq!((said.rc, &told["items"], &told["pairs"]["free"]), (0, &json!([]), &1000.into()), "{said:?}");
    lab.node(&["pct", "set", "9999", "--tags", "proximity", "--description", "Proximity network appliance"]);

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

/// A Caddyfile as the program makes it, before the sites.
const BASE: &str =
    "{\n\tadmin 127.0.0.1:2019\n\tauto_https off\n}\n(access) {\n\tlog {\n\t\toutput file /var/log/caddy/access.log\n\t}\n}\n";

#[test]
fn a_printed_site_serves_everybody_in_public_and_only_those_who_are_trusted_in_a_frame() {
    let Some(lab) = Lab::up("site") else { return skip("no lab on this machine") };
    let lab = &lab;
    lab.sh("umask 077; echo 'orbit lantern mosaic velvet quarry seven' >/root/pw; proximity init --operator ada --passphrase-fd 3 3</root/pw >/root/words");
    let site = "site cloud --to http://web:80";
    assert_eq!(ports(lab, site).0.rc, 5, "no ports, no site");
    assert_eq!(change(lab, "reserve cloud", 0), 30_000);
    let (said, told) = ports(lab, site);
    assert_eq!((said.rc, &told["path"]), (0, &"/etc/caddy/proximity/current/cloud.caddy".into()), "{said:?}");
    assert_eq!(lab.sh(&format!("proximity ports {site} 2>/dev/null")), told["text"].as_str().unwrap().trim_end());
    lab.write("/root/base", BASE);
    lab.sh("(cat /root/base; echo 'import apps/*.caddy') | pct exec 9999 -- tee /etc/caddy/Caddyfile >/dev/null");
    lab.sh(&format!("proximity ports {site} 2>/dev/null | pct exec 9999 -- tee /etc/caddy/apps/cloud.caddy >/dev/null"));
    lab.guest(9999, "caddy validate --adapter caddyfile --config /etc/caddy/Caddyfile 2>/dev/null && caddy reload --adapter caddyfile --config /etc/caddy/Caddyfile 2>/dev/null");

    let wan = lab.env()["LAB_WAN"].clone();
    let op = |port: u16| {
        let url = format!("http://{wan}:{port}/cgi-bin/env");
        lab.exec("op", &["curl", "-si", "-m", "10", "-H", "X-Forwarded-For: 6.6.6.6", "-H", "X-Forwarded-Proto: https", &url]).out
    };
    wait_for("the public site", || op(30_000).contains("200 OK"));
    let public = op(30_000);
    assert!(public.contains("X-Frame-Options: DENY") && public.contains("Content-Security-Policy: none"), "{public}");
    for right in ["HTTP_X_FORWARDED_FOR=10.77.0.1\n", "HTTP_X_FORWARDED_PROTO=http\n", "HTTP_X_FORWARDED_PORT=30000\n"] {
        assert!(public.contains(right), "no {right} in {public}");
    }
    assert!(public.contains(&format!("HTTP_X_FORWARDED_HOST={wan}:30000\n")), "{public}");
    let strange = op(40_000);
    assert!(strange.starts_with("HTTP/1.1 403") && !strange.contains("X-App"), "{strange}");
    let inside = lab.guest(102, "busybox wget -S -O - http://10.20.0.1:40000/cgi-bin/env 2>&1").to_lowercase();
    assert!(inside.contains("200 ok") && inside.contains("x-app: 1") && inside.contains("forwarded_port=40000"), "{inside}");
    assert!(!inside.contains("x-frame-options") && !inside.contains("content-security-policy"), "{inside}");
}

/// Everything that Caddy makes of a thousand files is ours: ports, where they lead to, and which handlers there are.
#[test]
fn a_thousand_sites_are_taken_by_caddy_and_hold_nothing_but_ours() {
    let lab = crate::shared_lab!();
    let long = "a".repeat(63);
    let odd = ["import", "admin", "a--b", "3d", "localhost", "respond", "reverse-proxy", "x", "http", &long];
    let ranges = Ranges::of(&Settings::default()).unwrap();
    let services: Vec<Service> = ranges
        .pairs()
        .enumerate()
        .map(|(n, pair)| {
            let word = odd[n % odd.len()];
            let name = if n < odd.len() { word.to_owned() } else { format!("{}-{n}", &word[..word.len().min(50)]) };
            let to = match n % 4 {
                0 => format!("http://{word}.prox.local:80"),
                1 => format!("10.20.{}.{}:8080", n / 250, n % 250 + 1),
                2 => format!("[fd00::{n:x}]:3000"),
                _ => format!("https://{word}.example.org:8443"),
            };
            Service { name: name.parse().unwrap(), pair, spec: Spec::to(to.parse().unwrap()) }
        })
        .collect();
    let trusted = ["192.168.1.0/24".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let text: String = services.iter().map(|s| caddy::site(s, &trusted)).collect();
    lab.write("/root/sites", &format!("{BASE}{text}"));
    lab.sh("pct push 9999 /root/sites /tmp/sites 2>/dev/null || pct exec 9999 -- tee /tmp/sites </root/sites >/dev/null");
    let told = lab.guest(9999, "caddy adapt --adapter caddyfile --config /tmp/sites 2>/dev/null");
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|e| panic!("{e}: {}", told.chars().take(500).collect::<String>()));
    let servers = told["apps"]["http"]["servers"].as_object().unwrap();
    assert_eq!((servers.len(), told["apps"].as_object().unwrap().len()), (2 * services.len(), 1));
    let mut found: Vec<(String, BTreeSet<String>)> = Vec::new();
    for server in servers.values() {
        let (mut dials, mut handlers) = (BTreeSet::new(), BTreeSet::new());
        strings(&server["routes"], "dial", &mut dials);
        strings(&server["routes"], "handler", &mut handlers);
        let internal = handlers.remove("static_response");
        assert_eq!(handlers, ["reverse_proxy"].map(str::to_owned).into(), "{server}");
        let port = server["listen"][0].as_str().unwrap().to_owned();
        assert_eq!((internal, server["listen"].as_array().unwrap().len()), (port.starts_with(":4"), 1), "{server}");
        // Each writes to the one log, under a name that is its port.
        let log = &told["logging"]["logs"][server["logs"]["default_logger_name"].as_str().unwrap()];
        let named = (&log["encoder"]["name_key"], &log["writer"]["filename"]);
        assert_eq!(named, (&json!(format!("port-{}", &port[1..])), &json!("/var/log/caddy/access.log")), "{server}");
        found.push((port, dials));
    }
    found.sort();
    let place = |s: &Service| s.spec.to.to_string().split_once("://").unwrap().1.to_owned();
    let of = |port: fn(&Service) -> u16| services.iter().map(move |s| (format!(":{}", port(s)), BTreeSet::from([place(s)])));
    let mut model: Vec<_> = of(|s| s.pair.public).chain(of(|s| s.pair.internal)).collect();
    model.sort();
    assert_eq!(found, model);
}

/// All texts of this name, however deep.
fn strings(value: &Value, name: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Array(all) => all.iter().for_each(|v| strings(v, name, out)),
        Value::Object(all) => all.iter().for_each(|(key, v)| match v {
            Value::String(text) if key == name => {
                out.insert(text.clone());
            }
            v => strings(v, name, out),
        }),
        _ => {}
    }
}
