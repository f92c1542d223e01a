//! Every kind of write, with each of its system calls failing in each way: once, and from then on for ever.
//!
//! The program must refuse in words, or go on; a panic, a signal or a half write is wrong. What it acknowledged is there.

use super::image::{Image, scratch};
use super::kinds::{self, Bad, Cut, REFUSED};
use super::strace::{self, Call, Does};
use super::{full, part};

/// How a call may fail. EINTR comes once: a call that is interrupted for ever is tried for ever.
const FAULTS: [(&str, &[&str]); 8] = [
    ("pwrite64", &["ENOSPC", "EIO", "EROFS", "EINTR"]),
    ("write", &["ENOSPC", "EIO", "EINTR"]),
    ("fsync", &["EIO", "ENOSPC", "EINTR"]),
    ("fdatasync", &["EIO", "ENOSPC", "EINTR"]),
    ("ftruncate", &["EIO", "EROFS", "EINTR"]),
    ("openat", &["EMFILE", "ENOSPC", "EROFS", "EIO", "EINTR"]),
    ("unlink", &["EIO", "EROFS"]),
    ("rename", &["ENOSPC", "EIO", "EROFS"]),
];

/// Each way in which a call may fail, as strace writes it.
fn ways(call: &Call) -> Vec<String> {
    let errors = FAULTS.iter().find(|(name, _)| *name == call.name).map_or(&[][..], |(_, errors)| errors);
    let both = |error: &&str| match *error {
        "EINTR" => vec![format!("{}:error=EINTR:when={}", call.name, call.when)],
        _ => vec![format!("{}:error={error}:when={}", call.name, call.when), format!("{}:error={error}:when={}+", call.name, call.when)],
    };
    errors.iter().flat_map(both).collect()
}

fn fail_everywhere(name: &str, step: usize) {
    if !strace::works() {
        return;
    }
    let kind = kinds::by_name(name);
    let before = (kind.before)();
    let (_outer, dir) = scratch();
    let rounds = part(1, 3);
    let record = strace::record(kind, &before, rounds, &dir);
    let all_promises = record.calls.iter().filter(|call| call.does == Does::Say("done\n".into())).count();
    // Its own standard output is not the store's business.
    let calls = record.calls.iter().filter(|call| !matches!(call.does, Does::Say(_)));
    let all: Vec<String> = calls.flat_map(ways).collect();
    let (mut bad, mut refused, mut undecided) = (Vec::new(), 0, 0);
    let tried: Vec<&String> = all.iter().step_by(if full() { 1 } else { step }).collect();
    for way in &tried {
        before.image.lay(&dir);
        let ran = strace::run(kind, &before, rounds, &dir, &format!("inject={way}"));
        let said_no = ran.code != Some(0);
        // A write that fails for ever takes the promises on the standard output with it; the exit status has them.
        let promises = match ran.code.map(usize::try_from) {
            Some(Ok(0)) => all_promises,
            Some(Ok(status)) if status >= REFUSED.into() => status - usize::from(REFUSED),
            _ => {
                bad.push((way, Bad::Unreadable(format!("exit {:?}, signal {:?}: {}", ran.code, ran.signal, ran.stderr))));
                continue;
            }
        };
        refused += usize::from(said_no);
        let left = Image::of(&dir);
        if let Err(why) = (kind.after)(&Cut { dir: &dir, words: &ran.words, promises }) {
            bad.push((way, why));
        }
        // Refused, and yet it is there: where the disk fails after the point of no return, but no other reason will do.
        left.lay(&dir);
        if said_no && (kind.after)(&Cut { dir: &dir, words: &ran.words, promises: promises + 1 }).is_ok() {
            undecided += 1;
            let why = ran.refused.unwrap_or_default();
            if ["is full", "can only be read", "in use"].iter().any(|promise| why.contains(promise)) {
                bad.push((way, Bad::Torn(format!("it said '{why}', and wrote"))));
            }
        }
    }
    println!(
        "faults, {name}: {} of {}, {refused} refused in words, {undecided} of these undecided, {} bad",
        tried.len(),
        all.len(),
        bad.len()
    );
    assert!(bad.is_empty(), "{name}: {bad:#?}");
    assert!(refused * 3 > tried.len(), "hardly anything was refused");
}

#[test]
fn a_secret_being_sealed() {
    fail_everywhere("seal a secret", 19);
}

#[test]
fn rows_and_a_secret_that_belong_together() {
    fail_everywhere("two rows and a secret", 29);
}

#[test]
fn a_transaction_that_spills_into_the_file() {
    fail_everywhere("more than fits in memory", 71);
}

#[test]
fn job_rows() {
    fail_everywhere("job rows", 37);
}

#[test]
fn a_store_being_created() {
    fail_everywhere("create a store", 37);
}

#[test]
fn a_vault_being_created() {
    fail_everywhere("create a vault", 97);
}

#[test]
fn a_passphrase_being_changed() {
    fail_everywhere("change a passphrase", 97);
}

#[test]
fn the_vault_key_being_changed() {
    fail_everywhere("change the vault key", 41);
}

#[test]
fn settings_being_saved() {
    fail_everywhere("save settings", 71);
}

#[test]
fn settings_being_taken_back() {
    fail_everywhere("revert settings", 71);
}

#[test]
fn a_change_and_its_entry() {
    fail_everywhere("a change with its entry", 41);
}

#[test]
fn a_snapshot_being_taken() {
    fail_everywhere("take a snapshot", 61);
}

#[test]
fn ports_being_reserved_and_given_back() {
    fail_everywhere("reserve and release ports", 41);
}

#[test]
fn a_try_being_counted() {
    fail_everywhere("count a try", 41);
}

#[test]
fn no_kind_is_left_out() {
    let this = include_str!("faults.rs");
    for kind in &kinds::KINDS {
        assert!(this.contains(&format!("fail_everywhere(\"{}\"", kind.name)), "{} has no test above", kind.name);
    }
}
