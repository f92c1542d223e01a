//! A directory held in memory: what a store looked like before a write, and every disk a power loss may leave.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The files of a directory and below it, by their path in it. All belong to us alone, whatever their mode was.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Image(pub BTreeMap<PathBuf, Vec<u8>>);

impl Image {
    pub fn of(dir: &Path) -> Self {
        let mut files = BTreeMap::new();
        take(dir, Path::new(""), &mut files);
        Self(files)
    }

    /// Makes `dir` hold exactly this.
    pub fn lay(&self, dir: &Path) {
        match fs::remove_dir_all(dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("{}: {e}", dir.display()),
            _ => private_dir(dir),
        }
        for (name, bytes) in &self.0 {
            let path = dir.join(name);
            private_dir(path.parent().unwrap());
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap().write_all(bytes).unwrap();
        }
    }
}

fn private_dir(dir: &Path) {
    std::os::unix::fs::DirBuilderExt::mode(fs::DirBuilder::new().recursive(true), 0o700).create(dir).unwrap();
}

fn take(dir: &Path, below: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            take(&entry.path(), &name, files);
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

/// A private directory in memory where there is one: these tests end processes and rebuild disks by themselves, so
/// waiting for a real disk would show nothing.
pub fn scratch() -> (TempDir, PathBuf) {
    let memory = Path::new("/dev/shm");
    let outer = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let dir = outer.path().join("proximity");
    (outer, dir)
}
