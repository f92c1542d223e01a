//! The files of an archive: folders are walked through, and a file or a folder is brought back.
//!
//! ```text
//! ┌ files of vzdump-lxc-105-2026_11_21-03_18_03.tar.zst ─────────┐
//! │ /srv/app                                    3 of 24 entries  │
//! │   name          mode        owner       size  changed        │
//! │ ▸ uploads/      drwxr-x---  1000:33           2026-11-20 …   │
//! └──────────────────────────────────────────────────────────────┘
//! ```

use super::field::Field;
use super::text::{self, Line};
use crate::domain::backup::Archive;
use crate::domain::clean::{clean, clean_bytes};
use crate::domain::fact::Wish;
use crate::domain::inside::listing::{Listing, Seen};
use crate::domain::inside::pull::{self, Target};
use crate::domain::inside::{Kind, News};
use crate::domain::stamp::bytes;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::input::Input;
use crate::tui::list::{Column, List, cell, column, fit, heads, marker};
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::theme::Tone;
use crate::tui::words;

const COLUMNS: [Column; 5] = [
    column("name", 16, 200, 0, false),
    column("mode", 10, 10, 3, false),
    column("owner", 7, 11, 2, false),
    column("size", 8, 9, 0, true),
    column("changed", 16, 16, 1, false),
];

/// The dialog.
pub struct Inside {
    archive: Archive,
    state: News,
    /// The folder that is shown, and where the selection was in those above it.
    at: u32,
    above: Vec<List>,
    list: List,
    filter: Option<Input>,
    needle: String,
    /// Entries of the folder that the filter keeps; all of them where there is none.
    hits: Option<Vec<u32>>,
    /// What is to be said until the next key: the line for it lies below this window.
    said: String,
}

impl Inside {
    /// Opens it, and has the archive read.
    pub fn open(archive: Archive) -> Vec<Then> {
        let effect = Effect::Inside { archive: archive.clone(), on: true };
        let dialog = Inside {
            archive,
            state: News::Reading { read: 0, size: 0, entries: 0 },
            at: Listing::ROOT,
            above: Vec::new(),
            list: List::default(),
            filter: None,
            needle: String::new(),
            hits: None,
            said: String::new(),
        };
        vec![Then::Open(Box::new(dialog)), Then::Do(effect)]
    }

    fn listing(&self) -> Option<&Listing> {
        if let News::Listed(listing) = &self.state { Some(listing) } else { None }
    }

    fn len(&self) -> usize {
        match &self.hits {
            Some(hits) => hits.len(),
            None => self.listing().map_or(0, |l| l.children(self.at).len()),
        }
    }

    fn nth(&self, nth: usize) -> Option<u32> {
        match &self.hits {
            Some(hits) => hits.get(nth).copied(),
            None => self.listing()?.children(self.at).nth(nth),
        }
    }

    fn chosen(&self) -> Option<(u32, Seen<'_>)> {
        let at = self.nth(self.list.at)?;
        Some((at, self.listing()?.seen(at)?))
    }

    fn rows(known: &Known) -> usize {
        usize::from(known.size.1.saturating_sub(7)).max(1)
    }

    /// Into the selected folder. What is no folder has nothing in it.
    fn enter(&mut self) -> Vec<Then> {
        match self.chosen() {
            Some((at, seen)) if seen.kind == Kind::Dir => {
                self.unfilter();
                // The place of the folder among all, not among those that were kept.
                let first = self.listing().map_or(0, |l| l.children(self.at).start);
                let mut was = List::default();
                was.go((at - first) as usize, usize::MAX, 1);
                self.above.push(was);
                (self.at, self.list) = (at, List::default());
                Vec::new()
            }
            Some((_, seen)) => {
                self.said = format!("it is a {}; p brings it back", seen.kind.word());
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    fn up(&mut self) {
        if let Some(parent) = self.listing().map(|l| l.parent(self.at)).filter(|_| self.at != Listing::ROOT) {
            self.unfilter();
            (self.at, self.list) = (parent, self.above.pop().unwrap_or_default());
        }
    }

    fn unfilter(&mut self) {
        (self.filter, self.hits) = (None, None);
        self.needle.clear();
    }

    /// Keeps names that hold what is typed, in whatever case.
    fn sieve(&mut self) {
        let typed = self.filter.as_ref().map_or(String::new(), |i| i.text().to_lowercase());
        let Some(listing) = self.listing() else { return };
        // More of the same is looked for among what was kept.
        let among: Box<dyn Iterator<Item = u32>> = match &self.hits {
            Some(hits) if typed.starts_with(&self.needle) => Box::new(hits.iter().copied()),
            _ => Box::new(listing.children(self.at)),
        };
        let holds = |at: &u32| listing.seen(*at).is_some_and(|s| String::from_utf8_lossy(s.name).to_lowercase().contains(&typed));
        let hits = (!typed.is_empty()).then(|| among.filter(holds).collect());
        (self.hits, self.needle, self.list) = (hits, typed, List::default());
    }

    fn pull(&mut self, known: &Known) -> Vec<Then> {
        let (Some(listing), Some((at, _))) = (self.listing(), self.chosen()) else { return Vec::new() };
        let path = listing.path(at);
        // The wish is tried with the place that is offered, so that what cannot be brought back is said at once.
        match pull::wish(listing, &self.archive.volid, &path, Target::Host("/".into()), false) {
            Err(refusal) => {
                self.said = refusal.why;
                Vec::new()
            }
            Ok(wish) => vec![Then::Open(Box::new(PullTo::new(wish, &self.archive, known)))],
        }
    }

    fn draw_row(&self, on: &mut Canvas<'_>, y: u16, nth: usize, places: &[Option<(u16, u16)>], offset_s: i32) {
        let Some(seen) = self.nth(nth).and_then(|at| self.listing()?.seen(at)) else { return };
        let chosen = nth == self.list.at;
        marker(on, y, chosen);
        let link = if seen.link.is_empty() { String::new() } else { format!(" → {}", clean_bytes(seen.link)) };
        let slash = if seen.kind == Kind::Dir { "/" } else { "" };
        let texts = [
            format!("{}{slash}{link}", clean_bytes(seen.name)),
            seen.mode_words(),
            seen.owner(),
            if seen.kind == Kind::File { bytes(seen.size) } else { String::new() },
            seen.time().map_or("?".into(), |at| at.minute(offset_s)),
        ];
        for ((text, place), (i, column)) in texts.iter().zip(places).zip(COLUMNS.iter().enumerate()) {
            let tone = match i {
                0 if chosen => Tone::Strong,
                0 => Tone::Plain,
                _ => Tone::Quiet,
            };
            if let Some(place) = place {
                cell(on, y, *place, text, tone, column.right);
            }
        }
    }

    /// The last line: what is not seen.
    fn below(&self) -> Line {
        let Some(listing) = self.listing() else { return (Tone::Quiet, String::new()) };
        if !self.said.is_empty() {
            return (Tone::Warn, self.said.clone());
        }
        if listing.odd.0 > 0 {
            return (
                Tone::Warn,
                format!("{} names lead out of the archive and are not listed: {}", listing.odd.0, listing.odd.1.join(", ")),
            );
        }
        if listing.more > 0 {
            return (Tone::Warn, format!("{} entries more than can be listed", words::count(listing.more)));
        }
        (Tone::Quiet, format!("{} entries in the archive", words::count(listing.entries)))
    }
}

impl Pane for Inside {
    fn context(&self) -> Context {
        Context::Inside
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        self.said.clear();
        match action {
            // Enter ends the typing; what was kept stays.
            Action::Open if self.filter.is_some() => self.filter = None,
            Action::Open => return Some(self.enter()),
            Action::Parent => self.up(),
            Action::Search => self.filter = Some(Input::with(self.needle.clone())),
            Action::Pull => return Some(self.pull(known)),
            Action::Copy => {
                return Some(match (self.listing(), self.chosen()) {
                    (Some(listing), Some((at, _))) => {
                        let path = clean_bytes(&listing.path(at));
                        self.said = format!("copied: {path}");
                        vec![Then::Do(Effect::Copy(path))]
                    }
                    _ => Vec::new(),
                });
            }
            Action::Back if self.filter.is_some() || self.hits.is_some() => {
                self.unfilter();
                self.list = List::default();
            }
            Action::Back => return Some(vec![Then::Close]),
            _ => {
                let len = self.len();
                return self.list.act(action, len, Self::rows(known)).then(Vec::new);
            }
        }
        Some(Vec::new())
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        match action {
            Action::Open => self.filter.is_some() || self.chosen().is_some_and(|(_, s)| s.kind == Kind::Dir),
            Action::Pull | Action::Copy => self.chosen().is_some(),
            Action::Parent => self.at != Listing::ROOT,
            Action::Search => self.listing().is_some(),
            _ => true,
        }
    }

    fn is_typing(&self) -> bool {
        self.filter.is_some()
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        self.filter.as_mut().map(|i| i as &mut dyn Typed)
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        self.sieve();
        Vec::new()
    }

    fn inside(&mut self, volid: &str, news: &News, _known: &Known) {
        // What was listed stays: it is what is walked through.
        if volid == self.archive.volid && self.listing().is_none() {
            self.state = news.clone();
        }
    }

    fn closed(&mut self) -> Vec<Then> {
        vec![Then::Do(Effect::Inside { archive: self.archive.clone(), on: false })]
    }

    fn window(&self, known: &Known) -> Window {
        let file = self.archive.volid.rsplit('/').next().unwrap_or(&self.archive.volid);
        Window { title: format!("files of {}", clean(file)), width: known.size.0, height: known.size.1 }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let room = on.width().saturating_sub(2);
        let listing: &Listing = match &self.state {
            News::Reading { size: 0, .. } => {
                on.put(1, 0, room, "… the archive is opened", Tone::Quiet);
                return;
            }
            News::Reading { read, size, entries } => {
                let percent = words::percent(*read, *size).unwrap_or(0);
                on.put(1, 0, room, &format!("… {} entries so far", words::count(*entries)), Tone::Plain);
                let far = format!("{} {percent} %, read {} of {}", words::bar(percent, 20), bytes(*read), bytes(*size));
                on.put(1, 1, room, &far, Tone::Plain);
                on.put(1, 3, room, "The second look at the same archive is at once. Esc ends this one.", Tone::Quiet);
                return;
            }
            News::Failed { why, hint } => {
                let lines = [(Tone::Bad, format!("? its files: {why}")), (Tone::Plain, String::new()), (Tone::Quiet, hint.clone())];
                text::draw_lines(on, &text::wrapped(&lines, room), 0);
                return;
            }
            News::Listed(listing) => listing,
        };
        let all = listing.children(self.at).len();
        let count = if self.hits.is_some() { format!("{} of {}", self.len(), words::many(all, "name")) } else { words::many(all, "name") };
        on.title(0, &clean_bytes(&listing.path(self.at)), Tone::Strong, &count);
        if let Some(input) = &self.filter {
            on.put(0, 0, on.width(), &" ".repeat(on.width().into()), Tone::Plain);
            on.put(1, 0, 1, "/", Tone::Key);
            input.draw(on, 3, 0, room.saturating_sub(3), true);
        }
        let end = on.height().saturating_sub(1);
        let (tone, text) = self.below();
        on.put(1, end, room, &text, tone);
        if self.len() == 0 {
            let what = if all == 0 { "This folder is empty." } else { "No name here holds that." };
            on.put(2, 2, room, what, Tone::Quiet);
            return;
        }
        let places = fit(&COLUMNS, 2, on.width().saturating_sub(1));
        heads(on, 1, &COLUMNS, &places);
        let visible = usize::from(end.saturating_sub(2));
        let top = self.list.top(self.len(), visible);
        for (y, nth) in (top..self.len()).take(visible).enumerate() {
            self.draw_row(on, y as u16 + 2, nth, &places, known.offset_s);
        }
    }
}

/// Asks where to.
struct PullTo {
    wish: pull::PullWish,
    into: Field,
}

impl PullTo {
    fn new(wish: pull::PullWish, archive: &Archive, known: &Known) -> PullTo {
        let (_, above) = wish.name();
        let here = archive.vmid.filter(|id| known.world.guest(*id).is_some());
        let into = here.map_or("/root".to_owned(), |id| format!("{id}:{above}"));
        PullTo { wish, into: Field::with("into", into) }
    }
}

impl Pane for PullTo {
    fn context(&self) -> Context {
        Context::Form
    }

    fn act(&mut self, action: Action, _known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Open => {
                let into = self.into.read(Target::parse);
                let wish = into.map(|into| Wish::Pull(pull::PullWish { into, ..self.wish.clone() }));
                Some(wish.map(|wish| vec![Then::Close, Then::Wish(wish)]).unwrap_or_default())
            }
            _ => None,
        }
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        !matches!(action, Action::Toggle | Action::NextPart | Action::PrevPart)
    }

    fn is_typing(&self) -> bool {
        true
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        Some(&mut self.into.input)
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        self.into.said.clear();
        Vec::new()
    }

    fn window(&self, known: &Known) -> Window {
        Window {
            title: "bring back from the archive".into(),
            width: text::text_width(known).min(76),
            height: 10.min(text::most_rows(known)),
        }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        let room = on.width().saturating_sub(2);
        on.put(1, 0, room, &clean(&self.wish.path), Tone::Strong);
        let found = &self.wish.found;
        let many = if found.dir {
            format!("{} files in {} folders, ", words::count(found.files), words::count(found.dirs))
        } else {
            String::new()
        };
        on.put(1, 1, room, &format!("{many}{}", bytes(found.bytes)), Tone::Quiet);
        let y = self.into.draw(on, 3, true);
        on.put(1, y + 1, room, "GUEST:/FOLDER, or /FOLDER of this host. What is there is kept beside it.", Tone::Quiet);
        let keys = [("Enter", Tone::Key), (" show the plan   ", Tone::Plain), ("Esc", Tone::Key), (" no", Tone::Plain)];
        on.line(1, on.height().saturating_sub(1), &keys);
    }
}
