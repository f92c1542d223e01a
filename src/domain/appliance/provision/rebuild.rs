//! A new appliance beside the old one, which then takes its place: with its addresses, its hardware addresses, what it lent
//! and its sites, so that apps notice a pause of seconds and nothing else. The old one stays, stopped, as it was.
//!
//! While it is built it has no interface among the apps. Both never run with the same addresses: whatever is broken off in
//! between, what starts the appliance stops the other one first ([`stop_others`]).

use super::{Ground, Options, container, inside};
use crate::domain::appliance::desired::{Desired, LAN, WAN};
use crate::domain::appliance::files::{SITES, VERSIONS};
use crate::domain::appliance::{LEASES, MARK, Seat, is_ours, nat, remains};
use crate::domain::caddy::CERTIFICATES;
use crate::domain::cmd::Cmd;
use crate::domain::guest::{Guest, Nic, Power, Vmid};
use crate::domain::plan::{Act, Check, Step, Wants};
use crate::domain::pve;
use crate::domain::world::World;

/// Where Caddy keeps certificates and keys of its own, on both systems.
const CADDY_HOME: &str = "/var/lib/caddy";

/// What is begun and what is left of it, and who takes the place of whom.
pub(super) struct Rebuilt {
    pub(super) id: Vmid,
    pub(super) steps: Vec<Step>,
    pub(super) facts: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// What an earlier attempt left: containers that were to be the appliance and are not.
fn leftovers<'a>(world: &'a World, old: &Guest) -> Vec<(&'a Guest, bool)> {
    let jobs = world.jobs.get().map_or(&[][..], Vec::as_slice);
    let begun = |g: &Guest| remains::are_ours(g, jobs);
    let ours = |g: &Guest| g.lock.is_none() && is_ours(g) && Seat::of(g) == Some(Seat::Next);
    let guests = world.guests.get().into_iter().flatten().filter(|g| g.id != old.id);
    guests.filter_map(|g| if begun(g) { Some((g, true)) } else { ours(g).then_some((g, false)) }).collect()
}

/// The highest id below the usual one that nobody has.
pub(super) fn free_id(world: &World) -> Option<Vmid> {
    let guests = world.guests.get()?;
    let below = (100..u32::from(Vmid::APPLIANCE)).rev().filter_map(|n| Vmid::try_from(n).ok());
    std::iter::once(Vmid::APPLIANCE).chain(below).find(|id| guests.iter().all(|g| g.id != *id))
}

pub(super) fn plan(world: &World, options: &Options, d: &Desired, ground: &Ground, old: &Guest) -> Result<Rebuilt, (String, String)> {
    let nic = |name: &str| old.nics.iter().find(|n| n.name == name);
    let (Some(wan), Some(lan)) = (nic(WAN), nic(LAN)) else {
        return Err((format!("{} lacks {WAN} or {LAN}", old.title()), "bring it back first: proximity appliance converge".into()));
    };
    if !container::nics(d, old).is_empty() {
        let why = format!("{LAN} of {} is not as the settings want it", old.title());
        return Err((why, "bring it back first: proximity appliance converge".into()));
    }
    let fixed = wan.ip.as_deref().is_some_and(|ip| ip != "dhcp");
    if fixed && options.address.is_none() {
        let why = format!("{} has a fixed address on the way out, which two cannot have", old.title());
        return Err((why, "name another one for the time of the building: --address CIDR --gateway ADDRESS".into()));
    }
    let left = leftovers(world, old);
    let again = left.first().map(|(g, _)| g.id);
    let id = options.vmid.or(again).or_else(|| free_id(world)).ok_or_else(|| ("no id of a guest is free".to_owned(), String::new()))?;
    if let Some(other) = world.guest(id).filter(|g| left.iter().all(|(l, _)| l.id != g.id)) {
        return Err((format!("{} is there", other.title()), "name another id: --id".into()));
    }
    let mut steps: Vec<Step> = left.iter().flat_map(|(g, begun)| clear(g, *begun)).collect();
    let chosen = container::choose(world, options, ground)?;
    let system = chosen.system;
    let mut facts = vec![format!("template {}, on storage {}", chosen.template, chosen.storage)];
    steps.extend(container::create(d, id, options, chosen, Seat::Next));
    let start = || Step::run(format!("start {id}"), pve::pct("start", id).limit(120), Check::Running { vmid: id });
    steps.push(start().undone_by(pve::pct("stop", id)));
    steps.extend(container::settle(id, system));
    steps.extend(container::packages(id, system));
    let d = Desired { system, ..d.clone() };
    steps.extend(inside::laid_down(&d, None, id));
    steps.push(inside::keeps_its_resolver(&d, id));
    let runs = old.power == Power::Running;
    let mut notes = Vec::new();
    if runs {
        steps.push(carry(old.id, id));
        facts.push("apps have no network for some seconds, while one is stopped and the other started".into());
    } else {
        notes.push(format!("{} does not run: what it lent, its sites and certificates are not carried over", old.title()));
    }
    facts.push(format!("{} stays, stopped, with its logs; once it is of no use: pct destroy {}", old.title(), old.id));
    // From here on it is a change of places.
    steps.push(Step::run(format!("stop {id}"), pve::pct("stop", id).limit(60), Check::Stopped { vmid: id }));
    steps.extend(takes_the_place(id, old, [wan, lan]));
    if runs {
        let stop = Step::run(format!("stop {}", old.title()), pve::pct("stop", old.id).limit(60), Check::Stopped { vmid: old.id });
        steps.push(stop.undone_by(pve::pct("start", old.id)));
    }
    steps.push(start().undone_by(pve::pct("stop", id)));
    steps.extend(container::settle(id, system));
    let rules = Check::Rules { vmid: id, text: nat::ruleset(&d) };
    steps.push(Step::wait("wait until its rules are in force", 60, rules));
    steps.push(Step::wait("wait until dnsmasq works by its file", 60, inside::in_effect(&d, id)));
    steps.push(Step::wait("wait until Caddy works by its files", 60, Check::CaddyByFiles { vmid: id }));
    steps.push(inside::lamps(&d, id));
    Ok(Rebuilt { id, steps, facts, notes })
}

/// Takes away what an attempt left; it was made by us, and nobody works by it.
fn clear(guest: &Guest, begun: bool) -> Vec<Step> {
    let id = guest.id;
    if begun {
        return remains::steps(id);
    }
    let mut steps = Vec::new();
    if guest.power != Power::Stopped {
        steps.push(Step::run(format!("stop {}", guest.title()), pve::pct("stop", id).limit(60), Check::Stopped { vmid: id }));
    }
    let words = ["destroy", &id.to_string(), "--purge", "1"];
    steps.push(Step::run(
        format!("remove {}, which was to be the appliance", guest.title()),
        Cmd::new("pct", words).limit(120),
        Check::Gone { vmid: id },
    ));
    steps
}

/// What cannot be made anew: what was lent, sites, and the keys of Caddy's own authority.
fn carry(from: Vmid, to: Vmid) -> Step {
    let paths = [LEASES, SITES, VERSIONS, CERTIFICATES, CADDY_HOME].map(str::to_owned).to_vec();
    let check = Check::Says { what: format!("{SITES} is in {to}"), cmd: pve::exec(to, ["ls", "-d", SITES]), wants: Wants::Success };
    Step {
        title: format!("carry what was lent, sites and certificates over from {from}"),
        act: Act::Carry { from, to, paths },
        check,
        undo: None,
        always: true,
    }
}

/// Its interfaces, its start with the host and its mark become those of the old one, and the old one loses them.
fn takes_the_place(id: Vmid, old: &Guest, nics: [&Nic; 2]) -> Vec<Step> {
    let keys = ["net0", "net1"];
    let mut words = vec!["set".to_owned(), id.to_string(), "--onboot".into(), "1".into()];
    let mut lines = vec!["onboot: 1".to_owned()];
    for (key, nic) in keys.iter().zip(nics) {
        words.extend([format!("--{key}"), nic.raw.clone()]);
        lines.push(format!("{key}: {}", nic.raw));
    }
    let has =
        Check::Says { what: format!("{id} has the interfaces of {}", old.id), cmd: pve::pct("config", id), wants: Wants::Lines(lines) };
    let describe = |id: Vmid, notes: &str, onboot: bool| {
        let id = id.to_string();
        Cmd::new("pct", ["set", id.as_str(), "--description", notes, "--onboot", if onboot { "1" } else { "0" }])
    };
    let mark = |line: &String| if line.starts_with(MARK) { Seat::Former.note() } else { line.clone() };
    let former: Vec<String> = old.notes.iter().map(mark).collect();
    let is = |vmid, seat| Check::Ours { vmid, seat };
    vec![
        Step::run(format!("give {id} the interfaces of {}", old.title()), Cmd::new("pct", words), has),
        Step::run(format!("mark {id} as the appliance"), describe(id, &Seat::Acting.note(), true), is(id, Seat::Acting))
            .undone_by(describe(id, &Seat::Next.note(), false)),
        Step::run(
            format!("mark {} as the one that was", old.title()),
            describe(old.id, &former.join("\n"), false),
            is(old.id, Seat::Former),
        )
        .undone_by(describe(old.id, &old.notes.join("\n"), old.onboot)),
    ]
}

/// Stops what else of ours runs among the apps with the appliance's own address, before the appliance is started: two of that
/// address are what a change of places leaves that was broken off.
pub(super) fn stop_others(world: &World, d: &Desired, vmid: Vmid) -> Vec<Step> {
    let own = format!("{}/{}", d.gateway, d.lan.prefix_len());
    let among = |g: &Guest| g.nics.iter().any(|n| n.bridge.as_deref() == Some(d.lan_bridge.as_str()) && n.ip.as_deref() == Some(&own));
    let others = world.guests.get().into_iter().flatten().filter(|g| g.id != vmid && is_ours(g) && g.power == Power::Running && among(g));
    let stop = |g: &Guest| {
        let stop = Step::run(
            format!("stop {}, which has the same address", g.title()),
            pve::pct("stop", g.id).limit(60),
            Check::Stopped { vmid: g.id },
        );
        stop.undone_by(pve::pct("start", g.id))
    };
    others.map(stop).collect()
}
