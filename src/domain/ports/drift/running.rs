//! What Caddy works by and what listens, beside what was promised and what lies in files.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Appliance, Drift, Found, Look, Promise, drift, hand};
use crate::domain::appliance::CADDY_LOG;
use crate::domain::appliance::files::{ADMIN, CADDYFILE, NAME_KEY, SITES, VERSIONS};
use crate::domain::guest::Vmid;
use crate::domain::ports::{Listener, Mend, Pair, PortMap, Sockets};

/// What Caddy serves by a configuration of it, as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    whole: Value,
    /// Its servers by their ports. Names of servers and of their logs are numbers in the order of files, and are left out.
    pub(super) ports: BTreeMap<u16, Vec<Value>>,
    /// Ports whose requests are all written to the access log, under the name that is theirs.
    pub(super) logged: BTreeSet<u16>,
}

impl Served {
    /// Reads a configuration; `None` for what is none. One that is `null` serves nothing.
    pub fn parse(json: &[u8]) -> Option<Served> {
        let whole: Value = serde_json::from_slice(json).ok()?;
        let mut ports: BTreeMap<u16, Vec<Value>> = BTreeMap::new();
        let mut logged = BTreeSet::new();
        let logs = &whole["logging"]["logs"];
        for server in whole["apps"]["http"]["servers"].as_object().into_iter().flat_map(|s| s.values()) {
            let mut bare = server.clone();
            if let Some(fields) = bare.as_object_mut() {
                fields.remove("listen");
                fields.remove("logs");
            }
            let listen = server["listen"].as_array().into_iter().flatten().filter_map(Value::as_str);
            // The one of whatever no other is named for, so nobody gets past it.
            let log = server["logs"]["default_logger_name"].as_str().map_or(&Value::Null, |name| &logs[name]);
            let key = log["encoder"]["name_key"].as_str().filter(|_| log["writer"]["filename"] == CADDY_LOG && log["level"].is_null());
            for port in listen.flat_map(ports_of) {
                ports.entry(port).or_default().push(bare.clone());
                if key.and_then(|key| key.strip_prefix(NAME_KEY)) == Some(&port.to_string()) {
                    logged.insert(port);
                }
            }
        }
        (whole.is_object() || whole.is_null()).then_some(Served { whole, ports, logged })
    }
}

/// The TCP ports of one `listen`: `:30001`, `10.20.0.1:80-82`, `tcp/:80`.
fn ports_of(listen: &str) -> Vec<u16> {
    let place = match listen.split_once('/') {
        Some(("tcp" | "tcp4" | "tcp6", place)) => place,
        Some(_) => return Vec::new(),
        None => listen,
    };
    let ports = place.rsplit_once(':').map_or("", |(_, ports)| ports);
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => (first..=last).collect(),
        _ => Vec::new(),
    }
}

/// All texts of this name, however deep.
fn strings<'a>(value: &'a Value, name: &str, out: &mut BTreeSet<&'a str>) {
    match value {
        Value::Array(all) => all.iter().for_each(|v| strings(v, name, out)),
        Value::Object(all) => all.iter().for_each(|(key, v)| match v {
            Value::String(text) if key == name => {
                out.insert(text);
            }
            v => strings(v, name, out),
        }),
        _ => {}
    }
}

/// The networks that a refusal leaves out: `not` of `remote_ip`, before an answer of 403.
fn trusted(servers: &[Value]) -> Option<BTreeSet<&str>> {
    fn find<'a>(value: &'a Value, out: &mut Option<BTreeSet<&'a str>>) {
        match value {
            Value::Array(all) => all.iter().for_each(|v| find(v, out)),
            Value::Object(all) => {
                let refuses = |v: &Value| v.as_array().into_iter().flatten().any(|h| h["status_code"] == 403);
                if all.get("handle").is_some_and(refuses) {
                    let matches = all.get("match").and_then(Value::as_array).into_iter().flatten();
                    let nots = matches.flat_map(|m| m["not"].as_array()).flatten();
                    let ranges = nots.flat_map(|n| n["remote_ip"]["ranges"].as_array()).flatten().filter_map(Value::as_str);
                    out.get_or_insert_default().extend(ranges);
                }
                all.values().for_each(|v| find(v, out));
            }
            _ => {}
        }
    }
    let mut out = None;
    servers.iter().for_each(|s| find(s, &mut out));
    out
}

/// Whether something listens where Caddy is administered; `None` where that is not known.
fn administered(sockets: &Sockets) -> Option<bool> {
    let port = ADMIN.rsplit_once(':')?.1.parse().ok()?;
    sockets.knows(Sockets::INSIDE).then(|| sockets.of(port).any(|l| l == Listener::Appliance))
}

/// What is wrong with Caddy itself.
pub(super) fn whole(found: &Found, map: &PortMap, promises: &[Promise<'_>], vmid: Vmid) -> Vec<Drift> {
    let mut out = Vec::new();
    match (administered(&found.sockets), &found.running) {
        (Some(false), _) => {
            out.push(drift("caddy-not-running", format!("nothing listens at {ADMIN} in {vmid}: Caddy does not run"), Mend::Appliance));
        }
        (Some(true), Err(why)) => {
            let says = format!("something listens at {ADMIN} in {vmid} and tells nothing: {why}");
            out.push(drift("caddy-admin-silent", says, hand("proximity appliance restart caddy")));
        }
        _ => {}
    }
    if let Ok(Err(said)) = &found.adapted {
        let (kind, mend) = if said.contains(SITES) {
            ("foreign-refused", hand("mend that file, or move it away: nobody but you can tell"))
        } else if said.contains(CADDYFILE) && !said.contains(VERSIONS) {
            ("base-refused", Mend::Appliance)
        } else {
            ("files-refused", Mend::Apply)
        };
        out.push(drift(kind, format!("Caddy would not take its files, and would not start again: {said}"), mend));
    }
    if let (Ok(running), Ok(Ok(adapted))) = (&found.running, &found.adapted)
        && running.whole != adapted.whole
        && running.ports == adapted.ports
        && (!promises.is_empty() || !map.held.is_empty() || !running.ports.is_empty())
    {
        let says = "Caddy works by something else than its files, though its sites are the same";
        out.push(drift("caddy-by-other-config", says, Mend::Apply));
    }
    out
}

/// What Caddy serves on the ports of something published. `files`: all is well with its files.
pub(super) fn of(promise: &Promise<'_>, look: &Look<'_>, files: bool) -> Vec<Drift> {
    let (Some(running), Some(text)) = (look.running, promise.text) else { return Vec::new() };
    // Who is trusted is what the file says: a service may have sources of its own.
    let wanted: BTreeSet<&str> =
        text.lines().find_map(|l| l.trim().strip_prefix("@stranger not remote_ip ")).into_iter().flat_map(|l| l.split(' ')).collect();
    let (pair, to) = (promise.pair(), promise.service.spec.to.to_string());
    let dial = to.split_once("://").map_or(to.as_str(), |(_, place)| place);
    let mut kinds: BTreeMap<&str, (Vec<u16>, String)> = BTreeMap::new();
    let mut add = |kind, port, more: String| kinds.entry(kind).or_insert_with(|| (Vec::new(), more)).0.push(port);
    for port in [pair.public, pair.internal] {
        let written = look.adapted.map(|a| a.ports.get(&port));
        let Some(servers) = running.ports.get(&port) else {
            // Where the files do not have it either, that is what is to be mended.
            if !matches!(written, Some(None)) {
                add("route-missing", port, String::new());
            }
            continue;
        };
        let mut dials = BTreeSet::new();
        servers.iter().for_each(|s| strings(s, "dial", &mut dials));
        let guards = trusted(servers);
        if !dials.contains(dial) {
            add("upstream-differs", port, format!("to {}, not to {dial}", list(&dials)));
        } else if port == pair.internal && guards.is_none() {
            add("internal-unguarded", port, String::new());
        } else if let Some(guards) = guards.filter(|g| port == pair.internal && *g != wanted) {
            // What was written by hand is told by its file, unless it is not what runs.
            add("trusted-differs", port, list(&guards));
        } else if files && written.flatten().is_some_and(|w| w != servers) {
            add("route-differs", port, String::new());
        }
    }
    let one = |(kind, (ports, more)): (&'static str, (Vec<u16>, String))| {
        let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" and ");
        let says = match kind {
            "route-missing" => format!("its file is there, and Caddy does not serve {ports}"),
            "upstream-differs" => format!("Caddy leads from {ports} {more}"),
            "internal-unguarded" => format!("Caddy lets everybody use {ports}, who reaches it"),
            "trusted-differs" => format!("at {ports} Caddy takes for trusted: {more}"),
            _ => format!("Caddy serves {ports} by something else than the file"),
        };
        drift(kind, says, Mend::Apply)
    };
    kinds.into_iter().map(one).collect()
}

fn list(words: &BTreeSet<&str>) -> String {
    if words.is_empty() { "nobody".to_owned() } else { words.iter().copied().collect::<Vec<_>>().join(", ") }
}

/// What Caddy serves on a pair on which nothing is published. `files`: nothing is said of files there.
pub(super) fn unpublished(look: &Look<'_>, pair: Pair, files: bool) -> Vec<Drift> {
    let (Some(running), Some(adapted)) = (look.running, look.adapted) else { return Vec::new() };
    let ports = if pair.public == pair.internal { vec![pair.public] } else { vec![pair.public, pair.internal] };
    let differs = |port: &u16| running.ports.get(port) != adapted.ports.get(port);
    let (extra, other): (Vec<u16>, Vec<u16>) = ports.into_iter().filter(differs).partition(|port| !adapted.ports.contains_key(port));
    let shown = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" and ");
    let mut out = Vec::new();
    if !extra.is_empty() {
        out.push(drift("route-extra", format!("Caddy serves {}, which is in none of its files", shown(&extra)), Mend::Apply));
    }
    if !other.is_empty() && files {
        let says = format!("the files say something else about {} than what Caddy works by", shown(&other));
        out.push(drift("foreign-not-loaded", says, Mend::Apply));
    }
    out
}

/// What has the ports of a site.
pub(super) fn sockets(promise: &Promise<'_>, look: &Look<'_>) -> Vec<Drift> {
    let (sockets, pair) = (&look.found.sockets, promise.pair());
    if promise.text.is_none() {
        return Vec::new();
    }
    let Appliance::Runs(vmid) = look.found.appliance else { return Vec::new() };
    let mut out = Vec::new();
    for port in [pair.public, pair.internal] {
        let has = |of: Listener| sockets.of(port).any(|l| l == of);
        // Where Caddy certainly does not run, whatever listens is not Caddy.
        let serves = match (look.running, administered(sockets)) {
            (_, Some(false)) => Some(false),
            (Some(running), _) => Some(running.ports.contains_key(&port)),
            (None, _) => None,
        };
        if sockets.knows(Sockets::INSIDE) {
            let who = hand(format!("look who it is and end it: pct exec {vmid} -- netstat -ltnp; then: proximity ports converge"));
            match (has(Listener::Appliance), has(Listener::Outgoing), serves) {
                (true, _, Some(false)) => {
                    out.push(drift("port-of-another", format!("a program in the appliance that is not Caddy has {port}"), who));
                }
                (false, true, _) => {
                    let says = format!("a connection that the appliance began has {port}, so nothing can listen there");
                    out.push(drift("outgoing-has-the-port", says, hand("wait for its end, or end it; then: proximity ports converge")));
                }
                (false, false, Some(true)) => {
                    let says = format!("Caddy is to serve {port}, and nothing listens there");
                    out.push(drift("port-not-listening", says, hand("proximity appliance restart caddy")));
                }
                _ => {}
            }
        }
        if has(Listener::Host) {
            let says = format!("a program of the host has {port}, too: whoever asks the host there gets that one");
            out.push(drift("host-has-the-port", says, hand("look who it is, on the host: ss -ltnp")));
        }
    }
    out
}
