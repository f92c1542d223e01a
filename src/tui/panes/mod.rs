//! The panes. Each draws itself in the file that lays it out.

pub mod appliance;
pub mod backups;
pub mod guest;
pub mod logs;
pub mod overview;
pub mod ports;
pub mod settings;
