//! What a log line is made of: its format, its fields, and the things of this site that it names.
//!
//! ```text
//! formats.rs   the table of formats, each with sample lines that are its tests
//! way.rs       from a line to the guest, its address, its tasks: what a key leads to
//! ```
//!
//! Nothing is stored of a line: it is taken apart when somebody opens it. Values are as they came; whoever draws them
//! cleans them.

use std::net::IpAddr;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::appliance::files::NAME_KEY;
use super::guest::Vmid;
use super::log_level::{self, Level};
use super::log_time;
use super::stamp::Stamp;
use super::task::Upid;
use super::when::Here;

mod formats;
mod way;

pub use formats::{FORMATS, Format, Sample};
pub use way::{Lead, Target, leads};

/// Bytes of a line that are taken apart at most. The rest of a longer one is not looked at, and that is said.
const MOST: usize = 64 << 10;

/// A line, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The format's name, such as `dnsmasq query`; `plain` where none fits.
    pub format: &'static str,
    /// When it was written, where it tells.
    pub at: Option<Stamp>,
    /// How grave it is.
    pub level: Level,
    /// Name and value, in the order of the line.
    pub fields: Vec<(String, String)>,
    /// What it names, in order and once each.
    pub names: Vec<Named>,
    /// Bytes that were not looked at.
    pub cut: usize,
}

/// A thing of this site that a line names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Named {
    /// A host name, such as `nextcloud.prox.local`.
    Host(String),
    /// An address.
    Address(IpAddr),
    /// A hardware address, in lower case with colons.
    Mac(String),
    /// A guest by its number.
    Guest(Vmid),
    /// A port of this site, with what it was the port of where that is told.
    Port(u16),
    /// A Proxmox task.
    Task(Upid),
    /// A unit of systemd.
    Unit(String),
}

/// Takes a line apart.
pub fn parse(line: &[u8], here: Here) -> Record {
    let (head, cut) = (&line[..line.len().min(MOST)], line.len().saturating_sub(MOST));
    let at = log_time::of(head, here);
    let level = log_level::of(head).unwrap_or(Level::Info);
    let text = String::from_utf8_lossy(head);
    let text = text.trim_end_matches(['\n', '\r']);
    let (format, fields) = json(text).unwrap_or_else(|| formats::text(text));
    let names = named(&fields);
    Record { format, at, level, fields, names, cut }
}

/// The fields of a JSON object, those inside others by their path.
fn json(text: &str) -> Option<(&'static str, Vec<(String, String)>)> {
    let Value::Object(top) = serde_json::from_str(text.trim()).ok()? else { return None };
    let has = |name: &str| top.contains_key(name);
    let message = top.get("MESSAGE").and_then(message);
    let program = top.get("SYSLOG_IDENTIFIER").and_then(Value::as_str).unwrap_or_default();
    let format = match () {
        () if has("__REALTIME_TIMESTAMP") || has("MESSAGE") => "journal",
        () if has("request") && has("status") => "Caddy access",
        () if has("ts") && has("logger") => "Caddy",
        () => "JSON",
    };
    let mut fields = Vec::new();
    if format == "journal" {
        // What a person asks for first; the many others behind it.
        for (name, shown) in [("_SYSTEMD_UNIT", "unit"), ("SYSLOG_IDENTIFIER", "program"), ("_PID", "pid"), ("PRIORITY", "priority")] {
            fields.extend(top.get(name).and_then(Value::as_str).map(|value| (shown.to_owned(), value.to_owned())));
        }
        let mut inner = message.as_deref().map_or((FORMATS[0].name, Vec::new()), |text| formats::message(program, text));
        fields.append(&mut inner.1);
        let first = ["_SYSTEMD_UNIT", "SYSLOG_IDENTIFIER", "_PID", "PRIORITY", "MESSAGE"];
        for (name, value) in top.iter().filter(|(name, _)| !first.contains(&name.as_str())) {
            flat(name, value, &mut fields);
        }
        return Some((format, fields));
    }
    for (name, value) in &top {
        match name.strip_prefix(NAME_KEY) {
            // Where it came in, by the log of the site itself; the host is what the visitor said.
            Some(port) if format == "Caddy access" => fields.insert(0, ("port".to_owned(), port.to_owned())),
            _ => flat(name, value, &mut fields),
        }
    }
    Some((format, fields))
}

/// The journal gives a message that is not UTF-8 as a list of bytes (`journalctl -o json`).
fn message(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(bytes) => {
            let bytes: Option<Vec<u8>> = bytes.iter().map(|b| b.as_u64().and_then(|b| u8::try_from(b).ok())).collect();
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => None,
    }
}

fn flat(name: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(inner) if !inner.is_empty() => inner.iter().for_each(|(key, value)| flat(&format!("{name}.{key}"), value, out)),
        Value::Array(all) if all.iter().all(|v| !v.is_object() && !v.is_array()) => {
            out.push((name.to_owned(), all.iter().map(plain).collect::<Vec<_>>().join(", ")));
        }
        other => out.push((name.to_owned(), plain(other))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What is looked for in any text.
struct Patterns {
    upid: Regex,
    guest: Regex,
    socket: Regex,
    mac: Regex,
}

#[allow(clippy::unwrap_used)] // Fixed texts: a test compiles them.
static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| Patterns {
    upid: Regex::new(r"UPID:[A-Za-z0-9.-]+:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}:[^:\s]*:[^:\s]*:[^:\s]+:").unwrap(),
    guest: Regex::new(r"(?:\b(?:CT|VM|vmid|guest|container|lxc/|qemu/|lxc-start|pve-container@)[ :=#]*'?|\bVM/CT )([1-9][0-9]{2,8})\b")
        .unwrap(),
    socket: Regex::new(r"\b((?:[0-9]{1,3}\.){3}[0-9]{1,3}):([0-9]{1,5})\b").unwrap(),
    mac: Regex::new(r"\b(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\b").unwrap(),
});

/// Fields whose value is one thing and no sentence.
fn named(fields: &[(String, String)]) -> Vec<Named> {
    let mut out: Vec<Named> = Vec::new();
    let mut add = |named: Option<Named>| {
        if let Some(named) = named.filter(|n| !out.contains(n)) {
            out.push(named);
        }
    };
    for (name, value) in fields {
        let last = name.rsplit('.').next().unwrap_or(name);
        match last {
            "host" | "query" | "hostname" => {
                let (host, port) = value.rsplit_once(':').map_or((value.as_str(), None), |(h, p)| (h, p.parse().ok()));
                match host.trim_matches(['[', ']']).parse() {
                    Ok(address) => add(Some(Named::Address(address))),
                    Err(_) if host.contains('.') => add(Some(Named::Host(host.trim_end_matches('.').to_ascii_lowercase()))),
                    Err(_) => {}
                }
                add(port.map(Named::Port));
            }
            "client" | "address" | "remote_ip" | "client_ip" | "answer" => {
                add(value.trim_start_matches("::ffff:").parse().ok().map(Named::Address));
            }
            "unit" => add(Some(Named::Unit(value.clone()))),
            "port" => add(value.parse().ok().map(Named::Port)),
            "vmid" => add(value.parse().ok().map(Named::Guest)),
            _ => {}
        }
        for found in PATTERNS.upid.find_iter(value) {
            add(found.as_str().parse().ok().map(Named::Task));
        }
        for found in PATTERNS.guest.captures_iter(value) {
            add(found[1].parse().ok().map(Named::Guest));
        }
        for found in PATTERNS.socket.captures_iter(value) {
            add(found[1].parse().ok().map(Named::Address));
            add(found[2].parse().ok().map(Named::Port));
        }
        for found in PATTERNS.mac.find_iter(value) {
            add(Some(Named::Mac(found.as_str().to_ascii_lowercase())));
        }
    }
    out
}

#[cfg(test)]
#[path = "record/tests.rs"]
mod tests;
