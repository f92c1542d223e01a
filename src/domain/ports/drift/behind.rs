//! Who stands behind what is published: the guest that has the name, or the lease that has the address.

use std::net::{IpAddr, Ipv4Addr};

use super::{Drift, Look, Promise, drift, hand};
use crate::domain::appliance::lease;
use crate::domain::appliance::names::{Mac, Name};
use crate::domain::guest::{Guest, Power};
use crate::domain::ports::Mend;
use crate::domain::service::UpHost;

/// What is wrong with whoever it leads to; nothing where that is not known to be anybody of this host.
pub(super) fn of(promise: &Promise<'_>, look: &Look<'_>) -> Option<Drift> {
    match &promise.service.spec.to.host {
        UpHost::Name(name) => by_name(promise, look, name),
        UpHost::Address(IpAddr::V4(address)) => by_address(promise, look, *address),
        UpHost::Address(IpAddr::V6(_)) => None,
    }
}

fn publish_anew(promise: &Promise<'_>) -> String {
    format!("publish it anew: proximity ports publish {} --to …", promise.name())
}

fn loops(promise: &Promise<'_>, look: &Look<'_>) -> Option<Drift> {
    let port = promise.service.spec.to.port;
    let back = look.pairs.iter().find(|pair| pair.has(port))?;
    let says = format!("it leads to {}, which is the appliance itself: to {back}", promise.service.spec.to);
    Some(drift("upstream-loops", says, hand(publish_anew(promise))))
}

fn by_name(promise: &Promise<'_>, look: &Look<'_>, name: &Name) -> Option<Drift> {
    let around = look.around?;
    let name = name.to_string();
    let label = name.strip_suffix(&format!(".{}", around.domain)).filter(|l| !l.contains('.'))?;
    let all = look.guests.as_ref()?.get(label).map_or(&[][..], Vec::as_slice);
    if all.iter().any(|g| Some(g.id) == look.vmid) {
        return loops(promise, look);
    }
    let up: Vec<&Guest> = all.iter().copied().filter(|g| g.power == Power::Running).collect();
    match (all, up.as_slice()) {
        ([], _) => {
            // What is no guest of this host may ask for an address, too, and has the name that it gives.
            let leases = look.found.leases.as_ref().ok()?;
            let has = |r: &lease::Row| r.lease.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(label));
            if leases.iter().any(has) {
                return None;
            }
            let says = format!("it leads to {name}, and no guest has that name");
            Some(drift(
                "upstream-guest-gone",
                says,
                hand(format!("{}, or no more: proximity ports unpublish {}", publish_anew(promise), promise.name())),
            ))
        }
        ([one], []) if one.power == Power::Stopped => Some(stopped(one)),
        (_, [one]) => without_address(look, one),
        (_, [one, other, ..]) => {
            let says = format!("{} and {} both have the name {label}", one.title(), other.title());
            Some(drift("upstream-name-twice", says, hand(format!("rename one of them: pct set {} --hostname …", other.id))))
        }
        _ => None,
    }
}

fn stopped(guest: &Guest) -> Drift {
    drift("upstream-guest-stopped", format!("it leads to {}, which is stopped", guest.title()), Mend::Start(guest.id))
}

/// Addresses that a guest has by its configuration.
fn fixed(guest: &Guest) -> impl Iterator<Item = Ipv4Addr> {
    guest.nics.iter().filter_map(|n| n.ip.as_deref()?.split('/').next()?.parse().ok())
}

fn is_of(row: &lease::Row, guest: &Guest) -> bool {
    guest.nics.iter().any(|n| n.hwaddr.as_deref().and_then(Mac::new) == Some(row.lease.mac))
}

fn without_address(look: &Look<'_>, guest: &Guest) -> Option<Drift> {
    let leases = look.found.leases.as_ref().ok()?;
    if fixed(guest).next().is_some() || leases.iter().any(|r| is_of(r, guest)) {
        return None;
    }
    let says = format!("{} runs and was lent no address, so its name leads nowhere", guest.title());
    Some(drift("upstream-without-address", says, hand(format!("have it ask again: proximity guest reboot {}", guest.id))))
}

fn by_address(promise: &Promise<'_>, look: &Look<'_>, address: Ipv4Addr) -> Option<Drift> {
    let (_, gateway) = look.around?.lan.filter(|(lan, _)| lan.contains(&address))?;
    if address == gateway {
        return loops(promise, look);
    }
    let (leases, guests) = (look.found.leases.as_ref().ok()?, look.found.guests.as_ref().ok()?);
    let here = leases.iter().find(|r| r.lease.address == address);
    let holder = here.and_then(|r| guests.iter().find(|g| is_of(r, g))).or_else(|| guests.iter().find(|g| fixed(g).any(|a| a == address)));
    // Nobody wrote down whom it was meant for; an app of the same name is who is meant.
    let meant = look.guests.as_ref()?.get(&promise.name().to_string()).and_then(|all| all.first().copied());
    let elsewhere = meant.filter(|m| holder.is_some_and(|h| h.id != m.id)).and_then(|m| Some((m, leases.iter().find(|r| is_of(r, m))?)));
    if let (Some((meant, now)), Some(holder)) = (elsewhere, holder) {
        let says = format!("{address} is lent to {} now; {} has moved to {}", holder.title(), meant.title(), now.lease.address);
        let mend = hand(format!(
            "have it follow its app: proximity ports publish {} --to {}:{}",
            promise.name(),
            meant.label(),
            promise.service.spec.to.port
        ));
        return Some(drift("upstream-moved", says, mend));
    }
    match (holder, here) {
        (Some(guest), _) if guest.power == Power::Stopped => Some(stopped(guest)),
        (Some(_), _) => None,
        (None, Some(row)) if row.odd.contains(&lease::Oddity::Stale) => {
            let says = format!("{address} is lent to {}, which no guest has any more", row.lease.mac);
            Some(drift("upstream-guest-gone", says, hand(publish_anew(promise))))
        }
        (None, Some(_)) => None,
        (None, None) => {
            let says = format!("{address} is lent to nobody, and no guest has it");
            Some(drift("upstream-address-not-lent", says, hand(publish_anew(promise))))
        }
    }
}
