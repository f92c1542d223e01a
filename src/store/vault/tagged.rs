//! Rows in the open that must not change unseen: operators, settings and their like. Their tables have a column `mac`,
//! a tag under the vault key over the table's name and every other column.
//!
//! A tag tells a changed row. A row that was taken away or put back whole is told by the manifest
//! (manifest.rs), so it lists these tags: a table with a tag chain of its own, such as the audit log, does not belong here.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{Vault, VaultError};
use crate::store::crypto;

/// What the tag of a row should be, and what it is.
type Tags = ([u8; 32], Vec<u8>);

/// The tables whose rows carry tags. Their names are the only ones that reach SQL.
pub(super) const TABLES: [&str; 9] =
    ["operator", "second_factor", "recovery_code", "setting", "setting_past", "pin", "port", "port_past", "service"];

impl Vault {
    /// Makes the tag of a row that was just written.
    pub fn sign_row(&self, tx: &Transaction<'_>, table: &'static str, rowid: i64) -> Result<(), VaultError> {
        let (tag, _) = self.tag_of(tx, table, rowid)?.ok_or_else(|| VaultError::NotSet { what: format!("{table} {rowid}") })?;
        tx.execute(&format!("UPDATE {} SET mac = ?1 WHERE rowid = ?2", known(table)?), params![tag, rowid])?;
        Ok(())
    }

    /// Makes the tags of all rows of a table. Check them under the old key before.
    pub(super) fn sign_rows(&self, tx: &Transaction<'_>, table: &'static str) -> Result<(), VaultError> {
        rowids(tx, table)?.into_iter().try_for_each(|rowid| self.sign_row(tx, table, rowid))
    }

    /// `NotSet` if there is no such row, `Tampered` if it is not as it was signed.
    pub fn check_row(&self, conn: &Connection, table: &'static str, rowid: i64) -> Result<(), VaultError> {
        let what = || format!("{table} {rowid}");
        let (tag, stored) = self.tag_of(conn, table, rowid)?.ok_or_else(|| VaultError::NotSet { what: what() })?;
        if crypto::equal(&tag, &stored) { Ok(()) } else { Err(VaultError::Tampered { what: what() }) }
    }

    /// Checks every row of a table; the numbers of those that are not as they were signed.
    pub fn check_rows(&self, conn: &Connection, table: &'static str) -> Result<Vec<i64>, VaultError> {
        let mut bad = Vec::new();
        for rowid in rowids(conn, table)? {
            match self.check_row(conn, table, rowid) {
                Ok(()) => {}
                Err(VaultError::Tampered { .. }) => bad.push(rowid),
                Err(other) => return Err(other),
            }
        }
        Ok(bad)
    }

    /// What the tag of a row should be, and what it is.
    fn tag_of(&self, conn: &Connection, table: &'static str, rowid: i64) -> Result<Option<Tags>, VaultError> {
        let read = |row: &Row<'_>| {
            let (mut bytes, mut mac) = (Vec::new(), Vec::new());
            for (at, name) in row.as_ref().column_names().enumerate() {
                let value = row.get_ref(at)?;
                if name == "mac" {
                    mac = value.as_blob_or_null().ok().flatten().unwrap_or_default().to_vec();
                } else if value != ValueRef::Null {
                    // A column without a value leaves no trace, so that one more column does not undo the tag of an older row.
                    push(&mut bytes, 0, name.as_bytes());
                    push_value(&mut bytes, value);
                }
            }
            Ok((bytes, mac))
        };
        let sql = format!("SELECT rowid AS number, * FROM {} WHERE rowid = ?1", known(table)?);
        let Some((bytes, mac)) = conn.prepare_cached(&sql)?.query_row([rowid], read).optional()? else { return Ok(None) };
        let key = crypto::derive(&self.vault_key, &self.vault_id, "row", &[table.as_bytes(), &self.epoch.to_be_bytes(), &bytes])?;
        Ok(Some((*key.bytes(), mac)))
    }
}

fn rowids(conn: &Connection, table: &'static str) -> Result<Vec<i64>, VaultError> {
    let sql = format!("SELECT rowid FROM {} ORDER BY rowid", known(table)?);
    Ok(conn.prepare(&sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Kind, length and bytes, so that no two rows look alike.
pub(super) fn push(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// A value of the database, of whatever kind.
pub(super) fn push_value(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => push(out, 1, &[]),
        ValueRef::Integer(number) => push(out, 2, &number.to_be_bytes()),
        ValueRef::Real(number) => push(out, 3, &number.to_be_bytes()),
        ValueRef::Text(text) => push(out, 4, text),
        ValueRef::Blob(blob) => push(out, 5, blob),
    }
}

/// A table's name as SQL may have it.
fn known(table: &'static str) -> Result<&'static str, VaultError> {
    if TABLES.contains(&table) { Ok(table) } else { Err(VaultError::Corrupt { what: format!("{table} has no tags") }) }
}
