//! Asks for a passphrase or a code once more, before something is destroyed.

use crate::domain::fact::Login;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::input::{Input, LONGEST, Passphrase};
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::theme::Tone;

enum Field {
    Passphrase(Passphrase),
    Code(Input),
}

/// The question.
pub struct Prove {
    field: Field,
    said: (Tone, String),
    waiting: bool,
}

impl Prove {
    /// For a code, or for the passphrase.
    pub fn new(code: bool) -> Prove {
        let field = if code { Field::Code(Input::default()) } else { Field::Passphrase(Passphrase::default()) };
        Prove { field, said: (Tone::Plain, String::new()), waiting: false }
    }

    fn give(&mut self) -> Vec<Then> {
        let typed = match &mut self.field {
            _ if self.waiting => return Vec::new(),
            Field::Passphrase(p) => p.take(),
            Field::Code(c) => Some(std::mem::take(c).into_secret()),
        };
        match typed {
            None => self.said = (Tone::Bad, format!("a passphrase has at most {LONGEST} bytes; it was cleared")),
            Some(typed) if typed.is_empty() => self.said = (Tone::Plain, "type it first".into()),
            Some(typed) => {
                self.waiting = true;
                self.said = (Tone::Quiet, "this takes a moment on purpose".into());
                return vec![Then::Do(Effect::Prove(typed))];
            }
        }
        Vec::new()
    }
}

impl Pane for Prove {
    fn context(&self) -> Context {
        Context::Proof
    }

    fn act(&mut self, action: Action, _known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Open => Some(self.give()),
            Action::Back => Some(vec![Then::Close, Then::Do(Effect::Withdraw), Then::Say("nothing was done".into())]),
            _ => None,
        }
    }

    fn is_typing(&self) -> bool {
        true
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        match &mut self.field {
            _ if self.waiting => None,
            Field::Passphrase(p) => Some(p),
            Field::Code(c) => Some(c),
        }
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        self.said.1.clear();
        Vec::new()
    }

    fn login(&mut self, news: &Login) -> Option<Vec<Then>> {
        match news {
            Login::Proven => Some(vec![Then::Close, Then::Say("starting …".into())]),
            Login::Wrong(why) => {
                self.waiting = false;
                self.said = (Tone::Bad, why.clone());
                Some(Vec::new())
            }
            _ => None,
        }
    }

    fn window(&self, known: &Known) -> Window {
        Window { title: "is it still you?".into(), width: known.size.0.saturating_sub(2).min(64), height: 8 }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        let room = on.width().saturating_sub(2);
        on.put(1, 0, room, "This destroys something, and your last proof is older", Tone::Plain);
        on.put(1, 1, room, "than two minutes.", Tone::Plain);
        let word = if matches!(self.field, Field::Code(_)) { "code" } else { "passphrase" };
        on.put(1, 3, 12, word, Tone::Quiet);
        match &self.field {
            Field::Passphrase(p) => p.draw(on, 14, 3),
            Field::Code(c) => c.draw(on, 14, 3, room.saturating_sub(13), true),
        }
        on.put(1, 5, room, &self.said.1, self.said.0);
    }
}
