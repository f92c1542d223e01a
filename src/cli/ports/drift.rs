//! `ports drift`: how each pair is, each difference from what was promised, and the one thing that mends it.

use serde_json::{Value as Json, json};

use super::super::settings::{Check, store};
use super::super::{Ctx, Done, Form, output};
use super::{Read, bad_or, gaps_json, read, tell_gaps};
use crate::domain::clean::clean;
use crate::domain::ports::{Answer, Drift, LastWell, Mend, Row, Shown, Visits, drift::means};
use crate::domain::stamp::Stamp;
use crate::domain::world::{From, Part};
use crate::ops::port_truth::{look, remember};
use crate::problem::{Kind, Problem, WARNED};

/// 0 where all is as promised, 10 with a difference or something unknown.
pub(super) async fn drift(ctx: &Ctx, check: &Check) -> Done {
    let mut world = ctx.whole_world().await;
    ctx.remembered(&mut world);
    let store = store(ctx)?;
    let Read { map, .. } = read(ctx, &store, check, None)?;
    world.ports = Part::new(map.clone(), ctx.host.clock().0, From::Files);
    let mut part = look(ctx.host.as_ref(), &world).await;
    remember(Ok(&store), &mut part, !ctx.read_only);
    let truth = part.known.map_err(|why| Problem::new(Kind::Unreachable, "the ports", why, "see proximity doctor"))?;
    if ctx.form == Form::Json {
        output::object(&json!({
            "as_of": part.as_of.rfc3339(), "checked": map.checked, "version": truth.version,
            "items": truth.rows.iter().map(|row| row_json(row, part.as_of)).collect::<Vec<_>>(),
            "drift": truth.drift.iter().map(drift_json).collect::<Vec<_>>(),
            "unknown": gaps_json(&truth.gaps),
        }));
    } else {
        let offset = ctx.host.clock().1;
        let number = |port: Option<u16>| port.map_or("-".to_owned(), |p| p.to_string());
        let lines = |row: &Row| {
            let name = row.name.as_ref().map_or(row.state.to_owned(), |name| match row.state {
                "published" => name.to_string(),
                state => format!("{name} ({state})"),
            });
            let target = if row.target.is_empty() { row.note.clone() } else { row.target.clone() };
            let target = if target.is_empty() { row.since.map_or("-".into(), |at| format!("since {}", at.minute(offset))) } else { target };
            let head = vec![number(row.public), number(row.internal), name, answers(row), row.lately[0].visits.words(), target];
            below(head, &row.drift)
        };
        let mut rows: Vec<Vec<String>> = truth.rows.iter().flat_map(lines).collect();
        let whole = ["-", "-", "all", "-", "-", "-"].map(str::to_owned).to_vec();
        rows.extend(truth.drift.iter().flat_map(|d| below(whole.clone(), std::slice::from_ref(d))));
        output::table(ctx.form, &["PUBLIC", "INTERNAL", "NAME", "ANSWERS", "REQUESTS", "TARGET", "DRIFT", "MEND"], &rows);
        if ctx.form == Form::Table {
            let version = truth.version.map_or("none known".to_owned(), |v| format!("v{v}"));
            let count = truth.rows.iter().map(|r| r.drift.len()).sum::<usize>() + truth.drift.len();
            let shown = match count {
                0 if truth.gaps.is_empty() => "nothing differs".to_owned(),
                0 => "nothing that could be asked differs".to_owned(),
                1 => "1 difference".to_owned(),
                n => format!("{n} differences"),
            };
            let counted = truth.rows.iter().filter_map(|r| r.lately[0].visits.counted()).min_by_key(|t| t.since);
            let counted = counted.map_or(String::new(), |t| format!("; requests to public ports: the last {}", t.over()));
            output::say(&format!("sites in force: {version}; {shown}{counted}"));
        }
        tell_gaps(&truth.gaps);
    }
    let well = truth.drift.is_empty() && truth.rows.iter().all(|r| r.drift.is_empty()) && truth.gaps.is_empty();
    bad_or(&map, if well { 0 } else { WARNED })
}

/// One line for each difference, the first of them behind what the row is.
fn below(head: Vec<String>, drift: &[Drift]) -> Vec<Vec<String>> {
    let empty = vec![String::new(); head.len()];
    let with = |head: Vec<String>, drift: &Drift| {
        head.into_iter().chain([format!("{}: {}", drift.kind, drift.says), drift.mend.words()]).collect()
    };
    match drift {
        [] => vec![head.into_iter().chain(["-".into(), "-".into()]).collect()],
        [first, more @ ..] => std::iter::once(with(head, first)).chain(more.iter().map(|d| with(empty.clone(), d))).collect(),
    }
}

fn answers(row: &Row) -> String {
    match (&row.outside, &row.inside) {
        (Answer::NotAsked, Answer::NotAsked) => "-".to_owned(),
        (outside, inside) => format!("{} / {}", outside.words(), inside.words()),
    }
}

fn answer_json(answer: &Answer) -> Json {
    match answer {
        Answer::NotAsked => json!({"is": "not-asked"}),
        Answer::Unknown(why) => json!({"is": "unknown", "why": why}),
        Answer::Silent(how) => json!({"is": "silent", "how": how}),
        Answer::NoTls(how) => json!({"is": "no-tls", "how": how}),
        Answer::Taken { ms } => json!({"is": "taken", "ms": ms}),
        Answer::Status { code, ms, size } => json!({"is": "status", "status": code, "ms": ms, "size": size}),
    }
}

fn well_json(well: &LastWell) -> Json {
    match well {
        LastWell::NotAsked => json!({"is": "not-asked"}),
        LastWell::Unknown(why) => json!({"is": "unknown", "why": why}),
        LastWell::Never => json!({"is": "never"}),
        LastWell::At(at) => json!({"is": "at", "at": at.rfc3339()}),
    }
}

fn visits_json(visits: &Visits) -> Json {
    let ms = |us: u64| us as f64 / 1000.0;
    match visits {
        Visits::NotCounted => json!({"is": "not-counted"}),
        Visits::Unknown(why) => json!({"is": "unknown", "why": why}),
        Visits::Counted(t) => json!({"is": "counted", "since": t.since.rfc3339(), "until": t.until.rfc3339(), "requests": t.requests,
            "failed_5xx": t.failed, "refused_4xx": t.refused, "mean_ms": ms(t.mean_us), "p95_ms": ms(t.p95_us), "bytes": t.bytes,
            "last": t.last.map(|at| at.rfc3339()), "own": t.own, "unread_lines": t.unread}),
    }
}

fn drift_json(drift: &Drift) -> Json {
    let mend = match &drift.mend {
        Mend::Apply => json!({"by": "apply", "command": "proximity ports converge"}),
        Mend::Appliance => json!({"by": "appliance", "command": "proximity appliance converge"}),
        Mend::Start(id) => json!({"by": "start", "guest": id, "command": format!("proximity guest start {id}")}),
        Mend::Hand(what) => json!({"by": "hand", "what": what}),
    };
    json!({"kind": drift.kind, "means": means(drift.kind), "says": drift.says, "mend": mend})
}

/// The certificate that visitors are shown.
fn tls_json(shown: &Shown, now: Stamp) -> Json {
    let Shown { asked, certificate: c, seen } = shown;
    json!({"asked": asked, "fits": shown.fits(), "seen": seen, "not_before": c.not_before.rfc3339(), "not_after": c.not_after.rfc3339(),
        "days": c.days_left(now), "names": c.names.iter().map(|n| clean(n)).collect::<Vec<_>>(), "subject": clean(&c.subject),
        "issuer": clean(&c.issuer), "fingerprint": c.fingerprint.to_string()})
}

fn row_json(row: &Row, now: Stamp) -> Json {
    json!({"public": row.public, "internal": row.internal, "state": row.state, "name": row.name.as_ref().map(ToString::to_string),
        "note": row.note, "target": row.target, "tls": row.tls.as_ref().map(|shown| tls_json(shown, now)),
        "outside": answer_json(&row.outside), "inside": answer_json(&row.inside),
        "requests": {"public": visits_json(&row.lately[0].visits), "internal": visits_json(&row.lately[1].visits)},
        "last_well": {"public": well_json(&row.lately[0].well), "internal": well_json(&row.lately[1].well)},
        "since": row.since.map(|at| at.rfc3339()), "drift": row.drift.iter().map(drift_json).collect::<Vec<_>>()})
}
