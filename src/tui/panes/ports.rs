//! Pane 5: who answers where, and where it is not as it was promised. Rows are there before anybody looked how they are.
//!
//! ```text
//!  ports · 1 wrong: nextcloud · 1 to look at ───────────────────── under 1 min ago · pct
//!  used 38 of 1000 · 151 addresses are the nearer limit · config v42 in effect
//!  public  internal  app         answers         target            drift
//!  30017   40017     nextcloud   ✗ 502  12 ms    10.20.0.104:80    lease moved to .117  fix: f
//!  30019   40019     –           cooling         until 2026-11-24 05:16, was wiki
//! ```
//!
//! A wide screen has room for who came to the public port, too: requests, how many of them failed, how long 95 of 100 took.

mod words;

use super::guest::Search;
use crate::domain::appliance::provision::ApplianceWish;
use crate::domain::caddy::around;
use crate::domain::fact::Wish;
use crate::domain::ports::{Answer, Held, Mend, Nearer, Of, PortMap, PortWish, Ranges, Row, Truth, What, joined, url};
use crate::domain::power::{PowerWish, Turn};
use crate::domain::publish::PublishWish;
use crate::domain::service::Published;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::dialogs::certificates::Certificates;
use crate::tui::dialogs::menu::Menu;
use crate::tui::dialogs::picture::Picture;
use crate::tui::dialogs::ports::Ask;
use crate::tui::dialogs::publish::Publish;
use crate::tui::dialogs::text::{self, Text};
use crate::tui::dialogs::who_has::WhoHas;
use crate::tui::effect::Effect;
use crate::tui::input::Input;
use crate::tui::list::{Column, List, cell, column, fit, heads, marker};
use crate::tui::pane::{Known, Pane, Then, Typed};
use crate::tui::theme::Tone;
use crate::tui::words::{many, source, width};
use words::{Standing, answers, details, kind_of_mend, note, standing};

/// Pane 5.
#[derive(Default)]
pub struct Ports {
    /// What is wrong with no row alone, or could not be asked.
    notes: Vec<Note>,
    rows: Vec<Row>,
    /// What passes the filter, in order.
    shown: Vec<Entry>,
    list: List,
    filter: Search,
}

/// One line of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Note(usize),
    Row(usize),
}

/// Something that is to be said of all ports.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Note {
    sign: &'static str,
    tone: Tone,
    says: String,
    mend: Option<Mend>,
}

const COLUMNS: [Column; 9] = [
    column("public", 6, 6, 0, false),
    column("internal", 8, 8, 3, false),
    column("app", 10, 16, 0, false),
    column("answers", 13, 15, 0, false),
    column("req", 6, 6, 6, true),
    column("5xx", 4, 4, 5, true),
    column("p95", 7, 7, 7, true),
    column("target", 16, 26, 4, false),
    column("drift", 12, 200, 2, false),
];

/// Which columns are the number of requests, where something leads, what is different.
const REQUESTS: usize = 4;
const TARGET: usize = 7;
const DRIFT: usize = 8;

/// Columns that a difference and its key want.
const TIGHT: u16 = 28;

/// Rows above the list: title, usage, heads.
const ABOVE: u16 = 3;

fn map(known: &Known) -> Option<&PortMap> {
    known.world.ports.get()
}

fn truth(known: &Known) -> Option<&Truth> {
    known.world.truth.get()
}

fn notes(known: &Known) -> Vec<Note> {
    let mut out = Vec::new();
    let bad = |says: &String| Note { sign: "✗", tone: Tone::Bad, says: says.clone(), mend: Some(Mend::Hand(words::BAD_ROW.into())) };
    if let Some(map) = map(known) {
        out.extend(map.bad.iter().map(|b| bad(&b.why)).chain(map.bad_services.iter().map(|(_, why)| bad(why))));
    }
    if let Some(truth) = truth(known) {
        let drift = truth.drift.iter();
        out.extend(drift.map(|d| Note { sign: "!", tone: Tone::Warn, says: d.says.clone(), mend: Some(d.mend.clone()) }));
        let gaps = truth.gaps.iter();
        out.extend(gaps.map(|g| Note { sign: "?", tone: Tone::Unknown, says: format!("{}: {}", g.what, g.why), mend: None }));
    }
    out
}

/// Whether all words are found in a row, in lower case.
fn passes(row: &Row, needle: &str) -> bool {
    let number = |port: Option<u16>| port.map_or(String::new(), |p| p.to_string());
    let mut hay = format!("{} {} {} {} {}", number(row.public), number(row.internal), row.state, row.target, row.note);
    if let Some(name) = &row.name {
        hay.push_str(&format!(" {name}"));
    }
    row.drift.iter().for_each(|d| hay.push_str(&format!(" {} {}", d.kind, d.says)));
    let hay = hay.to_lowercase();
    needle.split_whitespace().all(|word| hay.contains(word))
}

impl Ports {
    fn entry(&self) -> Option<Entry> {
        self.shown.get(self.list.at).copied()
    }

    /// The selected row.
    fn row(&self) -> Option<&Row> {
        if let Some(Entry::Row(at)) = self.entry() { self.rows.get(at) } else { None }
    }

    /// What is remembered of the selected row.
    fn held<'k>(&self, known: &'k Known) -> Option<&'k Held> {
        map(known)?.at(self.row()?.public?)
    }

    /// What is published on the selected row.
    fn published<'k>(&self, known: &'k Known) -> Option<&'k Published> {
        let row = self.row().filter(|r| r.state == "published")?;
        map(known)?.service(row.name.as_ref()?)
    }

    /// What mends the selected line.
    fn mend(&self) -> Option<(&Mend, &str)> {
        match self.entry()? {
            Entry::Note(at) => self.notes.get(at).and_then(|n| Some((n.mend.as_ref()?, n.says.as_str()))),
            Entry::Row(at) => self.rows.get(at)?.drift.first().map(|d| (&d.mend, d.says.as_str())),
        }
    }

    fn visible(&self, known: &Known) -> usize {
        known.pane_size().1.saturating_sub(ABOVE).into()
    }

    fn sift(&mut self) {
        let needle = &self.filter.needle;
        let note = |n: &Note| needle.split_whitespace().all(|word| n.says.to_lowercase().contains(word));
        let notes = (0..).zip(&self.notes).filter(|(_, n)| note(n)).map(|(at, _)| Entry::Note(at));
        let rows = (0..).zip(&self.rows).filter(|(_, r)| needle.is_empty() || passes(r, needle)).map(|(at, _)| Entry::Row(at));
        self.shown = notes.chain(rows).collect();
    }

    /// The URL of one of both ports of the selected row; else why there is none.
    fn url(&self, known: &Known, internal: bool) -> Result<String, String> {
        let row = self.row().ok_or("no ports are selected")?;
        if !matches!(row.state, "published" | "foreign") {
            return Err(format!("nothing is published there, it is {}", row.state));
        }
        let port = if internal { row.internal } else { row.public };
        url(&known.world, port.ok_or("it has no such port")?, self.published(known).map(|s| &s.spec))
    }

    fn copy(&self, known: &Known, internal: bool) -> Vec<Then> {
        match self.url(known, internal) {
            Ok(url) => vec![Then::Do(Effect::Copy(url.clone())), Then::Say(format!("copied: {url}"))],
            Err(why) => vec![Then::Say(why)],
        }
    }

    fn fix(&self) -> Vec<Then> {
        let Some((mend, says)) = self.mend() else { return vec![Then::Say("nothing to fix here".into())] };
        vec![match mend {
            Mend::Apply => Then::Wish(Wish::Publish(PublishWish::Converge)),
            Mend::Appliance => Then::Wish(Wish::Appliance(ApplianceWish::Converge)),
            Mend::Start(guest) => Then::Wish(Wish::Power(PowerWish { guest: *guest, turn: Turn::Start })),
            Mend::Hand(how) => {
                let lines = vec![(Tone::Warn, says.to_owned()), (Tone::Plain, String::new()), (Tone::Strong, format!("What to do: {how}"))];
                Then::Open(Box::new(Text::new("for a person to decide", lines)))
            }
        }]
    }

    /// A wish about the selected pair, as far as one makes sense there; else why not.
    fn wish(&self, action: Action, known: &Known) -> Result<PortWish, &'static str> {
        let none = "no ports are selected";
        let cooling = self.row().filter(|r| r.state == "cooling").and_then(|r| r.public);
        if let (Action::ReleaseNow, Some(port)) = (action, cooling) {
            return Ok(PortWish::Release(Of::Port(port), true));
        }
        let held = self.held(known).ok_or(if self.row().is_some() { "nobody has it here" } else { none })?;
        let of = Of::Port(held.pair.public);
        match (action, &held.what) {
            (Action::Pin, What::Reserved(name)) => Ok(PortWish::Pin(name.clone(), None)),
            (Action::Pin, What::Pinned(_) | What::Kept(_)) => Ok(PortWish::Unpin(of)),
            (Action::Pin, What::Blocked(_)) => Err("it is blocked; b ends that"),
            (Action::Block, What::Blocked(_)) => Ok(PortWish::Unblock(held.pair.public)),
            (Action::Release | Action::ReleaseNow, _) => Ok(PortWish::Release(of, action == Action::ReleaseNow)),
            _ => Err(none),
        }
    }

    fn keep(&self, action: Action, known: &Known) -> Vec<Then> {
        match (self.wish(action, known), known.operator()) {
            (Err(why), _) => vec![Then::Say(why.into())],
            (_, Err((why, hint))) => vec![Then::Open(Box::new(text::problem(&format!("nothing can be changed now: {why}"), &hint)))],
            (Ok(wish), Ok(_)) => vec![Then::Do(Effect::KeepPorts(wish)), Then::Say("saving …".into())],
        }
    }

    fn menu(&self, known: &Known) -> Menu {
        let mut entries = vec![("publish something …", Action::Publish)];
        let published = self.published(known).is_some();
        if published {
            entries.push(("change how it is published …", Action::Edit));
            entries.push(("publish it no more: its ports are given back", Action::Unpublish));
        }
        entries.extend(self.mend().map(|(mend, _)| (kind_of_mend(mend), Action::Mend)));
        match self.held(known).map(|h| &h.what) {
            Some(What::Reserved(_)) => entries.push(("keep its ports for its name for ever", Action::Pin)),
            Some(What::Pinned(_) | What::Kept(_)) => entries.push(("keep its ports for its name no more", Action::Pin)),
            Some(What::Blocked(_)) => entries.push(("give it out again", Action::Block)),
            None => {}
        }
        if matches!(self.held(known).map(|h| &h.what), Some(What::Reserved(_) | What::Pinned(_))) && !published {
            entries.push(("give its ports back", Action::Release));
            entries.push(("give its ports back, free for others at once", Action::ReleaseNow));
        }
        if self.row().is_some_and(|r| r.state == "cooling") {
            entries.push(("end its cool-down now", Action::ReleaseNow));
        }
        entries.push(("reserve a pair for a name …", Action::Reserve));
        if !matches!(self.held(known).map(|h| &h.what), Some(What::Blocked(_))) {
            entries.push(("block a pair …", Action::Block));
        }
        entries.push(("who has a port, and who had it …", Action::WhoHas));
        entries.push(("all certificates: how long they are good, who renews them …", Action::Certificates));
        if self.url(known, false).is_ok() {
            entries.push(("copy its public URL", Action::Copy));
            entries.push(("copy its internal URL", Action::CopyInternal));
            entries.push(("its public URL as a picture for a telephone", Action::Picture));
        }
        entries.push(("bring all that is published in force, as promised", Action::Converge));
        Menu::of_ports(self.row().map_or("ports".into(), words::title), entries)
    }

    fn open(&self, known: &Known) -> Option<Text> {
        match self.entry()? {
            Entry::Note(at) => self.notes.get(at).map(|n| {
                let mut lines = vec![(n.tone, format!("{} {}", n.sign, n.says))];
                lines.extend(n.mend.as_ref().map(|mend| (Tone::Strong, words::mends(mend))));
                Text::new("all ports", lines)
            }),
            Entry::Row(at) => {
                let row = self.rows.get(at)?;
                let urls = [self.url(known, false).ok(), self.url(known, true).ok()];
                Some(Text::new(words::title(row), details(row, urls, map(known), known)))
            }
        }
    }

    fn heading(&self) -> (String, Tone) {
        let of = |what: Standing| self.rows.iter().filter(move |r| standing(r) == what);
        let mut title = "ports".to_owned();
        let wrong: Vec<String> = of(Standing::Wrong).map(words::whose).collect();
        match &wrong[..] {
            [] => {}
            few if few.len() < 4 => title.push_str(&format!(" · {} wrong: {}", few.len(), few.join(", "))),
            more => title.push_str(&format!(" · {} wrong", more.len())),
        }
        let look = of(Standing::Drifts).count() + self.notes.iter().filter(|n| n.sign != "?").count();
        if look > 0 {
            title.push_str(&format!(" · {look} to look at"));
        }
        let unknown = of(Standing::Unknown).count() + self.notes.iter().filter(|n| n.sign == "?").count();
        if unknown > 0 {
            title.push_str(&format!(" · {unknown} unknown"));
        }
        (title, if wrong.is_empty() { Tone::Strong } else { Tone::Bad })
    }

    /// How full the ranges are, what is full first, and which configuration holds.
    fn usage(&self, known: &Known) -> (String, Tone) {
        let held = self.rows.iter().filter(|r| !matches!(r.state, "cooling" | "foreign" | "blocked")).count();
        let size = known.world.chosen().ok().and_then(|s| Ranges::of(&s).ok()).map(|r| r.pairs().count());
        let size = size.map_or("?".into(), |n| n.to_string());
        match &known.world.truth.known {
            Err(_) if known.world.truth.is_pending() => (format!("used {held} of {size} · what answers is being asked …"), Tone::Quiet),
            Err(why) => (format!("used {held} of {size} · ? what answers: {why}"), Tone::Unknown),
            Ok(truth) => {
                let mut out = match &truth.usage {
                    Some(usage) => format!("used {} of {}", usage.held, usage.size),
                    None => format!("used {held} of {size}"),
                };
                match &truth.nearer {
                    Some(Nearer::Ports(left)) => out.push_str(&format!(" · {left} ports are the nearer limit")),
                    Some(Nearer::Addresses(left)) => out.push_str(&format!(" · {left} addresses are the nearer limit")),
                    Some(Nearer::Quota(left)) => out.push_str(&format!(" · {left} more by ports.quota are the nearer limit")),
                    Some(Nearer::Unknown(_)) | None => out.push_str(" · nearer limit ?"),
                }
                out.push_str(&truth.version.map_or(" · config ?".into(), |v| format!(" · config v{v} in effect")));
                (out, Tone::Quiet)
            }
        }
    }

    fn draw_row(&self, on: &mut Canvas<'_>, y: u16, row: &Row, places: &[Option<(u16, u16)>], chosen: bool, known: &Known) {
        let number = |port: Option<u16>| port.map_or("–".into(), |p| p.to_string());
        let published = row.state == "published";
        let app = match &row.name {
            Some(name) if row.state != "cooling" => name.to_string(),
            _ => "–".into(),
        };
        let strong = if chosen { Tone::Strong } else { Tone::Plain };
        let (mut answer, tone) = answers(row);
        // Where drift has no room of its own, it must not be overlooked.
        if places[DRIFT].is_none() && !row.drift.is_empty() {
            answer.insert_str(0, "! ");
        }
        // Where there is no room for both, what is different counts, and not where it leads.
        let tight = places[DRIFT].is_some_and(|(_, room)| room < TIGHT) && !row.drift.is_empty();
        let drift = if tight { places[TARGET].or(places[DRIFT]) } else { places[DRIFT] };
        let target = if tight { None } else { places[TARGET] };
        let unproven = row.target.starts_with("unproven ");
        let cells = [
            (number(row.public), strong),
            (number(row.internal), Tone::Plain),
            (app, if published { strong } else { Tone::Plain }),
            (answer, tone),
            (if published { fitting(&row.target, target, known) } else { String::new() }, if unproven { Tone::Warn } else { Tone::Plain }),
        ];
        for ((text, tone), place) in cells.iter().zip([places[0], places[1], places[2], places[3], target]) {
            if let Some(place) = place {
                cell(on, y, place, text, *tone, false);
            }
        }
        let visits = words::visits(&row.lately[0].visits);
        for ((text, tone), place) in visits.iter().zip(&places[REQUESTS..TARGET]) {
            if let Some(place) = place.filter(|_| published) {
                cell(on, y, place, text, *tone, true);
            }
        }
        let end = on.width().saturating_sub(1);
        if !published && let Some((x, _)) = target.or(drift.filter(|_| row.drift.is_empty())) {
            let room = match (drift, row.drift.is_empty()) {
                (Some((drift, _)), false) => drift.saturating_sub(x + 2),
                _ => end.saturating_sub(x),
            };
            on.put(x, y, room, &note(row, map(known), known, room), Tone::Quiet);
        }
        let (Some(first), Some((x, _))) = (row.drift.first(), drift) else { return };
        let key = if matches!(first.mend, Mend::Hand(_)) { "how: f" } else { "fix: f" };
        let from = on.put_right(end, y, width(key), key, Tone::Key);
        let more = if row.drift.len() > 1 { format!(" (+{})", row.drift.len() - 1) } else { String::new() };
        let room = from.saturating_sub(x + 2 + width(&more));
        let used = on.put(x, y, room, &first.says, Tone::Warn);
        on.put(x + used, y, width(&more), &more, Tone::Quiet);
    }

    /// What is to be said where there is no row; nothing where there is one.
    fn instead(&self, known: &Known) -> Vec<text::Line> {
        let part = &known.world.ports;
        match (&part.known, &known.world.truth.known) {
            // Whoever may not look is told so by the answer to his asking.
            (Err(_), Err(why)) if part.is_pending() && !known.world.truth.is_pending() => vec![(Tone::Unknown, format!("? ports: {why}"))],
            (Err(_), _) if part.is_pending() => match known.operator() {
                Err((why, hint)) => vec![(Tone::Unknown, format!("? ports: {why}")), (Tone::Strong, format!("What to do: {hint}"))],
                Ok(_) => vec![(Tone::Quiet, "asking …".into())],
            },
            (Err(why), _) => vec![(Tone::Unknown, format!("? ports: {why}"))],
            (Ok(_), _) if self.rows.is_empty() && self.notes.is_empty() => vec![
                (Tone::Plain, "Nothing is published yet, and no port is reserved.".into()),
                (Tone::Quiet, "p publishes something: a name, and where it answers. It gets a pair of ports.".into()),
            ],
            (Ok(_), _) if self.shown.is_empty() => vec![(Tone::Quiet, "nothing matches; Esc shows all".into())],
            _ => Vec::new(),
        }
    }
}

impl Pane for Ports {
    fn context(&self) -> Context {
        Context::Ports
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        Some(match action {
            Action::Open if self.filter.input.is_some() => {
                self.filter.input = None;
                Vec::new()
            }
            Action::Open => self.open(known).map(|t| Then::Open(Box::new(t))).into_iter().collect(),
            Action::Back => {
                self.filter = Search::default();
                self.sift();
                let (len, rows) = (self.shown.len(), self.visible(known));
                self.list.go(self.list.at.min(len.saturating_sub(1)), len, rows);
                Vec::new()
            }
            Action::Search => {
                self.filter.input = Some(Input::with(self.filter.needle.clone()));
                Vec::new()
            }
            Action::Publish => vec![Then::Open(Box::new(Publish::default()))],
            Action::Edit => match self.published(known) {
                Some(service) => vec![Then::Open(Box::new(Publish::of(service)))],
                None => vec![Then::Say("nothing is published there; p publishes something".into())],
            },
            Action::Unpublish => match self.published(known) {
                Some(service) => vec![Then::Wish(Wish::Publish(PublishWish::Unpublish(service.name.clone())))],
                None => vec![Then::Say("nothing is published there".into())],
            },
            Action::Converge => vec![Then::Wish(Wish::Publish(PublishWish::Converge))],
            Action::Mend => self.fix(),
            Action::Menu => vec![Then::Open(Box::new(self.menu(known)))],
            Action::Block if !matches!(self.held(known).map(|h| &h.what), Some(What::Blocked(_))) => {
                // What somebody has cannot be blocked, so its number is none to begin with.
                let port = if self.held(known).is_none() { self.row().and_then(|r| r.public) } else { None };
                vec![Then::Open(Box::new(Ask::block(port)))]
            }
            Action::Reserve => vec![Then::Open(Box::new(Ask::reserve()))],
            Action::Pin | Action::Block | Action::Release | Action::ReleaseNow => self.keep(action, known),
            Action::WhoHas => {
                let port = self.row().and_then(|r| r.public.or(r.internal));
                let ask = port.map(|p| Then::Do(Effect::AskPort(p)));
                std::iter::once(Then::Open(Box::new(WhoHas::new(port)))).chain(ask).collect()
            }
            Action::Certificates => vec![Then::Open(Box::new(Certificates::default())), Then::Do(Effect::LookCertificates)],
            Action::Copy => self.copy(known, false),
            Action::CopyInternal => self.copy(known, true),
            Action::Picture => match self.url(known, false) {
                Ok(url) => vec![Then::Open(Box::new(Picture::new(url)))],
                Err(why) => vec![Then::Say(why)],
            },
            _ => {
                let (len, rows) = (self.shown.len(), self.visible(known));
                return self.list.act(action, len, rows).then(Vec::new);
            }
        })
    }

    fn can(&self, action: Action, known: &Known) -> bool {
        match action {
            Action::Open => self.entry().is_some(),
            Action::Edit | Action::Unpublish => self.published(known).is_some(),
            Action::Mend => self.mend().is_some(),
            Action::Pin => self.wish(action, known).is_ok(),
            Action::Copy | Action::CopyInternal | Action::Picture => self.url(known, false).is_ok(),
            Action::Back => self.filter.input.is_some() || !self.filter.needle.is_empty(),
            _ => true,
        }
    }

    fn is_typing(&self) -> bool {
        self.filter.input.is_some()
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        self.filter.input.as_mut().map(|i| i as &mut dyn Typed)
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        self.filter.read();
        self.sift();
        self.list = List::default();
        Vec::new()
    }

    fn news(&mut self, known: &Known) {
        // The selection stays at its ports, wherever they stand now.
        let ports = |row: &Row| (row.public, row.internal);
        let before = self.row().map(ports);
        self.notes = notes(known);
        let found = truth(known).map(|truth| (truth, known.world.truth.as_of));
        self.rows = map(known).map_or(Vec::new(), |map| joined(map, found, known.now));
        self.sift();
        let is_it = |e: &Entry| matches!(e, Entry::Row(at) if self.rows.get(*at).map(ports) == before);
        let at = before.and_then(|_| self.shown.iter().position(is_it));
        let (len, rows) = (self.shown.len(), self.visible(known));
        self.list.go(at.unwrap_or(self.list.at).min(len.saturating_sub(1)), len, rows);
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let room = on.width().saturating_sub(2);
        let part = &known.world.truth;
        let (title, tone) = self.heading();
        let age = if part.is_pending() { "asking …".to_owned() } else { source(part, known.now) };
        on.title(0, &title, tone, &age);
        if let Some(input) = &self.filter.input {
            on.put(0, 0, on.width(), &" ".repeat(on.width().into()), Tone::Plain);
            on.put(1, 0, 1, "/", Tone::Key);
            let end = on.put_right(on.width().saturating_sub(1), 0, 20, &many(self.shown.len(), "line"), Tone::Quiet);
            input.draw(on, 3, 0, end.saturating_sub(4), true);
        }
        let instead = self.instead(known);
        if !instead.is_empty() {
            let lines = text::wrapped(&instead, room);
            let rows = on.height().saturating_sub(1);
            return text::draw_lines(&mut on.rows(1, rows), &lines, 0);
        }
        let places = fit(&COLUMNS, 2, on.width().saturating_sub(1));
        let (mut usage, tone) = self.usage(known);
        // Of what is published since not long ago less is known: its details tell.
        let since = self.rows.iter().filter_map(|r| r.lately[0].visits.counted()).min_by_key(|t| t.since);
        if let Some(traffic) = since.filter(|_| places[REQUESTS..TARGET].iter().any(Option::is_some)) {
            usage.push_str(&format!(" · requests of the last {}", traffic.over()));
        }
        let filter = if self.filter.needle.is_empty() || self.filter.input.is_some() {
            String::new()
        } else {
            format!("filter /{}/ · ", self.filter.needle)
        };
        on.line(1, 1, &[(&filter, Tone::Key), (&usage, tone)]);
        heads(on, 2, &COLUMNS, &places);
        let visible = usize::from(on.height().saturating_sub(ABOVE));
        let top = self.list.top(self.shown.len(), visible);
        for (y, (nth, entry)) in (ABOVE..).zip(self.shown.iter().enumerate().skip(top).take(visible)) {
            let chosen = nth == self.list.at;
            marker(on, y, chosen);
            match entry {
                Entry::Note(at) => {
                    let Some(note) = self.notes.get(*at) else { continue };
                    let key = match &note.mend {
                        Some(Mend::Hand(_)) => "how: f",
                        Some(_) => "fix: f",
                        None => "",
                    };
                    let end = on.put_right(on.width().saturating_sub(1), y, 6, key, Tone::Key);
                    on.put(2, y, end.saturating_sub(4), &format!("{} {}", note.sign, note.says), note.tone);
                }
                Entry::Row(at) => {
                    if let Some(row) = self.rows.get(*at) {
                        self.draw_row(on, y, row, &places, chosen, known);
                    }
                }
            }
        }
    }
}

/// A target for its cell: where it has no room, without the domain of the apps.
fn fitting(target: &str, place: Option<(u16, u16)>, known: &Known) -> String {
    let domain = || known.world.chosen().and_then(|settings| around(&settings)).ok();
    match place.filter(|(_, room)| width(target) > *room).and_then(|_| domain()) {
        Some((domain, _)) => target.replace(&format!(".{domain}:"), ":"),
        None => target.to_owned(),
    }
}

/// Whether an answer says that something is wrong.
fn is_wrong(answer: &Answer) -> bool {
    match answer {
        Answer::Silent(_) | Answer::NoTls(_) => true,
        Answer::Status { .. } => !answer.is_well(),
        Answer::NotAsked | Answer::Unknown(_) | Answer::Taken { .. } => false,
    }
}
