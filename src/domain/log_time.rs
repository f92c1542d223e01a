//! When a log line was written, as far as it tells: JSON of Caddy, the journal and others, RFC 3339 and its
//! relatives, syslog without year and zone, the bracketed time of access logs.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::stamp::Stamp;
use super::when::Here;

/// Bytes of a line that are looked at for a time that does not stand at its beginning.
const MOST: usize = 16 << 10;

/// The time a line tells; `None` where it tells none.
pub fn of(line: &[u8], here: Here) -> Option<Stamp> {
    let line = line.trim_ascii_start();
    if line.first() == Some(&b'{') {
        return (line.len() <= MOST).then(|| json(line, here)).flatten();
    }
    let bare = line.strip_prefix(b"[").unwrap_or(line);
    if let Some((stamp, _)) = dated(bare, here.offset_s) {
        return Some(stamp);
    }
    syslog(line, here).or_else(|| access(line))
}

#[derive(Deserialize)]
struct Times<'a> {
    #[serde(rename = "__REALTIME_TIMESTAMP", borrow)]
    journal: Option<&'a RawValue>,
    #[serde(borrow)]
    ts: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(rename = "@timestamp", borrow)]
    at_timestamp: Option<&'a RawValue>,
}

fn json(line: &[u8], here: Here) -> Option<Stamp> {
    let t: Times<'_> = serde_json::from_slice(line).ok()?;
    let raw = t.journal.or(t.ts).or(t.time).or(t.timestamp).or(t.at_timestamp)?.get();
    let text: Cow<'_, str> = if raw.starts_with('"') { serde_json::from_str::<String>(raw).ok()?.into() } else { raw.into() };
    number(&text).or_else(|| dated(text.as_bytes(), here.offset_s).map(|(stamp, _)| stamp))
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told by their size: good from 1973 to 5138.
fn number(text: &str) -> Option<Stamp> {
    let value: f64 = text.parse().ok().filter(|v: &f64| v.is_finite() && *v >= 1e8)?;
    let ms = match value {
        ..1e11 => value * 1e3,
        ..1e14 => value,
        ..1e17 => value / 1e3,
        _ => value / 1e6,
    };
    Some(Stamp(ms as i64))
}

/// `2026-11-21T14:31:58.123+01:00` and its relatives: blank for `T`, `/` for `-`, a comma before the fraction, no zone.
/// Gives the stamp and how many bytes were read.
pub(super) fn dated(line: &[u8], offset_s: i32) -> Option<(Stamp, usize)> {
    let head = line.get(..19)?;
    let part = head[4];
    let shape =
        matches!(part, b'-' | b'/') && head[7] == part && matches!(head[10], b'T' | b't' | b' ') && head[13] == b':' && head[16] == b':';
    if !shape {
        return None;
    }
    let n = |range: std::ops::Range<usize>| digits(&head[range]);
    let stamp = Stamp::from_civil(n(0..4)?.into(), n(5..7)?, n(8..10)?, n(11..13)?, n(14..16)?, n(17..19)?)?;
    let (mut ms, mut used) = (0, 19);
    if matches!(line.get(19), Some(b'.' | b',')) {
        let fraction = line[20..].iter().take_while(|b| b.is_ascii_digit()).count();
        if fraction > 0 {
            let first: Vec<u8> = line[20..20 + fraction].iter().copied().chain(*b"00").take(3).collect();
            ms = digits(&first)?;
            used = 20 + fraction;
        }
    }
    let (east, zone) = zone(&line[used..]).unwrap_or((offset_s, 0));
    Some((Stamp(stamp.0 + i64::from(ms) - i64::from(east) * 1000), used + zone))
}

/// `Z`, `+01:00`, `+0100` or ` +0100`: seconds east and bytes read.
fn zone(text: &[u8]) -> Option<(i32, usize)> {
    let blank = usize::from(text.first() == Some(&b' '));
    let text = &text[blank..];
    if blank == 0 && matches!(text.first(), Some(b'Z' | b'z')) {
        return Some((0, 1));
    }
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let colon = usize::from(text.get(3) == Some(&b':'));
    let (h, m) = (digits(text.get(1..3)?)?, digits(text.get(3 + colon..5 + colon)?)?);
    (h < 24 && m < 60).then(|| (sign * (h * 3600 + m * 60) as i32, blank + 5 + colon))
}

/// `Nov 21 14:31:58`: of the year in which it lies nearest to now, but not more than a day ahead.
fn syslog(line: &[u8], here: Here) -> Option<Stamp> {
    let head = line.get(..15)?;
    if !(head[3] == b' ' && head[6] == b' ' && head[9] == b':' && head[12] == b':') {
        return None;
    }
    let mo = month(&head[..3])?;
    let d = digits(head[4..6].trim_ascii_start())?;
    let (h, mi, s) = (digits(&head[7..9])?, digits(&head[10..12])?, digits(&head[13..15])?);
    let (year, ..) = here.now.civil(here.offset_s);
    let of_year = |y: i64| Stamp::from_civil(y, mo, d, h, mi, s).map(|t| Stamp(t.0 - i64::from(here.offset_s) * 1000));
    let ahead = Stamp(here.now.0 + 86_400_000);
    [year + 1, year, year - 1].into_iter().filter_map(of_year).find(|t| *t <= ahead)
}

/// `10.0.0.9 - - [21/Nov/2026:14:31:58 +0100] "GET …`.
fn access(line: &[u8]) -> Option<Stamp> {
    let at = memchr::memchr(b'[', &line[..line.len().min(512)])?;
    let t = line.get(at + 1..at + 27)?;
    if !(t[2] == b'/' && t[6] == b'/' && t[11] == b':' && t[14] == b':' && t[17] == b':') {
        return None;
    }
    let n = |range: std::ops::Range<usize>| digits(&t[range]);
    let stamp = Stamp::from_civil(n(7..11)?.into(), month(&t[3..6])?, n(0..2)?, n(12..14)?, n(15..17)?, n(18..20)?)?;
    Some(Stamp(stamp.0 - i64::from(zone(&t[20..])?.0) * 1000))
}

fn month(name: &[u8]) -> Option<u32> {
    let names = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    names.iter().position(|m| *m == name).map(|at| at as u32 + 1)
}

fn digits(text: &[u8]) -> Option<u32> {
    let fits = !text.is_empty() && text.len() <= 9 && text.iter().all(u8::is_ascii_digit);
    fits.then(|| text.iter().fold(0, |n, b| n * 10 + u32::from(b - b'0')))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn here() -> Here {
        Here { now: Stamp::from_civil(2026, 1, 2, 3, 4, 5).unwrap(), offset_s: 3600 }
    }

    #[test]
    fn every_kind_of_line_tells_its_time() {
        for (line, expected) in [
            (r#"{"level":"info","ts":1795271519.25,"msg":"x"}"#, "2026-11-21T14:31:59Z"),
            (r#"{"__REALTIME_TIMESTAMP":"1795271519250000","MESSAGE":"ts"}"#, "2026-11-21T14:31:59Z"),
            (r#"{"time":"2026-11-21T15:31:59.5+01:00","msg":"x"}"#, "2026-11-21T14:31:59Z"),
            (r#"{"@timestamp":1795271519250,"msg":"\"ts\":5"}"#, "2026-11-21T14:31:59Z"),
            ("2026-11-21T14:31:59Z started", "2026-11-21T14:31:59Z"),
            ("2026-11-21 15:31:59,123 ERROR no zone: local", "2026-11-21T14:31:59Z"),
            ("2026/11/21 15:31:59.123\tINFO\tcaddy", "2026-11-21T14:31:59Z"),
            ("[2026-11-21 15:31:59 +0100] bracketed", "2026-11-21T14:31:59Z"),
            ("Dec 31 23:59:59 host app: of last year", "2025-12-31T22:59:59Z"),
            ("Jan  2 04:04:05 host app: of this year", "2026-01-02T03:04:05Z"),
            (r#"10.0.0.9 - - [21/Nov/2026:15:31:59 +0100] "GET / HTTP/1.1" 200 5"#, "2026-11-21T14:31:59Z"),
        ] {
            assert_eq!(of(line.as_bytes(), here()).map(Stamp::rfc3339).as_deref(), Some(expected), "{line}");
        }
    }

    #[test]
    fn what_tells_none_tells_none() {
        for line in [
            "",
            "{",
            "{\"ts\":null}",
            "{\"msg\":\"2026-11-21T14:31:59Z\"}",
            "INFO: starting new backup job",
            "    at main.rs:3",
            "2026-13-21T14:31:59Z",
            "Foo 21 14:31:58 x",
            "[21/Foo/2026:15:31:59 +0100]",
            "2026-11-21",
            "{\"ts\":12}",
        ] {
            assert_eq!(of(line.as_bytes(), here()), None, "{line}");
        }
        assert_eq!(of(b"\xff\xfe\x00", here()), None);
    }

    #[test]
    fn fractions_and_zones_are_exact() {
        let ms = |text: &str| dated(text.as_bytes(), 0).map(|(t, used)| (t.0.rem_euclid(60_000), used));
        assert_eq!(ms("2026-11-21T14:31:58.5Z"), Some((58_500, 22)));
        assert_eq!(ms("2026-11-21T14:31:58.123456789+00:00 x"), Some((58_123, 35)));
        assert_eq!(ms("2026-11-21 14:31:58 -0030 x"), Some((58_000, 25)));
        assert_eq!(ms("2026-11-21 14:31:58. x"), Some((58_000, 19)));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_it(line: Vec<u8>) {
            let _ = of(&line, here());
        }

        #[test]
        fn what_is_written_is_read(secs in 0i64..4_000_000_000) {
            let stamp = Stamp::from_secs(secs);
            proptest::prop_assert_eq!(of(stamp.rfc3339().as_bytes(), here()), Some(stamp));
        }
    }
}
