//! Pane 3: the lamps of the network appliance, each with its evidence behind it, and what it lent to whom.
//!
//! ```text
//!  appliance 9999 · 1 to look at: ports ─────────────────────────── 4 s ago
//!  ● container   9999 prox-appliance runs
//!  ! ports       of the ports 40000-40999 not all are kept back
//!  leases · 5 of 151 ─────────────────────────────────── full in ~40 days
//!  10.20.0.101   101 web     dynamic  until 22:16
//! ```

use crate::domain::appliance::Seen;
use crate::domain::appliance::hold::{Holder, LeaseWish};
use crate::domain::appliance::instance::Instance;
use crate::domain::appliance::lamp::{Lamp, Light, means};
use crate::domain::appliance::lease::{Oddity, Row};
use crate::domain::appliance::provision::{ApplianceWish, Options};
use crate::domain::clean::clean;
use crate::domain::fact::Wish;
use crate::domain::guest::Power;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::dialogs::menu::Menu;
use crate::tui::dialogs::text::{Line, Text};
use crate::tui::list::{List, marker};
use crate::tui::pane::{Known, Pane, Then};
use crate::tui::theme::Tone;
use crate::tui::words;

/// Pane 3.
#[derive(Default)]
pub struct Appliance {
    list: List,
}

/// What stands above the lamps: how long it runs, what it uses and works by; and which others there are.
fn above(known: &Known) -> Vec<Line> {
    let all = seen(known).map_or(&[][..], |s| &s.instances);
    let own = all.iter().find(|i| i.own).map(|own| {
        let config = known.world.truth.get().map(|truth| truth.in_effect());
        let parts = [Some(own.seen(known.now)), Some(own.uses()).filter(|u| !u.is_empty()), config];
        (Tone::Plain, parts.into_iter().flatten().collect::<Vec<_>>().join(" · "))
    });
    let others: Vec<String> = all.iter().filter(|i| !i.own).map(Instance::words).collect();
    let others = (!others.is_empty()).then(|| (Tone::Quiet, format!("besides: {}", others.join(" · "))));
    own.into_iter().chain(others).collect()
}

fn seen(known: &Known) -> Option<&Seen> {
    known.world.appliance.get()
}

fn lamps(known: &Known) -> &[Lamp] {
    seen(known).map_or(&[], |s| &s.lamps)
}

fn leases(known: &Known) -> &[Row] {
    seen(known).and_then(|s| s.leases.as_ref().ok()).map_or(&[], Vec::as_slice)
}

/// Sign and colour of a lamp; an unknown one is never green.
fn sign(light: Light) -> (&'static str, Tone) {
    match light {
        Light::Pass => ("●", Tone::Good),
        Light::Warn => ("!", Tone::Warn),
        Light::Unknown => ("?", Tone::Unknown),
        Light::Fail => ("✗", Tone::Bad),
    }
}

/// All that a lamp was lit by: what was asked, when, what came back.
fn evidence(lamp: &Lamp, known: &Known) -> Text {
    let (word, tone) = (lamp.light.word(), sign(lamp.light).1);
    let mut lines: Vec<Line> = vec![(tone, format!("{word}: {}", lamp.says)), (Tone::Plain, means(lamp.name).to_owned())];
    for e in &lamp.evidence {
        lines.push((Tone::Plain, String::new()));
        lines.push((Tone::Strong, format!("$ {}", e.asked)));
        lines.push((Tone::Quiet, format!("  asked {}", e.at.second(known.offset_s))));
        lines.extend(e.answer.lines().map(|line| (Tone::Plain, format!("  {line}"))));
    }
    Text::new(lamp.name, lines)
}

/// What brings it back: where it is not there or does not run it is built, or what is missing of it.
fn mend(known: &Known) -> ApplianceWish {
    match known.world.guest(known.world.appliance_id()).map(|g| g.power) {
        Some(Power::Running | Power::Unknown) => ApplianceWish::Converge,
        Some(Power::Stopped) | None => ApplianceWish::Provision(Options::default()),
    }
}

fn odd(row: &Row) -> String {
    row.odd.iter().map(Oddity::words).collect::<Vec<_>>().join("; ")
}

fn lease(row: &Row, known: &Known) -> Text {
    let guest = row.guest.as_ref().map_or("nobody that is known".to_owned(), |(_, title)| title.clone());
    let until = row.lease.expires.map_or("for ever".to_owned(), |at| at.minute(known.offset_s));
    let field = |name: &str, value: String| (Tone::Plain, format!("{name:<12} {value}"));
    let mut lines = vec![
        field("address", row.lease.address.to_string()),
        field("guest", guest),
        field("name", row.lease.name.clone().unwrap_or_else(|| "-".into())),
        field("hardware", row.lease.mac.to_string()),
        field("lease", if row.fixed { "static".into() } else { "dynamic".into() }),
        field("until", until),
    ];
    let pin = known.world.pins.get().and_then(|p| p.all.iter().find(|p| p.mac == row.lease.mac));
    lines.extend(pin.map(|p| field("pinned", format!("{} by {}, {}", p.address, clean(&p.by), p.at.minute(known.offset_s)))));
    lines.extend(row.odd.iter().map(|o| (Tone::Warn, format!("! {}", o.words()))));
    Text::new("lease", lines)
}

impl Appliance {
    /// The selected lease.
    fn lease<'k>(&self, known: &'k Known) -> Option<&'k Row> {
        self.list.at.checked_sub(lamps(known).len()).and_then(|at| leases(known).get(at))
    }
}

impl Pane for Appliance {
    fn context(&self) -> Context {
        Context::Appliance
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        let (lamps, leases) = (lamps(known), leases(known));
        match action {
            Action::Mend => return Some(vec![Then::Wish(Wish::Appliance(mend(known)))]),
            Action::Menu => {
                return Some(vec![Then::Open(Box::new(Menu::of_the_appliance(self.lease(known).map(|row| row.lease.address))))]);
            }
            Action::Pin => {
                let pin = |row: &Row| {
                    let of = Holder::Mac(row.lease.mac);
                    let wish = if row.fixed { LeaseWish::Unpin(of) } else { LeaseWish::Pin(of, None) };
                    Then::Wish(Wish::Appliance(ApplianceWish::Lease(wish)))
                };
                return Some(self.lease(known).map(pin).into_iter().collect());
            }
            _ => {}
        }
        if action == Action::Open {
            let lamp = lamps.get(self.list.at).map(|l| evidence(l, known));
            let lease = || self.lease(known).map(|row| lease(row, known));
            return Some(lamp.or_else(lease).map(|text| Then::Open(Box::new(text))).into_iter().collect());
        }
        let rows = usize::from(known.pane_size().1.saturating_sub(2 + above(known).len() as u16));
        self.list.act(action, lamps.len() + leases.len(), rows).then(Vec::new)
    }

    fn can(&self, action: Action, known: &Known) -> bool {
        match action {
            Action::Open => !lamps(known).is_empty(),
            Action::Pin => self.lease(known).is_some(),
            Action::Back => false,
            _ => true,
        }
    }

    fn news(&mut self, known: &Known) {
        self.list.at = self.list.at.min((lamps(known).len() + leases(known).len()).saturating_sub(1));
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let wide = on.width();
        let part = &known.world.appliance;
        let (lamps, leases) = (lamps(known), leases(known));
        let of = |light| lamps.iter().filter(move |l| l.light == light).map(|l| l.name).collect::<Vec<_>>();
        let mut title = format!("appliance {}", known.world.appliance_id());
        for (light, words) in [(Light::Fail, "wrong"), (Light::Warn, "to look at"), (Light::Unknown, "unknown")] {
            // What is wrong is named: its row may stand below the edge of a small screen.
            match &of(light)[..] {
                [] => {}
                few if light == Light::Fail && few.len() < 4 => title.push_str(&format!(" · {} {words}: {}", few.len(), few.join(", "))),
                many => title.push_str(&format!(" · {} {words}", many.len())),
            }
        }
        let tone = if !of(Light::Fail).is_empty() { Tone::Bad } else { Tone::Strong };
        let age = if part.is_pending() { "asking …".to_owned() } else { words::source(part, known.now) };
        on.title(0, &title, tone, &age);
        if let Err(why) = &part.known {
            let text = if part.is_pending() { "It is being asked: twenty questions, each with its answer." } else { why.as_str() };
            on.put(1, 1, wide.saturating_sub(2), text, if part.is_pending() { Tone::Quiet } else { Tone::Unknown });
            return;
        }
        let above = above(known);
        for (y, (tone, text)) in (1..).zip(&above) {
            on.put(1, y, wide.saturating_sub(2), text, *tone);
        }
        // One row for each lamp and lease, and one for the heading between them.
        let head = 1 + above.len() as u16;
        let rows = usize::from(on.height().saturating_sub(1 + head));
        let len = lamps.len() + leases.len();
        let top = self.list.top(len, rows);
        let mut y = head;
        for at in top..=len {
            if y >= on.height() {
                return;
            }
            if at == lamps.len() {
                let pool =
                    seen(known).and_then(|s| s.pool.as_ref()).map_or(String::new(), |p| format!(" · {} of {} addresses", p.used, p.size));
                // Beside its size, for only that makes a forecast of it.
                let forecast = seen(known).filter(|s| s.pool.is_some()).map_or(String::new(), |s| s.forecast.words());
                on.title(y, &format!("leases{pool}"), Tone::Strong, &forecast);
                y += 1;
                if let Some(Err(why)) = seen(known).map(|s| &s.leases) {
                    on.put(1, y, wide.saturating_sub(2), &format!("? {why}"), Tone::Unknown);
                }
            }
            if at >= len || y >= on.height() {
                return;
            }
            marker(on, y, at == self.list.at);
            if let Some(lamp) = lamps.get(at) {
                let (sign, tone) = sign(lamp.light);
                on.put(2, y, 1, sign, tone);
                on.put(4, y, 11, lamp.name, if lamp.light == Light::Pass { Tone::Plain } else { tone });
                on.put(16, y, wide.saturating_sub(17), &lamp.says, Tone::Plain);
            } else if let Some(row) = leases.get(at - lamps.len()) {
                let guest = row.guest.as_ref().map_or("-", |(_, title)| title.as_str());
                on.put(2, y, 15, &row.lease.address.to_string(), Tone::Plain);
                on.put(18, y, 22, guest, if row.guest.is_some() { Tone::Plain } else { Tone::Quiet });
                on.put(41, y, 8, if row.fixed { "static" } else { "dynamic" }, Tone::Quiet);
                on.put(50, y, wide.saturating_sub(51), &odd(row), Tone::Warn);
            }
            y += 1;
        }
    }
}
