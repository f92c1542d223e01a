//! Values of settings: what kinds there are, how each is read and how it is written. Reading what was written gives the
//! same value again. Nothing here knows which setting a value is for.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::json;

use crate::domain::clean::clean;
use crate::domain::storage::StorageId;

/// Bytes a value may have as text.
pub const LONGEST: usize = 1024;

/// Entries a list may have.
const MOST: usize = 32;

/// Which values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number within bounds.
    Number {
        /// The smallest.
        least: u64,
        /// The greatest.
        most: u64,
    },
    /// A length of time, bounds in seconds; where 0 is allowed it is `never`.
    Span {
        /// The shortest.
        least: u64,
        /// The longest.
        most: u64,
    },
    /// `on` or `off`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Host names or addresses.
    Hosts,
    /// `user@realm` or `user@realm!token`.
    Account,
    /// An absolute path.
    Path,
    /// SHA-256 of a certificate.
    Fingerprint,
    /// A network.
    Net,
    /// Networks.
    Nets,
    /// An address.
    Address,
    /// Addresses.
    Addresses,
    /// Two addresses with a dash, in order.
    Range,
    /// A DNS domain.
    Domain,
    /// A network interface.
    Interface,
    /// The name of a storage.
    Storage,
    /// A volume on a storage.
    Volume,
    /// Two ports with a dash, in order.
    Ports,
    /// What is kept of old backups, in Proxmox's own words.
    Keep,
    /// A part of the day.
    Window,
    /// Sealed in the vault; has no value in the open.
    Secret,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// Seconds.
    Span(u64),
    /// On or off.
    Flag(bool),
    /// One of the words of its kind.
    Word(&'static str),
    /// A text that its kind allows: an account, a path, a domain, an interface, a volume.
    Text(String),
    /// Host names or addresses.
    Hosts(Vec<String>),
    /// SHA-256.
    Fingerprint([u8; 32]),
    /// A network, without host bits.
    Net(IpNet),
    /// Networks.
    Nets(Vec<IpNet>),
    /// An address.
    Address(IpAddr),
    /// Addresses.
    Addresses(Vec<IpAddr>),
    /// First and last address.
    Range(IpAddr, IpAddr),
    /// A storage.
    Storage(StorageId),
    /// First and last port.
    Ports(u16, u16),
    /// `keep-…` and how many.
    Keep(Vec<(&'static str, u32)>),
    /// Minutes since midnight, begin and end; an end before the begin is past midnight.
    Window(u16, u16),
}

const KEEPS: [&str; 7] = ["keep-all", "keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly"];

impl Kind {
    /// Its word in JSON and docs.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Number { .. } => "number",
            Kind::Span { .. } => "time",
            Kind::Flag => "on/off",
            Kind::Word(_) => "word",
            Kind::Hosts => "hosts",
            Kind::Account => "account",
            Kind::Path => "path",
            Kind::Fingerprint => "sha-256",
            Kind::Net => "network",
            Kind::Nets => "networks",
            Kind::Address => "address",
            Kind::Addresses => "addresses",
            Kind::Range => "address range",
            Kind::Domain => "domain",
            Kind::Interface => "interface",
            Kind::Storage => "storage",
            Kind::Volume => "volume",
            Kind::Ports => "port range",
            Kind::Keep => "retention",
            Kind::Window => "time of day",
            Kind::Secret => "secret",
        }
    }

    /// Reads a value as typed or stored; else why it is none, as the end of a sentence.
    pub fn parse(self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("a value is needed".into());
        }
        if text.len() > LONGEST {
            return Err(format!("a value has at most {LONGEST} bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err("a value has no line breaks and no control characters".into());
        }
        let shown = || clean(text);
        match self {
            Kind::Number { least, most } => digits(text)
                .filter(|n| (least..=most).contains(n))
                .map(Value::Number)
                .ok_or_else(|| format!("'{}' is no whole number from {least} to {most}", shown())),
            Kind::Span { least, most } => span(text)
                .filter(|s| (least..=most).contains(s))
                .map(Value::Span)
                .ok_or_else(|| format!("'{}' is no time from {} to {}", shown(), Value::Span(least), Value::Span(most))),
            Kind::Flag => match text.to_ascii_lowercase().as_str() {
                "on" | "true" | "yes" | "1" => Ok(Value::Flag(true)),
                "off" | "false" | "no" | "0" => Ok(Value::Flag(false)),
                _ => Err(format!("'{}' is neither on nor off", shown())),
            },
            Kind::Word(words) => words
                .iter()
                .find(|w| w.eq_ignore_ascii_case(text))
                .map(|w| Value::Word(w))
                .ok_or_else(|| format!("'{}' is none of {}", shown(), words.join(", "))),
            Kind::Hosts => list(text, host).map(Value::Hosts),
            Kind::Account => fits(text, is_account(text), "is no user@realm or user@realm!token"),
            Kind::Path => fits(text, text.starts_with('/') && !text.split('/').any(|p| p == ".."), "is no absolute path"),
            Kind::Fingerprint => {
                fingerprint(text).map(Value::Fingerprint).ok_or_else(|| format!("'{}' is no SHA-256: 64 hexadecimal digits", shown()))
            }
            Kind::Net => net(text).map(Value::Net),
            Kind::Nets => list(text, net).map(Value::Nets),
            Kind::Address => address(text).map(Value::Address),
            Kind::Addresses => list(text, address).map(Value::Addresses),
            Kind::Range => range(text),
            Kind::Domain => fits(text, is_name(text) && text.contains(char::is_alphabetic), "is no domain"),
            Kind::Interface => fits(text, is_interface(text), "is no interface: a letter, then letters, digits, - _ ., 15 at most"),
            Kind::Storage => text.parse().map(Value::Storage),
            Kind::Volume => fits(text, is_volume(text), "is no volume: STORAGE:vztmpl/FILE"),
            Kind::Ports => ports(text),
            Kind::Keep => keep(text).map(Value::Keep),
            Kind::Window => window(text).ok_or_else(|| format!("'{}' is no part of a day: HH:MM-HH:MM", shown())),
            Kind::Secret => Err("a secret is never given in the open".into()),
        }
    }
}

impl Value {
    /// As JSON: numbers, truth and lists as such, the rest as text.
    pub fn json(&self) -> serde_json::Value {
        let texts = |all: Vec<String>| json!(all);
        match self {
            Value::Number(n) | Value::Span(n) => json!(n),
            Value::Flag(on) => json!(on),
            Value::Hosts(all) => json!(all),
            Value::Nets(all) => texts(all.iter().map(ToString::to_string).collect()),
            Value::Addresses(all) => texts(all.iter().map(ToString::to_string).collect()),
            other => json!(other.to_string()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn join<T: ToString>(all: &[T]) -> String {
            all.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
        }
        let clock = |m: u16| format!("{:02}:{:02}", m / 60, m % 60);
        match self {
            Value::Number(n) => write!(f, "{n}"),
            Value::Span(0) => f.write_str("never"),
            Value::Span(s) if s % 86_400 == 0 => write!(f, "{} d", s / 86_400),
            Value::Span(s) if s % 3600 == 0 => write!(f, "{} h", s / 3600),
            Value::Span(s) if s % 60 == 0 => write!(f, "{} min", s / 60),
            Value::Span(s) => write!(f, "{s} s"),
            Value::Flag(on) => f.write_str(if *on { "on" } else { "off" }),
            Value::Word(word) => f.write_str(word),
            Value::Text(text) => f.write_str(text),
            Value::Hosts(all) => f.write_str(&join(all)),
            Value::Fingerprint(bytes) => {
                let pairs: Vec<String> = bytes.iter().map(|b| format!("{b:02X}")).collect();
                f.write_str(&pairs.join(":"))
            }
            Value::Net(net) => write!(f, "{net}"),
            Value::Nets(all) => f.write_str(&join(all)),
            Value::Address(a) => write!(f, "{a}"),
            Value::Addresses(all) => f.write_str(&join(all)),
            Value::Range(a, b) => write!(f, "{a}-{b}"),
            Value::Storage(id) => write!(f, "{id}"),
            Value::Ports(a, b) => write!(f, "{a}-{b}"),
            Value::Keep(all) => f.write_str(&all.iter().map(|(k, n)| format!("{k}={n}")).collect::<Vec<_>>().join(",")),
            Value::Window(a, b) => write!(f, "{}-{}", clock(*a), clock(*b)),
        }
    }
}

fn fits(text: &str, fits: bool, why: &str) -> Result<Value, String> {
    if fits { Ok(Value::Text(text.to_owned())) } else { Err(format!("'{}' {why}", clean(text))) }
}

fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// `never`, `90`, `90 s`, `15m`, `15 min`, `12 h`, `2 d`; a bare number is seconds.
pub fn span(text: &str) -> Option<u64> {
    if text == "never" {
        return Some(0);
    }
    let cut = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text[cut..].trim() {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    digits(&text[..cut])?.checked_mul(unit)
}

/// Entries parted by commas or blanks, none of them twice.
fn list<T: PartialEq>(text: &str, one: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    let mut out = Vec::new();
    for part in text.split([',', ' ']).filter(|p| !p.is_empty()) {
        let value = one(part)?;
        if out.contains(&value) {
            return Err(format!("'{}' stands there twice", clean(part)));
        }
        out.push(value);
    }
    match out.len() {
        0 => Err("at least one entry is needed".into()),
        n if n > MOST => Err(format!("at most {MOST} entries, and these are {n}")),
        _ => Ok(out),
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("'{}' is no address", clean(text)))
}

fn net(text: &str) -> Result<IpNet, String> {
    let net: IpNet = text.parse().map_err(|_| format!("'{}' is no network: ADDRESS/BITS", clean(text)))?;
    if net.trunc() != net {
        return Err(format!("'{}' is an address in the network {}, not the network", clean(text), net.trunc()));
    }
    Ok(net)
}

fn range(text: &str) -> Result<Value, String> {
    let no = || format!("'{}' is no range: ADDRESS-ADDRESS", clean(text));
    let (a, b) = text.split_once('-').ok_or_else(no)?;
    let (a, b) = (address(a.trim()).map_err(|_| no())?, address(b.trim()).map_err(|_| no())?);
    if a.is_ipv4() != b.is_ipv4() {
        return Err("the two ends are not of the same kind, IPv4 or IPv6".into());
    }
    if a > b { Err(format!("it begins at {a}, behind its end {b}")) } else { Ok(Value::Range(a, b)) }
}

fn ports(text: &str) -> Result<Value, String> {
    let no = || format!("'{}' is no range of ports: FIRST-LAST, each from 1 to 65535", clean(text));
    let (a, b) = text.split_once('-').ok_or_else(no)?;
    let port = |t: &str| digits(t.trim()).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0).ok_or_else(no);
    let (a, b) = (port(a)?, port(b)?);
    if a > b { Err(format!("it begins at {a}, behind its end {b}")) } else { Ok(Value::Ports(a, b)) }
}

fn is_name(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !l.starts_with('-') && !l.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn host(text: &str) -> Result<String, String> {
    // What looks like an address must be one: 10.1.2.300 is no host name.
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.') || text.contains(':');
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) if !numeric && is_name(text) => Ok(text.to_ascii_lowercase()),
        Err(_) => Err(format!("'{}' is neither a host name nor an address; the port is a setting of its own", clean(text))),
    }
}

/// As Proxmox checks them: a user without blanks, `:` and `/`, a realm, maybe a token.
fn is_account(text: &str) -> bool {
    let Some((user, rest)) = text.rsplit_once('@') else { return false };
    let (realm, token) = rest.split_once('!').map_or((rest, None), |(r, t)| (r, Some(t)));
    let word = |w: &str| {
        w.starts_with(|c: char| c.is_ascii_alphabetic())
            && w.len() >= 2
            && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    (1..=60).contains(&user.len())
        && !user.contains(|c: char| c.is_whitespace() || ":/!".contains(c))
        && word(realm)
        && token.is_none_or(word)
}

fn is_interface(text: &str) -> bool {
    (1..=15).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn is_volume(text: &str) -> bool {
    text.split_once(':').is_some_and(|(storage, path)| {
        storage.parse::<StorageId>().is_ok()
            && path.strip_prefix("vztmpl/").is_some_and(|file| {
                !file.starts_with('.') && file.len() > 4 && file.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+~:@".contains(&b))
            })
    })
}

fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let text = text.strip_prefix("sha256:").or(text.strip_prefix("SHA256:")).unwrap_or(text);
    let hex: Vec<u8> = text.bytes().filter(|b| *b != b':').collect();
    if hex.len() != 64 {
        return None;
    }
    let nibble = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(hex.chunks(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(out)
}

fn keep(text: &str) -> Result<Vec<(&'static str, u32)>, String> {
    let mut out: Vec<(&'static str, u32)> = Vec::new();
    for part in text.split(',') {
        let no = || format!("'{}' is none of {} with =NUMBER", clean(part.trim()), KEEPS.join(", "));
        let (name, count) = part.trim().split_once('=').ok_or_else(no)?;
        let name = *KEEPS.iter().find(|k| **k == name).ok_or_else(no)?;
        let count = digits(count).and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=10_000).contains(n)).ok_or_else(no)?;
        if out.iter().any(|(n, _)| *n == name) {
            return Err(format!("{name} stands there twice"));
        }
        out.push((name, count));
    }
    match out.iter().find(|(n, _)| *n == "keep-all") {
        Some((_, n)) if out.len() > 1 || *n != 1 => Err("keep-all=1 keeps everything, so nothing else goes with it".into()),
        _ => Ok(out),
    }
}

fn window(text: &str) -> Option<Value> {
    let minute = |t: &str| {
        let (h, m) = t.trim().split_once(':')?;
        let (h, m) = (digits(h).filter(|h| *h < 24)?, digits(m).filter(|n| *n < 60 && m.len() == 2)?);
        u16::try_from(h * 60 + m).ok()
    };
    let (a, b) = text.split_once('-')?;
    let (a, b) = (minute(a)?, minute(b)?);
    (a != b).then_some(Value::Window(a, b))
}
