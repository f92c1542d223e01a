//! `backup`: list, coverage, run, verify, files, pull, restore beside or in place, drill, schedule, swap places, protect, note,
//! prune, and a set of Proximity itself.
//! Proximity itself.

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::{Ctx, Done, Form, Need, output, vmid};
use crate::domain::access::{Object, Permission, of_wish};
use crate::domain::backup::label::{Change, LabelWish};
use crate::domain::backup::{Archive, parse_name};
use crate::domain::clean::clean;
use crate::domain::fact::Wish;
use crate::domain::guest::Vmid;
use crate::domain::inside::ledger::Ledger;
use crate::domain::inside::verify::VerifyWish;
use crate::domain::job::Job;
use crate::domain::proof::{Asked, Proof, Proofs};
use crate::domain::restore::{After, RestoreWish};
use crate::domain::retention::PruneWish;
use crate::domain::stamp::{age, ago, bytes, span};
use crate::domain::storage::StorageId;
use crate::domain::swap::SwapWish;
use crate::domain::world::{From, Part};
use crate::problem::{Kind, Problem};
use crate::store::{Store, StoreError};

mod coverage;
mod due;
mod files;
mod many;
mod schedule;
mod set;
mod verify;

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
    /// Back guests up, one job each
    Run(many::Run),
    /// Read an archive to its end, when nobody else wants the disk: whether it is whole, and what it was
    Verify {
        /// A guest, of which the newest archive is taken, or the volume id of an archive
        #[arg(required_unless_present = "all")]
        what: Option<String>,
        /// All archives of containers
        #[arg(long, conflicts_with = "what")]
        all: bool,
    },
    /// List the files in an archive
    Files {
        /// Volume id of the archive, see backup list
        volid: String,
        /// A folder in it, or a file; the root if not given
        path: Option<String>,
    },
    /// Bring a file or a folder of an archive back; what is there is kept beside it
    Pull {
        /// Volume id of the archive
        volid: String,
        /// Which, as backup files lists it
        path: String,
        /// Into this folder of a guest; if not given to where it was, in the guest it is of
        #[arg(long, value_name = "GUEST:FOLDER")]
        into: Option<String>,
        /// Into this folder of the host
        #[arg(long, value_name = "FOLDER", conflicts_with = "into")]
        into_dir: Option<String>,
        /// Remove what is there, and do not keep it
        #[arg(long)]
        overwrite: bool,
    },
    /// Restore an archive to a new guest beside its original, or in its place
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
        /// Once it answers put it in the place of its original, which stays, stopped; or bring one back that is gone
        #[arg(long, conflicts_with_all = ["no_start", "plugged"])]
        swap: bool,
    },
    /// See whether an archive would come back: restore it unplugged, ask it, remove it again
    Drill {
        /// A guest, of which the newest archive is taken, or the volume id of an archive
        #[arg(required_unless_present = "due")]
        what: Option<String>,
        /// Those guests whose turn it is by backups.drill_every, where the node has room and time for it
        #[arg(long, conflicts_with = "what")]
        due: bool,
        /// Storage of the copy's disks
        #[arg(long)]
        storage: Option<StorageId>,
    },
    /// Protect an archive against removal, or no more
    Protect {
        /// Volume id of the archive, see backup list
        volid: String,
        /// No more
        #[arg(long)]
        off: bool,
    },
    /// Write notes on an archive; an empty text takes them away
    Note {
        /// Volume id of the archive, see backup list
        volid: String,
        /// Its notes
        text: String,
    },
    /// What is backed up and drilled by the clock: list, set, remove, enable, disable, drills
    #[command(subcommand)]
    Schedule(schedule::Schedule),
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
    /// Write Proximity itself, with the way back on a bare host on a card, to a folder
    Set(set::Set),
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

impl Backup {
    /// What it takes.
    pub(super) fn needs(&self) -> Vec<Need> {
        vec![match self {
            Backup::Run(run) => return run.needs(),
            Backup::List { guest } => Need::Permission(Permission::Look, guest.map_or(Object::Host, Object::Guest)),
            // Whose it is and what is taken from it stands in the plan, which is asked about before anything is done.
            Backup::Protect { .. } | Backup::Note { .. } => Need::Permission(Permission::Look, Object::Host),
            // It writes a file of the host, with the vault open.
            Backup::Set(_) => return vec![Need::Login, Need::Unrestricted],
            Backup::Coverage => Need::Permission(Permission::Look, Object::Host),
            Backup::Schedule(schedule) => schedule.need(),
            Backup::Verify { what: Some(what), .. } => {
                let wish = what.parse().map_or_else(|_| VerifyWish::Archive(what.clone()), VerifyWish::Guest);
                let (permission, object) = of_wish(&Wish::Verify(wish));
                Need::Permission(permission, object)
            }
            Backup::Verify { .. } => Need::Permission(Permission::Backup, Object::Host),
            // Names of files, and then their content: as much as reading them in the guest.
            Backup::Files { volid, .. } => Need::Permission(Permission::ReadFile, of_volid(volid)),
            Backup::Pull { into_dir: None, .. } => Need::Permission(Permission::Restore, Object::Host),
            Backup::Pull { .. } => Need::Permission(Permission::ReadFile, Object::Host),
            Backup::Prune { .. } => Need::Permission(Permission::Prune, Object::Host),
            Backup::Swap { from, .. } => Need::Permission(Permission::Restore, Object::Guest(*from)),
            Backup::Restore { .. } | Backup::Drill { .. } => Need::Permission(Permission::Restore, Object::Host),
        }]
    }
}

/// The guest that an archive is of, by its name.
fn of_volid(volid: &str) -> Object {
    parse_name(volid.rsplit('/').next().unwrap_or_default()).map_or(Object::Host, |(_, id, _)| Object::Guest(id))
}

pub(super) async fn run(ctx: &Ctx, command: Backup) -> Done {
    match command {
        Backup::List { guest } => list(ctx, guest).await,
        Backup::Coverage => coverage::coverage(ctx).await,
        Backup::Run(wish) => many::run(ctx, wish).await,
        Backup::Set(wish) => set::set(ctx, &wish).await,
        Backup::Schedule(command) => schedule::run(ctx, command).await,
        Backup::Verify { what, all } => verify::verify(ctx, what, all).await,
        Backup::Files { volid, path } => files::files(ctx, &volid, path.as_deref()).await,
        Backup::Pull { volid, path, into, into_dir, overwrite } => {
            files::pull(ctx, &volid, &path, into.as_deref(), into_dir.as_deref(), overwrite).await
        }
        Backup::Drill { what: None, storage, .. } => due::due(ctx, storage.as_ref()).await,
        Backup::Drill { what: Some(what), storage, .. } => {
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
        Backup::Protect { volid, off } => ctx.fulfil(Wish::Label(LabelWish { volid, change: Change::Protect(!off) })).await,
        Backup::Note { volid, text } => ctx.fulfil(Wish::Label(LabelWish { volid, change: Change::Note(text) })).await,
        Backup::Prune { guest, keep, .. } => ctx.fulfil(Wish::Prune(PruneWish { guest, keep })).await,
        Backup::Swap { from, to } => ctx.fulfil(Wish::Swap(SwapWish { from, to })).await,
        Backup::Restore { volid, to, storage, no_start, plugged, swap } => {
            let after = match (no_start, swap) {
                (true, _) => After::Stay,
                (_, true) => After::Swap,
                _ => After::Start,
            };
            ctx.fulfil(Wish::Restore(RestoreWish { volid, to, storage, plugged, after })).await
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
    let ledger = jobs.get().map(|jobs| Ledger::of(jobs));
    let proven = |a: &Archive| proofs.as_ref()?.archive(&a.volid);
    let archives: Vec<&Archive> = world.archives.get().into_iter().flatten().filter(|a| guest.is_none() || a.vmid == guest).collect();
    if ctx.form == Form::Json {
        let items: Vec<_> = archives
            .iter()
            .map(|a| {
                let mut v = json!(a);
                v["made"] = json!(a.made.rfc3339());
                v["proof"] = proof_json(proven(a));
                v["verified"] = verify::as_json(ledger.as_ref(), a);
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
                    if p.lives.is_ok() {
                        ago(now, p.at) + &p.took_s.map_or(String::new(), |s| format!(", {}", span(s)))
                    } else {
                        "FAILED".into()
                    }
                }),
                verify::cell(ledger.as_ref(), a, now),
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
            output::table(ctx.form, &["GUEST", "AGE", "SIZE", "", "RESTORABLE", "VERIFIED", "ARCHIVE", "NOTES"], &rows);
        }
        output::gaps(&world.archives, "backups");
        output::gaps(&jobs, "what came back");
    }
    match &world.archives.known {
        Ok(_) => Ok(0),
        Err(why) => Err(Problem::new(Kind::Unreachable, "backups", format!("unknown: {why}"), "see proximity doctor")),
    }
}
