//! Where the program's few own choices come from: defaults < /etc/proximity < user < environment < flags.
//!
//! Tables are merged before anything is read from them, and each value remembers its source. Settings of hosts and
//! networks are not here; they belong to the store.

use std::path::{Path, PathBuf};

use directories::ProjectDirs;

use crate::problem::{Kind, Problem};

/// One choice: its key, default and meaning.
pub struct Definition {
    /// Key in the file; the environment's is `PROXIMITY_` and the key in capitals.
    pub key: &'static str,
    /// Default.
    pub default: &'static str,
    /// What it means, for `print-config`.
    pub help: &'static str,
}

/// All choices.
pub const DEFINITIONS: [Definition; 5] = [
    Definition { key: "host", default: "local", help: "the host to work on: local or demo" },
    Definition {
        key: "state",
        default: "",
        help: "directory of store, jobs and keys; empty: /var/lib/proximity for root, else the user's state folder",
    },
    Definition { key: "refresh_s", default: "10", help: "seconds between two looks at the host, 2 to 3600" },
    Definition { key: "ascii", default: "false", help: "draw with ASCII only" },
    Definition { key: "mono", default: "false", help: "draw without colours; NO_COLOR does the same" },
];

/// One value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Key.
    pub key: &'static str,
    /// Value as text.
    pub text: String,
    /// `default`, a path, `environment` or `flag`.
    pub source: String,
}

/// The choices that hold.
#[derive(Debug, Clone)]
pub struct Config {
    values: Vec<Value>,
    /// The host to work on.
    pub host: String,
    /// Directory of store, jobs and keys.
    pub state: PathBuf,
    /// Seconds between two looks.
    pub refresh_s: u64,
    /// ASCII only.
    pub ascii: bool,
    /// No colours.
    pub mono: bool,
}

impl Config {
    /// Reads all sources. `flags` are key and value pairs from the command line; `env` looks a variable up.
    pub fn load(flags: &[(&str, String)], env: impl Fn(&str) -> Option<String>) -> Result<Config, Problem> {
        let mut values = defaults();
        read_all(&mut values, &files())?;
        for d in &DEFINITIONS {
            if let Some(text) = env(&format!("PROXIMITY_{}", d.key.to_uppercase())) {
                put(&mut values, d.key, text, "environment")?;
            }
        }
        if env("NO_COLOR").is_some_and(|v| !v.is_empty()) {
            put(&mut values, "mono", "true".into(), "environment")?;
        }
        for (key, text) in flags {
            put(&mut values, key, text.clone(), "flag")?;
        }
        Config::of(values)
    }

    /// The same from the system's file and `flags` only: neither home nor environment of whoever starts us decides.
    pub fn of_system(flags: &[(&str, String)]) -> Result<Config, Problem> {
        let mut values = defaults();
        put(&mut values, "state", "/var/lib/proximity".into(), "default")?;
        read_all(&mut values, &[PathBuf::from(SYSTEM)])?;
        for (key, text) in flags {
            put(&mut values, key, text.clone(), "flag")?;
        }
        Config::of(values)
    }

    fn of(mut values: Vec<Value>) -> Result<Config, Problem> {
        let text = |key: &str| values.iter().find(|v| v.key == key).map_or("", |v| v.text.as_str());
        let wrong = |key: &str, why: &str| {
            let source = values.iter().find(|v| v.key == key).map_or("", |v| v.source.as_str());
            Problem::new(Kind::Configuration, format!("configuration '{key}' from {source}"), why, "see proximity print-config")
        };
        let truth = |key: &str| text(key).parse::<bool>().map_err(|_| wrong(key, "it must be true or false"));
        let refresh_s = text("refresh_s")
            .parse()
            .ok()
            .filter(|n| (2..=3600).contains(n))
            .ok_or_else(|| wrong("refresh_s", "it must be a number from 2 to 3600"))?;
        let (ascii, mono, host) = (truth("ascii")?, truth("mono")?, text("host").to_owned());
        let state = if text("state").is_empty() { default_state() } else { PathBuf::from(text("state")) };
        let state = std::path::absolute(&state).map_err(|e| wrong("state", &e.to_string()))?;
        if let Some(v) = values.iter_mut().find(|v| v.key == "state") {
            v.text = state.display().to_string();
        }
        Ok(Config { host, state, refresh_s, ascii, mono, values })
    }

    /// Whether nobody chose this value: neither a file nor the environment nor a flag.
    pub fn is_default(&self, key: &str) -> bool {
        self.values.iter().any(|v| v.key == key && v.source == "default")
    }

    /// All values with their sources.
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}

/// The file of the whole machine.
const SYSTEM: &str = "/etc/proximity/config.toml";

fn defaults() -> Vec<Value> {
    DEFINITIONS.iter().map(|d| Value { key: d.key, text: d.default.into(), source: "default".into() }).collect()
}

fn read_all(values: &mut [Value], paths: &[PathBuf]) -> Result<(), Problem> {
    for path in paths {
        for (key, text) in read(path)? {
            put(values, &key, text, &path.display().to_string())?;
        }
    }
    Ok(())
}

fn put(values: &mut [Value], key: &str, text: String, source: &str) -> Result<(), Problem> {
    let slot = values.iter_mut().find(|v| v.key == key).ok_or_else(|| {
        let known = DEFINITIONS.map(|d| d.key).join(", ");
        Problem::new(Kind::Configuration, source, format!("'{}' is no key", crate::domain::clean::clean(key)), format!("keys are {known}"))
    })?;
    (slot.text, slot.source) = (text, source.to_owned());
    Ok(())
}

fn files() -> Vec<PathBuf> {
    let user = (!rustix::process::geteuid().is_root()).then(dirs).flatten().map(|d| d.config_dir().join("config.toml"));
    [Some(PathBuf::from(SYSTEM)), user].into_iter().flatten().collect()
}

fn dirs() -> Option<ProjectDirs> {
    ProjectDirs::from("", "", "proximity")
}

fn default_state() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return "/var/lib/proximity".into();
    }
    dirs().and_then(|d| d.state_dir().map(Path::to_owned)).unwrap_or_else(|| ".proximity".into())
}

/// Keys and values of a file; a file that is not there has none.
fn read(path: &Path) -> Result<Vec<(String, String)>, Problem> {
    let wrong = |why: String| Problem::new(Kind::Configuration, path.display().to_string(), why, "mend or remove the file");
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(wrong(e.to_string())),
    };
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| wrong(e.message().to_owned()))?;
    table
        .into_iter()
        .map(|(key, value)| match value {
            toml::Value::String(s) => Ok((key, s)),
            toml::Value::Integer(n) => Ok((key, n.to_string())),
            toml::Value::Boolean(b) => Ok((key, b.to_string())),
            _ => Err(wrong(format!("'{key}' must be a text, a number or true or false"))),
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn later_sources_win_and_are_remembered() {
        let env = |name: &str| (name == "PROXIMITY_REFRESH_S").then(|| "30".to_owned());
        let config = Config::load(&[("host", "demo".into())], env).unwrap();
        assert_eq!((config.host.as_str(), config.refresh_s), ("demo", 30));
        let source = |key: &str| config.values().iter().find(|v| v.key == key).unwrap().source.clone();
        assert_eq!((source("host"), source("refresh_s"), source("ascii")), ("flag".into(), "environment".into(), "default".into()));
    }

    #[test]
    fn wrong_values_name_their_source() {
        let env = |name: &str| (name == "PROXIMITY_REFRESH_S").then(|| "0".to_owned());
        let problem = Config::load(&[], env).unwrap_err();
        assert_eq!(problem.what, "configuration 'refresh_s' from environment");
        let env = |name: &str| (name == "NO_COLOR").then(|| "1".to_owned());
        assert!(Config::load(&[], env).unwrap().mono);
    }
}
