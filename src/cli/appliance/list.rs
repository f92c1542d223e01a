//! `appliance list`: all appliances there are, on this node and on others: when Proxmox told of each last, what it uses, and which
//! configuration this node's own works by.

use serde_json::json;

use super::super::output;
use super::{Ctx, Done, Form};
use crate::domain::appliance::instance::{Instance, Reported};
use crate::domain::stamp;
use crate::domain::world::World;
use crate::ops::{port_truth, probe};
use crate::problem::{Kind, Problem, WARNED};

/// 0; 10 where something of it is unknown.
pub(super) async fn list(ctx: &Ctx, world: &World) -> Done {
    if let Err(why) = &world.guests.known {
        return Err(Problem::new(Kind::Unreachable, "appliances", format!("the guests are unknown: {why}"), "see proximity doctor"));
    }
    let host = ctx.host.as_ref();
    let (all, truth) = tokio::join!(probe::instances(host, world), port_truth::look(host, world));
    let now = host.clock().0;
    let config = |i: &Instance| match (&truth.known, i.own) {
        (_, false) => "asked there".to_owned(),
        (Ok(truth), true) => truth.in_effect(),
        (Err(why), true) => format!("unknown: {why}"),
    };
    if ctx.form == Form::Json {
        let told = |t: &Reported| {
            json!({"as_of": t.at.rfc3339(), "running": t.runs, "uptime_s": t.uptime_s, "cpu": t.cpu,
                "memory": t.memory.map(|(used, all)| json!({"used": used, "all": all})),
                "disk": t.disk.map(|(used, all)| json!({"used": used, "all": all})),
                "net": t.net.map(|(r#in, out)| json!({"in": r#in, "out": out}))})
        };
        let item = |i: &Instance| {
            json!({"id": i.id, "title": i.title, "node": i.elsewhere.as_deref().or(world.node_name()), "own": i.own, "role": i.role(),
                "state": i.runs(), "seen": i.reported.as_ref().ok().map(told), "config": config(i),
                "version": truth.get().filter(|_| i.own).and_then(|t| t.version)})
        };
        let unknown = all.iter().filter_map(|i| Some(json!({"what": i.title, "why": i.reported.as_ref().err()?})));
        output::object(&json!({"as_of": now.rfc3339(), "items": all.iter().map(item).collect::<Vec<_>>(),
            "unknown": unknown.collect::<Vec<_>>()}));
    } else {
        let of = |both: Option<(u64, u64)>| match both {
            Some((used, all)) => format!("{} / {}", stamp::bytes(used), stamp::bytes(all)),
            None => "-".to_owned(),
        };
        let row = |i: &Instance| {
            let told = i.reported.as_ref().ok();
            let cpu = told.and_then(|t| t.cpu).map_or("-".to_owned(), |cpu| format!("{:.0} %", cpu * 100.0));
            let node = i.elsewhere.as_deref().or(world.node_name()).unwrap_or("-").to_owned();
            let (memory, disk) = (told.and_then(|t| t.memory), told.and_then(|t| t.disk));
            vec![i.title.clone(), node, i.runs().to_owned(), i.role().to_owned(), i.seen(now), cpu, of(memory), of(disk), config(i)]
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        if rows.is_empty() && ctx.form == Form::Table {
            output::say("there is no appliance; build one with: proximity appliance provision");
            return Ok(0);
        }
        output::table(ctx.form, &["APPLIANCE", "NODE", "STATE", "ROLE", "SEEN", "CPU", "MEMORY", "DISK", "CONFIG"], &rows);
        for (i, why) in all.iter().filter_map(|i| Some((i, i.reported.as_ref().err()?))) {
            output::murmur(&format!("unknown: {}: {why}", i.title));
        }
    }
    Ok(if all.iter().all(|i| i.reported.is_ok()) && truth.known.is_ok() { 0 } else { WARNED })
}
