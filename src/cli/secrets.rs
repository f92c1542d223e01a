//! Reads secrets from a file descriptor, standard input or the terminal; never from arguments or the environment.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::problem::{Kind, Problem};
use crate::store::Secret;

/// More than this is no passphrase.
const MOST: usize = 4096;

fn wrong(why: impl Into<String>, hint: &str) -> Problem {
    Problem::new(Kind::Usage, "the passphrase", why, hint)
}

/// The passphrase from descriptor `fd`, or asked for at the terminal.
pub(super) fn passphrase(fd: Option<i32>, ask: &str) -> Result<Secret, Problem> {
    match fd {
        Some(fd) => from_fd(fd),
        None => prompt(ask),
    }
}

/// A new passphrase, good enough and typed twice by a person.
pub(super) fn new_passphrase(fd: Option<i32>, operator: &str) -> Result<Secret, Problem> {
    let first = passphrase(fd, &format!("new passphrase for {operator}"))?;
    crate::store::check_passphrase(&first, operator)?;
    if fd.is_none() {
        same_again(&first)?;
    }
    Ok(first)
}

/// Asks for a new passphrase a second time.
pub(super) fn same_again(first: &Secret) -> Result<(), Problem> {
    if prompt("the same again")?.expose() == first.expose() {
        return Ok(());
    }
    Err(wrong("the two are not the same", "try again"))
}

/// The first line of a descriptor that the caller opened for us.
fn from_fd(fd: i32) -> Result<Secret, Problem> {
    let file =
        File::open(format!("/proc/self/fd/{fd}")).map_err(|e| wrong(format!("descriptor {fd}: {e}"), "open it for us, such as 3<FILE"))?;
    first_line(file)
}

/// The first line of what is there to read.
pub(super) fn first_line(from: impl Read) -> Result<Secret, Problem> {
    let mut bytes = Vec::with_capacity(MOST + 1);
    from.take(MOST as u64 + 1).read_to_end(&mut bytes).map_err(|e| wrong(e.to_string(), ""))?;
    let whole = Secret::new(bytes);
    if whole.len() > MOST {
        return Err(wrong(format!("it is longer than {MOST} bytes"), ""));
    }
    let line = whole.expose().split(|b| *b == b'\n').next().unwrap_or(&[]);
    Ok(Secret::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec()))
}

/// Asks at the terminal, without echo.
fn prompt(ask: &str) -> Result<Secret, Problem> {
    let mut tty = File::options()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(|_| wrong("there is no terminal to ask at", "give it with --passphrase-fd N"))?;
    if !tty.is_terminal() {
        return Err(wrong("there is no terminal to ask at", "give it with --passphrase-fd N"));
    }
    let io = |e: rustix::io::Errno| wrong(e.to_string(), "");
    let before = tcgetattr(&tty).map_err(io)?;
    let mut quiet = before.clone();
    quiet.local_modes -= LocalModes::ECHO;
    let _ = write!(tty, "{ask}: ");
    tcsetattr(&tty, OptionalActions::Flush, &quiet).map_err(io)?;
    let line = read_line(&mut tty);
    let _ = tcsetattr(&tty, OptionalActions::Flush, &before);
    let _ = writeln!(tty);
    line
}

fn read_line(tty: &mut File) -> Result<Secret, Problem> {
    let mut bytes = Vec::with_capacity(MOST);
    let mut one = [0u8];
    while tty.read(&mut one).map_err(|e| wrong(e.to_string(), ""))? == 1 && one[0] != b'\n' && bytes.len() < MOST {
        bytes.push(one[0]);
    }
    Ok(Secret::new(bytes))
}

/// Who is there: the name of the user who logged in, for the record of who allowed what. Not a proof.
pub(crate) fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    let named = std::fs::read_to_string("/etc/passwd").ok().and_then(|text| {
        let field = |l: &str, n: usize| l.split(':').nth(n).map(str::to_owned);
        text.lines().find(|l| field(l, 2).as_deref() == Some(&uid.to_string())).and_then(|l| field(l, 0))
    });
    named.unwrap_or_else(|| format!("uid {uid}"))
}
