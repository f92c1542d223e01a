//! Proximity: a keyboard-driven console for self-hosted apps on Proxmox VE. This page is the map.
//!
//! # Ten words
//!
//! | word | meaning | where |
//! |---|---|---|
//! | **Host** | a place where a command can run and a file be read | [`host`] |
//! | **Fact** | one piece of news about the outside; the only thing that changes the World | [`domain::fact`] |
//! | **World** | everything known now, each part stamped with when and from where; *unknown* is a value | [`domain::world`] |
//! | **Action** | one intent of the operator, so that any key can mean it | `tui::action` |
//! | **Pane** | a part of the screen that reacts to actions and draws itself; a dialog is a pane on a stack | [`tui`] |
//! | **Effect** | what a pane asks for: data, executed elsewhere | [`tui::effect`] |
//! | **Plan** | how a wish becomes true: steps with exact command, check and undo | [`domain::plan`] |
//! | **Job** | a plan being carried out; it outlives the console that started it | [`domain::job`], [`jobs`] |
//! | **Op** | the function a job or the console runs: *look* or *carry out* | [`ops`] |
//! | **Store** | what Proximity remembers: SQLite, and in it the Vault | [`store`] |
//!
//! # The circle
//!
//! key → Action → Pane → Effect → (`run`) → Job or Op → Host → Fact → World → screen.
//! The command line is the same circle without a screen: arguments → wish → plan → job → text or JSON ([`cli`]).
//!
//! # Who may use whom
//!
//! `domain → nothing` · `tui → domain` · `host → domain` · `store → domain` · `ops → host, store, domain` ·
//! `jobs → ops, host, store, domain` · `problem → all of these` · only `run` and `cli` see everything.
//! `tests/architecture.rs` checks it.
//!
//! # What is absent
//!
//! 1. Shell text. Commands are argument vectors ([`domain::pve`] builds every Proxmox one).
//! 2. Secrets in argv, environment, titles, logs, facts, job rows, `Debug` ([`domain::secret::Secret`]).
//! 3. A failed command read as a good one: [`host::Output`] gives its text through `success()` or `any()` only.
//! 4. I/O, clock and async in [`domain`] and [`tui`]. Times arrive inside facts.
//! 5. A change of a host without an [`Approved`](domain::plan::Approved) plan carried out by a job. What a look needs for itself
//!    and takes away again (`ops::visitor`) is none, and is not made where nothing may be changed.
//! 6. Text from outside in a cell that did not pass [`domain::clean`].
//! 7. A store transaction that is not `IMMEDIATE`; a record that does not open and is replaced by a default.
//! 8. `unsafe`.
//! 9. A change that the audit did not take first: [`ops::audit`] is the way in, one call before and one after.
//! 10. A command, an effect or a job without its line in the table of permissions: [`domain::access`].
//! 11. A file of a host that is replaced without the bytes that were there, a test of the new ones, and a way back
//!     ([`domain::change`]).
//! 12. A switch that leaves the proof of a certificate out; a pin serves where no authority is known. Who only looks which
//!     certificate a port shows believes nothing, and sends nothing but the question for the head of a page ([`host::local`]).
//!
//! # Where this departs from the first drawing
//!
//! `Cmd` is pure data and lives in the domain, since plans hold commands; `host` lends it on.
//!
//! Of the crates that were named, `proxmox-api` is not used: its types refuse real answers and its client takes any
//! certificate, so [`host::api`] is a small one on hyper and rustls. `tui-textarea` keeps an undo history, which no secret
//! may have; one line of input needs no crate. `ssh2` and `keyring` wait for the SSH host and for a cache of the unlock.

pub mod cli;
pub mod config;
pub mod domain;
pub mod host;
pub mod jobs;
pub mod ops;
pub mod problem;
mod run;
pub mod store;
pub mod tui;
