//! The one way text reaches a cell: cleaned, cut by columns, inside its area. Nothing else writes to the buffer.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::theme::{Theme, Tone, ascii};
use super::words;
use crate::domain::clean::clean;

/// A part of the screen to draw on. Coordinates are relative to it; what does not fit is cut.
pub struct Canvas<'a> {
    buf: &'a mut Buffer,
    area: Rect,
    theme: Theme,
    cursor: &'a mut Option<Position>,
}

impl<'a> Canvas<'a> {
    /// The whole screen; `cursor` takes the place of the terminal's cursor, if somebody types.
    pub fn new(buf: &'a mut Buffer, theme: Theme, cursor: &'a mut Option<Position>) -> Self {
        let area = buf.area;
        Canvas { buf, area, theme, cursor }
    }

    /// Columns.
    pub fn width(&self) -> u16 {
        self.area.width
    }

    /// Rows.
    pub fn height(&self) -> u16 {
        self.area.height
    }

    /// Whether only ASCII may reach a cell.
    pub fn is_ascii(&self) -> bool {
        self.theme.is_ascii()
    }

    /// A part of this part.
    pub fn sub(&mut self, x: u16, y: u16, width: u16, height: u16) -> Canvas<'_> {
        let (x, y) = (x.min(self.area.width), y.min(self.area.height));
        let area = Rect {
            x: self.area.x + x,
            y: self.area.y + y,
            width: width.min(self.area.width - x),
            height: height.min(self.area.height - y),
        };
        Canvas { buf: self.buf, area, theme: self.theme, cursor: self.cursor }
    }

    /// Some rows over the whole width.
    pub fn rows(&mut self, y: u16, height: u16) -> Canvas<'_> {
        self.sub(0, y, self.area.width, height)
    }

    /// Writes text in at most `room` columns; what does not fit ends in `…`. Gives the columns used.
    pub fn put(&mut self, x: u16, y: u16, room: u16, text: &str, tone: Tone) -> u16 {
        if x >= self.area.width || y >= self.area.height {
            return 0;
        }
        let room = room.min(self.area.width - x);
        // A hostile name may be a megabyte; what lies far behind the room is not even looked at.
        let text = harmless(bounded(text, room), self.theme);
        let (end, _) = words::fits(&text, room);
        let (head, more) =
            if end < text.len() { (&text[..words::fits(&text, room.saturating_sub(1)).0], true) } else { (&text[..], false) };
        let style = self.theme.style(tone);
        let (left, top) = (self.area.x + x, self.area.y + y);
        let (mut at, _) = self.buf.set_stringn(left, top, head, room.into(), style);
        if more && room > 0 {
            let dots = if self.theme.is_ascii() { "~" } else { "…" };
            (at, _) = self.buf.set_stringn(at, top, dots, 1, style);
        }
        at - left
    }

    /// Writes text that ends at column `end`. Gives the column where it begins.
    pub fn put_right(&mut self, end: u16, y: u16, room: u16, text: &str, tone: Tone) -> u16 {
        let wide = words::width(&harmless(bounded(text, room), self.theme)).min(room).min(end);
        self.put(end - wide, y, wide, text, tone);
        end - wide
    }

    /// Writes pieces one after the other, parted by nothing. Gives the columns used.
    pub fn line(&mut self, x: u16, y: u16, pieces: &[(&str, Tone)]) -> u16 {
        let mut at = x;
        for (text, tone) in pieces {
            at += self.put(at, y, self.area.width.saturating_sub(at), text, *tone);
        }
        at - x
    }

    /// A quiet rule over the whole width.
    pub fn rule(&mut self, y: u16) {
        self.fill(0, y, self.area.width, "─", Tone::Quiet);
    }

    /// The same letter over some columns.
    pub fn fill(&mut self, x: u16, y: u16, columns: u16, letter: &str, tone: Tone) {
        if columns > 0 {
            let columns = columns.min(self.area.width.saturating_sub(x));
            self.put(x, y, columns, &letter.repeat(columns.into()), tone);
        }
    }

    /// A title with a rule behind it and something quiet at its right end.
    pub fn title(&mut self, y: u16, title: &str, tone: Tone, right: &str) {
        let wide = self.area.width;
        let mut end = wide.saturating_sub(1);
        let room = end.saturating_sub(words::width(title) + 6);
        if !right.is_empty() && room >= words::width(right).min(12) {
            end = self.put_right(end, y, room, right, Tone::Quiet).saturating_sub(1);
        }
        let used = 1 + self.put(1, y, end.saturating_sub(2), title, tone);
        self.fill(used + 1, y, end.saturating_sub(used + 1), "─", Tone::Quiet);
    }

    /// Shows the terminal's cursor here.
    pub fn cursor(&mut self, x: u16, y: u16) {
        if x < self.area.width && y < self.area.height {
            *self.cursor = Some(Position { x: self.area.x + x, y: self.area.y + y });
        }
    }

    /// Makes a middle part empty, with a border and a title, and gives its inside.
    pub fn window(&mut self, width: u16, height: u16, title: &str) -> Canvas<'_> {
        let (width, height) = (width.min(self.area.width), height.min(self.area.height));
        let (x, y) = ((self.area.width - width) / 2, (self.area.height - height) / 2);
        self.blank(x, y, width, height);
        // What is typed into a pane below is not typed now.
        *self.cursor = None;
        let mut frame = self.sub(x, y, width, height);
        if width < 4 || height < 3 {
            return frame;
        }
        let dash = "─".repeat(usize::from(width - 2));
        frame.line(0, 0, &[("┌", Tone::Quiet), (&dash, Tone::Quiet), ("┐", Tone::Quiet)]);
        for row in 1..height - 1 {
            frame.put(0, row, 1, "│", Tone::Quiet);
            frame.put(width - 1, row, 1, "│", Tone::Quiet);
        }
        frame.line(0, height - 1, &[("└", Tone::Quiet), (&dash, Tone::Quiet), ("┘", Tone::Quiet)]);
        let used = frame.put(3, 0, width.saturating_sub(6), title, Tone::Strong);
        if used > 0 {
            frame.put(2, 0, 1, " ", Tone::Plain);
            frame.put(3 + used, 0, 1, " ", Tone::Plain);
        }
        let Canvas { buf, area, theme, cursor } = frame;
        let inner = Rect { x: area.x + 1, y: area.y + 1, width: width - 2, height: height - 2 };
        Canvas { buf, area: inner, theme, cursor }
    }

    fn blank(&mut self, x: u16, y: u16, width: u16, height: u16) {
        for row in self.area.y + y..self.area.y + y + height {
            let left = self.area.x + x;
            // A wide letter that would be cut in half by the border goes altogether.
            if let Some(cell) = left.checked_sub(1).and_then(|l| self.buf.cell_mut((l, row)))
                && words::width(cell.symbol()) > 1
            {
                cell.set_symbol(" ");
            }
            for column in left..left + width {
                if let Some(cell) = self.buf.cell_mut((column, row)) {
                    cell.reset();
                }
            }
        }
    }
}

/// A beginning of `text` that surely fills `room` columns, cut at a letter.
pub fn bounded(text: &str, room: u16) -> &str {
    let most = usize::from(room) * 24 + 64;
    let end = (most..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    &text[..end]
}

/// The text without anything that steers a terminal, in the letters that the terminal has.
fn harmless(text: &str, theme: Theme) -> Cow<'_, str> {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Cow::Borrowed(text);
    }
    let text = clean(text);
    if !theme.is_ascii() {
        return Cow::Owned(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let wide = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        out.extend(std::iter::repeat_n(ascii(c), wide));
    }
    Cow::Owned(out)
}
