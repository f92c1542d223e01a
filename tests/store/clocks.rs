//! Clocks that jump: by seconds, hours and decades, over 2038, backwards while a job runs. The store believes no clock:
//! order comes from numbers, and no age is ever negative.

use proximity::domain::job::{Life, State};
use proximity::domain::stamp::{Stamp, age};
use proximity::store::Store;

use super::disk::Dice;
use super::kinds::add_job;
use super::part;

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;
const YEAR: i64 = 8766 * HOUR;

/// Moments at which clocks are known to go wrong, in milliseconds since 1970.
const MOMENTS: [i64; 9] = [
    0,                   // a board without a battery
    -1,                  // before it
    1_711_846_800_000,   // summer time begins
    1_729_990_800_000,   // and ends
    1_483_228_799_999,   // a leap second
    2_147_483_647_000,   // 2038
    2_147_483_648_000,   // and after
    4_294_967_296_000,   // 2106
    253_402_300_800_000, // the year 10000
];

fn jump(dice: &mut Dice, now: i64) -> i64 {
    match dice.below(8) {
        0 => MOMENTS[dice.below(MOMENTS.len())],
        at => now + [0, SECOND, -SECOND, HOUR, -HOUR, 10 * YEAR, -10 * YEAR, 1][at],
    }
}

#[test]
fn no_age_is_negative_and_every_moment_has_a_name() {
    let mut dice = Dice(13);
    let mut unsure = 0;
    for _ in 0..10_000 {
        let mut now = 1_795_000_000_000;
        let then = Stamp(jump(&mut dice, now));
        for _ in 0..6 {
            now = jump(&mut dice, now);
            let shown = age(Stamp(now), then);
            assert!(!shown.contains('-'), "{now} {then:?}: {shown}");
            unsure += usize::from(shown == "clock?");
            // A minute is forgiven: two hosts never agree to the second.
            assert_eq!(shown == "clock?", Stamp(now).secs() - then.secs() < -60, "{now} {then:?}: {shown}");
            let name = Stamp(now).rfc3339();
            assert!(name.ends_with('Z') && name.len() >= 20, "{name}");
        }
    }
    println!("clocks: 60000 ages, {unsure} of them with a question mark, 0 negative");
    assert!(unsure > 1000);
}

#[test]
fn jobs_keep_their_order_whatever_the_clock_says() {
    let mut dice = Dice(14);
    let store = Store::in_memory().unwrap();
    let mut written = Vec::new();
    let mut now = 1_795_000_000_000;
    for _ in 0..part(300, 3000) {
        now = jump(&mut dice, now);
        let created = Stamp(now);
        let id = add_job(&store, created).unwrap();
        now = jump(&mut dice, now);
        let life = Life { started: Some(Stamp(now)), ..Life::default() };
        assert!(store.claim_job(id, &life).unwrap());
        now = jump(&mut dice, now);
        let life = Life { ended: Some(Stamp(now)), ..life };
        assert!(store.move_job(id, State::Running, State::Succeeded, &life).unwrap());
        written.push((id, created, life));
    }
    let (jobs, bad) = store.jobs(10_000).unwrap();
    assert!(bad.is_empty() && store.unfinished_jobs().unwrap().0.is_empty());
    let read: Vec<_> = jobs.into_iter().rev().map(|job| (job.id, job.created, job.life)).collect();
    assert_eq!(read, written);
    assert!(read.windows(2).all(|two| two[0].0 < two[1].0), "a number was given twice");
}
