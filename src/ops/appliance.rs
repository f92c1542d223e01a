//! Plans for the appliance: asks what the pure planner needs to know, lets it decide, and leaves out what holds already. And the
//! two questions about a whole appliance that a plan's steps are checked by.

use ipnet::Ipv4Net;
use serde_json::Value;

use super::check::{self, Held};
use super::probe::{bridge, host_interfaces, leases_of, probe_by, wish, wish_with};
use super::{place, refresh};
use crate::domain::appliance::desired::Desired;
use crate::domain::appliance::fallback::{self, Side};
use crate::domain::appliance::hold::{self, LeaseWish};
use crate::domain::appliance::lamp::Light;
use crate::domain::appliance::provision::{self, ApplianceWish, Files, Ground, Options};
use crate::domain::appliance::system::{DNSMASQ_OPTIONS, Service, System};
use crate::domain::appliance::{files, remains};
use crate::domain::change::Place;
use crate::domain::cmd::Cmd;
use crate::domain::guest::{Power, Vmid};
use crate::domain::job::Life;
use crate::domain::plan::{Act, Check, Plan, Purpose, Refusal, Step};
use crate::domain::pve;
use crate::domain::world::World;
use crate::host::{Host, HostError};

/// The plan of a wish, or why it is refused. A plan without steps says that nothing is to be done.
pub async fn plan(host: &dyn Host, world: &World, asked: &ApplianceWish) -> Result<Plan, Refusal> {
    let refuse = |why: String, hint: &str| Refusal::new("change the appliance", why, hint);
    let id = match asked {
        ApplianceWish::Provision(Options { vmid: Some(id), .. }) => *id,
        _ => world.appliance_id(),
    };
    // What is left of a creation of ours that was broken off is cleared away first; then it is as if it were not there.
    let jobs = world.jobs.get().map_or(&[][..], Vec::as_slice);
    let left = matches!(asked, ApplianceWish::Provision(_)) && world.guest(id).is_some_and(|g| remains::are_ours(g, jobs));
    let mut without = None;
    if left {
        let mut cleared = world.clone();
        cleared.guests.known = cleared.guests.known.map(|all| all.into_iter().filter(|g| g.id != id).collect());
        without = Some(cleared);
    }
    let world = without.as_ref().unwrap_or(world);
    let interfaces = host_interfaces(host).await;
    let held = match (asked, world.pins.get()) {
        // A pin that was changed from outside can be made anew.
        (ApplianceWish::Lease(_), Some(pins)) => Ok(pins.sound()),
        _ => world.pinned(),
    };
    let held = held.map_err(|why| refuse(why, "see appliance leases"))?;
    let mut d = wish_with(world, id, &interfaces, held.clone()).map_err(|all| refuse(all.join("; "), "see settings list"))?;
    let mut pinned = None;
    if let ApplianceWish::Lease(asked) = asked {
        let refuse = |why: String| Refusal::new(asked.words(), why, "see appliance leases");
        let bad = world.pins.get().map_or(&[][..], |p| p.bad.as_slice());
        let leases = leases_of(host, id).await.map_err(|why| refuse(format!("what was lent is unknown: {why}")))?;
        let guests = world.guests.known.as_ref().map_err(|why| refuse(format!("the guests are unknown: {why}")))?;
        let known = hold::Known { wish: &d, pins: &held, bad, leases: &leases, guests, now: host.clock().0 };
        let change = match asked {
            LeaseWish::Release(of) => {
                let lease = known.gone(of).map_err(refuse)?;
                return provision::release(world, &d, id, lease);
            }
            LeaseWish::Pin(of, to) => known.pin(of, *to),
            LeaseWish::Unpin(of) => known.unpin(of),
        };
        if let Some(change) = change.map_err(refuse)? {
            let moves = hold::moves(&leases, &change);
            if let Some(why) = world.pins.get().and_then(|p| p.bad_beside(change.mac)) {
                return Err(refuse(why.to_owned()));
            }
            let mut then = held;
            match change.address {
                Some(address) => drop(then.insert(change.mac, address)),
                None => drop(then.remove(&change.mac)),
            }
            d = wish_with(world, id, &interfaces, then).map_err(|all| refuse(all.join("; ")))?;
            pinned = Some((change, moves));
        }
    }
    let runs = world.guest(id).is_some_and(|g| g.power == Power::Running);
    let fetches =
        matches!(asked, ApplianceWish::Provision(Options { download: true, .. }) | ApplianceWish::Rebuild(Options { download: true, .. }));
    let anew = matches!(asked, ApplianceWish::Rebuild(_));
    let builds = anew || matches!(asked, ApplianceWish::Provision(_)) && world.guest(id).is_none();
    let timer = Cmd::new("systemctl", ["is-active", "--quiet", &format!("{}.timer", provision::REVERT_UNIT)]);
    let (bridge, routes, templates, available, inside, caddy, before, armed) = tokio::join!(
        bridge(host, Some(&d), &interfaces),
        routes(host),
        async { if builds { templates(host, world).await } else { Ok(Vec::new()) } },
        async { if fetches && builds { available(host).await } else { Ok(Vec::new()) } },
        async { if runs { Some(inside(host, id, d.system).await) } else { None } },
        async { runs && succeeds(host, pve::exec(id, d.system.status(Service::Caddy))).await },
        place::read(host, Place::Host, &[provision::BEFORE]),
        succeeds(host, timer),
    );
    let before = before.map_err(|e| refuse(e.to_string(), "see doctor"))?.into_iter().next().flatten();
    let ground = Ground {
        interfaces: interfaces.files,
        gap: interfaces.gap,
        before,
        armed,
        bridge: bridge.answer,
        routes,
        templates,
        available,
        inside,
        caddy_runs: caddy,
    };
    let mut plan = provision::plan(world, asked, &d, &ground, id)?;
    // What holds now of a new one is of an attempt before it, which is cleared away first.
    if !anew {
        leave_out_what_holds(host, &mut plan, runs).await;
    }
    if left {
        plan.notes.push(format!("what a creation that was broken off left of {id} is removed first"));
        plan.steps.splice(0..0, remains::steps(id));
    }
    // What is remembered already is only brought into force.
    if let Some((change, moves)) = pinned {
        let guest = world.guests.get().into_iter().flatten().find(|g| hold::macs(g).any(|mac| mac == change.mac));
        plan.title = change.title(guest);
        plan.facts.insert(0, change.words());
        plan.facts.extend(moves);
        // A guest that is gone is in no file: what is left to do is to remember it, and to look whether all works on.
        if plan.steps.is_empty() {
            plan.steps.push(provision::works_by_its_file(&d, id));
        }
        plan.purpose = Purpose::Pin(change);
    }
    Ok(plan)
}

/// The plan that moves the apps past the appliance or back. It needs no appliance that is there, or works.
pub async fn plan_move(host: &dyn Host, world: &World, side: Side) -> Result<Plan, Refusal> {
    let refuse = |why: String, hint: &str| Refusal::new("move the apps", why, hint);
    let id = world.appliance_id();
    let d = wish(world, &host_interfaces(host).await).map_err(|all| refuse(all.join("; "), "see settings list"))?;
    fallback::plan(world, side, &d, id)
}

/// Each step asks its check before it is carried out, too; here so that what is shown is what is done. What lies inside a
/// guest that does not run cannot be asked: it stays in.
async fn leave_out_what_holds(host: &dyn Host, plan: &mut Plan, runs: bool) {
    let all = plan.steps.len();
    let mut left = Vec::new();
    for mut step in plan.steps.drain(..) {
        // dnsmasq tells by the file's own digest what it works by; one that was changed by hand tells the same.
        step.always |= is_restart_of_dnsmasq(&step) && left.iter().any(puts_what_dnsmasq_reads);
        // What holds now, but not any more after the steps before.
        let later = match &step.check {
            Check::CaddyByFiles { vmid } => left.iter().any(|s| puts(s, Place::Guest(*vmid), files::CADDYFILE)),
            Check::Content { at, path, .. } => left.iter().any(|s| puts(s, *at, path)),
            _ => false,
        };
        let inside = step.check.inside().is_some();
        let known = !step.always && !later && (runs || !inside) && !matches!(step.check, Check::Lamps { .. });
        let held = if known { check::holds(host, &step.check, &Life::default(), None).await } else { Held::No(String::new()) };
        if let (Check::Rules { .. }, Held::No(why)) = (&step.check, &held)
            && !why.is_empty()
        {
            plan.notes.push(why.clone());
        }
        if held != Held::Yes {
            left.push(step);
        }
    }
    let only_asks = left.iter().all(|s| matches!(s.check, Check::Lamps { .. }));
    if only_asks && !left.is_empty() {
        left.clear();
    }
    if left.len() < all {
        plan.facts.push(format!("{} of {all} steps are not needed: they hold already", all - left.len()));
    }
    plan.steps = left;
}

fn is_restart_of_dnsmasq(step: &Step) -> bool {
    let restarts = [System::Alpine, System::Debian].map(|s| s.restart(Service::Dnsmasq));
    matches!(&step.act, Act::Run { cmd, .. } if restarts.iter().any(|r| cmd.args.ends_with(&r.map(str::to_owned))))
}

fn puts_what_dnsmasq_reads(step: &Step) -> bool {
    matches!(&step.act, Act::Put(change) if change.at != Place::Host && [files::DNSMASQ_CONF, DNSMASQ_OPTIONS].contains(&change.path.as_str()))
}

fn puts(step: &Step, at: Place, path: &str) -> bool {
    matches!(&step.act, Act::Put(change) if change.at == at && change.path == path)
}

/// Networks that the host reaches, with their interfaces.
async fn routes(host: &dyn Host) -> Result<Vec<(Ipv4Net, String)>, String> {
    let out = host.run(Cmd::new("ip", ["-j", "-4", "route", "show"])).await.map_err(|e| e.to_string())?;
    let text = out.success().map_err(|e| e.to_string())?;
    let all: Vec<Value> = serde_json::from_slice(text.out).map_err(|e| format!("ip: {e}"))?;
    let one = |route: &Value| {
        let dst = route["dst"].as_str()?;
        let net = dst.parse().ok().or_else(|| dst.parse().ok().and_then(|a| Ipv4Net::new(a, 32).ok()))?;
        Some((net, route["dev"].as_str().unwrap_or("").to_owned()))
    };
    Ok(all.iter().filter_map(one).collect())
}

async fn templates(host: &dyn Host, world: &World) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for storage in world.storages.known.as_ref()?.iter().filter(|s| s.takes("vztmpl")) {
        let listed = host.run(Cmd::new("pvesm", ["list", storage.id.as_str(), "--content", "vztmpl"])).await;
        let text = listed.and_then(|out| out.success().map(|t| String::from_utf8_lossy(t.out).into_owned())).map_err(|e| e.to_string())?;
        all.extend(text.lines().skip(1).filter_map(|l| l.split_whitespace().next()).map(str::to_owned));
    }
    Ok(all)
}

/// Names of templates of systems that can be fetched; a third column is of newer versions (facts §7).
async fn available(host: &dyn Host) -> Result<Vec<String>, String> {
    let listed = host.run(Cmd::new("pveam", ["available", "--section", "system"])).await;
    let text = listed.and_then(|out| out.success().map(|t| String::from_utf8_lossy(t.out).into_owned())).map_err(|e| e.to_string())?;
    Ok(text.lines().filter_map(|l| l.split_whitespace().nth(1)).map(str::to_owned).collect())
}

async fn inside(host: &dyn Host, id: Vmid, system: System) -> Result<Files, String> {
    let paths = files::paths(system);
    let found = place::read(host, Place::Guest(id), &paths).await.map_err(|e| e.to_string())?;
    Ok(paths.iter().map(|p| (*p).to_owned()).zip(found).collect())
}

async fn succeeds(host: &dyn Host, cmd: Cmd) -> bool {
    host.run(cmd).await.is_ok_and(|out| out.success().is_ok())
}

/// Whether what Caddy runs by is what its files make.
pub async fn caddy_by_files(host: &dyn Host, id: Vmid) -> Held {
    caddy_asked(host, id).await.0
}

/// The same, and whether its administration answers, or why not.
pub(super) async fn caddy_asked(host: &dyn Host, id: Vmid) -> (Held, Result<(), HostError>) {
    let url = format!("http://{}/config/", files::ADMIN);
    let adapt = pve::attach(id, ["caddy", "adapt", "--config", files::CADDYFILE, "--adapter", "caddyfile"]);
    let config = pve::attach(id, ["busybox", "wget", "-q", "-O", "-", &url]);
    let (want, have) = tokio::join!(host.run(adapt.limit(10)), host.run(config.limit(10)));
    let read = |asked: Result<crate::host::Output, HostError>| -> Result<Value, HostError> {
        let out = asked?;
        let text = out.success()?;
        serde_json::from_slice(text.out).map_err(|e| HostError::Io { what: "Caddy's configuration".into(), why: e.to_string() })
    };
    let (want, have) = (read(want), read(have));
    let held = match (want, &have) {
        (Ok(want), Ok(have)) if want == *have => Held::Yes,
        (Ok(_), Ok(_)) => Held::No("Caddy works by something else than its files".into()),
        (_, Err(e @ HostError::LinkLost { .. })) => Held::Unknown(e.to_string()),
        (Err(e @ HostError::LinkLost { .. }), _) => Held::Unknown(e.to_string()),
        (Err(e), _) => Held::No(e.to_string()),
        (_, Err(e)) => Held::No(e.to_string()),
    };
    (held, have.map(|_| ()))
}

/// Whether all of it does what it is for. What cannot be asked yet, for there is no app, is no failure.
pub async fn no_red_lamp(host: &dyn Host, id: Vmid, wish: &Desired) -> Held {
    let mut world = World::default();
    world.learn(refresh::refresh(host).await);
    let interfaces = host_interfaces(host).await;
    let probed = probe_by(host, &world, id, Ok(wish.clone()), &interfaces, Ok(())).await;
    let red: Vec<String> = probed.lamps.iter().filter(|l| l.light == Light::Fail).map(|l| format!("{}: {}", l.name, l.says)).collect();
    if red.is_empty() { Held::Yes } else { Held::No(red.join("; ")) }
}
