//! How grave a log line is, as far as it tells: the level of JSON and of the journal, the status of a request, a level's
//! word where loggers put it. A line that tells none counts as ordinary.

use std::sync::LazyLock;

use regex::bytes::Regex;
use serde::Deserialize;
use serde_json::value::RawValue;

/// How grave a line is, in syslog's order turned round: what is graver is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For developers.
    Debug,
    /// Ordinary.
    Info,
    /// Ordinary but worth a look.
    Notice,
    /// A warning, a request the client got wrong.
    Warn,
    /// An error, a request we got wrong.
    Error,
    /// Critical and beyond.
    Critical,
}

impl Level {
    /// All, from the least grave on.
    pub const ALL: [Level; 6] = [Level::Debug, Level::Info, Level::Notice, Level::Warn, Level::Error, Level::Critical];

    /// Its name, as the command line takes it.
    pub fn word(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Notice => "notice",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Critical => "critical",
        }
    }

    /// The next bound for what is shown: no bound, then from notice on, since everything is at least debug and what tells
    /// no level counts as info.
    pub fn bound(now: Option<Level>, graver: bool) -> Option<Level> {
        let at = now.and_then(|level| Level::ALL.iter().position(|l| *l == level));
        match (at, graver) {
            (None, true) => Some(Level::Notice),
            (None, false) => None,
            (Some(at), true) => Level::ALL.get(at + 1).copied().or(now),
            (Some(at), false) => Level::ALL.get(at.saturating_sub(1)).copied().filter(|l| *l > Level::Info),
        }
    }

    /// A level by any name that loggers give it.
    pub fn parse(word: &str) -> Option<Level> {
        Some(match word.to_ascii_lowercase().as_str() {
            "debug" | "trace" | "dbg" => Level::Debug,
            "info" | "information" | "log" => Level::Info,
            "notice" => Level::Notice,
            "warn" | "warning" | "wrn" => Level::Warn,
            "error" | "err" | "severe" => Level::Error,
            "critical" | "crit" | "fatal" | "panic" | "alert" | "emerg" | "emergency" | "dpanic" => Level::Critical,
            _ => return None,
        })
    }

    /// Of an HTTP status.
    pub fn of_status(status: u16) -> Level {
        match status {
            500.. => Level::Error,
            400.. => Level::Warn,
            _ => Level::Info,
        }
    }

    /// syslog(3)'s number of it, for `journalctl --priority`.
    pub fn priority(self) -> u8 {
        match self {
            Level::Debug => 7,
            Level::Info => 6,
            Level::Notice => 5,
            Level::Warn => 4,
            Level::Error => 3,
            Level::Critical => 2,
        }
    }

    /// Of syslog(3)'s number.
    pub fn of_priority(number: u8) -> Level {
        match number {
            0..=2 => Level::Critical,
            3 => Level::Error,
            4 => Level::Warn,
            5 => Level::Notice,
            6 => Level::Info,
            _ => Level::Debug,
        }
    }
}

/// Bytes of a JSON line that are read at most, and of any other.
const MOST_JSON: usize = 16 << 10;
const MOST: usize = 160;

/// The level a line tells; `None` where it tells none.
pub fn of(line: &[u8]) -> Option<Level> {
    if line.first() == Some(&b'{') && line.len() <= MOST_JSON {
        return json(line);
    }
    let head = &line[..line.len().min(MOST)];
    word(head).max(request(line))
}

/// Where in a text of many lines something stands that could make its line notice or graver: every such line holds it, and
/// some others do. `None` where there is none.
pub fn may_be_grave(text: &[u8]) -> Option<usize> {
    static SIGNS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let words = r"(?i-u:notice|wa?rn|err|severe|crit|fatal|panic|alert|emerg)";
        let request = r#"HTTP/[^"\n]*"[^\n][45]"#;
        let priority = r#""PRIORITY"\s*:\s*"?\+?[0-5]"#;
        let number = r#""(?:level|severity)"\s*:\s*"?\+?[0-9]"#;
        let status = r#""status"\s*:\s*"?\+?(?:[04-9]|[0-9]{4})"#;
        Regex::new(&format!("(?-u){words}|{request}|{priority}|{number}|{status}")).ok()
    });
    // Without the expression every line could.
    SIGNS.as_ref().map_or((!text.is_empty()).then_some(0), |signs| signs.find(text).map(|m| m.start()))
}

#[derive(Deserialize)]
struct Levels<'a> {
    #[serde(rename = "PRIORITY", borrow)]
    priority: Option<&'a RawValue>,
    #[serde(borrow)]
    level: Option<&'a RawValue>,
    #[serde(borrow)]
    severity: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

fn json(line: &[u8]) -> Option<Level> {
    let l: Levels<'_> = serde_json::from_slice(line).ok()?;
    let text = |raw: &'_ RawValue| raw.get().trim_matches('"').to_owned();
    if let Some(number) = l.priority.and_then(|p| text(p).parse().ok()) {
        return Some(Level::of_priority(number));
    }
    let named = l.level.or(l.severity).and_then(|raw| {
        let text = text(raw);
        // Numbers are those of bunyan and pino: 10 trace to 60 fatal.
        Level::parse(&text).or_else(|| match text.parse::<u16>().ok()? {
            0..=29 => Some(Level::Debug),
            30..=39 => Some(Level::Info),
            40..=49 => Some(Level::Warn),
            50..=59 => Some(Level::Error),
            _ => Some(Level::Critical),
        })
    });
    // A request that failed is grave, whatever the server thinks of it.
    named.max(l.status.and_then(|s| text(s).parse().ok()).map(Level::of_status))
}

/// The first word that is a level and stands as loggers put it: in capitals, in brackets, behind `level=`, before a colon.
fn word(head: &[u8]) -> Option<Level> {
    let mut at = 0;
    while at < head.len() {
        let length = head[at..].iter().take_while(|b| b.is_ascii_alphabetic()).count();
        if length == 0 {
            at += 1;
            continue;
        }
        let (before, word, after) = (&head[..at], &head[at..at + length], head.get(at + length));
        at += length;
        if !(3..=11).contains(&length) {
            continue;
        }
        let Some(level) = std::str::from_utf8(word).ok().and_then(Level::parse) else { continue };
        let bracketed = matches!(before.last(), Some(b'[' | b'<' | b'(')) && matches!(after, Some(b']' | b'>' | b')'));
        let keyed = before.ends_with(b"level=") || before.ends_with(b"lvl=") || before.ends_with(b"level=\"");
        let apart = before.last().is_none_or(|b| !b.is_ascii_alphanumeric() && !matches!(b, b'/' | b'-' | b'_' | b'.'));
        let capitals = word.iter().all(u8::is_ascii_uppercase)
            && apart
            && after.is_none_or(|b| !b.is_ascii_alphanumeric() && !matches!(b, b'/' | b'-' | b'_'));
        if bracketed || keyed || capitals || (apart && after == Some(&b':')) {
            return Some(level);
        }
    }
    None
}

/// The status of an access log's line: behind the request in quotes.
fn request(line: &[u8]) -> Option<Level> {
    let at = memchr::memmem::find(line, b"HTTP/")?;
    let rest = line.get(at..)?;
    let status = rest.get(memchr::memchr(b'"', rest)? + 2..)?.get(..3)?;
    std::str::from_utf8(status).ok()?.parse().ok().filter(|s| (100..600).contains(s)).map(Level::of_status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loggers_write() {
        for (line, level) in [
            (r#"{"level":"error","ts":1,"msg":"x"}"#, Some(Level::Error)),
            (r#"{"level":"info","status":502,"request":{"uri":"/"}}"#, Some(Level::Error)),
            (r#"{"level":"info","status":404}"#, Some(Level::Warn)),
            (r#"{"PRIORITY":"4","MESSAGE":"ERROR"}"#, Some(Level::Warn)),
            (r#"{"level":50,"msg":"pino"}"#, Some(Level::Error)),
            (r#"{"msg":"level error"}"#, None),
            ("2026-11-21 14:31:59 ERROR [main] it broke", Some(Level::Error)),
            ("2026/11/21 14:31:59.1\tWARN\tadmin", Some(Level::Warn)),
            ("time=x level=warning msg=\"y\"", Some(Level::Warn)),
            ("[error] 12#12: open() failed", Some(Level::Error)),
            ("INFO: starting new backup job", Some(Level::Info)),
            ("ERROR: Backup of VM 101 failed", Some(Level::Error)),
            ("nginx: fatal: no", Some(Level::Critical)),
            (r#"1.2.3.4 - - [21/Nov/2026:14:31:59 +0000] "GET /error HTTP/1.1" 503 5"#, Some(Level::Error)),
            (r#"1.2.3.4 - - [21/Nov/2026:14:31:59 +0000] "GET /x HTTP/1.1" 200 5"#, Some(Level::Info)),
            ("query[A] error.example from 10.0.0.1", None),
            ("the log says nothing", None),
            ("/var/log/ERROR-reports/x", None),
            ("", None),
        ] {
            assert_eq!(of(line.as_bytes()), level, "{line}");
        }
        assert!(Level::Critical > Level::Warn && Level::ALL.is_sorted());
        for level in Level::ALL {
            assert_eq!((Level::parse(level.word()), Level::of_priority(level.priority())), (Some(level), level));
        }
    }

    /// No line so grave may be passed over by the quick look.
    fn compare(line: &str) {
        assert!(of(line.as_bytes()).is_none_or(|l| l < Level::Notice) || may_be_grave(line.as_bytes()).is_some(), "{line}");
    }

    #[test]
    fn every_grave_line_has_a_sign() {
        for line in [
            r#"{"level":"error"}"#,
            r#"{"status" : "502"}"#,
            r#"{"status":1000}"#,
            r#"{"PRIORITY":"03"}"#,
            r#"{"severity": 50}"#,
            "x WRN y",
            "[Alert] x",
            r#"1 - - [] "GET / HTTP/1.1" 404 5"#,
        ] {
            assert!(of(line.as_bytes()).is_some_and(|l| l >= Level::Notice), "{line}");
            compare(line);
        }
        assert_eq!(may_be_grave(b"INFO all is well\n{\"level\":\"info\",\"status\":200}\nGET / HTTP/1.1\" 200"), None);
    }

    const PARTS: [&str; 22] = [
        "{",
        "}",
        "\"",
        ":",
        ",",
        " ",
        "level",
        "status",
        "PRIORITY",
        "severity",
        "HTTP/",
        "5",
        "4",
        "0",
        "40",
        "\"level\":",
        "\"status\":",
        "error",
        "NOTICE",
        "[crit]",
        "level=warn",
        "Emerg:",
    ];

    proptest::proptest! {
        #[test]
        fn any_grave_line_has_a_sign(parts in proptest::collection::vec(0usize..PARTS.len(), 1..12)) {
            compare(&parts.iter().map(|n| PARTS[*n]).collect::<String>());
        }

        #[test]
        fn no_bytes_break_it(line: Vec<u8>) {
            let _ = of(&line);
        }
    }
}
