//! Measures the goals of speed, ours beside what a person would pick instead, both in the same run.
//!
//! ```text
//! cargo bench --bench goals                 all parts
//! cargo bench --bench goals -- S1 S12       these parts
//! cargo bench --bench goals -- --no-lab     nothing that needs the lab (root, lxc)
//! ```
//!
//! Programs take turns (A B B A), so that a busy machine is busy for all of them. A goal is first of all a ratio to
//! the named program; absolute figures move with the machine. Nothing here fails because of time, and nothing is
//! installed: what is not there is said to be not there. htop, less, lnav and gitui are used where they are found,
//! and ripgrep.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    dead_code,
    clippy::type_complexity,
    clippy::manual_is_multiple_of
)]

#[path = "goals/audit.rs"]
mod audit;
#[path = "goals/backups.rs"]
mod backups;
#[path = "goals/console.rs"]
mod console;
#[path = "goals/figures.rs"]
mod figures;
#[path = "../tests/lab/harness.rs"]
mod harness;
#[path = "goals/in_process.rs"]
mod in_process;
#[path = "goals/inside.rs"]
mod inside;
#[path = "goals/logs.rs"]
mod logs;
#[path = "goals/memory_host.rs"]
mod memory_host;
#[path = "goals/node.rs"]
mod node;
#[path = "goals/ports.rs"]
mod ports;
#[path = "goals/ports_pane.rs"]
mod ports_pane;
#[path = "goals/pty.rs"]
mod pty;
#[path = "goals/scratch.rs"]
mod scratch;
#[path = "goals/settings.rs"]
mod settings;
#[path = "goals/vault.rs"]
mod vault;

use figures::Table;

pub const PROXIMITY: &str = env!("CARGO_BIN_EXE_proximity");

/// Goals that have nothing to measure yet, and why.
const NOT_YET: [(&str, &str, &str); 2] = [("S13", "refresh over SSH", "no SSH host yet"), ("S14", "32 kbit/s link", "no bench yet")];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    // The program is also its own helper inside the lab.
    if args[0].ends_with("journalctl") {
        return node::flood();
    }
    if args.get(1).is_some_and(|a| a == "refreshes") {
        return node::refreshes(args.get(2).and_then(|n| n.parse().ok()).unwrap_or(100));
    }
    if !args.iter().any(|a| a == "--bench") {
        println!("goals measures time and is no test; run it with: cargo bench --bench goals");
        return;
    }
    let wanted: Vec<&String> = args[1..].iter().filter(|a| a.starts_with('S')).collect();
    let with_lab = !args.iter().any(|a| a == "--no-lab");
    let want = |id: &str| wanted.is_empty() || wanted.iter().any(|w| *w == id);
    let home = tempfile::tempdir().unwrap();
    let mut table = Table::default();
    let on = console::Bench::new(home.path());
    let parts: [(&str, &dyn Fn(&mut Table)); 18] = [
        ("S1", &|t| on.start(t)),
        ("S2", &|t| logs::end(t, home.path())),
        ("S3", &|t| {
            on.keys(t);
            in_process::keys(t);
        }),
        ("S4", &|t| in_process::flood(t)),
        ("S5", &|t| logs::appended(t, home.path())),
        ("S6", &|t| logs::search(t, home.path(), "S6")),
        ("S7", &|t| logs::search(t, home.path(), "S7")),
        ("S8", &|t| {
            on.memory(t);
            logs::file_memory(t, home.path());
        }),
        ("S9", &|t| logs::stream_speed(t, home.path())),
        ("S10", &|t| on.idle(t)),
        ("S11", &|t| {
            on.bytes(t);
            in_process::bytes(t);
        }),
        ("S12", &|t| in_process::refresh(t)),
        ("S20", &|t| audit::all(home.path(), t)),
        ("S21", &|t| settings::save(t, home.path())),
        ("S22", &|t| ports::ports(t, home.path())),
        ("S22", &|t| ports_pane::pane(t)),
        ("S23", &|t| backups::board(t)),
        ("S24", &|t| inside::list(t, home.path())),
    ];
    for (id, part) in parts {
        if want(id) {
            eprintln!("{id} …");
            part(&mut table);
        }
    }
    if want("S16") {
        size(&mut table);
    }
    if ["S17", "S18", "S19"].iter().any(|id| want(id)) {
        eprintln!("vault …");
        vault::all(home.path(), &mut table);
    }
    if with_lab && ["S4", "S10", "S12", "S15"].iter().any(|id| want(id)) {
        eprintln!("lab …");
        match harness::Lab::up("go") {
            Some(lab) => node::all(&lab, home.path(), &want, &mut table),
            None => table.row("S12", "in the lab", "not measured: this machine cannot run a lab", "", vec![]),
        }
    }
    for (id, what, why) in NOT_YET {
        if want(id) {
            table.row(id, what, format!("not measured: {why}"), "", vec![]);
        }
    }
    table.print();
}

/// S16: the size of the stripped program; the bench profile inherits the release profile.
fn size(table: &mut Table) {
    let mib = std::fs::metadata(PROXIMITY).unwrap().len() as f64 / 1048576.0;
    table.row(
        "S16",
        "program, stripped",
        format!("{mib:.2} MiB"),
        "",
        vec![figures::check("<= 12 MiB", mib <= 12.0), ("cold build <= 6 min: not measured here".into(), None)],
    );
}
