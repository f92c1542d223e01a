//! The appliance's rules where what is published is carried by them: the steps that bring them in force, and the question
//! whether a connection is taken.

use super::check::{self, Held, init_pid};
use super::place::read_quick;
use super::probe::{self, NOBODY, host_interfaces, wish_of};
use super::{publish, visitor};
use crate::domain::appliance::files;
use crate::domain::appliance::provision::rules_steps;
use crate::domain::change::Place;
use crate::domain::guest::Vmid;
use crate::domain::job::Life;
use crate::domain::plan::{Check, Step};
use crate::domain::ports::{PortMap, ServiceName};
use crate::domain::publish::PublishWish;
use crate::domain::service::Carry;
use crate::domain::world::World;
use crate::host::Host;

/// What is to be done to the rules, `then` being what is published when it is done: before the sites, and at the end. Nothing
/// where they are so already, or where this wish is about no rules. Else why not, and what to do.
pub(super) async fn steps(
    host: &dyn Host,
    world: &World,
    vmid: Vmid,
    asked: &PublishWish,
    then: &PortMap,
) -> Result<(Vec<Step>, Vec<Step>), (String, String)> {
    let own =
        |name: &ServiceName, map: &PortMap| map.service(name).is_some_and(|s| s.spec.carry != Carry::Http || s.spec.sources.is_some());
    let now = world.ports.get();
    let concerned = asked.name().is_none_or(|name| own(name, then) || now.is_some_and(|map| own(name, map)));
    if !concerned {
        return Ok((Vec::new(), Vec::new()));
    }
    let unfit = |all: Vec<String>| (all.join("; "), "see proximity settings list".to_owned());
    let pins = world.pinned().map_err(|why| unfit(vec![why]))?;
    let d = wish_of(world, vmid, &host_interfaces(host).await, pins, then).map_err(unfit)?;
    let mut last = Vec::new();
    if let PublishWish::Publish { name, spec, unanswered } = asked
        && spec.carry != Carry::Http
    {
        d.leads(&spec.to)?;
        // What datagrams come to has no words of its own.
        if let Some(held) = then.of(name).filter(|_| spec.carry == Carry::Tcp && !unanswered) {
            let check = Check::Takes { vmid, port: held.pair.public };
            last.push(Step { always: true, ..Step::wait("ask whether a connection is taken", 8, check) });
        }
    }
    let path = d.system.rules_file();
    let found = read_quick(host, Place::Guest(vmid), &[path]).await.map(|all| all.into_iter().next().flatten());
    let found = found.map_err(|e| (format!("{path} of {vmid} cannot be read: {e}"), "see proximity appliance status".to_owned()))?;
    let made = files::files(&d).into_iter().find(|made| made.path == path).map(|made| made.text.into_bytes());
    let steps = rules_steps(&d, found.clone().into(), vmid);
    let in_force = match steps.last().filter(|_| found == made) {
        Some(load) => check::holds(host, &load.check, &Life::default(), None).await == Held::Yes,
        None => false,
    };
    Ok((if in_force { Vec::new() } else { steps }, last))
}

/// Whether a port of the appliance takes a connection, asked by the host at its address on the way out.
pub(super) async fn takes(host: &dyn Host, vmid: Vmid, port: u16) -> Held {
    let pid = match init_pid(host, vmid).await {
        Ok(Some(pid)) => pid,
        Ok(None) => return Held::No(format!("{vmid} does not run")),
        Err(e) => return Held::Unknown(e.to_string()),
    };
    let address = match publish::way_out(host, &visitor::net_of(pid)).await {
        Ok(address) => address.to_string(),
        Err(why) => return Held::Unknown(why),
    };
    let words = ["busybox", "nc", "-w", "2", &address, &port.to_string(), "-e", "/bin/true"].map(str::to_owned);
    match probe::run(host, visitor::in_network(publish::OWN, &NOBODY, words).limit(5)).await.answer {
        Ok(gave) if gave.status == 0 => Held::Yes,
        Ok(gave) if gave.status == 1 => Held::No(format!("{address}:{port} takes no connection")),
        Ok(gave) => Held::Unknown(format!("{address}:{port} could not be asked: status {}", gave.status)),
        Err(why) => Held::Unknown(why),
    }
}
