//! `vault`: whether everything opens, another vault key, other words, snapshots, an export for another host.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::init::{self, memory_available};
use super::{Ctx, Done, Form, output, secrets};
use crate::domain::audit::Deed;
use crate::domain::stamp::{Stamp, bytes};
use crate::host::Host;
use crate::host::local::LocalHost;
use crate::ops::audit::End;
use crate::problem::{Kind, Problem, WARNED};
use crate::store::{
    self, Contents, Cost, NewOperator, RecoveryWords, Secret, Snapshot, Store, Vault as OpenVault, VaultError, Way, Why, host_key_path,
    host_slot_path,
};

/// `vault`.
#[derive(Subcommand)]
pub(super) enum Vault {
    /// Open the vault and every record in it
    Status(Open),
    /// Go on with a store that is older than its anchor, after you put a backup back
    Accept(Open),
    /// Change the vault key: everything is sealed anew
    Rotate(Open),
    /// Change your passphrase
    Passphrase {
        #[command(flatten)]
        open: Open,
        /// Descriptor to read the new passphrase from
        #[arg(long, value_name = "N")]
        new_passphrase_fd: Option<i32>,
    },
    /// Make new recovery words; the old ones end
    Recovery(Open),
    /// Take a snapshot, or list them
    Snapshot {
        #[command(flatten)]
        open: Open,
        /// List them and take none
        #[arg(long)]
        list: bool,
    },
    /// Put the newest whole snapshot in the place of the store
    Restore(Open),
    /// Write everything sealed to a file for another host
    Export {
        #[command(flatten)]
        open: Open,
        #[command(flatten)]
        file: Portable,
        /// Also the secrets of second factors
        #[arg(long)]
        with_second_factors: bool,
    },
    /// Take the values of an export into this vault
    Import {
        #[command(flatten)]
        open: Open,
        #[command(flatten)]
        file: Portable,
        /// Replace values that are there and differ
        #[arg(long)]
        replace: bool,
    },
    /// Let the host open the vault for work nobody is there for, or no more
    HostSlot {
        /// On or off
        switch: Switch,
        #[command(flatten)]
        open: Open,
    },
}

/// How the vault is opened.
#[derive(Args)]
pub(super) struct Open {
    /// Who opens it; the only operator if there is one
    #[arg(long)]
    operator: Option<String>,
    /// Descriptor to read the passphrase (or the words) from
    #[arg(long, value_name = "N")]
    passphrase_fd: Option<i32>,
    /// Open with the recovery words
    #[arg(long)]
    words: bool,
}

/// The file of an export.
#[derive(Args)]
pub(super) struct Portable {
    /// The file
    path: PathBuf,
    /// Descriptor to read the passphrase of the file from
    #[arg(long, value_name = "N")]
    file_passphrase_fd: Option<i32>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    On,
    Off,
}

impl Open {
    /// Whether something was said about how to open it.
    pub(super) fn is_given(&self) -> bool {
        self.operator.is_some() || self.passphrase_fd.is_some() || self.words
    }
}

/// Who opens the vault with the recovery words.
pub(super) const WORDS: &str = "the recovery words";

/// A passphrase or words as typed, and whose.
struct Proof {
    operator: String,
    typed: Secret,
    words: bool,
}

pub(super) fn run(ctx: &Ctx, command: &Vault) -> Done {
    if ctx.host.is_demo() {
        return Err(Problem::new(Kind::Usage, "vault", "the demo keeps no vault", "leave --host demo out"));
    }
    if ctx.read_only && !matches!(command, Vault::Status(_) | Vault::Export { .. } | Vault::Snapshot { list: true, .. }) {
        return Err(Problem::new(Kind::ReadOnly, "vault", "--read-only refuses everything that changes something", ""));
    }
    match command {
        Vault::Status(open) => status(ctx, open),
        Vault::Accept(open) => accept(ctx, open),
        Vault::Rotate(open) => rotate(ctx, open),
        Vault::Passphrase { open, new_passphrase_fd } => passphrase(ctx, open, *new_passphrase_fd),
        Vault::Recovery(open) => recovery(ctx, open),
        Vault::Snapshot { list: true, .. } => list(ctx),
        Vault::Snapshot { open, .. } => snapshot(ctx, open),
        Vault::Restore(open) => restore(ctx, open),
        Vault::Export { open, file, with_second_factors } => export(ctx, open, file, *with_second_factors),
        Vault::Import { open, file, replace } => import(ctx, open, file, *replace),
        Vault::HostSlot { switch, open } => host_slot(ctx, *switch, open),
    }
}

fn status(ctx: &Ctx, open: &Open) -> Done {
    let store = Store::open(&ctx.config.state)?;
    OpenVault::check_slots(&store)?;
    let proof = ask(&store, open)?;
    let vault = unchecked(ctx, &store, &proof)?;
    let audit = init::keep_audit(&store, &vault);
    let found = vault.verify_all(&store)?;
    let records = found.failed.iter().map(|(name, e)| format!("{}.{}: {e}", name.table, name.column));
    let bad: Vec<String> = found.bad_slots.iter().chain(&found.bad_rows).map(ToString::to_string).chain(records).collect();
    let checked = vault.check(&store);
    let mut notes: Vec<String> = vault.anchor_note(&store)?.into_iter().collect();
    notes.extend(store::guard_memory());
    if OpenVault::has_host_slot(&store)? {
        notes.push("the host slot is on: whoever has this disk has the vault".to_owned());
    }
    if ctx.form == Form::Json {
        let sound = checked.is_ok();
        output::object(
            &json!({"operator": proof.operator, "opened": true, "records": found.opened, "bad": bad, "sound": sound, "notes": notes}),
        );
    } else {
        output::say(&format!("opened by {}; {} record(s) open", proof.operator, found.opened));
        notes.iter().for_each(|note| output::say(&format!("note: {note}")));
    }
    checked?;
    match bad.first() {
        None => audit.map(|()| 0),
        Some(first) => Err(Problem::new(
            Kind::Failed,
            "the vault",
            format!("{} of its records do not open; {first}", bad.len()),
            "nothing was used; a snapshot may hold them whole: proximity vault restore",
        )),
    }
}

fn accept(ctx: &Ctx, open: &Open) -> Done {
    let store = Store::open(&ctx.config.state)?;
    let proof = ask(&store, open)?;
    let vault = unchecked(ctx, &store, &proof)?;
    let why = match vault.check(&store) {
        Ok(()) => return done(ctx, "nothing to accept: the store is the newest one", json!({"accepted": false})),
        Err(e @ (VaultError::OlderThanAnchor { .. } | VaultError::Tampered { .. })) => e.to_string(),
        Err(other) => return Err(other.into()),
    };
    confirm(ctx, "vault accept", &format!("{why}. Passphrases and values in it may be old ones."))?;
    let deed = Deed::new(&proof.operator, "vault.accept", "vault", "go on with an older store");
    let generation = recorded(ctx, &store, deed, || vault.accept(&store))?;
    done(ctx, &format!("accepted; it goes on as generation {generation}"), json!({"accepted": true, "generation": generation}))
}

fn rotate(ctx: &Ctx, open: &Open) -> Done {
    let (store, mut vault, operator) = opened(ctx, open)?;
    store::take_snapshot(&store, &vault, now_ms(), Why::Rotation)?;
    let deed = Deed::new(&operator, "vault.rotate", "vault", "change the vault key");
    let count = recorded(ctx, &store, deed, || vault.rotate(&store))?;
    let text = format!("another vault key; {count} record(s) sealed anew. A snapshot with the old key goes at the next unlock");
    done(ctx, &text, json!({"records": count}))
}

fn passphrase(ctx: &Ctx, open: &Open, new_fd: Option<i32>) -> Done {
    let (store, vault, operator) = opened(ctx, open)?;
    let typed = secrets::passphrase(new_fd, &format!("new passphrase for {operator}"))?;
    store::check_passphrase(&typed, &operator)?;
    if new_fd.is_none() {
        secrets::same_again(&typed)?;
    }
    let available = memory_available();
    let begun = std::time::Instant::now();
    let new = NewOperator {
        host_key: &host_key_path(&ctx.config.state),
        operator: &operator,
        passphrase: &typed,
        cost: store::calibrate(available, || begun.elapsed())?,
        memory_available: available,
        now_ms: now_ms(),
    };
    let deed = Deed::new(&operator, "vault.passphrase", format!("operator {operator}"), "change a passphrase");
    recorded(ctx, &store, deed, || vault.set_passphrase(&store, &new))?;
    let text = format!("{operator} has another passphrase. Old copies of the store still open with the old one");
    done(ctx, &text, json!({"operator": operator}))
}

fn recovery(ctx: &Ctx, open: &Open) -> Done {
    let (store, vault, operator) = opened(ctx, open)?;
    let words = RecoveryWords::random()?;
    let deed = Deed::new(&operator, "vault.recovery", "vault", "make new recovery words");
    if ctx.form == Form::Json {
        recorded(ctx, &store, deed, || vault.set_words(&store, &words))?;
        output::object(&json!({"recovery_words": words.expose(), "typed_back": false}));
        return Ok(0);
    }
    init::show_words(&words);
    if !init::typed_back(&words)? {
        let why = "the words were not typed back";
        return Err(Problem::new(Kind::Refused, "vault recovery", why, "the old words still hold; begin again with paper at hand"));
    }
    recorded(ctx, &store, deed, || vault.set_words(&store, &words))?;
    output::say("these words hold now, and the old ones open nothing but old copies");
    Ok(0)
}

fn snapshot(ctx: &Ctx, open: &Open) -> Done {
    let (store, vault, _) = opened(ctx, open)?;
    let made = store::take_snapshot(&store, &vault, now_ms(), Why::Asked)?;
    done(ctx, &format!("{} holds everything and opens", made.path.display()), item(&made))
}

fn list(ctx: &Ctx) -> Done {
    let all = store::snapshots(&ctx.config.state)?;
    if ctx.form == Form::Json {
        output::object(&json!({"items": all.iter().map(item).collect::<Vec<_>>()}));
    } else {
        let size = |one: &Snapshot| one.path.metadata().map_or_else(|_| "?".to_owned(), |meta| bytes(meta.len()));
        let rows: Vec<_> = all.iter().map(|one| vec![Stamp(one.taken_ms).rfc3339(), size(one), one.path.display().to_string()]).collect();
        output::table(ctx.form, &["TAKEN", "SIZE", "FILE"], &rows);
    }
    Ok(0)
}

fn restore(ctx: &Ctx, open: &Open) -> Done {
    let dir = &ctx.config.state;
    let all = store::snapshots(dir)?;
    let Some(newest) = all.first() else {
        return Err(Problem::new(
            Kind::NotFound,
            "vault restore",
            "there is no snapshot",
            "restore the state directory from a backup of this host",
        ));
    };
    let operator = match (&open.operator, open.words) {
        (Some(name), _) => name.clone(),
        (None, true) => WORDS.to_owned(),
        (None, false) => secrets::user_name(),
    };
    let standing = match Store::open(dir).and_then(|store| store.check()) {
        Ok(()) => "The store that is there opens.".to_owned(),
        Err(e) => format!("The store that is there does not open ({e})."),
    };
    let taken = Stamp(newest.taken_ms).rfc3339();
    confirm(ctx, "vault restore", &format!("{standing} Everything since {taken} is given up; close other consoles first."))?;
    let proof = Proof { typed: prompt(open, &operator)?, words: open.words, operator };
    let mut why = None;
    for one in &all {
        match proof.with_way(ctx, |way| store::put_back(dir, &one.path, way, now_ms())) {
            Ok(kept) => {
                let (from, kept) = (one.path.display(), kept.display());
                return done(ctx, &format!("{from} is the store now; what was there is {kept}"), item(one));
            }
            Err(e @ (VaultError::WrongPassphrase | VaultError::WrongWords { .. } | VaultError::CostTooHigh { .. })) => return Err(e.into()),
            Err(e) => why = why.or(Some(e)),
        }
    }
    Err(why.map_or_else(|| VaultError::NoVault.into(), Problem::from))
}

fn export(ctx: &Ctx, open: &Open, file: &Portable, with_second_factors: bool) -> Done {
    let (store, vault, operator) = opened(ctx, open)?;
    let typed = secrets::passphrase(file.file_passphrase_fd, "passphrase for the file, six words")?;
    if file.file_passphrase_fd.is_none() {
        secrets::same_again(&typed)?;
    }
    let available = memory_available();
    let leave_out = |_: &str, column: &str| !with_second_factors && column.starts_with("totp");
    let deed = Deed::new(&operator, "vault.export", "vault", format!("write everything sealed to {}", file.path.display()));
    let whole = recorded(ctx, &store, deed, || vault.export(&store, &typed, Cost::for_export(available), available, leave_out))?;
    let failed =
        |e: std::io::Error| Problem::new(Kind::Failed, file.path.display().to_string(), e.to_string(), "give a name that is not taken");
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file.path).map_err(failed)?;
    if let Err(e) = to.write_all(&whole).and_then(|()| to.sync_all()) {
        // Half a file is none; it would only be found out when it is needed.
        let _ = std::fs::remove_file(&file.path);
        return Err(failed(e));
    }
    let path = file.path.display();
    done(ctx, &format!("{path} holds everything sealed ({})", bytes(whole.len() as u64)), json!({"file": path.to_string()}))
}

fn import(ctx: &Ctx, open: &Open, file: &Portable, replace: bool) -> Done {
    /// No vault of this program comes near it.
    const MOST: u64 = 1 << 30;
    let mut whole = Vec::new();
    let read = File::open(&file.path).and_then(|from| from.take(MOST).read_to_end(&mut whole));
    read.map_err(|e| Problem::new(Kind::NotFound, file.path.display().to_string(), e.to_string(), ""))?;
    let typed = secrets::passphrase(file.file_passphrase_fd, "passphrase of the file")?;
    // All of the file is read and found whole before anything of it is used.
    let contents = Contents::open(&whole, &typed, memory_available())?;
    let (store, vault, operator) = opened(ctx, open)?;
    let deed = Deed::new(&operator, "vault.import", "vault", format!("take in {}", file.path.display()));
    let count = recorded(ctx, &store, deed, || vault.import(&store, &contents, replace))?;
    let names = contents.operators.join(", ");
    let text = format!("{count} record(s) taken in. There were these operators, who need passphrases here: {names}");
    done(ctx, &text, json!({"records": count, "operators": contents.operators}))
}

fn host_slot(ctx: &Ctx, switch: Switch, open: &Open) -> Done {
    let (store, vault, operator) = opened(ctx, open)?;
    let file = host_slot_path(&ctx.config.state);
    if switch == Switch::On {
        confirm(ctx, "vault host-slot", "From then on whoever has this disk has the vault; passphrases no longer matter to him.")?;
        let deed = Deed::new(&operator, "vault.host-slot", "vault", "let the host open the vault");
        recorded(ctx, &store, deed, || vault.add_host_slot(&store, &file))?;
        return done(ctx, &format!("the host opens the vault with {}", file.display()), json!({"host_slot": true}));
    }
    let deed = Deed::new(&operator, "vault.host-slot", "vault", "let the host open the vault no more");
    recorded(ctx, &store, deed, || vault.remove_host_slot(&store))?;
    match std::fs::remove_file(&file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            eprintln!("note: {} could not be removed ({e}); it opens nothing any more", file.display());
            Ok(WARNED)
        }
        _ => done(ctx, "the host no longer opens the vault", json!({"host_slot": false})),
    }
}

/// Opens store and vault, with all checks; and who opened it.
fn opened(ctx: &Ctx, open: &Open) -> Result<(Store, OpenVault, String), Problem> {
    let store = Store::open(&ctx.config.state)?;
    let (operator, vault) = open_in(ctx, &store, open)?;
    Ok((store, vault, operator))
}

/// Opens the vault of a store, with all checks, and writes down that it was opened: who opened it, and the vault.
pub(super) fn open_in(ctx: &Ctx, store: &Store, open: &Open) -> Result<(String, OpenVault), Problem> {
    OpenVault::check_slots(store)?;
    let proof = ask(store, open)?;
    let opened = proof.with_way(ctx, |way| OpenVault::enter(store, way));
    init::note_unlock(ctx, store, &proof.operator, &opened);
    let vault = opened?;
    after_unlock(ctx, store, &vault);
    init::keep_audit(store, &vault)?;
    Ok((proof.operator, vault))
}

/// Opens the vault of a store that may not be as it should be, and writes down that it was opened.
fn unchecked(ctx: &Ctx, store: &Store, proof: &Proof) -> Result<OpenVault, Problem> {
    let opened = proof.with_way(ctx, |way| OpenVault::enter_unchecked(store, way));
    init::note_unlock(ctx, store, &proof.operator, &opened);
    Ok(opened?)
}

/// Does something to the vault between an entry that says so and one that says what came of it.
fn recorded<T, E: std::fmt::Display>(ctx: &Ctx, store: &Store, deed: Deed, work: impl FnOnce() -> Result<T, E>) -> Result<T, Problem>
where
    Problem: From<E>,
{
    let audit = ctx.audit();
    let intent = audit.intent(Some(store), ctx.host.clock().0, deed)?;
    let done = work();
    let end = done.as_ref().map_or_else(|e| End::failed(e.to_string()), |_| End::ok());
    audit.outcome(Some(store), ctx.host.clock().0, &intent, end);
    Ok(done?)
}

/// What every successful unlock is good for: the hourly snapshot, and the end of those with an old key. Neither is a reason
/// not to let the operator in: a disk may be full.
pub(super) fn after_unlock(ctx: &Ctx, store: &Store, vault: &OpenVault) {
    if !ctx.read_only {
        drop(store::drop_old_keys(&ctx.config.state));
        drop(store::take_snapshot_if_due(store, vault, now_ms()));
    }
}

fn ask(store: &Store, open: &Open) -> Result<Proof, Problem> {
    let operator = if open.words && open.operator.is_none() { WORDS.to_owned() } else { init::who(store, open.operator.as_deref())? };
    Ok(Proof { typed: prompt(open, &operator)?, words: open.words, operator })
}

fn prompt(open: &Open, operator: &str) -> Result<Secret, Problem> {
    let ask = if open.words { "the 24 recovery words".to_owned() } else { format!("passphrase of {operator}") };
    secrets::passphrase(open.passphrase_fd, &ask)
}

impl Proof {
    fn with_way<T>(&self, ctx: &Ctx, f: impl FnOnce(&Way<'_>) -> Result<T, VaultError>) -> Result<T, VaultError> {
        if self.words {
            return f(&Way::Words(&self.typed));
        }
        let host_key = host_key_path(&ctx.config.state);
        let (operator, passphrase) = (self.operator.as_str(), &self.typed);
        f(&Way::Passphrase { host_key: &host_key, operator, passphrase, memory_available: memory_available() })
    }
}

fn confirm(ctx: &Ctx, what: &str, why: &str) -> Result<(), Problem> {
    if ctx.yes {
        return Ok(());
    }
    if !output::at_terminal() {
        return Err(Problem::new(Kind::Refused, what, format!("{why} Nobody is there to ask"), "give --yes"));
    }
    eprintln!("{why}");
    if output::ask_yes()? { Ok(()) } else { Err(Problem::new(Kind::Refused, what, "you said no", "")) }
}

fn done(ctx: &Ctx, text: &str, object: serde_json::Value) -> Done {
    if ctx.form == Form::Json {
        output::object(&object)
    } else {
        output::say(text)
    }
    Ok(0)
}

fn item(one: &Snapshot) -> serde_json::Value {
    json!({"file": one.path.display().to_string(), "taken": Stamp(one.taken_ms).rfc3339()})
}

fn now_ms() -> i64 {
    LocalHost::new().clock().0.0
}
