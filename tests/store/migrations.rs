//! From every older layout to the newest, cut off everywhere: the old layout or a newer one, nothing lost, and a copy of
//! what was there before.

use std::fs;
use std::path::Path;

use proximity::domain::access::Role;
use proximity::domain::stamp::Stamp;
use proximity::store::{Store, Vault};
use rusqlite::Transaction;

use super::image::{Image, scratch};
use super::kill_points::kill_everywhere;
use super::kinds::{Before, UPGRADE, a_vault, add_job};
use super::power_loss::lose_power;
use super::support::{OPERATOR, secret};
use super::{full, part, raw, strace};

/// The first layout that holds a vault which opens today.
const FIRST_WITH_A_VAULT: usize = 2;

/// The first layout whose operators have roles.
const FIRST_WITH_ROLES: usize = 6;

/// The steps, oldest first.
fn steps() -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// A store as the first `layout` steps make it, with what a store of today has in the columns that were there then.
fn old_store(layout: usize) -> Before {
    let before = a_vault();
    let (_outer, dir) = scratch();
    before.image.lay(&dir);
    let store = Store::open(&dir).unwrap();
    add_job(&store, Stamp(1)).unwrap();
    if layout < FIRST_WITH_ROLES {
        // As it was signed then.
        let vault = Vault::unlock_with_words(&store, &secret(&before.words)).unwrap();
        let sign = |tx: &Transaction<'_>| {
            tx.execute("UPDATE operator SET role = NULL", []).unwrap();
            vault.sign_row(tx, "operator", 1)
        };
        vault.change(&store, sign).unwrap();
    }
    drop(store);
    let today = dir.with_extension("today");
    fs::rename(dir.join("proximity.db"), &today).unwrap();
    let conn = raw(&dir);
    conn.execute_batch("PRAGMA journal_mode = TRUNCATE").unwrap();
    for step in &steps()[..layout] {
        conn.execute_batch(step).unwrap();
    }
    conn.pragma_update(None, "user_version", layout as i64).unwrap();
    conn.execute("ATTACH ?1 AS today", [today.to_str().unwrap()]).unwrap();
    let list =
        |sql: &str| -> Vec<String> { conn.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect() };
    for table in list("SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'") {
        if layout < FIRST_WITH_A_VAULT && table != "job" {
            continue;
        }
        let names = |schema: &str| list(&format!("SELECT name FROM pragma_table_info('{table}', '{schema}')"));
        let columns = names("main").into_iter().filter(|name| names("today").contains(name)).collect::<Vec<_>>().join(", ");
        conn.execute_batch(&format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM today.{table}")).unwrap();
    }
    drop(conn);
    if layout < FIRST_WITH_A_VAULT {
        for name in ["host.key", "anchor"] {
            fs::remove_file(dir.join(name)).unwrap();
        }
        return Before { image: Image::of(&dir), words: String::new() };
    }
    Before { image: Image::of(&dir), ..before }
}

fn layout_of(dir: &Path) -> usize {
    let layout: i64 = raw(dir).query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    layout as usize
}

/// Every older layout, or the oldest and the one before the newest.
fn older() -> Vec<usize> {
    let newest = steps().len();
    if full() { (1..newest).collect() } else { vec![1, newest - 1] }
}

#[test]
fn an_upgrade_is_killed_everywhere() {
    for layout in older() {
        kill_everywhere(&UPGRADE, &old_store(layout), 1, if full() { 1 } else { 23 });
    }
}

#[test]
fn power_is_lost_in_an_upgrade() {
    if !strace::works() {
        return;
    }
    for layout in older() {
        let found = lose_power(&UPGRADE, &old_store(layout), 1, part(2, 20), part(9, 1));
        assert_eq!(found.torn + found.lost + found.unreadable, 0, "from layout {layout}: {:#?}", found.examples);
        assert!(found.looked_at > 20, "from layout {layout}: {found:?}");
    }
}

/// The old stores above are old, and become new.
#[test]
fn every_layout_comes_to_the_newest() {
    let newest = steps().len();
    for layout in 1..newest {
        let (_outer, dir) = scratch();
        let before = old_store(layout);
        before.image.lay(&dir);
        assert_eq!(layout_of(&dir), layout);
        let store = Store::open(&dir).unwrap();
        assert_eq!(layout_of(&dir), newest);
        assert_eq!(store.jobs(10).unwrap().0.len(), 1);
        if layout >= FIRST_WITH_A_VAULT {
            let who = Vault::unlock_with_words(&store, &secret(&before.words)).unwrap().who(&store, OPERATOR).unwrap();
            assert_eq!(who.role, Role::Admin, "who made the vault of layout {layout} may do everything");
        }
        assert!(dir.join(format!("proximity.db.before-v{}", layout + 1)).exists());
    }
}
