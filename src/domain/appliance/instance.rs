//! All appliances there are, on this node and on others: what Proxmox's daemon told of each last, and when.
//!
//! `/etc/pve/.rrd` holds what `pvestatd` of each node tells every ten seconds; what it did not repeat for five minutes is gone
//! from there. A line of a container is `pve-vm-9.0/ID:uptime:name:status:template:time:cpus:cpu:maxmem:mem:maxdisk:disk:in:out:…`
//! (`pve2.3-vm` before 9), with `U` for what is not known.

use super::{Seat, clean};
use crate::domain::guest::{Guest, Power, Vmid};
use crate::domain::stamp::{self, Stamp};

/// Where that is.
pub const RRD: &str = "/etc/pve/.rrd";

/// What Proxmox told of a container last. Sizes in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// When.
    pub at: Stamp,
    /// Whether it ran then.
    pub runs: bool,
    /// Seconds since its start.
    pub uptime_s: u64,
    /// Of its own processors, from 0 to 1.
    pub cpu: Option<f64>,
    /// Of its memory: used, and all.
    pub memory: Option<(u64, u64)>,
    /// Of its file system: used, and all.
    pub disk: Option<(u64, u64)>,
    /// Came in and went out since its start.
    pub net: Option<(u64, u64)>,
}

/// One appliance.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Its number.
    pub id: Vmid,
    /// Number and name. Clean.
    pub title: String,
    /// Whether it is this node's.
    pub own: bool,
    /// Where it is; none where that is this node, or not known. Clean.
    pub elsewhere: Option<String>,
    /// Which of several it is; none for one that does not say so itself.
    pub seat: Option<Seat>,
    /// Whether it runs, by this node's own look; of those elsewhere that is not known.
    pub power: Power,
    /// What Proxmox told last, or why that is not known.
    pub reported: Result<Reported, String>,
}

impl Instance {
    /// Which of several it is.
    pub fn role(&self) -> &'static str {
        match (self.seat, &self.elsewhere) {
            (Some(Seat::Next), _) => "to be, not finished",
            (Some(Seat::Former), _) => "the one that was",
            (Some(Seat::Acting), Some(_)) => "acting there",
            (Some(Seat::Acting), None) if self.own => "acting",
            (Some(Seat::Acting), None) => "a second one",
            (None, _) => "does not say that it is Proximity's",
        }
    }

    /// `9998 edge on pve2 running: acting there`.
    pub fn words(&self) -> String {
        let place = self.elsewhere.as_ref().map_or(String::new(), |node| format!(" on {node}"));
        format!("{}{place} {}: {}", self.title, self.runs(), self.role())
    }

    /// Whether it runs: by this node's own look, else by what was told.
    pub fn runs(&self) -> &'static str {
        match (self.power, &self.reported) {
            (Power::Unknown, Ok(told)) if told.runs => "running",
            (Power::Unknown, Ok(_)) => "stopped",
            (power, _) => power.word(),
        }
    }

    /// What it uses, in words; nothing where it does not run.
    pub fn uses(&self) -> String {
        let told = match &self.reported {
            Ok(told) if told.runs => told,
            Ok(_) => return String::new(),
            Err(why) => return format!("what it uses is unknown: {why}"),
        };
        let cpu = told.cpu.map_or("cpu unknown".to_owned(), |cpu| format!("cpu {:.0} %", cpu * 100.0));
        let of = |what: &str, (used, all): (u64, u64)| format!("{what} {} %", used.saturating_mul(100) / all.max(1));
        let all = [told.memory.map(|m| of("memory", m)), told.disk.map(|d| of("disk", d))];
        std::iter::once(cpu).chain(all.into_iter().flatten()).collect::<Vec<_>>().join(", ")
    }

    /// How long it runs; and when Proxmox told of it last, where that is not just now.
    pub fn seen(&self, now: Stamp) -> String {
        let Ok(told) = &self.reported else { return "unknown".to_owned() };
        let up = if told.runs { format!("up {}", stamp::span(told.uptime_s)) } else { "stopped".to_owned() };
        match now.secs() - told.at.secs() {
            -60..60 => up,
            _ => format!("{up}, told {} ago", stamp::age(now, told.at)),
        }
    }
}

/// All appliances among the guests, this node's own first: those whose notes say so, and what stands at its number. `rrd` is the
/// file's text, or why it could not be read.
pub fn instances(guests: &[Guest], appliance: Vmid, node: Option<&str>, rrd: &Result<String, String>) -> Vec<Instance> {
    let is_one = |g: &&Guest| g.id == appliance || Seat::of(g).is_some();
    let one = |g: &Guest| Instance {
        id: g.id,
        own: g.id == appliance,
        title: g.title(),
        elsewhere: g.node.as_deref().filter(|n| node.is_some_and(|me| me != *n)).map(clean),
        seat: Seat::of(g),
        power: g.power,
        reported: rrd.as_ref().map_err(Clone::clone).and_then(|text| {
            let told = reported(text, g.id);
            told.ok_or_else(|| format!("{RRD} tells nothing of it: its node was silent for five minutes"))
        }),
    };
    let mut all: Vec<Instance> = guests.iter().filter(is_one).map(one).collect();
    all.sort_by_key(|i| (i.id != appliance, i.elsewhere.is_some(), i.id));
    all
}

/// What is told of one container.
fn reported(text: &str, id: Vmid) -> Option<Reported> {
    let of_it = |line: &&str| {
        let (schema, rest) = line.split_once('/')?;
        let (whose, told) = rest.split_once(':')?;
        let is_guest = schema == "pve2.3-vm" || schema.starts_with("pve-vm-");
        (is_guest && whose == id.to_string()).then_some(told.to_owned())
    };
    let told = text.lines().find_map(|line| of_it(&line))?;
    let field: Vec<&str> = told.split(':').collect();
    let number = |at: usize| field.get(at)?.parse::<u64>().ok();
    let both = |one: usize, other: usize| Some((number(one)?, number(other)?));
    Some(Reported {
        at: Stamp::from_secs(i64::try_from(number(4)?).ok()?),
        runs: *field.get(2)? == "running",
        uptime_s: number(0).unwrap_or(0),
        cpu: field.get(6).and_then(|f| f.parse::<f64>().ok()).filter(|cpu| (0.0..=1024.0).contains(cpu)),
        memory: both(8, 7),
        disk: both(10, 9),
        net: both(11, 12),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::guest::Kind;

    const RECORDED: &str = include_str!("../../../tests/recordings/pve-9.1/cat-rrd.out");

    fn vmid(id: u32) -> Vmid {
        id.try_into().unwrap()
    }

    fn guest(id: u32, node: &str, note: &str, power: Power) -> Guest {
        Guest { node: Some(node.into()), power, notes: vec![note.to_owned()], ..Guest::bare(vmid(id), Kind::Lxc) }
    }

    #[test]
    fn what_proxmox_told_of_each_is_read() {
        let of = |id: u32| reported(RECORDED, vmid(id));
        let told = of(200).unwrap();
        assert_eq!((told.at, told.runs, told.uptime_s), (Stamp::from_secs(1_795_197_116), true, 225));
        assert_eq!((told.cpu, told.memory), (Some(0.0), Some((8_048_640, 536_870_912))));
        assert_eq!((told.disk, told.net), (Some((386_752_512, 2_040_373_248)), Some((140, 866))));
        let off = of(300).unwrap();
        assert_eq!((off.runs, off.cpu, off.memory, off.disk), (false, None, None, Some((0, 2_147_483_648))));
        assert_eq!(of(301).unwrap().net, None);
        // A container, not the node or the storage of that name; one line of a number, not of one that begins with it.
        assert_eq!((of(2000), of(999)), (None, None));
        let older = RECORDED.replace("pve-vm-9.0/", "pve2.3-vm/");
        assert_eq!(reported(&older, vmid(200)), Some(told));
        for broken in ["", "pve-vm-9.0/200", "pve-vm-9.0/200:", "pve-vm-9.0/200:1:n:running:0:x:1", "pve-storage-9.0/200:1:2:running:0:5"] {
            assert_eq!(reported(broken, vmid(200)), None, "{broken}");
        }
    }

    #[test]
    fn each_is_told_its_own_first_and_what_is_not_known_is_unknown() {
        let now = Stamp::from_secs(1_795_197_116 + 65);
        let acting = Seat::Acting.note();
        let guests = [
            guest(100, "pve1", "an app", Power::Running),
            guest(211, "pve2", &acting, Power::Unknown),
            guest(200, "pve1", &acting, Power::Running),
            guest(300, "pve1", &Seat::Former.note(), Power::Stopped),
            guest(7000, "pve3", &acting, Power::Unknown),
        ];
        let all = instances(&guests, vmid(200), Some("pve1"), &Ok(RECORDED.to_owned()));
        let told: Vec<_> = all.iter().map(|i| (i.id.to_string(), i.role(), i.runs(), i.uses(), i.seen(now))).collect();
        let uses = "cpu 0 %, memory 1 %, disk 18 %".to_owned();
        assert_eq!(told[0], ("200".into(), "acting", "running", uses, "up 3 min, told 1 min ago".into()));
        assert_eq!(told[1], ("300".into(), "the one that was", "stopped", String::new(), "stopped, told 1 min ago".into()));
        assert_eq!((&told[2].0[..], told[2].1, told[2].2), ("211", "acting there", "running"), "by what its own node told");
        assert_eq!((told[3].2, told[3].4.as_str()), ("unknown", "unknown"));
        assert!(told[3].3.contains("silent for five minutes"), "{told:?}");
        assert_eq!(all[2].words(), "211 CT211 on pve2 running: acting there");
        let none = instances(&guests, vmid(200), Some("pve1"), &Err("cannot be read".into()));
        assert!(none.iter().all(|i| i.uses().contains("cannot be read")) && none[0].runs() == "running");
    }
}
