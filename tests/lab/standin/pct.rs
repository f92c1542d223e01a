//! `pct`: the table of verbs and those that need no room of their own.

use crate::args::{Given, Kind, Verb};
use crate::conf::{self, Conf};
use crate::fail::{OrDie, Outcome, die, say, warn};
use crate::storage::volumes;
use crate::{create, guest, run, snapshots, storage, task};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

macro_rules! verb {
    ($usage:expr, [$($place:expr),*], [$($option:expr),*], $guest:expr) => {
        Verb { usage: $usage, places: &[$($place),*], options: &[$($option),*], guest: $guest }
    };
}

use Kind::{Bool, Int, Long, Text};
const SECONDS: Kind = Int(0, i64::MAX);

fn verb(name: &str) -> Option<Verb> {
    Some(match name {
        "list" => verb!("pct list ", [], [], false),
        "status" => verb!("pct status <vmid> [OPTIONS]", ["vmid"], [("verbose", Bool)], false),
        "config" => verb!("pct config <vmid> [OPTIONS]", ["vmid"], [("current", Bool), ("snapshot", Text)], false),
        "pending" => verb!("pct pending <vmid>", ["vmid"], [], false),
        "start" => verb!("pct start <vmid> [OPTIONS]", ["vmid"], [("debug", Bool), ("skiplock", Bool)], false),
        "stop" => verb!("pct stop <vmid> [OPTIONS]", ["vmid"], [("skiplock", Bool), ("overrule-shutdown", Bool)], false),
        "shutdown" => verb!("pct shutdown <vmid> [OPTIONS]", ["vmid"], [("timeout", SECONDS), ("forceStop", Bool)], false),
        "reboot" => verb!("pct reboot <vmid> [OPTIONS]", ["vmid"], [("timeout", SECONDS)], false),
        "set" => verb!("pct set <vmid> [OPTIONS]", ["vmid"], [("delete", Text), ("digest", Text), ("revert", Text)], true),
        "create" => verb!(
            "pct create <vmid> <ostemplate> [OPTIONS]",
            ["vmid", "ostemplate"],
            [
                ("storage", Text),
                ("force", Bool),
                ("unique", Bool),
                ("restore", Bool),
                ("start", Bool),
                ("ignore-unpack-errors", Bool),
                ("bwlimit", Text),
                ("password", Long(5)),
                ("ssh-public-keys", Text),
                ("pool", Text)
            ],
            true
        ),
        "restore" => verb!(
            "pct restore <vmid> <ostemplate> [OPTIONS]",
            ["vmid", "ostemplate"],
            [
                ("storage", Text),
                ("force", Bool),
                ("unique", Bool),
                ("start", Bool),
                ("ignore-unpack-errors", Bool),
                ("bwlimit", Text),
                ("password", Long(5)),
                ("ssh-public-keys", Text),
                ("pool", Text)
            ],
            true
        ),
        "destroy" => {
            verb!("pct destroy <vmid> [OPTIONS]", ["vmid"], [("force", Bool), ("purge", Bool), ("destroy-unreferenced-disks", Bool)], false)
        }
        "unlock" => verb!("pct unlock <vmid>", ["vmid"], [], false),
        "mount" => verb!("pct mount <vmid>", ["vmid"], [], false),
        "unmount" => verb!("pct unmount <vmid>", ["vmid"], [], false),
        "exec" => verb!("pct exec <vmid> [<extra-args>] [OPTIONS]", ["vmid"], [("keep-env", Bool)], false),
        "enter" => verb!("pct enter <vmid> [OPTIONS]", ["vmid"], [("keep-env", Bool)], false),
        "push" => verb!(
            "pct push <vmid> <file> <destination> [OPTIONS]",
            ["vmid", "file", "destination"],
            [("user", Text), ("group", Text), ("perms", Text)],
            false
        ),
        "pull" => verb!(
            "pct pull <vmid> <path> <destination> [OPTIONS]",
            ["vmid", "path", "destination"],
            [("user", Text), ("group", Text), ("perms", Text)],
            false
        ),
        "snapshot" => verb!("pct snapshot <vmid> <snapname> [OPTIONS]", ["vmid", "snapname"], [("description", Text)], false),
        "delsnapshot" => verb!("pct delsnapshot <vmid> <snapname> [OPTIONS]", ["vmid", "snapname"], [("force", Bool)], false),
        "rollback" => verb!("pct rollback <vmid> <snapname> [OPTIONS]", ["vmid", "snapname"], [("start", Bool)], false),
        "listsnapshot" => verb!("pct listsnapshot <vmid>", ["vmid"], [], false),
        "df" => verb!("pct df <vmid>", ["vmid"], [], false),
        _ => return None,
    })
}

pub fn main(argv: &[String]) -> Outcome<()> {
    let Some(name) = argv.first() else {
        return die("ERROR: no command specified\nUSAGE: pct <COMMAND> [ARGS] [OPTIONS]");
    };
    let Some(verb) = verb(name) else {
        return die(format!("ERROR: unknown command 'pct {name}'\n{}", include_str!("usage/pct.txt").trim_end_matches('\n')));
    };
    let given = verb.parse(&argv[1..])?;
    let id = given.places.first().cloned().unwrap_or_default();
    match name.as_str() {
        "list" => list(),
        "status" => status(&given),
        "config" => config(&given),
        "pending" => pending(&given),
        "start" => start(&given, &id),
        "stop" => stop(&given, &id),
        "shutdown" => shutdown(&given, &id),
        "reboot" => reboot(&given, &id),
        "set" => set(&given),
        "create" => create::main(&verb, &given, false),
        "restore" => create::main(&verb, &given, true),
        "destroy" => create::destroy(&given),
        "unlock" => unlock(&given),
        "mount" => mount(&given),
        "unmount" => unmount(&given),
        "exec" => exec(&given),
        "enter" => enter(&given),
        "push" => push(&given, &id),
        "pull" => pull(&given, &id),
        "snapshot" => snapshot(&given, &id),
        "delsnapshot" => task::call("vzdelsnapshot", &id, || snapshots::delete(given.vmid(), given.place(1), given.flag("force"))),
        "rollback" => rollback(&given, &id),
        "listsnapshot" => {
            snapshots::list(&conf::load(given.vmid())?);
            Ok(())
        }
        _ => df(&given),
    }
}

fn list() -> Outcome<()> {
    let rows: Vec<Conf> = conf::vmids().into_iter().filter_map(|v| conf::load(v).ok()).collect();
    if rows.is_empty() {
        return Ok(()); // not even a header
    }
    say(&format!("{:<10} {:<10} {:<12} {:<20}", "VMID", "Status", "Lock", "Name"));
    for conf in rows {
        let section = conf.current();
        say(&format!(
            "{:<10} {:<10} {:<12} {:<20}",
            conf.vmid,
            guest::state(conf.vmid),
            section.get("lock").unwrap_or(""),
            section.hostname(conf.vmid)
        ));
    }
    Ok(())
}

fn status(given: &Given) -> Outcome<()> {
    let conf = conf::load(given.vmid())?;
    if !given.flag("verbose") {
        say(&format!("status: {}", guest::state(conf.vmid)));
        return Ok(());
    }
    let mut rows = BTreeMap::new();
    for (key, value) in crate::pvesh::guest_numbers(&conf) {
        if value.is_null() || key == "cpu" {
            continue;
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        rows.insert(key, text);
    }
    for (key, value) in rows {
        say(&format!("{key}: {value}"));
    }
    Ok(())
}

fn config(given: &Given) -> Outcome<()> {
    let conf = conf::load(given.vmid())?;
    let section = match given.get("snapshot") {
        None => conf.current(),
        Some(name) => match conf.snapshot(name) {
            Some(section) => section,
            None => return die(format!("snapshot '{name}' does not exist")),
        },
    };
    for line in section.shown() {
        say(&line);
    }
    Ok(())
}

fn pending(given: &Given) -> Outcome<()> {
    for line in conf::load(given.vmid())?.current().shown() {
        say(&format!("cur {line}"));
    }
    Ok(())
}

fn start(given: &Given, id: &str) -> Outcome<()> {
    let vmid = given.vmid();
    if !task::is_worker() && guest::is_running(vmid) {
        return die(format!("CT {vmid} already running"));
    }
    task::call("vzstart", id, || guest::start(vmid))
}

fn stop(given: &Given, id: &str) -> Outcome<()> {
    let vmid = given.vmid();
    if !task::is_worker() && !guest::is_running(vmid) {
        return die(format!("CT {vmid} not running"));
    }
    task::call("vzstop", id, || {
        let _lock = conf::lock(vmid, 10)?;
        let conf = conf::load(vmid)?;
        if !given.flag("skiplock") {
            conf.check_lock()?;
        }
        guest::kill(vmid)
    })
}

fn shutdown(given: &Given, id: &str) -> Outcome<()> {
    let vmid = given.vmid();
    if !task::is_worker() && !guest::is_running(vmid) {
        return die(format!("CT {vmid} not running"));
    }
    let seconds = given.get("timeout").and_then(|t| t.parse().ok()).unwrap_or(60);
    task::call("vzshutdown", id, || {
        let _lock = conf::lock(vmid, 10)?;
        conf::load(vmid)?.check_lock()?;
        if guest::shut_down(vmid, seconds)? {
            return Ok(());
        }
        if given.flag("forceStop") {
            return guest::kill(vmid);
        }
        die(format!("command 'lxc-stop -n {vmid} --nokill --timeout {seconds}' failed: exit code 1"))
    })
}

fn reboot(given: &Given, id: &str) -> Outcome<()> {
    let vmid = given.vmid();
    if !task::is_worker() && !guest::is_running(vmid) {
        return die(format!("VM {vmid} not running"));
    }
    let seconds = given.get("timeout").and_then(|t| t.parse().ok()).unwrap_or(60);
    task::call("vzreboot", id, || {
        if !guest::shut_down(vmid, seconds)? {
            guest::kill(vmid)?;
        }
        guest::start(vmid)
    })
}

fn set(given: &Given) -> Outcome<()> {
    let vmid = given.vmid();
    let _lock = conf::lock(vmid, 10)?;
    let mut conf = conf::load(vmid)?;
    if given.options.is_empty() {
        return die("no options specified");
    }
    conf.check_lock()?;
    if let Some(wanted) = given.get("digest")
        && wanted != digest(vmid)
    {
        return die("detected modified configuration - file changed by other user? Try again.");
    }
    for name in given.all("delete").iter().flat_map(|d| crate::args::list(d)) {
        let section = conf.current_mut();
        if name == "description" {
            section.description.clear();
        }
        section.keys.remove(&name);
    }
    for (name, value) in &given.options {
        match name.as_str() {
            "delete" | "digest" | "revert" => {}
            "unprivileged" if conf.current().get(name) != Some(value) => {
                return die(format!("unable to modify read-only option: '{name}'"));
            }
            _ if name.starts_with("mp") => set_mount_point(&mut conf, name, value)?,
            _ => create::set_option(conf.current_mut(), name, value),
        }
    }
    conf.save();
    Ok(())
}

fn set_mount_point(conf: &mut Conf, name: &str, value: &str) -> Outcome<()> {
    let (first, rest) = value.split_once(',').unwrap_or((value, ""));
    let new = storage::split(first).and_then(|(s, size)| Some((s, size.parse::<f64>().ok()?)));
    let value = match new {
        Some((id, gib)) => {
            let storage = storage::usable(id)?;
            let volume = storage::allocate(&storage, conf.vmid, gib, conf.current().is_unprivileged())?;
            let (volid, size) = volume.split_once(',').unwrap_or((volume.as_str(), ""));
            format!("{volid},{rest},{size}")
        }
        None => value.to_owned(),
    };
    conf.current_mut().set(name, value);
    Ok(())
}

pub fn digest(vmid: u32) -> String {
    run::text(&["sha1sum", &conf::path(vmid)]).split(' ').next().unwrap_or("").to_owned()
}

fn unlock(given: &Given) -> Outcome<()> {
    let vmid = given.vmid();
    let _lock = conf::lock(vmid, 10)?;
    let mut conf = conf::load(vmid)?;
    if conf.current_mut().keys.remove("lock").is_none() {
        return die("no lock found trying to remove any lock");
    }
    conf.save();
    run::ok(&["logger", "-t", "pct", "-p", "daemon.info", &format!("executed 'pct unlock {vmid}'")]);
    Ok(())
}

fn mount(given: &Given) -> Outcome<()> {
    let vmid = given.vmid();
    let _lock = conf::lock(vmid, 10)?;
    let mut conf = conf::load(vmid)?;
    conf.check_lock()?;
    let place = format!("/var/lib/lxc/{vmid}/rootfs");
    let _ = std::fs::create_dir_all(&place);
    run::must(&["mount", "--bind", &storage::root_path(conf.current())?, &place])?;
    conf.current_mut().set("lock", "mounted");
    conf.save();
    say(&format!("mounted CT {vmid} in '{place}'"));
    Ok(())
}

fn unmount(given: &Given) -> Outcome<()> {
    let vmid = given.vmid();
    let _lock = conf::lock(vmid, 10)?;
    let mut conf = conf::load(vmid)?;
    run::must(&["umount", &format!("/var/lib/lxc/{vmid}/rootfs")])?;
    conf.current_mut().keys.remove("lock");
    conf.save();
    Ok(())
}

/// Becomes `lxc-attach`; the real tool has replaced PATH long before.
fn attach(id: &str, keep_env: Option<bool>, words: &[String]) -> Outcome<()> {
    let mut attach = Command::new("/usr/bin/lxc-attach");
    attach.env("PATH", "/sbin:/bin:/usr/sbin:/usr/bin").env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    attach.args(["-n", id]);
    if let Some(keep) = keep_env {
        attach.arg(if keep { "--keep-env" } else { "--clear-env" });
    }
    if !words.is_empty() {
        attach.arg("--").args(words);
    }
    let error = attach.exec();
    die(format!("unable to run lxc-attach - {error}"))
}

fn exec(given: &Given) -> Outcome<()> {
    let vmid = given.vmid();
    conf::load(vmid)?;
    if given.rest.is_empty() {
        return die("missing command at /usr/share/perl5/PVE/CLI/pct.pm line 239.");
    }
    if !guest::is_running(vmid) {
        return die(format!("container '{vmid}' not running!"));
    }
    attach(given.place(0), Some(given.get("keep-env") != Some("0")), &given.rest)
}

fn enter(given: &Given) -> Outcome<()> {
    let vmid = given.vmid();
    conf::load(vmid)?;
    if !guest::is_running(vmid) {
        return die(format!("container '{vmid}' not running!"));
    }
    attach(given.place(0), given.get("keep-env").map(|k| k == "1"), &[])
}

/// `0644`, `644` and `0x1a4` are the same.
fn mode(given: &Given) -> Outcome<u32> {
    let text = given.get("perms").unwrap_or("0644");
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => u32::from_str_radix(text, 8),
    };
    parsed.or_else(|_| die(format!("invalid mode: '{text}'")))
}

fn push(given: &Given, id: &str) -> Outcome<()> {
    let mode = mode(given)?;
    let (vmid, from, to) = (given.vmid(), given.place(1), given.place(2));
    conf::load(vmid)?;
    if !guest::is_running(vmid) {
        return die("can only push files to a running CT");
    }
    task::call_ignoring_status("push_file", id, || {
        let Ok(file) = std::fs::File::open(from) else {
            return die(format!("failed to open {from} for reading"));
        };
        let script = r#"cat >"$1" 2>/dev/null || exit 3; chmod "$2" "$1"; [ -z "$3" ] || chown "$3" "$1""#;
        let owner = [given.get("user"), given.get("group")].map(Option::unwrap_or_default).join(":");
        let owner = if owner == ":" { String::new() } else { owner };
        let status = Command::new("lxc-attach")
            .args(["-n", id, "--clear-env", "--", "/bin/sh", "-c", script, "sh", to, &format!("{mode:o}"), &owner])
            .stdin(Stdio::from(file))
            .status()
            .or_die("unable to run lxc-attach")?;
        if status.success() { Ok(()) } else { die(format!("failed to create {to}: No such file or directory")) }
    })
}

fn pull(given: &Given, id: &str) -> Outcome<()> {
    let mode = mode(given)?;
    let (vmid, from, to) = (given.vmid(), given.place(1), given.place(2));
    conf::load(vmid)?;
    if !guest::is_running(vmid) {
        return die("can only pull files from a running VM");
    }
    task::call_ignoring_status("pull_file", id, || {
        // The local file comes first and stays, even if there is nothing to fill it with.
        let file = std::fs::File::create(to).or_die(format!("failed to create {to}"))?;
        file.set_permissions(std::fs::Permissions::from_mode(mode)).or_die("chmod")?;
        let status = Command::new("lxc-attach")
            .args(["-n", id, "--clear-env", "--", "/bin/cat", from])
            .stdin(Stdio::null())
            .stdout(Stdio::from(file))
            .stderr(Stdio::null())
            .status()
            .or_die("unable to run lxc-attach")?;
        if !status.success() {
            return die(format!("failed to open {from}: No such file or directory"));
        }
        for (flag, name) in [("chown", given.get("user")), ("chgrp", given.get("group"))] {
            if let Some(name) = name
                && !run::ok(&[flag, name, to])
            {
                warn(&format!("{flag} {name} {to} failed"));
            }
        }
        Ok(())
    })
}

fn snapshot(given: &Given, id: &str) -> Outcome<()> {
    let name = given.place(1);
    if ["current", "vzdump"].contains(&name) {
        return die(format!("unable to use snapshot name '{name}' (reserved name)"));
    }
    task::call("vzsnapshot", id, || snapshots::create(given.vmid(), name, given.get("description")))
}

fn rollback(given: &Given, id: &str) -> Outcome<()> {
    let vmid = given.vmid();
    task::call("vzrollback", id, || {
        snapshots::rollback(vmid, given.place(1))?;
        if given.flag("start") { guest::start(vmid) } else { Ok(()) }
    })
}

fn df(given: &Given) -> Outcome<()> {
    let conf = conf::load(given.vmid())?;
    let mut rows = vec![["MP", "Volume", "Size", "Used", "Avail", "Use%", "Path"].map(str::to_owned)];
    for volume in volumes(conf.current()) {
        let path = volume.must_exist()?;
        if !Path::new(&path).exists() {
            return die("mounting container failed");
        }
        let (total, used) = if volume.is_snapshottable() {
            (volume.size_bytes(), storage::used(&path))
        } else {
            let s = rustix::fs::statvfs(path.as_str()).or_die("statvfs")?;
            (s.f_blocks * s.f_frsize, (s.f_blocks - s.f_bfree) * s.f_frsize)
        };
        let share = format!("{:.1}", used as f64 * 100.0 / total.max(1) as f64);
        rows.push([volume.key, volume.source, human(total), human(used), human(total - used.min(total)), share, volume.target]);
    }
    let width = |at: usize| rows.iter().map(|r| r[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    for r in &rows {
        say(&format!(
            "{:<a$} {:<b$} {:>c$} {:>d$} {:>e$} {:>f$} {}",
            r[0],
            r[1],
            r[2],
            r[3],
            r[4],
            r[5],
            r[6],
            a = widths[0],
            b = widths[1],
            c = widths[2],
            d = widths[3],
            e = widths[4],
            f = widths[5]
        ));
    }
    Ok(())
}

/// One decimal and the unit: `973.4M`.
fn human(bytes: u64) -> String {
    let mut value = bytes as f64 / 1024.0;
    for unit in ["K", "M", "G"] {
        if value < 1024.0 {
            return format!("{value:.1}{unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1}T")
}
