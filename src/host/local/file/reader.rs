//! Reads a large file for a screen: a thread of its own answers what is asked, newest request first, and counts lines and
//! hits in slices while nobody asks. Nobody waits for it, and idle it sleeps until the kernel has news.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use super::lines::Lines;
use super::open::{NotOpened, Opened, Tree};
use super::seek::{by_mark, by_time};
use super::tail::Place;
use super::watch::{Watch, sleep};
use crate::domain::filter::{Filter, goes_on};
use crate::domain::log_level::Level;
use crate::domain::log_page::{FileAsk, FileNews, Page, PageAsk, PageLine, Reading, Spot};
use crate::domain::log_tally::{BLOCK, Tally};

/// How often progress is told while there is some, and pages of a file that grows.
const TELL: Duration = Duration::from_millis(33);
/// Lines of traces that are passed over at once.
const FRAMES: usize = 100;
/// Bytes looked through at once for something that nobody counts.
const SLICE: u64 = 2 << 20;
/// How often it is looked whether another file stands at the name, where the kernel says nothing.
const LOOK: Duration = Duration::from_secs(1);

/// A file that is being read for a screen. Dropping it ends the reading.
#[derive(Debug)]
pub struct Reader {
    asks: Sender<FileAsk>,
    wake: Arc<OwnedFd>,
}

impl Reader {
    /// Begins to read; `tell` gets what there is to tell and gives `false` when nobody listens any more. A file that
    /// cannot be opened is told as [`FileNews::Failed`].
    pub fn start(
        tree: Result<Tree, NotOpened>,
        path: String,
        mut tell: impl FnMut(FileNews) -> bool + Send + 'static,
    ) -> io::Result<Reader> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (asks, asked) = channel();
        let waked = Arc::clone(&wake);
        let work = move || {
            let why = match tree.and_then(|tree| Work::open(tree, &path, &mut tell)) {
                Ok(mut work) => match work.run(&asked, &waked) {
                    Ok(()) => return,
                    Err(e) => e.to_string(),
                },
                Err(e) => e.why(),
            };
            tell(FileNews::Failed(why));
        };
        std::thread::Builder::new().name("reader".into()).spawn(work)?;
        Ok(Reader { asks, wake })
    }

    /// Asks for something; the answer is told.
    pub fn ask(&self, ask: FileAsk) {
        let _ = self.asks.send(ask);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.ask(FileAsk::Close);
    }
}

struct Work<'t> {
    tree: Tree,
    path: String,
    file: Opened,
    /// Bytes of the file when it was last looked at, and by what it is known to be what it was.
    place: Place,
    lines: Tally,
    filter: Filter,
    level: Option<Level>,
    hits: Tally,
    /// Memory that blocks are read into.
    rooms: [Vec<u8>; 2],
    /// A page that was asked for and is not whole yet.
    page: Option<PageAsk>,
    /// How far something was looked for that nobody counts.
    sought: Option<u64>,
    /// The last lines are wanted, again and again.
    following: Option<PageAsk>,
    /// Bytes of the file when they were given last.
    followed: Option<u64>,
    /// What was told last of each kind, and when.
    told: (Page, Reading),
    paged: Instant,
    said: Instant,
    looked: Instant,
    watch: Option<Watch>,
    /// Another file stands at the name, or none.
    away: bool,
    tell: &'t mut dyn FnMut(FileNews) -> bool,
}

impl<'t> Work<'t> {
    fn open(tree: Tree, path: &str, tell: &'t mut dyn FnMut(FileNews) -> bool) -> Result<Work<'t>, NotOpened> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let watch = Watch::new(tree.directory_of(path).ok().as_ref(), name).ok();
        let file = tree.open(path)?;
        if let Some(watch) = &watch {
            watch.add(&file);
        }
        let long_ago = Instant::now().checked_sub(LOOK).unwrap_or_else(Instant::now);
        Ok(Work {
            place: Place::of(&file, 0),
            path: path.into(),
            lines: Tally::at(0),
            filter: Filter::default(),
            level: None,
            hits: Tally::at(0),
            rooms: Default::default(),
            page: None,
            sought: None,
            following: None,
            followed: None,
            told: Default::default(),
            paged: long_ago,
            said: long_ago,
            looked: Instant::now(),
            away: false,
            tree,
            file,
            watch,
            tell,
        })
    }

    fn run(&mut self, asked: &Receiver<FileAsk>, wake: &OwnedFd) -> io::Result<()> {
        self.begin_counting()?;
        loop {
            loop {
                match asked.try_recv() {
                    Ok(FileAsk::Close) | Err(TryRecvError::Disconnected) => return Ok(()),
                    Ok(ask) => self.take(ask)?,
                    Err(TryRecvError::Empty) => break,
                }
            }
            let worked = self.look().and_then(|()| self.answer()).and_then(|()| self.slice());
            let more = match worked {
                Ok(more) => more,
                // It became shorter between two looks at its size; the next one finds out.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => true,
                Err(e) => return Err(e),
            };
            if !self.say(more) {
                return Ok(());
            }
            if self.tree.is_over() {
                // Whoever keeps its files open keeps its volume from being let go.
                return Err(io::Error::other("the guest has stopped"));
            }
            if !more {
                let due = if self.is_behind() { TELL.saturating_sub(self.paged.elapsed()) } else { LOOK };
                sleep([self.watch.as_ref().map(Watch::queue), Some(wake.as_fd()), self.tree.init()], due);
                let _ = rustix::io::read(wake, &mut [0; 8]);
            }
        }
    }

    fn end(&self) -> u64 {
        self.place.offset
    }

    fn begin_counting(&mut self) -> io::Result<()> {
        self.place = Place::of(&self.file, self.file.size()?);
        let end = Lines::new(&self.file, self.end()).start(self.end())?;
        (self.lines, self.hits) = (Tally::at(end), Tally::at(end));
        Ok(())
    }

    fn begin_hits(&mut self) -> io::Result<()> {
        self.hits = Tally::at(Lines::new(&self.file, self.end()).start(self.end())?);
        self.told.0 = Page::default();
        Ok(())
    }

    fn take(&mut self, ask: FileAsk) -> io::Result<()> {
        match ask {
            FileAsk::Filter(words) => {
                // The screen has read the words before; what it could not read it does not send.
                self.filter = Filter::parse(&words).unwrap_or_default().at_least(self.level);
                self.begin_hits()?;
            }
            FileAsk::Page(ask) => {
                self.following = (ask.spot == Spot::End).then_some(ask);
                self.page = Some(ask);
                self.sought = None;
                self.told.0 = Page::default();
                if self.away && self.following.is_some() {
                    self.looked = self.looked.checked_sub(LOOK).unwrap_or(self.looked);
                }
            }
            FileAsk::Level(level) => {
                self.filter = std::mem::take(&mut self.filter).at_least(level);
                self.level = level;
                self.begin_hits()?;
            }
            FileAsk::Open | FileAsk::Close | FileAsk::Names => {}
        }
        Ok(())
    }

    /// Looks whether the file grew, became shorter, or is another one.
    fn look(&mut self) -> io::Result<()> {
        let heard = self.watch.as_mut().is_some_and(|w| w.hear().any && !std::mem::take(&mut w.arrivals).is_empty());
        let size = self.file.size()?;
        if size < self.end() || (size > self.end() && !self.place.is_in(&self.file)?) {
            self.begin_counting()?;
            self.anew("it was truncated and is read from its beginning".into());
        } else if size > self.end() {
            self.place = Place::of(&self.file, size);
        }
        if heard || self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.look_by_name()?;
        }
        Ok(())
    }

    fn look_by_name(&mut self) -> io::Result<()> {
        match self.tree.open(&self.path) {
            Ok(file) if file.is(&self.file) => self.away = false,
            Ok(file) if self.following.is_some() => {
                self.file = file;
                self.away = false;
                if let Some(watch) = &self.watch {
                    watch.add(&self.file);
                }
                self.begin_counting()?;
                self.anew("it was rotated; this is the new file".into());
            }
            Ok(_) => self.stays("it was rotated; this is the old file, G goes to the new one"),
            Err(NotOpened::Refused(crate::host::HostError::Missing { .. })) => {
                self.stays("it has no name any more; what is shown is still there")
            }
            Err(_) => self.stays("something else stands at its name, which is not read"),
        }
        Ok(())
    }

    fn stays(&mut self, what: &str) {
        if !std::mem::replace(&mut self.away, true) {
            (self.tell)(FileNews::Changed { what: what.into(), anew: false });
        }
    }

    fn anew(&mut self, what: String) {
        (self.tell)(FileNews::Changed { what, anew: true });
        self.page = self.following;
        self.told.0 = Page::default();
    }

    /// Whether the file grew since the last page of its end.
    fn is_behind(&self) -> bool {
        self.following.is_some() && self.followed != Some(self.end())
    }

    /// Answers what is asked as far as it can be.
    fn answer(&mut self) -> io::Result<()> {
        if self.page.is_none() && self.is_behind() && self.paged.elapsed() >= TELL {
            self.page = self.following;
        }
        let Some(ask) = self.page else { return Ok(()) };
        let (page, whole) = match self.page_of(&ask)? {
            Answer::Page(page, whole) => (page, whole),
            Answer::Later => return Ok(()),
            Answer::Nothing(why) => {
                self.page = None;
                (self.tell)(FileNews::Nothing { nth: ask.nth, why });
                return Ok(());
            }
        };
        if whole {
            self.page = None;
        }
        if ask.spot == Spot::End {
            self.followed = Some(self.end());
        }
        if page != self.told.0 && (whole || !page.lines.is_empty()) {
            self.told.0 = page.clone();
            (self.tell)(FileNews::Page(page));
        }
        self.paged = Instant::now();
        Ok(())
    }

    /// The page that is asked for, as far as it can be given by now.
    fn page_of(&mut self, ask: &PageAsk) -> io::Result<Answer> {
        let errors = matches!(ask.spot, Spot::Error { .. }).then(|| self.errors(ask.all));
        let (lines, end) = (Lines::new(&self.file, self.end()), self.end());
        let none = Filter::default();
        let filter = if ask.all { &none } else { &self.filter };
        let at = match ask.spot {
            Spot::Start => 0,
            Spot::End => end,
            Spot::Offset(at) => lines.start(at)?,
            Spot::Percent(of) => lines.start((u128::from(end) * u128::from(of.min(100)) / 100) as u64)?,
            Spot::Line(_) if !self.lines.is_whole() => return Ok(Answer::Later),
            Spot::Line(nth) => match self.lines.block_of(nth) {
                Some((block, rest)) => {
                    let rest = usize::try_from(rest).unwrap_or(usize::MAX);
                    lines.forward(lines.line_after(block)?, rest, &none, Some)?.1
                }
                None => lines.start(end)?,
            },
            Spot::Hit { from, forward } => {
                let (found, stopped) = if forward {
                    lines.forward(lines.stop(from)?.1, 1, &self.filter, |o| next(&self.hits, o))?
                } else {
                    lines.back(from.min(end), 1, &self.filter, |o| previous(&self.hits, o))?
                };
                match found.first() {
                    Some(hit) => hit.offset,
                    None if stopped == if forward { end } else { 0 } => {
                        return Ok(Answer::Nothing(format!("no hit {}", way(forward))));
                    }
                    None => return Ok(Answer::Later),
                }
            }
            Spot::Error { from, forward } => {
                let errors = errors.unwrap_or_default();
                // A slice at a time, so that another key need not wait.
                let (found, stopped) = if forward {
                    let begin = self.sought.map_or_else(|| lines.stop(from).map(|s| s.1), Ok)?;
                    lines.forward(begin, FRAMES, &errors, |o| (o < begin + SLICE).then_some(o))?
                } else {
                    let begin = self.sought.unwrap_or(from.min(end));
                    lines.back(begin, FRAMES, &errors, |o| (o + SLICE > begin).then_some(o))?
                };
                self.sought = Some(stopped);
                // The lines of its trace are no further errors.
                let is_head = |l: &&PageLine| !goes_on(&l.text);
                match if forward { found.iter().find(is_head) } else { found.iter().rev().find(is_head) } {
                    Some(error) => error.offset,
                    None if stopped == if forward { end } else { 0 } => {
                        return Ok(Answer::Nothing(format!("no error {}", way(forward))));
                    }
                    None => return Ok(Answer::Later),
                }
            }
            Spot::Time { at, here } => match by_time(&lines, at, here)? {
                Ok(offset) => offset,
                Err(why) => return Ok(Answer::Nothing(why)),
            },
            Spot::Mark { offset, time, line, here } => match by_mark(&lines, (offset, time, line), here)? {
                Some(offset) => offset,
                None => return Ok(Answer::Nothing("its line is not in this file any more".into())),
            },
        };
        let (mut page, low) = lines.back(at, ask.before, filter, |o| if filter.is_empty() { Some(o) } else { previous(&self.hits, o) })?;
        let (after, high) = lines.forward(at, ask.after, filter, |o| if filter.is_empty() { Some(o) } else { next(&self.hits, o) })?;
        let whole = (page.len() == ask.before || low == 0) && (after.len() == ask.after || high == end);
        let here = after.first().or(page.last()).map(|l| l.offset);
        page.extend(after);
        let number = match page.first() {
            Some(first) if filter.is_empty() && self.lines.is_whole() => {
                let block = lines.line_after(first.offset / BLOCK * BLOCK)?;
                Some(self.lines.before(first.offset) + lines.beginning_in(block.min(first.offset)..first.offset)?)
            }
            _ => None,
        };
        Ok(Answer::Page(Page { nth: ask.nth, lines: page, at: here, first: low == 0, last: high == end, number }, whole))
    }

    /// Finds lines that tell an error, and where only some lines are wanted those of them.
    fn errors(&self, all: bool) -> Filter {
        let filter = if all { Filter::default() } else { self.filter.clone() };
        filter.at_least(Some(self.level.filter(|_| !all).map_or(Level::Error, |l| l.max(Level::Error))))
    }

    /// Counts a little more: hits before lines, since somebody waits for them.
    fn slice(&mut self) -> io::Result<bool> {
        // Nor anything else while somebody waits for what is looked for.
        if self.page.is_some() && self.sought.is_some() {
            return Ok(true);
        }
        let lines = Lines::new(&self.file, self.end());
        if !self.filter.is_empty() && lines.count(&mut self.hits, &self.filter, &mut self.rooms)? {
            return Ok(true);
        }
        lines.count(&mut self.lines, &Filter::default(), &mut self.rooms)
    }

    fn say(&mut self, more: bool) -> bool {
        if more && self.told.1.size == self.end() && self.said.elapsed() < TELL {
            return true;
        }
        let lines = Lines::new(&self.file, self.end());
        let rest = |filter: &Filter| u64::from(lines.unfinished(filter).unwrap_or(false));
        let asked = !self.filter.is_empty();
        let reading = Reading {
            size: self.end(),
            lines: self.lines.total() + rest(&Filter::default()),
            counted: if self.lines.is_whole() { 100 } else { self.lines.percent().min(99) },
            hits: if asked { self.hits.total() + rest(&self.filter) } else { 0 },
            looked: if !asked || self.hits.is_whole() { 100 } else { self.hits.percent().min(99) },
        };
        if self.is_behind() && self.page.is_none() && self.paged.elapsed() < TELL {
            return true;
        }
        if reading == self.told.1 {
            return true;
        }
        self.told.1 = reading.clone();
        self.said = Instant::now();
        (self.tell)(FileNews::Reading(reading))
    }
}

/// What came of a page that was asked for.
enum Answer {
    /// As much of it as there is, and whether that is all.
    Page(Page, bool),
    /// Not enough is known yet.
    Later,
    /// There is none; why.
    Nothing(String),
}

fn way(forward: bool) -> &'static str {
    if forward { "below" } else { "above" }
}

fn next(hits: &Tally, offset: u64) -> Option<u64> {
    let known = hits.known();
    if offset < known.start {
        None
    } else if offset >= known.end {
        Some(offset)
    } else {
        Some(hits.next(offset))
    }
}

fn previous(hits: &Tally, offset: u64) -> Option<u64> {
    let known = hits.known();
    if offset > known.end {
        Some(offset)
    } else if offset <= known.start {
        None
    } else {
        Some(hits.previous(offset))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::log_marks::fingerprint;
    use crate::domain::stamp::Stamp;
    use crate::domain::when::Here;
    use std::cell::RefCell;
    use std::io::Write;
    use std::sync::mpsc;

    struct Open {
        reader: Reader,
        news: mpsc::Receiver<FileNews>,
        nth: u64,
        /// What was told last of how far the reading is; who waits for something else takes it in on the way.
        reading: RefCell<Option<Reading>>,
    }

    fn open(path: &std::path::Path) -> Open {
        let (tell, news) = mpsc::channel();
        let reader = Reader::start(Ok(Tree::machine()), path.to_str().unwrap().into(), move |n| tell.send(n).is_ok()).unwrap();
        Open { reader, news, nth: 0, reading: RefCell::default() }
    }

    impl Open {
        fn until<T>(&self, mut is: impl FnMut(FileNews) -> Option<T>) -> T {
            let end = Instant::now() + Duration::from_secs(120);
            loop {
                let news = self.news.recv_timeout(end.saturating_duration_since(Instant::now())).unwrap();
                if let FileNews::Reading(r) = &news {
                    *self.reading.borrow_mut() = Some(r.clone());
                }
                if let Some(found) = is(news) {
                    return found;
                }
            }
        }

        fn page(&mut self, spot: Spot, before: usize, after: usize, all: bool) -> Page {
            self.nth += 1;
            let nth = self.nth;
            self.reader.ask(FileAsk::Page(PageAsk { nth, spot, before, after, all }));
            self.until(|n| match n {
                FileNews::Page(p) if p.nth == nth && (p.lines.len() >= before + after || p.at.is_none() || p.first && p.last) => Some(p),
                _ => None,
            })
        }

        fn nothing(&mut self, spot: Spot, all: bool) -> String {
            self.nth += 1;
            let nth = self.nth;
            self.reader.ask(FileAsk::Page(PageAsk { nth, spot, before: 1, after: 1, all }));
            self.until(|n| match n {
                FileNews::Nothing { nth: of, why } if of == nth => Some(why),
                FileNews::Page(p) if p.nth == nth => unreachable!("{p:?}"),
                _ => None,
            })
        }

        /// When all is counted and there are so many hits.
        fn whole(&self, hits: u64) -> Reading {
            let is = |r: &Reading| r.counted == 100 && r.looked == 100 && r.hits == hits;
            let before = self.reading.borrow().clone().filter(is);
            before.unwrap_or_else(|| self.until(|n| if let FileNews::Reading(r) = n { Some(r).filter(is) } else { None }))
        }
    }

    fn texts(page: &Page) -> Vec<String> {
        page.lines.iter().map(|l| String::from_utf8_lossy(&l.text).into_owned()).collect()
    }

    fn log(lines: usize) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let text: String = (0..lines).map(|n| format!("line {n}{}\n", if n % 1000 == 7 { " needle" } else { "" })).collect();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn pages_anywhere_and_exact_numbers() {
        let file = log(500_000);
        let mut o = open(file.path());
        assert_eq!(texts(&o.page(Spot::End, 2, 0, true)), ["line 499998", "line 499999"]);
        let page = o.page(Spot::Start, 0, 2, true);
        assert_eq!((texts(&page), page.first, page.last), (vec!["line 0".to_owned(), "line 1".to_owned()], true, false));
        let page = o.page(Spot::Line(123_456), 1, 1, true);
        assert_eq!((texts(&page), page.number), (vec!["line 123455".to_owned(), "line 123456".to_owned()], Some(123_455)));
        let at = page.at.unwrap();
        assert_eq!(texts(&o.page(Spot::Offset(at + 3), 0, 1, true)), ["line 123456"]);
        let half = o.page(Spot::Percent(50), 0, 1, true);
        assert!(half.number.unwrap().abs_diff(250_000) < 8_000, "{half:?}");
    }

    #[test]
    fn hits_are_found_from_the_end_and_counted() {
        let file = log(500_000);
        let mut o = open(file.path());
        o.reader.ask(FileAsk::Filter("needle".into()));
        assert_eq!(texts(&o.page(Spot::End, 2, 0, false)), ["line 498007 needle", "line 499007 needle"]);
        assert_eq!(o.whole(500).lines, 500_000);
        assert_eq!(texts(&o.page(Spot::Start, 0, 2, false)), ["line 7 needle", "line 1007 needle"]);
        let hit = o.page(Spot::Start, 0, 1, false).at.unwrap();
        let next = o.page(Spot::Hit { from: hit, forward: true }, 1, 2, true);
        assert_eq!(texts(&next), ["line 1006", "line 1007 needle", "line 1008"]);
        let back = o.page(Spot::Hit { from: next.at.unwrap(), forward: false }, 0, 1, true);
        assert_eq!((texts(&back), back.at), (vec!["line 7 needle".to_owned()], Some(hit)));
        assert_eq!(o.nothing(Spot::Hit { from: hit, forward: false }, true), "no hit above");
        o.reader.ask(FileAsk::Filter("!needle".into()));
        assert_eq!(texts(&o.page(Spot::Start, 0, 8, false))[6..], ["line 6", "line 8"]);
        o.reader.ask(FileAsk::Filter("nowhere".into()));
        let page = o.page(Spot::End, 2, 0, false);
        assert!(page.lines.is_empty() && page.first && page.last);
    }

    /// Was: a small file was counted before the page of its end was given, and its size was never told.
    #[test]
    fn a_small_file_is_told_whole() {
        let file = log(3);
        for _ in 0..20 {
            let o = open(file.path());
            o.reader.ask(FileAsk::Page(PageAsk { nth: 1, spot: Spot::End, before: 9, after: 0, all: true }));
            let (mut lines, mut told) = (0, 0);
            o.until(|n| {
                match n {
                    FileNews::Page(p) => lines = p.lines.len(),
                    FileNews::Reading(r) => told = r.lines,
                    _ => {}
                }
                ((lines, told) == (3, 3)).then_some(())
            });
        }
    }

    #[test]
    fn errors_levels_times_and_marks_are_found_in_a_large_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let start = Stamp::from_civil(2026, 11, 21, 0, 0, 0).unwrap();
        let line = |n: i64| {
            // One in five has a trace.
            let level = if n % 50_000 == 777 { "ERROR" } else { "INFO" };
            format!("{} {level} line {n}\n", Stamp(start.0 + n * 100).rfc3339())
        };
        let text: String = (0..300_000).map(|n| line(n) + if n % 9 == 0 { "    a trace\n" } else { "" }).collect();
        file.write_all(text.as_bytes()).unwrap();
        let mut o = open(file.path());
        let here = Here { now: start, offset_s: 0 };
        let at = |o: &mut Open, spot| {
            let page = o.page(spot, 0, 1, true);
            String::from_utf8_lossy(&page.lines[0].text).into_owned()
        };
        let end = text.len() as u64;
        let page = o.page(Spot::Error { from: end, forward: false }, 0, 1, true);
        assert!(texts(&page)[0].ends_with("ERROR line 250777"), "{page:?}");
        let page = o.page(Spot::Error { from: page.at.unwrap(), forward: false }, 0, 2, true);
        assert!(texts(&page)[0].ends_with("ERROR line 200777"));
        assert!(at(&mut o, Spot::Error { from: page.at.unwrap(), forward: true }).ends_with("ERROR line 250777"));
        assert_eq!(o.nothing(Spot::Error { from: end - 5, forward: true }, true), "no error below");
        assert_eq!(o.nothing(Spot::Error { from: 0, forward: false }, true), "no error above");
        // The first line of that second, the first of all, none.
        let time = |s: i64| Spot::Time { at: Stamp(start.0 + s * 1000), here };
        assert!(at(&mut o, time(12_345)).ends_with("line 123450"));
        assert!(at(&mut o, time(-5)).ends_with("INFO line 0"));
        assert!(o.nothing(time(30_000), true).contains("no line is of"));
        o.reader.ask(FileAsk::Level(Some(Level::Error)));
        // One of the six has a trace, which goes with it.
        assert_eq!(o.whole(7).hits, 7);
        assert!(texts(&o.page(Spot::End, 2, 0, false))[1].ends_with("ERROR line 250777"));
        o.reader.ask(FileAsk::Filter("line.200".into()));
        assert_eq!(o.whole(1).hits, 1);
        // A mark is found by where it was, by when it was, and not where it is not.
        let marked = line(123_456);
        let mark = |offset, time: Option<i64>, text: &str| {
            let time = time.map(|n| Stamp(start.0 + n / 10 * 1000));
            Spot::Mark { offset, time, line: fingerprint(text.trim_end().as_bytes()), here }
        };
        let offset = text.find("line 123456").unwrap() as u64;
        let found = |o: &mut Open, spot| o.page(spot, 0, 1, true).at;
        let begins = offset - "2026-11-21T00:00:00Z INFO ".len() as u64;
        assert_eq!(found(&mut o, mark(None, Some(123_456), &marked)), Some(begins));
        assert_eq!(found(&mut o, mark(Some(begins), None, &marked)), Some(begins));
        assert_eq!(found(&mut o, mark(Some(5), Some(123_456), &marked)), Some(begins));
        assert!(o.nothing(mark(Some(5), Some(123_456), "another"), true).contains("not in this file"));
    }

    #[test]
    fn it_follows_and_says_what_happens() {
        let mut file = log(100);
        let mut o = open(file.path());
        o.page(Spot::End, 1, 0, true);
        let line =
            |o: &Open, text: &str| o.until(|n| matches!(&n, FileNews::Page(p) if texts(p).last().is_some_and(|l| l == text)).then_some(()));
        file.write_all(b"more\n").unwrap();
        line(&o, "more");
        let said = |o: &Open, word: &str| {
            o.until(|n| match n {
                FileNews::Changed { what, anew } if what.contains(word) => Some(anew),
                _ => None,
            })
        };
        file.as_file().set_len(0).unwrap();
        assert!(said(&o, "truncated"));
        let path = file.path().to_owned();
        std::fs::rename(&path, path.with_extension("1")).unwrap();
        std::fs::write(&path, "new\n").unwrap();
        assert!(said(&o, "rotated"));
        line(&o, "new");
        // Who reads up in it stays in it.
        o.page(Spot::Start, 0, 1, true);
        std::fs::rename(&path, path.with_extension("2")).unwrap();
        std::fs::write(&path, "newer\n").unwrap();
        assert!(!said(&o, ""));
        let nth = o.nth + 1;
        o.reader.ask(FileAsk::Page(PageAsk { nth, spot: Spot::End, before: 1, after: 0, all: true }));
        line(&o, "newer");
        for n in ["1", "2"] {
            std::fs::remove_file(path.with_extension(n)).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let o = open(std::path::Path::new("/dev/null"));
        assert!(o.until(|n| if let FileNews::Failed(why) = n { Some(why) } else { None }).contains("is a device"));
    }
}
