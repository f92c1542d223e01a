//! `pvesm`: status, list, path, free, extractconfig, prune-backups (preview).

use crate::args::{Given, Kind, Verb};
use crate::backups;
use crate::fail::{Outcome, die, say, warn};
use crate::storage::{self, Storage};
use crate::{create, knobs, task};
use std::path::Path;

fn verb(name: &str) -> Option<Verb> {
    let (usage, places, options): (_, &'static [&'static str], crate::args::Table) = match name {
        "status" => (
            "pvesm status  [OPTIONS]",
            &[],
            &[("storage", Kind::Text), ("content", Kind::Text), ("enabled", Kind::Bool), ("target", Kind::Text)],
        ),
        "list" => ("pvesm list <storage> [OPTIONS]", &["storage"], &[("content", Kind::Text), ("vmid", Kind::Int(100, 999_999_999))]),
        "path" => ("pvesm path <volume>", &["volume"], &[]),
        "free" => ("pvesm free <volume> [OPTIONS]", &["volume"], &[("delay", Kind::Int(1, 30)), ("storage", Kind::Text)]),
        "extractconfig" => ("pvesm extractconfig <volume>", &["volume"], &[]),
        "apiinfo" => ("pvesm apiinfo ", &[], &[]),
        "prune-backups" => (
            "pvesm prune-backups <storage> [OPTIONS]",
            &["storage"],
            &[
                ("dry-run", Kind::Bool),
                ("keep-all", Kind::Bool),
                ("keep-last", Kind::Int(0, i64::MAX)),
                ("keep-hourly", Kind::Int(0, i64::MAX)),
                ("keep-daily", Kind::Int(0, i64::MAX)),
                ("keep-weekly", Kind::Int(0, i64::MAX)),
                ("keep-monthly", Kind::Int(0, i64::MAX)),
                ("keep-yearly", Kind::Int(0, i64::MAX)),
                ("prune-backups", Kind::Text),
                ("type", Kind::OneOf(&["qemu", "lxc"])),
                ("vmid", Kind::Int(100, 999_999_999)),
            ],
        ),
        _ => return None,
    };
    Some(Verb { usage, places, options, guest: false })
}

pub fn main(argv: &[String]) -> Outcome<()> {
    let name = argv.first().map_or("", String::as_str);
    let Some(verb) = verb(name) else {
        return die(format!("ERROR: unknown command 'pvesm {name}'\nUSAGE: pvesm <COMMAND> [ARGS] [OPTIONS]"));
    };
    let given = verb.parse(&argv[1..])?;
    match name {
        "status" => status(&verb, &given),
        "list" => list(&given),
        "path" => path(&verb, &given),
        "free" => free(&given),
        "extractconfig" => extract(&given),
        "apiinfo" => {
            say(if knobs::is_nine() { "APIVER 13\nAPIAGE 4" } else { "APIVER 11\nAPIAGE 2" });
            Ok(())
        }
        _ => prune(&given),
    }
}

fn status(verb: &Verb, given: &Given) -> Outcome<()> {
    storage::offline_noise().iter().for_each(|l| warn(l));
    let wanted = |s: &Storage| {
        given.get("storage").is_none_or(|id| id == s.id)
            && given.get("content").is_none_or(|c| s.has(c))
            && !(given.flag("enabled") && s.disabled)
    };
    let mut rows: Vec<Storage> = storage::all().into_iter().filter(wanted).collect();
    if rows.is_empty() && given.get("storage").is_some() {
        return verb.refuse_one("storage", "No such storage.");
    }
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    let width = rows.iter().map(|s| s.id.len()).max().unwrap_or(0) + 3;
    let unit = if knobs::is_nine() { " (KiB)" } else { "" };
    let heads = ["Total", "Used", "Available"].map(|h| format!("{h}{unit}"));
    say(&format!("{:<width$} {:>8} {:>10} {:>15} {:>15} {:>15} {:>8}", "Name", "Type", "Status", heads[0], heads[1], heads[2], "%"));
    for s in &rows {
        let (state, (total, used, free)) = match () {
            () if s.disabled => ("disabled", (0, 0, 0)),
            () if !s.is_online() => ("inactive", (0, 0, 0)),
            () => ("active", s.space()),
        };
        let share = match state {
            "disabled" => "N/A".into(),
            _ if total == 0 => "0.00%".into(),
            _ => format!("{:.2}%", used as f64 * 100.0 / total as f64),
        };
        say(&format!("{:<width$} {:>8} {state:>10} {:>15} {:>15} {:>15} {share:>8}", s.id, s.kind, total >> 10, used >> 10, free >> 10));
    }
    Ok(())
}

/// One row of a storage's content.
pub struct Item {
    pub volid: String,
    pub format: String,
    pub content: &'static str,
    pub size: u64,
    pub vmid: Option<u32>,
    pub path: String,
}

/// Everything a storage holds: volumes, backups, templates; each kind in name order.
pub fn items(storage: &Storage) -> Vec<Item> {
    let mut items = Vec::new();
    if storage.has("rootdir") || storage.has("images") {
        for vmid in names(&format!("{}/images", storage.path)) {
            let dir = format!("{}/images/{vmid}", storage.path);
            for disk in names(&dir).into_iter().filter(|d| d.starts_with("vm-") && !d.contains('@')) {
                let volid = format!("{}:{vmid}/{}.raw", storage.id, disk.trim_end_matches(".raw"));
                let size = configured_size(&vmid, &volid);
                items.push(Item {
                    volid,
                    format: "raw".into(),
                    content: "rootdir",
                    size,
                    vmid: vmid.parse().ok(),
                    path: format!("{dir}/{disk}"),
                });
            }
        }
    }
    if storage.has("backup") {
        for b in backups::list(storage) {
            items.push(Item {
                volid: format!("{}:backup/{}", storage.id, b.file),
                format: b.format,
                content: "backup",
                size: b.size,
                vmid: b.vmid,
                path: b.path,
            });
        }
    }
    if storage.has("vztmpl") {
        let dir = format!("{}/template/cache", storage.path);
        for file in names(&dir) {
            let format = match file.rsplit_once(".tar.").map(|(_, e)| e) {
                Some("zst") => "tzst",
                Some("gz") => "tgz",
                Some("xz") => "txz",
                _ => continue,
            };
            let path = format!("{dir}/{file}");
            let size = std::fs::metadata(&path).map_or(0, |m| m.len());
            items.push(Item {
                volid: format!("{}:vztmpl/{file}", storage.id),
                format: format.into(),
                content: "vztmpl",
                size,
                vmid: None,
                path,
            });
        }
    }
    items
}

fn names(dir: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| !n.starts_with('.'))
        .collect();
    names.sort();
    names
}

fn configured_size(vmid: &str, volid: &str) -> u64 {
    let conf = vmid.parse().ok().and_then(|v| crate::conf::load(v).ok());
    let volumes = conf.map(|c| storage::volumes(c.current())).unwrap_or_default();
    volumes.iter().find(|v| v.source == volid).map_or(0, storage::Volume::size_bytes)
}

fn list(given: &Given) -> Outcome<()> {
    let storage = storage::usable(given.place(0))?;
    let mut rows = items(&storage);
    rows.retain(|i| given.get("content").is_none_or(|c| c == i.content));
    rows.retain(|i| given.get("vmid").is_none_or(|v| i.vmid == v.parse().ok()));
    let wide = |f: &dyn Fn(&Item) -> usize, least: usize| rows.iter().map(f).max().unwrap_or(0).max(least);
    let name = wide(&|i| i.volid.len(), 5);
    let format = wide(&|i| i.format.len(), 7);
    let content = wide(&|i| i.content.len(), 6);
    let size = wide(&|i| i.size.to_string().len(), 4).max(10);
    say(&format!("{:<name$} {:<format$} {:<content$} {:>size$} VMID", "Volid", "Format", "Type", "Size"));
    for i in &rows {
        let vmid = i.vmid.map(|v| format!(" {v}")).unwrap_or_default();
        say(&format!("{:<name$} {:<format$} {:<content$} {:>size$}{vmid}", i.volid, i.format, i.content, i.size));
    }
    Ok(())
}

fn path(verb: &Verb, given: &Given) -> Outcome<()> {
    let volid = given.place(0);
    if storage::split(volid).is_none() && !volid.starts_with('/') {
        return verb.refuse_one("volume", &format!("invalid format - unable to parse volume ID '{volid}'\n"));
    }
    say(&storage::volume_path(volid)?);
    Ok(())
}

/// Ends with 0 whatever happens to the volume.
fn free(given: &Given) -> Outcome<()> {
    let volid = given.place(0).to_owned();
    let path = storage::volume_path(&volid)?;
    let (id, name) = storage::split(&volid).unwrap_or_default();
    let owner = name.split(['/', '-']).find(|p| p.parse::<u32>().is_ok()).unwrap_or("");
    task::call_ignoring_status("imgdel", &format!("{owner}@{id}"), || {
        if name.starts_with("backup/") {
            if Path::new(&format!("{path}.protected")).exists() {
                return die(format!("cannot remove protected volume '{name}' on '{id}'"));
            }
            if Path::new(&path).exists() {
                backups::remove(&path);
            } else {
                say(&format!("disk image '{path}' does not exist"));
            }
        } else {
            storage::free(&volid);
        }
        say(&format!("Removed volume '{volid}'"));
        Ok(())
    })
}

fn extract(given: &Given) -> Outcome<()> {
    let archive = storage::archive_path(given.place(0))?;
    match create::extract_config(&archive, false) {
        Some(text) => {
            say(text.strip_suffix('\n').unwrap_or(&text));
            Ok(())
        }
        None => die("ERROR: archive contains no configuration file"),
    }
}

fn prune(given: &Given) -> Outcome<()> {
    let storage = storage::usable(given.place(0))?;
    let mut rules: Vec<String> = given.options.iter().filter(|(n, _)| n.starts_with("keep-")).map(|(n, v)| format!("{n}={v}")).collect();
    rules.extend(given.get("prune-backups").map(str::to_owned));
    let retention = if rules.is_empty() { storage.prune.clone().unwrap_or_default() } else { rules.join(",") };
    if retention.is_empty() {
        return die(format!("no prune-backups options configured for storage '{}'", storage.id));
    }
    let vmid = given.get("vmid").and_then(|v| v.parse().ok());
    if given.flag("dry-run") {
        return backups::preview(&storage, &retention, vmid, given.get("type"));
    }
    let mut guests: Vec<u32> = backups::list(&storage).iter().filter_map(|b| b.vmid).collect();
    guests.sort_unstable();
    guests.dedup();
    for guest in guests.into_iter().filter(|g| vmid.is_none_or(|v| v == *g)) {
        backups::prune(&storage, guest, &retention, &mut say);
    }
    Ok(())
}
