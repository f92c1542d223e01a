//! Follows a file by its name through growth, rotation by rename, truncation, deletion and re-creation. What came is told
//! once and in order as far as the file systems lets one know; where lines may have been lost, that is told.
//!
//! A file that was read keeps being read under its new name for a while: writers learn of a rotation later than we do.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use super::again::{Again, Found, Left, again};
use super::lines::{Lines, PIECE};
use super::open::{NotOpened, Opened, Tree};
use super::watch::{Arrival, Watch};
use crate::domain::filter::Filter;

/// Bytes read at once.
const BLOCK: usize = 256 << 10;
/// Bytes of the beginning, and of what was read last, by which a file is known to be what it was.
const MARK: usize = 128;
/// A file that was rotated away is read for so long after its last line.
const LINGER: Duration = Duration::from_secs(60);
/// Files read at most, the present one included.
const MOST: usize = 8;

/// What a tail tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Whole lines without their ends.
    Lines(Vec<Box<[u8]>>),
    /// Something happened to the file, in one sentence.
    Note(String),
    /// Reading ended here for now: the files that were read, the present one last.
    Left(Left),
}

/// How far a file was read, and by what it is known again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    pub(super) offset: u64,
    /// The first bytes, and those before the offset.
    head: Vec<u8>,
    mark: Vec<u8>,
}

/// Where following begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// With so many last lines; a last line that is not finished is told once it is.
    Last(u32),
    /// With the first line.
    All,
    /// Where it was left, in whatever became of those files since.
    At(Left),
}

struct Following {
    number: u64,
    file: Opened,
    place: Place,
    /// The beginning of a line whose end was not written yet.
    rest: Vec<u8>,
    last: Instant,
}

/// How reading on went.
enum Read {
    Went,
    /// It was cut while we looked away, and has so many bytes now.
    Cut(u64),
}

/// A file that is followed by its name.
pub struct Tail {
    tree: Tree,
    path: String,
    watch: Option<Watch>,
    /// The present one last.
    files: Vec<Following>,
    next: u64,
    gone: bool,
    looked: Instant,
    /// What was found when it was opened, to be said first.
    notes: Vec<String>,
}

impl Tail {
    /// Opens the file.
    pub fn open(tree: Tree, path: &str, begin: &Begin) -> Result<Tail, NotOpened> {
        let name = path.rsplit('/').next().unwrap_or(path);
        // Watched before it is opened, so that nothing can come between.
        let watch = Watch::new(tree.directory_of(path).ok().as_ref(), name).ok();
        let Again { files, notes } = match begin {
            Begin::At(left) => again(&tree, path, left)?,
            Begin::All => Again::only(tree.open(path)?, name, 0),
            Begin::Last(count) => {
                let file = tree.open(path)?;
                let offset = file.size().and_then(|size| last_lines(&file, size, *count));
                Again::only(file, name, offset.map_err(|e| NotOpened::Refused(super::open::io_error(path, &e)))?)
            }
        };
        let mut tail = Tail { tree, path: path.into(), watch, files: Vec::new(), next: 0, gone: false, looked: Instant::now(), notes };
        for Found { file, name, offset } in files {
            if let Some(watch) = &mut tail.watch {
                watch.arrivals.push(Arrival { name: Some(name), file: Some(tail.next) });
            }
            tail.take(file, offset);
        }
        Ok(tail)
    }

    /// Begins to read a file.
    fn take(&mut self, file: Opened, offset: u64) {
        let number = self.next;
        self.next += 1;
        if let Some(watch) = &self.watch {
            watch.add(&file);
        }
        let place = Place::of(&file, offset);
        self.files.push(Following { number, file, place, rest: Vec::new(), last: Instant::now() });
    }

    /// Reads whatever is new in any of the files and tells it. Ends when nothing is left or `tell` gives `false`.
    pub fn read(&mut self, tell: &mut dyn FnMut(Told) -> bool) -> bool {
        for note in std::mem::take(&mut self.notes) {
            if !tell(Told::Note(note)) {
                return false;
            }
        }
        loop {
            let heard = self.watch.as_mut().map(Watch::hear).unwrap_or_default();
            if heard.overflow && !tell(Told::Note("the kernel lost news of this directory; files that came and went may be missing".into()))
            {
                return false;
            }
            let mut at = 0;
            while at < self.files.len() {
                let present = at + 1 == self.files.len();
                let it = &mut self.files[at];
                at += 1;
                loop {
                    match it.read(tell) {
                        Ok(Some(Read::Went)) => break,
                        Ok(Some(Read::Cut(size))) => {
                            let what = it.cut(size);
                            if !tell(Told::Note(what)) {
                                return false;
                            }
                            if !present {
                                // Whoever fills a rotated file anew, with a copy perhaps, writes no log there.
                                at -= 1;
                                self.files.remove(at);
                                break;
                            }
                        }
                        Ok(None) => return false,
                        Err(e) if present => {
                            if !tell(Told::Note(format!("it cannot be read: {e}"))) {
                                return false;
                            }
                            break;
                        }
                        Err(_) => break,
                    }
                }
            }
            let before = self.next;
            if !self.look_for_others(tell) {
                return false;
            }
            if self.next == before {
                return self.let_go(tell);
            }
        }
    }

    /// Opens what came under the name since the last look.
    fn look_for_others(&mut self, tell: &mut dyn FnMut(Told) -> bool) -> bool {
        let mut tries = 0;
        while let Some(at) = self.watch.as_ref().and_then(|w| w.arrivals.iter().position(|a| a.file.is_none())) {
            let Some(watch) = &mut self.watch else { break };
            let Some(name) = watch.arrivals[at].name.clone() else {
                // It was renamed and the second half of that news is on its way, or it is gone.
                std::thread::sleep(Duration::from_millis(1));
                watch.hear();
                tries += 1;
                if tries > 3 && watch.arrivals[at].name.is_none() {
                    watch.arrivals.remove(at);
                    if !tell(Told::Note("a file came and went at this name before it could be read; its lines are lost".into())) {
                        return false;
                    }
                }
                continue;
            };
            let path = match self.path.rsplit_once('/') {
                Some((directory, _)) => format!("{directory}/{name}"),
                None => name.clone(),
            };
            let opened = self.tree.open(&path);
            watch.hear();
            tries += 1;
            if tries < 1000 && watch.arrivals.get(at).is_some_and(|a| a.name.as_ref() != Some(&name)) {
                // It has another name by now, so what was opened may be another file.
                continue;
            }
            match opened {
                Ok(file) => match self.files.iter().find(|f| f.file.is(&file)).map(|f| f.number) {
                    Some(number) => {
                        // Opened by this name before its news was heard: then an older arrival was taken for it.
                        let newer = at;
                        let older = watch.arrivals.iter().position(|a| a.file == Some(number));
                        watch.arrivals[newer].file = Some(number);
                        match older {
                            Some(older) if watch.arrivals[older].name.is_some() && watch.arrivals[older].name.as_ref() != Some(&name) => {
                                watch.arrivals[older].file = None;
                            }
                            Some(older) => drop(watch.arrivals.remove(older)),
                            None => {}
                        }
                    }
                    None => {
                        let what = if self.gone { "is there again" } else { "was rotated, reading goes on in the new file" };
                        self.gone = false;
                        let number = self.next;
                        watch.arrivals[at].file = Some(number);
                        self.take(file, 0);
                        if !tell(Told::Note(format!("{} {what}", self.path))) {
                            return false;
                        }
                        return true;
                    }
                },
                Err(NotOpened::Refused(e)) => {
                    watch.arrivals.remove(at);
                    if !tell(Told::Note(format!("what stands there now is not read: {e}"))) {
                        return false;
                    }
                }
                Err(e) => {
                    watch.arrivals.remove(at);
                    if !tell(Told::Note(e.why())) {
                        return false;
                    }
                }
            }
        }
        self.look_by_name(tell)
    }

    /// Looks what stands at the name where the kernel's news cannot be relied on: without a watch, or in a directory that
    /// itself was replaced. Once a second is enough.
    fn look_by_name(&mut self, tell: &mut dyn FnMut(Told) -> bool) -> bool {
        if self.looked.elapsed() < Duration::from_millis(900) {
            return true;
        }
        self.looked = Instant::now();
        match self.tree.open(&self.path) {
            Ok(file) if self.files.iter().any(|f| f.file.is(&file)) => {
                self.gone = false;
                true
            }
            Ok(file) => {
                let name = self.path.rsplit('/').next().unwrap_or_default().to_owned();
                self.gone = false;
                // A directory that was replaced is another one to watch.
                if let Ok(watch) = Watch::new(self.tree.directory_of(&self.path).ok().as_ref(), &name) {
                    self.files.iter().for_each(|f| watch.add(&f.file));
                    self.watch = Some(watch);
                }
                self.take(file, 0);
                tell(Told::Note(format!("{} was replaced, reading goes on in the new file", self.path)))
            }
            Err(_) if self.gone => true,
            Err(_) => {
                self.gone = true;
                tell(Told::Note(format!("{} is gone; it is read again when it comes back", self.path)))
            }
        }
    }

    /// Stops reading files that were rotated away a while ago.
    fn let_go(&mut self, tell: &mut dyn FnMut(Told) -> bool) -> bool {
        while self.files.len() > 1 && (self.files.len() > MOST || self.files[0].last.elapsed() > LINGER) {
            let old = self.files.remove(0);
            if !old.rest.is_empty() && !tell(Told::Lines(vec![old.rest.into()])) {
                return false;
            }
        }
        if let Some(watch) = &mut self.watch {
            let open: Vec<u64> = self.files.iter().map(|f| f.number).collect();
            watch.forget(|a| a.file.is_none_or(|n| open.contains(&n)));
        }
        true
    }

    /// How far each file was read, but for a line that is not finished.
    pub fn left(&self) -> Left {
        Left::of(&self.tree, &self.path, self.files.iter().map(|it| (&it.file, it.place.offset - it.rest.len() as u64)))
    }

    /// Whether the guest whose file it is has stopped. Whoever keeps its files open keeps its volume from being let go.
    pub fn is_over(&self) -> bool {
        self.tree.is_over()
    }

    /// Sleeps until there may be something new, `wake` can be read, the guest stops, or a second is over. Gives whether it was
    /// anything but the second.
    pub fn wait(&self, wake: BorrowedFd<'_>) -> bool {
        match &self.watch {
            Some(watch) => super::watch::sleep([Some(watch.queue()), Some(wake), self.tree.init()], Duration::from_secs(1)),
            None => super::watch::sleep([Some(wake), self.tree.init()], Duration::from_millis(250)),
        }
    }
}

/// Where the last so many lines begin.
fn last_lines(file: &Opened, size: u64, count: u32) -> io::Result<u64> {
    let (mut at, mut left) = (size, count as usize);
    while left > 0 && at > 0 {
        let (some, _) = Lines::new(file, size).back(at, left.min(1000), &Filter::default(), Some)?;
        let Some(first) = some.first() else { break };
        at = first.offset;
        left -= some.len();
    }
    Ok(at)
}

impl Place {
    /// With the marks of what stands before the offset.
    pub(super) fn of(file: &Opened, offset: u64) -> Place {
        let read = |from: u64, length: u64| {
            let mut buf = vec![0; usize::try_from(length).unwrap_or(0)];
            let n = file.read_at(from, &mut buf).unwrap_or(0);
            buf.truncate(n);
            buf
        };
        let length = offset.min(MARK as u64);
        Place { offset, head: read(0, length), mark: read(offset - length, length) }
    }

    /// Goes on behind what was read.
    fn pass(&mut self, read: &[u8]) {
        if self.head.len() < MARK && self.offset == self.head.len() as u64 {
            self.head.extend_from_slice(&read[..read.len().min(MARK - self.head.len())]);
        }
        self.offset += read.len() as u64;
        self.mark.extend_from_slice(&read[read.len().saturating_sub(MARK)..]);
        self.mark.drain(..self.mark.len().saturating_sub(MARK));
    }

    /// Whether a file still holds what was read of it.
    pub(super) fn is_in(&self, file: &Opened) -> io::Result<bool> {
        let same = |from: u64, mark: &[u8]| {
            let mut buf = [0; MARK];
            let buf = &mut buf[..mark.len()];
            Ok::<bool, io::Error>(file.read_at(from, buf)? == mark.len() && buf == mark)
        };
        Ok(same(0, &self.head)? && same(self.offset - self.mark.len() as u64, &self.mark)?)
    }
}

impl Following {
    /// Reads on to the end. `None` when nobody listens any more.
    fn read(&mut self, tell: &mut dyn FnMut(Told) -> bool) -> io::Result<Option<Read>> {
        let mut block = Vec::new();
        loop {
            let size = self.file.size()?;
            if size < self.place.offset {
                return Ok(Some(Read::Cut(size)));
            }
            block.resize(BLOCK.min(usize::try_from(size - self.place.offset).unwrap_or(BLOCK)), 0);
            let read = self.file.read_at(self.place.offset, &mut block)?;
            // Looked at after reading: if what comes before is still there, then what was read stood behind it.
            if !self.place.is_in(&self.file)? {
                return Ok(Some(Read::Cut(self.file.size()?)));
            }
            if read == 0 {
                return Ok(Some(Read::Went));
            }
            self.place.pass(&block[..read]);
            self.last = Instant::now();
            let lines = self.split(&block[..read]);
            if !lines.is_empty() && !tell(Told::Lines(lines)) {
                return Ok(None);
            }
        }
    }

    fn split(&mut self, block: &[u8]) -> Vec<Box<[u8]>> {
        let (mut lines, mut from) = (Vec::new(), 0);
        for at in memchr::memchr_iter(b'\n', block) {
            if self.rest.is_empty() {
                lines.push(block[from..at].into());
            } else {
                self.rest.extend_from_slice(&block[from..at]);
                lines.push(std::mem::take(&mut self.rest).into());
            }
            from = at + 1;
        }
        self.rest.extend_from_slice(&block[from..]);
        if self.rest.len() as u64 > PIECE {
            lines.push(std::mem::take(&mut self.rest).into());
        }
        lines
    }

    /// Begins again after the file was cut to `size` bytes; gives what is to be said.
    fn cut(&mut self, size: u64) -> String {
        let before = self.place.offset;
        let mut head = vec![0; self.place.head.len()];
        let begins_so = self.file.read_at(0, &mut head).is_ok_and(|n| n > 0 && n == head.len()) && head == self.place.head;
        // What is left was read before, if it still begins as it did.
        self.place = Place::of(&self.file, if size < before && begins_so { size } else { 0 });
        let half = if self.rest.is_empty() { "" } else { ", and the end of one line" };
        self.rest.clear();
        format!("it was truncated after byte {before} was read; lines written between that and the truncation are lost{half}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::path::PathBuf;

    /// Follows until the line `end` or two minutes; gives the lines and what was said.
    fn followed(mut tail: Tail) -> (Vec<String>, Vec<String>) {
        let (wake, _keep) = std::io::pipe().unwrap();
        let (mut lines, mut notes, begun) = (Vec::new(), Vec::new(), Instant::now());
        while lines.last().is_none_or(|l| l != "end") && begun.elapsed() < Duration::from_secs(120) {
            tail.read(&mut |told| {
                match told {
                    Told::Lines(l) => lines.extend(l.iter().map(|l| String::from_utf8_lossy(l).into_owned())),
                    Told::Note(n) => notes.push(n),
                    Told::Left(_) => {}
                }
                true
            });
            if lines.last().is_none_or(|l| l != "end") {
                tail.wait(wake.as_fd());
            }
        }
        (lines, notes)
    }

    fn open(path: &std::path::Path) -> Tail {
        Tail::open(Tree::machine(), path.to_str().unwrap(), &Begin::All).unwrap()
    }

    /// Writes a log and does to it what logrotate and people do; knows what it wrote.
    struct Writer {
        path: PathBuf,
        file: File,
        random: u64,
        /// Each line, with the number of the file it went to.
        wrote: Vec<(String, usize)>,
        files: usize,
        /// How each file before the present one ended.
        ended: Vec<&'static str>,
    }

    fn appending(path: &std::path::Path) -> File {
        File::options().append(true).create(true).open(path).unwrap()
    }

    impl Writer {
        fn dice(&mut self, sides: u64) -> u64 {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.random % sides
        }

        fn append(&mut self) {
            for _ in 0..self.dice(40) {
                let line = format!("{:06} {}", self.wrote.len(), "x".repeat(self.dice(60) as usize));
                let cut = self.dice(line.len() as u64) as usize;
                self.file.write_all(&line.as_bytes()[..cut]).unwrap();
                self.file.write_all(format!("{}\n", &line[cut..]).as_bytes()).unwrap();
                self.wrote.push((line, self.files));
            }
        }

        fn old(&self, n: u64) -> PathBuf {
            self.path.with_extension(format!("log.{n}"))
        }

        fn renew(&mut self, ended: &'static str) {
            self.file = appending(&self.path);
            self.next(ended);
        }

        fn next(&mut self, ended: &'static str) {
            self.files += 1;
            self.ended.push(ended);
        }

        /// As logrotate does before it makes a new `.1`; so many that none is thrown away.
        fn shift(&self) {
            for n in (1..30).rev() {
                let _ = std::fs::rename(self.old(n), self.old(n + 1));
            }
        }

        fn rename(&mut self) {
            self.shift();
            std::fs::rename(&self.path, self.old(1)).unwrap();
            if self.dice(2) == 0 {
                // The writer has not heard of it yet.
                self.append();
            }
            self.renew("renamed");
        }

        fn replace(&mut self) {
            let new = self.path.with_extension("tmp");
            appending(&new);
            std::fs::rename(&self.path, self.old(100 + self.files as u64)).unwrap();
            std::fs::rename(&new, &self.path).unwrap();
            self.renew("renamed");
        }

        fn copytruncate(&mut self) {
            self.shift();
            std::fs::copy(&self.path, self.old(1)).unwrap();
            self.file.set_len(0).unwrap();
            self.next("truncated");
        }

        fn remove(&mut self) {
            std::fs::remove_file(&self.path).unwrap();
            self.renew("deleted");
        }

        fn pause(&mut self) {
            match self.dice(4) {
                0 => std::thread::sleep(Duration::from_millis(self.dice(4))),
                1 => std::thread::yield_now(),
                _ => {}
            }
        }
    }

    #[test]
    fn two_hundred_sequences_of_rotation_lose_and_double_nothing_unsaid() {
        let (mut lost_files, mut exact) = (0, 0);
        for sequence in 0..200u64 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("app.log");
            let mut w = Writer {
                file: appending(&path),
                path: path.clone(),
                random: 0x9E37_79B9 + sequence * 7919,
                wrote: Vec::new(),
                files: 0,
                ended: Vec::new(),
            };
            let tail = open(&path);
            let reader = std::thread::spawn(move || followed(tail));
            for _ in 0..24 {
                w.append();
                w.pause();
                // By sequence: renames alone, replacements, deletions, copytruncate, everything.
                match (sequence % 5, w.dice(8)) {
                    (0, 0..3) | (4, 0) => w.rename(),
                    (1, 0..3) | (4, 1) => w.replace(),
                    (2, 0..3) | (4, 2) => w.remove(),
                    (3, 0..3) | (4, 3) => w.copytruncate(),
                    _ => {}
                }
                w.pause();
            }
            w.file.write_all(b"end\n").unwrap();
            let (lines, notes) = reader.join().unwrap();
            assert_eq!(lines.last().map(String::as_str), Some("end"), "sequence {sequence}: {notes:?}");
            let seen: HashSet<&String> = lines.iter().collect();
            let whole: HashSet<&String> = w.wrote.iter().map(|(l, _)| l).collect();
            let doubled = lines.iter().filter(|l| whole.contains(l)).count() - seen.iter().filter(|l| whole.contains(**l)).count();
            assert_eq!(doubled, 0, "sequence {sequence}: {notes:?}");
            let lost: HashSet<usize> = w.wrote.iter().filter(|(l, _)| !seen.contains(l)).map(|(_, file)| *file).collect();
            let said = |what: &str| notes.iter().filter(|n| n.contains(what)).count();
            for (ended, word) in [("truncated", "truncated"), ("deleted", "came and went")] {
                let lost_so: Vec<usize> = lost.iter().copied().filter(|f| w.ended.get(*f) == Some(&ended)).collect();
                // Several between two looks are told as one. One of which nothing was ever read leaves no trace.
                let known = lost_so.iter().any(|f| w.wrote.iter().any(|(l, file)| file == f && seen.contains(l)));
                assert!(!known || said(word) > 0, "sequence {sequence}: {ended} {lost_so:?}, said {notes:?}");
                if ended == "deleted" {
                    assert!(lost_so.len() <= said(word), "sequence {sequence}: {ended} {lost_so:?}, said {notes:?}");
                }
            }
            assert!(lost.iter().all(|f| w.ended.get(*f).is_some_and(|e| *e != "renamed")), "sequence {sequence}: {lost:?}, said {notes:?}");
            match sequence % 5 {
                0 | 1 => {
                    assert_eq!((lines.len(), said("lost")), (w.wrote.len() + 1, 0), "sequence {sequence}: {notes:?}");
                    exact += 1;
                }
                _ => lost_files += lost.len(),
            }
        }
        assert_eq!(exact, 80);
        println!("{lost_files} files lost lines in 120 sequences with truncation or deletion");
    }

    #[test]
    fn each_thing_that_happens_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        std::fs::write(&path, "one\ntwo\nhalf").unwrap();
        let mut tail = Tail::open(Tree::machine(), path.to_str().unwrap(), &Begin::Last(2)).unwrap();
        let mut look = |expected: &[&str]| {
            let mut told = Vec::new();
            tail.looked = Instant::now() - Duration::from_secs(2);
            tail.read(&mut |t| {
                match t {
                    Told::Lines(l) => told.extend(l.iter().map(|l| String::from_utf8_lossy(l).into_owned())),
                    Told::Note(n) => told.push(n),
                    Told::Left(_) => {}
                }
                true
            });
            assert!(told.len() == expected.len() && told.iter().zip(expected).all(|(t, e)| t.contains(e)), "{told:?} is not {expected:?}");
        };
        look(&["two"]);
        let mut file = appending(&path);
        file.write_all(b" done\nthree\n").unwrap();
        look(&["half done", "three"]);
        file.set_len(0).unwrap();
        file.write_all(b"anew\n").unwrap();
        look(&["truncated after byte 24", "anew"]);
        // Cut and filled beyond where it was read to: told by what stands before.
        file.set_len(0).unwrap();
        file.write_all(b"again\nand more than before\n").unwrap();
        look(&["truncated", "again", "and more than before"]);
        std::fs::rename(&path, dir.path().join("app.log.1")).unwrap();
        look(&["is gone"]);
        file.write_all(b"late\n").unwrap();
        look(&["late"]);
        std::fs::write(&path, "new\n").unwrap();
        look(&["is there again", "new"]);
        file.write_all(b"very late\n").unwrap();
        look(&["very late"]);
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        look(&["is not read", "is gone"]);
    }

    #[test]
    fn a_file_that_was_left_is_read_on_where_it_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        std::fs::write(&path, "one\ntwo\nhalf").unwrap();
        let mut tail = open(&path);
        let mut lines = Vec::new();
        let mut take = |tail: &mut Tail| {
            tail.read(&mut |t| {
                if let Told::Lines(l) = t {
                    lines.extend(l.iter().map(|l| String::from_utf8_lossy(l).into_owned()));
                }
                true
            });
        };
        take(&mut tail);
        let place = Begin::At(tail.left());
        drop(tail);
        appending(&path).write_all(b" and half\nend\n").unwrap();
        take(&mut Tail::open(Tree::machine(), path.to_str().unwrap(), &place).unwrap());
        std::fs::write(&path, "another file than that, as long as it was or longer\n").unwrap();
        take(&mut Tail::open(Tree::machine(), path.to_str().unwrap(), &place).unwrap());
        assert_eq!(lines, ["one", "two", "half and half", "end", "another file than that, as long as it was or longer"]);
    }

    #[test]
    fn an_appended_line_wakes_its_reader_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        let mut file = appending(&path);
        let mut tail = open(&path);
        tail.read(&mut |_| true);
        let reader = std::thread::spawn(move || {
            let (wake, _keep) = std::io::pipe().unwrap();
            // By the kernel's news and not by the clock, which may pass some seconds before the line is written.
            let woken = (0..120).any(|_| tail.wait(wake.as_fd()));
            (woken, followed(tail).0)
        });
        file.write_all(b"end\n").unwrap();
        assert_eq!(reader.join().unwrap(), (true, vec!["end".to_owned()]));
    }
}
