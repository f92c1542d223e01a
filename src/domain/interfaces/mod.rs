//! `/etc/network/interfaces` (interfaces(5), ifupdown2): what bridges it has, and one stanza of ours in it.
//!
//! The file is kept as the bytes it is: reading takes nothing away, and a change touches the lines of our own stanza only.
//! Comments, tabs, includes, continued lines and what nobody understands stay where they are. Ours is known by a comment
//! *inside* the stanza: Proxmox rewrites the file and moves what stands between stanzas (PVE::INotify, facts §9.3).

mod stanza;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use stanza::{Bridge, Wish};
use stanza::{Line, lines};

/// The beginning of the comment that makes a stanza ours.
pub const MARK: &str = "#proximity:";

/// Where the file lies on the host.
pub const PATH: &str = "/etc/network/interfaces";

/// One file, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interfaces {
    bytes: Vec<u8>,
}

/// Why a stanza cannot be added, changed or removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotChanged {
    /// Somebody else has an interface of this name there.
    #[error("{0} stands in the file already and is not Proximity's")]
    Taken(String),
    /// There is none of ours.
    #[error("no stanza of Proximity for {0} is in the file")]
    NotThere(String),
    /// There are several of ours.
    #[error("{0} stanzas of Proximity are in the file")]
    Several(usize),
    /// The last line goes on: what is added would become a part of it.
    #[error("the last line of the file ends with a backslash")]
    Unfinished,
}

impl Interfaces {
    /// Takes any bytes.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Interfaces {
        Interfaces { bytes: bytes.into() }
    }

    /// The bytes as they are to be written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All bridges, in order of their first stanza. Files that this one includes are not read here.
    pub fn bridges(&self) -> Vec<Bridge> {
        stanza::bridges(&self.bytes)
    }

    /// What other files it takes in, as it names them: paths and patterns.
    pub fn includes(&self) -> Vec<String> {
        let of = |l: &Line| {
            let mut words = l.words(&self.bytes).into_iter();
            let source = matches!(words.next()?.as_str(), "source" | "source-directory");
            source.then(|| words.next()).flatten()
        };
        lines(&self.bytes).iter().filter_map(of).collect()
    }

    /// Adds a stanza of ours at the end.
    pub fn add(&self, wish: &Wish) -> Result<Interfaces, NotChanged> {
        let name = wish.name();
        let all = lines(&self.bytes);
        if all.last().is_some_and(|l| l.unfinished(&self.bytes)) {
            return Err(NotChanged::Unfinished);
        }
        if all.iter().any(|l| l.names(&self.bytes, name)) {
            return Err(NotChanged::Taken(name.to_owned()));
        }
        let joined = !self.bytes.is_empty() && !self.bytes.ends_with(b"\n");
        let mut bytes = self.bytes.clone();
        if joined {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(b"\n");
        bytes.extend(wish.text(joined).bytes());
        Ok(Interfaces { bytes })
    }

    /// Puts another stanza in the place of ours. What the operator wrote into ours goes; the plan shows it before.
    pub fn change(&self, wish: &Wish) -> Result<Interfaces, NotChanged> {
        let (at, joined) = self.ours(wish.name())?;
        let mut bytes = self.bytes[..at.start].to_vec();
        bytes.extend(wish.text(joined).bytes());
        bytes.extend_from_slice(&self.bytes[at.end..]);
        Ok(Interfaces { bytes })
    }

    /// Takes our stanza away again, with the empty line before it.
    pub fn remove(&self, name: &str) -> Result<Interfaces, NotChanged> {
        let (mut at, joined) = self.ours(name)?;
        if self.bytes[..at.start].ends_with(b"\n") && (at.start == 1 || self.bytes[..at.start].ends_with(b"\n\n")) {
            at.start -= 1;
        }
        if joined && self.bytes[..at.start].ends_with(b"\n") && at.end == self.bytes.len() {
            at.start -= 1;
        }
        let mut bytes = self.bytes[..at.start].to_vec();
        bytes.extend_from_slice(&self.bytes[at.end..]);
        Ok(Interfaces { bytes })
    }

    /// The bytes of our stanza for an interface, from its `auto` to its mark, and whether it was joined to a last line
    /// without an end.
    fn ours(&self, name: &str) -> Result<(Range<usize>, bool), NotChanged> {
        let all = lines(&self.bytes);
        let mut found = Vec::new();
        for (n, line) in all.iter().enumerate() {
            if line.key(&self.bytes).as_deref() != Some("iface") || !line.names(&self.bytes, name) {
                continue;
            }
            let rest = &all[n + 1..];
            let until = rest.iter().position(|l| l.begins_stanza(&self.bytes)).unwrap_or(rest.len());
            let Some(mark) = rest[..until].iter().position(|l| l.text(&self.bytes).starts_with(MARK)) else { continue };
            // An `auto` of several interfaces is somebody else's line.
            let auto = n.checked_sub(1).map(|p| &all[p]).filter(|l| l.words(&self.bytes) == ["auto", name]);
            let joined = rest[mark].text(&self.bytes).ends_with(stanza::JOINED);
            found.push((auto.map_or(line.at.start, |l| l.at.start)..rest[mark].at.end, joined));
        }
        match found.len() {
            0 => Err(NotChanged::NotThere(name.to_owned())),
            1 => Ok(found.swap_remove(0)),
            n => Err(NotChanged::Several(n)),
        }
    }
}
