//! Proximity.
pub mod store;
