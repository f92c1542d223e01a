//! `/mnt/vzsnap0`: the tree a backup reads, put together from bind mounts like the real one.

use crate::fail::Outcome;
use crate::run;

pub const SNAP: &str = "/mnt/vzsnap0";

/// Mounts these paths (rootfs first, then mount points) below `/mnt/vzsnap0`, read-only.
pub fn assemble(parts: &[(String, String)]) -> Outcome<()> {
    take_apart();
    let _ = std::fs::create_dir_all(SNAP);
    for (source, target) in parts {
        let place = format!("{SNAP}{}", target.trim_end_matches('/'));
        run::must(&["mount", "--bind", source, &place])?;
        run::ok(&["mount", "-o", "remount,bind,ro", &place]);
    }
    Ok(())
}

pub fn take_apart() {
    let mounted = || std::fs::read_to_string("/proc/self/mounts").is_ok_and(|t| t.contains(" /mnt/vzsnap0"));
    if mounted() {
        run::ok(&["umount", "-R", SNAP]);
    }
}
