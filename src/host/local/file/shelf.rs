//! Looks at the logs of a tree without opening one: names, sizes and times of `/var/log` and the directories right below.
//! Nothing that a guest mounted there is entered, since its file system could keep us waiting.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, StatxFlags, fstatvfs, openat, openat2, statx};

use super::open::{Tree, collect_pids, io_error, space_of};
use crate::domain::guest::Vmid;
use crate::domain::log_health::{DIR, Entry, Found};
use crate::domain::stamp::Stamp;
use crate::host::HostError;

/// Entries looked at in one tree. More is no place for logs, or a guest that wants to keep us busy.
const MOST: usize = 2_000;
/// Processes of one guest whose names are read.
const MOST_PROCESSES: usize = 4_096;

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// The logs of a tree, and these files besides where they are there.
pub fn logs(tree: &Tree, besides: &[String]) -> Result<Found, HostError> {
    let told = |e: rustix::io::Errno| match e {
        rustix::io::Errno::XDEV => {
            HostError::Io { what: DIR.into(), why: "lies on a file system of its own, which is not looked at".into() }
        }
        e => io_error(DIR, &e.into()),
    };
    let dir = directory(tree, DIR).map_err(told)?;
    let space = space_of(&fstatvfs(&dir).map_err(told)?);
    let mut found = Found { files: Vec::new(), space, left_out: 0 };
    let below = list(&dir, DIR, &mut found).map_err(told)?;
    for name in below {
        let path = format!("{DIR}/{name}");
        // One that is a mount, or went meanwhile, is nobody's log directory.
        if let Ok(dir) = directory(tree, &path) {
            list(&dir, &path, &mut found).map_err(told)?;
        }
    }
    for path in besides {
        let Some((parent, name)) = path.rsplit_once('/') else { continue };
        let entry = directory(tree, parent).and_then(|dir| entry(&dir, name, path.clone()));
        found.files.extend(entry.ok().flatten());
    }
    Ok(found)
}

fn directory(tree: &Tree, path: &str) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    match tree.root() {
        None => openat(CWD, path, FLAGS, Mode::empty()),
        Some(root) => openat2(root.as_fd(), path, FLAGS, Mode::empty(), resolve),
    }
}

/// Takes the files of a directory in and gives the names of those below it.
fn list(dir: &OwnedFd, path: &str, found: &mut Found) -> rustix::io::Result<Vec<String>> {
    let mut below = Vec::new();
    for item in Dir::read_from(dir)? {
        let item = item?;
        let name = item.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if found.files.len() + below.len() >= MOST {
            found.left_out += 1;
            continue;
        }
        // A name that is not UTF-8 could not be opened by what is typed either.
        let Ok(text) = name.to_str() else { continue };
        match item.file_type() {
            FileType::Directory => below.push(text.to_owned()),
            FileType::RegularFile | FileType::Unknown => found.files.extend(entry(dir, name, format!("{path}/{text}"))?),
            _ => {}
        }
    }
    Ok(below)
}

/// A file of a directory; nothing where it is no file, or gone.
fn entry<P: rustix::path::Arg>(dir: &OwnedFd, name: P, path: String) -> rustix::io::Result<Option<Entry>> {
    // What the kernel knows already is enough: nobody is asked for it.
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    let stat = match statx(dir, name, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(e) => return Err(e),
    };
    if FileType::from_raw_mode(stat.stx_mode.into()) != FileType::RegularFile {
        return Ok(None);
    }
    let stamp = |t: rustix::fs::StatxTimestamp| Stamp(t.tv_sec.saturating_mul(1000) + i64::from(t.tv_nsec / 1_000_000));
    let born = (stat.stx_mask & StatxFlags::BTIME.bits() != 0).then(|| stamp(stat.stx_btime));
    let size = stat.stx_size.min(stat.stx_blocks.saturating_mul(512));
    Ok(Some(Entry { path, size, modified: stamp(stat.stx_mtime), born }))
}

/// Names of the processes of a running guest (proc(5), comm).
pub fn processes(guest: Vmid) -> Result<Vec<String>, HostError> {
    let mut pids = Vec::new();
    collect_pids(Path::new(&format!("/sys/fs/cgroup/lxc/{guest}")), &mut pids, 0);
    collect_pids(Path::new(&format!("/sys/fs/cgroup/pids/lxc/{guest}")), &mut pids, 0);
    if pids.is_empty() {
        return Err(HostError::Io { what: format!("processes of {guest}"), why: "it does not run".into() });
    }
    let name = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    let mut names: Vec<String> = pids.into_iter().take(MOST_PROCESSES).filter_map(name).map(|n| n.trim_end().to_owned()).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Names in a directory of a tree that begin like this, at most so many, sorted; those of directories end in `/`. Only
/// what can be opened or entered is named.
pub fn names(tree: &Tree, dir: &str, head: &str, most: usize) -> Result<Vec<String>, HostError> {
    let told = |e: rustix::io::Errno| io_error(dir, &io::Error::from(e));
    let opened = match tree.root() {
        None => openat(CWD, dir, FLAGS - OFlags::NOFOLLOW, Mode::empty()),
        Some(root) => {
            openat2(root.as_fd(), dir, FLAGS - OFlags::NOFOLLOW, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
        }
    };
    let mut names = Vec::new();
    for item in Dir::read_from(opened.map_err(told)?).map_err(told)? {
        let item = item.map_err(told)?;
        let fits = |name: &CStr| name != c"." && name != c".." && name.to_bytes().starts_with(head.as_bytes());
        let Ok(name) = item.file_name().to_str() else { continue };
        // Hidden files are for whoever asks for them; what cannot be typed is for nobody.
        if !fits(item.file_name()) || (head.is_empty() && name.starts_with('.')) || name.contains(char::is_control) {
            continue;
        }
        match item.file_type() {
            FileType::Directory => names.push(format!("{name}/")),
            FileType::RegularFile | FileType::Symlink | FileType::Unknown => names.push(name.to_owned()),
            _ => {}
        }
    }
    names.sort();
    names.truncate(most);
    Ok(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A guest's tree with logs, a link to a log of the host and a sparse file.
    fn place() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret.log"), "the host's").unwrap();
        let log = dir.path().join("guest/var/log");
        std::fs::create_dir_all(log.join("caddy/deeper")).unwrap();
        std::fs::create_dir_all(dir.path().join("guest/var/lib/misc")).unwrap();
        std::fs::write(log.join("app.log"), vec![b'x'; 100_000]).unwrap();
        std::fs::write(log.join("caddy/access.log"), "one\n").unwrap();
        std::fs::write(log.join("caddy/deeper/no.log"), "not looked at").unwrap();
        std::fs::write(dir.path().join("guest/var/lib/misc/dnsmasq.leases"), "x").unwrap();
        std::fs::File::create(log.join("lastlog")).unwrap().set_len(1 << 40).unwrap();
        symlink(dir.path().join("secret.log"), log.join("link.log")).unwrap();
        symlink(dir.path(), log.join("linked")).unwrap();
        let root = openat(CWD, dir.path().join("guest"), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        (dir, Tree::below(root).unwrap())
    }

    #[test]
    fn logs_are_found_with_what_they_take_and_no_link_is_followed() {
        let (_dir, tree) = place();
        let found = logs(&tree, &["/var/lib/misc/dnsmasq.leases".into(), "/nowhere/x".into()]).unwrap();
        let mut files: Vec<(&str, bool)> = found.files.iter().map(|f| (f.path.as_str(), f.size >= 4)).collect();
        files.sort_unstable();
        let expected = [
            ("/var/lib/misc/dnsmasq.leases", false),
            ("/var/log/app.log", true),
            ("/var/log/caddy/access.log", true),
            ("/var/log/lastlog", false),
        ];
        assert_eq!(files, expected);
        let app = found.files.iter().find(|f| f.path == "/var/log/app.log").unwrap();
        assert_eq!(app.size, 100_000);
        let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64 - app.modified.0;
        assert!((0..60_000).contains(&age) && app.born.is_none_or(|b| b <= app.modified));
        assert!(found.space.total >= found.space.used && found.space.total > 0 && found.left_out == 0);
    }

    #[test]
    fn a_flood_of_files_is_cut_and_counted() {
        let (dir, tree) = place();
        (0..MOST).for_each(|n| std::fs::write(dir.path().join(format!("guest/var/log/{n}.log")), "").unwrap());
        let found = logs(&tree, &[]).unwrap();
        assert!(found.files.len() <= MOST && found.left_out > 0, "{} {}", found.files.len(), found.left_out);
    }

    #[test]
    fn names_are_completed_inside_the_tree_only() {
        let (dir, tree) = place();
        std::fs::write(dir.path().join("guest/var/log/\u{1b}[2J"), "").unwrap();
        assert_eq!(names(&tree, "/var/log", "", 9).unwrap(), ["app.log", "caddy/", "lastlog", "link.log", "linked"]);
        assert_eq!(names(&tree, "/var/log/", "ca", 9).unwrap(), ["caddy/"]);
        assert_eq!(names(&tree, "/..", "", 9).unwrap(), ["var/"]);
        assert!(names(&tree, "/var/log/linked", "", 9).is_err(), "the link leads nowhere in the guest");
        assert_eq!(names(&tree, "/var/log", "", 2).unwrap().len(), 2);
    }
}
