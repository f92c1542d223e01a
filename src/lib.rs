//! Proximity.
pub mod domain;
pub mod host;
pub mod tui;
