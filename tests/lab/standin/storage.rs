//! `storage.cfg`, volume names, and volumes themselves: btrfs subvolumes on `btrfs` storages, plain directories
//! where a real `dir` storage would have a raw image (no snapshots there, like the real thing).

use crate::args::{pair, pairs};
use crate::conf::{ETC, Section};
use crate::fail::{OrDie, Outcome, die, say};
use crate::run;
use std::path::Path;

#[derive(Clone, Default)]
pub struct Storage {
    pub id: String,
    pub kind: String,
    pub path: String,
    pub content: Vec<String>,
    pub prune: Option<String>,
    pub disabled: bool,
    pub must_be_mounted: bool,
}

pub fn all() -> Vec<Storage> {
    let text = std::fs::read_to_string(format!("{ETC}/storage.cfg")).unwrap_or_default();
    let mut list: Vec<Storage> = Vec::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        if !line.starts_with(char::is_whitespace) {
            if let Some((kind, id)) = line.split_once(':') {
                list.push(Storage { id: id.trim().into(), kind: kind.trim().into(), ..Storage::default() });
            }
            continue;
        }
        let Some(storage) = list.last_mut() else { continue };
        let (key, value) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), "1"));
        match key {
            "path" => storage.path = value.trim().into(),
            "content" => storage.content = value.split(',').map(|s| s.trim().to_owned()).collect(),
            "prune-backups" => storage.prune = Some(value.trim().into()),
            "disable" => storage.disabled = value != "0",
            "is_mountpoint" => storage.must_be_mounted = value != "0",
            _ => {}
        }
    }
    list
}

pub fn get(id: &str) -> Outcome<Storage> {
    match all().into_iter().find(|s| s.id == id) {
        Some(storage) => Ok(storage),
        None => die(format!("storage '{id}' does not exist")),
    }
}

/// A storage that may be used now.
pub fn usable(id: &str) -> Outcome<Storage> {
    let storage = get(id)?;
    if storage.disabled {
        return die(format!("storage '{id}' is disabled"));
    }
    storage.activate()?;
    Ok(storage)
}

impl Storage {
    pub fn has(&self, content: &str) -> bool {
        self.content.iter().any(|c| c == content)
    }

    pub fn is_btrfs(&self) -> bool {
        self.kind == "btrfs"
    }

    pub fn is_online(&self) -> bool {
        !self.must_be_mounted || is_mount_point(&self.path)
    }

    fn activate(&self) -> Outcome<()> {
        if self.is_online() {
            return Ok(());
        }
        die(format!(
            "unable to activate storage '{}' - directory is expected to be a mount point but is not mounted: '{}'",
            self.id, self.path
        ))
    }

    /// Total, used and available bytes.
    pub fn space(&self) -> (u64, u64, u64) {
        match rustix::fs::statvfs(self.path.as_str()) {
            Ok(s) => {
                let total = s.f_blocks * s.f_frsize;
                (total, (s.f_blocks - s.f_bfree) * s.f_frsize, s.f_bavail * s.f_frsize)
            }
            Err(_) => (0, 0, 0),
        }
    }

    pub fn dump_dir(&self) -> String {
        format!("{}/dump", self.path)
    }
}

/// The lines the real tools print on stderr whenever any enabled storage is offline.
pub fn offline_noise() -> Vec<String> {
    all().iter().filter(|s| !s.disabled).filter_map(|s| s.activate().err()).map(|e| e.text).collect()
}

fn is_mount_point(path: &str) -> bool {
    let text = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    text.lines().any(|l| l.split(' ').nth(1) == Some(path))
}

/// Splits `storage:rest`.
pub fn split(volid: &str) -> Option<(&str, &str)> {
    volid.split_once(':').filter(|(s, r)| !s.is_empty() && !r.is_empty() && !s.contains('/'))
}

/// Where a volume is on disk; its existence is not checked.
pub fn volume_path(volid: &str) -> Outcome<String> {
    let Some((id, rest)) = split(volid) else {
        return die(format!("unable to parse volume ID '{volid}'"));
    };
    let storage = get(id)?;
    for (prefix, dir) in [("backup/", "dump/"), ("vztmpl/", "template/cache/"), ("iso/", "template/iso/")] {
        if let Some(file) = rest.strip_prefix(prefix) {
            return Ok(format!("{}/{dir}{file}", storage.path));
        }
    }
    let name = if storage.is_btrfs() { rest.trim_end_matches(".raw") } else { rest };
    if name.contains('/') {
        Ok(format!("{}/images/{name}", storage.path))
    } else {
        die(format!("unable to parse directory volume name '{rest}'"))
    }
}

/// The path of an archive given as volume id or absolute path.
pub fn archive_path(text: &str) -> Outcome<String> {
    if text.starts_with('/') {
        return if Path::new(text).is_file() { Ok(text.into()) } else { die(format!("can't find file '{text}'")) };
    }
    if split(text).is_none() {
        return die(format!("unable to parse volume ID '{text}'"));
    }
    let path = volume_path(text)?;
    if Path::new(&path).is_file() { Ok(path) } else { die(format!("volume '{text}' does not exist")) }
}

/// One `rootfs` or `mpN` of a guest.
pub struct Volume {
    pub key: String,
    /// Volume id, or the path of a bind mount.
    pub source: String,
    pub target: String,
    pub size: Option<String>,
    pub backup: bool,
    pub read_only: bool,
}

impl Volume {
    pub fn is_bind(&self) -> bool {
        self.source.starts_with('/')
    }

    pub fn path(&self) -> Outcome<String> {
        if self.is_bind() { Ok(self.source.clone()) } else { volume_path(&self.source) }
    }

    pub fn must_exist(&self) -> Outcome<String> {
        let path = self.path()?;
        if Path::new(&path).is_dir() {
            Ok(path)
        } else if self.is_bind() {
            die(format!("directory '{}' does not exist", self.source))
        } else {
            die(format!("volume '{}' does not exist", self.source))
        }
    }

    pub fn is_snapshottable(&self) -> bool {
        !self.is_bind() && split(&self.source).and_then(|(s, _)| get(s).ok()).is_some_and(|s| s.is_btrfs())
    }

    pub fn size_bytes(&self) -> u64 {
        self.size.as_deref().map_or(0, size_bytes)
    }
}

/// All volumes of a guest, rootfs first.
pub fn volumes(section: &Section) -> Vec<Volume> {
    let mut list: Vec<Volume> = Vec::new();
    for (key, value) in &section.keys {
        let number = key.strip_prefix("mp").and_then(|n| n.parse::<u32>().ok());
        if key != "rootfs" && number.is_none() {
            continue;
        }
        let parts = pairs(value, "volume");
        list.push(Volume {
            key: key.clone(),
            source: pair(&parts, "volume").unwrap_or("").into(),
            target: pair(&parts, "mp").unwrap_or("/").into(),
            size: pair(&parts, "size").map(str::to_owned),
            backup: key == "rootfs" || pair(&parts, "backup") == Some("1"),
            read_only: pair(&parts, "ro") == Some("1"),
        });
    }
    list.sort_by_key(|v| v.key.strip_prefix("mp").and_then(|n| n.parse::<i32>().ok()).unwrap_or(-1));
    list
}

pub fn root_path(section: &Section) -> Outcome<String> {
    match volumes(section).first() {
        Some(root) if root.key == "rootfs" => root.path(),
        _ => die("rootfs not set"),
    }
}

pub fn size_bytes(text: &str) -> u64 {
    let unit: u64 = match text.chars().last() {
        Some('K') => 1 << 10,
        Some('M') => 1 << 20,
        Some('G') => 1 << 30,
        Some('T') => 1 << 40,
        _ => 1,
    };
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    (number.parse::<f64>().unwrap_or(0.0) * unit as f64) as u64
}

/// Makes a volume and prints what the real tools print; returns the `storage:name,size=` text.
pub fn allocate(storage: &Storage, vmid: u32, gib: f64, unprivileged: bool) -> Outcome<String> {
    let dir = format!("{}/images/{vmid}", storage.path);
    std::fs::create_dir_all(&dir).or_die("unable to create image directory")?;
    let name = (0..)
        .map(|n| format!("vm-{vmid}-disk-{n}"))
        .find(|n| !Path::new(&format!("{dir}/{n}")).exists() && !Path::new(&format!("{dir}/{n}.raw")).exists())
        .unwrap();
    let bytes = (gib * f64::from(1 << 30)) as u64;
    let path = if storage.is_btrfs() {
        let path = format!("{dir}/{name}");
        run::must(&["btrfs", "-q", "subvolume", "create", &path])?;
        run::ok(&["btrfs", "qgroup", "limit", &bytes.to_string(), &path]);
        path
    } else {
        let path = format!("{dir}/{name}.raw");
        std::fs::create_dir(&path).or_die("unable to create image")?;
        say(&format!("Formatting '{path}', fmt=raw size={bytes} preallocation=off"));
        path
    };
    if unprivileged {
        std::os::unix::fs::chown(&path, Some(100_000), Some(100_000)).or_die("chown")?;
    }
    say_mkfs(bytes);
    let size = if gib.fract() == 0.0 { format!("{gib:.0}G") } else { format!("{:.0}M", gib * 1024.0) };
    Ok(format!("{}:{vmid}/{name}.raw,size={size}", storage.id))
}

/// What mkfs.ext4 says about a file system of this size.
fn say_mkfs(bytes: u64) {
    let blocks = bytes / 4096;
    let groups = blocks.div_ceil(32768);
    let mut backups: Vec<u64> = vec![1];
    for base in [3u64, 5, 7] {
        backups.extend((1..20).map(|n| base.pow(n)).take_while(|g| *g < groups));
    }
    backups.sort_unstable();
    backups.retain(|g| *g < groups);
    let backups: Vec<String> = backups.iter().map(|g| (g * 32768).to_string()).collect();
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
    say(&format!("Creating filesystem with {blocks} 4k blocks and {} inodes", blocks / 4));
    say(&format!("Filesystem UUID: {}", uuid.trim()));
    say("Superblock backups stored on blocks: ");
    say(&format!("\t{}", backups.join(", ")));
}

/// Removes a volume with its snapshots; a missing one is only mentioned.
pub fn free(volid: &str) {
    let Ok(path) = volume_path(volid) else { return };
    if !Path::new(&path).exists() {
        let named = if path.ends_with(".raw") { path.clone() } else { format!("{path}.raw") };
        say(&format!("disk image '{named}' does not exist"));
        return;
    }
    let dir = Path::new(&path).parent().unwrap().to_path_buf();
    let name = Path::new(&path).file_name().unwrap().to_string_lossy().into_owned();
    for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
        let other = entry.file_name().to_string_lossy().into_owned();
        if other.starts_with(&format!("{name}@")) {
            delete_tree(&entry.path().to_string_lossy());
        }
    }
    delete_tree(&path);
    let _ = std::fs::remove_dir(dir); // only when it is empty
}

pub fn delete_tree(path: &str) {
    if !run::ok(&["btrfs", "-q", "subvolume", "delete", path]) {
        let _ = std::fs::remove_dir_all(path);
    }
}

/// A read-only snapshot beside the volume.
pub fn snapshot(path: &str, name: &str) -> Outcome<String> {
    let snap = format!("{path}@{name}");
    run::must(&["btrfs", "-q", "subvolume", "snapshot", "-r", path, &snap])?;
    Ok(snap)
}

/// Bytes in use by a volume, as far as the file system can tell without walking it.
pub fn used(path: &str) -> u64 {
    let text = run::text(&["btrfs", "qgroup", "show", "-rf", "--raw", path]);
    text.lines().last().and_then(|l| l.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}
