//! Every pane and dialog as text at three sizes, and what must hold on any screen: nothing steers the
//! terminal, nothing panics, Enter destroys nothing, idle draws nothing, a passphrase leaves no trace.
//!
//! Changed on purpose? Run with `INSTA_UPDATE=always` and read the difference before you commit it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "screens/certificates.rs"]
mod certificates;
#[path = "screens/inside.rs"]
mod inside;
#[path = "screens/locks.rs"]
mod locks;
#[path = "screens/ports.rs"]
mod ports;
#[path = "screens/world.rs"]
mod world;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proximity::domain::appliance::provision::ApplianceWish;
use proximity::domain::credential::{Factor, Trust};
use proximity::domain::fact::{Fact, Gate, LogLine, LogSource, LogState, Login, Wish};
use proximity::domain::log_page::{FileAsk, FileNews, Page, PageAsk, PageLine, Reading, Spot};
use proximity::domain::plan::{Approved, Refusal, Risk};
use proximity::domain::secret::Shown;
use proximity::domain::settings::{Held, Key, Past, Row, Settings, Value};
use proximity::domain::stamp::Stamp;
use proximity::domain::trial::{Mark, Progress, Report, Step, Taken, Trouble};
use proximity::domain::world::{From, News, Part, Place};
use proximity::tui::action::Context;
use proximity::tui::app::App;
use proximity::tui::effect::Effect;
use proximity::tui::theme::Theme;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use world::{NOW, jobs, news, plan, records, test_app};

const SIZES: [(u16, u16); 3] = [(120, 40), (80, 24), (40, 15)];

fn draw(app: &mut App, width: u16, height: u16) -> Buffer {
    app.resize(width, height);
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| app.draw(frame)).unwrap();
    app.drawn();
    terminal.backend().buffer().clone()
}

fn text(buf: &Buffer) -> String {
    let mut out = String::new();
    for row in buf.content.chunks(buf.area.width.max(1).into()) {
        let mut line = String::new();
        let mut skip = 0;
        for cell in row {
            if skip == 0 {
                line.push_str(cell.symbol());
                skip = unicode_width::UnicodeWidthStr::width(cell.symbol()).max(1);
            }
            skip -= 1;
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn shot(name: &str, app: &mut App) {
    for (width, height) in SIZES {
        let screen = text(&draw(app, width, height));
        insta::with_settings!({ snapshot_path => "screens/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("{name}@{width}x{height}"), screen);
        });
    }
}

/// Types keys: letters, or a name in angle brackets such as `<Enter>`, `<C-c>`.
fn keys(app: &mut App, typed: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut rest = typed;
    while let Some(c) = rest.chars().next() {
        let (code, modifiers, used) = match rest.find('>') {
            Some(end) if c == '<' => {
                let (code, modifiers) = match &rest[1..end] {
                    "Enter" => (KeyCode::Enter, KeyModifiers::NONE),
                    "Esc" => (KeyCode::Esc, KeyModifiers::NONE),
                    "Tab" => (KeyCode::Tab, KeyModifiers::NONE),
                    "Down" => (KeyCode::Down, KeyModifiers::NONE),
                    "Up" => (KeyCode::Up, KeyModifiers::NONE),
                    "PgUp" => (KeyCode::PageUp, KeyModifiers::NONE),
                    "Right" => (KeyCode::Right, KeyModifiers::NONE),
                    "S-Tab" => (KeyCode::BackTab, KeyModifiers::NONE),
                    "C-u" => (KeyCode::Char('u'), KeyModifiers::CONTROL),
                    "BS" => (KeyCode::Backspace, KeyModifiers::NONE),
                    "C-c" => (KeyCode::Char('c'), KeyModifiers::CONTROL),
                    other => panic!("no key {other}"),
                };
                (code, modifiers, end + 1)
            }
            _ => (KeyCode::Char(c), KeyModifiers::NONE, c.len_utf8()),
        };
        effects.extend(app.key(KeyEvent::new(code, modifiers)));
        rest = &rest[used..];
    }
    effects
}

fn log(app: &mut App, source: LogSource, lines: &[&str]) {
    let lines = lines.iter().map(|l| LogLine { text: l.as_bytes().into() }).collect();
    app.learn(Fact::Log { source, at: Stamp::from_secs(NOW), lines, dropped: 0 });
}

fn with_logs(app: &mut App) {
    keys(app, "4");
    for source in [LogSource::Dnsmasq, LogSource::Caddy] {
        app.learn(Fact::LogState { source, state: LogState::Following });
    }
    log(
        app,
        LogSource::Dnsmasq,
        &[
            "Nov 21 14:31:57 dnsmasq[88]: query[A] nextcloud.prox.local from 10.20.0.104",
            "Nov 21 14:31:57 dnsmasq[88]: config nextcloud.prox.local is 10.20.0.104",
            "Nov 21 14:31:58 dnsmasq-dhcp[88]: DHCPACK(eth1) 10.20.0.117 bc:24:11:aa:bb:cc wiki",
        ],
    );
    log(
        app,
        LogSource::Caddy,
        &[
            r#"{"level":"info","ts":1795271518.9,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"10.1.2.3","proto":"HTTP/2.0","method":"GET","host":"gitea.prox.local","uri":"/explore/repos?sort=recentupdate&language=rust","headers":{}},"duration":0.0031,"size":18230,"status":200}"#,
            r#"{"level":"error","ts":1795271519.2,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"10.1.2.3","proto":"HTTP/2.0","method":"GET","host":"nextcloud.prox.local","uri":"/apps/dashboard","headers":{}},"duration":0.0123,"size":0,"status":502}"#,
            r#"{"level":"warn","ts":1795271520.0,"logger":"tls.cache","msg":"stapling OCSP","error":"no OCSP server specified in certificate"}"#,
        ],
    );
}

#[test]
fn overview() {
    shot("overview", &mut test_app());
    let mut app = test_app();
    app.learn(Fact::News(Box::new(News {
        jobs: Some(Part::new(jobs(), Stamp::from_secs(NOW), proximity::domain::world::From::Files)),
        ..News::default()
    })));
    keys(&mut app, "jj/gite");
    shot("overview-search-and-job", &mut app);
}

#[test]
fn overview_before_anything_is_known() {
    let mut app = App::new(Place { host: "10.1.2.30".into(), demo: false });
    shot("overview-nothing-asked", &mut app);
    app.learn(Fact::Clock { now: Stamp::from_secs(NOW), offset_s: 0 });
    app.learn(Fact::News(Box::new(world::unknown())));
    app.learn(Fact::Gate(Gate::NoStore("proximity setup".into())));
    shot("no-store", &mut app);
    keys(&mut app, "<Esc>");
    shot("overview-unknown", &mut app);
    assert!(keys(&mut app, "z").is_empty());
}

#[test]
fn overview_well() {
    let mut app = App::new(Place { host: "demo".into(), demo: true });
    app.learn(Fact::Clock { now: Stamp::from_secs(NOW), offset_s: 0 });
    app.learn(Fact::News(Box::new(world::well())));
    app.learn(Fact::Gate(Gate::Open("ada".into())));
    shot("overview-well", &mut app);
    let mut ascii = App::new(Place { host: "demo".into(), demo: true }).with_theme(Theme::new(true, true));
    ascii.learn(Fact::News(Box::new(world::well())));
    keys(&mut ascii, "?");
    let screen = draw(&mut ascii, 100, 30);
    assert!(screen.content.iter().all(|c| c.symbol().is_ascii()), "{}", text(&screen));
    assert!(screen.content.iter().all(|c| c.fg == ratatui::style::Color::Reset && c.bg == ratatui::style::Color::Reset));
}

#[test]
fn details_of_a_guest_and_a_finding() {
    let mut app = test_app();
    keys(&mut app, "j<Enter>");
    shot("guest-details", &mut app);
    keys(&mut app, "<Esc><Tab>j<Enter>");
    shot("finding-details", &mut app);
}

/// From a 502 to what moved the address behind it, and to the guest: four keys.
#[test]
fn a_502_leads_to_the_lease_that_moved_and_to_the_guest() {
    let mut app = test_app();
    keys(&mut app, "4");
    let line = |text: &str| LogLine { text: text.as_bytes().into() };
    let leases = vec![
        line("Nov 21 14:29:58 dnsmasq-dhcp[88]: DHCPACK(eth1) 10.20.0.104 bc:24:11:00:00:68 nextcloud"),
        line("Nov 21 14:30:01 dnsmasq-dhcp[88]: DHCPACK(eth1) 10.20.0.131 bc:24:11:00:00:dd web"),
        line("Nov 21 14:30:02 dnsmasq[88]: query[A] x.prox.local from 10.20.0.131"),
    ];
    app.learn(Fact::Log { source: LogSource::Dnsmasq, lines: leases, dropped: 0, at: Stamp::from_secs(NOW) });
    let failed = r#"{"level":"error","ts":1795271519.25,"logger":"http.log.error","msg":"dial tcp 10.20.0.131:80: i/o timeout","request":{"method":"GET","host":"old.example.org","uri":"/"},"status":502}"#;
    app.learn(Fact::Log { source: LogSource::Caddy, lines: vec![line(failed)], dropped: 0, at: Stamp::from_secs(NOW) });
    keys(&mut app, "<Enter>1");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("DHCPACK(eth1) 10.20.0.131") && !screen.contains("DHCPACK(eth1) 10.20.0.104"), "{screen}");
    keys(&mut app, "<Enter>");
    shot("log-record-lease", &mut app);
    keys(&mut app, "1");
    let screen = text(&draw(&mut app, 80, 24));
    let chosen = screen.lines().find(|l| l.contains("▸")).unwrap_or_default();
    assert!(screen.contains("1 Overview") && chosen.contains("dhcp"), "{screen}");
}

/// A log that nobody rotates is a finding, and Enter leads to its evidence and from there into the file.
#[test]
fn a_log_that_is_not_rotated_is_found_and_leads_to_its_file() {
    use proximity::domain::log_health::{Entry, Found, Seen};
    let mut app = test_app();
    let space = proximity::domain::storage::Space { total: 16 << 30, used: 6 << 30, avail: 10 << 30 };
    let file = Entry { path: "/var/log/app.log".into(), size: 3 << 30, modified: world::ago(9), born: Some(world::ago(40 * 86_400)) };
    let seen = Seen::new("105".parse().ok(), false, Found { files: vec![file], space, left_out: 0 }, None, None, world::ago(0));
    let news = News { logs: Some(world::part(vec![seen])), ..world::well() };
    app.learn(Fact::News(Box::new(news)));
    keys(&mut app, "<Tab>G");
    assert!(text(&draw(&mut app, 80, 24)).contains("log app.log of 105"));
    keys(&mut app, "<Enter>");
    shot("finding-log", &mut app);
    let effects = keys(&mut app, "<Enter>");
    let named = |e: &Effect| matches!(e, Effect::File { source, ask: FileAsk::Open } if source.name() == "105:/var/log/app.log");
    assert!(effects.iter().any(named) && app.context() == Context::File);
}

/// What is abnormal is in the header until it ends, and the word that a line holds is one key away.
#[test]
fn an_unconfirmed_change_and_moved_apps_are_told_until_they_end() {
    use proximity::domain::appliance::fallback::MOVED;
    use proximity::domain::fact::Wish;
    use proximity::domain::job::State;
    use proximity::domain::plan::{Check, Plan, Purpose, Step};
    let mut app = test_app();
    assert!(keys(&mut app, "c").is_empty());
    let mut news = world::well();
    let guests = news.guests.as_mut().unwrap().known.as_mut().unwrap();
    guests.iter_mut().take(2).for_each(|g| g.tags.push(MOVED.into()));
    let mut jobs = world::jobs();
    let kept = Check::Kept { unit: "proximity-revert-network".into(), path: "/etc/network/interfaces".into(), digest: "x".into() };
    let steps = vec![Step::wait("say within 120 s that your line still holds: proximity appliance confirm", 130, kept)];
    let order = Plan { purpose: Purpose::Appliance, title: "build the appliance 9999".into(), steps, ..world::plan(Risk::Interrupts) };
    jobs[0].order = Approved::new(order, "ada", None).unwrap();
    (jobs[0].state, jobs[0].life.step) = (State::Running, 0);
    news.jobs = Some(world::part(jobs.clone()));
    app.learn(Fact::News(Box::new(news)));
    let head = |app: &mut App, width| text(&draw(app, width, 24)).lines().next().unwrap().to_owned();
    for width in [80, 120] {
        let line = head(&mut app, width);
        assert!(line.contains("UNCONFIRMED CHANGE: c keeps it") && line.contains("UN-ISOLATED: 2 apps"), "{line}");
    }
    shot("abnormal", &mut app);
    assert!(matches!(&keys(&mut app, "c")[..], [Effect::Plan(Wish::KeepChange)]));
    jobs[0].state = State::Succeeded;
    app.learn(Fact::News(Box::new(News { jobs: Some(world::part(jobs)), guests: world::well().guests, ..News::default() })));
    let line = head(&mut app, 120);
    assert!(!line.contains("UNCONFIRMED") && !line.contains("UN-ISOLATED"), "{line}");
}

#[test]
fn the_appliance_and_what_its_lamps_were_lit_by() {
    let mut app = test_app();
    assert!(matches!(&keys(&mut app, "3")[..], [Effect::Probe]));
    shot("appliance-asking", &mut app);
    let learn = |app: &mut App, part| drop(app.learn(Fact::News(Box::new(News { appliance: Some(part), ..News::default() }))));
    let at = Stamp::from_secs(NOW - 4);
    learn(&mut app, Part::new(world::appliance(), at, From::Pct));
    shot("appliance", &mut app);
    assert!(keys(&mut app, "jjjjjj<Enter>").is_empty());
    shot("appliance-evidence", &mut app);
    keys(&mut app, "<Esc>G<Enter>");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("10.20.0.140") && screen.contains("nobody that is known"), "{screen}");
    keys(&mut app, "<Esc>");
    let pin = |effects: Vec<Effect>| match &effects[..] {
        [Effect::Plan(Wish::Appliance(ApplianceWish::Lease(wish)))] => wish.words(),
        other => format!("{} effects", other.len()),
    };
    assert_eq!(pin(keys(&mut app, "p")), "make the lease of bc:24:11:00:00:77 static");
    assert_eq!(pin(keys(&mut app, "gp")), "0 effects", "a lamp is no lease");
    assert_eq!(pin(keys(&mut app, "GxG<Enter>")), "take the lease of 10.20.0.140 back");
    assert!(matches!(&keys(&mut app, "R")[..], [Effect::Probe]), "asked again, now, with the host's news");
    // What is red or yellow is told where one looks first, and leads here.
    keys(&mut app, "1");
    let screen = text(&draw(&mut app, 120, 40));
    assert!(screen.contains("appliance caddy") && screen.contains("appliance ports") && screen.contains("could not be asked"), "{screen}");
    keys(&mut app, "<S-Tab><S-Tab>gj");
    let to = keys(&mut app, "<Enter>");
    assert!(matches!(&to[..], [Effect::Probe]), "{}", text(&draw(&mut app, 120, 40)));
    assert!(text(&draw(&mut app, 80, 24)).contains("appliance 9999"));
    // One whose place was taken stands beside it, and is none of the apps.
    let mut guests = world::well().guests.unwrap().known.unwrap();
    let former = guests.iter().find(|g| u32::from(g.id) == 101).cloned().unwrap();
    let note = proximity::domain::appliance::Seat::Former.note();
    guests.push(proximity::domain::guest::Guest {
        id: "9000".parse().unwrap(),
        name: Some("edge".into()),
        power: proximity::domain::guest::Power::Stopped,
        notes: vec![note],
        ..former
    });
    let rrd = Err("not there".to_owned());
    let instances = proximity::domain::appliance::instance::instances(&guests, proximity::domain::guest::Vmid::APPLIANCE, None, &rrd);
    learn(&mut app, Part::new(proximity::domain::appliance::Seen { instances, ..world::appliance() }, at, From::Pct));
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("unknown · what it uses is unknown: not there"), "{screen}");
    assert!(screen.contains("besides: 9000 edge stopped: the one that was"), "{screen}");
    learn(&mut app, Part::unknown("the link is down", at));
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("the link is down") && !screen.contains('●'), "nothing stays green: {screen}");
}

#[test]
fn logs() {
    let mut app = test_app();
    let effects = keys(&mut app, "4");
    assert_eq!(effects.iter().filter(|e| matches!(e, Effect::Follow { on: true, .. })).count(), 2);
    assert!(keys(&mut app, "14").is_empty(), "followed once");
    shot("logs-empty", &mut app);
    with_logs(&mut app);
    app.learn(Fact::LogState {
        source: LogSource::Dnsmasq,
        state: LogState::Broken { why: "the appliance does not run".into(), again: true },
    });
    shot("logs", &mut app);
    keys(&mut app, "/nextcl");
    shot("logs-filter", &mut app);
    keys(&mut app, " (");
    assert!(text(&draw(&mut app, 80, 24)).contains("not a regular expression"));
    keys(&mut app, "<BS><BS><Enter>a<Up>");
    shot("logs-all-marked", &mut app);
    keys(&mut app, "<Enter>");
    shot("log-record", &mut app);
    keys(&mut app, "<Esc>s");
    shot("log-sources", &mut app);
    assert!(matches!(&keys(&mut app, "3")[..], [Effect::Follow { source: LogSource::Journal, on: true }]));
    assert!(matches!(&keys(&mut app, " ")[..], [Effect::Follow { source: LogSource::Dnsmasq, on: false }]));
}

/// Lines of two sources as they come in turns: the later batch holds earlier lines.
fn merged_logs(app: &mut App) {
    keys(app, "4");
    for source in [LogSource::Dnsmasq, LogSource::Caddy] {
        app.learn(Fact::LogState { source, state: LogState::Following });
    }
    let at = |ms: i64| Stamp(NOW * 1000 + ms);
    let tell = |app: &mut App, source, ms, lines: &[String]| {
        let lines = lines.iter().map(|l| LogLine { text: l.as_bytes().into() }).collect();
        app.learn(Fact::Log { source, at: at(ms), lines, dropped: 0 });
    };
    let dns = |s: i64, host: &str| {
        format!(
            "Nov 21 {} dnsmasq[88]: query[A] {host}.prox.local from 10.20.0.104",
            Stamp::from_secs(NOW - s).second(0).rsplit_once(' ').unwrap().1
        )
    };
    let web = |s: i64, uri: &str, status: u16| {
        format!(
            r#"{{"level":"{}","ts":{}.25,"msg":"handled request","request":{{"remote_ip":"10.1.2.3","method":"GET","host":"nextcloud.prox.local","uri":"{uri}"}},"duration":0.0123,"size":512,"status":{status}}}"#,
            if status >= 500 { "error" } else { "info" },
            NOW - s
        )
    };
    tell(app, LogSource::Dnsmasq, 0, &[dns(600, "nextcloud"), dns(300, "gitea"), dns(120, "wiki"), dns(60, "nextcloud"), dns(3, "gitea")]);
    let bad: Vec<String> = (0..7).map(|n| web(420 - n, "/apps/dashboard", 502)).collect();
    tell(app, LogSource::Caddy, 0, &[vec![web(599, "/login", 200)], bad, vec![web(110, "/status", 500), web(59, "/health", 200)]].concat());
    tell(app, LogSource::Dnsmasq, 5_400, &[dns(-5, "wiki")]);
    tell(app, LogSource::Caddy, 5_600, &[web(-5, "/files", 404)]);
}

#[test]
fn lines_of_several_logs_stand_by_their_times() {
    let mut app = test_app();
    merged_logs(&mut app);
    shot("logs-merged", &mut app);
    let screen = text(&draw(&mut app, 120, 40));
    let times: Vec<&str> = screen
        .lines()
        .filter(|l| l.contains(" dns ") || l.contains(" web "))
        .map(|l| l[1..].trim_start_matches('▸').split(' ').next().unwrap())
        .collect();
    assert!(times.len() == 17 && times.is_sorted(), "{times:?}");
    assert!(screen.contains("lag 0.4 s"), "{screen}");
    keys(&mut app, "s");
    shot("log-sources-tally", &mut app);
    // A minute later one of them has grown by a lot, and the other has told nothing for hours.
    keys(&mut app, "<Esc>");
    let lines = vec![LogLine { text: vec![b'x'; 6 << 20].into() }];
    app.learn(Fact::Log { source: LogSource::Dnsmasq, at: Stamp::from_secs(NOW + 60), lines, dropped: 0 });
    app.learn(Fact::Clock { now: Stamp::from_secs(NOW + 60), offset_s: 0 });
    keys(&mut app, "s");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("grows 360 MiB/h"), "{screen}");
    keys(&mut app, "<Esc>");
    app.learn(Fact::Clock { now: Stamp::from_secs(NOW + 8_000), offset_s: 0 });
    keys(&mut app, "s");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("silent for 2 h"), "{screen}");
}

#[test]
fn errors_levels_and_times_have_keys() {
    let mut app = test_app();
    merged_logs(&mut app);
    let selected =
        |app: &mut App| text(&draw(app, 120, 40)).lines().find(|l| l.starts_with('▸')).map(|l| l.trim().to_owned()).unwrap_or_default();
    keys(&mut app, "E");
    assert!(selected(&mut app).contains("/status"), "{}", selected(&mut app));
    keys(&mut app, "E");
    assert!(selected(&mut app).contains("14:25:14"), "{}", selected(&mut app));
    keys(&mut app, "ee");
    assert!(text(&draw(&mut app, 80, 24)).contains("no error below"));
    keys(&mut app, "t9m<Enter>");
    assert!(selected(&mut app).contains("14:25:08"), "{}", selected(&mut app));
    keys(&mut app, "t14:30<Enter>");
    assert!(selected(&mut app).contains("14:30:08"), "{}", selected(&mut app));
    keys(&mut app, "tsoon<Enter>");
    assert!(text(&draw(&mut app, 120, 40)).contains("'soon' is no time") && app.context() == Context::Logs);
    keys(&mut app, "<Esc>++");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains(">= warn") && screen.contains("9 match"), "{screen}");
    keys(&mut app, "+W8m .. 5m<Enter>/dash<Enter>");
    shot("logs-bounds", &mut app);
    assert!(text(&draw(&mut app, 80, 24)).contains("7 match"));
    keys(&mut app, "-----W<C-u><Enter>");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(!screen.contains("since") && !screen.contains(">=") && screen.contains("7 match"), "{screen}");
    keys(&mut app, "W5m .. 8m<Enter>");
    assert!(text(&draw(&mut app, 80, 24)).contains("it ends before it begins"));
}

#[test]
fn filters_are_switched_without_losing_them() {
    let mut app = test_app();
    merged_logs(&mut app);
    keys(&mut app, "/nextcloud !health !502<Enter>f");
    shot("logs-filters", &mut app);
    keys(&mut app, "3<Enter>");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("1 filter off") && screen.contains("nextcloud !health") && screen.contains("502 GET"), "{screen}");
    keys(&mut app, "f3<Enter>");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(!screen.contains("filter off") && !screen.contains("502 GET"), "{screen}");
}

#[test]
fn bookmarks_hold_and_come_back() {
    let mut app = test_app();
    merged_logs(&mut app);
    assert!(keys(&mut app, "Emthe disk was full").is_empty());
    let kept = keys(&mut app, "<Enter>");
    let [Effect::Marks(Some(marks))] = &kept[..] else { panic!("not kept") };
    assert!(marks.len() == 1 && marks[0].note == "the disk was full" && marks[0].head.contains("/status"));
    shot("logs-bookmark", &mut app);
    keys(&mut app, "EE");
    assert!(!text(&draw(&mut app, 80, 24)).contains("the disk was full"));
    keys(&mut app, "]");
    assert!(text(&draw(&mut app, 80, 24)).contains("the disk was full"));
    assert!(matches!(&keys(&mut app, "m")[..], [Effect::Marks(Some(none))] if none.is_empty()));
    // Another session, in which the same lines are read anew.
    let mut later = test_app();
    assert!(keys(&mut later, "4").iter().any(|e| matches!(e, Effect::Marks(None))));
    later.learn(Fact::Marks(marks.clone()));
    merged_logs(&mut later);
    keys(&mut later, "[");
    assert!(text(&draw(&mut later, 80, 24)).contains("the disk was full"));
    keys(&mut later, "GM");
    shot("log-bookmarks", &mut later);
    keys(&mut later, "<Enter>");
    assert!(text(&draw(&mut later, 80, 24)).contains("the disk was full"));
    assert!(matches!(&keys(&mut later, "M ")[..], [Effect::Marks(Some(none))] if none.is_empty()));
}

#[test]
fn what_is_shown_is_written_byte_for_byte() {
    let mut app = test_app();
    keys(&mut app, "4");
    let line = |n: usize| LogLine { text: [format!("line {n} ").as_bytes(), b"\x1b[2J\xff\r"].concat().into() };
    app.learn(Fact::Log { source: LogSource::Dnsmasq, at: Stamp::from_secs(NOW), lines: (0..9_000).map(line).collect(), dropped: 0 });
    keys(&mut app, "/7<Enter>");
    assert!(keys(&mut app, "><C-u>/x/lines<Enter>").is_empty() && app.ready().is_none());
    while app.work() {}
    let Some(Effect::Export { path, text, lines }) = app.ready() else { panic!("nothing to write") };
    let expected: Vec<u8> = (0..9_000).filter(|n| n.to_string().contains('7')).flat_map(|n| [&line(n).text[..], b"\n"].concat()).collect();
    assert_eq!((path.as_str(), lines), ("/x/lines", expected.iter().filter(|b| **b == b'\n').count() as u64));
    assert!(text == expected && app.ready().is_none());
    keys(&mut app, "><C-u>relative<Enter>");
    assert!(crate::text(&draw(&mut app, 80, 24)).contains("a whole path"));
}

#[test]
fn scrolling_up_pauses_and_stays_paused() {
    let mut app = test_app();
    keys(&mut app, "4");
    let many: Vec<String> = (0..200).map(|n| format!("line {n}")).collect();
    log(&mut app, LogSource::Dnsmasq, &many.iter().map(String::as_str).collect::<Vec<_>>());
    keys(&mut app, "<Down>");
    assert!(text(&draw(&mut app, 80, 24)).contains("following"), "down at the end does not pause");
    keys(&mut app, "<Up>");
    let before = text(&draw(&mut app, 80, 24));
    assert!(before.contains("paused, 0 new below"));
    log(&mut app, LogSource::Dnsmasq, &["newest"; 37]);
    let after = text(&draw(&mut app, 80, 24));
    assert!(after.contains("paused, 37 new below") && !after.contains("newest"), "{after}");
    let body = |s: &str| s.lines().skip(5).take(14).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(body(&before), body(&after));
    keys(&mut app, "G");
    assert!(text(&draw(&mut app, 80, 24)).contains("newest"));
}

#[test]
fn long_lines_scroll_and_wrap() {
    let mut app = test_app();
    keys(&mut app, "4");
    let long: String = (0..40).map(|n| format!("word{n:02} ")).collect();
    log(&mut app, LogSource::Caddy, &[&long, "short", &long]);
    keys(&mut app, "<Right>");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("from column 17") && !screen.contains("word01"), "{screen}");
    keys(&mut app, "w");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("word00") && screen.contains("word39"), "{screen}");
    keys(&mut app, "<Up><Up>");
    assert!(text(&draw(&mut app, 40, 15)).contains("▸"));
}

#[test]
fn a_filter_on_many_lines_is_finished_by_work() {
    let mut app = test_app();
    keys(&mut app, "4");
    let lines: Vec<LogLine> = (0..60_000).map(|n| LogLine { text: format!("line {n}").into_bytes().into() }).collect();
    app.learn(Fact::Log { source: LogSource::Dnsmasq, at: Stamp::from_secs(NOW), lines, dropped: 5 });
    keys(&mut app, "/00$");
    assert!(text(&draw(&mut app, 80, 24)).contains("looking"));
    while app.work() {}
    assert!(app.is_dirty());
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("599 match") && screen.contains("5 dropped"), "{screen}");
}

#[test]
fn audit() {
    let mut app = test_app();
    let asked = keys(&mut app, "A");
    assert!(matches!(&asked[..], [Effect::Audit { words, below: None }] if words.is_empty()));
    app.learn(Fact::News(Box::new(News { jobs: Some(Part::new(jobs(), Stamp::from_secs(NOW), From::Files)), ..News::default() })));
    shot("audit-reading", &mut app);
    let answer = |app: &mut App, words: &str, below, page| app.learn(Fact::Audit { words: words.into(), below, page: Ok(Box::new(page)) });
    answer(&mut app, "", None, records(8, Some(9)));
    shot("audit", &mut app);
    keys(&mut app, "<Down>");
    shot("audit-second", &mut app);
    keys(&mut app, "<Enter>");
    shot("audit-entry", &mut app);
    keys(&mut app, "<Esc>");
    // Unknown is said to be unknown, in the list and where one reads on.
    keys(&mut app, "g<Enter>");
    assert!(text(&draw(&mut app, 80, 24)).contains("no outcome is written down"));
    keys(&mut app, "<Esc>");

    // The job of an entry, or why there is none.
    let effects = keys(&mut app, "J");
    assert!(matches!(&effects[..], [Effect::Follow { source: LogSource::Job(_), on: true }]) && app.context() == Context::Job);
    keys(&mut app, "<Esc>");
    assert_eq!(app.context(), Context::Audit);
    keys(&mut app, "<Down><Down><Down>J");
    assert!(text(&draw(&mut app, 80, 24)).contains("No job belongs"));
    keys(&mut app, "<Esc>");

    // What cannot be taken back says so; the way back from a saved setting is its history.
    assert!(keys(&mut app, "u").is_empty() && app.context() == Context::Audit);
    let page = proximity::domain::audit::Page { records: records(8, None).records.split_off(7), total: 8, ..Default::default() };
    let asked = keys(&mut app, "R");
    assert!(matches!(&asked[..], [Effect::Audit { .. }]));
    answer(&mut app, "", None, page);
    keys(&mut app, "<Enter>");
    shot("audit-entry-settings", &mut app);
    keys(&mut app, "<Esc>");
    let asked = keys(&mut app, "u");
    assert!(matches!(&asked[..], [Effect::History(key)] if key.to_string() == "network.subnet") && app.context() == Context::Settings);
    keys(&mut app, "1A");

    // A filter is asked for as it is typed; an answer to what was typed before is not shown.
    let asked = keys(&mut app, "/bob");
    let words: Vec<&str> = asked.iter().map(|e| if let Effect::Audit { words, .. } = e { words.as_str() } else { "?" }).collect();
    assert_eq!(words, ["b", "bo", "bob"]);
    answer(&mut app, "b", None, records(8, None));
    assert!(!text(&draw(&mut app, 80, 24)).contains("back up"));
    answer(&mut app, "bob", None, proximity::domain::audit::Page { total: 20, ..Default::default() });
    shot("audit-filter-none", &mut app);
    let asked = keys(&mut app, "<Enter><Esc>");
    assert!(matches!(&asked[..], [Effect::Audit { words, below: None }] if words.is_empty()));
    app.learn(Fact::Audit { words: String::new(), below: None, page: Err("the store: it is busy".into()) });
    shot("audit-unknown", &mut app);
}

#[test]
fn older_entries_are_asked_for_on_the_way_down() {
    let mut app = test_app();
    app.resize(80, 24);
    keys(&mut app, "A");
    let answer = |app: &mut App, below, page| app.learn(Fact::Audit { words: String::new(), below, page: Ok(Box::new(page)) });
    // Nothing of what is wanted in a stretch: the next is asked for by itself.
    let on = answer(&mut app, None, proximity::domain::audit::Page { total: 900, next: Some(700), ..Default::default() });
    assert!(matches!(&on[..], [Effect::Audit { below: Some(700), .. }]));
    assert!(answer(&mut app, Some(700), records(60, Some(600))).is_empty());
    assert!(keys(&mut app, "<Down>").is_empty());
    let asked = keys(&mut app, "G");
    assert!(matches!(&asked[..], [Effect::Audit { below: Some(600), .. }]));
    assert!(keys(&mut app, "G").is_empty(), "it is asked once");
    assert!(answer(&mut app, Some(700), records(60, Some(600))).is_empty(), "an old answer");
    answer(&mut app, Some(600), records(8, None));
    keys(&mut app, "G");
    assert!(text(&draw(&mut app, 80, 24)).contains("68 records of 900 entries · that is all"));
}

#[test]
fn backups() {
    let mut app = test_app();
    keys(&mut app, "6");
    shot("backups", &mut app);
    // One came back, and one did not.
    let mut jobs = world::jobs();
    let Some(one) = jobs.iter().position(|j| j.state.is_final()) else { panic!("no job ended") };
    let mut restore = |id, state, volid: &str, what: &str| {
        let mut plan = world::plan(Risk::Low);
        if let proximity::domain::plan::Act::Run { cmd, .. } = &mut plan.steps[0].act {
            cmd.args[2] = volid.to_owned();
        }
        let mut job = jobs[one].clone();
        (job.id, job.state, job.order) = (id, state, proximity::domain::plan::Approved::new(plan, "ada", None).unwrap());
        (job.life.started, job.life.ended) = (Some(world::ago(7300)), Some(world::ago(7259)));
        job.life.outcome.as_mut().unwrap().what = what.into();
        jobs.push(job);
    };
    let archives = world::news().archives.unwrap().known.unwrap();
    let of = |id: u32| archives.iter().find(|a| a.vmid.map(u32::from) == Some(id)).unwrap().volid.clone();
    restore(90, proximity::domain::job::State::Succeeded, &of(105), "107 is there and was checked");
    restore(91, proximity::domain::job::State::Failed, &of(101), "nothing listens on 80 in 107");
    drop(app.learn(Fact::News(Box::new(News { jobs: Some(world::part(jobs)), ..News::default() }))));
    shot("backups-proven", &mut app);
    keys(&mut app, "j<Enter>");
    assert!(text(&draw(&mut app, 120, 40)).contains("did not come back: nothing listens on 80"));
    keys(&mut app, "<Esc>k");
    keys(&mut app, "j<Enter>");
    shot("archive-details", &mut app);
    keys(&mut app, "<Esc>r");
    shot("restore", &mut app);
    assert!(keys(&mut app, "<BS><BS><BS>101<Enter>").is_empty());
    assert!(text(&draw(&mut app, 80, 24)).contains("101 web is there already"));
    // A storage, the network, and then it is to take the place: so it is not plugged in before.
    keys(&mut app, "<BS>7<Tab> <Tab> <Tab> ");
    shot("restore-in-place", &mut app);
    use proximity::domain::restore::After;
    let wished = |effects: Vec<Effect>| match &effects[..] {
        [Effect::Plan(proximity::domain::fact::Wish::Restore(wish))] => wish.clone(),
        _ => panic!("no wish"),
    };
    let wish = wished(keys(&mut app, "<Enter>"));
    assert_eq!((wish.to, wish.after, wish.plugged), ("107".parse().ok(), After::Swap, false));
    assert!(wish.storage.is_some());
    keys(&mut app, "<Esc>r<Tab><Tab> <Tab>  ");
    let wish = wished(keys(&mut app, "<Enter>"));
    assert_eq!((wish.after, wish.plugged, wish.storage), (After::Stay, true, None));
}

#[test]
fn when_a_guest_is_backed_up_is_typed_as_proxmox_writes_it() {
    use proximity::domain::fact::Wish;
    use proximity::domain::schedule::plan::{ScheduleWish, SetWish};
    let mut app = test_app();
    keys(&mut app, "6jjjs");
    let hint = text(&draw(&mut app, 80, 24));
    assert!(hint.contains("when 103 db is backed up") && hint.contains("mon..fri 22:30"), "{hint}");
    assert!(keys(&mut app, "noday<Enter>").is_empty());
    assert!(text(&draw(&mut app, 80, 24)).contains("is no schedule"));
    keys(&mut app, "<BS><BS><BS><BS><BS>sat 15:00");
    shot("schedule", &mut app);
    keys(&mut app, "<Tab>local<Tab>keep-last=x");
    assert!(keys(&mut app, "<Enter>").is_empty());
    let effects = keys(&mut app, "<BS>3<Enter>");
    let [Effect::Plan(Wish::Schedule(ScheduleWish::Set(wish)))] = &effects[..] else { panic!("no wish") };
    let expected = SetWish {
        guest: "103".parse().ok(),
        when: "sat 15:00".into(),
        storage: "local".parse().ok(),
        mode: None,
        keep: Some("keep-last=3".into()),
        id: None,
    };
    assert_eq!(*wish, expected);
}

/// Settings as a store would tell them.
fn with_settings(app: &mut App, checked: bool, refresh: u32) {
    let mut s = Settings::default();
    s.checked = checked;
    let mut put = |name: &str, held: Held, version: u32, days: i64, by: &str| {
        s.put(name.parse().unwrap(), Row { held, version, at: Stamp::from_secs(NOW - days * 86_400), by: by.into() });
    };
    let value = |name: &str, text: &str| Held::Value(name.parse::<Key>().unwrap().definition().parse(text).unwrap());
    put("proxmox.hosts", value("proxmox.hosts", "pve1.example.org, 10.1.2.30"), 1, 40, "ada");
    put("proxmox.secret", Held::Secret, 2, 12, "ada");
    put("proxmox@lab.secret", Held::Bad("was changed outside Proximity".into()), 1, 3, "grace");
    put("network.domain", value("network.domain", "apps.example.org"), 1, 40, "ada");
    put("system.refresh", value("system.refresh", "30 s"), refresh, 0, "grace");
    let part = Part::new(s, Stamp::from_secs(NOW), proximity::domain::world::From::Files);
    app.learn(Fact::News(Box::new(News { settings: Some(part), ..News::default() })));
}

#[test]
fn settings() {
    let mut app = test_app();
    keys(&mut app, "9");
    shot("settings-nothing-kept", &mut app);
    with_settings(&mut app, true, 2);
    shot("settings", &mut app);
    // An edit that is no value, then one that does not go with the rest, then one that does.
    keys(&mut app, "<Tab><Tab>e<C-u>10.30.0.1/24");
    assert!(app.context() == Context::Settings && keys(&mut app, "<Enter>").is_empty());
    shot("settings-error-while-typing", &mut app);
    keys(&mut app, "<C-u>10.30.0.0/24");
    shot("settings-does-not-go-together", &mut app);
    keys(&mut app, "<Enter>s");
    shot("settings-cannot-be-saved", &mut app);
    assert!(keys(&mut app, "y<Enter>").is_empty(), "what does not go together is not sent");
    keys(&mut app, "<Esc>je<C-u>10.30.0.1<Enter>je<C-u>10.30.0.100-10.30.0.250<Enter>");
    shot("settings-three-edits", &mut app);
    keys(&mut app, "s");
    shot("settings-save", &mut app);
    assert!(keys(&mut app, "n").is_empty());
    keys(&mut app, "s");
    let effects = keys(&mut app, "y");
    let [Effect::Save(save)] = &effects[..] else { panic!("not sent") };
    let sent: Vec<String> = save.iter().map(|s| format!("{} {} {}", s.key, s.seen, s.change.shown(s.key.definition()))).collect();
    assert_eq!(sent, ["network.subnet 0 10.30.0.0/24", "network.gateway 0 10.30.0.1", "network.dhcp 0 10.30.0.100-10.30.0.250"]);
    app.learn(Fact::Saved(Err(Refusal::new("save the settings", "network.dhcp was changed by grace meanwhile", "look at what holds now"))));
    shot("settings-conflict", &mut app);
    keys(&mut app, "<Esc>");
    assert!(text(&draw(&mut app, 80, 24)).contains("3 not saved"), "nothing of the edits is lost");
    keys(&mut app, "su");
    keys(&mut app, "<Esc>s<Enter>");
    app.learn(Fact::Saved(Ok(3)));
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("saved 3 settings") && !screen.contains("not saved"), "{screen}");
}

#[test]
fn settings_switches_undo_and_a_conflict_on_the_screen() {
    let mut app = test_app();
    with_settings(&mut app, true, 2);
    keys(&mut app, "9<S-Tab>");
    assert!(text(&draw(&mut app, 80, 24)).contains("system.log_level"));
    keys(&mut app, "je<C-u>1 min<Enter>");
    keys(&mut app, "jjjj ");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("2 not saved") && screen.contains("30 s → 1 min") && screen.contains("off → on"), "{screen}");
    keys(&mut app, "  ");
    assert!(text(&draw(&mut app, 80, 24)).contains("2 not saved"), "on, off, on");
    keys(&mut app, "uuu");
    assert!(text(&draw(&mut app, 80, 24)).contains("1 not saved"));
    with_settings(&mut app, true, 3);
    assert!(text(&draw(&mut app, 80, 24)).contains("changed meanwhile"));
    keys(&mut app, "s");
    shot("settings-save-after-somebody-else", &mut app);
    let effects = keys(&mut app, "y");
    let [Effect::Save(save)] = &effects[..] else { panic!("not sent") };
    assert_eq!(save[0].seen, 3, "the dialog showed version 3");
    app.learn(Fact::Saved(Ok(1)));
    keys(&mut app, "<Tab>");
    assert!(matches!(&keys(&mut app, "<Enter>")[..], [Effect::History(key)] if key.to_string() == "proxmox.hosts"));
}

#[test]
fn settings_history_and_revert() {
    let mut app = test_app();
    with_settings(&mut app, true, 2);
    let key: Key = "system.refresh".parse().unwrap();
    let past = |version: u32, days: i64, by: &str, old: Held, new: Held| Past {
        key: "system.refresh".parse().unwrap(),
        version,
        at: Stamp::from_secs(NOW - days * 86_400),
        by: by.into(),
        old: Some(old),
        new,
        now: version == 2,
        kept: false,
    };
    let span = |s| Held::Value(Value::Span(s));
    keys(&mut app, "9");
    app.learn(Fact::History(key.clone(), vec![past(2, 0, "grace", span(60), span(30)), past(1, 40, "ada", Held::Default, span(60))]));
    shot("settings-history", &mut app);
    keys(&mut app, "<Enter>");
    assert!(text(&draw(&mut app, 80, 24)).contains("holds now"));
    keys(&mut app, "j<Enter>");
    assert!(text(&draw(&mut app, 80, 24)).contains("1 not saved"));
    keys(&mut app, "s");
    assert!(text(&draw(&mut app, 80, 24)).contains("30 s → 1 min"));
    keys(&mut app, "<Esc>");
    app.learn(Fact::History(key, vec![]));
    assert!(text(&draw(&mut app, 80, 24)).contains("never changed"));
}

#[test]
fn a_secret_is_changed_by_trying_it() {
    let mut app = test_app();
    with_settings(&mut app, true, 2);
    assert!(keys(&mut app, "9jjje").is_empty());
    assert_eq!(app.context(), Context::Form);
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("try a Proxmox API credential") && screen.contains("pve1.example.org"), "{screen}");
    keys(&mut app, "<Esc>");
    // The credential before comes back by one key and a yes.
    keys(&mut app, "U");
    shot("settings-credential-back", &mut app);
    assert!(keys(&mut app, "n").is_empty());
    keys(&mut app, "U");
    assert!(matches!(&keys(&mut app, "y")[..], [Effect::CredentialBack(site)] if site.is_empty()));
    // An edit beside it that would send the secret elsewhere cannot be saved.
    keys(&mut app, "kkke<C-u>evil.example.org<Enter>s");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("a credential is tried before it is kept") && screen.contains("cannot be saved like this"), "{screen}");
    assert!(keys(&mut app, "y").is_empty());
}

#[test]
fn settings_without_a_store_are_only_to_look_at() {
    let mut app = test_app();
    with_settings(&mut app, false, 2);
    app.learn(Fact::Gate(Gate::Broken { what: "the store was tampered with".into(), hint: "see doctor".into() }));
    keys(&mut app, "<Esc>9");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("only to look at"), "{screen}");
    for go in ["e", "d", "a", "<S-Tab>jjjjj "] {
        keys(&mut app, go);
        let screen = text(&draw(&mut app, 80, 24));
        assert!(screen.contains("only to look at: the store was tampered with"), "{go} {screen}");
    }
    assert!(keys(&mut app, "sy").is_empty());
    app.learn(Fact::News(Box::new(News { settings: Some(Part::unknown("disk I/O error", Stamp::from_secs(NOW))), ..News::default() })));
    assert!(text(&draw(&mut app, 80, 24)).contains("? settings: disk I/O error"));
}

#[test]
fn a_new_site_and_looks_by_setting() {
    let mut app = test_app();
    with_settings(&mut app, true, 2);
    keys(&mut app, "9aLab!");
    shot("settings-new-site", &mut app);
    keys(&mut app, "<C-u>edge<Enter>e10.9.9.9<Enter>s");
    assert!(text(&draw(&mut app, 80, 24)).contains("proxmox@edge.hosts"));
    let effects = keys(&mut app, "y");
    assert!(matches!(&effects[..], [Effect::Save(save)] if save[0].key.to_string() == "proxmox@edge.hosts"));
    let key: Key = "system.theme".parse().unwrap();
    let mut s = Settings::default();
    s.put(key, Row { held: Held::Value(Value::Word("plain")), version: 1, at: Stamp::from_secs(NOW), by: "ada".into() });
    let part = Part::new(s, Stamp::from_secs(NOW), proximity::domain::world::From::Files);
    app.learn(Fact::News(Box::new(News { settings: Some(part), ..News::default() })));
    let screen = draw(&mut app, 80, 24);
    assert!(screen.content.iter().all(|c| c.symbol().is_ascii() && c.fg == ratatui::style::Color::Reset), "{}", text(&screen));
}

#[test]
fn backups_empty_and_unknown() {
    let mut app = test_app();
    keys(&mut app, "6");
    app.learn(Fact::News(Box::new(News {
        archives: Some(Part::new(vec![], Stamp::from_secs(NOW), proximity::domain::world::From::Files)),
        ..News::default()
    })));
    shot("backups-none", &mut app);
    app.learn(Fact::News(Box::new(News {
        archives: Some(Part::unknown("storage nas does not answer", Stamp::from_secs(NOW))),
        ..News::default()
    })));
    shot("backups-unknown", &mut app);
}

#[test]
fn plan_dialogs() {
    let mut app = test_app();
    app.learn(Fact::Planned(Ok(Box::new(plan(Risk::Low)))));
    shot("plan-low", &mut app);
    keys(&mut app, "<Tab>");
    shot("plan-low-details", &mut app);
    let effects = keys(&mut app, "<Enter>");
    let [Effect::Start(approved)] = &effects[..] else { panic!("not started") };
    assert_eq!((approved.by.as_str(), approved.plan()), ("ada", &plan(Risk::Low)));
}

#[test]
fn enter_alone_never_interrupts_or_destroys() {
    let mut app = test_app();
    app.learn(Fact::Planned(Ok(Box::new(plan(Risk::Interrupts)))));
    assert!(keys(&mut app, "<Enter><Enter> ").is_empty());
    shot("plan-interrupts", &mut app);
    assert!(matches!(&keys(&mut app, "y")[..], [Effect::Start(_)]));

    app.learn(Fact::Planned(Ok(Box::new(plan(Risk::Destroys { name: "web".into() })))));
    assert!(keys(&mut app, "<Enter>y<Enter>").is_empty());
    shot("plan-destroys", &mut app);
    assert!(app.paste("web\r").is_empty());
    assert!(keys(&mut app, "<Enter>").is_empty(), "yweb is not web");
    assert!(matches!(&keys(&mut app, "<BS><BS><BS><BS>web<Enter>")[..], [Effect::Start(_)]));

    app.learn(Fact::Planned(Ok(Box::new(plan(Risk::Destroys { name: String::new() })))));
    assert!(keys(&mut app, "<Esc><Enter>").is_empty());
}

#[test]
fn nothing_changes_without_a_store() {
    let mut app = test_app();
    app.learn(Fact::Gate(Gate::NoStore("proximity setup".into())));
    keys(&mut app, "<Esc>");
    assert!(!keys(&mut app, "b").iter().any(|e| matches!(e, Effect::Plan(_))));
    assert!(text(&draw(&mut app, 80, 24)).contains("proximity setup"));
    app.learn(Fact::Planned(Ok(Box::new(plan(Risk::Low)))));
    assert!(!keys(&mut app, "y").iter().any(|e| matches!(e, Effect::Start(_))));
}

#[test]
fn refusals_and_problems() {
    let mut app = test_app();
    app.learn(Fact::Planned(Err(Refusal::new(
        "back up 103",
        "103 db is locked (backup)",
        "wait for what holds it; if nothing does, pct unlock after a look",
    ))));
    shot("refusal", &mut app);
    keys(&mut app, "<Enter>");
    app.learn(Fact::Problem { what: "the job could not be started: systemd-run is not there".into(), hint: "see doctor".into() });
    shot("problem", &mut app);
}

#[test]
fn help_palette_menu() {
    let mut app = test_app();
    keys(&mut app, "?");
    shot("help", &mut app);
    keys(&mut app, "<Esc>:");
    shot("palette", &mut app);
    keys(&mut app, "bkweb");
    shot("palette-found", &mut app);
    assert!(matches!(&keys(&mut app, "<Enter>")[..], [Effect::Plan(_)]));
    keys(&mut app, "x");
    shot("menu", &mut app);
    assert!(keys(&mut app, "<Enter>").is_empty(), "it runs already");
    assert!(matches!(&keys(&mut app, "2")[..], [Effect::Plan(_)]));
}

#[test]
fn lock_screen() {
    let mut app = test_app();
    keys(&mut app, "x");
    assert!(matches!(&keys(&mut app, "<Esc>z")[..], [Effect::Lock]));
    app.learn(Fact::Gate(Gate::Locked(vec!["ada".into(), "grace".into()])));
    shot("locked", &mut app);
    keys(&mut app, "wrong<Enter>");
    app.learn(Fact::UnlockFailed("that is not the passphrase".into()));
    shot("locked-wrong", &mut app);
    let effects = keys(&mut app, "<Down>q1:?<Enter>");
    let [Effect::Unlock { operator, passphrase }] = &effects[..] else { panic!("not tried") };
    assert_eq!((operator.as_str(), passphrase.expose()), ("grace", &b"q1:?"[..]));
    assert!(!text(&draw(&mut app, 80, 24)).contains("nextcloud"), "nothing of the host is behind it");
    app.learn(Fact::Planned(Ok(Box::new(plan(Risk::Low)))));
    app.learn(Fact::Gate(Gate::Open("grace".into())));
    assert_eq!(app.context(), Context::Overview);
    assert!(text(&draw(&mut app, 80, 24)).contains("grace"));
    assert!(matches!(&keys(&mut app, "<C-c>")[..], [Effect::Quit]));
}

fn taken(step: Step, mark: Mark, found: &[&str], hint: &str) -> Taken {
    Taken { step, mark, found: found.iter().map(|f| (*f).to_owned()).collect(), hint: hint.into() }
}

#[test]
fn a_credential_is_tried_before_it_is_kept() {
    let mut app = test_app();
    assert!(keys(&mut app, "P<Enter>").is_empty(), "there is nothing to try yet");
    keys(&mut app, "pve1<Tab>root@pam<Tab>");
    app.paste("MARKER-of-a-secret");
    shot("credential", &mut app);
    assert!(!text(&draw(&mut app, 120, 40)).contains("MARK"));
    let effects = keys(&mut app, "<Tab>/etc/pve/pve-root-ca.pem<Enter>");
    let [Effect::Try { nth, candidate }] = &effects[..] else { panic!("not tried") };
    let nth = *nth;
    assert_eq!((candidate.address.to_string().as_str(), candidate.account.as_str()), ("pve1:8006", "root@pam"));
    assert_eq!(candidate.trust, Trust::File("/etc/pve/pve-root-ca.pem".into()));
    assert_eq!(candidate.secret.expose(), b"MARKER-of-a-secret");
    assert!(keys(&mut app, "x<Enter>").is_empty(), "it is being tried");
    let learn = |app: &mut App, news| drop(app.learn(Fact::Trial { nth, news }));
    learn(&mut app, Progress::Taken(taken(Step::Address, Mark::Good, &["pve1:8006 is 10.0.0.2:8006 and answers"], "")));
    let shown = ["for pve1, Proxmox Virtual Environment, by PVE Cluster Manager CA, 3 days left", "signed by the given authority"];
    learn(&mut app, Progress::Taken(taken(Step::Certificate, Mark::Warn, &shown, "on the node: pvecm updatecerts")));
    learn(&mut app, Progress::Begun(Step::Login));
    // News of another try are not of this one.
    app.learn(Fact::Trial { nth: nth + 1, news: Progress::Asks(vec![Factor::Recovery]) });
    learn(&mut app, Progress::Asks(vec![Factor::Totp, Factor::Recovery]));
    keys(&mut app, "287082");
    shot("credential-code", &mut app);
    assert!(!text(&draw(&mut app, 120, 40)).contains("287082"));
    assert!(matches!(&keys(&mut app, "<Enter>")[..], [Effect::Answer(c)] if c.factor == Factor::Totp && c.code.expose() == b"287082"));
    let why = ["the TOTP code was not taken: authentication failure (401)"];
    let login = taken(Step::Login, Mark::Bad, &why, "try again with a fresh code; eight wrong ones in a row lock TOTP for this user");
    learn(&mut app, Progress::Taken(login.clone()));
    let steps = vec![taken(Step::Address, Mark::Good, &["pve1:8006 answers"], ""), login];
    let report = Report { steps, trouble: Some(Trouble::NotAllowed), ..Report::default() };
    learn(&mut app, Progress::Ended(Box::new(report)));
    shot("credential-report", &mut app);
    // What was typed stays for the next try, the secret too.
    let effects = keys(&mut app, "<Esc><Enter>");
    let [Effect::Try { nth, candidate }] = &effects[..] else { panic!("not tried again") };
    assert_eq!(candidate.secret.len(), 18);
    // A try that passed may be kept; what is typed afterwards was not tried.
    let nth = *nth;
    let learn = |app: &mut App, news| drop(app.learn(Fact::Trial { nth, news }));
    let steps = Step::ALL.map(|step| taken(step, Mark::Good, &["well"], "")).to_vec();
    let passed = Report { steps, ..Report::default() };
    learn(&mut app, Progress::Ended(Box::new(passed.clone())));
    keys(&mut app, "<Esc>");
    shot("credential-passed", &mut app);
    assert!(matches!(&keys(&mut app, "<Enter>")[..], [Effect::Keep { nth: n, site }] if *n == nth && site.is_empty()));
    assert!(keys(&mut app, "<Enter>").is_empty(), "once");
    learn(&mut app, Progress::NotKept("the vault is closed".into()));
    assert!(text(&draw(&mut app, 80, 24)).contains("not saved: the vault is closed"));
    let effects = keys(&mut app, "<Enter>");
    let [Effect::Try { nth, .. }] = &effects[..] else { panic!("it is tried again first") };
    let nth = *nth;
    app.learn(Fact::Trial { nth, news: Progress::Ended(Box::new(passed.clone())) });
    keys(&mut app, "<Esc>x<BS>");
    let effects = keys(&mut app, "<Enter>");
    let [Effect::Try { nth, .. }] = &effects[..] else { panic!("what was typed was not tried") };
    let nth = *nth;
    app.learn(Fact::Trial { nth, news: Progress::Ended(Box::new(passed)) });
    keys(&mut app, "<Esc><Enter>");
    app.learn(Fact::Trial { nth, news: Progress::Kept(6) });
    assert_eq!(app.context(), Context::Overview);
    assert!(text(&draw(&mut app, 80, 24)).contains("saved 6 settings"));
    // What is wrong is told before anything is tried.
    assert!(keys(&mut app, "P-o<Enter>").is_empty());
    assert!(text(&draw(&mut app, 80, 24)).contains("'-o' is no host name"));
    assert!(matches!(&keys(&mut app, "<Esc>")[..], [Effect::EndTry]), "leaving ends whatever is tried");
    assert_eq!(app.context(), Context::Overview);
}

#[test]
fn a_code_is_the_second_step_of_a_login() {
    let mut app = test_app();
    app.learn(Fact::Gate(Gate::Locked(vec!["ada".into()])));
    keys(&mut app, "right<Enter>");
    app.learn(Fact::Login(Login::CodeWanted));
    keys(&mut app, "123 45");
    shot("locked-code", &mut app);
    let effects = keys(&mut app, "6<Enter>");
    let [Effect::Code(code)] = &effects[..] else { panic!("not tried") };
    assert_eq!(code.expose(), b"123 456");
    assert!(keys(&mut app, "7<Enter>").is_empty(), "one try at a time");
    app.learn(Fact::Login(Login::Wrong("this code was used already".into())));
    assert!(text(&draw(&mut app, 80, 24)).contains("this code was used already"));
    assert!(matches!(&keys(&mut app, "<Esc>")[..], [Effect::Lock]), "giving up forgets the right passphrase too");
    keys(&mut app, "again<Enter>");
    app.learn(Fact::UnlockFailed("too many tries: the next in 4 s".into()));
    assert!(text(&draw(&mut app, 80, 24)).contains("the next in 4 s"));
}

#[test]
fn what_destroys_asks_again_and_a_wrong_answer_starts_nothing() {
    let mut app = test_app();
    app.learn(Fact::Login(Login::ProofWanted { code: false }));
    keys(&mut app, "secret");
    shot("prove", &mut app);
    let effects = keys(&mut app, "<Enter>");
    assert!(matches!(&effects[..], [Effect::Prove(typed)] if typed.expose() == b"secret"));
    app.learn(Fact::Login(Login::Wrong("the passphrase is wrong".into())));
    assert!(text(&draw(&mut app, 80, 24)).contains("the passphrase is wrong"));
    keys(&mut app, "better<Enter>");
    app.learn(Fact::Login(Login::Proven));
    assert_eq!(app.context(), Context::Overview);
}

#[test]
fn leaving_a_proof_forgets_what_waited() {
    let mut app = test_app();
    app.learn(Fact::Login(Login::ProofWanted { code: false }));
    keys(&mut app, "secret<Enter>");
    assert!(matches!(&keys(&mut app, "<Esc>")[..], [Effect::Withdraw]), "also while it is looked at");
}

#[test]
fn a_second_person_sees_the_plan_and_says_yes_with_his_own_login() {
    let mut app = test_app();
    let order = || Box::new(Approved::new(plan(Risk::Interrupts), "ada", None).unwrap());
    let wanted = |why: &str| Fact::Login(Login::SecondWanted { order: order(), why: why.into() });
    app.learn(wanted(""));
    shot("seconded", &mut app);
    assert!(keys(&mut app, "<Enter>").is_empty(), "nobody is named");
    assert!(keys(&mut app, "otto<Enter>").is_empty(), "the passphrase comes after the name");
    keys(&mut app, "his secret");
    shot("seconded-passphrase", &mut app);
    assert!(!text(&draw(&mut app, 80, 24)).contains("secret"));
    let effects = keys(&mut app, "<Enter>");
    let [Effect::SecondPerson { operator, passphrase }] = &effects[..] else { panic!("not tried") };
    assert_eq!((operator.as_str(), passphrase.expose()), ("otto", &b"his secret"[..]));
    assert!(keys(&mut app, "x<Enter>").is_empty(), "one try at a time");
    app.learn(Fact::Login(Login::Wrong("the passphrase is wrong".into())));
    assert!(text(&draw(&mut app, 80, 24)).contains("the passphrase is wrong"));
    // What was typed for one is not given for another.
    keys(&mut app, "for otto<Tab><BS><BS><BS><BS>vera<Enter>");
    assert!(keys(&mut app, "<Enter>").is_empty());
    assert!(matches!(&keys(&mut app, "hers<Enter>")[..], [Effect::SecondPerson { operator, .. }] if operator == "vera"));
    app.learn(wanted("vera (viewer) may not start or stop this guest"));
    shot("seconded-refused", &mut app);
    keys(&mut app, "otto<Enter>his secret<Enter>");
    app.learn(Fact::Login(Login::CodeWanted));
    keys(&mut app, "<Tab>123 456");
    shot("seconded-code", &mut app);
    let effects = keys(&mut app, "<Enter>");
    assert!(matches!(&effects[..], [Effect::SecondCode(code)] if code.expose() == b"123 456"), "only he goes on");
    app.learn(Fact::Login(Login::Proven));
    assert_eq!(app.context(), Context::Overview);

    // Leaving it is a no, also while a passphrase is looked at.
    for typed in ["", "otto", "otto<Enter>his secret<Enter>"] {
        app.learn(wanted(""));
        keys(&mut app, typed);
        assert!(matches!(&keys(&mut app, "<Esc>")[..], [Effect::Withdraw]), "{typed}");
        assert_eq!(app.context(), Context::Overview);
    }
    assert!(text(&draw(&mut app, 80, 24)).contains("nothing was done"));
}

#[test]
fn a_second_factor_is_set_up_on_a_small_screen() {
    let mut app = test_app();
    assert!(matches!(&keys(&mut app, "T")[..], [Effect::BeginSecond]));
    // As large as a picture gets: 33 cells and two of white on each side.
    let row = |n: usize| "█▀▄ ".chars().cycle().skip(n).take(37).collect::<String>();
    let picture = Shown::new((0..19).map(row).collect());
    let words = Shown::new(vec!["ABCD EFGH IJKL MNOP QRST UVWX YZ23 4567".into()]);
    app.learn(Fact::Login(Login::Second(picture, words)));
    shot("second-factor", &mut app);
    let screen = text(&draw(&mut app, 80, 24));
    assert!((0..19).all(|n| screen.contains(&row(n))), "the whole picture is there");
    let effects = keys(&mut app, "123456<Enter>");
    assert!(matches!(&effects[..], [Effect::ConfirmSecond(code)] if code.expose() == b"123456"));
    app.learn(Fact::Login(Login::Wrong("the code is wrong".into())));
    assert!(text(&draw(&mut app, 80, 24)).contains("the code is wrong"));
    let codes = Shown::new((0..10).map(|n| format!("AAAA-BBBB-CCCC-DD{n}{n}")).collect());
    app.learn(Fact::Login(Login::Codes(codes)));
    shot("second-factor-codes", &mut app);
    keys(&mut app, "<Enter>");
    assert!(text(&draw(&mut app, 80, 24)).contains("AAAA-BBBB-CCCC-DD99"), "Enter does not close what is shown once");
    keys(&mut app, "<Esc>");
    assert_eq!(app.context(), Context::Overview);
    assert!(!text(&draw(&mut app, 80, 24)).contains("AAAA-BBBB"));
}

#[test]
fn a_passphrase_leaves_no_trace_on_the_screen() {
    let mut first: Option<Buffer> = None;
    for len in [1, 8, 9, 100, 4096] {
        let mut app = test_app();
        app.learn(Fact::Gate(Gate::Locked(vec!["ada".into()])));
        app.paste(&"Ω".repeat(len / 2));
        keys(&mut app, if len < 100 { "MARKER" } else { "" });
        let screen = draw(&mut app, 80, 24);
        assert!(!text(&screen).contains("MARK") && text(&screen).contains("••••••••"));
        assert_eq!(first.get_or_insert_with(|| screen.clone()), &screen, "length {len}");
    }
}

/// What waits says for whom, and is put in another order by keys.
#[test]
fn the_queue_is_seen_and_put_in_another_order() {
    use proximity::domain::queue::Move;
    let mut app = test_app();
    let mut all = jobs();
    for (id, of) in [(18, 1), (19, 2), (20, 1)] {
        let mut job = all.iter().find(|j| j.id == 17 - of).unwrap().clone();
        (job.id, job.state, job.life) = (id, proximity::domain::job::State::Queued, Default::default());
        all.insert(0, job);
    }
    app.learn(Fact::News(Box::new(News { jobs: Some(world::part(all)), ..News::default() })));
    keys(&mut app, "J");
    shot("jobs-queued", &mut app);
    assert!(matches!(&keys(&mut app, "f")[..], [Effect::PutJob(20, Move::First)]));
    assert!(matches!(&keys(&mut app, "j+")[..], [Effect::PutJob(19, Move::Sooner)]));
    assert!(matches!(&keys(&mut app, "j-")[..], [Effect::PutJob(18, Move::Later)]));
    assert!(keys(&mut app, "jf").is_empty(), "the one that runs waits for nothing");
    keys(&mut app, "kc");
    assert!(text(&draw(&mut app, 80, 24)).contains("it has not begun"));
}

/// Several guests are marked and backed up together; an archive is protected and gets notes.
#[test]
fn many_backups_and_labels() {
    use proximity::domain::backup::label::{Change, LabelWish};
    use proximity::domain::fact::Wish;
    let mut app = test_app();
    keys(&mut app, "6 ");
    let first = text(&draw(&mut app, 80, 24));
    assert!(first.contains("1 marked"), "{first}");
    // All guests, by going through every row.
    for _ in 0..30 {
        keys(&mut app, "j");
        let screen = text(&draw(&mut app, 120, 40));
        let row = screen.lines().find(|l| l.contains('▸')).unwrap_or_default().to_owned();
        if row.contains("archive") || row.contains("never") || row.contains("none found") {
            keys(&mut app, " ");
        }
    }
    shot("backups-marked", &mut app);
    keys(&mut app, "b");
    shot("backups-many", &mut app);
    let started: Vec<u32> = keys(&mut app, "y")
        .iter()
        .filter_map(|e| if let Effect::Start(order) = e { Some(u32::from(order.plan().guest)) } else { None })
        .collect();
    assert!(started.len() > 1, "{started:?}");
    keys(&mut app, "<Esc>gj");
    let wished = keys(&mut app, "p");
    let [Effect::Plan(Wish::Label(LabelWish { volid, change: Change::Protect(_) }))] = &wished[..] else { panic!("no wish") };
    let volid = volid.clone();
    keys(&mut app, "<Esc>e");
    shot("archive-note", &mut app);
    let wished = keys(&mut app, "<C-u>before the upgrade<Enter>");
    let [Effect::Plan(Wish::Label(wish))] = &wished[..] else { panic!("no wish") };
    assert_eq!((&wish.volid, &wish.change), (&volid, &Change::Note("before the upgrade".into())));
}

#[test]
fn jobs_and_leaving() {
    let mut app = test_app();
    assert!(matches!(&keys(&mut app, "q")[..], [Effect::Quit]), "no job runs");
    app.learn(Fact::News(Box::new(News {
        jobs: Some(Part::new(jobs(), Stamp::from_secs(NOW), proximity::domain::world::From::Files)),
        ..News::default()
    })));
    keys(&mut app, "J");
    shot("jobs", &mut app);
    assert!(matches!(&keys(&mut app, "<Enter>")[..], [Effect::Follow { source: LogSource::Job(17), on: true }]));
    app.learn(Fact::LogState { source: LogSource::Job(17), state: LogState::Following });
    log(
        &mut app,
        LogSource::Job(17),
        &[
            "INFO: starting new backup job: vzdump 105",
            "INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-lxc-105-2026_11_21-14_30_00.tar.zst'",
        ],
    );
    shot("job", &mut app);
    keys(&mut app, "c");
    shot("job-cancel", &mut app);
    assert!(keys(&mut app, "<Enter>").is_empty());
    assert!(matches!(&keys(&mut app, "y")[..], [Effect::Cancel(17)]));
    assert!(matches!(&keys(&mut app, "<Esc>")[..], [Effect::Follow { source: LogSource::Job(17), on: false }]));
    keys(&mut app, "j<Enter>");
    shot("job-failed", &mut app);
    keys(&mut app, "<Esc><Esc>q");
    shot("leave", &mut app);
    assert!(matches!(&keys(&mut app, "<Enter>")[..], [Effect::Quit]));
}

#[test]
fn idle_draws_nothing() {
    let mut app = test_app();
    draw(&mut app, 80, 24);
    assert!(!app.is_dirty());
    let clock = |app: &mut App, secs| {
        app.learn(Fact::Clock { now: Stamp::from_secs(NOW + secs), offset_s: 0 });
        app.is_dirty()
    };
    // NOW is 14:32:08; nothing on the screen is finer than a minute.
    assert!((1..50).all(|s| !clock(&mut app, s)));
    assert!(clock(&mut app, 52), "the minute changed");
    draw(&mut app, 80, 24);
    log(&mut app, LogSource::Dnsmasq, &["x"]);
    assert!(!app.is_dirty(), "another pane is shown");
    app.learn(Fact::News(Box::new(news())));
    draw(&mut app, 80, 24);
    app.learn(Fact::News(Box::new(news())));
    assert!(!app.is_dirty(), "the same news change nothing");
    app.key(KeyEvent::new(KeyCode::F(9), KeyModifiers::NONE));
    assert!(!app.is_dirty(), "a key that means nothing");
    app.learn(Fact::Gate(Gate::Locked(vec!["ada".into()])));
    draw(&mut app, 80, 24);
    app.learn(Fact::Problem { what: "x".into(), hint: "y".into() });
    app.learn(Fact::Done("x".into()));
}

#[test]
fn pasted_text_is_never_keys() {
    let mut app = test_app();
    assert!(app.paste("q\nb\n\x03:quit\r").is_empty());
    assert_eq!(app.context(), Context::Overview);
}

/// Names a guest could be given by somebody who wants to fool a terminal or an eye.
fn hostile() -> Vec<String> {
    vec![
        "a\x1b[2J\x1b]52;c;ZXZpbA==\x07b".into(),
        "\u{9b}31mred\u{85}\r\n\0\x7f".into(),
        "gpj\u{202e}exe.\u{2066}x\u{2069}".into(),
        "漢".repeat(255),
        format!("e{}", "\u{301}".repeat(200)),
        "\u{e0041}\u{e0042}tag\u{200d}\u{fe0f}".into(),
        "👨\u{200d}👩\u{200d}👧🇩🇪".into(),
        "confirm? y │ ┘".into(),
        "x".repeat(100_000),
        "\t\ttabs\u{3000}".into(),
    ]
}

fn is_harmless(buf: &Buffer) {
    for (i, cell) in buf.content.iter().enumerate() {
        let bad = |c: char| {
            c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
        };
        assert!(!cell.symbol().chars().any(bad), "cell {i}: {:?}", cell.symbol());
        assert!(cell.symbol().chars().count() <= 5, "{:?}", cell.symbol());
    }
}

#[test]
fn hostile_names_stay_in_their_cells() {
    for (n, name) in hostile().into_iter().enumerate() {
        let mut app = test_app();
        app.learn(Fact::News(Box::new(world::named(&name))));
        for (go, inside) in [
            ("1", false),
            ("6", false),
            ("1x", true),
            ("<Esc>1<Enter>", true),
            ("<Esc>:", true),
            ("<Esc>6r", true),
            ("<Esc>J", true),
            ("<Esc>9", false),
        ] {
            keys(&mut app, go);
            for (w, h) in SIZES {
                let buf = draw(&mut app, w, h);
                is_harmless(&buf);
                let screen = text(&buf);
                for line in screen.lines() {
                    assert!(unicode_width::UnicodeWidthStr::width(line) <= w.into(), "{n} {go}: {line}");
                }
                if inside {
                    // Both borders of a dialog stand in one column from top to bottom.
                    let rows: Vec<&[ratatui::buffer::Cell]> = buf.content.chunks(w.into()).collect();
                    let top = rows.iter().position(|r| r.iter().any(|c| c.symbol() == "┌")).expect("a dialog");
                    let left = rows[top].iter().position(|c| c.symbol() == "┌").unwrap();
                    let right = rows[top].iter().rposition(|c| c.symbol() == "┐").unwrap();
                    let bottom = rows.iter().rposition(|r| r[left].symbol() == "└").unwrap();
                    assert!(
                        rows[top + 1..bottom].iter().all(|r| r[left].symbol() == "│" && r[right].symbol() == "│"),
                        "{n} {go}\n{screen}"
                    );
                }
            }
        }
    }
}

#[test]
fn hostile_log_lines_stay_in_their_cells() {
    let mut app = test_app();
    keys(&mut app, "4");
    for line in hostile() {
        log(&mut app, LogSource::Caddy, &[&line]);
    }
    app.learn(Fact::Log {
        source: LogSource::Caddy,
        at: Stamp::from_secs(NOW),
        lines: vec![LogLine { text: (0..=255).collect::<Vec<u8>>().into() }],
        dropped: 0,
    });
    for go in ["", "w", "<Up><Up>", "w<Right><Right>", "<Enter>", "<Esc>/x"] {
        keys(&mut app, go);
        for (w, h) in SIZES {
            is_harmless(&draw(&mut app, w, h));
        }
    }
}

#[test]
fn odd_sizes() {
    for (w, h) in [(1, 1), (1, 50), (50, 1), (20, 5), (19, 5), (21, 8), (40, 10), (132, 43), (500, 200)] {
        for go in ["", "4", "5", "5p", "5b", "5w", "5x", "6", "9", "9e", "9 s", "x", ":", "?", "J", "r"] {
            let mut app = test_app();
            with_logs(&mut app);
            keys(&mut app, &format!("1{go}"));
            let screen = text(&draw(&mut app, w, h));
            let one_line = screen.lines().skip(1).all(str::is_empty);
            assert_eq!(w < 20 || h < 5, one_line, "{w}x{h}\n{screen}");
        }
        let mut app = test_app();
        app.learn(Fact::Planned(Ok(Box::new(plan(Risk::Destroys { name: "web".into() })))));
        draw(&mut app, w, h);
        app.learn(Fact::Gate(Gate::Locked(vec!["ada".into()])));
        draw(&mut app, w, h);
    }
}

#[test]
fn two_thousand_random_keys_and_sizes() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |n: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % n
    };
    let codes = [
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::PageDown,
        KeyCode::PageUp,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Backspace,
        KeyCode::Delete,
    ];
    let letters: Vec<char> = "1469235bxrlsawedu/nNyJRz+-:?jkgGcqdpUPofY \u{6f22}e\u{301}0(".chars().collect();
    let mut app = test_app();
    with_logs(&mut app);
    for round in 0..2_000 {
        let code = if random(3) == 0 { codes[random(14) as usize] } else { KeyCode::Char(letters[random(letters.len() as u64) as usize]) };
        let modifiers = if random(12) == 0 { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
        for effect in app.key(KeyEvent::new(code, modifiers)) {
            match effect {
                Effect::Lock => drop(app.learn(Fact::Gate(Gate::Locked(vec!["ada".into()])))),
                Effect::Unlock { .. } => drop(app.learn(Fact::Gate(Gate::Open("ada".into())))),
                Effect::Save(save) => drop(app.learn(Fact::Saved(Ok(save.len())))),
                Effect::History(key) => drop(app.learn(Fact::History(key, vec![]))),
                Effect::Plan(_) => drop(app.learn(Fact::Planned(Ok(Box::new(plan(Risk::Interrupts)))))),
                _ => {}
            }
        }
        match random(9) {
            0 => drop(app.learn(Fact::News(Box::new(world::unknown())))),
            1 => drop(app.learn(Fact::News(Box::new(news())))),
            2 => log(&mut app, LogSource::Dnsmasq, &["漢字 line", ""]),
            _ => {}
        }
        is_harmless(&draw(&mut app, 1 + random(if round % 7 == 0 { 300 } else { 90 }) as u16, 1 + random(60) as u16));
    }
}

/// The page that was asked for last, out of a file of 100,000 lines of which each hundredth is a hit.
fn page(effects: &[Effect], number: Option<u64>) -> FileNews {
    let ask =
        effects.iter().rev().find_map(|e| if let Effect::File { ask: FileAsk::Page(ask), .. } = e { Some(*ask) } else { None }).unwrap();
    let count = 100_000u64;
    let at = match ask.spot {
        Spot::Start => 0,
        Spot::End => count,
        Spot::Offset(o) => o / 10,
        Spot::Line(n) => n,
        Spot::Percent(p) => count * u64::from(p) / 100,
        Spot::Hit { from, forward } => {
            if forward {
                from / 1000 * 100 + 100
            } else {
                (from.saturating_sub(1)) / 1000 * 100
            }
        }
        Spot::Error { from, forward } => {
            if forward {
                from / 1000 * 100 + 100
            } else {
                (from.min(count * 10).saturating_sub(1)) / 1000 * 100
            }
        }
        Spot::Time { at, .. } => (at.secs().rem_euclid(86_400) - 14 * 3600) as u64,
        Spot::Mark { offset, .. } => offset.unwrap_or(0) / 10,
    };
    let (low, high) = (at.saturating_sub(ask.before as u64), (at + ask.after as u64).min(count));
    let line = |n: u64| {
        let text = format!(
            "Nov 21 14:{:02}:{:02} app[7]: {} number {n}",
            n / 60 % 60,
            n % 60,
            if n.is_multiple_of(100) { "ERROR needle" } else { "request" }
        );
        PageLine { offset: n * 10, length: text.len() as u64, text: text.into_bytes().into() }
    };
    let lines: Vec<PageLine> = (low..high).filter(|n| ask.all || n % 100 == 0).map(line).collect();
    let here = lines.iter().find(|l| l.offset >= at * 10).or(lines.last()).map(|l| l.offset);
    FileNews::Page(Page { nth: ask.nth, lines, at: here, first: low == 0, last: high == count, number: number.map(|n| n + low) })
}

#[test]
fn a_file_of_any_size_is_read_by_pages() {
    let mut app = test_app();
    keys(&mut app, "4o");
    assert_eq!(app.context(), Context::File);
    shot("file-ask", &mut app);
    keys(&mut app, "<C-u>var<Enter>");
    assert!(text(&draw(&mut app, 80, 24)).contains("a whole path"));
    let effects = keys(&mut app, "<C-u>101:/var/log/app.log<Enter>");
    let source = LogSource::InGuest("101".parse().unwrap(), "/var/log/app.log".into());
    assert!(matches!(&effects[0], Effect::File { source: s, ask: FileAsk::Open } if *s == source));
    let tell = |app: &mut App, news: FileNews| app.learn(Fact::File { source: source.clone(), news });
    tell(&mut app, page(&effects, None));
    tell(&mut app, FileNews::Reading(Reading { size: 1_000_000, lines: 43_210, counted: 43, hits: 0, looked: 100 }));
    shot("file-following", &mut app);
    let counted = Reading { size: 1_000_000, lines: 100_000, counted: 100, hits: 0, looked: 100 };
    let effects = tell(&mut app, FileNews::Reading(counted.clone()));
    tell(&mut app, page(&effects, Some(0)));
    assert!(text(&draw(&mut app, 80, 24)).contains("line 100,000 of 100,000"));

    // Up stops following; what comes is counted. A page that nobody asked for any more changes nothing.
    let effects = keys(&mut app, "k");
    assert!(matches!(&effects[..], [Effect::File { ask: FileAsk::Page(PageAsk { spot: Spot::Offset(999_980), .. }), .. }]));
    tell(&mut app, page(&effects, Some(0)));
    tell(&mut app, FileNews::Reading(Reading { size: 1_004_096, ..counted.clone() }));
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("paused") && screen.contains("4.0 KiB new below, G") && screen.contains("line 99,999 of"), "{screen}");
    tell(&mut app, FileNews::Page(Page::default()));
    assert_eq!(text(&draw(&mut app, 80, 24)), screen);

    // The top, a place, a hit in the middle of the screen.
    let effects = keys(&mut app, "g");
    tell(&mut app, page(&effects, Some(0)));
    assert!(text(&draw(&mut app, 80, 24)).contains("line 1 of"));
    let effects = keys(&mut app, ":50%<Enter>");
    tell(&mut app, page(&effects, Some(0)));
    assert!(text(&draw(&mut app, 80, 24)).contains("line 50,001 of"));
    let effects = keys(&mut app, "/needle<Enter>");
    assert!(effects.iter().any(|e| matches!(e, Effect::File { ask: FileAsk::Filter(words), .. } if words == "needle")));
    tell(&mut app, page(&effects, None));
    tell(&mut app, FileNews::Reading(Reading { hits: 777, looked: 77, ..counted.clone() }));
    shot("file-filtered", &mut app);
    let effects = keys(&mut app, "a");
    tell(&mut app, page(&effects, Some(0)));
    let effects = keys(&mut app, "n");
    tell(&mut app, page(&effects, Some(0)));
    tell(&mut app, FileNews::Changed { what: "it was rotated; this is the old file, G goes to the new one".into(), anew: false });
    shot("file-hit", &mut app);

    let effects = keys(&mut app, "<Esc><Esc>");
    assert!(matches!(effects.last(), Some(Effect::File { ask: FileAsk::Close, .. })) && app.context() == Context::Logs);
    // A whole name typed behind what is offered is meant by itself.
    for (typed, name) in [("/tmp/x.log", "file:/tmp/x.log"), ("101:/srv/x.log", "101:/srv/x.log"), ("app/x.log", "file:/var/log/app/x.log")]
    {
        let effects = keys(&mut app, &format!("o{typed}<Enter>"));
        assert!(matches!(&effects[0], Effect::File { source, ask: FileAsk::Open } if source.name() == name), "{typed}: {}", effects.len());
        keys(&mut app, "<Esc>");
    }
    let effects = keys(&mut app, "o<C-u>/dev/null<Enter>");
    let failed = FileNews::Failed("/dev/null: is a device, and only files are read".into());
    app.learn(Fact::File { source: LogSource::File("/dev/null".into()), news: failed });
    assert!(!effects.is_empty() && text(&draw(&mut app, 80, 24)).contains("is a device, and only files are read"));
}

/// What a key does in the list of logs that are followed it does in a file too.
#[test]
fn a_file_has_the_keys_of_the_list() {
    use proximity::domain::log_level::Level;
    let mut app = test_app();
    keys(&mut app, "4");
    app.learn(Fact::Marks(vec![]));
    let source = LogSource::InGuest("101".parse().unwrap(), "/var/log/app.log".into());
    let tell = |app: &mut App, news: FileNews| app.learn(Fact::File { source: source.clone(), news });
    let asked = |effects: &[Effect]| {
        effects.iter().rev().find_map(|e| if let Effect::File { ask: FileAsk::Page(ask), .. } = e { Some(ask.spot) } else { None })
    };

    // Tab: as far as all names agree, then the names themselves; one that is a directory is gone into.
    let effects = keys(&mut app, "o101:/var/log/a<Tab>");
    let typed = LogSource::InGuest("101".parse().unwrap(), "/var/log/a".into());
    assert!(matches!(&effects[..], [Effect::File { source, ask: FileAsk::Names }] if *source == typed));
    let names = |names: &[&str]| FileNews::Names(names.iter().map(|n| (*n).to_owned()).collect());
    app.learn(Fact::File { source: typed.clone(), news: names(&["app.log", "app.log.1", "apps/"]) });
    shot("file-names", &mut app);
    assert!(text(&draw(&mut app, 80, 24)).contains("101:/var/log/app"));
    let stale = names(&["another"]);
    app.learn(Fact::File { source: typed, news: stale });
    assert!(!text(&draw(&mut app, 80, 24)).contains("another"), "what was typed before is not answered any more");
    let effects = keys(&mut app, ".log<Enter>");
    tell(&mut app, page(&effects, Some(0)));
    tell(&mut app, FileNews::Reading(Reading { size: 1_000_000, lines: 100_000, counted: 100, hits: 0, looked: 100 }));

    // Errors, from the end back and on again; where there is none, it is said.
    let effects = keys(&mut app, "E");
    assert_eq!(asked(&effects), Some(Spot::Error { from: u64::MAX, forward: false }));
    assert!(text(&draw(&mut app, 80, 24)).contains("looking …"));
    tell(&mut app, page(&effects, Some(0)));
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("paused") && screen.contains("ERROR needle number 99900") && !screen.contains("looking"), "{screen}");
    let effects = keys(&mut app, "e");
    assert_eq!(asked(&effects), Some(Spot::Error { from: 999_000, forward: true }));
    let nth = effects.iter().find_map(|e| if let Effect::File { ask: FileAsk::Page(ask), .. } = e { Some(ask.nth) } else { None }).unwrap();
    let effects = tell(&mut app, FileNews::Nothing { nth, why: "no error below".into() });
    assert_eq!(asked(&effects), Some(Spot::Offset(999_000)), "what is shown is asked for again");
    tell(&mut app, page(&effects, Some(0)));
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("no error below") && screen.contains("number 99900") && !screen.contains("looking …"), "{screen}");

    // A time of the clock is asked for by the times of lines.
    let effects = keys(&mut app, "t14:10<Enter>");
    assert!(matches!(asked(&effects), Some(Spot::Time { at, .. }) if at.second(0).ends_with("14:10:00")));
    tell(&mut app, page(&effects, Some(0)));
    assert!(text(&draw(&mut app, 80, 24)).contains("line 601 of"));
    keys(&mut app, "tsoon<Enter>");
    assert!(text(&draw(&mut app, 80, 24)).contains("'soon' is no time"));
    keys(&mut app, "<Esc>");

    // A bookmark with a note: kept with all others, shown, gone to, taken away.
    let effects = keys(&mut app, "mthe cause<Enter>");
    let Some(Effect::Marks(Some(marks))) = effects.first() else { unreachable!("it is not kept") };
    assert_eq!((marks[0].source.as_str(), marks[0].note.as_str(), marks[0].offset), ("101:/var/log/app.log", "the cause", Some(6_000)));
    shot("file-marked", &mut app);
    let effects = keys(&mut app, "G");
    tell(&mut app, page(&effects, Some(0)));
    assert!(keys(&mut app, "]").is_empty() && text(&draw(&mut app, 80, 24)).contains("no bookmark of this file below"));
    let effects = keys(&mut app, "[");
    assert!(matches!(asked(&effects), Some(Spot::Mark { offset: Some(6_000), .. })));
    tell(&mut app, page(&effects, Some(0)));
    assert!(text(&draw(&mut app, 80, 24)).contains("● the cause"));
    let effects = keys(&mut app, "M<Enter>");
    assert!(matches!(asked(&effects), Some(Spot::Mark { offset: Some(6_000), .. })) && app.context() == Context::File);
    tell(&mut app, page(&effects, Some(0)));
    assert!(matches!(&keys(&mut app, "m")[..], [Effect::Marks(Some(marks))] if marks.is_empty()));
    assert!(!text(&draw(&mut app, 80, 24)).contains("● the cause"));

    // Levels and the filters one by one; Esc takes both away, then the file.
    let effects = keys(&mut app, "++");
    tell(&mut app, FileNews::Reading(Reading { size: 1_000_000, lines: 100_000, counted: 100, hits: 0, looked: 7 }));
    let screen = text(&draw(&mut app, 80, 24));
    assert!(
        screen.contains("looking …") && !screen.contains("number 600"),
        "lines that are not wanted are not shown as if they were: {screen}"
    );
    tell(&mut app, FileNews::Reading(Reading { size: 1_000_000, lines: 100_000, counted: 100, hits: 9, looked: 9 }));
    assert!(effects.iter().any(|e| matches!(e, Effect::File { ask: FileAsk::Level(Some(Level::Warn)), .. })));
    tell(&mut app, page(&effects, None));
    assert!(text(&draw(&mut app, 80, 24)).contains(">= warn"));
    keys(&mut app, "/needle<Enter>");
    let effects = keys(&mut app, "f ");
    assert!(effects.iter().any(|e| matches!(e, Effect::File { ask: FileAsk::Filter(words), .. } if words.is_empty())));
    keys(&mut app, "<Enter>");
    assert!(text(&draw(&mut app, 80, 24)).contains("1 filter off"));
    let effects = keys(&mut app, "<Esc>");
    assert!(effects.iter().any(|e| matches!(e, Effect::File { ask: FileAsk::Level(None), .. })) && app.context() == Context::File);
    tell(&mut app, page(&effects, Some(0)));

    // Wrapped, the line that is selected stays on the screen.
    let long = FileNews::Page(Page {
        nth: asked_nth(&effects),
        lines: (0..40)
            .map(|n| PageLine { offset: n * 500, length: 400, text: format!("line {n} {}", "word ".repeat(70)).into_bytes().into() })
            .collect(),
        at: Some(10_000),
        first: true,
        last: true,
        number: Some(0),
    });
    tell(&mut app, long);
    keys(&mut app, "wk");
    shot("file-wrapped", &mut app);
    assert!(keys(&mut app, "<Right>").is_empty() && text(&draw(&mut app, 80, 24)).contains("lines are wrapped"));
    keys(&mut app, "<Esc>");
    assert_eq!(app.context(), Context::Logs);
}

fn asked_nth(effects: &[Effect]) -> u64 {
    effects.iter().rev().find_map(|e| if let Effect::File { ask: FileAsk::Page(ask), .. } = e { Some(ask.nth) } else { None }).unwrap()
}
