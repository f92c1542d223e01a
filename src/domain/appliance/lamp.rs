//! A lamp: one question about what the appliance does, how it was answered, and by what that is known.

use serde::Serialize;

use super::answer::{Asked, Gave};
use crate::domain::stamp::Stamp;

/// What a lamp shows. The order is that of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Light {
    /// It was asked and does what it should.
    Pass,
    /// It could not be asked; never the same as well.
    Unknown,
    /// It works, and something about it is not as it should be.
    Warn,
    /// It does not do what it is for.
    Fail,
}

impl Light {
    /// The word in lists and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Light::Pass => "pass",
            Light::Unknown => "unknown",
            Light::Warn => "warn",
            Light::Fail => "fail",
        }
    }
}

/// By what an answer is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The exact command, or the path that was read.
    pub asked: String,
    /// What came back, as it came; text from outside.
    pub answer: String,
    /// When.
    pub at: Stamp,
}

/// Characters of an answer that are kept as evidence.
const LONGEST: usize = 4000;

impl Evidence {
    /// The evidence of a command.
    pub fn of(asked: &Asked<Gave>) -> Evidence {
        Evidence::told(asked, Gave::said)
    }

    /// The evidence of any question, with its answer in words.
    pub fn told<T>(asked: &Asked<T>, words: impl Fn(&T) -> String) -> Evidence {
        let text = asked.answer.as_ref().map_or_else(|why| format!("no answer: {why}"), words);
        let mut answer: String = text.chars().take(LONGEST).collect();
        if answer.len() < text.len() {
            answer.push_str(" …");
        }
        Evidence { asked: asked.question.clone(), answer, at: asked.at }
    }
}

/// One lamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lamp {
    /// Its name, one of [`LAMPS`].
    pub name: &'static str,
    /// What it shows.
    pub light: Light,
    /// Why, one sentence; clean.
    pub says: String,
    /// By what.
    pub evidence: Vec<Evidence>,
}

/// Names of all lamps in the order in which they are shown, and what each is about.
pub const LAMPS: [(&str, &str); 20] = [
    ("container", "The appliance's container is there, is Proximity's and runs. Without it apps have no addresses, names or way out."),
    ("bridge", "The bridge of the apps is up, the appliance is plugged in, and it comes back after a boot of the host."),
    (
        "mtu",
        "Packets of one size pass from an app through the bridge and the appliance: a smaller one in between loses the larger ones, or gives the next container less.",
    ),
    ("dnsmasq", "The service that lends addresses and answers names runs, by its own exit status."),
    (
        "dhcp",
        "An app that asks for an address gets one, and from the appliance: asked in the network of a running app, whose lease is renewed by it; where none runs by a visitor on the bridge.",
    ),
    ("dns", "The appliance knows its own name, gets other names from upstream, and says of a name that is not there that it is not there."),
    ("caddy", "The service that lets visitors in runs, by its own exit status, and answers."),
    (
        "sites",
        "Caddy answers visitors wherever it listens, and something behind it does: each place is asked by HTTP, in the appliance's own network (the host's busybox).",
    ),
    ("admin", "Caddy's administration answers inside the appliance only: an app that reaches it could take every site over."),
    ("access-log", "Caddy may write the log of who came: it and its folder are Caddy's, and it is a regular file."),
    ("nat", "The rules that let apps out are in force, each exactly once, in the backend that is used, and nobody else's beside them."),
    ("forwarding", "The appliance's kernel passes packets on. Without it no rule helps."),
    ("way-out", "An app reaches the first upstream server (port 53, TCP) through the appliance: a connection is made and given up."),
    (
        "isolation",
        "An app does not reach the node's own addresses (ports 22 and 8006 were tried), and the node has none in the network of the apps.",
    ),
    ("ports", "The kernel keeps the internal ports back, so that a connection of the appliance itself never takes an app's port."),
    ("config", "The appliance's files are as the settings want them, and what runs works by them."),
    ("boot", "It starts with the host, and its services start with it: else the next power cut ends them."),
    ("clock", "The appliance's clock shows the host's time."),
    ("disk", "The appliance's root disk has room. A full one stops leases, logs and changes."),
    ("memory", "The appliance's memory has room, and nothing in it was killed for want of it."),
];

/// What a lamp is about.
pub fn means(name: &str) -> &'static str {
    LAMPS.iter().find(|(n, _)| *n == name).map_or("", |(_, means)| means)
}

/// The worst of them; unknown where there are none.
pub fn worst(lamps: &[Lamp]) -> Light {
    lamps.iter().map(|l| l.light).max().unwrap_or(Light::Unknown)
}
