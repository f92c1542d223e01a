//! From any earlier layout to today's. Steps are the files of `migrations/`, in order of their number; each one and
//! its number are committed together, so a crash leaves the old layout or the new one.

use std::fs;
use std::path::Path;

use include_dir::{Dir, include_dir};
use rusqlite::Connection;

use super::{StoreError, immediate, place, snapshot};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/migrations");

/// The steps this program knows, oldest first; the first one leads to layout 1.
pub(super) fn steps() -> Vec<&'static str> {
    let mut files: Vec<_> = FILES.files().filter(|file| file.path().extension().is_some_and(|end| end == "sql")).collect();
    files.sort_by_key(|file| file.path());
    files.iter().filter_map(|file| file.contents_utf8()).collect()
}

/// The layout of an open database, `user_version`. 0 is a database nobody has written to.
pub(super) fn layout(conn: &Connection) -> Result<u32, StoreError> {
    let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    u32::try_from(found).map_err(|_| StoreError::Corrupt { why: format!("layout {found} does not exist") })
}

/// Runs the steps that are missing. A database newer than the last step is refused untouched.
pub(super) fn run(conn: &Connection, steps: &[&str]) -> Result<(), StoreError> {
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    loop {
        let again = immediate(conn, |tx| {
            // Read again inside: another process may have gone first.
            let found = layout(tx)?;
            if found > known {
                return Err(StoreError::Newer { found, known });
            }
            let Some(step) = usize::try_from(found).ok().and_then(|n| steps.get(n)) else {
                return Ok(false);
            };
            tx.execute_batch(step)?;
            tx.pragma_update(None, "user_version", found + 1)?;
            Ok::<bool, StoreError>(true)
        })?;
        if !again {
            return Ok(());
        }
    }
}

/// Keeps the database as it is now in `proximity.db.before-vN`, N being the layout it is about to get.
///
/// The copy is complete and on disk before this returns, or it is not there at all.
pub(super) fn keep_copy(conn: &Connection, db: &Path, next: u32) -> Result<(), StoreError> {
    let kept = place::beside(db, &format!(".before-v{next}"));
    let temp = place::beside(&kept, ".new");
    snapshot::copy_into(conn, &temp)?;
    fs::rename(&temp, &kept).map_err(|e| place::disk(&e))?;
    place::sync_parent(&kept)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn step_files_are_numbered_without_gaps() {
        let mut names: Vec<String> = FILES.files().map(|f| f.path().display().to_string()).collect();
        names.sort();
        for (index, name) in names.iter().enumerate() {
            assert!(name.starts_with(&format!("{:04}_", index + 1)), "{name} is out of order");
        }
        assert_eq!(names.len(), steps().len());
    }

    #[test]
    fn a_failing_step_leaves_the_layout_before_it() {
        let conn = Connection::open_in_memory().unwrap();
        let steps = ["CREATE TABLE a (x) ", "CREATE TABLE b (x); CREATE TABLE a (x)"];
        assert!(run(&conn, &steps).is_err());
        assert_eq!(layout(&conn).unwrap(), 1);
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1, "half of the second step must not stay");
    }

    #[test]
    fn the_copy_before_a_step_holds_the_old_layout() {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("proximity.db");
        let conn = Connection::open(&db).unwrap();
        run(&conn, &["CREATE TABLE a (x); INSERT INTO a VALUES (7)"]).unwrap();
        keep_copy(&conn, &db, 2).unwrap();
        run(&conn, &["", "DROP TABLE a"]).unwrap();
        let old = Connection::open(dir.path().join("proximity.db.before-v2")).unwrap();
        assert_eq!(layout(&old).unwrap(), 1);
        assert_eq!(old.query_row("SELECT x FROM a", [], |r| r.get::<_, i64>(0)).unwrap(), 7);
        assert!(!dir.path().join("proximity.db.before-v2.new").exists());
    }
}
