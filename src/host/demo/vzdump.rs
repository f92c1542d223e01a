//! Backups: what `vzdump` says and does, as recorded on a running node, spread over some twenty seconds.

use super::node::{Body, Event, File, Node, after, part};
use super::storage::{self, Place};
use super::words::{Opts, Reply, quoted};
use crate::domain::stamp::Stamp;

/// A backup that was asked for.
#[derive(Clone)]
pub(super) struct Wish {
    id: u32,
    /// The words after `vzdump`, as the first line repeats them.
    words: String,
    storage: String,
    mode: String,
    /// Extension of the archive behind `.tar` or `.vma`.
    compress: &'static str,
    notes: Option<String>,
    protected: bool,
}

const NOTIFIED: &str = "INFO: notified via target `mail-to-root`";
/// Seconds until the archive is whole, and until everything is done.
const WRITTEN_S: f64 = 17.0;
const DONE_S: f64 = 18.8;

/// Begins the task of a `vzdump` command; a bad command line is answered at once.
pub(super) fn begin(node: &mut Node, args: &[String]) -> Result<String, Reply> {
    const USAGE: &str = "vzdump {<vmid>} [OPTIONS]";
    let opts = Opts::read(args);
    let Some(id) = opts.free.first() else { return Err(Reply::param("vmid: property is missing", USAGE)) };
    let Some(id) = id.parse::<u32>().ok().filter(|n| *n >= 100) else {
        return Err(Reply::param(&format!("vmid: invalid format - value '{id}' does not look like a valid VM ID"), USAGE));
    };
    let mode = opts.get("mode").unwrap_or("snapshot");
    if !["snapshot", "suspend", "stop"].contains(&mode) {
        return Err(Reply::param(
            &format!("mode: value '{mode}' does not have a value in the enumeration 'snapshot, suspend, stop'"),
            USAGE,
        ));
    }
    let wish = Wish {
        id,
        words: args.iter().map(|a| quoted(a)).collect::<Vec<_>>().join(" "),
        storage: opts.get("storage").unwrap_or("local").to_owned(),
        mode: mode.to_owned(),
        compress: match opts.get("compress") {
            Some("zstd") => ".zst",
            Some("gzip" | "1") => ".gz",
            Some("lzo") => ".lzo",
            _ => "",
        },
        notes: opts.get("notes-template").map(str::to_owned),
        protected: opts.get("protected") == Some("1"),
    };
    let events = match refused(&wish.storage) {
        Some(text) => vec![(0.2, say(NOTIFIED)), (0.2, Event::End(Err(text)))],
        None => vec![(0.0, Event::Vzdump(wish))],
    };
    Ok(node.begin("vzdump", &id.to_string(), events))
}

/// Why nothing is even begun, in vzdump's words.
fn refused(storage: &str) -> Option<String> {
    match storage::find(storage) {
        None => Some(format!(
            "could not activate storage '{storage}': storage '{storage}' does not exist could not get storage information for '{storage}': storage '{storage}' does not exist"
        )),
        Some(p) if !p.active() => Some(format!("could not activate storage '{storage}': {}", storage::OFFLINE)),
        Some(p) if !p.takes("backup") => Some(format!(
            "could not get storage information for '{storage}': can't use storage '{storage}' for backups - wrong content type"
        )),
        Some(_) => None,
    }
}

fn say(line: impl Into<String>) -> Event {
    Event::Say(line.into())
}

/// One backup that is on its way.
struct Run<'a> {
    wish: &'a Wish,
    place: &'static Place,
    now: Stamp,
    stem: String,
    /// `.tar` or `.vma`.
    kind: &'static str,
    running: bool,
    events: Vec<(f64, Event)>,
}

impl Run<'_> {
    fn at(&mut self, seconds: f64, event: Event) {
        self.events.push((seconds, event));
    }

    fn info(&mut self, seconds: f64, text: impl AsRef<str>) {
        self.at(seconds, say(format!("INFO: {}", text.as_ref())));
    }

    fn path(&self, end: &str) -> String {
        format!("{}/{}{end}", self.place.dump(), self.stem)
    }

    fn archive(&self) -> String {
        self.path(&format!("{}{}", self.kind, self.wish.compress))
    }

    fn dat(&self) -> String {
        self.path(if self.wish.compress.is_empty() {
            ".dat"
        } else if self.kind == ".tar" {
            ".tar.dat"
        } else {
            ".vma.dat"
        })
    }
}

/// Everything that happens from the moment the node's backup lock is held.
pub(super) fn timeline(node: &Node, wish: &Wish, now: Stamp) -> Vec<(f64, Event)> {
    let first = say(format!("INFO: starting new backup job: vzdump {}", wish.words));
    let id = wish.id;
    let (Some(guest), Some(place)) = (node.guests.get(&id), storage::find(&wish.storage)) else {
        return [(0.0, first)].into_iter().chain(failed(0.1, id, &format!("unable to find VM '{id}'"))).collect();
    };
    let (kind, ext) = if guest.qemu { ("qemu", ".vma") } else { ("lxc", ".tar") };
    let stem = node.stem(kind, id, now);
    let mut run = Run { wish, place, now, stem, kind: ext, running: guest.init.is_some(), events: vec![(0.0, first)] };
    run.info(0.0, format!("Starting Backup of VM {id} ({kind})"));
    run.info(0.0, format!("Backup started at {}", node.written(now)));
    run.info(0.1, format!("status = {}", if run.running { "running" } else { "stopped" }));
    if let Some(lock) = guest.get("lock") {
        let text = format!("{} is locked ({lock})", if guest.qemu { "VM" } else { "CT" });
        run.events.extend(failed(0.2, id, &text));
        let path = run.path(".log");
        let end = run.events.pop();
        run.at(0.3, Event::Sidecar(path));
        run.events.extend(end);
        return run.events;
    }
    run.at(0.1, Event::Lock(id, Some("backup")));
    run.at(0.1, interrupted(id));
    head(&mut run, node);
    write(&mut run, node);
    run.events.sort_by(|a, b| a.0.total_cmp(&b.0));
    run.events
}

/// The end of a backup that failed.
fn failed(at: f64, id: u32, text: &str) -> Vec<(f64, Event)> {
    vec![
        (at, say(format!("ERROR: Backup of VM {id} failed - {text}"))),
        (at, Event::SayTime("INFO: Failed at ")),
        (at, say("INFO: Backup job finished with errors")),
        (at + 0.1, say(NOTIFIED)),
        (at + 0.1, Event::End(Err("job errors".into()))),
    ]
}

/// What a TERM does while there is nothing but the lock to take back.
fn interrupted(id: u32) -> Event {
    let end = failed(0.0, id, "interrupted by signal").into_iter().map(|(_, e)| e);
    Event::OnTerm([Event::Lock(id, None)].into_iter().chain(end).collect())
}

/// Name, mount points, mode; their order differs by mode (recordings vzdump-snapshot-ok, vzdump-stop-ok).
fn head(run: &mut Run<'_>, node: &Node) {
    let Some(guest) = node.guests.get(&run.wish.id) else { return };
    let mode = if run.running { run.wish.mode.clone() } else { "stop".to_owned() };
    let mut what = vec![format!("{} Name: {}", if guest.qemu { "VM" } else { "CT" }, guest.name(run.wish.id))];
    if guest.qemu {
        let line = guest.get("scsi0").unwrap_or("");
        what.push(format!("include disk 'scsi0' '{}' {}", line.split(',').next().unwrap_or(""), part(line, "size").unwrap_or("")));
    } else {
        what.push("including mount point rootfs ('/') in backup".into());
        for (key, line) in guest.conf.iter().filter(|(k, _)| k.strip_prefix("mp").is_some_and(|n| n.parse::<u8>().is_ok())) {
            let at = part(line, "mp").unwrap_or("");
            what.push(match (line.starts_with('/'), part(line, "backup")) {
                (true, _) => format!("excluding bind mount point {key} ('{at}') from backup (not a volume)"),
                (false, Some("1")) => format!("including mount point {key} ('{at}') in backup"),
                _ => format!("excluding volume mount point {key} ('{at}') from backup (disabled)"),
            });
        }
    }
    let how = [format!("backup mode: {mode}"), "ionice priority: 7".into()];
    let lines: Vec<String> =
        if mode == "snapshot" || guest.qemu { what.into_iter().chain(how).collect() } else { how.into_iter().chain(what).collect() };
    for line in lines {
        run.info(0.2, line);
    }
}

fn write(run: &mut Run<'_>, node: &Node) {
    let Some(guest) = node.guests.get(&run.wish.id) else { return };
    let (id, now) = (run.wish.id, run.now);
    let stops = run.running && run.wish.mode == "stop" && !guest.qemu;
    let snapshot = run.running && run.wish.mode == "snapshot" && !guest.qemu;
    let volume = guest.get("rootfs").and_then(|r| r.split([',', ':']).nth(1)).unwrap_or("").to_owned();
    let logical = |what: &str| say(format!("  Logical volume \"snap_{volume}_vzdump\" {what}"));
    let (archive, dat) = (run.archive(), run.dat());
    if snapshot {
        run.info(0.5, "create storage snapshot 'vzdump'");
        run.at(0.9, logical("created."));
    }
    if stops {
        run.info(0.5, "stopping virtual guest");
        run.at(0.9, Event::Power(id, false));
    }
    if run.running && run.wish.mode == "suspend" && !guest.qemu {
        suspend(run, guest.init.map_or(0, |i| i.pid), guest.used);
    }
    run.info(1.0, format!("creating vzdump archive '{archive}'"));
    let size = size_of(node, id, guest.used);
    let room = node.space(run.place).avail;
    let body = Body::Growing { from: after(now, 1.0), until: after(now, WRITTEN_S), full: size };
    run.at(1.0, Event::Write(dat.clone(), File { body, modified: after(now, WRITTEN_S) }));
    let mut undo = Vec::new();
    if snapshot {
        undo.extend([say("INFO: cleanup temporary 'vzdump' snapshot"), logical("successfully removed.")]);
    }
    undo.extend([Event::Remove(dat.clone()), Event::Lock(id, None)]);
    if stops {
        undo.extend([say("INFO: restarting vm"), Event::Power(id, true)]);
    }
    let log = Event::Sidecar(run.path(".log"));
    let command = format!(
        "command 'set -o pipefail && lxc-usernsexec -m u:0:100000:65536 -m g:0:100000:65536 -- tar cpf - --totals --one-file-system -p --sparse --numeric-owner --acls --xattrs | zstd '--threads=1' >{dat}' failed"
    );
    let ending = |why: &str| -> Vec<Event> {
        let mut tail: Vec<Event> = failed(0.0, id, why).into_iter().map(|(_, e)| e).collect();
        tail.insert(tail.len() - 1, log.clone());
        undo.iter().cloned().chain(tail).collect()
    };
    run.at(0.9, Event::OnTerm(ending(&format!("{command}: interrupted by signal"))));
    // From here on the archive is whole and stays; only the rest is not done any more.
    run.at(WRITTEN_S, Event::OnTerm(ending("interrupted by signal")));
    run.at(17.9, interrupted(id));
    if room < size {
        let full = 1.0 + (WRITTEN_S - 1.0) * room as f64 / size as f64;
        run.at(full, say("INFO: zstd: error 70 : Write error : cannot write block : No space left on device"));
        ending(&format!("{command}: exit code 70")).into_iter().for_each(|e| run.at(full, e));
        return;
    }
    if guest.qemu {
        percents(run, guest.disk());
    } else {
        let rate = guest.used as f64 / (1 << 20) as f64 / (WRITTEN_S - 1.0);
        run.info(WRITTEN_S, format!("Total bytes written: {} ({}, {rate:.0}MiB/s)", guest.used, tar_size(guest.used)));
    }
    let mut conf = guest.conf.clone();
    conf.remove("lock");
    run.at(WRITTEN_S, Event::Archive { dat, path: archive.clone(), size, conf: Box::new(conf) });
    run.info(WRITTEN_S, format!("archive file size: {}", file_size(size)));
    notes(run, &guest.name(id), &archive);
    if stops {
        run.info(17.3, "restarting vm");
        run.at(17.9, Event::Power(id, true));
        run.info(18.4, "guest is online again after 17 seconds");
    }
    if snapshot {
        run.info(17.6, "cleanup temporary 'vzdump' snapshot");
        run.at(17.9, logical("successfully removed."));
    }
    finish(run, node, log);
}

fn suspend(run: &mut Run<'_>, pid: u32, used: u64) {
    let tmp = run.path(".tmp");
    let moved = used as f64 / (1 << 20) as f64;
    run.info(0.3, format!("starting first sync /proc/{pid}/root/ to {tmp}"));
    run.info(0.6, format!("first sync finished - transferred {moved:.2}M bytes in 0s"));
    run.info(0.6, "suspending guest");
    run.info(0.6, format!("starting final sync /proc/{pid}/root/ to {tmp}"));
    run.info(0.8, "final sync finished - transferred 0 bytes in 0s");
    run.info(0.8, "resuming guest");
    run.info(0.9, "guest is online again after <1 seconds");
}

/// Only machines tell how far they are.
fn percents(run: &mut Run<'_>, disk: u64) {
    let gib = |n: f64| format!("{:.1} GiB", n / (1u64 << 30) as f64);
    for n in 1..=5u32 {
        let (percent, at) = (n * 20, 1.0 + f64::from(n) * 3.2);
        let done = gib(disk as f64 * f64::from(percent) / 100.0);
        run.info(at, format!("{percent:3}% ({done} of {}) in {:.0}s, read: 2.0 GiB/s, write: 188.1 MiB/s", gib(disk as f64), at - 1.0));
    }
}

/// The escapes of a template for notes: `\\n` and `\\\\`.
fn unescaped(template: &str) -> String {
    let (mut out, mut chars) = (String::new(), template.chars());
    while let Some(c) = chars.next() {
        let c = if c == '\\' { chars.next().map_or('\\', |c| if c == 'n' { '\n' } else { c }) } else { c };
        out.push(c);
    }
    out
}

fn notes(run: &mut Run<'_>, name: &str, archive: &str) {
    let when = after(run.now, 17.2);
    if let Some(template) = &run.wish.notes {
        let id = run.wish.id.to_string();
        let text = unescaped(template).replace("{{guestname}}", name).replace("{{node}}", super::node::NAME).replace("{{vmid}}", &id);
        run.info(17.2, "adding notes to backup");
        run.at(17.2, Event::Write(format!("{archive}.notes"), File { body: Body::Text(text), modified: when }));
    }
    if run.wish.protected {
        run.info(17.2, "marking backup as protected");
        run.at(17.2, Event::Write(format!("{archive}.protected"), File { body: Body::Text(String::new()), modified: when }));
    }
}

fn finish(run: &mut Run<'_>, node: &Node, log: Event) {
    let (id, end) = (run.wish.id, after(run.now, DONE_S));
    let s = end.secs() - run.now.secs();
    run.at(18.5, Event::Lock(id, None));
    run.info(DONE_S, format!("Finished Backup of VM {id} ({:02}:{:02}:{:02})", s / 3600, s / 60 % 60, s % 60));
    run.at(DONE_S, log);
    run.info(DONE_S, format!("Backup finished at {}", node.written(end)));
    run.info(DONE_S, "Backup job finished successfully");
    run.at(DONE_S + 0.3, say(NOTIFIED));
    run.at(DONE_S + 0.3, Event::End(Ok(())));
}

/// As large as the last archive and a little more, else a good third of what is in use.
fn size_of(node: &Node, id: u32, used: u64) -> u64 {
    let last = node.archives().filter(|(_, _, of, f)| *of == id && f.size(node.now()) > 0).max_by_key(|(_, _, _, f)| f.modified);
    last.map_or(used * 2 / 5, |(_, _, _, f)| f.size(node.now()) / 100 * 101)
}

/// vzdump's own form of sizes: whole KB and MB, GB with two digits.
fn file_size(n: u64) -> String {
    match n {
        0..1_048_576 => format!("{}KB", n >> 10),
        1_048_576..1_073_741_824 => format!("{}MB", n >> 20),
        _ => format!("{:.2}GB", n as f64 / (1u64 << 30) as f64),
    }
}

/// tar's own form of sizes.
pub(super) fn tar_size(n: u64) -> String {
    let mib = n as f64 / (1u64 << 20) as f64;
    if mib < 10.0 {
        format!("{mib:.1}MiB")
    } else if mib < 1024.0 {
        format!("{mib:.0}MiB")
    } else {
        format!("{:.1}GiB", mib / 1024.0)
    }
}
