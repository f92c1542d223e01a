//! Eight processes that take numbers from one store, as eight consoles would take ports: nobody gets what another has,
//! and nobody is told that the database is locked.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use super::crash::another;
use super::image::scratch;
use super::{part, raw};
use proximity::store::Store;

const PROCESSES: usize = 8;

/// What the processes said: numbers they took, and times they were told "locked".
fn take_together(role: &str, dir: &Path) -> (Vec<i64>, usize) {
    let mut children: Vec<_> = (0..PROCESSES).map(|_| another(role, dir)).collect();
    let mut lines: Vec<_> = children.iter_mut().map(|child| BufReader::new(child.stdout.take().unwrap()).lines()).collect();
    for line in &mut lines {
        assert_eq!(line.next().unwrap().unwrap(), "ready");
    }
    for child in &mut children {
        writeln!(child.stdin.take().unwrap(), "{}", part(20, 125)).unwrap();
    }
    let said: Vec<String> = lines.into_iter().flatten().map(Result::unwrap).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let took = said.iter().filter_map(|line| line.strip_prefix("took ")?.parse().ok()).collect();
    (took, said.iter().filter(|line| *line == "locked").count())
}

fn fresh() -> (tempfile::TempDir, std::path::PathBuf) {
    let (outer, dir) = scratch();
    drop(Store::create(&dir).unwrap());
    raw(&dir).execute_batch("CREATE TABLE test_port (port INTEGER PRIMARY KEY, app INTEGER NOT NULL) STRICT").unwrap();
    (outer, dir)
}

#[test]
fn eight_processes_never_take_the_same_port() {
    for _ in 0..part(1, 20) {
        let (_outer, dir) = fresh();
        let (mut took, locked) = take_together("allocator", &dir);
        let all = (PROCESSES * part(20, 125)) as i64;
        took.sort_unstable();
        println!("together: {} numbers taken by {PROCESSES} processes, {locked} times locked", took.len());
        assert_eq!(locked, 0);
        let kept: Vec<i64> = {
            let conn = raw(&dir);
            let mut query = conn.prepare("SELECT port FROM test_port ORDER BY port").unwrap();
            query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        assert_eq!(took, kept, "what they believe to have is not what is written");
        assert_eq!(took.len() as i64, all);
        assert_eq!(*took.last().unwrap(), 30_000 + all - 1, "a free number was passed over");
    }
}

/// The drill: the same with transactions as SQLite begins them by itself.
#[test]
fn deferred_transactions_are_locked_out() {
    let (_outer, dir) = fresh();
    let (took, locked) = take_together("allocator-deferred", &dir);
    println!("together, deferred: {} numbers, {locked} times locked", took.len());
    assert!(locked > 0, "this test would not notice DEFERRED");
}
