//! The storages of the simulated node.

use super::node::Node;
use crate::domain::storage::Space;

/// One storage.
pub(super) struct Place {
    pub name: &'static str,
    pub kind: &'static str,
    /// Where its files are.
    pub path: &'static str,
    pub content: &'static str,
    /// Further lines in storage.cfg.
    pub more: &'static [&'static str],
    /// Size in bytes; 0 for one that does not answer.
    pub total: u64,
    /// Bytes in use beside the files that are simulated.
    pub used: u64,
}

const GIB: u64 = 1 << 30;

/// All storages, in the order of storage.cfg.
pub(super) const PLACES: [Place; 4] = [
    Place { name: "local", kind: "dir", path: "/var/lib/vz", content: "backup,iso,vztmpl", more: &[], total: 94 * GIB, used: 11 * GIB },
    Place {
        name: "local-lvm",
        kind: "lvmthin",
        path: "",
        content: "images,rootdir",
        more: &["thinpool data", "vgname pve"],
        total: 349 * GIB,
        used: 61 * GIB,
    },
    Place {
        name: "nas",
        kind: "nfs",
        path: "/mnt/pve/nas",
        content: "backup",
        more: &["export /volume1/proxmox", "server 192.168.1.9", "prune-backups keep-daily=7"],
        total: 0,
        used: 0,
    },
    Place { name: "tiny", kind: "dir", path: "/mnt/tiny", content: "backup", more: &["is_mountpoint 1"], total: 32 * GIB, used: 29 * GIB },
];

/// Space of the root file system in bytes: all and in use.
pub(super) const ROOT: (u64, u64) = (28 * GIB, 9 * GIB);

/// What `nas` says to whoever asks.
pub(super) const OFFLINE: &str = "storage 'nas' is not online";

impl Place {
    pub fn takes(&self, content: &str) -> bool {
        self.content.split(',').any(|c| c == content)
    }

    pub fn active(&self) -> bool {
        self.total > 0
    }

    /// The folder of archives.
    pub fn dump(&self) -> String {
        format!("{}/dump", self.path)
    }
}

pub(super) fn find(name: &str) -> Option<&'static Place> {
    PLACES.iter().find(|p| p.name == name)
}

/// The storage a path lies on.
pub(super) fn holding(path: &str) -> Option<&'static Place> {
    PLACES
        .iter()
        .find(|p| p.active() && !p.path.is_empty() && (path == p.path || path.strip_prefix(p.path).is_some_and(|r| r.starts_with('/'))))
}

impl Node {
    /// Space of a storage now.
    pub fn space(&self, place: &Place) -> Space {
        let now = self.now();
        let files: u64 = match place.path {
            // Thin volumes hold what their guests use.
            "" => self.guests.values().map(|g| g.used).sum(),
            path => self.disk.iter().filter(|(p, _)| p.starts_with(path)).map(|(_, f)| f.size(now)).sum(),
        };
        let used = if place.active() { (place.used + files).min(place.total) } else { 0 };
        Space { total: place.total, used, avail: place.total - used }
    }
}

/// The text of /etc/pve/storage.cfg.
pub(super) fn cfg() -> String {
    let mut out = String::new();
    for p in &PLACES {
        out += &format!("{}: {}\n", p.kind, p.name);
        if !p.path.is_empty() {
            out += &format!("\tpath {}\n", p.path);
        }
        out += &format!("\tcontent {}\n", p.content);
        for line in p.more {
            out += &format!("\t{line}\n");
        }
        out.push('\n');
    }
    out
}
