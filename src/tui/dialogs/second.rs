//! Setting up a second factor: a picture for a telephone, a first code, and then the codes for the day it is lost.
//!
//! ```text
//! ┌ second factor ─────────────────────────────────────────────────────────────┐
//! │█████████████████████████████████████ Take the picture with an               │
//! │██ ▄▄▄▄▄ █▀ █▀▀██▀▄▀▄ █▄█ ▄▄▄▄▄ ██    authenticator, or type:                │
//! │██ █   █ █▀ ▄ █▀ ▀▄▀▄█ ██ █   █ ██    ABCD EFGH …                            │
//! │                                      first code: ▏                          │
//! ```

use crate::domain::fact::Login;
use crate::domain::secret::Shown;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::input::Input;
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::theme::Tone;
use crate::tui::words;

/// The narrowest column for the words beside the picture.
const WORDS: u16 = 30;

/// The picture and the first code.
pub struct SetUp {
    picture: Shown,
    text: Shown,
    code: Input,
    said: (Tone, String),
    waiting: bool,
}

impl SetUp {
    /// For this secret.
    pub fn new(picture: Shown, text: Shown) -> SetUp {
        SetUp { picture, text, code: Input::default(), said: (Tone::Plain, String::new()), waiting: false }
    }

    fn picture_size(&self) -> (u16, u16) {
        let rows = self.picture.lines();
        (rows.first().map_or(0, |r| words::width(r)), u16::try_from(rows.len()).unwrap_or(u16::MAX))
    }
}

impl Pane for SetUp {
    fn context(&self) -> Context {
        Context::Proof
    }

    fn act(&mut self, action: Action, _known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Open if self.waiting || self.code.text().is_empty() => Some(Vec::new()),
            Action::Open => {
                self.waiting = true;
                Some(vec![Then::Do(Effect::ConfirmSecond(std::mem::take(&mut self.code).into_secret()))])
            }
            Action::Back => Some(vec![Then::Close, Then::Say("the second factor stays off".into())]),
            _ => None,
        }
    }

    fn is_typing(&self) -> bool {
        true
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        (!self.waiting).then_some(&mut self.code)
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        self.said.1.clear();
        Vec::new()
    }

    fn login(&mut self, news: &Login) -> Option<Vec<Then>> {
        match news {
            Login::Codes(codes) => Some(vec![Then::Close, Then::Open(Box::new(Codes::new(codes.clone())))]),
            Login::Wrong(why) => {
                self.waiting = false;
                self.said = (Tone::Bad, why.clone());
                Some(Vec::new())
            }
            _ => None,
        }
    }

    fn window(&self, known: &Known) -> Window {
        let (wide, high) = self.picture_size();
        let most = known.size.1.saturating_sub(2);
        Window { title: "second factor".into(), width: (wide + WORDS + 8).min(known.size.0), height: (high + 2).max(12).min(most) }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        let (wide, high) = self.picture_size();
        // Half a picture is none.
        let fits = !on.is_ascii() && on.height() >= high && on.width() >= wide + WORDS;
        let x = if fits { wide + 1 } else { 1 };
        if fits {
            for (y, row) in (0u16..).zip(self.picture.lines()) {
                on.put(0, y, wide, row, Tone::Picture);
            }
        }
        let room = on.width().saturating_sub(x + 1);
        let mut y = 0;
        let mut say = |on: &mut Canvas<'_>, text: &str, tone| {
            on.put(x, y, room, text, tone);
            y += 1;
        };
        let how = if fits { "Take the picture with an" } else { "No picture fits here." };
        say(on, how, Tone::Plain);
        say(on, if fits { "authenticator, or type:" } else { "Type into an authenticator:" }, Tone::Plain);
        for text in self.text.lines() {
            for half in text.as_bytes().chunks(20) {
                say(on, String::from_utf8_lossy(half).trim(), Tone::Strong);
            }
        }
        say(on, "", Tone::Plain);
        say(on, "first code", Tone::Quiet);
        self.code.draw(on, x + 12, y - 1, room.saturating_sub(12), true);
        let mut say = |on: &mut Canvas<'_>, text: &str, tone| {
            on.put(x, y, room, text, tone);
            y += 1;
        };
        say(on, "It is on after that.", Tone::Quiet);
        say(on, &self.said.1, self.said.0);
        for line in ["It keeps a seen passphrase", "out of this program; it does", "not encrypt a stolen file."] {
            say(on, line, Tone::Quiet);
        }
    }
}

/// The codes for a lost telephone, once.
pub struct Codes {
    codes: Shown,
}

impl Codes {
    /// These.
    pub fn new(codes: Shown) -> Codes {
        Codes { codes }
    }
}

impl Pane for Codes {
    fn context(&self) -> Context {
        Context::Text
    }

    fn act(&mut self, action: Action, _known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Back => Some(vec![Then::Close, Then::Say("the second factor is on".into())]),
            // Enter was meant for the dialog before.
            Action::Open => Some(Vec::new()),
            _ => None,
        }
    }

    fn window(&self, known: &Known) -> Window {
        Window { title: "the second factor is on".into(), width: known.size.0.min(60), height: 12 }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        let room = on.width().saturating_sub(2);
        on.put(1, 0, room, "For the day the telephone is lost; each is good once.", Tone::Plain);
        on.put(1, 1, room, "Write them down. They are shown only now.", Tone::Warn);
        for (y, pair) in (3u16..).zip(self.codes.lines().chunks(2)) {
            on.put(3, y, room, &pair.join("   "), Tone::Strong);
        }
        on.line(1, 9, &[("Esc", Tone::Key), (" I have written them down", Tone::Plain)]);
    }
}
