//! Notes for an archive: one line; more of them are written on the command line.

use super::field::Field;
use super::text;
use crate::domain::backup::Archive;
use crate::domain::backup::label::{Change, LabelWish, note};
use crate::domain::fact::Wish;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::theme::Tone;

/// The form.
pub struct Note {
    archive: Archive,
    field: Field,
}

impl Note {
    /// For this archive; the first line of its notes stands there already.
    pub fn new(archive: Archive) -> Note {
        let field = Field::with("notes", archive.notes.clone().unwrap_or_default());
        Note { archive, field }
    }
}

impl Pane for Note {
    fn context(&self) -> Context {
        Context::Form
    }

    fn act(&mut self, action: Action, _known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Open => {
                let Some(text) = self.field.read(note) else { return Some(Vec::new()) };
                let wish = Wish::Label(LabelWish { volid: self.archive.volid.clone(), change: Change::Note(text) });
                Some(vec![Then::Close, Then::Wish(wish)])
            }
            Action::Toggle | Action::NextPart | Action::PrevPart | Action::Down | Action::Up | Action::PageUp | Action::PageDown => {
                Some(Vec::new())
            }
            _ => None,
        }
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        !matches!(action, Action::Toggle | Action::NextPart)
    }

    fn is_typing(&self) -> bool {
        true
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        Some(&mut self.field.input)
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        self.field.said.clear();
        Vec::new()
    }

    fn window(&self, known: &Known) -> Window {
        let width = text::wide(known, 90);
        let title = "notes of an archive".into();
        Window { title, width, height: (self.field.rows(width.saturating_sub(2)) + 7).min(text::most_rows(known)) }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        let (room, end) = (on.width().saturating_sub(2), on.height().saturating_sub(1));
        on.put(1, 0, room, &self.archive.volid, Tone::Quiet);
        let y = self.field.draw(&mut on.rows(0, end), 2, true);
        on.put(1, y + 1, room, "All notes are replaced by this line. The plan is next.", Tone::Quiet);
        on.line(1, end, &[("Enter", Tone::Key), (" show the plan   ", Tone::Plain), ("Esc", Tone::Key), (" no", Tone::Plain)]);
    }
}
