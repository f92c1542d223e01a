//! The audit: who did what to which thing, from where, and what came of it. Entries, how they read, how they are found.
//!
//! Whatever changes something is written down twice: as an *intent* before it begins and as an *outcome* after it
//! ended. What has no second half is *unknown*, never good. What happens in one moment (an unlock, a refusal) is an
//! *event*. Nothing in an entry is secret: names, numbers, fingerprints and hashes only. `bytes.rs` has the frozen form.

use serde::Serialize;

use super::access;
use super::filter::Filter;
use super::job::{JobId, State};
use super::stamp::Stamp;

mod bytes;

pub use bytes::{Heading, Malformed};

/// Where a person came from, as far as the system tells. Only `login_uid` cannot be changed by the person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Who {
    /// The user who logged in, kept by the kernel through sudo (`/proc/self/loginuid`).
    pub login_uid: Option<u32>,
    /// Who called sudo.
    pub sudo_user: Option<String>,
    /// Address of the SSH client.
    pub ssh: Option<String>,
    /// The terminal, such as `/dev/pts/3`.
    pub tty: Option<String>,
    /// Fingerprint of the key that logged in, `SHA256:…`; where sshd has ExposeAuthInfo.
    pub key: Option<String>,
}

/// Whether it was allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It may be done.
    Allowed,
    /// It was refused, and nothing was done.
    Refused,
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// Done, and seen to be so.
    Ok,
    /// Done, with warnings.
    Warned,
    /// Not done.
    Failed,
    /// Ended on request.
    Cancelled,
    /// It could not be told.
    Unknown,
}

impl Ending {
    /// The word on the screen and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Ending::Ok => "ok",
            Ending::Warned => "warned",
            Ending::Failed => "failed",
            Ending::Cancelled => "cancelled",
            Ending::Unknown => "unknown",
        }
    }

    /// How a job that ended in this state is remembered. One that has not ended is unknown.
    pub fn of_job(state: State) -> Ending {
        match state {
            State::Succeeded => Ending::Ok,
            State::Warned => Ending::Warned,
            State::Failed => Ending::Failed,
            State::Cancelled => Ending::Cancelled,
            State::Unknown | State::Unreachable | State::Queued | State::Running => Ending::Unknown,
        }
    }
}

/// Which half of the truth an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is about to be done.
    Intent,
    /// What became of an intent.
    Outcome {
        /// Number of the intent.
        of: u64,
        /// How it ended.
        ending: Ending,
        /// Exit status, where there is one.
        exit: Option<i32>,
    },
    /// It happened in one moment.
    Event {
        /// How it ended.
        ending: Ending,
    },
}

/// What is done, to what, by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deed {
    /// The operator's name as this program knows it.
    pub operator: String,
    /// His role; empty where roles were not asked.
    pub role: String,
    /// What kind of thing is done, `vault.unlock`, `job.backup`: topic, dot, verb.
    pub action: String,
    /// What it is done to: `guest 101`, `setting network.subnet`.
    pub object: String,
    /// One line for people.
    pub title: String,
    /// Whether it is allowed.
    pub decision: Decision,
    /// BLAKE2b-256 of the exact commands.
    #[serde(skip)]
    pub argv: Option<[u8; 32]>,
    /// How it was before; a secret as `set`, `changed`, `not set`.
    pub before: Option<String>,
    /// How it is then, or what was said in the end.
    pub after: Option<String>,
    /// Where to take it back: `job 17`, `settings revert 5`.
    pub undo: Option<String>,
    /// The job that does it.
    pub job: Option<JobId>,
}

impl Deed {
    /// Something allowed, without more about it.
    pub fn new(operator: impl Into<String>, action: impl Into<String>, object: impl Into<String>, title: impl Into<String>) -> Deed {
        Deed {
            operator: operator.into(),
            role: String::new(),
            action: action.into(),
            object: object.into(),
            title: title.into(),
            decision: Decision::Allowed,
            argv: None,
            before: None,
            after: None,
            undo: None,
            job: None,
        }
    }

    /// The same by somebody whose role is known.
    pub fn by(who: &access::Who, action: impl Into<String>, object: impl Into<String>, title: impl Into<String>) -> Deed {
        Deed { role: who.word().into(), ..Deed::new(&who.name, action, object, title) }
    }

    /// The same, refused.
    pub fn refused(mut self) -> Deed {
        self.decision = Decision::Refused;
        self
    }

    /// The same with how it was and how it will be. Never a secret.
    pub fn change(mut self, before: impl Into<String>, after: impl Into<String>) -> Deed {
        (self.before, self.after) = (Some(before.into()), Some(after.into()));
        self
    }

    /// The same with what was said in the end.
    pub fn said(mut self, what: impl Into<String>) -> Deed {
        self.after = Some(what.into());
        self
    }

    /// The same with the way back.
    pub fn undo(mut self, undo: impl Into<String>) -> Deed {
        self.undo = Some(undo.into());
        self
    }

    /// The same with the hash of its commands.
    pub fn commands(mut self, argv: Option<[u8; 32]>) -> Deed {
        self.argv = argv;
        self
    }
}

/// One entry. The store gives `seq` and `epoch`; they are 0 before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// Which key its seal was made with, from 0.
    pub epoch: u32,
    /// Wall clock.
    pub at: Stamp,
    /// Milliseconds since boot, sleep included: does not jump when the wall clock does.
    pub boottime_ms: u64,
    /// The boot it was written in.
    pub boot_id: String,
    /// From where.
    pub who: Who,
    /// What kind of process wrote it: `console`, `command`, `worker`, `demo`.
    pub mode: String,
    /// Intent, outcome or event.
    pub phase: Phase,
    /// What.
    pub deed: Deed,
}

/// The end of a log at some moment: one that was seen elsewhere and is not in the log any more tells a cut or a forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Which log.
    pub log: [u8; 16],
    /// The last entry.
    pub seq: u64,
    /// Its link of the chain.
    pub hash: [u8; 32],
}

/// How something stands, put together from both halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Refused before anything was done.
    Refused,
    /// Ended so.
    Ended(Ending),
    /// The intent is there and no outcome: it runs still, or its end was never seen.
    Open,
}

impl Standing {
    /// The word on the screen and in JSON. Open is `unknown`, for that is what it is.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Refused => "refused",
            Standing::Ended(ending) => ending.word(),
            Standing::Open => "unknown",
        }
    }
}

/// An intent or event with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Intent or event.
    pub entry: Entry,
    /// The outcome of the intent.
    pub outcome: Option<Entry>,
}

impl Record {
    /// How it stands.
    pub fn standing(&self) -> Standing {
        if self.entry.deed.decision == Decision::Refused {
            return Standing::Refused;
        }
        match (self.entry.phase, self.outcome.as_ref().map(|o| o.phase)) {
            (Phase::Event { ending }, _) | (_, Some(Phase::Outcome { ending, .. })) => Standing::Ended(ending),
            _ => Standing::Open,
        }
    }

    /// What was said in the end, or how it is since.
    pub fn after(&self) -> Option<&str> {
        self.outcome.as_ref().and_then(|o| o.deed.after.as_deref()).or(self.entry.deed.after.as_deref())
    }

    /// All its words in one line, for filters.
    pub fn line(&self) -> String {
        let (e, d) = (&self.entry, &self.entry.deed);
        let w = &e.who;
        let more = [&w.ssh, &w.tty, &w.sudo_user, &d.before].map(|t| t.as_deref().unwrap_or(""));
        let job = d.job.map_or(String::new(), |id| format!("job {id}"));
        let standing = self.standing().word();
        [&[&d.operator[..], &d.role, &d.action, &d.object, &d.title, standing, &job, &e.mode], &more[..], &[self.after().unwrap_or("")]]
            .concat()
            .join(" ")
    }
}

/// Which records are asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of this operator.
    pub operator: Option<String>,
    /// Whose action begins so.
    pub action: Option<String>,
    /// Whose object or title has this in it.
    pub object: Option<String>,
    /// Not older.
    pub since: Option<Stamp>,
    /// Words and expressions as one types them.
    pub words: Filter,
}

impl Wanted {
    /// Whether a record is one of them.
    pub fn fits(&self, record: &Record) -> bool {
        let deed = &record.entry.deed;
        self.operator.as_ref().is_none_or(|o| deed.operator == *o)
            && self.action.as_ref().is_none_or(|a| deed.action.starts_with(a.as_str()))
            && self.object.as_ref().is_none_or(|o| deed.object.contains(o.as_str()) || deed.title.contains(o.as_str()))
            && self.since.is_none_or(|s| record.entry.at >= s)
            && (self.words.is_empty() || self.words.passes(record.line().as_bytes()))
    }
}

/// Records, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// They.
    pub records: Vec<Record>,
    /// How many entries there are in all.
    pub total: u64,
    /// Where to go on: entries with a smaller number were not looked at. `None` at the beginning of the log.
    pub next: Option<u64>,
    /// Numbers of entries that cannot be read.
    pub unread: Vec<u64>,
}

#[cfg(test)]
#[path = "audit/tests.rs"]
mod tests;
