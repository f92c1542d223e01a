//! Several people at one vault: who comes in, who no longer does, and another vault key under all of them.

use std::path::Path;

use proximity::store::{Cost, NewOperator, Store, Vault, VaultError, Way, host_key_path, host_slot_path};

use super::{OPERATOR, PASSPHRASE, ROOMY, id, make_vault, new_store, raw, secret};

const OTHERS: &str = "tarnish gravel umbrella seventy";

fn enter(store: &Store, dir: &Path, operator: &str, passphrase: &str) -> Result<Vault, VaultError> {
    Vault::unlock(store, &host_key_path(dir), operator, &secret(passphrase), ROOMY)
}

fn with_new<T>(dir: &Path, operator: &str, passphrase: &str, f: impl FnOnce(&NewOperator<'_>) -> T) -> T {
    let (host_key, passphrase) = (host_key_path(dir), secret(passphrase));
    let (cost, memory_available, now_ms) = (Cost::FLOOR, ROOMY, 5);
    f(&NewOperator { host_key: &host_key, operator, passphrase: &passphrase, cost, memory_available, now_ms })
}

fn add(vault: &Vault, store: &Store, dir: &Path, operator: &str) -> Result<[u8; 16], VaultError> {
    with_new(dir, operator, OTHERS, |new| vault.add_operator(store, new, |_, _| Ok(())))
}

#[test]
fn an_operator_comes_in_changes_his_passphrase_and_goes() {
    let (_outer, dir, store) = new_store();
    let (mut vault, words) = make_vault(&store, &dir);
    vault.seal(&store, "host", "password", &id(1), &secret("value")).unwrap();
    let boris = with_new(&dir, "boris", OTHERS, |new| {
        vault.add_operator(&store, new, |tx, rowid| {
            tx.execute("UPDATE operator SET created_ms = 9 WHERE rowid = ?1", [rowid])?;
            Ok(())
        })
    });
    let listed = store.read(|c| Ok(vault.operators(c).unwrap())).unwrap();
    assert_eq!((listed[0].name.as_str(), listed[0].id, listed[0].created_ms), ("boris", boris.unwrap(), 9));
    assert_eq!((listed.len(), listed[1].name.as_str()), (2, OPERATOR));
    assert!(matches!(add(&vault, &store, &dir, "boris"), Err(VaultError::OperatorExists { .. })));

    let his = enter(&store, &dir, "boris", OTHERS).unwrap();
    assert_eq!(his.open(&store, "host", "password", &id(1)).unwrap().expose(), b"value");
    assert!(matches!(enter(&store, &dir, "boris", PASSPHRASE), Err(VaultError::WrongPassphrase)));

    let newer = "winter apples moths cellar";
    let change = |old: &str| with_new(&dir, "boris", newer, |new| his.change_passphrase(&store, &secret(old), new));
    assert!(matches!(change(PASSPHRASE), Err(VaultError::WrongPassphrase)));
    assert!(enter(&store, &dir, "boris", OTHERS).is_ok(), "a refused change changed nothing");
    change(OTHERS).unwrap();
    assert!(matches!(enter(&store, &dir, "boris", OTHERS), Err(VaultError::WrongPassphrase)));
    enter(&store, &dir, "boris", newer).unwrap();
    let strange = with_new(&dir, "nobody", newer, |new| vault.set_passphrase(&store, new));
    assert!(matches!(strange, Err(VaultError::UnknownOperator { .. })));

    let before = std::fs::read(dir.join("proximity.db")).unwrap();
    vault.remove_operator(&store, "boris").unwrap();
    assert!(matches!(enter(&store, &dir, "boris", newer), Err(VaultError::UnknownOperator { .. })));
    assert!(matches!(vault.remove_operator(&store, "boris"), Err(VaultError::UnknownOperator { .. })));
    assert!(matches!(vault.remove_operator(&store, OPERATOR), Err(VaultError::LastOperator { .. })));
    vault.check(&store).unwrap();
    // The key he had, and all he kept of his slot, open nothing of what is there now.
    assert!(matches!(his.open(&store, "host", "password", &id(1)), Err(VaultError::Tampered { .. })));
    let (_old_outer, old_dir, old_store) = new_store();
    drop(old_store);
    std::fs::write(old_dir.join("proximity.db"), before).unwrap();
    let conn = raw(&dir);
    conn.execute("ATTACH ?1 AS old", [old_dir.join("proximity.db").to_str().unwrap()]).unwrap();
    conn.execute("INSERT INTO slot SELECT * FROM old.slot WHERE operator = 'boris'", []).unwrap();
    let back = Vault::enter_unchecked(
        &store,
        &Way::Passphrase { host_key: &host_key_path(&dir), operator: "boris", passphrase: &secret(newer), memory_available: ROOMY },
    );
    assert!(matches!(back, Err(VaultError::Tampered { .. })), "his old slot opens nothing");
    assert!(matches!(vault.check(&store), Err(VaultError::Tampered { .. })));
    conn.execute("DELETE FROM slot WHERE operator = 'boris'", []).unwrap();
    assert!(Vault::unlock_with_words(&store, &secret(&words.expose().join(" "))).is_ok(), "the words survive another vault key");
    enter(&store, &dir, OPERATOR, PASSPHRASE).unwrap();
}

#[test]
fn an_operator_added_by_sql_is_told() {
    let (_outer, dir, store) = new_store();
    let (mut vault, _) = make_vault(&store, &dir);
    add(&vault, &store, &dir, "boris").unwrap();
    let conn = raw(&dir);
    let mut cases = 0;
    for change in [
        "INSERT INTO operator (id, name, created_ms, mac) SELECT zeroblob(16), 'mallory', created_ms, mac FROM operator LIMIT 1",
        "INSERT INTO slot SELECT zeroblob(16), kind, 'mallory', header, check_value, nonce, wrapped, row_version, mac, sum, sealed_key FROM slot WHERE operator = 'boris'",
        "UPDATE slot SET operator = 'mallory' WHERE operator = 'boris'",
        "UPDATE operator SET name = 'mallory' WHERE name = 'boris'",
        "DELETE FROM slot WHERE operator = 'boris'",
        "DELETE FROM operator WHERE name = 'boris'",
        // A public key of his own in the slot of another.
        "UPDATE slot SET header = CAST(substr(header, 1, 85) || zeroblob(32) || substr(header, 118) AS BLOB) WHERE operator = 'boris'",
    ] {
        conn.execute_batch("SAVEPOINT s").unwrap();
        assert_eq!(conn.execute(change, []).unwrap(), 1, "{change}");
        assert!(matches!(vault.operators(&conn), Err(VaultError::Tampered { .. })), "{change}");
        conn.execute_batch("RELEASE s").unwrap();
        let before = vault.rotate(&store);
        assert!(matches!(before, Err(VaultError::Tampered { .. })), "nobody gets the next key by it: {change}");
        // Back to what it was.
        for undo in [
            "DELETE FROM operator WHERE name = 'mallory' AND id = zeroblob(16)",
            "DELETE FROM slot WHERE id = zeroblob(16)",
            "UPDATE slot SET operator = 'boris' WHERE operator = 'mallory'",
            "UPDATE operator SET name = 'boris' WHERE name = 'mallory'",
        ] {
            conn.execute(undo, []).unwrap();
        }
        cases += 1;
        if vault.check(&store).is_err() || vault.operators(&conn).is_err() {
            // What was deleted or overwritten cannot be undone by a statement; begin with a new one.
            conn.execute("DELETE FROM slot WHERE operator = 'boris'", []).unwrap();
            conn.execute("DELETE FROM operator WHERE name = 'boris'", []).unwrap();
            vault.accept(&store).unwrap();
            add(&vault, &store, &dir, "boris").unwrap();
        }
    }
    assert_eq!(cases, 7);
    assert_eq!(vault.operators(&conn).unwrap().len(), 2);
}

#[test]
fn another_vault_key_reaches_everybody_and_no_old_row() {
    let (_outer, dir, store) = new_store();
    let (mut vault, words) = make_vault(&store, &dir);
    add(&vault, &store, &dir, "boris").unwrap();
    vault.add_host_slot(&store, &host_slot_path(&dir)).unwrap();
    let words = secret(&words.expose().join(" "));
    let values: Vec<String> = (0..30).map(|n| format!("value {n}")).collect();
    for (number, value) in (0u8..).zip(&values) {
        vault.seal(&store, "host", "password", &id(number), &secret(value)).unwrap();
    }
    let mut other = Vault::enter(&store, &Way::HostSlot(&host_slot_path(&dir))).unwrap();
    let conn = raw(&dir);
    let sealed = |n: u8| -> (i64, i64, Vec<u8>, Vec<u8>) {
        let sql = "SELECT epoch, row_version, nonce, body FROM sealed WHERE row_id = ?1";
        conn.query_row(sql, [id(n)], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))).unwrap()
    };
    let old = sealed(3);
    assert_eq!(vault.rotate(&store).unwrap(), 30);
    let all_open = |vault: &Vault| {
        for (number, value) in (0u8..).zip(&values) {
            assert_eq!(vault.open(&store, "host", "password", &id(number)).unwrap().expose_text(), Some(value.as_str()));
        }
        let found = vault.verify_all(&store).unwrap();
        assert_eq!(found.opened, 30);
        found.into_result().unwrap();
        vault.check(&store).unwrap();
    };
    all_open(&vault);
    all_open(&enter(&store, &dir, OPERATOR, PASSPHRASE).unwrap());
    all_open(&enter(&store, &dir, "boris", OTHERS).unwrap());
    all_open(&Vault::unlock_with_words(&store, &words).unwrap());

    // A console that was open all the time takes the new key over, and until then changes nothing.
    assert!(matches!(other.check(&store), Err(VaultError::OtherKey)));
    let late = other.seal(&store, "host", "password", &id(1), &secret("late"));
    assert!(matches!(late, Err(VaultError::OtherKey)));
    other.renew(&store).unwrap();
    all_open(&other);

    // A row of the epoch before does not open, with its own epoch or the new one.
    let put = |row: &(i64, i64, Vec<u8>, Vec<u8>), epoch: i64| {
        let sql = "UPDATE sealed SET epoch = ?2, row_version = ?3, nonce = ?4, body = ?5 WHERE row_id = ?1";
        conn.execute(sql, rusqlite::params![id(3), epoch, row.1, row.2, row.3]).unwrap();
    };
    let new = sealed(3);
    assert!(new.0 == old.0 + 1 && new.1 == old.1 + 1);
    for epoch in [old.0, new.0] {
        put(&old, epoch);
        assert!(matches!(vault.open(&store, "host", "password", &id(3)), Err(VaultError::Tampered { .. })));
        assert!(matches!(vault.check(&store), Err(VaultError::Tampered { .. })));
    }
    put(&new, new.0);
    all_open(&vault);

    vault.remove_host_slot(&store).unwrap();
    assert!(matches!(Vault::enter(&store, &Way::HostSlot(&host_slot_path(&dir))), Err(VaultError::NotSet { .. })));
    assert!(matches!(other.renew(&store), Err(VaultError::OtherKey)), "its way in is gone");
}

#[test]
fn a_record_that_does_not_open_stops_the_rotation_and_nothing_changes() {
    let (_outer, dir, store) = new_store();
    let (mut vault, _) = make_vault(&store, &dir);
    for number in 0..5 {
        vault.seal(&store, "host", "password", &id(number), &secret(&"x".repeat(100))).unwrap();
    }
    let conn = raw(&dir);
    let whole: Vec<u8> = conn.query_row("SELECT body FROM sealed WHERE row_id = ?1", [id(3)], |r| r.get(0)).unwrap();
    let mut bad = whole.clone();
    // Not in the tag, so the manifest does not see it; the rotation does.
    bad[0] ^= 1;
    let put = |body: &[u8]| conn.execute("UPDATE sealed SET body = ?1 WHERE row_id = ?2", rusqlite::params![body, id(3)]).unwrap();
    put(&bad);
    vault.check(&store).unwrap();
    assert!(matches!(vault.rotate(&store), Err(VaultError::Tampered { .. })));
    assert_eq!(conn.query_row("SELECT max(epoch) FROM sealed", [], |r| r.get::<_, i64>(0)).unwrap(), 1);
    put(&whole);
    vault.rotate(&store).unwrap();
    vault.verify_all(&store).unwrap().into_result().unwrap();
    assert_eq!(conn.query_row("SELECT min(epoch) FROM sealed", [], |r| r.get::<_, i64>(0)).unwrap(), 2);
}

#[test]
fn new_words_open_and_the_old_ones_do_not() {
    let (_outer, dir, store) = new_store();
    let (vault, old) = make_vault(&store, &dir);
    let new = proximity::store::RecoveryWords::random().unwrap();
    vault.set_words(&store, &new).unwrap();
    assert!(matches!(Vault::unlock_with_words(&store, &secret(&old.expose().join(" "))), Err(VaultError::WrongWords { .. })));
    Vault::unlock_with_words(&store, &secret(&new.expose().join(" "))).unwrap();
    vault.check(&store).unwrap();
}
