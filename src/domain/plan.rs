//! Plans: how a wish becomes true. Ordered steps, each with the exact command, how it is checked, how it is undone.
//!
//! What is previewed is this data, and what is executed is this data (TRUST R29).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::access::{Refused, Who};
use super::appliance::Seat;
use super::appliance::desired::Desired;
use super::appliance::hold::PinChange;
use super::backup::label::Label;
use super::change::{Change, Lay, Place, Turn};
use super::cmd::Cmd;
use super::guest::Vmid;
use super::ports::{Pair, PortWish};
use super::service::Tls;
use super::storage::StorageId;
use super::swap::Identity;
use super::{pve, second};

/// What a plan is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Back a guest up with vzdump.
    Backup,
    /// Restore an archive to a new guest.
    RestoreBeside,
    /// The same, and then it takes the place of the one it was made of.
    RestoreInPlace,
    /// Restore an archive to a new guest, ask it, and remove it again: to know whether it would come back.
    Drill,
    /// A container takes the place of another.
    Swap,
    /// Protect an archive, or change its notes.
    Label,
    /// Protect an archive no more.
    Unprotect,
    /// Read archives to their ends: whether they are whole.
    Verify,
    /// Bring a file or a folder of an archive back into a guest.
    Pull,
    /// The same into a folder of the host.
    PullOut,
    /// Remove backups that no rule keeps.
    Prune,
    /// Change what is backed up or drilled by the clock.
    Schedule,
    /// Start, stop, shut down or reboot a guest.
    Power,
    /// Take away what killed jobs left: a lock that nobody holds, and what is not needed any more.
    Unlock,
    /// Build, mend or change the network appliance and the bridge of the apps.
    Appliance,
    /// Make a lease static or not; this is remembered before anything is carried out.
    Pin(PinChange),
    /// Bring what is published in force; where something is to be remembered, before anything is carried out.
    Publish(Option<PortWish>),
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
    pub undo: Option<Undo>,
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
    /// Changes one file, if it still is as it was when the plan was made.
    Put(Box<Change>),
    /// Makes a folder beside one that is in use, whole or not at all.
    Lay(Box<Lay>),
    /// Has a link lead somewhere else, by one rename.
    Turn(Turn),
    /// Copies files and folders from one running guest to another, as they are at that moment; what is not there is left out.
    Carry {
        /// The guest that has them.
        from: Vmid,
        /// The guest that gets them.
        to: Vmid,
        /// Absolute paths.
        paths: Vec<String>,
    },
}

/// How a step is taken back. Untagged: rows of jobs hold a command as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Undo {
    /// By a command.
    Run(Cmd),
    /// By the change turned round.
    Put(Box<Change>),
    /// By having a link lead where it led.
    Turn(Turn),
}

impl Undo {
    /// What is done, as one would type or say it.
    pub fn shown(&self) -> String {
        match self {
            Undo::Run(cmd) => cmd.shown(),
            Undo::Put(change) => change.shown(),
            Undo::Turn(turn) => turn.shown(),
        }
    }
}

impl From<Cmd> for Undo {
    fn from(cmd: Cmd) -> Undo {
        Undo::Run(cmd)
    }
}

impl Step {
    /// A step that runs a command to its end.
    pub fn run(title: impl Into<String>, cmd: Cmd, check: Check) -> Step {
        Step { title: title.into(), act: Act::Run { cmd, watch: Watch::Exit }, check, undo: None, always: false }
    }

    /// A step that waits.
    pub fn wait(title: impl Into<String>, within_s: u32, check: Check) -> Step {
        Step { title: title.into(), act: Act::Wait { within_s }, check, undo: None, always: false }
    }

    /// A step that changes a file and can be taken back.
    pub fn put(change: Change) -> Step {
        let check = Check::Content { at: change.at, path: change.path.clone(), digest: change.now.as_ref().map(|c| digest(c.bytes())) };
        let undo = change.back().map(|back| Undo::Put(Box::new(back)));
        Step { title: change.shown(), act: Act::Put(Box::new(change)), check, undo, always: false }
    }

    /// A step that makes a folder beside one that is in use. Where a later step fails it stays, for a look.
    pub fn lay(title: impl Into<String>, lay: Lay) -> Step {
        let one = |c: &Change| (c.path.clone(), c.now.as_ref().map(|now| digest(now.bytes())));
        let check = Check::Contents { at: lay.at, files: lay.files.iter().map(one).collect() };
        Step { title: title.into(), act: Act::Lay(Box::new(lay)), check, undo: None, always: true }
    }

    /// A step that has a link lead somewhere else, and back where it led when it is taken back.
    pub fn turn(turn: Turn, was: Option<String>) -> Step {
        let wants = turn.to.clone().map_or(Wants::Status(1), |to| Wants::OneOf(vec![to]));
        let check = Check::Says { what: turn.leads(), cmd: turn.question(), wants };
        let undo = Some(Undo::Turn(Turn { to: was, ..turn.clone() }));
        Step { title: turn.shown(), act: Act::Turn(turn), check, undo, always: true }
    }

    /// The same, its command being a package manager's.
    pub fn of_packages(mut self) -> Step {
        if let Act::Run { watch, .. } = &mut self.act {
            *watch = Watch::Packages;
        }
        self
    }

    /// The same with a way back.
    pub fn undone_by(self, undo: Cmd) -> Step {
        Step { undo: Some(undo.into()), ..self }
    }
}

/// What a file's content is known by in a check: 128 bits of BLAKE2b, in hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    blake2b_simd::Params::new().hash_length(16).hash(bytes).to_hex().to_string()
}

/// What a command must have said for a check to hold. But for [`Wants::Status`] it must have succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wants {
    /// Nothing more.
    Success,
    /// Anything.
    Something,
    /// Not a word.
    Nothing,
    /// All of these lines, each as it stands, without blanks at its ends.
    Lines(Vec<String>),
    /// One of these, and nothing else.
    OneOf(Vec<String>),
    /// A line whose first word is this one.
    FirstWord(String),
    /// It ended with this status, whatever it said.
    Status(i32),
}

impl Wants {
    /// Whether the standard output of a command that succeeded has it.
    pub fn are_in(&self, out: &str) -> bool {
        let mut lines = out.lines().map(str::trim);
        match self {
            Wants::Success => true,
            Wants::Something => !out.trim().is_empty(),
            Wants::Nothing => out.trim().is_empty(),
            Wants::Lines(all) => all.iter().all(|want| out.lines().any(|l| l.trim() == want)),
            Wants::OneOf(all) => all.iter().any(|want| out.trim() == want),
            Wants::Status(status) => *status == 0,
            Wants::FirstWord(word) => lines.any(|l| l.split_whitespace().next() == Some(word)),
        }
    }
}

/// What the lines of a running command tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watch {
    /// Nothing beyond its exit.
    Exit,
    /// A package manager: why it failed stands in the first line that complains, and the last one only sums up.
    Packages,
    /// A vzdump of one guest: archive name, sizes, phases; its truth is its task.
    Vzdump {
        /// The guest.
        vmid: Vmid,
        /// Bytes the archive is expected to have, from the last one or the disk in use.
        expect: Option<u64>,
    },
    /// Our own program looking inside an archive: how far it is, what it warns of, and what came of it.
    Archive {
        /// Which.
        volid: String,
        /// Bytes it has.
        size: Option<u64>,
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
    /// The guest still has this lock, or none any more, and nobody works on it, by every kind of evidence ([`super::locks`]).
    Idle {
        /// The guest.
        vmid: Vmid,
        /// The lock as it was seen.
        lock: String,
    },
    /// Nobody works on the guest, or, without one, no backup runs on the node; and no process has one of these open, or
    /// something below it.
    Unused {
        /// The guest.
        vmid: Option<Vmid>,
        /// Absolute paths.
        paths: Vec<String>,
    },
    /// The guest's configuration is there and knows no snapshot of this name.
    NoSnapshot {
        /// The guest.
        vmid: Vmid,
        /// The snapshot.
        name: String,
    },
    /// The archive that the command named stands on the storage with a size above zero,
    /// no partial file of it is left, and the task ended OK or with warnings.
    Archived {
        /// The guest.
        vmid: Vmid,
        /// The storage.
        storage: StorageId,
    },
    /// This stands on an archive.
    Labelled {
        /// Which.
        volid: String,
        /// The question.
        question: Cmd,
        /// What must stand there.
        label: Label,
    },
    /// The guest's init is another process than when the step began.
    Restarted {
        /// The guest.
        vmid: Vmid,
    },
    /// A file holds exactly this; without a digest: there is no such file.
    Content {
        /// Where it lies.
        at: Place,
        /// Its path.
        path: String,
        /// See [`digest`].
        digest: Option<String>,
    },
    /// Files hold exactly this each; without a digest: there is no such file.
    Contents {
        /// Where they lie.
        at: Place,
        /// Their paths; see [`digest`].
        files: Vec<(String, Option<String>)>,
    },
    /// Something listens on each of these TCP ports of the guest.
    Listens {
        /// The guest.
        vmid: Vmid,
        /// The ports.
        ports: Vec<u16>,
    },
    /// A port of the appliance takes a connection from outside, and something behind it does.
    Takes {
        /// The appliance.
        vmid: Vmid,
        /// The port.
        port: u16,
    },
    /// Both ports of a pair answer by HTTP: the public one from outside the guest, the other one from inside it.
    Serves {
        /// The guest.
        vmid: Vmid,
        /// The ports.
        pair: Pair,
        /// Also where nothing answers behind them.
        unanswered: bool,
        /// How visitors come; by TLS they are asked by TLS.
        #[serde(default)]
        tls: Tls,
    },
    /// Something listens on this port of the guest; asked from within by HTTP it says nothing of an error of its own.
    App {
        /// The guest.
        vmid: Vmid,
        /// The port.
        port: u16,
        /// Whether it is asked by HTTP.
        http: bool,
    },
    /// A command that only asks gives an answer.
    Says {
        /// What that means, in words.
        what: String,
        /// The question.
        cmd: Cmd,
        /// The answer.
        wants: Wants,
    },
    /// Proxmox has a backup job with these options; without them: it has none of that id.
    Job {
        /// Its id.
        id: String,
        /// See [`super::schedule::plan::is_so`].
        has: Option<BTreeMap<String, String>>,
    },
    /// One of two.
    Either(Box<Check>, Box<Check>),
    /// The guest's configuration is there, without a lock, and says that it is Proximity's appliance, in this seat.
    Ours {
        /// The guest.
        vmid: Vmid,
        /// Which seat.
        #[serde(default)]
        seat: Seat,
    },
    /// The guest is configured with this name, these interfaces and this start with the host.
    Named {
        /// The guest.
        vmid: Vmid,
        /// These.
        identity: Box<Identity>,
    },
    /// The guest can only read where these mount points are.
    ReadOnly {
        /// The guest.
        vmid: Vmid,
        /// `mp0`, …
        keys: Vec<String>,
    },
    /// The guest has no configuration on this node.
    Gone {
        /// The guest.
        vmid: Vmid,
    },
    /// An interface of the guest is on this bridge, by its configuration.
    Plugged {
        /// The guest.
        vmid: Vmid,
        /// `net0`.
        key: String,
        /// The bridge.
        bridge: String,
    },
    /// The host has this interface, and it is switched on.
    LinkUp {
        /// Its name.
        name: String,
    },
    /// The rules in force inside the guest are these and no others beside them.
    Rules {
        /// The guest.
        vmid: Vmid,
        /// As `iptables-restore` takes them.
        text: String,
    },
    /// Caddy inside the guest works by its files.
    CaddyByFiles {
        /// The guest.
        vmid: Vmid,
    },
    /// Somebody said that his line still holds: the timer that would take the change back is gone, and the file is as it was
    /// changed.
    Kept {
        /// The unit, without its ending.
        unit: String,
        /// The file on the host.
        path: String,
        /// See [`digest`].
        digest: String,
    },
    /// No lamp of the appliance is red.
    Lamps {
        /// The appliance.
        vmid: Vmid,
        /// How it should be.
        wish: Box<Desired>,
    },
}

impl Check {
    /// The guest that must run so that it can be asked; `None` where the host tells.
    pub fn inside(&self) -> Option<Vmid> {
        match self {
            Check::Content { at: Place::Guest(id), .. } => Some(*id),
            Check::Answers { vmid } | Check::Rules { vmid, .. } | Check::CaddyByFiles { vmid } | Check::Lamps { vmid, .. } => Some(*vmid),
            Check::Contents { at: Place::Guest(id), .. } => Some(*id),
            Check::Listens { vmid, .. } | Check::Serves { vmid, .. } | Check::Takes { vmid, .. } => Some(*vmid),
            Check::Says { cmd, .. } => pve::inside(cmd),
            Check::Either(one, other) => one.inside().or_else(|| other.inside()),
            _ => None,
        }
    }

    /// The check in words.
    pub fn words(&self) -> String {
        match self {
            Check::Answers { vmid } => format!("{vmid} runs and answers"),
            Check::Running { vmid } => format!("{vmid} runs"),
            Check::Stopped { vmid } => format!("{vmid} is stopped"),
            Check::Unlocked { vmid } => format!("{vmid} exists, without a lock"),
            Check::Idle { vmid, lock } if lock.is_empty() => format!("nobody works on {vmid}, and it has no lock"),
            Check::Idle { vmid, lock } => format!("nobody works on {vmid}, and its lock is still '{}'", super::clean::clean(lock)),
            Check::Unused { vmid: Some(vmid), .. } => format!("nobody works on {vmid}, and no process has it open"),
            Check::Unused { vmid: None, .. } => "no backup runs on this node, and no process works there".into(),
            Check::NoSnapshot { vmid, name } => format!("{vmid} has no snapshot '{}'", super::clean::clean(name)),
            Check::Archived { storage, .. } => format!("task ended well, archive stands whole on {storage}"),
            Check::Labelled { label, .. } => {
                let notes = if label.notes.is_empty() { "no notes".into() } else { format!("{} bytes of notes", label.notes.len()) };
                format!("it has {notes}, and is {}protected", if label.protected { "" } else { "not " })
            }
            Check::Restarted { vmid } => format!("{vmid} runs with a new init"),
            Check::Content { at, path, digest: Some(_) } => format!("{} in {at} is exactly that", super::clean::clean(path)),
            Check::Content { at, path, digest: None } => format!("{} is not in {at}", super::clean::clean(path)),
            Check::Contents { at, files } => match &files[..] {
                [(path, _)] => format!("{} in {at} is exactly that", super::clean::clean(path)),
                _ => format!("all {} files in {at} are exactly that", files.len()),
            },
            Check::Listens { ports, .. } => match &ports[..] {
                [one] => format!("port {one} is listened on"),
                _ => format!("all {} ports are listened on", ports.len()),
            },
            Check::Takes { port, .. } => format!("a connection to {port} is taken"),
            Check::Serves { pair, unanswered: false, .. } => {
                format!("both ports answer: {} from outside, {} inside", pair.public, pair.internal)
            }
            Check::Serves { pair, .. } => format!("both ports are served, whatever answers behind them: {pair}"),
            Check::Says { what, .. } => what.clone(),
            Check::Job { id, has: Some(_) } => format!("the backup job {} is exactly so", super::clean::clean(id)),
            Check::Job { id, has: None } => format!("there is no backup job {}", super::clean::clean(id)),
            Check::Either(one, other) => format!("{}, or {}", one.words(), other.words()),
            Check::Ours { vmid, seat } => format!("{vmid} is there, without a lock, and {}", seat.words()),
            Check::App { vmid, port, http: true } => format!("{vmid} answers on {port} by HTTP, with no error of its own"),
            Check::App { vmid, port, http: false } => format!("something listens on {port} in {vmid}"),
            Check::ReadOnly { vmid, keys } => format!("{vmid} can only read at {}", keys.join(", ")),
            Check::Named { vmid, identity } => {
                format!("{vmid} is {}, with {}", identity.hostname, identity.nets.keys().cloned().collect::<Vec<_>>().join(", "))
            }
            Check::Gone { vmid } => format!("{vmid} is not there"),
            Check::Plugged { vmid, key, bridge } => format!("{key} of {vmid} is on {bridge}"),
            Check::LinkUp { name } => format!("{name} is up"),
            Check::Rules { vmid, .. } => format!("these rules and no others are in force in {vmid}"),
            Check::CaddyByFiles { vmid } => format!("Caddy in {vmid} works by its files"),
            Check::Kept { .. } => "you said that your line still holds".into(),
            Check::Lamps { vmid, .. } => format!("no lamp of {vmid} is red"),
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
                Act::Wait { within_s: 0 } => out.push("    asked once".to_owned()),
                Act::Wait { within_s } => out.push(format!("    wait, at most {within_s} s")),
                Act::Put(change) => out.extend(change.lines().into_iter().map(|l| format!("    {l}"))),
                Act::Lay(lay) => out.extend(lay.lines().into_iter().map(|l| format!("    {l}"))),
                Act::Turn(_) => {}
                Act::Carry { paths, .. } => out.extend(paths.iter().map(|p| format!("    {p}"))),
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
