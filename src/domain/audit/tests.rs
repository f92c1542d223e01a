//! The frozen form comes back whole, refuses what it never wrote; an intent alone is never good.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn entry() -> Entry {
    Entry {
        seq: 7,
        epoch: 3,
        at: Stamp(1_795_271_520_123),
        boottime_ms: 99,
        boot_id: "b".into(),
        who: Who { login_uid: Some(1000), ssh: Some("10.1.2.3".into()), ..Who::default() },
        mode: "command".into(),
        phase: Phase::Intent,
        deed: Deed::new("ada", "job.backup", "guest 101", "back up 101 web to local").undo("job 17"),
    }
}

prop_compose! {
    fn any_text()(text in prop::option::of(".{0,40}")) -> Option<String> { text }
}

prop_compose! {
    fn any_entry()(
        numbers in any::<(u64, u32, i64, u64, Option<i32>, Option<i64>, Option<u32>, bool)>(),
        argv in any::<Option<[u8; 32]>>(),
        of in 1u64..,
        kind in 0u8..3,
        ending in prop::sample::select(vec![Ending::Ok, Ending::Warned, Ending::Failed, Ending::Cancelled, Ending::Unknown]),
        need in prop::array::uniform7(".{0,40}"),
        may in prop::array::uniform7(any_text()),
    ) -> Entry {
        let (seq, epoch, at, boottime_ms, exit, job, login_uid, refused) = numbers;
        let [boot_id, operator, role, mode, action, object, title] = need;
        let [sudo_user, ssh, tty, key, before, after, undo] = may;
        let phase = match kind { 0 => Phase::Intent, 1 => Phase::Outcome { of, ending, exit }, _ => Phase::Event { ending } };
        let decision = if refused { Decision::Refused } else { Decision::Allowed };
        Entry {
            seq, epoch, at: Stamp(at), boottime_ms, boot_id, mode, phase,
            who: Who { login_uid, sudo_user, ssh, tty, key },
            deed: Deed { operator, role, action, object, title, decision, argv, before, after, undo, job },
        }
    }
}

proptest! {
    #[test]
    fn every_entry_comes_back(e in any_entry()) {
        let bytes = e.bytes();
        let back = Entry::read(&bytes).unwrap();
        prop_assert_eq!(&back, &e);
        let heading = Heading::read(&bytes).unwrap();
        prop_assert_eq!((heading.seq, heading.epoch, heading.at), (e.seq, e.epoch, e.at));
    }

    #[test]
    fn there_is_one_form_of_each(e in any_entry(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = e.bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(other) = Entry::read(&bytes) {
            prop_assert_ne!(&other, &e);
            prop_assert_eq!(other.bytes(), bytes);
        }
    }

    #[test]
    fn foreign_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(Entry::read(&bytes), Err(Malformed));
    }
}

#[test]
fn what_is_cut_off_or_longer_is_refused() {
    let bytes = entry().bytes();
    for end in 0..bytes.len() {
        assert_eq!(Entry::read(&bytes[..end]), Err(Malformed), "{end}");
    }
    assert_eq!(Entry::read(&[&bytes[..], b"x"].concat()), Err(Malformed));
    let mut newer = bytes;
    newer[3] = 2;
    assert_eq!(Entry::read(&newer), Err(Malformed), "another version");
}

#[test]
fn long_texts_are_cut_between_letters() {
    let mut long = entry();
    long.deed.title = "ä".repeat(40_000);
    long.deed.before = Some(format!("x{}", "ß".repeat(40_000)));
    let back = Entry::read(&long.bytes()).unwrap();
    assert_eq!((back.deed.title.len(), back.deed.before.unwrap().len()), (512, 4095));
}

#[test]
fn an_intent_alone_is_unknown_and_a_refusal_is_no_success() {
    let mut record = Record { entry: entry(), outcome: None };
    assert_eq!(record.standing().word(), "unknown");
    let phase = Phase::Outcome { of: 7, ending: Ending::Ok, exit: Some(0) };
    record.outcome = Some(Entry { phase, deed: entry().deed.said("archive written"), ..entry() });
    assert_eq!((record.standing().word(), record.after()), ("ok", Some("archive written")));
    // An intent in the place of an outcome tells nothing.
    record.outcome = Some(entry());
    assert_eq!(record.standing(), Standing::Open);
    record.entry.deed.decision = Decision::Refused;
    assert_eq!(record.standing().word(), "refused");
    for state in [State::Unknown, State::Unreachable, State::Running, State::Queued] {
        assert_eq!(Ending::of_job(state), Ending::Unknown);
    }
}

#[test]
fn records_are_found_by_what_they_say() {
    let record = Record { entry: entry(), outcome: None };
    let none = Wanted::default;
    let some = |t: &str| Some(t.to_owned());
    let words = |t: &str| Wanted { words: Filter::parse(t).unwrap(), ..none() };
    for fits in [
        none(),
        Wanted { operator: some("ada"), action: some("job"), object: some("guest 101"), since: Some(entry().at), ..none() },
        Wanted { object: some("web"), ..none() },
        words("unknown 10.1.2.3 !bob"),
    ] {
        assert!(fits.fits(&record), "{fits:?}");
    }
    for other in [
        Wanted { operator: some("ad"), ..none() },
        Wanted { action: some("backup"), ..none() },
        Wanted { object: some("guest 102"), ..none() },
        Wanted { since: Some(Stamp(entry().at.0 + 1)), ..none() },
        words("ok"),
    ] {
        assert!(!other.fits(&record), "{other:?}");
    }
}
