//! All certificates: how long each is good, who renews it, whether its key is its own; and everything of the selected one below.
//!
//! ```text
//!   name            whose      good for   renewal      key
//! ▸ ✗ cloud         given      5 d        by hand      another's
//!     pve-ssl       node       412 d      not due      matches
//! ────────────────────────────────────────────────────────────────
//!   where        /etc/caddy/proximity-tls/cloud.crt
//!   ✗ the key beside it is another one's
//! ```

use super::text::{self, Line, Text, field};
use crate::domain::certificate::{Age, Belief, Inventory, Item, KeyState, Renewal};
use crate::domain::health::Level;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::list::{Column, List, cell, column, fit, heads, marker};
use crate::tui::pane::{Known, Pane, Then, Window};
use crate::tui::theme::Tone;
use crate::tui::words;

const COLUMNS: [Column; 6] = [
    column("name", 16, 24, 0, false),
    column("whose", 8, 18, 3, false),
    column("good for", 10, 16, 0, false),
    column("renewal", 12, 12, 2, false),
    column("key", 9, 9, 1, false),
    column("serves", 10, 60, 4, false),
];

/// Rows that everything of one takes for the most part.
const DETAILS: usize = 14;

/// The dialog.
#[derive(Default)]
pub struct Certificates {
    list: List,
    /// Where the selected one lies, so that it stays selected when there is news.
    chosen: Option<String>,
}

fn inventory(known: &Known) -> Option<&Inventory> {
    known.world.certificates.get()
}

fn items(known: &Known) -> &[Item] {
    inventory(known).map_or(&[], |all| &all.items)
}

/// Sign and tone by what is wrong with it.
fn standing(item: &Item, known: &Known) -> (&'static str, Tone) {
    let Some(all) = inventory(known) else { return ("?", Tone::Unknown) };
    match item.wrong(known.now, all.thresholds).first() {
        Some((Level::Bad, _)) => ("✗", Tone::Bad),
        Some((Level::Warn, _)) => ("!", Tone::Warn),
        Some((Level::Unknown, _)) => ("?", Tone::Unknown),
        None => (" ", Tone::Plain),
    }
}

/// Everything of one.
fn details(item: &Item, known: &Known) -> Vec<Line> {
    let Some((all, own)) = inventory(known).zip(item.own()) else { return Vec::new() };
    let time = |at: crate::domain::stamp::Stamp| at.minute(known.offset_s);
    let mut out: Vec<Line> = Vec::new();
    for (level, why) in item.wrong(known.now, all.thresholds) {
        out.push(match level {
            Level::Bad => (Tone::Bad, format!("✗ {why}")),
            Level::Warn => (Tone::Warn, format!("! {why}")),
            Level::Unknown => (Tone::Unknown, format!("? {why}")),
        });
    }
    out.push(field("where", Ok(item.at.clone())));
    out.push(field("serves", Ok(if item.serves.is_empty() { "nothing that is published".into() } else { item.serves.join(", ") })));
    out.push(field("valid", Ok(format!("{} – {}, {}", time(own.not_before), time(own.not_after), own.left(known.now)))));
    out.push(field("for", Ok(own.names_told(20).unwrap_or_else(|| "no name of a host".into()))));
    out.push(field("renewed by", Ok(item.whose.renews().to_owned())));
    if let Some(belief) = &item.belief {
        let tone = match belief {
            Belief::Proven => Tone::Plain,
            Belief::Refused(_) => Tone::Bad,
            Belief::Skipped => Tone::Warn,
            Belief::Unknown(_) => Tone::Unknown,
        };
        out.push((tone, format!("{:<12} {belief}", "believed")));
    }
    out.push(field("is", Ok(own.subject_told())));
    for part in item.chain.iter().skip(1) {
        out.push(field("  chain", Ok(part.certificate.subject_told())));
    }
    // In halves, so that no narrow window breaks it within a byte.
    let print = own.fingerprint.to_string();
    let (first, second) = print.split_at(print.len() / 2 + 1);
    out.extend([field("SHA-256", Ok(first.to_owned())), field("", Ok(second.to_owned()))]);
    out
}

impl Certificates {
    fn item<'k>(&self, known: &'k Known) -> Option<&'k Item> {
        items(known).get(self.list.at)
    }

    /// Rows of the list; the rest is the selected one's.
    fn rows(&self, known: &Known) -> usize {
        let inner = usize::from(self.window(known).height.saturating_sub(2));
        // Heads, the line between, gaps.
        let room = inner.saturating_sub(2 + self.gaps(known).len());
        items(known).len().clamp(1, room.saturating_sub(DETAILS).max(room / 2).max(1))
    }

    /// What could not be asked: the first few, and how many more.
    fn gaps(&self, known: &Known) -> Vec<String> {
        const MOST: usize = 3;
        let gaps = inventory(known).map_or(&[][..], |all| &all.gaps);
        let mut out: Vec<String> = gaps.iter().take(MOST).map(|g| format!("? {}: {}", g.what, g.why)).collect();
        if gaps.len() > MOST {
            out.push(format!("? and {} more could not be read: proximity ports certificates", gaps.len() - MOST));
        }
        out
    }
}

impl Pane for Certificates {
    fn context(&self) -> Context {
        Context::Choice
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        if action == Action::Open {
            let all = |item: &Item| Then::Open(Box::new(Text::new(format!("certificate {}", item.name), details(item, known))));
            return Some(self.item(known).map(all).into_iter().collect());
        }
        let moved = self.list.act(action, items(known).len(), self.rows(known));
        self.chosen = self.item(known).map(|i| i.at.clone());
        moved.then(Vec::new)
    }

    fn can(&self, action: Action, known: &Known) -> bool {
        action != Action::Toggle && (action != Action::Open || self.item(known).is_some())
    }

    fn news(&mut self, known: &Known) {
        let all = items(known);
        let at = self.chosen.as_ref().and_then(|chosen| all.iter().position(|i| i.at == *chosen));
        self.list.go(at.unwrap_or(self.list.at).min(all.len().saturating_sub(1)), all.len(), self.rows(known));
    }

    fn window(&self, known: &Known) -> Window {
        let part = &known.world.certificates;
        let age = if part.is_pending() { "looking …".to_owned() } else { words::source(part, known.now) };
        // The same whichever is selected.
        let below = if items(known).is_empty() { 3 } else { DETAILS + 4 };
        let height = items(known).len() + below + self.gaps(known).len();
        let height = u16::try_from(height).unwrap_or(u16::MAX).min(text::most_rows(known));
        Window { title: format!("certificates · {age}"), width: text::wide(known, 118), height }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let room = on.width().saturating_sub(2);
        let part = &known.world.certificates;
        let all = match &part.known {
            Ok(all) => all,
            Err(_) if part.is_pending() => {
                on.put(1, 0, room, "The node, the appliance and what is published are being looked at …", Tone::Quiet);
                return;
            }
            Err(why) => {
                on.put(1, 0, room, &format!("? the certificates are unknown: {why}"), Tone::Unknown);
                return;
            }
        };
        let mut y = 0;
        if all.items.is_empty() {
            on.put(1, y, room, "No certificate was found.", Tone::Plain);
            y += 1;
        } else {
            let places = fit(&COLUMNS, 4, on.width().saturating_sub(1));
            heads(on, y, &COLUMNS, &places);
            let rows = self.rows(known);
            let top = self.list.top(all.items.len(), rows);
            for (nth, item) in all.items.iter().enumerate().skip(top).take(rows) {
                y += 1;
                marker(on, y, nth == self.list.at);
                let (sign, tone) = standing(item, known);
                on.put(2, y, 1, sign, tone);
                let renewal = item.renewal(known.now, all.thresholds);
                let left = item.own().map_or("?".into(), |c| c.left(known.now));
                let key = match &item.key {
                    KeyState::Matches | KeyState::NotLooked => Tone::Quiet,
                    KeyState::Other | KeyState::Missing => Tone::Bad,
                    KeyState::Unknown(_) => Tone::Unknown,
                };
                let ends = match item.age(known.now, all.thresholds) {
                    _ if renewal == Renewal::WhenAsked => Tone::Plain,
                    Age::Over | Age::NotYet | Age::Urgent => Tone::Bad,
                    Age::Soon => Tone::Warn,
                    Age::Good => Tone::Plain,
                };
                let late = matches!(renewal, Renewal::Overdue | Renewal::ByHand);
                let cells = [
                    (item.name.clone(), if nth == self.list.at { Tone::Strong } else { Tone::Plain }),
                    (item.whose.word().to_owned(), Tone::Quiet),
                    (left, ends),
                    (renewal.word().to_owned(), if late { Tone::Warn } else { Tone::Plain }),
                    (if item.key == KeyState::NotLooked { "–".into() } else { item.key.word().to_owned() }, key),
                    (if item.serves.is_empty() { "–".into() } else { item.serves.join(", ") }, Tone::Plain),
                ];
                for ((text, tone), place) in cells.iter().zip(&places) {
                    if let Some(place) = place {
                        cell(on, y, *place, text, *tone, false);
                    }
                }
            }
            y += 1;
            let below = all.items.len().saturating_sub(top + rows);
            on.put(0, y, on.width(), &"─".repeat(on.width().into()), Tone::Quiet);
            if below > 0 {
                on.put_right(on.width().saturating_sub(1), y, 16, &format!(" {below} more ↓ "), Tone::Mode);
            }
            y += 1;
        }
        let gaps = self.gaps(known);
        let end = on.height().saturating_sub(gaps.len() as u16);
        if let Some(item) = self.item(known) {
            let lines = text::wrapped(&details(item, known), room);
            text::draw_lines(&mut on.rows(y, end.saturating_sub(y)), &lines, 0);
        }
        for (y, gap) in (end..).zip(&gaps) {
            on.put(1, y, room, gap, Tone::Unknown);
        }
    }
}
