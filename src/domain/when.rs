//! Points in time as an operator types them: `10m`, `2h ago`, `14:30`, `yesterday`, `2026-11-21 14:30`.

use super::stamp::Stamp;

/// Where a time is read: the clock and the local zone of the host, seconds east of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Here {
    /// Now.
    pub now: Stamp,
    /// The zone of times that name none.
    pub offset_s: i32,
}

/// Reads a point in time. Lengths count back from now; a clock time alone is the last one that has been.
/// The error says what can be given.
pub fn parse(text: &str, here: Here) -> Result<Stamp, String> {
    let text = text.trim();
    let midnight =
        |days: i64| Stamp((here.now.secs() + i64::from(here.offset_s)).div_euclid(86_400) * 86_400_000 - days * 86_400_000 - zone_ms(here));
    let found = match text {
        "now" => Some(here.now),
        "today" => Some(midnight(0)),
        "yesterday" => Some(midnight(1)),
        _ => back(text)
            .map(|secs| Stamp(here.now.0.saturating_sub(secs.saturating_mul(1000))))
            .or_else(|| epoch(text))
            .or_else(|| civil(text, here)),
    };
    found.ok_or_else(|| {
        format!("'{}' is no time; give 10m, 2h, 3d, 14:30, yesterday, 2026-11-21 or '2026-11-21 14:30'", super::clean::clean(text))
    })
}

fn zone_ms(here: Here) -> i64 {
    i64::from(here.offset_s) * 1000
}

/// `90s`, `10 min`, `1h30m`, `-2d`, `3 h ago`, in seconds.
fn back(text: &str) -> Option<i64> {
    let text = text.strip_prefix('-').unwrap_or(text);
    let mut rest = text.strip_suffix("ago").unwrap_or(text).trim_end();
    let mut total = 0i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 3600,
            "d" | "day" | "days" => 86_400,
            "w" | "week" | "weeks" => 7 * 86_400,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = rest[letters..].trim_start();
    }
    (!text.is_empty()).then_some(total)
}

fn epoch(text: &str) -> Option<Stamp> {
    text.strip_prefix('@')?.parse().ok().map(Stamp::from_secs)
}

/// `2026-11-21`, with a time behind a blank or `T`, with a zone or without; or a time alone.
fn civil(text: &str, here: Here) -> Option<Stamp> {
    if let Some((stamp, used)) = super::log_time::dated(text.as_bytes(), here.offset_s) {
        return (used == text.len()).then_some(stamp);
    }
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (Some(date), time),
        None if text.contains('-') => (Some(text), "00:00"),
        None => (None, text),
    };
    let mut parts = time.split(':').map(|p| p.parse::<u32>().ok().filter(|_| (1..=2).contains(&p.len())));
    let (h, m, s) = (parts.next()??, parts.next()??, parts.next().map_or(Some(0), |s| s)?);
    if parts.next().is_some() {
        return None;
    }
    let (y, mo, d, _, _, _) = here.now.civil(here.offset_s);
    let (y, mo, d) = match date {
        Some(date) => {
            let mut parts = date.split('-').map(|p| p.parse::<u32>().ok());
            let found = (i64::from(parts.next()??), parts.next()??, parts.next()??);
            if parts.next().is_some() {
                return None;
            }
            found
        }
        None => (y, mo.into(), d.into()),
    };
    let stamp = Stamp(Stamp::from_civil(y, mo, d, h, m, s)?.0 - zone_ms(here));
    Some(if date.is_none() && stamp > here.now { Stamp(stamp.0 - 86_400_000) } else { stamp })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HOUR: i32 = 3600;

    /// 2026-11-21 14:32:08 in a zone one hour east.
    fn here() -> Here {
        Here { now: Stamp(Stamp::from_civil(2026, 11, 21, 13, 32, 8).unwrap().0), offset_s: HOUR }
    }

    fn at(text: &str) -> String {
        parse(text, here()).unwrap().rfc3339()
    }

    #[test]
    fn lengths_count_back() {
        for (text, expected) in [
            ("90s", "2026-11-21T13:30:38Z"),
            ("10m", "2026-11-21T13:22:08Z"),
            ("-10 min", "2026-11-21T13:22:08Z"),
            ("1h30m", "2026-11-21T12:02:08Z"),
            ("2 days ago", "2026-11-19T13:32:08Z"),
            ("1w", "2026-11-14T13:32:08Z"),
            ("now", "2026-11-21T13:32:08Z"),
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
    }

    #[test]
    fn days_and_clock_times_are_local() {
        for (text, expected) in [
            ("today", "2026-11-20T23:00:00Z"),
            ("yesterday", "2026-11-19T23:00:00Z"),
            ("14:30", "2026-11-21T13:30:00Z"),
            ("14:33", "2026-11-20T13:33:00Z"),
            ("9:05:07", "2026-11-21T08:05:07Z"),
            ("2026-11-20", "2026-11-19T23:00:00Z"),
            ("2026-11-20 08:15", "2026-11-20T07:15:00Z"),
            ("2026-11-20T08:15:30", "2026-11-20T07:15:30Z"),
            ("2026-11-20T08:15:30Z", "2026-11-20T08:15:30Z"),
            ("2026-11-20T08:15:30+02:00", "2026-11-20T06:15:30Z"),
            ("@1795271528", "2026-11-21T14:32:08Z"),
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "-",
            "10",
            "10x",
            "ten",
            "25:00",
            "12:60",
            "2026-13-01",
            "2026-11-20T08:15:30junk",
            "1:2:3:4",
            "99999999999999999999d",
            "@",
            "m",
            "-1",
            "2026-11",
            "x-y-z",
            "7d\u{1b}[2J",
            "7ä",
        ] {
            assert!(parse(text, here()).is_err(), "{text}");
        }
    }
}
