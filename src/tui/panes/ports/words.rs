//! Rows of ports in words: a cell, a note, all details.

use super::is_wrong;
use crate::domain::clean::clean;
use crate::domain::ports::traffic::millis;
use crate::domain::ports::{Answer, LastWell, Mend, PortMap, Row, Shown, Traffic, Visits};
use crate::domain::service::{Auth, Proof, Spec, Tls};
use crate::domain::stamp;
use crate::tui::dialogs::text::{Line, field};
use crate::tui::pane::Known;
use crate::tui::theme::Tone;
use crate::tui::words::{count, fresh, many};

/// What to do about a row that cannot be relied on.
pub(super) const BAD_ROW: &str =
    "find out who wrote to the store; while this row is there no port is given out, and proximity ports release NUMBER gives it back";

/// How a row stands, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Somebody who asks is not answered.
    Wrong,
    /// It is not as it was promised.
    Drifts,
    /// It was not asked, or could not be.
    Unknown,
    /// Nothing is known against it.
    Well,
}

/// How a row stands.
pub(super) fn standing(row: &Row) -> Standing {
    let both = [&row.outside, &row.inside];
    if both.iter().any(|a| is_wrong(a)) {
        Standing::Wrong
    } else if !row.drift.is_empty() {
        Standing::Drifts
    } else if both.iter().any(|a| matches!(a, Answer::Unknown(_))) {
        Standing::Unknown
    } else {
        Standing::Well
    }
}

/// Whose a row is: its name, else its port.
pub(super) fn whose(row: &Row) -> String {
    let port = row.public.or(row.internal).map_or("?".into(), |p| p.to_string());
    row.name.as_ref().map_or(port, ToString::to_string)
}

/// The title of a row's dialogs.
pub(super) fn title(row: &Row) -> String {
    let number = |port: Option<u16>| port.map_or("–".into(), |p| p.to_string());
    let whose = row.name.as_ref().filter(|_| row.state != "cooling").map_or(row.state.to_owned(), ToString::to_string);
    format!("{} / {} {whose}", number(row.public), number(row.internal))
}

fn short(answer: &Answer) -> String {
    match answer {
        Answer::NotAsked => "–".into(),
        Answer::Unknown(_) => "?".into(),
        Answer::Silent(how) => how.clone(),
        Answer::NoTls(_) => "no TLS".into(),
        Answer::Taken { ms } => format!("taken  {ms} ms"),
        Answer::Status { code, ms, .. } => format!("{code}  {ms} ms"),
    }
}

/// The cell of what a row answers; the worse of both ports decides, and what was not asked is never well.
pub(super) fn answers(row: &Row) -> (String, Tone) {
    let (outside, inside) = (&row.outside, &row.inside);
    match (outside, inside) {
        (Answer::NotAsked, Answer::NotAsked) => (row.state.to_owned(), Tone::Quiet),
        _ if is_wrong(outside) => (format!("✗ {}", short(outside)), Tone::Bad),
        _ if is_wrong(inside) => (format!("✗ in {}", short(inside).replace("  ", " ")), Tone::Bad),
        (Answer::Unknown(_), _) => ("?".into(), Tone::Unknown),
        (_, Answer::Unknown(_)) => (format!("? {}", short(outside)), Tone::Unknown),
        _ => (short(outside), Tone::Good),
    }
}

/// What a row says where nothing leads anywhere, in about `room` columns.
pub(super) fn note(row: &Row, map: Option<&PortMap>, known: &Known, room: u16) -> String {
    let past = row.public.filter(|_| row.state == "cooling").and_then(|port| map?.cooling_at(port, known.now));
    let Some(past) = past else { return row.note.clone() };
    let until = past.free.minute(known.offset_s);
    let was = past.was.what.name().map_or(past.was.what.word().to_owned(), ToString::to_string);
    let all = format!("until {until}, was {was}");
    // On a narrow screen the day and the minute say more than the year.
    if all.len() > room.into() { format!("until {}, was {was}", until.get(5..).unwrap_or_default()) } else { all }
}

/// All that came back from a port.
fn told(answer: &Answer) -> Line {
    let (tone, says) = match answer {
        Answer::NotAsked => (Tone::Quiet, "not asked: nothing is promised there".to_owned()),
        Answer::Unknown(why) => (Tone::Unknown, format!("? {why}")),
        Answer::Silent(how) => (Tone::Bad, format!("✗ {how}")),
        Answer::NoTls(how) => (Tone::Bad, format!("✗ no TLS comes about: {how}")),
        Answer::Taken { ms } => (Tone::Good, format!("takes connections, in {ms} ms")),
        Answer::Status { code, ms, size } => {
            let size = size.map_or(String::new(), |s| format!(", {}", stamp::bytes(s)));
            let well = answer.is_well();
            let behind = if well { "" } else { ": what stands behind it did not answer" };
            let sign = if well { "" } else { "✗ " };
            (if well { Tone::Good } else { Tone::Bad }, format!("{sign}{code} in {ms} ms{size}{behind}"))
        }
    };
    (tone, says)
}

/// Who came, in three cells: requests, how many failed, how long 95 of 100 took.
pub(super) fn visits(visits: &Visits) -> [(String, Tone); 3] {
    let none = || ("–".to_owned(), Tone::Quiet);
    match visits {
        Visits::NotCounted => [none(), none(), none()],
        Visits::Unknown(_) => [("?".into(), Tone::Unknown), none(), none()],
        Visits::Counted(Traffic { requests: 0, .. }) => [("0".into(), Tone::Quiet), none(), none()],
        Visits::Counted(t) => {
            let failed = if t.failed > 0 { Tone::Warn } else { Tone::Quiet };
            [(count(t.requests.into()), Tone::Plain), (count(t.failed.into()), failed), (millis(t.p95_us), Tone::Plain)]
        }
    }
}

/// When a port last answered well, below it; where it does so now that is said above.
fn well(answer: &Answer, well: &LastWell, known: &Known) -> Option<Line> {
    match well {
        LastWell::NotAsked => None,
        LastWell::At(at) if answer.is_well() => Some((Tone::Quiet, format!("  answered well {}", fresh(known.now, *at)))),
        LastWell::At(at) => Some((Tone::Warn, format!("  last answered well {}", at.minute(known.offset_s)))),
        LastWell::Never => Some((Tone::Warn, "  never seen answering since it is published so".into())),
        LastWell::Unknown(why) => Some((Tone::Unknown, format!("  ? when it last answered well: {why}"))),
    }
}

/// The same in whole sentences, below a port.
fn visitors(visits: &Visits, known: &Known) -> Vec<Line> {
    let t = match visits {
        Visits::NotCounted => return Vec::new(),
        Visits::Unknown(why) => return vec![(Tone::Unknown, format!("  ? who came: {why}"))],
        Visits::Counted(traffic) => traffic,
    };
    let mut out = Vec::new();
    let over = t.over();
    if let Some(last) = t.last {
        let (mean, p95, size) = (millis(t.mean_us), millis(t.p95_us), stamp::bytes(t.bytes));
        let requests = many(t.requests as usize, "request");
        out.push((Tone::Plain, format!("  {requests} in the last {over}: mean {mean}, 95 of 100 within {p95}, {size}")));
        let (failed, refused, at) = (count(t.failed.into()), count(t.refused.into()), last.clock(known.offset_s));
        let tone = if t.failed > 0 { Tone::Warn } else { Tone::Plain };
        out.push((tone, format!("  {failed} answered 5xx, {refused} answered 4xx, the last at {at}")));
    } else {
        out.push((Tone::Plain, format!("  no request in the last {over}")));
    }
    if t.own > 0 {
        out.push((Tone::Quiet, format!("  besides {} of the console itself", many(t.own as usize, "question"))));
    }
    if t.unread > 0 {
        out.push((Tone::Unknown, format!("  ? {} of the log could not be read", many(t.unread as usize, "line"))));
    }
    out
}

/// What a mend is, for a menu.
pub(super) fn kind_of_mend(mend: &Mend) -> &'static str {
    match mend {
        Mend::Apply => "fix it: bring what is published in force as promised",
        Mend::Appliance => "fix it: bring the appliance back to its settings",
        Mend::Start(_) => "fix it: start its guest",
        Mend::Hand(_) => "how a person fixes it",
    }
}

/// What mends something, for whoever reads about it.
pub(super) fn mends(mend: &Mend) -> String {
    match mend {
        Mend::Apply => "  f mends it: what is published is brought in force as promised".into(),
        Mend::Appliance => "  f mends it: the appliance is brought back to its settings".into(),
        Mend::Start(guest) => format!("  f mends it: guest {guest} is started"),
        Mend::Hand(how) => format!("  by hand: {how}"),
    }
}

/// The certificate that visitors are shown, in one line.
fn shows(shown: &Shown, known: &Known) -> Line {
    let c = &shown.certificate;
    let names = c.names_told(6).unwrap_or_else(|| "no name".to_owned());
    let over = c.not_after < known.now;
    let left = if over { c.left(known.now) } else { format!("good for {}", c.left(known.now)) };
    let where_from = if shown.seen { "" } else { "; not shown just now: it lies there" };
    let wrong = over || !shown.fits() || known.now < c.not_before;
    let (tone, sign) = if wrong { (Tone::Bad, "✗ ") } else { (Tone::Plain, "") };
    (tone, format!("{:<12} {sign}{left}, until {}, for {names}{where_from}", "TLS", c.not_after.minute(known.offset_s)))
}

/// Everything known of a row: what was promised, by whom and since when, what both ports answer, what is not as promised.
pub(super) fn details(row: &Row, urls: [Option<String>; 2], map: Option<&PortMap>, known: &Known) -> Vec<Line> {
    let time = |at: stamp::Stamp| at.minute(known.offset_s);
    let mut out: Vec<Line> = Vec::new();
    let held = row.public.and_then(|port| map?.at(port));
    let service = row.name.as_ref().filter(|_| row.state == "published").and_then(|name| map?.service(name));
    out.push(field("is", Ok(row.state.to_owned())));
    if let Some(held) = held {
        out.push(field("ports", Ok(format!("{}, since {} by {}", held.what, time(held.at), clean(&held.by)))));
    }
    if row.state == "cooling" {
        out.push(field("cools down", Ok(note(row, map, known, u16::MAX))));
    } else if !row.note.is_empty() && held.is_none() {
        out.push(field("what", Ok(row.note.clone())));
    }
    if let Some(service) = service {
        out.push(field("leads to", Ok(format!("{} ({})", service.spec.to, service.spec.carry.word()))));
        out.push(field("promised", Ok(format!("{} by {}", time(service.at), clean(&service.by)))));
        if service.spec.to.tls {
            match &service.spec.proof {
                Proof::Own => out.push(field("certificate", Ok("proven, for the name it is asked by".into()))),
                Proof::Named(name) => out.push(field("certificate", Ok(format!("proven, for {name}")))),
                Proof::Skipped => out.push((Tone::Warn, "! its certificate is not proven: whoever stands there is believed".into())),
            }
        }
        let Spec { auth, tls, sources, health, .. } = &service.spec;
        if *tls != Tls::Off {
            out.push(field("visitors", Ok(format!("come by TLS: {}", tls.word()))));
        }
        if *auth != Auth::None {
            out.push(field("login", Ok(auth.word().to_owned())));
        }
        if let Some(sources) = sources {
            let nets = sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            out.push(field("internal for", Ok(nets)));
        }
        out.extend(health.as_ref().map(|path| field("health", Ok(format!("{path} is asked each half minute")))));
    } else if !row.target.is_empty() {
        out.push(field("leads to", Ok(row.target.clone())));
    }
    let ports = [("public", row.public, &row.outside), ("internal", row.internal, &row.inside)];
    for (((name, port, answer), url), lately) in ports.into_iter().zip(urls).zip(&row.lately) {
        let Some(port) = port else { continue };
        let (tone, says) = told(answer);
        out.push((tone, format!("{name:<12} {port}  {says}")));
        out.extend(url.map(|url| (if url.starts_with("http") { Tone::Link } else { Tone::Plain }, url)));
        out.extend(well(answer, &lately.well, known));
        out.extend(visitors(&lately.visits, known));
    }
    out.extend(row.tls.as_ref().map(|shown| shows(shown, known)));
    for drift in &row.drift {
        out.push((Tone::Plain, String::new()));
        out.push((Tone::Warn, format!("! {}: {}", drift.kind, drift.says)));
        out.push((Tone::Strong, mends(&drift.mend)));
    }
    if let (Some(past), None) = (row.public.and_then(|port| map?.cooling_at(port, known.now)), held) {
        out.push(field("given back", Ok(format!("{} by {}", time(past.until), clean(&past.by)))));
    }
    out
}
