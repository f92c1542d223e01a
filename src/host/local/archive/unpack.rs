//! Writes a file or a folder of an archive below a name of its own. Every name is opened from the folder above it, no link is
//! followed and nothing above the stage is reached, whatever the archive says (openat2(2)). The stage belongs to the host's
//! root and lets nobody in until it is whole.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, chownat, fchmod, fchown, futimens, linkat, mkdirat, openat2,
    symlinkat, syncfs, unlinkat, utimensat,
};

use super::place::Place;
use crate::domain::clean::clean_bytes;
use crate::domain::guest::Vmid;
use crate::domain::inside::{Entry, Kind, Sparse, parts};
use crate::host::local::file::Ids;

/// Folders in each other at most: nobody's data is deeper, and whoever removes it must get there.
const DEEPEST: usize = 200;
/// Bytes that the map of a file with holes may have.
const MOST_MAP: usize = 32 << 20;
/// Warnings that are told one by one.
const TOLD: usize = 20;

/// Whose it becomes.
#[derive(Debug, Clone)]
pub enum Owners {
    /// The guest's, by its own numbers; set bits stay.
    Guest(Vmid, Ids),
    /// Root's, and nothing is setuid.
    Host,
}

/// What is written now.
struct Open {
    file: File,
    entry: Entry,
    body: Body,
    at: u64,
}

enum Body {
    Plain,
    /// The map that stands before the content is still read.
    Map(Vec<u8>),
    /// Which stretch of the content is written, and how much of it.
    Stretches(Vec<(u64, u64)>, usize, u64),
}

/// Unpacks what lies at a path of an archive.
pub struct Unpack {
    wanted: Vec<Vec<u8>>,
    place: Place,
    owners: Owners,
    open: Option<Open>,
    /// Folders, whose modes and times come last; without an entry where the archive does not name them.
    folders: Vec<(Vec<Vec<u8>>, Option<Entry>)>,
    made: bool,
    /// What is there for sure, and of whom.
    warnings: Vec<String>,
    unsaid: u64,
    attributes: u64,
    left_out: u64,
    /// Files and bytes that were written.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

fn io_error(path: &[u8], e: impl Into<io::Error>) -> String {
    format!("{}: {}", clean_bytes(path), e.into())
}

impl Unpack {
    /// What lies at `wanted` in the archive, to this place, where nothing is yet.
    pub fn new(wanted: &str, place: Place, owners: Owners) -> Result<Unpack, String> {
        let wanted: Vec<Vec<u8>> = parts(wanted.as_bytes()).unwrap_or_default().into_iter().map(<[u8]>::to_vec).collect();
        if wanted.is_empty() {
            return Err("it is not one thing in the archive".into());
        }
        if place.is_there()? {
            return Err(format!("{} is there already", place.shown()));
        }
        Ok(Unpack {
            wanted,
            place,
            owners,
            open: None,
            folders: Vec::new(),
            made: false,
            warnings: Vec::new(),
            unsaid: 0,
            attributes: 0,
            left_out: 0,
            files: 0,
            bytes: 0,
        })
    }

    /// What should be known of it.
    pub fn warnings(&self) -> Vec<String> {
        let mut out = self.warnings.clone();
        let many = [
            (self.unsaid, "more of this kind"),
            (self.left_out, "devices, pipes and the like are left out"),
            (self.attributes, "access lists and extended attributes are not brought back"),
        ];
        out.extend(many.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
        out
    }

    fn warn(&mut self, text: String) {
        if self.warnings.len() < TOLD { self.warnings.push(text) } else { self.unsaid += 1 }
    }

    /// An entry begins.
    pub fn begin(&mut self, entry: Entry) -> Result<(), String> {
        self.close()?;
        let Some(path) = parts(&entry.path) else { return Ok(()) };
        let Some(below) = path.strip_prefix(&self.wanted.iter().map(Vec::as_slice).collect::<Vec<_>>()[..]) else { return Ok(()) };
        let below: Vec<Vec<u8>> = below.iter().map(|p| p.to_vec()).collect();
        if below.len() > DEEPEST {
            return Err(format!("{}: folders are more than {DEEPEST} deep", clean_bytes(&entry.path)));
        }
        let path = entry.path.clone();
        self.make(below, entry).map_err(|why| if why.contains(": ") { why } else { format!("{}: {why}", clean_bytes(&path)) })
    }

    fn make(&mut self, below: Vec<Vec<u8>>, entry: Entry) -> Result<(), String> {
        let say = |e: rustix::io::Errno| io_error(&entry.path, e);
        self.attributes += u64::from(entry.attributes);
        match entry.kind {
            Kind::Device | Kind::Fifo | Kind::Other => {
                self.left_out += 1;
                return Ok(());
            }
            Kind::Dir => {
                self.folder(&below)?;
                self.owners_of(&entry)?;
                self.folders.push((below, Some(entry)));
                return Ok(());
            }
            Kind::File | Kind::Link | Kind::Hard => {}
        }
        let (dir, name) = self.above(&below)?;
        // Of two entries of one name the later one counts.
        if self.made {
            match unlinkat(&dir, &name[..], AtFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(e) => return Err(say(e)),
            }
        }
        match entry.kind {
            Kind::Link => {
                symlinkat(&entry.link[..], &dir, &name[..]).map_err(say)?;
                self.made = true;
                let (user, group) = self.owners_of(&entry)?;
                chownat(&dir, &name[..], Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW).map_err(say)?;
                utimensat(&dir, &name[..], &times(&entry), AtFlags::SYMLINK_NOFOLLOW).map_err(say)?;
                self.files += 1;
            }
            Kind::Hard => {
                let first = parts(&entry.link);
                let wanted: Vec<&[u8]> = self.wanted.iter().map(Vec::as_slice).collect();
                let Some(first) = first.as_ref().and_then(|f| f.strip_prefix(&wanted[..])).filter(|f| !f.is_empty()) else {
                    let (name, first) = (clean_bytes(&entry.path), clean_bytes(&entry.link));
                    self.warn(format!("{name} is left out: it is a second name of {first}, which is not in this folder"));
                    return Ok(());
                };
                let first: Vec<Vec<u8>> = first.iter().map(|p| p.to_vec()).collect();
                let (from, first) = self.above(&first)?;
                linkat(from, &first[..], &dir, &name[..], AtFlags::empty()).map_err(say)?;
                self.files += 1;
            }
            _ => {
                let body = match &entry.sparse {
                    Sparse::No => Body::Plain,
                    Sparse::Map => Body::Map(Vec::new()),
                    Sparse::Places(all) => stretches(all.clone(), entry.size)?,
                    Sparse::Unread => {
                        return Err("it has holes that are told in a way that is not read here; restore the archive beside".into());
                    }
                };
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = openat2(&dir, &name[..], flags, Mode::RUSR | Mode::WUSR, STRICT).map_err(say)?;
                self.made = true;
                self.files += 1;
                self.open = Some(Open { file: file.into(), entry, body, at: 0 });
            }
        }
        Ok(())
    }

    /// The folder that something lies in, and its name there.
    fn above(&mut self, below: &[Vec<u8>]) -> Result<(OwnedFd, Vec<u8>), String> {
        match below.split_last() {
            None => Ok((self.place.dir()?, self.place.name().as_bytes().to_vec())),
            Some((name, above)) => Ok((self.folder(above)?, name.clone())),
        }
    }

    /// A folder of the stage, made where it is not there yet.
    fn folder(&mut self, below: &[Vec<u8>]) -> Result<OwnedFd, String> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = self.place.dir()?;
        for depth in 0..=below.len() {
            let name = depth.checked_sub(1).map_or(self.place.name().as_bytes(), |nth| &below[nth]);
            let say = |e| io_error(name, e);
            match mkdirat(&at, name, Mode::RWXU) {
                Ok(()) => {
                    self.made = true;
                    self.folders.push((below[..depth].to_vec(), None));
                }
                Err(rustix::io::Errno::EXIST) if self.made => {}
                Err(e) => return Err(say(e)),
            }
            at = openat2(&at, name, flags, Mode::empty(), STRICT).map_err(say)?;
        }
        Ok(at)
    }

    fn owners_of(&self, entry: &Entry) -> Result<(Uid, Gid), String> {
        self.owner_of(entry.uid, entry.gid, &entry.path)
    }

    fn owner_of(&self, user: u32, group: u32, path: &[u8]) -> Result<(Uid, Gid), String> {
        let (user, group) = match &self.owners {
            Owners::Host => (0, 0),
            Owners::Guest(id, ids) => ids.outside(user, group, *id).map_err(|why| format!("{}: {why}", clean_bytes(path)))?,
        };
        Ok((Uid::from_raw(user), Gid::from_raw(group)))
    }

    fn mode_of(&self, entry: &Entry) -> Mode {
        let mode = if matches!(self.owners, Owners::Host) { entry.mode & 0o777 } else { entry.mode };
        Mode::from_raw_mode(mode)
    }

    /// Bytes of the entry that began last.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(open) = &mut self.open else { return Ok(()) };
        self.bytes += bytes.len() as u64;
        open.write(bytes).map_err(|e| io_error(&open.entry.path, e))
    }

    /// What was written is whole: it gets its owner, mode and time.
    fn close(&mut self) -> Result<(), String> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let say = |e: io::Error| io_error(&open.entry.path, e);
        open.file.set_len(open.entry.size).map_err(say)?;
        if !open.is_whole() {
            return Err(format!("{}: its content is not as long as it says", clean_bytes(&open.entry.path)));
        }
        let (user, group) = self.owners_of(&open.entry)?;
        let all = fchown(&open.file, Some(user), Some(group))
            .and_then(|()| fchmod(&open.file, self.mode_of(&open.entry)))
            .and_then(|()| futimens(&open.file, &times(&open.entry)));
        all.map_err(|e| say(e.into()))
    }

    /// The archive was read to its end and is whole: the rest is done, and all of it is on the disk.
    pub fn finish(&mut self) -> Result<(), String> {
        self.close()?;
        if !self.made {
            return Err("there is nothing of that name in the archive, or nothing that can be brought back".into());
        }
        // The innermost first: writing into a folder changes its time.
        let mut folders = std::mem::take(&mut self.folders);
        folders.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        for (path, entry) in &folders {
            let dir = self.folder(path)?;
            let shown = path.join(&b'/');
            let (owner, mode) = match entry {
                Some(entry) => (self.owners_of(entry)?, self.mode_of(entry)),
                None => (self.owner_of(0, 0, &shown)?, Mode::from_raw_mode(0o755)),
            };
            let all = fchown(&dir, Some(owner.0), Some(owner.1)).and_then(|()| fchmod(&dir, mode));
            let all = all.and_then(|()| entry.as_ref().map_or(Ok(()), |entry| futimens(&dir, &times(entry))));
            all.map_err(|e| io_error(&shown, e))?;
        }
        syncfs(self.place.dir()?).map_err(|e| io_error(b"writing it to the disk", e))
    }

    /// Removes what was made so far.
    pub fn abandon(&mut self) -> Result<(), String> {
        self.open = None;
        if self.made { self.place.remove() } else { Ok(()) }
    }
}

/// No link is followed, and nothing above or on another volume is reached.
const STRICT: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_XDEV);

fn times(entry: &Entry) -> Timestamps {
    let at = Timespec { tv_sec: entry.mtime, tv_nsec: 0 };
    Timestamps { last_access: at, last_modification: at }
}

/// Stretches that lie in the file, one after the other.
fn stretches(all: Vec<(u64, u64)>, size: u64) -> Result<Body, String> {
    let mut end = 0u64;
    for (at, length) in &all {
        let to = at.checked_add(*length).filter(|to| *at >= end && *to <= size);
        end = to.ok_or("the places of its content do not fit")?;
    }
    Ok(Body::Stretches(all, 0, 0))
}

impl Open {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let bad = |why: &str| io::Error::other(why.to_owned());
        if let Body::Map(map) = &mut self.body {
            map.extend_from_slice(bytes);
            if map.len() > MOST_MAP {
                return Err(bad("it has too many holes"));
            }
            let Some((all, from)) = read_map(map).map_err(|why| bad(&why))? else { return Ok(()) };
            let rest = map.split_off(from);
            self.body = stretches(all, self.entry.size).map_err(|why| bad(&why))?;
            return self.write(&rest);
        }
        if let Body::Plain = self.body {
            self.file.write_all_at(bytes, self.at)?;
            self.at += bytes.len() as u64;
            return Ok(());
        }
        let Body::Stretches(all, nth, done) = &mut self.body else { return Ok(()) };
        while !bytes.is_empty() {
            let Some((at, length)) = all.get(*nth).copied() else {
                // Padding behind the last stretch.
                return if bytes.iter().all(|b| *b == 0) { Ok(()) } else { Err(bad("its content is longer than it says")) };
            };
            let take = usize::try_from(length - *done).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.file.write_all_at(&bytes[..take], at + *done)?;
            *done += take as u64;
            bytes = &bytes[take..];
            if *done == length {
                (*nth, *done) = (*nth + 1, 0);
            }
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        match &self.body {
            Body::Plain => self.at == self.entry.size,
            Body::Map(_) => false,
            // Empty stretches stand at the end of a file that ends with a hole.
            Body::Stretches(all, nth, done) => *done == 0 && all[*nth..].iter().all(|(_, length)| *length == 0),
        }
    }
}

/// Stretches of a file with holes.
type Stretches = Vec<(u64, u64)>;

/// The map before a content with holes (GNU tar, sparse format 1.0): their number, then offset and length of each, a line
/// each, filled up to whole blocks; and where the content begins. None while more is to come.
fn read_map(map: &[u8]) -> Result<Option<(Stretches, usize)>, String> {
    let mut at = 0;
    let mut next = || -> Result<Option<u64>, String> {
        let Some(length) = memchr::memchr(b'\n', &map[at..]) else {
            return if map.len() - at > 24 { Err("the map of its holes cannot be read".into()) } else { Ok(None) };
        };
        let number = std::str::from_utf8(&map[at..at + length]).ok().and_then(|n| n.parse().ok());
        at += length + 1;
        number.map(Some).ok_or_else(|| "the map of its holes cannot be read".into())
    };
    let Some(count) = next()? else { return Ok(None) };
    let mut all = Vec::new();
    for _ in 0..count {
        let Some(offset) = next()? else { return Ok(None) };
        let Some(length) = next()? else { return Ok(None) };
        all.push((offset, length));
    }
    let from = at.next_multiple_of(512);
    Ok((map.len() >= from).then_some((all, from)))
}

/// What is needed of a place while something is unpacked there.
impl Place {
    fn dir(&self) -> Result<OwnedFd, String> {
        self.folder().as_fd().try_clone_to_owned().map_err(|e| io_error(b"its folder", e))
    }
}
