//! What can be done with a guest or with the appliance, and why something cannot be done now.

use std::net::Ipv4Addr;

use super::locks::Locks;
use super::restore::Restore;
use super::text;
use crate::domain::appliance::fallback::Side;
use crate::domain::appliance::hold::{Holder, LeaseWish};
use crate::domain::appliance::provision::{ApplianceWish, Options};
use crate::domain::appliance::system::Service;
use crate::domain::backup::{self, Archive, BackupWish};
use crate::domain::fact::Wish;
use crate::domain::guest::Guest;
use crate::domain::inside::verify::VerifyWish;
use crate::domain::power::{self, PowerWish, Turn};
use crate::domain::restore::RestoreWish;
use crate::domain::retention::{self, PruneWish};
use crate::domain::swap;
use crate::domain::world::World;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::list::{List, marker};
use crate::tui::pane::{Known, Pane, Then, Window};
use crate::tui::theme::Tone;

enum What {
    Wish(Wish),
    Restore,
    Drill,
    Logs,
    Locks,
    /// What a key of the pane does.
    Act(Action),
}

/// The action menu of a guest, of the appliance, or of a pair of ports.
pub struct Menu {
    title: String,
    guest: Option<Guest>,
    entries: Vec<(&'static str, What)>,
    list: List,
}

/// The turns of power, as an operator says them.
pub const TURNS: [(&str, Turn); 4] =
    [("start", Turn::Start), ("shut down", Turn::Shutdown), ("reboot", Turn::Reboot), ("stop, pulling its plug", Turn::Stop)];

impl Menu {
    /// For this guest.
    pub fn new(guest: Guest, world: &World) -> Menu {
        let id = guest.id;
        let mut entries: Vec<_> =
            TURNS.iter().map(|(word, turn)| (*word, What::Wish(Wish::Power(PowerWish { guest: id, turn: *turn })))).collect();
        entries.push(("back up", What::Wish(Wish::Backup(BackupWish::of(id)))));
        entries.push(("the lock doctor: who holds its lock, what was left", What::Locks));
        entries.push(("restore its newest archive beside it", What::Restore));
        entries.push(("see whether that would come back: restore, ask, remove", What::Drill));
        entries.push(("verify its newest archive: read it to its end", What::Wish(Wish::Verify(VerifyWish::Guest(id)))));
        entries.push(("remove its archives that no rule keeps", What::Wish(Wish::Prune(PruneWish { guest: Some(id), keep: None }))));
        entries.extend(swap::offered(world, &guest).map(|(words, wish)| (words, What::Wish(Wish::Swap(wish)))));
        entries.push(("show its log lines", What::Logs));
        Menu { title: guest.title(), guest: Some(guest), entries, list: List::default() }
    }

    /// For the appliance, and a lease that is selected. Whether something is possible is asked when its plan is made.
    pub fn of_the_appliance(lease: Option<Ipv4Addr>) -> Menu {
        let wish = |wish| What::Wish(Wish::Appliance(wish));
        let mut entries = vec![
            ("bring it back to its settings", wish(ApplianceWish::Converge)),
            ("build it, or what is missing of it", wish(ApplianceWish::Provision(Options::default()))),
            ("the same, and fetch a template first", wish(ApplianceWish::Provision(Options { download: true, ..Options::default() }))),
            ("build it anew beside itself: apps pause for seconds", wish(ApplianceWish::Rebuild(Options::default()))),
            ("restart dnsmasq: addresses and names", wish(ApplianceWish::Restart(Service::Dnsmasq))),
            ("restart Caddy: the way in to apps", wish(ApplianceWish::Restart(Service::Caddy))),
            ("move the apps past it: nothing isolates them then", What::Wish(Wish::Move(Side::Out))),
            ("move the apps back behind it", What::Wish(Wish::Move(Side::Back))),
        ];
        let release = |address| wish(ApplianceWish::Lease(LeaseWish::Release(Holder::Address(address))));
        entries.extend(lease.map(|address| ("take the selected lease back: its guest is gone", release(address))));
        Menu { title: "the appliance".into(), guest: None, entries, list: List::default() }
    }

    /// For a pair of ports: what the keys of its pane do, and what has no key.
    pub fn of_ports(title: String, entries: Vec<(&'static str, Action)>) -> Menu {
        let entries = entries.into_iter().map(|(word, action)| (word, What::Act(action))).collect();
        Menu { title, guest: None, entries, list: List::default() }
    }

    /// Why an entry is not possible now.
    fn against(&self, what: &What, known: &Known) -> Option<String> {
        match what {
            What::Wish(Wish::Power(wish)) => power::plan(&known.world, wish).err().map(|r| r.why),
            What::Wish(Wish::Backup(wish)) => backup::plan(&known.world, wish).err().map(|r| r.why),
            What::Wish(Wish::Swap(wish)) => swap::plan(&known.world, wish).err().map(|r| r.why),
            What::Wish(Wish::Prune(wish)) => match retention::plan(&known.world, wish, known.offset_s) {
                Err(refusal) => Some(refusal.why),
                Ok(plan) => plan.steps.is_empty().then(|| "backups.retention keeps them all".into()),
            },
            What::Wish(
                Wish::Unlock(_)
                | Wish::Restore(_)
                | Wish::Verify(_)
                | Wish::Pull(_)
                | Wish::Label(_)
                | Wish::Schedule(_)
                | Wish::Drills(_)
                | Wish::Appliance(_)
                | Wish::Publish(_)
                | Wish::KeepChange
                | Wish::Move(_),
            )
            | What::Logs
            | What::Locks
            | What::Act(_) => None,
            What::Restore | What::Drill => match known.world.archives.get() {
                None => Some("the backups are unknown".into()),
                Some(_) => self.archive(known).is_none().then(|| "it has no backup".into()),
            },
        }
    }

    fn archive<'k>(&self, known: &'k Known) -> Option<&'k Archive> {
        known.world.last_archive(self.guest.as_ref()?.id)
    }

    fn choose(&self, at: usize, known: &Known) -> Vec<Then> {
        let Some((_, what)) = self.entries.get(at) else { return Vec::new() };
        if let Some(why) = self.against(what, known) {
            return vec![Then::Say(format!("not now: {why}"))];
        }
        let next = match what {
            What::Wish(wish) => Some(Then::Wish(wish.clone())),
            What::Act(action) => Some(Then::Act(*action)),
            What::Restore => self.archive(known).map(|a| Then::Open(Box::new(Restore::new(a.clone(), known)))),
            What::Drill => self.archive(known).map(|a| Then::Wish(Wish::Restore(RestoreWish::drill(a.volid.clone(), None)))),
            What::Locks => {
                let id = self.guest.as_ref().map(|g| g.id);
                return vec![Then::Close, Then::Open(Box::new(Locks::new(id))), Then::Do(Effect::LookLocks(id))];
            }
            What::Logs => self.guest.as_ref().map(|g| Then::LogsOf(None, log_words(g))),
        };
        std::iter::once(Then::Close).chain(next).collect()
    }
}

/// The filter that finds a guest in logs: its address where it is fixed, or its name. One expression,
/// because words of a filter must all match.
pub fn log_words(guest: &Guest) -> String {
    let fixed = guest
        .nics
        .iter()
        .filter_map(|n| n.ip.as_deref())
        .filter_map(|ip| ip.split('/').next())
        .find(|ip| ip.parse::<std::net::IpAddr>().is_ok());
    let escape = |w: &str| {
        w.chars()
            .filter(|c| !c.is_whitespace())
            .flat_map(|c| ["\\".repeat(usize::from(c.is_ascii_punctuation() && c != '-')), c.to_string()])
            .collect::<String>()
    };
    let mut words: Vec<String> = Vec::new();
    words.extend(guest.name.as_deref().map(&escape).filter(|w| !w.is_empty()));
    words.extend(fixed.map(|ip| format!("\\b{}\\b", escape(ip))));
    if words.is_empty() { format!("\\b{}\\b", guest.id) } else { words.join("|") }
}

impl Pane for Menu {
    fn context(&self) -> Context {
        Context::Choice
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        let (len, rows) = (self.entries.len(), usize::from(self.window(known).height.saturating_sub(2)));
        match action {
            Action::Open | Action::Toggle => Some(self.choose(self.list.at, known)),
            Action::Pick(n) => Some(self.choose(n.into(), known)),
            _ => self.list.act(action, len, rows).then(Vec::new),
        }
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        action != Action::Toggle
    }

    fn window(&self, known: &Known) -> Window {
        Window {
            title: self.title.clone(),
            width: text::text_width(known).min(76),
            height: (self.entries.len() as u16 + 2).min(text::most_rows(known)),
        }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let rows = usize::from(on.height());
        let top = self.list.top(self.entries.len(), rows);
        for (y, (nth, (word, what))) in self.entries.iter().enumerate().skip(top).take(rows).enumerate() {
            let y = y as u16;
            marker(on, y, nth == self.list.at);
            let against = self.against(what, known);
            let tone = if against.is_some() { Tone::Quiet } else { Tone::Plain };
            let used = 2 + on.put(2, y, on.width().saturating_sub(3), word, tone);
            if let Some(why) = against {
                on.put(used, y, on.width().saturating_sub(used + 1), &format!("  not now: {why}"), Tone::Quiet);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::filter::Filter;
    use crate::domain::guest::{Kind, Nic};

    #[test]
    fn log_words_find_the_guest_and_are_one_expression() {
        let mut g = Guest::bare("101".parse().unwrap(), Kind::Lxc);
        assert!(Filter::parse(&log_words(&g)).unwrap().passes(b"ct 101 x"));
        g.name = Some("we.b (x".into());
        g.nics.push(Nic { ip: Some("10.0.0.5/24".into()), ..Nic::default() });
        let f = Filter::parse(&log_words(&g)).unwrap();
        assert!(f.passes(b"from 10.0.0.5 ok") && !f.passes(b"from 10.0.0.55 ok") && f.passes(b"we.b(x") && !f.passes(b"weab(x"));
    }
}
