//! Where a line leads: to the guest it is about, to what gave it its address, to the tasks that touched it.

use super::{Named, Record};
use crate::domain::fact::LogSource;
use crate::domain::guest::{Guest, Vmid};
use crate::domain::settings::Value;
use crate::domain::stamp::{Stamp, span};
use crate::domain::task::{TaskEnd, TaskSeen};
use crate::domain::world::World;

/// Something that a key leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Lead {
    /// What it is: `guest 104 nextcloud`.
    pub what: String,
    /// What is known of it, and why it belongs to the line.
    pub why: String,
    /// Where the key goes.
    pub target: Target,
}

/// Where a key goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// The guest in the Overview.
    Guest(Vmid),
    /// Lines of a log that match a filter.
    Log {
        /// Which.
        source: LogSource,
        /// The words of the filter, as typed.
        filter: String,
    },
    /// Nowhere: it is said only.
    Nowhere,
}

/// Tasks of one guest that are shown.
const TASKS: usize = 3;

/// Where a record leads, nearest first: names become guests, guests their addresses and tasks.
pub fn leads(record: &Record, world: &World) -> Vec<Lead> {
    let mut out: Vec<Lead> = Vec::new();
    let mut guests: Vec<Vmid> = Vec::new();
    let known = world.guests.get().map_or(&[][..], Vec::as_slice);
    for named in &record.names {
        match named {
            Named::Guest(id) => guests.push(*id),
            Named::Host(host) => {
                let label = host.split('.').next().unwrap_or(host);
                let found = known.iter().find(|g| g.name.as_deref() == Some(label) || g.name.as_deref() == Some(host.as_str()));
                guests.extend(found.map(|g| g.id));
            }
            Named::Address(address) => {
                let text = address.to_string();
                let fixed = |g: &&Guest| g.nics.iter().any(|n| n.ip.as_deref().and_then(|ip| ip.split('/').next()) == Some(&text));
                match known.iter().find(fixed) {
                    Some(guest) => guests.push(guest.id),
                    None if lan(world).is_none_or(|lan| lan.contains(address)) => {
                        out.push(leased(&text, "who has this address, and since when"));
                    }
                    // Somebody out in the world.
                    None => {}
                }
            }
            Named::Mac(mac) => {
                let has = |g: &&Guest| g.nics.iter().any(|n| n.hwaddr.as_deref().is_some_and(|h| h.eq_ignore_ascii_case(mac)));
                match known.iter().find(has) {
                    Some(guest) => guests.push(guest.id),
                    None => out.push(leased(mac, "addresses that this network card got")),
                }
            }
            Named::Task(upid) => guests.extend(upid.id.parse::<Vmid>().ok()),
            Named::Unit(unit) => {
                let id = unit.strip_prefix("pve-container@").and_then(|rest| rest.strip_suffix(".service"));
                guests.extend(id.and_then(|id| id.parse::<Vmid>().ok()));
            }
            Named::Port(_) => {}
        }
    }
    let mut seen = Vec::new();
    guests.retain(|id| {
        !seen.contains(id) && {
            seen.push(*id);
            true
        }
    });
    let mut first: Vec<Lead> = Vec::new();
    for id in guests {
        first.extend(of_guest(id, record.at, world));
    }
    for named in &record.names {
        if let Named::Task(upid) = named {
            let end = ended(world.tasks.get().into_iter().flatten().find(|t| t.upid.as_str() == upid.as_str()));
            let what = format!("task {} {}", upid.kind, upid.id);
            let filter = String::new();
            first.push(Lead {
                what,
                why: format!("by {}, {end}", upid.user),
                target: Target::Log { source: LogSource::File(upid.log_path()), filter },
            });
        }
    }
    first.append(&mut out);
    first
}

/// The network whose addresses the appliance gives out.
fn lan(world: &World) -> Option<ipnet::IpNet> {
    let key = "network.subnet".parse().ok()?;
    match world.chosen().ok()?.value(&key).ok()?? {
        Value::Net(net) => Some(net),
        _ => None,
    }
}

fn of_guest(id: Vmid, at: Option<Stamp>, world: &World) -> Vec<Lead> {
    let Some(guest) = world.guests.get().and_then(|all| all.iter().find(|g| g.id == id)) else {
        let why = match &world.guests.known {
            Ok(_) => "there is no such guest here now".to_owned(),
            Err(why) => format!("unknown: {why}"),
        };
        return vec![Lead { what: format!("guest {id}"), why, target: Target::Nowhere }];
    };
    let addresses: Vec<&str> = guest.nics.iter().filter_map(|n| n.ip.as_deref()).collect();
    let why = format!("{}; {}", guest.power.word(), if addresses.is_empty() { "no address set".into() } else { addresses.join(", ") });
    let mut out = vec![Lead { what: format!("guest {}", guest.title()), why, target: Target::Guest(id) }];
    // An address that DHCP gives moves, and dnsmasq tells when it did.
    for nic in guest.nics.iter().filter(|n| n.ip.as_deref() == Some("dhcp")) {
        if let Some(mac) = &nic.hwaddr {
            out.push(leased(&mac.to_ascii_lowercase(), "when it got which address"));
        }
    }
    let before = |task: &&TaskSeen| at.is_none_or(|at| task.upid.started <= at);
    let of = |task: &&TaskSeen| task.upid.id == id.to_string();
    let mut tasks: Vec<&TaskSeen> = world.tasks.get().into_iter().flatten().filter(of).filter(before).collect();
    tasks.sort_by_key(|task| std::cmp::Reverse(task.upid.started));
    for task in tasks.into_iter().take(TASKS) {
        let ago = at.map_or(String::new(), |at| format!(", {} before this line", span((at.0 - task.upid.started.0).max(0) as u64 / 1000)));
        let source = LogSource::File(task.upid.log_path());
        let why = format!("by {}, {}{ago}", task.upid.user, ended(Some(task)));
        out.push(Lead { what: format!("task {} {id}", task.upid.kind), why, target: Target::Log { source, filter: String::new() } });
    }
    out
}

fn leased(needle: &str, why: &str) -> Lead {
    // A dot in an address is a dot.
    let filter = format!("DHCP.*{}", regex::escape(needle));
    Lead { what: format!("leases of {needle}"), why: why.to_owned(), target: Target::Log { source: LogSource::Dnsmasq, filter } }
}

fn ended(task: Option<&TaskSeen>) -> String {
    match task {
        None => "how it ended is not known here".into(),
        Some(TaskSeen { end: None, .. }) => "goes on".into(),
        Some(TaskSeen { end: Some(end), .. }) => match end {
            TaskEnd::Ok => "OK".into(),
            TaskEnd::Warnings(n) => format!("{n} warning(s)"),
            TaskEnd::Error(why) => format!("failed: {why}"),
            TaskEnd::Vanished => "vanished: how it ended is unknown".into(),
        },
    }
}
