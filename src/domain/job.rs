//! Jobs: a plan being carried out, with an id, a life and a log. It outlives the console that started it.

use serde::{Deserialize, Serialize};

use super::plan::{Approved, Check};
use super::stamp::Stamp;
use super::task::Upid;

/// Number of a job; it names its log and its unit.
pub type JobId = i64;

/// The states of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Written down, not started: its worker is about to begin, or waits for its turn.
    Queued,
    /// A worker is at it.
    Running,
    /// The host cannot be asked how it goes.
    Unreachable,
    /// Done, and seen to be so.
    Succeeded,
    /// Done, with warnings.
    Warned,
    /// Not done; the outcome says why and what is left.
    Failed,
    /// Ended on request; the outcome says what is left.
    Cancelled,
    /// Asked, and it could not be told how it ended. Never success.
    Unknown,
}

impl State {
    /// The word on the screen, in JSON and in the store.
    pub fn word(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Unreachable => "unreachable",
            State::Succeeded => "succeeded",
            State::Warned => "warned",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
            State::Unknown => "unknown",
        }
    }

    /// The state of a word; `None` for a word nobody wrote.
    pub fn from_word(word: &str) -> Option<State> {
        use State::*;
        [Queued, Running, Unreachable, Succeeded, Warned, Failed, Cancelled, Unknown].into_iter().find(|s| s.word() == word)
    }

    /// Whether nothing more happens to it.
    pub fn is_final(self) -> bool {
        !matches!(self, State::Queued | State::Running | State::Unreachable)
    }
}

/// A process, told apart from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id on the host.
    pub pid: u32,
    /// Kernel start time in clock ticks since boot.
    pub start: u64,
    /// The boot it lived in.
    pub boot_id: String,
}

/// How far a job is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes written so far.
    pub bytes: Option<u64>,
    /// Bytes expected: an estimate unless a log told a percentage.
    pub expect: Option<u64>,
    /// Bytes per second lately.
    pub rate: Option<u64>,
    /// What it is doing, in words.
    pub phase: String,
}

impl Progress {
    /// Percent done, at most 99 while it is an estimate; `None` where nothing is expected.
    pub fn percent(&self) -> Option<u8> {
        let (done, all) = (self.bytes?, self.expect.filter(|e| *e > 0)?);
        Some((done.saturating_mul(100) / all).min(99) as u8)
    }

    /// Seconds still to go at the present rate.
    pub fn eta_s(&self) -> Option<u64> {
        let left = self.expect?.checked_sub(self.bytes?)?;
        Some(left / self.rate.filter(|r| *r > 0)?)
    }
}

/// How a job ended, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What happened.
    pub what: String,
    /// What to do about it; empty when nothing.
    pub hint: String,
    /// What was left behind on the host: locks, snapshots, partial files.
    pub left: Vec<String>,
    /// The volume that was made.
    pub volid: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// What is not in it.
    pub not_in_it: Vec<String>,
    /// Warnings that were seen.
    pub warnings: Vec<String>,
    /// Its worker was gone before its end: all of this is by whoever looked later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub found_out: bool,
    /// When what was restored gave its last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Stamp>,
    /// What was found out of archives that were read to their ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verified: Vec<super::inside::verify::Verified>,
}

/// What has happened to a job so far. Written by its worker and by the reconciler only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Life {
    /// When its worker began.
    pub started: Option<Stamp>,
    /// When it ended.
    pub ended: Option<Stamp>,
    /// The systemd unit it runs in; `None` where it was only detached.
    pub unit: Option<String>,
    /// Its worker.
    pub worker: Option<Process>,
    /// The step it is at, from 0.
    pub step: usize,
    /// The command that runs now.
    pub child: Option<Process>,
    /// The Proxmox task of the step it is at, once it is known.
    pub upid: Option<Upid>,
    /// Archive named by vzdump's log, as a path on the host.
    pub archive: Option<String>,
    /// How far it is.
    pub progress: Progress,
    /// Its place among those that wait: the lower the sooner, then by number. Only the queue is put in order by it.
    #[serde(default)]
    pub turn: i64,
    /// Somebody asked it to end.
    pub cancel: bool,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

/// A job as it stands in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Its state.
    pub state: State,
    /// When it was written down.
    pub created: Stamp,
    /// What was allowed, by whom.
    pub order: Approved,
    /// What happened so far.
    pub life: Life,
}

impl Job {
    /// `back up 101 web to local`.
    pub fn title(&self) -> &str {
        &self.order.plan().title
    }

    /// Whether the step it is at waits for somebody to say that his line still holds.
    pub fn waits_for_a_word(&self) -> bool {
        let step = self.order.plan().steps.get(self.life.step);
        self.state == State::Running && step.is_some_and(|s| matches!(s.check, Check::Kept { .. }))
    }

    /// One line about where it stands: phase and percent while it runs, the outcome when it ended.
    pub fn line(&self) -> String {
        match (&self.life.outcome, self.life.progress.percent()) {
            (Some(outcome), _) if self.state.is_final() => outcome.what.clone(),
            (_, Some(percent)) => format!("{} ~{percent} %", self.life.progress.phase),
            _ => self.life.progress.phase.clone(),
        }
    }
}
