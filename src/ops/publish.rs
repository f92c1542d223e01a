//! Plans for what is published.

use crate::domain::plan::{Plan, Refusal};
use crate::domain::publish::PublishWish;
use crate::domain::world::World;
use crate::host::Host;

/// The plan of a wish, or why it is refused.
pub async fn plan(_host: &dyn Host, _world: &World, _wish: &PublishWish) -> Result<Plan, Refusal> {
    Err(Refusal::new("publish", "not yet", ""))
}
