//! What is wrong, from the World: findings for the Overview, `status` and `doctor`.

use std::collections::BTreeSet;

use serde::Serialize;

use super::appliance::desired::LAN;
use super::appliance::lamp::Light;
use super::appliance::lease::Forecast;
use super::appliance::{self, Seat};
use super::backup::size;
use super::certificate::Item;
use super::guest::{Guest, Power};
use super::inside::ledger;
use super::job::State;
use super::locks::{self, Left, Thing, Verdict};
use super::log_health;
use super::ports::{Answer, Ranges, Row};
use super::proof::Proofs;
use super::schedule::wrong::wrong;
use super::swap;
use super::world::{From, Part, Quorum, World};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something does not work or is about to.
    Bad,
    /// Something wants a look.
    Warn,
    /// Something could not be asked, so it is not known to be well.
    Unknown,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// What it is about: `storage local`, `guest 101 web`.
    pub what: String,
    /// What is the matter and, where there is something, what to do.
    pub why: String,
    /// Word of the pane that knows more: `overview`, `appliance`, `logs`, `backups`, `jobs`.
    pub pane: &'static str,
    /// Name of the log that it is about, as `logs` takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// All findings, worst first. An empty list means: everything listed was asked and answered well.
pub fn findings(world: &World) -> Vec<Finding> {
    let mut out = Vec::new();
    let mut add = |level, what: String, why: String, pane| out.push(Finding { level, what, why, pane, log: None });
    unknown_parts(world, &mut add);
    if let Some(Quorum::NoQuorum) = world.quorum.get() {
        add(
            Level::Bad,
            "quorum".into(),
            "/etc/pve is read-only: no quorum. Configurations cannot change; start, stop and reading still work".into(),
            "overview",
        );
    }
    guests(world, &mut add);
    lamps(world, &mut add);
    ports(world, &mut add);
    truth(world, &mut add);
    certificates(world, &mut add);
    storages(world, &mut add);
    node(world, &mut add);
    for archive in world.archives.get().into_iter().flatten().filter(|a| a.is_empty()) {
        add(
            Level::Bad,
            format!("backup of {}", archive.vmid.map_or("?".into(), |v| v.to_string())),
            format!("{} is empty and cannot be restored", super::clean::clean(&archive.volid)),
            "backups",
        );
    }
    lost(world, &mut add);
    for (id, odd) in size::odd_ones(world.archives.get().map_or(&[][..], Vec::as_slice)) {
        if let Some(guest) = world.guest(id) {
            add(Level::Warn, format!("backup of {}", guest.title()), format!("the last is {odd}: {}", odd.hint()), "backups");
        }
    }
    for (level, what, why) in wrong(world) {
        add(level, what, why, "backups");
    }
    ledger::spoilt(world).into_iter().for_each(|(what, why)| add(Level::Bad, what, why, "backups"));
    aside(world, &mut add);
    leftovers(world, &mut add);
    for job in world.jobs.get().into_iter().flatten().take(NEWEST) {
        let level = match job.state {
            State::Failed => Level::Bad,
            State::Warned => Level::Warn,
            State::Unknown | State::Unreachable => Level::Unknown,
            _ => continue,
        };
        add(level, format!("job {} {}", job.id, job.title()), job.line(), "jobs");
    }
    for seen in world.logs.get().into_iter().flatten() {
        out.extend(log_health::wrong(seen, world.logs.as_of).into_iter().map(|w| Finding {
            level: w.level,
            what: w.what(),
            log: Some(w.log.name()),
            why: w.why,
            pane: "logs",
        }));
    }
    out.sort_by_key(|f| f.level);
    out
}

/// The newest jobs are told each by itself.
const NEWEST: usize = 8;

/// Guests of which the last archive that was restored did not come back. As long as its job is told, that tells it.
fn lost(world: &World, add: &mut impl FnMut(Level, String, String, &'static str)) {
    let (Some(jobs), Some(archives)) = (world.jobs.get(), world.archives.get()) else { return };
    let told: Vec<_> = jobs.iter().take(NEWEST).map(|j| j.id).collect();
    let proofs = Proofs::of(jobs);
    for guest in world.guests.get().into_iter().flatten() {
        let Some(last) = proofs.guest(archives, guest.id) else { continue };
        if let (Err(why), false) = (&last.lives, told.contains(&last.job)) {
            let file = last.volid.rsplit('/').next().unwrap_or_default();
            add(
                Level::Bad,
                format!("backup of {}", guest.title()),
                format!("{} was restored and did not come back: {why}; make another one, and restore that", super::clean::clean(file)),
                "backups",
            );
        }
    }
}

/// Containers that stand aside for longer than they are to: they take room, and nobody thinks of them any more.
fn aside(world: &World, add: &mut impl FnMut(Level, String, String, &'static str)) {
    let longest = world.chosen().and_then(|s| s.span("backups.aside_warn"));
    let now = world.guests.as_of;
    for guest in world.guests.get().into_iter().flatten() {
        let (Some((other, _)), Some(since)) = (swap::aside_for(guest), swap::aside_since(guest)) else { continue };
        let stands = u64::try_from(now.secs() - since.secs()).unwrap_or(0);
        if longest.as_ref().is_ok_and(|most| stands > *most) {
            let (id, since) = (guest.id, super::stamp::span(stands));
            let on = format!("if {other} does its work remove it: pct destroy {id}");
            let why = format!("it stands aside since {since} ago, for {other}; {on}; the way back: proximity backup swap {other} {id}");
            add(Level::Warn, format!("guest {}", guest.title()), why, "backups");
        }
    }
}

fn unknown_parts(world: &World, add: &mut impl FnMut(Level, String, String, &'static str)) {
    fn part<T>(name: &str, part: &Part<T>, pane: &'static str, add: &mut impl FnMut(Level, String, String, &'static str)) {
        if part.is_pending() {
            return;
        }
        if let Err(why) = &part.known {
            add(Level::Unknown, name.into(), why.clone(), pane);
        }
        for gap in &part.gaps {
            add(Level::Unknown, gap.what.clone(), gap.why.clone(), pane);
        }
    }
    part("node", &world.node, "overview", add);
    part("quorum", &world.quorum, "overview", add);
    part("guests", &world.guests, "overview", add);
    part("storages", &world.storages, "overview", add);
    part("network", &world.network, "overview", add);
    part("tasks", &world.tasks, "overview", add);
    part("backups", &world.archives, "backups", add);
    part("schedules", &world.schedules, "backups", add);
    part("jobs", &world.jobs, "jobs", add);
    part("ports", &world.ports, "overview", add);
    part("ports in force", &world.truth, "ports", add);
    part("certificates", &world.certificates, "ports", add);
    part("logs", &world.logs, "logs", add);
    part("locks", &world.locks, "overview", add);
}

fn guests(world: &World, add: &mut impl FnMut(Level, String, String, &'static str)) {
    let Some(guests) = world.guests.get() else { return };
    let id = world.appliance_id();
    match guests.iter().find(|g| g.id == id) {
        None if world.guests.from == From::Kernel => {
            add(
                Level::Unknown,
                "appliance".into(),
                format!("container {} does not run, and whether it is there is unknown", id),
                "overview",
            );
        }
        None => {
            add(Level::Bad, "appliance".into(), format!("container {} is not there: apps have no DHCP, DNS or way out", id), "overview")
        }
        Some(a) if a.power == Power::Stopped => {
            add(Level::Bad, "appliance".into(), format!("{} is stopped: apps have no DHCP, DNS or way out", a.title()), "overview");
        }
        Some(_) => {}
    }
    for g in appliance::fallback::moved(guests) {
        let why = "nothing isolates it: it was moved past the appliance; back: proximity appliance isolate".to_owned();
        add(Level::Bad, format!("guest {}", g.title()), why, "appliance");
    }
    let lan = |g: &Guest| g.nics.iter().find(|n| n.name == LAN).and_then(|n| n.ip.clone());
    let own = guests.iter().find(|g| g.id == id && g.power == Power::Running).and_then(lan);
    for g in guests.iter().filter(|g| g.id != id && Seat::of(g).is_some() && g.power == Power::Running && is_here(world, g)) {
        if own.is_some() && lan(g) == own {
            let why = format!("it runs with the address of the appliance {id}, and apps reach one or the other; stop it");
            add(Level::Bad, format!("guest {}", g.title()), why, "overview");
        }
    }
    for g in guests {
        let what = format!("guest {}", g.title());
        if let Some((level, why)) = g.lock.as_deref().and_then(|lock| lock_of(world, g, lock)) {
            add(level, what.clone(), why, "overview");
        }
        if g.power == Power::Stopped && g.onboot && !g.template && is_here(world, g) && g.id != id {
            add(Level::Warn, what.clone(), "stopped, though it starts with the host".into(), "overview");
        }
        if !g.odd_lines.is_empty() {
            add(
                Level::Warn,
                what,
                format!("configuration has {} line(s) that cannot be read: {}", g.odd_lines.len(), g.odd_lines[0]),
                "overview",
            );
        }
    }
}

/// What is to be said of a lock: by all evidence, where the lock doctor looked, else by the tasks alone. Nothing where somebody
/// works under it, as he should.
fn lock_of(world: &World, g: &Guest, lock: &str) -> Option<(Level, String)> {
    let lock = super::clean::clean(lock);
    if let Some(seen) = world.locks.get() {
        return match locks::examine(world, seen, g.id).verdict {
            Verdict::Nobody => Some((Level::Bad, format!("locked ({lock}) and held by nobody; Enter or x opens the lock doctor"))),
            Verdict::Held { by, does, .. } if !does.is_empty() => Some((Level::Bad, format!("locked ({lock}) by {by}: {does}"))),
            Verdict::Held { .. } => None,
            Verdict::Unknown { why, .. } => Some((Level::Unknown, format!("locked ({lock}); who holds it is not known: {why}"))),
        };
    }
    let Some(tasks) = world.tasks.get() else {
        return Some((Level::Unknown, format!("locked ({lock}); whether a task holds it is not known")));
    };
    let mut running = tasks.iter().filter(|t| t.end.is_none()).map(|t| &t.upid);
    if world.task_on(g.id).is_some() {
        return None;
    }
    Some(match running.any(|u| u.kind == "vzdump" && u.id.is_empty()) {
        true => (Level::Unknown, format!("locked ({lock}); a backup of several guests may be at it")),
        false => (Level::Bad, format!("locked ({lock}) and no task of this node works on it; x takes the lock away after a look")),
    })
}

/// What killed jobs left, but for locks, which are told with their guests.
fn leftovers(world: &World, add: &mut impl FnMut(Level, String, String, &'static str)) {
    let Some(seen) = world.locks.get() else { return };
    let told = |l: &Left| !matches!(l.thing, Thing::Lock | Thing::Doubtful | Thing::Mounted);
    let all: Vec<Left> = locks::left(world, seen).into_iter().filter(told).collect();
    let Some(first) = all.first() else { return };
    let size = Some(locks::total(&all)).filter(|n| *n > 0).map_or(String::new(), |n| format!(", {}", super::stamp::bytes(n)));
    let more = if all.len() > 1 { format!(", and {} more", all.len() - 1) } else { String::new() };
    let proven = all.iter().filter(|l| l.proof.is_ok()).count();
    let sure = if proven < all.len() { format!("; {proven} of {} proven to be nobody's", all.len()) } else { String::new() };
    let why = format!("{}{more}{size}{sure}; Enter, or proximity repair check locks", first.words());
    add(Level::Warn, LEFTOVERS.into(), why, "overview");
}

/// What the finding of what is left is about.
pub const LEFTOVERS: &str = "left by killed jobs";

/// Whether a guest is on this node, as far as that is told.
fn is_here(world: &World, guest: &Guest) -> bool {
    guest.node.as_deref().is_none_or(|n| world.node_name().is_none_or(|me| me == n))
}

/// Lamps that were asked. Of an appliance that does not run more is not to be said than that.
fn lamps(world: &World, add: &mut impl FnMut(Level, String, String, &'static str)) {
    let runs = world.guest(world.appliance_id()).is_some_and(|g| g.power == Power::Running);
    let Some(seen) = world.appliance.get().filter(|_| runs) else { return };
    for lamp in &seen.lamps {
        let level = match lamp.light {
            Light::Fail => Level::Bad,
            Light::Warn => Level::Warn,
            Light::Pass | Light::Unknown => continue,
        };
        add(level, format!("appliance {}", lamp.name), lamp.says.clone(), "appliance");
    }
    let unknown: Vec<&str> = seen.lamps.iter().filter(|l| l.light == Light::Unknown).map(|l| l.name).collect();
    if !unknown.is_empty() {
        add(Level::Unknown, "appliance".into(), format!("could not be asked: {}", unknown.join(", ")), "appliance");
    }
    let Some(pool) = seen.pool else { return };
    let soon = matches!(seen.forecast, Forecast::In(days) if days < 14);
    if soon || pool.used.saturating_mul(10) >= pool.size.saturating_mul(9) {
        let why = format!("{} of {} are in use, {}", pool.used, pool.size, seen.forecast.words());
        add(if pool.used >= pool.size { Level::Bad } else { Level::Warn }, "addresses for apps".into(), why, "appliance");
    }
}

/// Rows that cannot be relied on, as far as they were checked; and ranges that will soon be used up. What only listens on a
/// port is not asked for this.
fn ports(world: &World, add: &mut impl FnMut(Level, String, String, &'static str)) {
    let Some(map) = world.ports.get() else { return };
    for bad in &map.bad {
        add(Level::Bad, "ports".into(), bad.why.clone(), "overview");
    }
    // Why the settings are unknown is told where they are shown.
    let Some(ranges) = world.chosen().ok().and_then(|s| Ranges::of(&s).ok()) else { return };
    let held = map.held.iter().map(|h| h.pair);
    let cooling = map.cooling.iter().filter(|p| p.free > world.ports.as_of).map(|p| p.was.pair);
    let used = held.chain(cooling).filter(|pair| ranges.has(*pair)).collect::<BTreeSet<_>>().len();
    let size = ranges.pairs().count();
    if used * 10 >= size * 9 {
        let why = format!("{used} of {size} pairs are held or cool down; see proximity ports list");
        add(if used >= size { Level::Bad } else { Level::Warn }, "ports for apps".into(), why, "overview");
    }
}

/// Published things that are told one by one; of more their number is.
const EACH: usize = 6;

/// Where what is published is not as it was promised. Of an appliance that does not run more is not to be said than that, and
/// rows that cannot be relied on are told without a look.
fn truth(world: &World, add: &mut impl FnMut(Level, String, String, &'static str)) {
    let runs = world.guest(world.appliance_id()).is_some_and(|g| g.power == Power::Running);
    let Some(truth) = world.truth.get().filter(|_| runs) else { return };
    for drift in truth.drift.iter().filter(|d| d.kind != "row-damaged") {
        add(Level::Warn, format!("ports {}", drift.kind), format!("{}; {}", drift.says, drift.mend.words()), "ports");
    }
    let level = |row: &Row| {
        let open = row.drift.iter().any(|d| matches!(d.kind, "internal-open" | "internal-unguarded"));
        let silent = |a: &Answer| !a.is_well() && !matches!(a, Answer::NotAsked | Answer::Unknown(_));
        if open || silent(&row.outside) || silent(&row.inside) { Level::Bad } else { Level::Warn }
    };
    let wrong: Vec<&Row> = truth.rows.iter().filter(|r| !r.drift.is_empty()).collect();
    for row in wrong.iter().filter(|_| wrong.len() <= EACH) {
        let Some(first) = row.drift.first() else { continue };
        let port = row.public.or(row.internal).map_or(String::new(), |p| p.to_string());
        let what = row.name.as_ref().map_or(format!("port {port}"), |name| format!("published {name}"));
        let more = if row.drift.len() > 1 { format!(", and {} more", row.drift.len() - 1) } else { String::new() };
        let was = row.was_well(world.truth.as_of).map_or(String::new(), |was| format!("; {was}"));
        add(level(row), what, format!("{}{more}{was}; {}", first.says, first.mend.words()), "ports");
    }
    if wrong.len() > EACH {
        let level = wrong.iter().map(|r| level(r)).min().unwrap_or(Level::Warn);
        let why = format!("{} ports are not as they were promised; see proximity ports drift", wrong.len());
        add(level, "ports".into(), why, "ports");
    }
    if !truth.gaps.is_empty() {
        let what: Vec<&str> = truth.gaps.iter().map(|g| g.what.as_str()).collect();
        add(Level::Unknown, "ports".into(), format!("could not be asked: {}", what.join(", ")), "ports");
    }
}

/// What is known against certificates; what could not be looked at is told where they are listed. They are judged by when they were
/// seen, and again at each look.
fn certificates(world: &World, add: &mut impl FnMut(Level, String, String, &'static str)) {
    let part = &world.certificates;
    let Some(all) = part.get() else { return };
    let wrong = |item| Item::wrong(item, part.as_of, all.thresholds).into_iter().find(|(level, _)| *level != Level::Unknown);
    let wrong: Vec<(&Item, Level, String)> = all.items.iter().filter_map(|i| wrong(i).map(|(level, why)| (i, level, why))).collect();
    for (item, level, why) in wrong.iter().take(EACH) {
        let serves = if item.serves.is_empty() { String::new() } else { format!("; it serves {}", item.serves.join(", ")) };
        add(*level, format!("certificate {}", item.name), format!("{why}{serves}"), "ports");
    }
    if wrong.len() > EACH {
        let why = format!("{} more are to be looked at; see proximity ports certificates", wrong.len() - EACH);
        add(wrong[EACH].1, "certificates".into(), why, "ports");
    }
}

fn storages(world: &World, add: &mut impl FnMut(Level, String, String, &'static str)) {
    for s in world.storages.get().into_iter().flatten().filter(|s| !s.disabled) {
        match &s.space {
            Err(why) => add(Level::Unknown, format!("storage {}", s.id), why.clone(), "overview"),
            Ok(space) if space.total > 0 => {
                let percent = space.used.saturating_mul(100) / space.total;
                let level = if percent >= 95 {
                    Level::Bad
                } else if percent >= 85 {
                    Level::Warn
                } else {
                    continue;
                };
                add(level, format!("storage {}", s.id), format!("{percent} % full, {} left", super::stamp::bytes(space.avail)), "overview");
            }
            Ok(_) => {}
        }
    }
}

fn node(world: &World, add: &mut impl FnMut(Level, String, String, &'static str)) {
    let Some(node) = world.node.get() else { return };
    let mut full = |what: &str, part: Option<(u64, u64)>, bad: u64, warn: u64| {
        let Some((used, total)) = part.filter(|(_, total)| *total > 0) else { return };
        let percent = used.saturating_mul(100) / total;
        let level = if percent >= bad {
            Level::Bad
        } else if percent >= warn {
            Level::Warn
        } else {
            return;
        };
        add(level, what.into(), format!("{percent} % used, {} left", super::stamp::bytes(total.saturating_sub(used))), "overview");
    };
    full("memory of the node", node.mem, 97, 90);
    full("root file system", node.root, 95, 85);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::appliance::lamp::Lamp;
    use super::super::appliance::lease::Pool;
    use super::super::guest::Kind;
    use super::super::stamp::Stamp;
    use super::*;

    fn world() -> World {
        let mut appliance = Guest::bare("9999".parse().unwrap(), Kind::Lxc);
        appliance.power = Power::Running;
        World {
            guests: Part::new(vec![appliance], Stamp(1), From::Files),
            tasks: Part::new(vec![], Stamp(1), From::Files),
            ..World::default()
        }
    }

    #[test]
    fn two_of_the_appliances_address_are_told() {
        let of = |id: &str, seat: Seat, ip: &str| Guest {
            power: Power::Running,
            ..super::super::conf::parse_lxc(
                id.parse().unwrap(),
                &format!("#{}\nhostname: edge\nnet1: name=eth1,bridge=lan,ip={ip}", seat.note()),
            )
        };
        let told = |former: Guest| {
            let mut w = world();
            w.guests = Part::new(vec![of("9998", Seat::Acting, "10.20.0.1/24"), former], Stamp(1), From::Files);
            findings(&w).into_iter().map(|f| f.why).collect::<Vec<_>>()
        };
        let both = told(of("9999", Seat::Former, "10.20.0.1/24"));
        assert!(both.len() == 1 && both[0].contains("address of the appliance 9998"), "{both:?}");
        assert!(told(of("9999", Seat::Former, "10.20.0.2/24")).is_empty());
        assert!(told(Guest { power: Power::Stopped, ..of("9999", Seat::Former, "10.20.0.1/24") }).is_empty());
    }

    #[test]
    fn who_stands_aside_for_too_long_is_told() {
        let told = |note: &str, days: i64| {
            let mut w = world();
            let conf = format!("#{note}\nhostname: web-101\n");
            let now = Stamp::from_secs(1_795_000_000 + days * 86_400);
            w.guests = Part::new(vec![super::super::conf::parse_lxc(101.try_into().unwrap(), &conf)], now, From::Files);
            findings(&w).into_iter().filter(|f| f.pane == "backups").map(|f| f.why).collect::<Vec<_>>()
        };
        let place = "103 took its place: {\"hostname\":\"web\",\"onboot\":true,\"nets\":{}}";
        let since = format!("Set aside by Proximity {}; {place}", Stamp::from_secs(1_795_000_000).rfc3339());
        assert_eq!(told(&since, 2), Vec::<String>::new());
        let why = told(&since, 4).concat();
        assert!(why.contains("aside since 4 d ago, for 103") && why.contains("backup swap 103 101"), "{why}");
        for other in [&*format!("Set aside by Proximity; {place}"), "Set aside by Proximity 2020-01-01T00:00:00Z; by hand", "mine"] {
            assert_eq!(told(other, 4), Vec::<String>::new(), "{other}");
        }
    }

    #[test]
    fn an_archive_that_did_not_come_back_is_told_until_another_one_does() {
        use super::super::{backup, plan::Check, plan::Purpose, proof};
        let vmid = 103.try_into().unwrap();
        let restore = |id, state| proof::tests::job(id, state, &[Check::Answers { vmid }], Purpose::RestoreBeside);
        let told = |mut jobs: Vec<super::super::job::Job>| {
            // Newest first, as the store tells them; so many others came after.
            jobs.extend((100..100 + NEWEST as i64).map(|id| proof::tests::job(id, State::Succeeded, &[], Purpose::Backup)));
            jobs.sort_by_key(|j| std::cmp::Reverse(j.id));
            let mut w = world();
            w.guests = Part::new(vec![super::super::conf::parse_lxc(101.try_into().unwrap(), "hostname: web")], Stamp(1), From::Files);
            let archive = backup::tests::archive(101, "local:backup/x.tar.zst", Stamp(0), 7);
            w.archives = Part::new(vec![archive], Stamp(1), From::Files);
            w.jobs = Part::new(jobs, Stamp(1), From::Files);
            findings(&w).into_iter().filter(|f| f.what == "backup of 101 web").map(|f| f.why).collect::<Vec<_>>()
        };
        let why = told(vec![restore(1, State::Succeeded), restore(2, State::Failed)]);
        assert!(why.len() == 1 && why[0].starts_with("x.tar.zst was restored and did not come back: nothing listens on 80"), "{why:?}");
        assert!(told(vec![restore(1, State::Failed), restore(2, State::Succeeded)]).is_empty());
        assert!(told(vec![restore(200, State::Failed)]).is_empty(), "its job tells it");
    }

    #[test]
    fn silence_is_never_health() {
        let mut w = world();
        assert!(findings(&w).is_empty());
        w.guests = Part::unknown("/etc/pve is empty", Stamp(2));
        let f = findings(&w);
        assert_eq!((f.len(), f[0].level), (1, Level::Unknown));
    }

    #[test]
    fn a_lock_without_a_task_is_bad_and_without_a_look_unknown() {
        let mut w = world();
        let mut g = Guest::bare("101".parse().unwrap(), Kind::Lxc);
        g.lock = Some("backup".into());
        w.guests.known.as_mut().unwrap().push(g);
        assert_eq!(findings(&w)[0].level, Level::Bad);
        w.tasks = Part::unknown("cannot read", Stamp(1));
        assert!(findings(&w).iter().all(|f| f.level == Level::Unknown));
    }

    #[test]
    fn a_log_that_is_wrong_is_found_with_its_name_and_one_that_was_not_looked_at_is_unknown() {
        use super::log_health::{Entry, Found, Seen};
        let mut w = world();
        let entry = |size| Entry { path: "/var/log/app.log".into(), size, modified: Stamp(1), born: None };
        let found =
            |size| Found { files: vec![entry(size)], space: super::super::storage::Space { total: 9, used: 1, avail: 8 }, left_out: 0 };
        let seen = |size| Seen::new("101".parse().ok(), false, found(size), None, None, Stamp(1));
        w.logs = Part::new(vec![seen(5 << 30)], Stamp(1), From::Files);
        let f = findings(&w);
        assert_eq!((f[0].log.as_deref(), f[0].pane, f.len()), (Some("101:/var/log/app.log"), "logs", 1));
        w.logs = Part::new(vec![seen(5)], Stamp(1), From::Files);
        assert!(findings(&w).is_empty());
        w.logs = Part::unknown("no", Stamp(1));
        assert_eq!((findings(&w)[0].level, findings(&w)[0].what.as_str()), (Level::Unknown, "logs"));
    }

    #[test]
    fn lamps_that_were_asked_and_the_range_are_told() {
        let lamp = |name, light| Lamp { name, light, says: format!("{name} says"), evidence: Vec::new() };
        let lamps = vec![lamp("dns", Light::Pass), lamp("nat", Light::Warn), lamp("dhcp", Light::Fail), lamp("disk", Light::Unknown)];
        let seen = |lamps: Vec<Lamp>, used, forecast| appliance::Seen {
            instances: vec![],
            lamps,
            leases: Ok(vec![]),
            pool: Some(Pool { used, size: 100 }),
            forecast,
        };
        let told = |w: &World| findings(w).iter().map(|f| format!("{:?} {} {} {}", f.level, f.what, f.why, f.pane)).collect::<Vec<_>>();
        let mut w = world();
        let learn = |w: &mut World, seen| w.appliance = Part::new(seen, Stamp(1), From::Pct);
        learn(&mut w, seen(lamps, 89, Forecast::In(14)));
        assert_eq!(
            told(&w),
            [
                "Bad appliance dhcp dhcp says appliance",
                "Warn appliance nat nat says appliance",
                "Unknown appliance could not be asked: disk appliance"
            ]
        );
        for (used, forecast, level) in [
            (90, Forecast::Unknown("1 of 3 days seen".into()), "Warn"),
            (20, Forecast::In(13), "Warn"),
            (90, Forecast::Steady, "Warn"),
            (100, Forecast::Full, "Bad"),
        ] {
            learn(&mut w, seen(vec![], used, forecast.clone()));
            assert_eq!(told(&w), [format!("{level} addresses for apps {used} of 100 are in use, {} appliance", forecast.words())]);
        }
        w.guests.known.as_mut().unwrap()[0].power = Power::Stopped;
        assert_eq!(findings(&w).len(), 1, "that it is stopped, and nothing else");
    }

    #[test]
    fn ports_that_were_changed_and_those_that_are_used_up_are_told() {
        use crate::domain::ports::{Bad, Held, Past, PortMap, What};
        let ranges = Ranges::of(&crate::domain::settings::Settings::default()).unwrap();
        let held = |n: usize, word: &str| {
            let pair = ranges.pairs().nth(n).unwrap();
            Held { pair, what: What::Reserved(format!("{word}-{n}").parse().unwrap()), at: Stamp(1), by: "ada".into() }
        };
        let cooling = |n, free| Past { was: held(n, "was"), until: Stamp(1), by: "ada".into(), free: Stamp(free) };
        let told = |all: usize, cooling: Vec<Past>| {
            let map = PortMap { held: (0..all).map(|n| held(n, "app")).collect(), cooling, ..PortMap::default() };
            let w = World { ports: Part::new(map, Stamp(5), From::Files), ..world() };
            findings(&w).iter().map(|f| format!("{:?} {} {}", f.level, f.what, f.why)).collect::<Vec<_>>().join("; ")
        };
        assert_eq!((told(0, vec![]), told(899, vec![cooling(3, 9), cooling(900, 4)])), (String::new(), String::new()));
        let says = |level: &str, n| format!("{level} ports for apps {n} of 1000 pairs are held or cool down; see proximity ports list");
        assert_eq!((told(899, vec![cooling(900, 6)]), told(1000, vec![])), (says("Warn", 900), says("Bad", 1000)));
        let map = PortMap { bad: vec![Bad { pair: None, why: "a row was changed".into() }], ..PortMap::default() };
        let bad = findings(&World { ports: Part::new(map, Stamp(5), From::Files), ..world() });
        assert_eq!((bad.len(), bad[0].level, bad[0].why.as_str()), (1, Level::Bad, "a row was changed"));
        let unknown = findings(&World { ports: Part::unknown("it is locked", Stamp(5)), ..world() });
        assert_eq!((unknown.len(), unknown[0].level), (1, Level::Unknown));
    }

    #[test]
    fn what_is_not_as_it_was_promised_is_told_and_many_of_it_as_one() {
        use crate::domain::ports::{Drift, LastWell, Mend, Truth};
        use crate::domain::world::Gap;
        let drift = |kind| vec![Drift { kind, says: format!("{kind} says"), mend: Mend::Apply }];
        let row = |name: &str, outside: Answer, drift| Row {
            public: Some(30_000),
            internal: Some(40_000),
            state: "published",
            name: name.parse().ok(),
            note: String::new(),
            target: String::new(),
            tls: None,
            outside,
            inside: Answer::NotAsked,
            lately: Default::default(),
            since: None,
            drift,
        };
        let told = |truth: Truth, power| {
            let mut w = World { truth: Part::new(truth, Stamp::from_secs(9000), From::Pct), ..world() };
            w.guests.known.as_mut().unwrap()[0].power = power;
            findings(&w).iter().filter(|f| f.pane == "ports").map(|f| format!("{:?} {} {}", f.level, f.what, f.why)).collect::<Vec<_>>()
        };
        let status = |code| Answer::Status { code, ms: 1, size: None };
        let mut rows = vec![
            row("web", status(200), vec![]),
            row("wiki", status(502), drift("answers-502")),
            row("blog", status(200), drift("site-edited")),
            row("open", status(200), drift("internal-open")),
        ];
        rows[1].lately[0].well = LastWell::At(Stamp::from_secs(1800));
        rows[2].lately[0].well = LastWell::Never;
        let gaps = vec![Gap { what: "leases".into(), why: "no".into() }];
        let truth = Truth { rows, drift: drift("base-edited"), gaps, ..Truth::default() };
        assert_eq!(
            told(truth.clone(), Power::Running),
            [
                "Bad published wiki answers-502 says; it last answered well 2 h 0 min before; proximity ports converge",
                "Bad published open internal-open says; proximity ports converge",
                "Warn ports base-edited base-edited says; proximity ports converge",
                "Warn published blog site-edited says; proximity ports converge",
                "Unknown ports could not be asked: leases",
            ]
        );
        assert!(told(truth, Power::Stopped).is_empty());
        let rows = vec![row("web", status(200), drift("site-edited")); 7];
        let many = told(Truth { rows, ..Truth::default() }, Power::Running);
        assert_eq!(many, ["Warn ports 7 ports are not as they were promised; see proximity ports drift"]);
    }

    /// What is known against certificates is told, the worst few by their names; what was not looked at is nothing.
    #[test]
    fn certificates_that_are_to_be_looked_at_are_told() {
        use crate::domain::certificate::{Inventory, KeyState, Thresholds, Whose, parts};
        let made = rcgen::generate_simple_self_signed(vec!["a.home".into()]).unwrap();
        let own = parts(made.cert.der()).unwrap();
        let now = Stamp(own.certificate.not_before.0 + 1);
        let item = |name: &str, key| Item {
            whose: Whose::Given,
            name: name.into(),
            at: format!("/{name}"),
            chain: vec![own.clone()],
            key,
            serves: vec!["cloud 30017".into()],
            belief: None,
        };
        let told = |items: Vec<Item>| {
            let all = Inventory::new(items, Vec::new(), Thresholds { warn_s: 2, bad_s: 1 }, now);
            let w = World { certificates: Part::new(all, now, From::Pct), ..world() };
            findings(&w).iter().map(|f| format!("{:?} {} {} {}", f.level, f.what, f.why, f.pane)).collect::<Vec<_>>()
        };
        let other = "Bad certificate x the key beside it is another one's; it serves cloud 30017 ports";
        assert_eq!(told(vec![item("y", KeyState::Matches), item("x", KeyState::Other), item("z", KeyState::Unknown("?".into()))]), [other]);
        let many = told((0..8).map(|_| item("x", KeyState::Other)).collect());
        assert_eq!(
            (many.len(), many[6].as_str()),
            (7, "Bad certificates 2 more are to be looked at; see proximity ports certificates ports")
        );
        let unknown = World { certificates: Part::unknown("no", now), ..world() };
        assert_eq!(findings(&unknown)[0].level, Level::Unknown);
        assert!(findings(&world()).is_empty(), "nobody looked yet");
    }

    #[test]
    fn the_appliance_is_missed() {
        let mut w = world();
        w.guests = Part::new(vec![], Stamp(1), From::Files);
        assert_eq!((findings(&w)[0].what.as_str(), findings(&w)[0].level), ("appliance", Level::Bad));
        w.guests.from = From::Kernel;
        assert_eq!((findings(&w)[0].what.as_str(), findings(&w)[0].level), ("appliance", Level::Unknown));
    }
}
