//! Why the vault does not open. A wrong passphrase, a changed record and a damaged file are three different answers,
//! because the operator does three different things about them. None carries a secret, typed or stored.

use std::path::PathBuf;

use crate::store::StoreError;
use crate::store::crypto::Refused;

/// Why the vault, or one value in it, does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The store holds no vault yet.
    #[error("there is no vault yet")]
    NoVault,
    /// The store already holds a vault; making another would lose what is in it.
    #[error("there is already a vault")]
    Exists,
    /// No slot is made out to this operator.
    #[error("the vault knows no operator {name}")]
    UnknownOperator {
        /// The name that was asked for.
        name: String,
    },
    /// There is an operator of this name already.
    #[error("there is already an operator {name}")]
    OperatorExists {
        /// The name.
        name: String,
    },
    /// Without him nobody could open the vault but with the recovery words.
    #[error("{name} is the last operator")]
    LastOperator {
        /// The name.
        name: String,
    },
    /// The operator's name cannot be used: empty, longer than 64 bytes, or with control characters.
    #[error("an operator needs a name of 1 to 64 bytes without control characters")]
    BadName,
    /// The passphrase is not the one of this slot. Nothing is damaged.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// The code is not one of the second factor's now.
    #[error("the code is wrong")]
    WrongCode,
    /// The code was right once, and was used.
    #[error("this code was used already")]
    UsedCode,
    /// Too many tries; nothing was verified.
    #[error("too many tries: the next in {seconds} s")]
    Throttled {
        /// Seconds until the next try.
        seconds: u64,
    },
    /// The operator may not log in.
    #[error("{name} is deactivated")]
    Deactivated {
        /// His name.
        name: String,
    },
    /// Nobody would be left who can change operators.
    #[error("that would leave no active admin")]
    LastAdmin,
    /// The second factor is on already.
    #[error("the second factor is on already")]
    SecondFactorOn,
    /// The recovery words are mistyped or belong to another vault.
    #[error("the recovery words are wrong: {why}")]
    WrongWords {
        /// What is wrong, without any of the words.
        why: String,
    },
    /// The host key is not there, so no passphrase can open the vault; the recovery words can.
    #[error("the host key {path} is missing")]
    HostKeyMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The host key is not the one the vault was made with; the recovery words open it.
    #[error("the host key {path} belongs to another vault")]
    HostKeyOther {
        /// The file.
        path: PathBuf,
    },
    /// No value was ever stored under this name.
    #[error("{what} is not set")]
    NotSet {
        /// The name of the value.
        what: String,
    },
    /// Somebody or something changed a stored value. It is not used and not replaced by a default.
    #[error("{what} was changed outside Proximity")]
    Tampered {
        /// What does not open.
        what: String,
    },
    /// A stored value has a shape that Proximity never writes.
    #[error("{what} is damaged")]
    Corrupt {
        /// What is damaged.
        what: String,
    },
    /// The database is whole but older than the anchor beside it: a backup, or somebody put an old one back.
    #[error("the vault is older than its anchor (generation {found}, the anchor says {anchored})")]
    OlderThanAnchor {
        /// The generation of the database.
        found: u64,
        /// The generation it had before.
        anchored: u64,
    },
    /// The file is no export of a vault.
    #[error("the file is no export: {why}")]
    NoExport {
        /// How that is seen.
        why: &'static str,
    },
    /// An import would replace a value that differs.
    #[error("{what} is there already with another value")]
    RecordExists {
        /// The name of the value.
        what: String,
    },
    /// Another console changed the vault key since this one opened the vault. Opening it again helps.
    #[error("the vault has another key now")]
    OtherKey,
    /// The cost is below the floor, so guessing would be cheap.
    #[error("the key derivation is weaker than allowed")]
    WeakCost,
    /// The cost is above what a host can be asked for; nothing was allocated.
    #[error("the key derivation takes too much: {why}")]
    CostTooHigh {
        /// Which bound it passes.
        why: String,
    },
    /// A new passphrase that guessing programs try first.
    #[error("the passphrase is too weak: {why}")]
    WeakPassphrase {
        /// The reason, as the end of a sentence.
        why: &'static str,
    },
    /// A value longer than the vault takes.
    #[error("a secret may have {limit} bytes at most")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The cipher library or the system's random source refused. Nothing was stored.
    #[error("the system gives no randomness or the cipher library refused")]
    Refused,
    /// The store below the vault failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for VaultError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Refused> for VaultError {
    fn from(_: Refused) -> Self {
        Self::Refused
    }
}
