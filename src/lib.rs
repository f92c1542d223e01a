//! Proximity.
pub mod domain;
pub mod host;
pub mod ops;
pub mod tui;
