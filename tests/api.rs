//! The API client against a real TLS server that answers from the recordings, or badly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "api/calls.rs"]
mod calls;
#[path = "api/server.rs"]
mod server;
#[path = "api/soak.rs"]
mod soak;
#[path = "api/tickets.rs"]
mod tickets;
#[path = "api/trials.rs"]
mod trials;
#[path = "api/trust.rs"]
mod trust;
