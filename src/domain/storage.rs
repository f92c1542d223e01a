//! Storages: `/etc/pve/storage.cfg` and what was measured of each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A storage's name as Proxmox checks it: a letter, then letters, digits, `-`, `_`, `.`, ending in a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StorageId(String);

impl StorageId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StorageId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let b = text.as_bytes();
        let inner = b.iter().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c));
        let ends = b.first().is_some_and(u8::is_ascii_alphabetic) && b.last().is_some_and(u8::is_ascii_alphanumeric);
        if inner && ends && b.len() >= 2 && b.len() <= 100 {
            Ok(StorageId(text.to_owned()))
        } else {
            Err(format!("'{}' cannot be a storage name", super::clean::clean(text)))
        }
    }
}

impl TryFrom<String> for StorageId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<StorageId> for String {
    fn from(id: StorageId) -> String {
        id.0
    }
}

impl fmt::Display for StorageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Space on a storage in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// In use.
    pub used: u64,
    /// What may still be written.
    pub avail: u64,
}

/// One storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// Its name.
    pub id: StorageId,
    /// `dir`, `lvmthin`, `nfs`, `pbs`, …
    pub kind: String,
    /// Where its files are, for kinds that have a path.
    pub path: Option<String>,
    /// Where its file systems are mounted, for a ZFS pool.
    pub pool: Option<String>,
    /// Folder of its backups below the path, `dump` unless `content-dirs` says otherwise.
    pub dump: String,
    /// Content types it may hold: `backup`, `rootdir`, …
    pub content: Vec<String>,
    /// Switched off in the configuration.
    pub disabled: bool,
    /// Nodes it is limited to; empty means all.
    pub nodes: Vec<String>,
    /// Whether its path must be a mount point (`is_mountpoint`, or a network kind).
    pub must_be_mounted: bool,
    /// Other hosts use it too, by its own configuration.
    #[serde(default)]
    pub shared: bool,
    /// Whether it answered: `Ok(space)`, or why nobody could say.
    pub space: Result<Space, String>,
}

impl Storage {
    /// Whether it may hold this content type and is switched on.
    pub fn takes(&self, content: &str) -> bool {
        !self.disabled && self.content.iter().any(|c| c == content)
    }

    /// The folder of its backup archives, for kinds that keep files.
    pub fn dump_dir(&self) -> Option<String> {
        self.path.as_ref().map(|p| format!("{}/{}", p.trim_end_matches('/'), self.dump))
    }

    /// Whether a path below belongs to a mounted file system of its own kind that must be there.
    pub fn is_network(&self) -> bool {
        matches!(self.kind.as_str(), "nfs" | "cifs" | "cephfs" | "glusterfs")
    }
}

/// Reads storage.cfg. A section whose name is impossible is left out and named in the second part.
pub fn parse_cfg(text: &str) -> (Vec<Storage>, Vec<String>) {
    let (mut found, mut odd) = (Vec::<Storage>::new(), Vec::new());
    let mut open = false;
    for line in text.lines() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if !line.starts_with([' ', '\t']) {
            let head = line.split_once(':').map(|(kind, id)| (kind.trim(), id.trim().parse::<StorageId>()));
            open = matches!(head, Some((_, Ok(_))));
            match head {
                Some((kind, Ok(id))) => found.push(fresh(kind, id)),
                _ => odd.push(super::clean::clean(line)),
            }
        } else if let (true, Some(storage)) = (open, found.last_mut()) {
            let line = line.trim();
            let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            set(storage, key, value.trim());
        }
    }
    (found, odd)
}

fn fresh(kind: &str, id: StorageId) -> Storage {
    // Proxmox's default mount place of network kinds.
    let path = matches!(kind, "nfs" | "cifs" | "cephfs").then(|| format!("/mnt/pve/{id}"));
    let must_be_mounted = path.is_some();
    Storage {
        id,
        kind: kind.into(),
        path,
        pool: None,
        dump: "dump".into(),
        content: Vec::new(),
        disabled: false,
        nodes: Vec::new(),
        must_be_mounted,
        shared: false,
        space: Err("not measured yet".into()),
    }
}

fn set(storage: &mut Storage, key: &str, value: &str) {
    let list = || value.split([',', ' ', ';']).filter(|v| !v.is_empty()).map(str::to_owned).collect();
    match key {
        "path" => storage.path = Some(value.into()),
        "pool" if storage.kind == "zfspool" && storage.pool.is_none() => storage.pool = Some(format!("/{value}")),
        "mountpoint" if storage.kind == "zfspool" => storage.pool = Some(value.into()),
        "content" => storage.content = list(),
        "content-dirs" => {
            let dump = value.split([',', ' ', ';']).find_map(|part| part.strip_prefix("backup="));
            storage.dump = dump.map_or_else(|| "dump".into(), |dir| dir.trim_matches('/').into());
        }
        "nodes" => storage.nodes = list(),
        "shared" => storage.shared = value != "0",
        "disable" => storage.disabled = value != "0",
        "is_mountpoint" => storage.must_be_mounted = !matches!(value, "0" | "no"),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_storage_cfg() {
        let (s, odd) = parse_cfg(include_str!("../../tests/recordings/pve-9.1/cat-storage-cfg.out"));
        let names: Vec<_> = s.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(names, ["local", "btr", "backup", "usbdisk", "olddisk", "tiny"]);
        assert!(odd.is_empty() && s[4].disabled && s[3].must_be_mounted && !s[4].takes("backup"));
        assert!(s[2].takes("backup") && !s[1].takes("backup"));
        assert_eq!(s[2].dump_dir().as_deref(), Some("/mnt/backup/dump"));
    }

    #[test]
    fn the_folder_of_backups_may_be_another() {
        let (s, _) = parse_cfg("dir: one\n\tpath /x/\n\tcontent-dirs iso=i,backup=saved/dumps\ndir: two\n\tpath /y\n");
        let dirs: Vec<_> = s.iter().map(|s| s.dump_dir().unwrap()).collect();
        assert_eq!(dirs, ["/x/saved/dumps", "/y/dump"]);
    }

    #[test]
    fn impossible_names_are_told_not_used() {
        let (s, odd) = parse_cfg("dir: -rf\n\tpath /x\nnfs: nas\n\tserver a\nrubbish\n\tpath /y\n");
        assert_eq!((s.len(), odd.len()), (1, 2));
        assert_eq!(s[0].path.as_deref(), Some("/mnt/pve/nas"));
        for bad in ["", "a", "-a", "a/b", "a b", "../x", "a-", "ü1"] {
            assert!(bad.parse::<StorageId>().is_err(), "{bad}");
        }
    }
}
