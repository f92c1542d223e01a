//! What lies and runs in the appliance: services, the kernel's values, files, clock, disk.

use super::super::answer::{Asked, Dns, Gave, dns};
use super::super::desired::{Desired, FORMAT, LAN};
use super::super::files::{Made, NAMESERVER, RESOLVER, files, in_effect, kernel, made_by_us};
use super::super::lamp::{Evidence, Light};
use super::super::system::Run;
use super::super::tar;
use super::{Answers, Verdict, answered, succeeded};
use crate::domain::clean::clean;
use crate::domain::guest::Vmid;
use crate::domain::stamp::bytes;

pub(super) fn service(wish: &Result<Desired, Vec<String>>, asked: &Asked<Gave>) -> Verdict {
    let d = match wish {
        Ok(d) => d,
        Err(why) => return Verdict::no_wish(why),
    };
    let gave = match answered(asked, "the service") {
        Ok(gave) => gave,
        Err(unknown) => return unknown,
    };
    let evidence = vec![Evidence::of(asked)];
    match d.system.run(gave.status) {
        Run::Up => Verdict::pass("it runs", evidence),
        Run::Between(word) => Verdict::warn(format!("it is {word}"), evidence),
        Run::Down(word) => Verdict::fail(format!("it is {word}"), evidence),
        Run::Odd(status) => Verdict::unknown(format!("its status {status} has no meaning on {}", d.system.word()), evidence),
    }
}

pub(super) fn caddy(wish: &Result<Desired, Vec<String>>, a: &Answers) -> Verdict {
    let runs = service(wish, &a.caddy);
    let evidence = vec![Evidence::of(&a.admin)];
    let answers = match answered(&a.admin, "Caddy") {
        Ok(gave) if gave.status == 0 => Verdict::pass("it answers", evidence),
        Ok(_) => Verdict::fail("it does not answer", evidence),
        Err(unknown) => unknown,
    };
    Verdict::worst(vec![runs, answers])
}

/// A value of `sysctl KEY…`, which prints `key = value`.
fn value(gave: &Gave, key: &str) -> Option<String> {
    gave.text().lines().find_map(|l| l.split_once('=').filter(|(k, _)| k.trim() == key).map(|(_, v)| v.trim().to_owned()))
}

pub(super) fn forwarding(a: &Answers) -> Verdict {
    let gave = match answered(&a.kernel, "the kernel's values") {
        Ok(gave) => gave,
        Err(unknown) => return unknown,
    };
    let evidence = vec![Evidence::of(&a.kernel)];
    match value(gave, "net.ipv4.ip_forward").as_deref() {
        Some("1") => Verdict::pass("packets are passed on", evidence),
        Some("0") => Verdict::fail("packets are not passed on: net.ipv4.ip_forward is 0", evidence),
        _ => Verdict::unknown("net.ipv4.ip_forward was not told", evidence),
    }
}

/// Ranges as the kernel writes them: `8080,40000-40999`.
fn ranges(text: &str) -> Option<Vec<(u16, u16)>> {
    let one = |part: &str| {
        let (a, b) = part.split_once('-').unwrap_or((part, part));
        Some((a.parse().ok()?, b.parse().ok()?))
    };
    text.split(',').filter(|p| !p.is_empty()).map(one).collect()
}

pub(super) fn ports(wish: &Result<Desired, Vec<String>>, a: &Answers) -> Verdict {
    const KEY: &str = "net.ipv4.ip_local_reserved_ports";
    let d = match wish {
        Ok(d) => d,
        Err(why) => return Verdict::no_wish(why),
    };
    let gave = match answered(&a.kernel, "the kernel's values") {
        Ok(gave) => gave,
        Err(unknown) => return unknown,
    };
    let evidence = vec![Evidence::of(&a.kernel)];
    let want = kernel(d).into_iter().find(|(k, _)| *k == KEY).and_then(|(_, v)| ranges(&v)).unwrap_or_default();
    let Some(have) = value(gave, KEY).and_then(|v| ranges(&v)) else { return Verdict::unknown(format!("{KEY} was not told"), evidence) };
    let free = want.iter().find(|(from, to)| (*from..=*to).any(|port| !have.iter().any(|(a, b)| (*a..=*b).contains(&port))));
    match free {
        Some((from, to)) => Verdict::warn(format!("of the ports {from}-{to} not all are kept back"), evidence),
        None => Verdict::pass("the internal ports are kept back", evidence),
    }
}

pub(super) fn config(wish: &Result<Desired, Vec<String>>, a: &Answers, vmid: Vmid) -> Verdict {
    let d = match wish {
        Ok(d) => d,
        Err(why) => return Verdict::no_wish(why),
    };
    let mut parts = vec![nics(d, a, vmid)];
    match on_disk(d, &a.files) {
        Ok(all) => parts.extend(all),
        Err(unknown) => parts.push(unknown),
    }
    parts.push(dnsmasq_in_effect(d, &a.in_effect));
    parts.push(caddy_in_effect(&a.adapted, &a.admin));
    let mut all = Verdict::worst(parts);
    if all.light == Light::Pass {
        all.says = "files and what runs are as the settings want them".into();
    }
    all
}

/// The container's interfaces. Its own `/etc/network/interfaces` is written anew by Proxmox at each start, from these.
fn nics(d: &Desired, a: &Answers, vmid: Vmid) -> Verdict {
    let guest = a.guests.answer.as_ref().ok().and_then(|g| g.iter().find(|g| g.id == vmid));
    let Some(guest) = guest.filter(|g| g.conf_read) else { return Verdict::unknown("its interfaces are unknown", Vec::new()) };
    let evidence = vec![Evidence {
        asked: a.guests.question.clone(),
        answer: guest.nics.iter().map(|n| format!("{}: {}", n.key, n.raw)).collect::<Vec<_>>().join("\n"),
        at: a.guests.at,
    }];
    let own = format!("{}/{}", d.gateway, d.lan.prefix_len());
    let lan = guest.nics.iter().find(|n| n.name == LAN);
    match lan {
        None => Verdict::warn(format!("the container has no interface {LAN}"), evidence),
        Some(n) if n.bridge.as_deref() != Some(d.lan_bridge.as_str()) => {
            Verdict::warn(format!("{LAN} is on {}, not on {}", n.bridge.as_deref().unwrap_or("no bridge"), d.lan_bridge), evidence)
        }
        Some(n) if n.ip.as_deref() != Some(own.as_str()) => {
            Verdict::warn(format!("{LAN} has {}, not {own}", n.ip.as_deref().unwrap_or("no address")), evidence)
        }
        Some(_) => Verdict::pass("its interfaces are as they should be", evidence),
    }
}

fn on_disk(d: &Desired, asked: &Asked<Gave>) -> Result<Vec<Verdict>, Verdict> {
    let gave = answered(asked, "its files")?;
    // A missing file makes tar fail, and the archive tells the others all the same.
    let members = tar::members(&gave.out).map_err(|why| {
        let said = String::from_utf8_lossy(&gave.err).into_owned();
        Verdict::unknown(format!("its files could not be read: {why}"), vec![listing(asked, said)])
    })?;
    let one = |made: &Made| {
        let held = members.iter().find(|m| m.path == made.path);
        let text = held.and_then(|m| m.bytes.as_ref()).map(|b| String::from_utf8_lossy(b).into_owned());
        match (held, text) {
            (None, _) => Verdict::warn(format!("{} is missing", made.path), vec![listing(asked, "it is not in the archive".into())]),
            (Some(_), None) => Verdict::warn(format!("{} is no regular file", made.path), Vec::new()),
            (_, Some(text)) if text == made.text => Verdict::pass(format!("{} is as it should be", made.path), Vec::new()),
            (_, Some(text)) => {
                let (lines, first) = differ(&made.text, &text);
                let by = match made_by_us(&text) {
                    None => " and was not made by Proximity",
                    Some(format) if format != FORMAT => " and is of another format",
                    Some(_) => "",
                };
                let says = format!("{} differs in {lines} line(s){by}", made.path);
                Verdict::warn(says, vec![listing(asked, format!("{}: {first}", made.path))])
            }
        }
    };
    let mut all: Vec<Verdict> = files(d).iter().map(one).collect();
    let resolver = members.iter().find(|m| m.path == RESOLVER).and_then(|m| m.bytes.as_ref());
    let text = resolver.map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default();
    let servers: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("nameserver")).map(str::trim).collect();
    all.push(if servers == [NAMESERVER] {
        Verdict::pass("it asks itself for names", Vec::new())
    } else {
        let says = format!("{RESOLVER}: it asks others than itself for names, so Caddy does not find apps by theirs");
        Verdict::warn(says, vec![listing(asked, format!("{RESOLVER}: {}", servers.join(" ")))])
    });
    Ok(all)
}

fn listing(asked: &Asked<Gave>, answer: String) -> Evidence {
    Evidence { asked: asked.question.clone(), answer, at: asked.at }
}

/// How many lines are in only one of two texts, and the first of them.
fn differ(want: &str, have: &str) -> (usize, String) {
    let only = |a: &str, b: &str| a.lines().filter(|l| !b.lines().any(|o| o == *l)).map(str::to_owned).collect::<Vec<_>>();
    let (lost, added) = (only(want, have), only(have, want));
    let first = match (lost.first(), added.first()) {
        (_, Some(line)) => format!("it has '{}'", clean(line)),
        (Some(line), None) => format!("it lacks '{line}'"),
        (None, None) => "the same lines in another order or number".to_owned(),
    };
    ((lost.len() + added.len()).max(1), first)
}

fn dnsmasq_in_effect(d: &Desired, asked: &Asked<Gave>) -> Verdict {
    let gave = match answered(asked, "the configuration dnsmasq works by") {
        Ok(gave) => gave,
        Err(unknown) => return unknown,
    };
    let evidence = vec![Evidence::of(asked)];
    match dns(&gave.text()) {
        Some(Dns::Found(all)) if all.contains(&in_effect(d)) => Verdict::pass("dnsmasq works by it", evidence),
        Some(Dns::Found(_)) | Some(Dns::Code(_)) => Verdict::warn("dnsmasq works by another configuration", evidence),
        Some(Dns::Silence) => Verdict::unknown("dnsmasq does not answer, so what it works by is unknown", evidence),
        None => Verdict::unknown("the configuration dnsmasq works by was not told", evidence),
    }
}

/// What Caddy works by, compared with what its files would make.
fn caddy_in_effect(adapted: &Asked<Gave>, running: &Asked<Gave>) -> Verdict {
    let evidence = || vec![Evidence::of(adapted)];
    let (want, have) = match (answered(adapted, "Caddy's files"), succeeded(running, "the configuration Caddy works by")) {
        (Ok(want), Ok(have)) => (want, have),
        (Err(unknown), _) | (_, Err(unknown)) => return unknown,
    };
    if want.status != 0 {
        return Verdict::warn("Caddy cannot read its files: it works by older ones, and would not start again", evidence());
    }
    let read = |gave: &Gave| serde_json::from_slice::<serde_json::Value>(&gave.out).ok();
    match (read(want), read(have)) {
        (Some(want), Some(have)) if want == have => Verdict::pass("Caddy works by its files", evidence()),
        (Some(_), Some(_)) => Verdict::warn("Caddy works by something else than its files", evidence()),
        _ => Verdict::unknown("what Caddy works by cannot be read", evidence()),
    }
}

pub(super) fn clock(a: &Answers) -> Verdict {
    let gave = match succeeded(&a.clock, "its clock") {
        Ok(gave) => gave,
        Err(unknown) => return unknown,
    };
    let evidence = vec![Evidence::of(&a.clock)];
    let Ok(there) = gave.text().trim().parse::<i64>() else { return Verdict::unknown("its clock told no time", evidence) };
    let (before, after) = (a.clock_between.0.secs(), a.clock_between.1.secs());
    let off = if there < before { there - before } else { (there - after).max(0) };
    match off.unsigned_abs() {
        0..=1 => Verdict::pass("it shows the host's time", evidence),
        2..=59 => Verdict::warn(format!("it is off by {off} s"), evidence),
        _ => Verdict::fail(format!("it is off by {off} s"), evidence),
    }
}

pub(super) fn disk(a: &Answers) -> Verdict {
    let gave = match succeeded(&a.disk, "its disk") {
        Ok(gave) => gave,
        Err(unknown) => return unknown,
    };
    let evidence = vec![Evidence::of(&a.disk)];
    // POSIX df -kP: file system, blocks, used, available, capacity, mount point.
    let text = gave.text();
    let numbers = text.lines().nth(1).map(|l| l.split_whitespace().skip(1).take(3).map(str::parse::<u64>).collect::<Result<Vec<_>, _>>());
    let Some(Ok(numbers)) = numbers else { return Verdict::unknown("its disk told no numbers", evidence) };
    let [_, used, free] = numbers[..] else { return Verdict::unknown("its disk told too few numbers", evidence) };
    let percent = used.saturating_mul(100).checked_div(used + free).unwrap_or(100);
    let says = format!("{percent} % used, {} left", bytes(free.saturating_mul(1024)));
    match percent {
        95.. => Verdict::fail(says, evidence),
        85.. => Verdict::warn(says, evidence),
        _ => Verdict::pass(says, evidence),
    }
}
