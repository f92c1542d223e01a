//! Keeps keys that are in memory out of files: no core dump, no other process of the same user that reads it, and no swap
//! where the system lets us. Root is not kept from anything.

use rustix::mm::MlockAllFlags;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// Guards the memory of this process from here on; to be called before anything secret is read. Children have no core
/// dumps either.
///
/// What could not be had is given in words. Keys lie on pages of their own in no way (that needs unsafe code), so all pages
/// are locked as they come into use, and only where no limit can make a later allocation fail.
pub fn guard_memory() -> Vec<String> {
    let mut lacking = Vec::new();
    let mut need = |done: rustix::io::Result<()>, what: &str| {
        if let Err(error) = done {
            lacking.push(format!("{what}: {error}"));
        }
    };
    need(set_dumpable_behavior(DumpableBehavior::NotDumpable), "other processes of this user may read our memory");
    need(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }), "a crash may write our memory to a file");
    let may_lock = getrlimit(Resource::Memlock).current.is_none()
        || capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    if may_lock {
        let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
        need(rustix::mm::mlockall(all), "keys may be swapped to disk");
    } else {
        lacking.push("keys may be swapped to disk: the limit on locked memory (ulimit -l) is too low".to_owned());
    }
    lacking
}
