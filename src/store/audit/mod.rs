//! The audit log as it is kept: a chain of entries, each sealed with a key that is replaced and erased.
//!
//! ```text
//! hash(n) = BLAKE2b-256(hash(n-1) | entry(n))       hash(0) = BLAKE2b-256(32 zeros | "proximity audit" | log id)
//! mac(n)  = BLAKE2b-256 keyed with HKDF(A(epoch), "audit seal") over hash(n)
//! A(i+1)  = HKDF(A(i), "audit next"); a new epoch after 256 entries, and with an entry 15 minutes from its first
//! ```
//!
//! The key of the present epoch lies in the open, so that a job's worker can write without anybody's passphrase. Who
//! takes it can forge what is written from then on and in the same epoch, but nothing older: `A(0)` is sealed in the
//! vault, and the way back from `A(i)` is shut. An entry's epoch follows from the entries before it, so a later key
//! cannot stand in for an older one. What is cut off the end of the present epoch tells only who saw the head:
//! the journal of the host, and the vault at each unlock.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::crypto::{self, Key, Refused};
use super::{Secret, Store, StoreError, Vault, VaultError};
use crate::domain::audit::{Entry, Head, Phase};
use crate::domain::cmd::Cmd;

mod read;
mod verify;

pub use read::Kept;
pub use verify::{Fault, Seals, Verdict};

/// Entries that one key seals.
const EPOCH_ENTRIES: u32 = 256;
/// Milliseconds of the wall clock that one key seals.
const EPOCH_MS: u64 = 15 * 60 * 1000;
/// Where the vault keeps what it knows of the log.
const TABLE: &str = "audit";
const ROW: [u8; 16] = [0; 16];

impl From<Refused> for StoreError {
    fn from(_: Refused) -> Self {
        StoreError::Disk { why: "the system gives no randomness or the cipher library refused".into() }
    }
}

/// How the log goes on.
struct State {
    log_id: [u8; 16],
    first_key: Option<Vec<u8>>,
    key: Key,
    pace: Pace,
    seq: u64,
    hash: [u8; 32],
    /// The last entry that is there, as of the same moment.
    last: u64,
}

/// Which epoch it is, and how much of it has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace {
    epoch: u32,
    /// Wall clock of its first entry; means nothing while there is none.
    began_ms: i64,
    count: u32,
}

impl Pace {
    const START: Pace = Pace { epoch: 0, began_ms: 0, count: 0 };

    /// The pace with one more entry of this time.
    fn with(self, at_ms: i64) -> Pace {
        let over = self.count >= EPOCH_ENTRIES || (self.count > 0 && at_ms.abs_diff(self.began_ms) >= EPOCH_MS);
        match (over, self.count) {
            (true, _) => Pace { epoch: self.epoch.saturating_add(1), began_ms: at_ms, count: 1 },
            (false, 0) => Pace { began_ms: at_ms, count: 1, ..self },
            (false, n) => Pace { count: n + 1, ..self },
        }
    }

    /// What is kept: an epoch that is full is over at once, and its key with it.
    fn kept(self) -> Pace {
        if self.count < EPOCH_ENTRIES { self } else { Pace { epoch: self.epoch.saturating_add(1), began_ms: 0, count: 0 } }
    }
}

fn next_key(key: &Key, log_id: &[u8; 16]) -> Result<Key, Refused> {
    crypto::derive(key, log_id, "audit next", &[])
}

fn seal_key(key: &Key, log_id: &[u8; 16]) -> Result<Key, Refused> {
    crypto::derive(key, log_id, "audit seal", &[])
}

fn beginning(log_id: &[u8; 16]) -> Result<[u8; 32], Refused> {
    crypto::link(&[0; 32], &[&b"proximity audit"[..], log_id].concat())
}

fn damaged(what: &str) -> StoreError {
    StoreError::Corrupt { why: format!("the audit log: {what}") }
}

impl State {
    fn load(conn: &Connection) -> Result<Option<State>, StoreError> {
        let sql = "SELECT log_id, first_key, key, epoch, began_ms, count, seq, hash,
                   (SELECT coalesce(max(seq), 0) FROM audit) FROM audit_state";
        let row = conn
            .prepare_cached(sql)?
            .query_row([], |row| {
                let pace = Pace { epoch: row.get(3)?, began_ms: row.get(4)?, count: row.get(5)? };
                let key: [u8; 32] = row.get(2)?;
                let (seq, last): (i64, i64) = (row.get(6)?, row.get(8)?);
                Ok(State {
                    log_id: row.get(0)?,
                    first_key: row.get(1)?,
                    key: Key::from_bytes(key),
                    pace,
                    seq: seq.cast_unsigned(),
                    hash: row.get(7)?,
                    last: last.cast_unsigned(),
                })
            })
            .optional();
        row.map_err(|e| match StoreError::from(e) {
            e @ (StoreError::Busy | StoreError::Disk { .. } | StoreError::Full | StoreError::ReadOnly) => e,
            _ => damaged("the row that says how it goes on cannot be read"),
        })
    }

    /// How it goes on, or a new log where none was ever begun.
    fn load_or_begin(tx: &Transaction<'_>) -> Result<State, StoreError> {
        if let Some(state) = State::load(tx)? {
            return Ok(state);
        }
        if tx.query_row("SELECT EXISTS (SELECT 1 FROM audit)", [], |row| row.get(0))? {
            return Err(damaged("the row that says how it goes on is gone"));
        }
        let (log_id, key) = (crypto::random()?, Key::random()?);
        let hash = beginning(&log_id)?;
        Ok(State { log_id, first_key: Some(key.bytes().to_vec()), key, pace: Pace::START, seq: 0, hash, last: 0 })
    }

    fn save(&self, tx: &Transaction<'_>) -> Result<(), StoreError> {
        let Pace { epoch, began_ms, count } = self.pace;
        tx.prepare_cached(
            "INSERT OR REPLACE INTO audit_state (only, log_id, first_key, key, epoch, began_ms, count, seq, hash)
             VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            self.log_id,
            self.first_key,
            self.key.bytes(),
            epoch,
            began_ms,
            count,
            self.seq.cast_signed(),
            self.hash
        ])?;
        Ok(())
    }

    fn head(&self) -> Head {
        Head { log: self.log_id, seq: self.seq, hash: self.hash }
    }

    fn append(&mut self, tx: &Transaction<'_>, mut entry: Entry) -> Result<(), StoreError> {
        let pace = self.pace.with(entry.at.0);
        if pace.epoch != self.pace.epoch {
            self.key = next_key(&self.key, &self.log_id)?;
        }
        self.seq += 1;
        (entry.seq, entry.epoch) = (self.seq, pace.epoch);
        let bytes = entry.bytes();
        self.hash = crypto::link(&self.hash, &bytes)?;
        let mac = crypto::tag(&seal_key(&self.key, &self.log_id)?, &self.hash)?;
        let of = match entry.phase {
            Phase::Outcome { of, .. } => Some(of.cast_signed()),
            _ => None,
        };
        tx.prepare_cached("INSERT INTO audit (seq, entry, hash, mac, of_seq) VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            self.seq.cast_signed(),
            bytes,
            self.hash,
            mac,
            of
        ])?;
        self.pace = pace.kept();
        if self.pace.epoch != pace.epoch {
            self.key = next_key(&self.key, &self.log_id)?;
        }
        Ok(())
    }
}

/// Writes entries at the end of the log as part of a larger change: both are there then, or neither. Gives the head,
/// whose number is that of the last one. Their own `seq` and `epoch` do not matter.
pub fn append(tx: &Transaction<'_>, entries: impl IntoIterator<Item = Entry>) -> Result<Head, StoreError> {
    let mut state = State::load_or_begin(tx)?;
    entries.into_iter().try_for_each(|entry| state.append(tx, entry))?;
    state.save(tx)?;
    Ok(state.head())
}

/// The hash of exact commands, for [`Deed::commands`](crate::domain::audit::Deed::commands): BLAKE2b-256 over each
/// command's number of words, then its words, each behind its length. Other words or another order give another hash.
pub fn argv_hash<'a>(commands: impl IntoIterator<Item = &'a Cmd>) -> Option<[u8; 32]> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    for cmd in commands {
        words.push((cmd.args.len() as u64 + 1).to_be_bytes().to_vec());
        words.push(cmd.program.as_bytes().to_vec());
        words.extend(cmd.args.iter().map(|a| a.as_bytes().to_vec()));
    }
    let parts: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    crypto::sum(&parts).ok()
}

/// `SHA256:` and the sum of an SSH public key's bytes, as ssh-keygen(1) prints it.
pub fn ssh_fingerprint(key: &[u8]) -> Option<String> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sum = crypto::sha256(key).ok()?;
    let mut out = String::from("SHA256:");
    for three in sum.chunks(3) {
        let bits = three.iter().enumerate().fold(0u32, |all, (nth, byte)| all | u32::from(*byte) << (16 - 8 * nth));
        for nth in 0..=three.len() {
            out.push(char::from(LETTERS[(bits >> (18 - 6 * nth) & 63) as usize]));
        }
    }
    Some(out)
}

/// What the vault keeps: `first` is the log's number and first key, `head` its number, last entry and hash.
fn split<const N: usize>(secret: &Secret) -> Result<([u8; 16], [u8; N]), VaultError> {
    let (id, rest) = secret.expose().split_first_chunk().ok_or_else(|| tampered("what the vault keeps of the audit log"))?;
    let rest = rest.try_into().map_err(|_| tampered("what the vault keeps of the audit log"))?;
    Ok((*id, rest))
}

fn tampered(what: &str) -> VaultError {
    VaultError::Tampered { what: what.to_owned() }
}

fn open(vault: &Vault, conn: &Connection, column: &str) -> Result<Option<Secret>, VaultError> {
    match vault.open_in(conn, TABLE, column, &ROW) {
        Ok(secret) => Ok(Some(secret)),
        Err(VaultError::NotSet { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Number, last entry and hash of the log when the vault saw it last.
fn last_seen(vault: &Vault, conn: &Connection) -> Result<Option<Head>, VaultError> {
    let Some(secret) = open(vault, conn, "head")? else { return Ok(None) };
    let (log, rest) = split::<40>(&secret)?;
    let (seq, hash) = rest.split_first_chunk().ok_or_else(|| tampered("what the vault keeps of the audit log"))?;
    let hash = hash.try_into().map_err(|_| tampered("what the vault keeps of the audit log"))?;
    Ok(Some(Head { log, seq: u64::from_be_bytes(*seq), hash }))
}

/// What an unlocked vault does for the log, at every unlock: takes the first key out of the open, looks whether the
/// head it saw last is still there, and remembers the present one. Begins a log where there is none.
///
/// `Tampered` where the log was cut or replaced; nothing is changed then.
pub fn keep(vault: &Vault, store: &Store) -> Result<(), VaultError> {
    if let Some(state) = State::load(&store.conn)?
        && state.first_key.is_none()
        && check_kept(vault, &store.conn, &state)? == Some(state.head())
    {
        return Ok(());
    }
    vault.change(store, |tx| {
        let mut state = State::load_or_begin(tx)?;
        if let Some(first) = state.first_key.take().filter(|_| open(vault, tx, "first").is_ok_and(|k| k.is_none())) {
            vault.seal_in(tx, TABLE, "first", &ROW, &Secret::new([state.log_id.to_vec(), first].concat()))?;
        }
        state.save(tx)?;
        check_kept(vault, tx, &state)?;
        let head = state.head();
        let seen = [head.log.to_vec(), head.seq.to_be_bytes().to_vec(), head.hash.to_vec()].concat();
        vault.seal_in(tx, TABLE, "head", &ROW, &Secret::new(seen))
    })
}

/// Whether log and vault belong together, and the head that the vault saw last.
fn check_kept(vault: &Vault, conn: &Connection, state: &State) -> Result<Option<Head>, VaultError> {
    let first = open(vault, conn, "first")?.ok_or_else(|| tampered("the first key of the audit log, which is gone,"))?;
    if split::<32>(&first)?.0 != state.log_id {
        return Err(tampered("the audit log, which is another than the vault knows,"));
    }
    let seen = last_seen(vault, conn)?;
    match seen {
        Some(head) if head.seq > 0 && read::hash_of(conn, head.seq)? != Some(head.hash) => {
            Err(tampered(&format!("the audit log, whose entry {} is not the one that was there,", head.seq)))
        }
        seen => Ok(seen),
    }
}

impl Store {
    /// Writes one entry down, alone. It is on disk when this returns.
    pub fn record(&self, entry: Entry) -> Result<Head, StoreError> {
        self.write_txn(|tx| append(tx, [entry]))
    }
}
