//! Finds again what was being read of a log when it had to be left, because its guest stopped: the same files under
//! whatever names they have by now, copies that were made before a truncation, and the files that had the log's name
//! since. What is not found again is said.

use std::cmp::Reverse;
use std::time::SystemTime;

use rustix::fs::{Dir, Mode, OFlags, openat};

use super::open::{NotOpened, Opened, Tree, io_error};
use super::tail::Place;

/// Names of a directory looked at, and files of a log read at most.
const NAMES: usize = 4096;
const FILES: usize = 64;
/// Another file in the log's place is taken for a copy of what was read only where at least so many bytes can be compared:
/// logs of two lives of an app may well begin with the same few lines.
const BEYOND_DOUBT: u64 = 256;
/// Endings of files that a rotation packed.
const PACKED: [&str; 5] = [".gz", ".xz", ".zst", ".bz2", ".lz4"];

/// By what the same file is known when its volume comes back, perhaps as another device.
type Id = (u64, Option<SystemTime>);

/// The files of a log when it was left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Left {
    /// Those that were being read, the present one last.
    files: Vec<LeftFile>,
    /// What stood beside it then: nothing of it is new.
    known: Vec<Id>,
    /// When it was written to last.
    modified: Option<SystemTime>,
}

/// A file that was left, and how far it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LeftFile {
    place: Place,
    id: Id,
}

impl Left {
    /// What is left when these files, read so far, are let go.
    pub(super) fn of<'f>(tree: &Tree, path: &str, files: impl Iterator<Item = (&'f Opened, u64)>) -> Left {
        let (mut left, mut modified) = (Vec::new(), None);
        for (file, offset) in files {
            modified = file.modified();
            left.push(LeftFile { place: Place::of(file, offset), id: file.id() });
        }
        let mut left = Left { files: left, known: Vec::new(), modified };
        // Where they cannot be listed, all that is found later is taken for new: shown twice is better than not at all.
        left.known = neighbours(tree, path, &left, &mut Vec::new()).map_or(Vec::new(), |n| n.iter().map(|b| b.file.id()).collect());
        left
    }
}

impl LeftFile {
    fn is_in(&self, file: &Opened) -> bool {
        self.place.is_in(file).unwrap_or(false)
    }
}

/// A file to read, by the name it has now, and from where.
pub(super) struct Found {
    pub file: Opened,
    pub name: String,
    pub offset: u64,
}

/// What was found again, in the order in which it is to be read, the present file last; and what is to be said about it.
pub(super) struct Again {
    pub files: Vec<Found>,
    pub notes: Vec<String>,
}

impl Again {
    /// One file, and nothing to say.
    pub fn only(file: Opened, name: &str, offset: u64) -> Again {
        Again { files: vec![Found { file, name: name.into(), offset }], notes: Vec::new() }
    }
}

/// A file that stands beside the log.
struct Beside {
    file: Opened,
    name: String,
    /// Its name is the log's with what a rotation adds.
    related: bool,
    /// Which of those left it is, and how far that was read.
    taken: Option<(usize, u64)>,
}

/// Looks for what was left. An error says why the present file cannot be opened.
pub(super) fn again(tree: &Tree, path: &str, left: &Left) -> Result<Again, NotOpened> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let present = tree.open(path)?;
    if let [only] = &left.files[..]
        && only.id == present.id()
        && only.is_in(&present)
    {
        return Ok(Again::only(present, name, only.place.offset));
    }
    let mut notes = Vec::new();
    let mut beside = neighbours(tree, path, left, &mut notes).map_err(|e| NotOpened::Refused(io_error(path, &e)))?;
    let mut present_from = None;
    for (nth, one) in left.files.iter().enumerate() {
        let (offset, last) = (one.place.offset, nth + 1 == left.files.len());
        if one.id == present.id() && one.is_in(&present) {
            present_from = Some(offset);
            continue;
        }
        let same = beside.iter().position(|b| b.file.id() == one.id);
        let is_cut = one.id == present.id() || same.is_some();
        // The file itself by another name; a copy of it as it was before it was cut; or a copy that stands for it.
        let found = same.filter(|n| one.is_in(&beside[*n].file)).or_else(|| {
            let new = |b: &Beside| b.related && b.taken.is_none() && !left.known.contains(&b.file.id());
            beside.iter().position(|b| new(b) && offset > 0 && one.is_in(&b.file))
        });
        if let Some(at) = found {
            notes.push(format!("what was read is called {} now; reading goes on there", beside[at].name));
            beside[at].taken = Some((nth, offset));
        } else if last && !is_cut && offset >= BEYOND_DOUBT && one.is_in(&present) {
            notes.push(format!("another file stands there that holds what was read; reading goes on after byte {offset}"));
            present_from = Some(offset);
        } else if is_cut {
            notes.push(format!("it was truncated after byte {offset} was read; lines written between that and the truncation are lost"));
        } else if last {
            notes.push(format!(
                "the file that was read up to byte {offset} is not there any more; lines that were written to it after that are lost"
            ));
        } else {
            notes.push("a file that was rotated before is not there any more; what was written to it last is lost".into());
        }
    }
    // Those that had the name since; what a copy holds that was told from another file is not told again.
    let known = |b: &Beside| left.known.contains(&b.file.id());
    let told = |b: &Beside| left.files.iter().any(|l| l.place.offset > 0 && l.is_in(&b.file));
    beside.retain(|b| b.taken.is_some() || (b.related && !known(b) && !told(b)));
    // Two that were written to within one tick of the clock: of `.2` and `.1` the higher one is older.
    let age = |b: &Beside| b.name.rsplit_once('.').and_then(|(_, n)| n.parse::<u32>().ok()).map(Reverse);
    beside.sort_by_key(|b| (b.taken.map_or(usize::MAX, |(nth, _)| nth), b.file.modified(), age(b)));
    let mut files = Vec::new();
    for one in beside {
        if one.taken.is_none() {
            notes.push(format!("{} had the name meanwhile and is read too", one.name));
        }
        files.push(Found { file: one.file, name: one.name, offset: one.taken.map_or(0, |(_, offset)| offset) });
    }
    files.push(Found { file: present, name: name.into(), offset: present_from.unwrap_or(0) });
    Ok(Again { files, notes })
}

/// Files beside the log that are it by name, or one of those that were left.
fn neighbours(tree: &Tree, path: &str, left: &Left, notes: &mut Vec<String>) -> std::io::Result<Vec<Beside>> {
    let (parent, name) = path.rsplit_once('/').map_or((None, path), |(parent, name)| (Some(parent), name));
    let directory = tree.directory_of(path)?;
    let list = openat(&directory, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut found = Vec::new();
    for entry in Dir::new(list)?.take(NAMES) {
        let entry = entry?;
        let Ok(other) = entry.file_name().to_str() else { continue };
        let related = is_rotated(name, other);
        if other == name || !(related || left.files.iter().any(|l| l.id.0 == entry.ino())) || found.len() == FILES {
            continue;
        }
        let whole = parent.map_or_else(|| other.to_owned(), |parent| format!("{parent}/{other}"));
        // What cannot be opened is no file of this log; it is missed where it was being read.
        let Ok(file) = tree.open(&whole) else { continue };
        if !related || !PACKED.iter().any(|end| other.ends_with(end)) {
            found.push(Beside { file, name: other.into(), related, taken: None });
        } else if file.modified() >= left.modified {
            // gzip(1) gives what it made the time of what it was made from.
            notes.push(format!("{other} is packed; lines in it that were not read before are not shown"));
        }
    }
    Ok(found)
}

/// Whether this name is what a rotation makes of a log's: `app.log.1`, `app.log-20261121`, `app-2026-11-21T10-00.log`.
fn is_rotated(log: &str, name: &str) -> bool {
    let numbered = |rest: &str| {
        let bare = rest.trim_start_matches(['.', '-', '_']);
        bare.len() < rest.len() && (bare == "old" || bare.starts_with(|c: char| c.is_ascii_digit()))
    };
    name.strip_prefix(log).is_some_and(numbered)
        || log.rsplit_once('.').is_some_and(|(stem, end)| {
            let rest = name.strip_prefix(stem);
            rest.is_some_and(|rest| numbered(rest) && rest.contains(&format!(".{end}")))
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tail::{Begin, Tail, Told};
    use super::*;
    use std::collections::BTreeSet;
    use std::fs::File;
    use std::io::Write;
    use std::path::PathBuf;

    #[test]
    fn names_that_a_rotation_makes() {
        for (log, name) in [
            ("app.log", "app.log.1"),
            ("app.log", "app.log.2.gz"),
            ("app.log", "app.log-20261121"),
            ("syslog", "syslog.1"),
            ("app.log", "app.log.old"),
            ("access.log", "access-2026-11-21T10-00-00.000.log"),
            ("access.log", "access-2026-11-21T10-00-00.000.log.gz"),
        ] {
            assert!(is_rotated(log, name), "{log} {name}");
        }
        let others =
            [("app.log", "app.log"), ("syslog", "syslog-ng.log"), ("app.log", "app.login"), ("app.log", "app2.log"), ("a.log", "a.b.log")];
        for (log, name) in others {
            assert!(!is_rotated(log, name), "{log} {name}");
        }
    }

    /// A log in a guest's directory, what was written to it, and somebody who reads it and has to leave now and then.
    struct Guest {
        dir: tempfile::TempDir,
        random: u64,
        file: File,
        wrote: u32,
        /// Lines of the present file, and those lines that were in a file when it was cut or deleted.
        inside: Vec<u32>,
        doomed: BTreeSet<u32>,
        reads: Result<Tail, Left>,
        shown: Vec<u32>,
        notes: Vec<String>,
    }

    impl Guest {
        fn with(seed: u64) -> Guest {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log/app.log");
            std::fs::create_dir(dir.path().join("log")).unwrap();
            let file = File::create(&path).unwrap();
            let reads = Ok(Tail::open(Tree::machine(), path.to_str().unwrap(), &Begin::All).unwrap());
            let random = 0x2545_F491 + seed * 104_729;
            let (shown, notes, inside, doomed) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
            Guest { dir, random, file, wrote: 0, inside, doomed, reads, shown, notes }
        }

        fn log(&self) -> PathBuf {
            self.dir.path().join("log/app.log")
        }

        fn dice(&mut self, sides: u64) -> u64 {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.random % sides
        }

        fn write(&mut self) {
            for _ in 0..self.dice(12) {
                let more = "x".repeat(self.dice(90) as usize);
                writeln!(self.file, "{} {more}", self.wrote).unwrap();
                self.inside.push(self.wrote);
                self.wrote += 1;
            }
        }

        fn create(&mut self) {
            self.file = File::options().append(true).create_new(true).open(self.log()).unwrap();
            self.inside.clear();
        }

        /// What is not shown of the present file may be lost with it.
        fn doom(&mut self) {
            self.doomed.extend(self.inside.drain(..).filter(|n| self.shown.last().is_none_or(|s| n > s)));
        }

        fn shift(&self) {
            for n in (1..40).rev() {
                let old = |n: u32| self.dir.path().join(format!("log/app.log.{n}"));
                let _ = std::fs::rename(old(n), old(n + 1));
            }
        }

        fn rename(&mut self) {
            self.shift();
            std::fs::rename(self.log(), self.log().with_extension("log.1")).unwrap();
            if self.dice(2) == 0 {
                self.write();
            }
            self.create();
        }

        fn copytruncate(&mut self) {
            self.shift();
            std::fs::copy(self.log(), self.log().with_extension("log.1")).unwrap();
            // The next line is written to where the file ends then.
            self.file = File::options().append(true).open(self.log()).unwrap();
            self.file.set_len(0).unwrap();
            match self.reads {
                // A copy that was made meanwhile is found.
                Err(_) => self.inside.clear(),
                Ok(_) => self.doom(),
            }
        }

        fn delete(&mut self) {
            std::fs::remove_file(self.log()).unwrap();
            self.doom();
            self.create();
        }

        /// Destroyed and made anew: all that was not shown is gone, in rotated files too.
        fn rebuild(&mut self) {
            std::fs::remove_dir_all(self.log().parent().unwrap()).unwrap();
            std::fs::create_dir(self.log().parent().unwrap()).unwrap();
            self.doomed.extend(self.shown.last().map_or(0, |n| n + 1)..self.wrote);
            self.create();
        }

        fn read(&mut self) {
            let Ok(tail) = &mut self.reads else { return };
            tail.read(&mut |told| {
                match told {
                    Told::Lines(lines) => self.shown.extend(lines.iter().map(|l| {
                        let text = String::from_utf8_lossy(l);
                        text.split(' ').next().and_then(|n| n.parse::<u32>().ok()).unwrap()
                    })),
                    Told::Note(note) => self.notes.push(note),
                    Told::Left(_) => {}
                }
                true
            });
        }

        fn stop(&mut self) {
            self.read();
            if let Ok(tail) = &self.reads {
                self.reads = Err(tail.left());
            }
        }

        fn start(&mut self) {
            if let Err(left) = &self.reads {
                self.reads = Ok(Tail::open(Tree::machine(), self.log().to_str().unwrap(), &Begin::At(left.clone())).unwrap());
            }
            self.read();
        }
    }

    #[test]
    fn a_log_that_was_left_in_two_hundred_sequences_is_read_on_without_a_line_lost_or_doubled_unsaid() {
        let (mut whole, mut away, mut lost_lines, mut copies) = (0, 0, 0, 0);
        for seed in 0..200 {
            let mut g = Guest::with(seed);
            for _ in 0..40 {
                g.write();
                away += u32::from(g.reads.is_err());
                // By seed: stops alone, with renames, with copies, with all that happens.
                match (g.dice(10), seed % 4) {
                    (0 | 1, _) => g.stop(),
                    (2..5, _) => g.start(),
                    (5, 1 | 3) => g.rename(),
                    (6, 2 | 3) if g.reads.is_err() || seed % 8 == 7 => g.copytruncate(),
                    (7, 3) => g.delete(),
                    (8, 3) if g.reads.is_err() => g.rebuild(),
                    _ => g.read(),
                }
            }
            g.start();
            g.read();
            assert!(g.shown.is_sorted_by(|a, b| a < b), "seed {seed}: doubled or out of order: {:?}, said {:?}", g.shown, g.notes);
            let shown: BTreeSet<u32> = g.shown.iter().copied().collect();
            let lost: BTreeSet<u32> = (0..g.wrote).filter(|n| !shown.contains(n)).collect();
            assert!(
                lost.is_subset(&g.doomed),
                "seed {seed}: lost {:?}, said {:?}",
                lost.difference(&g.doomed).collect::<Vec<_>>(),
                g.notes
            );
            let said = g.notes.iter().any(|n| n.contains("lost"));
            assert!(lost.is_empty() || said, "seed {seed}: lost {lost:?}, said only {:?}", g.notes);
            whole += u32::from(lost.is_empty());
            lost_lines += lost.len();
            copies += g.notes.iter().filter(|n| n.contains("is called")).count();
        }
        assert!(whole >= 150 && away > 1000 && copies > 500, "{whole} {away} {copies}");
        println!(
            "{whole} of 200 sequences complete, {away} steps away, {copies} files found by another name, {lost_lines} lines lost and said"
        );
    }
}
