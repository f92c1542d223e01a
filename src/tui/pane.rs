//! What a pane is: a part of the screen that reacts to actions and draws itself. A dialog is a pane on a stack.

use crossterm::event::KeyEvent;

use super::action::{Action, Context};
use super::canvas::Canvas;
use super::effect::Effect;
use super::frame;
use crate::domain::audit::Page;
use crate::domain::fact::{Gate, LogLine, LogSource, LogState, Login, Wish};
use crate::domain::guest::Vmid;
use crate::domain::inside;
use crate::domain::log_page::FileNews;
use crate::domain::ports::Asked;
use crate::domain::settings::{Change, Key};
use crate::domain::stamp::Stamp;
use crate::domain::trial::Progress;
use crate::domain::world::World;

/// What every pane may look at.
pub struct Known {
    /// The World.
    pub world: World,
    /// What time it is.
    pub now: Stamp,
    /// The local zone, seconds east of UTC.
    pub offset_s: i32,
    /// The gate; `None` until it was asked.
    pub gate: Option<Gate>,
    /// Columns and rows of the screen.
    pub size: (u16, u16),
}

impl Known {
    /// Columns and rows of a pane.
    pub fn pane_size(&self) -> (u16, u16) {
        (self.size.0, frame::Rows::of(self.size.1).pane.1)
    }

    /// Who may change things, or what is in the way and what to do about it.
    pub fn operator(&self) -> Result<&str, (String, String)> {
        match &self.gate {
            Some(Gate::Open(name)) => Ok(name),
            Some(Gate::NoStore(hint)) => {
                Err(("there is no store yet, so nothing can be written down before it is done".into(), hint.clone()))
            }
            Some(Gate::Broken { what, hint }) => Err((what.clone(), hint.clone())),
            Some(Gate::Locked(_)) => Err(("the store is locked".into(), "unlock it first".into())),
            None => Err(("the store has not been asked yet".into(), "wait a moment".into())),
        }
    }
}

/// What a pane wants to happen next.
pub enum Then {
    /// Something outside.
    Do(Effect),
    /// A dialog on top.
    Open(Box<dyn Pane>),
    /// This dialog ends.
    Close,
    /// An action for what is on top then.
    Act(Action),
    /// A wish: checked against the gate, then made a plan of.
    Wish(Wish),
    /// A short message.
    Say(String),
    /// The Logs pane, filtered by these words, with this log switched on.
    LogsOf(Option<LogSource>, String),
    /// This log, read as the file that it is.
    File(LogSource),
    /// Something that a dialog of the Logs pane asks of it.
    Logs(super::panes::logs::Ask),
    /// The Overview, at this guest.
    Guest(Vmid),
    /// The Settings pane, at this setting.
    Setting(Key),
    /// A change of a setting, to be saved later.
    Stage(Key, Change),
}

/// A size in columns and rows and a title: what a dialog asks for.
pub struct Window {
    /// Title in its border.
    pub title: String,
    /// Columns with border.
    pub width: u16,
    /// Rows with border.
    pub height: u16,
}

/// Somewhere to type.
pub trait Typed {
    /// Takes a key; `false` leaves it to the key table.
    fn key(&mut self, key: &KeyEvent) -> bool;
    /// Takes pasted text.
    fn paste(&mut self, text: &str);
}

/// A part of the screen.
pub trait Pane {
    /// Which keys hold.
    fn context(&self) -> Context;

    /// Reacts to an action; `None` where it is not for this pane.
    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>>;

    /// Whether the footer offers an action now.
    fn can(&self, _action: Action, _known: &Known) -> bool {
        true
    }

    /// Whether letters are typed now, so that only other keys mean something.
    fn is_typing(&self) -> bool {
        false
    }

    /// Where typed letters go now; something exactly while [`Pane::is_typing`], unless it waits for an answer.
    fn input(&mut self) -> Option<&mut dyn Typed> {
        None
    }

    /// Something was typed.
    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        Vec::new()
    }

    /// The World changed.
    fn news(&mut self, _known: &Known) {}

    /// Whether lines of this log are for this pane.
    fn wants(&self, _source: &LogSource) -> bool {
        false
    }

    /// Lines of a log, and when they were read.
    fn log(&mut self, _source: &LogSource, _at: Stamp, _lines: Vec<LogLine>, _dropped: u64, _known: &Known) {}

    /// How following a log goes.
    fn log_state(&mut self, _source: &LogSource, _state: &LogState) {}

    /// A login, a proof or a second factor goes on; `None` where it is not for this pane.
    fn login(&mut self, _news: &Login) -> Option<Vec<Then>> {
        None
    }

    /// News of a file that is read.
    fn file(&mut self, _source: &LogSource, _news: &FileNews, _known: &Known) -> Vec<Then> {
        Vec::new()
    }

    /// News of an archive whose files are looked at.
    fn inside(&mut self, _volid: &str, _news: &inside::News, _known: &Known) {}

    /// What a dialog asks of the Logs pane, where this dialog is what it means; else `None`.
    fn asked(&mut self, _ask: &super::panes::logs::Ask, _known: &Known) -> Option<Vec<Then>> {
        None
    }

    /// News of trying a credential.
    fn trial(&mut self, _nth: u32, _news: &Progress) -> Vec<Then> {
        Vec::new()
    }

    /// What has a port, for whoever asked.
    fn port(&mut self, _asked: &Asked) {}

    /// Does a slice of work that was put off; `true` while some is left.
    fn work(&mut self) -> bool {
        false
    }

    /// Records of the audit that were asked for.
    fn audit(&mut self, _words: &str, _below: Option<u64>, _page: &Result<Box<Page>, String>, _known: &Known) -> Vec<Then> {
        Vec::new()
    }

    /// What must be done when the dialog goes.
    fn closed(&mut self) -> Vec<Then> {
        Vec::new()
    }

    /// The window of a dialog.
    fn window(&self, known: &Known) -> Window {
        Window { title: String::new(), width: known.size.0, height: known.size.1 }
    }

    /// Draws it.
    fn draw(&self, on: &mut Canvas<'_>, known: &Known);
}
