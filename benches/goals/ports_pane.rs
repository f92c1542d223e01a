//! What pane 5 costs: a key and its frame, a letter of the filter, and news, with a thousand published things.

use std::time::Instant;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proximity::domain::fact::{Fact, Gate};
use proximity::domain::ports::{Answer, Held, Pair, PortMap, Truth, What, promised};
use proximity::domain::service::{Published, Spec};
use proximity::domain::stamp::Stamp;
use proximity::domain::world::{From, News, Part, Place};
use proximity::tui::app::App;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::figures::{Table, Times, check, ms, p50_p99};

const ALL: u16 = 1000;

/// S22: pane 5 with a thousand published things that were asked: a key and its frame, a letter of the filter, and news.
pub fn pane(table: &mut Table) {
    let now = Stamp::from_secs(1_795_271_520);
    let held = |n: u16| Held {
        pair: Pair { public: 30_000 + n, internal: 40_000 + n },
        what: What::Reserved(format!("app-{n}").parse().unwrap()),
        at: Stamp(1),
        by: "marta".into(),
    };
    let published = |n: u16| {
        let to = format!("app-{n}.prox.local:8080").parse().unwrap();
        Published { name: format!("app-{n}").parse().unwrap(), spec: Spec::to(to), at: Stamp(1), by: "marta".into() }
    };
    let map = PortMap { held: (0..ALL).map(held).collect(), services: (0..ALL).map(published).collect(), ..PortMap::default() };
    let mut truth = Truth { rows: promised(&map, now), ..Truth::default() };
    truth.rows.iter_mut().for_each(|row| row.outside = Answer::Status { code: 200, ms: 3, size: Some(4096) });
    let news = || News {
        ports: Some(Part::new(map.clone(), now, From::Files)),
        truth: Some(Part::new(truth.clone(), now, From::Pct)),
        ..News::default()
    };
    let mut app = App::new(Place { host: "pve1".into(), demo: false });
    app.resize(120, 40);
    app.learn(Fact::Clock { now, offset_s: 0 });
    app.learn(Fact::Gate(Gate::Open("ada".into())));
    app.learn(Fact::News(Box::new(news())));
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
    let mut press = |app: &mut App, code: KeyCode, times: &mut Times| {
        let begun = Instant::now();
        app.key(KeyEvent::new(code, KeyModifiers::NONE));
        terminal.draw(|frame| app.draw(frame)).unwrap();
        app.drawn();
        times.add(begun.elapsed());
    };
    let (mut keys, mut letters, mut told) = (Times::default(), Times::default(), Times::default());
    press(&mut app, KeyCode::Char('5'), &mut Times::default());
    for _ in 0..1500 {
        press(&mut app, KeyCode::Char('j'), &mut keys);
    }
    press(&mut app, KeyCode::Char('/'), &mut Times::default());
    for _ in 0..50 {
        "app-77".chars().for_each(|c| press(&mut app, KeyCode::Char(c), &mut letters));
        (0..6).for_each(|_| press(&mut app, KeyCode::Backspace, &mut letters));
    }
    for _ in 0..50 {
        let news = Fact::News(Box::new(news()));
        let begun = Instant::now();
        app.learn(news);
        told.add(begun.elapsed());
    }
    let goals = |t: &Times| vec![check("p50 <= 1 ms", t.p50() <= 1.0), check("p99 <= 4 ms", t.p99() <= 4.0)];
    let checks = goals(&keys);
    table.row("S22", "ports: key and frame with 1,000 rows, p50 / p99", p50_p99(&keys), "", checks);
    let checks = goals(&letters);
    table.row("S22", "ports: letter of the filter and frame, p50 / p99", p50_p99(&letters), "", checks);
    table.row("S22", "ports: news of 1,000 rows, p50", ms(told.p50()), "", vec![]);
}
