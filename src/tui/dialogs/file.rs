//! A log file as it lies on the disk, of any size: only the lines around the screen are here, the rest is asked for.
//!
//! ```text
//! ┌ /var/log/app.log ─────────────────────────────────────────────┐
//! │ / nextcloud !health                                 following ▶│
//! │ 14:31:58 query[A] nextcloud.prox.local from 10.20.0.104        │
//! │▸14:31:59 502 GET /apps/dashboard nextcloud.prox.local 12 ms    │
//! │ line 1,204,331 of 1,204,900 · 98.2 MiB · 312 match, looked 43 %│
//! └────────────────────────────────────────────────────────────────┘
//! ```

use crate::domain::clean::clean;
use crate::domain::fact::LogSource;
use crate::domain::filter::Filter;
use crate::domain::log_format::{self, Short};
use crate::domain::log_page::{FileAsk, FileNews, Page, PageAsk, PageLine, Reading, Spot};
use crate::domain::stamp;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::{Canvas, bounded};
use crate::tui::dialogs::record::Opened;
use crate::tui::effect::Effect;
use crate::tui::input::Input;
use crate::tui::list::marker;
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::panes::logs::{marked, tone_of};
use crate::tui::theme::Tone;
use crate::tui::words;

/// What is typed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Path,
    Filter,
    Place,
}

/// A file, or the question which.
pub struct File {
    source: Option<LogSource>,
    input: Option<(Asked, Input)>,
    /// What is wrong with what is typed.
    wrong: Option<String>,
    filter: Filter,
    /// The filter before it was edited, for Esc.
    before: Filter,
    /// All lines are shown, hits marked.
    all: bool,
    page: Page,
    reading: Reading,
    /// Offset of the selected line; `None` follows the end.
    cursor: Option<u64>,
    /// Offset of the first line on the screen while it is paused.
    top: u64,
    /// Bytes of the file when it was paused.
    paused_at: u64,
    column: u16,
    /// Number of the newest request, and whether the cursor goes to the spot of its page.
    nth: u64,
    jump: bool,
    note: Option<String>,
    failed: Option<String>,
}

impl Default for File {
    fn default() -> Self {
        File {
            source: None,
            input: Some((Asked::Path, Input::with(OFFERED))),
            wrong: None,
            filter: Filter::default(),
            before: Filter::default(),
            all: false,
            page: Page::default(),
            reading: Reading::default(),
            cursor: None,
            top: 0,
            paused_at: 0,
            column: 0,
            nth: 0,
            jump: false,
            note: None,
            failed: None,
        }
    }
}

impl File {
    /// Of a log whose name is known, and what must be asked for it.
    pub fn of(source: LogSource, known: &Known) -> (File, Vec<Then>) {
        let mut file = File::default();
        let asked = file.open(source, known);
        (file, asked)
    }

    fn open(&mut self, source: LogSource, known: &Known) -> Vec<Then> {
        self.source = Some(source);
        self.input = None;
        let mut then = self.send(FileAsk::Open);
        then.extend(self.ask(Spot::End, false, known));
        then
    }

    /// Rows for lines: without the screen's own, border, filter and status.
    fn rows(known: &Known) -> usize {
        usize::from(known.size.1.saturating_sub(6)).max(1)
    }

    fn send(&self, ask: FileAsk) -> Vec<Then> {
        self.source.iter().map(|source| Then::Do(Effect::File { source: source.clone(), ask: ask.clone() })).collect()
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
        let ask = PageAsk { nth: self.nth, spot, before, after, all: self.all || self.filter.is_empty() };
        self.send(FileAsk::Page(ask))
    }

    /// Asks again for what is shown, after what is shown has changed.
    fn ask_again(&mut self, known: &Known) -> Vec<Then> {
        match self.cursor {
            None => self.ask(Spot::End, false, known),
            Some(at) => self.ask(Spot::Offset(at), true, known),
        }
    }

    fn last(&self) -> usize {
        self.page.lines.len().saturating_sub(1)
    }

    /// The place of an offset among the lines that are here.
    fn position(&self, offset: u64) -> usize {
        self.page.lines.partition_point(|l| l.offset < offset).min(self.last())
    }

    fn here(&self) -> usize {
        self.cursor.map_or(self.last(), |at| self.position(at))
    }

    fn line(&self) -> Option<&PageLine> {
        self.page.lines.get(self.here())
    }

    /// The first line on the screen.
    fn first(&self, rows: usize) -> usize {
        let here = self.here();
        let lowest = (here + 1).saturating_sub(rows);
        if self.cursor.is_none() { lowest } else { self.position(self.top).clamp(lowest, here) }
    }

    fn go(&mut self, at: usize, known: &Known) -> Vec<Then> {
        let rows = Self::rows(known);
        let first = self.first(rows);
        let was_following = self.cursor.is_none();
        let Some(line) = self.page.lines.get(at) else { return Vec::new() };
        self.cursor = Some(line.offset);
        self.top = self.page.lines.get(first).map_or(0, |l| l.offset);
        let first = self.first(rows);
        self.top = self.page.lines.get(first).map_or(0, |l| l.offset);
        if was_following {
            self.paused_at = self.reading.size;
        }
        let near = (at < rows * 2 && !self.page.first) || (at + rows * 2 > self.last() && !self.page.last);
        if near || was_following { self.ask(Spot::Offset(line_offset(self.cursor)), false, known) } else { Vec::new() }
    }

    fn walk(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        let rows = Self::rows(known);
        let here = self.here();
        let at = match action {
            Action::Top => return Some(self.ask(Spot::Start, true, known)),
            Action::Bottom => {
                self.cursor = None;
                self.note = None;
                return Some(self.ask(Spot::End, false, known));
            }
            Action::Down => here + 1,
            Action::Up => here.saturating_sub(1),
            Action::PageDown => here + rows,
            Action::PageUp => here.saturating_sub(rows),
            Action::HalfDown => here + rows.div_ceil(2),
            Action::HalfUp => here.saturating_sub(rows.div_ceil(2)),
            _ => return None,
        };
        // Down at the end of a file that is followed does not pause it.
        if self.cursor.is_none() && at > self.last() {
            return Some(Vec::new());
        }
        Some(self.go(at.min(self.last()), known))
    }

    fn hit(&mut self, forward: bool, known: &Known) -> Vec<Then> {
        if self.filter.is_empty() {
            return vec![Then::Say("no filter is set; / sets one".into())];
        }
        let from = self.line().map_or(0, |l| l.offset);
        self.ask(Spot::Hit { from, forward }, true, known)
    }

    fn took_page(&mut self, page: Page, known: &Known) -> Vec<Then> {
        if page.nth != self.nth {
            return Vec::new();
        }
        if self.jump && page.at.is_none() && !self.page.lines.is_empty() && page.lines.is_empty() && !page.first {
            return vec![Then::Say("no further hit".into())];
        }
        self.page = page;
        if self.jump && self.page.at.is_some() {
            if self.cursor.is_none() {
                self.paused_at = self.reading.size;
            }
            self.cursor = self.page.at;
            // Mid-screen, so that what led to it and what came of it are both seen.
            let top = self.here().saturating_sub(Self::rows(known) / 2);
            self.top = self.page.lines.get(top).map_or(0, |l| l.offset);
        }
        Vec::new()
    }

    fn set_filter(&mut self, filter: Filter, known: &Known) -> Vec<Then> {
        self.filter = filter;
        let mut then = self.send(FileAsk::Filter(self.filter.text().to_owned()));
        then.extend(self.ask_again(known));
        then
    }

    fn entered(&mut self, known: &Known) -> Vec<Then> {
        let Some((asked, text)) = self.input.as_ref().map(|(a, i)| (*a, i.text().trim().to_owned())) else { return Vec::new() };
        match asked {
            Asked::Path => match LogSource::from_name(meant(&text)).filter(|s| s.file().is_some()) {
                Some(source) => self.open(source, known),
                None => {
                    self.wrong = Some("a whole path, or 101:/path in a guest".into());
                    Vec::new()
                }
            },
            Asked::Filter => {
                if self.wrong.is_none() {
                    self.input = None;
                }
                Vec::new()
            }
            Asked::Place => {
                let percent = text.strip_suffix('%').and_then(|t| t.trim().parse().ok()).filter(|p| *p <= 100).map(Spot::Percent);
                let digits: String = text.chars().filter(|c| !matches!(c, ',' | '.' | ' ')).collect();
                match percent.or_else(|| digits.parse::<u64>().ok().filter(|n| *n > 0).map(|n| Spot::Line(n - 1))) {
                    Some(spot) => {
                        self.input = None;
                        self.wrong = None;
                        self.ask(spot, true, known)
                    }
                    None => {
                        self.wrong = Some("a line's number, or hundredths such as 50%".into());
                        Vec::new()
                    }
                }
            }
        }
    }

    fn record(&self, known: &Known) -> Vec<Then> {
        let Some(line) = self.line() else { return Vec::new() };
        let tag = format!("{}, {}", self.where_it_is(), stamp::bytes(line.length));
        vec![Then::Open(Box::new(Opened::new(&tag, &line.text, known)))]
    }

    /// The number of the selected line where it is known, else how far into the file it lies.
    fn where_it_is(&self) -> String {
        match (self.page.number, self.line()) {
            (_, None) => "no line".into(),
            (Some(first), _) => format!("line {}", words::count(first + self.here() as u64 + 1)),
            (None, Some(line)) => format!("at {} %", line.offset.saturating_mul(100) / self.reading.size.max(1)),
        }
    }

    fn status(&self) -> String {
        let r = &self.reading;
        let mut out = self.where_it_is();
        let about = if r.counted < 100 { format!(", counted {} %", r.counted) } else { String::new() };
        out.push_str(&format!(" of {}{}{about} · {}", if r.counted < 100 { "~" } else { "" }, words::count(r.lines), stamp::bytes(r.size)));
        if !self.filter.is_empty() {
            let looked = if r.looked < 100 { format!(", looked {} %", r.looked) } else { String::new() };
            out.push_str(&format!(" · {} match{looked}", words::count(r.hits)));
        }
        if self.column > 0 {
            out.push_str(&format!(" · from column {}", self.column + 1));
        }
        out
    }

    fn draw_head(&self, on: &mut Canvas<'_>) {
        let mut end = on.width().saturating_sub(1);
        if let Some((asked, input)) = &self.input {
            let name = match asked {
                Asked::Path => "file",
                Asked::Filter => "/",
                Asked::Place => "go to",
            };
            let used = on.put(1, 0, 8, name, Tone::Key);
            if let Some(wrong) = &self.wrong {
                end = on.put_right(end, 0, on.width() / 2, wrong, Tone::Bad);
            }
            return input.draw(on, used + 2, 0, end.saturating_sub(used + 3), true);
        }
        let (word, tone) = if self.cursor.is_some() { ("paused", Tone::Mode) } else { ("following ▶", Tone::Quiet) };
        end = on.put_right(end, 0, 12, word, tone);
        on.put(1, 0, 1, "/", Tone::Quiet);
        let room = end.saturating_sub(4);
        let used = if self.filter.is_empty() {
            on.put(3, 0, room, "no filter", Tone::Quiet)
        } else {
            on.put(3, 0, room, self.filter.text(), Tone::Strong)
        };
        let more = if self.all && !self.filter.is_empty() { "all lines, hits marked" } else { "" };
        let note = self.note.as_deref().unwrap_or(more);
        on.put(5 + used, 0, room.saturating_sub(used + 2), note, if self.note.is_some() { Tone::Warn } else { Tone::Quiet });
    }

    fn draw_lines(&self, on: &mut Canvas<'_>, known: &Known) {
        let rows = usize::from(on.height());
        if self.page.lines.is_empty() {
            let text = match (&self.failed, &self.source) {
                (Some(why), _) => why.as_str(),
                (None, None) => "Which file? A whole path, or 101:/var/log/app.log for a file of a guest.",
                _ if self.nth != self.page.nth || self.reading.looked < 100 => "looking …",
                _ if !self.filter.is_empty() => "No line matches. Esc shows all, / changes the filter.",
                _ => "The file is empty. Lines stand here as they come.",
            };
            on.put(3, 0, on.width().saturating_sub(4), text, if self.failed.is_some() { Tone::Bad } else { Tone::Quiet });
            return;
        }
        let (first, here) = (self.first(rows), self.here());
        let seen = self.page.lines.iter().skip(first).take(rows);
        let shorts: Vec<Short> = seen.map(|l| log_format::short(&l.text, known.offset_s)).collect();
        // A column for times where any line tells one in a way that is taken out of its text.
        let x = if on.width() >= 50 && shorts.iter().any(|s| s.time.is_some()) { 10 } else { 1 };
        for (n, short) in shorts.iter().enumerate() {
            let y = n as u16;
            if first + n == here && self.cursor.is_some() {
                marker(on, y, true);
            }
            if x == 10 {
                on.put(1, y, 8, short.time.as_deref().unwrap_or(""), Tone::Quiet);
            }
            let text = clean(bounded(&short.text, on.width().saturating_add(self.column)));
            let (from, _) = words::fits(&text, self.column);
            marked(&self.filter, on, x, y, text.split_at(from).1, tone_of(short.level));
        }
    }
}

fn line_offset(cursor: Option<u64>) -> u64 {
    cursor.unwrap_or(u64::MAX)
}

/// Where most logs are.
const OFFERED: &str = "/var/log/";

/// A whole name that was typed behind what is offered is meant by itself.
fn meant(text: &str) -> &str {
    let behind = text
        .strip_prefix(OFFERED)
        .filter(|rest| rest.starts_with('/') || rest.split_once(":/").is_some_and(|(id, _)| id.bytes().all(|b| b.is_ascii_digit())));
    behind.unwrap_or(text)
}

impl Pane for File {
    fn context(&self) -> Context {
        Context::File
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Search => {
                self.before = self.filter.clone();
                self.wrong = None;
                self.input = Some((Asked::Filter, Input::with(self.filter.text())));
            }
            Action::GoTo => {
                self.wrong = None;
                self.input = Some((Asked::Place, Input::with("")));
            }
            Action::Open if self.input.is_some() => return Some(self.entered(known)),
            Action::Open => return Some(self.record(known)),
            Action::Back if self.source.is_none() => return Some(vec![Then::Close]),
            Action::Back if self.input.is_some() => {
                let filter = matches!(self.input, Some((Asked::Filter, _)));
                self.input = None;
                self.wrong = None;
                if filter && self.before.text() != self.filter.text() {
                    let before = self.before.clone();
                    return Some(self.set_filter(before, known));
                }
            }
            Action::Back if !self.filter.is_empty() => return Some(self.set_filter(Filter::default(), known)),
            Action::Back => return Some(vec![Then::Close]),
            Action::NextHit | Action::PrevHit => return Some(self.hit(action == Action::NextHit, known)),
            Action::Around => {
                self.all = !self.all;
                return Some(self.ask_again(known));
            }
            Action::Left => self.column = self.column.saturating_sub(16),
            Action::Right => self.column = (self.column + 16).min(8_000),
            Action::Copy => {
                let Some(line) = self.line() else { return Some(vec![Then::Say("no line is selected".into())]) };
                let text = String::from_utf8_lossy(&line.text).into_owned();
                return Some(vec![Then::Do(Effect::Copy(text)), Then::Say("copied the line".into())]);
            }
            _ => return self.walk(action, known),
        }
        Some(Vec::new())
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        match action {
            Action::Around | Action::NextHit | Action::PrevHit => !self.filter.is_empty(),
            Action::Open | Action::Copy => self.input.is_some() || !self.page.lines.is_empty(),
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
        let Some((Asked::Filter, input)) = &self.input else {
            self.wrong = None;
            return Vec::new();
        };
        match Filter::parse(input.text()) {
            Ok(filter) => {
                self.wrong = None;
                if filter.text() == self.filter.text() { Vec::new() } else { self.set_filter(filter, known) }
            }
            // The last good filter goes on holding while an expression is half typed.
            Err(why) => {
                self.wrong = Some(why);
                Vec::new()
            }
        }
    }

    fn file(&mut self, source: &LogSource, news: &FileNews, known: &Known) -> Vec<Then> {
        if self.source.as_ref() != Some(source) {
            return Vec::new();
        }
        match news {
            FileNews::Page(page) => return self.took_page(page.clone(), known),
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
        }
        Vec::new()
    }

    fn closed(&mut self) -> Vec<Then> {
        self.send(FileAsk::Close)
    }

    fn window(&self, known: &Known) -> Window {
        let title = self.source.as_ref().map_or_else(|| "open a file".to_owned(), |s| clean(&s.name()));
        Window { title, width: known.size.0, height: known.size.1 }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let high = on.height();
        self.draw_head(&mut on.rows(0, 1));
        if high > 2 {
            self.draw_lines(&mut on.rows(1, high - 2), known);
        }
        let mut end = on.width().saturating_sub(1);
        if self.cursor.is_some() && self.reading.size > self.paused_at {
            let text = format!("{} new below, G", stamp::bytes(self.reading.size - self.paused_at));
            end = on.put_right(end, high - 1, on.width() / 2, &text, Tone::Strong);
        }
        if self.source.is_some() && self.failed.is_none() {
            on.put(1, high - 1, end.saturating_sub(2), &self.status(), Tone::Quiet);
        }
    }
}
