//! How each pair is: what was promised, what is written, what runs, what listens, what answers; and each difference between
//! them, named, with the one thing that mends it.

use super::{LastWell, Nearer, ServiceName, Usage, Visits};
use crate::domain::certificate::Certificate;
use crate::domain::guest::Vmid;
use crate::domain::stamp::Stamp;
use crate::domain::world::Gap;

/// What one look at all pairs found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truth {
    /// All pairs that are not free and all sites of the appliance's Caddy, by their first port.
    pub rows: Vec<Row>,
    /// What is wrong with no row alone: how Caddy, its files or the rules are.
    pub drift: Vec<Drift>,
    /// How full the ranges are; none where they are not known.
    pub usage: Option<Usage>,
    /// What is used up first; none where the ranges are not known.
    pub nearer: Option<Nearer>,
    /// Number of the configuration that Caddy's sites work by; none where there is none yet or it is not known.
    pub version: Option<u32>,
    /// What could not be asked.
    pub gaps: Vec<Gap>,
}

impl Truth {
    /// Which configuration of the sites is in effect, and whether it is what is remembered.
    pub fn in_effect(&self) -> String {
        const OTHER: [&str; 4] = ["caddy-not-running", "caddy-admin-silent", "caddy-by-other-config", "current-dangling"];
        let asked = |what: &str| !self.gaps.iter().any(|g| g.what == what);
        let all = || self.drift.iter().chain(self.rows.iter().flat_map(|r| &r.drift));
        let Some(version) = self.version else {
            let known = asked("files of the sites") && asked("the appliance");
            return if known { "no sites in effect" } else { "which sites are in effect is unknown" }.to_owned();
        };
        if let Some(drift) = all().find(|d| OTHER.contains(&d.kind)) {
            return format!("sites v{version} lie there and are not in effect: {}", drift.kind);
        }
        if !asked("what Caddy works by") {
            return format!("whether sites v{version} are in effect is unknown");
        }
        match all().filter(|d| d.mend == Mend::Apply).count() {
            0 => format!("sites v{version} in effect, as remembered"),
            n => format!("sites v{version} in effect, {n} of them not as remembered"),
        }
    }
}

/// One pair, or one port of somebody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The port for everybody.
    pub public: Option<u16>,
    /// The port for trusted sources.
    pub internal: Option<u16>,
    /// `published`, or the word of what it is held for, or `cooling`, `foreign`.
    pub state: &'static str,
    /// Whose; none where it is blocked, or somebody else's.
    pub name: Option<ServiceName>,
    /// What else there is to say: why it is blocked, until when it cools down, which file is somebody else's. Clean.
    pub note: String,
    /// Where it leads; empty where nothing is published.
    pub target: String,
    /// The certificate that visitors are shown, where it is published by TLS and one was seen.
    pub tls: Option<Shown>,
    /// What the public port answers, asked as somebody outside asks.
    pub outside: Answer,
    /// What the internal port answers, asked as a trusted source.
    pub inside: Answer,
    /// What was known of both before: the public port, the internal one.
    pub lately: [Lately; 2],
    /// Since when it is held, published or cooling.
    pub since: Option<Stamp>,
    /// Where it is not as it was promised.
    pub drift: Vec<Drift>,
}

/// A certificate that a port shows. It was looked at and not believed: whether a visitor believes it is his own affair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// By which name it was asked for; none where nobody says by which name visitors come.
    pub asked: Option<String>,
    /// It.
    pub certificate: Certificate,
    /// Whether the port itself showed it just now; else it lies there to be shown.
    pub seen: bool,
}

impl Shown {
    /// Whether it is for the name that visitors use; a certificate without any name is for nobody.
    pub fn fits(&self) -> bool {
        self.asked.as_ref().map_or(!self.certificate.names.is_empty(), |name| self.certificate.covers(name))
    }
}

/// What is known of one port besides what it answers now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lately {
    /// Who came.
    pub visits: Visits,
    /// When it last answered well.
    pub well: LastWell,
}

/// What came back from a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing is promised there, so nobody asked.
    NotAsked,
    /// It could not be asked; why.
    Unknown(String),
    /// Nothing came back; how that was.
    Silent(String),
    /// A connection was taken, and TLS did not come about; how that was.
    NoTls(String),
    /// A connection was taken; what is carried has no words of its own.
    Taken {
        /// Milliseconds.
        ms: u32,
    },
    /// An answer of HTTP.
    Status {
        /// Its status.
        code: u16,
        /// Milliseconds until it began.
        ms: u32,
        /// Bytes of the page by its own word; none where it does not tell.
        size: Option<u64>,
    },
}

impl Answer {
    /// Whether what stands behind it answered too: Caddy says 502 to 504 where it did not (RFC 9110).
    pub fn is_well(&self) -> bool {
        match self {
            Answer::Taken { .. } => true,
            Answer::Status { code, .. } => !(502..=504).contains(code),
            _ => false,
        }
    }
}

impl Row {
    /// What is to be said of the first port that somebody asked in vain: when that was better. `now` is the time of the look.
    pub fn was_well(&self, now: Stamp) -> Option<String> {
        let silent = |a: &Answer| !a.is_well() && !matches!(a, Answer::NotAsked | Answer::Unknown(_));
        let both = [&self.outside, &self.inside].into_iter().zip(&self.lately);
        both.into_iter().find(|(answer, _)| silent(answer)).and_then(|(_, lately)| lately.well.before(now))
    }
}

impl Answer {
    /// In a few words, for a table.
    pub fn words(&self) -> String {
        match self {
            Answer::NotAsked => "-".to_owned(),
            Answer::Unknown(_) => "unknown".to_owned(),
            Answer::Silent(how) => how.clone(),
            Answer::NoTls(how) => format!("no TLS: {how}"),
            Answer::Taken { ms } => format!("taken {ms} ms"),
            Answer::Status { code, ms, .. } => format!("{code} {ms} ms"),
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Its name, always the same for the same kind: `site-missing`.
    pub kind: &'static str,
    /// What is different, one clean sentence.
    pub says: String,
    /// What mends it.
    pub mend: Mend,
}

/// The one thing that mends a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mend {
    /// Write and load the sites as they were promised: `ports converge`.
    Apply,
    /// Bring the appliance back to its settings: `appliance converge`.
    Appliance,
    /// Start a guest.
    Start(Vmid),
    /// Something that only a person can decide: what, in words, with the command where there is one.
    Hand(String),
}

impl Mend {
    /// What to do, in words or as a command.
    pub fn words(&self) -> String {
        match self {
            Mend::Apply => "proximity ports converge".to_owned(),
            Mend::Appliance => "proximity appliance converge".to_owned(),
            Mend::Start(id) => format!("proximity guest start {id}"),
            Mend::Hand(what) => what.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_effect_is_told_or_unknown() {
        let drift = |kind, mend| Drift { kind, says: String::new(), mend };
        let gap = |what: &str| vec![Gap { what: what.into(), why: String::new() }];
        let of = |version, drift: Vec<Drift>, gaps| Truth { version, drift, gaps, ..Truth::default() }.in_effect();
        assert_eq!(of(Some(42), vec![], vec![]), "sites v42 in effect, as remembered");
        let edited = vec![drift("site-edited", Mend::Apply), drift("foreign-file", Mend::Hand("look".into()))];
        assert_eq!(of(Some(42), edited, vec![]), "sites v42 in effect, 1 of them not as remembered");
        let down = || vec![drift("caddy-not-running", Mend::Appliance)];
        assert_eq!(of(Some(42), down(), gap("what Caddy works by")), "sites v42 lie there and are not in effect: caddy-not-running");
        assert_eq!(of(Some(42), vec![], gap("what Caddy works by")), "whether sites v42 are in effect is unknown");
        assert_eq!(of(None, vec![], vec![]), "no sites in effect");
        assert_eq!(of(None, vec![], gap("files of the sites")), "which sites are in effect is unknown");
    }
}
