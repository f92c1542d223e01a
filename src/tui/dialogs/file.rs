//! A log file as it lies on the disk, of any size: only the lines around the screen are here, the rest is asked for.
//!
//! ```text
//! ┌ /var/log/app.log ─────────────────────────────────────────────┐
//! │ / nextcloud !health                  >= warn      following ▶ │
//! │ 14:31:58 query[A] nextcloud.prox.local from 10.20.0.104        │
//! │▸14:31:59●502 GET /apps/dashboard nextcloud.prox.local 12 ms    │
//! │ line 1,204,331 of 1,204,900 · 98.2 MiB · 312 match, looked 43 %│
//! └────────────────────────────────────────────────────────────────┘
//! ```
//!
//! ```text
//! typing.rs    what is asked for in a line: the path with its completion, words, a place, a time, a note
//! walk.rs      moving: by lines, hits, errors, bookmarks; what comes back for it
//! draw.rs      how it looks
//! ```

use crate::domain::clean::clean;
use crate::domain::fact::LogSource;
use crate::domain::filter::Filter;
use crate::domain::log_level::Level;
use crate::domain::log_marks::{Mark, Marks};
use crate::domain::log_page::{FileAsk, FileNews, Page, PageAsk, PageLine, Reading, Spot};
use crate::domain::stamp::{self, Stamp};
use crate::domain::when::Here;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::dialogs::record::Opened;
use crate::tui::dialogs::sources::{Filters, MarkList};
use crate::tui::effect::Effect;
use crate::tui::input::Input;
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::panes::logs::Ask;

mod draw;
mod typing;
mod walk;

use typing::{Asked, OFFERED};

/// A file, or the question which.
pub struct File {
    source: Option<LogSource>,
    input: Option<(Asked, Input)>,
    /// What is wrong with what is typed.
    wrong: Option<String>,
    /// Names that the path could go on with.
    names: Vec<String>,
    filter: Filter,
    /// The filter before it was edited, for Esc.
    before: Filter,
    /// Words of the filter that are switched off.
    off: Vec<String>,
    level: Option<Level>,
    /// All lines are shown, hits marked.
    all: bool,
    wrap: bool,
    marks: Marks,
    page: Page,
    /// Whether lines of the page tell times that stand in a column of their own.
    timed: bool,
    reading: Reading,
    /// Offset of the selected line; `None` follows the end.
    cursor: Option<u64>,
    /// Offset of the first line on the screen while it is paused.
    top: u64,
    /// Bytes of the file when it was paused.
    paused_at: u64,
    column: u16,
    /// Number of the newest request, whether the cursor goes to the spot of its page, and whether it may take long.
    nth: u64,
    jump: bool,
    long: bool,
    note: Option<String>,
    /// What is to be said until the next key: the line for it lies below this window.
    said: Option<String>,
    failed: Option<String>,
}

impl File {
    /// The question which, with the operator's bookmarks.
    pub fn new(marks: Marks) -> File {
        File {
            source: None,
            input: Some((Asked::Path, Input::with(OFFERED))),
            wrong: None,
            names: Vec::new(),
            filter: Filter::default(),
            before: Filter::default(),
            off: Vec::new(),
            level: None,
            all: false,
            wrap: false,
            marks,
            page: Page::default(),
            timed: false,
            reading: Reading::default(),
            cursor: None,
            top: 0,
            paused_at: 0,
            column: 0,
            nth: 0,
            jump: false,
            long: false,
            note: None,
            said: None,
            failed: None,
        }
    }

    /// Opens it, at a bookmark or at its end.
    pub fn open(&mut self, source: LogSource, at: Option<&Mark>, known: &Known) -> Vec<Then> {
        self.source = Some(source);
        self.input = None;
        let mut then = self.send(FileAsk::Open);
        then.extend(match at {
            Some(mark) => self.ask(walk::spot_of(mark, known), true, known),
            None => self.ask(Spot::End, false, known),
        });
        then
    }

    fn send(&self, ask: FileAsk) -> Vec<Then> {
        self.source.iter().map(|source| Then::Do(Effect::File { source: source.clone(), ask: ask.clone() })).collect()
    }

    fn say(&mut self, what: impl Into<String>) -> Vec<Then> {
        self.said = Some(what.into());
        Vec::new()
    }

    /// Whether every line is wanted.
    fn wants_all(&self) -> bool {
        self.filter.is_empty() && self.level.is_none()
    }

    /// Asks for some screens of lines around a spot.
    fn ask(&mut self, spot: Spot, jump: bool, known: &Known) -> Vec<Then> {
        let some = Self::rows(known) * 4;
        let (before, after) = match spot {
            Spot::End => (some, 0),
            Spot::Start => (0, some),
            _ => (some, some),
        };
        self.nth += 1;
        self.jump = jump;
        self.long = matches!(spot, Spot::Error { .. } | Spot::Hit { .. } | Spot::Mark { .. });
        let ask = PageAsk { nth: self.nth, spot, before, after, all: self.all || self.wants_all() };
        self.send(FileAsk::Page(ask))
    }

    /// Asks again for what is shown, after what is shown has changed.
    fn ask_again(&mut self, known: &Known) -> Vec<Then> {
        match self.cursor {
            None => self.ask(Spot::End, false, known),
            Some(at) => self.ask(Spot::Offset(at), true, known),
        }
    }

    fn line(&self) -> Option<&PageLine> {
        self.page.lines.get(self.here())
    }

    fn set_filter(&mut self, filter: Filter, known: &Known) -> Vec<Then> {
        self.filter = filter;
        let mut then = self.send(FileAsk::Filter(self.filter.text().to_owned()));
        then.extend(self.ask_again(known));
        then
    }

    fn set_level(&mut self, level: Option<Level>, known: &Known) -> Vec<Then> {
        if level == self.level {
            return Vec::new();
        }
        self.level = level;
        let mut then = self.send(FileAsk::Level(level));
        then.extend(self.ask_again(known));
        then
    }

    /// All words of the filter, those that are switched off last.
    fn words(&self) -> Vec<(String, bool)> {
        let on = self.filter.text().split_whitespace().map(|w| (w.to_owned(), true));
        on.chain(self.off.iter().map(|w| (w.clone(), false))).collect()
    }

    /// Esc, where nothing is typed: what is wanted is all again, then the file is closed.
    fn back(&mut self, known: &Known) -> Vec<Then> {
        if self.wants_all() {
            return vec![Then::Close];
        }
        let mut then = self.send(FileAsk::Level(None));
        self.level = None;
        then.extend(self.set_filter(Filter::default(), known));
        then
    }

    fn name(&self) -> String {
        self.source.as_ref().map_or_else(String::new, LogSource::name)
    }

    /// When a line was written, by itself or the nearest before it that tells.
    fn time_of(&self, at: usize, known: &Known) -> Option<Stamp> {
        let here = Here { now: known.now, offset_s: known.offset_s };
        self.page.lines.get(..=at)?.iter().rev().find_map(|l| crate::domain::log_time::of(&l.text, here))
    }

    fn mark_of(&self, at: usize, known: &Known) -> Option<&Mark> {
        let name = self.name();
        self.marks.of_source(&name).next()?;
        let line = self.page.lines.get(at)?;
        self.marks.of(&name, self.time_of(at, known), &line.text)
    }

    fn record(&self, known: &Known) -> Vec<Then> {
        let Some(line) = self.line() else { return Vec::new() };
        let tag = format!("{}, {}", self.where_it_is(), stamp::bytes(line.length));
        vec![Then::Open(Box::new(Opened::new(&tag, &line.text, known)))]
    }
}

impl Pane for File {
    fn context(&self) -> Context {
        Context::File
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        self.said = None;
        match action {
            Action::Open if self.input.is_some() => return Some(self.entered(known)),
            Action::Complete => return Some(self.complete()),
            Action::Back if self.source.is_none() => return Some(vec![Then::Close]),
            Action::Back if self.input.is_some() => return Some(self.left(known)),
            Action::Back => return Some(self.back(known)),
            // Nothing of a file is known yet, nor has it lines.
            _ if self.source.is_none() => {}
            Action::Search => self.type_in(Asked::Words),
            Action::GoTo => self.type_in(Asked::Place),
            Action::AtTime => self.type_in(Asked::Time),
            Action::Open => return Some(self.record(known)),
            Action::NextHit | Action::PrevHit => return Some(self.hit(action == Action::NextHit, known)),
            Action::NextError | Action::PrevError => return Some(self.error(action == Action::NextError, known)),
            Action::NextMark | Action::PrevMark => return Some(self.mark(action == Action::NextMark, known)),
            Action::Mark => return Some(self.toggle_mark(known)),
            Action::Marks => return Some(vec![Then::Open(Box::new(MarkList::new(self.marks.all().to_vec())))]),
            Action::Filters => return Some(vec![Then::Open(Box::new(Filters::new(self.words())))]),
            Action::Graver | Action::Milder => return Some(self.set_level(Level::bound(self.level, action == Action::Graver), known)),
            Action::Around => {
                self.all = !self.all;
                return Some(self.ask_again(known));
            }
            Action::Wrap => {
                self.wrap = !self.wrap;
                self.column = 0;
            }
            Action::Left => self.column = self.column.saturating_sub(16),
            Action::Right if self.wrap => return Some(self.say("lines are wrapped; w ends that")),
            Action::Right => self.column = (self.column + 16).min(8_000),
            Action::Copy => {
                let Some(line) = self.line() else { return Some(self.say("no line is selected")) };
                let text = String::from_utf8_lossy(&line.text).into_owned();
                self.said = Some("copied the line".into());
                return Some(vec![Then::Do(Effect::Copy(text))]);
            }
            _ => return self.walk(action, known),
        }
        Some(Vec::new())
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        let asks_path = matches!(self.input, Some((Asked::Path, _)));
        match action {
            Action::Complete => asks_path,
            Action::Around | Action::NextHit | Action::PrevHit => !self.wants_all(),
            Action::Open | Action::Copy | Action::Mark => self.input.is_some() || !self.page.lines.is_empty(),
            _ => true,
        }
    }

    fn is_typing(&self) -> bool {
        self.input.is_some()
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        self.input.as_mut().map(|(_, i)| i as &mut dyn Typed)
    }

    fn typed(&mut self, known: &Known) -> Vec<Then> {
        self.typed_on(known)
    }

    fn file(&mut self, source: &LogSource, news: &FileNews, known: &Known) -> Vec<Then> {
        if self.source.is_none() {
            self.took_names(source, news);
            return Vec::new();
        }
        if self.source.as_ref() != Some(source) {
            return Vec::new();
        }
        match news {
            FileNews::Page(page) => return self.took_page(page.clone(), known),
            FileNews::Nothing { nth, why } if *nth == self.nth => {
                self.said = Some(why.clone());
                // What was asked before it was not answered any more, and the end is followed only while it was asked last.
                return self.ask(self.cursor.map_or(Spot::End, Spot::Offset), false, known);
            }
            FileNews::Reading(reading) => {
                let counted = self.reading.counted < 100 && reading.counted == 100;
                self.reading = reading.clone();
                // Now its lines have numbers.
                if counted && self.page.number.is_none() && self.nth == self.page.nth {
                    return self.ask(self.cursor.map_or(Spot::End, Spot::Offset), false, known);
                }
            }
            FileNews::Changed { what, anew } => {
                self.note = Some(what.clone());
                if *anew {
                    self.page = Page::default();
                    self.cursor = None;
                    return self.ask(Spot::End, false, known);
                }
            }
            FileNews::Failed(why) => self.failed = Some(why.clone()),
            FileNews::Nothing { .. } | FileNews::Names(_) => {}
        }
        Vec::new()
    }

    fn asked(&mut self, ask: &Ask, known: &Known) -> Option<Vec<Then>> {
        match ask {
            Ask::Words(words) => {
                let on: Vec<&str> = words.iter().filter(|(_, on)| *on).map(|(w, _)| w.as_str()).collect();
                self.off = words.iter().filter(|(_, on)| !on).map(|(w, _)| w.clone()).collect();
                Some(Filter::parse(&on.join(" ")).map_or_else(|_| Vec::new(), |filter| self.set_filter(filter, known)))
            }
            Ask::Mark(mark) if mark.source == self.name() => Some(self.ask(walk::spot_of(mark, known), true, known)),
            // The list below keeps them.
            Ask::Unmark(mark) => {
                self.marks.unset(mark);
                None
            }
            Ask::Mark(_) | Ask::Remember(_) => None,
        }
    }

    fn closed(&mut self) -> Vec<Then> {
        self.send(FileAsk::Close)
    }

    fn window(&self, known: &Known) -> Window {
        let title = self.source.as_ref().map_or_else(|| "open a file".to_owned(), |s| clean(&s.name()));
        Window { title, width: known.size.0, height: known.size.1 }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        self.draw_all(on, known);
    }
}
