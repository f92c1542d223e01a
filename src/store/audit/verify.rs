//! The verifier: reads the whole log once and says what is not as it was written, and where.
//!
//! It recomputes every link, derives every epoch's key anew from the first one, and demands that each entry has the
//! epoch that follows from those before it. An entry sealed with a later key (CVE-2023-31439 of another log) is found.

use std::collections::HashSet;

use rusqlite::params;

use super::read::BATCH;
use super::{Pace, State, beginning, last_seen, next_key, open, seal_key, split};
use crate::domain::audit::{Head, Heading, Phase};
use crate::store::crypto::{self, Key};
use crate::store::{Store, StoreError, Vault, VaultError};

/// Faults that are told one by one; what follows is counted.
const TOLD: usize = 50;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The entry; 0 is the log as a whole.
    pub seq: u64,
    /// What is wrong with it.
    pub what: String,
}

/// Whether the seals were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seals {
    /// With the first key out of the vault.
    Checked,
    /// With the first key that lies in the open, since no vault took it yet.
    InTheOpen,
    /// Not without the vault.
    NotChecked,
}

/// What the verifier found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Entries that were read.
    pub entries: u64,
    /// The end of the log; `None` where nothing was ever written.
    pub head: Option<Head>,
    /// Whether seals were looked at.
    pub seals: Seals,
    /// Intents without an outcome.
    pub unknown: usize,
    /// What is wrong, in order, the first fifty.
    pub faults: Vec<Fault>,
    /// How many more.
    pub more: u64,
}

impl Verdict {
    /// Nothing is wrong as far as was looked.
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, seq: u64, what: impl Into<String>) {
        if self.faults.len() < TOLD {
            self.faults.push(Fault { seq, what: what.into() });
        } else {
            self.more += 1;
        }
    }
}

/// What is known after so many entries.
struct Walk<'a> {
    log_id: [u8; 16],
    /// Key of this epoch and the key of its seals; nothing where seals are not looked at.
    keys: Option<(Key, Key)>,
    pace: Pace,
    /// The epoch that is kept: no honest entry has a later one.
    latest: u32,
    seq: u64,
    hash: [u8; 32],
    open: HashSet<u64>,
    /// Heads seen elsewhere that are still to come, in order.
    seen: &'a [Head],
}

struct Row<'r> {
    seq: u64,
    entry: &'r [u8],
    hash: &'r [u8],
    mac: &'r [u8],
    of: Option<u64>,
}

impl Store {
    /// Checks the whole log: chain, epochs, order, the ends it must have. With the vault also every seal and the head
    /// that the vault saw last. `seen` are heads of this log from elsewhere, such as the host's journal.
    pub fn audit_verify(&self, vault: Option<&Vault>, seen: &[Head]) -> Result<Verdict, VaultError> {
        let mut verdict = Verdict { entries: 0, head: None, seals: Seals::NotChecked, unknown: 0, faults: Vec::new(), more: 0 };
        let Some(state) = State::load(&self.conn)? else {
            let rows: bool = self.read(|conn| conn.query_row("SELECT EXISTS (SELECT 1 FROM audit)", [], |row| row.get(0)))?;
            let kept = vault.map_or(Ok(None), |v| open(v, &self.conn, "first"))?;
            if rows || kept.is_some() || !seen.is_empty() {
                verdict.fault(0, "the row that says how the log goes on is gone");
            }
            return Ok(verdict);
        };
        let mut seen = seen.to_vec();
        let first = self.first_key(vault, &state, &mut verdict, &mut seen)?;
        seen.retain(|head| head.log == state.log_id && head.seq > 0);
        seen.sort_by_key(|head| head.seq);
        let keys = first.map(|key| seal_key(&key, &state.log_id).map(|seal| (key, seal))).transpose()?;
        let mut walk = Walk {
            log_id: state.log_id,
            keys,
            pace: Pace::START,
            latest: state.pace.epoch,
            seq: 0,
            hash: beginning(&state.log_id)?,
            open: HashSet::new(),
            seen: &seen,
        };
        // Others may write meanwhile: until the row of the end is about the last entry that was read.
        let end = loop {
            while self.walk(&mut walk, &mut verdict)? > 0 {}
            let changes = || StoreError::Corrupt { why: "the audit log is taken away while it is read".into() };
            let end = State::load(&self.conn)?.ok_or_else(changes)?;
            walk.latest = end.pace.epoch;
            if end.last <= walk.seq {
                break end;
            }
        };
        walk.finish(&end, &mut verdict)?;
        Ok(verdict)
    }

    /// The key to begin with, and what the vault knows of the log.
    fn first_key(
        &self,
        vault: Option<&Vault>,
        state: &State,
        verdict: &mut Verdict,
        seen: &mut Vec<Head>,
    ) -> Result<Option<Key>, VaultError> {
        if let Some(vault) = vault {
            seen.extend(last_seen(vault, &self.conn)?);
            if let Some(kept) = open(vault, &self.conn, "first")? {
                let (log_id, key) = split::<32>(&kept)?;
                if log_id != state.log_id {
                    verdict.fault(0, "this is another log than the one the vault knows: it was replaced");
                    return Ok(None);
                }
                verdict.seals = Seals::Checked;
                return Ok(Some(Key::from_bytes(key)));
            }
        }
        let open = state.first_key.as_ref().and_then(|key| key.as_slice().try_into().ok()).map(Key::from_bytes);
        match (&open, vault) {
            (Some(_), _) => verdict.seals = Seals::InTheOpen,
            (None, Some(_)) => verdict.fault(0, "its first key is gone: neither the vault nor the log has it"),
            (None, None) => {}
        }
        Ok(open)
    }

    /// Reads one batch; how many rows it had.
    fn walk(&self, walk: &mut Walk<'_>, verdict: &mut Verdict) -> Result<u64, VaultError> {
        let from = if walk.seq == 0 { i64::MIN } else { walk.seq.cast_signed() };
        let mut rows = self.conn.prepare_cached("SELECT seq, entry, hash, mac, of_seq FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let mut rows = rows.query(params![from, BATCH])?;
        let before = verdict.entries;
        while let Some(row) = rows.next()? {
            let blob = |at| row.get_ref(at).map(|v| v.as_blob().unwrap_or_default());
            let row = Row {
                seq: row.get::<_, i64>(0)?.cast_unsigned(),
                entry: blob(1)?,
                hash: blob(2)?,
                mac: blob(3)?,
                of: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
            };
            verdict.entries += 1;
            walk.step(&row, verdict)?;
        }
        Ok(verdict.entries - before)
    }
}

impl Walk<'_> {
    fn step(&mut self, row: &Row<'_>, verdict: &mut Verdict) -> Result<(), VaultError> {
        let seq = row.seq;
        let follows = seq == self.seq + 1;
        if !follows {
            let gone = match seq.checked_sub(self.seq + 2) {
                Some(0) => format!("entry {} is gone", seq - 1),
                Some(_) if seq < u64::MAX / 2 => format!("entries {} to {} are gone", self.seq + 1, seq - 1),
                _ => "it has a number that is never given".to_owned(),
            };
            verdict.fault(seq, gone);
        }
        let link = crypto::link(&self.hash, row.entry)?;
        let fits = link == row.hash;
        if follows && !fits {
            verdict.fault(seq, "it is not what was written: it does not fit into the chain");
        }
        self.seq = seq;
        // The next is held against what is kept here, so that one change is one fault.
        self.hash = row.hash.try_into().unwrap_or(link);
        match Heading::read(row.entry) {
            Err(_) => verdict.fault(seq, "it cannot be read"),
            Ok(heading) if heading.seq != seq => verdict.fault(seq, format!("it was written as entry {}", heading.seq)),
            Ok(heading) => {
                self.seal(row, heading, verdict)?;
                self.phase(row, heading.phase, verdict);
            }
        }
        while let Some((head, rest)) = self.seen.split_first().filter(|(head, _)| head.seq <= seq) {
            if head.seq == seq && head.hash != self.hash {
                verdict.fault(seq, "it is another than the one whose head was seen elsewhere");
            }
            self.seen = rest;
        }
        Ok(())
    }

    /// The epoch must be the one that follows, and the seal made with its key.
    fn seal(&mut self, row: &Row<'_>, heading: Heading, verdict: &mut Verdict) -> Result<(), VaultError> {
        let mut pace = self.pace.with(heading.at.0);
        if pace.epoch != heading.epoch {
            if verdict.is_whole() {
                verdict.fault(row.seq, format!("it is sealed as of epoch {} where {} is due", heading.epoch, pace.epoch));
            }
            // After a gap the count is lost: what is later and possible is taken, to find more than the first fault.
            if heading.epoch > self.latest || heading.epoch < self.pace.epoch {
                return Ok(());
            }
            pace = Pace { epoch: heading.epoch, began_ms: heading.at.0, count: 1 };
        }
        if let Some((key, seal)) = &mut self.keys {
            for _ in self.pace.epoch..pace.epoch {
                *key = next_key(key, &self.log_id)?;
                *seal = seal_key(key, &self.log_id)?;
            }
            if !crypto::equal(&crypto::tag(seal, &self.hash)?, row.mac) {
                verdict.fault(row.seq, "its seal is not the one of its epoch");
            }
        }
        self.pace = pace;
        Ok(())
    }

    fn phase(&mut self, row: &Row<'_>, phase: Phase, verdict: &mut Verdict) {
        let of = match phase {
            Phase::Intent => {
                self.open.insert(row.seq);
                None
            }
            Phase::Outcome { of, .. } => Some(of),
            Phase::Event { .. } => None,
        };
        if of != row.of {
            verdict.fault(row.seq, "it is filed under another intent than it says");
        }
        if let Some(of) = of.filter(|of| !self.open.remove(of))
            && verdict.is_whole()
        {
            verdict.fault(row.seq, format!("it says how {of} ended, which is no open intent"));
        }
    }

    /// The end of the log against everything that knows where it should be.
    fn finish(mut self, end: &State, verdict: &mut Verdict) -> Result<(), VaultError> {
        verdict.unknown = self.open.len();
        verdict.head = (self.seq > 0).then_some(Head { log: self.log_id, seq: self.seq, hash: self.hash });
        if end.log_id != self.log_id {
            verdict.fault(0, "it was replaced while it was read");
        } else if end.seq > self.seq {
            verdict.fault(end.seq, format!("entries {} to {} are gone from the end", self.seq + 1, end.seq));
        } else if end.seq < self.seq || end.hash != self.hash {
            verdict.fault(self.seq, "its end is not where the log says it is");
        } else if verdict.is_whole() && end.pace != self.pace.kept() {
            verdict.fault(self.seq, "it ends in another epoch than its key: it was cut or added to");
        }
        if verdict.is_whole()
            && let Some((key, _)) = &mut self.keys
        {
            for _ in self.pace.epoch..end.pace.epoch {
                *key = next_key(key, &self.log_id)?;
            }
            if !crypto::equal(key.bytes(), end.key.bytes()) {
                verdict.fault(self.seq, "the key it goes on with is not the one that is due");
            }
        }
        if let Some(head) = self.seen.last().filter(|head| head.seq > end.seq) {
            verdict.fault(head.seq, format!("entries up to {} were seen elsewhere and are gone from the end", head.seq));
        }
        Ok(())
    }
}
