//! Facts: one piece of news about the outside each. The only thing that changes the World or a pane.

use super::appliance;
use super::backup::Archive;
use super::guest::Vmid;
use super::job::{Job, JobId};
use super::log_level::Level;
use super::plan::{Approved, Plan, Refusal};
use super::secret::Shown;
use super::settings::{Key, Past};
use super::stamp::Stamp;
use super::world::News;

/// Names a log that can be followed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LogSource {
    /// The appliance's dnsmasq.
    Dnsmasq,
    /// The appliance's Caddy, access log.
    Caddy,
    /// The host's journal.
    Journal,
    /// The log of one of our jobs.
    Job(JobId),
    /// A file of the host.
    File(String),
    /// A file of a guest.
    InGuest(Vmid, String),
}

impl LogSource {
    /// The name on the command line and in the list of sources.
    pub fn name(&self) -> String {
        match self {
            LogSource::Dnsmasq => "dnsmasq".into(),
            LogSource::Caddy => "caddy".into(),
            LogSource::Journal => "journal".into(),
            LogSource::Job(id) => format!("job:{id}"),
            LogSource::File(path) => format!("file:{path}"),
            LogSource::InGuest(id, path) => format!("{id}:{path}"),
        }
    }

    /// The source of a name; `None` for a name nobody knows.
    pub fn from_name(name: &str) -> Option<LogSource> {
        match name {
            "dnsmasq" => Some(LogSource::Dnsmasq),
            "caddy" => Some(LogSource::Caddy),
            "journal" => Some(LogSource::Journal),
            path if path.starts_with('/') => Some(LogSource::File(path.into())),
            _ => match name.split_once(':')? {
                ("job", id) => id.parse().ok().map(LogSource::Job),
                ("file", path) if !path.is_empty() => Some(LogSource::File(path.into())),
                (id, path) if path.starts_with('/') => Some(LogSource::InGuest(id.parse().ok()?, path.into())),
                _ => None,
            },
        }
    }

    /// The guest, if it is one's, and the path of a log that is a file. `appliance`: where its two are.
    pub fn file(&self, appliance: Vmid) -> Option<(Option<Vmid>, &str)> {
        match self {
            LogSource::Dnsmasq => Some((Some(appliance), appliance::DNSMASQ_LOG)),
            LogSource::Caddy => Some((Some(appliance), appliance::CADDY_LOG)),
            LogSource::File(path) => Some((None, path)),
            LogSource::InGuest(id, path) => Some((Some(*id), path)),
            _ => None,
        }
    }

    /// Whether it is one of the appliance, whichever guest that is.
    pub fn is_the_appliances(&self) -> bool {
        matches!(self, LogSource::Dnsmasq | LogSource::Caddy)
    }

    /// Whether it is a file.
    pub fn is_file(&self) -> bool {
        self.file(appliance::VMID).is_some()
    }

    /// The sources the Logs pane offers from the start.
    pub fn standing() -> [LogSource; 3] {
        [LogSource::Dnsmasq, LogSource::Caddy, LogSource::Journal]
    }
}

/// What is asked of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ask {
    /// So many last lines; all of them where it is not said.
    pub lines: Option<u32>,
    /// Go on with what comes.
    pub follow: bool,
    /// Nothing older, where the source has an index of times. Files have none and tell all.
    pub since: Option<Stamp>,
    /// Nothing newer, likewise.
    pub until: Option<Stamp>,
    /// Nothing less grave, likewise.
    pub level: Option<Level>,
}

/// How following a log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogState {
    /// Asked for, no answer yet.
    Opening,
    /// Lines come when there are any.
    Following,
    /// It goes on, and this happened to it; one sentence.
    Noted(String),
    /// It ended or could not be opened; why. It is tried again unless `again` is false.
    Broken {
        /// Why.
        why: String,
        /// Whether it is tried again by itself.
        again: bool,
    },
}

/// One line of a log, raw. Cleaned when drawn, exported as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The bytes without their line end.
    pub text: Box<[u8]>,
}

/// What a person must prove before the console opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// Nobody set the store up yet; changes are refused, looking is allowed. Holds what to do.
    NoStore(String),
    /// The vault is locked; operator names that may open it.
    Locked(Vec<String>),
    /// Open; the operator's name.
    Open(String),
    /// The store or vault cannot be used; why and what to do.
    Broken {
        /// What is the matter, such as `the store was tampered with`.
        what: String,
        /// What to do.
        hint: String,
    },
}

/// How a login, a proof or the set-up of a second factor goes.
#[derive(Debug, Clone)]
pub enum Login {
    /// The passphrase was right; a code is needed too.
    CodeWanted,
    /// It was wrong, or it is too early to try again; why.
    Wrong(String),
    /// What is to be done destroys something, and the last proof is old.
    ProofWanted {
        /// A code is asked for, not the passphrase.
        code: bool,
    },
    /// What is to be done needs the yes of a second operator.
    SecondWanted {
        /// What, and who allowed it.
        order: Box<Approved>,
        /// Why the yes of who came last does not count; empty at first.
        why: String,
    },
    /// The proof was right, of whoever was asked.
    Proven,
    /// A new second factor: the rows of its picture, then the same as text.
    Second(Shown, Shown),
    /// It is on; the codes for a lost telephone.
    Codes(Shown),
}

/// One piece of news.
#[derive(Debug, Clone)]
pub enum Fact {
    /// What time it is; `offset_s` is the local zone, seconds east of UTC.
    Clock {
        /// Now.
        now: Stamp,
        /// Zone.
        offset_s: i32,
    },
    /// Parts of the World.
    News(Box<News>),
    /// A refresh began (`true`) or ended.
    Refreshing(bool),
    /// The gate.
    Gate(Gate),
    /// Unlocking failed; why.
    UnlockFailed(String),
    /// A login, a proof or a second factor goes on.
    Login(Login),
    /// Lines of a log in order, and how many were lost before them.
    Log {
        /// Which.
        source: LogSource,
        /// When they were read, by the host's clock.
        at: Stamp,
        /// The lines.
        lines: Vec<LogLine>,
        /// Lines dropped before these because nobody could keep up.
        dropped: u64,
    },
    /// How following goes.
    LogState {
        /// Which.
        source: LogSource,
        /// State.
        state: LogState,
    },
    /// The operator's bookmarks of log lines, as they were kept.
    Marks(Vec<super::log_marks::Mark>),
    /// News of a file that is read.
    File {
        /// Which.
        source: LogSource,
        /// They.
        news: super::log_page::FileNews,
    },
    /// News of an archive whose files are looked at.
    Inside {
        /// Which.
        volid: String,
        /// They.
        news: super::inside::News,
    },
    /// A wish became a plan, or was refused.
    Planned(Result<Box<Plan>, Refusal>),
    /// Records of the audit, or why there are none.
    Audit {
        /// The words they were asked with.
        words: String,
        /// Before which entry.
        below: Option<u64>,
        /// They.
        page: Result<Box<super::audit::Page>, String>,
    },
    /// So many settings were saved, or none and why.
    Saved(Result<usize, Refusal>),
    /// What a setting held before, newest first.
    History(Key, Vec<Past>),
    /// What has a port, and who had it.
    Port(Box<super::ports::Asked>),
    /// A job was started.
    Started(JobId),
    /// Something could not be done: what and why, and what to do.
    Problem {
        /// What and why, one sentence.
        what: String,
        /// What to do.
        hint: String,
    },
    /// News of trying a credential.
    Trial {
        /// Number of the try.
        nth: u32,
        /// What is new.
        news: super::trial::Progress,
    },
    /// A short message that all went well.
    Done(String),
    /// A link, a quorum or a terminal is gone and the program ends.
    Ended(String),
}

/// What the operator wishes; becomes a plan or a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Back this guest up.
    Backup(super::backup::BackupWish),
    /// Restore this archive beside its original.
    Restore(super::restore::RestoreWish),
    /// Remove backups that no rule keeps.
    Prune(super::retention::PruneWish),
    /// Protect an archive, or write notes on it.
    Label(super::backup::label::LabelWish),
    /// Change one of Proxmox's backup jobs.
    Schedule(super::schedule::plan::ScheduleWish),
    /// Change the timer of the drills.
    Drills(super::schedule::drills::DrillsWish),
    /// Put a container in the place of another.
    Swap(super::swap::SwapWish),
    /// Read archives to their ends: whether they are whole.
    Verify(super::inside::verify::VerifyWish),
    /// Bring a file or a folder of an archive back.
    Pull(super::inside::pull::PullWish),
    /// Start, stop, shut down, reboot.
    Power(super::power::PowerWish),
    /// Take away what killed jobs left.
    Unlock(super::locks::LockWish),
    /// Build, mend or change the appliance.
    Appliance(super::appliance::provision::ApplianceWish),
    /// Publish something on a pair of ports, take that back, or bring what is published in force.
    Publish(super::publish::PublishWish),
    /// The line still holds after a change of the host's network: keep the change.
    KeepChange,
    /// Move the apps past the appliance, or back behind it.
    Move(super::appliance::fallback::Side),
}

/// News about a single archive that a restore needs: the configuration inside it.
#[derive(Debug, Clone)]
pub struct ArchiveConf {
    /// Which.
    pub archive: Archive,
    /// The configuration text in it.
    pub conf: String,
}

/// Jobs in a list, newest first: what the drawer shows.
pub fn running(jobs: &[Job]) -> impl Iterator<Item = &Job> {
    jobs.iter().filter(|j| !j.state.is_final())
}
