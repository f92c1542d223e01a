//! Pane 1: what is wrong first, then the node, the storages, the guests.
//!
//! ```text
//!  wrong 1 · unknown 1 ──────────────────────────────────────────
//!  ✗ storage local   91 % full, 3.2 GiB left
//!  ? guest 103 db    locked (backup); …
//!  node ───────────────────────────────── files · under 1 min ago
//!  cpu ▓▓░░░░ 23 %  memory ▓▓▓░ 12 GiB of 31 GiB  disk ▓░ 20 %
//!  storages ───────────────────────────── …
//!  guests 12 · 9 running ──────────────── …
//!     id  name   state      lock   memory  …
//! ```

use super::guest::{self, Search};
use crate::domain::fact::LogSource;
use crate::domain::guest::{Guest, Power, Vmid};
use crate::domain::health::{self, Finding, Level};
use crate::domain::stamp;
use crate::domain::storage::Storage;
use crate::domain::world::{Node, Part};
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::dialogs::locks::Locks;
use crate::tui::dialogs::text::{Text, field};
use crate::tui::effect::Effect;
use crate::tui::input::Input;
use crate::tui::list::{Column, List, cell, column, fit, heads, marker};
use crate::tui::pane::{Known, Pane, Then, Typed};
use crate::tui::theme::Tone;
use crate::tui::words;

/// Pane 1.
#[derive(Default)]
pub struct Overview {
    focus: Focus,
    /// The part with the focus has the whole pane.
    grown: bool,
    findings: Vec<Finding>,
    wrong: List,
    storage: List,
    guests: List,
    chosen: Option<Vmid>,
    /// Processor use in percent between the last two times it was asked.
    usage: Option<u8>,
    ticks: Option<(Option<String>, u64, u64)>,
    search: Search,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Focus {
    Wrong,
    Storages,
    #[default]
    Guests,
}

/// Rows of each part with its title; 0 for a part that is not shown.
struct Parts {
    wrong: u16,
    node: u16,
    storages: u16,
    guests: u16,
    /// Node and storages are a line each, without titles.
    dense: bool,
}

const STORAGES: [Column; 6] = [
    column("storage", 10, 24, 0, false),
    column("kind", 8, 10, 2, false),
    column("used", 5, 5, 0, true),
    column("", 10, 20, 1, false),
    column("free", 9, 9, 0, true),
    column("holds", 16, 60, 3, false),
];

fn all_guests(known: &Known) -> &[Guest] {
    known.world.guests.get().map_or(&[], Vec::as_slice)
}

fn all_storages(known: &Known) -> &[Storage] {
    known.world.storages.get().map_or(&[], Vec::as_slice)
}

/// The guest of whose lock a finding tells, or the whole node where it tells what is left; `None` for others.
fn about_locks(finding: &Finding, known: &Known) -> Option<Option<Vmid>> {
    if finding.what == health::LEFTOVERS {
        return Some(None);
    }
    let id: Vmid = finding.what.strip_prefix("guest ")?.split(' ').next()?.parse().ok()?;
    let locked = known.world.guest(id).is_some_and(|g| g.lock.is_some()) && finding.why.starts_with("locked (");
    locked.then_some(Some(id))
}

impl Overview {
    fn parts(&self, known: &Known) -> Parts {
        let height = known.pane_size().1;
        let wrong = self.findings.len().max(1) as u16;
        if self.grown {
            let all = |f| if self.focus == f { height } else { 0 };
            return Parts { wrong: all(Focus::Wrong), node: 0, storages: all(Focus::Storages), guests: all(Focus::Guests), dense: false };
        }
        let dense = height < 26;
        let wrong = 1 + if dense { wrong.min((height / 4).max(1)) } else { wrong.min(10) };
        if height < 9 {
            let wrong = wrong.min(height / 2);
            return Parts { wrong, node: 0, storages: 0, guests: height - wrong, dense };
        }
        let node = if dense { 1 } else { 2 };
        let storages = if dense { 1 } else { 2 + all_storages(known).len().clamp(1, 8) as u16 };
        Parts { wrong, node, storages, guests: height.saturating_sub(wrong + node + storages), dense }
    }

    fn finding(&self) -> Option<&Finding> {
        self.findings.get(self.wrong.at)
    }

    fn guest<'k>(&self, known: &'k Known) -> Option<&'k Guest> {
        all_guests(known).get(self.guests.at)
    }

    /// Selects a guest; `false` where it is not in the list.
    pub fn go(&mut self, id: Vmid, known: &Known) -> bool {
        let Some(at) = all_guests(known).iter().position(|g| g.id == id) else { return false };
        (self.focus, self.chosen, self.guests.at) = (Focus::Guests, Some(id), at);
        true
    }

    fn shift_focus(&mut self, known: &Known, forward: bool) {
        use Focus::{Guests, Storages, Wrong};
        let dense = self.parts(known).dense && !self.grown;
        self.focus = match (self.focus, forward) {
            (Wrong, true) if dense => Guests,
            (Guests, false) if dense => Wrong,
            (Wrong, true) | (Guests, false) => Storages,
            (Storages, true) | (Wrong, false) => Guests,
            (Guests, true) | (Storages, false) => Wrong,
        };
    }

    fn open(&self, known: &Known) -> Vec<Then> {
        match self.focus {
            Focus::Guests => match (self.guest(known), &known.world.guests.known) {
                (Some(g), _) => vec![Then::Open(Box::new(guest::details(g, known)))],
                (None, Err(why)) => vec![Then::Open(Box::new(Text::new("guests", vec![field("guests", Err(why))])))],
                (None, Ok(_)) => Vec::new(),
            },
            Focus::Storages => {
                all_storages(known).get(self.storage.at).map(|s| Then::Open(Box::new(storage_details(s)))).into_iter().collect()
            }
            Focus::Wrong => match self.finding() {
                // There is its evidence, and what mends it.
                Some(f) if f.pane == "appliance" => vec![Then::Act(Action::ShowAppliance)],
                Some(f) => match about_locks(f, known) {
                    Some(guest) => vec![Then::Open(Box::new(Locks::new(guest))), Then::Do(Effect::LookLocks(guest))],
                    None => vec![Then::Open(Box::new(finding_details(f)))],
                },
                None => Vec::new(),
            },
        }
    }

    fn seek(&mut self, known: &Known, forward: bool, here_too: bool) -> bool {
        let all = all_guests(known);
        let found = self
            .search
            .next(self.guests.at, all.len(), forward, here_too, |i| all.get(i).is_some_and(|g| guest::matches(g, &self.search.needle)));
        if let Some(at) = found {
            self.focus = Focus::Guests;
            let rows = self.parts(known).guests.saturating_sub(2).into();
            self.guests.go(at, all.len(), rows);
            self.chosen = self.guest(known).map(|g| g.id);
        }
        found.is_some()
    }

    fn copied(&self, known: &Known) -> Option<String> {
        match self.focus {
            Focus::Guests => self.guest(known).map(|g| {
                let ip = g.nics.first().and_then(|n| n.ip.as_deref()).map(|ip| format!(" {ip}")).unwrap_or_default();
                format!("{}{ip}", g.title())
            }),
            Focus::Storages => all_storages(known).get(self.storage.at).map(|s| s.id.to_string()),
            Focus::Wrong => self.finding().map(|f| format!("{}: {}", f.what, f.why)),
        }
    }
}

impl Pane for Overview {
    fn context(&self) -> Context {
        Context::Overview
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        if let Some(then) = guest::act(action, self.guest(known), known) {
            return Some(then);
        }
        match action {
            Action::NextPart | Action::PrevPart => self.shift_focus(known, action == Action::NextPart),
            Action::Grow => self.grown = true,
            Action::Shrink => {
                self.grown = false;
                if self.parts(known).dense && self.focus == Focus::Storages {
                    self.focus = Focus::Guests;
                }
            }
            Action::Open if self.search.input.is_some() => self.search.input = None,
            Action::Open => return Some(self.open(known)),
            Action::Search => self.search.input = Some(Input::default()),
            Action::NextHit | Action::PrevHit => {
                if !self.seek(known, action == Action::NextHit, false) {
                    return Some(vec![Then::Say("nothing found; / searches".into())]);
                }
            }
            Action::Back => {
                self.search = Search::default();
                self.grown = false;
            }
            Action::Copy => {
                let Some(text) = self.copied(known) else { return Some(vec![Then::Say("nothing is selected".into())]) };
                let said = format!("copied: {text}");
                return Some(vec![Then::Do(crate::tui::effect::Effect::Copy(text)), Then::Say(said)]);
            }
            _ => {
                let parts = self.parts(known);
                let moved = match self.focus {
                    Focus::Wrong => self.wrong.act(action, self.findings.len(), parts.wrong.saturating_sub(1).into()),
                    Focus::Storages => self.storage.act(action, all_storages(known).len(), parts.storages.saturating_sub(2).into()),
                    Focus::Guests => self.guests.act(action, all_guests(known).len(), parts.guests.saturating_sub(2).into()),
                };
                self.chosen = self.guest(known).map(|g| g.id);
                return moved.then(Vec::new);
            }
        }
        Some(Vec::new())
    }

    fn can(&self, action: Action, known: &Known) -> bool {
        match action {
            Action::Backup | Action::Restore | Action::Menu | Action::LogsOf | Action::Search => !all_guests(known).is_empty(),
            Action::Back => self.grown || self.search.input.is_some(),
            _ => true,
        }
    }

    fn is_typing(&self) -> bool {
        self.search.input.is_some()
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        self.search.input.as_mut().map(|i| i as &mut dyn Typed)
    }

    fn typed(&mut self, known: &Known) -> Vec<Then> {
        self.search.read();
        self.seek(known, true, true);
        Vec::new()
    }

    fn news(&mut self, known: &Known) {
        self.findings = health::findings(&known.world);
        self.wrong.at = self.wrong.at.min(self.findings.len().saturating_sub(1));
        if let Some(node) = known.world.node.get() {
            self.measure(node);
        } else {
            (self.usage, self.ticks) = (None, None);
        }
        let all = all_guests(known);
        let at = self.chosen.and_then(|id| all.iter().position(|g| g.id == id)).unwrap_or(self.guests.at);
        let rows = self.parts(known).guests.saturating_sub(2).into();
        self.guests.go(at.min(all.len().saturating_sub(1)), all.len(), rows);
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let parts = self.parts(known);
        let mut y = 0;
        if parts.wrong > 0 {
            self.draw_wrong(&mut on.rows(y, parts.wrong), known);
            y += parts.wrong;
        }
        if parts.node > 0 {
            let mut part = on.rows(y, parts.node);
            if !parts.dense {
                part.title(0, &node_title(known), Tone::Strong, &words::source(&known.world.node, known.now));
            }
            self.draw_node(&mut part.rows(parts.node - 1, 1), known);
            y += parts.node;
        }
        if parts.storages > 0 {
            let mut part = on.rows(y, parts.storages);
            if parts.dense {
                dense_storages(&mut part, known)
            } else {
                self.draw_storages(&mut part, known)
            }
            y += parts.storages;
        }
        if parts.guests > 0 {
            self.draw_guests(&mut on.rows(y, parts.guests), known);
        }
    }
}

impl Overview {
    fn measure(&mut self, node: &Node) {
        let Some((busy, total)) = node.cpu_ticks else {
            (self.usage, self.ticks) = (None, None);
            return;
        };
        let now = (node.boot_id.clone(), busy, total);
        match &self.ticks {
            // Asked twice within one tick, nothing new is known.
            Some(before) if *before == now => return,
            Some((boot, b, t)) if *boot == node.boot_id && total > *t && busy >= *b => self.usage = words::percent(busy - b, total - t),
            _ => self.usage = None,
        }
        self.ticks = Some(now);
    }

    fn draw_wrong(&self, on: &mut Canvas<'_>, known: &Known) {
        let count = |level| self.findings.iter().filter(|f| f.level == level).count();
        let mut heading = Vec::new();
        for (level, word) in [(Level::Bad, "wrong"), (Level::Warn, "to look at"), (Level::Unknown, "unknown")] {
            if count(level) > 0 {
                heading.push(format!("{} {word}", count(level)));
            }
        }
        let tone = self.findings.first().map_or(Tone::Strong, |f| level_tone(f.level));
        let all_known = self.findings.is_empty() && pending(known).is_empty();
        let text = match (heading.is_empty(), all_known) {
            (false, _) => heading.join(" · "),
            (true, true) => "nothing is wrong".to_owned(),
            (true, false) => "not all is known yet".to_owned(),
        };
        let rows = usize::from(on.height() - 1);
        let hidden = self.findings.len().saturating_sub(rows);
        let more = match hidden {
            0 => String::new(),
            n if on.width() < 60 => format!("+{n}"),
            n => format!("{n} more, Tab and + show them"),
        };
        on.title(0, &text, if all_known { Tone::Good } else { tone }, &more);
        let room = on.width().saturating_sub(4);
        if self.findings.is_empty() {
            let asked = "node, quorum, guests, storages, network, tasks, backups, jobs and logs were asked";
            let text = match pending(known) {
                missing if missing.is_empty() => asked.to_owned(),
                missing if known.world.node.is_pending() && missing.len() > 7 => "nothing was asked yet".to_owned(),
                missing => format!("not asked yet: {}", missing.join(", ")),
            };
            on.put(3, 1, room, &text, Tone::Quiet);
            return;
        }
        let wide = if on.width() >= 100 { 24 } else { 18 };
        let top = self.wrong.top(self.findings.len(), rows);
        for (y, (nth, f)) in self.findings.iter().enumerate().skip(top).take(rows).enumerate() {
            let y = y as u16 + 1;
            marker(on, y, self.focus == Focus::Wrong && nth == self.wrong.at);
            let sign = match f.level {
                Level::Bad => "✗",
                Level::Warn => "!",
                Level::Unknown => "?",
            };
            on.put(1, y, 1, sign, level_tone(f.level));
            on.put(3, y, wide.min(room / 2), &f.what, Tone::Strong);
            let x = 3 + wide.min(room / 2) + 1;
            on.put(x, y, on.width().saturating_sub(x + 1), &f.why, Tone::Plain);
        }
    }

    fn draw_node(&self, on: &mut Canvas<'_>, known: &Known) {
        let node = match &known.world.node.known {
            Ok(node) => node,
            Err(why) => {
                on.put(1, 0, on.width().saturating_sub(2), &format!("? node: {why}"), Tone::Unknown);
                return;
            }
        };
        let bar = if on.width() >= 100 { 10 } else { 5 };
        let mut x = 1;
        let mut gauge = |x: &mut u16, name: &str, percent: Option<u8>, text: String, bad: u8| {
            let tone = match percent {
                Some(p) if p >= bad => Tone::Bad,
                None if text.starts_with('?') => Tone::Unknown,
                _ => Tone::Plain,
            };
            let bar = percent.map(|p| words::bar(p, bar) + " ").unwrap_or_default();
            let wide = words::width(name) + words::width(&bar) + words::width(&text) + 1;
            if *x + wide > on.width() {
                return;
            }
            *x += on.line(*x, 0, &[(name, Tone::Quiet), (" ", Tone::Plain), (&bar, tone), (&text, tone)]) + 3;
        };
        let cpus = node.cpus.map(|n| format!(" of {n}")).unwrap_or_default();
        // The first time there is nothing to compare with.
        let cpu = self.usage.map_or("?".to_owned(), |p| format!("{p} %"));
        gauge(&mut x, "cpu", self.usage, format!("{cpu}{cpus}"), 95);
        let pair = |part: Option<(u64, u64)>| match part {
            Some((used, all)) => (words::percent(used, all), format!("{} of {}", stamp::bytes(used), stamp::bytes(all))),
            None => (None, "?".to_owned()),
        };
        let (percent, text) = pair(node.mem);
        gauge(&mut x, "mem", percent, text, 90);
        let (percent, _) = pair(node.root);
        gauge(&mut x, "root", percent, percent.map_or("?".into(), |p| format!("{p} %")), 85);
        let load = node.load.map_or("?".to_owned(), |l| format!("{:.1}", l[0]));
        gauge(&mut x, "load", None, load, 100);
        if let Some((used, all)) = node.swap.filter(|(_, all)| *all > 0) {
            gauge(&mut x, "swap", words::percent(used, all), stamp::bytes(used), 80);
        }
    }

    fn draw_storages(&self, on: &mut Canvas<'_>, known: &Known) {
        let part = &known.world.storages;
        on.title(0, "storages", focus_tone(self.focus == Focus::Storages), &words::source(part, known.now));
        let Some(all) = known_or_why(on, part, "storages") else { return };
        if all.is_empty() {
            on.put(3, 1, on.width().saturating_sub(4), "No storage is configured; see /etc/pve/storage.cfg.", Tone::Quiet);
            return;
        }
        let places = fit(&STORAGES, 3, on.width().saturating_sub(1));
        heads(on, 1, &STORAGES, &places);
        let rows = usize::from(on.height().saturating_sub(2));
        let top = self.storage.top(all.len(), rows);
        for (y, (nth, s)) in all.iter().enumerate().skip(top).take(rows).enumerate() {
            let y = y as u16 + 2;
            marker(on, y, self.focus == Focus::Storages && nth == self.storage.at);
            let percent = s.space.as_ref().ok().and_then(|p| words::percent(p.used, p.total));
            let tone = storage_tone(s, percent);
            let wide = places.get(3).copied().flatten().map_or(0, |(_, w)| w);
            let texts = [
                s.id.to_string(),
                s.kind.clone(),
                storage_percent(s, percent),
                percent.map(|p| words::bar(p, wide)).unwrap_or_default(),
                s.space.as_ref().map_or("?".into(), |p| stamp::bytes(p.avail)),
                s.content.join(" "),
            ];
            for (i, text) in texts.iter().enumerate() {
                if let Some(place) = places[i] {
                    cell(on, y, place, text, if (2..5).contains(&i) { tone } else { Tone::Plain }, STORAGES[i].right);
                }
            }
        }
    }

    fn draw_guests(&self, on: &mut Canvas<'_>, known: &Known) {
        let part = &known.world.guests;
        let all = all_guests(known);
        let running = all.iter().filter(|g| g.power == Power::Running).count();
        let heading =
            if part.get().is_some() { format!("{} · {running} running", words::many(all.len(), "guest")) } else { "guests".to_owned() };
        on.title(0, &heading, focus_tone(self.focus == Focus::Guests), &words::source(part, known.now));
        if let Some(input) = &self.search.input {
            on.put(0, 0, on.width(), &" ".repeat(on.width().into()), Tone::Plain);
            let found = all.iter().filter(|g| guest::matches(g, &self.search.needle)).count();
            let end = on.put_right(
                on.width().saturating_sub(1),
                0,
                12,
                &format!("{found} found"),
                if found == 0 { Tone::Warn } else { Tone::Quiet },
            );
            on.put(1, 0, 1, "/", Tone::Key);
            input.draw(on, 3, 0, end.saturating_sub(4), true);
        }
        let Some(all) = known_or_why(on, part, "guests") else { return };
        if all.is_empty() {
            on.put(
                3,
                1,
                on.width().saturating_sub(4),
                "This node has no guest. Create containers on the Proxmox page or with pct create.",
                Tone::Quiet,
            );
            return;
        }
        let columns = guest::columns(all);
        let places = fit(&columns, 2, on.width().saturating_sub(1));
        heads(on, 1, &columns, &places);
        let rows = usize::from(on.height().saturating_sub(2));
        let top = self.guests.top(all.len(), rows);
        for (y, (nth, g)) in all.iter().enumerate().skip(top).take(rows).enumerate() {
            let y = y as u16 + 2;
            let chosen = nth == self.guests.at;
            marker(on, y, chosen && self.focus == Focus::Guests);
            for (i, (text, tone)) in guest::cells(g, known).iter().enumerate() {
                if let Some(place) = places[i] {
                    let hit = i < 2 && !self.search.needle.is_empty() && guest::matches(g, &self.search.needle);
                    let tone = if hit {
                        Tone::Mark
                    } else if i < 2 && chosen {
                        Tone::Strong
                    } else {
                        *tone
                    };
                    cell(on, y, place, text, tone, columns[i].right);
                }
            }
        }
    }
}

fn focus_tone(here: bool) -> Tone {
    if here { Tone::Strong } else { Tone::Plain }
}

fn level_tone(level: Level) -> Tone {
    match level {
        Level::Bad => Tone::Bad,
        Level::Warn => Tone::Warn,
        Level::Unknown => Tone::Unknown,
    }
}

/// The parts that were not asked yet.
fn pending(known: &Known) -> Vec<&'static str> {
    let w = &known.world;
    let all = [
        ("node", w.node.is_pending()),
        ("quorum", w.quorum.is_pending()),
        ("guests", w.guests.is_pending()),
        ("storages", w.storages.is_pending()),
        ("network", w.network.is_pending()),
        ("tasks", w.tasks.is_pending()),
        ("backups", w.archives.is_pending()),
        ("jobs", w.jobs.is_pending()),
        ("logs", w.logs.is_pending()),
    ];
    all.into_iter().filter(|(_, p)| *p).map(|(name, _)| name).collect()
}

/// The list of a part, or the line that says why it is unknown.
fn known_or_why<'k, T>(on: &mut Canvas<'_>, part: &'k Part<Vec<T>>, name: &str) -> Option<&'k [T]> {
    match &part.known {
        Ok(all) => Some(all),
        Err(why) => {
            on.put(1, 1, on.width().saturating_sub(2), &format!("? {name}: {why}"), Tone::Unknown);
            None
        }
    }
}

fn node_title(known: &Known) -> String {
    let Some(node) = known.world.node.get() else { return "node".into() };
    let version = node.version.as_ref().map_or("Proxmox ?".to_owned(), |v| format!("Proxmox {v}"));
    let up = node.uptime_s.map(|s| format!(" · up {}", if s < 60 { "under 1 min".into() } else { stamp::span(s) })).unwrap_or_default();
    format!("node {} · {version}{up}", node.name)
}

fn storage_percent(s: &Storage, percent: Option<u8>) -> String {
    match (s.disabled, percent) {
        (true, _) => "off".into(),
        (_, Some(p)) => format!("{p} %"),
        (_, None) => "?".into(),
    }
}

fn storage_tone(s: &Storage, percent: Option<u8>) -> Tone {
    match percent {
        _ if s.disabled => Tone::Quiet,
        None => Tone::Unknown,
        Some(95..) => Tone::Bad,
        Some(85..) => Tone::Warn,
        Some(_) => Tone::Plain,
    }
}

/// All storages in one line, as many as fit.
fn dense_storages(on: &mut Canvas<'_>, known: &Known) {
    let all = match &known.world.storages.known {
        Ok(all) => all,
        Err(why) => {
            on.put(1, 0, on.width().saturating_sub(2), &format!("? storages: {why}"), Tone::Unknown);
            return;
        }
    };
    let mut x = 1;
    for (nth, s) in all.iter().enumerate() {
        let percent = s.space.as_ref().ok().and_then(|p| words::percent(p.used, p.total));
        let bar = percent.filter(|_| !s.disabled).map(|p| words::bar(p, 5) + " ").unwrap_or_default();
        let text = storage_percent(s, percent);
        let wide = words::width(s.id.as_str()) + 1 + words::width(&bar) + words::width(&text);
        let left = all.len() - nth - 1;
        if x + wide + if left > 0 { 10 } else { 1 } > on.width() {
            on.put(x, 0, on.width().saturating_sub(x + 1), &format!("+{} more", left + 1), Tone::Quiet);
            return;
        }
        let tone = storage_tone(s, percent);
        x += on.line(x, 0, &[(s.id.as_str(), Tone::Quiet), (" ", Tone::Plain), (&bar, tone), (&text, tone)]) + 3;
    }
}

fn storage_details(s: &Storage) -> Text {
    let space = |f: fn(&crate::domain::storage::Space) -> u64| s.space.as_ref().map(|p| stamp::bytes(f(p))).map_err(String::as_str);
    let lines = vec![
        field("kind", Ok(s.kind.clone())),
        field("path", Ok(s.path.clone().unwrap_or_else(|| "none".into()))),
        field("holds", Ok(s.content.join(" "))),
        field("nodes", Ok(if s.nodes.is_empty() { "all".into() } else { s.nodes.join(" ") })),
        field("switched", Ok(if s.disabled { "off".into() } else { "on".into() })),
        field("must mount", Ok(if s.must_be_mounted { "yes".into() } else { "no".into() })),
        field("total", space(|p| p.total)),
        field("used", space(|p| p.used)),
        field("free", space(|p| p.avail)),
    ];
    Text::new(format!("storage {}", s.id), lines)
}

fn finding_details(f: &Finding) -> Text {
    let word = match f.level {
        Level::Bad => "wrong",
        Level::Warn => "wants a look",
        Level::Unknown => "could not be told, so it is not known to be well",
    };
    let place = match f.pane {
        "ports" => "pane 5, Ports, knows more, and proximity ports drift",
        "backups" => "pane 6, Backups, knows more",
        "logs" if f.log.is_none() => "pane 4, Logs, knows more",
        "jobs" => "J, the jobs, know more",
        _ => "",
    };
    let mut lines = vec![(level_tone(f.level), word.to_owned()), (Tone::Plain, String::new()), (Tone::Plain, f.why.clone())];
    if !place.is_empty() {
        lines.extend([(Tone::Plain, String::new()), (Tone::Quiet, place.to_owned())]);
    }
    let text = Text::new(f.what.clone(), lines);
    match f.log.as_deref().and_then(LogSource::from_name) {
        Some(source) => text.leading_to(source),
        None => text,
    }
}
