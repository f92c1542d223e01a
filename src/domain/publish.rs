//! A wish about what is published becomes a plan: all sites of it in a folder of their own, tried by Caddy, put in force by
//! one rename and one reload, asked from outside; or put back.

use super::ports::ServiceName;
use super::service::Spec;

/// What is wished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishWish {
    /// Publish this under its name, on the pair that it has or gets; again, it is changed to this.
    Publish {
        /// Its name.
        name: ServiceName,
        /// What, and how.
        spec: Spec,
        /// Also where nothing answers behind it yet.
        unanswered: bool,
    },
    /// Publish it no more; its ports are given back.
    Unpublish(ServiceName),
    /// Bring everything that is published in force as it was promised.
    Converge,
}
