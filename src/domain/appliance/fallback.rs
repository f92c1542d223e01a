//! The way past the appliance when it cannot be mended now: apps are moved to the bridge that leads out, where nothing
//! isolates them. Only by explicit choice; each that was moved says so by a tag, until it is moved back.

use super::desired::Desired;
use super::is_none_of_apps;
use crate::domain::cmd::Cmd;
use crate::domain::guest::{Guest, Kind, Nic, Power, Vmid};
use crate::domain::plan::{Check, Plan, Purpose, Refusal, Risk, Step};
use crate::domain::pve;
use crate::domain::world::World;

/// The tag of an app that was moved.
pub const MOVED: &str = "proximity-unisolated";

/// Apps that nothing isolates, for they were moved.
pub fn moved(guests: &[Guest]) -> impl Iterator<Item = &Guest> {
    guests.iter().filter(|g| g.tags.iter().any(|t| t == MOVED))
}

/// Where the apps are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// On the bridge that leads out, past the appliance.
    Out,
    /// Behind the appliance again.
    Back,
}

/// The plan that moves all apps, or why it is refused.
pub fn plan(world: &World, side: Side, d: &Desired, vmid: Vmid) -> Result<Plan, Refusal> {
    let (from, to) = match side {
        Side::Out => (d.lan_bridge.as_str(), d.wan_bridge.as_str()),
        Side::Back => (d.wan_bridge.as_str(), d.lan_bridge.as_str()),
    };
    let refuse = |why: String, hint: &str| Refusal::new(format!("move the apps to {to}"), why, hint);
    let guests = world.guests.known.as_ref().map_err(|why| refuse(format!("the guests are unknown: {why}"), "see doctor"))?;
    let here = |g: &&Guest| {
        g.kind == Kind::Lxc && !is_none_of_apps(g, vmid) && !g.template && (g.node.is_none() || g.node.as_deref() == world.node_name())
    };
    let (mut steps, mut notes, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for guest in guests.iter().filter(here) {
        let was_moved = guest.tags.iter().any(|t| t == MOVED);
        let Some(nic) = guest.nics.iter().find(|n| n.bridge.as_deref() == Some(from)) else { continue };
        if (side == Side::Back) != was_moved {
            continue;
        }
        if let Some(lock) = &guest.lock {
            return Err(refuse(format!("{} is locked ({lock})", guest.title()), "wait for what holds it, or: proximity guest unlock"));
        }
        if side == Side::Out && nic.ip.as_deref() != Some("dhcp") {
            notes.push(format!("{} stays: its address is fixed", guest.title()));
            continue;
        }
        names.push(guest.title());
        steps.extend(step(guest, nic, to, side));
    }
    let title = match side {
        Side::Out => format!("move {} app(s) to {to}, past the appliance", names.len()),
        Side::Back => format!("move {} app(s) back to {to}, behind the appliance", names.len()),
    };
    if side == Side::Out {
        notes.push(format!("nothing isolates them on {to}: not from the node, not from your network, not from each other's services"));
        notes.push("names, ports and static addresses of the appliance do not reach them there".to_owned());
    }
    // The name of the bridge is typed: it is lost what the appliance is for.
    let risk = if side == Side::Out { Risk::Destroys { name: to.to_owned() } } else { Risk::Interrupts };
    let facts = names.iter().map(|n| format!("{n}: restarted if it runs, and asks for another address")).collect();
    Ok(Plan { purpose: Purpose::Appliance, title, guest: vmid, host: world.place.host.clone(), facts, notes, risk, steps })
}

fn step(guest: &Guest, nic: &Nic, to: &str, side: Side) -> Vec<Step> {
    let id = guest.id;
    let plugged = |bridge: &str| {
        let words = nic.raw.split(',').map(|w| if w.starts_with("bridge=") { format!("bridge={bridge}") } else { w.to_owned() });
        words.collect::<Vec<_>>().join(",")
    };
    let tags: Vec<&str> = match side {
        Side::Out => guest.tags.iter().map(String::as_str).chain([MOVED]).collect(),
        Side::Back => guest.tags.iter().map(String::as_str).filter(|t| *t != MOVED).collect(),
    };
    let set = |raw: &str, tags: &[&str]| {
        let mut args = vec!["set".to_owned(), id.to_string(), format!("--{}", nic.key), raw.to_owned()];
        // An empty list is none: it is taken out.
        args.extend(if tags.is_empty() { ["--delete".to_owned(), "tags".to_owned()] } else { ["--tags".to_owned(), tags.join(";")] });
        Cmd::new("pct", args)
    };
    let old: Vec<&str> = guest.tags.iter().map(String::as_str).collect();
    let check = Check::Plugged { vmid: id, key: nic.key.clone(), bridge: to.to_owned() };
    let mut out =
        vec![Step::run(format!("move {} to {to}", guest.title()), set(&plugged(to), &tags), check).undone_by(set(&nic.raw, &old))];
    if guest.power == Power::Running {
        let restart = Step::run(format!("restart {}", guest.title()), pve::pct("reboot", id).limit(150), Check::Restarted { vmid: id });
        out.push(Step { always: true, ..restart });
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::desired::tests::{guest, sample};
    use super::*;
    use crate::domain::plan::Act;
    use crate::domain::stamp::Stamp;
    use crate::domain::world::{From, Part};

    fn world(more: &[(u32, &str)]) -> World {
        let mut guests = vec![
            guest(101, "hostname: web\ntags: app\nnet0: name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:02,ip=dhcp"),
            guest(102, "hostname: wiki\nnet1: name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:03,ip=dhcp"),
            guest(103, "hostname: db\nnet0: name=eth0,bridge=proximity-lan,ip=10.20.0.20/24"),
            guest(104, "hostname: other\nnet0: name=eth0,bridge=vmbr0,ip=dhcp"),
            guest(9999, "hostname: edge\nostype: alpine\nnet1: name=eth1,bridge=proximity-lan,ip=10.20.0.1/24"),
        ];
        guests.extend(more.iter().map(|(id, conf)| guest(*id, conf)));
        guests[0].power = Power::Running;
        World { guests: Part::new(guests, Stamp(1), From::Files), ..World::default() }
    }

    fn commands(plan: &Plan) -> Vec<String> {
        plan.steps.iter().map(|s| if let Act::Run { cmd, .. } = &s.act { cmd.shown() } else { String::new() }).collect()
    }

    #[test]
    fn apps_are_moved_out_by_name_and_back() {
        let vmid = 9999.try_into().unwrap();
        let out = plan(&world(&[]), Side::Out, &sample(), vmid).unwrap();
        assert_eq!(
            commands(&out),
            [
                "pct set 101 --net0 name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:02,ip=dhcp --tags 'app;proximity-unisolated'",
                "pct reboot 101",
                "pct set 102 --net1 name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:03,ip=dhcp --tags proximity-unisolated",
            ]
        );
        assert_eq!(out.risk, Risk::Destroys { name: "vmbr0".into() });
        assert!(out.notes[0].contains("103 db stays") && out.notes[1].contains("nothing isolates"), "{:?}", out.notes);
        assert_eq!(
            out.steps[2].undo.as_ref().unwrap().shown(),
            "pct set 102 --net1 name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:03,ip=dhcp --delete tags"
        );

        let after = world(&[(105, "hostname: a\ntags: app;proximity-unisolated\nnet0: name=eth0,bridge=vmbr0,ip=dhcp")]);
        assert_eq!(moved(after.guests.get().unwrap()).map(|g| u32::from(g.id)).collect::<Vec<_>>(), [105]);
        let back = plan(&after, Side::Back, &sample(), vmid).unwrap();
        assert_eq!(commands(&back), ["pct set 105 --net0 name=eth0,bridge=proximity-lan,ip=dhcp --tags app"]);
        assert_eq!(back.risk, Risk::Interrupts, "104 was always there and stays");

        let locked = world(&[(105, "lock: backup\nnet0: name=eth0,bridge=proximity-lan,ip=dhcp")]);
        assert!(plan(&locked, Side::Out, &sample(), vmid).unwrap_err().why.contains("locked (backup)"));
    }
}
