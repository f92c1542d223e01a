//! Snapshots and exports: what is kept opens, what does not open is not kept, and what was put back is the store.

use std::fs;
use std::path::Path;

use proximity::store::{
    Contents, Cost, Store, StoreError, Vault, VaultError, Way, Why, drop_old_keys, put_back, snapshots, take_snapshot, take_snapshot_if_due,
};

use super::{ROOMY, id, make_vault, new_store, raw, secret};

const NOW: i64 = 1_795_000_000_000;
const HOUR: i64 = 3_600_000;
const WORDS: &str = "orbit velvet cactus lantern mosaic seven";

fn names(dir: &Path) -> Vec<String> {
    let Ok(files) = fs::read_dir(dir.join("snapshots")) else { return Vec::new() };
    let mut all: Vec<String> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

#[test]
fn a_snapshot_opens_and_is_put_back_only_whole() {
    let (_outer, dir, store) = new_store();
    let (vault, words) = make_vault(&store, &dir);
    let words = secret(&words.expose().join(" "));
    vault.seal(&store, "host", "password", &id(1), &secret("first")).unwrap();
    let older = take_snapshot(&store, &vault, NOW, Why::Asked).unwrap();
    vault.seal(&store, "host", "password", &id(1), &secret("second")).unwrap();
    let newest = take_snapshot(&store, &vault, NOW + 5, Why::Asked).unwrap();
    vault.seal(&store, "host", "password", &id(1), &secret("third")).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(&newest.path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(dir.join("snapshots")).unwrap().mode() & 0o777, 0o700);
    // Both are of one hour: the newer one is kept.
    assert_eq!(snapshots(&dir).unwrap(), std::slice::from_ref(&newest));
    assert!(!older.path.exists());

    // A damaged snapshot is not put back, and the store stays what it was.
    let whole = fs::read(&newest.path).unwrap();
    let body: Vec<u8> = raw(&dir).query_row("SELECT header FROM slot WHERE kind = 'recovery'", [], |r| r.get(0)).unwrap();
    let at = memchr::memmem::find(&whole, &body).unwrap() + 40;
    for damage in [at, 30, whole.len() - 1] {
        let mut bad = whole.clone();
        bad[damage] ^= 0x55;
        let bad = if damage == whole.len() - 1 { &bad[..damage] } else { &bad };
        fs::write(&newest.path, bad).unwrap();
        assert!(put_back(&dir, &newest.path, &Way::Words(&words), NOW + 6).is_err(), "byte {damage}");
        assert_eq!(vault.open(&store, "host", "password", &id(1)).unwrap().expose(), b"third");
        assert!(fs::read_dir(&dir).unwrap().all(|f| !f.unwrap().file_name().to_string_lossy().contains(".replaced-")));
    }
    fs::write(&newest.path, &whole).unwrap();

    // A store that is beyond help: told, and the snapshot is offered by name in the message.
    drop(store);
    let db = dir.join("proximity.db");
    let mut bytes = fs::read(&db).unwrap();
    bytes[..100].fill(0xee);
    fs::write(&db, &bytes).unwrap();
    let Err(error @ StoreError::Corrupt { .. }) = Store::open(&dir) else { panic!("not told") };
    assert!(proximity::problem::Problem::from(error).hint.contains("vault restore"));
    let wrong = put_back(&dir, &newest.path, &Way::Words(&secret("abandon")), NOW + 7);
    assert!(matches!(wrong, Err(VaultError::WrongWords { .. })));
    let kept = put_back(&dir, &newest.path, &Way::Words(&words), NOW + 7).unwrap().unwrap();
    assert_eq!(fs::read(kept).unwrap(), bytes, "what was there is kept");
    let store = Store::open(&dir).unwrap();
    let vault = Vault::unlock_with_words(&store, &words).unwrap();
    assert_eq!(vault.open(&store, "host", "password", &id(1)).unwrap().expose(), b"second");
    vault.seal(&store, "host", "password", &id(1), &secret("on")).unwrap();
    assert_eq!(vault.anchor_note(&store).unwrap(), None);
}

/// Was: looking into the store that is replaced swept away what was to replace it.
#[test]
fn a_snapshot_is_put_back_over_a_store_that_opens() {
    let (_outer, dir, store) = new_store();
    let (vault, words) = make_vault(&store, &dir);
    let words = secret(&words.expose().join(" "));
    vault.seal(&store, "host", "password", &id(1), &secret("first")).unwrap();
    let kept = take_snapshot(&store, &vault, NOW, Why::Asked).unwrap();
    vault.seal(&store, "host", "password", &id(1), &secret("second")).unwrap();
    drop(store);
    put_back(&dir, &kept.path, &Way::Words(&words), NOW + 1).unwrap();
    let store = Store::open(&dir).unwrap();
    let vault = Vault::unlock_with_words(&store, &words).unwrap();
    assert_eq!(vault.open(&store, "host", "password", &id(1)).unwrap().expose(), b"first");
}

/// A body is random bytes: one fixed byte written over its first would be no damage once in 256 times.
const FIRST_BYTE_CHANGED: &str = "body = CAST(CASE substr(body, 1, 1) WHEN x'00' THEN x'01' ELSE x'00' END || substr(body, 2) AS BLOB)";

#[test]
fn what_is_not_sound_gets_no_snapshot() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    vault.seal(&store, "host", "password", &id(1), &secret(&"x".repeat(100))).unwrap();
    let conn = raw(&dir);
    for change in [
        // Seen by the tag of the record only, by that of a row only, by the manifest only.
        &format!("UPDATE sealed SET {FIRST_BYTE_CHANGED}"),
        "UPDATE operator SET created_ms = created_ms + 1",
        "DELETE FROM sealed",
    ] {
        conn.execute_batch("CREATE TEMP TABLE s AS SELECT * FROM sealed; CREATE TEMP TABLE o AS SELECT * FROM operator").unwrap();
        conn.execute(change, []).unwrap();
        assert!(matches!(take_snapshot(&store, &vault, NOW, Why::Asked), Err(VaultError::Tampered { .. })), "{change}");
        assert!(names(&dir).is_empty(), "{change}: {:?}", names(&dir));
        conn.execute_batch(
            "DELETE FROM sealed; INSERT INTO sealed SELECT * FROM s; UPDATE operator SET created_ms = (SELECT created_ms FROM o);
             DROP TABLE s; DROP TABLE o",
        )
        .unwrap();
    }
    take_snapshot(&store, &vault, NOW, Why::Asked).unwrap();
}

#[test]
fn snapshots_come_by_the_hour_and_go_with_their_key() {
    let (_outer, dir, store) = new_store();
    let (mut vault, _) = make_vault(&store, &dir);
    assert!(take_snapshot_if_due(&store, &vault, NOW).unwrap().is_some());
    assert!(take_snapshot_if_due(&store, &vault, NOW + HOUR - 1).unwrap().is_none());
    assert!(take_snapshot_if_due(&store, &vault, NOW + HOUR).unwrap().is_some());
    // Ten years back and forth: each clock gets its own, and none of the other hours is lost.
    assert!(take_snapshot_if_due(&store, &vault, NOW - 87_600 * HOUR).unwrap().is_some());
    assert_eq!(snapshots(&dir).unwrap().len(), 3);
    take_snapshot(&store, &vault, NOW + 2 * HOUR, Why::Rotation).unwrap();
    vault.rotate(&store).unwrap();
    assert_eq!(snapshots(&dir).unwrap().iter().filter(|one| one.why == Why::Rotation).count(), 1);
    drop_old_keys(&dir).unwrap();
    assert_eq!(snapshots(&dir).unwrap().iter().filter(|one| one.why == Why::Rotation).count(), 0);
    assert!(take_snapshot_if_due(&Store::in_memory().unwrap(), &vault, NOW).unwrap().is_none());
}

#[test]
fn an_export_goes_to_another_host() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    for number in 0..20 {
        vault.seal(&store, "host", "password", &id(number), &secret(&format!("MARKER value {number}"))).unwrap();
    }
    let file = vault.export(&store, &secret(WORDS), Cost::FLOOR, ROOMY, |_, _| false).unwrap();
    assert!(memchr::memmem::find(&file, b"MARKER").is_none() && memchr::memmem::find(&file, b"password").is_none());

    let (_outer2, dir2, store2) = new_store();
    let (other, _) = make_vault(&store2, &dir2);
    other.seal(&store2, "host", "password", &id(3), &secret("another")).unwrap();
    let contents = Contents::open(&file, &secret(WORDS), ROOMY).unwrap();
    assert!(matches!(other.import(&store2, &contents, false), Err(VaultError::RecordExists { .. })));
    assert!(matches!(other.open(&store2, "host", "password", &id(0)), Err(VaultError::NotSet { .. })), "nothing half done");
    assert_eq!(other.import(&store2, &contents, true).unwrap(), 20);
    for number in 0..20 {
        let value = other.open(&store2, "host", "password", &id(number)).unwrap();
        assert_eq!(value.expose_text(), Some(format!("MARKER value {number}").as_str()));
    }
    other.check(&store2).unwrap();
    assert_eq!(other.import(&store2, &contents, false).unwrap(), 20, "the same again is no conflict");

    let conn = raw(&dir);
    conn.execute(&format!("UPDATE sealed SET {FIRST_BYTE_CHANGED} WHERE row_id = ?1"), [id(4)]).unwrap();
    let half = vault.export(&store, &secret(WORDS), Cost::FLOOR, ROOMY, |_, _| false);
    assert!(matches!(half, Err(VaultError::Tampered { .. })), "half an export is none");
}
