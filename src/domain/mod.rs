//! What Proximity knows and decides: plain data and pure functions.
//!
//! No I/O, no async, no clock, no terminal. Times arrive inside facts, text from outside
//! is cleaned by [`clean`] before anybody draws it.

pub mod access;
pub mod access_line;
pub mod address;
pub mod appliance;
pub mod audit;
pub mod backup;
pub mod caddy;
pub mod certificate;
pub mod change;
pub mod clean;
pub mod cmd;
pub mod conf;
pub mod credential;
pub mod fact;
pub mod filter;
pub mod guest;
pub mod health;
pub mod interfaces;
pub mod job;
pub mod log_buffer;
pub mod log_format;
pub mod log_health;
pub mod log_level;
pub mod log_marks;
pub mod log_merge;
pub mod log_minutes;
pub mod log_page;
pub mod log_sieve;
pub mod log_tally;
pub mod log_time;
pub mod picture;
pub mod plan;
pub mod ports;
pub mod power;
pub mod privilege;
pub mod publish;
pub mod pve;
pub mod record;
pub mod restore;
pub mod second;
pub mod secret;
pub mod service;
pub mod session;
pub mod settings;
pub mod stamp;
pub mod storage;
pub mod swap;
pub mod task;
pub mod trial;
pub mod unlock;
pub mod volume;
pub mod when;
pub mod world;
