//! Certificates: what one says of itself, for whom it is good, and how long it still is.
//!
//! ```text
//! der.rs         reads one
//! inventory.rs   all that there are, and what is wrong with each
//! ```
//!
//! Nothing here decides whether one is believed: that needs authorities, and belongs to whoever asks.

use std::net::IpAddr;

use super::clean::clean;
use super::credential::Fingerprint;
use super::settings::Settings;
use super::stamp::Stamp;

mod der;
mod inventory;

pub use der::{Parts, fingerprint, parts, read};
pub use inventory::{Belief, Inventory, Item, KeyState, Renewal, Whose};

const DAY_S: i64 = 86_400;

/// What a certificate says of itself. Texts are as they came: clean them before they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its SHA-256.
    pub fingerprint: Fingerprint,
    /// Whom it is for: the common name, else the whole subject.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Valid from.
    pub not_before: Stamp,
    /// Valid until.
    pub not_after: Stamp,
    /// Host names and IP addresses it is for.
    pub names: Vec<String>,
}

impl Certificate {
    /// Whole days until it expires; negative where it has.
    pub fn days_left(&self, now: Stamp) -> i64 {
        (self.not_after.secs() - now.secs()).div_euclid(DAY_S)
    }

    /// How long it is good for from its first to its last moment, seconds.
    pub fn lifetime_s(&self) -> i64 {
        self.not_after.secs().saturating_sub(self.not_before.secs()).max(0)
    }

    /// How long it is still good, for people: `21 d`, `11 h`, `5 min`, `expired 3 d ago`.
    pub fn left(&self, now: Stamp) -> String {
        let left = self.not_after.secs().saturating_sub(now.secs());
        let long = match left.abs() {
            s if s >= 2 * DAY_S => format!("{} d", s / DAY_S),
            s if s >= 3600 => format!("{} h", s / 3600),
            s => format!("{} min", s / 60),
        };
        if left < 0 { format!("expired {long} ago") } else { long }
    }

    /// Whether it is for this name or address: one of its alternative names is it, or has `*` for the first part of it (RFC 6125,
    /// 6.4.3). The common name is no name of a host; nobody who visits takes it for one any more.
    pub fn covers(&self, name: &str) -> bool {
        if let Ok(address) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
            return self.names.iter().any(|n| n.parse() == Ok(address));
        }
        let plain = |n: &str| n.trim_end_matches('.').to_ascii_lowercase();
        let name = plain(name);
        self.names.iter().map(|n| plain(n)).any(|n| match n.strip_prefix("*.") {
            Some(rest) => name.split_once('.').is_some_and(|(first, above)| !first.is_empty() && above == rest),
            None => n == name,
        })
    }

    /// The first names that it is for, clean and none longer than a line, and how many more there are; nothing where it has none. Who
    /// made it may have written anything.
    pub fn names_told(&self, most: usize) -> Option<String> {
        let first: Vec<String> = self.names.iter().take(most).map(|n| shortened(n)).collect();
        let more = self.names.len().saturating_sub(most);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!first.is_empty()).then(|| format!("{}{more}", first.join(", ")))
    }

    /// Whom it is for and who signed it, clean and short.
    pub fn subject_told(&self) -> String {
        let subject = if self.subject.is_empty() { "(no subject)".to_owned() } else { shortened(&self.subject) };
        format!("{subject}, signed by {}", shortened(&self.issuer))
    }

    /// How it stands. `due_s`: so long before its end whoever renews it does so.
    pub fn age(&self, now: Stamp, due_s: i64, thresholds: Thresholds) -> Age {
        let left = self.not_after.secs().saturating_sub(now.secs());
        match () {
            () if now < self.not_before => Age::NotYet,
            () if left < 0 => Age::Over,
            () if left < thresholds.bad_s.min(due_s * 3 / 8) => Age::Urgent,
            () if left < thresholds.warn_s.min(due_s * 3 / 4) => Age::Soon,
            () => Age::Good,
        }
    }

    /// When Caddy and ACME clients renew: with a third of its lifetime left (certmagic, `DefaultRenewalWindowRatio`). Also what is
    /// asked of one that nobody renews by himself.
    pub fn third_s(&self) -> i64 {
        self.lifetime_s() / 3
    }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 120;
    let cut = text.chars().count() > MOST;
    clean(&format!("{}{}", text.chars().take(MOST).collect::<String>(), if cut { "…" } else { "" }))
}

/// From when on it is said that a certificate ends, seconds before it does. What is renewed by itself is left alone until a quarter
/// of the time in which that was to be done is over: a certificate of Caddy's own authority lives for twelve hours, and one
/// by ACME for less and less; by days alone they would always be about to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// It is to be looked at.
    pub warn_s: i64,
    /// It is urgent.
    pub bad_s: i64,
}

impl Thresholds {
    /// By the settings; fails with why they cannot be used.
    pub fn of(settings: &Settings) -> Result<Thresholds, String> {
        let span = |name: &str| settings.span(name).map(|s| i64::try_from(s).unwrap_or(i64::MAX));
        Ok(Thresholds { warn_s: span("system.cert_warn")?, bad_s: span("system.cert_bad")? })
    }
}

/// How a certificate stands by its dates, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// It is over.
    Over,
    /// It is not valid yet.
    NotYet,
    /// It will be over very soon.
    Urgent,
    /// It will be over soon.
    Soon,
    /// It is good for a while.
    Good,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn of(days: i64, names: &[&str]) -> Certificate {
        Certificate {
            fingerprint: Fingerprint([0; 32]),
            subject: "x".into(),
            issuer: "x".into(),
            not_before: Stamp(0),
            not_after: Stamp::from_secs(days * DAY),
            names: names.iter().map(|n| (*n).to_owned()).collect(),
        }
    }

    #[test]
    fn names_are_those_that_visitors_compare() {
        let c = of(1, &["Cloud.example.org", "*.apps.example.org", "10.0.0.1", "fd00::1"]);
        for yes in ["cloud.example.org", "CLOUD.example.org.", "a.apps.example.org", "10.0.0.1", "[fd00:0::1]"] {
            assert!(c.covers(yes), "{yes}");
        }
        for no in ["example.org", "apps.example.org", "a.b.apps.example.org", ".apps.example.org", "10.0.0.2", "x", ""] {
            assert!(!c.covers(no), "{no}");
        }
        assert!(!of(1, &[]).covers("x"), "a common name is none");
        assert!(!of(1, &["*"]).covers("x"));
        assert_eq!(of(1, &["a", "\u{1b}[2J", "c"]).names_told(2).unwrap(), "a, \u{241b}[2J and 1 more");
        assert_eq!(of(1, &[]).names_told(2), None);
        assert_eq!(of(1, &[&"x".repeat(5000)]).names_told(2).unwrap().chars().count(), 121);
    }

    #[test]
    fn what_lives_for_hours_is_not_always_about_to_end() {
        let thresholds = Thresholds::of(&Settings::default()).unwrap();
        let at = |days: i64, left_s: i64| {
            let c = of(days, &[]);
            c.age(Stamp::from_secs(days * DAY - left_s), c.third_s(), thresholds)
        };
        for (days, left, is) in [
            (365, 22 * DAY, Age::Good),
            (365, 20 * DAY, Age::Soon),
            (365, 6 * DAY, Age::Urgent),
            (365, -1, Age::Over),
            (90, 21 * DAY, Age::Good),
            // Renewed with two days left: for a while nothing is said, then it was forgotten.
            (6, 40 * 3600, Age::Good),
            (6, 35 * 3600, Age::Soon),
            (6, 17 * 3600, Age::Urgent),
        ] {
            assert_eq!(at(days, left), is, "{days} {left}");
        }
        let half_a_day = Certificate { not_after: Stamp::from_secs(DAY / 2), ..of(1, &[]) };
        let age = |left: i64| half_a_day.age(Stamp::from_secs(DAY / 2 - left), half_a_day.third_s(), thresholds);
        assert_eq!((age(11 * 3600), age(4 * 3600), age(2 * 3600), age(3600)), (Age::Good, Age::Good, Age::Soon, Age::Urgent));
        assert_eq!(of(1, &[]).age(Stamp(-1), 0, thresholds), Age::NotYet);
        let left = |s: i64| of(100, &[]).left(Stamp::from_secs(100 * DAY - s));
        assert_eq!(
            (left(40 * DAY + 5), left(DAY), left(3599), left(-3 * DAY)),
            ("40 d".into(), "24 h".into(), "59 min".into(), "expired 3 d ago".into())
        );
    }
}
