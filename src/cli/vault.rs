//! `vault`: whether everything opens, another vault key, other words, snapshots, an export for another host.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::init::{self, memory_available};
use super::login::{Open, WORDS, keep_audit, login_for, login_unchecked, passphrase};
use super::{Ctx, Done, Form, Need, on_host, output, secrets};
use crate::domain::access::Permission;
use crate::domain::audit::Deed;
use crate::domain::stamp::{Stamp, bytes};
use crate::host::Host;
use crate::host::local::LocalHost;
use crate::ops::audit::End;
use crate::problem::{Kind, Problem, WARNED};
use crate::store::{
    self, Contents, Cost, RecoveryWords, Snapshot, Store, StoreError, Unlocked, Vault as OpenVault, VaultError, Way, Why, host_key_path,
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
    /// Put the newest whole snapshot in the place of the store, or the copy of a backup set on a host that has none
    Restore {
        #[command(flatten)]
        open: Open,
        /// This copy, such as proximity.db of a backup set, instead of a snapshot
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Write everything sealed to a file for another host
    Export {
        #[command(flatten)]
        open: Open,
        #[command(flatten)]
        file: Portable,
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

impl Vault {
    /// What it takes. What asks for a passphrase goes by what that proves; a snapshot is put in the place of a store that may
    /// not be readable, by whoever may write there.
    pub(super) fn needs(&self) -> Vec<Need> {
        match self {
            Vault::Snapshot { list: true, .. } => vec![on_host(Permission::KeepVault)],
            Vault::Restore { .. } => vec![Need::Unrestricted, on_host(Permission::KeepVault)],
            Vault::Status(_)
            | Vault::Accept(_)
            | Vault::Rotate(_)
            | Vault::Recovery(_)
            | Vault::Snapshot { .. }
            | Vault::HostSlot { .. } => vec![Need::Login],
            // They read and write files of the host.
            Vault::Export { .. } | Vault::Import { .. } => vec![Need::Login, Need::Unrestricted],
        }
    }
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
        Vault::Recovery(open) => recovery(ctx, open),
        Vault::Snapshot { list: true, .. } => list(ctx),
        Vault::Snapshot { open, .. } => snapshot(ctx, open),
        Vault::Restore { open, from } => restore(ctx, open, from.as_deref()),
        Vault::Export { open, file } => export(ctx, open, file),
        Vault::Import { open, file, replace } => import(ctx, open, file, *replace),
        Vault::HostSlot { switch, open } => host_slot(ctx, *switch, open),
    }
}

fn status(ctx: &Ctx, open: &Open) -> Done {
    let store = Store::open(&ctx.config.state)?;
    let Unlocked { vault, who } = login_unchecked(ctx, &store, open, Permission::VaultStatus)?;
    let audit = keep_audit(&store, &vault);
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
        output::object(&json!({"operator": who.name, "opened": true, "records": found.opened, "bad": bad, "sound": sound, "notes": notes}));
    } else {
        output::say(&format!("opened by {}; {} record(s) open", who.name, found.opened));
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
    let Unlocked { vault, who } = login_unchecked(ctx, &store, open, Permission::KeepVault)?;
    let why = match vault.check(&store) {
        Ok(()) => return done(ctx, "nothing to accept: the store is the newest one", json!({"accepted": false})),
        Err(e @ (VaultError::OlderThanAnchor { .. } | VaultError::Tampered { .. })) => e.to_string(),
        Err(other) => return Err(other.into()),
    };
    confirm(ctx, "vault accept", &format!("{why}. Passphrases and values in it may be old ones."))?;
    let deed = Deed::by(&who, "vault.accept", "vault", "go on with an older store");
    let generation = recorded(ctx, &store, deed, || vault.accept(&store))?;
    done(ctx, &format!("accepted; it goes on as generation {generation}"), json!({"accepted": true, "generation": generation}))
}

fn rotate(ctx: &Ctx, open: &Open) -> Done {
    let (store, Unlocked { mut vault, who }) = opened(ctx, open)?;
    store::take_snapshot(&store, &vault, now_ms(), Why::Rotation)?;
    let deed = Deed::by(&who, "vault.rotate", "vault", "change the vault key");
    let count = recorded(ctx, &store, deed, || vault.rotate(&store))?;
    let text = format!("another vault key; {count} record(s) sealed anew. A snapshot with the old key goes at the next unlock");
    done(ctx, &text, json!({"records": count}))
}

fn recovery(ctx: &Ctx, open: &Open) -> Done {
    let (store, Unlocked { vault, who }) = opened(ctx, open)?;
    let words = RecoveryWords::random()?;
    let deed = Deed::by(&who, "vault.recovery", "vault", "make new recovery words");
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
    let (store, Unlocked { vault, .. }) = opened(ctx, open)?;
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

fn restore(ctx: &Ctx, open: &Open, from: Option<&Path>) -> Done {
    let dir = &ctx.config.state;
    let all = match from {
        Some(path) => vec![store::copy_at(path)?],
        None => store::snapshots(dir)?,
    };
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
    let taken = Stamp(newest.taken_ms).rfc3339();
    let standing = match Store::open(dir).and_then(|store| store.check()) {
        Ok(()) => Some("The store that is there opens.".to_owned()),
        // On a bare host nothing is given up.
        Err(StoreError::Missing { .. }) => None,
        Err(e) => Some(format!("The store that is there does not open ({e}).")),
    };
    if let Some(standing) = standing {
        confirm(ctx, "vault restore", &format!("{standing} Everything since {taken} is given up; close other consoles first."))?;
    }
    let typed = passphrase(ctx, open, &operator)?;
    let host_key = host_key_path(dir);
    let way = if open.words {
        Way::Words(&typed)
    } else {
        Way::Passphrase { host_key: &host_key, operator: &operator, passphrase: &typed, memory_available: memory_available() }
    };
    let mut why = None;
    for one in &all {
        match store::put_back(dir, &one.path, &way, now_ms()) {
            Ok(kept) => {
                let kept = kept.map_or_else(String::new, |kept| format!("; what was there is {}", kept.display()));
                return done(ctx, &format!("{} is the store now{kept}", one.path.display()), item(one));
            }
            Err(e @ (VaultError::WrongPassphrase | VaultError::WrongWords { .. } | VaultError::CostTooHigh { .. })) => return Err(e.into()),
            Err(e) => why = why.or(Some(e)),
        }
    }
    Err(why.map_or_else(|| VaultError::NoVault.into(), Problem::from))
}

fn export(ctx: &Ctx, open: &Open, file: &Portable) -> Done {
    let (store, Unlocked { vault, who }) = opened(ctx, open)?;
    let typed = secrets::passphrase(file.file_passphrase_fd, "passphrase for the file, six words")?;
    if file.file_passphrase_fd.is_none() {
        secrets::same_again(&typed)?;
    }
    let available = memory_available();
    // They belong to operators of this host, who do not go along.
    let leave_out = |table: &str, _: &str| table == "second_factor";
    let deed = Deed::by(&who, "vault.export", "vault", format!("write everything sealed to {}", file.path.display()));
    let whole = recorded(ctx, &store, deed, || vault.export(&store, &typed, Cost::for_export(available), available, leave_out))?;
    let failed =
        |e: std::io::Error| Problem::new(Kind::Failed, file.path.display().to_string(), e.to_string(), "give a name that is not taken");
    let mut to = store::new_file(&file.path).map_err(failed)?;
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
    let (store, Unlocked { vault, who }) = opened(ctx, open)?;
    let deed = Deed::by(&who, "vault.import", "vault", format!("take in {}", file.path.display()));
    let count = recorded(ctx, &store, deed, || vault.import(&store, &contents, replace))?;
    let names = contents.operators.join(", ");
    let text = format!("{count} record(s) taken in. There were these operators, who need passphrases here: {names}");
    done(ctx, &text, json!({"records": count, "operators": contents.operators}))
}

fn host_slot(ctx: &Ctx, switch: Switch, open: &Open) -> Done {
    let (store, Unlocked { vault, who }) = opened(ctx, open)?;
    let file = host_slot_path(&ctx.config.state);
    if switch == Switch::On {
        confirm(ctx, "vault host-slot", "From then on whoever has this disk has the vault; passphrases no longer matter to him.")?;
        let deed = Deed::by(&who, "vault.host-slot", "vault", "let the host open the vault");
        recorded(ctx, &store, deed, || vault.add_host_slot(&store, &file))?;
        return done(ctx, &format!("the host opens the vault with {}", file.display()), json!({"host_slot": true}));
    }
    let deed = Deed::by(&who, "vault.host-slot", "vault", "let the host open the vault no more");
    recorded(ctx, &store, deed, || vault.remove_host_slot(&store))?;
    match std::fs::remove_file(&file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            eprintln!("note: {} could not be removed ({e}); it opens nothing any more", file.display());
            Ok(WARNED)
        }
        _ => done(ctx, "the host no longer opens the vault", json!({"host_slot": false})),
    }
}

/// The store, and its vault opened with all checks by somebody who may keep it.
fn opened(ctx: &Ctx, open: &Open) -> Result<(Store, Unlocked), Problem> {
    let store = Store::open(&ctx.config.state)?;
    let unlocked = login_for(ctx, &store, open, Permission::KeepVault)?;
    Ok((store, unlocked))
}

/// Does something to the vault between an entry that says so and one that says what came of it.
pub(crate) fn recorded<T, E>(ctx: &Ctx, store: &Store, deed: Deed, work: impl FnOnce() -> Result<T, E>) -> Result<T, Problem>
where
    Problem: From<E>,
{
    let audit = ctx.audit();
    let intent = audit.intent(Some(store), ctx.host.clock().0, deed)?;
    let done = work().map_err(Problem::from);
    let end = done.as_ref().map_or_else(|problem| End::failed(&problem.why), |_| End::ok());
    audit.outcome(Some(store), ctx.host.clock().0, &intent, end);
    done
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
