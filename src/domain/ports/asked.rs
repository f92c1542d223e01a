//! What comes back when one port is asked about, and how it is called from outside.

use std::net::Ipv4Addr;

use super::{Listener, Past};
use crate::domain::appliance::desired::WAN;
use crate::domain::appliance::names::Name;
use crate::domain::service::{Spec, Tls};
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

/// How somebody outside calls a port: by the name that its certificate is for, else by the appliance's own address where that is
/// fixed, else by its name. `spec` is what is published there.
///
/// Fails with why nothing of it is known, one sentence.
pub fn url(world: &World, port: u16, spec: Option<&Spec>) -> Result<String, String> {
    let id = world.appliance_id();
    let appliance = world.guest(id).ok_or_else(|| format!("the appliance {id} is not there, or not known"))?;
    let outer = appliance.nics.iter().find(|n| n.name == WAN);
    let address = outer.and_then(|n| n.ip.as_deref()?.split('/').next()?.parse::<Ipv4Addr>().ok());
    let name = || appliance.name.as_deref().and_then(Name::new).map(|n| n.to_string());
    let own = address.map(|a| a.to_string()).or_else(name);
    let host = match spec.map(|s| &s.tls) {
        Some(Tls::Acme { name, .. }) => Some(name.to_string()),
        // It has certificates for these alone.
        Some(Tls::Internal { names }) => {
            own.filter(|own| names.iter().any(|n| n.to_string() == *own)).or(names.first().map(ToString::to_string))
        }
        Some(Tls::Off | Tls::Given { .. }) | None => own,
    };
    let host = host.ok_or_else(|| format!("the appliance {id} has no fixed address and no name"))?;
    Ok(match spec.map_or("http", Spec::scheme) {
        scheme @ ("http" | "https") => format!("{scheme}://{host}:{port}"),
        _ => format!("{host}:{port}"),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::appliance;
    use crate::domain::guest::{Guest, Kind, Nic};
    use crate::domain::service::Carry;
    use crate::domain::stamp::Stamp;
    use crate::domain::world::{From, Part};

    fn world(ip: &str, name: &str) -> World {
        let mut guest = Guest::bare(appliance::VMID, Kind::Lxc);
        guest.nics = vec![Nic { name: WAN.into(), ip: Some(ip.into()), ..Nic::default() }];
        guest.name = Some(name.into());
        World { guests: Part::new(vec![guest], Stamp(1), From::Files), ..World::default() }
    }

    #[test]
    fn a_url_is_what_a_visitor_must_call() {
        let fixed = world("192.168.1.40/24", "edge");
        let is = |world: &World, spec: Option<&Spec>| url(world, 30_017, spec).unwrap();
        assert_eq!(is(&fixed, None), "http://192.168.1.40:30017");
        assert_eq!(is(&world("dhcp", "edge"), None), "http://edge:30017");
        let spec = |tls, carry| Spec { tls, carry, ..Spec::to("web:80".parse().unwrap()) };
        assert_eq!(is(&fixed, Some(&spec(Tls::Off, Carry::Tcp))), "192.168.1.40:30017");
        let internal = |names: &[&str]| Tls::Internal { names: names.iter().map(|n| n.parse().unwrap()).collect() };
        let of = |names: &[&str]| is(&fixed, Some(&spec(internal(names), Carry::Http)));
        assert_eq!(of(&["cloud.lan", "192.168.1.40"]), "https://192.168.1.40:30017");
        assert_eq!(of(&["cloud.lan"]), "https://cloud.lan:30017", "for its address it has no certificate");
        assert_eq!(url(&world("dhcp", "e\x1b[2J"), 1, None).unwrap_err(), "the appliance 9999 has no fixed address and no name");
        assert!(url(&World::default(), 1, None).is_err());
    }
}
