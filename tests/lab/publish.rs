//! Things published on a real Caddy: headers, who may, downloads that go on, what fails is put back, and whoever is killed
//! leaves the old or the new.

use std::process::{Child, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::appliance::{appliance_lab, converge, green};
use crate::harness::{Lab, Said, skip, wait_for};

/// `proximity ports …` that is to be remembered.
fn ports(lab: &Lab, words: &str) -> Said {
    let app = "<(cat /root/app 2>/dev/null)";
    lab.exec("pve1", &["bash", "-c", &format!("proximity ports {words} --yes --passphrase-fd 3 3</root/pw 4< {app}")])
}

pub(crate) fn done(lab: &Lab, words: &str) -> Said {
    let said = ports(lab, words);
    assert_eq!(said.rc, 0, "{words}: {said:?}");
    said
}

pub(crate) fn refused(lab: &Lab, words: &str, why: &str) {
    let said = ports(lab, words);
    assert!(said.rc != 0 && said.err.contains(why), "{words}: no {why:?} in {said:?}");
}

/// What the operator's machine gets from a port of the appliance, with headers.
fn visit(lab: &Lab, port: u16, path: &str) -> String {
    let url = format!("http://{}:{port}{path}", wan(lab));
    let forged = ["-H", "X-Forwarded-For: 6.6.6.6", "-H", "X-Forwarded-Proto: https"];
    lab.exec("op", &[&["curl", "-si", "-m", "10"], &forged[..], &[&url]].concat()).out
}

/// Where the appliance answers outside.
pub(crate) fn wan(lab: &Lab) -> String {
    lab.guest(9999, "ip -4 -o address show dev eth0 | awk '{sub(\"/.*\",\"\",$4); print $4}'")
}

/// The same from another app.
fn inside(lab: &Lab, port: u16, path: &str) -> String {
    lab.exec("pve1", &["pct", "exec", "102", "--", "sh", "-c", &format!("busybox wget -S -O - http://10.20.0.1:{port}{path} 2>&1")]).out
}

/// A page that tells what it was asked with, with the headers that keep it out of a frame.
fn telling(lab: &Lab, guest: u32) {
    let script = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\nX-Frame-Options: DENY\\r\\nContent-Security-Policy: none\\r\\nX-App: %s\\r\\n\\r\\n' $(hostname)\nenv\n";
    lab.write("/tmp/env", script);
    lab.sh(&format!("pct exec {guest} -- mkdir -p /srv/cgi-bin; pct exec {guest} -- tee /srv/cgi-bin/env </tmp/env >/dev/null; pct exec {guest} -- chmod 755 /srv/cgi-bin/env"));
}

fn current(lab: &Lab) -> String {
    lab.guest(9999, "readlink /etc/caddy/proximity/current || true")
}

/// Every byte that Caddy could read, and where the link leads.
fn files(lab: &Lab) -> String {
    lab.guest(9999, "readlink /etc/caddy/proximity/current; cd /etc/caddy; cat Caddyfile apps/* proximity/current/*")
}

/// What Caddy works by.
fn running(lab: &Lab) -> Value {
    serde_json::from_str(&lab.guest(9999, "busybox wget -q -O - http://127.0.0.1:2019/config/")).unwrap()
}

#[test]
fn an_app_is_published_changed_and_given_up_and_what_fails_is_put_back() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    [101, 102].iter().for_each(|id| telling(lab, *id));
    let foreign = "http://:8088 {\n\trespond hand\n}\n";
    lab.write("/tmp/foreign", foreign);
    lab.sh("pct exec 9999 -- tee /etc/caddy/apps/hand.caddy </tmp/foreign >/dev/null");

    let begun = Instant::now();
    let said = done(lab, "publish cloud --to web:80");
    eprintln!("published in {:?}", begun.elapsed());
    assert!(said.out.contains("both ports answer: 30000 from outside, 40000 inside"), "{said:?}");
    done(lab, "publish wiki --to http://wiki:80");
    for (port, app, named) in [(30_000, "web", "cloud"), (30_001, "wiki", "wiki")] {
        let public = visit(lab, port, "/cgi-bin/env");
        assert!(public.starts_with("HTTP/1.1 200") && public.contains(&format!("X-App: {app}\r")), "{named}: {public}");
        assert!(public.contains("X-Frame-Options: DENY") && public.contains("Content-Security-Policy: none"), "{public}");
        let right =
            ["FOR=10.77.0.1\n".to_owned(), "PROTO=http\n".to_owned(), format!("PORT={port}\n"), format!("HOST={}:{port}\n", wan(lab))];
        right.iter().for_each(|r| assert!(public.contains(&format!("HTTP_X_FORWARDED_{r}")), "no {r} in {public}"));
        let strange = visit(lab, port + 10_000, "/cgi-bin/env");
        assert!(!strange.contains("X-App") && !strange.starts_with("HTTP/1.1 200"), "{strange}");
        let trusted = inside(lab, port + 10_000, "/cgi-bin/env").to_lowercase();
        assert!(trusted.contains("200 ok") && trusted.contains(&format!("x-app: {app}")), "{trusted}");
        assert!(!trusted.contains("x-frame-options") && !trusted.contains("content-security-policy"), "{trusted}");
    }
    assert!(inside(lab, 8088, "/").contains("hand"), "what was written by hand is served beside");
    green(lab, "two published apps");
    what_there_is_of_appliances(lab);

    // Nothing to do, nothing done.
    let was = files(lab);
    assert!(lab.sh("proximity ports converge --yes").contains("nothing to do"));
    assert_eq!(files(lab), was);

    // What fails is put back whole, and what was tried stays for a look.
    let before = (files(lab), running(lab));
    refused(lab, "publish cloud --to web:81", "answers 502");
    assert_eq!((files(lab), running(lab)), before);
    assert!(lab.guest(9999, "cat /etc/caddy/proximity/v3/cloud.caddy").contains("web.prox.local:81"));
    assert!(visit(lab, 30_000, "/cgi-bin/env").contains("X-App: web"));
    lab.sh("proximity ports converge --yes || true");
    done(lab, "publish cloud --to web:80");

    // A program that has the port by now: Caddy cannot listen, and goes on as it was.
    assert!(ports(lab, "reserve late").out.contains("30002"));
    lab.guest(9999, "busybox nc -ll -p 30002 -e true >/dev/null 2>&1 & echo $! >/tmp/nc");
    let before = (files(lab), running(lab));
    refused(lab, "publish late --to web:80", "address already in use");
    assert_eq!((files(lab), running(lab)), before);
    lab.guest(9999, "kill $(cat /tmp/nc)");
    done(lab, "publish late --to web:80");

    // What was broken by hand is refused by Caddy before anything takes its place.
    lab.guest(9999, "echo 'http://:8089 {' >/etc/caddy/apps/broken.caddy");
    let before = (files(lab), running(lab));
    refused(lab, "publish late --to wiki:80", "Caddy takes all files together");
    assert_eq!((files(lab), running(lab)), before);
    lab.guest(9999, "rm /etc/caddy/apps/broken.caddy");

    // What was changed by hand in another file of ours is left as it is and said.
    lab.guest(9999, "echo '# by hand' >>/etc/caddy/proximity/current/wiki.caddy");
    let said = lab.exec("pve1", &["bash", "-c", "proximity ports publish late --to wiki:80 --dry-run 3</root/pw"]);
    assert!(said.out.contains("left as it is, and not as promised: wiki.caddy"), "{said:?}");
    assert!(lab.sh("proximity ports converge --yes").contains("listened on"));
    assert!(!lab.guest(9999, "cat /etc/caddy/proximity/current/wiki.caddy").contains("by hand"));

    // A folder in the link's place is set aside with all that is in it.
    lab.guest(9999, "cd /etc/caddy/proximity; cp -a $(readlink current) x; rm current; mv x current; echo note >current/note.txt; rm current/late.caddy");
    lab.sh("proximity ports converge --yes");
    assert!(current(lab).starts_with('v') && lab.guest(9999, "cat /etc/caddy/proximity/current/note.txt") == "note");
    assert!(visit(lab, 30_002, "/").contains("page of wiki"), "what was refused is promised still");

    // No room in the appliance: nothing is half there.
    lab.guest(9999, "cp -a /etc/caddy/proximity /tmp/keep; mount -t tmpfs -o size=24k tmpfs /etc/caddy/proximity; cp -a /tmp/keep/current /etc/caddy/proximity/; cp -a /tmp/keep/$(readlink /tmp/keep/current) /etc/caddy/proximity/");
    let before = (files(lab), running(lab), lab.guest(9999, "ls /etc/caddy/proximity"));
    lab.guest(9999, "dd if=/dev/zero of=/etc/caddy/proximity/fill bs=1k count=64 2>/dev/null; true");
    refused(lab, "publish late --to web:80", "No space left");
    lab.guest(9999, "rm /etc/caddy/proximity/fill");
    assert_eq!((files(lab), running(lab), lab.guest(9999, "ls /etc/caddy/proximity")), before);
    lab.guest(9999, "umount /etc/caddy/proximity; rm -r /tmp/keep");

    // Caddy that hangs: nothing is begun. Caddy that does not run is started.
    lab.guest(9999, "kill -STOP $(pidof caddy)");
    let before = files(lab);
    refused(lab, "publish late --to web:80", "its administration does not answer");
    lab.guest(9999, "kill -CONT $(pidof caddy)");
    assert_eq!(files(lab), before);
    lab.sh("proximity ports converge --yes");
    lab.guest(9999, "rc-service -q caddy stop");
    done(lab, "publish late --to wiki:80");
    assert!(visit(lab, 30_002, "/").contains("page of wiki") && visit(lab, 30_000, "/").contains("page of web"));

    // Given up: nobody answers there, and nobody else gets the pair.
    done(lab, "unpublish late");
    assert_eq!(visit(lab, 30_002, "/"), "");
    assert!(lab.guest(9999, "ls /etc/caddy/proximity/current").lines().all(|l| l != "late.caddy"));
    assert!(ports(lab, "reserve other").out.contains("30003"));
    refused(lab, "unpublish late", "nothing is published as late");
    // What never came in force is given up as well.
    refused(lab, "publish never --to web:81", "answers 502");
    assert!(done(lab, "unpublish never").out.contains("works by its files"));
    refused(lab, "unpublish never", "nothing is published as never");
    refused(lab, "release cloud", "it is published".strip_prefix("it ").unwrap_or_default());
    for name in ["a b", "a{", "a}", "\"a\"", "a#", "a\\nb", "é", "-a", "3", &"a".repeat(300)] {
        let said = ports(lab, &format!("publish $'{name}' --to web:80"));
        assert_eq!(said.rc, 2, "{name}: {said:?}");
    }
    assert_eq!(lab.guest(9999, "cat /etc/caddy/apps/hand.caddy"), foreign.trim_end(), "to the byte");
    assert_eq!(converge(lab).rc, 0);
    green(lab, "all of it");
}

/// What Proxmox told of it, and what it works by; where nothing was told that is unknown and no zero.
fn what_there_is_of_appliances(lab: &Lab) {
    let list = || {
        let said = lab.exec("pve1", &["proximity", "-o", "json", "appliance", "list"]);
        (said.rc, serde_json::from_str::<Value>(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}")))
    };
    lab.sh("rm -f /etc/pve/.rrd");
    let (rc, silent) = list();
    assert_eq!((rc, &silent["items"][0]["seen"], &silent["unknown"][0]["what"]), (10, &Value::Null, &silent["items"][0]["title"]));
    let told = "pve-vm-9.0/9999:90:edge:running:0:1795197116:1:0.25:536870912:8048640:2040373248:386752512:140:866:0:0:U:U:U:U:U:U:U\n\
                pve-vm-9.0/9998:9:x:stopped:0:1795197116:1:U:1:U:1:0:U:U:U:U:U:U:U:U:U:U:U\n";
    lab.write("/etc/pve/.rrd", told);
    let (rc, list) = list();
    let own = &list["items"][0];
    assert_eq!((rc, list["items"].as_array().unwrap().len()), (0, 1), "{list}");
    assert_eq!((own["id"].as_u64(), own["role"].as_str(), own["state"].as_str()), (Some(9999), Some("acting"), Some("running")));
    assert_eq!((own["seen"]["memory"]["used"].as_u64(), own["seen"]["cpu"].as_f64()), (Some(8_048_640), Some(0.25)));
    assert_eq!((own["version"].as_u64(), own["config"].as_str()), (Some(2), Some("sites v2 in effect, as remembered")), "{own}");
    lab.guest(9999, "echo '# x' >> /etc/caddy/proximity/current/wiki.caddy");
    let table = lab.exec("pve1", &["proximity", "appliance", "list"]);
    assert!(table.rc == 0 && table.out.contains("sites v2 in effect, 1 of them not as remembered"), "{table:?}");
    lab.guest(9999, "sed -i '$d' /etc/caddy/proximity/current/wiki.caddy");
}

/// A download whose reader stops after its first bytes, until it is told to go on.
fn download(lab: &Lab, port: u16) -> Child {
    let reader = "head -c 1000000; while ! [ -e /tmp/go-on ]; do sleep 0.1; done; cat";
    let line = format!("rm -f /tmp/go-on; curl -s -m 600 http://{}:{port}/big | ({reader}) | sha256sum", wan(lab));
    lab.command("op", &["bash", "-c", &line]).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_download_goes_on_through_twenty_changes() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    lab.guest(101, "dd if=/dev/urandom of=/srv/big bs=1M count=100 2>/dev/null");
    let whole = lab.guest(101, "sha256sum /srv/big");
    done(lab, "publish files --to web:80");
    done(lab, "publish other --to wiki:80");
    let mut child = download(lab, 30_000);
    let open = || lab.guest(9999, "ss -Htn state established '( sport = :30000 )' | wc -l") != "0";
    wait_for("the download", open);
    for n in 0..20 {
        let app = if n % 2 == 0 { "web" } else { "wiki" };
        done(lab, &format!("publish other --to {app}:80"));
        assert!(visit(lab, 30_001, "/").contains(&format!("page of {app}")));
        assert!(child.try_wait().unwrap().is_none() && open(), "after {n} changes");
    }
    assert_eq!(lab.exec("op", &["touch", "/tmp/go-on"]).rc, 0);
    let out = child.wait_with_output().unwrap();
    let got = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(got.split(' ').next(), whole.split(' ').next());
}

/// The publisher is killed at moments spread over the whole of it: Caddy serves the old whole or the new whole, a port is one
/// app's, and asked for again it is as it was wished. 9 moments; PROXIMITY_KILLS says how many else.
#[test]
fn whoever_is_killed_leaves_the_old_or_the_new() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    done(lab, "publish fixed --to web:80");
    let fixed = lab.guest(9999, "cat /etc/caddy/proximity/current/fixed.caddy");
    let begun = Instant::now();
    done(lab, "publish moving --to web:80");
    let whole = begun.elapsed();
    let kills: u32 = std::env::var("PROXIMITY_KILLS").ok().map_or(9, |n| n.parse().unwrap());
    let wishes = ["publish moving --to wiki:80", "unpublish moving", "publish moving --to web:80"];
    let (mut interrupted, mut was) = (0, "page of web".to_owned());
    for n in 0..kills {
        let words = wishes[n as usize % 3];
        let at = whole * (2 * n + 1) / (2 * kills);
        let line = format!("exec proximity ports {words} --yes --passphrase-fd 3 3</root/pw");
        let mut running = lab.command("pve1", &["bash", "-c", &line]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < at {
            std::thread::sleep(at.saturating_sub(begun.elapsed()));
        }
        // Whoever asked and whoever works for him, both at once.
        let killed = lab.exec("pve1", &["pkill", "-9", "-f", "[j]ob-worker|[p]roximity ports"]).rc == 0;
        interrupted += u32::from(killed);
        running.wait().unwrap();
        let served = |port| {
            let got = visit(lab, port, "/");
            if got.is_empty() { "nothing".to_owned() } else { got.lines().last().unwrap_or_default().to_owned() }
        };
        assert_eq!(served(30_000), "page of web", "killed after {at:?}");
        assert_eq!(lab.guest(9999, "cat /etc/caddy/proximity/current/fixed.caddy"), fixed);
        let now = served(30_001);
        let new = ["page of wiki", "nothing", "page of web"][n as usize % 3];
        assert!(now == was || now == new, "killed after {at:?} of {words}: {now}");
        // What a start of Caddy would read is whole as well.
        lab.guest(9999, "caddy validate --adapter caddyfile --config /etc/caddy/Caddyfile 2>/dev/null");
        let told: Value = serde_json::from_str(&lab.sh("proximity -o json ports list 2>/dev/null || true")).unwrap();
        let items: Vec<&Value> = told["items"].as_array().unwrap().iter().filter(|i| i["name"] == "moving").collect();
        assert!(items.iter().all(|i| i["public"] == 30_001), "{told}");
        let others = told["items"].as_array().unwrap().iter().filter(|i| i["public"] == 30_001 && i["name"] != "moving");
        assert!(items.iter().filter(|i| i["state"] == "reserved").count() <= 1 && others.count() == 0, "{told}");
        println!("killed after {:>5} ms of {words}: {killed}, {now}", at.as_millis());
        // Asked for again it is as it was wished; one that was given up before may say so.
        let said = ports(lab, words);
        assert!(said.rc == 0 || said.err.contains("nothing is published as moving"), "{said:?}");
        lab.sh("proximity ports converge --yes");
        assert_eq!(served(30_001), new);
        was = new.to_owned();
    }
    assert!(interrupted > 0, "none of {kills} was interrupted");
}
