//! Plans for what is published: asks what lies in the appliance and works there, lets the pure planner decide. And the
//! question whether a pair is served.

use std::net::{Ipv4Addr, SocketAddr};

use super::check::{Held, init_pid};
use super::place::{members, read_quick};
use super::probe::{self, NOBODY};
use super::{appliance, ports, publish_rules, visitor};
use crate::domain::appliance::desired::WAN;
use crate::domain::appliance::files::{CADDYFILE, CURRENT, VERSIONS};
use crate::domain::appliance::judge::sites;
use crate::domain::appliance::system::{Service, System};
use crate::domain::appliance::tar::Member;
use crate::domain::appliance::{CADDY_USER, provision};
use crate::domain::change::Place;
use crate::domain::guest::Vmid;
use crate::domain::plan::{Plan, Refusal};
use crate::domain::ports::{Answer, How, Knock, Known, Pair, PortMap, Ranges, Sockets};
use crate::domain::publish::{self, Ground, PublishWish};
use crate::domain::pve;
use crate::domain::service::Tls;
use crate::domain::world::World;
use crate::host::{Host, HostError};

/// The plan of a wish, or why it is refused. A plan without steps says that nothing is to be done.
pub async fn plan(host: &dyn Host, world: &World, asked: &PublishWish) -> Result<Plan, Refusal> {
    let refuse = |why: String, hint: &str| Refusal::new(asked.words(), why, hint);
    let vmid = provision::acting(world).map_err(|(why, hint)| refuse(why, &hint))?;
    let map = match &world.ports.known {
        Ok(map) => map,
        Err(_) if world.ports.is_pending() => {
            return Err(refuse("there is no store yet, so nothing can be remembered".into(), "set it up once with: proximity init"));
        }
        Err(why) => return Err(refuse(format!("what has ports is unknown: {why}"), "see doctor")),
    };
    let settings = world.chosen().map_err(|why| refuse(why, "see proximity settings list"))?;
    let has = |map: &PortMap| asked.name().is_some_and(|name| map.of(name).is_some());
    let system = world.guest(vmid).and_then(System::of).unwrap_or(System::Alpine);
    let new = matches!(asked, PublishWish::Publish { .. }) && !has(map);
    let (ground, sockets) =
        tokio::join!(ground(host, vmid, system), async { if new { ports::sockets(host, world).await } else { Sockets::default() } });
    let ground = ground.map_err(|why| refuse(why, "see proximity appliance status"))?;
    let unfit = |why| refuse(why, "see proximity ports list");
    let (mut then, mut wish, mut is_news) = (map.clone(), None, false);
    if let Some(asked) = asked.of_ports() {
        let ranges = Ranges::of(&settings).map_err(unfit)?;
        let cool_down_s = settings.span("ports.cool_down").map_err(unfit)?;
        let known = Known { map, ranges, cool_down_s, sockets: &sockets, now: host.clock().0, by: "" };
        let decided = known.decide(&asked).map_err(unfit)?;
        then = publish::after(map, &decided);
        is_news = decided.change.is_some();
        wish = Some((asked, decided.pair));
    }
    let (rules, last) = publish_rules::steps(host, world, vmid, asked, &then).await.map_err(|(why, hint)| refuse(why, &hint))?;
    let mut plan = publish::plan(world, asked, &then, wish, &settings, &ground)?;
    plan.steps = [rules, plan.steps, last].concat();
    // What is to be remembered is news also where the appliance is so already.
    if plan.steps.is_empty() && is_news {
        plan.steps.push(publish::is_in_force(vmid));
    }
    plan.notes.extend(sockets.gaps.iter().map(|g| format!("unknown: {}: {}", g.what, g.why)));
    Ok(plan)
}

async fn ground(host: &dyn Host, vmid: Vmid, system: System) -> Result<Ground, String> {
    let says = async |argv: &[&str]| {
        let out = host.run(pve::attach(vmid, argv.iter().copied()).limit(10)).await?;
        out.success().map(|text| String::from_utf8_lossy(text.out).into_owned())
    };
    let status = system.status(Service::Caddy);
    let (base, files, listed, link, user, group, runs, (in_force, admin)) = tokio::join!(
        read_quick(host, Place::Guest(vmid), &[CADDYFILE]),
        members(host, pve::attach(vmid, ["tar", "-C", CURRENT, "-cf", "-", "."]).limit(20)),
        says(&["ls", "-1", VERSIONS]),
        says(&["readlink", CURRENT]),
        says(&["id", "-u", CADDY_USER]),
        says(&["id", "-g", CADDY_USER]),
        says(&status),
        appliance::caddy_asked(host, vmid),
    );
    if let (Ok(_), Err(why)) = (&runs, admin) {
        return Err(format!("Caddy runs and its administration does not answer ({why}); restart it: proximity appliance restart caddy"));
    }
    let lost = |e: HostError| e.to_string();
    let versions: Vec<String> = match listed {
        Ok(text) => text.lines().map(str::to_owned).collect(),
        Err(e @ HostError::LinkLost { .. }) => return Err(e.to_string()),
        Err(_) => return Err(format!("{VERSIONS} is not there; bring the appliance back to its settings: proximity appliance converge")),
    };
    let number = |asked: Result<String, HostError>| {
        asked.map_err(lost)?.trim().parse::<u32>().map_err(|_| format!("the number of user {CADDY_USER} cannot be read"))
    };
    let current = match link {
        Ok(text) => Some(text.trim().to_owned()),
        Err(e @ HostError::LinkLost { .. }) => return Err(e.to_string()),
        Err(_) => None,
    };
    // What stands in the link's place is set aside, and what is not ours in it goes with the copy.
    let in_place = current.as_ref().is_some_and(|at| versions.contains(at));
    let files = match files {
        Ok(all) => all,
        Err(e) if in_place => return Err(e.to_string()),
        Err(_) => Vec::new(),
    };
    let named = |m: Member| Some((m.path.strip_prefix('/')?.to_owned(), m.bytes));
    let files = files.into_iter().filter_map(named).filter(|(name, _)| !name.is_empty() && !name.contains('/')).collect();
    let base = base.map_err(lost)?.into_iter().next().flatten();
    let in_force = match in_force {
        Held::Yes => Ok(()),
        Held::No(why) | Held::Unknown(why) => Err(why),
    };
    Ok(Ground { versions, current, files, base, system, caddy_runs: runs.is_ok(), in_force, caddy: (number(user)?, number(group)?) })
}

/// The network of whoever asks: the host.
pub(super) const OWN: &str = "/proc/self/ns/net";

/// Whether both ports of a pair answer: the public one asked by the host at the appliance's address on the way out, the
/// internal one inside.
///
/// What a public authority is to vouch for is asked without TLS: that Caddy refuses it (400) shows that it serves there, and a
/// handshake would have the authority asked at each try, which answers only so many.
pub(super) async fn serves(host: &dyn Host, vmid: Vmid, pair: Pair, unanswered: bool, tls: &Tls) -> Held {
    let pid = match init_pid(host, vmid).await {
        Ok(Some(pid)) => pid,
        Ok(None) => return Held::No(format!("{vmid} does not run")),
        Err(e) => return Held::Unknown(e.to_string()),
    };
    let net = visitor::net_of(pid);
    let address = match way_out(host, &net).await {
        Ok(address) => address,
        Err(why) => return Held::Unknown(why),
    };
    let outside = SocketAddr::new(address.into(), pair.public);
    let inside = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), pair.internal);
    if let (Tls::Internal { .. } | Tls::Given { .. }, Ok(name)) = (tls, tls.asked_by()) {
        return serves_by_tls(host, pid, [outside, inside], name, unanswered).await;
    }
    let ask = |net: &str, place| probe::run(host, visitor::in_network(net, &NOBODY, sites::question(place)).limit(10));
    let (out, within) = tokio::join!(ask(OWN, outside), ask(&net, inside));
    for (place, asked) in [(outside, out), (inside, within)] {
        let why = match sites::said(&asked) {
            sites::Said::Status(502..=504) if unanswered => continue,
            sites::Said::Status(status @ 502..=504) => {
                return Held::No(format!("{place} answers {status}: nothing answers behind it, or not in time"));
            }
            sites::Said::Status(_) => continue,
            sites::Said::Nothing => format!("{place} does not answer"),
            sites::Said::Unknown => return Held::Unknown(format!("{place} could not be asked")),
        };
        return Held::No(why);
    }
    Held::Yes
}

/// The same by TLS: the handshake comes about, and what answers behind it does so by HTTP. Whether a visitor believes the
/// certificate is his own affair.
async fn serves_by_tls(host: &dyn Host, pid: u32, [outside, inside]: [SocketAddr; 2], name: Option<String>, unanswered: bool) -> Held {
    let ask = |place| vec![Knock { place, how: How::Https { name: name.clone() } }];
    let (out, within) = tokio::join!(host.knock(None, ask(outside)), host.knock(Some(pid), ask(inside)));
    for (place, asked) in [(outside, out), (inside, within)] {
        let answer = match asked {
            Ok(mut knocked) => knocked.answers.remove(&place.port()).unwrap_or(Answer::NotAsked),
            Err(e) => return Held::Unknown(e.to_string()),
        };
        match answer {
            Answer::Status { code: 502..=504, .. } if unanswered => {}
            Answer::Status { code: code @ 502..=504, .. } => {
                return Held::No(format!("{place} answers {code}: nothing answers behind it, or not in time"));
            }
            Answer::Status { .. } | Answer::Taken { .. } => {}
            Answer::NoTls(how) => return Held::No(format!("no TLS comes about at {place}: {how}")),
            Answer::Silent(how) => return Held::No(format!("{place} does not answer: {how}")),
            Answer::Unknown(why) => return Held::Unknown(why),
            Answer::NotAsked => return Held::Unknown(format!("{place} could not be asked")),
        }
    }
    Held::Yes
}

/// The appliance's address on the way out.
pub(super) async fn way_out(host: &dyn Host, net: &str) -> Result<Ipv4Addr, String> {
    let words = ["ip", "-4", "-o", "addr", "show", "dev", WAN, "scope", "global"].map(str::to_owned);
    let out = host.run(visitor::in_network(net, &[], words).limit(5)).await.map_err(|e| e.to_string())?;
    let text = out.success().map(|t| String::from_utf8_lossy(t.out).into_owned()).map_err(|e| e.to_string())?;
    let mut words = text.split_whitespace().skip_while(|w| *w != "inet");
    let address = words.nth(1).and_then(|cidr| cidr.split('/').next()?.parse().ok());
    address.ok_or_else(|| format!("the appliance has no address on {WAN}"))
}
