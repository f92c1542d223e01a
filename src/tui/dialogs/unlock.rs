//! The lock screen: who, a passphrase, and a code where a second factor is on. Nothing of the host is behind it.

use crate::domain::fact::Login;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::input::{Input, LONGEST, Passphrase};
use crate::tui::pane::{Known, Pane, Then, Typed};
use crate::tui::theme::Tone;

/// The lock screen.
pub struct Unlock {
    names: Vec<String>,
    at: usize,
    passphrase: Passphrase,
    /// The code, once the passphrase was right.
    code: Option<Input>,
    said: (Tone, String),
    waiting: bool,
}

impl Unlock {
    /// For these operators.
    pub fn new(names: Vec<String>) -> Unlock {
        Unlock { names, at: 0, passphrase: Passphrase::default(), code: None, said: (Tone::Plain, String::new()), waiting: false }
    }

    /// Whether it is for these operators.
    pub fn is_for(&self, names: &[String]) -> bool {
        self.names == names
    }

    /// The passphrase did not open it.
    pub fn failed(&mut self, why: String) {
        self.waiting = false;
        self.code = None;
        self.said = (Tone::Bad, why);
    }

    fn open(&mut self) -> Vec<Then> {
        let Some(name) = self.names.get(self.at) else { return Vec::new() };
        if self.waiting {
            return Vec::new();
        }
        if let Some(code) = &mut self.code {
            let typed = std::mem::take(code).into_secret();
            self.waiting = !typed.is_empty();
            return if self.waiting { vec![Then::Do(Effect::Code(typed))] } else { Vec::new() };
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
            // The passphrase was somebody's: only he goes on, or all begins anew.
            Action::Down | Action::NextPart | Action::Up | Action::PrevPart if self.code.is_some() => {}
            Action::Back if self.code.take().is_some() => {
                self.waiting = false;
                self.said.1.clear();
                return Some(vec![Then::Do(Effect::Lock)]);
            }
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
            Action::NextPart => self.names.len() > 1 && self.code.is_none(),
            Action::Back => !self.passphrase.is_empty() || self.code.is_some(),
            _ => true,
        }
    }

    fn is_typing(&self) -> bool {
        true
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        match &mut self.code {
            _ if self.waiting => None,
            Some(code) => Some(code),
            None => Some(&mut self.passphrase),
        }
    }

    fn login(&mut self, news: &Login) -> Option<Vec<Then>> {
        match news {
            Login::CodeWanted => {
                self.code = Some(Input::default());
                self.said = (Tone::Plain, "the code of your telephone, or one from the paper".into());
            }
            Login::Wrong(why) => self.said = (Tone::Bad, why.clone()),
            _ => return None,
        }
        self.waiting = false;
        Some(Vec::new())
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
        match &self.code {
            None => self.passphrase.draw(&mut on, 14, gap + 1 + gap),
            Some(code) => {
                on.put(14, gap + 1 + gap, room.saturating_sub(13), "right", Tone::Good);
                on.put(1, gap + 2 + gap, 12, "code", Tone::Quiet);
                code.draw(&mut on, 14, gap + 2 + gap, room.saturating_sub(13), true);
            }
        }
        on.put(1, 2 + 3 * gap, room, &self.said.1, self.said.0);
    }
}
