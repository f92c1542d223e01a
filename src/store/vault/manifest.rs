//! The manifest: how often the vault was changed, and a tag over the sorted list of everything it answers for: sealed
//! records, slots, tagged rows. A row that was put back whole, swapped or taken away keeps a right tag of its own and
//! is told here; a whole database that was put back is told by the [`anchor`].

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::anchor::{self, Anchor, Found};
use super::tagged::{TABLES, push, push_value};
use super::{Meta, Vault, VaultError};
use crate::store::{Store, crypto};

/// The row of the manifest.
struct Manifest {
    generation: u64,
    audit_head: Option<[u8; 32]>,
    mac: Vec<u8>,
}

impl Vault {
    /// One change of what the vault answers for: one transaction, and it is on disk when this returns.
    ///
    /// Rows of tagged tables that `f` writes must be signed in it with [`sign_row`](Self::sign_row). What was changed behind
    /// the vault's back is told before `f` runs, so no change vouches for it. Fails with `Tampered`, `OlderThanAnchor` or
    /// `OtherKey`, or with the error of `f`; then nothing was changed.
    pub fn change<T>(&self, store: &Store, f: impl FnOnce(&Transaction<'_>) -> Result<T, VaultError>) -> Result<T, VaultError> {
        let (value, anchor) = store.write_txn_as(|tx| {
            let generation = self.check_in(tx, &anchor::read(store))?;
            let value = f(tx)?;
            Ok::<_, VaultError>((value, self.sign_list(tx, generation + 1)?))
        })?;
        raise(store, &anchor);
        Ok(value)
    }

    /// Checks the manifest and the anchor; cheap enough to do before every privileged action (milliseconds for 10,000
    /// records). `Tampered`, `OlderThanAnchor`, or `OtherKey` where another console changed the vault key.
    pub fn check(&self, store: &Store) -> Result<(), VaultError> {
        // The anchor first: it never is ahead of a database that is read after it.
        let anchor = anchor::read(store);
        self.check_in(&store.conn, &anchor).map(drop)
    }

    /// What is to be said about the anchor, where it does not vouch for this vault; no reason to stop.
    pub fn anchor_note(&self, store: &Store) -> Result<Option<String>, VaultError> {
        let found = anchor::read(store);
        let generation = Manifest::load(&store.conn)?.map_or(0, |m| m.generation);
        Ok(match found {
            Found::NoPlace => None,
            Found::Missing => Some("the anchor is missing; whether an older store was put back cannot be told".to_owned()),
            Found::Unreadable(why) => Some(format!("the anchor cannot be read: {why}")),
            Found::Anchor(anchor) if anchor.vault_id != self.vault_id => Some("the anchor is that of another vault".to_owned()),
            Found::Anchor(anchor) if anchor.generation + 1 < generation => {
                let behind = generation - anchor.generation;
                Some(format!("the anchor is {behind} changes behind; it was put back or could not be written"))
            }
            Found::Anchor(_) => None,
        })
    }

    /// Vouches for the store as it is now, after the operator said that he put it back himself. Everything in it must open.
    ///
    /// Gives the generation from which it goes on. Fails with the first thing that does not open; then nothing was changed.
    pub fn accept(&self, store: &Store) -> Result<u64, VaultError> {
        let anchor = store.write_txn_as(|tx| {
            self.verify_in(tx)?.into_result()?;
            let anchored = match anchor::read(store) {
                Found::Anchor(anchor) if anchor.vault_id == self.vault_id => anchor.generation,
                _ => 0,
            };
            let found = Manifest::load(tx)?.map_or(0, |m| m.generation);
            self.sign_list(tx, found.max(anchored) + 1)
        })?;
        raise(store, &anchor);
        Ok(anchor.generation)
    }

    /// Notes the newest link of the audit log, as part of a [`change`](Self::change): manifest and anchor vouch for it.
    pub fn note_audit_head(&self, tx: &Transaction<'_>, head: &[u8; 32]) -> Result<(), VaultError> {
        tx.execute("UPDATE manifest SET audit_head = ?1", [head])?;
        Ok(())
    }

    /// The newest link of the audit log that manifest and vault key vouch for, if one was ever noted.
    pub fn audit_head(&self, store: &Store) -> Result<Option<[u8; 32]>, VaultError> {
        self.check(store)?;
        Ok(Manifest::load(&store.conn)?.and_then(|m| m.audit_head))
    }

    /// Checks list and anchor; gives the generation.
    pub(super) fn check_in(&self, conn: &Connection, anchor: &Found) -> Result<u64, VaultError> {
        // An open cursor keeps the read lock, so that all statements see one state.
        let mut lock = conn.prepare("SELECT 1 FROM sqlite_schema")?;
        let mut held = lock.query([])?;
        held.next()?;
        let meta = Meta::load(conn)?.ok_or(VaultError::NoVault)?;
        if meta.vault_id != self.vault_id || meta.epoch != self.epoch {
            return Err(VaultError::OtherKey);
        }
        let tampered = || VaultError::Tampered { what: "the list of what the vault holds".to_owned() };
        let manifest = Manifest::load(conn)?.ok_or_else(tampered)?;
        if !crypto::equal(&manifest.mac, &self.list_mac(conn, &manifest)?) {
            return Err(tampered());
        }
        match anchor {
            Found::Anchor(Anchor { vault_id, generation, .. }) if *vault_id == self.vault_id && *generation > manifest.generation => {
                Err(VaultError::OlderThanAnchor { found: manifest.generation, anchored: *generation })
            }
            _ => Ok(manifest.generation),
        }
    }

    /// Writes the manifest for the rows as they are now; gives the anchor to raise after the commit.
    pub(super) fn sign_list(&self, tx: &Transaction<'_>, generation: u64) -> Result<Anchor, VaultError> {
        let audit_head = Manifest::load(tx)?.and_then(|m| m.audit_head);
        let mut manifest = Manifest { generation, audit_head, mac: Vec::new() };
        manifest.mac = self.list_mac(tx, &manifest)?.to_vec();
        tx.execute(
            "INSERT OR REPLACE INTO manifest (only, generation, audit_head, mac) VALUES (1, ?1, ?2, ?3)",
            params![manifest.generation.cast_signed(), manifest.audit_head, manifest.mac],
        )?;
        Ok(Anchor { vault_id: self.vault_id, generation, audit_head })
    }

    fn list_mac(&self, conn: &Connection, manifest: &Manifest) -> Result<[u8; 32], VaultError> {
        let head = manifest.audit_head.as_ref().map_or(&[][..], |head| &head[..]);
        let list = crypto::sum(&[&list(conn)?])?;
        let context = [&manifest.generation.to_be_bytes()[..], &self.epoch.to_be_bytes(), head, &list];
        Ok(*crypto::derive(&self.vault_key, &self.vault_id, "manifest", &context)?.bytes())
    }
}

/// Raises the anchor after a commit. The change stands whatever happens here: an anchor that could not be written is
/// behind, which [`Vault::anchor_note`] says and the next change mends.
pub(super) fn raise(store: &Store, anchor: &Anchor) {
    drop(anchor::raise(store, anchor));
}

/// Which rows there are, each with its version and its tag; their content is what the tags are for.
fn list(conn: &Connection) -> Result<Vec<u8>, VaultError> {
    const SECTION: u8 = 6;
    let mut out = Vec::new();
    let mut section = |name: &str, sql: &str| -> Result<(), VaultError> {
        let mut query = conn.prepare_cached(sql)?;
        let width = query.column_count();
        let mut rows = query.query([])?;
        let mut first = true;
        while let Some(row) = rows.next()? {
            // A table without rows leaves no trace, so that one more table does not undo the tag of an older vault.
            if std::mem::take(&mut first) {
                push(&mut out, SECTION, name.as_bytes());
            }
            for at in 0..width {
                push_value(&mut out, row.get_ref(at)?);
            }
        }
        Ok(())
    };
    section("vault_meta", "SELECT only, mac FROM vault_meta ORDER BY only")?;
    section("slot", "SELECT id, row_version, mac FROM slot ORDER BY id")?;
    section(
        "sealed",
        "SELECT table_name, column_name, row_id, scope_id, epoch, row_version, nonce, substr(body, -16) FROM sealed
         ORDER BY table_name, column_name, row_id",
    )?;
    for table in TABLES {
        section(table, &format!("SELECT rowid, mac FROM {table} ORDER BY rowid"))?;
    }
    Ok(out)
}

impl Manifest {
    fn load(conn: &Connection) -> Result<Option<Self>, VaultError> {
        let damaged = || VaultError::Corrupt { what: "the manifest".to_owned() };
        let row = conn
            .query_row("SELECT generation, audit_head, mac FROM manifest", [], |row| {
                let head = match row.get_ref(1)? {
                    ValueRef::Null => None,
                    other => Some(other.as_blob().map(<[u8]>::to_vec).unwrap_or_default()),
                };
                Ok((row.get::<_, i64>(0)?, head, row.get::<_, Vec<u8>>(2)?))
            })
            .optional()?;
        let Some((generation, head, mac)) = row else { return Ok(None) };
        let generation = u64::try_from(generation).map_err(|_| damaged())?;
        let audit_head = head.map(|head| head.try_into().map_err(|_| damaged())).transpose()?;
        Ok(Some(Self { generation, audit_head, mac }))
    }
}
