//! Dialogs: panes on a stack above the pane that is shown.

pub mod audit;
pub mod credential;
pub mod file;
pub mod help;
pub mod jobs;
pub mod menu;
pub mod palette;
pub mod plan;
pub mod prove;
pub mod question;
pub mod record;
pub mod restore;
pub mod second;
pub mod seconded;
pub mod settings;
pub mod sources;
pub mod text;
pub mod unlock;
