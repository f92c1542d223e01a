//! `init`: the first set-up of store, vault and operator, and how the vault is opened afterwards.

use std::io::IsTerminal;

use clap::Args;
use serde_json::json;

use super::{Ctx, Done, Form, output, secrets};
use crate::domain::access::Who;
use crate::domain::audit::Deed;
use crate::host::Host;
use crate::host::local::LocalHost;
use crate::ops::audit::End;
use crate::problem::{Kind, Problem, WARNED};
use crate::store::{self, NewOperator, RecoveryWords, Store, StoreError, Vault as OpenVault, audit, host_key_path};

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
    let passphrase = secrets::new_passphrase(init.passphrase_fd, &operator)?;
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
    let what = Deed::by(&Who::owner(&operator), "vault.init", "vault", format!("make the vault of {}", dir.display()));
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
