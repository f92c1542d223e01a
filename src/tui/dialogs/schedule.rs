//! When a guest is backed up: a time as Proxmox writes it, where to, what is kept. Ends in the plan of one of Proxmox's own jobs.

use super::field::{Field, Fields};
use super::text;
use crate::domain::calendar::{Event, Zone};
use crate::domain::clean::clean;
use crate::domain::fact::Wish;
use crate::domain::guest::Guest;
use crate::domain::schedule::plan::{OURS, ScheduleWish, SetWish};
use crate::domain::settings::Kind;
use crate::domain::storage::StorageId;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::theme::Tone;

/// So many next times are shown.
const TIMES: usize = 3;

/// The form.
pub struct Schedule {
    guest: Guest,
    /// When, where to, what is kept.
    fields: Fields,
    /// The jobs that back it up now, one line each.
    now: Vec<String>,
}

impl Schedule {
    /// For this guest; what its own job says stands there already.
    pub fn new(guest: Guest, known: &Known) -> Schedule {
        let jobs = known.world.schedules.get().map_or(&[][..], |s| &s.jobs);
        let own = jobs.iter().find(|j| j.id == format!("{OURS}{}", guest.id));
        let get = |key: &str| own.and_then(|j| j.get(key)).unwrap_or("").to_owned();
        let covering = jobs.iter().filter(|j| j.covers(&guest) == Ok(true));
        let line = |j: &crate::domain::schedule::BackupJob| {
            let off = if j.is_on() { "" } else { ", off" };
            format!("now: job {}, {}{off}", clean(&j.id), clean(j.schedule()))
        };
        let now = covering.map(line).collect();
        let fields =
            vec![Field::with("when", get("schedule")), Field::with("storage", get("storage")), Field::with("keeps", get("prune-backups"))];
        Schedule { guest, fields: Fields::new(fields), now }
    }

    fn zone(known: &Known) -> Zone {
        known.world.schedules.get().map_or_else(|| Zone::fixed(known.offset_s), |s| s.zone.clone())
    }

    /// What is to be known of the field one is in.
    fn hint(&self, known: &Known) -> text::Line {
        let hint = match self.fields.at {
            0 => match Event::parse(self.fields.all[0].input.text().trim()) {
                Err(_) => "02:00 · sat 15:00 · mon..fri 22:30 · *-*-01 03:00 · daily".to_owned(),
                Ok(event) => {
                    let zone = Self::zone(known);
                    let times = std::iter::successors(event.next(known.now, &zone), |at| event.next(*at, &zone));
                    let times: Vec<String> = times.take(TIMES).map(|at| at.minute(zone.offset(at.secs()))).collect();
                    if times.is_empty() { "That time never comes.".into() } else { format!("Comes {}", times.join(", ")) }
                }
            },
            1 => {
                let takes = known.world.storages.get().into_iter().flatten().filter(|s| s.takes("backup"));
                let names: Vec<String> = takes.map(|s| s.id.to_string()).collect();
                format!("Empty: as the settings say, else the one with most room. Takes backups: {}", names.join(", "))
            }
            _ => "Empty: Proxmox removes nothing. keep-last=3,keep-weekly=4: it does, and knows nothing of the last that came back.".into(),
        };
        (Tone::Quiet, hint)
    }

    fn go(&mut self) -> Vec<Then> {
        let [when, storage, keep] = &mut self.fields.all[..] else { return Vec::new() };
        let when = when.read(|text| Event::parse(text).map(|_| text.to_owned()));
        let storage = storage.read(|text| if text.is_empty() { Ok(None) } else { text.parse::<StorageId>().map(Some) });
        let keep = keep.read(|text| if text.is_empty() { Ok(None) } else { Kind::Keep.parse(text).map(|_| Some(text.to_owned())) });
        if let Some(bad) = [when.is_none(), storage.is_none(), keep.is_none()].iter().position(|bad| *bad) {
            self.fields.at = bad;
        }
        let (Some(when), Some(storage), Some(keep)) = (when, storage, keep) else { return Vec::new() };
        let wish = SetWish { guest: Some(self.guest.id), when, storage, mode: None, keep, id: None };
        vec![Then::Close, Then::Wish(Wish::Schedule(ScheduleWish::Set(wish)))]
    }
}

impl Pane for Schedule {
    fn context(&self) -> Context {
        Context::Form
    }

    fn act(&mut self, action: Action, _known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::Open => Some(self.go()),
            Action::PageUp | Action::PageDown => Some(Vec::new()),
            action => self.fields.goes(action).then(Vec::new),
        }
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        action != Action::Toggle
    }

    fn is_typing(&self) -> bool {
        true
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        self.fields.input()
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        self.fields.typed();
        Vec::new()
    }

    fn window(&self, known: &Known) -> Window {
        let width = text::wide(known, 76);
        let room = width.saturating_sub(2);
        let hint = text::wrapped(&[self.hint(known)], room.saturating_sub(2)).len() as u16;
        let height = (self.fields.rows(room) + hint + self.now.len() as u16 + 5).min(text::most_rows(known));
        Window { title: format!("when {} is backed up", self.guest.title()), width, height }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let room = on.width().saturating_sub(2);
        let end = on.height().saturating_sub(1);
        let y = self.fields.draw(&mut on.rows(0, end));
        let mut lines = text::wrapped(&[self.hint(known)], room);
        lines.extend(self.now.iter().map(|line| (Tone::Plain, line.clone())));
        for (y, (tone, line)) in (y + 1..end).zip(&lines) {
            on.put(1, y, room, line, *tone);
        }
        on.line(1, end, &[("Enter", Tone::Key), (" show the plan   ", Tone::Plain), ("Esc", Tone::Key), (" no", Tone::Plain)]);
    }
}
