//! The logs of jobs: one file a job, one line an event, each with its time in UTC. Cleaned when written.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::clean::clean_bytes;
use crate::domain::job::JobId;
use crate::domain::stamp::Stamp;

type Shelf = Arc<Mutex<HashMap<JobId, Vec<u8>>>>;

/// Where logs are kept.
#[derive(Clone)]
pub struct Logs(Kept);

#[derive(Clone)]
enum Kept {
    Files(PathBuf),
    Memory(Shelf),
}

impl Logs {
    /// Logs as `DIR/jobs/17.log`.
    pub fn in_dir(dir: &Path) -> Self {
        Logs(Kept::Files(dir.join("jobs")))
    }

    /// Logs that end with the program.
    pub fn in_memory() -> Self {
        Logs(Kept::Memory(Shelf::default()))
    }

    /// The file of a job's log, where there is one.
    pub fn path(&self, id: JobId) -> Option<PathBuf> {
        match &self.0 {
            Kept::Files(dir) => Some(dir.join(format!("{id}.log"))),
            Kept::Memory(_) => None,
        }
    }

    /// Opens a job's log for writing.
    pub fn writer(&self, id: JobId) -> io::Result<Writer> {
        match &self.0 {
            Kept::Files(dir) => {
                match DirBuilder::new().mode(0o700).create(dir) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                    _ => {}
                }
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(dir.join(format!("{id}.log")))?;
                Ok(Writer(To::File(file)))
            }
            Kept::Memory(shelf) => Ok(Writer(To::Memory(Arc::clone(shelf), id))),
        }
    }

    /// At most `most` bytes of a job's log from `offset` on. A log that is not there yet is empty.
    pub fn read(&self, id: JobId, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        match &self.0 {
            Kept::Files(dir) => {
                let mut file = match File::open(dir.join(format!("{id}.log"))) {
                    Ok(file) => file,
                    Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                    Err(e) => return Err(e),
                };
                file.seek(SeekFrom::Start(offset))?;
                let mut bytes = Vec::new();
                file.take(most as u64).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            Kept::Memory(shelf) => {
                let shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
                let all = shelf.get(&id).map_or(&[][..], Vec::as_slice);
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(all.len());
                Ok(all[from..all.len().min(from.saturating_add(most))].to_vec())
            }
        }
    }
}

/// Writes one job's log.
pub struct Writer(To);

enum To {
    File(File),
    Memory(Shelf, JobId),
}

impl Writer {
    /// Adds a line. A full disk must not stop a job that is running, so a failure is only traced.
    pub fn line(&mut self, at: Stamp, text: &[u8]) {
        let line = format!("{} {}\n", at.rfc3339(), clean_bytes(text));
        match &mut self.0 {
            To::File(file) => {
                if let Err(e) = file.write_all(line.as_bytes()) {
                    tracing::warn!(%e, "the job's log cannot be written");
                }
            }
            To::Memory(shelf, id) => shelf.lock().unwrap_or_else(PoisonError::into_inner).entry(*id).or_default().extend(line.bytes()),
        }
    }
}
