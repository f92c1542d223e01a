//! The screen and the refresh without terminal and without host: what our own code costs.

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use crossterm::queue;
use crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use proximity::domain::fact::{Fact, Gate, LogLine, LogSource, LogState};
use proximity::domain::stamp::Stamp;
use proximity::domain::world::{News, Place};
use proximity::ops::refresh::refresh as refresh_of;
use proximity::tui::app::App;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use tokio::sync::mpsc;

use super::figures::{Table, Times, check, cpu_ticks_ms, ms, short};
use super::memory_host::MemoryHost;

const NOW: i64 = 1_795_271_520;

/// Counts what would be written to a terminal.
#[derive(Clone, Default)]
struct Counter(Rc<Cell<usize>>);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set(self.0.get() + bytes.len());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A console as `run` has it, on a terminal of 120x40 that only counts.
struct Console {
    app: App,
    terminal: Terminal<CrosstermBackend<Counter>>,
    bytes: Counter,
}

impl Console {
    /// With so many guests and lines of log.
    fn with(guests: u32, lines: usize) -> Console {
        let mut app = App::new(Place { host: "pve1".into(), demo: false });
        app.resize(120, 40);
        app.learn(Fact::Clock { now: Stamp::from_secs(NOW), offset_s: 0 });
        app.learn(Fact::Gate(Gate::Open("ada".into())));
        app.learn(Fact::News(Box::new(news(guests))));
        let bytes = Counter::default();
        let options = TerminalOptions { viewport: Viewport::Fixed(Rect::new(0, 0, 120, 40)) };
        let terminal = Terminal::with_options(CrosstermBackend::new(bytes.clone()), options).unwrap();
        let mut console = Console { app, terminal, bytes };
        console.press('4');
        for source in [LogSource::Dnsmasq, LogSource::Caddy] {
            console.app.learn(Fact::LogState { source, state: LogState::Following });
        }
        let mut made = 0;
        while made < lines {
            console.app.learn(batch(made, 1000));
            made += 1000;
        }
        console.press('1');
        console
    }

    /// As `run` draws: inside a synchronized update.
    fn draw(&mut self) {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate).unwrap();
        self.terminal.draw(|frame| self.app.draw(frame)).unwrap();
        queue!(self.terminal.backend_mut(), EndSynchronizedUpdate).unwrap();
    }

    fn key(&mut self, key: KeyEvent) {
        self.app.key(key);
        self.app.work();
        if self.app.is_dirty() {
            self.draw();
        }
    }

    fn press(&mut self, c: char) {
        self.key(code(KeyCode::Char(c)));
        self.app.drawn();
    }

    /// Bytes of what this does.
    fn bytes_of(&mut self, does: impl FnOnce(&mut Self)) -> usize {
        let before = self.bytes.0.get();
        does(self);
        self.bytes.0.get() - before
    }
}

fn code(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

fn news(guests: u32) -> News {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(refresh_of(&MemoryHost::with(guests)))
}

/// Lines as dnsmasq and Caddy write them, half and half.
fn batch(from: usize, lines: usize) -> Fact {
    let web = (from / lines) % 2 == 1;
    let line = |n: usize| {
        let name = ["nextcloud", "gitea", "wiki", "web"][n % 4];
        let text = if web {
            format!(
                r#"{{"level":"info","ts":1795271518.{n:06},"logger":"http.log.access.log0","msg":"handled request","request":{{"remote_ip":"10.1.2.3","proto":"HTTP/2.0","method":"GET","host":"{name}.prox.local","uri":"/item/{n}","headers":{{}}}},"duration":0.0031,"size":18230,"status":{}}}"#,
                if n % 50 == 0 { 502 } else { 200 }
            )
        } else {
            format!("Nov 21 14:31:57 dnsmasq[88]: query[A] {name}.prox.local from 10.20.0.{}", n % 250)
        };
        LogLine { text: text.into_bytes().into() }
    };
    let source = if web { LogSource::Caddy } else { LogSource::Dnsmasq };
    Fact::Log {
        source,
        at: proximity::domain::stamp::Stamp::from_secs(1_795_271_528),
        lines: (from..from + lines).map(line).collect(),
        dropped: 0,
    }
}

fn p50_p99_us(t: &Times) -> String {
    format!("{} / {} us", short(t.p50() * 1e3), short(t.p99() * 1e3))
}

/// S3 in process. 500 guests, 100,000 lines; a key, and the frame it makes as bytes for a terminal that only counts.
/// 1000 keys a pane; between them a loop that only counts, some 200 us long: its p99 is what a busy machine adds to
/// anything. Beside it what the tick of five seconds costs, which has to find out whether an age changed.
pub fn keys(table: &mut Table) {
    let mut console = Console::with(500, 100_000);
    let (mut after, mut machine) = (Times::default(), Times::default());
    let numbers: Vec<u64> = (0..100_000).collect();
    let counting =
        || std::hint::black_box(&numbers).iter().fold(0u64, |sum, n| (sum ^ n).rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for (pane, name, keys) in [('1', "Overview", ['j', 'k']), ('4', "Logs", ['k', 'j']), ('6', "Backups", ['j', 'k'])] {
        console.press(pane);
        let (mut times, mut paged) = (Times::default(), Times::default());
        for n in 0..1000 {
            let begun = Instant::now();
            console.key(code(KeyCode::Char(keys[n / 10 % 2])));
            times.add(begun.elapsed());
            console.app.drawn();
            let begun = Instant::now();
            std::hint::black_box(counting());
            machine.add(begun.elapsed());
            let begun = Instant::now();
            console.app.learn(Fact::Clock { now: Stamp::from_secs(NOW + 5 * i64::from(n as u32 % 2)), offset_s: 0 });
            after.add(begun.elapsed());
        }
        for n in 0..200 {
            let begun = Instant::now();
            console.key(code(if n / 10 % 2 == 0 { KeyCode::PageUp } else { KeyCode::PageDown }));
            paged.add(begun.elapsed());
            console.app.drawn();
        }
        for (what, times) in [("j and k", &times), ("pages", &paged)] {
            let goal = vec![check("p50 <= 1 ms", times.p50() <= 1.0), check("p99 <= 4 ms", times.p99() <= 4.0)];
            table.row(
                "S3",
                format!("{name}, {what}, 500 guests, 100,000 lines, in process, p50 / p99"),
                p50_p99_us(times),
                format!("plain counting {}", p50_p99_us(&machine)),
                goal,
            );
        }
    }
    table.row("S3", "the clock went on and nothing looks different, p50 / p99", p50_p99_us(&after), "", vec![]);
}

/// S4 in process. The loop of `run` in small: keys first, log lines gathered for 33 ms, a slice of work when nothing waits.
/// One thread brings 50,000 lines a second in batches of 500, another presses a key each 15 to 40 ms and stamps it;
/// told is the time from the stamp until the frame is written. 100,000 lines are there already, and 500 guests.
/// A console that follows a file of its own choice does not exist yet, so files and pipes are not in these figures;
/// the lab's row has them.
pub fn flood(table: &mut Table) {
    let goal = |t: &Times| vec![check("p99 <= 6 ms", t.p99() <= 6.0)];
    let filter = "/nextcloud !health\n";
    for (what, first, keys) in [
        ("keys in Logs with a filter on", filter, "kkkkjjjjKKJJ"),
        ("keys in Logs while it follows, filter on", filter, "GjGjGj"),
        ("typing a filter", "", "/nextcloud status.*5\x1b/gitea !query\x1b"),
    ] {
        let (times, told, took) = one_flood(first, keys);
        let anchor = format!("{} lines/s taken in", short(told as f64 / took.as_secs_f64()));
        table.row(
            "S4",
            format!("{what}, 50,000 lines/s, in process, p50 / p99 (worst {})", ms(times.worst())),
            format!("{} / {} ms", short(times.p50()), short(times.p99())),
            anchor,
            goal(&times),
        );
    }
}

fn of_char(c: char) -> KeyEvent {
    code(match c {
        '\n' => KeyCode::Enter,
        '\x1b' => KeyCode::Esc,
        'K' => KeyCode::PageUp,
        'J' => KeyCode::PageDown,
        c => KeyCode::Char(c),
    })
}

fn one_flood(first: &str, keys: &str) -> (Times, usize, Duration) {
    const PRESSES: usize = 300;
    const GATHER: Duration = Duration::from_millis(33);
    let mut console = Console::with(500, 100_000);
    console.press('4');
    for c in first.chars() {
        console.key(of_char(c));
        console.app.drawn();
    }
    while console.app.work() {}
    let (tell, mut facts) = mpsc::channel(1024);
    let (press, mut presses) = mpsc::unbounded_channel::<(Instant, KeyEvent)>();
    std::thread::spawn(move || {
        let begun = Instant::now();
        for n in 0.. {
            if tell.blocking_send(batch(n * 500, 500)).is_err() {
                return;
            }
            std::thread::sleep((begun + Duration::from_millis(10) * (n as u32 + 1)).saturating_duration_since(Instant::now()));
        }
    });
    let keys: Vec<char> = keys.chars().collect();
    std::thread::spawn(move || {
        for n in 0..PRESSES {
            std::thread::sleep(Duration::from_millis(15 + (n as u64 * 7) % 26));
            if press.send((Instant::now(), of_char(keys[n % keys.len()]))).is_err() {
                return;
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    runtime.block_on(async {
        let (mut times, mut told, begun) = (Times::default(), 0, Instant::now());
        let (mut last, mut more) = (tokio::time::Instant::now(), false);
        loop {
            let (mut at_once, mut pressed) = (false, None);
            tokio::select! {
                biased;
                key = presses.recv() => match key {
                    Some((at, key)) => { console.app.key(key); at_once = true; pressed = Some(at); }
                    None => return (times, told, begun.elapsed()),
                },
                () = tokio::time::sleep_until(last + GATHER), if console.app.is_dirty() => at_once = true,
                fact = facts.recv() => if let Some(fact) = fact {
                    if let Fact::Log { lines, .. } = &fact { told += lines.len(); }
                    console.app.learn(fact);
                    at_once = last.elapsed() >= GATHER;
                },
                () = std::future::ready(()), if more => {}
            }
            more = console.app.work();
            if at_once && console.app.is_dirty() {
                console.draw();
                if let Some(at) = pressed {
                    times.add(at.elapsed());
                }
                console.app.drawn();
                last = tokio::time::Instant::now();
            }
        }
    })
}

/// S11 in process. The bytes of one frame: a move of the selection, and news in which three cells of one guest's
/// memory figure differ. 100 guests.
pub fn bytes(table: &mut Table) {
    let mut console = Console::with(100, 10_000);
    for (pane, name) in [('1', "Overview"), ('4', "Logs"), ('6', "Backups")] {
        console.press(pane);
        let mut bytes = Times::default();
        for n in 0..40 {
            // Within a page: from its middle, so that nothing scrolls.
            let key = if pane == '4' { ['k', 'j'][n % 2] } else { ['j', 'k'][n % 2] };
            bytes.put(console.bytes_of(|c| c.press(key)) as f64);
        }
        table.row(
            "S11",
            format!("bytes for a move of the selection in {name}, in process"),
            format!("{:.0} B (most {:.0})", bytes.p50(), bytes.worst()),
            "",
            vec![check("<= 200 B", bytes.p50() <= 200.0)],
        );
    }
    console.press('1');
    let mut changed = news(100);
    let guests = changed.guests.as_mut().and_then(|p| p.known.as_mut().ok()).unwrap();
    for guest in guests.iter_mut().skip(1).take(3) {
        guest.mem = guest.mem.map(|m| m + (64 << 20));
    }
    let bytes = console.bytes_of(|c| {
        c.app.learn(Fact::News(Box::new(changed)));
        if c.app.is_dirty() {
            c.draw();
            c.app.drawn();
        }
    });
    table.row(
        "S11",
        "bytes of a refresh in which the memory of three guests changed, in process",
        format!("{bytes} B"),
        "",
        vec![check("1 to 150 B", (1..=150).contains(&bytes))],
    );
    let same = console.bytes_of(|c| {
        let mut same = news(100);
        let guests = same.guests.as_mut().and_then(|p| p.known.as_mut().ok()).unwrap();
        for guest in guests.iter_mut().skip(1).take(3) {
            guest.mem = guest.mem.map(|m| m + (64 << 20));
        }
        c.app.learn(Fact::News(Box::new(same)));
        if c.app.is_dirty() {
            c.draw();
            c.app.drawn();
        }
    });
    table.row("S11", "bytes of a refresh in which nothing changed, in process", format!("{same} B"), "", vec![check("0 B", same == 0)]);
}

/// S12 in process. `refresh` against a node that lives in memory: parsing and assembly alone, no file is read.
/// Processor time from /proc/self/stat over all rounds, wall time as median of the rounds.
pub fn refresh(table: &mut Table) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (guests, rounds, most) in [(100, 400, 5.0), (5000, 20, 100.0)] {
        let host = MemoryHost::with(guests);
        let found = runtime.block_on(refresh_of(&host));
        assert_eq!(found.guests.as_ref().and_then(|p| p.get()).map(Vec::len), Some(guests as usize));
        assert_eq!(found.archives.as_ref().and_then(|p| p.get()).map(Vec::len), Some(guests as usize));
        let (mut times, before) = (Times::default(), cpu_ticks_ms(std::process::id()));
        for _ in 0..rounds {
            let begun = Instant::now();
            runtime.block_on(refresh_of(&host));
            times.add(begun.elapsed());
        }
        let cpu = (cpu_ticks_ms(std::process::id()) - before) / f64::from(rounds);
        table.row(
            "S12",
            format!("refresh of {guests} guests in memory: parsing and assembly, cpu (wall)"),
            format!("{} ({})", ms(cpu), ms(times.p50())),
            "",
            vec![check(format!("<= {most} ms"), cpu <= most)],
        );
    }
}
