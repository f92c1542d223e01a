//! The appliance as it should be, put into a real container, and then broken: which lamps turn, and that no other does.
//!
//! One lab, one test: each breakage is mended before the next, and all lamps must be green again.

use crate::harness::{Lab, PATIENCE, Said, skip, wait_for};
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

const TEMPLATE: &str = "local:vztmpl/alpine-lab-appliance_amd64.tar.zst";

/// A node without a bridge for apps and without guests, and a store.
pub(crate) fn nothing() -> Option<Lab> {
    let lab = Lab::bare("ap")?;
    lab.sh("umask 077; echo 'orbit lantern mosaic velvet quarry seven' >/root/pw; proximity init --operator ada --passphrase-fd 3 3</root/pw >/root/words");
    lab.sh(&format!("proximity settings set network.upstream {UPSTREAM} --passphrase-fd 3 3</root/pw"));
    lab.sh("ip link del proximity-lan; sed -i '/^auto proximity-lan/,/addrgen/d' /etc/network/interfaces");
    Some(lab)
}

fn provision(lab: &Lab, more: &[&str]) -> Said {
    let argv = ["proximity", "appliance", "provision", "--template", TEMPLATE, "--yes"];
    lab.exec("pve1", &argv.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
}

pub(crate) fn converge(lab: &Lab) -> Said {
    lab.exec("pve1", &["proximity", "appliance", "converge", "--yes"])
}

/// Two apps that ask for their addresses, each with a page.
pub(crate) fn apps(lab: &Lab) {
    for (id, name) in [(101, "web"), (102, "wiki")] {
        lab.sh(&format!(
            "pct create {id} local:vztmpl/alpine-lab-default_amd64.tar.zst --hostname {name} --rootfs local-lvm:1 --unprivileged 1 --memory 128 --net0 name=eth0,bridge=proximity-lan,ip=dhcp >/dev/null 2>&1; pct start {id}"
        ));
        lab.guest(id, &format!("mkdir -p /srv; echo 'page of {name}' >/srv/index.html; busybox httpd -p 80 -h /srv"));
    }
    wait_for("leases of both apps", || probe(lab, &["leases"]).1["items"].as_array().is_some_and(|l| l.len() == 2));
}

/// The pages of both apps, again after the apps were started: nothing starts them by itself.
fn pages(lab: &Lab) {
    for id in [101, 102] {
        wait_for("the app", || lab.exec(&id.to_string(), &["true"]).rc == 0);
        lab.guest(id, "pidof httpd >/dev/null || busybox httpd -p 80 -h /srv");
    }
}

/// A node whose appliance the program built, with two apps that it knows of.
pub fn appliance_lab() -> Option<Lab> {
    let lab = nothing()?;
    let built = provision(&lab, &[]);
    assert_eq!(built.rc, 0, "{built:?}");
    apps(&lab);
    let said = converge(&lab);
    assert_eq!(said.rc, 0, "{said:?}");
    Some(lab)
}

pub fn probe(lab: &Lab, words: &[&str]) -> (Said, Value) {
    let argv: Vec<&str> = ["proximity", "-o", "json", "appliance"].into_iter().chain(words.iter().copied()).collect();
    let said = lab.exec("pve1", &argv);
    let told = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    (said, told)
}

/// The lamps that do not pass, in order: `dns fail, config unknown`.
pub(crate) fn turned(lab: &Lab) -> String {
    let (_, told) = probe(lab, &["status"]);
    let items = told["items"].as_array().unwrap();
    assert_eq!(items.len(), 20, "{told}");
    let not = items.iter().filter(|i| i["light"] != "pass");
    not.map(|i| format!("{} {}", i["name"].as_str().unwrap(), i["light"].as_str().unwrap())).collect::<Vec<_>>().join(", ")
}

/// Waits until all lamps pass; else says what the others know.
pub(crate) fn green(lab: &Lab, after: &str) {
    let begun = Instant::now();
    while !turned(lab).is_empty() {
        if begun.elapsed() > PATIENCE {
            let (_, told) = probe(lab, &["probe"]);
            let not: Vec<&Value> = told["items"].as_array().unwrap().iter().filter(|i| i["light"] != "pass").collect();
            panic!("after {after}: {not:#?}");
        }
    }
}

/// What is broken, how on the node, which lamps turn, and how it is mended where `converge` is not the way.
const INSIDE: &str = "pct exec 9999 --";
const CONVERGE: &str = "";
const BREAKAGES: &[(&str, &str, &str, &str)] = &[
    (
        "dnsmasq killed",
        "IN sh -c 'kill -9 $(cat /run/dnsmasq.pid); while kill -0 $(cat /run/dnsmasq.pid); do :; done 2>/dev/null'",
        "dnsmasq fail, dhcp fail, dns fail, config unknown",
        CONVERGE,
    ),
    ("dnsmasq stopped", "IN rc-service -q dnsmasq stop", "dnsmasq fail, dhcp fail, dns fail, config unknown", CONVERGE),
    ("caddy stopped", "IN rc-service -q caddy stop", "caddy fail, sites unknown, admin unknown, config unknown", CONVERGE),
    (
        "administration for everybody",
        "IN sed -i 's/127.0.0.1:2019/:2019/' /etc/caddy/Caddyfile; IN rc-service -q caddy restart",
        "admin fail, config warn",
        CONVERGE,
    ),
    ("Caddyfile broken by hand", "IN sh -c 'echo nonsense { >>/etc/caddy/Caddyfile'", "config warn", CONVERGE),
    ("Caddyfile gone", "IN rm /etc/caddy/Caddyfile", "config warn", CONVERGE),
    ("NAT flushed", "IN iptables -t nat -F", "nat fail, way-out fail", CONVERGE),
    ("all rules flushed", "IN iptables -F; IN iptables -t nat -F; IN iptables -P FORWARD ACCEPT", "nat fail, way-out fail", CONVERGE),
    ("NAT doubled", "IN iptables -t nat -A POSTROUTING -s 10.20.0.0/24 -o eth0 -j MASQUERADE", "nat warn", CONVERGE),
    (
        "a rule of somebody else",
        "IN iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 8080 -j DNAT --to-destination 10.20.0.9:80",
        "nat warn",
        CONVERGE,
    ),
    ("what no rule names is let through", "IN iptables -P FORWARD ACCEPT", "nat warn", CONVERGE),
    (
        "the guard of the node removed",
        "IN iptables -D FORWARD -d 10.77.0.10/32 -i eth1 -j REJECT --reject-with icmp-admin-prohibited",
        "nat fail, isolation fail",
        CONVERGE,
    ),
    ("forwarding off", "IN sysctl -q -w net.ipv4.ip_forward=0", "forwarding fail, way-out fail", CONVERGE),
    ("reserved ports forgotten", "IN sysctl -q -w net.ipv4.ip_local_reserved_ports=40000-40900", "ports warn", CONVERGE),
    ("the kernel's values not kept", "IN rm /etc/sysctl.d/60-proximity.conf", "config warn", CONVERGE),
    ("the rules not kept", "IN sh -c ': >/etc/iptables/rules-save'", "config warn", CONVERGE),
    ("dnsmasq.conf changed by hand", "IN sh -c 'echo log-dhcp >>/etc/dnsmasq.conf'", "config warn", CONVERGE),
    ("dnsmasq.conf a link", "IN ln -sf /etc/hosts /etc/dnsmasq.conf", "config warn", "IN rm /etc/dnsmasq.conf"),
    (
        "another dnsmasq.conf in effect than on disk",
        "IN sed -i 's/,43200$/,43201/; s/format-2-/format-2-0/' /etc/dnsmasq.conf; IN rc-service -q dnsmasq restart; IN sed -i 's/,43201$/,43200/; s/format-2-0/format-2-/' /etc/dnsmasq.conf",
        "config warn",
        CONVERGE,
    ),
    ("upstream gone", "IN iptables -A OUTPUT -o eth0 -p udp --dport 53 -j DROP", "dns fail, nat warn", CONVERGE),
    ("bridge down", "ip link set proximity-lan down", "bridge fail, dhcp fail, way-out fail", CONVERGE),
    ("appliance unplugged", "ip link set veth9999i1 nomaster", "bridge fail, dhcp fail, way-out fail", CONVERGE),
    ("bridge not kept", "sed -i '/^auto proximity-lan/d' /etc/network/interfaces", "bridge warn", CONVERGE),
    (
        "the host on the network of the apps",
        "ip link set dev proximity-lan addrgenmode eui64; ip address add fe80::9/64 dev proximity-lan nodad",
        "isolation fail",
        CONVERGE,
    ),
    ("an address of the host on it", "ip address add 10.20.0.9/24 dev proximity-lan", "isolation fail", CONVERGE),
    (
        "its interface of the apps elsewhere",
        "pct set 9999 --net1 $(sed -n 's/^net1: //p' /etc/pve/lxc/9999.conf | sed 's/10.20.0.1/10.20.0.3/')",
        // The stand-in plugs at the next start only.
        "config warn",
        CONVERGE,
    ),
    (
        "addresses refused to apps",
        "IN sed -i 's/^no-poll/dhcp-ignore=tag:!nobody\\nno-poll/' /etc/dnsmasq.conf; IN rc-service -q dnsmasq restart",
        "dhcp fail, config warn",
        CONVERGE,
    ),
    (
        "names of apps of somebody else",
        "IN sed -i 's/^no-poll/address=\\/no-such-app-here.prox.local\\/10.20.0.66\\nno-poll/' /etc/dnsmasq.conf; IN rc-service -q dnsmasq restart",
        "dns fail, config warn",
        CONVERGE,
    ),
    ("dnsmasq not started at boot", "IN rc-update -q del dnsmasq default", "boot warn", CONVERGE),
    ("the kernel's values not set at boot", "IN rc-update -q del sysctl boot", "boot warn", CONVERGE),
    ("the appliance not started with the host", "pct set 9999 --onboot 0", "boot warn", CONVERGE),
    ("Caddy's access log root's", "IN chown root /var/log/caddy/access.log", "access-log warn", CONVERGE),
    ("Caddy's access log a link", "IN ln -sf /etc/passwd /var/log/caddy/access.log", "access-log warn", CONVERGE),
    ("the appliance stopped", "pct stop 9999", STOPPED, "proximity appliance provision --yes"),
    // What is not for a plan of the appliance to mend.
    ("a smaller bridge", "ip link set dev proximity-lan mtu 1400", "mtu warn", "ip link set dev proximity-lan mtu 1500"),
    ("a smaller way out", "IN ip link set dev eth0 mtu 1400", "mtu warn", "IN ip link set dev eth0 mtu 1500"),
    ("changes of the network waiting", "touch /etc/network/interfaces.new", "bridge warn", "rm /etc/network/interfaces.new"),
    ("the tag lost", "pct set 9999 --delete tags", "container warn", "pct set 9999 --tags proximity"),
    ("the note lost", "pct set 9999 --description other", "container warn", "pct set 9999 --description 'Proximity network appliance'"),
    ("a lock left", "pct set 9999 --lock backup", "container warn", "pct unlock 9999"),
    (
        "disk full",
        "P=$(findmnt -nt btrfs -o TARGET | head -1); i=0; while fallocate -l 128MiB $P/filled.$i 2>/dev/null; do i=$((i + 1)); done",
        "disk fail",
        "P=$(findmnt -nt btrfs -o TARGET | head -1); rm $P/filled.*; btrfs filesystem sync $P",
    ),
];

const STOPPED: &str = "container fail, mtu unknown, dnsmasq unknown, dhcp fail, dns unknown, caddy unknown, sites unknown, admin unknown, access-log unknown, nat unknown, forwarding unknown, way-out fail, ports unknown, config unknown, boot unknown, clock unknown, disk unknown, memory unknown";

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
    let bytes = |lab: &Lab| {
        lab.sh("cat /etc/network/interfaces")
            + &lab.guest(9999, "cat /etc/dnsmasq.conf /etc/caddy/Caddyfile /etc/iptables/rules-save /etc/sysctl.d/60-proximity.conf")
    };
    let whole = bytes(&lab);
    for (what, broken, expected, mended) in BREAKAGES {
        let begun = Instant::now();
        lab.sh(&broken.replace("IN ", &format!("{INSIDE} ")));
        let found = turned(&lab);
        if found != *expected {
            let not = probe(&lab, &["probe"]).0.out;
            let line = format!("{what}: '{found}' instead of '{expected}'\n{not}");
            println!("{line}");
            wrong.push(line);
        }
        if *mended != CONVERGE {
            lab.sh(&mended.replace("IN ", &format!("{INSIDE} ")));
        }
        if !mended.starts_with("proximity ") {
            let said = converge(&lab);
            assert_eq!(said.rc, 0, "{what}: {said:?}");
        }
        green(&lab, what);
        assert_eq!(bytes(&lab), whole, "{what}: the files are as they were");
        println!(
            "{what:<45} {expected:<60} {} {} ms",
            if *mended == CONVERGE { "converge" } else { "by hand" },
            begun.elapsed().as_millis()
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(lab.guest(9999, "stat -c %U /etc/passwd"), "root", "no link was followed");
    let again = lab.exec("pve1", &["proximity", "appliance", "converge", "--yes"]);
    assert!(again.rc == 0 && again.out.contains("nothing to do"), "{again:?}");

    lab.node(&["pct", "stop", "9999"]);
    assert_eq!(lab.exec("pve1", &["proximity", "appliance", "leases"]).rc, 7, "what cannot be asked is unknown");
}

/// From a bare node to two apps with a lease, a name, a way out and a site; asked for again, nothing is done.
#[test]
fn an_appliance_is_built_from_nothing() {
    let Some(lab) = nothing() else { return skip("no lab on this machine") };
    let begun = Instant::now();
    let built = provision(&lab, &[]);
    println!("built from nothing in {} ms", begun.elapsed().as_millis());
    assert_eq!(built.rc, 0, "{built:?}");
    assert_eq!(lab.sh("ls /etc/network").split_whitespace().collect::<Vec<_>>(), ["ifupdown2", "interfaces", "interfaces.d", "run"]);
    let again = provision(&lab, &[]);
    assert!(again.rc == 0 && again.out.contains("nothing to do"), "{again:?}");

    apps(&lab);
    for (id, name, port) in [(101, "web", 30001), (102, "wiki", 30002)] {
        let site = format!(":{port} {{\n\timport access\n\treverse_proxy {name}.prox.local:80\n}}\n");
        lab.guest(9999, &format!("cat >/etc/caddy/apps/{name}.caddy <<'X'\n{site}X"));
        let address = lab.guest(id, "ip -4 -o address show dev eth0");
        assert!(address.contains("10.20.0."), "{address}");
        assert!(lab.guest(id, &format!("busybox nslookup {name}.prox.local 10.20.0.1")).contains("10.20.0."));
        let peer = lab.guest(id, "busybox wget -q -O - http://203.0.113.10/cgi-bin/peer");
        assert!(!peer.contains("10.20.0.") && peer.contains("10.77.0."), "it goes out by the appliance's address: {peer}");
    }
    // The sites are new to Caddy and the apps to dnsmasq: that is drift, and one plan ends it.
    assert_eq!(turned(&lab), "config warn");
    let said = converge(&lab);
    assert_eq!(said.rc, 0, "{said:?}");
    green(&lab, "converge");
    let wan = lab.guest(9999, "ip -4 -o address show dev eth0").split_whitespace().nth(3).unwrap().split('/').next().unwrap().to_owned();
    for (name, port) in [("web", 30001), ("wiki", 30002)] {
        let page = lab.sh(&format!("curl -s http://{wan}:{port}/"));
        assert_eq!(page.trim(), format!("page of {name}"));
    }
    // The lamp that asks every site is a visitor too, by its own name.
    let log = lab.guest(9999, "cat /var/log/caddy/access.log");
    assert_eq!(log.lines().filter(|l| l.contains("\"status\":200") && l.contains("curl/")).count(), 2, "{log}");

    // Orderly ends: nothing is saved over what is ours, whatever was in force. The first start is the first of the service.
    for before in ["true", "iptables -t nat -A POSTROUTING -s 10.20.0.0/24 -o eth0 -j MASQUERADE"] {
        lab.guest(9999, before);
        lab.sh("pct shutdown 9999; pct start 9999");
        green(&lab, "an orderly end");
    }

    // A power cut: all of it comes back by itself.
    lab.sh("sync");
    lab.crash();
    lab.boot();
    wait_for("the appliance after a boot", || lab.exec("pve1", &["pct", "exec", "9999", "--", "true"]).rc == 0);
    lab.sh("pct start 101; pct start 102");
    pages(&lab);
    green(&lab, "a boot");
    past_it_and_back(&lab);
}

/// By explicit choice only, told until it ends, and undone by one command.
fn past_it_and_back(lab: &Lab) {
    let before = lab.sh("cat /etc/pve/lxc/101.conf /etc/pve/lxc/102.conf");
    let said = lab.exec("pve1", &["proximity", "appliance", "fallback", "--yes"]);
    assert!(said.rc != 0 && said.err.contains("its name was not given"), "{said:?}");
    assert_eq!(lab.sh("cat /etc/pve/lxc/101.conf /etc/pve/lxc/102.conf"), before);
    let told = |lab: &Lab| lab.exec("pve1", &["proximity", "status", "-o", "json"]).out.matches("moved past the appliance").count();
    assert_eq!(told(lab), 0);
    lab.sh("proximity appliance fallback --yes --name vmbr0 --proof-fd 3 3</root/pw");
    assert_eq!(told(lab), 2);
    let peer = |id: u32| lab.exec(&id.to_string(), &["busybox", "wget", "-q", "-O", "-", "http://203.0.113.10/cgi-bin/peer"]).out;
    let own = |id: u32| lab.exec(&id.to_string(), &["ip", "-4", "-o", "address", "show", "dev", "eth0"]).out;
    for id in [101, 102] {
        let address = |text: String| text.split(['/', ' ', '"', '\n']).find(|w| w.starts_with("10.77.0.")).map(str::to_owned);
        wait_for("its own way out", || address(own(id)).is_some() && address(peer(id)) == address(own(id)));
    }
    let said = lab.exec("pve1", &["proximity", "appliance", "isolate", "--yes"]);
    assert_eq!(said.rc, 0, "{said:?}");
    assert_eq!((told(lab), lab.sh("cat /etc/pve/lxc/101.conf /etc/pve/lxc/102.conf")), (0, before));
    pages(lab);
    green(lab, "the way back");
}

/// The worker is killed at moments spread over the whole of it, and it is asked for again: each time the same appliance, nothing
/// twice. 5 moments; PROXIMITY_KILLS says how many else.
#[test]
fn whoever_kills_the_worker_it_is_built_when_it_is_asked_for_again() {
    let Some(lab) = nothing() else { return skip("no lab on this machine") };
    let end = |lab: &Lab| {
        let conf =
            lab.sh("sed 's/hwaddr=[^,]*,//; s/vm-9999-disk-[0-9]*/DISK/; s/subvol-9999-disk-[0-9]*/DISK/' /etc/pve/lxc/9999.conf | sort");
        let host = lab.sh("cat /etc/network/interfaces; ls /etc/network /etc/pve/lxc; ls /var/lib/pool/images 2>/dev/null; btrfs subvolume list /var/lib/pool | wc -l; systemctl is-active proximity-revert-network.timer || true; ls /sys/class/net/proximity-lan/brif");
        let inside = lab.guest(9999, "cat /etc/dnsmasq.conf /etc/caddy/Caddyfile /etc/iptables/rules-save /etc/sysctl.d/60-proximity.conf /etc/udhcpc/udhcpc.conf /etc/resolv.conf; ls /etc /etc/caddy /etc/iptables /etc/runlevels/*; iptables-save | grep -v '^[#:]'; pidof dnsmasq caddy | wc -w");
        format!("{conf}{host}{inside}")
    };
    let away = |lab: &Lab| {
        lab.sh("pct stop 9999; pct destroy 9999; ip link del proximity-lan; sed -i '/^auto proximity-lan/,/^#proximity/d' /etc/network/interfaces; sed -i -e :a -e '/^\\n*$/{$d;N;ba' -e '}' /etc/network/interfaces");
    };
    // Each container has another hardware address: asked for by DHCP, the addresses of the lab would run out.
    const STATIC: [&str; 4] = ["--address", "10.77.0.200/24", "--gateway", "10.77.0.1"];
    let build = |lab: &Lab| {
        let begun = Instant::now();
        let said = provision(lab, &STATIC);
        assert_eq!(said.rc, 0, "{said:?}");
        begun.elapsed()
    };
    // The first one is slower than those that come.
    let first = build(&lab);
    away(&lab);
    let whole = first.min(build(&lab));
    // What it is when it has come to rest.
    let mut expected = end(&lab);
    wait_for("it to come to rest", || std::mem::replace(&mut expected, end(&lab)) == expected);
    away(&lab);
    let kills: u32 = std::env::var("PROXIMITY_KILLS").ok().map_or(5, |n| n.parse().unwrap());
    let mut interrupted = 0;
    for n in 0..kills {
        let at = whole * (2 * n + 1) / (2 * kills);
        let again: Vec<&str> = STATIC.into_iter().chain(["--confirm-within", "10"]).collect();
        let argv = ["proximity", "appliance", "provision", "--template", TEMPLATE, "--yes"];
        let mut running = lab.command("pve1", &argv.into_iter().chain(again.iter().copied()).collect::<Vec<_>>());
        let mut running = running.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < at {
            std::thread::sleep(at.saturating_sub(begun.elapsed()));
        }
        let killed = lab.exec("pve1", &["pkill", "-9", "-f", "[j]ob-worker"]).rc == 0;
        interrupted += u32::from(killed);
        running.wait().unwrap();
        let mut said = provision(&lab, &again);
        // A way back that was armed and not disarmed is taken in between: then it is asked for once more.
        for _ in 0..4 {
            if said.rc != 0 {
                println!("  {said:?}");
                wait_for("the way back", || lab.exec("pve1", &["systemctl", "is-active", "proximity-revert-network.timer"]).rc != 0);
                said = provision(&lab, &again);
            }
        }
        assert_eq!(said.rc, 0, "killed after {at:?}: {said:?}");
        // What was ended may take a moment to be gone.
        let (begun, mut found) = (Instant::now(), end(&lab));
        while found != expected && begun.elapsed() < PATIENCE {
            found = end(&lab);
        }
        assert_eq!(found, expected, "killed after {at:?}");
        println!("killed after {:>5} ms: {killed}", at.as_millis());
        away(&lab);
    }
    // The last of them may come when all is done.
    assert!(interrupted > 0, "none of {kills} was interrupted");
}

/// Nothing is left of a plan that fails half-way, and a file that somebody else changed is not overwritten.
#[test]
fn what_fails_is_taken_back_to_the_byte() {
    let Some(lab) = nothing() else { return skip("no lab on this machine") };
    let before = lab.sh("cat /etc/network/interfaces; ls /etc/network; pct list; btrfs subvolume list /var/lib/pool; ip -br link");
    lab.sh("echo '{\"fail\": [\"pct start 9999=255:startup for container 9999 failed\"]}' >/etc/pve-standin.json");
    let said = provision(&lab, &[]);
    assert_eq!(said.rc, 1, "{said:?}");
    assert!(said.err.contains("startup for container"), "{said:?}");
    let after = lab.sh("cat /etc/network/interfaces; ls /etc/network; pct list; btrfs subvolume list /var/lib/pool; ip -br link");
    assert_eq!(after, before);
    assert_ne!(lab.exec("pve1", &["systemctl", "is-active", "proximity-revert-network.timer"]).rc, 0, "nothing is armed any more");
    lab.sh("rm /etc/pve-standin.json");

    // A file that the program itself would not take never takes the old one's place.
    assert_eq!(provision(&lab, &[]).rc, 0);
    lab.guest(9999, "sed -i 's/format-2-/format-2-0/' /etc/dnsmasq.conf; rc-service -q dnsmasq restart; mv /usr/sbin/dnsmasq /usr/sbin/dnsmasq.real; printf '#!/bin/sh\\nexit 1\\n' >/usr/sbin/dnsmasq; chmod +x /usr/sbin/dnsmasq");
    let by_hand = lab.guest(9999, "cat /etc/dnsmasq.conf; ls /etc");
    let said = converge(&lab);
    assert_eq!(said.rc, 1, "{said:?}");
    assert!(said.err.contains("is refused, and nothing was changed"), "{said:?}");
    assert_eq!(lab.guest(9999, "cat /etc/dnsmasq.conf; ls /etc"), by_hand);
    // It takes the file and does not come up with it: the file is put back.
    lab.guest(9999, "printf '#!/bin/sh\\n[ $1 = --test ]\\n' >/usr/sbin/dnsmasq");
    let said = converge(&lab);
    assert_eq!(said.rc, 1, "{said:?}");
    assert_eq!(lab.guest(9999, "cat /etc/dnsmasq.conf; ls /etc"), by_hand);
    lab.guest(9999, "mv /usr/sbin/dnsmasq.real /usr/sbin/dnsmasq");
    assert_eq!(converge(&lab).rc, 0);
}

/// What is not Proximity's is not touched, and says what to do instead.
#[test]
fn what_stands_in_the_way_is_said_and_left_alone() {
    let Some(lab) = nothing() else { return skip("no lab on this machine") };
    let state = |lab: &Lab| {
        lab.sh("cat /etc/network/interfaces; ls /etc/network /etc/pve/lxc; cat /etc/pve/lxc/*.conf 2>/dev/null; ip -br link; btrfs subvolume list /var/lib/pool")
    };
    let cases: &[(&str, &str, &str)] = &[
        (
            "pct create 9999 local:vztmpl/alpine-lab-default_amd64.tar.zst --hostname mine --rootfs local-lvm:1 --unprivileged 1 >/dev/null 2>&1",
            "9999 mine is not Proximity's",
            "pct destroy 9999",
        ),
        (
            "cp /etc/network/interfaces /root/i; printf 'auto proximity-lan\niface proximity-lan inet static\n\taddress 10.20.0.254/24\n\tbridge-ports none\n' >>/etc/network/interfaces",
            "has the host's address 10.20.0.254/24",
            "cp /root/i /etc/network/interfaces",
        ),
        (
            "printf 'auto proximity-lan\niface proximity-lan inet manual\n\tbridge-ports eno9\n' >>/etc/network/interfaces",
            "has the port eno9",
            "cp /root/i /etc/network/interfaces",
        ),
        (
            "printf 'iface proximity-lan inet manual\n\tbridge-ports none\n' >>/etc/network/interfaces",
            "without 'auto'",
            "cp /root/i /etc/network/interfaces",
        ),
        ("cp /etc/network/interfaces /etc/network/interfaces.new", "changes of the network wait", "rm /etc/network/interfaces.new"),
        (
            "ip link add other type bridge; ip address add 10.20.0.129/25 dev other; ip link set other up",
            "overlaps 10.20.0.128/25, which the host reaches through other",
            "ip link del other",
        ),
    ];
    for (broken, why, mended) in cases {
        lab.sh(broken);
        let before = state(&lab);
        let said = provision(&lab, &[]);
        assert!(said.rc != 0 && said.err.contains(why), "{broken}: {said:?}");
        assert_eq!(state(&lab), before, "{broken}: nothing was touched");
        lab.sh(mended);
    }
    let said = lab.exec("pve1", &["proximity", "appliance", "provision", "--template", TEMPLATE, "--storage", "local", "--yes"]);
    assert!(said.rc != 0 && said.err.contains("does not take root disks"), "{said:?}");
    let said = lab.exec("pve1", &["proximity", "appliance", "provision", "--template", "local:vztmpl/alpine-none.tar.xz", "--yes"]);
    assert!(said.rc != 0 && said.err.contains("there is no template local:vztmpl/alpine-none.tar.xz"), "{said:?}");
    let said = converge(&lab);
    assert!(said.rc != 0 && said.err.contains("there is no appliance 9999"), "{said:?}");
    assert_eq!(provision(&lab, &[]).rc, 0, "and nothing of all that stays in the way");
}

/// Without a word that the line still holds, the change of the network is taken back by systemd, whoever died; with it, it stays.
#[test]
fn a_change_of_the_network_is_taken_back_unless_somebody_says_that_his_line_holds() {
    let Some(lab) = nothing() else { return skip("no lab on this machine") };
    let before = lab.sh("cat /etc/network/interfaces; ls /etc/network");
    let begun = Instant::now();
    let said = provision(&lab, &["--no-wait", "--confirm-within", "10"]);
    assert_eq!(said.rc, 0, "{said:?}");
    wait_for("the bridge", || lab.exec("pve1", &["ip", "link", "show", "proximity-lan"]).rc == 0);
    // Nobody is left who could do it but systemd.
    lab.sh("pkill -9 -f '[j]ob-worker'; while pgrep -f '[j]ob-worker'; do :; done >/dev/null");
    wait_for("the way back", || lab.sh("cat /etc/network/interfaces; ls /etc/network") == before);
    assert!(begun.elapsed().as_secs() >= 10, "not before its time");
    assert_ne!(lab.exec("pve1", &["ip", "link", "show", "proximity-lan"]).rc, 0);
    assert_ne!(lab.exec("pve1", &["systemctl", "is-active", "proximity-revert-network.timer"]).rc, 0);

    // The line goes while it waits for a word, and the worker lives: the same, and the job says so.
    let said = provision(&lab, &["--no-wait", "--confirm-within", "10"]);
    assert_eq!(said.rc, 0, "{said:?}");
    let id = said.out.trim().to_owned();
    let waited = lab.exec("pve1", &["proximity", "job", "wait", &id, "--within", "90"]);
    assert!(
        waited.err.contains("taken back") || lab.exec("pve1", &["proximity", "job", "show", &id]).out.contains("taken back"),
        "{waited:?}"
    );
    assert_eq!(lab.sh("cat /etc/network/interfaces; ls /etc/network"), before);

    let said = provision(&lab, &["--no-wait", "--confirm-within", "10"]);
    assert_eq!(said.rc, 0, "{said:?}");
    let id = said.out.trim().to_owned();
    wait_for("the question", || lab.exec("pve1", &["proximity", "job", "show", &id]).out.contains("your line still holds"));
    wait_for("the bridge", || lab.exec("pve1", &["ip", "link", "show", "proximity-lan"]).rc == 0);
    wait_for("the word", || lab.exec("pve1", &["proximity", "appliance", "confirm"]).rc == 0);
    let waited = lab.exec("pve1", &["proximity", "job", "wait", &id, "--within", "120"]);
    assert_eq!(waited.rc, 0, "{waited:?}");
    assert!(lab.sh("cat /etc/network/interfaces").contains("auto proximity-lan"));
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
            "/etc/sysctl.d/60-proximity.conf" => &[&["sysctl", "-p"]],
            _ => &[&["sh", "-n"]],
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

/// Rebuilt beside the old one: apps keep addresses, names, ways out and sites, and miss them for seconds; a new one that does
/// not come up gives its place back.
#[test]
fn a_new_one_takes_the_place_of_the_old_one() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    for (name, port) in [("web", 30001), ("wiki", 30002)] {
        let site = format!(":{port} {{\n\timport access\n\treverse_proxy {name}.prox.local:80\n}}\n");
        lab.guest(9999, &format!("cat >/etc/caddy/apps/{name}.caddy <<'X'\n{site}X"));
    }
    lab.guest(9999, "mkdir -p /var/lib/caddy/keys; head -c 32 /dev/urandom >/var/lib/caddy/keys/root; chown -R caddy /var/lib/caddy");
    assert_eq!(converge(&lab).rc, 0);
    green(&lab, "two sites");
    let wan = |id: u32| lab.guest(id, "ip -4 -o address show dev eth0").split_whitespace().nth(3).unwrap().to_owned();
    let kept = |id: u32| {
        let files = lab.guest(id, "cat /etc/caddy/apps/* /etc/dnsmasq.conf; sha256sum /var/lib/caddy/keys/root; ls -ld /var/lib/caddy/keys; cut -d' ' -f2-4 /var/lib/misc/dnsmasq.leases | sort");
        let nets = lab.sh(&format!("grep ^net /etc/pve/lxc/{id}.conf"));
        (files.replace(&id.to_string(), "ID"), nets, wan(id))
    };
    let before = kept(9999);

    // It does not come up: the old one has its place again, and nothing of the new one is left.
    let conf = lab.sh("cat /etc/pve/lxc/9999.conf");
    lab.sh("echo '{\"fail\": [\"pct stop 9999=255:it will not\"]}' >/etc/pve-standin.json");
    let argv = ["proximity", "appliance", "rebuild", "--template", TEMPLATE, "--yes"];
    let said = lab.exec("pve1", &argv);
    assert!(said.rc == 1 && said.err.contains("it will not"), "{said:?}");
    lab.sh("rm /etc/pve-standin.json");
    assert_eq!((lab.sh("cat /etc/pve/lxc/9999.conf"), lab.sh("pct list | grep -c 999[0-9]").trim().to_owned()), (conf, "1".into()));
    green(&lab, "a rebuild that was taken back");

    // An app asks on and on: the longest time in which nobody answers is the pause.
    let asks = "i=0; while [ $i -lt 100000 ]; do if busybox nslookup -timeout=1 web.prox.local 10.20.0.1 >/dev/null 2>&1 && busybox nc -w 1 203.0.113.10 80 -e /bin/true; then cut -d' ' -f1 /proc/uptime; fi; busybox usleep 20000; i=$((i+1)); done";
    let mut asking = lab.command("102", &["sh", "-c", asks]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let answered = crate::logs::listened(asking.stdout.take().unwrap());
    wait_for("an answer", || !answered.lock().unwrap().is_empty());
    let begun = Instant::now();
    let said = lab.exec("pve1", &argv);
    assert_eq!(said.rc, 0, "{said:?}");
    let took = begun.elapsed();
    let so_far = answered.lock().unwrap().len();
    wait_for("an answer after it", || answered.lock().unwrap().len() > so_far + 3);
    asking.kill().unwrap();
    asking.wait().unwrap();
    let times: Vec<f64> = answered.lock().unwrap().iter().filter_map(|l| l.parse().ok()).collect();
    let pause = times.windows(2).map(|w| w[1] - w[0]).fold(0.0, f64::max);
    println!("rebuilt in {} ms; an app was without network for {pause:.2} s at most, of {} answers", took.as_millis(), times.len());

    assert_eq!(kept(9998), before, "addresses, leases, sites and keys are the same");
    assert!(lab.sh("pct status 9999").contains("stopped") && lab.sh("cat /etc/pve/lxc/9999.conf").contains("appliance that was"));
    assert!(lab.sh("grep ^onboot /etc/pve/lxc/9998.conf /etc/pve/lxc/9999.conf | cut -d: -f2-").trim().ends_with("onboot: 0"));
    green(&lab, "a rebuild");
    assert_eq!(probe(&lab, &["status"]).1["appliance"], 9998);
    assert_eq!(converge(&lab).rc, 0, "it is the appliance in everything");
    let read = lab.exec("pve1", &["proximity", "logs", "dnsmasq", "--lines", "5"]);
    assert!(read.rc == 0 && !read.out.is_empty(), "{read:?}");
    for (name, port) in [("web", 30001), ("wiki", 30002)] {
        let address = wan(9998);
        let page = lab.sh(&format!("curl -s http://{}:{port}/", address.split('/').next().unwrap()));
        assert_eq!(page.trim(), format!("page of {name}"));
    }
    // Broken off where the old one is stopped and the new one not started yet: what builds it starts the one that it is now.
    lab.sh("pct stop 9998; pct start 9999");
    let said = provision(&lab, &[]);
    assert_eq!(said.rc, 0, "{said:?}");
    assert!(lab.sh("pct status 9999").contains("stopped") && lab.sh("pct status 9998").contains("running"));
    green(&lab, "both of one address");

    // Killed at moments around the change of places: what builds it brings one of them up, and the next one clears the rest away.
    for part in [3, 5, 6, 7, 8, 9] {
        let at = took * part / 10;
        let mut running = lab.command("pve1", &argv).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < at {
            std::thread::sleep(at.saturating_sub(begun.elapsed()));
        }
        let killed = lab.exec("pve1", &["pkill", "-9", "-f", "[j]ob-worker"]).rc == 0;
        running.wait().unwrap();
        let said = provision(&lab, &[]);
        assert_eq!(said.rc, 0, "killed after {at:?}: {said:?}");
        green(&lab, "a rebuild that was killed");
        let running = lab.sh("pct list | grep -c '^99.*running'");
        let acting = probe(&lab, &["status"]).1["appliance"].to_string();
        println!("killed after {:>5} ms: {killed}; {acting} is the appliance", at.as_millis());
        let with_lan =
            lab.sh("for c in $(pct list | awk '/^99.*running/ {print $1}'); do grep -l '^net1' /etc/pve/lxc/$c.conf; done | wc -l");
        assert_eq!(with_lan.trim(), "1", "of {running} that run one is among the apps");
    }
    let said = lab.exec("pve1", &argv);
    assert_eq!(said.rc, 0, "{said:?}");
    assert!(!lab.sh("cat /etc/pve/lxc/99*.conf").contains("appliance to be"), "what was broken off is cleared away");
    green(&lab, "all of it");
}
