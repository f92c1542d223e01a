//! Moving in the Logs pane: by lines and pages, from hit to hit, error to error, bookmark to bookmark, and to a time.

use super::Logs;
use super::draw::Layout;
use super::typing::Asked;
use crate::domain::fact::LogSource;
use crate::domain::log_marks::Mark;
use crate::domain::stamp::Stamp;
use crate::tui::action::Action;
use crate::tui::log_rows::lowest_top;
use crate::tui::pane::{Known, Then};

impl Logs {
    fn rows(known: &Known) -> usize {
        usize::from(Layout::of(known.pane_size().1).lines.1)
    }

    /// The place of the selected line among those that can be shown.
    pub(super) fn position(&self) -> usize {
        let last = self.buffer.len().saturating_sub(1);
        self.cursor.map_or(last, |n| self.buffer.position(n).min(last))
    }

    /// The first line that can stand at the top so that line `at` is still seen whole.
    fn lowest_top(&self, at: usize, known: &Known, rows: usize) -> usize {
        if self.wrap { lowest_top(at, rows, |at| self.height(at, known, rows)) } else { (at + 1).saturating_sub(rows) }
    }

    /// The first line on the screen.
    pub(super) fn first(&self, known: &Known, rows: usize) -> usize {
        let at = self.position();
        match self.cursor {
            None => self.lowest_top(at, known, rows),
            Some(_) => self.buffer.position(self.top).min(at).max(self.lowest_top(at, known, rows)),
        }
    }

    fn go(&mut self, at: usize, known: &Known) {
        let rows = Self::rows(known);
        if self.cursor.is_none() {
            let first = self.first(known, rows);
            self.top = self.buffer.line(first).map_or(0, |(n, _)| n);
            self.paused_at = self.buffer.total();
        }
        self.cursor = self.buffer.line(at).map(|(n, _)| n);
        let first = self.first(known, rows);
        self.top = self.buffer.line(first).map_or(self.top, |(n, _)| n);
    }

    /// The same, with the line mid-screen: what led to it and what came of it are both seen.
    fn leap(&mut self, number: u64, known: &Known) {
        let at = self.buffer.position(number);
        self.go(at, known);
        let top = at.saturating_sub(Self::rows(known) / 2);
        self.top = self.buffer.line(top).map_or(self.top, |(n, _)| n);
    }

    /// Carries a move out; `false` for an action that moves nothing.
    pub(super) fn walk(&mut self, action: Action, known: &Known) -> bool {
        let rows = Self::rows(known);
        let (at, last) = (self.position(), self.buffer.len().saturating_sub(1));
        let at = match action {
            Action::Bottom => {
                self.cursor = None;
                return true;
            }
            Action::Down => at + 1,
            Action::Up => at.saturating_sub(1),
            Action::PageDown => at + rows,
            Action::PageUp => at.saturating_sub(rows),
            Action::HalfDown => at + rows.div_ceil(2),
            Action::HalfUp => at.saturating_sub(rows.div_ceil(2)),
            Action::Top => 0,
            _ => return false,
        };
        // Down at the end of a log that is followed does not pause it.
        let held = self.cursor.is_none() && at > last;
        if !held && !self.buffer.is_empty() {
            self.go(at.min(last), known);
        }
        true
    }

    fn leap_or_say(&mut self, number: Option<u64>, what: &str, forward: bool, known: &Known) -> Vec<Then> {
        match number {
            Some(number) => {
                self.leap(number, known);
                Vec::new()
            }
            None => vec![Then::Say(format!("no {what} {}", if forward { "below" } else { "above" }))],
        }
    }

    /// From here on; while it follows the end, the end itself is still ahead of whoever looks back.
    fn at_or_end(&self) -> u64 {
        match self.cursor {
            None => self.buffer.total(),
            Some(_) => self.here().map_or(0, |(n, _)| n),
        }
    }

    pub(super) fn hit(&mut self, forward: bool, known: &Known) -> Vec<Then> {
        if self.buffer.wanted().is_all() {
            return vec![Then::Say("no filter is set; / sets one".into())];
        }
        let number = self.buffer.hit_from(self.at_or_end(), forward);
        self.leap_or_say(number, "hit", forward, known)
    }

    pub(super) fn error(&mut self, forward: bool, known: &Known) -> Vec<Then> {
        let number = self.buffer.error_from(self.at_or_end(), forward);
        self.leap_or_say(number, "error", forward, known)
    }

    pub(super) fn mark(&mut self, forward: bool, known: &Known) -> Vec<Then> {
        let here = self.at_or_end();
        let shown = |n: &&u64| self.buffer.line(self.buffer.position(**n)).is_some_and(|(number, _)| number == **n);
        let number = if forward { self.marked.range(here + 1..).find(shown) } else { self.marked.range(..here).rev().find(shown) }.copied();
        self.leap_or_say(number, "bookmark", forward, known)
    }

    pub(super) fn go_to_mark(&mut self, mark: &Mark, known: &Known) -> Vec<Then> {
        let number = self.marked.iter().copied().find(|n| self.mark_of(*n).is_some_and(|m| m == mark));
        match number {
            Some(number) => {
                self.leap(number, known);
                Vec::new()
            }
            // It may still be in the file, if its log is one.
            None => match LogSource::from_name(&mark.source).filter(|s| s.is_file() && !known.world.place.demo) {
                Some(source) => self.read_file(source, Some(mark), known),
                None => vec![Then::Say("its line is not among those kept here".into())],
            },
        }
    }

    /// Takes the bookmark off the selected line, or asks for the note of a new one.
    pub(super) fn toggle_mark(&mut self, known: &Known) -> Vec<Then> {
        let Some((number, _)) = self.here() else { return vec![Then::Say("no line is selected".into())] };
        let old = self.mark_of(number).filter(|_| self.marked.contains(&number)).cloned();
        match old {
            Some(mark) => {
                self.marked.remove(&number);
                self.marks.unset(&mark);
                self.keep_marks()
            }
            None => {
                let at = self.position();
                // The line stays where it is while the note is typed.
                self.go(at, known);
                self.ask(Asked::Note(number), known);
                Vec::new()
            }
        }
    }

    pub(super) fn at_time(&mut self, time: Stamp, known: &Known) -> Vec<Then> {
        let at = self.buffer.at_time(time);
        match self.buffer.line(at).map(|(n, _)| n) {
            Some(number) => {
                let earlier = at == 0 && self.buffer.line(0).is_some_and(|(_, l)| l.time.is_some_and(|t| t > time));
                self.leap(number, known);
                if earlier { vec![Then::Say("this is the earliest line kept".into())] } else { Vec::new() }
            }
            None => vec![Then::Say(format!("no line kept is of {} or later", time.second(known.offset_s)))],
        }
    }
}
