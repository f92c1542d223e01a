//! `logs`: prints or follows logs, usable in pipes and without a screen.

use std::io::BufRead;

use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Ctx, Done, Form, Need, output};
use crate::domain::access::{Object, Permission, of_log};
use crate::domain::clean::clean_bytes;
use crate::domain::fact::{Fact, LogSource, LogState};
use crate::domain::filter::Filter;
use crate::ops::follow;
use crate::problem::{Kind, Problem};

/// `logs`.
#[derive(Args)]
pub(super) struct Logs {
    /// Names of sources: dnsmasq, caddy, journal, job:N, file:PATH, or - for standard input
    sources: Vec<String>,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    /// Lines from before now
    #[arg(short = 'n', long, default_value_t = 100)]
    lines: u32,
    /// Only lines that match this expression; may be given again, all must match
    #[arg(long = "match", value_name = "RE")]
    keep: Vec<String>,
    /// No lines that match this expression
    #[arg(long = "not", value_name = "RE")]
    drop: Vec<String>,
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
}

pub(super) async fn run(ctx: &Ctx, logs: &Logs) -> Done {
    if logs.list {
        LogSource::standing().iter().for_each(|s| output::say(&s.name()));
        return Ok(0);
    }
    let wrong = |what: &str, why: String, hint: &str| Problem::new(Kind::Usage, what, why, hint);
    let filter = Filter::from_lists(&logs.keep, &logs.drop).map_err(|why| wrong("the filter", why, ""))?;
    if logs.sources == ["-"] {
        return standard_input(ctx, &filter);
    }
    let names = if logs.sources.is_empty() { LogSource::standing().iter().map(LogSource::name).collect() } else { logs.sources.clone() };
    let sources: Vec<LogSource> = names
        .iter()
        .map(|n| {
            LogSource::from_name(n).ok_or_else(|| {
                Problem::new(
                    Kind::NotFound,
                    "logs",
                    format!("there is no source '{}'", crate::domain::clean::clean(n)),
                    "see proximity logs --sources; a file is file:PATH",
                )
            })
        })
        .collect::<Result<_, _>>()?;
    if logs.follow { following(ctx, &sources, &filter).await } else { once(ctx, &sources, &filter, logs.lines).await }
}

/// At a terminal lines are cleaned; into a pipe the original goes.
fn print(ctx: &Ctx, source: &LogSource, several: bool, line: &[u8]) {
    use std::io::{IsTerminal, Write};
    let tag = if several { format!("{}: ", source.name()) } else { String::new() };
    if ctx.form == Form::Json {
        output::object(&json!({"source": source.name(), "line": String::from_utf8_lossy(line)}));
    } else if std::io::stdout().is_terminal() {
        output::say(&format!("{tag}{}", clean_bytes(line)));
    } else {
        let mut whole = tag.into_bytes();
        whole.extend_from_slice(line);
        whole.push(b'\n');
        if std::io::stdout().write_all(&whole).is_err() {
            std::process::exit(0);
        }
    }
}

fn standard_input(ctx: &Ctx, filter: &Filter) -> Done {
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line.map_err(|e| Problem::new(Kind::Failed, "standard input", e.to_string(), ""))?;
        if filter.passes(&line) {
            print(ctx, &LogSource::File("-".into()), false, &line);
        }
    }
    Ok(0)
}

async fn once(ctx: &Ctx, sources: &[LogSource], filter: &Filter, lines: u32) -> Done {
    let mut failed = None;
    for source in sources {
        let text = match source {
            LogSource::Job(id) => {
                let jobs = ctx.open_jobs()?;
                jobs.logs().read(*id, 0, usize::MAX >> 1).map_err(|e| Problem::new(Kind::Failed, source.name(), e.to_string(), ""))
            }
            _ => {
                let Some(cmd) = follow::command(source, lines, false) else { continue };
                let out = ctx.host.run(cmd).await;
                out.and_then(|o| o.success().map(|t| t.out.to_vec()))
                    .map_err(|e| Problem { what: format!("log {}", source.name()), ..Problem::from(e) })
            }
        };
        match text {
            Ok(text) => text
                .split(|b| *b == b'\n')
                .filter(|l| !l.is_empty() && filter.passes(l))
                .for_each(|l| print(ctx, source, sources.len() > 1, l)),
            // The other sources are worth reading all the same.
            Err(problem) => {
                if sources.len() > 1 {
                    eprintln!("proximity: {}", problem.text());
                }
                failed = Some(problem);
            }
        }
    }
    failed.map_or(Ok(0), Err)
}

async fn following(ctx: &Ctx, sources: &[LogSource], filter: &Filter) -> Done {
    let (tx, mut rx) = mpsc::channel(64);
    let stop = CancellationToken::new();
    for source in sources {
        let (host, tx, stop, source) = (std::sync::Arc::clone(&ctx.host), tx.clone(), stop.clone(), source.clone());
        if let LogSource::Job(_) = source {
            return Err(Problem::new(Kind::Usage, source.name(), "a job's log is followed by its own command", "proximity job log N -f"));
        }
        tokio::spawn(async move { follow::follow(host.as_ref(), source, tx, stop).await });
    }
    drop(tx);
    loop {
        let fact = tokio::select! {
            fact = rx.recv() => fact,
            _ = tokio::signal::ctrl_c() => None,
        };
        match fact {
            Some(Fact::Log { source, lines, dropped }) => {
                if dropped > 0 {
                    eprintln!("{}: {dropped} lines were lost here", source.name());
                }
                lines.iter().filter(|l| filter.passes(&l.text)).for_each(|l| print(ctx, &source, sources.len() > 1, &l.text));
            }
            Some(Fact::LogState { source, state: LogState::Broken { why, .. } }) => eprintln!("{}: {why}; trying again", source.name()),
            Some(_) => {}
            None => break,
        }
    }
    stop.cancel();
    // tail and pct get their TERM before we go.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    Ok(0)
}
