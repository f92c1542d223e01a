//! `backup drill --due`: one run over those whose turn it is, as a timer of systemd calls it, with nobody there to ask; and over
//! the archives nobody has read to their ends yet, where the settings say so.
//!
//! It needs no passphrase: neither changes anything anybody relies on, and jobs and audit are written with the vault locked.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::super::{Ctx, Done, Form, output};
use super::proof_json;
use crate::domain::access::of_plan;
use crate::domain::fact::Wish;
use crate::domain::inside::verify::VerifyWish;
use crate::domain::job::{Job, State};
use crate::domain::proof::Proof;
use crate::domain::restore::RestoreWish;
use crate::domain::schedule::due::{Limits, Turn, busy, room, turns, unread};
use crate::domain::storage::StorageId;
use crate::domain::world::World;
use crate::jobs::Jobs;
use crate::ops::planner;
use crate::problem::{Kind, Problem, WARNED};

/// What became of one guest, or of one archive.
enum End {
    /// It was not its turn, or no more fit into this run.
    NotNow(String),
    /// It is, and only that was asked.
    Would(String),
    /// It was, and something stood against it.
    Held(String),
    /// A job was run for it, to its end.
    Ran(Box<Job>),
    /// It could not even be tried.
    Failed(String),
}

impl End {
    fn word(&self) -> &'static str {
        match self {
            End::NotNow(_) => "not due",
            End::Would(_) => "due",
            End::Held(_) => "skipped",
            End::Ran(job) => job.state.word(),
            End::Failed(_) => "failed",
        }
    }

    fn says(&self) -> String {
        match self {
            End::NotNow(why) | End::Would(why) | End::Held(why) | End::Failed(why) => why.clone(),
            End::Ran(job) => Proof::of(job).map_or_else(|| job.line(), |p| p.words()),
        }
    }

    fn is_bad(&self) -> bool {
        match self {
            End::Failed(_) => true,
            End::Ran(job) => !matches!(job.state, State::Succeeded | State::Warned),
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
                let volid = turn.volid.clone().unwrap_or_default();
                let wish = |world: &World| Ok(Wish::Restore(RestoreWish::drill(volid, Some(room(world, turn.guest, storage)?))));
                let end = work(ctx, &jobs, limits, wish).await?;
                begun += u64::from(matches!(end, End::Ran(_) | End::Would(_)));
                end
            }
        };
        tell(ctx, &turn.title, &end);
        ends.push((turn, end));
    }
    let mut reads: Vec<(String, End)> = Vec::new();
    if limits.reads > 0 {
        let world = world(ctx, &jobs).await;
        for archive in unread(&world).map_err(unknown)?.into_iter().zip(0..limits.reads).map(|(archive, _)| archive) {
            let wish = VerifyWish::Archive(archive.volid.clone());
            let end = work(ctx, &jobs, limits, |_| Ok(Wish::Verify(wish))).await?;
            tell(ctx, &archive.volid, &end);
            reads.push((archive.volid.clone(), end));
        }
    }
    if ctx.form == Form::Json {
        let one = |(turn, end): &(Turn, End)| {
            let proof = if let End::Ran(job) = end { Proof::of(job) } else { None };
            json!({"guest": turn.guest, "title": turn.title, "volid": turn.volid, "due": turn.due.as_ref().ok(), "end": end.word(),
                "says": end.says(), "proof": proof_json(proof.as_ref())})
        };
        let read = |(volid, end): &(String, End)| json!({"volid": volid, "end": end.word(), "says": end.says()});
        output::object(
            &json!({"drills": ends.iter().map(one).collect::<Vec<_>>(), "verified": reads.iter().map(read).collect::<Vec<_>>()}),
        );
    } else if ends.is_empty() {
        output::say("there is no container");
    }
    let ends: Vec<&End> = ends.iter().map(|(_, end)| end).chain(reads.iter().map(|(_, end)| end)).collect();
    Ok(match () {
        () if ends.iter().any(|end| end.is_bad()) => Kind::Failed.status(),
        () if ends.iter().any(|end| matches!(end, End::Held(_))) => WARNED,
        () => 0,
    })
}

fn tell(ctx: &Ctx, what: &str, end: &End) {
    if ctx.form != Form::Json {
        output::say(&format!("{what}: {}: {}", end.word(), end.says()));
    }
}

/// As fresh as it is needed before each drill.
async fn world(ctx: &Ctx, jobs: &Arc<Jobs>) -> World {
    let mut world = ctx.whole_world().await;
    ctx.remembered(&mut world);
    world.jobs = jobs.part(ctx.host.clock().0);
    world
}

/// Runs what is wished to its end, unless the node is busy or the wish itself finds something against it.
async fn work(ctx: &Ctx, jobs: &Arc<Jobs>, limits: Limits, wish: impl FnOnce(&World) -> Result<Wish, String>) -> Result<End, Problem> {
    let world = world(ctx, jobs).await;
    let wish = match busy(&world, limits, ctx.host.clock().0).and_then(|()| wish(&world)) {
        Ok(wish) => wish,
        Err(why) => return Ok(End::Held(why)),
    };
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
                return Ok(End::Ran(Box::new(job)));
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        jobs.reconcile(ctx.host.as_ref()).await?;
    }
}
