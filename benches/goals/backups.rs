//! What backups cost: the board and pane 6 with two hundred guests, and what a job adds to the wall time of vzdump and pct restore.

use std::time::Instant;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proximity::domain::backup::Archive;
use proximity::domain::coverage::Coverage;
use proximity::domain::fact::{Fact, Gate};
use proximity::domain::guest::{Guest, Kind, Vmid};
use proximity::domain::stamp::Stamp;
use proximity::domain::world::{From, News, Part, Place, World};
use proximity::tui::app::App;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::figures::{Table, Times, check, ms, p50_p99};
use super::harness::Lab;

const GUESTS: u32 = 200;
const EACH: u32 = 10;
const NOW: i64 = 1_795_271_520;

fn news() -> News {
    let now = Stamp::from_secs(NOW);
    let id = |n: u32| Vmid::try_from(1000 + n).unwrap();
    let guest = |n: u32| Guest { name: Some(format!("app-{n}")), conf_read: true, ..Guest::bare(id(n), Kind::Lxc) };
    let archive = |n: u32| {
        let (guest, nth) = (id(n / EACH), i64::from(n % EACH));
        Archive {
            volid: format!("local:backup/vzdump-lxc-{guest}-2026_08_{:02}-02_00_03.tar.zst", nth + 1),
            storage: "local".parse().unwrap(),
            vmid: Some(guest),
            kind: Some(Kind::Lxc),
            made: Stamp::from_secs(NOW - nth * 86_400),
            size: Some(1 << 30),
            notes: Some("nightly".into()),
            protected: false,
            server_says: None,
        }
    };
    News {
        guests: Some(Part::new((0..GUESTS).map(guest).collect(), now, From::Files)),
        archives: Some(Part::new((0..GUESTS * EACH).map(archive).collect(), now, From::Files)),
        jobs: Some(Part::new(Vec::new(), now, From::Files)),
        ..News::default()
    }
}

/// S23: the board of 200 guests with 10 backups each, from the facts; and pane 6 with these 2,000 archives: a key and its frame.
pub fn board(table: &mut Table) {
    let mut world = World::default();
    world.learn(news());
    let mut boards = Times::default();
    for _ in 0..50 {
        let begun = Instant::now();
        assert_eq!(Coverage::of(&world).unwrap().len(), GUESTS as usize);
        boards.add(begun.elapsed());
    }
    table.row("S23", "board of 200 guests x 10 backups, p50", ms(boards.p50()), "", vec![check("<= 100 ms", boards.p50() <= 100.0)]);
    let mut app = App::new(Place { host: "pve1".into(), demo: false });
    app.resize(120, 40);
    app.learn(Fact::Clock { now: Stamp::from_secs(NOW), offset_s: 0 });
    app.learn(Fact::Gate(Gate::Open("ada".into())));
    app.learn(Fact::News(Box::new(news())));
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
    let mut keys = Times::default();
    for (n, code) in std::iter::once(KeyCode::Char('6')).chain(std::iter::repeat_n(KeyCode::Char('j'), 1500)).enumerate() {
        let begun = Instant::now();
        app.key(KeyEvent::new(code, KeyModifiers::NONE));
        terminal.draw(|frame| app.draw(frame)).unwrap();
        app.drawn();
        if n > 0 {
            keys.add(begun.elapsed());
        }
    }
    let checks = vec![check("p50 <= 1 ms", keys.p50() <= 1.0), check("p99 <= 4 ms", keys.p99() <= 4.0)];
    table.row("S23", "backups: key and frame with 2,000 archives, p50 / p99", p50_p99(&keys), "", checks);
}

/// S15: pairs of the plain command and the job, in turns, on one container with 400 MB of random data. The lab's vzdump is a
/// stand-in around the same tar and zstd, without Perl's start: what is added is ours, and its share of a real run is smaller.
pub fn overhead(lab: &Lab, table: &mut Table) {
    const PAIRS: usize = 5;
    lab.sh("umask 077; echo 'orbit lantern mosaic velvet quarry seven' >/root/pw; test -e /var/lib/proximity || proximity init --operator ada --passphrase-fd 3 3</root/pw >/root/words");
    lab.create(330);
    lab.guest(330, "dd if=/dev/urandom of=/srv-data bs=1M count=400 2>/dev/null; sync");
    let timed = |line: &str| {
        let begun = Instant::now();
        let said = lab.exec("pve1", &["bash", "-c", line]);
        assert_eq!(said.rc, 0, "{line}: {said:?}");
        begun.elapsed()
    };
    let (mut raw, mut ours) = (Times::default(), Times::default());
    for n in 0..PAIRS * 2 {
        if n % 2 == (n / 2) % 2 {
            raw.add(timed("vzdump 330 --storage local --mode snapshot --compress zstd --remove 0"));
        } else {
            ours.add(timed("proximity backup run 330 --storage local --mode snapshot"));
        }
        if n + 1 < PAIRS * 2 {
            lab.sh("rm -f /var/lib/vz/dump/vzdump-lxc-330-*; sync");
        }
    }
    row(table, "vzdump of 400 MB", &raw, &ours);
    let volid = lab.sh("pvesm list local --content backup | awk '/lxc-330/ {print $1}' | tail -1");
    let volid = volid.trim();
    let (mut raw, mut ours) = (Times::default(), Times::default());
    for n in 0..PAIRS * 2 {
        if n % 2 == (n / 2) % 2 {
            raw.add(timed(&format!("pct restore 331 {volid} --storage local-lvm --unprivileged 1 --unique 1")));
        } else {
            ours.add(timed(&format!("proximity backup restore {volid} --to 331 --storage local-lvm --no-start")));
        }
        lab.sh("pct destroy 331 --force 1; sync");
    }
    row(table, "pct restore of 400 MB", &raw, &ours);
}

fn row(table: &mut Table, what: &str, raw: &Times, ours: &Times) {
    let (raw, ours) = (raw.p50(), ours.p50());
    let more = (ours - raw) / raw * 100.0;
    let figure = format!("{} alone, {} as a job: {more:+.1} %", ms(raw), ms(ours));
    table.row("S15", format!("{what}, median of 5 pairs"), figure, "", vec![check("<= 2 %", more <= 2.0)]);
}
