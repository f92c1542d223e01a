//! The waiting of a job for its turn. Each waits in its own worker, which looks at whoever stands before it: so nobody has to
//! be there to begin the next one, and whoever is killed strands nobody.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{JobError, Jobs};
use crate::domain::job::{Job, JobId, Life, Outcome, Process, State};
use crate::domain::queue::{self, Lane, Move, Turn};
use crate::domain::settings::Settings;
use crate::host::Host;
use crate::ops::truth;

/// So often a worker that waits looks whether something changed.
const LOOK: Duration = Duration::from_secs(1);

/// What became of the waiting.
pub(super) enum Entered {
    /// The row is ours and says that it runs.
    Ours,
    /// It ended while it waited, so.
    Ended(State),
}

/// Takes the row of a job over as soon as it is its turn. `ours` is its life as it will be then.
pub(super) async fn enter(jobs: &Jobs, host: &dyn Host, job: &Job, ours: &Life, stop: &CancellationToken) -> Result<Entered, String> {
    let said = |e: crate::store::StoreError| e.to_string();
    let Some(lane) = Lane::of(job.order.plan()) else {
        let claimed = jobs.store().claim_job(job.id, ours).map_err(said)?;
        return if claimed { Ok(Entered::Ours) } else { Err(format!("job {} was taken over by somebody else", job.id)) };
    };
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut waits, mut registered) = (Vec::new(), Turn::Now, false);
    loop {
        // Only our own row and those before us decide; all of them are looked at once one of these has changed.
        let now = {
            let store = jobs.store();
            places(job.id, &waits, |id| store.job(id).ok().flatten().as_ref().map(place_of))
        };
        if now != seen || waits == Turn::Now {
            let held_up = held_up(host, &lane).await;
            match step(jobs, job.id, ours, held_up, registered).map_err(said)? {
                Step::Claimed => return Ok(Entered::Ours),
                Step::Gone => {
                    let state = jobs.store().job(job.id).ok().flatten().map(|j| j.state).unwrap_or(State::Unknown);
                    return if state.is_final() {
                        Ok(Entered::Ended(state))
                    } else {
                        Err(format!("job {} was taken over by somebody else", job.id))
                    };
                }
                // As they were at that look: what changed since is seen at the next.
                Step::Waits(turn, places) => (waits, seen) = (turn, places),
            }
            registered = true;
        }
        if let Turn::After(before) = &waits
            && any_gone(jobs, host, before).await
        {
            // What it found out is written and seen at the next look.
            if let Err(e) = jobs.reconcile(host).await {
                tracing::warn!(%e, "what became of a job could not be written");
            }
        }
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => {
                let now = jobs.store().job(job.id).map_err(said)?;
                if let Some(now) = now.filter(|j| j.state == State::Queued) {
                    end_waiting(jobs, host, &now).map_err(said)?;
                }
                return Ok(Entered::Ended(State::Cancelled));
            }
        }
    }
}

/// State and place in the queue of a job and of those it waits for.
type Places = Vec<Option<(State, i64)>>;

fn places(id: JobId, waits: &Turn, job: impl Fn(JobId) -> Option<(State, i64)>) -> Places {
    let before = if let Turn::After(before) = waits { before.as_slice() } else { &[] };
    std::iter::once(&id).chain(before).map(|id| job(*id)).collect()
}

fn place_of(job: &Job) -> (State, i64) {
    (job.state, job.life.turn)
}

enum Step {
    Claimed,
    /// It is not queued any more.
    Gone,
    Waits(Turn, Places),
}

/// One look, in one transaction: nobody comes between the look and what it leads to.
fn step(jobs: &Jobs, id: JobId, ours: &Life, held_up: Option<String>, registered: bool) -> Result<Step, crate::store::StoreError> {
    let store = jobs.store();
    let settings: Option<Settings> = store.settings(None).ok();
    store.arrange(|open| {
        let Some(job) = open.iter().find(|j| j.id == id && j.state == State::Queued) else { return (Vec::new(), Step::Gone) };
        let turn = queue::turn(open, job, settings.as_ref());
        let mut life = Life { turn: job.life.turn, ..ours.clone() };
        match (&turn, held_up) {
            (Turn::Now, None) => (vec![(id, State::Running, life)], Step::Claimed),
            (_, held_up) => {
                life.started = None;
                life.progress.phase = held_up.filter(|_| turn == Turn::Now).unwrap_or_default();
                let known = registered && life.progress == job.life.progress;
                let rows = if known { Vec::new() } else { vec![(id, State::Queued, life)] };
                let seen = places(id, &turn, |id| open.iter().find(|j| j.id == id).map(place_of));
                (rows, Step::Waits(turn, seen))
            }
        }
    })
}

/// What holds a lane up that is no job of ours.
async fn held_up(host: &dyn Host, lane: &Lane) -> Option<String> {
    match lane {
        Lane::Vzdump => truth::vzdump_holder(host).await.map(|upid| format!("waits for a vzdump that is not ours: task {upid}")),
        Lane::Restores(_) => None,
    }
}

/// Whether one of these has no worker any more, or none yet.
async fn any_gone(jobs: &Jobs, host: &dyn Host, ids: &[JobId]) -> bool {
    for id in ids {
        let worker: Option<Process> = jobs.store().job(*id).ok().flatten().and_then(|j| j.life.worker);
        match worker {
            Some(worker) if host.alive(&worker).await == Ok(false) => return true,
            None => return true,
            Some(_) => {}
        }
    }
    false
}

/// Ends a job that waits; nothing of it was done. False where it does not wait any more.
pub(super) fn end_waiting(jobs: &Jobs, host: &dyn Host, job: &Job) -> Result<bool, crate::store::StoreError> {
    let now = host.clock().0;
    let what = "ended on request before it began; nothing was done";
    let outcome = Outcome { what: what.into(), ..Outcome::default() };
    let life = Life { ended: Some(now), outcome: Some(outcome), ..job.life.clone() };
    let said = jobs.outcome(now, job, crate::domain::audit::Ending::of_job(State::Cancelled), what.into());
    let ended = jobs.store().end_job(job.id, State::Queued, State::Cancelled, &life, said)?;
    if ended {
        jobs.audit.tell(&jobs.store());
        if let Ok(mut log) = jobs.logs().writer(job.id) {
            log.line(now, what.as_bytes());
        }
    }
    Ok(ended)
}

/// Puts a job that waits in another place of its queue.
pub(super) fn put(jobs: &Jobs, id: JobId, to: Move) -> Result<(), JobError> {
    let done = jobs.store().arrange(|open| match queue::moved(open, id, to) {
        Ok(turns) => {
            let row = |(n, turn): (JobId, i64)| {
                let job = open.iter().find(|j| j.id == n)?;
                (job.life.turn != turn).then(|| (n, State::Queued, Life { turn, ..job.life.clone() }))
            };
            (turns.into_iter().filter_map(row).collect(), Ok(()))
        }
        Err(why) => (Vec::new(), Err(why)),
    })?;
    done.map_err(|why| JobError::NotQueued { id, why })
}
