//! A try being counted as a kind of write. It is acknowledged by being looked at: whoever was told whether a passphrase is
//! right has been counted, wherever the machine stopped.

use std::path::Path;

use proximity::domain::session::Moment;
use proximity::store::{Guess, Store, StoreMode, VaultError};

use super::super::support::OPERATOR;
use super::{Bad, Cut, not_lost, promise, text, unreadable, whole};

/// Longer than any wait between two tries, milliseconds.
const APART: i64 = 400_000;
/// One writes too little for a look at many disks.
const EACH_ROUND: usize = 4;

pub fn guess(dir: &Path, _: &str, rounds: usize) -> Result<(), String> {
    let store = Store::open(dir).map_err(text)?;
    // There a try is made slow instead.
    if store.mode() != &StoreMode::ReadWrite {
        return Err(format!("{:?}", store.mode()));
    }
    for number in 1..=(rounds * EACH_ROUND) as i64 {
        let now = Moment { boot: "a".into(), ms: (number * APART).cast_unsigned() };
        let verify = || {
            promise();
            Err::<(), _>(VaultError::WrongPassphrase)
        };
        match store.guess(OPERATOR, Guess::Passphrase, &now, &|_| (), verify) {
            Err(VaultError::WrongPassphrase) => {}
            other => return Err(format!("{other:?}")),
        }
    }
    Ok(())
}

pub fn counted(cut: &Cut<'_>) -> Result<(), Bad> {
    let (store, _) = whole(cut)?;
    let sql = "SELECT ifnull(sum(count), 0), ifnull(sum(at_ms), 0), count(*) FROM attempt";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let (count, at, rows): (i64, i64, i64) = store.read(|conn| conn.query_row(sql, [], read)).map_err(unreadable)?;
    if rows > 1 || at != count * APART {
        return Err(Bad::Torn(format!("{count} tries, the last at {at} ms, in {rows} rows")));
    }
    not_lost(usize::try_from(count).map_err(unreadable)?, cut.promises)
}
