//! What a setting held before: one entry for each change, secrets only as *changed*.

use super::{Change, Held, Key, SecretChange};
use crate::domain::stamp::Stamp;

/// One change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Of which setting.
    pub key: Key,
    /// The version it led to.
    pub version: u32,
    /// When.
    pub at: Stamp,
    /// By whom.
    pub by: String,
    /// What it held before; `None` where that entry is missing.
    pub old: Option<Held>,
    /// What it held from then on. [`Held::Bad`] where the entry was changed outside Proximity.
    pub new: Held,
    /// Whether the entry is the one that holds now.
    pub now: bool,
    /// For a secret: whether the vault still keeps the one of this version.
    pub kept: bool,
}

/// How an entry is shown: `old → new`.
pub struct Before(pub String, pub String);

impl Past {
    /// Old and new in words; a secret is never told.
    pub fn words(&self) -> Before {
        let of = self.key.definition();
        let shown = |held: &Held| match held {
            Held::Default if of.is_secret() => "not set".to_owned(),
            Held::Default => format!("{} (default)", of.default_shown()),
            Held::Value(value) => of.shown(value),
            Held::Secret => "set".into(),
            Held::Bad(why) => why.clone(),
        };
        match (&self.old, &self.new) {
            (Some(Held::Secret), Held::Secret) => Before("set".into(), "changed".into()),
            (Some(old), new) => Before(shown(old), shown(new)),
            (None, new) => Before("?".into(), shown(new)),
        }
    }

    /// The change that brings this version back; why not, where it cannot.
    pub fn back(&self) -> Result<Change, String> {
        if self.now {
            return Err(format!("version {} of {} holds now", self.version, self.key));
        }
        let secret = self.key.definition().is_secret();
        match &self.new {
            Held::Default if secret => Ok(Change::Secret(SecretChange::Clear)),
            Held::Default => Ok(Change::Unset),
            Held::Value(value) => Ok(Change::Set(value.clone())),
            Held::Secret if self.kept => Ok(Change::Secret(SecretChange::Previous)),
            Held::Secret => Err(format!("only the last secret before is kept, not that of version {}", self.version)),
            Held::Bad(why) => Err(format!("version {} of {} {why}", self.version, self.key)),
        }
    }
}
