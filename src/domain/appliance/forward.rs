//! What is published and carried by the appliance's rules: connections and datagrams that are no HTTP, and internal ports
//! that other sources may use than the settings trust.
//!
//! Rules know addresses, not names: what they lead to has an address that stays.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use super::desired::Desired;
use super::names::Label;
use crate::domain::ports::{Pair, PortMap};
use crate::domain::service::{Carry, Spec, UpHost, Upstream};

/// A pair of ports that leads to a port of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// TCP or UDP.
    pub carry: Carry,
    /// Its ports, at the appliance's address on the way out.
    pub ports: Pair,
    /// The app.
    pub to: Ipv4Addr,
    /// The app's port.
    pub to_port: u16,
    /// Who may use the internal port.
    pub sources: Vec<Ipv4Net>,
}

/// An internal port that Caddy serves, for others than the settings trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The port.
    pub port: u16,
    /// For whom.
    pub sources: Vec<Ipv4Net>,
}

impl Desired {
    /// Takes in what is published. What cannot be carried is left out and said, like everything that is left out.
    pub fn publish(&mut self, map: &PortMap) {
        let ports = |name| map.of(name).map(|held| held.pair);
        let all = map.services.iter().filter_map(|s| Some((ports(&s.name)?, s)));
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|(pair, _)| *pair);
        for (pair, service) in all {
            let (four, six) = self.sources(&service.spec);
            self.notes
                .extend(six.iter().map(|net| format!("{}: {net} is left out: internal ports are opened for IPv4 only", service.name)));
            match (service.spec.carry, self.leads(&service.spec.to)) {
                (Carry::Http, _) if service.spec.sources.is_some() => self.opened.push(Opened { port: pair.internal, sources: four }),
                (Carry::Http, _) => {}
                (carry, Ok(to)) => {
                    self.forwards.push(Forward { carry, ports: pair, to, to_port: service.spec.to.port, sources: four });
                }
                (_, Err((why, hint))) => self.notes.push(format!("{} is not carried: {why}; {hint}", service.name)),
            }
        }
    }

    /// Who may use the internal port; and those of them that rules of IPv4 cannot name.
    fn sources(&self, spec: &Spec) -> (Vec<Ipv4Net>, Vec<IpNet>) {
        let Some(own) = &spec.sources else { return (self.trusted.clone(), Vec::new()) };
        let (four, six): (Vec<IpNet>, Vec<IpNet>) = own.iter().partition(|net| matches!(net, IpNet::V4(_)));
        // The kernel keeps networks without what is behind their prefix, and each rule once.
        let mut four: Vec<Ipv4Net> =
            four.into_iter().filter_map(|net| if let IpNet::V4(net) = net { Some(net.trunc()) } else { None }).collect();
        four.sort();
        four.dedup();
        (four, six)
    }

    /// The address that rules can lead to; else why there is none, and what to do.
    pub fn leads(&self, to: &Upstream) -> Result<Ipv4Addr, (String, String)> {
        let pin = || "make it static first: proximity appliance pin GUEST".to_owned();
        match &to.host {
            UpHost::Address(IpAddr::V4(address)) => {
                let an_app = self.lan.contains(address) && ![self.gateway, self.lan.network(), self.lan.broadcast()].contains(address);
                let kept = self.records.iter().any(|(_, a)| a == address) || self.clients.iter().any(|c| c.address == Some(*address));
                match (an_app, kept || !(self.pool.0..=self.pool.1).contains(address)) {
                    (false, _) => {
                        Err((format!("{address} is no address of an app in {}", self.lan), "give the app's name or address".into()))
                    }
                    (true, false) => Err((format!("{address} is lent to whoever asks, and may be another's tomorrow"), pin())),
                    (true, true) => Ok(*address),
                }
            }
            UpHost::Address(six) => {
                Err((format!("{six} is of IPv6; the network of the apps is {}", self.lan), "give the app's name".into()))
            }
            UpHost::Name(name) => {
                let name = name.to_string();
                let label = name.strip_suffix(&format!(".{}", self.domain)).unwrap_or(&name);
                let label = Label::new(label);
                let named = |of: &Label| label.as_ref() == Some(of);
                let own = self.records.iter().find(|(n, _)| named(n)).map(|(_, address)| *address);
                match (own, self.clients.iter().find(|c| c.name.as_ref().is_some_and(named))) {
                    (Some(address), _) => Ok(address),
                    (None, Some(client)) => client
                        .address
                        .ok_or_else(|| (format!("the address of {name} is lent and may change, and rules cannot follow it"), pin())),
                    (None, None) => Err((
                        format!("no app on {} is called {name}", self.lan_bridge),
                        "see proximity guest list; or give its address".into(),
                    )),
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::desired::tests::sample;
    use super::super::nat;
    use super::*;
    use crate::domain::ports::{Held, What};
    use crate::domain::service::Published;
    use crate::domain::stamp::Stamp;

    /// Published under these names, on 30000 and the following.
    pub fn map(all: &[(&str, Spec)]) -> PortMap {
        let (at, by) = (Stamp(0), String::new());
        let name = |name: &str| name.parse().unwrap();
        let pair = |n: usize| Pair { public: 30_000 + n as u16, internal: 40_000 + n as u16 };
        PortMap {
            held: all
                .iter()
                .enumerate()
                .map(|(n, (s, _))| Held { pair: pair(n), what: What::Reserved(name(s)), at, by: by.clone() })
                .collect(),
            services: all.iter().map(|(s, spec)| Published { name: name(s), spec: spec.clone(), at, by: by.clone() }).collect(),
            ..PortMap::default()
        }
    }

    pub fn spec(carry: Carry, to: &str, sources: Option<&[&str]>) -> Spec {
        let sources = sources.map(|all| all.iter().map(|net| net.parse().unwrap()).collect());
        Spec { carry, sources, ..Spec::to(to.parse().unwrap()) }
    }

    /// What the golden files of the rules hold besides the plain ones.
    pub fn published() -> PortMap {
        map(&[
            ("mail", spec(Carry::Tcp, "db:5432", None)),
            ("dns", spec(Carry::Udp, "wiki.prox.local:53", Some(&["10.9.0.0/16", "192.168.7.9/32"]))),
            ("web", spec(Carry::Http, "web:80", Some(&["10.8.0.0/16"]))),
            ("all", spec(Carry::Tcp, "10.20.0.7:22", Some(&["0.0.0.0/0", "fd00::/8"]))),
        ])
    }

    fn with(all: &[(&str, Spec)]) -> Desired {
        let mut d = sample();
        d.publish(&map(all));
        d
    }

    #[test]
    fn rules_lead_to_addresses_that_stay_and_what_has_none_is_said_with_what_to_do() {
        let d = sample();
        let leads = |to: &str| d.leads(&to.parse().unwrap()).map(|a| a.to_string());
        assert_eq!(leads("db:1").as_deref(), Ok("10.20.0.20"), "its own address");
        assert_eq!(leads("DB.prox.local:1").as_deref(), Ok("10.20.0.20"));
        assert_eq!(leads("wiki:1").as_deref(), Ok("10.20.0.102"), "a static lease");
        assert_eq!(leads("10.20.0.102:1").as_deref(), Ok("10.20.0.102"));
        assert_eq!(leads("10.20.0.7:1").as_deref(), Ok("10.20.0.7"), "outside the range");
        for (to, why, hint) in [
            ("web:1", "is lent and may change", "appliance pin"),
            ("10.20.0.110:1", "may be another's tomorrow", "appliance pin"),
            ("nobody:1", "is called nobody", "guest list"),
            ("db.example.org:1", "is called db.example.org", "guest list"),
            ("10.20.0.1:1", "is no address of an app", "name or address"),
            ("10.20.0.0:1", "is no address of an app", "name or address"),
            ("10.20.0.255:1", "is no address of an app", "name or address"),
            ("192.168.1.2:1", "is no address of an app", "name or address"),
            ("127.0.0.1:1", "is no address of an app", "name or address"),
            ("[fd00::9]:1", "is of IPv6", "name"),
        ] {
            let (said, then) = d.leads(&to.parse().unwrap()).unwrap_err();
            assert!(said.contains(why) && then.contains(hint), "{to}: {said}; {then}");
        }
        let d = with(&[("x", spec(Carry::Tcp, "web:22", None)), ("y", spec(Carry::Http, "nobody:80", None))]);
        let said = d.notes.last().unwrap();
        assert!(d.forwards.is_empty() && said.starts_with("x is not carried: ") && said.contains("proximity appliance pin"), "{said}");
        assert_eq!(nat::tables(&d), nat::tables(&sample()), "what is left out opens nothing");
    }

    #[test]
    fn a_plan_of_before_is_read_and_one_of_now_is_kept() {
        let mut d = sample();
        d.publish(&published());
        assert_eq!((d.forwards.len(), d.opened.len()), (3, 1));
        assert!(d.notes.last().unwrap().starts_with("all: fd00::/8 is left out"));
        let json = serde_json::to_value(&d).unwrap();
        assert_eq!(serde_json::from_value::<Desired>(json.clone()).unwrap(), d);
        let mut old = json;
        let fields = old.as_object_mut().unwrap();
        assert!(fields.remove("forwards").is_some() && fields.remove("opened").is_some());
        assert!(serde_json::from_value::<Desired>(old).unwrap().forwards.is_empty());
    }

    proptest! {
        /// Whatever somebody types: left out, or rules that read as they were written, lead into the network of the apps, and
        /// open nothing but their pair.
        #[test]
        fn no_text_makes_another_rule(
            host in "\\PC{0,20}|[-a-z.{}\"$\n ]{1,9}|10\\.20\\.[0-2]\\.[0-9]{1,3}|web|wiki|db(\\.prox\\.local)?",
            port in any::<u16>(),
            net in "\\PC{0,20}|[0-9.]{7,12}(/[0-9]{1,2})?|[0-9./ -]{1,12}",
            udp in any::<bool>(),
        ) {
            let Ok(to) = format!("{host}:{port}").parse::<Upstream>() else { return Ok(()) };
            let carry = if udp { Carry::Udp } else { Carry::Tcp };
            let d = with(&[("x", Spec { carry, sources: Some(net.parse().into_iter().collect()), ..Spec::to(to) })]);
            let (plain, tables) = (nat::tables(&sample()), nat::tables(&d));
            prop_assert_eq!(nat::parse(&nat::ruleset(&d)).unwrap(), &tables);
            for (was, is) in plain.iter().zip(&tables) {
                let answers = "-A FORWARD -i eth1 -o eth0 -m conntrack --ctstate DNAT --ctdir REPLY -j ACCEPT";
                for rule in is.rules.iter().filter(|r| !was.rules.contains(r) && *r != answers) {
                    let words: Vec<&str> = rule.split(' ').collect();
                    prop_assert!(["PREROUTING", "FORWARD"].contains(&words[1]) && words.contains(&"eth0"), "{}", rule);
                    prop_assert!(words.contains(&"30000") || words.contains(&"40000"), "{}", rule);
                    prop_assert!(rule.bytes().all(|b| b.is_ascii_alphanumeric() || b" -./:".contains(&b)), "{}", rule);
                    let to = words.iter().skip_while(|w| !["--to-destination", "-d"].contains(w)).nth(1).unwrap();
                    let to: Ipv4Addr = to.split([':', '/']).next().unwrap().parse().unwrap();
                    prop_assert!(d.lan.contains(&to) && to != d.gateway, "{}", rule);
                }
            }
        }
    }
}
