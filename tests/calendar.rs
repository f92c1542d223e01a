//! The next time of a schedule against two oracles: a walk over every minute of some years, and `systemd-analyze calendar`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::process::Command;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proximity::domain::calendar::{Event, Zone};
use proximity::domain::stamp::Stamp;
use proximity::host::local;

/// One with turns in spring and autumn, one on the other side of the sea, one that turns by half an hour, two that never turn.
const ZONES: [&str; 5] = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"];

/// What a field of a schedule may hold, as text and as the numbers it means; none: all.
#[derive(Debug, Clone)]
struct Field {
    text: String,
    means: Option<Vec<u32>>,
}

fn field(least: u32, most: u32, all: u32) -> impl Strategy<Value = Field> {
    let one = (least..=most, least..=most, 1u32..9, 0u8..4).prop_map(move |(a, b, step, how)| {
        let (from, to) = (a.min(b), a.max(b));
        match how {
            0 => (format!("{a}"), vec![a]),
            1 => (format!("{from}..{to}"), (from..=to).collect()),
            2 => (format!("{a}/{step}"), (a..=most).step_by(step as usize).collect::<Vec<_>>()),
            _ => (format!("{from}..{to}/{step}"), (from..=to).step_by(step as usize).collect()),
        }
    });
    let list = prop::collection::vec(one, 1..3).prop_map(|all| Field {
        text: all.iter().map(|(t, _)| t.clone()).collect::<Vec<_>>().join(","),
        means: Some(all.into_iter().flat_map(|(_, n)| n).collect()),
    });
    let every =
        (1u32..12).prop_map(move |step| Field { text: format!("*/{step}"), means: Some((least..=most).step_by(step as usize).collect()) });
    prop_oneof![all => Just(Field { text: "*".into(), means: None }), 3 => list, 1 => every]
}

/// A schedule without seconds, and what each of its fields means: weekday from Monday 0, month, day, hour, minute.
#[derive(Debug, Clone)]
struct Generated {
    text: String,
    means: [Option<Vec<u32>>; 5],
}

fn schedules() -> impl Strategy<Value = Generated> {
    let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let days = prop_oneof![
        2 => Just((String::new(), None)),
        1 => (0usize..7, 0usize..7).prop_map(move |(a, b)| (format!("{}..{} ", names[a], names[b]), Some((0..=(b + 7 - a) % 7).map(|n| ((a + n) % 7) as u32).collect()))),
        1 => prop::collection::vec(0usize..7, 1..4).prop_map(move |all| (format!("{} ", all.iter().map(|n| names[*n]).collect::<Vec<_>>().join(",")), Some(all.iter().map(|n| *n as u32).collect()))),
    ];
    let date = prop_oneof![3 => Just(None), 2 => (field(1, 12, 4), field(1, 31, 2)).prop_map(Some)];
    (days, date, field(0, 23, 2), field(0, 59, 1)).prop_map(|((day, weekdays), date, hour, minute)| {
        let spec = date.as_ref().map_or(String::new(), |(m, d)| format!("{}-{} ", m.text, d.text));
        let (month, mday) = date.map_or((None, None), |(m, d)| (m.means, d.means));
        Generated { text: format!("{day}{spec}{}:{}", hour.text, minute.text), means: [weekdays, month, mday, hour.means, minute.means] }
    })
}

/// Of each minute of two years, of which one is a leap year, what the clocks of a zone show: weekday, month, day, hour, minute; but where they show it again.
fn minutes(tz: &TimeZone) -> Vec<(i64, [u32; 5])> {
    let from = 1_798_761_600; // 2027-01-01
    let mut seen = std::collections::HashSet::new();
    let one = |n: i64| {
        let at = from + n * 60;
        let local = jiff::Timestamp::from_second(at).unwrap().to_zoned(tz.clone()).datetime();
        let fields = [
            local.weekday().to_monday_zero_offset() as u32,
            local.month() as u32,
            local.day() as u32,
            local.hour() as u32,
            local.minute() as u32,
        ];
        (at, local.year(), fields)
    };
    (0..2 * 365 * 1440).map(one).filter(|(_, year, fields)| seen.insert((*year, *fields))).map(|(at, _, fields)| (at, fields)).collect()
}

/// The same numbers each run: what fails, fails again.
fn sample(many: usize) -> Vec<Generated> {
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    (0..many).map(|_| schedules().new_tree(&mut runner).unwrap().current()).collect()
}

/// As Debian's tzdata has it.
fn tz(name: &str) -> TimeZone {
    let bytes = std::fs::read(format!("/usr/share/zoneinfo/{name}")).expect("tzdata is there");
    TimeZone::tzif(name, &bytes).unwrap()
}

fn zone(name: &str) -> (TimeZone, Zone) {
    let tz = tz(name);
    let zone = local::zone(&tz, Stamp::from_secs(1_795_000_000));
    (tz, zone)
}

#[test]
fn every_minute_of_years_is_told() {
    let (mut asked, mut turned) = (0, 0);
    for name in ZONES {
        let (tz, zone) = zone(name);
        let minutes = minutes(&tz);
        turned += usize::from(minutes.len() < 2 * 365 * 1440);
        for generated in sample(40) {
            let event = Event::parse(&generated.text).unwrap_or_else(|e| panic!("{e}"));
            let masks = generated.means.clone().map(|means| means.map_or(u64::MAX, |all| all.iter().fold(0, |bits, n| bits | 1 << n)));
            let fits = |fields: &[u32; 5]| (0..5).all(|n| masks[n] >> fields[n] & 1 == 1);
            let comes: Vec<i64> = minutes.iter().filter(|(_, fields)| fits(fields)).map(|(at, _)| *at).collect();
            // One after the other, but of those that come each minute only near the turns and at the edges of gaps.
            let mut last = minutes[0].0 - 1;
            for (n, at) in comes.iter().enumerate() {
                let near = zone.turns.iter().any(|(turn, _)| (turn - at).abs() < 2 * 86_400);
                if n < 40 || near || n % 9973 == 0 || at - last > 86_400 {
                    let after = Stamp::from_secs(last);
                    assert_eq!(
                        event.next(after, &zone).map(Stamp::secs),
                        Some(*at),
                        "'{}' in {name} after {}",
                        generated.text,
                        after.rfc3339()
                    );
                    asked += 1;
                }
                last = *at;
            }
        }
    }
    println!("{asked} next times as every minute tells them, in {} zones", ZONES.len());
    assert!(asked > 20_000 && turned == 3, "{asked} {turned}");
}

/// What systemd says comes after a time, so many of them.
fn systemd(name: &str, event: &str, after: &str, many: usize) -> Option<Vec<String>> {
    let base = format!("--base-time={after}");
    let many = format!("--iterations={many}");
    let out = Command::new("systemd-analyze").args(["calendar", &many, &base, event]).env("TZ", name).env("LC_ALL", "C").output().ok()?;
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{event}: {}", String::from_utf8_lossy(&out.stderr));
    // A zone that is UTC itself has no line of its own for it.
    let mark = if name == "UTC" { ["Next elapse: ", "Iter. #"] } else { ["(in UTC): ", "(in UTC): "] };
    let one = |line: &str| {
        let line = line.trim();
        let rest = mark.iter().find_map(|m| line.strip_prefix(m))?;
        let words: Vec<&str> = rest.split_whitespace().rev().collect();
        (words[0] == "UTC").then(|| format!("{}T{}Z", words[2], words[1]))
    };
    Some(text.lines().filter_map(one).collect())
}

/// The form that is written for systemd means the same to it, whatever the clocks do.
#[test]
fn systemd_says_the_same() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "systemd-analyze is not there");
        println!("SKIPPED: systemd-analyze is not there");
        return;
    }
    let (mut compared, mut odd) = (0, 0);
    for name in ZONES {
        let (_, zone) = zone(name);
        for (n, generated) in sample(60).into_iter().enumerate() {
            let event = Event::parse(&generated.text).unwrap();
            // The evenings before clocks turn, and any day.
            let base =
                ["2026-03-28 20:00:00", "2026-10-24 20:00:00", "2026-10-31 20:00:00", "2027-02-27 11:07:00", "2026-04-04 10:00:00"][n % 5];
            let mut now =
                Stamp::from_secs(base.parse::<jiff::civil::DateTime>().unwrap().to_zoned(tz(name)).unwrap().timestamp().as_second());
            let told = systemd(name, &event.systemd(), base, 8).unwrap();
            let mut own = Vec::new();
            while let Some(next) = event.next(now, &zone).filter(|_| own.len() < told.len().max(1)) {
                own.push(next.rfc3339());
                now = next;
            }
            let what = format!("'{}', to systemd '{}', in {name} after {base}", generated.text, event.systemd());
            // On a day on which clocks turn back systemd 252 leaves hours out that nothing is the matter with, where it comes to that
            // day by a leap. What every minute tells is right there; beside that day both must say the same.
            let back = |at: &i64| zone.turns.iter().any(|(turn, to)| *to < zone.offset(turn - 1) && (turn - at).abs() < 86_400);
            let beside = |all: &[String]| {
                all.iter().filter(|t| !back(&t.parse::<jiff::Timestamp>().unwrap().as_second())).cloned().collect::<Vec<_>>()
            };
            if own == told {
                compared += told.len();
            } else {
                println!("other on a day of turning back: {what}");
                let (own, told) = (beside(&own), beside(&told));
                let both = own.len().min(told.len());
                assert_eq!(own[..both], told[..both], "{what}");
                odd += 1;
            }
        }
    }
    println!("{compared} next times as systemd tells them, {odd} schedules other on a day of turning back");
    assert!(compared > 1500 && odd < 10, "{compared} {odd}");
}
