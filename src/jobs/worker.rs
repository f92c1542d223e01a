//! The worker of one job: takes the row over, carries the plan out, writes down how it ended.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::queue::{self, Entered};
use super::{Jobs, Logs, log::Writer};
use crate::domain::access::{authorize, of_plan};
use crate::domain::audit::Ending;
use crate::domain::job::{Job, JobId, Life, Outcome, State};
use crate::domain::plan::Approved;
use crate::domain::second;
use crate::domain::stamp::Stamp;
use crate::host::Host;
use crate::host::local::{LocalHost, this_process};
use crate::ops::audit::Recorder;
use crate::ops::carry_out::{Journal, carry_out};
use crate::store::{Store, StoreError};

/// At most so often is a progress written to the disk: each write is an fsync.
const OFTEN: Duration = Duration::from_millis(900);

struct Book<'a> {
    jobs: &'a Jobs,
    id: JobId,
    log: Writer,
    last: Option<(Instant, Life)>,
}

impl Journal for Book<'_> {
    fn remember(&mut self, life: &Life) -> Result<(), String> {
        // Only progress may wait; a step, a process or a task that is known is on disk before we go on.
        if let Some((at, last)) = &self.last {
            let same = Life { progress: last.progress.clone(), ..life.clone() } == *last;
            if same && at.elapsed() < OFTEN {
                return Ok(());
            }
        }
        self.last = Some((Instant::now(), life.clone()));
        match self.jobs.store().move_job(self.id, State::Running, State::Running, life) {
            Ok(true) => Ok(()),
            Ok(false) => Err("the job is not ours any more".into()),
            // A disk that is full now must not stop what runs; the end is written when there is room, or found out later.
            Err(e @ (StoreError::Full | StoreError::Busy | StoreError::Disk { .. } | StoreError::ReadOnly)) if life.child.is_some() => {
                tracing::warn!(%e, "progress could not be written");
                Ok(())
            }
            Err(e) => Err(e.to_string()),
        }
    }

    fn line(&mut self, at: Stamp, text: &[u8]) {
        self.log.line(at, text);
    }
}

/// What the hidden command `job-worker` does: leaves the session, takes job `id` of the store in `dir` over and runs it.
pub async fn work(dir: &Path, id: JobId, unit: Option<String>) -> Result<State, String> {
    // Fails only where we lead a session already, as under systemd.
    let _ = rustix::process::setsid();
    let store = Store::open(dir).map_err(|e| e.to_string())?;
    let host = LocalHost::new();
    let jobs = Jobs::of_dir(store, dir.to_owned(), Recorder::new("worker", &host));
    let stop = CancellationToken::new();
    let ask = stop.clone();
    let (mut term, mut int) =
        (signal(SignalKind::terminate()).map_err(|e| e.to_string())?, signal(SignalKind::interrupt()).map_err(|e| e.to_string())?);
    // Caught and ignored, should the terminal go away between our start and setsid.
    let _hup = signal(SignalKind::hangup()).map_err(|e| e.to_string())?;
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        ask.cancel();
    });
    run(&jobs, &host, id, unit, stop).await
}

/// A job of the demo, inside this process.
pub(super) async fn inside(jobs: &Jobs, host: &dyn Host, id: JobId, stop: CancellationToken) {
    if let Err(why) = run(jobs, host, id, None, stop).await {
        tracing::warn!(id, why, "a job of the demo did not run");
    }
}

async fn run(jobs: &Jobs, host: &dyn Host, id: JobId, unit: Option<String>, stop: CancellationToken) -> Result<State, String> {
    let job = jobs.store().job(id).map_err(|e| e.to_string())?.ok_or(format!("there is no job {id}"))?;
    let worker = this_process().map_err(|e| e.to_string())?;
    let life = Life { started: Some(host.clock().0), worker: Some(worker), unit, ..job.life.clone() };
    let log = jobs.logs().writer(id).map_err(|e| format!("the job's log: {e}"))?;
    let life = match queue::enter(jobs, host, &job, &life, &stop).await? {
        Entered::Ours => Life { started: Some(host.clock().0), ..life },
        Entered::Ended(state) => return Ok(state),
    };
    let mut book = Book { jobs, id, log, last: None };
    book.line(host.clock().0, format!("job {id}: {} (allowed by {})", job.order.plan().title, job.order.allowed_by()).as_bytes());
    let (state, life) = match still_allowed(jobs, &job.order) {
        Ok(()) => carry_out(host, job.order.plan(), life, &mut book, stop).await,
        Err(why) => {
            book.line(host.clock().0, format!("refused: {why}").as_bytes());
            let outcome = Outcome { what: format!("refused before anything was done: {why}"), ..Outcome::default() };
            (State::Failed, Life { ended: Some(host.clock().0), outcome: Some(outcome), ..life })
        }
    };
    finish(jobs, host, &job, state, &life).await;
    Ok(state)
}

/// Whether who allowed it still may, and a second person where one is asked for, by the store as it is now: between a yes
/// and the work a role may have gone.
fn still_allowed(jobs: &Jobs, order: &Approved) -> Result<(), String> {
    let store = jobs.store();
    let who = |name: &str| {
        let account = store.account(name).map_err(|e| e.to_string())?;
        account.map(|a| a.who).ok_or_else(|| format!("{name} is no operator"))
    };
    // Without operators (the demo) there is no policy; no role holds the owner of the store.
    if !order.owner && !store.accounts().map_err(|e| e.to_string())?.is_empty() {
        let (permission, object) = of_plan(order.plan());
        authorize(Some(&who(&order.by)?), permission, object).map_err(|refused| refused.why)?;
    }
    match order.second() {
        Some(name) => second::may(order, &who(name)?).map_err(|refused| format!("the second yes does not count: {}", refused.why)),
        None if store.lacks_second(order, None) => Err(format!("no second operator said yes, and {} asks for one", second::SETTING)),
        None => Ok(()),
    }
}

/// Writes the end down, again and again for a while where the disk is full: it was hard to come by.
async fn finish(jobs: &Jobs, host: &dyn Host, job: &Job, state: State, life: &Life) {
    let id = job.id;
    let said = life.outcome.as_ref().map(|o| o.what.clone()).unwrap_or_default();
    let outcome = jobs.outcome(host.clock().0, job, Ending::of_job(state), said);
    for pause_s in [1u64, 2, 5, 10, 30, 60, 60, 60] {
        let ended = jobs.store().end_job(id, State::Running, state, life, outcome.clone());
        match ended {
            Ok(_) => return jobs.audit.tell(&jobs.store()),
            Err(e) => tracing::warn!(%e, id, "the end of the job could not be written; trying again"),
        }
        tokio::time::sleep(Duration::from_secs(pause_s)).await;
    }
}

impl Logs {
    /// The whole lines from `offset` on, and the offset behind them.
    pub fn lines(&self, id: JobId, offset: u64) -> std::io::Result<(Vec<Box<[u8]>>, u64)> {
        let bytes = self.read(id, offset, 1 << 20)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let lines = bytes[..whole].split_inclusive(|b| *b == b'\n').map(|l| l[..l.len() - 1].into()).collect();
        Ok((lines, offset + whole as u64))
    }
}
