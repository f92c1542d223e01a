//! What came back from the ports of something published, and what that says where nothing else does.

use std::collections::BTreeMap;

use super::{Drift, Look, Promise, drift, hand};
use crate::domain::clean::clean;
use crate::domain::ports::{Answer, Lately, Mend, Row, Visits};
use crate::domain::service::{Carry, UpHost};

/// Puts the answers into a row.
pub(super) fn put(row: &mut Row, promise: &Promise<'_>, look: &Look<'_>) {
    let asked = &look.found.answered;
    let of = |answers: &Result<BTreeMap<u16, Answer>, String>, port: u16| match answers {
        Ok(all) => all.get(&port).cloned().unwrap_or(Answer::NotAsked),
        Err(why) => Answer::Unknown(why.clone()),
    };
    row.outside = of(&asked.outside, promise.pair().public);
    row.inside = of(&asked.inside, promise.pair().internal);
    row.lately =
        [promise.pair().public, promise.pair().internal].map(|port| Lately { visits: visits(port, promise, look), ..Lately::default() });
}

/// Who came to a port. That nobody did is known only where Caddy writes down who comes.
fn visits(port: u16, promise: &Promise<'_>, look: &Look<'_>) -> Visits {
    if promise.service.spec.carry != Carry::Http {
        return Visits::NotCounted;
    }
    let running = match &look.found.running {
        _ if look.vmid.is_none() => return Visits::Unknown("the appliance does not run, or whether it does is unknown".into()),
        Err(why) => return Visits::Unknown(clean(&format!("whether Caddy writes down who comes is unknown: {why}"))),
        Ok(running) => running,
    };
    match &look.found.traffic {
        _ if !running.logged.contains(&port) => Visits::Unknown("Caddy does not write down under this port who comes".into()),
        Err(why) => Visits::Unknown(clean(why)),
        Ok(all) => all.get(&port).map_or_else(|| Visits::Unknown("it was not counted".into()), |t| Visits::Counted(t.clone())),
    }
}

/// What the answers say that nothing else in the row explains.
pub(super) fn of(row: &Row, promise: &Promise<'_>, look: &Look<'_>) -> Vec<Drift> {
    let pair = promise.pair();
    let mut out = Vec::new();
    let asked = &look.found.answered;
    if let Ok(strange) = &asked.strange
        && !asked.asker_trusted
        && promise.service.spec.carry == Carry::Http
        && let Some(Answer::Status { code, .. }) = strange.get(&pair.internal)
        && *code != 403
    {
        let says = format!("whoever is outside and not trusted is answered {code} at {}", pair.internal);
        out.push(drift("internal-open", says, Mend::Appliance));
    }
    if !row.drift.is_empty() {
        return out;
    }
    // What Caddy does not serve cannot answer, and that is told as what it is.
    let served = |port: u16| look.running.is_some_and(|r| r.ports.contains_key(&port)) || promise.text.is_none();
    for (port, answer, from) in [(pair.public, &row.outside, "outside"), (pair.internal, &row.inside, "inside")] {
        let Answer::Silent(how) = answer else { continue };
        if served(port) {
            let mend = if from == "outside" { Mend::Appliance } else { hand("proximity appliance restart caddy") };
            out.push(drift("answers-nothing", format!("nothing answers at {port}, asked from {from}: {how}"), mend));
        }
    }
    let gave_up = [&row.outside, &row.inside].into_iter().find_map(|a| match a {
        Answer::Status { code: code @ 502..=504, .. } => Some(*code),
        _ => None,
    });
    if let Some(code) = gave_up {
        let to = &promise.service.spec.to;
        let who = match &to.host {
            UpHost::Name(name) => name.to_string(),
            UpHost::Address(address) => address.to_string(),
        };
        let how = if code == 504 { "not in time" } else { "nothing" };
        let says = format!("Caddy says {code}: {how} from {to}");
        out.push(drift("answers-502", says, hand(format!("look in {who} at what is to answer at port {}", to.port))));
    }
    out
}
