//! Stand-in for the Proxmox VE command line on real containers: `pct`, `vzdump`, `pvesm`, `pvesh`, `pveversion`
//! and `pve-guests` in one binary that looks at the name it was called by.
//!
//! What it says (texts, exit codes, streams) follows recordings of the real tools; what it does is real: LXC
//! containers, btrfs subvolumes, tar archives. It is a test tool and never part of the program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod args;
mod backups;
mod conf;
mod create;
mod fail;
mod guest;
mod jobs;
mod knobs;
mod mounts;
mod pct;
mod pvesh;
mod pvesm;
mod run;
mod signals;
mod snapshots;
mod storage;
mod task;
mod vzdump;

use std::path::Path;

fn main() {
    let mut argv: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    let name = Path::new(&argv.remove(0)).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    task::take_marker(&mut argv);
    if !task::is_worker() {
        knobs::delay();
    }
    if let Some(forced) = knobs::forced_failure(&name, &argv) {
        forced.report_and_exit();
    }
    conf::refresh_vmlist(None);
    let done = match name.as_str() {
        "pct" => pct::main(&argv),
        "vzdump" => vzdump::main(&argv),
        "pvesm" => pvesm::main(&argv),
        "pvesh" => pvesh::main(&argv),
        "pveversion" => {
            fail::say(&knobs::pveversion_line());
            Ok(())
        }
        "pve-guests" => guest::start_onboot(),
        other => fail::die(format!("{other}: not a tool this binary stands in for")),
    };
    if let Err(failure) = done {
        failure.report_and_exit();
    }
}
