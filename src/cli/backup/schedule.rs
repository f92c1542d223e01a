//! `backup schedule`: Proxmox's own backup jobs, when each runs next and how its last run went, who is covered by none; and the
//! timer of the drills.

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::super::{Ctx, Done, Form, Need, output, vmid};
use super::many::How;
use crate::domain::access::{Object, Permission};
use crate::domain::clean::clean;
use crate::domain::fact::Wish;
use crate::domain::guest::{Guest, Kind as GuestKind, Vmid};
use crate::domain::schedule::drills::{DrillsWish, Timer};
use crate::domain::schedule::plan::{ScheduleWish, SetWish};
use crate::domain::schedule::{BackupJob, Next, Schedules, next};
use crate::domain::stamp::Stamp;
use crate::domain::storage::StorageId;
use crate::domain::world::World;
use crate::problem::{Kind, Problem, WARNED};

/// `backup schedule`.
#[derive(Subcommand)]
pub(in crate::cli) enum Schedule {
    /// All backup jobs: whom each covers, when it runs next, how its last run went; and who is covered by none
    List,
    /// Back a guest up by a schedule, as one of Proxmox's own backup jobs; the same again changes it
    Set {
        /// Which guest, then when, as Proxmox writes it: 02:00, 'sat 15:00', 'mon..fri 22:30', '*-*-01 03:00'
        #[arg(required = true, value_name = "[GUEST] WHEN")]
        what: Vec<String>,
        /// All guests, also those that come; then no guest is named
        #[arg(long)]
        all: bool,
        /// Where to; if not given the one of the settings, else the storage with most room
        #[arg(long)]
        storage: Option<StorageId>,
        /// How a running guest is treated
        #[arg(long)]
        mode: Option<How>,
        /// What Proxmox keeps after each run, such as keep-last=3; if not given it removes nothing
        #[arg(long, value_name = "RULES")]
        keep: Option<String>,
        /// Another job than the one of ours for that guest, also one that somebody else made
        #[arg(long)]
        id: Option<String>,
    },
    /// Remove a backup job; archives stay
    Remove {
        /// Its id, see backup schedule list
        id: String,
    },
    /// Switch a backup job on
    Enable {
        /// Its id
        id: String,
    },
    /// Switch a backup job off
    Disable {
        /// Its id
        id: String,
    },
    /// Have `backup drill --due` run by a timer of systemd, or no more
    Drills {
        /// When, as Proxmox writes it, or off
        #[arg(required = true)]
        when: Vec<String>,
    },
}

impl Schedule {
    /// What it takes.
    pub(in crate::cli) fn need(&self) -> Need {
        let permission = if matches!(self, Schedule::List) { Permission::Look } else { Permission::Schedule };
        Need::Permission(permission, Object::Host)
    }
}

pub(super) async fn run(ctx: &Ctx, command: Schedule) -> Done {
    let switch = |id, on| Wish::Schedule(ScheduleWish::Switch(id, on));
    match command {
        Schedule::List => list(ctx).await,
        Schedule::Set { mut what, all, storage, mode, keep, id } => {
            let usage = |why: &str| Problem::new(Kind::Usage, "schedule set", why, "such as: schedule set 101 02:00");
            let guest = if all { None } else { Some(vmid(&what.remove(0)).map_err(|why| usage(&why))?) };
            if what.is_empty() {
                return Err(usage("it is not said when"));
            }
            let wish = SetWish { guest, when: what.join(" "), storage, mode: mode.map(How::mode), keep, id };
            ctx.fulfil(Wish::Schedule(ScheduleWish::Set(wish))).await
        }
        Schedule::Remove { id } => ctx.fulfil(Wish::Schedule(ScheduleWish::Remove(id))).await,
        Schedule::Enable { id } => ctx.fulfil(switch(id, true)).await,
        Schedule::Disable { id } => ctx.fulfil(switch(id, false)).await,
        Schedule::Drills { when } => {
            let when = Some(when.join(" ")).filter(|w| w != "off");
            ctx.fulfil(Wish::Drills(DrillsWish { when, program: program(ctx)? })).await
        }
    }
}

/// This program as the timer is to run it, on the same store.
fn program(ctx: &Ctx) -> Result<Vec<String>, Problem> {
    let exe = std::env::current_exe().and_then(|p| p.canonicalize());
    let exe = exe.map_err(|e| Problem::new(Kind::Failed, "drills by schedule", format!("where this program is, is unknown: {e}"), ""))?;
    let mut words = vec![exe.display().to_string()];
    if ctx.config.state != std::path::Path::new("/var/lib/proximity") {
        words.extend(["--state".into(), ctx.config.state.display().to_string()]);
    }
    words.extend(["backup", "drill", "--due"].map(str::to_owned));
    Ok(words)
}

/// Containers and machines that can be backed up.
fn guests(world: &World) -> Vec<&Guest> {
    world.guests.get().into_iter().flatten().filter(|g| !(g.template && g.kind == GuestKind::Lxc)).collect()
}

/// 0; 10 where a guest is covered by none, or that is not known.
async fn list(ctx: &Ctx) -> Done {
    let world = ctx.world().await?;
    let now = ctx.host.clock().0;
    let schedules = world.schedules.known.as_ref();
    let schedules =
        schedules.map_err(|why| Problem::new(Kind::Unreachable, "schedules", format!("unknown: {why}"), "see proximity doctor"))?;
    let all = guests(&world);
    let bare: Vec<(&Guest, Next)> = all.iter().map(|g| (*g, next(&world, g, now))).filter(|(_, n)| !matches!(n, Next::At(_))).collect();
    if ctx.form == Form::Json {
        let items: Vec<Json> = schedules.jobs.iter().map(|j| of_job(j, schedules, &all, now)).collect();
        let mut out = output::list(&world.schedules, "jobs", &items);
        out["uncovered"] =
            bare.iter().map(|(g, n)| json!({"guest": g.id, "title": g.title(), "why": n.words(now, &schedules.zone)})).collect();
        out["drills"] = of_timer(schedules, now);
        output::object(&out);
    } else {
        if schedules.jobs.is_empty() {
            output::say("no backup jobs");
        } else {
            let rows: Vec<_> = schedules.jobs.iter().map(|j| row(j, schedules, now)).collect();
            output::table(ctx.form, &["JOB", "SCHEDULE", "NEXT", "GUESTS", "STORAGE", "MODE", "KEEPS", "LAST RUN", "COMMENT"], &rows);
        }
        for (guest, next) in &bare {
            output::say(&format!("{}: {}", guest.title(), next.words(now, &schedules.zone)));
        }
        output::say(&drills(schedules, now));
        output::gaps(&world.schedules, "schedules");
    }
    Ok(if bare.is_empty() { 0 } else { WARNED })
}

fn row(job: &BackupJob, schedules: &Schedules, now: Stamp) -> Vec<String> {
    let next = match (&job.event, job.next(now, &schedules.zone)) {
        _ if !job.is_on() => "disabled".into(),
        (Err(_), _) => "unknown".into(),
        (Ok(_), Some(at)) => schedules.zone.soon(now, at),
        (Ok(_), None) => "never again".into(),
    };
    let ran = job.noted.as_ref().and_then(|n| n.ran.as_ref()).map(|r| format!("{} ", r.at.minute(schedules.zone.offset(r.at.secs()))));
    let get = |key| clean(job.get(key).unwrap_or("-"));
    vec![
        clean(&job.id),
        clean(job.schedule()),
        next,
        job.whom(),
        get("storage"),
        get("mode"),
        get("prune-backups"),
        format!("{}{}", ran.unwrap_or_default(), job.went()),
        clean(job.get("comment").unwrap_or("")),
    ]
}

fn of_job(job: &BackupJob, schedules: &Schedules, guests: &[&Guest], now: Stamp) -> Json {
    let covers: Vec<Vmid> = guests.iter().filter(|g| job.covers(g) == Ok(true)).map(|g| g.id).collect();
    let unknown = guests.iter().find_map(|g| job.covers(g).err());
    let ran = job.noted.as_ref().and_then(|n| n.ran.as_ref());
    json!({"id": job.id, "schedule": job.schedule(), "schedule_unknown": job.event.as_ref().err(), "enabled": job.is_on(),
        "next": job.next(now, &schedules.zone).map(Stamp::rfc3339), "ours": job.is_ours(), "all": job.is_for_all(),
        "covers": covers, "covers_unknown": unknown, "node": job.get("node"), "pool": job.get("pool"), "storage": job.get("storage"),
        "mode": job.get("mode"), "keep": job.get("prune-backups"), "notes_template": job.get("notes-template"),
        "comment": job.get("comment"), "last": ran.map(|r| json!({"at": r.at.rfc3339(), "went": job.went()}))})
}

fn of_timer(schedules: &Schedules, now: Stamp) -> Json {
    match &schedules.drills {
        Ok(None) => json!({"scheduled": false}),
        Ok(Some(t)) => json!({"scheduled": true, "when": t.when, "active": t.active, "enabled": t.enabled, "runs": t.runs,
            "next": t.next(now, &schedules.zone).map(Stamp::rfc3339), "last": t.ran.map(Stamp::rfc3339), "result": t.result, "exit": t.exit}),
        Err(why) => json!({"scheduled": null, "unknown": why}),
    }
}

/// One line on the timer of the drills.
pub(super) fn drills(schedules: &Schedules, now: Stamp) -> String {
    let told = |t: &Timer| {
        let next = t.next(now, &schedules.zone).map_or("not on".into(), |at| format!("next {}", schedules.zone.soon(now, at)));
        let last = t.ran.map_or(String::new(), |at| format!(", last {} {}", at.minute(schedules.zone.offset(at.secs())), t.result));
        format!("drills by schedule: {}, {next}{last}{}", clean(&t.when), if t.runs { ", one runs" } else { "" })
    };
    match &schedules.drills {
        Ok(None) => "drills by schedule: none".into(),
        Ok(Some(timer)) => told(timer),
        Err(why) => format!("drills by schedule: unknown: {}", clean(why)),
    }
}
