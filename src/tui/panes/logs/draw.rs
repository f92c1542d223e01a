//! How the Logs pane looks.

use super::Logs;
use super::typing::Asked;
use crate::domain::fact::LogState;
use crate::domain::log_format::{self, Short};
use crate::domain::log_sieve::Wanted;
use crate::domain::stamp::{Stamp, span};
use crate::tui::canvas::Canvas;
use crate::tui::list::marker;
use crate::tui::log_rows::Rows;
use crate::tui::pane::Known;
use crate::tui::theme::Tone;
use crate::tui::words;

/// Minutes that are told at most by the row of bars.
const MINUTES: u16 = 60;

/// Which rows are for what.
pub(super) struct Layout {
    /// The sources and the filter above the lines.
    pub(super) head: bool,
    /// First row and number of rows of the lines.
    pub(super) lines: (u16, u16),
    /// The row of errors by the minute.
    pub(super) minutes: Option<u16>,
}

impl Layout {
    /// Of a pane that is so high.
    pub(super) fn of(high: u16) -> Layout {
        match high {
            0..6 => Layout { head: false, lines: (0, high.saturating_sub(1).max(1)), minutes: None },
            6..12 => Layout { head: true, lines: (2, high - 3), minutes: None },
            _ => Layout { head: true, lines: (2, high - 4), minutes: Some(high - 2) },
        }
    }
}

/// Milliseconds as a length of time, finer below ten seconds.
pub(in crate::tui) fn lag(ms: u64) -> String {
    if ms < 10_000 { format!("{}.{} s", ms / 1000, ms % 1000 / 100) } else { span(ms / 1000) }
}

impl Logs {
    fn room(width: u16) -> u16 {
        width.saturating_sub(if width >= 50 { 14 } else { 5 }).max(1)
    }

    fn short(&self, at: usize, known: &Known) -> Option<(u64, Short)> {
        let (number, line) = self.buffer.line(at)?;
        Some((number, log_format::short(&line.text, known.offset_s)))
    }

    /// How the text of lines is shown in a pane so wide.
    fn looks(&self, width: u16) -> Rows<'_> {
        let room = Self::room(width);
        Rows { filter: self.buffer.filter(), wrap: self.wrap, column: self.column, x: width.saturating_sub(room), room }
    }

    /// How many rows a line takes.
    pub(super) fn height(&self, at: usize, known: &Known, rows: usize) -> usize {
        if !self.wrap {
            return 1;
        }
        self.short(at, known).map_or(1, |(_, s)| self.looks(known.size.0).height(&s.text, rows))
    }

    fn status(&self) -> String {
        let b = &self.buffer;
        let mut out = format!("{} lines", words::count(b.total()));
        let mut add = |n: u64, word: &str| {
            if n > 0 {
                out.push_str(&format!(" · {} {word}", words::count(n)));
            }
        };
        add(b.dropped(), "dropped");
        add(b.fallen(), "too old to show");
        add(self.sources.iter().map(|s| s.tally.late).sum(), "late");
        if !b.wanted().is_all() {
            out.push_str(&format!(" · {} match{}", words::count(b.hit_count() as u64), if b.is_looking() { ", looking …" } else { "" }));
        }
        if self.column > 0 {
            out.push_str(&format!(" · from column {}", self.column + 1));
        }
        out
    }

    fn draw_sources(&self, on: &mut Canvas<'_>) {
        let (word, tone) = if self.cursor.is_some() { ("paused", Tone::Mode) } else { ("following ▶", Tone::Quiet) };
        let mut end = on.put_right(on.width().saturating_sub(1), 0, 12, word, tone);
        // The slowest decides how far the whole list is behind.
        if let Some(ms) = self.sources.iter().filter(|s| s.on).filter_map(|s| s.tally.lag_ms).max() {
            let tone = if ms >= 10_000 { Tone::Warn } else { Tone::Quiet };
            end = on.put_right(end.saturating_sub(2), 0, 16, &format!("lag {}", lag(ms)), tone);
        }
        let mut x = 1;
        for s in &self.sources {
            let room = |x: u16| end.saturating_sub(x + 1);
            let name = format!("[{}] {}", if s.on { 'x' } else { ' ' }, s.source.name());
            x += on.put(x, 0, room(x), &name, if s.on { Tone::Plain } else { Tone::Quiet });
            let (state, tone) = match &s.state {
                _ if !s.on => (String::new(), Tone::Quiet),
                LogState::Opening => (" opening …".to_owned(), Tone::Quiet),
                LogState::Following => (String::new(), Tone::Quiet),
                LogState::Noted(what) => (format!(" {what}"), Tone::Warn),
                LogState::Broken { why, again } => (format!(" broken: {why}{}", if *again { ", tried again" } else { "" }), Tone::Bad),
            };
            // One long reason leaves room for the other names.
            let most = if self.sources.iter().any(|s| matches!(s.state, LogState::Broken { .. } | LogState::Noted(_))) {
                room(x).min((end / 2).max(20))
            } else {
                room(x)
            };
            x += on.put(x, 0, most, &state, tone) + 2;
        }
    }

    /// What is wanted besides words.
    fn bounds(&self, known: &Known) -> String {
        let Wanted { since, until, level, .. } = self.buffer.wanted();
        let today = known.now.civil(known.offset_s);
        let clock = |word: &str, at: &Stamp| {
            let (whole, day) = (at.second(known.offset_s), at.civil(known.offset_s));
            // The date goes without saying where it is today's.
            let short = whole.split_once(' ').filter(|_| (day.0, day.1, day.2) == (today.0, today.1, today.2));
            format!("{word} {}", short.map_or(whole.as_str(), |(_, clock)| clock))
        };
        let mut parts: Vec<String> = Vec::new();
        parts.extend(level.map(|l| format!(">= {}", l.word())));
        parts.extend(since.as_ref().map(|t| clock("since", t)));
        parts.extend(until.as_ref().map(|t| clock("until", t)));
        parts.extend((!self.off.is_empty()).then(|| format!("{} off", words::many(self.off.len(), "filter"))));
        parts.join(" · ")
    }

    fn draw_filter(&self, on: &mut Canvas<'_>, known: &Known) {
        let mut end = on.width().saturating_sub(1);
        if let Some((asked, input)) = &self.input {
            // What is typed gets room whatever is asked.
            let most = if *asked == Asked::Words { 1 } else { (end / 2).max(end.saturating_sub(34)) };
            let used = on.put(1, 0, most, asked.prompt(), Tone::Key);
            if let Some(wrong) = &self.wrong {
                end = on.put_right(end, 0, on.width() / 2, wrong, Tone::Bad);
            }
            input.draw(on, 2 + used, 0, end.saturating_sub(3 + used), true);
            return;
        }
        on.put(1, 0, 1, "/", Tone::Quiet);
        let bounds = self.bounds(known);
        if !bounds.is_empty() {
            end = on.put_right(end, 0, end / 4 * 3, &bounds, Tone::Strong).saturating_sub(1);
        }
        let room = end.saturating_sub(3);
        let filter = self.buffer.filter();
        let mut used = 0;
        if !filter.is_empty() {
            used = on.put(3, 0, room, filter.text(), Tone::Strong) + 2;
        } else if bounds.is_empty() {
            on.put(3, 0, room, "no filter", Tone::Quiet);
        }
        if self.all && !self.buffer.wanted().is_all() {
            on.put(3 + used, 0, room.saturating_sub(used), "all lines, hits marked", Tone::Quiet);
        }
    }

    fn draw_lines(&self, on: &mut Canvas<'_>, known: &Known) {
        let rows = usize::from(on.height());
        if self.buffer.is_empty() {
            let text = match (self.buffer.total(), self.sources.iter().any(|s| s.on)) {
                (_, false) => "No log is followed. s chooses which.",
                (0, true) => "No line yet. Lines stand here as they come.",
                _ if self.buffer.is_looking() => "looking …",
                _ => "No line matches. Esc shows all, / changes the filter.",
            };
            on.put(3, 0, on.width().saturating_sub(4), text, Tone::Quiet);
            return;
        }
        let (mut at, here) = (self.first(known, rows), self.position());
        let mut y = 0;
        while y < rows && at < self.buffer.len() {
            let Some((number, short)) = self.short(at, known) else { return };
            if at == here && self.cursor.is_some() {
                marker(on, y as u16, true);
            }
            y += self.draw_line(on, y as u16, number, &short, rows - y);
            at += 1;
        }
    }

    /// Draws one line and gives the rows it took.
    fn draw_line(&self, on: &mut Canvas<'_>, y: u16, number: u64, short: &Short, rows: usize) -> usize {
        let looks = self.looks(on.width());
        let x = looks.x;
        let Some(line) = self.buffer.numbered(number) else { return 1 };
        if x > 10 {
            on.put(1, y, 8, short.time.as_deref().unwrap_or(""), Tone::Quiet);
        }
        if self.marked.contains(&number) {
            on.put(x - 5, y, 1, "●", Tone::Mark);
        }
        on.put(x - 4, y, 3, self.tag(line), Tone::Quiet);
        if line.late && line.time.is_some() {
            on.put(x - 1, y, 1, "~", Tone::Warn);
        }
        looks.draw(on, y, short, rows)
    }

    fn draw_minutes(&self, on: &mut Canvas<'_>, known: &Known) {
        let minutes = MINUTES.min(on.width() / 2);
        let (bars, errors) = self.buffer.minutes().bars(known.now, minutes);
        if errors == 0 {
            on.put(1, 0, on.width().saturating_sub(2), &format!("no error in {minutes} min"), Tone::Quiet);
            return;
        }
        let used = on.put(1, 0, minutes, &bars, Tone::Bad);
        let said = format!("{} in {minutes} min", words::many(usize::try_from(errors).unwrap_or(usize::MAX), "error"));
        on.put(used + 2, 0, on.width().saturating_sub(used + 3), &said, Tone::Quiet);
    }

    /// Draws the pane.
    pub(super) fn draw_all(&self, on: &mut Canvas<'_>, known: &Known) {
        let high = on.height();
        let Layout { head, lines: (top, rows), minutes } = Layout::of(high);
        if head {
            self.draw_sources(&mut on.rows(0, 1));
            self.draw_filter(&mut on.rows(1, 1), known);
        }
        self.draw_lines(&mut on.rows(top, rows), known);
        if let Some(y) = minutes {
            self.draw_minutes(&mut on.rows(y, 1), known);
        }
        if high < 2 {
            return;
        }
        if !head && self.input.is_some() {
            self.draw_filter(&mut on.rows(high - 1, 1), known);
            return;
        }
        let mut end = on.width().saturating_sub(1);
        if self.cursor.is_some() {
            let new = self.buffer.len().saturating_sub(self.buffer.position(self.paused_at));
            let text = if on.width() < 60 {
                format!("{} new, G", words::count(new as u64))
            } else {
                format!("paused, {} new below: G goes on", words::count(new as u64))
            };
            end = on.put_right(end, high - 1, on.width() / 2, &text, Tone::Strong);
        }
        let note = self.cursor.and_then(|n| self.mark_of(n)).map(|m| &m.note).filter(|note| !note.is_empty());
        match note {
            Some(note) => on.line(1, high - 1, &[("● ", Tone::Mark), (&format!("{note} "), Tone::Strong)]),
            None => on.put(1, high - 1, end.saturating_sub(2), &self.status(), Tone::Quiet),
        };
    }
}
