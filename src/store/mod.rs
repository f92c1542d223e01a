//! What Proximity remembers: one SQLite file, and inside it the vault that seals the secrets.
//!
//! ```text
//! DIR/proximity.db   0600   everything below; rollback journal, never WAL
//! DIR/host.key       0400   the half of the vault that is not in the database (vault/host_key.rs)
//! DIR/host-slot.key  0400   only where the host itself may open the vault
//! DIR/snapshots/     0700   copies of the database
//! DIR/anchor         0600   how far the vault had come, so that an older database is told (vault/anchor.rs)
//!
//! mod.rs      open, create, the one way to write          place.rs   is this directory safe?
//! migrate.rs  layouts, oldest to newest                   error.rs   what can go wrong
//! watch.rs    tells when any process wrote                snapshot.rs  copies that were proven to open
//! memory.rs   keeps keys out of core dumps and swap       audit/       the chain of what was done
//! operators   who there is; login: the way in             throttle     how often one may guess
//! totp        codes by the clock
//! vault/      slots (ways in) and sealed records          crypto.rs  the only file that names the cipher library
//! settings.rs rows of settings and their history      pins.rs    static addresses, how full the range was
//! ports.rs    pairs of ports and who had them
//! cost, passphrase, words: the small parts of the vault
//! ```
//!
//! Nothing here is asynchronous, prints, or reads the wall clock. One file per further table family.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub mod audit;
mod cost;
mod crypto;
mod error;
mod jobs;
mod last_well;
mod login;
mod memory;
mod migrate;
mod operators;
mod passphrase;
mod pins;
mod place;
mod ports;
mod settings;
mod snapshot;
mod throttle;
mod totp;
mod vault;
mod watch;
mod words;

pub use crate::domain::secret::Secret;
pub use cost::{Cost, calibrate};
pub use error::StoreError;
pub use login::{Login, Passed, PasswordOk, Unlocked};
pub use memory::guard_memory;
pub use operators::Account;
pub use passphrase::check as check_passphrase;
pub use place::new_file;
pub use ports::{PortError, Wished};
pub use settings::{SaveError, checksum};
pub use snapshot::{Snapshot, Why, copy_at, drop_old_keys, put_back, snapshots, take_snapshot, take_snapshot_if_due};
pub use throttle::Guess;
pub use vault::{
    Contents, NewOperator, Operator, OperatorChange, RecordName, SecondFactor, Vault, VaultError, Verified, Way, host_key_path,
    host_slot_path, set_role,
};
pub use watch::watch;
pub use words::RecoveryWords;

/// Random bytes of the operating system. Fails with `Refused` where it gives none.
pub fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    Ok(crypto::random()?)
}

/// The file name of the store inside its directory.
pub const FILE_NAME: &str = "proximity.db";

/// `application_id` in the header of our files, the letters PROX.
const APPLICATION_ID: i64 = 0x5052_4F58;

/// How long a writer waits for another process before it is told `Busy`.
const BUSY: Duration = Duration::from_secs(5);

/// Whether the store takes writes now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreMode {
    /// Reads and writes.
    ReadWrite,
    /// Reads only, with the reason in words: a full disk, a read-only filesystem, or missing rights. Open again to try again.
    ReadOnly(String),
}

/// The open store: one connection, to be used by one thread at a time.
pub struct Store {
    conn: Connection,
    mode: StoreMode,
    path: Option<PathBuf>,
}

impl Store {
    /// Opens the store in `dir`, bringing an older layout up to date after keeping a copy of it.
    ///
    /// Where the disk is full or cannot be written, the store opens for reading and [`Store::mode`] says why.
    /// Fails with `Missing`, `UnsafePlace`, `Unreadable`, `Foreign`, `Newer`, `Older`, `Corrupt`, `Busy` or `Disk`.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        place::check_dir(dir)?;
        let path = dir.join(FILE_NAME);
        let length = place::check_file(&path)?.len();
        if length == 0 {
            // A store is renamed into place when it is complete, so it never was empty.
            return Err(StoreError::Corrupt { why: "the file is empty".to_owned() });
        }
        File::open(&path).map_err(|e| place::unreadable(&path, &e))?;
        let journal = place::beside(&path, "-journal");
        if fs::symlink_metadata(&journal).is_ok() {
            place::check_file(&journal)?;
        }
        match open_to_write(dir, &path) {
            Ok(conn) => {
                place::sweep(dir);
                place::sweep(&snapshot::folder(dir));
                Ok(Self { conn, mode: StoreMode::ReadWrite, path: Some(path) })
            }
            Err(error @ (StoreError::Full | StoreError::ReadOnly | StoreError::Disk { .. })) => {
                let conn = open_to_read(&path)?;
                Ok(Self { conn, mode: StoreMode::ReadOnly(error.to_string()), path: Some(path) })
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a new store in `dir` (which is made too, mode 0700, if only its last part is missing) and opens it.
    ///
    /// A crash at any point leaves either no store or a whole one. Fails with `Exists` where one is already there.
    pub fn create(dir: &Path) -> Result<Self, StoreError> {
        place::make_dir(dir)?;
        let path = dir.join(FILE_NAME);
        {
            let _only_creator = place::lock_dir(dir)?;
            if fs::symlink_metadata(&path).is_ok() {
                return Err(StoreError::Exists { path });
            }
            let temp = place::beside(&path, ".new");
            place::remove_if_there(&temp)?;
            place::remove_if_there(&place::beside(&temp, "-journal"))?;
            place::new_file(&temp).map_err(|e| place::disk(&e))?;
            let conn = connect(&temp, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            migrate::run(&conn, &migrate::steps())?;
            conn.close().map_err(|(_, e)| e)?;
            // In TRUNCATE mode an empty journal stays; under the new name it would never be removed.
            place::remove_if_there(&place::beside(&temp, "-journal"))?;
            File::open(&temp).and_then(|f| f.sync_all()).map_err(|e| place::disk(&e))?;
            fs::rename(&temp, &path).map_err(|e| place::disk(&e))?;
            place::sync_parent(&path)?;
        }
        Self::open(dir)
    }

    /// Makes a store with the same tables that lives in memory only, for the demo. Nothing reaches the disk.
    pub fn in_memory() -> Result<Self, StoreError> {
        let conn = Connection::open_in_memory()?;
        prepare(&conn, "memory")?;
        migrate::run(&conn, &migrate::steps())?;
        Ok(Self { conn, mode: StoreMode::ReadWrite, path: None })
    }

    /// Says whether writes are possible, and if not, why.
    #[must_use]
    pub fn mode(&self) -> &StoreMode {
        &self.mode
    }

    /// The database file, or nothing for a store in memory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Lends the connection for reading. Two statements in one `read` may see two states; use a `write_txn` where they must agree.
    pub fn read<T>(&self, f: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        Ok(f(&self.conn)?)
    }

    /// Runs `f` in one transaction that holds the write lock from its start, and commits it if `f` succeeds.
    ///
    /// When this returns `Ok` the change is on disk. When it returns an error nothing was changed; only after `Disk` the
    /// change may be there, whole, since the disk may fail when all is written. Other processes wait up to five seconds,
    /// then get `Busy`. It cannot be nested.
    pub fn write_txn<T>(&self, f: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.write_txn_as(f)
    }

    /// The same with an error of the caller's own.
    pub fn write_txn_as<T, E: From<StoreError>>(&self, f: impl FnOnce(&Transaction<'_>) -> Result<T, E>) -> Result<T, E> {
        if self.mode != StoreMode::ReadWrite {
            return Err(StoreError::ReadOnly.into());
        }
        immediate(&self.conn, f)
    }

    /// Asks SQLite to look through the whole file (`PRAGMA quick_check`), for the doctor. Damage is `Corrupt`.
    ///
    /// It finds broken structure, not changed values: nine of ten flipped bits pass it. The vault's own tags find those.
    pub fn check(&self) -> Result<(), StoreError> {
        let mut query = self.conn.prepare("PRAGMA quick_check(3)")?;
        let lines: Vec<String> = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        if lines == ["ok"] {
            return Ok(());
        }
        Err(StoreError::Corrupt { why: lines.join("; ") })
    }
}

/// The one place where a transaction begins. DEFERRED, SQLite's default, fails with "database is locked" as soon as two
/// processes read and then write, in spite of the busy timeout.
fn immediate<T, E: From<StoreError>>(conn: &Connection, f: impl FnOnce(&Transaction<'_>) -> Result<T, E>) -> Result<T, E> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate).map_err(StoreError::from)?;
    let value = f(&tx)?;
    tx.commit().map_err(StoreError::from)?;
    Ok(value)
}

fn open_to_write(dir: &Path, path: &Path) -> Result<Connection, StoreError> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let steps = migrate::steps();
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    let found = identify(&conn, path, known)?;
    if found < known {
        upgrade(&conn, dir, path, &steps).map_err(|error| match error {
            StoreError::Busy | StoreError::Newer { .. } | StoreError::Corrupt { .. } => error,
            other => StoreError::Older { found, known, why: other.to_string() },
        })?;
    }
    probe(&conn)?;
    Ok(conn)
}

fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let known = u32::try_from(migrate::steps().len()).unwrap_or(u32::MAX);
    let opened = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(|conn| identify(&conn, path, known).map(|found| (conn, found)));
    let (conn, found) = opened.map_err(|error| match error {
        // A write was cut off and its undo needs a writable disk. `immutable=1` would skip the undo and show half a write.
        StoreError::Disk { .. } | StoreError::ReadOnly if interrupted(path) => StoreError::Unreadable {
            path: path.to_owned(),
            why: "an interrupted write must be undone first, which needs a writable disk".to_owned(),
        },
        other => other,
    })?;
    if found < known {
        let why = "the disk cannot be written".to_owned();
        return Err(StoreError::Older { found, known, why });
    }
    Ok(conn)
}

/// Whether a journal tells of a write that was not finished.
fn interrupted(path: &Path) -> bool {
    fs::metadata(place::beside(path, "-journal")).is_ok_and(|journal| journal.len() > 0)
}

fn upgrade(conn: &Connection, dir: &Path, path: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let _only_writer = place::lock_dir(dir)?;
    let found = migrate::layout(conn)?;
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    if found < known {
        migrate::keep_copy(conn, path, found + 1)?;
    }
    migrate::run(conn, steps)
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let conn = Connection::open_with_flags(real_path(path)?, flags)?;
    prepare(&conn, "truncate")?;
    Ok(conn)
}

/// NOFOLLOW refuses a symlink anywhere in the path; those above our directory are the system's business, so they are
/// resolved first and only the file itself is held to it.
fn real_path(path: &Path) -> Result<PathBuf, StoreError> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(StoreError::Missing { path: path.to_owned() });
    };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let dir = fs::canonicalize(dir).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => StoreError::Missing { path: dir.to_owned() },
        _ => place::unreadable(dir, &e),
    })?;
    Ok(dir.join(name))
}

fn prepare(conn: &Connection, journal_mode: &str) -> Result<(), StoreError> {
    conn.busy_timeout(BUSY)?;
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, 16 << 20),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 64 << 10),
        (Limit::SQLITE_LIMIT_COLUMN, 64),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 50),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 10),
        (Limit::SQLITE_LIMIT_VDBE_OP, 100_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 16),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1 << 10),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 100),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 4),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        conn.set_limit(limit, value)?;
    }
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    // WAL cannot even be read on a full disk or a read-only filesystem; TRUNCATE with FULL lost nothing in 15,975
    // simulated power losses, where DELETE with FULL and WAL with NORMAL lost acknowledged commits.
    conn.execute_batch(
        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;
         PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;",
    )?;
    let took: String = conn.query_row("PRAGMA journal_mode = TRUNCATE", [], |row| row.get(0))?;
    if took != journal_mode {
        return Err(StoreError::Disk { why: format!("journal mode stays {took}") });
    }
    Ok(())
}

/// Tells whose file this is and in which layout, and that none of its pages is cut off.
fn identify(conn: &Connection, path: &Path, known: u32) -> Result<u32, StoreError> {
    let application: i64 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    let found = migrate::layout(conn)?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    if found == 0 {
        return Err(StoreError::Corrupt { why: "layout 0 was never written".to_owned() });
    }
    check_length(conn, path)?;
    Ok(found)
}

/// SQLite reads a last page that is cut short as if it ended in zeros.
fn check_length(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let size: u32 = conn.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    // An open cursor keeps the read lock, so no other process changes the length between the two looks.
    let mut lock = conn.prepare("SELECT 1 FROM sqlite_schema")?;
    let mut held = lock.query([])?;
    held.next()?;
    let pages: u32 = conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let length = fs::metadata(path).map_err(|e| place::unreadable(path, &e))?.len();
    let expected = u64::from(pages) * u64::from(size);
    if length != expected {
        return Err(StoreError::Corrupt { why: format!("the file has {length} bytes instead of {expected}") });
    }
    Ok(())
}

/// Finds out whether a write would work, by starting one that is never finished.
fn probe(conn: &Connection) -> Result<(), StoreError> {
    let layout = migrate::layout(conn)?;
    // Somebody who is writing right now proves that it can be written; do not wait for him.
    conn.busy_timeout(Duration::ZERO)?;
    let tried = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)
        .and_then(|tx| {
            // Setting even the same number copies the first page into the journal.
            tx.pragma_update(None, "user_version", layout)?;
            tx.rollback()
        })
        .map_err(StoreError::from);
    conn.busy_timeout(BUSY)?;
    match tried {
        Err(StoreError::Busy) => Ok(()),
        other => other,
    }
}
