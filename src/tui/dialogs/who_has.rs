//! Who has a port now, what listens there, and who had it.

use super::field::Field;
use super::text::{self, Line, field};
use crate::domain::clean::clean;
use crate::domain::ports::{Asked, Of, Ranges};
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::theme::Tone;

/// The dialog.
pub struct WhoHas {
    port: Field,
    /// Which port was asked for last.
    asked: Option<u16>,
    answer: Option<Asked>,
    top: usize,
}

impl WhoHas {
    /// With a port that is asked for already.
    pub fn new(port: Option<u16>) -> WhoHas {
        let number = port.map_or(String::new(), |p| p.to_string());
        WhoHas { port: Field::with("port", number), asked: port, answer: None, top: 0 }
    }

    fn ask(&mut self) -> Vec<Then> {
        let port = self.port.read(|text| match text.parse()? {
            Of::Port(number) => Ok(number),
            Of::Name(_) => Err("a number is asked for".to_owned()),
        });
        (self.asked, self.answer, self.top) = (port, None, 0);
        port.map(|p| Then::Do(Effect::AskPort(p))).into_iter().collect()
    }

    /// Who has it by what is remembered.
    fn now(port: u16, known: &Known) -> Vec<Line> {
        let map = match &known.world.ports.known {
            Ok(map) => map,
            Err(why) => return vec![field("now", Err(why))],
        };
        let ranges = known.world.chosen().and_then(|s| Ranges::of(&s));
        let time = |at: crate::domain::stamp::Stamp| at.minute(known.offset_s);
        let Some(held) = map.at(port) else {
            return vec![match (map.cooling_at(port, known.now), ranges) {
                (Some(past), _) => field("now", Ok(format!("{} cools down until {}", past.was.pair, time(past.free)))),
                (None, Ok(ranges)) if ranges.pair_of(port).is_none() => field("now", Ok(format!("in none of the ranges {ranges}"))),
                (None, Ok(_)) => field("now", Ok("nobody has it here".into())),
                (None, Err(why)) => field("now", Err(&why)),
            }];
        };
        let mut out = vec![field("now", Ok(format!("{} {}, since {} by {}", held.pair, held.what, time(held.at), clean(&held.by))))];
        let service = held.what.name().and_then(|name| map.service(name));
        out.extend(service.map(|s| field("published", Ok(format!("{} ({})", s.spec.to, s.spec.carry.word())))));
        out
    }

    fn lines(&self, known: &Known) -> Vec<Line> {
        let Some(port) = self.asked else { return vec![(Tone::Quiet, "Enter asks.".into())] };
        let mut out = WhoHas::now(port, known);
        let Some(answer) = self.answer.as_ref().filter(|a| a.port == port) else {
            out.push((Tone::Quiet, "what listens there is being asked …".into()));
            return out;
        };
        out.extend(answer.listens.iter().map(|l| field("listens", Ok(l.words().into()))));
        if answer.listens.is_empty() && answer.gaps.is_empty() {
            out.push(field("listens", Ok("nothing, neither on the host nor in the appliance".into())));
        }
        out.extend(answer.gaps.iter().map(|g| (Tone::Unknown, format!("? {}: {}", g.what, g.why))));
        out.push((Tone::Plain, String::new()));
        let time = |at: crate::domain::stamp::Stamp| at.minute(known.offset_s);
        out.extend(answer.past.iter().map(|p| {
            let was = &p.was;
            let words = format!("{} – {}  {}, by {}, ended by {}", time(was.at), time(p.until), was.what, clean(&was.by), clean(&p.by));
            (Tone::Plain, words)
        }));
        if answer.past.is_empty() {
            out.push((Tone::Quiet, "nobody had it before, as far as is remembered".into()));
        }
        out
    }
}

impl Pane for WhoHas {
    fn context(&self) -> Context {
        Context::Form
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Open => return Some(self.ask()),
            Action::NextPart | Action::PrevPart | Action::Toggle => {}
            _ => {
                let window = self.window(known);
                let lines = text::wrapped(&self.lines(known), window.width.saturating_sub(4)).len();
                return text::scroll(&mut self.top, action, lines, window.height.saturating_sub(5).into()).then(Vec::new);
            }
        }
        Some(Vec::new())
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        !matches!(action, Action::Toggle | Action::NextPart)
    }

    fn is_typing(&self) -> bool {
        true
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        Some(&mut self.port.input)
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        self.port.said.clear();
        (self.asked, self.answer, self.top) = (None, None, 0);
        Vec::new()
    }

    fn port(&mut self, asked: &Asked) {
        if self.asked == Some(asked.port) {
            self.answer = Some(asked.clone());
        }
    }

    fn window(&self, known: &Known) -> Window {
        let width = text::wide(known, 90);
        let lines = text::wrapped(&self.lines(known), width.saturating_sub(4)).len() as u16;
        Window { title: "who has a port".into(), width, height: (lines + 5).clamp(9, text::most_rows(known).max(9)) }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let y = self.port.draw(on, 0, true) + 1;
        let end = on.height().saturating_sub(1);
        let lines = text::wrapped(&self.lines(known), on.width().saturating_sub(2));
        let rows = end.saturating_sub(y);
        text::draw_lines(&mut on.rows(y, rows), &lines, self.top);
        on.line(1, end, &[("Enter", Tone::Key), (" ask   ", Tone::Plain), ("Esc", Tone::Key), (" close", Tone::Plain)]);
    }
}
