//! What a creation of ours left that a kill or a power cut broke off: a configuration that holds little more than its lock.
//! It is known by the lock together with a job of ours that had come so far; a lock alone is anybody's.

use crate::domain::cmd::Cmd;
use crate::domain::guest::{Guest, Power, Vmid};
use crate::domain::job::Job;
use crate::domain::plan::{Check, Purpose, Step};
use crate::domain::pve;

/// The lock of a guest that is being made.
const LOCK: &str = "create";

/// Whether this guest is the remains of an appliance that one of these jobs began to create.
pub fn are_ours(guest: &Guest, jobs: &[Job]) -> bool {
    let began = |job: &Job| {
        let plan = job.order.plan();
        let reached = plan.steps.iter().take(job.life.step + 1);
        plan.purpose == Purpose::Appliance && reached.into_iter().any(|s| matches!(s.check, Check::Ours { vmid, .. } if vmid == guest.id))
    };
    guest.lock.as_deref() == Some(LOCK) && guest.power != Power::Running && jobs.iter().any(began)
}

/// The steps that clear them away, once nothing works on them any more.
pub fn steps(id: Vmid) -> Vec<Step> {
    let words = ["destroy", &id.to_string(), "--purge", "1", "--destroy-unreferenced-disks", "1"];
    vec![
        Step::wait(format!("ask whether something still creates {id}"), 15, Check::Idle { vmid: id, lock: LOCK.into() }),
        Step::run(format!("unlock what is left of {id}"), pve::pct("unlock", id).limit(60), Check::Unlocked { vmid: id }),
        Step::run(format!("remove what is left of {id}"), Cmd::new("pct", words).limit(120), Check::Gone { vmid: id }),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Seat;
    use super::super::desired::tests::guest;
    use super::*;
    use crate::domain::job::{Life, State};
    use crate::domain::plan::{Approved, Plan, Risk};
    use crate::domain::stamp::Stamp;

    fn job(purpose: Purpose, id: u32, step: usize) -> Job {
        let vmid = Vmid::try_from(id).unwrap();
        let start = Step::run("start", pve::pct("start", vmid), Check::Running { vmid });
        let create = Step::run("create", pve::pct("create", vmid), Check::Ours { vmid, seat: Seat::Acting });
        let plan = Plan {
            purpose,
            title: "t".into(),
            guest: vmid,
            host: "local".into(),
            facts: vec![],
            notes: vec![],
            risk: Risk::Low,
            steps: vec![start.clone(), create, start],
        };
        let order = Approved::new(plan, "ada", None).unwrap();
        Job { id: 1, state: State::Failed, created: Stamp(1), order, life: Life { step, ..Life::default() } }
    }

    #[test]
    fn only_what_a_job_of_ours_began_is_ours() {
        let left = guest(9999, "lock: create");
        let of = |guest: &Guest, job| are_ours(guest, &[job]);
        assert!(of(&left, job(Purpose::Appliance, 9999, 1)) && of(&left, job(Purpose::Appliance, 9999, 2)));
        assert!(!of(&left, job(Purpose::Appliance, 9999, 0)), "it had not come so far");
        assert!(!of(&left, job(Purpose::Appliance, 9998, 1)) && !of(&left, job(Purpose::RestoreBeside, 9999, 1)));
        assert!(!are_ours(&left, &[]), "a lock alone is anybody's");
        assert!(!of(&guest(9999, "lock: backup"), job(Purpose::Appliance, 9999, 1)));
        let running = Guest { power: Power::Running, ..left };
        assert!(!of(&running, job(Purpose::Appliance, 9999, 1)));
    }
}
