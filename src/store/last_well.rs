//! When ports last answered well. Without tags: it decides about nothing.

use rusqlite::params;

use super::{Store, StoreError, StoreMode};
use crate::domain::ports::Well;
use crate::domain::stamp::Stamp;

impl Store {
    /// When which port last answered well, and whose it was then. A row that cannot be of any port is passed over.
    pub fn wells(&self) -> Result<Vec<Well>, StoreError> {
        self.read(|conn| {
            let mut all = conn.prepare_cached("SELECT port, name, published_ms, well_ms FROM last_well ORDER BY port")?;
            let rows = all.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, Stamp(row.get(2)?), Stamp(row.get(3)?))))?;
            let rows: Vec<(i64, String, Stamp, Stamp)> = rows.collect::<Result<_, _>>()?;
            let one = |(port, name, published, at): (i64, String, Stamp, Stamp)| {
                Some(Well { port: u16::try_from(port).ok()?, name: name.parse().ok()?, published, at })
            };
            Ok(rows.into_iter().filter_map(one).collect())
        })
    }

    /// Remembers who answered well in a look, all in one transaction; and forgets what is published no more, or otherwise. Whoever
    /// looked last is believed: a clock that was ahead once would hold for ever else. Nothing is written where nothing can be.
    pub fn note_wells(&self, wells: &[Well]) -> Result<(), StoreError> {
        if *self.mode() != StoreMode::ReadWrite || wells.is_empty() {
            return Ok(());
        }
        self.write_txn(|tx| {
            let mut put = tx.prepare_cached(
                "INSERT INTO last_well (port, name, published_ms, well_ms) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (port) DO UPDATE SET name = ?2, published_ms = ?3, well_ms = ?4",
            )?;
            for Well { port, name, published, at } in wells {
                put.execute(params![port, name.to_string(), published.0, at.0])?;
            }
            tx.execute(
                "DELETE FROM last_well WHERE NOT EXISTS
                 (SELECT 1 FROM service WHERE service.name = last_well.name AND service.at_ms = last_well.published_ms)",
                [],
            )?;
            Ok(())
        })
    }
}
