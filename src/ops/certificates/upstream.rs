//! What published things show to the appliance by TLS, and whether its Caddy believes it: a handshake with each, from the network of
//! the appliance, in which nothing is said.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, Error, RootCertStore, crypto};

use super::{Seen, caddy, chain, parts};
use crate::domain::appliance::answer::{Dns, dns};
use crate::domain::caddy::around;
use crate::domain::certificate::{self, Belief, Item, KeyState, Whose};
use crate::domain::clean::clean;
use crate::domain::ports::{Answer, Chain, How, Knock, PortMap};
use crate::domain::service::{Proof, Published, Spec, UpHost};
use crate::domain::stamp::Stamp;
use crate::domain::world::World;
use crate::host::Host;
use crate::ops::probe::Room;

/// Upstreams that are asked at once.
const AT_ONCE: usize = 8;

/// Looks at each, once however many things it serves.
pub(super) async fn look(
    host: &dyn Host,
    room: &Room<'_>,
    world: &World,
    map: &PortMap,
    authorities: Option<Result<Vec<u8>, String>>,
    out: &mut Seen,
) {
    let domain = world.chosen().and_then(|settings| around(&settings)).map(|(domain, _)| domain);
    let mut specs: Vec<Spec> = Vec::new();
    for Published { spec, .. } in map.services.iter().filter(|s| s.spec.to.tls) {
        let spec = domain.as_ref().map_or(spec.clone(), |domain| spec.clone().within(domain));
        if !specs.iter().any(|s| s.to == spec.to && s.proof == spec.proof) {
            specs.push(spec);
        }
    }
    if specs.is_empty() {
        return;
    }
    let now = host.clock().0;
    let roots = authorities.unwrap_or_else(|| Err("they were not read".into())).and_then(|pem| Roots::of(&pem));
    let roots = &roots;
    let one = async |spec: Spec| {
        let shown = shows(host, room, &spec).await;
        (spec, shown)
    };
    let all: Vec<(Spec, Result<Chain, String>)> = stream::iter(specs).map(one).buffered(AT_ONCE).collect().await;
    for (spec, shown) in all {
        let at = spec.to.to_string();
        let chain = match shown {
            Ok(chain) => chain,
            Err(why) => {
                out.gap(&at, why);
                continue;
            }
        };
        let belief = believed(&spec, &chain, roots, now);
        match parts(chain) {
            Ok(chain) => {
                let same = |s: &Published| {
                    let to = domain.as_ref().map_or(s.spec.to.clone(), |domain| s.spec.to.clone().within(domain));
                    to == spec.to && s.spec.proof == spec.proof
                };
                let (name, serves) = (spec.to.host.to_string(), caddy::used_by(map, same));
                let (key, belief) = (KeyState::NotLooked, Some(belief));
                out.items.push(Item { whose: Whose::Upstream, name, at, chain, key, serves, belief });
            }
            Err(why) => out.gap(&at, why),
        }
    }
}

/// The chain that an upstream shows when Caddy asks.
async fn shows(host: &dyn Host, room: &Room<'_>, spec: &Spec) -> Result<Chain, String> {
    let pid = *room.init().await.as_ref().map_err(Clone::clone)?;
    let address = match &spec.to.host {
        UpHost::Address(address) => *address,
        UpHost::Name(name) => resolve(room, &name.to_string()).await?,
    };
    let place = SocketAddr::new(address, spec.to.port);
    let mut told = host.knock(Some(pid), vec![Knock { place, how: How::Tls { name: asked_by(spec) } }]).await.map_err(|e| e.to_string())?;
    match (told.shown.remove(&place.port()), told.answers.remove(&place.port())) {
        (Some(chain), _) if !chain.is_empty() => Ok(chain),
        (_, Some(Answer::NoTls(how))) => Err(format!("no TLS comes about: {how}")),
        (_, Some(Answer::Silent(how) | Answer::Unknown(how))) => Err(how),
        _ => Err("it showed no certificate".into()),
    }
}

/// As the appliance finds it: by its own resolver, which knows the names of the apps.
async fn resolve(room: &Room<'_>, name: &str) -> Result<IpAddr, String> {
    let gave = room.inside(["busybox", "nslookup", "-type=a", name]).await.answer?;
    match dns(&gave.text()) {
        Some(Dns::Found(all)) => all.iter().find_map(|a| a.parse().ok()).ok_or_else(|| format!("{name} has no address")),
        Some(Dns::Code(code)) => Err(format!("{name} has no address: {}", clean(&code))),
        Some(Dns::Silence) => Err(format!("the resolver of the appliance does not answer when asked for {name}")),
        None => Err(format!("what the appliance says of {name} cannot be read")),
    }
}

/// The name in the handshake; none for an address (Caddy, `tls_server_name`).
fn asked_by(spec: &Spec) -> Option<String> {
    match (&spec.proof, &spec.to.host) {
        (Proof::Named(name), _) => Some(name.to_string()),
        (_, UpHost::Name(name)) => Some(name.to_string()),
        (_, UpHost::Address(_)) => None,
    }
}

/// Authorities of the appliance.
struct Roots {
    ders: Chain,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Roots {
    fn of(pem: &[u8]) -> Result<Roots, String> {
        let ders = chain(pem)?;
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(ders.iter().map(|der| CertificateDer::from(der.clone())));
        let provider = Arc::new(crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build();
        Ok(Roots { ders, verifier: verifier.map_err(|e| clean(&e.to_string()))? })
    }
}

/// Whether Caddy believes a chain for the name it asks by.
fn believed(spec: &Spec, chain: &Chain, roots: &Result<Roots, String>, now: Stamp) -> Belief {
    if spec.proof == Proof::Skipped {
        return Belief::Skipped;
    }
    let Some((leaf, rest)) = chain.split_first() else { return Belief::Unknown("it showed no certificate".into()) };
    let roots = match roots {
        Ok(roots) => roots,
        Err(why) => return Belief::Unknown(format!("whom the appliance believes is not known: {why}")),
    };
    let asked = asked_by(spec).unwrap_or_else(|| spec.to.host.to_string());
    let asked = asked.trim_matches(['[', ']']).to_owned();
    // Go believes what is among the authorities itself (crypto/x509, Verify); webpki does not where it is an authority.
    if roots.ders.contains(leaf)
        && let Some(own) = certificate::read(leaf)
        && own.covers(&asked)
        && (own.not_before..=own.not_after).contains(&now)
    {
        return Belief::Proven;
    }
    let Ok(name) = ServerName::try_from(asked.clone()) else { return Belief::Unknown(format!("{asked} is no name of a certificate")) };
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(now.secs()).unwrap_or(0)));
    let rest: Vec<CertificateDer<'_>> = rest.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    match roots.verifier.verify_server_cert(&CertificateDer::from(leaf.as_slice()), &rest, &name, &[], at) {
        Ok(_) => Belief::Proven,
        Err(Error::InvalidCertificate(why)) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Belief::Refused("it is over".into()),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Belief::Refused("it is not valid yet".into()),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Belief::Refused(format!("it is not for {asked}"))
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Belief::Refused("nobody whom the appliance knows has signed it".into())
            }
            // Caddy may be less strict than this program about such things.
            other => Belief::Unknown(clean(&other.to_string())),
        },
        Err(other) => Belief::Unknown(clean(&other.to_string())),
    }
}
