//! What apps get: addresses, names, the way out; and what they must not get.

use std::net::Ipv4Addr;

use super::super::answer::{Asked, Dns, Gave, dns as dns_answer};
use super::super::desired::Desired;
use super::super::lamp::Evidence;
use super::super::nat;
use super::{Answers, BridgeSeen, Verdict, answered, succeeded};

/// Reads `udhcpc: lease of A obtained from S, lease time N`; older ones do not name the server.
fn offer(gave: &Gave) -> Option<(Ipv4Addr, Option<Ipv4Addr>)> {
    let text = [&gave.out, &gave.err].map(|b| String::from_utf8_lossy(b).into_owned()).join("\n");
    let line = text.lines().find_map(|l| l.split_once("lease of ").map(|(_, rest)| rest.to_owned()))?;
    let (address, rest) = line.split_once(" obtained")?;
    let server = rest.strip_prefix(" from ").and_then(|r| r.split([',', ' ']).next()?.parse().ok());
    Some((address.parse().ok()?, server))
}

pub(super) fn dhcp(wish: &Result<Desired, Vec<String>>, a: &Answers) -> Verdict {
    let d = match wish {
        Ok(d) => d,
        Err(why) => return Verdict::no_wish(why),
    };
    let gave = match answered(&a.dhcp, "an address") {
        Ok(gave) => gave,
        Err(unknown) => return unknown,
    };
    let evidence = vec![Evidence::of(&a.dhcp)];
    match (gave.status, offer(gave)) {
        (0, Some((_, Some(server)))) if server != d.gateway => {
            Verdict::fail(format!("another DHCP server answers on {}: {server}", d.lan_bridge), evidence)
        }
        (0, Some((address, _))) if !d.lan.contains(&address) => {
            Verdict::fail(format!("the address that was lent, {address}, is not in {}", d.lan), evidence)
        }
        (0, Some((address, _))) => Verdict::pass(format!("a running app was lent {address}"), evidence),
        (1, None) => Verdict::fail("nobody lends addresses to apps", evidence),
        (status, _) => Verdict::unknown(format!("the DHCP client ended with status {status} and told no lease"), evidence),
    }
}

pub(super) fn dns(wish: &Result<Desired, Vec<String>>, a: &Answers) -> Verdict {
    let d = match wish {
        Ok(d) => d,
        Err(why) => return Verdict::no_wish(why),
    };
    let gateway = d.gateway.to_string();
    let own = part(&a.own_name, "its own name", |answer| match answer {
        Dns::Found(all) if all.contains(&gateway) => Ok(format!("its own name is {gateway}")),
        Dns::Found(all) => {
            Err(format!("its own name is told as {}, not as {gateway}", if all.is_empty() { "nothing".into() } else { all.join(" ") }))
        }
        Dns::Code(code) => Err(format!("it does not know its own name ({code})")),
        Dns::Silence => Err("it does not answer".into()),
    });
    let far = part(&a.far_name, "a name of the outside", |answer| match answer {
        Dns::Found(all) if !all.is_empty() => Ok("upstream answers".into()),
        Dns::Found(_) => Err(format!("{} has no address by upstream", super::FAR_NAME)),
        Dns::Code(code) => Err(format!("upstream does not tell {} ({code})", super::FAR_NAME)),
        Dns::Silence => Err("nothing comes back from upstream".into()),
    });
    let none = part(&a.no_name, "a name that is not there", |answer| match answer {
        Dns::Code(code) if code == "NXDOMAIN" => Ok("a missing name is said to be missing".into()),
        Dns::Found(all) => Err(format!("a name that is not there is told as {}", all.join(" "))),
        Dns::Code(code) => Err(format!("a name that is not there is answered with {code}")),
        Dns::Silence => Err("nothing comes back for a name that is not there".into()),
    });
    Verdict::worst(vec![own, far, none])
}

fn part(asked: &Asked<Gave>, what: &str, read: impl Fn(Dns) -> Result<String, String>) -> Verdict {
    let gave = match answered(asked, what) {
        Ok(gave) => gave,
        Err(unknown) => return unknown,
    };
    let evidence = vec![Evidence::of(asked)];
    // What is not nslookup's own answer may be on either stream.
    match dns_answer(&gave.text()).map(read) {
        Some(Ok(says)) => Verdict::pass(says, evidence),
        Some(Err(says)) => Verdict::fail(says, evidence),
        None => Verdict::unknown(format!("{what}: the answer cannot be read"), evidence),
    }
}

pub(super) fn nat(wish: &Result<Desired, Vec<String>>, a: &Answers) -> Verdict {
    let d = match wish {
        Ok(d) => d,
        Err(why) => return Verdict::no_wish(why),
    };
    let (new, evidence) = match succeeded(&a.rules, "the rules") {
        Ok(gave) => (gave.text(), vec![Evidence::of(&a.rules), Evidence::of(&a.old_rules)]),
        Err(unknown) => return unknown,
    };
    let Some(found) = nat::parse(&new) else { return Verdict::unknown("the rules cannot be read", evidence) };
    let compared = nat::compare(&nat::tables(d), &found);
    // Where the old tools are not there, nothing of theirs was loaded by them.
    let old = match &a.old_rules.answer {
        Ok(gave) if gave.status == 0 => nat::parse(&gave.text()),
        Ok(gave) if matches!(gave.status, 126 | 127) => Some(Vec::new()),
        _ => None,
    };
    let ours_in_old =
        old.as_ref().map(|old| nat::compare(&nat::tables(d), old).missing.len() < nat::compare(&nat::tables(d), &[]).missing.len());
    let legacy = new.lines().any(|l| l.starts_with("# Generated by") && l.contains("(legacy)"));
    let one = |rules: &[String]| rules.first().cloned().unwrap_or_default();
    if !compared.missing.is_empty() {
        let place = if ours_in_old == Some(true) { ", and rules of ours stand in the old backend (legacy)" } else { "" };
        return Verdict::fail(
            format!("{} rule(s) are missing, first: {}{place}", compared.missing.len(), one(&compared.missing)),
            evidence,
        );
    }
    if let Some((rule, n)) = compared.doubled.first() {
        return Verdict::warn(format!("a rule stands there {n} times: {rule}"), evidence);
    }
    if compared.order {
        return Verdict::fail("our rules are in another order, so that the first ones hide the others", evidence);
    }
    if let Some(policy) = compared.policies.first() {
        return Verdict::warn(format!("what no rule names is treated otherwise than it should be: {policy}"), evidence);
    }
    if !compared.foreign.is_empty() {
        return Verdict::warn(format!("{} rule(s) of somebody else, first: {}", compared.foreign.len(), one(&compared.foreign)), evidence);
    }
    match (ours_in_old, legacy) {
        (Some(true), false) => Verdict::warn("our rules stand in the old backend (legacy) too", evidence),
        (_, true) => Verdict::warn("the rules are in force, in the old backend (legacy)", evidence),
        (None, false) => Verdict::unknown("the rules are in force; whether the old backend (legacy) has some is unknown", evidence),
        (Some(false), false) => Verdict::pass("every rule is in force once, and no other", evidence),
    }
}

/// Whether an app made a connection: 0 and 1 are busybox nc's own words for yes and no.
fn connected(asked: &Asked<Gave>, what: &str) -> Result<bool, Verdict> {
    let gave = answered(asked, what)?;
    match gave.status {
        0 => Ok(true),
        1 => Ok(false),
        status => Err(Verdict::unknown(format!("{what}: the attempt ended with status {status}"), vec![Evidence::of(asked)])),
    }
}

pub(super) fn way_out(a: &Answers) -> Verdict {
    let evidence = vec![Evidence::of(&a.way_out)];
    match connected(&a.way_out, "the way out") {
        Ok(true) => Verdict::pass("a running app reached upstream", evidence),
        Ok(false) => Verdict::fail("a running app does not reach upstream", evidence),
        Err(unknown) => unknown,
    }
}

pub(super) fn isolation(a: &Answers) -> Verdict {
    if a.guarded.is_empty() {
        return Verdict::unknown("the node's own addresses are not known, so none was tried", Vec::new());
    }
    let one = |asked: &Asked<Gave>| {
        let evidence = vec![Evidence::of(asked)];
        match connected(asked, "the node") {
            Ok(true) => Verdict::fail(format!("a running app reaches the node: {}", asked.question), evidence),
            Ok(false) => Verdict::pass("a running app does not reach the node", evidence),
            Err(unknown) => unknown,
        }
    };
    let mut parts: Vec<Verdict> = a.guarded.iter().map(one).collect();
    // Whatever stands on the bridge itself is reached past all rules; the kernel gives a link-local address unasked.
    let told = |seen: &BridgeSeen| {
        seen.own.as_ref().map_or_else(|why| format!("unknown: {why}"), |own| format!("the host has on it: {}", own.join(" ")))
    };
    let evidence = vec![Evidence::told(&a.bridge, told)];
    parts.push(match a.bridge.answer.as_ref().map(|seen| &seen.own) {
        Ok(Ok(own)) if own.is_empty() => Verdict::pass("the host has no address in the network of the apps", evidence),
        Ok(Ok(own)) => Verdict::fail(format!("the host itself is in the network of the apps: {}", own.join(", ")), evidence),
        Ok(Err(why)) | Err(why) => Verdict::unknown(format!("whether the host has an address there is unknown: {why}"), evidence),
    });
    let mut all = Verdict::worst(parts);
    if all.light == super::Light::Pass {
        all.says = "a running app does not reach the node, which has no address in its network".into();
    }
    all
}

pub(super) fn admin(a: &Answers) -> Verdict {
    let evidence = vec![Evidence::of(&a.admin_outside), Evidence::of(&a.admin)];
    let inside = answered(&a.admin, "Caddy's administration").map(|g| g.status == 0);
    match (connected(&a.admin_outside, "Caddy's administration from an app"), inside) {
        (Ok(true), _) => Verdict::fail("an app reaches Caddy's administration", evidence),
        (Ok(false), Ok(true)) => Verdict::pass("it answers inside and not to apps", evidence),
        (Ok(false), Ok(false)) => Verdict::unknown("it does not answer inside either, so there was nothing to reach", evidence),
        (Ok(false), Err(unknown)) | (Err(unknown), _) => unknown,
    }
}
