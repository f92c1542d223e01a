//! One file with everything sealed, under a passphrase of its own, for another host. No host key goes into it.
//!
//! ```text
//! "PXEXPORT" | version u16 | KiB u32 | passes u32 | lanes u32 | salt 16 | nonce start 19       the header
//! check value 32 | sum 32                                                                      tell a wrong passphrase from damage
//! chunks: 64 KiB each, sealed with XChaCha20-Poly1305, nonce = start | number u32 | last u8, bound to the header
//! ```
//! This is the STREAM construction: a chunk that is missing, moved, doubled or added does not open, and a file that is cut
//! has no last chunk. Inside are entries, `kind u8` and parts behind their length (u32): 1 an operator (name), 2 a record
//! (table, column, row, value), 0 the end (how many of each).

use zeroize::Zeroizing;

use super::record::{LONGEST, RecordName, names};
use super::{Vault, VaultError};
use crate::store::crypto::{self, Key, NONCE, TAG};
use crate::store::{Cost, Secret, Store, passphrase};

const MAGIC: &[u8; 8] = b"PXEXPORT";
const VERSION: u16 = 1;
const HEADER: usize = 8 + 2 + 12 + 16 + START;
const START: usize = NONCE - 5;
const CHUNK: usize = 64 * 1024;

/// What an export held, after all of it was read and found whole.
pub struct Contents {
    /// The operators there were; their ways in are not in the file.
    pub operators: Vec<String>,
    /// The values.
    pub records: Vec<(RecordName, Secret)>,
}

impl Cost {
    /// What an export gets where the host has the memory (bytes): 512 MiB, three passes, since it lies about for years.
    #[must_use]
    pub fn for_export(available: u64) -> Self {
        let most = u32::try_from(available / 4 / 1024).unwrap_or(u32::MAX).min(512 * 1024);
        Self { memory_kib: most.max(Self::FLOOR.memory_kib), ..Self::DEFAULT }
    }
}

impl Vault {
    /// The bytes of an export: every record but those that `leave_out` names. `passphrase` needs six words at least.
    ///
    /// Fails with `WeakPassphrase`, `WeakCost`, `CostTooHigh` (`available`: MemAvailable in bytes), and with the error of the
    /// first record that does not open: half an export is none.
    pub fn export(
        &self,
        store: &Store,
        passphrase: &Secret,
        cost: Cost,
        available: u64,
        leave_out: impl Fn(&str, &str) -> bool,
    ) -> Result<Vec<u8>, VaultError> {
        check_passphrase(passphrase)?;
        cost.check_new(available)?;
        self.check(store)?;
        let plain = store_read(store, |conn| {
            let mut plain = Zeroizing::new(Vec::new());
            let (mut operators, mut records) = (0u32, 0u32);
            for one in self.operators(conn)? {
                entry(&mut plain, 1, &[one.name.as_bytes()]);
                operators += 1;
            }
            for (table, column, row_id) in names(conn)? {
                let id = row_id.as_slice().try_into().map_err(|_| VaultError::Corrupt { what: format!("{table}.{column}") })?;
                if !leave_out(&table, &column) {
                    let value = self.open_in(conn, &table, &column, &id)?;
                    entry(&mut plain, 2, &[table.as_bytes(), column.as_bytes(), &row_id, value.expose()]);
                    records += 1;
                }
            }
            entry(&mut plain, 0, &[&operators.to_be_bytes(), &records.to_be_bytes()]);
            Ok(plain)
        })?;
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_be_bytes());
        for number in [cost.memory_kib, cost.passes, cost.lanes] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&crypto::random::<16>()?);
        out.extend_from_slice(&crypto::random::<START>()?);
        let header = out.clone();
        let keys = Keys::of(&header, passphrase, cost)?;
        out.extend_from_slice(keys.check.bytes());
        out.extend_from_slice(&crypto::sum(&[&header, keys.check.bytes()])?);
        // An exact multiple ends with an empty last chunk less: the last one is never empty, since the end entry is there.
        let count = plain.chunks(CHUNK).count();
        for (number, chunk) in plain.chunks(CHUNK).enumerate() {
            out.extend_from_slice(&crypto::seal(&keys.body, &nonce(&header, number, number + 1 == count)?, &keys.bound, chunk)?);
        }
        Ok(out)
    }

    /// Takes the values of an export into this vault in one change. Gives how many.
    ///
    /// A value that is there already and differs stops it (`RecordExists`) unless `replace`; then nothing was changed.
    pub fn import(&self, store: &Store, contents: &Contents, replace: bool) -> Result<usize, VaultError> {
        self.change(store, |tx| {
            for (RecordName { table, column, row_id }, value) in &contents.records {
                match self.open_in(tx, table, column, row_id) {
                    Ok(there) if there.expose() == value.expose() => continue,
                    Ok(_) if !replace => return Err(VaultError::RecordExists { what: format!("{table}.{column}") }),
                    Ok(_) | Err(VaultError::NotSet { .. }) => {}
                    Err(other) => return Err(other),
                }
                self.seal_in(tx, table, column, row_id, value)?;
            }
            Ok(contents.records.len())
        })
    }
}

impl Contents {
    /// Opens the bytes of an export. `NoExport` where it is none, `WrongPassphrase`, `CostTooHigh` (`available`: MemAvailable in
    /// bytes), and `Tampered` where it is cut or changed, at whichever byte.
    pub fn open(bytes: &[u8], passphrase: &Secret, available: u64) -> Result<Self, VaultError> {
        let changed = || VaultError::Tampered { what: "the export".to_owned() };
        if !bytes.starts_with(MAGIC) {
            return Err(VaultError::NoExport { why: "it does not begin like one" });
        }
        let (header, rest) = bytes.split_at_checked(HEADER).ok_or_else(changed)?;
        let (check, rest) = rest.split_at_checked(32).ok_or_else(changed)?;
        let (sum, body) = rest.split_at_checked(32).ok_or_else(changed)?;
        if !crypto::equal(sum, &crypto::sum(&[header, check])?) {
            return Err(changed());
        }
        if header.get(8..10) != Some(&VERSION.to_be_bytes()) {
            return Err(VaultError::NoExport { why: "a newer Proximity made it" });
        }
        let number = |at: usize| header.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
        let cost = Cost { memory_kib: number(10), passes: number(14), lanes: number(18) };
        cost.check_open(available)?;
        let keys = Keys::of(header, passphrase, cost)?;
        if !crypto::equal(keys.check.bytes(), check) {
            return Err(VaultError::WrongPassphrase);
        }
        let mut plain = Zeroizing::new(Vec::with_capacity(body.len()));
        let count = body.chunks(CHUNK + TAG).count();
        for (number, chunk) in body.chunks(CHUNK + TAG).enumerate() {
            let nonce = nonce(header, number, number + 1 == count)?;
            let opened = crypto::open(&keys.body, &nonce, &keys.bound, chunk).ok_or_else(changed)?;
            plain.extend_from_slice(opened.expose());
        }
        Self::parse(&plain).ok_or_else(changed)
    }

    fn parse(mut rest: &[u8]) -> Option<Self> {
        let mut found = Self { operators: Vec::new(), records: Vec::new() };
        loop {
            let (kind, after) = rest.split_first()?;
            rest = after;
            let mut part = || {
                let (length, after) = rest.split_first_chunk::<4>()?;
                let (part, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
                rest = after;
                Some(part)
            };
            let text = |part: &[u8]| String::from_utf8(part.to_vec()).ok();
            match kind {
                1 => found.operators.push(text(part()?)?),
                2 => {
                    let name = RecordName { table: text(part()?)?, column: text(part()?)?, row_id: part()?.try_into().ok()? };
                    let value = part()?;
                    found.records.push((name, (value.len() <= LONGEST).then(|| Secret::new(value.to_vec()))?));
                }
                0 => {
                    let counted = part()? == u32::try_from(found.operators.len()).ok()?.to_be_bytes()
                        && part()? == u32::try_from(found.records.len()).ok()?.to_be_bytes();
                    return (counted && rest.is_empty()).then_some(found);
                }
                _ => return None,
            }
        }
    }
}

/// What a passphrase gives together with a header.
struct Keys {
    check: Key,
    body: Key,
    bound: [u8; 32],
}

impl Keys {
    fn of(header: &[u8], passphrase: &Secret, cost: Cost) -> Result<Self, VaultError> {
        let salt: &[u8; 16] = header.get(22..38).and_then(|s| s.try_into().ok()).ok_or(VaultError::Refused)?;
        let k0 = crypto::argon2id(passphrase, salt, cost, None, header)?;
        Ok(Self {
            check: crypto::derive(&k0, salt, "export commit", &[header])?,
            body: crypto::derive(&k0, salt, "export", &[header])?,
            bound: crypto::sum(&[header])?,
        })
    }
}

fn nonce(header: &[u8], number: usize, last: bool) -> Result<[u8; NONCE], VaultError> {
    let mut nonce = [0; NONCE];
    nonce[..START].copy_from_slice(header.get(HEADER - START..HEADER).ok_or(VaultError::Refused)?);
    let number = u32::try_from(number).map_err(|_| VaultError::TooLong { limit: usize::MAX })?;
    nonce[START..START + 4].copy_from_slice(&number.to_be_bytes());
    nonce[NONCE - 1] = u8::from(last);
    Ok(nonce)
}

fn entry(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len() + 4).sum();
    if out.capacity() < out.len() + length + 1 {
        // Growing would leave a copy behind that nobody wipes.
        let mut larger = Vec::with_capacity((out.len() + length + 1) * 2);
        larger.extend_from_slice(out);
        zeroize::Zeroize::zeroize(out);
        *out = larger;
    }
    out.push(kind);
    for part in parts {
        // No part is longer than a sealed value.
        out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(part);
    }
}

/// Somebody may try for years, so more is asked for than at the door.
fn check_passphrase(secret: &Secret) -> Result<(), VaultError> {
    passphrase::check(secret, "")?;
    let text = secret.expose_text().unwrap_or_default();
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= 3);
    let different: std::collections::BTreeSet<&str> = words.collect();
    if different.len() >= 6 { Ok(()) } else { Err(VaultError::WeakPassphrase { why: "an export needs six different words" }) }
}

/// Lends the connection for several statements that see one state.
fn store_read<T>(store: &Store, f: impl FnOnce(&rusqlite::Connection) -> Result<T, VaultError>) -> Result<T, VaultError> {
    let mut lock = store.conn.prepare("SELECT 1 FROM sqlite_schema")?;
    let mut held = lock.query([])?;
    held.next()?;
    f(&store.conn)
}
