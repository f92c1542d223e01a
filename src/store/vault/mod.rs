//! The vault: a random key that seals the secrets, and slots that hand it out to those who may have it.
//!
//! ```text
//! passphrase ─┐
//!   host key ─┴─ Argon2id ─┐
//! recovery words ──────────┼─ private key of the slot ─ vault key ─┬─ record keys ─ sealed values      (record.rs)
//! host slot's file ────────┘                            (slot.rs)  ├─ tags over slots, vault_meta, rows (tagged.rs)
//!                                                                  └─ tag over the list of all of them (manifest.rs)
//! ```
//!
//! A closed vault has no type: whoever holds a [`Vault`] has proven a passphrase, the words or the host slot. It keeps no
//! store, so reads and writes name the store or transaction they belong to. Dropping it wipes the keys.
//!
//! `operators.rs` adds and removes ways in, `rotate.rs` changes the vault key, `anchor.rs` remembers beside the database
//! how far it had come. Not in it yet: scope keys, which limit an operator to single apps.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

mod anchor;
mod binding;
mod error;
mod export;
mod host_key;
mod manifest;
mod operators;
mod record;
mod roles;
mod rotate;
mod second;
mod slot;
mod tagged;

pub use error::VaultError;
pub use export::Contents;
pub(super) use host_key::make_host_key;
pub use host_key::{host_key_path, host_slot_path};
pub use operators::{NewOperator, Operator};
pub use record::{RecordName, Verified};
pub use roles::{OperatorChange, set_role};
pub use second::SecondFactor;

use super::crypto::{self, Key};
use super::{Cost, RecoveryWords, Secret, Store};
use crate::domain::access::Role;
use slot::Kind;

/// The open vault.
pub struct Vault {
    vault_id: [u8; 16],
    epoch: u32,
    vault_key: Key,
    /// The slot it was opened with and its private key, which opens the next vault key.
    own: Option<(Vec<u8>, Key)>,
}

/// A way into the vault.
pub enum Way<'a> {
    /// An operator's passphrase together with the host key.
    Passphrase {
        /// The host key's file, usually [`host_key_path`].
        host_key: &'a Path,
        /// Whose passphrase it is.
        operator: &'a str,
        /// As typed.
        passphrase: &'a Secret,
        /// MemAvailable of the host in bytes.
        memory_available: u64,
    },
    /// The recovery words as typed.
    Words(&'a Secret),
    /// The file of the host slot, usually [`host_slot_path`].
    HostSlot(&'a Path),
}

/// The row that says which vault this is.
struct Meta {
    vault_id: [u8; 16],
    created_ms: i64,
    epoch: u32,
    mac: Vec<u8>,
}

impl Vault {
    /// Says whether the store holds a vault. It may still be damaged; unlocking tells.
    pub fn exists(store: &Store) -> Result<bool, VaultError> {
        let any = store.read(|conn| {
            let sql = "SELECT EXISTS (SELECT 1 FROM vault_meta) OR EXISTS (SELECT 1 FROM slot)";
            conn.query_row(sql, [], |row| row.get(0))
        })?;
        Ok(any)
    }

    /// Makes the vault of a store, with the slot of its first operator and the recovery slot, in one transaction.
    ///
    /// Takes as long as one unlock. The words are not stored anywhere; show them once. Fails with `Exists`, `BadName`,
    /// `WeakPassphrase`, `WeakCost` or `CostTooHigh` before anything is written, even the host key.
    pub fn create(store: &Store, new: &NewOperator<'_>) -> Result<(Self, RecoveryWords), VaultError> {
        new.check()?;
        if Self::exists(store)? {
            return Err(VaultError::Exists);
        }
        let vault = Self { vault_id: crypto::random()?, epoch: 1, vault_key: Key::random()?, own: None };
        host_key::read_or_make(new.host_key)?;
        let recovery = Key::random()?;
        let words = RecoveryWords::of(&recovery)?;
        // Before the transaction: the slow step must not keep other processes from writing.
        let slots = [vault.slot_for(new)?, slot::for_key(vault.owner(), &vault.vault_key, Kind::Recovery, &recovery)?];
        let anchor = store.write_txn_as(|tx| {
            if Meta::load(tx)?.is_some() {
                return Err(VaultError::Exists);
            }
            vault.write_meta(tx, new.now_ms)?;
            vault.insert_operator(tx, new, |tx, row| roles::set_role(tx, row, Role::Admin))?;
            slots.iter().try_for_each(|slot| slot.write(tx))?;
            vault.sign_list(tx, 1)
        })?;
        manifest::raise(store, &anchor);
        Ok((vault, words))
    }

    /// The vault of the demo: its key is in no slot, so it ends with the program, as the store in memory does.
    ///
    /// Fails with `Exists` for a store on disk, whose rows it would sign with a key that nobody has afterwards.
    pub fn of_demo(store: &Store) -> Result<Self, VaultError> {
        if store.path().is_some() {
            return Err(VaultError::Exists);
        }
        let vault = Self { vault_id: crypto::random()?, epoch: 1, vault_key: Key::random()?, own: None };
        store.write_txn_as(|tx| {
            vault.write_meta(tx, 0)?;
            vault.sign_list(tx, 1).map(drop)
        })?;
        Ok(vault)
    }

    /// Writes the row that says which vault this is.
    fn write_meta(&self, tx: &Transaction<'_>, created_ms: i64) -> Result<(), VaultError> {
        let mut meta = Meta { vault_id: self.vault_id, created_ms, epoch: self.epoch, mac: Vec::new() };
        meta.mac = meta.expected_mac(&self.vault_key)?.to_vec();
        tx.execute(
            "INSERT INTO vault_meta (only, vault_id, created_ms, epoch, mac) VALUES (1, ?1, ?2, ?3, ?4)",
            params![meta.vault_id, meta.created_ms, meta.epoch, meta.mac],
        )?;
        Ok(())
    }

    /// Opens the vault with an operator's passphrase. Takes about as long as [`calibrate`](super::calibrate) aimed at.
    ///
    /// `memory_available` is MemAvailable in bytes; where the slot needs more than four fifths of it the answer is
    /// `CostTooHigh`, and the recovery words, which need no memory, still open. Damage and a missing host key are told
    /// before the passphrase is tried: `WrongPassphrase` means that all else is in order. Last of all the manifest and the
    /// anchor are checked: `Tampered` or `OlderThanAnchor`.
    pub fn unlock(store: &Store, host_key: &Path, operator: &str, passphrase: &Secret, memory_available: u64) -> Result<Self, VaultError> {
        Self::enter(store, &Way::Passphrase { host_key, operator, passphrase, memory_available })
    }

    /// Opens the vault with the recovery words as typed. Needs neither the host key nor memory.
    pub fn unlock_with_words(store: &Store, typed: &Secret) -> Result<Self, VaultError> {
        Self::enter(store, &Way::Words(typed))
    }

    /// Opens the vault one way or another, and checks manifest and anchor.
    pub fn enter(store: &Store, way: &Way<'_>) -> Result<Self, VaultError> {
        let vault = Self::enter_unchecked(store, way)?;
        vault.check(store)?;
        Ok(vault)
    }

    /// The same without the last check: to look at what is wrong and to [`accept`](Self::accept) it. Nothing can be changed
    /// with it before that, and what it opens may be old.
    pub fn enter_unchecked(store: &Store, way: &Way<'_>) -> Result<Self, VaultError> {
        let meta = Meta::load(&store.conn)?.ok_or(VaultError::NoVault)?;
        let slots = slot::all(&store.conn)?;
        let opened = match *way {
            Way::Passphrase { host_key, operator, passphrase, memory_available } => {
                slot::of_operator(slots, operator)?.open_with_passphrase(meta.owner(), passphrase, host_key, memory_available)?
            }
            Way::Words(typed) => {
                let lost = || VaultError::Tampered { what: "the recovery slot".to_owned() };
                slot::of_kind(slots, Kind::Recovery)?.ok_or_else(lost)?.open_with_words(meta.owner(), typed)?
            }
            Way::HostSlot(file) => {
                let none = || VaultError::NotSet { what: "the host slot".to_owned() };
                slot::of_kind(slots, Kind::Host)?.ok_or_else(none)?.open_with_host_file(meta.owner(), file)?
            }
        };
        let mut vault = Self::opened(meta, opened.vault_key)?;
        vault.own = Some((opened.slot_id, opened.private));
        Ok(vault)
    }

    /// Takes over the vault key as it is now, after `OtherKey`: the private key of the slot that this vault was opened with
    /// opens it. Fails with `OtherKey` where that slot is gone, and like [`check`](Self::check).
    pub fn renew(&mut self, store: &Store) -> Result<(), VaultError> {
        let (slot_id, private) = self.own.as_ref().ok_or(VaultError::OtherKey)?;
        let meta = Meta::load(&store.conn)?.ok_or(VaultError::NoVault)?;
        let slot = slot::all(&store.conn)?.into_iter().find(|slot| slot.id() == slot_id).ok_or(VaultError::OtherKey)?;
        slot.check_undamaged()?;
        let vault_key = slot.open_with_private(meta.owner(), private)?;
        let mut renewed = Self::opened(meta, vault_key)?;
        renewed.check(store)?;
        renewed.own = self.own.take();
        *self = renewed;
        Ok(())
    }

    /// Looks for damage that can be seen without any key, so that it is told before a passphrase is asked for.
    ///
    /// `NoVault`, `Tampered` or `Corrupt`. A tampered slot whose sum was made to fit passes here and fails at unlock.
    pub fn check_slots(store: &Store) -> Result<(), VaultError> {
        Meta::load(&store.conn)?.ok_or(VaultError::NoVault)?;
        slot::all(&store.conn)?.iter().try_for_each(slot::Slot::check_undamaged)
    }

    fn opened(meta: Meta, vault_key: Key) -> Result<Self, VaultError> {
        if !crypto::equal(&meta.mac, &meta.expected_mac(&vault_key)?) {
            return Err(VaultError::Tampered { what: "the vault's own row".to_owned() });
        }
        Ok(Self { vault_id: meta.vault_id, epoch: meta.epoch, vault_key, own: None })
    }

    fn owner(&self) -> slot::Owner<'_> {
        slot::Owner { vault_id: &self.vault_id, epoch: self.epoch }
    }
}

impl Meta {
    fn load(conn: &Connection) -> Result<Option<Self>, VaultError> {
        let row: Option<(Vec<u8>, i64, i64, Vec<u8>)> = conn
            .query_row("SELECT vault_id, created_ms, epoch, mac FROM vault_meta", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((vault_id, created_ms, epoch, mac)) = row else {
            // Slots without the row they hang on: somebody took it away.
            let slots: i64 = conn.query_row("SELECT count(*) FROM slot", [], |row| row.get(0))?;
            return if slots == 0 { Ok(None) } else { Err(damaged()) };
        };
        let vault_id = vault_id.try_into().map_err(|_| damaged())?;
        let epoch = u32::try_from(epoch).map_err(|_| damaged())?;
        Ok(Some(Self { vault_id, created_ms, epoch, mac }))
    }

    fn owner(&self) -> slot::Owner<'_> {
        slot::Owner { vault_id: &self.vault_id, epoch: self.epoch }
    }

    fn expected_mac(&self, vault_key: &Key) -> Result<[u8; 32], VaultError> {
        let (created, epoch) = (self.created_ms.to_be_bytes(), self.epoch.to_be_bytes());
        Ok(*crypto::derive(vault_key, &self.vault_id, "meta", &[&created, &epoch])?.bytes())
    }
}

fn damaged() -> VaultError {
    VaultError::Corrupt { what: "the vault's own row".to_owned() }
}

/// Does the work of one unlock for nothing, to measure it.
pub(super) fn rehearse(cost: Cost) -> Result<(), VaultError> {
    let nothing = Secret::new(Vec::new());
    crypto::argon2id(&nothing, &[0; 16], cost, None, b"rehearsal")?;
    Ok(())
}
