//! When a port last answered well, remembered from look to look. It is remembered of what is published there, since it is
//! published so: whoever has the pair next begins with nothing.

use std::collections::BTreeMap;

use super::{Answer, Row, ServiceName, Truth};
use crate::domain::stamp::{self, Stamp};

/// When a port last answered well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LastWell {
    /// It is not asked.
    #[default]
    NotAsked,
    /// Why nobody knows.
    Unknown(String),
    /// Nobody saw it since it is published so.
    Never,
    /// Then.
    At(Stamp),
}

impl LastWell {
    /// What is to be said of a port that does not answer well at `now`; nothing where it is not known.
    pub fn before(&self, now: Stamp) -> Option<String> {
        match self {
            LastWell::NotAsked | LastWell::Unknown(_) => None,
            LastWell::Never => Some("it was never seen answering since it is published so".into()),
            LastWell::At(at) => Some(format!("it last answered well {} before", stamp::span(now.secs().abs_diff(at.secs())))),
        }
    }
}

/// One answer that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Well {
    /// The port.
    pub port: u16,
    /// What was published there.
    pub name: ServiceName,
    /// Since when it was so.
    pub published: Stamp,
    /// When it answered well.
    pub at: Stamp,
}

/// The ports of a row that are asked: which of both, its number, whose since when, what came back.
fn asked(row: &Row) -> impl Iterator<Item = (usize, u16, &ServiceName, Stamp, &Answer)> {
    let whose = row.name.as_ref().zip(row.since).filter(|_| row.state == "published");
    let both = [(0, row.public, &row.outside), (1, row.internal, &row.inside)];
    both.into_iter().filter_map(move |(nth, port, answer)| {
        let (name, since) = whose?;
        (*answer != Answer::NotAsked).then_some((nth, port?, name, since, answer))
    })
}

/// All that answered well in a look at `at`.
pub fn answered_well(truth: &Truth, at: Stamp) -> Vec<Well> {
    let well = truth.rows.iter().flat_map(asked).filter(|(.., answer)| answer.is_well());
    well.map(|(_, port, name, published, _)| Well { port, name: name.clone(), published, at }).collect()
}

/// Puts what is remembered into the rows of a look at `now`. Of something else that was published there, or at a time that
/// cannot be, it says nothing.
pub fn tell_last_well(truth: &mut Truth, remembered: Result<&[Well], String>, now: Stamp) {
    let by_port: Result<BTreeMap<u16, &Well>, _> = remembered.map(|all| all.iter().map(|w| (w.port, w)).collect());
    for row in &mut truth.rows {
        let of = |(nth, port, name, published, answer): (usize, u16, &ServiceName, Stamp, &Answer)| {
            let last = match &by_port {
                _ if answer.is_well() => LastWell::At(now),
                Err(why) => LastWell::Unknown(why.clone()),
                Ok(all) => {
                    let fits = |w: &&&Well| w.name == *name && w.published == published && (published..=now).contains(&w.at);
                    all.get(&port).filter(fits).map_or(LastWell::Never, |w| LastWell::At(w.at))
                }
            };
            (nth, last)
        };
        let all: Vec<(usize, LastWell)> = asked(row).map(of).collect();
        all.into_iter().for_each(|(nth, last)| row.lately[nth].well = last);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn row(outside: Answer, inside: Answer) -> Row {
        Row {
            public: Some(30_000),
            internal: Some(40_000),
            state: "published",
            name: "web".parse().ok(),
            note: String::new(),
            target: String::new(),
            tls: None,
            outside,
            inside,
            lately: Default::default(),
            since: Some(Stamp(100)),
            drift: Vec::new(),
        }
    }

    #[test]
    fn what_answers_now_did_so_now_and_what_is_silent_when_it_is_remembered() {
        let well = Answer::Status { code: 404, ms: 1, size: None };
        let failed = Answer::Status { code: 502, ms: 1, size: None };
        let silent = || Answer::Silent("refused".into());
        let told = |outside: &Answer, inside: &Answer, remembered: Result<&[Well], String>| {
            let mut truth = Truth { rows: vec![row(outside.clone(), inside.clone())], ..Truth::default() };
            tell_last_well(&mut truth, remembered, Stamp(900));
            truth.rows[0].lately.clone().map(|l| l.well)
        };
        let kept = |port, name: &str, published, at| Well { port, name: name.parse().unwrap(), published: Stamp(published), at: Stamp(at) };
        let mine = kept(40_000, "web", 100, 500);
        assert_eq!(told(&well, &silent(), Ok(std::slice::from_ref(&mine))), [LastWell::At(Stamp(900)), LastWell::At(Stamp(500))]);
        assert_eq!(told(&failed, &Answer::NotAsked, Ok(&[mine])), [LastWell::Never, LastWell::NotAsked]);
        for other in [
            kept(40_001, "web", 100, 500),
            kept(40_000, "wiki", 100, 500),
            kept(40_000, "web", 99, 500),
            kept(40_000, "web", 100, 99),
            kept(40_000, "web", 100, 901),
        ] {
            assert_eq!(told(&well, &silent(), Ok(std::slice::from_ref(&other)))[1], LastWell::Never, "{other:?}");
        }
        let unknown = told(&well, &Answer::Unknown("x".into()), Err("no store".into()));
        assert_eq!(unknown, [LastWell::At(Stamp(900)), LastWell::Unknown("no store".into())]);
        let truth = Truth { rows: vec![row(well, silent())], ..Truth::default() };
        assert_eq!(answered_well(&truth, Stamp(900)), [kept(30_000, "web", 100, 900)]);
        let cooling = Truth { rows: vec![Row { state: "cooling", ..truth.rows[0].clone() }], ..Truth::default() };
        assert_eq!(answered_well(&cooling, Stamp(900)), []);
    }

    #[test]
    fn it_is_said_as_long_before() {
        let now = Stamp::from_secs(10_000);
        assert_eq!(LastWell::At(Stamp::from_secs(9988)).before(now).unwrap(), "it last answered well 12 s before");
        assert_eq!(LastWell::Never.before(now).unwrap(), "it was never seen answering since it is published so");
        assert_eq!((LastWell::NotAsked.before(now), LastWell::Unknown("x".into()).before(now)), (None, None));
    }
}
