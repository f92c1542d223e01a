//! `pct`: containers as its recordings show them (facts §2), and a little `qm`.

use super::APPLIANCE;
use super::commands::{Answer, last, tail};
use super::logs::{self, Source};
use super::node::{Event, Guest, NAME, Node, after, text_of};
use super::restore;
use super::words::{Opts, Reply};
use crate::domain::appliance::{CADDY_LOG, DNSMASQ_LOG};

/// Verbs that `pct` knows and this host does not play.
const ELSEWHERE: [&str; 22] = [
    "clone",
    "console",
    "cpusets",
    "create",
    "delsnapshot",
    "df",
    "enter",
    "fsck",
    "fstrim",
    "help",
    "listsnapshot",
    "migrate",
    "move-volume",
    "pending",
    "pull",
    "push",
    "remote-migrate",
    "rescan",
    "resize",
    "resume",
    "rollback",
    "snapshot",
];

/// The beginning of what `pct` prints for a verb it does not know.
const USAGE: &str = include_str!("pct-usage.txt");

/// Begins a `pct` command.
pub(super) fn begin(node: &mut Node, args: &[String]) -> Answer {
    let Some(verb) = args.first().map(String::as_str) else {
        return Answer::Now(Reply { status: 255, out: String::new(), err: format!("ERROR: no command specified\n{USAGE}") });
    };
    let rest = &args[1..];
    match verb {
        "list" => Answer::Now(list(node)),
        "restore" => restore::begin(node, rest).into(),
        "status" | "config" | "unlock" | "start" | "stop" | "shutdown" | "reboot" | "destroy" | "exec" | "set" | "mount" | "unmount" => {
            one(node, verb, rest)
        }
        _ if ELSEWHERE.contains(&verb) || ["suspend", "template"].contains(&verb) => {
            Answer::Now(Reply::fail(255, format!("the demo host does not play 'pct {verb}'")))
        }
        _ => Answer::Now(Reply { status: 255, out: String::new(), err: format!("ERROR: unknown command 'pct {verb}'\n{USAGE}") }),
    }
}

fn one(node: &mut Node, verb: &str, rest: &[String]) -> Answer {
    let usage = format!("pct {verb} <vmid>{}", if verb == "unlock" { "" } else { " [OPTIONS]" });
    let Some(word) = rest.first() else { return Answer::Now(Reply::fail(2, format!("400 not enough arguments\n{usage}"))) };
    let Ok(id) = word.parse::<u32>() else {
        return Answer::Now(Reply { status: 2, ..Reply::param(&format!("vmid: type check ('integer') failed - got '{word}'"), &usage) });
    };
    let Some(guest) = node.guests.get(&id).filter(|g| !g.qemu) else {
        let status = if matches!(verb, "start" | "stop" | "shutdown" | "reboot") { 255 } else { 2 };
        return Answer::Now(Reply::fail(status, format!("Configuration file 'nodes/{NAME}/lxc/{id}.conf' does not exist")));
    };
    match verb {
        "status" => Answer::Now(status(node, id, guest, Opts::read(&rest[1..]).get("verbose").is_some())),
        "config" => Answer::Now(Reply::ok(text_of(&guest.conf))),
        "unlock" => Answer::Now(unlock(node, id)),
        "mount" | "unmount" => Answer::Now(mounted(node, id, verb == "mount")),
        "exec" => exec(node, id, guest, rest),
        "destroy" => destroy(node, id, &Opts::read(&rest[1..])),
        "set" => Answer::Now(set(node, id, &Opts::read(&rest[1..]))),
        _ => power(node, verb, id).into(),
    }
}

/// Mounts the volumes of a container that does not run, or lets them go: what is seen of it is its lock.
fn mounted(node: &mut Node, id: u32, on: bool) -> Reply {
    let Some(guest) = node.guests.get_mut(&id) else { return Reply::default() };
    match (guest.get("lock"), on) {
        (Some(lock), true) => return Reply::fail(255, format!("CT is locked ({lock})")),
        (None, true) => drop(guest.conf.insert("lock".into(), "mounted".into())),
        (_, false) => drop(guest.conf.remove("lock")),
    }
    Reply::ok(if on { format!("mounted CT {id} in '{}'\n", format_args!("/var/lib/lxc/{id}/rootfs")) } else { String::new() })
}

/// New values for lines of a configuration, written at once.
fn set(node: &mut Node, id: u32, opts: &Opts) -> Reply {
    let Some(guest) = node.guests.get_mut(&id) else { return Reply::default() };
    if let Some(lock) = guest.get("lock") {
        return Reply::fail(255, format!("CT is locked ({lock})"));
    }
    for (key, value) in opts.named() {
        match key {
            "delete" => value.split(',').for_each(|key| drop(guest.conf.remove(key))),
            _ => drop(guest.conf.insert(key.to_owned(), value.to_owned())),
        }
    }
    Reply::ok("")
}

fn list(node: &Node) -> Reply {
    let mut out = String::new();
    for (id, g) in node.guests.iter().filter(|(_, g)| !g.qemu) {
        if out.is_empty() {
            out = format!("{:<10} {:<10} {:<12} {:<20}\n", "VMID", "Status", "Lock", "Name");
        }
        out += &format!("{id:<10} {:<10} {:<12} {:<20}\n", word(g), g.get("lock").unwrap_or(""), g.name(*id));
    }
    Reply::ok(out)
}

/// `running` or `stopped`.
pub(super) fn word(guest: &Guest) -> &'static str {
    if guest.init.is_some() { "running" } else { "stopped" }
}

fn status(node: &Node, id: u32, guest: &Guest, verbose: bool) -> Reply {
    if !verbose {
        return Reply::ok(format!("status: {}\n", word(guest)));
    }
    let up = guest.init.map_or(0, |i| (node.now().secs() - i.since.secs()).max(0));
    let runs = |n: u64| if guest.init.is_some() { n } else { 0 };
    let swap = guest.get("swap").and_then(|s| s.parse::<u64>().ok()).unwrap_or(0) << 20;
    let mut out = format!("cpus: {}\ndisk: {}\ndiskread: 0\ndiskwrite: 0\n", guest.get("cores").unwrap_or("1"), runs(guest.used));
    {
        let (key, value) = ("lock", guest.get("lock"));
        out += &value.map_or(String::new(), |v| format!("{key}: {v}\n"));
    }
    out += &format!(
        "maxdisk: {}\nmaxmem: {}\nmaxswap: {swap}\nmem: {}\nname: {}\nnetin: 0\nnetout: 0\n",
        guest.disk(),
        guest.memory(),
        runs(guest.mem),
        guest.name(id)
    );
    out += &guest.init.map_or(String::new(), |i| format!("pid: {}\n", i.pid));
    out += &format!("status: {}\nswap: 0\n", word(guest));
    out += &guest.get("tags").map_or(String::new(), |t| format!("tags: {t}\n"));
    Reply::ok(out + &format!("type: lxc\nuptime: {up}\nvmid: {id}\n"))
}

fn unlock(node: &mut Node, id: u32) -> Reply {
    if node.guests.get(&id).is_some_and(|g| g.get("lock").is_none()) {
        return Reply::fail(255, "no lock found trying to remove any lock");
    }
    node.lock(id, None);
    Reply::ok("")
}

/// Why a guest's power cannot be changed, in pct's words.
fn unfit(guest: &Guest, verb: &str, id: u32) -> Option<String> {
    let runs = guest.init.is_some();
    match (verb, runs) {
        ("start", true) => Some(format!("CT {id} already running")),
        ("start", false) if guest.get("template") == Some("1") => Some("you can't start a CT if it's a template".into()),
        ("reboot", false) => Some(format!("VM {id} not running")),
        ("stop" | "shutdown", false) => Some(format!("CT {id} not running")),
        // A reboot looks at the lock only after it has stopped the guest (facts §16, trap 10).
        ("reboot", true) => None,
        _ => guest.get("lock").map(|lock| format!("CT is locked ({lock})")),
    }
}

fn power(node: &mut Node, verb: &str, id: u32) -> Result<String, Reply> {
    let kind = format!("vz{verb}");
    let Some(guest) = node.guests.get(&id) else { return Err(Reply::default()) };
    let locked = guest.get("lock").is_some();
    let say = |line: String| Event::Say(line);
    let events = match unfit(guest, verb, id) {
        Some(why) => vec![(0.0, Event::End(Err(why)))],
        None => match verb {
            "start" => vec![(1.6, Event::Power(id, true)), (2.0, Event::End(Ok(())))],
            "stop" => vec![(0.7, Event::Power(id, false)), (0.9, Event::End(Ok(())))],
            "shutdown" => vec![(2.6, Event::Power(id, false)), (2.8, Event::End(Ok(())))],
            _ if locked => vec![
                (2.0, Event::Power(id, false)),
                (2.2, say("run_buffer: 571 Script exited with status 255".into())),
                (2.2, say(format!("lxc_init: 845 Failed to run lxc.hook.pre-start for container \"{id}\""))),
                (2.2, say(format!("__lxc_start: 2039 Failed to initialize container \"{id}\""))),
                (2.4, Event::End(Err(format!("startup for container '{id}' failed")))),
            ],
            _ => vec![(2.0, Event::Power(id, false)), (3.4, Event::Power(id, true)), (3.8, Event::End(Ok(())))],
        },
    };
    Ok(node.begin(&kind, &id.to_string(), events))
}

fn destroy(node: &mut Node, id: u32, opts: &Opts) -> Answer {
    let Some(guest) = node.guests.get(&id) else { return Answer::Now(Reply::default()) };
    let refused = match (guest.get("protection"), guest.get("lock"), &guest.init) {
        (Some("1"), _, _) => Some(format!("can't remove CT {id} - protection mode enabled")),
        (_, Some(lock), _) => Some(format!("CT is locked ({lock})")),
        (_, _, Some(_)) if opts.get("force") != Some("1") => Some(format!("unable to destroy CT {id} - container is running")),
        _ => None,
    };
    if let Some(why) = refused {
        return Answer::Now(Reply::fail(255, why));
    }
    let volume = guest.get("rootfs").and_then(|r| r.split([',', ':']).nth(1)).unwrap_or("").to_owned();
    let mut events =
        vec![(0.0, Event::Lock(id, Some("destroyed"))), (0.6, Event::Say(format!("  Logical volume \"{volume}\" successfully removed.")))];
    if opts.get("purge") == Some("1") {
        events.push((0.7, Event::Say(format!("purging CT {id} from related configurations.."))));
    }
    events.extend([(0.8, Event::Gone(id)), (0.9, Event::End(Ok(())))]);
    Answer::Task(node.begin("vzdestroy", &id.to_string(), events))
}

/// `lxc-attach -n ID --clear-env -- CMD…`: what `pct exec` becomes.
pub(super) fn attach(node: &Node, args: &[String]) -> Answer {
    let id = args.get(1).and_then(|word| word.parse::<u32>().ok());
    match id.and_then(|id| Some((id, node.guests.get(&id).filter(|g| !g.qemu && g.init.is_some())?))) {
        Some((id, guest)) => exec(node, id, guest, args),
        None => Answer::Now(Reply::fail(
            1,
            "lxc-attach: ../src/lxc/attach.c: get_attach_context: 405 Connection refused - Failed to get init pid",
        )),
    }
}

fn exec(node: &Node, id: u32, guest: &Guest, rest: &[String]) -> Answer {
    let at = rest.iter().position(|a| a == "--").map_or(1, |n| n + 1);
    let Some(program) = rest.get(at) else {
        return Answer::Now(Reply::fail(255, "missing command at /usr/share/perl5/PVE/CLI/pct.pm line 239."));
    };
    let Some(init) = guest.init else { return Answer::Now(Reply::fail(255, format!("container '{id}' not running!"))) };
    if node.now() < after(init.since, 0.8) {
        return Answer::Now(Reply::fail(
            1,
            format!("lxc-attach: {id}: ../src/lxc/attach.c: get_attach_context: 405 Connection refused - Failed to get init pid"),
        ));
    }
    inside(node, id, guest, program, &rest[at + 1..])
}

/// What runs inside a container.
fn inside(node: &Node, id: u32, guest: &Guest, program: &str, args: &[String]) -> Answer {
    let file = |path: &str| match path {
        "/etc/hostname" => Some(format!("{}\n", guest.name(id))),
        "/etc/os-release" => Some("NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.22.1\nPRETTY_NAME=\"Alpine Linux v3.22\"\n".to_owned()),
        "/var/lib/misc/dnsmasq.leases" if id == APPLIANCE => Some(logs::leases(node)),
        _ => None,
    };
    let none = |path: &str| format!("{program}: can't open '{path}': No such file or directory");
    let name = program.rsplit('/').next().unwrap_or("");
    if let Some(reply) = Some(id).filter(|id| *id == APPLIANCE).and_then(|_| super::appliance::inside(node, guest, name, args)) {
        return Answer::Now(reply);
    }
    match name {
        "true" => Answer::Now(Reply::ok("")),
        "false" => Answer::Now(Reply { status: 1, ..Reply::default() }),
        "echo" => Answer::Now(Reply::ok(args.join(" ") + "\n")),
        "hostname" => Answer::Now(Reply::ok(guest.name(id) + "\n")),
        "cat" => {
            let path = args.iter().find(|a| *a != "--").map_or("", String::as_str);
            Answer::Now(file(path).map_or_else(|| Reply::fail(1, none(path)), Reply::ok))
        }
        "tail" => {
            let (lines, follow, path) = tail(args);
            match path.as_str() {
                DNSMASQ_LOG if id == APPLIANCE => Answer::Log(Source::Dnsmasq, lines, follow),
                CADDY_LOG if id == APPLIANCE => Answer::Log(Source::Caddy, lines, follow),
                path if (id, path) == logs::POSTGRES => Answer::Log(Source::Postgres, lines, follow),
                path => Answer::Now(file(path).map_or_else(|| Reply::fail(1, none(path)), |t| Reply::ok(last(&t, lines)))),
            }
        }
        _ => Answer::Now(Reply::fail(
            127,
            format!(
                "lxc-attach: {id}: ../src/lxc/attach.c: lxc_attach_run_command: 1841 No such file or directory - Failed to exec \"{program}\""
            ),
        )),
    }
}

/// `lxc-info -n ID [-p] [-s] [-H]`.
pub(super) fn lxc_info(node: &Node, args: &[String]) -> Reply {
    let has = |word: &str| args.iter().any(|a| a == word);
    let name = args.iter().position(|a| a == "-n").and_then(|at| args.get(at + 1)).map_or("", String::as_str);
    let Some(guest) = name.parse().ok().and_then(|id: u32| node.guests.get(&id)).filter(|g| !g.qemu) else {
        return Reply::fail(1, format!("{name} doesn't exist"));
    };
    let (bare, all) = (has("-H"), !has("-p") && !has("-s"));
    let state = if guest.init.is_some() { "RUNNING" } else { "STOPPED" };
    let mut out = String::new();
    let mut put = |wanted: bool, key: &str, value: String| {
        if wanted {
            out += &if bare { format!("{value}\n") } else { format!("{:<16}{value}\n", format!("{key}:")) };
        }
    };
    put(all, "Name", name.to_owned());
    put(all || has("-s"), "State", state.to_owned());
    if let Some(init) = guest.init {
        put(all || has("-p"), "PID", init.pid.to_string());
    }
    Reply::ok(out)
}

/// `qm list` and `qm status`, so that machines are not invisible.
pub(super) fn qm(node: &Node, args: &[String]) -> Result<Reply, Reply> {
    let id = args.get(1).and_then(|a| a.parse::<u32>().ok());
    match (args.first().map(String::as_str), id) {
        (Some("list"), _) => {
            let mut out =
                format!("{:>10} {:<20} {:<10} {:<10} {:>12} {:<10}\n", "VMID", "NAME", "STATUS", "MEM(MB)", "BOOTDISK(GB)", "PID");
            for (id, g) in node.guests.iter().filter(|(_, g)| g.qemu) {
                let pid = g.init.map_or(0, |i| i.pid);
                out += &format!(
                    "{id:>10} {:<20} {:<10} {:<10} {:>12.2} {pid:<10}\n",
                    g.name(*id),
                    word(g),
                    g.memory() >> 20,
                    g.disk() as f64 / (1u64 << 30) as f64
                );
            }
            Ok(Reply::ok(out))
        }
        (Some("status"), Some(id)) => match node.guests.get(&id).filter(|g| g.qemu) {
            Some(guest) => Ok(Reply::ok(format!("status: {}\n", word(guest)))),
            None => Err(Reply::fail(2, format!("Configuration file 'nodes/{NAME}/qemu-server/{id}.conf' does not exist"))),
        },
        _ => Err(Reply::fail(255, "the demo host plays only 'qm list' and 'qm status'")),
    }
}
