//! `ports certificates`: all certificates of the node, of the appliance and of what is published, and what is wrong with each.

use serde_json::{Value as Json, json};

use super::super::settings::{Check, store};
use super::super::{Ctx, Done, Form, output};
use super::{Read, bad_or, gaps_json, read, tell_gaps};
use crate::domain::certificate::{Belief, Certificate, Inventory, Item, KeyState};
use crate::domain::clean::clean;
use crate::domain::health::Level;
use crate::domain::stamp::Stamp;
use crate::domain::world::{From, Part};
use crate::ops::certificates::look;
use crate::problem::{Kind, Problem, WARNED};

/// 0 where nothing is known against any of them, 10 with something wrong or unknown.
pub(super) async fn certificates(ctx: &Ctx, check: &Check) -> Done {
    let mut world = ctx.whole_world().await;
    ctx.remembered(&mut world);
    let store = store(ctx)?;
    let Read { map, .. } = read(ctx, &store, check, None)?;
    let (now, offset) = ctx.host.clock();
    world.ports = Part::new(map.clone(), now, From::Files);
    let part = look(ctx.host.as_ref(), &world).await;
    let unfit = |why| Problem::new(Kind::Failed, "the certificates", why, "see proximity settings list");
    let all = part.known.map_err(unfit)?;
    if ctx.form == Form::Json {
        output::object(&json!({
            "as_of": part.as_of.rfc3339(), "checked": map.checked,
            "warn_days": all.thresholds.warn_s / 86_400, "bad_days": all.thresholds.bad_s / 86_400,
            "items": all.items.iter().map(|i| item_json(i, &all, now)).collect::<Vec<_>>(), "unknown": gaps_json(&all.gaps),
        }));
    } else {
        let row = |item: &Item| {
            let until = item.own().map_or("-".into(), |c| c.not_after.minute(offset));
            let left = item.own().map_or("-".into(), |c| c.left(now));
            let serves = if item.serves.is_empty() { "-".to_owned() } else { item.serves.join(", ") };
            let wrong = item.wrong(now, all.thresholds).into_iter().map(|(_, why)| why).collect::<Vec<_>>().join("; ");
            let renewal = item.renewal(now, all.thresholds).word().to_owned();
            let wrong = if wrong.is_empty() { "-".to_owned() } else { wrong };
            vec![item.name.clone(), item.whose.word().into(), left, until, renewal, item.key.word().into(), serves, wrong, item.at.clone()]
        };
        let rows: Vec<Vec<String>> = all.items.iter().map(row).collect();
        output::table(ctx.form, &["NAME", "WHOSE", "GOOD FOR", "UNTIL", "RENEWAL", "KEY", "SERVES", "WRONG", "WHERE"], &rows);
        if ctx.form == Form::Table {
            let wrong = all.items.iter().filter(|i| !i.wrong(now, all.thresholds).is_empty()).count();
            let said =
                if wrong == 0 && all.gaps.is_empty() { "nothing is known against any".to_owned() } else { format!("{wrong} to look at") };
            output::say(&format!(
                "{}: {said}",
                if rows.len() == 1 { "1 certificate".to_owned() } else { format!("{} certificates", rows.len()) }
            ));
        }
        tell_gaps(&all.gaps);
    }
    let well = all.gaps.is_empty() && all.items.iter().all(|i| i.wrong(now, all.thresholds).is_empty());
    bad_or(&map, if well { 0 } else { WARNED })
}

fn certificate_json(c: &Certificate) -> Json {
    json!({"subject": clean(&c.subject), "issuer": clean(&c.issuer), "names": c.names.iter().map(|n| clean(n)).collect::<Vec<_>>(),
        "not_before": c.not_before.rfc3339(), "not_after": c.not_after.rfc3339(), "fingerprint": c.fingerprint.to_string()})
}

fn item_json(item: &Item, all: &Inventory, now: Stamp) -> Json {
    let key = match &item.key {
        KeyState::Matches => json!({"is": "matches"}),
        KeyState::Other => json!({"is": "other"}),
        KeyState::Missing => json!({"is": "missing"}),
        KeyState::NotLooked => json!({"is": "not-looked"}),
        KeyState::Unknown(why) => json!({"is": "unknown", "why": why}),
    };
    let believed = item.belief.as_ref().map(|belief| match belief {
        Belief::Proven => json!({"is": "proven"}),
        Belief::Refused(why) => json!({"is": "refused", "why": why}),
        Belief::Skipped => json!({"is": "skipped"}),
        Belief::Unknown(why) => json!({"is": "unknown", "why": why}),
    });
    let level = |level: Level| match level {
        Level::Bad => "bad",
        Level::Warn => "warn",
        Level::Unknown => "unknown",
    };
    let wrong = item.wrong(now, all.thresholds).into_iter().map(|(l, why)| json!({"level": level(l), "says": why}));
    let renewal = item.renewal(now, all.thresholds);
    let due = item.own().and_then(|c| Some(Stamp::from_secs(c.not_after.secs().saturating_sub(item.whose.due_s(c)?)).rfc3339()));
    json!({
        "name": item.name, "whose": item.whose.word(), "where": item.at, "serves": item.serves, "key": key, "believed": believed,
        "days": item.own().map(|c| c.days_left(now)), "chain": item.chain.iter().map(|p| certificate_json(&p.certificate)).collect::<Vec<_>>(),
        "chain_breaks_at": item.breaks_at(), "wrong": wrong.collect::<Vec<_>>(),
        "renewal": {"state": renewal.word().replace(' ', "-").replace(',', ""), "needed": renewal.is_needed(), "by": item.whose.renews(), "due": due},
    })
}
