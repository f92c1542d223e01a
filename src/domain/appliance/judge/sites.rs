//! Whether Caddy answers each site: where it listens, by its running configuration, and what came back from there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::Value;

use super::super::answer::{Asked, Gave};
use super::super::lamp::Evidence;
use super::{Answers, Verdict, answered, succeeded};

/// Sites that are asked; more are said to be not asked.
const MOST: usize = 200;

/// Asks every `ADDRESS:PORT` that it is given by HTTP, fifty at once, five seconds at most each (Caddy gives an app up after three), and prints the place with
/// the status of the first answer, or a dash. One command for all: each one into a container costs more than all answers.
/// `--spider`: the page itself is not fetched.
pub const ASK: &str = r#"ask() {
	set -- "$1" $(busybox timeout 5 busybox wget -S --spider -U proximity -O /dev/null "http://$1/" 2>&1 | busybox grep -o 'HTTP/[0-9.]* [0-9]*')
	echo "$1 ${3:--}"
}
n=0
for site; do
	ask "$site" &
	n=$((n + 1))
	[ $((n % 50)) -ne 0 ] || wait
done
wait
"#;

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
pub fn asked(admin: &Asked<Gave>) -> Vec<String> {
    let config = admin.answer.as_ref().ok().filter(|gave| gave.status == 0);
    let all = config.and_then(|gave| listens(&gave.out)).unwrap_or_default();
    all.iter().take(MOST).map(SocketAddr::to_string).collect()
}

pub(super) fn sites(a: &Answers) -> Verdict {
    let gave = match succeeded(&a.admin, "which sites there are") {
        Ok(gave) => gave,
        Err(unknown) => return unknown,
    };
    let config = vec![Evidence::of(&a.admin)];
    let Some(all) = listens(&gave.out) else { return Verdict::unknown("which sites there are was not told", config) };
    if all.is_empty() {
        return Verdict::pass("no sites yet", config);
    }
    let gave = match answered(&a.sites, "the sites") {
        Ok(gave) => gave,
        Err(unknown) => return unknown,
    };
    let text = gave.text();
    let (mut silent, mut without, mut untold) = (Vec::new(), Vec::new(), all.len().saturating_sub(MOST));
    for site in all.iter().take(MOST) {
        let told =
            text.lines().filter_map(|l| l.split_once(' ')).find(|(place, _)| *place == site.to_string()).map(|(_, status)| status.trim());
        match told.map(|status| (status, status.parse::<u16>())) {
            // What Caddy says when nothing behind it answers, or not in time.
            Some((status, Ok(502..=504))) => without.push(format!("{} ({status})", site.port())),
            Some((_, Ok(100..=599))) => {}
            Some(("-", _)) => silent.push(site.port().to_string()),
            Some(_) | None => untold += 1,
        }
    }
    let evidence = vec![Evidence::of(&a.sites)];
    let mut parts = Vec::new();
    if !silent.is_empty() {
        parts.push(Verdict::fail(format!("no answer at port {}", silent.join(", ")), evidence.clone()));
    }
    if !without.is_empty() {
        parts.push(Verdict::warn(format!("nothing answers behind port {}", without.join(", ")), evidence.clone()));
    }
    if untold > 0 {
        parts.push(Verdict::unknown(format!("{untold} of {} places were not told", all.len()), evidence.clone()));
    }
    match (parts.len(), all.len()) {
        (0, 1) => Verdict::pass("the one site answers", evidence),
        (0, n) => Verdict::pass(format!("{n} sites answer"), evidence),
        _ => {
            let mut all = Verdict::worst(parts);
            all.evidence = evidence;
            all
        }
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
