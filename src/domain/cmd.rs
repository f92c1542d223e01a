//! One command as data: an argument vector, what goes to its standard input, how long it may take.
//!
//! Nothing here is ever text for a shell (TRUST F18, F19). What runs it is a host.

use serde::{Deserialize, Serialize};

/// The time limit of a command that nobody said more about, in seconds.
pub const DEFAULT_LIMIT_S: u32 = 30;

/// A command: program, arguments, standard input, time limit.
///
/// The environment is not part of it: a host clears it and sets an allow-list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cmd {
    /// Name found in the host's fixed PATH, or an absolute path.
    pub program: String,
    /// Arguments, one word each.
    pub args: Vec<String>,
    /// What is written to standard input before it is closed; `None` is `/dev/null`. Never shown.
    #[serde(skip)]
    pub stdin: Option<Vec<u8>>,
    /// Seconds after which the whole process group is ended; `None` for a job or a follow that ends by itself.
    pub limit_s: Option<u32>,
}

impl Cmd {
    /// A command with the default time limit.
    pub fn new<A: Into<String>>(program: &str, args: impl IntoIterator<Item = A>) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Cmd { program: program.into(), args, stdin: None, limit_s: Some(DEFAULT_LIMIT_S) }
    }

    /// The same command with another limit in seconds.
    pub fn limit(mut self, seconds: u32) -> Self {
        self.limit_s = Some(seconds);
        self
    }

    /// The same command without a limit: it is watched by whoever started it.
    pub fn unlimited(mut self) -> Self {
        self.limit_s = None;
        self
    }

    /// The words as one would type them, quoted for the eye only. Never given to a shell.
    pub fn shown(&self) -> String {
        let mut out = self.program.clone();
        for word in &self.args {
            out.push(' ');
            let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=+:,./@%{}~".contains(&b));
            if plain {
                out.push_str(word);
            } else {
                out.push('\'');
                out.push_str(&super::clean::clean(word).replace('\'', "'\\''"));
                out.push('\'');
            }
        }
        out
    }
}
