//! Records and slots changed behind the vault's back: never a value, never a default, always told.

use std::path::Path;

use proximity::store::{Secret, Store, Vault, VaultError};
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::{id, make_vault, new_store, raw, secret, try_vault};

fn column(conn: &Connection, table: &str, column: &str, rowid: i64) -> Value {
    let sql = format!("SELECT {column} FROM {table} WHERE rowid = ?1");
    conn.query_row(&sql, [rowid], |row| row.get(0)).unwrap()
}

fn set(conn: &Connection, table: &str, column: &str, rowid: i64, value: &Value) -> bool {
    let sql = format!("UPDATE {table} SET {column} = ?2 WHERE rowid = ?1");
    conn.execute(&sql, params![rowid, value]).is_ok()
}

/// The value with each of its bytes changed in turn.
fn flips(value: &Value) -> Vec<Value> {
    match value {
        Value::Integer(number) => (0..8).map(|byte| Value::Integer(number ^ (1 << (8 * byte)))).collect(),
        Value::Text(text) => (0..text.len())
            .map(|at| {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                Value::Text(String::from_utf8(bytes).unwrap())
            })
            .collect(),
        Value::Blob(bytes) => (0..bytes.len())
            .map(|at| {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1;
                Value::Blob(bytes)
            })
            .collect(),
        Value::Null | Value::Real(_) => Vec::new(),
    }
}

/// Changes each byte of one column and hands each case to `look`; puts the old value back.
fn each_flip(dir: &Path, table: &str, name: &str, rowid: i64, mut look: impl FnMut(&Value, String)) -> usize {
    let conn = raw(dir);
    // One fsync per flip is minutes of waiting for a promise this test does not need.
    conn.execute_batch("PRAGMA synchronous = OFF; PRAGMA ignore_check_constraints = ON").unwrap();
    let good = column(&conn, table, name, rowid);
    let mut cases = 0;
    for (at, bad) in flips(&good).iter().enumerate() {
        if set(&conn, table, name, rowid, bad) {
            look(bad, format!("{table}.{name} byte {at}"));
            cases += 1;
        }
    }
    assert!(set(&conn, table, name, rowid, &good));
    cases
}

const NAMES: [&str; 2] = ["table_name", "column_name"];

#[test]
fn each_changed_byte_of_a_record_is_told() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let value = secret(&"0123456789abcdef".repeat(8));
    vault.seal(&store, "host", "password", &id(1), &value).unwrap();
    let mut cases = 0;
    for name in ["scope_id", "epoch", "row_version", "nonce", "body"] {
        cases += each_flip(&dir, "sealed", name, 1, |_, case| {
            let outcome = vault.open(&store, "host", "password", &id(1));
            assert!(matches!(outcome, Err(VaultError::Tampered { .. })), "{case}");
        });
    }
    assert_eq!(cases, 16 + 8 + 8 + 24 + 128 + 16);
    // A changed name is another record: the old one is gone and the new one was never sealed.
    for name in ["table_name", "column_name", "row_id"] {
        each_flip(&dir, "sealed", name, 1, |bad, case| {
            let gone = vault.open(&store, "host", "password", &id(1));
            assert!(matches!(gone, Err(VaultError::NotSet { .. })), "{case}");
            let (mut table, mut column, mut row) = ("host".to_owned(), "password".to_owned(), id(1));
            match bad {
                Value::Text(text) if name == NAMES[0] => table.clone_from(text),
                Value::Text(text) => column.clone_from(text),
                Value::Blob(bytes) => row = bytes.as_slice().try_into().unwrap(),
                _ => unreachable!(),
            }
            let moved = vault.open(&store, &table, &column, &row);
            assert!(matches!(moved, Err(VaultError::Tampered { .. })), "{case}");
            assert_eq!(vault.verify_all(&store).unwrap().failed.len(), 1, "{case}");
        });
    }
    assert_eq!(vault.open(&store, "host", "password", &id(1)).unwrap().expose(), value.expose());
}

#[test]
fn a_record_of_the_wrong_shape_is_damaged() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    vault.seal(&store, "host", "password", &id(1), &secret("value")).unwrap();
    let conn = raw(&dir);
    for (name, bad) in [("nonce", vec![0; 23]), ("nonce", vec![]), ("body", vec![0; 15]), ("scope_id", vec![0; 17])] {
        let good = column(&conn, "sealed", name, 1);
        assert!(set(&conn, "sealed", name, 1, &Value::Blob(bad)));
        let outcome = vault.open(&store, "host", "password", &id(1));
        assert!(matches!(outcome, Err(VaultError::Corrupt { .. })), "{name}");
        assert!(set(&conn, "sealed", name, 1, &good));
    }
    for length in 16..21 {
        let good = column(&conn, "sealed", "body", 1);
        let Value::Blob(body) = &good else { unreachable!() };
        assert!(set(&conn, "sealed", "body", 1, &Value::Blob(body[..length].to_vec())));
        let outcome = vault.open(&store, "host", "password", &id(1));
        assert!(matches!(outcome, Err(VaultError::Tampered { .. })), "cut to {length}");
        assert!(set(&conn, "sealed", "body", 1, &good));
    }
}

#[test]
fn no_record_opens_in_the_place_of_another() {
    const ROWS: u8 = 12;
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    // Same row in two tables and two columns, several rows: every way to be a neighbour.
    let places: Vec<(&str, &str, [u8; 16])> =
        (0..ROWS).map(|n| (["host", "app"][usize::from(n % 2)], ["password", "token"][usize::from(n / 2 % 2)], id(n / 4))).collect();
    for (table, column, row) in &places {
        vault.seal(&store, table, column, row, &secret("all the same")).unwrap();
    }
    let conn = raw(&dir);
    conn.execute_batch("PRAGMA synchronous = OFF").unwrap();
    let mut pairs = 0;
    for (from, _) in places.iter().enumerate() {
        for (to, (table, name, row)) in places.iter().enumerate().filter(|(to, _)| *to != from) {
            conn.execute_batch("SAVEPOINT s").unwrap();
            let (from_id, to_id) = (i64::try_from(from).unwrap() + 1, i64::try_from(to).unwrap() + 1);
            for column_name in ["scope_id", "epoch", "row_version", "nonce", "body"] {
                let value = column(&conn, "sealed", column_name, from_id);
                assert!(set(&conn, "sealed", column_name, to_id, &value));
            }
            let outcome = vault.open_in(&conn, table, name, row);
            assert!(matches!(outcome, Err(VaultError::Tampered { .. })), "{from} in the place of {to}");
            conn.execute_batch("ROLLBACK TO s; RELEASE s").unwrap();
            pairs += 1;
        }
    }
    assert_eq!(pairs, 132);
    assert_eq!(vault.verify_all(&store).unwrap().opened, usize::from(ROWS));
}

#[test]
fn a_record_of_another_vault_or_an_older_version_does_not_open() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let (_outer2, dir2, store2) = new_store();
    let (vault2, _) = try_vault(&store2, &dir2).unwrap();
    vault.seal(&store, "host", "password", &id(1), &secret("value")).unwrap();
    vault2.seal(&store2, "host", "password", &id(1), &secret("value")).unwrap();
    assert!(matches!(vault2.open(&store, "host", "password", &id(1)), Err(VaultError::Tampered { .. })));

    let conn = raw(&dir);
    let old = column(&conn, "sealed", "body", 1);
    let nonce = column(&conn, "sealed", "nonce", 1);
    vault.seal(&store, "host", "password", &id(1), &secret("newer")).unwrap();
    // Writing replaces the row, so look its number up again.
    let rowid: i64 = conn.query_row("SELECT rowid FROM sealed", [], |row| row.get(0)).unwrap();
    assert!(set(&conn, "sealed", "body", rowid, &old) && set(&conn, "sealed", "nonce", rowid, &nonce));
    assert!(matches!(vault.open(&store, "host", "password", &id(1)), Err(VaultError::Tampered { .. })));
}

#[test]
fn each_changed_byte_of_a_slot_is_told_before_a_passphrase_is_asked_for() {
    let (_outer, dir, store) = new_store();
    let (vault, words) = make_vault(&store, &dir);
    let typed = secret(&words.expose().join(" "));
    let names = ["kind", "operator", "header", "check_value", "nonce", "wrapped", "sealed_key", "row_version", "mac", "sum", "id"];
    let mut cases = 0;
    for rowid in [1, 2] {
        for name in names {
            cases += each_flip(&dir, "slot", name, rowid, |_, case| {
                let seen = Vault::check_slots(&store);
                assert!(matches!(seen, Err(VaultError::Tampered { .. })), "{case}");
                assert_eq!(vault.verify_all(&store).unwrap().bad_slots.len(), 1, "{case}");
            });
        }
    }
    assert!(cases > 500, "{cases}");
    // One damaged slot does not keep the operator from using the other.
    let conn = raw(&dir);
    let poor = Vault::unlock(&store, &proximity::store::host_key_path(&dir), super::OPERATOR, &secret(super::PASSPHRASE), 0);
    assert!(matches!(poor, Err(VaultError::CostTooHigh { .. })));
    let operator = "UPDATE slot SET wrapped = zeroblob(48) WHERE kind = 'operator'";
    conn.execute(operator, []).unwrap();
    assert!(Vault::unlock_with_words(&store, &typed).is_ok());
    let key = proximity::store::host_key_path(&dir);
    // Without memory for the slow step: it is told before that is even asked about.
    let unlock = || Vault::unlock(&store, &key, super::OPERATOR, &secret(super::PASSPHRASE), 0);
    assert!(matches!(unlock(), Err(VaultError::Tampered { .. })), "told without the slow step");
    conn.execute("UPDATE slot SET header = x'00' WHERE kind = 'operator'", []).unwrap();
    assert!(matches!(Vault::check_slots(&store), Err(VaultError::Corrupt { .. })));
}

#[test]
fn each_changed_byte_of_the_vaults_own_row_is_told() {
    let (_outer, dir, store) = new_store();
    let (_, words) = make_vault(&store, &dir);
    let typed = secret(&words.expose().join(" "));
    for name in ["vault_id", "created_ms", "epoch", "mac"] {
        let cases = each_flip(&dir, "vault_meta", name, 1, |_, case| {
            let outcome = Vault::unlock_with_words(&store, &typed);
            assert!(matches!(outcome, Err(VaultError::Tampered { .. } | VaultError::Corrupt { .. })), "{case}");
        });
        assert!(cases >= 8, "{name}");
    }
    assert!(Vault::unlock_with_words(&store, &typed).is_ok());
    raw(&dir).execute("DELETE FROM vault_meta", []).unwrap();
    let outcome = Vault::unlock_with_words(&store, &typed);
    assert!(matches!(outcome, Err(VaultError::Corrupt { .. })), "slots without their vault");
    assert!(Vault::exists(&store).unwrap(), "nobody offers to make a new one over it");
}

#[test]
fn no_secret_reaches_the_disk() {
    fn marks(value: &[u8]) -> Vec<Vec<u8>> {
        let hex: String = value.iter().map(|b| format!("{b:02x}")).collect();
        let wide: Vec<u8> = value.iter().flat_map(|b| [*b, 0]).collect();
        // Base64 in each of its three alignments, without the ends that depend on the neighbours.
        let base64 = (0..3).map(|skip| base64(&value[skip..value.len() - (value.len() - skip) % 3]));
        let mut all = vec![value.to_vec(), hex.clone().into_bytes(), hex.to_uppercase().into_bytes(), wide];
        all.extend(base64);
        all
    }
    let (_outer, dir, store) = new_store();
    let (vault, words) = make_vault(&store, &dir);
    let values: Vec<String> = (0..50).map(|n| format!("MARKER-{n:04}-{}", "Zx9".repeat(n * 20))).collect();
    for (number, value) in (0u8..).zip(&values) {
        for _ in 0..2 {
            vault.seal(&store, "host", "password", &id(number), &secret(value)).unwrap();
        }
    }
    let mut wanted: Vec<Vec<u8>> = values.iter().flat_map(|v| marks(&v.as_bytes()[..11])).collect();
    wanted.extend(marks(PASSPHRASE_START));
    wanted.extend(marks(words.expose()[..4].join(" ").as_bytes()));
    let scan = |when: &str| {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            for mark in &wanted {
                let found = memchr::memmem::find(&bytes, mark).is_some();
                assert!(!found, "{} holds {:?} {when}", path.display(), String::from_utf8_lossy(mark));
            }
        }
    };
    scan("at rest");
    vault
        .change(&store, |tx| {
            // Enough to spill into the file and the journal before the commit.
            for number in 0..50 {
                vault.seal_in(tx, "app", "token", &id(number), &secret(&values[usize::from(number)]))?;
            }
            tx.cache_flush()?;
            scan("in the middle of a write");
            Ok::<(), VaultError>(())
        })
        .unwrap();
}

const PASSPHRASE_START: &[u8] = b"orbit velvet cactus";

fn base64(bytes: &[u8]) -> Vec<u8> {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let chunk = |three: &[u8]| {
        let number = three.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| SIGNS[number >> shift & 63])
    };
    bytes.chunks_exact(3).flat_map(chunk).collect()
}

/// Any bytes at all as a value, and any bytes in the place of a sealed body.
mod any_bytes {
    use super::*;
    use proptest::prelude::*;
    use proximity::store::StoreError;

    fn fixture() -> &'static std::sync::Mutex<(Store, Vault)> {
        static ONCE: std::sync::OnceLock<std::sync::Mutex<(Store, Vault)>> = std::sync::OnceLock::new();
        ONCE.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::in_memory().unwrap();
            let (vault, _) = make_vault(&store, dir.path());
            std::sync::Mutex::new((store, vault))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_value_comes_back(value in prop::collection::vec(any::<u8>(), 0..2000), table in ".{0,20}", row: [u8; 16]) {
            let guard = fixture().lock().unwrap();
            let (store, vault) = &*guard;
            vault.seal(store, &table, "c", &row, &Secret::new(value.clone())).unwrap();
            let opened = vault.open(store, &table, "c", &row).unwrap();
            prop_assert_eq!(opened.expose(), &value[..]);
        }

        #[test]
        fn no_forged_body_opens(body in prop::collection::vec(any::<u8>(), 0..200), nonce: [u8; 24]) {
            let guard = fixture().lock().unwrap();
            let (store, vault) = &*guard;
            let mut told = false;
            let undone: Result<(), StoreError> = store.write_txn(|tx| {
                vault.seal_in(tx, "forged", "c", &[0; 16], &Secret::new(vec![1])).unwrap();
                tx.execute("UPDATE sealed SET body = ?1, nonce = ?2 WHERE table_name = 'forged'", params![body, nonce])?;
                let outcome = vault.open_in(tx, "forged", "c", &[0; 16]);
                told = matches!(outcome, Err(VaultError::Tampered { .. } | VaultError::Corrupt { .. }));
                Err(StoreError::Busy)
            });
            prop_assert!(undone.is_err());
            prop_assert!(told);
        }
    }
}
