//! What ports cost: a reservation beside a thousand others, and the files of a thousand sites.

use std::path::Path;
use std::time::Instant;

use proximity::domain::access::Who;
use proximity::domain::appliance::files::{CADDYFILE, CURRENT, NAME_KEY, base};
use proximity::domain::appliance::tar::{self, Member};
use proximity::domain::caddy::{around, site};
use proximity::domain::certificate::Thresholds;
use proximity::domain::ports::drift::{Answered, Appliance, Around, Files, Found, Served, judge};
use proximity::domain::ports::traffic::{Log, MOST, count};
use proximity::domain::ports::{Answer, Held, Listener, Of, Pair, PortMap, PortWish, Ranges, Sockets, What};
use proximity::domain::publish::wanted;
use proximity::domain::service::{Published, Service, Spec};
use proximity::domain::settings::Settings;
use proximity::domain::stamp::Stamp;
use proximity::ops::ports::keep;

use serde_json::{Value, json};

use super::figures::{Table, Times, check, ms};
use super::scratch;

const ALL: u16 = 1000;

/// S22: the whole range reserved, one after the other; the last one given back and reserved anew; and all files.
pub fn ports(table: &mut Table, home: &Path) {
    let (store, vault, audit) = scratch::store(&home.join("ports"));
    let (who, sockets) = (Who::owner("marta"), Sockets::default());
    let wish = |wish: PortWish| keep(&audit, &store, &vault, &who, Stamp(1), &wish, &sockets).unwrap().pair;
    let reserve = |n: u16| wish(PortWish::Reserve(format!("app-{n}").parse().unwrap()));
    let begun = Instant::now();
    let pairs: Vec<Pair> = (0..ALL).map(reserve).collect();
    table.row("S22", "ports: 1,000 reserved one after the other", ms(begun.elapsed().as_secs_f64() * 1e3), "", vec![]);
    let mut last = Times::default();
    for _ in 0..50 {
        wish(PortWish::Release(Of::Port(pairs[999].public), false));
        let begun = Instant::now();
        reserve(ALL - 1);
        last.add(begun.elapsed());
    }
    table.row("S22", "ports: one more where 999 are held, p50", ms(last.p50()), "", vec![]);

    let one = |(n, pair): (usize, &Pair)| {
        let to = format!("app-{n}.prox.local:8080").parse().unwrap();
        Service { name: format!("app-{n}").parse().unwrap(), pair: *pair, spec: Spec::to(to) }
    };
    let services: Vec<Service> = pairs.iter().enumerate().map(one).collect();
    let trusted = ["192.168.1.0/24".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let mut times = Times::default();
    for _ in 0..20 {
        let begun = Instant::now();
        let bytes: usize = services.iter().map(|s| site(s, &trusted).len()).sum();
        times.add(begun.elapsed());
        assert!(bytes > 100_000);
    }
    table.row("S22", "ports: files of 1,000 sites, p50", ms(times.p50()), "", vec![check("<= 50 ms", times.p50() <= 50.0)]);
    drift(table, &services);
    visitors(table, &services);
}

/// S22: the end of a busy access log is counted for a thousand sites.
fn visitors(table: &mut Table, services: &[Service]) {
    let now = Stamp::from_secs(1_795_336_500);
    let line = |n: usize| {
        let (s, at) = (&services[n % services.len()], (now.0 - 3_000_000 + n as i64 * 400) as f64 / 1000.0);
        let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        let headers = json!({"User-Agent": [agent], "Accept": ["*/*"], "Accept-Language": ["de,en;q=0.5"], "Cookie": []});
        let request = json!({"remote_ip": "192.168.1.20", "remote_port": "40000", "proto": "HTTP/1.1", "method": "GET",
            "host": format!("cloud.example.org:{}", s.pair.public), "uri": format!("/apps/files/{n}"), "headers": headers});
        let key = format!("{NAME_KEY}{}", s.pair.public);
        json!({"level": "info", "ts": at, key: "http.log.access.log0", "msg": "handled request", "request": request, "user_id": "",
            "duration": 0.012 + n as f64 / 1e6, "size": 4096, "status": if n.is_multiple_of(50) { 502 } else { 200 },
            "resp_headers": {"Server": ["Caddy"], "Content-Type": ["text/html; charset=utf-8"], "Date": ["Sun, 22 Nov 2026 08:00:00 GMT"]}})
        .to_string()
            + "\n"
    };
    let text: String = (0..6000).map(line).collect();
    assert!(text.len() >= MOST);
    let log = Log { bytes: text.as_bytes()[text.len() - MOST..].to_vec(), whole: false };
    let ports = services.iter().flat_map(|s| [s.pair.public, s.pair.internal]).map(|port| (port, Stamp(0))).collect();
    let mut times = Times::default();
    for _ in 0..50 {
        let begun = Instant::now();
        let counted = count(&log, &ports, &[], now).unwrap();
        times.add(begun.elapsed());
        assert!(counted.values().map(|t| t.requests).sum::<u32>() > 2000);
    }
    table.row("S22", "ports: 2 MiB of the access log counted, p50", ms(times.p50()), "", vec![check("<= 20 ms", times.p50() <= 20.0)]);
}

/// S22: all that a look brings is read and judged: two configurations of Caddy as JSON, the archive of its files, the answers.
fn drift(table: &mut Table, services: &[Service]) {
    let settings = Settings::default();
    let held = |s: &Service| Held { pair: s.pair, what: What::Reserved(s.name.clone()), at: Stamp(1), by: "marta".into() };
    let published = |s: &Service| Published { name: s.name.clone(), spec: s.spec.clone(), at: Stamp(1), by: "marta".into() };
    let map = PortMap {
        held: services.iter().map(held).collect(),
        services: services.iter().map(published).collect(),
        checked: true,
        ..PortMap::default()
    };
    let sites = wanted(&map, &settings).unwrap();
    let file = |(name, text): &(String, String)| (format!("{CURRENT}/{name}"), text.clone());
    let files: Vec<(String, String)> = sites.iter().map(file).chain([(CADDYFILE.to_owned(), base())]).collect();
    let archive = tar::of_files(files.iter().map(|(path, text)| (path.as_str(), text.as_bytes(), 0o644))).unwrap();
    let refuse = json!({"match": [{"not": [{"remote_ip": {"ranges": ["127.0.0.1", "::1", "10.20.0.0/24"]}}]}],
        "handle": [{"handler": "static_response", "status_code": 403}]});
    let server = |s: &Service, port: u16| {
        let dial = s.spec.to.to_string().replace("http://", "");
        let headers: Vec<String> = (0..5).map(|n| format!("X-Header-{n}")).collect();
        let proxy =
            json!({"handle": [{"handler": "reverse_proxy", "headers": {"response": {"delete": headers}}, "upstreams": [{"dial": dial}]}]});
        let routes = if port == s.pair.internal { json!([refuse, proxy]) } else { json!([proxy]) };
        (format!("srv{port}"), json!({"listen": [format!(":{port}")], "routes": routes}))
    };
    let servers: serde_json::Map<String, Value> =
        services.iter().flat_map(|s| [server(s, s.pair.public), server(s, s.pair.internal)]).collect();
    let config = json!({"apps": {"http": {"servers": servers}}}).to_string();
    let mut sockets = Sockets::default();
    let ports = || services.iter().flat_map(|s| [s.pair.public, s.pair.internal]);
    sockets.add(ports().chain([2019]), Listener::Appliance);
    let well =
        |port: fn(&Service) -> u16| Ok(services.iter().map(|s| (port(s), Answer::Status { code: 200, ms: 2, size: None })).collect());
    let (domain, trusted) = around(&settings).unwrap();
    let mut times = Times::default();
    for _ in 0..10 {
        let begun = Instant::now();
        let mut members = tar::members(&archive).unwrap();
        members.push(Member { path: CURRENT.into(), bytes: None, link: Some("v1".into()), ..members[0].clone() });
        members.push(Member { path: format!("{CURRENT}/./"), bytes: None, ..members[0].clone() });
        let found = Found {
            map: Ok(map.clone()),
            sites: wanted(&map, &settings),
            around: Ok(Around {
                ranges: Ranges::of(&settings).unwrap(),
                domain: domain.clone(),
                trusted: trusted.clone(),
                lan: None,
                thresholds: Thresholds::of(&settings).unwrap(),
            }),
            appliance: Appliance::Runs(9999.try_into().unwrap()),
            files: Ok(Files::of(members)),
            adapted: Ok(Ok(Served::parse(config.as_bytes()).unwrap())),
            running: Ok(Served::parse(config.as_bytes()).unwrap()),
            sockets: sockets.clone(),
            leases: Err("of none".into()),
            guests: Err("of none".into()),
            answered: Answered {
                outside: well(|s| s.pair.public),
                inside: well(|s| s.pair.internal),
                strange: Ok(Default::default()),
                asker_trusted: false,
                ..Answered::not(String::new())
            },
            traffic: Ok(Default::default()),
            pool: Err("of none".into()),
        };
        let truth = judge(&found, Stamp(2));
        times.add(begun.elapsed());
        assert!(truth.rows.len() == services.len() && truth.rows.iter().all(|r| r.drift.is_empty()) && truth.drift.is_empty());
    }
    table.row(
        "S22",
        "ports: drift of 1,000 services, read and judged, p50",
        ms(times.p50()),
        "",
        vec![check("<= 1 s", times.p50() <= 1000.0)],
    );
}
