//! `repair`: what can be mended on a host. So far one entry: locks, and what killed jobs left.

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::{Ctx, Done, Form, Need, output, vmid};
use crate::domain::access::{Object, Permission};
use crate::domain::clean::clean;
use crate::domain::fact::Wish;
use crate::domain::guest::Vmid;
use crate::domain::locks::{self, Exam, Left, LockWish, Mark, Verdict};
use crate::domain::stamp::{bytes, span};
use crate::domain::world::World;
use crate::problem::{Kind, Problem};

/// What can be mended.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Entry {
    /// Locks of guests, and what killed jobs left: snapshots, partial archives, mounts, half guests
    Locks,
}

/// `repair`.
#[derive(Subcommand)]
pub(super) enum Repair {
    /// Look: who holds a lock by which evidence, and what is left. Changes nothing
    Check {
        /// What
        #[arg(default_value = "locks")]
        entry: Entry,
        /// This guest; without one the whole node
        #[arg(value_parser = vmid)]
        guest: Option<Vmid>,
    },
    /// Mend it by a plan; a guest that is half there goes only by its own number, and its name
    Fix {
        /// What
        entry: Entry,
        /// This guest; without one the whole node
        #[arg(value_parser = vmid)]
        guest: Option<Vmid>,
    },
}

impl Repair {
    /// What it takes. The evidence names processes and files of the whole node.
    pub(super) fn need(&self) -> Need {
        match self {
            Repair::Check { .. } => Need::Permission(Permission::ReadLogs, Object::Host),
            Repair::Fix { guest, .. } => Need::Permission(Permission::Unlock, guest.map_or(Object::Host, Object::Guest)),
        }
    }
}

pub(super) async fn run(ctx: &Ctx, command: Repair) -> Done {
    match command {
        Repair::Check { guest, .. } => check(ctx, guest).await,
        Repair::Fix { guest, .. } => ctx.fulfil(Wish::Unlock(LockWish { guest, lock_only: false })).await,
    }
}

async fn check(ctx: &Ctx, guest: Option<Vmid>) -> Done {
    // All of it: whoever may see this sees all guests.
    let mut world = ctx.whole_world().await;
    ctx.remembered(&mut world);
    world.locks = crate::ops::locks::look(ctx.host.as_ref(), &world, guest, false).await;
    let seen = match &world.locks.known {
        Ok(seen) => seen,
        Err(why) => return Err(Problem::new(Kind::Unreachable, "locks", format!("unknown: {why}"), "see proximity doctor")),
    };
    let locked = |world: &World| {
        let all = world.guests.get().into_iter().flatten();
        all.filter(|g| g.lock.is_some()).map(|g| g.id).collect::<Vec<_>>()
    };
    let ids = guest.map_or_else(|| locked(&world), |id| vec![id]);
    let exams: Vec<(Vmid, Exam)> = ids.into_iter().map(|id| (id, locks::examine(&world, seen, id))).collect();
    let of_it = |l: &Left| guest.is_none() || l.guest == guest || l.guest.is_none();
    let left: Vec<Left> = locks::left(&world, seen).into_iter().filter(of_it).collect();
    if ctx.form == Form::Json {
        let (as_of, from, mut unknown) = output::stamps(&world.locks, "locks");
        unknown.extend(seen.gaps.iter().map(|g| json!({"what": g.what, "why": g.why})));
        let exams: Vec<_> = exams
            .iter()
            .map(|(id, e)| {
                let lock = world.guest(*id).and_then(|g| g.lock.clone());
                json!({"guest": id, "lock": lock, "verdict": verdict_json(&e.verdict), "evidence": e.evidence})
            })
            .collect();
        let left: Vec<_> = left.iter().map(left_json).collect();
        output::object(&json!({"as_of": as_of, "from": from, "guests": exams, "left": left, "unknown": unknown}));
        return Ok(0);
    }
    for (id, exam) in &exams {
        let named = world.guest(*id).map_or_else(|| format!("{id} (not here)"), |g| g.title());
        output::say(&format!("{named}: {}", clean(&exam.verdict.words())));
        if let Verdict::Held { since: Some(since), .. } = &exam.verdict {
            output::say(&format!("    for {}", span(u64::try_from(seen.at.secs() - since.secs()).unwrap_or(0))));
        }
        for e in &exam.evidence {
            let word = match e.mark {
                Mark::Free => "free",
                Mark::Held => "HELD",
                Mark::Unknown => "UNKNOWN",
                Mark::Noted => "noted",
            };
            output::say(&format!("    {word:<8} {:<14} {}", e.kind, clean(&e.says)));
        }
        if let Verdict::Held { hint, .. } | Verdict::Unknown { hint, .. } = &exam.verdict {
            output::say(&format!("    what to do: {hint}"));
        }
    }
    if exams.is_empty() {
        output::say("no guest of this node is locked");
    }
    output::say("");
    if left.is_empty() {
        output::say("nothing is left of killed jobs");
    }
    for l in &left {
        let whose = l.guest.map_or("node".to_owned(), |id| id.to_string());
        let (word, why) = match &l.proof {
            Ok(proof) => ("left", proof),
            Err(why) => ("UNKNOWN", why),
        };
        output::say(&format!("{word:<8} {whose:<6} {}", l.words()));
        output::say(&format!("                {}", clean(why)));
    }
    let size = locks::total(&left);
    if size > 0 {
        output::say(&format!("{} together", bytes(size)));
    }
    if left.iter().any(|l| l.proof.is_ok()) {
        let id = guest.map_or(String::new(), |id| format!(" {id}"));
        output::say(&format!("what to do: proximity repair fix locks{id}; with --dry-run it shows the plan"));
    }
    for gap in &seen.gaps {
        eprintln!("unknown: {}: {}", gap.what, clean(&gap.why));
    }
    Ok(0)
}

fn verdict_json(verdict: &Verdict) -> serde_json::Value {
    match verdict {
        Verdict::Held { by, since, does, hint } => {
            json!({"is": "held", "by": by, "since": since.map(|s| s.rfc3339()), "does": does, "hint": hint})
        }
        Verdict::Nobody => json!({"is": "nobody"}),
        Verdict::Unknown { why, hint } => json!({"is": "unknown", "why": why, "hint": hint}),
    }
}

fn left_json(l: &Left) -> serde_json::Value {
    json!({
        "guest": l.guest, "what": l.thing.word(), "words": l.words(), "at": l.at, "size": l.size,
        "proof": l.proof.as_ref().ok(), "unknown": l.proof.as_ref().err(),
    })
}
