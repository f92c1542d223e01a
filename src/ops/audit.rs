//! Writing the audit down: the one way in for everything that changes something.
//!
//! ```text
//! let audit = ctx.audit();                                        who, from where: looked up once
//! let intent = audit.intent(Some(&store), now, deed)?;            refused where it cannot be written down
//! … the change …
//! audit.outcome(Some(&store), now, &intent, End::ok());           what came of it
//!
//! vault.change(&store, |tx| { audit.event_in(tx, now, deed, Ending::Ok)?; … })?;   one transaction: both or neither
//! audit.tell(&store);                                             and its head to the journal
//! ```
//!
//! Two sinks: the store, and the journal of the host, which gets the head of the log after every entry. Strict: without
//! one durable record nothing is begun. Only the journal is asked where the store takes no writes; what it then holds is
//! the whole entry in words. What was done already is never taken back for want of an outcome; it stays *unknown*.

use std::fmt::Write as _;

use rusqlite::Transaction;

use super::who::who;
use crate::domain::audit::{Deed, Ending, Entry, Head, Phase};
use crate::domain::change::{Change, Place};
use crate::domain::cmd::Cmd;
use crate::domain::plan::{Act, Approved, digest};
use crate::domain::stamp::Stamp;
use crate::host::Host;
use crate::host::local::{Journal, boot_id};
use crate::store::{Store, StoreError, audit};

/// By this our entries are found in the journal: `journalctl MESSAGE_ID=…`.
const MESSAGE_ID: &str = "7be5c8f0a4d64e0f9b1f6a70c2d83e15";

/// Nothing was done, since it could not be written down.
#[derive(Debug, thiserror::Error)]
#[error("it cannot be written down, and nothing is done that is not: {store}; {journal}")]
pub struct NoRecord {
    /// What the store said.
    pub store: String,
    /// What the journal said.
    pub journal: String,
}

/// Something that was written down and is about to be done.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Its number, where the store has it.
    seq: Option<u64>,
    deed: Deed,
}

/// How it ended.
#[derive(Debug, Clone)]
pub struct End {
    /// In a word.
    pub ending: Ending,
    /// Exit status.
    pub exit: Option<i32>,
    /// What was said.
    pub said: Option<String>,
}

impl End {
    /// Well.
    pub fn ok() -> End {
        End { ending: Ending::Ok, exit: None, said: None }
    }

    /// Not done; why.
    pub fn failed(why: impl Into<String>) -> End {
        End { ending: Ending::Failed, exit: None, said: Some(why.into()) }
    }

    /// By the exit status of a command.
    pub fn exit(status: i32) -> End {
        let ending = if status == 0 { Ending::Ok } else { Ending::Failed };
        End { ending, exit: Some(status), said: None }
    }
}

/// Writes entries for this process.
#[derive(Debug, Clone)]
pub struct Recorder {
    mode: String,
    journal: Option<Journal>,
}

impl Recorder {
    /// For a process of this mode: `console`, `command`, `worker`. The demo has a log in memory and no journal.
    pub fn new(mode: &str, host: &dyn Host) -> Recorder {
        match host.is_demo() {
            true => Recorder { mode: "demo".into(), journal: None },
            false => Recorder { mode: mode.into(), journal: Some(Journal::of_this_machine()) },
        }
    }

    /// The same with another journal, or none.
    pub fn with_journal(mut self, journal: Option<Journal>) -> Recorder {
        self.journal = journal;
        self
    }

    /// An entry about now.
    pub fn entry(&self, now: Stamp, phase: Phase, deed: Deed) -> Entry {
        let boot_id = boot_id().unwrap_or_default();
        Entry { seq: 0, epoch: 0, at: now, boottime_ms: boottime_ms(), boot_id, who: who().clone(), mode: self.mode.clone(), phase, deed }
    }

    /// Writes down what is about to be done. `NoRecord` where neither sink takes it: then it must not be done.
    pub fn intent(&self, store: Option<&Store>, now: Stamp, deed: Deed) -> Result<Intent, NoRecord> {
        let seq = self.write(store, self.entry(now, Phase::Intent, deed.clone()))?;
        Ok(Intent { seq, deed })
    }

    /// The same inside a transaction that does the change, or a part of it. [`tell`](Self::tell) after it.
    pub fn intent_in(&self, tx: &Transaction<'_>, now: Stamp, deed: Deed) -> Result<Intent, StoreError> {
        let head = audit::append(tx, [self.entry(now, Phase::Intent, deed.clone())])?;
        Ok(Intent { seq: Some(head.seq), deed })
    }

    /// Writes down what came of it. It is done, so nothing is refused any more: a failure is told and traced.
    pub fn outcome(&self, store: Option<&Store>, now: Stamp, intent: &Intent, end: End) {
        if let Err(e) = self.write(store, self.closing(now, intent, end)) {
            tracing::warn!(%e, action = intent.deed.action, "what came of it could not be written down; it will be shown as unknown");
        }
    }

    /// The same inside a transaction.
    pub fn outcome_in(&self, tx: &Transaction<'_>, now: Stamp, intent: &Intent, end: End) -> Result<(), StoreError> {
        audit::append(tx, [self.closing(now, intent, end)]).map(drop)
    }

    /// Writes down what happened in one moment: an unlock, a refusal.
    pub fn event(&self, store: Option<&Store>, now: Stamp, deed: Deed, ending: Ending) -> Result<(), NoRecord> {
        self.write(store, self.entry(now, Phase::Event { ending }, deed)).map(drop)
    }

    /// The same inside a transaction: for a change that is whole when the transaction is.
    pub fn event_in(&self, tx: &Transaction<'_>, now: Stamp, deed: Deed, ending: Ending) -> Result<(), StoreError> {
        audit::append(tx, [self.entry(now, Phase::Event { ending }, deed)]).map(drop)
    }

    /// Tells the journal where the log ends now.
    pub fn tell(&self, store: &Store) {
        if let (Some(journal), Ok(Some(record))) = (&self.journal, store.audit_end()) {
            let (head, entry) = record;
            if let Err(e) = journal.tell(&fields(&entry, Some((&head, store)))) {
                tracing::warn!(%e, "the head of the audit log could not be told to the journal");
            }
        }
    }

    fn closing(&self, now: Stamp, intent: &Intent, end: End) -> Entry {
        let phase = match intent.seq {
            Some(of) => Phase::Outcome { of, ending: end.ending, exit: end.exit },
            // The intent is in the journal only.
            None => Phase::Event { ending: end.ending },
        };
        self.entry(now, phase, Deed { after: end.said.or(intent.deed.after.clone()), ..intent.deed.clone() })
    }

    /// To the store and its head to the journal; or, where the store takes nothing, all of it to a journal that lasts.
    fn write(&self, store: Option<&Store>, entry: Entry) -> Result<Option<u64>, NoRecord> {
        let failed = match store.map(|s| (s, s.record(entry.clone()))) {
            Some((store, Ok(head))) => {
                self.tell(store);
                return Ok(Some(head.seq));
            }
            Some((_, Err(e))) => e.to_string(),
            None => "there is no store".to_owned(),
        };
        let told = match &self.journal {
            None => Err("there is no journal".to_owned()),
            Some(journal) if !journal.is_lasting() => Err("the journal of this host forgets at a reboot".to_owned()),
            Some(journal) => journal.tell(&fields(&entry, None)).map_err(|e| format!("the journal: {e}")),
        };
        told.map(|()| None).map_err(|journal| NoRecord { store: failed, journal })
    }
}

/// /proc/uptime: seconds since boot, sleep included (proc(5)).
fn boottime_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = text.split(' ').next().and_then(|t| t.parse().ok()).unwrap_or_default();
    (seconds * 1000.0) as u64
}

/// An entry in the journal's fields. With the head where the store has it; else all of it stands in the message.
fn fields(entry: &Entry, head: Option<(&Head, &Store)>) -> Vec<(&'static str, String)> {
    let (d, w) = (&entry.deed, &entry.who);
    let what = match entry.phase {
        Phase::Intent => "begins".to_owned(),
        Phase::Outcome { of, ending, .. } => format!("of {of} is {}", ending.word()),
        Phase::Event { ending } => ending.word().to_owned(),
    };
    let place = head.map_or("not in the store".to_owned(), |(head, _)| format!("entry {}", head.seq));
    let mut message = format!("audit, {place}: {} {}: {} ({}), {what}", d.operator, d.action, d.title, d.object);
    if head.is_none() {
        let from = [("tty", &w.tty), ("ssh", &w.ssh), ("sudo", &w.sudo_user), ("said", &d.after)];
        for (name, value) in from.into_iter().filter_map(|(n, v)| Some((n, v.as_ref()?))) {
            let _ = write!(message, ", {name} {value}");
        }
    }
    let mut out = vec![
        ("MESSAGE", message),
        ("MESSAGE_ID", MESSAGE_ID.to_owned()),
        ("PRIORITY", "5".to_owned()),
        ("SYSLOG_IDENTIFIER", "proximity".to_owned()),
        ("PROXIMITY_OPERATOR", d.operator.clone()),
        ("PROXIMITY_ACTION", d.action.clone()),
    ];
    if let Some((head, store)) = head {
        out.push(("PROXIMITY_AUDIT_LOG", hex(&head.log)));
        out.push(("PROXIMITY_AUDIT_SEQ", head.seq.to_string()));
        out.push(("PROXIMITY_AUDIT_HASH", hex(&head.hash)));
        out.extend(store.path().map(|p| ("PROXIMITY_STORE", p.display().to_string())));
    }
    out
}

/// Digits of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let byte = |at: usize| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok();
    let all: Vec<u8> = (0..N).map_while(byte).collect();
    all.try_into().ok().filter(|_| text.len() == 2 * N)
}

/// What is asked of the journal about heads: only of our own user, for anybody may write there.
pub fn heads_command() -> Cmd {
    let uid = rustix::process::geteuid().as_raw();
    Cmd::new(
        "journalctl",
        [
            "--quiet".to_owned(),
            "--no-pager".to_owned(),
            "--output=json".to_owned(),
            "--output-fields=PROXIMITY_AUDIT_LOG,PROXIMITY_AUDIT_SEQ,PROXIMITY_AUDIT_HASH".to_owned(),
            format!("MESSAGE_ID={MESSAGE_ID}"),
            format!("_UID={uid}"),
        ],
    )
}

/// The heads in the journal's answer; a line without one is passed over.
pub fn heads(answer: &[u8]) -> Vec<Head> {
    let one = |line: &[u8]| {
        let value: serde_json::Value = serde_json::from_slice(line).ok()?;
        let text = |name: &str| value.get(name)?.as_str();
        Some(Head {
            log: unhex(text("PROXIMITY_AUDIT_LOG")?)?,
            seq: text("PROXIMITY_AUDIT_SEQ")?.parse().ok()?,
            hash: unhex(text("PROXIMITY_AUDIT_HASH")?)?,
        })
    };
    answer.split(|b| *b == b'\n').filter_map(one).collect()
}

/// What a job is in the audit: `job.backup` of `guest 101`, with the hash of its exact commands and who said the second yes.
pub fn deed_of(order: &Approved) -> Deed {
    let plan = order.plan();
    // A purpose that says more than its word is an object of one field.
    let word = |v: serde_json::Value| v.as_str().map(str::to_owned).or_else(|| v.as_object()?.keys().next().cloned());
    let purpose = serde_json::to_value(&plan.purpose).ok().and_then(word).unwrap_or_default();
    let put = |change: &Change| {
        let now = change.now.as_ref().map_or(String::new(), |c| digest(c.bytes()));
        ["put".to_owned(), change.path.clone(), now]
    };
    let commands: Vec<Cmd> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.act {
            Act::Run { cmd, .. } => Some(cmd.clone()),
            Act::Wait { .. } => None,
            Act::Carry { from, to, paths } => {
                Some(Place::Guest(*to).cmd(["carry".to_owned(), from.to_string()].into_iter().chain(paths.iter().cloned())))
            }
            // A changed file counts by what it is changed to.
            Act::Put(change) => Some(change.at.cmd(put(change))),
            Act::Lay(lay) => {
                let from = lay.from.clone().unwrap_or_default();
                let words = ["lay".to_owned(), lay.folder.clone(), from].into_iter().chain(lay.files.iter().flat_map(put));
                Some(lay.at.cmd(words.collect::<Vec<_>>()))
            }
            Act::Turn(turn) => Some(turn.at.cmd(["turn", &turn.link, turn.to.as_deref().unwrap_or_default()])),
        })
        .collect();
    let argv = audit::argv_hash(&commands);
    // In the title, which intent and outcome have both, and every list shows.
    let title = order.second().map_or_else(|| plan.title.clone(), |second| format!("{}, seconded by {second}", plan.title));
    let deed = Deed::new(&order.by, format!("job.{purpose}"), format!("guest {}", plan.guest), title);
    Deed { role: order.role.clone(), ..deed.commands(argv) }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
