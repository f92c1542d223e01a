//! `audit`: list, verify, export. Reading changes nothing; the verifier asks the vault and the host's journal too.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::login::{Open, login_for};
use super::{Ctx, Done, Form, output};
use crate::domain::access::Permission;
use crate::domain::audit::{Entry, Head, Phase, Record, Wanted};
use crate::domain::clean::clean;
use crate::domain::when::{self, Here};
use crate::ops::audit::{heads, heads_command, hex};
use crate::problem::{Kind, Problem, WARNED};
use crate::store::audit::{Kept, Seals, Verdict};
use crate::store::{Store, Vault};

/// `audit`.
#[derive(Subcommand)]
pub(super) enum Audit {
    /// What was done, newest first, with what came of it
    List(List),
    /// Check the whole log; the exit status is not 0 where something is wrong
    Verify(Verify),
    /// Every entry with its link and seal, oldest first; with -o json one object a line
    Export,
}

/// `audit list`.
#[derive(Args)]
pub(super) struct List {
    /// Of this operator only
    #[arg(long)]
    operator: Option<String>,
    /// Only actions that begin so: job, job.backup, vault.unlock
    #[arg(long)]
    action: Option<String>,
    /// Only what has this in its object or title: "guest 101", web
    #[arg(long)]
    object: Option<String>,
    /// Not older: 90m, 24h, 7d, yesterday, 2026-11-21, '2026-11-21 14:30'
    #[arg(long)]
    since: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_name = "N")]
    most: usize,
}

/// `audit verify`.
#[derive(Args)]
pub(super) struct Verify {
    #[command(flatten)]
    open: Open,
    /// Do not open the vault: chain and ends are checked, seals are not
    #[arg(long)]
    no_vault: bool,
}

pub(super) async fn run(ctx: &Ctx, command: &Audit) -> Done {
    let store = if ctx.host.is_demo() { Store::in_memory()? } else { Store::open(&ctx.config.state)? };
    match command {
        Audit::List(list) => self::list(ctx, &store, list),
        Audit::Verify(verify) => self::verify(ctx, &store, verify).await,
        Audit::Export => export(ctx, &store),
    }
}

fn list(ctx: &Ctx, store: &Store, list: &List) -> Done {
    let (now, offset_s) = ctx.host.clock();
    let since = list.since.as_deref().map(|text| when::parse(text, Here { now, offset_s })).transpose();
    let since = since.map_err(|why| Problem::new(Kind::Usage, "--since", why, ""))?;
    let wanted =
        Wanted { operator: list.operator.clone(), action: list.action.clone(), object: list.object.clone(), since, ..Wanted::default() };
    let mut page = store.audit_page(&wanted, None, list.most)?;
    while let Some(below) = page.next.filter(|_| page.records.len() < list.most) {
        let more = store.audit_page(&wanted, Some(below), list.most - page.records.len())?;
        page.records.extend(more.records);
        page.unread.extend(more.unread);
        page.next = more.next;
    }
    if ctx.form == Form::Json {
        let items: Vec<Value> = page.records.iter().map(record_json).collect();
        let unknown: Vec<Value> =
            page.unread.iter().map(|seq| json!({"what": format!("entry {seq}"), "why": "it cannot be read"})).collect();
        output::object(&json!({
            "as_of": now.rfc3339(), "items": items, "entries": page.total, "more": page.next.is_some(), "unknown": unknown,
        }));
        return Ok(0);
    }
    let row = |r: &Record| {
        let (e, d) = (&r.entry, &r.entry.deed);
        let how = match r.after() {
            Some(said) => format!("{}: {}", r.standing().word(), clean(said)),
            None => r.standing().word().to_owned(),
        };
        [e.seq.to_string(), e.at.minute(offset_s), clean(&d.operator), clean(&d.action), clean(&d.title), how].to_vec()
    };
    if page.records.is_empty() {
        output::say(if page.total == 0 { "nothing was ever written down here" } else { "no entry fits" });
    } else {
        output::table(ctx.form, &["ENTRY", "WHEN", "WHO", "ACTION", "WHAT", "HOW"], &page.records.iter().map(row).collect::<Vec<_>>());
    }
    page.unread.iter().for_each(|seq| eprintln!("unknown: entry {seq} cannot be read; see proximity audit verify"));
    if page.next.is_some() {
        eprintln!("older entries are not shown; --most N shows more");
    }
    Ok(0)
}

fn record_json(record: &Record) -> Value {
    let (e, d) = (&record.entry, &record.entry.deed);
    let exit = record.outcome.as_ref().and_then(|o| match o.phase {
        Phase::Outcome { exit, .. } => exit,
        _ => None,
    });
    json!({
        "seq": e.seq, "at": e.at.rfc3339(), "boot_id": e.boot_id, "boottime_ms": e.boottime_ms,
        "operator": d.operator, "role": d.role, "mode": e.mode, "who": e.who,
        "action": d.action, "object": d.object, "title": d.title, "decision": d.decision, "argv": d.argv.map(|a| hex(&a)),
        "outcome": record.standing().word(), "ended": record.outcome.as_ref().map(|o| o.at.rfc3339()), "exit": exit,
        "before": d.before, "after": record.after(), "undo": d.undo, "job": d.job,
    })
}

/// One entry as it was written, whatever came of it.
fn entry_json(e: &Entry) -> Value {
    let (phase, of, ending, exit) = match e.phase {
        Phase::Intent => ("intent", None, None, None),
        Phase::Outcome { of, ending, exit } => ("outcome", Some(of), Some(ending), exit),
        Phase::Event { ending } => ("event", None, Some(ending), None),
    };
    let d = &e.deed;
    json!({
        "epoch": e.epoch, "at": e.at.rfc3339(), "boot_id": e.boot_id, "boottime_ms": e.boottime_ms, "who": e.who, "mode": e.mode,
        "phase": phase, "of": of, "ending": ending, "exit": exit, "deed": d, "argv": d.argv.map(|a| hex(&a)),
    })
}

fn export(ctx: &Ctx, store: &Store) -> Done {
    let mut rows = Vec::new();
    let each = |kept: Kept| {
        match (ctx.form, &kept.entry) {
            (Form::Json, entry) => output::object(&json!({
                "seq": kept.seq, "entry": entry.as_ref().map(entry_json),
                "bytes": hex(&kept.bytes), "hash": hex(&kept.hash), "mac": hex(&kept.mac),
            })),
            (_, None) => rows.push(vec![kept.seq.to_string(), "?".into(), "?".into(), "?".into(), "it cannot be read".into(), "?".into()]),
            (_, Some(e)) => {
                let phase = match e.phase {
                    Phase::Intent => "begins".to_owned(),
                    Phase::Outcome { of, ending, .. } => format!("{of} is {}", ending.word()),
                    Phase::Event { ending } => ending.word().to_owned(),
                };
                let d = &e.deed;
                rows.push(vec![e.seq.to_string(), e.at.rfc3339(), clean(&d.operator), clean(&d.action), clean(&d.title), phase]);
            }
        }
        Ok::<(), Problem>(())
    };
    store.audit_rows(each)?;
    if ctx.form != Form::Json {
        output::table(ctx.form, &["ENTRY", "WHEN", "WHO", "ACTION", "WHAT", "HOW"], &rows);
    }
    Ok(0)
}

/// What the journal of the host saw of audit logs; why not, where it cannot be asked.
async fn seen_by_journal(ctx: &Ctx) -> Result<Vec<Head>, String> {
    if ctx.host.is_demo() {
        return Err("the demo has none".into());
    }
    let out = ctx.host.run(heads_command()).await.map_err(|e| e.to_string())?;
    out.success().map(|text| heads(text.out)).map_err(|e| e.to_string())
}

async fn verify(ctx: &Ctx, store: &Store, verify: &Verify) -> Done {
    let vault = match !verify.no_vault && Vault::exists(store)? {
        true => Some(login_for(ctx, store, &verify.open, Permission::ReadAudit)?.vault),
        false => None,
    };
    let seen = seen_by_journal(ctx).await;
    let heads = seen.as_deref().unwrap_or_default();
    let verdict = store.audit_verify(vault.as_ref(), heads)?;
    let of_this = heads.iter().filter(|h| verdict.head.is_some_and(|end| end.log == h.log)).count();
    report(ctx, &verdict, &seen, of_this);
    if let Some(first) = verdict.faults.first() {
        let count = verdict.faults.len() as u64 + verdict.more;
        let why = format!("{count} thing(s) are not as they were written; first, {}", told(first.seq, &first.what));
        let hint = "keep the file as it is; compare with the journal of the host and a backup, and find out who wrote there";
        return Err(Problem::new(Kind::Failed, "the audit log", why, hint));
    }
    Ok(if verdict.seals == Seals::Checked { 0 } else { WARNED })
}

fn told(seq: u64, what: &str) -> String {
    if seq == 0 { what.to_owned() } else { format!("entry {seq}: {what}") }
}

fn report(ctx: &Ctx, verdict: &Verdict, seen: &Result<Vec<Head>, String>, of_this: usize) {
    let seals = match verdict.seals {
        Seals::Checked => "checked",
        Seals::InTheOpen => "in-the-open",
        Seals::NotChecked => "not-checked",
    };
    if ctx.form == Form::Json {
        let faults: Vec<Value> = verdict.faults.iter().map(|f| json!({"entry": f.seq, "what": f.what})).collect();
        output::object(&json!({
            "ok": verdict.is_whole(), "entries": verdict.entries, "seals": seals, "unknown_outcomes": verdict.unknown,
            "journal_heads": seen.as_ref().ok().map(|_| of_this), "faults": faults, "more_faults": verdict.more,
            "head": verdict.head.map(|h| json!({"log": hex(&h.log), "seq": h.seq, "hash": hex(&h.hash)})),
        }));
        return;
    }
    for fault in &verdict.faults {
        output::say(&told(fault.seq, &fault.what));
    }
    if verdict.more > 0 {
        output::say(&format!("and {} more", verdict.more));
    }
    if verdict.is_whole() {
        output::say(&format!("ok: {} entries, each where it was written", verdict.entries));
    }
    output::say(match verdict.seals {
        Seals::Checked => "seals: checked with the first key out of the vault",
        Seals::InTheOpen => "seals: fit, but the first key lies in the store until the vault is opened once",
        Seals::NotChecked => "seals: not checked without the vault",
    });
    output::say(&match seen {
        Ok(_) => format!("journal: {of_this} head(s) of this log were seen there"),
        Err(why) => format!("journal: could not be asked, so a cut at the end may go unseen: {}", clean(why)),
    });
    if verdict.unknown > 0 {
        output::say(&format!("{} thing(s) were begun whose end is unknown", verdict.unknown));
    }
}
