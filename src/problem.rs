//! The one error people see: what, why, what to do, and whether trying again is safe. All wording and every exit status lives here.
//!
//! Rules: a layer's own error says what it knows in half a sentence; here it becomes a whole one. A retry is only
//! called safe where nothing was begun.

use serde::Serialize;

use crate::domain::clean::clean;
use crate::domain::job::{Job, State};
use crate::domain::plan::Refusal;
use crate::host::HostError;
use crate::jobs::JobError;
use crate::ops::audit::NoRecord;
use crate::store::{PortError, SaveError, StoreError, VaultError};

/// The kinds of problems; each is an exit status (see `proximity manual exit-status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It was tried and did not work.
    Failed,
    /// The command line is wrong.
    Usage,
    /// The configuration or the store is missing or wrong.
    Configuration,
    /// Locked, or not allowed.
    Locked,
    /// There is no such thing.
    NotFound,
    /// Refused before anything was done.
    Refused,
    /// Not reachable; whether it ran is unknown.
    Unreachable,
    /// Only reading is possible.
    ReadOnly,
    /// Still running.
    Running,
}

impl Kind {
    /// The exit status of the program.
    pub fn status(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Configuration => 3,
            Kind::Locked => 4,
            Kind::NotFound => 5,
            Kind::Refused => 6,
            Kind::Unreachable => 7,
            Kind::ReadOnly => 8,
            Kind::Running => 9,
        }
    }
}

/// Exit status of something that is done, with warnings.
pub const WARNED: u8 = 10;

/// A problem as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What kind.
    pub kind: Kind,
    /// What did not work.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do; may be empty.
    pub hint: String,
    /// Whether doing the same again is safe and may help.
    pub retry: bool,
}

impl Problem {
    /// A problem that a retry does not help.
    pub fn new(kind: Kind, what: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Problem { kind, what: what.into(), why: why.into(), hint: hint.into(), retry: false }
    }

    /// As text for people, two or three lines.
    pub fn text(&self) -> String {
        let hint = if self.hint.is_empty() { String::new() } else { format!("\n  {}", self.hint) };
        format!("{}: {}{hint}", self.what, self.why)
    }

    /// As one JSON object.
    pub fn json(&self) -> String {
        serde_json::json!({ "error": self }).to_string()
    }

    /// What became of a job, where that is no success.
    pub fn of_job(job: &Job) -> Option<Problem> {
        let outcome = job.life.outcome.clone().unwrap_or_default();
        let kind = match job.state {
            State::Succeeded | State::Warned => return None,
            State::Failed | State::Cancelled => Kind::Failed,
            State::Unknown | State::Unreachable => Kind::Unreachable,
            State::Queued | State::Running => Kind::Running,
        };
        let why = if kind == Kind::Running { format!("it is {}", job.state.word()) } else { outcome.what };
        let mut hint = outcome.hint;
        for left in outcome.left {
            hint.push_str(if hint.is_empty() { "left behind: " } else { "\n  left behind: " });
            hint.push_str(&left);
        }
        Some(Problem::new(kind, format!("job {} {}", job.id, job.title()), why, hint))
    }
}

impl From<Refusal> for Problem {
    fn from(r: Refusal) -> Self {
        let kind = if r.why.starts_with("there is no ") { Kind::NotFound } else { Kind::Refused };
        Problem { retry: true, ..Problem::new(kind, r.what, r.why, r.hint) }
    }
}

impl From<HostError> for Problem {
    fn from(e: HostError) -> Self {
        let (kind, hint, retry) = match &e {
            HostError::Missing { .. } => (Kind::NotFound, "is this a Proxmox host? see proximity doctor", false),
            HostError::Denied { .. } => (Kind::Locked, "run it as root on the host", false),
            HostError::TimedOut { .. } => (Kind::Unreachable, "see proximity doctor for what hangs", false),
            HostError::LinkLost { .. } => (Kind::Unreachable, "look at the host before you try again", false),
            HostError::Failed { .. } | HostError::Cancelled { .. } | HostError::Io { .. } => (Kind::Failed, "", false),
        };
        Problem { retry, ..Problem::new(kind, "the host", e.to_string(), hint) }
    }
}

impl From<StoreError> for Problem {
    fn from(e: StoreError) -> Self {
        let (kind, hint, retry) = match &e {
            StoreError::Missing { .. } => (Kind::Configuration, "set it up once with: proximity init", false),
            StoreError::Exists { .. } => (Kind::Refused, "use the one that is there, or give another --state", false),
            StoreError::Unreadable { .. } => (Kind::Locked, "run it as the user who owns it, or as root", false),
            StoreError::UnsafePlace { .. } => {
                (Kind::Configuration, "take the rights of others away (chmod 700) after a look at what is in it", false)
            }
            StoreError::Newer { .. } => (Kind::Configuration, "use the newer Proximity; nothing was changed", false),
            StoreError::Older { .. } => (Kind::Configuration, "make room and try again; the old store is as it was", true),
            StoreError::Foreign { .. } => (Kind::Configuration, "give another --state", false),
            StoreError::Corrupt { .. } => {
                (Kind::Configuration, "put the newest whole snapshot back with: proximity vault restore (it keeps the file)", false)
            }
            StoreError::Busy => (Kind::Failed, "try again in a moment", true),
            StoreError::Full => (Kind::ReadOnly, "make room on its file system; nothing was lost", true),
            StoreError::ReadOnly => (Kind::ReadOnly, "see proximity doctor for why", true),
            _ => (Kind::Failed, "see proximity doctor", false),
        };
        Problem { retry, ..Problem::new(kind, "the store", clean(&e.to_string()), hint) }
    }
}

impl From<VaultError> for Problem {
    fn from(e: VaultError) -> Self {
        let (kind, hint) = match e {
            VaultError::Store(e) => return e.into(),
            VaultError::NoVault => (Kind::Configuration, "set it up once with: proximity init"),
            VaultError::Exists => (Kind::Refused, "use the one that is there, or give another --state"),
            VaultError::WrongPassphrase => (Kind::Locked, "try again, or use the recovery words"),
            VaultError::WrongCode => (Kind::Locked, "type the one that is shown now, or a code from the paper"),
            VaultError::UsedCode => (Kind::Locked, "wait for the next one"),
            VaultError::Throttled { .. } => (Kind::Locked, "wait; the recovery words are not held up by this"),
            VaultError::Deactivated { .. } => (Kind::Locked, "an admin can activate it: proximity operator activate NAME"),
            VaultError::LastAdmin => (Kind::Refused, "make another operator admin first"),
            VaultError::SecondFactorOn => (Kind::Refused, "switch it off first: proximity operator totp off"),
            VaultError::WrongWords { .. } => (Kind::Locked, "compare them with the paper, word by word"),
            VaultError::OperatorExists { .. } | VaultError::LastOperator { .. } => (Kind::Refused, ""),
            VaultError::UnknownOperator { .. } => (Kind::Locked, "give another --operator"),
            VaultError::HostKeyMissing { .. } | VaultError::HostKeyOther { .. } => {
                (Kind::Locked, "bring host.key back, or open with the recovery words")
            }
            VaultError::Tampered { .. } => {
                (Kind::Failed, "nothing was used; compare with a backup of this host and find out who wrote there")
            }
            VaultError::Corrupt { .. } => (Kind::Failed, "keep the file, and restore it from a backup of this host"),
            VaultError::OlderThanAnchor { .. } => {
                (Kind::ReadOnly, "if you put a backup back: proximity vault accept; otherwise find out who did")
            }
            VaultError::NoExport { .. } => (Kind::Usage, "give the file that vault export wrote"),
            VaultError::RecordExists { .. } => (Kind::Refused, "to replace what is there: --replace"),
            VaultError::OtherKey => (Kind::Locked, "open it again"),
            VaultError::WeakPassphrase { .. } | VaultError::BadName => (Kind::Usage, "choose another one"),
            VaultError::WeakCost | VaultError::CostTooHigh { .. } => (Kind::Refused, "free memory, or open with the recovery words"),
            VaultError::NotSet { .. } => (Kind::NotFound, ""),
            _ => (Kind::Failed, "see proximity doctor"),
        };
        Problem::new(kind, "the vault", clean(&e.to_string()), hint)
    }
}

impl From<NoRecord> for Problem {
    fn from(e: NoRecord) -> Self {
        let hint = "make room for the store, set it up with proximity init, or let the journal last (/var/log/journal)";
        Problem { retry: true, ..Problem::new(Kind::Refused, "the audit", clean(&e.to_string()), hint) }
    }
}

impl From<SaveError> for Problem {
    fn from(e: SaveError) -> Self {
        let (kind, hint) = match e {
            SaveError::Vault(e) => return e.into(),
            SaveError::Conflict { .. } => (Kind::Refused, "nothing was saved; look at what holds now and decide again"),
            SaveError::Unfit(_) => (Kind::Refused, "nothing was saved; see proximity settings history"),
            SaveError::Unrecorded(_) => (Kind::Refused, "nothing was saved; make room for the store, or let the journal last"),
            SaveError::Trouble(_) => (Kind::Refused, "nothing was saved; save together what belongs together"),
            SaveError::Untried { .. } => {
                (Kind::Refused, "nothing was saved; try it and keep it: P in the console, proximity settings test proxmox HOST USER --save")
            }
            SaveError::ReadOnly => (Kind::ReadOnly, "proximity settings set system.read_only off"),
            _ => (Kind::NotFound, "nothing was saved; set it anew"),
        };
        Problem::new(kind, "the settings", clean(&e.to_string()), hint)
    }
}

impl From<PortError> for Problem {
    fn from(e: PortError) -> Self {
        let (kind, hint) = match e {
            PortError::Vault(e) => return e.into(),
            PortError::ReadOnly => (Kind::ReadOnly, "proximity settings set system.read_only off"),
            _ => (Kind::Refused, "nothing was changed; see proximity ports list"),
        };
        Problem::new(kind, "the ports", clean(&e.to_string()), hint)
    }
}

impl From<JobError> for Problem {
    fn from(e: JobError) -> Self {
        let (kind, hint) = match e {
            JobError::Store(e) => return e.into(),
            JobError::NoRecord(e) => return e.into(),
            JobError::NoStore => (Kind::Configuration, "set it up once with: proximity init"),
            JobError::NotFound(_) => (Kind::NotFound, "see proximity job list"),
            JobError::Ended { .. } => (Kind::Refused, "nothing to do"),
            JobError::NotQueued { .. } => (Kind::Refused, "see proximity job list"),
            JobError::Start { .. } | JobError::Signal { .. } => (Kind::Failed, "see proximity job list"),
        };
        Problem::new(kind, "the job", clean(&e.to_string()), hint)
    }
}
