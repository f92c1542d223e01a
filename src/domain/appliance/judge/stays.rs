//! What must hold so that it stays well: what starts with the host and with the appliance, and a log that can be written.

use super::super::desired::Desired;
use super::super::lamp::Evidence;
use super::super::{CADDY_LOG, CADDY_USER};
use super::{Answers, Verdict, answered};
use crate::domain::clean::clean;
use crate::domain::guest::Vmid;

pub(super) fn boot(wish: &Result<Desired, Vec<String>>, a: &Answers, vmid: Vmid) -> Verdict {
    let d = match wish {
        Ok(d) => d,
        Err(why) => return Verdict::no_wish(why),
    };
    let guest = a.guests.answer.as_ref().ok().and_then(|all| all.iter().find(|g| g.id == vmid)).filter(|g| g.conf_read);
    let of_host = match guest {
        None => Verdict::unknown("whether it starts with the host is unknown", Vec::new()),
        Some(guest) => {
            let evidence =
                Evidence { asked: a.guests.question.clone(), answer: format!("onboot: {}", u8::from(guest.onboot)), at: a.guests.at };
            let verdict = if guest.onboot { Verdict::pass } else { Verdict::warn };
            verdict(
                if guest.onboot { "it starts with the host" } else { "it does not start with the host (onboot)" }.to_owned(),
                vec![evidence],
            )
        }
    };
    let inside = match answered(&a.boot, "what starts with it") {
        Err(unknown) => unknown,
        Ok(gave) => {
            let evidence = vec![Evidence::of(&a.boot)];
            match d.system.starts(gave) {
                None => Verdict::unknown("what starts with it was not told", evidence),
                Some(all) => {
                    let missing: Vec<&str> = all.iter().filter(|(_, starts)| !starts).map(|(s, _)| d.system.service(*s)).collect();
                    match missing[..] {
                        [] => Verdict::pass("its services start with it", evidence),
                        _ => Verdict::warn(format!("these do not start with it: {}", missing.join(", ")), evidence),
                    }
                }
            }
        }
    };
    Verdict::worst(vec![of_host, inside])
}

/// What is asked about Caddy's access log: kind and permission bits, owner and name, of its folder and of itself.
pub fn log_question() -> [&'static str; 4] {
    ["stat", "-c%f %U %n", folder(), CADDY_LOG]
}

fn folder() -> &'static str {
    CADDY_LOG.rsplit_once('/').map_or("/", |(folder, _)| folder)
}

pub(super) fn access_log(a: &Answers) -> Verdict {
    /// Kinds of a file in its mode, and the bits by which its owner may write (inode(7)).
    const KIND: u32 = 0o170_000;
    const REGULAR: u32 = 0o100_000;
    const FOLDER: u32 = 0o040_000;
    const WRITE: u32 = 0o200;
    let gave = match answered(&a.access_log, "Caddy's access log") {
        Ok(gave) => gave,
        Err(unknown) => return unknown,
    };
    let evidence = vec![Evidence::of(&a.access_log)];
    let text = gave.text();
    let of = |path: &str| {
        let line = text.lines().find(|l| l.ends_with(&format!(" {path}")))?;
        let mut words = line.split(' ');
        Some((u32::from_str_radix(words.next()?, 16).ok()?, words.next()?.to_owned()))
    };
    let mut wrong = Vec::new();
    for (path, kind, words) in [(folder(), FOLDER, "no folder"), (CADDY_LOG, REGULAR, "no regular file")] {
        match of(path) {
            // It succeeds only if both are there.
            None if gave.status == 0 => return Verdict::unknown(format!("{path} was not told"), evidence),
            None => wrong.push(format!("{path} is not there")),
            Some((mode, _)) if mode & KIND != kind => wrong.push(format!("{path} is {words}")),
            Some((_, owner)) if owner != CADDY_USER => wrong.push(format!("{path} is {}'s, not {CADDY_USER}'s", clean(&owner))),
            Some((mode, _)) if mode & WRITE == 0 => wrong.push(format!("{path} may not be written by its owner")),
            Some(_) => {}
        }
    }
    match wrong[..] {
        [] => Verdict::pass("Caddy may write it", evidence),
        _ => Verdict::warn(wrong.join("; "), evidence),
    }
}
