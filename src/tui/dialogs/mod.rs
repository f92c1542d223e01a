//! Dialogs: panes on a stack above the pane that is shown.

pub mod audit;
pub mod certificates;
pub mod credential;
pub mod field;
pub mod file;
pub mod help;
pub mod jobs;
pub mod menu;
pub mod palette;
pub mod picture;
pub mod plan;
pub mod ports;
pub mod prove;
pub mod publish;
pub mod question;
pub mod record;
pub mod restore;
pub mod second;
pub mod seconded;
pub mod settings;
pub mod sources;
pub mod text;
pub mod unlock;
pub mod who_has;
