//! The store and the vault from outside: real files, real processes, real damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "store/audit.rs"]
mod audit;
#[path = "store/crash.rs"]
mod crash;
#[path = "store/damage.rs"]
mod damage;
#[path = "store/files.rs"]
mod files;
#[path = "store/full_disk.rs"]
mod full_disk;
#[path = "store/rollback.rs"]
mod rollback;
#[path = "store/support.rs"]
mod support;
#[path = "store/vault.rs"]
mod vault;
#[path = "store/vectors.rs"]
mod vectors;

use support::*;
