//! Opens files to be read, and nothing but files: a FIFO, a device or a socket in a log's place is refused before a byte
//! of it is read. A guest's paths are resolved inside the guest's own tree (openat2(2), RESOLVE_IN_ROOT), so that no
//! link, `..` or mount of a guest leads to a file of the host.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstatfs, openat, openat2};

use super::super::super::HostError;
use super::ids::Ids;
use crate::domain::guest::Vmid;
use crate::domain::storage::Space;

/// Why a file is not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotOpened {
    /// It is not for reading, or not there: no other way would do better.
    Refused(HostError),
    /// It cannot be read from here, but perhaps by a command where it lies; why.
    NotFromHere(String),
    /// This guest does not run, so that it has no tree.
    NotRunning(Vmid),
}

impl NotOpened {
    /// Why, in one sentence.
    pub fn why(&self) -> String {
        match self {
            NotOpened::Refused(e) => e.to_string(),
            NotOpened::NotFromHere(why) => why.clone(),
            NotOpened::NotRunning(guest) => format!("the tree of {guest}: it does not run"),
        }
    }
}

/// Where paths begin.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The root of a guest; nothing for this machine itself, where an operator's path means what it means to him.
    guest: Option<Arc<GuestRoot>>,
}

#[derive(Debug)]
struct GuestRoot {
    fd: OwnedFd,
    device: u64,
    /// The guest's init (pidfd_open(2)): it can be read once that has ended.
    init: Option<OwnedFd>,
    /// Which numbers its owners have on the host.
    ids: Option<Ids>,
    /// Places of other volumes, with their names, that are not mounted there now.
    without: Vec<(String, String)>,
}

/// Kinds of file systems (statfs(2)) that hold a guest's own data and answer without asking anybody: ext, xfs, btrfs, zfs,
/// f2fs, tmpfs. A FUSE or network file system can be made to hang whoever reads it.
const OWN: [i64; 6] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x2FC1_2FC1, 0xF2F5_2010, 0x0102_1994];
/// proc and sysfs: their files have no size to read from the end of.
const MADE_UP: [i64; 2] = [0x9FA0, 0x6265_6572];

impl Tree {
    /// This machine's own tree.
    pub fn machine() -> Tree {
        Tree { guest: None }
    }

    /// The tree of a running guest, through its init; [`NotOpened::NotFromHere`] where it does not run or is not sure.
    pub fn of_guest(guest: Vmid) -> Result<Tree, NotOpened> {
        let no = |why: &str| NotOpened::NotFromHere(format!("the tree of {guest}: {why}"));
        let cgroup = format!("/sys/fs/cgroup/lxc/{guest}");
        let mut pids = Vec::new();
        collect_pids(Path::new(&cgroup), &mut pids, 0);
        collect_pids(Path::new(&format!("/sys/fs/cgroup/pids/lxc/{guest}")), &mut pids, 0);
        if pids.is_empty() {
            return Err(NotOpened::NotRunning(guest));
        }
        pids.sort_unstable();
        let root = pids.iter().find_map(|pid| init_root(*pid, guest)).ok_or_else(|| no("its init was not found"))?;
        let (root, init, ids) = root;
        Tree::made(root, Some(init), ids).map_err(|e| no(&e.to_string()))
    }

    /// The tree below this directory; links in it do not lead out.
    pub fn below(root: OwnedFd) -> io::Result<Tree> {
        Tree::made(root, None, None)
    }

    fn made(root: OwnedFd, init: Option<OwnedFd>, ids: Option<Ids>) -> io::Result<Tree> {
        let device = rustix::fs::fstat(&root)?.st_dev;
        Ok(Tree { guest: Some(Arc::new(GuestRoot { fd: root, device, init, ids, without: Vec::new() })) })
    }

    /// The same without what belongs at these places in it, each with its name.
    pub(super) fn below_without(root: OwnedFd, ids: Option<Ids>, without: Vec<(String, String)>) -> io::Result<Tree> {
        let device = rustix::fs::fstat(&root)?.st_dev;
        Ok(Tree { guest: Some(Arc::new(GuestRoot { fd: root, device, init: None, ids, without })) })
    }

    /// The volume that a path lies on which is not mounted there.
    pub(in crate::host::local) fn missing_volume(&self, path: &str) -> Option<&str> {
        let parts = |path: &str| -> Vec<String> { path.split('/').filter(|p| !p.is_empty() && *p != ".").map(str::to_owned).collect() };
        let wanted = parts(path);
        let without = self.guest.as_ref().map_or(&[][..], |root| &root.without[..]);
        without.iter().find(|(place, _)| wanted.starts_with(&parts(place))).map(|(_, name)| name.as_str())
    }

    /// Where paths begin; nothing for this machine itself.
    pub(in crate::host::local) fn root(&self) -> Option<BorrowedFd<'_>> {
        self.guest.as_ref().map(|root| root.fd.as_fd())
    }

    /// Which numbers owners of the guest have on the host, where that is known.
    pub(in crate::host::local) fn ids(&self) -> Option<&Ids> {
        self.guest.as_ref().and_then(|root| root.ids.as_ref())
    }

    /// What can be read once the guest has stopped.
    pub(super) fn init(&self) -> Option<BorrowedFd<'_>> {
        self.guest.as_ref().and_then(|root| root.init.as_ref()).map(AsFd::as_fd)
    }

    /// Whether the guest has stopped.
    pub fn is_over(&self) -> bool {
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        self.init().is_some_and(|init| {
            let mut fds = [rustix::event::PollFd::from_borrowed_fd(init, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|n| n > 0)
        })
    }

    /// Opens a regular file for reading. Never waits: a FIFO is told by what it is, not by hanging.
    pub fn open(&self, path: &str) -> Result<Opened, NotOpened> {
        if let Some(name) = self.missing_volume(path) {
            return Err(refused(path, &format!("lies on {name}, which is not mounted while the guest does not run")));
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = match &self.guest {
            None => openat(CWD, path, flags, Mode::empty()),
            Some(root) => in_root(&root.fd, path, flags | OFlags::NOFOLLOW),
        };
        let file = match opened {
            Ok(fd) => File::from(fd),
            Err(e) => return Err(self.why_not(path, e)),
        };
        let opened = Opened::of(file).map_err(|e| NotOpened::Refused(io_error(path, &e)))?;
        let kind = opened.kind;
        if kind != "file" {
            return Err(refused(path, &format!("is a {kind}, and only files are read")));
        }
        let system = fstatfs(&opened.file).map_err(|e| NotOpened::Refused(io_error(path, &e.into())))?;
        // The type of the field differs between architectures.
        #[allow(clippy::unnecessary_cast)]
        let system = system.f_type as i64;
        if MADE_UP.contains(&system) {
            return Err(NotOpened::NotFromHere(format!("{path} is made up by the kernel")));
        }
        if let Some(root) = &self.guest
            && opened.device != root.device
            && !OWN.contains(&system)
        {
            return Err(NotOpened::NotFromHere(format!("{path} lies on a file system that may keep its reader waiting")));
        }
        Ok(opened)
    }

    /// Opens the directory that a path lies in, to be watched only.
    pub(super) fn directory_of(&self, path: &str) -> io::Result<OwnedFd> {
        let parent = Path::new(path).parent().and_then(Path::to_str).filter(|p| !p.is_empty()).unwrap_or(".");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(match &self.guest {
            None => openat(CWD, parent, flags, Mode::empty())?,
            Some(root) => in_root(&root.fd, parent, flags)?,
        })
    }

    fn why_not(&self, path: &str, e: rustix::io::Errno) -> NotOpened {
        use rustix::io::Errno;
        match e {
            // What a final link leads to inside the guest is the operator's to name: a log that became a link to
            // some secret file of the guest should not be read by accident.
            Errno::LOOP if self.guest.is_some() => {
                let to = self.guest.as_ref().and_then(|root| {
                    let link = in_root(&root.fd, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC).ok()?;
                    rustix::fs::readlinkat(link, c"", Vec::new()).ok()
                });
                let to = to.map_or(String::new(), |t| format!(" to {}", crate::domain::clean::clean_bytes(t.as_bytes())));
                refused(path, &format!("is a symbolic link{to}; name the file itself"))
            }
            // A socket, or a device without a driver.
            Errno::NXIO | Errno::NODEV => refused(path, "is a socket or device, and only files are read"),
            Errno::NOSYS | Errno::AGAIN => NotOpened::NotFromHere(format!("{path}: the kernel cannot open it safely ({e})")),
            e => NotOpened::Refused(io_error(path, &e.into())),
        }
    }
}

fn in_root(root: &OwnedFd, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // EAGAIN says that something was renamed meanwhile and the kernel would not vouch for `..`.
    for _ in 0..16 {
        match openat2(root.as_fd(), path, flags, Mode::empty(), resolve) {
            Err(rustix::io::Errno::AGAIN) => {}
            other => return other,
        }
    }
    Err(rustix::io::Errno::AGAIN)
}

/// Whether what is open lies on a file system that answers without asking anybody.
pub(in crate::host::local) fn answers_by_itself(fd: impl AsFd) -> rustix::io::Result<bool> {
    // The type of the field differs between architectures.
    #[allow(clippy::unnecessary_cast)]
    let system = fstatfs(fd)?.f_type as i64;
    Ok(OWN.contains(&system))
}

fn refused(path: &str, why: &str) -> NotOpened {
    NotOpened::Refused(HostError::Io { what: path.into(), why: why.into() })
}

pub(super) fn io_error(path: &str, e: &io::Error) -> HostError {
    match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => HostError::Missing { what: path.into() },
        io::ErrorKind::PermissionDenied => HostError::Denied { what: path.into() },
        _ => HostError::Io { what: path.into(), why: e.to_string() },
    }
}

/// Bytes of a file system (statvfs(3)).
pub(in crate::host::local) fn space_of(s: &rustix::fs::StatVfs) -> Space {
    let block = if s.f_frsize > 0 { s.f_frsize } else { s.f_bsize };
    let total = s.f_blocks.saturating_mul(block);
    Space { total, used: total.saturating_sub(s.f_bfree.saturating_mul(block)), avail: s.f_bavail.saturating_mul(block) }
}

/// Processes in a control group and those below it, which systemd makes in a guest.
pub(super) fn collect_pids(group: &Path, pids: &mut Vec<u32>, depth: usize) {
    if let Ok(text) = std::fs::read_to_string(group.join("cgroup.procs")) {
        pids.extend(text.lines().filter_map(|l| l.parse::<u32>().ok()));
    }
    // `ns`, `init.scope`: deeper ones hold services, never the init.
    if depth < 3
        && let Ok(below) = std::fs::read_dir(group)
    {
        below.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).for_each(|e| collect_pids(&e.path(), pids, depth + 1));
    }
}

/// The root of a process, and what ends with it, if it is this guest's init: the first of a process space right below ours, in the guest's control
/// group. Everything is asked through one open directory of /proc, so a later process of the same number cannot answer.
fn init_root(pid: u32, guest: Vmid) -> Option<(OwnedFd, OwnedFd, Option<Ids>)> {
    let proc = openat(CWD, format!("/proc/{pid}"), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let read = |name: &str| {
        let file = openat(&proc, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        io::read_to_string(File::from(file)).ok()
    };
    let number = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
    let init = rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty()).ok()?;
    let status = read("status")?;
    let spaces: Vec<&str> = status.lines().find_map(|l| l.strip_prefix("NSpid:"))?.split_whitespace().collect();
    let group = format!("/lxc/{guest}");
    let in_guest = read("cgroup")?
        .lines()
        .filter_map(|l| l.splitn(3, ':').nth(2))
        .any(|path| path.split_once(&group).is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with('/')));
    if !(matches!(spaces[..], [_, "1"]) && in_guest) {
        return None;
    }
    let root = openat(&proc, "root", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    Some((root, init, Ids::of_maps(&read("uid_map")?, &read("gid_map")?)))
}

/// A file that is open for reading. It stays the same file whatever happens to its name.
#[derive(Debug)]
pub struct Opened {
    pub(super) file: File,
    device: u64,
    inode: u64,
    kind: &'static str,
    born: Option<SystemTime>,
}

impl Opened {
    fn of(file: File) -> io::Result<Opened> {
        let m = file.metadata()?;
        let t = m.file_type();
        let kind = if t.is_file() {
            "file"
        } else if t.is_dir() {
            "directory"
        } else if t.is_fifo() {
            "FIFO"
        } else if t.is_socket() {
            "socket"
        } else {
            "device"
        };
        Ok(Opened { device: m.dev(), inode: m.ino(), kind, born: m.created().ok(), file })
    }

    /// Bytes it holds now.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// By what the same file is known after its volume was let go and came back, perhaps as another device: its number
    /// there, and when it was made where the file system knows that.
    pub(super) fn id(&self) -> (u64, Option<SystemTime>) {
        (self.inode, self.born)
    }

    /// When it was last written to.
    pub(super) fn modified(&self) -> Option<SystemTime> {
        self.file.metadata().and_then(|m| m.modified()).ok()
    }

    /// Whether it has no name any more.
    pub fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|m| m.nlink() == 0)
    }

    /// Whether both are the same file.
    pub fn is(&self, other: &Opened) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Reads from an offset until the buffer is full or the file ends; gives how much. A file that shrank gives less, and
    /// never stops the program as a mapping of it would (SIGBUS).
    pub fn read_at(&self, mut offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.file.read_at(&mut buf[filled..], offset) {
                Ok(0) => break,
                Ok(n) => {
                    filled += n;
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree(at: &Path) -> Tree {
        Tree::below(openat(CWD, at, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap()).unwrap()
    }

    fn why(result: Result<Opened, NotOpened>) -> String {
        match result.unwrap_err() {
            NotOpened::Refused(e) => e.to_string(),
            e => format!("elsewhere: {}", e.why()),
        }
    }

    fn text(opened: &Opened) -> String {
        let mut buf = vec![0; 100];
        let n = opened.read_at(0, &mut buf).unwrap();
        String::from_utf8_lossy(&buf[..n]).into_owned()
    }

    /// A guest's tree inside a directory whose neighbour is the host's secret.
    fn place() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), "the host's").unwrap();
        let root = dir.path().join("guest");
        std::fs::create_dir_all(root.join("var/log")).unwrap();
        std::fs::write(root.join("var/log/app.log"), "the guest's").unwrap();
        let tree = tree(&root);
        (dir, tree)
    }

    #[test]
    fn no_link_of_a_guest_leads_to_the_host() {
        let (dir, tree) = place();
        let log = dir.path().join("guest/var/log");
        let secret = dir.path().join("secret");
        symlink(&secret, log.join("absolute")).unwrap();
        symlink("../../../secret", log.join("upwards")).unwrap();
        symlink(dir.path(), log.join("dir")).unwrap();
        symlink("/var", dir.path().join("guest/v")).unwrap();
        symlink("/proc/self/root", log.join("magic")).unwrap();
        for (path, expected) in [
            ("/var/log/absolute", "is a symbolic link to "),
            ("/var/log/upwards", "is a symbolic link to ../../../secret; name the file itself"),
            ("/var/log/dir/secret", "is not there"),
            ("/../secret", "is not there"),
            ("/var/log/../../../secret", "is not there"),
            ("/var/log/magic/etc/passwd", "is not there"),
            ("/var/log", "is a directory"),
        ] {
            let said = why(tree.open(path));
            assert!(said.contains(expected), "{path}: {said}");
        }
        assert_eq!(text(&tree.open("/v/log/app.log").unwrap()), "the guest's");
        assert_eq!(text(&tree.open("/../var/log/app.log").unwrap()), "the guest's");
    }

    #[test]
    fn magic_links_of_proc_are_not_followed_in_a_guest() {
        let tree = tree(Path::new("/proc/self"));
        for path in ["root/etc/passwd", "cwd/Cargo.toml", "fd/0"] {
            let said = why(tree.open(path));
            assert!(said.contains("symbolic link") || said.contains("not there") || said.contains("os error 40"), "{path}: {said}");
        }
        assert!(why(tree.open("status")).starts_with("elsewhere:"));
    }

    #[test]
    fn nothing_but_a_file_is_opened_and_nothing_hangs() {
        let (dir, tree) = place();
        let log = dir.path().join("guest/var/log");
        let run = |argv: &[&str]| assert!(std::process::Command::new(argv[0]).args(&argv[1..]).status().unwrap().success());
        run(&["mkfifo", log.join("fifo").to_str().unwrap()]);
        let _socket = std::os::unix::net::UnixListener::bind(log.join("socket")).unwrap();
        let mut expected = vec![("/var/log/fifo", "is a FIFO"), ("/var/log/socket", "is a socket or device")];
        if rustix::process::getuid().is_root() {
            run(&["mknod", log.join("zero").to_str().unwrap(), "c", "1", "5"]);
            expected.push(("/var/log/zero", "device"));
        }
        for (path, what) in expected {
            let host = dir.path().join("guest").join(&path[1..]);
            assert!(why(tree.open(path)).contains(what), "{}", why(tree.open(path)));
            assert!(why(Tree::machine().open(host.to_str().unwrap())).contains(what));
        }
        assert!(why(Tree::machine().open("/dev/null")).contains("is a device"));
    }

    #[test]
    fn a_name_that_is_swapped_never_gives_the_hosts_file() {
        let (dir, tree) = place();
        let log = dir.path().join("guest/var/log");
        std::fs::create_dir(log.join("real")).unwrap();
        std::fs::write(log.join("real/secret"), "the guest's").unwrap();
        symlink(dir.path(), log.join("link")).unwrap();
        let swap = |a: &str, b: &str| {
            let dir = openat(CWD, &log, OFlags::PATH, Mode::empty()).unwrap();
            rustix::fs::renameat_with(&dir, a, &dir, b, rustix::fs::RenameFlags::EXCHANGE).unwrap();
        };
        let stop = std::sync::atomic::AtomicBool::new(false);
        let (mut seen, mut last) = (std::collections::BTreeMap::new(), None);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    swap("real", "link");
                }
            });
            for _ in 0..20_000 {
                match tree.open("/var/log/real/secret") {
                    Ok(opened) => *seen.entry(text(&opened)).or_insert(0) += 1,
                    Err(e) => last = Some(e),
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["the guest's"], "{last:?}");
    }

    #[test]
    fn a_process_that_is_no_init_gives_no_tree() {
        let guest: Vmid = "101".parse().unwrap();
        assert!(init_root(std::process::id(), guest).is_none());
        assert!(matches!(Tree::of_guest("999999".parse().unwrap()), Err(NotOpened::NotRunning(_))));
    }
}
