//! The container: storage and template are chosen, it is created, plugged in, started, and its packages are installed.

use super::{Ground, Options};
use crate::domain::appliance::desired::{Desired, LAN, WAN};
use crate::domain::appliance::system::System;
use crate::domain::appliance::{Seat, TAG};
use crate::domain::clean::clean;
use crate::domain::cmd::Cmd;
use crate::domain::guest::{Guest, Vmid};
use crate::domain::plan::{Check, Step, Wants};
use crate::domain::pve::{self, CreateOptions};
use crate::domain::settings::Value;
use crate::domain::stamp::bytes;
use crate::domain::storage::StorageId;
use crate::domain::world::World;

pub(super) struct Chosen {
    pub(super) storage: StorageId,
    pub(super) template: String,
    pub(super) system: System,
    /// The storage to fetch it to and its name there.
    fetch: Option<(String, String)>,
}

/// Memory in MiB, processors, root disk in GiB. Measured: dnsmasq, Caddy and OpenRC take less than 64 MiB together.
const SIZE: (u32, u32, u32) = (512, 1, 2);

pub(super) fn choose(world: &World, options: &Options, ground: &Ground) -> Result<Chosen, (String, String)> {
    let storages = world.storages.known.as_ref().map_err(|why| (format!("the storages are unknown: {why}"), "see status".to_owned()))?;
    let set = "resources.storage".parse().ok().and_then(|key| world.chosen().ok()?.value(&key).ok().flatten());
    let set = if let Some(Value::Storage(id)) = set { Some(id) } else { None };
    let fits = |s: &&crate::domain::storage::Storage| s.takes("rootdir") && s.space.is_ok();
    let storage = match &options.storage {
        Some(id) => storages.iter().find(|s| s.id == *id).ok_or_else(|| (format!("there is no storage {id}"), "see status".to_owned()))?,
        None => storages
            .iter()
            .filter(fits)
            .max_by_key(|s| (Some(&s.id) == set.as_ref(), s.space.as_ref().map_or(0, |x| x.avail)))
            .ok_or_else(|| ("no storage that takes root disks answers".to_owned(), "see status for why".to_owned()))?,
    };
    if !storage.takes("rootdir") {
        return Err((format!("storage {} does not take root disks", storage.id), "choose another one: --storage".into()));
    }
    match &storage.space {
        Err(why) => return Err((format!("storage {} does not answer: {why}", storage.id), "choose another one: --storage".into())),
        Ok(space) if space.avail < u64::from(SIZE.2) << 30 => {
            let why = format!("storage {} has {} left, and {} GiB are needed", storage.id, bytes(space.avail), SIZE.2);
            return Err((why, "choose another one: --storage".into()));
        }
        Ok(_) => {}
    }
    let there = ground.templates.as_ref().map_err(|why| (format!("the templates are unknown: {why}"), "see status".to_owned()))?;
    let name = |volid: &str| volid.rsplit_once("vztmpl/").map_or(volid, |(_, n)| n).to_owned();
    let newest = |all: &[String]| all.iter().filter(|v| name(v).starts_with("alpine-")).max_by_key(|v| numbers(&name(v))).cloned();
    let takes = || storages.iter().find(|s| s.takes("vztmpl")).map(|s| s.id.clone());
    let (template, fetch) = match (&options.template, newest(there)) {
        (Some(volid), _) if there.contains(volid) => (volid.clone(), None),
        (Some(volid), _) => {
            return Err((format!("there is no template {}", clean(volid)), format!("those that are there: {}", there.join(" "))));
        }
        (None, Some(volid)) => (volid, None),
        (None, None) if options.download => {
            let all = ground
                .available
                .as_ref()
                .map_err(|why| (format!("what can be fetched is unknown: {why}"), "see pveam available".to_owned()))?;
            let name = newest(all).ok_or_else(|| ("no Alpine template can be fetched".to_owned(), "see pveam available".to_owned()))?;
            let to = takes().ok_or_else(|| ("no storage takes templates".to_owned(), "see status".to_owned()))?;
            (format!("{to}:vztmpl/{name}"), Some((to.to_string(), name)))
        }
        (None, None) => {
            let to = takes().map_or("a storage".into(), |s| s.to_string());
            let hint = format!("add --download, or bring a file alpine-…-default_…_amd64.tar.xz to {to} (content vztmpl)");
            return Err(("no Alpine template is there".into(), hint));
        }
    };
    let system = match name(&template).split('-').next() {
        Some("alpine") => System::Alpine,
        Some("debian") => System::Debian,
        _ => return Err((format!("{} is neither of Alpine nor of Debian", clean(&template)), "choose another one: --template".into())),
    };
    Ok(Chosen { storage: storage.id.clone(), template, system, fetch })
}

/// The numbers in a name, so that 3.9 comes before 3.10.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// One that is to take the place of another has no interface among the apps, and does not start with the host, until it does.
pub(super) fn create(d: &Desired, vmid: Vmid, options: &Options, chosen: Chosen, seat: Seat) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some((storage, name)) = &chosen.fetch {
        // It exits with 0 also where nothing came (facts §7): the list tells.
        let check = Check::Says {
            what: format!("{} is there", chosen.template),
            cmd: Cmd::new("pvesm", ["list", storage, "--content", "vztmpl"]),
            wants: Wants::FirstWord(chosen.template.clone()),
        };
        steps.push(Step::run(format!("fetch {name}"), Cmd::new("pveam", ["download", storage, name]).unlimited(), check));
    }
    let wan = options.address.map_or("ip=dhcp".to_owned(), |(own, gateway)| format!("ip={own},gw={gateway}"));
    let mut nets = vec![("net0".to_owned(), format!("name={WAN},bridge={},{wan}", d.wan_bridge.as_str()))];
    if seat == Seat::Acting {
        nets.push(("net1".to_owned(), format!("name={LAN},bridge={},ip={}/{}", d.lan_bridge.as_str(), d.gateway, d.lan.prefix_len())));
    }
    let options = CreateOptions {
        hostname: d.name.to_string(),
        storage: chosen.storage,
        disk_gib: SIZE.2,
        memory_mib: SIZE.0,
        cores: SIZE.1,
        nesting: chosen.system == System::Debian,
        nets,
        order: 1,
        tag: TAG.into(),
        onboot: seat == Seat::Acting,
        notes: seat.note(),
    };
    let step = Step::run(format!("create {vmid} {}", d.name), pve::create(vmid, &chosen.template, &options), Check::Ours { vmid, seat });
    steps.push(step.undone_by(Cmd::new("pct", ["destroy", &vmid.to_string(), "--purge", "1"])));
    steps
}

/// Interfaces of a container that is there, where they are not as they should be. Its hardware address stays.
pub(super) fn nics(d: &Desired, guest: &Guest) -> Vec<Step> {
    let own = format!("{}/{}", d.gateway, d.lan.prefix_len());
    let lan = guest.nics.iter().find(|n| n.name == LAN);
    if lan.is_some_and(|n| n.bridge.as_deref() == Some(d.lan_bridge.as_str()) && n.ip.as_deref() == Some(&own)) {
        return Vec::new();
    }
    let hwaddr = lan.and_then(|n| n.hwaddr.as_ref()).map_or(String::new(), |h| format!(",hwaddr={h}"));
    let value = format!("name={LAN},bridge={},ip={own}{hwaddr},type=veth", d.lan_bridge.as_str());
    let key = lan.map_or("net1".to_owned(), |n| n.key.clone());
    let check = Check::Says {
        what: format!("{LAN} has {own}"),
        cmd: pve::exec(guest.id, ["ip", "-4", "-o", "address", "show", "dev", LAN, "to", &own]),
        wants: Wants::Something,
    };
    // Asked for because of what the configuration says, whatever holds at the moment.
    let step = Step::run(
        format!("plug {LAN} of {} into {}", guest.id, d.lan_bridge.as_str()),
        Cmd::new("pct", ["set", &guest.id.to_string(), &format!("--{key}"), &value]),
        check,
    );
    let step = Step { always: true, ..step };
    vec![match lan {
        Some(old) => step.undone_by(Cmd::new("pct", ["set", &guest.id.to_string(), &format!("--{key}"), &old.raw])),
        None => step.undone_by(Cmd::new("pct", ["set", &guest.id.to_string(), "--delete", &key])),
    }]
}

/// That it starts with the host, where its configuration does not say so.
pub(super) fn onboot(guest: &Guest) -> Option<Step> {
    let id = guest.id.to_string();
    let check = Check::Says {
        what: "its configuration says that it starts with the host".into(),
        cmd: pve::pct("config", guest.id),
        wants: Wants::Lines(vec!["onboot: 1".into()]),
    };
    let step = || Step::run(format!("have {id} start with the host"), Cmd::new("pct", ["set", &id, "--onboot", "1"]), check.clone());
    (!guest.onboot).then(|| step().undone_by(Cmd::new("pct", ["set", &id, "--delete", "onboot"])))
}

/// A running appliance whose interface somebody pulled out of the bridge. With the firewall of Proxmox on, another interface
/// stands between (facts §9.3), and nothing is guessed.
pub(super) fn plug(d: &Desired, ground: &Ground, vmid: Vmid) -> Option<Step> {
    let seen = ground.bridge.as_ref().ok()?;
    let (veth, bridge) = (format!("veth{vmid}i1"), d.lan_bridge.as_str());
    if seen.ports.iter().any(|p| *p == veth || *p == format!("fwpr{vmid}p1")) {
        return None;
    }
    let check = Check::Says {
        what: format!("{veth} is in {bridge}"),
        cmd: Cmd::new("ls", [format!("/sys/class/net/{bridge}/brif/{veth}")]),
        wants: Wants::Success,
    };
    Some(Step::run(format!("plug {veth} into {bridge}"), Cmd::new("ip", ["link", "set", "dev", &veth, "master", bridge]), check))
}

/// After a start: services that are started while the system itself starts are in its way.
pub(super) fn settle(vmid: Vmid, system: System) -> Vec<Step> {
    let (question, answers) = system.at_rest();
    let rest = Check::Says {
        what: "its start has come to rest".into(),
        cmd: pve::exec(vmid, question.iter().copied()).limit(10),
        wants: Wants::OneOf(answers.iter().map(|a| (*a).to_owned()).collect()),
    };
    vec![
        Step::wait(format!("wait until {vmid} answers"), 60, Check::Answers { vmid }),
        // A system that waits for a network that is not there takes two minutes and more (systemd-networkd-wait-online(8)).
        Step::wait(format!("wait until {vmid} has come to rest"), 180, rest),
    ]
}

pub(super) fn packages(vmid: Vmid, system: System) -> Vec<Step> {
    let there = Check::Says {
        what: format!("{} are there", system.programs().join(", ")),
        cmd: pve::exec(vmid, std::iter::once("which").chain(system.programs().iter().copied())),
        wants: Wants::Success,
    };
    let way_out = Check::Says {
        what: "it has a way out".into(),
        cmd: pve::exec(vmid, ["ip", "-4", "route", "show", "default"]),
        wants: Wants::Something,
    };
    let mut steps = vec![Step::wait(format!("wait until {vmid} has an address on the way out"), 30, way_out)];
    let can_be = system.installable().map(|argv| Check::Says {
        what: "they can be installed".into(),
        cmd: pve::exec(vmid, argv),
        wants: Wants::Success,
    });
    let install = system.install();
    let last = install.len().saturating_sub(1);
    for (n, argv) in install.into_iter().enumerate() {
        let (title, check) = match &can_be {
            Some(can_be) if n < last => ("ask what can be installed", Check::Either(there.clone().into(), can_be.clone().into())),
            _ => ("install what it needs", there.clone()),
        };
        steps.push(Step::run(title, pve::exec(vmid, argv).limit(600), check).of_packages());
    }
    steps
}
