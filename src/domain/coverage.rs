//! Which guests are backed up, since when, how big, and which of their archives was seen to come back: one row for each container.

use super::backup::Archive;
use super::backup::size::{self, Odd};
use super::guest::{Kind, Vmid};
use super::inside::ledger::{Ledger, Standing};
use super::log_minutes::bar;
use super::proof::{Proof, Proofs};
use super::world::World;

/// So many sizes make a trend.
const SIZES: usize = 12;

/// How one container is covered.
#[derive(Debug, Clone, PartialEq)]
pub struct Coverage {
    /// Which.
    pub guest: Vmid,
    /// Number and name. Clean.
    pub title: String,
    /// How many archives of it there are that are not empty.
    pub archives: usize,
    /// The newest of these. Without one it was never backed up, unless [`Coverage::unsure`].
    pub newest: Option<Archive>,
    /// A storage did not answer, so there may be others.
    pub unsure: bool,
    /// What the newest restore of any of its archives found out, or why that is not known.
    pub proof: Result<Option<Proof>, String>,
    /// Seconds it took to come back, each of the last times it did, oldest first.
    pub took_s: Vec<u64>,
    /// What is wrong with the newest, by whoever read it to its end last.
    pub spoilt: Option<String>,
    /// Bytes of the newest archives, oldest first.
    pub sizes: Vec<u64>,
    /// The newest is much smaller or larger than those before it.
    pub odd: Option<Odd>,
    /// What is not in a backup, as the container is configured now; none where that is not known.
    pub missing: Option<Vec<String>>,
}

impl Coverage {
    /// Of all containers, in order; else why that is not known.
    pub fn of(world: &World) -> Result<Vec<Coverage>, String> {
        let guests = world.guests.known.as_ref().map_err(Clone::clone)?;
        let archives = world.archives.known.as_ref().map_err(Clone::clone)?;
        let proofs = world.jobs.known.as_ref().map(|jobs| Proofs::of(jobs));
        let odd = size::odd_ones(archives);
        let ledger = world.jobs.get().map(|jobs| Ledger::of(jobs));
        let spoilt = |a: &Archive| ledger.as_ref().map(|l| l.standing(a)).filter(Standing::is_bad).map(|s| s.words());
        let one = |guest: &super::guest::Guest| {
            let mut own: Vec<&Archive> = archives.iter().filter(|a| a.vmid == Some(guest.id) && !a.is_empty()).collect();
            own.sort_by_key(|a| a.made);
            let from = own.len().saturating_sub(SIZES);
            Coverage {
                guest: guest.id,
                title: guest.title(),
                archives: own.len(),
                newest: own.last().map(|a| (*a).clone()),
                unsure: !world.archives.gaps.is_empty(),
                proof: proofs.as_ref().map(|p| p.guest(archives, guest.id).cloned()).map_err(|why| (*why).clone()),
                took_s: proofs.as_ref().map(|p| p.times(guest.id).to_vec()).unwrap_or_default(),
                spoilt: own.last().and_then(|a| spoilt(a)),
                sizes: own.get(from..).unwrap_or_default().iter().filter_map(|a| a.size).collect(),
                odd: odd.get(&guest.id).copied(),
                missing: guest.conf_read.then(|| guest.not_in_backup()),
            }
        };
        Ok(guests.iter().filter(|g| g.kind == Kind::Lxc && !g.template).map(one).collect())
    }

    /// A bar for each size; nothing where there is but one.
    pub fn trend(&self) -> String {
        let most = self.sizes.iter().copied().max().unwrap_or(0);
        if self.sizes.len() < 2 { String::new() } else { self.sizes.iter().map(|size| bar(*size, most)).collect() }
    }

    /// A bar for each time it came back, where that was more than once.
    pub fn times(&self) -> String {
        let most = self.took_s.iter().copied().max().unwrap_or(0).max(1);
        if self.took_s.len() < 2 { String::new() } else { format!(" {}", self.took_s.iter().map(|s| bar(*s, most)).collect::<String>()) }
    }

    /// Whether somebody should look: never backed up, the last did not come back or is damaged, an odd size, or not known.
    pub fn wants_a_look(&self) -> bool {
        self.newest.is_none()
            || self.unsure
            || self.odd.is_some()
            || self.spoilt.is_some()
            || self.proof.as_ref().map_or(true, |p| p.as_ref().is_some_and(|p| p.lives.is_err()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::conf::parse_lxc;
    use super::super::job::State;
    use super::super::plan::{Check, Purpose};
    use super::super::stamp::Stamp;
    use super::super::world::{From, Gap, Part};
    use super::*;

    fn archive(id: u32, volid: &str, made: i64, size: u64) -> Archive {
        crate::domain::backup::tests::archive(id, volid, Stamp(made), size << 20)
    }

    #[test]
    fn each_container_has_its_row() {
        let guests = vec![
            parse_lxc(101.try_into().unwrap(), "hostname: web\nrootfs: a:b,size=1G\nmp0: /data,mp=/srv\n"),
            parse_lxc(102.try_into().unwrap(), "hostname: wiki\nrootfs: a:b,size=1G\n"),
            parse_lxc(103.try_into().unwrap(), "hostname: base\ntemplate: 1\n"),
        ];
        let mut archives = vec![
            archive(101, "local:backup/new.tar.zst", 9, 40),
            archive(102, "local:backup/empty", 9, 0),
            archive(300, "local:backup/gone", 1, 5),
        ];
        archives
            .extend([(1, 100), (2, 90), (3, 110)].map(|(made, size)| archive(101, &format!("local:backup/{made}.tar.zst"), made, size)));
        archives.push(archive(101, "local:backup/x.tar.zst", 0, 100));
        let vmid = 103.try_into().unwrap();
        let restored = super::super::proof::tests::job(7, State::Succeeded, &[Check::Answers { vmid }], Purpose::Drill);
        let mut world = World {
            guests: Part::new(guests, Stamp(1), From::Files),
            archives: Part::new(archives, Stamp(1), From::Files),
            jobs: Part::new(vec![restored], Stamp(1), From::Files),
            ..World::default()
        };
        let all = Coverage::of(&world).unwrap();
        assert_eq!(all.iter().map(|c| c.title.as_str()).collect::<Vec<_>>(), ["101 web", "102 wiki"]);
        let web = &all[0];
        assert_eq!(
            (web.archives, web.newest.as_ref().unwrap().volid.as_str(), &web.sizes),
            (5, "local:backup/new.tar.zst", &[100, 100, 90, 110, 40].map(|n| n << 20).to_vec())
        );
        assert_eq!((web.trend().as_str(), web.odd.map(|o| o.to_string()).as_deref()), ("██▇█▄", Some("40 MiB and usually 100 MiB")));
        assert_eq!(web.proof.as_ref().unwrap().as_ref().unwrap().job, 7, "an older one came back");
        assert!(web.missing.as_ref().unwrap()[0].starts_with("/srv"));
        let wiki = &all[1];
        assert_eq!((wiki.archives, wiki.newest.is_none(), wiki.trend().as_str(), wiki.odd), (0, true, "", None), "an empty one is none");
        assert!(web.wants_a_look() && wiki.wants_a_look());
        world.archives.gaps.push(Gap { what: "backups on nas".into(), why: "no answer".into() });
        assert!(Coverage::of(&world).unwrap().iter().all(|c| c.unsure));
        world.jobs = Part::unknown("damaged", Stamp(1));
        assert!(
            Coverage::of(&world).unwrap().iter().all(|c| c.proof == Err("damaged".into()) && c.wants_a_look()),
            "never proven is another word"
        );
        world.archives = Part::unknown("no answer", Stamp(1));
        assert_eq!(Coverage::of(&world), Err("no answer".into()));
    }
}
