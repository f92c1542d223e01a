//! Whole rows and whole databases put back: each with tags of its own that are right, and told all the same.

use std::fs;
use std::path::Path;

use proximity::store::{Store, Vault, VaultError, Way};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::{RECORD, id, make_vault, new_store, raw, secret};

const ROWS: u8 = 10;
const TAMPERED: fn(&Result<(), VaultError>) -> bool = |outcome| matches!(outcome, Err(VaultError::Tampered { .. }));

fn quick(dir: &Path) -> Connection {
    let conn = raw(dir);
    conn.execute_batch("PRAGMA synchronous = OFF").unwrap();
    conn
}

fn rows(conn: &Connection) -> Vec<Vec<Value>> {
    let sql = format!("SELECT {} FROM sealed ORDER BY table_name, column_name, row_id", RECORD.replace(' ', ", "));
    let width = RECORD.split(' ').count();
    let mut query = conn.prepare(&sql).unwrap();
    query.query_map([], |row| (0..width).map(|at| row.get(at)).collect()).unwrap().collect::<Result<_, _>>().unwrap()
}

fn put(conn: &Connection, row: &[Value]) {
    let marks = vec!["?"; row.len()].join(", ");
    let sql = format!("INSERT OR REPLACE INTO sealed ({}) VALUES ({marks})", RECORD.replace(' ', ", "));
    conn.execute(&sql, params_from_iter(row)).unwrap();
}

/// A vault with sealed rows, each of which has had an earlier value.
fn with_history() -> (tempfile::TempDir, std::path::PathBuf, Store, Vault, String, Vec<Vec<Value>>) {
    let (outer, dir, store) = new_store();
    let (vault, words) = make_vault(&store, &dir);
    for number in 0..ROWS {
        vault.seal(&store, "host", "password", &id(number), &secret("old")).unwrap();
    }
    let old = rows(&raw(&dir));
    for number in 0..ROWS {
        vault.seal(&store, "host", "password", &id(number), &secret("new")).unwrap();
    }
    (outer, dir, store, vault, words.expose().join(" "), old)
}

#[test]
fn each_row_put_back_moved_or_taken_away_is_told() {
    let (_outer, dir, store, vault, words, old) = with_history();
    let conn = quick(&dir);
    let now = rows(&conn);
    let mut cases = 0;
    let mut told = |what: &str| {
        assert!(TAMPERED(&vault.check(&store)), "check: {what}");
        let changed = vault.seal(&store, "host", "token", &id(99), &secret("more"));
        assert!(TAMPERED(&changed), "change: {what}");
        cases += 1;
    };
    for (at, old_row) in old.iter().enumerate() {
        // The old value with its own version and tag opens; only the list knows that it is old.
        put(&conn, old_row);
        assert_eq!(vault.open(&store, "host", "password", &id(u8::try_from(at).unwrap())).unwrap().expose(), b"old");
        told(&format!("old row {at}"));
        put(&conn, &now[at]);
    }
    for (from, row) in now.iter().enumerate() {
        for (to, place) in now.iter().enumerate().filter(|(to, _)| *to != from) {
            // Names of `to`, everything else of `from`.
            put(&conn, &[&place[..3], &row[3..]].concat());
            told(&format!("{from} in the place of {to}"));
            put(&conn, &now[to]);
        }
    }
    for (at, row) in now.iter().enumerate() {
        conn.execute("DELETE FROM sealed WHERE row_id = ?1", [&row[2]]).unwrap();
        told(&format!("row {at} gone"));
        put(&conn, row);
    }
    assert_eq!(cases, 10 + 90 + 10);
    vault.check(&store).unwrap();
    put(&conn, &old[0]);
    assert!(matches!(Vault::unlock_with_words(&store, &secret(&words)), Err(VaultError::Tampered { .. })));
    put(&conn, &now[0]);
    assert!(Vault::unlock_with_words(&store, &secret(&words)).is_ok());
}

#[test]
fn other_rows_the_vault_answers_for_are_told_too() {
    let (_outer, dir, store, vault, ..) = with_history();
    let conn = quick(&dir);
    for change in [
        "DELETE FROM slot WHERE kind = 'operator'",
        "DELETE FROM slot WHERE kind = 'recovery'",
        "DELETE FROM operator",
        "UPDATE operator SET mac = zeroblob(32)",
        "UPDATE operator SET rowid = 9",
        "INSERT INTO operator (id, name, created_ms, mac) VALUES (zeroblob(16), 'mallory', 0, zeroblob(32))",
        "UPDATE slot SET row_version = row_version + 1 WHERE kind = 'recovery'",
        "DELETE FROM manifest",
        "UPDATE manifest SET generation = generation + 1",
        "UPDATE manifest SET generation = generation - 1",
        "UPDATE manifest SET audit_head = zeroblob(32)",
        "UPDATE manifest SET mac = zeroblob(32)",
    ] {
        let before = fs::read(dir.join("proximity.db")).unwrap();
        assert_eq!(conn.execute(change, []).unwrap(), 1, "{change}");
        assert!(TAMPERED(&vault.check(&store)), "{change}");
        assert!(TAMPERED(&vault.change(&store, |_| Ok(()))), "{change}");
        fs::write(dir.join("proximity.db"), before).unwrap();
        let again = Store::open(&dir).unwrap();
        vault.check(&again).unwrap();
        // The file was replaced under its feet; make the other connections read it again.
        again.write_txn(|_| Ok(())).unwrap();
        conn.execute_batch("PRAGMA shrink_memory").unwrap();
    }
}

#[test]
fn an_older_database_is_read_and_changed_only_after_it_was_accepted() {
    let (_outer, dir, store) = new_store();
    let (vault, words) = make_vault(&store, &dir);
    let words = secret(&words.expose().join(" "));
    let db = dir.join("proximity.db");
    let mut files = Vec::new();
    for number in 0..20u8 {
        files.push(fs::read(&db).unwrap());
        vault.seal(&store, "host", "password", &id(number), &secret("value")).unwrap();
    }
    drop(store);
    for (generation, file) in (1u64..).zip(&files) {
        fs::write(&db, file).unwrap();
        let store = Store::open(&dir).unwrap();
        let Err(VaultError::OlderThanAnchor { found, anchored }) = Vault::unlock_with_words(&store, &words) else {
            panic!("generation {generation} was not told");
        };
        assert_eq!((found, anchored), (generation, 21));
        let refused = vault.seal(&store, "host", "password", &id(1), &secret("x"));
        assert!(matches!(refused, Err(VaultError::OlderThanAnchor { .. })));
        let looking = Vault::enter_unchecked(&store, &Way::Words(&words)).unwrap();
        assert_eq!(looking.verify_all(&store).unwrap().opened as u64, generation - 1);
    }
    let store = Store::open(&dir).unwrap();
    assert_eq!(vault.accept(&store).unwrap(), 22);
    vault.check(&store).unwrap();
    vault.seal(&store, "host", "password", &id(1), &secret("x")).unwrap();
    assert!(Vault::unlock_with_words(&store, &words).is_ok());
    assert!(vault.anchor_note(&store).unwrap().is_none());
}

#[test]
fn what_does_not_open_is_not_accepted() {
    let (_outer, dir, store, vault, ..) = with_history();
    let conn = quick(&dir);
    conn.execute("UPDATE sealed SET body = zeroblob(40) WHERE row_id = ?1", [id(3)]).unwrap();
    assert!(matches!(vault.accept(&store), Err(VaultError::Tampered { .. })));
    assert!(TAMPERED(&vault.check(&store)));
    conn.execute("DELETE FROM sealed WHERE row_id = ?1", [id(3)]).unwrap();
    assert!(TAMPERED(&vault.check(&store)));
    vault.accept(&store).unwrap();
    vault.check(&store).unwrap();
}

#[test]
fn an_anchor_that_is_behind_missing_or_strange_locks_nobody_out() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let anchor = dir.join("anchor");
    let change = || vault.seal(&store, "host", "password", &id(1), &secret("x")).unwrap();
    let note = || vault.anchor_note(&store).unwrap();
    let mut kept = vec![fs::read(&anchor).unwrap()];
    for _ in 0..2 {
        change();
        kept.push(fs::read(&anchor).unwrap());
    }
    assert_eq!(note(), None);
    fs::write(&anchor, &kept[1]).unwrap();
    vault.check(&store).unwrap();
    assert_eq!(note(), None, "one behind is what a crash leaves");
    fs::write(&anchor, &kept[0]).unwrap();
    vault.check(&store).unwrap();
    assert!(note().unwrap().contains("2 changes behind"));

    let (_outer2, dir2, store2) = new_store();
    super::try_vault(&store2, &dir2).unwrap();
    let strange = fs::read(dir2.join("anchor")).unwrap();
    for (bytes, word) in [(&b"nonsense"[..], "damaged"), (&kept[2][..40], "damaged"), (&strange[..], "another vault"), (&[0; 5000], "long")]
    {
        fs::write(&anchor, bytes).unwrap();
        vault.check(&store).unwrap();
        assert!(note().unwrap().contains(word), "{word}");
        change();
        assert_eq!(note(), None, "the next change mends it: {word}");
    }
    fs::remove_file(&anchor).unwrap();
    assert!(note().unwrap().contains("missing"));
    // A directory in its place cannot be replaced: the change is made, and the note stays.
    fs::create_dir(&anchor).unwrap();
    change();
    assert_eq!(vault.open(&store, "host", "password", &id(1)).unwrap().expose(), b"x");
    assert!(note().unwrap().contains("cannot be read"));
    fs::remove_dir(&anchor).unwrap();
    change();
    assert_eq!(note(), None);
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(&anchor).unwrap().mode() & 0o777, 0o600);
    assert!(!dir.join("anchor.new").exists());
}

#[test]
fn the_head_of_the_audit_log_is_vouched_for() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    assert_eq!(vault.audit_head(&store).unwrap(), None);
    vault.change(&store, |tx| vault.note_audit_head(tx, &[7; 32])).unwrap();
    vault.seal(&store, "host", "password", &id(1), &secret("x")).unwrap();
    assert_eq!(vault.audit_head(&store).unwrap(), Some([7; 32]));
    assert!(fs::read_to_string(dir.join("anchor")).unwrap().contains(&"07".repeat(32)));
    raw(&dir).execute("UPDATE manifest SET audit_head = zeroblob(32)", []).unwrap();
    assert!(matches!(vault.audit_head(&store), Err(VaultError::Tampered { .. })));
}
