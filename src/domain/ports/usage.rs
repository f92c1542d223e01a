//! How full the ranges are, and which of ports and addresses is used up first.

use super::{Pair, PortMap, Ranges, Sockets};
use crate::domain::appliance::lease::Pool;
use crate::domain::stamp::Stamp;

/// How one pair of the ranges is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Somebody has it, or it is kept for somebody.
    Held,
    /// Nobody gets it.
    Blocked,
    /// It was given back and waits.
    Cooling,
    /// Something has one of its ports that nobody reserved here.
    Foreign,
    /// It would be given out.
    Free,
}

impl State {
    /// How a pair is.
    pub fn of(pair: Pair, map: &PortMap, sockets: &Sockets, now: Stamp) -> State {
        let both = [pair.public, pair.internal];
        if let Some(held) = map.held.iter().find(|h| h.pair.meets(pair)) {
            return if held.what.reason().is_some() { State::Blocked } else { State::Held };
        }
        if both.iter().any(|port| map.cooling_at(*port, now).is_some()) {
            return State::Cooling;
        }
        if both.iter().any(|port| sockets.at.contains_key(port)) { State::Foreign } else { State::Free }
    }
}

/// How many pairs of the ranges are what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// All.
    pub size: u32,
    /// Somebody has them, or they are kept for somebody.
    pub held: u32,
    /// Nobody gets them.
    pub blocked: u32,
    /// They were given back and wait.
    pub cooling: u32,
    /// Something has them that nobody reserved here.
    pub foreign: u32,
    /// They would be given out.
    pub free: u32,
    /// So many more things may be published by `ports.quota`; none where that is not set.
    pub quota: Option<u32>,
}

impl Usage {
    /// Counts.
    pub fn count(map: &PortMap, ranges: Ranges, sockets: &Sockets, now: Stamp) -> Usage {
        let mut out = Usage { quota: ranges.quota_left(map), ..Usage::default() };
        for pair in ranges.pairs() {
            out.size += 1;
            *match State::of(pair, map, sockets, now) {
                State::Held => &mut out.held,
                State::Blocked => &mut out.blocked,
                State::Cooling => &mut out.cooling,
                State::Foreign => &mut out.foreign,
                State::Free => &mut out.free,
            } += 1;
        }
        out
    }

    /// `38 of 1000 used`, and what else is not free.
    pub fn words(&self) -> String {
        let more = [(self.blocked, "blocked"), (self.cooling, "cooling down"), (self.foreign, "in use by something else")];
        let more: String = more.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}")).collect();
        format!("{} of {} used{more}", self.held, self.size)
    }
}

/// What is used up first by whoever takes one of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nearer {
    /// So many pairs are left, and no fewer addresses.
    Ports(u32),
    /// So many addresses are left, and more pairs.
    Addresses(u32),
    /// So many things more may be published, and there is more of both.
    Quota(u32),
    /// It is not known how many addresses are left.
    Unknown(String),
}

impl Nearer {
    /// Of what is left of both.
    pub fn of(usage: &Usage, pool: Result<Pool, String>) -> Nearer {
        let left = |pool: &Pool| pool.size.saturating_sub(pool.used);
        match (pool, usage.quota) {
            // What is used up is the nearest, whatever else is not known.
            (Err(_), Some(0)) => Nearer::Quota(0),
            (Err(why), _) => Nearer::Unknown(why),
            (Ok(pool), Some(quota)) if quota < usage.free.min(left(&pool)) => Nearer::Quota(quota),
            (Ok(pool), _) if left(&pool) < usage.free => Nearer::Addresses(left(&pool)),
            (Ok(_), _) => Nearer::Ports(usage.free),
        }
    }

    /// In words.
    pub fn words(&self) -> String {
        match self {
            Nearer::Ports(left) => format!("{left} ports left, the nearer limit"),
            Nearer::Addresses(left) => format!("{left} addresses left, the nearer limit"),
            Nearer::Quota(left) => format!("{left} more may be published by ports.quota, the nearer limit"),
            Nearer::Unknown(why) => format!("how many addresses are left is unknown: {why}"),
        }
    }
}
