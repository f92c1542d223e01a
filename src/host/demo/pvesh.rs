//! `pvesh get`: the answers of the API as JSON (facts §5.1, §5.6, §8.5).

use serde_json::{Map, Value, json};

use super::node::{Body, File, Guest, NAME, Node, Task};
use super::storage::{self, PLACES, Place};
use super::words::{Opts, Reply};

/// Answers a `pvesh` command. JSON whatever output format is asked for.
pub(super) fn begin(node: &mut Node, args: &[String]) -> Result<Reply, Reply> {
    let (Some(verb), Some(path)) = (args.first(), args.get(1)) else { return Err(Reply::fail(255, "ERROR: no command specified")) };
    if let ("set", ["nodes", _, "storage", name, "content", rest @ ..]) =
        (verb.as_str(), &path.split('/').filter(|p| !p.is_empty()).collect::<Vec<_>>()[..])
    {
        return label(node, name, &rest.join("/"), &args[2..]);
    }
    if let ("create" | "set" | "delete", ["cluster", "backup", rest @ ..]) =
        (verb.as_str(), &path.split('/').filter(|p| !p.is_empty()).collect::<Vec<_>>()[..])
    {
        return super::jobs::change(node, verb, rest.first().copied(), &args[2..]);
    }
    let node = &*node;
    if verb != "get" {
        return Err(Reply::fail(255, format!("the demo host does not play 'pvesh {verb}'")));
    }
    let opts = Opts::read(&args[2..]);
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    let value = match parts[..] {
        ["version"] => json!({"release": "9.1", "repoid": "a8e257e1ab2c0d3e", "version": "9.1.8"}),
        ["cluster", "nextid"] => json!((100..).find(|n| !node.guests.contains_key(n)).unwrap_or(100).to_string()),
        ["cluster", "resources"] => resources(node, &opts),
        ["nodes"] => json!([of_node(node)]),
        ["nodes", name, ..] if name != NAME && name != "localhost" => {
            return Err(Reply::fail(
                11,
                format!("hostname lookup '{name}' failed - failed to get address info for: {name}: Temporary failure in name resolution"),
            ));
        }
        ["nodes", _, ref rest @ ..] => return below(node, rest, &opts, path),
        _ => return Err(no_handler(path)),
    };
    Ok(Reply::ok(format!("{value}\n")))
}

fn no_handler(path: &str) -> Reply {
    Reply::fail(1, format!("No 'get' handler defined for '{path}'"))
}

fn below(node: &Node, rest: &[&str], opts: &Opts, path: &str) -> Result<Reply, Reply> {
    let json = |v: Value| Ok(Reply::ok(format!("{v}\n")));
    match *rest {
        ["lxc"] => json(guests(node, false)),
        ["qemu"] => json(guests(node, true)),
        ["lxc", id, "config" | "status"] | ["lxc", id, "status", "current"] => {
            let id = id.parse().unwrap_or(0);
            let Some(guest) = node.guests.get(&id).filter(|g| !g.qemu) else {
                return Err(Reply::fail(2, format!("Configuration file 'nodes/{NAME}/lxc/{id}.conf' does not exist")));
            };
            json(if rest[2] == "config" { json!(guest.conf) } else { of_guest(node, id, guest) })
        }
        ["storage"] => {
            Ok(Reply::ok(format!("{}\n", PLACES.iter().map(|p| of_storage(node, p)).collect::<Value>())).with_err(storage::OFFLINE))
        }
        ["storage", name, "status"] => match storage::find(name) {
            Some(place) => json(of_storage(node, place)),
            None => Err(Reply::fail(255, format!("storage '{name}' does not exist"))),
        },
        ["storage", name, "content"] => content(node, name, opts),
        ["storage", name, "content", ref volid @ ..] => one_volume(node, name, &volid.join("/")),
        ["tasks"] => json(tasks(node, opts)),
        ["tasks", upid, what] => {
            let usage = "pvesh get <api_path> [OPTIONS] [FORMAT_OPTIONS]";
            let task = node.task(upid).ok_or_else(|| Reply { status: 2, ..Reply::param("upid: no such task", usage) })?;
            match what {
                "status" => json(of_task(task, true)),
                "log" => json(task.log.iter().enumerate().map(|(n, t)| json!({"n": n + 1, "t": t})).collect()),
                _ => Err(no_handler(path)),
            }
        }
        _ => Err(no_handler(path)),
    }
}

fn of_guest(node: &Node, id: u32, guest: &Guest) -> Value {
    let runs = |n: u64| if guest.init.is_some() { n } else { 0 };
    let up = guest.init.map_or(0, |i| (node.now().secs() - i.since.secs()).max(0));
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    for key in ["cpu", "diskread", "diskwrite", "netin", "netout", "swap"] {
        put(key, json!(0));
    }
    put("cpus", json!(guest.get("cores").and_then(|c| c.parse::<u32>().ok()).unwrap_or(1)));
    put("disk", json!(runs(guest.used)));
    put("maxdisk", json!(guest.disk()));
    put("maxmem", json!(guest.memory()));
    put("mem", json!(runs(guest.mem)));
    put("name", json!(guest.name(id)));
    put("status", json!(super::pct::word(guest)));
    put("type", json!(if guest.qemu { "qemu" } else { "lxc" }));
    put("uptime", json!(up));
    put("vmid", json!(id));
    if let Some(init) = guest.init {
        put("pid", json!(init.pid));
    }
    for key in ["lock", "tags"] {
        if let Some(value) = guest.get(key) {
            put(key, json!(value));
        }
    }
    if guest.get("template") == Some("1") {
        put("template", json!(1));
    }
    Value::Object(out)
}

fn guests(node: &Node, qemu: bool) -> Value {
    node.guests.iter().filter(|(_, g)| g.qemu == qemu).map(|(id, g)| of_guest(node, *id, g)).collect()
}

fn of_node(node: &Node) -> Value {
    let (total, used) = storage::ROOT;
    json!({"cpu": 0.06, "disk": used, "id": format!("node/{NAME}"), "level": "", "maxcpu": 8, "maxdisk": total, "maxmem": 33_285_996_544u64,
        "mem": 13_980_000_000u64, "node": NAME, "status": "online", "type": "node", "uptime": node.uptime_s(node.now()) as u64})
}

fn resources(node: &Node, opts: &Opts) -> Value {
    let kind = opts.get("type");
    let wanted = |k: &str| kind.is_none_or(|t| t == k);
    let mut all = Vec::new();
    if wanted("vm") {
        for (id, guest) in &node.guests {
            let mut row = of_guest(node, *id, guest);
            row["id"] = json!(format!("{}/{id}", if guest.qemu { "qemu" } else { "lxc" }));
            row["node"] = json!(NAME);
            row["maxcpu"] = row["cpus"].take();
            row["template"] = json!(i32::from(guest.get("template") == Some("1")));
            all.push(row);
        }
    }
    if wanted("node") {
        all.push(of_node(node));
    }
    if wanted("storage") {
        for p in &PLACES {
            let s = node.space(p);
            let status = if p.active() { "available" } else { "unknown" };
            all.push(
                json!({"content": p.content, "disk": s.used, "id": format!("storage/{NAME}/{}", p.name), "maxdisk": s.total, "node": NAME,
                "plugintype": p.kind, "shared": i32::from(p.kind == "nfs"), "status": status, "storage": p.name, "type": "storage"}),
            );
        }
    }
    Value::Array(all)
}

fn of_storage(node: &Node, p: &Place) -> Value {
    let s = node.space(p);
    let mut row = json!({"active": i32::from(p.active()), "avail": s.avail, "content": p.content, "enabled": 1, "shared": i32::from(p.kind == "nfs"),
        "storage": p.name, "total": s.total, "type": p.kind, "used": s.used});
    if s.total > 0 {
        row["used_fraction"] = json!(s.used as f64 / s.total as f64);
    }
    row
}

fn content(node: &Node, name: &str, opts: &Opts) -> Result<Reply, Reply> {
    let place = storage::find(name).ok_or_else(|| Reply::fail(255, format!("storage '{name}' does not exist")))?;
    if !place.active() {
        return Err(Reply::fail(255, storage::OFFLINE));
    }
    let wanted = |v: &super::pvesm::Volume| {
        opts.get("content").is_none_or(|c| c == v.content) && opts.get("vmid").is_none_or(|id| v.vmid.is_some_and(|n| n.to_string() == id))
    };
    let row = |v: super::pvesm::Volume| {
        let mut row = json!({"content": v.content, "ctime": v.made.secs(), "format": v.format, "size": v.size, "volid": v.volid});
        if let Some(id) = v.vmid {
            row["vmid"] = json!(id);
        }
        if let Some(path) = v.path {
            row["subtype"] = json!(if path.contains("vzdump-qemu-") { "qemu" } else { "lxc" });
            if let Some(super::node::Body::Text(notes)) = node.disk.get(&format!("{path}.notes")).map(|f| &f.body) {
                row["notes"] = json!(notes.lines().next().unwrap_or(""));
            }
            if node.disk.contains_key(&format!("{path}.protected")) {
                row["protected"] = json!(1);
            }
        }
        row
    };
    let rows: Value = node.volumes(place).into_iter().filter(|v| wanted(v)).map(row).collect();
    Ok(Reply::ok(format!("{rows}\n")))
}

/// An archive with all of its notes.
fn one_volume(node: &Node, name: &str, volid: &str) -> Result<Reply, Reply> {
    let (path, v) = archive(node, name, volid)?;
    let notes = match node.disk.get(&format!("{path}.notes")).map(|f| &f.body) {
        Some(Body::Text(text)) => text.as_str(),
        _ => "",
    };
    let protected = u8::from(node.disk.contains_key(&format!("{path}.protected")));
    let row = json!({"format": v.format, "notes": notes, "path": path, "protected": protected, "size": v.size, "used": v.size});
    Ok(Reply::ok(format!("{row}\n")))
}

fn archive(node: &Node, name: &str, volid: &str) -> Result<(String, super::pvesm::Volume), Reply> {
    let place = storage::find(name).ok_or_else(|| Reply::fail(255, format!("storage '{name}' does not exist")))?;
    let found = node.volumes(place).into_iter().find(|v| v.volid == volid);
    found.and_then(|v| Some((v.path.clone()?, v))).ok_or_else(|| Reply::fail(255, format!("volume_size_info on '{volid}' failed")))
}

/// `pvesh set …/content/VOLID`: says nothing.
fn label(node: &mut Node, name: &str, volid: &str, words: &[String]) -> Result<Reply, Reply> {
    let (path, _) = archive(node, name, volid)?;
    let modified = node.now();
    for pair in words.chunks(2) {
        let [key, value] = pair else { return Err(Reply::fail(255, "400 not enough arguments")) };
        let (end, body) = match key.as_str() {
            "--notes" => ("notes", value.clone()),
            "--protected" => ("protected", String::new()),
            _ => return Err(Reply::fail(255, format!("Unknown option: {}", key.trim_start_matches('-')))),
        };
        if (end == "notes" && value.is_empty()) || (end == "protected" && value == "0") {
            node.disk.remove(&format!("{path}.{end}"));
        } else {
            node.disk.insert(format!("{path}.{end}"), File { body: Body::Text(body), modified });
        }
    }
    Ok(Reply::ok(""))
}

fn of_task(task: &Task, status: bool) -> Value {
    let start = u64::from_str_radix(task.upid.split(':').nth(3).unwrap_or(""), 16).unwrap_or(0);
    let mut row = json!({"id": task.id, "node": NAME, "pid": task.pid, "pstart": start, "starttime": task.started.secs(), "type": task.kind, "upid": task.upid, "user": "root@pam"});
    match (&task.ended, status) {
        (None, true) => row["status"] = json!("running"),
        (None, false) => {}
        (Some((_, end)), true) => {
            row["status"] = json!("stopped");
            row["exitstatus"] = json!(end);
        }
        (Some((at, end)), false) => {
            row["endtime"] = json!(at.secs());
            row["status"] = json!(end);
        }
    }
    row
}

/// Newest first. Without `--source` only what has ended, as the API does.
fn tasks(node: &Node, opts: &Opts) -> Value {
    let fits = |t: &&Task| {
        let source = match opts.get("source") {
            Some("active") => t.ended.is_none(),
            Some("all") => true,
            _ => t.ended.is_some(),
        };
        source && opts.get("vmid").is_none_or(|id| id == t.id)
    };
    let limit = opts.get("limit").and_then(|l| l.parse().ok()).unwrap_or(50);
    node.tasks.iter().rev().filter(fits).take(limit).map(|t| of_task(t, false)).collect()
}
