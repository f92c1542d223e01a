//! Makes a plan of a wish: asks what the pure planner still needs to know, then lets it decide.

use super::check::{self, Held};
use super::{appliance, archives, publish};
use crate::domain::appliance::provision;
use crate::domain::fact::Wish;
use crate::domain::plan::{Plan, Refusal};
use crate::domain::world::World;
use crate::domain::{backup, power, restore, retention, swap, unlock};
use crate::host::Host;

/// The plan of a wish in this World, or why it is refused. The World must be fresh: it decides about locks and room.
pub async fn plan(host: &dyn Host, world: &World, wish: &Wish) -> Result<Plan, Refusal> {
    match wish {
        Wish::Backup(wish) => backup::plan(world, wish),
        Wish::Prune(wish) => retention::plan(world, wish, host.clock().1),
        Wish::Swap(wish) => swap::plan(world, wish),
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
