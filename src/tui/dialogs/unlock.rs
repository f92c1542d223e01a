//! The lock screen: who, and a passphrase. Nothing of the host is behind it.

use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::input::{LONGEST, Passphrase};
use crate::tui::pane::{Known, Pane, Then, Typed};
use crate::tui::theme::Tone;

/// The lock screen.
pub struct Unlock {
    names: Vec<String>,
    at: usize,
    passphrase: Passphrase,
    said: (Tone, String),
    waiting: bool,
}

impl Unlock {
    /// For these operators.
    pub fn new(names: Vec<String>) -> Unlock {
        Unlock { names, at: 0, passphrase: Passphrase::default(), said: (Tone::Plain, String::new()), waiting: false }
    }

    /// Whether it is for these operators.
    pub fn is_for(&self, names: &[String]) -> bool {
        self.names == names
    }

    /// The passphrase did not open it.
    pub fn failed(&mut self, why: String) {
        self.waiting = false;
        self.said = (Tone::Bad, why);
    }

    fn open(&mut self) -> Vec<Then> {
        let Some(name) = self.names.get(self.at) else { return Vec::new() };
        if self.waiting {
            return Vec::new();
        }
        if self.passphrase.is_empty() {
            self.said = (Tone::Plain, "type the passphrase first".into());
            return Vec::new();
        }
        match self.passphrase.take() {
            Some(passphrase) => {
                self.waiting = true;
                self.said = (Tone::Quiet, "opening; this takes a moment on purpose".into());
                vec![Then::Do(Effect::Unlock { operator: name.clone(), passphrase })]
            }
            None => {
                self.said = (Tone::Bad, format!("a passphrase has at most {LONGEST} bytes; it was cleared"));
                Vec::new()
            }
        }
    }

    fn turn(&mut self, by: usize) {
        let len = self.names.len().max(1);
        self.at = (self.at + by) % len;
        // What was typed was meant for somebody else.
        self.passphrase = Passphrase::default();
        self.said.1.clear();
    }
}

impl Pane for Unlock {
    fn context(&self) -> Context {
        Context::Unlock
    }

    fn act(&mut self, action: Action, _known: &Known) -> Option<Vec<Then>> {
        let last = self.names.len().saturating_sub(1).max(1);
        match action {
            Action::Open => return Some(self.open()),
            Action::Down | Action::NextPart => self.turn(1),
            Action::Up | Action::PrevPart => self.turn(last),
            Action::Back => {
                self.passphrase = Passphrase::default();
                self.said.1.clear();
            }
            _ => return None,
        }
        Some(Vec::new())
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        match action {
            Action::NextPart => self.names.len() > 1,
            Action::Back => !self.passphrase.is_empty(),
            _ => true,
        }
    }

    fn is_typing(&self) -> bool {
        true
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        (!self.waiting).then_some(&mut self.passphrase)
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        self.said.1.clear();
        Vec::new()
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        let mut on = on.window(on.width().saturating_sub(2).min(58), 9, "locked");
        let room = on.width().saturating_sub(2);
        let gap = u16::from(on.height() >= 7);
        on.put(1, gap, 12, "operator", Tone::Quiet);
        let name = self.names.get(self.at).map_or("nobody may open this store", String::as_str);
        let used = on.put(14, gap, room.saturating_sub(13), name, Tone::Strong);
        if self.names.len() > 1 {
            on.put(
                15 + used,
                gap,
                room.saturating_sub(14 + used),
                &format!(" {} of {}, ↓ next", self.at + 1, self.names.len()),
                Tone::Quiet,
            );
        }
        on.put(1, gap + 1 + gap, 12, "passphrase", Tone::Quiet);
        self.passphrase.draw(&mut on, 14, gap + 1 + gap);
        on.put(1, 2 + 3 * gap, room, &self.said.1, self.said.0);
    }
}
