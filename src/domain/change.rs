//! A change of one file, as data: what stands there now and what is to stand there. It is shown as a difference, carried
//! out only where the first still holds, and taken back by the same change turned round.

use std::fmt;

use serde::{Deserialize, Serialize};
use similar::{ChangeTag, TextDiff};

use super::cmd::Cmd;
use super::guest::Vmid;
use super::pve;

/// Where a file lies or a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The host itself.
    Host,
    /// Inside this guest, which runs.
    Guest(Vmid),
}

impl Place {
    /// A command in that place.
    pub fn cmd<A: Into<String>>(self, argv: impl IntoIterator<Item = A>) -> Cmd {
        match self {
            Place::Guest(id) => pve::exec(id, argv),
            Place::Host => {
                let mut words = argv.into_iter().map(Into::into);
                let program = words.next().unwrap_or_default();
                Cmd::new(&program, words)
            }
        }
    }
}

impl Place {
    /// The same without what Proxmox's own tool takes for itself; see [`pve::attach`].
    pub fn quick<A: Into<String>>(self, argv: impl IntoIterator<Item = A>) -> Cmd {
        match self {
            Place::Guest(id) => pve::attach(id, argv),
            Place::Host => self.cmd(argv),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Host => f.write_str("the host"),
            Place::Guest(id) => write!(f, "{id}"),
        }
    }
}

/// The bytes of a file: a text in a plan's JSON where they are one, else numbers, so that every byte is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

impl Content {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Content::Text(text) => text.as_bytes(),
            Content::Bytes(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Content {
        String::from_utf8(bytes).map_or_else(|e| Content::Bytes(e.into_bytes()), Content::Text)
    }
}

impl From<String> for Content {
    fn from(text: String) -> Content {
        Content::Text(text)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes().len())
    }
}

/// What was found where a file is to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Was {
    /// Nobody looked, and it does not matter: what lies in a guest that the same plan makes.
    Any,
    /// No such file.
    Nothing,
    /// This.
    This(Content),
}

impl From<Option<Vec<u8>>> for Was {
    fn from(found: Option<Vec<u8>>) -> Was {
        found.map_or(Was::Nothing, |bytes| Was::This(bytes.into()))
    }
}

/// A change of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where it lies.
    pub at: Place,
    /// Its absolute path there.
    pub path: String,
    /// What stands there now.
    pub was: Was,
    /// What is to stand there; `None` where no file is to be.
    pub now: Option<Content>,
    /// Permission bits of the new file.
    pub mode: u32,
    /// Words of a command that must succeed, with the path of the new file at its end, before it takes the old one's place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
}

impl Change {
    /// The change that takes this one back; `None` where nobody looked what was there.
    pub fn back(&self) -> Option<Change> {
        let now = match &self.was {
            Was::Any => return None,
            Was::Nothing => None,
            Was::This(content) => Some(content.clone()),
        };
        let was = self.now.clone().map_or(Was::Nothing, Was::This);
        Some(Change { was, now, test: Vec::new(), ..self.clone() })
    }

    /// Where the new file is put before it is tested and takes the old one's place: beside it, in the same directory.
    pub fn stage(&self) -> String {
        format!("{}.proximity-new", self.path)
    }

    /// In words: `write /etc/dnsmasq.conf in 9999`.
    pub fn shown(&self) -> String {
        let verb = match (&self.was, &self.now) {
            (_, None) => "remove",
            (Was::Any | Was::Nothing, Some(_)) => "write",
            (Was::This(_), Some(_)) => "change",
        };
        format!("{verb} {} in {}", super::clean::clean(&self.path), self.at)
    }

    /// The difference, a line each, with `+` or `-` and two lines around; clean.
    pub fn lines(&self) -> Vec<String> {
        let text = |c: &Content| String::from_utf8_lossy(c.bytes()).into_owned();
        let was = if let Was::This(content) = &self.was { text(content) } else { String::new() };
        let now = self.now.as_ref().map_or(String::new(), text);
        let diff = TextDiff::from_lines(&was, &now);
        let mut out = Vec::new();
        for (n, group) in diff.grouped_ops(2).iter().enumerate() {
            if n > 0 {
                out.push("  …".to_owned());
            }
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let sign = match change.tag() {
                    ChangeTag::Insert => '+',
                    ChangeTag::Delete => '-',
                    ChangeTag::Equal => ' ',
                };
                out.push(format!("{sign} {}", super::clean::clean(change.value().trim_end_matches('\n'))));
            }
        }
        out
    }
}

/// A new folder beside one that is in use: a copy of it with these files changed. Its name is nobody's yet, so that two who make
/// one at once cannot mix theirs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lay {
    /// Where it lies.
    pub at: Place,
    /// Its absolute path there.
    pub folder: String,
    /// The folder that is copied; none makes an empty one.
    pub from: Option<String>,
    /// What is other in it: paths in the new folder, and what was in the copied one. With them files elsewhere that only go
    /// with it, replaced without a look.
    pub files: Vec<Change>,
}

impl Lay {
    /// In words: `write 3 files of /etc/caddy/proximity/v43 in 9999`.
    pub fn shown(&self) -> String {
        let within = self.files.iter().filter(|c| c.path.starts_with(&format!("{}/", self.folder))).count();
        let many = if within == 1 { "1 file".to_owned() } else { format!("{within} files") };
        let like = self.from.as_ref().map_or(String::new(), |from| format!(", the rest as in {}", super::clean::clean(from)));
        format!("write {} in {}: {many} anew{like}", super::clean::clean(&self.folder), self.at)
    }

    /// The differences, each below the name of its file; clean.
    pub fn lines(&self) -> Vec<String> {
        let within = self.files.iter().filter_map(|c| Some((c.path.strip_prefix(&self.folder)?.strip_prefix('/')?, c)));
        within.flat_map(|(name, c)| std::iter::once(super::clean::clean(name)).chain(c.lines())).collect()
    }
}

/// A symbolic link that is to lead somewhere else, by one rename.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Where it lies.
    pub at: Place,
    /// Its absolute path there.
    pub link: String,
    /// What it is to say; `None` where no link is to be.
    pub to: Option<String>,
}

impl Turn {
    /// In words: `have /etc/caddy/proximity/current in 9999 lead to v43`.
    pub fn shown(&self) -> String {
        let link = super::clean::clean(&self.link);
        match &self.to {
            Some(to) => format!("have {link} in {} lead to {}", self.at, super::clean::clean(to)),
            None => format!("remove {link} in {}", self.at),
        }
    }

    /// What holds then: `/etc/caddy/proximity/current in 9999 leads to v43`.
    pub fn leads(&self) -> String {
        let link = super::clean::clean(&self.link);
        match &self.to {
            Some(to) => format!("{link} in {} leads to {}", self.at, super::clean::clean(to)),
            None => format!("{link} is not in {}", self.at),
        }
    }

    /// The question that shows where it leads.
    pub fn question(&self) -> Cmd {
        self.at.quick(["readlink", self.link.as_str()])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn change(was: Option<&[u8]>, now: Option<&[u8]>) -> Change {
        let (was, now) = (Was::from(was.map(<[u8]>::to_vec)), now.map(|b| Content::from(b.to_vec())));
        Change { at: Place::Host, path: "/etc/x".into(), was, now, mode: 0o644, test: vec![] }
    }

    #[test]
    fn a_change_is_shown_as_a_difference_and_turned_round() {
        let it = change(Some(b"a\nb\nc\nd\ne\nf\n"), Some(b"a\nb\nc\nD\x1b[2J\ne\nf\n"));
        assert_eq!(it.lines(), ["  b", "  c", "- d", "+ D\u{241b}[2J", "  e", "  f"]);
        assert_eq!(it.back().unwrap().lines()[2..4], ["- D\u{241b}[2J", "+ d"]);
        assert_eq!(it.back().unwrap().back().unwrap(), it);
        assert_eq!(Change { was: Was::Any, ..it.clone() }.back(), None, "what nobody looked at cannot be brought back");
        assert_eq!(
            (change(None, Some(b"x")).shown(), change(Some(b"x"), None).shown()),
            ("write /etc/x in the host".into(), "remove /etc/x in the host".into(),)
        );
    }

    #[test]
    fn every_byte_survives_the_job_row() {
        for bytes in [&b"plain\n"[..], b"caf\xe9 \xff\x00\n", "umlaut ü".as_bytes(), b""] {
            let it = change(None, Some(bytes));
            let back: Change = serde_json::from_str(&serde_json::to_string(&it).unwrap()).unwrap();
            assert_eq!(back.now.unwrap().bytes(), bytes);
        }
    }
}
