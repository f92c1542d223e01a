//! The bridge of the apps in the host's network: written, brought up, and taken back unless somebody says that his line holds.

use super::{BEFORE, Ground, REVERT_UNIT};
use crate::domain::appliance::desired::Desired;
use crate::domain::appliance::judge::BridgeSeen;
use crate::domain::change::{Change, Content, Place, Was};
use crate::domain::clean::clean;
use crate::domain::cmd::Cmd;
use crate::domain::interfaces::{Interfaces, NotChanged, Wish};
use crate::domain::plan::{Check, Step, Wants, digest};

/// The bridge of the apps, now and after a boot. Only this one interface is brought up: what others changed in the file and
/// did not apply stays as it is.
pub(super) fn steps(d: &Desired, ground: &Ground, confirm_s: u32) -> Result<Vec<Step>, (String, String)> {
    let name = d.lan_bridge.as_str();
    let seen = ground.bridge.as_ref().map_err(|why| (format!("the bridges of the host are unknown: {why}"), "see doctor".to_owned()))?;
    if let Some(why) = &ground.gap {
        return Err((format!("the network files of the host are not all known: {why}"), "see doctor".into()));
    }
    let stanza =
        ground.interfaces.iter().flat_map(|(path, f)| f.bridges().into_iter().map(move |b| (path, b))).find(|(_, b)| b.name == name);
    if let Some((path, bridge)) = &stanza {
        let port = bridge.ports.first().map(|p| format!("the port {}", clean(p)));
        let address = bridge.addresses.first().map(|a| format!("the host's address {}", clean(a)));
        if let Some(what) = port.or(address) {
            let hint = "apps would not be isolated; choose another name: proximity settings set network.lan_bridge";
            return Err((format!("the bridge {name} in {path} has {what}"), hint.into()));
        }
    }
    let ours = stanza.as_ref().is_some_and(|(_, b)| b.ours);
    if let Some(what) = in_use(seen).filter(|_| !ours) {
        let hint = "somebody uses it; choose another name: proximity settings set network.lan_bridge";
        return Err((format!("the bridge {name}, which Proximity did not make, has {what}"), hint.into()));
    }
    let up = Check::LinkUp { name: name.to_owned() };
    // A bridge that is there is only switched on: by its file nothing is plugged in, and ifup would pull the guests out.
    let cmd = if seen.up.is_some() { Cmd::new("ip", ["link", "set", "dev", name, "up"]) } else { Cmd::new("ifup", [name]).limit(60) };
    let bring_up = || Step::run(format!("bring {name} up"), cmd.clone(), up.clone());
    match (stanza, seen.up) {
        (Some((path, b)), _) if b.auto || b.ours => {
            let Some((_, file)) = ground.interfaces.iter().find(|(p, _)| p == path) else { return Ok(Vec::new()) };
            let mut steps = Vec::new();
            // Ours is brought back to how it should be; nothing is applied by that.
            if b.ours {
                let with = file
                    .change(&Wish::new(d.lan_bridge.clone(), None))
                    .map_err(|why| (format!("{path}: {why}"), "leave one".to_owned()))?;
                steps.extend((with != *file).then(|| Step::put(change(name, path, file, &with))));
            }
            steps.push(bring_up());
            steps.extend(without_address(name));
            if ground.armed {
                steps.push(word(confirm_s, path.clone(), digest(file.bytes())));
            }
            if let Some(old) = &ground.before {
                steps.push(forget(old.clone().into()));
            }
            Ok(steps)
        }
        (Some((path, _)), _) => {
            Err((format!("{name} stands in {path} without 'auto': it is not there after a boot"), "add it there".into()))
        }
        (None, there) => {
            if seen.staged {
                let why = "changes of the network wait in /etc/network/interfaces.new; applying them would take the bridge away again";
                return Err((why.into(), "apply or discard them on the Proxmox page, node, Network".into()));
            }
            let Some((path, file)) = ground.interfaces.first() else {
                return Err(("the host has no network file".into(), "see doctor".into()));
            };
            let with = file.add(&Wish::new(d.lan_bridge.clone(), None)).map_err(|why| {
                let hint = match why {
                    NotChanged::Unfinished => "end its last line",
                    _ => "choose another name: proximity settings set network.lan_bridge",
                };
                (format!("{path}: {why}"), hint.to_owned())
            })?;
            let old: Content = file.bytes().to_vec().into();
            let change = change(name, path, file, &with);
            // Nothing is applied to a bridge that is up: nobody's line can be cut.
            if there == Some(true) {
                return Ok(std::iter::once(Step::put(change)).chain(without_address(name)).collect());
            }
            let keep = Change {
                path: BEFORE.into(),
                was: ground.before.clone().into(),
                now: Some(old.clone()),
                test: Vec::new(),
                ..change.clone()
            };
            Ok(vec![
                Step::put(keep),
                arm(name, path, confirm_s),
                Step::put(change),
                bring_up().undone_by(Cmd::new("ip", ["link", "delete", "dev", name, "type", "bridge"])),
                word(confirm_s, path.clone(), digest(with.bytes())),
                forget(old),
            ])
        }
    }
}

/// What a bridge has that nobody but its owner may take away: addresses of the host, and ports that are no guest's.
fn in_use(seen: &BridgeSeen) -> Option<String> {
    const GUESTS: [&str; 4] = ["veth", "tap", "fwpr", "fwln"];
    let port = seen.ports.iter().find(|p| !GUESTS.iter().any(|g| p.starts_with(g))).map(|p| format!("the port {}", clean(p)));
    // One of IPv6 for this link only is what the kernel gives unasked.
    let own = |all: &Vec<String>| all.iter().find(|a| !a.starts_with("fe80:")).map(|a| format!("the host's address {}", clean(a)));
    match &seen.own {
        Err(why) => Some(format!("perhaps an address of the host ({why})")),
        Ok(all) => port.or_else(|| own(all)),
    }
}

fn change(bridge: &str, path: &str, file: &Interfaces, with: &Interfaces) -> Change {
    Change {
        at: Place::Host,
        path: path.to_owned(),
        was: Was::This(file.bytes().to_vec().into()),
        now: Some(with.bytes().to_vec().into()),
        mode: 0o644,
        // Its own check of syntax refuses `bridge-ports none`, which Proxmox writes: so whether it finds the bridge.
        test: ["ifquery", bridge, "--interfaces"].map(str::to_owned).into(),
    }
}

fn word(confirm_s: u32, path: String, digest: String) -> Step {
    let kept = Check::Kept { unit: REVERT_UNIT.into(), path, digest };
    Step::wait(format!("say within {confirm_s} s that your line still holds: proximity appliance confirm"), confirm_s + 10, kept)
}

/// The file as it was is of no use any more.
fn forget(old: Content) -> Step {
    let change = Change { at: Place::Host, path: BEFORE.into(), was: Was::This(old), now: None, mode: 0o644, test: Vec::new() };
    Step { undo: None, ..Step::put(change) }
}

/// The host has no address on the bridge: the kernel gives it one of IPv6 unasked, by which apps reach it past all rules.
fn without_address(name: &str) -> [Step; 2] {
    let none = Check::Says {
        what: format!("the host has no address on {name}"),
        cmd: Cmd::new("ip", ["-o", "address", "show", "dev", name]),
        wants: Wants::Nothing,
    };
    let mode = Check::Says {
        what: format!("the kernel gives {name} no address"),
        cmd: Cmd::new("cat", [format!("/proc/sys/net/ipv6/conf/{name}/addr_gen_mode")]),
        wants: Wants::OneOf(vec!["1".into()]),
    };
    [
        Step::run(
            format!("have the kernel give {name} no address"),
            Cmd::new("ip", ["link", "set", "dev", name, "addrgenmode", "none"]),
            mode,
        ),
        Step::run(format!("take the host's own addresses off {name}"), Cmd::new("ip", ["address", "flush", "dev", name]), none),
    ]
}

/// The way back of a change of the network, outside of every session: systemd takes it unless it is told not to.
fn arm(bridge: &str, path: &str, confirm_s: u32) -> Step {
    let timer = format!("{REVERT_UNIT}.timer");
    let words = [
        "--quiet",
        "--collect",
        &format!("--unit={REVERT_UNIT}"),
        &format!("--on-active={confirm_s}"),
        "--timer-property=AccuracySec=1s",
        "--service-type=oneshot",
        &format!("--property=ExecStartPre=-/usr/sbin/ip link delete dev {bridge} type bridge"),
        &format!("--property=ExecStartPre=/usr/bin/mv -f {BEFORE} {path}"),
        "/usr/bin/systemctl",
        "stop",
        &timer,
    ];
    let check = Check::Says {
        what: format!("the way back is armed: without a word from you it is taken after {confirm_s} s"),
        cmd: Cmd::new("systemctl", ["is-active", "--quiet", &timer]),
        wants: Wants::Success,
    };
    Step::run("arm the way back", Cmd::new("systemd-run", words), check).undone_by(Cmd::new("systemctl", ["stop", &timer]))
}

pub(super) fn confirm() -> Step {
    let timer = format!("{REVERT_UNIT}.timer");
    let check = Check::Says {
        what: "nothing takes the change back any more".into(),
        cmd: Cmd::new("systemctl", ["show", "--property=ActiveState", "--value", &timer]),
        wants: Wants::OneOf(vec!["inactive".into()]),
    };
    Step { always: true, ..Step::run("disarm the way back", Cmd::new("systemctl", ["stop", &timer]), check) }
}
