//! Sizes of archives over time: whether the newest is odd beside those before it, by a rule that common noise does not meet.

use std::collections::BTreeMap;
use std::fmt;

use super::Archive;
use crate::domain::guest::Vmid;
use crate::domain::stamp::bytes;

/// So many before the newest are looked at: after so many more, what was odd is usual.
const BEFORE: usize = 7;

/// With fewer before it nothing is usual.
const LEAST: usize = 3;

/// Differences below are nobody's business, whatever their ratio.
const FLOOR: u64 = 1 << 20;

/// A newest archive that is much smaller or larger than those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Odd {
    /// Its bytes.
    pub last: u64,
    /// The one in the middle of those before.
    pub usual: u64,
}

impl Odd {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        if self.last < self.usual { "see what is missing in it before you rely on it" } else { "see what has grown" }
    }
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and usually {}", bytes(self.last), bytes(self.usual))
    }
}

/// Whether the last of these sizes in bytes, oldest first, is odd: by more than a factor of two from the middle of those before,
/// and by more than five times what these usually differ from it. A guest whose archives always vary is not odd when it does.
pub fn odd(sizes: &[u64]) -> Option<Odd> {
    let (&last, before) = sizes.split_last()?;
    let before = &before[before.len().saturating_sub(BEFORE)..];
    if before.len() < LEAST || before.contains(&0) || last == 0 {
        return None;
    }
    let usual = middle(before.to_vec())?;
    let far = |size: u64| (size as f64 / usual as f64).ln().abs();
    let mut apart: Vec<f64> = before.iter().map(|size| far(*size)).collect();
    apart.sort_by(f64::total_cmp);
    let limit = (apart[apart.len() / 2] * 5.0).max(std::f64::consts::LN_2);
    (far(last) > limit && last.abs_diff(usual) >= FLOOR).then_some(Odd { last, usual })
}

fn middle(mut sizes: Vec<u64>) -> Option<u64> {
    sizes.sort_unstable();
    sizes.get(sizes.len() / 2).copied()
}

/// How an archive is packed, by its name: sizes compare only among the same.
fn packed(volid: &str) -> &str {
    let file = volid.rsplit('/').next().unwrap_or(volid);
    file.split_once('.').map_or("", |(_, end)| end)
}

/// The guests whose newest archive is odd. Empty ones are broken, and another matter.
pub fn odd_ones(archives: &[Archive]) -> BTreeMap<Vmid, Odd> {
    let mut of: BTreeMap<Vmid, Vec<&Archive>> = BTreeMap::new();
    for a in archives.iter().filter(|a| a.size.is_some_and(|n| n > 0)) {
        if let Some(id) = a.vmid {
            of.entry(id).or_default().push(a);
        }
    }
    let one = |(id, mut all): (Vmid, Vec<&Archive>)| {
        all.sort_by_key(|a| a.made);
        let (how, storage) = all.last().map(|a| (packed(&a.volid), &a.storage))?;
        // A backup server tells other sizes than a directory.
        let alike = all.iter().filter(|a| packed(&a.volid) == how && (!how.is_empty() || a.storage == *storage));
        odd(&alike.filter_map(|a| a.size).collect::<Vec<_>>()).map(|odd| (id, odd))
    };
    of.into_iter().filter_map(one).collect()
}

/// Archives of a guest that is not here any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphans {
    /// Which; `None` for those whose name tells none.
    pub guest: Option<Vmid>,
    /// How many.
    pub archives: usize,
    /// Bytes of those that tell them.
    pub bytes: u64,
    /// The newest.
    pub newest: Archive,
}

/// The archives of guests that `is_here` does not know, by guest.
pub fn orphans(archives: &[Archive], is_here: impl Fn(Vmid) -> bool) -> Vec<Orphans> {
    let mut out: BTreeMap<Option<Vmid>, Orphans> = BTreeMap::new();
    for a in archives.iter().filter(|a| !a.vmid.is_some_and(&is_here)) {
        let one = out.entry(a.vmid).or_insert_with(|| Orphans { guest: a.vmid, archives: 0, bytes: 0, newest: a.clone() });
        one.archives += 1;
        one.bytes += a.size.unwrap_or(0);
        if a.made > one.newest.made {
            one.newest = a.clone();
        }
    }
    out.into_values().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::stamp::Stamp;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn mib(all: &[u64]) -> Vec<u64> {
        all.iter().map(|n| n * MIB).collect()
    }

    #[test]
    fn what_is_odd_and_what_is_not() {
        let drop = odd(&mib(&[200, 210, 205, 220, 12])).unwrap();
        assert_eq!(
            (drop.to_string().as_str(), drop.hint()),
            ("12 MiB and usually 210 MiB", "see what is missing in it before you rely on it")
        );
        assert_eq!(odd(&mib(&[200, 210, 205, 220, 600])).unwrap().hint(), "see what has grown");
        for fine in [&[200, 210, 205, 220, 110][..], &[200, 210, 12], &[10, 100, 20, 90, 15, 120, 9], &[100, 200, 12]] {
            assert_eq!(odd(&mib(fine)), None, "{fine:?}");
        }
        assert_eq!(odd(&[300_000, 310_000, 305_000, 20_000]), None, "a few hundred kilobytes");
        let stays: Vec<u64> = [vec![200; 7], vec![12; 3]].concat();
        assert!(odd(&mib(&stays)).is_some(), "told for some days");
        assert_eq!(odd(&mib(&[vec![200; 7], vec![12; 8]].concat())), None, "and not for ever");
    }

    #[test]
    fn only_alike_ones_are_compared_and_strangers_are_told_apart() {
        let archive = |id: u32, day: i64, end: &str, size: u64| {
            let volid = format!("local:backup/vzdump-lxc-{id}-{day}.{end}");
            crate::domain::backup::tests::archive(id, &volid, Stamp::from_secs(day), size * MIB)
        };
        let mut all: Vec<Archive> = (0..5).map(|day| archive(101, day, "tar.zst", 100)).collect();
        all.push(archive(101, 9, "tar", 400));
        assert!(odd_ones(&all).is_empty(), "another compression");
        all.push(archive(101, 10, "tar.zst", 9));
        assert_eq!(odd_ones(&all)[&101.try_into().unwrap()], Odd { last: 9 * MIB, usual: 100 * MIB });
        all.push(archive(300, 1, "tar.zst", 5));
        all.push(archive(300, 3, "tar.zst", 6));
        let gone = orphans(&all, |id| id == 101.try_into().unwrap());
        assert_eq!((gone.len(), gone[0].archives, gone[0].bytes, gone[0].newest.made), (1, 2, 11 * MIB, Stamp::from_secs(3)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Archives that grow by up to 5 % a day and vary by a fifth are never odd; one that lost nine tenths always is, and one
        /// that became eight times as large.
        #[test]
        fn steady_series_are_quiet_and_a_break_is_told(
            first in 20.0_f64..20_000.0, growth in 0.98_f64..1.05, noise in prop::collection::vec(0.8_f64..1.2, 5..40),
        ) {
            let series: Vec<u64> = noise.iter().zip(0..).map(|(n, day)| (first * growth.powi(day) * n * MIB as f64) as u64).collect();
            for end in 1..=series.len() {
                prop_assert_eq!(odd(&series[..end]), None, "{:?}", &series[..end]);
            }
            let last = *series.last().unwrap();
            for (factor, smaller) in [(0.1, true), (8.0, false)] {
                let mut broken = series.clone();
                broken.push((last as f64 * factor) as u64);
                let found = odd(&broken);
                prop_assert!(found.is_some_and(|o| (o.last < o.usual) == smaller), "{broken:?}");
            }
        }

        /// A guest whose archives vary by a factor of eight all the time is told of on few days.
        #[test]
        fn wild_series_are_told_of_seldom(days in prop::collection::vec(-3.0_f64..3.0, 300..301)) {
            let series: Vec<u64> = days.iter().map(|d| (500.0 * d.exp2() * MIB as f64) as u64).collect();
            let told = (LEAST..series.len()).filter(|end| odd(&series[..=*end]).is_some()).count();
            prop_assert!(told <= series.len() / 6, "{told} of {}", series.len());
        }
    }
}
