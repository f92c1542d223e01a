//! Asks for the yes of a second operator, with the plan in sight: he must see what he says yes to.
//!
//! ```text
//! ┌ a second person: stop 101 web ─────────────────┐
//! │ 1 stop 101                                     │
//! │   $ pct stop 101                               │
//! ├────────────────────────────────────────────────┤
//! │ ada wants this, and somebody else must too     │
//! │ operator     otto                              │
//! │ passphrase   ••••••••                          │
//! ```

use super::text::{self, Line};
use crate::domain::fact::Login;
use crate::domain::plan::Approved;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::input::{Input, LONGEST, Passphrase};
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::theme::Tone;

/// Rows below the plan.
const BELOW: u16 = 6;
/// Columns of a field's name.
const NAMES: u16 = 13;

/// Which line is typed into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Name,
    Passphrase,
    Code,
}

/// The question.
pub struct Seconded {
    order: Approved,
    top: usize,
    name: Input,
    passphrase: Passphrase,
    code: Input,
    at: At,
    said: (Tone, String),
    waiting: bool,
}

impl Seconded {
    /// For this order; `why` the yes of who came last does not count, or nothing.
    pub fn new(order: Approved, why: String) -> Seconded {
        Seconded {
            order,
            top: 0,
            name: Input::default(),
            passphrase: Passphrase::default(),
            code: Input::default(),
            at: At::Name,
            said: (Tone::Bad, why),
            waiting: false,
        }
    }

    fn lines(&self, room: u16) -> Vec<Line> {
        text::wrapped(&super::plan::lines(self.order.plan(), false), room)
    }

    fn give(&mut self) -> Vec<Then> {
        let ask = |me: &mut Seconded, effect| {
            (me.waiting, me.said) = (true, (Tone::Quiet, "this takes a moment on purpose".into()));
            vec![Then::Do(effect)]
        };
        match self.at {
            _ if self.waiting => {}
            At::Name if self.name.text().is_empty() => self.said = (Tone::Plain, "type his name first".into()),
            At::Name => self.at = At::Passphrase,
            At::Passphrase if self.passphrase.is_empty() => self.said = (Tone::Plain, "type it first".into()),
            At::Passphrase => match self.passphrase.take() {
                Some(passphrase) => {
                    let operator = self.name.text().to_owned();
                    return ask(self, Effect::SecondPerson { operator, passphrase });
                }
                None => self.said = (Tone::Bad, format!("a passphrase has at most {LONGEST} bytes; it was cleared")),
            },
            At::Code if self.code.text().is_empty() => self.said = (Tone::Plain, "type it first".into()),
            At::Code => {
                let code = std::mem::take(&mut self.code).into_secret();
                return ask(self, Effect::SecondCode(code));
            }
        }
        Vec::new()
    }

    fn turn(&mut self) {
        self.at = match self.at {
            _ if self.waiting => return,
            At::Name => At::Passphrase,
            At::Passphrase => At::Name,
            // The passphrase was somebody's: only he goes on.
            At::Code => At::Code,
        };
        // What was typed was meant for somebody else.
        self.passphrase = Passphrase::default();
        self.said.1.clear();
    }
}

impl Pane for Seconded {
    fn context(&self) -> Context {
        Context::Form
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Open => return Some(self.give()),
            Action::NextPart | Action::PrevPart | Action::Down | Action::Up => self.turn(),
            Action::PageDown | Action::PageUp => {
                let window = self.window(known);
                let lines = self.lines(window.width.saturating_sub(4)).len();
                text::scroll(&mut self.top, action, lines, window.height.saturating_sub(2 + BELOW).into());
            }
            Action::Back => return Some(vec![Then::Close, Then::Do(Effect::Withdraw), Then::Say("nothing was done".into())]),
            _ => return None,
        }
        Some(Vec::new())
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        match action {
            Action::NextPart => self.at != At::Code && !self.waiting,
            Action::Toggle => false,
            _ => true,
        }
    }

    fn is_typing(&self) -> bool {
        true
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        match self.at {
            _ if self.waiting => None,
            At::Name => Some(&mut self.name),
            At::Passphrase => Some(&mut self.passphrase),
            At::Code => Some(&mut self.code),
        }
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        self.said.1.clear();
        Vec::new()
    }

    fn login(&mut self, news: &Login) -> Option<Vec<Then>> {
        match news {
            Login::Proven => return Some(vec![Then::Close, Then::Say("starting …".into())]),
            Login::CodeWanted => {
                (self.at, self.said) = (At::Code, (Tone::Plain, "the code of his telephone, or one from his paper".into()))
            }
            Login::Wrong(why) => self.said = (Tone::Bad, why.clone()),
            Login::SecondWanted { order, why } => *self = Seconded::new((**order).clone(), why.clone()),
            _ => return None,
        }
        self.waiting = false;
        Some(Vec::new())
    }

    fn window(&self, known: &Known) -> Window {
        let width = text::wide(known, 110);
        let lines = u16::try_from(self.lines(width.saturating_sub(4)).len()).unwrap_or(u16::MAX);
        let height = lines.saturating_add(2 + BELOW).min(text::most_rows(known));
        Window { title: format!("a second person: {}", self.order.plan().title), width, height }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        let rows = on.height().saturating_sub(BELOW);
        let room = on.width().saturating_sub(2);
        text::draw_lines(&mut on.rows(0, rows), &self.lines(room), self.top);
        on.rule(rows);
        let wanted = format!("{} wants this; who else says yes?", self.order.by);
        on.put(1, rows + 1, room, &wanted, Tone::Warn);
        let (x, left) = (1 + NAMES, room.saturating_sub(NAMES));
        let [name, passphrase, code] = [rows + 2, rows + 3, rows + 4];
        on.put(1, name, NAMES, "operator", Tone::Quiet);
        self.name.draw(on, x, name, left, self.at == At::Name);
        on.put(1, passphrase, NAMES, "passphrase", Tone::Quiet);
        match self.at {
            At::Name => {}
            At::Passphrase => self.passphrase.draw(on, x, passphrase),
            At::Code => {
                on.put(x, passphrase, left, "right", Tone::Good);
                on.put(1, code, NAMES, "code", Tone::Quiet);
                self.code.draw(on, x, code, left, true);
            }
        }
        on.put(1, rows + 5, room, &self.said.1, self.said.0);
    }
}
