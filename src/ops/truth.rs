//! What really became of a Proxmox task, and what a broken one left behind.
//!
//! The order matters (TRUST F17): first whether its process lives (pid *and* start time), only then the last line.

use crate::domain::backup::{partial_of, tmp_of};
use crate::domain::conf::parse_lxc;
use crate::domain::guest::{Guest, Vmid};
use crate::domain::job::Process;
use crate::domain::stamp::Stamp;
use crate::domain::task::{TaskEnd, Upid, parse_active};
use crate::host::{Found, Host, HostError, Look, text_of};

/// A task's state as far as it can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// Its process lives.
    Running,
    /// Its process is gone and it ended so.
    Ended(TaskEnd),
    /// It could not be told; why.
    Unknown(String),
}

/// The truth about a task of this node. `boot_id` is the boot that is running now.
pub async fn of_task(host: &dyn Host, upid: &Upid, boot_id: &str) -> Truth {
    let process = Process { pid: upid.pid, start: upid.pstart, boot_id: boot_id.to_owned() };
    match host.alive(&process).await {
        Ok(true) => return Truth::Running,
        Ok(false) => {}
        Err(e) => return Truth::Unknown(e.to_string()),
    }
    let mut found = host.look(vec![Look::Tail(upid.log_path(), 8192)]).await.into_iter();
    match found.next().map(|f| text_of(&f)) {
        Some(Ok(log)) => Truth::Ended(TaskEnd::from_log(&log)),
        Some(Err(e)) => Truth::Unknown(format!("its log: {e}")),
        None => Truth::Unknown("no answer".into()),
    }
}

/// The newest task of a kind on a guest that began at or after `since`, and not before a process that began at `tick` (clock
/// ticks since boot), from the list of this node. By the second alone it may be one that somebody else began.
pub async fn find(host: &dyn Host, kind: &str, guest: Vmid, since: Stamp, tick: u64) -> Result<Option<Upid>, HostError> {
    let mut found = host.look(vec![Look::Tail("/var/log/pve/tasks/active".into(), 1 << 20)]).await.into_iter();
    let text = match found.next() {
        Some(found) => text_of(&found)?,
        None => return Ok(None),
    };
    let id = guest.to_string();
    // A UPID holds whole seconds.
    let since = Stamp::from_secs(since.secs());
    let ours = |u: &Upid| u.kind == kind && u.id == id && u.started >= since && u.pstart >= tick;
    let mine = parse_active(&text).into_iter().map(|t| t.upid).filter(ours);
    Ok(mine.max_by_key(|u| (u.started, u.pstart, u.pid)))
}

/// The vzdump of this node that holds Proxmox's lock, by what it wrote beside it; `None` where none does, or that cannot be read:
/// then vzdump itself waits.
pub async fn vzdump_holder(host: &dyn Host) -> Option<Upid> {
    let found = host.look(vec![Look::File("/var/run/vzdump.pid".into(), 4096)]).await.into_iter().next()?;
    // It stays when its writer is gone.
    let upid: Upid = text_of(&found).ok()?.lines().next()?.trim().parse().ok()?;
    let process = Process { pid: upid.pid, start: upid.pstart, boot_id: boot_id(host).await.ok()? };
    (host.alive(&process).await == Ok(true)).then_some(upid)
}

/// The id of the boot that is running on the host.
pub async fn boot_id(host: &dyn Host) -> Result<String, HostError> {
    let mut found = host.look(vec![Look::File("/proc/sys/kernel/random/boot_id".into(), 4096)]).await.into_iter();
    match found.next() {
        Some(found) => Ok(text_of(&found)?.trim().to_owned()),
        None => Err(HostError::Io { what: "boot id".into(), why: "no answer".into() }),
    }
}

/// The guest as its configuration says; `Missing` where there is none on this node.
pub async fn guest(host: &dyn Host, id: Vmid) -> Result<Guest, HostError> {
    let path = format!("/etc/pve/lxc/{id}.conf");
    let mut found = host.look(vec![Look::File(path.clone(), 1 << 20)]).await.into_iter();
    match found.next() {
        Some(found) => Ok(parse_lxc(id, &text_of(&found)?)),
        None => Err(HostError::Io { what: path, why: "no answer".into() }),
    }
}

/// What a backup that did not end well left on the host, in words. What could not be looked at is said too.
pub async fn leftovers(host: &dyn Host, id: Vmid, archive: Option<&str>) -> Vec<String> {
    let mut left = Vec::new();
    match guest(host, id).await {
        Ok(guest) => {
            if let Some(lock) = &guest.lock {
                left.push(format!("{id} is still locked ({lock}): pct unlock {id}"));
            }
            if guest.snapshots.iter().any(|s| s == "vzdump") {
                left.push(format!("snapshot 'vzdump' of {id}: pct delsnapshot {id} vzdump"));
            }
        }
        Err(HostError::Missing { .. }) => left.push(format!("{id} has no configuration on this node")),
        Err(e) => left.push(format!("whether {id} is still locked is unknown: {e}")),
    }
    // A hook or the retention may fail after it was whole; then it stays on the storage's list.
    if let Some(name) = archive.filter(|a| !a.starts_with('/')) {
        left.push(format!("whether {name} stands on its storage is not known: proximity backup list {id}"));
    } else if let Some(path) = archive
        && let Some(Ok(Found::Stat(s))) = host.look(vec![Look::Stat(path.to_owned())]).await.into_iter().next()
    {
        let size = crate::domain::stamp::bytes(s.size);
        left.push(format!("the archive {path} ({size}); whether it is whole is not known before it came back"));
    }
    let paths: Vec<String> =
        archive.into_iter().filter(|a| a.starts_with('/')).flat_map(|a| [partial_of(a), tmp_of(a)]).flatten().collect();
    let looks = paths.iter().cloned().map(Look::Stat).collect();
    for (path, stat) in paths.iter().zip(host.look(looks).await) {
        match stat {
            Ok(Found::Stat(s)) if s.dir => left.push(format!("temporary directory {path}")),
            Ok(Found::Stat(s)) => left.push(format!("partial archive {path} ({})", crate::domain::stamp::bytes(s.size))),
            Err(HostError::Missing { .. }) | Ok(_) => {}
            Err(e) => left.push(format!("whether {path} is left is unknown: {e}")),
        }
    }
    left
}
