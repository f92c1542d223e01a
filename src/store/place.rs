//! Where the store may live: checks before anything in a directory is believed, and the few file operations
//! that need more care than `std::fs` gives (private modes, no symlinks, durable renames, one creator at a time).

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::StoreError;

const GROUP_OR_WORLD: u32 = 0o077;
const GROUP_WRITE: u32 = 0o020;
const WORLD_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Refuses a directory whose content somebody else could have put there.
///
/// It must be a real directory (no symlink), owned by us or root and writable by the owner only; and its parent must
/// not let others put another directory in its place.
pub(super) fn check_dir(dir: &Path) -> Result<(), StoreError> {
    let meta = look(dir)?;
    if meta.is_symlink() {
        return Err(unsafe_place(dir, "it is a symbolic link"));
    }
    if !meta.is_dir() {
        return Err(unsafe_place(dir, "it is not a directory"));
    }
    check_owner(dir, &meta)?;
    if meta.mode() & (GROUP_WRITE | WORLD_WRITE) != 0 {
        return Err(unsafe_place(dir, "others may write to it; run chmod 700"));
    }
    check_parent(dir)
}

fn check_parent(dir: &Path) -> Result<(), StoreError> {
    let real = fs::canonicalize(dir).map_err(|e| unreadable(dir, &e))?;
    let Some(parent) = real.parent() else {
        return Ok(());
    };
    let meta = look(parent)?;
    check_owner(parent, &meta)?;
    if meta.mode() & STICKY != 0 {
        return Ok(());
    }
    if meta.mode() & WORLD_WRITE != 0 {
        return Err(unsafe_place(parent, "everybody may rename what is in it"));
    }
    // Many distributions give each user a group of the same name and umask 002; that group is no stranger.
    let own_group = meta.gid() == 0 || meta.gid() == rustix::process::getegid().as_raw();
    if meta.mode() & GROUP_WRITE != 0 && !own_group {
        return Err(unsafe_place(parent, "a group may rename what is in it"));
    }
    Ok(())
}

/// Refuses a file that is not regular, not ours, or open to others. `Missing` if it is not there.
pub(super) fn check_file(path: &Path) -> Result<Metadata, StoreError> {
    let meta = look(path)?;
    if !meta.is_file() {
        return Err(unsafe_place(path, "it is not a regular file"));
    }
    check_owner(path, &meta)?;
    if meta.mode() & GROUP_OR_WORLD != 0 {
        return Err(unsafe_place(path, "others may use it; run chmod go="));
    }
    Ok(meta)
}

/// Makes the directory with mode 0700, or accepts the one that is there if it is safe.
pub(super) fn make_dir(dir: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => sync_parent(dir)?,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) if e.kind() == io::ErrorKind::StorageFull => return Err(StoreError::Full),
        Err(e) if e.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            return Err(StoreError::ReadOnly);
        }
        Err(e) => return Err(unreadable(dir, &e)),
    }
    check_dir(dir)
}

/// The right to create or replace files in a directory, held by one process at a time and given back on drop.
pub(super) struct DirLock(File);

impl Drop for DirLock {
    fn drop(&mut self) {
        // Closing it alone would not do: a program that this one is just starting has it open too, until it is loaded.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// Waits for that right. The lock is on the directory itself, so no lock file is left behind by a crash.
pub(super) fn lock_dir(dir: &Path) -> Result<DirLock, StoreError> {
    let handle = File::open(dir).map_err(|e| unreadable(dir, &e))?;
    rustix::fs::flock(&handle, FlockOperation::LockExclusive).map_err(|e| unreadable(dir, &e.into()))?;
    Ok(DirLock(handle))
}

/// Makes file names in the directory that holds `path` survive a power loss. Fails with `Disk` only: the name is there by then,
/// and `Full` or `ReadOnly` would say that nothing was written.
pub(super) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let unsure = |e: io::Error| StoreError::Disk { why: format!("whether {} would survive a power loss: {e}", path.display()) };
    File::open(parent).and_then(|handle| handle.sync_all()).map_err(unsure)
}

/// Makes a file that was not there, with mode 0600, to be written. A link in its place is not followed (open(2), O_EXCL).
pub fn new_file(path: &Path) -> io::Result<File> {
    new_file_as(path, 0o600)
}

fn new_file_as(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Gives a file this content, whatever stood there: whole or not at all, and on disk when this returns. For who holds the
/// directory's lock.
pub(super) fn replace(path: &Path, mode: u32, content: &[u8]) -> Result<(), StoreError> {
    let temp = beside(path, ".new");
    remove_if_there(&temp)?;
    new_file_as(&temp, mode)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temp, path))
        .map_err(|e| disk(&e))?;
    sync_parent(path)
}

/// Removes a left-over file; one that is not there is fine.
pub(super) fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(disk(&e)),
        _ => Ok(()),
    }
}

/// Removes what an ended process left half written: `*.new` and its journal. Who makes such a file holds the directory's
/// lock meanwhile, so where somebody holds it nothing is touched. A file that cannot be removed is in nobody's way.
pub(super) fn sweep(dir: &Path) {
    let Ok(handle) = File::open(dir) else { return };
    if rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive).is_err() {
        return;
    }
    let _nobody_else = DirLock(handle);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let half = [".new", ".new-journal"].iter().any(|end| name.as_encoded_bytes().ends_with(end.as_bytes()));
        if half && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// `path` with `suffix` added to its last part.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Sorts an input/output error of the system into what the operator can act on.
pub(super) fn disk(error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
        io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
        _ => StoreError::Disk { why: error.to_string() },
    }
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unreadable { path: path.to_owned(), why: error.to_string() }
}

pub(super) fn unsafe_place(path: &Path, why: &str) -> StoreError {
    StoreError::UnsafePlace { path: path.to_owned(), why: why.to_owned() }
}

fn look(path: &Path) -> Result<Metadata, StoreError> {
    fs::symlink_metadata(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => StoreError::Missing { path: path.to_owned() },
        _ => unreadable(path, &e),
    })
}

fn check_owner(path: &Path, meta: &Metadata) -> Result<(), StoreError> {
    let us = rustix::process::geteuid().as_raw();
    if meta.uid() == us || meta.uid() == 0 {
        return Ok(());
    }
    Err(unsafe_place(path, "it belongs to another user"))
}
