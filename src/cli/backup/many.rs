//! `backup run`: one guest, some, or all; each gets a plan and a job of its own, and who is left out is told why.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::super::{job, output, vmid};
use super::{Ctx, Done, Form, Need};
use crate::domain::access::{Object, Permission};
use crate::domain::backup::{self, BackupWish, Many, Mode, Notes};
use crate::domain::fact::Wish;
use crate::domain::guest::Vmid;
use crate::domain::job::{Job, State};
use crate::domain::plan::Refusal;
use crate::domain::storage::StorageId;
use crate::jobs::Jobs;
use crate::problem::{Kind, Problem, WARNED};

/// `backup run`.
#[derive(Args)]
pub(in crate::cli) struct Run {
    /// Their ids
    #[arg(value_parser = vmid, required_unless_present = "all")]
    ids: Vec<Vmid>,
    /// All containers of this node, but templates
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Where to; if not given the one of the settings, else the storage with most room
    #[arg(long)]
    storage: Option<StorageId>,
    /// How a running guest is treated; as the settings say if not given
    #[arg(long)]
    mode: Option<How>,
    /// Read at most so fast: KiB/s, or with a unit such as 50M; 0 is no limit
    #[arg(long, value_name = "RATE", value_parser = backup::bandwidth)]
    bandwidth: Option<u32>,
    /// Notes of the archive; Proxmox fills in {{guestname}}, {{vmid}}, {{node}} and {{cluster}}
    #[arg(long, value_name = "TEXT", value_parser = Notes::new)]
    notes: Option<Notes>,
    /// Protect the archive against removal
    #[arg(long)]
    protected: bool,
}

/// How a running guest is treated.
#[derive(Clone, Copy, ValueEnum)]
pub(in crate::cli) enum How {
    /// From a storage snapshot; it goes on running
    Snapshot,
    /// Frozen for a moment
    Suspend,
    /// Stopped and started again
    Stop,
}

impl How {
    pub(super) fn mode(self) -> Mode {
        match self {
            How::Snapshot => Mode::Snapshot,
            How::Suspend => Mode::Suspend,
            How::Stop => Mode::Stop,
        }
    }
}

impl Run {
    /// What it takes: each guest that is named; of all, those that may be are asked for.
    pub(super) fn needs(&self) -> Vec<Need> {
        let each = self.ids.iter().map(|id| Need::Permission(Permission::Backup, Object::Guest(*id)));
        each.chain(self.all.then_some(Need::Permission(Permission::Look, Object::Host))).collect()
    }

    fn of(&self, guest: Vmid) -> BackupWish {
        let mode = self.mode.map(How::mode);
        let (storage, notes) = (self.storage.clone(), self.notes.clone());
        BackupWish { guest, storage, mode, bandwidth: self.bandwidth, notes, protected: self.protected }
    }
}

/// One guest as any other plan; several: see the manual, `backups`.
pub(super) async fn run(ctx: &Ctx, run: Run) -> Done {
    if let ([id], false) = (&run.ids[..], run.all) {
        return ctx.fulfil(Wish::Backup(run.of(*id))).await;
    }
    let (many, aside) = plan(ctx, &run).await?;
    if ctx.dry_run || many.plans.is_empty() {
        tell_plans(ctx, &many, &aside);
        return if many.plans.is_empty() && many.refused.is_empty() { Ok(0) } else { status(&many, &[]) };
    }
    if ctx.read_only {
        return Err(Problem::new(Kind::ReadOnly, "back up", "--read-only refuses everything that changes something", ""));
    }
    ctx.not_read_only_by_setting("back up")?;
    if ctx.no_wait && ctx.host.is_demo() {
        return Err(Problem::new(Kind::Usage, "--no-wait", "jobs of the demo end with the program", "leave it out"));
    }
    let jobs = ctx.jobs().await?;
    let mut orders = Vec::new();
    for plan in many.plans.clone() {
        orders.push(ctx.seconded(&jobs.store(), ctx.approve(plan)?)?);
    }
    // What was begun is told whatever happens to the rest.
    let (mut ids, mut trouble) = (Vec::new(), None);
    for order in orders {
        match jobs.start(&ctx.host, order) {
            Ok(id) => ids.push(id),
            Err(e) => {
                trouble = Some(Problem::from(e));
                break;
            }
        }
    }
    if ctx.no_wait {
        if ctx.form == Form::Json {
            output::object(&json!({"jobs": ids, "refused": refused(&many), "left_out": aside}));
        } else {
            ids.iter().for_each(|id| output::job_id(ctx.form, *id));
            tell_aside(ctx, &many, &aside);
        }
        return trouble.map_or_else(|| status(&many, &[]), Err);
    }
    let ended = wait(ctx, &jobs, &ids).await?;
    if ctx.form == Form::Json {
        let all: Vec<_> = ended.iter().map(job::json_of).collect();
        output::object(&json!({"jobs": all, "refused": refused(&many), "left_out": aside}));
    } else {
        tell_aside(ctx, &many, &aside);
    }
    trouble.map_or_else(|| status(&many, &ended), Err)
}

/// The plans, and the guests that "all" does not mean or the operator may not back up.
async fn plan(ctx: &Ctx, run: &Run) -> Result<(Many, Vec<String>), Problem> {
    let mut world = ctx.whole_world().await;
    ctx.remembered(&mut world);
    let (ids, mut aside) = if run.all {
        let unknown =
            |why: String| Problem::new(Kind::Unreachable, "back up all", format!("the containers are unknown: {why}"), "see doctor");
        let (ours, others) = backup::containers(&world).map_err(unknown)?;
        let who = ctx.who()?;
        (ours, others.into_iter().filter(|(id, _)| who.sees(*id)).map(|(_, why)| why).collect())
    } else {
        (run.ids.clone(), Vec::new())
    };
    let who = ctx.who()?;
    let mut allowed = Vec::new();
    for id in ids {
        match ctx.allow(Permission::Backup, Object::Guest(id)) {
            Ok(()) => allowed.push(id),
            // Whoever may not see a guest is not told of it.
            Err(problem) if run.all => aside.extend(who.sees(id).then_some(problem.why)),
            Err(problem) => return Err(problem),
        }
    }
    let Some(first) = allowed.first().copied() else { return Ok((Many::default(), aside)) };
    Ok((backup::many(&world, allowed, &run.of(first)), aside))
}

/// Waits for them in their order and tells how each ended.
async fn wait(ctx: &Ctx, jobs: &Arc<Jobs>, ids: &[i64]) -> Result<Vec<Job>, Problem> {
    let mut ended = Vec::new();
    for id in ids {
        let seen = job::until_end(ctx, jobs, *id, None, true).await?;
        let goes_on = !seen.state.is_final();
        if ctx.form != Form::Json {
            job::tell_end(&seen);
            if let Some(problem) = Problem::of_job(&seen).filter(|_| !goes_on) {
                output::murmur(&problem.text());
            }
        }
        ended.push(seen);
        if goes_on {
            break;
        }
    }
    Ok(ended)
}

fn refused(many: &Many) -> serde_json::Value {
    json!(many.refused)
}

fn tell_plans(ctx: &Ctx, many: &Many, aside: &[String]) {
    if ctx.form == Form::Json {
        output::object(&json!({"plans": many.plans, "refused": refused(many), "left_out": aside}));
        return;
    }
    many.plans.iter().for_each(|plan| output::plan(ctx.form, plan));
    if many.plans.is_empty() && many.refused.is_empty() {
        output::say("there is nothing to back up");
    }
    tell_aside(ctx, many, aside);
}

fn tell_aside(ctx: &Ctx, many: &Many, aside: &[String]) {
    if ctx.form == Form::Json {
        return;
    }
    many.refused.iter().for_each(|Refusal { what, why, hint }| output::murmur(&format!("not done: {what}: {why}\n  {hint}")));
    aside.iter().for_each(|why| output::murmur(&format!("left out: {why}")));
}

/// The worst of all: a job that failed, one that is unknown, one that goes on, a guest that was refused, a warning.
fn status(many: &Many, ended: &[Job]) -> Done {
    let has = |states: &[State]| ended.iter().any(|j| states.contains(&j.state));
    Ok(if has(&[State::Failed, State::Cancelled]) {
        Kind::Failed.status()
    } else if has(&[State::Unknown, State::Unreachable]) {
        Kind::Unreachable.status()
    } else if has(&[State::Queued, State::Running]) {
        Kind::Running.status()
    } else if !many.refused.is_empty() {
        Kind::Refused.status()
    } else if has(&[State::Warned]) {
        WARNED
    } else {
        0
    })
}
