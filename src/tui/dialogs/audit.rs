//! The audit: what was done, by whom, what came of it. Newest first; older entries are asked for as one comes to them.

use super::jobs;
use super::text::{self, Line, Text, field};
use crate::domain::audit::{Ending, Page, Phase, Record, Standing};
use crate::domain::settings::Key;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::input::Input;
use crate::tui::list::{Column, List, cell, column, fit, heads, marker};
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::theme::Tone;
use crate::tui::words;

const COLUMNS: [Column; 6] = [
    column("entry", 5, 8, 3, true),
    column("when", 16, 16, 0, false),
    column("who", 6, 12, 2, false),
    column("how", 9, 9, 0, false),
    column("what", 20, 60, 0, false),
    column("said", 16, 120, 4, false),
];

/// Rows of the window that are no records: borders, filter, heads, the line at the end.
const AROUND: u16 = 5;

/// The list of records.
#[derive(Default)]
pub struct Audit {
    records: Vec<Record>,
    total: u64,
    /// Where to go on; `None` at the beginning of the log.
    next: Option<u64>,
    unread: usize,
    /// Below which entry an answer is waited for.
    waits: Option<Option<u64>>,
    wrong: Option<String>,
    list: List,
    /// The filter, and the line it is typed into.
    words: String,
    input: Option<Input>,
}

fn tone(standing: Standing) -> Tone {
    match standing {
        Standing::Ended(Ending::Ok) => Tone::Good,
        Standing::Ended(Ending::Warned | Ending::Cancelled) => Tone::Warn,
        Standing::Ended(Ending::Failed) | Standing::Refused => Tone::Bad,
        Standing::Ended(Ending::Unknown) | Standing::Open => Tone::Unknown,
    }
}

impl Audit {
    /// Forgets what is shown and asks from the end on.
    pub fn ask(&mut self) -> Effect {
        (self.records, self.next, self.unread, self.list) = (Vec::new(), None, 0, List::default());
        self.ask_on(None)
    }

    fn ask_on(&mut self, below: Option<u64>) -> Effect {
        (self.waits, self.wrong) = (Some(below), None);
        Effect::Audit { words: self.words.clone(), below }
    }

    fn rows(&self, known: &Known) -> usize {
        self.window(known).height.saturating_sub(AROUND).into()
    }

    fn record(&self) -> Option<&Record> {
        self.records.get(self.list.at)
    }

    /// The rest, where the end of what is there is seen.
    fn more(&mut self, known: &Known) -> Vec<Then> {
        let near = self.list.at + self.rows(known) >= self.records.len();
        match self.next.filter(|_| near && self.waits.is_none()) {
            Some(below) => vec![Then::Do(self.ask_on(Some(below)))],
            None => Vec::new(),
        }
    }

    fn job(&self, known: &Known) -> Vec<Then> {
        let say = |text: String| vec![Then::Open(Box::new(Text::new("its job", vec![(Tone::Plain, text)])))];
        let Some(id) = self.record().and_then(|r| r.entry.deed.job) else { return say("No job belongs to this entry.".into()) };
        jobs::open_job(id, known).unwrap_or_else(|| {
            say(format!("Job {id} is not in the list of the newest jobs any more; proximity job show {id} tells of it."))
        })
    }

    /// The way back from a save of settings: their history, which keeps what was there. Nothing is changed by it alone.
    fn undo(&self) -> Vec<Then> {
        let keys = self.record().map(saved_settings).unwrap_or_default();
        let Some(first) = keys.first().cloned() else {
            return vec![Then::Say("only saved settings can be taken back from here".into())];
        };
        let mut then = vec![Then::Close, Then::Setting(first.clone()), Then::Do(Effect::History(first))];
        if keys.len() > 1 {
            let names: Vec<String> = keys.iter().map(Key::to_string).collect();
            then.push(Then::Say(format!("saved together, each with its own history: {}", names.join(" "))));
        }
        then
    }

    fn tail(&self) -> (String, Tone) {
        if let Some(why) = &self.wrong {
            return (format!("? {why}"), Tone::Unknown);
        }
        if self.unread > 0 {
            return (format!("{} cannot be read; see: proximity audit verify", words::many(self.unread, "entry")), Tone::Bad);
        }
        let shown = words::many(self.records.len(), "record");
        let of = format!("{shown} of {} entries", words::count(self.total));
        let more = match (self.waits.is_some(), self.next) {
            (true, _) => " · reading …",
            (false, Some(_)) => " · more further down",
            (false, None) => " · that is all",
        };
        (format!("{of}{more}"), Tone::Quiet)
    }
}

impl Pane for Audit {
    fn context(&self) -> Context {
        Context::Audit
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Open if self.input.take().is_some() => Some(Vec::new()),
            Action::Open => Some(self.record().map(|r| Then::Open(Box::new(details(r, known)))).into_iter().collect()),
            Action::Jobs => Some(self.job(known)),
            Action::Undo => Some(self.undo()),
            Action::Refresh => Some(vec![Then::Do(self.ask())]),
            Action::Search => {
                self.input = Some(Input::with(self.words.clone()));
                Some(Vec::new())
            }
            Action::Back if self.input.is_some() || !self.words.is_empty() => {
                (self.input, self.words) = (None, String::new());
                Some(vec![Then::Do(self.ask())])
            }
            _ => {
                let rows = self.rows(known);
                let moved = self.list.act(action, self.records.len(), rows);
                moved.then(|| self.more(known))
            }
        }
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        match action {
            Action::Open => self.input.is_some() || self.record().is_some(),
            Action::Jobs => self.record().is_some_and(|r| r.entry.deed.job.is_some()),
            Action::Undo => self.record().is_some_and(|r| !saved_settings(r).is_empty()),
            _ => true,
        }
    }

    fn is_typing(&self) -> bool {
        self.input.is_some()
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        self.input.as_mut().map(|i| i as &mut dyn Typed)
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        let now = self.input.as_ref().map(|i| i.text().trim().to_owned()).unwrap_or_default();
        if now == self.words {
            return Vec::new();
        }
        self.words = now;
        vec![Then::Do(self.ask())]
    }

    fn audit(&mut self, words: &str, below: Option<u64>, page: &Result<Box<Page>, String>, known: &Known) -> Vec<Then> {
        // The answer to a filter that was typed over meanwhile, or one that came twice.
        if words != self.words || self.waits != Some(below) {
            return Vec::new();
        }
        self.waits = None;
        match page {
            Ok(page) => {
                self.records.extend(page.records.iter().cloned());
                (self.total, self.next) = (page.total, page.next);
                self.unread += page.unread.len();
                self.more(known)
            }
            Err(why) => {
                (self.wrong, self.next) = (Some(why.clone()), None);
                Vec::new()
            }
        }
    }

    fn window(&self, known: &Known) -> Window {
        Window { title: "audit".into(), width: text::wide(known, 140), height: text::most_rows(known) }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let room = on.width().saturating_sub(2);
        match &self.input {
            Some(input) => {
                on.put(1, 0, 1, "/", Tone::Key);
                input.draw(on, 3, 0, room.saturating_sub(3), true);
            }
            None if self.words.is_empty() => {
                on.put(1, 0, room, "newest first; everything that was changed, tried or refused here", Tone::Quiet);
            }
            None => {
                on.line(1, 0, &[("filter ", Tone::Quiet), (&self.words, Tone::Mark), ("  Esc takes it away", Tone::Quiet)]);
            }
        }
        let places = fit(&COLUMNS, 2, on.width().saturating_sub(1));
        heads(on, 1, &COLUMNS, &places);
        let rows = usize::from(on.height().saturating_sub(3));
        let top = self.list.top(self.records.len(), rows);
        for (y, (nth, record)) in self.records.iter().enumerate().skip(top).take(rows).enumerate() {
            let y = y as u16 + 2;
            marker(on, y, nth == self.list.at);
            let (e, d) = (&record.entry, &record.entry.deed);
            let standing = record.standing();
            let texts = [
                e.seq.to_string(),
                e.at.minute(known.offset_s),
                d.operator.clone(),
                standing.word().to_owned(),
                d.title.clone(),
                match (&d.before, record.after().unwrap_or("")) {
                    (Some(before), after) => format!("{before} → {after}"),
                    (None, after) => after.to_owned(),
                },
            ];
            for (i, (place, text)) in places.iter().zip(&texts).enumerate() {
                let tone = match i {
                    3 => tone(standing),
                    5 => Tone::Quiet,
                    _ => Tone::Plain,
                };
                if let Some(place) = place {
                    cell(on, y, *place, text, tone, COLUMNS[i].right);
                }
            }
        }
        if self.records.is_empty() && self.waits.is_none() && self.wrong.is_none() {
            let none = if self.total == 0 { "Nothing was ever written down here." } else { "No entry fits; Esc takes the filter away." };
            on.put(2, 2, room, none, Tone::Plain);
        }
        let (tail, tone) = self.tail();
        on.put(1, on.height().saturating_sub(1), room, &tail, tone);
    }
}

/// The settings that were saved, where a record is of a save that was done: nothing else changed them.
fn saved_settings(record: &Record) -> Vec<Key> {
    let deed = &record.entry.deed;
    if deed.action != "settings.save" || record.standing() != Standing::Ended(Ending::Ok) {
        return Vec::new();
    }
    deed.object.split(' ').filter_map(|key| key.parse().ok()).collect()
}

/// Everything that is written down of one record.
fn details(record: &Record, known: &Known) -> Text {
    let (e, d, w) = (&record.entry, &record.entry.deed, &record.entry.who);
    let standing = record.standing();
    let ended = record.outcome.as_ref().map(|o| o.at.minute(known.offset_s));
    let mut lines: Vec<Line> = vec![(Tone::Strong, d.title.clone()), (tone(standing), standing.word().to_owned())];
    let mut add = |name: &str, value: Option<String>| lines.extend(value.filter(|v| !v.is_empty()).map(|v| field(name, Ok(v))));
    add("said", record.after().map(str::to_owned).filter(|_| d.before.is_none()));
    add("before", d.before.clone());
    add("after", record.after().map(str::to_owned).filter(|_| d.before.is_some()));
    add("when", Some(e.at.minute(known.offset_s)));
    add("ended", ended);
    if let Some(Phase::Outcome { exit: Some(status), .. }) = record.outcome.as_ref().map(|o| o.phase) {
        add("exit", Some(status.to_string()));
    }
    add("operator", Some(if d.role.is_empty() { d.operator.clone() } else { format!("{}, {}", d.operator, d.role) }));
    add("action", Some(d.action.clone()));
    add("on", Some(d.object.clone()));
    add("from", Some(from(w)));
    add("login uid", Some(w.login_uid.map_or("nobody logged in: a service or a worker".into(), |uid| uid.to_string())));
    add("key", w.key.clone());
    add("by", Some(format!("a {} of Proximity", e.mode)));
    add("job", d.job.map(|id| format!("{id}; J in the list opens it")));
    let settings = (!saved_settings(record).is_empty()).then(|| "u in the list opens what was there before".to_owned());
    add("undo", d.undo.clone().or(settings));
    add(
        "commands",
        d.argv.map(|sum| sum.iter().take(8).map(|b| format!("{b:02x}")).collect::<String>() + "… (BLAKE2b-256 of their words)"),
    );
    let number = record.outcome.as_ref().map_or(String::new(), |o| format!(", its outcome entry {}", o.seq));
    add("entry", Some(format!("{}{number}", e.seq)));
    if standing == Standing::Open {
        lines.push((Tone::Plain, String::new()));
        lines.push((Tone::Unknown, "? no outcome is written down: it goes on still, or nobody saw how it ended".into()));
    }
    Text::new("audit entry", lines)
}

/// `10.1.2.3, /dev/pts/3, sudo by marta`.
fn from(who: &crate::domain::audit::Who) -> String {
    let sudo = who.sudo_user.as_ref().map(|user| format!("sudo by {user}"));
    let ssh = who.ssh.as_ref().map(|address| format!("SSH from {address}"));
    [ssh, who.tty.clone(), sudo].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
