//! The store and the vault from outside: real files, real processes, real damage.
//!
//! # The reliability harness
//!
//! | file | what happens to the store | the drill that shows it would be noticed |
//! |---|---|---|
//! | `kill_points.rs` | SIGKILL before each system call of each kind of write | |
//! | `faults.rs` | each of these calls fails: full, broken, read-only, no descriptors, interrupted; once, or from then on | |
//! | `power_loss.rs` | each write is recorded, and every disk rebuilt that a power loss may leave (`disk.rs`) | `synchronous = NORMAL` |
//! | `migrations.rs` | both, from each older layout to the newest | |
//! | `bit_rot.rs` | flipped bits, lost and swapped sectors and pages, cut files | |
//! | `full_disk.rs` | a disk with 0 bytes to 1 MiB free, a read-only one | |
//! | `together.rs` | eight processes take numbers from one store | `BEGIN DEFERRED` |
//! | `clocks.rs` | clocks that jump by seconds and decades | |
//!
//! What is written and what must hold afterwards is in `kinds.rs`; a new kind of write gets a line in its table and one
//! in each of the first three files. The other process is `store-role` (`role.rs`), under strace(1), which root gets
//! installed; without strace these tests are skipped, loudly, and in CI they fail.
//!
//! `cargo test --test store` tries a part of it. `PROXIMITY_FULL=1 cargo test --test store -- --nocapture` leaves nothing
//! out and prints the counts, in about an hour. `tests/drills` takes the defences away, one after the other, in a copy of
//! the tree, and shows that a test fails then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "store/audit.rs"]
mod audit;
#[path = "store/bit_rot.rs"]
mod bit_rot;
#[path = "store/clocks.rs"]
mod clocks;
#[path = "store/copies.rs"]
mod copies;
#[path = "store/crash.rs"]
mod crash;
#[path = "store/damage.rs"]
mod damage;
#[path = "store/disk.rs"]
mod disk;
#[path = "store/faults.rs"]
mod faults;
#[path = "store/files.rs"]
mod files;
#[path = "store/full_disk.rs"]
mod full_disk;
#[path = "store/image.rs"]
mod image;
#[path = "store/kill_points.rs"]
mod kill_points;
#[path = "store/kinds.rs"]
mod kinds;
#[path = "store/login.rs"]
mod login;
#[path = "store/memory.rs"]
mod memory;
#[path = "store/migrations.rs"]
mod migrations;
#[path = "store/operators.rs"]
mod operators;
#[path = "store/pins.rs"]
mod pins;
#[path = "store/ports.rs"]
mod ports;
#[path = "store/power_loss.rs"]
mod power_loss;
#[path = "program.rs"]
mod program;
#[path = "store/rollback.rs"]
mod rollback;
#[path = "store/settings.rs"]
mod settings;
#[path = "store/strace.rs"]
mod strace;
#[path = "store/support.rs"]
mod support;
#[path = "store/together.rs"]
mod together;
#[path = "store/vault.rs"]
mod vault;
#[path = "store/vectors.rs"]
mod vectors;

use support::*;

/// Whether everything is to be tried, which takes many minutes, or a part of it.
fn full() -> bool {
    std::env::var_os("PROXIMITY_FULL").is_some()
}

/// The first number, or the second where everything is to be tried.
fn part(quick: usize, all: usize) -> usize {
    if full() { all } else { quick }
}
