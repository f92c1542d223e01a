//! `operator`: who there is, what each may do, and the second factor.

use std::io::Write;

use clap::Subcommand;
use serde_json::json;

use super::init::memory_available;
use super::login::{Open, login, login_for, step};
use super::vault::recorded;
use super::{Ctx, Done, Form, Need, on_host, output, secrets, vmid};
use crate::domain::access::{Object, Permission, Role, Who, authorize};
use crate::domain::audit::Deed;
use crate::domain::clean::clean;
use crate::domain::guest::Vmid;
use crate::domain::picture;
use crate::domain::secret::Shown;
use crate::domain::stamp::Stamp;
use crate::host::Host;
use crate::host::local::LocalHost;
use crate::problem::{Kind, Problem};
use crate::store::{self, Account, NewOperator, OperatorChange, Secret, Store, Vault, host_key_path, set_role};

/// `operator`.
#[derive(Subcommand)]
pub(super) enum Operator {
    /// Names, roles and assignments
    List,
    /// Let a new operator in; asks for your passphrase, then for his
    Add {
        /// His name: that of his Unix account
        name: String,
        /// admin, operator, service-owner or viewer
        #[arg(long, value_parser = role, default_value = "viewer")]
        role: Role,
        #[command(flatten)]
        open: Open,
        /// Descriptor to read his first passphrase from
        #[arg(long, value_name = "N")]
        new_passphrase_fd: Option<i32>,
    },
    /// Take an operator's way in, and change the vault key
    Remove {
        /// The operator
        name: String,
        #[command(flatten)]
        open: Open,
    },
    /// Change a passphrase: your own, or as an admin somebody's
    Passphrase {
        /// The operator; yourself if not given
        name: Option<String>,
        #[command(flatten)]
        open: Open,
        /// Descriptor to read the new passphrase from
        #[arg(long, value_name = "N")]
        new_passphrase_fd: Option<i32>,
    },
    /// Give an operator another role
    Role {
        /// The operator
        name: String,
        /// admin, operator, service-owner or viewer
        #[arg(value_parser = role)]
        role: Role,
        #[command(flatten)]
        open: Open,
    },
    /// Assign guests to a service owner, in place of those assigned before
    Assign {
        /// The operator
        name: String,
        /// Ids of guests; none takes all away
        #[arg(value_parser = vmid)]
        guests: Vec<Vmid>,
        #[command(flatten)]
        open: Open,
    },
    /// Let nobody log in or act under this name, and keep it
    Deactivate {
        /// The operator
        name: String,
        #[command(flatten)]
        open: Open,
    },
    /// The opposite
    Activate {
        /// The operator
        name: String,
        #[command(flatten)]
        open: Open,
    },
    /// The second factor: a code from a telephone beside the passphrase
    #[command(subcommand)]
    Totp(Totp),
}

/// `operator totp`.
#[derive(Subcommand)]
pub(super) enum Totp {
    /// Set it up for yourself: shows a picture, asks for a first code
    On {
        #[command(flatten)]
        open: Open,
    },
    /// Switch it off; an admin can do it for somebody who lost everything
    Off {
        /// The operator; yourself if not given
        name: Option<String>,
        #[command(flatten)]
        open: Open,
    },
}

/// In the audit.
pub(crate) const SECOND_ON: &str = "switch the second factor on";

fn role(text: &str) -> Result<Role, String> {
    Role::from_word(text).ok_or_else(|| format!("roles are {}", Role::ALL.map(Role::word).join(", ")))
}

impl Operator {
    /// What it takes. What changes something asks for a passphrase, and what that proves counts.
    pub(super) fn need(&self) -> Need {
        match self {
            Operator::List => on_host(Permission::ListOperators),
            Operator::Add { .. }
            | Operator::Remove { .. }
            | Operator::Passphrase { .. }
            | Operator::Role { .. }
            | Operator::Assign { .. }
            | Operator::Deactivate { .. }
            | Operator::Activate { .. }
            | Operator::Totp(Totp::On { .. } | Totp::Off { .. }) => Need::Login,
        }
    }
}

pub(super) fn run(ctx: &Ctx, command: Operator) -> Done {
    if ctx.host.is_demo() {
        return Err(Problem::new(Kind::Usage, "operator", "the demo has no operators", "leave --host demo out"));
    }
    let store = Store::open(&ctx.config.state)?;
    if let Operator::List = command {
        return list(ctx, &store);
    }
    if ctx.read_only {
        return Err(Problem::new(Kind::ReadOnly, "operator", "--read-only refuses everything that changes something", ""));
    }
    let change = |name: &str, open: &Open, change: OperatorChange, said: String| {
        let unlocked = login_for(ctx, &store, open, Permission::ChangeOperators)?;
        let deed = deed(&store, &unlocked.who, "operator.change", name, &said);
        recorded(ctx, &store, deed, || unlocked.vault.change_operator(&store, name, &change, now().0))?;
        output::say(&clean(&said));
        Ok(0)
    };
    match command {
        Operator::List => list(ctx, &store),
        Operator::Add { name, role, open, new_passphrase_fd } => {
            let unlocked = login_for(ctx, &store, &open, Permission::ChangeOperators)?;
            let deed = deed(&store, &unlocked.who, "operator.add", &name, &format!("let {name} in as {}", role.word()));
            with_new(ctx, &name, new_passphrase_fd, |new| {
                recorded(ctx, &store, deed, || unlocked.vault.add_operator(&store, new, |tx, row| set_role(tx, row, role)).map(drop))
            })?;
            output::say(&clean(&format!("{name} may come in as {}; let him change the passphrase", role.word())));
            Ok(0)
        }
        Operator::Remove { name, open } => {
            let mut unlocked = login_for(ctx, &store, &open, Permission::ChangeOperators)?;
            let deed = deed(&store, &unlocked.who, "operator.remove", &name, &format!("take {name}'s way in"));
            recorded(ctx, &store, deed, || unlocked.vault.remove_operator(&store, &name))?;
            output::say(&clean(&format!("{name} is gone and the vault has another key; what he could read before he may still know")));
            Ok(0)
        }
        Operator::Passphrase { name, open, new_passphrase_fd } => {
            let unlocked = login(ctx, &store, &open)?;
            let name = name.unwrap_or_else(|| unlocked.who.name.clone());
            let permission = if name == unlocked.who.name { Permission::OwnLogin } else { Permission::ChangeOperators };
            authorize(Some(&unlocked.who), permission, Object::Host)?;
            let deed = deed(&store, &unlocked.who, "operator.passphrase", &name, "change a passphrase");
            with_new(ctx, &name, new_passphrase_fd, |new| recorded(ctx, &store, deed, || unlocked.vault.set_passphrase(&store, new)))?;
            output::say(&clean(&format!("{name} has another passphrase; an old copy of the store still opens with the old one")));
            Ok(0)
        }
        Operator::Role { name, role, open } => change(&name, &open, OperatorChange::Role(role), format!("{name} is {} now", role.word())),
        Operator::Assign { name, guests, open } => {
            let said = match guests.len() {
                0 => format!("no guest is assigned to {name} now"),
                n => format!("{n} guest(s) assigned to {name}"),
            };
            change(&name, &open, OperatorChange::Guests(guests), said)
        }
        Operator::Deactivate { name, open } => {
            change(&name, &open, OperatorChange::Active(false), format!("{name} is deactivated; an open console locks at its next key"))
        }
        Operator::Activate { name, open } => change(&name, &open, OperatorChange::Active(true), format!("{name} is active")),
        Operator::Totp(Totp::On { open }) => second_on(ctx, &store, &open),
        Operator::Totp(Totp::Off { name, open }) => {
            let unlocked = login(ctx, &store, &open)?;
            let name = name.unwrap_or_else(|| unlocked.who.name.clone());
            let permission = if name == unlocked.who.name { Permission::OwnLogin } else { Permission::ChangeOperators };
            authorize(Some(&unlocked.who), permission, Object::Host)?;
            let deed = deed(&store, &unlocked.who, "operator.totp", &name, "switch the second factor off");
            recorded(ctx, &store, deed, || unlocked.vault.end_second(&store, &name, now().0))?;
            output::say(&clean(&format!("{name} logs in with the passphrase alone now")));
            Ok(0)
        }
    }
}

/// Asks for a new passphrase, twice where a person types it, and does something with it.
fn with_new(ctx: &Ctx, name: &str, fd: Option<i32>, f: impl FnOnce(&NewOperator<'_>) -> Result<(), Problem>) -> Result<(), Problem> {
    let passphrase = secrets::new_passphrase(fd, name)?;
    let available = memory_available();
    let begun = std::time::Instant::now();
    let cost = store::calibrate(available, || begun.elapsed())?;
    let host_key = host_key_path(&ctx.config.state);
    let new =
        NewOperator { host_key: &host_key, operator: name, passphrase: &passphrase, cost, memory_available: available, now_ms: now().0 };
    f(&new)
}

/// What is about to be done to an operator, and how he was before.
fn deed(store: &Store, who: &Who, action: &str, name: &str, title: &str) -> Deed {
    let before = store.account(name).ok().flatten().map(|a| {
        let guests = a.who.guests.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let (active, second) = (if a.who.active { "active" } else { "inactive" }, if a.second_factor { "on" } else { "off" });
        format!("{}, {active}, second factor {second}, guests: {guests}", a.who.role.word())
    });
    Deed { before, ..Deed::by(who, action, format!("operator {name}"), title) }
}

fn now() -> Stamp {
    LocalHost::new().clock().0
}

fn list(ctx: &Ctx, store: &Store) -> Done {
    let accounts = store.accounts()?;
    let state = |a: &Account| if a.who.active { "active" } else { "inactive" };
    if ctx.form == Form::Json {
        let items: Vec<_> = accounts
            .iter()
            .map(|a| {
                json!({
                    "name": a.who.name, "role": a.who.role, "state": state(a), "guests": a.who.guests,
                    "second_factor": a.second_factor, "added": Stamp(a.created_ms).rfc3339(),
                })
            })
            .collect();
        output::object(&json!({ "as_of": now().rfc3339(), "items": items, "unknown": [] }));
        return Ok(0);
    }
    let row = |a: &Account| {
        let guests: Vec<String> = a.who.guests.iter().map(ToString::to_string).collect();
        let second = if a.second_factor { "yes" } else { "no" };
        let guests = if guests.is_empty() { "-".to_owned() } else { guests.join(" ") };
        vec![clean(&a.who.name), a.who.role.word().into(), state(a).into(), second.into(), guests]
    };
    let rows: Vec<_> = accounts.iter().map(row).collect();
    if rows.is_empty() {
        output::say("no operators yet; proximity init makes the first");
    } else {
        output::table(ctx.form, &["NAME", "ROLE", "STATE", "2ND FACTOR", "GUESTS"], &rows);
    }
    Ok(0)
}

fn second_on(ctx: &Ctx, store: &Store, open: &Open) -> Done {
    let unlocked = login_for(ctx, store, open, Permission::OwnLogin)?;
    let name = unlocked.who.name.clone();
    let shown = unlocked.vault.begin_second(store, &name)?;
    // To the terminal and nowhere else: a pipe would keep it.
    let mut tty = std::fs::File::options()
        .write(true)
        .open("/dev/tty")
        .map_err(|_| Problem::new(Kind::Usage, "the second factor", "its picture is shown at a terminal only", "log in with one"))?;
    let io = |e: std::io::Error| Problem::new(Kind::Failed, "the terminal", e.to_string(), "");
    for line in picture(&shown.uri).unwrap_or_default() {
        // White on black, whatever the terminal's own colours are.
        writeln!(tty, "\x1b[97;40m{line}\x1b[0m").map_err(io)?;
    }
    writeln!(tty, "Take the picture with an authenticator, or type: {}", shown.text.expose_text().unwrap_or_default()).map_err(io)?;
    let deed = deed(store, &unlocked.who, "operator.totp", &name, SECOND_ON);
    let codes = recorded(ctx, store, deed, || confirm(store, &unlocked.vault, &name, ctx, open))?;
    writeln!(tty, "It is on. Ten codes for the day the telephone is lost, each good once; write them down:").map_err(io)?;
    for pair in codes.chunks(2) {
        let line: Vec<&str> = pair.iter().filter_map(Secret::expose_text).collect();
        writeln!(tty, "  {}", line.join("   ")).map_err(io)?;
    }
    Ok(0)
}

/// Asks for the first code until it is right, three times at most. A wrong one here opens nothing.
fn confirm(store: &Store, vault: &Vault, name: &str, ctx: &Ctx, open: &Open) -> Result<Vec<Secret>, Problem> {
    let key = host_key_path(&ctx.config.state);
    for left in (0..3).rev() {
        let typed = secrets::passphrase(None, "first code")?;
        match vault.confirm_second(store, name, &typed, step(store, &key)?.unix_s, now().0) {
            Err(e) if left > 0 && open.code_fd.is_none() => eprintln!("{e}; try again"),
            other => return Ok(other?),
        }
    }
    Err(Problem::new(Kind::Locked, "the second factor", "no right code was given; it stays off", "start again"))
}

/// A picture for a telephone's camera. It is as secret as what it shows.
pub(crate) fn picture(uri: &Secret) -> Option<Vec<String>> {
    picture::picture(uri.expose())
}

/// Secrets as lines for the screen.
pub(crate) fn shown<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Shown {
    Shown::new(secrets.into_iter().map(|s| s.expose_text().unwrap_or_default().to_owned()).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What the screen test takes for the size of a picture is what it is: version 4 with two cells of white around.
    #[test]
    fn a_picture_has_room_on_a_small_screen() {
        let uri = Secret::from_text(format!("otpauth://totp/Proximity:{}?secret={}", "n".repeat(13), "A".repeat(32)));
        let lines = picture(&uri).unwrap();
        assert_eq!((lines[0].chars().count(), lines.len()), (37, 19));
        assert!(lines.iter().all(|line| line.chars().count() == 37 && line.starts_with("██")));
    }
}
