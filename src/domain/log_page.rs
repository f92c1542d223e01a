//! What a screen asks of a file that is read where it lies, and what it gets: a page of lines around a spot, and how far
//! the counting of lines and hits has come. Lines are named by the offset at which they begin, which never changes.

use super::log_level::Level;
use super::stamp::Stamp;
use super::when::Here;

/// Bytes of a line that a page holds at most.
pub const SHOWN: u64 = 64 << 10;

/// One line of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageLine {
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// Bytes without its line end; more than `text` holds for a very long line.
    pub length: u64,
    /// Its beginning, raw, without its line end.
    pub text: Box<[u8]>,
}

/// Where a page is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// At the first line.
    Start,
    /// At the last line, and again whenever the file grows.
    End,
    /// At the line that holds this offset.
    Offset(u64),
    /// At this line, from 0.
    Line(u64),
    /// So many hundredths into the file.
    Percent(u8),
    /// At the next line behind this one's offset that passes the filter, or the one before it.
    Hit {
        /// The line it is looked for from.
        from: u64,
        /// Behind it, or before.
        forward: bool,
    },
    /// At the next line behind this one's offset that tells an error, or the one before it; one that passes the filter
    /// where only such lines are wanted.
    Error {
        /// The line it is looked for from.
        from: u64,
        /// Behind it, or before.
        forward: bool,
    },
    /// At the first line of this time or later, by the times that lines tell.
    Time {
        /// The time.
        at: Stamp,
        /// How times of lines are read.
        here: Here,
    },
    /// At the line of a bookmark.
    Mark {
        /// Where it began once.
        offset: Option<u64>,
        /// When it was written.
        time: Option<Stamp>,
        /// Its fingerprint.
        line: u64,
        /// How times of lines are read.
        here: Here,
    },
}

/// A page as it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageAsk {
    /// Number of this request: the page carries it.
    pub nth: u64,
    /// Where.
    pub spot: Spot,
    /// Lines before the spot.
    pub before: usize,
    /// Lines behind it.
    pub after: usize,
    /// All lines, or only those that pass the filter.
    pub all: bool,
}

/// A page of lines in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The number of the request.
    pub nth: u64,
    /// The lines.
    pub lines: Vec<PageLine>,
    /// The offset of the line at the spot; `None` where there is none, such as behind the last hit.
    pub at: Option<u64>,
    /// No line is before these.
    pub first: bool,
    /// No line is behind these.
    pub last: bool,
    /// The number of the first one in the file, from 0, where lines are counted that far and none is left out.
    pub number: Option<u64>,
}

/// How far reading has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// Bytes of the file.
    pub size: u64,
    /// Lines counted so far, from the end on.
    pub lines: u64,
    /// Hundredths of the file in which lines are counted; 100 means that `lines` is exact.
    pub counted: u8,
    /// Lines counted so far that pass the filter.
    pub hits: u64,
    /// Hundredths of the file that the filter has looked at.
    pub looked: u8,
}

/// What a screen asks of a file that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileAsk {
    /// Open it. All else is asked of a file that is open.
    Open,
    /// Filter by these words, as [`crate::domain::filter::Filter::parse`] reads them.
    Filter(String),
    /// Pass only lines so grave at least; a line that tells no level counts as info.
    Level(Option<Level>),
    /// The names of files and directories that begin like the path of the source. It need not be open.
    Names,
    /// A page. An older request that was not answered yet is forgotten.
    Page(PageAsk),
    /// Nobody reads it any more.
    Close,
}

/// What a file that is read tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileNews {
    /// A page that was asked for.
    Page(Page),
    /// There is no such page; why.
    Nothing {
        /// The number of the request.
        nth: u64,
        /// Why.
        why: String,
    },
    /// Names that were asked for; those of directories end in `/`.
    Names(Vec<String>),
    /// How far reading has come.
    Reading(Reading),
    /// Something happened to the file, in one sentence; offsets of before mean nothing any more where `anew` is set.
    Changed {
        /// The sentence.
        what: String,
        /// Another file stands there now, or the same one from its beginning.
        anew: bool,
    },
    /// It cannot be read; why.
    Failed(String),
}
