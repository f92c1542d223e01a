//! The kinds of writes that are cut off: what each does, in a process of its own (`store-role write`), and what must
//! hold afterwards wherever the cut was. A new kind of write of the store belongs into [`KINDS`].
//!
//! | | must hold after every cut |
//! |---|---|
//! | I1 | the store opens, to write, and SQLite finds nothing broken |
//! | I2 | every write that was acknowledged is there |
//! | I3 | nothing is half there: what was written together carries the same number |
//! | I4 | the vault opens, and so does every sealed value; every tag fits its row; the anchor is not ahead |
//! | I5 | no file of an unfinished write survives the next start |
//! | I6 | the audit log is a chain up to its head, every seal fits, and what is entered with a change came with it |

use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use proximity::domain::audit::{Deed, Ending, Phase, Wanted};
use proximity::domain::cmd::Cmd;
use proximity::domain::job::{JobId, Life, State};
use proximity::domain::plan::{Act, Approved, Check, Plan, Purpose, Risk, Step, Watch};
use proximity::domain::stamp::Stamp;
use proximity::host::local::LocalHost;
use proximity::ops::audit::{Recorder, deed_of};
use proximity::store::{
    Cost, NewOperator, Store, StoreError, StoreMode, Vault, VaultError, Way, Why, audit, host_key_path, snapshots, take_snapshot,
};
use rusqlite::{Connection, Transaction};

use super::image::{Image, scratch};
use super::support::{OPERATOR, PASSPHRASE, ROOMY, id, make_vault, secret, try_vault};

#[path = "kinds_guess.rs"]
mod guess;
#[path = "kinds_ports.rs"]
mod ports;
#[path = "kinds_settings.rs"]
mod settings;

/// A kind of write.
pub struct Kind {
    pub name: &'static str,
    /// What is there before it.
    pub before: fn() -> Before,
    /// Writes so many times, and says each acknowledged write with [`promise`]. The text is the recovery words.
    #[allow(dead_code, reason = "the tests leave it to store-role")]
    pub write: fn(&Path, &str, usize) -> Result<(), String>,
    /// Looks at what is left.
    pub after: fn(&Cut<'_>) -> Result<(), Bad>,
}

/// What is there before a write.
#[derive(Clone)]
pub struct Before {
    pub image: Image,
    /// Recovery words of the vault, empty where there is none yet.
    pub words: String,
}

/// A directory after a write was cut off.
pub struct Cut<'a> {
    pub dir: &'a Path,
    /// Recovery words, where anybody ever saw them.
    pub words: &'a str,
    /// Writes that were acknowledged.
    pub promises: usize,
}

/// Which promise was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bad {
    /// It does not open, or something in it does not.
    Unreadable(String),
    /// Half of a write is there.
    Torn(String),
    /// An acknowledged write is not there.
    Lost(String),
}

pub const KINDS: [Kind; 14] = [
    Kind { name: "seal a secret", before: a_vault, write: seal, after: sealed },
    Kind { name: "two rows and a secret", before: a_vault, write: pair, after: paired },
    Kind { name: "more than fits in memory", before: a_fuller_vault, write: spill, after: spilled },
    Kind { name: "job rows", before: a_vault, write: job, after: jobs_in_order },
    Kind { name: "create a store", before: nothing, write: create_store, after: created },
    Kind { name: "create a vault", before: a_store, write: create_vault, after: vault_created },
    Kind { name: "change a passphrase", before: a_vault, write: passphrase, after: passphrase_changed },
    Kind { name: "change the vault key", before: many_records, write: rotate, after: rotated },
    Kind { name: "save settings", before: settings::saved_once, write: settings::save_both, after: settings::both_saved },
    Kind { name: "revert settings", before: settings::saved_twice, write: settings::revert_both, after: settings::both_reverted },
    Kind { name: "reserve and release ports", before: a_vault_with_a_log, write: ports::take_and_give, after: ports::one_to_one },
    Kind { name: "a change with its entry", before: a_vault_with_a_log, write: entered, after: entered_with_it },
    Kind { name: "take a snapshot", before: a_vault, write: snapshot, after: snapshots_taken },
    Kind { name: "count a try", before: a_vault, write: guess::guess, after: guess::counted },
];

/// What no release does: the same as `two rows and a secret` on a connection with `synchronous = NORMAL`. The
/// simulation of power losses must find this.
pub const CARELESS: Kind = Kind { name: "careless", before: a_vault, write: careless, after: paired };

/// Opens a store of an older layout.
pub const UPGRADE: Kind = Kind { name: "upgrade", before: nothing, write: upgrade, after: upgraded };

pub fn by_name(name: &str) -> &Kind {
    static OTHERS: [Kind; 2] = [CARELESS, UPGRADE];
    static ALL: [Kind; KINDS.len()] = KINDS;
    ALL.iter().chain(&OTHERS).find(|kind| kind.name == name).unwrap()
}

/// Writes this process acknowledged.
static PROMISES: AtomicU8 = AtomicU8::new(0);

/// Says that a write is on disk.
fn promise() {
    PROMISES.fetch_add(1, Ordering::Relaxed);
    say("done");
}

/// The exit status of a process that refused, and the number of its promises on top: where every write(2) fails nobody hears
/// them. A panic has 101.
pub const REFUSED: u8 = 150;

/// Tells how many writes were acknowledged before the refusal, and ends the process.
#[allow(dead_code, reason = "the tests leave it to store-role")]
pub fn refuse(why: &str) -> ! {
    say(&format!("refused: {why}"));
    std::process::exit((REFUSED + PROMISES.load(Ordering::Relaxed)).into())
}

/// Not `println!`: when writing fails for ever, this does too, and it is no reason to panic.
pub fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

// ---- what is there before

fn nothing() -> Before {
    Before { image: Image::default(), words: String::new() }
}

fn a_store() -> Before {
    let (_outer, dir) = scratch();
    drop(Store::create(&dir).unwrap());
    Before { image: Image::of(&dir), words: String::new() }
}

/// A vault with the values number 0 of every kind. Made once: it takes a second.
pub fn a_vault() -> Before {
    static ONCE: OnceLock<Before> = OnceLock::new();
    ONCE.get_or_init(|| {
        let (_outer, dir) = scratch();
        let store = Store::create(&dir).unwrap();
        let (vault, words) = make_vault(&store, &dir);
        seal_number(&vault, &store, 0).unwrap();
        vault.change(&store, |tx| pair_number(&vault, tx, 0)).unwrap();
        drop(store);
        Before { image: Image::of(&dir), words: words.expose().join(" ") }
    })
    .clone()
}

fn a_fuller_vault() -> Before {
    let (_outer, dir) = scratch();
    let before = a_vault();
    before.image.lay(&dir);
    let (store, vault) = unlocked(&dir, &before.words).unwrap();
    vault.change(&store, |tx| spill_number(&vault, tx, 0)).unwrap();
    drop(store);
    Before { image: Image::of(&dir), ..before }
}

/// The vault has the first key of the log, so that every seal is looked at.
fn a_vault_with_a_log() -> Before {
    let (_outer, dir) = scratch();
    let before = a_vault();
    before.image.lay(&dir);
    let (store, vault) = unlocked(&dir, &before.words).unwrap();
    audit::keep(&vault, &store).unwrap();
    drop(store);
    Before { image: Image::of(&dir), ..before }
}

/// What a change of the vault key takes in hand.
fn many_records() -> Before {
    let (_outer, dir) = scratch();
    let before = a_vault();
    before.image.lay(&dir);
    let (store, vault) = unlocked(&dir, &before.words).unwrap();
    let records = if std::env::var_os("PROXIMITY_FULL").is_some() { 200 } else { 6 };
    vault.change(&store, |tx| (0..records).try_for_each(|row| vault.seal_in(tx, "many", "row", &id(row), &numbered(0, 100)))).unwrap();
    drop(store);
    Before { image: Image::of(&dir), ..before }
}

// ---- the writes

fn unlocked(dir: &Path, words: &str) -> Result<(Store, Vault), String> {
    let store = Store::open(dir).map_err(text)?;
    let vault = Vault::unlock_with_words(&store, &secret(words)).map_err(text)?;
    Ok((store, vault))
}

fn numbered(number: usize, length: usize) -> proximity::store::Secret {
    secret(&format!("{number:08}{}", "x".repeat(length)))
}

fn seal_number(vault: &Vault, store: &Store, number: usize) -> Result<(), VaultError> {
    vault.seal(store, "host", "password", &id(1), &numbered(number, 1500))
}

fn pair_number(vault: &Vault, tx: &Transaction<'_>, number: usize) -> Result<(), VaultError> {
    vault.seal_in(tx, "pair", "left", &id(1), &numbered(number, 3000))?;
    vault.seal_in(tx, "pair", "right", &id(1), &numbered(number, 10))?;
    let changed: i64 =
        tx.query_row("UPDATE operator SET created_ms = ?1 RETURNING rowid", [number as i64], |row| row.get(0)).map_err(StoreError::from)?;
    vault.sign_row(tx, "operator", changed)
}

/// More pages than the cache is allowed, so that some reach the file before the commit.
fn spill_number(vault: &Vault, tx: &Transaction<'_>, number: usize) -> Result<(), VaultError> {
    for row in 0..8 {
        vault.seal_in(tx, "spill", "row", &id(row), &numbered(number, 3500))?;
    }
    pair_number(vault, tx, number)
}

fn seal(dir: &Path, words: &str, rounds: usize) -> Result<(), String> {
    let (store, vault) = unlocked(dir, words)?;
    for number in 1..=rounds {
        seal_number(&vault, &store, number).map_err(text)?;
        promise();
    }
    Ok(())
}

fn pair(dir: &Path, words: &str, rounds: usize) -> Result<(), String> {
    let (store, vault) = unlocked(dir, words)?;
    for number in 1..=rounds {
        vault.change(&store, |tx| pair_number(&vault, tx, number)).map_err(text)?;
        promise();
    }
    Ok(())
}

fn spill(dir: &Path, words: &str, rounds: usize) -> Result<(), String> {
    let (store, vault) = unlocked(dir, words)?;
    store.read(|conn| conn.pragma_update(None, "cache_size", 4)).map_err(text)?;
    for number in 1..=rounds {
        vault.change(&store, |tx| spill_number(&vault, tx, number)).map_err(text)?;
        promise();
    }
    Ok(())
}

fn careless(dir: &Path, words: &str, rounds: usize) -> Result<(), String> {
    let (store, vault) = unlocked(dir, words)?;
    store.read(|conn| conn.pragma_update(None, "synchronous", "NORMAL")).map_err(text)?;
    for number in 1..=rounds {
        vault.change(&store, |tx| pair_number(&vault, tx, number)).map_err(text)?;
        promise();
    }
    Ok(())
}

/// What the job rows hold.
pub fn order() -> Approved {
    let guest = "101".parse().unwrap();
    let cmd = Cmd::new("pct", ["start", "101"]);
    let step = Step {
        title: "start 101".into(),
        act: Act::Run { cmd, watch: Watch::Exit },
        check: Check::Running { vmid: guest },
        undo: None,
        always: false,
    };
    let plan = Plan {
        purpose: Purpose::Power,
        title: "start 101 web".into(),
        guest,
        host: "pve1".into(),
        facts: Vec::new(),
        notes: vec!["x".repeat(700)],
        risk: Risk::Low,
        steps: vec![step],
    };
    Approved::new(plan, OPERATOR, None).unwrap()
}

/// Writes a job down; the one place that knows what else belongs to it.
pub fn add_job(store: &Store, created: Stamp) -> Result<JobId, StoreError> {
    let audit = Recorder::new("test", &LocalHost::new()).with_journal(None);
    store.add_job(&order(), created, audit.entry(created, Phase::Intent, deed_of(&order())))
}

/// Three promises each: written down, begun, ended.
fn job(dir: &Path, _: &str, rounds: usize) -> Result<(), String> {
    let store = Store::open(dir).map_err(text)?;
    for number in 1..=rounds as i64 {
        let job = add_job(&store, Stamp(number)).map_err(text)?;
        promise();
        let life = Life { started: Some(Stamp(number)), unit: Some(format!("proximity-job-{job}.service")), ..Life::default() };
        assert!(store.claim_job(job, &life).map_err(text)?);
        promise();
        let life = Life { ended: Some(Stamp(number + 1)), ..life };
        assert!(store.move_job(job, State::Running, State::Succeeded, &life).map_err(text)?);
        promise();
    }
    Ok(())
}

fn create_store(dir: &Path, _: &str, _: usize) -> Result<(), String> {
    Store::create(dir).map_err(text)?;
    promise();
    Ok(())
}

fn create_vault(dir: &Path, _: &str, _: usize) -> Result<(), String> {
    let store = Store::open(dir).map_err(text)?;
    let (_, words) = try_vault(&store, dir).map_err(text)?;
    say(&format!("words {}", words.expose().join(" ")));
    promise();
    Ok(())
}

fn passphrase(dir: &Path, words: &str, _: usize) -> Result<(), String> {
    let (store, vault) = unlocked(dir, words)?;
    let new = NewOperator {
        host_key: &host_key_path(dir),
        operator: OPERATOR,
        passphrase: &secret("marble thunder ribbon cobalt fern"),
        cost: Cost::FLOOR,
        memory_available: ROOMY,
        now_ms: 2,
    };
    vault.set_passphrase(&store, &new).map_err(text)?;
    promise();
    Ok(())
}

fn rotate(dir: &Path, words: &str, rounds: usize) -> Result<(), String> {
    let (store, mut vault) = unlocked(dir, words)?;
    for _ in 0..rounds {
        vault.rotate(&store).map_err(text)?;
        promise();
    }
    Ok(())
}

/// What [`entered`] calls its entries.
const ENTERED: &str = "test.pair";

fn entered(dir: &Path, words: &str, rounds: usize) -> Result<(), String> {
    let (store, vault) = unlocked(dir, words)?;
    let recorder = Recorder::new("test", &LocalHost::new()).with_journal(None);
    for number in 1..=rounds {
        let deed = Deed::new(OPERATOR, ENTERED, number.to_string(), "a pair");
        let both = |tx: &Transaction<'_>| {
            recorder.event_in(tx, Stamp(1_795_000_000_000 + number as i64), deed, Ending::Ok)?;
            pair_number(&vault, tx, number)
        };
        vault.change(&store, both).map_err(text)?;
        promise();
    }
    Ok(())
}

/// An hour apart, so that each is kept.
fn snapshot(dir: &Path, words: &str, rounds: usize) -> Result<(), String> {
    let (store, vault) = unlocked(dir, words)?;
    for number in 1..=rounds {
        vault.change(&store, |tx| pair_number(&vault, tx, number)).map_err(text)?;
        take_snapshot(&store, &vault, number as i64 * 3_600_000, Why::Asked).map_err(text)?;
        promise();
    }
    Ok(())
}

fn upgrade(dir: &Path, _: &str, _: usize) -> Result<(), String> {
    let store = Store::open(dir).map_err(text)?;
    if store.mode() != &StoreMode::ReadWrite {
        return Err(format!("{:?}", store.mode()));
    }
    promise();
    Ok(())
}

// ---- what must hold afterwards

fn unreadable(error: impl std::fmt::Debug) -> Bad {
    Bad::Unreadable(format!("{error:?}"))
}

fn opened(dir: &Path) -> Result<Store, Bad> {
    let store = Store::open(dir).map_err(unreadable)?;
    store.check().map_err(unreadable)?;
    if store.mode() != &StoreMode::ReadWrite {
        return Err(unreadable(store.mode()));
    }
    Ok(store)
}

/// I1, I4 and I5 for a directory with a store and a vault in it.
pub fn whole(cut: &Cut<'_>) -> Result<(Store, Vault), Bad> {
    let store = opened(cut.dir)?;
    Vault::check_slots(&store).map_err(unreadable)?;
    let vault = Vault::enter_unchecked(&store, &Way::Words(&secret(cut.words))).map_err(unreadable)?;
    vault.check(&store).map_err(|error| match error {
        VaultError::OlderThanAnchor { .. } => Bad::Lost(error.to_string()),
        other => unreadable(other),
    })?;
    vault.verify_all(&store).and_then(|found| found.into_result()).map_err(unreadable)?;
    let log = store.audit_verify(Some(&vault), &[]).map_err(unreadable)?;
    if !log.is_whole() {
        return Err(unreadable(log));
    }
    no_leftovers(cut.dir)?;
    Ok((store, vault))
}

fn no_leftovers(dir: &Path) -> Result<(), Bad> {
    match Image::of(dir).0.keys().find(|name| name.to_string_lossy().contains(".new")) {
        Some(name) => Err(Bad::Torn(format!("{} is left", name.display()))),
        None => Ok(()),
    }
}

fn number_of(vault: &Vault, store: &Store, table: &str, column: &str, row: u8) -> Result<usize, Bad> {
    let value = vault.open(store, table, column, &id(row)).map_err(unreadable)?;
    value.expose_text().and_then(|text| text.get(..8)?.parse().ok()).ok_or_else(|| Bad::Unreadable("not a number".into()))
}

/// I2: the acknowledged write, or the one that was under way.
fn not_lost(found: usize, promises: usize) -> Result<(), Bad> {
    if found < promises {
        return Err(Bad::Lost(format!("write {promises} was acknowledged, {found} is there")));
    }
    if found > promises + 1 { Err(Bad::Torn(format!("write {found} after {promises}"))) } else { Ok(()) }
}

fn sealed(cut: &Cut<'_>) -> Result<(), Bad> {
    let (store, vault) = whole(cut)?;
    not_lost(number_of(&vault, &store, "host", "password", 1)?, cut.promises)
}

fn paired(cut: &Cut<'_>) -> Result<(), Bad> {
    paired_in(cut).map(drop)
}

fn paired_in(cut: &Cut<'_>) -> Result<(Store, Vault), Bad> {
    let (store, vault) = whole(cut)?;
    let left = number_of(&vault, &store, "pair", "left", 1)?;
    let right = number_of(&vault, &store, "pair", "right", 1)?;
    let open: i64 = store.read(|conn| conn.query_row("SELECT created_ms FROM operator", [], |row| row.get(0))).map_err(unreadable)?;
    if left != right || open != left as i64 {
        return Err(Bad::Torn(format!("left {left}, right {right}, in the open {open}")));
    }
    not_lost(left, cut.promises)?;
    Ok((store, vault))
}

fn spilled(cut: &Cut<'_>) -> Result<(), Bad> {
    let (store, vault) = paired_in(cut)?;
    let all: Vec<usize> = (0..8).map(|row| number_of(&vault, &store, "spill", "row", row)).collect::<Result<_, _>>()?;
    let left = number_of(&vault, &store, "pair", "left", 1)?;
    if all.iter().any(|number| *number != left) { Err(Bad::Torn(format!("spilled {all:?} beside {left}"))) } else { Ok(()) }
}

fn jobs_in_order(cut: &Cut<'_>) -> Result<(), Bad> {
    let (store, _) = whole(cut)?;
    let (jobs, bad) = store.jobs(1000).map_err(unreadable)?;
    if !bad.is_empty() {
        return Err(unreadable(bad));
    }
    let mut found = 0;
    for (at, job) in jobs.iter().rev().enumerate() {
        let (number, last) = (at as i64 + 1, at + 1 == jobs.len());
        let (steps, started, ended) = match job.state {
            State::Queued => (1, None, None),
            State::Running => (2, Some(Stamp(number)), None),
            _ => (3, Some(Stamp(number)), Some(Stamp(number + 1))),
        };
        let right = job.id == number && job.created == Stamp(number) && job.order == order();
        if !right || (job.life.started, job.life.ended) != (started, ended) || (steps < 3 && !last) {
            return Err(Bad::Torn(format!("{job:?}")));
        }
        found += steps;
    }
    not_lost(found, cut.promises)
}

fn created(cut: &Cut<'_>) -> Result<(), Bad> {
    let store = match opened(cut.dir) {
        Err(_) if cut.promises == 0 && !cut.dir.join("proximity.db").exists() => Store::create(cut.dir).map_err(unreadable)?,
        other => other?,
    };
    if Vault::exists(&store).map_err(unreadable)? {
        return Err(Bad::Torn("a vault nobody made".into()));
    }
    no_leftovers(cut.dir)
}

/// Without the words (the maker was ended before it could say them) the passphrase must open the vault.
fn vault_created(cut: &Cut<'_>) -> Result<(), Bad> {
    let store = opened(cut.dir)?;
    let key = std::fs::read(cut.dir.join("host.key")).ok();
    if key.as_ref().is_some_and(|key| key.len() != 32) {
        return Err(Bad::Torn("half a host key".into()));
    }
    if !Vault::exists(&store).map_err(unreadable)? {
        // As an empty store it must be in order; that a vault can be made then is shown once.
        static AGAIN: OnceLock<Result<(), Bad>> = OnceLock::new();
        if cut.promises == 0 && key.is_some() {
            AGAIN.get_or_init(|| try_vault(&store, cut.dir).map_err(unreadable).and_then(|_| no_leftovers(cut.dir))).clone()?;
        }
        return not_lost(0, cut.promises);
    }
    if key.is_none() {
        return Err(Bad::Lost("a vault without its host key".into()));
    }
    if cut.words.is_empty() {
        let opened = Vault::unlock(&store, &host_key_path(cut.dir), OPERATOR, &secret(PASSPHRASE), ROOMY);
        let found = opened.map_err(unreadable)?.verify_all(&store).map_err(unreadable)?;
        return if found.bad_slots.is_empty() { no_leftovers(cut.dir) } else { Err(unreadable(found)) };
    }
    whole(cut).map(drop)
}

/// Every slot is as it was signed, so it is the old one or the new one.
fn passphrase_changed(cut: &Cut<'_>) -> Result<(), Bad> {
    static OLD: OnceLock<Vec<u8>> = OnceLock::new();
    let header = |store: &Store| {
        let sql = "SELECT header FROM slot WHERE kind = 'operator'";
        store.read(|conn| conn.query_row(sql, [], |row| row.get::<_, Vec<u8>>(0))).map_err(unreadable)
    };
    let old = OLD.get_or_init(|| {
        let (_outer, dir) = scratch();
        a_vault().image.lay(&dir);
        header(&Store::open(&dir).unwrap()).unwrap()
    });
    let (store, vault) = whole(cut)?;
    let operators = store.read(|conn| Ok(vault.operators(conn))).map_err(unreadable)?.map_err(unreadable)?;
    if operators.len() != 1 {
        return Err(Bad::Torn(format!("{} operators", operators.len())));
    }
    not_lost(usize::from(header(&store)? != *old), cut.promises)
}

fn rotated(cut: &Cut<'_>) -> Result<(), Bad> {
    let (store, vault) = whole(cut)?;
    number_of(&vault, &store, "many", "row", 5)?;
    let sql = "SELECT min(epoch), max(epoch), (SELECT epoch FROM vault_meta) FROM sealed";
    let epochs: [i64; 3] =
        store.read(|conn| conn.query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))).map_err(unreadable)?;
    if epochs.iter().any(|epoch| *epoch != epochs[0]) {
        return Err(Bad::Torn(format!("epochs {epochs:?}")));
    }
    not_lost(epochs[0] as usize - 1, cut.promises)
}

fn entered_with_it(cut: &Cut<'_>) -> Result<(), Bad> {
    let (store, vault) = paired_in(cut)?;
    let left = number_of(&vault, &store, "pair", "left", 1)?;
    let wanted = Wanted { action: Some(ENTERED.into()), ..Wanted::default() };
    let page = store.audit_page(&wanted, None, 1000).map_err(unreadable)?;
    let entries: Vec<&str> = page.records.iter().rev().map(|record| record.entry.deed.object.as_str()).collect();
    let due: Vec<String> = (1..=left).map(|number| number.to_string()).collect();
    if entries != due { Err(Bad::Torn(format!("{left} changes, entries {entries:?}"))) } else { Ok(()) }
}

/// The store is what it was, and each file that is called a snapshot opens and holds what the store held then.
fn snapshots_taken(cut: &Cut<'_>) -> Result<(), Bad> {
    let (store, vault) = whole(cut)?;
    let number = number_of(&vault, &store, "pair", "left", 1)?;
    let mut all = snapshots(cut.dir).map_err(unreadable)?;
    all.reverse();
    let (_outer, dir) = scratch();
    for (at, one) in all.iter().enumerate() {
        Image([("proximity.db".into(), std::fs::read(&one.path).map_err(unreadable)?)].into()).lay(&dir);
        let (copy, vault) = whole(&Cut { dir: &dir, ..*cut })?;
        let held = number_of(&vault, &copy, "pair", "left", 1)?;
        if held != at + 1 || one.taken_ms != held as i64 * 3_600_000 {
            return Err(Bad::Torn(format!("snapshot {} of {} holds {held}", at + 1, one.taken_ms)));
        }
    }
    if number != all.len() && number != all.len() + 1 {
        return Err(Bad::Torn(format!("{} snapshots of a store with {number}", all.len())));
    }
    not_lost(all.len(), cut.promises)
}

/// What was in the old layout is there, and so is a copy of it.
fn upgraded(cut: &Cut<'_>) -> Result<(), Bad> {
    let store = if cut.words.is_empty() {
        let store = opened(cut.dir)?;
        no_leftovers(cut.dir)?;
        store
    } else {
        let (store, vault) = whole(cut)?;
        number_of(&vault, &store, "host", "password", 1)?;
        store
    };
    let (jobs, bad) = store.jobs(10).map_err(unreadable)?;
    if !bad.is_empty() || jobs.len() != 1 || jobs[0].order != order() {
        return Err(Bad::Lost(format!("{jobs:?} {bad:?}")));
    }
    let image = Image::of(cut.dir);
    let mut kept = image.0.keys().filter(|name| name.to_string_lossy().contains(".before-v")).peekable();
    if kept.peek().is_none() {
        return Err(Bad::Lost("no copy of the old layout".into()));
    }
    for name in kept {
        let copy = Connection::open(cut.dir.join(name)).map_err(unreadable)?;
        let fine: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(unreadable)?;
        let rows: i64 = copy.query_row("SELECT count(*) FROM job", [], |row| row.get(0)).map_err(unreadable)?;
        if fine != "ok" || rows != 1 {
            return Err(Bad::Torn(format!("{}: {fine}, {rows} jobs", name.display())));
        }
    }
    Ok(())
}
