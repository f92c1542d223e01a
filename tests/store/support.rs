//! What every test of the store begins with, and what the roles of `store-role` share with them.

use std::path::{Path, PathBuf};

use proximity::store::{Cost, NewVault, RecoveryWords, Secret, Store, Vault, VaultError, host_key_path};
use rusqlite::Connection;
use tempfile::TempDir;

/// Columns of a table, in the order of the frozen vault.
pub const SLOT: &str = "id kind operator header check_value nonce wrapped row_version mac sum";
pub const RECORD: &str = "table_name column_name row_id scope_id epoch row_version nonce body";
pub const META: &str = "only vault_id created_ms epoch mac";
pub const OPERATOR_ROW: &str = "id name created_ms mac";
pub const MANIFEST: &str = "only generation audit_head mac";

/// MemAvailable of a roomy host, in bytes.
pub const ROOMY: u64 = 16 << 30;
pub const OPERATOR: &str = "marta";
pub const PASSPHRASE: &str = "orbit velvet cactus lantern mosaic";

/// A private directory with a store in it.
pub fn new_store() -> (TempDir, PathBuf, Store) {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("proximity");
    let store = Store::create(&dir).unwrap();
    (outer, dir, store)
}

pub fn secret(text: &str) -> Secret {
    Secret::from_text(text.to_owned())
}

pub fn make_vault(store: &Store, dir: &Path) -> (Vault, RecoveryWords) {
    try_vault(store, dir).unwrap()
}

pub fn try_vault(store: &Store, dir: &Path) -> Result<(Vault, RecoveryWords), VaultError> {
    let new = NewVault {
        host_key: &host_key_path(dir),
        operator: OPERATOR,
        passphrase: &secret(PASSPHRASE),
        cost: Cost::FLOOR,
        memory_available: ROOMY,
        now_ms: 1_795_000_000_000,
    };
    Vault::create(store, &new)
}

/// A second connection that goes around everything the store checks.
pub fn raw(dir: &Path) -> Connection {
    Connection::open(dir.join("proximity.db")).unwrap()
}

pub fn id(number: u8) -> [u8; 16] {
    [number; 16]
}
