//! A URL as a picture for a telephone, and as text for whoever has none.

use super::text;
use crate::domain::picture::picture;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::pane::{Known, Pane, Then, Window};
use crate::tui::theme::Tone;
use crate::tui::words;

/// The dialog.
pub struct Picture {
    url: String,
    rows: Vec<String>,
}

impl Picture {
    /// Of this URL.
    pub fn new(url: String) -> Picture {
        let rows = picture(url.as_bytes()).unwrap_or_default();
        Picture { url, rows }
    }

    /// Columns and rows of the picture.
    fn size(&self) -> (u16, u16) {
        (self.rows.first().map_or(0, |r| words::width(r)), u16::try_from(self.rows.len()).unwrap_or(u16::MAX))
    }
}

impl Pane for Picture {
    fn context(&self) -> Context {
        Context::Text
    }

    fn act(&mut self, action: Action, _known: &Known) -> Option<Vec<Then>> {
        (action == Action::Open).then(|| vec![Then::Close])
    }

    fn window(&self, known: &Known) -> Window {
        let (wide, high) = self.size();
        let width = text::wide(known, (wide.max(words::width(&self.url)) + 4).max(44));
        Window { title: "public URL".into(), width, height: (high + 4).max(6).min(text::most_rows(known)) }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        let (wide, high) = self.size();
        let room = on.width().saturating_sub(2);
        on.put(1, 0, room, &self.url, Tone::Link);
        // Half a picture is none.
        let why = match () {
            () if on.is_ascii() => "This terminal has only ASCII letters; no picture can be drawn.",
            () if self.rows.is_empty() => "It is too long for a picture.",
            () if on.height() < high + 1 || on.width() < wide => "No picture fits here; a larger window shows it.",
            () => {
                // Light rows around it, where there is room: some readers want them.
                let (x, y) = ((on.width() - wide) / 2, on.height() - high);
                for (y, row) in (y..).zip(&self.rows) {
                    on.put(x, y, wide, row, Tone::Picture);
                }
                return;
            }
        };
        for (y, (tone, line)) in (2..).zip(&text::wrapped(&[(Tone::Plain, why.into())], room)) {
            on.put(1, y, room, line, *tone);
        }
    }
}
