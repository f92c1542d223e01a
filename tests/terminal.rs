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

/// What the keys of pane 5 ask for is carried out: a pair is blocked and its row comes; who had one is told.
#[test]
fn ports_are_blocked_and_asked_about_in_the_console() {
    let home = tempfile::tempdir().unwrap();
    let mut term = Term::start(command(&[PROXIMITY, "--host", "demo"], home.path()));
    assert!(term.until_text(120, "nextcloud").is_some(), "{}", term.text());
    term.write(b"5");
    assert!(term.until_text(120, "30000").is_some(), "{}", term.text());
    term.write(b"b30011\ta camera\r");
    let row = |screen: &str| screen.lines().any(|l| l.contains("30011") && l.contains("blocked") && l.contains("a camera"));
    let both = |screen: &str| row(screen) && screen.contains("last: 30011 / 40011: blocked: a camera");
    assert!(term.until(Duration::from_secs(60), both).is_some(), "{}", term.text());
    term.write(b"w");
    assert!(term.until_text(60, "who has a port").is_some(), "{}", term.text());
    // Whatever stood there is deleted, and the other number of a pair that cools down is asked for.
    term.write(b"\x1540002\r");
    assert!(term.until_text(60, "reserved for photos").is_some(), "{}", term.text());
    assert!(term.text().contains("cools down until"), "{}", term.text());
    // What somebody has cannot be blocked, and it is said why. Escape and a letter at once would be another key.
    term.write(b"\x1b");
    assert!(term.until(Duration::from_secs(60), |screen| !screen.contains("who has a port")).is_some(), "{}", term.text());
    term.write(b"b\x1530000\tx\r");
    assert!(term.until_text(60, "reserved for web").is_some(), "{}", term.text());
}

/// The URLs of what is published are links of the terminal, of just the letters that are seen, and end with them.
#[test]
fn urls_are_links_that_the_terminal_opens() {
    let home = tempfile::tempdir().unwrap();
    let mut term = Term::start(command(&[PROXIMITY, "--host", "demo"], home.path()));
    assert!(term.until_text(120, "nextcloud").is_some(), "{}", term.text());
    term.write(b"5");
    assert!(term.until_text(120, "30000").is_some(), "{}", term.text());
    term.write(b"\r");
    assert!(term.until_text(120, "http://prox-appliance:40000").is_some(), "{}", term.text());
    assert!(term.until_sent(60, "\x1b]8;;http://prox-appliance:30000\x1b\\"), "the public one: {:?}", term.sent());
    // The internal one is below it, and the frame ends after it.
    assert!(term.until_sent(60, "\x1b]8;;http://prox-appliance:40000\x1b\\") && term.until_sent(60, "\x1b]8;;\x1b\\\x1b8\x1b[?2026l"));
    let sent = term.sent();
    assert_eq!(sent.matches("\x1b]8;;http").count(), sent.matches("\x1b]8;;\x1b\\").count(), "each ends");
    // Closed, nothing of them is left.
    term.write(b"\x1b");
    let gone = term.until(Duration::from_secs(120), |screen| !screen.contains("http://prox-appliance"));
    assert!(gone.is_some(), "{}", term.text());
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
