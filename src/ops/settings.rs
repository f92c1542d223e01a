//! The one way in which settings are saved, from the screen and from the command line.

use super::audit::{End, Recorder};
use crate::domain::access::Who;
use crate::domain::audit::Deed;
use crate::domain::credential::Candidate;
use crate::domain::settings::{self, Change, Save, SecretChange, Staged, fixed_addresses};
use crate::domain::stamp::Stamp;
use crate::domain::world::World;
use crate::store::{SaveError, Store, Vault};

/// Where settings are saved, by whom, when.
pub struct Saver<'a> {
    /// Writes it down.
    pub audit: &'a Recorder,
    /// The store.
    pub store: &'a Store,
    /// Its vault.
    pub vault: &'a Vault,
    /// Tells the fixed addresses of guests that the rules look at; where guests are unknown none are, and the preview
    /// has said so.
    pub world: &'a World,
    /// Who saves.
    pub who: &'a Who,
    /// Now.
    pub now: Stamp,
}

impl Saver<'_> {
    /// Saves changes together or not at all, and gives how many settings are different now. `Untried` for what would send a
    /// secret where nobody tried it.
    pub fn save(&self, save: &Save) -> Result<usize, SaveError> {
        let held = self.store.settings(Some(self.vault))?;
        if let Some(key) = settings::untried(&held, save.iter().map(|s| (&s.key, &s.change))) {
            return Err(SaveError::Untried { key });
        }
        self.write(save, "save settings")
    }

    /// Keeps a candidate that was tried and passed as the credential of a site, all of it or nothing.
    pub fn keep(&self, tried: &Candidate, site: &str) -> Result<usize, SaveError> {
        let held = self.store.settings(Some(self.vault))?;
        let save = settings::of_candidate(tried, site, &held).map_err(SaveError::Unfit)?;
        self.write(&save, "keep a credential that was tried")
    }

    /// Brings the credential of a site back that was kept before the one that holds. Once more brings this one back.
    pub fn back(&self, site: &str) -> Result<usize, SaveError> {
        let held = self.store.settings(Some(self.vault))?;
        let keys = settings::login_keys(site).map_err(SaveError::Unfit)?;
        // What was saved together is brought back together.
        let last = keys.iter().filter_map(|key| held.row(key)).map(|row| row.at).max();
        let mut save = Save::new();
        for key in keys.into_iter().filter(|key| held.row(key).map(|row| row.at) == last && last.is_some()) {
            let past = self.store.setting_history(Some(self.vault), Some(&key), 2)?;
            let change = match past.get(1) {
                Some(before) => before.back().map_err(SaveError::Unfit)?,
                None if key.definition().is_secret() => Change::Secret(SecretChange::Clear),
                None => Change::Unset,
            };
            save.push(Staged { seen: held.version(&key), key, change });
        }
        if save.is_empty() {
            return Err(SaveError::NoCredential);
        }
        self.write(&save, "bring the credential before back")
    }

    fn write(&self, save: &Save, title: &str) -> Result<usize, SaveError> {
        let Saver { audit, store, vault, world, who, now } = *self;
        let held = store.settings(Some(vault))?;
        let keys: Vec<String> = save.iter().map(|s| s.key.to_string()).collect();
        let list = |shown: &dyn Fn(usize) -> String| {
            (0..save.len()).map(|at| format!("{}: {}", keys[at], shown(at))).collect::<Vec<_>>().join("\n")
        };
        let before = list(&|at| held.shown(&save[at].key));
        let after = list(&|at| save[at].change.shown(save[at].key.definition()));
        let deed = Deed::by(who, "settings.save", keys.join(" "), title).change(before, after);
        let intent = audit.intent(Some(store), now, deed).map_err(|e| SaveError::Unrecorded(e.to_string()))?;
        let saved = store.save_settings(vault, save, &fixed_addresses(world), &who.name, now);
        let end = saved.as_ref().map_or_else(|e| End::failed(e.to_string()), |_| End::ok());
        audit.outcome(Some(store), now, &intent, end);
        saved
    }
}
