//! Which lines of a log are wanted: by time, by level, by words. Lines that tell no time of their own, such as those of
//! a stack trace, go with the line before them.

use super::filter::Filter;
use super::log_level::{self, Level};
use super::log_time;
use super::stamp::Stamp;
use super::when::Here;

/// What is wanted. Times are inclusive; `None` is no bound.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Not before.
    pub since: Option<Stamp>,
    /// Not after.
    pub until: Option<Stamp>,
    /// At least so grave; a line that tells no level counts as info.
    pub level: Option<Level>,
    /// Words in and out.
    pub filter: Filter,
}

impl Wanted {
    /// Whether a line is wanted for its words alone, whatever comes before it.
    pub fn asks_only_words(&self) -> bool {
        self.since.is_none() && self.until.is_none() && self.level.is_none()
    }

    /// Whether every line is wanted.
    pub fn is_all(&self) -> bool {
        self.asks_only_words() && self.filter.is_empty()
    }
}

/// What a line tells of itself, or the line before it told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// When it was written.
    pub time: Option<Stamp>,
    /// How grave it is.
    pub level: Option<Level>,
}

impl Wanted {
    /// Whether a line is wanted that tells this. One without any time is not where a time is asked for.
    pub fn takes(&self, told: Told, line: &[u8]) -> bool {
        let in_time = |time: Stamp| self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time <= until);
        (self.is_of_all_times() || told.time.is_some_and(in_time))
            && self.level.is_none_or(|least| told.level.unwrap_or(Level::Info) >= least)
            && self.filter.passes(line)
    }

    fn is_of_all_times(&self) -> bool {
        self.since.is_none() && self.until.is_none()
    }
}

/// What the lines of one source tell, each with what it takes over from the line before. Each line is to be asked once,
/// in order.
#[derive(Debug, Default)]
pub struct Teller {
    last: Told,
}

impl Teller {
    /// What a line tells, and whether it tells a time itself.
    pub fn told(&mut self, line: &[u8], here: Here) -> (Told, bool) {
        let (time, level) = (log_time::of(line, here), log_level::of(line));
        let goes_on = time.is_none() && level.is_none() && line.first().is_some_and(|b| b" \t}".contains(b));
        self.last = Told { time: time.or(self.last.time), level: if goes_on { self.last.level } else { level } };
        (self.last, time.is_some())
    }
}

/// Lines of one source pass through it in their order.
#[derive(Debug)]
pub struct Sieve {
    wanted: Wanted,
    here: Here,
    teller: Teller,
    timeless: u64,
}

impl Sieve {
    /// A sieve for one source.
    pub fn new(wanted: Wanted, here: Here) -> Self {
        Sieve { wanted, here, teller: Teller::default(), timeless: 0 }
    }

    /// Reads times without a year by this clock from now on.
    pub fn now(&mut self, now: Stamp) {
        self.here.now = now;
    }

    /// What is wanted.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Whether this line is wanted.
    pub fn passes(&mut self, line: &[u8]) -> bool {
        // Reading times and levels costs more than looking for words, so only where they decide.
        if self.wanted.asks_only_words() {
            return self.wanted.filter.passes(line);
        }
        let (told, _) = self.teller.told(line, self.here);
        self.takes(told, line)
    }

    /// Whether a line is wanted that tells this.
    pub fn takes(&mut self, told: Told, line: &[u8]) -> bool {
        self.timeless += u64::from(told.time.is_none() && !self.wanted.is_of_all_times());
        self.wanted.takes(told, line)
    }

    /// Lines left out because neither they nor any line before them told a time.
    pub fn timeless(&self) -> u64 {
        self.timeless
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LOG: &str = "no time yet
2026-11-21T10:00:00Z INFO begins
2026-11-21T10:00:05Z ERROR it broke
    at first
    at second
Caused by: a word
2026-11-21T10:00:09Z WARN be careful
2026-11-21T10:00:20Z INFO ends";

    fn pass(wanted: Wanted) -> (Vec<usize>, u64) {
        let mut sieve = Sieve::new(wanted, Here { now: Stamp::from_civil(2026, 11, 21, 12, 0, 0).unwrap(), offset_s: 0 });
        let passed = LOG.lines().enumerate().filter(|(_, l)| sieve.passes(l.as_bytes())).map(|(n, _)| n).collect();
        (passed, sieve.timeless())
    }

    fn at(s: u32) -> Option<Stamp> {
        Stamp::from_civil(2026, 11, 21, 10, 0, s)
    }

    #[test]
    fn times_are_inclusive_and_traces_stay_with_their_line() {
        assert_eq!(pass(Wanted { since: at(5), until: at(9), ..Wanted::default() }), (vec![2, 3, 4, 5, 6], 1));
        assert_eq!(pass(Wanted { until: at(0), ..Wanted::default() }), (vec![1], 1));
        assert_eq!(pass(Wanted::default()), ((0..8).collect(), 0));
        assert!(Wanted::default().is_all());
    }

    #[test]
    fn levels_and_words_are_asked_together() {
        assert_eq!(pass(Wanted { level: Some(Level::Warn), ..Wanted::default() }).0, [2, 3, 4, 6]);
        let filter = Filter::parse("at").unwrap();
        assert_eq!(pass(Wanted { level: Some(Level::Error), filter, ..Wanted::default() }).0, [3, 4]);
        let filter = Filter::parse("!broke").unwrap();
        assert_eq!(pass(Wanted { since: at(5), until: at(5), filter, level: None }).0, [3, 4, 5]);
    }
}
