//! Restricted mode: for accounts whose only program this is (`config/sshd-restricted.conf`). What it takes away is here,
//! in `actor.rs` (who one may be) and in `Config::of_system` (whose word counts); the roles do the rest.

use rustix::process::{DumpableBehavior, Resource, Rlimit};

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

/// No core file, no debugger, no stop in the middle.
pub(super) fn close_doors() {
    // Each can only fail where the kernel does not know it; nothing else depends on them.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}
