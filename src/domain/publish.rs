//! A wish about what is published becomes a plan: all sites of it in a folder of their own, tried by Caddy, put in force by
//! one rename and one reload, asked from outside; or put back.
//!
//! ```text
//! /etc/caddy/proximity/v41 v42        the versions, each whole
//! /etc/caddy/proximity/current -> v42 what the base imports
//! ```
//!
//! A plan that is broken off anywhere leaves the old version in force or the new one, never a part of it.

use super::appliance::desired::FORMAT;
use super::appliance::files::{CADDYFILE, CURRENT, VERSIONS, made_by_us};
use super::appliance::provision::acting;
use super::appliance::system::{Service as SystemService, System};
use super::caddy;
use super::change::{Change, Lay, Place, Turn, Was};
use super::clean::clean;
use super::cmd::Cmd;
use super::guest::Vmid;
use super::plan::{Act, Check, Plan, Purpose, Refusal, Risk, Step, Wants};
use super::ports::{Decided, Pair, PortMap, PortWish, ServiceName};
use super::pve;
use super::service::{Carry, Published, Service, Spec};
use super::settings::Settings;
use super::world::World;

/// What is wished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishWish {
    /// Publish this under its name, on the pair that it has or gets; again, it is changed to this.
    Publish {
        /// Its name.
        name: ServiceName,
        /// What, and how.
        spec: Box<Spec>,
        /// Also where nothing answers behind it yet.
        unanswered: bool,
    },
    /// Publish it no more; its ports are given back.
    Unpublish(ServiceName),
    /// Bring everything that is published in force as it was promised.
    Converge,
}

impl PublishWish {
    /// As the beginning of a refusal.
    pub fn words(&self) -> String {
        match self {
            PublishWish::Publish { name, .. } => format!("publish {name}"),
            PublishWish::Unpublish(name) => format!("publish {name} no more"),
            PublishWish::Converge => "bring what is published in force".into(),
        }
    }

    /// Whose it is.
    pub fn name(&self) -> Option<&ServiceName> {
        match self {
            PublishWish::Publish { name, .. } | PublishWish::Unpublish(name) => Some(name),
            PublishWish::Converge => None,
        }
    }

    /// What it changes of what is remembered.
    pub fn of_ports(&self) -> Option<PortWish> {
        match self {
            PublishWish::Publish { name, spec, .. } => Some(PortWish::Publish(name.clone(), spec.clone(), None)),
            PublishWish::Unpublish(name) => Some(PortWish::Unpublish(name.clone())),
            PublishWish::Converge => None,
        }
    }
}

/// What lies in the appliance and works there.
#[derive(Debug, Clone)]
pub struct Ground {
    /// What lies in [`VERSIONS`], by name.
    pub versions: Vec<String>,
    /// Where [`CURRENT`] leads; none where it is no link.
    pub current: Option<String>,
    /// The files of the current version: name and bytes; no bytes for what is no file.
    pub files: Vec<(String, Option<Vec<u8>>)>,
    /// The base that imports them.
    pub base: Option<Vec<u8>>,
    /// What the appliance runs.
    pub system: System,
    /// Whether Caddy runs: it is then told about the new files without an interruption.
    pub caddy_runs: bool,
    /// Whether it works by its files as they are now; why not.
    pub in_force: Result<(), String>,
    /// Number of its user and its group.
    pub caddy: (u32, u32),
}

/// The base while a version is tried: it imports that one. In its own folder, so that it reads everything else the same.
const TRIAL: &str = "/etc/caddy/Caddyfile.proximity-next";

/// What Caddy writes when it only tries: its internal authority, where a site wants one.
const TRIAL_DATA: &str = "/tmp/proximity-trial";

/// Versions that stay besides the one in force: the one before.
const KEPT: usize = 1;

impl Ground {
    fn number(name: &str) -> Option<u32> {
        name.strip_prefix('v').filter(|n| n.bytes().all(|b| b.is_ascii_digit())).and_then(|n| n.parse().ok())
    }

    /// The number of the next version.
    fn next(&self) -> u32 {
        self.versions.iter().filter_map(|v| Self::number(v)).max().map_or(1, |n| n.saturating_add(1))
    }

    fn file(&self, name: &str) -> Option<&Option<Vec<u8>>> {
        self.files.iter().find(|(n, _)| n == name).map(|(_, bytes)| bytes)
    }
}

/// All files that are to be: name and text, by name.
pub fn wanted(map: &PortMap, settings: &Settings) -> Result<Vec<(String, String)>, String> {
    let (domain, trusted) = caddy::around(settings)?;
    let site = |s: &Published| {
        let pair = map.of(&s.name)?.pair;
        let spec = s.spec.clone().within(&domain);
        Some((format!("{}.caddy", s.name), caddy::site(&Service { name: s.name.clone(), pair, spec }, &trusted)))
    };
    Ok(map.services.iter().filter(|s| s.spec.carry == Carry::Http).filter_map(site).collect())
}

/// What is published as it will be remembered when a wish is.
pub fn after(map: &PortMap, decided: &Decided) -> PortMap {
    let mut map = map.clone();
    let Some(change) = &decided.change else { return map };
    map.held.retain(|h| h.pair != change.pair);
    map.held.extend(change.after.clone());
    if let Some((name, published)) = &change.service {
        map.services.retain(|s| s.name != *name);
        map.services.extend(published.clone());
        map.services.sort_by(|a, b| a.name.cmp(&b.name));
        map.bad_services.retain(|(whose, _)| whose.as_ref() != Some(name));
    }
    map
}

/// The plan, or why it is refused. `map` is what is remembered when it is carried out; `wish` is what is to be remembered first.
pub fn plan(
    world: &World,
    asked: &PublishWish,
    map: &PortMap,
    wish: Option<(PortWish, Pair)>,
    settings: &Settings,
    ground: &Ground,
) -> Result<Plan, Refusal> {
    let refuse = |why: String, hint: &str| Refusal::new(asked.words(), why, hint);
    let vmid = acting(world).map_err(|(why, hint)| refuse(why, &hint))?;
    if let Some((_, why)) = map.bad_services.first() {
        return Err(refuse(why.clone(), "find out who wrote there"));
    }
    let base = ground.base.as_deref().map(String::from_utf8_lossy);
    let import = format!("import {}/*.caddy", CURRENT.trim_start_matches("/etc/caddy/"));
    let Some(base) = base.filter(|b| b.lines().any(|l| l.trim() == import)) else {
        let why = format!("{CADDYFILE} in {vmid} does not import what Proximity publishes");
        return Err(refuse(why, "bring the appliance back to its settings first: proximity appliance converge"));
    };
    let wanted = wanted(map, settings).map_err(|why| refuse(why, "see proximity settings list"))?;
    if let Some((name, why)) = wanted.iter().find_map(|(name, text)| Some((name, caddy::denied(text)?))) {
        return Err(refuse(format!("{name} would hold what no site may: {why}"), ""));
    }
    // A link to what is no version, or to one that is gone, has nothing to go on from: all is written anew.
    let astray = ground.current.as_ref().is_some_and(|to| !ground.versions.contains(to));
    let emptied = Ground { files: Vec::new(), ..ground.clone() };
    let ground = if astray { &emptied } else { ground };
    let at = Place::Guest(vmid);
    let number = ground.next();
    let version = format!("v{number}");
    let folder = format!("{VERSIONS}/{version}");
    // Who publishes one thing changes that one; what else is not as promised waits for whoever wants it mended.
    let own = asked.name().map(|name| format!("{name}.caddy"));
    let all = changes(ground, &wanted, &folder, at);
    let (changes, others): (Vec<Change>, Vec<Change>) =
        all.into_iter().partition(|c| own.as_ref().is_none_or(|own| c.path.rsplit('/').next() == Some(own)));
    let (title, pair) = match (asked, &wish) {
        (PublishWish::Publish { name, spec, .. }, Some((_, pair))) => (format!("publish {name} on {pair}: {}", spec.to), Some(*pair)),
        _ => (asked.words(), None),
    };
    let mut facts = Vec::new();
    let new = asked.name().is_some_and(|name| world.ports.get().is_some_and(|m| m.service(name).is_none()));
    if let (Some((_, pair)), PublishWish::Unpublish(_)) = (&wish, asked) {
        facts.push(format!("{pair} are given back and cool down; whoever uses them is refused"));
    } else if !new {
        facts.push("connections that are open go on as they were".into());
    }
    let mut notes = Vec::new();
    if !others.is_empty() {
        let names: Vec<String> = others.iter().filter_map(|c| c.path.rsplit('/').next()).map(clean).collect();
        notes.push(format!("left as it is, and not as promised: {}; see proximity ports converge", names.join(", ")));
    }
    if let (Err(why), Some(_)) = (&ground.in_force, ground.caddy_runs.then_some(())) {
        notes.push(format!("{why}; whatever was changed by hand is loaded, too"));
    }
    if !ground.caddy_runs {
        notes.push("Caddy does not run; it is started".into());
    }
    // Files that are as promised are not in force where there is no link to them.
    let in_place = wanted.is_empty() || ground.current.is_some();
    let mut steps = match (changes.is_empty() && in_place, &ground.in_force) {
        (true, Ok(())) => Vec::new(),
        (true, Err(_)) => vec![load(ground, vmid)],
        (false, _) => {
            let lay = Lay { at, from: ground.current.as_ref().filter(|_| !astray).map(|_| CURRENT.to_owned()), files: changes, folder };
            swap(ground, lay, &base, &version, vmid)
        }
    };
    if steps.iter().any(|s| matches!(s.act, Act::Lay(_))) {
        steps.push(forget(at, &left_over(ground, number)));
    }
    match (asked, pair) {
        // Saved is said only after it served.
        (PublishWish::Publish { spec, unanswered, .. }, Some(pair)) if spec.carry == Carry::Http => {
            let check = Check::Serves { vmid, pair, unanswered: *unanswered, tls: spec.tls.clone() };
            steps.push(Step { always: true, ..Step::wait("ask both ports", 8, check) });
        }
        _ if !steps.is_empty() => {
            // What is promised and has no file waits for whoever wants it mended.
            let is_there = |s: &&Published| {
                let name = format!("{}.caddy", s.name);
                s.spec.carry == Carry::Http && (own.is_none() || ground.file(&name).is_some())
            };
            let held = map.services.iter().filter(is_there).filter_map(|s| map.of(&s.name));
            let ports: Vec<u16> = held.flat_map(|h| [h.pair.public, h.pair.internal]).collect();
            if !ports.is_empty() {
                let check = Check::Listens { vmid, ports };
                steps.push(Step { always: true, ..Step::wait("ask whether all ports are listened on", 8, check) });
            }
        }
        _ => {}
    }
    let risk = if new { Risk::Low } else { Risk::Interrupts };
    let wish = wish.map(|(wish, pair)| match wish {
        PortWish::Publish(name, spec, _) => PortWish::Publish(name, spec, Some(pair)),
        other => other,
    });
    Ok(Plan { purpose: Purpose::Publish(wish), title, guest: vmid, host: world.place.host.clone(), facts, notes, risk, steps })
}

/// What is other in the new version than in the current one. What is not ours in there stays as it is.
fn changes(ground: &Ground, wanted: &[(String, String)], folder: &str, at: Place) -> Vec<Change> {
    let change = |name: &str, was: Was, now: Option<&String>| Change {
        at,
        path: format!("{folder}/{name}"),
        was,
        now: now.map(|text| text.clone().into()),
        mode: 0o644,
        test: Vec::new(),
    };
    let mut out = Vec::new();
    for (name, text) in wanted {
        match ground.file(name) {
            Some(Some(bytes)) if bytes == text.as_bytes() => {}
            Some(found) => out.push(change(name, found.clone().into(), Some(text))),
            None => out.push(change(name, Was::Nothing, Some(text))),
        }
    }
    for (name, found) in &ground.files {
        let ours = found.as_ref().is_some_and(|b| made_by_us(&String::from_utf8_lossy(b)).is_some_and(|format| format <= FORMAT));
        if ours && name.ends_with(".caddy") && !wanted.iter().any(|(n, _)| n == name) {
            out.push(change(name, found.clone().into(), None));
        }
    }
    out
}

/// From the files to what is in force.
fn swap(ground: &Ground, mut lay: Lay, base: &str, version: &str, vmid: Vmid) -> Vec<Step> {
    let at = lay.at;
    let within = CURRENT.trim_start_matches("/etc/caddy/");
    let trial = base.replace(&format!("{within}/"), &format!("{}/", lay.folder));
    let beside = Change { at, path: TRIAL.into(), was: Was::Any, now: Some(trial.into()), mode: 0o644, test: Vec::new() };
    lay.files.push(beside);
    // An authority that is made for a trial is none of the appliance's.
    let data = format!("XDG_DATA_HOME={TRIAL_DATA}");
    let argv = ["env", "HOME=/var/lib/caddy", &data, "caddy", "validate", "--adapter", "caddyfile", "--config", TRIAL];
    let taken = Check::Says {
        what: "Caddy takes all files together".into(),
        cmd: pve::attach_as(vmid, ground.caddy, argv).limit(30),
        wants: Wants::Success,
    };
    let mut steps = Vec::new();
    // A folder in the link's place would swallow what is renamed to it.
    if ground.current.is_none() && ground.versions.iter().any(|v| v == "current") {
        let aside = format!("{VERSIONS}/set-aside-before-{version}");
        let there = Check::Says { what: format!("{aside} is there"), cmd: at.quick(["ls", "-d", &aside]), wants: Wants::Success };
        let step = Step::run("set aside what stands in the link's place", at.quick(["mv", "-T", CURRENT, &aside]), there);
        steps.push(step.undone_by(at.quick(["mv", "-T", &aside, CURRENT])));
        lay.from = Some(aside);
    }
    steps.push(Step::lay(lay.shown(), lay));
    steps.push(Step { always: true, ..Step::wait("ask whether Caddy takes them", 0, taken) });
    let turn = Turn { at, link: CURRENT.into(), to: Some(version.to_owned()) };
    let as_before = Check::Says {
        what: format!("{CURRENT} leads where it led when this was planned"),
        cmd: turn.question(),
        wants: ground.current.clone().map_or(Wants::Status(1), |to| Wants::OneOf(vec![to])),
    };
    // Taken back last: when the link leads where it led, that is loaded again.
    let asked = Step::wait("ask whether nobody else changed them", 0, as_before).undone_by(reload(vmid));
    steps.push(Step { always: true, ..asked });
    steps.push(Step::turn(turn, ground.current.clone()));
    steps.push(load(ground, vmid));
    steps
}

/// By Caddy's administration: connections that are open go on.
fn reload(vmid: Vmid) -> Cmd {
    pve::attach(vmid, ["caddy", "reload", "--adapter", "caddyfile", "--config", CADDYFILE]).limit(20)
}

/// Has Caddy work by its files; where it does not run it is started.
fn load(ground: &Ground, vmid: Vmid) -> Step {
    let cmd = if ground.caddy_runs { reload(vmid) } else { pve::attach(vmid, ground.system.restart(SystemService::Caddy)).limit(60) };
    Step { always: true, ..Step::run("have Caddy work by them", cmd, Check::CaddyByFiles { vmid }) }
}

/// Asks whether Caddy works by its files, and changes nothing.
pub fn is_in_force(vmid: Vmid) -> Step {
    Step { always: true, ..Step::wait("ask whether Caddy works by its files", 8, Check::CaddyByFiles { vmid }) }
}

/// Old versions: all but the one in force, the one before, and the new one.
fn left_over(ground: &Ground, new: u32) -> Vec<String> {
    let current = ground.current.as_deref().and_then(Ground::number);
    let mut all: Vec<u32> = ground.versions.iter().filter_map(|v| Ground::number(v)).filter(|n| *n != new).collect();
    all.sort_unstable_by_key(|n| (Some(*n) != current, std::cmp::Reverse(*n)));
    all.into_iter().skip(KEPT).map(|n| format!("{VERSIONS}/v{n}")).collect()
}

fn forget(at: Place, gone: &[String]) -> Step {
    let words = ["rm", "-rf", "--", TRIAL, TRIAL_DATA].into_iter().map(str::to_owned).chain(gone.iter().cloned());
    let check = Check::Content { at, path: TRIAL.into(), digest: None };
    Step { always: true, ..Step::run("forget what is older than the version before", at.quick(words), check) }
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
