//! Ports: what has them now, asked of the host and of the appliance; and the one way in which a wish about them is kept.

use super::audit::Recorder;
use super::check::init_pid;
use super::probe::{ask_admin, leases};
use crate::domain::access::Who;
use crate::domain::appliance::answer::{Asked, Gave};
use crate::domain::appliance::judge::sites;
use crate::domain::appliance::lease::{self, Pool};
use crate::domain::audit::{Deed, Ending};
use crate::domain::guest::Vmid;
use crate::domain::ports::drift::Appliance;
use crate::domain::ports::{Change, Decided, Held, Listener, PortWish, Sockets, listening};
use crate::domain::stamp::Stamp;
use crate::domain::world::World;
use crate::host::{Host, HostError, Look, text_of};
use crate::store::{PortError, Store, Vault, Wished};

/// Bytes of a list of sockets that are read; about a hundred thousand connections.
const MOST: usize = 16 << 20;

/// What has ports on the host and in the appliance. The World must be fresh: it tells whether the appliance runs.
pub async fn sockets(host: &dyn Host, world: &World) -> Sockets {
    sockets_and_caddy(host, world).await.0
}

/// The same, with what Caddy's administration answered, where it was asked.
pub(super) async fn sockets_and_caddy(host: &dyn Host, world: &World) -> (Sockets, Option<Asked<Gave>>) {
    let mut caddy = None;
    let mut out = Sockets::default();
    let (own, inside) = tokio::join!(lists(host, "/proc/net".to_owned()), inside(host, world));
    match own {
        // The host's own connections keep nobody in the appliance from listening.
        Ok((listens, _)) => out.add(listens, Listener::Host),
        Err(why) => out.gap(Sockets::OUTSIDE, why),
    }
    match inside {
        Inside::None => {}
        Inside::Closed(why) => {
            out.gap(Sockets::INSIDE, why.clone());
            out.gap("sites of its Caddy", why);
        }
        Inside::Asked(lists, admin) => {
            match lists {
                Ok((listens, outgoing)) => {
                    out.add(listens, Listener::Appliance);
                    out.add(outgoing, Listener::Outgoing);
                }
                Err(why) => out.gap(Sockets::INSIDE, why),
            }
            let said = admin.answer.as_ref().map_err(Clone::clone).and_then(|gave| {
                let places = if gave.status == 0 { sites::listens(&gave.out) } else { None };
                places.ok_or_else(|| "its administration does not answer".to_owned())
            });
            match said {
                Ok(places) => out.add(places.into_iter().map(|p| p.port()), Listener::Caddy),
                Err(why) => out.gap("sites of its Caddy", why),
            }
            caddy = Some(admin);
        }
    }
    (out, caddy)
}

/// The TCP ports that are listened on in a running guest.
pub(super) async fn listens_in(host: &dyn Host, vmid: Vmid) -> Result<Vec<u16>, String> {
    lists_in(host, vmid).await.map(|(listens, _)| listens)
}

async fn lists_in(host: &dyn Host, vmid: Vmid) -> Lists {
    let pid = init_pid(host, vmid).await.map_err(|e| e.to_string())?.ok_or_else(|| format!("{vmid} does not run"))?;
    lists(host, format!("/proc/{pid}/net")).await
}

type Lists = Result<(Vec<u16>, Vec<u16>), String>;

/// What could be asked of the appliance.
enum Inside {
    /// There is no appliance, so nothing listens in it.
    None,
    /// It cannot be asked; why.
    Closed(String),
    /// Its sockets, and what its Caddy works by.
    Asked(Lists, Asked<Gave>),
}

async fn inside(host: &dyn Host, world: &World) -> Inside {
    let vmid = match Appliance::of(world) {
        Appliance::Runs(vmid) => vmid,
        // Its files are there, and what they will listen on when it is started is not known.
        Appliance::Stopped(_) => return Inside::Closed("the appliance is stopped".into()),
        Appliance::Unknown(why) => return Inside::Closed(why),
        Appliance::Missing => return Inside::None,
    };
    let (sockets, admin) = tokio::join!(lists_in(host, vmid), ask_admin(host, vmid));
    Inside::Asked(sockets, admin)
}

/// Ports of listeners and of other sockets, from all lists of a network. A kernel without IPv6 has no lists of it.
async fn lists(host: &dyn Host, dir: String) -> Lists {
    const LISTS: [&str; 4] = ["tcp", "tcp6", "udp", "udp6"];
    let looks = LISTS.map(|list| Look::File(format!("{dir}/{list}"), MOST));
    let (mut listens, mut others) = (Vec::new(), Vec::new());
    for (list, found) in LISTS.into_iter().zip(host.look(looks.into()).await) {
        let text = match text_of(&found) {
            Err(HostError::Missing { .. }) if list.ends_with('6') => continue,
            other => other.map_err(|e| e.to_string())?,
        };
        if text.len() >= MOST {
            return Err(format!("{dir}/{list} is longer than {} MiB", MOST >> 20));
        }
        let (more, other) = listening(&text).ok_or_else(|| format!("{dir}/{list} cannot be read"))?;
        listens.extend(more);
        others.extend(other);
    }
    Ok((listens, others))
}

/// How many addresses of the range are in use, which may be full before the ports are; else why that is not known.
pub async fn addresses(host: &dyn Host, world: &World) -> Result<Pool, String> {
    let (leases, wish) = leases(host, world).await;
    Ok(lease::pool(&leases?, &wish.map_err(|why| why.join("; "))?))
}

/// Makes a wish true together with its entry in the audit: both or neither.
pub fn keep(
    audit: &Recorder,
    store: &Store,
    vault: &Vault,
    who: &Who,
    now: Stamp,
    wish: &PortWish,
    sockets: &Sockets,
) -> Result<Decided, PortError> {
    let wished = Wished { wish, sockets, by: &who.name, now };
    let decided = store.change_ports(vault, &wished, |tx, change| audit.event_in(tx, now, deed(who, wish, change), Ending::Ok))?;
    if decided.change.is_some() {
        audit.tell(store);
    }
    Ok(decided)
}

fn deed(who: &Who, wish: &PortWish, change: &Change) -> Deed {
    let shown = |held: &Option<Held>| held.as_ref().map_or("free".to_owned(), |h| h.what.to_string());
    let after = match (&change.after, &change.past) {
        (None, Some(past)) if past.free > past.until => format!("free at {}", past.free.rfc3339()),
        (after, _) => shown(after),
    };
    let (verb, object) = (wish.word(), format!("ports {}", change.pair));
    Deed::by(who, format!("ports.{verb}"), &object, format!("{verb} {object}")).change(shown(&change.before), after)
}
