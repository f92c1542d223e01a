//! Which backups are kept and which may go: Proxmox's own rules (PVE::Storage, prune_mark_backup_group), and above them that the
//! newest whole archive of a guest and the newest that was seen to come back are never removed.
//!
//! Of each guest and storage by itself, newest first: each rule keeps the newest archive of so many periods that no rule before it
//! covers; what none keeps may go. What is shown is what is removed, one archive at a time: nobody counts anew meanwhile.

use std::collections::BTreeSet;

use super::backup::{Archive, parse_name};
use super::change::Place;
use super::clean::clean;
use super::guest::Vmid;
use super::plan::{Check, Plan, Purpose, Refusal, Risk, Step};
use super::proof::Proofs;
use super::pve;
use super::settings::{Kind, Value};
use super::stamp::{Stamp, bytes};
use super::storage::{Storage, StorageId};
use super::world::World;

/// What becomes of an archive, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It goes.
    Remove,
    /// A rule keeps it.
    Keep(&'static str),
    /// Somebody protected it.
    Protected,
    /// Its name tells no time, as Proxmox gives one: no rule is for it.
    Renamed,
    /// It is the newest of its guest that was seen to come back.
    Proven,
    /// It is the newest whole one of its guest.
    Newest,
}

impl Mark {
    /// In a few words.
    pub fn words(self) -> &'static str {
        match self {
            Mark::Remove => "remove",
            Mark::Keep(rule) => rule,
            Mark::Protected => "protected",
            Mark::Renamed => "renamed by hand",
            Mark::Proven => "the last that came back",
            Mark::Newest => "the newest",
        }
    }
}

/// A retention, as Proxmox writes it.
pub type Keep = Vec<(&'static str, u32)>;

/// Archives, each with what becomes of it.
pub type Marked<'a> = Vec<(&'a Archive, Mark)>;

/// The rules in the order in which they are asked.
const RULES: [&str; 6] = ["keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly"];

/// When it was made, in the host's time: by its name, else by the storage's word.
fn civil(archive: &Archive, offset_s: i32) -> [u32; 6] {
    let file = archive.volid.rsplit('/').next().unwrap_or_default();
    if let Some((_, _, civil)) = parse_name(file) {
        return civil;
    }
    let (y, mo, d, h, mi, s) = archive.made.civil(offset_s);
    [u32::try_from(y).unwrap_or(0), mo.into(), d.into(), h.into(), mi.into(), s.into()]
}

/// The period of a rule that a time lies in. Weeks are those of ISO 8601, which begin on Monday.
fn period(rule: &str, [y, mo, d, h, mi, s]: [u32; 6]) -> [u32; 6] {
    match rule {
        "keep-hourly" => [y, mo, d, h, 0, 0],
        "keep-daily" => [y, mo, d, 0, 0, 0],
        "keep-weekly" => {
            let days = Stamp::from_civil(y.into(), mo, d, 0, 0, 0).map_or(0, |at| at.secs().div_euclid(86_400));
            // 1970-01-01 was a Thursday.
            let monday = days - (days + 3).rem_euclid(7);
            [u32::try_from(monday.max(0)).unwrap_or(0), 0, 0, 0, 0, 0]
        }
        "keep-monthly" => [y, mo, 0, 0, 0, 0],
        "keep-yearly" => [y, 0, 0, 0, 0, 0],
        _ => [y, mo, d, h, mi, s],
    }
}

/// What becomes of each archive of one guest on one storage, newest first. Empty ones are no backups: they go, and no rule counts
/// them.
pub fn marks<'a>(archives: &[&'a Archive], keep: &[(&'static str, u32)], offset_s: i32) -> Marked<'a> {
    let mut all: Vec<(&Archive, [u32; 6], Option<Mark>)> = archives.iter().map(|a| (*a, civil(a, offset_s), None)).collect();
    all.sort_by(|a, b| (b.1, &b.0.volid).cmp(&(a.1, &a.0.volid)));
    // A storage without files tells the time itself.
    let regular =
        |a: &Archive| !a.volid.contains(":backup/vzdump-") || parse_name(a.volid.rsplit('/').next().unwrap_or_default()).is_some();
    for (archive, _, mark) in &mut all {
        *mark = match () {
            () if !regular(archive) => Some(Mark::Renamed),
            () if archive.protected => Some(Mark::Protected),
            () if archive.is_empty() => Some(Mark::Remove),
            () => None,
        };
    }
    let everything = keep.is_empty() || keep.iter().any(|(rule, n)| *rule == "keep-all" && *n > 0);
    for rule in RULES {
        let Some(count) = keep.iter().find(|(name, _)| *name == rule).map(|(_, n)| *n as usize) else { continue };
        let covered: BTreeSet<[u32; 6]> =
            all.iter().filter(|(.., mark)| matches!(mark, Some(Mark::Keep(_)))).map(|(_, at, _)| period(rule, *at)).collect();
        let mut new = BTreeSet::new();
        for (_, at, mark) in all.iter_mut().filter(|(.., mark)| matches!(mark, None | Some(Mark::Keep(_)))) {
            let own = period(rule, *at);
            if covered.contains(&own) || new.contains(&own) {
                continue;
            }
            if new.len() >= count {
                break;
            }
            new.insert(own);
            *mark = Some(Mark::Keep(rule));
        }
    }
    let rest = if everything { Mark::Keep("keep-all") } else { Mark::Remove };
    all.into_iter().map(|(archive, _, mark)| (archive, mark.unwrap_or(rest))).collect()
}

/// What is wished: of which guest, or of all; and by which rules, where not by those of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneWish {
    /// One guest; none: all of which there are archives.
    pub guest: Option<Vmid>,
    /// Rules, such as `keep-last=3,keep-weekly=4`.
    pub keep: Option<String>,
}

/// What would become of every archive that is meant, by guest and storage. Fails with why that cannot be said.
pub fn preview<'w>(world: &'w World, wish: &PruneWish, offset_s: i32) -> Result<(Keep, Marked<'w>), String> {
    let archives = world.archives.known.as_ref().map_err(|why| format!("the backups are unknown: {why}"))?;
    let jobs = world.jobs.known.as_ref().map_err(|why| format!("which archives came back is unknown: {why}"))?;
    let keep = match &wish.keep {
        Some(text) => Kind::Keep.parse(text)?,
        None => world.chosen()?.value(&"backups.retention".parse()?)?.ok_or("backups.retention is not set")?,
    };
    let Value::Keep(keep) = keep else { return Err("that is no retention".into()) };
    let proofs = Proofs::of(jobs);
    let guests: BTreeSet<Vmid> = archives.iter().filter_map(|a| a.vmid).filter(|id| wish.guest.is_none_or(|g| g == *id)).collect();
    let mut out = Vec::new();
    for guest in guests {
        let own: Vec<&Archive> = archives.iter().filter(|a| a.vmid == Some(guest)).collect();
        let newest = |which: &dyn Fn(&Archive) -> bool| {
            own.iter().filter(|a| !a.is_empty() && which(a)).max_by_key(|a| (a.made, &a.volid)).map(|a| &a.volid)
        };
        // One that is known to be worth nothing keeps no other from standing in for it.
        let last = newest(&|a| !proofs.is_lost(a)).or_else(|| newest(&|_| true));
        let proven = newest(&|a| proofs.came_back(a));
        let storages: BTreeSet<&StorageId> = own.iter().map(|a| &a.storage).collect();
        for storage in storages {
            let here: Vec<&Archive> = own.iter().filter(|a| a.storage == *storage).copied().collect();
            out.extend(marks(&here, &keep, offset_s).into_iter().map(|(archive, mark)| match mark {
                Mark::Remove if proven == Some(&archive.volid) => (archive, Mark::Proven),
                Mark::Remove if last == Some(&archive.volid) => (archive, Mark::Newest),
                mark => (archive, mark),
            }));
        }
    }
    Ok((keep, out))
}

/// The plan, or why it is refused. A plan without steps says that nothing goes.
pub fn plan(world: &World, wish: &PruneWish, offset_s: i32) -> Result<Plan, Refusal> {
    let whose = wish.guest.map_or("all guests".to_owned(), |id| world.guest(id).map_or(id.to_string(), |g| g.title()));
    let what = format!("prune the backups of {whose}");
    let refuse = |why: String, hint: &str| Refusal::new(what.clone(), why, hint);
    if !world.archives.gaps.is_empty() && wish.guest.is_none() {
        // Which is the newest of a guest is not known where a storage is silent.
        return Err(refuse(format!("a storage did not answer: {}", world.archives.gaps[0].what), "bring it back, or name one guest"));
    }
    let (keep, marks) = preview(world, wish, offset_s).map_err(|why| refuse(why, "see backup list"))?;
    let mut steps = Vec::new();
    let mut facts = vec![format!("by {}", Value::Keep(keep))];
    let mut freed = 0u64;
    for (archive, mark) in &marks {
        let file = clean(archive.volid.rsplit('/').next().unwrap_or(&archive.volid));
        if *mark != Mark::Remove {
            facts.push(format!("kept: {file} ({})", mark.words()));
            continue;
        }
        let storage = world.storage(&archive.storage);
        let Some(path) = path(storage, archive) else {
            return Err(refuse(format!("{} keeps its backups on a server", archive.storage), "prune there, by the server's own rules"));
        };
        let gone = Check::Content { at: Place::Host, path, digest: None };
        freed += archive.size.unwrap_or(0);
        steps.push(Step::run(
            format!("remove {file}, {}", archive.size.map_or("size unknown".into(), bytes)),
            pve::free(&archive.volid),
            gone,
        ));
    }
    if !steps.is_empty() {
        facts.insert(1, format!("{} of {} archives go, {} in all; it cannot be undone", steps.len(), marks.len(), bytes(freed)));
    }
    Ok(Plan {
        purpose: Purpose::Prune,
        title: what,
        guest: wish.guest.or(marks.iter().find_map(|(a, _)| a.vmid)).unwrap_or(Vmid::APPLIANCE),
        host: world.place.host.clone(),
        facts,
        notes: Vec::new(),
        risk: Risk::Destroys {
            name: wish.guest.map_or("all".to_owned(), |id| world.guest(id).map_or(id.to_string(), super::guest::Guest::label)),
        },
        steps,
    })
}

/// Where the file lies; none where the storage keeps no files.
fn path(storage: Option<&Storage>, archive: &Archive) -> Option<String> {
    let file = archive.volid.split_once(":backup/")?.1;
    Some(format!("{}/{file}", storage?.dump_dir()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::backup::tests::world;
    use super::super::inside::verify::Verdict;
    use super::super::job::State;
    use super::super::plan::Act;
    use super::super::proof::tests::{drill, read};
    use super::super::world::{From, Part};
    use super::*;

    fn archive(id: u32, at: Stamp, protected: bool, size: u64) -> Archive {
        let (y, mo, d, h, mi, s) = at.civil(0);
        let volid = format!("local:backup/vzdump-lxc-{id}-{y:04}_{mo:02}_{d:02}-{h:02}_{mi:02}_{s:02}.tar.zst");
        Archive { protected, ..crate::domain::backup::tests::archive(id, &volid, at, size) }
    }

    fn at(text: &str) -> Stamp {
        let n: Vec<u32> = text.split(['-', ' ', ':']).map(|w| w.parse().unwrap()).collect();
        Stamp::from_civil(n[0].into(), n[1], n[2], n[3], n[4], 0).unwrap()
    }

    #[test]
    fn rules_keep_the_newest_of_each_period_that_none_before_covers() {
        let times = [
            "2026-11-22 02:00",
            "2026-11-21 14:00",
            "2026-11-21 02:00",
            "2026-11-20 02:00",
            "2026-11-16 02:00",
            "2026-11-15 02:00",
            "2026-10-31 02:00",
            "2025-12-31 02:00",
        ];
        let all: Vec<Archive> = times.iter().map(|t| archive(101, at(t), false, 7)).collect();
        let refs: Vec<&Archive> = all.iter().rev().collect();
        let told = |keep: &[(&'static str, u32)]| {
            marks(&refs, keep, 0).iter().map(|(_, m)| m.words().trim_start_matches("keep-").to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told(&[("keep-last", 1)]), "last remove remove remove remove remove remove remove");
        assert_eq!(told(&[("keep-daily", 2)]), "daily daily remove remove remove remove remove remove");
        // The week of the 16th to the 22nd is covered by the last one; the 15th is a Sunday of the week before.
        assert_eq!(told(&[("keep-last", 1), ("keep-weekly", 1)]), "last remove remove remove remove weekly remove remove");
        assert_eq!(told(&[("keep-monthly", 9)]), "monthly remove remove remove remove remove monthly monthly");
        assert_eq!(told(&[("keep-yearly", 1), ("keep-last", 2)]), "last last remove remove remove remove remove yearly");
        assert_eq!(told(&[("keep-all", 1)]), ["all"; 8].join(" "));
        assert_eq!(told(&[]), ["all"; 8].join(" "));
        // 2027-01-01 is a Friday of the last week of 2026.
        assert_eq!(period("keep-weekly", [2027, 1, 1, 0, 0, 0]), period("keep-weekly", [2026, 12, 28, 0, 0, 0]));
        assert_ne!(period("keep-weekly", [2027, 1, 4, 0, 0, 0]), period("keep-weekly", [2027, 1, 3, 0, 0, 0]));
    }

    /// The recorded preview of a node: keep-last=1, one protected.
    #[test]
    fn as_proxmox_marks_them() {
        let text = include_str!("../../tests/recordings/pve-9.1/pvesm-prune-dry-vmid.out");
        let rows: Vec<(String, String)> = text
            .lines()
            .filter(|l| l.starts_with("local:backup/"))
            .map(|l| (l.split_whitespace().next().unwrap().to_owned(), l.split_whitespace().last().unwrap().to_owned()))
            .collect();
        assert_eq!(rows.len(), 9);
        let all: Vec<Archive> = rows
            .iter()
            .map(|(volid, mark)| Archive { volid: volid.clone(), protected: mark == "protected", ..archive(100, Stamp(0), false, 7) })
            .collect();
        let refs: Vec<&Archive> = all.iter().collect();
        let told = marks(&refs, &[("keep-last", 1)], 0);
        for (volid, mark) in &rows {
            let own = told.iter().find(|(a, _)| a.volid == *volid).unwrap().1;
            assert_eq!(own.words().split('-').next().unwrap(), mark, "{volid}");
        }
    }

    /// Proxmox's own algorithm, written down as it stands in PVE::Storage.
    fn oracle(ctimes: &[i64], keep: &[(&'static str, u32)]) -> Vec<bool> {
        let mut marks: Vec<Option<bool>> = vec![None; ctimes.len()];
        let id = |rule: &str, at: i64| {
            let (y, mo, d, h, ..) = Stamp::from_secs(at).civil(0);
            match rule {
                "keep-hourly" => format!("{h}/{d}/{mo}/{y}"),
                "keep-daily" => format!("{d}/{mo}/{y}"),
                // %G/%V of a day is that of its Thursday.
                "keep-weekly" => {
                    let days = at.div_euclid(86_400);
                    let thursday = days - (days + 3).rem_euclid(7) + 3;
                    let (y, ..) = Stamp::from_secs(thursday * 86_400).civil(0);
                    let first = Stamp::from_civil(y, 1, 1, 0, 0, 0).unwrap().secs() / 86_400;
                    format!("{}/{y}", (thursday - first) / 7 + 1)
                }
                "keep-monthly" => format!("{mo}/{y}"),
                "keep-yearly" => format!("{y}"),
                _ => format!("{at}"),
            }
        };
        for rule in RULES {
            let Some(count) = keep.iter().find(|(n, _)| *n == rule).map(|(_, n)| *n as usize) else { continue };
            let included: BTreeSet<String> = (0..marks.len()).filter(|i| marks[*i] == Some(true)).map(|i| id(rule, ctimes[i])).collect();
            let mut newly = BTreeSet::new();
            for (i, ctime) in ctimes.iter().enumerate() {
                let own = id(rule, *ctime);
                if included.contains(&own) {
                    continue;
                }
                if newly.contains(&own) {
                    marks[i] = Some(false);
                } else {
                    if newly.len() >= count {
                        break;
                    }
                    newly.insert(own);
                    marks[i] = Some(true);
                }
            }
        }
        marks.into_iter().map(|m| m == Some(true)).collect()
    }

    fn keeps() -> impl Strategy<Value = Keep> {
        prop::collection::vec((0usize..6, 1u32..5), 1..5).prop_map(|all| {
            let mut out: Keep = Vec::new();
            for (rule, n) in all {
                if !out.iter().any(|(name, _)| *name == RULES[rule]) {
                    out.push((RULES[rule], n));
                }
            }
            out
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_layout_is_marked_as_proxmox_does(mut times in prop::collection::vec(1_700_000_000i64..1_800_000_000, 1..60), keep in keeps()) {
            times.sort_unstable_by_key(|t| -t);
            times.dedup();
            let all: Vec<Archive> = times.iter().map(|t| archive(101, Stamp::from_secs(*t), false, 7)).collect();
            let refs: Vec<&Archive> = all.iter().collect();
            let own: Vec<bool> = marks(&refs, &keep, 0).iter().map(|(_, m)| *m != Mark::Remove).collect();
            prop_assert_eq!(own, oracle(&times, &keep));
        }

        /// What the plan removes is what the preview said; the newest whole one and the newest that came back survive all.
        #[test]
        fn what_is_shown_is_what_goes(
            layout in prop::collection::vec((1_700_000_000i64..1_800_000_000, any::<bool>(), 0u8..8), 1..30),
            proven in any::<prop::sample::Index>(),
            keep in keeps(),
        ) {
            let mut all: Vec<Archive> = layout.iter().map(|(t, protected, n)| archive(101, Stamp::from_secs(*t), *protected && *n == 1, u64::from(*n != 0))).collect();
            all.sort_by(|a, b| a.volid.cmp(&b.volid));
            all.dedup_by(|a, b| a.volid == b.volid);
            let proven = proven.get(&all).clone();
            let vmid = 103.try_into().unwrap();
            let mut job = super::super::proof::tests::job(7, State::Succeeded, &[Check::Answers { vmid }], Purpose::Drill);
            let mut plan = job.order.plan().clone();
            if let Act::Run { cmd, .. } = &mut plan.steps[0].act {
                cmd.args[2] = proven.volid.clone();
            }
            job.order = super::super::plan::Approved::new(plan, "ada", None).unwrap();
            let world = World { archives: Part::new(all.clone(), Stamp(1), From::Files), jobs: Part::new(vec![job], Stamp(1), From::Files), ..world() };
            let text = Value::Keep(keep).to_string();
            let wish = PruneWish { guest: "101".parse().ok(), keep: Some(text) };
            let (_, shown) = preview(&world, &wish, 0).unwrap();
            let goes: BTreeSet<&str> = shown.iter().filter(|(_, m)| *m == Mark::Remove).map(|(a, _)| a.volid.as_str()).collect();
            let plan = super::plan(&world, &wish, 0).unwrap();
            let removed: BTreeSet<String> = plan.steps.iter().map(|s| if let Act::Run { cmd, .. } = &s.act { cmd.args[1].clone() } else { String::new() }).collect();
            prop_assert_eq!(removed.iter().map(String::as_str).collect::<BTreeSet<_>>(), goes.clone());
            prop_assert!(!goes.contains(proven.volid.as_str()) || proven.is_empty());
            if let Some(newest) = all.iter().filter(|a| !a.is_empty()).max_by_key(|a| a.made) {
                prop_assert!(!goes.contains(newest.volid.as_str()));
            }
            prop_assert!(all.iter().filter(|a| a.protected).all(|a| !goes.contains(a.volid.as_str())));
        }
    }

    /// Where the newest did not come back, or is damaged, the newest of the others stays as well.
    #[test]
    fn one_that_is_worth_nothing_is_not_the_newest_whole_one() {
        let all = vec![archive(101, at("2026-11-21 02:00"), false, 7), archive(101, at("2026-11-22 02:00"), false, 7)];
        let goes = |state| {
            let job = drill(7, state, &all[1].volid);
            let world = World {
                archives: Part::new(all.clone(), Stamp(1), From::Files),
                jobs: Part::new(vec![job], Stamp(1), From::Files),
                ..world()
            };
            let wish = PruneWish { guest: "101".parse().ok(), keep: Some("keep-last=1".into()) };
            preview(&world, &wish, 0).unwrap().1.into_iter().filter(|(_, m)| *m == Mark::Remove).count()
        };
        assert_eq!((goes(State::Succeeded), goes(State::Failed)), (1, 0));
        // What came back and is damaged since keeps no other, and the one before that came back stays.
        let three = vec![archive(101, at("2026-11-20 02:00"), false, 7), all[0].clone(), all[1].clone()];
        let damaged = read(9, &three[2].volid, Verdict::Damaged("cut".into()));
        let jobs = vec![drill(1, State::Succeeded, &three[0].volid), drill(2, State::Succeeded, &three[2].volid), damaged];
        let world =
            World { archives: Part::new(three.clone(), Stamp(1), From::Files), jobs: Part::new(jobs, Stamp(1), From::Files), ..world() };
        let marks = preview(&world, &PruneWish { guest: "101".parse().ok(), keep: Some("keep-last=1".into()) }, 0).unwrap().1;
        let mark = |nth: usize| marks.iter().find(|(a, _)| a.volid == three[nth].volid).unwrap().1;
        assert_eq!((mark(0), mark(1)), (Mark::Proven, Mark::Newest));
    }

    #[test]
    fn what_is_not_known_is_not_pruned() {
        let wish = |guest: Option<u32>| PruneWish { guest: guest.and_then(|g| g.try_into().ok()), keep: Some("keep-last=1".into()) };
        let two = vec![archive(101, at("2026-11-21 02:00"), false, 7), archive(101, at("2026-11-22 02:00"), false, 7)];
        let mut world =
            World { archives: Part::new(two, Stamp(1), From::Files), jobs: Part::new(vec![], Stamp(1), From::Files), ..world() };
        let told = plan(&world, &wish(Some(101)), 0).unwrap();
        assert_eq!(told.lines()[0], "prune the backups of 101 web");
        assert_eq!((told.steps.len(), &told.risk), (1, &Risk::Destroys { name: "web".into() }));
        assert!(
            told.steps[0].act
                == Act::Run {
                    cmd: pve::free("local:backup/vzdump-lxc-101-2026_11_21-02_00_00.tar.zst"),
                    watch: super::super::plan::Watch::Exit
                }
        );
        let shown = told.facts.join("\n");
        assert!(
            shown.contains("1 of 2 archives go, 7 B in all")
                && shown.contains("kept: vzdump-lxc-101-2026_11_22-02_00_00.tar.zst (keep-last)"),
            "{shown}"
        );
        assert!(plan(&world, &PruneWish { keep: Some("keep-none".into()), ..wish(None) }, 0).is_err());
        assert!(plan(&world, &PruneWish { keep: None, ..wish(Some(101)) }, 0).unwrap().steps.is_empty(), "the settings keep all");
        world.archives.gaps.push(super::super::world::Gap { what: "backups on nas".into(), why: "silent".into() });
        assert!(plan(&world, &wish(None), 0).unwrap_err().why.contains("backups on nas"));
        world.jobs = Part::unknown("damaged", Stamp(1));
        assert!(plan(&world, &wish(Some(101)), 0).unwrap_err().why.contains("which archives came back is unknown"));
    }
}
