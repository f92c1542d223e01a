//! Asks everything about a host in as few questions as possible, from files before slow tools.
//!
//! Whether a container runs is read where Proxmox itself reads it: `/proc/net/unix` lists the command socket of
//! each running one (PVE::LXC::list_active_containers). `pct` and `pvesh` need half a second a call and are
//! only asked when `/etc/pve` does not answer.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::truth::{self, Truth};
use super::{archives, schedules};
use crate::domain::conf::parse_lxc;
use crate::domain::guest::{Guest, Kind, Power, Vmid};
use crate::domain::pve;
use crate::domain::stamp::Stamp;
use crate::domain::storage::{Storage, parse_cfg};
use crate::domain::task::{TaskSeen, parse_active};
use crate::domain::world::{Bridge, From, Gap, News, Node, Part, Quorum};
use crate::host::{Found, Host, HostError, Look, bytes_of, text_of};

type Answer = Result<Found, HostError>;

/// The questions of the first round, in the order in which they are read below.
fn questions() -> Vec<Look> {
    let file = |p: &str, most: usize| Look::File(p.into(), most);
    vec![
        Look::Glob("/etc/pve/nodes/*/lxc/*.conf".into(), 1 << 20),
        Look::Glob("/etc/pve/nodes/*/qemu-server/*.conf".into(), 1 << 20),
        file("/etc/pve/storage.cfg", 1 << 20),
        file("/etc/pve/.members", 1 << 20),
        Look::Stat("/etc/pve/local".into()),
        file("/proc/net/unix", 16 << 20),
        file("/proc/loadavg", 4096),
        file("/proc/meminfo", 1 << 16),
        file("/proc/stat", 1 << 20),
        file("/proc/uptime", 4096),
        file("/proc/sys/kernel/random/boot_id", 4096),
        file("/proc/sys/kernel/hostname", 4096),
        Look::Glob("/sys/fs/cgroup/lxc/*/memory.current".into(), 64),
        Look::Glob("/sys/fs/cgroup/memory/lxc/*/memory.usage_in_bytes".into(), 64),
        Look::Glob("/sys/fs/cgroup/lxc/*/cpu.stat".into(), 4096),
        Look::Glob("/sys/class/net/*/bridge/bridge_id".into(), 64),
        Look::Glob("/sys/class/net/*/operstate".into(), 64),
        Look::Tail("/var/log/pve/tasks/active".into(), 1 << 20),
        file("/proc/self/mounts", 4 << 20),
        Look::Space("/".into()),
        file("/usr/share/perl5/PVE/pvecfg.pm", 1 << 16),
    ]
    .into_iter()
    .chain(schedules::questions())
    .collect()
}

/// All parts but the jobs. Takes two or three rounds of looks, and the slow tools only where files say nothing.
pub async fn refresh(host: &dyn Host) -> News {
    let (now, _) = host.clock();
    let found = host.look(questions()).await;
    let mut at = found.into_iter();
    let mut next = || at.next().unwrap_or_else(|| Err(HostError::Io { what: "look".into(), why: "no answer".into() }));
    let (lxc, qemu, storage_cfg, members, local, unix) = (next(), next(), next(), next(), next(), next());
    let node = Proc { load: next(), mem: next(), stat: next(), uptime: next(), boot: next(), hostname: next() };
    let memory = [next(), next()];
    let cpu = next();
    let (bridges, states, active, mounts, root, pvecfg) = (next(), next(), next(), next(), next(), next());
    let clock = schedules::Answers::of(&mut next);

    let mut news = News { node: Some(node.part(now, &root, &pvecfg)), ..News::default() };
    let me = news.node.as_ref().and_then(|n| n.get()).map(|n| n.name.clone());
    news.quorum = Some(quorum(&local, &members, now));
    news.network = Some(network(&bridges, &states, now));
    let boot = news.node.as_ref().and_then(|n| n.get()).and_then(|n| n.boot_id.clone());
    news.tasks = Some(tasks(host, &active, boot.as_deref(), now).await);
    let files = Files { lxc: &lxc, qemu: &qemu, unix: &unix, memory: &memory, cpu: &cpu };
    news.guests = Some(match files.guests(me.as_deref(), now) {
        Ok(part) => part,
        Err(why) => slow_guests(host, me.as_deref(), why, &unix, now).await,
    });
    news.schedules = Some(schedules::read(host, &clock, &storage_cfg, now).await);
    let storages = storages(host, &storage_cfg, &mounts, me.as_deref(), now).await;
    news.archives = Some(archives::list(host, &storages, now).await);
    news.storages = Some(storages);
    news
}

struct Proc {
    load: Answer,
    mem: Answer,
    stat: Answer,
    uptime: Answer,
    boot: Answer,
    hostname: Answer,
}

impl Proc {
    fn part(&self, now: Stamp, root: &Answer, pvecfg: &Answer) -> Part<Node> {
        let name = match text_of(&self.hostname) {
            Ok(name) => name.trim().to_owned(),
            Err(e) => return Part::unknown(e.to_string(), now),
        };
        let mem = text_of(&self.mem).ok();
        let field = |name: &str| mem.as_deref().and_then(|m| meminfo(m, name));
        let node = Node {
            name,
            version: text_of(pvecfg).ok().and_then(|t| version(&t)),
            load: text_of(&self.load).ok().and_then(|t| load(&t)),
            cpus: text_of(&self.stat).ok().map(|t| t.lines().filter(|l| l.starts_with("cpu") && !l.starts_with("cpu ")).count() as u32),
            cpu_ticks: text_of(&self.stat).ok().and_then(|t| cpu_ticks(&t)),
            mem: field("MemTotal").zip(field("MemAvailable")).map(|(t, a)| (t.saturating_sub(a), t)),
            swap: field("SwapTotal").zip(field("SwapFree")).map(|(t, f)| (t.saturating_sub(f), t)),
            root: match root {
                Ok(Found::Space(s)) => Some((s.total.saturating_sub(s.avail), s.total)),
                _ => None,
            },
            uptime_s: text_of(&self.uptime).ok().and_then(|t| t.split('.').next()?.parse().ok()),
            boot_id: text_of(&self.boot).ok().map(|t| t.trim().to_owned()),
        };
        let mut gaps = Vec::new();
        let mut gap = |lacks: bool, what: &str, from: &Answer| {
            if lacks {
                let why = from.as_ref().err().map_or("it could not be read".into(), ToString::to_string);
                gaps.push(Gap { what: what.into(), why });
            }
        };
        gap(node.load.is_none(), "load", &self.load);
        gap(node.mem.is_none(), "memory", &self.mem);
        gap(node.root.is_none(), "root file system", root);
        Part::new(node, now, From::Files).with_gaps(gaps)
    }
}

/// A field of `/proc/meminfo` in bytes.
fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn load(text: &str) -> Option<[f32; 3]> {
    let mut words = text.split(' ').map(|w| w.parse().ok());
    Some([words.next()??, words.next()??, words.next()??])
}

/// Busy and total of the first line of `/proc/stat`; guest time is part of user time already (proc(5)).
fn cpu_ticks(text: &str) -> Option<(u64, u64)> {
    let numbers: Vec<u64> =
        text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8).map(|n| n.parse().ok()).collect::<Option<_>>()?;
    let total: u64 = numbers.iter().sum();
    Some((total - numbers.get(3)? - numbers.get(4)?, total))
}

/// Proxmox's version in the file its own tools read it from: `'version' => '9.1.8'`.
fn version(pvecfg: &str) -> Option<String> {
    let text = pvecfg.split_once("sub version_info")?.1;
    let value = text.split_once("'version' =>")?.1.split('\'').nth(1)?;
    let plain = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b".~-+".contains(&b));
    plain.then(|| value.to_owned())
}

fn quorum(local: &Answer, members: &Answer, now: Stamp) -> Part<Quorum> {
    match local {
        // Proxmox's own test: the owner's write bit of /etc/pve/local (facts §9.1).
        Ok(Found::Stat(s)) if s.mode & 0o200 == 0 => Part::new(Quorum::NoQuorum, now, From::Files),
        Ok(Found::Stat(_)) => {
            #[derive(Deserialize)]
            struct Members {
                #[serde(default)]
                nodelist: BTreeMap<String, serde::de::IgnoredAny>,
            }
            let nodes = bytes_of(members)
                .ok()
                .and_then(|b| serde_json::from_slice::<Members>(b).ok())
                .map_or(1, |m| m.nodelist.len().max(1) as u32);
            Part::new(Quorum::Quorate { nodes }, now, From::Files)
        }
        Ok(_) => Part::unknown("another kind of answer than asked for", now),
        Err(HostError::Missing { .. }) => {
            Part::unknown("/etc/pve/local is not there: pve-cluster does not run, or this is no Proxmox host", now)
        }
        Err(e) => Part::unknown(e.to_string(), now),
    }
}

fn network(bridges: &Answer, states: &Answer, now: Stamp) -> Part<Vec<Bridge>> {
    let (Ok(Found::Files(bridges)), Ok(Found::Files(states))) = (bridges, states) else {
        let e = bridges.as_ref().err().or(states.as_ref().err());
        return Part::unknown(e.map_or("another kind of answer".into(), ToString::to_string), now);
    };
    let name = |path: &str| path.split('/').nth(4).unwrap_or("").to_owned();
    let state = |of: &str| {
        let bytes = states.iter().find(|(p, _)| name(p) == of).and_then(|(_, b)| b.as_ref().ok());
        bytes.map_or("unknown".into(), |b| String::from_utf8_lossy(b).trim().to_owned())
    };
    let bridges = bridges.iter().map(|(p, _)| name(p)).map(|name| Bridge { operstate: state(&name), name }).collect();
    Part::new(bridges, now, From::Files)
}

/// The list is only put right when the next task begins: one that was killed, or was cut off with the power, stands in
/// it as if it ran.
async fn tasks(host: &dyn Host, active: &Answer, boot: Option<&str>, now: Stamp) -> Part<Vec<TaskSeen>> {
    let mut tasks = match text_of(active) {
        Ok(text) => parse_active(&text),
        Err(e) => return Part::unknown(e.to_string(), now),
    };
    if let Some(boot) = boot {
        for task in tasks.iter_mut().filter(|t| t.end.is_none()) {
            if let Truth::Ended(end) = truth::of_task(host, &task.upid, boot).await {
                task.end = Some(end);
            }
        }
    }
    tasks.sort_by_key(|t| std::cmp::Reverse(t.upid.started));
    Part::new(tasks, now, From::Files)
}

/// Ids of running containers from `/proc/net/unix`; `None` where it cannot be read.
fn running(unix: &Answer) -> Result<BTreeSet<Vmid>, HostError> {
    let text = text_of(unix)?;
    let id = |line: &str| line.split_once("@/var/lib/lxc/")?.1.strip_suffix("/command")?.parse().ok();
    Ok(text.lines().filter_map(id).collect())
}

struct Files<'a> {
    lxc: &'a Answer,
    qemu: &'a Answer,
    unix: &'a Answer,
    memory: &'a [Answer; 2],
    cpu: &'a Answer,
}

impl Files<'_> {
    /// Guests from `/etc/pve`, or why that says nothing.
    fn guests(&self, me: Option<&str>, now: Stamp) -> Result<Part<Vec<Guest>>, String> {
        let confs = match self.lxc {
            Ok(Found::Files(files)) => files,
            Err(HostError::Missing { .. }) => return Err("/etc/pve is empty: pve-cluster does not run, or this is no Proxmox host".into()),
            Err(e) => return Err(e.to_string()),
            Ok(_) => return Err("another kind of answer than asked for".into()),
        };
        let running = running(self.unix);
        let (memory, cpu) = (self.memory(), self.cpu());
        let mut gaps = Vec::new();
        let mut guests: Vec<Guest> = Vec::with_capacity(confs.len());
        for (path, text) in confs {
            let Some((node, id)) = node_and_id(path) else { continue };
            let mut guest = match text {
                Ok(bytes) => parse_lxc(id, &String::from_utf8_lossy(bytes)),
                Err(e) => {
                    gaps.push(Gap { what: format!("guest {id}"), why: e.to_string() });
                    Guest::bare(id, Kind::Lxc)
                }
            };
            let here = me == Some(node);
            guest.power = match &running {
                Ok(ids) if here => {
                    if ids.contains(&id) {
                        Power::Running
                    } else {
                        Power::Stopped
                    }
                }
                _ => Power::Unknown,
            };
            if here && guest.power == Power::Running {
                guest.mem = memory.get(&id).copied();
                guest.cpu_usec = cpu.get(&id).copied();
            }
            guest.node = Some(node.to_owned());
            guests.push(guest);
        }
        if let Err(e) = &running {
            gaps.push(Gap { what: "which guests run".into(), why: e.to_string() });
        }
        guests.extend(self.machines());
        guests.sort_by_key(|g| g.id);
        Ok(Part::new(guests, now, From::Files).with_gaps(gaps))
    }

    fn machines(&self) -> Vec<Guest> {
        let Ok(Found::Files(files)) = self.qemu else { return Vec::new() };
        let one = |(path, text): &(String, Result<Vec<u8>, HostError>)| {
            let (node, id) = node_and_id(path)?;
            let conf = text.as_ref().map(|b| parse_lxc(id, &String::from_utf8_lossy(b)));
            let mut guest = Guest::bare(id, Kind::Qemu);
            if let Ok(conf) = conf {
                (guest.name, guest.lock, guest.mem_max, guest.onboot) = (conf.name, conf.lock, conf.mem_max, conf.onboot);
                (guest.tags, guest.template, guest.conf_read) = (conf.tags, conf.template, true);
            }
            guest.node = Some(node.to_owned());
            Some(guest)
        };
        files.iter().filter_map(one).collect()
    }

    /// Bytes in use by id, from cgroup v2 or v1, whichever answered.
    fn memory(&self) -> BTreeMap<Vmid, u64> {
        let files = self.memory.iter().filter_map(|a| match a {
            Ok(Found::Files(f)) => Some(f),
            _ => None,
        });
        let number = |(path, bytes): &(String, Result<Vec<u8>, HostError>)| {
            let id = path.rsplit('/').nth(1)?.parse().ok()?;
            Some((id, String::from_utf8_lossy(bytes.as_ref().ok()?).trim().parse().ok()?))
        };
        files.flatten().filter_map(number).collect()
    }

    fn cpu(&self) -> BTreeMap<Vmid, u64> {
        let Ok(Found::Files(files)) = self.cpu else { return BTreeMap::new() };
        let usage = |(path, bytes): &(String, Result<Vec<u8>, HostError>)| {
            let id = path.rsplit('/').nth(1)?.parse().ok()?;
            let text = String::from_utf8_lossy(bytes.as_ref().ok()?);
            Some((id, text.lines().find_map(|l| l.strip_prefix("usage_usec "))?.trim().parse().ok()?))
        };
        files.iter().filter_map(usage).collect()
    }
}

/// `/etc/pve/nodes/NODE/lxc/ID.conf`.
fn node_and_id(path: &str) -> Option<(&str, Vmid)> {
    let mut parts = path.rsplit('/');
    let id = parts.next()?.strip_suffix(".conf")?.parse().ok()?;
    let _kind = parts.next()?;
    Some((parts.next()?, id))
}

/// Guests from the tools when `/etc/pve` said nothing: first pvesh, then pct, then at least those that run. The tools
/// read `/etc/pve` too, so a tool that lists no guest now has told nothing.
async fn slow_guests(host: &dyn Host, me: Option<&str>, why: String, unix: &Answer, now: Stamp) -> Part<Vec<Guest>> {
    let gap = |what: &str, why: String| vec![Gap { what: what.into(), why }];
    if let Some(node) = me {
        let asked = host.run(pve::pvesh_get(&format!("/nodes/{node}/lxc"), &[]).limit(20)).await;
        let parsed = asked.and_then(|out| out.success().map(|t| t.out.to_vec())).map(|json| parse_pvesh(&json));
        if let Ok(Ok(mut guests)) = parsed
            && !guests.is_empty()
        {
            guests.iter_mut().for_each(|g| g.node = Some(node.to_owned()));
            return Part::new(guests, now, From::Pvesh).with_gaps(gap("configurations of guests", why));
        }
    }
    let listed = host.run(crate::domain::cmd::Cmd::new("pct", ["list"]).limit(20)).await;
    let listed = listed.and_then(|out| out.success().map(|t| parse_pct_list(&String::from_utf8_lossy(t.out))));
    if let Ok(guests) = &listed
        && !guests.is_empty()
    {
        return Part::new(guests.clone(), now, From::Pct).with_gaps(gap("configurations of guests", why));
    }
    match running(unix) {
        Ok(ids) if !ids.is_empty() => {
            let guests = ids.into_iter().map(|id| Guest { power: Power::Running, ..Guest::bare(id, Kind::Lxc) }).collect();
            Part::new(guests, now, From::Kernel).with_gaps(gap("all guests that do not run, and all configurations", why))
        }
        _ => Part::unknown(listed.err().map_or_else(|| why.clone(), |e| format!("{why}; {e}")), now),
    }
}

/// `pvesh get /nodes/N/lxc`, leniently: numbers may be texts, fields may be missing or null (facts §8.5).
fn parse_pvesh(json: &[u8]) -> Result<Vec<Guest>, serde_json::Error> {
    let rows: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_slice(json)?;
    let number = |v: &serde_json::Value| v.as_u64().or_else(|| v.as_f64().map(|f| f as u64)).or_else(|| v.as_str()?.parse().ok());
    let one = |row: &BTreeMap<String, serde_json::Value>| {
        let num = |k: &str| row.get(k).and_then(number);
        let text = |k: &str| row.get(k).and_then(|v| v.as_str()).filter(|t| !t.is_empty()).map(str::to_owned);
        let id = Vmid::try_from(u32::try_from(num("vmid")?).ok()?).ok()?;
        let power = match row.get("status").and_then(|v| v.as_str()) {
            Some("running") => Power::Running,
            Some("stopped") => Power::Stopped,
            _ => Power::Unknown,
        };
        let runs = |n: Option<u64>| n.filter(|_| power == Power::Running);
        let disk = num("disk").zip(num("maxdisk")).filter(|_| power == Power::Running);
        Some(Guest {
            power,
            name: text("name"),
            lock: text("lock"),
            mem: runs(num("mem")),
            mem_max: num("maxmem"),
            uptime_s: runs(num("uptime")),
            disk,
            ..Guest::bare(id, Kind::Lxc)
        })
    };
    let mut guests: Vec<Guest> = rows.iter().filter_map(one).collect();
    guests.sort_by_key(|g| g.id);
    Ok(guests)
}

/// `pct list`, the last resort: three words mean no lock, four a lock (facts §2.1).
fn parse_pct_list(text: &str) -> Vec<Guest> {
    let one = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let id = words.first()?.parse().ok()?;
        let power = match *words.get(1)? {
            "running" => Power::Running,
            "stopped" => Power::Stopped,
            _ => Power::Unknown,
        };
        let lock = (words.len() > 3).then(|| words[2].to_owned());
        let name = words.last().filter(|_| words.len() > 2).map(|n| (*n).to_owned());
        Some(Guest { power, lock, name, ..Guest::bare(id, Kind::Lxc) })
    };
    text.lines().skip(1).filter_map(one).collect()
}

/// Storages by storage.cfg; space of those with a path from the file system, of the rest from pvesm.
async fn storages(host: &dyn Host, cfg: &Answer, mounts: &Answer, me: Option<&str>, now: Stamp) -> Part<Vec<Storage>> {
    let text = match text_of(cfg) {
        Ok(text) => text,
        Err(HostError::Missing { .. }) => {
            return Part::unknown("/etc/pve/storage.cfg is not there: pve-cluster does not run, or this is no Proxmox host", now);
        }
        Err(e) => return Part::unknown(e.to_string(), now),
    };
    let (mut storages, odd) = parse_cfg(&text);
    let gaps = odd.into_iter().map(|l| Gap { what: "storage.cfg".into(), why: format!("line not understood: {l}") }).collect();
    let mounted: Option<BTreeSet<String>> =
        text_of(mounts).ok().map(|m| m.lines().filter_map(|l| l.split(' ').nth(1)).map(unescape).collect());
    let (mut looks, mut looked_at, mut asked_of_pvesm) = (Vec::new(), Vec::new(), Vec::new());
    for (at, s) in storages.iter_mut().enumerate() {
        let elsewhere = !s.nodes.is_empty() && me.is_some_and(|me| !s.nodes.iter().any(|n| n == me));
        s.space = Err(match (&s.path, &mounted) {
            _ if s.disabled => "disabled".into(),
            _ if elsewhere => "not for this node".into(),
            (None, _) => {
                asked_of_pvesm.push(at);
                continue;
            }
            (Some(p), Some(m)) if s.must_be_mounted && !m.contains(p.trim_end_matches('/')) => format!("not mounted at {p}"),
            (Some(p), None) if s.must_be_mounted => format!("whether {p} is mounted could not be read"),
            (Some(p), _) => {
                looks.push(Look::Space(p.clone()));
                looked_at.push(at);
                continue;
            }
        });
    }
    let answers = if looks.is_empty() { Vec::new() } else { host.look(looks).await };
    for (at, answer) in looked_at.into_iter().zip(answers) {
        storages[at].space = match answer {
            Ok(Found::Space(space)) => Ok(space),
            Ok(_) => Err("no answer".into()),
            Err(e) => Err(e.to_string()),
        };
    }
    if !asked_of_pvesm.is_empty() {
        ask_pvesm(host, &mut storages, &asked_of_pvesm).await;
    }
    Part::new(storages, now, From::Files).with_gaps(gaps)
}

/// `\040` and its like in /proc/self/mounts (fstab(5)).
pub(super) fn unescape(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// `pvesm status` for storages that are no directory. Columns count from the right: only the name could hold surprises.
async fn ask_pvesm(host: &dyn Host, storages: &mut [Storage], which: &[usize]) {
    let asked = host.run(crate::domain::cmd::Cmd::new("pvesm", ["status"]).limit(20)).await;
    let text = asked.and_then(|out| out.success().map(|t| String::from_utf8_lossy(t.out).into_owned()));
    for at in which {
        let s = &mut storages[*at];
        s.space = match &text {
            Ok(text) => pvesm_row(text, s.id.as_str()),
            Err(e) => Err(e.to_string()),
        };
    }
}

fn pvesm_row(text: &str, id: &str) -> Result<crate::domain::storage::Space, String> {
    let row: Vec<&str> =
        text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()).find(|w| w.first() == Some(&id)).ok_or("pvesm does not list it")?;
    let kib = |i: usize| row.get(i).and_then(|w| w.parse::<u64>().ok()).and_then(|n| n.checked_mul(1024));
    match (row.get(2), kib(3), kib(4), kib(5)) {
        (Some(&"active"), Some(total), Some(used), Some(avail)) => Ok(crate::domain::storage::Space { total, used, avail }),
        (Some(state), ..) => Err((*state).to_owned()),
        _ => Err("pvesm's line could not be read".into()),
    }
}
