//! Pane 5 and its dialogs: what was promised, what was found, and what each key asks for.

use proximity::domain::certificate::Certificate;
use proximity::domain::credential::Fingerprint;
use proximity::domain::guest::{Nic, Vmid};
use proximity::domain::ports::{
    Answer, Asked, Bad, Drift, Held, LastWell, Lately, Listener, Mend, Nearer, Of, Pair, Past, PortMap, PortWish, Reason, Row, ServiceName,
    Shown, Traffic, Truth, Usage, Visits, What, promised,
};
use proximity::domain::power::{PowerWish, Turn};
use proximity::domain::publish::PublishWish;
use proximity::domain::service::{Carry, Proof, Published, Spec};
use proximity::domain::world::Gap;
use ratatui::style::Color;

use super::*;

fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

fn reason(text: &str) -> Reason {
    text.parse().unwrap()
}

fn pair(public: u16) -> Pair {
    Pair { public, internal: public + 10_000 }
}

fn held(public: u16, what: What) -> Held {
    Held { pair: pair(public), what, at: world::ago(12 * 86_400), by: "ada".into() }
}

fn published(of: &str, to: &str) -> Published {
    Published { name: name(of), spec: Spec::to(to.parse().unwrap()), at: world::ago(11 * 86_400), by: "grace".into() }
}

/// What is remembered: one row of each kind.
fn map() -> PortMap {
    let was = held(30_019, What::Reserved(name("wiki")));
    let tls = Spec { proof: Proof::Skipped, ..Spec::to("https://10.20.0.131:8443".parse().unwrap()) };
    PortMap {
        held: vec![
            held(30_017, What::Reserved(name("nextcloud"))),
            held(30_018, What::Pinned(name("gitea"))),
            held(30_020, What::Reserved(name("db"))),
            held(30_021, What::Reserved(name("later"))),
            held(30_022, What::Kept(name("monitor"))),
            held(30_023, What::Blocked(reason("the page of a printer, until it moves"))),
            held(30_024, What::Reserved(name("web"))),
        ],
        cooling: vec![Past { was, until: world::ago(86_400), by: "ada".into(), free: world::ago(-6 * 86_400) }],
        services: vec![
            published("nextcloud", "10.20.0.104:80"),
            published("gitea", "gitea.prox.local:3000"),
            Published { spec: Spec { carry: Carry::Tcp, ..published("db", "db.prox.local:5432").spec }, ..published("db", "x:1") },
            Published { spec: tls, ..published("web", "x:1") },
        ],
        checked: true,
        ..PortMap::default()
    }
}

fn drift(kind: &'static str, says: &str, mend: Mend) -> Drift {
    Drift { kind, says: says.into(), mend }
}

/// So many visitors within 47 minutes.
fn visited(requests: u32, failed: u32, p95_us: u64) -> Lately {
    let (since, until) = (world::ago(47 * 60), world::ago(4));
    let last = (requests > 0).then(|| world::ago(90));
    let bytes = u64::from(requests) * 7000;
    let traffic =
        Traffic { since, until, requests, failed, refused: requests / 20, mean_us: p95_us / 3, p95_us, bytes, last, own: 9, unread: 0 };
    Lately { visits: Visits::Counted(traffic), well: LastWell::NotAsked }
}

/// The same with when it last answered well.
fn well(seconds: i64, lately: Lately) -> Lately {
    Lately { well: LastWell::At(world::ago(seconds)), ..lately }
}

/// What a look found: some of it well, some of it not.
fn truth() -> Truth {
    let status = |code, ms, size| Answer::Status { code, ms, size };
    let mut rows = promised(&map(), Stamp::from_secs(NOW));
    for row in &mut rows {
        match row.name.as_ref().map(ToString::to_string).as_deref() {
            Some("nextcloud") => {
                (row.outside, row.inside) = (status(502, 12, Some(0)), status(502, 9, None));
                row.lately = [well(7200, visited(12_041, 317, 3_004_000)), Lately { well: LastWell::Never, ..visited(0, 0, 0) }];
                row.drift.push(drift("lease-moved", "lease moved to 10.20.0.117", Mend::Apply));
                row.drift.push(drift("guest-stopped", "guest 105 does not run", Mend::Start("105".parse().unwrap())));
            }
            Some("gitea") => {
                (row.outside, row.inside) = (status(200, 3, Some(18_230)), status(302, 4, None));
                row.lately = [well(4, visited(96, 0, 41_000)), well(4, visited(2, 0, 300))];
            }
            Some("db") => {
                (row.outside, row.inside) = (Answer::Taken { ms: 1 }, Answer::Unknown("the rules could not be read".into()));
                row.drift.push(drift("rules-changed", "the rules of the appliance are not ours", Mend::Appliance));
            }
            Some("web") => {
                (row.outside, row.inside) = (status(200, 8, None), Answer::Silent("refused".into()));
                row.lately[0] =
                    Lately { visits: Visits::Unknown("its log cannot be read: Permission denied".into()), well: LastWell::NotAsked };
                row.lately[1] = visited(0, 0, 0);
            }
            _ => {}
        }
    }
    let foreign = Row {
        public: Some(30_080),
        internal: None,
        state: "foreign",
        name: None,
        note: "/etc/caddy/sites/by-hand.caddy".into(),
        target: String::new(),
        tls: None,
        outside: Answer::NotAsked,
        inside: Answer::NotAsked,
        lately: Default::default(),
        since: None,
        drift: vec![drift("foreign-in-range", "it has a port of the ranges", Mend::Hand("proximity ports block 30080 --reason …".into()))],
    };
    rows.push(foreign);
    Truth {
        rows,
        drift: vec![drift("config-old", "Caddy runs configuration 41, and 42 is remembered", Mend::Apply)],
        usage: Some(Usage { size: 1000, held: 6, blocked: 1, cooling: 1, foreign: 1, free: 991, quota: None }),
        nearer: Some(Nearer::Addresses(151)),
        version: Some(42),
        gaps: vec![Gap { what: "metrics".into(), why: "the administration did not answer".into() }],
    }
}

fn learn(app: &mut App, news: News) {
    drop(app.learn(Fact::News(Box::new(news))));
}

fn with_ports() -> App {
    let mut app = test_app();
    let mut guests = news().guests.unwrap();
    let appliance = guests.known.as_mut().unwrap().iter_mut().find(|g| u32::from(g.id) == 9999).unwrap();
    appliance.nics = vec![Nic { name: "eth0".into(), ip: Some("192.168.1.40/24".into()), ..Nic::default() }];
    learn(&mut app, News { guests: Some(guests), ports: Some(world::part(map())), ..News::default() });
    keys(&mut app, "5");
    app
}

fn with_truth() -> App {
    let mut app = with_ports();
    let at = Stamp::from_secs(NOW - 4);
    learn(&mut app, News { truth: Some(Part::new(truth(), at, From::Pct)), ..News::default() });
    app
}

/// The app with this row selected.
fn at(row: &str) -> App {
    let mut app = with_truth();
    keys(&mut app, "g");
    for _ in 0..20 {
        let screen = text(&draw(&mut app, 120, 40));
        if screen.lines().any(|l| l.starts_with('▸') && l.contains(row)) {
            return app;
        }
        keys(&mut app, "j");
    }
    panic!("no row {row}");
}

fn keep(effects: Vec<Effect>) -> PortWish {
    match effects.into_iter().next() {
        Some(Effect::KeepPorts(wish)) => wish,
        _ => panic!("nothing is kept"),
    }
}

fn wish(effects: Vec<Effect>) -> Wish {
    match effects.into_iter().next() {
        Some(Effect::Plan(wish)) => wish,
        _ => panic!("nothing is planned"),
    }
}

#[test]
fn ports_are_there_before_anybody_asked_how_they_are() {
    let mut app = test_app();
    assert!(matches!(&keys(&mut app, "5")[..], [Effect::LookPorts]));
    assert!(text(&draw(&mut app, 80, 24)).contains("asking …"));
    let mut app = with_ports();
    shot("ports-asking", &mut app);
    let screen = draw(&mut app, 120, 40);
    assert!(screen.content.iter().all(|c| c.fg != Color::Green), "what was not asked is never green");
    assert!(matches!(&keys(&mut app, "R")[..], [Effect::LookPorts]));
    learn(&mut app, News { truth: Some(Part::unknown("the link is down", Stamp::from_secs(NOW))), ..News::default() });
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("? what answers: the link is down") && screen.contains("nextcloud"), "{screen}");
}

#[test]
fn ports_as_they_were_found_with_what_is_wrong_first() {
    let mut app = with_truth();
    shot("ports", &mut app);
    let screen = draw(&mut app, 120, 40);
    let row = |of: &str| {
        let rows: Vec<_> = screen.content.chunks(120).collect();
        rows.into_iter().find(|r| r.iter().map(|c| c.symbol()).collect::<String>().contains(of)).unwrap().to_vec()
    };
    let green = |of: &str| row(of).iter().any(|c| c.fg == Color::Green);
    assert!(green("gitea") && !green("nextcloud") && !green("  db ") && !green("  web "), "green is only what answered on both ports");
    keys(&mut app, "/lease");
    shot("ports-filter", &mut app);
    keys(&mut app, "<C-u>30018 gitea<Enter>");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("filter /30018 gitea/") && screen.contains("30018") && !screen.contains("nextcloud   "), "{screen}");
    keys(&mut app, "/<C-u>no such thing<Enter>");
    assert!(text(&draw(&mut app, 80, 24)).contains("nothing matches; Esc shows all"));
    keys(&mut app, "<Esc>");
    assert!(text(&draw(&mut app, 80, 24)).contains("monitor"));
}

#[test]
fn ports_details_say_everything() {
    shot("ports-details", &mut {
        let mut app = at("nextcloud");
        keys(&mut app, "<Enter>");
        app
    });
    for (row, told) in [
        ("web", &["NOT", "believed"][1..]),
        ("30019", &["cools down", "was wiki", "given back"]),
        ("30023", &["blocked: the page of a printer"]),
        ("30080", &["by-hand.caddy", "foreign-in-range", "by hand: proximity ports block"]),
        ("Caddy runs configuration 41", &["f mends it"]),
        ("metrics", &["the administration did not answer"]),
    ] {
        let mut app = at(row);
        keys(&mut app, "<Enter>");
        let screen = text(&draw(&mut app, 120, 40));
        assert!(told.iter().all(|t| screen.contains(t)), "{row}\n{screen}");
    }
}

/// How long the certificate is good that visitors are shown, whether it is for them, and that TLS did not come about.
#[test]
fn the_certificate_that_visitors_are_shown_stands_in_the_details() {
    let shown = |days: i64, asked: &str, seen| Shown {
        asked: Some(asked.into()),
        certificate: Certificate {
            fingerprint: Fingerprint([7; 32]),
            subject: String::new(),
            issuer: "Example CA".into(),
            not_before: world::ago(80 * 86_400),
            not_after: world::ago(-days * 86_400),
            names: vec!["cloud.home".into(), "\u{1b}[2Jevil".into()],
        },
        seen,
    };
    let details = |tls: Option<Shown>, outside: Answer| {
        let mut app = with_ports();
        let mut found = truth();
        let row = found.rows.iter_mut().find(|r| r.name == Some(name("gitea"))).unwrap();
        (row.tls, row.outside) = (tls, outside);
        learn(&mut app, News { truth: Some(world::part(found)), ..News::default() });
        keys(&mut app, "/gitea<Enter><Enter>");
        text(&draw(&mut app, 120, 40))
    };
    let well = || Answer::Status { code: 200, ms: 3, size: None };
    let screen = details(Some(shown(12, "cloud.home", true)), well());
    assert!(
        screen.contains("TLS          good for 12 d, until") && screen.contains("for cloud.home") && !screen.contains('\u{1b}'),
        "{screen}"
    );
    assert!(details(Some(shown(-3, "cloud.home", true)), well()).contains("TLS          ✗ expired 3 d ago"));
    assert!(details(Some(shown(12, "other.home", true)), well()).contains("TLS          ✗ good for 12 d"));
    assert!(details(Some(shown(12, "cloud.home", false)), well()).contains("not shown just"));
    let screen = details(None, Answer::NoTls("it refuses: InternalError".into()));
    assert!(screen.contains("✗ no TLS comes about: it refuses: InternalError"), "{screen}");
    assert!(screen.contains("✗ no TLS"), "{screen}");
}

#[test]
fn each_key_of_a_row_asks_for_what_it_says() {
    assert_eq!(wish(keys(&mut at("Caddy runs"), "f")), Wish::Publish(PublishWish::Converge));
    assert_eq!(wish(keys(&mut at("nextcloud"), "f")), Wish::Publish(PublishWish::Converge));
    assert!(matches!(wish(keys(&mut at(" db "), "f")), Wish::Appliance(ApplianceWish::Converge)));
    let mut app = at("30080");
    assert!(keys(&mut app, "f").is_empty() && text(&draw(&mut app, 80, 24)).contains("proximity ports block 30080"));
    assert!(keys(&mut at("gitea"), "f").is_empty());
    // A guest that is stopped is started.
    let mut app = with_ports();
    let mut found = truth();
    found.drift.clear();
    found.gaps.clear();
    found.rows[0].drift.remove(0);
    learn(&mut app, News { truth: Some(world::part(found)), ..News::default() });
    let guest: Vmid = "105".parse().unwrap();
    assert_eq!(wish(keys(&mut app, "gf")), Wish::Power(PowerWish { guest, turn: Turn::Start }));

    assert_eq!(wish(keys(&mut at("nextcloud"), "U")), Wish::Publish(PublishWish::Unpublish(name("nextcloud"))));
    assert!(keys(&mut at("later"), "U").is_empty(), "it is reserved, not published");
    assert_eq!(keep(keys(&mut at("nextcloud"), "P")), PortWish::Pin(name("nextcloud"), None));
    assert_eq!(keep(keys(&mut at("gitea"), "P")), PortWish::Unpin(Of::Port(30_018)));
    assert_eq!(keep(keys(&mut at("monitor"), "P")), PortWish::Unpin(Of::Port(30_022)));
    assert_eq!(keep(keys(&mut at("30023"), "b")), PortWish::Unblock(30_023));
    assert!(keys(&mut at("30023"), "P").is_empty());
    let copied = |row: &str, key: &str| match keys(&mut at(row), key).into_iter().next() {
        Some(Effect::Copy(text)) => text,
        _ => String::new(),
    };
    assert_eq!(copied("nextcloud", "y"), "http://192.168.1.40:30017");
    assert_eq!(copied("nextcloud", "Y"), "http://192.168.1.40:40017");
    assert_eq!(copied(" db ", "y"), "192.168.1.40:30020", "no page is there");
    assert_eq!(copied("later", "y"), "", "nothing answers there");
}

#[test]
fn the_menu_of_ports_has_what_has_no_key() {
    let mut app = at("later");
    keys(&mut app, "x");
    shot("ports-menu", &mut app);
    let choose = |row: &str, entry: &str| {
        let mut app = at(row);
        keys(&mut app, "x");
        for _ in 0..20 {
            if text(&draw(&mut app, 120, 40)).lines().any(|l| l.contains(&format!("▸ {entry}"))) {
                return (keys(&mut app, "<Enter>"), app);
            }
            keys(&mut app, "j");
        }
        panic!("no entry {entry}");
    };
    assert_eq!(keep(choose("later", "give its ports back").0), PortWish::Release(Of::Port(30_021), false));
    assert_eq!(keep(choose("later", "give its ports back, free").0), PortWish::Release(Of::Port(30_021), true));
    assert_eq!(keep(choose("30019", "end its cool-down").0), PortWish::Release(Of::Port(30_019), true));
    assert_eq!(wish(choose("30019", "bring all").0), Wish::Publish(PublishWish::Converge));
    let (effects, mut app) = choose("later", "reserve a pair");
    assert!(effects.is_empty());
    assert!(keys(&mut app, "12<Enter>").is_empty(), "a number is no name");
    assert!(text(&draw(&mut app, 80, 24)).contains("✗ '12' is no name"));
    assert_eq!(keep(keys(&mut app, "<BS><BS>wiki<Enter>")), PortWish::Reserve(name("wiki")));
}

#[test]
fn a_pair_is_blocked_with_a_reason() {
    let mut app = at("30080");
    keys(&mut app, "b<Enter>");
    shot("ports-block", &mut app);
    assert_eq!(keep(keys(&mut app, "a printer<Enter>")), PortWish::Block(30_080, reason("a printer")));
    let mut app = at("nextcloud");
    assert!(keys(&mut app, "b70000<Tab>x<Enter>").is_empty(), "what somebody has is not offered, and 70000 is no port");
    assert!(text(&draw(&mut app, 80, 24)).contains("✗ '70000' is no port: 1 to 65535"));
}

#[test]
fn something_is_published_by_a_form_that_says_what_is_wrong() {
    let mut app = with_ports();
    keys(&mut app, "p");
    shot("publish", &mut app);
    assert!(keys(&mut app, "my app<Tab>ftp://x:1<Enter>").is_empty());
    shot("publish-wrong", &mut app);
    keys(&mut app, "<C-u>wiki<Tab>");
    // The names of running guests are offered, and one that is clear is completed.
    keys(&mut app, "<C-u>nex");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("Running here: nextcloud"), "{screen}");
    keys(&mut app, "<Tab>8080<Tab> <Tab> ");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("nextcloud:8080") && screen.contains("tcp: connections") && screen.contains("[x] yes"), "{screen}");
    let spec = Spec { carry: Carry::Tcp, ..Spec::to("nextcloud.prox.local:8080".parse().unwrap()) };
    let publish = PublishWish::Publish { name: name("wiki"), spec: Box::new(spec), unanswered: true };
    assert_eq!(wish(keys(&mut app, "<Enter>")), Wish::Publish(publish));
    // What cannot be together is said where it was typed.
    assert!(keys(&mut app, "pother<Tab>https://a.b:443<Tab> <Enter>").is_empty());
    assert!(text(&draw(&mut app, 120, 40)).contains("✗ tcp is carried as it comes: it has no TLS of"));
    keys(&mut app, "<Esc>");
    // One that is published already is changed where it stands.
    keys(&mut app, "pgitea<Tab>a.b:1<Enter>");
    assert!(text(&draw(&mut app, 80, 24)).contains("✗ gitea is published already; e on its row changes it"));
}

#[test]
fn how_something_is_published_is_changed_and_the_rest_stays() {
    let mut app = at("web");
    keys(&mut app, "e");
    shot("publish-edit", &mut app);
    // The certificate is a choice of its own, and is said aloud where it is not proven.
    assert!(text(&draw(&mut app, 80, 24)).contains("NOT proven: whoever stands there is believed"));
    keys(&mut app, "<BS><BS><BS><BS>443<Tab><Tab> ");
    let spec = Spec { proof: Proof::Own, ..Spec::to("https://10.20.0.131:443".parse().unwrap()) };
    let publish = PublishWish::Publish { name: name("web"), spec: Box::new(spec), unanswered: false };
    assert_eq!(wish(keys(&mut app, "<Enter>")), Wish::Publish(publish));
    assert!(keys(&mut at("later"), "e").is_empty(), "nothing is published there");
}

#[test]
fn who_has_a_port_and_who_had_it() {
    let mut app = at("30019");
    assert!(matches!(&keys(&mut app, "w")[..], [Effect::AskPort(30_019)]));
    let was =
        |by: &str| Past { was: held(30_019, What::Reserved(name("wiki"))), until: world::ago(86_400), by: by.into(), free: world::ago(0) };
    let gap = Gap { what: "sites of its Caddy".into(), why: "its administration does not answer".into() };
    let answer = |port| Asked { port, listens: vec![Listener::Host], past: vec![was("grace")], gaps: vec![gap.clone()] };
    app.learn(Fact::Port(Box::new(answer(30_018))));
    assert!(text(&draw(&mut app, 80, 24)).contains("is being asked"), "an answer to another question");
    app.learn(Fact::Port(Box::new(answer(30_019))));
    shot("ports-who", &mut app);
    assert!(matches!(&keys(&mut app, "<C-u>40018<Enter>")[..], [Effect::AskPort(40_018)]));
    let none = Asked { port: 40_018, listens: vec![], past: vec![], gaps: vec![] };
    app.learn(Fact::Port(Box::new(none)));
    let screen = text(&draw(&mut app, 120, 40));
    assert!(screen.contains("30018 / 40018 reserved for gitea, and pinned") && screen.contains("nobody had it before"), "{screen}");
    assert!(keys(&mut app, "<C-u>x<Enter>").is_empty());
    assert!(text(&draw(&mut app, 80, 24)).contains("a number is asked for"));
    keys(&mut app, "<C-u>77<Enter>");
    assert!(text(&draw(&mut app, 80, 24)).contains("in none of the ranges"));
}

#[test]
fn the_url_is_a_picture_where_it_can_be_drawn() {
    let mut app = at("gitea");
    keys(&mut app, "o");
    shot("ports-picture", &mut app);
    let screen = text(&draw(&mut app, 80, 24));
    assert_eq!(screen.lines().filter(|l| l.contains("██")).count(), 15, "all of it fits: {screen}");
    assert!(text(&draw(&mut app, 40, 15)).contains("No picture fits here"));
    let mut ascii = with_truth().with_theme(Theme::new(true, true));
    keys(&mut ascii, "/gitea<Enter>o");
    let screen = draw(&mut ascii, 80, 24);
    assert!(screen.content.iter().all(|c| c.symbol().is_ascii()));
    let screen = text(&screen);
    assert!(screen.contains("http://192.168.1.40:30018") && screen.contains("only ASCII letters"), "{screen}");
}

#[test]
fn ports_that_are_none_unknown_or_not_to_be_seen() {
    let mut app = test_app();
    keys(&mut app, "5");
    // Whoever may not look is told so: the news never hold ports then.
    let why = "bob (service-owner) may not look at the network appliance";
    learn(&mut app, News { truth: Some(Part::unknown(why, Stamp::from_secs(NOW))), ..News::default() });
    assert!(text(&draw(&mut app, 120, 40)).contains(&format!("? ports: {why}")));
    learn(&mut app, News { ports: Some(world::part(PortMap::default())), ..News::default() });
    shot("ports-none", &mut app);
    learn(&mut app, News { ports: Some(Part::unknown("the store is damaged", Stamp::from_secs(NOW))), ..News::default() });
    assert!(text(&draw(&mut app, 80, 24)).contains("? ports: the store is damaged"));
    let bad = PortMap { bad: vec![Bad { pair: Some(pair(30_017)), why: "the row of 30017 was changed".into() }], ..map() };
    learn(&mut app, News { ports: Some(world::part(bad)), ..News::default() });
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("✗ the row of 30017 was changed") && screen.contains("1 to look at"), "{screen}");
    // Nothing can be changed without a store, and it is said why.
    let mut app = with_truth();
    app.learn(Fact::Gate(Gate::NoStore("proximity init".into())));
    keys(&mut app, "<Esc>/gitea<Enter>");
    for key in ["P", "U"] {
        assert!(keys(&mut app, key).is_empty());
        assert!(text(&draw(&mut app, 80, 24)).contains("proximity init"), "{key}");
        keys(&mut app, "<Esc>");
    }
}

#[test]
fn the_selection_stays_at_its_ports() {
    let mut app = at("gitea");
    let mut map = map();
    map.held.insert(0, held(30_001, What::Reserved(name("first"))));
    learn(&mut app, News { ports: Some(world::part(map)), ..News::default() });
    let screen = text(&draw(&mut app, 120, 40));
    assert!(screen.lines().any(|l| l.starts_with('▸') && l.contains("gitea")) && screen.contains("first"), "{screen}");
}

/// A thousand rows: the last is a key away, and a filter leaves the one that is meant.
#[test]
fn a_thousand_ports() {
    let mut app = with_ports();
    let mut all = PortMap::default();
    for n in 0..1000 {
        all.held.push(held(30_000 + n, What::Reserved(name(&format!("app-{n}")))));
        all.services.push(published(&format!("app-{n}"), &format!("app-{n}.prox.local:80")));
    }
    learn(&mut app, News { ports: Some(world::part(all)), ..News::default() });
    keys(&mut app, "G");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.lines().any(|l| l.starts_with("▸ 30999")) && screen.contains("used 1000 of 1000"), "{screen}");
    keys(&mut app, "/app-77");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("11 lines") && screen.contains("app-770"), "{screen}");
}

#[test]
fn hostile_text_stays_in_its_cells() {
    for text in super::hostile() {
        // Whoever makes a fact bounds it; a megabyte is not asked for here.
        let text: String = text.chars().take(2_000).collect();
        let mut found = truth();
        found.drift[0].says = text.clone();
        found.gaps[0].why = text.clone();
        for row in &mut found.rows {
            (row.note, row.outside) = (text.clone(), Answer::Silent(text.clone()));
            row.drift = vec![drift("x", &text, Mend::Hand(text.clone()))];
        }
        let mut map = map();
        map.held.iter_mut().for_each(|h| h.by = text.clone());
        map.services.iter_mut().for_each(|s| s.by = text.clone());
        map.bad = vec![Bad { pair: None, why: text.clone() }];
        let mut app = with_ports();
        learn(&mut app, News { ports: Some(world::part(map)), truth: Some(world::part(found)), ..News::default() });
        let was = Past {
            was: Held { by: text.clone(), ..held(30_017, What::Reserved(name("x"))) },
            until: Stamp(1),
            by: text.clone(),
            free: Stamp(2),
        };
        for go in ["", "g<Enter>", "<Esc>f", "<Esc>jjj<Enter>", "<Esc>f", "<Esc>/x y", "<Esc><Esc>Gw"] {
            keys(&mut app, go);
            app.learn(Fact::Port(Box::new(Asked {
                port: 30_080,
                listens: vec![],
                past: vec![was.clone()],
                gaps: vec![Gap { what: text.clone(), why: text.clone() }],
            })));
            for (w, h) in SIZES {
                super::is_harmless(&draw(&mut app, w, h));
            }
        }
    }
}
