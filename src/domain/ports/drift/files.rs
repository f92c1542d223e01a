//! What lies in the appliance: the base, the link to the version in force, the sites of it, and files written by hand.

use std::collections::BTreeMap;

use super::{Drift, Found, Look, Promise, drift, hand};
use crate::domain::appliance::CADDY_USER;
use crate::domain::appliance::desired::FORMAT;
use crate::domain::appliance::files::{CADDYFILE, CURRENT, SITES, VERSIONS, base, made_by_us};
use crate::domain::appliance::tar::Member;
use crate::domain::guest::Vmid;
use crate::domain::ports::{Mend, PortMap, ServiceName};

/// The files of Caddy, as one archive of [`CADDYFILE`], [`SITES`], [`CURRENT`] as a link and what it leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    base: Option<Member>,
    current: Current,
    /// Of the version in force, by name.
    sites: BTreeMap<String, Member>,
    /// Written by hand, by path.
    foreign: Vec<Member>,
}

/// What [`CURRENT`] is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Current {
    #[default]
    Missing,
    NotALink,
    Elsewhere(String),
    Dangling(String),
    Version(u32),
}

/// The number of a version, by how a link names it.
fn version(link: &str) -> Option<u32> {
    let name = link.strip_prefix(VERSIONS).map_or(link, |rest| rest.trim_start_matches('/'));
    let digits = name.strip_prefix('v').filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok()
}

impl Files {
    /// From the members of an archive.
    pub fn of(members: Vec<Member>) -> Files {
        let mut out = Files::default();
        let (mut link, mut there) = (None, false);
        for mut member in members {
            // What is behind the link was asked for by a dot.
            if let Some(path) = member.path.strip_prefix(CURRENT).and_then(|rest| rest.strip_prefix("/./")) {
                member.path = format!("{CURRENT}/{path}");
            }
            let within = |folder: &str| {
                let name = member.path.strip_prefix(folder)?.strip_prefix('/')?;
                (!name.is_empty() && !name.contains('/')).then(|| name.to_owned())
            };
            if member.path == CADDYFILE {
                out.base = Some(member);
            } else if member.path.trim_end_matches('/') == CURRENT {
                there |= member.link.is_none();
                link = link.or(member.link);
            } else if let Some(name) = within(CURRENT) {
                // A folder in the link's place is told twice, its files the second time as links to the first.
                if member.bytes.is_some() || !out.sites.contains_key(&name) {
                    out.sites.insert(name, member);
                }
            } else if within(SITES).is_some_and(|name| name.ends_with(".caddy")) {
                out.foreign.push(member);
            }
        }
        out.current = match (link, there) {
            (None, false) => Current::Missing,
            (None, true) => Current::NotALink,
            (Some(link), there) => match version(&link) {
                None => Current::Elsewhere(link),
                Some(_) if !there => Current::Dangling(link),
                Some(number) => Current::Version(number),
            },
        };
        out
    }

    /// Number of the version in force.
    pub fn version(&self) -> Option<u32> {
        if let Current::Version(number) = self.current { Some(number) } else { None }
    }

    /// Paths of files written by hand, by the ports that they name.
    pub(super) fn by_hand(&self) -> BTreeMap<u16, Vec<&str>> {
        let mut out: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        for file in &self.foreign {
            let text = file.bytes.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            ports_in(&text).into_iter().for_each(|port| out.entry(port).or_default().push(&file.path));
        }
        out
    }
}

/// The ports of the sites of a file, by the addresses before their braces (Caddyfile, Addresses). What is not written there,
/// as by a placeholder, is not found.
fn ports_in(text: &str) -> Vec<u16> {
    let (mut depth, mut out) = (0i32, Vec::new());
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let opens = line.ends_with('{');
        // The one site of a file needs no braces.
        if depth == 0 && !line.starts_with('(') {
            let words = line.trim_end_matches('{').split([',', ' ', '\t']).filter(|w| !w.is_empty());
            out.extend(words.map_while(port_of));
        }
        depth += i32::from(opens) - i32::from(line == "}");
    }
    out.sort_unstable();
    out.dedup();
    out
}

fn port_of(address: &str) -> Option<u16> {
    let (scheme, rest) = address.split_once("://").map_or(("", address), |(s, r)| (s, r));
    let host = rest.split('/').next().unwrap_or(rest);
    if let Some(port) = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()) {
        return Some(port);
    }
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn text(member: &Member) -> Option<String> {
    member.bytes.as_deref().map(|b| String::from_utf8_lossy(b).into_owned())
}

/// The base, the link, and what lies there that is nobody's.
pub(super) fn whole(found: &Found, map: &PortMap, promises: &[Promise<'_>], vmid: Vmid) -> Vec<Drift> {
    let Ok(files) = &found.files else { return Vec::new() };
    let mut out: Vec<Drift> = of_base(files).into_iter().collect();
    let any = promises.iter().any(|p| p.text.is_some());
    let current = match &files.current {
        Current::Missing if any => Some(("current-missing", format!("{CURRENT} is not there, so no site is in force"))),
        Current::NotALink => Some(("current-not-a-link", format!("{CURRENT} is no link; a version cannot take its place at once"))),
        Current::Elsewhere(to) => Some(("current-elsewhere", format!("{CURRENT} leads to {to}, which is no version"))),
        Current::Dangling(to) => Some(("current-dangling", format!("{CURRENT} leads to {to}, which is not there"))),
        Current::Missing | Current::Version(_) => None,
    };
    out.extend(current.map(|(kind, says)| drift(kind, says, Mend::Apply)));
    for (name, member) in &files.sites {
        let path = format!("{CURRENT}/{name}");
        let Some(site) = name.strip_suffix(".caddy") else {
            let mend = hand(format!("pct exec {vmid} -- rm -r {path}"));
            out.push(drift("idle-file", format!("{path} is not read by Caddy, and nobody needs it"), mend));
            continue;
        };
        if promises.iter().any(|p| p.text.is_some() && p.name().to_string() == site) {
            continue;
        }
        let ours = text(member).is_some_and(|t| made_by_us(&t).is_some());
        let name: Option<ServiceName> = site.parse().ok();
        let known = name.as_ref().is_some_and(|name| has_row(map, name));
        match (ours, known) {
            (false, _) => {
                let mend = hand(format!("move it to {SITES}, where files written by hand lie: pct exec {vmid} -- mv {path} {SITES}/"));
                out.push(drift("foreign-file", format!("{path} was not made by Proximity, and is in force"), mend));
            }
            (true, false) => {
                out.push(drift("site-of-nobody", format!("{path} is a site of ours, and nobody has that name"), Mend::Apply));
            }
            // Its row tells.
            (true, true) => {}
        }
    }
    out
}

/// Whether a name is told in a row of its own, or what is published under it cannot be read.
fn has_row(map: &PortMap, name: &ServiceName) -> bool {
    map.of(name).is_some()
        || map.cooling.iter().any(|p| p.was.what.name() == Some(name))
        || map.bad_services.iter().any(|(bad, _)| bad.as_ref() == Some(name))
}

fn of_base(files: &Files) -> Option<Drift> {
    let Some(member) = &files.base else {
        return Some(drift("base-missing", format!("{CADDYFILE} is not there: Caddy would not start again"), Mend::Appliance));
    };
    let have = text(member).unwrap_or_default();
    let want = base();
    let import = format!("import {}/*.caddy", CURRENT.trim_start_matches("/etc/caddy/"));
    if have == want {
        return None;
    }
    Some(if !have.lines().any(|l| l.trim() == import) {
        drift("base-without-import", format!("{CADDYFILE} does not say '{import}', so nothing published is served"), Mend::Appliance)
    } else if made_by_us(&have).is_some_and(|format| format != FORMAT) {
        drift("base-old-format", format!("{CADDYFILE} is of another Proximity"), Mend::Appliance)
    } else {
        drift("base-edited", format!("{CADDYFILE} is not as Proximity makes it"), Mend::Appliance)
    })
}

/// The file of something published, and files written by hand that name its ports.
pub(super) fn of(promise: &Promise<'_>, look: &Look<'_>) -> Vec<Drift> {
    let (Ok(files), Some(want)) = (&look.found.files, promise.text) else { return Vec::new() };
    let name = format!("{}.caddy", promise.name());
    let mut out = Vec::new();
    match files.sites.get(&name) {
        // Where no version is in force, that is what is to be mended.
        None if files.version().is_none() => {}
        None => out.push(drift("site-missing", format!("its file {name} is not in the version in force"), Mend::Apply)),
        Some(member) => match text(member) {
            None => out.push(drift("site-not-a-file", format!("{CURRENT}/{name} is no file of its own"), Mend::Apply)),
            Some(have) if have == want => {}
            Some(have) => out.push(match made_by_us(&have) {
                None => drift("site-replaced", format!("{CURRENT}/{name} was not made by Proximity"), Mend::Apply),
                Some(format) if format != FORMAT => {
                    drift("site-old-format", format!("its file is of format {format}, and {FORMAT} is made now"), Mend::Apply)
                }
                Some(_) => drift(
                    "site-edited",
                    format!("its file was changed by hand, or the settings since: {}", differs(want, &have)),
                    Mend::Apply,
                ),
            }),
        },
    }
    if let Some((member, vmid)) = files.sites.get(&name).filter(|m| m.bytes.is_some()).zip(look.vmid)
        && !member.lets_read(CADDY_USER)
    {
        let says = format!("Caddy may not read its file: mode {:o}, owner {}", member.mode & 0o777, member.owner.0);
        out.push(drift("site-unreadable", says, hand(format!("pct exec {vmid} -- chmod 644 {CURRENT}/{name}"))));
    }
    let pair = promise.pair();
    for port in [pair.public, pair.internal] {
        for path in look.by_hand.get(&port).into_iter().flatten() {
            let says = format!("{path}, written by hand, has port {port} too");
            let mend = hand(format!("give that site another port, or publish {} no more: nobody but you can tell", promise.name()));
            out.push(drift("foreign-site-on-our-pair", says, mend));
        }
    }
    out
}

/// The first line that only one of two texts has.
fn differs(want: &str, have: &str) -> String {
    let only = |a: &str, b: &str| a.lines().find(|l| !b.lines().any(|o| o == *l)).map(|l| l.trim().to_owned());
    match (only(have, want), only(want, have)) {
        (Some(line), _) => format!("it says '{line}'"),
        (None, Some(line)) => format!("it lacks '{line}'"),
        (None, None) => "the same lines in another order or number".to_owned(),
    }
}

/// A site of ours under a name.
fn ours(look: &Look<'_>, name: Option<&ServiceName>) -> Option<String> {
    let file = format!("{}.caddy", name?);
    let member = look.found.files.as_ref().ok()?.sites.get(&file)?;
    made_by_us(&text(member)?).map(|_| format!("{CURRENT}/{file}"))
}

/// A pair that is held, and nothing is published on it.
pub(super) fn unpublished(look: &Look<'_>, name: Option<&ServiceName>) -> Option<Drift> {
    let path = ours(look, name)?;
    Some(drift("site-unpublished", format!("{path} is a site of it, and it is not published"), Mend::Apply))
}

/// A pair that was given back.
pub(super) fn cooling(look: &Look<'_>, name: Option<&ServiceName>) -> Option<Drift> {
    let path = ours(look, name)?;
    Some(drift("site-cooling", format!("{path} still serves ports that were given back"), Mend::Apply))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_files_written_by_hand_are_found() {
        for (text, ports) in [
            (":30001 {\n\treverse_proxy web:80\n}\n", &[30001][..]),
            ("http://a.example:8080, https://b.example {\n}\n:30002 :30003 {\n handle {\n :9 x\n }\n}", &[443, 8080, 30002, 30003]),
            ("(snip) {\n\t:80\n}\n# :81 {\n{\n\tadmin off\n}\nhttp://x {\n}", &[80]),
            (":7000\nrespond hi", &[7000]),
            ("example.org {\n\trespond :99\n}\n[::1]:90 {\n}", &[90]),
            ("", &[]),
        ] {
            assert_eq!(ports_in(text), ports, "{text}");
        }
        let of = |link: &str| version(link);
        assert_eq!(
            [of("v12"), of("/etc/caddy/proximity/v3"), of("/tmp/v3"), of("v"), of("v1x"), of("../v2")],
            [Some(12), Some(3), None, None, None, None]
        );
    }
}
