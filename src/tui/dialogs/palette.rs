//! The palette: every action that holds here and every wish, found by typing parts of it.

use super::menu::TURNS;
use super::restore::Restore;
use super::text;
use crate::domain::backup::{Archive, BackupWish};
use crate::domain::fact::Wish;
use crate::domain::power::PowerWish;
use crate::domain::settings::Key;
use crate::tui::action::{self, Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::input::Input;
use crate::tui::list::{List, marker};
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::theme::Tone;
use crate::tui::words;

enum What {
    Act(Action),
    Wish(Wish),
    Restore(Box<Archive>),
    Setting(Key),
}

struct Entry {
    text: String,
    key: String,
    what: What,
}

/// The palette.
pub struct Palette {
    entries: Vec<Entry>,
    /// Entries that match, best first.
    found: Vec<usize>,
    input: Input,
    list: List,
}

impl Palette {
    /// What can be done from this place.
    pub fn new(context: Context, known: &Known) -> Palette {
        let moving = |a| {
            matches!(a, Action::Down | Action::Up | Action::PageDown | Action::PageUp | Action::HalfDown | Action::HalfUp | Action::Palette)
        };
        let mut entries: Vec<Entry> = action::here(context)
            .filter(|b| !moving(b.action))
            .map(|b| Entry { text: b.sentence.to_owned(), key: b.key_names(), what: What::Act(b.action) })
            .collect();
        for g in known.world.guests.get().into_iter().flatten() {
            let mut add = |text: String, what| entries.push(Entry { text, key: String::new(), what });
            add(format!("back up {}", g.title()), What::Wish(Wish::Backup(BackupWish::of(g.id))));
            for (word, turn) in TURNS {
                let word = word.split(',').next().unwrap_or(word);
                add(format!("{word} {}", g.title()), What::Wish(Wish::Power(PowerWish { guest: g.id, turn })));
            }
        }
        for a in known.world.archives.get().into_iter().flatten() {
            let of = a.vmid.map(|id| known.world.guest(id).map_or(id.to_string(), |g| g.title()));
            if let Some(of) = of {
                let text = format!("restore {of} of {} beside", a.made.minute(known.offset_s));
                entries.push(Entry { text, key: String::new(), what: What::Restore(Box::new(a.clone())) });
            }
        }
        for key in Key::all(&known.world.chosen().map(|s| s.sites()).unwrap_or_default()) {
            let text = format!("set {key}: {}", key.definition().help.split('.').next().unwrap_or(""));
            entries.push(Entry { text, key: String::new(), what: What::Setting(key) });
        }
        let found = (0..entries.len()).collect();
        Palette { entries, found, input: Input::default(), list: List::default() }
    }

    fn choose(&self, known: &Known) -> Vec<Then> {
        let Some(entry) = self.found.get(self.list.at).and_then(|i| self.entries.get(*i)) else { return Vec::new() };
        let next = match &entry.what {
            What::Act(action) => Then::Act(*action),
            What::Wish(wish) => Then::Wish(wish.clone()),
            What::Setting(key) => Then::Setting(key.clone()),
            What::Restore(archive) => Then::Open(Box::new(Restore::new((**archive).clone(), known))),
        };
        vec![Then::Close, next]
    }
}

impl Pane for Palette {
    fn context(&self) -> Context {
        Context::Choice
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        let rows = usize::from(self.window(known).height.saturating_sub(4));
        match action {
            Action::Open => Some(self.choose(known)),
            // Letters and digits are typed here; a key that means a choice elsewhere means nothing.
            Action::Toggle | Action::Pick(_) => Some(Vec::new()),
            _ => self.list.act(action, self.found.len(), rows).then(Vec::new),
        }
    }

    fn is_typing(&self) -> bool {
        true
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        Some(&mut self.input)
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        let mut scored: Vec<(usize, usize)> =
            self.entries.iter().enumerate().filter_map(|(i, e)| Some((words::fuzzy(&e.text, self.input.text())?, i))).collect();
        scored.sort_unstable();
        self.found = scored.into_iter().map(|(_, i)| i).collect();
        self.list = List::default();
        Vec::new()
    }

    fn window(&self, known: &Known) -> Window {
        Window { title: "commands".into(), width: text::text_width(known).min(84), height: 20.min(text::most_rows(known)) }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        on.put(1, 0, 1, ":", Tone::Key);
        let count = if self.input.text().is_empty() { String::new() } else { words::count(self.found.len() as u64) };
        let end = on.put_right(on.width().saturating_sub(1), 0, 10, &count, Tone::Quiet);
        self.input.draw(on, 3, 0, end.saturating_sub(4), true);
        on.rule(1);
        let rows = usize::from(on.height().saturating_sub(2));
        let top = self.list.top(self.found.len(), rows);
        for (y, nth) in (top..self.found.len()).take(rows).enumerate() {
            let y = y as u16 + 2;
            let Some(entry) = self.found.get(nth).and_then(|i| self.entries.get(*i)) else { continue };
            marker(on, y, nth == self.list.at);
            let end = on.put_right(on.width().saturating_sub(1), y, 16, &entry.key, Tone::Key);
            on.put(2, y, end.saturating_sub(3), &entry.text, Tone::Plain);
        }
        if self.found.is_empty() {
            on.put(2, 2, on.width().saturating_sub(3), "nothing matches; Backspace widens the search", Tone::Quiet);
        }
    }
}
