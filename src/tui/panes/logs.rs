//! Pane 4: the logs that are followed, in the order their lines arrive, under one filter.
//!
//! ```text
//!  [x] dnsmasq  [x] caddy opening …  [ ] journal                following ▶
//!  / nextcloud !health
//!  14:31:58 dns query[A] nextcloud.prox.local from 10.20.0.104
//! ▸14:31:59 web 502 GET /apps/dashboard nextcloud.prox.local 12 ms
//!  1,204,331 lines · 2 dropped · 312 match · paused, 37 new below: G goes on
//! ```

use std::collections::VecDeque;

use crate::domain::clean::clean;
use crate::domain::fact::{LogLine, LogSource, LogState};
use crate::domain::filter::Filter;
use crate::domain::log_buffer::LogBuffer;
use crate::domain::log_format::{self, Short};
use crate::domain::log_level::Level;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::{Canvas, bounded};
use crate::tui::dialogs::file::File;
use crate::tui::dialogs::menu::Sources;
use crate::tui::dialogs::record::Opened;
use crate::tui::effect::Effect;
use crate::tui::input::Input;
use crate::tui::list::marker;
use crate::tui::pane::{Known, Pane, Then, Typed};
use crate::tui::theme::Tone;
use crate::tui::words;

/// Old lines looked at with a new filter before the key is answered, and in a slice of later work.
const AT_ONCE: usize = 2_000;
const SLICE: usize = 4_000;

/// Pane 4.
#[derive(Default)]
pub struct Logs {
    sources: Vec<Source>,
    buffer: LogBuffer,
    /// Which source each kept line is of; runs beside the buffer.
    tags: VecDeque<u8>,
    /// Running number of the selected line; `None` follows the end.
    cursor: Option<u64>,
    /// Running number of the first line on the screen while it is paused.
    top: u64,
    /// Lines seen when it was paused.
    paused_at: u64,
    column: u16,
    wrap: bool,
    all: bool,
    input: Option<Input>,
    /// The filter before it was edited, for Esc.
    before: String,
    /// What is wrong with what is typed.
    wrong: Option<String>,
}

struct Source {
    source: LogSource,
    on: bool,
    state: LogState,
}

impl Logs {
    /// Shown: the first time the appliance's logs are followed.
    pub fn opened(&mut self) -> Vec<Then> {
        if !self.sources.is_empty() {
            return Vec::new();
        }
        let from_the_start = |s: &LogSource| !matches!(s, LogSource::Journal);
        self.sources = LogSource::standing()
            .into_iter()
            .map(|source| Source { on: from_the_start(&source), source, state: LogState::Opening })
            .collect();
        self.sources.iter().filter(|s| s.on).map(|s| Then::Do(Effect::Follow { source: s.source.clone(), on: true })).collect()
    }

    /// Shows only lines in which these words match, and goes on following.
    pub fn only(&mut self, words: &str) -> Vec<Then> {
        self.cursor = None;
        self.all = false;
        self.buffer.show_all(false);
        match Filter::parse(words) {
            Ok(filter) => {
                self.set_filter(filter);
                vec![Then::Say(format!("lines that match {words}; Esc shows all"))]
            }
            Err(why) => vec![Then::Say(why)],
        }
    }

    /// Follows a log too, if it is not followed yet.
    pub fn with(&mut self, source: LogSource) -> Vec<Then> {
        match self.sources.iter_mut().find(|s| s.source == source) {
            Some(s) if s.on => return Vec::new(),
            Some(s) => s.on = true,
            None => self.sources.push(Source { source: source.clone(), on: true, state: LogState::Opening }),
        }
        vec![Then::Do(Effect::Follow { source, on: true })]
    }

    /// Whether the filter has still to look at old lines.
    pub fn is_looking(&self) -> bool {
        self.buffer.is_looking()
    }

    /// Notes that following a log was switched on or off.
    pub fn switched(&mut self, source: &LogSource, on: bool) {
        if let Some(s) = self.sources.iter_mut().find(|s| s.source == *source) {
            s.on = on;
            s.state = LogState::Opening;
        }
    }

    fn set_filter(&mut self, filter: Filter) {
        self.buffer.begin_filter(filter);
        self.buffer.look_back(AT_ONCE);
    }

    /// Rows for lines: without the sources, the filter and the counts.
    fn rows(&self, known: &Known) -> usize {
        let high = known.pane_size().1;
        usize::from(high.saturating_sub(if high >= 6 { 3 } else { 1 })).max(1)
    }

    fn room(width: u16) -> u16 {
        width.saturating_sub(if width >= 50 { 14 } else { 5 }).max(1)
    }

    fn position(&self) -> usize {
        let last = self.buffer.len().saturating_sub(1);
        self.cursor.map_or(last, |n| self.buffer.position(n).min(last))
    }

    fn short(&self, at: usize, known: &Known) -> Option<(u64, Short)> {
        let (number, line) = self.buffer.line(at)?;
        Some((number, log_format::short(&line.text, known.offset_s)))
    }

    /// The rows of a wrapped line, at most `most`.
    fn wrapped(text: &str, room: u16, most: usize) -> Vec<String> {
        let text = clean(bounded(text, room.saturating_mul(most.min(100) as u16)));
        let mut lines = words::wrap(&text, room, 2);
        lines.truncate(most);
        lines
    }

    fn height(&self, at: usize, known: &Known, rows: usize) -> usize {
        if !self.wrap {
            return 1;
        }
        self.short(at, known).map_or(1, |(_, s)| Self::wrapped(&s.text, Self::room(known.size.0), rows).len())
    }

    /// The first line that can stand at the top so that line `at` is still seen whole.
    fn lowest_top(&self, at: usize, known: &Known, rows: usize) -> usize {
        if !self.wrap {
            return (at + 1).saturating_sub(rows);
        }
        let (mut top, mut used) = (at, self.height(at, known, rows));
        while top > 0 {
            used += self.height(top - 1, known, rows);
            if used > rows {
                break;
            }
            top -= 1;
        }
        top
    }

    fn first(&self, known: &Known, rows: usize) -> usize {
        let at = self.position();
        match self.cursor {
            None => self.lowest_top(at, known, rows),
            Some(_) => self.buffer.position(self.top).min(at).max(self.lowest_top(at, known, rows)),
        }
    }

    fn go(&mut self, at: usize, known: &Known) {
        let rows = self.rows(known);
        if self.cursor.is_none() {
            let first = self.first(known, rows);
            self.top = self.buffer.line(first).map_or(0, |(n, _)| n);
            self.paused_at = self.buffer.total();
        }
        self.cursor = self.buffer.line(at).map(|(n, _)| n);
        let first = self.first(known, rows);
        self.top = self.buffer.line(first).map_or(self.top, |(n, _)| n);
    }

    fn walk(&mut self, action: Action, known: &Known) -> bool {
        let rows = self.rows(known);
        let (at, last) = (self.position(), self.buffer.len().saturating_sub(1));
        let at = match action {
            Action::Bottom => {
                self.cursor = None;
                return true;
            }
            Action::Down => at + 1,
            Action::Up => at.saturating_sub(1),
            Action::PageDown => at + rows,
            Action::PageUp => at.saturating_sub(rows),
            Action::HalfDown => at + rows.div_ceil(2),
            Action::HalfUp => at.saturating_sub(rows.div_ceil(2)),
            Action::Top => 0,
            _ => return false,
        };
        // Down at the end of a log that is followed does not pause it.
        let held = self.cursor.is_none() && at > last;
        if !held && !self.buffer.is_empty() {
            self.go(at.min(last), known);
        }
        true
    }

    fn hit(&mut self, forward: bool, known: &Known) -> Vec<Then> {
        if self.buffer.filter().is_empty() {
            return vec![Then::Say("no filter is set; / sets one".into())];
        }
        let here = self.buffer.line(self.position()).map_or(0, |(n, _)| n);
        match self.buffer.hit_from(here, forward) {
            Some(number) => {
                let at = self.buffer.position(number);
                self.go(at, known);
                Vec::new()
            }
            None => vec![Then::Say(if forward { "no hit below" } else { "no hit above" }.into())],
        }
    }

    fn tag(&self, number: u64) -> &'static str {
        let at = usize::try_from(number.saturating_sub(self.buffer.fallen())).ok();
        let source = at.and_then(|at| self.tags.get(at)).and_then(|t| self.sources.get(usize::from(*t)));
        match source.map(|s| &s.source) {
            Some(LogSource::Dnsmasq) => "dns",
            Some(LogSource::Caddy) => "web",
            Some(LogSource::Journal) => "sys",
            _ => "log",
        }
    }

    fn record(&self, known: &Known) -> Vec<Then> {
        let Some((number, line)) = self.buffer.line(self.position()) else { return Vec::new() };
        vec![Then::Open(Box::new(Opened::new(self.tag(number), &line.text, known)))]
    }

    fn status(&self) -> String {
        let b = &self.buffer;
        let mut out = format!("{} lines", words::count(b.total()));
        let mut add = |n: u64, word: &str| {
            if n > 0 {
                out.push_str(&format!(" · {} {word}", words::count(n)));
            }
        };
        add(b.dropped(), "dropped");
        add(b.fallen(), "too old to show");
        if !b.filter().is_empty() {
            out.push_str(&format!(" · {} match{}", words::count(b.hit_count() as u64), if b.is_looking() { ", looking …" } else { "" }));
        }
        if self.column > 0 {
            out.push_str(&format!(" · from column {}", self.column + 1));
        }
        out
    }

    fn draw_sources(&self, on: &mut Canvas<'_>) {
        let (word, tone) = if self.cursor.is_some() { ("paused", Tone::Mode) } else { ("following ▶", Tone::Quiet) };
        let end = on.put_right(on.width().saturating_sub(1), 0, 12, word, tone);
        let mut x = 1;
        for s in &self.sources {
            let room = |x: u16| end.saturating_sub(x + 1);
            let name = format!("[{}] {}", if s.on { 'x' } else { ' ' }, s.source.name());
            x += on.put(x, 0, room(x), &name, if s.on { Tone::Plain } else { Tone::Quiet });
            let (state, tone) = match &s.state {
                _ if !s.on => (String::new(), Tone::Quiet),
                LogState::Opening => (" opening …".to_owned(), Tone::Quiet),
                LogState::Following => (String::new(), Tone::Quiet),
                LogState::Noted(what) => (format!(" {what}"), Tone::Warn),
                LogState::Broken { why, again } => (format!(" broken: {why}{}", if *again { ", tried again" } else { "" }), Tone::Bad),
            };
            // One long reason leaves room for the other names.
            let most = if self.sources.iter().any(|s| matches!(s.state, LogState::Broken { .. })) {
                room(x).min((end / 2).max(20))
            } else {
                room(x)
            };
            x += on.put(x, 0, most, &state, tone) + 2;
        }
    }

    fn draw_filter(&self, on: &mut Canvas<'_>) {
        on.put(1, 0, 1, "/", if self.input.is_some() { Tone::Key } else { Tone::Quiet });
        let room = on.width().saturating_sub(4);
        if let Some(input) = &self.input {
            let mut end = on.width().saturating_sub(1);
            if let Some(wrong) = &self.wrong {
                end = on.put_right(end, 0, on.width() / 2, wrong, Tone::Bad);
            }
            input.draw(on, 3, 0, end.saturating_sub(4), true);
            return;
        }
        let filter = self.buffer.filter();
        if filter.is_empty() {
            on.put(3, 0, room, "no filter", Tone::Quiet);
        } else {
            let used = on.put(3, 0, room, filter.text(), Tone::Strong);
            if self.all {
                on.put(5 + used, 0, room.saturating_sub(used + 2), "all lines, hits marked", Tone::Quiet);
            }
        }
    }

    fn draw_lines(&self, on: &mut Canvas<'_>, known: &Known) {
        let rows = usize::from(on.height());
        if self.buffer.is_empty() {
            let text = match (self.buffer.total(), self.sources.iter().any(|s| s.on)) {
                (_, false) => "No log is followed. s chooses which.",
                (0, true) => "No line yet. Lines stand here as they come.",
                _ if self.buffer.is_looking() => "looking …",
                _ => "No line matches. Esc shows all, / changes the filter.",
            };
            on.put(3, 0, on.width().saturating_sub(4), text, Tone::Quiet);
            return;
        }
        let (mut at, here) = (self.first(known, rows), self.position());
        let mut y = 0;
        while y < rows && at < self.buffer.len() {
            let Some((number, short)) = self.short(at, known) else { return };
            if at == here && self.cursor.is_some() {
                marker(on, y as u16, true);
            }
            y += self.draw_line(on, y as u16, number, &short, rows - y);
            at += 1;
        }
    }

    /// Draws one line and gives the rows it took.
    fn draw_line(&self, on: &mut Canvas<'_>, y: u16, number: u64, short: &Short, rows: usize) -> usize {
        let tone = tone_of(short.level);
        let room = Self::room(on.width());
        let x = on.width().saturating_sub(room);
        if x > 10 {
            on.put(1, y, 8, short.time.as_deref().unwrap_or(""), Tone::Quiet);
        }
        on.put(x - 4, y, 3, self.tag(number), Tone::Quiet);
        if self.wrap {
            let lines = Self::wrapped(&short.text, room, rows);
            for (n, line) in lines.iter().enumerate() {
                marked(self.buffer.filter(), on, x, y + n as u16, line, tone);
            }
            return lines.len().max(1);
        }
        let text = clean(bounded(&short.text, room.saturating_add(self.column)));
        let (from, _) = words::fits(&text, self.column);
        // Cut to about what is seen, so that marking costs nothing for what is not.
        let (_, tail) = text.split_at(from);
        marked(self.buffer.filter(), on, x, y, tail, tone);
        1
    }
}

/// How a line of this level looks.
pub(in crate::tui) fn tone_of(level: Level) -> Tone {
    match level {
        Level::Debug => Tone::Quiet,
        Level::Info | Level::Notice => Tone::Plain,
        Level::Warn => Tone::Warn,
        Level::Error | Level::Critical => Tone::Bad,
    }
}

/// Writes a text with what the filter found in it marked.
pub(in crate::tui) fn marked(filter: &Filter, on: &mut Canvas<'_>, x: u16, y: u16, text: &str, tone: Tone) {
    let mut at = x;
    let mut from = 0;
    for hit in filter.hits(text).filter(|h| !h.is_empty()).take(20) {
        if at >= on.width() {
            return;
        }
        at += on.put(at, y, on.width() - at, text.get(from..hit.start).unwrap_or(""), tone);
        at += on.put(at, y, on.width().saturating_sub(at), text.get(hit.clone()).unwrap_or(""), Tone::Mark);
        from = hit.end;
    }
    on.put(at, y, on.width().saturating_sub(at), text.get(from..).unwrap_or(""), tone);
}

impl Pane for Logs {
    fn context(&self) -> Context {
        Context::Logs
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Sources => {
                return Some(vec![Then::Open(Box::new(Sources::new(self.sources.iter().map(|s| (s.source.clone(), s.on)).collect())))]);
            }
            Action::OpenFile => return Some(vec![Then::Open(Box::new(File::default()))]),
            Action::Search => {
                self.before = self.buffer.filter().text().to_owned();
                self.input = Some(Input::with(self.before.clone()));
                self.wrong = None;
            }
            Action::Open if self.input.is_some() => {
                if self.wrong.is_none() {
                    self.input = None;
                }
            }
            Action::Open => return Some(self.record(known)),
            Action::Back if self.input.is_some() => {
                self.input = None;
                self.wrong = None;
                if self.before != self.buffer.filter().text() {
                    self.set_filter(Filter::parse(&self.before).unwrap_or_default());
                }
            }
            Action::Back => {
                if !self.buffer.filter().is_empty() {
                    self.set_filter(Filter::default());
                }
                self.column = 0;
            }
            Action::NextHit | Action::PrevHit => return Some(self.hit(action == Action::NextHit, known)),
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
                let Some((_, line)) = self.buffer.line(self.position()) else { return Some(vec![Then::Say("no line is selected".into())]) };
                let text = String::from_utf8_lossy(&line.text[..line.text.len().min(1 << 16)]).into_owned();
                return Some(vec![Then::Do(Effect::Copy(text)), Then::Say("copied the line".into())]);
            }
            _ => return self.walk(action, known).then(Vec::new),
        }
        Some(Vec::new())
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        match action {
            Action::Back => self.input.is_some() || !self.buffer.filter().is_empty(),
            Action::Around => !self.buffer.filter().is_empty(),
            Action::Open | Action::Copy => !self.buffer.is_empty(),
            _ => true,
        }
    }

    fn is_typing(&self) -> bool {
        self.input.is_some()
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        self.input.as_mut().map(|i| i as &mut dyn Typed)
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        let text = self.input.as_ref().map(|i| i.text().to_owned()).unwrap_or_default();
        match Filter::parse(&text) {
            Ok(filter) => {
                self.wrong = None;
                if text.trim() != self.buffer.filter().text() {
                    self.set_filter(filter);
                }
            }
            // The last good filter goes on holding while an expression is half typed.
            Err(why) => self.wrong = Some(why),
        }
        Vec::new()
    }

    fn wants(&self, source: &LogSource) -> bool {
        self.sources.iter().any(|s| s.source == *source)
    }

    fn log(&mut self, source: &LogSource, lines: Vec<LogLine>, dropped: u64, _known: &Known) {
        let Some(tag) = self.sources.iter().position(|s| s.source == *source) else { return };
        self.tags.extend(std::iter::repeat_n(tag as u8, lines.len()));
        self.buffer.push(lines, dropped);
        let kept = usize::try_from(self.buffer.total() - self.buffer.fallen()).unwrap_or(usize::MAX);
        self.tags.drain(..self.tags.len().saturating_sub(kept));
        self.buffer.look_back(AT_ONCE / 4);
    }

    fn log_state(&mut self, source: &LogSource, state: &LogState) {
        if let Some(s) = self.sources.iter_mut().find(|s| s.source == *source) {
            s.state = state.clone();
        }
    }

    fn work(&mut self) -> bool {
        self.buffer.look_back(SLICE)
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let high = on.height();
        let folded = high < 6;
        if !folded {
            self.draw_sources(&mut on.rows(0, 1));
            self.draw_filter(&mut on.rows(1, 1));
        }
        let (top, rows) = if folded { (0, high.saturating_sub(1).max(1)) } else { (2, high - 3) };
        self.draw_lines(&mut on.rows(top, rows), known);
        if high < 2 {
            return;
        }
        let mut end = on.width().saturating_sub(1);
        if self.cursor.is_some() {
            let new = self.buffer.len().saturating_sub(self.buffer.position(self.paused_at));
            let text = if on.width() < 60 {
                format!("{} new, G", words::count(new as u64))
            } else {
                format!("paused, {} new below: G goes on", words::count(new as u64))
            };
            end = on.put_right(end, high - 1, on.width() / 2, &text, Tone::Strong);
        }
        if folded && self.input.is_some() {
            self.draw_filter(&mut on.rows(high - 1, 1));
            return;
        }
        on.put(1, high - 1, end.saturating_sub(2), &self.status(), Tone::Quiet);
    }
}
