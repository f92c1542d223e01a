//! `status`: what is wrong, then what is running.

use serde_json::json;

use super::{Ctx, Done, Form, output};
use crate::domain::access::{Object, Permission};
use crate::domain::guest::Power;
use crate::domain::health::{Finding, Level, findings};
use crate::domain::queue;
use crate::domain::stamp::{bytes, span};
use crate::domain::world::{News, Part, Quorum, World};
use crate::ops::{locks, log_health};
use crate::problem::Problem;
use crate::store::StoreError;

pub(super) async fn status(ctx: &Ctx) -> Done {
    let mut world = ctx.world().await?;
    let now = ctx.host.clock().0;
    // A host without a store is no problem of the host; one that cannot be opened is.
    match ctx.jobs().await {
        Ok(jobs) => world.jobs = ctx.jobs_seen(&jobs)?,
        Err(problem) => {
            let missing = Problem::from(StoreError::Missing { path: ctx.config.state.clone() }).hint;
            if problem.hint != missing {
                world.jobs = Part::unknown(problem.why, now);
            }
        }
    }
    // What is published, for what nothing backs up is wrong only where others rely on it.
    let mut held = World::default();
    ctx.remembered(&mut held);
    let mut news = News { settings: Some(held.settings), ports: Some(held.ports), ..News::default() };
    news.only(ctx.who()?);
    world.learn(news);
    world.logs = log_health::look(ctx.host.as_ref(), &world).await;
    // Evidence names processes and files of all guests.
    if ctx.allow(Permission::ReadLogs, Object::Host).is_ok() {
        world.locks = locks::look(ctx.host.as_ref(), &world, None, false).await;
    }
    let found = findings(&world);
    if ctx.form == Form::Json {
        output::object(&as_json(&world, &found));
    } else {
        as_text(ctx, &world, &found);
    }
    Ok(0)
}

fn counts(world: &World) -> [usize; 3] {
    let of = |power| world.guests.get().map_or(0, |g| g.iter().filter(|g| g.power == power).count());
    [of(Power::Running), of(Power::Stopped), of(Power::Unknown)]
}

fn as_json(world: &World, found: &[Finding]) -> serde_json::Value {
    let [running, stopped, unknown_power] = counts(world);
    let mut unknown = Vec::new();
    let mut stamp = |(as_of, from, more): (serde_json::Value, serde_json::Value, Vec<serde_json::Value>)| {
        unknown.extend(more);
        (as_of, from)
    };
    let (node_at, node_from) = stamp(output::stamps(&world.node, "node"));
    let (guests_at, guests_from) = stamp(output::stamps(&world.guests, "guests"));
    let (storages_at, storages_from) = stamp(output::stamps(&world.storages, "storages"));
    let (network_at, network_from) = stamp(output::stamps(&world.network, "network"));
    let (quorum_at, _) = stamp(output::stamps(&world.quorum, "quorum"));
    stamp(output::stamps(&world.tasks, "tasks"));
    stamp(output::stamps(&world.archives, "backups"));
    stamp(output::stamps(&world.schedules, "schedules"));
    if !world.jobs.is_pending() {
        stamp(output::stamps(&world.jobs, "jobs"));
    }
    stamp(output::stamps(&world.logs, "logs"));
    let storages: Vec<_> = world.storages.get().into_iter().flatten().map(|s| json!({"id": s.id, "type": s.kind, "content": s.content, "disabled": s.disabled, "space": s.space.as_ref().ok(), "why": s.space.as_ref().err()})).collect();
    let jobs: Vec<_> = world.jobs.get().into_iter().flatten().filter(|j| !j.state.is_final()).map(super::job::json_of).collect();
    json!({
        "host": world.place.host, "demo": world.place.demo, "as_of": guests_at,
        "findings": found,
        "node": {"as_of": node_at, "from": node_from, "value": world.node.get()},
        "quorum": {"as_of": quorum_at, "value": world.quorum.get()},
        "guests": {"as_of": guests_at, "from": guests_from, "running": running, "stopped": stopped, "unknown": unknown_power},
        "storages": {"as_of": storages_at, "from": storages_from, "items": storages},
        "network": {"as_of": network_at, "from": network_from, "items": world.network.get()},
        "jobs": jobs,
        "unknown": unknown,
    })
}

fn as_text(ctx: &Ctx, world: &World, found: &[Finding]) {
    if world.place.demo {
        output::say("DEMO: a simulated node");
    }
    let all_asked =
        world.guests.get().is_some() && world.storages.get().is_some() && world.tasks.get().is_some() && world.node.get().is_some();
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|f| {
            let level = match f.level {
                Level::Bad => "bad",
                Level::Warn => "warn",
                Level::Unknown => "unknown",
            };
            vec![level.into(), f.what.clone(), f.why.clone()]
        })
        .collect();
    if rows.is_empty() && all_asked {
        output::say("nothing wrong found in node, quorum, guests, storages, tasks, backups, jobs and logs");
    } else {
        output::table(ctx.form, &["LEVEL", "WHAT", "WHY"], &rows);
    }
    output::say("");
    if let Some(node) = world.node.get() {
        let share = |part: Option<(u64, u64)>| part.map_or("?".into(), |(used, all)| format!("{} of {}", bytes(used), bytes(all)));
        let load = node.load.map_or("?".into(), |[a, b, c]| format!("{a:.2} {b:.2} {c:.2}"));
        let up = node.uptime_s.map_or("?".into(), span);
        let quorum = match &world.quorum.known {
            Ok(Quorum::Quorate { nodes }) => format!("quorate ({nodes})"),
            Ok(Quorum::NoQuorum) => "NO QUORUM".into(),
            Err(_) => "quorum ?".into(),
        };
        output::say(&format!("node {}  {quorum}  up {up}  load {load}  memory {}  root {}", node.name, share(node.mem), share(node.root)));
    }
    if world.guests.get().is_some() {
        let [running, stopped, unknown] = counts(world);
        output::say(&format!("guests: {running} running, {stopped} stopped, {unknown} unknown"));
    }
    let jobs = world.jobs.get().map_or(&[][..], Vec::as_slice);
    for job in jobs.iter().filter(|j| !j.state.is_final()) {
        output::say(&format!("job {} {}: {}", job.id, job.title(), queue::line(jobs, job)));
    }
}
