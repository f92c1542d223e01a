//! Samples of every format, frames, names; and the way from a line to what it is about.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::domain::fact::LogSource;
use crate::domain::guest::{Guest, Kind, Nic};
use crate::domain::task::{TaskEnd, TaskSeen};
use crate::domain::world::{From, Part, World};

fn here() -> Here {
    Here { now: Stamp::from_civil(2026, 11, 21, 15, 0, 0).unwrap(), offset_s: 0 }
}

fn record(line: &str) -> Record {
    parse(line.as_bytes(), here())
}

fn field<'r>(record: &'r Record, name: &str) -> Option<&'r str> {
    record.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

/// Each sample is taken for its own format and no other, bare and in the frame of its program, with just these fields.
#[test]
fn every_sample_is_what_the_table_says() {
    for format in &FORMATS {
        assert!(!format.samples.is_empty(), "{}", format.name);
        for (line, expected) in format.samples {
            let found = record(line);
            assert_eq!(found.format, format.name, "{line}");
            let fields: Vec<(&str, &str)> = found.fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(fields, *expected, "{line}");
        }
    }
}

#[test]
fn frames_tell_who_wrote_it_and_the_message_inside_is_known_too() {
    let r = record("Nov 21 14:31:58 dnsmasq-dhcp[88]: DHCPACK(eth1) 10.20.0.131 bc:24:11:2a:00:05 nextcloud");
    assert_eq!((r.format, field(&r, "program"), field(&r, "pid")), ("DHCP", Some("dnsmasq-dhcp"), Some("88")));
    assert_eq!(r.at.unwrap().rfc3339(), "2026-11-21T14:31:58Z");
    assert_eq!(r.names, [Named::Address("10.20.0.131".parse().unwrap()), Named::Mac("bc:24:11:2a:00:05".into())]);
    let r = record(
        "2026-11-21T14:31:58.123456+01:00 pve1 pvedaemon[1234]: <root@pam> starting task UPID:pve1:0006FB34:0019E2FE:6A62022E:vzdump:101:root@pam:",
    );
    assert_eq!((r.format, field(&r, "host")), ("PVE task begins", Some("pve1")));
    assert!(matches!(&r.names[..], [Named::Task(upid)] if upid.id == "101"));
    let r = record("web-1  | 10.20.0.9 - - [21/Nov/2026:14:31:58 +0100] \"GET / HTTP/1.1\" 500 5");
    assert_eq!((r.format, field(&r, "container"), field(&r, "status")), ("access log", Some("web-1"), Some("500")));
    let r = record("[ 1234.567890] Memory cgroup out of memory: Killed process 4242 (mariadbd) total-vm:1kB");
    assert_eq!((r.format, field(&r, "uptime"), field(&r, "command")), ("out of memory", Some("1234.567890"), Some("mariadbd")));
    let r = record("2026-11-21 14:31:58,123 ERROR something of an app");
    assert_eq!((r.format, field(&r, "message"), r.level), ("text log", Some("ERROR something of an app"), Level::Error));
    // A program's words in the mouth of another are no more than words.
    let r = record("Nov 21 14:31:58 pve1 cron[7]: query[A] x.y from 10.0.0.1");
    assert_eq!((r.format, field(&r, "message")), ("syslog", Some("query[A] x.y from 10.0.0.1")));
}

#[test]
fn json_of_every_kind() {
    let r = record(
        r#"{"level":"error","ts":1795271519.25,"logger":"http.log.error.log0","msg":"dial tcp 10.20.0.104:8080: connect: connection refused","request":{"remote_ip":"10.20.0.9","method":"GET","host":"nextcloud.prox.local:40017","uri":"/","headers":{"Accept":["a","b"]}},"duration":0.01,"status":502}"#,
    );
    assert_eq!((r.format, field(&r, "request.headers.Accept"), field(&r, "status")), ("Caddy access", Some("a, b"), Some("502")));
    for named in
        [Named::Host("nextcloud.prox.local".into()), Named::Port(40017), Named::Port(8080), Named::Address("10.20.0.104".parse().unwrap())]
    {
        assert!(r.names.contains(&named), "{named:?} in {:?}", r.names);
    }
    let r = record(
        r#"{"ts":1795271519.25,"port-30017":"http.log.access.log0","msg":"handled request","request":{"host":"other.example:30018"},"status":200}"#,
    );
    assert_eq!((r.format, field(&r, "port"), r.names.first()), ("Caddy access", Some("30017"), Some(&Named::Port(30017))), "{r:?}");
    let r = record(
        r#"{"__REALTIME_TIMESTAMP":"1795271518000000","PRIORITY":"3","SYSLOG_IDENTIFIER":"systemd","_SYSTEMD_UNIT":"init.scope","_PID":"1","MESSAGE":"Failed to start pve-container@104.service - PVE LXC Container: 104."}"#,
    );
    assert_eq!((r.format, field(&r, "event"), field(&r, "program")), ("journal", Some("Failed to start"), Some("systemd")));
    assert!(r.names.contains(&Named::Unit("pve-container@104.service".into())) && r.names.contains(&Named::Guest("104".parse().unwrap())));
    let r = record(r#"{"__REALTIME_TIMESTAMP":"1795271518000000","MESSAGE":[104,105,255]}"#);
    assert_eq!(field(&r, "message"), Some("hi\u{fffd}"));
    let r = record(r#"{"msg":"hello","user":{"id":7},"empty":{}}"#);
    assert_eq!((r.format, field(&r, "user.id"), field(&r, "empty")), ("JSON", Some("7"), Some("{}")));
}

#[test]
fn long_and_broken_lines_are_taken_as_far_as_they_go() {
    let long = [b'x'].repeat(10 << 20);
    assert_eq!(parse(&long, here()).cut, (10 << 20) - MOST);
    for odd in [&b""[..], b"\xff\xfe", b"{", b"{}", b"[1]", b"\x1b]0;x\x07", b"a\0b"] {
        let r = parse(odd, here());
        assert_eq!(r.cut, 0, "{r:?}");
    }
}

fn world() -> World {
    let mut fixed = Guest::bare("104".parse().unwrap(), Kind::Lxc);
    fixed.name = Some("nextcloud".into());
    fixed.nics.push(Nic { ip: Some("10.20.0.104/24".into()), hwaddr: Some("BC:24:11:2A:00:04".into()), ..Nic::default() });
    let mut moving = Guest::bare("105".parse().unwrap(), Kind::Lxc);
    moving.name = Some("wiki".into());
    moving.nics.push(Nic { ip: Some("dhcp".into()), hwaddr: Some("BC:24:11:2A:00:05".into()), ..Nic::default() });
    let task = |start: &str, kind: &str, end: Option<TaskEnd>| TaskSeen {
        upid: format!("UPID:pve1:0006FB34:0019E2FE:{start}:{kind}:104:root@pam:").parse().unwrap(),
        ended: None,
        end,
    };
    // 6B0AFA3F is 2027, after every line here.
    let tasks = vec![task("6A62022E", "vzstop", Some(TaskEnd::Ok)), task("6B0AFA3F", "vzstart", None)];
    World {
        guests: Part::new(vec![fixed, moving], Stamp(1), From::Files),
        tasks: Part::new(tasks, Stamp(1), From::Files),
        ..World::default()
    }
}

/// The way that somebody walks at night: 502, the guest behind it, what was done to it, and what moved its address.
#[test]
fn a_502_leads_to_the_guest_and_to_what_happened_to_it() {
    let line = r#"{"level":"error","ts":1795271519.25,"logger":"http.log.error.log0","msg":"dial tcp 10.20.0.104:8080: connect: connection refused","request":{"host":"nextcloud.prox.local","uri":"/"},"status":502}"#;
    let all = leads(&record(line), &world());
    assert_eq!(all[0].target, Target::Guest("104".parse().unwrap()));
    assert_eq!(all.iter().filter(|l| matches!(l.target, Target::Guest(_))).count(), 1, "its name and its address are one guest: {all:?}");
    assert!(matches!(&all[1].target, Target::Log { source: LogSource::File(path), .. } if path.contains("vzstop")), "{all:?}");
    assert!(all[1].why.contains("before this line") && all[1].why.contains("OK"), "{all:?}");
    assert_eq!(all.len(), 2, "what was done afterwards did not cause it: {all:?}");
    // Whoever asked from outside has no lease here.
    assert!(leads(&record(r#"{"ts":1795271519.25,"logger":"x","request":{"remote_ip":"203.0.113.7"},"status":502}"#), &world()).is_empty());
    // An address that nobody has by his configuration was given by DHCP; dnsmasq's lines about it are a filter away.
    let all = leads(&record(r#"{"ts":1795271519.25,"logger":"x","msg":"dial tcp 10.20.0.131:80: i/o timeout"}"#), &world());
    let [Lead { target: Target::Log { source: LogSource::Dnsmasq, filter }, .. }] = &all[..] else { panic!("{all:?}") };
    let moved = b"Nov 21 14:30:01 dnsmasq-dhcp[88]: DHCPACK(eth1) 10.20.0.131 bc:24:11:2a:00:05 wiki";
    let found = crate::domain::filter::Filter::parse(filter).unwrap();
    assert!(found.passes(moved) && !found.passes(b"dnsmasq-dhcp[88]: DHCPACK(eth1) 10.20.0x131 bc:24"), "{filter}");
    // That line names the card, the card the guest, the guest its tasks.
    let all = leads(&parse(moved, here()), &world());
    assert!(all.iter().any(|l| l.target == Target::Guest("105".parse().unwrap())), "{all:?}");
    assert!(all.iter().any(|l| l.what == "leases of bc:24:11:2a:00:05"), "{all:?}");
}

#[test]
fn what_is_not_known_is_said_and_leads_nowhere() {
    let r = record("oom-kill:constraint=x,task_memcg=/lxc/777/ns,task=a,pid=1,uid=0");
    assert!(matches!(&leads(&r, &world())[..], [Lead { why, target: Target::Nowhere, .. }] if why.contains("no such guest")));
    let nothing = World { guests: Part::unknown("/etc/pve is not mounted", Stamp(1)), ..World::default() };
    assert!(matches!(&leads(&r, &nothing)[..], [Lead { why, .. }] if why == "unknown: /etc/pve is not mounted"));
    assert!(leads(&record("nothing of note"), &world()).is_empty());
}

proptest::proptest! {
    #[test]
    fn no_bytes_break_it(line: Vec<u8>, text in "[{\"a-z0-9:.\\[\\] UPIDCT]{0,200}") {
        let _ = leads(&parse(&line, here()), &world());
        let _ = leads(&record(&text), &world());
    }
}
