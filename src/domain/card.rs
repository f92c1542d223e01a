//! The day-zero card: what is to be done, in order, to have everything again on a bare host, with the names and numbers of this one.
//! It is printed and kept where this host is not.

use super::backup::Archive;
use super::clean::clean;
use super::guest::{Guest, Kind};
use super::proof::Proofs;
use super::stamp::{Stamp, bytes};
use super::world::World;

/// The names of files in a backup set.
pub const STORE: &str = "proximity.db";
/// The card.
pub const CARD: &str = "card.txt";
/// Sums of the others, as `b2sum -c` reads them.
pub const SUMS: &str = "B2SUMS";

/// Files of the host that a set takes along where they are there. None of them holds a secret: what Proxmox keeps secret it keeps
/// in /etc/pve/priv.
pub const FILES: [&str; 5] =
    ["/etc/network/interfaces", "/etc/pve/storage.cfg", "/etc/pve/jobs.cfg", "/etc/vzdump.conf", "/etc/proximity/config.toml"];

/// The archive that an app is to be brought back from: the newest that was seen to come back, else the newest of which nothing bad
/// is known, else the newest. Whether it was seen to come back.
fn best<'w>(archives: &'w [Archive], proofs: Option<&Proofs>, guest: &Guest) -> Option<(&'w Archive, bool)> {
    let own = || archives.iter().filter(|a| a.vmid == Some(guest.id) && a.kind == Some(Kind::Lxc) && !a.is_empty());
    let newest = |which: &dyn Fn(&Archive) -> bool| own().filter(|a| which(a)).max_by_key(|a| a.made);
    let proven = newest(&|a| proofs.is_some_and(|p| p.came_back(a)));
    let sound = || newest(&|a| !proofs.is_some_and(|p| p.is_lost(a))).or_else(|| newest(&|_| true));
    proven.map(|a| (a, true)).or_else(|| sound().map(|a| (a, false)))
}

/// What would be lost with this host, one line each: what has no archive, and archives that stand on its own disks.
pub fn gaps(world: &World) -> Vec<String> {
    let mut out = Vec::new();
    let (Ok(guests), Ok(archives)) = (&world.guests.known, &world.archives.known) else {
        let why = world.guests.known.as_ref().err().or(world.archives.known.as_ref().err());
        return vec![format!("which guests have archives is unknown: {}", why.map_or("", String::as_str))];
    };
    for guest in guests.iter().filter(|g| is_an_app(world, g)) {
        match best(archives, None, guest) {
            None => out.push(format!("{} has no archive: it is lost with this host", guest.title())),
            Some((archive, _)) => {
                let away = world.storage(&archive.storage).is_some_and(|s| s.is_network() || s.kind == "pbs");
                if !away {
                    out.push(format!(
                        "the archives of {} stand on {}, on a disk of this host: copy them away",
                        guest.title(),
                        archive.storage
                    ));
                }
            }
        }
    }
    out
}

fn is_an_app(world: &World, guest: &Guest) -> bool {
    guest.kind == Kind::Lxc && !guest.template && guest.id != world.appliance_id() && super::swap::aside_for(guest).is_none()
}

/// The text of the card. A line that begins with `$ ` is to be typed. `operator` is who asked for it; `version` is ours.
pub fn text(world: &World, at: Stamp, offset_s: i32, operator: &str, version: &str) -> String {
    let node = world.node.get();
    let name = node.map_or("?", |n| n.name.as_str());
    let proofs = world.jobs.get().map(|jobs| Proofs::of(jobs));
    let mut out: Vec<String> = vec![
        format!("THE WAY BACK for {} - card of {}", clean(name), at.minute(offset_s)),
        String::new(),
        "Print this and keep it where the host is not, with the 24 recovery words.".into(),
        "Nothing in this set opens without them: host.key is not in it, and not to be in it.".into(),
        String::new(),
        "1. A host".into(),
        format!(
            "   Install Proxmox VE{} and name it {}. Bring its network up; this set has the old",
            node.and_then(|n| n.version.as_deref()).map(|v| format!(" (it was {})", clean(v))).unwrap_or_default(),
            clean(name)
        ),
        "   interfaces and storage.cfg in files/, to read and not to copy blindly.".into(),
        format!("   Install proximity {version}. Copy this set to /root/set. See that it is whole:"),
        "$ cd /root/set && b2sum -c B2SUMS".into(),
        String::new(),
        "2. What Proximity remembers: settings, ports, static addresses, operators".into(),
        "$ install -m 600 /root/set/proximity.db /root/proximity.db".into(),
        "$ proximity vault restore --words --from /root/proximity.db".into(),
        format!("$ proximity operator passphrase {operator} --words"),
        "   Then every other operator gets a new passphrase in the same way.".into(),
        String::new(),
        "3. The network of the apps".into(),
        "$ proximity appliance provision --yes".into(),
        "$ proximity ports converge --yes".into(),
        "   Caddy makes new certificates of its own: who trusted its CA has to trust the new one.".into(),
        String::new(),
        "4. The storages with the archives".into(),
    ];
    let archives = world.archives.get().map(Vec::as_slice).unwrap_or_default();
    let guests: Vec<&Guest> = world.guests.get().into_iter().flatten().filter(|g| is_an_app(world, g)).collect();
    let chosen: Vec<(&Guest, Option<(&Archive, bool)>)> = guests.iter().map(|g| (*g, best(archives, proofs.as_ref(), g))).collect();
    let mut storages: Vec<_> = chosen.iter().filter_map(|(_, a)| a.map(|(a, _)| &a.storage)).collect();
    storages.sort();
    storages.dedup();
    for id in storages {
        let kind = world.storage(id).map_or("?", |s| s.kind.as_str());
        let path = world.storage(id).and_then(|s| s.path.as_deref()).map(|p| format!(", {}", clean(p))).unwrap_or_default();
        out.push(format!("   {id} ({}{path})", clean(kind)));
        if kind == "pbs" {
            out.push(format!("     if its backups are encrypted: the key was /etc/pve/priv/storage/{id}.enc, and is not in this set"));
        }
    }
    out.extend([
        "$ proximity backup list".into(),
        String::new(),
        "5. The apps, as they were: name, number, addresses, start with the host".into(),
    ]);
    for (guest, archive) in &chosen {
        match archive {
            Some((a, proven)) => {
                let word = if *proven { "seen to come back" } else { "never seen to come back" };
                let size = a.size.map_or("?".into(), bytes);
                out.push(format!("   {} of {}, {size}, {word}", guest.title(), a.made.minute(offset_s)));
                out.push(format!("$ proximity backup restore {} --to {} --swap --yes", clean(&a.volid), guest.id));
            }
            None => out.push(format!("   {}: NO ARCHIVE", guest.title())),
        }
    }
    if chosen.is_empty() {
        out.push(world.guests.known.as_ref().map_or_else(|why| format!("   UNKNOWN when this was made: {why}"), |_| "   none".into()));
    }
    out.extend([
        String::new(),
        "6. Static addresses, which hold from the next start of an app, and a look at all of it".into(),
        "$ proximity appliance converge --yes".into(),
    ]);
    let pinned = |guest: &Guest| {
        let pins = world.pins.get().map(|p| p.all.as_slice()).unwrap_or_default();
        guest.nics.iter().filter_map(|n| n.hwaddr.as_deref()).any(|mac| pins.iter().any(|p| p.mac.to_string().eq_ignore_ascii_case(mac)))
    };
    out.extend(guests.iter().filter(|g| pinned(g)).map(|g| format!("$ proximity guest reboot {} --yes", g.id)));
    out.extend(["$ proximity ports list".into(), "$ proximity doctor".into()]);
    let gaps = gaps(world);
    if !gaps.is_empty() {
        out.push(String::new());
        out.push("WHAT IS NOT SAFE".into());
        out.extend(gaps.into_iter().map(|gap| format!("!  {gap}")));
    }
    out.push(String::new());
    out.join("\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::conf::parse_lxc;
    use super::super::inside::verify::Verdict;
    use super::super::job::State;
    use super::super::plan::{Check, Purpose};
    use super::super::proof;
    use super::super::world::{From, Part};
    use super::*;

    fn archive(id: u32, volid: &str, made: i64, size: u64) -> Archive {
        crate::domain::backup::tests::archive(id, volid, Stamp(made), size)
    }

    #[test]
    fn each_app_comes_back_from_what_was_seen_to_and_what_is_not_safe_is_told() {
        let guests = vec![
            parse_lxc(101.try_into().unwrap(), "hostname: web\n"),
            parse_lxc(102.try_into().unwrap(), "hostname: wiki\n"),
            parse_lxc(
                103.try_into().unwrap(),
                "#Set aside by Proximity; 101 took its place: {\"hostname\":\"web\",\"onboot\":true,\"nets\":{}}\nhostname: web-103\n",
            ),
        ];
        let archives = vec![
            archive(101, "local:backup/new.tar.zst", 9_000, 5),
            archive(101, "local:backup/x.tar.zst", 5_000, 7),
            archive(101, "local:backup/empty.tar.zst", 10_000, 0),
        ];
        let vmid = 103.try_into().unwrap();
        let job = proof::tests::job(7, State::Succeeded, &[Check::Answers { vmid }], Purpose::Drill);
        let world = World {
            guests: Part::new(guests, Stamp(1), From::Files),
            archives: Part::new(archives, Stamp(1), From::Files),
            jobs: Part::new(vec![job], Stamp(1), From::Files),
            ..super::super::backup::tests::world()
        };
        let text = text(&world, Stamp(0), 0, "ada", "0.1.0");
        assert!(text.contains("$ proximity backup restore local:backup/x.tar.zst --to 101 --swap --yes"), "{text}");
        assert!(text.contains("seen to come back") && !text.contains("new.tar.zst") && !text.contains("web-103"), "{text}");
        assert!(text.contains("102 wiki: NO ARCHIVE") && text.contains("!  102 wiki has no archive"), "{text}");
        assert!(text.contains("!  the archives of 101 web stand on local, on a disk of this host"), "{text}");
        let spoilt = proof::tests::read(8, "local:backup/x.tar.zst", Verdict::Damaged("cut".into()));
        let mut since = world.clone();
        since.jobs.known.as_mut().unwrap().push(spoilt);
        assert!(
            super::text(&since, Stamp(0), 0, "ada", "1").contains("restore local:backup/new.tar.zst --to 101"),
            "what is damaged is no way back"
        );
        let unknown = World { guests: Part::unknown("no answer", Stamp(1)), ..world };
        assert!(super::text(&unknown, Stamp(0), 0, "ada", "1").contains("UNKNOWN when this was made: no answer"));
    }
}
