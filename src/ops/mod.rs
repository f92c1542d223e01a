//! LOOK and CARRY OUT: what is asked of a host and what is done to it. Knows hosts, the store and the domain.

pub mod appliance;
pub mod archives;
pub mod audit;
pub mod carry_out;
pub mod certificates;
pub mod check;
pub mod credential;
pub mod follow;
pub mod log_health;
mod overlap;
pub mod pins;
pub mod place;
pub mod planner;
pub mod port_truth;
pub mod ports;
pub mod probe;
pub mod publish;
mod publish_rules;
pub mod refresh;
pub mod settings;
pub mod settings_file;
pub mod truth;
mod visitor;
pub mod who;
