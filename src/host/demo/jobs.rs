//! Proxmox's backup jobs on the simulated node: `/etc/pve/jobs.cfg` as its API writes it, and what the scheduler notes.

use super::node::{Body, File, NAME, Node};
use super::words::Reply;
use crate::domain::calendar::Event;
use crate::domain::schedule::{BackupJob, parse_jobs};
use crate::domain::stamp::Stamp;

/// The file of the jobs.
pub(super) const PATH: &str = "/etc/pve/jobs.cfg";

/// As it is at first: most each night, two on Saturdays, one switched off; 107 in none.
pub(super) const AT_FIRST: &str = "vzdump: backup-nightly\n\tcomment nightly\n\tschedule 02:00\n\tcompress zstd\n\tenabled 1\n\tmode snapshot\n\tnotes-template {{guestname}}\n\tprune-backups keep-daily=7,keep-last=3\n\tstorage local\n\tvmid 101,102,103,9999\n\nvzdump: backup-weekly\n\tschedule sat 15:00\n\tcompress zstd\n\tenabled 1\n\tmode snapshot\n\tstorage local\n\tvmid 104,105,200\n\nvzdump: backup-old\n\tschedule mon..fri 22:30\n\tenabled 0\n\tmode stop\n\tstorage local\n\tvmid 106\n\n";

/// Options in the order in which the file has them: one of the first, then the rest by name.
const FIRST: [&str; 2] = ["comment", "schedule"];

fn jobs(node: &Node) -> Vec<BackupJob> {
    match node.disk.get(PATH).map(|f| &f.body) {
        Some(Body::Text(text)) => parse_jobs(text),
        _ => Vec::new(),
    }
}

fn write(node: &mut Node, jobs: &[BackupJob]) {
    let mut text = String::new();
    for job in jobs {
        text += &format!("vzdump: {}\n", job.id);
        let mut options = job.options.clone();
        options.sort_by_key(|(key, _)| (FIRST.iter().position(|f| f == key).unwrap_or(FIRST.len()), key.clone()));
        options.iter().for_each(|(key, value)| text += &format!("\t{key} {value}\n"));
        text.push('\n');
    }
    let modified = node.now();
    node.disk.insert(PATH.into(), File { body: Body::Text(text), modified });
}

/// What pvescheduler notes of each job: the last run before the simulation began, and that it looked just now.
pub(super) fn noted(node: &Node, now: Stamp, add: &mut impl FnMut(String, String)) {
    for job in jobs(node) {
        let zone = crate::domain::calendar::Zone::fixed(node.offset_s);
        let week = Stamp(node.seed.0 - 8 * 86_400_000);
        let event: Option<&Event> = job.event.as_ref().ok().filter(|_| job.is_on() && !job.is_ours());
        let comes = |after: &Stamp| event?.next(*after, &zone).filter(|at| *at < node.seed);
        let last = std::iter::successors(comes(&week), |at| comes(at)).last();
        let text = match last {
            Some(at) => format!(
                r#"{{"state":"stopped","msg":"OK","upid":"UPID:{NAME}:004C4B40:00A1B2C3:{:08X}:vzdump::root@pam:","updated":{}}}"#,
                at.secs(),
                now.secs()
            ),
            None => format!(r#"{{"state":"created","time":{}}}"#, now.secs()),
        };
        add(format!("/var/lib/pve-manager/jobs/vzdump-{}.json", job.id), text);
    }
}

/// `pvesh create|set|delete /cluster/backup[/ID]`. The words are `--key value`.
pub(super) fn change(node: &mut Node, verb: &str, id: Option<&str>, words: &[String]) -> Result<Reply, Reply> {
    let mut all = jobs(node);
    let mut given: Vec<(String, String)> =
        words.chunks(2).filter_map(|w| Some((w.first()?.strip_prefix("--")?.to_owned(), w.get(1)?.clone()))).collect();
    given.retain(|(key, _)| key != "output-format");
    let usage = "pvesh <COMMAND> <api_path> [OPTIONS] [FORMAT_OPTIONS]";
    let schedule = given.iter().find(|(key, _)| key == "schedule").map(|(_, value)| value.clone());
    if let Some(schedule) = schedule.filter(|text| Event::parse(text).is_err()) {
        return Err(Reply::param(&format!("schedule: invalid format - unable to parse calendar event '{schedule}'"), usage));
    }
    let at = id.and_then(|id| all.iter().position(|j| j.id == id));
    match (verb, id, at) {
        ("create", None, _) => {
            let id = given.iter().find(|(key, _)| key == "id").map_or_else(|| format!("backup-{}", node.pid()), |(_, id)| id.clone());
            if all.iter().any(|j| j.id == id) {
                return Err(Reply::fail(255, format!("Job '{id}' already exists")));
            }
            given.retain(|(key, _)| key != "id");
            all.push(BackupJob::new(id, given));
        }
        ("set", Some(_), Some(at)) => {
            let gone: Vec<String> = given
                .iter()
                .filter(|(key, _)| key == "delete")
                .flat_map(|(_, v)| v.split(',').map(str::to_owned).collect::<Vec<_>>())
                .collect();
            given.retain(|(key, _)| key != "delete");
            let whom = ["vmid", "all", "pool"];
            let changes_whom = given.iter().any(|(key, _)| whom.contains(&key.as_str()));
            let job = &mut all[at];
            job.options.retain(|(key, _)| {
                !gone.contains(key)
                    && !given.iter().any(|(k, _)| k == key)
                    && !(changes_whom && (whom.contains(&key.as_str()) || key == "exclude"))
            });
            job.options.extend(given);
        }
        ("delete", Some(_), Some(at)) => drop(all.remove(at)),
        (_, Some(id), None) => return Err(Reply::fail(255, format!("No such job '{id}'"))),
        _ => return Err(Reply::fail(1, format!("No '{verb}' handler defined for '/cluster/backup'"))),
    }
    write(node, &all);
    Ok(Reply::ok(""))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_jobs_at_first_can_be_read() {
        let jobs = parse_jobs(AT_FIRST);
        assert!(jobs.len() == 3 && jobs.iter().all(|j| j.event.is_ok()));
    }
}
