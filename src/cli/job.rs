//! `job`: list, show, log, wait, move, cancel.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{Ctx, Done, Form, Need, appliance, output, status_of};
use crate::domain::access::{Object, Permission};
use crate::domain::job::{Job, JobId, State};
use crate::domain::queue::{self, Move};
use crate::domain::stamp::{age, bytes, span};
use crate::jobs::{JobError, Jobs as Supervisor};
use crate::problem::Problem;

/// Standard error may be closed while a job is waited for: that must not end the waiting.
macro_rules! murmur {
    ($($text:tt)*) => { let _ = write!(std::io::stderr(), $($text)*); };
}
macro_rules! whisper {
    ($($text:tt)*) => { let _ = writeln!(std::io::stderr(), $($text)*); };
}

/// `job`.
#[derive(Subcommand)]
pub(super) enum Jobs {
    /// The newest jobs
    List,
    /// One job with its plan
    Show {
        /// Its number
        id: JobId,
    },
    /// Its log
    Log {
        /// Its number
        id: JobId,
        /// Go on until it ended
        #[arg(short, long)]
        follow: bool,
    },
    /// Wait until it ended; the exit status is the job's
    Wait {
        /// Its number
        id: JobId,
        /// Seconds to wait at most; then the exit status is 9
        #[arg(long, value_name = "S")]
        within: Option<u64>,
    },
    /// Put one that waits for its turn in another place of its queue
    Move {
        /// Its number
        id: JobId,
        /// Where to
        to: Place,
    },
    /// Ask it to end; one that waits for its turn is ended at once
    Cancel {
        /// Its number
        id: JobId,
    },
}

/// Where to in the queue.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Place {
    /// Before all others
    First,
    /// One place forward
    Sooner,
    /// One place back
    Later,
    /// Behind all others
    Last,
}

impl Jobs {
    /// What it takes.
    pub(super) fn need(&self) -> Need {
        match self {
            Jobs::List => Need::Permission(Permission::ReadJobs, Object::Host),
            Jobs::Show { id } | Jobs::Log { id, .. } | Jobs::Wait { id, .. } => Need::Job(Permission::ReadJobs, *id),
            // Others wait longer by it.
            Jobs::Move { .. } => Need::Permission(Permission::CancelJob, Object::Host),
            Jobs::Cancel { id } => Need::Job(Permission::CancelJob, *id),
        }
    }
}

pub(super) async fn run(ctx: &Ctx, command: Jobs) -> Done {
    let jobs = ctx.jobs().await?;
    match command {
        Jobs::List => list(ctx, &jobs),
        Jobs::Show { id } => show(ctx, &jobs, &job(&jobs, id)?),
        Jobs::Log { id, follow } => log(&jobs, id, follow).await,
        Jobs::Wait { id, within } => wait(ctx, &jobs, id, within, false).await,
        Jobs::Move { id, to } => {
            let to = match to {
                Place::First => Move::First,
                Place::Sooner => Move::Sooner,
                Place::Later => Move::Later,
                Place::Last => Move::Last,
            };
            jobs.put(ctx.host.as_ref(), id, to, ctx.who()?)?;
            show_line(ctx, &jobs, &job(&jobs, id)?)
        }
        Jobs::Cancel { id } => {
            jobs.cancel(ctx.host.as_ref(), id, ctx.who()?)?;
            wait(ctx, &jobs, id, Some(30), false).await.or_else(|p| if job(&jobs, id)?.state.is_final() { Ok(0) } else { Err(p) })
        }
    }
}

fn job(jobs: &Supervisor, id: JobId) -> Result<Job, Problem> {
    Ok(jobs.store().job(id)?.ok_or(JobError::NotFound(id))?)
}

/// All jobs that have not ended, to tell where one stands among them. Its words hold nothing but their numbers.
fn open(jobs: &Supervisor) -> Result<Vec<Job>, Problem> {
    Ok(jobs.store().unfinished_jobs()?.0)
}

/// Where a job stands now, in one line.
fn show_line(ctx: &Ctx, jobs: &Supervisor, job: &Job) -> Done {
    let line = queue::line(&open(jobs)?, job);
    if ctx.form == Form::Json {
        output::object(&json!({"id": job.id, "state": job.state, "line": line}));
    } else {
        output::say(&format!("job {}: {line}", job.id));
    }
    Ok(0)
}

/// The same as JSON, with its place in the queue.
fn json_in(open: &[Job], job: &Job) -> Value {
    let mut value = json_of(job);
    value["waits"] = json!(queue::words(open, job));
    value
}

/// A job as JSON.
pub(super) fn json_of(job: &Job) -> Value {
    json!({
        "id": job.id, "title": job.title(), "state": job.state, "created": job.created.rfc3339(), "by": job.order.by, "second": job.order.second(),
        "started": job.life.started.map(|s| s.rfc3339()), "ended": job.life.ended.map(|s| s.rfc3339()),
        "progress": job.life.progress, "percent": job.life.progress.percent(), "upid": job.life.upid, "unit": job.life.unit, "outcome": job.life.outcome,
    })
}

fn list(ctx: &Ctx, jobs: &Supervisor) -> Done {
    let now = ctx.host.clock().0;
    let part = ctx.jobs_seen(jobs)?;
    let all = part.get().map_or(&[][..], Vec::as_slice);
    let open = open(jobs)?;
    if ctx.form == Form::Json {
        let items: Vec<_> = all.iter().map(|j| json_in(&open, j)).collect();
        output::object(&output::list(&part, "jobs", &items));
        return Ok(0);
    }
    let rows: Vec<_> = all
        .iter()
        .map(|j| vec![j.id.to_string(), j.state.word().into(), age(now, j.created), j.title().to_owned(), queue::line(&open, j)])
        .collect();
    if rows.is_empty() {
        output::say("no jobs yet");
    } else {
        output::table(ctx.form, &["JOB", "STATE", "AGE", "WHAT", "HOW"], &rows);
    }
    output::gaps(&part, "jobs");
    Ok(0)
}

fn show(ctx: &Ctx, jobs: &Supervisor, job: &Job) -> Done {
    let open = open(jobs)?;
    if ctx.form == Form::Json {
        let mut value = json_in(&open, job);
        value["plan"] = json!(job.order.plan());
        output::object(&value);
        return Ok(0);
    }
    output::say(&format!("job {}  {}  {}  allowed by {}", job.id, job.state.word(), job.created.rfc3339(), job.order.allowed_by()));
    job.order.plan().lines().iter().for_each(|l| output::say(l));
    output::say("");
    output::say(&queue::line(&open, job));
    if let Some(upid) = &job.life.upid {
        output::say(&format!("task {upid}"));
    }
    if let Some(out) = &job.life.outcome {
        out.warnings.iter().for_each(|w| output::say(&format!("warning: {w}")));
        out.not_in_it.iter().for_each(|n| output::say(&format!("not in it: {n}")));
        out.left.iter().for_each(|l| output::say(&format!("left behind: {l}")));
        if !out.hint.is_empty() {
            output::say(&out.hint);
        }
    }
    Ok(0)
}

async fn log(jobs: &Supervisor, id: JobId, follow: bool) -> Done {
    job(jobs, id)?;
    let mut offset = 0;
    loop {
        let ended = job(jobs, id)?.state.is_final();
        let (lines, next) = jobs
            .logs()
            .lines(id, offset)
            .map_err(|e| Problem::new(crate::problem::Kind::Failed, format!("the log of job {id}"), e.to_string(), ""))?;
        lines.iter().for_each(|l| output::say(&String::from_utf8_lossy(l)));
        if next == offset && (ended || !follow) {
            return Ok(0);
        }
        if next == offset {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        offset = next;
    }
}

/// Waits for a job's end and tells how it goes: a line that is rewritten at a terminal, plain lines elsewhere,
/// nothing but the result as JSON. `^C` leaves the job alone. Whoever started it (`mine`) also gives the word it may ask for.
pub(super) async fn wait(ctx: &Ctx, jobs: &Arc<Supervisor>, id: JobId, within_s: Option<u64>, mine: bool) -> Done {
    let seen = until_end(ctx, jobs, id, within_s, mine).await?;
    if seen.state.is_final() { end(ctx, &seen) } else { status_of(&seen) }
}

/// The same without telling how it ended: the job as it was seen last, ended or not waited for any more.
pub(super) async fn until_end(ctx: &Ctx, jobs: &Arc<Supervisor>, id: JobId, within_s: Option<u64>, mine: bool) -> Result<Job, Problem> {
    let begun = Instant::now();
    let live = ctx.form == Form::Table && std::io::stderr().is_terminal();
    let (mut told, mut confirmed) = (String::new(), false);
    loop {
        let now = job(jobs, id)?;
        if now.state.is_final() {
            if live && !told.is_empty() {
                murmur!("\r\x1b[K");
            }
            return Ok(now);
        }
        if mine && !confirmed && now.waits_for_a_word() {
            confirmed = true;
            appliance::confirm_if_the_line_holds(ctx, jobs).await?;
        }
        let waits = if now.state == State::Queued { queue::words(&open(jobs)?, &now) } else { None };
        let line = waits.map_or_else(|| progress(&now), |waits| format!("job {id} {}: {waits}", now.title()));
        if line != told && ctx.form != Form::Json {
            if live {
                murmur!("\r\x1b[K{line}");
            } else {
                whisper!("{line}");
            }
            told = line;
        }
        if within_s.is_some_and(|s| begun.elapsed() >= Duration::from_secs(s)) {
            return Ok(now);
        }
        // Nobody waits a fiftieth longer than the job takes, and nobody asks more often than that is worth.
        let pause = (begun.elapsed() / 50).clamp(Duration::from_millis(20), Duration::from_millis(250));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = tokio::signal::ctrl_c() => {
                if live {
                    whisper!();
                }
                whisper!("job {id} goes on; proximity job wait {id} waits for it, proximity job cancel {id} ends it");
                return Ok(now);
            }
        }
        if begun.elapsed().as_secs() % 5 == 4 {
            jobs.reconcile(ctx.host.as_ref()).await?;
        }
    }
}

fn progress(job: &Job) -> String {
    let p = &job.life.progress;
    let percent = p.percent().map_or(String::new(), |n| format!(" ~{n} %"));
    let written = p.bytes.map_or(String::new(), |n| format!("  {}", bytes(n)));
    let rate = p.rate.map_or(String::new(), |n| format!("  {}/s", bytes(n)));
    let eta = p.eta_s().map_or(String::new(), |s| format!("  ~{}", span(s)));
    format!("job {} {}: {}{percent}{written}{rate}{eta}", job.id, job.title(), p.phase)
}

fn end(ctx: &Ctx, job: &Job) -> Done {
    if ctx.form == Form::Json {
        output::object(&json_of(job));
    } else {
        tell_end(job);
    }
    status_of(job)
}

/// How a job ended that is done; of one that is not, a problem tells.
pub(super) fn tell_end(job: &Job) {
    if let Some(out) = job.life.outcome.as_ref().filter(|_| matches!(job.state, State::Succeeded | State::Warned)) {
        output::say(&format!("{}: {}", job.state.word(), out.what));
        out.warnings.iter().for_each(|w| output::say(&format!("warning: {w}")));
        out.not_in_it.iter().for_each(|n| output::say(&format!("not in it: {n}")));
    }
}
