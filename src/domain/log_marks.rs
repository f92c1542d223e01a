//! Bookmarks of log lines, with notes. A line is known again by its source, its time and its bytes, so that a mark
//! holds in the next session too, as long as the log is still there.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::clean::clean;
use super::log_format;
use super::stamp::Stamp;

/// Bookmarks kept at most; the oldest goes.
pub const MOST: usize = 200;
/// Letters kept of a line, for the list.
const HEAD: usize = 160;

/// A bookmark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The name of the source.
    pub source: String,
    /// When the line was written, in milliseconds since 1970.
    pub time: Option<i64>,
    /// Fingerprint of its bytes: FNV-1a, 64 bits. It finds a line again and proves nothing.
    pub line: u64,
    /// The beginning of the line in short, cleaned.
    pub head: String,
    /// What the operator noted; may be empty.
    pub note: String,
    /// Where the line began, where it was marked in a file: it may still be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

impl Mark {
    /// Of a line.
    pub fn new(source: String, time: Option<Stamp>, line: &[u8], note: String) -> Mark {
        let head = clean(&log_format::short(line, 0).text).chars().take(HEAD).collect();
        Mark { source, time: time.map(|t| t.0), line: fingerprint(line), head, note, offset: None }
    }
}

/// All bookmarks of an operator, found by the lines they are of.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    all: Vec<Mark>,
    /// Times of lines that have one: a line whose time is not here need not be looked at.
    times: HashMap<Option<i64>, u32>,
}

impl Marks {
    /// From what was kept.
    pub fn new(mut all: Vec<Mark>) -> Marks {
        all.drain(..all.len().saturating_sub(MOST));
        let mut times = HashMap::new();
        all.iter().for_each(|m| *times.entry(m.time).or_default() += 1);
        Marks { all, times }
    }

    /// All, the oldest first.
    pub fn all(&self) -> &[Mark] {
        &self.all
    }

    /// The mark of a line.
    pub fn of(&self, source: &str, time: Option<Stamp>, line: &[u8]) -> Option<&Mark> {
        let time = time.map(|t| t.0);
        if !self.times.contains_key(&time) {
            return None;
        }
        let print = fingerprint(line);
        self.all.iter().find(|m| m.line == print && m.time == time && m.source == source)
    }

    /// Those of one source.
    pub fn of_source<'a>(&'a self, source: &'a str) -> impl Iterator<Item = &'a Mark> {
        self.all.iter().filter(move |m| m.source == source)
    }

    /// Adds a mark; one of the same line is replaced.
    pub fn set(&mut self, mark: Mark) {
        let mut all = std::mem::take(&mut self.all);
        all.retain(|m| !same(m, &mark));
        all.push(mark);
        *self = Marks::new(all);
    }

    /// Takes a mark away.
    pub fn unset(&mut self, mark: &Mark) {
        let mut all = std::mem::take(&mut self.all);
        all.retain(|m| !same(m, mark));
        *self = Marks::new(all);
    }
}

fn same(a: &Mark, b: &Mark) -> bool {
    (a.line, a.time, &a.source) == (b.line, b.time, &b.source)
}

/// What a line is known again by.
pub fn fingerprint(line: &[u8]) -> u64 {
    line.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_known_again_and_only_that() {
        let mut marks = Marks::default();
        let of = |n: i64| Mark::new("caddy".into(), Some(Stamp(n)), b"one \x1b[2J line", format!("note {n}"));
        marks.set(of(1));
        marks.set(Mark { note: "changed".into(), ..of(1) });
        let found = |marks: &Marks, source, at, line: &[u8]| marks.of(source, Some(Stamp(at)), line).map(|m| m.note.clone());
        assert_eq!(found(&marks, "caddy", 1, b"one \x1b[2J line").as_deref(), Some("changed"));
        assert!(found(&marks, "caddy", 2, b"one \x1b[2J line").is_none() && found(&marks, "dnsmasq", 1, b"one \x1b[2J line").is_none());
        assert!(found(&marks, "caddy", 1, b"one line").is_none() && !marks.all()[0].head.contains('\x1b'));
        (0..500).for_each(|n| marks.set(of(n)));
        assert_eq!((marks.all().len(), marks.all()[0].time), (MOST, Some(300)));
        marks.unset(&of(400));
        assert!(marks.all().len() == MOST - 1 && found(&marks, "caddy", 400, b"one \x1b[2J line").is_none());
    }
}
