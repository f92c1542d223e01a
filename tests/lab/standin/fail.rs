//! How a call ends badly: text on stderr plus exit code, and printing that survives a reader that went away.

use std::io::Write;

/// A failed call: what stands on stderr and the exit code.
pub struct Fail {
    pub rc: i32,
    pub text: String,
}

pub type Outcome<T = ()> = Result<T, Fail>;

impl Fail {
    pub fn report_and_exit(&self) -> ! {
        if !self.text.is_empty() {
            warn(&self.text);
        }
        std::process::exit(self.rc);
    }
}

/// Perl's `die` without a leaked errno: exit code 255.
pub fn die<T>(text: impl Into<String>) -> Outcome<T> {
    die_rc(255, text)
}

pub fn die_rc<T>(rc: i32, text: impl Into<String>) -> Outcome<T> {
    Err(Fail { rc, text: text.into() })
}

/// Prints one line (or several) on stdout. A reader that is gone ends the call like SIGPIPE would, unless the
/// caller asked for an orderly end (see `signals`).
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let mut line = text.as_bytes().to_vec();
    line.push(b'\n');
    if out.write_all(&line).and_then(|()| out.flush()).is_err() && !crate::signals::note_broken_pipe() {
        std::process::exit(141);
    }
}

/// Prints on stderr; nobody listening is no reason to fail.
pub fn warn(text: &str) {
    let mut line = text.as_bytes().to_vec();
    line.push(b'\n');
    let _ = std::io::stderr().lock().write_all(&line);
}

/// Turns an operating system error into a failed call.
pub trait OrDie<T> {
    fn or_die(self, what: impl AsRef<str>) -> Outcome<T>;
}

impl<T, E: std::fmt::Display> OrDie<T> for Result<T, E> {
    fn or_die(self, what: impl AsRef<str>) -> Outcome<T> {
        self.or_else(|e| die(format!("{} - {e}", what.as_ref())))
    }
}
