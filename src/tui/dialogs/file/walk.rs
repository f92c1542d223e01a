//! Moving in a file: by lines and pages, from hit to hit and error to error; and what comes back for it.

use super::File;
use crate::domain::log_format;
use crate::domain::log_marks::Mark;
use crate::domain::log_page::{Page, Spot};
use crate::domain::stamp::Stamp;
use crate::domain::when::Here;
use crate::tui::action::Action;
use crate::tui::log_rows::lowest_top;
use crate::tui::pane::{Known, Then};

/// Where the line of a bookmark is.
pub(super) fn spot_of(mark: &Mark, known: &Known) -> Spot {
    let here = Here { now: known.now, offset_s: known.offset_s };
    Spot::Mark { offset: mark.offset, time: mark.time.map(Stamp), line: mark.line, here }
}

impl File {
    /// Rows for lines: without the screen's own, border, filter and status.
    pub(super) fn rows(known: &Known) -> usize {
        usize::from(known.size.1.saturating_sub(6)).max(1)
    }

    pub(super) fn last(&self) -> usize {
        self.page.lines.len().saturating_sub(1)
    }

    /// The place of an offset among the lines that are here.
    pub(super) fn position(&self, offset: u64) -> usize {
        self.page.lines.partition_point(|l| l.offset < offset).min(self.last())
    }

    pub(super) fn here(&self) -> usize {
        self.cursor.map_or(self.last(), |at| self.position(at))
    }

    /// The first line on the screen.
    pub(super) fn first(&self, rows: usize, known: &Known) -> usize {
        let here = self.here();
        let lowest = if self.wrap { lowest_top(here, rows, |at| self.height(at, known, rows)) } else { (here + 1).saturating_sub(rows) };
        if self.cursor.is_none() { lowest } else { self.position(self.top).clamp(lowest, here) }
    }

    pub(super) fn go(&mut self, at: usize, known: &Known) -> Vec<Then> {
        let rows = Self::rows(known);
        let first = self.first(rows, known);
        let was_following = self.cursor.is_none();
        let Some(offset) = self.page.lines.get(at).map(|l| l.offset) else { return Vec::new() };
        self.cursor = Some(offset);
        self.top = self.page.lines.get(first).map_or(0, |l| l.offset);
        let first = self.first(rows, known);
        self.top = self.page.lines.get(first).map_or(0, |l| l.offset);
        if was_following {
            self.paused_at = self.reading.size;
        }
        let near = (at < rows * 2 && !self.page.first) || (at + rows * 2 > self.last() && !self.page.last);
        if near || was_following { self.ask(Spot::Offset(offset), false, known) } else { Vec::new() }
    }

    pub(super) fn walk(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        let rows = Self::rows(known);
        let here = self.here();
        let at = match action {
            Action::Top => return Some(self.ask(Spot::Start, true, known)),
            Action::Bottom => {
                self.cursor = None;
                self.note = None;
                return Some(self.ask(Spot::End, false, known));
            }
            Action::Down => here + 1,
            Action::Up => here.saturating_sub(1),
            Action::PageDown => here + rows,
            Action::PageUp => here.saturating_sub(rows),
            Action::HalfDown => here + rows.div_ceil(2),
            Action::HalfUp => here.saturating_sub(rows.div_ceil(2)),
            _ => return None,
        };
        // Down at the end of a file that is followed does not pause it.
        if self.cursor.is_none() && at > self.last() {
            return Some(Vec::new());
        }
        Some(self.go(at.min(self.last()), known))
    }

    /// From here on; while it follows the end, the end itself is still ahead of whoever looks back.
    fn at_or_end(&self, forward: bool) -> u64 {
        match self.cursor {
            None if !forward => u64::MAX,
            _ => self.line().map_or(0, |l| l.offset),
        }
    }

    pub(super) fn hit(&mut self, forward: bool, known: &Known) -> Vec<Then> {
        if self.wants_all() {
            return self.say("no filter is set; / sets one");
        }
        self.ask(Spot::Hit { from: self.at_or_end(forward), forward }, true, known)
    }

    pub(super) fn error(&mut self, forward: bool, known: &Known) -> Vec<Then> {
        self.ask(Spot::Error { from: self.at_or_end(forward), forward }, true, known)
    }

    pub(super) fn took_page(&mut self, page: Page, known: &Known) -> Vec<Then> {
        if page.nth != self.nth {
            return Vec::new();
        }
        self.page = page;
        self.timed = self.page.lines.iter().take(Self::rows(known)).any(|l| log_format::short(&l.text, 0).time.is_some());
        if self.jump && self.page.at.is_some() {
            if self.cursor.is_none() {
                self.paused_at = self.reading.size;
            }
            self.cursor = self.page.at;
            // Mid-screen, so that what led to it and what came of it are both seen.
            let top = self.here().saturating_sub(Self::rows(known) / 2);
            self.top = self.page.lines.get(top).map_or(0, |l| l.offset);
        }
        Vec::new()
    }
}
