//! The hidden command that jobs look inside archives with: a process of its own, so that it can be given less of the processor and
//! the disk, and has no key to lose. What it tells is read line by line by the job.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use super::{Ctx, Done, output};
use crate::domain::inside::pull::{NOT_THERE, Target};
use crate::domain::inside::verify::Line;
use crate::host::Progress;
use crate::host::local::archive::{self, Place, Unpack};

/// How often it says how far it is.
const OFTEN: Duration = Duration::from_secs(1);
/// It could not be done, and standard error says why in one line.
const NOT_DONE: u8 = 6;

/// `in-archive`.
#[derive(Subcommand)]
pub(super) enum InArchive {
    /// Read an archive to its end and say whether it is whole
    Verify {
        /// Its path
        archive: String,
    },
    /// Unpack a path of an archive to a place where nothing is
    Pull {
        /// The archive's path
        archive: String,
        /// What of it
        path: String,
        /// GUEST:/PATH or /PATH
        #[arg(value_parser = Target::parse)]
        to: Target,
    },
    /// Give what was unpacked its name; what has it gets another
    Place {
        /// Where it was unpacked
        #[arg(value_parser = Target::parse)]
        stage: Target,
        #[command(flatten)]
        names: Names,
    },
    /// Take that back
    Back(Names),
    /// Remove what has this name
    Drop {
        /// Its place
        #[arg(value_parser = Target::parse)]
        at: Target,
    },
    /// Whether what was unpacked has its place, and nothing of that is half done: 0 or 5
    Placed {
        /// Where it was unpacked
        #[arg(value_parser = Target::parse)]
        stage: Target,
        /// Its place
        #[arg(value_parser = Target::parse)]
        at: Target,
    },
    /// Whether something has this name: 0 or 5
    There {
        /// Its place
        #[arg(value_parser = Target::parse)]
        at: Target,
    },
}

/// A name, and the one for what had it.
#[derive(Args)]
pub(super) struct Names {
    /// Its place
    #[arg(value_parser = Target::parse)]
    at: Target,
    /// The name of what was there
    #[arg(value_parser = Target::parse)]
    before: Option<Target>,
    /// Nothing may have been there
    #[arg(long)]
    if_there: bool,
}

pub(super) async fn run(ctx: &Ctx, command: InArchive) -> Done {
    Ok(carried_out(ctx, command).await.unwrap_or_else(|why| {
        output::murmur(&why);
        NOT_DONE
    }))
}

async fn carried_out(ctx: &Ctx, command: InArchive) -> Result<u8, String> {
    let place = |target: &Target| Place::open(ctx.host.as_ref(), target).map(|(place, _)| place);
    let optional = |target: &Option<Target>| target.as_ref().map(place).transpose();
    match command {
        InArchive::Verify { archive } => {
            let report = told(move |progress| archive::verify(&archive, &progress)).await?;
            output::say(&Line::Report(report).text());
        }
        InArchive::Pull { archive, path, to } => {
            let (place, owners) = Place::open(ctx.host.as_ref(), &to)?;
            let mut unpack = Unpack::new(&path, place, owners)?;
            let (unpack, done) = told(move |progress| {
                let done = archive::pull(&archive, &mut unpack, &progress);
                (unpack, done)
            })
            .await?;
            unpack.warnings().into_iter().for_each(|w| output::say(&Line::Warning(w).text()));
            done?;
            output::say(&format!("unpacked {} files, {} bytes", unpack.files, unpack.bytes));
        }
        InArchive::Place { stage, names: Names { at, before, if_there } } => {
            let at = place(&at)?;
            let before = if if_there && !at.is_there()? { None } else { optional(&before)? };
            at.take(&place(&stage)?, before.as_ref())?;
        }
        InArchive::Back(Names { at, before, if_there }) => {
            let before = optional(&before)?;
            let was = before.as_ref().map_or(Ok(false), Place::is_there)?;
            place(&at)?.give_back(before.as_ref().filter(|_| was || !if_there))?;
        }
        InArchive::Drop { at } => place(&at)?.remove()?,
        InArchive::Placed { stage, at } => return Ok(or_not_there(place(&at)?.has_taken(&place(&stage)?)?)),
        InArchive::There { at } => return Ok(or_not_there(place(&at)?.is_there()?)),
    }
    Ok(0)
}

fn or_not_there(is: bool) -> u8 {
    if is { 0 } else { NOT_THERE as u8 }
}

/// Does it on a thread of its own, tells how far it is, and has it end in good order when somebody asks for that.
async fn told<T: Send + 'static>(work: impl FnOnce(Arc<Progress>) -> T + Send + 'static) -> Result<T, String> {
    let progress = Arc::new(Progress::default());
    let own = Arc::clone(&progress);
    let mut working = tokio::task::spawn_blocking(move || work(own));
    let mut term = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    let mut int = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    let mut tick = tokio::time::interval(OFTEN);
    loop {
        tokio::select! {
            done = &mut working => return done.map_err(|e| e.to_string()),
            _ = tick.tick() => {
                let (read, size) = (progress.read.load(Ordering::Relaxed), progress.size.load(Ordering::Relaxed));
                if size > 0 {
                    output::say(&Line::Read(read, size).text());
                }
            }
            _ = term.recv() => progress.stop.store(true, Ordering::Relaxed),
            _ = int.recv() => progress.stop.store(true, Ordering::Relaxed),
        }
    }
}
