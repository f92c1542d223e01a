//! How often somebody may guess. A try is counted and on disk before anything is verified, so that a kill in between
//! gives nobody a free one; success takes the count away again.
//!
//! Times are those of CLOCK_BOOTTIME: a wall clock set forward shortens no wait, and a reboot begins it anew.

use std::time::Duration;

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Store, StoreError, StoreMode, VaultError, place};
use crate::domain::session::Moment;

/// What is guessed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guess {
    /// A passphrase.
    Passphrase,
    /// A code of the second factor.
    Code,
}

impl Guess {
    fn word(self) -> &'static str {
        match self {
            Guess::Passphrase => "passphrase",
            Guess::Code => "code",
        }
    }

    /// The longest wait in seconds.
    fn longest_s(self) -> u64 {
        match self {
            Guess::Passphrase => 300,
            Guess::Code => 3600,
        }
    }
}

/// Tries of one operator without a wait.
const FREE: i64 = 5;
/// Tries of all operators together without a wait: one who mistypes must not lock the others out.
const FREE_ALL: i64 = 20;
/// What a try costs where none can be written down, on a full disk for instance. They go one by one.
const UNWRITTEN: Duration = Duration::from_secs(10);

/// The wait after `count` tries in seconds: none for the free ones, then 1, 2, 4 and so on.
fn wait_s(count: i64, free: i64, longest: u64) -> u64 {
    match u32::try_from(count - free) {
        Err(_) => 0,
        Ok(over) => 1u64.checked_shl(over).unwrap_or(longest).min(longest),
    }
}

impl Store {
    /// Runs one try: waits its turn, counts it, verifies, and takes the count away if it was right or no guess at all.
    ///
    /// `Throttled` before anything is verified where there were too many. Where the store can only be read each try takes
    /// ten seconds through `pause`, and only one goes at a time.
    pub fn guess<T>(
        &self,
        operator: &str,
        kind: Guess,
        now: &Moment,
        pause: &dyn Fn(Duration),
        verify: impl FnOnce() -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        if *self.mode() != StoreMode::ReadWrite {
            let _one_by_one = self.path().and_then(std::path::Path::parent).map(place::lock_dir).transpose()?;
            pause(UNWRITTEN);
            return verify();
        }
        self.write_txn_as(|tx| count(tx, operator, kind, now))?;
        match verify() {
            Err(wrong @ (VaultError::WrongPassphrase | VaultError::WrongCode | VaultError::UsedCode)) => Err(wrong),
            Ok(right) => {
                self.write_txn(|tx| {
                    tx.execute("DELETE FROM attempt WHERE operator = ?1 AND kind = ?2", params![operator, kind.word()])?;
                    Ok(())
                })?;
                Ok(right)
            }
            Err(no_guess) => {
                self.write_txn(|tx| {
                    let sql = "UPDATE attempt SET count = count - 1 WHERE operator = ?1 AND kind = ?2";
                    tx.execute(sql, params![operator, kind.word()])?;
                    Ok(())
                })?;
                Err(no_guess)
            }
        }
    }
}

type Row = (i64, String, i64);

fn count(tx: &Transaction<'_>, operator: &str, kind: Guess, now: &Moment) -> Result<(), VaultError> {
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let since = |(_, boot, at): &Row| now.since(&Moment { boot: boot.clone(), ms: u64::try_from(*at).unwrap_or(0) });
    let own: Option<Row> = tx
        .query_row("SELECT count, boot, at_ms FROM attempt WHERE operator = ?1 AND kind = ?2", params![operator, kind.word()], read)
        .optional()?;
    let mut query = tx.prepare("SELECT count, boot, at_ms FROM attempt WHERE kind = ?1")?;
    let all: Vec<Row> = query.query_map([kind.word()], read)?.collect::<Result<_, _>>()?;
    let longest = kind.longest_s();
    let left = |tries: i64, free: i64, ago: u64| (wait_s(tries, free, longest) * 1000).saturating_sub(ago);
    let for_own = own.as_ref().map_or(0, |row| left(row.0, FREE, since(row)));
    let last = all.iter().map(since).min().unwrap_or(u64::MAX);
    let for_all = left(all.iter().map(|row| row.0).sum(), FREE_ALL, last);
    let wait_ms = for_own.max(for_all);
    if wait_ms > 0 {
        return Err(VaultError::Throttled { seconds: wait_ms.div_ceil(1000) });
    }
    tx.execute(
        "INSERT INTO attempt (operator, kind, count, boot, at_ms) VALUES (?1, ?2, 1, ?3, ?4)
         ON CONFLICT (operator, kind) DO UPDATE SET count = count + 1, boot = ?3, at_ms = ?4",
        params![operator, kind.word(), now.boot, i64::try_from(now.ms).unwrap_or(i64::MAX)],
    )
    .map_err(StoreError::from)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn at(s: u64) -> Moment {
        Moment { boot: "a".into(), ms: s * 1000 }
    }

    fn wrong(store: &Store, who: &str, now: &Moment) -> Result<(), u64> {
        let verdict = store.guess(who, Guess::Passphrase, now, &|_| (), || Err::<(), _>(VaultError::WrongPassphrase));
        match verdict {
            Err(VaultError::WrongPassphrase) => Ok(()),
            Err(VaultError::Throttled { seconds }) => Err(seconds),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn five_are_free_then_each_wait_doubles_to_five_minutes() {
        let store = Store::in_memory().unwrap();
        let mut now = 1000;
        for _ in 0..5 {
            assert_eq!(wrong(&store, "ada", &at(now)), Ok(()));
        }
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(wrong(&store, "ada", &at(now)), Err(wait));
            assert_eq!(wrong(&store, "ada", &at(now + wait - 1)), Err(1));
            now += wait;
            assert_eq!(wrong(&store, "ada", &at(now)), Ok(()), "after {wait} s");
        }
        // No clock shortens it: not one that went back, not another boot.
        assert_eq!(wrong(&store, "ada", &at(0)), Err(300));
        assert_eq!(wrong(&store, "ada", &Moment { boot: "b".into(), ms: 299_000 }), Err(1));
        assert_eq!(wrong(&store, "ada", &Moment { boot: "b".into(), ms: 300_000 }), Ok(()));
    }

    #[test]
    fn many_names_do_not_help_and_one_success_forgives_only_its_own() {
        let store = Store::in_memory().unwrap();
        for name in ["a", "b", "c", "d"] {
            for _ in 0..5 {
                assert_eq!(wrong(&store, name, &at(9)), Ok(()));
            }
        }
        assert_eq!(wrong(&store, "e", &at(9)), Err(1));
        let right = |who: &str, now: &Moment| store.guess(who, Guess::Passphrase, now, &|_| (), || Ok(()));
        assert!(right("e", &at(10)).is_ok());
        assert_eq!(wrong(&store, "a", &at(10)), Ok(()));
        assert_eq!(wrong(&store, "e", &at(10)), Err(2), "20 of others and one more");
    }

    #[test]
    fn what_was_no_guess_is_not_counted() {
        let store = Store::in_memory().unwrap();
        for _ in 0..30 {
            let out = store.guess("ada", Guess::Code, &at(1), &|_| (), || Err::<(), _>(VaultError::NoVault));
            assert!(matches!(out, Err(VaultError::NoVault)));
        }
    }

    #[test]
    fn the_count_is_written_before_the_look() {
        let store = Store::in_memory().unwrap();
        let seen =
            |store: &Store| store.read(|c| c.query_row("SELECT coalesce(sum(count), 0) FROM attempt", [], |r| r.get::<_, i64>(0))).unwrap();
        let during = store.guess("ada", Guess::Passphrase, &at(1), &|_| (), || Ok(seen(&store)));
        assert_eq!(during.unwrap(), 1);
        assert_eq!(seen(&store), 0);
    }
}
