//! The one plan that takes away what killed jobs left. Before each step it is asked once more whether nobody works there, and
//! what is not proven to be nobody's has no step.

use super::left::{Left, Thing, left, total};
use super::{SNAP, Seen, Verdict, examine};
use crate::domain::clean::clean;
use crate::domain::cmd::Cmd;
use crate::domain::guest::{Kind, Vmid};
use crate::domain::plan::{Check, Plan, Purpose, Refusal, Risk, Step, Wants};
use crate::domain::pve;
use crate::domain::stamp::bytes;
use crate::domain::world::World;

/// What is to be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockWish {
    /// Of this guest; `None` takes what is left on the whole node, but no guest.
    pub guest: Option<Vmid>,
    /// Nothing but its lock.
    pub lock_only: bool,
}

/// Seconds for which it is asked before a step whether nobody works there.
const ASK_S: u32 = 5;

/// The plan, or why it is refused. A plan without steps says that nothing is left.
pub fn plan(world: &World, seen: &Seen, wish: &LockWish) -> Result<Plan, Refusal> {
    let what = match wish.guest {
        Some(id) if wish.lock_only => format!("take the lock of {id} away"),
        Some(id) => format!("clear away what is left of killed jobs at {id}"),
        None => "clear away what killed jobs left on this node".into(),
    };
    let refuse = |why: String, hint: &str| Refusal::new(what.clone(), why, hint);
    world.guests.known.as_ref().map_err(|why| refuse(format!("the guests of this host are unknown: {why}"), "see doctor"))?;
    if let Some(id) = wish.guest {
        of_one(world, seen, wish, id).map_err(|(why, hint)| refuse(why, &hint))?;
    }
    world.takes_changes().map_err(|(why, hint)| refuse(why, hint))?;
    if let Err(why) = &world.quorum.known {
        return Err(refuse(format!("whether the cluster has quorum is unknown: {why}"), "see doctor"));
    }
    let all: Vec<Left> = left(world, seen).into_iter().filter(|l| chosen(wish, l)).collect();
    let (proven, unproven): (Vec<&Left>, Vec<&Left>) = all.iter().partition(|l| l.proof.is_ok() && may_go(wish, l));
    if proven.is_empty() && !unproven.is_empty() {
        let first = unproven[0];
        let why = first.proof.as_ref().err().map_or_else(|| why_not(first), Clone::clone);
        return Err(refuse(format!("{}: {why}", first.words()), "proximity repair check locks shows all of it"));
    }
    let ordered = |l: &&Left| match l.thing {
        // What is mounted keeps its snapshot busy, and a guest that stands still is looked after first.
        Thing::Mount => 0,
        Thing::Frozen => 1,
        Thing::Lock | Thing::Mounted | Thing::Doubtful | Thing::Half { .. } | Thing::Scratch { .. } => 2,
        Thing::Snapshot(_) => 3,
        Thing::Partial | Thing::Folder => 4,
    };
    let mut proven = proven;
    proven.sort_by_key(ordered);
    let steps: Vec<Step> = proven.iter().flat_map(|l| steps(l, wish)).collect();
    let size = total(&proven.iter().map(|l| (*l).clone()).collect::<Vec<_>>());
    let mut notes: Vec<String> = unproven
        .iter()
        .map(|l| format!("stays: {}: {}", l.words(), l.proof.as_ref().err().map_or_else(|| why_not(l), Clone::clone)))
        .collect();
    notes.extend(seen.gaps.iter().map(|g| format!("not looked at: {}: {}", g.what, g.why)));
    notes.extend(proven.iter().filter_map(|l| note(l, wish)));
    let mut facts: Vec<String> = proven.iter().filter_map(|l| Some(format!("{}: {}", l.words(), l.proof.as_ref().ok()?))).collect();
    if size > 0 {
        facts.push(format!("{} become free", bytes(size)));
    }
    Ok(Plan {
        purpose: Purpose::Unlock,
        title: title(world, wish, &proven),
        guest: wish.guest.unwrap_or_else(|| proven.iter().find_map(|l| l.guest).unwrap_or_else(|| world.appliance_id())),
        host: world.place.host.clone(),
        facts,
        notes,
        risk: risk(world, wish, &proven),
        steps,
    })
}

fn title(world: &World, wish: &LockWish, proven: &[&Left]) -> String {
    let named = |id: Vmid| world.guest(id).map_or_else(|| id.to_string(), |g| g.title());
    let lock = proven.iter().find(|l| matches!(l.thing, Thing::Lock | Thing::Doubtful | Thing::Mounted | Thing::Half { .. }));
    match (wish.guest, lock) {
        (Some(id), Some(lock)) if wish.lock_only => format!("take the lock '{}' of {} away", clean(&lock.at), named(id)),
        (Some(id), _) if proven.iter().any(|l| l.is_a_guest()) => format!("remove what is half there of {}", named(id)),
        (Some(id), _) => format!("clear away what killed jobs left at {}", named(id)),
        (None, _) => "clear away what killed jobs left on this node".into(),
    }
}

/// What is in the way with one guest as a whole: somebody works on it, or that cannot be told.
fn of_one(world: &World, seen: &Seen, wish: &LockWish, id: Vmid) -> Result<(), (String, String)> {
    let guest = world.guest(id);
    match guest {
        Some(g) if g.kind != Kind::Lxc => return Err((format!("{} is a virtual machine", g.title()), "use the Proxmox page".into())),
        Some(g) if !g.conf_read => {
            return Err((format!("the configuration of {id} could not be read, so its lock is unknown"), "see doctor".into()));
        }
        Some(g) if wish.lock_only && g.lock.is_none() => return Err((format!("{} is not locked", g.title()), "nothing to do".into())),
        None if wish.lock_only => {
            world.the_guest(id).map_err(|(why, hint)| (why, hint.to_owned()))?;
        }
        _ => {}
    }
    match examine(world, seen, id).verdict {
        Verdict::Nobody => Ok(()),
        held @ Verdict::Held { .. } => {
            let Verdict::Held { hint, .. } = &held else { return Ok(()) };
            let hint = hint.clone();
            Err((held.words(), hint))
        }
        Verdict::Unknown { why, hint } => Err((format!("who holds it is unknown: {why}"), hint)),
    }
}

/// What a wish is about.
fn chosen(wish: &LockWish, left: &Left) -> bool {
    let is_lock = matches!(left.thing, Thing::Lock | Thing::Doubtful | Thing::Mounted | Thing::Half { .. });
    match wish.guest {
        Some(_) if wish.lock_only => is_lock && left.guest == wish.guest,
        // What is mounted for backups is in the way of the next one of every guest.
        Some(_) => left.guest == wish.guest || left.guest.is_none(),
        None => true,
    }
}

/// Whether it may go by this wish at all, proven as it is.
fn may_go(wish: &LockWish, left: &Left) -> bool {
    match left.thing {
        Thing::Doubtful => wish.lock_only,
        Thing::Half { .. } | Thing::Scratch { .. } => wish.guest.is_some(),
        _ => true,
    }
}

fn why_not(left: &Left) -> String {
    let id = left.guest.map_or_else(|| "ID".to_owned(), |id| id.to_string());
    match left.thing {
        Thing::Doubtful => format!("it may be half there: look at its volumes and configuration, then: proximity guest unlock {id}"),
        _ => format!("a guest goes only by its own number: proximity repair fix locks {id}"),
    }
}

fn note(left: &Left, wish: &LockWish) -> Option<String> {
    match &left.thing {
        Thing::Doubtful | Thing::Half { .. } if wish.lock_only => Some(format!(
            "a guest that was locked for '{}' may be half there: look at its volumes and configuration first",
            clean(&left.at)
        )),
        // Its number may be in use elsewhere on a shared storage, so nothing is removed that it does not name.
        Thing::Half { job } => {
            let whose = if job.is_none() { "no job of ours made it: look whether it is really what you want to lose; " } else { "" };
            Some(format!("{whose}volumes that its configuration does not name stay: pvesm list STORAGE --vmid ID"))
        }
        Thing::Lock if wish.lock_only => Some("what else is left stays; all of it goes with: proximity repair fix locks".into()),
        Thing::Snapshot(false) => Some("if its storage has lost the snapshot: pct delsnapshot ID vzdump --force 1".into()),
        Thing::Partial => Some("half an archive cannot be restored, and what is removed of it does not come back".into()),
        _ => None,
    }
}

/// Half a guest that may be started is worse than a locked one.
fn risk(world: &World, wish: &LockWish, proven: &[&Left]) -> Risk {
    let lost = |l: &&&Left| l.is_a_guest() || l.thing == Thing::Doubtful;
    match (proven.iter().find(lost).and_then(|l| l.guest), wish.guest) {
        (Some(id), Some(_)) => Risk::Destroys { name: world.guest(id).and_then(|g| g.name.clone()).unwrap_or_else(|| id.to_string()) },
        _ => Risk::Interrupts,
    }
}

fn steps(left: &Left, wish: &LockWish) -> Vec<Step> {
    let ask = |about: String, check: Check| Step::wait(about, ASK_S, check);
    let Some(id) = left.guest else {
        let gone = Check::Says {
            what: format!("nothing is mounted at {SNAP}"),
            cmd: Cmd::new("findmnt", ["--noheadings", "--output", "TARGET", SNAP]).limit(10),
            wants: Wants::Status(1),
        };
        return vec![
            ask("ask once more whether a backup reads there".into(), Check::Unused { vmid: None, paths: vec![SNAP.into()] }),
            Step::run(format!("unmount {SNAP}"), Cmd::new("umount", ["--recursive", SNAP]).limit(60), gone),
        ];
    };
    let idle = |lock: &str| ask("ask once more who holds it".into(), Check::Idle { vmid: id, lock: lock.into() });
    let unlock = || {
        Step::run(format!("unlock {id}"), pve::pct("unlock", id).limit(60), Check::Unlocked { vmid: id })
            .undone_by(Cmd::new("pct", ["set", &id.to_string(), "--lock", &left.at]).limit(60))
    };
    match &left.thing {
        Thing::Half { .. } if !wish.lock_only => {
            let gone = Step::run(format!("remove what is there of {id}"), pve::destroy(id), Check::Gone { vmid: id });
            vec![idle(&left.at), unlock(), gone]
        }
        Thing::Lock | Thing::Doubtful | Thing::Half { .. } => vec![idle(&left.at), unlock()],
        Thing::Mounted => {
            let unmount =
                Step::run(format!("unmount {id}, which unlocks it"), pve::pct("unmount", id).limit(60), Check::Unlocked { vmid: id });
            vec![idle(&left.at), unmount]
        }
        Thing::Frozen => {
            let runs = Check::Says {
                what: format!("{id} is not frozen"),
                cmd: pve::lxc_state(id),
                wants: Wants::OneOf(["RUNNING", "STOPPED"].map(str::to_owned).into()),
            };
            let thaw = Cmd::new("lxc-unfreeze", ["-n", &id.to_string()]).limit(30);
            vec![
                idle("backup"),
                Step::run(format!("let {id} go on"), thaw, runs).undone_by(Cmd::new("lxc-freeze", ["-n", &id.to_string()])),
            ]
        }
        Thing::Scratch { job } => {
            vec![idle(""), Step::run(format!("remove {id}, which job {job} was to remove"), pve::destroy(id), Check::Gone { vmid: id })]
        }
        Thing::Snapshot(broken) => {
            // Where Proxmox itself says that it is half made, its storage may know nothing of it.
            let force: &[&str] = if *broken { &["--force", "1"] } else { &[] };
            let number = id.to_string();
            let cmd = Cmd::new("pct", ["delsnapshot", &number, "vzdump"].into_iter().chain(force.iter().copied())).limit(600);
            vec![
                idle(""),
                Step::run(format!("remove snapshot 'vzdump' of {id}"), cmd, Check::NoSnapshot { vmid: id, name: "vzdump".into() }),
            ]
        }
        Thing::Partial | Thing::Folder => {
            let path = left.at.as_str();
            let cmd = match left.thing {
                Thing::Partial => Cmd::new("rm", ["--", path]),
                _ => Cmd::new("rm", ["--recursive", "--one-file-system", "--", path]),
            };
            let gone = Check::Says {
                what: format!("{} is not there", clean(path)),
                cmd: Cmd::new("test", ["-e", path]).limit(10),
                wants: Wants::Status(1),
            };
            vec![
                ask("ask once more whether somebody has it open".into(), Check::Unused { vmid: Some(id), paths: vec![path.into()] }),
                Step::run(format!("remove {}", clean(path)), cmd.limit(600), gone),
            ]
        }
        Thing::Mount => Vec::new(),
    }
}
