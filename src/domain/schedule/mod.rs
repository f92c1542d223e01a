//! Schedules: Proxmox's own backup jobs as they stand in `/etc/pve/jobs.cfg`, which guests each covers and when it runs next, and
//! the timer of the drills. How they are changed is in [`plan`] and [`drills`], what is wrong with them in [`wrong`].

use std::collections::BTreeMap;

use serde::Deserialize;

use super::calendar::{Event, Zone};
use super::clean::clean;
use super::guest::{Guest, Vmid};
use super::stamp::Stamp;
use super::storage::StorageId;
use super::task::{TaskEnd, Upid};
use super::world::World;

pub mod drills;
pub mod due;
pub mod plan;
pub mod wrong;

/// Everything that runs by the clock, as far as it concerns backups.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedules {
    /// Proxmox's backup jobs, in the order of its file.
    pub jobs: Vec<BackupJob>,
    /// The zone of the node, in which schedules are meant.
    pub zone: Zone,
    /// The timer of the drills; none where there is none; else why that is not known.
    pub drills: Result<Option<drills::Timer>, String>,
}

/// One of Proxmox's backup jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupJob {
    /// Its id.
    pub id: String,
    /// All its options as they stand in the file, in order; an option that is a list stands there once for each.
    pub options: Vec<(String, String)>,
    /// Its schedule, read; else why it cannot be.
    pub event: Result<Event, String>,
    /// The guests of its pool, where it is for one.
    pub pool: Option<Result<Vec<Vmid>, String>>,
    /// What the scheduler of this node noted of it; none where it noted nothing or that cannot be read.
    pub noted: Option<Noted>,
}

/// What pvescheduler notes of a job on its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// From when its next run is reckoned: its last run, or when it was made or changed.
    pub since: Stamp,
    /// Its last run.
    pub ran: Option<Ran>,
    /// It is at it.
    pub runs: bool,
}

/// The last run of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// When it began.
    pub at: Stamp,
    /// How it ended; none where that was not noted yet.
    pub end: Option<TaskEnd>,
}

/// When a guest is backed up next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Then.
    At(Stamp),
    /// Only jobs that are switched off cover it.
    Disabled,
    /// No job covers it, or none that ever runs again.
    Never,
    /// That is not known; why.
    Unknown(String),
}

impl Schedules {
    /// Leaves out whom one may not look at; and what is nobody's he may look at.
    pub fn only(&mut self, sees: impl Fn(Vmid) -> bool) {
        for job in &mut self.jobs {
            let names: Vec<String> = job.names().into_iter().filter(|id| sees(*id)).map(|id| id.to_string()).collect();
            job.options.iter_mut().filter(|(key, _)| matches!(key.as_str(), "vmid" | "exclude")).for_each(|(_, v)| *v = names.join(","));
            if let Some(Ok(pool)) = &mut job.pool {
                pool.retain(|id| sees(*id));
            }
        }
        let somebody = |j: &BackupJob| j.is_for_all() || !j.names().is_empty() || matches!(&j.pool, Some(Ok(pool)) if !pool.is_empty());
        self.jobs.retain(somebody);
        self.drills = Ok(None);
    }
}

impl Next {
    /// In a few letters: `02:00`, `Sat 15:00`, `not scheduled`.
    pub fn words(&self, now: Stamp, zone: &Zone) -> String {
        match self {
            Next::At(then) => zone.soon(now, *then),
            Next::Disabled => "disabled".into(),
            Next::Never => "not scheduled".into(),
            Next::Unknown(_) => "unknown".into(),
        }
    }
}

impl BackupJob {
    /// A job of these options.
    pub fn new(id: impl Into<String>, options: Vec<(String, String)>) -> BackupJob {
        let schedule = options.iter().find(|(key, _)| key == "schedule").map(|(_, value)| Event::parse(value));
        BackupJob { id: id.into(), event: schedule.unwrap_or(Err("it has no schedule".into())), options, pool: None, noted: None }
    }

    /// An option.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// Its schedule as it is written.
    pub fn schedule(&self) -> &str {
        self.get("schedule").unwrap_or("")
    }

    /// Whether it is switched on.
    pub fn is_on(&self) -> bool {
        self.get("enabled").is_none_or(|v| v != "0")
    }

    /// Whether Proximity made it: its id says so.
    pub fn is_ours(&self) -> bool {
        self.id.starts_with(plan::OURS)
    }

    /// Where it puts its archives.
    pub fn storage(&self) -> Option<StorageId> {
        self.get("storage")?.parse().ok()
    }

    /// Whether it is for all guests but those it names.
    pub fn is_for_all(&self) -> bool {
        self.get("all").is_some_and(|v| v != "0")
    }

    /// The guests it names, or leaves out where it is for all.
    pub fn names(&self) -> Vec<Vmid> {
        let list = self.get(if self.is_for_all() { "exclude" } else { "vmid" }).unwrap_or("");
        list.split([',', ';', ' ']).filter_map(|word| word.trim().parse().ok()).collect()
    }

    /// Whether it backs a guest up; else why that is not known. A guest of another node is backed up there, by the same job.
    pub fn covers(&self, guest: &Guest) -> Result<bool, String> {
        if let (Some(node), Some(lives)) = (self.get("node"), guest.node.as_deref())
            && node != lives
        {
            return Ok(false);
        }
        match &self.pool {
            _ if self.is_for_all() => Ok(!self.names().contains(&guest.id)),
            Some(Ok(pool)) => Ok(pool.contains(&guest.id)),
            Some(Err(why)) => Err(why.clone()),
            None => Ok(self.names().contains(&guest.id)),
        }
    }

    /// Who it is for: `101, 102`, `all but 300`, `pool web`.
    pub fn whom(&self) -> String {
        let names = self.names().iter().map(Vmid::to_string).collect::<Vec<_>>().join(", ");
        match (self.is_for_all(), self.get("pool"), names.is_empty()) {
            (true, _, true) => "all".into(),
            (true, _, false) => format!("all but {names}"),
            (false, Some(pool), _) => format!("pool {}", clean(pool)),
            (false, None, true) => "nobody".into(),
            (false, None, false) => names,
        }
    }

    /// When it runs next; none where it is off or never does again.
    pub fn next(&self, now: Stamp, zone: &Zone) -> Option<Stamp> {
        self.event.as_ref().ok().filter(|_| self.is_on())?.next(now, zone)
    }

    /// How its last run went, as it is told: `ok`, `runs`, an error.
    pub fn went(&self) -> String {
        match self.noted.as_ref().map(|n| (n.runs, n.ran.as_ref().map(|r| &r.end))) {
            None => "unknown".into(),
            Some((true, _)) => "runs".into(),
            Some((false, None)) => "not yet".into(),
            Some((false, Some(None))) => "its end is not noted".into(),
            Some((false, Some(Some(TaskEnd::Ok)))) => "ok".into(),
            Some((false, Some(Some(TaskEnd::Warnings(n))))) => format!("{n} warning(s)"),
            Some((false, Some(Some(TaskEnd::Error(why))))) => clean(why),
            Some((false, Some(Some(TaskEnd::Vanished)))) => "interrupted".into(),
        }
    }
}

/// When guests are backed up next by a schedule: each job is asked once, whoever it covers.
pub struct Forecast<'w> {
    jobs: Result<Vec<(&'w BackupJob, Option<Stamp>)>, &'w str>,
    gap: Option<String>,
}

impl<'w> Forecast<'w> {
    /// As the World knows it.
    pub fn of(world: &'w World, now: Stamp) -> Forecast<'w> {
        let part = &world.schedules;
        let jobs = part.known.as_ref().map(|s| s.jobs.iter().map(|j| (j, j.next(now, &s.zone))).collect()).map_err(String::as_str);
        Forecast { jobs, gap: part.gaps.first().map(|g| format!("{}: {}", g.what, g.why)) }
    }

    /// Of one guest.
    pub fn guest(&self, guest: &Guest) -> Next {
        let jobs = match &self.jobs {
            Ok(jobs) => jobs,
            Err(why) => return Next::Unknown((*why).to_owned()),
        };
        let (mut first, mut off, mut unknown) = (None::<Stamp>, false, self.gap.clone());
        for (job, at) in jobs {
            match (job.covers(guest), &job.event) {
                (Ok(false), _) => {}
                (Ok(true), _) if !job.is_on() => off = true,
                (Ok(true), Ok(_)) => first = first.into_iter().chain(*at).min(),
                (Err(why), _) => unknown = Some(format!("job {}: {why}", clean(&job.id))),
                (Ok(true), Err(why)) => unknown = Some(format!("job {}: {why}", clean(&job.id))),
            }
        }
        match (first, unknown) {
            (Some(then), _) => Next::At(then),
            (None, Some(why)) => Next::Unknown(why),
            (None, None) if off => Next::Disabled,
            (None, None) => Next::Never,
        }
    }
}

/// When a guest of the World is backed up next by a schedule.
pub fn next(world: &World, guest: &Guest, now: Stamp) -> Next {
    Forecast::of(world, now).guest(guest)
}

/// Reads jobs.cfg: the backup jobs in it. Sections of other kinds are nobody's business here.
pub fn parse_jobs(text: &str) -> Vec<BackupJob> {
    let mut all: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut ours = false;
    for line in text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
        if !line.starts_with([' ', '\t']) {
            let head = line.split_once(':').filter(|(kind, id)| kind.trim() == "vzdump" && !id.trim().is_empty());
            ours = head.is_some();
            all.extend(head.map(|(_, id)| (id.trim().to_owned(), Vec::new())));
        } else if let (true, Some((_, options))) = (ours, all.last_mut()) {
            let line = line.trim();
            let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            options.push((key.to_owned(), value.trim().to_owned()));
        }
    }
    all.into_iter().map(|(id, options)| BackupJob::new(id, options)).collect()
}

/// Reads the answer of `GET /cluster/backup`, whose numbers and flags may be texts.
pub fn parse_api(json: &[u8]) -> Result<Vec<BackupJob>, String> {
    let rows: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Bool(on) => u8::from(*on).to_string(),
        // A property string, which the API takes apart.
        serde_json::Value::Object(parts) => {
            let one = |(key, value): (&String, &serde_json::Value)| {
                format!("{key}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            };
            parts.iter().map(one).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    };
    let one = |row: BTreeMap<String, serde_json::Value>| {
        let id = text(row.get("id")?);
        let mut options = Vec::new();
        for (key, value) in row.iter().filter(|(key, _)| !matches!(key.as_str(), "id" | "type" | "next-run")) {
            match value {
                serde_json::Value::Array(all) => options.extend(all.iter().map(|v| (key.clone(), text(v)))),
                value => options.push((key.clone(), text(value))),
            }
        }
        Some(BackupJob::new(id, options))
    };
    Ok(rows.into_iter().filter_map(one).collect())
}

/// The guests of a pool by `user.cfg`; none where there is no such pool.
pub fn parse_pool(user_cfg: &str, pool: &str) -> Option<Vec<Vmid>> {
    let line =
        user_cfg.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|w| w.first() == Some(&"pool") && w.get(1) == Some(&pool))?;
    Some(line.get(3)?.split([',', ';', ' ']).filter_map(|id| id.trim().parse().ok()).collect())
}

/// Reads what pvescheduler notes of a job: `/var/lib/pve-manager/jobs/vzdump-ID.json` (PVE::Jobs).
pub fn parse_noted(json: &[u8]) -> Option<Noted> {
    #[derive(Deserialize)]
    struct State {
        state: String,
        time: Option<i64>,
        updated: Option<i64>,
        upid: Option<String>,
        msg: Option<String>,
    }
    let state: State = serde_json::from_slice(json).ok()?;
    let upid: Option<Upid> = state.upid.as_deref().and_then(|u| u.parse().ok());
    let time = state.time.map(Stamp::from_secs);
    let begun = upid.as_ref().map(|u| u.started);
    let since = state.updated.map(Stamp::from_secs).or(begun).or(time)?;
    let end = state.msg.filter(|_| state.state == "stopped").map(|msg| TaskEnd::from_status(&msg));
    // What never got as far as a task has only the time of its try.
    let ran = begun.or(time.filter(|_| end.is_some())).map(|at| Ran { at, end });
    Some(Noted { since, ran, runs: matches!(state.state.as_str(), "started" | "starting") })
}

/// How many jobs the file of the old scheduler holds.
pub fn count_cron(text: &str) -> usize {
    text.lines().filter(|l| !l.trim_start().starts_with('#') && l.contains("vzdump")).count()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::conf::parse_lxc;
    use super::super::world::{From, Gap, Part};
    use super::*;

    const CFG: &str = include_str!("../../../tests/recordings/pve-9.1/cat-jobs-cfg.out");
    const API: &[u8] = include_bytes!("../../../tests/recordings/pve-9.1/pvesh-cluster-backup-jobs.out");

    fn guest(id: u32, node: &str) -> Guest {
        Guest { node: Some(node.into()), ..parse_lxc(id.try_into().unwrap(), "hostname: x\n") }
    }

    #[test]
    fn the_recorded_jobs_are_the_same_from_the_file_and_from_the_api() {
        let file = parse_jobs(CFG);
        let api = parse_api(API).unwrap();
        assert_eq!(file.len(), 2);
        for (file, api) in file.iter().zip(&api) {
            let mut sorted = file.options.clone();
            sorted.sort();
            assert_eq!((&file.id, sorted, &file.event), (&api.id, api.options.clone(), &api.event));
        }
        assert_eq!(file.iter().map(BackupJob::whom).collect::<Vec<_>>(), ["100, 200", "all but 300"]);
        assert!(file[0].is_on() && !file[0].is_ours());
        // The node said 2026-11-21 02:30 and 03:00 itself, the evening before.
        let now = Stamp::from_secs(1_795_198_400);
        let next: Vec<i64> = file.iter().map(|j| j.next(now, &Zone::default()).unwrap().secs()).collect();
        let told: Vec<serde_json::Value> = serde_json::from_slice(API).unwrap();
        assert_eq!(next, told.iter().map(|v| v["next-run"].as_i64().unwrap()).collect::<Vec<_>>());
    }

    #[test]
    fn who_is_covered() {
        let jobs = parse_jobs(
            "vzdump: a\n\tschedule 2:00\n\tvmid 100,101\n\tnode pve1\n\nrealm-sync: x\n\tschedule 1:00\n\nvzdump: b\n\tall 1\n\texclude 102\n\tenabled 0\n\tschedule sat\nvzdump: c\n\tpool web\n\tschedule 3:00\n",
        );
        assert_eq!(jobs.iter().map(|j| j.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        let told = |id, node: &str| jobs[..2].iter().map(|j| j.covers(&guest(id, node)).unwrap()).collect::<Vec<_>>();
        assert_eq!([told(100, "pve1"), told(100, "pve2"), told(102, "pve1")], [[true, true], [false, true], [false, false]]);
        assert_eq!(
            parse_pool("user:root@pam:1:\npool:web:the web:101,103:local:\n", "web").unwrap(),
            ["101", "103"].map(|v| v.parse().unwrap())
        );
        assert_eq!(parse_pool("pool:web::101::\n", "we"), None);
    }

    #[test]
    fn when_a_guest_is_backed_up_next() {
        let mut jobs = parse_jobs(
            "vzdump: a\n\tschedule sat 15:00\n\tvmid 100\nvzdump: b\n\tschedule 02:00\n\tvmid 100,101\n\tenabled 0\nvzdump: c\n\tschedule odd\n\tvmid 103\nvzdump: d\n\tpool p\n\tschedule 1:00\n",
        );
        jobs[3].pool = Some(Err("user.cfg: denied".into()));
        let now = Stamp::from_civil(2026, 11, 22, 12, 0, 0).unwrap();
        let mut world = World {
            schedules: Part::new(Schedules { jobs, zone: Zone::default(), drills: Ok(None) }, now, From::Files),
            ..World::default()
        };
        let told = |world: &World, id| next(world, &guest(id, "pve1"), now).words(now, &Zone::default());
        assert_eq!([100, 101, 102, 103].map(|id| told(&world, id)), ["Sat 15:00", "unknown", "unknown", "unknown"]);
        world.schedules.known.as_mut().unwrap().jobs.pop();
        assert_eq!([100, 101, 102, 103].map(|id| told(&world, id)), ["Sat 15:00", "disabled", "not scheduled", "unknown"]);
        world.schedules.gaps.push(Gap { what: "vzdump.cron".into(), why: "1 job".into() });
        assert_eq!([100, 102].map(|id| told(&world, id)), ["Sat 15:00", "unknown"]);
        world.schedules = Part::unknown("denied", now);
        assert_eq!(next(&world, &guest(100, "pve1"), now), Next::Unknown("denied".into()));
    }

    #[test]
    fn what_the_scheduler_notes() {
        let upid = "UPID:pve1:00000BF2:0006FB2C:6B008D70:vzdump:100:root@pam:";
        let stopped = parse_noted(format!(r#"{{"state":"stopped","msg":"job errors","upid":"{upid}","config":{{}}}}"#).as_bytes()).unwrap();
        let at = Stamp::from_secs(0x6B00_8D70);
        assert_eq!(stopped, Noted { since: at, ran: Some(Ran { at, end: Some(TaskEnd::Error("job errors".into())) }), runs: false });
        let started = parse_noted(format!(r#"{{"state":"started","upid":"{upid}","updated":1795200000}}"#).as_bytes()).unwrap();
        assert_eq!((started.runs, started.since.secs(), started.ran.unwrap().end), (true, 1_795_200_000, None));
        let made = parse_noted(br#"{"state":"created","time":5}"#).unwrap();
        assert_eq!((made.since.secs(), made.ran, made.runs), (5, None, false));
        assert_eq!(parse_noted(b"{"), None);
        let job = |noted| BackupJob { noted, ..BackupJob::new("a", vec![]) }.went();
        assert_eq!(
            [job(None), job(Some(stopped)), job(parse_noted(br#"{"state":"created","time":5}"#))],
            ["unknown", "job errors", "not yet"]
        );
        assert_eq!(count_cron("# vzdump\nPATH=x\n0 2 * * 6 root vzdump 100 --mode stop\n"), 1);
    }
}
