//! What a restore beside needs to know: the new id, and whether to start it.

use super::text;
use crate::domain::backup::Archive;
use crate::domain::fact::Wish;
use crate::domain::guest::Vmid;
use crate::domain::restore::RestoreWish;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::input::Input;
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::theme::Tone;

/// Asks for the id and the start of a restored guest.
pub struct Restore {
    archive: Archive,
    id: Input,
    start: bool,
    /// The second field is the start.
    on_start: bool,
    said: String,
}

impl Restore {
    /// For this archive; the lowest free id stands there already.
    pub fn new(archive: Archive, known: &Known) -> Restore {
        let id = known.world.next_id().map(|id| id.to_string()).unwrap_or_default();
        Restore { archive, id: Input::with(id), start: true, on_start: false, said: String::new() }
    }

    fn go(&mut self, known: &Known) -> Vec<Then> {
        let id: Vmid = match self.id.text().trim().parse() {
            Ok(id) => id,
            Err(why) => {
                self.said = why;
                return Vec::new();
            }
        };
        if let Some(guest) = known.world.guest(id) {
            self.said = format!("{} is there already; choose a free id", guest.title());
            return Vec::new();
        }
        let wish =
            RestoreWish { volid: self.archive.volid.clone(), to: Some(id), storage: None, start: self.start, plugged: false, drill: false };
        vec![Then::Close, Then::Wish(Wish::Restore(wish))]
    }
}

impl Pane for Restore {
    fn context(&self) -> Context {
        Context::Form
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::NextPart | Action::PrevPart | Action::Down | Action::Up => self.on_start = !self.on_start,
            Action::Toggle => self.start = !self.start,
            Action::Open => return Some(self.go(known)),
            _ => return None,
        }
        Some(Vec::new())
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        !matches!(action, Action::Toggle) || self.on_start
    }

    fn is_typing(&self) -> bool {
        !self.on_start
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        (!self.on_start).then_some(&mut self.id)
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        self.said.clear();
        Vec::new()
    }

    fn window(&self, known: &Known) -> Window {
        Window {
            title: "restore beside the original".into(),
            width: text::text_width(known).min(76),
            height: 10.min(text::most_rows(known)),
        }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let room = on.width().saturating_sub(2);
        let of = self
            .archive
            .vmid
            .and_then(|id| known.world.guest(id))
            .map(|g| g.title())
            .or_else(|| self.archive.vmid.map(|id| format!("{id} (not here any more)")));
        on.put(
            1,
            0,
            room,
            &format!("{} of {}", self.archive.made.minute(known.offset_s), of.as_deref().unwrap_or("an unknown guest")),
            Tone::Strong,
        );
        on.put(1, 1, room, &self.archive.volid, Tone::Quiet);
        let sign = |on: &mut Canvas<'_>, y, here| on.put(1, y, 1, if here { "▸" } else { " " }, Tone::Strong);
        sign(on, 3, !self.on_start);
        on.put(3, 3, 10, "new id", Tone::Plain);
        self.id.draw(on, 13, 3, room.saturating_sub(12), !self.on_start);
        sign(on, 4, self.on_start);
        on.put(3, 4, 10, "start it", Tone::Plain);
        on.put(13, 4, room.saturating_sub(12), if self.start { "[x] yes, and wait until it answers" } else { "[ ] no" }, Tone::Plain);
        if self.said.is_empty() {
            on.put(1, 6, room, "The original is not touched; the copy has no network. The plan is next.", Tone::Quiet);
        } else {
            on.put(1, 6, room, &self.said, Tone::Bad);
        }
        on.line(1, 7, &[("Enter", Tone::Key), (" show the plan   ", Tone::Plain), ("Esc", Tone::Key), (" no", Tone::Plain)]);
    }
}
