//! `init` and `vault status`: the first set-up, and the proof that everything sealed still opens.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Ctx, Done, Form, output, secrets};
use crate::host::Host;
use crate::host::local::LocalHost;
use crate::problem::{Kind, Problem};
use crate::store::{self, NewOperator, Secret, Store, StoreError, Vault as OpenVault, host_key_path};

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

/// `vault`.
#[derive(Subcommand)]
pub(super) enum Vault {
    /// Open the vault and every record in it
    Status(Open),
}

/// How the vault is opened.
#[derive(Args)]
pub(super) struct Open {
    /// Who opens it; the only operator if there is one
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
        let again = secrets::passphrase(None, "the same again")?;
        if again.expose() != passphrase.expose() {
            return Err(Problem::new(Kind::Usage, "the passphrase", "the two are not the same", "try again"));
        }
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
    let (_, words) = OpenVault::create(&store, &new)?;
    let words = words.expose();
    if ctx.form == Form::Json {
        output::object(&json!({"state": dir.display().to_string(), "operator": operator, "recovery_words": words}));
        return Ok(0);
    }
    output::say(&format!("store and vault made in {}; operator {operator}", dir.display()));
    output::say("");
    output::say("These 24 words open the vault without passphrase and host key; shown only now.");
    output::say("Write them on paper and keep it away from this machine:");
    output::say("");
    for (row, four) in words.chunks(4).enumerate() {
        let cells: Vec<String> = four.iter().enumerate().map(|(i, w)| format!("{:>2} {w:<10}", row * 4 + i + 1)).collect();
        output::say(&format!("  {}", cells.join(" ").trim_end()));
    }
    Ok(0)
}

/// The one operator, or the one that was named.
fn who(store: &Store, named: Option<&str>) -> Result<String, Problem> {
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

/// Opens the vault of a store.
pub(crate) fn unlock(ctx: &Ctx, store: &Store, operator: &str, passphrase: &Secret) -> Result<OpenVault, store::VaultError> {
    OpenVault::unlock(store, &host_key_path(&ctx.config.state), operator, passphrase, memory_available())
}

pub(super) fn vault_status(ctx: &Ctx, open: &Open) -> Done {
    let store = Store::open(&ctx.config.state)?;
    OpenVault::check_slots(&store)?;
    let operator = who(&store, open.operator.as_deref())?;
    let passphrase = secrets::passphrase(open.passphrase_fd, &format!("passphrase of {operator}"))?;
    let vault = unlock(ctx, &store, &operator, &passphrase)?;
    let found = vault.verify_all(&store)?;
    let bad: Vec<String> = found
        .bad_slots
        .iter()
        .map(ToString::to_string)
        .chain(found.failed.iter().map(|(name, e)| format!("{}.{}: {e}", name.table, name.column)))
        .collect();
    if ctx.form == Form::Json {
        output::object(&json!({"operator": operator, "opened": true, "records": found.opened, "bad": bad}));
    } else {
        output::say(&format!("opened by {operator}; {} record(s) open", found.opened));
    }
    match bad.first() {
        None => Ok(0),
        Some(first) => Err(Problem::new(
            Kind::Failed,
            "the vault",
            format!("{} of its records do not open; {first}", bad.len()),
            "nothing was used; compare with a backup of this host",
        )),
    }
}
