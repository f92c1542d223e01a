//! The anchor: a small file beside the database that says how far the vault had come. A database put back from last month
//! is whole and its tags are right; only something outside it can tell.
//!
//! It is written after each commit, so it is behind by one after a crash and never ahead. It is no secret and carries no
//! key: who may write in the directory can put back both (only a log on another machine tells that), and a damaged or
//! missing anchor is said and no reason to lock anybody out.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::VaultError;
use crate::store::{Store, StoreError, crypto, place};

/// Its name in the directory of the store.
const FILE_NAME: &str = "anchor";

/// What the file says.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Anchor {
    pub vault_id: [u8; 16],
    pub generation: u64,
    pub audit_head: Option<[u8; 32]>,
}

/// What was found where the anchor should be.
pub(super) enum Found {
    /// A store in memory has none.
    NoPlace,
    Missing,
    Unreadable(String),
    Anchor(Anchor),
}

/// Looks at the anchor of a store. Read it before the database: the database only goes forward.
pub(super) fn read(store: &Store) -> Found {
    let Some(path) = path(store) else { return Found::NoPlace };
    match place::check_file(&path) {
        Err(StoreError::Missing { .. }) => return Found::Missing,
        Err(other) => return Found::Unreadable(other.to_string()),
        Ok(meta) if meta.len() > 1024 => return Found::Unreadable("it is too long".to_owned()),
        Ok(_) => {}
    }
    match fs::read_to_string(&path) {
        Ok(text) => Anchor::parse(&text).map_or_else(|| Found::Unreadable("it is damaged".to_owned()), Found::Anchor),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Found::Missing,
        Err(e) => Found::Unreadable(e.to_string()),
    }
}

/// Writes the anchor unless a later one of the same vault is there: whole or not at all, and on disk when this returns.
pub(super) fn raise(store: &Store, anchor: &Anchor) -> Result<(), VaultError> {
    let Some(path) = path(store) else { return Ok(()) };
    let _only_writer = place::lock_dir(path.parent().unwrap_or(Path::new(".")))?;
    if let Found::Anchor(there) = read(store)
        && there.vault_id == anchor.vault_id
        && there.generation >= anchor.generation
    {
        return Ok(());
    }
    let text = anchor.text().map_err(|e| place::disk(&e))?;
    Ok(place::replace(&path, 0o600, text.as_bytes())?)
}

fn path(store: &Store) -> Option<PathBuf> {
    store.path().and_then(Path::parent).map(|dir| dir.join(FILE_NAME))
}

impl Anchor {
    fn text(&self) -> io::Result<String> {
        let head = self.audit_head.map_or_else(|| "-".to_owned(), |head| hex(&head));
        let body = format!("proximity anchor 1\nvault {}\ngeneration {}\naudit {head}\n", hex(&self.vault_id), self.generation);
        let sum = crypto::sum(&[body.as_bytes()]).map_err(|_| io::Error::other("no checksum"))?;
        Ok(format!("{body}sum {}\n", hex(&sum)))
    }

    /// Reads exactly what `text` writes, and nothing else.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().skip(1);
        let mut next = |name: &str| lines.next()?.strip_prefix(name);
        let vault_id = unhex(next("vault ")?)?;
        let generation = next("generation ")?.parse().ok()?;
        let audit_head = match next("audit ")? {
            "-" => None,
            head => Some(unhex(head)?),
        };
        let anchor = Self { vault_id, generation, audit_head };
        (anchor.text().ok()? == text).then_some(anchor)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_anchor_reads_back_and_nothing_else_does() {
        for audit_head in [None, Some([7; 32])] {
            let anchor = Anchor { vault_id: [0xa0; 16], generation: 57, audit_head };
            let text = anchor.text().unwrap();
            assert!(Anchor::parse(&text).unwrap() == anchor);
            for at in 0..text.len() {
                assert!(Anchor::parse(&text[..at]).is_none(), "cut at {at}");
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                assert!(String::from_utf8(bytes).ok().and_then(|t| Anchor::parse(&t)).is_none(), "byte {at}");
            }
        }
    }
}
