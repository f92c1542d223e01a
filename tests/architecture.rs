//! Who may use whom, and the house rules that the compiler cannot check.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out.sort();
    out
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The room a file stands in: the first folder, or the file's own name.
fn room(path: &Path) -> String {
    let rest = path.strip_prefix(root()).unwrap();
    rest.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// A file's code: without comments, and without the tests at its end.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\n#[allow").next().unwrap();
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The rooms of this crate that a text names with `crate::`.
fn named(code: &str) -> Vec<String> {
    let word = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut out = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + 7..];
        match rest.strip_prefix('{') {
            Some(list) => out.extend(list.split('}').next().unwrap().split(',').map(|w| word(w.trim())).filter(|w| !w.is_empty())),
            None => out.push(word(rest)),
        }
    }
    out
}

const RULES: [(&str, &[&str]); 7] = [
    ("domain", &[]),
    ("tui", &["domain"]),
    ("host", &["domain"]),
    ("store", &["domain"]),
    ("ops", &["host", "store", "domain"]),
    ("jobs", &["ops", "host", "store", "domain"]),
    ("problem", &["jobs", "ops", "host", "store", "domain"]),
];

#[test]
fn rooms_use_only_whom_they_may() {
    let mut seen = 0;
    for path in sources(&root()) {
        let room = room(&path);
        let Some((_, may)) = RULES.iter().find(|(r, _)| *r == room) else { continue };
        for used in named(&code(&path)) {
            seen += 1;
            assert!(used == room || may.contains(&used.as_str()), "{} uses {used}, and {room} may use only {may:?}", path.display());
        }
    }
    assert!(seen > 50, "the test looked at nothing");
}

#[test]
fn the_rule_finds_what_it_forbids() {
    assert_eq!(named("use crate::host::Host; crate::{domain::x, store}; a::crate_b"), ["host", "domain", "store"]);
}

fn forbid(rooms: &[&str], words: &[&str], why: &str) {
    for path in sources(&root()) {
        if rooms.contains(&room(&path).as_str()) && !path.ends_with("tui/terminal.rs") {
            let code = code(&path);
            for word in words {
                assert!(!code.contains(word), "{} has {word}: {why}", path.display());
            }
        }
    }
}

#[test]
fn domain_and_screen_know_no_clock_no_files_no_async() {
    let words =
        ["std::fs", "TcpStream", "UdpSocket", "std::process", "SystemTime", "Instant::now", "async fn", ".await", "tokio::", "std::env"];
    forbid(&["domain", "tui"], &words, "times and news come in as facts");
}

#[test]
fn nothing_is_text_for_a_shell() {
    let words = ["\"sh\"", "\"bash\"", "\"-c\"", "sh -c", "/bin/sh"];
    forbid(
        &["domain", "tui", "host", "store", "ops", "jobs", "cli", "run", "problem", "config", "main"],
        &words,
        "commands are argument vectors",
    );
}

#[test]
fn only_hosts_and_jobs_spawn() {
    let words = ["std::process::Command", "tokio::process", "process::{Command"];
    forbid(&["domain", "tui", "store", "ops", "cli", "run", "problem", "config"], words.as_slice(), "processes belong to hosts and jobs");
}

#[test]
fn secrets_are_exposed_where_it_is_known() {
    let may = ["store", "cli", "domain"];
    for path in sources(&root()) {
        if code(&path).contains(".expose") {
            let known = may.contains(&room(&path).as_str()) || path.ends_with("host/api/login.rs");
            assert!(known, "{} exposes a secret", path.display());
        }
    }
}

#[test]
fn every_try_is_counted() {
    forbid(&["cli", "run", "ops", "jobs"], &["Vault::unlock("], "a passphrase is tried through store::Login, which counts first");
}

#[test]
fn every_room_says_what_it_is_for() {
    for path in sources(&root()) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} has no sign on its door", path.display());
    }
}
