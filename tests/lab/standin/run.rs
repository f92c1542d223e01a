//! Starting other programs: the few shapes the stand-in needs.

use crate::fail::{Outcome, die};
use std::process::{Command, Output, Stdio};

fn command(argv: &[&str]) -> Command {
    let mut command = Command::new(argv[0]);
    command.args(&argv[1..]);
    command
}

/// Runs quietly; true when it ended with 0.
pub fn ok(argv: &[&str]) -> bool {
    command(argv).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// Stdout of a program whose failure does not matter.
pub fn text(argv: &[&str]) -> String {
    match output(argv) {
        Some(out) => String::from_utf8_lossy(&out.stdout).into_owned(),
        None => String::new(),
    }
}

pub fn output(argv: &[&str]) -> Option<Output> {
    command(argv).stdin(Stdio::null()).output().ok()
}

/// Runs a program that has to succeed; its own words become the error.
pub fn must(argv: &[&str]) -> Outcome<()> {
    let Some(out) = output(argv) else {
        return die(format!("command '{}' failed: not found", argv.join(" ")));
    };
    if out.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&out.stderr);
    die(format!("command '{}' failed: exit code {} {}", argv.join(" "), out.status.code().unwrap_or(255), words.trim()))
}
