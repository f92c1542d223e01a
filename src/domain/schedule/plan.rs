//! Backup jobs of Proxmox made, changed, switched and removed, as plans. They stay Proxmox's own: its page shows them, its
//! scheduler runs them, on whichever node a guest lives.
//!
//! Proxmox prunes by the rules of a job and knows nothing of the archive that was seen to come back. So a job that Proximity makes
//! keeps everything unless rules are given, and then the plan says which archive may go.

use std::collections::BTreeMap;

use super::{BackupJob, Schedules};
use crate::domain::backup::{self, Mode};
use crate::domain::calendar::Event;
use crate::domain::clean::clean;
use crate::domain::guest::Vmid;
use crate::domain::plan::{Check, Plan, Purpose, Refusal, Risk, Step};
use crate::domain::proof::Proofs;
use crate::domain::pve;
use crate::domain::settings::Kind;
use crate::domain::storage::StorageId;
use crate::domain::world::{Quorum, World};

/// How the ids of our jobs begin.
pub const OURS: &str = "proximity-";

const KEEP_ALL: &str = "keep-all=1";

/// What is wished of Proxmox's backup jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleWish {
    /// Have guests backed up by a schedule.
    Set(SetWish),
    /// Remove a job.
    Remove(String),
    /// Switch a job on or off.
    Switch(String, bool),
}

/// A job that is wished. What is left open stays as it is where the job is there, else it is as the settings say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetWish {
    /// For this guest; none: for all.
    pub guest: Option<Vmid>,
    /// The schedule.
    pub when: String,
    /// Where to.
    pub storage: Option<StorageId>,
    /// How a running guest is treated.
    pub mode: Option<Mode>,
    /// What Proxmox keeps after each run.
    pub keep: Option<String>,
    /// Which job; none: the one of ours for that guest, or for all.
    pub id: Option<String>,
}

/// The options of a job that say whom it is for: Proxmox takes the others away where one is given.
const WHOM: [&str; 4] = ["vmid", "all", "exclude", "pool"];

/// The plan, or why it is refused.
pub fn plan(world: &World, wish: &ScheduleWish) -> Result<Plan, Refusal> {
    let what = match wish {
        ScheduleWish::Set(SetWish { guest: Some(id), .. }) => format!("schedule backups of {id}"),
        ScheduleWish::Set(_) => "schedule backups of all guests".to_owned(),
        ScheduleWish::Remove(id) => format!("remove the backup job {}", clean(id)),
        ScheduleWish::Switch(id, on) => format!("switch the backup job {} {}", clean(id), if *on { "on" } else { "off" }),
    };
    let refuse = |(why, hint): (String, &str)| Refusal::new(what.clone(), why, hint);
    let (schedules, gaps) = match &world.schedules.known {
        Ok(schedules) => (schedules, &world.schedules.gaps),
        Err(why) => return Err(refuse((format!("the backup jobs are unknown: {why}"), "see doctor"))),
    };
    if world.quorum.get() == Some(&Quorum::NoQuorum) {
        return Err(refuse(("/etc/pve is read-only: no quorum".into(), "bring the other nodes back first")));
    }
    let mut plan = match wish {
        ScheduleWish::Set(wish) => set(world, schedules, wish).map_err(refuse)?,
        ScheduleWish::Remove(id) => remove(world, the_job(schedules, id).map_err(refuse)?),
        ScheduleWish::Switch(id, on) => switch(world, the_job(schedules, id).map_err(refuse)?, *on),
    };
    plan.notes.extend(gaps.iter().map(|g| format!("{}: {}", g.what, g.why)));
    Ok(plan)
}

fn the_job<'w>(schedules: &'w Schedules, id: &str) -> Result<&'w BackupJob, (String, &'static str)> {
    schedules.jobs.iter().find(|j| j.id == id).ok_or_else(|| (format!("there is no backup job {}", clean(id)), "see backup schedule list"))
}

/// A plan of one step that changes a job.
fn of(world: &World, title: String, guest: Option<Vmid>, risk: Risk, steps: Vec<Step>) -> Plan {
    Plan {
        purpose: Purpose::Schedule,
        title,
        guest: guest.unwrap_or(Vmid::APPLIANCE),
        host: world.place.host.clone(),
        facts: Vec::new(),
        notes: Vec::new(),
        risk,
        steps,
    }
}

/// The guest a job is for, where it is for one.
fn only(job: &BackupJob) -> Option<Vmid> {
    let names = job.names();
    names.first().copied().filter(|_| names.len() == 1 && !job.is_for_all())
}

fn whose(job: &BackupJob) -> Option<String> {
    (!job.is_ours()).then(|| format!("Proximity did not make the job {}; it is for {}", clean(&job.id), job.whom()))
}

fn remove(world: &World, job: &BackupJob) -> Plan {
    let path = path(&job.id);
    let back: Vec<(&str, &str)> =
        std::iter::once(("id", job.id.as_str())).chain(job.options.iter().map(|(k, v)| (k.as_str(), v.as_str()))).collect();
    let gone = Check::Job { id: job.id.clone(), has: None };
    let step = Step::run(format!("remove the job {}", clean(&job.id)), pve::pvesh("delete", &path, &[]), gone).undone_by(pve::pvesh(
        "create",
        "/cluster/backup",
        &back,
    ));
    let title = format!("remove the backup job {}, for {}", clean(&job.id), job.whom());
    let mut plan = of(world, title, only(job), Risk::Interrupts, vec![step]);
    plan.facts.push("archives stay; what only this job backs up is then backed up by nobody".into());
    plan.notes.extend(whose(job));
    plan
}

fn switch(world: &World, job: &BackupJob, on: bool) -> Plan {
    let title = format!("switch the backup job {} {}, for {}", clean(&job.id), if on { "on" } else { "off" }, job.whom());
    let mut steps = Vec::new();
    if job.is_on() != on {
        let word = |on: bool| if on { "1" } else { "0" };
        let cmd = |on| pve::pvesh("set", &path(&job.id), &[("enabled", word(on))]);
        let has = BTreeMap::from([("enabled".to_owned(), word(on).to_owned())]);
        steps.push(Step::run(title.clone(), cmd(on), Check::Job { id: job.id.clone(), has: Some(has) }).undone_by(cmd(!on)));
    }
    let mut plan = of(world, title, only(job), if on { Risk::Low } else { Risk::Interrupts }, steps);
    plan.notes.extend(whose(job));
    plan
}

fn path(id: &str) -> String {
    format!("/cluster/backup/{id}")
}

/// An id as Proxmox checks it (pve-configid): a letter, then letters, digits, `-` and `_`.
fn is_id(id: &str) -> bool {
    let b = id.as_bytes();
    (2..=50).contains(&b.len())
        && b.first().is_some_and(u8::is_ascii_alphabetic)
        && b.iter().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(c))
}

fn set(world: &World, schedules: &Schedules, wish: &SetWish) -> Result<Plan, (String, &'static str)> {
    let event = Event::parse(&wish.when).map_err(|why| (why, "see proximity manual backups"))?;
    let now = world.schedules.as_of;
    let first = event.next(now, &schedules.zone).ok_or_else(|| ("that time never comes".to_owned(), "give another one"))?;
    let guest = wish.guest.map(|id| world.the_guest(id)).transpose()?;
    let id = match &wish.id {
        Some(id) => id.clone(),
        None => format!("{OURS}{}", wish.guest.map_or("all".into(), |id| id.to_string())),
    };
    let old = schedules.jobs.iter().find(|j| j.id == id);
    // Who made it calls it as he likes; what we make must be one.
    if old.is_none() && !is_id(&id) {
        return Err((format!("'{}' cannot be the id of a job", clean(&id)), "give letters, digits, - and _, a letter first"));
    }
    let settings = world.chosen().map_err(|why| (why, "see proximity settings list"))?;
    let setting = |why: String| (why, "see proximity settings list");
    let storage = match (&wish.storage, old.and_then(BackupJob::storage)) {
        (Some(id), _) => Some(id.clone()),
        (None, Some(id)) => Some(id),
        (None, None) => settings.storage("backups.storage").map_err(setting)?,
    };
    let storage = backup::choose(world, storage.as_ref(), None, &backup::Promised::default())?;
    let mode = match (wish.mode, old.and_then(|j| j.get("mode"))) {
        (Some(mode), _) => mode.word(),
        (None, Some(word)) => word,
        (None, None) => settings.word("backups.mode").map_err(setting)?,
    };
    let keep = match (&wish.keep, old.and_then(|j| j.get("prune-backups"))) {
        (Some(text), _) => Kind::Keep.parse(text).map_err(|why| (why, "such as keep-last=3,keep-weekly=4"))?.to_string().replace(' ', ""),
        (None, Some(rules)) => rules.to_owned(),
        (None, None) => KEEP_ALL.to_owned(),
    };
    let title = guest.map_or("all guests".to_owned(), |g| g.title());
    let mut wanted: Vec<(&str, String)> = vec![("schedule", wish.when.clone()), ("enabled", "1".into())];
    wanted.push(wish.guest.map_or(("all", "1".to_owned()), |id| ("vmid", id.to_string())));
    wanted.extend([("storage", storage.id.to_string()), ("mode", mode.to_owned()), ("prune-backups", keep.clone())]);
    if old.is_none() {
        let compress = settings.word("backups.compression").map_err(setting)?;
        wanted.push(("compress", if compress == "none" { "0" } else { compress }.to_owned()));
        wanted.extend([("notes-template", "{{guestname}}".to_owned()), ("comment", format!("by Proximity, for {}", title))]);
    }
    let step = step(&id, old, &wanted);
    let keeps_all = keep.split(',').any(|rule| rule.trim() == KEEP_ALL);
    // Whoever gives rules has archives removed, night after night.
    let risk = if keeps_all || old.is_some_and(|j| j.get("prune-backups") == Some(&keep)) { Risk::Low } else { Risk::Interrupts };
    let verb = if old.is_some() { "change the schedule of" } else { "schedule backups of" };
    let mut plan =
        of(world, format!("{verb} {title}: {} to {}", clean(&wish.when), storage.id), wish.guest, risk, step.into_iter().collect());
    plan.facts = facts(schedules, &event, first, &keep, keeps_all, world);
    plan.notes.extend(old.and_then(whose));
    if old.is_some_and(|j| !j.is_on()) {
        plan.notes.push(format!("the job {} was off and is switched on", clean(&id)));
    }
    if mode == "stop" {
        plan.notes.push(format!("{title}: what runs is stopped for the time of each backup"));
    }
    if !keeps_all {
        plan.notes.extend(may_go(world, wish.guest));
    }
    if let Some(guest) = guest {
        let others = schedules.jobs.iter().filter(|j| j.id != id && j.is_on() && j.covers(guest) == Ok(true));
        plan.notes.extend(others.map(|j| format!("the job {} backs {title} up too: {}", clean(&j.id), clean(j.schedule()))));
        plan.notes.extend(guest.not_in_backup().into_iter().map(|m| format!("not in it: {m}")));
    }
    Ok(plan)
}

/// The step that makes a job or changes it; none where it is as wanted.
fn step(id: &str, old: Option<&BackupJob>, wanted: &[(&str, String)]) -> Option<Step> {
    let has: BTreeMap<String, String> = wanted.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    let check = Check::Job { id: id.to_owned(), has: Some(has.clone()) };
    let params: Vec<(&str, &str)> = wanted.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let Some(job) = old else {
        let all: Vec<(&str, &str)> = std::iter::once(("id", id)).chain(params).collect();
        let step = Step::run(format!("make the backup job {}", clean(id)), pve::pvesh("create", "/cluster/backup", &all), check);
        return Some(step.undone_by(pve::pvesh("delete", &path(id), &[])));
    };
    if is_so(job, &has) {
        return None;
    }
    let changed: Vec<(&str, &str)> = params.into_iter().filter(|(key, _)| WHOM.contains(key) || differs(job, key, &has)).collect();
    let new = |key: &str| changed.iter().any(|(k, _)| *k == key);
    let mut back: Vec<(&str, &str)> =
        job.options.iter().map(|(k, v)| (k.as_str(), v.as_str())).filter(|(k, _)| new(k) || WHOM.contains(k)).collect();
    let added: Vec<&str> = changed.iter().map(|(k, _)| *k).filter(|k| job.get(k).is_none() && !WHOM.contains(k)).collect();
    let added = added.join(",");
    if !added.is_empty() {
        back.push(("delete", &added));
    }
    let step = Step::run(format!("change the backup job {}", clean(id)), pve::pvesh("set", &path(id), &changed), check);
    Some(step.undone_by(pve::pvesh("set", &path(id), &back)))
}

fn differs(job: &BackupJob, key: &str, has: &BTreeMap<String, String>) -> bool {
    let set = |text: &str| text.split(',').map(|w| w.trim().to_owned()).collect::<std::collections::BTreeSet<_>>();
    // Off is what has to be said; lists are in any order.
    let default = if key == "enabled" { Some("1") } else { None };
    has.get(key).map(|v| set(v)) != job.get(key).or(default).map(set)
}

/// Whether a job has all of these options, and is for nobody else.
pub fn is_so(job: &BackupJob, has: &BTreeMap<String, String>) -> bool {
    let whom = has.keys().any(|k| WHOM.contains(&k.as_str()));
    let other = |key: &str| whom && !has.contains_key(key) && job.get(key).is_some_and(|v| v != "0");
    has.keys().all(|key| !differs(job, key, has)) && !WHOM.iter().any(|key| other(key))
}

fn facts(
    schedules: &Schedules,
    event: &Event,
    first: crate::domain::stamp::Stamp,
    keep: &str,
    keeps_all: bool,
    world: &World,
) -> Vec<String> {
    let more = std::iter::successors(Some(first), |at| event.next(*at, &schedules.zone));
    let minute = |at: crate::domain::stamp::Stamp| at.minute(schedules.zone.offset(at.secs()));
    let mut out = vec![format!("it comes {}", more.take(3).map(minute).collect::<Vec<_>>().join(", "))];
    out.push(match keeps_all {
        true => "nothing is removed by it; backup prune removes what no rule keeps, but for the last that came back".into(),
        false => format!("after each run Proxmox removes what {keep} does not keep"),
    });
    if let Some(me) = world.node_name() {
        out.push(format!(
            "Proxmox's own job: its page shows it, and its scheduler runs it on the node a guest lives on; here that is {me}"
        ));
    }
    out
}

/// What is to be said where Proxmox prunes: it does not know what was seen to come back.
fn may_go(world: &World, guest: Option<Vmid>) -> Vec<String> {
    let mut out =
        vec!["Proxmox's rules know nothing of the last archive that came back: only what is protected is safe from them".to_owned()];
    let (Some(archives), Some(jobs)) = (world.archives.get(), world.jobs.get()) else {
        out.push("which archive came back last is not known here".into());
        return out;
    };
    let proofs = Proofs::of(jobs);
    let proven = |a: &&crate::domain::backup::Archive| !a.is_empty() && proofs.came_back(a);
    let guests = world.guests.get().into_iter().flatten().filter(|g| guest.is_none_or(|id| id == g.id));
    let last = guests.filter_map(|g| Some((g, archives.iter().filter(|a| a.vmid == Some(g.id)).filter(proven).max_by_key(|a| a.made)?)));
    out.extend(
        last.filter(|(_, a)| !a.protected)
            .map(|(g, a)| format!("the last of {} that came back is not protected: {}", g.title(), clean(&a.volid))),
    );
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::parse_jobs;
    use super::*;
    use crate::domain::backup::tests::world as base;
    use crate::domain::calendar::Zone;
    use crate::domain::stamp::Stamp;
    use crate::domain::world::{From, Gap, Part};

    fn world(cfg: &str) -> World {
        let now = Stamp::from_civil(2026, 11, 22, 12, 0, 0).unwrap();
        let schedules = Schedules { jobs: parse_jobs(cfg), zone: Zone::fixed(3600), drills: Ok(None) };
        World { schedules: Part::new(schedules, now, From::Files), ..base() }
    }

    fn wish(when: &str) -> SetWish {
        SetWish { guest: "101".parse().ok(), when: when.into(), storage: None, mode: None, keep: None, id: None }
    }

    fn told(world: &World, wish: SetWish) -> Result<Plan, Refusal> {
        super::plan(world, &ScheduleWish::Set(wish))
    }

    #[test]
    fn the_plan_as_it_is_shown() {
        let world = world("vzdump: nightly\n\tschedule 22:30\n\tall 1\n");
        insta::assert_snapshot!(told(&world, wish("mon..fri 2:15")).unwrap().lines().join("\n"), @"
        schedule backups of 101 web: mon..fri 2:15 to local
        1 make the backup job proximity-101
            $ pvesh create /cluster/backup --id proximity-101 --schedule 'mon..fri 2:15' --enabled 1 --vmid 101 --storage local --mode snapshot --prune-backups keep-all=1 --compress zstd --notes-template {{guestname}} --comment 'by Proximity, for 101 web'
            then: the backup job proximity-101 is exactly so
            undo: pvesh delete /cluster/backup/proximity-101
        it comes 2026-11-23 02:15, 2026-11-24 02:15, 2026-11-25 02:15
        nothing is removed by it; backup prune removes what no rule keeps, but for the last that came back
        ! the job nightly backs 101 web up too: 22:30
        ! not in it: /srv (mp0 bind mount)
        ");
    }

    #[test]
    fn a_job_that_is_there_is_changed_and_what_it_was_is_the_way_back() {
        let cfg = "vzdump: proximity-101\n\tschedule 02:00\n\tvmid 101\n\tstorage local\n\tmode stop\n\tprune-backups keep-last=3\n\tenabled 0\n\tcompress gzip\n";
        let plan = told(&world(cfg), SetWish { mode: Some(Mode::Suspend), ..wish("sat 15:00") }).unwrap();
        let shown = plan.lines().join("\n");
        assert!(
            shown.contains("$ pvesh set /cluster/backup/proximity-101 --schedule 'sat 15:00' --enabled 1 --vmid 101 --mode suspend\n"),
            "{shown}"
        );
        assert!(
            shown.contains("undo: pvesh set /cluster/backup/proximity-101 --schedule 02:00 --vmid 101 --mode stop --enabled 0\n"),
            "{shown}"
        );
        assert!(shown.contains("! the job proximity-101 was off and is switched on"), "{shown}");
        assert_eq!(plan.risk, Risk::Low, "its rules are as they were");
        // The same again is nothing, in whatever order its lists stand.
        let same = "vzdump: proximity-101\n\tschedule 02:00\n\tvmid 101\n\tstorage local\n\tmode snapshot\n\tprune-backups keep-last=3,keep-daily=2\n";
        assert!(told(&world(same), SetWish { keep: Some("keep-daily=2,keep-last=3".into()), ..wish("02:00") }).unwrap().steps.is_empty());
        // What was not said of a job is taken away again.
        let plan =
            told(&world("vzdump: x\n\tschedule 1:00\n\tall 1\n\texclude 102\n"), SetWish { id: Some("x".into()), ..wish("1:00") }).unwrap();
        let undo = plan.steps[0].undo.as_ref().unwrap().shown();
        assert_eq!(undo, "pvesh set /cluster/backup/x --all 1 --exclude 102 --delete storage,mode,prune-backups");
        assert!(plan.notes.iter().any(|n| n == "Proximity did not make the job x; it is for all but 102"), "{:?}", plan.notes);
    }

    #[test]
    fn whoever_lets_proxmox_prune_is_told_what_may_go() {
        use crate::domain::job::State;
        use crate::domain::plan::{Act, Approved};
        let mut w = world("");
        let archive = backup::tests::archive(101, "local:backup/vzdump-lxc-101-2026_11_01-02_00_00.tar.zst", Stamp(1), 7);
        let vmid = 103.try_into().unwrap();
        let mut job = crate::domain::proof::tests::job(7, State::Succeeded, &[Check::Answers { vmid }], Purpose::Drill);
        let mut plan = job.order.plan().clone();
        if let Act::Run { cmd, .. } = &mut plan.steps[0].act {
            cmd.args[2] = archive.volid.clone();
        }
        job.order = Approved::new(plan, "ada", None).unwrap();
        w.jobs = Part::new(vec![job], Stamp(1), From::Files);
        w.archives = Part::new(vec![archive], Stamp(1), From::Files);
        let keep = || SetWish { keep: Some("keep-last=1".into()), ..wish("2:00") };
        let plan = told(&w, keep()).unwrap();
        let mine = "the last of 101 web that came back is not protected: local:backup/vzdump-lxc-101-2026_11_01-02_00_00.tar.zst";
        assert!(plan.notes.iter().any(|n| n == mine) && plan.risk == Risk::Interrupts, "{:?}", plan.notes);
        w.archives.known.as_mut().unwrap()[0].protected = true;
        assert!(!told(&w, keep()).unwrap().notes.iter().any(|n| n == mine));
        w.jobs = Part::unknown("damaged", Stamp(1));
        assert!(told(&w, keep()).unwrap().notes.iter().any(|n| n.contains("is not known here")));
    }

    #[test]
    fn jobs_are_switched_and_removed_with_a_way_back() {
        let w = world("vzdump: a\n\tschedule 1:00\n\tvmid 101,102\n\texclude-path /tmp\n\texclude-path /var/cache\n");
        let plan = super::plan(&w, &ScheduleWish::Remove("a".into())).unwrap();
        let undo = plan.steps[0].undo.as_ref().unwrap().shown();
        assert_eq!(
            undo,
            "pvesh create /cluster/backup --id a --schedule 1:00 --vmid 101,102 --exclude-path /tmp --exclude-path /var/cache"
        );
        assert_eq!((&plan.risk, plan.guest), (&Risk::Interrupts, Vmid::APPLIANCE));
        let switch = |on| super::plan(&w, &ScheduleWish::Switch("a".into(), on)).unwrap();
        assert!(switch(true).steps.is_empty(), "it is on");
        assert_eq!(switch(false).steps[0].undo.as_ref().unwrap().shown(), "pvesh set /cluster/backup/a --enabled 1");
        assert!(super::plan(&w, &ScheduleWish::Remove("b".into())).unwrap_err().why.contains("no backup job b"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let why = |world: &World, wish: SetWish| told(world, wish).unwrap_err().why;
        let w = world("");
        assert!(why(&w, wish("noon")).contains("is no schedule"));
        assert!(why(&w, wish("02-30")).contains("never comes"));
        assert!(why(&w, SetWish { guest: "300".parse().ok(), ..wish("2:00") }).contains("no guest 300"));
        assert!(why(&w, SetWish { storage: "old".parse().ok(), ..wish("2:00") }).contains("disabled"));
        assert!(why(&w, SetWish { keep: Some("keep-some=1".into()), ..wish("2:00") }).contains("keep"));
        for id in ["a", "../x", "x y", "1a", "-a", "a/b", "a\nb"] {
            assert!(why(&w, SetWish { id: Some(id.into()), ..wish("2:00") }).contains("cannot be the id"), "{id}");
        }
        let mut away = world("");
        away.quorum = Part::new(Quorum::NoQuorum, Stamp(1), From::Files);
        assert!(why(&away, wish("2:00")).contains("no quorum"));
        away.schedules = Part::unknown("denied", Stamp(1));
        assert!(why(&away, wish("2:00")).contains("denied"));
        let mut gap = world("");
        gap.schedules.gaps.push(Gap { what: "old backup jobs".into(), why: "2 in vzdump.cron".into() });
        assert!(told(&gap, wish("2:00")).unwrap().notes.iter().any(|n| n.contains("vzdump.cron")));
    }
}
