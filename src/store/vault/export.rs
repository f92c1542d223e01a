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
        // There is always a last chunk, since the end entry is there.
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
        Self::open_chunks(header, &keys, body)
    }

    fn open_chunks(header: &[u8], keys: &Keys, body: &[u8]) -> Result<Self, VaultError> {
        let changed = || VaultError::Tampered { what: "the export".to_owned() };
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::store::NewOperator;

    const WORDS: &str = "orbit velvet cactus lantern mosaic seven";
    const ROOMY: u64 = 16 << 30;

    fn exported(values: &[(&str, usize)]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::in_memory().unwrap();
        let (host_key, passphrase) = (dir.path().join("host.key"), Secret::from_text("tarnish gravel umbrella".to_owned()));
        let (cost, memory_available, now_ms) = (Cost::FLOOR, ROOMY, 0);
        let new = NewOperator { host_key: &host_key, operator: "marta", passphrase: &passphrase, cost, memory_available, now_ms };
        let (vault, _) = Vault::create(&store, &new).unwrap();
        for (column, length) in values {
            vault.seal(&store, "host", column, &[1; 16], &Secret::new(vec![7; *length])).unwrap();
        }
        let typed = Secret::from_text(WORDS.to_owned());
        vault.export(&store, &typed, Cost::FLOOR, ROOMY, |_, column| column == "totp").unwrap()
    }

    /// Opens without the slow step where the part that it depends on is as it was.
    fn open(bytes: &[u8], keys: &Keys) -> Result<Contents, VaultError> {
        match bytes.get(HEADER + 64..) {
            Some(body) => Contents::open_chunks(&bytes[..HEADER], keys, body),
            None => Contents::open(bytes, &Secret::from_text(WORDS.to_owned()), ROOMY),
        }
    }

    fn each_damage_is_told(file: &[u8], step: usize) -> usize {
        let keys = Keys::of(&file[..HEADER], &Secret::from_text(WORDS.to_owned()), Cost::FLOOR).unwrap();
        assert!(open(file, &keys).is_ok());
        let around = |at: usize| at.saturating_sub(HEADER + 64) % (CHUNK + TAG) < 3 || at + 20 > file.len();
        let mut cases = 0;
        for at in (0..file.len()).filter(|at| at % step == 0 || around(*at) || *at < HEADER + 64) {
            let told = |outcome: Result<Contents, VaultError>| {
                assert!(matches!(outcome, Err(VaultError::Tampered { .. } | VaultError::NoExport { .. })), "byte {at}");
            };
            told(open(&file[..at], &keys));
            let mut bad = file.to_vec();
            bad[at] ^= 1;
            if at < HEADER + 64 {
                // Told by the sum, without the slow step.
                told(Contents::open(&bad, &Secret::from_text(WORDS.to_owned()), ROOMY));
            } else {
                told(open(&bad, &keys));
            }
            cases += 2;
        }
        assert!(open(&[file, &[0]].concat(), &keys).is_err(), "one byte more");
        cases
    }

    #[test]
    fn a_cut_or_changed_file_is_told_at_any_byte() {
        let small = exported(&[("password", 30), ("totp", 20)]);
        let cases = each_damage_is_told(&small, 1);
        assert_eq!(cases, 2 * small.len());
        let large = exported(&[("a", 60_000), ("b", 60_000), ("c", 30_000)]);
        assert!(large.len() > 2 * CHUNK);
        each_damage_is_told(&large, 1009);
        // Chunks that change places, and a chunk taken out.
        let keys = Keys::of(&large[..HEADER], &Secret::from_text(WORDS.to_owned()), Cost::FLOOR).unwrap();
        let chunks: Vec<&[u8]> = large[HEADER + 64..].chunks(CHUNK + TAG).collect();
        for order in [&[1, 0, 2][..], &[0, 2], &[0, 1], &[0, 0, 1, 2], &[2]] {
            let body: Vec<u8> = order.iter().flat_map(|at| chunks[*at].to_vec()).collect();
            assert!(open(&[&large[..HEADER + 64], &body].concat(), &keys).is_err(), "{order:?}");
        }
    }

    #[test]
    fn six_words_are_needed_and_strange_files_are_told_apart() {
        for weak in ["orbit velvet cactus lantern mosaic", "orbit orbit orbit velvet velvet cactus lantern", "a b c d e f g h i j k l"] {
            let refused = check_passphrase(&Secret::from_text(weak.to_owned()));
            assert!(matches!(refused, Err(VaultError::WeakPassphrase { .. })), "{weak}");
        }
        let file = exported(&[("password", 30), ("totp", 20)]);
        let open = |bytes: &[u8], words: &str| Contents::open(bytes, &Secret::from_text(words.to_owned()), ROOMY);
        assert!(matches!(open(&file, "orbit velvet cactus lantern mosaic eight"), Err(VaultError::WrongPassphrase)));
        assert!(matches!(open(b"SQLite format 3\0", WORDS), Err(VaultError::NoExport { .. })));
        assert!(matches!(open(b"", WORDS), Err(VaultError::NoExport { .. })));
        let whole = open(&file, WORDS).unwrap();
        assert_eq!((whole.operators.as_slice(), whole.records.len()), (&["marta".to_owned()][..], 1), "the second factor stays out");
        let mut dear = file.clone();
        dear[10..14].copy_from_slice(&u32::MAX.to_be_bytes());
        let sum = crypto::sum(&[&dear[..HEADER], &dear[HEADER..HEADER + 32]]).unwrap();
        dear[HEADER + 32..HEADER + 64].copy_from_slice(&sum);
        assert!(matches!(open(&dear, WORDS), Err(VaultError::CostTooHigh { .. })), "before anything is allocated");
    }
}
