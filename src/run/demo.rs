//! What the store of the demo remembers when its console begins: ports, in each way in which they are held.

use crate::domain::ports::{PortWish, ServiceName, Sockets};
use crate::domain::service::{Carry, Spec};
use crate::domain::stamp::Stamp;
use crate::store::{PortError, Store, Vault, Wished};

/// Name, where it leads, what is carried, days ago.
const PUBLISHED: [(&str, &str, Carry, i64); 5] = [
    ("web", "web.prox.local:80", Carry::Http, 40),
    ("nextcloud", "nextcloud.prox.local:80", Carry::Http, 38),
    ("photos", "10.20.0.120:2342", Carry::Http, 31),
    ("gitea", "gitea.prox.local:3000", Carry::Http, 12),
    ("db", "db.prox.local:5432", Carry::Tcp, 5),
];

/// Fills the store by wishes, as an operator would have; the last of them a few days before `now`.
pub(super) fn remember(store: &Store, vault: &Vault, now: Stamp) -> Result<(), PortError> {
    let no = |why: String| PortError::Refused(why);
    let wish = |wish: PortWish, days: i64| {
        let at = Stamp(now.0 - days * 86_400_000);
        store.change_ports(vault, &Wished { wish: &wish, sockets: &Sockets::default(), by: "demo", now: at }, |_, _| Ok(())).map(drop)
    };
    let name = |text: &str| text.parse::<ServiceName>().map_err(no);
    for (service, to, carry, days) in PUBLISHED {
        let spec = Spec { carry, ..Spec::to(to.parse().map_err(no)?) };
        wish(PortWish::Publish(name(service)?, Box::new(spec), None), days)?;
    }
    wish(PortWish::Pin(name("nextcloud")?, None), 38)?;
    wish(PortWish::Reserve(name("wiki")?), 4)?;
    wish(PortWish::Pin(name("monitor")?, Some(30_020)), 4)?;
    wish(PortWish::Block(30_010, "the page of a printer, until it moves".parse().map_err(no)?), 3)?;
    wish(PortWish::Unpublish(name("photos")?), 2)
}
