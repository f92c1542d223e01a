//! What every test of the store begins with, and what the roles of `store-role` share with them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proximity::store::{Cost, NewOperator, RecoveryWords, Secret, Store, Vault, VaultError, host_key_path};
use rusqlite::Connection;
use tempfile::TempDir;

use super::image::Image;

/// Columns of a table, in the order of the frozen vault.
pub const SLOT: &str = "id kind operator header check_value nonce wrapped sealed_key row_version mac sum";
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

/// Recovery words as a test needs them.
pub struct Words(String);

impl Words {
    pub fn expose(&self) -> Vec<&str> {
        self.0.split(' ').collect()
    }
}

/// A vault in a new store. Deriving its key takes more than a second without optimisation, so a process makes one, and
/// the others are copies of it with the same keys and words; [`try_vault`] makes another.
pub fn make_vault(store: &Store, dir: &Path) -> (Vault, Words) {
    static FIRST: OnceLock<(Image, String)> = OnceLock::new();
    let (image, words) = FIRST.get_or_init(|| {
        let (_outer, dir, store) = new_store();
        let (_, words) = try_vault(&store, &dir).unwrap();
        (Image::of(&dir), words.expose().join(" "))
    });
    if store.path().is_none() {
        let (vault, words) = try_vault(store, dir).unwrap();
        return (vault, Words(words.expose().join(" ")));
    }
    let copy = tempfile::tempdir().unwrap();
    let first = copy.path().join("first");
    image.lay(&first);
    for name in ["host.key", "anchor"] {
        std::fs::copy(first.join(name), dir.join(name)).unwrap();
    }
    std::fs::set_permissions(dir.join("host.key"), PermissionsExt::from_mode(0o400)).unwrap();
    let conn = raw(dir);
    conn.execute("ATTACH ?1 AS first", [first.join("proximity.db").to_str().unwrap()]).unwrap();
    let names = "SELECT name FROM first.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let names: Vec<String> = conn.prepare(names).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let copies: String =
        names.iter().map(|name| format!("DELETE FROM main.{name}; INSERT INTO main.{name} SELECT * FROM first.{name};")).collect();
    conn.execute_batch(&format!("BEGIN IMMEDIATE; {copies} COMMIT")).unwrap();
    (Vault::unlock_with_words(store, &secret(words)).unwrap(), Words(words.clone()))
}

pub fn try_vault(store: &Store, dir: &Path) -> Result<(Vault, RecoveryWords), VaultError> {
    let new = NewOperator {
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
