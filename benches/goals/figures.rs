//! Figures: medians, what the kernel says of a process, and the table.

use std::fmt::Write as _;
use std::time::Duration;

/// Durations of one thing, as milliseconds.
#[derive(Default, Clone)]
pub struct Times(Vec<f64>);

impl Times {
    pub fn add(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e3);
    }

    pub fn put(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value below which this share of them lies; 0 where there is none.
    pub fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
        sorted.get(at).copied().unwrap_or(0.0)
    }

    pub fn p50(&self) -> f64 {
        self.at(0.5)
    }

    pub fn p99(&self) -> f64 {
        self.at(0.99)
    }

    pub fn worst(&self) -> f64 {
        self.at(1.0)
    }
}

/// A figure with as many digits as it has meaning.
pub fn short(n: f64) -> String {
    match n.abs() {
        a if a >= 100.0 => format!("{n:.0}"),
        a if a >= 10.0 => format!("{n:.1}"),
        a if a >= 0.1 => format!("{n:.2}"),
        _ => format!("{n:.3}"),
    }
}

pub fn ms(n: f64) -> String {
    format!("{} ms", short(n))
}

pub fn p50_p99(t: &Times) -> String {
    format!("{} / {} ms", short(t.p50()), short(t.p99()))
}

/// Processor time of a whole process in ms, ended threads too; in steps of 10 ms.
pub fn cpu_ticks_ms(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or(Vec::new(), |(_, f)| f.split(' ').collect());
    let tick = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (tick(11) + tick(12)) * 10.0
}

/// Processor time in ms to the nanosecond, and voluntary context switches, of the threads that live now.
pub fn cpu_and_waits(pid: u32) -> (f64, u64) {
    let (mut ns, mut waits) = (0.0, 0);
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        ns += text("schedstat").split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
        waits += text("status")
            .lines()
            .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))
            .and_then(|n| n.trim().parse::<u64>().ok())
            .unwrap_or(0);
    }
    (ns / 1e6, waits)
}

/// Private and resident memory in MiB.
pub fn memory(pid: u32) -> (f64, f64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kib = |name: &str| {
        text.lines().filter(|l| l.starts_with(name)).filter_map(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok()).sum::<f64>()
    };
    (kib("Private_Clean:") / 1024.0 + kib("Private_Dirty:") / 1024.0, kib("Rss:") / 1024.0)
}

/// One part of a goal and whether it is reached; nothing where the other side was not there to measure.
pub type Check = (String, Option<bool>);

pub fn check(goal: impl Into<String>, reached: bool) -> Check {
    (goal.into(), Some(reached))
}

/// `ours` at most so many times the `anchor`.
pub fn ratio(ours: f64, anchor: Option<f64>, most: f64, name: &str) -> Check {
    match anchor.filter(|a| *a > 0.0) {
        Some(anchor) => (format!("<= {most}x {name} (is {}x)", short(ours / anchor)), Some(ours <= most * anchor)),
        None => (format!("<= {most}x {name}: not installed"), None),
    }
}

struct Row {
    goal: &'static str,
    what: String,
    ours: String,
    anchor: String,
    checks: Vec<Check>,
}

/// All that was found out.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub fn row(
        &mut self,
        goal: &'static str,
        what: impl Into<String>,
        ours: impl Into<String>,
        anchor: impl Into<String>,
        checks: Vec<Check>,
    ) {
        let row = Row { goal, what: what.into(), ours: ours.into(), anchor: anchor.into(), checks };
        eprintln!("  {} {}: {}", row.goal, row.what, row.ours);
        self.rows.push(row);
    }

    pub fn print(&self) {
        let wide = |f: fn(&Row) -> &str, head: &str| self.rows.iter().map(|r| f(r).chars().count()).max().unwrap_or(0).max(head.len());
        let (w, o, a) = (wide(|r| &r.what, "WHAT"), wide(|r| &r.ours, "OURS"), wide(|r| &r.anchor, "ANCHOR"));
        println!("{:<4} {:<w$}  {:<o$}  {:<a$}  GOAL", "", "WHAT", "OURS", "ANCHOR");
        for r in &self.rows {
            let mut goal = String::new();
            for (text, reached) in &r.checks {
                let word = match reached {
                    Some(true) => "reached",
                    Some(false) => "MISSED",
                    None => "open",
                };
                let _ = write!(goal, "{}{word}: {text}", if goal.is_empty() { "" } else { "; " });
            }
            println!("{}", format!("{:<4} {:<w$}  {:<o$}  {:<a$}  {goal}", r.goal, r.what, r.ours, r.anchor).trim_end());
        }
    }
}
