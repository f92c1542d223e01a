//! A database file that rots: flipped bits, sectors and pages that are gone or in each other's place, a cut end, a broken
//! head. Whatever is read is what was written, or it is told that it is not; there is no third.

use std::collections::BTreeMap;
use std::path::Path;

use proximity::domain::job::{Life, State};
use proximity::domain::stamp::Stamp;
use proximity::store::{Store, Vault, Way};

use super::disk::Dice;
use super::image::{Image, scratch};
use super::kinds::{a_vault, add_job};
use super::{id, part, secret};

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// A store with everything in it, and its words.
fn a_full_store() -> (Image, String) {
    let before = a_vault();
    let (_outer, dir) = scratch();
    before.image.lay(&dir);
    let store = Store::open(&dir).unwrap();
    let vault = Vault::unlock_with_words(&store, &secret(&before.words)).unwrap();
    vault
        .change(&store, |tx| {
            (0..12).try_for_each(|row| vault.seal_in(tx, "app", "token", &id(row), &secret(&format!("{row} {}", "x".repeat(600)))))
        })
        .unwrap();
    for number in 1..=3 {
        let job = add_job(&store, Stamp(number)).unwrap();
        if number < 3 {
            assert!(store.claim_job(job, &Life { started: Some(Stamp(number)), ..Life::default() }).unwrap());
            assert!(store.move_job(job, State::Running, State::Succeeded, &Life::default()).unwrap());
        }
    }
    drop(store);
    (Image::of(&dir), before.words)
}

/// Everything the program would use, read the way it reads it; or that it was told not to.
fn read_all(dir: &Path, words: &str) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    let told = |error: &dyn std::fmt::Debug| format!("{error:?}");
    let store = Store::open(dir).map_err(|e| told(&e))?;
    let (jobs, bad) = store.jobs(100).map_err(|e| told(&e))?;
    let (unfinished, also_bad) = store.unfinished_jobs().map_err(|e| told(&e))?;
    if !bad.is_empty() || !also_bad.is_empty() {
        return Err(told(&bad));
    }
    for (list, jobs) in [("jobs", jobs), ("unfinished", unfinished)] {
        all.insert(list.to_owned(), format!("{jobs:?}"));
    }
    let vault = Vault::enter(&store, &Way::Words(&secret(words))).map_err(|e| told(&e))?;
    for (table, column, rows) in [("host", "password", 1..2), ("pair", "left", 1..2), ("pair", "right", 1..2), ("app", "token", 0..12)] {
        for row in rows {
            let value = vault.open(&store, table, column, &id(row)).map_err(|e| told(&e))?;
            all.insert(format!("{table}.{column} {row}"), value.expose_text().unwrap_or("no text").to_owned());
        }
    }
    let bad = store.read(|conn| Ok(vault.check_rows(conn, "operator"))).map_err(|e| told(&e))?.map_err(|e| told(&e))?;
    if !bad.is_empty() {
        return Err(told(&bad));
    }
    all.insert("operators".to_owned(), format!("{:?}", store.operators().map_err(|e| told(&e))?));
    Ok(all)
}

/// Damaged files, each with what was done to it.
fn damages(whole: &[u8], dice: &mut Dice) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let mut change = |what: String, f: &mut dyn FnMut(&mut Vec<u8>)| {
        let mut bytes = whole.to_vec();
        f(&mut bytes);
        all.push((what, bytes));
    };
    for _ in 0..part(1200, 8000) {
        let (at, bit) = (dice.below(whole.len()), dice.below(8));
        change(format!("bit {bit} of byte {at}"), &mut |bytes| bytes[at] ^= 1 << bit);
    }
    for at in 0..100 {
        let bit = dice.below(8);
        change(format!("head, bit {bit} of byte {at}"), &mut |bytes| bytes[at] ^= 1 << bit);
    }
    let sectors = whole.len() / SECTOR;
    for _ in 0..part(400, 2000) {
        let (sector, garbage) = (dice.below(sectors), dice.next());
        let fill = |bytes: &mut Vec<u8>| {
            let mut noise = Dice(garbage | 1);
            bytes[sector * SECTOR..][..SECTOR].fill_with(|| if garbage % 3 == 0 { 0 } else { noise.next() as u8 });
        };
        change(format!("sector {sector}"), &mut { fill });
    }
    let pages = whole.len() / PAGE;
    for page in 0..pages {
        change(format!("page {page} zeroed"), &mut |bytes| bytes[page * PAGE..][..PAGE].fill(0));
        for other in 0..page {
            change(format!("pages {other} and {page} swapped"), &mut |bytes| {
                let (left, right) = bytes.split_at_mut(page * PAGE);
                left[other * PAGE..][..PAGE].swap_with_slice(&mut right[..PAGE]);
            });
            change(format!("page {other} written over page {page}"), &mut |bytes| {
                bytes.copy_within(other * PAGE..(other + 1) * PAGE, page * PAGE);
            });
        }
    }
    for _ in 0..part(60, 400) {
        let length = dice.below(whole.len());
        change(format!("cut at {length}"), &mut |bytes| bytes.truncate(length));
    }
    change("grown by a page".to_owned(), &mut |bytes| bytes.extend([0; PAGE]));
    all
}

#[test]
fn what_is_read_is_what_was_written() {
    let (image, words) = a_full_store();
    let (_outer, dir) = scratch();
    image.lay(&dir);
    let good = read_all(&dir, &words).unwrap();
    assert_eq!(good.len(), 18);
    let file = Path::new("proximity.db").to_owned();
    let (mut told, mut harmless, mut wrong) = (0, 0, Vec::new());
    for (what, bytes) in damages(&image.0[&file], &mut Dice(10)) {
        let mut damaged = image.clone();
        damaged.0.insert(file.clone(), bytes);
        damaged.lay(&dir);
        match read_all(&dir, &words) {
            Err(_) => told += 1,
            Ok(read) if read == good => harmless += 1,
            Ok(read) => {
                let differs: Vec<_> = good.iter().filter(|(name, value)| read.get(*name) != Some(*value)).map(|(name, _)| name).collect();
                wrong.push(format!("{what}: {differs:?}"));
            }
        }
    }
    println!("bit rot: {} damages, {told} told, {harmless} in bytes nobody reads, {} believed", told + harmless + wrong.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(told > 500 && told + harmless > 2000);
}
