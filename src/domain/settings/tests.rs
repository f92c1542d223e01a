//! What must hold of the table, of values as text, of rules and previews.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::domain::credential::{Candidate, Fingerprint, Trust};
use crate::domain::guest::{Guest, Kind as GuestKind, Nic};
use crate::domain::ports::{Held as PortHeld, Pair, PortMap, What};
use crate::domain::secret::Secret;
use crate::domain::stamp::Stamp;
use crate::domain::world::{From, Part, World};

fn key(name: &str) -> Key {
    name.parse().unwrap()
}

fn settings(set: &[(&str, &str)]) -> Settings {
    let mut out = Settings::default();
    for (name, text) in set {
        let key = key(name);
        let held = Held::Value(key.definition().parse(text).unwrap());
        out.put(key, Row { held, version: 1, at: Stamp(1), by: "ada".into() });
    }
    out
}

fn on_lan(id: u32, ip: &str) -> Guest {
    let mut g = Guest::bare(id.try_into().unwrap(), GuestKind::Lxc);
    g.nics.push(Nic { ip: Some(ip.into()), bridge: Some("proximity-lan".into()), ..Nic::default() });
    g
}

fn world(guests: Vec<Guest>) -> World {
    World { guests: Part::new(guests, Stamp(1), From::Files), ..World::default() }
}

#[test]
fn the_table_is_whole() {
    for d in &DEFINITIONS {
        let name = format!("{}.{}", d.category.word(), d.name);
        assert_eq!(key(&name).to_string(), name);
        assert!(!d.help.is_empty() && !d.applies.is_empty() && d.help.ends_with('.'), "{name}");
        assert_eq!(DEFINITIONS.iter().filter(|o| o.category == d.category && o.name == d.name).count(), 1, "{name}");
        if d.is_secret() {
            assert!(d.default.is_empty() && d.parse("hunter2").is_err(), "{name}");
        } else {
            assert_eq!(d.default().is_some(), !d.default.is_empty(), "{name}: its default is no value");
            assert!(
                !d.example.is_empty() && (d.kind == Kind::Fingerprint || d.parse(d.example).is_ok()),
                "{name}: its example is no value"
            );
        }
    }
    assert!(check(&Settings::default(), &[]).is_empty(), "the defaults go together");
    assert_eq!(Key::all(&[]).len(), DEFINITIONS.len());
    assert!("proxmox.verify".parse::<Key>().is_err(), "certificates are always checked: there is no switch");
}

#[test]
fn keys_of_sites() {
    assert_eq!(key("proxmox@lab.hosts").heading(), "proxmox@lab");
    for no in ["proxmox@.hosts", "proxmox@Lab.hosts", "network@lab.subnet", "proxmox", "x.y", "", ".", "proxmox@lab", "proxmox@a@b.hosts"] {
        assert!(no.parse::<Key>().is_err(), "{no}");
    }
    let s = settings(&[("proxmox@lab.hosts", "10.0.0.1"), ("proxmox@edge.port", "443")]);
    assert_eq!(s.sites(), ["edge", "lab"]);
    let all = Key::all(&s.sites());
    assert_eq!(all.iter().map(Key::heading).collect::<Vec<_>>().into_iter().collect::<std::collections::BTreeSet<_>>().len(), 8);
    assert_eq!(all[6].to_string(), "proxmox@edge.hosts", "sites stand behind the first");
}

#[test]
fn values_as_they_are_typed() {
    let d = |name: &str| key(name).definition();
    let read = |name: &str, text: &str| d(name).parse(text).map(|v| v.to_string());
    for (name, text, shown) in [
        ("proxmox.hosts", "PVE1.example.org,  10.1.2.3 ,2001:DB8::1", "pve1.example.org, 10.1.2.3, 2001:db8::1"),
        ("proxmox.fingerprint", &"aB".repeat(32), &["AB"; 32].join(":")),
        ("network.subnet", "fd00:20::/64", "fd00:20::/64"),
        ("network.dhcp", "10.20.0.7 - 10.20.0.9", "10.20.0.7-10.20.0.9"),
        ("network.lease", "90m", "90 min"),
        ("network.lease", "7200", "2 h"),
        ("system.idle_lock", "never", "never"),
        ("system.idle_lock", "0", "never"),
        ("system.read_only", "True", "on"),
        ("backups.mode", "Stop", "stop"),
        ("backups.retention", "keep-last=3, keep-daily=7", "keep-last=3,keep-daily=7"),
        ("backups.window", "22:00-6:30", "22:00-06:30"),
        ("proxmox.user", "root@pam!proximity", "root@pam!proximity"),
    ] {
        assert_eq!(read(name, text).as_deref(), Ok(shown), "{name} {text}");
    }
    for (name, text) in [
        ("proxmox.hosts", "10.1.2.300"),
        ("proxmox.hosts", "https://pve1:8006"),
        ("proxmox.hosts", "a, a"),
        ("proxmox.hosts", " , "),
        ("proxmox.port", "0"),
        ("proxmox.port", "+1"),
        ("proxmox.port", "18446744073709551616"),
        ("proxmox.user", "root"),
        ("proxmox.user", "a b@pam"),
        ("proxmox.fingerprint", "AB"),
        ("proxmox.ca", "/etc/../x"),
        ("network.subnet", "10.20.0.1/24"),
        ("network.subnet", "10.20.0.0"),
        ("network.subnet", "10.20.0.0/33"),
        ("network.dhcp", "10.20.0.9-10.20.0.7"),
        ("network.dhcp", "10.20.0.9-fd00::1"),
        ("network.lan_bridge", "a-bridge-too-far-away"),
        ("network.lan_bridge", "--help"),
        ("network.domain", "-x.local"),
        ("ports.public", "30999-30000"),
        ("ports.public", "1-70000"),
        ("backups.retention", "keep-last=0"),
        ("backups.retention", "keep-all=1,keep-last=2"),
        ("backups.window", "24:00-05:00"),
        ("backups.window", "05:00-05:00"),
        ("system.idle_lock", "5 s"),
        ("system.refresh", "1 s"),
        ("resources.memory", ""),
        ("resources.template", "local:vztmpl/../../x"),
        ("proxmox.secret", "x"),
    ] {
        assert!(d(name).parse(text).is_err(), "{name} {text}");
    }
    assert_eq!(
        read("proxmox.port", "99999").unwrap_err(),
        "'99999' is no whole number from 1 to 65535; for example 8006",
        "one error with an example"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is typed: no panic, and what is accepted reads back as the same value, also in its written form.
    #[test]
    fn what_is_written_reads_back(text in "[ -~\u{e9}]{0,40}|[0-9a-fA-F:.]{1,20}[-/, ]{1,2}[0-9a-f:.]{0,20}|[0-9]{1,6} ?(s|m|min|h|d|)") {
        for d in &DEFINITIONS {
            if let Ok(value) = d.parse(&text) {
                let again = d.parse(&value.to_string());
                prop_assert_eq!(again.as_ref(), Ok(&value), "{}", d.name);
                prop_assert!(!value.to_string().contains(char::is_control));
            }
        }
    }

    #[test]
    fn addresses_and_networks_read_back(a in any::<u128>(), b in any::<u128>(), four in any::<bool>(), bits in 0u8..=128) {
        use std::net::IpAddr;
        let ip = |n: u128| if four { IpAddr::V4(((n >> 96) as u32).into()) } else { IpAddr::V6(n.into()) };
        let (first, last) = (ip(a).min(ip(b)), ip(a).max(ip(b)));
        let range = Value::Range(first, last);
        prop_assert_eq!(Kind::Range.parse(&range.to_string()), Ok(range));
        prop_assert_eq!(first == last, Kind::Range.parse(&format!("{last}-{first}")).is_ok());
        let net = ipnet::IpNet::new(ip(a), if four { bits % 33 } else { bits }).unwrap().trunc();
        prop_assert_eq!(Kind::Net.parse(&net.to_string()), Ok(Value::Net(net)));
    }

    /// The rules agree with a plain count over a small network.
    #[test]
    fn the_dhcp_rule_is_the_one_of_a_plain_count(gateway in 0u8..=255, a in 0u8..=255, b in 0u8..=255, fixed in 0u8..=255) {
        let (a, b) = (a.min(b), a.max(b));
        let s = settings(&[
            ("network.subnet", "10.9.8.0/25"),
            ("network.gateway", &format!("10.9.8.{gateway}")),
            ("network.dhcp", &format!("10.9.8.{a}-10.9.8.{b}")),
        ]);
        let fixed = Fixed { guest: "104 wiki".into(), address: [10, 9, 8, fixed].into(), bridge: "proximity-lan".into() };
        let at = |x: u8| (1..=126).contains(&x);
        let last = match fixed.address { std::net::IpAddr::V4(v) => v.octets()[3], std::net::IpAddr::V6(_) => 0 };
        let good = at(gateway) && at(a) && at(b) && !(a..=b).contains(&gateway) && !(a..=b).contains(&last) && last != gateway;
        prop_assert_eq!(check(&s, &[fixed]).is_empty(), good);
    }
}

#[test]
fn rules_say_what_is_wrong_and_between_which() {
    let why = |set: &[(&str, &str)], fixed: &[Fixed]| {
        let all = check(&settings(set), fixed);
        assert!(all.iter().all(|t| !t.keys.is_empty()));
        all.into_iter().map(|t| t.why).collect::<Vec<_>>().join("; ")
    };
    let moved = why(&[("network.subnet", "10.30.0.0/24")], &[]);
    assert!(moved.contains("the gateway 10.20.0.1 lies outside the network 10.30.0.0/24") && moved.contains("does not lie in"), "{moved}");
    let six = [("network.subnet", "fd00:20::/64"), ("network.gateway", "fd00:20::1"), ("network.dhcp", "fd00:20::100-fd00:20::250")];
    assert_eq!(why(&six, &[]), "");
    assert_ne!(why(&[("network.subnet", "fd00:20::/64")], &[]), "", "IPv4 addresses in an IPv6 network");
    assert!(why(&[("network.subnet", "10.20.0.0/30")], &[]).contains("no room"));
    assert!(why(&[("network.wan_bridge", "proximity-lan")], &[]).contains("kept apart"));
    assert!(why(&[("ports.public", "40000-40999")], &[]).contains("share some"));
    assert!(why(&[("ports.public", "1-65535")], &[]).contains("share some; 65535 public"));
    assert!(why(&[("ports.public", "30000-30099")], &[]).contains("100 public and 1000 internal"));
    let world = world(vec![on_lan(104, "10.20.0.104/24"), on_lan(9999, "10.20.0.1/24"), on_lan(105, "dhcp")]);
    let fixed = fixed_addresses(&world);
    assert_eq!(why(&[], &fixed), "guest 104 CT104 has the fixed address 10.20.0.104, which lies in the DHCP range 10.20.0.100-10.20.0.250");
    assert_eq!(why(&[("network.dhcp", "10.20.0.110-10.20.0.120")], &fixed), "");
}

#[test]
fn a_bad_row_is_an_error_and_never_its_default() {
    let mut s = Settings::default();
    let row = Row { held: Held::Bad("was changed outside Proximity".into()), version: 3, at: Stamp(1), by: "ada".into() };
    s.put(key("system.refresh"), row);
    assert_eq!(s.value(&key("system.refresh")).unwrap_err(), "setting system.refresh was changed outside Proximity");
    assert!(s.span("system.refresh").is_err());
    assert_eq!(s.span("system.idle_lock"), Ok(900));
    assert_eq!(s.bad().count(), 1);
}

#[test]
fn the_preview_tells_who_would_notice() {
    let now = Settings::default();
    let lines = |set: &[(&str, &str)], world: &World| {
        let changes: Vec<_> = set.iter().map(|(k, v)| (key(k), Change::Set(key(k).definition().parse(v).unwrap()))).collect();
        impact(&now, changes.iter().map(|(k, c)| (k, c)), world).into_iter().map(|i| i.what).collect::<Vec<_>>().join("\n")
    };
    let w = world(vec![on_lan(104, "10.20.0.104/24"), on_lan(105, "dhcp")]);
    let text = lines(&[("network.subnet", "10.30.0.0/24")], &w);
    assert!(text.contains("guest 104 CT104 keeps 10.20.0.104, outside 10.30.0.0/24"), "{text}");
    assert!(text.contains("1 guest(s) on proximity-lan have their address by DHCP") && text.contains("unknown"), "{text}");
    assert!(lines(&[("network.subnet", "10.30.0.0/24")], &World::default()).contains("unknown"));
    assert!(lines(&[("resources.memory", "4096")], &w).contains("new apps only; 2 container(s) stay"));
    assert!(
        lines(&[("backups.storage", "nowhere")], &World { storages: Part::new(vec![], Stamp(1), From::Files), ..World::default() })
            .contains("no storage nowhere")
    );
}

#[test]
fn moving_the_ranges_of_ports_tells_who_stays_behind() {
    let now = Settings::default();
    let held =
        |public: u16, what: What| PortHeld { pair: Pair { public, internal: public + 10_000 }, what, at: Stamp(1), by: "ada".into() };
    let kept = (30_100..30_112).map(|port| held(port, What::Reserved(format!("app-{port}").parse().unwrap())));
    let one = vec![held(30_001, What::Reserved("web".parse().unwrap())), held(30_002, What::Blocked("a printer".parse().unwrap()))];
    let world =
        |held: Vec<PortHeld>| World { ports: Part::new(PortMap { held, ..PortMap::default() }, Stamp(1), From::Files), ..World::default() };
    let lines = |public: &str, internal: &str, world: &World| {
        let set = [("ports.public", public), ("ports.internal", internal)];
        let changes: Vec<_> = set.iter().map(|(k, v)| (key(k), Change::Set(key(k).definition().parse(v).unwrap()))).collect();
        let all = impact(&now, changes.iter().map(|(k, c)| (k, c)), world);
        all.into_iter().filter(|i| !i.what.contains(": felt")).map(|i| format!("{:?} {}", i.weight, i.what)).collect::<Vec<_>>()
    };
    assert_eq!(
        lines("30002-30009", "40002-40009", &world(one.clone())),
        [
            "Caution ports 30001 / 40001 stay reserved for web, and are no pair of 30002-30009 / 40002-40009",
            "Caution port 40001 is then not kept for trusted sources by the appliance's rules",
            "Note 1 of 8 pairs are held then",
        ]
    );
    let other = lines("30000-30999", "40500-41499", &world(one.clone()));
    assert!(
        other.contains(&"Caution ports 30002 / 40002 stay blocked: a printer, and are no pair of 30000-30999 / 40500-41499".into()),
        "{other:?}"
    );
    assert_eq!(lines("30000-30999", "40000-40999", &world(one)), ["Note 2 of 1000 pairs are held then"]);
    assert!(
        lines("20000-20009", "21000-21009", &world(kept.collect())).contains(&"Caution so do 2 pairs more: proximity ports list".into())
    );
    assert_eq!(lines("20000-20009", "21000-21009", &World::default()), Vec::<String>::new(), "without a store there are none");
    let unknown = World { ports: Part::unknown("it is locked", Stamp(1)), ..World::default() };
    assert_eq!(lines("20000-20009", "21000-21009", &unknown), ["Unknown which ports stay behind is unknown: it is locked"]);
}

fn candidate(address: &str, pin: bool) -> Candidate {
    let trust = if pin { Trust::Pin(Fingerprint([0xab; 32])) } else { Trust::File("/etc/pve/pve-root-ca.pem".into()) };
    let secret = Arc::new(Secret::from_text("s3cret".into()));
    Candidate { address: address.parse().unwrap(), account: "proximity@pve!console".parse().unwrap(), secret, trust }
}

#[test]
fn a_credential_goes_in_and_out_as_it_was_tried() {
    let now = settings(&[("proxmox.hosts", "old.example.org, pve2"), ("proxmox.fingerprint", &"cd".repeat(32))]);
    for (address, site, pin) in [("pve2:8006", "", false), ("[fd00::7]:443", "", true), ("10.0.0.9:8006", "lab", true)] {
        let save = of_candidate(&candidate(address, pin), site, &now).unwrap();
        assert_eq!(save.len(), 6);
        let then = now.with(save.iter().map(|s| (&s.key, &s.change)));
        let back = to_candidate(&then, site, Arc::new(Secret::from_text("s3cret".into()))).unwrap();
        assert_eq!((back.address.to_string(), back.account.as_str()), (address.to_owned(), "proximity@pve!console"));
        assert_eq!(back.trust, candidate(address, pin).trust, "and the proof of before is gone");
    }
    let save = of_candidate(&candidate("pve2:8006", false), "", &now).unwrap();
    let then = now.with(save.iter().map(|s| (&s.key, &s.change)));
    assert_eq!(then.shown(&key("proxmox.hosts")), "pve2, old.example.org", "other hosts stay behind the one that was tried");
    assert_eq!(to_candidate(&Settings::default(), "", Arc::new(Secret::new(vec![]))).err().unwrap().0, "proxmox.hosts");
}

#[test]
fn no_secret_goes_where_nobody_tried() {
    let row = |held| Row { held, version: 1, at: Stamp(1), by: "ada".into() };
    let bare = settings(&[("proxmox.hosts", "pve1, pve2"), ("proxmox.user", "root@pam")]);
    let mut kept = bare.clone();
    kept.put(key("proxmox.secret"), row(Held::Secret));
    let set = |name: &str, text: &str| (key(name), Change::Set(key(name).definition().parse(text).unwrap()));
    let fresh = || Change::Secret(SecretChange::Set(Arc::new(Secret::from_text("x".into()))));
    let by = |now: &Settings, changes: &[(Key, Change)]| untried(now, changes.iter().map(|(k, c)| (k, c))).map(|k| k.to_string());
    for (name, text) in
        [("hosts", "evil.example.org, pve1"), ("port", "9006"), ("user", "a@pve"), ("ca", "/tmp/ca.pem"), ("fingerprint", &"ab".repeat(32))]
    {
        let name = format!("proxmox.{name}");
        assert_eq!(by(&kept, &[set(&name, text)]), Some(name.clone()));
        assert_eq!(by(&bare, &[set(&name, text)]), None, "without a secret there is nothing to send");
        let clear = (key("proxmox.secret"), Change::Secret(SecretChange::Clear));
        assert_eq!(by(&kept, &[set(&name, text), clear]), None, "the secret goes away with it");
        assert_eq!(by(&bare, &[set(&name, text), (key("proxmox.secret"), fresh())]), Some(name));
    }
    assert_eq!(by(&kept, &[set("proxmox.hosts", "pve1, pve3")]), None, "the first one is asked");
    assert_eq!(by(&kept, &[(key("proxmox.secret"), Change::Secret(SecretChange::Previous))]).as_deref(), Some("proxmox.secret"));
    assert_eq!(by(&kept, &[set("proxmox@lab.hosts", "pve9"), set("network.domain", "x.local")]), None, "another site has no secret");
}
