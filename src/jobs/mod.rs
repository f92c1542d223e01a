//! Supervision of jobs: start, watch, cancel, find again. The only place that spawns.
//!
//! ```text
//! start ── row 'queued' ── detach ──> worker (own session, own unit) ── row 'running' ── carry_out ── row ended
//!   console may die here or anywhere     │
//! reconcile: worker gone? ───────────────┘──> what the host says became of it
//! ```
//!
//! On the demo host a job runs inside this process and its store is in memory: nothing of it outlives the program.

mod detach;
mod log;
mod queue;
mod reconcile;
mod worker;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::domain::access::Who;
use crate::domain::audit::{Deed, Ending, Entry, Phase};
use crate::domain::job::{Job, JobId, State};
use crate::domain::plan::Approved;
use crate::domain::queue::Move;
use crate::domain::stamp::Stamp;
use crate::domain::world::{From, Gap, Part};
use crate::host::Host;
use crate::ops::audit::{End, NoRecord, Recorder, deed_of};
use crate::store::{Store, StoreError, StoreMode};

pub use log::Logs;
pub use worker::work;

/// Why a job could not be started or ended.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No store: nothing that changes a host runs without being written down first.
    #[error("there is no store, and nothing is done that is not written down first")]
    NoStore,
    /// It could not be written into the audit.
    #[error(transparent)]
    NoRecord(#[from] NoRecord),
    /// The worker could not be started.
    #[error("the worker of job {id} could not be started: {why}")]
    Start {
        /// The job.
        id: JobId,
        /// Why.
        why: String,
    },
    /// There is no such job.
    #[error("there is no job {0}")]
    NotFound(JobId),
    /// It has ended already.
    #[error("job {id} has ended: {state}")]
    Ended {
        /// The job.
        id: JobId,
        /// How.
        state: &'static str,
    },
    /// It waits in no queue.
    #[error("job {id} cannot be put in another place: {why}")]
    NotQueued {
        /// The job.
        id: JobId,
        /// Why.
        why: String,
    },
    /// It could not be signalled.
    #[error("job {id} could not be asked to end: {why}")]
    Signal {
        /// The job.
        id: JobId,
        /// Why.
        why: String,
    },
}

/// Where jobs run.
enum Place {
    /// In workers of their own that outlive us; the store's directory.
    Detached(PathBuf),
    /// Inside this process: the demo. Tokens of those that run.
    Inside(Mutex<Vec<(JobId, CancellationToken)>>),
}

/// The jobs of one store.
pub struct Jobs {
    store: Mutex<Store>,
    place: Place,
    logs: Logs,
    audit: Recorder,
}

impl Jobs {
    /// Jobs of a store on disk; workers are detached. `audit` writes down what is started, ended and found out.
    pub fn of_dir(store: Store, dir: PathBuf, audit: Recorder) -> Self {
        Jobs { store: Mutex::new(store), logs: Logs::in_dir(&dir), place: Place::Detached(dir), audit }
    }

    /// Jobs of the demo.
    pub fn inside(store: Store, audit: Recorder) -> Self {
        Jobs { store: Mutex::new(store), logs: Logs::in_memory(), place: Place::Inside(Mutex::default()), audit }
    }

    /// The store, for as long as the guard lives.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The logs of jobs.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Starts a job: writes it down, then lets a worker take it over. When this returns the job is safe from our end.
    pub fn start(self: &Arc<Self>, host: &Arc<dyn Host>, order: Approved) -> Result<JobId, JobError> {
        if let StoreMode::ReadOnly(why) = self.store().mode() {
            tracing::warn!(why, "the store can only be read");
            return Err(StoreError::ReadOnly.into());
        }
        let now = host.clock().0;
        let id = self.store().add_job(&order, now, self.audit.entry(now, Phase::Intent, deed_of(&order)))?;
        self.audit.tell(&self.store());
        match &self.place {
            Place::Detached(dir) => {
                let started = detach::start(dir, id).and_then(|()| self.wait_for_claim(id));
                started.map_err(|why| JobError::Start { id, why })?;
            }
            Place::Inside(running) => {
                let stop = CancellationToken::new();
                running.lock().unwrap_or_else(PoisonError::into_inner).push((id, stop.clone()));
                let (jobs, host) = (Arc::clone(self), Arc::clone(host));
                tokio::spawn(async move { worker::inside(&jobs, host.as_ref(), id, stop).await });
            }
        }
        Ok(id)
    }

    /// Until the worker took the row over it may share our terminal's fate; that takes milliseconds.
    fn wait_for_claim(&self, id: JobId) -> Result<(), String> {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while std::time::Instant::now() < deadline {
            match self.store().job(id) {
                Ok(Some(job)) if job.state == State::Queued && job.life.worker.is_none() => {}
                Ok(_) => return Ok(()),
                Err(e) => return Err(e.to_string()),
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Err("it did not take the job over within 10 s; see doctor".into())
    }

    /// Asks a job to end, in the name of `who`. It tidies up and says what was left; that may take a while.
    pub fn cancel(&self, host: &dyn Host, id: JobId, who: &Who) -> Result<(), JobError> {
        let job = self.store().job(id)?.ok_or(JobError::NotFound(id))?;
        if job.state.is_final() {
            return Err(JobError::Ended { id, state: job.state.word() });
        }
        let deed = Deed::by(who, "job.cancel", format!("job {id}"), format!("ask job {id} to end: {}", job.title()));
        let deed = Deed { job: Some(id), ..deed };
        let intent = self.audit.intent(Some(&self.store()), host.clock().0, deed)?;
        let asked = self.end_at_once(host, &job).and_then(|ended| if ended { Ok(()) } else { self.ask_to_end(id) });
        let end = asked.as_ref().map_or_else(|e| End::failed(e.to_string()), |()| End::ok());
        self.audit.outcome(Some(&self.store()), host.clock().0, &intent, end);
        asked
    }

    /// A job that waits is ended here and now; false where it has begun.
    fn end_at_once(&self, host: &dyn Host, job: &Job) -> Result<bool, JobError> {
        Ok(job.state == State::Queued && queue::end_waiting(self, host, job)?)
    }

    /// Puts a job that waits in another place of its queue, in the name of `who`.
    pub fn put(&self, host: &dyn Host, id: JobId, to: Move, who: &Who) -> Result<(), JobError> {
        let job = self.store().job(id)?.ok_or(JobError::NotFound(id))?;
        let deed = Deed::by(who, "job.move", format!("job {id}"), format!("put job {id} {} in its queue: {}", to.word(), job.title()));
        let deed = Deed { job: Some(id), ..deed };
        let intent = self.audit.intent(Some(&self.store()), host.clock().0, deed)?;
        let done = queue::put(self, id, to);
        let end = done.as_ref().map_or_else(|e| End::failed(e.to_string()), |()| End::ok());
        self.audit.outcome(Some(&self.store()), host.clock().0, &intent, end);
        done
    }

    fn ask_to_end(&self, id: JobId) -> Result<(), JobError> {
        let job = &self.store().job(id)?.ok_or(JobError::NotFound(id))?;
        match &self.place {
            Place::Detached(_) => detach::ask_to_end(job).map_err(|why| JobError::Signal { id, why }),
            Place::Inside(running) => {
                let running = running.lock().unwrap_or_else(PoisonError::into_inner);
                running.iter().filter(|(n, _)| *n == id).for_each(|(_, stop)| stop.cancel());
                Ok(())
            }
        }
    }

    /// The audit's outcome of a job that ended so.
    fn outcome(&self, now: Stamp, job: &Job, ending: Ending, said: String) -> Entry {
        self.audit.entry(now, Phase::Event { ending }, Deed { job: Some(job.id), ..deed_of(&job.order).said(said) })
    }

    /// Finds out what became of jobs whose worker is gone, and writes it down.
    pub async fn reconcile(&self, host: &dyn Host) -> Result<(), JobError> {
        match self.place {
            Place::Detached(_) => reconcile::all(self, host).await,
            Place::Inside(_) => Ok(()),
        }
    }

    /// The newest jobs as a part of the World.
    pub fn part(&self, now: Stamp) -> Part<Vec<Job>> {
        match self.store().jobs(100) {
            Ok((jobs, bad)) => {
                let gaps = bad.into_iter().map(|(id, why)| Gap { what: format!("job {id}"), why }).collect();
                Part::new(jobs, now, From::Files).with_gaps(gaps)
            }
            Err(e) => Part::unknown(e.to_string(), now),
        }
    }
}
