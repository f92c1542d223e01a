//! Leases in the operator's hands on a real dnsmasq: static, dynamic again, taken back; and sites that answer or do not.

use crate::appliance::{appliance_lab, converge, green, probe, turned};
use crate::harness::{Lab, Said, skip, wait_for};
use serde_json::Value;

/// `proximity appliance …` that is to be remembered.
fn hold(lab: &Lab, words: &str) -> Said {
    lab.exec("pve1", &["bash", "-c", &format!("proximity appliance {words} --yes --passphrase-fd 3 3</root/pw")])
}

fn done(lab: &Lab, words: &str) -> Said {
    let said = hold(lab, words);
    assert_eq!(said.rc, 0, "{words}: {said:?}");
    said
}

/// Address, whether it is static, and what is odd about the lease of a guest.
fn lease(lab: &Lab, guest: u32) -> (String, bool, String) {
    let (_, told) = probe(lab, &["leases"]);
    let item = told["items"].as_array().unwrap().iter().find(|i| i["guest"] == guest).cloned().unwrap_or(Value::Null);
    let odd = item["odd"].as_array().map_or(String::new(), |o| o.iter().filter_map(Value::as_str).collect());
    (item["address"].as_str().unwrap_or("").to_owned(), item["fixed"] == true, odd)
}

fn conf(lab: &Lab) -> String {
    lab.guest(9999, "cat /etc/dnsmasq.conf")
}

const FILE: &str = "/var/lib/misc/dnsmasq.leases";

#[test]
fn a_lease_is_made_static_and_dynamic_again_and_one_of_nobody_is_taken_back() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    let (web, fixed, _) = lease(lab, 101);
    assert!(!fixed && !web.is_empty());
    done(lab, "pin 101");
    assert_eq!(lease(lab, 101), (web.clone(), true, String::new()));
    let (_, told) = probe(lab, &["leases"]);
    assert_eq!((&told["pins"][0]["address"], &told["pins"][0]["by"]), (&Value::from(web.as_str()), &"ada".into()), "{told}");
    assert!(conf(lab).contains(&format!(",{web}")));
    assert!(done(lab, "pin 101").out.contains("nothing to do"));

    let before = conf(lab);
    for (words, why) in [
        (format!("pin 102 {web}"), "is kept for"),
        ("pin 102 10.20.0.1".into(), "the appliance's own address"),
        ("pin 102 10.20.1.9".into(), "no address of an app"),
        ("pin 10.20.0.77".into(), "is not lent"),
        ("release 101".into(), "would go on using"),
    ] {
        let said = lab.exec("pve1", &["bash", "-c", &format!("proximity appliance {words} --yes 3</root/pw")]);
        assert!(said.rc != 0 && said.err.contains(why), "{words}: {said:?}");
    }
    assert_eq!(conf(lab), before, "what is refused changes nothing");

    // Another address than the one it has: it is said, and the guest gets it when it asks again.
    let said = done(lab, "pin 102 10.20.0.77");
    assert!(
        said.err.contains("when it asks again") || said.out.contains("when it asks again") || lease(lab, 102).2.contains("moved"),
        "{said:?}"
    );
    lab.sh("pct stop 102; pct start 102");
    wait_for("the new address of 102", || lease(lab, 102) == ("10.20.0.77".into(), true, String::new()));
    assert!(lab.guest(102, "ip -4 -o address show dev eth0").contains("10.20.0.77/"));
    assert!(lab.guest(101, "busybox nslookup wiki.prox.local 10.20.0.1").contains("10.20.0.77"));
    green(lab, "static leases");

    // The worker dies after the address was remembered and before it is in force: that is drift, and one plan ends it.
    lab.guest(9999, "mv /usr/sbin/dnsmasq /usr/sbin/dnsmasq.real; printf '#!/bin/sh\\n[ $1 = --test ] && exec sleep 1000\\nexec /usr/sbin/dnsmasq.real \"$@\"\\n' >/usr/sbin/dnsmasq; chmod +x /usr/sbin/dnsmasq");
    let before = conf(lab);
    done(lab, "pin 101 10.20.0.66 --no-wait");
    wait_for("the worker at the new file", || lab.exec("pve1", &["pct", "exec", "9999", "--", "pidof", "sleep"]).rc == 0);
    lab.sh("pkill -9 -f '[j]ob-worker'; while pgrep -f '[j]ob-worker'; do :; done >/dev/null");
    lab.guest(9999, "kill $(pidof sleep); mv /usr/sbin/dnsmasq.real /usr/sbin/dnsmasq");
    assert_eq!(conf(lab), before);
    wait_for("the end of the job", || lab.exec("pve1", &["proximity", "job", "list"]).rc == 0);
    assert_eq!(turned(lab), "config warn");
    assert_eq!(probe(lab, &["leases"]).1["pins"].as_array().unwrap().len(), 2);
    let mends = lab.exec("pve1", &["proximity", "appliance", "pin", "101", "10.20.0.66", "--dry-run"]);
    assert!(mends.rc == 0 && mends.out.contains("10.20.0.66"), "asked for again it is not said to hold: {mends:?}");
    assert_eq!(converge(lab).rc, 0);
    assert!(conf(lab).contains(",10.20.0.66"));
    green(lab, "a worker that was killed");

    done(lab, "unpin 102");
    assert_eq!(lease(lab, 102), ("10.20.0.77".into(), false, "outside the range".into()), "until it is lent another one");

    // A guest goes, and its lease stays behind.
    lab.sh("pct stop 102; pct destroy 102");
    assert_eq!(converge(lab).rc, 0);
    let held = lab.guest(9999, &format!("cat {FILE}; stat -c '%U %a' {FILE}"));
    assert!(held.contains("10.20.0.77"));
    let release = || lab.exec("pve1", &["proximity", "appliance", "release", "10.20.0.77", "--yes"]);
    // What fails half-way is taken back: dnsmasq does not come up again.
    lab.guest(
        9999,
        "mv /usr/sbin/dnsmasq /usr/sbin/dnsmasq.real; printf '#!/bin/sh\\nexit 1\\n' >/usr/sbin/dnsmasq; chmod +x /usr/sbin/dnsmasq",
    );
    let said = release();
    assert_eq!(said.rc, 1, "{said:?}");
    lab.guest(9999, "mv /usr/sbin/dnsmasq.real /usr/sbin/dnsmasq");
    assert_eq!(lab.guest(9999, &format!("cat {FILE}; stat -c '%U %a' {FILE}")), held);
    assert_eq!(converge(lab).rc, 0);
    let said = release();
    assert_eq!(said.rc, 0, "{said:?}");
    let kept = lab.guest(9999, &format!("rc-service -q dnsmasq restart; cat {FILE}; stat -c '%U %a' {FILE}; ls /var/lib/misc"));
    assert!(!kept.contains("10.20.0.77") && kept.contains("10.20.0.66") && !kept.contains("proximity-before"), "{kept}");
    assert_eq!(kept.lines().rev().nth(1), held.lines().last(), "the file is its owner's: {kept}");
    assert!(release().err.contains("is not lent"));
    green(lab, "a lease that was taken back");
}

#[test]
fn a_site_whose_app_is_gone_turns_its_lamp() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    let says = || {
        let (_, told) = probe(lab, &["probe", "sites"]);
        told["items"][0]["says"].as_str().unwrap_or("").to_owned()
    };
    assert_eq!(says(), "no sites yet");
    for (name, port) in [("web", 30001), ("wiki", 30002)] {
        let site = format!(":{port} {{\n\timport access\n\treverse_proxy {name}.prox.local:80\n}}\n");
        lab.guest(9999, &format!("cat >/etc/caddy/apps/{name}.caddy <<'X'\n{site}X"));
    }
    assert_eq!(converge(lab).rc, 0);
    green(lab, "two sites");
    assert_eq!(says(), "2 sites answer");

    // Its program ends, then all of it: Caddy says so at once, or after it waited for it.
    lab.guest(102, "for p in /proc/[0-9]*; do grep -qa 'h[t]tpd' $p/cmdline 2>/dev/null && kill ${p#/proc/}; done; true");
    assert_eq!((turned(lab), says()), ("sites warn".into(), "nothing answers behind port 30002 (502)".into()));
    let said = converge(lab);
    assert!(said.rc == 0 && said.out.contains("nothing to do"), "what no plan of the appliance mends stands in no plan's way: {said:?}");
    lab.sh("pct stop 102");
    assert_eq!((turned(lab), says()), ("sites warn".into(), "nothing answers behind port 30002 (502)".into()));

    // An app that takes a visitor and never says a word.
    lab.guest(101, "busybox nc -ll -p 81 -e sleep 1000 >/dev/null 2>&1 &");
    lab.guest(9999, "printf ':30003 {\\n\\treverse_proxy web.prox.local:81\\n}\\n' >/etc/caddy/apps/hang.caddy; caddy reload --adapter caddyfile --config /etc/caddy/Caddyfile 2>/dev/null");
    assert_eq!((turned(lab), says()), ("sites fail".into(), "no answer at port 30003; nothing answers behind port 30002 (502)".into()));

    lab.guest(9999, "rm /etc/caddy/apps/hang.caddy");
    lab.sh("pct start 102");
    wait_for("the start of 102", || lab.exec("pve1", &["pct", "exec", "102", "--", "busybox", "httpd", "-p", "80", "-h", "/srv"]).rc == 0);
    assert_eq!(converge(lab).rc, 0);
    green(lab, "all apps back");
}
