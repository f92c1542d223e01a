//! The appliance on Debian: the same promises as on Alpine, kept by systemd, ifupdown with dhclient and Debian's own packages.

use crate::appliance::{apps, converge, green, nothing, turned};
use crate::harness::{Lab, Said, skip, wait_for};

/// With the packages that the program would install.
const TEMPLATE: &str = "local:vztmpl/debian-12-appliance_amd64.tar.zst";

fn provision(lab: &Lab, template: &str) -> Said {
    lab.exec("pve1", &["proximity", "appliance", "provision", "--template", template, "--yes"])
}

fn nothing_to_do(lab: &Lab) {
    let again = converge(lab);
    assert!(again.rc == 0 && again.out.contains("nothing to do"), "{again:?}");
}

/// A site of each app, by its name; from outside, each shows its own page, and Caddy keeps the log of it.
fn sites(lab: &Lab, visits: usize) {
    let out = lab.guest(9999, "ip -4 -o address show dev eth0");
    let wan = out.split_whitespace().nth(3).unwrap().split('/').next().unwrap();
    for (name, port) in [("web", 30001), ("wiki", 30002)] {
        assert_eq!(lab.sh(&format!("curl -s http://{wan}:{port}/")).trim(), format!("page of {name}"));
    }
    let log = lab.guest(9999, "cat /var/log/caddy/access.log");
    assert_eq!(log.lines().filter(|l| l.contains("\"status\":200") && l.contains("curl/")).count(), visits, "{log}");
}

/// What is broken, how in the appliance, and which lamps turn; `converge` mends each.
const BREAKAGES: &[(&str, &str, &str)] = &[
    (
        "dnsmasq killed",
        "kill -9 $(cat /run/dnsmasq/dnsmasq.pid); while kill -0 $(cat /run/dnsmasq/dnsmasq.pid); do :; done 2>/dev/null",
        "dnsmasq fail, dhcp fail, dns fail, sites warn, config unknown",
    ),
    ("dnsmasq stopped", "systemctl stop dnsmasq", "dnsmasq fail, dhcp fail, dns fail, sites warn, config unknown"),
    ("caddy stopped", "systemctl stop caddy", "caddy fail, sites unknown, admin unknown, config unknown"),
    (
        "Caddyfile broken by hand, and a start tried with it",
        "echo nonsense { >>/etc/caddy/Caddyfile; ! systemctl restart caddy",
        "caddy fail, sites unknown, admin unknown, config warn",
    ),
    ("NAT flushed", "iptables -t nat -F", "nat fail, way-out fail"),
    ("rules that are nobody's", "netfilter-persistent flush", "nat fail, way-out fail"),
    ("the rules not kept", ": >/etc/iptables/rules.v4", "config warn"),
    ("forwarding off", "sysctl -q -w net.ipv4.ip_forward=0", "forwarding fail, way-out fail"),
    ("dnsmasq.conf changed by hand", "echo log-dhcp >>/etc/dnsmasq.conf", "config warn"),
    (
        "Debian's own options for dnsmasq back, with a folder of more configuration",
        "echo CONFIG_DIR=/etc/dnsmasq.d >/etc/default/dnsmasq; echo address=/no-such-app-here.prox.local/10.20.0.66 >/etc/dnsmasq.d/x; systemctl restart dnsmasq",
        "dns fail, config warn",
    ),
    ("the resolver of somebody else", "echo nameserver 10.77.0.1 >/etc/resolv.conf", "sites warn, config warn"),
    ("Caddy not started at boot", "systemctl disable --quiet caddy", "boot warn"),
    ("Caddy's access log a link", "ln -sf /etc/passwd /var/log/caddy/access.log", "access-log warn"),
    ("what keeps the resolver gone", "rm /etc/dhcp/dhclient-enter-hooks.d/proximity", "config warn"),
];

#[test]
fn an_appliance_of_debian_does_all_of_it_and_is_mended() {
    let Some(lab) = nothing() else { return skip("no lab on this machine") };
    let built = provision(&lab, TEMPLATE);
    assert_eq!(built.rc, 0, "{built:?}");
    let again = provision(&lab, TEMPLATE);
    assert!(again.rc == 0 && again.out.contains("nothing to do"), "{again:?}");

    apps(&lab);
    for (name, port) in [("web", 30001), ("wiki", 30002)] {
        let site = format!(":{port} {{\n\timport access\n\treverse_proxy {name}.prox.local:80\n}}\n");
        lab.guest(9999, &format!("cat >/etc/caddy/apps/{name}.caddy <<'X'\n{site}X"));
    }
    let said = converge(&lab);
    assert_eq!(said.rc, 0, "{said:?}");
    green(&lab, "converge");
    nothing_to_do(&lab);
    for (id, name) in [(101, "web"), (102, "wiki")] {
        assert!(lab.guest(id, &format!("busybox nslookup {name}.prox.local 10.20.0.1")).contains("10.20.0."));
        let peer = lab.guest(id, "busybox wget -q -O - http://203.0.113.10/cgi-bin/peer");
        assert!(peer.contains("10.77.0."), "it goes out by the appliance's address: {peer}");
    }
    sites(&lab, 2);

    let files = "cat /etc/dnsmasq.conf /etc/default/dnsmasq /etc/caddy/Caddyfile /etc/iptables/rules.v4 /etc/sysctl.d/60-proximity.conf /etc/dhcp/dhclient-enter-hooks.d/proximity /etc/dhcpcd.enter-hook /etc/resolv.conf";
    let whole = lab.guest(9999, files);
    let mut wrong = Vec::new();
    for (what, broken, expected) in BREAKAGES {
        lab.guest(9999, broken);
        let found = turned(&lab);
        if found != *expected {
            wrong.push(format!("{what}: '{found}' instead of '{expected}'"));
        }
        let said = converge(&lab);
        assert_eq!(said.rc, 0, "{what}: {said:?}");
        green(&lab, what);
        assert_eq!(lab.guest(9999, files), whole, "{what}: the files are as they were");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    nothing_to_do(&lab);

    // What a test of Caddy's file as root may leave: a log that Caddy itself cannot write.
    lab.guest(
        9999,
        "rm /var/log/caddy/access.log; touch /var/log/caddy/access.log; chmod 600 /var/log/caddy/access.log; systemctl restart caddy",
    );
    let said = converge(&lab);
    assert_eq!(said.rc, 0, "{said:?}");
    sites(&lab, 2);
    nothing_to_do(&lab);
}

/// Services, rules, the kernel's values and the resolver, although the DHCP server outside names another one.
#[test]
fn an_appliance_of_debian_comes_back_by_itself() {
    let Some(lab) = nothing() else { return skip("no lab on this machine") };
    let built = provision(&lab, TEMPLATE);
    assert_eq!(built.rc, 0, "{built:?}");
    apps(&lab);
    assert_eq!(converge(&lab).rc, 0);
    let offered = lab.guest(9999, "cat /var/lib/dhcp/dhclient.eth0.leases");
    assert!(offered.contains("option domain-name-servers 10.77.0.1"), "{offered}");
    lab.sh("pct stop 9999; pct start 9999");
    green(&lab, "a start");
    nothing_to_do(&lab);
    lab.sh("sync");
    lab.crash();
    lab.boot();
    wait_for("the appliance after a boot", || lab.exec("pve1", &["pct", "exec", "9999", "--", "true"]).rc == 0);
    lab.sh("pct start 101; pct start 102");
    green(&lab, "a boot");
    nothing_to_do(&lab);
    assert_eq!(lab.guest(9999, "systemctl list-units --failed --no-legend"), "");
}

/// Without a way to the packages: why, in one line, and nothing stays of what was begun.
#[test]
fn without_its_packages_nothing_is_left_of_it() {
    let Some(lab) = nothing() else { return skip("no lab on this machine") };
    let state = |lab: &Lab| {
        lab.sh("cat /etc/network/interfaces; ls /etc/network /etc/pve/lxc; ip -br link; btrfs subvolume list /var/lib/pool; systemctl list-units --all 'proximity-revert*' --plain --no-legend")
    };
    let before = state(&lab);
    for (template, why) in [
        ("debian-12-lab_amd64.tar.zst", "E: Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease"),
        ("alpine-lab-default_amd64.tar.zst", "Failed to exec \"apk\""),
    ] {
        let said = provision(&lab, &format!("local:vztmpl/{template}"));
        println!("{}", said.err);
        assert_eq!(said.rc, 1, "{said:?}");
        assert!(said.err.contains(why) && !said.err.contains("left behind"), "{said:?}");
        assert_eq!(state(&lab), before, "{template}");
    }
}
