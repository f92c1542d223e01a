//! A log line opened: where it leads, a key each, and what it is made of.
//!
//! ```text
//! ▸ 1  guest 104 nextcloud      running; 10.20.0.104/24
//!   2  task vzstop 104          by root@pam, OK, 3 min before this line
//! ─ fields ─────────────────────────────────────────────
//!   status                      502
//!   request.host                nextcloud.prox.local
//! ```

use crate::domain::record::{self, Lead, Record, Target};
use crate::domain::when::Here;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::dialogs::text;
use crate::tui::effect::Effect;
use crate::tui::list::{List, marker};
use crate::tui::pane::{Known, Pane, Then, Window};
use crate::tui::theme::Tone;
use crate::tui::words;

/// A log line, opened.
pub struct Opened {
    title: String,
    record: Record,
    leads: Vec<Lead>,
    list: List,
}

/// Rows below the list, for the whole of the selected value.
const WHOLE: u16 = 4;

impl Opened {
    /// A line of the source that is called `tag`.
    pub fn new(tag: &str, line: &[u8], known: &Known) -> Opened {
        let mut record = record::parse(line, Here { now: known.now, offset_s: known.offset_s });
        let leads = record::leads(&record, &known.world);
        let at = record.at.map_or_else(|| "no time".to_owned(), |at| at.second(known.offset_s));
        let title = format!("{tag} · {} · {at} · {}", record.format, record.level.word());
        record.fields.push(("line".to_owned(), String::from_utf8_lossy(line).into_owned()));
        Opened { title, record, leads, list: List::default() }
    }

    fn len(&self) -> usize {
        self.leads.len() + self.record.fields.len()
    }

    /// The selected field, where no lead is selected.
    fn field(&self) -> Option<&(String, String)> {
        self.record.fields.get(self.list.at.checked_sub(self.leads.len())?)
    }

    fn go(&self, at: usize) -> Vec<Then> {
        if let Some(lead) = self.leads.get(at) {
            return match &lead.target {
                Target::Guest(id) => vec![Then::Close, Then::Guest(*id)],
                Target::Log { source, filter } => vec![Then::Close, Then::LogsOf(Some(source.clone()), filter.clone())],
                Target::Nowhere => vec![Then::Say(lead.why.clone())],
            };
        }
        match self.record.fields.get(at - self.leads.len()) {
            // A value is looked for as it stands: it is no expression, and a filter's words are parted by blanks.
            Some((name, value)) if name != "line" && !value.is_empty() => {
                let exact = regex::escape(value).split_whitespace().collect::<Vec<_>>().join("\\s+");
                vec![Then::Close, Then::LogsOf(None, exact)]
            }
            _ => vec![Then::Say("y copies the line".into())],
        }
    }

    fn rows(&self, known: &Known) -> usize {
        usize::from(self.window(known).height.saturating_sub(3 + WHOLE + u16::from(!self.leads.is_empty())))
    }
}

impl Pane for Opened {
    fn context(&self) -> Context {
        Context::Record
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Open => Some(self.go(self.list.at)),
            Action::Pick(nth) if usize::from(nth) < self.leads.len() => Some(self.go(nth.into())),
            Action::Pick(_) => Some(Vec::new()),
            Action::Copy => {
                let text = match (self.leads.get(self.list.at), self.field()) {
                    (Some(lead), _) => lead.what.clone(),
                    (None, Some((_, value))) => value.clone(),
                    (None, None) => return Some(Vec::new()),
                };
                Some(vec![Then::Do(Effect::Copy(text)), Then::Say("copied".into())])
            }
            _ => self.list.act(action, self.len(), self.rows(known)).then(Vec::new),
        }
    }

    fn window(&self, known: &Known) -> Window {
        let rows = self.len() as u16 + u16::from(!self.leads.is_empty());
        Window { title: self.title.clone(), width: text::over_lines(known, 110), height: (rows + 3 + WHOLE).min(text::most_rows(known)) }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let wide = on.width();
        let rows = self.rows(known);
        let top = self.list.top(self.len(), rows);
        let name_room = if wide < 60 { 16 } else { 28 };
        let mut y = 0;
        for at in (top..self.len()).take(rows) {
            if at == self.leads.len() && !self.leads.is_empty() {
                on.rule(y);
                y += 1;
            }
            marker(on, y, at == self.list.at);
            let x = 2 + name_room + 1;
            if let Some(lead) = self.leads.get(at) {
                let key = if at < 9 { format!("{}", at + 1) } else { " ".into() };
                on.put(2, y, 1, &key, Tone::Key);
                let tone = if lead.target == Target::Nowhere { Tone::Unknown } else { Tone::Strong };
                on.put(4, y, name_room - 2, &lead.what, tone);
                on.put(x, y, wide.saturating_sub(x + 1), &lead.why, Tone::Plain);
            } else if let Some((name, value)) = self.record.fields.get(at - self.leads.len()) {
                on.put(2, y, name_room, name, Tone::Quiet);
                on.put(x, y, wide.saturating_sub(x + 1), value, Tone::Plain);
            }
            y += 1;
        }
        let whole = on.height().saturating_sub(WHOLE);
        on.rule(whole);
        let below = self.len().saturating_sub(top + rows);
        if below > 0 {
            on.put_right(wide, whole, 16, &format!(" {below} more ↓ "), Tone::Mode);
        }
        let text = match (self.leads.get(self.list.at), self.field()) {
            (Some(lead), _) => lead.why.as_str(),
            (None, field) => field.map_or("", |(_, value)| value.as_str()),
        };
        // No more of a long value is looked at than can be shown.
        let head: String = text.chars().take(usize::from(wide) * usize::from(WHOLE)).collect();
        let lines = words::wrap(&crate::domain::clean::clean(&head), wide.saturating_sub(2), 0);
        for (y, line) in (whole + 1..).zip(lines.iter().take(usize::from(WHOLE) - 1)) {
            on.put(1, y, wide.saturating_sub(2), line, Tone::Plain);
        }
        if self.record.cut > 0 {
            let said = format!("{} more bytes were not taken apart", words::count(self.record.cut as u64));
            on.put_right(wide.saturating_sub(1), on.height().saturating_sub(1), wide / 2, &said, Tone::Warn);
        }
    }
}
