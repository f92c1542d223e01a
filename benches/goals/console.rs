//! The console as a person has it: a program on a terminal, beside others on terminals.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use portable_pty::CommandBuilder;

use super::PROXIMITY;
use super::figures::{Table, Times, check, cpu_and_waits, memory, ms, p50_p99, ratio, short};
use super::pty::{Term, command};

/// What others are asked to show, and what shows that they did.
struct Other {
    name: &'static str,
    argv: Vec<String>,
    ready: &'static str,
    /// Keys that move and move back.
    keys: [&'static [u8]; 2],
}

pub struct Bench {
    home: PathBuf,
    others: Vec<Other>,
    /// State directory of a real store with a locked vault.
    state: Option<PathBuf>,
}

/// The last line of the log that less and lnav show.
const LAST: &str = "this is the last line";

fn installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|p| std::env::split_paths(&p).any(|d| d.join(program).is_file()))
}

impl Bench {
    pub fn new(home: &Path) -> Bench {
        let log = home.join("some.log");
        let mut text = String::new();
        for n in 0..2000 {
            text +=
                &format!("Nov 21 14:{:02}:{:02} pve1 dnsmasq[88]: query[A] host-{n}.prox.local from 10.20.0.104\n", n / 60 % 60, n % 60);
        }
        std::fs::write(&log, text + "Nov 21 15:00:00 pve1 dnsmasq[88]: " + LAST + "\n").unwrap();
        let repo = home.join("repo");
        let _ = Command::new("git").args(["init", "-q"]).arg(&repo).status();
        let log = log.display().to_string();
        let others = vec![
            Other { name: "htop", argv: vec!["htop".into()], ready: "F10", keys: [b"\x1b[B", b"\x1b[A"] },
            Other { name: "less", argv: vec!["less".into(), "+G".into(), log.clone()], ready: LAST, keys: [b"k", b"j"] },
            Other { name: "lnav", argv: vec!["lnav".into(), log], ready: LAST, keys: [b"k", b"j"] },
            Other {
                name: "gitui",
                argv: vec!["gitui".into(), "-d".into(), repo.display().to_string()],
                ready: "Status",
                keys: [b"\x1b[B", b"\x1b[A"],
            },
        ];
        Bench { home: home.into(), others, state: locked_store(home) }
    }

    fn ours(&self, args: &[&str]) -> CommandBuilder {
        let mut argv = vec![PROXIMITY];
        argv.extend(args);
        command(&argv, &self.home)
    }

    fn demo(&self) -> CommandBuilder {
        self.ours(&["--host", "demo"])
    }

    fn other(&self, other: &Other) -> CommandBuilder {
        command(&other.argv.iter().map(String::as_str).collect::<Vec<_>>(), &self.home)
    }

    fn there(&self) -> impl Iterator<Item = &Other> {
        self.others.iter().filter(|o| installed(o.name))
    }

    fn missing(&self, name: &str) -> bool {
        !installed(name)
    }

    /// S1. From before the fork until the chunk is there with which a known text stands on a 120x40 screen: for ours
    /// a guest's name (so everything was asked), and the first frame; for a locked store the question for the passphrase.
    /// `cat` of a small file is what the machine itself needs for a process on a terminal. Ten rounds, there and back.
    pub fn start(&self, table: &mut Table) {
        let small = self.home.join("small");
        std::fs::write(&small, "here it is\n").unwrap();
        let small = small.display().to_string();
        let mut programs: Vec<(String, Box<dyn Fn() -> CommandBuilder + '_>, &str)> = vec![
            ("cat".into(), Box::new(move || command(&["cat", &small], &self.home)), "here it is"),
            ("demo".into(), Box::new(|| self.demo()), "nextcloud"),
            ("first frame".into(), Box::new(|| self.demo()), "Overview"),
        ];
        if let Some(state) = &self.state {
            programs.push(("locked".into(), Box::new(move || self.ours(&["--state", &state.display().to_string()])), "passphrase"));
        }
        for other in self.there() {
            programs.push((other.name.into(), Box::new(move || self.other(other)), other.ready));
        }
        let mut times = vec![Times::default(); programs.len()];
        for round in 0..10 {
            let mut order: Vec<usize> = (0..programs.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for at in order {
                let mut term = Term::start(programs[at].1());
                if let Some(seen) = term.until_text(10, programs[at].2) {
                    times[at].add(seen - term.born);
                }
            }
        }
        let of = |name: &str| programs.iter().position(|p| p.0 == name).map(|at| &times[at]).filter(|t| t.len() >= 5).map(Times::p50);
        let anchors: Vec<String> =
            ["cat", "htop", "less", "lnav", "gitui"].iter().map(|n| format!("{n} {}", of(n).map_or("not installed".into(), ms))).collect();
        let goal = |ours: f64| {
            vec![check("<= 15 ms", ours <= 15.0), ratio(ours, of("htop"), 0.15, "htop"), ratio(ours, of("gitui"), 0.6, "gitui")]
        };
        for (name, what) in [
            ("demo", "start to all guests of the demo"),
            ("first frame", "start to first frame of the demo"),
            ("locked", "start to the locked console of a real store"),
        ] {
            match of(name) {
                Some(ours) => table.row("S1", what, ms(ours), anchors.join(", "), goal(ours)),
                None => table.row("S1", what, "not measured: it did not come up", anchors.join(", "), vec![]),
            }
        }
    }

    /// S3 on a terminal. From writing the key until the first chunk that changes the screen. Blocks of 75 keys, four
    /// a program, in turn. `cat` in a raw terminal gives back a byte: what the machine itself needs.
    pub fn keys(&self, table: &mut Table) {
        let raw_cat = command(&["sh", "-c", "stty raw -echo; echo ready; exec cat"], &self.home);
        let mut programs: Vec<(&str, Term, [&[u8]; 2], Times)> = Vec::new();
        let mut add = |name, cmd, ready: &str, keys| {
            let mut term = Term::start(cmd);
            if term.until_text(10, ready).is_some() {
                term.settle(Duration::from_millis(300));
                programs.push((name, term, keys, Times::default()));
            }
        };
        add("cat", raw_cat, "ready", [b"a", b"b"]);
        add("demo", self.demo(), "nextcloud", [b"j", b"k"]);
        for other in self.there() {
            add(other.name, self.other(other), other.ready, other.keys);
        }
        for round in 0..4 {
            let mut order: Vec<usize> = (0..programs.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for at in order {
                let (_, term, keys, times) = &mut programs[at];
                term.settle(Duration::from_millis(30));
                // An even number, so that the selection comes back.
                for n in 0..76 {
                    if let Some(time) = term.key(keys[n % 2]) {
                        times.add(time);
                    }
                    term.settle(Duration::from_millis(4));
                }
            }
        }
        let of = |name: &str| programs.iter().find(|p| p.0 == name).map(|p| &p.3);
        let anchors: Vec<String> = ["cat", "less", "lnav", "htop", "gitui"]
            .iter()
            .map(|n| format!("{n} {}", of(n).map_or("not installed".into(), p50_p99)))
            .collect();
        let Some(ours) = of("demo") else {
            return table.row("S3", "key to screen on a terminal", "not measured: it did not come up", "", vec![]);
        };
        let goal = vec![
            check("p50 <= 1 ms", ours.p50() <= 1.0),
            check("p99 <= 4 ms", ours.p99() <= 4.0),
            ratio(ours.p50(), of("lnav").map(Times::p50), 1.2, "lnav"),
        ];
        table.row("S3", "j and k in Overview of the demo on a terminal, p50 / p99", p50_p99(ours), anchors.join(", "), goal);
    }

    /// S8. Private_Clean and Private_Dirty of smaps_rollup a second after the first content; resident beside it.
    pub fn memory(&self, table: &mut Table) {
        let of = |cmd: CommandBuilder, ready: &str| {
            let mut times = (Times::default(), Times::default());
            for _ in 0..5 {
                let mut term = Term::start(cmd.clone());
                term.until_text(10, ready)?;
                term.listen(Duration::from_millis(600));
                let (private, resident) = memory(term.pid());
                times.0.put(private);
                times.1.put(resident);
            }
            Some((times.0.p50(), times.1.p50()))
        };
        let said = |m: Option<(f64, f64)>| m.map_or("not measured".into(), |(p, r)| format!("{} / {} MiB", short(p), short(r)));
        let anchors: Vec<String> = self
            .others
            .iter()
            .map(|o| format!("{} {}", o.name, if self.missing(o.name) { "not installed".into() } else { said(of(self.other(o), o.ready)) }))
            .collect();
        let ours = of(self.demo(), "nextcloud");
        table.row(
            "S8",
            "memory of the demo at start, private / resident",
            said(ours),
            anchors.join(", "),
            vec![check("<= 12 MiB private", ours.is_some_and(|o| o.0 <= 12.0))],
        );
        if let Some(state) = &self.state {
            let ours = of(self.ours(&["--state", &state.display().to_string()]), "passphrase");
            table.row(
                "S8",
                "memory of a locked console, private / resident",
                said(ours),
                "",
                vec![check("<= 12 MiB private", ours.is_some_and(|o| o.0 <= 12.0))],
            );
        }
    }

    /// S10 with the demo. All wait ten seconds side by side, each on a terminal of its own. Processor time to the
    /// nanosecond (schedstat of all threads), voluntary context switches of all threads, bytes to the terminal.
    /// Quiet: refresh_s 3600, so that nothing happens. The demo's Logs pane is left out: its logs go on by design.
    pub fn idle(&self, table: &mut Table) {
        let quiet = |mut cmd: CommandBuilder| {
            cmd.env("PROXIMITY_REFRESH_S", "3600");
            cmd
        };
        let mut all: Vec<(String, Term)> = Vec::new();
        let mut add = |name: &str, cmd: CommandBuilder, ready: &str, keys: &[u8]| {
            let mut term = Term::start(cmd);
            if term.until_text(10, ready).is_some() {
                term.settle(Duration::from_millis(300));
                term.write(keys);
                all.push((name.into(), term));
            }
        };
        add("Overview of the demo, quiet", quiet(self.demo()), "nextcloud", b"");
        add("Backups of the demo, quiet", quiet(self.demo()), "nextcloud", b"6");
        add("Overview of the demo, refresh each 10 s", self.demo(), "nextcloud", b"");
        if let Some(state) = &self.state {
            add("locked console", quiet(self.ours(&["--state", &state.display().to_string()])), "passphrase", b"");
        }
        for other in self.there() {
            add(other.name, self.other(other), other.ready, b"");
        }
        let figures = idle_ten_seconds(&mut all, |term| term.pid());
        let anchors: Vec<String> =
            figures.iter().filter(|f| self.others.iter().any(|o| o.name == f.0)).map(|(name, f)| format!("{name} {}", f.text())).collect();
        for (name, f) in figures.iter().filter(|f| self.others.iter().all(|o| o.name != f.0)) {
            f.row(table, name, &anchors.join(", "));
        }
    }

    /// S11 on a terminal. Bytes that come for one key, median of 60; bytes of each refresh of the demo in which its
    /// memory and load figures move a little, median.
    pub fn bytes(&self, table: &mut Table) {
        let per_key = |cmd: CommandBuilder, ready: &str, keys: [&[u8]; 2]| {
            let mut term = Term::start(cmd);
            term.until_text(10, ready)?;
            term.settle(Duration::from_millis(300));
            let mut bytes = Times::default();
            for n in 0..60 {
                term.write(keys[n % 2]);
                bytes.put(term.settle(Duration::from_millis(25)) as f64);
            }
            Some(bytes.p50())
        };
        let anchors: Vec<String> = self
            .others
            .iter()
            .map(|o| {
                format!(
                    "{} {}",
                    o.name,
                    if self.missing(o.name) {
                        "not installed".into()
                    } else {
                        per_key(self.other(o), o.ready, o.keys).map_or("?".into(), |b| format!("{b:.0} B"))
                    }
                )
            })
            .collect();
        let mut quiet = self.demo();
        quiet.env("PROXIMITY_REFRESH_S", "3600");
        let ours = per_key(quiet, "nextcloud", [b"j", b"k"]).unwrap_or(f64::NAN);
        table.row(
            "S11",
            "bytes for a move of the selection in Overview",
            format!("{ours:.0} B"),
            anchors.join(", "),
            vec![check("<= 200 B", ours <= 200.0)],
        );
        let mut often = self.demo();
        often.env("PROXIMITY_REFRESH_S", "2");
        let mut term = Term::start(often);
        term.until_text(10, "nextcloud");
        term.settle(Duration::from_millis(300));
        let mut bytes = Times::default();
        for _ in 0..8 {
            let all = term.listen(Duration::from_secs(2));
            bytes.put(all as f64);
        }
        table.row(
            "S11",
            "bytes in two seconds with one refresh of the demo",
            format!("{:.0} B (most {:.0})", bytes.p50(), bytes.worst()),
            "",
            vec![],
        );
    }
}

/// What somebody did in ten seconds in which nothing happened.
pub struct Idle {
    bytes: usize,
    waits: u64,
    cpu: f64,
}

impl Idle {
    fn text(&self) -> String {
        format!("{} B, {} waits, {}", self.bytes, self.waits, ms(self.cpu))
    }

    pub fn row(&self, table: &mut Table, name: &str, anchors: &str) {
        let mut checks = vec![check("0 B", self.bytes == 0)];
        // Timers of one and of five seconds fire 11 and 3 times at most; tokio's wheel of timers wakes twice for a timer
        // of more than 64 ms, once on the way, and the tick of five seconds wakes the main thread too.
        checks.push(check("no wait but for timers of 1 s or more (<= 31)", self.waits <= 2 * (11 + 3) + 3));
        checks.push(check("<= 1 ms", self.cpu <= 1.0));
        table.row("S10", format!("10 s idle: {name}"), self.text(), anchors, checks);
    }
}

pub fn idle_ten_seconds(all: &mut [(String, Term)], pid: impl Fn(&Term) -> u32) -> Vec<(String, Idle)> {
    // What the last key began comes to its end: a blocking thread of the runtime lives ten seconds.
    std::thread::sleep(Duration::from_secs(11));
    let before: Vec<_> = all
        .iter_mut()
        .map(|(_, t)| {
            t.settle(Duration::from_millis(1));
            (t.bytes, cpu_and_waits(pid(t)))
        })
        .collect();
    std::thread::sleep(Duration::from_secs(10));
    let after: Vec<_> = all.iter().map(|(_, t)| cpu_and_waits(pid(t))).collect();
    let one = |((name, term), (before, (cpu, waits))): (&mut (String, Term), ((usize, (f64, u64)), (f64, u64)))| {
        term.settle(Duration::from_millis(1));
        (name.clone(), Idle { bytes: term.bytes - before.0, waits: waits.saturating_sub(before.1.1), cpu: (cpu - before.1.0).max(0.0) })
    };
    all.iter_mut().zip(before.into_iter().zip(after)).map(one).collect()
}

/// A real store whose vault is locked; nothing where it could not be made.
fn locked_store(home: &Path) -> Option<PathBuf> {
    let state = home.join("state");
    let mut child = Command::new(PROXIMITY)
        .args(["init", "--operator", "ada", "--passphrase-fd", "0", "--state"])
        .arg(&state)
        .env("HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(b"seven violet herons drift north\n").ok()?;
    child.wait().ok()?.success().then_some(state)
}
