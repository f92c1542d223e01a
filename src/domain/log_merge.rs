//! Lines of several sources in one list, ordered by the times they tell: where a line that comes finds its place.
//!
//! Lines of one source never change their order. One without a time stays directly behind the line before it of its
//! source. One whose place lies further back than [`WINDOW`] lines stands where it came, and is marked late.

use std::collections::VecDeque;

use super::log_level::Level;
use super::log_sieve::{Teller, Told};
use super::stamp::Stamp;
use super::when::Here;

/// So many lines may be passed over by one that comes late and still find its place.
pub const WINDOW: usize = 20_000;

/// Late lines that are passed over to find one that is not.
const FAR: usize = 64;

/// A line in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The bytes without their line end.
    pub text: Box<[u8]>,
    /// When it was written, or the line before it of its source; never later than when it was read.
    pub time: Option<Stamp>,
    /// How grave it is; `Info` where it tells nothing.
    pub level: Level,
    /// Number of its source.
    pub source: u8,
    /// It stands behind a line that was written later.
    pub late: bool,
    /// It tells no time itself.
    pub goes_on: bool,
}

impl Kept {
    /// A line as a source told it that was read at `here.now`.
    pub fn new(text: Box<[u8]>, source: u8, teller: &mut Teller, here: Here) -> Kept {
        let (Told { time, level }, own) = teller.told(&text, here);
        let time = time.map(|t| t.min(here.now));
        Kept { text, time, level: level.unwrap_or(Level::Info), source, late: false, goes_on: !own }
    }

    /// A line of which only the words matter.
    pub fn bare(text: Box<[u8]>) -> Kept {
        Kept { text, time: None, level: Level::Info, source: 0, late: false, goes_on: true }
    }

    /// What it tells.
    pub fn told(&self) -> Told {
        Told { time: self.time, level: Some(self.level) }
    }
}

/// Which lines moved because others came before them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shift {
    /// For each line that came, the old number of the line it stands before; in order.
    before: Vec<u64>,
}

impl Shift {
    /// The new number of the line that had this one.
    pub fn of(&self, number: u64) -> u64 {
        number + self.before.partition_point(|n| *n <= number) as u64
    }

    /// The first line that moved.
    pub fn first(&self) -> Option<u64> {
        self.before.first().copied()
    }
}

/// The list's order: lines are put where they belong.
#[derive(Debug, Default)]
pub struct Merge {
    /// The latest time of a line that is not late.
    latest: Option<Stamp>,
}

impl Merge {
    /// Puts lines of one source, in their order, into a list whose first line has the number `first`. `placed` hears the
    /// number of each, in order. Costs a step for each line, and for each line that is passed over once.
    pub fn add(&mut self, list: &mut VecDeque<Kept>, first: u64, lines: impl Iterator<Item = Kept>, mut placed: impl FnMut(u64)) -> Shift {
        let mut shift = Shift::default();
        // Lines taken off the end of the list, the earliest last; they go back behind what comes before them.
        let mut off: Vec<Kept> = Vec::new();
        let old_end = first + list.len() as u64;
        for mut line in lines {
            let in_order = line.time >= self.latest;
            if !line.goes_on {
                let back = if in_order { off.len() } else { before(&off, line.time) };
                list.extend(off.drain(off.len() - back..).rev());
            }
            if !in_order || (line.goes_on && list.back().is_some_and(|l| l.source != line.source)) {
                // What is late itself stands at no place of its own.
                let stays = |l: &Kept| l.source == line.source || (!line.goes_on && !l.late && l.time <= line.time);
                let place = list.iter().rev().take(WINDOW + 1).position(stays);
                match place.or_else(|| (list.len() <= WINDOW && !line.goes_on).then_some(list.len())) {
                    Some(passed) => off.extend(list.drain(list.len() - passed..).rev()),
                    None => list.extend(off.drain(..).rev()),
                }
                let before = list.iter().rev().take(FAR).find(|l| !l.late);
                line.late = before.map_or(!list.is_empty() && line.time < self.latest, |l| l.time > line.time);
            }
            if !line.late {
                self.latest = self.latest.max(line.time);
            }
            if !off.is_empty() {
                shift.before.push(old_end - off.len() as u64);
            }
            placed(first + list.len() as u64);
            list.push_back(line);
        }
        list.extend(off.into_iter().rev());
        shift
    }
}

/// How many lines at the end of those that were taken off come before this time: late ones among them go with the next
/// that is not.
fn before(off: &[Kept], time: Option<Stamp>) -> usize {
    let mut back = 0;
    loop {
        // A long run of late lines is not looked through for each line that comes.
        let run = off[..off.len() - back].iter().rev().take(FAR).position(|l| !l.late);
        match run.and_then(|n| off.get(off.len() - back - n - 1).map(|l| (n, l))) {
            Some((n, next)) if next.time <= time => back += n + 1,
            _ => return back,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// `7a`: source a at 7 s; `+a` goes on.
    fn kept(word: &str, last: &mut [Option<Stamp>; 3]) -> Kept {
        let source = word.bytes().find(u8::is_ascii_lowercase).unwrap() - b'a';
        let time = word.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok().map(Stamp::from_secs);
        let own = time.is_some();
        let time = time.or(last[usize::from(source)]);
        last[usize::from(source)] = time;
        Kept { text: word.as_bytes().into(), time, level: Level::Info, source, late: false, goes_on: !own }
    }

    fn merged(batches: &[&str]) -> (String, Vec<Shift>) {
        let (mut list, mut merge, mut last) = (VecDeque::new(), Merge::default(), [None; 3]);
        let mut shifts = Vec::new();
        for batch in batches {
            let lines: Vec<Kept> = batch.split_whitespace().map(|w| kept(w, &mut last)).collect();
            shifts.push(merge.add(&mut list, 100, lines.into_iter(), |_| {}));
        }
        let word = |l: &Kept| format!("{}{}", String::from_utf8_lossy(&l.text), if l.late { "!" } else { "" });
        (list.iter().map(word).collect::<Vec<_>>().join(" "), shifts)
    }

    #[test]
    fn lines_stand_in_the_order_of_their_times() {
        for (batches, expected) in [
            (&["1a 3a 5a", "2b 4b 6b"][..], "1a 2b 3a 4b 5a 6b"),
            (&["3a", "3b", "3a"], "3a 3b 3a"),
            (&["5a", "4b +b", "5c"], "4b +b 5a 5c"),
            // A trace stays with its line although another line of its time came between.
            (&["5a", "5b", "+a +a"], "5a +a +a 5b"),
            (&["5a +a", "4b", "5c"], "4b 5a +a 5c"),
            // Late lines between two others are passed over as often as must be.
            (&["9a", "1b 2b", "6a 7a", "3b", "5c 9c"], "1b 2b 3b 5c 9a 6a! 7a! 9c"),
            // A source's own order is never changed.
            (&["9a 2a 3a", "4b"], "4b 9a 2a! 3a!"),
            (&["+a", "1b", "2a", "+c", "+c"], "+a 1b 2a +c! +c!"),
        ] {
            assert_eq!(merged(batches).0, expected, "{batches:?}");
        }
    }

    #[test]
    fn moved_lines_are_told() {
        let (text, shifts) = merged(&["1a 3a 5a 7a", "2b 4b 8b"]);
        assert_eq!(text, "1a 2b 3a 4b 5a 7a 8b");
        assert_eq!((0..5).map(|n| shifts[1].of(100 + n)).collect::<Vec<_>>(), [100, 102, 104, 105, 106]);
        assert_eq!((shifts[0].first(), shifts[1].first()), (None, Some(101)));
    }

    #[test]
    fn what_comes_too_late_stands_where_it_came_and_is_marked() {
        let (mut list, mut merge) = (VecDeque::new(), Merge::default());
        let line = |s: i64, source| Kept { time: Some(Stamp(s)), source, goes_on: false, ..Kept::bare(Box::default()) };
        let mut numbers = Vec::new();
        merge.add(&mut list, 0, (0..WINDOW as i64 + 10).map(|n| line(n, 0)), |_| {});
        let shift = merge.add(&mut list, 0, [line(5, 1), line(20, 1)].into_iter(), |n| numbers.push(n));
        assert_eq!((numbers, shift.first()), (vec![WINDOW as u64 + 10, WINDOW as u64 + 11], None));
        assert!(list[WINDOW + 10].late && list[WINDOW + 11].late);
        let shift = merge.add(&mut list, 0, [line(20, 2)].into_iter(), |_| {});
        assert!(shift.first().is_some_and(|n| n == 21) && !list[21].late, "{:?}", shift.first());
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_and_each_source_keeps_its_order(
            batches in proptest::collection::vec((0u8..3, proptest::collection::vec((0i64..30, proptest::bool::ANY), 0..6)), 0..12)
        ) {
            let (mut list, mut merge) = (VecDeque::new(), Merge::default());
            let (mut nth, mut last) = (0u32, [None; 3]);
            let mut known: Vec<(u64, Box<[u8]>)> = Vec::new();
            for (source, lines) in batches {
                let mut made = Vec::new();
                for (time, own) in lines {
                    let time = if own { Some(Stamp(time)) } else { last[usize::from(source)] };
                    last[usize::from(source)] = time;
                    made.push(Kept { text: nth.to_be_bytes().into(), time, level: Level::Info, source, late: false, goes_on: !own });
                    nth += 1;
                }
                let mut numbers = Vec::new();
                let texts: Vec<_> = made.iter().map(|l| l.text.clone()).collect();
                let shift = merge.add(&mut list, 7, made.into_iter(), |n| numbers.push(n));
                known.iter_mut().for_each(|(n, _)| *n = shift.of(*n));
                known.extend(numbers.into_iter().zip(texts));
            }
            proptest::prop_assert_eq!(list.len(), nth as usize);
            for (n, text) in &known {
                proptest::prop_assert_eq!(&list[(*n - 7) as usize].text, text);
            }
            for source in 0..3 {
                let own: Vec<_> = list.iter().filter(|l| l.source == source).map(|l| l.text.clone()).collect();
                proptest::prop_assert!(own.is_sorted());
            }
            let in_order: Vec<_> = list.iter().filter(|l| !l.late).map(|l| l.time).collect();
            proptest::prop_assert!(in_order.is_sorted(), "{:?}", in_order);
        }
    }
}
