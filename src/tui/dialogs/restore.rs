//! What a restore needs to know: the new id, the storage, whether it is plugged in, and what becomes of it.

use super::text;
use crate::domain::backup::Archive;
use crate::domain::fact::Wish;
use crate::domain::guest::Vmid;
use crate::domain::restore::{After, RestoreWish};
use crate::domain::stamp::bytes;
use crate::domain::storage::StorageId;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::input::Input;
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::theme::Tone;

/// Rows of the form, in order.
const ROWS: [&str; 4] = ["new id", "storage", "network", "then"];
const ID: usize = 0;
const STORAGE: usize = 1;
const NETWORK: usize = 2;

/// What becomes of it, as it is offered.
const AFTER: [(After, &str); 3] = [
    (After::Start, "start it, and ask it and its app"),
    (After::Swap, "start and ask it, then put it in the place of the original"),
    (After::Stay, "leave it stopped"),
];

/// Asks for what a restore leaves open.
pub struct Restore {
    archive: Archive,
    id: Input,
    /// None: that of its root disk, else the one with most room.
    storage: Option<StorageId>,
    plugged: bool,
    /// Which of [`AFTER`].
    after: usize,
    at: usize,
    said: String,
}

impl Restore {
    /// For this archive; the lowest free id stands there already.
    pub fn new(archive: Archive, known: &Known) -> Restore {
        let id = known.world.next_id().map(|id| id.to_string()).unwrap_or_default();
        Restore { archive, id: Input::with(id), storage: None, plugged: false, after: 0, at: ID, said: String::new() }
    }

    fn after(&self) -> After {
        AFTER.get(self.after).map_or(After::Start, |(after, _)| *after)
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
        let wish = RestoreWish {
            volid: self.archive.volid.clone(),
            to: Some(id),
            storage: self.storage.clone(),
            // Who takes a place is plugged in there, and not before.
            plugged: self.plugged && self.after() != After::Swap,
            after: self.after(),
        };
        vec![Then::Close, Then::Wish(Wish::Restore(wish))]
    }

    /// The next one of what can be chosen in the row.
    fn turn(&mut self, known: &Known) {
        match self.at {
            STORAGE => {
                let all = known.world.storages.get().map(Vec::as_slice).unwrap_or_default();
                let fit: Vec<&StorageId> = all.iter().filter(|s| s.takes("rootdir") && s.space.is_ok()).map(|s| &s.id).collect();
                let next = self.storage.as_ref().map_or(0, |id| fit.iter().position(|f| *f == id).map_or(0, |at| at + 1));
                self.storage = fit.get(next).map(|id| (*id).clone());
            }
            NETWORK => self.plugged = !self.plugged,
            _ => self.after = (self.after + 1) % AFTER.len(),
        }
    }

    /// What stands in a row that is no text.
    fn words(&self, row: usize, known: &Known) -> String {
        match row {
            STORAGE => match &self.storage {
                None => "as before, else the one with most room".into(),
                Some(id) => {
                    let room = known.world.storage(id).and_then(|s| s.space.as_ref().ok()).map(|s| s.avail);
                    format!("{id}, {} free", room.map_or("?".into(), bytes))
                }
            },
            NETWORK if self.after() == After::Swap => "none until it takes the place".into(),
            NETWORK if self.plugged => "[x] plugged in, but for fixed addresses".into(),
            NETWORK => "[ ] none: what it does at its start, it does to nobody".into(),
            _ => AFTER.get(self.after).map_or("", |(_, words)| words).into(),
        }
    }
}

impl Pane for Restore {
    fn context(&self) -> Context {
        Context::Form
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::NextPart | Action::Down => self.at = (self.at + 1) % ROWS.len(),
            Action::PrevPart | Action::Up => self.at = (self.at + ROWS.len() - 1) % ROWS.len(),
            Action::Toggle => self.turn(known),
            Action::Open => return Some(self.go(known)),
            _ => return None,
        }
        Some(Vec::new())
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        !matches!(action, Action::Toggle) || self.at != ID
    }

    fn is_typing(&self) -> bool {
        self.at == ID
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        (self.at == ID).then_some(&mut self.id)
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        self.said.clear();
        Vec::new()
    }

    fn window(&self, known: &Known) -> Window {
        Window { title: "restore".into(), width: text::text_width(known).min(76), height: 12.min(text::most_rows(known)) }
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
        for (row, name) in ROWS.iter().enumerate() {
            let y = 3 + row as u16;
            on.put(1, y, 1, if row == self.at { "▸" } else { " " }, Tone::Strong);
            on.put(3, y, 10, name, Tone::Plain);
            match row {
                ID => self.id.draw(on, 13, y, room.saturating_sub(12), self.at == ID),
                _ => {
                    on.put(13, y, room.saturating_sub(12), &self.words(row, known), Tone::Plain);
                }
            }
        }
        let promise = match self.after() {
            After::Swap => "The original goes on until the copy answered, and stays, stopped.",
            _ => "The original is not touched. The plan is next.",
        };
        let (said, tone) = if self.said.is_empty() { (promise, Tone::Quiet) } else { (self.said.as_str(), Tone::Bad) };
        on.put(1, 8, room, said, tone);
        let keys = [("Tab", Tone::Key), (" next   ", Tone::Plain), ("Space", Tone::Key), (" other   ", Tone::Plain)];
        on.line(
            1,
            9,
            &[&keys[..], &[("Enter", Tone::Key), (" show the plan   ", Tone::Plain), ("Esc", Tone::Key), (" no", Tone::Plain)]].concat(),
        );
    }
}
