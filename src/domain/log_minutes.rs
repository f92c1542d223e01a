//! How many errors fell into each minute, as a row of bars.

use std::collections::BTreeMap;

use super::stamp::Stamp;

/// Bars from none to most.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Errors by the minute.
#[derive(Debug, Default)]
pub struct Minutes {
    counts: BTreeMap<i64, u32>,
}

impl Minutes {
    /// Counts one.
    pub fn add(&mut self, at: Stamp) {
        *self.counts.entry(minute(at)).or_default() += 1;
    }

    /// Takes one back that was counted.
    pub fn take(&mut self, at: Stamp) {
        if let Some(count) = self.counts.get_mut(&minute(at)) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&minute(at));
            }
        }
    }

    /// A bar for each of the `minutes` up to now, and how many errors they stand for. A minute without any is the lowest
    /// bar; the others are told apart from it, however many the worst minute had.
    pub fn bars(&self, now: Stamp, minutes: u16) -> (String, u64) {
        let last = minute(now);
        let first = last - i64::from(minutes) + 1;
        let of = |m: i64| self.counts.get(&m).copied().unwrap_or(0);
        let (mut most, mut all) = (0, 0);
        for (_, count) in self.counts.range(first..=last) {
            most = most.max(*count);
            all += u64::from(*count);
        }
        ((first..=last).map(|m| bar(of(m).into(), most.into())).collect(), all)
    }
}

/// A bar for a value among others, of which the highest is `most`.
pub(super) fn bar(value: u64, most: u64) -> char {
    match value {
        0 => BARS[0],
        value => BARS[value.saturating_mul(7).div_ceil(most.max(1)).min(7) as usize],
    }
}

fn minute(at: Stamp) -> i64 {
    at.secs().div_euclid(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_for_minutes() {
        let mut m = Minutes::default();
        let at = |minute: i64| Stamp::from_secs(minute * 60 + 7);
        for (minute, count) in [(10, 1), (12, 6), (13, 3), (2, 99)] {
            (0..count).for_each(|_| m.add(at(minute)));
        }
        assert_eq!(m.bars(at(14), 6), ("▁▃▁█▅▁".into(), 10));
        (0..6).for_each(|_| m.take(at(12)));
        assert_eq!(m.bars(at(14), 6), ("▁▄▁▁█▁".into(), 4));
        assert_eq!(Minutes::default().bars(at(1), 3), ("▁▁▁".into(), 0));
    }
}
