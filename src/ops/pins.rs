//! The one way in which a static address is remembered, from the screen and from the command line: before its plan is begun.

use super::audit::Recorder;
use crate::domain::access::Who;
use crate::domain::appliance::hold::PinChange;
use crate::domain::audit::{Deed, Ending};
use crate::domain::stamp::Stamp;
use crate::store::{Store, Vault, VaultError};

/// Remembers a change together with its entry in the audit: both or neither.
pub fn keep(audit: &Recorder, store: &Store, vault: &Vault, who: &Who, now: Stamp, change: &PinChange) -> Result<(), VaultError> {
    let held = store.pins(Some(vault))?.all.iter().find(|p| p.mac == change.mac).map(|p| p.address);
    let shown = |address: Option<std::net::Ipv4Addr>| address.map_or("any address".to_owned(), |a| a.to_string());
    let deed =
        Deed::by(who, "appliance.pin", change.mac.to_string(), "make an address static, or not").change(shown(held), shown(change.address));
    store.save_pin(vault, change, &who.name, now, |tx| audit.event_in(tx, now, deed, Ending::Ok))?;
    audit.tell(store);
    Ok(())
}
