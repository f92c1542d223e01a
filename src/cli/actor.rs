//! Who runs a command, and whether he may: asked before every command, with the one table of `domain::access`.
//!
//! The Unix account counts: the one that sudo names, else the one we run as. Is it an operator, his role holds. Is it not,
//! then whoever can open the store owns it, and no row in it can hold him; in restricted mode that is refused.

use super::{Ctx, secrets};
use crate::domain::access::{Object, Permission, Refused, Who, authorize};
use crate::domain::job::JobId;
use crate::problem::{Kind, Problem};
use crate::store::{Store, StoreError};

/// What a command takes.
pub(crate) enum Need {
    /// This permission.
    Permission(Permission, Object),
    /// This permission, done to the guest that a job is about.
    Job(Permission, JobId),
    /// The command asks for a passphrase, and what it proves counts.
    Login,
    /// First set-up, and workers that Proximity starts itself: not for restricted mode.
    Unrestricted,
}

/// A permission that is done to the host as a whole.
pub(super) fn host(permission: Permission) -> Need {
    Need::Permission(permission, Object::Host)
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Problem::new(Kind::Locked, "not allowed", refused.why, refused.hint)
    }
}

/// The account as the record of who allowed what names it: the one that sudo names, which only root can be told.
pub(crate) fn account() -> String {
    sudo_user().unwrap_or_else(secrets::user_name)
}

fn sudo_user() -> Option<String> {
    let named = std::env::var("SUDO_USER").ok().filter(|n| !n.is_empty() && n != "root");
    named.filter(|_| rustix::process::geteuid().is_root())
}

/// Who may open the console's door: in restricted mode the account that sudo names, and nobody else.
pub(crate) fn may_unlock(ctx: &Ctx, names: Vec<String>) -> Vec<String> {
    match sudo_user().filter(|_| ctx.restricted) {
        Some(account) => names.into_iter().filter(|n| *n == account).collect(),
        None => names,
    }
}

/// Refuses the console to an account that is no operator, before anything is drawn. One that sudo does not name logs in.
pub(crate) fn check_console(ctx: &Ctx) -> Result<(), Problem> {
    if !ctx.restricted {
        return Ok(());
    }
    if sudo_user().is_some() {
        return ctx.who().map(drop);
    }
    Ok(crate::store::Vault::check_slots(&Store::open(&ctx.config.state)?)?)
}

/// Who runs this program.
pub(crate) fn who(ctx: &Ctx) -> Result<Who, Problem> {
    let name = account();
    if ctx.host.is_demo() {
        return Ok(Who::owner("demo"));
    }
    let found = match Store::open(&ctx.config.state) {
        Ok(store) => store.account(&name),
        Err(e) => Err(e),
    };
    match (found, ctx.restricted) {
        (Ok(Some(account)), false) => Ok(account.who),
        // Nobody vouches for a name that sudo did not tell.
        (Ok(Some(account)), true) if sudo_user().is_some() => Ok(account.who),
        (Ok(_), false) | (Err(StoreError::Missing { .. }), false) => Ok(Who::owner(name)),
        (Ok(_), true) => {
            let why = format!("restricted mode is for operators, and the account {name} is none that sudo vouches for");
            Err(Problem::new(Kind::Locked, "not allowed", why, "an admin can add it: proximity operator add NAME"))
        }
        // What is wrong with the store is told by whoever needs it; looking at the host does not.
        (Err(_), false) => Ok(Who::owner(name)),
        (Err(e), true) => Err(e.into()),
    }
}

/// [`authorize`], and what restricted mode takes away from every role.
pub(crate) fn authorize_here(ctx: &Ctx, who: Option<&Who>, permission: Permission, object: Object) -> Result<(), Refused> {
    if ctx.restricted && permission == Permission::ReadFile {
        return Err(Refused { why: "in restricted mode nobody may read files of the host".into(), hint: String::new() });
    }
    authorize(who, permission, object)
}

impl Ctx {
    /// Who runs this command; asked once.
    pub(super) fn who(&self) -> Result<&Who, Problem> {
        if let Some(who) = self.who.get() {
            return Ok(who);
        }
        let who = who(self)?;
        Ok(self.who.get_or_init(|| who))
    }

    /// Refuses what the operator may not do.
    pub(super) fn allow(&self, permission: Permission, object: Object) -> Result<(), Problem> {
        // The manual is for everybody, also where no store can be opened.
        if authorize(None, permission, object).is_ok() {
            return Ok(());
        }
        Ok(authorize_here(self, Some(self.who()?), permission, object)?)
    }

    /// Refuses what a command needs and the operator may not do.
    pub(super) fn satisfy(&self, need: &Need) -> Result<(), Problem> {
        match need {
            Need::Permission(permission, object) => self.allow(*permission, *object),
            Need::Job(permission, id) => {
                // A job that is not there is nobody's; that it is not there is told by the command.
                let job = if self.host.is_demo() { None } else { Store::open(&self.config.state)?.job(*id)? };
                self.allow(*permission, job.map_or(Object::Host, |j| Object::Guest(j.order.plan().guest)))
            }
            Need::Login => Ok(()),
            Need::Unrestricted if self.restricted => {
                Err(Problem::new(Kind::Locked, "not allowed", "this command is not there in restricted mode", ""))
            }
            Need::Unrestricted => Ok(()),
        }
    }
}
