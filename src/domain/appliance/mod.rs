//! The network appliance: which guest it is, how it should be, and what its lamps say.
//!
//! ```text
//! system.rs   the two systems it may run: services, commands, places of files
//! names.rs    names and hardware addresses that may stand in a generated file
//! desired.rs  settings and guests → how it should be
//! forward.rs  what is published and carried by rules
//! files.rs    how it should be → its files, byte for byte; nat.rs: the rules among them
//! lease.rs    what dnsmasq lent, joined to the guests; how much of the range is left
//! hold.rs     leases made static, or taken back
//! provision.rs  what is there → the plan that builds or mends it
//! instance.rs  all appliances there are, on this node and on others
//! remains.rs  what a creation left that was broken off
//! fallback.rs the way past it, and back
//! answer.rs   what a question to the appliance gave;  tar.rs: many files in one answer
//! lamp.rs     a lamp and its evidence;  judge.rs: answers → lamps
//! ```

use serde::{Deserialize, Serialize};

use super::clean::clean;
use super::guest::{Guest, Power, Vmid};

pub mod answer;
pub mod desired;
pub mod fallback;
pub mod files;
pub mod forward;
pub mod hold;
pub mod instance;
pub mod judge;
pub mod lamp;
pub mod lease;
pub mod names;
pub mod nat;
pub mod provision;
pub mod remains;
pub mod system;
pub mod tar;

/// What is known of the appliance: asked when somebody looks at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// All lamps.
    pub lamps: Vec<lamp::Lamp>,
    /// What it lent and to whom; why that is not known.
    pub leases: Result<Vec<lease::Row>, String>,
    /// How much of what it may lend is lent; `None` where its settings do not tell.
    pub pool: Option<lease::Pool>,
    /// When nothing will be left.
    pub forecast: lease::Forecast,
    /// All appliances there are, this one first.
    pub instances: Vec<instance::Instance>,
}

/// Where the appliance lives unless that id is somebody else's, or it was rebuilt under another one.
pub const VMID: Vmid = Vmid::APPLIANCE;

/// The tag by which a container says that it is Proximity's.
pub const TAG: &str = "proximity";

/// How the line in a container's notes begins that says the same. Both are asked for: tags are given by hand, and to apps too.
pub const MARK: &str = "Proximity network appliance";

/// What a container made by Proximity is, by the line in its notes. While one takes the place of another there are two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seat {
    /// The appliance.
    #[default]
    Acting,
    /// It is built beside the appliance and is to take its place.
    Next,
    /// Another one took its place.
    Former,
}

/// What stands in the notes behind the mark of one that is not acting.
const NEXT: &str = " to be";
const FORMER: &str = " that was";

impl Seat {
    /// The line in the notes.
    pub fn note(self) -> String {
        let seat = match self {
            Seat::Acting => "",
            Seat::Next => NEXT,
            Seat::Former => FORMER,
        };
        format!("{MARK}{seat}. Made and kept by Proximity; see: proximity manual appliance")
    }

    /// What that is.
    pub fn words(self) -> &'static str {
        match self {
            Seat::Acting => "is Proximity's appliance",
            Seat::Next => "is to be Proximity's appliance",
            Seat::Former => "was Proximity's appliance",
        }
    }

    /// Of a container, where its notes say so.
    pub fn of(guest: &Guest) -> Option<Seat> {
        guest.notes.iter().find_map(|n| n.strip_prefix(MARK)).map(|rest| match rest {
            _ if rest.starts_with(NEXT) => Seat::Next,
            _ if rest.starts_with(FORMER) => Seat::Former,
            _ => Seat::Acting,
        })
    }
}

/// Whether a container says that Proximity made it to be the appliance.
pub fn is_ours(guest: &Guest) -> bool {
    guest.tags.iter().any(|t| t == TAG) && Seat::of(guest).is_some()
}

/// The appliance of a node among its guests: the container whose notes say so; of two, in the moment in which one takes the
/// other's place, that which runs; else whatever stands at [`VMID`].
pub fn of(guests: &[Guest], node: Option<&str>) -> Vmid {
    let here = |g: &&Guest| g.node.is_none() || node.is_none() || g.node.as_deref() == node;
    let acting = guests.iter().filter(here).filter(|g| Seat::of(g) == Some(Seat::Acting));
    acting.max_by_key(|g| (g.power == Power::Running, g.id)).map_or(VMID, |g| g.id)
}

/// Whether this guest is no app: the appliance of this node, of which the id is told, or one of another node or time.
pub fn is_none_of_apps(guest: &Guest, appliance: Vmid) -> bool {
    guest.id == appliance || Seat::of(guest).is_some()
}

/// dnsmasq's log inside the appliance.
pub const DNSMASQ_LOG: &str = "/var/log/dnsmasq.log";

/// Whom Caddy runs as, by the packages of both systems.
pub const CADDY_USER: &str = "caddy";

/// Caddy's access log inside the appliance, JSON lines.
pub const CADDY_LOG: &str = "/var/log/caddy/access.log";

/// What dnsmasq lent, inside the appliance; the same place on both systems (facts §12.3).
pub const LEASES: &str = "/var/lib/misc/dnsmasq.leases";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::desired::tests::guest;
    use super::*;

    #[test]
    fn which_it_is_is_told_by_notes() {
        let marked = |id: u32, note: &str, power, node: &str| Guest {
            power,
            node: Some(node.into()),
            ..guest(id, &format!("#{note}\nhostname: edge\ntags: proximity"))
        };
        let all = [
            marked(300, "my own words", Power::Running, "pve1"),
            marked(9997, &Seat::Acting.note(), Power::Stopped, "pve1"),
            marked(9998, &Seat::Acting.note(), Power::Running, "pve2"),
            marked(9996, &Seat::Former.note(), Power::Running, "pve1"),
            marked(9995, &Seat::Next.note(), Power::Running, "pve1"),
        ];
        let id = |n: u32| Vmid::try_from(n).unwrap();
        assert_eq!(of(&all, Some("pve1")), id(9997), "it is its node's, and neither one that was nor one to be, whatever runs");
        assert_eq!((of(&all, Some("pve2")), of(&all[..1], Some("pve1"))), (id(9998), VMID));
        let apps: Vec<u32> = all.iter().filter(|g| !is_none_of_apps(g, id(9997))).map(|g| g.id.into()).collect();
        assert_eq!(apps, [300], "none of them is an app");
        let told = instance::instances(&all, id(9997), Some("pve1"), &Ok(String::new()));
        let words: Vec<_> = told.iter().map(|i| i.words()).collect();
        assert_eq!(
            words,
            [
                "9997 edge stopped: acting",
                "9995 edge running: to be, not finished",
                "9996 edge running: the one that was",
                "9998 edge on pve2 running: acting there"
            ]
        );
        for seat in [Seat::Acting, Seat::Next, Seat::Former] {
            assert_eq!(Seat::of(&guest(100, &format!("#{}", seat.note()))), Some(seat));
        }
        // A note by hand, as it is asked for where the tag or the note is lacking.
        assert_eq!(Seat::of(&guest(100, "#Proximity network appliance")), Some(Seat::Acting));
    }
}
