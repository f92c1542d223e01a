//! Where a store may live, whose file it is, and what is refused.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use proximity::store::{Store, StoreError, StoreMode, Vault};
use rusqlite::Connection;

use super::crash::another;
use super::{new_store, raw};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn refusal(dir: &Path) -> StoreError {
    match Store::open(dir) {
        Ok(_) => panic!("{} was opened", dir.display()),
        Err(error) => error,
    }
}

#[test]
fn every_file_is_private_whatever_the_umask() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("proximity");
    // The umask belongs to the whole process, so the other tests must not share one with this.
    assert!(another("maker-without-umask", &dir).wait().unwrap().success());
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("host.key")), 0o400);
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        names.push(entry.file_name().into_string().unwrap());
        assert_eq!(mode(&entry.path()) & 0o077, 0, "{:?}", entry.file_name());
    }
    names.sort();
    assert_eq!(names, ["anchor", "host.key", "proximity.db", "proximity.db-journal"]);
    assert_eq!(fs::metadata(dir.join("proximity.db-journal")).unwrap().len(), 0);
}

#[test]
fn a_store_opens_again_and_is_what_it_should_be() {
    let (_outer, dir, store) = new_store();
    assert!(matches!(Store::create(&dir), Err(StoreError::Exists { .. })));
    drop(store);
    let store = Store::open(&dir).unwrap();
    assert_eq!(store.mode(), &StoreMode::ReadWrite);
    assert_eq!(store.path(), Some(dir.join("proximity.db").as_path()));
    store.check().unwrap();
    let text = |sql: &str| store.read(|c| c.query_row(sql, [], |r| r.get::<_, String>(0))).unwrap();
    let number = |sql: &str| store.read(|c| c.query_row(sql, [], |r| r.get::<_, i64>(0))).unwrap();
    assert_eq!(text("PRAGMA journal_mode"), "truncate");
    assert_eq!(number("PRAGMA synchronous"), 2);
    assert_eq!(number("PRAGMA secure_delete"), 1);
    assert_eq!(number("PRAGMA foreign_keys"), 1);
    assert_eq!(number("PRAGMA trusted_schema"), 0);
    assert_eq!(number("PRAGMA cell_size_check"), 1);
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap().count();
    assert_eq!(number("PRAGMA user_version"), files as i64);
    assert_eq!(number("PRAGMA application_id"), 0x5052_4F58);
    let loose = "SELECT count(*) FROM pragma_table_list
                 WHERE schema = 'main' AND strict = 0 AND name NOT LIKE 'sqlite_%'";
    assert_eq!(number(loose), 0, "every table is STRICT");
}

#[test]
fn a_store_in_memory_has_the_same_tables() {
    let (_outer, _dir, disk) = new_store();
    let memory = Store::in_memory().unwrap();
    let schema = |store: &Store| {
        let sql = "SELECT group_concat(sql, ';') FROM sqlite_schema";
        store.read(|c| c.query_row(sql, [], |r| r.get::<_, String>(0))).unwrap()
    };
    assert_eq!(schema(&disk), schema(&memory));
    assert!(memory.path().is_none() && !Vault::exists(&memory).unwrap());
    memory.check().unwrap();
}

#[test]
fn what_a_crash_left_behind_does_not_stop_creating() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("p");
    fs::create_dir(&dir).unwrap();
    chmod(&dir, 0o700);
    fs::write(dir.join("proximity.db.new"), b"half a database").unwrap();
    fs::write(dir.join("proximity.db.new-journal"), b"half a journal").unwrap();
    Store::create(&dir).unwrap();
    assert!(!dir.join("proximity.db.new").exists() && !dir.join("proximity.db.new-journal").exists());
}

#[test]
fn half_written_files_go_at_the_next_start_and_nobody_elses() {
    let (_outer, dir, store) = new_store();
    drop(store);
    for name in ["anchor.new", "host.key.new", "proximity.db.before-v9.new", "proximity.db.new-journal", "renewal"] {
        fs::write(dir.join(name), b"half").unwrap();
    }
    let left = || fs::read_dir(&dir).unwrap().filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains(".new")).count();
    // Somebody is writing one of them now.
    let writer = fs::File::open(&dir).unwrap();
    rustix::fs::flock(&writer, rustix::fs::FlockOperation::LockExclusive).unwrap();
    Store::open(&dir).unwrap();
    assert_eq!(left(), 4);
    // Not by closing it: a program that another test is just starting has it open too, until it is loaded.
    rustix::fs::flock(&writer, rustix::fs::FlockOperation::Unlock).unwrap();
    Store::open(&dir).unwrap();
    assert_eq!(left(), 0);
    assert!(dir.join("renewal").exists());
}

#[test]
fn ten_creators_at_once_make_one_store() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("p");
    let made: Vec<bool> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..10).map(|_| scope.spawn(|| Store::create(&dir))).collect();
        let outcome = |t: std::thread::ScopedJoinHandle<'_, _>| match t.join().unwrap() {
            Ok(_) => true,
            Err(StoreError::Exists { .. }) => false,
            Err(other) => panic!("{other}"),
        };
        all.into_iter().map(outcome).collect()
    });
    assert_eq!(made.iter().filter(|one| **one).count(), 1);
    Store::open(&dir).unwrap().check().unwrap();
}

#[test]
fn what_is_not_there_is_missing() {
    let outer = tempfile::tempdir().unwrap();
    assert!(matches!(refusal(&outer.path().join("no")), StoreError::Missing { .. }));
    assert!(matches!(refusal(outer.path()), StoreError::Missing { .. }));
    assert!(Store::create(&outer.path().join("no/deeper")).is_err(), "parents are not made");
    assert!(!outer.path().join("no").exists());
}

/// Lays something out around a good store that makes it unsafe; gives the directory to open.
type Layout = fn(&Path, &Path) -> std::path::PathBuf;

#[test]
fn unsafe_places_are_refused() {
    let layouts: &[(&str, Layout)] = &[
        ("group-writable directory", |_, dir| {
            chmod(dir, 0o770);
            dir.into()
        }),
        ("world-writable directory", |_, dir| {
            chmod(dir, 0o707);
            dir.into()
        }),
        ("world-writable directory with sticky bit", |_, dir| {
            chmod(dir, 0o1777);
            dir.into()
        }),
        ("world-writable parent", |outer, dir| {
            chmod(outer, 0o777);
            dir.into()
        }),
        ("symlinked directory", |outer, dir| {
            symlink(dir, outer.join("l")).unwrap();
            outer.join("l")
        }),
        ("dangling symlink", |outer, _| {
            symlink("gone", outer.join("l")).unwrap();
            outer.join("l")
        }),
        ("a file for a directory", |outer, _| {
            fs::write(outer.join("f"), "").unwrap();
            outer.join("f")
        }),
        ("database readable by the group", |_, dir| {
            chmod(&dir.join("proximity.db"), 0o640);
            dir.into()
        }),
        ("database writable by all", |_, dir| {
            chmod(&dir.join("proximity.db"), 0o602);
            dir.into()
        }),
        ("symlinked database", |_, dir| {
            fs::rename(dir.join("proximity.db"), dir.join("real.db")).unwrap();
            symlink("real.db", dir.join("proximity.db")).unwrap();
            dir.into()
        }),
        ("directory for a database", |_, dir| {
            fs::remove_file(dir.join("proximity.db")).unwrap();
            fs::create_dir(dir.join("proximity.db")).unwrap();
            dir.into()
        }),
        ("pipe for a database", |_, dir| {
            let path = dir.join("proximity.db");
            fs::remove_file(&path).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
            dir.into()
        }),
        ("symlinked journal", |outer, dir| {
            fs::write(outer.join("j"), "").unwrap();
            let journal = dir.join("proximity.db-journal");
            fs::remove_file(&journal).ok();
            symlink(outer.join("j"), journal).unwrap();
            dir.into()
        }),
    ];
    for (what, layout) in layouts {
        let (outer, dir, store) = new_store();
        drop(store);
        let dir = layout(outer.path(), &dir);
        assert!(matches!(refusal(&dir), StoreError::UnsafePlace { .. }), "{what}: {}", refusal(&dir));
        chmod(outer.path(), 0o700);
    }
}

#[test]
fn files_of_another_user_are_refused() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED files_of_another_user_are_refused: only root can give a file away");
        return;
    }
    for name in ["", "proximity.db"] {
        let (_outer, dir, store) = new_store();
        drop(store);
        std::os::unix::fs::chown(dir.join(name), Some(65_534), None).unwrap();
        assert!(matches!(refusal(&dir), StoreError::UnsafePlace { .. }), "{name:?}");
    }
}

#[test]
fn other_files_are_told_apart() {
    let (_outer, dir, store) = new_store();
    drop(store);
    let path = dir.join("proximity.db");
    let whole = fs::read(&path).unwrap();

    let newest: u32 = raw(&dir).query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    raw(&dir).pragma_update(None, "user_version", newest + 1).unwrap();
    assert!(matches!(refusal(&dir), StoreError::Newer { found, known } if (found, known) == (newest + 1, newest)));
    raw(&dir).pragma_update(None, "user_version", -1).unwrap();
    assert!(matches!(refusal(&dir), StoreError::Corrupt { .. }));

    fs::write(&path, b"").unwrap();
    assert!(matches!(refusal(&dir), StoreError::Corrupt { .. }), "empty");
    fs::write(&path, b"this is not a database, but it is long enough to be looked at as one, at any rate").unwrap();
    assert!(matches!(refusal(&dir), StoreError::Corrupt { .. }), "text");
    assert!(Store::create(&dir).is_err(), "nothing that is there is ever replaced");

    fs::write(&path, b"").unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert!(matches!(refusal(&dir), StoreError::Foreign { .. }));

    // Cut at every page and in the middle of each.
    let page = 4096;
    for length in (1..whole.len() / page).flat_map(|n| [n * page, n * page - 100, n * page + 100]) {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(refusal(&dir), StoreError::Corrupt { .. }), "cut at {length}: {}", refusal(&dir));
    }
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(refusal(&dir), StoreError::Corrupt { .. }), "last byte");
    fs::write(&path, &whole).unwrap();
    Store::open(&dir).unwrap();
}

#[test]
fn a_broken_page_is_found_by_the_check() {
    let (_outer, dir, store) = new_store();
    drop(store);
    let path = dir.join("proximity.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[2 * 4096..2 * 4096 + 64].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let outcome = Store::open(&dir).and_then(|store| store.check());
    assert!(matches!(outcome, Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_file_somebody_switched_to_wal_is_switched_back() {
    let (_outer, dir, store) = new_store();
    drop(store);
    raw(&dir).pragma_update(None, "journal_mode", "wal").unwrap();
    let store = Store::open(&dir).unwrap();
    let sql = "PRAGMA journal_mode";
    assert_eq!(store.read(|c| c.query_row(sql, [], |r| r.get::<_, String>(0))).unwrap(), "truncate");
}

#[test]
fn a_failed_transaction_changes_nothing() {
    let (_outer, _dir, store) = new_store();
    let outcome: Result<(), StoreError> = store.write_txn(|tx| {
        tx.execute("INSERT INTO operator (id, name, created_ms) VALUES (zeroblob(16), 'a', 0)", [])?;
        tx.execute("INSERT INTO operator (id, name, created_ms) VALUES (zeroblob(16), 'a', 0)", [])?;
        Ok(())
    });
    assert!(matches!(outcome, Err(StoreError::Sql(_))));
    let count = store.read(|c| c.query_row("SELECT count(*) FROM operator", [], |r| r.get::<_, i64>(0)));
    assert_eq!(count.unwrap(), 0);
    assert!(store.write_txn(|_| store.write_txn(|_| Ok(()))).is_err(), "not nested");
    store.write_txn(|_| Ok(())).unwrap();
}

#[test]
fn transactions_begin_in_one_place_only() {
    fn search(dir: &Path, hits: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                search(&path, hits);
            } else if path.extension().is_some_and(|e| e == "rs") {
                for line in fs::read_to_string(&path).unwrap().lines() {
                    let begins = [
                        ".transaction(",
                        ".unchecked_transaction(",
                        ".transaction_with_behavior(",
                        ".savepoint(",
                        "Transaction::new",
                        "BEGIN IMMEDIATE",
                        "BEGIN DEFERRED",
                        "BEGIN EXCLUSIVE",
                        "\"BEGIN",
                    ];
                    let comment = line.trim_start().starts_with("//");
                    if !comment && begins.iter().any(|word| line.contains(word)) {
                        hits.push(format!("{}: {}", path.display(), line.trim()));
                    }
                }
            }
        }
    }
    let mut hits = Vec::new();
    search(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut hits);
    // `immediate`, and the probe that is rolled back.
    assert_eq!(hits.len(), 2, "{hits:#?}");
    assert!(hits.iter().all(|hit| hit.contains("src/store/mod.rs") && hit.contains("Immediate")), "{hits:#?}");
}

#[test]
fn a_write_of_another_process_is_heard_and_reading_is_not() {
    let (_outer, dir, store) = new_store();
    let (tell, heard) = std::sync::mpsc::channel();
    proximity::store::watch(store.path().unwrap(), move || tell.send(()).unwrap()).unwrap();
    store.check().unwrap();
    store.operators().unwrap();
    assert!(heard.recv_timeout(std::time::Duration::from_millis(200)).is_err(), "reading was taken for writing");
    drop(store);
    let other = raw(&dir);
    other.execute("INSERT INTO operator (id, name, created_ms) VALUES (zeroblob(16), 'a', 0)", []).unwrap();
    heard.recv_timeout(std::time::Duration::from_secs(120)).unwrap();
}
