//! Who may come in: operators with a slot each, the recovery words, the host. All of them get the same vault key; what
//! an operator may do with it is not decided here.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::slot::{self, Kind, Slot};
use super::{Vault, VaultError, Way, host_key, roles};
use crate::domain::access::Role;
use crate::store::crypto::{self, Key};
use crate::store::{Cost, RecoveryWords, Secret, Store, passphrase};

/// What an operator's way in is made from; the first operator's makes the vault.
pub struct NewOperator<'a> {
    /// The host key's file, usually [`host_key_path`](super::host_key_path); made with the vault if it is not there.
    pub host_key: &'a Path,
    /// His name, 1 to 64 bytes.
    pub operator: &'a str,
    /// His passphrase; see [`check_passphrase`](crate::store::check_passphrase).
    pub passphrase: &'a Secret,
    /// What one guess shall cost, usually from [`calibrate`](crate::store::calibrate).
    pub cost: Cost,
    /// MemAvailable of the host in bytes.
    pub memory_available: u64,
    /// Now, in milliseconds since 1970, UTC.
    pub now_ms: i64,
}

/// An operator as the vault knows him.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// His identifier; names may be given again.
    pub id: [u8; 16],
    /// The number of his row, for [`Vault::sign_row`].
    pub rowid: i64,
    /// His name.
    pub name: String,
    /// Since when, in milliseconds since 1970, UTC.
    pub created_ms: i64,
}

impl NewOperator<'_> {
    /// `BadName`, `WeakPassphrase`, `WeakCost` or `CostTooHigh`.
    pub(super) fn check(&self) -> Result<(), VaultError> {
        let name = self.operator;
        let fits = (1..=64).contains(&name.len());
        if !fits || name.trim() != name || name.chars().any(char::is_control) {
            return Err(VaultError::BadName);
        }
        passphrase::check(self.passphrase, name)?;
        self.cost.check_new(self.memory_available)
    }
}

impl Vault {
    /// The operators, oldest first. `Tampered` where a row is not as it was signed, or rows and slots are not the same people.
    pub fn operators(&self, conn: &Connection) -> Result<Vec<Operator>, VaultError> {
        let mut query = conn.prepare("SELECT rowid, id, name, created_ms FROM operator ORDER BY created_ms, name")?;
        let read =
            |row: &rusqlite::Row<'_>| Ok(Operator { rowid: row.get(0)?, id: row.get(1)?, name: row.get(2)?, created_ms: row.get(3)? });
        let all: Vec<Operator> = query.query_map([], read)?.collect::<Result<_, _>>()?;
        for one in &all {
            self.check_row(conn, "operator", one.rowid)?;
        }
        let mut with_slot = BTreeSet::new();
        for slot in slot::all(conn)? {
            slot.check_mac(self.owner(), &self.vault_key)?;
            with_slot.extend(slot.operator().map(str::to_owned));
        }
        if with_slot != all.iter().map(|one| one.name.clone()).collect() {
            return Err(VaultError::Tampered { what: "the list of operators".to_owned() });
        }
        Ok(all)
    }

    /// Lets a new operator in; takes as long as one unlock. `row` may set further columns of his row in the table `operator`,
    /// whose number it gets, before that is signed. Gives his identifier.
    ///
    /// Fails with `OperatorExists`, `BadName`, `WeakPassphrase`, `WeakCost`, `CostTooHigh`, or like [`change`](Self::change).
    pub fn add_operator(
        &self,
        store: &Store,
        new: &NewOperator<'_>,
        row: impl FnOnce(&Transaction<'_>, i64) -> Result<(), VaultError>,
    ) -> Result<[u8; 16], VaultError> {
        new.check()?;
        let slot = self.slot_for(new)?;
        self.change(store, |tx| {
            if operator_row(tx, new.operator)?.is_some() {
                return Err(VaultError::OperatorExists { name: new.operator.to_owned() });
            }
            slot.write(tx)?;
            self.insert_operator(tx, new, row)
        })
    }

    /// Takes an operator's way in and changes the vault key, so that an old copy of his slot opens nothing new. What he
    /// could read before he may still know: those secrets are to be changed where they are valid.
    ///
    /// Fails with `UnknownOperator`, `LastOperator`, or like [`rotate`](Self::rotate).
    pub fn remove_operator(&mut self, store: &Store, name: &str) -> Result<(), VaultError> {
        self.rotate_after(store, |vault, tx| {
            let rowid = operator_row(tx, name)?.ok_or_else(|| VaultError::UnknownOperator { name: name.to_owned() })?;
            if vault.operators(tx)?.len() == 1 {
                return Err(VaultError::LastOperator { name: name.to_owned() });
            }
            vault.forget_second(tx, &vault.account(tx, name)?)?;
            tx.execute("DELETE FROM slot WHERE kind = ?1 AND operator = ?2", params![Kind::Operator.word(), name])?;
            tx.execute("DELETE FROM operator WHERE rowid = ?1", [rowid])?;
            roles::keep_an_admin(tx)
        })
        .map(drop)
    }

    /// Gives an operator another passphrase after checking the old one; takes as long as two unlocks. `WrongPassphrase`, or
    /// like [`set_passphrase`](Self::set_passphrase).
    pub fn change_passphrase(&self, store: &Store, old: &Secret, new: &NewOperator<'_>) -> Result<(), VaultError> {
        let NewOperator { host_key, operator, memory_available, .. } = *new;
        new.check()?;
        drop(Self::enter(store, &Way::Passphrase { host_key, operator, passphrase: old, memory_available })?);
        self.set_passphrase(store, new)
    }

    /// Gives an operator another passphrase whatever the old one was, with a new key pair. An old copy of the store still
    /// opens with the old passphrase. `UnknownOperator`, or like [`add_operator`](Self::add_operator).
    pub fn set_passphrase(&self, store: &Store, new: &NewOperator<'_>) -> Result<(), VaultError> {
        new.check()?;
        let slot = self.slot_for(new)?;
        self.change(store, |tx| {
            operator_row(tx, new.operator)?.ok_or_else(|| VaultError::UnknownOperator { name: new.operator.to_owned() })?;
            tx.execute("DELETE FROM slot WHERE kind = ?1 AND operator = ?2", params![Kind::Operator.word(), new.operator])?;
            slot.write(tx)
        })
    }

    /// Puts new recovery words in the place of the old ones, which from then on open nothing but old copies. Show them, and have
    /// them typed back, before.
    pub fn set_words(&self, store: &Store, words: &RecoveryWords) -> Result<(), VaultError> {
        self.put_slot(store, Kind::Recovery, Some(&words.key()?))
    }

    /// Lets the host itself in with the key in `file`, which is made (mode 0400), for work that nobody is there for.
    ///
    /// From then on whoever has the disk has the vault; passphrases no longer matter to him.
    pub fn add_host_slot(&self, store: &Store, file: &Path) -> Result<(), VaultError> {
        let key = host_key::read_or_make(file)?;
        self.put_slot(store, Kind::Host, Some(&key))
    }

    /// Takes the host's own way in again. The file is left to the caller to remove.
    pub fn remove_host_slot(&self, store: &Store) -> Result<(), VaultError> {
        self.put_slot(store, Kind::Host, None)
    }

    /// Whether there is a host slot.
    pub fn has_host_slot(store: &Store) -> Result<bool, VaultError> {
        Ok(slot::of_kind(slot::all(&store.conn)?, Kind::Host)?.is_some())
    }

    fn put_slot(&self, store: &Store, kind: Kind, key: Option<&Key>) -> Result<(), VaultError> {
        let slot = key.map(|key| slot::for_key(self.owner(), &self.vault_key, kind, key)).transpose()?;
        self.change(store, |tx| {
            tx.execute("DELETE FROM slot WHERE kind = ?1", [kind.word()])?;
            slot.map_or(Ok(()), |slot| slot.write(tx))
        })
    }

    /// The slow step: an operator's slot.
    pub(super) fn slot_for(&self, new: &NewOperator<'_>) -> Result<Slot, VaultError> {
        let host_key = host_key::read(new.host_key)?;
        slot::for_operator(self.owner(), &self.vault_key, new.operator, new.passphrase, new.cost, &host_key)
    }

    /// Writes and signs an operator's row.
    pub(super) fn insert_operator(
        &self,
        tx: &Transaction<'_>,
        new: &NewOperator<'_>,
        row: impl FnOnce(&Transaction<'_>, i64) -> Result<(), VaultError>,
    ) -> Result<[u8; 16], VaultError> {
        let id: [u8; 16] = crypto::random()?;
        tx.execute("INSERT INTO operator (id, name, created_ms) VALUES (?1, ?2, ?3)", params![id, new.operator, new.now_ms])?;
        let rowid = tx.last_insert_rowid();
        // Whatever is not said: the least of them.
        roles::set_role(tx, rowid, Role::Viewer)?;
        row(tx, rowid)?;
        self.sign_row(tx, "operator", rowid)?;
        Ok(id)
    }
}

fn operator_row(tx: &Transaction<'_>, name: &str) -> Result<Option<i64>, VaultError> {
    Ok(tx.query_row("SELECT rowid FROM operator WHERE name = ?1", [name], |row| row.get(0)).optional()?)
}
