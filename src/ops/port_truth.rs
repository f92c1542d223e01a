//! Looks how each pair of ports is: what is remembered, what lies and runs in the appliance, what listens, what answers. About
//! ten commands however many ports there are, all at once; the ports themselves are asked without any (`Host::knock`). Nothing is
//! changed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::place::unpacked;
use super::ports::sockets_and_caddy;
use super::probe::{self, Room};
use super::publish::way_out;
use super::visitor::net_of;
use crate::domain::appliance::answer::{Asked, Gave};
use crate::domain::appliance::files::{CADDYFILE, CURRENT, SITES};
use crate::domain::appliance::{CADDY_LOG, LEASES, lease};
use crate::domain::caddy;
use crate::domain::guest::Guest;
use crate::domain::ports::drift::{Answered, Appliance, Around, Files, Found, Served, judge};
use crate::domain::ports::traffic::{self, Log};
use crate::domain::ports::{Knock, Knocked, PortMap, Ranges, Sockets, Truth, answered_well, tell_last_well};
use crate::domain::publish::wanted;
use crate::domain::service::Carry;
use crate::domain::settings::{Settings, Value};
use crate::domain::stamp::Stamp;
use crate::domain::world::{From, Part, World};
use crate::host::{Host, HostError, last_lines};
use crate::store::Store;

/// Looks. The World must be fresh, with what is remembered: it tells guests, settings and what is published.
pub async fn look(host: &dyn Host, world: &World) -> Part<Truth> {
    let found = found(host, world).await;
    let now = host.clock().0;
    Part::new(judge(&found, now), now, From::Pct)
}

/// Remembers who answered well in a look, unless nothing may be written, and tells in its rows when the others last did.
pub fn remember(store: Result<&Store, String>, truth: &mut Part<Truth>, write: bool) {
    let at = truth.as_of;
    let Ok(truth) = &mut truth.known else { return };
    let wells = store.and_then(|store| {
        let noted = if write { store.note_wells(&answered_well(truth, at)) } else { Ok(()) };
        noted.and_then(|()| store.wells()).map_err(|e| e.to_string())
    });
    tell_last_well(truth, wells.as_deref().map_err(Clone::clone), at);
}

async fn found(host: &dyn Host, world: &World) -> Found {
    let map = match &world.ports.known {
        Ok(map) => Ok(map.clone()),
        // Without a store nothing was ever published.
        Err(_) if world.ports.is_pending() => Ok(PortMap::default()),
        Err(why) => Err(why.clone()),
    };
    let settings = world.chosen().map(|s| s.into_owned());
    let appliance = Appliance::of(world);
    let (sites, around) = match (&settings, &map) {
        (Ok(settings), Ok(map)) => (wanted(map, settings), around(settings)),
        (Err(why), _) => (Err(why.clone()), Err(why.clone())),
        (_, Err(why)) => (Err(why.clone()), settings.as_ref().map_err(Clone::clone).and_then(around)),
    };
    let interfaces = probe::host_interfaces(host).await;
    let wish = probe::wish(world, &interfaces).map_err(|why| why.join("; "));
    let mut out = Found {
        map,
        sites,
        around,
        appliance: appliance.clone(),
        files: Err(NOT.into()),
        adapted: Err(NOT.into()),
        running: Err(NOT.into()),
        sockets: Sockets::default(),
        leases: Err(NOT.into()),
        guests: guests(world),
        answered: Answered { outside: Err(NOT.into()), inside: Err(NOT.into()), strange: Err(NOT.into()), asker_trusted: true },
        traffic: Err(NOT.into()),
        pool: Err(NOT.into()),
    };
    let Appliance::Runs(vmid) = appliance else {
        out.sockets = super::ports::sockets(host, world).await;
        return out;
    };
    let room = Room::new(host, vmid);
    let within = |path: &str| path.trim_start_matches('/').to_owned();
    // With the dot at its end the link is followed; without it is told as the link that it is.
    let paths = [within(CADDYFILE), within(SITES), within(CURRENT), format!("{}/.", within(CURRENT)), within(LEASES)];
    let argv = ["tar", "-C", "/", "-cf", "-"].map(str::to_owned).into_iter().chain(paths);
    let adapt = ["caddy", "adapt", "--config", CADDYFILE, "--adapter", "caddyfile"];
    let (archive, adapted, (sockets, admin), (answered, from), log) =
        tokio::join!(room.inside(argv), room.inside(adapt), sockets_and_caddy(host, world), answered(host, &room, &out), log(&room));
    let own: Vec<IpAddr> = from.into_iter().collect();
    out.traffic = log.and_then(|log| traffic::count(&log, &visited(&out), &own, host.clock().0));
    let members = archive.answer.and_then(|gave| unpacked(&gave.out, &gave.err));
    let leases = members.as_ref().map_err(Clone::clone).map(|all| probe::lent(all));
    out.pool = leases.clone().and_then(|leases| Ok(lease::pool(&leases, wish.as_ref().map_err(Clone::clone)?)));
    out.leases = leases.map(|leases| probe::joined(&leases, world, wish.as_ref().ok(), host.clock().0).0);
    out.files = members.map(Files::of);
    out.adapted = adapted.answer.and_then(of_adapt);
    out.running = admin.map_or_else(|| Err(NOT.into()), of_admin);
    out.sockets = sockets;
    out.answered = answered;
    out
}

const NOT: &str = "it was not asked";

/// All guests, where it is certain that these are all and each of them was read.
fn guests(world: &World) -> Result<Vec<Guest>, String> {
    let guests = world.guests.known.clone()?;
    if world.guests.from == From::Kernel {
        return Err("only those that run are known".into());
    }
    match guests.iter().find(|g| !g.conf_read) {
        Some(guest) => Err(format!("the configuration of {} was not read", guest.id)),
        None => Ok(guests),
    }
}

fn around(settings: &Settings) -> Result<Around, String> {
    let (domain, trusted) = caddy::around(settings)?;
    let value = |name: &str| settings.value(&name.parse()?);
    let lan = match (value("network.subnet")?, value("network.gateway")?) {
        (Some(Value::Net(ipnet::IpNet::V4(net))), Some(Value::Address(IpAddr::V4(own)))) => Some((net, own)),
        _ => None,
    };
    Ok(Around { ranges: Ranges::of(settings)?, domain, trusted, lan })
}

fn of_adapt(gave: Gave) -> Result<Result<Served, String>, String> {
    match gave.status {
        0 => Served::parse(&gave.out).map(Ok).ok_or_else(|| "what it made of them cannot be read".to_owned()),
        1 => Ok(Err(last_lines(&gave.err))),
        status => Err(format!("the question failed with status {status}")),
    }
}

fn of_admin(admin: Asked<Gave>) -> Result<Served, String> {
    let gave = admin.answer?;
    if gave.status != 0 {
        return Err(format!("its administration does not answer: {}", last_lines(&gave.err)));
    }
    Served::parse(&gave.out).ok_or_else(|| "what its administration answers cannot be read".to_owned())
}

/// Ports that may be visited by HTTP, each since it is published as it is.
fn visited(found: &Found) -> BTreeMap<u16, Stamp> {
    let Ok(map) = &found.map else { return BTreeMap::new() };
    let http = map.services.iter().filter(|s| s.spec.carry == Carry::Http);
    http.filter_map(|s| Some((map.of(&s.name)?.pair, s.at))).flat_map(|(pair, at)| [(pair.public, at), (pair.internal, at)]).collect()
}

/// The end of Caddy's access log.
async fn log(room: &Room<'_>) -> Result<Log, String> {
    let (folder, _) = CADDY_LOG.rsplit_once('/').unwrap_or(("/", CADDY_LOG));
    let asked = room.inside(["tail", &format!("-c{}", traffic::MOST), CADDY_LOG]).await.answer?;
    if asked.status != 0 {
        return Err(format!("its log cannot be read: {}", last_lines(&asked.err)));
    }
    let bytes = asked.out;
    // Behind the log, so that one begun anew meanwhile is not taken for all there ever was.
    let beside = if bytes.len() < traffic::MOST { room.inside(["ls", "-1", folder]).await.answer.ok() } else { None };
    let old = |gave: &Gave| String::from_utf8_lossy(&gave.out).lines().any(|name| name.starts_with("access-"));
    Ok(Log { whole: beside.is_some_and(|gave| gave.status == 0 && !old(&gave)), bytes })
}

/// Asks every port of what is published: the public ones as somebody outside does, the internal ones inside, and these from
/// outside as well, where they are to be refused. With the address that those who are asked from outside see.
async fn answered(host: &dyn Host, room: &Room<'_>, found: &Found) -> (Answered, Option<IpAddr>) {
    let none =
        |why: String| (Answered { outside: Err(why.clone()), inside: Err(why.clone()), strange: Err(why), asker_trusted: true }, None);
    let Ok(map) = &found.map else { return none("what is published is unknown".into()) };
    let all: Vec<_> = map.services.iter().filter_map(|s| Some((map.of(&s.name)?.pair, s.spec.carry))).collect();
    if all.is_empty() {
        let nothing = || Ok(BTreeMap::new());
        return (Answered { outside: nothing(), inside: nothing(), strange: nothing(), asker_trusted: true }, None);
    }
    let pid = match room.init().await {
        Ok(pid) => *pid,
        Err(why) => return none(why.clone()),
    };
    let at = |address: Ipv4Addr, port: u16, http: bool| Knock { place: SocketAddr::new(address.into(), port), http };
    // Datagrams have no answer of their own.
    let public = |to| all.iter().filter(|(_, c)| *c != Carry::Udp).map(move |(p, c)| at(to, p.public, *c == Carry::Http)).collect();
    let internal = |to| all.iter().filter(|(_, c)| *c == Carry::Http).map(move |(p, _)| at(to, p.internal, true)).collect();
    let outside = async {
        let wan = way_out(host, &net_of(pid)).await?;
        let (public, strange) = tokio::join!(host.knock(None, public(wan)), host.knock(None, internal(wan)));
        Ok::<_, String>((told(public), told(strange)))
    };
    let (outside, inside) = tokio::join!(outside, host.knock(Some(pid), internal(Ipv4Addr::LOCALHOST)));
    let (public, strange) = match outside {
        Ok(both) => both,
        Err(why) => (Err(why.clone()), Err(why)),
    };
    // Where nothing is carried by HTTP nobody is asked as a stranger.
    let seen = |asked: &Result<Knocked, String>| asked.as_ref().ok().and_then(|k| k.from);
    let (from, own) = (seen(&strange), seen(&public).or(seen(&strange)));
    let trusts = |from: IpAddr| found.around.as_ref().map_or(true, |a| a.trusted.iter().any(|net| net.contains(&from)));
    let answers = |k: Result<Knocked, String>| k.map(|k| k.answers);
    let answered = Answered {
        outside: answers(public),
        inside: answers(told(inside)),
        strange: answers(strange),
        // Whose address is not known may be anybody's.
        asker_trusted: from.is_none_or(trusts),
    };
    (answered, own)
}

fn told(knocked: Result<Knocked, HostError>) -> Result<Knocked, String> {
    knocked.map_err(|e| e.to_string())
}
