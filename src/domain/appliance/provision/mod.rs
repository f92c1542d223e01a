//! What is there → the plan that builds the appliance, or brings it back to how it should be. The same steps for both: each
//! step's check is asked before the plan is shown, and what holds already is no step of it.
//!
//! `bridge.rs` is the host's network, `container.rs` the container itself, `inside.rs` what lies and runs in it,
//! `rebuild.rs` a new one that takes its place.

mod bridge;
mod container;
mod inside;
mod rebuild;

use ipnet::Ipv4Net;

use super::desired::Desired;
use super::hold::LeaseWish;
use super::judge::BridgeSeen;
use super::lease::Lease;
use super::system::Service;
use super::{MARK, Seat, TAG, is_ours};
use crate::domain::change::Was;
use crate::domain::clean::clean;
use crate::domain::guest::{Guest, Kind, Power, Vmid};
use crate::domain::interfaces::Interfaces;
use crate::domain::plan::{Check, Plan, Purpose, Refusal, Risk, Step};
use crate::domain::pve;
use crate::domain::storage::StorageId;
use crate::domain::world::World;

/// What is wished of the appliance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplianceWish {
    /// Build it, or go on where that was broken off.
    Provision(Options),
    /// Bring it back to how the settings want it.
    Converge,
    /// Make a new one beside it that takes its place.
    Rebuild(Options),
    /// Restart one of its services.
    Restart(Service),
    /// Make a lease static or not, or take it back.
    Lease(LeaseWish),
}

/// How it is to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Its id; `None` takes that of the appliance that is there, else the usual one, and for a new one beside it a free one.
    pub vmid: Option<Vmid>,
    /// Storage of its root disk; `None` takes that of the settings, else the one with most room.
    pub storage: Option<StorageId>,
    /// Volume of its template; `None` takes the newest of Alpine that is there.
    pub template: Option<String>,
    /// Fetch the newest template where none is there.
    pub download: bool,
    /// Its own address with prefix, and the gateway, on the way out; `None` asks by DHCP.
    pub address: Option<(Ipv4Net, std::net::Ipv4Addr)>,
    /// Seconds in which a change of the host's network must be confirmed, [`CONFIRM_S`].
    pub confirm_s: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options { vmid: None, storage: None, template: None, download: false, address: None, confirm_s: 120 }
    }
}

/// The shortest and the longest time for a confirmation, in seconds (TRUST T43).
pub const CONFIRM_S: (u32, u32) = (10, 600);

/// The unit that takes a change of the host's network back.
pub const REVERT_UNIT: &str = "proximity-revert-network";

/// What is kept of the file as it was until the change is confirmed.
pub const BEFORE: &str = "/etc/network/interfaces.proximity-before";

/// Files by path; `None` for one that is not there.
pub type Files = Vec<(String, Option<Vec<u8>>)>;

/// What the World does not tell and the plan needs.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The host's main network file and those it takes in, with their paths.
    pub interfaces: Vec<(String, Interfaces)>,
    /// Why not all of them are known.
    pub gap: Option<String>,
    /// What lies at [`BEFORE`]: a change of the network was begun and not ended.
    pub before: Option<Vec<u8>>,
    /// Whether the timer runs that would take it back.
    pub armed: bool,
    /// The bridge of the apps.
    pub bridge: Result<BridgeSeen, String>,
    /// Networks that the host reaches, with their interfaces.
    pub routes: Result<Vec<(Ipv4Net, String)>, String>,
    /// Volumes that are templates.
    pub templates: Result<Vec<String>, String>,
    /// Templates that can be fetched; asked only where one is to be.
    pub available: Result<Vec<String>, String>,
    /// The appliance's files that matter, where it runs: path and bytes. `None` where it does not.
    pub inside: Option<Result<Files, String>>,
    /// Whether Caddy runs there: it is then told about new files without an interruption.
    pub caddy_runs: bool,
}

/// The plan, or why it is refused. Steps whose checks hold already are still in it.
pub fn plan(world: &World, wish: &ApplianceWish, d: &Desired, ground: &Ground, vmid: Vmid) -> Result<Plan, Refusal> {
    let host = world.place.host.clone();
    let made = |title: String, steps, facts, risk| Plan {
        purpose: Purpose::Appliance,
        title,
        guest: vmid,
        host,
        facts,
        notes: d.notes.clone(),
        risk,
        steps,
    };
    let what = match wish {
        ApplianceWish::Provision(_) => format!("build the appliance {vmid}"),
        ApplianceWish::Rebuild(_) => format!("build the appliance {vmid} anew"),
        ApplianceWish::Converge => format!("bring the appliance {vmid} back to its settings"),
        ApplianceWish::Restart(service) => format!("restart {} in {vmid}", d.system.service(*service)),
        ApplianceWish::Lease(wish) => wish.words(),
    };
    let refuse = |why: String, hint: &str| Refusal::new(what.clone(), why, hint);
    let guest = ours(world, vmid).map_err(|(why, hint)| refuse(why, &hint))?;
    match wish {
        ApplianceWish::Restart(service) => {
            running(guest, vmid).map_err(|(why, hint)| refuse(why, &hint))?;
            let facts = vec!["apps keep their addresses; what is asked of it in between is not answered".to_owned()];
            Ok(made(what.clone(), inside::restart(d, vmid, *service), facts, Risk::Interrupts))
        }
        // A pin is in how it should be already.
        ApplianceWish::Converge | ApplianceWish::Lease(_) => {
            running(guest, vmid).map_err(|(why, hint)| refuse(why, &hint))?;
            let mut steps = bridge::steps(d, ground, Options::default().confirm_s).map_err(|(why, hint)| refuse(why, &hint))?;
            steps.extend(guest.into_iter().flat_map(|g| container::nics(d, g)));
            steps.extend(guest.and_then(container::onboot));
            steps.extend(container::plug(d, ground, vmid));
            steps.extend(inside::steps(d, ground, vmid, d.system).map_err(|why| refuse(why, "see appliance status"))?);
            Ok(made(what.clone(), steps, Vec::new(), Risk::Interrupts))
        }
        ApplianceWish::Rebuild(options) => {
            let Some(old) = guest else {
                return Err(refuse(format!("there is no appliance {vmid}"), "build it: proximity appliance provision"));
            };
            let new = rebuild::plan(world, options, d, ground, old).map_err(|(why, hint)| refuse(why, &hint))?;
            let title = format!("build the appliance {vmid} anew, as {}", new.id);
            let plan = made(title, new.steps, new.facts, Risk::Interrupts);
            Ok(Plan { notes: [plan.notes, new.notes].concat(), ..plan })
        }
        ApplianceWish::Provision(options) => {
            let there = world.appliance_id();
            if there != vmid && world.guest(there).is_some_and(is_ours) {
                return Err(refuse(format!("the appliance is there already: {there}"), "build it anew: proximity appliance rebuild"));
            }
            let mut facts = Vec::new();
            let mut steps = bridge::steps(d, ground, options.confirm_s).map_err(|(why, hint)| refuse(why, &hint))?;
            clear(d, ground).map_err(|(why, hint)| refuse(why, &hint))?;
            let system = match guest {
                Some(_) => d.system,
                None => {
                    let chosen = container::choose(world, options, ground).map_err(|(why, hint)| refuse(why, &hint))?;
                    facts.push(format!("template {}, on storage {}", chosen.template, chosen.storage));
                    let system = chosen.system;
                    steps.extend(container::create(d, vmid, options, chosen, Seat::Acting));
                    system
                }
            };
            let d = Desired { system, ..d.clone() };
            if guest.is_none_or(|g| g.power != Power::Running) {
                steps.extend(rebuild::stop_others(world, &d, vmid));
                let start = Step::run(format!("start {vmid}"), pve::pct("start", vmid).limit(120), Check::Running { vmid });
                steps.push(start.undone_by(pve::pct("stop", vmid)));
            }
            steps.extend(guest.into_iter().flat_map(|g| container::nics(&d, g)));
            steps.extend(guest.and_then(container::onboot));
            steps.extend(container::settle(vmid, system));
            steps.extend(container::packages(vmid, system));
            steps.extend(inside::steps(&d, ground, vmid, system).map_err(|why| refuse(why, "see appliance status"))?);
            Ok(made(what.clone(), steps, facts, Risk::Interrupts))
        }
    }
}

/// The plan that keeps a change of the host's network. It asks nothing before: whatever else is broken or unknown by then, the
/// time runs.
pub fn keep_change(world: &World) -> Plan {
    Plan {
        purpose: Purpose::Appliance,
        title: "keep the change of the host's network".into(),
        guest: world.appliance_id(),
        host: world.place.host.clone(),
        facts: Vec::new(),
        notes: Vec::new(),
        risk: Risk::Low,
        steps: vec![bridge::confirm()],
    }
}

/// The plan that takes back a lease whose guest is gone.
pub fn release(world: &World, d: &Desired, vmid: Vmid, lease: &Lease) -> Result<Plan, Refusal> {
    let title = format!("take the lease of {} ({}) back in {vmid}", lease.address, lease.mac);
    let refuse = |(why, hint): (String, String)| Refusal::new(title.clone(), why, hint);
    let guest = ours(world, vmid).map_err(refuse)?;
    running(guest, vmid).map_err(refuse)?;
    let name = d.system.service(Service::Dnsmasq);
    let mut steps = super::hold::release(d, vmid, lease);
    steps.push(works_by_its_file(d, vmid));
    Ok(Plan {
        purpose: Purpose::Appliance,
        title,
        guest: vmid,
        host: world.place.host.clone(),
        facts: vec![
            "no guest has its hardware address any more".into(),
            format!("while {name} is stopped nobody is lent an address and no name is answered"),
        ],
        notes: Vec::new(),
        risk: Risk::Interrupts,
        steps,
    })
}

/// The steps that put the appliance's rules in force, where what is published and carried by them changes; with a way back.
/// `was` is what their file ([`System::rules_file`](super::system::System::rules_file)) holds now.
pub fn rules_steps(d: &Desired, was: Was, vmid: Vmid) -> Vec<Step> {
    inside::rules(d, was, vmid)
}

/// Waits until dnsmasq answers by its file.
pub fn works_by_its_file(d: &Desired, vmid: Vmid) -> Step {
    Step { always: true, ..Step::wait("ask whether dnsmasq works by its file", 10, inside::in_effect(d, vmid)) }
}

/// This node's appliance, which runs; else why there is none to work in, and what to do.
pub fn acting(world: &World) -> Result<Vmid, (String, String)> {
    let vmid = world.appliance_id();
    running(ours(world, vmid)?, vmid)?;
    Ok(vmid)
}

/// The appliance, if it is there; what stands under its id and is not Proximity's is never touched.
fn ours(world: &World, vmid: Vmid) -> Result<Option<&Guest>, (String, String)> {
    let guests =
        world.guests.known.as_ref().map_err(|why| (format!("the guests of this host are unknown: {why}"), "see doctor".to_owned()))?;
    let Some(guest) = guests.iter().find(|g| g.id == vmid) else {
        return match world.guests.from {
            crate::domain::world::From::Kernel => Err((format!("whether there is a guest {vmid} is unknown"), "see doctor".into())),
            _ => Ok(None),
        };
    };
    let title = guest.title();
    if let Some(other) = guest.node.as_deref().filter(|n| world.node_name().is_some_and(|me| me != *n)) {
        let hint = "build one for this node under another id: proximity appliance provision --id ID".to_owned();
        return Err((format!("{title} is on another node, {}", clean(other)), hint));
    }
    if guest.kind != Kind::Lxc {
        return Err((
            format!("{title} is a virtual machine and not Proximity's"),
            "build it under another id: proximity appliance provision --id ID".into(),
        ));
    }
    if !guest.conf_read {
        return Err((format!("the configuration of {vmid} could not be read, so whose it is is unknown"), "see doctor".into()));
    }
    if let Some(lock) = guest.lock.as_deref() {
        let left = if lock == "create" { ", perhaps by a creation that was broken off" } else { "" };
        let hint = format!("wait for what holds it; if nothing does, look at it: pct config {vmid}");
        return Err((format!("{title} is locked ({lock}){left}"), hint));
    }
    if is_ours(guest) {
        return Ok(Some(guest));
    }
    let free = rebuild::free_id(world).map_or("ID".to_owned(), |id| id.to_string());
    let hint = format!(
        "build it under another id: proximity appliance provision --id {free}; or, if it is the appliance after all, say so: pct set {vmid} --tags {TAG} --description '{MARK}'"
    );
    Err((format!("{title} is not Proximity's: it lacks the tag '{TAG}' or the note '{MARK}'"), hint))
}

fn running(guest: Option<&Guest>, vmid: Vmid) -> Result<(), (String, String)> {
    match guest.map(|g| g.power) {
        None => Err((format!("there is no appliance {vmid}"), "build it: proximity appliance provision".into())),
        Some(Power::Running) => Ok(()),
        Some(Power::Stopped) => Err((format!("{vmid} is stopped"), format!("start it: proximity guest start {vmid}"))),
        Some(Power::Unknown) => Err((format!("whether {vmid} runs is unknown"), "see doctor".into())),
    }
}

/// The network of the apps must be nobody else's: the appliance stands between both.
fn clear(d: &Desired, ground: &Ground) -> Result<(), (String, String)> {
    let routes = ground.routes.as_ref().map_err(|why| (format!("the networks of the host are unknown: {why}"), "see doctor".to_owned()))?;
    let meets = |net: &Ipv4Net| net.prefix_len() > 0 && (net.contains(&d.lan) || d.lan.contains(net));
    match routes.iter().find(|(net, through)| meets(net) && through != d.lan_bridge.as_str()) {
        Some((net, through)) => Err((
            format!("the network of the apps {} overlaps {net}, which the host reaches through {}", d.lan, clean(through)),
            "choose another one: proximity settings set network.subnet".into(),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
