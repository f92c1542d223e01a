//! A login at the command line: passphrase, then a code where a second factor is on.

use std::time::Duration;

use clap::Args;

use super::{Ctx, actor, init, secrets};
use crate::domain::access::{Object, Permission, authorize};
use crate::host::Host;
use crate::host::local::{self, LocalHost};
use crate::problem::{Kind, Problem};
use crate::store::{self, Login, Passed, Store, Unlocked};

/// How the vault is opened.
#[derive(Args)]
pub(super) struct Open {
    /// Who opens it; your own account if that is an operator, else the only one
    #[arg(long)]
    pub(super) operator: Option<String>,
    /// Descriptor to read the passphrase from
    #[arg(long, value_name = "N")]
    pub(super) passphrase_fd: Option<i32>,
    /// Descriptor to read the code of the second factor from
    #[arg(long, value_name = "N")]
    pub(super) code_fd: Option<i32>,
}

/// Sleeps where tries cannot be written down; see `store::throttle`.
pub(crate) const PAUSE: &(dyn Fn(Duration) + Sync) = &std::thread::sleep;

/// What a step of a login needs, now.
pub(crate) fn step<'a>(store: &'a Store, host_key: &'a std::path::Path) -> Result<Login<'a>, Problem> {
    let now = local::moment().map_err(|e| Problem::new(Kind::Failed, "the clock", e.to_string(), "is /proc mounted?"))?;
    let unix_s = LocalHost::new().clock().0.secs();
    Ok(Login { store, host_key, memory_available: init::memory_available(), now, unix_s, pause: PAUSE })
}

/// Logs an operator in.
pub(super) fn login(ctx: &Ctx, store: &Store, open: &Open) -> Result<Unlocked, Problem> {
    store::Vault::check_slots(store)?;
    let operator = name(ctx, store, open.operator.as_deref())?;
    let key = store::host_key_path(&ctx.config.state);
    let passphrase = secrets::passphrase(open.passphrase_fd, &format!("passphrase of {operator}"))?;
    match step(store, &key)?.passphrase(&operator, &passphrase)? {
        Passed::Unlocked(unlocked) => Ok(unlocked),
        Passed::Half(half) => {
            let code = secrets::passphrase(open.code_fd, &format!("code of {operator}"))?;
            half.code(&step(store, &key)?, &code).map_err(|failed| failed.1.into())
        }
    }
}

/// The same for a permission: what the passphrase proves is what counts, not the account.
pub(super) fn login_for(ctx: &Ctx, store: &Store, open: &Open, permission: Permission) -> Result<Unlocked, Problem> {
    let unlocked = login(ctx, store, open)?;
    authorize(Some(&unlocked.who), permission, Object::Host)?;
    Ok(unlocked)
}

/// The one who was named, else the account, else the only one.
fn name(ctx: &Ctx, store: &Store, named: Option<&str>) -> Result<String, Problem> {
    let account = actor::account();
    if ctx.restricted && named.is_some_and(|n| n != account) {
        let why = format!("in restricted mode {account} can log in as nobody else");
        return Err(Problem::new(Kind::Locked, "--operator", why, ""));
    }
    if let Some(name) = named {
        return Ok(name.to_owned());
    }
    let mut all = store.operators()?;
    match all.len() {
        0 => Err(store::VaultError::NoVault.into()),
        _ if ctx.restricted || all.contains(&account) => Ok(account),
        1 => Ok(all.remove(0)),
        _ => Err(Problem::new(Kind::Usage, "--operator", format!("there are several: {}", all.join(", ")), "name one")),
    }
}
