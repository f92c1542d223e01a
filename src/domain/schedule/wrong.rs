//! What is wrong with schedules: a job that runs for nothing or did not run, what is published and backed up by none, drills that
//! do not come.

use super::{BackupJob, Next, Noted, Schedules, drills, next};
use crate::domain::calendar::Event;
use crate::domain::clean::clean;
use crate::domain::guest::Kind;
use crate::domain::health::Level;
use crate::domain::stamp::Stamp;
use crate::domain::swap::published;
use crate::domain::task::TaskEnd;
use crate::domain::world::{From, World};

/// What is late by so much is missed: pvescheduler looks each minute, and waits for what runs.
const LATE_S: i64 = 15 * 60;

/// How bad, what it is about, why.
pub type Wrong = (Level, String, String);

/// All of it. Jobs that are off are somebody's will.
pub fn wrong(world: &World) -> Vec<Wrong> {
    let Some(schedules) = world.schedules.get() else { return Vec::new() };
    let now = world.schedules.as_of;
    let mut out: Vec<Wrong> = Vec::new();
    for job in schedules.jobs.iter().filter(|j| j.is_on()) {
        let what = format!("backup job {}", clean(&job.id));
        out.extend(of_job(world, schedules, job, now).into_iter().map(|(level, why)| (level, what.clone(), why)));
    }
    out.extend(uncovered(world, now));
    match &schedules.drills {
        Ok(Some(timer)) => out.extend(of_drills(timer, schedules, now).map(|(level, why)| (level, "drills".into(), why))),
        Ok(None) => {}
        Err(why) => out.push((Level::Unknown, "drills".into(), format!("whether they come by schedule is unknown: {why}"))),
    }
    out
}

fn of_job(world: &World, schedules: &Schedules, job: &BackupJob, now: Stamp) -> Vec<(Level, String)> {
    let mut out = Vec::new();
    if let Err(why) = &job.event {
        out.push((Level::Unknown, format!("when it runs is unknown: {why}")));
    }
    if let (false, From::Files, Some(guests)) = (job.is_for_all(), world.guests.from, world.guests.get()) {
        let gone: Vec<String> = job.names().into_iter().filter(|id| guests.iter().all(|g| g.id != *id)).map(|id| id.to_string()).collect();
        if !gone.is_empty() {
            out.push((Level::Warn, format!("it names guests that are not there: {}; each of its runs ends in errors", gone.join(", "))));
        }
    }
    if let (Some(id), Some(all)) = (job.storage(), world.storages.get()) {
        let why = match all.iter().find(|s| s.id == id) {
            None => Some("is not there".to_owned()),
            Some(s) if s.disabled => Some("is disabled".to_owned()),
            Some(s) if !s.takes("backup") => Some("does not take backups".to_owned()),
            Some(_) => None,
        };
        out.extend(why.map(|why| (Level::Bad, format!("its storage {id} {why}: nothing is backed up by it"))));
    }
    // A job of another node is noted there.
    let here = job.get("node").is_none_or(|node| world.node_name().is_none_or(|me| me == node));
    if let (true, Some(noted)) = (here, &job.noted) {
        out.extend(of_run(noted, job, schedules, now));
    }
    out
}

fn of_run(noted: &Noted, job: &BackupJob, schedules: &Schedules, now: Stamp) -> Option<(Level, String)> {
    let minute = |at: Stamp| at.minute(schedules.zone.offset(at.secs()));
    if let Some(due) = late(job.event.as_ref().ok(), noted.since, schedules, now).filter(|_| !noted.runs) {
        return Some((Level::Bad, format!("it was to run {} and did not; does pvescheduler run?", minute(due))));
    }
    let ran = noted.ran.as_ref().filter(|_| !noted.runs)?;
    match &ran.end {
        Some(TaskEnd::Error(why)) => Some((Level::Bad, format!("its run of {} failed: {}; see its task", minute(ran.at), clean(why)))),
        Some(TaskEnd::Vanished) => Some((Level::Bad, format!("its run of {} was interrupted", minute(ran.at)))),
        Some(TaskEnd::Warnings(n)) => Some((Level::Warn, format!("its run of {} gave {n} warning(s); see its task", minute(ran.at)))),
        Some(TaskEnd::Ok) | None => None,
    }
}

/// When a schedule was to come and did not.
fn late(event: Option<&Event>, since: Stamp, schedules: &Schedules, now: Stamp) -> Option<Stamp> {
    event?.next(since, &schedules.zone).filter(|due| due.secs() + LATE_S < now.secs())
}

/// What others rely on and nothing backs up by a schedule. Where that is not known of a guest, nothing is said of it here.
fn uncovered(world: &World, now: Stamp) -> Option<Wrong> {
    let guests = world.guests.get()?.iter().filter(|g| g.kind == Kind::Lxc && !g.template && g.conf_read);
    let bare = guests.filter(|g| matches!(next(world, g, now), Next::Never | Next::Disabled) && !published(world, g).0.is_empty());
    let titles: Vec<String> = bare.map(|g| g.title()).collect();
    let are = if titles.len() == 1 { "is" } else { "are" };
    let why = format!("{} {are} published and not backed up by any schedule; s in pane 6, or backup schedule set", titles.join(", "));
    (!titles.is_empty()).then_some((Level::Warn, "backups".into(), why))
}

fn of_drills(timer: &drills::Timer, schedules: &Schedules, now: Stamp) -> Option<(Level, String)> {
    let minute = |at: Stamp| at.minute(schedules.zone.offset(at.secs()));
    if !timer.active || !timer.enabled {
        let how = if timer.active { "not after the next boot" } else { "not switched on" };
        return Some((Level::Bad, format!("their timer is there, and {how}: systemctl enable --now {}.timer", drills::UNIT)));
    }
    if timer.runs {
        return None;
    }
    let event = Event::parse(&timer.when).ok();
    if let Some(since) = timer.since.filter(|since| late(event.as_ref(), *since, schedules, now).is_some()) {
        return Some((Level::Bad, format!("they did not run since {}; see systemctl status {}.timer", minute(since), drills::UNIT)));
    }
    let failed = !matches!(timer.result.as_str(), "success" | "");
    let when = timer.ran.map_or(String::new(), |at| format!(" of {}", minute(at)));
    let exit = timer.exit.map_or(String::new(), |n| format!(" (status {n})"));
    failed.then(|| (Level::Bad, format!("the run{when} failed{exit}; see journalctl -u {}", drills::UNIT)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Ran, parse_jobs};
    use super::*;
    use crate::domain::backup::tests::world;
    use crate::domain::calendar::Zone;
    use crate::domain::world::Part;

    fn with(cfg: &str, change: impl FnOnce(&mut Schedules)) -> World {
        let now = Stamp::from_civil(2026, 11, 22, 12, 0, 0).unwrap();
        let mut schedules = Schedules { jobs: parse_jobs(cfg), zone: Zone::default(), drills: Ok(None) };
        change(&mut schedules);
        World { schedules: Part::new(schedules, now, From::Files), ..world() }
    }

    fn told(world: &World) -> Vec<String> {
        wrong(world).into_iter().map(|(level, what, why)| format!("{level:?} {what}: {why}")).collect()
    }

    #[test]
    fn jobs_that_run_for_nothing() {
        assert!(told(&with("vzdump: a\n\tschedule 2:00\n\tvmid 101\n\tstorage local\n", |_| {})).is_empty());
        let bad =
            with("vzdump: a\n\tschedule x\n\tvmid 101,300\n\tstorage old\nvzdump: off\n\tenabled 0\n\tvmid 300\n\tschedule 2:00\n", |_| {});
        assert_eq!(
            told(&bad)[1..],
            [
                "Warn backup job a: it names guests that are not there: 300; each of its runs ends in errors",
                "Bad backup job a: its storage old is disabled: nothing is backed up by it"
            ]
        );
        assert!(told(&bad)[0].starts_with("Unknown backup job a: when it runs is unknown: 'x' is no schedule"));
    }

    #[test]
    fn runs_that_failed_or_did_not_come() {
        let job = |since: (u32, u32), runs, end: Option<TaskEnd>| {
            let at = Stamp::from_civil(2026, 11, since.0, since.1, 0, 0).unwrap();
            let ran = end.map(|end| Ran { at, end: Some(end) });
            told(&with("vzdump: a\n\tschedule 2:00\n\tvmid 101\n", |s| s.jobs[0].noted = Some(Noted { since: at, ran, runs })))
        };
        assert!(job((22, 2), false, Some(TaskEnd::Ok)).is_empty());
        assert_eq!(
            job((22, 2), false, Some(TaskEnd::Error("job errors".into()))),
            ["Bad backup job a: its run of 2026-11-22 02:00 failed: job errors; see its task"]
        );
        assert_eq!(
            job((21, 2), false, Some(TaskEnd::Ok)),
            ["Bad backup job a: it was to run 2026-11-22 02:00 and did not; does pvescheduler run?"]
        );
        assert!(job((21, 2), true, Some(TaskEnd::Ok)).is_empty(), "it is at it");
    }

    #[test]
    fn what_is_published_and_backed_up_by_none() {
        use crate::domain::ports::PortMap;
        use crate::domain::service::{Published, Spec};
        let spec = Spec::to("web:80".parse().unwrap());
        let services = vec![Published { name: "site".parse().unwrap(), spec, at: Stamp(1), by: "ada".into() }];
        let map = PortMap { services, ..PortMap::default() };
        let told = |cfg: &str| told(&World { ports: Part::new(map.clone(), Stamp(1), From::Files), ..with(cfg, |_| {}) });
        let says = "Warn backups: 101 web is published and not backed up by any schedule; s in pane 6, or backup schedule set";
        assert_eq!(told("vzdump: a\n\tschedule 2:00\n\tvmid 102\n\tenabled 0\n"), [says]);
        assert!(told("vzdump: a\n\tschedule 2:00\n\tall 1\n").is_empty());
    }

    #[test]
    fn drills_that_do_not_come() {
        let timer = |change: fn(&mut drills::Timer)| {
            let at = |d, h| Stamp::from_civil(2026, 11, d, h, 0, 0);
            let mut timer = drills::Timer {
                when: "*-*-* 04:00:00".into(),
                active: true,
                enabled: true,
                since: at(22, 4),
                ran: at(22, 4),
                runs: false,
                result: "success".into(),
                exit: Some(0),
            };
            change(&mut timer);
            told(&with("", |s| s.drills = Ok(Some(timer))))
        };
        assert!(timer(|_| {}).is_empty());
        assert_eq!(
            timer(|t| t.active = false),
            ["Bad drills: their timer is there, and not switched on: systemctl enable --now proximity-drills.timer"]
        );
        assert_eq!(
            timer(|t| t.since = Stamp::from_civil(2026, 11, 20, 4, 0, 0)),
            ["Bad drills: they did not run since 2026-11-20 04:00; see systemctl status proximity-drills.timer"]
        );
        assert_eq!(
            timer(|t| (t.result, t.exit) = ("exit-code".into(), Some(5))),
            ["Bad drills: the run of 2026-11-22 04:00 failed (status 5); see journalctl -u proximity-drills"]
        );
        assert!(told(&with("", |s| s.drills = Err("no bus".into())))[0].starts_with("Unknown drills"));
    }
}
