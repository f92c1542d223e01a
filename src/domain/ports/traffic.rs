//! Who came to which port, counted from the end of Caddy's access log: how many, what they were answered, how fast.
//!
//! A line belongs to the port whose site wrote it ([`AccessLine`]); no word of a visitor moves it to another. What the console
//! asks itself is no visit: a question for `/` by the agent [`AGENT`] from an address that is ours. An address is not ours alone
//! where something of the host or the appliance passes visitors on, and such a visitor may call himself so; that is why those
//! that were left out are counted, too, and shown.

use std::collections::BTreeMap;
use std::net::IpAddr;

use memchr::{memchr, memmem, memrchr};

use crate::domain::access_line::AccessLine;
use crate::domain::appliance::files::NAME_KEY;
use crate::domain::stamp::Stamp;

/// Bytes of the log that are read at most, from its end.
pub const MOST: usize = 2 << 20;
/// What is counted is not older, milliseconds.
pub const HOUR_MS: i64 = 3_600_000;
/// What the console's own questions call themselves.
pub const AGENT: &str = "proximity";

/// What was read of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// Its last bytes.
    pub bytes: Vec<u8>,
    /// Nothing was written before them that is not older than all: it was never begun anew, and all of it was read.
    pub whole: bool,
}

/// What is known of one port's visitors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Visits {
    /// Nothing is published there, or what is carried is no HTTP.
    #[default]
    NotCounted,
    /// Why nobody knows.
    Unknown(String),
    /// So many.
    Counted(Traffic),
}

/// The visitors of one port, within a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From here on.
    pub since: Stamp,
    /// Until here.
    pub until: Stamp,
    /// Requests, without our own.
    pub requests: u32,
    /// Of these, answered 500 and above: by the app, or by Caddy where nothing answered behind it.
    pub failed: u32,
    /// Of these, answered 400 to 499.
    pub refused: u32,
    /// How long one took on average, microseconds; until all of it was sent.
    pub mean_us: u64,
    /// How long 95 of 100 took at most, microseconds.
    pub p95_us: u64,
    /// Bytes of all bodies that were sent.
    pub bytes: u64,
    /// When the last of them was answered.
    pub last: Option<Stamp>,
    /// What the console asked itself, and left out above.
    pub own: u32,
    /// Lines of the log that could not be read, of whichever port.
    pub unread: u32,
}

impl Traffic {
    /// Length of the time, in words: `47 min`, `20 s`.
    pub fn over(&self) -> String {
        let s = (self.until.0 - self.since.0).max(0) / 1000;
        if s < 120 { format!("{s} s") } else { format!("{} min", s / 60) }
    }
}

impl Visits {
    /// In a few words, for a table.
    pub fn words(&self) -> String {
        match self {
            Visits::NotCounted => "-".into(),
            Visits::Unknown(_) => "unknown".into(),
            Visits::Counted(Traffic { requests: 0, .. }) => "0".into(),
            Visits::Counted(t) => format!("{}, {} failed, p95 {}", t.requests, t.failed, millis(t.p95_us)),
        }
    }

    /// What was counted, where anything was.
    pub fn counted(&self) -> Option<&Traffic> {
        if let Visits::Counted(traffic) = self { Some(traffic) } else { None }
    }
}

/// Microseconds in words: `80 ms`, `<1 ms`.
pub fn millis(us: u64) -> String {
    match us {
        0 => "0 ms".into(),
        1..500 => "<1 ms".into(),
        _ => format!("{} ms", (us + 500) / 1000),
    }
}

/// Counts. `ports` are those that are wanted, each with the time before which it was somebody else's or other than now; `own`
/// are the addresses that our questions come from.
///
/// Fails with why nothing can be said, one sentence: where what was read tells no time from which on it is all.
pub fn count(log: &Log, ports: &BTreeMap<u16, Stamp>, own: &[IpAddr], now: Stamp) -> Result<BTreeMap<u16, Traffic>, String> {
    let text = if log.whole { &log.bytes[..] } else { behind_first_line(&log.bytes) };
    // What has no end yet is being written.
    let text = &text[..memrchr(b'\n', text).map_or(0, |end| end + 1)];
    let hour = Stamp(now.0 - HOUR_MS);
    let since = if log.whole {
        hour
    } else {
        // Whoever wrote it: what stands behind it is all that came since.
        let first = lines(text).find_map(|line| AccessLine::parse(line)?.at);
        first.ok_or("its log was begun anew, and nobody came since")?.max(hour)
    };
    let mut all: BTreeMap<u16, (Traffic, Vec<u64>)> = BTreeMap::new();
    for (port, from) in ports {
        let traffic = Traffic { since: since.max(*from).min(now), until: now, ..Traffic::default() };
        all.insert(*port, (traffic, Vec::new()));
    }
    let quoted = format!("\"{NAME_KEY}");
    let ours = memmem::Finder::new(&quoted);
    let mut unread = 0;
    for line in lines(text).filter(|line| ours.find(line).is_some()) {
        let Some(line) = AccessLine::parse(line) else {
            unread += 1;
            continue;
        };
        let Some((traffic, took)) = line.port.and_then(|port| all.get_mut(&port)) else { continue };
        let Some(at) = line.at.filter(|at| (traffic.since..=now).contains(at)) else { continue };
        if is_own(&line, own) {
            traffic.own += 1;
            continue;
        }
        traffic.requests += 1;
        match line.status {
            500.. => traffic.failed += 1,
            400..=499 => traffic.refused += 1,
            _ => {}
        }
        traffic.bytes += line.size;
        traffic.last = traffic.last.max(Some(at));
        took.push(line.took_us);
    }
    let told = |(port, (traffic, took)): (u16, (Traffic, Vec<u64>))| {
        let (mean_us, p95_us) = mean_and_p95(took);
        (port, Traffic { mean_us, p95_us, unread, ..traffic })
    };
    Ok(all.into_iter().map(told).collect())
}

/// Whether the console asked that itself.
fn is_own(line: &AccessLine<'_>, own: &[IpAddr]) -> bool {
    let ours = |ip: IpAddr| ip.is_loopback() || own.contains(&ip);
    line.agent == AGENT && line.uri == "/" && matches!(&*line.method, "HEAD" | "GET") && line.from.is_some_and(ours)
}

fn behind_first_line(bytes: &[u8]) -> &[u8] {
    memchr(b'\n', bytes).map_or(&[], |end| &bytes[end + 1..])
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = memchr(b'\n', rest)?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        Some(line)
    })
}

/// By the nearest rank: at least 95 of 100 are not above it.
fn mean_and_p95(mut took: Vec<u64>) -> (u64, u64) {
    if took.is_empty() {
        return (0, 0);
    }
    let mean = took.iter().sum::<u64>() / took.len() as u64;
    let at = (took.len() * 95).div_ceil(100) - 1;
    let (_, p95, _) = took.select_nth_unstable(at);
    (mean, *p95)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: Stamp = Stamp(1_795_336_500_000);
    const HOST: [u8; 4] = [192, 168, 1, 10];

    /// A line as Caddy 2.6 writes it: `ago` in seconds.
    fn line(port: u16, ago: i64, status: u16, ms: u64, from: &str, agent: &str) -> String {
        let at = (NOW.0 - ago * 1000) as f64 / 1000.0;
        let request = json!({"remote_ip": from, "remote_port": "1", "proto": "HTTP/1.1", "method": "GET", "host": "forged:30018",
            "uri": "/", "headers": {"User-Agent": [agent], "Authorization": []}});
        let name = format!("port-{port}");
        json!({"level": "info", "ts": at, name: "http.log.access.log0", "msg": "handled request", "request": request, "user_id": "",
            "duration": ms as f64 / 1000.0, "size": 100, "status": status, "resp_headers": {}})
        .to_string()
            + "\n"
    }

    fn since(ports: &[u16]) -> BTreeMap<u16, Stamp> {
        ports.iter().map(|p| (*p, Stamp(0))).collect()
    }

    fn counted(bytes: impl Into<Vec<u8>>, whole: bool) -> BTreeMap<u16, Traffic> {
        count(&Log { bytes: bytes.into(), whole }, &since(&[30_017, 30_018]), &[HOST.into()], NOW).unwrap()
    }

    #[test]
    fn requests_are_counted_where_they_came_in() {
        let mut log = String::new();
        for (n, status) in [200, 302, 404, 403, 502, 500].into_iter().enumerate() {
            log += &line(30_017, 600 - n as i64, status, 10 * (n as u64 + 1), "10.0.0.9", "curl");
        }
        let all = counted(log, true);
        let (told, other) = (&all[&30_017], &all[&30_018]);
        assert_eq!((told.requests, told.failed, told.refused, told.bytes), (6, 2, 2, 600));
        assert_eq!((told.mean_us, told.p95_us, told.last), (35_000, 60_000, Some(Stamp(NOW.0 - 595_000))));
        assert_eq!((told.over().as_str(), told.own, told.unread), ("60 min", 0, 0));
        assert_eq!((other.requests, other.last, other.over().as_str()), (0, None, "60 min"), "zero is said of what was read");
    }

    #[test]
    fn the_time_is_what_the_bytes_cover() {
        let old = line(30_017, 4000, 200, 1, "10.0.0.9", "curl");
        let (first, next) = (line(30_018, 2820, 200, 1, "10.0.0.9", "curl"), line(30_017, 60, 200, 1, "10.0.0.9", "curl"));
        // What the bytes begin within is nobody's, and the next tells from when on they are all.
        let cut = counted(format!("{}{first}{next}", &old[40..]), false);
        assert_eq!((cut[&30_017].requests, cut[&30_018].requests, cut[&30_017].over().as_str()), (1, 1, "47 min"));
        assert_eq!(counted(format!("{old}{next}"), true)[&30_017].requests, 1, "an hour, and no more");
        let half = format!("{next}{}", &first[..first.len() - 1]);
        assert_eq!(counted(half, true)[&30_018].requests, 0, "it is being written");
        let log = |text: &str| Log { bytes: text.into(), whole: false };
        for none in ["", "half a line", "half\nno time\n"] {
            assert!(count(&log(none), &since(&[1]), &[], NOW).is_err(), "{none}");
        }
        // A pair that was somebody else's before.
        let new = BTreeMap::from([(30_017, Stamp(NOW.0 - 30_000))]);
        let told = &count(&Log { bytes: next.into(), whole: true }, &new, &[], NOW).unwrap()[&30_017];
        assert_eq!((told.requests, told.over().as_str()), (0, "30 s"));
    }

    #[test]
    fn our_own_questions_are_no_visits_and_nobody_else_is_taken_for_us() {
        let host = "192.168.1.10";
        let log = [
            line(30_017, 1, 200, 1, host, AGENT),
            line(30_017, 1, 200, 1, "127.0.0.1", AGENT),
            line(30_017, 1, 200, 1, "10.0.0.9", AGENT),
            line(30_017, 1, 200, 1, host, "curl"),
            line(30_017, 1, 200, 1, host, AGENT).replace("\"/\"", "\"/login\""),
            line(30_017, 1, 200, 1, host, AGENT).replace("GET", "POST"),
        ];
        let told = &counted(log.concat(), true)[&30_017];
        assert_eq!((told.own, told.requests), (2, 4));
    }

    #[test]
    fn what_cannot_be_read_is_counted_as_that_and_what_others_write_is_passed_over() {
        let by_hand = line(30_017, 1, 200, 1, "10.0.0.9", "curl").replace("port-30017", "logger");
        let broken = "{\"port-30017\": nonsense\n";
        let told = &counted(format!("{by_hand}plain words\n{broken}{}", line(30_099, 1, 200, 1, "10.0.0.9", "x")), true)[&30_017];
        assert_eq!((told.requests, told.unread), (0, 1));
    }

    proptest! {
        /// The same as a count by hand, whatever comes in which order.
        #[test]
        fn counts_are_those_of_a_naive_count(
            all in proptest::collection::vec((30_015u16..30_020, 0i64..5000, 200u16..600, 0u64..9000, any::<bool>()), 0..60),
            cut in 0usize..400, whole in any::<bool>(),
        ) {
            let text: String = all.iter().map(|(port, ago, status, ms, own)| {
                let (from, agent) = if *own { ("192.168.1.10", AGENT) } else { ("10.0.0.9", "curl") };
                line(*port, *ago, *status, *ms, from, agent)
            }).collect();
            let cut = if whole { 0 } else { cut.min(text.len()) };
            let log = Log { bytes: text.as_bytes()[cut..].to_vec(), whole };
            let begins = text.char_indices().filter(|(_, c)| *c == '\n').map(|(at, _)| at).position(|at| at >= cut);
            let left = if whole { &all[..] } else { begins.map_or(&[][..], |nth| &all[nth + 1..]) };
            let told = count(&log, &since(&[30_017, 30_018]), &[HOST.into()], NOW);
            let Ok(told) = told else { prop_assert!(left.is_empty() && !whole); return Ok(()) };
            let oldest = if whole { 3600 } else { left.first().map_or(0, |l| l.1).min(3600) };
            for port in [30_017, 30_018] {
                let mine: Vec<_> = left.iter().filter(|l| l.0 == port && l.1 <= oldest).collect();
                let visits: Vec<_> = mine.iter().filter(|l| !l.4).collect();
                let (got, n) = (&told[&port], visits.len() as u32);
                prop_assert_eq!((got.requests, got.own), (n, mine.len() as u32 - n));
                prop_assert_eq!(got.failed as usize, visits.iter().filter(|l| l.2 >= 500).count());
                prop_assert_eq!(got.refused as usize, visits.iter().filter(|l| (400..500).contains(&l.2)).count());
                let mut took: Vec<u64> = visits.iter().map(|l| l.3 * 1000).collect();
                took.sort_unstable();
                if n > 0 {
                    prop_assert_eq!(got.mean_us, took.iter().sum::<u64>() / u64::from(n));
                    prop_assert!(took.iter().filter(|t| **t <= got.p95_us).count() * 100 >= took.len() * 95);
                    prop_assert!(took.iter().filter(|t| **t < got.p95_us).count() * 100 < took.len() * 95);
                    prop_assert_eq!(got.last, visits.iter().map(|l| Stamp(NOW.0 - l.1 * 1000)).max());
                }
            }
        }
    }
}
