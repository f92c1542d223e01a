//! What is said of an archive after it was read once, and again.
#![allow(clippy::unwrap_used)]

use super::super::super::job::{Life, Outcome, State};
use super::super::super::plan::{Approved, Plan, Risk};
use super::super::super::stamp::Stamp;
use super::super::super::world::{From, Part};
use super::super::verify::{Report, Verdict};
use super::*;

const VOLID: &str = "local:backup/vzdump-lxc-101-x.tar.zst";

fn archive(size: u64) -> Archive {
    crate::domain::backup::tests::archive(101, VOLID, Stamp(0), size)
}

fn job(id: i64, sum: Option<&str>, size: u64, verdict: Verdict, purpose: Purpose) -> Job {
    let plan = Plan {
        purpose,
        title: "verify".into(),
        guest: 101.try_into().unwrap(),
        host: "local".into(),
        facts: vec![],
        notes: vec![],
        risk: Risk::Low,
        steps: vec![],
    };
    let report = Report { sha256: sum.map(str::to_owned), size, entries: 1, verdict, warnings: vec![] };
    let verified = vec![Verified { volid: VOLID.into(), at: Stamp(id * 1000), report }];
    let life = Life { outcome: Some(Outcome { verified, ..Outcome::default() }), ..Life::default() };
    Job { id, state: State::Succeeded, created: Stamp(0), order: Approved::new(plan, "ada", None).unwrap(), life }
}

fn whole(id: i64, sum: &str) -> Job {
    job(id, Some(sum), 100, Verdict::Whole, Purpose::Verify)
}

fn label(jobs: &[Job]) -> &'static str {
    Ledger::of(jobs).standing(&archive(100)).label()
}

#[test]
fn the_newest_word_counts_and_another_sum_is_a_change() {
    let gone = |id| job(id, None, 0, Verdict::Unknown("no zstd".into()), Purpose::Verify);
    let cut = |id, sum| job(id, Some(sum), 100, Verdict::Damaged("cut".into()), Purpose::Verify);
    assert_eq!(label(&[]), "never");
    assert_eq!(label(&[whole(1, "a")]), "whole");
    assert_eq!(label(&[whole(2, "a"), whole(1, "a")]), "whole", "newest first, as the store gives them");
    assert_eq!(label(&[gone(3), whole(2, "a")]), "unknown");
    assert_eq!(label(&[whole(3, "a"), gone(2)]), "whole");
    assert_eq!(label(&[cut(1, "b")]), "DAMAGED");
    assert_eq!(label(&[cut(2, "b"), whole(1, "a")]), "CHANGED", "it was whole once");
    assert_eq!(label(&[whole(2, "b"), whole(1, "a")]), "CHANGED", "whole, and another one");
    assert_eq!(label(&[gone(3), whole(2, "b"), whole(1, "a")]), "CHANGED", "that is not forgotten");
    assert_eq!(label(&[job(1, Some("a"), 100, Verdict::Whole, Purpose::Backup)]), "never", "no verify, no word");
    let grown = Ledger::of(&[whole(1, "a")]);
    assert_eq!(grown.standing(&archive(101)).label(), "CHANGED", "another size needs no reading");
    assert!(grown.standing(&archive(101)).words().contains("changed since"));
}

#[test]
fn what_is_spoilt_is_found_while_it_is_there() {
    let world = |jobs: Vec<Job>, archives: Vec<Archive>| World {
        jobs: Part::new(jobs, Stamp(1), From::Files),
        archives: Part::new(archives, Stamp(1), From::Files),
        ..World::default()
    };
    assert_eq!(spoilt(&world(vec![whole(1, "a")], vec![archive(100)])), []);
    let found = spoilt(&world(vec![whole(2, "b"), whole(1, "a")], vec![archive(100)]));
    assert!(found.len() == 1 && found[0].0 == "backup of 101" && found[0].1.contains("not what it was"), "{found:?}");
    assert_eq!(spoilt(&world(vec![whole(2, "b"), whole(1, "a")], vec![])), [], "nobody can rely on what is gone");
    let says = Archive { server_says: Some(false), ..archive(100) };
    assert!(spoilt(&world(vec![], vec![says]))[0].1.contains("the backup server says"));
}
