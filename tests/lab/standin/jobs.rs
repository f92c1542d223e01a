//! Backup jobs: `/cluster/backup` and the file `/etc/pve/jobs.cfg`, in the order in which the real one writes its options.
//! Schedules are not read, and nothing here runs by the clock.

use crate::args::Given;
use crate::conf;
use crate::fail::{Outcome, die};
use serde_json::{Map, Value, json};

const PATH: &str = "/etc/pve/jobs.cfg";

const USAGE: &str = "pvesh <COMMAND> <api_path> [OPTIONS] [FORMAT_OPTIONS]";

/// Options that are numbers or flags in JSON.
const NUMBERS: [&str; 9] = ["all", "bwlimit", "enabled", "ionice", "lockwait", "protected", "remove", "repeat-missed", "zstd"];

const KNOWN: [&str; 21] = [
    "all",
    "bwlimit",
    "comment",
    "compress",
    "enabled",
    "exclude",
    "exclude-path",
    "ionice",
    "lockwait",
    "mode",
    "node",
    "notes-template",
    "pool",
    "protected",
    "prune-backups",
    "remove",
    "repeat-missed",
    "schedule",
    "storage",
    "vmid",
    "zstd",
];

struct Job {
    id: String,
    options: Vec<(String, String)>,
}

fn read() -> Vec<Job> {
    let mut all: Vec<Job> = Vec::new();
    for line in std::fs::read_to_string(PATH).unwrap_or_default().lines() {
        match (line.strip_prefix("vzdump: "), all.last_mut()) {
            (Some(id), _) => all.push(Job { id: id.to_owned(), options: Vec::new() }),
            (None, Some(job)) => job.options.extend(line.trim().split_once(' ').map(|(k, v)| (k.to_owned(), v.to_owned()))),
            (None, None) => {}
        }
    }
    all
}

fn write(jobs: &[Job]) {
    let mut text = String::new();
    for job in jobs {
        text += &format!("vzdump: {}\n", job.id);
        let mut options = job.options.clone();
        let place = |key: &str| ["comment", "schedule"].iter().position(|f| *f == key).unwrap_or(2);
        options.sort_by_key(|(key, _)| (place(key), key.clone()));
        options.iter().for_each(|(key, value)| text += &format!("\t{key} {value}\n"));
        text.push('\n');
    }
    conf::replace(PATH, &text);
}

fn row(job: &Job) -> Value {
    let mut row = Map::new();
    row.insert("id".into(), json!(job.id));
    row.insert("type".into(), json!("vzdump"));
    for (key, value) in &job.options {
        let number = value.parse::<i64>().ok().filter(|_| NUMBERS.contains(&key.as_str()));
        let value = match (key.as_str(), number) {
            ("prune-backups", _) => {
                value.split(',').filter_map(|w| w.split_once('=')).map(|(k, v)| (k.to_owned(), json!(v))).collect::<Map<_, _>>().into()
            }
            (_, Some(n)) => json!(n),
            _ => json!(value),
        };
        row.insert(key.clone(), value);
    }
    row.into()
}

pub fn get(id: Option<&str>) -> Outcome<Value> {
    let jobs = read();
    match id {
        None => Ok(jobs.iter().map(row).collect()),
        Some(id) => match jobs.iter().find(|j| j.id == id) {
            Some(job) => Ok(row(job)),
            None => die(format!("400 Parameter verification failed.\nid: No such job '{id}'\n{USAGE}")),
        },
    }
}

/// The file sorts the parts of a property string by their names.
fn checked(given: &Given) -> Outcome<Vec<(String, String)>> {
    let mut out = Vec::new();
    for (key, value) in given.options.iter().filter(|(key, _)| !matches!(key.as_str(), "id" | "delete")) {
        if !KNOWN.contains(&key.as_str()) {
            return die(format!(
                "400 Parameter verification failed.\n{key}: property is not defined in schema and the schema does not allow additional properties\n{USAGE}"
            ));
        }
        if key == "schedule" && value.is_empty() {
            return die(format!("400 Parameter verification failed.\nschedule: invalid format - unable to parse calendar event\n{USAGE}"));
        }
        let mut parts: Vec<&str> = value.split(',').collect();
        if key == "prune-backups" {
            parts.sort_unstable();
        }
        out.push((key.clone(), parts.join(",")));
    }
    Ok(out)
}

pub fn change(verb: &str, id: Option<&str>, given: &Given) -> Outcome<Value> {
    let mut jobs = read();
    let mut options = checked(given)?;
    let no = |id: &str| die(format!("400 Parameter verification failed.\nid: No such job '{id}'\n{USAGE}"));
    match (verb, id) {
        ("create", None) => {
            let id = given.get("id").map_or_else(
                || std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default().trim().to_owned(),
                str::to_owned,
            );
            if jobs.iter().any(|j| j.id == id) {
                return die(format!("Job '{id}' already exists"));
            }
            if !options.iter().any(|(k, _)| ["vmid", "all", "pool"].contains(&k.as_str())) {
                return die(format!("400 Parameter verification failed.\nvmid: property is missing\n{USAGE}"));
            }
            if !options.iter().any(|(k, _)| k == "enabled") {
                options.push(("enabled".into(), "1".into()));
            }
            jobs.push(Job { id, options });
        }
        ("set", Some(id)) => {
            let Some(job) = jobs.iter_mut().find(|j| j.id == id) else { return no(id) };
            let has = |key: &str| options.iter().any(|(k, _)| k == key);
            let gone: Vec<&str> = given.get("delete").map_or(Vec::new(), |d| d.split(',').collect());
            // As PVE::API2::Backup has it: who it is for now, it is for nobody else.
            let other: &[&str] = match () {
                () if has("vmid") => &["all", "exclude", "pool"],
                () if has("all") => &["vmid", "pool"],
                () if has("pool") => &["vmid", "all", "exclude"],
                () => &[],
            };
            job.options.retain(|(k, _)| !has(k) && !gone.contains(&k.as_str()) && !other.contains(&k.as_str()));
            job.options.extend(options);
        }
        ("delete", Some(id)) => {
            let before = jobs.len();
            jobs.retain(|j| j.id != id);
            if jobs.len() == before {
                return no(id);
            }
        }
        _ => return die(format!("No '{verb}' handler defined for '/cluster/backup'")),
    }
    write(&jobs);
    Ok(Value::Null)
}
