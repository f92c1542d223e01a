//! How the text of a log line is drawn, in the list of those that are followed and in a file: scrolled sideways or wrapped,
//! by its level, with what the filter found in it marked.

use super::canvas::{Canvas, bounded};
use super::theme::Tone;
use super::words;
use crate::domain::clean::clean;
use crate::domain::filter::Filter;
use crate::domain::log_format::Short;
use crate::domain::log_level::Level;

/// How the lines of a list are shown.
pub(in crate::tui) struct Rows<'a> {
    /// What is marked.
    pub filter: &'a Filter,
    /// Long lines take several rows.
    pub wrap: bool,
    /// Columns that are scrolled away, where they do not.
    pub column: u16,
    /// Where texts begin, and how wide they may be.
    pub x: u16,
    pub room: u16,
}

impl Rows<'_> {
    /// The rows of a wrapped line, at most `most`.
    fn wrapped(&self, text: &str, most: usize) -> Vec<String> {
        let text = clean(bounded(text, self.room.saturating_mul(most.min(100) as u16)));
        let mut lines = words::wrap(&text, self.room, 2);
        lines.truncate(most);
        lines
    }

    /// How many rows a line takes.
    pub fn height(&self, text: &str, most: usize) -> usize {
        if self.wrap { self.wrapped(text, most).len().max(1) } else { 1 }
    }

    /// Draws a line from row `y` on, at most `most` rows of it, and gives how many it took.
    pub fn draw(&self, on: &mut Canvas<'_>, y: u16, short: &Short, most: usize) -> usize {
        let tone = tone_of(short.level);
        if self.wrap {
            let lines = self.wrapped(&short.text, most);
            for (n, line) in lines.iter().enumerate() {
                marked(self.filter, on, self.x, y + n as u16, line, tone);
            }
            return lines.len().max(1);
        }
        let text = clean(bounded(&short.text, self.room.saturating_add(self.column)));
        let (from, _) = words::fits(&text, self.column);
        // Cut to about what is seen, so that marking costs nothing for what is not.
        marked(self.filter, on, self.x, y, text.split_at(from).1, tone);
        1
    }
}

/// The first line that can stand at the top so that line `at` is still seen whole.
pub(in crate::tui) fn lowest_top(at: usize, rows: usize, height: impl Fn(usize) -> usize) -> usize {
    let (mut top, mut used) = (at, height(at));
    while top > 0 {
        used += height(top - 1);
        if used > rows {
            break;
        }
        top -= 1;
    }
    top
}

/// How a line of this level looks.
fn tone_of(level: Level) -> Tone {
    match level {
        Level::Debug => Tone::Quiet,
        Level::Info | Level::Notice => Tone::Plain,
        Level::Warn => Tone::Warn,
        Level::Error | Level::Critical => Tone::Bad,
    }
}

/// Writes a text with what the filter found in it marked.
fn marked(filter: &Filter, on: &mut Canvas<'_>, x: u16, y: u16, text: &str, tone: Tone) {
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
