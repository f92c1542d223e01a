//! Guest configuration files, their lock, and the cluster file system's tables that follow them
//! (`/etc/pve/.vmlist`, `.version`).

use crate::fail::{OrDie, Outcome, die, die_rc, warn};
use crate::{args, knobs, task};
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeMap;
use std::fs::File;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub const ETC: &str = "/etc/pve";

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

pub fn path(vmid: u32) -> String {
    format!("{ETC}/nodes/{}/lxc/{vmid}.conf", knobs::node())
}

/// Writes `NAME.tmp.PID` and renames it, as the cluster file system expects.
pub fn replace(path: &str, text: &str) {
    let next = format!("{path}.tmp.{}", std::process::id());
    if std::fs::write(&next, text).and_then(|()| std::fs::rename(&next, path)).is_err() {
        let _ = std::fs::remove_file(&next);
    }
}

/// The current state (name "") or one snapshot.
#[derive(Clone, Default)]
pub struct Section {
    pub name: String,
    /// The lines after `#`, still percent-encoded.
    pub description: Vec<String>,
    pub keys: BTreeMap<String, String>,
    /// Raw `lxc.*` lines, in file order.
    pub raw: Vec<String>,
}

#[derive(Clone)]
pub struct Conf {
    pub vmid: u32,
    pub sections: Vec<Section>,
}

impl Section {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }

    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.keys.insert(key.into(), value.into());
    }

    pub fn is_unprivileged(&self) -> bool {
        self.get("unprivileged") == Some("1")
    }

    pub fn hostname(&self, vmid: u32) -> String {
        self.get("hostname").map_or_else(|| format!("CT{vmid}"), str::to_owned)
    }

    pub fn describe(&mut self, text: &str) {
        let text = text.trim_end_matches('\n');
        self.description = if text.is_empty() { Vec::new() } else { encode(text).split('\n').map(str::to_owned).collect() };
    }

    /// The description on one line, as `pct config` shows it.
    pub fn description_line(&self) -> Option<String> {
        (!self.description.is_empty()).then(|| self.description.iter().map(|l| format!("{l}%0A")).collect())
    }

    /// Sorted `key: value` lines; raw lines last.
    pub fn shown(&self) -> Vec<String> {
        let mut keys = self.keys.clone();
        if let Some(text) = self.description_line() {
            keys.insert("description".into(), text);
        }
        keys.remove("parent");
        let mut lines: Vec<String> = keys.iter().map(|(k, v)| format!("{k}: {v}")).collect();
        lines.extend(self.raw.iter().cloned());
        lines
    }

    pub fn file_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.description.iter().map(|l| format!("#{l}")).collect();
        lines.extend(self.keys.iter().map(|(k, v)| format!("{k}: {v}")));
        lines.extend(self.raw.iter().cloned());
        lines
    }
}

impl Conf {
    pub fn current(&self) -> &Section {
        &self.sections[0]
    }

    pub fn current_mut(&mut self) -> &mut Section {
        &mut self.sections[0]
    }

    pub fn snapshots(&self) -> &[Section] {
        &self.sections[1..]
    }

    pub fn snapshot(&self, name: &str) -> Option<&Section> {
        self.snapshots().iter().find(|s| s.name == name)
    }

    pub fn check_lock(&self) -> Outcome<()> {
        match self.current().get("lock") {
            Some(lock) => die(format!("CT is locked ({lock})")),
            None => Ok(()),
        }
    }

    pub fn save(&self) {
        let mut text = String::new();
        for section in &self.sections {
            if !section.name.is_empty() {
                text.push_str(&format!("\n[{}]\n", section.name));
            }
            for line in section.file_lines() {
                text.push_str(&line);
                text.push('\n');
            }
        }
        replace(&path(self.vmid), &text);
        refresh_vmlist(Some(self.vmid));
    }
}

pub fn remove(vmid: u32) {
    let _ = std::fs::remove_file(path(vmid));
    refresh_vmlist(Some(vmid));
}

pub fn parse(vmid: u32, text: &str) -> Conf {
    let mut sections = vec![Section::default()];
    for line in text.lines() {
        let at = sections.len() - 1;
        let section = &mut sections[at];
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.trim_end().strip_suffix(']')) {
            sections.push(Section { name: name.to_owned(), ..Section::default() });
        } else if let Some(comment) = line.strip_prefix('#') {
            section.description.push(comment.to_owned());
        } else if line.starts_with("lxc.") {
            section.raw.push(line.to_owned());
        } else if let Some((key, value)) = line.split_once(':') {
            let (key, value) = (key.trim(), value.trim());
            if let Some(kind) = args::guest_kind(key)
                && let Err(reason) = args::checked(kind, value)
            {
                warn(&format!("vm {vmid} - unable to parse value of '{key}' - {}", reason.trim_end()));
            }
            section.keys.insert(key.to_owned(), value.to_owned());
        } else if !line.trim().is_empty() {
            warn(&format!("vm {vmid} - unable to parse config: {line}"));
        }
    }
    Conf { vmid, sections }
}

/// The configuration; a missing one is errno 2 outside a worker and 255 inside.
pub fn load(vmid: u32) -> Outcome<Conf> {
    match std::fs::read_to_string(path(vmid)) {
        Ok(text) => Ok(parse(vmid, &text)),
        Err(_) => die_rc(
            if task::is_worker() { 255 } else { 2 },
            format!("Configuration file 'nodes/{}/lxc/{vmid}.conf' does not exist", knobs::node()),
        ),
    }
}

/// Guests of this node, ascending.
pub fn vmids() -> Vec<u32> {
    let mut ids = ids_in(&format!("{ETC}/nodes/{}/lxc", knobs::node()));
    ids.sort_unstable();
    ids
}

fn ids_in(dir: &str) -> Vec<u32> {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.strip_suffix(".conf")?.parse().ok())
        .collect()
}

/// The node a guest lives on, and whether it is a container.
pub fn whereabouts(vmid: u32) -> Option<(String, bool)> {
    everywhere().into_iter().find(|(id, ..)| *id == vmid).map(|(_, node, lxc)| (node, lxc))
}

fn everywhere() -> Vec<(u32, String, bool)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(format!("{ETC}/nodes")).into_iter().flatten().flatten() {
        let node = entry.file_name().to_string_lossy().into_owned();
        for (dir, lxc) in [("lxc", true), ("qemu-server", false)] {
            let dir = entry.path().join(dir).to_string_lossy().into_owned();
            all.extend(ids_in(&dir).into_iter().map(|id| (id, node.clone(), lxc)));
        }
    }
    all.sort();
    all
}

/// Brings `.vmlist` and `.version` up to date: always for `changed`, else only when guests came or went.
pub fn refresh_vmlist(changed: Option<u32>) {
    let path = format!("{ETC}/.vmlist");
    let Ok(lock) = File::create("/run/lock/pve-vmlist.lock") else { return };
    let _ = flock(&lock, FlockOperation::LockExclusive);
    let old: serde_json::Value = std::fs::read_to_string(&path).ok().and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default();
    let guests = everywhere();
    let known = old["ids"].as_object().map_or(0, serde_json::Map::len);
    let same = old["ids"].is_object()
        && known == guests.len()
        && guests.iter().all(|(id, node, _)| old["ids"][id.to_string()]["node"] == node.as_str());
    if same && changed.is_none() {
        return;
    }
    let version = old["version"].as_u64().unwrap_or(0) + 1;
    let rows: Vec<String> = guests
        .iter()
        .map(|(id, node, lxc)| {
            let before = old["ids"][id.to_string()]["version"].as_u64();
            let own = before.filter(|_| changed != Some(*id)).unwrap_or(version);
            let kind = if *lxc { "lxc" } else { "qemu" };
            format!("\"{id}\": {{ \"node\": \"{node}\", \"type\": \"{kind}\", \"version\": {own} }}")
        })
        .collect();
    replace(&path, &format!("{{\n\"version\": {version},\n\"ids\": {{\n{}}}\n\n}}\n", rows.join(",\n")));
    let file = format!("{ETC}/.version");
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let lines: Vec<String> =
        text.lines().map(|l| if l.starts_with("\"vmlist\":") { format!("\"vmlist\": {version},") } else { l.to_owned() }).collect();
    if !lines.is_empty() {
        replace(&file, &(lines.join("\n") + "\n"));
    }
}

/// Holds the flock on a guest's configuration until dropped.
pub struct Lock(#[allow(dead_code)] File);

/// Takes the flock; waits as long as the real tools and says so on stderr.
pub fn lock(vmid: u32, seconds: u64) -> Outcome<Lock> {
    let _ = std::fs::create_dir_all("/run/lock/lxc");
    let path = format!("/run/lock/lxc/pve-config-{vmid}.lock");
    let file = File::create(&path).or_die(format!("can't open lock file '{path}'"))?;
    let take = || flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    if take() {
        return Ok(Lock(file));
    }
    warn("trying to acquire lock...");
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < deadline {
        if take() {
            warn(" OK");
            return Ok(Lock(file));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    die(format!("can't lock file '{path}' - got timeout"))
}

/// Control characters, `%`, `:` and everything outside ASCII become `%XX`; newlines stay.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'\n' => "\n".to_owned(),
            b'%' | b':' | 0..=31 | 127..=255 => format!("%{b:02X}"),
            _ => (b as char).to_string(),
        })
        .collect()
}

pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
