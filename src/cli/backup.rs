//! `backup`: list, coverage, run, restore beside, drill, swap places, prune.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value as Json, json};

use super::{Ctx, Done, Form, Need, output, vmid};
use crate::domain::access::{Object, Permission};
use crate::domain::backup::{Archive, BackupWish, Mode};
use crate::domain::clean::clean;
use crate::domain::fact::Wish;
use crate::domain::guest::Vmid;
use crate::domain::job::Job;
use crate::domain::proof::{Asked, Proof, Proofs};
use crate::domain::restore::RestoreWish;
use crate::domain::retention::PruneWish;
use crate::domain::stamp::{age, ago, bytes, span};
use crate::domain::storage::StorageId;
use crate::domain::swap::SwapWish;
use crate::domain::world::{From, Part};
use crate::problem::{Kind, Problem};
use crate::store::{Store, StoreError};

mod coverage;

/// `backup`.
#[derive(Subcommand)]
pub(super) enum Backup {
    /// All archives of containers and machines
    List {
        /// Of this guest only
        #[arg(value_parser = vmid)]
        guest: Option<Vmid>,
    },
    /// Each container: its last backup, whether one came back, size and trend, what is not in it
    Coverage,
    /// Back a guest up
    Run {
        /// Its id
        #[arg(value_parser = vmid)]
        id: Vmid,
        /// Where to; if not given the one of the settings, else the storage with most room
        #[arg(long)]
        storage: Option<StorageId>,
        /// How a running guest is treated; as the settings say if not given
        #[arg(long)]
        mode: Option<How>,
    },
    /// Restore an archive to a new guest beside its original
    Restore {
        /// Volume id of the archive, see backup list
        volid: String,
        /// Id of the new guest; the lowest free one if not given
        #[arg(long, value_parser = vmid)]
        to: Option<Vmid>,
        /// Storage of its disks
        #[arg(long)]
        storage: Option<StorageId>,
        /// Leave it stopped
        #[arg(long)]
        no_start: bool,
        /// Plug its interfaces in, but those with a fixed address; else it has no network
        #[arg(long)]
        plugged: bool,
    },
    /// See whether an archive would come back: restore it unplugged, ask it, remove it again
    Drill {
        /// A guest, of which the newest archive is taken, or the volume id of an archive
        what: String,
        /// Storage of the copy's disks
        #[arg(long)]
        storage: Option<StorageId>,
    },
    /// Remove archives that no rule keeps, after a look at which; the newest and the last that came back stay
    Prune {
        /// Of this guest only
        #[arg(value_parser = vmid, required_unless_present = "all")]
        guest: Option<Vmid>,
        /// Of all guests
        #[arg(long, conflicts_with = "guest")]
        all: bool,
        /// Rules, such as keep-last=3,keep-weekly=4; if not given those of the settings
        #[arg(long, value_name = "RULES")]
        keep: Option<String>,
    },
    /// Put a container in the place of another: name, interfaces, ports, start with the host. The other one stays, stopped
    Swap {
        /// Who has the place
        #[arg(value_parser = vmid)]
        from: Vmid,
        /// Who takes it, such as what was restored beside
        #[arg(value_parser = vmid)]
        to: Vmid,
    },
}

/// How a running guest is treated.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum How {
    /// From a storage snapshot; it goes on running
    Snapshot,
    /// Frozen for a moment
    Suspend,
    /// Stopped and started again
    Stop,
}

impl Backup {
    /// What it takes.
    pub(super) fn need(&self) -> Need {
        match self {
            Backup::List { guest } => Need::Permission(Permission::Look, guest.map_or(Object::Host, Object::Guest)),
            Backup::Coverage => Need::Permission(Permission::Look, Object::Host),
            Backup::Run { id, .. } => Need::Permission(Permission::Backup, Object::Guest(*id)),
            Backup::Prune { .. } => Need::Permission(Permission::Prune, Object::Host),
            Backup::Swap { from, .. } => Need::Permission(Permission::Restore, Object::Guest(*from)),
            Backup::Restore { .. } | Backup::Drill { .. } => Need::Permission(Permission::Restore, Object::Host),
        }
    }
}

pub(super) async fn run(ctx: &Ctx, command: Backup) -> Done {
    match command {
        Backup::List { guest } => list(ctx, guest).await,
        Backup::Coverage => coverage::coverage(ctx).await,
        Backup::Run { id, storage, mode } => {
            let mode = mode.map(|how| match how {
                How::Snapshot => Mode::Snapshot,
                How::Suspend => Mode::Suspend,
                How::Stop => Mode::Stop,
            });
            ctx.fulfil(Wish::Backup(BackupWish { guest: id, storage, mode })).await
        }
        Backup::Drill { what, storage } => {
            let volid = match what.parse::<Vmid>() {
                Ok(id) => {
                    let world = ctx.world().await?;
                    let newest = world.last_archive(id).map(|a| a.volid.clone());
                    newest
                        .ok_or_else(|| Problem::new(Kind::NotFound, "drill", format!("no archive of {id} is known"), "see backup list"))?
                }
                Err(_) => what,
            };
            ctx.fulfil(Wish::Restore(RestoreWish::drill(volid, storage))).await
        }
        Backup::Prune { guest, keep, .. } => ctx.fulfil(Wish::Prune(PruneWish { guest, keep })).await,
        Backup::Swap { from, to } => ctx.fulfil(Wish::Swap(SwapWish { from, to })).await,
        Backup::Restore { volid, to, storage, no_start, plugged } => {
            ctx.fulfil(Wish::Restore(RestoreWish { volid, to, storage, start: !no_start, plugged, drill: false })).await
        }
    }
}

/// The jobs that tell what came back. Where there is no store yet nothing was ever restored from here.
fn restored(ctx: &Ctx) -> Part<Vec<Job>> {
    let now = ctx.host.clock().0;
    if !ctx.host.is_demo() && matches!(Store::open(&ctx.config.state), Err(StoreError::Missing { .. })) {
        return Part::new(Vec::new(), now, From::Files);
    }
    ctx.open_jobs().map_or_else(|e| Part::unknown(e.why, now), |jobs| jobs.part(now))
}

fn proof_json(proof: Option<&Proof>) -> Json {
    proof.map_or(Json::Null, |p| {
        json!({"at": p.at.rfc3339(), "job": p.job, "took_s": p.took_s, "app": p.asked == Asked::App, "lives": p.lives.is_ok(),
            "why": p.lives.as_ref().err()})
    })
}

async fn list(ctx: &Ctx, guest: Option<Vmid>) -> Done {
    let world = ctx.world().await?;
    let now = ctx.host.clock().0;
    let jobs = restored(ctx);
    let proofs = jobs.get().map(|jobs| Proofs::of(jobs));
    let proven = |a: &Archive| proofs.as_ref()?.archive(&a.volid);
    let archives: Vec<&Archive> = world.archives.get().into_iter().flatten().filter(|a| guest.is_none() || a.vmid == guest).collect();
    if ctx.form == Form::Json {
        let items: Vec<_> = archives
            .iter()
            .map(|a| {
                let mut v = json!(a);
                v["made"] = json!(a.made.rfc3339());
                v["proof"] = proof_json(proven(a));
                v["proof_unknown"] = json!(jobs.known.as_ref().err());
                v
            })
            .collect();
        output::object(&output::list(&world.archives, "backups", &items));
    } else {
        let row = |a: &&Archive| {
            let flags = if a.is_empty() {
                "EMPTY"
            } else if a.protected {
                "protected"
            } else {
                ""
            };
            vec![
                a.vmid.map_or("?".into(), |v| v.to_string()),
                age(now, a.made),
                a.size.map_or("?".into(), bytes),
                flags.into(),
                proven(a).map_or(if proofs.is_some() { "never" } else { "unknown" }.into(), |p| {
                    if p.lives.is_ok() { format!("{}, {}", ago(now, p.at), span(p.took_s)) } else { "FAILED".into() }
                }),
                clean(&a.volid),
                clean(a.notes.as_deref().unwrap_or("")),
            ]
        };
        let rows: Vec<_> = archives.iter().map(row).collect();
        if rows.is_empty() {
            if world.archives.get().is_some() {
                output::say("no backups");
            }
        } else {
            output::table(ctx.form, &["GUEST", "AGE", "SIZE", "", "RESTORABLE", "ARCHIVE", "NOTES"], &rows);
        }
        output::gaps(&world.archives, "backups");
        output::gaps(&jobs, "what came back");
    }
    match &world.archives.known {
        Ok(_) => Ok(0),
        Err(why) => Err(Problem::new(Kind::Unreachable, "backups", format!("unknown: {why}"), "see proximity doctor")),
    }
}
