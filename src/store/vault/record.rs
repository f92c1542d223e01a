//! Sealed records: one secret value for each (table, column, row) it belongs to, each under a key of its own that is
//! derived anew from the vault key and the row's version. There is no stored key per row to lose or mix up.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::binding::{Binding, Purpose};
use super::tagged::TABLES;
use super::{Vault, VaultError};
use crate::store::crypto::{self, Key, NONCE, TAG};
use crate::store::{Secret, Store};

/// The longest value in bytes; an RSA-16384 key with its comments fits four times.
pub(super) const LONGEST: usize = 64 * 1024;

/// The scope every record belongs to until operators can be limited to single apps.
const WHOLE_VAULT: [u8; 16] = [0; 16];

/// Where a sealed value belongs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordName {
    /// The table the value belongs to, for instance `host`.
    pub table: String,
    /// The column, for instance `password`.
    pub column: String,
    /// The row's identifier.
    pub row_id: [u8; 16],
}

/// What [`Vault::verify_all`] found.
#[derive(Debug, Default)]
pub struct Verified {
    /// How many values opened.
    pub opened: usize,
    /// Values that did not open, with the reason; a name that is itself damaged is given as far as it can be read.
    pub failed: Vec<(RecordName, VaultError)>,
    /// Slots that were changed, each with the reason.
    pub bad_slots: Vec<VaultError>,
    /// Rows in the open that are not as they were signed.
    pub bad_rows: Vec<VaultError>,
}

impl Verified {
    /// The first thing that is wrong, as an error.
    pub fn into_result(self) -> Result<(), VaultError> {
        let records = self.failed.into_iter().map(|(_, error)| error);
        self.bad_slots.into_iter().chain(self.bad_rows).chain(records).next().map_or(Ok(()), Err)
    }
}

struct Row {
    scope_id: Vec<u8>,
    epoch: i64,
    row_version: i64,
    nonce: Vec<u8>,
    body: Vec<u8>,
}

impl Vault {
    /// Seals a value under (table, column, row), in place of what was there. It is on disk when this returns.
    ///
    /// Fails with `TooLong` above 64 KiB; an empty value is a value.
    pub fn seal(&self, store: &Store, table: &str, column: &str, row_id: &[u8; 16], plaintext: &Secret) -> Result<(), VaultError> {
        self.change(store, |tx| self.seal_in(tx, table, column, row_id, plaintext))
    }

    /// The same as part of a larger [`change`](Self::change), for instance together with the settings row the value belongs to.
    pub fn seal_in(
        &self,
        tx: &Transaction<'_>,
        table: &str,
        column: &str,
        row_id: &[u8; 16],
        plaintext: &Secret,
    ) -> Result<(), VaultError> {
        if plaintext.expose().len() > LONGEST {
            return Err(VaultError::TooLong { limit: LONGEST });
        }
        let before: Option<i64> = tx
            .prepare_cached("SELECT row_version FROM sealed WHERE table_name = ?1 AND column_name = ?2 AND row_id = ?3")?
            .query_row(params![table, column, row_id], |row| row.get(0))
            .optional()?;
        // Only a forged version is near the end of the numbers; starting again is safe since nonces are random.
        let row_version = before.and_then(|old| old.checked_add(1)).filter(|v| *v > 0).unwrap_or(1);
        let place = self.binding(table, column, row_id, &WHOLE_VAULT, row_version.cast_unsigned());
        let nonce: [u8; NONCE] = crypto::random()?;
        let key = self.record_key(&place)?;
        let body = crypto::seal(&key, &nonce, &place.bytes(), plaintext.expose())?;
        tx.prepare_cached(
            "INSERT OR REPLACE INTO sealed
             (table_name, column_name, row_id, scope_id, epoch, row_version, nonce, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![table, column, row_id, WHOLE_VAULT, self.epoch, row_version, nonce, body])?;
        Ok(())
    }

    /// Opens the value of (table, column, row).
    ///
    /// `NotSet` if there is none, `Tampered` if it or anything in its row was changed, `Corrupt` if the row has a shape
    /// that is never written. There is no default and no partial value.
    pub fn open(&self, store: &Store, table: &str, column: &str, row_id: &[u8; 16]) -> Result<Secret, VaultError> {
        self.open_in(&store.conn, table, column, row_id)
    }

    /// The same inside a transaction or a [`Store::read`].
    pub fn open_in(&self, conn: &Connection, table: &str, column: &str, row_id: &[u8; 16]) -> Result<Secret, VaultError> {
        let row = conn
            .prepare_cached(
                "SELECT scope_id, epoch, row_version, nonce, body FROM sealed
                 WHERE table_name = ?1 AND column_name = ?2 AND row_id = ?3",
            )?
            .query_row(params![table, column, row_id], |row| {
                Ok(Row { scope_id: row.get(0)?, epoch: row.get(1)?, row_version: row.get(2)?, nonce: row.get(3)?, body: row.get(4)? })
            })
            .optional()?;
        let what = || format!("{table}.{column}");
        let Some(row) = row else {
            return Err(VaultError::NotSet { what: what() });
        };
        self.open_row(table, column, row_id, &row, what)
    }

    /// Forgets the value of (table, column, row), as part of a [`change`](Self::change); says whether there was one.
    pub fn remove_in(&self, tx: &Transaction<'_>, table: &str, column: &str, row_id: &[u8; 16]) -> Result<bool, VaultError> {
        let gone =
            tx.execute("DELETE FROM sealed WHERE table_name = ?1 AND column_name = ?2 AND row_id = ?3", params![table, column, row_id])?;
        Ok(gone > 0)
    }

    /// Opens every record and checks every slot and tagged row; for the doctor, before rotation and after a restore.
    /// Opened values are wiped at once.
    pub fn verify_all(&self, store: &Store) -> Result<Verified, VaultError> {
        self.verify_in(&store.conn)
    }

    /// The same inside a transaction.
    pub(super) fn verify_in(&self, conn: &Connection) -> Result<Verified, VaultError> {
        let mut found = self.verify_tags(conn)?;
        for (table, column, row_id) in names(conn)? {
            let short: [u8; 16] = std::array::from_fn(|at| row_id.get(at).copied().unwrap_or(0));
            let opened = if row_id.len() == 16 {
                self.open_in(conn, &table, &column, &short)
            } else {
                Err(VaultError::Corrupt { what: format!("{table}.{column}") })
            };
            match opened {
                Ok(_) => found.opened += 1,
                Err(error @ VaultError::Store(_)) => return Err(error),
                Err(error) => found.failed.push((RecordName { table, column, row_id: short }, error)),
            }
        }
        Ok(found)
    }

    /// Checks the slots and the rows in the open.
    pub(super) fn verify_tags(&self, conn: &Connection) -> Result<Verified, VaultError> {
        let mut found = Verified::default();
        for slot in super::slot::all(conn)? {
            let checked = slot.check_undamaged();
            if let Err(error) = checked.and_then(|()| slot.check_mac(self.owner(), &self.vault_key)) {
                found.bad_slots.push(error);
            }
        }
        for table in TABLES {
            let bad = self.check_rows(conn, table)?;
            found.bad_rows.extend(bad.into_iter().map(|rowid| VaultError::Tampered { what: format!("{table} {rowid}") }));
        }
        Ok(found)
    }

    fn open_row(&self, table: &str, column: &str, row_id: &[u8; 16], row: &Row, what: impl Fn() -> String) -> Result<Secret, VaultError> {
        let corrupt = |_| VaultError::Corrupt { what: what() };
        let nonce: [u8; NONCE] = row.nonce.as_slice().try_into().map_err(corrupt)?;
        let scope_id: [u8; 16] = row.scope_id.as_slice().try_into().map_err(corrupt)?;
        if row.body.len() < TAG {
            return Err(VaultError::Corrupt { what: what() });
        }
        // The epoch in the row is compared, not used: a key is never chosen by what an attacker may write.
        if row.epoch != i64::from(self.epoch) {
            return Err(VaultError::Tampered { what: what() });
        }
        let place = self.binding(table, column, row_id, &scope_id, row.row_version.cast_unsigned());
        let key = self.record_key(&place)?;
        crypto::open(&key, &nonce, &place.bytes(), &row.body).ok_or_else(|| VaultError::Tampered { what: what() })
    }

    fn binding<'a>(
        &'a self,
        table: &'a str,
        column: &'a str,
        row_id: &'a [u8; 16],
        scope_id: &'a [u8; 16],
        row_version: u64,
    ) -> Binding<'a> {
        Binding { purpose: Purpose::Record, vault_id: &self.vault_id, table, column, row_id, scope_id, epoch: self.epoch, row_version }
    }

    /// `HKDF(HKDF(vault key, "scope", scope, epoch), "rec", table, column, row, version)`. A scope with a random key of
    /// its own will take the place of the inner step.
    fn record_key(&self, place: &Binding<'_>) -> Result<Key, VaultError> {
        let epoch = place.epoch.to_be_bytes();
        let scope = crypto::derive(&self.vault_key, &self.vault_id, "scope", &[place.scope_id, &epoch])?;
        let version = place.row_version.to_be_bytes();
        let record = [place.table.as_bytes(), place.column.as_bytes(), place.row_id, &version];
        Ok(crypto::derive(&scope, &self.vault_id, "rec", &record)?)
    }
}

pub(super) fn names(conn: &Connection) -> Result<Vec<(String, String, Vec<u8>)>, VaultError> {
    let mut query = conn.prepare("SELECT table_name, column_name, row_id FROM sealed ORDER BY table_name, column_name, row_id")?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What was written is not what is read back.
pub(super) fn incomplete() -> VaultError {
    VaultError::Corrupt { what: "what was just written".to_owned() }
}
