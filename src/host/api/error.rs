//! What goes wrong with the API, told apart by what one does about it.
//!
//! Rules: texts of the server are cleaned and cut before they get in here; the credential never does. Where a change may
//! have been begun the error is an [`ApiError::Unknown`] around its cause, and nobody sends it again.

use super::tls::Distrusted;
use crate::domain::clean::clean;

/// Letters of a server's text that are kept.
const MOST: usize = 400;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The host's name is not known.
    #[error("the name '{host}' is not known here: {why}")]
    NoName {
        /// The name.
        host: String,
        /// The system's words.
        why: String,
    },
    /// No connection came about.
    #[error("no connection to {at}: {why}")]
    NoConnection {
        /// Host and port.
        at: String,
        /// The system's words.
        why: String,
    },
    /// What listens there does not speak TLS.
    #[error("{at} does not speak TLS as it should ({why})")]
    NotTls {
        /// Host and port.
        at: String,
        /// What came instead.
        why: String,
    },
    /// The host did not prove to be the right one.
    #[error(transparent)]
    Distrusted(Box<Distrusted>),
    /// What the host is checked against cannot be used.
    #[error("{what}: {why}")]
    Anchors {
        /// File or authority store.
        what: String,
        /// Why.
        why: String,
    },
    /// No answer in time.
    #[error("no answer to {call} within {limit_s} s")]
    TimedOut {
        /// Method and path.
        call: String,
        /// The limit in seconds.
        limit_s: u64,
    },
    /// The answer ended in its middle, or was none of HTTP.
    #[error("the answer to {call} was cut or garbled: {why}")]
    Cut {
        /// Method and path.
        call: String,
        /// What was the matter.
        why: String,
    },
    /// It points somewhere else. Nothing is sent there.
    #[error("{call} was sent on to {to}, and is never followed")]
    Redirected {
        /// Method and path.
        call: String,
        /// Where to.
        to: String,
    },
    /// The answer is larger than anything we ask for.
    #[error("the answer to {call} is larger than {} MiB", .limit / 1_048_576)]
    TooLarge {
        /// Method and path.
        call: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer is not what this API gives: a page of HTML, something compressed, another form.
    #[error("the answer to {call} is not of the Proxmox API: {why}")]
    Foreign {
        /// Method and path.
        call: String,
        /// What it is.
        why: String,
    },
    /// 401: the credential was not taken.
    #[error("{said} (401)")]
    NotTaken {
        /// The server's words.
        said: String,
    },
    /// The login ran out and could not be renewed.
    #[error("the login has run out: {said}")]
    LoggedOut {
        /// The server's words.
        said: String,
    },
    /// 403: the account may not.
    #[error("{said} (403)")]
    Forbidden {
        /// The server's words.
        said: String,
    },
    /// 595 to 599: the node that was asked could not reach the node, or the daemon, that has to answer.
    #[error("the node that was asked cannot reach the one that must answer: {said} ({status}{})", behind(*status))]
    Behind {
        /// The status.
        status: u16,
        /// The server's words.
        said: String,
    },
    /// Any other refusal.
    #[error("{said} ({status})")]
    Refused {
        /// The status.
        status: u16,
        /// The server's words, with a reason for each field.
        said: String,
    },
    /// A change was sent and its outcome is not known. It is never sent again: look at the task list first.
    #[error("whether {call} was carried out is not known: {why}")]
    Unknown {
        /// Method and path.
        call: String,
        /// What went wrong.
        why: Box<ApiError>,
    },
}

/// AnyEvent::HTTP's own status numbers, which pveproxy passes on.
fn behind(status: u16) -> &'static str {
    match status {
        595 => ", no connection",
        596 => ", TLS or headers failed",
        597 => ", its answer was cut",
        _ => "",
    }
}

impl ApiError {
    /// Whether the host, or a node behind it, was not reached: another time may help, and the credential is not to blame.
    pub fn is_unreachable(&self) -> bool {
        match self {
            ApiError::NoName { .. } | ApiError::NoConnection { .. } | ApiError::TimedOut { .. } => true,
            ApiError::Cut { .. } | ApiError::Behind { .. } => true,
            ApiError::Unknown { why, .. } => why.is_unreachable(),
            _ => false,
        }
    }

    /// The server's own words in it.
    pub(super) fn words_mut(&mut self) -> Option<&mut String> {
        match self {
            ApiError::NotTaken { said } | ApiError::LoggedOut { said } | ApiError::Forbidden { said } => Some(said),
            ApiError::Behind { said, .. } | ApiError::Refused { said, .. } => Some(said),
            ApiError::Redirected { to, .. } => Some(to),
            ApiError::Unknown { why, .. } => why.words_mut(),
            _ => None,
        }
    }
}

/// A text of a server: harmless, one line, of bounded length.
pub(super) fn said(text: &str) -> String {
    let line = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" · ");
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", clean(&line[..at])),
        None => clean(&line),
    }
}
