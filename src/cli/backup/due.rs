//! `backup drill --due`: one run over those whose turn it is, as a timer of systemd calls it, with nobody there to ask.
//!
//! It needs no passphrase: a drill changes nothing anybody relies on, and jobs and audit are written with the vault locked.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::super::{Ctx, Done, Form, output};
use super::proof_json;
use crate::domain::access::of_plan;
use crate::domain::fact::Wish;
use crate::domain::job::{Job, State};
use crate::domain::proof::Proof;
use crate::domain::restore::RestoreWish;
use crate::domain::schedule::due::{Limits, Turn, busy, room, turns};
use crate::domain::storage::StorageId;
use crate::domain::world::World;
use crate::jobs::Jobs;
use crate::ops::planner;
use crate::problem::{Kind, Problem, WARNED};

/// What became of one guest.
enum End {
    /// It was not its turn, or no more fit into this run.
    NotNow(String),
    /// It is, and only that was asked.
    Would(String),
    /// It was, and something stood against it.
    Held(String),
    /// It was drilled.
    Drilled(Box<Job>),
    /// It could not even be tried.
    Failed(String),
}

impl End {
    fn word(&self) -> &'static str {
        match self {
            End::NotNow(_) => "not due",
            End::Would(_) => "due",
            End::Held(_) => "skipped",
            End::Drilled(job) => job.state.word(),
            End::Failed(_) => "failed",
        }
    }

    fn says(&self) -> String {
        match self {
            End::NotNow(why) | End::Would(why) | End::Held(why) | End::Failed(why) => why.clone(),
            End::Drilled(job) => Proof::of(job).map_or_else(|| job.line(), |p| p.words()),
        }
    }

    fn is_bad(&self) -> bool {
        match self {
            End::Failed(_) => true,
            End::Drilled(job) => !matches!(job.state, State::Succeeded | State::Warned),
            End::NotNow(_) | End::Would(_) | End::Held(_) => false,
        }
    }
}

/// 0; 10 where somebody's turn was put off; 1 where one did not come back or could not be tried.
pub(super) async fn due(ctx: &Ctx, storage: Option<&StorageId>) -> Done {
    let unknown = |why: String| Problem::new(Kind::Unreachable, "drills", why, "see proximity doctor");
    let jobs = ctx.jobs().await?;
    let first = world(ctx, &jobs).await;
    let limits = first.chosen().and_then(|settings| Limits::of(&settings)).map_err(unknown)?;
    let all = turns(&first, limits, ctx.host.clock().0).map_err(unknown)?;
    let (mut ends, mut begun): (Vec<(Turn, End)>, u64) = (Vec::new(), 0);
    for turn in all {
        let end = match &turn.due {
            Err(why) => End::NotNow(why.clone()),
            Ok(_) if begun >= limits.most => End::NotNow(format!("its turn, at the next run: {} are drilled in one", limits.most)),
            Ok(_) => {
                let end = drill(ctx, &jobs, &turn, limits, storage).await?;
                begun += u64::from(matches!(end, End::Drilled(_) | End::Would(_)));
                end
            }
        };
        if ctx.form != Form::Json {
            output::say(&format!("{}: {}: {}", turn.title, end.word(), end.says()));
        }
        ends.push((turn, end));
    }
    if ctx.form == Form::Json {
        let one = |(turn, end): &(Turn, End)| {
            let proof = if let End::Drilled(job) = end { Proof::of(job) } else { None };
            json!({"guest": turn.guest, "title": turn.title, "volid": turn.volid, "due": turn.due.as_ref().ok(), "end": end.word(),
                "says": end.says(), "proof": proof_json(proof.as_ref())})
        };
        output::object(&json!({"drills": ends.iter().map(one).collect::<Vec<_>>()}));
    } else if ends.is_empty() {
        output::say("there is no container");
    }
    Ok(match () {
        () if ends.iter().any(|(_, end)| end.is_bad()) => Kind::Failed.status(),
        () if ends.iter().any(|(_, end)| matches!(end, End::Held(_))) => WARNED,
        () => 0,
    })
}

/// As fresh as it is needed before each drill.
async fn world(ctx: &Ctx, jobs: &Arc<Jobs>) -> World {
    let mut world = ctx.whole_world().await;
    ctx.remembered(&mut world);
    world.jobs = jobs.part(ctx.host.clock().0);
    world
}

async fn drill(ctx: &Ctx, jobs: &Arc<Jobs>, turn: &Turn, limits: Limits, storage: Option<&StorageId>) -> Result<End, Problem> {
    let world = world(ctx, jobs).await;
    let Some(volid) = turn.volid.clone() else { return Ok(End::Failed("no archive of it is known".into())) };
    let storage = match busy(&world, limits).and_then(|()| room(&world, turn.guest, storage)) {
        Ok(storage) => storage,
        Err(why) => return Ok(End::Held(why)),
    };
    let wish = Wish::Restore(RestoreWish::drill(volid, Some(storage)));
    let plan = match planner::plan(ctx.host.as_ref(), &world, &wish).await {
        Ok(plan) => plan,
        Err(refusal) => return Ok(End::Failed(refusal.why)),
    };
    let (permission, object) = of_plan(&plan);
    ctx.allow(permission, object)?;
    if ctx.dry_run {
        return Ok(End::Would(plan.title));
    }
    if ctx.read_only {
        return Err(Problem::new(Kind::ReadOnly, plan.title, "--read-only refuses everything that changes something", ""));
    }
    ctx.not_read_only_by_setting(&plan.title)?;
    let order = ctx.approve(plan)?;
    let order = ctx.seconded(&jobs.store(), order)?;
    let id = jobs.start(&ctx.host, order)?;
    loop {
        for _ in 0..20 {
            if let Some(job) = jobs.store().job(id)?.filter(|j| j.state.is_final()) {
                return Ok(End::Drilled(Box::new(job)));
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        jobs.reconcile(ctx.host.as_ref()).await?;
    }
}
