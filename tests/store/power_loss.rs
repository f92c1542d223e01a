//! Power losses: a write is recorded once, then the disk is rebuilt as it may have been at each moment of it, and
//! looked at. Thousands of losses in seconds, without root and without pulling a plug.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::disk::{Dice, Disk};
use super::image::scratch;
use super::kinds::{self, Bad, Before, CARELESS, Cut, Kind};
use super::part;
use super::strace::{self, Does};

/// What was found in all the disks of one kind of write.
#[derive(Debug, Default)]
pub struct Found {
    /// Ways to lose power that were rebuilt.
    pub states: usize,
    /// Disks among them that differ.
    pub disks: usize,
    /// How many of those were looked at.
    pub looked_at: usize,
    pub torn: usize,
    pub lost: usize,
    pub unreadable: usize,
    /// The first few that are bad.
    pub examples: Vec<String>,
}

/// Loses power at every moment of a write, in every way `disk.rs` knows, and looks at one in `step` of the disks.
pub fn lose_power(kind: &Kind, before: &Before, rounds: usize, random: usize, step: usize) -> Found {
    let (_outer, dir) = scratch();
    let record = strace::record(kind, before, rounds, &dir);
    let mut disk = Disk::of(&before.image);
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let (mut found, mut seen, mut promises) = (Found::default(), HashSet::new(), 0);
    for (at, call) in record.calls.iter().enumerate() {
        disk.apply(&call.does);
        match &call.does {
            Does::Say(line) if line == "done\n" => promises += 1,
            Does::Nothing | Does::Open { new: false, .. } => continue,
            _ => {}
        }
        for loss in disk.losses(&mut dice, random) {
            found.states += 1;
            let image = disk.after(&loss);
            let mut hash = DefaultHasher::new();
            (&image, promises).hash(&mut hash);
            if !seen.insert(hash.finish()) {
                continue;
            }
            found.disks += 1;
            if found.disks % step != 0 {
                continue;
            }
            found.looked_at += 1;
            image.lay(&dir);
            let cut = Cut { dir: &dir, words: &record.words, promises };
            let Err(bad) = (kind.after)(&cut) else { continue };
            match &bad {
                Bad::Torn(_) => found.torn += 1,
                Bad::Lost(_) => found.lost += 1,
                Bad::Unreadable(_) => found.unreadable += 1,
            }
            if found.examples.len() < 5 {
                found.examples.push(format!("after call {at} ({}) and {promises} promises: {bad:?}", call.name));
            }
        }
    }
    let Found { states, disks, looked_at, torn, lost, unreadable, .. } = &found;
    let bad = format!("{torn} torn, {lost} lost, {unreadable} unreadable");
    println!("power loss, {}: {states} states, {disks} different disks, {looked_at} looked at, {bad}", kind.name);
    found
}

/// How much of it is tried in the quick form; the full form has many rounds and leaves nothing out.
fn none_is_bad(name: &str, full_rounds: usize, quick_step: usize) {
    if !strace::works() {
        return;
    }
    let kind = kinds::by_name(name);
    let found = lose_power(kind, &(kind.before)(), part(1, full_rounds), part(3, 20), part(quick_step, 1));
    assert_eq!(found.torn + found.lost + found.unreadable, 0, "{name}: {:#?}", found.examples);
    assert!(found.disks > 300 && found.looked_at > 50, "{name} hardly wrote anything: {found:?}");
}

#[test]
fn a_secret_being_sealed() {
    none_is_bad("seal a secret", 20, 4);
}

#[test]
fn rows_and_a_secret_that_belong_together() {
    none_is_bad("two rows and a secret", 20, 4);
}

#[test]
fn a_transaction_that_spills_into_the_file() {
    none_is_bad("more than fits in memory", 6, 13);
}

#[test]
fn job_rows() {
    none_is_bad("job rows", 10, 4);
}

#[test]
fn a_store_being_created() {
    none_is_bad("create a store", 1, 2);
}

#[test]
fn a_vault_being_created() {
    none_is_bad("create a vault", 1, 5);
}

#[test]
fn a_passphrase_being_changed() {
    none_is_bad("change a passphrase", 1, 5);
}

#[test]
fn the_vault_key_being_changed() {
    none_is_bad("change the vault key", 2, 7);
}

#[test]
fn settings_being_saved() {
    none_is_bad("save settings", 10, 7);
}

#[test]
fn settings_being_taken_back() {
    none_is_bad("revert settings", 10, 7);
}

#[test]
fn a_change_and_its_entry() {
    none_is_bad("a change with its entry", 20, 5);
}

#[test]
fn a_snapshot_being_taken() {
    none_is_bad("take a snapshot", 6, 7);
}

#[test]
fn ports_being_reserved_and_given_back() {
    none_is_bad("reserve and release ports", 20, 4);
}

#[test]
fn a_try_being_counted() {
    none_is_bad("count a try", 20, 4);
}

#[test]
fn no_kind_is_left_out() {
    let this = include_str!("power_loss.rs");
    for kind in &kinds::KINDS {
        assert!(this.contains(&format!("none_is_bad(\"{}\"", kind.name)), "{} has no test above", kind.name);
    }
}

/// The drill: with `synchronous = NORMAL` this very simulation finds what `FULL` prevents.
#[test]
fn a_careless_connection_is_caught() {
    if !strace::works() {
        return;
    }
    let found = lose_power(&CARELESS, &(CARELESS.before)(), part(1, 6), part(1, 20), 1);
    assert!(found.lost > 0, "{found:?}");
    assert!(found.torn + found.unreadable > 0, "{found:?}");
}
