//! Copies of the store that were proven to open, and putting one back. A snapshot is taken whole, read again from disk and
//! opened record by record before it gets its name; putting one back is offered and never done by itself.
//!
//! ```text
//! DIR/snapshots/TIME-WHY.db    TIME in milliseconds since 1970, UTC
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::limits::Limit;

use super::{FILE_NAME, Store, StoreError, StoreMode, Vault, VaultError, Way, open_to_read, place};

const HOUR_MS: i64 = 3_600_000;

/// What snapshots may take together whatever the free space is, in bytes.
const ALWAYS: u64 = 64 << 20;

/// Why a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Somebody asked for it, or an hour was over.
    Asked,
    /// The vault key is about to change. It holds the old key, so it goes at the next unlock.
    Rotation,
}

impl Why {
    fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Rotation => "rotation",
        }
    }
}

/// A snapshot on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The file.
    pub path: PathBuf,
    /// When it was taken, in milliseconds since 1970, UTC.
    pub taken_ms: i64,
    /// Why.
    pub why: Why,
}

/// The snapshots beside a store, newest first. Files with other names are not ours and are left alone.
pub fn snapshots(dir: &Path) -> Result<Vec<Snapshot>, StoreError> {
    let folder = folder(dir);
    let files = match fs::read_dir(&folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|e| place::unreadable(&folder, &e))?,
    };
    let mut found = Vec::new();
    for file in files {
        let path = file.map_err(|e| place::unreadable(&folder, &e))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".db"));
        let Some((time, word)) = name.and_then(|n| n.split_once('-')) else { continue };
        let why = [Why::Asked, Why::Rotation].into_iter().find(|why| why.word() == word);
        if let (Ok(taken_ms), Some(why)) = (time.parse(), why) {
            found.push(Snapshot { path, taken_ms, why });
        }
    }
    found.sort_by_key(|one| std::cmp::Reverse(one.taken_ms));
    Ok(found)
}

/// Takes a snapshot and then removes those that are not kept any more: of each of the last 24 hours and 14 days the newest
/// stays, as far as all together fit in 64 MiB or a twentieth of the free space.
///
/// Nothing is left behind where it fails: a store that is not sound, a full disk, a copy that does not open. A store in
/// memory has none (`ReadOnly`).
pub fn take_snapshot(store: &Store, vault: &Vault, now_ms: i64, why: Why) -> Result<Snapshot, VaultError> {
    let dir = store.path().and_then(Path::parent).ok_or(StoreError::ReadOnly)?;
    vault.check(store)?;
    let folder = folder(dir);
    place::make_dir(&folder)?;
    let _only_taker = place::lock_dir(&folder)?;
    let path = folder.join(format!("{now_ms}-{}.db", why.word()));
    let temp = place::beside(&path, ".new");
    let proven = copy_into(&store.conn, &temp).map_err(VaultError::from).and_then(|()| prove(&temp, vault));
    if let Err(error) = proven {
        place::remove_if_there(&temp)?;
        return Err(error);
    }
    fs::rename(&temp, &path).map_err(|e| place::disk(&e))?;
    place::sync_parent(&path)?;
    prune(dir, now_ms)?;
    Ok(Snapshot { path, taken_ms: now_ms, why })
}

/// The same if there is none of the last hour; nothing where it is not due.
pub fn take_snapshot_if_due(store: &Store, vault: &Vault, now_ms: i64) -> Result<Option<Snapshot>, VaultError> {
    let Some(dir) = store.path().and_then(Path::parent) else { return Ok(None) };
    // A clock that was put back must not stop them for years, so one of the future does not count.
    let recent = |one: &Snapshot| (0..HOUR_MS).contains(&(now_ms - one.taken_ms));
    if *store.mode() != StoreMode::ReadWrite || snapshots(dir)?.iter().any(recent) {
        return Ok(None);
    }
    take_snapshot(store, vault, now_ms, Why::Asked).map(Some)
}

/// Removes the snapshots from before a rotation; to be called after an unlock, which proved that the new key opens.
pub fn drop_old_keys(dir: &Path) -> Result<(), StoreError> {
    snapshots(dir)?.iter().filter(|one| one.why == Why::Rotation).try_for_each(|one| place::remove_if_there(&one.path))
}

/// A copy that lies elsewhere, such as in a backup set. When it was taken is told by its file alone.
pub fn copy_at(path: &Path) -> Result<Snapshot, StoreError> {
    let modified = place::check_file(path)?.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let taken_ms = modified.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0);
    Ok(Snapshot { path: path.to_owned(), taken_ms, why: Why::Asked })
}

/// Puts a snapshot in the place of the store, after it was opened and every record in it. What was there is kept under
/// another name, which is given; none where nothing was there: then the host gets a key of its own, if it has none. Close other
/// consoles before.
pub fn put_back(dir: &Path, snapshot: &Path, way: &Way<'_>, now_ms: i64) -> Result<Option<PathBuf>, VaultError> {
    if dir.exists() {
        place::check_dir(dir)?;
    } else {
        place::make_dir(dir)?;
    }
    let vault = Vault::enter_unchecked(&open_copy(snapshot)?, way)?;
    prove(snapshot, &vault)?;
    let path = dir.join(FILE_NAME);
    let temp = place::beside(&path, ".new");
    // Undoes an interrupted write first, where the store is whole enough for that.
    drop(Store::open(dir));
    let kept = place::beside(&path, &format!(".replaced-{now_ms}"));
    let journal = place::beside(&path, "-journal");
    let swap = || -> io::Result<bool> {
        // The journal belongs to what was there; under the new store it would be played into it.
        match fs::rename(&journal, place::beside(&kept, "-journal")) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let there = match fs::hard_link(&path, &kept) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(e),
        };
        fs::rename(&temp, &path).map(|()| there)
    };
    let there = {
        // Until the copy has its name: whoever opens the store sweeps away what is half made.
        let _only_writer = place::lock_dir(dir)?;
        place::remove_if_there(&temp)?;
        place::new_file(&temp)
            .and_then(|mut to| {
                io::copy(&mut File::open(snapshot)?, &mut to)?;
                to.sync_all()
            })
            .and_then(|()| swap())
            .map_err(|e| place::disk(&e))
            .and_then(|there| place::sync_parent(&path).map(|()| there))?
    };
    let store = Store::open(dir)?;
    Vault::enter_unchecked(&store, way)?.accept(&store)?;
    if !there {
        // A bare host, opened by the words: its operators get new passphrases, and these a key of this host.
        super::vault::make_host_key(dir)?;
    }
    Ok(there.then_some(kept))
}

/// Copies a database into a new private file, whole and on disk when this returns, or not there at all.
pub(super) fn copy_into(conn: &Connection, to: &Path) -> Result<(), StoreError> {
    place::remove_if_there(to)?;
    // SQLite would create it with the umask's mode; into an empty file that is already private it writes as it is.
    place::new_file(to).map_err(|e| place::disk(&e))?;
    let name = to.to_str().ok_or_else(|| StoreError::Unreadable { path: to.to_owned(), why: "its name is not UTF-8".to_owned() })?;
    // VACUUM INTO attaches its target.
    let before = conn.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)?;
    let copied = conn.execute("VACUUM INTO ?1", [name]);
    conn.set_limit(Limit::SQLITE_LIMIT_ATTACHED, before)?;
    if let Err(error) = copied {
        place::remove_if_there(to)?;
        return Err(error.into());
    }
    File::open(to).and_then(|f| f.sync_all()).map_err(|e| place::disk(&e))
}

/// Reads a copy from disk: its structure, its manifest, every record, slot and row.
fn prove(path: &Path, vault: &Vault) -> Result<(), VaultError> {
    let copy = open_copy(path)?;
    let lines: String = copy.read(|conn| conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)))?;
    if lines != "ok" {
        return Err(StoreError::Corrupt { why: lines }.into());
    }
    vault.check(&copy)?;
    vault.verify_all(&copy)?.into_result()
}

fn open_copy(path: &Path) -> Result<Store, StoreError> {
    place::check_file(path)?;
    Ok(Store { conn: open_to_read(path)?, mode: StoreMode::ReadOnly("it is a snapshot".to_owned()), path: None })
}

fn prune(dir: &Path, now_ms: i64) -> Result<(), StoreError> {
    let all: Vec<Snapshot> = snapshots(dir)?.into_iter().filter(|one| one.why == Why::Asked).collect();
    let keep = kept(&all.iter().map(|one| one.taken_ms).collect::<Vec<_>>(), now_ms);
    let free = rustix::fs::statvfs(dir).map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize)).unwrap_or(0);
    let (most, mut taken) = ((free / 20).max(ALWAYS), 0u64);
    for (at, one) in all.iter().enumerate() {
        taken = taken.saturating_add(fs::metadata(&one.path).map_or(0, |meta| meta.len()));
        // The newest always stays.
        if at > 0 && (taken > most || !keep.contains(&one.taken_ms)) {
            place::remove_if_there(&one.path)?;
        }
    }
    Ok(())
}

/// Which of these times are kept: the newest in each of the last 24 hours and of the last 14 days. Times of the future, from
/// before a clock was put back, stay until they are past.
fn kept(newest_first: &[i64], now_ms: i64) -> BTreeSet<i64> {
    let mut keep = BTreeSet::new();
    for (length, count) in [(HOUR_MS, 24), (24 * HOUR_MS, 14)] {
        let mut seen = BTreeSet::new();
        for time in newest_first {
            let age = now_ms.div_euclid(length) - time.div_euclid(length);
            if age < count && seen.insert(age) {
                keep.insert(*time);
            }
        }
    }
    keep
}

/// Where the snapshots of the store in `dir` are.
pub(super) fn folder(dir: &Path) -> PathBuf {
    dir.join("snapshots")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_hour_and_day_the_newest_is_kept() {
        let now = 20_000 * 24 * HOUR_MS + 5 * HOUR_MS + 7;
        // Every ten minutes for forty days.
        let all: Vec<i64> = (0..40 * 144).map(|n| now - n * HOUR_MS / 6).collect();
        let keep = kept(&all, now);
        assert!(keep.contains(&now));
        let within = |ms: i64| keep.iter().filter(|t| now - **t <= ms).count();
        assert_eq!(within(HOUR_MS - 1), 2, "this hour's and the last one's newest");
        // 24 of hours; of the 14 days two are among them.
        assert_eq!(keep.len(), 24 + 12);
        assert!(keep.iter().all(|t| now - t < 14 * 24 * HOUR_MS));
        assert_eq!(kept(&all, now - 365 * 24 * HOUR_MS).len(), 40 * 24 + 1, "a clock put back removes nothing of another hour");
    }
}
