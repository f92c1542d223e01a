//! Backups on a storage: names, listing, retention.

use crate::fail::{OrDie, Outcome, die, say};
use crate::storage::Storage;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

pub struct Backup {
    pub file: String,
    pub path: String,
    pub format: String,
    pub vmid: Option<u32>,
    /// "lxc" or "qemu".
    pub kind: String,
    pub ctime: i64,
    pub size: u64,
    pub notes: Option<String>,
    pub protected: bool,
    /// The name follows the pattern; others are never pruned.
    pub regular: bool,
}

const FORMATS: &[&str] = &["tar.zst", "tar.gz", "tar.lzo", "tgz", "tar", "vma.zst", "vma.gz", "vma.lzo", "vma"];

/// All backups of a storage in name order.
pub fn list(storage: &Storage) -> Vec<Backup> {
    let dir = storage.dump_dir();
    let mut files: Vec<String> =
        std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    files.sort();
    files.into_iter().filter_map(|file| read(&dir, file)).collect()
}

fn read(dir: &str, file: String) -> Option<Backup> {
    let format = FORMATS.iter().find(|f| file.ends_with(&format!(".{f}")))?;
    let path = format!("{dir}/{file}");
    let meta = std::fs::metadata(&path).ok()?;
    let stem = file.strip_suffix(&format!(".{format}"))?;
    let mut parts = stem.splitn(4, '-');
    if parts.next() != Some("vzdump") {
        return None;
    }
    let kind = parts.next().unwrap_or("").to_owned();
    let vmid = parts.next().and_then(|v| v.parse().ok());
    let stamp = parts.next().and_then(|s| jiff::civil::DateTime::strptime("%Y_%m_%d-%H_%M_%S", s).ok());
    let when = stamp.and_then(|s| s.to_zoned(jiff::tz::TimeZone::system()).ok());
    let modified = meta.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Backup {
        regular: when.is_some(),
        ctime: when.map_or(modified.as_secs() as i64, |z| z.timestamp().as_second()),
        format: (*format).to_owned(),
        size: meta.len(),
        notes: std::fs::read_to_string(format!("{path}.notes")).ok(),
        protected: Path::new(&format!("{path}.protected")).exists(),
        kind,
        vmid,
        path,
        file,
    })
}

/// The escapes of a template for notes, each once: `\\n` and `\\\\`.
pub fn unescaped(template: &str) -> String {
    let (mut out, mut chars) = (String::new(), template.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next().map_or('\\', |c| if c == 'n' { '\n' } else { c })),
            c => out.push(c),
        }
    }
    out
}

fn find(storage: &Storage, volid: &str) -> Outcome<Backup> {
    let found = list(storage).into_iter().find(|b| volid == format!("{}:backup/{}", storage.id, b.file));
    found.map_or_else(|| die(format!("volume_size_info on '{volid}' failed")), Ok)
}

/// One backup with all of its notes.
pub fn one(storage: &Storage, volid: &str) -> Outcome<Value> {
    let b = find(storage, volid)?;
    Ok(json!({"format": b.format, "notes": b.notes.unwrap_or_default(), "path": b.path, "protected": u8::from(b.protected),
        "size": b.size, "used": b.size}))
}

/// Writes notes and protection beside a backup, as the plugin for directories does.
pub fn label(storage: &Storage, volid: &str, notes: Option<&str>, protected: Option<&str>) -> Outcome<()> {
    let path = find(storage, volid)?.path;
    let put = |side: &str, text: Option<&str>| {
        let side = format!("{path}.{side}");
        match text {
            Some(text) => std::fs::write(&side, text).or_die("unable to write"),
            None => {
                let _ = std::fs::remove_file(&side);
                Ok(())
            }
        }
    };
    if let Some(notes) = notes {
        put("notes", Some(notes).filter(|n| !n.is_empty()))?;
    }
    if let Some(protected) = protected {
        put("protected", (protected == "1").then_some(""))?;
    }
    Ok(())
}

/// Removes a backup with its sidecars.
pub fn remove(path: &str) {
    let _ = std::fs::remove_file(path);
    for side in [".notes", ".protected"] {
        let _ = std::fs::remove_file(format!("{path}{side}"));
    }
    if let Some(format) = FORMATS.iter().find(|f| path.ends_with(&format!(".{f}"))) {
        let _ = std::fs::remove_file(format!("{}.log", path.trim_end_matches(&format!(".{format}"))));
    }
}

/// What a retention like `keep-last=3,keep-daily=7` says about each backup of one guest: `keep`, `remove`,
/// `protected` or `renamed`.
pub fn marks(backups: &[Backup], retention: &str) -> BTreeMap<String, &'static str> {
    let mut marks = BTreeMap::new();
    let mut order: Vec<&Backup> = backups.iter().collect();
    order.sort_by_key(|b| -b.ctime);
    for backup in &order {
        let early = if !backup.regular {
            "renamed"
        } else if backup.protected {
            "protected"
        } else {
            "remove"
        };
        marks.insert(backup.file.clone(), early);
    }
    let keys = crate::args::pairs(retention, "");
    let count = |key: &str| keys.iter().find(|(k, _)| k == key).and_then(|(_, v)| v.parse::<usize>().ok()).unwrap_or(0);
    let rules: [(&str, &str); 6] = [
        ("keep-last", "%s%f"),
        ("keep-hourly", "%Y-%m-%d-%H"),
        ("keep-daily", "%Y-%m-%d"),
        ("keep-weekly", "%G-%V"),
        ("keep-monthly", "%Y-%m"),
        ("keep-yearly", "%Y"),
    ];
    let any = rules.iter().any(|(key, _)| count(key) > 0);
    if !any || count("keep-all") > 0 {
        for mark in marks.values_mut().filter(|m| **m == "remove") {
            *mark = "keep";
        }
        return marks;
    }
    for (key, period) in rules {
        keep_newest(&order, &mut marks, count(key), |b| {
            crate::snapshots::local_time(b.ctime, period) + if key == "keep-last" { &b.file } else { "" }
        });
    }
    marks
}

/// Keeps the newest backup of each of so many periods. Periods that an earlier rule covers do not count.
fn keep_newest(order: &[&Backup], marks: &mut BTreeMap<String, &'static str>, count: usize, period: impl Fn(&Backup) -> String) {
    let covered: Vec<String> = order.iter().filter(|b| marks[&b.file] == "keep").map(|b| period(b)).collect();
    let mut new: Vec<String> = Vec::new();
    for backup in order.iter().filter(|b| b.regular && !b.protected) {
        let own = period(backup);
        if covered.contains(&own) || new.contains(&own) || marks[&backup.file] == "keep" {
            continue;
        }
        if new.len() == count {
            return;
        }
        new.push(own);
        marks.insert(backup.file.clone(), "keep");
    }
}

/// Applies a retention to the backups of one guest; returns how many went.
pub fn prune(storage: &Storage, vmid: u32, retention: &str, log: &mut dyn FnMut(&str)) -> usize {
    let own: Vec<Backup> = list(storage).into_iter().filter(|b| b.vmid == Some(vmid) && b.kind == "lxc").collect();
    let marks = marks(&own, retention);
    let gone: Vec<&Backup> = own.iter().filter(|b| marks[&b.file] == "remove").collect();
    for backup in &gone {
        log(&format!("removing backup '{}:backup/{}'", storage.id, backup.file));
        remove(&backup.path);
    }
    gone.len()
}

/// `pvesm prune-backups --dry-run`.
pub fn preview(storage: &Storage, retention: &str, vmid: Option<u32>, kind: Option<&str>) -> Outcome<()> {
    say("NOTE: this is only a preview and might not be what a subsequent");
    say("prune call does if backups are removed/added in the meantime.\n");
    let mut all = list(storage);
    all.retain(|b| vmid.is_none_or(|v| b.vmid == Some(v)) && kind.is_none_or(|k| b.kind == k));
    if all.is_empty() {
        say("No backups found");
        return Ok(());
    }
    say(&format!("{:<60} {:>11} {:>10}", "Backup", "Backup-ID", "Prune-Mark"));
    let mut guests: Vec<Option<u32>> = all.iter().map(|b| b.vmid).collect();
    guests.sort_unstable();
    guests.dedup();
    for guest in guests {
        let (own, rest): (Vec<Backup>, Vec<Backup>) = all.into_iter().partition(|b| b.vmid == guest);
        all = rest;
        let marks = marks(&own, retention);
        for b in &own {
            let id = format!("{}/{}", b.kind, b.vmid.unwrap_or(0));
            say(&format!("{:<60} {id:>11} {:>10}", format!("{}:backup/{}", storage.id, b.file), marks[&b.file]));
        }
    }
    Ok(())
}
