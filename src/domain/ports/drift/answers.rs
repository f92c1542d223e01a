//! What came back from the ports of something published, and what that says where nothing else does.

use std::collections::BTreeMap;

use super::{Drift, Look, Promise, drift, hand};
use crate::domain::caddy::CERTIFICATES;
use crate::domain::certificate::{self, Age};
use crate::domain::clean::clean;
use crate::domain::ports::{Answer, Lately, Mend, Row, Shown, Visits};
use crate::domain::service::{Carry, Tls, UpHost};

/// Puts the answers into a row.
pub(super) fn put(row: &mut Row, promise: &Promise<'_>, look: &Look<'_>) {
    let asked = &look.found.answered;
    let of = |answers: &Result<BTreeMap<u16, Answer>, String>, port: u16| match answers {
        Ok(all) => all.get(&port).cloned().unwrap_or(Answer::NotAsked),
        Err(why) => Answer::Unknown(why.clone()),
    };
    row.outside = of(&asked.outside, promise.pair().public);
    row.inside = of(&asked.inside, promise.pair().internal);
    row.tls = shown(promise, look);
    row.lately =
        [promise.pair().public, promise.pair().internal].map(|port| Lately { visits: visits(port, promise, look), ..Lately::default() });
}

/// The certificate that one of both ports showed; else the one that lies there to be shown.
fn shown(promise: &Promise<'_>, look: &Look<'_>) -> Option<Shown> {
    let (asked, pair) = (&look.found.answered, promise.pair());
    let seen = asked.shown.get(&pair.public).or_else(|| asked.shown.get(&pair.internal));
    let certificate = certificate::read(seen.or_else(|| asked.lies.get(&pair.public))?.first()?)?;
    Some(Shown { asked: promise.service.spec.tls.asked_by().ok().flatten(), certificate, seen: seen.is_some() })
}

/// What is wrong with the certificate that visitors are shown, whatever else is.
fn of_certificate(row: &Row, promise: &Promise<'_>, look: &Look<'_>) -> Option<Drift> {
    let shown = row.tls.as_ref()?;
    let (certificate, now) = (&shown.certificate, look.now);
    let left = certificate.left(now);
    let renew = || mend(promise);
    // Whether it will be over soon is a matter of the settings; that it is over is not.
    let age = look.around.map(|a| certificate.age(now, certificate.third_s(), a.thresholds));
    // What was not shown just now may be another one by the time that a visitor comes.
    let it = if shown.seen { "visitors are shown a certificate" } else { "what lies there to be shown is a certificate" };
    if now > certificate.not_after {
        let says = format!("{it} that {left}");
        return Some(drift("tls-expired", says, renew()));
    }
    if now < certificate.not_before {
        let says = format!("{it} that is valid from {} on", certificate.not_before.rfc3339());
        return Some(drift("tls-expired", says, renew()));
    }
    if !shown.fits() {
        let names = certificate.names_told(4).unwrap_or_else(|| "no name at all".to_owned());
        let to = shown.asked.as_ref().map_or(String::new(), |name| format!(", and visitors ask for {name}"));
        return Some(drift("tls-name", format!("{it} for {names}{to}"), renew()));
    }
    let soon = matches!(age, Some(Age::Soon | Age::Urgent));
    soon.then(|| drift("tls-expires", format!("{it} that is good for {left} more"), renew()))
}

/// What brings visitors a good certificate again.
fn mend(promise: &Promise<'_>) -> Mend {
    match &promise.service.spec.tls {
        Tls::Given { certificate } => hand(format!(
            "put another one into {CERTIFICATES}/{certificate}.crt and .key of the appliance, then: proximity appliance restart caddy"
        )),
        Tls::Acme { name, .. } => {
            hand(format!("see why it gets no new one: proximity logs caddy; the authority asks the appliance at port 80 or 443 of {name}"))
        }
        Tls::Internal { .. } | Tls::Off => hand("proximity appliance restart caddy"),
    }
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
    out.extend(of_certificate(row, promise, look));
    if !row.drift.is_empty() {
        return out;
    }
    // What Caddy does not serve cannot answer, and that is told as what it is.
    let served = |port: u16| look.running.is_some_and(|r| r.ports.contains_key(&port)) || promise.text.is_none();
    for (port, answer, from) in [(pair.public, &row.outside, "outside"), (pair.internal, &row.inside, "inside")] {
        if let (Answer::NoTls(how), true) = (answer, served(port)) {
            let says = format!("no TLS comes about at {port}, asked from {from}: {how}");
            out.push(drift("tls-silent", says, hand("look at its certificate: proximity ports certificates")));
        }
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
