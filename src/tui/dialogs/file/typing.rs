//! What is typed into a line of the file dialog, and what comes of it.

use super::{File, walk};
use crate::domain::fact::LogSource;
use crate::domain::filter::Filter;
use crate::domain::log_marks::Mark;
use crate::domain::log_page::{FileAsk, FileNews, Spot};
use crate::domain::when::{self, Here};
use crate::tui::effect::Effect;
use crate::tui::input::Input;
use crate::tui::pane::{Known, Then};
use crate::tui::panes::logs::Ask;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Path,
    Words,
    Place,
    Time,
    /// A note about the line at this offset.
    Note(u64),
}

impl Asked {
    /// The words before what is typed.
    pub(super) fn prompt(self) -> &'static str {
        match self {
            Asked::Path => "file",
            Asked::Words => "/",
            Asked::Place => "go to (a line's number, or 50%):",
            Asked::Time => "go to (10m, 14:30, yesterday):",
            Asked::Note(_) => "bookmark, with a note:",
        }
    }
}

/// Where most logs are.
pub(super) const OFFERED: &str = "/var/log/";

/// A whole name that was typed behind what is offered is meant by itself.
fn meant(text: &str) -> &str {
    let behind = text
        .strip_prefix(OFFERED)
        .filter(|rest| rest.starts_with('/') || rest.split_once(":/").is_some_and(|(id, _)| id.bytes().all(|b| b.is_ascii_digit())));
    behind.unwrap_or(text)
}

/// The file of a name, where it is one's.
fn source(text: &str) -> Option<LogSource> {
    LogSource::from_name(meant(text)).filter(LogSource::is_file)
}

impl File {
    pub(super) fn type_in(&mut self, asked: Asked) {
        self.wrong = None;
        let text = match asked {
            Asked::Words => {
                self.before = self.filter.clone();
                self.filter.text()
            }
            _ => "",
        };
        self.input = Some((asked, Input::with(text)));
    }

    /// Esc: nothing comes of it.
    pub(super) fn left(&mut self, known: &Known) -> Vec<Then> {
        let was = self.input.take();
        self.wrong = None;
        if matches!(was, Some((Asked::Words, _))) && self.before.text() != self.filter.text() {
            let before = self.before.clone();
            return self.set_filter(before, known);
        }
        Vec::new()
    }

    /// Something was typed: words filter at once.
    pub(super) fn typed_on(&mut self, known: &Known) -> Vec<Then> {
        self.wrong = None;
        self.names.clear();
        let Some((Asked::Words, input)) = &self.input else { return Vec::new() };
        match Filter::parse(input.text()) {
            Ok(filter) if filter.text() == self.filter.text() => Vec::new(),
            Ok(filter) => self.set_filter(filter, known),
            // The last good filter goes on holding while an expression is half typed.
            Err(why) => {
                self.wrong = Some(why);
                Vec::new()
            }
        }
    }

    /// Enter.
    pub(super) fn entered(&mut self, known: &Known) -> Vec<Then> {
        let Some((asked, text)) = self.input.as_ref().map(|(a, i)| (*a, i.text().trim().to_owned())) else { return Vec::new() };
        let wrong = match asked {
            Asked::Path => match source(&text) {
                Some(source) => return self.open(source, None, known),
                None => "a whole path, or 101:/path in a guest".into(),
            },
            // What is not right is said already.
            Asked::Words if self.wrong.is_some() => return Vec::new(),
            Asked::Words => {
                self.input = None;
                return Vec::new();
            }
            Asked::Note(offset) => return self.set_mark(offset, text, known),
            Asked::Place => match place(&text) {
                Some(spot) => return self.leave_for(spot, known),
                None => "a line's number, or hundredths such as 50%".into(),
            },
            Asked::Time => {
                let here = Here { now: known.now, offset_s: known.offset_s };
                match when::parse(&text, here) {
                    Ok(at) => return self.leave_for(Spot::Time { at, here }, known),
                    Err(why) => why,
                }
            }
        };
        self.wrong = Some(wrong);
        Vec::new()
    }

    fn leave_for(&mut self, spot: Spot, known: &Known) -> Vec<Then> {
        self.input = None;
        self.wrong = None;
        self.ask(spot, true, known)
    }

    /// Tab: asks how the path could go on.
    pub(super) fn complete(&mut self) -> Vec<Then> {
        let Some((Asked::Path, input)) = &self.input else { return Vec::new() };
        match source(input.text().trim()) {
            Some(source) => vec![Then::Do(Effect::File { source, ask: FileAsk::Names })],
            None => {
                self.wrong = Some("a whole path, or 101:/path in a guest".into());
                Vec::new()
            }
        }
    }

    /// How the path goes on: as far as all names agree.
    pub(super) fn took_names(&mut self, of: &LogSource, news: &FileNews) {
        let Some((Asked::Path, input)) = &self.input else { return };
        let typed = meant(input.text().trim()).to_owned();
        if source(&typed).as_ref() != Some(of) {
            return;
        }
        match news {
            FileNews::Names(names) if names.is_empty() => self.wrong = Some("nothing there begins so".into()),
            FileNews::Names(names) => {
                let dir = typed.rfind('/').map_or("", |at| &typed[..=at]);
                self.input = Some((Asked::Path, Input::with(format!("{dir}{}", common(names)))));
                self.names = if names.len() > 1 { names.clone() } else { Vec::new() };
            }
            FileNews::Failed(why) => self.wrong = Some(why.clone()),
            _ => {}
        }
    }

    /// Takes the bookmark off the selected line, or asks for the note of a new one.
    pub(super) fn toggle_mark(&mut self, known: &Known) -> Vec<Then> {
        let at = self.here();
        let Some(offset) = self.line().map(|l| l.offset) else { return self.say("no line is selected") };
        if let Some(mark) = self.mark_of(at, known).cloned() {
            self.marks.unset(&mark);
            return vec![Then::Logs(Ask::Unmark(mark))];
        }
        // The line stays where it is while the note is typed.
        let then = if self.cursor.is_none() { self.go(at, known) } else { Vec::new() };
        self.type_in(Asked::Note(offset));
        then
    }

    fn set_mark(&mut self, offset: u64, note: String, known: &Known) -> Vec<Then> {
        self.input = None;
        let at = self.position(offset);
        let Some(line) = self.page.lines.get(at).filter(|l| l.offset == offset) else {
            return self.say("the line is not shown any more");
        };
        let mark = Mark { offset: Some(offset), ..Mark::new(self.name(), self.time_of(at, known), &line.text, note) };
        self.marks.set(mark.clone());
        vec![Then::Logs(Ask::Remember(mark))]
    }

    /// The bookmark of this file that is nearest behind or before the selected line.
    pub(super) fn mark(&mut self, forward: bool, known: &Known) -> Vec<Then> {
        // While it follows the end, the end itself is still ahead of whoever looks back.
        let here = match self.cursor {
            None => (Some(i64::MAX), Some(u64::MAX)),
            Some(at) => (self.time_of(self.here(), known).map(|t| t.0), Some(at)),
        };
        let name = self.name();
        let side = |m: &&Mark| match (m.time.zip(here.0), m.offset.zip(here.1)) {
            (Some((mark, here)), Some((offset, at))) => mark.cmp(&here).then(offset.cmp(&at)),
            (Some((mark, here)), None) => mark.cmp(&here),
            (None, Some((offset, at))) => offset.cmp(&at),
            (None, None) => std::cmp::Ordering::Equal,
        };
        let wanted = if forward { std::cmp::Ordering::Greater } else { std::cmp::Ordering::Less };
        let found = self.marks.of_source(&name).filter(|m| side(m) == wanted);
        let place = |m: &&Mark| (m.time, m.offset);
        let nearest = if forward { found.min_by_key(place) } else { found.max_by_key(place) };
        match nearest.map(|m| walk::spot_of(m, known)) {
            Some(spot) => self.ask(spot, true, known),
            None => self.say(format!("no bookmark of this file {}", if forward { "below" } else { "above" })),
        }
    }
}

/// `1,204,331`, `50 %`.
fn place(text: &str) -> Option<Spot> {
    let percent = text.strip_suffix('%').and_then(|t| t.trim().parse().ok()).filter(|p| *p <= 100).map(Spot::Percent);
    let digits: String = text.chars().filter(|c| !matches!(c, ',' | '.' | ' ')).collect();
    percent.or_else(|| digits.parse::<u64>().ok().filter(|n| *n > 0).map(|n| Spot::Line(n - 1)))
}

/// What all of these begin with.
fn common(names: &[String]) -> &str {
    let Some(first) = names.first() else { return "" };
    let agree = |name: &String| {
        first.char_indices().zip(name.chars()).find(|((_, a), b)| a != b).map_or(first.len().min(name.len()), |((at, _), _)| at)
    };
    let shortest = names.iter().map(agree).min().unwrap_or(0);
    first.get(..shortest).unwrap_or("")
}
