//! Another vault key, in one transaction: everything is opened with the old key and sealed with the new one, read back and
//! opened with the new one, and only then committed. A crash leaves the old state or the new one.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};
use zeroize::Zeroizing;

use super::anchor;
use super::record::{self, names};
use super::slot;
use super::tagged::TABLES;
use super::{Meta, Vault, VaultError, manifest};
use crate::store::Store;
use crate::store::crypto::{self, Key};

impl Vault {
    /// Changes the vault key. This vault goes on with the new one; others [`renew`](Self::renew).
    ///
    /// Gives how many records were sealed anew. Fails like [`change`](Self::change), and with `Tampered` or `Corrupt` where a
    /// record, slot or row does not open under the old key; then nothing was changed.
    pub fn rotate(&mut self, store: &Store) -> Result<usize, VaultError> {
        self.rotate_after(store, |_, _| Ok(()))
    }

    /// The same after a change in the same transaction, made under the old key.
    pub(super) fn rotate_after(
        &mut self,
        store: &Store,
        f: impl FnOnce(&Self, &Transaction<'_>) -> Result<(), VaultError>,
    ) -> Result<usize, VaultError> {
        let epoch = self.epoch.checked_add(1).ok_or(VaultError::Refused)?;
        let new = Self { vault_id: self.vault_id, epoch, vault_key: Key::random()?, own: None };
        let (count, anchor) = store.write_txn_as(|tx| {
            let generation = self.check_in(tx, &anchor::read(store))?;
            f(self, tx)?;
            let count = self.hand_over(tx, &new)?;
            let anchor = new.sign_list(tx, generation + 1)?;
            Ok::<_, VaultError>((count, anchor))
        })?;
        manifest::raise(store, &anchor);
        self.epoch = new.epoch;
        self.vault_key = Key::from_bytes(*new.vault_key.bytes());
        Ok(count)
    }

    /// Seals and signs everything with the key of `new`, and proves that it opens. The manifest is not signed yet.
    fn hand_over(&self, tx: &Transaction<'_>, new: &Self) -> Result<usize, VaultError> {
        // A slot or row that is not as it was signed must not get a right tag from us.
        for mut slot in slot::all(tx)? {
            slot.check_undamaged()?;
            slot.check_mac(self.owner(), &self.vault_key)?;
            slot.seal_to(new.owner(), &new.vault_key)?;
            slot.write(tx)?;
        }
        for table in TABLES {
            if let Some(rowid) = self.check_rows(tx, table)?.first() {
                return Err(VaultError::Tampered { what: format!("{table} {rowid}") });
            }
            new.sign_rows(tx, table)?;
        }
        let mut meta = Meta::load(tx)?.ok_or(VaultError::NoVault)?;
        meta.epoch = new.epoch;
        meta.mac = meta.expected_mac(&new.vault_key)?.to_vec();
        tx.execute("UPDATE vault_meta SET epoch = ?1, mac = ?2", params![meta.epoch, meta.mac])?;

        // What was in each record, told from anything else without keeping it: a sum under a key of this moment.
        let moment = Key::random()?;
        let told =
            |plain: &[u8]| -> Result<[u8; 32], VaultError> { Ok(*crypto::derive(&moment, &self.vault_id, "same", &[plain])?.bytes()) };
        let mut sums = BTreeMap::new();
        for (table, column, row_id) in names(tx)? {
            let row_id: [u8; 16] = row_id.try_into().map_err(|_| VaultError::Corrupt { what: format!("{table}.{column}") })?;
            let plain = self.open_in(tx, &table, &column, &row_id)?;
            new.seal_in(tx, &table, &column, &row_id, &plain)?;
            sums.insert((table, column, row_id), Zeroizing::new(told(plain.expose())?));
        }
        new.verify_tags(tx)?.into_result()?;
        if names(tx)?.len() != sums.len() {
            return Err(record::incomplete());
        }
        for ((table, column, row_id), sum) in &sums {
            let plain = new.open_in(tx, table, column, row_id)?;
            if !crypto::equal(&told(plain.expose())?, &**sum) {
                return Err(record::incomplete());
            }
        }
        Ok(sums.len())
    }
}
