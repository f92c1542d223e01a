//! `appliance`: its lamps, the evidence of one, what it lent; to build it, mend it, restart a service of it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use clap::{Subcommand, ValueEnum};
use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::login::Open;
use super::{Ctx, Done, Form, Need, output};
use crate::domain::access::{Object, Permission};
use crate::domain::appliance::fallback::Side;
use crate::domain::appliance::hold::{Holder, LeaseWish, Pin};
use crate::domain::appliance::lamp::{LAMPS, Lamp, Light, means, worst};
use crate::domain::appliance::lease;
use crate::domain::appliance::lease::Forecast;
use crate::domain::appliance::provision::{ApplianceWish, CONFIRM_S, Options};
use crate::domain::appliance::system::Service;
use crate::domain::clean::clean;
use crate::domain::fact::Wish;
use crate::domain::guest::Vmid;
use crate::domain::storage::StorageId;
use crate::domain::world::World;
use crate::jobs::Jobs;
use crate::ops::probe::{Probed, joined, leases, probe};
use crate::problem::{Kind, Problem, WARNED};

mod list;

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
    /// All appliances there are: when each was seen, what it uses, which configuration is in effect
    List,
    /// Build it: bridge, container, services, rules. Asked for again it goes on where it was broken off
    Provision {
        #[command(flatten)]
        how: How,
        /// Seconds in which a change of the host's network must be confirmed
        #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(i64::from(CONFIRM_S.0)..=i64::from(CONFIRM_S.1)))]
        confirm_within: u32,
    },
    /// Make a new one beside it that takes its place; apps notice a pause of seconds. The old one stays, stopped
    Rebuild {
        #[command(flatten)]
        how: How,
    },
    /// Bring it back to how the settings want it, after a look at what differs
    Converge,
    /// Restart a service of it, if it would take its configuration
    Restart {
        /// Which
        service: Restartable,
    },
    /// Your line still holds after a change of the host's network: keep the change
    Confirm,
    /// Move all apps to the bridge that leads out, where nothing isolates them; --name BRIDGE says that you know
    Fallback,
    /// Move the apps back behind the appliance
    Isolate,
    /// Make a lease static: whoever has it always gets the same address
    Pin {
        /// Whose: an address that is lent, the id of a guest, or a hardware address
        who: Holder,
        /// Another address than the one it has now
        address: Option<Ipv4Addr>,
        #[command(flatten)]
        open: Open,
    },
    /// Let a lease be dynamic again
    Unpin {
        /// Whose: an address, the id of a guest, or a hardware address
        who: Holder,
        #[command(flatten)]
        open: Open,
    },
    /// Take a lease back whose guest is gone
    Release {
        /// Whose: an address that is lent, or a hardware address
        who: Holder,
    },
}

/// How it is to be built.
#[derive(clap::Args)]
pub(super) struct How {
    /// Its id, where the usual one is somebody else's
    #[arg(long)]
    id: Option<Vmid>,
    /// Storage of its root disk
    #[arg(long)]
    storage: Option<StorageId>,
    /// Volume of its template, such as local:vztmpl/alpine-3.23-default_20260116_amd64.tar.xz
    #[arg(long, value_name = "VOLID")]
    template: Option<String>,
    /// Fetch the newest Alpine template where none is there
    #[arg(long)]
    download: bool,
    /// Its own address on the way out, with prefix; by DHCP where it is not given
    #[arg(long, value_name = "CIDR", requires = "gateway")]
    address: Option<Ipv4Net>,
    /// The gateway that belongs to it
    #[arg(long, value_name = "ADDRESS", requires = "address")]
    gateway: Option<Ipv4Addr>,
}

impl How {
    fn options(self, confirm_s: u32) -> Options {
        let How { id, storage, template, download, address, gateway } = self;
        Options { vmid: id, storage, template, download, address: address.zip(gateway), confirm_s }
    }
}

/// A service that may be restarted by name.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Restartable {
    /// Addresses and names
    Dnsmasq,
    /// The way in to apps
    Caddy,
}

impl Appliance {
    /// What it takes: the same as looking at the host.
    pub(super) fn needs(&self) -> Vec<Need> {
        let change = Need::Permission(Permission::Appliance, Object::Host);
        match self {
            Appliance::Status | Appliance::Probe { .. } | Appliance::Leases | Appliance::List => {
                vec![Need::Permission(Permission::LookAppliance, Object::Host)]
            }
            // What is remembered is signed.
            Appliance::Pin { .. } | Appliance::Unpin { .. } => vec![change, Need::Login],
            _ => vec![change],
        }
    }
}

pub(super) async fn run(ctx: &Ctx, command: Appliance) -> Done {
    let asked = |wish| ctx.fulfil(Wish::Appliance(wish));
    match command {
        Appliance::Provision { how, confirm_within } => return asked(ApplianceWish::Provision(how.options(confirm_within))).await,
        Appliance::Rebuild { how } => return asked(ApplianceWish::Rebuild(how.options(Options::default().confirm_s))).await,
        Appliance::Converge => return asked(ApplianceWish::Converge).await,
        Appliance::Restart { service: Restartable::Dnsmasq } => return asked(ApplianceWish::Restart(Service::Dnsmasq)).await,
        Appliance::Restart { service: Restartable::Caddy } => return asked(ApplianceWish::Restart(Service::Caddy)).await,
        Appliance::Confirm => return ctx.fulfil(Wish::KeepChange).await,
        Appliance::Fallback => return ctx.fulfil(Wish::Move(Side::Out)).await,
        Appliance::Isolate => return ctx.fulfil(Wish::Move(Side::Back)).await,
        Appliance::Pin { who, address, open } => return held(ctx, LeaseWish::Pin(who, address), &open).await,
        Appliance::Unpin { who, open } => return held(ctx, LeaseWish::Unpin(who), &open).await,
        Appliance::Release { who } => return asked(ApplianceWish::Lease(LeaseWish::Release(who))).await,
        Appliance::Status | Appliance::Probe { .. } | Appliance::Leases | Appliance::List => {}
    }
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
    ctx.remembered(&mut world);
    match command {
        Appliance::Leases => lent(ctx, &world).await,
        Appliance::List => list::list(ctx, &world).await,
        Appliance::Status => {
            let probed = probe(ctx.host.as_ref(), &world, ctx.read_only).await;
            status(ctx, &probed);
            ended(&probed.lamps)
        }
        Appliance::Probe { name } => {
            let mut probed = probe(ctx.host.as_ref(), &world, ctx.read_only).await;
            probed.lamps.retain(|l| name.as_ref().is_none_or(|n| l.name == n));
            evidence(ctx, &probed);
            ended(&probed.lamps)
        }
        _ => Ok(0),
    }
}

/// Days until the range is full; nothing where that is not known or not to be expected.
fn full_in(forecast: &Forecast) -> Option<u32> {
    match forecast {
        Forecast::Full => Some(0),
        Forecast::In(days) => Some(*days),
        Forecast::Steady | Forecast::Unknown(_) => None,
    }
}

async fn held(ctx: &Ctx, wish: LeaseWish, open: &Open) -> Done {
    ctx.fulfil_with(Wish::Appliance(ApplianceWish::Lease(wish)), open).await
}

/// The word that a line still holds, for whoever waits for a job that asks for it. A terminal is asked where its cursor is:
/// the answer came through the whole line. Without a terminal `--yes` was the word.
pub(super) async fn confirm_if_the_line_holds(ctx: &Ctx, jobs: &Arc<Jobs>) -> Result<(), Problem> {
    if output::at_terminal() {
        let answered = tokio::task::spawn_blocking(|| crossterm::cursor::position().is_ok()).await;
        if !matches!(answered, Ok(true)) {
            output::murmur("the terminal does not answer; say that your line holds with: proximity appliance confirm");
            return Ok(());
        }
    }
    ctx.fulfil_beside(jobs, &Wish::KeepChange).await
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
    json!({"as_of": ctx.host.clock().0.rfc3339(), "appliance": probed.vmid, "items": items, "notes": notes, "unknown": unknown})
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

async fn lent(ctx: &Ctx, world: &World) -> Done {
    let (leases, wish) = leases(ctx.host.as_ref(), world).await;
    let now = ctx.host.clock().0;
    let leases =
        leases.map_err(|why| Problem::new(Kind::Unreachable, "leases", format!("unknown: {why}"), "see proximity appliance status"))?;
    let (rows, pool) = joined(&leases, world, wish.as_ref().ok(), now);
    let forecast = pool.map_or(Forecast::Steady, |pool| ctx.forecast(pool, now));
    let pins = world.pins.get().map_or(&[][..], |p| p.all.as_slice());
    let lent = |pin: &Pin| leases.all.iter().any(|l| l.mac == pin.mac && l.address == pin.address);
    let odd = |r: &lease::Row| r.odd.iter().map(lease::Oddity::words).collect::<Vec<_>>();
    if ctx.form == Form::Json {
        let item = |r: &lease::Row| {
            json!({"address": r.lease.address, "mac": r.lease.mac.to_string(), "name": r.lease.name, "fixed": r.fixed,
                "guest": r.guest.as_ref().map(|(id, _)| id), "expires": r.lease.expires.map(|e| e.rfc3339()), "odd": odd(r)})
        };
        let pin = |p: &Pin| json!({"mac": p.mac.to_string(), "address": p.address, "by": p.by, "at": p.at.rfc3339(), "lent": lent(p)});
        let pins: Vec<Value> = pins.iter().map(pin).collect();
        let items: Vec<Value> = rows.iter().map(item).collect();
        let pool = pool.map(|p| json!({"used": p.used, "size": p.size, "full_in_days": full_in(&forecast), "forecast": forecast.words()}));
        let bad = world.pins.get().into_iter().flat_map(|p| &p.bad).map(|(_, why)| json!({"what": "pins", "why": why}));
        let unknown: Vec<Value> =
            world.guests.known.as_ref().err().map(|why| json!({"what": "guests", "why": why})).into_iter().chain(bad).collect();
        output::object(
            &json!({"as_of": now.rfc3339(), "items": items, "pins": pins, "pool": pool, "v6": leases.v6, "odd_lines": leases.odd, "unknown": unknown}),
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
            output::say(&format!("{} of {} addresses used, {}", p.used, p.size, forecast.words()));
        }
        if ctx.form == Form::Table {
            let kept = pins.iter().filter(|p| !lent(p));
            kept.for_each(|p| output::say(&format!("{} is kept for {}, who has no lease of it now", p.address, p.mac)));
        }
        leases.odd.iter().for_each(|l| eprintln!("unknown: a line of {}: {l}", crate::domain::appliance::LEASES));
    }
    Ok(if rows.iter().any(|r| !r.odd.is_empty()) || !leases.odd.is_empty() { WARNED } else { 0 })
}
