//! What can go wrong with the store, told apart by what the operator can do about it.
//!
//! Rules: SQLite's own errors are sorted here and nowhere else. A busy or a full disk is never reported as damage,
//! and damage never as "not found". Retrying makes sense for `Busy` only.

use std::path::PathBuf;

use rusqlite::ErrorCode;

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no store at this place yet.
    #[error("there is no store at {path}")]
    Missing {
        /// The file or directory that was looked for.
        path: PathBuf,
    },
    /// A store is already there; creating never replaces one.
    #[error("there is already a store at {path}")]
    Exists {
        /// The file that is in the way.
        path: PathBuf,
    },
    /// The file or directory is there but the system does not let us read it.
    #[error("{path} cannot be read: {why}")]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        why: String,
    },
    /// Somebody else could change what is stored there, so nothing in it can be trusted.
    #[error("{path} is not a safe place: {why}")]
    UnsafePlace {
        /// The file or directory that is too open.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The store was written by a newer Proximity; nothing was changed.
    #[error("the store has layout {found}, this program knows layouts up to {known}")]
    Newer {
        /// The layout of the file.
        found: u32,
        /// The newest layout this program knows.
        known: u32,
    },
    /// The store is older and could not be brought up to date; it is as it was.
    #[error("the store has layout {found} and could not be brought to layout {known}: {why}")]
    Older {
        /// The layout of the file.
        found: u32,
        /// The layout this program needs.
        known: u32,
        /// What stopped the change, for instance a full disk.
        why: String,
    },
    /// An SQLite file, but not one of ours.
    #[error("{path} belongs to another program")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged: not a database, cut short, or it failed a check.
    #[error("the store is damaged: {why}")]
    Corrupt {
        /// What was found.
        why: String,
    },
    /// Another Proximity held the store for longer than five seconds. Trying again is safe.
    #[error("the store is in use by another process")]
    Busy,
    /// The disk is full; nothing was written.
    #[error("the disk is full")]
    Full,
    /// The store is open for reading only; see [`Store::mode`](super::Store::mode) for the reason.
    #[error("the store can only be read")]
    ReadOnly,
    /// The disk answered with an input/output error; what was acknowledged before still holds.
    #[error("the disk does not answer properly: {why}")]
    Disk {
        /// SQLite's words for the failing call.
        why: String,
    },
    /// Any other error of SQLite, usually a mistake in a statement or a broken constraint.
    #[error("the database refused: {0}")]
    Sql(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        let code = match &error {
            E::SqliteFailure(inner, _) => inner.code,
            E::SqlInputError { error: inner, .. } => inner.code,
            // Our tables are STRICT, so a wrong type or text that is not UTF-8 was not written by us.
            E::FromSqlConversionFailure(..) | E::IntegralValueOutOfRange(..) | E::InvalidColumnType(..) | E::Utf8Error(..) => {
                return Self::Corrupt { why: "a column holds a value of the wrong kind".to_owned() };
            }
            _ => return Self::Sql(error),
        };
        match code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
            ErrorCode::DiskFull => Self::Full,
            ErrorCode::ReadOnly => Self::ReadOnly,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt { why: error.to_string() },
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => Self::Disk { why: error.to_string() },
            _ => Self::Sql(error),
        }
    }
}
