//! A process killed in the middle of writing, at moments nobody chose; `kill_points.rs` chooses them. The other process
//! is `store-role`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use proximity::store::Store;

use super::{id, make_vault, new_store};

/// Where `store-role` is, built beside this test.
pub fn role_program() -> PathBuf {
    let built = std::env::current_exe().unwrap();
    let program = built.ancestors().nth(2).unwrap().join("examples/store-role");
    assert!(program.exists(), "{} is missing; build it: cargo build --examples", program.display());
    program
}

/// `store-role` in one of its roles.
pub fn another(role: &str, dir: &Path) -> Child {
    Command::new(role_program()).arg(role).arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn say(child: &mut Child, line: &str) {
    writeln!(child.stdin.take().unwrap(), "{line}").unwrap();
}

#[test]
fn no_acknowledged_write_is_lost() {
    let (_outer, dir, store) = new_store();
    let (vault, words) = make_vault(&store, &dir);
    let words = words.expose().join(" ");
    drop(store);
    for kill in 0..25u32 {
        let mut child = another("writer", &dir);
        say(&mut child, &words);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = None;
        let mut seen = 0;
        while let Some(Ok(line)) = lines.next() {
            if let Some(round) = line.strip_prefix("wrote ") {
                acknowledged = Some(round.parse::<u64>().unwrap());
                seen += 1;
            }
            if seen > 3 + kill {
                break;
            }
        }
        // Not on a boundary: somewhere in a later write.
        std::thread::sleep(std::time::Duration::from_micros(u64::from(kill) * 137));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            if let Some(round) = line.strip_prefix("wrote ").and_then(|r| r.parse().ok()) {
                acknowledged = Some(round);
            }
        }
        let store = Store::open(&dir).unwrap();
        store.check().unwrap();
        let open = |column| {
            let value = vault.open(&store, "pair", column, &id(1)).unwrap();
            value.expose_text().unwrap()[..8].parse::<u64>().unwrap()
        };
        assert_eq!(open("left"), open("right"), "a torn pair after kill {kill}");
        assert!(open("left") >= acknowledged.unwrap(), "lost an acknowledged write after kill {kill}");
        assert!(vault.verify_all(&store).unwrap().failed.is_empty());
    }
}

#[test]
fn a_killed_rotation_leaves_one_key_or_the_other() {
    let (_outer, dir, store) = new_store();
    let (vault, words) = make_vault(&store, &dir);
    let words = words.expose().join(" ");
    vault
        .change(&store, |tx| (0..60).try_for_each(|n| vault.seal_in(tx, "host", "password", &id(n), &super::secret(&format!("value {n}")))))
        .unwrap();
    drop(store);
    let (mut epochs, mut rotated) = (std::collections::BTreeSet::new(), 0);
    for kill in 0..25u32 {
        let mut child = another("rotator", &dir);
        say(&mut child, &words);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.next().unwrap().unwrap();
        // Somewhere in the next one.
        std::thread::sleep(std::time::Duration::from_micros(u64::from(kill) * 900));
        child.kill().unwrap();
        child.wait().unwrap();
        rotated += 1 + lines.count();
        let store = Store::open(&dir).unwrap();
        // The anchor is never ahead: this would be told here.
        let vault = proximity::store::Vault::unlock_with_words(&store, &super::secret(&words)).unwrap();
        let found = vault.verify_all(&store).unwrap();
        assert_eq!(found.opened, 60);
        found.into_result().unwrap();
        let mixed: (i64, i64) =
            store.read(|c| c.query_row("SELECT min(epoch), max(epoch) FROM sealed", [], |r| Ok((r.get(0)?, r.get(1)?)))).unwrap();
        assert_eq!(mixed.0, mixed.1, "two epochs mixed after kill {kill}");
        epochs.insert(mixed.0);
    }
    assert!(rotated >= 25 && epochs.len() == 25, "{rotated} {epochs:?}");
}
