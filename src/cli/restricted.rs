//! Restricted mode: for accounts whose only program this is (`config/sshd-restricted.conf`). What it takes away is here,
//! in `actor.rs` (who one may be) and in `Config::of_system` (whose word counts); the roles do the rest.

use crate::problem::{Kind, Problem};

/// Another host or another store would be another world with other rules.
pub(super) fn refuse_overrides(host: bool, state: bool) -> Result<(), Problem> {
    let what = match (host, state) {
        (true, _) => "--host",
        (_, true) => "--state",
        (false, false) => return Ok(()),
    };
    Err(Problem::new(Kind::Locked, what, "restricted mode works on this host and its own store only", "leave it out"))
}
