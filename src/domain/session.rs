//! How long an unlocked console stays so. Told by the clock that counts since boot, sleep included, and by nothing else:
//! who sets the wall clock unlocks nothing.

/// A moment of CLOCK_BOOTTIME. Moments of two boots cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Which boot, as in `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// Milliseconds since it began.
    pub ms: u64,
}

impl Moment {
    /// Milliseconds since an earlier moment. After a reboot that is at least the time since it; a moment that lies ahead
    /// is none ago.
    pub fn since(&self, then: &Moment) -> u64 {
        if self.boot == then.boot { self.ms.saturating_sub(then.ms) } else { self.ms }
    }
}

// Neither this nor PROOF_MS is a setting: whoever could set them could set them away.

/// So long after it was unlocked the console locks in any case, in milliseconds.
pub const HARD_MS: u64 = 8 * 3_600_000;
/// A gap between two looks at the clock that is longer was a stop or a sleep, in milliseconds.
pub const GAP_MS: u64 = 60_000;
/// A passphrase or code holds so long for what destroys, in milliseconds.
pub const PROOF_MS: u64 = 120_000;

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Nobody pressed a key.
    Idle,
    /// It lasted as long as any may.
    Hard,
    /// The program or the machine was stopped meanwhile.
    Gap,
}

impl Over {
    /// Why, as a sentence for the lock screen.
    pub fn words(self) -> &'static str {
        match self {
            Over::Idle => "locked: no key was pressed for as long as system.idle_lock says",
            Over::Hard => "locked: unlocked 8 hours ago",
            Over::Gap => "locked: the program was stopped meanwhile",
        }
    }
}

/// One time that a console was unlocked.
#[derive(Debug, Clone)]
pub struct Session {
    began: Moment,
    key: Moment,
    seen: Moment,
    proof: Moment,
}

impl Session {
    /// Begins with a proof, now.
    pub fn begin(now: &Moment) -> Session {
        Session { began: now.clone(), key: now.clone(), seen: now.clone(), proof: now.clone() }
    }

    /// Looks at the clock; what it gives ends the session. A key is only taken (`key`) by a session that is not over.
    /// `idle_ms`: without a key for so long it is over; `None` for never.
    pub fn look(&mut self, now: &Moment, key: bool, idle_ms: Option<u64>) -> Option<Over> {
        let over = if now.since(&self.seen) > GAP_MS || now.boot != self.seen.boot {
            Some(Over::Gap)
        } else if now.since(&self.began) >= HARD_MS {
            Some(Over::Hard)
        } else if idle_ms.is_some_and(|idle| now.since(&self.key) >= idle) {
            Some(Over::Idle)
        } else {
            None
        };
        // A clock that went back is not believed: nothing gets younger by it.
        if now.ms >= self.seen.ms && over.is_none() {
            self.seen = now.clone();
            if key {
                self.key = now.clone();
            }
        }
        over
    }

    /// A passphrase or code was given again.
    pub fn proven(&mut self, now: &Moment) {
        self.proof = now.clone();
    }

    /// Whether the last proof still holds for what destroys.
    pub fn is_fresh(&self, now: &Moment) -> bool {
        now.boot == self.proof.boot && now.ms >= self.proof.ms && now.since(&self.proof) <= PROOF_MS
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IDLE: Option<u64> = Some(300_000);

    fn at(ms: u64) -> Moment {
        Moment { boot: "a".into(), ms }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        /// Whatever happens in whatever order, an open session is never past a limit; told by a second, plain account.
        #[test]
        fn never_open_past_a_limit(events in prop::collection::vec((0u64..400_000, any::<bool>(), any::<bool>()), 1..120)) {
            let mut session = Session::begin(&at(1_000));
            let (mut now, mut key, mut seen) = (1_000u64, 1_000u64, 1_000u64);
            for (pause, short, is_key) in events {
                now += if short { pause / 100 } else { pause };
                let over = session.look(&at(now), is_key, IDLE);
                let past = now - key >= 300_000 || now - 1_000 >= 28_800_000 || now - seen > 60_000;
                prop_assert_eq!(over.is_some(), past);
                if past {
                    // It stays over: no key brings it back.
                    prop_assert!(session.look(&at(now), true, IDLE).is_some());
                    prop_assert!(session.look(&at(now + 1), true, IDLE).is_some());
                    break;
                }
                seen = now;
                if is_key {
                    key = now;
                }
            }
        }
    }

    #[test]
    fn eight_hours_of_typing_end_too() {
        let mut session = Session::begin(&at(0));
        let mut ended = None;
        for second in 1..30_000u64 {
            if let Some(over) = session.look(&at(second * 1000), true, None) {
                ended = Some((second, over));
                break;
            }
        }
        assert_eq!(ended, Some((28_800, Over::Hard)));
    }

    #[test]
    fn a_clock_that_jumps_makes_nothing_younger() {
        let mut session = Session::begin(&at(1_000_000));
        assert_eq!(session.look(&at(500), true, IDLE), None);
        assert_eq!(session.look(&at(1_000_000 + 59_000), false, IDLE), None);
        assert!(!session.is_fresh(&at(10)), "a proof from the future");
        assert_eq!(session.look(&Moment { boot: "b".into(), ms: 1_000_001 }, true, IDLE), Some(Over::Gap));
        assert_eq!(Moment { boot: "b".into(), ms: 7 }.since(&at(5)), 7);
        assert!(session.is_fresh(&at(1_120_000)) && !session.is_fresh(&at(1_120_001)));
    }
}
