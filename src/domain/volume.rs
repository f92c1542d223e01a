//! Where the root volume of a container lies that does not run: for some storages it is a plain directory of the host
//! (PVE::Storage::ZFSPoolPlugin, DirPlugin, BTRFSPlugin: format `subvol`), for the others a disk that would have to be
//! mounted, which nobody does just to look.

use super::guest::{Guest, Vmid};
use super::storage::Storage;

/// A directory that is a root volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootVolume {
    /// Its whole path.
    pub path: String,
    /// A file system of its own must be mounted there; else the directory is only where one belongs.
    pub mounted: bool,
    /// Paths inside at which other volumes are mounted while it runs, with their names: nothing is there now.
    pub without: Vec<(String, String)>,
}

/// Where `pct mount` puts the volumes of a container that does not run.
pub fn mount_place(id: Vmid) -> String {
    format!("/var/lib/lxc/{id}/rootfs")
}

/// The root volume of a container by its configuration; else why it cannot be read.
pub fn root_volume(guest: &Guest, storages: &[Storage]) -> Result<RootVolume, String> {
    let root = guest.mounts.iter().find(|m| m.key == "rootfs").ok_or("it has no root volume in its configuration")?;
    let without = guest.mounts.iter().filter(|m| m.key != "rootfs").map(|m| (m.path.clone(), m.key.clone())).collect();
    if root.bind {
        return Ok(RootVolume { path: root.source.clone(), mounted: false, without });
    }
    let shown = || super::clean::clean(&root.source);
    let (id, name) = root.source.split_once(':').ok_or_else(|| format!("its root volume {} names no storage", shown()))?;
    let storage = storages
        .iter()
        .find(|s| s.id.as_str() == id)
        .ok_or_else(|| format!("the storage of its root volume {} is not configured", shown()))?;
    // A linked clone names its origin first.
    let parts: Vec<&str> = name.split('/').collect();
    let plain = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if !parts.iter().all(|p| plain(p)) {
        return Err(format!("its root volume {} has a name that no volume has", shown()));
    }
    let is_disk = || format!("its root volume {} is a disk on {}, and nothing is mounted just to look", shown(), storage.kind);
    match (storage.kind.as_str(), &parts[..]) {
        ("zfspool", [.., name]) if name.starts_with("subvol-") || name.starts_with("basevol-") => {
            let pool = storage.pool.as_ref().ok_or_else(|| format!("storage {id} names no pool"))?;
            Ok(RootVolume { path: format!("{pool}/{name}"), mounted: true, without })
        }
        (_, [.., vmid, name]) if name.ends_with(".subvol") => {
            let path = storage.path.as_ref().ok_or_else(is_disk)?;
            Ok(RootVolume { path: format!("{}/images/{vmid}/{name}", path.trim_end_matches('/')), mounted: false, without })
        }
        _ => Err(is_disk()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::conf::parse_lxc;
    use super::super::storage::parse_cfg;
    use super::*;

    const CFG: &str = "zfspool: local-zfs\n\tpool rpool/data\n\tcontent rootdir\nzfspool: tank\n\tpool tank/ct\n\tmountpoint /srv/ct\ndir: local\n\tpath /var/lib/vz/\nbtrfs: btr\n\tpath /mnt/btr\nlvmthin: local-lvm\n\tthinpool data\n\tvgname pve\n";

    fn of(rootfs: &str) -> Result<(String, bool), String> {
        let guest = parse_lxc("101".parse().unwrap(), &format!("rootfs: {rootfs}\nmp0: local-lvm:vm-101-disk-1,mp=/data\n"));
        let found = root_volume(&guest, &parse_cfg(CFG).0)?;
        assert_eq!(found.without, [("/data".to_owned(), "mp0".to_owned())]);
        Ok((found.path, found.mounted))
    }

    #[test]
    fn directories_are_told_from_disks() {
        for (rootfs, path, mounted) in [
            ("local-zfs:subvol-101-disk-0,size=4G", "/rpool/data/subvol-101-disk-0", true),
            ("local-zfs:basevol-110-disk-0/subvol-101-disk-0,size=4G", "/rpool/data/subvol-101-disk-0", true),
            ("tank:subvol-101-disk-0", "/srv/ct/subvol-101-disk-0", true),
            ("local:101/subvol-101-disk-0.subvol,size=0T", "/var/lib/vz/images/101/subvol-101-disk-0.subvol", false),
            ("btr:101/subvol-101-disk-0.subvol", "/mnt/btr/images/101/subvol-101-disk-0.subvol", false),
        ] {
            assert_eq!(of(rootfs), Ok((path.to_owned(), mounted)), "{rootfs}");
        }
        for (rootfs, why) in [
            ("local-lvm:vm-101-disk-0,size=4G", "is a disk on lvmthin"),
            ("local:101/vm-101-disk-0.raw,size=4G", "is a disk on dir"),
            ("local-zfs:vm-101-disk-0", "is a disk on zfspool"),
            ("gone:subvol-101-disk-0", "is not configured"),
            ("local:../../../etc/x.subvol", "a name that no volume has"),
            ("local-zfs:..", "a name that no volume has"),
            ("rubbish", "names no storage"),
        ] {
            assert!(of(rootfs).unwrap_err().contains(why), "{rootfs}: {:?}", of(rootfs));
        }
        assert!(root_volume(&parse_lxc("101".parse().unwrap(), ""), &[]).is_err());
    }
}
