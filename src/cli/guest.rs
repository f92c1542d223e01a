//! `guest`: list, show, power, exec, enter.

use clap::Subcommand;
use serde_json::json;

use super::{Ctx, Done, Form, Need, output, vmid};
use crate::domain::access::{Object, Permission};
use crate::domain::audit::Deed;
use crate::domain::clean::clean;
use crate::domain::cmd::Cmd;
use crate::domain::fact::Wish;
use crate::domain::guest::{self, Power, Vmid};
use crate::domain::locks::LockWish;
use crate::domain::power::{PowerWish, Turn};
use crate::domain::pve;
use crate::domain::stamp::bytes;
use crate::ops::audit::End;
use crate::problem::{Kind, Problem};
use crate::store::audit::argv_hash;

/// `guest`.
#[derive(Subcommand)]
pub(super) enum Guest {
    /// All guests of this host
    List,
    /// One guest
    Show {
        /// Its id
        #[arg(value_parser = vmid)]
        id: Vmid,
    },
    /// Start it
    Start {
        /// Its id
        #[arg(value_parser = vmid)]
        id: Vmid,
    },
    /// Pull its plug
    Stop {
        /// Its id
        #[arg(value_parser = vmid)]
        id: Vmid,
    },
    /// Ask it to shut down
    Shutdown {
        /// Its id
        #[arg(value_parser = vmid)]
        id: Vmid,
    },
    /// Shut it down and start it
    Reboot {
        /// Its id
        #[arg(value_parser = vmid)]
        id: Vmid,
    },
    /// Take its lock away, and nothing else, if nobody holds it; see also: repair check locks
    Unlock {
        /// Its id
        #[arg(value_parser = vmid)]
        id: Vmid,
    },
    /// Run a command inside; the exit status is the command's own
    Exec {
        /// Its id
        #[arg(value_parser = vmid)]
        id: Vmid,
        /// The command, after --
        #[arg(last = true, required = true)]
        argv: Vec<String>,
    },
    /// A shell inside
    Enter {
        /// Its id
        #[arg(value_parser = vmid)]
        id: Vmid,
    },
}

impl Guest {
    /// What it takes.
    pub(super) fn need(&self) -> Need {
        match self {
            Guest::List => Need::Permission(Permission::Look, Object::Host),
            Guest::Show { id } => Need::Permission(Permission::Look, Object::Guest(*id)),
            Guest::Start { id } | Guest::Stop { id } | Guest::Shutdown { id } | Guest::Reboot { id } => {
                Need::Permission(Permission::Power, Object::Guest(*id))
            }
            Guest::Unlock { id } => Need::Permission(Permission::Unlock, Object::Guest(*id)),
            Guest::Exec { id, .. } | Guest::Enter { id } => Need::Permission(Permission::Enter, Object::Guest(*id)),
        }
    }
}

pub(super) async fn run(ctx: &Ctx, command: Guest) -> Done {
    let turn = |guest, turn| ctx.fulfil(Wish::Power(PowerWish { guest, turn }));
    match command {
        Guest::List => list(ctx).await,
        Guest::Show { id } => show(ctx, id).await,
        Guest::Start { id } => turn(id, Turn::Start).await,
        Guest::Stop { id } => turn(id, Turn::Stop).await,
        Guest::Shutdown { id } => turn(id, Turn::Shutdown).await,
        Guest::Reboot { id } => turn(id, Turn::Reboot).await,
        Guest::Unlock { id } => ctx.fulfil(Wish::Unlock(LockWish { guest: Some(id), lock_only: true })).await,
        Guest::Exec { id, argv } => attach(ctx, id, pve::exec(id, argv)).await,
        Guest::Enter { id } => attach(ctx, id, pve::pct("enter", id)).await,
    }
}

/// Whether it runs is asked first: pct's own 255 cannot be told from the command's.
async fn attach(ctx: &Ctx, id: Vmid, cmd: Cmd) -> Done {
    if ctx.read_only {
        return Err(Problem::new(Kind::ReadOnly, cmd.shown(), "--read-only refuses what may change something", ""));
    }
    ctx.not_read_only_by_setting(&cmd.shown())?;
    let guest = one(ctx, id).await?;
    if guest.power == Power::Stopped {
        return Err(Problem::new(
            Kind::Refused,
            cmd.shown(),
            format!("{} is stopped", guest.title()),
            format!("start it first: proximity guest start {id}"),
        ));
    }
    // The words of the command may hold a secret: its hash is written down, and what it is for.
    let action = if cmd.args.iter().any(|a| a == "enter") { "guest.enter" } else { "guest.exec" };
    let title = if action == "guest.enter" { "a shell in" } else { "run a command in" };
    let deed = Deed::by(ctx.who()?, action, format!("guest {id}"), format!("{title} {}", guest.title()));
    let (audit, store) = (ctx.audit(), ctx.store_for_audit());
    let intent = audit.intent(store.as_ref(), ctx.host.clock().0, deed.commands(argv_hash([&cmd])))?;
    let ended = ctx.host.attach(cmd.unlimited()).await;
    let end = ended.as_ref().map_or_else(|e| End::failed(e.to_string()), |status| End::exit(*status));
    audit.outcome(store.as_ref(), ctx.host.clock().0, &intent, end);
    let status = ended?;
    Ok(u8::try_from(status).unwrap_or(Kind::Failed.status()))
}

async fn one(ctx: &Ctx, id: Vmid) -> Result<guest::Guest, Problem> {
    let world = ctx.world().await?;
    world.the_guest(id).cloned().map_err(|(why, hint)| {
        let kind = if why.starts_with("there is no ") { Kind::NotFound } else { Kind::Unreachable };
        Problem::new(kind, format!("guest {id}"), why, hint.replace("see ", "see proximity "))
    })
}

fn address(guest: &guest::Guest) -> String {
    let of = |n: &guest::Nic| format!("{} {}", n.bridge.as_deref().unwrap_or("-"), n.ip.as_deref().unwrap_or("manual"));
    guest.nics.first().map_or("-".into(), |n| clean(&of(n)))
}

async fn list(ctx: &Ctx) -> Done {
    let world = ctx.world().await?;
    let guests = world.guests.get().map_or(&[][..], Vec::as_slice);
    if ctx.form == Form::Json {
        let items: Vec<_> = guests.iter().map(|g| json!(g)).collect();
        output::object(&output::list(&world.guests, "guests", &items));
    } else {
        let row = |g: &guest::Guest| {
            let mem = match (g.mem, g.mem_max) {
                (Some(used), Some(max)) => format!("{} of {}", bytes(used), bytes(max)),
                (None, Some(max)) => format!("- of {}", bytes(max)),
                _ => "?".into(),
            };
            let lock = if g.conf_read { g.lock.as_deref().unwrap_or("-") } else { "?" };
            vec![g.id.to_string(), g.label(), g.power.word().into(), clean(lock), mem, address(g), clean(g.node.as_deref().unwrap_or("?"))]
        };
        let rows: Vec<_> = guests.iter().map(row).collect();
        if rows.is_empty() && world.guests.get().is_some() {
            output::say("no guests on this host");
        } else {
            output::table(ctx.form, &["ID", "NAME", "STATE", "LOCK", "MEMORY", "NETWORK", "NODE"], &rows);
        }
        output::gaps(&world.guests, "guests");
    }
    match &world.guests.known {
        Ok(_) => Ok(0),
        Err(why) => Err(Problem::new(Kind::Unreachable, "guests", format!("unknown: {why}"), "see proximity doctor")),
    }
}

async fn show(ctx: &Ctx, id: Vmid) -> Done {
    let guest = one(ctx, id).await?;
    if ctx.form == Form::Json {
        output::object(&json!({ "guest": guest, "not_in_backup": guest.not_in_backup() }));
        return Ok(0);
    }
    let mut rows = vec![
        ("guest", guest.title()),
        ("state", guest.power.word().into()),
        ("lock", if guest.conf_read { guest.lock.clone().unwrap_or("-".into()) } else { "?".into() }),
        ("node", guest.node.clone().unwrap_or("?".into())),
        ("memory", format!("{} of {}", guest.mem.map_or("-".into(), bytes), guest.mem_max.map_or("?".into(), bytes))),
        ("unprivileged", guest.unprivileged.map_or("?".into(), |u| if u { "yes" } else { "no" }.into())),
        ("starts with host", if guest.onboot { "yes" } else { "no" }.into()),
        ("tags", guest.tags.join(" ")),
        ("snapshots", guest.snapshots.join(" ")),
    ];
    rows.extend(guest.nics.iter().map(|n| ("network", n.raw.clone())));
    rows.extend(guest.mounts.iter().map(|m| ("disk", format!("{} {} {}", m.path, m.source, m.size.map_or(String::new(), bytes)))));
    rows.extend(guest.not_in_backup().into_iter().map(|n| ("not in backups", n)));
    rows.extend(guest.odd_lines.iter().map(|l| ("line not understood", l.clone())));
    for (key, value) in rows.iter().filter(|(_, v)| !v.is_empty()) {
        output::say(&format!("{key:<18} {}", clean(value)));
    }
    Ok(0)
}
