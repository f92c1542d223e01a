//! Runs a write of `store-role` under strace(1): to end it before any of its system calls, to let any of them fail, or
//! to write down what it does to the disk. Needs no root; where strace is missing, root installs it with apt.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::crash::role_program;
use super::kinds::{Before, Kind};

/// Everything by which a file or its name can change. What is missing here cannot be cut off, and the disk of
/// `disk.rs` would not know it happened.
const CALLS: &str = "write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,sync_file_range,ftruncate,truncate,fallocate,\
    openat,open,creat,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mkdir,mkdirat,rmdir,\
    chmod,fchmod,fchmodat,copy_file_range,sendfile,splice";

/// Whether strace works here. Where it does not, says so loudly, and fails where tests must not be left out (`CI`).
pub fn works() -> bool {
    static ONCE: OnceLock<bool> = OnceLock::new();
    *ONCE.get_or_init(|| {
        let tries = || Command::new("strace").args(["-o", "/dev/null", "true"]).output().is_ok_and(|out| out.status.success());
        let root = rustix::process::geteuid().is_root();
        let installs = || {
            Command::new("apt-get").args(["update", "-q"]).output().ok();
            Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/image/apt-install.sh")).arg("strace").output().ok();
            tries()
        };
        let works = tries() || (root && installs());
        let needed = std::env::var_os("CI").is_some() || std::env::var("PROXIMITY_LAB").is_ok_and(|value| value == "required");
        assert!(works || !needed, "strace does not work here, and it must");
        if !works {
            eprintln!("SKIPPED: strace does not work here (apt-get install strace; it needs the right to trace)");
        }
        works
    })
}

/// What became of a run.
pub struct Ran {
    /// Acknowledged writes.
    pub promises: usize,
    /// The words it said, or those it was given.
    pub words: String,
    /// Why it refused, if it did.
    pub refused: Option<String>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its exit status.
    pub code: Option<i32>,
    /// What it said about itself when it should not have: a panic.
    pub stderr: String,
}

/// Runs a kind of write in `dir`, with a further argument for strace. (Not with `--seccomp-bpf`: strace 6.1 then sends
/// no signal.)
pub fn run(kind: &Kind, before: &Before, rounds: usize, dir: &Path, option: &str) -> Ran {
    let mut child = Command::new("strace")
        .args(["-f", "-qqq", "-o", "/dev/null", "-e", &format!("trace={CALLS}"), "-e", option])
        .arg(role_program())
        .args(["write", kind.name, &rounds.to_string()])
        .arg(dir)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may be gone before it reads.
    writeln!(child.stdin.take().unwrap(), "{}", before.words).ok();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    let after = |start: &str| said.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned);
    Ran {
        promises: said.lines().filter(|line| *line == "done").count(),
        words: after("words ").unwrap_or_else(|| before.words.clone()),
        refused: after("refused: "),
        signal: out.status.signal(),
        code: out.status.code(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

/// What a write does to the disk, in order.
pub struct Record {
    pub calls: Vec<Call>,
    /// The recovery words that were said, or those that were given.
    pub words: String,
}

/// One system call that concerned the directory or the standard output.
#[derive(Debug, Clone)]
pub struct Call {
    pub name: String,
    /// Which call of this name it was in its process, from 1: what `when=` of strace counts.
    pub when: usize,
    pub does: Does,
}

/// What a call does; paths are relative to the directory, `""` being itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Does {
    /// Writes at an offset, or where the file ended if there is none.
    Write {
        file: PathBuf,
        at: Option<usize>,
        bytes: Vec<u8>,
    },
    Truncate {
        file: PathBuf,
        length: usize,
    },
    /// Opens; `new` if it may have made the file.
    Open {
        file: PathBuf,
        new: bool,
    },
    Sync {
        file: PathBuf,
    },
    Unlink {
        file: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    MakeDir {
        dir: PathBuf,
    },
    /// Lines on the standard output.
    Say(String),
    /// Failed, so it changed nothing.
    Nothing,
}

/// Records a run that nobody disturbs. A call nobody has taught us to understand is a panic, not a gap.
pub fn record(kind: &Kind, before: &Before, rounds: usize, dir: &Path) -> Record {
    before.image.lay(dir);
    let log = dir.with_extension("strace");
    let mut child = Command::new("strace")
        .args(["-f", "-qqq", "-y", "-xx", "-s", "400000", "-e", &format!("trace={CALLS}"), "-o"])
        .arg(&log)
        .arg(role_program())
        .args(["write", kind.name, &rounds.to_string()])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{}", before.words).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{}: {said}", kind.name);
    let words = said.lines().find_map(|line| line.strip_prefix("words ")).unwrap_or(&before.words).to_owned();
    let calls = read(&std::fs::read_to_string(log).unwrap(), dir);
    let promises = calls.iter().filter(|call| call.does == Does::Say("done\n".into())).count();
    assert!(promises >= 1 && said.lines().filter(|line| *line == "done").count() == promises, "{calls:?}");
    Record { calls, words }
}

fn read(log: &str, dir: &Path) -> Vec<Call> {
    let mut counts = BTreeMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let (_pid, line) = line.split_once(' ').unwrap();
        let Some((name, rest)) = line.trim_start().split_once('(') else { continue };
        let count: &mut usize = counts.entry(name.to_owned()).or_default();
        *count += 1;
        let (args, result) = rest.rsplit_once(" = ").unwrap_or_else(|| panic!("two threads? {line:.200}"));
        let args = split(args.trim_end().strip_suffix(')').unwrap());
        if let Some(does) = meaning(name, &args, result, dir) {
            calls.push(Call { name: name.to_owned(), when: *count, does });
        }
    }
    calls
}

/// Arguments at the top level; strings are all `\xNN`, so a comma is a comma.
fn split(args: &str) -> Vec<&str> {
    args.split(", ").collect()
}

/// `"\x64\x6f"` or `4<\x2f\x64>` to bytes.
fn unhex(text: &str) -> Vec<u8> {
    let inner = text.trim_matches('"');
    assert!(inner.len().is_multiple_of(4) && !inner.contains("..."), "{inner:.100}");
    inner.as_bytes().chunks(4).map(|four| u8::from_str_radix(std::str::from_utf8(&four[2..]).unwrap(), 16).unwrap()).collect()
}

fn meaning(name: &str, args: &[&str], result: &str, dir: &Path) -> Option<Does> {
    let path = |bytes: Vec<u8>| PathBuf::from(String::from_utf8(bytes).unwrap());
    let inside = |path: PathBuf| path.strip_prefix(dir).ok().map(Path::to_owned);
    // `4</path/of/it>`
    let opened = |at: usize| {
        let (_, rest) = args[at].split_once('<')?;
        inside(path(unhex(rest.trim_end_matches('>'))))
    };
    let named = |at: usize| inside(path(unhex(args[at])));
    let number = |at: usize| args[at].parse::<usize>().unwrap();
    let failed = result.starts_with('-');
    let does = match name {
        "write" if args[0].starts_with("1<") => Does::Say(String::from_utf8(unhex(args[1])).unwrap()),
        "write" => Does::Write { file: opened(0)?, at: None, bytes: unhex(args[1]) },
        "pwrite64" => Does::Write { file: opened(0)?, at: Some(number(3)), bytes: unhex(args[1]) },
        "ftruncate" => Does::Truncate { file: opened(0)?, length: number(1) },
        "fsync" | "fdatasync" => Does::Sync { file: opened(0)? },
        "openat" => {
            assert!(!args[2].contains("O_TRUNC"), "{args:?}");
            Does::Open { file: named(1)?, new: args[2].contains("O_CREAT") }
        }
        "unlink" => Does::Unlink { file: named(0)? },
        "rename" => Does::Rename { from: named(0)?, to: named(1).expect("nothing leaves the directory") },
        "mkdir" => Does::MakeDir { dir: named(0)? },
        // Only who may read it.
        "fchmod" => return opened(0).map(|_| Does::Nothing),
        _ => panic!("disk.rs does not know {name}({args:?})"),
    };
    if let (Does::Write { bytes, .. }, false) = (&does, failed) {
        assert_eq!(result, bytes.len().to_string(), "a short write");
    }
    Some(if failed { Does::Nothing } else { does })
}
