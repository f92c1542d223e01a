//! A field of a form: a label, a line to type in, and below it what is wrong with what was typed; and several, one of them typed in.

use super::text;
use crate::tui::action::Action;
use crate::tui::canvas::Canvas;
use crate::tui::input::Input;
use crate::tui::pane::Typed;
use crate::tui::theme::Tone;

/// Where values begin.
const VALUE: u16 = 16;

/// One field.
pub struct Field {
    label: &'static str,
    /// What is typed.
    pub input: Input,
    /// Why it was not taken; empty where nothing is known against it.
    pub said: String,
}

impl Field {
    /// An empty one.
    pub fn new(label: &'static str) -> Field {
        Field::with(label, String::new())
    }

    /// One that holds text already.
    pub fn with(label: &'static str, text: String) -> Field {
        Field { label, input: Input::with(text), said: String::new() }
    }

    /// What was typed, read; what is wrong with it is said below it.
    pub fn read<T>(&mut self, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match read(self.input.text().trim()) {
            Ok(value) => Some(value),
            Err(why) => {
                self.said = why;
                None
            }
        }
    }

    /// What is wrong with it, for a window so wide inside.
    fn wrong(&self, room: u16) -> Vec<text::Line> {
        let lines = [(Tone::Bad, format!("✗ {}", self.said))];
        if self.said.is_empty() { Vec::new() } else { text::wrapped(&lines, room.saturating_sub(VALUE + 1)) }
    }

    /// Rows it takes in a window so wide inside.
    pub fn rows(&self, room: u16) -> u16 {
        1 + self.wrong(room).len() as u16
    }

    /// Draws it; gives the row below it.
    pub fn draw(&self, on: &mut Canvas<'_>, y: u16, here: bool) -> u16 {
        let y = value(on, y, self.label, "", here);
        self.input.draw(on, VALUE, y - 1, on.width().saturating_sub(VALUE + 1), here);
        let room = on.width().saturating_sub(VALUE + 1);
        let lines = self.wrong(on.width());
        for (y, (tone, line)) in (y..).zip(&lines) {
            on.put(VALUE, y, room, line, *tone);
        }
        y + lines.len() as u16
    }
}

/// Fields below each other.
pub struct Fields {
    /// All of them, never none.
    pub all: Vec<Field>,
    /// The one that is typed in.
    pub at: usize,
}

impl Fields {
    /// With the first one to begin in.
    pub fn new(all: Vec<Field>) -> Fields {
        Fields { all, at: 0 }
    }

    /// Goes to another field; false where that is not what was asked for.
    pub fn goes(&mut self, action: Action) -> bool {
        let len = self.all.len();
        match action {
            Action::NextPart | Action::Down => self.at = (self.at + 1) % len,
            Action::PrevPart | Action::Up => self.at = (self.at + len - 1) % len,
            _ => return false,
        }
        true
    }

    /// What is typed in.
    pub fn input(&mut self) -> Option<&mut dyn Typed> {
        self.all.get_mut(self.at).map(|f| &mut f.input as &mut dyn Typed)
    }

    /// Something was typed: what was wrong with it before is not said any more.
    pub fn typed(&mut self) {
        if let Some(field) = self.all.get_mut(self.at) {
            field.said.clear();
        }
    }

    /// Rows they take in a window so wide inside.
    pub fn rows(&self, room: u16) -> u16 {
        self.all.iter().map(|f| f.rows(room)).sum()
    }

    /// Draws them; gives the row below them.
    pub fn draw(&self, on: &mut Canvas<'_>) -> u16 {
        self.all.iter().enumerate().fold(0, |y, (nth, field)| field.draw(on, y, nth == self.at))
    }
}

/// A field that is not typed but chosen; gives the row below it.
pub fn value(on: &mut Canvas<'_>, y: u16, label: &str, value: &str, here: bool) -> u16 {
    if here {
        on.put(1, y, 1, "▸", Tone::Strong);
    }
    on.put(3, y, VALUE - 4, label, if here { Tone::Strong } else { Tone::Plain });
    on.put(VALUE, y, on.width().saturating_sub(VALUE + 1), value, Tone::Plain);
    y + 1
}
