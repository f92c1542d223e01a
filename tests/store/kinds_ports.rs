//! Ports as a kind of write: a pair is reserved, given back, another one reserved for the next name; each with its entry in the audit.

use std::collections::BTreeSet;
use std::path::Path;

use proximity::domain::access::Who;
use proximity::domain::audit::Wanted;
use proximity::domain::ports::{Of, PortWish, Ranges, Sockets};
use proximity::domain::settings::Settings;
use proximity::domain::stamp::Stamp;
use proximity::host::local::LocalHost;
use proximity::ops::audit::Recorder;
use proximity::ops::ports::keep;

use super::super::support::OPERATOR;
use super::{Bad, Cut, not_lost, promise, text, unlocked, unreadable, whole};

/// Every second write gives back what the one before reserved.
pub fn take_and_give(dir: &Path, words: &str, rounds: usize) -> Result<(), String> {
    let (store, vault) = unlocked(dir, words)?;
    let audit = Recorder::new("test", &LocalHost::new()).with_journal(None);
    for number in 1..=rounds {
        let name = |number: usize| format!("app-{number}").parse().map_err(|e: String| e);
        let wish = match number % 2 {
            0 => PortWish::Release(Of::Name(name(number - 1)?), false),
            _ => PortWish::Reserve(name(number)?),
        };
        let now = Stamp(1_795_000_000_000 + number as i64);
        keep(&audit, &store, &vault, &Who::owner(OPERATOR), now, &wish, &Sockets::default()).map_err(text)?;
        promise();
    }
    Ok(())
}

/// Rows, their past and the log tell the same story, and no number is in two pairs.
pub fn one_to_one(cut: &Cut<'_>) -> Result<(), Bad> {
    let (store, vault) = whole(cut)?;
    let map = store.ports(Some(&vault), Stamp(1_795_000_000_000)).map_err(unreadable)?;
    if let Some(bad) = map.bad.first().map(|b| &b.why).or(map.bad_past.first()) {
        return Err(unreadable(bad));
    }
    let ranges = Ranges::of(&Settings::default()).map_err(unreadable)?;
    let numbers: Vec<u16> = map.held.iter().flat_map(|h| [h.pair.public, h.pair.internal]).collect();
    let names: BTreeSet<String> = map.held.iter().map(|h| h.what.to_string()).collect();
    let apart = numbers.iter().collect::<BTreeSet<_>>().len() == numbers.len() && names.len() == map.held.len();
    if !apart || !map.held.iter().all(|h| ranges.has(h.pair)) {
        return Err(Bad::Torn(format!("{:?}", map.held)));
    }
    // One that was given back was reserved before.
    let writes = map.held.len() + 2 * map.cooling.len();
    let page = store.audit_page(&Wanted::default(), None, 1000).map_err(unreadable)?;
    let entries = page.records.iter().filter(|r| r.entry.deed.action.starts_with("ports.")).count();
    if entries != writes {
        return Err(Bad::Torn(format!("{writes} changes of ports, {entries} written down")));
    }
    not_lost(writes, cut.promises)
}
