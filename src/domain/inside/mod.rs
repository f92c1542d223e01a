//! What is inside an archive: its entries, the list of them, whether it is whole, and how one of them comes back.
//!
//! ```text
//! tar.rs       reads a stream and believes nothing of it
//! listing.rs   all entries as a tree in little memory, and as bytes to be kept
//! verify.rs    the plan that reads archives to their ends, and what comes of it
//! ledger.rs    what jobs that verified say of an archive now
//! pull.rs      the plan that brings a file or a folder back
//! ```

pub mod ledger;
pub mod listing;
pub mod pull;
pub mod tar;
pub mod verify;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// A second name of a file.
    Hard,
    /// A device node.
    Device,
    /// A named pipe.
    Fifo,
    /// Something else.
    Other,
}

impl Kind {
    /// All of them, by the number they have in bytes.
    pub const ALL: [Kind; 7] = [Kind::Dir, Kind::File, Kind::Link, Kind::Hard, Kind::Device, Kind::Fifo, Kind::Other];

    /// The letter that `ls -l` has for it.
    pub fn letter(self) -> char {
        match self {
            Kind::Dir => 'd',
            Kind::File => '-',
            Kind::Link => 'l',
            Kind::Hard => 'h',
            Kind::Device => 'b',
            Kind::Fifo => 'p',
            Kind::Other => '?',
        }
    }

    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Dir => "folder",
            Kind::File => "file",
            Kind::Link => "symbolic link",
            Kind::Hard => "second name",
            Kind::Device => "device",
            Kind::Fifo => "pipe",
            Kind::Other => "something else",
        }
    }
}

/// How the content of a file with holes is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sparse {
    /// It has none.
    No,
    /// Its content begins with a map of it (GNU tar, sparse format 1.0).
    Map,
    /// Its content is what lies at these offsets, of these lengths (the old GNU format).
    Places(Vec<(u64, u64)>),
    /// In a way that is not read here.
    Unread,
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As it stands there: any bytes but NUL.
    pub path: Vec<u8>,
    /// Where a link leads, or whose second name it is.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Its owner, by the numbers of the guest.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Bytes of a file; 0 for the rest.
    pub size: u64,
    /// Bytes that are stored of it.
    pub stored: u64,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Whether it has holes.
    pub sparse: Sparse,
    /// Access lists and other extended attributes it has.
    pub attributes: u32,
}

/// News of an archive whose files are looked at.
#[derive(Debug, Clone)]
pub enum News {
    /// It is read.
    Reading {
        /// Bytes so far.
        read: u64,
        /// Bytes it has.
        size: u64,
        /// Entries so far.
        entries: u64,
    },
    /// All of them.
    Listed(std::sync::Arc<listing::Listing>),
    /// They could not be listed.
    Failed {
        /// Why.
        why: String,
        /// What to do.
        hint: String,
    },
}

/// The parts of a path without what means nothing; `None` where it leads out (`..`), or nowhere.
pub fn parts(path: &[u8]) -> Option<Vec<&[u8]>> {
    let parts: Vec<&[u8]> = path.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").collect();
    (!parts.contains(&&b".."[..])).then_some(parts)
}

/// `drwxr-x--x`, as `ls -l` has it.
pub fn mode_words(kind: Kind, mode: u32) -> String {
    let bit = |at: u32, c: char| if mode & at != 0 { c } else { '-' };
    let with = |x: u32, s: u32, low: char, high: char| match (mode & x != 0, mode & s != 0) {
        (true, true) => low,
        (false, true) => high,
        (true, false) => 'x',
        (false, false) => '-',
    };
    [
        kind.letter(),
        bit(0o400, 'r'),
        bit(0o200, 'w'),
        with(0o100, 0o4000, 's', 'S'),
        bit(0o040, 'r'),
        bit(0o020, 'w'),
        with(0o010, 0o2000, 's', 'S'),
        bit(0o004, 'r'),
        bit(0o002, 'w'),
        with(0o001, 0o1000, 't', 'T'),
    ]
    .into_iter()
    .collect()
}
