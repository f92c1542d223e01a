//! Settings: what Proximity is told about a site, and how it behaves. Typed, with a default, checked together.
//!
//! ```text
//! table.rs   the one table of definitions        held.rs    what is set now, and changes to it
//! value.rs   kinds and values, text both ways    rules.rs   what must hold between values
//! impact.rs  what a change would mean            past.rs    what was set before
//! login.rs   those that are a credential
//! ```
//!
//! A key is `CATEGORY.NAME`; of Proxmox there may be several sites, `proxmox@SITE.NAME`. A value that was changed outside
//! Proximity is an error wherever it is asked for, never its default.

use std::fmt;
use std::str::FromStr;

mod held;
mod impact;
mod login;
mod past;
mod rules;
mod table;
#[cfg(test)]
mod tests;
mod value;

pub use held::{Change, Held, Row, Save, SecretChange, Settings, Staged};
pub use impact::{Impact, Weight, impact};
pub use login::{login_keys, of_candidate, to_candidate, untried};
pub use past::{Before, Past};
pub use rules::{Fixed, Trouble, check, fixed_addresses};
pub use table::DEFINITIONS;
pub use value::{Kind, LONGEST, Value, span};

use crate::domain::clean::clean;

/// What a setting is about; a heading on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// How Proxmox is reached; one set for each site.
    Proxmox,
    /// The network of the apps.
    Network,
    /// What a new app gets.
    Resources,
    /// Ports of the appliance.
    Ports,
    /// How backups are made.
    Backups,
    /// Proximity itself.
    System,
}

impl Category {
    /// All, in the order of the screen.
    pub const ALL: [Category; 6] =
        [Category::Proxmox, Category::Network, Category::Resources, Category::Ports, Category::Backups, Category::System];

    /// Its word in keys and headings.
    pub fn word(self) -> &'static str {
        match self {
            Category::Proxmox => "proxmox",
            Category::Network => "network",
            Category::Resources => "resources",
            Category::Ports => "ports",
            Category::Backups => "backups",
            Category::System => "system",
        }
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Definition {
    /// Its heading.
    pub category: Category,
    /// Its name in the category.
    pub name: &'static str,
    /// Which values it takes.
    pub kind: Kind,
    /// The value while none is set, as text; empty where it is simply not set.
    pub default: &'static str,
    /// A value as an example.
    pub example: &'static str,
    /// Unit of a number.
    pub unit: &'static str,
    /// What must hold beside the kind, in words.
    pub rule: &'static str,
    /// What it means.
    pub help: &'static str,
    /// When a change is felt.
    pub applies: &'static str,
    /// Whether a part of the program asks for it already.
    pub used: bool,
}

impl Definition {
    /// Whether it is a secret.
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }

    /// Reads a value; else why it is none, with an example of one.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let value =
            self.kind.parse(text).map_err(|why| if self.is_secret() { why } else { format!("{why}; for example {}", self.example) })?;
        // A lock after seconds could not be switched off again.
        if self.name == "idle_lock" && matches!(value, Value::Span(1..60)) {
            return Err("a console is not locked after less than 1 min; for example 15 min".into());
        }
        Ok(value)
    }

    /// The default as a value; none for a secret and for what is not set.
    pub fn default(&self) -> Option<Value> {
        self.kind.parse(self.default).ok()
    }

    /// `2048 MiB`: a value with its unit.
    pub fn shown(&self, value: &Value) -> String {
        if self.unit.is_empty() { value.to_string() } else { format!("{value} {}", self.unit) }
    }

    /// The default as it is shown.
    pub fn default_shown(&self) -> String {
        self.default().map_or("not set".into(), |v| self.shown(&v))
    }

    /// What may be typed, in words.
    pub fn takes(&self) -> String {
        let kind = match self.kind {
            Kind::Number { least, most } => format!("{least} to {most}{}{}", if self.unit.is_empty() { "" } else { " " }, self.unit),
            Kind::Span { least, most } => format!("a time from {} to {}", Value::Span(least), Value::Span(most)),
            Kind::Flag => "on or off".into(),
            Kind::Word(words) => words.join(", "),
            Kind::Secret => "a secret; what is typed is not shown".into(),
            Kind::Keep => "keep-all=1, or keep-last, keep-daily, … with =NUMBER".into(),
            _ => format!("{}, such as {}", self.kind.word(), self.example),
        };
        if self.rule.is_empty() { kind } else { format!("{kind}; {}", self.rule) }
    }
}

/// The name of one setting: a row of the table, and the site where there are several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    category: Category,
    site: String,
    at: usize,
}

impl Key {
    /// All keys, in the order of the screen; `sites` beside the nameless first one.
    pub fn all(sites: &[String]) -> Vec<Key> {
        let mut out: Vec<Key> = Vec::new();
        for (at, d) in DEFINITIONS.iter().enumerate() {
            out.push(Key { category: d.category, site: String::new(), at });
            if d.category == Category::Proxmox {
                out.extend(sites.iter().map(|site| Key { category: d.category, site: site.clone(), at }));
            }
        }
        out.sort();
        out.dedup();
        out
    }

    /// Its row of the table.
    pub fn definition(&self) -> &'static Definition {
        // A key is only made for a row that is there.
        &DEFINITIONS[self.at.min(DEFINITIONS.len() - 1)]
    }

    /// The site; empty for the first one.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// The same name at another site.
    pub fn at_site(&self, site: &str) -> Key {
        Key { site: site.to_owned(), ..self.clone() }
    }

    /// `proxmox`, `proxmox@lab`, `network`: the heading it stands under.
    pub fn heading(&self) -> String {
        let word = self.category.word();
        if self.site.is_empty() { word.to_owned() } else { format!("{word}@{}", self.site) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.heading(), self.definition().name)
    }
}

/// Whether a name can be that of a site: a letter, then letters, digits or dashes, 20 at most, all small.
pub fn is_site(name: &str) -> bool {
    (1..=20).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl FromStr for Key {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let no = || format!("there is no setting '{}'", clean(text));
        let (heading, name) = text.split_once('.').ok_or_else(no)?;
        let (category, site) = heading.split_once('@').map_or((heading, ""), |(c, s)| (c, s));
        let at = DEFINITIONS.iter().position(|d| d.category.word() == category && d.name == name).ok_or_else(no)?;
        let category = DEFINITIONS[at].category;
        if heading.contains('@') && (category != Category::Proxmox || !is_site(site)) {
            return Err(format!("'{}' names no site; sites are for proxmox: proxmox@lab.{name}", clean(text)));
        }
        Ok(Key { category, site: site.to_owned(), at })
    }
}
