//! Two dialogs of the Settings pane: all changes with what they would mean, before they are saved; and what a setting
//! held before.

use super::text::{self, Line};
use crate::domain::settings::{self, Key, Past, Settings, Staged, Weight};
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::list::{List, marker};
use crate::tui::pane::{Known, Pane, Then, Window};
use crate::tui::theme::Tone;

/// Asks whether changes are to be saved.
pub struct Offer {
    lines: Vec<Line>,
    count: usize,
    /// The settings would not go together.
    barred: bool,
    top: usize,
}

impl Offer {
    /// Of these changes, upon what holds now.
    pub fn new<'s>(held: &Settings, staged: impl Iterator<Item = &'s Staged>, known: &Known) -> Offer {
        let staged: Vec<&Staged> = staged.collect();
        let changes = || staged.iter().map(|s| (&s.key, &s.change));
        let mut lines: Vec<Line> = Vec::new();
        for s in &staged {
            lines.push((Tone::Strong, s.key.to_string()));
            lines.push((Tone::Plain, format!("  {} → {}", held.shown(&s.key), s.change.shown(s.key.definition()))));
            if let Some(row) = held.row(&s.key).filter(|r| r.version != s.seen) {
                let when = row.at.minute(known.offset_s);
                lines.push((Tone::Warn, format!("  ! {} changed it at {when}, after you began; yours takes its place", row.by)));
            }
        }
        lines.push((Tone::Plain, String::new()));
        let then = held.with(changes());
        let mut troubles = settings::check(&then, &settings::fixed_addresses(&known.world));
        troubles.retain(|t| t.keys.iter().any(|k| staged.iter().any(|s| s.key == *k)));
        lines.extend(troubles.iter().map(|t| (Tone::Bad, format!("✗ {}", t.why))));
        let untried = settings::untried(held, staged.iter().map(|s| (&s.key, &s.change)));
        if let Some(key) = &untried {
            lines.push((Tone::Bad, format!("✗ {key}: a credential is tried before it is kept. P tries it and saves it then.")));
        }
        let mut impacts = settings::impact(held, changes(), &known.world);
        impacts.sort_by_key(|i| match i.weight {
            Weight::Caution => 0,
            Weight::Unknown => 1,
            Weight::Note => 2,
        });
        lines.extend(impacts.into_iter().map(|i| match i.weight {
            Weight::Caution => (Tone::Warn, format!("! {}", i.what)),
            Weight::Unknown => (Tone::Unknown, format!("? {}", i.what)),
            Weight::Note => (Tone::Quiet, i.what),
        }));
        Offer { lines, count: staged.len(), barred: !troubles.is_empty() || untried.is_some(), top: 0 }
    }
}

impl Pane for Offer {
    fn context(&self) -> Context {
        Context::Plan
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Yes | Action::Open if self.barred => {
                Some(vec![Then::Say("it cannot be saved like this; Esc, and change what is wrong".into())])
            }
            Action::Yes | Action::Open => Some(vec![Then::Close, Then::Act(Action::SaveNow)]),
            Action::No => Some(vec![Then::Close]),
            Action::Details => Some(Vec::new()),
            _ => {
                let window = self.window(known);
                let lines = text::wrapped(&self.lines, window.width.saturating_sub(4)).len();
                text::scroll(&mut self.top, action, lines, window.height.saturating_sub(4).into()).then(Vec::new)
            }
        }
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        action != Action::Details && (action != Action::Yes || !self.barred)
    }

    fn window(&self, known: &Known) -> Window {
        let width = text::wide(known, 100);
        let lines = text::wrapped(&self.lines, width.saturating_sub(4)).len() as u16;
        let title = format!("save {}", crate::tui::words::many(self.count, "setting"));
        Window { title, width, height: (lines + 4).min(text::most_rows(known)) }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        let rows = on.height().saturating_sub(2);
        let lines = text::wrapped(&self.lines, on.width().saturating_sub(2));
        text::draw_lines(&mut on.rows(0, rows), &lines, self.top);
        on.rule(rows);
        let y = on.height().saturating_sub(1);
        if self.barred {
            on.line(1, y, &[("cannot be saved like this   ", Tone::Bad), ("Esc", Tone::Key), (" back to the edits", Tone::Plain)]);
        } else {
            on.line(1, y, &[("y or Enter", Tone::Key), (" save   ", Tone::Plain), ("n or Esc", Tone::Key), (" not yet", Tone::Plain)]);
        }
    }
}

/// What a setting held before.
pub struct History {
    key: Key,
    past: Vec<Past>,
    list: List,
}

impl History {
    /// Of this setting, newest first.
    pub fn new(key: Key, past: Vec<Past>) -> History {
        History { key, past, list: List::default() }
    }

    fn back(&self) -> Vec<Then> {
        match self.past.get(self.list.at).map(Past::back) {
            Some(Ok(change)) => vec![Then::Close, Then::Stage(self.key.clone(), change)],
            Some(Err(why)) => vec![Then::Say(why)],
            None => vec![Then::Close],
        }
    }
}

impl Pane for History {
    fn context(&self) -> Context {
        Context::Choice
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        let rows = usize::from(self.window(known).height.saturating_sub(4));
        match action {
            Action::Open => Some(self.back()),
            Action::Toggle | Action::Pick(_) => Some(Vec::new()),
            _ => self.list.act(action, self.past.len(), rows).then(Vec::new),
        }
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        action != Action::Toggle && (action != Action::Open || !self.past.is_empty())
    }

    fn window(&self, known: &Known) -> Window {
        let rows = self.past.len().max(1) as u16;
        Window { title: format!("history of {}", self.key), width: text::wide(known, 100), height: (rows + 4).min(text::most_rows(known)) }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let (wide, rows) = (on.width(), usize::from(on.height().saturating_sub(2)));
        if self.past.is_empty() {
            on.put(1, 0, wide.saturating_sub(2), "It was never changed; its default holds.", Tone::Plain);
        }
        let top = self.list.top(self.past.len(), rows);
        for (y, (nth, past)) in (0..).zip(self.past.iter().enumerate().skip(top).take(rows)) {
            marker(on, y, nth == self.list.at);
            let when = past.at.minute(known.offset_s);
            // On a narrow screen the day and the minute say more than the year.
            let when = if wide < 60 { when.get(5..).unwrap_or_default() } else { &when };
            let mut x = 2 + on.put(2, y, 5, &format!("{:<4}", past.version), Tone::Quiet);
            x += on.put(x, y, 17, when, Tone::Plain) + 2;
            x += on.put(x, y, 14, &past.by, Tone::Plain) + 2;
            let words = past.words();
            let (text, tone) = (format!("{} → {}", words.0, words.1), if past.now { Tone::Strong } else { Tone::Plain });
            on.put(x, y, wide.saturating_sub(x + 1), &text, tone);
        }
        let y = on.height().saturating_sub(2);
        on.rule(y);
        on.line(1, y + 1, &[("Enter", Tone::Key), (" bring it back   ", Tone::Plain), ("Esc", Tone::Key), (" close", Tone::Plain)]);
    }
}
