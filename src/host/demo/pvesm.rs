//! `pvesm`: storages and what stands on them (facts §6).

use super::node::{File, Node, text_of};
use super::storage::{self, PLACES, Place};
use super::words::{Opts, Reply};
use crate::domain::stamp::Stamp;

/// Answers a `pvesm` command.
pub(super) fn begin(node: &mut Node, args: &[String]) -> Result<Reply, Reply> {
    let Some(verb) = args.first().map(String::as_str) else { return Err(Reply::fail(255, "ERROR: no command specified")) };
    let opts = Opts::read(&args[1..]);
    let volid = || opts.free.first().cloned().ok_or_else(|| Reply::fail(255, format!("400 not enough arguments\npvesm {verb} <volume>")));
    match verb {
        "status" => status(node, &opts),
        "list" => list(node, &opts),
        "path" => {
            let volid = volid()?;
            node.path_of(&volid).map(|p| Reply::ok(p + "\n")).ok_or_else(|| bad_volume("path", &volid))
        }
        "extractconfig" => extract(node, &volid()?),
        "free" => free(node, &volid()?),
        "add" | "alloc" | "apiinfo" | "export" | "help" | "import" | "prune-backups" | "remove" | "scan" | "set" => {
            Err(Reply::fail(255, format!("the demo host does not play 'pvesm {verb}'")))
        }
        _ => Err(Reply::fail(255, format!("ERROR: unknown command 'pvesm {verb}'\nUSAGE: pvesm <COMMAND> [ARGS] [OPTIONS]"))),
    }
}

fn bad_volume(verb: &str, volid: &str) -> Reply {
    Reply::param(&format!("volume: invalid format - unable to parse volume ID '{volid}'\n"), &format!("pvesm {verb} <volume>"))
}

fn status(node: &Node, opts: &Opts) -> Result<Reply, Reply> {
    if opts.get("storage").is_some_and(|n| storage::find(n).is_none()) {
        return Err(Reply::param("storage: No such storage.", "pvesm status  [OPTIONS]").with_err(storage::OFFLINE));
    }
    let shown = |p: &&Place| opts.get("storage").is_none_or(|s| s == p.name) && opts.get("content").is_none_or(|c| p.takes(c));
    let mut rows: Vec<&Place> = PLACES.iter().filter(shown).collect();
    rows.sort_by_key(|p| p.name);
    let width = rows.iter().map(|p| p.name.len()).max().unwrap_or(4) + 1;
    let mut out = format!(
        "{:<width$} {:>10} {:>10} {:>15} {:>15} {:>15} {:>8}\n",
        "Name", "Type", "Status", "Total (KiB)", "Used (KiB)", "Available (KiB)", "%"
    );
    for p in rows {
        let s = node.space(p);
        let percent = if s.total > 0 { s.used as f64 * 100.0 / s.total as f64 } else { 0.0 };
        let state = if p.active() { "active" } else { "inactive" };
        out += &format!(
            "{:<width$} {:>10} {state:>10} {:>15} {:>15} {:>15} {:>8}\n",
            p.name,
            p.kind,
            s.total >> 10,
            s.used >> 10,
            s.avail >> 10,
            format!("{percent:.2}%")
        );
    }
    Ok(Reply::ok(out).with_err(storage::OFFLINE))
}

fn list(node: &Node, opts: &Opts) -> Result<Reply, Reply> {
    let Some(name) = opts.free.first() else { return Err(Reply::fail(255, "400 not enough arguments\npvesm list <storage> [OPTIONS]")) };
    let Some(place) = storage::find(name) else { return Err(Reply::fail(255, format!("storage '{name}' does not exist"))) };
    if !place.active() {
        return Err(Reply::fail(255, storage::OFFLINE));
    }
    let vmid = opts.get("vmid");
    let fits = |v: &&Volume| {
        opts.get("content").is_none_or(|c| c == v.content) && vmid.is_none_or(|id| v.vmid.is_some_and(|n| n.to_string() == id))
    };
    let all = node.volumes(place);
    let rows: Vec<&Volume> = all.iter().filter(fits).collect();
    let wide = rows.iter().map(|v| v.volid.len()).max().unwrap_or(5);
    let size = rows.iter().map(|v| v.size.to_string().len()).max().unwrap_or(4);
    let mut out = format!("{:<wide$} {:<7} {:<9} {:>size$} VMID\n", "Volid", "Format", "Type", "Size");
    for v in rows {
        let line = format!(
            "{:<wide$} {:<7} {:<9} {:>size$} {}",
            v.volid,
            v.format,
            v.content,
            v.size,
            v.vmid.map(|n| n.to_string()).unwrap_or_default()
        );
        out += line.trim_end();
        out.push('\n');
    }
    Ok(Reply::ok(out))
}

fn extract(node: &Node, volid: &str) -> Result<Reply, Reply> {
    let path = node.path_of(volid).ok_or_else(|| bad_volume("extractconfig", volid))?;
    let whole = node.disk.get(&path).ok_or_else(|| Reply::fail(255, format!("volume '{volid}' does not exist")))?;
    match node.inside.get(&path).filter(|_| whole.size(node.now()) > 0) {
        Some(conf) => Ok(Reply::ok(text_of(conf) + "\n")),
        None => Err(Reply::fail(255, "ERROR: archive contains no configuration file")),
    }
}

/// Exit 0 also where nothing was removed, as recorded.
fn free(node: &mut Node, volid: &str) -> Result<Reply, Reply> {
    let path = node.path_of(volid).ok_or_else(|| bad_volume("free", volid))?;
    let (store, name) = volid.split_once(':').unwrap_or(("", volid));
    if node.disk.contains_key(&format!("{path}.protected")) {
        return Err(Reply::fail(0, format!("cannot remove protected volume '{name}' on '{store}'")));
    }
    let gone = node.disk.remove(&path).is_none();
    for end in [".notes", ".log"] {
        node.disk.remove(&format!("{path}{end}"));
    }
    if let Some(stem) = path.split(".tar").next() {
        node.disk.remove(&format!("{stem}.log"));
    }
    node.inside.remove(&path);
    let missing = if gone { format!("disk image '{path}' does not exist\n") } else { String::new() };
    Ok(Reply::ok(format!("{missing}Removed volume '{volid}'\n")))
}

/// One volume of a storage.
pub(super) struct Volume {
    pub volid: String,
    pub format: String,
    pub content: &'static str,
    pub size: u64,
    pub vmid: Option<u32>,
    /// Path of an archive.
    pub path: Option<String>,
    pub made: Stamp,
}

impl Node {
    /// The path of `local:backup/NAME` and its like.
    pub fn path_of(&self, volid: &str) -> Option<String> {
        let (store, name) = volid.split_once(':')?;
        let place = storage::find(store)?;
        match name.split_once('/') {
            Some(("backup", file)) => Some(format!("{}/{file}", place.dump())),
            Some(("vztmpl", file)) => Some(format!("{}/template/cache/{file}", place.path)),
            None if place.path.is_empty() => Some(format!("/dev/pve/{name}")),
            _ => None,
        }
    }

    /// All archives that stand on storages that answer: storage, path, guest, file.
    pub fn archives(&self) -> impl Iterator<Item = (&'static Place, &str, u32, &File)> {
        self.disk.iter().filter_map(|(path, file)| {
            let place = storage::holding(path)?;
            let name = path.strip_prefix(&place.dump())?.strip_prefix('/')?;
            let (_, id, _) = crate::domain::backup::parse_name(name)?;
            Some((place, path.as_str(), id.into(), file))
        })
    }

    /// Everything on a storage, by volume id.
    pub fn volumes(&self, place: &'static Place) -> Vec<Volume> {
        let now = self.now();
        let mut out = Vec::new();
        for (_, path, id, file) in self.archives().filter(|(p, ..)| p.name == place.name) {
            let name = path.rsplit('/').next().unwrap_or("");
            let format = name.split_once('.').map_or("", |(_, ext)| ext).to_owned();
            out.push(Volume {
                volid: format!("{}:backup/{name}", place.name),
                format,
                content: "backup",
                size: file.size(now),
                vmid: Some(id),
                path: Some(path.to_owned()),
                made: file.modified,
            });
        }
        if place.path.is_empty() {
            for (id, guest) in &self.guests {
                for line in guest.conf.values().filter(|v| v.starts_with(&format!("{}:", place.name))) {
                    let volid = line.split(',').next().unwrap_or("").to_owned();
                    let size = super::node::part(line, "size").and_then(crate::domain::conf::size).unwrap_or(0);
                    let content = if guest.qemu { "images" } else { "rootdir" };
                    out.push(Volume { volid, format: "raw".into(), content, size, vmid: Some(*id), path: None, made: self.seed });
                }
            }
        }
        let cache = format!("{}/template/cache/", place.path);
        for (path, file) in self.disk.iter().filter(|(p, _)| !place.path.is_empty() && p.starts_with(&cache)) {
            let name = path.rsplit('/').next().unwrap_or("");
            let format = if name.ends_with("zst") { "tzst" } else { "txz" };
            out.push(Volume {
                volid: format!("{}:vztmpl/{name}", place.name),
                format: format.into(),
                content: "vztmpl",
                size: file.size(now),
                vmid: None,
                path: None,
                made: file.modified,
            });
        }
        out.sort_by(|a, b| a.volid.cmp(&b.volid));
        out
    }
}
