//! The host key: 32 random bytes in a file of their own, mixed into every passphrase. It never enters the database or
//! its backups, so a stolen database alone cannot even be guessed at.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::VaultError;
use crate::store::crypto::{self, Key};
use crate::store::{StoreError, place};

/// The usual place of the host key in the directory of the store.
#[must_use]
pub fn host_key_path(dir: &Path) -> PathBuf {
    dir.join("host.key")
}

/// The usual place of the host slot's file in the directory of the store.
#[must_use]
pub fn host_slot_path(dir: &Path) -> PathBuf {
    dir.join("host-slot.key")
}

/// Reads the host key. Refuses a symlink, a file others may read, and any length but 32 bytes.
pub(super) fn read(path: &Path) -> Result<Key, VaultError> {
    match place::check_file(path) {
        Ok(_) => {}
        Err(StoreError::Missing { .. }) => {
            return Err(VaultError::HostKeyMissing { path: path.to_owned() });
        }
        Err(other) => return Err(other.into()),
    }
    let mut bytes = Zeroizing::new([0u8; 33]);
    let mut file = File::open(path).map_err(|e| place::unreadable(path, &e))?;
    let mut length = 0;
    while length < bytes.len() {
        let rest = bytes.get_mut(length..).unwrap_or_default();
        match file.read(rest).map_err(|e| place::unreadable(path, &e))? {
            0 => break,
            more => length += more,
        }
    }
    if length != 32 {
        return Err(VaultError::Corrupt { what: format!("the host key {}", path.display()) });
    }
    let mut key = Zeroizing::new([0u8; 32]);
    key.copy_from_slice(&bytes[..32]);
    Ok(Key::from_bytes(*key))
}

/// Reads the host key, or makes it where there is none: mode 0400, whole or not at all, on disk before this returns.
pub(super) fn read_or_make(path: &Path) -> Result<Key, VaultError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    place::check_dir(dir)?;
    let _only_maker = place::lock_dir(dir)?;
    match read(path) {
        Err(VaultError::HostKeyMissing { .. }) => {}
        found => return found,
    }
    let key = Key::random()?;
    place::replace(path, 0o400, key.bytes())?;
    Ok(key)
}

/// Makes the host key of a directory that has none.
pub(in crate::store) fn make_host_key(dir: &Path) -> Result<(), VaultError> {
    read_or_make(&host_key_path(dir)).map(drop)
}

/// Tells one host key from another without telling anything about it: it has 256 random bits.
pub(super) fn fingerprint(key: &Key, vault_id: &[u8; 16]) -> Result<[u8; 16], VaultError> {
    let long = crypto::derive(key, vault_id, "host key id", &[])?;
    let mut short = [0; 16];
    short.copy_from_slice(&long.bytes()[..16]);
    Ok(short)
}
