//! A vault frozen as hex: whatever is changed in the code, it must open for ever. `tests/vectors/read_vault.py` opens
//! the same file with an implementation that shares no code with this one. `store-role freeze` writes such a file.

use std::collections::BTreeMap;

use proximity::store::{RecordName, Store, StoreError, Vault, VaultError};
use rusqlite::types::Value;
use rusqlite::{params, params_from_iter};

use super::{MANIFEST, META, OPERATOR, OPERATOR_ROW, RECORD, ROOMY, SLOT, id, secret};

const FROZEN: &str = include_str!("../vectors/vault-v2.txt");

fn unhex(text: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(pair).collect()
}

fn frozen() -> BTreeMap<&'static str, Value> {
    let line = |line: &'static str| {
        let (name, value) = line.split_once(" = ")?;
        let value = match value.split_once(' ').unwrap_or((value, "")) {
            ("int", number) => Value::Integer(number.parse().unwrap()),
            ("text", text) => Value::Text(text.to_owned()),
            ("hex", digits) => Value::Blob(unhex(digits)),
            ("null", _) => Value::Null,
            other => panic!("{other:?}"),
        };
        Some((name, value))
    };
    FROZEN.lines().filter_map(line).collect()
}

fn text(values: &BTreeMap<&str, Value>, name: &str) -> String {
    match &values[name] {
        Value::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn thaw(values: &BTreeMap<&str, Value>) -> Store {
    let store = Store::in_memory().unwrap();
    store
        .write_txn(|tx| {
            let rows = [
                ("meta", "vault_meta", META),
                ("slot_operator", "slot", SLOT),
                ("slot_recovery", "slot", SLOT),
                ("operator", "operator", OPERATOR_ROW),
                ("manifest", "manifest", MANIFEST),
                ("record", "sealed", RECORD),
            ];
            for (name, table, columns) in rows {
                let columns: Vec<&str> = columns.split(' ').collect();
                let marks = vec!["?"; columns.len()].join(", ");
                let sql = format!("INSERT INTO {table} ({}) VALUES ({marks})", columns.join(", "));
                let row = columns.iter().map(|column| &values[format!("{name}.{column}").as_str()]);
                tx.execute(&sql, params_from_iter(row))?;
            }
            Ok::<(), StoreError>(())
        })
        .unwrap();
    store
}

#[test]
fn the_frozen_vault_opens() {
    let values = frozen();
    let store = thaw(&values);
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("host.key");
    let Value::Blob(bytes) = &values["host_key"] else { panic!() };
    std::fs::write(&key, bytes).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();

    Vault::check_slots(&store).unwrap();
    let passphrase = secret(&text(&values, "passphrase"));
    let by_passphrase = Vault::unlock(&store, &key, OPERATOR, &passphrase, ROOMY).unwrap();
    let by_words = Vault::unlock_with_words(&store, &secret(&text(&values, "words"))).unwrap();
    for vault in [by_passphrase, by_words] {
        let opened = vault.open(&store, "host", "password", &id(7)).unwrap();
        assert_eq!(opened.expose_text(), Some(text(&values, "plain").as_str()));
        let found = vault.verify_all(&store).unwrap();
        assert_eq!((found.opened, found.bad_slots.len()), (1, 0));
    }
}

#[test]
fn a_second_reading_of_the_format_agrees() {
    let at = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let library = ["-c", "import cryptography.hazmat.primitives.kdf.argon2"];
    if !std::process::Command::new("python3").args(library).output().is_ok_and(|o| o.status.success()) {
        eprintln!("SKIPPED: python3 with the package cryptography is not here");
        return;
    }
    let words = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(words.path(), bip39::Language::English.word_list().join("\n")).unwrap();
    let read = |vector: &std::path::Path| {
        let program = format!("{at}/read_vault.py");
        std::process::Command::new("python3").arg(program).arg(vector).arg(words.path()).output().unwrap()
    };
    let vector = format!("{at}/vault-v2.txt");
    let good = read(vector.as_ref());
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    // It reads, and does not only nod: one changed digit in any of these lines is an error.
    let changed = tempfile::NamedTempFile::new().unwrap();
    for line in ["record.body", "slot_operator.sealed_key", "slot_recovery.wrapped", "operator.mac", "manifest.mac", "meta.mac"] {
        let start = FROZEN.find(&format!("{line} = hex ")).unwrap() + line.len() + 7;
        let digit = if FROZEN[start..].starts_with('0') { "1" } else { "0" };
        std::fs::write(changed.path(), [&FROZEN[..start], digit, &FROZEN[start + 1..]].concat()).unwrap();
        assert!(!read(changed.path()).status.success(), "{line}");
    }
}

#[test]
fn the_check_of_all_names_what_does_not_open() {
    let values = frozen();
    let store = thaw(&values);
    let vault = Vault::unlock_with_words(&store, &secret(&text(&values, "words"))).unwrap();
    store
        .write_txn(|tx| {
            tx.execute("UPDATE sealed SET body = zeroblob(40)", [])?;
            tx.execute("UPDATE slot SET mac = zeroblob(32) WHERE kind = ?1", params!["operator"])?;
            Ok::<(), StoreError>(())
        })
        .unwrap();
    let found = vault.verify_all(&store).unwrap();
    assert_eq!(found.opened, 0);
    let [(name, VaultError::Tampered { .. })] = found.failed.as_slice() else { panic!("{found:?}") };
    let expected = RecordName { table: "host".to_owned(), column: "password".to_owned(), row_id: id(7) };
    assert_eq!(name, &expected);
    assert!(matches!(found.bad_slots.as_slice(), [VaultError::Tampered { .. }]));
}
