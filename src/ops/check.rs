//! Asks the host whether a step's check holds. Each answer comes from a question put now, never from a log's words.

use std::net::{Ipv4Addr, SocketAddr};

use crate::domain::appliance::{Seat, is_ours, nat};
use crate::domain::backup::partial_of;
use crate::domain::change::Place;
use crate::domain::cmd::Cmd;
use crate::domain::guest::Vmid;
use crate::domain::job::Life;
use crate::domain::plan::{self, Check, Wants};
use crate::domain::ports::{Answer, How, Knock};
use crate::domain::pve;
use crate::domain::storage::StorageId;
use crate::host::{Found, Host, HostError, Look, text_of};

use super::{appliance, archives, locks, place, ports, publish, publish_rules, schedules, truth};

/// What a check gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// It holds.
    Yes,
    /// It does not; why.
    No(String),
    /// It could not be asked; why.
    Unknown(String),
}

impl Held {
    fn when(holds: bool, why: impl FnOnce() -> String) -> Held {
        if holds { Held::Yes } else { Held::No(why()) }
    }
}

/// Asks. `init` is the guest's init before the step, for [`Check::Restarted`].
pub async fn holds(host: &dyn Host, check: &Check, life: &Life, init: Option<u32>) -> Held {
    match check {
        Check::Running { vmid } => power(host, *vmid, true).await,
        Check::Stopped { vmid } => power(host, *vmid, false).await,
        Check::Answers { vmid } => answers(host, *vmid).await,
        Check::Unlocked { vmid } => match truth::guest(host, *vmid).await {
            Ok(guest) => Held::when(guest.lock.is_none(), || format!("{vmid} is locked ({})", guest.lock.as_deref().unwrap_or(""))),
            Err(HostError::Missing { .. }) => Held::No(format!("{vmid} has no configuration on this node")),
            Err(e) => Held::Unknown(e.to_string()),
        },
        Check::Restarted { vmid } => match (power(host, *vmid, true).await, init_pid(host, *vmid).await) {
            (Held::Yes, Ok(_)) if init.is_none() => {
                Held::Unknown(format!("whether {vmid} was restarted is not known: it runs, as it did before"))
            }
            (Held::Yes, Ok(now)) => Held::when(now.is_some() && now != init, || format!("{vmid} still runs its old init")),
            (Held::Yes, Err(e)) => Held::Unknown(e.to_string()),
            (other, _) => other,
        },
        Check::Idle { vmid, lock } => locks::idle(host, *vmid, lock).await,
        Check::Unused { vmid, paths } => locks::unused(host, *vmid, paths).await,
        Check::NoSnapshot { vmid, name } => match truth::guest(host, *vmid).await {
            Ok(guest) => Held::when(!guest.snapshots.contains(name), || format!("{vmid} has the snapshot '{name}' still")),
            Err(HostError::Missing { .. }) => Held::No(format!("{vmid} has no configuration on this node")),
            Err(e) => Held::Unknown(e.to_string()),
        },
        Check::Archived { storage, .. } => archived(host, storage, life).await,
        Check::Labelled { question, label, .. } => match archives::label_by(host, question.clone()).await {
            Ok(found) => Held::when(found == *label, || "other notes or another protection stand on it".into()),
            Err(e) => Held::Unknown(e.to_string()),
        },
        Check::Content { at, path, digest } => content(host, *at, path, digest.as_deref()).await,
        Check::Contents { at, files } => contents(host, *at, files).await,
        Check::Listens { vmid, ports } => match ports::listens_in(host, *vmid).await {
            Ok(listens) => match ports.iter().find(|p| !listens.contains(p)) {
                None => Held::Yes,
                Some(silent) => Held::No(format!("nothing listens on port {silent} of {vmid}")),
            },
            Err(why) => Held::Unknown(why),
        },
        Check::Takes { vmid, port } => publish_rules::takes(host, *vmid, *port).await,
        Check::Serves { vmid, pair, unanswered, tls } => publish::serves(host, *vmid, *pair, *unanswered, tls).await,
        Check::Says { what, cmd, wants } => says(host, what, cmd, wants).await,
        Check::Job { id, has } => schedules::job_is(host, id, has.as_ref()).await,
        Check::Either(one, other) => match Box::pin(holds(host, one, life, init)).await {
            Held::Yes => Held::Yes,
            _ => Box::pin(holds(host, other, life, init)).await,
        },
        Check::Ours { vmid, seat } => match truth::guest(host, *vmid).await {
            Ok(guest) if guest.lock.is_some() => Held::No(format!("{vmid} is locked ({})", guest.lock.unwrap_or_default())),
            Ok(guest) => Held::when(is_ours(&guest) && Seat::of(&guest) == Some(*seat), || {
                format!("{vmid} is there, and its tag and notes do not say that it {}", seat.words())
            }),
            Err(HostError::Missing { .. }) => Held::No(format!("{vmid} has no configuration on this node")),
            Err(e) => Held::Unknown(e.to_string()),
        },
        Check::App { vmid, port, http } => app(host, *vmid, *port, *http).await,
        Check::ReadOnly { vmid, keys } => match truth::guest(host, *vmid).await {
            Ok(guest) => {
                let open = keys.iter().find(|key| !guest.mounts.iter().any(|m| m.key == **key && m.is_read_only()));
                open.map_or(Held::Yes, |key| Held::No(format!("{vmid} may write at {key}, or does not have it")))
            }
            Err(HostError::Missing { .. }) => Held::No(format!("{vmid} is not there")),
            Err(e) => Held::Unknown(e.to_string()),
        },
        Check::Named { vmid, identity } => match truth::guest(host, *vmid).await {
            Ok(guest) => {
                Held::when(identity.is_of(&guest), || format!("{vmid} is configured as {}, or with other interfaces", guest.label()))
            }
            Err(HostError::Missing { .. }) => Held::No(format!("{vmid} has no configuration on this node")),
            Err(e) => Held::Unknown(e.to_string()),
        },
        Check::Gone { vmid } => match truth::guest(host, *vmid).await {
            Ok(_) => Held::No(format!("{vmid} is there")),
            Err(HostError::Missing { .. }) => Held::Yes,
            Err(e) => Held::Unknown(e.to_string()),
        },
        Check::Plugged { vmid, key, bridge } => match truth::guest(host, *vmid).await {
            Ok(guest) => {
                let on = guest.nics.iter().find(|n| n.key == *key).and_then(|n| n.bridge.as_deref());
                Held::when(on == Some(bridge.as_str()), || format!("{key} of {vmid} is on {}", on.unwrap_or("no bridge")))
            }
            Err(HostError::Missing { .. }) => Held::No(format!("{vmid} has no configuration on this node")),
            Err(e) => Held::Unknown(e.to_string()),
        },
        Check::LinkUp { name } => match link_up(host, name).await {
            Ok(Some(true)) => Held::Yes,
            Ok(Some(false)) => Held::No(format!("{name} is down")),
            Ok(None) => Held::No(format!("there is no interface {name}")),
            Err(why) => Held::Unknown(why),
        },
        Check::Rules { vmid, text } => rules(host, *vmid, text).await,
        Check::CaddyByFiles { vmid } => appliance::caddy_by_files(host, *vmid).await,
        Check::Kept { unit, path, digest } => kept(host, unit, path, digest).await,
        Check::Lamps { vmid, wish } => appliance::no_red_lamp(host, *vmid, wish).await,
    }
}

async fn content(host: &dyn Host, at: Place, path: &str, digest: Option<&str>) -> Held {
    match place::read(host, at, &[path]).await.map(|all| all.into_iter().next().flatten()) {
        Ok(found) => Held::when(found.as_deref().map(plan::digest).as_deref() == digest, || format!("{path} is not exactly that")),
        Err(e) => Held::Unknown(e.to_string()),
    }
}

async fn contents(host: &dyn Host, at: Place, files: &[(String, Option<String>)]) -> Held {
    let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    match place::read_quick(host, at, &paths).await {
        Ok(found) => {
            let is_other = |((_, want), found): &(&(String, Option<String>), &Option<Vec<u8>>)| found.as_deref().map(plan::digest) != *want;
            let other = files.iter().zip(&found).find(is_other);
            other.map_or(Held::Yes, |((path, _), _)| Held::No(format!("{path} is not exactly that")))
        }
        Err(e) => Held::Unknown(e.to_string()),
    }
}

async fn says(host: &dyn Host, what: &str, cmd: &Cmd, wants: &Wants) -> Held {
    match host.run(cmd.clone()).await {
        Ok(out) => match (wants, out.success()) {
            (Wants::Status(wanted), _) => Held::when(out.any().status == *wanted, || format!("asked whether {what}: no")),
            (_, Ok(text)) => Held::when(wants.are_in(&String::from_utf8_lossy(text.out)), || format!("asked whether {what}: no")),
            (_, Err(e)) => Held::No(format!("asked whether {what}: {e}")),
        },
        Err(e @ HostError::LinkLost { .. }) => Held::Unknown(e.to_string()),
        Err(e) => Held::No(format!("asked whether {what}: {e}")),
    }
}

/// Whether an interface of the host is switched on; `None` where there is none of that name.
pub async fn link_up(host: &dyn Host, name: &str) -> Result<Option<bool>, String> {
    let found = host.look(vec![Look::File(format!("/sys/class/net/{name}/flags"), 64)]).await.into_iter().next();
    match found.map(|f| text_of(&f)) {
        // The lowest bit is IFF_UP (linux/if.h).
        Some(Ok(text)) => match u32::from_str_radix(text.trim().trim_start_matches("0x"), 16) {
            Ok(flags) => Ok(Some(flags & 1 == 1)),
            Err(e) => Err(format!("its flags cannot be read: {e}")),
        },
        Some(Err(HostError::Missing { .. })) => Ok(None),
        Some(Err(e)) => Err(e.to_string()),
        None => Err("no answer".into()),
    }
}

async fn rules(host: &dyn Host, id: Vmid, text: &str) -> Held {
    let asked = host.run(pve::exec(id, ["iptables-save"])).await;
    match asked.and_then(|out| out.success().map(|t| String::from_utf8_lossy(t.out).into_owned())) {
        Ok(found) => match (nat::parse(text), nat::parse(&found)) {
            (Some(wanted), Some(found)) => {
                let compared = nat::compare(&wanted, &found);
                Held::when(compared.is_same(), || crate::domain::clean::clean(&compared.words()))
            }
            _ => Held::Unknown("the rules in force cannot be read".into()),
        },
        Err(e) => Held::Unknown(e.to_string()),
    }
}

/// A timer that is gone and a file that is as it was changed: then somebody stopped it. Otherwise it waits, or it ran.
async fn kept(host: &dyn Host, unit: &str, path: &str, digest: &str) -> Held {
    let question =
        Cmd::new("systemctl", ["show", "--property=ActiveState", "--value", &format!("{unit}.timer"), &format!("{unit}.service")]);
    match host.run(question).await.and_then(|out| out.success().map(|t| String::from_utf8_lossy(t.out).into_owned())) {
        Ok(states) if states.split_whitespace().all(|s| s == "inactive") => match content(host, Place::Host, path, Some(digest)).await {
            Held::No(_) => Held::No("nobody said in time that his line still holds: the change was taken back".into()),
            other => other,
        },
        Ok(_) => Held::No("nobody said yet that his line still holds".into()),
        Err(e) => Held::Unknown(e.to_string()),
    }
}

/// Whether an app answers, asked inside its own guest.
async fn app(host: &dyn Host, vmid: Vmid, port: u16, http: bool) -> Held {
    match ports::listens_in(host, vmid).await {
        Err(why) => return Held::Unknown(why),
        Ok(all) if !all.contains(&port) => return Held::No(format!("nothing listens on {port} in {vmid}")),
        Ok(_) if !http => return Held::Yes,
        Ok(_) => {}
    }
    let pid = match init_pid(host, vmid).await {
        Ok(Some(pid)) => pid,
        Ok(None) => return Held::No(format!("{vmid} does not run")),
        Err(e) => return Held::Unknown(e.to_string()),
    };
    let place = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    match host.knock(Some(pid), vec![Knock { place, how: How::Http }]).await {
        Err(e) => Held::Unknown(e.to_string()),
        Ok(told) => match told.answers.get(&port) {
            Some(Answer::Status { code: 500.., .. }) | None | Some(Answer::NotAsked) => {
                let code = told.answers.get(&port).map_or("nothing".into(), Answer::words);
                Held::No(format!("{vmid} answers {code} on {port}"))
            }
            Some(Answer::Silent(how) | Answer::NoTls(how)) => Held::No(format!("{vmid} on {port}: {how}")),
            Some(Answer::Unknown(why)) => Held::Unknown(why.clone()),
            Some(Answer::Status { .. } | Answer::Taken { .. }) => Held::Yes,
        },
    }
}

/// Process id of a guest's init; `None` while it does not run.
pub async fn init_pid(host: &dyn Host, id: Vmid) -> Result<Option<u32>, HostError> {
    let out = host.run(Cmd::new("lxc-info", ["-n", &id.to_string(), "-p", "-H"]).limit(10)).await?;
    Ok(String::from_utf8_lossy(out.any().out).trim().parse().ok())
}

async fn power(host: &dyn Host, id: Vmid, want: bool) -> Held {
    let looks = vec![Look::File("/proc/net/unix".into(), 16 << 20), Look::File(format!("/etc/pve/lxc/{id}.conf"), 1 << 20)];
    let mut found = host.look(looks).await.into_iter();
    let (Some(unix), Some(conf)) = (found.next(), found.next()) else { return Held::Unknown("no answer".into()) };
    if let Err(HostError::Missing { .. }) = conf {
        return Held::No(format!("{id} is not there"));
    }
    match text_of(&unix) {
        Ok(text) => {
            let socket = format!("@/var/lib/lxc/{id}/command");
            let runs = text.lines().any(|l| l.ends_with(&socket));
            Held::when(runs == want, || format!("{id} {}", if runs { "still runs" } else { "does not run" }))
        }
        Err(e) => Held::Unknown(e.to_string()),
    }
}

async fn answers(host: &dyn Host, id: Vmid) -> Held {
    match power(host, id, true).await {
        Held::Yes => {}
        other => return other,
    }
    match host.run(pve::exec(id, ["true"]).limit(10)).await.and_then(|out| out.success().map(|_| ())) {
        Ok(()) => Held::Yes,
        Err(e @ HostError::LinkLost { .. }) => Held::Unknown(e.to_string()),
        Err(e) => Held::No(format!("{id} does not answer: {e}")),
    }
}

async fn archived(host: &dyn Host, storage: &StorageId, life: &Life) -> Held {
    let Some(path) = &life.archive else { return Held::No("vzdump named no archive: it made none".into()) };
    // A storage without files (a backup server): its own list must show it.
    if !path.starts_with('/') {
        return on_list(host, storage, path).await;
    }
    let Some(partial) = partial_of(path) else { return Held::Unknown(format!("{path} is no archive's name")) };
    let mut found = host.look(vec![Look::Stat(path.clone()), Look::Stat(partial)]).await.into_iter();
    match (found.next(), found.next()) {
        (Some(Ok(Found::Stat(s))), Some(Err(HostError::Missing { .. }))) => Held::when(s.size > 0, || format!("{path} is empty")),
        (_, Some(Ok(_))) => Held::No(format!("{path} is still partial")),
        // Files that are not seen from here: the storage's own list must show it.
        (Some(Err(HostError::Missing { .. })), _) => on_list(host, storage, path).await,
        (Some(Err(e)), _) | (_, Some(Err(e))) => Held::Unknown(e.to_string()),
        _ => Held::Unknown("no answer".into()),
    }
}

async fn on_list(host: &dyn Host, storage: &StorageId, path: &str) -> Held {
    let listed = host.run(Cmd::new("pvesm", ["list", storage.as_str(), "--content", "backup"])).await;
    match listed.and_then(|out| out.success().map(|t| String::from_utf8_lossy(t.out).into_owned())) {
        Ok(text) => {
            let name = path.rsplit_once("/vzdump-").map_or(path, |(_, n)| n);
            let there = text.lines().filter_map(|l| l.split_whitespace().next()).any(|volid| volid.ends_with(name));
            Held::when(there, || format!("{path} is not on {storage}"))
        }
        Err(e) => Held::Unknown(e.to_string()),
    }
}
