//! Inside the container: its files, and everything that works by them.

use super::{Files, Ground};
use crate::domain::appliance::desired::Desired;
use crate::domain::appliance::files::{self, CADDYFILE, DNSMASQ_CONF, IN_EFFECT, Made, SITES, SYSCTLS, VERSIONS};
use crate::domain::appliance::system::{AT_BOOT, Service, System};
use crate::domain::appliance::{CADDY_LOG, CADDY_USER, LEASES, nat};
use crate::domain::caddy::CERTIFICATES;
use crate::domain::change::{Change, Place, Was};
use crate::domain::cmd::Cmd;
use crate::domain::guest::Vmid;
use crate::domain::plan::{Check, Step, Wants};
use crate::domain::pve;

/// Caddy is tested as root and runs as another: a log that the test makes would be closed to it (caddyserver/caddy#7829). The
/// folder is Caddy's, so what stands there may be anything: no link is followed to a file of root's.
fn access_log(vmid: Vmid) -> [Step; 3] {
    let (folder, name) = CADDY_LOG.rsplit_once('/').unwrap_or(("/", CADDY_LOG));
    // `test` would follow a link.
    let find = |more: &[&str]| pve::exec(vmid, ["find", folder, "-maxdepth", "1", "-name", name].iter().chain(more).copied());
    let nothing_else =
        Check::Says { what: "nothing but a file stands in its place".into(), cmd: find(&["!", "-type", "f"]), wants: Wants::Nothing };
    let there = Check::Says { what: format!("{CADDY_LOG} is there"), cmd: find(&["-type", "f"]), wants: Wants::Something };
    let owner = Check::Says {
        what: format!("both are {CADDY_USER}'s"),
        cmd: pve::exec(vmid, ["find", folder, CADDY_LOG, "-maxdepth", "0", "!", "-user", CADDY_USER]),
        wants: Wants::Nothing,
    };
    [
        Step::run("clear the place of Caddy's access log", pve::exec(vmid, ["rm", "-f", "--", CADDY_LOG]), nothing_else),
        Step::run("make Caddy's access log", pve::exec(vmid, ["touch", CADDY_LOG]), there),
        Step::run("give it and its folder to Caddy", pve::exec(vmid, ["chown", "-h", CADDY_USER, folder, CADDY_LOG]), owner),
    ]
}

/// Files, and services that start with it. `found`: what lies there, where that is known.
pub(super) fn laid_down(d: &Desired, found: Option<&Files>, vmid: Vmid) -> Vec<Step> {
    let (at, system) = (Place::Guest(vmid), d.system);
    let all = files::files(d);
    let folder = |path: &str| path.rsplit_once('/').map_or("/", |(dir, _)| dir).to_owned();
    let mut folders: Vec<String> = all
        .iter()
        .map(|m| folder(m.path))
        .chain([SITES.to_owned(), VERSIONS.to_owned(), CERTIFICATES.to_owned(), folder(CADDY_LOG), folder(LEASES)])
        .collect();
    folders.sort();
    folders.dedup();
    folders.retain(|f| f != "/etc");
    let with = |head: &[&str]| head.iter().map(|w| (*w).to_owned()).chain(folders.clone()).collect::<Vec<_>>();
    let there = Check::Says { what: "they are there".into(), cmd: pve::exec(vmid, with(&["ls", "-d"])), wants: Wants::Success };
    let mut steps = vec![Step::run("make its folders", pve::exec(vmid, with(&["mkdir", "-p"])), there)];
    steps.extend(access_log(vmid));
    for made in all {
        let was = found.and_then(|f| f.iter().find(|(path, _)| path == made.path)).map_or(Was::Any, |(_, bytes)| bytes.clone().into());
        steps.push(put(made, was, at, system));
    }
    for service in AT_BOOT {
        let name = system.service(service);
        let check =
            Check::Says { what: format!("{name} starts with it"), cmd: pve::exec(vmid, system.is_enabled(service)), wants: Wants::Success };
        steps.push(Step::run(format!("have {name} start with it"), pve::exec(vmid, system.enable(service)), check));
    }
    steps
}

fn put(made: Made, was: Was, at: Place, system: System) -> Step {
    let test = test(&made, system).iter().map(|w| (*w).to_owned()).collect();
    Step::put(Change { at, path: made.path.into(), was, test, now: Some(made.text.into()), mode: 0o644 })
}

/// The rules alone, as a change of what is published wants them; `was` is what their file holds, where it was read. Taken back,
/// what the file held is in force again.
pub(super) fn rules(d: &Desired, was: Was, vmid: Vmid) -> Vec<Step> {
    let (path, held) = (d.system.rules_file(), matches!(was, Was::This(_)));
    let load = pve::exec(vmid, ["iptables-restore", path]);
    let mut steps = Vec::new();
    if held {
        let takes = Check::Says {
            what: "the rules of before can be loaded".into(),
            cmd: pve::exec(vmid, ["iptables-restore", "--test", path]),
            wants: Wants::Success,
        };
        // Taken back last: the file is by then as it was.
        let asked = Step::wait("ask whether the rules of before can be loaded", 0, takes).undone_by(load.clone());
        steps.push(Step { always: true, ..asked });
    }
    let made = files::files(d).into_iter().find(|made| made.path == path);
    steps.extend(made.map(|made| put(made, was, Place::Guest(vmid), d.system)));
    steps.push(Step::run("put the rules in force", load, Check::Rules { vmid, text: nat::ruleset(d) }));
    steps
}

/// Files, and everything that works by them.
pub(super) fn steps(d: &Desired, ground: &Ground, vmid: Vmid, system: System) -> Result<Vec<Step>, String> {
    let d = &Desired { system, ..d.clone() };
    let found = match &ground.inside {
        None => None,
        Some(Ok(found)) => Some(found),
        Some(Err(why)) => return Err(format!("the files of {vmid} could not be read: {why}")),
    };
    let mut steps = laid_down(d, found, vmid);
    steps.extend(own_resolver(d, found, vmid));
    let values = Check::Says {
        what: "the kernel has these values".into(),
        cmd: pve::exec(vmid, std::iter::once("sysctl").chain(files::kernel(d).iter().map(|(k, _)| *k))),
        wants: Wants::Lines(files::kernel(d).iter().map(|(k, v)| format!("{k} = {v}")).collect()),
    };
    steps.push(Step::run("set the kernel's values", pve::exec(vmid, ["sysctl", "-q", "-p", SYSCTLS]), values));
    let rules = Check::Rules { vmid, text: nat::ruleset(d) };
    steps.push(Step::run("put the rules in force", pve::exec(vmid, ["iptables-restore", system.rules_file()]), rules));
    steps.push(Step::run("have dnsmasq work by its file", pve::exec(vmid, system.restart(Service::Dnsmasq)).limit(60), in_effect(d, vmid)));
    let caddy = if ground.caddy_runs {
        pve::exec(vmid, ["caddy", "reload", "--adapter", "caddyfile", "--config", CADDYFILE])
    } else {
        pve::exec(vmid, system.restart(Service::Caddy))
    };
    steps.push(Step::run("have Caddy work by its files", caddy.limit(60), Check::CaddyByFiles { vmid }));
    steps.push(lamps(d, vmid));
    Ok(steps)
}

/// After each start. Only when the packages are there: until then it must ask somebody else where they are.
pub(super) fn keeps_its_resolver(d: &Desired, vmid: Vmid) -> Step {
    let (id, server) = (vmid.to_string(), files::NAMESERVER);
    let kept = Check::Says {
        what: "its configuration says that it asks itself for names".into(),
        cmd: pve::pct("config", vmid),
        wants: Wants::Lines(vec![format!("nameserver: {server}"), format!("searchdomain: {}", d.domain)]),
    };
    let set = Cmd::new("pct", ["set", &id, "--nameserver", server, "--searchdomain", &d.domain.to_string()]);
    Step::run("have it ask itself for names after a start", set, kept)
}

/// Now, and after each start.
fn own_resolver(d: &Desired, found: Option<&Files>, vmid: Vmid) -> [Step; 2] {
    let was = found.and_then(|f| f.iter().find(|(path, _)| path == files::RESOLVER)).map_or(Was::Any, |(_, bytes)| bytes.clone().into());
    let now = Some(files::resolver(d).into());
    let change = Change { at: Place::Guest(vmid), path: files::RESOLVER.into(), was, now, mode: 0o644, test: Vec::new() };
    let check = Check::Says {
        what: "it asks itself for names, and nobody else".into(),
        cmd: pve::exec(vmid, ["grep", "^nameserver", files::RESOLVER]),
        wants: Wants::OneOf(vec![format!("nameserver {}", files::NAMESERVER)]),
    };
    [keeps_its_resolver(d, vmid), Step { check, ..Step::put(change) }]
}

pub(super) fn lamps(d: &Desired, vmid: Vmid) -> Step {
    Step::wait("ask what it does", 60, Check::Lamps { vmid, wish: Box::new(d.clone()) })
}

/// What takes a file before it takes the old one's place; the path of the new one comes last.
fn test(made: &Made, system: System) -> &'static [&'static str] {
    // They hold no settings: always the same words.
    if system.own_files().iter().any(|(path, _, _)| *path == made.path) {
        return &[];
    }
    match made.read_by {
        Service::Dnsmasq => &["dnsmasq", "--test", "-C"],
        Service::Caddy => &["caddy", "validate", "--adapter", "caddyfile", "--config"],
        Service::Rules => &["iptables-restore", "--test"],
        Service::Sysctl | Service::Lease => &[],
    }
}

pub(super) fn in_effect(d: &Desired, vmid: Vmid) -> Check {
    let name = format!("{IN_EFFECT}.{}", d.domain);
    Check::Says {
        what: "dnsmasq works by this configuration".into(),
        cmd: pve::exec(vmid, ["busybox", "nslookup", "-timeout=2", "-type=txt", &name, &d.gateway.to_string()]).limit(10),
        wants: Wants::Lines(vec![format!("{name}\ttext = \"{}\"", files::in_effect(d))]),
    }
}

/// Never with a configuration that the program would not take: then the old one still runs.
pub(super) fn restart(d: &Desired, vmid: Vmid, service: Service) -> Vec<Step> {
    let (file, check) = match service {
        Service::Dnsmasq => (DNSMASQ_CONF, Some(vec!["dnsmasq", "--test", "-C"])),
        Service::Caddy => (CADDYFILE, Some(vec!["caddy", "validate", "--adapter", "caddyfile", "--config"])),
        Service::Rules | Service::Sysctl | Service::Lease => ("", None),
    };
    let name = d.system.service(service);
    let mut steps = Vec::new();
    if let Some(argv) = check {
        let taken = Check::Says {
            what: format!("{name} takes {file}"),
            cmd: pve::exec(vmid, argv.into_iter().chain([file])),
            wants: Wants::Success,
        };
        if service == Service::Caddy {
            steps.extend(access_log(vmid));
        }
        steps.push(Step { always: true, ..Step::wait(format!("ask whether {name} takes its file"), 1, taken) });
    }
    let runs = Check::Says { what: format!("{name} runs"), cmd: pve::exec(vmid, d.system.status(service)), wants: Wants::Success };
    steps.push(Step { always: true, ..Step::run(format!("restart {name}"), pve::exec(vmid, d.system.restart(service)).limit(60), runs) });
    steps.push(lamps(d, vmid));
    steps
}
