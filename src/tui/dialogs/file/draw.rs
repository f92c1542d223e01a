//! How a file looks.

use super::File;
use super::typing::Asked;
use crate::domain::log_format::{self, Short};
use crate::domain::stamp;
use crate::tui::canvas::Canvas;
use crate::tui::list::marker;
use crate::tui::log_rows::Rows;
use crate::tui::pane::Known;
use crate::tui::theme::Tone;
use crate::tui::words;

impl File {
    /// How texts are shown in a window so wide inside; behind a column for times where lines tell them.
    fn looks(&self, width: u16) -> Rows<'_> {
        let x = if width >= 50 && self.timed { 10 } else { 2 };
        Rows { filter: &self.filter, wrap: self.wrap, column: self.column, x, room: width.saturating_sub(x).max(1) }
    }

    fn short(&self, at: usize, known: &Known) -> Option<Short> {
        self.page.lines.get(at).map(|l| log_format::short(&l.text, known.offset_s))
    }

    /// How many rows a line takes.
    pub(super) fn height(&self, at: usize, known: &Known, rows: usize) -> usize {
        let looks = self.looks(known.size.0.saturating_sub(2));
        if self.wrap { self.short(at, known).map_or(1, |s| looks.height(&s.text, rows)) } else { 1 }
    }

    /// The number of the selected line where it is known, else how far into the file it lies.
    pub(super) fn where_it_is(&self) -> String {
        match (self.page.number, self.line()) {
            (_, None) => "no line".into(),
            (Some(first), _) => format!("line {}", words::count(first + self.here() as u64 + 1)),
            (None, Some(line)) => format!("at {} %", line.offset.saturating_mul(100) / self.reading.size.max(1)),
        }
    }

    fn status(&self) -> String {
        let r = &self.reading;
        let mut out = self.where_it_is();
        let about = if r.counted < 100 { format!(", counted {} %", r.counted) } else { String::new() };
        out.push_str(&format!(" of {}{}{about} · {}", if r.counted < 100 { "~" } else { "" }, words::count(r.lines), stamp::bytes(r.size)));
        if !self.wants_all() {
            let looked = if r.looked < 100 { format!(", looked {} %", r.looked) } else { String::new() };
            out.push_str(&format!(" · {} match{looked}", words::count(r.hits)));
        }
        if self.column > 0 {
            out.push_str(&format!(" · from column {}", self.column + 1));
        }
        out
    }

    fn draw_head(&self, on: &mut Canvas<'_>) {
        let mut end = on.width().saturating_sub(1);
        if let Some((asked, input)) = &self.input {
            // What is typed gets room whatever is asked.
            let most = if matches!(asked, Asked::Path | Asked::Words) { 8 } else { (end / 2).max(end.saturating_sub(34)) };
            let used = on.put(1, 0, most, asked.prompt(), Tone::Key);
            if let Some(wrong) = &self.wrong {
                end = on.put_right(end, 0, on.width() / 2, wrong, Tone::Bad);
            }
            return input.draw(on, used + 2, 0, end.saturating_sub(used + 3), true);
        }
        let (word, tone) = if self.cursor.is_some() { ("paused", Tone::Mode) } else { ("following ▶", Tone::Quiet) };
        end = on.put_right(end, 0, 12, word, tone);
        let off = (!self.off.is_empty()).then(|| format!("{} off", words::many(self.off.len(), "filter")));
        let bounds: Vec<String> = self.level.map(|l| format!(">= {}", l.word())).into_iter().chain(off).collect();
        if !bounds.is_empty() {
            end = on.put_right(end.saturating_sub(2), 0, end / 2, &bounds.join(" · "), Tone::Strong);
        }
        on.put(1, 0, 1, "/", Tone::Quiet);
        let room = end.saturating_sub(4);
        let used = if !self.filter.is_empty() {
            on.put(3, 0, room, self.filter.text(), Tone::Strong) + 2
        } else if self.level.is_none() {
            on.put(3, 0, room, "no filter", Tone::Quiet) + 2
        } else {
            0
        };
        let (note, tone) = match &self.note {
            _ if self.long && self.nth != self.page.nth => ("looking …", Tone::Mode),
            _ if self.said.is_some() => (self.said.as_deref().unwrap_or(""), Tone::Strong),
            Some(note) => (note.as_str(), Tone::Warn),
            None if self.all && !self.wants_all() => ("all lines, hits marked", Tone::Quiet),
            None => return,
        };
        on.put(3 + used, 0, room.saturating_sub(used), note, tone);
    }

    /// The names that the path could go on with, in columns.
    fn draw_names(&self, on: &mut Canvas<'_>) {
        let widest = self.names.iter().map(|n| words::width(n)).max().unwrap_or(1) + 2;
        let columns = (on.width().saturating_sub(4) / widest).max(1);
        let rows = on.height().min((self.names.len() as u16).div_ceil(columns)).max(1);
        for (n, name) in self.names.iter().enumerate() {
            let (x, y) = (n as u16 / rows, n as u16 % rows);
            if x < columns {
                on.put(3 + x * widest, y, on.width().saturating_sub(4 + x * widest), name, Tone::Plain);
            }
        }
        let hidden = self.names.len().saturating_sub(usize::from(rows * columns));
        if hidden > 0 {
            on.put_right(on.width(), rows - 1, 16, &format!(" {hidden} more "), Tone::Mode);
        }
    }

    fn draw_lines(&self, on: &mut Canvas<'_>, known: &Known) {
        let rows = usize::from(on.height());
        // What is shown was asked for before, and none of it need be wanted now.
        let stale = self.nth != self.page.nth && !self.all && !self.wants_all() && self.reading.looked < 100 && self.reading.hits == 0;
        if self.page.lines.is_empty() || stale {
            if self.source.is_none() && !self.names.is_empty() {
                return self.draw_names(on);
            }
            let text = match (&self.failed, &self.source) {
                (Some(why), _) => why.as_str(),
                (None, None) => "Which file? A whole path, or 101:/var/log/app.log for a file of a guest.",
                _ if self.nth != self.page.nth || self.reading.looked < 100 => "looking …",
                _ if !self.wants_all() => "No line matches. Esc shows all, / changes the filter.",
                _ => "The file is empty. Lines stand here as they come.",
            };
            on.put(3, 0, on.width().saturating_sub(4), text, if self.failed.is_some() { Tone::Bad } else { Tone::Quiet });
            return;
        }
        let looks = self.looks(on.width());
        let (mut at, here) = (self.first(rows, known), self.here());
        let mut y = 0;
        while y < rows {
            let Some(short) = self.short(at, known) else { return };
            let row = y as u16;
            if at == here && self.cursor.is_some() {
                marker(on, row, true);
            }
            if looks.x == 10 {
                on.put(1, row, 8, short.time.as_deref().unwrap_or(""), Tone::Quiet);
            }
            if self.mark_of(at, known).is_some() {
                on.put(looks.x - 1, row, 1, "●", Tone::Mark);
            }
            y += looks.draw(on, row, &short, rows - y);
            at += 1;
        }
    }

    pub(super) fn draw_all(&self, on: &mut Canvas<'_>, known: &Known) {
        let high = on.height();
        self.draw_head(&mut on.rows(0, 1));
        if high > 2 {
            self.draw_lines(&mut on.rows(1, high - 2), known);
        }
        let mut end = on.width().saturating_sub(1);
        if self.cursor.is_some() && self.reading.size > self.paused_at {
            let text = format!("{} new below, G", stamp::bytes(self.reading.size - self.paused_at));
            end = on.put_right(end, high - 1, on.width() / 2, &text, Tone::Strong);
        }
        let note = self.cursor.and_then(|_| self.mark_of(self.here(), known)).map(|m| &m.note).filter(|note| !note.is_empty());
        if let Some(note) = note {
            on.line(1, high - 1, &[("● ", Tone::Mark), (&format!("{note} "), Tone::Strong)]);
        } else if self.source.is_some() && self.failed.is_none() {
            on.put(1, high - 1, end.saturating_sub(2), &self.status(), Tone::Quiet);
        }
    }
}
