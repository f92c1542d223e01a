//! The one way in which settings are saved, from the screen and from the command line.

use super::audit::{End, Recorder};
use crate::domain::access::Who;
use crate::domain::audit::Deed;
use crate::domain::settings::{Save, fixed_addresses};
use crate::domain::stamp::Stamp;
use crate::domain::world::World;
use crate::store::{SaveError, Store, Vault};

/// Saves changes together or not at all, and gives how many settings are different now. It is written down before and after.
///
/// `world` tells the fixed addresses of guests that the rules look at; where guests are unknown none are, and the
/// preview has said so.
pub fn save(audit: &Recorder, store: &Store, vault: &Vault, save: &Save, world: &World, who: &Who, now: Stamp) -> Result<usize, SaveError> {
    let held = store.settings(Some(vault))?;
    let keys: Vec<String> = save.iter().map(|s| s.key.to_string()).collect();
    let list =
        |shown: &dyn Fn(usize) -> String| (0..save.len()).map(|at| format!("{}: {}", keys[at], shown(at))).collect::<Vec<_>>().join("\n");
    let before = list(&|at| held.shown(&save[at].key));
    let after = list(&|at| save[at].change.shown(save[at].key.definition()));
    let deed = Deed::by(who, "settings.save", keys.join(" "), "save settings").change(before, after);
    let intent = audit.intent(Some(store), now, deed).map_err(|e| SaveError::Unrecorded(e.to_string()))?;
    let saved = store.save_settings(vault, save, &fixed_addresses(world), &who.name, now);
    let end = saved.as_ref().map_or_else(|e| End::failed(e.to_string()), |_| End::ok());
    audit.outcome(Some(store), now, &intent, end);
    saved
}
