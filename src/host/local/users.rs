//! Who has what open, from the links in `/proc` alone: the files themselves are never touched, for one on a dead storage would
//! stop us too.

use std::ffi::OsStr;
use std::fs::read_link;
use std::io;
use std::path::Path;

use crate::domain::locks::{Opened, Users};

/// All processes that have one of these names on the path of something they have open, work in or are rooted in.
pub(super) fn of(proc: &Path, names: &[String]) -> io::Result<Users> {
    let mut users = Users::default();
    for entry in std::fs::read_dir(proc)? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        match one(&entry.path(), pid, names) {
            Ok(opened) => users.opened.extend(opened),
            // It ended meanwhile.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound) || e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
            Err(_) => users.unread.push(pid),
        }
    }
    users.opened.sort_by(|a, b| (a.pid, &a.path).cmp(&(b.pid, &b.path)));
    users.unread.sort_unstable();
    Ok(users)
}

fn one(dir: &Path, pid: u32, names: &[String]) -> io::Result<Vec<Opened>> {
    let mut out = Vec::new();
    for link in ["cwd", "root"] {
        let path = read_link(dir.join(link))?;
        out.extend(matches(&path, names).map(|path| Opened { pid, path, locks: false }));
    }
    for fd in std::fs::read_dir(dir.join("fd"))? {
        let fd = fd?;
        // Closed between the two looks.
        let Ok(path) = read_link(fd.path()) else { continue };
        let Some(path) = matches(&path, names) else { continue };
        // `lock:	1: FLOCK  ADVISORY  WRITE 4711 00:1a:1234 0 EOF` (proc_pid_fdinfo(5)).
        let told = match std::fs::read_to_string(dir.join("fdinfo").join(fd.file_name())) {
            Ok(told) => told,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        let locks = told.lines().any(|l| l.starts_with("lock:") && l.contains(" FLOCK "));
        out.push(Opened { pid, path, locks });
    }
    Ok(out)
}

fn matches(path: &Path, names: &[String]) -> Option<String> {
    let is = |part: &OsStr| {
        let part = part.to_string_lossy();
        names.iter().any(|name| name.strip_suffix('*').map_or(*part == **name, |head| part.starts_with(head)))
    };
    path.iter().any(is).then(|| path.to_string_lossy().into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_locks_of_a_process_are_found_by_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vzdump-lxc-7-x.dat");
        let file = std::fs::File::create(&path).unwrap();
        let me = std::process::id();
        let mine = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            of(Path::new("/proc"), &names).unwrap().opened.into_iter().filter(|o| o.pid == me).collect::<Vec<_>>()
        };
        let whole = path.to_string_lossy().into_owned();
        assert_eq!(mine(&["vzdump-lxc-7-*"]), [Opened { pid: me, path: whole.clone(), locks: false }]);
        assert_eq!(mine(&["vzdump-lxc-7-"]), [], "a name without a star is the whole name");
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let folder = dir.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(mine(&[folder]), [Opened { pid: me, path: whole, locks: true }]);
        let child = std::process::Command::new("sleep").arg("60").current_dir(dir.path()).stdin(std::process::Stdio::null()).spawn();
        let mut child = child.unwrap();
        let all = of(Path::new("/proc"), &[folder.to_owned()]).unwrap().opened;
        assert!(all.iter().any(|o| o.pid == child.id() && !o.locks), "it works there: {all:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
