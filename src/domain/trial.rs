//! A credential being tried: the steps in order, how each went in words, and what came of it all. Pure data, drawn by
//! the command line and the dialog.

use serde::Serialize;

use super::credential::Factor;

/// The steps, each only begun after the one before went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The name resolves and something listens there.
    Address,
    /// It proves that it is the right host. Nothing of the credential is sent before that.
    Certificate,
    /// It takes the credential.
    Login,
    /// Which release it runs, and in which state the nodes are.
    Version,
    /// What the account may do.
    Privileges,
}

impl Step {
    /// All of them in order.
    pub const ALL: [Step; 5] = [Step::Address, Step::Certificate, Step::Login, Step::Version, Step::Privileges];

    /// Its name on the screen.
    pub fn word(self) -> &'static str {
        match self {
            Step::Address => "address",
            Step::Certificate => "certificate",
            Step::Login => "login",
            Step::Version => "version",
            Step::Privileges => "privileges",
        }
    }
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// Well.
    Good,
    /// Well, but there is something to know.
    Warn,
    /// Not; the steps behind it were not taken.
    Bad,
}

/// A step that was taken. All texts are cleaned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// Which.
    pub step: Step,
    /// How it went.
    pub mark: Mark,
    /// What was found, one sentence a line; never empty.
    pub found: Vec<String>,
    /// What to do about it; may be empty.
    pub hint: String,
}

/// What kind of trouble ended a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// The host, or a daemon behind it, was not reached.
    Unreachable,
    /// It did not prove to be the right host; nothing was sent.
    Distrusted,
    /// It did not take the credential, or the account may do nothing.
    NotAllowed,
    /// It answered otherwise than a Proxmox node should.
    Failed,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// The steps that were taken, in order.
    pub steps: Vec<Taken>,
    /// SHA-256 of the certificate the host showed, whether or not it was believed.
    pub fingerprint: Option<String>,
    /// The release, such as `9.1.8`.
    pub version: Option<String>,
    /// Privileges that are missing, or held in some places only.
    pub missing: Vec<String>,
    /// What ended it; `None` where all steps were taken.
    pub trouble: Option<Trouble>,
}

impl Report {
    /// Whether every step was taken and none went badly: such a credential may be kept.
    pub fn passed(&self) -> bool {
        self.steps.len() == Step::ALL.len() && self.worst() != Mark::Bad
    }

    /// The worst mark of all steps.
    pub fn worst(&self) -> Mark {
        self.steps.iter().map(|s| s.mark).max().unwrap_or(Mark::Bad)
    }

    /// The one sentence under the steps.
    pub fn verdict(&self) -> String {
        match (self.passed(), self.worst()) {
            (true, Mark::Good) => "It works, with everything that is needed.".into(),
            (true, _) => "It works; see what is marked.".into(),
            _ => "It does not work. Nothing was saved.".into(),
        }
    }
}

/// News of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A step begins.
    Begun(Step),
    /// A step was taken.
    Taken(Taken),
    /// The server asks for one of these; the try waits for an answer.
    Asks(Vec<Factor>),
    /// It is over.
    Ended(Box<Report>),
    /// It was kept; how many settings are different now.
    Kept(usize),
    /// It was not kept; why.
    NotKept(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_try_without_a_bad_step_passes() {
        let taken = |step, mark| Taken { step, mark, found: vec!["x".into()], hint: String::new() };
        let of =
            |marks: &[Mark]| Report { steps: Step::ALL.into_iter().zip(marks).map(|(s, m)| taken(s, *m)).collect(), ..Report::default() };
        use Mark::{Bad, Good, Warn};
        assert!(of(&[Good, Good, Good, Good, Warn]).passed());
        assert!(!of(&[Good, Good, Good, Good]).passed(), "a step is missing");
        assert!(!of(&[Good, Good, Good, Good, Bad]).passed());
        assert!(!Report::default().passed());
    }
}
