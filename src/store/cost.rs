//! How dear one guess at a passphrase is, and the bounds that keep a slot from being too cheap or from taking the
//! host's memory. Figures: OWASP and RFC 9106; 256 MiB with three passes takes about 1.3 s on one core of 2020.

use std::time::Duration;

use super::VaultError;

const MIB: u32 = 1024;

/// The most a new slot may take of the memory that is available when it is made.
const SHARE_AT_CREATE: u64 = 4;

/// What Argon2id is asked to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
    /// Lanes. The library runs them one after another, so more than one helps only an attacker.
    pub lanes: u32,
}

impl Cost {
    /// The cheapest slot that is made or opened: 64 MiB, three passes.
    pub const FLOOR: Self = Self { memory_kib: 64 * MIB, passes: 3, lanes: 1 };
    /// What a new slot gets where the host is fast enough: 256 MiB, three passes.
    pub const DEFAULT: Self = Self { memory_kib: 256 * MIB, passes: 3, lanes: 1 };
    /// The dearest slot that is made or opened: 1 GiB, ten passes, four lanes.
    pub const CEILING: Self = Self { memory_kib: 1024 * MIB, passes: 10, lanes: 4 };

    /// Accepts a cost for a new slot. `available` is the host's MemAvailable in bytes; a quarter of it may be used.
    pub fn check_new(self, available: u64) -> Result<(), VaultError> {
        self.check_bounds()?;
        self.check_memory(available / SHARE_AT_CREATE, available)
    }

    /// Accepts a cost read from a slot, before anything is allocated. A quarter more than needed must be available
    /// (bytes): a host in trouble must still let its operator in, but must not run out of memory for it.
    pub fn check_open(self, available: u64) -> Result<(), VaultError> {
        self.check_bounds()?;
        self.check_memory(available / 5 * 4, available)
    }

    fn check_bounds(self) -> Result<(), VaultError> {
        if self.memory_kib < Self::FLOOR.memory_kib || self.passes < Self::FLOOR.passes || self.lanes < Self::FLOOR.lanes {
            return Err(VaultError::WeakCost);
        }
        if self.memory_kib > Self::CEILING.memory_kib || self.passes > Self::CEILING.passes || self.lanes > Self::CEILING.lanes {
            return Err(VaultError::CostTooHigh { why: "no Proximity makes a slot this dear".to_owned() });
        }
        Ok(())
    }

    fn check_memory(self, allowed: u64, available: u64) -> Result<(), VaultError> {
        if u64::from(self.memory_kib) * 1024 <= allowed {
            return Ok(());
        }
        let (needs, has) = (self.memory_kib / MIB, available >> 20);
        Err(VaultError::CostTooHigh { why: format!("it takes {needs} MiB and the host has {has} MiB available") })
    }
}

/// Chooses the cost of a new slot: [`Cost::DEFAULT`], or less where that would take longer than 1.5 s or more than a
/// quarter of `available` (bytes), but never less than [`Cost::FLOOR`].
///
/// Measures one run at the floor (about 0.3 s); `clock` gives the time since any fixed moment.
pub fn calibrate(available: u64, clock: impl Fn() -> Duration) -> Result<Cost, VaultError> {
    Cost::FLOOR.check_new(available)?;
    let before = clock();
    super::vault::rehearse(Cost::FLOOR)?;
    let took = clock().saturating_sub(before);
    Ok(choose(available, took))
}

fn choose(available: u64, floor_took: Duration) -> Cost {
    const TARGET: u128 = 1_500;
    let step = Cost::FLOOR.memory_kib;
    let by_time = u128::from(step) * TARGET / floor_took.as_millis().max(1);
    let by_memory = u128::from(available / SHARE_AT_CREATE / 1024);
    let most = u128::from(Cost::DEFAULT.memory_kib);
    let memory = u32::try_from(by_time.min(by_memory).min(most)).unwrap_or(step);
    Cost { memory_kib: (memory / step * step).max(step), ..Cost::DEFAULT }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_slow_or_small_host_gets_less_but_never_less_than_the_floor() {
        let ms = Duration::from_millis;
        assert_eq!(choose(8 * GIB, ms(290)), Cost::DEFAULT);
        assert_eq!(choose(8 * GIB, ms(700)).memory_kib, 128 * MIB);
        assert_eq!(choose(8 * GIB, ms(60_000)), Cost::FLOOR);
        assert_eq!(choose(8 * GIB, ms(0)), Cost::DEFAULT);
        assert_eq!(choose(GIB / 2, ms(290)).memory_kib, 128 * MIB);
    }

    #[test]
    fn costs_out_of_bounds_are_refused_both_ways() {
        let with = |memory_kib, passes, lanes| Cost { memory_kib, passes, lanes };
        for weak in [with(65_535, 3, 1), with(65_536, 2, 1), with(65_536, 3, 0), with(0, 0, 0)] {
            assert!(matches!(weak.check_new(64 * GIB), Err(VaultError::WeakCost)));
            assert!(matches!(weak.check_open(64 * GIB), Err(VaultError::WeakCost)));
        }
        let most = u32::MAX;
        for dear in [with(most, 3, 1), with(65_536, most, 1), with(65_536, 3, 5), with(most, most, most)] {
            assert!(matches!(dear.check_new(u64::MAX), Err(VaultError::CostTooHigh { .. })));
            assert!(matches!(dear.check_open(u64::MAX), Err(VaultError::CostTooHigh { .. })));
        }
    }

    #[test]
    fn making_leaves_three_quarters_of_the_memory_and_opening_a_fifth() {
        let memory = u64::from(Cost::DEFAULT.memory_kib) * 1024;
        assert!(Cost::DEFAULT.check_new(memory * 4).is_ok());
        assert!(Cost::DEFAULT.check_new(memory * 4 - 4).is_err());
        assert!(Cost::DEFAULT.check_open(memory * 5 / 4).is_ok());
        assert!(Cost::DEFAULT.check_open(memory).is_err());
    }
}
