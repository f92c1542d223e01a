//! Reading the log: pages of records newest first, and the raw rows in order.

use rusqlite::{Connection, OptionalExtension, params};

use super::{State, damaged};
use crate::domain::audit::{Entry, Head, Page, Phase, Record, Wanted};
use crate::store::{Store, StoreError};

/// Entries that one question looks at, at most: some milliseconds.
const LOOK: u64 = 20_000;

/// Rows read at once; the store can be written between two batches.
pub(super) const BATCH: u32 = 4096;

/// One row as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its number in the table.
    pub seq: u64,
    /// The entry, where it can be read.
    pub entry: Option<Entry>,
    /// Its frozen form.
    pub bytes: Vec<u8>,
    /// Its link of the chain.
    pub hash: Vec<u8>,
    /// Its seal.
    pub mac: Vec<u8>,
}

/// The link of an entry, as it is kept.
pub(super) fn hash_of(conn: &Connection, seq: u64) -> Result<Option<[u8; 32]>, StoreError> {
    let sql = "SELECT hash FROM audit WHERE seq = ?1 AND length(hash) = 32";
    Ok(conn.prepare_cached(sql)?.query_row([seq.cast_signed()], |row| row.get(0)).optional()?)
}

fn entry(seq: i64, bytes: &[u8]) -> Option<Entry> {
    Entry::read(bytes).ok().filter(|e| e.seq == seq.cast_unsigned())
}

/// The outcome that names this intent. A row that says otherwise than its column is none.
fn outcome(conn: &Connection, of: u64) -> rusqlite::Result<Option<Entry>> {
    let mut found = conn.prepare_cached("SELECT seq, entry FROM audit WHERE of_seq = ?1 ORDER BY seq LIMIT 1")?;
    let row: Option<(i64, Vec<u8>)> = found.query_row([of.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let said = row.and_then(|(seq, bytes)| entry(seq, &bytes));
    Ok(said.filter(|e| matches!(e.phase, Phase::Outcome { of: said, .. } if said == of)))
}

impl Store {
    /// Records that are wanted, newest first: at most `most`, from entries before number `below` (`None`: from the
    /// end). Looks at 20,000 entries at most; [`Page::next`] says where to go on.
    pub fn audit_page(&self, wanted: &Wanted, below: Option<u64>, most: usize) -> Result<Page, StoreError> {
        let below = below.map_or(i64::MAX, u64::cast_signed);
        let mut page = Page::default();
        self.read(|conn| {
            page.total = conn.query_row("SELECT coalesce(max(seq), 0) FROM audit", [], |row| row.get(0)).map(i64::cast_unsigned)?;
            let mut rows = conn.prepare_cached("SELECT seq, entry FROM audit WHERE seq < ?1 ORDER BY seq DESC")?;
            let mut rows = rows.query([below])?;
            let mut looked = 0;
            while let Some(row) = rows.next()? {
                let seq: i64 = row.get(0)?;
                if page.records.len() >= most || looked >= LOOK {
                    page.next = Some(seq.cast_unsigned() + 1);
                    break;
                }
                looked += 1;
                let Some(entry) = entry(seq, row.get_ref(1)?.as_blob().unwrap_or_default()) else {
                    page.unread.push(seq.cast_unsigned());
                    continue;
                };
                if wanted.since.is_some_and(|since| entry.at < since) {
                    // The wall clock may have been set back, so older entries are looked at all the same.
                    continue;
                }
                let outcome = match entry.phase {
                    Phase::Outcome { .. } => continue,
                    Phase::Intent => outcome(conn, entry.seq)?,
                    Phase::Event { .. } => None,
                };
                let record = Record { entry, outcome };
                if wanted.fits(&record) {
                    page.records.push(record);
                }
            }
            Ok(())
        })?;
        Ok(page)
    }

    /// All rows in order, as they are kept.
    pub fn audit_rows<E: From<StoreError>>(&self, mut each: impl FnMut(Kept) -> Result<(), E>) -> Result<(), E> {
        let mut last = i64::MIN;
        loop {
            let batch: Vec<Kept> = self
                .read(|conn| {
                    let mut rows = conn.prepare_cached("SELECT seq, entry, hash, mac FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
                    rows.query_map(params![last, BATCH], |row| {
                        let (seq, bytes): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
                        Ok(Kept { seq: seq.cast_unsigned(), entry: entry(seq, &bytes), bytes, hash: row.get(2)?, mac: row.get(3)? })
                    })?
                    .collect()
                })
                .map_err(E::from)?;
            let Some(end) = batch.last() else { return Ok(()) };
            last = end.seq.cast_signed();
            batch.into_iter().try_for_each(&mut each)?;
        }
    }

    /// The head and the last entry, where there is one.
    pub fn audit_end(&self) -> Result<Option<(Head, Entry)>, StoreError> {
        let Some(head) = State::load(&self.conn)?.map(|s| s.head()) else { return Ok(None) };
        Ok(self.audit_record(head.seq)?.map(|record| (head, record.entry)))
    }

    /// One entry by its number; `NotSet` is `None`, one that cannot be read is `Corrupt`.
    pub fn audit_record(&self, seq: u64) -> Result<Option<Record>, StoreError> {
        let found: Option<Vec<u8>> =
            self.read(|conn| conn.query_row("SELECT entry FROM audit WHERE seq = ?1", [seq.cast_signed()], |row| row.get(0)).optional())?;
        let Some(bytes) = found else { return Ok(None) };
        let entry = entry(seq.cast_signed(), &bytes).ok_or_else(|| damaged(&format!("entry {seq} cannot be read")))?;
        let outcome = if entry.phase == Phase::Intent { self.read(|conn| outcome(conn, seq))? } else { None };
        Ok(Some(Record { entry, outcome }))
    }
}
