//! `init`: the first set-up of store, vault and operator, and how the vault is opened afterwards.

use std::io::IsTerminal;

use clap::Args;
use serde_json::json;

use super::{Ctx, Done, Form, output, secrets, vault};
use crate::domain::audit::{Deed, Ending};
use crate::host::Host;
use crate::host::local::LocalHost;
use crate::ops::audit::End;
use crate::problem::{Kind, Problem, WARNED};
use crate::store::{
    self, NewOperator, RecoveryWords, Secret, Store, StoreError, StoreMode, Vault as OpenVault, VaultError, audit, host_key_path,
};

/// `init`.
#[derive(Args)]
pub(super) struct Init {
    /// Name of the first operator; the user's own name if not given
    #[arg(long)]
    operator: Option<String>,
    /// Descriptor to read the passphrase from
    #[arg(long, value_name = "N")]
    passphrase_fd: Option<i32>,
}

/// MemAvailable in bytes; nothing where it cannot be told, which refuses costly derivations.
pub(crate) fn memory_available() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()).map_or(0, |k| k * 1024)
}

pub(super) fn init(ctx: &Ctx, init: &Init) -> Done {
    if ctx.host.is_demo() {
        return Err(Problem::new(Kind::Usage, "init", "the demo needs no set-up and keeps nothing", "leave --host demo out"));
    }
    if ctx.read_only {
        return Err(Problem::new(Kind::ReadOnly, "init", "--read-only refuses everything that changes something", ""));
    }
    let dir = &ctx.config.state;
    // A store without a vault is a set-up that was interrupted: it is finished, not refused.
    let store = match Store::create(dir) {
        Err(StoreError::Exists { .. }) => Store::open(dir)?,
        made => made?,
    };
    if OpenVault::exists(&store)? {
        return Err(store::VaultError::Exists.into());
    }
    let operator = init.operator.clone().unwrap_or_else(secrets::user_name);
    let passphrase = secrets::passphrase(init.passphrase_fd, &format!("passphrase for {operator}"))?;
    store::check_passphrase(&passphrase, &operator)?;
    if init.passphrase_fd.is_none() {
        secrets::same_again(&passphrase)?;
    }
    let available = memory_available();
    let begun = std::time::Instant::now();
    let cost = store::calibrate(available, || begun.elapsed())?;
    let (now, _) = LocalHost::new().clock();
    let new = NewOperator {
        host_key: &host_key_path(dir),
        operator: &operator,
        passphrase: &passphrase,
        cost,
        memory_available: available,
        now_ms: now.0,
    };
    let audit = ctx.audit();
    let what = Deed::new(&operator, "vault.init", "vault", format!("make the vault of {}", dir.display()));
    let intent = audit.intent(Some(&store), now, what)?;
    let made = OpenVault::create(&store, &new).and_then(|made| audit::keep(&made.0, &store).map(|()| made));
    let end = made.as_ref().map_or_else(|e| End::failed(e.to_string()), |_| End::ok());
    audit.outcome(Some(&store), LocalHost::new().clock().0, &intent, end);
    let (_, words) = made?;
    if ctx.form == Form::Json {
        output::object(
            &json!({"state": dir.display().to_string(), "operator": operator, "recovery_words": words.expose(), "typed_back": false}),
        );
        return Ok(0);
    }
    output::say(&format!("store and vault made in {}; operator {operator}", dir.display()));
    output::say("");
    show_words(&words);
    if typed_back(&words)? {
        return Ok(0);
    }
    eprintln!("the words were not typed back; store and vault are made. For other words: proximity vault recovery");
    Ok(WARNED)
}

/// Prints the recovery words, four in a row.
pub(super) fn show_words(words: &RecoveryWords) {
    output::say("These 24 words open the vault without passphrase and host key; shown only now.");
    output::say("Write them on paper and keep it away from this machine:");
    output::say("");
    for (row, four) in words.expose().chunks(4).enumerate() {
        let cells: Vec<String> = four.iter().enumerate().map(|(i, w)| format!("{:>2} {w:<10}", row * 4 + i + 1)).collect();
        output::say(&format!("  {}", cells.join(" ").trim_end()));
    }
    output::say("");
}

/// Asks for three of the words as the proof that they were written down; three tries each. Where the words did not go to a
/// terminal nobody read them there, and that they were not typed back is said and no failure.
pub(super) fn typed_back(words: &RecoveryWords) -> Result<bool, Problem> {
    if !output::at_terminal() || !std::io::stdout().is_terminal() {
        eprintln!("note: the words did not go to a terminal, so nobody was asked to type them back");
        return Ok(true);
    }
    for place in RecoveryWords::questions()? {
        let right = (0..3).try_fold(false, |right, _| {
            if right {
                return Ok(true);
            }
            let typed = secrets::passphrase(None, &format!("word {place}"))?;
            Ok::<_, Problem>(words.is_word(place, typed.expose_text().unwrap_or_default()))
        })?;
        if !right {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The one operator, or the one that was named.
pub(super) fn who(store: &Store, named: Option<&str>) -> Result<String, Problem> {
    if let Some(name) = named {
        return Ok(name.to_owned());
    }
    let mut all = store.operators()?;
    match all.len() {
        0 => Err(store::VaultError::NoVault.into()),
        1 => Ok(all.remove(0)),
        _ => Err(Problem::new(Kind::Usage, "--operator", format!("there are several: {}", all.join(", ")), "name one")),
    }
}

/// Opens the vault of a store, and writes down that it was tried. Opening changes nothing, so it is not refused where
/// nothing can be written: on a full disk one must still get in.
pub(crate) fn unlock(ctx: &Ctx, store: &Store, operator: &str, passphrase: &Secret) -> Result<OpenVault, store::VaultError> {
    let opened = OpenVault::unlock(store, &host_key_path(&ctx.config.state), operator, passphrase, memory_available());
    note_unlock(ctx, store, operator, &opened);
    if let Ok(vault) = &opened {
        vault::after_unlock(ctx, store, vault);
    }
    opened
}

/// Writes down that the vault was opened, or that it was tried.
pub(super) fn note_unlock(ctx: &Ctx, store: &Store, operator: &str, opened: &Result<OpenVault, VaultError>) {
    // A passphrase typed in the place of a name must not be written down.
    let known = operator == vault::WORDS || store.operators().is_ok_and(|all| all.iter().any(|name| name == operator));
    let deed = Deed::new(if known { operator } else { "(unknown)" }, "vault.unlock", "vault", "open the vault");
    let (deed, ending) = match opened {
        Ok(_) => (deed, Ending::Ok),
        Err(e) => (if known { deed.said(e.to_string()) } else { deed }.refused(), Ending::Failed),
    };
    if let Err(e) = ctx.audit().event(Some(store), ctx.host.clock().0, deed, ending) {
        tracing::warn!(%e, "the unlock could not be written down");
    }
}

/// What an open vault does for the audit log; what is wrong with the log as a problem. Where the store takes no writes
/// nothing is done.
pub(crate) fn keep_audit(store: &Store, vault: &OpenVault) -> Result<(), Problem> {
    if *store.mode() != StoreMode::ReadWrite {
        return Ok(());
    }
    Ok(audit::keep(vault, store)?)
}
