//! The network appliance: which guest it is, and the logs it keeps.

use super::guest::{Guest, Vmid};

/// Where the appliance lives unless settings say otherwise.
pub const VMID: u32 = 9999;

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

/// Caddy's access log inside the appliance, JSON lines.
pub const CADDY_LOG: &str = "/var/log/caddy/access.log";
