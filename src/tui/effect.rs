//! Effects: what a pane asks for. Data, executed elsewhere. It does not grow with features; wishes do.

use crate::domain::backup::Archive;
use crate::domain::credential::{Candidate, Code};
use crate::domain::fact::{LogSource, Wish};
use crate::domain::guest::Vmid;
use crate::domain::job::JobId;
use crate::domain::log_marks::Mark;
use crate::domain::log_page::FileAsk;
use crate::domain::plan::Approved;
use crate::domain::ports::PortWish;
use crate::domain::queue::Move;
use crate::domain::secret::Secret;
use crate::domain::settings::{Key, Save};

/// One thing that the screen asks for.
pub enum Effect {
    /// Ask everything about the host again, now.
    Refresh,
    /// Begin (`on`) or end following a log.
    Follow {
        /// Which.
        source: LogSource,
        /// Begin or end.
        on: bool,
    },
    /// Open a file to be read, or ask something of it; the answers are [`crate::domain::fact::Fact::File`].
    File {
        /// Which.
        source: LogSource,
        /// What.
        ask: FileAsk,
    },
    /// Begin (`on`) or end looking at the files of an archive; the answers are [`crate::domain::fact::Fact::Inside`].
    Inside {
        /// Which.
        archive: Archive,
        /// Begin or end.
        on: bool,
    },
    /// Try to open the vault.
    Unlock {
        /// Who.
        operator: String,
        /// With what.
        passphrase: Secret,
    },
    /// The second half of a login: a code.
    Code(Secret),
    /// A passphrase or code again, before something is destroyed.
    Prove(Secret),
    /// Somebody else says yes to what waits for a second person.
    SecondPerson {
        /// His name.
        operator: String,
        /// His passphrase.
        passphrase: Secret,
    },
    /// His code.
    SecondCode(Secret),
    /// What waits for a proof or a second person is not wanted any more.
    Withdraw,
    /// Begin to set up a second factor.
    BeginSecond,
    /// Switch it on with a first code.
    ConfirmSecond(Secret),
    /// Close the vault and show the lock screen.
    Lock,
    /// Make a plan of a wish; the answer is a [`crate::domain::fact::Fact::Planned`].
    Plan(Wish),
    /// Start a job for an allowed plan.
    Start(Approved),
    /// Read the audit, newest first; the answer is a [`crate::domain::fact::Fact::Audit`].
    Audit {
        /// Words as typed into the filter.
        words: String,
        /// Only entries before this number; `None` begins at the end.
        below: Option<u64>,
    },
    /// Ask a job to end.
    Cancel(JobId),
    /// Put a job that waits in another place of its queue.
    PutJob(JobId, Move),
    /// Save settings; the answer is a [`crate::domain::fact::Fact::Saved`].
    Save(Save),
    /// Ask what a setting held before.
    History(Key),
    /// Try a credential; its news come as [`crate::domain::fact::Fact::Trial`] with this number.
    Try {
        /// Number of the try.
        nth: u32,
        /// What is tried.
        candidate: Candidate,
    },
    /// The second factor that the try waits for.
    Answer(Code),
    /// Nobody waits for the try any more.
    EndTry,
    /// Ask the host, and then the appliance everything: its news come as a part of the World.
    Probe,
    /// Ask how each pair of ports is; the news come as a part of the World.
    LookPorts,
    /// Look at all certificates; the news come as a part of the World.
    LookCertificates,
    /// Look who holds locks and what killed jobs left, also of this guest; the news come as a part of the World.
    LookLocks(Option<Vmid>),
    /// Make a wish about ports true that takes no plan: nothing but what is remembered changes.
    KeepPorts(PortWish),
    /// Ask what has a port and who had it; the answer is a [`crate::domain::fact::Fact::Port`].
    AskPort(u16),
    /// Keep the credential that was tried under this number, for a site; the first has no name.
    Keep {
        /// Number of the try.
        nth: u32,
        /// The site.
        site: String,
    },
    /// Bring the credential of a site back that was kept before.
    CredentialBack(String),
    /// Keep these bookmarks of log lines; `None` asks for those that are kept: [`crate::domain::fact::Fact::Marks`].
    Marks(Option<Vec<Mark>>),
    /// Write lines of logs, as they came, to a file that is not there yet.
    Export {
        /// Its whole path.
        path: String,
        /// The lines with their ends.
        text: Vec<u8>,
        /// How many.
        lines: u64,
    },
    /// Put text on the clipboard of the operator's terminal.
    Copy(String),
    /// Paint everything anew.
    Repaint,
    /// Leave.
    Quit,
}
