//! Puts a worker outside the session that starts it, so that a lost line or a closed terminal cannot reach it.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::domain::job::{Job, JobId};
use crate::host::local::this_process;

/// Starts the worker of a job: in a transient systemd unit where systemd is PID 1, else detached by its own setsid.
pub(super) fn start(dir: &Path, id: JobId) -> Result<(), String> {
    let exe = std::env::current_exe().map_err(|e| e.to_string())?;
    let worker = [exe.as_os_str(), "job-worker".as_ref(), "--state".as_ref(), dir.as_os_str()];
    let id_text = id.to_string();
    if has_systemd() {
        let unit = unit_name(dir, id);
        // control-group: should the worker be killed, what it started gets TERM and can tidy up; vzdump then
        // takes its lock and its partial archive away.
        let out = quiet(Command::new("/usr/bin/systemd-run"))
            .args([
                "--quiet",
                "--collect",
                "--service-type=exec",
                "--property=KillMode=control-group",
                "--property=UMask=0077",
                "--property=StandardInput=null",
            ])
            .arg(format!("--unit={unit}"))
            .arg(format!("--description=Proximity job {id}"))
            .arg("--")
            .args(worker)
            .args(["--unit", &unit, &id_text])
            .output();
        match out {
            Ok(out) if out.status.success() => return Ok(()),
            Ok(out) => {
                tracing::warn!(said = crate::host::last_lines(&out.stderr), "systemd-run refused; the worker is detached without a unit")
            }
            Err(e) => tracing::warn!(%e, "systemd-run could not be run; the worker is detached without a unit"),
        }
    }
    let mut child = quiet(Command::new(&exe)).args(&worker[1..]).arg(id_text).spawn().map_err(|e| e.to_string())?;
    // Reaps it if it ends before we do.
    let _ = std::thread::Builder::new().name("reap".into()).spawn(move || child.wait());
    Ok(())
}

fn quiet(mut command: Command) -> Command {
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8").current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The test of sd_booted(3).
fn has_systemd() -> bool {
    std::path::Path::new("/run/systemd/system").is_dir() && rustix::process::geteuid().is_root()
}

/// `proximity-job-17`; with a mark of the directory where it is not the usual one, since numbers repeat between stores.
fn unit_name(dir: &Path, id: JobId) -> String {
    use std::hash::{Hash, Hasher};
    if dir == Path::new("/var/lib/proximity") {
        return format!("proximity-job-{id}");
    }
    let mut hasher = std::hash::DefaultHasher::new();
    dir.hash(&mut hasher);
    format!("proximity-{:08x}-job-{id}", hasher.finish() as u32)
}

/// TERM to the worker of a job, if it still is the process that was written down.
pub(super) fn ask_to_end(job: &Job) -> Result<(), String> {
    let worker = job.life.worker.as_ref().ok_or("its worker has not begun yet; try again in a moment")?;
    let here = this_process().map_err(|e| e.to_string())?;
    if here.boot_id != worker.boot_id || crate::host::local::start_of(worker.pid) != Some(worker.start) {
        return Err("its worker is gone; its state will be found out from the host".into());
    }
    let pid = i32::try_from(worker.pid).ok().and_then(Pid::from_raw).ok_or("its process number is impossible")?;
    kill_process(pid, Signal::TERM).map_err(|e| e.to_string())
}
