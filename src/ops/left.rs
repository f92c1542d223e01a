//! What a plan that did not end well left behind, by what the host shows now: which of two containers has a place, and how what
//! was made so far is removed.

use super::check::{self, Held};
use super::truth;
use crate::domain::clean::clean;
use crate::domain::cmd::Cmd;
use crate::domain::guest::Vmid;
use crate::domain::inside::pull::{HELD, NOT_THERE};
use crate::domain::job::Life;
use crate::domain::plan::{Act, Check, Plan, Purpose, Step, Watch};
use crate::domain::ports::PortWish;
use crate::domain::swap::aside_for;
use crate::host::{Host, HostError, Output};

/// What a plan that did not end well left behind.
pub(crate) async fn left_by(host: &dyn Host, plan: &Plan, life: &Life) -> Vec<String> {
    match &plan.purpose {
        Purpose::Backup => truth::leftovers(host, plan.guest, life.archive.as_deref()).await,
        Purpose::RestoreBeside | Purpose::Drill => new_guest(host, plan).await,
        Purpose::Power | Purpose::Unlock | Purpose::Label | Purpose::Unprotect | Purpose::Schedule | Purpose::Verify => Vec::new(),
        Purpose::Pull | Purpose::PullOut => half_pulled(host, plan).await,
        Purpose::Prune => vec!["archives that were not removed yet are listed by: proximity backup list".into()],
        Purpose::Swap => who_has_the_place(host, plan, life).await.1,
        Purpose::RestoreInPlace => {
            let (taken, mut left) = who_has_the_place(host, plan, life).await;
            if !taken {
                left.extend(new_guest(host, plan).await);
            }
            left
        }
        // Each step looks first whether it is needed.
        Purpose::Publish(wish) => left_of_publishing(plan, wish.as_ref(), life),
        Purpose::Appliance | Purpose::Pin(_) => vec!["what stands so far; asked for again, it goes on from there".into()],
    }
}

/// What was unpacked beside its place and did not come there, and volumes that were mounted for it.
async fn half_pulled(host: &dyn Host, plan: &Plan) -> Vec<String> {
    let mut left = Vec::new();
    let unpacks = |s: &&Step| matches!(s.act, Act::Run { watch: Watch::Archive { .. }, .. });
    let unpacked = plan.steps.iter().find(unpacks);
    if let Some((Check::Says { cmd, .. }, Some(remove))) = unpacked.map(|s| (&s.check, s.undo.as_ref().map(|u| u.shown()))) {
        let mut held = cmd.clone();
        held.args.last_mut().into_iter().for_each(|place| place.push_str(HELD));
        let name = held.args.last().map_or(String::new(), |place| clean(place));
        for (cmd, says) in [
            (cmd.clone(), format!("what was unpacked, beside its place; to remove it: {remove}")),
            (held, format!("{name} is what was unpacked or what was there before; look at both before you remove it")),
        ] {
            let there = |out: Output| if out.any().status == NOT_THERE { Ok(false) } else { out.success().map(|_| true) };
            match host.run(cmd).await.and_then(there) {
                Ok(true) => left.push(says),
                Ok(false) => {}
                Err(e) => {
                    left.push(format!("whether something is left beside its place is unknown: {e}"));
                    break;
                }
            }
        }
    }
    if plan.purpose == Purpose::Pull {
        match truth::guest(host, plan.guest).await {
            Ok(guest) if guest.lock.as_deref() == Some("mounted") => {
                left.push(format!("its volumes are mounted: pct unmount {}", plan.guest))
            }
            Ok(_) | Err(HostError::Missing { .. }) => {}
            Err(e) => left.push(format!("whether its volumes are mounted is unknown: {e}")),
        }
    }
    left
}

/// What was wished stays remembered, and what was tried can be looked at.
fn left_of_publishing(plan: &Plan, wish: Option<&PortWish>, life: &Life) -> Vec<String> {
    let laid = plan.steps.iter().take(life.step).find_map(|s| if let Act::Lay(lay) = &s.act { Some(lay) } else { None });
    let mut left: Vec<String> = laid.map(|lay| format!("what was tried, for a look: {} in {}", lay.folder, lay.at)).into_iter().collect();
    left.extend(match wish {
        Some(PortWish::Publish(name, ..)) => {
            Some(format!("{name} is remembered and keeps its ports; ask again when it is mended, or: proximity ports unpublish {name}"))
        }
        Some(PortWish::Unpublish(name)) => {
            Some(format!("{name} is given up, and may be served still; ask again: proximity ports converge"))
        }
        _ => None,
    });
    left
}

/// Which of two containers has the place that one was to take of the other, or where it is written down, and the way from there;
/// and whether the one that was to take it has begun to.
async fn who_has_the_place(host: &dyn Host, plan: &Plan, life: &Life) -> (bool, Vec<String>) {
    let named = |s: &Step| if let Check::Named { vmid, identity } = &s.check { Some((*vmid, identity.clone())) } else { None };
    let named: Vec<_> = plan.steps.iter().filter_map(named).collect();
    let Some((to, place)) = named.last() else { return (false, Vec::new()) };
    let from = named.first().map(|(id, _)| *id).filter(|id| id != to);
    let told = |taken: bool, line: String| (taken, vec![line]);
    match truth::guest(host, *to).await {
        Ok(guest) if place.is_of(&guest) => {
            let back = from.map_or(String::new(), |from| format!("; {from} stays, the way back: proximity backup swap {to} {from}"));
            return told(true, format!("{to} has the place{}{back}", goes_on(host, plan, life, *to).await));
        }
        Ok(_) | Err(HostError::Missing { .. }) => {}
        Err(e) => return told(true, format!("whether {to} has the place is unknown: {e}")),
    }
    let Some(from) = from else { return told(false, "nobody has the place yet".into()) };
    match truth::guest(host, from).await {
        Ok(guest) if place.is_of(&guest) => {
            told(false, format!("{from} has the place, as before{}", goes_on(host, plan, life, from).await))
        }
        Ok(guest) if aside_for(&guest).is_some_and(|(id, _)| id == *to) => {
            let (on, back) = (format!("proximity backup swap {from} {to}"), format!("proximity backup swap {to} {from}"));
            told(
                true,
                format!("nobody has the place now: it stands whole in the notes of {from}. On from there: {on}; or the way back: {back}"),
            )
        }
        Ok(_) => told(true, format!("neither {from} nor {to} has the place as it was; look at both")),
        Err(e) => told(true, format!("whether {from} has the place is unknown: {e}")),
    }
}

/// Whether who has the place serves there, in words that follow; nothing where it does.
async fn goes_on(host: &dyn Host, plan: &Plan, life: &Life, id: Vmid) -> String {
    let stops = matches!(plan.steps.get(life.step).map(|s| &s.check), Some(Check::Stopped { vmid }) if *vmid == id);
    match check::holds(host, &Check::Running { vmid: id }, life, None).await {
        Held::Yes if stops => format!(", and was told to stop: once it did, proximity guest start {id}"),
        Held::Yes => String::new(),
        Held::No(_) => format!(", and does not run: proximity guest start {id}"),
        Held::Unknown(why) => format!(", and whether it runs is unknown: {why}"),
    }
}

/// A restore never destroys: what it made so far is named, and how to remove it. What somebody else made is left alone.
async fn new_guest(host: &dyn Host, plan: &Plan) -> Vec<String> {
    let id = plan.guest;
    let wrote = |cmd: &Cmd, notes: &[String]| cmd.args.iter().any(|word| !notes.is_empty() && *word == notes.join("\n"));
    let first = plan.steps.first().map(|s| &s.act);
    match truth::guest(host, id).await {
        Ok(guest) if guest.lock.is_none() && !matches!(first, Some(Act::Run { cmd, .. }) if wrote(cmd, &guest.notes)) => {
            vec![format!("guest {id} is there, and by its notes this job did not make it")]
        }
        Ok(guest) => {
            let lock = guest.lock.map_or(String::new(), |l| format!(", locked ({l}): pct unlock {id}, then"));
            vec![format!("guest {id}{lock} for a look, or: pct destroy {id} --force 1")]
        }
        Err(HostError::Missing { .. }) => Vec::new(),
        Err(e) => vec![format!("whether {id} was made is unknown: {e}")],
    }
}
