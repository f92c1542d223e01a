//! Where no app runs, a visitor asks in its place: every lamp is answered, and nothing is left of whoever asked.

use crate::appliance::{appliance_lab, converge, green, probe, turned};
use crate::harness::{Lab, skip, wait_for};

/// All that a visitor could leave: namespaces, what is plugged in, what is lent.
fn left(lab: &Lab) -> String {
    lab.sh("ip netns list; ls -A /run/netns 2>/dev/null; ls /sys/class/net/proximity-lan/brif; ip -o link | grep -c visitor || true")
        + &lab.guest(9999, "cut -d' ' -f2- /var/lib/misc/dnsmasq.leases | sort")
}

#[test]
fn where_no_app_runs_a_visitor_asks_and_leaves_nothing() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    lab.sh("pct stop 101; pct stop 102");
    let before = left(&lab);
    assert!(!before.contains("visitor") && before.contains("web") && before.contains("wiki"), "{before}");
    green(&lab, "the apps were stopped");
    let (_, told) = probe(&lab, &["probe", "dhcp"]);
    assert!(told["items"][0]["says"].as_str().unwrap().starts_with("a visitor was lent 10.20.0."), "{told}");
    assert_eq!(left(&lab), before);

    // Several looks at once wait for each other's visitor.
    let look = || {
        let mut command = lab.command("pve1", &["proximity", "appliance", "status"]);
        command.stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    for child in [look(), look(), look()] {
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    }
    assert_eq!(left(&lab), before);

    // What a killed look leaves is cleared by the next.
    let mut killed = look();
    wait_for("the visitor", || left(&lab).contains("prox-visitor"));
    lab.sh("pkill -9 -f '[a]ppliance status'");
    killed.wait().unwrap();
    assert!(left(&lab).contains("proximity-visitor-"), "a kill leaves it, or this test shows nothing");
    green(&lab, "a look was killed");
    assert_eq!(left(&lab), before);

    // What is broken turns its lamp; what could not be asked then is unknown.
    let inside = |line: &str| lab.guest(9999, line);
    for (what, broken, expected) in [
        (
            "addresses refused",
            "sed -i 's/^no-poll/dhcp-ignore=tag:!nobody\\nno-poll/' /etc/dnsmasq.conf; rc-service -q dnsmasq restart",
            "dhcp fail, admin unknown, way-out unknown, isolation unknown, config warn",
        ),
        (
            "dnsmasq stopped",
            "rc-service -q dnsmasq stop",
            "dnsmasq fail, dhcp fail, dns fail, admin unknown, way-out unknown, isolation unknown, config unknown",
        ),
        ("NAT flushed", "iptables -t nat -F", "nat fail, way-out fail"),
        (
            "the guard of the node removed",
            "iptables -D FORWARD -d 10.77.0.10/32 -i eth1 -j REJECT --reject-with icmp-admin-prohibited",
            "nat fail, isolation fail",
        ),
        (
            "administration for everybody",
            "sed -i 's/127.0.0.1:2019/:2019/' /etc/caddy/Caddyfile; rc-service -q caddy restart",
            "admin fail, config warn",
        ),
    ] {
        inside(broken);
        assert_eq!(turned(&lab), expected, "{what}");
        assert_eq!(left(&lab), before, "{what}");
        let said = converge(&lab);
        assert_eq!(said.rc, 0, "{what}: {said:?}");
        green(&lab, what);
    }

    // Whoever may change nothing has no visitor, and is told so.
    let said = lab.exec("pve1", &["proximity", "--read-only", "-o", "json", "appliance", "probe"]);
    let told: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let unknown: Vec<&str> = told["unknown"].as_array().unwrap().iter().map(|u| u["what"].as_str().unwrap()).collect();
    assert_eq!(unknown, ["dhcp", "admin", "way-out", "isolation"], "{told}");
    assert!(told["unknown"][0]["why"].as_str().unwrap().contains("--read-only"), "{told}");
    assert_eq!(left(&lab), before);
}
