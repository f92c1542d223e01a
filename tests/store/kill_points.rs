//! Every kind of write, ended by SIGKILL before each system call that could have changed something.

use super::image::scratch;
use super::kinds::{self, Bad, Before, Cut, KINDS, Kind};
use super::strace::{self, Call, Does};
use super::{full, part};

/// Ends the write at every `step`th of its calls; says how many there were.
pub fn kill_everywhere(kind: &Kind, before: &Before, rounds: usize, step: usize) {
    if !strace::works() {
        return;
    }
    let (_outer, dir) = scratch();
    let record = strace::record(kind, before, rounds, &dir);
    let points: Vec<&Call> = record.calls.iter().filter(|call| is_a_point(call)).collect();
    let mut bad: Vec<(String, Bad)> = Vec::new();
    let mut killed = 0;
    for call in points.iter().step_by(step) {
        before.image.lay(&dir);
        let point = format!("{}:signal=KILL:when={}", call.name, call.when);
        let ran = strace::run(kind, before, rounds, &dir, &format!("inject={point}"));
        assert_eq!(ran.signal, Some(9), "{point} did not end it: {}", ran.stderr);
        killed += 1;
        let cut = Cut { dir: &dir, words: &ran.words, promises: ran.promises };
        if let Err(why) = (kind.after)(&cut) {
            bad.push((point, why));
        }
    }
    println!("kill points, {}: {killed} of {}, {} bad", kind.name, points.len(), bad.len());
    assert!(bad.is_empty(), "{}: {bad:#?}", kind.name);
    assert!(points.len() >= 30, "{} hardly wrote anything", kind.name);
}

/// Opening a file that is there changes nothing.
fn is_a_point(call: &Call) -> bool {
    !matches!(call.does, Does::Nothing | Does::Open { new: false, .. })
}

fn quick(name: &str, step: usize) {
    let kind = kinds::by_name(name);
    kill_everywhere(kind, &(kind.before)(), part(2, 6), if full() { 1 } else { step });
}

#[test]
fn a_secret_being_sealed() {
    quick("seal a secret", 5);
}

#[test]
fn rows_and_a_secret_that_belong_together() {
    quick("two rows and a secret", 6);
}

#[test]
fn a_transaction_that_spills_into_the_file() {
    quick("more than fits in memory", 17);
}

#[test]
fn job_rows() {
    quick("job rows", 8);
}

#[test]
fn a_store_being_created() {
    quick("create a store", 6);
}

#[test]
fn a_vault_being_created() {
    quick("create a vault", 17);
}

#[test]
fn a_passphrase_being_changed() {
    quick("change a passphrase", 13);
}

#[test]
fn the_vault_key_being_changed() {
    quick("change the vault key", 11);
}

#[test]
fn settings_being_saved() {
    quick("save settings", 19);
}

#[test]
fn settings_being_taken_back() {
    quick("revert settings", 19);
}

#[test]
fn a_change_and_its_entry() {
    quick("a change with its entry", 11);
}

#[test]
fn a_snapshot_being_taken() {
    quick("take a snapshot", 13);
}

#[test]
fn ports_being_reserved_and_given_back() {
    quick("reserve and release ports", 17);
}

#[test]
fn a_try_being_counted() {
    quick("count a try", 7);
}

#[test]
fn no_kind_is_left_out() {
    let this = include_str!("kill_points.rs");
    for kind in &KINDS {
        assert!(this.contains(&format!("quick(\"{}\"", kind.name)), "{} has no test above", kind.name);
    }
}
