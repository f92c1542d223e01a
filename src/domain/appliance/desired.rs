//! How the appliance should be: settings and guests brought together into typed values, or why that cannot be done.
//!
//! No text of a user gets further than here: what is not an address, a number or one of [`super::names`] stays out and is said.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use super::forward::{Forward, Opened};
use super::names::{Interface, Label, Mac, Name};
use super::system::System;
use crate::domain::clean::clean;
use crate::domain::guest::{Guest, Kind, Vmid};
use crate::domain::settings::{Settings, Value};

/// Counts changes of what is generated, so that a file of an older Proximity is told from one changed by hand.
pub const FORMAT: u32 = 2;

/// The interface inside that leads out; `net0` of the container.
pub const WAN: &str = "eth0";

/// The interface inside that the apps are behind; `net1` of the container.
pub const LAN: &str = "eth1";

/// How the appliance should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// What it runs.
    pub system: System,
    /// Its host name.
    pub name: Label,
    /// Network of the apps.
    pub lan: Ipv4Net,
    /// Its own address there.
    pub gateway: Ipv4Addr,
    /// First and last address that is lent.
    pub pool: (Ipv4Addr, Ipv4Addr),
    /// Seconds an address is lent.
    pub lease_s: u64,
    /// Apps are called NAME.DOMAIN.
    pub domain: Name,
    /// Who is asked for all other names.
    pub upstream: Vec<IpAddr>,
    /// Bridge of the host that leads out.
    pub wan_bridge: Interface,
    /// Bridge of the apps.
    pub lan_bridge: Interface,
    /// Ports for everybody.
    pub public: (u16, u16),
    /// Ports for trusted sources.
    pub internal: (u16, u16),
    /// Who may use internal ports from outside.
    pub trusted: Vec<Ipv4Net>,
    /// Addresses that apps must not reach: those of the node itself.
    pub guarded: Vec<Ipv4Addr>,
    /// Apps that ask for their address, by hardware address.
    pub clients: Vec<Client>,
    /// Apps with an address of their own, by name.
    pub records: Vec<(Label, Ipv4Addr)>,
    /// What is carried by rules, by its ports.
    #[serde(default)]
    pub forwards: Vec<Forward>,
    /// Internal ports that are for others than those who are trusted.
    #[serde(default)]
    pub opened: Vec<Opened>,
    /// Whether every DNS query is logged.
    pub log_queries: bool,
    /// What was left out and why, one sentence each.
    pub notes: Vec<String>,
}

/// An app that asks for its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its hardware address.
    pub mac: Mac,
    /// Its name, whatever it calls itself.
    pub name: Option<Label>,
    /// The address it always gets; none where any of the range will do.
    pub address: Option<Ipv4Addr>,
}

/// What settings do not tell.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// Addresses of the node that apps must not reach.
    pub guarded: Vec<Ipv4Addr>,
    /// Addresses that were made static.
    pub pins: BTreeMap<Mac, Ipv4Addr>,
    /// Log every DNS query.
    pub log_queries: bool,
}

/// How the appliance should be; else what stands in the way, one sentence each.
pub fn desired(settings: &Settings, appliance: Option<&Guest>, guests: &[Guest], around: &Around) -> Result<Desired, Vec<String>> {
    let mut read = Read { settings, bad: Vec::new() };
    let lan = read.of("network.subnet", |v| if let Value::Net(IpNet::V4(net)) = v { Some(*net) } else { None });
    let gateway = read.of("network.gateway", |v| if let Value::Address(IpAddr::V4(a)) = v { Some(*a) } else { None });
    let pool = read.of("network.dhcp", |v| if let Value::Range(IpAddr::V4(a), IpAddr::V4(b)) = v { Some((*a, *b)) } else { None });
    let lease_s = read.of("network.lease", |v| if let Value::Span(s) = v { Some(*s) } else { None });
    let domain = read.of("network.domain", |v| Name::new(&v.to_string()));
    let upstream = read.of("network.upstream", |v| if let Value::Addresses(all) = v { Some(all.clone()) } else { None });
    let wan_bridge = read.of("network.wan_bridge", |v| Interface::new(&v.to_string()));
    let lan_bridge = read.of("network.lan_bridge", |v| Interface::new(&v.to_string()));
    let ports = |v: &Value| if let Value::Ports(a, b) = v { Some((*a, *b)) } else { None };
    let (public, internal) = (read.of("ports.public", ports), read.of("ports.internal", ports));
    let trusted = read.optional("ports.trusted", |v| if let Value::Nets(all) = v { Some(all.clone()) } else { None }).unwrap_or_default();
    read.bad.extend(crate::domain::settings::check(settings, &[]).into_iter().map(|t| t.why));
    let system = appliance.map_or(Some(System::Alpine), System::of);
    if system.is_none() {
        let os = appliance.and_then(|g| g.ostype.as_deref()).map_or("not told".into(), clean);
        read.bad.push(format!("the appliance's system is {os}; alpine and debian are known"));
    }
    let bad = read.bad;
    let (Some(system), Some(lan), Some(gateway), Some(pool), Some(lease_s), Some(domain)) = (system, lan, gateway, pool, lease_s, domain)
    else {
        return Err(bad);
    };
    let (Some(upstream), Some(wan_bridge), Some(lan_bridge), Some(public), Some(internal)) =
        (upstream, wan_bridge, lan_bridge, public, internal)
    else {
        return Err(bad);
    };
    if !bad.is_empty() {
        return Err(bad);
    }
    let mut notes = Vec::new();
    let (trusted, six): (Vec<IpNet>, Vec<IpNet>) = trusted.into_iter().partition(|n| matches!(n, IpNet::V4(_)));
    notes.extend(six.iter().map(|n| format!("ports.trusted: {n} is left out: internal ports are opened for IPv4 only")));
    let trusted = trusted.into_iter().filter_map(|n| if let IpNet::V4(net) = n { Some(net) } else { None }).collect();
    let name = appliance.and_then(|g| g.name.as_deref()).and_then(Label::new);
    let name = name.or_else(|| Label::new("prox-appliance")).ok_or_else(Vec::new)?;
    let mut guarded = around.guarded.clone();
    guarded.sort();
    guarded.dedup();
    let mut out = Desired {
        system,
        name,
        lan,
        gateway,
        pool,
        lease_s,
        domain,
        upstream,
        wan_bridge,
        lan_bridge,
        public,
        internal,
        trusted,
        guarded,
        clients: Vec::new(),
        records: Vec::new(),
        forwards: Vec::new(),
        opened: Vec::new(),
        log_queries: around.log_queries,
        notes,
    };
    out.take_guests(guests, appliance.map_or(super::VMID, |g| g.id), &around.pins);
    Ok(out)
}

impl Desired {
    fn take_guests(&mut self, guests: &[Guest], appliance: Vmid, pins: &BTreeMap<Mac, Ipv4Addr>) {
        let mut clients: BTreeMap<Mac, Client> = BTreeMap::new();
        let mut names: BTreeMap<Label, String> = BTreeMap::from([(self.name.clone(), "the appliance".to_owned())]);
        for guest in guests.iter().filter(|g| g.kind == Kind::Lxc && !super::is_none_of_apps(g, appliance) && !g.template) {
            // One that is unplugged asks for no address, and its hardware address may be that of who took its place.
            for nic in guest.nics.iter().filter(|n| n.bridge.as_deref() == Some(self.lan_bridge.as_str()) && !n.is_unplugged()) {
                let mut name = guest.name.as_deref().and_then(Label::new);
                if guest.name.is_some() && name.is_none() {
                    self.notes.push(format!("{} gets no name of its own: it is no DNS name", guest.title()));
                }
                if let Some(other) = name.as_ref().and_then(|n| names.get(n)).filter(|other| **other != guest.title()) {
                    self.notes.push(format!("{} gets no name of its own: {other} has the same", guest.title()));
                    name = None;
                }
                names.extend(name.clone().map(|n| (n, guest.title())));
                let own = nic.ip.as_deref().and_then(|ip| ip.split('/').next()?.parse::<Ipv4Addr>().ok());
                match (own, nic.hwaddr.as_deref().and_then(Mac::new)) {
                    (Some(address), _) => self.records.extend(name.map(|n| (n, address))),
                    (None, Some(mac)) if clients.contains_key(&mac) => {
                        self.notes.push(format!("{}: another guest has its hardware address {mac}", guest.title()));
                    }
                    (None, Some(mac)) => {
                        let address = pins.get(&mac).copied().filter(|a| self.lan.contains(a) && *a != self.gateway);
                        clients.insert(mac, Client { mac, name, address });
                    }
                    (None, None) => self.notes.push(format!("{} {}: its hardware address is not known", guest.title(), clean(&nic.key))),
                }
            }
        }
        self.clients = clients.into_values().collect();
        self.records.sort();
        self.records.dedup();
    }

    /// How many addresses can be lent.
    pub fn pool_size(&self) -> u32 {
        u32::from(self.pool.1).saturating_sub(u32::from(self.pool.0)).saturating_add(1)
    }
}

struct Read<'a> {
    settings: &'a Settings,
    bad: Vec<String>,
}

impl Read<'_> {
    fn held(&mut self, key: &str) -> Option<Value> {
        match key.parse().and_then(|key| self.settings.value(&key)) {
            Ok(value) => value,
            Err(why) => {
                self.bad.push(format!("{key}: {why}"));
                None
            }
        }
    }

    fn optional<T>(&mut self, key: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        read(&self.held(key)?)
    }

    fn of<T>(&mut self, key: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let before = self.bad.len();
        let held = self.held(key);
        let out = held.as_ref().and_then(read);
        if out.is_none() && self.bad.len() == before {
            let why = held.map_or("it is not set".into(), |v| format!("{v} cannot be used: the appliance serves IPv4"));
            self.bad.push(format!("{key}: {why}"));
        }
        out
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use crate::domain::conf::parse_lxc;
    use crate::domain::settings::{Change, Key};

    pub fn settings(pairs: &[(&str, &str)]) -> Settings {
        let changes: Vec<(Key, Change)> = pairs
            .iter()
            .map(|(key, value)| {
                let key: Key = key.parse().unwrap();
                let value = key.definition().parse(value).unwrap();
                (key, Change::Set(value))
            })
            .collect();
        Settings::default().with(changes.iter().map(|(k, c)| (k, c)))
    }

    pub fn guest(id: u32, conf: &str) -> Guest {
        parse_lxc(Vmid::try_from(id).unwrap(), conf)
    }

    pub fn sample() -> Desired {
        let guests = [
            guest(101, "hostname: Web\nnet0: name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:02,ip=dhcp"),
            guest(102, "hostname: wiki\nnet0: name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:01,ip=dhcp"),
            guest(103, "hostname: db\nnet0: name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:03,ip=10.20.0.20/24"),
            guest(104, "hostname: elsewhere\nnet0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:04,ip=dhcp"),
            guest(105, "hostname: web\nnet0: name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:05,ip=dhcp"),
        ];
        let around = Around {
            guarded: vec!["192.168.1.2".parse().unwrap()],
            pins: BTreeMap::from([(Mac::new("bc:24:11:00:00:01").unwrap(), "10.20.0.102".parse().unwrap())]),
            log_queries: false,
        };
        let settings = settings(&[("network.upstream", "1.1.1.1, 9.9.9.9"), ("ports.trusted", "192.168.1.0/24, fd00::/8")]);
        let appliance = guest(9999, "hostname: edge\nostype: alpine");
        desired(&settings, Some(&appliance), &guests, &around).unwrap()
    }

    #[test]
    fn settings_and_guests_make_it() {
        let d = sample();
        let names: Vec<_> = d.clients.iter().map(|c| c.name.as_ref().map(ToString::to_string)).collect();
        assert_eq!(names, [Some("wiki".to_owned()), Some("web".to_owned()), None]);
        assert_eq!(d.clients[0].address, Some(Ipv4Addr::new(10, 20, 0, 102)));
        assert_eq!((d.records.len(), d.pool_size(), d.name.to_string().as_str()), (1, 151, "edge"));
        assert_eq!(d.notes.len(), 2, "{:?}", d.notes);
    }

    /// Who was put aside has the hardware address of who took its place, and neither its name nor its line.
    #[test]
    fn who_is_unplugged_is_nobody_there() {
        let net = "net0: name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:01,ip=dhcp";
        let of = |guests: &[Guest]| desired(&Settings::default(), None, guests, &Around::default()).unwrap();
        let alone = of(&[guest(103, &format!("hostname: web\n{net}"))]);
        let both = of(&[guest(101, &format!("hostname: web-101\n{net},link_down=1")), guest(103, &format!("hostname: web\n{net}"))]);
        assert_eq!((both.clients.len(), &both.clients, &both.notes), (1, &alone.clients, &alone.notes));
    }

    #[test]
    fn what_stands_in_the_way_is_said() {
        let none: &[Guest] = &[];
        let of = |pairs: &[(&str, &str)]| desired(&settings(pairs), None, none, &Around::default());
        assert!(of(&[]).is_ok());
        let why = of(&[("network.subnet", "fd00::/64"), ("network.gateway", "fd00::1"), ("network.dhcp", "fd00::2-fd00::9")]).unwrap_err();
        assert_eq!(why.len(), 3, "{why:?}");
        assert!(of(&[("network.gateway", "10.20.0.120")]).unwrap_err()[0].contains("DHCP range"));
        let odd = guest(9999, "ostype: \u{1b}[2Jnixos");
        let why = desired(&Settings::default(), Some(&odd), none, &Around::default()).unwrap_err();
        assert!(why[0].contains("nixos") && !why[0].contains('\u{1b}'), "{why:?}");
    }
}
