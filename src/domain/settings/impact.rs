//! What a change of settings would mean for what is there now: told before it is saved, as far as facts reach.

use super::{Change, Key, Settings, Value, fixed_addresses};
use crate::domain::guest::Kind;
use crate::domain::ports::Ranges;
use crate::domain::world::World;

/// Pairs of ports that are named one by one.
const MOST_PORTS: usize = 10;

/// How much thought a line deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Good to know.
    Note,
    /// To think about before.
    Caution,
    /// Could not be told.
    Unknown,
}

/// One line of the preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impact {
    /// How much thought it deserves.
    pub weight: Weight,
    /// What would be different.
    pub what: String,
}

/// What running things would notice of these changes.
pub fn impact<'c>(now: &Settings, changes: impl IntoIterator<Item = (&'c Key, &'c Change)>, world: &World) -> Vec<Impact> {
    let changes: Vec<_> = changes.into_iter().filter(|(_, c)| !c.is_keep()).collect();
    let then = now.with(changes.iter().copied());
    let mut out = Lines(Vec::new());
    for (key, change) in &changes {
        let value = then.value(key).ok().flatten();
        out.one(key, change, value.as_ref(), now, &then, world);
        let of = key.definition();
        if !of.used {
            out.add(Weight::Note, format!("{key}: kept for later; nothing uses it yet"));
        } else {
            out.add(Weight::Note, format!("{key}: felt {}", of.applies));
        }
    }
    out.0
}

struct Lines(Vec<Impact>);

impl Lines {
    fn add(&mut self, weight: Weight, what: String) {
        let line = Impact { weight, what };
        if !self.0.contains(&line) {
            self.0.push(line);
        }
    }

    fn one(&mut self, key: &Key, change: &Change, value: Option<&Value>, now: &Settings, then: &Settings, world: &World) {
        let name = key.to_string();
        match (name.as_str(), value) {
            ("network.subnet" | "network.dhcp" | "network.gateway", _) => self.network(then, world),
            ("ports.public" | "ports.internal", _) => self.ports(then, world),
            ("network.domain", Some(domain)) => {
                let n = on_lan(then, world);
                match n {
                    Some(n) => {
                        self.add(Weight::Caution, format!("names of {n} guest(s) end in {domain} from then on; old ones stop working"))
                    }
                    None => self.add(Weight::Unknown, "whose names change is unknown: the guests are".into()),
                }
            }
            ("network.wan_bridge" | "network.lan_bridge", Some(bridge)) => self.bridge(bridge, world),
            ("resources.storage" | "backups.storage", Some(Value::Storage(id))) => {
                let content = if name.starts_with("backups") { "backup" } else { "rootdir" };
                match (&world.storages.known, world.storage(id)) {
                    (Err(why), _) => self.add(Weight::Unknown, format!("whether storage {id} fits is unknown: {why}")),
                    (_, None) => self.add(Weight::Caution, format!("there is no storage {id} on this host now")),
                    (_, Some(s)) if !s.takes(content) || s.disabled => {
                        self.add(Weight::Caution, format!("storage {id} does not take content '{content}' now"));
                    }
                    _ => {}
                }
            }
            ("backups.mode", Some(Value::Word("stop"))) => {
                self.add(Weight::Caution, "each backup then stops its guest for the time it takes".into());
            }
            ("system.read_only", Some(Value::Flag(true))) => {
                self.add(
                    Weight::Caution,
                    "nothing can be changed from then on; proximity settings set system.read_only off ends it".into(),
                );
            }
            ("system.second_person", Some(Value::Word(from))) if *from != "never" => {
                let without = "where nobody else may do the same, it is refused from then on";
                self.add(Weight::Caution, format!("what {from} waits for a second operator; {without}"));
            }
            ("system.idle_lock", Some(Value::Span(0))) => {
                self.add(Weight::Caution, "a console that is left alone stays open for whoever comes by".into());
            }
            _ => {}
        }
        if name.starts_with("resources.")
            && let Some(guests) = world.guests.get()
        {
            let n = guests.iter().filter(|g| g.kind == Kind::Lxc).count();
            self.add(Weight::Note, format!("resources are for new apps only; {n} container(s) stay as they are"));
        }
        if key.definition().is_secret() && matches!(change, Change::Secret(_)) && matches!(now.held(key), super::Held::Secret) {
            self.add(Weight::Note, format!("{key}: the secret before is kept, sealed, for one step back"));
        }
    }

    fn network(&mut self, then: &Settings, world: &World) {
        let (Some(Value::Net(net)), bridge) = (value(then, "network.subnet"), lan(then)) else { return };
        if let Err(why) = &world.guests.known {
            self.add(Weight::Unknown, format!("which guests would lie outside is unknown: {why}"));
            return;
        }
        for f in fixed_addresses(world).into_iter().filter(|f| f.bridge == bridge && !net.contains(&f.address)) {
            self.add(Weight::Caution, format!("guest {} keeps {}, outside {net}, until its configuration is changed", f.guest, f.address));
        }
        let by_dhcp = world
            .guests
            .get()
            .into_iter()
            .flatten()
            .filter(|g| g.nics.iter().any(|n| n.bridge.as_deref() == Some(&bridge) && n.ip.as_deref() == Some("dhcp")));
        let n = by_dhcp.count();
        if n > 0 {
            self.add(
                Weight::Caution,
                format!("{n} guest(s) on {bridge} have their address by DHCP and get another one where it does not fit"),
            );
            self.add(Weight::Unknown, "which leases lie outside the new range is unknown: the appliance is not asked yet".into());
        }
    }

    /// Pairs keep their numbers, wherever the ranges go.
    fn ports(&mut self, then: &Settings, world: &World) {
        let map = match &world.ports.known {
            Ok(map) => map,
            // Without a store there are none.
            Err(_) if world.ports.is_pending() => return,
            Err(why) => return self.add(Weight::Unknown, format!("which ports stay behind is unknown: {why}")),
        };
        let Ok(ranges) = Ranges::of(then) else { return };
        let outside: Vec<_> = map.held.iter().filter(|h| !ranges.has(h.pair)).collect();
        for held in outside.iter().take(MOST_PORTS) {
            self.add(Weight::Caution, format!("ports {} stay {}, and are no pair of {ranges}", held.pair, held.what));
            if held.what.name().is_some() && !ranges.guards(held.pair.internal) {
                let port = held.pair.internal;
                self.add(Weight::Caution, format!("port {port} is then not kept for trusted sources by the appliance's rules"));
            }
        }
        if outside.len() > MOST_PORTS {
            self.add(Weight::Caution, format!("so do {} pairs more: proximity ports list", outside.len() - MOST_PORTS));
        }
        if !map.bad.is_empty() {
            self.add(Weight::Unknown, format!("{} pairs were changed outside Proximity: proximity ports list", map.bad.len()));
        }
        let (kept, size) = (map.held.len() - outside.len(), ranges.pairs().count());
        self.add(Weight::Note, format!("{kept} of {size} pairs are held then"));
    }

    fn bridge(&mut self, bridge: &Value, world: &World) {
        let bridge = bridge.to_string();
        match &world.network.known {
            Ok(all) if all.iter().any(|b| b.name == bridge) => {}
            Ok(_) => self.add(Weight::Caution, format!("there is no bridge {bridge} on this host now")),
            Err(why) => self.add(Weight::Unknown, format!("whether there is a bridge {bridge} is unknown: {why}")),
        }
    }
}

fn value(settings: &Settings, name: &str) -> Option<Value> {
    settings.value(&name.parse().ok()?).ok()?
}

fn lan(settings: &Settings) -> String {
    value(settings, "network.lan_bridge").map(|v| v.to_string()).unwrap_or_default()
}

/// How many guests are on the LAN bridge.
fn on_lan(settings: &Settings, world: &World) -> Option<usize> {
    let bridge = lan(settings);
    let guests = world.guests.get()?;
    Some(guests.iter().filter(|g| g.nics.iter().any(|n| n.bridge.as_deref() == Some(&bridge))).count())
}
