//! Lists that belong to the Logs pane: the logs to follow and what came of each, the words of the filter, the bookmarks.

use super::text;
use crate::domain::fact::LogSource;
use crate::domain::log_marks::Mark;
use crate::domain::stamp::{self, Stamp};
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::list::{List, marker};
use crate::tui::pane::{Known, Pane, Then, Window};
use crate::tui::panes::logs::{Ask, Tally, lag};
use crate::tui::theme::Tone;
use crate::tui::words;

/// The line below a list that is switched.
const SWITCHED: &[(&str, Tone)] =
    &[("Space", Tone::Key), (" or a number: on or off   ", Tone::Quiet), ("Enter", Tone::Key), (" done", Tone::Quiet)];

fn box_of(on: bool) -> char {
    if on { 'x' } else { ' ' }
}

/// Which logs are followed.
pub struct Sources {
    entries: Vec<(LogSource, bool, Tally)>,
    list: List,
}

impl Sources {
    /// From what is followed now, and what came of it.
    pub fn new(entries: Vec<(LogSource, bool, Tally)>) -> Sources {
        Sources { entries, list: List::default() }
    }

    fn toggle(&mut self, at: usize) -> Vec<Then> {
        let Some((source, on, _)) = self.entries.get_mut(at) else { return Vec::new() };
        *on = !*on;
        vec![Then::Do(Effect::Follow { source: source.clone(), on: *on })]
    }
}

impl Pane for Sources {
    fn context(&self) -> Context {
        Context::Choice
    }

    fn act(&mut self, action: Action, _known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Toggle => Some(self.toggle(self.list.at)),
            Action::Pick(n) => Some(self.toggle(n.into())),
            Action::Open => Some(vec![Then::Close]),
            _ => self.list.act(action, self.entries.len(), self.entries.len()).then(Vec::new),
        }
    }

    fn window(&self, known: &Known) -> Window {
        Window { title: "logs to follow".into(), width: text::wide(known, 92), height: self.entries.len() as u16 + 4 }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        for (y, (source, follow, tally)) in self.entries.iter().enumerate() {
            let y16 = y as u16;
            marker(on, y16, y == self.list.at);
            let mut end = on.width().saturating_sub(1);
            if *follow && tally.lines > 0 && end >= 60 {
                let (said, grave) = came(tally, known.now);
                let tone = if grave { Tone::Warn } else { Tone::Quiet };
                end = on.put_right(end, y16, end / 2, &said, tone).saturating_sub(1);
            }
            let name = format!("[{}] {} {}", box_of(*follow), y + 1, source_words(source));
            on.put(2, y16, end.saturating_sub(2), &name, Tone::Plain);
        }
        on.line(2, self.entries.len() as u16 + 1, SWITCHED);
    }
}

/// A log that grows by so many bytes an hour fills a disk in days.
const FAST: u64 = 256 << 20;
/// A log whose newest line is so many seconds old is silent.
const SILENT: i64 = 3600;

/// What came of a source, and whether something about it is to be looked at.
fn came(tally: &Tally, now: Stamp) -> (String, bool) {
    let mut out = format!("{} lines", words::count(tally.lines));
    for (n, word) in [(tally.dropped, "dropped"), (tally.late, "late")] {
        if n > 0 {
            out.push_str(&format!(" · {} {word}", words::count(n)));
        }
    }
    let fast = tally.growth(now).filter(|bytes| *bytes >= FAST);
    let silent = tally.newest.filter(|t| now.secs() - t.secs() >= SILENT);
    match (fast, silent, tally.lag_ms) {
        (Some(bytes), ..) => out.push_str(&format!(" · grows {}/h", stamp::bytes(bytes))),
        (_, Some(newest), _) => out.push_str(&format!(" · silent for {}", stamp::age(now, newest))),
        (.., Some(ms)) => out.push_str(&format!(" · lag {}", lag(ms))),
        _ => {}
    }
    (out, fast.is_some() || silent.is_some() || tally.dropped > 0)
}

fn source_words(source: &LogSource) -> String {
    match source {
        LogSource::Dnsmasq => "dnsmasq: names and addresses".into(),
        LogSource::Caddy => "caddy: requests to the apps".into(),
        LogSource::Journal => "journal of this host".into(),
        other => other.name(),
    }
}

/// The words of the filter, each of which can be switched off without losing it.
pub struct Filters {
    words: Vec<(String, bool)>,
    list: List,
}

impl Filters {
    /// Words, and whether each is on.
    pub fn new(words: Vec<(String, bool)>) -> Filters {
        Filters { words, list: List::default() }
    }

    fn toggle(&mut self, at: usize) -> Vec<Then> {
        let Some((_, on)) = self.words.get_mut(at) else { return Vec::new() };
        *on = !*on;
        vec![Then::Logs(Ask::Words(self.words.clone()))]
    }
}

impl Pane for Filters {
    fn context(&self) -> Context {
        Context::Choice
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        let rows = usize::from(self.window(known).height.saturating_sub(4));
        match action {
            Action::Toggle => Some(self.toggle(self.list.at)),
            Action::Pick(n) => Some(self.toggle(n.into())),
            Action::Open => Some(vec![Then::Close]),
            _ => self.list.act(action, self.words.len(), rows).then(Vec::new),
        }
    }

    fn window(&self, known: &Known) -> Window {
        let height = (self.words.len().max(1) as u16 + 4).min(text::most_rows(known));
        Window { title: "filters".into(), width: text::text_width(known).min(60), height }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        let rows = usize::from(on.height().saturating_sub(2));
        let top = self.list.top(self.words.len(), rows);
        if self.words.is_empty() {
            on.put(2, 0, on.width().saturating_sub(3), "No filter is set; / sets some.", Tone::Quiet);
        }
        for (y, (nth, (word, is_on))) in self.words.iter().enumerate().skip(top).take(rows).enumerate() {
            marker(on, y as u16, nth == self.list.at);
            let kind = if word.starts_with('!') { "drop" } else { "keep" };
            let said = format!("[{}] {kind}  {}", box_of(*is_on), word.trim_start_matches('!'));
            on.put(2, y as u16, on.width().saturating_sub(3), &said, if *is_on { Tone::Plain } else { Tone::Quiet });
        }
        on.line(2, on.height().saturating_sub(1), SWITCHED);
    }
}

/// All bookmarks.
pub struct MarkList {
    marks: Vec<Mark>,
    list: List,
}

impl MarkList {
    /// These, the newest first.
    pub fn new(mut marks: Vec<Mark>) -> MarkList {
        marks.reverse();
        MarkList { marks, list: List::default() }
    }
}

impl Pane for MarkList {
    fn context(&self) -> Context {
        Context::Choice
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        let rows = usize::from(self.window(known).height.saturating_sub(4));
        let at = self.list.at;
        match action {
            Action::Open => Some(self.marks.get(at).map(|m| vec![Then::Close, Then::Logs(Ask::Mark(m.clone()))]).unwrap_or_default()),
            Action::Toggle if at < self.marks.len() => {
                let mark = self.marks.remove(at);
                self.list.go(at.min(self.marks.len().saturating_sub(1)), self.marks.len(), rows);
                Some(vec![Then::Logs(Ask::Unmark(mark))])
            }
            Action::Toggle | Action::Pick(_) => Some(Vec::new()),
            _ => self.list.act(action, self.marks.len(), rows).then(Vec::new),
        }
    }

    fn window(&self, known: &Known) -> Window {
        let height = (self.marks.len().max(1) as u16 + 4).min(text::most_rows(known));
        Window { title: "bookmarks".into(), width: text::over_lines(known, 110), height }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let rows = usize::from(on.height().saturating_sub(2));
        let top = self.list.top(self.marks.len(), rows);
        if self.marks.is_empty() {
            on.put(2, 0, on.width().saturating_sub(3), "No bookmark yet; m sets one on the selected line.", Tone::Quiet);
        }
        for (y, (nth, mark)) in self.marks.iter().enumerate().skip(top).take(rows).enumerate() {
            let y = y as u16;
            marker(on, y, nth == self.list.at);
            let time = mark.time.map_or_else(|| "no time".to_owned(), |t| Stamp(t).second(known.offset_s));
            let mut x = 2 + on.put(2, y, 19, &time, Tone::Quiet).max(19) + 1;
            if !mark.note.is_empty() {
                x += on.put(x, y, on.width() / 3, &mark.note, Tone::Strong) + 2;
            }
            on.put(x, y, on.width().saturating_sub(x + 1), &format!("{}: {}", mark.source, mark.head), Tone::Plain);
        }
        let keys = [("Enter", Tone::Key), (" go to its line   ", Tone::Quiet), ("Space", Tone::Key), (" take it away", Tone::Quiet)];
        on.line(2, on.height().saturating_sub(1), &keys);
    }
}
