//! The way in, as types: a passphrase gives [`Passed`], and where a second factor is on that is a [`PasswordOk`], which
//! holds the vault and lends it to nobody. Only [`Unlocked`] has it. Every try is counted first.

use std::path::Path;
use std::time::Duration;

use super::throttle::Guess;
use super::{Secret, Store, Vault, VaultError, Way};
use crate::domain::access::Who;
use crate::domain::session::Moment;

/// What every step of a login needs.
pub struct Login<'a> {
    /// The store.
    pub store: &'a Store,
    /// The host key's file.
    pub host_key: &'a Path,
    /// MemAvailable of the host in bytes.
    pub memory_available: u64,
    /// Now, by the clock that no one can set.
    pub now: Moment,
    /// Now by the wall clock, seconds since 1970: for codes only.
    pub unix_s: i64,
    /// Sleeps; where tries cannot be written down they are made slow.
    pub pause: &'a dyn Fn(Duration),
}

/// What a right passphrase gives.
pub enum Passed {
    /// Everything.
    Unlocked(Unlocked),
    /// Half of it: a code is needed.
    Half(PasswordOk),
}

/// A right passphrase, and the code still to come. The vault lies inside and cannot be reached:
///
/// ```compile_fail
/// fn take(half: proximity::store::PasswordOk) -> proximity::store::Vault {
///     half.vault
/// }
/// ```
pub struct PasswordOk {
    vault: Vault,
    who: Who,
}

/// Logged in.
pub struct Unlocked {
    /// The open vault.
    pub vault: Vault,
    /// Who it is.
    pub who: Who,
}

impl Login<'_> {
    /// Tries a passphrase. `Throttled` after too many; `Deactivated` is told to nobody who does not know the passphrase.
    pub fn passphrase(&self, operator: &str, passphrase: &Secret) -> Result<Passed, VaultError> {
        self.try_passphrase(operator, passphrase, Vault::enter)
    }

    /// The same without the checks of manifest and anchor; see [`Vault::enter_unchecked`].
    pub fn passphrase_unchecked(&self, operator: &str, passphrase: &Secret) -> Result<Passed, VaultError> {
        self.try_passphrase(operator, passphrase, Vault::enter_unchecked)
    }

    fn try_passphrase(
        &self,
        operator: &str,
        passphrase: &Secret,
        enter: fn(&Store, &Way<'_>) -> Result<Vault, VaultError>,
    ) -> Result<Passed, VaultError> {
        // Names that are not there are told from the list anyway, and are no rows to fill the disk with.
        if self.store.account(operator)?.is_none() {
            Vault::check_slots(self.store)?;
            return Err(VaultError::UnknownOperator { name: operator.to_owned() });
        }
        let (host_key, memory_available) = (self.host_key, self.memory_available);
        let vault = self.store.guess(operator, Guess::Passphrase, &self.now, self.pause, || {
            enter(self.store, &Way::Passphrase { host_key, operator, passphrase, memory_available })
        })?;
        let account = vault.account_checked(self.store, operator)?;
        if !account.who.active {
            return Err(VaultError::Deactivated { name: operator.to_owned() });
        }
        let half = PasswordOk { vault, who: account.who };
        Ok(if account.second_factor { Passed::Half(half) } else { Passed::Unlocked(Unlocked { vault: half.vault, who: half.who }) })
    }

    /// The same proof again, of somebody who is logged in: a passphrase, or a code where a second factor is on.
    pub fn prove(&self, vault: &Vault, operator: &str, typed: &Secret) -> Result<(), VaultError> {
        if vault.account_checked(self.store, operator)?.second_factor {
            return self.code_of(vault, operator, typed);
        }
        let verify = || Vault::unlock(self.store, self.host_key, operator, typed, self.memory_available);
        self.store.guess(operator, Guess::Passphrase, &self.now, self.pause, verify).map(drop)
    }

    fn code_of(&self, vault: &Vault, operator: &str, typed: &Secret) -> Result<(), VaultError> {
        let verify = || vault.accept_code(self.store, operator, typed, self.unix_s);
        self.store.guess(operator, Guess::Code, &self.now, self.pause, verify)
    }
}

impl PasswordOk {
    /// Tries a code. A wrong one gives this state back, so that the passphrase need not be typed again.
    pub fn code(self, login: &Login<'_>, typed: &Secret) -> Result<Unlocked, Box<(PasswordOk, VaultError)>> {
        match login.code_of(&self.vault, &self.who.name, typed) {
            Ok(()) => Ok(Unlocked { vault: self.vault, who: self.who }),
            Err(error) => Err(Box::new((self, error))),
        }
    }

    /// Who it is going to be.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.who.name
    }
}
