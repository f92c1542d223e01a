//! Pane 6: the archives by guest, what was never backed up, and what is not in a backup.

use std::collections::BTreeMap;

use super::guest::{self, Search};
use crate::domain::backup::Archive;
use crate::domain::backup::label::{Change, LabelWish};
use crate::domain::backup::size::{Odd, odd_ones};
use crate::domain::fact::Wish;
use crate::domain::guest::{Guest, Kind, Vmid};
use crate::domain::inside::ledger::{Ledger, Standing};
use crate::domain::inside::verify::VerifyWish;
use crate::domain::proof::Proofs;
use crate::domain::schedule::{Forecast, Next};
use crate::domain::stamp;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::dialogs::inside::Inside;
use crate::tui::dialogs::many::Backups as Many;
use crate::tui::dialogs::note::Note;
use crate::tui::dialogs::restore::Restore;
use crate::tui::dialogs::schedule::Schedule;
use crate::tui::dialogs::text::{Line, Text, field};
use crate::tui::effect::Effect;
use crate::tui::input::Input;
use crate::tui::list::{Column, List, cell, column, fit, heads, marker};
use crate::tui::pane::{Known, Pane, Then, Typed};
use crate::tui::theme::Tone;
use crate::tui::words;

/// Pane 6.
#[derive(Default)]
pub struct Backups {
    rows: Vec<Row>,
    list: List,
    search: Search,
    /// Guests that are marked, in the order in which they were.
    marked: Vec<Vmid>,
    /// Guests whose newest archive has an odd size.
    odd: BTreeMap<Vmid, Odd>,
    /// What restores found out; none where that is not known.
    proofs: Option<Proofs>,
    /// When each guest is backed up next, in a few letters.
    next: std::collections::BTreeMap<Vmid, (String, Tone)>,
}

/// One row: a guest, or one of its archives by place in the World's list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    Guest(Vmid, usize),
    /// Archives of guests that are not here, or that tell no guest.
    Others(usize),
    Archive(usize),
}

const COLUMNS: [Column; 6] = [
    column("made", 16, 16, 0, false),
    column("age", 6, 6, 0, true),
    column("size", 8, 8, 0, true),
    column("storage", 8, 12, 1, false),
    column("restorable", 11, 11, 2, false),
    column("notes", 10, 80, 3, false),
];

fn archives(known: &Known) -> &[Archive] {
    known.world.archives.get().map_or(&[], Vec::as_slice)
}

fn rows(known: &Known) -> Vec<Row> {
    // Without the archives there is nothing on the screen to choose from.
    let Some(all) = known.world.archives.get() else { return Vec::new() };
    let mut by_guest: std::collections::BTreeMap<Vmid, Vec<usize>> = std::collections::BTreeMap::new();
    let mut others = Vec::new();
    for g in known.world.guests.get().into_iter().flatten().filter(|g| g.kind == Kind::Lxc && !g.template) {
        by_guest.insert(g.id, Vec::new());
    }
    for (at, a) in all.iter().enumerate() {
        match a.vmid.and_then(|id| by_guest.get_mut(&id)) {
            Some(list) => list.push(at),
            None => others.push(at),
        }
    }
    let mut out = Vec::new();
    for (id, mut list) in by_guest {
        list.sort_by_key(|at| std::cmp::Reverse(all.get(*at).map(|a| a.made)));
        out.push(Row::Guest(id, list.len()));
        out.extend(list.into_iter().map(Row::Archive));
    }
    if !others.is_empty() {
        others.sort_by_key(|at| all.get(*at).map(|a| (a.vmid, std::cmp::Reverse(a.made))));
        out.push(Row::Others(others.len()));
        out.extend(others.into_iter().map(Row::Archive));
    }
    out
}

impl Backups {
    /// The archive that is meant: the selected one, or the newest of the selected guest.
    fn archive<'k>(&self, known: &'k Known) -> Option<&'k Archive> {
        match self.rows.get(self.list.at)? {
            Row::Archive(at) => archives(known).get(*at),
            Row::Guest(id, _) => known.world.last_archive(*id),
            Row::Others(_) => None,
        }
    }

    fn guest<'k>(&self, known: &'k Known) -> Option<&'k Guest> {
        match self.rows.get(self.list.at)? {
            Row::Archive(at) => archives(known).get(*at).and_then(|a| a.vmid).and_then(|id| known.world.guest(id)),
            Row::Guest(id, _) => known.world.guest(*id),
            Row::Others(_) => None,
        }
    }

    /// The newest word on any archive of a guest: for its row.
    fn proven(&self, known: &Known, id: Vmid) -> (String, Tone) {
        let Some(proofs) = &self.proofs else { return ("? whether one came back is unknown".into(), Tone::Unknown) };
        match proofs.guest(archives(known), id) {
            None => ("never proven".into(), Tone::Quiet),
            Some(p) if p.lives.is_ok() => (
                match words::age(known.now, p.at).as_str() {
                    "now" => "proven just now".to_owned(),
                    age => format!("proven {age} ago"),
                },
                Tone::Good,
            ),
            Some(_) if known.pane_size().0 < 100 => ("FAILED".into(), Tone::Bad),
            Some(_) => ("the last did NOT come back".into(), Tone::Bad),
        }
    }

    fn visible(&self, known: &Known) -> usize {
        known.pane_size().1.saturating_sub(2).into()
    }

    fn matches(&self, at: usize, known: &Known) -> bool {
        match self.rows.get(at) {
            Some(Row::Guest(id, _)) => known.world.guest(*id).is_some_and(|g| guest::matches(g, &self.search.needle)),
            Some(Row::Archive(at)) => archives(known).get(*at).is_some_and(|a| a.volid.to_lowercase().contains(&self.search.needle)),
            _ => false,
        }
    }

    fn seek(&mut self, known: &Known, forward: bool, here_too: bool) -> bool {
        let found = self.search.next(self.list.at, self.rows.len(), forward, here_too, |i| self.matches(i, known));
        if let Some(at) = found {
            let rows = self.visible(known);
            self.list.go(at, self.rows.len(), rows);
        }
        found.is_some()
    }

    fn draw_row(&self, on: &mut Canvas<'_>, y: u16, nth: usize, places: &[Option<(u16, u16)>], known: &Known) {
        let chosen = nth == self.list.at;
        marker(on, y, chosen);
        let hit = !self.search.needle.is_empty() && self.matches(nth, known);
        let strong = |chosen| {
            if hit {
                Tone::Mark
            } else if chosen {
                Tone::Strong
            } else {
                Tone::Plain
            }
        };
        match self.rows.get(nth) {
            Some(Row::Guest(id, count)) => {
                let title = known.world.guest(*id).map_or(id.to_string(), Guest::title);
                // The end of the row is for when it is backed up next.
                // Where there is no room for it, who it is comes first.
                let (next, tone) =
                    self.next.get(id).filter(|_| on.width() >= 60).map_or(("", Tone::Quiet), |(text, tone)| (text.as_str(), *tone));
                let own = next.chars().count() as u16 + 1;
                on.put(on.width().saturating_sub(own), y, own, next, tone);
                let (width, height) = (on.width().saturating_sub(own + 1), on.height());
                let on = &mut on.sub(0, 0, width, height);
                let wide = on.width().saturating_sub(22);
                let marked = self.marked.contains(id);
                let title = if marked { format!("+ {title}") } else { title };
                let used = 2 + on.put(2, y, wide, &title, if hit { Tone::Mark } else { Tone::Strong });
                let (text, tone) = match (known.world.last_archive(*id), count) {
                    (None, 1..) => ("only empty archives: none can be restored".to_owned(), Tone::Bad),
                    (None, _) if known.world.archives.gaps.is_empty() => ("never backed up".to_owned(), Tone::Warn),
                    (None, _) => ("? none found; a storage did not answer".to_owned(), Tone::Unknown),
                    (Some(a), 1) => (format!("1 archive, {} old", words::age(known.now, a.made)), Tone::Quiet),
                    (Some(a), n) if on.width() < 80 => (format!("{n} archives, {} old", words::age(known.now, a.made)), Tone::Quiet),
                    (Some(a), n) => (format!("{n} archives, newest {} old", words::age(known.now, a.made)), Tone::Quiet),
                };
                let x = if on.width() >= 60 { (used + 2).max(28) } else { used + 2 };
                let x = x + on.put(x, y, on.width().saturating_sub(x + 1), &text, tone);
                if known.world.last_archive(*id).is_some() {
                    let (text, tone) = self.proven(known, *id);
                    let x = x + on.put(x, y, on.width().saturating_sub(x + 1), &format!(" · {text}"), tone);
                    if let Some(odd) = self.odd.get(id) {
                        on.put(x, y, on.width().saturating_sub(x + 1), &format!(" · {odd}"), Tone::Warn);
                    }
                }
            }
            Some(Row::Others(count)) => {
                on.put(
                    2,
                    y,
                    on.width().saturating_sub(3),
                    &format!("of guests that are not here: {}", words::many(*count, "archive")),
                    Tone::Strong,
                );
            }
            Some(Row::Archive(at)) => {
                let Some(a) = archives(known).get(*at) else { return };
                let broken = a.is_empty();
                let proven = self.proofs.as_ref().and_then(|p| p.archive(&a.volid));
                let notes = match (&a.vmid, &a.notes) {
                    (_, Some(notes)) => notes.clone(),
                    (Some(id), None) if known.world.guest(*id).is_none() => format!("guest {id}"),
                    _ => String::new(),
                };
                let notes = [if a.protected { "protected" } else { "" }, &notes]
                    .iter()
                    .filter(|n| !n.is_empty())
                    .copied()
                    .collect::<Vec<_>>()
                    .join(" · ");
                let texts = [
                    a.made.minute(known.offset_s),
                    words::age(known.now, a.made),
                    if broken { "empty!".into() } else { a.size.map_or("?".into(), stamp::bytes) },
                    a.storage.to_string(),
                    proven.as_ref().map_or(String::new(), |p| {
                        if p.lives.is_ok() { format!("proven {}", words::age(known.now, p.at)) } else { "FAILED".into() }
                    }),
                    notes,
                ];
                for (i, text) in texts.iter().enumerate() {
                    let tone = match i {
                        0 => strong(chosen),
                        2 if broken => Tone::Bad,
                        4 if proven.as_ref().is_some_and(|p| p.lives.is_err()) => Tone::Bad,
                        4 => Tone::Good,
                        5 => Tone::Quiet,
                        _ => Tone::Plain,
                    };
                    if let Some(place) = places[i] {
                        cell(on, y, place, text, tone, COLUMNS[i].right);
                    }
                }
            }
            None => {}
        }
    }

    fn heading(&self, known: &Known) -> String {
        let never = self.rows.iter().filter(|r| matches!(r, Row::Guest(_, 0))).count();
        let mut out = words::many(archives(known).len(), "archive");
        if never > 0 {
            let word = if known.world.archives.gaps.is_empty() { "never backed up" } else { "without a known backup" };
            out.push_str(&format!(" · {} {word}", words::many(never, "guest")));
        }
        if !self.marked.is_empty() {
            out.push_str(&format!(" · {} marked", self.marked.len()));
        }
        out
    }
}

impl Pane for Backups {
    fn context(&self) -> Context {
        Context::Backups
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Restore => {
                return Some(vec![match (self.archive(known), self.guest(known)) {
                    (Some(a), _) => Then::Open(Box::new(Restore::new(a.clone(), known))),
                    (None, Some(g)) => Then::Say(format!("{} has no backup; b makes one", g.title())),
                    (None, None) => Then::Say("no archive is selected".into()),
                }]);
            }
            Action::Backup if !self.marked.is_empty() => {
                return Some(Many::new(&known.world, &self.marked).map(|many| Then::Open(Box::new(many))).into_iter().collect());
            }
            Action::Toggle => {
                let Some(id) = self.guest(known).map(|g| g.id) else { return Some(vec![Then::Say("no guest is selected".into())]) };
                match self.marked.iter().position(|m| *m == id) {
                    Some(at) => drop(self.marked.remove(at)),
                    None => self.marked.push(id),
                }
            }
            Action::Protect | Action::Edit => {
                let Some(archive) = self.archive(known).cloned() else { return Some(vec![Then::Say("no archive is selected".into())]) };
                return Some(vec![if action == Action::Edit {
                    Then::Open(Box::new(Note::new(archive)))
                } else {
                    let change = Change::Protect(!archive.protected);
                    Then::Wish(Wish::Label(LabelWish { volid: archive.volid, change }))
                }]);
            }
            Action::Schedule => {
                return Some(vec![match self.guest(known) {
                    Some(g) => Then::Open(Box::new(Schedule::new(g.clone(), known))),
                    None => Then::Say("no guest is selected".into()),
                }]);
            }
            Action::Verify => {
                return Some(vec![match self.archive(known) {
                    Some(a) => Then::Wish(Wish::Verify(VerifyWish::Archive(a.volid.clone()))),
                    None => Then::Say("no archive is selected".into()),
                }]);
            }
            Action::Files => {
                return Some(match self.archive(known) {
                    Some(a) => Inside::open(a.clone()),
                    None => vec![Then::Say("no archive is selected".into())],
                });
            }
            Action::Open if self.search.input.is_some() => self.search.input = None,
            Action::Open => {
                let open = match (self.archive(known), self.guest(known)) {
                    (Some(a), g) => Some(details(a, g, known)),
                    (None, Some(g)) => Some(guest::details(g, known)),
                    (None, None) => {
                        known.world.archives.known.as_ref().err().map(|why| Text::new("backups", vec![field("backups", Err(why))]))
                    }
                };
                return Some(open.map(|t| Then::Open(Box::new(t))).into_iter().collect());
            }
            Action::Copy => {
                let Some(volid) = self.archive(known).map(|a| a.volid.clone()) else {
                    return Some(vec![Then::Say("no archive is selected".into())]);
                };
                let said = format!("copied: {volid}");
                return Some(vec![Then::Do(Effect::Copy(volid)), Then::Say(said)]);
            }
            Action::Search => self.search.input = Some(Input::default()),
            Action::NextHit | Action::PrevHit => {
                if !self.seek(known, action == Action::NextHit, false) {
                    return Some(vec![Then::Say("nothing found; / searches".into())]);
                }
            }
            Action::Back if self.search.input.is_none() && self.search.needle.is_empty() => self.marked.clear(),
            Action::Back => self.search = Search::default(),
            _ => {
                if let Some(then) = guest::act(action, self.guest(known), known) {
                    return Some(then);
                }
                let rows = self.visible(known);
                return self.list.act(action, self.rows.len(), rows).then(Vec::new);
            }
        }
        Some(Vec::new())
    }

    fn can(&self, action: Action, known: &Known) -> bool {
        match action {
            Action::Backup => self.guest(known).is_some() || !self.marked.is_empty(),
            Action::Schedule | Action::Menu | Action::LogsOf | Action::Toggle => self.guest(known).is_some(),
            Action::Restore | Action::Copy | Action::Verify | Action::Files | Action::Protect | Action::Edit => {
                self.archive(known).is_some()
            }
            Action::Back => self.search.input.is_some() || !self.marked.is_empty(),
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
        // Whoever is gone is marked no more.
        if known.world.guests.get().is_some() {
            self.marked.retain(|id| known.world.guest(*id).is_some());
        }
        // The selection stays at its guest, or at the same place where an archive went.
        let before = self.rows.get(self.list.at).copied();
        self.rows = rows(known);
        self.odd = odd_ones(archives(known));
        self.proofs = known.world.jobs.get().map(|jobs| Proofs::of(jobs));
        self.next = next(known);
        let at = match before {
            Some(Row::Guest(id, _)) => self.rows.iter().position(|r| matches!(r, Row::Guest(other, _) if *other == id)),
            _ => None,
        };
        let (len, rows) = (self.rows.len(), self.visible(known));
        self.list.go(at.unwrap_or(self.list.at).min(len.saturating_sub(1)), len, rows);
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let part = &known.world.archives;
        let room = on.width().saturating_sub(2);
        let heading = if part.get().is_some() { self.heading(known) } else { "backups".into() };
        on.title(0, &heading, Tone::Strong, &words::source(part, known.now));
        if let Some(input) = &self.search.input {
            on.put(0, 0, on.width(), &" ".repeat(on.width().into()), Tone::Plain);
            on.put(1, 0, 1, "/", Tone::Key);
            input.draw(on, 3, 0, room.saturating_sub(3), true);
        }
        if let Err(why) = &part.known {
            on.put(1, 1, room, &format!("? backups: {why}"), Tone::Unknown);
            return;
        }
        if self.rows.is_empty() {
            on.put(1, 1, room, "There is no container and no archive here.", Tone::Plain);
            on.put(1, 2, room, "Archives appear once a storage with content 'backup' holds some.", Tone::Quiet);
            return;
        }
        let places = fit(&COLUMNS, 4, on.width().saturating_sub(1));
        heads(on, 1, &COLUMNS, &places);
        let visible = usize::from(on.height().saturating_sub(2));
        let top = self.list.top(self.rows.len(), visible);
        for (y, nth) in (top..self.rows.len()).take(visible).enumerate() {
            self.draw_row(on, y as u16 + 2, nth, &places, known);
        }
    }
}

/// When each container is backed up next by a schedule.
fn next(known: &Known) -> std::collections::BTreeMap<Vmid, (String, Tone)> {
    let forecast = Forecast::of(&known.world, known.now);
    let zone = known.world.schedules.get().map(|s| s.zone.clone()).unwrap_or_default();
    let one = |g: &Guest| {
        let next = forecast.guest(g);
        let tone = match &next {
            Next::At(_) => Tone::Quiet,
            Next::Disabled | Next::Never => Tone::Warn,
            Next::Unknown(_) => Tone::Unknown,
        };
        let words = next.words(known.now, &zone);
        (g.id, (if matches!(next, Next::At(_)) { format!("next {words}") } else { words }, tone))
    };
    known.world.guests.get().into_iter().flatten().filter(|g| g.kind == Kind::Lxc).map(one).collect()
}

/// What whoever read it to its end says of it.
fn verified(a: &Archive, known: &Known) -> Line {
    match a.server_says {
        Some(true) => return (Tone::Good, "The backup server verified it, and says that it is whole.".into()),
        Some(false) => return (Tone::Bad, "The backup server verified it, and says that it is damaged.".into()),
        None => {}
    }
    let Some(jobs) = known.world.jobs.get() else { return (Tone::Unknown, "? whether it was verified is unknown".into()) };
    let ledger = Ledger::of(jobs);
    let standing = ledger.standing(a);
    let tone = match standing {
        Standing::Whole(_) => Tone::Good,
        Standing::Damaged(_) | Standing::Changed(_) => Tone::Bad,
        Standing::Unknown(_) => Tone::Unknown,
        Standing::Never => return (Tone::Plain, "Nobody has read it to its end yet: v verifies it.".into()),
    };
    let word = standing.word();
    let when = word.map_or(String::new(), |w| format!("{} by job {}: ", w.verified.at.minute(known.offset_s), w.job));
    let sum = word.and_then(|w| w.verified.report.sha256.as_ref()).map_or(String::new(), |sum| format!(" (sha256 {sum})"));
    (tone, format!("Verified {when}{}{sum}.", standing.words()))
}

/// Everything known of an archive, and what is not in it.
fn details(a: &Archive, g: Option<&Guest>, known: &Known) -> Text {
    let mut lines = vec![
        field("guest", a.vmid.map(|id| g.map_or(format!("{id}, not here any more"), Guest::title)).ok_or("its name tells no guest")),
        field("made", Ok(format!("{}, {} old", a.made.minute(known.offset_s), words::age(known.now, a.made)))),
        field(
            "size",
            match a.size {
                Some(0) => Err("0 bytes: this archive is broken"),
                Some(size) => Ok(stamp::bytes(size)),
                None => Err("the storage does not tell"),
            },
        ),
        field("storage", Ok(a.storage.to_string())),
        field("protected", Ok(if a.protected { "yes" } else { "no" }.into())),
        field("notes", Ok(a.notes.clone().unwrap_or_else(|| "none".into()))),
        field("volume", Ok(a.volid.clone())),
        (Tone::Plain, String::new()),
    ];
    match g {
        Some(g) if g.conf_read => {
            let missing = g.not_in_backup();
            if missing.is_empty() {
                lines.push((Tone::Plain, "All volumes of the guest, as it is configured now, are in a backup.".into()));
            }
            lines.extend(missing.into_iter().map(|m| (Tone::Warn, format!("not in it, as the guest is configured now: {m}"))));
        }
        _ => lines.push((Tone::Unknown, "? what is not in it: the guest's configuration is not known".into())),
    }
    let proofs = known.world.jobs.get().map(|jobs| Proofs::of(jobs));
    lines.push(match proofs.as_ref().and_then(|p| p.archive(&a.volid)) {
        None => (Tone::Plain, "Whether it can be restored is only known after a restore: r restores it beside.".into()),
        Some(p) => {
            let tone = if p.lives.is_ok() { Tone::Good } else { Tone::Bad };
            (tone, format!("Restored beside {} by job {}: it {}.", p.at.minute(known.offset_s), p.job, p.words()))
        }
    });
    lines.extend(g.map(|g| (Tone::Plain, by_the_clock(g, proofs.as_ref(), known))));
    lines.push(verified(a, known));
    lines.push((Tone::Quiet, words::source(&known.world.archives, known.now)));
    Text::new("archive", lines)
}

/// When a guest is backed up next, and how long it took to come back the last times.
fn by_the_clock(g: &Guest, proofs: Option<&Proofs>, known: &Known) -> String {
    let next = match Forecast::of(&known.world, known.now).guest(g) {
        Next::At(at) => {
            let zone = known.world.schedules.get().map(|s| s.zone.clone()).unwrap_or_default();
            format!("Backed up next {}.", at.minute(zone.offset(at.secs())))
        }
        Next::Disabled => "Only jobs that are off back it up.".into(),
        Next::Never => "No schedule backs it up; s makes one.".into(),
        Next::Unknown(why) => format!("? when it is backed up next: {why}"),
    };
    let times: Vec<String> = proofs.map_or(&[][..], |p| p.times(g.id)).iter().rev().take(5).map(|s| stamp::span(*s)).collect();
    if times.len() < 2 { next } else { format!("{next} It came back in {}, newest first.", times.join(", ")) }
}
