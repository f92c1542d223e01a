//! Ports of the appliance, in pairs: one for everybody and one for trusted sources. Who has which, since when, and who had it.
//!
//! ```text
//! mod.rs       pairs, ranges, what is held, what was        sockets.rs  what listens, as the kernels tell
//! allocate.rs  a wish becomes a change, or is refused       usage.rs    how full the ranges are, and what is full first
//! truth.rs     how each pair is, and where that is not as it was promised
//! knock.rs     many ports asked at once                     traffic.rs  who came to each, by Caddy's access log
//! drift/       what was found becomes that: each difference, its name and what mends it
//! last_well.rs when a port last answered well
//! promised.rs  the same before anybody looked              asked.rs    one port, and its URL
//! ```
//!
//! A pair keeps both its numbers for as long as somebody has it, whatever becomes of the ranges.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::appliance::names::Label;
use super::clean::clean;
use super::service::Published;
use super::settings::{Settings, Value};
use super::stamp::Stamp;

mod allocate;
mod asked;
pub mod drift;
mod knock;
mod last_well;
mod promised;
mod sockets;
pub mod traffic;
mod truth;
mod usage;

pub use allocate::{Change, Decided, Known, PortWish};
pub use asked::{Asked, url};
pub use knock::{Chain, How, Knock, Knocked, head};
pub use last_well::{LastWell, Well, answered_well, tell_last_well};
pub use promised::{joined, leads_to, promised};
pub use sockets::{Listener, Sockets, listening};
pub use traffic::{Traffic, Visits};
pub use truth::{Answer, Drift, Lately, Mend, Row, Shown, Truth};
pub use usage::{Nearer, State, Usage};

/// The two numbers that one published thing has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pair {
    /// For everybody.
    pub public: u16,
    /// For trusted sources.
    pub internal: u16,
}

impl Pair {
    /// Whether a number is one of both.
    pub fn has(self, port: u16) -> bool {
        self.public == port || self.internal == port
    }

    /// Whether two pairs share a number.
    pub fn meets(self, other: Pair) -> bool {
        self.has(other.public) || self.has(other.internal)
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.public, self.internal)
    }
}

/// Which pairs are given out: the first public port goes with the first internal one, and so on. And for how many things at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranges {
    public: (u16, u16),
    internal: (u16, u16),
    quota: Option<u32>,
}

impl Ranges {
    /// Two ranges, first and last port each; `None` where they are not as long as each other or share a port.
    pub fn new(public: (u16, u16), internal: (u16, u16)) -> Option<Ranges> {
        let fits = |(a, b): (u16, u16)| 0 < a && a <= b;
        let apart = public.1 < internal.0 || internal.1 < public.0;
        let fit = fits(public) && fits(internal) && apart && public.1 - public.0 == internal.1 - internal.0;
        fit.then_some(Ranges { public, internal, quota: None })
    }

    /// As the settings want them; else why they are not known.
    pub fn of(settings: &Settings) -> Result<Ranges, String> {
        let range = |name: &str| match settings.value(&name.parse()?)? {
            Some(Value::Ports(a, b)) => Ok((a, b)),
            _ => Err(format!("setting {name} is no range of ports")),
        };
        let (public, internal) = (range("ports.public")?, range("ports.internal")?);
        let quota = match settings.value(&"ports.quota".parse()?)? {
            Some(Value::Number(most)) => Some(u32::try_from(most).unwrap_or(u32::MAX)),
            _ => None,
        };
        let ranges = Ranges::new(public, internal).map(|ranges| Ranges { quota, ..ranges });
        ranges.ok_or_else(|| "settings ports.public and ports.internal make no pairs".to_owned())
    }

    /// How many more things may be published; none where nobody set a limit. A row that cannot be relied on counts, too.
    pub fn quota_left(self, map: &PortMap) -> Option<u32> {
        let published = map.services.len() + map.bad_services.len();
        Some(self.quota?.saturating_sub(u32::try_from(published).unwrap_or(u32::MAX)))
    }

    /// First and last port for everybody.
    pub fn public(self) -> [u16; 2] {
        [self.public.0, self.public.1]
    }

    /// First and last port for trusted sources.
    pub fn internal(self) -> [u16; 2] {
        [self.internal.0, self.internal.1]
    }

    /// All pairs, lowest first.
    pub fn pairs(self) -> impl Iterator<Item = Pair> {
        (self.public.0..=self.public.1).zip(self.internal.0..=self.internal.1).map(|(public, internal)| Pair { public, internal })
    }

    /// The pair that a number belongs to, whichever of both it is.
    pub fn pair_of(self, port: u16) -> Option<Pair> {
        let at = |(a, b): (u16, u16)| (a..=b).contains(&port).then(|| port - a);
        let nth = at(self.public).or_else(|| at(self.internal))?;
        Some(Pair { public: self.public.0 + nth, internal: self.internal.0 + nth })
    }

    /// Whether a pair is one of those that are given out.
    pub fn has(self, pair: Pair) -> bool {
        self.pair_of(pair.public) == Some(pair)
    }

    /// Whether a number lies in the range for trusted sources, on which the appliance's rules are made.
    pub fn guards(self, port: u16) -> bool {
        (self.internal.0..=self.internal.1).contains(&port)
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (a, b) = (self.public, self.internal);
        write!(f, "{}-{} / {}-{}", a.0, a.1, b.0, b.1)
    }
}

/// Name of a published thing: a part of a DNS name with a letter in it, so that it is never taken for a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(Label);

impl TryFrom<String> for ServiceName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> String {
        name.to_string()
    }
}

impl FromStr for ServiceName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let label = Label::new(text).filter(|_| text.bytes().any(|b| b.is_ascii_alphabetic()));
        label.map(ServiceName).ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            format!("'{}' is no name: letters, digits, dashes within, at least one letter, 63 at most", clean(&shown))
        })
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a port is blocked: one line that says something, of harmless characters, 200 at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

impl TryFrom<String> for Reason {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> String {
        reason.0
    }
}

impl FromStr for Reason {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let why = match text.chars().count() {
            0 => "a reason says something",
            201.. => "a reason has 200 characters at most",
            _ if clean(text) != text => "a reason is one line without control characters",
            _ => return Ok(Reason(text.to_owned())),
        };
        Err(why.to_owned())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a pair is held for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// This name has it.
    Reserved(ServiceName),
    /// This name has it, and nobody else gets it afterwards.
    Pinned(ServiceName),
    /// It is kept for this name, which does not have it now.
    Kept(ServiceName),
    /// Nobody gets it.
    Blocked(Reason),
}

impl What {
    /// The word on the screen, in JSON and in the store.
    pub fn word(&self) -> &'static str {
        match self {
            What::Reserved(_) => "reserved",
            What::Pinned(_) => "pinned",
            What::Kept(_) => "kept",
            What::Blocked(_) => "blocked",
        }
    }

    /// For whom; nobody where it is blocked.
    pub fn name(&self) -> Option<&ServiceName> {
        match self {
            What::Reserved(name) | What::Pinned(name) | What::Kept(name) => Some(name),
            What::Blocked(_) => None,
        }
    }

    /// Why nobody gets it.
    pub fn reason(&self) -> Option<&Reason> {
        if let What::Blocked(reason) = self { Some(reason) } else { None }
    }

    /// The same from its parts, as they were stored; `None` for what nobody stored so.
    pub fn from_parts(word: &str, name: Option<&str>, reason: Option<&str>) -> Option<What> {
        let name = name.map(str::parse).transpose().ok()?;
        let reason = reason.map(str::parse).transpose().ok()?;
        match (word, name, reason) {
            ("reserved", Some(name), None) => Some(What::Reserved(name)),
            ("pinned", Some(name), None) => Some(What::Pinned(name)),
            ("kept", Some(name), None) => Some(What::Kept(name)),
            ("blocked", None, Some(reason)) => Some(What::Blocked(reason)),
            _ => None,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Reserved(name) => write!(f, "reserved for {name}"),
            What::Pinned(name) => write!(f, "reserved for {name}, and pinned"),
            What::Kept(name) => write!(f, "kept for {name}"),
            What::Blocked(reason) => write!(f, "blocked: {reason}"),
        }
    }
}

/// A pair that is not free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub pair: Pair,
    /// What for.
    pub what: What,
    /// Since when.
    pub at: Stamp,
    /// By whom.
    pub by: String,
}

/// A time in which a pair was held, and that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// How it was.
    pub was: Held,
    /// Until when.
    pub until: Stamp,
    /// Who ended it.
    pub by: String,
    /// Before this nobody else gets the pair.
    pub free: Stamp,
}

/// A row that cannot be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// Its numbers, where these are ports.
    pub pair: Option<Pair>,
    /// Why, one sentence.
    pub why: String,
}

/// All pairs that are not free.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortMap {
    /// Those that are held, lowest first.
    pub held: Vec<Held>,
    /// Those that were given back and that nobody else gets yet.
    pub cooling: Vec<Past>,
    /// What is published, by name. Each holds a pair under its name.
    pub services: Vec<Published>,
    /// Published things that cannot be relied on: whose, where that can be read, and why, one sentence. While there are some,
    /// how the sites should be is not known.
    pub bad_services: Vec<(Option<ServiceName>, String)>,
    /// Rows that cannot be relied on. While there are some of what is held, nothing is given out.
    pub bad: Vec<Bad>,
    /// Why something of the past cannot be relied on, one sentence each.
    pub bad_past: Vec<String>,
    /// Whether rows were compared with their tags; without the open vault they cannot be.
    pub checked: bool,
}

impl PortMap {
    /// What a name has or is kept for it.
    pub fn of(&self, name: &ServiceName) -> Option<&Held> {
        self.held.iter().find(|h| h.what.name() == Some(name))
    }

    /// What is published under a name.
    pub fn service(&self, name: &ServiceName) -> Option<&Published> {
        self.services.iter().find(|s| s.name == *name)
    }

    /// What holds a number.
    pub fn at(&self, port: u16) -> Option<&Held> {
        self.held.iter().find(|h| h.pair.has(port))
    }

    /// The cool-down of a number, if it goes on: the one that ends last.
    pub fn cooling_at(&self, port: u16, now: Stamp) -> Option<&Past> {
        self.cooling.iter().filter(|p| p.was.pair.has(port) && p.free > now).max_by_key(|p| p.free)
    }
}

/// What a command is about: a number, or a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Of {
    /// One of both numbers.
    Port(u16),
    /// Whoever has it.
    Name(ServiceName),
}

impl FromStr for Of {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
            let port = text.parse().ok().filter(|p| *p > 0);
            return port.map(Of::Port).ok_or_else(|| format!("'{}' is no port: 1 to 65535", clean(text)));
        }
        text.parse().map(Of::Name)
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Of::Port(port) => port.fmt(f),
            Of::Name(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
