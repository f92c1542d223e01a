//! `ports`: who has which pair, who had it, what listens there; to reserve one, give it back, pin or block it.

mod certificates;
mod drift;

use std::collections::BTreeSet;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::login::Open;
use super::ports_how::How;
use super::settings::{Check, open, store};
use super::{Ctx, Done, Form, Need, on_host, output};
use crate::domain::access::Permission;
use crate::domain::caddy;
use crate::domain::clean::clean;
use crate::domain::fact::Wish;
use crate::domain::ports::{
    Decided, Held, Listener, Nearer, Of, Pair, Past, PortMap, PortWish, Ranges, Reason, ServiceName, Sockets, State, Usage, What,
};
use crate::domain::publish::PublishWish;
use crate::domain::service::{Service, Spec, Upstream};
use crate::domain::settings::Settings;
use crate::domain::stamp::Stamp;
use crate::domain::when::{self, Here};
use crate::domain::world::Gap;
use crate::ops::ports::{addresses, keep, sockets};
use crate::problem::{Kind, Problem, WARNED};
use crate::store::{Store, Unlocked, Wished};

/// Times of the past of a port that are shown.
const PAST: u32 = 200;

/// `ports`.
#[derive(Subcommand)]
pub(super) enum Ports {
    /// All pairs that are not free, and how full the ranges are
    List {
        #[command(flatten)]
        check: Check,
    },
    /// How each pair is, each difference from what was promised, and what mends it
    Drift {
        #[command(flatten)]
        check: Check,
    },
    /// All certificates of the node, of the appliance and of what is published: how long, by whom renewed, whether key and chain fit
    Certificates {
        #[command(flatten)]
        check: Check,
    },
    /// Who has a port, who had it, what listens there
    Who {
        /// One of both numbers of a pair
        #[arg(value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
        /// Only who had it then or later: 2026-06-01, 3d, yesterday
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only who had it then or before
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        #[command(flatten)]
        check: Check,
    },
    /// Publish an app, or change how it is: its site is written, tried, loaded and asked; or all is put back
    Publish {
        /// The name of what is published
        #[arg(value_name = "NAME")]
        service: ServiceName,
        #[command(flatten)]
        how: Box<How>,
        /// Also where nothing answers behind it yet
        #[arg(long)]
        unanswered: bool,
        #[command(flatten)]
        open: Open,
    },
    /// Publish something no more, and give its ports back
    Unpublish {
        /// The name of what is published
        #[arg(value_name = "NAME")]
        service: ServiceName,
        #[command(flatten)]
        open: Open,
    },
    /// Bring everything that is published in force as it was promised
    Converge,
    /// Reserve a pair for a name: the one kept for it, the one it had just now, else the lowest that is free
    Reserve {
        /// The name of what is published
        #[arg(value_name = "NAME")]
        service: ServiceName,
        #[command(flatten)]
        open: Open,
    },
    /// Print the site of a name that has ports, as Caddy of the appliance takes it. Nothing is put anywhere
    Site {
        /// The name
        #[arg(value_name = "NAME")]
        service: ServiceName,
        /// What answers: HOST:PORT, http://HOST:PORT or https://HOST:PORT; a host without a dot is an app
        #[arg(long, value_name = "UPSTREAM")]
        to: Upstream,
        #[command(flatten)]
        check: Check,
    },
    /// Give back what a name has; nobody else gets it before the cool-down is over
    Release {
        /// The name, or one of both numbers
        what: Of,
        /// Without a cool-down, or end the one that goes on
        #[arg(long)]
        at_once: bool,
        #[command(flatten)]
        open: Open,
    },
    /// Keep a pair for a name, whether it has it or not
    Pin {
        /// The name
        #[arg(value_name = "NAME")]
        service: ServiceName,
        /// One of both numbers; the pair it has where none is given
        #[arg(value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
        #[command(flatten)]
        open: Open,
    },
    /// Do not keep it any more; what a name has it still has
    Unpin {
        /// The name, or one of both numbers
        what: Of,
        #[command(flatten)]
        open: Open,
    },
    /// Let nobody have a pair
    Block {
        /// One of both numbers
        #[arg(value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
        /// Why: one line for whoever finds it blocked
        #[arg(long)]
        reason: Reason,
        #[command(flatten)]
        open: Open,
    },
    /// Give a blocked pair out again
    Unblock {
        /// One of both numbers
        #[arg(value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
        #[command(flatten)]
        open: Open,
    },
}

impl Ports {
    /// What it takes. Ports name what belongs to all guests, like the leases of the appliance.
    pub(super) fn needs(&self) -> Vec<Need> {
        match self {
            Ports::List { check }
            | Ports::Drift { check }
            | Ports::Certificates { check }
            | Ports::Who { check, .. }
            | Ports::Site { check, .. } => {
                let look = on_host(Permission::LookAppliance);
                if check.is_given() { vec![look, Need::Login] } else { vec![look] }
            }
            // Nothing is remembered by it.
            Ports::Converge => vec![on_host(Permission::Ports)],
            _ => vec![on_host(Permission::Ports), Need::Login],
        }
    }
}

pub(super) async fn run(ctx: &Ctx, command: Ports) -> Done {
    let (wish, open) = match command {
        Ports::List { check } => return list(ctx, &check).await,
        Ports::Drift { check } => return drift::drift(ctx, &check).await,
        Ports::Certificates { check } => return certificates::certificates(ctx, &check).await,
        Ports::Who { port, since, until, check } => return who(ctx, port, (since, until), &check).await,
        Ports::Site { service, to, check } => return site(ctx, &service, to, &check),
        Ports::Publish { service, how, unanswered, open } => return publish_as(ctx, service, *how, unanswered, &open).await,
        Ports::Unpublish { service, open } => return publish(ctx, PublishWish::Unpublish(service), &open).await,
        Ports::Converge => return ctx.fulfil(Wish::Publish(PublishWish::Converge)).await,
        Ports::Reserve { service, open } => (PortWish::Reserve(service), open),
        Ports::Release { what, at_once, open } => (PortWish::Release(what, at_once), open),
        Ports::Pin { service, port, open } => (PortWish::Pin(service, port), open),
        Ports::Unpin { what, open } => (PortWish::Unpin(what), open),
        Ports::Block { port, reason, open } => (PortWish::Block(port, reason), open),
        Ports::Unblock { port, open } => (PortWish::Unblock(port), open),
    };
    change(ctx, &wish, &open).await
}

/// What is remembered.
struct Read {
    map: PortMap,
    ranges: Ranges,
    settings: Settings,
    /// Of one port.
    past: Vec<Past>,
}

/// Reads it, with tags checked where that was asked for.
fn read(ctx: &Ctx, store: &Store, check: &Check, port: Option<u16>) -> Result<Read, Problem> {
    let vault = if check.is_given() { Some(open(ctx, store, check.open(), Permission::Look)?.vault) } else { None };
    let mut map = store.ports(vault.as_ref(), ctx.host.clock().0)?;
    let settings = store.settings(vault.as_ref())?;
    let ranges = Ranges::of(&settings).map_err(|why| Problem::new(Kind::Failed, "the ports", why, "see proximity settings list ports"))?;
    let mut past = Vec::new();
    if let Some(port) = port {
        (past, map.bad_past) = store.port_past(vault.as_ref(), port, PAST)?;
    }
    if !map.checked && ctx.form != Form::Json && !ctx.host.is_demo() {
        eprintln!("not checked against changes from outside: that takes the vault, see --check");
    }
    Ok(Read { map, ranges, settings, past })
}

/// What could not be told, of what listens and of what is remembered.
fn gaps(map: &PortMap, sockets: &Sockets) -> Vec<Gap> {
    let gap = |why: &String| Gap { what: "ports".into(), why: why.clone() };
    let bad = map.bad.iter().map(|b| gap(&b.why)).chain(map.bad_past.iter().map(gap));
    sockets.gaps.iter().cloned().chain(bad).collect()
}

fn tell_gaps(gaps: &[Gap]) {
    gaps.iter().for_each(|g| eprintln!("unknown: {}: {}", clean(&g.what), clean(&g.why)));
}

fn gaps_json(gaps: &[Gap]) -> Vec<Json> {
    gaps.iter().map(|g| json!({"what": g.what, "why": g.why})).collect()
}

/// What listens on either number of a pair, in words for a table.
fn listeners(sockets: &Sockets, pair: Pair) -> Vec<&'static str> {
    let all: BTreeSet<Listener> = sockets.of(pair.public).chain(sockets.of(pair.internal)).collect();
    all.into_iter().map(Listener::word).collect()
}

fn shown(words: &[&str]) -> String {
    if words.is_empty() { "-".to_owned() } else { words.join(" ") }
}

fn held_json(held: &Held) -> Json {
    json!({"public": held.pair.public, "internal": held.pair.internal, "state": held.what.word(),
        "name": held.what.name().map(ToString::to_string), "reason": held.what.reason().map(ToString::to_string),
        "since": held.at.rfc3339(), "by": held.by})
}

fn past_json(past: &Past) -> Json {
    let mut out = held_json(&past.was);
    out["until"] = json!(past.until.rfc3339());
    out["ended_by"] = json!(past.by);
    out["free"] = json!(past.free.rfc3339());
    out
}

/// For whom, or why nobody.
fn whom(held: &Held) -> String {
    held.what.name().map(ToString::to_string).or_else(|| held.what.reason().map(ToString::to_string)).unwrap_or_default()
}

async fn list(ctx: &Ctx, check: &Check) -> Done {
    let store = store(ctx)?;
    let Read { map, ranges, .. } = read(ctx, &store, check, None)?;
    let mut world = ctx.whole_world().await;
    ctx.remembered(&mut world);
    let (sockets, pool) = tokio::join!(sockets(ctx.host.as_ref(), &world), addresses(ctx.host.as_ref(), &world));
    let (now, offset) = ctx.host.clock();
    let usage = Usage::count(&map, ranges, &sockets, now);
    let nearer = Nearer::of(&usage, pool.clone());
    let cooling: Vec<&Past> = map.cooling.iter().filter(|p| map.at(p.was.pair.public).is_none()).collect();
    let foreign: Vec<Pair> = ranges.pairs().filter(|pair| State::of(*pair, &map, &sockets, now) == State::Foreign).collect();
    let gaps = gaps(&map, &sockets);
    if ctx.form == Form::Json {
        let with = |mut item: Json, pair: Pair| {
            item["listens"] = json!(listeners(&sockets, pair));
            item["in_ranges"] = json!(ranges.has(pair));
            item
        };
        let held = map.held.iter().map(|h| with(held_json(h), h.pair));
        let cooling = cooling.iter().map(|p| {
            let mut item = with(past_json(p), p.was.pair);
            item["state"] = json!("cooling");
            item
        });
        let foreign = foreign.iter().map(|p| with(json!({"public": p.public, "internal": p.internal, "state": "foreign"}), *p));
        let items: Vec<Json> = held.chain(cooling).chain(foreign).collect();
        let (nearer, left) = match &nearer {
            Nearer::Ports(left) => ("ports", Some(*left)),
            Nearer::Addresses(left) => ("addresses", Some(*left)),
            Nearer::Quota(left) => ("quota", Some(*left)),
            Nearer::Unknown(_) => ("unknown", None),
        };
        let mut unknown = gaps_json(&gaps);
        unknown.extend(pool.as_ref().err().map(|why| json!({"what": "addresses", "why": why})));
        output::object(&json!({
            "as_of": now.rfc3339(), "checked": map.checked, "items": items, "unknown": unknown,
            "ranges": {"public": ranges.public(), "internal": ranges.internal()},
            "pairs": {"size": usage.size, "held": usage.held, "blocked": usage.blocked, "cooling": usage.cooling,
                "foreign": usage.foreign, "free": usage.free, "quota_left": usage.quota},
            "addresses": pool.as_ref().ok().map(|p| json!({"used": p.used, "size": p.size})),
            "nearer_limit": {"is": nearer, "left": left},
        }));
    } else {
        let row = |pair: Pair, state: &str, whom: String, when: String, by: &str| {
            let note = if ranges.has(pair) { "" } else { "outside the ranges" };
            let listens = shown(&listeners(&sockets, pair));
            vec![pair.public.to_string(), pair.internal.to_string(), state.into(), whom, when, clean(by), listens, note.into()]
        };
        let held = map.held.iter().map(|h| row(h.pair, h.what.word(), whom(h), h.at.minute(offset), &h.by));
        let cooling = cooling.iter().map(|p| {
            let was = format!("was {}", whom(&p.was));
            row(p.was.pair, "cooling", was, format!("until {}", p.free.minute(offset)), &p.by)
        });
        let foreign = foreign.iter().map(|p| row(*p, "foreign", "-".into(), "-".into(), "-"));
        let mut rows: Vec<_> = held.chain(cooling).chain(foreign).collect();
        rows.sort_by_key(|r| r[0].parse::<u16>().unwrap_or(u16::MAX));
        output::table(ctx.form, &["PUBLIC", "INTERNAL", "STATE", "FOR", "SINCE", "BY", "LISTENS", ""], &rows);
        if ctx.form == Form::Table {
            output::say(&format!("{ranges}: {}", usage.words()));
            output::say(&nearer.words());
        }
        tell_gaps(&gaps);
    }
    bad_or(&map, if gaps.is_empty() && pool.is_ok() { 0 } else { WARNED })
}

/// Fails where a row cannot be relied on, after all was printed.
fn bad_or(map: &PortMap, status: u8) -> Done {
    match map.bad.first() {
        None => Ok(status),
        Some(bad) => Err(Problem::new(Kind::Failed, "the ports", bad.why.clone(), "find out who wrote there")),
    }
}

async fn who(ctx: &Ctx, port: u16, times: (Option<String>, Option<String>), check: &Check) -> Done {
    let (now, offset_s) = ctx.host.clock();
    let time = |text: Option<String>| {
        let read = text.map(|t| when::parse(&t, Here { now, offset_s })).transpose();
        read.map_err(|why| Problem::new(Kind::Usage, "the time", why, "such as --since 2026-06-01 --until 2026-07-01"))
    };
    let (since, until) = (time(times.0)?, time(times.1)?);
    let within = |from: Stamp, to: Stamp| since.is_none_or(|s| to >= s) && until.is_none_or(|u| from <= u);
    let store = store(ctx)?;
    let Read { map, ranges, mut past, .. } = read(ctx, &store, check, Some(port))?;
    past.retain(|p| within(p.was.at, p.until));
    let held = map.at(port).filter(|h| within(h.at, now));
    let world = ctx.whole_world().await;
    let sockets = sockets(ctx.host.as_ref(), &world).await;
    let gaps = gaps(&map, &sockets);
    let listens: Vec<Listener> = sockets.of(port).collect();
    let pair = map.at(port).map(|h| h.pair).or_else(|| ranges.pair_of(port));
    let (state, says) = match (map.at(port), map.cooling_at(port, now), ranges.pair_of(port)) {
        (Some(held), ..) => (held.what.word(), held.what.to_string()),
        (None, Some(past), _) => ("cooling", format!("free for others at {}", past.free.minute(offset_s))),
        (None, None, None) => ("outside", format!("in none of the ranges {ranges}")),
        (None, None, Some(_)) if !listens.is_empty() => ("foreign", "not reserved here".into()),
        (None, None, Some(_)) => ("free", "free".into()),
    };
    if ctx.form == Form::Json {
        let words: Vec<&str> = listens.iter().map(|l| l.word()).collect();
        output::object(&json!({
            "as_of": now.rfc3339(), "checked": map.checked, "port": port, "state": state, "listens": words,
            "pair": pair.map(|p| json!({"public": p.public, "internal": p.internal})),
            "now": held.map(held_json), "past": past.iter().map(past_json).collect::<Vec<_>>(), "unknown": gaps_json(&gaps),
        }));
    } else {
        let pair = pair.map_or(String::new(), |p| format!(" ({p})"));
        if ctx.form == Form::Table {
            output::say(&format!("{port}{pair}: {says}"));
            listens.iter().for_each(|l| output::say(&format!("{} has {port} now", l.words())));
        }
        let row =
            |h: &Held, until: String, by: &str| vec![h.at.minute(offset_s), until, h.what.word().into(), whom(h), clean(&h.by), clean(by)];
        let rows = held.map(|h| row(h, "now".into(), "-"));
        let rows: Vec<_> = rows.into_iter().chain(past.iter().map(|p| row(&p.was, p.until.minute(offset_s), &p.by))).collect();
        if !rows.is_empty() {
            output::table(ctx.form, &["FROM", "UNTIL", "STATE", "FOR", "BY", "ENDED BY"], &rows);
        } else if ctx.form == Form::Table {
            output::say(if since.or(until).is_some() { "nobody had it then" } else { "nobody ever had it" });
        }
        tell_gaps(&gaps);
    }
    bad_or(&map, if gaps.is_empty() { 0 } else { WARNED })
}

fn site(ctx: &Ctx, name: &ServiceName, to: Upstream, check: &Check) -> Done {
    let no = |kind, why: String, hint: &str| Problem::new(kind, format!("the site of {name}"), why, hint);
    let store = store(ctx)?;
    let Read { map, settings, .. } = read(ctx, &store, check, None)?;
    bad_or(&map, 0)?;
    let held = map.of(name).filter(|h| !matches!(h.what, What::Kept(_)));
    let hint = "proximity ports reserve NAME";
    let pair = held.ok_or_else(|| no(Kind::NotFound, "it has no ports".into(), hint))?.pair;
    let unfit = |why: String| no(Kind::Failed, why, "see proximity settings list");
    let (domain, trusted) = caddy::around(&settings).map_err(unfit)?;
    let service = Service { name: name.clone(), pair, spec: Spec::to(to.within(&domain)) };
    let (path, text) = (caddy::path(&service), caddy::site(&service, &trusted));
    if ctx.form == Form::Json {
        output::object(&json!({"path": path, "text": text, "public": pair.public, "internal": pair.internal,
            "to": service.spec.to.to_string(), "trusted": trusted.iter().map(ToString::to_string).collect::<Vec<_>>()}));
    } else {
        output::say(text.trim_end());
    }
    Ok(0)
}

/// What was said of it before is not lost by saying nothing. A token is shown when it is in force, or may be.
async fn publish_as(ctx: &Ctx, name: ServiceName, how: How, unanswered: bool, open: &Open) -> Done {
    let store = store(ctx)?;
    let now = ctx.host.clock().0;
    let mut map = store.ports(None, now)?;
    if how.goes_on_from() && map.service(&name).is_some() {
        // What is taken over into a new row is compared with its tag before.
        let Unlocked { vault, .. } = super::settings::open(ctx, &store, open, Permission::Ports)?;
        map = store.ports(Some(&vault), now)?;
    }
    let settings = store.settings(None)?;
    let unfit = |why: String| Problem::new(Kind::Failed, format!("publish {name}"), why, "see proximity settings list");
    let (domain, _) = caddy::around(&settings).map_err(unfit)?;
    let (spec, token) = how.spec(map.service(&name).map(|s| &s.spec), &domain, now)?;
    spec.marks().iter().for_each(|mark| eprintln!("{name}: {mark}"));
    let done = publish(ctx, PublishWish::Publish { name: name.clone(), spec: Box::new(spec), unanswered }, open).await;
    if let (Some(token), false, Ok(_)) = (token, ctx.dry_run, &done) {
        token.show(&name);
    }
    done
}

async fn publish(ctx: &Ctx, wish: PublishWish, open: &Open) -> Done {
    ctx.fulfil_with(Wish::Publish(wish), open).await
}

async fn change(ctx: &Ctx, wish: &PortWish, how: &Open) -> Done {
    let store = store(ctx)?;
    let world = ctx.whole_world().await;
    let sockets = sockets(ctx.host.as_ref(), &world).await;
    if ctx.dry_run {
        let by = &ctx.who()?.name;
        let decided = store.preview_port(&Wished { wish, sockets: &sockets, by, now: ctx.host.clock().0 })?;
        return told(ctx, wish, &decided, &sockets);
    }
    if ctx.read_only {
        return Err(Problem::new(Kind::ReadOnly, "the ports", "--read-only refuses everything that changes something", ""));
    }
    if ctx.host.is_demo() && ctx.form != Form::Json {
        eprintln!("the demo keeps nothing: this change ends with the command");
    }
    let Unlocked { vault, who } = open(ctx, &store, how, Permission::Ports)?;
    let decided = keep(&ctx.audit(), &store, &vault, &who, ctx.host.clock().0, wish, &sockets)?;
    told(ctx, wish, &decided, &sockets)
}

/// What came of a wish, or would come of it; with warnings where not all that may listen was asked and a port is given out.
fn told(ctx: &Ctx, wish: &PortWish, decided: &Decided, sockets: &Sockets) -> Done {
    let after = decided.change.as_ref().and_then(|c| c.after.as_ref());
    let free = decided.change.as_ref().and_then(|c| c.past.as_ref()).map(|p| p.free);
    let gaps = if matches!(wish, PortWish::Reserve(_)) { sockets.gaps.as_slice() } else { &[] };
    let Pair { public, internal } = decided.pair;
    if ctx.form == Form::Json {
        output::object(&json!({
            "public": public, "internal": internal, "changed": decided.change.is_some(), "dry_run": ctx.dry_run,
            "now": after.map(held_json), "free": free.filter(|_| after.is_none()).map(|f| f.rfc3339()),
            "listens": listeners(sockets, decided.pair), "unknown": gaps_json(gaps),
        }));
    } else if ctx.form == Form::Plain {
        output::say(&format!("{public}\t{internal}"));
        tell_gaps(gaps);
    } else {
        let offset = ctx.host.clock().1;
        let now = ctx.host.clock().0;
        let would = if ctx.dry_run && decided.change.is_some() { "would be " } else { "" };
        output::say(&format!("{}: {would}{}", decided.pair, decided.says(now, offset)));
        let listens = listeners(sockets, decided.pair);
        if !listens.is_empty() {
            output::say(&format!("  listens there now: {}", listens.join(", ")));
        }
        tell_gaps(gaps);
    }
    Ok(if gaps.is_empty() { 0 } else { WARNED })
}
