//! Pane 4: the logs that are followed, in one list by the times of their lines, as far as they are wanted.
//!
//! ```text
//!  [x] dnsmasq  [x] caddy opening …  [ ] journal      lag 0.1 s   following ▶
//!  / nextcloud !health                        >= warn · since 14:20:00
//!  14:31:58 dns query[A] nextcloud.prox.local from 10.20.0.104
//! ▸14:31:59●web 502 GET /apps/dashboard nextcloud.prox.local 12 ms
//!  ▁▁▂▁▁█▁ 37 errors, by the minute
//!  1,204,331 lines · 2 dropped · 312 match · paused, 37 new below: G goes on
//! ```
//!
//! ```text
//! typing.rs    what is asked for in a line: words, a time, a stretch of time, a note, a file
//! walk.rs      moving: by lines, hits, errors, bookmarks and times
//! draw.rs      how it looks
//! ```

use std::collections::BTreeSet;

use crate::domain::fact::{LogLine, LogSource, LogState};
use crate::domain::filter::Filter;
use crate::domain::log_buffer::LogBuffer;
use crate::domain::log_level::Level;
use crate::domain::log_marks::{Mark, Marks};
use crate::domain::log_merge::Kept;
use crate::domain::log_sieve::{Teller, Wanted};
use crate::domain::stamp::Stamp;
use crate::domain::when::Here;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::dialogs::file::File;
use crate::tui::dialogs::record::Opened;
use crate::tui::dialogs::sources::{Filters, MarkList, Sources};
use crate::tui::effect::Effect;
use crate::tui::input::Input;
use crate::tui::pane::{Known, Pane, Then, Typed};

mod draw;
mod typing;
mod walk;

pub(in crate::tui) use draw::lag;
use typing::Asked;

/// Old lines looked at with a new filter before the key is answered, and in a slice of later work.
const AT_ONCE: usize = 2_000;
const SLICE: usize = 4_000;

/// Pane 4.
#[derive(Default)]
pub struct Logs {
    sources: Vec<Source>,
    buffer: LogBuffer,
    /// Running number of the selected line; `None` follows the end.
    cursor: Option<u64>,
    /// Running number of the first line on the screen while it is paused.
    top: u64,
    /// Lines seen when it was paused.
    paused_at: u64,
    column: u16,
    wrap: bool,
    all: bool,
    input: Option<(Asked, Input)>,
    /// The filter before it was edited, for Esc.
    before: String,
    /// What is wrong with what is typed.
    wrong: Option<String>,
    /// Words of the filter that are switched off.
    off: Vec<String>,
    marks: Marks,
    /// Running numbers of lines with a bookmark.
    marked: BTreeSet<u64>,
    export: Option<Export>,
}

/// A log that can be followed, and what came of it.
pub(super) struct Source {
    source: LogSource,
    on: bool,
    state: LogState,
    teller: Teller,
    tally: Tally,
}

/// What came of a source since it was switched on last.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Lines.
    pub lines: u64,
    /// Lines that never arrived.
    pub dropped: u64,
    /// Lines that came too late for their place.
    pub late: u64,
    /// From the writing of its newest line to its reading, in milliseconds; of lines written since it is followed.
    pub lag_ms: Option<u64>,
    /// When its newest line was written, where it tells.
    pub newest: Option<Stamp>,
    /// When the first lines were read, and bytes that were read after them.
    since: Option<Stamp>,
    bytes: u64,
}

impl Tally {
    /// Takes note of lines that were read at `at`, the last of which was written at `time`.
    fn note(&mut self, lines: u64, bytes: u64, at: Stamp, time: Option<Stamp>) {
        self.lines += lines;
        self.newest = time.or(self.newest);
        // What was there at the beginning tells nothing about how fast it grows.
        self.bytes += if self.since.is_some() { bytes } else { 0 };
        let since = *self.since.get_or_insert(at);
        // Lines from before tell nothing about how fast new ones come. Many logs tell whole seconds.
        if let Some(time) = time.filter(|t| t.0 >= since.0 - 1000) {
            self.lag_ms = u64::try_from(at.0 - time.0).ok();
        }
    }

    /// Bytes an hour by which it grows, once it was followed for a while.
    pub fn growth(&self, now: Stamp) -> Option<u64> {
        let ms = u64::try_from(now.0 - self.since?.0).ok().filter(|ms| *ms >= 10_000)?;
        Some(self.bytes.saturating_mul(3_600_000) / ms)
    }
}

/// Lines on their way into a file, gathered in slices so that no key waits.
struct Export {
    path: String,
    next: u64,
    end: u64,
    lines: u64,
    text: Vec<u8>,
}

/// What a dialog asks of the Logs pane.
pub enum Ask {
    /// Words of the filter, each on or off.
    Words(Vec<(String, bool)>),
    /// Go to the line of a bookmark.
    Mark(Mark),
    /// Take a bookmark away.
    Unmark(Mark),
    /// Set a bookmark that was made elsewhere.
    Remember(Mark),
}

impl Source {
    fn new(source: LogSource, on: bool) -> Source {
        Source { source, on, state: LogState::Opening, teller: Teller::default(), tally: Tally::default() }
    }
}

impl Logs {
    /// Shown: the first time the appliance's logs are followed.
    pub fn opened(&mut self) -> Vec<Then> {
        if !self.sources.is_empty() {
            return Vec::new();
        }
        self.sources = LogSource::standing().into_iter().map(|s| Source::new(s.clone(), !matches!(s, LogSource::Journal))).collect();
        let followed = self.sources.iter().filter(|s| s.on).map(|s| Effect::Follow { source: s.source.clone(), on: true });
        followed.chain([Effect::Marks(None)]).map(Then::Do).collect()
    }

    /// Shows only lines in which these words match, and goes on following.
    pub fn only(&mut self, words: &str) -> Vec<Then> {
        self.cursor = None;
        self.all = false;
        self.buffer.show_all(false);
        match Filter::parse(words) {
            Ok(filter) if filter.is_empty() => {
                self.want(Wanted::default());
                Vec::new()
            }
            Ok(filter) => {
                self.want(Wanted { filter, ..Wanted::default() });
                vec![Then::Say(format!("lines that match {words}; Esc shows all"))]
            }
            Err(why) => vec![Then::Say(why)],
        }
    }

    /// Follows a log too, if it is not followed yet.
    pub fn with(&mut self, source: LogSource) -> Vec<Then> {
        let full = self.sources.len() > usize::from(u8::MAX);
        match self.sources.iter_mut().find(|s| s.source == source) {
            Some(s) if s.on => return Vec::new(),
            Some(s) => s.on = true,
            // A line names its source by a byte.
            None if full => return vec![Then::Say("too many logs were followed already".into())],
            None => self.sources.push(Source::new(source.clone(), true)),
        }
        vec![Then::Do(Effect::Follow { source, on: true })]
    }

    /// Reads a log as the file that it is, at a bookmark or at its end.
    pub fn read_file(&self, source: LogSource, at: Option<&Mark>, known: &Known) -> Vec<Then> {
        let mut file = File::new(self.marks.clone());
        let asked = file.open(source, at, known);
        std::iter::once(Then::Open(Box::new(file))).chain(asked).collect()
    }

    /// Whether the filter has still to look at old lines.
    pub fn is_looking(&self) -> bool {
        self.buffer.is_looking()
    }

    /// Notes that following a log was switched on or off.
    pub fn switched(&mut self, source: &LogSource, on: bool) {
        if let Some(s) = self.sources.iter_mut().find(|s| s.source == *source) {
            *s = Source::new(source.clone(), on);
        }
    }

    /// Bookmarks of the operator, as they were kept.
    pub fn marks(&mut self, marks: Vec<Mark>) {
        self.marks = Marks::new(marks);
    }

    /// What a dialog asks.
    pub fn asked(&mut self, ask: Ask, known: &Known) -> Vec<Then> {
        match ask {
            Ask::Words(words) => {
                let on: Vec<&str> = words.iter().filter(|(_, on)| *on).map(|(w, _)| w.as_str()).collect();
                match Filter::parse(&on.join(" ")) {
                    Ok(filter) => self.want(Wanted { filter, ..self.buffer.wanted().clone() }),
                    Err(why) => return vec![Then::Say(why)],
                }
                self.off = words.into_iter().filter(|(_, on)| !on).map(|(w, _)| w).collect();
                Vec::new()
            }
            Ask::Mark(mark) => self.go_to_mark(&mark, known),
            Ask::Remember(mark) => {
                let time = mark.time;
                self.marks.set(mark);
                let of_then = |n: &u64| self.buffer.numbered(*n).is_some_and(|l| l.time.map(|t| t.0) == time);
                let all = (self.buffer.fallen()..self.buffer.total()).filter(of_then).filter(|n| self.mark_of(*n).is_some());
                let found: Vec<u64> = all.collect();
                self.marked.extend(found);
                self.keep_marks()
            }
            Ask::Unmark(mark) => {
                let of = |n: &u64| self.mark_of(*n).is_some_and(|m| *m == mark);
                if let Some(number) = self.marked.iter().copied().find(of) {
                    self.marked.remove(&number);
                }
                self.marks.unset(&mark);
                self.keep_marks()
            }
        }
    }

    /// What was gathered for a file, once it is whole.
    pub fn ready(&mut self) -> Option<Effect> {
        let export = self.export.take_if(|e| e.next >= e.end)?;
        Some(Effect::Export { path: export.path, text: export.text, lines: export.lines })
    }

    /// Sets what is wanted; old lines are looked at in slices.
    fn want(&mut self, wanted: Wanted) {
        self.buffer.begin(wanted);
        self.buffer.look_back(AT_ONCE);
    }

    fn level(&mut self, up: bool) {
        let now = self.buffer.wanted().level;
        let level = Level::bound(now, up);
        if level != now {
            self.want(Wanted { level, ..self.buffer.wanted().clone() });
        }
    }

    /// All words of the filter, those that are switched off last.
    fn words(&self) -> Vec<(String, bool)> {
        let on = self.buffer.filter().text().split_whitespace().map(|w| (w.to_owned(), true));
        on.chain(self.off.iter().map(|w| (w.clone(), false))).collect()
    }

    fn source_of(&self, number: u64) -> Option<&LogSource> {
        let line = self.buffer.numbered(number)?;
        self.sources.get(usize::from(line.source)).map(|s| &s.source)
    }

    fn mark_of(&self, number: u64) -> Option<&Mark> {
        let line = self.buffer.numbered(number)?;
        self.marks.of(&self.source_of(number)?.name(), line.time, &line.text)
    }

    fn keep_marks(&self) -> Vec<Then> {
        vec![Then::Do(Effect::Marks(Some(self.marks.all().to_vec())))]
    }

    /// The selected line, or the last one.
    fn here(&self) -> Option<(u64, &Kept)> {
        self.buffer.line(self.position())
    }

    fn record(&self, known: &Known) -> Vec<Then> {
        let Some((_, line)) = self.here() else { return Vec::new() };
        vec![Then::Open(Box::new(Opened::new(self.tag(line), &line.text, known)))]
    }

    fn tag(&self, line: &Kept) -> &'static str {
        match self.sources.get(usize::from(line.source)).map(|s| &s.source) {
            Some(LogSource::Dnsmasq) => "dns",
            Some(LogSource::Caddy) => "web",
            Some(LogSource::Journal) => "sys",
            _ => "log",
        }
    }
}

impl Pane for Logs {
    fn context(&self) -> Context {
        Context::Logs
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Sources => {
                let entries = self.sources.iter().map(|s| (s.source.clone(), s.on, s.tally.clone())).collect();
                return Some(vec![Then::Open(Box::new(Sources::new(entries)))]);
            }
            Action::OpenFile => return Some(vec![Then::Open(Box::new(File::new(self.marks.clone())))]),
            Action::Search => self.ask(Asked::Words, known),
            Action::AtTime => self.ask(Asked::Time, known),
            Action::Between => self.ask(Asked::Stretch, known),
            Action::Export => self.ask(Asked::File, known),
            Action::Open if self.input.is_some() => return Some(self.entered(known)),
            Action::Open => return Some(self.record(known)),
            Action::Back if self.input.is_some() => self.left(),
            Action::Back => {
                if !self.buffer.wanted().is_all() {
                    self.want(Wanted::default());
                }
                self.column = 0;
            }
            Action::NextHit | Action::PrevHit => return Some(self.hit(action == Action::NextHit, known)),
            Action::NextError | Action::PrevError => return Some(self.error(action == Action::NextError, known)),
            Action::NextMark | Action::PrevMark => return Some(self.mark(action == Action::NextMark, known)),
            Action::Mark => return Some(self.toggle_mark(known)),
            Action::Marks => return Some(vec![Then::Open(Box::new(MarkList::new(self.marks.all().to_vec())))]),
            Action::Filters => return Some(vec![Then::Open(Box::new(Filters::new(self.words())))]),
            Action::Graver | Action::Milder => self.level(action == Action::Graver),
            Action::Around => {
                self.all = !self.all;
                self.buffer.show_all(self.all);
            }
            Action::Wrap => {
                self.wrap = !self.wrap;
                self.column = 0;
            }
            Action::Left => self.column = self.column.saturating_sub(16),
            Action::Right if !self.wrap => self.column = (self.column + 16).min(8_000),
            Action::Right => return Some(vec![Then::Say("lines are wrapped; w ends that".into())]),
            Action::Copy => {
                let Some((_, line)) = self.here() else { return Some(vec![Then::Say("no line is selected".into())]) };
                let text = String::from_utf8_lossy(&line.text[..line.text.len().min(1 << 16)]).into_owned();
                return Some(vec![Then::Do(Effect::Copy(text)), Then::Say("copied the line".into())]);
            }
            _ => return self.walk(action, known).then(Vec::new),
        }
        Some(Vec::new())
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        match action {
            Action::Back => self.input.is_some() || !self.buffer.wanted().is_all(),
            Action::Around => !self.buffer.wanted().is_all(),
            Action::Open | Action::Copy | Action::Mark | Action::Export => !self.buffer.is_empty(),
            _ => true,
        }
    }

    fn is_typing(&self) -> bool {
        self.input.is_some()
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        self.input.as_mut().map(|(_, i)| i as &mut dyn Typed)
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        self.typed_on();
        Vec::new()
    }

    fn wants(&self, source: &LogSource) -> bool {
        self.sources.iter().any(|s| s.source == *source)
    }

    fn log(&mut self, source: &LogSource, at: Stamp, lines: Vec<LogLine>, dropped: u64, known: &Known) {
        let Some(nth) = self.sources.iter().position(|s| s.source == *source) else { return };
        let s = &mut self.sources[nth];
        let (here, count) = (Here { now: at, offset_s: known.offset_s }, lines.len() as u64);
        let (mut last, mut found, mut bytes) = (None, Vec::new(), 0);
        let (teller, marks, name) = (&mut s.teller, &self.marks, source.name());
        let kept = lines.into_iter().enumerate().map(|(i, line)| {
            bytes += line.text.len() as u64 + 1;
            let kept = Kept::new(line.text, nth as u8, teller, here);
            last = kept.time;
            if marks.of(&name, kept.time, &kept.text).is_some() {
                found.push(i);
            }
            kept
        });
        let taken = self.buffer.take(kept, dropped);
        s.tally.note(count, bytes, at, last);
        s.tally.dropped += dropped;
        s.tally.late += taken.late;
        if let Some(first) = taken.shift.first() {
            let moved = |n: &mut u64| *n = taken.shift.of(*n);
            self.cursor.iter_mut().chain([&mut self.top, &mut self.paused_at]).for_each(moved);
            self.export.iter_mut().for_each(|e| (e.next, e.end) = (taken.shift.of(e.next), taken.shift.of(e.end)));
            let later = self.marked.split_off(&first);
            self.marked.extend(later.into_iter().map(|n| taken.shift.of(n)));
        }
        self.marked.extend(found.into_iter().filter_map(|i| taken.numbers.get(i)));
        while self.marked.first().is_some_and(|n| *n < self.buffer.fallen()) {
            self.marked.pop_first();
        }
        self.buffer.look_back(AT_ONCE / 4);
    }

    fn log_state(&mut self, source: &LogSource, state: &LogState) {
        if let Some(s) = self.sources.iter_mut().find(|s| s.source == *source) {
            s.state = state.clone();
        }
    }

    fn work(&mut self) -> bool {
        let more = self.buffer.look_back(SLICE);
        more | self.gather()
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        self.draw_all(on, known);
    }
}
