//! Drift of what is published: what was found is compared with what was promised, and each difference gets its name, one
//! sentence and the one thing that mends it. What could not be asked is told as a gap, and never taken for well.
//!
//! ```text
//! mod.rs      what was found; the rows      running.rs   what Caddy works by, what listens
//! files.rs    what lies in the appliance    behind.rs    guests and leases that the upstreams are
//! kinds.rs    all kinds, each with what it means           answers.rs   what came back from ports
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::{Answer, Chain, Drift, Mend, Nearer, Pair, PortMap, Ranges, Row, ServiceName, Sockets, State, Traffic, Truth, Usage, What};
use crate::domain::appliance::is_ours;
use crate::domain::appliance::lease::{self, Pool};
use crate::domain::appliance::names::Name;
use crate::domain::certificate::Thresholds;
use crate::domain::clean::clean;
use crate::domain::guest::{Guest, Power, Vmid};
use crate::domain::service::{Carry, Proof, Published, Service};
use crate::domain::stamp::Stamp;
use crate::domain::world::{From, Gap, World};

mod answers;
mod behind;
mod files;
mod kinds;
mod running;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use files::Files;
pub use kinds::{KINDS, means};
pub use running::Served;

/// How the appliance is, as far as that decides whether anything in it can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appliance {
    /// It runs.
    Runs(Vmid),
    /// It is there and stopped.
    Stopped(Vmid),
    /// There is none.
    Missing,
    /// Why that is not known.
    Unknown(String),
}

impl Appliance {
    /// What is known of it without asking it.
    pub fn of(world: &World) -> Appliance {
        let vmid = world.appliance_id();
        let guests = match &world.guests.known {
            Ok(guests) => guests,
            Err(why) => return Appliance::Unknown(format!("the guests are unknown: {why}")),
        };
        match guests.iter().find(|g| g.id == vmid && is_ours(g)).map(|g| g.power) {
            Some(Power::Running) => Appliance::Runs(vmid),
            Some(Power::Stopped) => Appliance::Stopped(vmid),
            Some(Power::Unknown) => Appliance::Unknown("whether the appliance runs is unknown".into()),
            None if world.guests.from == From::Kernel => Appliance::Unknown("whether there is an appliance is unknown".into()),
            None => Appliance::Missing,
        }
    }
}

/// What the settings say about all that is published.
#[derive(Debug, Clone)]
pub struct Around {
    /// Which pairs are given out.
    pub ranges: Ranges,
    /// Domain of the apps.
    pub domain: Name,
    /// Who may use internal ports.
    pub trusted: Vec<IpNet>,
    /// Network of the apps, and the appliance's own address there.
    pub lan: Option<(Ipv4Net, Ipv4Addr)>,
    /// When a certificate is to be looked at.
    pub thresholds: Thresholds,
}

/// What came back from ports; in each the answer by port, or why nobody could ask.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Public ports, asked by the host at the appliance's address on the way out.
    pub outside: Result<BTreeMap<u16, Answer>, String>,
    /// Internal ports, asked inside the appliance.
    pub inside: Result<BTreeMap<u16, Answer>, String>,
    /// Internal ports, asked as those outside are asked.
    pub strange: Result<BTreeMap<u16, Answer>, String>,
    /// Certificates that ports showed, by port.
    pub shown: BTreeMap<u16, Chain>,
    /// Certificates that public authorities gave out, as they lie in the appliance, by the public port.
    pub lies: BTreeMap<u16, Chain>,
    /// Whether whoever asked so is trusted, and may therefore be answered.
    pub asker_trusted: bool,
}

impl Answered {
    /// Nobody could be asked, and why.
    pub fn not(why: String) -> Answered {
        Answered {
            outside: Err(why.clone()),
            inside: Err(why.clone()),
            strange: Err(why),
            shown: BTreeMap::new(),
            lies: BTreeMap::new(),
            asker_trusted: true,
        }
    }
}

/// Everything that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// What is promised.
    pub map: Result<PortMap, String>,
    /// The files that are to be in force: name and text.
    pub sites: Result<Vec<(String, String)>, String>,
    /// What the settings say.
    pub around: Result<Around, String>,
    /// The appliance.
    pub appliance: Appliance,
    /// What lies in it.
    pub files: Result<Files, String>,
    /// What Caddy would make of its files; `Ok(Err)` says why it takes them not.
    pub adapted: Result<Result<Served, String>, String>,
    /// What Caddy works by.
    pub running: Result<Served, String>,
    /// What listens.
    pub sockets: Sockets,
    /// What was lent.
    pub leases: Result<Vec<lease::Row>, String>,
    /// All guests, where a guest that is not among them is certainly not there.
    pub guests: Result<Vec<Guest>, String>,
    /// What came back from ports.
    pub answered: Answered,
    /// Who came, by port.
    pub traffic: Result<BTreeMap<u16, Traffic>, String>,
    /// How many addresses of the apps are used.
    pub pool: Result<Pool, String>,
}

/// A published thing with everything that follows from it.
struct Promise<'a> {
    published: &'a Published,
    service: Service,
    /// Its file by its name; none where it is carried by no site.
    text: Option<&'a str>,
}

impl Promise<'_> {
    fn name(&self) -> &ServiceName {
        &self.service.name
    }

    fn pair(&self) -> Pair {
        self.service.pair
    }
}

fn drift(kind: &'static str, says: impl AsRef<str>, mend: Mend) -> Drift {
    debug_assert!(KINDS.iter().any(|(k, _)| *k == kind), "{kind} is no kind");
    Drift { kind, says: clean(says.as_ref()), mend }
}

fn hand(what: impl AsRef<str>) -> Mend {
    Mend::Hand(clean(what.as_ref()))
}

/// Judges. `now` ends cool-downs.
pub fn judge(found: &Found, now: Stamp) -> Truth {
    let mut out = Truth { gaps: found.sockets.gaps.clone(), ..Truth::default() };
    let mut gap = |what: &str, why: &str| {
        let gap = Gap { what: what.to_owned(), why: clean(why) };
        if !out.gaps.contains(&gap) {
            out.gaps.push(gap);
        }
    };
    let around = found.around.as_ref().map_err(|why| gap("how the sites should be", why)).ok();
    let sites = found.sites.as_ref().map_err(|why| gap("how the sites should be", why)).ok();
    let nothing = PortMap::default();
    let map = found.map.as_ref().map_err(|why| gap("what is published", why)).unwrap_or(&nothing);
    map.bad.iter().for_each(|bad| gap("ports", &bad.why));
    let promises = promises(map, sites, around);
    let runs = matches!(found.appliance, Appliance::Runs(_));
    if let Appliance::Unknown(why) = &found.appliance {
        gap("the appliance", why);
    }
    if runs {
        let asked = &found.answered;
        let all = [
            ("files of the sites", found.files.as_ref().err()),
            ("what Caddy makes of its files", found.adapted.as_ref().err()),
            ("what Caddy works by", found.running.as_ref().err()),
            ("leases", found.leases.as_ref().err()),
            ("guests", found.guests.as_ref().err()),
            ("who came to the ports", found.traffic.as_ref().err()),
            ("answers of public ports", asked.outside.as_ref().err()),
            ("answers of internal ports", asked.inside.as_ref().err()),
            ("whether strangers reach internal ports", asked.strange.as_ref().err()),
        ];
        all.into_iter().filter_map(|(what, why)| Some((what, why?))).for_each(|(what, why)| gap(what, why));
    }
    whole(found, map, &promises, &mut out);
    out.version = found.files.as_ref().ok().and_then(Files::version);
    out.rows = rows(found, map, around, &promises, now);
    if let Some(around) = around {
        let usage = Usage::count(map, around.ranges, &found.sockets, now);
        out.nearer = Some(Nearer::of(&usage, found.pool.clone()));
        out.usage = Some(usage);
    }
    out
}

fn promises<'a>(map: &'a PortMap, sites: Option<&'a Vec<(String, String)>>, around: Option<&Around>) -> Vec<Promise<'a>> {
    let texts: BTreeMap<&str, &str> = sites.into_iter().flatten().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let one = |published: &'a Published| {
        let pair = map.of(&published.name)?.pair;
        let spec = published.spec.clone();
        let spec = around.map_or(spec.clone(), |a| spec.within(&a.domain));
        let service = Service { name: published.name.clone(), pair, spec };
        let text = texts.get(format!("{}.caddy", published.name).as_str()).copied();
        Some(Promise { published, service, text })
    };
    map.services.iter().filter_map(one).collect()
}

/// What is wrong with no row alone.
fn whole(found: &Found, map: &PortMap, promises: &[Promise<'_>], out: &mut Truth) {
    for bad in &map.bad {
        out.drift.push(drift("row-damaged", &bad.why, hand("find out who wrote there, then release the port by its number")));
    }
    for (name, why) in map.bad_services.iter().filter(|(name, _)| name.as_ref().is_none_or(|n| map.of(n).is_none())) {
        let whose = name.as_ref().map_or("NAME".to_owned(), ToString::to_string);
        out.drift.push(drift("service-damaged", why, hand(format!("proximity ports unpublish {whose}"))));
    }
    match &found.appliance {
        Appliance::Missing if !promises.is_empty() => {
            let says = format!("{} published, and there is no appliance to serve it", things(promises.len()));
            out.drift.push(drift("appliance-missing", says, hand("build it: proximity appliance provision")));
        }
        Appliance::Stopped(vmid) if !promises.is_empty() => {
            let says = format!("{} published, and the appliance {vmid} is stopped", things(promises.len()));
            out.drift.push(drift("appliance-stopped", says, Mend::Start(*vmid)));
        }
        Appliance::Runs(vmid) => {
            out.drift.extend(files::whole(found, map, promises, *vmid));
            out.drift.extend(running::whole(found, map, promises, *vmid));
            // What is not there cannot be taken, and that is told as what it is.
            if out.drift.iter().any(|d| d.kind == "base-missing") {
                out.drift.retain(|d| d.kind != "base-refused");
            }
        }
        _ => {}
    }
}

fn things(n: usize) -> String {
    if n == 1 { "one thing is".to_owned() } else { format!("{n} things are") }
}

/// All pairs that are not free, and all that Caddy serves besides.
fn rows(found: &Found, map: &PortMap, around: Option<&Around>, promises: &[Promise<'_>], now: Stamp) -> Vec<Row> {
    let mut out = Vec::new();
    let by_name: BTreeMap<&ServiceName, &Promise<'_>> = promises.iter().map(|p| (p.name(), p)).collect();
    let look = Look::new(found, around, promises, now);
    for held in &map.held {
        let mut row = Row {
            public: Some(held.pair.public),
            internal: Some(held.pair.internal),
            state: held.what.word(),
            name: held.what.name().cloned(),
            note: held.what.reason().map(ToString::to_string).unwrap_or_default(),
            target: String::new(),
            tls: None,
            outside: Answer::NotAsked,
            inside: Answer::NotAsked,
            lately: Default::default(),
            since: Some(held.at),
            drift: Vec::new(),
        };
        let promise = held.what.name().filter(|_| !matches!(held.what, What::Kept(_))).and_then(|n| by_name.get(n));
        match promise {
            Some(promise) => published(&mut row, promise, &look),
            None => {
                let why = held.what.name().and_then(|n| map.bad_services.iter().find(|(name, _)| name.as_ref() == Some(n)));
                if let (Some((_, why)), Some(name)) = (why, held.what.name()) {
                    row.drift.push(drift("service-damaged", why, hand(format!("publish it anew: proximity ports publish {name} --to …"))));
                } else {
                    row.drift.extend(files::unpublished(&look, held.what.name()));
                }
                row.drift.extend(running::unpublished(&look, held.pair, row.drift.is_empty()));
            }
        }
        out.push(row);
    }
    let held = |pair: Pair| map.held.iter().any(|h| h.pair.meets(pair));
    let mut cooling: BTreeSet<Pair> = BTreeSet::new();
    for past in map.cooling.iter().filter(|p| p.free > now && !held(p.was.pair)) {
        if !cooling.insert(past.was.pair) {
            continue;
        }
        let whose = past.was.what.name();
        let mut row = Row {
            public: Some(past.was.pair.public),
            internal: Some(past.was.pair.internal),
            state: "cooling",
            name: whose.cloned(),
            note: format!("free for others at {}", past.free.rfc3339()),
            target: String::new(),
            tls: None,
            outside: Answer::NotAsked,
            inside: Answer::NotAsked,
            lately: Default::default(),
            since: Some(past.until),
            drift: Vec::new(),
        };
        row.drift.extend(files::cooling(&look, whose));
        row.drift.extend(running::unpublished(&look, past.was.pair, row.drift.is_empty()));
        out.push(row);
    }
    foreign(&look, map, now, &mut out);
    out.sort_by_key(|r| (r.public.or(r.internal), r.internal));
    out
}

/// What all rows are compared with.
struct Look<'a> {
    found: &'a Found,
    around: Option<&'a Around>,
    now: Stamp,
    /// Its number, where it runs.
    vmid: Option<Vmid>,
    /// Hand-written files by the ports that they name.
    by_hand: BTreeMap<u16, Vec<&'a str>>,
    /// All pairs of what is published.
    pairs: Vec<Pair>,
    /// What Caddy works by where it works by anything.
    running: Option<&'a Served>,
    /// What its files would make.
    adapted: Option<&'a Served>,
    /// Guests by their names in small letters.
    guests: Option<BTreeMap<String, Vec<&'a Guest>>>,
}

impl<'a> Look<'a> {
    fn new(found: &'a Found, around: Option<&'a Around>, promises: &[Promise<'_>], now: Stamp) -> Look<'a> {
        let named = |guests: &'a Vec<Guest>| {
            let mut all: BTreeMap<String, Vec<&Guest>> = BTreeMap::new();
            for guest in guests.iter().filter(|g| !g.template) {
                all.entry(guest.label().to_ascii_lowercase()).or_default().push(guest);
            }
            all
        };
        Look {
            found,
            around,
            now,
            vmid: if let Appliance::Runs(vmid) = found.appliance { Some(vmid) } else { None },
            by_hand: found.files.as_ref().map(Files::by_hand).unwrap_or_default(),
            pairs: promises.iter().map(Promise::pair).collect(),
            running: found.running.as_ref().ok(),
            adapted: found.adapted.as_ref().ok().and_then(|a| a.as_ref().ok()),
            guests: found.guests.as_ref().ok().map(named),
        }
    }
}

fn published(row: &mut Row, promise: &Promise<'_>, look: &Look<'_>) {
    row.state = "published";
    row.since = Some(promise.published.at);
    let spec = &promise.service.spec;
    row.target = match spec.carry {
        Carry::Http => spec.to.to_string(),
        carry => format!("{}://{}", carry.word(), spec.to.to_string().split_once("://").map_or("", |(_, place)| place)),
    };
    if spec.proof == Proof::Skipped && spec.to.tls {
        row.note = "whoever stands there is believed: its certificate is not proven".into();
    }
    if look.around.is_some_and(|a| !a.ranges.has(promise.pair())) {
        let says = "its pair lies outside the ranges, so the rules do not keep its internal port for trusted sources";
        row.drift.push(drift("outside-ranges", says, hand("widen ports.public and ports.internal, or publish it anew")));
    }
    answers::put(row, promise, look);
    if look.vmid.is_none() {
        return;
    }
    if spec.carry == Carry::Http {
        row.drift.extend(files::of(promise, look));
        row.drift.extend(running::of(promise, look, row.drift.is_empty()));
    } else {
        row.drift.extend(files::unpublished(look, Some(promise.name())));
    }
    row.drift.extend(running::sockets(promise, look));
    row.drift.extend(behind::of(promise, look));
    let more = answers::of(row, promise, look);
    row.drift.extend(more);
    // What explains that nothing answers is told first: a table has room for one.
    if matches!(&row.outside, Answer::Status { .. } | Answer::Silent(_)) && !row.outside.is_well() {
        row.drift.sort_by_key(|d| !d.kind.starts_with("upstream-"));
    }
}

/// What somebody else has: pairs of the ranges that nobody was given, and all other ports of Caddy's sites.
fn foreign(look: &Look<'_>, map: &PortMap, now: Stamp, out: &mut Vec<Row>) {
    let mut told: BTreeSet<u16> = out.iter().flat_map(|r| [r.public, r.internal]).flatten().collect();
    let note = |ports: &[u16]| {
        let files: BTreeSet<&str> = ports.iter().filter_map(|p| look.by_hand.get(p)).flatten().copied().collect();
        if !files.is_empty() {
            return clean(&files.into_iter().collect::<Vec<_>>().join(", "));
        }
        let words: BTreeSet<&str> = ports.iter().flat_map(|p| look.found.sockets.of(*p)).map(|l| l.words()).collect();
        words.into_iter().collect::<Vec<_>>().join(", ")
    };
    let row = |public: Option<u16>, internal: Option<u16>, note: String| Row {
        public,
        internal,
        state: "foreign",
        name: None,
        note,
        target: String::new(),
        tls: None,
        outside: Answer::NotAsked,
        inside: Answer::NotAsked,
        lately: Default::default(),
        since: None,
        drift: Vec::new(),
    };
    if let Some(around) = look.around {
        let written = |pair: Pair| [pair.public, pair.internal].iter().any(|p| look.by_hand.contains_key(p));
        let is = |pair: &Pair| match State::of(*pair, map, &look.found.sockets, now) {
            State::Foreign => true,
            State::Free => written(*pair),
            _ => false,
        };
        for pair in around.ranges.pairs().filter(is) {
            told.extend([pair.public, pair.internal]);
            let mut row = row(Some(pair.public), Some(pair.internal), note(&[pair.public, pair.internal]));
            row.drift.extend(running::unpublished(look, pair, true));
            out.push(row);
        }
    }
    let served = look.running.into_iter().flat_map(|s| s.ports.keys().copied());
    let ports: BTreeSet<u16> = served.chain(look.by_hand.keys().copied()).filter(|p| !told.contains(p)).collect();
    for port in ports {
        let mut row = row(Some(port), None, note(&[port]));
        row.drift.extend(running::unpublished(look, Pair { public: port, internal: port }, true));
        out.push(row);
    }
}
