//! A login: passphrase, then a code where a second factor is on; or the recovery words. Every try is written down.

use std::time::Duration;

use clap::Args;

use super::{Ctx, actor, init, output, secrets};
use crate::domain::access::{Object, Permission, Who, authorize};
use crate::domain::audit::{Deed, Ending};
use crate::domain::clean::clean;
use crate::domain::plan::Approved;
use crate::host::Host;
use crate::host::local::{self, LocalHost};
use crate::problem::{Kind, Problem};
use crate::store::{self, Login, Passed, Secret, Store, StoreMode, Unlocked, Vault, VaultError, Way, audit};

/// How the vault is opened.
#[derive(Args, Default)]
pub(super) struct Open {
    /// Who opens it; your own account if that is an operator, else the only one
    #[arg(long)]
    pub(super) operator: Option<String>,
    /// Descriptor to read the passphrase (or the words) from
    #[arg(long, value_name = "N")]
    pub(super) passphrase_fd: Option<i32>,
    /// Descriptor to read the code of the second factor from
    #[arg(long, value_name = "N")]
    pub(super) code_fd: Option<i32>,
    /// Open with the recovery words, which may do everything
    #[arg(long)]
    pub(super) words: bool,
}

impl Open {
    /// Whether something was said about how to open it.
    pub(super) fn is_given(&self) -> bool {
        self.operator.is_some() || self.passphrase_fd.is_some() || self.words
    }
}

/// Who says the second yes, where a plan needs one.
#[derive(Args)]
pub(super) struct Second {
    /// Another operator who says yes too, where a plan needs it
    #[arg(long, global = true, value_name = "NAME")]
    second: Option<String>,
    /// Descriptor to read his passphrase from
    #[arg(long, global = true, value_name = "N")]
    second_fd: Option<i32>,
    /// Descriptor to read the code of his second factor from
    #[arg(long, global = true, value_name = "N")]
    second_code_fd: Option<i32>,
}

/// Who opens the vault with the recovery words.
pub(super) const WORDS: &str = "the recovery words";

/// Sleeps where tries cannot be written down; see `store::throttle`.
pub(crate) const PAUSE: &(dyn Fn(Duration) + Sync) = &std::thread::sleep;

/// What a step of a login needs, now.
pub(crate) fn step<'a>(store: &'a Store, host_key: &'a std::path::Path) -> Result<Login<'a>, Problem> {
    let now = local::moment().map_err(|e| Problem::new(Kind::Failed, "the clock", e.to_string(), "is /proc mounted?"))?;
    let unix_s = LocalHost::new().clock().0.secs();
    Ok(Login { store, host_key, memory_available: init::memory_available(), now, unix_s, pause: PAUSE })
}

/// Logs an operator in, with all checks.
pub(super) fn login(ctx: &Ctx, store: &Store, open: &Open) -> Result<Unlocked, Problem> {
    let unlocked = enter(ctx, store, open, true)?;
    after(ctx, store, &unlocked.vault)?;
    Ok(unlocked)
}

/// The same to a store that may not be as it should be: without the last checks, and nothing is done to it.
pub(super) fn login_unchecked(ctx: &Ctx, store: &Store, open: &Open, permission: Permission) -> Result<Unlocked, Problem> {
    let unlocked = enter(ctx, store, open, false)?;
    authorize(Some(&unlocked.who), permission, Object::Host)?;
    Ok(unlocked)
}

/// Logs an operator in for what takes a permission: what the passphrase proves is what counts, not the account.
pub(super) fn login_for(ctx: &Ctx, store: &Store, open: &Open, permission: Permission) -> Result<Unlocked, Problem> {
    let unlocked = login(ctx, store, open)?;
    authorize(Some(&unlocked.who), permission, Object::Host)?;
    Ok(unlocked)
}

fn enter(ctx: &Ctx, store: &Store, open: &Open, checked: bool) -> Result<Unlocked, Problem> {
    Vault::check_slots(store)?;
    if open.words {
        let typed = passphrase(ctx, open, WORDS)?;
        let way = Way::Words(&typed);
        let opened = if checked { Vault::enter(store, &way) } else { Vault::enter_unchecked(store, &way) };
        let who = Who::owner(WORDS);
        note(ctx, store, &opened.as_ref().map(|_| &who).map_err(|e| (WORDS, e)));
        return Ok(Unlocked { vault: opened?, who });
    }
    let operator = name(ctx, store, open.operator.as_deref())?;
    let typed = passphrase(ctx, open, &operator)?;
    enter_as(ctx, store, &operator, &typed, open.code_fd, checked)
}

/// One try: the passphrase, then the code where one is needed; it is written down.
fn enter_as(ctx: &Ctx, store: &Store, operator: &str, typed: &Secret, code_fd: Option<i32>, checked: bool) -> Result<Unlocked, Problem> {
    let key = store::host_key_path(&ctx.config.state);
    let login = step(store, &key)?;
    let passed = if checked { login.passphrase(operator, typed) } else { login.passphrase_unchecked(operator, typed) };
    let done = match passed {
        Err(e) => Err(e),
        Ok(Passed::Unlocked(unlocked)) => Ok(unlocked),
        Ok(Passed::Half(half)) => {
            let code = secrets::passphrase(code_fd, &format!("code of {operator}"))?;
            half.code(&step(store, &key)?, &code).map_err(|failed| failed.1)
        }
    };
    note(ctx, store, &done.as_ref().map(|unlocked| &unlocked.who).map_err(|e| (operator, e)));
    Ok(done?)
}

/// An order with the yes of a second operator, who logs in for it and for nothing else. Also in restricted mode: it is
/// for somebody else than the account that he comes.
pub(super) fn seconded(ctx: &Ctx, store: &Store, second: &Second, order: Approved) -> Result<Approved, Problem> {
    let title = order.plan().title.clone();
    let refused = |why: &str, hint: &str| Problem::new(Kind::Refused, title.clone(), why, hint);
    let there = output::at_terminal();
    let name = match &second.second {
        Some(name) => name.clone(),
        None if there => output::ask("another operator who says yes: ")?,
        None => return Err(refused("a second operator must say yes, and none is named", "give --second NAME and --second-fd N")),
    };
    if second.second_fd.is_none() && !there {
        return Err(refused("a second operator must say yes, and nobody is there to ask", "give --second-fd N"));
    }
    // He must see what he says yes to; without --yes it stands there already.
    if second.second_fd.is_none() && ctx.yes {
        order.plan().lines().iter().for_each(|line| eprintln!("{}", clean(line)));
    }
    let typed = secrets::passphrase(second.second_fd, &format!("passphrase of {name}, who says yes beside {}", order.by))?;
    let who = enter_as(ctx, store, &name, &typed, second.second_code_fd, true)?.who;
    Ok(order.seconded(&who)?)
}

/// The passphrase, or the words, of whoever opens the vault.
pub(super) fn passphrase(ctx: &Ctx, open: &Open, operator: &str) -> Result<Secret, Problem> {
    if open.words && ctx.restricted {
        return Err(Problem::new(Kind::Locked, "--words", "in restricted mode nobody logs in with the recovery words", ""));
    }
    let ask = if open.words { "the 24 recovery words".to_owned() } else { format!("passphrase of {operator}") };
    secrets::passphrase(open.passphrase_fd, &ask)
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
        0 => Err(VaultError::NoVault.into()),
        _ if ctx.restricted || all.contains(&account) => Ok(account),
        1 => Ok(all.remove(0)),
        _ => Err(Problem::new(Kind::Usage, "--operator", format!("there are several: {}", all.join(", ")), "name one")),
    }
}

/// Writes down that somebody came in, or that it was tried. Coming in changes nothing, so it is not refused where nothing
/// can be written: on a full disk one must still get in.
pub(crate) fn note(ctx: &Ctx, store: &Store, tried: &Result<&Who, (&str, &VaultError)>) {
    let deed = |name: &str| Deed::new(name, "vault.unlock", "vault", "open the vault");
    let (deed, ending) = match tried {
        Ok(who) => (Deed { role: who.word().into(), ..deed(&who.name) }, Ending::Ok),
        // A passphrase typed in the place of a name must not be written down.
        Err((name, e)) if *name == WORDS || store.account(name).is_ok_and(|a| a.is_some()) => {
            (deed(name).said(e.to_string()).refused(), Ending::Failed)
        }
        Err(_) => (deed("(unknown)").refused(), Ending::Failed),
    };
    if let Err(e) = ctx.audit().event(Some(store), ctx.host.clock().0, deed, ending) {
        tracing::warn!(%e, "the login could not be written down");
    }
}

/// What every login is good for: the hourly snapshot, the end of those with an old key, and the key of the audit log; what
/// is wrong with that log as a problem. Snapshots are no reason not to let an operator in: a disk may be full.
pub(crate) fn after(ctx: &Ctx, store: &Store, vault: &Vault) -> Result<(), Problem> {
    if !ctx.read_only {
        drop(store::drop_old_keys(&ctx.config.state));
        drop(store::take_snapshot_if_due(store, vault, LocalHost::new().clock().0.0));
    }
    keep_audit(store, vault)
}

/// What an open vault does for the audit log; what is wrong with the log as a problem. Where the store takes no writes
/// nothing is done.
pub(super) fn keep_audit(store: &Store, vault: &Vault) -> Result<(), Problem> {
    if *store.mode() != StoreMode::ReadWrite {
        return Ok(());
    }
    Ok(audit::keep(vault, store)?)
}
