//! `pvesh`: the paths of the API that the program reads, and the few it posts to. JSON only, keys sorted.

use crate::args::{Given, Kind};
use crate::conf::{self, Conf};
use crate::fail::{Outcome, die, die_rc, say, warn};
use crate::pvesm;
use crate::storage::{self, Storage};
use crate::{backups, guest, jobs, knobs, pct, run, task, vzdump};
use serde_json::{Map, Value, json};

const FORMAT: [(&str, Kind); 4] = [("output-format", Kind::Text), ("quiet", Kind::Bool), ("noborder", Kind::Bool), ("noproxy", Kind::Bool)];

pub fn main(argv: &[String]) -> Outcome<()> {
    let [method, path, rest @ ..] = argv else {
        return die("ERROR: no command specified\nUSAGE: pvesh <COMMAND> [ARGS] [OPTIONS]");
    };
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    if let ["nodes", node, ..] = parts.as_slice()
        && ![knobs::node().as_str(), "localhost"].contains(node)
    {
        return die_rc(
            11,
            format!("hostname lookup '{node}' failed - failed to get address info for: {node}: Temporary failure in name resolution"),
        );
    }
    let (given, format) = options(method, rest)?;
    let value = match method.as_str() {
        "create" | "set" | "delete" if parts.starts_with(&["cluster", "backup"]) => jobs::change(method, parts.get(2).copied(), &given)?,
        "get" => get(path, &parts, &given)?,
        "create" => post(path, &parts, &given)?,
        "set" => put(path, &parts, &given)?,
        _ => return unknown(method, path),
    };
    print(&value, &format);
    Ok(())
}

/// `--key value` pairs; every path has its own, so unknown ones are passed on.
fn options(method: &str, words: &[String]) -> Outcome<(Given, String)> {
    let mut given = Given::default();
    let mut format = "text".to_owned();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
            return die(format!("400 too many arguments\npvesh {method} <api_path> [OPTIONS] [FORMAT_OPTIONS]"));
        };
        let (name, value) = match name.split_once('=') {
            Some((n, v)) => (n, v.to_owned()),
            None => (name, words.next().cloned().unwrap_or("1".into())),
        };
        if name == "output-format" {
            format = value;
        } else if !FORMAT.iter().any(|(n, _)| *n == name) {
            given.options.push((name.to_owned(), value));
        }
    }
    Ok((given, format))
}

fn unknown<T>(method: &str, path: &str) -> Outcome<T> {
    die_rc(1, format!("No '{method}' handler defined for '{path}'"))
}

fn get(path: &str, parts: &[&str], given: &Given) -> Outcome<Value> {
    Ok(match parts {
        ["version"] | ["nodes", _, "version"] => {
            let (release, version) = knobs::release();
            json!({"release": release, "repoid": knobs::REPOID, "version": version})
        }
        ["nodes"] => json!([node_row()]),
        ["nodes", _, "status"] => node_status(),
        ["nodes", _, "lxc"] => all_guests().iter().map(|c| Value::Object(guest_numbers(c))).collect(),
        ["nodes", _, "lxc", id, "config"] => guest_config(&load(id)?),
        ["nodes", _, "lxc", id, "status", "current"] => {
            let mut row = guest_numbers(&load(id)?);
            row.insert("ha".into(), json!({"managed": 0}));
            row.into()
        }
        ["nodes", _, "lxc", id, "snapshot"] => snapshots(&load(id)?),
        ["cluster", "backup"] => jobs::get(None)?,
        ["cluster", "backup", id] => jobs::get(Some(id))?,
        ["cluster", "resources"] => resources(given.get("type")),
        ["cluster", "status"] => json!([{"id": format!("node/{}", knobs::node()), "ip": address(), "level": "", "local": 1,
            "name": knobs::node(), "nodeid": 0, "online": 1, "type": "node"}]),
        ["cluster", "nextid"] => json!((100..).find(|v| conf::whereabouts(*v).is_none()).unwrap_or(100).to_string()),
        ["nodes", _, "storage"] => {
            noise();
            storage::all().iter().map(|s| storage_row(s, true)).collect()
        }
        ["nodes", _, "storage", id, "status"] => {
            noise();
            storage_row(&storage::usable(id)?, false)
        }
        ["nodes", _, "storage", id, "content"] => content(&storage::usable(id)?, given),
        // No fragments below: a volume id has a slash in it.
        ["nodes", _, "storage", id, "content", volid @ ..] => backups::one(&storage::usable(id)?, &volid.join("/"))?,
        ["nodes", _, "tasks"] => tasks(given),
        ["nodes", _, "tasks", upid, what @ ("status" | "log")] => one_task(upid, what, given)?,
        _ => return unknown("get", path),
    })
}

fn noise() {
    storage::offline_noise().iter().for_each(|l| warn(l));
}

fn load(id: &str) -> Outcome<Conf> {
    match crate::args::bad_vmid(id) {
        Some(reason) => die(format!("400 Parameter verification failed.\nvmid: {reason}\npvesh get <api_path> [OPTIONS] [FORMAT_OPTIONS]")),
        None => conf::load(id.parse().unwrap_or(0)),
    }
}

fn all_guests() -> Vec<Conf> {
    conf::vmids().into_iter().filter_map(|v| conf::load(v).ok()).collect()
}

/// The row of a guest as `/nodes/N/lxc` has it; `pct status --verbose` prints the same.
pub fn guest_numbers(conf: &Conf) -> Map<String, Value> {
    let section = conf.current();
    let live = guest::numbers(conf);
    let mib = |key: &str| section.get(key).and_then(|m| m.parse::<u64>().ok()).unwrap_or(512) << 20;
    let number = |key: &str| section.get(key).and_then(|c| c.parse::<u64>().ok());
    let cpus = number("cores").unwrap_or_else(processors);
    let root = storage::volumes(section).first().map_or(0, storage::Volume::size_bytes);
    let mut row = Map::new();
    let mut put = |key: &str, value: Value| row.insert(key.into(), value);
    for key in ["cpu", "diskread", "diskwrite", "swap"] {
        put(key, json!(0));
    }
    put("cpus", json!(cpus));
    put("disk", json!(live.disk));
    put("maxdisk", json!(if root == 0 { 4 << 30 } else { root }));
    put("maxmem", json!(mib("memory")));
    put("maxswap", json!(mib("swap")));
    put("mem", json!(live.mem));
    put("name", json!(section.hostname(conf.vmid)));
    put("netin", json!(live.netin));
    put("netout", json!(live.netout));
    put("status", json!(guest::state(conf.vmid)));
    put("type", json!("lxc"));
    put("uptime", json!(live.uptime));
    put("vmid", json!(conf.vmid));
    for key in ["lock", "tags"] {
        if let Some(text) = section.get(key) {
            put(key, json!(text));
        }
    }
    if let Some(template) = number("template") {
        put("template", json!(template));
    }
    if let Some(pid) = live.pid {
        put("pid", json!(pid));
        if knobs::is_nine() {
            for what in ["cpu", "io", "memory"] {
                put(&format!("pressure{what}full"), Value::Null);
                put(&format!("pressure{what}some"), Value::Null);
            }
        }
    }
    row
}

fn guest_config(conf: &Conf) -> Value {
    let section = conf.current();
    let mut row = Map::new();
    for (key, value) in &section.keys {
        // What the schema calls an integer or a boolean is a number here.
        let typed = matches!(crate::args::guest_kind(key), Some(Kind::Int(..) | Kind::Bool));
        let number = value.parse::<i64>().ok().filter(|_| typed);
        row.insert(key.clone(), number.map_or_else(|| json!(value), |n| json!(n)));
    }
    row.remove("parent");
    if let Some(text) = section.description_line() {
        row.insert("description".into(), json!(conf::decode(&text)));
    }
    if !section.raw.is_empty() {
        let pairs: Vec<Value> = section.raw.iter().filter_map(|l| l.split_once(':')).map(|(k, v)| json!([k.trim(), v.trim()])).collect();
        row.insert("lxc".into(), pairs.into());
    }
    row.insert("digest".into(), json!(pct::digest(conf.vmid)));
    row.into()
}

fn snapshots(conf: &Conf) -> Value {
    let mut rows: Vec<Value> = Vec::new();
    for s in conf.snapshots() {
        let mut row = Map::new();
        row.insert("name".into(), json!(s.name));
        row.insert("description".into(), json!(conf::decode(&s.description_line().unwrap_or_default())));
        if let Some(time) = s.get("snaptime").and_then(|t| t.parse::<u64>().ok()) {
            row.insert("snaptime".into(), json!(time));
        }
        if let Some(parent) = s.get("parent") {
            row.insert("parent".into(), json!(parent));
        }
        rows.push(row.into());
    }
    let mut row = json!({"name": "current", "description": "You are here!", "digest": pct::digest(conf.vmid),
        "running": u8::from(guest::is_running(conf.vmid))});
    if let Some(parent) = conf.current().get("parent") {
        row["parent"] = json!(parent);
    }
    rows.push(row);
    rows.into()
}

fn processors() -> u64 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u64)
}

fn memory() -> (u64, u64, u64) {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let value = |key: &str| {
        let line = text.lines().find(|l| l.starts_with(key));
        line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) << 10
    };
    (value("MemTotal:"), value("MemAvailable:"), value("MemFree:"))
}

fn uptime() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split('.').next().and_then(|s| s.parse().ok()).unwrap_or(0)
}

fn root_space() -> (u64, u64, u64) {
    Storage { path: "/".into(), ..Storage::default() }.space()
}

fn address() -> String {
    let text = run::text(&["ip", "-4", "-o", "addr", "show", "dev", "vmbr0"]);
    text.split_whitespace().nth(3).and_then(|a| a.split('/').next()).unwrap_or("127.0.0.1").to_owned()
}

fn node_row() -> Value {
    let (total, available, _) = memory();
    let (disk_total, disk_used, _) = root_space();
    json!({"cpu": 0, "disk": disk_used, "id": format!("node/{}", knobs::node()), "level": "", "maxcpu": processors(),
        "maxdisk": disk_total, "maxmem": total, "mem": total - available, "node": knobs::node(), "status": "online",
        "type": "node", "uptime": uptime()})
}

fn node_status() -> Value {
    let (total, available, free) = memory();
    let (disk_total, disk_used, disk_free) = root_space();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let uname = rustix::system::uname();
    let version = uname.version().to_string_lossy().into_owned();
    json!({"boot-info": {"mode": "legacy-bios"}, "cpu": 0,
        "cpuinfo": {"cores": processors(), "cpus": processors(), "sockets": 1, "user_hz": 100, "hvm": ""},
        "current-kernel": {"machine": "x86_64", "release": knobs::kernel(), "sysname": "Linux", "version": version},
        "idle": 0, "ksm": {"shared": 0}, "kversion": format!("Linux {} {version}", knobs::kernel()), "loadavg": load,
        "memory": {"available": available, "free": free, "total": total, "used": total - available},
        "pveversion": format!("pve-manager/{}/{}", knobs::release().1, knobs::REPOID),
        "rootfs": {"avail": disk_free, "free": disk_total - disk_used, "total": disk_total, "used": disk_used},
        "swap": {"free": 0, "total": 0, "used": 0}, "uptime": uptime(), "wait": 0})
}

fn resources(kind: Option<&str>) -> Value {
    let node = knobs::node();
    let mut rows: Vec<Value> = Vec::new();
    if kind.is_none_or(|k| k == "vm") {
        for conf in all_guests() {
            let mut row = guest_numbers(&conf);
            row.retain(|k, _| !k.starts_with("pressure") && !["cpus", "maxswap", "swap", "pid"].contains(&k.as_str()));
            row.insert("id".into(), json!(format!("lxc/{}", conf.vmid)));
            row.insert("node".into(), json!(node));
            row.insert("maxcpu".into(), guest_numbers_cpus(&conf));
            row.entry("template").or_insert(json!(0));
            if knobs::is_nine() {
                row.insert("memhost".into(), json!(0));
            }
            rows.push(row.into());
        }
    }
    if kind.is_none_or(|k| k == "node") {
        let mut row = node_row();
        row["cgroup-mode"] = json!(1);
        rows.push(row);
    }
    if kind.is_none_or(|k| k == "storage") {
        for s in storage::all().iter().filter(|s| !s.disabled) {
            let mut row = json!({"content": s.content.join(","), "id": format!("storage/{node}/{}", s.id), "node": node,
                "plugintype": s.kind, "shared": 0, "status": "unknown", "storage": s.id, "type": "storage"});
            if s.is_online() {
                let (total, used, _) = s.space();
                row["status"] = json!("available");
                row["disk"] = json!(used);
                row["maxdisk"] = json!(total);
            }
            rows.push(row);
        }
    }
    rows.into()
}

fn guest_numbers_cpus(conf: &Conf) -> Value {
    let cores = conf.current().get("cores").and_then(|c| c.parse::<u64>().ok());
    json!(cores.unwrap_or_else(processors))
}

fn storage_row(s: &Storage, in_list: bool) -> Value {
    let online = !s.disabled && s.is_online();
    let (total, used, avail) = if online { s.space() } else { (0, 0, 0) };
    let mut row = json!({"active": u8::from(online), "avail": avail, "content": s.content.join(","),
        "enabled": u8::from(!s.disabled), "shared": 0, "total": total, "type": s.kind, "used": used});
    if in_list {
        row["storage"] = json!(s.id);
        if total > 0 {
            row["used_fraction"] = json!(used as f64 / total as f64);
        }
    }
    row
}

fn content(s: &Storage, given: &Given) -> Value {
    let all = backups::list(s);
    let mut rows: Vec<Value> = Vec::new();
    for item in pvesm::items(s) {
        if given.get("content").is_some_and(|c| c != item.content) || given.get("vmid").is_some_and(|v| item.vmid != v.parse().ok()) {
            continue;
        }
        let modified = std::fs::metadata(&item.path).and_then(|m| m.modified()).ok();
        let ctime = modified.and_then(|m| m.duration_since(std::time::UNIX_EPOCH).ok()).map_or(0, |d| d.as_secs());
        let mut row = json!({"content": item.content, "ctime": ctime, "format": item.format, "size": item.size, "volid": item.volid});
        if let Some(vmid) = item.vmid {
            row["vmid"] = json!(vmid);
        }
        if item.content == "rootdir" {
            row["parent"] = Value::Null;
            row["used"] = json!(storage::used(&item.path));
        }
        if let Some(b) = all.iter().find(|b| b.path == item.path) {
            row["ctime"] = json!(b.ctime);
            row["subtype"] = json!(b.kind);
            if b.protected {
                row["protected"] = json!(1);
            }
            if let Some(notes) = &b.notes {
                row["notes"] = json!(notes.lines().next().unwrap_or(""));
            }
        }
        rows.push(row);
    }
    rows.into()
}

/// The parts of a UPID as the API names them.
fn upid_row(upid: &str) -> Option<Value> {
    let p: Vec<&str> = upid.split(':').collect();
    let [_, node, pid, pstart, start, kind, id, user, ""] = p.as_slice() else { return None };
    let hex = |t: &str| u64::from_str_radix(t, 16).ok();
    Some(json!({"id": id, "node": node, "pid": hex(pid)?, "pstart": hex(pstart)?, "starttime": hex(start)?,
        "type": kind, "upid": upid, "user": user}))
}

fn tasks(given: &Given) -> Value {
    let source = given.get("source").unwrap_or("archive");
    let active = task::active();
    let mut rows: Vec<Value> = Vec::new();
    if source != "archive" {
        for entry in active.iter().filter(|e| e.end.is_none()) {
            if let Some(mut row) = upid_row(&entry.upid) {
                row["status"] = json!("RUNNING");
                row["saved"] = json!("0");
                rows.push(row);
            }
        }
    }
    if source != "active" {
        for (upid, end, status) in task::index().into_iter().rev() {
            if let Some(mut row) = upid_row(&upid) {
                row["endtime"] = json!(end);
                row["status"] = json!(status);
                rows.push(row);
            }
        }
    }
    let failed = |r: &Value| !["OK", "RUNNING"].contains(&r["status"].as_str().unwrap_or(""));
    rows.retain(|r| {
        given.get("vmid").is_none_or(|v| r["id"] == v)
            && given.get("typefilter").is_none_or(|t| r["type"] == t)
            && given.get("since").is_none_or(|s| r["starttime"].as_u64() >= s.parse().ok())
            && given.get("until").is_none_or(|s| r["starttime"].as_u64() <= s.parse().ok())
            && (!given.flag("errors") || failed(r))
    });
    let count = |key: &str, or: usize| given.get(key).and_then(|n| n.parse().ok()).unwrap_or(or);
    rows.into_iter().skip(count("start", 0)).take(count("limit", 50)).collect()
}

fn one_task(upid: &str, what: &str, given: &Given) -> Outcome<Value> {
    let usage = "pvesh get <api_path> [OPTIONS] [FORMAT_OPTIONS]";
    let Some(mut row) = upid_row(upid) else {
        return die(format!("400 Parameter verification failed.\nupid: unable to parse worker upid\n{usage}"));
    };
    let active = task::active();
    let entry = active.iter().find(|e| e.upid == upid);
    let log = task::log_path(upid).and_then(|p| std::fs::read_to_string(p).ok());
    let Some(log) = log else {
        let rc = if knobs::is_nine() { 2 } else { 255 };
        return die_rc(rc, format!("400 Parameter verification failed.\nupid: no such task\n{usage}"));
    };
    if what == "status" {
        if entry.is_some_and(|e| e.end.is_none()) {
            row["status"] = json!("running");
        } else {
            row["status"] = json!("stopped");
            row["exitstatus"] = json!(task::status_from_log(upid));
        }
        return Ok(row);
    }
    let count = |key: &str, or: usize| given.get(key).and_then(|n| n.parse().ok()).unwrap_or(or);
    let limit = match count("limit", 50) {
        0 => usize::MAX,
        n => n,
    };
    let lines = log.lines().enumerate().skip(count("start", 0)).take(limit);
    let mut rows: Vec<Value> = lines.map(|(n, t)| json!({"n": n + 1, "t": t})).collect();
    if log.is_empty() {
        rows.push(json!({"n": 1, "t": "no content"}));
    }
    Ok(rows.into())
}

fn post(path: &str, parts: &[&str], given: &Given) -> Outcome<Value> {
    match parts {
        ["nodes", node, "vzdump"] => {
            let mut given = Given { options: given.options.clone(), ..Given::default() };
            given.options.push(("node".into(), (*node).into()));
            let quiet = given.flag("quiet");
            let (upid, ended) = task::run("vzdump", &vzdump::task_id(&given), quiet, || vzdump::job(&given))?;
            // The UPID comes last and the exit code is 0, whatever became of the job.
            if let Err(failure) = task::finish(ended) {
                warn(&failure.text);
            }
            Ok(json!(upid))
        }
        ["nodes", _, "lxc", id, "status", verb @ ("start" | "stop" | "shutdown" | "reboot")] => power(id, verb, given),
        _ => unknown("create", path),
    }
}

fn put(path: &str, parts: &[&str], given: &Given) -> Outcome<Value> {
    match parts {
        ["nodes", _, "storage", id, "content", volid @ ..] => {
            backups::label(&storage::usable(id)?, &volid.join("/"), given.get("notes"), given.get("protected"))?;
            Ok(Value::Null)
        }
        _ => unknown("set", path),
    }
}

fn power(id: &str, verb: &str, given: &Given) -> Outcome<Value> {
    let conf = load(id)?;
    let vmid = conf.vmid;
    if !task::is_worker() && guest::is_running(vmid) == (verb == "start") {
        let what = if verb == "start" { "already running" } else { "not running" };
        let word = if verb == "reboot" { "VM" } else { "CT" };
        return die(format!("{word} {vmid} {what}"));
    }
    let seconds = given.get("timeout").and_then(|t| t.parse().ok()).unwrap_or(60);
    let (upid, ended) = task::run(&format!("vz{verb}"), id, false, || match verb {
        "start" => guest::start(vmid),
        "stop" => {
            conf.check_lock()?;
            guest::kill(vmid)
        }
        _ => {
            conf.check_lock()?;
            if !guest::shut_down(vmid, seconds)? {
                guest::kill(vmid)?;
            }
            if verb == "reboot" { guest::start(vmid) } else { Ok(()) }
        }
    })?;
    if let Err(failure) = task::finish(ended) {
        warn(&failure.text);
    }
    Ok(json!(upid))
}

fn print(value: &Value, format: &str) {
    match (format, value) {
        (_, Value::Null) => {}
        ("json", _) => say(&line(value)),
        ("json-pretty", _) => say(&pretty(value, 0)),
        (_, Value::String(text)) => say(text),
        // Tables in boxes are for eyes only; nobody may parse them, so JSON stands in.
        _ => say(&pretty(value, 0)),
    }
}

fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_by_key(|(k, _)| k.as_str());
    pairs
}

/// One line with sorted keys, whatever order the map keeps.
fn line(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let pairs: Vec<String> = sorted(map).iter().map(|(k, v)| format!("{}:{}", json!(k), line(v))).collect();
            format!("{{{}}}", pairs.join(","))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(line).collect::<Vec<_>>().join(",")),
        _ => value.to_string(),
    }
}

fn pretty(value: &Value, depth: usize) -> String {
    let (inner, outer) = ("   ".repeat(depth + 1), "   ".repeat(depth));
    match value {
        Value::Object(map) if !map.is_empty() => {
            let rows: Vec<String> = sorted(map).iter().map(|(k, v)| format!("{inner}{} : {}", json!(k), pretty(v, depth + 1))).collect();
            format!("{{\n{}\n{outer}}}", rows.join(",\n"))
        }
        Value::Array(list) if !list.is_empty() => {
            let rows: Vec<String> = list.iter().map(|v| format!("{inner}{}", pretty(v, depth + 1))).collect();
            format!("[\n{}\n{outer}]", rows.join(",\n"))
        }
        _ => line(value),
    }
}
