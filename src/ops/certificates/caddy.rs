//! What lies in the appliance: what Caddy made itself, what authorities gave out, what operators put there; and whom the appliance
//! believes. One archive.

use std::collections::BTreeMap;

use zeroize::Zeroize;

use super::{APPLIANCE, Seen, key};
use crate::domain::appliance::tar::Member;
use crate::domain::caddy::{CERTIFICATES, DATA};
use crate::domain::certificate::{KeyState, Parts, Whose};
use crate::domain::clean::clean;
use crate::domain::ports::PortMap;
use crate::domain::service::{Published, Tls};
use crate::ops::place::unpacked;
use crate::ops::probe::Room;

/// Whom both systems believe: one file with all authorities, of `ca-certificates`.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What is read besides certificates.
#[derive(Default)]
pub(super) struct Files {
    /// Authorities that the appliance believes, as PEM; else why they are not known.
    pub(super) authorities: Option<Result<Vec<u8>, String>>,
}

/// Certificates that Caddy has in its data, as an archive, and none of the keys beside them.
pub(in crate::ops) fn without_keys() -> Vec<String> {
    let words = ["tar", "-C", "/", "-cf", "-", "--exclude", "*.key"].into_iter().map(str::to_owned);
    words.chain(DATA.iter().map(|dir| format!("{}/certificates", dir.trim_start_matches('/')))).collect()
}

/// Of the keys those that stand beside a certificate which is shown; those of Caddy's own authority stay where they are.
fn archive(with_authorities: bool) -> Vec<String> {
    let words = ["tar", "-C", "/", "-cf", "-", "--exclude", "root.key", "--exclude", "intermediate.key"];
    let within = |path: &str| path.trim_start_matches('/').to_owned();
    let data = DATA.iter().flat_map(|dir| ["certificates", "pki/authorities"].map(|part| within(&format!("{dir}/{part}"))));
    let given = std::iter::once(within(CERTIFICATES));
    words.into_iter().map(str::to_owned).chain(data).chain(given).chain(with_authorities.then(|| within(AUTHORITIES))).collect()
}

/// What uses something: `cloud 30017`.
pub(super) fn used_by(map: &PortMap, uses: impl Fn(&Published) -> bool) -> Vec<String> {
    let of = |s: &Published| map.of(&s.name).map(|held| format!("{} {}", s.name, held.pair.public));
    map.services.iter().filter(|s| uses(s)).filter_map(of).collect()
}

/// Takes everything in.
pub(super) async fn look(room: &Room<'_>, map: &PortMap, out: &mut Seen) -> Files {
    let with_authorities = map.services.iter().any(|s| s.spec.to.tls);
    let mut gave = match room.inside(archive(with_authorities)).await.answer {
        Ok(gave) => gave,
        Err(why) => {
            out.gap(APPLIANCE, &why);
            return Files { authorities: with_authorities.then_some(Err(why)) };
        }
    };
    // A path that is not there makes tar fail, and the archive tells of the others all the same.
    let members = unpacked(&gave.out, &gave.err);
    gave.out.zeroize();
    let members = match members {
        Ok(members) => members,
        Err(why) => {
            out.gap(APPLIANCE, &why);
            return Files { authorities: with_authorities.then_some(Err(why)) };
        }
    };
    let mut all: BTreeMap<String, Member> = members.into_iter().map(|m| (m.path.clone(), m)).collect();
    let authorities = with_authorities.then(|| {
        let found = all.remove(AUTHORITIES).and_then(|m| m.bytes);
        found.ok_or_else(|| format!("{AUTHORITIES} is not in the appliance"))
    });
    take(&mut all, map, out);
    // What is left are keys.
    all.values_mut().for_each(|m| m.bytes.zeroize());
    missed(map, out);
    Files { authorities }
}

fn take(all: &mut BTreeMap<String, Member>, map: &PortMap, out: &mut Seen) {
    let paths: Vec<String> = all.keys().filter(|p| p.ends_with(".crt")).cloned().collect();
    for path in paths {
        let Some(file) = all.remove(&path) else { continue };
        let Some(pem) = file.bytes else {
            let what = file.link.map_or("it is no file".to_owned(), |to| format!("it leads to {to}, which was not followed"));
            out.gap(&path, what);
            continue;
        };
        let name = path.rsplit('/').next().and_then(|n| n.strip_suffix(".crt")).unwrap_or_default().to_owned();
        let Some((whose, authority)) = whose(&path) else { continue };
        let serves = match whose {
            Whose::Given => used_by(map, |s| matches!(&s.spec.tls, Tls::Given { certificate } if certificate.to_string() == name)),
            Whose::Acme => used_by(map, |s| matches!(&s.spec.tls, Tls::Acme { name: of, .. } if of.to_string() == name)),
            Whose::Internal => used_by(
                map,
                |s| matches!(&s.spec.tls, Tls::Internal { names } if names.iter().any(|n| n.to_string().trim_matches(['[', ']']) == name)),
            ),
            _ => used_by(map, |s| matches!(s.spec.tls, Tls::Internal { .. })),
        };
        let shown = if whose == Whose::Acme { format!("{name} ({authority})") } else { name };
        let beside = all.remove(&format!("{}.key", path.trim_end_matches(".crt"))).map(|m| (m.bytes.map(key::Pem::new), m.link));
        let key = |of: &Parts| match (whose, &beside) {
            (Whose::Root | Whose::Intermediate, _) => KeyState::NotLooked,
            (_, None) => KeyState::Missing,
            (_, Some((Some(pem), _))) => key::compare(pem, of),
            (_, Some((None, Some(to)))) => KeyState::Unknown(format!("it leads to {}, which was not followed", clean(to))),
            (_, Some(_)) => KeyState::Unknown("what lies there is no file".into()),
        };
        out.take(whose, &shown, &path, &pem, key, serves);
    }
}

/// Whose a certificate is by where it lies, and the folder of the authority that gave it out.
fn whose(path: &str) -> Option<(Whose, String)> {
    if path.strip_prefix(CERTIFICATES).is_some_and(|rest| rest.matches('/').count() == 1) {
        return Some((Whose::Given, String::new()));
    }
    // The longer first: the one lies in the other.
    let rest = DATA.iter().rev().find_map(|dir| path.strip_prefix(dir)?.strip_prefix('/'))?;
    let parts: Vec<&str> = rest.split('/').collect();
    match parts[..] {
        ["pki", "authorities", authority, "root.crt"] => Some((Whose::Root, authority.to_owned())),
        ["pki", "authorities", authority, "intermediate.crt"] => Some((Whose::Intermediate, authority.to_owned())),
        ["certificates", "local", ..] => Some((Whose::Internal, "local".to_owned())),
        ["certificates", authority, ..] => Some((Whose::Acme, authority.trim_end_matches("-directory").to_owned())),
        _ => None,
    }
}

/// What was promised by a certificate that is not there is no certificate that is well.
fn missed(map: &PortMap, out: &mut Seen) {
    let mut gaps = Vec::new();
    for service in &map.services {
        let has = |whose: Whose, name: &str| {
            out.items.iter().any(|i| i.whose == whose && i.name.split(' ').next() == Some(name))
                || out.gaps.iter().any(|g| g.what.contains(name))
        };
        match &service.spec.tls {
            Tls::Off => {}
            Tls::Given { certificate } if !has(Whose::Given, &certificate.to_string()) => {
                gaps.push((
                    format!("{CERTIFICATES}/{certificate}.crt"),
                    format!("it is not there, and {} is published by it", service.name),
                ));
            }
            Tls::Internal { .. } if !out.items.iter().any(|i| i.whose == Whose::Root) => {
                let why = format!("none was found below {}, and {} is published by it", DATA[0], service.name);
                gaps.push(("Caddy's own authority".to_owned(), why));
            }
            Tls::Acme { name, .. } if !has(Whose::Acme, &name.to_string()) => {
                gaps.push((
                    format!("certificate of {name}"),
                    "none was given out yet; one is asked for when the first visitor comes".to_owned(),
                ));
            }
            _ => {}
        }
    }
    gaps.dedup();
    gaps.into_iter().for_each(|(what, why)| out.gap(&what, why));
}
