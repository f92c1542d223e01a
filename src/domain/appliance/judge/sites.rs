//! Whether Caddy answers each site: where it listens, by its running configuration, and what came back from there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;

use super::super::answer::{Asked, Gave};
use super::super::lamp::{Evidence, Light};
use super::{Answers, Verdict, succeeded};

/// Sites that are asked; more are said to be not asked.
const MOST: usize = 200;

/// The question to a place, by busybox, but not by its own `timeout`, which keeps the answer back for up to a second. The first
/// answer counts, the page itself is not fetched. Five seconds, for Caddy gives an app up after three.
pub fn question(place: SocketAddr) -> Vec<String> {
    let words = ["timeout", "--foreground", "5", "busybox", "wget", "-S", "--spider", "-U", "proximity", "-O", "/dev/null"];
    words.into_iter().map(str::to_owned).chain([format!("http://{place}/")]).collect()
}

/// What `timeout` says of what takes too long (timeout(1)).
const TOO_LONG: i32 = 124;

/// Where Caddy listens for visitors, from its running configuration; `None` for what is none.
pub fn listens(config: &[u8]) -> Option<Vec<SocketAddr>> {
    let config: Value = serde_json::from_slice(config).ok()?;
    let servers = config["apps"]["http"]["servers"].as_object();
    let listen = servers.into_iter().flat_map(|s| s.values()).flat_map(|s| s["listen"].as_array()).flatten();
    let mut all: Vec<SocketAddr> = listen.filter_map(Value::as_str).flat_map(places).collect();
    all.sort();
    all.dedup();
    Some(all)
}

/// The places of one `listen`: `:30001`, `10.20.0.1:80`, `tcp/:80-82` (Caddy, network addresses). Those that are no TCP
/// have no HTTP to be asked by `wget`.
fn places(listen: &str) -> Vec<SocketAddr> {
    let place = match listen.split_once('/') {
        Some(("tcp" | "tcp4" | "tcp6", place)) => place,
        Some(_) => return Vec::new(),
        None => listen,
    };
    let Some((host, ports)) = place.rsplit_once(':') else { return Vec::new() };
    let host = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) if !ip.is_unspecified() => ip,
        // A name or nothing: everywhere, so also here.
        _ => Ipv4Addr::LOCALHOST.into(),
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else { return Vec::new() };
    (first..=last).take(MOST + 1).map(|port| SocketAddr::new(host, port)).collect()
}

/// Which places are asked, by the answer of Caddy's administration.
pub fn asked(admin: &Asked<Gave>) -> Vec<SocketAddr> {
    let config = admin.answer.as_ref().ok().filter(|gave| gave.status == 0);
    let all = config.and_then(|gave| listens(&gave.out)).unwrap_or_default();
    all.into_iter().take(MOST).collect()
}

/// What a place answered.
pub enum Said {
    /// With this status.
    Status(u16),
    /// Nothing.
    Nothing,
    /// It could not be asked.
    Unknown,
}

/// Reads what `wget` told.
pub fn said(asked: &Asked<Gave>) -> Said {
    let Ok(gave) = &asked.answer else { return Said::Unknown };
    let err = String::from_utf8_lossy(&gave.err);
    // The first response is the site's own; after a redirect others follow.
    let status = err.split("HTTP/").nth(1).and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
    match (status, gave.status) {
        (Some(status @ 100..=599), _) => Said::Status(status),
        (_, 1 | TOO_LONG) => Said::Nothing,
        _ => Said::Unknown,
    }
}

pub(super) fn sites(a: &Answers) -> Verdict {
    let gave = match succeeded(&a.admin, "which sites there are") {
        Ok(gave) => gave,
        Err(unknown) => return unknown,
    };
    let config = vec![Evidence::of(&a.admin)];
    let Some(all) = listens(&gave.out) else { return Verdict::unknown("which sites there are was not told", config) };
    let (mut silent, mut without, mut untold) = (Vec::new(), Vec::new(), 0);
    let (mut well, mut evidence) = (Vec::new(), Vec::new());
    for place in &all {
        let found = a.sites.iter().find(|(of, _)| of == place);
        let said = found.map_or(Said::Unknown, |(_, asked)| said(asked));
        match said {
            // What Caddy says when nothing behind it answers, or not in time.
            Said::Status(status @ 502..=504) => without.push(format!("{} ({status})", place.port())),
            Said::Status(_) => {
                well.extend(found.map(|(_, asked)| Evidence::of(asked)));
                continue;
            }
            Said::Nothing => silent.push(place.port().to_string()),
            Said::Unknown => untold += 1,
        }
        evidence.extend(found.map(|(_, asked)| Evidence::of(asked)));
    }
    let mut says = Vec::new();
    let mut light = Light::Pass;
    let mut add = |is: bool, of: Light, what: String| {
        if is {
            light = light.max(of);
            says.push(what);
        }
    };
    add(!silent.is_empty(), Light::Fail, format!("no answer at port {}", silent.join(", ")));
    add(!without.is_empty(), Light::Warn, format!("nothing answers behind port {}", without.join(", ")));
    add(untold > 0, Light::Unknown, format!("{untold} of {} places could not be asked", all.len()));
    match (light, all.len()) {
        (Light::Pass, 0) => Verdict::pass("no sites yet", config),
        (Light::Pass, 1) => Verdict::pass("the one site answers", well),
        (Light::Pass, n) => Verdict::pass(format!("{n} sites answer"), well),
        _ => Verdict::new(light, says.join("; "), evidence),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn caddy_tells_where_it_listens() {
        let of = |listen: &str| {
            let config = format!(r#"{{"apps":{{"http":{{"servers":{{"a":{{"listen":[{listen}]}},"b":{{"routes":[]}}}}}}}}}}"#);
            listens(config.as_bytes()).unwrap().iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(r#"":30002", ":30001", "0.0.0.0:30001", "[::]:30001""#), "127.0.0.1:30001 127.0.0.1:30002");
        assert_eq!(
            of(r#""10.20.0.1:80", "[fd00::1]:81", "tcp/:82-84""#),
            "10.20.0.1:80 127.0.0.1:82 127.0.0.1:83 127.0.0.1:84 [fd00::1]:81"
        );
        assert_eq!(of(r#""unix//run/x.sock", "udp/:443", ":x", ":9-x", "nonsense", ":1-65535x", 7"#), "");
        assert!(listens(br#"{"admin":{}}"#).unwrap().is_empty());
        assert!(listens(b"null").unwrap().is_empty());
        assert_eq!(listens(b"not json"), None);
        assert_eq!(places(":1-65535").len(), MOST + 1, "bounded");
    }
}
