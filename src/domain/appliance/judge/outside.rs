//! What the host tells: the container, the bridge, the memory.

use super::super::answer::Asked;
use super::super::desired::Desired;
use super::super::lamp::Evidence;
use super::super::{MARK, TAG, is_ours};
use super::{Answers, BridgeSeen, MemorySeen, Verdict};
use crate::domain::guest::{Guest, Power, Vmid};
use crate::domain::stamp::bytes;

pub(super) fn container(a: &Answers, vmid: Vmid) -> Verdict {
    let words = |guests: &Vec<Guest>| match guests.iter().find(|g| g.id == vmid) {
        Some(g) => format!("{} {} tags: {}; notes: {}", g.title(), g.power.word(), g.tags.join(" "), g.notes.join(" · ")),
        None => format!("{} guests, none of them {vmid}", guests.len()),
    };
    let evidence = vec![Evidence::told(&a.guests, words)];
    let guests = match &a.guests.answer {
        Ok(guests) => guests,
        Err(why) => return Verdict::unknown(format!("the guests of this host are unknown: {why}"), evidence),
    };
    let Some(guest) = guests.iter().find(|g| g.id == vmid) else {
        return if a.guests_whole {
            Verdict::fail(format!("there is no container {vmid}"), evidence)
        } else {
            Verdict::unknown(format!("{vmid} does not run, and whether it is there is unknown"), evidence)
        };
    };
    match guest.power {
        Power::Stopped => Verdict::fail(format!("{} is stopped", guest.title()), evidence),
        Power::Unknown => Verdict::unknown(format!("whether {} runs is unknown", guest.title()), evidence),
        Power::Running if !guest.conf_read => Verdict::unknown(format!("{vmid} runs, its configuration could not be read"), evidence),
        Power::Running => match (&guest.lock, is_ours(guest)) {
            (Some(lock), _) => Verdict::warn(format!("{} runs and is locked ({lock})", guest.title()), evidence),
            (None, false) => {
                let says =
                    format!("{} runs, but lacks the tag '{TAG}' or the note '{MARK}': it is not known to be Proximity's", guest.title());
                Verdict::warn(says, evidence)
            }
            (None, true) => Verdict::pass(format!("{} runs", guest.title()), evidence),
        },
    }
}

pub(super) fn bridge(wish: &Result<Desired, Vec<String>>, a: &Answers, vmid: Vmid) -> Verdict {
    let d = match wish {
        Ok(d) => d,
        Err(why) => return Verdict::no_wish(why),
    };
    let name = &d.lan_bridge;
    let words = |b: &BridgeSeen| {
        let up = b.up.map_or("not there", |up| if up { "up" } else { "down" });
        let kept = b.persisted.as_ref().map_or_else(|why| format!("unknown ({why})"), |k| if *k { "yes".into() } else { "no".into() });
        format!("{name}: {up}; ports: {}; comes up at boot: {kept}; changes waiting: {}", b.ports.join(" "), b.staged)
    };
    let evidence = vec![Evidence::told(&a.bridge, words)];
    let seen = match &a.bridge.answer {
        Ok(seen) => seen,
        Err(why) => return Verdict::unknown(format!("the bridges of this host are unknown: {why}"), evidence),
    };
    // With the firewall of Proxmox on, the container is behind a bridge of its own (facts §9.3).
    let plugs = [format!("veth{vmid}i1"), format!("fwpr{vmid}p1")];
    let runs = a.guests.answer.as_ref().ok().and_then(|g| g.iter().find(|g| g.id == vmid)).is_some_and(|g| g.power == Power::Running);
    match seen.up {
        None => return Verdict::fail(format!("there is no bridge {name}"), evidence),
        Some(false) => return Verdict::fail(format!("{name} is down"), evidence),
        Some(true) => {}
    }
    if runs && !seen.ports.iter().any(|p| plugs.contains(p)) {
        return Verdict::fail(format!("the appliance is not plugged into {name}"), evidence);
    }
    match &seen.persisted {
        Ok(false) => Verdict::warn(format!("{name} is up, but no file of the host brings it up at boot"), evidence),
        Err(why) => Verdict::unknown(format!("{name} is up; whether it comes back at boot is unknown: {why}"), evidence),
        Ok(true) if seen.staged => Verdict::warn(
            format!("{name} is up; changes of the network wait in /etc/network/interfaces.new and come into force at boot"),
            evidence,
        ),
        Ok(true) => Verdict::pass(format!("{name} is up and comes up at boot"), evidence),
    }
}

pub(super) fn memory(a: &Answers) -> Verdict {
    let words = |m: &MemorySeen| {
        format!("{} of {} bytes; killed for want of it: {}", m.used, m.limit, m.killed.map_or("?".into(), |k| k.to_string()))
    };
    let asked: &Asked<MemorySeen> = &a.memory;
    let evidence = vec![Evidence::told(asked, words)];
    let m = match &asked.answer {
        Ok(m) => m,
        Err(why) => return Verdict::unknown(format!("its memory could not be told: {why}"), evidence),
    };
    let percent = m.used.saturating_mul(100).checked_div(m.limit).unwrap_or(100);
    // What was not counted is not said to be none.
    let kills = if m.killed.is_none() { "; what was killed for want of it is not counted here" } else { "" };
    let share = format!("{percent} % of {} used{kills}", bytes(m.limit));
    match m.killed {
        Some(k) if k > 0 => Verdict::warn(format!("{share}; {k} process(es) were killed for want of memory since its start"), evidence),
        _ if percent >= 97 => Verdict::fail(share, evidence),
        _ if percent >= 90 => Verdict::warn(share, evidence),
        _ => Verdict::pass(share, evidence),
    }
}
