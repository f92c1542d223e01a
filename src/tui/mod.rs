//! PURE too: keys in, cells out, never awaits.
//!
//! A key becomes an [`action::Action`] by the one key table, the pane or dialog on top reacts to it, and
//! [`effect::Effect`]s go out. Facts come in by [`app::App::learn`]. Drawing changes nothing.
//!
//! `app` the whole · `frame` header, bar, job line, footer · `pane` what a pane is · `panes/` the three ·
//! `dialogs/` what lies on top of them · `canvas` the one way text reaches a cell · `list`, `input`, `log_rows`, `words`,
//! `theme` what they are built of.

pub mod action;
pub mod app;
mod canvas;
mod dialogs;
pub mod effect;
mod frame;
mod input;
mod list;
mod log_rows;
mod pane;
mod panes;
pub mod terminal;
pub mod theme;
mod words;
