//! What is to be published, and how: a name, where it answers, what is carried. Ends in the plan.

use super::field::{Field, value};
use super::text;
use crate::domain::caddy::around;
use crate::domain::fact::Wish;
use crate::domain::guest::Power;
use crate::domain::ports::ServiceName;
use crate::domain::publish::PublishWish;
use crate::domain::service::{Carry, Proof, Published, Spec, Upstream};
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::theme::Tone;

/// Names that are offered at once.
const OFFERED: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Name,
    To,
    Carry,
    Proof,
    Unanswered,
}

/// The form.
pub struct Publish {
    /// What is published under the name already, where that is changed.
    old: Option<(ServiceName, Spec)>,
    name: Field,
    to: Field,
    carry: Carry,
    proof: Proof,
    unanswered: bool,
    at: At,
}

impl Default for Publish {
    fn default() -> Self {
        Publish {
            old: None,
            name: Field::new("name"),
            to: Field::new("leads to"),
            carry: Carry::default(),
            proof: Proof::default(),
            unanswered: false,
            at: At::Name,
        }
    }
}

impl Publish {
    /// To change how something is published.
    pub fn of(service: &Published) -> Publish {
        let Published { name, spec, .. } = service;
        Publish {
            old: Some((name.clone(), spec.clone())),
            to: Field::with("leads to", spec.to.to_string()),
            carry: spec.carry,
            proof: spec.proof.clone(),
            at: At::To,
            ..Publish::default()
        }
    }

    /// The fields that there are now, in order.
    fn fields(&self) -> Vec<At> {
        let tls = self.to.input.text().trim().starts_with("https://");
        let name = self.old.is_none().then_some(At::Name);
        let rest = [Some(At::To), Some(At::Carry), tls.then_some(At::Proof), Some(At::Unanswered)];
        name.into_iter().chain(rest.into_iter().flatten()).collect()
    }

    fn step(&mut self, forward: bool) {
        let fields = self.fields();
        let here = fields.iter().position(|f| *f == self.at).unwrap_or(0);
        let next = if forward { here + 1 } else { here + fields.len() - 1 };
        self.at = fields[next % fields.len()];
    }

    fn switch(&mut self) {
        match self.at {
            At::Carry => {
                self.carry = match self.carry {
                    Carry::Http => Carry::Tcp,
                    Carry::Tcp => Carry::Udp,
                    Carry::Udp => Carry::Http,
                }
            }
            At::Proof => {
                let old = self.old.as_ref().map(|(_, spec)| spec.proof.clone()).filter(|p| matches!(p, Proof::Named(_)));
                self.proof = match &self.proof {
                    Proof::Own => Proof::Skipped,
                    Proof::Skipped => old.unwrap_or_default(),
                    Proof::Named(_) => Proof::Own,
                }
            }
            At::Unanswered => self.unanswered = !self.unanswered,
            At::Name | At::To => {}
        }
    }

    /// Names of running containers that what is typed may become; none once a port is typed.
    fn offers(&self, known: &Known) -> Vec<String> {
        let text = self.to.input.text().trim();
        let host = text.split_once("://").map_or(text, |(_, rest)| rest);
        if self.at != At::To || host.contains(':') {
            return Vec::new();
        }
        let guests = known.world.guests.get().into_iter().flatten();
        let running = guests.filter(|g| g.power == Power::Running && !g.template && g.id != known.world.appliance_id());
        // Only names that an upstream can be.
        let fits = |name: &&str| name.starts_with(host) && format!("{name}:80").parse::<Upstream>().is_ok();
        let mut names: Vec<String> = running.filter_map(|g| g.name.as_deref()).filter(fits).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Lets the name that is typed go on as far as all that are offered agree; `false` where it does not.
    fn complete(&mut self, known: &Known) -> bool {
        let names = self.offers(known);
        let text = self.to.input.text().trim().to_owned();
        let (scheme, host) = text.find("://").map_or(("", text.as_str()), |at| text.split_at(at + 3));
        let Some(first) = names.first().filter(|_| !host.is_empty()) else { return false };
        let agree = |n: &usize| names.iter().all(|name| name.get(..*n) == first.get(..*n));
        let common = (0..=first.len()).rev().find(agree).unwrap_or(0);
        let whole = if names.len() == 1 { format!("{first}:") } else { first[..common].to_owned() };
        if whole.len() <= host.len() {
            return false;
        }
        self.to.input = crate::tui::input::Input::with(format!("{scheme}{whole}"));
        true
    }

    /// What is to be known of the field one is in.
    fn hint(&self, known: &Known) -> [text::Line; 1] {
        let offers = self.offers(known);
        let hint = match self.at {
            At::Name => "Letters, digits, dashes; its pair of ports is given to it, or it keeps the one it has.".to_owned(),
            At::To if !offers.is_empty() => {
                let more = if offers.len() > OFFERED { ", …" } else { "" };
                format!("HOST:PORT. Running here: {}{more}", offers[..offers.len().min(OFFERED)].join(", "))
            }
            At::To => "HOST:PORT, http://HOST:PORT or https://HOST:PORT; a host without a dot is an app.".into(),
            At::Carry | At::Proof | At::Unanswered => "Space: the next choice.".into(),
        };
        [(Tone::Quiet, hint)]
    }

    fn go(&mut self, known: &Known) -> Vec<Then> {
        let name = match &self.old {
            Some((name, _)) => Some(name.clone()),
            None => self.name.read(|text| {
                let name: ServiceName = text.parse()?;
                match known.world.ports.get().and_then(|map| map.service(&name)) {
                    Some(_) => Err(format!("{name} is published already; e on its row changes it")),
                    None => Ok(name),
                }
            }),
        };
        let domain = known.world.chosen().and_then(|settings| around(&settings)).map(|(domain, _)| domain);
        let to = self.to.read(|text| Ok(text.parse::<Upstream>()?.within(&domain?)));
        if name.is_none() {
            self.at = At::Name;
        } else if to.is_none() {
            self.at = At::To;
        }
        let (Some(name), Some(to)) = (name, to) else { return Vec::new() };
        // What the form does not show stays as it was.
        let mut spec = self.old.as_ref().map_or_else(|| Spec::to(to.clone()), |(_, spec)| spec.clone());
        (spec.to, spec.carry) = (to, self.carry);
        spec.proof = if spec.to.tls { self.proof.clone() } else { Proof::Own };
        if let Some(why) = spec.refusal() {
            self.to.said = why;
            return Vec::new();
        }
        vec![Then::Close, Then::Wish(Wish::Publish(PublishWish::Publish { name, spec: Box::new(spec), unanswered: self.unanswered }))]
    }
}

impl Pane for Publish {
    fn context(&self) -> Context {
        Context::Form
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::NextPart if self.at == At::To && self.complete(known) => {}
            Action::NextPart | Action::Down => self.step(true),
            Action::PrevPart | Action::Up => self.step(false),
            Action::Toggle => self.switch(),
            Action::Open => return Some(self.go(known)),
            Action::PageUp | Action::PageDown => {}
            _ => return None,
        }
        Some(Vec::new())
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        action != Action::Toggle || !self.is_typing()
    }

    fn is_typing(&self) -> bool {
        matches!(self.at, At::Name | At::To)
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        match self.at {
            At::Name => Some(&mut self.name.input),
            At::To => Some(&mut self.to.input),
            _ => None,
        }
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        match self.at {
            At::Name => self.name.said.clear(),
            _ => self.to.said.clear(),
        }
        Vec::new()
    }

    fn window(&self, known: &Known) -> Window {
        let title = self.old.as_ref().map_or("publish".into(), |(name, _)| format!("change how {name} is published"));
        let width = text::wide(known, 76);
        let room = width.saturating_sub(2);
        let others = self.fields().iter().filter(|f| !matches!(f, At::Name | At::To)).count() as u16;
        let name = if self.old.is_none() { self.name.rows(room) } else { 0 };
        let hint = text::wrapped(&self.hint(known), room.saturating_sub(2)).len() as u16;
        Window { title, width, height: (name + self.to.rows(room) + others + hint + 5).min(text::most_rows(known)) }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let room = on.width().saturating_sub(2);
        let end = on.height().saturating_sub(1);
        let fields = &mut on.rows(0, end);
        let mut y = 0;
        if self.old.is_none() {
            y = self.name.draw(fields, y, self.at == At::Name);
        }
        y = self.to.draw(fields, y, self.at == At::To);
        let carry = match self.carry {
            Carry::Http => "http: pages and what browsers ask for",
            Carry::Tcp => "tcp: connections, as they are",
            Carry::Udp => "udp: datagrams, as they are",
        };
        y = value(fields, y, "carries", carry, self.at == At::Carry);
        if self.fields().contains(&At::Proof) {
            let proof = match &self.proof {
                Proof::Own => "proven, for the name it is asked by".to_owned(),
                Proof::Named(name) => format!("proven, for {name}"),
                Proof::Skipped => "NOT proven: whoever stands there is believed".into(),
            };
            y = value(fields, y, "certificate", &proof, self.at == At::Proof);
        }
        let unanswered = if self.unanswered { "[x] yes, also where nothing answers yet" } else { "[ ] no: what it leads to must answer" };
        y = value(fields, y, "unanswered", unanswered, self.at == At::Unanswered);
        let lines = text::wrapped(&self.hint(known), room);
        for (y, (tone, line)) in (y + 1..end).zip(&lines) {
            on.put(1, y, room, line, *tone);
        }
        on.line(1, end, &[("Enter", Tone::Key), (" show the plan   ", Tone::Plain), ("Esc", Tone::Key), (" no", Tone::Plain)]);
    }
}
