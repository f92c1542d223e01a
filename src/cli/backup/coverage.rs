//! `backup coverage`: for each container its last backup, whether one was seen to come back, its size and what is not in it.

use serde_json::json;

use super::super::output;
use super::{Ctx, Done, Form, proof_json, restored, verify};
use crate::domain::backup::size::{Orphans, orphans};
use crate::domain::coverage::Coverage;
use crate::domain::inside::ledger::Ledger;
use crate::domain::schedule;
use crate::domain::stamp::{age, ago, bytes, span};
use crate::problem::{Kind, Problem, WARNED};

/// 0; 10 where something wants a look.
pub(super) async fn coverage(ctx: &Ctx) -> Done {
    let mut world = ctx.world().await?;
    let now = ctx.host.clock().0;
    world.jobs = restored(ctx);
    let all = Coverage::of(&world)
        .map_err(|why| Problem::new(Kind::Unreachable, "backups", format!("unknown: {why}"), "see proximity doctor"))?;
    // All kinds of guests are known here, and of whom the operator may not see his archives are not either.
    let orphans = orphans(world.archives.get().map_or(&[][..], Vec::as_slice), |id| world.guest(id).is_some());
    let zone = world.schedules.get().map(|s| s.zone.clone()).unwrap_or_default();
    let next = |c: &Coverage| world.guest(c.guest).map_or(schedule::Next::Never, |g| schedule::next(&world, g, now));
    let ledger = world.jobs.get().map(|jobs| Ledger::of(jobs));
    if ctx.form == Form::Json {
        let item = |c: &Coverage| {
            json!({"guest": c.guest, "title": c.title, "archives": c.archives,
                "newest": c.newest.as_ref().map(|a| json!({"volid": a.volid, "made": a.made.rfc3339(), "size": a.size, "verified": verify::as_json(ledger.as_ref(), a)})),
                "proof": proof_json(c.proof.as_ref().ok().and_then(Option::as_ref)), "proof_unknown": c.proof.as_ref().err(), "took_s": c.took_s, "next": if let schedule::Next::At(at) = next(c) { json!(at.rfc3339()) } else { json!(null) },
                "scheduled": next(c).words(now, &zone), "sizes": c.sizes, "odd_size": c.odd.map(|o| o.to_string()), "missing": c.missing, "unsure": c.unsure})
        };
        let items: Vec<_> = all.iter().map(item).collect();
        let mut told = output::list(&world.archives, "backups", &items);
        let orphan = |o: &Orphans| json!({"guest": o.guest, "archives": o.archives, "bytes": o.bytes, "newest": o.newest.volid});
        told["orphans"] = orphans.iter().map(orphan).collect();
        output::object(&told);
    } else {
        let row = |c: &Coverage| {
            let last = match &c.newest {
                Some(a) => format!("{} old", age(now, a.made)),
                None if c.unsure => "none known".into(),
                None => "never".into(),
            };
            let proven = match &c.proof {
                Err(_) => "unknown".to_owned(),
                Ok(None) => "never proven".to_owned(),
                Ok(Some(p)) if p.lives.is_ok() => {
                    let took = p.took_s.map_or(String::new(), |s| format!(", back in {}{}", span(s), c.times()));
                    ago(now, p.at) + &took
                }
                Ok(Some(p)) => format!("{} it did NOT come back", ago(now, p.at)),
            };
            let whole = c.newest.as_ref().map_or("-".into(), |a| verify::cell(ledger.as_ref(), a, now));
            let size = c.newest.as_ref().and_then(|a| a.size).map_or("-".into(), bytes);
            let size = c.odd.map_or(size.clone(), |odd| format!("{size} ! usually {}", bytes(odd.usual)));
            let missing = c.missing.as_ref().map_or("unknown".to_owned(), |all| all.join(", "));
            vec![
                c.title.clone(),
                last,
                proven,
                whole,
                size,
                c.trend(),
                if missing.is_empty() { "-".into() } else { missing },
                next(c).words(now, &zone),
            ]
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        if rows.is_empty() {
            output::say("there is no container");
        } else {
            output::table(ctx.form, &["GUEST", "LAST BACKUP", "RESTORABLE", "VERIFIED", "SIZE", "TREND", "NOT IN IT", "NEXT"], &rows);
        }
        for o in &orphans {
            let guest = o.guest.map_or("no guest".into(), |id| format!("{id}, which is not here"));
            let many = if o.archives == 1 { "1 archive".into() } else { format!("{} archives", o.archives) };
            output::say(&format!("of {guest}: {many}, {}, the newest {} old", bytes(o.bytes), age(now, o.newest.made)));
        }
        output::gaps(&world.archives, "backups");
        output::gaps(&world.schedules, "schedules");
        output::gaps(&world.jobs, "what came back");
    }
    Ok(if all.iter().any(Coverage::wants_a_look) { WARNED } else { 0 })
}
