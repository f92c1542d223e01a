//! `pct restore`: an archive becomes a guest, with the texts of the recordings, in some eight seconds.

use super::node::{Conf, Event, NAME, Node, part};
use super::storage;
use super::vzdump::tar_size;
use super::words::{Opts, Reply};

const USAGE: &str = "pct restore <vmid> <ostemplate> [OPTIONS]";
/// Options that are no lines of a configuration.
const NO_KEYS: [&str; 8] = ["storage", "force", "unique", "rootfs", "start", "ignore-unpack-errors", "bwlimit", "password"];

/// Begins the task, or answers what is wrong with the command.
pub(super) fn begin(node: &mut Node, args: &[String]) -> Result<String, Reply> {
    let opts = Opts::read(args);
    let (Some(id), Some(volid)) = (opts.free.first(), opts.free.get(1)) else {
        return Err(Reply::fail(255, format!("400 not enough arguments\n{USAGE}")));
    };
    let Some(id) = id.parse::<u32>().ok().filter(|n| *n >= 100) else {
        return Err(Reply::param(&format!("vmid: type check ('integer') failed - got '{id}'"), USAGE));
    };
    let storage = opts.get("storage").unwrap_or("local");
    match storage::find(storage) {
        None => return Err(Reply::fail(255, format!("storage '{storage}' does not exist"))),
        Some(p) if !p.takes("rootdir") => {
            return Err(Reply::param(&format!("storage: storage '{storage}' does not support container directories"), USAGE));
        }
        Some(_) => {}
    }
    if let Some(guest) = node.guests.get(&id) {
        let kind = if guest.qemu { "VM" } else { "CT" };
        return Err(Reply::fail(255, format!("{kind} {id} already exists on node '{NAME}'")));
    }
    let mut events = vec![(0.0, Event::Say(format!("recovering backed-up configuration from '{volid}'")))];
    let path = node.path_of(volid).unwrap_or_default();
    match node.disk.get(&path).map(|f| f.size(node.now())) {
        None => events.push((0.3, Event::End(Err(format!("unable to restore CT {id} - volume '{volid}' does not exist"))))),
        Some(0) => events.extend(garbage(id)),
        Some(_) => {
            let Some(inside) = node.inside.get(&path).filter(|_| !path.contains("/vzdump-qemu-")).cloned() else {
                events.push((0.3, Event::End(Err(format!("unable to restore CT {id} - ERROR: archive contains no configuration file")))));
                return Ok(node.begin("vzrestore", &id.to_string(), events));
            };
            events.extend(unpack(node, id, volid, &path, &inside, &opts, storage));
        }
    }
    Ok(node.begin("vzrestore", &id.to_string(), events))
}

fn garbage(id: u32) -> Vec<(f64, Event)> {
    let lines =
        ["tar: This does not look like a tar archive", "tar: Child returned status 1", "tar: Error is not recoverable: exiting now"];
    let mut events: Vec<_> = lines.into_iter().map(|l| (0.4, Event::Say(l.into()))).collect();
    events.push((0.5, Event::End(Err(format!("unable to restore CT {id} - ERROR: archive contains no configuration file")))));
    events
}

fn unpack(node: &Node, id: u32, volid: &str, path: &str, inside: &Conf, opts: &Opts, storage: &str) -> Vec<(f64, Event)> {
    let conf = merged(id, inside, opts, storage);
    let mut half = Conf::new();
    half.insert("lock".into(), "create".into());
    half.insert("arch".into(), "amd64".into());
    let used = node.guests.values().find(|g| g.get("hostname") == inside.get("hostname").map(String::as_str)).map_or(1 << 30, |g| g.used);
    let say = |at: f64, line: String| (at, Event::Say(line));
    let failed = format!(
        "unable to restore CT {id} - command 'lxc-usernsexec -m u:0:100000:65536 -m g:0:100000:65536 -- tar xpf - --zstd --totals --one-file-system -p --sparse --numeric-owner -C /var/lib/lxc/{id}/rootfs --skip-old-files --anchored --exclude './dev/*'' failed: interrupted by signal"
    );
    let mut undo = Vec::new();
    let mut events = vec![(0.1, Event::Conf(id, Box::new(half.clone()), 0))];
    for volume in conf.iter().filter(|(k, v)| is_volume(k) && !v.starts_with('/')).filter_map(|(_, v)| v.split([',', ':']).nth(1)) {
        events.push(say(0.6, format!("  Logical volume \"{volume}\" created.")));
        events.push(say(0.7, format!("  Logical volume pve/{volume} changed.")));
        events.push(say(1.2, "Creating filesystem with 1048576 4k blocks and 262144 inodes".into()));
        events.push(say(1.2, format!("Filesystem UUID: 2a489642-d7d9-483a-80cd-b9b625b1{:04x}", id % 65_536)));
        events.push(say(1.3, "Superblock backups stored on blocks: ".into()));
        events.push(say(1.3, "\t32768, 98304, 163840, 229376, 294912, 819200, 884736".into()));
        undo.push(Event::Say(format!("  Logical volume \"{volume}\" successfully removed.")));
    }
    undo.extend([Event::Gone(id), Event::End(Err(failed))]);
    events.push((0.1, Event::OnTerm(undo)));
    events.push(say(1.5, format!("restoring '{volid}' now..")));
    events.push(say(1.6, format!("extracting archive '{path}'")));
    let rate = used as f64 / (1 << 20) as f64 / 5.5;
    events.push(say(7.1, format!("Total bytes read: {used} ({}, {rate:.0}MiB/s)", tar_size(used))));
    events.push(say(7.3, "merging backed-up and given configuration..".into()));
    let mut locked = conf.clone();
    locked.insert("lock".into(), "create".into());
    events.extend([
        (7.4, Event::Conf(id, Box::new(locked), used)),
        (7.8, Event::Conf(id, Box::new(conf), used)),
        (8.0, Event::End(Ok(()))),
    ]);
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    events
}

fn is_volume(key: &str) -> bool {
    key == "rootfs" || key.strip_prefix("mp").is_some_and(|n| n.parse::<u8>().is_ok())
}

/// The configuration of the new guest: that of the archive, volumes on the given storage, given options on top.
fn merged(id: u32, inside: &Conf, opts: &Opts, storage: &str) -> Conf {
    let mut conf = inside.clone();
    let mut disk = 0;
    let order: Vec<String> = ["rootfs".to_owned()].into_iter().chain(inside.keys().filter(|k| k.starts_with("mp")).cloned()).collect();
    for key in order.iter().filter(|k| is_volume(k)) {
        let Some(line) = conf.get_mut(key).filter(|l| !l.starts_with('/')) else { continue };
        let rest: String = line.split(',').skip(1).map(|w| format!(",{w}")).collect();
        *line = format!("{storage}:vm-{id}-disk-{disk}{rest}");
        disk += 1;
    }
    conf.extend(opts.named().filter(|(k, _)| !NO_KEYS.contains(k)).map(|(k, v)| (k.to_owned(), v.to_owned())));
    if conf.get("onboot").is_some_and(|o| o == "0") {
        conf.remove("onboot");
    }
    let unique = opts.get("unique") == Some("1");
    for (n, (_, line)) in conf.iter_mut().filter(|(k, _)| k.starts_with("net")).enumerate() {
        let old = part(line, "hwaddr").map(str::to_owned);
        let new = format!("BC:24:11:DE:{:02X}:{:02X}", id % 256, n);
        match old {
            Some(old) if unique => *line = line.replace(&old, &new),
            None => *line = format!("{line},hwaddr={new}"),
            Some(_) => {}
        }
    }
    conf.remove("protection");
    conf
}
