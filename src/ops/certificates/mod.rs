//! Looks at all certificates that an operator lives with: those of the node, those of the appliance's Caddy, those that operators
//! put there, and those that published things show. A look of the host's files, one archive out of the appliance, and a
//! handshake with each upstream. Nothing is changed.
//!
//! ```text
//! mod.rs        the look, the node's            key.rs        whether a key is a certificate's own
//! caddy.rs      what lies in the appliance      upstream.rs   what published things show, and whether Caddy believes it
//! ```

mod caddy;
mod key;
mod upstream;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::probe::Room;
use crate::domain::certificate::{self, Inventory, Item, KeyState, Parts, Thresholds, Whose};
use crate::domain::clean::clean;
use crate::domain::ports::drift::Appliance;
use crate::domain::ports::{Chain, PortMap};
use crate::domain::world::{From, Gap, Part, World};
use crate::host::{Found, Host, HostError, Look};

pub(super) use caddy::without_keys;

/// More than this is no file of certificates.
const MOST: usize = 1 << 20;

/// The node's own files: pveproxy(8), PVE::CertHelpers.
const NODE: &str = "/etc/pve/local";
/// Its gap.
const APPLIANCE: &str = "certificates of the appliance";
const CLUSTER: &str = "/etc/pve/pve-root-ca.pem";

/// Looks. The World must be fresh, with what is remembered: it tells guests, settings and what is published.
pub async fn look(host: &dyn Host, world: &World) -> Part<Inventory> {
    let now = host.clock().0;
    let thresholds = match world.chosen().and_then(|s| Thresholds::of(&s)) {
        Ok(thresholds) => thresholds,
        Err(why) => return Part::unknown(why, now),
    };
    let mut out = Seen::default();
    let nothing = PortMap::default();
    let map = match &world.ports.known {
        Ok(map) => map,
        // Without a store nothing was ever published.
        Err(_) if world.ports.is_pending() => &nothing,
        Err(why) => {
            out.gap("what is published", why);
            &nothing
        }
    };
    let (of_node, of_appliance) = tokio::join!(node(host), appliance(host, world, map));
    for seen in [of_node, of_appliance] {
        out.items.extend(seen.items);
        out.gaps.extend(seen.gaps);
    }
    Part::new(Inventory::new(out.items, out.gaps, thresholds, now), now, From::Pct)
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    items: Vec<Item>,
    gaps: Vec<Gap>,
}

impl Seen {
    fn gap(&mut self, what: &str, why: impl AsRef<str>) {
        self.gaps.push(Gap { what: clean(what), why: clean(why.as_ref()) });
    }

    /// Takes a file of certificates in; what cannot be read is a gap.
    fn take(&mut self, whose: Whose, name: &str, at: &str, pem: &[u8], key: impl FnOnce(&Parts) -> KeyState, serves: Vec<String>) {
        let chain = match chain(pem).and_then(parts) {
            Ok(chain) => chain,
            Err(why) => return self.gap(at, why),
        };
        let key = chain.first().map_or(KeyState::NotLooked, key);
        self.items.push(Item { whose, name: clean(name), at: clean(at), chain, key, serves, belief: None });
    }
}

/// The certificates of a PEM text in its order, each in DER. Fails with why there are none, one clean sentence.
pub(super) fn chain(pem: &[u8]) -> Result<Chain, String> {
    let all: Result<Chain, _> = CertificateDer::pem_slice_iter(pem).map(|c| c.map(|c| c.to_vec())).collect();
    match all {
        Ok(all) if all.is_empty() => Err("there is no certificate in it".into()),
        Ok(all) => Ok(all),
        Err(e) => Err(format!("it is no PEM: {}", clean(&e.to_string()))),
    }
}

fn parts(chain: Chain) -> Result<Vec<Parts>, String> {
    chain.iter().map(|der| certificate::parts(der).ok_or_else(|| "a certificate in it cannot be read".to_owned())).collect()
}

/// What pveproxy shows, what the node has besides, and who signs that. Keys are read here and compared; nothing of them is kept.
async fn node(host: &dyn Host) -> Seen {
    let paths = ["pve-ssl.pem", "pve-ssl.key", "pveproxy-ssl.pem", "pveproxy-ssl.key", "config"].map(|name| format!("{NODE}/{name}"));
    let looks = paths.iter().cloned().chain([CLUSTER.to_owned()]).map(|path| Look::File(path, MOST)).collect();
    let mut found = host.look(looks).await.into_iter();
    // Moved and not copied: two of them are keys.
    let mut next = || match found.next() {
        Some(Ok(Found::Bytes(bytes))) => Ok(Some(bytes)),
        Some(Ok(_)) => Err("another kind of answer than asked for".to_owned()),
        Some(Err(HostError::Missing { .. })) => Ok(None),
        Some(Err(e)) => Err(e.to_string()),
        None => Err("no answer".to_owned()),
    };
    let (own, own_key, given, given_key, config, cluster) = (next(), next(), next(), next(), next(), next());
    let mut out = Seen::default();
    let with = |key: Result<Option<Vec<u8>>, String>| {
        let key = key.map(|pem| pem.map(key::Pem::new));
        move |of: &Parts| match key {
            Ok(Some(pem)) => key::compare(&pem, of),
            Ok(None) => KeyState::Missing,
            Err(why) => KeyState::Unknown(why),
        }
    };
    // Where that cannot be read, what is shown is not known.
    let has_none_given = matches!(given, Ok(None));
    let shown = || vec!["the node's web interface 8006".to_owned()];
    match own {
        Ok(Some(pem)) => {
            let serves = if has_none_given { shown() } else { Vec::new() };
            out.take(Whose::Node, "pve-ssl", &paths[0], &pem, with(own_key), serves);
        }
        Ok(None) => out.gap(&paths[0], "it is not there"),
        Err(why) => out.gap(&paths[0], why),
    }
    match given {
        Ok(Some(pem)) => {
            // pvenode acme: `acme:` names the account, `acmedomain0:` a domain with its plugin.
            let by_acme = match &config {
                Ok(Some(text)) => String::from_utf8_lossy(text).lines().any(|l| l.starts_with("acme:") || l.starts_with("acmedomain")),
                Ok(None) => false,
                Err(why) => {
                    out.gap(&paths[4], format!("so whether the node gets its certificate by ACME is not known: {why}"));
                    false
                }
            };
            let whose = if by_acme { Whose::NodeAcme } else { Whose::NodeGiven };
            out.take(whose, "pveproxy-ssl", &paths[2], &pem, with(given_key), shown());
        }
        Ok(None) => {}
        Err(why) => out.gap(&paths[2], why),
    }
    match cluster {
        // Its key signs for the whole cluster: it is left where it is.
        Ok(Some(pem)) => {
            out.take(Whose::ClusterAuthority, "pve-root-ca", CLUSTER, &pem, |_| KeyState::NotLooked, vec!["the cluster".into()])
        }
        Ok(None) => out.gap(CLUSTER, "it is not there"),
        Err(why) => out.gap(CLUSTER, why),
    }
    out
}

/// What lies in the appliance, and what published things show to it.
async fn appliance(host: &dyn Host, world: &World, map: &PortMap) -> Seen {
    let mut out = Seen::default();
    let vmid = match Appliance::of(world) {
        Appliance::Runs(vmid) => vmid,
        Appliance::Missing => return out,
        Appliance::Stopped(_) => {
            out.gap(APPLIANCE, "it is stopped");
            return out;
        }
        Appliance::Unknown(why) => {
            out.gap(APPLIANCE, why);
            return out;
        }
    };
    let room = Room::new(host, vmid);
    let files = caddy::look(&room, map, &mut out).await;
    upstream::look(host, &room, world, map, files.authorities, &mut out).await;
    out
}
