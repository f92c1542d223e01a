//! Command line options the way the real tools read them: a table of known options, their checks and the
//! `400 Parameter verification failed.` answer.

use crate::fail::{Outcome, die_rc, warn};
use crate::knobs;
use std::collections::BTreeMap;

/// What an option accepts.
#[derive(Clone, Copy)]
pub enum Kind {
    Bool,
    Int(i64, i64),
    Text,
    /// At least so many characters.
    Long(usize),
    OneOf(&'static [&'static str]),
    /// A list of `key=value`; the text before the first `=` may stand alone if the flag is set.
    Pairs(bool),
}

pub type Table = &'static [(&'static str, Kind)];

/// Options that every guest configuration knows.
pub const GUEST: Table = &[
    ("arch", Kind::Text),
    ("cmode", Kind::OneOf(&["shell", "console", "tty"])),
    ("console", Kind::Bool),
    ("cores", Kind::Int(1, 8192)),
    ("cpulimit", Kind::Text),
    ("cpuunits", Kind::Int(0, 500_000)),
    ("debug", Kind::Bool),
    ("description", Kind::Text),
    ("features", Kind::Pairs(false)),
    ("hookscript", Kind::Text),
    ("hostname", Kind::Text),
    ("lock", Kind::Text),
    ("memory", Kind::Int(16, i64::MAX)),
    ("nameserver", Kind::Text),
    ("onboot", Kind::Bool),
    ("ostype", Kind::Text),
    ("protection", Kind::Bool),
    ("rootfs", Kind::Pairs(true)),
    ("searchdomain", Kind::Text),
    ("startup", Kind::Pairs(true)),
    ("swap", Kind::Int(0, i64::MAX)),
    ("tags", Kind::Text),
    ("template", Kind::Bool),
    ("timezone", Kind::Text),
    ("tty", Kind::Int(0, 6)),
    ("unprivileged", Kind::Bool),
];

/// One verb: its usage line, its options and whether guest options are allowed too.
pub struct Verb {
    pub usage: &'static str,
    pub places: &'static [&'static str],
    pub options: Table,
    pub guest: bool,
}

#[derive(Debug, Default)]
pub struct Given {
    pub places: Vec<String>,
    /// Words after the last named place.
    pub rest: Vec<String>,
    /// In the order of the command line; an option may stand more than once.
    pub options: Vec<(String, String)>,
}

impl Given {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn flag(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.options.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    pub fn place(&self, at: usize) -> &str {
        &self.places[at]
    }

    pub fn vmid(&self) -> u32 {
        self.places[0].parse().unwrap_or(0)
    }
}

impl Verb {
    pub fn kind_of(&self, name: &str) -> Option<Kind> {
        let find = |table: Table| table.iter().find(|(n, _)| *n == name).map(|(_, k)| *k);
        find(self.options).or_else(|| if self.guest { guest_kind(name) } else { None })
    }

    /// Reads the words after the verb.
    pub fn parse(&self, argv: &[String]) -> Outcome<Given> {
        let mut given = Given::default();
        let mut bare: Vec<String> = Vec::new();
        let mut words = argv.iter().peekable();
        while let Some(word) = words.next() {
            if word == "--" {
                bare.extend(words.by_ref().cloned());
                break;
            }
            let Some(name) = option_name(word) else {
                bare.push(word.clone());
                continue;
            };
            let (name, glued) = match name.split_once('=') {
                Some((n, v)) => (n, Some(v.to_owned())),
                None => (name, None),
            };
            let Some(kind) = self.kind_of(name) else {
                warn(&format!("Unknown option: {name}"));
                return self.bad("400 unable to parse option", name);
            };
            let value = match (glued, kind) {
                (Some(value), _) => value,
                (None, Kind::Bool) => words.next_if(|w| as_bool(w).is_some()).cloned().unwrap_or("1".into()),
                (None, _) => match words.next() {
                    Some(value) => value.clone(),
                    None => {
                        warn(&format!("Option {name} requires an argument"));
                        return self.bad("400 unable to parse option", name);
                    }
                },
            };
            given.options.push((name.to_owned(), value));
        }
        if bare.len() < self.places.len() {
            return self.bad("400 not enough arguments", "");
        }
        given.rest = bare.split_off(self.places.len());
        given.places = bare;
        self.check(&mut given)?;
        Ok(given)
    }

    fn check(&self, given: &mut Given) -> Outcome<()> {
        let mut wrong = BTreeMap::new();
        for (at, place) in self.places.iter().enumerate() {
            if *place == "vmid"
                && let Some(reason) = bad_vmid(&given.places[at])
            {
                wrong.insert((*place).to_owned(), reason);
            }
            if *place == "snapname"
                && let Some(reason) = bad_snapname(&given.places[at])
            {
                wrong.insert((*place).to_owned(), reason);
            }
        }
        for (name, value) in &mut given.options {
            let Some(kind) = self.kind_of(name) else { continue };
            match checked(kind, value) {
                Ok(clean) => *value = clean,
                Err(reason) => {
                    wrong.insert(name.clone(), reason);
                }
            }
        }
        self.refuse(&wrong)
    }

    /// The parameter error for these reasons; nothing wrong is fine.
    pub fn refuse(&self, wrong: &BTreeMap<String, String>) -> Outcome<()> {
        if wrong.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = wrong.iter().map(|(n, r)| format!("{n}: {r}")).collect();
        let about = wrong.keys().next().map_or("", |k| k.as_str());
        self.bad(&format!("400 Parameter verification failed.\n{}", lines.join("\n")), about)
    }

    pub fn refuse_one(&self, name: &str, reason: &str) -> Outcome<()> {
        self.refuse(&BTreeMap::from([(name.to_owned(), reason.to_owned())]))
    }

    fn bad<T>(&self, text: &str, about: &str) -> Outcome<T> {
        die_rc(self.parameter_rc(about), format!("{text}\n{}", self.usage))
    }

    /// Perl's `die` leaks errno: on 9.1 these verbs answer a bad parameter with 2, all else (and 8.4) with 255.
    fn parameter_rc(&self, about: &str) -> i32 {
        let leaks = ["pct status", "pct list", "pct create"].iter().any(|v| self.usage.starts_with(v));
        let late = ["password", "storage"].contains(&about);
        if knobs::is_nine() && leaks && !late { 2 } else { 255 }
    }
}

fn option_name(word: &str) -> Option<&str> {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    name.starts_with(|c: char| c.is_ascii_alphabetic()).then_some(name)
}

pub fn guest_kind(name: &str) -> Option<Kind> {
    let numbered = |prefix: &str| name.strip_prefix(prefix).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    if numbered("net") {
        return Some(Kind::Pairs(false));
    }
    if numbered("mp") || numbered("unused") || numbered("dev") {
        return Some(Kind::Pairs(true));
    }
    GUEST.iter().find(|(n, _)| *n == name).map(|(_, k)| *k)
}

pub fn as_bool(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// Why this is not a guest number.
pub fn bad_vmid(text: &str) -> Option<String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(format!("type check ('integer') failed - got '{text}'"));
    }
    let fits = (3..=9).contains(&text.len()) && !text.starts_with('0');
    // This reason ends in a newline of its own.
    (!fits).then(|| "invalid format - value does not look like a valid VM ID\n".into())
}

fn bad_snapname(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let fits = chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && (2..=40).contains(&text.len());
    (!fits).then(|| format!("invalid format - invalid configuration ID '{text}'\n"))
}

/// The value as it is stored, or the reason why not.
pub fn checked(kind: Kind, value: &str) -> Result<String, String> {
    match kind {
        Kind::Bool => match as_bool(value) {
            Some(yes) => Ok(if yes { "1" } else { "0" }.into()),
            None => Err(format!("type check ('boolean') failed - got '{value}'")),
        },
        Kind::Int(low, high) => match value.parse::<i64>() {
            Err(_) => Err(format!("type check ('integer') failed - got '{value}'")),
            Ok(n) if n < low => Err(format!("value must have a minimum value of {low}")),
            Ok(n) if n > high => Err(format!("value must have a maximum value of {high}")),
            Ok(_) => Ok(value.to_owned()),
        },
        Kind::Long(least) if value.chars().count() < least => Err(format!("value must be at least {least} characters long")),
        Kind::OneOf(list) if !list.contains(&value) => {
            Err(format!("value '{value}' does not have a value in the enumeration '{}'", list.join(", ")))
        }
        Kind::Pairs(default) => {
            let bare = value.split(',').enumerate().any(|(at, p)| !(p.contains('=') || default && at == 0));
            if bare {
                Err("invalid format - value without key, but schema does not define a default key\n".into())
            } else {
                Ok(value.to_owned())
            }
        }
        _ => Ok(value.to_owned()),
    }
}

/// Splits a list option (comma, semicolon, blank).
pub fn list(text: &str) -> Vec<String> {
    text.split([',', ';', ' ', '\0']).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

/// A property string as pairs; a part without key gets `first`.
pub fn pairs(text: &str, first: &str) -> Vec<(String, String)> {
    text.split(',')
        .filter(|p| !p.is_empty())
        .map(|part| match part.split_once('=') {
            Some((k, v)) => (k.to_owned(), v.to_owned()),
            None => (first.to_owned(), part.to_owned()),
        })
        .collect()
}

pub fn pair<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
}
