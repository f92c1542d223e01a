//! The lock doctor: each kind of evidence with its word, the verdict, what is left, and what would be done about it.
//!
//! ```text
//!   held by nobody: each kind of evidence was asked
//!
//!   ✓ free     tasks          none of this node works on it
//!   ✓ free     open files     no process has a file of a backup of it open
//!
//!   left       lock 'backup'
//!   left       partial archive /var/lib/vz/dump/… (344 MiB)
//!
//!   Enter show the plan   Esc close
//! ```

use super::text::{self, Line};
use crate::domain::clean::clean;
use crate::domain::fact::Wish;
use crate::domain::guest::Vmid;
use crate::domain::locks::{self, Evidence, Left, LockWish, Mark, Seen, Verdict};
use crate::domain::stamp::bytes;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::pane::{Known, Pane, Then, Window};
use crate::tui::theme::Tone;
use crate::tui::words;

/// The dialog.
pub struct Locks {
    /// About this guest; `None` is about the whole node.
    guest: Option<Vmid>,
    top: usize,
}

impl Locks {
    /// About a guest, or the whole node.
    pub fn new(guest: Option<Vmid>) -> Locks {
        Locks { guest, top: 0 }
    }

    fn wish(&self) -> LockWish {
        LockWish { guest: self.guest, lock_only: false }
    }

    /// Why nothing is done now; nothing where something can be.
    fn against(&self, known: &Known) -> Option<String> {
        let Some(seen) = known.world.locks.get() else { return Some("nothing is known yet".into()) };
        match locks::plan(&known.world, seen, &self.wish()) {
            Err(refusal) => Some(refusal.why),
            Ok(plan) => plan.steps.is_empty().then(|| "nothing is left".into()),
        }
    }

    fn lines(&self, known: &Known, room: u16) -> Vec<Line> {
        let part = &known.world.locks;
        let seen = match &part.known {
            Ok(seen) => seen,
            Err(_) if part.is_pending() => {
                return vec![(Tone::Quiet, "Tasks, lock files, processes and storages are being looked at …".into())];
            }
            Err(why) => return wrapped(Tone::Unknown, &format!("? unknown: {why}"), room, 2),
        };
        let mut out = Vec::new();
        match self.guest {
            Some(id) => {
                let exam = locks::examine(&known.world, seen, id);
                out.extend(verdict(&exam.verdict, known, room));
                out.push((Tone::Plain, String::new()));
                out.extend(exam.evidence.iter().flat_map(|e| evidence(e, room)));
            }
            None => {
                for g in known.world.guests.get().into_iter().flatten().filter(|g| g.lock.is_some()) {
                    let lock = clean(g.lock.as_deref().unwrap_or(""));
                    out.push((Tone::Strong, format!("{}: lock '{lock}'", g.title())));
                    out.extend(verdict(&locks::examine(&known.world, seen, g.id).verdict, known, room));
                }
            }
        }
        out.push((Tone::Plain, String::new()));
        out.extend(self.left(seen, known, room));
        out
    }

    fn left(&self, seen: &Seen, known: &Known, room: u16) -> Vec<Line> {
        let of_it = |l: &Left| self.guest.is_none() || l.guest == self.guest || l.guest.is_none();
        let all: Vec<Left> = locks::left(&known.world, seen).into_iter().filter(of_it).collect();
        let mut out = Vec::new();
        if all.is_empty() {
            out.push((Tone::Plain, "Nothing is left of killed jobs.".into()));
        }
        for l in &all {
            let whose = l.guest.filter(|_| self.guest.is_none()).map_or(String::new(), |id| format!("{id} "));
            let (sign, tone, why) = match &l.proof {
                Ok(proof) => ("! left     ", Tone::Warn, proof),
                Err(why) => ("? unknown  ", Tone::Unknown, why),
            };
            out.extend(wrapped(tone, &format!("{sign}{whose}{}", l.words()), room, 11));
            // That nobody works on it stands above, with all its evidence.
            if self.guest.is_none() || l.guest.is_none_or(|id| *why != locks::idle_words(id)) {
                out.extend(wrapped(Tone::Quiet, &format!("           {}", clean(why)), room, 11));
            }
        }
        let size = locks::total(&all);
        if size > 0 {
            out.push((Tone::Plain, format!("           {} together", bytes(size))));
        }
        for gap in &seen.gaps {
            out.extend(wrapped(Tone::Unknown, &format!("? unknown  {}: {}", gap.what, clean(&gap.why)), room, 11));
        }
        if let Ok(plan) = locks::plan(&known.world, seen, &self.wish())
            && !plan.steps.is_empty()
        {
            out.push((Tone::Plain, String::new()));
            out.push((Tone::Strong, "what would be done, and before each it is asked once more".into()));
            let does = plan.steps.iter().filter(|s| !s.title.starts_with("ask "));
            out.extend(does.enumerate().flat_map(|(n, s)| wrapped(Tone::Plain, &format!("{:>2} {}", n + 1, s.title), room, 3)));
            out.extend(plan.notes.iter().flat_map(|n| wrapped(Tone::Warn, &format!(" ! {n}"), room, 3)));
        }
        out
    }
}

fn wrapped(tone: Tone, text: &str, room: u16, indent: u16) -> Vec<Line> {
    words::wrap(text, room, indent.min(room / 2)).into_iter().map(|l| (tone, l)).collect()
}

fn evidence(e: &Evidence, room: u16) -> Vec<Line> {
    let (sign, word, tone) = match e.mark {
        Mark::Free => ("✓", "free", Tone::Good),
        Mark::Held => ("✗", "held", Tone::Bad),
        Mark::Unknown => ("?", "unknown", Tone::Unknown),
        Mark::Noted => ("·", "noted", Tone::Plain),
    };
    if room < 60 {
        let mut out = vec![(tone, format!("{sign} {word}: {}", e.kind))];
        out.extend(wrapped(Tone::Plain, &format!("  {}", e.says), room, 2));
        return out;
    }
    wrapped(tone, &format!("{sign} {word:<8} {:<14} {}", e.kind, e.says), room, 26)
}

fn verdict(verdict: &Verdict, known: &Known, room: u16) -> Vec<Line> {
    let tone = match verdict {
        Verdict::Held { .. } => Tone::Bad,
        Verdict::Nobody => Tone::Good,
        Verdict::Unknown { .. } => Tone::Unknown,
    };
    // Why it is unknown stands in the evidence.
    let said = match verdict {
        Verdict::Unknown { .. } => "? unknown who holds it".to_owned(),
        other => other.words(),
    };
    let mut out = wrapped(tone, &said, room, 2);
    if let Verdict::Held { since: Some(since), .. } = verdict {
        out.push((Tone::Plain, format!("since {} ({})", since.minute(known.offset_s), words::age(known.now, *since))));
    }
    if let Verdict::Held { hint, .. } | Verdict::Unknown { hint, .. } = verdict {
        out.extend(wrapped(Tone::Strong, &format!("What to do: {hint}"), room, 2));
    }
    out
}

impl Pane for Locks {
    fn context(&self) -> Context {
        Context::Text
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        if action == Action::Open {
            return Some(match self.against(known) {
                Some(why) => vec![Then::Say(format!("not now: {why}"))],
                None => vec![Then::Close, Then::Wish(Wish::Unlock(self.wish()))],
            });
        }
        let window = self.window(known);
        let lines = self.lines(known, window.width.saturating_sub(4)).len();
        text::scroll(&mut self.top, action, lines, window.height.saturating_sub(4).into()).then(Vec::new)
    }

    fn window(&self, known: &Known) -> Window {
        let width = text::wide(known, 110);
        let lines = self.lines(known, width.saturating_sub(4)).len() as u16;
        let of = self.guest.map_or("this node".to_owned(), |id| known.world.guest(id).map_or_else(|| id.to_string(), |g| g.title()));
        let age = if known.world.locks.is_pending() { "looking …".to_owned() } else { words::source(&known.world.locks, known.now) };
        Window { title: format!("lock doctor · {of} · {age}"), width, height: (lines + 4).min(text::most_rows(known)) }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let rows = on.height().saturating_sub(2);
        let lines = self.lines(known, on.width().saturating_sub(2));
        text::draw_lines(&mut on.rows(0, rows), &lines, self.top);
        if on.height() > 1 {
            on.rule(rows);
        }
        let y = on.height().saturating_sub(1);
        match self.against(known) {
            None => drop(on.line(
                1,
                y,
                &[("Enter", Tone::Key), (" show the plan   ", Tone::Plain), ("Esc", Tone::Key), (" close", Tone::Plain)],
            )),
            Some(why) => {
                let used = on.line(1, y, &[("Esc", Tone::Key), (" close   ", Tone::Plain)]);
                on.put(1 + used, y, on.width().saturating_sub(used + 2), &format!("nothing is done now: {why}"), Tone::Quiet);
            }
        }
    }
}
