//! Keeps the latest lines of a log in bounded memory, filtered as they come, and counts what is lost.

use std::collections::VecDeque;

use super::fact::LogLine;
use super::filter::Filter;

/// Lines kept at most.
pub const MAX_LINES: usize = 100_000;
/// Bytes kept at most.
pub const MAX_BYTES: usize = 16 << 20;

/// A bounded ring of lines. Lines have running numbers from 0 that never change.
#[derive(Debug, Default)]
pub struct LogBuffer {
    lines: VecDeque<LogLine>,
    /// Running number of the first line kept.
    first: u64,
    bytes: usize,
    /// Lines that never arrived.
    dropped: u64,
    filter: Filter,
    /// Running numbers of lines that pass the filter; unused while it is empty.
    hits: VecDeque<u64>,
    /// Lines before this running number have not been looked at yet by the filter.
    looked_from: u64,
    /// All lines are shown although there is a filter.
    all: bool,
}

impl LogBuffer {
    /// Takes lines in and lets the oldest fall out where room ends.
    pub fn push(&mut self, lines: Vec<LogLine>, dropped: u64) {
        self.dropped += dropped;
        for line in lines {
            if !self.filter.is_empty() && self.filter.passes(&line.text) {
                self.hits.push_back(self.first + self.lines.len() as u64);
            }
            self.bytes += line.text.len();
            self.lines.push_back(line);
            while self.lines.len() > MAX_LINES || (self.bytes > MAX_BYTES && self.lines.len() > 1) {
                if let Some(old) = self.lines.pop_front() {
                    self.bytes -= old.text.len();
                }
                self.first += 1;
            }
        }
        while self.hits.front().is_some_and(|n| *n < self.first) {
            self.hits.pop_front();
        }
    }

    /// Sets the filter and looks at every line kept.
    pub fn set_filter(&mut self, filter: Filter) {
        self.begin_filter(filter);
        self.look_back(usize::MAX);
    }

    /// Sets the filter and looks at no line yet: new ones are looked at as they come, old ones by [`LogBuffer::look_back`].
    pub fn begin_filter(&mut self, filter: Filter) {
        self.hits.clear();
        self.looked_from = if filter.is_empty() { 0 } else { self.total() };
        self.filter = filter;
    }

    /// Looks at so many more of the old lines, newest first, so that a key need not wait for a hundred thousand.
    /// `true` while some are left.
    pub fn look_back(&mut self, mut lines: usize) -> bool {
        while self.looked_from > self.first && lines > 0 {
            self.looked_from -= 1;
            lines -= 1;
            let line = usize::try_from(self.looked_from - self.first).ok().and_then(|at| self.lines.get(at));
            if line.is_some_and(|l| self.filter.passes(&l.text)) {
                self.hits.push_front(self.looked_from);
            }
        }
        self.looked_from > self.first
    }

    /// Whether the filter has still to look at old lines.
    pub fn is_looking(&self) -> bool {
        self.looked_from > self.first
    }

    /// Shows all lines although there is a filter, or only those that pass.
    pub fn show_all(&mut self, all: bool) {
        self.all = all;
    }

    /// How many lines kept pass the filter, as far as it has looked.
    pub fn hit_count(&self) -> usize {
        self.hits.len()
    }

    /// The running number of the next line behind `number` that passes the filter, or of the one before it.
    pub fn hit_from(&self, number: u64, forward: bool) -> Option<u64> {
        let at = self.hits.partition_point(|n| if forward { *n <= number } else { *n < number });
        if forward { self.hits.get(at).copied() } else { at.checked_sub(1).and_then(|at| self.hits.get(at).copied()) }
    }

    fn unfiltered(&self) -> bool {
        self.all || self.filter.is_empty()
    }

    /// The filter that is set.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// How many lines can be shown under the filter.
    pub fn len(&self) -> usize {
        if self.unfiltered() { self.lines.len() } else { self.hits.len() }
    }

    /// Whether nothing can be shown.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `at`-th line that can be shown, from 0, with its running number.
    pub fn line(&self, at: usize) -> Option<(u64, &LogLine)> {
        let number = if self.unfiltered() { self.first + at as u64 } else { *self.hits.get(at)? };
        let line = self.lines.get(usize::try_from(number.checked_sub(self.first)?).ok()?)?;
        Some((number, line))
    }

    /// Position among the lines that can be shown of the first one whose running number is at least `number`.
    pub fn position(&self, number: u64) -> usize {
        if self.unfiltered() {
            usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.lines.len())
        } else {
            self.hits.partition_point(|n| *n < number)
        }
    }

    /// Lines seen since the beginning, kept or not.
    pub fn total(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// Lines that fell out because room ended; they were seen but can no longer be shown.
    pub fn fallen(&self) -> u64 {
        self.first
    }

    /// Lines that never arrived because nobody could keep up.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lines(range: std::ops::Range<usize>) -> Vec<LogLine> {
        range.map(|n| LogLine { text: format!("line {n}").into_bytes().into() }).collect()
    }

    #[test]
    fn numbers_never_change_and_loss_is_counted() {
        let mut b = LogBuffer::default();
        b.push(lines(0..MAX_LINES + 10), 3);
        assert_eq!((b.len(), b.fallen(), b.dropped(), b.total()), (MAX_LINES, 10, 3, MAX_LINES as u64 + 10));
        let (number, line) = b.line(0).unwrap();
        assert_eq!((number, &line.text[..]), (10, &b"line 10"[..]));
        assert_eq!(b.position(5), 0);
    }

    #[test]
    fn the_filter_holds_for_old_and_new_lines() {
        let mut b = LogBuffer::default();
        b.push(lines(0..20), 0);
        b.set_filter(Filter::parse("7$").unwrap());
        b.push(lines(20..40), 0);
        let seen: Vec<u64> = (0..b.len()).map(|i| b.line(i).unwrap().0).collect();
        assert_eq!(seen, [7, 17, 27, 37]);
        assert_eq!((b.position(8), b.position(99)), (1, 4));
        b.set_filter(Filter::default());
        assert_eq!(b.len(), 40);
    }

    #[test]
    fn looking_back_in_slices_finds_the_same() {
        let mut b = LogBuffer::default();
        b.push(lines(0..100), 0);
        b.begin_filter(Filter::parse("5$").unwrap());
        assert!(b.look_back(30) && b.is_looking());
        b.push(lines(100..110), 0);
        assert_eq!(b.hit_count(), 4);
        assert!(!b.look_back(100));
        assert_eq!((b.len(), b.line(0).unwrap().0, b.line(10).unwrap().0), (11, 5, 105));
        assert_eq!(
            (b.hit_from(5, true), b.hit_from(5, false), b.hit_from(105, true), b.hit_from(50, false)),
            (Some(15), None, None, Some(45))
        );
        b.show_all(true);
        assert_eq!((b.len(), b.hit_count()), (110, 11));
    }

    #[test]
    fn one_huge_line_does_not_empty_the_buffer() {
        let mut b = LogBuffer::default();
        b.push(vec![LogLine { text: vec![b'x'; MAX_BYTES + 1].into() }], 0);
        assert_eq!(b.len(), 1);
        b.push(lines(0..1), 0);
        assert_eq!((b.len(), b.fallen()), (1, 1));
    }
}
