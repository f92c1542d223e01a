//! The tree of a container that does not run, where its root volume is a directory of this host. Nothing is mounted for
//! it, and nothing is opened but for reading.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, fstat, openat};

use super::ids::Ids;
use super::open::{NotOpened, Tree};
use crate::domain::conf::parse_lxc;
use crate::domain::guest::Vmid;
use crate::domain::storage::parse_cfg;
use crate::domain::volume::{mount_place, root_volume};

impl Tree {
    /// The tree of a container of this node that is stopped; [`NotOpened::NotFromHere`] says why it cannot be read. Whoever
    /// holds it may keep its volume from being destroyed or rolled back meanwhile.
    pub fn of_stopped(guest: Vmid) -> Result<Tree, NotOpened> {
        stopped(guest, Path::new("/etc/pve"))
    }
}

fn stopped(guest: Vmid, etc: &Path) -> Result<Tree, NotOpened> {
    let no = |why: String| NotOpened::NotFromHere(format!("{guest} does not run, and {why}"));
    let read = |name: &str| std::fs::read_to_string(etc.join(name)).map_err(|e| no(format!("{}: {e}", etc.join(name).display())));
    let text = read(&format!("lxc/{guest}.conf"))?;
    let conf = parse_lxc(guest, &text);
    let place = mount_place(guest);
    if conf.lock.as_deref() == Some("mounted") && is_mounted(&place) {
        let root = directory(&place).map_err(|e| no(format!("{place}: {e}")))?;
        return Tree::below_without(root, Ids::of_conf(&text), Vec::new()).map_err(|e| no(e.to_string()));
    }
    let volume = root_volume(&conf, &parse_cfg(&read("storage.cfg")?).0).map_err(no)?;
    let root: OwnedFd = directory(&volume.path).map_err(|e| no(format!("its root volume {}: {e}", volume.path)))?;
    if volume.mounted {
        let device = |fd: &OwnedFd| fstat(fd).map(|s| s.st_dev);
        let above = Path::new(&volume.path).parent().and_then(Path::to_str).unwrap_or("/");
        let same = directory(above).and_then(|above| Ok(device(&above)? == device(&root)?));
        if same.map_err(|e| no(format!("{above}: {e}")))? {
            return Err(no(format!("its root volume is not mounted at {}", volume.path)));
        }
    }
    Tree::below_without(root, Ids::of_conf(&text), volume.without).map_err(|e| no(e.to_string()))
}

fn directory(path: &str) -> rustix::io::Result<OwnedFd> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Whether something is mounted there, as `pct mount` does it with all volumes of a guest.
fn is_mounted(place: &str) -> bool {
    std::fs::read_to_string("/proc/self/mounts").is_ok_and(|t| t.lines().any(|l| l.split(' ').nth(1) == Some(place)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_stopped_guests_directory_is_read_and_nothing_outside_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (etc, store) = (dir.path().join("etc"), dir.path().join("store"));
        let log = store.join("images/101/subvol-101-disk-0.subvol/var/log");
        std::fs::create_dir_all(etc.join("lxc")).unwrap();
        std::fs::create_dir_all(&log).unwrap();
        std::fs::create_dir_all(log.join("../../data")).unwrap();
        std::fs::write(dir.path().join("secret"), "the host's").unwrap();
        std::fs::write(log.join("app.log"), "the guest's\n").unwrap();
        symlink(dir.path().join("secret"), log.join("link")).unwrap();
        symlink(dir.path(), log.join("dir")).unwrap();
        std::fs::write(
            etc.join("storage.cfg"),
            format!("dir: local\n\tpath {0}\nzfspool: zz\n\tpool x\n\tmountpoint {0}\n", store.display()),
        )
        .unwrap();
        let conf = |rootfs: &str| std::fs::write(etc.join("lxc/101.conf"), format!("rootfs: {rootfs}\nmp0: x:y,mp=/data\n")).unwrap();
        let id = "101".parse().unwrap();

        conf("local:101/subvol-101-disk-0.subvol");
        let tree = stopped(id, &etc).unwrap();
        assert_eq!(tree.open("/var/log/app.log").unwrap().size().unwrap(), 12);
        for (path, expected) in [
            ("/var/log/link", "is a symbolic link"),
            ("/var/log/dir/secret", "is not there"),
            ("/../../../../secret", "is not there"),
            ("/data/app.log", "lies on mp0, which is not mounted while the guest does not run"),
            ("//data/./app.log", "lies on mp0"),
        ] {
            let said = tree.open(path).unwrap_err().why();
            assert!(said.contains(expected), "{path}: {said}");
        }
        std::fs::create_dir(store.join("subvol-101-disk-0")).unwrap();
        for (rootfs, expected) in [
            ("zz:subvol-101-disk-0", "is not mounted at"),
            ("zz:subvol-101-disk-1", "No such file"),
            ("local:101/vm-101-disk-0.raw", "is a disk on dir, and nothing is mounted just to look"),
        ] {
            conf(rootfs);
            let said = stopped(id, &etc).unwrap_err().why();
            assert!(said.starts_with("101 does not run, and ") && said.contains(expected), "{rootfs}: {said}");
        }
        assert!(stopped("102".parse().unwrap(), &etc).unwrap_err().why().contains("102.conf"));
    }
}
