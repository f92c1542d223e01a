//! Published beyond plain HTTP, on a real Caddy and real rules: connections and datagrams, TLS on both sides, logins.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::appliance::{appliance_lab, green, turned};
use crate::harness::{Lab, Said, skip, wait_for};
use crate::publish::{done, refused, wan};

/// What the operator's machine gets by curl, with headers; with its status where nothing came.
fn curl(lab: &Lab, words: &[&str], url: &str) -> String {
    let said = lab.exec("op", &[&["curl", "-si", "-m", "10"], words, &[url]].concat());
    if said.out.is_empty() { format!("curl {}", said.rc) } else { said.out }
}

/// Status of an answer.
fn status(answer: &str) -> &str {
    answer.split_whitespace().nth(1).unwrap_or(answer)
}

/// A program of this machine in the network of a guest; it ends with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Answers whatever comes with its own name before it.
fn echo(lab: &Lab, guest: u32, listen: &str) -> Server {
    let mark = format!("{}{guest}", 70_000 + std::process::id() % 10_000);
    lab.guest(guest, &format!("sleep {mark} >/dev/null 2>&1 &"));
    let of = |pid: &str| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c == format!("sleep\0{mark}\0").into_bytes());
    let pids = || std::fs::read_dir("/proc").unwrap().filter_map(|e| e.unwrap().file_name().into_string().ok());
    wait_for("a process of the guest", || pids().any(|pid| of(&pid)));
    let pid = pids().find(|pid| of(pid)).unwrap();
    let answers = format!("SYSTEM:sed -u s/^/{guest}\\:/");
    let child =
        Command::new("nsenter").args([&format!("--net=/proc/{pid}/ns/net"), "socat", listen, &answers]).stdin(Stdio::null()).spawn();
    Server(child.unwrap())
}

/// One line sent from the operator's machine, and what came back in time.
fn ask(lab: &Lab, how: &str, port: u16) -> String {
    let to = format!("{how}:{}:{port}", wan(lab));
    let said = lab.exec("op", &["bash", "-c", &format!("echo hello | socat -t 3 - {to} 2>&1")]);
    said.out.trim_end().to_owned()
}

#[test]
fn connections_and_datagrams_are_carried_to_an_address_that_stays_and_no_further() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let lab = &lab;
    let servers = [101, 102].map(|id| [echo(lab, id, "TCP-LISTEN:7000,fork,reuseaddr"), echo(lab, id, "UDP-RECVFROM:7001,fork")]);
    let rules = || lab.guest(9999, "iptables-save | grep -v '^[#:]'; cat /etc/iptables/rules-save");
    let before = rules();
    refused(lab, "publish mail --to web:7000 --protocol tcp", "is lent and may change");
    refused(lab, "publish mail --to 192.168.9.9:22 --protocol tcp", "is no address of an app");
    assert_eq!(rules(), before, "what is refused changes nothing");
    for id in [101, 102] {
        lab.sh(&format!("proximity appliance pin {id} --yes --passphrase-fd 3 3</root/pw"));
    }

    // Nothing takes connections there: it is put back.
    let before = rules();
    refused(lab, "publish none --to web:7009 --protocol tcp", "takes no connection");
    assert_eq!(rules(), before);
    done(lab, "unpublish none");

    let said = done(lab, "publish mail --to web:7000 --protocol tcp");
    assert!(said.out.contains("is taken"), "{said:?}");
    done(lab, "publish names --to web:7001 --protocol udp --sources 10.77.0.1/32");
    let pair = |name: &str| -> (u16, u16) {
        let told = lab.sh("proximity ports list -o plain");
        let line = told.lines().find(|l| l.split_whitespace().any(|w| w == name)).unwrap_or_else(|| panic!("{name} in {told}")).to_owned();
        let numbers: Vec<u16> = line.split_whitespace().filter_map(|w| w.parse().ok()).collect();
        (numbers[0], numbers[1])
    };
    let (mail, names) = (pair("mail"), pair("names"));
    assert_eq!(ask(lab, "TCP", mail.0), "101:hello");
    assert!(ask(lab, "TCP", mail.1).contains("refused"), "the internal port is not for the way in");
    assert_eq!(ask(lab, "UDP", names.0), "101:hello");
    assert_eq!(ask(lab, "UDP", names.1), "101:hello", "its own sources may");
    green(lab, "carried by rules");
    done(lab, "publish mail --to web:7000 --protocol tcp");

    // A flow that never rests: from the change on the old app hears nothing of it.
    let script = format!("(while :; do echo $EPOCHREALTIME; echo - >&2; sleep 0.1; done | socat - UDP:{}:{}) 2>&1", wan(lab), names.0);
    let mut flow = Server(lab.command("op", &["bash", "-c", &script]).stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap());
    let mut lines = BufReader::new(flow.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().take(100).any(|l| l.starts_with("101:")), "it flows");
    done(lab, "publish names --to wiki:7001 --protocol udp --sources default");
    let changed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert_eq!(ask(lab, "UDP", names.0), "102:hello", "whoever comes now");
    for line in lines {
        if let Some((app, sent)) = line.split_once(':') {
            assert!(app == "102" || sent.parse::<f64>().unwrap() < changed, "{line} after {changed}");
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        if now > changed + 2.0 {
            break;
        }
    }
    drop(flow);
    assert!(!ask(lab, "UDP", names.1).contains("hello"), "its sources are those of the settings again");

    // Loaded by somebody else: told, and mended.
    lab.guest(9999, "iptables -t nat -F PREROUTING");
    assert_eq!(turned(lab), "nat fail");
    lab.sh("proximity ports converge --yes");
    assert_eq!(ask(lab, "TCP", mail.0), "101:hello");
    green(lab, "rules that were taken away");

    done(lab, "unpublish mail");
    assert!(ask(lab, "TCP", mail.0).contains("refused"));
    done(lab, "unpublish names");
    let left = lab.guest(9999, "iptables-save");
    assert!(!left.contains("-j DNAT"), "nothing stays open: {left}");
    green(lab, "nothing carried any more");
    drop(servers);
}

/// A certificate that vouches for itself, and its key.
fn certificate(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// Puts a certificate where operators put theirs.
fn put(lab: &Lab, file: &str, (cert, key): &(String, String)) {
    for (ending, text) in [("crt", cert), ("key", key)] {
        lab.write("/tmp/pem", text);
        lab.sh(&format!("pct exec 9999 -- tee /etc/caddy/proximity-tls/{file}.{ending} </tmp/pem >/dev/null"));
        lab.guest(
            9999,
            &format!("chown caddy /etc/caddy/proximity-tls/{file}.{ending}; chmod 600 /etc/caddy/proximity-tls/{file}.{ending}"),
        );
    }
}

fn by_hand(lab: &Lab, text: &str) {
    lab.write("/tmp/hand", text);
    lab.sh("pct exec 9999 -- tee /etc/caddy/apps/hand.caddy </tmp/hand >/dev/null");
    lab.guest(9999, "caddy reload --adapter caddyfile --config /etc/caddy/Caddyfile 2>/dev/null");
}

#[test]
fn tls_is_proven_on_both_sides_or_said_not_to_be() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let (lab, wan) = (&lab, wan(&lab));
    // An app that speaks TLS, with a certificate that nobody vouches for.
    let up = certificate("up.home");
    put(lab, "up", &up);
    by_hand(lab, "https://:8443 {\n\ttls /etc/caddy/proximity-tls/up.crt /etc/caddy/proximity-tls/up.key\n\trespond \"the app\"\n}\n");
    let to = "publish app --to https://10.20.0.1:8443";
    refused(lab, to, "502");
    let said = done(lab, &format!("{to} --insecure-upstream"));
    assert!(said.err.contains("upstream not verified"), "{said:?}");
    let url = format!("http://{wan}:30000/");
    assert!(curl(lab, &[], &url).ends_with("the app"));
    assert!(lab.guest(9999, "cat /etc/caddy/proximity/current/app.caddy").contains("# !!! THE UPSTREAM IS NOT VERIFIED"));
    done(lab, &format!("{to} --unanswered"));
    assert_eq!(status(&curl(lab, &[], &url)), "502", "proven again, and wrong");
    // Vouched for: right for its own name alone.
    lab.guest(9999, "cat /etc/caddy/proximity-tls/up.crt >>/etc/ssl/certs/ca-certificates.crt; rc-service caddy restart >/dev/null 2>&1");
    done(lab, &format!("{to} --upstream-name up.home"));
    assert!(curl(lab, &[], &url).ends_with("the app"));
    refused(lab, &format!("{to} --upstream-name other.home"), "502");

    // To visitors: by the appliance's own authority.
    done(lab, "publish cloud --to web:80 --tls internal --tls-name cloud.home");
    refused(lab, &format!("publish cloud --to web:80 --tls internal --tls-name {wan}"), "by a name");
    let at = |name: &str, port: u16| format!("https://{name}:{port}/");
    let resolve = |port: u16| {
        ["--resolve".to_owned(), format!("cloud.home:{port}:{wan}"), "--resolve".to_owned(), format!("other.home:{port}:{wan}")]
    };
    let root = lab.guest(9999, "cat $(find /var/lib/caddy -name root.crt)");
    std::fs::write(lab.dir().join("root.crt"), &root).unwrap();
    let ca = lab.dir().join("root.crt").to_string_lossy().into_owned();
    let port = 30_001;
    let to_name = resolve(port);
    let known: Vec<&str> = to_name.iter().map(String::as_str).collect();
    let trusting = [&known[..], &["--cacert", &ca]].concat();
    let page = curl(lab, &trusting, &at("cloud.home", port));
    assert!(status(&page) == "200" && page.contains("page of web"), "{page}");
    assert_eq!(curl(lab, &known, &at("cloud.home", port)), "curl 60", "who does not know the authority is not fooled");
    assert!(curl(lab, &trusting, &at("other.home", port)).starts_with("curl "), "no certificate for whatever name is asked");
    assert_eq!(status(&curl(lab, &known, &format!("http://cloud.home:{port}/"))), "400", "not without TLS");

    // By one that an operator put there.
    refused(lab, "publish given --to web:80 --tls given --certificate home", "home.crt");
    let home = certificate("cloud.home");
    put(lab, "home", &home);
    done(lab, "publish given --to web:80 --tls given --certificate home");
    std::fs::write(lab.dir().join("home.crt"), &home.0).unwrap();
    let own = lab.dir().join("home.crt").to_string_lossy().into_owned();
    let to_name = resolve(30_002);
    let known: Vec<&str> = to_name.iter().map(String::as_str).collect();
    assert!(curl(lab, &[&known[..], &["--cacert", &own]].concat(), &at("cloud.home", 30_002)).contains("page of web"));
    assert_eq!(curl(lab, &known, &at("cloud.home", 30_002)), "curl 60");
    // What was protected is not laid open by saying nothing.
    refused(lab, "publish given --to web:80", "TLS to visitors (given)");
    green(lab, "TLS on both sides");
}

#[test]
fn who_may_not_come_in_does_not_and_no_secret_is_left_anywhere() {
    let Some(lab) = appliance_lab() else { return skip("no lab on this machine") };
    let (lab, wan) = (&lab, wan(&lab));
    let password = "correct-horse-7";
    lab.sh(&format!("umask 077; echo {password} >/root/app"));
    let script = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nenv\n";
    lab.write("/tmp/env", script);
    lab.sh("pct exec 101 -- mkdir -p /srv/cgi-bin; pct exec 101 -- tee /srv/cgi-bin/env </tmp/env >/dev/null; pct exec 101 -- chmod 755 /srv/cgi-bin/env");
    let url = |port: u16| format!("http://{wan}:{port}/cgi-bin/env");
    let with = |words: &[&str], port: u16| curl(lab, words, &url(port));

    // Basic.
    done(lab, "publish basic --to web:80 --auth basic --user ada --password-fd 4");
    assert_eq!(status(&with(&[], 30_000)), "401");
    assert_eq!(status(&with(&["-u", "ada:wrong"], 30_000)), "401");
    let page = with(&["-u", &format!("ada:{password}")], 30_000);
    assert!(status(&page) == "200" && !page.contains("AUTHORIZATION"), "the app is not told: {page}");
    refused(lab, "publish basic --to web:80", "login (basic)");

    // A token, replaced.
    let token = |said: &Said| {
        let all: Vec<&str> = said.err.lines().filter(|l| l.starts_with("prox_")).collect();
        assert_eq!(all.len(), 1, "{said:?}");
        format!("Authorization: Bearer {}", all[0])
    };
    let first = token(&done(lab, "publish api --to web:80 --auth bearer"));
    let status_with = |header: &str| status(&with(&["-H", header], 30_001)).to_owned();
    assert_eq!((status(&with(&[], 30_001)), status_with(&first).as_str()), ("401", "200"));
    assert_eq!(status_with(&first.replace("prox_", "")), "401");
    assert_eq!(status_with(&format!("{}A", first)), "401");
    let second = token(&done(lab, "publish api --to web:80 --auth bearer --rotate"));
    assert_eq!((status_with(&first).as_str(), status_with(&second).as_str()), ("200", "200"), "both for a while");
    let short = token(&done(lab, "publish api --to web:80 --auth bearer --rotate --grace 4s"));
    // Caddy itself ends the grace: nobody comes by, and nothing drifts.
    wait_for("the end of the grace", || status_with(&second) == "401");
    assert_eq!([&first, &second, &short].map(|t| status_with(t)), ["401", "401", "200"]);
    let drift = lab.exec("pve1", &["proximity", "ports", "drift"]);
    assert!(!drift.out.contains("site-"), "{drift:?}");
    let third = token(&done(lab, "publish api --to web:80 --auth bearer --rotate --grace 0"));
    assert_eq!([&first, &short, &third].map(|t| status_with(t)), ["401", "401", "200"]);
    assert!(!with(&["-H", &third], 30_001).contains("AUTHORIZATION"));

    // A verifier, which is down, says no, says yes.
    let jwt = "publish jwt --to web:80 --auth jwt --verifier 10.20.0.1:9091 --verify-path /verify --copy-header X-User";
    refused(lab, jwt, "502");
    done(lab, &format!("{jwt} --unanswered"));
    let forged = ["-H", "X-User: root", "-H", "Authorization: Bearer good"];
    let down = with(&forged, 30_002);
    assert!(status(&down) == "502" && !down.contains("GATEWAY_INTERFACE"), "{down}");
    let yes = |says: &str| {
        by_hand(
            lab,
            &format!(
                "http://:9091 {{\n\t@yes {{\n\t\theader Authorization \"Bearer good\"\n\t\tpath /verify\n\t}}\n\t{says}\n\trespond @yes 200\n\trespond 401\n}}\n"
            ),
        )
    };
    yes("header @yes X-User ada");
    assert_eq!(status(&with(&["-H", "Authorization: Bearer bad"], 30_002)), "401");
    let page = with(&forged, 30_002);
    assert!(status(&page) == "200" && page.contains("HTTP_X_USER=ada\n"), "{page}");
    yes("");
    let page = with(&forged, 30_002);
    assert!(status(&page) == "200" && !page.contains("X_USER"), "what nobody verified is not passed on: {page}");
    green(lab, "logins");

    // Who asked is written down, at which port, and not what he is known by: neither plainly nor as it was sent.
    with(&["-u", &format!("ada:{password}"), "-b", "session=kept-to-himself", "-H", "Host: other:40001"], 30_000);
    let log = lab.guest(9999, "cat /var/log/caddy/access.log");
    let of = |port: u16| log.lines().filter(|l| l.contains(&format!("\"port-{port}\":\"http.log.access."))).collect::<Vec<_>>();
    assert!(of(30_000).last().is_some_and(|l| l.contains("other:40001") && l.contains("\"Authorization\":[]")), "{log}");
    assert!(of(30_001).iter().any(|l| l.contains("\"Authorization\":[]")) && of(30_002).len() >= 5, "{log}");
    let sent = lab.sh(&format!("printf ada:{password} | base64"));
    for secret in [password, sent.as_str(), "kept-to-himself", "Bearer", &third[29..]] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }

    // In no file, no row, no log of the node or the appliance.
    for secret in [password, &first[29..], &second[29..], &third[29..]] {
        lab.write("/tmp/secret", secret);
        let found = lab.sh("grep -rlF -f /tmp/secret /var/lib/proximity /var/log /run/log /etc 2>/dev/null || true");
        assert_eq!(found, "", "{secret}");
        lab.sh("pct exec 9999 -- tee /tmp/secret </tmp/secret >/dev/null");
        let found = lab.guest(9999, "grep -rlF -f /tmp/secret /etc /var 2>/dev/null || true");
        assert_eq!(found, "", "{secret}");
    }
}
