//! What must hold between settings. Asked before a save by whoever edits, and again inside the transaction that saves,
//! because two consoles may change two halves of a rule.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Key, Settings, Value};
use crate::domain::appliance::is_none_of_apps;
use crate::domain::world::World;

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Keys it is between.
    pub keys: Vec<Key>,
    /// What is wrong and what would be right.
    pub why: String,
}

/// A guest with an address of its own in its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// The guest, `104 wiki`.
    pub guest: String,
    /// Its address.
    pub address: IpAddr,
    /// The bridge it is on.
    pub bridge: String,
}

/// The fixed addresses of all guests, as far as their configurations were read; the appliance's follow the settings.
pub fn fixed_addresses(world: &World) -> Vec<Fixed> {
    let guests = world.guests.get().into_iter().flatten().filter(|g| !is_none_of_apps(g, world.appliance_id()));
    let of = |g: &crate::domain::guest::Guest| {
        g.nics
            .iter()
            .filter_map(|n| {
                let address = n.ip.as_deref()?.split('/').next()?.parse().ok()?;
                Some(Fixed { guest: g.title(), address, bridge: n.bridge.clone().unwrap_or_default() })
            })
            .collect::<Vec<_>>()
    };
    guests.flat_map(of).collect()
}

/// What does not hold in these settings. A rule is passed over where one of its values is not set or cannot be read:
/// that is told on its own.
pub fn check(settings: &Settings, fixed: &[Fixed]) -> Vec<Trouble> {
    let mut rules = Rules { settings, out: Vec::new() };
    rules.network(fixed);
    rules.ports();
    rules.certificates();
    rules.out
}

struct Rules<'a> {
    settings: &'a Settings,
    out: Vec<Trouble>,
}

impl Rules<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        self.settings.value(&name.parse().ok()?).ok()?
    }

    fn must(&mut self, holds: bool, names: &[&str], why: impl FnOnce() -> String) {
        if !holds {
            let keys = names.iter().filter_map(|n| n.parse().ok()).collect();
            self.out.push(Trouble { keys, why: why() });
        }
    }

    fn network(&mut self, fixed: &[Fixed]) {
        const NET: &str = "network.subnet";
        const GATEWAY: &str = "network.gateway";
        const DHCP: &str = "network.dhcp";
        let net = if let Some(Value::Net(net)) = self.value(NET) { Some(net) } else { None };
        let gateway = if let Some(Value::Address(a)) = self.value(GATEWAY) { Some(a) } else { None };
        let dhcp = if let Some(Value::Range(a, b)) = self.value(DHCP) { Some((a, b)) } else { None };
        if let Some(net) = net {
            self.must(room(&net), &[NET], || format!("the network {net} has no room for a gateway and apps; take at least /29"));
        }
        if let (Some(net), Some(gateway)) = (net, gateway) {
            self.must(net.contains(&gateway), &[GATEWAY, NET], || format!("the gateway {gateway} lies outside the network {net}"));
            self.must(!is_edge(&net, gateway), &[GATEWAY, NET], || {
                format!("{gateway} is the first or last address of {net}, which no host may have")
            });
        }
        if let (Some(net), Some((a, b))) = (net, dhcp) {
            let inside = net.contains(&a) && net.contains(&b);
            self.must(inside, &[DHCP, NET], || format!("the DHCP range {a}-{b} does not lie in the network {net}"));
            self.must(!inside || !(is_edge(&net, a) || is_edge(&net, b)), &[DHCP, NET], || {
                format!("the DHCP range {a}-{b} takes in the first or last address of {net}, which no host may have")
            });
        }
        let Some((a, b)) = dhcp else { return };
        if let Some(gateway) = gateway {
            self.must(!within(a, b, gateway), &[DHCP, GATEWAY], || format!("the gateway {gateway} lies in the DHCP range {a}-{b}"));
        }
        let bridge = self.value("network.lan_bridge").map(|v| v.to_string()).unwrap_or_default();
        for f in fixed.iter().filter(|f| f.bridge == bridge && within(a, b, f.address)) {
            let (guest, address) = (&f.guest, f.address);
            self.must(false, &[DHCP], || format!("guest {guest} has the fixed address {address}, which lies in the DHCP range {a}-{b}"));
        }
        for f in fixed.iter().filter(|f| f.bridge == bridge && gateway == Some(f.address)) {
            let (guest, address) = (&f.guest, f.address);
            self.must(false, &[GATEWAY], || format!("guest {guest} has the address of the gateway, {address}"));
        }
        const BRIDGES: [&str; 2] = ["network.wan_bridge", "network.lan_bridge"];
        let wan = self.value(BRIDGES[0]).map(|v| v.to_string());
        self.must(wan.as_deref() != Some(bridge.as_str()), &BRIDGES, || {
            format!("WAN and LAN are both {bridge}, so apps would not be kept apart")
        });
    }

    fn certificates(&mut self) {
        const BOTH: [&str; 2] = ["system.cert_warn", "system.cert_bad"];
        let (Some(Value::Span(warn)), Some(Value::Span(bad))) = (self.value(BOTH[0]), self.value(BOTH[1])) else { return };
        self.must(bad <= warn, &BOTH, || {
            format!("a certificate would be urgent ({}) before it is to be looked at ({})", Value::Span(bad), Value::Span(warn))
        });
    }

    fn ports(&mut self) {
        const BOTH: [&str; 2] = ["ports.public", "ports.internal"];
        let (Some(Value::Ports(a, b)), Some(Value::Ports(c, d))) = (self.value(BOTH[0]), self.value(BOTH[1])) else { return };
        self.must(b < c || d < a, &BOTH, || format!("public ports {a}-{b} and internal ports {c}-{d} share some"));
        self.must(b - a == d - c, &BOTH, || {
            format!("{} public and {} internal ports; each public one needs its internal one", u32::from(b - a) + 1, u32::from(d - c) + 1)
        });
    }
}

/// Whether the network has at least six addresses for hosts.
fn room(net: &IpNet) -> bool {
    net.max_prefix_len() - net.prefix_len() >= 3
}

/// First and last address of an IPv4 network; of IPv6 the first, which belongs to all routers (RFC 4291 2.6.1).
fn is_edge(net: &IpNet, address: IpAddr) -> bool {
    address == net.network() || (address.is_ipv4() && address == net.broadcast())
}

fn within(a: IpAddr, b: IpAddr, address: IpAddr) -> bool {
    a.is_ipv4() == address.is_ipv4() && (a..=b).contains(&address)
}
