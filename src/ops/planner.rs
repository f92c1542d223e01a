//! Makes a plan of a wish: asks what the pure planner still needs to know, then lets it decide.

use super::check::{self, Held};
use super::{appliance, archives, publish};
use crate::domain::appliance::provision;
use crate::domain::fact::Wish;
use crate::domain::guest::Vmid;
use crate::domain::plan::{Plan, Refusal};
use crate::domain::world::World;
use crate::domain::{backup, power, restore, retention, swap, unlock};
use crate::host::{Host, HostError, Look, text_of};

/// The plan of a wish in this World, or why it is refused. The World must be fresh: it decides about locks and room.
pub async fn plan(host: &dyn Host, world: &World, wish: &Wish) -> Result<Plan, Refusal> {
    match wish {
        Wish::Backup(wish) => backup::plan(world, wish),
        Wish::Prune(wish) => retention::plan(world, wish, host.clock().1),
        Wish::Swap(wish) => {
            let plan = swap::plan(world, wish)?;
            let refuse = |(why, hint): (String, &str)| Refusal::new(plan.title.clone(), why, hint);
            not_managed(host, &[wish.from, wish.to]).await.map_err(refuse)?;
            Ok(plan)
        }
        Wish::Power(wish) => power::plan(world, wish),
        Wish::Appliance(wish) => appliance::plan(host, world, wish).await,
        Wish::Publish(wish) => publish::plan(host, world, wish).await,
        Wish::KeepChange => Ok(provision::keep_change(world)),
        Wish::Move(side) => appliance::plan_move(host, world, *side).await,
        Wish::Unlock(wish) => {
            let plan = unlock::plan(world, wish)?;
            // What the list of tasks does not show: a process at the lock files.
            match check::idle(host, wish.guest).await {
                Held::Yes => Ok(plan),
                Held::No(why) => Err(Refusal::new(plan.title, why, "wait for its end")),
                Held::Unknown(why) => Err(Refusal::new(plan.title, format!("whether a process holds it is unknown: {why}"), "see doctor")),
            }
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
            restore::plan(world, wish, &conf)
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
