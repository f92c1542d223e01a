//! What is typed into a line of the Logs pane, and what comes of it.

use super::{Export, Logs};
use crate::domain::filter::Filter;
use crate::domain::log_marks::Mark;
use crate::domain::log_sieve::Wanted;
use crate::domain::stamp::Stamp;
use crate::domain::when::{self, Here};
use crate::tui::input::Input;
use crate::tui::pane::{Known, Then};

/// Lines put into a file in one slice of work.
const SLICE: u64 = 4_000;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Words of the filter.
    Words,
    /// A time to go to.
    Time,
    /// A time to begin with, and one to end with.
    Stretch,
    /// A note about the line with this number.
    Note(u64),
    /// A file to be written.
    File,
}

impl Asked {
    /// The words before what is typed.
    pub(super) fn prompt(&self) -> &'static str {
        match self {
            Asked::Words => "/",
            Asked::Time => "go to (10m, 14:30, yesterday):",
            Asked::Stretch => "from .. to (10m, or 14:00 .. 14:30; nothing is all):",
            Asked::Note(_) => "bookmark, with a note:",
            Asked::File => "write these lines to a new file:",
        }
    }
}

impl Logs {
    /// Begins to ask for something.
    pub(super) fn ask(&mut self, asked: Asked, known: &Known) {
        self.wrong = None;
        let text = match &asked {
            Asked::Words => {
                self.before = self.buffer.filter().text().to_owned();
                self.before.clone()
            }
            Asked::Stretch => {
                let clock = |t: Option<Stamp>| t.map(|t| t.second(known.offset_s)).unwrap_or_default();
                let Wanted { since, until, .. } = self.buffer.wanted();
                match (since, until) {
                    (None, None) => String::new(),
                    (Some(_), None) => clock(*since),
                    _ => format!("{} .. {}", clock(*since), clock(*until)),
                }
            }
            Asked::File => format!("/tmp/logs-{}.log", known.now.second(known.offset_s).replace([' ', ':'], "-")),
            Asked::Time | Asked::Note(_) => String::new(),
        };
        self.input = Some((asked, Input::with(text)));
    }

    /// Esc: nothing comes of it.
    pub(super) fn left(&mut self) {
        let was = self.input.take();
        self.wrong = None;
        if matches!(was, Some((Asked::Words, _))) && self.before != self.buffer.filter().text() {
            let filter = Filter::parse(&self.before).unwrap_or_default();
            self.want(Wanted { filter, ..self.buffer.wanted().clone() });
        }
    }

    /// Something was typed: words filter at once.
    pub(super) fn typed_on(&mut self) {
        self.wrong = None;
        let Some((Asked::Words, input)) = &self.input else { return };
        match Filter::parse(input.text()) {
            Ok(filter) if filter.text() != self.buffer.filter().text() => {
                self.want(Wanted { filter, ..self.buffer.wanted().clone() });
            }
            Ok(_) => {}
            // The last good filter goes on holding while an expression is half typed.
            Err(why) => self.wrong = Some(why),
        }
    }

    /// Enter.
    pub(super) fn entered(&mut self, known: &Known) -> Vec<Then> {
        let Some((asked, input)) = self.input.take() else { return Vec::new() };
        let text = input.text().trim().to_owned();
        let here = Here { now: known.now, offset_s: known.offset_s };
        let wrong = match &asked {
            Asked::Words => self.wrong.take(),
            Asked::Time => match when::parse(&text, here) {
                Ok(time) => return self.at_time(time, known),
                Err(why) => Some(why),
            },
            Asked::Stretch => match stretch(&text, here) {
                Ok((since, until)) => {
                    self.want(Wanted { since, until, ..self.buffer.wanted().clone() });
                    None
                }
                Err(why) => Some(why),
            },
            Asked::Note(number) => return self.set_mark(*number, text),
            Asked::File if !text.starts_with('/') => Some("a whole path, which begins with /".into()),
            Asked::File => {
                let (next, end) = (self.buffer.fallen(), self.buffer.total());
                self.export = Some(Export { path: text, next, end, lines: 0, text: Vec::new() });
                return vec![Then::Say("gathering the lines …".into())];
            }
        };
        if wrong.is_some() {
            self.wrong = wrong;
            self.input = Some((asked, input));
        }
        Vec::new()
    }

    /// Puts a bookmark on a line that is still kept.
    fn set_mark(&mut self, number: u64, note: String) -> Vec<Then> {
        let Some((line, source)) = self.buffer.numbered(number).zip(self.source_of(number)) else {
            return vec![Then::Say("the line is too old to show by now".into())];
        };
        let mark = Mark::new(source.name(), line.time, &line.text, note);
        self.marks.set(mark);
        self.marked.insert(number);
        self.keep_marks()
    }

    /// Gathers lines that are shown for a file; `true` while some are left.
    pub(super) fn gather(&mut self) -> bool {
        let Some(export) = &mut self.export else { return false };
        // The filter looks at old lines from the newest back: only then it is known which come first.
        if self.buffer.is_looking() {
            return true;
        }
        let mut at = self.buffer.position(export.next);
        for _ in 0..SLICE {
            match self.buffer.line(at).filter(|(number, _)| *number < export.end) {
                Some((number, line)) => {
                    export.text.extend_from_slice(&line.text);
                    export.text.push(b'\n');
                    export.lines += 1;
                    export.next = number + 1;
                    at += 1;
                }
                None => {
                    export.next = export.end;
                    return false;
                }
            }
        }
        true
    }
}

/// `10m`, `14:00 .. 14:30`, `.. 14:30`, or nothing.
fn stretch(text: &str, here: Here) -> Result<(Option<Stamp>, Option<Stamp>), String> {
    let (from, to) = text.split_once("..").unwrap_or((text, ""));
    let time = |text: &str| if text.trim().is_empty() { Ok(None) } else { when::parse(text, here).map(Some) };
    let (since, until) = (time(from)?, time(to)?);
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Err("it ends before it begins".into());
    }
    Ok((since, until))
}
