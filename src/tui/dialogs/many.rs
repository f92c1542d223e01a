//! Backups of several guests before they begin: one line each, and who is left out with why. Each becomes a job of its own.

use super::text::{self, Line};
use crate::domain::backup::{self, BackupWish, Many};
use crate::domain::guest::Vmid;
use crate::domain::plan::{Act, Approved, Plan, Risk};
use crate::domain::second;
use crate::domain::world::World;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::pane::{Known, Pane, Then, Window};
use crate::tui::theme::Tone;
use crate::tui::words;

/// Asks whether they may be carried out.
pub struct Backups {
    many: Many,
    top: usize,
    details: bool,
    said: String,
}

impl Backups {
    /// Of these guests, as the settings say.
    pub fn new(world: &World, guests: &[Vmid]) -> Option<Backups> {
        let like = BackupWish::of(*guests.first()?);
        let many = backup::many(world, guests.iter().copied(), &like);
        Some(Backups { many, top: 0, details: false, said: String::new() })
    }

    fn interrupts(&self) -> bool {
        self.many.plans.iter().any(|p| p.risk != Risk::Low)
    }

    fn go(&mut self, known: &Known) -> Vec<Then> {
        let by = match known.operator() {
            Ok(by) => by,
            Err((why, hint)) => {
                return vec![Then::Close, Then::Open(Box::new(text::problem(&format!("nothing can be changed now: {why}"), &hint)))];
            }
        };
        let orders: Vec<Approved> = self.many.plans.iter().filter_map(|p| Approved::new(p.clone(), by, None)).collect();
        let settings = known.world.chosen();
        let setting = || settings.as_ref().map_err(Clone::clone).and_then(|s| s.word(second::SETTING));
        if orders.iter().any(|order| second::is_missing(order, setting(), 2)) {
            self.said = "each needs the yes of a second operator: back them up one by one".into();
            return Vec::new();
        }
        let said = format!("starting {} …", words::many(orders.len(), "backup"));
        let starts = orders.into_iter().map(|order| Then::Do(Effect::Start(order)));
        std::iter::once(Then::Close).chain(starts).chain([Then::Say(said)]).collect()
    }

    fn lines(&self) -> Vec<Line> {
        let mut out = Vec::new();
        for plan in &self.many.plans {
            out.push((Tone::Strong, plan.title.clone()));
            if self.details {
                out.extend(commands(plan).map(|cmd| (Tone::Plain, format!("  $ {cmd}"))));
                out.extend(plan.facts.iter().map(|f| (Tone::Quiet, format!("  {f}"))));
            }
            out.extend(plan.notes.iter().map(|n| (Tone::Warn, format!("  ! {n}"))));
        }
        for refused in &self.many.refused {
            out.push((Tone::Bad, format!("not done: {}", refused.why)));
            out.push((Tone::Quiet, format!("  {}", refused.hint)));
        }
        if self.many.plans.len() > 1 {
            out.push((Tone::Plain, String::new()));
            out.push((Tone::Plain, "One after the other, each as a job of its own; J shows them and changes their order.".into()));
        }
        out
    }
}

fn commands(plan: &Plan) -> impl Iterator<Item = String> {
    plan.steps.iter().filter_map(|s| if let Act::Run { cmd, .. } = &s.act { Some(cmd.shown()) } else { None })
}

impl Pane for Backups {
    fn context(&self) -> Context {
        Context::Plan
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        let none = self.many.plans.is_empty();
        match action {
            Action::No => Some(vec![Then::Close]),
            Action::Yes | Action::Open if none => Some(vec![Then::Close]),
            Action::Open if self.interrupts() => {
                self.said = "Enter is not enough: y".into();
                Some(Vec::new())
            }
            Action::Yes | Action::Open => Some(self.go(known)),
            Action::Details => {
                self.details = !self.details;
                Some(Vec::new())
            }
            _ => {
                let window = self.window(known);
                let lines = text::wrapped(&self.lines(), window.width.saturating_sub(4)).len();
                text::scroll(&mut self.top, action, lines, window.height.saturating_sub(4).into()).then(Vec::new)
            }
        }
    }

    fn window(&self, known: &Known) -> Window {
        let width = text::wide(known, 110);
        let lines = text::wrapped(&self.lines(), width.saturating_sub(4)).len() as u16;
        let title = format!("back up {}", words::many(self.many.plans.len(), "guest"));
        Window { title, width, height: (lines + 4).min(text::most_rows(known)) }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        let (rows, end) = (on.height().saturating_sub(2), on.height().saturating_sub(1));
        let lines = text::wrapped(&self.lines(), on.width().saturating_sub(2));
        text::draw_lines(&mut on.rows(0, rows), &lines, self.top);
        if on.height() > 1 {
            on.rule(rows);
        }
        let used = if self.many.plans.is_empty() {
            on.line(1, end, &[("none of them can be backed up now: ", Tone::Bad), ("Enter", Tone::Key), (" back", Tone::Plain)])
        } else if self.interrupts() {
            on.line(
                1,
                end,
                &[
                    ("guests are stopped for it: ", Tone::Warn),
                    ("y", Tone::Key),
                    (" do it   ", Tone::Plain),
                    ("n or Esc", Tone::Key),
                    (" no", Tone::Plain),
                ],
            )
        } else {
            on.line(1, end, &[("y or Enter", Tone::Key), (" do it   ", Tone::Plain), ("n or Esc", Tone::Key), (" no", Tone::Plain)])
        };
        if !self.said.is_empty() {
            on.put(used + 4, end, on.width().saturating_sub(used + 5), &self.said, Tone::Warn);
        }
    }
}
