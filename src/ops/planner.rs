//! Makes a plan of a wish: asks what the pure planner still needs to know, then lets it decide.

use super::{appliance, archives, inside, publish, schedules};
use crate::domain::appliance::provision;
use crate::domain::backup::label;
use crate::domain::conf::parse_lxc;
use crate::domain::fact::{ArchiveConf, Wish};
use crate::domain::guest::Vmid;
use crate::domain::plan::{Check, Plan, Refusal};
use crate::domain::restore::{After, RestoreWish};
use crate::domain::world::World;
use crate::domain::{backup, locks, power, restore, retention, schedule, swap};
use crate::host::{Host, HostError, Look, text_of};

/// The plan of a wish in this World, or why it is refused. The World must be fresh: it decides about locks and room.
pub async fn plan(host: &dyn Host, world: &World, wish: &Wish) -> Result<Plan, Refusal> {
    match wish {
        Wish::Backup(wish) => backup::plan(world, wish),
        Wish::Label(wish) => {
            let (archive, _) = label::archive(world, &wish.volid)?;
            let now = archives::label(host, archive).await.map_err(|e| {
                let what = crate::domain::clean::clean(&wish.volid);
                Refusal::new(format!("label {what}"), format!("what stands on it now is unknown: {e}"), "see doctor")
            })?;
            label::plan(world, wish, &now)
        }
        Wish::Prune(wish) => retention::plan(world, wish, host.clock().1),
        Wish::Schedule(wish) => schedule::plan::plan(world, wish),
        Wish::Drills(wish) => schedules::plan_drills(host, world, wish).await,
        Wish::Swap(wish) => {
            let plan = swap::plan(world, wish)?;
            let refuse = |(why, hint): (String, &str)| Refusal::new(plan.title.clone(), why, hint);
            not_managed(host, &[wish.from, wish.to]).await.map_err(refuse)?;
            Ok(plan)
        }
        Wish::Verify(wish) => inside::plan_verify(host, world, wish).await,
        Wish::Pull(wish) => inside::plan_pull(host, world, wish).await,
        Wish::Power(wish) => power::plan(world, wish),
        Wish::Appliance(wish) => appliance::plan(host, world, wish).await,
        Wish::Publish(wish) => publish::plan(host, world, wish).await,
        Wish::KeepChange => Ok(provision::keep_change(world)),
        Wish::Move(side) => appliance::plan_move(host, world, *side).await,
        Wish::Unlock(wish) => {
            let seen = super::locks::look(host, world, wish.guest, true).await;
            let what = "see who holds a lock";
            let seen = seen.known.map_err(|why| Refusal::new(what, why, "see doctor"))?;
            locks::plan(world, &seen, wish)
        }
        Wish::Restore(wish) => {
            let archive = restore::archive(world, wish)?;
            let conf = archives::conf_in(host, archive).await.map_err(|e| {
                let what = format!("restore {}", crate::domain::clean::clean(&wish.volid));
                Refusal::new(
                    what,
                    format!("the configuration inside could not be read: {e}"),
                    "the archive may be damaged; choose another one",
                )
            })?;
            let plan = restore::plan(world, wish, &conf)?;
            let refuse = |(why, hint): (String, &str)| Refusal::new(plan.title.clone(), why, hint);
            let named = plan.steps.iter().filter_map(|s| if let Check::Named { vmid, .. } = s.check { Some(vmid) } else { None });
            not_managed(host, &named.collect::<Vec<_>>()).await.map_err(refuse)?;
            what_it_needs(host, wish, &conf).await.map_err(refuse)?;
            Ok(plan)
        }
    }
}

/// Whether Proxmox's HA leaves these guests alone: what it manages it starts again where somebody stops it, and with its
/// configuration as it was. A node without HA has no such file (ha-manager(1)).
async fn not_managed(host: &dyn Host, guests: &[Vmid]) -> Result<(), (String, &'static str)> {
    const RESOURCES: &str = "/etc/pve/ha/resources.cfg";
    let found = host.look(vec![Look::File(RESOURCES.into(), 1 << 20)]).await;
    let text = match found.first().map(text_of) {
        Some(Ok(text)) => text,
        Some(Err(HostError::Missing { .. })) => return Ok(()),
        Some(Err(e)) => return Err((format!("whether HA manages it is unknown: {e}"), "see doctor")),
        None => return Err(("whether HA manages it is unknown".into(), "see doctor")),
    };
    let managed = |id: &&Vmid| text.lines().any(|line| line.strip_prefix("ct:").is_some_and(|rest| rest.trim() == id.to_string()));
    match guests.iter().find(managed) {
        Some(id) => Err((format!("HA manages {id} and would start it again"), "take it out first: ha-manager remove ct:ID")),
        None => Ok(()),
    }
}

/// Whether what a container is started with is on this host: devices, paths that it mounts, and bridges where it is plugged in.
async fn what_it_needs(host: &dyn Host, wish: &RestoreWish, found: &ArchiveConf) -> Result<(), (String, &'static str)> {
    if wish.after == After::Stay {
        return Ok(());
    }
    let old = parse_lxc(Vmid::APPLIANCE, &found.conf);
    let plugged = wish.plugged || wish.after == After::Swap;
    let bridges = old.nics.iter().filter(|_| plugged).filter_map(|n| n.bridge.as_deref());
    let mut all: Vec<(String, String)> = old.devices.iter().map(|path| ("the device".to_owned(), path.clone())).collect();
    all.extend(old.mounts.iter().filter(|m| m.bind).map(|m| (format!("{} mounts", m.key), m.source.clone())));
    all.extend(bridges.map(|bridge| (format!("the bridge {bridge},"), format!("/sys/class/net/{bridge}"))));
    let looks = all.iter().map(|(_, path)| Look::Stat(path.clone())).collect();
    for ((what, path), found) in all.iter().zip(host.look(looks).await) {
        let path = crate::domain::clean::clean(path);
        match found {
            Ok(_) => {}
            Err(HostError::Missing { .. }) => {
                let why = format!("it would not start: {} {path}, and that is not on this host", crate::domain::clean::clean(what));
                return Err((why, "make it, or restore without a start (--no-start) and change its configuration"));
            }
            Err(e) => return Err((format!("whether {path} is on this host is unknown: {e}"), "see doctor")),
        }
    }
    Ok(())
}
