//! Keeps the latest lines of logs in bounded memory, ordered by time, sifted as they come, and counts what is lost.

use std::collections::VecDeque;

use super::fact::LogLine;
use super::filter::{self, Filter};
use super::log_level::Level;
use super::log_merge::{Kept, Merge, Shift};
use super::log_minutes::Minutes;
use super::log_sieve::Wanted;
use super::stamp::Stamp;

/// Lines kept at most.
pub const MAX_LINES: usize = 100_000;
/// Bytes kept at most.
pub const MAX_BYTES: usize = 16 << 20;

/// A bounded ring of lines. Lines have running numbers from 0, which change only where a [`Shift`] says so.
#[derive(Debug, Default)]
pub struct LogBuffer {
    lines: VecDeque<Kept>,
    merge: Merge,
    /// Running number of the first line kept.
    first: u64,
    bytes: usize,
    /// Lines that never arrived.
    dropped: u64,
    wanted: Wanted,
    /// Lines that are wanted; unused while all are.
    hits: Numbers,
    /// Lines that tell an error.
    errors: Numbers,
    minutes: Minutes,
    /// Lines before this running number have not been looked at yet by the filter.
    looked_from: u64,
    /// All lines are shown although not all are wanted.
    all: bool,
}

/// Running numbers in order.
#[derive(Debug, Default)]
struct Numbers(VecDeque<u64>);

impl Numbers {
    /// Moves with the lines, and takes in those of new ones, in order.
    fn take_in(&mut self, shift: &Shift, new: &[u64]) {
        let Some(lowest) = shift.first().or(new.first().copied()) else { return };
        let mut moved = VecDeque::new();
        while let Some(number) = self.0.back().copied().filter(|n| *n >= lowest) {
            self.0.pop_back();
            moved.push_front(shift.of(number));
        }
        let mut new = new.iter().copied().peekable();
        for number in moved {
            while let Some(before) = new.next_if(|n| *n < number) {
                self.0.push_back(before);
            }
            self.0.push_back(number);
        }
        self.0.extend(new);
    }

    fn fall_out(&mut self, before: u64) {
        while self.0.front().is_some_and(|n| *n < before) {
            self.0.pop_front();
        }
    }

    /// How many are smaller.
    fn below(&self, number: u64) -> usize {
        self.0.partition_point(|n| *n < number)
    }

    /// The numbers behind this one, or those before it from the nearest on.
    fn from(&self, number: u64, forward: bool) -> impl Iterator<Item = u64> {
        let (mut up, mut down) = (self.below(number + 1), self.below(number));
        std::iter::from_fn(move || {
            if forward {
                up += 1;
                self.0.get(up - 1).copied()
            } else {
                down = down.checked_sub(1)?;
                self.0.get(down).copied()
            }
        })
    }
}

/// What came of lines that were taken in.
#[derive(Debug, Default)]
pub struct Taken {
    /// Which lines moved.
    pub shift: Shift,
    /// The numbers of the new ones, in the order in which they came. Those that fell out at once are among them.
    pub numbers: Vec<u64>,
    /// How many of the new ones stand behind one that was written later.
    pub late: u64,
}

impl LogBuffer {
    /// Takes lines in of which only the words matter.
    pub fn push(&mut self, lines: Vec<LogLine>, dropped: u64) {
        self.take(lines.into_iter().map(|l| Kept::bare(l.text)), dropped);
    }

    /// Takes lines of one source in, each at its place by its time, and lets the oldest fall out where room ends.
    pub fn take(&mut self, lines: impl Iterator<Item = Kept>, dropped: u64) -> Taken {
        self.dropped += dropped;
        let (mut new, mut errors, mut hits) = (Vec::new(), Vec::new(), Vec::new());
        let (bytes, minutes) = (&mut self.bytes, &mut self.minutes);
        let lines = lines.inspect(|line| {
            *bytes += line.text.len();
            if let Some(time) = line.time.filter(|_| line.level >= Level::Error) {
                minutes.add(time);
            }
        });
        let shift = self.merge.add(&mut self.lines, self.first, lines, |number| new.push(number));
        self.looked_from = if self.wanted.is_all() { 0 } else { shift.of(self.looked_from) };
        let mut late = 0;
        for number in &new {
            let Some(line) = usize::try_from(number - self.first).ok().and_then(|at| self.lines.get(at)) else { continue };
            late += u64::from(line.late && line.time.is_some());
            if line.level >= Level::Error {
                errors.push(*number);
            }
            if *number >= self.looked_from && !self.wanted.is_all() && self.wanted.takes(line.told(), &line.text) {
                hits.push(*number);
            }
        }
        self.hits.take_in(&shift, &hits);
        self.errors.take_in(&shift, &errors);
        self.trim();
        Taken { shift, numbers: new, late }
    }

    fn trim(&mut self) {
        while self.lines.len() > MAX_LINES || (self.bytes > MAX_BYTES && self.lines.len() > 1) {
            if let Some(old) = self.lines.pop_front() {
                self.bytes -= old.text.len();
                if let Some(time) = old.time.filter(|_| old.level >= Level::Error) {
                    self.minutes.take(time);
                }
            }
            self.first += 1;
        }
        self.hits.fall_out(self.first);
        self.errors.fall_out(self.first);
    }

    /// Sets the filter and looks at every line kept.
    pub fn set_filter(&mut self, filter: Filter) {
        self.begin(Wanted { filter, ..Wanted::default() });
        self.look_back(usize::MAX);
    }

    /// Sets what is wanted and looks at no line yet: new ones are looked at as they come, old ones by [`LogBuffer::look_back`].
    pub fn begin(&mut self, wanted: Wanted) {
        self.hits = Numbers::default();
        self.looked_from = if wanted.is_all() { 0 } else { self.total() };
        self.wanted = wanted;
    }

    /// Looks at so many more of the old lines, newest first, so that a key need not wait for a hundred thousand.
    /// `true` while some are left.
    pub fn look_back(&mut self, mut lines: usize) -> bool {
        while self.looked_from > self.first && lines > 0 {
            self.looked_from -= 1;
            lines -= 1;
            let line = usize::try_from(self.looked_from - self.first).ok().and_then(|at| self.lines.get(at));
            if line.is_some_and(|l| self.wanted.takes(l.told(), &l.text)) {
                self.hits.0.push_front(self.looked_from);
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

    /// How many lines kept are wanted, as far as it has looked.
    pub fn hit_count(&self) -> usize {
        self.hits.0.len()
    }

    /// The running number of the next line behind `number` that is wanted, or of the one before it.
    pub fn hit_from(&self, number: u64, forward: bool) -> Option<u64> {
        self.hits.from(number, forward).next()
    }

    /// The running number of the next line behind `number` that tells an error and can be shown, or of the one before it.
    pub fn error_from(&self, number: u64, forward: bool) -> Option<u64> {
        // The lines of its trace are no further errors.
        let is_head = |n: u64| self.numbered(n).is_some_and(|l| !filter::goes_on(&l.text));
        self.errors.from(number, forward).find(|n| (self.unfiltered() || self.hits.0.binary_search(n).is_ok()) && is_head(*n))
    }

    /// Errors by the minute, of all lines kept.
    pub fn minutes(&self) -> &Minutes {
        &self.minutes
    }

    fn unfiltered(&self) -> bool {
        self.all || self.wanted.is_all()
    }

    /// What is wanted.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The words that are wanted.
    pub fn filter(&self) -> &Filter {
        &self.wanted.filter
    }

    /// How many lines can be shown under the filter.
    pub fn len(&self) -> usize {
        if self.unfiltered() { self.lines.len() } else { self.hits.0.len() }
    }

    /// Whether nothing can be shown.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `at`-th line that can be shown, from 0, with its running number.
    pub fn line(&self, at: usize) -> Option<(u64, &Kept)> {
        let number = if self.unfiltered() { self.first + at as u64 } else { *self.hits.0.get(at)? };
        Some((number, self.numbered(number)?))
    }

    /// The line with this running number, if it is kept.
    pub fn numbered(&self, number: u64) -> Option<&Kept> {
        self.lines.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Position among the lines that can be shown of the first one whose running number is at least `number`.
    pub fn position(&self, number: u64) -> usize {
        if self.unfiltered() {
            usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.lines.len())
        } else {
            self.hits.below(number)
        }
    }

    /// Position among the lines that can be shown of the first one written at this time or later. Late lines are passed
    /// over while it is looked for, as they stand at no place of their own.
    pub fn at_time(&self, time: Stamp) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let mut probe = middle;
            while probe > low && self.line(probe).is_some_and(|(_, l)| l.late) {
                probe -= 1;
            }
            if self.line(probe).is_some_and(|(_, l)| l.time < Some(time)) {
                low = middle + 1;
            } else {
                high = probe;
            }
        }
        low
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
        b.begin(Wanted { filter: Filter::parse("5$").unwrap(), ..Wanted::default() });
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

    fn timed(source: u8, lines: &[(i64, Level)]) -> impl Iterator<Item = Kept> {
        lines.iter().map(move |(s, level)| Kept {
            text: format!("{s}{}", char::from(b'a' + source)).into_bytes().into(),
            time: Some(Stamp::from_secs(*s)),
            level: *level,
            source,
            late: false,
            goes_on: false,
        })
    }

    #[test]
    fn lines_that_find_their_place_move_everything_that_names_lines() {
        use Level::{Error, Info};
        let mut b = LogBuffer::default();
        b.begin(Wanted { level: Some(Error), ..Wanted::default() });
        b.take(timed(0, &[(10, Info), (20, Error), (30, Info), (40, Error)]), 0);
        let taken = b.take(timed(1, &[(15, Error), (25, Info), (35, Error), (50, Error)]), 1);
        assert_eq!((0..4).map(|n| taken.shift.of(n)).collect::<Vec<_>>(), [0, 2, 4, 6]);
        let shown =
            |b: &LogBuffer| (0..b.len()).map(|i| String::from_utf8_lossy(&b.line(i).unwrap().1.text).into_owned()).collect::<Vec<_>>();
        assert_eq!(shown(&b), ["15b", "20a", "35b", "40a", "50b"]);
        assert_eq!((b.error_from(2, true), b.error_from(2, false), b.error_from(7, true)), (Some(5), Some(1), None));
        b.begin(Wanted::default());
        assert_eq!(shown(&b), ["10a", "15b", "20a", "25b", "30a", "35b", "40a", "50b"]);
        let at = |s: i64| b.at_time(Stamp::from_secs(s));
        assert_eq!((at(0), at(15), at(16), at(50), at(51)), (0, 1, 2, 7, 8));
        assert_eq!(b.minutes().bars(Stamp::from_secs(59), 1).1, 5);
        // What is not looked at yet is not taken for a hit twice.
        let since = Wanted { since: Some(Stamp::from_secs(30)), ..Wanted::default() };
        b.begin(since);
        assert!(b.look_back(2));
        b.take(timed(2, &[(33, Info), (45, Info)]), 0);
        while b.look_back(1) {}
        assert_eq!(shown(&b), ["30a", "33c", "35b", "40a", "45c", "50b"]);
    }

    proptest::proptest! {
        #[test]
        fn however_lines_come_the_same_ones_are_shown(
            batches in proptest::collection::vec((0u8..3, proptest::collection::vec(0i64..40, 0..8)), 1..10), early in 0usize..9
        ) {
            let filter = || Wanted { filter: Filter::parse("[37]").unwrap(), ..Wanted::default() };
            let (mut slow, mut late) = (LogBuffer::default(), LogBuffer::default());
            for (nth, (source, mut times)) in batches.into_iter().enumerate() {
                times.sort_unstable();
                if nth == early {
                    slow.begin(filter());
                }
                slow.look_back(1);
                let lines: Vec<(i64, Level)> = times.iter().map(|t| (*t, if t % 5 == 0 { Level::Error } else { Level::Info })).collect();
                slow.take(timed(source, &lines), 0);
                late.take(timed(source, &lines), 0);
            }
            if slow.wanted().is_all() {
                slow.begin(filter());
            }
            late.begin(filter());
            while slow.look_back(1) {}
            late.look_back(usize::MAX);
            proptest::prop_assert_eq!(&slow.hits.0, &late.hits.0);
            proptest::prop_assert_eq!(&slow.errors.0, &late.errors.0);
            let errors: Vec<u64> = (0..slow.total()).filter(|n| slow.numbered(*n).unwrap().level == Level::Error).collect();
            proptest::prop_assert_eq!(&slow.errors.0, &errors);
        }
    }
}
