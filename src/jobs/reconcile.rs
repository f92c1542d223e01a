//! Finds out what became of jobs whose worker is gone: killed, or the host went down.
//!
//! The order of belief: is the worker alive; is the Proxmox task alive; how did the task end by its last line; do the
//! plan's own checks hold. What none of them tells is *unknown*.

use super::{JobError, Jobs};
use crate::domain::audit::Ending;
use crate::domain::job::{Job, Life, Outcome, Process, State};
use crate::domain::plan::{Act, Purpose, Watch};
use crate::domain::task::TaskEnd;
use crate::host::Host;
use crate::ops::carry_out::finish_backup;
use crate::ops::check::{self, Held};
use crate::ops::left::left_by;
use crate::ops::truth::{self, Truth};

/// A worker takes a queued row over within milliseconds; after this time in ms it never will.
const NEVER_STARTED_MS: i64 = 30_000;

pub(super) async fn all(jobs: &Jobs, host: &dyn Host) -> Result<(), JobError> {
    let (open, _) = jobs.store().unfinished_jobs()?;
    for job in open {
        let Some((state, life)) = judge(host, &job).await else { continue };
        // The worker may have written its end since we read the row: then that holds and ours does not.
        let taken = if state.is_final() {
            let said = life.outcome.as_ref().map(|o| o.what.clone()).unwrap_or_default();
            let outcome = jobs.outcome(host.clock().0, &job, remembered(&job, state), said);
            jobs.store().end_job(job.id, job.state, state, &life, outcome)?
        } else {
            jobs.store().move_job(job.id, job.state, state, &life)?
        };
        if taken
            && state.is_final()
            && let (Ok(mut log), Some(outcome)) = (jobs.logs().writer(job.id), &life.outcome)
        {
            log.line(host.clock().0, format!("found out later: {}: {}", state.word(), outcome.what).as_bytes());
        }
        if taken && state.is_final() {
            jobs.audit.tell(&jobs.store());
        }
    }
    Ok(())
}

/// Whose worker was killed while it was at it is unknown to the audit, for nobody saw how far it came; unless it never
/// began, or the host says that all of it is done.
fn remembered(job: &Job, state: State) -> Ending {
    match (state, &job.life.worker) {
        (State::Failed, Some(_)) if job.state != State::Queued => Ending::Unknown,
        _ => Ending::of_job(state),
    }
}

/// The new state of a job, or `None` where nothing changed.
async fn judge(host: &dyn Host, job: &Job) -> Option<(State, Life)> {
    let now = host.clock().0;
    let ended = |state: State, outcome: Outcome| {
        let outcome = Outcome { found_out: true, ..outcome };
        let life = Life { ended: Some(now), outcome: Some(outcome), child: None, ..job.life.clone() };
        Some((state, life))
    };
    let Some(worker) = &job.life.worker else {
        let late = now.0 - job.created.0 > NEVER_STARTED_MS;
        let outcome =
            || Outcome { what: "its worker never started; nothing was done".into(), hint: "start it again".into(), ..Outcome::default() };
        return if late { ended(State::Failed, outcome()) } else { None };
    };
    match host.alive(worker).await {
        Ok(true) => return None,
        Ok(false) => {}
        Err(e) => {
            let phase = format!("cannot be asked: {e}");
            let changed = job.state != State::Unreachable || job.life.progress.phase != phase;
            let mut life = job.life.clone();
            life.progress.phase = phase;
            return changed.then_some((State::Unreachable, life));
        }
    }
    let how = gone_how(host, worker).await;
    if job.state == State::Queued {
        let what = format!("{how} while it waited for its turn; nothing was done");
        return ended(State::Failed, Outcome { what, hint: "start it again".into(), ..Outcome::default() });
    }
    match became(host, job, worker).await {
        Became::GoesOn => {
            let phase = format!("{how}; the task goes on without it");
            let mut life = job.life.clone();
            (job.life.progress.phase != phase).then(|| {
                life.progress.phase = phase;
                (State::Running, life)
            })
        }
        Became::Done(warnings) => {
            let mut out = Outcome { what: format!("done ({how})"), warnings, ..Outcome::default() };
            if job.order.plan().purpose == Purpose::Backup {
                finish_backup(host, job.order.plan(), &job.life, &mut out).await;
            }
            ended(if out.warnings.is_empty() { State::Succeeded } else { State::Warned }, out)
        }
        Became::NotDone(why) => {
            let left = left_by(host, job.order.plan(), &job.life).await;
            let hint = if left.is_empty() {
                "nothing was left behind; start it again"
            } else {
                "look at what was left behind before you start it again"
            };
            ended(State::Failed, Outcome { what: format!("interrupted: {how}; {why}"), hint: hint.into(), left, ..Outcome::default() })
        }
        Became::Unknown(why) => {
            let left = left_by(host, job.order.plan(), &job.life).await;
            ended(
                State::Unknown,
                Outcome {
                    what: format!("{how}; how it ended is unknown: {why}"),
                    hint: "look at the host before you start it again".into(),
                    left,
                    ..Outcome::default()
                },
            )
        }
    }
}

async fn gone_how(host: &dyn Host, worker: &Process) -> &'static str {
    match truth::boot_id(host).await {
        Ok(boot) if boot != worker.boot_id => "the host went down",
        _ => "its worker was killed",
    }
}

enum Became {
    GoesOn,
    Done(Vec<String>),
    NotDone(String),
    Unknown(String),
}

async fn became(host: &dyn Host, job: &Job, worker: &Process) -> Became {
    let mut warnings = Vec::new();
    if let Some(upid) = &job.life.upid {
        match truth::of_task(host, upid, &worker.boot_id).await {
            Truth::Running => return Became::GoesOn,
            Truth::Unknown(why) => return Became::Unknown(why),
            Truth::Ended(TaskEnd::Ok) => {}
            Truth::Ended(TaskEnd::Warnings(n)) => warnings.push(format!("{n} warning(s); see the task's log")),
            Truth::Ended(TaskEnd::Error(text)) => return Became::NotDone(format!("task {upid}: {}", crate::domain::clean::clean(&text))),
            Truth::Ended(TaskEnd::Vanished) => return Became::NotDone(format!("task {upid} ended without a result")),
        }
    } else if let Some(child) = &job.life.child
        && host.alive(child).await == Ok(true)
    {
        return Became::GoesOn;
    }
    let steps = &job.order.plan().steps;
    for (n, step) in steps.iter().enumerate().skip(job.life.step) {
        let of = |why: &str| Became::NotDone(format!("step {} of {}: {why}", n + 1, steps.len()));
        // What a look at the host cannot tell: a step whose check held before it, too; and what was told to the worker only.
        if n > job.life.step && step.always && !matches!(step.act, Act::Wait { .. }) {
            return of("it was not begun");
        }
        if matches!(step.act, Act::Run { watch: Watch::Archive { .. }, .. }) {
            return of("it was broken off");
        }
        match check::holds(host, &step.check, &job.life, None).await {
            Held::Yes => {}
            Held::No(why) => return of(&why),
            Held::Unknown(why) => return Became::Unknown(why),
        }
    }
    Became::Done(warnings)
}
