//! WHERE: a place where a command can run and a file be read. This machine, the demo; later one over SSH.
//!
//! Everything that leaves the program goes through [`Host`]. Nothing above may assume that the host is this machine.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::domain::calendar::Zone;
pub use crate::domain::cmd::Cmd;
use crate::domain::guest::Vmid;
use crate::domain::inside::listing::Listing;
use crate::domain::job::Process;
use crate::domain::ports::{Knock, Knocked};
use crate::domain::stamp::Stamp;

pub mod api;
pub mod demo;
pub mod local;

pub use local::archive::Progress;
pub use local::file::{self, NotOpened, Tree};

/// What went wrong with a host, as opposed to with a command on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The program or file is not there.
    #[error("{what} is not there")]
    Missing {
        /// Program or path.
        what: String,
    },
    /// Not allowed to run or read it.
    #[error("{what}: permission denied")]
    Denied {
        /// Program or path.
        what: String,
    },
    /// It did not answer in time and was ended.
    #[error("{what} did not answer within {} s and was ended", .limit.as_secs())]
    TimedOut {
        /// Command or path.
        what: String,
        /// The limit.
        limit: Duration,
    },
    /// It ended badly; what it said last.
    #[error("{what} failed with status {status}: {said}")]
    Failed {
        /// Command.
        what: String,
        /// Exit status; 128+n for a signal.
        status: i32,
        /// Last lines of its standard error, cleaned.
        said: String,
    },
    /// It was cancelled.
    #[error("{what} was cancelled")]
    Cancelled {
        /// Command.
        what: String,
    },
    /// Anything else the system said.
    #[error("{what}: {why}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's words.
        why: String,
    },
    /// The link to the host was lost: whether the command ran is unknown.
    #[error("the link to the host was lost; whether {what} ran is unknown")]
    LinkLost {
        /// Command.
        what: String,
    },
}

/// What a command printed and how it ended. Opaque: text is reached through [`Output::success`] or
/// [`Output::any`] only, so a failed command cannot be read as a good one.
#[derive(Debug, Clone)]
pub struct Output {
    cmd: String,
    status: i32,
    out: Vec<u8>,
    err: Vec<u8>,
    /// Bytes of standard output that were not kept.
    cut: u64,
}

/// The text of a command.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// Exit status; 128+n for a signal.
    pub status: i32,
    /// Standard output.
    pub out: &'a [u8],
    /// Standard error.
    pub err: &'a [u8],
    /// Bytes of standard output that were not kept because there was too much.
    pub cut: u64,
}

impl Output {
    /// What a host gives back after a command ended.
    pub fn new(cmd: &Cmd, status: i32, out: Vec<u8>, err: Vec<u8>, cut: u64) -> Self {
        Output { cmd: cmd.shown(), status, out, err, cut }
    }

    /// The text of a command that exited 0 and whose output is whole.
    pub fn success(&self) -> Result<Text<'_>, HostError> {
        if self.status == 0 && self.cut == 0 {
            return Ok(self.any());
        }
        let said = if self.cut > 0 {
            format!("{} bytes of its output were lost", self.cut)
        } else {
            last_lines(if self.err.is_empty() { &self.out } else { &self.err })
        };
        Err(HostError::Failed { what: self.cmd.clone(), status: self.status, said })
    }

    /// The text whatever the status was; for those who look at the status themselves.
    pub fn any(&self) -> Text<'_> {
        Text { status: self.status, out: &self.out, err: &self.err, cut: self.cut }
    }
}

/// The last two lines that say something, cleaned, as one.
pub fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(2);
    crate::domain::clean::clean(&lines[from..].join(" · "))
}

/// One thing to look at without a command.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Look {
    /// A file's bytes, at most so many from its beginning.
    File(String, usize),
    /// A file's last bytes, at most so many.
    Tail(String, usize),
    /// All files of a pattern in which a whole path component may be `*` or hold one `*`; each at most so many bytes.
    Glob(String, usize),
    /// Names in a directory, sorted.
    Dir(String),
    /// Kind, size, times, permission bits of a path. Symbolic links are followed.
    Stat(String),
    /// Space of the file system a path lies on. May hang on a dead network storage, so it has a limit of its own.
    Space(String),
    /// The logs of the host or of a running guest by their names, sizes and times, and these files besides.
    Logs(Option<Vmid>, Vec<String>),
    /// Names of the processes of a running guest.
    Processes(Vmid),
    /// Which processes have something open, work or are rooted in something on whose path there is one of these names; a name
    /// that ends in `*` stands for all that begin so. Read from the links in `/proc`, so that no storage can make it hang.
    Users(Vec<String>),
}

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Bytes of a file.
    Bytes(Vec<u8>),
    /// Paths and bytes of a pattern, sorted by path; a file that could not be read says why.
    Files(Vec<(String, Result<Vec<u8>, HostError>)>),
    /// Names.
    Names(Vec<String>),
    /// Facts of a path.
    Stat(PathStat),
    /// Space in bytes.
    Space(crate::domain::storage::Space),
    /// Logs.
    Logs(crate::domain::log_health::Found),
    /// Who has what open.
    Users(crate::domain::locks::Users),
}

/// Facts of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// True for a directory.
    pub dir: bool,
    /// Size in bytes.
    pub size: u64,
    /// Last change of its content.
    pub modified: Stamp,
    /// Permission bits.
    pub mode: u32,
    /// Device number: another one than the parent's means a mount point.
    pub dev: u64,
    /// Inode number, which with the device names the file itself.
    pub inode: u64,
}

/// What a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The command runs as this process.
    Started(Process),
    /// Whole lines without their ends, in order; standard output and standard error as they came.
    Lines(Vec<Box<[u8]>>),
    /// So many lines were dropped here because the reader did not keep up. Only where [`Pace::Live`] was asked.
    Dropped(u64),
    /// It ended with this status; 128+n for a signal. Nothing comes after.
    Ended(i32),
}

/// Whether a stream waits for its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Every line counts: the command waits while the reader is busy.
    Whole,
    /// Only what is new counts: lines are dropped, and counted, when the reader is busy.
    Live,
}

/// A future that a host gives back.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A place where a command can run and a file be read.
pub trait Host: Send + Sync {
    /// `local`, `demo`, or the address.
    fn name(&self) -> &str;

    /// True only for the simulated node.
    fn is_demo(&self) -> bool {
        false
    }

    /// Runs a command to its end. Errors are those of the host; a bad exit status is in the output.
    fn run<'a>(&'a self, cmd: Cmd) -> Asked<'a, Result<Output, HostError>>;

    /// Runs a command and tells its lines as they come, until it ends or `stop` is cancelled: then its process
    /// group gets TERM, and KILL after a grace of ten seconds. An error means that it never ran or the link is lost.
    fn stream<'a>(&'a self, cmd: Cmd, pace: Pace, said: mpsc::Sender<Said>, stop: CancellationToken) -> Asked<'a, Result<(), HostError>>;

    /// Looks at many things at once, in order: one round trip however far the host is.
    fn look<'a>(&'a self, at: Vec<Look>) -> Asked<'a, Vec<Result<Found, HostError>>>;

    /// Asks many ports at once, from the network of a process or from the host's own; bounded in number and in time.
    fn knock<'a>(&'a self, _pid: Option<u32>, _at: Vec<Knock>) -> Asked<'a, Result<Knocked, HostError>> {
        let why = format!("ports of {} are not asked from here", self.name());
        Box::pin(async move { Err(HostError::Io { what: "ports".into(), why }) })
    }

    /// The tree in which files of this host, or of a running guest on it, are opened and read where they lie. Where that
    /// cannot be done, as far away or in a simulation, commands read them.
    fn tree(&self, _guest: Option<Vmid>) -> Result<Tree, NotOpened> {
        Err(NotOpened::NotFromHere(format!("files of {} are not on this machine", self.name())))
    }

    /// The tree of a guest that does not run, where its root volume can be read without mounting anything; else why not.
    fn stopped_tree(&self, guest: Vmid) -> Result<Tree, NotOpened> {
        Err(NotOpened::NotFromHere(format!("files of {guest} on {} are not on this machine", self.name())))
    }

    /// The tree in which a file is read once, of a guest whether it runs or not. To follow a log is for those that run.
    fn any_tree(&self, guest: Option<Vmid>) -> Result<Tree, NotOpened> {
        match self.tree(guest) {
            Err(NotOpened::NotRunning(id)) => self.stopped_tree(id),
            tree => tree,
        }
    }

    /// All entries of an archive that lies at this path. How far it is stands in `progress`, and whoever sets its `stop` ends it.
    fn list_archive<'a>(&'a self, path: String, _progress: Arc<Progress>) -> Asked<'a, Result<Listing, HostError>> {
        let why = format!("archives of {} are not read from here", self.name());
        Box::pin(async move { Err(HostError::Io { what: path, why }) })
    }

    /// Runs a command with the operator's own terminal and gives its exit status; 128+n for a signal.
    /// Only for a person at a terminal or a script that wants the command's own streams.
    fn attach<'a>(&'a self, cmd: Cmd) -> Asked<'a, Result<i32, HostError>>;

    /// What time it is there, and its zone in seconds east of UTC at that time.
    fn clock(&self) -> (Stamp, i32);

    /// Its zone, with the turns of its clocks for some years around now.
    fn zone(&self) -> Zone {
        Zone::fixed(self.clock().1)
    }

    /// The stamp of a civil time in the host's zone, such as an archive's name holds.
    fn local_time(&self, civil: [u32; 6]) -> Option<Stamp>;

    /// Whether this very process, not a later one of its number, is alive.
    fn alive<'a>(&'a self, process: &'a Process) -> Asked<'a, Result<bool, HostError>>;
}

/// The bytes of a file look.
pub fn bytes_of(found: &Result<Found, HostError>) -> Result<&[u8], HostError> {
    match found {
        Ok(Found::Bytes(b)) => Ok(b),
        Ok(_) => Err(HostError::Io { what: "look".into(), why: "another kind of answer than asked for".into() }),
        Err(e) => Err(e.clone()),
    }
}

/// The text of a file look; what is not UTF-8 becomes `�`.
pub fn text_of(found: &Result<Found, HostError>) -> Result<String, HostError> {
    bytes_of(found).map(|b| String::from_utf8_lossy(b).into_owned())
}
