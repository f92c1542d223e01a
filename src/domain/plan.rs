//! Plans: how a wish becomes true. Ordered steps, each with the exact command, how it is checked, how it is undone.
//!
//! What is previewed is this data, and what is executed is this data (TRUST R29).

use serde::{Deserialize, Serialize};

use super::access::{Refused, Who};
use super::cmd::Cmd;
use super::guest::Vmid;
use super::second;
use super::storage::StorageId;

/// What a plan is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Back a guest up with vzdump.
    Backup,
    /// Restore an archive to a new guest.
    RestoreBeside,
    /// Start, stop, shut down or reboot a guest.
    Power,
    /// Take a lock away that nothing holds.
    Unlock,
}

/// How much asking a plan needs before it may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// Changes nothing anybody relies on; a plain yes is enough, and the command line needs no `--yes`.
    Low,
    /// Interrupts something; asks, and needs `--yes`.
    Interrupts,
    /// Something is lost; this name must be typed.
    Destroys {
        /// What is to be typed.
        name: String,
    },
}

/// A plan, ready to be shown and approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What it is for.
    pub purpose: Purpose,
    /// One line: `back up 101 web to local`.
    pub title: String,
    /// The guest it is about.
    pub guest: Vmid,
    /// The host it is for; an executor of another host refuses it.
    pub host: String,
    /// What is known beforehand: one line each.
    pub facts: Vec<String>,
    /// What the operator should think about before: one line each.
    pub notes: Vec<String>,
    /// How much asking it needs.
    pub risk: Risk,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it does, in words.
    pub title: String,
    /// What is done.
    pub act: Act,
    /// What holds afterwards. A step whose check already holds when it is reached is passed over,
    /// unless `always` is set.
    pub check: Check,
    /// How it is taken back; `None` where nothing is left behind or nothing can be taken back.
    pub undo: Option<Cmd>,
    /// Run even when the check already holds (a backup is wanted although one exists).
    pub always: bool,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Runs a command to its end. Its lines go to the job's log; `watch` says what to read in them.
    Run {
        /// The command.
        cmd: Cmd,
        /// What its lines tell.
        watch: Watch,
    },
    /// Waits until the step's check holds, at most so many seconds.
    Wait {
        /// Deadline in seconds.
        within_s: u32,
    },
}

/// What the lines of a running command tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watch {
    /// Nothing beyond its exit.
    Exit,
    /// A vzdump of one guest: archive name, sizes, phases; its truth is its task.
    Vzdump {
        /// The guest.
        vmid: Vmid,
        /// Bytes the archive is expected to have, from the last one or the disk in use.
        expect: Option<u64>,
    },
    /// A `pct restore`: its truth is its task.
    Restore {
        /// The new guest.
        vmid: Vmid,
    },
}

/// What is looked at to know that a step holds. Each is a question to the host, never a substring of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The guest runs and its init answers a command.
    Answers {
        /// The guest.
        vmid: Vmid,
    },
    /// The guest runs.
    Running {
        /// The guest.
        vmid: Vmid,
    },
    /// The guest is there and does not run.
    Stopped {
        /// The guest.
        vmid: Vmid,
    },
    /// The guest's configuration is there and holds no lock.
    Unlocked {
        /// The guest.
        vmid: Vmid,
    },
    /// The guest still has this lock, or none any more, and nothing works on it: no task of the node, no process at the lock
    /// files of its configuration and of vzdump.
    Idle {
        /// The guest.
        vmid: Vmid,
        /// The lock as it was seen.
        lock: String,
    },
    /// The archive that the command named stands on the storage with a size above zero,
    /// no partial file of it is left, and the task ended OK or with warnings.
    Archived {
        /// The guest.
        vmid: Vmid,
        /// The storage.
        storage: StorageId,
    },
    /// The guest's init is another process than when the step began.
    Restarted {
        /// The guest.
        vmid: Vmid,
    },
}

impl Check {
    /// The check in words.
    pub fn words(&self) -> String {
        match self {
            Check::Answers { vmid } => format!("{vmid} runs and answers"),
            Check::Running { vmid } => format!("{vmid} runs"),
            Check::Stopped { vmid } => format!("{vmid} is stopped"),
            Check::Unlocked { vmid } => format!("{vmid} exists, without a lock"),
            Check::Idle { vmid, lock } => format!("nothing works on {vmid}, and its lock is still '{lock}'"),
            Check::Archived { storage, .. } => format!("task ended well, archive stands whole on {storage}"),
            Check::Restarted { vmid } => format!("{vmid} runs with a new init"),
        }
    }
}

impl Plan {
    /// The plan as text: what `--dry-run` prints and the dialog shows.
    pub fn lines(&self) -> Vec<String> {
        let mut out = vec![self.title.clone()];
        for (n, step) in self.steps.iter().enumerate() {
            out.push(format!("{} {}", n + 1, step.title));
            match &step.act {
                Act::Run { cmd, .. } => out.push(format!("    $ {}", cmd.shown())),
                Act::Wait { within_s } => out.push(format!("    wait, at most {within_s} s")),
            }
            out.push(format!("    then: {}", step.check.words()));
            if let Some(undo) = &step.undo {
                out.push(format!("    undo: {}", undo.shown()));
            }
        }
        out.extend(self.facts.iter().cloned());
        out.extend(self.notes.iter().map(|n| format!("! {n}")));
        out
    }
}

/// A plan that somebody allowed to run. Only the confirm dialog and the command line make one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    plan: Plan,
    /// Who.
    pub by: String,
    /// He is the Unix account that owns the store and not one of the operators, so no role holds him.
    #[serde(default)]
    pub owner: bool,
    /// His role at that time, for the audit; [`Who::word`].
    #[serde(default)]
    pub role: String,
    /// The second operator who said yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    second: Option<String>,
}

impl Approved {
    /// Allows a plan. `typed` is the name that was typed, where the plan asks for one; a wrong name gives `None`.
    pub fn new(plan: Plan, by: impl Into<String>, typed: Option<&str>) -> Option<Self> {
        match &plan.risk {
            Risk::Destroys { name } if typed != Some(name.as_str()) => None,
            _ => Some(Approved { plan, by: by.into(), owner: false, role: String::new(), second: None }),
        }
    }

    /// The same, allowed by `who`. A second yes was for somebody else's order and is gone.
    pub fn in_name_of(self, who: &Who) -> Self {
        Approved { by: who.name.clone(), owner: who.owner, role: who.word().into(), second: None, ..self }
    }

    /// The same with the yes of a second operator, who has proven that he is `who`; refused where his yes does not count.
    pub fn seconded(self, who: &Who) -> Result<Self, Refused> {
        second::may(&self, who)?;
        Ok(Approved { second: Some(who.name.clone()), ..self })
    }

    /// The second operator who said yes; `None` where nobody was asked.
    pub fn second(&self) -> Option<&str> {
        self.second.as_deref()
    }

    /// `ada`, or `ada, seconded by otto`.
    pub fn allowed_by(&self) -> String {
        self.second().map_or_else(|| self.by.clone(), |second| format!("{}, seconded by {second}", self.by))
    }

    /// The plan that is allowed.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// Why a wish cannot become a plan now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What was wished and is refused.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do.
    pub hint: String,
}

impl Refusal {
    /// A refusal in three sentences.
    pub fn new(what: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal { what: what.into(), why: why.into(), hint: hint.into() }
    }
}
