//! A disk that is full or read-only: the store must still be read. Needs root for its own little filesystem.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proximity::store::{Store, StoreError, StoreMode, Vault, VaultError};

use super::{id, make_vault, secret};

/// A tmpfs of one MiB, gone when dropped.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root can mount a filesystem to fill");
            return None;
        }
        let at = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m,mode=700", "proximity-test"]).arg(at.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at)),
            other => {
                eprintln!("SKIPPED: mounting is not allowed here: {other:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn mount(at: &Path, words: &[&str]) {
        assert!(Command::new("mount").args(words).arg(at).status().unwrap().success());
    }

    fn grow(&self) {
        Self::mount(self.path(), &["-o", "remount,size=2m"]);
    }

    /// The same files at another place, where nothing can be written. The first place cannot become read-only for certain: a
    /// program that another test is just starting has a file of it open to write, until it is loaded.
    fn read_only(&self) -> Self {
        let at = tempfile::tempdir().unwrap();
        Self::mount(at.path(), &["--bind", self.path().to_str().unwrap()]);
        Self::mount(at.path(), &["-o", "remount,bind,ro"]);
        Self(at)
    }

    /// Writes until not one byte fits.
    fn fill(&self) -> PathBuf {
        self.fill_but(0)
    }

    /// Leaves so many bytes free; the filesystem gives them out in blocks of 4 KiB.
    fn fill_but(&self, free: u64) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = fs::File::create(&path).unwrap();
        for size in [65_536, 4096, 512, 1] {
            while std::io::Write::write_all(&mut file, &vec![1; size]).is_ok() {}
        }
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(free.next_multiple_of(4096))).unwrap();
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0.path()).status().ok();
    }
}

#[test]
fn a_full_disk_is_read_and_unlocked() {
    let Some(disk) = Disk::new() else { return };
    let dir = disk.path().join("p");
    let store = Store::create(&dir).unwrap();
    let (vault, words) = make_vault(&store, &dir);
    vault.seal(&store, "host", "password", &id(1), &secret("the value")).unwrap();
    let filler = disk.fill();

    // The open store meets the full disk in the middle of its life.
    let big = secret(&"x".repeat(60_000));
    let outcome = vault.seal(&store, "host", "key", &id(1), &big);
    assert!(matches!(outcome, Err(proximity::store::VaultError::Store(StoreError::Full))));
    drop(store);

    let store = Store::open(&dir).unwrap();
    assert!(matches!(store.mode(), StoreMode::ReadOnly(why) if why.contains("full")), "{:?}", store.mode());
    assert!(matches!(store.write_txn(|_| Ok(())), Err(StoreError::ReadOnly)));
    let again = Vault::unlock_with_words(&store, &secret(&words.expose().join(" "))).unwrap();
    assert_eq!(again.open(&store, "host", "password", &id(1)).unwrap().expose(), b"the value");
    store.check().unwrap();
    drop(store);

    fs::remove_file(filler).unwrap();
    let store = Store::open(&dir).unwrap();
    assert_eq!(store.mode(), &StoreMode::ReadWrite);
    vault.seal(&store, "host", "key", &id(1), &big).unwrap();
}

/// Nothing is ever shortened to make room, and what was there can be read whatever is free.
#[test]
fn whatever_is_free_it_starts_unlocks_and_reads() {
    for free in [0, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 512 << 10, 1 << 20] {
        let Some(disk) = Disk::new() else { return };
        if free == 1 << 20 {
            disk.grow();
        }
        let dir = disk.path().join("p");
        let store = Store::create(&dir).unwrap();
        let (vault, words) = make_vault(&store, &dir);
        vault.seal(&store, "host", "password", &id(1), &secret("the value")).unwrap();
        drop((vault, store));
        let host_key = fs::read(dir.join("host.key")).unwrap();
        let length = fs::metadata(dir.join("proximity.db")).unwrap().len();
        disk.fill_but(free);

        let (mut written, mut refused) = (0, 0);
        for round in 0..40 {
            let store = Store::open(&dir).unwrap();
            let vault = Vault::unlock_with_words(&store, &secret(&words.expose().join(" "))).unwrap();
            assert_eq!(vault.open(&store, "host", "password", &id(1)).unwrap().expose(), b"the value");
            match vault.seal(&store, "host", "key", &id(2 + round), &secret(&"x".repeat(30_000))) {
                Ok(()) => written += 1,
                Err(VaultError::Store(StoreError::Full | StoreError::ReadOnly)) => refused += 1,
                Err(other) => panic!("{free} bytes free: {other}"),
            }
            let found = vault.verify_all(&store).unwrap();
            assert_eq!((found.opened, found.failed.len(), found.bad_slots.len()), (1 + written, 0, 0));
            store.check().unwrap();
        }
        println!("full disk, {free} bytes free: {written} written, {refused} refused");
        assert!(refused > 0, "{free} bytes free: the disk was never full");
        assert!(if free == 0 { written == 0 } else { written > 0 || free < 256 << 10 }, "{free} bytes free: {written} written");
        assert_eq!(fs::read(dir.join("host.key")).unwrap(), host_key);
        assert!(fs::metadata(dir.join("proximity.db")).unwrap().len() >= length);
    }
}

#[test]
fn a_new_store_on_a_full_disk_is_refused_and_leaves_nothing_half() {
    let Some(disk) = Disk::new() else { return };
    let filler = disk.fill();
    let dir = disk.path().join("p");
    assert!(matches!(Store::create(&dir), Err(StoreError::Full)));
    assert!(!dir.join("proximity.db").exists());
    fs::remove_file(filler).unwrap();
    Store::create(&dir).unwrap();
}

#[test]
fn a_read_only_disk_is_read() {
    let Some(disk) = Disk::new() else { return };
    let dir = disk.path().join("p");
    let store = Store::create(&dir).unwrap();
    let (vault, _) = make_vault(&store, &dir);
    vault.seal(&store, "host", "password", &id(1), &secret("the value")).unwrap();
    drop(store);
    let seen = disk.read_only();
    let store = Store::open(&seen.path().join("p")).unwrap();
    assert!(matches!(store.mode(), StoreMode::ReadOnly(_)));
    assert_eq!(vault.open(&store, "host", "password", &id(1)).unwrap().expose(), b"the value");
    drop(store);
    assert_eq!(Store::open(&dir).unwrap().mode(), &StoreMode::ReadWrite);
}
