//! The appliance as it should be, put into a real container, and then broken: which lamps turn, and that no other does.
//!
//! One lab, one test: each breakage is mended before the next, and all lamps must be green again.

use crate::harness::{Lab, PATIENCE, Said, skip};
use proximity::domain::appliance::desired::{Around, desired};
use proximity::domain::appliance::files::{Made, files};
use proximity::domain::conf::parse_lxc;
use proximity::domain::guest::{Guest, Vmid};
use proximity::domain::settings::{Change, Key, Settings};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;
use std::time::Instant;

const UPSTREAM: &str = "10.77.0.1";

/// The files that the settings and guests of this lab make, by the same way as the program's.
fn wanted(lab: &Lab) -> Vec<Made> {
    let guest = |id: u32| -> Guest { parse_lxc(Vmid::try_from(id).unwrap(), &lab.sh(&format!("cat /etc/pve/lxc/{id}.conf"))) };
    let key: Key = "network.upstream".parse().unwrap();
    let change = Change::Set(key.definition().parse(UPSTREAM).unwrap());
    let settings = Settings::default().with([(&key, &change)]);
    let around = Around { guarded: vec!["10.77.0.10".parse().unwrap()], ..Around::default() };
    let (appliance, guests) = (guest(9999), [guest(101), guest(102), guest(9999)]);
    files(&desired(&settings, Some(&appliance), &guests, &around).unwrap())
}

fn put(lab: &Lab, made: &Made) {
    let mut child =
        lab.command("pve1", &["pct", "exec", "9999", "--", "tee", made.path]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(made.text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// A node whose appliance is as the settings want it.
fn appliance_lab() -> Option<Lab> {
    let lab = Lab::up("ap")?;
    lab.sh("umask 077; echo 'orbit lantern mosaic velvet quarry seven' >/root/pw; proximity init --operator ada --passphrase-fd 3 3</root/pw >/root/words");
    lab.sh(&format!("proximity settings set network.upstream {UPSTREAM} --passphrase-fd 3 3</root/pw"));
    lab.sh("pct set 9999 --tags proximity");
    for made in wanted(&lab) {
        put(&lab, &made);
    }
    lab.guest(9999, "sysctl -q -p /etc/sysctl.d/60-proximity.conf; iptables-restore /etc/iptables/rules-save; rc-service -q dnsmasq restart; rc-service -q caddy restart");
    Some(lab)
}

fn probe(lab: &Lab, words: &[&str]) -> (Said, Value) {
    let argv: Vec<&str> = ["proximity", "-o", "json", "appliance"].into_iter().chain(words.iter().copied()).collect();
    let said = lab.exec("pve1", &argv);
    let told = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    (said, told)
}

/// The lamps that do not pass, in order: `dns fail, config unknown`.
fn turned(lab: &Lab) -> String {
    let (_, told) = probe(lab, &["status"]);
    let items = told["items"].as_array().unwrap();
    assert_eq!(items.len(), 16, "{told}");
    let not = items.iter().filter(|i| i["light"] != "pass");
    not.map(|i| format!("{} {}", i["name"].as_str().unwrap(), i["light"].as_str().unwrap())).collect::<Vec<_>>().join(", ")
}

/// Waits until all lamps pass; else says what the others know.
fn green(lab: &Lab, after: &str) {
    let begun = Instant::now();
    while !turned(lab).is_empty() {
        if begun.elapsed() > PATIENCE {
            let (_, told) = probe(lab, &["probe"]);
            let not: Vec<&Value> = told["items"].as_array().unwrap().iter().filter(|i| i["light"] != "pass").collect();
            panic!("after {after}: {not:#?}");
        }
    }
}

/// What is broken, how on the node, which lamps turn, how it is mended on the node.
const INSIDE: &str = "pct exec 9999 --";
const BREAKAGES: &[(&str, &str, &str, &str)] = &[
    (
        "dnsmasq killed",
        "IN sh -c 'kill -9 $(cat /run/dnsmasq.pid); while kill -0 $(cat /run/dnsmasq.pid); do :; done 2>/dev/null'",
        "dnsmasq fail, dhcp fail, dns fail, config unknown",
        "IN rc-service -q dnsmasq restart",
    ),
    ("caddy stopped", "IN rc-service -q caddy stop", "caddy fail, admin unknown, config unknown", "IN rc-service -q caddy start"),
    (
        "administration for everybody",
        "IN sed -i 's/127.0.0.1:2019/:2019/' /etc/caddy/Caddyfile; IN rc-service -q caddy restart",
        "admin fail, config warn",
        "IN sed -i 's/admin :2019/admin 127.0.0.1:2019/' /etc/caddy/Caddyfile; IN rc-service -q caddy restart",
    ),
    ("Caddyfile broken by hand", "IN sh -c 'echo nonsense { >>/etc/caddy/Caddyfile'", "config warn", "IN sed -i '$d' /etc/caddy/Caddyfile"),
    ("NAT flushed", "IN iptables -t nat -F", "nat fail, way-out fail", "IN iptables-restore /etc/iptables/rules-save"),
    (
        "NAT doubled",
        "IN iptables -t nat -A POSTROUTING -s 10.20.0.0/24 -o eth0 -j MASQUERADE",
        "nat warn",
        "IN iptables-restore /etc/iptables/rules-save",
    ),
    (
        "a rule of somebody else",
        "IN iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 8080 -j DNAT --to-destination 10.20.0.9:80",
        "nat warn",
        "IN iptables-restore /etc/iptables/rules-save",
    ),
    (
        "the guard of the node removed",
        "IN iptables -D FORWARD -d 10.77.0.10/32 -i eth1 -j REJECT --reject-with icmp-admin-prohibited",
        "nat fail, isolation fail",
        "IN iptables-restore /etc/iptables/rules-save",
    ),
    ("forwarding off", "IN sysctl -q -w net.ipv4.ip_forward=0", "forwarding fail, way-out fail", "IN sysctl -q -w net.ipv4.ip_forward=1"),
    (
        "reserved ports forgotten",
        "IN sysctl -q -w net.ipv4.ip_local_reserved_ports=40000-40900",
        "ports warn",
        "IN sysctl -q -p /etc/sysctl.d/60-proximity.conf",
    ),
    ("dnsmasq.conf changed by hand", "IN sh -c 'echo log-dhcp >>/etc/dnsmasq.conf'", "config warn", "IN sed -i '$d' /etc/dnsmasq.conf"),
    (
        "another dnsmasq.conf in effect than on disk",
        "IN sed -i 's/,43200$/,43201/; s/format-1-/format-1-0/' /etc/dnsmasq.conf; IN rc-service -q dnsmasq restart; IN sed -i 's/,43201$/,43200/; s/format-1-0/format-1-/' /etc/dnsmasq.conf",
        "config warn",
        "IN rc-service -q dnsmasq restart",
    ),
    (
        "upstream gone",
        "IN iptables -A OUTPUT -o eth0 -p udp --dport 53 -j DROP",
        "dns fail, nat warn",
        "IN iptables-restore /etc/iptables/rules-save",
    ),
    ("bridge down", "ip link set proximity-lan down", "bridge fail, dhcp fail, way-out fail", "ip link set proximity-lan up"),
    (
        "appliance unplugged",
        "ip link set veth9999i1 nomaster",
        "bridge fail, dhcp fail, way-out fail",
        "ip link set veth9999i1 master proximity-lan",
    ),
    (
        "bridge not kept",
        "sed -i.bak 's/^auto proximity-lan//' /etc/network/interfaces",
        "bridge warn",
        "mv /etc/network/interfaces.bak /etc/network/interfaces",
    ),
    ("changes of the network waiting", "touch /etc/network/interfaces.new", "bridge warn", "rm /etc/network/interfaces.new"),
    ("the tag lost", "pct set 9999 --delete tags", "container warn", "pct set 9999 --tags proximity"),
    (
        "disk full",
        "P=$(findmnt -nt btrfs -o TARGET | head -1); i=0; while fallocate -l 128MiB $P/filled.$i 2>/dev/null; do i=$((i + 1)); done",
        "disk fail",
        "P=$(findmnt -nt btrfs -o TARGET | head -1); rm $P/filled.*; btrfs filesystem sync $P",
    ),
    (
        "addresses refused to apps",
        "IN sed -i 's/^no-poll/dhcp-ignore=tag:!nobody\\nno-poll/' /etc/dnsmasq.conf; IN rc-service -q dnsmasq restart",
        "dhcp fail, config warn",
        "IN sed -i '/dhcp-ignore=tag:!nobody/d' /etc/dnsmasq.conf; IN rc-service -q dnsmasq restart",
    ),
];

#[test]
fn every_breakage_turns_its_lamps_and_no_other() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    green(&lab, "the set-up");
    let begun = Instant::now();
    let (said, told) = probe(&lab, &["probe"]);
    println!("a whole refresh: {} ms", begun.elapsed().as_millis());
    assert_eq!(said.rc, 0, "{said:?}");
    for item in told["items"].as_array().unwrap() {
        let evidence = item["evidence"].as_array().unwrap();
        assert!(!evidence.is_empty() && evidence.iter().all(|e| e["asked"] != "" && e["as_of"] != ""), "{item}");
    }
    let mut wrong = Vec::new();
    for (what, broken, expected, mended) in BREAKAGES {
        lab.sh(&broken.replace("IN ", &format!("{INSIDE} ")));
        let found = turned(&lab);
        if found != *expected {
            let not = probe(&lab, &["probe"]).0.out;
            let line = format!("{what}: '{found}' instead of '{expected}'\n{not}");
            println!("{line}");
            wrong.push(line);
        }
        lab.sh(&mended.replace("IN ", &format!("{INSIDE} ")));
        green(&lab, what);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    lab.node(&["pct", "stop", "9999"]);
    let inside = "dnsmasq unknown, dhcp fail, dns unknown, caddy unknown, admin unknown, nat unknown, forwarding unknown, way-out fail, ports unknown, config unknown, clock unknown, disk unknown, memory unknown";
    assert_eq!(turned(&lab), format!("container fail, {inside}"));
    assert_eq!(lab.exec("pve1", &["proximity", "appliance", "leases"]).rc, 7, "what cannot be asked is unknown");
}

#[test]
fn generated_files_are_taken_by_the_real_programs() {
    let lab = crate::shared_lab!();
    for made in wanted(lab) {
        let path = format!("/tmp/made{}", made.path.replace('/', "_"));
        put(lab, &Made { path: Box::leak(path.clone().into_boxed_str()), ..made.clone() });
        let tests: &[&[&str]] = match made.path {
            "/etc/dnsmasq.conf" => &[&["dnsmasq", "--test", "-C"]],
            "/etc/caddy/Caddyfile" => {
                &[&["caddy", "validate", "--adapter", "caddyfile", "--config"], &["caddy", "adapt", "--adapter", "caddyfile", "--config"]]
            }
            "/etc/iptables/rules-save" => &[&["iptables-nft-restore", "--test"], &["iptables-legacy-restore", "--test"]],
            _ => &[&["sysctl", "-p"]],
        };
        for test in tests {
            let argv: Vec<&str> = ["pct", "exec", "9999", "--"].into_iter().chain(test.iter().copied()).chain([path.as_str()]).collect();
            let said = lab.exec("pve1", &argv);
            assert_eq!(said.rc, 0, "{argv:?}: {said:?}");
        }
    }
}

#[test]
fn leases_are_listed_with_their_guests() {
    let lab = crate::shared_lab!();
    let (said, told) = probe(lab, &["leases"]);
    assert_eq!(said.rc, 0, "{said:?}");
    let of = |id: u64| told["items"].as_array().unwrap().iter().find(|i| i["guest"] == id).unwrap_or_else(|| panic!("{told}"));
    assert_eq!((&of(101)["name"], &of(102)["name"]), (&"web".into(), &"wiki".into()));
    assert_eq!(told["pool"]["size"], 151);
}
