//! The vault as an operator meets it: making it, opening it, and being told which of three things is wrong.

use std::fs;

use proximity::store::{Cost, NewOperator, Secret, Store, StoreError, Vault, VaultError, calibrate, host_key_path};

use super::{OPERATOR, PASSPHRASE, ROOMY, id, make_vault, new_store, secret};

fn unlock(store: &Store, dir: &std::path::Path, passphrase: &str) -> Result<Vault, VaultError> {
    Vault::unlock(store, &host_key_path(dir), OPERATOR, &secret(passphrase), ROOMY)
}

#[test]
fn values_come_back_after_unlocking_either_way() {
    let (_outer, dir, store) = new_store();
    assert!(!Vault::exists(&store).unwrap());
    let (vault, words) = make_vault(&store, &dir);
    let key_file = "k".repeat(16 * 1024);
    for (column, value) in [("password", "******"), ("empty", ""), ("key", key_file.as_str())] {
        vault.seal(&store, "host", column, &id(1), &secret(value)).unwrap();
    }
    vault.seal(&store, "host", "password", &id(1), &secret("second")).unwrap();
    drop((vault, store));

    let store = Store::open(&dir).unwrap();
    assert!(Vault::exists(&store).unwrap());
    Vault::check_slots(&store).unwrap();
    let by_words = Vault::unlock_with_words(&store, &secret(&words.expose().join(" "))).unwrap();
    let by_passphrase = unlock(&store, &dir, PASSPHRASE).unwrap();
    for vault in [by_words, by_passphrase] {
        let open = |column| vault.open(&store, "host", column, &id(1)).unwrap();
        assert_eq!(open("password").expose(), b"second");
        assert_eq!(open("empty").expose(), b"");
        assert_eq!(open("key").expose_text(), Some(key_file.as_str()));
        let missing = vault.open(&store, "host", "password", &id(2));
        assert!(matches!(missing, Err(VaultError::NotSet { .. })));
        let found = vault.verify_all(&store).unwrap();
        assert_eq!((found.opened, found.failed.len(), found.bad_slots.len()), (3, 0, 0));
    }
}

#[test]
fn what_is_wrong_is_told_apart() {
    let (_outer, dir, store) = new_store();
    assert!(matches!(unlock(&store, &dir, PASSPHRASE), Err(VaultError::NoVault)));
    let (_, words) = make_vault(&store, &dir);
    let words = words.expose().join(" ");

    assert!(matches!(unlock(&store, &dir, "orbit velvet cactus lantern mosai"), Err(VaultError::WrongPassphrase)));
    assert!(matches!(unlock(&store, &dir, ""), Err(VaultError::WrongPassphrase)));
    let key = host_key_path(&dir);
    let other = Vault::unlock(&store, &key, "martin", &secret(PASSPHRASE), ROOMY);
    assert!(matches!(other, Err(VaultError::UnknownOperator { .. })));
    let poor = Vault::unlock(&store, &key, OPERATOR, &secret(PASSPHRASE), 64 << 20);
    assert!(matches!(poor, Err(VaultError::CostTooHigh { .. })));

    // The words of another vault fit together, but do not open this one.
    let (_outer2, dir2, store2) = new_store();
    super::try_vault(&store2, &dir2).unwrap();
    let strange = Vault::unlock_with_words(&store2, &secret(&words));
    assert!(matches!(strange, Err(VaultError::WrongWords { .. })));

    // The host key of another vault, a damaged one, none.
    let whole = fs::read(&key).unwrap();
    fs::rename(host_key_path(&dir2), &key).unwrap();
    assert!(matches!(unlock(&store, &dir, PASSPHRASE), Err(VaultError::HostKeyOther { .. })));
    fs::remove_file(&key).unwrap();
    assert!(matches!(unlock(&store, &dir, PASSPHRASE), Err(VaultError::HostKeyMissing { .. })));
    for bytes in [&whole[..31], &[&whole[..], &[0]].concat(), b""] {
        fs::write(&key, bytes).unwrap();
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
        assert!(matches!(unlock(&store, &dir, PASSPHRASE), Err(VaultError::Corrupt { .. })));
        fs::remove_file(&key).unwrap();
    }
    assert!(Vault::unlock_with_words(&store, &secret(&words)).is_ok(), "the words need no host key");
    fs::write(&key, &whole).unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
    let open_to_all = unlock(&store, &dir, PASSPHRASE);
    assert!(matches!(open_to_all, Err(VaultError::Store(StoreError::UnsafePlace { .. }))));
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    assert!(unlock(&store, &dir, PASSPHRASE).is_ok());
}

#[test]
fn a_refused_vault_leaves_nothing_behind() {
    let (_outer, dir, store) = new_store();
    let key = host_key_path(&dir);
    let attempt = |operator: &str, passphrase: &str, cost: Cost, memory_available: u64| {
        let passphrase = &secret(passphrase);
        let new = NewOperator { host_key: &key, operator, passphrase, cost, memory_available, now_ms: 0 };
        Vault::create(&store, &new).map(|_| ())
    };
    let cheap = Cost { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
    let dear = Cost { memory_kib: 2 << 20, passes: 1, lanes: 4 };
    let dear = Cost { passes: 3, ..dear };
    assert!(matches!(attempt("a", "hunter2", Cost::FLOOR, ROOMY), Err(VaultError::WeakPassphrase { .. })));
    assert!(matches!(attempt("a", PASSPHRASE, cheap, ROOMY), Err(VaultError::WeakCost)));
    assert!(matches!(attempt("a", PASSPHRASE, dear, ROOMY), Err(VaultError::CostTooHigh { .. })));
    assert!(matches!(attempt("a", PASSPHRASE, Cost::FLOOR, 100 << 20), Err(VaultError::CostTooHigh { .. })));
    for name in ["", " a", "a\n", &"a".repeat(65)] {
        assert!(matches!(attempt(name, PASSPHRASE, Cost::FLOOR, ROOMY), Err(VaultError::BadName)));
    }
    assert!(!key.exists() && !Vault::exists(&store).unwrap());

    attempt("a", PASSPHRASE, Cost::FLOOR, ROOMY).unwrap();
    assert!(matches!(attempt("a", PASSPHRASE, Cost::FLOOR, ROOMY), Err(VaultError::Exists)));
}

#[test]
fn a_value_and_its_row_are_written_together_or_not_at_all() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    vault.seal(&store, "host", "password", &id(1), &secret("old")).unwrap();
    let failed: Result<(), VaultError> = vault.change(&store, |tx| {
        vault.seal_in(tx, "host", "password", &id(1), &secret("new"))?;
        assert_eq!(vault.open_in(tx, "host", "password", &id(1))?.expose(), b"new");
        tx.execute("INSERT INTO operator SELECT * FROM operator", [])?;
        Ok(())
    });
    assert!(failed.is_err());
    assert_eq!(vault.open(&store, "host", "password", &id(1)).unwrap().expose(), b"old");

    let long = Secret::new(vec![0; 64 * 1024 + 1]);
    let outcome = vault.seal(&store, "host", "password", &id(1), &long);
    assert!(matches!(outcome, Err(VaultError::TooLong { limit: 65_536 })));
    let removed = |expected: bool| {
        let gone = vault.change(&store, |tx| vault.remove_in(tx, "host", "password", &id(1)));
        assert_eq!(gone.unwrap(), expected);
    };
    removed(true);
    removed(false);
    let gone = vault.open(&store, "host", "password", &id(1));
    assert!(matches!(gone, Err(VaultError::NotSet { .. })));
}

#[test]
fn the_demo_has_a_vault_without_a_database_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::in_memory().unwrap();
    let (vault, _) = make_vault(&store, dir.path());
    vault.seal(&store, "host", "password", &id(1), &secret("demo")).unwrap();
    assert!(unlock(&store, dir.path(), PASSPHRASE).is_ok());
    assert!(!dir.path().join("proximity.db").exists());
}

#[test]
fn calibration_stays_between_floor_and_default() {
    let started = std::time::Instant::now();
    let cost = calibrate(ROOMY, || started.elapsed()).unwrap();
    assert!((Cost::FLOOR.memory_kib..=Cost::DEFAULT.memory_kib).contains(&cost.memory_kib));
    assert_eq!((cost.passes, cost.lanes), (3, 1));
    assert!(calibrate(100 << 20, || started.elapsed()).is_err());
}

#[test]
fn a_row_in_the_open_does_not_change_unseen() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let bad = |store: &Store| store.read(|conn| Ok(vault.check_rows(conn, "operator").unwrap())).unwrap();
    assert!(bad(&store).is_empty());
    for change in
        ["name = name || 'x'", "created_ms = created_ms + 1", "id = zeroblob(16)", "mac = NULL", "mac = zeroblob(32)", "rowid = 7"]
    {
        let other = super::raw(&dir);
        let (before, kept): (i64, Vec<rusqlite::types::Value>) = other
            .query_row("SELECT rowid, id, name, created_ms, mac, role FROM operator", [], |row| {
                Ok((row.get(0)?, (1..6).map(|at| row.get(at)).collect::<Result<_, _>>()?))
            })
            .unwrap();
        other.execute(&format!("UPDATE operator SET {change}"), []).unwrap();
        assert_eq!(bad(&store).len(), 1, "{change}");
        other.execute("DELETE FROM operator", []).unwrap();
        let mut all = vec![rusqlite::types::Value::Integer(before)];
        all.extend(kept);
        other
            .execute(
                "INSERT INTO operator (rowid, id, name, created_ms, mac, role) VALUES (?, ?, ?, ?, ?, ?)",
                rusqlite::params_from_iter(all),
            )
            .unwrap();
        assert!(bad(&store).is_empty());
    }
}
