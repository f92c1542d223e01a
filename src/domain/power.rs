//! Starting and stopping guests, as plans like everything else that changes a host.

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
        facts: Vec::new(),
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
