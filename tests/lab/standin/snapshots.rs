//! `pct snapshot`, `delsnapshot`, `rollback`, `listsnapshot`.

use crate::conf::{self, Conf, Section};
use crate::fail::{OrDie, Outcome, die, say};
use crate::{guest, run, storage};

/// The volumes of a guest, each of which must know snapshots.
fn paths(section: &Section) -> Outcome<Vec<String>> {
    let volumes = storage::volumes(section);
    if volumes.iter().any(|v| !v.is_snapshottable()) {
        return die("snapshot feature is not available");
    }
    volumes.iter().map(storage::Volume::must_exist).collect()
}

pub fn create(vmid: u32, name: &str, description: Option<&str>) -> Outcome<()> {
    let _lock = conf::lock(vmid, 10)?;
    let mut conf = conf::load(vmid)?;
    conf.check_lock()?;
    if conf.snapshot(name).is_some() {
        return die(format!("snapshot name '{name}' already used"));
    }
    let paths = paths(conf.current())?;
    let id = vmid.to_string();
    let frozen = guest::is_running(vmid) && run::ok(&["lxc-freeze", "-n", &id]);
    let made: Outcome<Vec<String>> = paths.iter().map(|p| storage::snapshot(p, name)).collect();
    if frozen {
        run::ok(&["lxc-unfreeze", "-n", &id]);
    }
    made?;
    add_section(&mut conf, name, description);
    conf.save();
    Ok(())
}

/// Enters a snapshot of the current state into the configuration.
pub fn add_section(conf: &mut Conf, name: &str, description: Option<&str>) {
    let mut section = conf.current().clone();
    section.name = name.to_owned();
    section.keys.remove("lock");
    section.description.clear();
    section.set("snaptime", conf::now().to_string());
    if let Some(text) = description {
        section.describe(text);
    }
    conf.sections.push(section);
    conf.current_mut().set("parent", name);
}

/// Takes a snapshot out of the configuration; its children get its parent.
pub fn drop_section(conf: &mut Conf, name: &str) {
    let parent = conf.snapshot(name).and_then(|s| s.get("parent").map(str::to_owned));
    conf.sections.retain(|s| s.name.is_empty() || s.name != name);
    for section in conf.sections.iter_mut().filter(|s| s.get("parent") == Some(name)) {
        match &parent {
            Some(parent) => section.set("parent", parent.as_str()),
            None => {
                section.keys.remove("parent");
            }
        }
    }
}

pub fn delete(vmid: u32, name: &str, force: bool) -> Outcome<()> {
    let _lock = conf::lock(vmid, 10)?;
    let mut conf = conf::load(vmid)?;
    conf.check_lock()?;
    let Some(section) = conf.snapshot(name) else {
        return die(format!("snapshot '{name}' does not exist"));
    };
    for volume in storage::volumes(section).iter().filter(|v| !v.is_bind()) {
        let snap = format!("{}@{name}", volume.path()?);
        if !force && !std::path::Path::new(&snap).exists() {
            return die(format!("unable to delete snapshot - '{snap}' does not exist"));
        }
        storage::delete_tree(&snap);
    }
    drop_section(&mut conf, name);
    conf.save();
    Ok(())
}

pub fn rollback(vmid: u32, name: &str) -> Outcome<()> {
    let _lock = conf::lock(vmid, 10)?;
    let mut conf = conf::load(vmid)?;
    let Some(section) = conf.snapshot(name).cloned() else {
        return die(format!("snapshot '{name}' does not exist"));
    };
    conf.check_lock()?;
    let paths = paths(&section)?;
    if guest::is_running(vmid) {
        guest::kill(vmid)?;
    }
    for path in paths {
        storage::delete_tree(&path);
        run::must(&["btrfs", "-q", "subvolume", "snapshot", &format!("{path}@{name}"), &path])?;
    }
    let mut current = section;
    current.name.clear();
    current.keys.remove("snaptime");
    current.description.clone_from(&conf.current().description);
    current.set("parent", name);
    conf.sections[0] = current;
    conf.save();
    Ok(())
}

pub fn list(conf: &Conf) {
    let mut depth = 0;
    let mut shown: Vec<&str> = Vec::new();
    let mut level: Vec<&Section> = children(conf, None);
    while !level.is_empty() {
        for section in &level {
            let description = section.description.first().map_or("no-description".into(), |d| conf::decode(d));
            say(&row(depth, &section.name, &time(section), &description));
            shown.push(&section.name);
        }
        depth += 1;
        level = level.iter().flat_map(|s| children(conf, Some(&s.name))).filter(|s| !shown.contains(&s.name.as_str())).collect();
    }
    say(&row(depth, "current", "", "You are here!"));
}

fn children<'a>(conf: &'a Conf, parent: Option<&str>) -> Vec<&'a Section> {
    conf.snapshots().iter().filter(|s| s.get("parent") == parent).collect()
}

fn row(depth: usize, name: &str, time: &str, description: &str) -> String {
    // The name column gives way to the indentation.
    let prefix = format!("{}`-> ", " ".repeat(depth));
    let width = 31 - prefix.len();
    format!("{prefix}{name:<width$} {time:<23} {description}")
}

fn time(section: &Section) -> String {
    let seconds: i64 = section.get("snaptime").and_then(|t| t.parse().ok()).unwrap_or(0);
    local_time(seconds, "%Y-%m-%d %H:%M:%S")
}

pub fn local_time(seconds: i64, format: &str) -> String {
    jiff::Timestamp::from_second(seconds)
        .or_die("time")
        .map(|t| t.to_zoned(jiff::tz::TimeZone::system()).strftime(format).to_string())
        .unwrap_or_default()
}
