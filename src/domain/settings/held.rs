//! What is set now, as the store tells it, and changes that are to be made to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Definition, Key, Kind, Value};
use crate::domain::secret::Secret;
use crate::domain::stamp::Stamp;
use crate::domain::storage::StorageId;

/// What a setting holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// Nothing of its own: the default.
    Default,
    /// A value.
    Value(Value),
    /// A secret that is sealed in the vault.
    Secret,
    /// It cannot be used, and why. The default is not taken in its place.
    Bad(String),
}

/// A setting that was set at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it holds.
    pub held: Held,
    /// Counts its changes, from 1.
    pub version: u32,
    /// When it was changed last.
    pub at: Stamp,
    /// By whom.
    pub by: String,
}

/// All settings as they hold now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    rows: BTreeMap<Key, Row>,
    /// Whether the rows were compared with their tags; without the open vault they cannot be.
    pub checked: bool,
    /// Names in the store that are no setting of this version.
    pub odd: Vec<String>,
}

/// What happens to a secret. There is no text that stands for *as it is*, so no row of stars is ever written.
#[derive(Clone, Default)]
pub enum SecretChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// This one from now on.
    Set(Arc<Secret>),
    /// None from now on.
    Clear,
    /// The one before, which the vault still keeps.
    Previous,
}

/// A change of one setting.
#[derive(Clone)]
pub enum Change {
    /// This value from now on.
    Set(Value),
    /// The default from now on.
    Unset,
    /// Of a secret.
    Secret(SecretChange),
}

/// One change with the version it was made upon; 0 for a setting that was never set.
#[derive(Clone)]
pub struct Staged {
    /// Which.
    pub key: Key,
    /// What.
    pub change: Change,
    /// The version that the operator saw.
    pub seen: u32,
}

/// Changes that are saved together or not at all.
pub type Save = Vec<Staged>;

impl Change {
    /// Whether it changes nothing by itself.
    pub fn is_keep(&self) -> bool {
        matches!(self, Change::Secret(SecretChange::Keep))
    }

    /// What the setting would hold.
    pub fn held(&self) -> Held {
        match self {
            Change::Set(value) => Held::Value(value.clone()),
            Change::Unset | Change::Secret(SecretChange::Clear) => Held::Default,
            Change::Secret(_) => Held::Secret,
        }
    }

    /// What it would hold, for a list of changes; a secret is never told.
    pub fn shown(&self, of: &Definition) -> String {
        match self {
            Change::Set(value) => of.shown(value),
            Change::Unset if of.default.is_empty() => "not set".into(),
            Change::Unset => format!("{} (default)", of.default_shown()),
            Change::Secret(SecretChange::Keep) => "as it is".into(),
            Change::Secret(SecretChange::Set(_)) => "a new secret".into(),
            Change::Secret(SecretChange::Clear) => "not set".into(),
            Change::Secret(SecretChange::Previous) => "the secret before".into(),
        }
    }
}

impl Settings {
    /// Takes in a row of the store.
    pub fn put(&mut self, key: Key, row: Row) {
        self.rows.insert(key, row);
    }

    /// The row of a setting that was ever set.
    pub fn row(&self, key: &Key) -> Option<&Row> {
        self.rows.get(key)
    }

    /// Its version; 0 where it was never set.
    pub fn version(&self, key: &Key) -> u32 {
        self.rows.get(key).map_or(0, |r| r.version)
    }

    /// What a setting holds.
    pub fn held(&self, key: &Key) -> &Held {
        self.rows.get(key).map_or(&Held::Default, |r| &r.held)
    }

    /// The value that holds: the one that is set, else the default, else none. Why, where it cannot be used.
    pub fn value(&self, key: &Key) -> Result<Option<Value>, String> {
        match self.held(key) {
            Held::Default => Ok(key.definition().default()),
            Held::Value(value) => Ok(Some(value.clone())),
            Held::Secret => Ok(None),
            Held::Bad(why) => Err(format!("setting {key} {why}")),
        }
    }

    /// What holds, as it is shown.
    pub fn shown(&self, key: &Key) -> String {
        let of = key.definition();
        match self.held(key) {
            Held::Default => of.default_shown(),
            Held::Value(value) => of.shown(value),
            Held::Secret => "set".into(),
            Held::Bad(_) if of.kind == Kind::Secret => "cannot be read (tampered?)".into(),
            Held::Bad(why) => why.clone(),
        }
    }

    /// Sites beside the first, in order.
    pub fn sites(&self) -> Vec<String> {
        let mut out: Vec<String> =
            self.rows.iter().filter(|(k, r)| !k.site().is_empty() && r.held != Held::Default).map(|(k, _)| k.site().to_owned()).collect();
        out.sort();
        out.dedup();
        out
    }

    /// Settings that cannot be used, and why.
    pub fn bad(&self) -> impl Iterator<Item = (&Key, &str)> {
        self.rows.iter().filter_map(|(k, r)| if let Held::Bad(why) = &r.held { Some((k, why.as_str())) } else { None })
    }

    /// How these settings would be after changes.
    pub fn with<'c>(&self, changes: impl IntoIterator<Item = (&'c Key, &'c Change)>) -> Settings {
        let mut out = self.clone();
        for (key, change) in changes {
            if change.is_keep() {
                continue;
            }
            let row =
                out.rows.entry(key.clone()).or_insert(Row { held: Held::Default, version: 0, at: Stamp::default(), by: String::new() });
            row.held = change.held();
        }
        out
    }

    fn named(&self, name: &str) -> Result<Option<Value>, String> {
        self.value(&name.parse()?)
    }

    /// A flag by its key's text.
    pub fn flag(&self, name: &str) -> Result<bool, String> {
        Ok(matches!(self.named(name)?, Some(Value::Flag(true))))
    }

    /// Seconds by its key's text; 0 is never.
    pub fn span(&self, name: &str) -> Result<u64, String> {
        Ok(if let Some(Value::Span(s)) = self.named(name)? { s } else { 0 })
    }

    /// A number by its key's text; 0 where it is not set.
    pub fn number(&self, name: &str) -> Result<u64, String> {
        Ok(if let Some(Value::Number(n)) = self.named(name)? { n } else { 0 })
    }

    /// A part of the day by its key's text, minutes from and to.
    pub fn window(&self, name: &str) -> Result<Option<(u16, u16)>, String> {
        Ok(if let Some(Value::Window(from, to)) = self.named(name)? { Some((from, to)) } else { None })
    }

    /// A word by its key's text.
    pub fn word(&self, name: &str) -> Result<&'static str, String> {
        Ok(if let Some(Value::Word(w)) = self.named(name)? { w } else { "" })
    }

    /// A storage by its key's text.
    pub fn storage(&self, name: &str) -> Result<Option<StorageId>, String> {
        Ok(if let Some(Value::Storage(id)) = self.named(name)? { Some(id) } else { None })
    }
}
