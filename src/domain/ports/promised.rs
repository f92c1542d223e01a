//! What was promised, as rows: before anybody looked how it is, and beside what a look found.

use std::collections::HashMap;

use super::{Answer, PortMap, Row, Truth, What};
use crate::domain::clean::clean;
use crate::domain::service::{Carry, Proof, Spec};
use crate::domain::stamp::Stamp;

/// Why nothing is known of a row that nobody looked at.
const NOT_YET: &str = "not asked yet";

/// Where a published thing leads, short: `10.20.0.104:80`, `tcp 10.20.0.9:22`, `unproven https://app.prox.local:443`.
pub fn leads_to(spec: &Spec) -> String {
    let to = spec.to.to_string();
    let place = to.strip_prefix("http://").unwrap_or(&to);
    // What is cut off where room is short is not this word.
    let unproven = if spec.to.tls && spec.proof == Proof::Skipped { "unproven " } else { "" };
    match spec.carry {
        Carry::Http => format!("{unproven}{place}"),
        carry => format!("{} {place}", carry.word()),
    }
}

/// All pairs that are not free as they are remembered, by their first port; how they are is unknown.
pub fn promised(map: &PortMap, now: Stamp) -> Vec<Row> {
    let row = |pair: super::Pair, state, since| Row {
        public: Some(pair.public),
        internal: Some(pair.internal),
        state,
        name: None,
        note: String::new(),
        target: String::new(),
        tls: None,
        outside: Answer::NotAsked,
        inside: Answer::NotAsked,
        lately: Default::default(),
        since: Some(since),
        drift: Vec::new(),
    };
    // Each name once: with a thousand of them a search for each takes longer than all the rest.
    let services: HashMap<_, _> = map.services.iter().map(|s| (s.name.to_string(), s)).collect();
    let held = map.held.iter().map(|held| {
        let mut out = Row { name: held.what.name().cloned(), ..row(held.pair, held.what.word(), held.at) };
        out.note = held.what.reason().map(|r| clean(&r.to_string())).unwrap_or_default();
        let has = !matches!(held.what, What::Kept(_));
        if let Some(service) = held.what.name().filter(|_| has).and_then(|name| services.get(&name.to_string())) {
            let unknown = || Answer::Unknown(NOT_YET.into());
            (out.state, out.target, out.since) = ("published", leads_to(&service.spec), Some(service.at));
            (out.outside, out.inside) = (unknown(), unknown());
        }
        out
    });
    let cooling = map.cooling.iter().filter(|p| p.free > now && map.at(p.was.pair.public).is_none());
    let cooling = cooling.map(|p| Row { name: p.was.what.name().cloned(), ..row(p.was.pair, "cooling", p.until) });
    let mut rows: Vec<Row> = held.chain(cooling).collect();
    rows.sort_by_key(|r| r.public);
    rows
}

/// The same beside what was found by a look at `at`: a row that is so since then is as it was found, a newer one is unknown,
/// and what is not remembered here is there only where it is somebody else's.
pub fn joined(map: &PortMap, found: Option<(&Truth, Stamp)>, now: Stamp) -> Vec<Row> {
    let mut rows = promised(map, now);
    let Some((truth, at)) = found else { return rows };
    let by_port: HashMap<_, _> = truth.rows.iter().map(|r| (r.public, r)).collect();
    for row in &mut rows {
        let same = |r: &&&Row| r.state == row.state && r.name == row.name && row.since.is_none_or(|since| since <= at);
        if let Some(found) = by_port.get(&row.public).filter(same) {
            // Whatever was found, where it leads is what is remembered.
            let promised = std::mem::replace(row, (*found).clone());
            (row.target, row.since) = (promised.target, promised.since);
        }
    }
    rows.extend(truth.rows.iter().filter(|r| r.state == "foreign").cloned());
    rows.sort_by_key(|r| r.public.or(r.internal));
    rows
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::ports::{Held, Pair, Past};
    use crate::domain::service::Published;

    fn held(public: u16, what: What) -> Held {
        Held { pair: Pair { public, internal: public + 10_000 }, what, at: Stamp(5), by: "ada".into() }
    }

    fn map() -> PortMap {
        let published = |name: &str, to: &str, at| Published {
            name: name.parse().unwrap(),
            spec: Spec::to(to.parse().unwrap()),
            at: Stamp(at),
            by: "ada".into(),
        };
        let gone = |public, free| Past {
            was: held(public, What::Reserved("old".parse().unwrap())),
            until: Stamp(6),
            by: "ada".into(),
            free: Stamp(free),
        };
        PortMap {
            held: vec![
                held(30_003, What::Blocked("a printer".parse().unwrap())),
                held(30_001, What::Reserved("web".parse().unwrap())),
                held(30_002, What::Kept("wiki".parse().unwrap())),
            ],
            cooling: vec![gone(30_000, 100), gone(30_005, 9), gone(30_001, 100)],
            services: vec![published("web", "10.20.0.4:80", 10), published("wiki", "wiki:80", 10)],
            ..PortMap::default()
        }
    }

    #[test]
    fn rows_are_what_is_remembered_and_nothing_else() {
        let rows = promised(&map(), Stamp(10));
        let told: Vec<_> = rows.iter().map(|r| (r.public.unwrap(), r.state, r.target.as_str(), r.note.as_str())).collect();
        assert_eq!(
            told,
            [
                (30_000, "cooling", "", ""),
                (30_001, "published", "10.20.0.4:80", ""),
                (30_002, "kept", "", ""),
                (30_003, "blocked", "", "a printer")
            ]
        );
        assert!(matches!(rows[1].outside, Answer::Unknown(_)) && rows[2].outside == Answer::NotAsked);
    }

    #[test]
    fn what_was_found_holds_until_something_newer_was_promised() {
        let map = map();
        let mut truth = Truth { rows: promised(&map, Stamp(10)), ..Truth::default() };
        for row in &mut truth.rows {
            row.outside = Answer::Taken { ms: 1 };
        }
        truth.rows.push(Row { public: Some(30_900), state: "foreign", ..truth.rows[0].clone() });
        truth.rows.push(Row { public: Some(30_901), state: "reserved", ..truth.rows[0].clone() });
        let taken = |at| {
            let rows = joined(&map, Some((&truth, Stamp(at))), Stamp(10));
            rows.iter().map(|r| (r.public.unwrap(), r.outside == Answer::Taken { ms: 1 })).collect::<Vec<_>>()
        };
        assert_eq!(taken(10), [(30_000, true), (30_001, true), (30_002, true), (30_003, true), (30_900, true)]);
        assert_eq!(taken(9)[1], (30_001, false), "it was published after the look");
        assert_eq!(joined(&map, None, Stamp(10)).len(), 4);
    }

    #[test]
    fn where_it_leads_is_short_and_says_what_is_not_proven() {
        let spec = |to: &str, carry, proof| Spec { carry, proof, ..Spec::to(to.parse().unwrap()) };
        assert_eq!(leads_to(&spec("http://10.0.0.1:80", Carry::Http, Proof::Own)), "10.0.0.1:80");
        assert_eq!(leads_to(&spec("https://a.b:443", Carry::Http, Proof::Skipped)), "unproven https://a.b:443");
        assert_eq!(leads_to(&spec("10.0.0.1:22", Carry::Tcp, Proof::Own)), "tcp 10.0.0.1:22");
    }
}
