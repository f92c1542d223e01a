//! Every kind of drift, made from a state in which nothing is wrong, and found alone.

use serde_json::{Value, json};

use super::*;
use crate::domain::appliance::CADDY_LOG;
use crate::domain::appliance::files::{CADDYFILE, CURRENT, SITES, base};
use crate::domain::appliance::lease::{Lease, Oddity};
use crate::domain::appliance::names::{Label, Mac};
use crate::domain::appliance::tar::Member;
use crate::domain::guest::{Kind, Nic, Power};
use crate::domain::ports::{Bad, Held, Listener, Past, Visits};
use crate::domain::publish::wanted;
use crate::domain::service::{Spec, Tls, Upstream};
use crate::domain::settings::Settings;

const NOW: Stamp = Stamp(1_000_000);

/// What is wished for a test: things that are changed by hand before they are judged.
struct Scene {
    now: Stamp,
    found: Found,
    members: Vec<Member>,
    running: Value,
    /// As the running one, where nothing else is said.
    adapted: Option<Result<Value, String>>,
}

fn id(n: u32) -> Vmid {
    Vmid::try_from(n).unwrap()
}

fn member(path: &str, bytes: impl Into<Vec<u8>>) -> Member {
    let owner = ("root".to_owned(), "root".to_owned());
    Member { path: path.into(), bytes: Some(bytes.into()), link: None, mode: 0o644, owner }
}

fn link(path: &str, to: &str) -> Member {
    Member { bytes: None, link: Some(to.into()), ..member(path, "") }
}

fn mac(n: u8) -> String {
    format!("BC:24:11:00:00:{n:02X}")
}

fn guest(n: u32, name: &str, ip: &str) -> Guest {
    let nic = Nic { key: "net0".into(), ip: Some(ip.into()), hwaddr: Some(mac((n % 100) as u8)), ..Nic::default() };
    Guest { name: Some(name.into()), power: Power::Running, conf_read: true, nics: vec![nic], ..Guest::bare(id(n), Kind::Lxc) }
}

fn lease(n: u8, address: &str, name: &str) -> lease::Row {
    let lease =
        Lease { expires: None, mac: Mac::new(&mac(n)).unwrap(), address: address.parse().unwrap(), name: Some(name.into()), client: None };
    lease::Row { lease, guest: None, fixed: false, odd: Vec::new() }
}

/// A site as Caddy makes it of a file of ours.
fn server(port: u16, dial: &str) -> Value {
    let proxy = json!({"handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": dial}]}]});
    let refuse = json!({"handle": [{"handler": "static_response", "status_code": 403}],
        "match": [{"not": [{"remote_ip": {"ranges": ["127.0.0.1", "::1", "10.20.0.0/24"]}}]}]});
    let routes = if port >= 40_000 { json!([refuse, proxy]) } else { json!([proxy]) };
    json!({"listen": [format!(":{port}")], "routes": routes, "logs": {"default_logger_name": format!("log{port}")}})
}

fn held(n: u16, what: What) -> Held {
    Held { pair: Pair { public: 30_000 + n, internal: 40_000 + n }, what, at: Stamp(5), by: "ada".into() }
}

fn reserved(name: &str) -> What {
    What::Reserved(name.parse().unwrap())
}

impl Scene {
    /// `web` is published by its name, `wiki` by the address that it was lent; both are as promised.
    fn new() -> Scene {
        let mut scene = Scene::of(&[("web", "web:80"), ("wiki", "10.20.0.102:8080")]);
        scene.found.guests = Ok(vec![guest(9999, "prox-appliance", "10.20.0.1/24"), guest(101, "web", "dhcp"), guest(102, "wiki", "dhcp")]);
        scene.found.leases = Ok(vec![lease(1, "10.20.0.101", "web"), lease(2, "10.20.0.102", "wiki")]);
        scene
    }

    fn of(services: &[(&str, &str)]) -> Scene {
        let settings = Settings::default();
        let ranges = Ranges::of(&settings).unwrap();
        let (domain, trusted) = crate::domain::caddy::around(&settings).unwrap();
        let lan = Some(("10.20.0.0/24".parse().unwrap(), "10.20.0.1".parse().unwrap()));
        let thresholds = Thresholds::of(&settings).unwrap();
        let around = Around { ranges, domain: domain.clone(), trusted, lan, thresholds };
        let (mut map, mut servers) = (PortMap { checked: true, ..PortMap::default() }, serde_json::Map::new());
        let (mut outside, mut inside, mut strange) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut sockets = Sockets::default();
        sockets.add([2019], Listener::Appliance);
        for (n, (name, to)) in services.iter().enumerate() {
            let one = held(n as u16, reserved(name));
            let Pair { public, internal } = one.pair;
            let to: Upstream = to.parse().unwrap();
            let dial = to.clone().within(&domain).to_string().replace("http://", "");
            for port in [public, internal] {
                servers.insert(format!("srv{}", servers.len()), server(port, &dial));
            }
            sockets.add([public, internal], Listener::Appliance);
            sockets.add([public, internal], Listener::Caddy);
            let well = Answer::Status { code: 200, ms: 3, size: None };
            outside.insert(public, well.clone());
            inside.insert(internal, well);
            strange.insert(internal, Answer::Silent("refused".into()));
            map.services.push(Published { name: name.parse().unwrap(), spec: Spec::to(to), at: Stamp(7), by: "ada".into() });
            map.held.push(one);
        }
        let visited = |requests| Traffic { requests, ..Traffic::default() };
        let traffic = map.held.iter().flat_map(|h| [(h.pair.public, visited(7)), (h.pair.internal, visited(0))]).collect();
        let sites = wanted(&map, &settings).unwrap();
        let mut members =
            vec![member(CADDYFILE, base()), link(CURRENT, "v3"), Member { bytes: None, ..member(&format!("{CURRENT}/./"), "") }];
        members.extend(sites.iter().map(|(name, text)| member(&format!("{CURRENT}/{name}"), text.as_str())));
        let found = Found {
            map: Ok(map.clone()),
            sites: Ok(sites),
            around: Ok(around),
            appliance: Appliance::Runs(id(9999)),
            files: Err("later".into()),
            adapted: Err("later".into()),
            running: Err("later".into()),
            sockets,
            leases: Ok(vec![]),
            guests: Ok(vec![]),
            answered: Answered {
                outside: Ok(outside),
                inside: Ok(inside),
                strange: Ok(strange),
                asker_trusted: false,
                ..Answered::not(String::new())
            },
            traffic: Ok(traffic),
            pool: Ok(Pool { used: 2, size: 151 }),
        };
        let log = |port: u16| {
            let (writer, encoder) =
                (json!({"output": "file", "filename": CADDY_LOG}), json!({"format": "json", "name_key": format!("port-{port}")}));
            (format!("log{port}"), json!({"writer": writer, "encoder": encoder, "include": [format!("http.log.access.log{port}")]}))
        };
        let logs: serde_json::Map<String, Value> = map.held.iter().flat_map(|h| [log(h.pair.public), log(h.pair.internal)]).collect();
        let running = json!({"admin": {"listen": "127.0.0.1:2019"}, "logging": {"logs": logs}, "apps": {"http": {"servers": servers}}});
        Scene { now: NOW, found, members, running, adapted: None }
    }

    fn map(&mut self) -> &mut PortMap {
        self.found.map.as_mut().unwrap()
    }

    fn site(&mut self, name: &str) -> &mut Member {
        let path = format!("{CURRENT}/{name}.caddy");
        self.members.iter_mut().find(|m| m.path == path).unwrap()
    }

    fn text(&mut self, name: &str, change: impl Fn(String) -> String) {
        let member = self.site(name);
        member.bytes = Some(change(String::from_utf8(member.bytes.clone().unwrap()).unwrap()).into_bytes());
    }

    fn servers(&mut self) -> &mut serde_json::Map<String, Value> {
        self.running["apps"]["http"]["servers"].as_object_mut().unwrap()
    }

    /// From here on what runs is changed, and not the files.
    fn only_running(&mut self) -> &mut Self {
        self.adapted.get_or_insert(Ok(self.running.clone()));
        self
    }

    fn guests(&mut self) -> &mut Vec<Guest> {
        self.found.guests.as_mut().unwrap()
    }

    fn judged(mut self) -> Truth {
        let adapted = self.adapted.take().unwrap_or_else(|| Ok(self.running.clone()));
        let served = |value: &Value| Served::parse(value.to_string().as_bytes()).unwrap();
        let none = self.found.files != Err("later".into());
        if !none {
            self.found.files = Ok(Files::of(self.members.clone()));
        }
        if self.found.adapted == Err("later".into()) {
            self.found.adapted = Ok(adapted.map(|value| served(&value)));
        }
        if self.found.running == Err("later".into()) {
            self.found.running = Ok(served(&self.running));
        }
        judge(&self.found, self.now)
    }
}

/// All kinds that a look found, each once.
fn kinds(truth: &Truth) -> BTreeSet<&'static str> {
    truth.rows.iter().flat_map(|r| &r.drift).chain(&truth.drift).map(|d| d.kind).collect()
}

/// A certificate for these names that is valid for days from and to now, counted from it.
fn certificate(names: &[&str], from: i64, to: i64) -> Vec<u8> {
    let mut params = rcgen::CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
    let at = |days: i64| rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs((NOW.secs() + (1000 + days) * 86_400) as u64);
    (params.not_before, params.not_after) = (at(from), at(to));
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

/// `web` is published by a given certificate, and this is what it shows.
fn shows(scene: &mut Scene, names: &[&str], from: i64, to: i64) {
    scene.now = Stamp(NOW.0 + 1000 * 86_400_000);
    scene.map().services[0].spec.tls = Tls::Given { certificate: Label::new("home").unwrap() };
    scene.found.answered.shown.insert(30_000, vec![certificate(names, from, to)]);
}

const NO_MEND: fn(&Mend) -> bool = |m| matches!(m, Mend::Hand(_));
const APPLY: fn(&Mend) -> bool = |m| *m == Mend::Apply;
const CONVERGE: fn(&Mend) -> bool = |m| *m == Mend::Appliance;
const START: fn(&Mend) -> bool = |m| matches!(m, Mend::Start(_));

type Case = (&'static str, fn(&Mend) -> bool, fn(&mut Scene));

#[rustfmt::skip]
const CASES: [Case; 58] = [
    ("row-damaged", NO_MEND, |s| s.map().bad.push(Bad { pair: None, why: "a row of ports is damaged".into() })),
    ("service-damaged", NO_MEND, |s| s.map().bad_services.push((None, "a name that is none".into()))),
    ("outside-ranges", NO_MEND, |s| s.found.around.as_mut().unwrap().ranges = Ranges::new((30_001, 30_999), (40_001, 40_999)).unwrap()),
    ("appliance-missing", NO_MEND, |s| s.found.appliance = Appliance::Missing),
    ("appliance-stopped", START, |s| s.found.appliance = Appliance::Stopped(id(9999))),
    ("base-missing", CONVERGE, |s| {
        s.members.retain(|m| m.path != CADDYFILE);
        s.adapted = Some(Err("Error: reading config file: open /etc/caddy/Caddyfile: no such file or directory".into()));
    }),
    ("base-old-format", CONVERGE, |s| s.members[0].bytes = Some(base().replacen("format 2", "format 1", 1).into_bytes())),
    ("base-edited", CONVERGE, |s| s.members[0].bytes = Some(format!("{}# x\n", base()).into_bytes())),
    ("base-without-import", CONVERGE, |s| s.members[0].bytes = Some(base().replace("import proximity/", "#").into_bytes())),
    ("current-missing", APPLY, |s| s.members.retain(|m| !m.path.ends_with("/current") && !m.path.ends_with("/./"))),
    ("current-not-a-link", APPLY, |s| {
        s.members[1] = Member { bytes: None, ..member(&format!("{CURRENT}/"), "") };
        s.members.push(Member { bytes: None, ..member(&format!("{CURRENT}/./web.caddy"), "") });
    }),
    ("current-elsewhere", APPLY, |s| {
        // What is not in force is in no file of Caddy's, and still served.
        s.adapted = Some(Ok(json!({"admin": {"listen": "127.0.0.1:2019"}})));
        s.members[1] = link(CURRENT, "/tmp/sites");
        s.members.retain(|m| !m.path.starts_with(&format!("{CURRENT}/")));
    }),
    ("current-dangling", APPLY, |s| s.members.retain(|m| m.path != format!("{CURRENT}/./"))),
    ("foreign-file", NO_MEND, |s| s.members.push(member(&format!("{CURRENT}/mine.caddy"), ":7000 {\n}\n"))),
    ("idle-file", NO_MEND, |s| s.members.push(member(&format!("{CURRENT}/web.caddy.bak"), "x"))),
    ("site-missing", APPLY, |s| s.members.retain(|m| !m.path.ends_with("/web.caddy"))),
    ("site-edited", APPLY, |s| {
        let mut written = s.running.clone();
        written["apps"]["http"]["servers"]["srv0"] = server(30_000, "evil.prox.local:80");
        s.adapted = Some(Ok(written));
        s.text("web", |t| t.replace("web.prox.local", "evil.prox.local"));
    }),
    ("site-old-format", APPLY, |s| s.text("web", |t| t.replacen("format 2", "format 1", 1))),
    ("site-replaced", APPLY, |s| s.text("web", |_| ":30000 {\n}\n".into())),
    ("site-not-a-file", APPLY, |s| s.site("web").bytes = None),
    ("site-unreadable", NO_MEND, |s| s.site("web").mode = 0o600),
    ("site-of-nobody", APPLY, |s| s.members.push(member(&format!("{CURRENT}/old.caddy"), "# Made by Proximity, format 2, for old\n"))),
    ("site-unpublished", APPLY, |s| {
        s.map().held.push(held(7, reserved("old")));
        s.members.push(member(&format!("{CURRENT}/old.caddy"), "# Made by Proximity, format 2, for old\n"));
    }),
    ("site-cooling", APPLY, |s| {
        let was = held(7, reserved("old"));
        s.map().cooling.push(Past { was, until: Stamp(9), by: "ada".into(), free: Stamp(NOW.0 + 1) });
        s.members.push(member(&format!("{CURRENT}/old.caddy"), "# Made by Proximity, format 2, for old\n"));
    }),
    ("foreign-site-on-our-pair", NO_MEND, |s| s.members.push(member(&format!("{SITES}/mine.caddy"), "http://:40001 {\n}\n"))),
    ("files-refused", APPLY, |s| s.adapted = Some(Err("Error: /etc/caddy/proximity/v3/web.caddy:2: unrecognized directive: x".into()))),
    ("foreign-refused", NO_MEND, |s| s.adapted = Some(Err("Error: /etc/caddy/apps/mine.caddy:2: unrecognized directive: x".into()))),
    ("base-refused", CONVERGE, |s| s.adapted = Some(Err("Error: /etc/caddy/Caddyfile:2: unrecognized directive: x".into()))),
    ("caddy-not-running", CONVERGE, |s| {
        s.found.running = Err("refused".into());
        s.found.sockets = Sockets::default();
    }),
    ("caddy-admin-silent", NO_MEND, |s| s.found.running = Err("refused".into())),
    ("caddy-by-other-config", APPLY, |s| s.only_running().running["admin"] = json!({"listen": "0.0.0.0:2019"})),
    ("foreign-not-loaded", APPLY, |s| {
        let mut written = s.running.clone();
        written["apps"]["http"]["servers"]["mine"] = server(7000, "x:1");
        s.adapted = Some(Ok(written));
        s.members.push(member(&format!("{SITES}/mine.caddy"), ":7000 {\n}\n"));
    }),
    ("route-missing", APPLY, |s| {
        s.only_running().servers().remove("srv1");
        s.found.sockets.at.remove(&40_000);
    }),
    ("route-extra", APPLY, |s| drop(s.only_running().servers().insert("more".into(), server(30_500, "x:1")))),
    ("route-differs", APPLY, |s| s.only_running().servers()["srv0"]["routes"][0]["terminal"] = json!(true)),
    ("upstream-differs", APPLY, |s| s.only_running().servers()["srv1"] = server(40_000, "evil.prox.local:80")),
    ("internal-unguarded", APPLY, |s| drop(s.only_running().servers()["srv1"]["routes"].as_array_mut().unwrap().remove(0))),
    ("trusted-differs", APPLY, |s| s.only_running().servers()["srv1"]["routes"][0]["match"][0]["not"][0]["remote_ip"]["ranges"] = json!(["0.0.0.0/0"])),
    ("port-not-listening", NO_MEND, |s| drop(s.found.sockets.at.remove(&30_000))),
    ("port-of-another", NO_MEND, |s| {
        s.found.running = Err("refused".into());
        s.found.sockets.at.remove(&2019);
    }),
    ("outgoing-has-the-port", NO_MEND, |s| drop(s.found.sockets.at.insert(40_000, [Listener::Outgoing].into()))),
    ("host-has-the-port", NO_MEND, |s| s.found.sockets.add([30_000], Listener::Host)),
    ("upstream-loops", NO_MEND, |s| *s = Scene::of(&[("web", "10.20.0.1:30000")])),
    ("upstream-guest-gone", NO_MEND, |s| {
        s.guests().retain(|g| g.id != id(101));
        s.found.leases.as_mut().unwrap().remove(0);
    }),
    ("upstream-guest-gone", NO_MEND, |s| {
        s.guests().retain(|g| g.id != id(102));
        s.found.leases.as_mut().unwrap()[1].odd.push(Oddity::Stale);
    }),
    ("upstream-guest-stopped", START, |s| s.guests()[1].power = Power::Stopped),
    ("upstream-name-twice", NO_MEND, |s| s.guests().push(guest(103, "WEB", "10.20.0.9/24"))),
    ("upstream-without-address", NO_MEND, |s| drop(s.found.leases.as_mut().unwrap().remove(0))),
    ("upstream-moved", NO_MEND, |s| {
        s.guests().push(guest(103, "other", "dhcp"));
        s.found.leases = Ok(vec![lease(1, "10.20.0.101", "web"), lease(3, "10.20.0.102", "other"), lease(2, "10.20.0.117", "wiki")]);
    }),
    ("upstream-address-not-lent", NO_MEND, |s| drop(s.found.leases.as_mut().unwrap().remove(1))),
    ("internal-open", CONVERGE, |s| drop(s.found.answered.strange.as_mut().unwrap().insert(40_000, Answer::Status { code: 200, ms: 1, size: None }))),
    ("tls-expired", NO_MEND, |s| shows(s, &["a.home"], -400, -1)),
    ("tls-expired", NO_MEND, |s| shows(s, &["a.home"], 1, 400)),
    ("tls-name", NO_MEND, |s| shows(s, &[], -1, 400)),
    ("tls-expires", NO_MEND, |s| shows(s, &["a.home"], -400, 20)),
    ("tls-silent", NO_MEND, |s| drop(s.found.answered.inside.as_mut().unwrap().insert(40_000, Answer::NoTls("it refuses: InternalError".into())))),
    ("answers-nothing", CONVERGE, |s| drop(s.found.answered.outside.as_mut().unwrap().insert(30_000, Answer::Silent("refused".into())))),
    ("answers-502", NO_MEND, |s| drop(s.found.answered.inside.as_mut().unwrap().insert(40_000, Answer::Status { code: 502, ms: 1, size: None }))),
];

#[test]
fn what_is_as_promised_has_no_drift_and_no_gap() {
    let truth = Scene::new().judged();
    assert_eq!((kinds(&truth), truth.gaps.len(), truth.version), (BTreeSet::new(), 0, Some(3)));
    let told: Vec<_> =
        truth.rows.iter().map(|r| (r.public.unwrap(), r.state, r.target.as_str(), r.outside.is_well(), r.inside.is_well())).collect();
    assert_eq!(
        told,
        [(30_000, "published", "http://web.prox.local:80", true, true), (30_001, "published", "http://10.20.0.102:8080", true, true)]
    );
}

/// Each kind alone: nothing that follows from it is told as something of its own.
#[test]
fn every_kind_is_found_alone_with_what_mends_it() {
    for (kind, mend, make) in CASES {
        let mut scene = Scene::new();
        make(&mut scene);
        let truth = scene.judged();
        let mut found = kinds(&truth);
        // Where Caddy certainly does not run, whoever has its port is told beside that.
        if kind == "port-of-another" {
            assert!(found.remove("caddy-not-running"));
        }
        assert_eq!(found, BTreeSet::from([kind]), "{:#?}", truth.rows);
        let all: Vec<&Drift> = truth.rows.iter().flat_map(|r| &r.drift).chain(&truth.drift).filter(|d| d.kind == kind).collect();
        assert!(all.iter().all(|d| mend(&d.mend) && !d.says.is_empty()), "{all:?}");
    }
    let missing: Vec<_> = KINDS.iter().map(|(k, _)| *k).filter(|k| !CASES.iter().any(|(kind, ..)| kind == k)).collect();
    assert_eq!(missing, [""; 0], "kinds that no case makes");
}

#[test]
fn what_explains_a_silent_port_is_told_before_the_rest() {
    let told = |code| {
        let mut scene = Scene::new();
        scene.guests()[1].power = Power::Stopped;
        scene.members.iter_mut().filter(|m| m.path.ends_with("/web.caddy")).for_each(|m| m.bytes.as_mut().unwrap().extend(b"# x\n"));
        scene.found.answered.outside.as_mut().unwrap().insert(30_000, Answer::Status { code, ms: 1, size: None });
        scene.judged().rows[0].drift.iter().map(|d| d.kind).collect::<Vec<_>>()
    };
    assert_eq!(told(200), ["site-edited", "upstream-guest-stopped"]);
    assert_eq!(told(502), ["upstream-guest-stopped", "site-edited"]);
}

#[test]
fn the_manual_names_every_kind() {
    let page = include_str!("../../../../assets/help/drift.md");
    let words: Vec<&str> = page.split_whitespace().collect();
    for (kind, means) in KINDS {
        assert!(page.contains(&format!("    {kind} ")), "{kind}");
        let all: Vec<&str> = means.split_whitespace().collect();
        assert!(words.windows(all.len()).any(|w| w == all), "{means}");
    }
}

#[test]
fn what_was_not_asked_is_a_gap_and_never_well() {
    let mut scene = Scene::new();
    let no = || "no answer".to_owned();
    scene.found.files = Err(no());
    scene.found.adapted = Err(no());
    scene.found.running = Err(no());
    scene.found.leases = Err(no());
    scene.found.guests = Err(no());
    scene.found.sockets = Sockets::default();
    scene.found.sockets.gap(Sockets::INSIDE, no());
    scene.found.answered = Answered::not(no());
    let truth = scene.judged();
    assert_eq!(kinds(&truth), BTreeSet::new(), "what is not known is no drift");
    assert_eq!(truth.gaps.len(), 9, "{:?}", truth.gaps);
    assert!(truth.rows.iter().all(|r| !r.outside.is_well() && !r.inside.is_well()));
    let mut scene = Scene::new();
    scene.found.map = Err(no());
    let truth = scene.judged();
    assert_eq!((truth.rows.iter().filter(|r| r.state != "foreign").count(), truth.gaps[0].what.as_str()), (0, "what is published"));
    let mut scene = Scene::new();
    scene.found.appliance = Appliance::Unknown(no());
    assert_eq!(scene.judged().gaps[0].what, "the appliance");
}

/// Zero is said only where Caddy writes down who comes, under this very port, and that was read.
#[test]
fn who_came_is_known_only_where_it_is_written_down() {
    let told = |change: &dyn Fn(&mut Scene)| {
        let mut scene = Scene::new();
        change(&mut scene);
        let words = |v: &Visits| {
            if let Visits::Unknown(why) = v { why.clone() } else { v.counted().map_or("-".into(), |t| t.requests.to_string()) }
        };
        scene.judged().rows[0].lately.iter().map(|l| words(&l.visits)).collect::<Vec<_>>()
    };
    assert_eq!(told(&|_| ()), ["7", "0"]);
    let not = "Caddy does not write down under this port who comes";
    assert_eq!(told(&|s| s.running["logging"] = json!({})), [not, not]);
    assert_eq!(told(&|s| s.running["logging"]["logs"]["log30000"]["encoder"]["name_key"] = json!("port-30001")), [not, "0"]);
    assert_eq!(told(&|s| s.running["logging"]["logs"]["log40000"]["writer"]["filename"] = json!("/tmp/x")), ["7", not]);
    assert_eq!(told(&|s| s.running["logging"]["logs"]["log40000"]["level"] = json!("ERROR")), ["7", not]);
    let only = json!({"logger_names": {"web": "log30000"}});
    assert_eq!(
        told(&|s| s.running["apps"]["http"]["servers"]["srv0"]["logs"] = only.clone()),
        [not, "0"],
        "who has another name is not there"
    );
    assert_eq!(told(&|s| s.found.traffic = Err("no \u{1b}[2Jfile".into())), ["no ␛[2Jfile", "no ␛[2Jfile"]);
    assert!(told(&|s| s.found.running = Err("silent".into()))[0].contains("is unknown: silent"));
    assert!(told(&|s| s.found.appliance = Appliance::Stopped(id(9999)))[0].contains("does not run"));
    assert_eq!(told(&|s| s.map().services[0].spec.carry = Carry::Tcp), ["-", "-"]);
}

#[test]
fn what_others_have_is_shown_and_left_alone() {
    let mut scene = Scene::new();
    scene.members.push(member(&format!("{SITES}/mine.caddy"), ":30005 {\n}\nhttp://x.example:7000 {\n}\n"));
    scene.running["apps"]["http"]["servers"]["mine"] = server(30_005, "x:1");
    scene.running["apps"]["http"]["servers"]["mine7"] = server(7000, "x:1");
    scene.found.sockets.add([30_005, 7000], Listener::Caddy);
    scene.found.sockets.add([30_009], Listener::Host);
    scene.map().held.push(held(20, What::Blocked("a printer".parse().unwrap())));
    scene.map().held.push(held(21, What::Kept("later".parse().unwrap())));
    let truth = scene.judged();
    assert_eq!(kinds(&truth), BTreeSet::new());
    let told: Vec<_> = truth.rows.iter().map(|r| (r.public.unwrap(), r.internal, r.state, r.note.as_str())).collect();
    assert_eq!(
        told,
        [
            (7000, None, "foreign", "/etc/caddy/apps/mine.caddy"),
            (30_000, Some(40_000), "published", ""),
            (30_001, Some(40_001), "published", ""),
            (30_005, Some(40_005), "foreign", "/etc/caddy/apps/mine.caddy"),
            (30_009, Some(40_009), "foreign", "a program of the host"),
            (30_020, Some(40_020), "blocked", "a printer"),
            (30_021, Some(40_021), "kept", ""),
        ]
    );
    let usage = truth.usage.unwrap();
    assert_eq!((usage.held, usage.blocked, usage.foreign, truth.nearer), (3, 1, 2, Some(Nearer::Addresses(149))));
}

/// Hostile files and answers: nothing of them reaches the screen as it is, and nothing panics.
#[test]
fn what_is_told_is_clean() {
    let mut scene = Scene::new();
    scene.text("web", |t| format!("{t}\u{1b}[2J\u{202e}evil\n"));
    scene.members.push(member(&format!("{CURRENT}/\u{1b}]0;x.caddy"), "x"));
    scene.members.push(member(&format!("{SITES}/\u{1b}c.caddy"), ":30001 {\n}\n"));
    scene.members[1] = link(CURRENT, "\u{1b}[31mv9");
    scene.adapted = Some(Err("\u{7}bell".into()));
    let truth = scene.judged();
    let all = truth.rows.iter().flat_map(|r| &r.drift).chain(&truth.drift);
    let mut texts: Vec<String> = all.map(|d| format!("{} {:?}", d.says, d.mend)).collect();
    texts.extend(truth.rows.iter().map(|r| r.note.clone()));
    assert!(texts.len() > 4 && texts.iter().all(|t| !t.contains(char::is_control) && !t.contains('\u{202e}')), "{texts:?}");
}
