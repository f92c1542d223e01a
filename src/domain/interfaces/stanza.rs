//! Lines and stanzas of an interfaces file, and the text of the one stanza that Proximity writes.

use std::ops::Range;

use super::MARK;
use crate::domain::appliance::names::Interface;

/// The end of the mark of a stanza that was added to a file whose last line had no end.
pub(super) const JOINED: &str = "(the file ended without a line end)";

/// A bridge as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bridge {
    /// Its name.
    pub name: String,
    /// Whether it comes up at boot, by `auto` or `allow-hotplug`.
    pub auto: bool,
    /// Its ports; `none` is no port.
    pub ports: Vec<String>,
    /// Its addresses as they stand there, with or without prefix.
    pub addresses: Vec<String>,
    /// Whether it knows VLANs.
    pub vlan_aware: bool,
    /// Whether the stanza is Proximity's.
    pub ours: bool,
}

/// The stanza that Proximity wants: a bridge without ports and without an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    name: Interface,
    mtu: Option<u16>,
}

impl Wish {
    /// A bridge of this name. `mtu` in bytes; the kernel's own where none is given.
    pub fn new(name: Interface, mtu: Option<u16>) -> Wish {
        Wish { name, mtu }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// As Proxmox itself writes a bridge, the mark in the place of its comment. Without an address of the host: the kernel would
    /// give it one of IPv6 unasked, by which apps reach the host past all rules.
    pub(super) fn text(&self, joined: bool) -> String {
        let name = &self.name;
        let mtu = self.mtu.map_or(String::new(), |m| format!("\tmtu {m}\n"));
        let end = if joined { format!(" {JOINED}") } else { String::new() };
        format!(
            "auto {name}\niface {name} inet manual\n\tbridge-ports none\n\tbridge-stp off\n\tbridge-fd 0\n\tipv6-addrgen off\n{mtu}\
             {MARK} network of the apps{end}\n"
        )
    }
}

/// One logical line: with its continuations and its end. Comments do not go on (interfaces(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its bytes in the file.
    pub at: Range<usize>,
    comment: bool,
}

/// All logical lines; put together they are the file.
pub(super) fn lines(bytes: &[u8]) -> Vec<Line> {
    let mut out = Vec::new();
    let mut from = 0;
    while from < bytes.len() {
        let comment = bytes[from..].iter().find(|b| !matches!(b, b' ' | b'\t')) == Some(&b'#');
        let mut to = end_of(bytes, from);
        while !comment && goes_on(&bytes[from..to]) && to < bytes.len() {
            to = end_of(bytes, to);
        }
        out.push(Line { at: from..to, comment });
        from = to;
    }
    out
}

fn end_of(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| from + n + 1)
}

fn goes_on(line: &[u8]) -> bool {
    line.strip_suffix(b"\n").unwrap_or(line).ends_with(b"\\")
}

impl Line {
    /// Its text without continuations, blanks around it and its end.
    pub fn text(&self, bytes: &[u8]) -> String {
        String::from_utf8_lossy(&bytes[self.at.clone()]).replace("\\\n", " ").trim().to_owned()
    }

    /// Its words; none for a comment and an empty line.
    pub fn words(&self, bytes: &[u8]) -> Vec<String> {
        if self.comment { Vec::new() } else { self.text(bytes).split_whitespace().map(str::to_owned).collect() }
    }

    /// Its first word.
    pub fn key(&self, bytes: &[u8]) -> Option<String> {
        self.words(bytes).into_iter().next()
    }

    /// Whether what is added behind it would become a part of it.
    pub fn unfinished(&self, bytes: &[u8]) -> bool {
        !self.comment && goes_on(&bytes[self.at.clone()])
    }

    /// Whether it begins something: what follows belongs to it and no longer to what was before.
    pub fn begins_stanza(&self, bytes: &[u8]) -> bool {
        const WORDS: [&str; 9] =
            ["iface", "auto", "mapping", "source", "source-directory", "template", "vlan", "no-auto-down", "no-scripts"];
        self.key(bytes).is_some_and(|k| WORDS.contains(&k.as_str()) || k.starts_with("allow-"))
    }

    /// Whether it brings an interface of this name up or describes it.
    pub fn names(&self, bytes: &[u8], name: &str) -> bool {
        let words = self.words(bytes);
        match words.first().map(String::as_str) {
            Some("iface") => words.get(1).is_some_and(|w| w == name),
            Some("auto") => words[1..].iter().any(|w| w == name),
            Some(key) if key.starts_with("allow-") => words[1..].iter().any(|w| w == name),
            _ => false,
        }
    }
}

/// Bridges of a file. An interface may have several stanzas, one for each family.
pub(super) fn bridges(bytes: &[u8]) -> Vec<Bridge> {
    let mut all: Vec<(Bridge, bool)> = Vec::new();
    let mut up: Vec<String> = Vec::new();
    let mut open: Option<usize> = None;
    for line in lines(bytes) {
        let words = line.words(bytes);
        if line.begins_stanza(bytes) {
            open = None;
        }
        let Some(key) = words.first() else {
            if let (Some(n), true) = (open, line.text(bytes).starts_with(MARK)) {
                all[n].0.ours = true;
            }
            continue;
        };
        match (key.as_str(), open) {
            ("iface", _) => {
                let name = words.get(1).cloned().unwrap_or_default();
                let at = all.iter().position(|(b, _)| b.name == name).unwrap_or_else(|| {
                    all.push((Bridge { name, ..Bridge::default() }, false));
                    all.len() - 1
                });
                open = Some(at);
            }
            ("auto", _) => up.extend_from_slice(&words[1..]),
            (key, _) if key.starts_with("allow-") => up.extend_from_slice(&words[1..]),
            (key, Some(n)) => option(&mut all[n], key, &words[1..]),
            _ => {}
        }
    }
    let told = all.into_iter().filter(|(_, is)| *is);
    told.map(|(b, _)| Bridge { auto: up.contains(&b.name), ..b }).collect()
}

/// One option of an interface; ifupdown writes dashes or underscores.
fn option((bridge, is): &mut (Bridge, bool), key: &str, values: &[String]) {
    match key.replace('_', "-").as_str() {
        "bridge-ports" | "ovs-ports" => {
            *is = true;
            bridge.ports.extend(values.iter().filter(|v| *v != "none").cloned());
        }
        "bridge-stp" | "bridge-fd" => *is = true,
        "ovs-type" => *is |= values.first().is_some_and(|v| v == "OVSBridge"),
        "bridge-vlan-aware" => {
            *is = true;
            bridge.vlan_aware = values.first().is_some_and(|v| v == "yes" || v == "1" || v == "on" || v == "true");
        }
        "address" => bridge.addresses.extend(values.first().cloned()),
        _ => {}
    }
}
