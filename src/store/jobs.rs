//! The job rows. A row is written before anything starts, and its number names the unit and the log.
//!
//! Only the worker of a job and the reconciler write to its row, and the reconciler only when the worker is gone.
//!
//! A worker has no vault key, so a row carries a sum instead of a tag: no command is carried out that rotted in the file.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Store, StoreError, audit, crypto};
use crate::domain::audit::{Entry, Phase};
use crate::domain::job::{Job, JobId, Life, State};
use crate::domain::plan::Approved;
use crate::domain::stamp::Stamp;

/// A row that cannot be read, with its number where that can.
pub type BadRow = (JobId, String);

impl Store {
    /// Writes a new job down as queued, with the audit's intent, and gives its number. When this returns, a crash
    /// cannot lose it.
    pub fn add_job(&self, order: &Approved, now: Stamp, mut intent: Entry) -> Result<JobId, StoreError> {
        let plan = json(order)?;
        let life = json(&Life::default())?;
        self.write_txn(|tx| {
            tx.execute("INSERT INTO job (state, created_ms, plan, life) VALUES ('queued', ?1, ?2, ?3)", params![now.0, plan, life])?;
            let id = tx.last_insert_rowid();
            intent.deed.job = Some(id);
            intent.deed.undo = Some(format!("job {id}"));
            let head = audit::append(tx, [intent])?;
            tx.execute("UPDATE job SET intent = ?2 WHERE id = ?1", params![id, head.seq.cast_signed()])?;
            sum_up(tx, id)?;
            Ok(id)
        })
    }

    /// Takes a queued job over. False where it is not queued any more: somebody else has it, so nobody starts it twice.
    pub fn claim_job(&self, id: JobId, life: &Life) -> Result<bool, StoreError> {
        self.move_job(id, State::Queued, State::Running, life)
    }

    /// Writes state and life of a job that is in state `from`; false where it is not.
    pub fn move_job(&self, id: JobId, from: State, to: State, life: &Life) -> Result<bool, StoreError> {
        let life = json(life)?;
        let sql = "UPDATE job SET state = ?2, life = ?3 WHERE id = ?1 AND state = ?4";
        self.write_txn(|tx| {
            check_sum(tx, id)?;
            let moved = tx.execute(sql, params![id, to.word(), life, from.word()])? == 1;
            if moved {
                sum_up(tx, id)?;
            }
            Ok(moved)
        })
    }

    /// Looks at all jobs that have not ended, oldest first, and writes state and life of those that `f` names and that are still
    /// queued, all in one transaction.
    pub fn arrange<T>(&self, f: impl FnOnce(&[Job]) -> (Vec<(JobId, State, Life)>, T)) -> Result<T, StoreError> {
        self.write_txn(|tx| {
            let rows: Vec<Raw> = tx.prepare_cached(UNFINISHED)?.query_map([MOST], raw)?.collect::<Result<_, _>>()?;
            let open: Vec<Job> = rows.into_iter().filter_map(|row| parse(row).ok()).collect();
            let (changes, out) = f(&open);
            for (id, state, life) in changes {
                check_sum(tx, id)?;
                let sql = "UPDATE job SET state = ?2, life = ?3 WHERE id = ?1 AND state = 'queued'";
                if tx.execute(sql, params![id, state.word(), json(&life)?])? == 1 {
                    sum_up(tx, id)?;
                }
            }
            Ok(out)
        })
    }

    /// The same for a state in which it has ended, with the audit's outcome; its phase gets the number of the intent.
    pub fn end_job(&self, id: JobId, from: State, to: State, life: &Life, mut outcome: Entry) -> Result<bool, StoreError> {
        let life = json(life)?;
        let sql = "UPDATE job SET state = ?2, life = ?3 WHERE id = ?1 AND state = ?4";
        self.write_txn(|tx| {
            check_sum(tx, id)?;
            if tx.execute(sql, params![id, to.word(), life, from.word()])? != 1 {
                return Ok(false);
            }
            sum_up(tx, id)?;
            let intent: Option<i64> = tx.query_row("SELECT intent FROM job WHERE id = ?1", [id], |row| row.get(0))?;
            outcome.deed.job = Some(id);
            // A job that an older Proximity wrote down has no intent.
            if let (Some(seq), Phase::Event { ending }) = (intent, outcome.phase) {
                outcome.phase = Phase::Outcome { of: seq.cast_unsigned(), ending, exit: None };
            }
            audit::append(tx, [outcome])?;
            Ok(true)
        })
    }

    /// A job by its number.
    pub fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        let row = self.read(|conn| conn.query_row(ROW, [id], raw).optional())?;
        row.map(|row| parse(row).map_err(|(id, why)| StoreError::Corrupt { why: format!("job {id}: {why}") })).transpose()
    }

    /// The newest jobs, newest first, at most so many; all that have not ended; the newest restores, as many, for these tell what
    /// came back; four times as many that verified, for these tell whether an archive is what it was; and the rows
    /// that cannot be read.
    pub fn jobs(&self, most: u32) -> Result<(Vec<Job>, Vec<BadRow>), StoreError> {
        let sql = "SELECT id, state, created_ms, plan, life, sum FROM job WHERE id IN (SELECT id FROM job ORDER BY id DESC LIMIT ?1) \
                   OR id IN (SELECT id FROM job WHERE instr(plan, '\"purpose\":\"restore-beside\"') > 0 \
                   OR instr(plan, '\"purpose\":\"restore-in-place\"') > 0 OR instr(plan, '\"purpose\":\"drill\"') > 0 ORDER BY id DESC LIMIT ?1) \
                   OR id IN (SELECT id FROM job WHERE instr(plan, '\"purpose\":\"verify\"') > 0 ORDER BY id DESC LIMIT 4 * ?1) \
                   OR state IN ('queued', 'running', 'unreachable') ORDER BY id DESC";
        self.rows(sql, most)
    }

    /// All jobs that have not ended, oldest first, and the rows that cannot be read.
    pub fn unfinished_jobs(&self) -> Result<(Vec<Job>, Vec<BadRow>), StoreError> {
        self.rows(UNFINISHED, MOST)
    }

    fn rows(&self, sql: &str, most: u32) -> Result<(Vec<Job>, Vec<BadRow>), StoreError> {
        // Jobs are never deleted: the newest has the last number that was given out, or it is missing.
        let last = "SELECT seq FROM sqlite_sequence WHERE name = 'job' AND seq > (SELECT ifnull(max(id), 0) FROM job)";
        let lost: Option<JobId> = self.read(|conn| conn.prepare_cached(last)?.query_row([], |row| row.get(0)).optional())?;
        let rows: Vec<Raw> = self.read(|conn| conn.prepare_cached(sql)?.query_map([most], raw)?.collect())?;
        let mut jobs = Vec::new();
        let mut bad: Vec<BadRow> = lost.map(|id| (id, "it is missing".to_owned())).into_iter().collect();
        for row in rows {
            match parse(row) {
                Ok(job) => jobs.push(job),
                Err(row) => bad.push(row),
            }
        }
        Ok((jobs, bad))
    }

    /// Two numbers of which one changes whenever another connection or this one changed the store; asking costs microseconds.
    pub fn version(&self) -> Result<(i64, u64), StoreError> {
        self.read(|conn| Ok((conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?, conn.total_changes())))
    }
}

const UNFINISHED: &str =
    "SELECT id, state, created_ms, plan, life, sum FROM job WHERE state IN ('queued', 'running', 'unreachable') ORDER BY id LIMIT ?1";

/// So many unfinished jobs are looked at.
const MOST: u32 = 10_000;

const ROW: &str = "SELECT id, state, created_ms, plan, life, sum FROM job WHERE id = ?1";

/// Number, state, when it was made, plan, life, sum.
type Raw = (JobId, String, i64, String, String, Option<Vec<u8>>);

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
}

fn sum_of((id, state, created, plan, life, _): &Raw) -> Result<[u8; 32], StoreError> {
    let parts = [&id.to_be_bytes()[..], state.as_bytes(), &created.to_be_bytes(), plan.as_bytes(), life.as_bytes()];
    crypto::sum(&parts).map_err(|_| StoreError::Corrupt { why: format!("job {id} has no sum") })
}

/// Writes the sum of a row that was just written.
fn sum_up(tx: &Transaction<'_>, id: JobId) -> Result<(), StoreError> {
    let row = tx.query_row(ROW, [id], raw)?;
    tx.execute("UPDATE job SET sum = ?2 WHERE id = ?1", params![id, sum_of(&row)?])?;
    Ok(())
}

/// Before a row gets another sum, the one it has must be right.
fn check_sum(tx: &Transaction<'_>, id: JobId) -> Result<(), StoreError> {
    match tx.query_row(ROW, [id], raw).optional()? {
        Some(row) => undamaged(&row).map_err(|why| StoreError::Corrupt { why: format!("job {id}: {why}") }),
        None => Ok(()),
    }
}

/// Rows of layouts before the sixth have no sum.
fn undamaged(row: &Raw) -> Result<(), String> {
    let Some(sum) = &row.5 else { return Ok(()) };
    let expected = sum_of(row).map_err(|e| e.to_string())?;
    if !crypto::equal(sum, &expected) {
        return Err("its row is not as it was written".to_owned());
    }
    Ok(())
}

fn parse(row: Raw) -> Result<Job, BadRow> {
    undamaged(&row).map_err(|why| (row.0, why))?;
    let (id, state, created, plan, life, _) = row;
    let state = State::from_word(&state).ok_or_else(|| (id, format!("state '{}' is not known", crate::domain::clean::clean(&state))))?;
    let order = serde_json::from_str(&plan).map_err(|e| (id, format!("its plan cannot be read: {e}")))?;
    let life = serde_json::from_str(&life).map_err(|e| (id, format!("its life cannot be read: {e}")))?;
    Ok(Job { id, state, created: Stamp(created), order, life })
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Corrupt { why: format!("a job cannot be written down: {e}") })
}
