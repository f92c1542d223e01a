//! Drift of what is published, made by hand in a real appliance: each kind seen and named, and mended by what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::appliance::appliance_lab;
use crate::harness::{Lab, PATIENCE, Said, skip, wait_for};

/// `proximity ports …`, with the passphrase where it is asked for.
fn ports(lab: &Lab, words: &str) -> Said {
    lab.exec("pve1", &["bash", "-c", &format!("proximity ports {words} 3</root/pw")])
}

fn keep(lab: &Lab, words: &str) {
    let said = ports(lab, &format!("{words} --yes --passphrase-fd 3"));
    assert_eq!(said.rc, 0, "{words}: {said:?}");
}

/// What `ports drift` tells: kinds with what mends them, gaps, and everything.
fn look(lab: &Lab) -> (BTreeMap<String, Value>, usize, Value) {
    let said = lab.exec("pve1", &["proximity", "-o", "json", "ports", "drift"]);
    let told: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    let rows = told["items"].as_array().unwrap().iter().flat_map(|r| r["drift"].as_array().unwrap());
    let all = rows.chain(told["drift"].as_array().unwrap());
    let kinds: BTreeMap<String, Value> = all.map(|d| (d["kind"].as_str().unwrap().to_owned(), d["mend"].clone())).collect();
    let gaps = told["unknown"].as_array().unwrap().len();
    assert_eq!(said.rc, if kinds.is_empty() && gaps == 0 { 0 } else { 10 }, "{told}");
    (kinds, gaps, told)
}

/// Waits until exactly these kinds are seen, with everything asked; else what is seen instead.
fn seen(lab: &Lab, kinds: &[&str], after: &str, gaps: usize) -> Result<BTreeMap<String, Value>, String> {
    let want: BTreeSet<&str> = kinds.iter().copied().collect();
    let begun = Instant::now();
    loop {
        let (found, unknown, told) = look(lab);
        if found.keys().map(String::as_str).eq(want.iter().copied()) && unknown <= gaps {
            return Ok(found);
        }
        if begun.elapsed() > PATIENCE / 3 {
            return Err(format!("after {after}: {want:?} expected, and {found:?}\n{told}"));
        }
    }
}

/// What mends it, where that is a command of ours; else somebody's hand, as it is said here.
const BY_WHAT_IT_SAYS: &str = "";

/// Kinds that are seen then; what is done to the appliance (`in:`) or on the node; what mends it.
#[rustfmt::skip]
const BREAKAGES: &[(&[&str], &str, &str)] = &[
    (&["site-missing"], "in:rm $C/web.caddy", BY_WHAT_IT_SAYS),
    (&["site-edited"], "in:sed -i s/web.prox/evil.prox/ $C/web.caddy", BY_WHAT_IT_SAYS),
    (&["site-old-format"], "in:sed -i '1s/format 2/format 1/' $C/web.caddy", BY_WHAT_IT_SAYS),
    (&["site-replaced"], "in:sed -i 1d $C/web.caddy", BY_WHAT_IT_SAYS),
    (&["site-not-a-file"], "in:mv $C/web.caddy /tmp/web; chmod 644 /tmp/web; ln -s /tmp/web $C/web.caddy", BY_WHAT_IT_SAYS),
    (&["site-unreadable"], "in:chmod 600 $C/web.caddy", "in:chmod 644 $C/web.caddy"),
    (&["site-of-nobody"], "in:echo '# Made by Proximity, format 2, for old' >$C/old.caddy", BY_WHAT_IT_SAYS),
    (&["site-unpublished"], "in:echo '# Made by Proximity, format 2, for later' >$C/later.caddy", BY_WHAT_IT_SAYS),
    (&["site-cooling"], "in:echo '# Made by Proximity, format 2, for gone' >$C/gone.caddy", BY_WHAT_IT_SAYS),
    (&["foreign-file"], "in:echo '# mine' >$C/mine.caddy", "in:rm $C/mine.caddy"),
    (&["idle-file"], "in:cp $C/web.caddy $C/web.caddy.bak", "in:rm -r $C/web.caddy.bak"),
    (&["current-missing"], "in:rm $C", BY_WHAT_IT_SAYS),
    (&["current-not-a-link"], "in:mkdir -m 755 /tmp/now; cp -a $C/. /tmp/now; rm $C; mv /tmp/now $C", BY_WHAT_IT_SAYS),
    (&["current-elsewhere"], "in:mkdir -p /tmp/sites; ln -sfn /tmp/sites $C", BY_WHAT_IT_SAYS),
    (&["current-dangling"], "in:ln -sfn v999 $C", BY_WHAT_IT_SAYS),
    (&["base-without-import"], "in:sed -i '/proximity.current/d' /etc/caddy/Caddyfile", BY_WHAT_IT_SAYS),
    (&["base-edited"], "in:echo '# by hand' >>/etc/caddy/Caddyfile", BY_WHAT_IT_SAYS),
    (&["base-old-format"], "in:sed -i '1s/format 2/format 1/' /etc/caddy/Caddyfile", BY_WHAT_IT_SAYS),
    (&["base-edited", "base-refused"], "in:echo 'nonsense {' >>/etc/caddy/Caddyfile", BY_WHAT_IT_SAYS),
    (&["base-missing"], "in:rm /etc/caddy/Caddyfile", BY_WHAT_IT_SAYS),
    (&["site-edited", "files-refused"], "in:echo '{ nonsense' >>$C/web.caddy", BY_WHAT_IT_SAYS),
    (&["foreign-refused"], "in:echo ':7009 { nonsense }' >$A/broken.caddy", "in:rm $A/broken.caddy"),
    (&["foreign-not-loaded"], "in:printf 'http://:7003 {\\n\\trespond hi\\n}\\n' >$A/late.caddy", BY_WHAT_IT_SAYS),
    (&["foreign-site-on-our-pair"], "in:printf 'http://x.example:40000 {\\n\\trespond hi\\n}\\n' >$A/ours.caddy", "in:rm $A/ours.caddy"),
    (&["caddy-by-other-config"], "api:-X PUT -d 5000000000 /config/apps/http/grace_period", BY_WHAT_IT_SAYS),
    (&["route-extra"], "api:-X PUT -d {\"listen\":[\":30500\"],\"routes\":[]} /config/apps/http/servers/more", BY_WHAT_IT_SAYS),
    (&["route-extra", "route-missing"], "load:s/:30000\"/:30600\"/", BY_WHAT_IT_SAYS),
    (&["route-differs"], "load:s/X-Frame-Options/X-Frames/", BY_WHAT_IT_SAYS),
    (&["upstream-differs"], "load:s/web.prox.local:80/wiki.prox.local:80/g", BY_WHAT_IT_SAYS),
    (&["internal-unguarded"], "load:s/\"status_code\":403/\"status_code\":418/g", BY_WHAT_IT_SAYS),
    (&["trusted-differs"], "load:s,10.20.0.0/24,10.0.0.0/8,g", BY_WHAT_IT_SAYS),
    (&["internal-open", "trusted-differs"], "load:s,10.20.0.0/24,0.0.0.0/0,g; pct exec 9999 -- iptables -I INPUT -p tcp --dport 40000:40999 -j ACCEPT", BY_WHAT_IT_SAYS),
    (&["answers-nothing"], "in:iptables -I INPUT -p tcp --dport 30000 -j REJECT", BY_WHAT_IT_SAYS),
    (&["caddy-not-running"], "in:rc-service -q caddy stop", BY_WHAT_IT_SAYS),
    (&["caddy-not-running", "port-of-another"], "in:rc-service -q caddy stop; busybox nc -ll -p 30000 -e true >/dev/null 2>&1 &", "pkill -f '[n]c -ll -p 30000' then:proximity appliance converge --yes"),
    (&["caddy-admin-silent"], "in:kill -STOP $(pidof caddy)", "in:kill -CONT $(pidof caddy)"),
    (&["host-has-the-port"], "setsid busybox nc -ll -p 30000 -e true >/dev/null 2>&1 </dev/null &", "pkill -f '[n]c -ll -p 30000'"),
    (&["answers-502"], "pct exec 101 -- sh -c 'for p in /proc/[0-9]*; do case $(cat $p/cmdline 2>/dev/null | tr -d \\0) in *htt[p]d*) kill ${p#/proc/};; esac; done'", "pct exec 101 -- busybox httpd -p 80 -h /srv"),
    (&["upstream-guest-stopped"], "pct stop 101", "says; pct exec 101 -- busybox httpd -p 80 -h /srv"),
    (&["upstream-name-twice"], "pct set 102 --hostname web", "pct set 102 --hostname wiki"),
    (&["upstream-without-address"], "sed -i 's/hwaddr=[^,]*/hwaddr=BC:24:11:AA:AA:AA/' /etc/pve/lxc/101.conf", "cp /root/101.conf /etc/pve/lxc/101.conf"),
    (&["upstream-moved"], "swap", "cp /root/101.conf /root/102.conf /etc/pve/lxc/"),
    (&["appliance-stopped"], "pct stop 9999", BY_WHAT_IT_SAYS),
];

const C: &str = "/etc/caddy/proximity/current";
const A: &str = "/etc/caddy/apps";

/// Does to the lab what a line says.
fn act(lab: &Lab, line: &str) {
    let node = |line: &str| lab.node(&["bash", "-c", line]);
    let inside = "nsenter --net=/proc/$(lxc-info -n 9999 -p -H)/ns/net";
    if let Some(line) = line.strip_prefix("in:") {
        lab.guest(9999, &format!("C={C}; A={A}; {line}"));
    } else if let Some(words) = line.strip_prefix("api:") {
        let (words, path) = words.rsplit_once(' ').unwrap();
        let words = words.replace("-d ", "-d '") + "'";
        node(&format!("{inside} curl -sSf -H 'Content-Type: application/json' {words} http://127.0.0.1:2019{path}"));
    } else if let Some(line) = line.strip_prefix("load:") {
        let (sed, more) = line.split_once("; ").unwrap_or((line, "true"));
        let admin = "http://127.0.0.1:2019";
        node(&format!(
            "{inside} curl -sSf {admin}/config/ | sed '{sed}' >/root/config && {inside} curl -sSf -H 'Content-Type: application/json' --data-binary @/root/config {admin}/load && {more}"
        ));
    } else if line == "swap" {
        node(
            "mac() { sed -n 's/.*hwaddr=\\([^,]*\\).*/\\1/p' /root/$1.conf; }; a=$(mac 101) b=$(mac 102); sed -i s/$a/$b/ /etc/pve/lxc/101.conf; sed -i s/$b/$a/ /etc/pve/lxc/102.conf",
        );
    } else {
        node(line);
    }
}

/// Mends by the commands that the differences say, each once.
fn mend(lab: &Lab, found: &BTreeMap<String, Value>) {
    let commands: BTreeSet<&str> = found.values().filter_map(|m| m["command"].as_str()).collect();
    for command in commands {
        let argv: Vec<&str> = command.split(' ').chain(["--yes"]).collect();
        let said = lab.exec("pve1", &argv);
        if !matches!(said.rc, 0 | 10) {
            println!("{command}: {said:?}");
        }
    }
}

#[test]
fn each_drift_is_seen_named_and_mended_and_what_is_foreign_stays() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    let foreign = "# by hand\n:7001 {\n\timport access\n\treverse_proxy wiki.prox.local:80\n}\nhttp://:30008 {\n\trespond \"mine\"\n}\n";
    lab.write("/root/mine", foreign);
    lab.sh(&format!("pct exec 9999 -- tee {A}/mine.caddy </root/mine >/dev/null; cp /etc/pve/lxc/101.conf /etc/pve/lxc/102.conf /root/"));
    let wiki = lab.sh("lxc-info -n 102 -i -H");
    keep(lab, "publish web --to web:80");
    keep(lab, &format!("publish wiki --to {wiki}:80"));
    for words in ["reserve later", "reserve gone", "release gone"] {
        let said = ports(lab, &format!("{words} --passphrase-fd 3"));
        assert_eq!(said.rc, 0, "{said:?}");
    }
    seen(lab, &[], "publishing", 0).unwrap();
    let (_, _, told) = look(lab);
    let row = |port: u16| told["items"].as_array().unwrap().iter().find(|r| r["public"] == port).cloned().unwrap_or_default();
    assert_eq!((&row(30_000)["outside"]["status"], &row(30_000)["inside"]["status"]), (&200.into(), &200.into()), "{told}");
    assert_eq!((&row(30_008)["state"], &row(30_008)["note"]), (&"foreign".into(), &format!("{A}/mine.caddy").into()), "{told}");
    assert_eq!(&row(7001)["state"], "foreign", "{told}");

    let only = std::env::var("PROXIMITY_DRIFT").ok();
    let (mut kinds, mut wrong) = (BTreeSet::new(), Vec::new());
    for (expected, make, by) in BREAKAGES.iter().filter(|(k, ..)| only.as_ref().is_none_or(|o| k.iter().any(|k| k == o))) {
        let begun = Instant::now();
        act(lab, make);
        // What a stopped program or container could not be asked is a gap, and said.
        let gaps = if expected.iter().any(|k| k.starts_with("caddy-") || k.starts_with("appliance-")) { 9 } else { 0 };
        let found = seen(lab, expected, make, gaps).unwrap_or_else(|why| {
            println!("{why}");
            wrong.push(why);
            look(lab).0
        });
        let told = begun.elapsed();
        match by.strip_prefix("says; ") {
            _ if *by == BY_WHAT_IT_SAYS => mend(lab, &found),
            Some(more) => {
                mend(lab, &found);
                act(lab, more);
            }
            None => {
                let (first, then) = by.split_once(" then:").unwrap_or((by, "true"));
                act(lab, first);
                lab.sh(then);
            }
        }
        if let Err(why) = seen(lab, &[], &format!("mending {expected:?}"), 0) {
            println!("{why}");
            wrong.push(why);
            lab.exec("pve1", &["proximity", "appliance", "converge", "--yes"]);
            lab.exec("pve1", &["proximity", "ports", "converge", "--yes"]);
        }
        println!("{expected:?}: told after {:.1} s, mended after {:.1} s", told.as_secs_f32(), begun.elapsed().as_secs_f32());
        kinds.extend(expected.iter().copied());
    }

    // What is published to nobody, by its own words.
    for (kind, to) in
        [("upstream-guest-gone", "ghost:80"), ("upstream-address-not-lent", "10.20.0.77:80"), ("upstream-loops", "10.20.0.1:30000")]
    {
        keep(lab, &format!("publish odd --to {to} --unanswered"));
        wrong.extend(seen(lab, &[kind], to, 0).err());
        kinds.insert(kind);
    }
    keep(lab, "unpublish odd");
    wrong.extend(seen(lab, &[], "unpublish", 0).err());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    println!("{} kinds of drift", kinds.len());
    assert!(only.is_some() || kinds.len() >= 40, "{kinds:?}");
    assert_eq!(lab.guest(9999, &format!("cat {A}/mine.caddy")) + "\n", foreign, "to the byte");
    let mine = format!(
        "http://{}:30008/",
        lab.guest(9999, "ip -4 -o addr show eth0").split_whitespace().nth(3).unwrap().split('/').next().unwrap()
    );
    wait_for("the foreign site", || lab.exec("op", &["curl", "-sS", &mine]).out == "mine");
}

/// A certificate for a name, or for none, that was made so many days ago and is good for so many from then on; put where
/// operators put theirs, with its key.
fn given(lab: &Lab, name: Option<&str>, ago: i64, days: i64) {
    let mut params = rcgen::CertificateParams::new(name.map(str::to_owned).into_iter().collect::<Vec<_>>()).unwrap();
    let now = std::time::SystemTime::now();
    let at = |days: i64| match u64::try_from(days) {
        Ok(days) => now + Duration::from_secs(days * 86_400),
        Err(_) => now - Duration::from_secs(days.unsigned_abs() * 86_400),
    };
    (params.not_before, params.not_after) = (at(-ago).into(), at(days - ago).into());
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    for (ending, text) in [("crt", cert.pem()), ("key", key.serialize_pem())] {
        lab.write("/tmp/pem", &text);
        let file = format!("/etc/caddy/proximity-tls/home.{ending}");
        lab.sh(&format!("pct exec 9999 -- tee {file} </tmp/pem >/dev/null; pct exec 9999 -- chown caddy {file}"));
    }
}

#[test]
fn the_certificates_that_visitors_are_shown_are_looked_at_and_told() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    let restart = || drop(lab.guest(9999, "rc-service caddy restart >/dev/null 2>&1"));
    keep(lab, "publish cloud --to web:80 --tls internal --tls-name cloud.home");
    given(lab, Some("page.example.org"), 10, 90);
    keep(lab, "publish page --to wiki:80 --tls given --certificate home");
    seen(lab, &[], "publishing by TLS", 0).unwrap();
    let (_, _, told) = look(lab);
    let row = |told: &Value, name: &str| told["items"].as_array().unwrap().iter().find(|r| r["name"] == name).cloned().unwrap();
    // By TLS both answer with their pages, and not with what Caddy says to who comes without.
    for name in ["cloud", "page"] {
        let row = row(&told, name);
        assert_eq!((&row["outside"]["status"], &row["inside"]["status"]), (&200.into(), &200.into()), "{row}");
        assert_eq!((&row["tls"]["fits"], &row["tls"]["seen"]), (&true.into(), &true.into()), "{row}");
    }
    let tls = |name: &str| row(&told, name)["tls"].clone();
    assert_eq!((&tls("cloud")["asked"], &tls("cloud")["days"]), (&"cloud.home".into(), &0.into()), "Caddy's own are good for half a day");
    assert_eq!((&tls("page")["asked"], &tls("page")["days"]), (&Value::Null, &79.into()));
    // It is the very one that others see.
    let wan = lab.guest(9999, "ip -4 -o address show dev eth0 | awk '{sub(\"/.*\",\"\",$4); print $4}'");
    let openssl =
        lab.sh(&format!("openssl s_client -connect {wan}:30001 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256"));
    assert_eq!(openssl.split('=').nth(1), tls("page")["fingerprint"].as_str());

    type Made = (Option<&'static str>, i64, i64);
    let cases: [(&str, Made); 4] = [
        ("tls-expires", (Some("page.example.org"), 75, 90)),
        ("tls-expired", (Some("page.example.org"), 91, 90)),
        ("tls-expired", (Some("page.example.org"), -1, 90)),
        ("tls-name", (None, 10, 90)),
    ];
    for (kind, (name, ago, days)) in cases {
        given(lab, name, ago, days);
        restart();
        let found = seen(lab, &[kind], kind, 0).unwrap();
        assert!(found[kind]["what"].as_str().unwrap().contains("/etc/caddy/proximity-tls/home.crt"), "{found:?}");
        // What it says mends it.
        given(lab, Some("page.example.org"), 10, 90);
        lab.sh("proximity appliance restart caddy --yes");
        seen(lab, &[], &format!("mending {kind}"), 0).unwrap();
    }
    // By TLS the app itself is asked for, and what is published without one is put back.
    let said = ports(lab, "publish bad --to web:81 --tls internal --tls-name bad.home --yes --passphrase-fd 3");
    assert!(said.rc != 0 && said.err.contains("answers 502"), "{said:?}");
    keep(lab, "unpublish bad");
    // No authority is asked for a look; what one gave out is looked at where it lies, and asked for when it is not due.
    keep(lab, "publish pub --to web:80 --tls acme --tls-name pub.example.org");
    let (_, _, told) = look(lab);
    let outside = row(&told, "pub")["outside"].clone();
    assert!(outside["is"] == "unknown" && outside["why"].as_str().unwrap().starts_with("it has no certificate yet"), "{outside}");
    assert!(!lab.guest(9999, "cat /var/log/caddy/*.log").contains("acme-v02"), "nobody asked the authority");
    given(lab, Some("pub.example.org"), 10, 90);
    let lies = "/var/lib/caddy/certificates/acme-v02.api.letsencrypt.org-directory/pub.example.org";
    lab.guest(
        9999,
        &format!(
            "mkdir -p {lies}; for e in crt key; do cp /etc/caddy/proximity-tls/home.$e {lies}/pub.example.org.$e; done; \
             echo '{{\"sans\":[\"pub.example.org\"],\"issuer_data\":null}}' >{lies}/pub.example.org.json; chown -R caddy /var/lib/caddy/certificates"
        ),
    );
    given(lab, Some("page.example.org"), 10, 90);
    restart();
    seen(lab, &[], "a certificate of an authority", 0).unwrap();
    let (_, _, told) = look(lab);
    let found = row(&told, "pub");
    assert_eq!(
        (&found["outside"]["status"], &found["tls"]["asked"], &found["tls"]["days"]),
        (&200.into(), &"pub.example.org".into(), &79.into()),
        "{found}"
    );
    assert!(found["tls"]["fits"] == true && found["tls"]["seen"] == true, "{found}");
    keep(lab, "unpublish pub");
    // Somebody else has the port behind Caddy's back: plain HTTP where TLS was promised.
    lab.guest(9999, "busybox nc -ll -p 7777 -e echo hello >/dev/null 2>&1 & iptables -t nat -I PREROUTING -p tcp --dport 30001 -j REDIRECT --to-ports 7777");
    seen(lab, &["tls-silent"], "another answers", 0).unwrap();
    lab.guest(9999, "iptables -t nat -D PREROUTING -p tcp --dport 30001 -j REDIRECT --to-ports 7777");
    seen(lab, &[], "mending", 0).unwrap();
}
