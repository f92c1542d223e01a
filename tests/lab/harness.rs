//! A lab in a test: brought up by name, removed on drop, and skipped loudly where it cannot run.
//!
//! `Lab::shared()` is the one lab of the test process; `Lab::up("name")` makes another. Names carry the process id, so
//! that test runs side by side do not meet. Guests 101 `web`, 102 `wiki` and appliance 9999 run in it; tests that
//! change guests should make their own (`lab.create(310)`), since all tests of the process share these.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static COUNT: AtomicU32 = AtomicU32::new(0);
static SKIPPED: AtomicU32 = AtomicU32::new(0);

/// The exit code of the script that says: this machine cannot run a lab.
const CANNOT: i32 = 77;

pub struct Lab {
    name: String,
    env: BTreeMap<String, String>,
}

/// What a command in the lab said.
#[derive(Debug)]
pub struct Said {
    pub rc: i32,
    pub out: String,
    pub err: String,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/lab")
}

/// The script as a command with the binaries this test was built with.
fn lab_command(words: &[&str]) -> Command {
    let mut command = Command::new(script());
    command.args(words).stdin(Stdio::null());
    command.env("PROXIMITY_BIN", env!("CARGO_BIN_EXE_proximity"));
    command.env("PVE_STANDIN_BIN", standin());
    command
}

/// The stand-in, built once per process: `cargo test --test lab` does not build examples.
fn standin() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Ok(path) = std::env::var("PVE_STANDIN_BIN") {
            return path.into();
        }
        let cargo = std::env::var("CARGO").unwrap_or("cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--example", "pve-standin"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        let profile = Path::new(env!("CARGO_BIN_EXE_proximity")).parent().unwrap();
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the stand-in does not build");
        profile.join("examples/pve-standin")
    })
}

impl Lab {
    /// A lab of its own with appliance and apps, or nothing on a machine that cannot run one.
    pub fn up(name: &str) -> Option<Lab> {
        Self::up_with(name, &[])
    }

    /// The node without guests.
    pub fn bare(name: &str) -> Option<Lab> {
        Self::up_with(name, &["--bare"])
    }

    /// The one lab of this test process. It goes when the process goes.
    pub fn shared() -> Option<&'static Lab> {
        static SHARED: OnceLock<Option<Lab>> = OnceLock::new();
        SHARED.get_or_init(|| Self::up("s")).as_ref()
    }

    pub fn up_with(name: &str, more: &[&str]) -> Option<Lab> {
        let pid = std::process::id();
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let short: String = name.chars().filter(char::is_ascii_alphanumeric).take(2).collect();
        let name = format!("{}{pid}{number}", short.to_lowercase());
        let owner = pid.to_string();
        let mut words = vec!["up", &name, "--owner", &owner];
        words.extend(more);
        let out = lab_command(&words).output().unwrap();
        let err = String::from_utf8_lossy(&out.stderr).into_owned();
        match out.status.code() {
            Some(0) => {
                let mut lab = Lab { name, env: BTreeMap::new() };
                lab.env = lab.read_env();
                Some(lab)
            }
            Some(CANNOT) => {
                skip(err.trim());
                None
            }
            code => panic!("lab up {name} failed with {code:?}: {err}"),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory of the lab on this machine.
    pub fn dir(&self) -> PathBuf {
        self.env["LAB_DIR"].clone().into()
    }

    /// LAB_HOST, LAB_KEY, LAB_KNOWN_HOSTS, LAB_PASSWORD, LAB_NETNS, LAB_DIR, LAB_WAN (the appliance outside).
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    fn read_env(&self) -> BTreeMap<String, String> {
        let out = lab_command(&["env", &self.name]).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        text.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
    }

    /// A command for `op` (the operator's machine), `pve1` or a guest, to be started by the caller.
    pub fn command(&self, who: &str, argv: &[&str]) -> Command {
        let mut words = vec!["exec", &self.name, who];
        words.extend(argv);
        lab_command(&words)
    }

    /// Runs a command and waits for it.
    pub fn exec(&self, who: &str, argv: &[&str]) -> Said {
        let Output { status, stdout, stderr } = self.command(who, argv).output().unwrap();
        Said {
            rc: status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&stdout).into_owned(),
            err: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Runs a command on the node that has to succeed; its stdout without the last newline.
    pub fn node(&self, argv: &[&str]) -> String {
        let said = self.exec("pve1", argv);
        assert_eq!(said.rc, 0, "{argv:?} on the node: {said:?}");
        said.out.trim_end_matches('\n').to_owned()
    }

    /// Runs a shell line on the node that has to succeed.
    pub fn sh(&self, line: &str) -> String {
        self.node(&["bash", "-c", line])
    }

    /// Runs a shell line in a guest that has to succeed.
    pub fn guest(&self, vmid: u32, line: &str) -> String {
        self.node(&["pct", "exec", &vmid.to_string(), "--", "sh", "-c", line])
    }

    /// A small running guest of the test's own.
    pub fn create(&self, vmid: u32) {
        let id = vmid.to_string();
        let host = format!("t{vmid}");
        self.node(&[
            "pct",
            "create",
            &id,
            "local:vztmpl/alpine-lab-default_amd64.tar.zst",
            "--hostname",
            &host,
            "--memory",
            "128",
            "--rootfs",
            "local-lvm:1",
            "--unprivileged",
            "1",
        ]);
        self.node(&["pct", "start", &id]);
    }

    /// Writes a file on the node.
    pub fn write(&self, path: &str, text: &str) {
        use std::io::Write;
        let mut child = self.command("pve1", &["tee", path]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Power cut.
    pub fn crash(&self) {
        assert!(lab_command(&["crash", &self.name]).status().unwrap().success());
    }

    /// Power on.
    pub fn boot(&self) {
        let out = lab_command(&["boot", &self.name]).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = lab_command(&["down", &self.name]).output();
    }
}

/// Runs the script itself; for tests of the lab.
pub fn lab_script(words: &[&str]) -> Command {
    lab_command(words)
}

/// Says that a test did not run. Where a lab is promised (`CI`, `PROXIMITY_LAB=required`) that is a failure.
pub fn skip(why: &str) {
    let number = SKIPPED.fetch_add(1, Ordering::SeqCst) + 1;
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Past the capture of the test runner.
    let line = format!("\nlab: SKIPPED {test} ({number} so far): {why}\n");
    let _ = std::fs::write("/dev/stderr", line);
    let required = std::env::var("PROXIMITY_LAB").is_ok_and(|v| v == "required") || std::env::var("CI").is_ok_and(|v| !v.is_empty());
    assert!(!required, "a lab is required here: {why}");
}

/// How long anything is waited for, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Waits for a condition and fails with its name when patience is at an end.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for: {what}");
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// The lab of this process, or a return from the test.
#[macro_export]
macro_rules! shared_lab {
    () => {
        match $crate::harness::Lab::shared() {
            Some(lab) => lab,
            None => return $crate::harness::skip("no lab on this machine"),
        }
    };
}
