//! When a schedule fires: calendar events as Proxmox VE writes them, and the next time one comes.
//!
//! Proxmox's dialect is that of its `proxmox-time` (<https://pbs.proxmox.com/docs/calendarevents.html>), which is near to but not
//! the one of systemd.time(7): `[WEEKDAYS] [[YEARS-]MONTHS-DAYS] [[HOURS:]MINUTES[:SECONDS]] [UTC]`, or one word. A number alone is
//! a minute of every hour. Local times that the clock leaps over do not come that day; one that comes twice counts once, the first
//! time: so does systemd, and so does Proxmox, whose every run is reckoned from the one before.

use super::clean::clean;
use super::stamp::Stamp;

/// Characters that Proxmox takes for a schedule.
pub const LONGEST: usize = 128;

/// The years a schedule may name, and the last that is looked through.
const LAST_YEAR: u32 = 2199;

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Numbers from one to another, each so many apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    from: u32,
    to: Option<u32>,
    step: u32,
}

impl Run {
    fn one(n: u32) -> Run {
        Run { from: n, to: Some(n), step: 1 }
    }

    fn has(self, n: u32) -> bool {
        n >= self.from && self.to.is_none_or(|to| n <= to) && (n - self.from).is_multiple_of(self.step)
    }

    /// As systemd.time(7) has it, two digits each. It refuses a step that leads over the end, where Proxmox has the first alone.
    fn systemd(self, most: u32) -> String {
        let Run { from, to, step } = self;
        match to {
            _ if from + step > to.unwrap_or(most) => format!("{from:02}"),
            Some(to) if step == 1 => format!("{from:02}..{to:02}"),
            Some(to) => format!("{from:02}..{to:02}/{step}"),
            None => format!("{from:02}/{step}"),
        }
    }
}

/// Numbers that fit; none given means all.
type Runs = Vec<Run>;

fn fits(runs: &[Run], n: u32) -> bool {
    runs.is_empty() || runs.iter().any(|r| r.has(n))
}

/// One schedule, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    utc: bool,
    /// A bit for each weekday, Monday the lowest; 0 is all of them.
    days: u8,
    year: Runs,
    month: Runs,
    day: Runs,
    hour: Runs,
    minute: Runs,
    second: Runs,
}

impl Event {
    /// Reads a schedule; the error says what can be given.
    pub fn parse(text: &str) -> Result<Event, String> {
        let read = if text.len() > LONGEST { None } else { read(text) };
        read.ok_or_else(|| {
            format!("'{}' is no schedule; give 02:00, 'sat 15:00', 'mon..fri 22:30', '*/30', daily, '*-*-01 03:00'", clean(text))
        })
    }

    /// The same for systemd, which reads some of Proxmox's forms otherwise or not at all.
    pub fn systemd(&self) -> String {
        let runs = |runs: &[Run], most| {
            let all: Vec<String> = runs.iter().map(|r| r.systemd(most)).collect();
            if all.is_empty() { "*".to_owned() } else { all.join(",") }
        };
        let days: Vec<&str> = (0..7).filter(|n| self.days & 0x7f != 0x7f && self.days >> n & 1 == 1).map(|n| &DAYS[n][..3]).collect();
        let days = if days.is_empty() { String::new() } else { format!("{} ", days.join(",")) };
        let utc = if self.utc { " UTC" } else { "" };
        let date = format!("{}-{}-{}", runs(&self.year, LAST_YEAR), runs(&self.month, 12), runs(&self.day, 31));
        format!("{days}{date} {}:{}:{}{utc}", runs(&self.hour, 23), runs(&self.minute, 59), runs(&self.second, 59))
    }

    /// The first time after `after` that it comes; `None` where it never does again.
    pub fn next(&self, after: Stamp, zone: &Zone) -> Option<Stamp> {
        let utc = Zone::default();
        let zone = if self.utc { &utc } else { zone };
        let from = after.secs() + 1;
        // A day earlier: near midnight a turn of the clock may lead back over it.
        let mut day = (from + i64::from(zone.offset(from))).div_euclid(86_400) - 1;
        loop {
            let (y, mo, d, ..) = Stamp::from_secs(day * 86_400).civil(0);
            if y > LAST_YEAR.into() {
                return None;
            }
            if self.is_day(day, y, mo.into(), d.into())
                && let Some(found) = self.on(day, from, zone)
            {
                return Some(found);
            }
            day += 1;
        }
    }

    fn is_day(&self, days: i64, y: i64, mo: u32, d: u32) -> bool {
        // 1970-01-01 was a Thursday.
        let weekday = (days + 3).rem_euclid(7);
        (self.days == 0 || self.days >> weekday & 1 == 1)
            && u32::try_from(y).is_ok_and(|y| fits(&self.year, y))
            && fits(&self.month, mo)
            && fits(&self.day, d)
    }

    /// The first time on a day that is not before `from`. What comes later on the clock never comes earlier.
    fn on(&self, day: i64, from: i64, zone: &Zone) -> Option<Stamp> {
        let over = |end: i64| zone.first(end).is_some_and(|at| at < from);
        for h in (0..24).filter(|h| fits(&self.hour, *h)) {
            let hour = day * 86_400 + i64::from(h) * 3600;
            if over(hour + 3599) {
                continue;
            }
            for m in (0..60).filter(|m| fits(&self.minute, *m)) {
                let minute = hour + i64::from(m) * 60;
                if over(minute + 59) {
                    continue;
                }
                for s in (0..60).filter(|s| fits(&self.second, *s)) {
                    if let Some(at) = zone.first(minute + i64::from(s)).filter(|at| *at >= from) {
                        return Some(Stamp::from_secs(at));
                    }
                }
            }
        }
        None
    }
}

/// The zone of a host: what its clocks show, before and after each turn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zone {
    /// Seconds east of UTC before the first turn.
    pub base_s: i32,
    /// Seconds since 1970 and seconds east of UTC from then on, in order.
    pub turns: Vec<(i64, i32)>,
}

impl Zone {
    /// One without turns.
    pub fn fixed(base_s: i32) -> Zone {
        Zone { base_s, turns: Vec::new() }
    }

    /// Seconds east of UTC at a time in seconds since 1970.
    pub fn offset(&self, at: i64) -> i32 {
        let after = self.turns.partition_point(|(turn, _)| *turn <= at);
        after.checked_sub(1).map_or(self.base_s, |n| self.turns[n].1)
    }

    /// When the clocks first show this, which is seconds since 1970 as if in UTC; `None` where they leap over it.
    pub fn first(&self, local: i64) -> Option<i64> {
        // No zone is further than 26 hours from another side of a turn.
        let near = self.turns.partition_point(|(turn, _)| *turn < local - 93_600);
        let before = near.checked_sub(1).map_or(self.base_s, |n| self.turns[n].1);
        let around = self.turns[near..].iter().take_while(|(turn, _)| *turn <= local + 93_600).map(|(_, offset)| *offset);
        std::iter::once(before)
            .chain(around)
            .map(|offset| (local - i64::from(offset), offset))
            .filter(|(at, o)| self.offset(*at) == *o)
            .map(|(at, _)| at)
            .min()
    }

    /// A time that comes, in a few letters: `02:00` within a day, `Sat 15:00` within a week, else its day.
    pub fn soon(&self, now: Stamp, then: Stamp) -> String {
        let offset = self.offset(then.secs());
        let clock = then.clock(offset);
        match then.secs() - now.secs() {
            i64::MIN..86_400 => clock,
            86_400..604_800 => {
                let day = (then.secs() + i64::from(offset)).div_euclid(86_400);
                let name = DAYS[(day + 3).rem_euclid(7) as usize];
                format!("{}{} {clock}", name[..1].to_ascii_uppercase(), &name[1..3])
            }
            _ => then.minute(offset)[..10].to_owned(),
        }
    }
}

fn word(text: &str) -> Option<Event> {
    let at = |runs: &[u32]| runs.iter().map(|n| Run::one(*n)).collect::<Runs>();
    let second = Event { second: at(&[0]), ..Event::default() };
    let hour = Event { minute: at(&[0]), ..second.clone() };
    let day = Event { hour: at(&[0]), ..hour.clone() };
    let month = Event { day: at(&[1]), ..day.clone() };
    Some(match text {
        "minutely" => second,
        "hourly" => hour,
        "daily" => day,
        "weekly" => Event { days: 1, ..day },
        "monthly" => month,
        "quarterly" => Event { month: at(&[1, 4, 7, 10]), ..month },
        "semiannually" | "semi-annually" => Event { month: at(&[1, 7]), ..month },
        "yearly" | "annually" => Event { month: at(&[1]), ..month },
        _ => return None,
    })
}

fn read(text: &str) -> Option<Event> {
    let (text, utc) = text.strip_suffix("UTC").map_or((text, false), |rest| (rest.trim_end_matches(' '), true));
    if let Some(event) = word(text) {
        return Some(Event { utc, ..event });
    }
    let mut event = Event { utc, ..Event::default() };
    let mut rest = text;
    if rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
        (event.days, rest) = weekdays(rest)?;
        rest = rest.trim_start_matches([' ', '\t']);
    }
    let mut given = event.days != 0;
    if let Some((date, after)) = date(rest) {
        [event.year, event.month, event.day] = date;
        (given, rest) = (true, after.trim_start_matches([' ', '\t']));
    }
    match time(rest) {
        Some((time, after)) => {
            [event.hour, event.minute, event.second] = time;
            (given, rest) = (true, after);
        }
        None => [event.hour, event.minute, event.second] = [0, 0, 0].map(|n| vec![Run::one(n)]),
    }
    (given && rest.is_empty()).then_some(event)
}

/// `mon,wed..fri`; a range may lead over the end of the week.
fn weekdays(mut rest: &str) -> Option<(u8, &str)> {
    fn one(text: &str) -> Option<(usize, &str)> {
        let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let name = name.to_ascii_lowercase();
        Some((DAYS.iter().position(|d| *d == name || d[..3] == name)?, rest))
    }
    let mut bits = 0;
    loop {
        let (first, after) = one(rest)?;
        rest = after;
        let last = match rest.strip_prefix("..").and_then(one) {
            Some((last, after)) => {
                rest = after;
                last
            }
            None => first,
        };
        let many = (last + 7 - first) % 7;
        (0..=many).for_each(|n| bits |= 1 << ((first + n) % 7));
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Some((bits, rest)),
        }
    }
}

/// Years, months and days, then what is behind them.
fn date(text: &str) -> Option<([Runs; 3], &str)> {
    fn tail(rest: &str, most: u32) -> Option<(Runs, &str)> {
        runs(rest.strip_prefix('-')?, 1, most)
    }
    let whole = || {
        let (year, rest) = runs(text, 0, 2200)?;
        let (month, rest) = tail(rest, 13)?;
        let (day, rest) = tail(rest, 32)?;
        Some(([year, month, day], rest))
    };
    let short = || {
        let (month, rest) = runs(text, 1, 13)?;
        let (day, rest) = tail(rest, 32)?;
        Some(([Vec::new(), month, day], rest))
    };
    whole().or_else(short)
}

/// Hours, minutes and seconds, then what is behind them. One number is a minute.
fn time(text: &str) -> Option<([Runs; 3], &str)> {
    let (hour, rest) = match runs(text, 0, 24).and_then(|(hour, rest)| Some((hour, rest.strip_prefix(':')?))) {
        Some(found) => found,
        None => (Vec::new(), text),
    };
    let (minute, rest) = runs(rest, 0, 60)?;
    match rest.strip_prefix(':').and_then(|rest| runs(rest, 0, 60)) {
        Some((second, rest)) => Some(([hour, minute, second], rest)),
        None => Some(([hour, minute, vec![Run::one(0)]], rest)),
    }
}

/// `*`, `*/5`, or a list of `3`, `3..8`, `3/5`, `3..8/2`, all below `most`.
fn runs(text: &str, least: u32, most: u32) -> Option<(Runs, &str)> {
    let number = |text: &'_ str| -> Option<(u32, usize)> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        Some((text[..digits].parse().ok().filter(|n| *n < most)?, digits))
    };
    if let Some(rest) = text.strip_prefix('*') {
        return match rest.strip_prefix('/').and_then(|every| number(every).map(|(step, used)| (step, &every[used..]))) {
            Some((step, rest)) if step > 0 => Some((vec![Run { from: least, to: None, step }], rest)),
            _ => Some((Vec::new(), rest)),
        };
    }
    let (mut out, mut rest) = (Vec::new(), text);
    loop {
        let (from, used) = number(rest)?;
        rest = &rest[used..];
        let mut to = None;
        if let Some((end, used)) = rest.strip_prefix("..").and_then(number) {
            (to, rest) = (Some(end).filter(|end| *end >= from), &rest[2 + used..]);
            to?;
        }
        let mut step = None;
        if let Some(every) = rest.strip_prefix('/') {
            let (n, used) = number(every)?;
            (step, rest) = (Some(n), &every[used..]);
        }
        out.push(match step {
            Some(0) => Run::one(from),
            Some(step) => Run { from, to, step },
            None => Run { from, to: to.or(Some(from)), step: 1 },
        });
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Some((out, rest)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(y: i64, mo: u32, d: u32, h: u32, mi: u32) -> Stamp {
        Stamp::from_civil(y, mo, d, h, mi, 0).unwrap()
    }

    /// Times that come one after the other, from 2026-11-22 12:00, a Sunday, in UTC.
    fn come(text: &str, many: usize) -> String {
        let event = Event::parse(text).unwrap();
        let mut now = at(2026, 11, 22, 12, 0);
        let next = |_| {
            now = event.next(now, &Zone::default())?;
            Some(now.minute(0)[2..].to_owned())
        };
        (0..many).map_while(next).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn schedules_as_proxmox_writes_them() {
        for (text, expected) in [
            ("02:00", "26-11-23 02:00 | 26-11-24 02:00"),
            ("mon..fri 22:30", "26-11-23 22:30 | 26-11-24 22:30"),
            ("*/30", "26-11-22 12:30 | 26-11-22 13:00"),
            ("0/15", "26-11-22 12:15 | 26-11-22 12:30"),
            ("20", "26-11-22 12:20 | 26-11-22 13:20"),
            ("sat *-1..7 15:00", "26-12-05 15:00 | 27-01-02 15:00"),
            ("daily", "26-11-23 00:00 | 26-11-24 00:00"),
            ("mon,wed 2:15", "26-11-23 02:15 | 26-11-25 02:15"),
            ("2026-*-01 00:00", "26-12-01 00:00"),
            ("2027-02-29", ""),
            ("02-29", "28-02-29 00:00 | 32-02-29 00:00"),
            ("sun", "26-11-29 00:00 | 26-12-06 00:00"),
            ("Saturday..MON 4:00", "26-11-23 04:00 | 26-11-28 04:00"),
            ("8..17/3:0", "26-11-22 14:00 | 26-11-22 17:00"),
            ("quarterly", "27-01-01 00:00 | 27-04-01 00:00"),
            ("semi-annually", "27-01-01 00:00 | 27-07-01 00:00"),
            // No hour, and so a minute with its second: so does Proxmox read it.
            ("25:00", "26-11-22 12:25 | 26-11-22 13:25"),
            ("fri 3:00UTC", "26-11-27 03:00 | 26-12-04 03:00"),
            ("mon,fri..sat *-*-31 1:00", "27-05-31 01:00 | 27-07-31 01:00"),
        ] {
            assert_eq!(come(text, 2), expected, "{text}");
        }
        assert_eq!(Event::parse("*:3:5").unwrap().next(at(2026, 1, 1, 0, 3), &Zone::default()).unwrap().rfc3339(), "2026-01-01T00:03:05Z");
    }

    #[test]
    fn what_proxmox_refuses_is_refused() {
        for text in [
            "",
            " ",
            "UTC",
            "60:00",
            "2:60",
            "noday",
            "mon..",
            "mon,",
            "5..3:00",
            "2:00 x",
            "*-13-01",
            "*-*-32",
            "*/0",
            "1,*:00",
            ":30",
            "2:",
            "mon 02:00 daily",
            "02:00\u{1b}[2J",
        ] {
            assert!(Event::parse(text).is_err(), "{text}");
        }
        assert!(Event::parse(&format!("{}2:00", "0".repeat(LONGEST))).is_err());
    }

    #[test]
    fn a_turn_of_the_clock_leaps_over_times_or_brings_them_twice() {
        // Berlin: on 2026-03-29 02:00 became 03:00, on 2026-10-25 03:00 became 02:00.
        let berlin = Zone { base_s: 3600, turns: vec![(1_774_746_000, 7200), (1_792_890_000, 3600)] };
        let next = |text: &str, after: Stamp| Event::parse(text).unwrap().next(after, &berlin).unwrap();
        assert_eq!(next("02:30", at(2026, 3, 28, 12, 0)).rfc3339(), "2026-03-30T00:30:00Z", "not on that day");
        assert_eq!(next("03:30", at(2026, 3, 28, 12, 0)).rfc3339(), "2026-03-29T01:30:00Z");
        let once = next("02:30", at(2026, 10, 24, 12, 0));
        assert_eq!(once.rfc3339(), "2026-10-25T00:30:00Z");
        assert_eq!(next("02:30", once).rfc3339(), "2026-10-26T01:30:00Z", "once only");
        assert_eq!(next("02:30 UTC", at(2026, 3, 28, 12, 0)).rfc3339(), "2026-03-29T02:30:00Z");
        assert_eq!(berlin.soon(at(2026, 10, 24, 12, 0), once), "02:30");
        assert_eq!(berlin.soon(at(2026, 11, 22, 12, 0), at(2026, 11, 28, 14, 0)), "Sat 15:00");
        assert_eq!(berlin.soon(at(2026, 11, 22, 12, 0), at(2027, 1, 1, 0, 0)), "2027-01-01");
    }
}
