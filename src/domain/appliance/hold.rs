//! Leases in the operator's hands: one that is to be static, one that is not to be any more, one that is to be taken back.
//!
//! A pin is a wish like a setting: it is remembered first, and a plan carries it out. A worker that is killed in between
//! leaves a wish that is not in force yet, which the lamp `config` says and `converge` mends; the other way round there
//! would be an address in force that nobody remembers, and the next `converge` would take it away.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::LEASES;
use super::desired::Desired;
use super::lease::{Lease, Leases};
use super::names::Mac;
use super::system::Service;
use crate::domain::change::Place;
use crate::domain::clean::clean;
use crate::domain::guest::{Guest, Vmid};
use crate::domain::plan::{Check, Step, Wants};
use crate::domain::pve;
use crate::domain::stamp::Stamp;

/// An address that is always lent to one hardware address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Whose it is.
    pub mac: Mac,
    /// The address.
    pub address: Ipv4Addr,
    /// Who wished so.
    pub by: String,
    /// When.
    pub at: Stamp,
}

/// All pins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pins {
    /// Those that hold, by hardware address.
    pub all: Vec<Pin>,
    /// Rows that cannot be relied on: whose, where that can be read, and why, one sentence. While there are some, how the
    /// appliance should be is not known.
    pub bad: Vec<(Option<Mac>, String)>,
}

impl Pins {
    /// The addresses; else why they are not known.
    pub fn addresses(&self) -> Result<BTreeMap<Mac, Ipv4Addr>, String> {
        match &self.bad[..] {
            [] => Ok(self.sound()),
            bad => Err(bad.iter().map(|(_, why)| why.as_str()).collect::<Vec<_>>().join("; ")),
        }
    }

    /// The addresses of those that can be relied on.
    pub fn sound(&self) -> BTreeMap<Mac, Ipv4Addr> {
        self.all.iter().map(|p| (p.mac, p.address)).collect()
    }

    /// What cannot be relied on and stays so when the pin of `mac` is made anew or taken away. A row that names nobody goes
    /// with any change.
    pub fn bad_beside(&self, mac: Mac) -> Option<&str> {
        self.bad.iter().find(|(whose, _)| whose.is_some_and(|m| m != mac)).map(|(_, why)| why.as_str())
    }
}

/// One change of the pins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinChange {
    /// Whose address it is.
    pub mac: Mac,
    /// The address; `None` takes the pin away.
    pub address: Option<Ipv4Addr>,
}

impl PinChange {
    /// As the title of a plan, with the guest that has the hardware address, if one has.
    pub fn title(&self, guest: Option<&Guest>) -> String {
        let who = guest.map_or_else(|| self.mac.to_string(), Guest::title);
        match self.address {
            Some(address) => format!("always lend {address} to {who}"),
            None => format!("lend any address to {who} again"),
        }
    }

    /// In words.
    pub fn words(&self) -> String {
        match self.address {
            Some(address) => format!("{} is always lent {address}; this is remembered before anything is done", self.mac),
            None => format!("{} may be lent any address; this is remembered before anything is done", self.mac),
        }
    }
}

/// Whose lease is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Who was lent this address, or has it pinned.
    Address(Ipv4Addr),
    /// This guest.
    Guest(Vmid),
    /// This hardware address.
    Mac(Mac),
}

impl FromStr for Holder {
    type Err = String;
    fn from_str(text: &str) -> Result<Holder, String> {
        let address = || text.parse().ok().map(Holder::Address);
        let found = address().or_else(|| Mac::new(text).map(Holder::Mac)).or_else(|| text.parse().ok().map(Holder::Guest));
        found.ok_or_else(|| format!("'{}' is no address such as 10.20.0.105, no id of a guest and no hardware address", clean(text)))
    }
}

/// What is wished of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseWish {
    /// Make it static: at the address it has, or at this one.
    Pin(Holder, Option<Ipv4Addr>),
    /// Not static any more.
    Unpin(Holder),
    /// Take it back: its guest is gone.
    Release(Holder),
}

impl LeaseWish {
    /// As the title of a plan.
    pub fn words(&self) -> String {
        let of = |holder: &Holder| match holder {
            Holder::Address(address) => address.to_string(),
            Holder::Guest(id) => format!("guest {id}"),
            Holder::Mac(mac) => mac.to_string(),
        };
        match self {
            LeaseWish::Pin(holder, None) => format!("make the lease of {} static", of(holder)),
            LeaseWish::Pin(holder, Some(address)) => format!("always lend {address} to {}", of(holder)),
            LeaseWish::Unpin(holder) => format!("let the lease of {} be dynamic", of(holder)),
            LeaseWish::Release(holder) => format!("take the lease of {} back", of(holder)),
        }
    }
}

/// What a lease's wish is decided by.
pub struct Known<'a> {
    /// How the appliance should be, by the pins that hold.
    pub wish: &'a Desired,
    /// The pins that hold.
    pub pins: &'a BTreeMap<Mac, Ipv4Addr>,
    /// Whose pins cannot be relied on.
    pub bad: &'a [(Option<Mac>, String)],
    /// What was lent.
    pub leases: &'a Leases,
    /// All guests.
    pub guests: &'a [Guest],
    /// Now; what ended before it is nobody's any more.
    pub now: Stamp,
}

impl Known<'_> {
    /// The change of the pins; `None` where it is so already; else why it is refused.
    pub fn pin(&self, of: &Holder, to: Option<Ipv4Addr>) -> Result<Option<PinChange>, String> {
        let d = self.wish;
        let mac = self.mac(of)?;
        if !d.clients.iter().any(|c| c.mac == mac) {
            return Err(format!("no guest asks for its address on {} with the hardware address {mac}", d.lan_bridge));
        }
        let address = match (to, self.lease(mac)?, self.pins.get(&mac)) {
            (Some(address), ..) => address,
            (None, Some(lease), _) => lease.address,
            (None, None, Some(held)) => *held,
            (None, None, None) => return Err(format!("{mac} has no lease now, so which address is not known; name one")),
        };
        self.free(mac, address)?;
        Ok((self.pins.get(&mac) != Some(&address)).then_some(PinChange { mac, address: Some(address) }))
    }

    /// The same for taking a pin away.
    pub fn unpin(&self, of: &Holder) -> Result<Option<PinChange>, String> {
        let mac = self.mac(of)?;
        let held = self.pins.contains_key(&mac) || self.bad.iter().any(|(whose, _)| *whose == Some(mac));
        Ok(held.then_some(PinChange { mac, address: None }))
    }

    /// The lease that is to be taken back; else why it is not.
    pub fn gone(&self, of: &Holder) -> Result<&Lease, String> {
        let mac = self.mac(of)?;
        let lease = match of {
            Holder::Address(address) => self.leases.all.iter().find(|l| l.address == *address),
            _ => self.lease(mac)?,
        };
        let lease = lease.ok_or_else(|| format!("{mac} has no lease"))?;
        // A configuration that could not be read may hold any hardware address.
        if let Some(unread) = self.guests.iter().find(|g| !g.conf_read) {
            return Err(format!("the configuration of {} could not be read, so whether its guest is gone is unknown", unread.id));
        }
        match self.guests.iter().find(|g| macs(g).any(|m| m == mac)) {
            Some(guest) => Err(format!("{} has the hardware address {mac} and would go on using {}", guest.title(), lease.address)),
            None => Ok(lease),
        }
    }

    fn mac(&self, of: &Holder) -> Result<Mac, String> {
        match of {
            Holder::Mac(mac) => Ok(*mac),
            Holder::Address(address) => {
                let pinned = self.pins.iter().find(|(_, a)| *a == address).map(|(mac, _)| *mac);
                let lent = self.leases.all.iter().find(|l| l.address == *address).map(|l| l.mac);
                match (lent, pinned) {
                    (Some(lent), Some(pinned)) if lent != pinned => {
                        Err(format!("{address} is lent to {lent} and kept for {pinned}; name one of both by its hardware address"))
                    }
                    (None, None) => Err(format!("{address} is not lent")),
                    (lent, pinned) => lent.or(pinned).ok_or_else(String::new),
                }
            }
            Holder::Guest(id) => {
                let guest = self.guests.iter().find(|g| g.id == *id).ok_or_else(|| format!("there is no guest {id}"))?;
                let bridge = self.wish.lan_bridge.as_str();
                let on = guest.nics.iter().filter(|n| n.bridge.as_deref() == Some(bridge) && n.ip.as_deref() == Some("dhcp"));
                let all: Vec<Mac> = on.filter_map(|n| Mac::new(n.hwaddr.as_deref()?)).collect();
                match all[..] {
                    [one] => Ok(one),
                    [] => Err(format!("{} asks for no address on {bridge}", guest.title())),
                    _ => Err(format!("{} has several interfaces on {bridge}; name one by its hardware address", guest.title())),
                }
            }
        }
    }

    /// The only lease of a hardware address.
    fn lease(&self, mac: Mac) -> Result<Option<&Lease>, String> {
        let all: Vec<&Lease> = self.leases.all.iter().filter(|l| l.mac == mac).collect();
        match all[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(format!("{mac} was lent several addresses; name one")),
        }
    }

    /// Whether nobody else has an address, or is to have it.
    fn free(&self, mac: Mac, address: Ipv4Addr) -> Result<(), String> {
        let d = self.wish;
        if !d.lan.contains(&address) || address == d.lan.network() || address == d.lan.broadcast() {
            return Err(format!("{address} is no address of an app in the network {}", d.lan));
        }
        if address == d.gateway {
            return Err(format!("{address} is the appliance's own address"));
        }
        if let Some((other, _)) = self.pins.iter().find(|(m, a)| **m != mac && **a == address) {
            return Err(format!("{address} is kept for {other}; take that away first: proximity appliance unpin {other}"));
        }
        if let Some((name, _)) = d.records.iter().find(|(_, a)| *a == address) {
            return Err(format!("{address} is the own address of {name}"));
        }
        let nics = self.guests.iter().flat_map(|g| g.nics.iter().map(move |n| (g, n)));
        let own = |ip: Option<&str>| ip.and_then(|ip| ip.split('/').next()?.parse().ok()) == Some(address);
        if let Some((guest, _)) = nics.into_iter().find(|(_, n)| own(n.ip.as_deref())) {
            return Err(format!("{address} is the own address of {}", guest.title()));
        }
        let lent = self.leases.all.iter().find(|l| l.address == address && l.mac != mac && l.expires.is_none_or(|e| e >= self.now));
        match lent {
            Some(lease) => Err(format!("{address} is lent to {}; dnsmasq would not give it to anybody else", lease.mac)),
            None => Ok(()),
        }
    }
}

/// The hardware addresses of a guest.
pub fn macs(guest: &Guest) -> impl Iterator<Item = Mac> {
    guest.nics.iter().filter_map(|n| Mac::new(n.hwaddr.as_deref()?))
}

/// What a static address means for whoever has another one now.
pub fn moves(leases: &Leases, change: &PinChange) -> Option<String> {
    let lease = leases.all.iter().find(|l| l.mac == change.mac)?;
    let to = change.address.filter(|to| *to != lease.address)?;
    Some(format!(
        "it has {} now, and gets {to} when it asks again: at its next start, at the latest after half its lease time",
        lease.address
    ))
}

/// What both systems' service managers end with when they are asked about a service that is stopped (facts §12.1, LSB).
const STOPPED: i32 = 3;

/// Steps that take a lease back. dnsmasq has all leases in its memory and writes the file whole with the next one: the line
/// goes while it is stopped, or it comes back.
pub fn release(d: &Desired, vmid: Vmid, lease: &Lease) -> Vec<Step> {
    let name = d.system.service(Service::Dnsmasq);
    let line = format!("/^[0-9]* {} {} /", lease.mac, lease.address.to_string().replace('.', "\\."));
    let before = format!("{LEASES}.proximity-before");
    let asks = |what: String, wants| Check::Says { what, cmd: pve::exec(vmid, d.system.status(Service::Dnsmasq)), wants };
    let out = Check::Says {
        what: "the lease is not in the file".into(),
        cmd: pve::exec(vmid, ["sed", "-n", &format!("{line}p"), LEASES]),
        wants: Wants::Nothing,
    };
    let forgotten = Check::Content { at: Place::Guest(vmid), path: before.clone(), digest: None };
    // What holds now does not any more after the steps before: each is done.
    let step = |title: String, argv: &[&str], check| {
        let cmd = pve::exec(vmid, argv.iter().copied()).limit(60);
        Step { always: true, ..Step::run(title, cmd, check) }
    };
    let start = d.system.restart(Service::Dnsmasq);
    let stop = step(format!("stop {name}"), &d.system.stop(Service::Dnsmasq), asks(format!("{name} does not run"), Wants::Status(STOPPED)));
    let edit = ["sed", "-i.proximity-before", &format!("{line}d"), LEASES];
    let edit = step(format!("take the lease of {} out of {LEASES}", lease.address), &edit, out);
    vec![
        stop.undone_by(pve::exec(vmid, start).limit(60)),
        edit.undone_by(pve::exec(vmid, ["mv", "-f", &before, LEASES])),
        step(format!("start {name}"), &start, asks(format!("{name} runs"), Wants::Success)),
        step("forget the file as it was".into(), &["rm", "-f", &before], forgotten),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::desired::tests::{guest, sample};
    use super::super::lease::parse;
    use super::*;

    const NOW: i64 = 1_795_195_000;
    const FILE: &str = "\
1795198786 bc:24:11:00:00:02 10.20.0.101 web 01:bc:24:11:00:00:02
1795198786 bc:24:11:00:00:77 10.20.0.103 * *
1795190000 bc:24:11:00:00:78 10.20.0.104 * *
1795198786 bc:24:11:00:00:09 10.20.0.105 twin *
1795198786 bc:24:11:00:00:09 10.20.0.106 twin ff:11
";

    fn mac(last: &str) -> Mac {
        Mac::new(&format!("bc:24:11:00:00:{last}")).unwrap()
    }

    /// What comes of each wish, in a word.
    fn told<T>(with: impl FnOnce(&Known<'_>) -> Result<T, String>) -> Result<T, String> {
        let (wish, leases) = (sample(), parse(FILE));
        let guests = [
            guest(101, "hostname: Web\nnet0: name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:02,ip=dhcp"),
            guest(102, "hostname: wiki\nnet0: name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:01,ip=dhcp"),
            guest(103, "hostname: db\nnet0: name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:03,ip=10.20.0.20/24"),
        ];
        let pins = BTreeMap::from([(mac("01"), "10.20.0.102".parse().unwrap()), (mac("55"), "10.20.0.90".parse().unwrap())]);
        let bad = [(Some(mac("44")), "x".to_owned())];
        let known = Known { wish: &wish, pins: &pins, bad: &bad, leases: &leases, guests: &guests, now: Stamp::from_secs(NOW) };
        with(&known)
    }

    fn pin(of: &str, to: Option<&str>) -> Result<Option<Ipv4Addr>, String> {
        told(|k| k.pin(&of.parse().unwrap(), to.map(|t| t.parse().unwrap()))).map(|c| c.and_then(|c| c.address))
    }

    #[test]
    fn a_lease_is_pinned_where_it_is_or_where_nobody_else_is() {
        let at = |text: &str| Ok(Some(text.parse::<Ipv4Addr>().unwrap()));
        for of in ["101", "10.20.0.101", "BC:24:11:00:00:02"] {
            assert_eq!(pin(of, None), at("10.20.0.101"), "{of}");
        }
        assert_eq!(pin("101", Some("10.20.0.30")), at("10.20.0.30"), "outside the range, inside the network");
        assert_eq!(pin("101", Some("10.20.0.104")), at("10.20.0.104"), "a lease that ended is nobody's");
        assert_eq!((pin("102", None), pin("10.20.0.102", None)), (Ok(None), Ok(None)), "it is so already");
        for (of, to, why) in [
            ("101", Some("10.20.1.9"), "no address of an app"),
            ("101", Some("10.20.0.0"), "no address of an app"),
            ("101", Some("10.20.0.255"), "no address of an app"),
            ("101", Some("10.20.0.1"), "the appliance's own"),
            ("101", Some("10.20.0.102"), "is kept for bc:24:11:00:00:01"),
            ("101", Some("10.20.0.90"), "is kept for bc:24:11:00:00:55"),
            ("101", Some("10.20.0.20"), "the own address of"),
            ("101", Some("10.20.0.103"), "is lent to bc:24:11:00:00:77"),
            ("10.20.0.103", None, "no guest asks"),
            ("10.20.0.33", None, "10.20.0.33 is not lent"),
            ("103", None, "asks for no address"),
            ("104", None, "there is no guest 104"),
        ] {
            let said = pin(of, to).unwrap_err();
            assert!(said.contains(why), "{of} {to:?}: {said}");
        }
        assert!("10.20.0".parse::<Holder>().is_err() && "99".parse::<Holder>().is_err() && "web".parse::<Holder>().is_err());
    }

    #[test]
    fn a_pin_is_taken_away_also_a_broken_one_and_one_of_nobody() {
        let unpin = |of: &str| told(|k| k.unpin(&of.parse().unwrap())).map(|c| c.map(|c| (c.mac, c.address)));
        assert_eq!(unpin("102"), Ok(Some((mac("01"), None))));
        assert_eq!(unpin("10.20.0.90"), Ok(Some((mac("55"), None))));
        assert_eq!(unpin("bc:24:11:00:00:44"), Ok(Some((mac("44"), None))));
        assert_eq!(unpin("101"), Ok(None));
    }

    #[test]
    fn only_a_lease_whose_guest_is_gone_is_taken_back() {
        let gone = |of: &str| told(|k| k.gone(&of.parse().unwrap()).map(|l| l.address.to_string()));
        assert_eq!(gone("10.20.0.103"), Ok("10.20.0.103".into()));
        assert_eq!(gone("10.20.0.106"), Ok("10.20.0.106".into()), "one of two of the same hardware address");
        assert!(gone("bc:24:11:00:00:09").unwrap_err().contains("several addresses"));
        assert!(gone("10.20.0.101").unwrap_err().contains("would go on using"));
        let unread = |k: &Known<'_>| {
            let mut guests = k.guests.to_vec();
            guests[0].conf_read = false;
            Known { guests: &guests, ..*k }.gone(&Holder::Mac(mac("77"))).map(|_| ())
        };
        assert!(told(unread).unwrap_err().contains("unknown"));
    }

    #[test]
    fn the_line_goes_while_dnsmasq_is_stopped() {
        let lease = parse(FILE).all.remove(1);
        let plan = release(&sample(), "9999".parse().unwrap(), &lease);
        let told: Vec<String> = plan
            .iter()
            .map(|s| match &s.act {
                crate::domain::plan::Act::Run { cmd, .. } => {
                    format!("{} | {}", cmd.shown(), s.undo.as_ref().map_or(String::new(), |u| u.shown()))
                }
                _ => s.title.clone(),
            })
            .collect();
        assert_eq!(
            told,
            [
                "pct exec 9999 -- rc-service dnsmasq stop | pct exec 9999 -- rc-service dnsmasq restart",
                "pct exec 9999 -- sed -i.proximity-before '/^[0-9]* bc:24:11:00:00:77 10\\.20\\.0\\.103 /d' /var/lib/misc/dnsmasq.leases | pct exec 9999 -- mv -f /var/lib/misc/dnsmasq.leases.proximity-before /var/lib/misc/dnsmasq.leases",
                "pct exec 9999 -- rc-service dnsmasq restart | ",
                "pct exec 9999 -- rm -f /var/lib/misc/dnsmasq.leases.proximity-before | ",
            ]
        );
        assert!(plan.iter().all(|s| s.always), "what holds before does not hold between");
    }
}
