//! `appliance`: its lamps, the evidence of one, what it lent.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Ctx, Done, Form, Need, output};
use crate::domain::access::{Object, Permission};
use crate::domain::appliance::lamp::{LAMPS, Lamp, Light, means, worst};
use crate::domain::appliance::{VMID, lease, vmid};
use crate::domain::clean::clean;
use crate::domain::guest::Vmid;
use crate::domain::world::World;
use crate::ops::probe::{Probed, joined, leases, probe};
use crate::problem::{Kind, Problem, WARNED};

/// `appliance`.
#[derive(Subcommand)]
pub(super) enum Appliance {
    /// All lamps of the appliance
    Status,
    /// The lamps with their evidence: what was asked, what came back
    Probe {
        /// Only this lamp
        name: Option<String>,
    },
    /// What it lent, and to whom
    Leases,
}

impl Appliance {
    /// What it takes: the same as looking at the host.
    pub(super) fn need(&self) -> Need {
        match self {
            // The appliance is nobody's own guest, and its leases name all of them.
            Appliance::Status | Appliance::Probe { .. } | Appliance::Leases => match vmid() {
                Some(id) => Need::Permission(Permission::Look, Object::Guest(id)),
                None => Need::Permission(Permission::Look, Object::Host),
            },
        }
    }
}

pub(super) async fn run(ctx: &Ctx, command: Appliance) -> Done {
    let id = vmid().ok_or_else(|| Problem::new(Kind::Failed, "appliance", format!("{VMID} is no id of a guest"), ""))?;
    if let Appliance::Probe { name: Some(name) } = &command
        && !LAMPS.iter().any(|(n, _)| n == name)
    {
        let names = LAMPS.map(|(n, _)| n).join(", ");
        return Err(Problem::new(
            Kind::NotFound,
            "appliance probe",
            format!("there is no lamp '{}'", clean(name)),
            format!("lamps: {names}"),
        ));
    }
    let mut world = ctx.whole_world().await;
    world.settings = ctx.settings();
    match command {
        Appliance::Leases => lent(ctx, &world, id).await,
        Appliance::Status => {
            let probed = probe(ctx.host.as_ref(), &world, id).await;
            status(ctx, &probed);
            ended(&probed.lamps)
        }
        Appliance::Probe { name } => {
            let mut probed = probe(ctx.host.as_ref(), &world, id).await;
            probed.lamps.retain(|l| name.as_ref().is_none_or(|n| l.name == n));
            evidence(ctx, &probed);
            ended(&probed.lamps)
        }
    }
}

/// All well is 0, with warnings 10; a failed lamp fails, an unknown one is unknown.
fn ended(lamps: &[Lamp]) -> Done {
    let of = |light| lamps.iter().filter(|l| l.light == light).map(|l| l.name).collect::<Vec<_>>().join(", ");
    let hint = "see proximity appliance probe NAME";
    match worst(lamps) {
        Light::Fail => Err(Problem::new(Kind::Failed, "appliance", format!("failed: {}", of(Light::Fail)), hint)),
        _ if lamps.iter().any(|l| l.light == Light::Unknown) => {
            Err(Problem::new(Kind::Unreachable, "appliance", format!("unknown: {}", of(Light::Unknown)), hint))
        }
        Light::Warn => Ok(WARNED),
        _ => Ok(0),
    }
}

fn as_json(lamp: &Lamp, whole: bool) -> Value {
    let mut out = json!({"name": lamp.name, "light": lamp.light, "says": lamp.says});
    if whole {
        let one = |e: &crate::domain::appliance::lamp::Evidence| json!({"asked": e.asked, "answer": e.answer, "as_of": e.at.rfc3339()});
        out["means"] = json!(means(lamp.name));
        out["evidence"] = lamp.evidence.iter().map(one).collect();
    }
    out
}

fn whole_json(ctx: &Ctx, probed: &Probed, with_evidence: bool) -> Value {
    let items: Vec<Value> = probed.lamps.iter().map(|l| as_json(l, with_evidence)).collect();
    let unknown = probed.lamps.iter().filter(|l| l.light == Light::Unknown);
    let unknown: Vec<Value> = unknown.map(|l| json!({"what": l.name, "why": l.says})).collect();
    let notes = probed.wish.as_ref().map_or(&[][..], |d| d.notes.as_slice());
    json!({"as_of": ctx.host.clock().0.rfc3339(), "appliance": VMID, "items": items, "notes": notes, "unknown": unknown})
}

fn status(ctx: &Ctx, probed: &Probed) {
    if ctx.form == Form::Json {
        return output::object(&whole_json(ctx, probed, false));
    }
    let rows: Vec<_> = probed.lamps.iter().map(|l| vec![l.light.word().to_uppercase(), l.name.to_owned(), l.says.clone()]).collect();
    output::table(ctx.form, &["", "LAMP", "HOW"], &rows);
    for note in probed.wish.iter().flat_map(|d| &d.notes) {
        eprintln!("note: {note}");
    }
}

fn evidence(ctx: &Ctx, probed: &Probed) {
    if ctx.form == Form::Json {
        return output::object(&whole_json(ctx, probed, true));
    }
    for lamp in &probed.lamps {
        output::say(&format!("{} {}: {}", lamp.light.word().to_uppercase(), lamp.name, lamp.says));
        output::say(&format!("  {}", means(lamp.name)));
        for e in &lamp.evidence {
            output::say(&format!("  {}  $ {}", e.at.rfc3339(), clean(&e.asked)));
            e.answer.lines().for_each(|l| output::say(&format!("    {}", clean(l))));
        }
    }
}

async fn lent(ctx: &Ctx, world: &World, id: Vmid) -> Done {
    let (leases, wish) = leases(ctx.host.as_ref(), world, id).await;
    let now = ctx.host.clock().0;
    let leases =
        leases.map_err(|why| Problem::new(Kind::Unreachable, "leases", format!("unknown: {why}"), "see proximity appliance status"))?;
    let (rows, pool) = joined(&leases, world, wish.as_ref().ok(), now);
    let odd = |r: &lease::Row| r.odd.iter().map(lease::Oddity::words).collect::<Vec<_>>();
    if ctx.form == Form::Json {
        let item = |r: &lease::Row| {
            json!({"address": r.lease.address, "mac": r.lease.mac.to_string(), "name": r.lease.name, "fixed": r.fixed,
                "guest": r.guest.as_ref().map(|(id, _)| id), "expires": r.lease.expires.map(|e| e.rfc3339()), "odd": odd(r)})
        };
        let items: Vec<Value> = rows.iter().map(item).collect();
        let pool = pool.map(|p| json!({"used": p.used, "size": p.size}));
        let unknown: Vec<Value> = world.guests.known.as_ref().err().map(|why| json!({"what": "guests", "why": why})).into_iter().collect();
        output::object(
            &json!({"as_of": now.rfc3339(), "items": items, "pool": pool, "v6": leases.v6, "odd_lines": leases.odd, "unknown": unknown}),
        );
    } else {
        let offset = ctx.host.clock().1;
        let row = |r: &lease::Row| {
            let until = r.lease.expires.map_or("never".into(), |e| e.minute(offset));
            let who = r.guest.as_ref().map_or("-".into(), |(_, title)| title.clone());
            let kind = if r.fixed { "static" } else { "dynamic" };
            let name = r.lease.name.as_deref().map_or("-".into(), clean);
            vec![r.lease.address.to_string(), name, who, kind.into(), until, r.lease.mac.to_string(), odd(r).join("; ")]
        };
        let rows: Vec<_> = rows.iter().map(row).collect();
        output::table(ctx.form, &["ADDRESS", "NAME", "GUEST", "LEASE", "UNTIL", "HARDWARE", "ODD"], &rows);
        if let (Some(p), Form::Table) = (pool, ctx.form) {
            output::say(&format!("{} of {} addresses used", p.used, p.size));
        }
        leases.odd.iter().for_each(|l| eprintln!("unknown: a line of {}: {l}", crate::domain::appliance::LEASES));
    }
    Ok(if rows.iter().any(|r| !r.odd.is_empty()) || !leases.odd.is_empty() { WARNED } else { 0 })
}
