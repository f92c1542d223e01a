//! Every lamp behind many apps, and what asking costs. 6 apps; PROXIMITY_APPS says how many else.
//!
//! What it takes is printed and fails nothing; the figures that count are those of the program as it is shipped:
//!
//!     PROXIMITY_APPS=40 cargo test --release --test lab many_apps -- --nocapture

use crate::appliance::{appliance_lab, converge, green, probe};
use crate::harness::{skip, wait_for};

#[test]
fn many_apps_are_asked_for_at_once() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let apps: usize = std::env::var("PROXIMITY_APPS").ok().map_or(6, |n| n.parse().unwrap());
    let last = 300 + apps - 2;
    lab.sh(&format!(
        "seq 301 {last} | xargs -P 2 -I N bash -c 'pct create N local:vztmpl/alpine-lab-default_amd64.tar.zst --hostname appN --rootfs local-lvm:1 --unprivileged 1 --memory 64 --net0 name=eth0,bridge=proximity-lan,ip=dhcp >/dev/null 2>&1 && pct start N'"
    ));
    let leases = || probe(&lab, &["leases"]).1["items"].as_array().map_or(0, Vec::len);
    wait_for("a lease of each app", || leases() == apps);
    lab.sh(&format!(
        "for n in $(seq 301 {last}); do pct exec $n -- sh -c 'mkdir -p /srv; hostname >/srv/index.html; busybox httpd -p 80 -h /srv'; done"
    ));
    lab.guest(
        9999,
        &format!(
            "for n in $(seq 301 {last}); do printf ':30%s {{\\n\\timport access\\n\\treverse_proxy app%s.prox.local:80\\n}}\\n' $n $n >/etc/caddy/apps/app$n.caddy; done"
        ),
    );
    assert_eq!(converge(&lab).rc, 0);
    green(&lab, "the set-up");
    let (_, told) = probe(&lab, &["probe", "sites"]);
    assert_eq!(told["items"][0]["says"], format!("{} sites answer", apps - 2), "{told}");
    let cost = |line: &str| {
        let told = lab.sh(&format!("TIMEFORMAT='%R %U %S'; for i in 1 2 3 4 5 6 7; do {{ time {line} >/dev/null; }} 2>&1 | tail -1; done"));
        let mut all: Vec<(f64, f64)> = told
            .lines()
            .map(|l| l.split(' ').map(|n| n.parse().unwrap()).collect::<Vec<f64>>())
            .map(|n| (n[0] * 1000.0, (n[1] + n[2]) * 1000.0))
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        println!("{apps} apps: {line}: median {:.0} ms, {:.0} ms of processor; longest {:.0} ms", all[3].0, all[3].1, all[6].0);
    };
    cost("proximity appliance probe");
    // All but the appliance's questions.
    cost("proximity status");
    cost("proximity appliance leases");
}
