//! The frame around the pane: header, pane bar, job line, footer.
//!
//! ```text
//!  proximity  pve1 · local · quorate          NO STORE  ada   14:32     header
//!  1 Overview  4 Logs  6 Backups  9 Settings               jobs 1      bar
//! ─────────────────────────────────────────────────────────────────    rule, from 20 rows on
//!                          (the pane)
//! ─────────────────────────────────────────────────────────────────    rule, from 20 rows on
//!  job 17 back up 105 nextcloud  ▓▓▓▓░░░░ ~42 %  118 MiB/s  ~2 min      job line, from 12 rows on
//!  b back up  r restore  / search  ? help  : commands                   footer
//! ```

use super::action::{self, Action};
use super::canvas::Canvas;
use super::pane::{Known, Pane};
use super::theme::Tone;
use super::words;
use crate::domain::appliance::fallback;
use crate::domain::fact::{self, Gate};
use crate::domain::job::{Job, State};
use crate::domain::plan::Purpose;
use crate::domain::stamp;
use crate::domain::world::Quorum;

/// Rows of the frame, folded for a height. Each is `(row, height)`.
pub struct Rows {
    /// Header.
    pub header: u16,
    /// Pane bar.
    pub bar: Option<u16>,
    /// Rules above and below the pane.
    pub rules: Option<(u16, u16)>,
    /// The pane.
    pub pane: (u16, u16),
    /// Job line.
    pub job: Option<u16>,
    /// Footer.
    pub footer: u16,
}

impl Rows {
    /// The rows of a screen of this height, which is at least 5.
    pub fn of(height: u16) -> Rows {
        let bar = (height >= 8).then_some(1);
        let rules = height >= 20;
        let job = (height >= 12).then(|| height - 2);
        let top = 1 + u16::from(bar.is_some()) + u16::from(rules);
        let below = 1 + u16::from(job.is_some()) + u16::from(rules);
        let pane = (top, height.saturating_sub(top + below));
        Rows { header: 0, bar, rules: rules.then(|| (top - 1, top + pane.1)), pane, job, footer: height.saturating_sub(1) }
    }
}

/// The smallest screen that is drawn.
pub const SMALLEST: (u16, u16) = (20, 5);

/// The header: where, who, and every abnormal mode in words.
pub fn header(on: &mut Canvas<'_>, known: &Known) {
    let wide = on.width();
    let mut end = wide.saturating_sub(1);
    if known.now.0 != 0 {
        end = on.put_right(end, 0, 5, &known.now.clock(known.offset_s), Tone::Plain).saturating_sub(2);
    }
    // The right side, most important last, so that it stays when the screen is narrow.
    if wide >= 60 {
        if let Some(link) = link(known) {
            end = on.put_right(end, 0, end / 3, link, if link == "link ok" { Tone::Quiet } else { Tone::Unknown }).saturating_sub(2);
        }
        if let Some(Gate::Open(who)) = &known.gate {
            end = on.put_right(end, 0, end / 4, who, Tone::Plain).saturating_sub(2);
        }
    }
    for mode in modes(known) {
        end = on.put_right(end, 0, end, &format!(" {mode} "), Tone::Mode).saturating_sub(1);
    }
    let mut x = 1;
    if wide >= 50 {
        x += on.put(x, 0, end.saturating_sub(x), "proximity", Tone::Strong) + 2;
    }
    if known.world.place.demo {
        x += on.put(x, 0, end.saturating_sub(x), " DEMO ", Tone::Mode) + 1;
    }
    let node = known.world.node_name().unwrap_or("node ?");
    x += on.put(x, 0, end.saturating_sub(x), node, Tone::Strong);
    if !known.world.place.demo {
        let host = format!(" · {}", known.world.place.host);
        if known.world.place.host != node && x + words::width(&host) <= end {
            x += on.put(x, 0, end.saturating_sub(x), &host, Tone::Quiet);
        }
    }
    let quorum = match known.world.quorum.get() {
        Some(Quorum::Quorate { nodes: 1 }) => " · single node".to_owned(),
        Some(Quorum::Quorate { nodes }) => format!(" · {nodes} nodes quorate"),
        Some(Quorum::NoQuorum) => String::new(),
        None => " · quorum ?".to_owned(),
    };
    if x + words::width(&quorum) <= end {
        on.put(x, 0, end.saturating_sub(x), &quorum, if known.world.quorum.get().is_some() { Tone::Quiet } else { Tone::Unknown });
    }
}

fn modes(known: &Known) -> impl Iterator<Item = String> {
    let gate = match &known.gate {
        Some(Gate::NoStore(_)) => Some("NO STORE"),
        Some(Gate::Locked(_)) => Some("LOCKED"),
        Some(Gate::Broken { .. }) => Some("STORE BROKEN"),
        Some(Gate::Open(_)) => None,
        None => Some("STORE ?"),
    };
    let quorum = matches!(known.world.quorum.get(), Some(Quorum::NoQuorum)).then_some("NO QUORUM");
    let change = waits_for_a_word(known).then_some("UNCONFIRMED CHANGE: c keeps it");
    let moved = known.world.guests.get().map_or(0, |all| fallback::moved(all).count());
    let moved = (moved > 0).then(|| format!("UN-ISOLATED: {moved} app{}", if moved == 1 { "" } else { "s" }));
    gate.into_iter().chain(quorum).chain(change).map(str::to_owned).chain(moved)
}

/// Whether a job asks for the word that this line still holds after a change of the host's network.
pub fn waits_for_a_word(known: &Known) -> bool {
    known.world.jobs.get().is_some_and(|jobs| jobs.iter().any(Job::waits_for_a_word))
}

/// Whether a host that is reached over a line answers. On this machine there is no line to speak of.
fn link(known: &Known) -> Option<&'static str> {
    let place = &known.world.place;
    if place.demo || place.host == "local" || place.host.is_empty() || known.world.node.is_pending() {
        return None;
    }
    let stale = known.now.secs() - known.world.node.as_of.secs() >= 60;
    Some(if known.world.node.get().is_some() && !stale { "link ok" } else { "link ?" })
}

/// The pane bar.
pub fn bar(on: &mut Canvas<'_>, here: Action, known: &Known) {
    let narrow = on.width() < 50;
    let mut x = 1;
    for (action, key, word) in [
        (Action::ShowOverview, "1", "Overview"),
        (Action::ShowAppliance, "3", "Appliance"),
        (Action::ShowLogs, "4", "Logs"),
        (Action::ShowPorts, "5", "Ports"),
        (Action::ShowBackups, "6", "Backups"),
        (Action::ShowSettings, "9", "Settings"),
    ] {
        let text = if narrow && action != here { format!(" {key} ") } else { format!(" {key} {word} ") };
        x +=
            on.put(x, 0, on.width().saturating_sub(x), &text, if action == here { Tone::Chosen } else { Tone::Plain }) + u16::from(!narrow);
    }
    let end = on.width().saturating_sub(1);
    let room = end.saturating_sub(x + 1);
    let (text, tone) = match known.world.jobs.get() {
        Some(jobs) => match fact::running(jobs).count() {
            0 => ("no jobs".to_owned(), Tone::Quiet),
            n => (format!("jobs {n}"), Tone::Strong),
        },
        None => ("jobs ?".to_owned(), Tone::Unknown),
    };
    // Nothing runs: that is not worth half a word.
    if words::width(&text) <= room || tone != Tone::Quiet {
        on.put_right(end, 0, room, &text, tone);
    }
}

/// What is said on the right of the job line.
pub struct Said<'a> {
    /// Something that was just said.
    pub note: Option<&'a str>,
    /// The last thing that was done.
    pub last: Option<&'a str>,
    /// A refresh is under way that was asked for.
    pub asking: bool,
}

/// The job line: the newest job that runs, and the last thing that was done.
pub fn job_line(on: &mut Canvas<'_>, known: &Known, said: &Said<'_>) {
    let wide = on.width();
    let open = || known.world.jobs.get().into_iter().flat_map(|jobs| fact::running(jobs));
    let running = open().find(|j| j.state != State::Queued).or_else(|| open().next());
    let last = said.last.map(|l| format!("last: {l}")).or_else(|| last_job(known));
    let (text, tone) = match (said.note, said.asking) {
        (Some(note), _) => (note.to_owned(), Tone::Plain),
        (None, true) => ("asking the host …".to_owned(), Tone::Quiet),
        (None, false) => (last.unwrap_or_default(), Tone::Quiet),
    };
    let Some(job) = running else {
        on.put(1, 0, wide.saturating_sub(2), &text, tone);
        return;
    };
    let from = if said.note.is_some() { on.put_right(wide.saturating_sub(1), 0, wide / 2, &text, tone) } else { wide };
    let used = progress(on, 1, 0, from.saturating_sub(3), job);
    if said.note.is_none() && used + 24 < wide {
        on.put_right(wide.saturating_sub(1), 0, wide - used - 4, &text, tone);
    }
}

fn last_job(known: &Known) -> Option<String> {
    let job = known.world.jobs.get()?.iter().find(|j| j.state.is_final())?;
    Some(format!("last: {} {} {}", job.id, job.title(), job.state.word()))
}

/// A job in a line: number, title, bar, percent, rate, time to go. Gives the column behind it.
pub fn progress(on: &mut Canvas<'_>, x: u16, y: u16, room: u16, job: &Job) -> u16 {
    let p = &job.life.progress;
    let mut tail = String::new();
    if let Some(percent) = p.percent() {
        let width = if room >= 70 { 12 } else { 6 };
        // The size of a container's archive is a guess from the last one.
        tail.push_str(&format!("  {} ~{percent} %", words::bar(percent, width)));
    } else if let Some(bytes) = p.bytes {
        tail.push_str(&format!("  {} so far", stamp::bytes(bytes)));
    }
    if let Some(rate) = p.rate.filter(|_| room >= 60) {
        tail.push_str(&format!("  {}/s", stamp::bytes(rate)));
    }
    if let Some(eta) = p.eta_s().filter(|_| room >= 60) {
        // Coarse: a time that jumps about each second tells nothing more.
        let eta = if eta < 60 { "under 1 min".to_owned() } else { format!("~{}", stamp::span(eta)) };
        tail.push_str(&format!("  {eta}"));
    }
    match job.state {
        State::Unreachable => tail.push_str("  cannot be asked now"),
        State::Queued => tail.push_str("  queued"),
        _ if tail.is_empty() => tail = format!("  {}", if p.phase.is_empty() { "running" } else { &p.phase }),
        _ => {}
    }
    let head = format!("job {} {}", job.id, job.title());
    let tail_width = words::width(&tail).min(room.saturating_sub(8));
    let used = on.put(x, y, room.saturating_sub(tail_width), &head, Tone::Strong);
    x + used + on.put(x + used, y, room.saturating_sub(used), &tail, Tone::Plain)
}

/// What a job of this purpose may leave behind when it is ended.
pub fn leaves(job: &Job) -> String {
    if job.state == State::Queued {
        return "Nothing is left: it has not begun.".into();
    }
    let plan = job.order.plan();
    match &plan.purpose {
        Purpose::Backup => format!("A lock 'backup' on {}, a snapshot and a partial archive may be left.", plan.guest),
        Purpose::Schedule => "The schedule is as before or as wished; archives are not touched.".into(),
        Purpose::Prune => "Archives that were removed so far are gone; the others stay.".into(),
        Purpose::Swap | Purpose::RestoreInPlace => "One of both containers has the whole place, in its notes or its configuration.".into(),
        Purpose::Verify => "Nothing is changed by it; archives that were not read yet are not verified.".into(),
        Purpose::Pull | Purpose::PullOut => {
            "What was there is there, under its name or beside it; a folder .proximity-… may be left beside it.".into()
        }
        Purpose::Drill => format!("Guest {} may be left; it was made to be removed: pct destroy {0}", plan.guest),
        Purpose::RestoreBeside => format!("Guest {} may be left half restored and locked; the original is not touched.", plan.guest),
        Purpose::Unlock => "What is not cleared away yet is found by the lock doctor again.".into(),
        Purpose::Label | Purpose::Unprotect => "The archive has its notes and its protection as before, or as wished.".into(),
        Purpose::Appliance | Purpose::Pin(_) => "The appliance may be left half changed; asked for again, it goes on from there.".into(),
        Purpose::Publish(_) => "What is published is as before or as wished, never half; nothing is lost by asking again.".into(),
        Purpose::Power => format!("Guest {} may be left between running and stopped.", plan.guest),
    }
}

/// The footer: what keys do now, from the key table.
pub fn footer(on: &mut Canvas<'_>, pane: &dyn Pane, known: &Known) {
    let context = pane.context();
    let end = on.width();
    let typing = pane.is_typing();
    let words_of = |b: &'static action::Binding| b.keys.iter().find(|k| !typing || !k.is_letter()).map(|k| (k.name(), b.word));
    let shown =
        action::here(context).filter(|b| !b.word.is_empty() && pane.can(b.action, known)).filter_map(|b| Some((b.action, words_of(b)?)));
    // Help and commands are always there; the rest fills what is left.
    let (fixed, rest): (Vec<_>, Vec<_>) = shown.partition(|(a, _)| matches!(a, Action::Help | Action::Palette));
    let size = |(key, word): &(String, &str)| words::width(key) + 1 + words::width(word) + 2;
    let reserved: u16 = fixed.iter().map(|(_, w)| size(w)).sum();
    let mut x = 1;
    let mut put = |x: &mut u16, (key, word): &(String, &str)| {
        *x += on.put(*x, 0, end.saturating_sub(*x), key, Tone::Key) + 1;
        *x += on.put(*x, 0, end.saturating_sub(*x), word, Tone::Quiet) + 2;
    };
    for (_, w) in &rest {
        if x + size(w) + reserved <= end + 2 {
            put(&mut x, w);
        }
    }
    for (_, w) in &fixed {
        if x + size(w) <= end + 2 {
            put(&mut x, w);
        }
    }
}
