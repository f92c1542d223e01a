//! The rows of settings and of their history. Read with the open vault, each row is compared with its tag; without it
//! rows are read and said to be unchecked. A row that does not fit its tag holds nothing: not its value, not the default.
//!
//! A secret is sealed under ('setting', key); the one before it stays sealed beside it, for one step back.

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, Transaction, params};

use super::{Secret, Store, StoreError, Vault, VaultError, crypto};
use crate::domain::settings::{Change, Fixed, Held, Key, Past, Row, SecretChange, Settings, Staged, Trouble, check};
use crate::domain::stamp::Stamp;

const TABLE: &str = "setting";
const PAST: &str = "setting_past";

/// Under which row a secret is sealed: the one that holds, and the one before.
const NOW: [u8; 16] = [0; 16];
const BEFORE: [u8; 16] = [1; 16];

/// What a row says that does not fit its tag.
const TAMPERED: &str = "was changed outside Proximity";

/// Why settings were not saved. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// Somebody else saved this setting since the operator looked at it.
    #[error("{key} was changed by {by} meanwhile")]
    Conflict {
        /// Which.
        key: Key,
        /// Who.
        by: String,
        /// What version it has now.
        version: u32,
    },
    /// The settings do not go together.
    #[error("{}", .0.first().map_or("the settings do not go together", |t| t.why.as_str()))]
    Trouble(Vec<Trouble>),
    /// `system.read_only` is on, or cannot be read.
    #[error("system.read_only is on; nothing but it can be changed")]
    ReadOnly,
    /// A credential that nobody tried.
    #[error("{key} would be used as nobody tried it")]
    Untried {
        /// Which.
        key: Key,
    },
    /// There is no credential to bring back.
    #[error("no credential was ever kept")]
    NoCredential,
    /// There is no secret before this one.
    #[error("the secret of {key} before this one is not there any more")]
    NoneBefore {
        /// Which.
        key: Key,
    },
    /// Nobody could write down that it is done, so it was not.
    #[error("{0}")]
    Unrecorded(String),
    /// It cannot be said as settings.
    #[error("{0}")]
    Unfit(String),
    /// The vault or the store below it.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<StoreError> for SaveError {
    fn from(error: StoreError) -> Self {
        Self::Vault(error.into())
    }
}

/// SHA-256 in hexadecimal, for files that leave the host: tells a cut or changed one, and proves nothing about who wrote it.
pub fn checksum(bytes: &[u8]) -> Result<String, StoreError> {
    let sum = crypto::sha256(bytes).map_err(|_| StoreError::Disk { why: "the cipher library refused".into() })?;
    Ok(sum.iter().map(|b| format!("{b:02x}")).collect())
}

/// A row as it stands, of either table.
struct Raw {
    id: i64,
    key: String,
    what: String,
    value: Option<String>,
    version: i64,
    at_ms: i64,
    who: String,
}

const COLUMNS: &str = "id, key, what, value, version, at_ms, who";

impl Store {
    /// All settings as they hold now. With a vault every row and secret is checked; a bad one is [`Held::Bad`].
    pub fn settings(&self, vault: Option<&Vault>) -> Result<Settings, StoreError> {
        self.read(|conn| Ok(read(conn, vault))).and_then(|read| read.map_err(store_error))
    }

    /// The changes of one setting, or of all, newest first, at most so many.
    pub fn setting_history(&self, vault: Option<&Vault>, key: Option<&Key>, most: usize) -> Result<Vec<Past>, StoreError> {
        self.read(|conn| Ok(history(conn, vault, key, most))).and_then(|read| read.map_err(store_error))
    }

    /// The secret of a setting. `NotSet`, or `Tampered` where it or its row was changed.
    pub fn setting_secret(&self, vault: &Vault, key: &Key) -> Result<Secret, VaultError> {
        let id = self
            .read(|conn| conn.query_row("SELECT id FROM setting WHERE key = ?1", [key.to_string()], |r| r.get::<_, i64>(0)).optional())?;
        let id = id.ok_or_else(|| VaultError::NotSet { what: key.to_string() })?;
        vault.check_row(&self.conn, TABLE, id)?;
        vault.open_in(&self.conn, TABLE, &key.to_string(), &NOW)
    }

    /// Saves changes together, in one transaction, and gives how many settings are different now.
    ///
    /// Everything is looked at before anything is written: versions, and the rules between settings with the fixed
    /// addresses of guests. Fails with `Conflict`, `Trouble`, `NoneBefore` or what the vault says.
    pub fn save_settings(&self, vault: &Vault, save: &[Staged], fixed: &[Fixed], by: &str, now: Stamp) -> Result<usize, SaveError> {
        vault.change(self, |tx| {
            let held = read(tx, Some(vault))?;
            let todo = match acceptable(tx, &held, save, fixed)? {
                Ok(todo) => todo,
                Err(refused) => return Ok(Err(refused)),
            };
            for staged in &todo {
                write(tx, vault, &held, staged, by, now)?;
            }
            Ok(Ok(todo.len()))
        })?
    }
}

/// What of a save is a change, or why it is refused.
fn acceptable<'s>(
    tx: &Transaction<'_>,
    held: &Settings,
    save: &'s [Staged],
    fixed: &[Fixed],
) -> Result<Result<Vec<&'s Staged>, SaveError>, VaultError> {
    let mut todo: Vec<&Staged> = Vec::new();
    for staged in save.iter().filter(|s| !s.change.is_keep()) {
        let key = &staged.key;
        let row = held.row(key);
        let version = held.version(key);
        if version != staged.seen || todo.iter().any(|t| t.key == *key) {
            let by = row.map_or_else(String::new, |r| r.by.clone());
            return Ok(Err(SaveError::Conflict { key: key.clone(), by, version }));
        }
        if matches!(staged.change, Change::Secret(SecretChange::Previous)) && !is_sealed(tx, key, &BEFORE)? {
            return Ok(Err(SaveError::NoneBefore { key: key.clone() }));
        }
        // The same value again is no change; a secret is not compared, it is replaced.
        let replaces = matches!(staged.change, Change::Secret(SecretChange::Set(_) | SecretChange::Previous));
        if replaces || *held.held(key) != staged.change.held() {
            todo.push(staged);
        }
    }
    // Only the switch itself can be turned; that it is off must be readable.
    if held.flag("system.read_only") != Ok(false) && todo.iter().any(|s| s.key.to_string() != "system.read_only") {
        return Ok(Err(SaveError::ReadOnly));
    }
    let then = held.with(todo.iter().map(|s| (&s.key, &s.change)));
    // A rule that was broken before is not the fault of somebody who changes something else.
    let mut troubles = check(&then, fixed);
    troubles.retain(|t| t.keys.iter().any(|k| todo.iter().any(|s| s.key == *k)));
    Ok(if troubles.is_empty() { Ok(todo) } else { Err(SaveError::Trouble(troubles)) })
}

fn write(tx: &Transaction<'_>, vault: &Vault, held: &Settings, staged: &Staged, by: &str, now: Stamp) -> Result<(), VaultError> {
    let key = staged.key.to_string();
    let (what, value) = match &staged.change {
        Change::Set(value) => ("value", Some(value.to_string())),
        Change::Unset | Change::Secret(SecretChange::Clear) => ("default", None),
        Change::Secret(_) => ("secret", None),
    };
    if let Change::Secret(change) = &staged.change {
        seal(tx, vault, &key, change, held.held(&staged.key))?;
    }
    // A version that somebody turned back must not be given out twice.
    let sql = "SELECT max((SELECT coalesce(max(version), 0) FROM setting_past WHERE key = ?1), ?2) + 1";
    let version: i64 = tx.query_row(sql, params![key, held.version(&staged.key)], |row| row.get(0))?;
    let columns = params![key, what, value, version, now.0, by];
    let id: i64 = tx.query_row(
        "INSERT INTO setting (key, what, value, version, at_ms, who) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (key) DO UPDATE SET what = ?2, value = ?3, version = ?4, at_ms = ?5, who = ?6 RETURNING id",
        columns,
        |row| row.get(0),
    )?;
    vault.sign_row(tx, TABLE, id)?;
    tx.execute("INSERT INTO setting_past (key, what, value, version, at_ms, who) VALUES (?1, ?2, ?3, ?4, ?5, ?6)", columns)?;
    vault.sign_row(tx, PAST, tx.last_insert_rowid())
}

/// Moves the secret that holds to the place of the one before, and seals the new one. One that cannot be opened any
/// more is replaced and not kept.
fn seal(tx: &Transaction<'_>, vault: &Vault, key: &str, change: &SecretChange, held: &Held) -> Result<(), VaultError> {
    let now = if *held == Held::Secret { Some(vault.open_in(tx, TABLE, key, &NOW)?) } else { None };
    let new = match change {
        SecretChange::Set(secret) => Some(std::sync::Arc::clone(secret)),
        SecretChange::Previous => Some(std::sync::Arc::new(vault.open_in(tx, TABLE, key, &BEFORE)?)),
        SecretChange::Clear | SecretChange::Keep => None,
    };
    for (place, secret) in [(&BEFORE, now.as_ref()), (&NOW, new.as_deref())] {
        match secret {
            Some(secret) => vault.seal_in(tx, TABLE, key, place, secret)?,
            None => drop(vault.remove_in(tx, TABLE, key, place)?),
        }
    }
    Ok(())
}

fn is_sealed(conn: &Connection, key: &Key, place: &[u8; 16]) -> Result<bool, VaultError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sealed WHERE table_name = ?1 AND column_name = ?2 AND row_id = ?3)";
    Ok(conn.query_row(sql, params![TABLE, key.to_string(), place], |row| row.get(0))?)
}

fn raw(row: &SqlRow<'_>) -> rusqlite::Result<Raw> {
    Ok(Raw {
        id: row.get(0)?,
        key: row.get(1)?,
        what: row.get(2)?,
        value: row.get(3)?,
        version: row.get(4)?,
        at_ms: row.get(5)?,
        who: row.get(6)?,
    })
}

fn raws(conn: &Connection, sql: &str, with: impl rusqlite::Params) -> Result<Vec<Raw>, VaultError> {
    Ok(conn.prepare_cached(sql)?.query_map(with, raw)?.collect::<Result<_, _>>()?)
}

/// The same inside a transaction.
pub(super) fn read(conn: &Connection, vault: Option<&Vault>) -> Result<Settings, VaultError> {
    let mut out = Settings::default();
    out.checked = vault.is_some();
    for row in raws(conn, &format!("SELECT {COLUMNS} FROM setting ORDER BY key"), [])? {
        let Ok(key) = row.key.parse::<Key>() else {
            out.odd.push(row.key);
            continue;
        };
        let mut held = meaning(conn, vault, TABLE, &key, &row)?;
        if let (Held::Secret, Some(vault)) = (&held, vault)
            && let Err(error) = vault.open_in(conn, TABLE, &row.key, &NOW)
        {
            held = bad(error)?;
        }
        let version = u32::try_from(row.version).unwrap_or(u32::MAX);
        out.put(key, Row { held, version, at: Stamp(row.at_ms), by: row.who });
    }
    Ok(out)
}

/// What a row holds, after its tag.
fn meaning(conn: &Connection, vault: Option<&Vault>, table: &'static str, key: &Key, row: &Raw) -> Result<Held, VaultError> {
    if let Some(vault) = vault
        && let Err(error) = vault.check_row(conn, table, row.id)
    {
        return bad(error);
    }
    let of = key.definition();
    Ok(match (row.what.as_str(), &row.value) {
        ("default", None) => Held::Default,
        ("secret", None) if of.is_secret() => Held::Secret,
        ("value", Some(text)) => of.parse(text).map_or_else(|why| Held::Bad(format!("cannot be used: {why}")), Held::Value),
        _ => Held::Bad("is damaged".into()),
    })
}

/// A tampered or missing record is an answer; a store that fails is an error.
fn bad(error: VaultError) -> Result<Held, VaultError> {
    match error {
        VaultError::Tampered { .. } | VaultError::NotSet { .. } => Ok(Held::Bad(TAMPERED.into())),
        VaultError::Corrupt { .. } => Ok(Held::Bad("is damaged".into())),
        other => Err(other),
    }
}

fn history(conn: &Connection, vault: Option<&Vault>, key: Option<&Key>, most: usize) -> Result<Vec<Past>, VaultError> {
    let held = read(conn, vault)?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let sql = format!("SELECT {COLUMNS} FROM setting_past WHERE ?1 IS NULL OR key = ?1 ORDER BY id DESC LIMIT ?2");
    let mut out = Vec::new();
    for row in raws(conn, &sql, params![key.map(ToString::to_string), most])? {
        let Ok(key) = row.key.parse::<Key>() else { continue };
        let new = meaning(conn, vault, PAST, &key, &row)?;
        let before =
            raws(conn, &format!("SELECT {COLUMNS} FROM setting_past WHERE key = ?1 AND version = ?2"), params![row.key, row.version - 1])?;
        let old = match (before.first(), row.version) {
            (Some(before), _) => Some(meaning(conn, vault, PAST, &key, before)?),
            (None, 1) => Some(Held::Default),
            (None, _) => None,
        };
        let version = u32::try_from(row.version).unwrap_or(u32::MAX);
        let current = held.version(&key);
        let kept = version.checked_add(1) == Some(current) && is_sealed(conn, &key, &BEFORE)?;
        out.push(Past { kept, now: version == current, key, version, at: Stamp(row.at_ms), by: row.who, old, new });
    }
    Ok(out)
}

/// Reading without a key fails only as the store does.
fn store_error(error: VaultError) -> StoreError {
    match error {
        VaultError::Store(error) => error,
        other => StoreError::Corrupt { why: other.to_string() },
    }
}
