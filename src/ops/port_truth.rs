//! Looks how each pair of ports is: what is remembered, what lies and runs in the appliance, what listens, what answers. About
//! ten commands however many ports there are, all at once; the ports themselves are asked without any (`Host::knock`). Nothing is
//! changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::certificates;
use super::place::unpacked;
use super::ports::sockets_and_caddy;
use super::probe::{self, Room};
use super::publish::way_out;
use super::visitor::net_of;
use crate::domain::appliance::answer::{Asked, Gave};
use crate::domain::appliance::files::{CADDYFILE, CURRENT, SITES};
use crate::domain::appliance::{CADDY_LOG, LEASES, lease};
use crate::domain::caddy;
use crate::domain::certificate::{self, Thresholds};
use crate::domain::guest::Guest;
use crate::domain::ports::drift::{Answered, Appliance, Around, Files, Found, Served, judge};
use crate::domain::ports::traffic::{self, Log};
use crate::domain::ports::{Answer, Chain, How, Knock, Knocked, Pair, PortMap, Ranges, Sockets, Truth, answered_well, tell_last_well};
use crate::domain::publish::wanted;
use crate::domain::service::{Carry, Spec, Tls};
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
        answered: Answered::not(NOT.into()),
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
    Ok(Around { ranges: Ranges::of(settings)?, domain, trusted, lan, thresholds: Thresholds::of(settings)? })
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
    let none = |why: String| (Answered::not(why), None);
    let Ok(map) = &found.map else { return none("what is published is unknown".into()) };
    let all: Vec<(Pair, &Spec)> = map.services.iter().filter_map(|s| Some((map.of(&s.name)?.pair, &s.spec))).collect();
    if all.is_empty() {
        let nothing = || Ok(BTreeMap::new());
        return (Answered { outside: nothing(), inside: nothing(), strange: nothing(), ..Answered::not(String::new()) }, None);
    }
    let pid = match room.init().await {
        Ok(pid) => *pid,
        Err(why) => return none(why.clone()),
    };
    let lies = of_authorities(room, &all).await;
    let now = host.clock().0;
    let asked: Vec<(Pair, Carry, Result<How, String>)> =
        all.iter().map(|(pair, spec)| (*pair, spec.carry, how(*pair, spec, &lies, now))).collect();
    let at = |address: Ipv4Addr, port: u16, how: &How| Knock { place: SocketAddr::new(address.into(), port), how: how.clone() };
    // Datagrams have no answer of their own.
    let taken = asked.iter().filter(|(_, carry, _)| *carry != Carry::Udp);
    let public = |to| taken.clone().filter_map(|(p, _, h)| Some(at(to, p.public, h.as_ref().ok()?))).collect();
    let http = || asked.iter().filter(|(_, carry, _)| *carry == Carry::Http);
    let internal = |to| http().filter_map(|(p, _, h)| Some(at(to, p.internal, h.as_ref().ok()?))).collect();
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
    let inside = told(inside);
    // Where nothing is carried by HTTP nobody is asked as a stranger.
    let seen = |asked: &Result<Knocked, String>| asked.as_ref().ok().and_then(|k| k.from);
    let (from, own) = (seen(&strange), seen(&public).or(seen(&strange)));
    let trusts = |from: IpAddr| found.around.as_ref().map_or(true, |a| a.trusted.iter().any(|net| net.contains(&from)));
    let shown = [&inside, &public].into_iter().flatten().flat_map(|k| k.shown.clone()).collect();
    // What was not asked says why.
    let unasked = |port: fn(&Pair) -> u16| http().filter_map(move |(p, _, h)| Some((port(p), Answer::Unknown(h.as_ref().err()?.clone()))));
    let answers = |k: Result<Knocked, String>, port: fn(&Pair) -> u16| k.map(|k| k.answers.into_iter().chain(unasked(port)).collect());
    let answered = Answered {
        outside: answers(public, |p| p.public),
        inside: answers(inside, |p| p.internal),
        strange: answers(strange, |p| p.internal),
        shown,
        lies: lies.unwrap_or_default(),
        // Whose address is not known may be anybody's.
        asker_trusted: from.is_none_or(trusts),
    };
    (answered, own)
}

/// What authorities gave out for what is published by their certificates, as it lies in the appliance, by the public port; else why
/// that is not known. Keys are left where they are.
async fn of_authorities(room: &Room<'_>, all: &[(Pair, &Spec)]) -> Result<BTreeMap<u16, Chain>, String> {
    let names: BTreeMap<u16, String> = all
        .iter()
        .filter_map(|(pair, spec)| if let Tls::Acme { name, .. } = &spec.tls { Some((pair.public, name.to_string())) } else { None })
        .collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let wanted: BTreeSet<&String> = names.values().collect();
    let files = room.inside(certificates::without_keys()).await.answer.and_then(|gave| unpacked(&gave.out, &gave.err))?;
    let mut found: BTreeMap<&String, (Stamp, Chain)> = BTreeMap::new();
    for file in files.iter().filter(|m| !m.path.contains("/certificates/local/")) {
        let name = file.path.rsplit('/').next().and_then(|last| last.strip_suffix(".crt"));
        let Some(name) = name.and_then(|n| wanted.get(&n.to_owned())) else { continue };
        let Some(chain) = file.bytes.as_deref().and_then(|bytes| certificates::chain(bytes).ok()) else { continue };
        let Some(ends) = chain.first().and_then(|der| certificate::read(der)).map(|c| c.not_after) else { continue };
        // Several authorities may have given one out; Caddy takes the first it finds, and the last to end is told.
        if found.get(name).is_none_or(|(before, _)| *before < ends) {
            found.insert(name, (ends, chain));
        }
    }
    Ok(names.iter().filter_map(|(port, name)| Some((*port, found.get(name)?.1.clone()))).collect())
}

/// In which way both ports are asked; else why they are not. A handshake with what a public authority is to vouch for has Caddy ask
/// it for a certificate where there is none or a newer one is due, and Let's Encrypt takes five failures an hour.
fn how(pair: Pair, spec: &Spec, lies: &Result<BTreeMap<u16, Chain>, String>, now: Stamp) -> Result<How, String> {
    let name = spec.tls.asked_by().map_err(|why| format!("{why}, and those are not asked by"))?;
    match (spec.carry, &spec.tls) {
        (Carry::Tcp | Carry::Udp, _) => return Ok(How::Connect),
        (Carry::Http, Tls::Off) => return Ok(How::Http),
        (Carry::Http, Tls::Internal { .. } | Tls::Given { .. }) => return Ok(How::Https { name }),
        (Carry::Http, Tls::Acme { .. }) => {}
    }
    let lies = lies.as_ref().map_err(|why| format!("whether it has a certificate is not known: {why}"))?;
    let chain = lies.get(&pair.public).and_then(|chain| certificate::read(chain.first()?));
    let is = chain.ok_or("it has no certificate yet: one is asked for when the first visitor comes, and not for a look")?;
    if is.not_after.secs() - now.secs() < is.third_s() {
        return Err("its certificate is due to be renewed, which is asked for when a visitor comes, and not for a look".into());
    }
    Ok(How::Https { name })
}

fn told(knocked: Result<Knocked, HostError>) -> Result<Knocked, String> {
    knocked.map_err(|e| e.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: Stamp = Stamp(1_000_000_000_000);

    /// What an authority gave out, so many days ago, and good for ninety.
    fn given_out(days_ago: i64) -> Chain {
        let mut params = rcgen::CertificateParams::new(vec!["x.example.org".to_owned()]).unwrap();
        let at = |days: i64| (std::time::UNIX_EPOCH + std::time::Duration::from_secs((NOW.secs() + days * 86_400) as u64)).into();
        (params.not_before, params.not_after) = (at(-days_ago), at(90 - days_ago));
        vec![params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()]
    }

    /// A look must not have an authority asked, which takes few questions; all else is asked as visitors ask.
    #[test]
    fn ports_are_asked_as_visitors_ask_and_no_authority_is() {
        use crate::domain::appliance::names::{Label, Name};
        let pair = Pair { public: 30_000, internal: 40_000 };
        let of = |carry, tls, lies: Result<BTreeMap<u16, Chain>, String>| {
            how(pair, &Spec { carry, tls, ..Spec::to("web:80".parse().unwrap()) }, &lies, NOW)
        };
        let none = || Ok(BTreeMap::new());
        assert_eq!(of(Carry::Tcp, Tls::Off, none()), Ok(How::Connect));
        assert_eq!(of(Carry::Http, Tls::Off, none()), Ok(How::Http));
        assert_eq!(of(Carry::Http, Tls::Given { certificate: Label::new("a").unwrap() }, none()), Ok(How::Https { name: None }));
        let internal = |names: &[&str]| Tls::Internal { names: names.iter().map(|n| n.parse().unwrap()).collect() };
        let by = |name: &str| Ok(How::Https { name: Some(name.to_owned()) });
        assert_eq!(of(Carry::Http, internal(&["10.0.0.1", "cloud.home", "b.home"]), none()), by("cloud.home"));
        assert!(of(Carry::Http, internal(&["10.0.0.1"]), none()).unwrap_err().contains("addresses alone"));
        let acme = || Tls::Acme { name: Name::new("x.example.org").unwrap(), mail: None };
        let lies = |days| Ok(BTreeMap::from([(30_000, given_out(days))]));
        assert!(of(Carry::Http, acme(), none()).unwrap_err().starts_with("it has no certificate yet"));
        assert!(of(Carry::Http, acme(), Err("no".into())).unwrap_err().ends_with("is not known: no"));
        assert_eq!(of(Carry::Http, acme(), lies(50)), by("x.example.org"));
        for days in [61, 100] {
            assert!(of(Carry::Http, acme(), lies(days)).unwrap_err().starts_with("its certificate is due"), "{days}");
        }
        let elsewhere = Ok(BTreeMap::from([(30_001, given_out(50))]));
        assert!(of(Carry::Http, acme(), elsewhere).is_err(), "another's is none of his");
    }
}
