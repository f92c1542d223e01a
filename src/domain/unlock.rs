//! Taking a lock away that nothing holds any more: what a killed backup or a power cut left. Never blindly: who may hold it
//! is asked before the plan is made, and once more right before it is taken away.

use super::cmd::Cmd;
use super::guest::{Kind, Vmid};
use super::plan::{Act, Check, Plan, Purpose, Refusal, Risk, Step, Watch};
use super::pve;
use super::task::Upid;
use super::world::{Quorum, World};

/// Locks behind which a guest is whole. The others (`create`, `migrate`, `rollback`, …) may hide half a guest.
const HARMLESS: [&str; 4] = ["backup", "fstrim", "mounted", "snapshot"];

/// The lock file of vzdump, for the whole node (facts §10).
pub const VZDUMP_LOCK: &str = "/var/run/vzdump.lock";

/// The lock file that every change of a guest's configuration takes.
pub fn config_lock(id: Vmid) -> String {
    format!("/run/lock/lxc/pve-config-{id}.lock")
}

/// Whose lock is to be taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlockWish {
    /// The guest.
    pub guest: Vmid,
}

/// Who may hold a lock, by the tasks of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder<'w> {
    /// This task works on the guest.
    Task(&'w Upid),
    /// This task is a backup of several guests, and does not say which it is at.
    Perhaps(&'w Upid),
    /// No task of this node.
    Nobody,
    /// The tasks are unknown; why.
    Unknown(&'w str),
}

/// Whether a task is a backup of several guests: such a job has no guest in its name.
pub fn is_over_several(upid: &Upid) -> bool {
    upid.kind == "vzdump" && upid.id.is_empty()
}

/// Who may hold the lock of a guest.
pub fn holder<'w>(world: &'w World, id: Vmid) -> Holder<'w> {
    let tasks = match &world.tasks.known {
        Ok(tasks) => tasks,
        Err(why) => return Holder::Unknown(why),
    };
    if let Some(upid) = world.task_on(id) {
        return Holder::Task(upid);
    }
    let several = tasks.iter().find(|t| t.end.is_none() && is_over_several(&t.upid));
    several.map_or(Holder::Nobody, |task| Holder::Perhaps(&task.upid))
}

/// The plan, or why it is refused. That nothing holds the lock files was asked before.
pub fn plan(world: &World, wish: &UnlockWish) -> Result<Plan, Refusal> {
    let id = wish.guest;
    let refuse = |why: String, hint: &str| Refusal::new(format!("take the lock of {id} away"), why, hint);
    let guest = world.the_guest(id).map_err(|(why, hint)| refuse(why, hint))?;
    if guest.kind != Kind::Lxc {
        return Err(refuse(format!("{} is a virtual machine", guest.title()), "use the Proxmox page"));
    }
    if !guest.conf_read {
        return Err(refuse(format!("the configuration of {id} could not be read, so its lock is unknown"), "see doctor"));
    }
    let Some(lock) = &guest.lock else { return Err(refuse(format!("{} is not locked", guest.title()), "nothing to do")) };
    match holder(world, id) {
        Holder::Nobody => {}
        Holder::Task(upid) => {
            return Err(refuse(format!("a task holds it: {} by {}", upid.kind, upid.user), "wait for its end, or end the task"));
        }
        Holder::Perhaps(upid) => {
            let why = format!("a backup of several guests runs ({}), which may be at this one", upid.as_str());
            return Err(refuse(why, "wait for its end"));
        }
        Holder::Unknown(why) => return Err(refuse(format!("whether a task holds it is unknown: {why}"), "see doctor")),
    }
    match &world.quorum.known {
        Ok(Quorum::Quorate { .. }) => {}
        Ok(Quorum::NoQuorum) => return Err(refuse("the cluster has no quorum, so /etc/pve takes no changes".into(), "see the Overview")),
        Err(why) => return Err(refuse(format!("whether the cluster has quorum is unknown: {why}"), "see doctor")),
    }
    let harmless = HARMLESS.contains(&lock.as_str());
    let mut notes = Vec::new();
    if !harmless {
        notes.push(format!("a guest that was locked for '{lock}' may be half there: look at its volumes and configuration first"));
    }
    if guest.snapshots.iter().any(|s| s == "vzdump") {
        notes.push("the snapshot 'vzdump' that was left too goes with the next backup".into());
    }
    let idle = Check::Idle { vmid: id, lock: lock.clone() };
    Ok(Plan {
        purpose: Purpose::Unlock,
        title: format!("take the lock '{lock}' of {} away", guest.title()),
        guest: id,
        host: world.place.host.clone(),
        facts: vec!["no task of this node works on it, and no process holds its lock files".into()],
        notes,
        // Half a guest that may be started is worse than a locked one.
        risk: if harmless { Risk::Interrupts } else { Risk::Destroys { name: guest.name.clone().unwrap_or_else(|| id.to_string()) } },
        steps: vec![
            Step { title: "ask once more who holds it".into(), act: Act::Wait { within_s: 5 }, check: idle, undo: None, always: false },
            Step {
                title: format!("unlock {id}"),
                act: Act::Run { cmd: pve::pct("unlock", id).limit(60), watch: Watch::Exit },
                check: Check::Unlocked { vmid: id },
                undo: Some(Cmd::new("pct", ["set", &id.to_string(), "--lock", lock]).limit(60).into()),
                always: false,
            },
        ],
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::guest::Guest;
    use crate::domain::stamp::Stamp;
    use crate::domain::task::{TaskEnd, TaskSeen};
    use crate::domain::world::{From, Part};

    fn world(lock: &str) -> World {
        let mut guest = Guest::bare("104".parse().unwrap(), Kind::Lxc);
        guest.lock = Some(lock.into());
        guest.conf_read = true;
        guest.name = Some("gitea".into());
        World {
            guests: Part::new(vec![guest], Stamp(1), From::Files),
            tasks: Part::new(vec![], Stamp(1), From::Files),
            quorum: Part::new(Quorum::Quorate { nodes: 1 }, Stamp(1), From::Files),
            ..World::default()
        }
    }

    fn task(kind: &str, id: &str, end: Option<TaskEnd>) -> TaskSeen {
        TaskSeen { upid: format!("UPID:pve1:0006FB34:0019E2FE:6A62022E:{kind}:{id}:root@pam:").parse().unwrap(), ended: None, end }
    }

    fn of(world: &World) -> Result<Plan, Refusal> {
        plan(world, &UnlockWish { guest: "104".parse().unwrap() })
    }

    #[test]
    fn a_lock_that_nobody_holds_goes_after_one_more_look() {
        let p = of(&world("backup")).unwrap();
        assert_eq!((&p.purpose, &p.risk, p.steps.len()), (&Purpose::Unlock, &Risk::Interrupts, 2));
        assert_eq!(p.steps[0].check, Check::Idle { vmid: "104".parse().unwrap(), lock: "backup".into() });
        assert!(
            p.lines().iter().any(|l| l == "    $ pct unlock 104") && p.lines().iter().any(|l| l == "    undo: pct set 104 --lock backup")
        );
        // Behind others there may be half a guest: its name must be typed.
        for lock in ["create", "migrate", "rollback", "disk", "snapshot-delete", "destroyed", "something-new"] {
            let p = of(&world(lock)).unwrap();
            assert_eq!(p.risk, Risk::Destroys { name: "gitea".into() }, "{lock}");
            assert!(p.notes[0].contains("half there"));
        }
    }

    #[test]
    fn whoever_may_hold_it_keeps_it() {
        let mut w = world("backup");
        for (tasks, why) in [(vec![task("vzdump", "104", None)], "a task holds it"), (vec![task("vzdump", "", None)], "several guests")] {
            w.tasks = Part::new(tasks, Stamp(1), From::Files);
            assert!(of(&w).unwrap_err().why.contains(why), "{why}");
        }
        w.tasks =
            Part::new(vec![task("vzdump", "104", Some(TaskEnd::Vanished)), task("vzdump", "", Some(TaskEnd::Ok))], Stamp(1), From::Files);
        assert!(of(&w).is_ok(), "tasks that ended hold nothing");
        w.tasks = Part::unknown("cannot read", Stamp(1));
        assert!(of(&w).unwrap_err().why.contains("unknown: cannot read"));
        let mut w = world("backup");
        w.quorum = Part::new(Quorum::NoQuorum, Stamp(1), From::Files);
        assert!(of(&w).unwrap_err().why.contains("no quorum"));
        w.quorum = Part::unknown("x", Stamp(1));
        assert!(of(&w).is_err());
        let mut w = world("backup");
        w.guests.known.as_mut().unwrap()[0].lock = None;
        assert!(of(&w).unwrap_err().why.contains("not locked"));
        let mut w = world("backup");
        w.guests.known.as_mut().unwrap()[0].conf_read = false;
        assert!(of(&w).unwrap_err().why.contains("unknown"));
    }
}
