//! The store and the vault from outside: real files, real processes, real damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "store/bit_rot.rs"]
mod bit_rot;
#[path = "store/clocks.rs"]
mod clocks;
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
#[path = "store/migrations.rs"]
mod migrations;
#[path = "store/power_loss.rs"]
mod power_loss;
#[path = "store/strace.rs"]
mod strace;
#[path = "store/rollback.rs"]
mod rollback;
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
