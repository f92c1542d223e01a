//! The store and the vault from outside: real files, real processes, real damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "store/crash.rs"]
mod crash;
#[path = "store/damage.rs"]
mod damage;
#[path = "store/files.rs"]
mod files;
#[path = "store/full_disk.rs"]
mod full_disk;
#[path = "store/vault.rs"]
mod vault;
#[path = "store/vectors.rs"]
mod vectors;

use std::path::{Path, PathBuf};

use proximity::store::{Cost, NewVault, RecoveryWords, Secret, Store, Vault, host_key_path};
use rusqlite::Connection;
use tempfile::TempDir;

/// MemAvailable of a roomy host, in bytes.
const ROOMY: u64 = 16 << 30;
const OPERATOR: &str = "marta";
const PASSPHRASE: &str = "orbit velvet cactus lantern mosaic";

/// A private directory with a store in it.
fn new_store() -> (TempDir, PathBuf, Store) {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("proximity");
    let store = Store::create(&dir).unwrap();
    (outer, dir, store)
}

fn secret(text: &str) -> Secret {
    Secret::from_text(text.to_owned())
}

fn make_vault(store: &Store, dir: &Path) -> (Vault, RecoveryWords) {
    let new = NewVault {
        host_key: &host_key_path(dir),
        operator: OPERATOR,
        passphrase: &secret(PASSPHRASE),
        cost: Cost::FLOOR,
        memory_available: ROOMY,
        now_ms: 1_795_000_000_000,
    };
    Vault::create(store, &new).unwrap()
}

/// A second connection that goes around everything the store checks.
fn raw(dir: &Path) -> Connection {
    Connection::open(dir.join("proximity.db")).unwrap()
}

fn id(number: u8) -> [u8; 16] {
    [number; 16]
}
