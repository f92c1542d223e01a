//! Pane 9: all settings by heading, the selected one explained below. Edits gather here until they are saved together.
//!
//! ```text
//!  settings · 2 not saved ──────────────────────────────────── checked
//!  network
//!  ▸ subnet         10.20.0.0/24 → 10.30.0.0/24             not saved
//!    gateway        10.20.0.1                                 default
//!  ─ network.subnet ───────────────────────────────────────────────────
//!  ✗ the gateway 10.20.0.1 lies outside the network 10.30.0.0/24
//!  Network of the apps, behind the appliance.
//! ```

use std::collections::BTreeMap;

use crate::domain::settings::{self, Change, Held, Key, Kind, Save, SecretChange, Staged, Value};
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::dialogs::settings::Offer;
use crate::tui::dialogs::text::{self, Line};
use crate::tui::effect::Effect;
use crate::tui::input::Input;
use crate::tui::list::{List, marker};
use crate::tui::pane::{Known, Pane, Then, Typed};
use crate::tui::theme::Tone;
use crate::tui::words;

/// Pane 9.
pub struct Settings {
    keys: Vec<Key>,
    list: List,
    staged: BTreeMap<Key, Staged>,
    /// What was staged for a key before each edit.
    undo: Vec<(Key, Option<Staged>)>,
    edit: Option<Edit>,
    /// Sites that nothing is saved of yet.
    sites: Vec<String>,
    /// What the dialog shows that asks whether to save.
    offered: Save,
    /// What is being saved.
    sent: Vec<Key>,
}

enum Edit {
    Value(Input),
    Site(Input),
}

/// Where values begin.
const VALUE: u16 = 17;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            keys: Key::all(&[]),
            list: List::default(),
            staged: BTreeMap::new(),
            undo: Vec::new(),
            edit: None,
            sites: Vec::new(),
            offered: Vec::new(),
            sent: Vec::new(),
        }
    }
}

fn now(known: &Known) -> settings::Settings {
    known.world.chosen().map(std::borrow::Cow::into_owned).unwrap_or_default()
}

impl Settings {
    /// Selects a setting.
    pub fn go(&mut self, key: &Key) {
        self.edit = None;
        if let Some(at) = self.keys.iter().position(|k| k == key) {
            self.list.at = at;
        }
    }

    /// Takes a change up, to be saved later. A change to what holds already is none.
    pub fn stage(&mut self, key: Key, change: Change, known: &Known) {
        let held = now(known);
        let secret = matches!(change, Change::Secret(SecretChange::Set(_) | SecretChange::Previous));
        let none = !secret && *held.held(&key) == change.held();
        let before = match none {
            true => self.staged.remove(&key),
            false => self.staged.insert(key.clone(), Staged { key: key.clone(), change, seen: held.version(&key) }),
        };
        self.undo.push((key, before));
    }

    /// What was sent was saved, or not: then it stays here.
    pub fn saved(&mut self, well: bool) {
        for key in std::mem::take(&mut self.sent).into_iter().filter(|_| well) {
            self.staged.remove(&key);
            self.undo.clear();
        }
    }

    /// The site of the selected setting; the first has no name, and neither has what belongs to none.
    pub fn site(&self) -> &str {
        self.key().site()
    }

    fn key(&self) -> &Key {
        // There are always keys: the table is not empty.
        &self.keys[self.list.at.min(self.keys.len() - 1)]
    }

    fn begin(&mut self, known: &Known) -> Vec<Then> {
        let key = self.key();
        if let Err((why, _)) = known.operator() {
            return vec![Then::Say(format!("only to look at: {why}"))];
        }
        // A secret is tried before it is kept.
        if key.definition().is_secret() {
            return vec![Then::Act(Action::Credential)];
        }
        let then = now(known).with(self.staged.values().map(|s| (&s.key, &s.change)));
        let text = match then.held(key) {
            Held::Value(value) => value.to_string(),
            _ => key.definition().default.to_owned(),
        };
        self.edit = Some(Edit::Value(Input::with(text)));
        Vec::new()
    }

    /// Takes over what was typed; what is no value stays in the line.
    fn accept(&mut self, known: &Known) -> Vec<Then> {
        let key = self.key().clone();
        match self.edit.take() {
            Some(Edit::Value(input)) => match key.definition().parse(input.text()) {
                Ok(value) => self.stage(key, Change::Set(value), known),
                Err(_) => self.edit = Some(Edit::Value(input)),
            },
            Some(Edit::Site(input)) if settings::is_site(input.text().trim()) => {
                self.sites.push(input.text().trim().to_owned());
                self.fill(known);
                if let Some(hosts) = self.keys.iter().find(|k| k.site() == input.text().trim()).cloned() {
                    self.go(&hosts);
                }
            }
            Some(Edit::Site(input)) => self.edit = Some(Edit::Site(input)),
            None => return vec![Then::Say("nothing was typed; it stays as it is".into())],
        }
        Vec::new()
    }

    /// The next of the few values that a key may have.
    fn switch(&mut self, known: &Known) -> Vec<Then> {
        let key = self.key().clone();
        let then = now(known).with(self.staged.values().map(|s| (&s.key, &s.change)));
        let next = match (key.definition().kind, then.value(&key)) {
            (Kind::Flag, Ok(Some(Value::Flag(on)))) => Value::Flag(!on),
            (Kind::Word(words), Ok(Some(Value::Word(now)))) => {
                let at = words.iter().position(|w| *w == now).map_or(0, |at| at + 1);
                Value::Word(words[at % words.len()])
            }
            _ => return vec![Then::Say("e edits this one".into())],
        };
        if let Err((why, _)) = known.operator() {
            return vec![Then::Say(format!("only to look at: {why}"))];
        }
        self.stage(key, Change::Set(next), known);
        Vec::new()
    }

    fn undo(&mut self) -> Vec<Then> {
        let Some((key, before)) = self.undo.pop() else { return vec![Then::Say("nothing to take back".into())] };
        match before {
            Some(staged) => drop(self.staged.insert(key.clone(), staged)),
            None => drop(self.staged.remove(&key)),
        }
        self.go(&key);
        Vec::new()
    }

    fn offer(&mut self, known: &Known) -> Vec<Then> {
        if self.staged.is_empty() {
            return vec![Then::Say("nothing to save; e edits the selected setting".into())];
        }
        if let Err((why, hint)) = known.operator() {
            return vec![Then::Open(Box::new(text::problem(&format!("nothing can be changed now: {why}"), &hint)))];
        }
        let held = now(known);
        let offer = Offer::new(&held, self.staged.values(), known);
        // What the dialog shows as it is now is what the save is made upon.
        self.offered = self.staged.values().map(|s| Staged { seen: held.version(&s.key), ..s.clone() }).collect();
        vec![Then::Open(Box::new(offer))]
    }

    fn fill(&mut self, known: &Known) {
        let key = self.key().clone();
        let mut sites = now(known).sites();
        sites.extend(self.sites.iter().cloned());
        sites.sort();
        sites.dedup();
        self.keys = Key::all(&sites);
        self.list.at = self.keys.iter().position(|k| *k == key).unwrap_or(0);
    }

    /// What is to be said of the selected setting, what is wrong first.
    fn about(&self, known: &Known) -> Vec<Line> {
        let (key, held) = (self.key(), now(known));
        let of = key.definition();
        let mut out: Vec<Line> = Vec::new();
        let mut then = held.with(self.staged.values().map(|s| (&s.key, &s.change)));
        match &self.edit {
            Some(Edit::Value(input)) => match of.parse(input.text()) {
                Ok(value) => {
                    then = then.with([(key, &Change::Set(value))]);
                    out.push((Tone::Quiet, "Enter takes it over, Esc leaves it as it was.".into()));
                }
                Err(why) => out.push((Tone::Bad, format!("✗ {why}"))),
            },
            Some(Edit::Site(input)) if !settings::is_site(input.text().trim()) => {
                out.push((Tone::Bad, "✗ a site is called by 1 to 20 small letters, digits or dashes, such as lab".into()));
            }
            _ => {}
        }
        if let Held::Bad(why) = held.held(key) {
            out.push((Tone::Bad, format!("✗ It {why}. It is not used, and neither is the default. Setting it anew mends it.")));
        }
        let fixed = settings::fixed_addresses(&known.world);
        let troubles = settings::check(&then, &fixed);
        out.extend(troubles.iter().filter(|t| t.keys.contains(key)).map(|t| (Tone::Warn, format!("! {}", t.why))));
        out.push((Tone::Plain, of.help.to_owned()));
        out.push((Tone::Quiet, format!("Takes: {}.", of.takes())));
        out.push((Tone::Quiet, if of.used { format!("Felt {}.", of.applies) } else { "Kept and checked; nothing uses it yet.".into() }));
        if let Some(row) = held.row(key) {
            out.push((Tone::Quiet, format!("Version {}, {} by {}.", row.version, row.at.minute(known.offset_s), row.by)));
        }
        let value = held.shown(key);
        if words::width(&value) > known.size.0.saturating_sub(VALUE + 20) {
            out.push((Tone::Quiet, format!("Now {value}")));
        }
        out
    }

    fn draw_key(&self, on: &mut Canvas<'_>, y: u16, at: usize, held: &settings::Settings, known: &Known) {
        let (key, wide) = (&self.keys[at], on.width());
        let chosen = at == self.list.at;
        marker(on, y, chosen);
        on.put(2, y, VALUE - 3, key.definition().name, if chosen { Tone::Strong } else { Tone::Plain });
        let staged = self.staged.get(key);
        let row = held.row(key);
        let mut end = wide.saturating_sub(1);
        match &self.edit {
            Some(Edit::Value(input)) if chosen => return input.draw(on, VALUE, y, end.saturating_sub(VALUE), true),
            _ => {}
        }
        let age = row
            .map(|r| words::age(known.now, r.at))
            .map_or(String::new(), |a| if a == "now" { "just now".into() } else { format!("{a} ago") });
        let (status, tone) = match (staged, held.held(key), row) {
            (Some(s), ..) if row.map_or(0, |r| r.version) != s.seen => ("changed meanwhile".into(), Tone::Warn),
            (Some(_), ..) => ("not saved".to_owned(), Tone::Warn),
            (None, Held::Default, _) if key.definition().default.is_empty() => (String::new(), Tone::Quiet),
            (None, Held::Default, _) => ("default".into(), Tone::Quiet),
            (None, Held::Bad(_), _) => ("✗".into(), Tone::Bad),
            (None, _, Some(r)) => (format!("{age}, {}", r.by), Tone::Quiet),
            (None, ..) => (String::new(), Tone::Quiet),
        };
        if wide >= 60 {
            end = on.put_right(end, y, 24, &status, tone).saturating_sub(2);
        }
        let (value, tone) = match held.held(key) {
            Held::Secret => (format!("set {age}"), Tone::Plain),
            Held::Bad(_) => (held.shown(key), Tone::Bad),
            Held::Default => (held.shown(key), Tone::Quiet),
            Held::Value(_) => (held.shown(key), Tone::Plain),
        };
        let Some(staged) = staged else {
            on.put(VALUE, y, end.saturating_sub(VALUE), &value, tone);
            return;
        };
        let new = staged.change.shown(key.definition());
        let both = format!("{value} → {new}");
        let room = end.saturating_sub(VALUE);
        // Where both have no room, the new one counts.
        let text = if words::width(&both) <= room { both } else { format!("→ {new}") };
        on.put(VALUE, y, room, &text, Tone::Warn);
    }
}

impl Pane for Settings {
    fn context(&self) -> Context {
        Context::Settings
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        Some(match action {
            Action::Open if self.edit.is_some() => self.accept(known),
            Action::Open => vec![Then::Do(Effect::History(self.key().clone()))],
            Action::Back if self.edit.is_some() => {
                self.edit = None;
                Vec::new()
            }
            Action::Edit => self.begin(known),
            Action::Toggle => self.switch(known),
            Action::Undo => self.undo(),
            Action::Save => self.offer(known),
            Action::SaveNow if !self.offered.is_empty() => {
                self.sent = self.offered.iter().map(|s| s.key.clone()).collect();
                vec![Then::Do(Effect::Save(std::mem::take(&mut self.offered))), Then::Say("saving …".into())]
            }
            Action::Unset => {
                if let Err((why, _)) = known.operator() {
                    return Some(vec![Then::Say(format!("only to look at: {why}"))]);
                }
                let key = self.key().clone();
                let secret = key.definition().is_secret();
                self.stage(key, if secret { Change::Secret(SecretChange::Clear) } else { Change::Unset }, known);
                Vec::new()
            }
            Action::AddSite => {
                if let Err((why, _)) = known.operator() {
                    return Some(vec![Then::Say(format!("only to look at: {why}"))]);
                }
                self.edit = Some(Edit::Site(Input::default()));
                Vec::new()
            }
            Action::NextPart | Action::PrevPart => {
                self.edit = None;
                let here = self.key().heading();
                let mut heads: Vec<usize> =
                    (0..self.keys.len()).filter(|at| *at == 0 || self.keys[*at].heading() != self.keys[at - 1].heading()).collect();
                if action == Action::PrevPart {
                    heads.reverse();
                }
                let own = heads.iter().position(|at| self.keys[*at].heading() == here).unwrap_or(0);
                self.list.at = heads[(own + 1) % heads.len()];
                Vec::new()
            }
            _ => {
                let moved = self.list.act(action, self.keys.len(), usize::from(known.pane_size().1 / 2));
                return moved.then(Vec::new);
            }
        })
    }

    fn can(&self, action: Action, known: &Known) -> bool {
        match action {
            Action::Back => self.edit.is_some(),
            // While one types, Enter takes what was typed; the lines below say so.
            Action::Open | Action::NextPart => self.edit.is_none(),
            Action::Save => !self.staged.is_empty(),
            Action::Undo => !self.undo.is_empty(),
            Action::Toggle => matches!(self.key().definition().kind, Kind::Flag | Kind::Word(_)),
            Action::Edit | Action::Unset | Action::AddSite => known.operator().is_ok(),
            _ => true,
        }
    }

    fn is_typing(&self) -> bool {
        self.edit.is_some()
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        match self.edit.as_mut()? {
            Edit::Value(input) | Edit::Site(input) => Some(input),
        }
    }

    fn news(&mut self, known: &Known) {
        self.fill(known);
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let (wide, high) = (on.width(), on.height());
        let held = now(known);
        let mut title = String::from("settings");
        if !self.staged.is_empty() {
            title.push_str(&format!(" · {} not saved", self.staged.len()));
        }
        let bad = held.bad().count();
        if bad > 0 {
            title.push_str(&format!(" · {bad} cannot be used"));
        }
        let part = &known.world.settings;
        let right = match (&part.known, known.operator()) {
            (Err(_), _) if part.is_pending() => "defaults; nothing is kept yet",
            (Err(_), _) => "unknown",
            (Ok(_), Err(_)) => "only to look at",
            (Ok(s), _) if s.checked => "checked",
            (Ok(_), _) => "not checked: the vault is closed",
        };
        on.title(0, &title, if bad > 0 { Tone::Bad } else { Tone::Strong }, right);
        if let (Err(why), false) = (&part.known, part.is_pending()) {
            on.put(1, 1, wide.saturating_sub(2), &format!("? settings: {why}"), Tone::Unknown);
            return;
        }
        let about = match high {
            16.. => 6,
            9.. => 4,
            _ => 0,
        };
        // Headings stand above their first key; the list is long, so the selected one is kept in its middle.
        let mut lines: Vec<Result<usize, String>> = Vec::new();
        for (at, key) in self.keys.iter().enumerate() {
            if at == 0 || self.keys[at - 1].heading() != key.heading() {
                lines.push(Err(key.heading()));
            }
            lines.push(Ok(at));
        }
        let rows = usize::from(high.saturating_sub(1 + about));
        let selected = lines.iter().position(|l| *l == Ok(self.list.at)).unwrap_or(0);
        let top = selected.saturating_sub(rows / 2).min(lines.len().saturating_sub(rows));
        for (y, line) in (1..).zip(lines.iter().skip(top).take(rows)) {
            match line {
                Err(heading) => drop(on.put(1, y, wide.saturating_sub(2), heading, Tone::Strong)),
                Ok(at) => self.draw_key(on, y, *at, &held, known),
            }
        }
        if about == 0 {
            return;
        }
        let mut below = on.rows(high - about, about);
        below.rule(0);
        let site = if let Some(Edit::Site(input)) = &self.edit { Some(input) } else { None };
        let name = site.map_or_else(|| format!(" {} ", self.key()), |_| " name of the new site: ".into());
        let used = below.put(2, 0, wide.saturating_sub(4), &name, Tone::Strong);
        if let Some(input) = site {
            below.fill(2 + used, 0, wide.saturating_sub(3 + used), " ", Tone::Plain);
            input.draw(&mut below, 2 + used, 0, wide.saturating_sub(4 + used), true);
        }
        let lines = text::wrapped(&self.about(known), wide.saturating_sub(2));
        for (y, (tone, line)) in (1..about).zip(&lines) {
            below.put(1, y, wide.saturating_sub(2), line, *tone);
        }
    }
}
