//! What a command told last of a log. A command that begins again tells the end of the log again; from this it is known
//! which of its lines were told before, so that they are told once, or that it cannot be known.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

/// Lines remembered, and asked for again, at most.
const MOST: usize = 10_000;
/// Lines asked for again at least.
const LEAST: usize = 500;

/// Lines of a log as a command tells them.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    /// Of the last lines told; their keys are not known outside, so that nobody can write two lines that look the same.
    told: VecDeque<u64>,
    keys: RandomState,
    /// Lines that may have been told before, and how many lines were asked for.
    held: Option<(Vec<Box<[u8]>>, usize)>,
}

/// The lines that are new, and what is to be said about those that are not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub lines: Vec<Box<[u8]>>,
    pub note: String,
}

/// Whether it is tail(1) that says something here and no line of the log.
fn is_said(line: &[u8]) -> bool {
    line.starts_with(b"tail: ")
}

impl Overlap {
    /// Lines to ask of a command that begins, where the first one was asked for `first`; none means all.
    pub fn ask(&mut self, first: Option<u32>) -> Option<u32> {
        if self.told.is_empty() {
            return first;
        }
        // As many as are remembered: then the first of them is remembered, too, unless there are more new ones.
        let lines = self.told.len().max(LEAST).max(first.map_or(0, |n| n as usize)).min(MOST);
        self.held = Some((Vec::new(), lines));
        u32::try_from(lines).ok()
    }

    /// Whether nothing was told yet.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Takes lines that came; gives them back where they are new for certain. Held ones are given by [`Overlap::settle`].
    pub fn take(&mut self, lines: Vec<Box<[u8]>>) -> Option<Vec<Box<[u8]>>> {
        match &mut self.held {
            Some((held, _)) => {
                held.extend(lines);
                None
            }
            None => {
                self.remember(&lines);
                Some(lines)
            }
        }
    }

    /// Lines are missing between those before and those that come.
    pub fn missed(&mut self) {
        if self.held.is_none() {
            self.told.clear();
        }
    }

    /// Decides which of the held lines are new. While they may all be known ones and more of them may come, nothing is
    /// decided unless it is `over`.
    pub fn settle(&mut self, over: bool) -> Option<Settled> {
        let (held, asked) = self.held.take()?;
        let nth: Vec<usize> = (0..held.len()).filter(|n| !is_said(&held[*n])).collect();
        let came: Vec<u64> = nth.iter().map(|n| self.keys.hash_one(&held[*n])).collect();
        let told = self.told.make_contiguous();
        let complete = came.len() >= asked;
        let inside = || came.len() < told.len() && told.windows(came.len()).any(|w| w == came);
        let decided = over || complete || came.is_empty();
        if !decided && inside() && !told.ends_with(&came) {
            self.held = Some((held, asked));
            return None;
        }
        // How many lines may be old ones: the last lines told, all of them or as far back as these reach.
        let old = |n: &usize| came[..*n].ends_with(&told[told.len() - told.len().min(*n)..]);
        let ends: Vec<usize> = (1..=came.len()).filter(old).collect();
        let count = came.len();
        let (new, note) = match ends[..] {
            [] if complete => (0, format!("more than {count} lines came meanwhile; how many of them are lost is not known")),
            [] => (0, format!("none of the {count} lines that stand there was the last one told; lines may be lost, or come again")),
            [end] => (end, format!("{end} lines that were told before are left out")),
            // As much as can be old is taken for old.
            [first, .., last] => {
                (last, format!("up to {} of the lines since then are lost: they are the same as those before", last - first))
            }
        };
        let from = match new {
            0 => 0,
            new => nth[new - 1] + 1,
        };
        let lines = held.into_iter().skip(from).collect::<Vec<_>>();
        self.remember(&lines);
        Some(Settled { lines, note })
    }

    fn remember(&mut self, lines: &[Box<[u8]>]) {
        let keys = &self.keys;
        self.told.extend(lines.iter().filter(|l| !is_said(l)).map(|l| keys.hash_one(l)));
        self.told.drain(..self.told.len().saturating_sub(MOST));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lines(range: impl IntoIterator<Item = u32>) -> Vec<Box<[u8]>> {
        range.into_iter().map(|n| format!("line {n}").into_bytes().into()).collect()
    }

    fn again(told: Vec<Box<[u8]>>, came: Vec<Box<[u8]>>) -> Settled {
        let mut overlap = Overlap::default();
        assert_eq!(overlap.take(told.clone()), Some(told));
        overlap.ask(Some(500));
        assert_eq!(overlap.take(came), None);
        overlap.settle(true).unwrap()
    }

    proptest::proptest! {
        #[test]
        fn a_log_whose_end_is_told_again_is_told_once(before in 0u32..700, new in 0u32..700, shown in 1u32..800) {
            // The first command told the last lines and those that came; the second tells as many as it was asked.
            let mut overlap = Overlap::default();
            let first = before.saturating_sub(shown);
            overlap.take(lines(first..before));
            let asked = overlap.ask(Some(shown));
            let from = (before + new).saturating_sub(asked.unwrap());
            let at_once = overlap.take(lines(from..before + new));
            let settled = overlap.settle(true).map(|s| s.lines).or(at_once).unwrap();
            proptest::prop_assert_eq!(settled, lines(from.max(before)..before + new));
        }
    }

    #[test]
    fn what_cannot_be_known_is_said() {
        let said = again(lines(0..10), lines(7..12));
        assert_eq!((said.lines, said.note.as_str()), (lines(10..12), "3 lines that were told before are left out"));
        let said = again(lines(0..10), lines(20..25));
        assert_eq!(said.lines, lines(20..25));
        assert!(said.note.contains("may be lost, or come again"), "{}", said.note);
        let said = again(lines(0..10), lines(20..520));
        assert!(said.note.starts_with("more than 500 lines came meanwhile"), "{}", said.note);
        let same = |n: usize| lines(std::iter::repeat_n(1, n));
        let said = again(same(4), same(6));
        assert_eq!(
            (said.lines.len(), said.note.as_str()),
            (0, "up to 5 of the lines since then are lost: they are the same as those before")
        );
    }

    #[test]
    fn lines_that_may_all_be_old_are_held_until_more_come() {
        let mut overlap = Overlap::default();
        overlap.take(lines(0..10));
        overlap.ask(None);
        overlap.take(lines(0..4));
        assert_eq!(overlap.settle(false), None);
        overlap.take(lines(4..11));
        assert_eq!(overlap.settle(false).unwrap().lines, lines(10..11));
        assert_eq!(overlap.take(lines(11..12)), Some(lines(11..12)));
    }

    #[test]
    fn what_tail_says_itself_is_no_line_of_the_log() {
        let note: Box<[u8]> = (*b"tail: /log has been replaced;  following new file").into();
        let mut told = lines(0..3);
        told.push(note.clone());
        let mut came = lines(0..2);
        came.push(note);
        came.extend(lines(2..4));
        assert_eq!(again(told, came).lines, lines(3..4));
    }
}
