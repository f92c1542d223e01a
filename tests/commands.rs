//! The command line as a program of its own: what it prints, and with which status it ends.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Status, standard output and standard error of `proximity`, away from the state and the settings of this machine.
fn proximity(home: &Path, args: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_proximity"))
        .args(args)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home)
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading all.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let out = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

const LOG: &str = "header
2026-11-21 10:00:00 INFO begins
2026-11-21 10:00:05 ERROR it broke
    at first
2026-11-21 17:00:09 WARN be careful
";

#[test]
fn logs_are_sifted_by_time_level_and_number() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("app.log");
    std::fs::write(&path, LOG).unwrap();
    let source = format!("file:{}", path.display());
    let run = |args: &[&str]| {
        let args: Vec<&str> = ["logs", &source].into_iter().chain(args.iter().copied()).collect();
        proximity(home.path(), &args, "")
    };
    let lines = |range: std::ops::Range<usize>| LOG.split_inclusive('\n').collect::<Vec<_>>()[range].concat();
    for (args, expected) in [
        (&[][..], lines(0..5)),
        (&["-n", "2"], lines(3..5)),
        (&["--since", "2026-11-21 10:00:05", "--until", "2026-11-21T10:00:05Z"], lines(2..4)),
        (&["--level", "warn"], lines(2..5)),
        (&["--level", "warn", "-n", "1"], lines(4..5)),
        (&["--since", "2026-11-21", "--match", "it|at"], lines(2..4)),
        (&["--not", "e"], lines(3..4)),
        (&["--since", "2031-01-01"], String::new()),
    ] {
        let (status, out, _) = run(args);
        assert_eq!((status, out), (0, expected), "{args:?}");
    }
    assert!(run(&["--since", "2026-11-21"]).2.contains("1 line tells no time"));
    let (_, out, _) = run(&["-o", "json", "--match", "at first"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["line"], &told["source"]), (&"    at first".into(), &source.as_str().into()));
    assert_eq!(proximity(home.path(), &["logs", "-", "--level", "error"], LOG).1, lines(2..4));
}

#[test]
fn what_logs_cannot_do_is_said_and_has_a_status() {
    let home = tempfile::tempdir().unwrap();
    for (args, status, why) in [
        (&["logs", "file:/nowhere"][..], 1, "No such file"),
        (&["logs", "nobody"], 5, "there is no source 'nobody'"),
        (&["logs", "-", "--since", "soon"], 2, "'soon' is no time"),
        (&["logs", "-", "--level", "loud"], 2, "give one of debug, info"),
        (&["logs", "-", "--match", "("], 2, "not a regular expression"),
        (&["logs", "-", "--since", "1h", "--until", "2h"], 2, "before --since"),
        (&["logs", "-f", "--until", "now"], 2, "cannot be used with"),
        (&["logs", "job:1"], 3, "there is no store"),
    ] {
        let (got, out, err) = proximity(home.path(), args, "");
        assert!(got == status && out.is_empty() && err.contains(why), "{args:?}: {got} {err}");
    }
}
