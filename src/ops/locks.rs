//! Looks for the lock doctor: who has lock files and rests of backups, and what killed jobs left. Asked from files and links of
//! `/proc`, in three rounds; a storage that does not answer is left alone and named. What it means is judged in the domain.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::check::Held;
use super::refresh::unescape;
use super::truth;
use crate::domain::backup::{VzdumpLine, parse_line, partial_of, tmp_of};
use crate::domain::clean::clean;
use crate::domain::cmd::Cmd;
use crate::domain::guest::{Guest, Kind, Power, Vmid};
use crate::domain::job::Job;
use crate::domain::locks::{
    LockFile, Node, OfGuest, Process, Rest, SNAP, Seen, Users, VAR_TMP, VZDUMP_LOCK, VZDUMP_PID, Verdict, config_lock, judge, node_works,
    numbers, others_broken, parse_locks, rest_of_backup, rest_of_tmp, section, waits_in_kernel,
};
use crate::domain::plan::Purpose;
use crate::domain::pve;
use crate::domain::stamp::Stamp;
use crate::domain::storage::Storage;
use crate::domain::task::{TaskSeen, parse_active};
use crate::domain::world::{From, Gap, Part, Quorum, World};
use crate::host::{Found, Host, HostError, Look, text_of};

type Answer = Result<Found, HostError>;

/// What is looked at.
#[derive(Default)]
struct Wanted<'w> {
    /// Guests whose lock files and configurations are looked at.
    guests: BTreeSet<Vmid>,
    /// Those of them that are locked and run: one may be frozen.
    running: BTreeSet<Vmid>,
    /// Storages on which rests of backups are looked for.
    storages: Vec<&'w Storage>,
    /// Our own jobs, which know their archives.
    jobs: &'w [Job],
    /// Other nodes may write to a shared storage.
    alone: bool,
    /// Lock files are tried where nobody is seen to hold them.
    tried: bool,
}

/// All that the lock doctor can see of this node, and of one guest more. `tried`: lock files are taken for a moment, where nobody
/// is seen to hold them: for a plan.
pub async fn look(host: &dyn Host, world: &World, also: Option<Vmid>, tried: bool) -> Part<Seen> {
    let now = host.clock().0;
    let guests = match &world.guests.known {
        Ok(guests) => guests,
        Err(why) => return Part::unknown(format!("the guests are unknown: {why}"), now),
    };
    let jobs = world.jobs.get().map_or(&[][..], Vec::as_slice);
    let here = |g: &&Guest| g.node.as_deref().is_none_or(|n| world.node_name().is_none_or(|me| me == n)) && g.kind == Kind::Lxc;
    let made = |id: Vmid| {
        let plan = |j: &Job| (j.order.plan().guest == id) && matches!(j.order.plan().purpose, Purpose::Drill | Purpose::Unlock);
        jobs.iter().any(plan)
    };
    let looked_at = |g: &&Guest| g.lock.is_some() || g.snapshots.iter().any(|s| s == "vzdump") || made(g.id);
    let wanted = Wanted {
        guests: guests.iter().filter(here).filter(looked_at).map(|g| g.id).chain(also).collect(),
        running: guests.iter().filter(here).filter(|g| g.lock.is_some() && g.power == Power::Running).map(|g| g.id).collect(),
        storages: world.storages.get().into_iter().flatten().filter(|s| s.takes("backup")).collect(),
        jobs,
        alone: matches!(world.quorum.get(), Some(Quorum::Quorate { nodes: 1 })),
        tried,
    };
    let mut seen = gather(host, wanted).await;
    if let Err(why) = &world.storages.known {
        seen.gaps.push(Gap { what: "rests of backups".into(), why: format!("the storages are unknown: {why}") });
    }
    Part::new(seen, now, From::Files)
}

/// Whether nobody works on a guest, by all evidence but our own jobs: who asks is one of them.
pub async fn nobody_works_on(host: &dyn Host, id: Vmid) -> Held {
    let seen = gather(host, Wanted { guests: [id].into(), tried: true, ..Wanted::default() }).await;
    on(&seen, id)
}

fn on(seen: &Seen, id: Vmid) -> Held {
    match judge(seen, id, None).verdict {
        Verdict::Nobody => Held::Yes,
        held @ Verdict::Held { .. } => Held::No(format!("{id} is {}", held.words())),
        Verdict::Unknown { why, .. } => Held::Unknown(format!("who works on {id}: {why}")),
    }
}

/// Whether nobody works on a guest, or, without one, no backup runs on the node; and no process has one of these paths open.
pub async fn unused(host: &dyn Host, vmid: Option<Vmid>, paths: &[String]) -> Held {
    let seen = gather(host, Wanted { guests: vmid.into_iter().collect(), tried: true, ..Wanted::default() }).await;
    let works = match vmid {
        Some(id) => on(&seen, id),
        None => match node_works(&seen) {
            Node::Idle => Held::Yes,
            Node::Works(what) => Held::No(what),
            Node::Unknown(why) => Held::Unknown(why),
        },
    };
    let users = match (&works, &seen.users) {
        (Held::Yes, Ok(users)) => users,
        (Held::Yes, Err(why)) => return Held::Unknown(why.clone()),
        _ => return works,
    };
    let below = |path: &str, root: &String| path.strip_prefix(root.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let user = users.opened.iter().find(|o| paths.iter().any(|p| below(o.path.trim_end_matches(" (deleted)"), p)));
    match user {
        Some(o) => Held::No(format!("process {} has {} open", o.pid, clean(&o.path))),
        None if !users.unread.is_empty() => Held::Unknown(format!("what {} processes have open could not be read", users.unread.len())),
        None => Held::Yes,
    }
}

async fn gather(host: &dyn Host, mut wanted: Wanted<'_>) -> Seen {
    let dirs: Vec<(&Storage, String)> =
        wanted.storages.iter().filter(|s| s.space.is_ok()).filter_map(|s| Some((*s, s.dump_dir()?))).collect();
    let mut looks = vec![
        Look::Glob("/proc/*/stat".into(), 4096),
        Look::File("/proc/stat".into(), 1 << 20),
        Look::Tail("/var/log/pve/tasks/active".into(), 1 << 20),
        Look::File(VZDUMP_PID.into(), 4096),
        Look::File("/proc/locks".into(), 4 << 20),
        Look::File("/proc/self/mounts".into(), 4 << 20),
        Look::Dir(VAR_TMP.into()),
    ];
    looks.extend(dirs.iter().map(|(_, dir)| Look::Dir(dir.clone())));
    let mut found = host.look(looks).await.into_iter();
    let mut next = || found.next().unwrap_or_else(|| Err(HostError::Io { what: "look".into(), why: "no answer".into() }));
    let (stats, stat, active, pid_file, locks, mounts, tmp) = (next(), next(), next(), next(), next(), next(), next());
    let all_mounts = text_of(&mounts).map_err(|e| e.to_string()).map(|text| parse_mounts(&text));
    let mut seen = Seen {
        at: host.clock().0,
        booted_s: text_of(&stat).ok().and_then(|t| t.lines().find_map(|l| l.strip_prefix("btime "))?.trim().parse().ok()),
        processes: processes(&stats),
        tasks: text_of(&active).map(|t| parse_active(&t)).or_else(|e| missing(e, Vec::new())),
        pid_file: upid_of(&pid_file),
        flocks: text_of(&locks).map(|t| parse_locks(&t)).map_err(|e| e.to_string()),
        files: BTreeMap::new(),
        users: Err("not asked".into()),
        guests: BTreeMap::new(),
        mounts: all_mounts.clone().map(|all| all.into_iter().filter(|(_, at)| at == SNAP || at.starts_with(&format!("{SNAP}/"))).collect()),
        rests: Vec::new(),
        gaps: Vec::new(),
    };
    seen.gaps.extend(wanted.storages.iter().filter_map(|s| match &s.space {
        Err(why) if why != "not for this node" => Some(Gap { what: format!("rests of backups on {}", s.id), why: why.clone() }),
        _ => None,
    }));
    let mut rests: Vec<(String, Vmid, Option<&Storage>)> = Vec::new();
    if let Ok(Found::Names(names)) = &tmp {
        rests.extend(names.iter().filter_map(|n| Some((format!("{VAR_TMP}/{n}"), rest_of_tmp(n)?, None))));
    }
    for (storage, dir) in &dirs {
        match next() {
            Ok(Found::Names(names)) => {
                rests.extend(names.iter().filter_map(|n| Some((format!("{dir}/{n}"), rest_of_backup(n)?, Some(*storage)))));
            }
            // The directory is made by the first backup.
            Err(HostError::Missing { .. }) => {}
            Err(e) => seen.gaps.push(Gap { what: format!("rests of backups on {}", storage.id), why: e.to_string() }),
            Ok(_) => {}
        }
    }
    wanted.guests.extend(rests.iter().map(|(_, id, _)| *id));
    around(host, &mut seen, &wanted, &all_mounts).await;
    seen.rests = of_rests(host, &seen, &wanted, rests).await;
    commands(host, &mut seen).await;
    seen
}

fn missing<T>(e: HostError, empty: T) -> Result<T, String> {
    // A node that never had a task has no list of them.
    if matches!(e, HostError::Missing { .. }) { Ok(empty) } else { Err(e.to_string()) }
}

fn processes(stats: &Answer) -> Result<BTreeMap<u32, Process>, String> {
    match stats {
        Ok(Found::Files(files)) => {
            let one = |(path, text): &(String, Result<Vec<u8>, HostError>)| {
                path.split('/').nth(2)?.parse::<u32>().ok()?;
                Process::parse(&String::from_utf8_lossy(text.as_ref().ok()?))
            };
            let all: BTreeMap<u32, Process> = files.iter().filter_map(one).collect();
            if all.is_empty() { Err("no process could be read".into()) } else { Ok(all) }
        }
        Ok(_) => Err("another kind of answer than asked for".into()),
        Err(e) => Err(e.to_string()),
    }
}

fn upid_of(file: &Answer) -> Result<Option<crate::domain::task::Upid>, String> {
    match text_of(file) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => text.trim().parse().map(Some).map_err(|e| format!("{VZDUMP_PID}: {e}")),
        Err(e) => missing(e, None),
    }
}

/// What is mounted, and where.
fn parse_mounts(text: &str) -> Vec<(String, String)> {
    let one = |line: &str| {
        let mut words = line.split(' ');
        Some((unescape(words.next()?), unescape(words.next()?)))
    };
    text.lines().filter_map(one).collect()
}

/// The second round: lock files, who has what open, and the guests.
async fn around(host: &dyn Host, seen: &mut Seen, wanted: &Wanted<'_>, mounts: &Result<Vec<(String, String)>, String>) {
    let paths: Vec<String> = std::iter::once(VZDUMP_LOCK.to_owned()).chain(wanted.guests.iter().map(|id| config_lock(*id))).collect();
    let conf = |id: &Vmid| format!("/etc/pve/lxc/{id}.conf");
    let mut names: Vec<String> = paths.iter().filter_map(|p| p.rsplit('/').next()).map(str::to_owned).collect();
    names.extend(["vzdumptmp*", "vzdump-lxc-*", "vzdump-qemu-*"].map(str::to_owned));
    names.extend(SNAP.rsplit('/').next().map(str::to_owned));
    let mut looks: Vec<Look> = paths.iter().cloned().map(Look::Stat).collect();
    looks.extend(wanted.guests.iter().flat_map(|id| [Look::File(conf(id), 1 << 20), Look::Stat(conf(id))]));
    looks.push(Look::Users(names));
    let mut found = host.look(looks).await.into_iter();
    let mut next = || found.next().unwrap_or_else(|| Err(HostError::Io { what: "look".into(), why: "no answer".into() }));
    for path in &paths {
        let at = match next() {
            Ok(Found::Stat(s)) => Ok(Some((numbers(s.dev), s.inode))),
            Ok(_) => Err("another kind of answer".into()),
            Err(e) => missing(e, None),
        };
        seen.files.insert(path.clone(), LockFile { at, taken: None });
    }
    for id in &wanted.guests {
        let (text, stat) = (next(), next());
        let of = OfGuest {
            written: if let Ok(Found::Stat(s)) = stat { Some(s.modified) } else { None },
            section: text_of(&text).ok().and_then(|t| section(&t, "vzdump")),
            others_broken: text_of(&text).is_ok_and(|t| others_broken(&t, "vzdump")),
            frozen: None,
            mounted: mounts.as_ref().is_ok_and(|all| all.iter().any(|(_, at)| *at == format!("/var/lib/lxc/{id}/rootfs"))),
        };
        seen.guests.insert(*id, of);
    }
    seen.users = match next() {
        Ok(Found::Users(users)) => Ok(users),
        Ok(_) => Err("another kind of answer".into()),
        Err(e) => Err(e.to_string()),
    };
    for id in &wanted.running {
        let asked = host.run(pve::lxc_state(*id)).await.and_then(|out| out.success().map(|t| String::from_utf8_lossy(t.out).into_owned()));
        let frozen = asked.map(|state| state.trim() == "FROZEN").map_err(|e| e.to_string());
        seen.guests.entry(*id).or_default().frozen = Some(frozen);
    }
    if wanted.tried {
        for path in paths {
            let there = seen.files.get(&path).is_some_and(|f| matches!(f.at, Ok(Some(_))));
            let taken = if there { Some(is_taken(host, &path).await) } else { None };
            if let Some(file) = seen.files.get_mut(&path) {
                file.taken = taken;
            }
        }
    }
}

/// Whether a lock file is held, by anybody anywhere on the machine. Nothing is waited for.
async fn is_taken(host: &dyn Host, path: &str) -> Result<bool, String> {
    /// What flock says where the lock is held; its own failures are 1 and 64 to 78 (flock(1)).
    const TAKEN: i32 = 99;
    // flock makes a file that is not there: it was seen, and one that goes meanwhile is only made anew, empty.
    let asked = host.run(Cmd::new("flock", ["-n", "-E", &TAKEN.to_string(), path, "true"]).limit(10)).await;
    match asked.map(|out| out.any().status) {
        Ok(0) => Ok(false),
        Ok(TAKEN) => Ok(true),
        Ok(status) => Err(format!("flock ended with {status}")),
        Err(e) => Err(e.to_string()),
    }
}

/// Sizes of rests, and whether another node may be at them.
async fn of_rests(host: &dyn Host, seen: &Seen, wanted: &Wanted<'_>, rests: Vec<(String, Vmid, Option<&Storage>)>) -> Vec<Rest> {
    let looks = rests.iter().map(|(path, ..)| Look::Stat(path.clone())).collect();
    let mut named: Option<Vec<String>> = None;
    let mut out = Vec::new();
    for ((path, guest, storage), stat) in rests.iter().zip(host.look(looks).await) {
        let mut shared = None;
        let (dir, mut size, modified) = match stat {
            Ok(Found::Stat(s)) => (s.dir, Some(s.size), s.modified),
            // It went meanwhile.
            Err(HostError::Missing { .. }) => continue,
            other => {
                shared = Some(other.err().map_or_else(|| "another kind of answer".to_owned(), |e| e.to_string()));
                (false, None, Stamp::default())
            }
        };
        if dir {
            size = used_by(host, path).await;
        }
        let may_be_shared = storage.filter(|s| s.shared || s.is_network());
        if let Some(storage) = may_be_shared {
            if named.is_none() {
                named = Some(written_here(host, seen, wanted.jobs).await);
            }
            let ours = named.as_ref().is_some_and(|all| all.contains(path));
            let others = if wanted.alone { "another host" } else { "another node" };
            let why = || format!("storage {} is shared: {others} may write it, and no task of this node names it", storage.id);
            shared = shared.or_else(|| (!ours).then(why));
        }
        let storage = storage.map(|s| s.id.clone());
        out.push(Rest { path: path.clone(), guest: *guest, dir, size, modified, storage, shared });
    }
    out
}

/// Bytes below a directory.
async fn used_by(host: &dyn Host, path: &str) -> Option<u64> {
    let cmd = Cmd::new("du", ["--summarize", "--block-size=1", "--one-file-system", "--", path]).limit(10);
    let out = host.run(cmd).await.ok()?;
    String::from_utf8_lossy(out.success().ok()?.out).split_ascii_whitespace().next()?.parse().ok()
}

/// What tasks of this node that are over wrote while they ran, by their own logs, and our own jobs by theirs.
async fn written_here(host: &dyn Host, seen: &Seen, jobs: &[Job]) -> Vec<String> {
    let rests_of = |archive: &str| [partial_of(archive), tmp_of(archive)].into_iter().flatten().collect::<Vec<_>>();
    let mut out: Vec<String> =
        jobs.iter().filter(|j| j.state.is_final()).filter_map(|j| j.life.archive.as_deref()).flat_map(rests_of).collect();
    let over = |t: &&TaskSeen| t.upid.kind == "vzdump" && (t.end.is_some() || seen.lives(&t.upid) == Ok(false));
    let looks = seen.tasks.iter().flatten().filter(over).map(|t| Look::File(t.upid.log_path(), 256 << 10)).collect();
    for log in host.look(looks).await {
        let Ok(text) = text_of(&log) else { continue };
        for line in text.lines() {
            if let Some(VzdumpLine::Archive(path)) = parse_line(line) {
                out.extend(rests_of(&path));
            }
        }
    }
    out
}

/// The third round: whole commands of those who may hold something, and what those wait for that wait in the kernel.
async fn commands(host: &dyn Host, seen: &mut Seen) {
    let held: BTreeSet<u64> = seen.files.values().filter_map(|f| Some(f.at.as_ref().ok()?.as_ref()?.1)).collect();
    let users = seen.users.clone().unwrap_or_else(|_| Users::default());
    let mut pids: BTreeSet<u32> = seen.flocks.iter().flatten().filter(|l| held.contains(&l.inode)).map(|l| l.pid).collect();
    pids.extend(users.opened.iter().map(|o| o.pid));
    pids.extend(seen.tasks.iter().flatten().filter(|t| t.end.is_none() && seen.lives(&t.upid) == Ok(true)).map(|t| t.upid.pid));
    let pids: BTreeSet<u32> = pids.into_iter().flat_map(|pid| seen.family(pid)).collect();
    let looks = pids.iter().flat_map(|pid| {
        let file = |name: &str| Look::File(format!("/proc/{pid}/{name}"), 4096);
        [file("cmdline"), file("wchan"), file("stack")]
    });
    let found = host.look(looks.collect()).await;
    let stuck = stuck(host, &pids).await;
    let Ok(all) = &mut seen.processes else { return };
    for (pid, told) in pids.iter().zip(found.chunks(3)) {
        let Some(process) = all.get_mut(pid) else { continue };
        let text = |n: usize| told.get(n).and_then(|f| text_of(f).ok());
        if let Some(line) = text(0).filter(|l| !l.is_empty()) {
            /// Characters of a command that are shown.
            const SHOWN: usize = 100;
            let words = clean(&line.trim_end_matches('\0').replace('\0', " "));
            process.command = words.chars().take(SHOWN).collect();
        }
        process.state = match process.state {
            _ if stuck.contains(pid) => 'D',
            'D' => 'R',
            other => other,
        };
        if process.state == 'D' {
            // `[<0>] rpc_wait_bit_killable+0x1e/0x90`: the names of the first few tell where it hangs.
            let named = |l: &str| Some(l.rsplit(' ').next()?.split('+').next()?.to_owned());
            let stack: Vec<String> = text(2).iter().flat_map(|s| s.lines()).filter_map(named).take(3).collect();
            let wchan = text(1).filter(|w| !matches!(w.trim(), "" | "0"));
            let waits = if stack.is_empty() { wchan } else { Some(stack.join(", ")) };
            process.waits = waits.map(|w| clean(w.trim()));
            process.files = users.opened.iter().filter(|o| o.pid == *pid).map(|o| o.path.clone()).collect();
        }
    }
}

/// Who waits in the kernel: whose thread was in state D and did not come out of it for a while. Who reads or writes a disk is in
/// it again and again, and nothing is wrong with that.
async fn stuck(host: &dyn Host, pids: &BTreeSet<u32>) -> BTreeSet<u32> {
    const WHILE: Duration = Duration::from_secs(1);
    let first = waiting(host, pids).await;
    if first.is_empty() {
        return BTreeSet::new();
    }
    tokio::time::sleep(WHILE).await;
    let pids = first.keys().map(|(pid, _)| *pid).collect();
    let still = waiting(host, &pids).await;
    first.into_iter().filter(|(thread, times)| still.get(thread) == Some(times)).map(|((pid, _), _)| pid).collect()
}

/// The threads in state D, by process and file; and how often each has waited for something so far.
async fn waiting(host: &dyn Host, pids: &BTreeSet<u32>) -> BTreeMap<(u32, String), u64> {
    let looks = pids.iter().map(|pid| Look::Glob(format!("/proc/{pid}/task/*/status"), 8192)).collect();
    let mut out = BTreeMap::new();
    for (pid, found) in pids.iter().zip(host.look(looks).await) {
        let Ok(Found::Files(threads)) = found else { continue };
        for (path, status) in threads {
            if let Some(times) = status.ok().and_then(|s| waits_in_kernel(&String::from_utf8_lossy(&s))) {
                out.insert((*pid, path), times);
            }
        }
    }
    out
}

/// Whether the guest has this lock still, or none any more, and nobody works on it.
pub async fn idle(host: &dyn Host, id: Vmid, lock: &str) -> Held {
    match truth::guest(host, id).await {
        Ok(guest) => match guest.lock.as_deref() {
            Some(now) if now != lock => Held::No(format!("{id} has another lock now: {}", clean(now))),
            _ => nobody_works_on(host, id).await,
        },
        Err(HostError::Missing { .. }) => Held::No(format!("{id} has no configuration on this node")),
        Err(e) => Held::Unknown(e.to_string()),
    }
}
