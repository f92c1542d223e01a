//! Whether packets of one size pass everywhere: the bridges, the appliance's two interfaces, and an app's.

use serde_json::Value;

use super::super::answer::{Asked, Gave};
use super::super::desired::{Desired, LAN, WAN};
use super::super::lamp::Evidence;
use super::{Answers, Verdict, succeeded};

/// What is asked in a network namespace, by the host's own program.
pub const QUESTION: [&str; 4] = ["ip", "-j", "link", "show"];

/// The MTU of an interface, from the answer to [`QUESTION`].
fn of(gave: &Gave, name: &str) -> Option<u32> {
    let all: Vec<Value> = serde_json::from_slice(&gave.out).ok()?;
    let link = all.iter().find(|link| link["ifname"] == name)?;
    u32::try_from(link["mtu"].as_u64()?).ok()
}

/// What the host itself has on the way of packets: both bridges, and the appliance's cables into them.
pub fn on_host(d: &Desired, vmid: crate::domain::guest::Vmid) -> [String; 4] {
    [d.lan_bridge.as_str().to_owned(), format!("veth{vmid}i1"), d.wan_bridge.as_str().to_owned(), format!("veth{vmid}i0")]
}

/// An end of a cable or a bridge, with its MTU.
type End = (String, u32);

/// Interfaces of one network namespace, and what is to be said of the question.
fn ask(asked: &Asked<Gave>, names: &[&str], whose: &str) -> (Vec<Option<End>>, Verdict) {
    let gave = match succeeded(asked, &format!("the MTU {whose}")) {
        Ok(gave) => gave,
        Err(unknown) => return (vec![None; names.len()], unknown),
    };
    let found: Vec<_> = names.iter().map(|name| of(gave, name).map(|mtu| (format!("{name} {whose}"), mtu))).collect();
    let evidence = vec![Evidence::of(asked)];
    let verdict = match names.iter().zip(&found).find(|(_, found)| found.is_none()) {
        Some((name, _)) => Verdict::unknown(format!("the MTU of {name} {whose} was not told"), evidence),
        None => Verdict::pass("", evidence),
    };
    (found, verdict)
}

pub(super) fn mtu(wish: &Result<Desired, Vec<String>>, a: &Answers) -> Verdict {
    let d = match wish {
        Ok(d) => d,
        Err(why) => return Verdict::no_wish(why),
    };
    let told = |all: &Vec<(String, Option<u32>)>| {
        all.iter().map(|(name, mtu)| format!("{name} {}", mtu.map_or("not there".into(), |m| m.to_string()))).collect::<Vec<_>>().join("\n")
    };
    let evidence = vec![Evidence::told(&a.links, told)];
    let host = match &a.links.answer {
        Ok(host) => host,
        Err(why) => return Verdict::unknown(format!("the MTU of the bridges could not be asked: {why}"), evidence),
    };
    let at = |n: usize| host.get(n).and_then(|(name, mtu)| Some((name.clone(), (*mtu)?)));
    let mut parts = vec![match (at(0), at(2)) {
        (Some(_), Some(_)) => Verdict::pass("", evidence),
        (None, _) => Verdict::unknown(format!("the MTU of {} was not told", d.lan_bridge.as_str()), evidence),
        (_, None) => Verdict::unknown(format!("the MTU of {} was not told", d.wan_bridge.as_str()), evidence),
    }];
    let (own, verdict) = ask(&a.own_links, &[LAN, WAN], "of the appliance");
    parts.push(verdict);
    let (inner, outer) = (own.first().cloned().flatten(), own.get(1).cloned().flatten());
    let mut app = None;
    if let Some((nic, asked)) = &a.app_links {
        let (found, verdict) = ask(asked, &[nic], "of a running app");
        parts.push(verdict);
        app = found.into_iter().next().flatten();
    }
    // Among themselves, apps and the appliance send without asking anybody how large a packet may be.
    let lan: Vec<End> = [at(0), at(1), inner.clone(), app].into_iter().flatten().collect();
    if let Some((first, size)) = lan.first()
        && let Some((other, differs)) = lan.iter().find(|(_, mtu)| mtu != size)
    {
        parts.push(Verdict::warn(format!("in the network of the apps {first} has {size} and {other} has {differs}"), Vec::new()));
    }
    // On the way out a smaller interface tells others how large a packet may be, a smaller bridge or cable does not.
    let wan = [at(2), at(3)];
    if let Some((inside, size)) = &outer
        && let Some((narrow, mtu)) = wan.iter().flatten().find(|(_, mtu)| mtu < size)
    {
        parts
            .push(Verdict::warn(format!("on the way out {narrow} has {mtu} and {inside} has {size}: larger packets are lost"), Vec::new()));
    }
    if let (Some((inside, size)), Some((_, lan))) = (&outer, &inner)
        && size < lan
    {
        parts.push(Verdict::warn(format!("{inside} has {size}, less than the {lan} of the apps"), Vec::new()));
    }
    let mut all = Verdict::worst(parts);
    if all.light == super::Light::Pass {
        all.says = lan.first().map_or(String::new(), |(_, size)| format!("{size} bytes pass everywhere"));
    }
    all
}
