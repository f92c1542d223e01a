//! `backup coverage`: for each container its last backup, whether one was seen to come back, its size and what is not in it.

use serde_json::json;

use super::super::output;
use super::{Ctx, Done, Form, proof_json, restored};
use crate::domain::coverage::Coverage;
use crate::domain::stamp::{age, ago, bytes, span};
use crate::problem::{Kind, Problem, WARNED};

/// 0; 10 where something wants a look.
pub(super) async fn coverage(ctx: &Ctx) -> Done {
    let mut world = ctx.world().await?;
    let now = ctx.host.clock().0;
    world.jobs = restored(ctx);
    let all = Coverage::of(&world)
        .map_err(|why| Problem::new(Kind::Unreachable, "backups", format!("unknown: {why}"), "see proximity doctor"))?;
    if ctx.form == Form::Json {
        let item = |c: &Coverage| {
            json!({"guest": c.guest, "title": c.title, "archives": c.archives,
                "newest": c.newest.as_ref().map(|a| json!({"volid": a.volid, "made": a.made.rfc3339(), "size": a.size})),
                "proof": proof_json(c.proof.as_ref().ok().and_then(Option::as_ref)), "proof_unknown": c.proof.as_ref().err(), "sizes": c.sizes, "odd_size": c.odd(), "missing": c.missing, "unsure": c.unsure})
        };
        let items: Vec<_> = all.iter().map(item).collect();
        output::object(&output::list(&world.archives, "backups", &items));
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
                Ok(Some(p)) if p.lives.is_ok() => format!("{}, back in {}", ago(now, p.at), span(p.took_s)),
                Ok(Some(p)) => format!("{} it did NOT come back", ago(now, p.at)),
            };
            let size = c.newest.as_ref().and_then(|a| a.size).map_or("-".into(), bytes);
            let size =
                c.odd().map_or(size.clone(), |odd| format!("{size} ! usually {}", odd.rsplit("usually ").next().unwrap_or_default()));
            let missing = c.missing.as_ref().map_or("unknown".to_owned(), |all| all.join(", "));
            vec![c.title.clone(), last, proven, size, c.trend(), if missing.is_empty() { "-".into() } else { missing }]
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        if rows.is_empty() {
            output::say("there is no container");
        } else {
            output::table(ctx.form, &["GUEST", "LAST BACKUP", "RESTORABLE", "SIZE", "TREND", "NOT IN IT"], &rows);
        }
        output::gaps(&world.archives, "backups");
        output::gaps(&world.jobs, "what came back");
    }
    Ok(if all.iter().any(Coverage::wants_a_look) { WARNED } else { 0 })
}
