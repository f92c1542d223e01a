//! `logs`: prints or follows logs, usable in pipes and without a screen.
//!
//! Lines of a source pass through its own sieve in their order, those of several stand by their times.
//!
//! ```text
//! print.rs    a line as it is printed: as it came, cleaned, or as an object
//! read.rs     what sources hold now
//! follow.rs   what comes
//! ```

use clap::Args;

use super::{Ctx, Done, Need, output};
use crate::domain::access::{Object, Permission, of_log};
use crate::domain::clean::clean;
use crate::domain::fact::{Ask, LogSource};
use crate::domain::filter::Filter;
use crate::domain::log_level::Level;
use crate::domain::log_sieve::Wanted;
use crate::domain::when::{self, Here};
use crate::problem::{Kind, Problem};

mod follow;
mod print;
mod read;

use print::Printer;

/// Lines printed of each source where nothing is said about their number or their time.
const LINES: u32 = 100;

/// `logs`.
#[derive(Args)]
pub(super) struct Logs {
    /// Names of sources: dnsmasq, caddy, journal, job:N, a file's path, 101:PATH in a guest, or - for standard input
    sources: Vec<String>,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    /// So many of the last lines that are wanted; 100 unless a time is given
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<u32>,
    /// Nothing older: 10m, 2h, 14:30, yesterday, 2026-11-21, '2026-11-21 14:30'
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Nothing newer
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    until: Option<String>,
    /// At least so grave: debug, info, notice, warn, error, critical
    #[arg(long, value_name = "LEVEL")]
    level: Option<String>,
    /// Only lines that match this expression; may be given again, all must match
    #[arg(long = "match", value_name = "RE")]
    keep: Vec<String>,
    /// No lines that match this expression
    #[arg(long = "not", value_name = "RE")]
    drop: Vec<String>,
    /// With -o json: the fields that a line is made of, too
    #[arg(long)]
    fields: bool,
    /// List the sources and end
    #[arg(long = "sources")]
    list: bool,
}

impl Logs {
    /// What it takes: each source by itself. A name that is no source is told later.
    pub(super) fn needs(&self) -> Vec<Need> {
        if self.list || self.sources == ["-"] {
            return vec![Need::Permission(Permission::Help, Object::Host)];
        }
        if self.sources.is_empty() {
            return vec![Need::Permission(Permission::ReadLogs, Object::Host)];
        }
        let need = |source| match source {
            LogSource::Job(id) => Need::Job(Permission::ReadJobs, id),
            source => {
                let (permission, object) = of_log(&source, None);
                Need::Permission(permission, object)
            }
        };
        self.sources
            .iter()
            .map(|name| LogSource::from_name(name).map_or(Need::Permission(Permission::ReadLogs, Object::Host), need))
            .collect()
    }

    fn wanted(&self, here: Here) -> Result<Wanted, Problem> {
        let wrong = |what: &str, why: String, hint: &str| Problem::new(Kind::Usage, what, why, hint);
        let time = |name: &str, text: &Option<String>| match text {
            Some(text) => when::parse(text, here).map(Some).map_err(|why| wrong(name, why, "")),
            None => Ok(None),
        };
        let level = match &self.level {
            Some(word) => Some(Level::parse(word).ok_or_else(|| {
                let all = Level::ALL.map(Level::word).join(", ");
                wrong("--level", format!("'{}' is no level", clean(word)), &format!("give one of {all}"))
            })?),
            None => None,
        };
        let (since, until) = (time("--since", &self.since)?, time("--until", &self.until)?);
        if since.zip(until).is_some_and(|(since, until)| since > until) {
            return Err(wrong("--until", "it lies before --since, so no line can be between".into(), ""));
        }
        let filter = Filter::from_lists(&self.keep, &self.drop).map_err(|why| wrong("the filter", why, ""))?;
        Ok(Wanted { since, until, level, filter })
    }
}

pub(super) async fn run(ctx: &Ctx, logs: &Logs) -> Done {
    if logs.list {
        LogSource::standing().iter().for_each(|s| output::say(&s.name()));
        return Ok(0);
    }
    let (now, offset_s) = ctx.host.clock();
    let here = Here { now, offset_s };
    let wanted = logs.wanted(here)?;
    let printer = |source: &LogSource, several: bool| {
        let names = several.then(|| source.name());
        Printer::new(source.name(), names, (ctx.form, logs.fields), &wanted, here)
    };
    if logs.sources == ["-"] {
        let keep = logs.lines.map(|n| n as usize);
        let done = read::standard_input(printer(&LogSource::File("-".into()), false), keep);
        output::flush();
        return done;
    }
    let names = if logs.sources.is_empty() { LogSource::standing().iter().map(LogSource::name).collect() } else { logs.sources.clone() };
    let sources: Vec<LogSource> = names.iter().map(|name| source(name)).collect::<Result<_, _>>()?;
    let printers = sources.iter().map(|s| printer(s, sources.len() > 1)).collect();
    // A number counts lines that are wanted, so the source is asked for so many only where all are.
    let count = logs.lines.or((logs.since.is_none() && logs.until.is_none()).then_some(LINES));
    let lines = count.filter(|_| wanted.is_all());
    let ask = Ask { lines, follow: logs.follow, since: wanted.since, until: wanted.until, level: wanted.level };
    let count = count.map(|n| n as usize);
    let done = match (logs.follow, sources.len()) {
        (true, _) => follow::following(ctx, sources, printers, ask).await,
        (false, 0..=1) => read::each(ctx, sources, printers, ask, count).await,
        (false, _) => read::merged(ctx, &sources, printers, ask, count),
    };
    output::flush();
    done
}

fn source(name: &str) -> Result<LogSource, Problem> {
    LogSource::from_name(name).ok_or_else(|| {
        let why = format!("there is no source '{}'", clean(name));
        Problem::new(
            Kind::NotFound,
            "logs",
            why,
            "see proximity logs --sources; a file is its whole path or file:PATH, one in a guest 101:PATH",
        )
    })
}
