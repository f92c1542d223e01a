//! What is left of a secret in the memory of the console, one second after it was typed, pasted, cancelled, saved or locked
//! away. Another process, which must be root, reads all of that memory and looks for 32
//! bytes or a part of them.
//!
//! What others keep by themselves is counted apart. hyper leaves the header of a token that was tried in a buffer it frees.
//! crossterm reads up to 1,024 bytes of the terminal at once into a buffer that the next key overwrites from its beginning
//! only, and a paste stands in a second one. Keys that come one by one, as hands press them, leave nothing there: each is
//! pressed when the one before was read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::pty::Term;
use super::server::{Authority, Flaw, Server, json, recorded};
use super::{locked_console, make_store};

/// How long anything is waited for, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

/// 32 bytes that are nowhere else.
const MARK: &str = "kV7qZp2LxW9tRb4NfH8sJc3GyD6mTu5a";
/// What opens the vault: with the mark in it, and without.
const MARKED: &str = "seven violet herons drift north kV7qZp2LxW9tRb4NfH8sJc3GyD6mTu5a";
const PLAIN: &str = "seven violet herons drift north";

#[derive(Clone, Copy)]
enum Do {
    /// Key after key, as hands do it.
    Type(&'static str),
    /// All at once, as a slow line delivers it.
    Burst(&'static str),
    /// A bracketed paste of so many times that text.
    Paste(&'static str, usize),
    /// Keys without a secret.
    Press(&'static str),
    See(&'static str),
    SeeNoMore(&'static str),
    Resize(u16, u16),
}
use Do::{Burst, Paste, Press, Resize, See, SeeNoMore, Type};

struct Scenario {
    name: &'static str,
    /// Whether the console is unlocked before, with a passphrase that has no mark.
    unlocked: bool,
    steps: &'static [Do],
    /// Copies that crossterm may keep.
    not_ours: usize,
}

const fn locked(name: &'static str, steps: &'static [Do], not_ours: usize) -> Scenario {
    Scenario { name, unlocked: false, steps, not_ours }
}
const fn unlocked(name: &'static str, steps: &'static [Do], not_ours: usize) -> Scenario {
    Scenario { name, unlocked: true, steps, not_ours }
}

const ESC: &str = "\x1b";
const ENTER: &str = "\r";
/// So that the mark does not stand at the beginning of some memory, which is the first to be used again.
const MUCH: Do = Paste("something else. ", 100);
/// Nothing stands in the line any more.
const EMPTY: Do = SeeNoMore("•");
/// From the settings to the credential that a secret is changed by, and into its secret.
const EDIT: Do = Press("9jjje");
const EDITING: Do = See("account");
const FIELD: Do = Press("\t\t");
const EDITED: Do = SeeNoMore("account");
/// The same with an address where nobody listens.
const NOWHERE: Do = Press("127.0.0.1:9\troot@pam\t");
const FAILED: Do = See("What to do");
const CLOSED: Do = SeeNoMore("What to do");

const SCENARIOS: [Scenario; 25] = [
    locked("typed, and it opens", &[Type(MARKED), Press(ENTER), SeeNoMore("passphrase")], 0),
    locked("typed, opens, locked again", &[Type(MARKED), Press(ENTER), SeeNoMore("passphrase"), Press("z"), See("passphrase")], 0),
    locked("typed, and cancelled", &[Type(MARK), Press(ESC), EMPTY], 0),
    locked("typed, and taken away with Ctrl-U", &[Type(MARK), Press("\x15"), EMPTY], 0),
    locked("typed, and taken away letter by letter", &[Type(MARK), Press(BACK), EMPTY], 0),
    locked(
        "typed, one letter mended, and it opens",
        &[Type("seven violet herons drift northx"), Press("\x7f"), Type(TAIL), Press(ENTER), SeeNoMore("passphrase")],
        0,
    ),
    locked("typed, and wrong", &[Type(MARK), Press(ENTER), See("opening"), SeeNoMore("opening")], 0),
    locked(
        "wrong first, then right",
        &[Type(MARK), Press(ENTER), See("opening"), SeeNoMore("opening"), Type(MARKED), Press(ENTER), SeeNoMore("passphrase")],
        0,
    ),
    locked("typed while the size changes, and cancelled", &[Type(MARK), Resize(24, 80), Press(ESC), EMPTY], 0),
    locked("typed behind much else, and cancelled", &[MUCH, Type(MARK), Press(ESC), EMPTY], 0),
    locked("too long, refused", &[Paste(MARK, 200), Press(ENTER), See("at most")], 480),
    locked("pasted, and it opens", &[Paste(MARKED, 1), Press(ENTER), SeeNoMore("passphrase")], 2),
    locked("pasted, and cancelled", &[Paste(MARK, 1), Press(ESC), EMPTY], 2),
    locked("in one piece, and cancelled", &[Burst(MARK), Press(ESC), EMPTY], 1),
    unlocked("secret of the settings typed, and left", &[EDIT, EDITING, FIELD, Type(MARK), Press(ESC), EDITED], 0),
    unlocked("secret typed, nothing to try it at, left", &[EDIT, EDITING, FIELD, Type(MARK), Press(ENTER), Press(ESC), EDITED], 0),
    unlocked("secret typed behind much else, and left", &[EDIT, EDITING, FIELD, MUCH, Type(MARK), Press(ESC), EDITED], 0),
    unlocked("secret typed, and taken away", &[EDIT, EDITING, FIELD, Type(MARK), Press("\x15"), Press(ESC), EDITED], 0),
    unlocked("secret typed, and taken away letter by letter", &[EDIT, EDITING, FIELD, Type(MARK), Press(BACK), Press(ESC), EDITED], 0),
    unlocked("secret pasted, and left", &[EDIT, EDITING, FIELD, Paste(MARK, 1), Press(ESC), EDITED], 2),
    unlocked(
        "secret tried in vain, and left",
        &[EDIT, EDITING, NOWHERE, Type(MARK), Press(ENTER), FAILED, Press(ESC), CLOSED, Press(ESC), EDITED],
        0,
    ),
    unlocked(
        "secret tried in vain, another over it, and left",
        &[
            EDIT,
            EDITING,
            NOWHERE,
            Type(MARK),
            Press(ENTER),
            FAILED,
            Press(ESC),
            CLOSED,
            FIELD,
            Type("another one of them"),
            Press(ENTER),
            FAILED,
            Press(ESC),
            CLOSED,
            Press(ESC),
            EDITED,
        ],
        0,
    ),
    unlocked(
        "secret tried in vain, left, locked",
        &[EDIT, EDITING, NOWHERE, Type(MARK), Press(ENTER), FAILED, Press(ESC), CLOSED, Press(ESC), EDITED, Press("z"), See("passphrase")],
        0,
    ),
    unlocked("credential typed, and closed", &[Press("P"), See("account"), Press("\t\t"), Type(MARK), Press(ESC), SeeNoMore("account")], 0),
    unlocked(
        "credential typed, field left, closed",
        &[Press("P"), See("account"), Press("\t\t"), Type(MARK), Press("\t"), Press(ESC), SeeNoMore("account")],
        0,
    ),
];
const TAIL: &str = " kV7qZp2LxW9tRb4NfH8sJc3GyD6mTu5a";
/// Once for every letter of the mark.
const BACK: &str =
    "\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f";

fn by_hand(term: &mut Term, text: &str) {
    for byte in text.as_bytes() {
        term.write(&[*byte]);
        let pressed = Instant::now();
        while !term.is_read() {
            assert!(pressed.elapsed() < PATIENCE, "a key is not read: {}", term.text());
            term.listen(Duration::from_millis(1));
        }
    }
}

fn play(term: &mut Term, step: Do) {
    let seen = match step {
        Type(text) | Press(text) => {
            by_hand(term, text);
            true
        }
        Burst(text) => {
            term.write(text.as_bytes());
            true
        }
        Paste(text, times) => {
            term.write(format!("\x1b[200~{}\x1b[201~", text.repeat(times)).as_bytes());
            term.listen(Duration::from_millis(200));
            true
        }
        See(text) => term.text().contains(text) || term.until(PATIENCE, |screen| screen.contains(text)).is_some(),
        SeeNoMore(text) => !term.text().contains(text) || term.until(PATIENCE, |screen| !screen.contains(text)).is_some(),
        Resize(rows, cols) => {
            term.resize(rows, cols);
            let drawn = term.until(PATIENCE, |screen| screen.contains("passphrase")).is_some();
            // The screen may follow the size before the signal came. A key that comes together with the signal is read by
            // crossterm with the next key only: a letter is pressed and taken away until both are read.
            let pressed = Instant::now();
            loop {
                term.write(b"x\x7f");
                let again = Instant::now() + Duration::from_secs(1);
                while !term.is_read() && Instant::now() < again {
                    term.listen(Duration::from_millis(20));
                }
                if term.is_read() {
                    break drawn;
                }
                assert!(pressed.elapsed() < PATIENCE, "keys are not read: {}", term.text());
            }
        }
    };
    assert!(seen, "not seen: {}", term.text());
}

/// How often a quarter of the mark is in the memory of a process, and which quarter is there most: who frees memory or reuses
/// some of it writes over the beginning or the end of what was there, and the rest would still be a leak.
fn copies(pid: u32) -> usize {
    let mut maps = String::new();
    File::open(format!("/proc/{pid}/maps")).unwrap().read_to_string(&mut maps).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let quarters = [0, 8, 16, 24].map(|at| memchr::memmem::Finder::new(&MARK[at..at + 8]));
    let (mut found, mut read) = ([0; 4], 0);
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|may| may.starts_with("rw"))) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut bytes = vec![0; (to - from) as usize];
        // Reserved and never used, or gone meanwhile.
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            read += bytes.len();
            found.iter_mut().zip(&quarters).for_each(|(found, quarter)| *found += quarter.find_iter(&bytes).count());
        }
    }
    assert!(read > 1 << 20, "hardly anything could be read");
    found.into_iter().max().unwrap()
}

fn console(stores: &Path, home: &Path, marked: bool) -> Term {
    let from = stores.join(if marked { "marked" } else { "plain" }).join("state");
    assert!(Command::new("cp").arg("-a").arg(from).arg(home).status().unwrap().success());
    locked_console(home)
}

fn open(term: &mut Term) {
    [Type(PLAIN), Press(ENTER), SeeNoMore("passphrase")].into_iter().for_each(|step| play(term, step));
}

fn stores() -> Option<tempfile::TempDir> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root may read the memory of a process that guards it");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, passphrase) in [("marked", MARKED), ("plain", PLAIN)] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        make_store(&dir.path().join(name), passphrase);
    }
    Some(dir)
}

/// TRUST T14.
#[test]
fn nothing_is_left_of_a_secret() {
    let Some(stores) = stores() else { return };
    let scenario = |one: &Scenario| {
        let home = tempfile::tempdir().unwrap();
        let mut term = console(stores.path(), home.path(), !one.unlocked);
        if one.unlocked {
            open(&mut term);
        }
        one.steps.iter().for_each(|step| play(&mut term, *step));
        // Soon, before what was freed is used for something else; and when all is quiet.
        [200, 800].map(|wait| (term.listen(Duration::from_millis(wait)), copies(term.pid())).1).into_iter().max().unwrap()
    };
    // Most of the time each waits for itself.
    let found: Vec<usize> = std::thread::scope(|scope| {
        let rows: Vec<_> = SCENARIOS.chunks(5).map(|some| scope.spawn(|| some.iter().map(scenario).collect::<Vec<_>>())).collect();
        rows.into_iter().flat_map(|row| row.join().unwrap()).collect()
    });
    for (one, copies) in SCENARIOS.iter().zip(&found) {
        println!("memory, {}: {copies} copies, {} may be crossterm's", one.name, one.not_ours);
    }
    let clean = found.iter().filter(|copies| **copies == 0).count();
    println!("memory: {} scenarios, {clean} without a copy", SCENARIOS.len());
    let bad: Vec<_> = SCENARIOS.iter().zip(&found).filter(|(one, copies)| **copies > one.not_ours).map(|(one, n)| (one.name, n)).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

/// The scan sees what is there: a secret while it is typed, and a line that hides nothing.
#[test]
fn what_is_there_is_found() {
    let Some(stores) = stores() else { return };
    let home = tempfile::tempdir().unwrap();
    let mut term = console(stores.path(), home.path(), false);
    play(&mut term, Type(MARK));
    let typing = copies(term.pid());
    play(&mut term, Press(ESC));
    open(&mut term);
    [Press("/"), Type(MARK), See(MARK)].into_iter().for_each(|step| play(&mut term, step));
    let shown = copies(term.pid());
    println!("memory: {typing} copies while it is typed, {shown} of a search that is on the screen");
    assert!(typing > 0 && shown > 0);
}

/// A credential that went over TLS to a server, by token and by password.
#[test]
fn what_was_tried_is_gone_too() {
    let Some(stores) = stores() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ours = Authority::new();
    let identity = ours.sign(&["localhost"], Flaw::None);
    let server = runtime.block_on(Server::new(&identity, |seen, _| match seen.line.as_str() {
        "POST /api2/json/access/ticket" => recorded("pve-9.1/http-login-ok", true),
        _ => json("401 No ticket", "{}"),
    }));
    let tried = |account: &str| {
        let home = tempfile::tempdir().unwrap();
        let ca = home.path().join("ca.pem");
        std::fs::write(&ca, &ours.pem).unwrap();
        let mut term = console(stores.path(), home.path(), false);
        open(&mut term);
        let before = server.hits();
        [Press("P"), See("account")].into_iter().for_each(|step| play(&mut term, step));
        for (text, then) in [(format!("localhost:{}", server.port), "\t"), (account.into(), "\t"), (MARK.into(), "\t")] {
            by_hand(&mut term, &text);
            by_hand(&mut term, then);
        }
        by_hand(&mut term, &ca.display().to_string());
        play(&mut term, Press(ENTER));
        play(&mut term, See("Nothing was saved"));
        assert!(server.hits() > before, "{}", term.text());
        [Press(ESC), Press(ESC), Press(ESC), SeeNoMore("account")].into_iter().for_each(|step| play(&mut term, step));
        term.listen(Duration::from_secs(1));
        copies(term.pid())
    };
    let (token, password) = (tried("root@pam!console"), tried("root@pam"));
    println!("memory: {token} copies of a token that was tried, {password} of a password");
    // hyper puts headers together in a buffer of its own, which it frees as it is; bodies it takes as they are, and those are ours.
    assert!(token <= 1 && password == 0);
}
