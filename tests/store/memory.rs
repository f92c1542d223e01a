//! A process that holds keys, aborted and looked at from outside. Each case is also run without the guard, which proves
//! that the test would see what it looks for.

use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Somebody who is not root, as the system's own nobody.
const STRANGER: u32 = 65_534;

fn role() -> Option<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can become another user");
        return None;
    }
    let built = std::env::current_exe().unwrap();
    // Another user cannot reach the build directory.
    let dir = std::env::temp_dir().join(format!("proximity-role-{}-{:?}", std::process::id(), std::thread::current().id()));
    std::fs::create_dir_all(&dir).unwrap();
    let program = dir.join("store-role");
    // By another process: what this one has open to write, a program that another test is just starting has open too, and
    // a file that is open to write is not executed ("text file busy").
    let role = built.ancestors().nth(2).unwrap().join("examples/store-role");
    assert!(Command::new("cp").arg(role).arg(&program).status().unwrap().success());
    std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    Some(program)
}

fn holder(program: &PathBuf, guard: &str) -> Child {
    let mut child = Command::new(program)
        .args(["holder", guard])
        .uid(STRANGER)
        .gid(STRANGER)
        .current_dir(program.parent().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let line = BufReader::new(child.stdout.as_mut().unwrap()).lines().next().unwrap().unwrap();
    assert_eq!(line, "holding");
    child
}

#[test]
fn no_core_is_written_of_a_process_that_holds_keys() {
    let Some(program) = role() else { return };
    let dumped = |guard: &str| {
        let mut child = holder(&program, guard);
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::ABORT).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(6));
        let cores = std::fs::read_dir(program.parent().unwrap()).unwrap().filter(|f| {
            let name = f.as_ref().unwrap().file_name().into_string().unwrap();
            name.contains("core")
        });
        status.core_dumped() || cores.count() > 0
    };
    assert!(!dumped("guarded"));
    if !dumped("open") {
        eprintln!("NOT PROVEN: this system dumps no core of anybody (see core_pattern); the guard was not needed here");
    }
    std::fs::remove_dir_all(program.parent().unwrap()).unwrap();
}

#[test]
fn no_other_process_of_the_user_reads_the_keys() {
    let Some(program) = role() else { return };
    let reads = |guard: &str| {
        let mut child = holder(&program, guard);
        let look = Command::new(&program).args(["look", &child.id().to_string()]).uid(STRANGER).gid(STRANGER).output().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(look.status.success(), "{}", String::from_utf8_lossy(&look.stderr));
        String::from_utf8(look.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(reads("guarded"), "permission denied");
    let open = reads("open");
    if open != "opened" {
        eprintln!("NOT PROVEN: this system lets no process read another ({open}); the guard was not needed here");
    }
    std::fs::remove_dir_all(program.parent().unwrap()).unwrap();
}

#[test]
fn pages_are_locked_where_the_system_lets_us() {
    let Some(program) = role() else { return };
    let mut child = Command::new(&program).args(["holder", "guarded"]).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stdout.as_mut().unwrap()).lines().next().unwrap().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let locked = status.lines().find_map(|l| l.strip_prefix("VmLck:")).unwrap().trim().trim_end_matches(" kB").parse::<u64>().unwrap();
    let swapped = status.lines().find_map(|l| l.strip_prefix("VmSwap:")).unwrap_or("0 kB").trim().to_owned();
    assert!(locked > 1000, "root may lock: {locked} KiB");
    assert_eq!(swapped, "0 kB");
    std::fs::remove_dir_all(program.parent().unwrap()).unwrap();
}
