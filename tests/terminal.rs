//! The console on a terminal of its own: what only the real program and a real pseudo-terminal show.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

#[path = "terminal/memory.rs"]
mod memory;
#[path = "../benches/goals/pty.rs"]
mod pty;
#[path = "api/server.rs"]
mod server;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pty::{Term, command};

const PROXIMITY: &str = env!("CARGO_BIN_EXE_proximity");

/// Makes a store in `home` whose vault this passphrase opens.
fn make_store(home: &Path, passphrase: &str) {
    let mut child = Command::new(PROXIMITY)
        .args(["init", "--operator", "ada", "--passphrase-fd", "0", "--state"])
        .arg(home.join("state"))
        .env("HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{passphrase}").unwrap();
    assert!(child.wait().unwrap().success());
}

/// The console on that store, before anybody unlocked it.
fn locked_console(home: &Path) -> Term {
    let state = home.join("state").display().to_string();
    let mut term = Term::start(command(&[PROXIMITY, "--state", &state], home));
    assert!(term.until_text(120, "passphrase").is_some(), "{}", term.text());
    term
}

/// The terminal here is never answered for: whatever the program asks it, no answer comes. Over a slow line, or on a simple
/// terminal, that is how it is.
#[test]
fn a_terminal_that_answers_nothing_may_be_resized() {
    let home = tempfile::tempdir().unwrap();
    let mut term = Term::start(command(&[PROXIMITY, "--host", "demo"], home.path()));
    assert!(term.until_text(120, "nextcloud").is_some(), "{}", term.text());
    for (rows, cols) in [(30, 100), (50, 160), (24, 80)] {
        term.resize(rows, cols);
        let painted = term.until(Duration::from_secs(120), |screen| screen.contains("nextcloud"));
        assert!(painted.is_some() && term.is_alive(), "{rows}x{cols}: {}", term.text());
    }
    // Longer than crossterm waits for an answer.
    term.listen(Duration::from_millis(2500));
    term.write(b"\x0c");
    term.write(b"2");
    assert!(term.until_text(120, "logs").is_some() && term.is_alive(), "{}", term.text());
}
