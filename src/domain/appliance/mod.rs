//! The network appliance: which guest it is, how it should be, and what its lamps say.
//!
//! ```text
//! system.rs   the two systems it may run: services, commands, places of files
//! names.rs    names and hardware addresses that may stand in a generated file
//! desired.rs  settings and guests → how it should be
//! files.rs    how it should be → its files, byte for byte; nat.rs: the rules among them
//! lease.rs    what dnsmasq lent, joined to the guests; how much of the range is left
//! hold.rs     leases made static, or taken back
//! provision.rs  what is there → the plan that builds or mends it
//! remains.rs  what a creation left that was broken off
//! fallback.rs the way past it, and back
//! answer.rs   what a question to the appliance gave;  tar.rs: many files in one answer
//! lamp.rs     a lamp and its evidence;  judge.rs: answers → lamps
//! ```

use super::guest::{Guest, Vmid};

pub mod answer;
pub mod desired;
pub mod fallback;
pub mod files;
pub mod hold;
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
}

/// Where the appliance lives unless settings say otherwise.
pub const VMID: u32 = 9999;

/// The tag by which a container says that it is Proximity's.
pub const TAG: &str = "proximity";

/// The line in a container's notes that says the same. Both are asked for: tags are given by hand, and to apps too.
pub const MARK: &str = "Proximity network appliance";

/// Whether a container says that Proximity made it to be the appliance.
pub fn is_ours(guest: &Guest) -> bool {
    guest.tags.iter().any(|t| t == TAG) && guest.notes.iter().any(|n| n.starts_with(MARK))
}

/// The appliance's id.
pub fn vmid() -> Option<Vmid> {
    Vmid::try_from(VMID).ok()
}

/// Whether this guest is the appliance.
pub fn is_appliance(guest: &Guest) -> bool {
    u32::from(guest.id) == VMID
}

/// dnsmasq's log inside the appliance.
pub const DNSMASQ_LOG: &str = "/var/log/dnsmasq.log";

/// Whom Caddy runs as, by the packages of both systems.
pub const CADDY_USER: &str = "caddy";

/// Caddy's access log inside the appliance, JSON lines.
pub const CADDY_LOG: &str = "/var/log/caddy/access.log";

/// What dnsmasq lent, inside the appliance; the same place on both systems (facts §12.3).
pub const LEASES: &str = "/var/lib/misc/dnsmasq.leases";
