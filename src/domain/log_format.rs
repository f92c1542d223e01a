//! Log lines in a short form for the eye: Caddy's JSON access log, the journal's JSON, syslog text.
//! The line itself stays as it came; what is not understood is shown as it is.

use std::borrow::Cow;

use serde::Deserialize;

use super::access_line::AccessLine;
use super::log_level::{self, Level};
use super::log_time;
use super::stamp::Stamp;

/// A line in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Short {
    /// `14:31:58`, where the line tells a time; of the zone asked for, or as it stands in a text.
    pub time: Option<String>,
    /// How grave it is; ordinary where it tells nothing.
    pub level: Level,
    /// The rest, not cleaned.
    pub text: String,
}

/// Bytes of a line that are read at most; the rest of a longer one is not shown in short.
const MOST: usize = 16 << 10;

#[derive(Deserialize)]
struct Caddy<'a> {
    #[serde(borrow)]
    level: Option<Cow<'a, str>>,
    ts: Option<f64>,
    #[serde(borrow)]
    logger: Option<Cow<'a, str>>,
    #[serde(borrow)]
    msg: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
    #[serde(borrow)]
    request: Option<Request<'a>>,
    duration: Option<f64>,
    size: Option<u64>,
    status: Option<u16>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    remote_ip: Option<Cow<'a, str>>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    host: Option<Cow<'a, str>>,
    #[serde(borrow)]
    uri: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Journal<'a> {
    #[serde(rename = "__REALTIME_TIMESTAMP", borrow)]
    time: Option<Cow<'a, str>>,
    #[serde(rename = "PRIORITY", borrow)]
    priority: Option<Cow<'a, str>>,
    #[serde(rename = "SYSLOG_IDENTIFIER", borrow)]
    who: Option<Cow<'a, str>>,
    #[serde(rename = "_SYSTEMD_UNIT", borrow)]
    unit: Option<Cow<'a, str>>,
    #[serde(rename = "MESSAGE")]
    message: Option<Message>,
}

/// The journal gives a message that is not UTF-8 as a list of bytes (`journalctl -o json`).
#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Text(String),
    Bytes(Vec<u8>),
}

/// A line in short; times of JSON lines are told in the zone `offset_s` seconds east of UTC.
pub fn short(line: &[u8], offset_s: i32) -> Short {
    if line.first() == Some(&b'{') && line.len() <= MOST {
        if let Some(short) = serde_json::from_slice(line).ok().and_then(|c| caddy(&c, line, offset_s)) {
            return short;
        }
        if let Some(short) = serde_json::from_slice(line).ok().and_then(|j| journal(j, offset_s)) {
            return short;
        }
    }
    let text = String::from_utf8_lossy(&line[..line.len().min(MOST)]);
    let (time, text) = syslog(&text).or_else(|| dated(&text, offset_s)).unwrap_or_else(|| (None, text.into_owned()));
    Short { time, level: log_level::of(line).unwrap_or(Level::Info), text }
}

fn caddy(c: &Caddy<'_>, line: &[u8], offset_s: i32) -> Option<Short> {
    let time = Some(clock(Stamp((c.ts? * 1000.0) as i64), offset_s));
    let level = c.level.as_deref().unwrap_or("info");
    if let (Some(r), Some(status)) = (&c.request, c.status) {
        let word = |w: &Option<Cow<'_, str>>| w.as_deref().unwrap_or("-").to_owned();
        let mut text = format!("{status} {} {} {}", word(&r.method), word(&r.uri), word(&r.host));
        // The host is what the visitor says; the port is where he came in.
        if let Some(port) = AccessLine::parse(line).and_then(|l| l.port).filter(|port| !text.ends_with(&format!(":{port}"))) {
            text.push_str(&format!(" at {port}"));
        }
        if let Some(ip) = &r.remote_ip {
            text.push_str(&format!(" from {ip}"));
        }
        if let Some(s) = c.duration {
            text.push_str(&format!(" {:.0} ms", s * 1000.0));
        }
        if let Some(size) = c.size {
            text.push_str(&format!(" {}", super::stamp::bytes(size)));
        }
        if level == "error" {
            text.push_str(&format!(" · {}", c.error.as_deref().or(c.msg.as_deref()).unwrap_or("error")));
        }
        return Some(Short { time, level: Level::of_status(status), text });
    }
    let msg = c.msg.as_deref()?;
    let grave = Level::parse(level).unwrap_or(Level::Info);
    let mut text = if grave < Level::Warn { String::new() } else { format!("{level} ") };
    if let Some(logger) = c.logger.as_deref() {
        text.push_str(&format!("{logger}: "));
    }
    text.push_str(msg);
    if let Some(error) = &c.error {
        text.push_str(&format!(" · {error}"));
    }
    Some(Short { time, level: grave, text })
}

fn journal(j: Journal<'_>, offset_s: i32) -> Option<Short> {
    let time = j.time.and_then(|t| t.parse::<i64>().ok()).map(|us| clock(Stamp(us / 1000), offset_s));
    let who = j.unit.or(j.who);
    let message = match j.message? {
        Message::Text(text) => text,
        Message::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    let level = j.priority.and_then(|p| p.parse().ok()).map_or(Level::Info, Level::of_priority);
    let word = if level < Level::Warn { String::new() } else { format!("{} ", level.word()) };
    let who = who.map(|w| format!("{}: ", w.trim_end_matches(".service"))).unwrap_or_default();
    Some(Short { time, level, text: format!("{word}{who}{message}") })
}

/// `Nov 21 14:31:58 dnsmasq[123]: query…`: the time, and the rest without month, day and process number.
fn syslog(text: &str) -> Option<(Option<String>, String)> {
    let head = text.get(..16)?;
    let stamp = head.as_bytes();
    let is = |at: usize, c: u8| stamp[at] == c;
    if !(is(3, b' ') && is(6, b' ') && is(9, b':') && is(12, b':') && is(15, b' ')) {
        return None;
    }
    let rest = text.get(16..)?;
    let rest = match rest.split_once(": ") {
        Some((who, said)) if !who.contains(char::is_whitespace) && who.starts_with("dnsmasq") => said,
        _ => rest,
    };
    Some((Some(head[7..15].to_owned()), rest.to_owned()))
}

/// `2026-11-21T14:31:58.123Z ERROR it broke`: the time, and the rest.
fn dated(text: &str, offset_s: i32) -> Option<(Option<String>, String)> {
    let bare = text.strip_prefix('[').unwrap_or(text);
    let (at, used) = log_time::dated(bare.as_bytes(), offset_s)?;
    let rest = bare.get(used..)?;
    let rest = if bare.len() < text.len() { rest.strip_prefix(']')? } else { rest };
    // A whole time, not the beginning of a longer word.
    rest.is_empty()
        .then_some("")
        .or_else(|| rest.strip_prefix([' ', '\t']))
        .map(|rest| (Some(clock(at, offset_s)), rest.trim_start().to_owned()))
}

fn clock(at: Stamp, offset_s: i32) -> String {
    let (_, _, _, h, m, s) = at.civil(offset_s);
    format!("{h:02}:{m:02}:{s:02}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn caddy_lines() {
        let line = br#"{"level":"error","ts":1795271519.25,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"10.20.0.9","remote_port":"51","client_ip":"10.20.0.9","proto":"HTTP/2.0","method":"GET","host":"nextcloud.prox.local","uri":"/apps/dashboard","headers":{"A":["b"]}},"bytes_read":0,"user_id":"","duration":0.0123,"size":2048,"status":502}"#;
        let s = short(line, 0);
        assert_eq!(s.text, "502 GET /apps/dashboard nextcloud.prox.local from 10.20.0.9 12 ms 2.0 KiB · handled request");
        assert_eq!((s.time.as_deref(), s.level), (Some("14:31:59"), Level::Error));
        let named = String::from_utf8_lossy(line).replace("\"logger\"", "\"port-30017\"");
        assert!(short(named.as_bytes(), 0).text.starts_with("502 GET /apps/dashboard nextcloud.prox.local at 30017 from 10.20.0.9 12 ms"));
        let said = named.replace("prox.local", "prox.local:30017");
        assert!(short(said.as_bytes(), 0).text.starts_with("502 GET /apps/dashboard nextcloud.prox.local:30017 from"), "not twice");
        let s = short(br#"{"level":"warn","ts":0,"logger":"tls","msg":"stapling \u001b[2J","error":"no"}"#, 3600);
        assert_eq!((s.time.as_deref(), s.text.as_str()), (Some("01:00:00"), "warn tls: stapling \u{1b}[2J · no"));
    }

    #[test]
    fn journal_lines() {
        let s = short(br#"{"__REALTIME_TIMESTAMP":"1795271518000000","PRIORITY":"3","SYSLOG_IDENTIFIER":"pvedaemon","_SYSTEMD_UNIT":"pvedaemon.service","MESSAGE":"no such CT"}"#, 0);
        assert_eq!((s.time.as_deref(), s.text.as_str(), s.level), (Some("14:31:58"), "error pvedaemon: no such CT", Level::Error));
        assert_eq!(short(br#"{"MESSAGE":[104,105,255]}"#, 0).text, "hi\u{fffd}");
    }

    #[test]
    fn syslog_lines_and_anything() {
        let s = short(b"Nov 21 14:31:58 dnsmasq[88]: query[A] x from 10.0.0.1", 0);
        assert_eq!((s.time.as_deref(), s.text.as_str()), (Some("14:31:58"), "query[A] x from 10.0.0.1"));
        for (line, time, text) in [
            ("2026-11-21T14:31:58.123Z ERROR it broke", "14:31:58", "ERROR it broke"),
            ("2026-11-21 15:31:58,9\tx", "15:31:58", "x"),
            ("2026-11-21T15:31:58+01:00 x", "14:31:58", "x"),
            ("[2026-11-21 15:31:58] x", "15:31:58", "x"),
        ] {
            let s = short(line.as_bytes(), 0);
            assert_eq!((s.time.as_deref(), s.text.as_str()), (Some(time), text), "{line}");
        }
        for odd in ["2026-11-21T14:31:58Zx", "[2026-11-21 15:31:58 x", "2026-11-21"] {
            assert_eq!(short(odd.as_bytes(), 0), Short { time: None, level: Level::Info, text: odd.into() });
        }
        for odd in [&b"{"[..], b"", b"\xff\xfe", b"{\"ts\":1}", "äöüäöüäöüäöüäöüäöü".as_bytes(), b"{\"MESSAGE\":null}"] {
            assert_eq!(short(odd, 0).text, String::from_utf8_lossy(odd));
        }
    }
}
