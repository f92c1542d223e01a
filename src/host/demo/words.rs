//! Command lines as the Proxmox tools read them, and what is answered at once.

use std::collections::BTreeMap;

/// What a command says and how it ends, when it does not take time.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Reply {
    pub fn ok(out: impl Into<String>) -> Self {
        Reply { status: 0, out: out.into(), err: String::new() }
    }

    /// A failure: its one line goes to standard error.
    pub fn fail(status: i32, err: impl AsRef<str>) -> Self {
        Reply { status, out: String::new(), err: format!("{}\n", err.as_ref()) }
    }

    /// A bad parameter (facts §1.2).
    pub fn param(what: &str, usage: &str) -> Self {
        Reply::fail(255, format!("400 Parameter verification failed.\n{what}\n{usage}"))
    }

    pub fn with_err(mut self, err: &str) -> Self {
        self.err.insert_str(0, &format!("{err}\n"));
        self
    }
}

/// Words split into options and the rest.
#[derive(Default)]
pub(super) struct Opts {
    pub free: Vec<String>,
    named: BTreeMap<String, String>,
}

impl Opts {
    /// `--key value`, `--key=value`, `-key value`; a last or doubled option without a value is `1`.
    pub fn read(args: &[String]) -> Self {
        let mut opts = Opts::default();
        let mut words = args.iter().peekable();
        while let Some(word) = words.next() {
            match word.strip_prefix('-').map(|w| w.trim_start_matches('-')) {
                Some(key) if !key.is_empty() => {
                    let (key, value) = match key.split_once('=') {
                        Some((k, v)) => (k, v.to_owned()),
                        None => (key, words.next_if(|w| !w.starts_with("--")).cloned().unwrap_or_else(|| "1".into())),
                    };
                    opts.named.insert(key.to_owned(), value);
                }
                _ => opts.free.push(word.clone()),
            }
        }
        opts
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.named.get(key).map(String::as_str)
    }

    /// All options.
    pub fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

/// A word as Proxmox repeats it in a log: quoted where a shell would need it.
pub(super) fn quoted(word: &str) -> String {
    let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=+:,./@%".contains(&b));
    if plain && !word.is_empty() { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\"'\"'")) }
}
