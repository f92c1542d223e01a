//! What comes back when one port is asked about, and how it is called from outside.

use super::{Listener, Past};
use crate::domain::appliance::desired::WAN;
use crate::domain::appliance::names::Name;
use crate::domain::service::Carry;
use crate::domain::world::{Gap, World};

/// What has one port now besides us, and who had it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The port.
    pub port: u16,
    /// What listens there, most telling first.
    pub listens: Vec<Listener>,
    /// Who had it, newest first.
    pub past: Vec<Past>,
    /// What could not be told.
    pub gaps: Vec<Gap>,
}

/// Where somebody outside reaches a port: the appliance's own address where it is fixed, else its name.
///
/// Fails with why neither is known, one sentence.
pub fn url(world: &World, port: u16, carry: Carry) -> Result<String, String> {
    let id = world.appliance_id();
    let appliance = world.guest(id).ok_or_else(|| format!("the appliance {id} is not there, or not known"))?;
    let outer = appliance.nics.iter().find(|n| n.name == WAN);
    let address = outer.and_then(|n| n.ip.as_deref()?.split('/').next()?.parse::<std::net::Ipv4Addr>().ok());
    let name = || appliance.name.as_deref().and_then(Name::new).map(|n| n.to_string());
    let host =
        address.map(|a| a.to_string()).or_else(name).ok_or_else(|| format!("the appliance {id} has no fixed address and no name"))?;
    Ok(match carry {
        Carry::Http => format!("http://{host}:{port}"),
        Carry::Tcp | Carry::Udp => format!("{host}:{port}"),
    })
}
