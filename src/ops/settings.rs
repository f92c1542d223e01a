//! The one way in which settings are saved, from the screen and from the command line.

use crate::domain::settings::{Save, fixed_addresses};
use crate::domain::stamp::Stamp;
use crate::domain::world::World;
use crate::store::{SaveError, Store, Vault};

/// Saves changes together or not at all, and gives how many settings are different now.
///
/// `world` tells the fixed addresses of guests that the rules look at; where guests are unknown none are, and the
/// preview has said so. Who may save, and the record of it before and after, belong here.
pub fn save(store: &Store, vault: &Vault, save: &Save, world: &World, by: &str, now: Stamp) -> Result<usize, SaveError> {
    store.save_settings(vault, save, &fixed_addresses(world), by, now)
}
