//! The plan dialog: exactly what would be done, before anything changes. The only place on the screen that
//! makes an [`Approved`].

use super::text::{self, Line};
use crate::domain::plan::{Act, Approved, Plan, Risk};
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::input::Input;
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::theme::Tone;

/// Asks whether a plan may be carried out.
pub struct Confirm {
    plan: Plan,
    details: bool,
    top: usize,
    /// The name that must be typed, where something would be lost.
    typed: Option<Input>,
    said: &'static str,
}

impl Confirm {
    /// The dialog of a plan.
    pub fn new(plan: Plan) -> Confirm {
        let typed = matches!(plan.risk, Risk::Destroys { .. }).then(Input::default);
        Confirm { plan, details: false, top: 0, typed, said: "" }
    }

    fn approve(&mut self, known: &Known) -> Vec<Then> {
        let by = match known.operator() {
            Ok(by) => by,
            Err((why, hint)) => {
                return vec![Then::Close, Then::Open(Box::new(text::problem(&format!("nothing can be changed now: {why}"), &hint)))];
            }
        };
        let typed = self.typed.as_ref().map(Input::text);
        match Approved::new(self.plan.clone(), by, typed) {
            Some(approved) => vec![Then::Close, Then::Do(Effect::Start(approved)), Then::Say("starting …".into())],
            None => {
                self.said = "that is not the name";
                Vec::new()
            }
        }
    }

    fn prompt(&self, on: &mut Canvas<'_>, y: u16) {
        let x = match &self.plan.risk {
            Risk::Low => {
                on.line(1, y, &[("y or Enter", Tone::Key), (" do it   ", Tone::Plain), ("n or Esc", Tone::Key), (" no", Tone::Plain)])
            }
            Risk::Interrupts => on.line(
                1,
                y,
                &[
                    ("this interrupts something: ", Tone::Warn),
                    ("y", Tone::Key),
                    (" do it   ", Tone::Plain),
                    ("n or Esc", Tone::Key),
                    (" no", Tone::Plain),
                ],
            ),
            Risk::Destroys { name } => {
                let name = crate::domain::clean::clean(name);
                let used = on.line(1, y, &[("type ", Tone::Bad), (&name, Tone::Strong), (" to go on: ", Tone::Bad)]);
                if let Some(input) = &self.typed {
                    input.draw(on, 1 + used, y, on.width().saturating_sub(used + 3), true);
                }
                0
            }
        };
        if x > 0 && !self.said.is_empty() {
            on.put(x + 4, y, on.width().saturating_sub(x + 5), self.said, Tone::Warn);
        }
    }
}

/// A line of a difference in its colour.
fn difference(line: String) -> Line {
    let tone = match line.as_bytes().first() {
        Some(b'+') => Tone::Good,
        Some(b'-') => Tone::Bad,
        _ => Tone::Quiet,
    };
    (tone, format!("  {line}"))
}

/// What a plan does, line by line; with `details` also checks, time limits and the host.
pub(super) fn lines(plan: &Plan, details: bool) -> Vec<Line> {
    let mut out: Vec<Line> = Vec::new();
    for (n, step) in plan.steps.iter().enumerate() {
        out.push((Tone::Strong, format!("{} {}", n + 1, step.title)));
        match &step.act {
            Act::Run { cmd, .. } => {
                out.push((Tone::Plain, format!("  $ {}", cmd.shown())));
                if details {
                    let limit = cmd.limit_s.map_or("no time limit; it is watched".into(), |s| format!("ends after {s} s at most"));
                    out.push((Tone::Quiet, format!("  {limit}")));
                }
            }
            Act::Wait { within_s } => out.push((Tone::Plain, format!("  wait, at most {within_s} s"))),
            Act::Put(change) => out.extend(change.lines().into_iter().map(difference)),
            Act::Lay(lay) => out.extend(lay.lines().into_iter().map(difference)),
            Act::Turn(_) => {}
            Act::Carry { paths, .. } => out.extend(paths.iter().map(|p| (Tone::Plain, format!("  {p}")))),
        }
        if details {
            out.push((Tone::Quiet, format!("  then: {}", step.check.words())));
        }
        match &step.undo {
            Some(undo) => out.push((Tone::Quiet, format!("  undo: {}", undo.shown()))),
            None if details => out.push((Tone::Quiet, "  undo: none needed or none possible".into())),
            None => {}
        }
    }
    if !plan.facts.is_empty() || !plan.notes.is_empty() {
        out.push((Tone::Plain, String::new()));
    }
    out.extend(plan.facts.iter().map(|f| (Tone::Plain, f.clone())));
    out.extend(plan.notes.iter().map(|n| (Tone::Warn, format!("! {n}"))));
    if details {
        out.push((Tone::Quiet, format!("on host {}, about guest {}", plan.host, plan.guest)));
    }
    out
}

impl Pane for Confirm {
    fn context(&self) -> Context {
        Context::Plan
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        match (action, &self.plan.risk) {
            (Action::Yes, Risk::Low | Risk::Interrupts) | (Action::Open, Risk::Low | Risk::Destroys { .. }) => Some(self.approve(known)),
            (Action::Open, Risk::Interrupts) => {
                self.said = "Enter is not enough: y";
                Some(Vec::new())
            }
            (Action::Yes, Risk::Destroys { .. }) => Some(Vec::new()),
            (Action::No, _) => Some(vec![Then::Close]),
            (Action::Details, _) => {
                self.details = !self.details;
                Some(Vec::new())
            }
            _ => {
                let window = self.window(known);
                let lines = text::wrapped(&lines(&self.plan, self.details), window.width.saturating_sub(4)).len();
                text::scroll(&mut self.top, action, lines, window.height.saturating_sub(4).into()).then(Vec::new)
            }
        }
    }

    fn is_typing(&self) -> bool {
        self.typed.is_some()
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        self.typed.as_mut().map(|i| i as &mut dyn Typed)
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        self.said = "";
        Vec::new()
    }

    fn window(&self, known: &Known) -> Window {
        let width = text::wide(known, 110);
        let lines = text::wrapped(&lines(&self.plan, self.details), width.saturating_sub(4)).len() as u16;
        Window { title: self.plan.title.clone(), width, height: (lines + 4).min(text::most_rows(known)) }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        let rows = on.height().saturating_sub(2);
        let lines = text::wrapped(&lines(&self.plan, self.details), on.width().saturating_sub(2));
        text::draw_lines(&mut on.rows(0, rows), &lines, self.top);
        if on.height() > 1 {
            on.rule(rows);
        }
        if self.typed.is_some() && !self.said.is_empty() {
            on.put(2, rows, on.width().saturating_sub(4), &format!(" {} ", self.said), Tone::Bad);
        }
        self.prompt(on, on.height() - 1);
    }
}
