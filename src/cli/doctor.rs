//! `doctor`: looks at everything Proximity needs and grades each: pass, notice, warn, fail, unknown.

use serde_json::json;

use super::{Ctx, Done, Form, output};
use crate::domain::cmd::Cmd;
use crate::domain::health::{Level, findings};
use crate::host::HostError;
use crate::ops::log_health;
use crate::problem::{Kind, Problem, WARNED};
use crate::store::{Store, StoreError, StoreMode, Vault};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Pass,
    Notice,
    Unknown,
    Warn,
    Fail,
}

impl Grade {
    fn word(self) -> &'static str {
        match self {
            Grade::Pass => "pass",
            Grade::Notice => "notice",
            Grade::Unknown => "unknown",
            Grade::Warn => "warn",
            Grade::Fail => "fail",
        }
    }
}

struct Checked {
    grade: Grade,
    what: String,
    why: String,
}

pub(super) async fn run(ctx: &Ctx) -> Done {
    let mut all = Vec::new();
    let mut add = |grade, what: &str, why: String| all.push(Checked { grade, what: what.into(), why });
    store(ctx, &mut add);
    tools(ctx, &mut add).await;
    let mut world = ctx.world().await?;
    world.logs = log_health::look(ctx.host.as_ref(), &world).await;
    let before = findings(&world);
    for f in &before {
        let grade = match f.level {
            Level::Bad => Grade::Fail,
            Level::Warn => Grade::Warn,
            Level::Unknown => Grade::Unknown,
        };
        add(grade, &f.what, f.why.clone());
    }
    if before.is_empty() {
        add(Grade::Pass, "host", "node, quorum, guests, storages, tasks, backups and logs were asked and answered well".into());
    }
    report(ctx, &all);
    match all.iter().map(|c| c.grade).max() {
        Some(Grade::Fail) => Err(Problem::new(
            Kind::Failed,
            "doctor",
            format!("{} check(s) failed", all.iter().filter(|c| c.grade == Grade::Fail).count()),
            "see the lines above",
        )),
        Some(Grade::Warn | Grade::Unknown) => Ok(WARNED),
        _ => Ok(0),
    }
}

fn report(ctx: &Ctx, all: &[Checked]) {
    if ctx.form == Form::Json {
        let items: Vec<_> = all.iter().map(|c| json!({"grade": c.grade.word(), "what": c.what, "why": c.why})).collect();
        output::object(&json!({"as_of": ctx.host.clock().0.rfc3339(), "items": items}));
    } else {
        let rows: Vec<_> = all.iter().map(|c| vec![c.grade.word().to_uppercase(), c.what.clone(), c.why.clone()]).collect();
        output::table(ctx.form, &["", "WHAT", "HOW"], &rows);
    }
}

fn store(ctx: &Ctx, add: &mut impl FnMut(Grade, &str, String)) {
    if ctx.host.is_demo() {
        return add(Grade::Notice, "store", "the demo keeps everything in memory".into());
    }
    let store = match Store::open(&ctx.config.state) {
        Ok(store) => store,
        Err(e @ StoreError::Missing { .. }) => return add(Grade::Notice, "store", format!("{e}; proximity init makes one")),
        Err(e) => return add(Grade::Fail, "store", Problem::from(e).text()),
    };
    match store.mode() {
        StoreMode::ReadWrite => add(Grade::Pass, "store", format!("{} opens and takes writes", ctx.config.state.display())),
        StoreMode::ReadOnly(why) => add(Grade::Fail, "store", format!("can only be read: {why}")),
    }
    match store.check() {
        Ok(()) => add(Grade::Pass, "store structure", "no damage found (changed values are found by the vault's own tags)".into()),
        Err(e) => add(Grade::Fail, "store structure", e.to_string()),
    }
    match store.audit_verify(None, &[]) {
        Ok(v) if v.is_whole() => {
            add(Grade::Pass, "audit", format!("{} entries in one chain; its seals need: proximity audit verify", v.entries))
        }
        Ok(v) => {
            let first = v.faults.first().map(|f| format!("entry {}: {}", f.seq, f.what)).unwrap_or_default();
            add(Grade::Fail, "audit", format!("the log is not as it was written; {first}"));
        }
        Err(e) => add(Grade::Fail, "audit", Problem::from(e).text()),
    }
    match Vault::check_slots(&store) {
        Ok(()) => add(Grade::Pass, "vault", "all ways in are undamaged; whether they open is told by: proximity vault status".into()),
        Err(e) => add(Grade::Fail, "vault", Problem::from(e).text()),
    }
}

/// Whether the tools are there: each is asked for its help or version, which changes nothing.
async fn tools(ctx: &Ctx, add: &mut impl FnMut(Grade, &str, String)) {
    if ctx.host.is_demo() {
        return;
    }
    for (tool, arg, need) in [
        ("pct", "help", true),
        ("vzdump", "help", true),
        ("pvesm", "help", true),
        ("pvesh", "help", true),
        ("lxc-info", "--version", true),
        ("journalctl", "--version", false),
        ("systemd-run", "--version", false),
    ] {
        let bad = if need { Grade::Fail } else { Grade::Warn };
        match ctx.host.run(Cmd::new(tool, [arg]).limit(20)).await {
            Ok(_) => add(Grade::Pass, tool, "is there".into()),
            Err(HostError::Missing { .. }) => add(bad, tool, "is not there: what needs it will be refused".into()),
            Err(e) => add(Grade::Unknown, tool, e.to_string()),
        }
    }
}
