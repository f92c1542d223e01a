//! Starting and stopping guests, as plans like everything else that changes a host.

use super::appliance::desired::LAN;
use super::guest::{Guest, Kind, Power, Vmid};
use super::plan::{Act, Check, Plan, Purpose, Refusal, Risk, Step, Watch};
use super::pve;
use super::world::World;

/// What to do with a guest's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Start it.
    Start,
    /// Pull its plug.
    Stop,
    /// Ask its init to end, and wait.
    Shutdown,
    /// Shut it down and start it.
    Reboot,
}

impl Turn {
    /// pct's word.
    pub fn word(self) -> &'static str {
        match self {
            Turn::Start => "start",
            Turn::Stop => "stop",
            Turn::Shutdown => "shutdown",
            Turn::Reboot => "reboot",
        }
    }
}

/// A change of power that is wished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerWish {
    /// Of which guest.
    pub guest: Vmid,
    /// What.
    pub turn: Turn,
}

/// The plan, or why it is refused.
pub fn plan(world: &World, wish: &PowerWish) -> Result<Plan, Refusal> {
    let verb = wish.turn.word();
    let refuse = |why: String, hint: &str| Refusal::new(format!("{verb} {}", wish.guest), why, hint);
    let guest = world.the_guest(wish.guest).map_err(|(why, hint)| refuse(why, hint))?;
    fit(guest, wish.turn).map_err(|(why, hint)| refuse(why, hint))?;
    let check = match wish.turn {
        Turn::Start => Check::Running { vmid: guest.id },
        Turn::Stop | Turn::Shutdown => Check::Stopped { vmid: guest.id },
        Turn::Reboot => Check::Restarted { vmid: guest.id },
    };
    // pct itself gives up a shutdown or reboot after 60 s; a little more than that, and never a kill by us.
    let cmd = pve::pct(verb, guest.id).limit(150);
    Ok(Plan {
        purpose: Purpose::Power,
        title: format!("{verb} {}", guest.title()),
        guest: guest.id,
        host: world.place.host.clone(),
        facts: if wish.turn == Turn::Start { Vec::new() } else { who_waits(world, guest, wish.turn).into_iter().collect() },
        notes: Vec::new(),
        risk: if wish.turn == Turn::Start { Risk::Low } else { Risk::Interrupts },
        steps: vec![Step {
            title: format!("{verb} {}", guest.id),
            act: Act::Run { cmd, watch: Watch::Exit },
            check,
            undo: None,
            always: wish.turn == Turn::Reboot,
        }],
    })
}

/// Who misses the appliance while it does not run, and for how long.
fn who_waits(world: &World, guest: &Guest, turn: Turn) -> Option<String> {
    if guest.id != world.appliance_id() {
        return None;
    }
    let lan = guest.nics.iter().find(|n| n.name == LAN).and_then(|n| n.bridge.as_deref())?;
    let behind = |g: &&Guest| g.power == Power::Running && g.nics.iter().any(|n| n.bridge.as_deref() == Some(lan));
    let all = world.guests.get().into_iter().flatten().filter(|g| g.id != guest.id).filter(behind);
    let all: Vec<String> = all.map(Guest::title).collect();
    if all.is_empty() {
        return Some("no running app is behind it".into());
    }
    let until = if turn == Turn::Reboot { "until it is up again, some seconds" } else { "until it is started again" };
    Some(format!("{} app(s) have no names, no way out and no visitors {until}: {}", all.len(), all.join(", ")))
}

fn fit(guest: &Guest, turn: Turn) -> Result<(), (String, &'static str)> {
    if guest.kind != Kind::Lxc {
        return Err((format!("{} is a virtual machine", guest.title()), "use the Proxmox page"));
    }
    if let Some(lock) = &guest.lock {
        // `pct reboot` of a locked guest stops it and then cannot start it (facts §16, trap 10).
        return Err((format!("{} is locked ({lock})", guest.title()), "wait for what holds it; if nothing does: proximity guest unlock"));
    }
    match (turn, guest.power) {
        (Turn::Start, Power::Running) => Err((format!("{} runs already", guest.title()), "nothing to do")),
        (Turn::Start, _) if guest.template => Err((format!("{} is a template", guest.title()), "clone it first")),
        (Turn::Start, _) => Ok(()),
        (_, Power::Stopped) => Err((format!("{} is stopped", guest.title()), "nothing to do")),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::backup::tests::world;
    use super::*;

    #[test]
    fn who_misses_the_appliance_is_said_before() {
        let guest = |id: u32, conf: &str| super::super::conf::parse_lxc(id.try_into().unwrap(), conf);
        let mut w = world();
        let of = |w: &World, id: &str, turn| plan(w, &PowerWish { guest: id.parse().unwrap(), turn }).unwrap().facts;
        let appliance = guest(9999, "hostname: edge\nnet0: name=eth0,bridge=vmbr0,ip=dhcp\nnet1: name=eth1,bridge=lan,ip=10.20.0.1/24");
        let app = |id, on| guest(id, &format!("hostname: app\nnet0: name=eth0,bridge={on},ip=dhcp"));
        let guests = [appliance, app(301, "lan"), app(302, "vmbr0")].map(|g| Guest { power: Power::Running, ..g });
        w.guests.known.as_mut().unwrap().extend(guests);
        let said = of(&w, "9999", Turn::Reboot);
        assert!(said[0].starts_with("1 app(s)") && said[0].contains("seconds") && said[0].ends_with("301 app"), "{said:?}");
        assert!(of(&w, "9999", Turn::Stop)[0].contains("until it is started again"));
        assert!(of(&w, "301", Turn::Stop).is_empty(), "nobody waits for an app");
    }

    #[test]
    fn power_plans_and_refusals() {
        let mut w = world();
        let of = |w: &World, turn| plan(w, &PowerWish { guest: "101".parse().unwrap(), turn });
        assert_eq!(of(&w, Turn::Start).unwrap_err().why, "101 web runs already");
        assert_eq!(of(&w, Turn::Stop).unwrap().risk, Risk::Interrupts);
        w.guests.known.as_mut().unwrap()[0].lock = Some("backup".into());
        assert!(of(&w, Turn::Reboot).unwrap_err().why.contains("locked (backup)"));
        w.guests.known.as_mut().unwrap()[0].lock = None;
        w.guests.known.as_mut().unwrap()[0].power = Power::Stopped;
        assert_eq!(of(&w, Turn::Start).unwrap().steps[0].check, Check::Running { vmid: "101".parse().unwrap() });
        assert_eq!(of(&w, Turn::Shutdown).unwrap_err().hint, "nothing to do");
    }
}
