//! Looks at the logs of the host and of the guests that run on it: a few stats each, no file is opened.

use crate::domain::appliance::LEASES;
use crate::domain::guest::{Guest, Kind, Power};
use crate::domain::log_health::Seen;
use crate::domain::world::{From, Gap, Part, World};
use crate::host::{Found, Host, HostError, Look};

/// Looks at all of them; the World tells which guests run here, and what was seen before, from which growth follows.
pub async fn look(host: &dyn Host, world: &World) -> Part<Vec<Seen>> {
    let here = |g: &&Guest| g.node.as_deref().is_none_or(|n| world.node_name().is_none_or(|me| me == n));
    let runs = |g: &&Guest| g.kind == Kind::Lxc && g.power == Power::Running;
    let running: Vec<&Guest> = world.guests.get().into_iter().flatten().filter(runs).filter(here).collect();
    let appliance = world.appliance_id();
    let mut looks = vec![Look::Logs(None, Vec::new())];
    looks.extend(running.iter().map(|g| {
        let besides = if g.id == appliance { vec![LEASES.to_owned()] } else { Vec::new() };
        Look::Logs(Some(g.id), besides)
    }));
    let of = running.iter().find(|g| g.id == appliance).map(|g| g.id);
    looks.extend(of.map(Look::Processes));
    let mut answers = host.look(looks).await.into_iter();
    // Its last answer is that about processes, where it was asked.
    let logs: Vec<_> = answers.by_ref().take(running.len() + 1).collect();
    let processes = match answers.next() {
        Some(Ok(Found::Names(names))) => Some(names),
        _ => None,
    };
    let now = host.clock().0;
    let (mut seen, mut gaps) = (Vec::new(), Vec::new());
    let guests = std::iter::once(None).chain(running.iter().map(|g| Some(g.id)));
    for (guest, answer) in guests.zip(logs) {
        let what = || guest.map_or("logs of the host".to_owned(), |id| format!("logs of {id}"));
        match answer {
            Ok(Found::Logs(found)) => {
                if found.left_out > 0 {
                    let why = format!("{} of their files were not looked at: there are too many", found.left_out);
                    gaps.push(Gap { what: what(), why });
                }
                let before = world.logs.get().into_iter().flatten().find(|s| s.guest == guest);
                let running = processes.clone().filter(|_| guest == Some(appliance));
                seen.push(Seen::new(guest, guest == Some(appliance), found, running, before, now));
            }
            Ok(_) => gaps.push(Gap { what: what(), why: "another kind of answer than asked for".into() }),
            // Without such a directory there is nothing to look at, and nothing is hidden.
            Err(HostError::Missing { .. }) => {}
            Err(HostError::Io { why, .. }) => gaps.push(Gap { what: what(), why }),
            Err(e) => gaps.push(Gap { what: what(), why: e.to_string() }),
        }
    }
    if seen.is_empty()
        && let Some(gap) = gaps.first()
    {
        return Part::unknown(format!("{}: {}", gap.what, gap.why), now);
    }
    // What is in the way of many is in the way of all, and is told once.
    if let [first, .., _, _] = &gaps[..] {
        let (what, why) = (format!("logs of {} guests", gaps.len()), format!("{}: {}", first.what, first.why));
        gaps = vec![Gap { what, why }];
    }
    Part::new(seen, now, From::Files).with_gaps(gaps)
}
