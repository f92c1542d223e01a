//! Points in time, sizes and ages as the operator reads them. Nobody here asks what time it is.

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC, as the host or this machine told them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Stamp(pub i64);

impl Stamp {
    /// The stamp of a number of whole seconds since the epoch.
    pub fn from_secs(secs: i64) -> Self {
        Stamp(secs.saturating_mul(1000))
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Calendar fields in the zone that lies `offset_s` seconds east of UTC:
    /// `(year, month 1-12, day 1-31, hour, minute, second)`.
    pub fn civil(self, offset_s: i32) -> (i64, u8, u8, u8, u8, u8) {
        let local = self.secs() + i64::from(offset_s);
        let (days, sec) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (y, m, d) = civil_of_days(days);
        (y, m, d, (sec / 3600) as u8, (sec / 60 % 60) as u8, (sec % 60) as u8)
    }

    /// RFC 3339 in UTC with whole seconds, `2026-11-21T14:32:08Z`: the form of all JSON output.
    pub fn rfc3339(self) -> String {
        let (y, mo, d, h, mi, s) = self.civil(0);
        format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}Z")
    }

    /// `HH:MM` in the zone `offset_s` seconds east of UTC.
    pub fn clock(self, offset_s: i32) -> String {
        let (_, _, _, h, m, _) = self.civil(offset_s);
        format!("{h:02}:{m:02}")
    }

    /// `2026-11-21 14:32` in the zone `offset_s` seconds east of UTC.
    pub fn second(self, offset_s: i32) -> String {
        let (y, mo, d, h, mi, s) = self.civil(offset_s);
        format!("{y}-{mo:02}-{d:02} {h:02}:{mi:02}:{s:02}")
    }

    /// The same to the minute.
    pub fn minute(self, offset_s: i32) -> String {
        let (y, mo, d, h, mi, _) = self.civil(offset_s);
        format!("{y:04}-{mo:02}-{d:02} {h:02}:{mi:02}")
    }

    /// The stamp of a civil time in UTC, `None` where a field is out of range.
    pub fn from_civil(y: i64, mo: u32, d: u32, h: u32, mi: u32, s: u32) -> Option<Self> {
        let fits = (1..=12).contains(&mo) && (1..=31).contains(&d) && h < 24 && mi < 60 && s < 61;
        fits.then(|| {
            let secs = days_of_civil(y, mo, d) * 86_400 + i64::from(h * 3600 + mi * 60 + s);
            Stamp::from_secs(secs)
        })
    }
}

/// Howard Hinnant's `civil_from_days` (<https://howardhinnant.github.io/date_algorithms.html>).
fn civil_of_days(days: i64) -> (i64, u8, u8) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u8;
    let month = if mp < 10 { mp + 3 } else { mp - 9 } as u8;
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

fn days_of_civil(y: i64, m: u32, d: u32) -> i64 {
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = i64::from((m + 9) % 12);
    let doy = (153 * mp + 2) / 5 + i64::from(d) - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// A coarse age, so that a screen need not be redrawn each second: `now`, `8 s`, `1 min`, `3 h`, `12 d`.
/// A time in the future (clocks differ) is shown as `now` up to a minute and as `clock?` beyond.
pub fn age(now: Stamp, then: Stamp) -> String {
    let secs = now.secs() - then.secs();
    match secs {
        i64::MIN..=-61 => "clock?".into(),
        -60..=4 => "now".into(),
        5..=59 => format!("{} s", secs / 5 * 5),
        60..=3599 => format!("{} min", secs / 60),
        3600..=172_799 => format!("{} h", secs / 3600),
        _ => format!("{} d", secs / 86_400),
    }
}

/// The same of something that happened: `just now`, `3 h ago`.
pub fn ago(now: Stamp, then: Stamp) -> String {
    match age(now, then) {
        age if age == "now" => "just now".into(),
        age => format!("{age} ago"),
    }
}

/// A length of time in seconds: `8 s`, `2 min`, `3 h 20 min`, `12 d`.
pub fn span(secs: u64) -> String {
    match secs {
        0..=59 => format!("{secs} s"),
        60..=3599 => format!("{} min", secs / 60),
        3600..=86_399 => format!("{} h {} min", secs / 3600, secs / 60 % 60),
        _ => format!("{} d", secs / 86_400),
    }
}

/// Bytes in binary units with at most one decimal: `0 B`, `512 KiB`, `2.1 GiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 10.0 { format!("{value:.0} {}", UNITS[unit]) } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn civil_times_go_both_ways() {
        let s = Stamp::from_civil(2026, 11, 21, 14, 32, 8).map(Stamp::rfc3339);
        assert_eq!(s.as_deref(), Some("2026-11-21T14:32:08Z"));
        for secs in [0, 951_782_400, 1_709_164_800, -1, 4_102_444_799] {
            let (y, mo, d, h, mi, s) = Stamp::from_secs(secs).civil(0);
            let back = Stamp::from_civil(y, mo.into(), d.into(), h.into(), mi.into(), s.into());
            assert_eq!(back, Some(Stamp::from_secs(secs)));
        }
        assert_eq!(Stamp::from_civil(2026, 13, 1, 0, 0, 0), None);
    }

    #[test]
    fn ages_are_coarse_and_never_negative() {
        let now = Stamp::from_secs(1_000_000);
        let ago = |s: i64| age(now, Stamp::from_secs(1_000_000 - s));
        assert_eq!([ago(0), ago(8), ago(61), ago(7200), ago(864_000)], ["now", "5 s", "1 min", "2 h", "10 d"]);
        assert_eq!(ago(-3600), "clock?");
    }

    #[test]
    fn sizes_in_binary_units() {
        assert_eq!([bytes(0), bytes(2_147_483_648), bytes(1023), bytes(26_214_400)], ["0 B", "2.0 GiB", "1.0 KiB", "25 MiB"]);
    }
}
