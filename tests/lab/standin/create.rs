//! `pct create`, `pct restore`, `pct destroy`.

use crate::args::{Given, Verb, pair, pairs};
use crate::conf::{self, Conf, Section};
use crate::fail::{Outcome, die, die_rc, say};
use crate::guest::{self, id_map};
use crate::storage::{self, Storage, Volume};
use crate::{knobs, run, task};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

const NOT_STORED: &[&str] =
    &["storage", "force", "unique", "restore", "start", "ignore-unpack-errors", "bwlimit", "password", "ssh-public-keys", "pool"];

const TAR_OPTIONS: &str = "--totals --one-file-system -p --sparse --numeric-owner --acls --xattrs \
    '--xattrs-include=user.*' '--xattrs-include=security.capability' '--warning=no-file-ignored' '--warning=no-xattr-write'";

/// Both `pct create` and `pct restore`.
pub fn main(verb: &Verb, given: &Given, restore: bool) -> Outcome<()> {
    let vmid = given.vmid();
    let restore = restore || given.flag("restore");
    check(verb, given, vmid, restore)?;
    let kind = if restore { "vzrestore" } else { "vzcreate" };
    task::call(kind, &vmid.to_string(), || work(given, vmid, restore))?;
    if given.flag("start") {
        run::ok(&["/usr/bin/pct", "start", &vmid.to_string()]);
    }
    Ok(())
}

/// What is refused before a task exists.
fn check(verb: &Verb, given: &Given, vmid: u32, restore: bool) -> Outcome<()> {
    if task::is_worker() {
        return Ok(());
    }
    if let Some((node, lxc)) = conf::whereabouts(vmid) {
        let own = node == knobs::node();
        if !(own && lxc && restore && given.flag("force")) {
            let kind = if lxc { "CT" } else { "VM" };
            // errno leaks on 9.1, except on a plain restore.
            let rc = if knobs::is_nine() && (!restore || !own) { 2 } else { 255 };
            return die_rc(rc, format!("{kind} {vmid} already exists on node '{node}'"));
        }
        let conf = conf::load(vmid)?;
        if conf.current().get("protection") == Some("1") {
            return die(format!("unable to restore CT {vmid} - protection mode enabled"));
        }
        if guest::is_running(vmid) {
            return die("can't overwrite running container");
        }
        conf.check_lock()?;
    }
    for id in storages_named(given) {
        let storage = storage::usable(&id)?;
        if !storage.has("rootdir") {
            verb.refuse_one("storage", &format!("storage '{id}' does not support container directories"))?;
        }
    }
    Ok(())
}

fn storages_named(given: &Given) -> Vec<String> {
    let mut ids: Vec<String> = given.get("storage").map(str::to_owned).into_iter().collect();
    for (name, value) in &given.options {
        if (name == "rootfs" || name.starts_with("mp"))
            && let Some((id, _)) = storage::split(value.split(',').next().unwrap_or(""))
        {
            ids.push(id.to_owned());
        }
    }
    ids
}

fn work(given: &Given, vmid: u32, restore: bool) -> Outcome<()> {
    let word = if restore { "restore" } else { "create" };
    // Every failure inside the worker is named after what it wanted.
    let named = |f: crate::fail::Fail| crate::fail::Fail { rc: 255, text: format!("unable to {word} CT {vmid} - {}", f.text) };
    let _lock = conf::lock(vmid, 5).map_err(named)?;
    if restore { restore_guest(given, vmid) } else { create_guest(given, vmid) }.map_err(named)
}

fn create_guest(given: &Given, vmid: u32) -> Outcome<()> {
    let mut section = Section::default();
    section.set("lock", "create");
    section.set("arch", "amd64");
    section.set("memory", "512");
    section.set("swap", "512");
    apply(given, &mut section);
    if section.get("unprivileged").is_none() && knobs::is_nine() {
        section.set("unprivileged", "1");
    }
    let conf = Conf { vmid, sections: vec![section] };
    conf.save();
    let wanted = wanted_volumes(given, None);
    fill(conf, wanted, |conf, root| {
        let template = storage::archive_path(given.place(1)).inspect_err(|f| {
            if knobs::is_nine() {
                say(&f.text); // 9.1 says it on both streams
            }
        })?;
        unpack(&template, root, conf.current(), conf.vmid)?;
        say("Detected container architecture: amd64");
        if conf.current().get("ostype").is_none() {
            let kind = detect_ostype(root);
            conf.current_mut().set("ostype", kind);
        }
        Ok(())
    })
}

fn restore_guest(given: &Given, vmid: u32) -> Outcome<()> {
    let named = given.place(1).to_owned();
    say(&format!("recovering backed-up configuration from '{named}'"));
    let archive = storage::archive_path(&named)?;
    let backed_up = read_config(&archive, vmid)?;
    let old = conf::load(vmid).ok();
    let wanted = wanted_volumes(given, Some(&backed_up));
    let mut section = backed_up;
    section.keys.retain(|k, _| !(k == "rootfs" || k.starts_with("mp")) && k != "parent");
    for volume in storage::volumes(&section) {
        section.keys.remove(&volume.key);
    }
    apply(given, &mut section);
    section.set("lock", "create");
    let conf = Conf { vmid, sections: vec![section] };
    conf.save();
    fill(conf, wanted, |conf, root| {
        // The old volumes go before the archive is opened: a bad archive leaves nothing.
        if let Some(old) = &old {
            destroy_volumes(old);
        }
        say(&format!("restoring '{named}' now.."));
        unpack(&archive, root, conf.current(), conf.vmid)?;
        let _ = std::fs::remove_dir_all(format!("{root}/etc/vzdump"));
        say("merging backed-up and given configuration..");
        Ok(())
    })
}

/// Copies given options into the configuration.
fn apply(given: &Given, section: &mut Section) {
    for (name, value) in &given.options {
        if NOT_STORED.contains(&name.as_str()) || name == "rootfs" || is_mount_point(name) {
            continue;
        }
        set_option(section, name, value);
    }
    if given.flag("unique") {
        let nets: Vec<String> = section.keys.keys().filter(|k| k.starts_with("net")).cloned().collect();
        for net in nets {
            let bare: Vec<String> = section.keys[&net].split(',').filter(|p| !p.starts_with("hwaddr=")).map(str::to_owned).collect();
            set_option(section, &net, &bare.join(","));
        }
    }
}

fn is_mount_point(name: &str) -> bool {
    name.strip_prefix("mp").is_some_and(|n| n.parse::<u32>().is_ok())
}

/// Stores one option the way the real tools normalise it.
pub fn set_option(section: &mut Section, name: &str, value: &str) {
    match name {
        "description" => section.describe(value),
        "tags" => {
            let mut tags = crate::args::list(&value.to_lowercase());
            tags.sort();
            tags.dedup();
            section.set("tags", tags.join(";"));
        }
        _ if name.starts_with("net") => section.set(name, normal_net(value)),
        _ => section.set(name, value),
    }
}

/// `name=` first, then the keys sorted, with a MAC address and a type.
fn normal_net(value: &str) -> String {
    let mut parts = pairs(value, "name");
    if pair(&parts, "hwaddr").is_none() {
        parts.push(("hwaddr".into(), new_mac()));
    }
    if pair(&parts, "type").is_none() {
        parts.push(("type".into(), "veth".into()));
    }
    parts.sort();
    // The order of the recordings: name and bridge lead, all else is sorted.
    let rank = |k: &str| match k {
        "name" => 0,
        "bridge" => 1,
        _ => 2,
    };
    parts.sort_by_key(|(k, _)| rank(k));
    parts.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
}

fn new_mac() -> String {
    let mut bytes = [0u8; 3];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes));
    if read.is_err() {
        bytes = (conf::now() as u32).to_le_bytes()[..3].try_into().unwrap();
    }
    format!("BC:24:11:{:02X}:{:02X}:{:02X}", bytes[0], bytes[1], bytes[2])
}

/// A volume to be made: its key, storage, size in GiB and the other options.
struct Wanted {
    key: String,
    storage: String,
    gib: f64,
    rest: String,
    /// Kept as it is (bind mounts).
    literal: Option<String>,
}

fn wanted_volumes(given: &Given, backed_up: Option<&Section>) -> Vec<Wanted> {
    let default = given.get("storage").unwrap_or("local").to_owned();
    let mut list: Vec<Wanted> = given
        .options
        .iter()
        .filter(|(n, _)| n == "rootfs" || is_mount_point(n))
        .map(|(name, value)| wanted(name, value, &default))
        .collect();
    if let (Some(section), true) = (backed_up, list.is_empty()) {
        for volume in storage::volumes(section) {
            let value = &section.keys[&volume.key];
            if volume.is_bind() {
                list.push(Wanted { key: volume.key, storage: String::new(), gib: 0.0, rest: String::new(), literal: Some(value.clone()) });
                continue;
            }
            let own = storage::split(&volume.source).map_or("local", |(s, _)| s);
            let storage = given.get("storage").unwrap_or(own).to_owned();
            let rest = value.split(',').skip(1).filter(|p| !p.starts_with("size=")).map(|p| format!(",{p}")).collect();
            list.push(Wanted { gib: volume.size_bytes() as f64 / f64::from(1 << 30), key: volume.key, storage, rest, literal: None });
        }
    }
    if !list.iter().any(|w| w.key == "rootfs") {
        list.insert(0, wanted("rootfs", "4", &default));
    }
    list.sort_by_key(|w| w.key != "rootfs");
    list
}

fn wanted(key: &str, value: &str, default: &str) -> Wanted {
    let (first, rest) = value.split_once(',').unwrap_or((value, ""));
    let first = first.trim_start_matches("volume=");
    let rest = if rest.is_empty() { String::new() } else { format!(",{rest}") };
    if first.starts_with('/') {
        return Wanted { key: key.into(), storage: String::new(), gib: 0.0, rest, literal: Some(value.into()) };
    }
    let (storage, size) = storage::split(first).unwrap_or((default, first));
    Wanted { key: key.into(), storage: storage.into(), gib: size.parse().unwrap_or(4.0), rest, literal: None }
}

/// Allocates volumes, lets `then` fill them, and saves; a failure leaves neither volumes nor configuration.
fn fill(mut conf: Conf, wanted: Vec<Wanted>, then: impl FnOnce(&mut Conf, &str) -> Outcome<()>) -> Outcome<()> {
    let mut made = Vec::new();
    let done = allocate_all(&mut conf, wanted, &mut made).and_then(|()| {
        let root = storage::root_path(conf.current())?;
        then(&mut conf, &root)
    });
    if let Err(failure) = done {
        for volid in &made {
            storage::free(volid);
        }
        conf::remove(conf.vmid);
        return Err(failure);
    }
    conf.current_mut().keys.remove("lock");
    conf.save();
    Ok(())
}

fn allocate_all(conf: &mut Conf, wanted: Vec<Wanted>, made: &mut Vec<String>) -> Outcome<()> {
    for want in wanted {
        let value = match want.literal {
            Some(literal) => literal,
            None => {
                let storage: Storage = storage::usable(&want.storage)?;
                let volume = storage::allocate(&storage, conf.vmid, want.gib, conf.current().is_unprivileged())?;
                let (volid, size) = volume.split_once(',').unwrap();
                made.push(volid.to_owned());
                format!("{volid}{},{size}", want.rest)
            }
        };
        conf.current_mut().set(&want.key, value);
        conf.save();
    }
    Ok(())
}

/// The decompressor option of tar for a file name.
fn decompressor(path: &str) -> Option<&'static str> {
    let ends = |list: &[&str]| list.iter().any(|e| path.ends_with(e));
    match () {
        () if ends(&[".zst"]) => Some("--zstd"),
        () if ends(&[".gz", ".tgz"]) => Some("-z"),
        () if ends(&[".xz", ".txz"]) => Some("-J"),
        () if ends(&[".lzo"]) => Some("--lzop"),
        () => None,
    }
}

fn unpack(archive: &str, root: &str, section: &Section, vmid: u32) -> Outcome<()> {
    say(&format!("extracting archive '{archive}'"));
    let unzip = decompressor(archive);
    let mut argv = id_map(section);
    argv.extend(["tar", "xpf", "-"]);
    argv.extend(unzip);
    argv.extend([
        "--totals",
        "--one-file-system",
        "-p",
        "--sparse",
        "--numeric-owner",
        "--acls",
        "--xattrs",
        "--xattrs-include=user.*",
        "--xattrs-include=security.capability",
        "--warning=no-file-ignored",
        "--warning=no-xattr-write",
        "-C",
        root,
        "--skip-old-files",
        "--anchored",
        "--exclude",
        "./dev/*",
    ]);
    let Ok(input) = std::fs::File::open(archive) else { return die(format!("can't open '{archive}'")) };
    // stderr is the task log already.
    let status = Command::new(argv[0]).args(&argv[1..]).stdin(Stdio::from(input)).status();
    let code = status.ok().and_then(|s| s.code()).unwrap_or(255);
    if code == 0 {
        return Ok(());
    }
    let map = id_map(section).join(" ");
    die(format!(
        "command '{map}{}tar xpf - {}{TAR_OPTIONS} -C /var/lib/lxc/{vmid}/rootfs --skip-old-files --anchored --exclude './dev/*'' failed: exit code {code}",
        if map.is_empty() { "" } else { " " },
        unzip.map(|u| format!("{u} ")).unwrap_or_default(),
    ))
}

/// The configuration inside a backup; what tar complains about goes to the log.
pub fn read_config(archive: &str, vmid: u32) -> Outcome<Section> {
    match extract_config(archive, true) {
        Some(text) => Ok(conf::parse(vmid, &text).sections.remove(0)),
        None => die("ERROR: archive contains no configuration file"),
    }
}

/// Like the real one: list until the name comes by, then extract that name.
pub fn extract_config(archive: &str, loud: bool) -> Option<String> {
    const NAME: &str = "./etc/vzdump/pct.conf";
    let errors = || if loud { Stdio::inherit() } else { Stdio::null() };
    let mut listing = Command::new("tar");
    listing.args(["tf", archive]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors());
    let mut listing = listing.spawn().ok()?;
    let lines = BufReader::new(listing.stdout.take()?).lines();
    let found = lines.map_while(Result::ok).any(|l| l == NAME);
    if found {
        let _ = listing.kill(); // the rest does not matter
    }
    let _ = listing.wait();
    if !found {
        return None;
    }
    let out = Command::new("tar").args(["-xpOf", archive, NAME, "--occurrence"]).stdin(Stdio::null()).stderr(errors()).output();
    let text = String::from_utf8_lossy(&out.ok()?.stdout).into_owned();
    (!text.is_empty()).then_some(text)
}

fn detect_ostype(root: &str) -> &'static str {
    let release = std::fs::read_to_string(format!("{root}/etc/os-release")).unwrap_or_default();
    let has = |path: &str| std::path::Path::new(&format!("{root}/{path}")).symlink_metadata().is_ok();
    if release.contains("ID=alpine") || has("etc/alpine-release") || (has("usr/bin/busybox") && has("etc/inittab")) {
        "alpine"
    } else if release.contains("ID=debian") || has("etc/debian_version") {
        "debian"
    } else {
        "unmanaged"
    }
}

fn destroy_volumes(conf: &Conf) {
    for volume in storage::volumes(conf.current()).iter().filter(|v: &&Volume| !v.is_bind()) {
        storage::free(&volume.source);
    }
}

pub fn destroy(given: &Given) -> Outcome<()> {
    let vmid = given.vmid();
    let force = given.flag("force");
    if !task::is_worker() {
        let conf = conf::load(vmid)?;
        if conf.current().get("protection") == Some("1") {
            return die(format!("can't remove CT {vmid} - protection mode enabled"));
        }
        conf.check_lock()?;
        if guest::is_running(vmid) && !force {
            return die(format!("unable to destroy CT {vmid} - container is running"));
        }
    }
    task::call("vzdestroy", &vmid.to_string(), || {
        let _lock = conf::lock(vmid, 10)?;
        let mut conf = conf::load(vmid)?;
        conf.check_lock()?;
        if guest::is_running(vmid) {
            say(&format!("forced to stop CT {vmid} before destroying!"));
            guest::kill(vmid)?;
        }
        conf.current_mut().set("lock", "destroyed");
        conf.save();
        destroy_volumes(&conf);
        if given.flag("purge") {
            say(&format!("purging CT {vmid} from related configurations.."));
        }
        conf::remove(vmid);
        let _ = std::fs::remove_dir_all(format!("/var/lib/lxc/{vmid}"));
        Ok(())
    })
}
