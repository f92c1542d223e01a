//! What runs by the clock: reads Proxmox's backup jobs and the timer of the drills, from files first.

use std::collections::BTreeMap;

use super::check::Held;
use super::place;
use crate::domain::change::Place;
use crate::domain::clean::clean;
use crate::domain::cmd::Cmd;
use crate::domain::plan::{Plan, Refusal};
use crate::domain::pve;
use crate::domain::schedule::drills::{self, DrillsWish, Files};
use crate::domain::schedule::plan::is_so;
use crate::domain::schedule::{BackupJob, Schedules, count_cron, parse_api, parse_jobs, parse_noted, parse_pool};
use crate::domain::stamp::Stamp;
use crate::domain::world::{From, Gap, Part, World};
use crate::host::{Found, Host, HostError, Look, text_of};

type Answer = Result<Found, HostError>;

const JOBS: &str = "/etc/pve/jobs.cfg";

/// What is looked at, in the order in which it is read.
pub(super) fn questions() -> Vec<Look> {
    let file = |p: &str, most: usize| Look::File(p.into(), most);
    vec![
        file(JOBS, 1 << 20),
        file("/etc/pve/vzdump.cron", 1 << 18),
        file("/etc/pve/user.cfg", 4 << 20),
        Look::Glob("/var/lib/pve-manager/jobs/vzdump-*.json".into(), 1 << 16),
        file(drills::TIMER, 1 << 16),
        Look::Stat(drills::STAMP.into()),
    ]
}

/// The answers to [`questions`].
pub(super) struct Answers {
    jobs: Answer,
    cron: Answer,
    users: Answer,
    noted: Answer,
    timer: Answer,
    stamp: Answer,
}

impl Answers {
    /// The next ones.
    pub(super) fn of(next: &mut impl FnMut() -> Answer) -> Answers {
        Answers { jobs: next(), cron: next(), users: next(), noted: next(), timer: next(), stamp: next() }
    }
}

/// The part of the World. A node without a file of jobs has none; whether there is a node is told by its file of storages.
pub(super) async fn read(host: &dyn Host, found: &Answers, storage_cfg: &Answer, now: Stamp) -> Part<Schedules> {
    let (mut jobs, from) = match (text_of(&found.jobs), storage_cfg) {
        (Ok(text), _) => (parse_jobs(&text), From::Files),
        (Err(HostError::Missing { .. }), Ok(_)) => (Vec::new(), From::Files),
        (Err(HostError::Missing { .. }), Err(_)) => {
            return Part::unknown(format!("{JOBS} is not there: pve-cluster does not run, or this is no Proxmox host"), now);
        }
        (Err(e), _) => match by_api(host).await {
            Ok(jobs) => (jobs, From::Pvesh),
            Err(also) => return Part::unknown(format!("{e}; {also}"), now),
        },
    };
    let mut gaps = Vec::new();
    for job in &mut jobs {
        job.pool = job.get("pool").map(str::to_owned).map(|pool| match text_of(&found.users) {
            Ok(text) => parse_pool(&text, &pool).ok_or_else(|| format!("there is no pool {}", clean(&pool))),
            Err(e) => Err(format!("who is in pool {} is unknown: {e}", clean(&pool))),
        });
        job.noted = noted(&found.noted, &job.id);
    }
    match text_of(&found.cron) {
        Ok(text) if count_cron(&text) > 0 => gaps.push(Gap {
            what: "old backup jobs".into(),
            why: format!("/etc/pve/vzdump.cron has {} that are not read here; the Proxmox page makes jobs of them", count_cron(&text)),
        }),
        Ok(_) | Err(HostError::Missing { .. }) => {}
        Err(e) => gaps.push(Gap { what: "old backup jobs".into(), why: e.to_string() }),
    }
    let drills = timer(host, found).await;
    Part::new(Schedules { jobs, zone: host.zone(), drills }, now, from).with_gaps(gaps)
}

async fn by_api(host: &dyn Host) -> Result<Vec<BackupJob>, String> {
    let out = host.run(pve::pvesh_get("/cluster/backup", &[]).limit(20)).await.map_err(|e| e.to_string())?;
    parse_api(out.success().map_err(|e| e.to_string())?.out)
}

fn noted(found: &Answer, id: &str) -> Option<crate::domain::schedule::Noted> {
    let Ok(Found::Files(files)) = found else { return None };
    let (_, bytes) = files.iter().find(|(path, _)| path.rsplit('/').next() == Some(&format!("vzdump-{id}.json")))?;
    parse_noted(bytes.as_ref().ok()?)
}

async fn timer(host: &dyn Host, found: &Answers) -> Result<Option<drills::Timer>, String> {
    let file = match text_of(&found.timer) {
        Ok(text) => text,
        Err(HostError::Missing { .. }) => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    let since = match &found.stamp {
        Ok(Found::Stat(s)) => Some(s.modified),
        _ => None,
    };
    let out = host.run(drills::question()).await.map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(out.success().map_err(|e| e.to_string())?.out).into_owned();
    drills::parse(&text, &file, since).map(Some)
}

/// Whether Proxmox has a backup job with these options, or none of that id. Asked of the file, which its own tools write.
pub(super) async fn job_is(host: &dyn Host, id: &str, has: Option<&BTreeMap<String, String>>) -> Held {
    let found = host.look(vec![Look::File(JOBS.into(), 1 << 20)]).await.into_iter().next();
    let jobs = match found.as_ref().map(text_of) {
        Some(Ok(text)) => parse_jobs(&text),
        Some(Err(HostError::Missing { .. })) => Vec::new(),
        Some(Err(e)) => return Held::Unknown(e.to_string()),
        None => return Held::Unknown("no answer".into()),
    };
    let (id, job) = (clean(id), jobs.iter().find(|j| j.id == id));
    match (job, has) {
        (None, None) => Held::Yes,
        (Some(_), None) => Held::No(format!("the backup job {id} is there")),
        (None, Some(_)) => Held::No(format!("there is no backup job {id}")),
        (Some(job), Some(has)) if is_so(job, has) => Held::Yes,
        (Some(_), Some(_)) => Held::No(format!("the backup job {id} is not as wished")),
    }
}

/// The plan of the drills' timer. What root is to run by the clock nobody but root may be able to change.
pub(super) async fn plan_drills(host: &dyn Host, world: &World, wish: &DrillsWish) -> Result<Plan, Refusal> {
    let refuse = |why: String, hint: &str| Refusal::new("drills by schedule", why, hint);
    if let (Some(_), Some(program)) = (&wish.when, wish.program.first()) {
        only_roots(host, program).await.map_err(|why| refuse(why, "install it as /usr/local/bin/proximity, owned by root"))?;
    }
    let read = place::read(host, Place::Host, &[drills::SERVICE, drills::TIMER]).await;
    let mut files = read.map_err(|e| refuse(format!("what stands there now is unknown: {e}"), "see doctor"))?.into_iter();
    let files = Files { service: files.next().flatten(), timer: files.next().flatten() };
    drills::plan(world, wish, files)
}

/// Whether a path and all folders above it belong to root, and nobody else may write there.
async fn only_roots(host: &dyn Host, path: &str) -> Result<(), String> {
    let above = std::iter::successors(Some(path), |p| p.rsplit_once('/').map(|(dir, _)| dir)).map(|p| if p.is_empty() { "/" } else { p });
    let words = ["-L", "--format=%u %a %n", "--"].into_iter().chain(above);
    let out = host.run(Cmd::new("stat", words).limit(10)).await.map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(out.success().map_err(|e| e.to_string())?.out).into_owned();
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        let (owner, mode, name) = (words.next(), words.next().and_then(|m| u32::from_str_radix(m, 8).ok()), words.next());
        if owner != Some("0") || mode.is_none_or(|m| m & 0o022 != 0) {
            return Err(format!("{} can be changed by others than root, and root is to run what is there", clean(name.unwrap_or(path))));
        }
    }
    Ok(())
}

/// What a run of the timer takes for granted of the answers above is tested on the demo host and in the lab.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::host::local::LocalHost;

    #[tokio::test]
    async fn what_others_can_change_is_not_run_by_root() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("proximity");
        std::fs::write(&path, "x").unwrap();
        // /tmp is everybody's.
        assert!(only_roots(&LocalHost::new(), path.to_str().unwrap()).await.unwrap_err().contains("/tmp can be changed by others"));
        assert_eq!(only_roots(&LocalHost::new(), "/usr/bin/env").await, Ok(()));
        assert!(only_roots(&LocalHost::new(), "/usr/bin/nowhere").await.is_err());
    }
}
