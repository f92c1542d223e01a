//! The World: everything known now. Plain data; each part says as of when, from where, or why it is unknown.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::access::{Object, Permission, Who, authorize};
use super::appliance::hold::Pins;
use super::appliance::names::Mac;
use super::appliance::{self, Seen};
use super::backup::Archive;
use super::certificate::Inventory;
use super::guest::{Guest, Vmid};
use super::job::Job;
use super::locks;
use super::log_health;
use super::ports::{PortMap, Truth};
use super::schedule::Schedules;
use super::settings::Settings;
use super::stamp::Stamp;
use super::storage::{Storage, StorageId};
use super::task::{TaskSeen, Upid};

/// Where a part of the World was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// Files of the host: `/etc/pve`, `/proc`, cgroups.
    Files,
    /// `pvesh`.
    Pvesh,
    /// `pct`, `pvesm`.
    Pct,
    /// The kernel's list of running containers and nothing else: what is not in it may be there all the same.
    Kernel,
    /// Nothing was asked yet.
    Nowhere,
}

/// One part of the World.
#[derive(Debug, Clone, PartialEq)]
pub struct Part<T> {
    /// What was answered, or why nothing is known.
    pub known: Result<T, String>,
    /// When it was learnt. For an unknown: when it was last asked.
    pub as_of: Stamp,
    /// From where.
    pub from: From,
    /// What of it could not be told though the whole could: one line each, what and why.
    pub gaps: Vec<Gap>,
}

/// One thing that was asked and could not be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

impl<T> Default for Part<T> {
    fn default() -> Self {
        Part { known: Err("not asked yet".into()), as_of: Stamp::default(), from: From::Nowhere, gaps: Vec::new() }
    }
}

impl<T> Part<T> {
    /// A part that was answered.
    pub fn new(value: T, as_of: Stamp, from: From) -> Self {
        Part { known: Ok(value), as_of, from, gaps: Vec::new() }
    }

    /// A part that was asked and could not be told.
    pub fn unknown(why: impl Into<String>, as_of: Stamp) -> Self {
        Part { known: Err(why.into()), as_of, from: From::Nowhere, gaps: Vec::new() }
    }

    /// The same with a list of what could not be told.
    pub fn with_gaps(mut self, gaps: Vec<Gap>) -> Self {
        self.gaps = gaps;
        self
    }

    /// The value where it is known.
    pub fn get(&self) -> Option<&T> {
        self.known.as_ref().ok()
    }

    /// Whether nothing was asked yet, as opposed to asked in vain.
    pub fn is_pending(&self) -> bool {
        matches!(self.from, From::Nowhere) && self.as_of == Stamp::default()
    }
}

/// The node: load, memory, root disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Host name.
    pub name: String,
    /// Proxmox version such as `9.1.8`; `None` where it could not be told.
    pub version: Option<String>,
    /// Load averages over 1, 5, 15 minutes.
    pub load: Option<[f32; 3]>,
    /// Number of processors.
    pub cpus: Option<u32>,
    /// Busy and total processor time since boot in clock ticks; two of them make a usage.
    pub cpu_ticks: Option<(u64, u64)>,
    /// Memory in use and all, bytes. In use is what is not available.
    pub mem: Option<(u64, u64)>,
    /// Swap in use and all, bytes.
    pub swap: Option<(u64, u64)>,
    /// Root file system used and total, bytes.
    pub root: Option<(u64, u64)>,
    /// Seconds since boot.
    pub uptime_s: Option<u64>,
    /// Names this boot, so that a reboot is seen.
    pub boot_id: Option<String>,
}

/// Whether the cluster file system may be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quorum {
    /// `/etc/pve/local` is writable.
    Quorate {
        /// Nodes by `.members`; 1 for a single node.
        nodes: u32,
    },
    /// It is read-only.
    NoQuorum,
}

/// A bridge of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// Interface name.
    pub name: String,
    /// `up`, `down`, `unknown` as the kernel says.
    pub operstate: String,
}

/// Everything known now.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Where we are.
    pub place: Place,
    /// The node.
    pub node: Part<Node>,
    /// Cluster file system.
    pub quorum: Part<Quorum>,
    /// All guests known to this node, by id.
    pub guests: Part<Vec<Guest>>,
    /// All storages.
    pub storages: Part<Vec<Storage>>,
    /// Bridges.
    pub network: Part<Vec<Bridge>>,
    /// Proxmox tasks of this node, newest first.
    pub tasks: Part<Vec<TaskSeen>>,
    /// Backup archives of containers, newest first.
    pub archives: Part<Vec<Archive>>,
    /// Proxmox's backup jobs and the timer of the drills.
    pub schedules: Part<Schedules>,
    /// Our own jobs, newest first.
    pub jobs: Part<Vec<Job>>,
    /// Our own settings; pending where there is no store to keep them.
    pub settings: Part<Settings>,
    /// Addresses that were made static; pending where there is no store to keep them.
    pub pins: Part<Pins>,
    /// Ports that are not free; pending where there is no store to keep them.
    pub ports: Part<PortMap>,
    /// How each pair of ports is; pending until somebody looks at it.
    pub truth: Part<Truth>,
    /// All certificates; pending until somebody looks at them.
    pub certificates: Part<Inventory>,
    /// The appliance; pending until somebody looks at it.
    pub appliance: Part<Seen>,
    /// The logs of the host and of the guests that run here, as files; pending where nobody looks at them.
    pub logs: Part<Vec<log_health::Seen>>,
    /// What there is to see of locks and of what killed jobs left; pending until somebody looks at it.
    pub locks: Part<locks::Seen>,
}

/// The host this World is of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// `local`, `demo`, or the address.
    pub host: String,
    /// True for the simulated node: everything on the screen says so.
    pub demo: bool,
}

/// News of one or more parts of the World from one refresh. Absent parts were not asked.
#[derive(Debug, Clone, Default)]
pub struct News {
    /// The node.
    pub node: Option<Part<Node>>,
    /// Cluster file system.
    pub quorum: Option<Part<Quorum>>,
    /// Guests.
    pub guests: Option<Part<Vec<Guest>>>,
    /// Storages.
    pub storages: Option<Part<Vec<Storage>>>,
    /// Bridges.
    pub network: Option<Part<Vec<Bridge>>>,
    /// Tasks.
    pub tasks: Option<Part<Vec<TaskSeen>>>,
    /// Archives.
    pub archives: Option<Part<Vec<Archive>>>,
    /// What runs by the clock.
    pub schedules: Option<Part<Schedules>>,
    /// Jobs.
    pub jobs: Option<Part<Vec<Job>>>,
    /// Settings.
    pub settings: Option<Part<Settings>>,
    /// Static addresses.
    pub pins: Option<Part<Pins>>,
    /// Ports that are not free.
    pub ports: Option<Part<PortMap>>,
    /// How each pair of ports is.
    pub truth: Option<Part<Truth>>,
    /// Certificates.
    pub certificates: Option<Part<Inventory>>,
    /// The appliance.
    pub appliance: Option<Part<Seen>>,
    /// Logs.
    pub logs: Option<Part<Vec<log_health::Seen>>>,
    /// Locks and what killed jobs left.
    pub locks: Option<Part<locks::Seen>>,
}

impl News {
    /// Nothing is known any more of the parts that [`only`](Self::only) leaves things out of: for a screen at which
    /// somebody sits now who may look at less than whoever sat there before.
    pub fn forget() -> News {
        News {
            guests: Some(Part::default()),
            archives: Some(Part::default()),
            schedules: Some(Part::default()),
            tasks: Some(Part::default()),
            jobs: Some(Part::default()),
            appliance: Some(Part::default()),
            logs: Some(Part::default()),
            pins: Some(Part::default()),
            ports: Some(Part::default()),
            truth: Some(Part::default()),
            certificates: Some(Part::default()),
            locks: Some(Part::default()),
            ..News::default()
        }
    }

    /// Leaves out what this one may not look at: what belongs to guests that are not his.
    pub fn only(&mut self, who: &Who) {
        let sees = |id| who.sees(id);
        fn keep<T>(part: &mut Option<Part<Vec<T>>>, of: impl Fn(&T) -> bool) {
            if let Some(Part { known: Ok(all), .. }) = part {
                all.retain(of);
            }
        }
        keep(&mut self.guests, |g| sees(g.id));
        keep(&mut self.archives, |a| a.vmid.is_some_and(sees));
        keep(&mut self.tasks, |t| t.upid.id.parse().is_ok_and(sees));
        keep(&mut self.jobs, |j| sees(j.order.plan().guest));
        // The host's own are no guest's, like its storages.
        keep(&mut self.logs, |l| l.guest.is_none_or(sees));
        if authorize(Some(who), Permission::LookAppliance, Object::Host).is_err() {
            if let Some(Part { known: Ok(schedules), .. }) = &mut self.schedules {
                schedules.only(sees);
            }
            self.appliance = None;
            self.pins = None;
            self.ports = None;
            self.truth = None;
            self.certificates = None;
            // Processes and files of all guests.
            self.locks = None;
        }
    }
}

impl World {
    /// Takes news in. A part that could not be told replaces the old value: it *is* unknown now.
    pub fn learn(&mut self, news: News) {
        fn put<T>(slot: &mut Part<T>, news: Option<Part<T>>) {
            if let Some(part) = news {
                *slot = part;
            }
        }
        put(&mut self.node, news.node);
        put(&mut self.quorum, news.quorum);
        put(&mut self.guests, news.guests);
        put(&mut self.storages, news.storages);
        put(&mut self.network, news.network);
        put(&mut self.tasks, news.tasks);
        put(&mut self.archives, news.archives);
        put(&mut self.schedules, news.schedules);
        put(&mut self.jobs, news.jobs);
        put(&mut self.settings, news.settings);
        put(&mut self.pins, news.pins);
        put(&mut self.ports, news.ports);
        put(&mut self.truth, news.truth);
        put(&mut self.certificates, news.certificates);
        put(&mut self.appliance, news.appliance);
        put(&mut self.logs, news.logs);
        put(&mut self.locks, news.locks);
    }

    /// The settings that hold: where there is no store, the defaults; why not, where they could not be read.
    pub fn chosen(&self) -> Result<Cow<'_, Settings>, String> {
        match &self.settings.known {
            Ok(settings) => Ok(Cow::Borrowed(settings)),
            Err(_) if self.settings.is_pending() => Ok(Cow::Owned(Settings::default())),
            Err(why) => Err(format!("the settings are unknown: {why}")),
        }
    }

    /// The addresses that are static; none where there is no store; why not, where they cannot be relied on.
    pub fn pinned(&self) -> Result<BTreeMap<Mac, Ipv4Addr>, String> {
        match &self.pins.known {
            Ok(pins) => pins.addresses(),
            Err(_) if self.pins.is_pending() => Ok(BTreeMap::new()),
            Err(why) => Err(format!("the static addresses are unknown: {why}")),
        }
    }

    /// The guest of this id, where guests are known and it is there.
    pub fn guest(&self, id: Vmid) -> Option<&Guest> {
        self.guests.get()?.iter().find(|g| g.id == id)
    }

    /// The guest of this id; else why there is none to work on, and what to do.
    pub fn the_guest(&self, id: Vmid) -> Result<&Guest, (String, &'static str)> {
        let guests = self.guests.known.as_ref().map_err(|why| (format!("the guests of this host are unknown: {why}"), "see doctor"))?;
        guests.iter().find(|g| g.id == id).ok_or_else(|| match self.guests.from {
            From::Kernel => (format!("{id} does not run, and whether it is there is unknown"), "see doctor"),
            _ => (format!("there is no guest {id}"), "see guest list"),
        })
    }

    /// The id of this node's appliance, see [`appliance::of`].
    pub fn appliance_id(&self) -> Vmid {
        self.guests.get().map_or(appliance::VMID, |guests| appliance::of(guests, self.node_name()))
    }

    /// Whether configurations can be written; refused where it is known that they cannot.
    pub fn takes_changes(&self) -> Result<(), (String, &'static str)> {
        match self.quorum.get() {
            Some(Quorum::NoQuorum) => Err(("the cluster has no quorum, so /etc/pve takes no changes".into(), "see the Overview")),
            _ => Ok(()),
        }
    }

    /// The storage of this name.
    pub fn storage(&self, id: &StorageId) -> Option<&Storage> {
        self.storages.get()?.iter().find(|s| s.id == *id)
    }

    /// The name of this node, where it is known.
    pub fn node_name(&self) -> Option<&str> {
        self.node.get().map(|n| n.name.as_str())
    }

    /// A Proxmox task that is running on this guest now, if one is listed.
    pub fn task_on(&self, id: Vmid) -> Option<&Upid> {
        let id = id.to_string();
        self.tasks.get()?.iter().find(|t| t.end.is_none() && t.upid.id == id).map(|t| &t.upid)
    }

    /// The newest archive of this guest that is not empty.
    pub fn last_archive(&self, id: Vmid) -> Option<&Archive> {
        self.archives.get()?.iter().filter(|a| a.vmid == Some(id) && !a.is_empty()).max_by_key(|a| a.made)
    }

    /// The lowest free VMID from 100 on, as `/cluster/nextid` counts; `None` while guests are unknown.
    pub fn next_id(&self) -> Option<Vmid> {
        let taken: std::collections::BTreeSet<u32> = self.guests.get()?.iter().map(|g| g.id.into()).collect();
        (100..=999_999_999).find(|n| !taken.contains(n)).and_then(|n| Vmid::try_from(n).ok())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Was: the leases that an admin had looked at stayed on the screen for the service owner after him.
    #[test]
    fn what_somebody_else_looked_at_is_forgotten() {
        let forecast = appliance::lease::Forecast::Steady;
        let seen = Seen { lamps: vec![], leases: Ok(vec![]), pool: None, forecast, instances: vec![] };
        let guest = Guest::bare("101".parse().unwrap(), super::super::guest::Kind::Lxc);
        let mut world = World {
            guests: Part::new(vec![guest], Stamp(1), From::Files),
            archives: Part::new(vec![], Stamp(1), From::Files),
            tasks: Part::new(vec![], Stamp(1), From::Files),
            jobs: Part::new(vec![], Stamp(1), From::Files),
            appliance: Part::new(seen, Stamp(1), From::Pct),
            logs: Part::new(vec![], Stamp(1), From::Files),
            ..World::default()
        };
        world.learn(News::forget());
        let pending = [world.guests.is_pending(), world.archives.is_pending(), world.tasks.is_pending(), world.jobs.is_pending()];
        assert_eq!((pending, world.appliance.is_pending(), world.logs.is_pending()), ([true; 4], true, true));
    }
}
