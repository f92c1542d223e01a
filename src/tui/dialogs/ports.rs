//! Two small forms about ports: block a pair with a reason, reserve one for a name. Both are carried out at once.

use super::field::{Field, Fields};
use super::text;
use crate::domain::ports::{Of, PortWish, Reason, ServiceName};
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::theme::Tone;

/// The form.
pub struct Ask {
    title: &'static str,
    hint: &'static str,
    /// One: a name to reserve for. Two: a port to block, and why.
    fields: Fields,
}

impl Ask {
    /// A port to block and the reason; the port may stand there already.
    pub fn block(port: Option<u16>) -> Ask {
        let number = port.map_or(String::new(), |p| p.to_string());
        Ask {
            title: "block a pair of ports",
            hint: "Nobody gets the pair while it is blocked. Either of both numbers will do.",
            fields: Fields { at: usize::from(port.is_some()), all: vec![Field::with("port", number), Field::new("reason")] },
        }
    }

    /// A name to reserve a pair for.
    pub fn reserve() -> Ask {
        Ask {
            title: "reserve a pair of ports",
            hint: "The pair kept for it, the one it had just now, else the lowest that is free.",
            fields: Fields::new(vec![Field::new("name")]),
        }
    }

    fn wish(&mut self) -> Option<PortWish> {
        match &mut self.fields.all[..] {
            [port, reason] => {
                let number = port.read(|text| match text.parse()? {
                    Of::Port(number) => Ok(number),
                    Of::Name(_) => Err("a number is asked for".to_owned()),
                });
                let reason = reason.read(|text| text.parse::<Reason>());
                if number.is_none() || reason.is_none() {
                    self.fields.at = usize::from(number.is_some());
                }
                Some(PortWish::Block(number?, reason?))
            }
            [name] => name.read(|text| text.parse::<ServiceName>()).map(PortWish::Reserve),
            _ => None,
        }
    }
}

impl Pane for Ask {
    fn context(&self) -> Context {
        Context::Form
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Open => {
                let Some(wish) = self.wish() else { return Some(Vec::new()) };
                Some(match known.operator() {
                    Ok(_) => vec![Then::Close, Then::Do(Effect::KeepPorts(wish)), Then::Say("saving …".into())],
                    Err((why, hint)) => {
                        let problem = text::problem(&format!("nothing can be changed now: {why}"), &hint);
                        vec![Then::Close, Then::Open(Box::new(problem))]
                    }
                })
            }
            Action::Toggle | Action::PageUp | Action::PageDown => Some(Vec::new()),
            action => self.fields.goes(action).then(Vec::new),
        }
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        match action {
            Action::Toggle => false,
            Action::NextPart => self.fields.all.len() > 1,
            _ => true,
        }
    }

    fn is_typing(&self) -> bool {
        true
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        self.fields.input()
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        self.fields.typed();
        Vec::new()
    }

    fn window(&self, known: &Known) -> Window {
        let width = text::wide(known, 76);
        let fields = self.fields.rows(width.saturating_sub(2));
        let hint = text::wrapped(&[(Tone::Quiet, self.hint.into())], width.saturating_sub(4)).len() as u16;
        Window { title: self.title.into(), width, height: (fields + hint + 5).min(text::most_rows(known)) }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        let (room, end) = (on.width().saturating_sub(2), on.height().saturating_sub(1));
        let y = self.fields.draw(&mut on.rows(0, end));
        for (y, (tone, line)) in (y + 1..end).zip(&text::wrapped(&[(Tone::Quiet, self.hint.into())], room)) {
            on.put(1, y, room, line, *tone);
        }
        on.line(1, end, &[("Enter", Tone::Key), (" do it   ", Tone::Plain), ("Esc", Tone::Key), (" no", Tone::Plain)]);
    }
}
