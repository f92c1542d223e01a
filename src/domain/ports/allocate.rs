//! A wish about ports becomes the change of one pair, or is refused. Asked anew inside the transaction that makes the change.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Held, Of, Pair, Past, PortMap, Ranges, Reason, ServiceName, Sockets, What};
use crate::domain::service::{Published, Spec};
use crate::domain::stamp::Stamp;

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PortWish {
    /// This is published under a name: on this pair and no other, else on the one that the name has or would get.
    Publish(ServiceName, Box<Spec>, Option<Pair>),
    /// What is published under a name is so no more, and its ports are given back.
    Unpublish(ServiceName),
    /// A pair for a name: the one it has, the one kept for it, the one it had just now, else the lowest that is free.
    Reserve(ServiceName),
    /// What a name has is given back; without a cool-down where that is said.
    Release(Of, bool),
    /// A pair is this name's and nobody else's: the one it has, or that of a number.
    Pin(ServiceName, Option<u16>),
    /// The end of that.
    Unpin(Of),
    /// Nobody gets the pair of this number.
    Block(u16, Reason),
    /// The end of that.
    Unblock(u16),
}

impl PortWish {
    /// Its verb, as on the command line.
    pub fn word(&self) -> &'static str {
        match self {
            PortWish::Publish(..) => "publish",
            PortWish::Unpublish(_) => "unpublish",
            PortWish::Reserve(_) => "reserve",
            PortWish::Release(..) => "release",
            PortWish::Pin(..) => "pin",
            PortWish::Unpin(_) => "unpin",
            PortWish::Block(..) => "block",
            PortWish::Unblock(_) => "unblock",
        }
    }
}

/// What becomes of one pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub pair: Pair,
    /// How it is; none where it is free, or its row cannot be relied on.
    pub before: Option<Held>,
    /// How it is then; none where it is free.
    pub after: Option<Held>,
    /// What is remembered of before.
    pub past: Option<Past>,
    /// Its cool-downs end now.
    pub thaw: bool,
    /// What is published under a name from now on; none: nothing any more.
    pub service: Option<(ServiceName, Option<Published>)>,
}

/// What a wish comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Which pair it is about.
    pub pair: Pair,
    /// What changes; none where it is so already.
    pub change: Option<Change>,
}

impl Decided {
    /// What it comes to, for whoever wished: `reserved for web`, `given back; free for others at …`.
    pub fn says(&self, now: Stamp, offset_s: i32) -> String {
        let Some(change) = &self.change else { return "nothing to change: it is so already".into() };
        match (&change.after, &change.past) {
            (Some(held), _) => held.what.to_string(),
            (None, Some(past)) if past.free > now => format!("given back; free for others at {}", past.free.minute(offset_s)),
            (None, _) => "free".into(),
        }
    }
}

/// What a wish is decided by.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// What is held now.
    pub map: &'a PortMap,
    /// What may be given out.
    pub ranges: Ranges,
    /// Seconds in which nobody else gets what was given back.
    pub cool_down_s: u64,
    /// What has ports beside us.
    pub sockets: &'a Sockets,
    /// Now.
    pub now: Stamp,
    /// Who wishes.
    pub by: &'a str,
}

impl Known<'_> {
    /// Decides; else why not, one sentence.
    pub fn decide(&self, wish: &PortWish) -> Result<Decided, String> {
        if let Some(bad) = self.map.bad.first() {
            return self.mend(wish).ok_or_else(|| bad.why.clone());
        }
        match wish {
            PortWish::Publish(name, spec, pair) => self.publish(name, spec, *pair),
            PortWish::Unpublish(name) => self.unpublish(name),
            PortWish::Reserve(name) => self.reserve(name),
            PortWish::Release(of, at_once) => self.release(of, *at_once),
            PortWish::Pin(name, port) => self.pin(name, *port),
            PortWish::Unpin(of) => self.unpin(of),
            PortWish::Block(port, reason) => self.block(*port, reason),
            PortWish::Unblock(port) => self.unblock(*port),
        }
    }

    /// A row that cannot be relied on goes when its number is given back by hand; who had it is not known. Of one that does
    /// not even tell its numbers whoever gives it back says which they were.
    fn mend(&self, wish: &PortWish) -> Option<Decided> {
        let PortWish::Release(Of::Port(port), _) = wish else { return None };
        let mut told = self.map.bad.iter().filter_map(|b| b.pair);
        let untold = self.map.bad.iter().any(|b| b.pair.is_none()) && self.map.at(*port).is_none();
        let pair = told.find(|pair| pair.has(*port)).or_else(|| self.ranges.pair_of(*port).filter(|_| untold))?;
        let reason = "its row was changed outside Proximity, or damaged".parse().ok()?;
        let was = Held { pair, what: What::Blocked(reason), at: self.now, by: self.by.to_owned() };
        let past = Some(self.ended(&was, self.cooled()));
        Some(Decided { pair, change: Some(Change { pair, before: None, after: None, past, thaw: false, service: None }) })
    }

    fn publish(&self, name: &ServiceName, spec: &Spec, wanted: Option<Pair>) -> Result<Decided, String> {
        let held = self.map.of(name).filter(|h| !matches!(h.what, What::Kept(_)));
        let is_new = self.map.service(name).is_none() && !self.map.bad_services.iter().any(|(n, _)| n.as_ref() == Some(name));
        if is_new && self.ranges.quota_left(self.map) == Some(0) {
            let all = self.map.services.len() + self.map.bad_services.len();
            return Err(format!("{all} things are published, and ports.quota allows no more: unpublish one, or raise it"));
        }
        let mut decided = match (held, wanted) {
            (Some(held), Some(pair)) if held.pair != pair => return Err(format!("{name} has {} by now and not {pair}", held.pair)),
            // What listens there was looked at when the pair was chosen; who has it is known only now.
            (None, Some(pair)) if self.map.of(name).is_none() => match self.in_the_way(pair, Some(name)) {
                Some(Way::Held(why) | Way::Cooling(why)) => return Err(why),
                Some(Way::Listens) | None => self.take(pair, What::Reserved(name.clone())),
            },
            _ => self.reserve(name)?,
        };
        if self.map.service(name).is_some_and(|s| s.spec == *spec) && decided.change.is_none() {
            return Ok(decided);
        }
        let published = Published { name: name.clone(), spec: spec.clone(), at: self.now, by: self.by.to_owned() };
        let same = || Change { pair: decided.pair, before: held.cloned(), after: held.cloned(), past: None, thaw: false, service: None };
        let mut change = decided.change.take().unwrap_or_else(same);
        change.service = Some((name.clone(), Some(published)));
        decided.change = Some(change);
        Ok(decided)
    }

    fn unpublish(&self, name: &ServiceName) -> Result<Decided, String> {
        let of_it = |(whose, _): &(Option<ServiceName>, String)| whose.as_ref() == Some(name);
        let held = self.map.of(name).filter(|h| !matches!(h.what, What::Kept(_)));
        let known = self.map.service(name).is_some() || self.map.bad_services.iter().any(of_it);
        let Some(held) = held.filter(|_| known) else { return Err(format!("nothing is published as {name}")) };
        let after = if let What::Pinned(name) = &held.what { Some(What::Kept(name.clone())) } else { None };
        let mut decided = self.give_back(held, after, false);
        decided.change.iter_mut().for_each(|c| c.service = Some((name.clone(), None)));
        Ok(decided)
    }

    fn reserve(&self, name: &ServiceName) -> Result<Decided, String> {
        match self.map.of(name) {
            Some(held) if matches!(held.what, What::Kept(_)) => {
                // Whoever listens there is whom it was pinned for, or is told by the list.
                Ok(self.replace(held, Some(What::Pinned(name.clone())), Some(self.now)))
            }
            Some(held) => Ok(Decided { pair: held.pair, change: None }),
            None => {
                let had = self.map.cooling.iter().filter(|p| p.was.what.name() == Some(name)).map(|p| p.was.pair);
                let had = had.filter(|pair| self.ranges.has(*pair) && self.in_the_way(*pair, Some(name)).is_none()).min();
                let pair = had.or_else(|| self.lowest()).ok_or_else(|| self.full())?;
                Ok(self.take(pair, What::Reserved(name.clone())))
            }
        }
    }

    /// The lowest pair that is free.
    fn lowest(&self) -> Option<Pair> {
        let held = self.map.held.iter().map(|h| h.pair);
        let cooling = self.map.cooling.iter().filter(|p| p.free > self.now).map(|p| p.was.pair);
        let mut gone: BTreeSet<u16> = held.chain(cooling).flat_map(|p| [p.public, p.internal]).collect();
        gone.extend(self.sockets.at.keys());
        self.ranges.pairs().find(|p| !gone.contains(&p.public) && !gone.contains(&p.internal))
    }

    fn full(&self) -> String {
        let usage = super::Usage::count(self.map, self.ranges, self.sockets, self.now);
        let first = self.map.cooling.iter().map(|p| p.free).filter(|f| *f > self.now).min();
        let first = first.map_or(String::new(), |at| format!("; the first that cools down is free at {}", at.rfc3339()));
        format!("no pair of {} is free: {}{first}", self.ranges, usage.words())
    }

    fn release(&self, of: &Of, at_once: bool) -> Result<Decided, String> {
        let Some(held) = self.held(of) else {
            let cooling = self.map.cooling.iter().filter(|p| p.free > self.now);
            let of_it = |p: &&Past| match of {
                Of::Port(port) => p.was.pair.has(*port),
                Of::Name(name) => p.was.what.name() == Some(name),
            };
            return match cooling.filter(of_it).max_by_key(|p| p.until) {
                Some(past) if at_once => {
                    let pair = past.was.pair;
                    Ok(Decided { pair, change: Some(Change { pair, before: None, after: None, past: None, thaw: true, service: None }) })
                }
                Some(past) => Err(format!(
                    "{} was given back already and cools down until {}; --at-once ends that",
                    past.was.pair,
                    past.free.rfc3339()
                )),
                None => Err(self.nothing(of)),
            };
        };
        if let Some(name) = held.what.name().filter(|n| self.map.service(n).is_some()) {
            return Err(format!("{name} is published on {}; proximity ports unpublish {name} ends that", held.pair));
        }
        match &held.what {
            What::Reserved(_) => Ok(self.give_back(held, None, at_once)),
            What::Pinned(name) => Ok(self.give_back(held, Some(What::Kept(name.clone())), at_once)),
            What::Kept(name) => Err(format!("{} is kept for {name}, which does not have it now; unpin ends that", held.pair)),
            What::Blocked(_) => Err(format!("{} is blocked; unblock ends that", held.pair)),
        }
    }

    fn pin(&self, name: &ServiceName, port: Option<u16>) -> Result<Decided, String> {
        if let Some(held) = self.map.of(name) {
            return match (&held.what, port) {
                (_, Some(port)) if !held.pair.has(port) => Err(format!("{} is {}; give that back first", held.pair, held.what)),
                (What::Reserved(_), _) => Ok(self.replace(held, Some(What::Pinned(name.clone())), None)),
                _ => Ok(Decided { pair: held.pair, change: None }),
            };
        }
        let port = port.ok_or_else(|| format!("{name} has no port; name the one that is to be kept for it"))?;
        let pair = self.pair_of(port)?;
        // Something that listens there may be what it is pinned for.
        match self.in_the_way(pair, Some(name)) {
            Some(Way::Held(why) | Way::Cooling(why)) => Err(why),
            Some(Way::Listens) | None => Ok(self.take(pair, What::Kept(name.clone()))),
        }
    }

    fn unpin(&self, of: &Of) -> Result<Decided, String> {
        let held = self.held(of).ok_or_else(|| self.nothing(of))?;
        match &held.what {
            What::Pinned(name) => Ok(self.replace(held, Some(What::Reserved(name.clone())), None)),
            What::Kept(_) => Ok(self.replace(held, None, Some(self.now))),
            What::Reserved(_) => Ok(Decided { pair: held.pair, change: None }),
            What::Blocked(_) => Err(format!("{} is blocked; unblock ends that", held.pair)),
        }
    }

    fn block(&self, port: u16, reason: &Reason) -> Result<Decided, String> {
        match self.map.at(port) {
            Some(held) if held.what.reason() == Some(reason) => Ok(Decided { pair: held.pair, change: None }),
            Some(held) if held.what.reason().is_some() => Ok(self.replace(held, Some(What::Blocked(reason.clone())), Some(self.now))),
            _ => {
                let pair = self.pair_of(port)?;
                // One that cools down may be blocked: nobody gets it sooner by that.
                match self.in_the_way(pair, None) {
                    Some(Way::Held(why)) => Err(why),
                    _ => Ok(self.take(pair, What::Blocked(reason.clone()))),
                }
            }
        }
    }

    fn unblock(&self, port: u16) -> Result<Decided, String> {
        match self.map.at(port) {
            Some(held) if held.what.reason().is_some() => Ok(self.replace(held, None, Some(self.now))),
            Some(held) => Err(format!("{} is not blocked, it is {}", held.pair, held.what)),
            None => Err(format!("{port} is not blocked")),
        }
    }

    fn held(&self, of: &Of) -> Option<&Held> {
        match of {
            Of::Port(port) => self.map.at(*port),
            Of::Name(name) => self.map.of(name),
        }
    }

    fn nothing(&self, of: &Of) -> String {
        match of {
            Of::Port(port) => format!("nobody has {port}"),
            Of::Name(name) => format!("{name} has no port"),
        }
    }

    fn pair_of(&self, port: u16) -> Result<Pair, String> {
        self.ranges.pair_of(port).ok_or_else(|| format!("{port} is in none of the ranges {}", self.ranges))
    }

    /// When what is given back now is free.
    fn cooled(&self) -> Stamp {
        let ms = i64::try_from(self.cool_down_s.saturating_mul(1000)).unwrap_or(i64::MAX);
        Stamp(self.now.0.saturating_add(ms))
    }

    fn ended(&self, held: &Held, free: Stamp) -> Past {
        Past { was: held.clone(), until: self.now, by: self.by.to_owned(), free }
    }

    /// A free pair is held.
    fn take(&self, pair: Pair, what: What) -> Decided {
        let after = Some(Held { pair, what, at: self.now, by: self.by.to_owned() });
        Decided { pair, change: Some(Change { pair, before: None, after, past: None, thaw: false, service: None }) }
    }

    /// Something else of the same pair, or nothing. With `free` what was is over and remembered; without it, it goes on.
    fn replace(&self, held: &Held, what: Option<What>, free: Option<Stamp>) -> Decided {
        let pair = held.pair;
        let (at, by) = if free.is_some() { (self.now, self.by.to_owned()) } else { (held.at, held.by.clone()) };
        let after = what.map(|what| Held { pair, what, at, by });
        let past = free.map(|free| self.ended(held, free));
        Decided { pair, change: Some(Change { pair, before: Some(held.clone()), after, past, thaw: false, service: None }) }
    }

    /// The same for what was in use: the cool-down begins, or all of it ends.
    fn give_back(&self, held: &Held, what: Option<What>, at_once: bool) -> Decided {
        let mut decided = self.replace(held, what, Some(if at_once { self.now } else { self.cooled() }));
        decided.change.iter_mut().for_each(|c| c.thaw = at_once);
        decided
    }

    /// What keeps a name from a pair.
    fn in_the_way(&self, pair: Pair, name: Option<&ServiceName>) -> Option<Way> {
        if let Some(held) = self.map.held.iter().find(|h| h.pair.meets(pair)) {
            return Some(Way::Held(format!("{} is {}", held.pair, held.what)));
        }
        let both = [pair.public, pair.internal];
        let others = |p: &&Past| p.was.pair.meets(pair) && p.free > self.now && (name.is_none() || p.was.what.name() != name);
        if let Some(past) = self.map.cooling.iter().filter(others).max_by_key(|p| p.free) {
            let was = past.was.what.name().map_or(String::new(), |n| format!("was {n}'s and "));
            return Some(Way::Cooling(format!("{} {was}cools down until {}", past.was.pair, past.free.rfc3339())));
        }
        both.iter().any(|port| self.sockets.at.contains_key(port)).then_some(Way::Listens)
    }
}

/// What keeps somebody from a pair.
enum Way {
    Held(String),
    Cooling(String),
    /// Something has one of its ports; the list tells what.
    Listens,
}
