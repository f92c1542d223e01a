//! `logs`: prints or follows logs, usable in pipes and without a screen.
//!
//! Lines of a source pass through its own sieve in their order. At a terminal they are cleaned; into a pipe the original
//! goes, byte for byte.

use std::collections::VecDeque;
use std::io::BufRead;

use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Ctx, Done, Form, Need, output};
use crate::domain::access::{Object, Permission, of_log};
use crate::domain::clean::{clean, clean_bytes};
use crate::domain::fact::{Ask, Fact, LogSource, LogState};
use crate::domain::filter::Filter;
use crate::domain::log_level::Level;
use crate::domain::log_sieve::{Sieve, Told, Wanted};
use crate::domain::when::{self, Here};
use crate::host::{HostError, NotOpened, Pace, Said, file};
use crate::ops::follow;
use crate::problem::{Kind, Problem};

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
    let printer = |source: &LogSource, several| Printer {
        form: ctx.form,
        name: source.name(),
        several,
        sieve: Sieve::new(wanted.clone(), here),
        teller: Sieve::new(Wanted::default(), here),
    };
    if logs.sources == ["-"] {
        let keep = logs.lines.map(|n| n as usize);
        return standard_input(printer(&LogSource::File("-".into()), false), keep);
    }
    let names = if logs.sources.is_empty() { LogSource::standing().iter().map(LogSource::name).collect() } else { logs.sources.clone() };
    let sources: Vec<LogSource> = names.iter().map(|name| source(name)).collect::<Result<_, _>>()?;
    let printers = sources.iter().map(|s| printer(s, sources.len() > 1)).collect();
    // A number counts lines that are wanted, so the source is asked for so many only where all are.
    let count = logs.lines.or((logs.since.is_none() && logs.until.is_none()).then_some(LINES));
    let lines = count.filter(|_| wanted.is_all());
    let ask = Ask { lines, follow: logs.follow, since: wanted.since, until: wanted.until, level: wanted.level };
    if logs.follow { following(ctx, sources, printers, ask).await } else { once(ctx, sources, printers, ask, count).await }
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

/// Prints the lines of one source that are wanted.
struct Printer {
    form: Form,
    name: String,
    several: bool,
    sieve: Sieve,
    /// Reads time and level of what is printed as JSON.
    teller: Sieve,
}

impl Printer {
    fn line(&mut self, line: &[u8]) {
        if self.sieve.passes(line) {
            self.print(line);
        }
    }

    fn print(&mut self, line: &[u8]) {
        use std::io::{IsTerminal, Write};
        let tag = if self.several { format!("{}: ", self.name) } else { String::new() };
        if self.form == Form::Json {
            let Told { time, level } = self.teller.told(line);
            let (time, level) = (time.map(|t| t.rfc3339()), level.map(Level::word));
            output::object(&json!({"source": self.name, "time": time, "level": level, "line": String::from_utf8_lossy(line)}));
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

    /// Says what was left out for want of a time.
    fn end(&self) {
        let n = self.sieve.timeless();
        if n > 0 {
            let lines = if n == 1 { "1 line tells no time and was" } else { &format!("{n} lines tell no time and were") };
            eprintln!("{}: {lines} left out", self.name);
        }
    }
}

/// The last so many lines that are wanted, or all at once.
struct Last {
    printer: Printer,
    keep: Option<usize>,
    kept: VecDeque<Box<[u8]>>,
}

impl Last {
    fn new(printer: Printer, keep: Option<usize>) -> Self {
        Last { printer, keep, kept: VecDeque::new() }
    }

    fn line(&mut self, line: &[u8]) {
        match self.keep {
            None => self.printer.line(line),
            Some(keep) => {
                if self.printer.sieve.passes(line) {
                    self.kept.push_back(line.into());
                    if self.kept.len() > keep {
                        self.kept.pop_front();
                    }
                }
            }
        }
    }

    fn end(mut self) {
        for line in std::mem::take(&mut self.kept) {
            self.printer.print(&line);
        }
        self.printer.end();
    }
}

fn standard_input(printer: Printer, keep: Option<usize>) -> Done {
    let mut last = Last::new(printer, keep);
    for line in std::io::stdin().lock().split(b'\n') {
        last.line(&line.map_err(|e| Problem::new(Kind::Failed, "standard input", e.to_string(), ""))?);
    }
    last.end();
    Ok(0)
}

async fn once(ctx: &Ctx, sources: Vec<LogSource>, printers: Vec<Printer>, ask: Ask, count: Option<u32>) -> Done {
    let mut failed = None;
    let several = sources.len() > 1;
    for (source, printer) in sources.iter().zip(printers) {
        let mut last = Last::new(printer, count.map(|n| n as usize));
        let read = match source {
            LogSource::Job(id) => job(ctx, *id, &mut last),
            LogSource::File(_) | LogSource::InGuest(..) => match file(ctx, source, &mut last) {
                Some(read) => read,
                None => whole(ctx, source, &ask, &mut last).await,
            },
            _ => whole(ctx, source, &ask, &mut last).await,
        };
        last.end();
        // The other sources are worth reading all the same.
        if let Err(problem) = read {
            if several {
                eprintln!("proximity: {}", problem.text());
            }
            failed = Some(problem);
        }
    }
    failed.map_or(Ok(0), Err)
}

fn job(ctx: &Ctx, id: crate::domain::job::JobId, last: &mut Last) -> Result<(), Problem> {
    let jobs = ctx.open_jobs()?;
    let text = jobs.logs().read(id, 0, usize::MAX >> 1);
    let text = text.map_err(|e| Problem::new(Kind::Failed, LogSource::Job(id).name(), e.to_string(), ""))?;
    text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).for_each(|l| last.line(l));
    Ok(())
}

/// Reads a file where it lies; `None` where only a command can. A number of last lines is looked for from the end, which
/// is soon found however long the file is, unless times or levels are asked for: they need the lines before.
fn file(ctx: &Ctx, source: &LogSource, last: &mut Last) -> Option<Result<(), Problem>> {
    let (guest, path) = source.file()?;
    let opened = ctx.host.tree(guest).and_then(|tree| tree.open(path));
    let failed = |why: String| Problem::new(Kind::Failed, format!("log {}", source.name()), why, "");
    let opened = match opened {
        Ok(opened) => opened,
        Err(NotOpened::Refused(e)) => return Some(Err(failed(e.to_string()))),
        Err(NotOpened::NotFromHere(_)) => return None,
    };
    let from_the_end = last.keep.filter(|_| last.printer.sieve.wanted().asks_only_words());
    let read = match from_the_end {
        Some(keep) => file::last_passing(&opened, keep, &last.printer.sieve.wanted().filter.clone(), |line| last.printer.print(line)),
        None => file::each_line(&opened, |line| last.line(line)),
    };
    Some(read.map_err(|e| failed(e.to_string())))
}

/// All that a source tells, however much it is: nothing is kept but what is wanted.
async fn whole(ctx: &Ctx, source: &LogSource, ask: &Ask, last: &mut Last) -> Result<(), Problem> {
    let Some(cmd) = follow::command(source, ask) else { return Ok(()) };
    let what = || format!("log {}", source.name());
    let (tx, mut rx) = mpsc::channel(64);
    let reading = async {
        // The newest line is held back: where the command fails, it is the reason and no line of the log.
        let mut held: Option<Box<[u8]>> = None;
        let mut status = None;
        while let Some(said) = rx.recv().await {
            match said {
                Said::Lines(lines) => {
                    for line in lines {
                        if let Some(before) = held.replace(line) {
                            last.line(&before);
                        }
                    }
                }
                Said::Ended(code) => status = Some(code),
                Said::Started(_) | Said::Dropped(_) => {}
            }
        }
        match (status, held) {
            (Some(0), Some(line)) => last.line(&line),
            (Some(0), None) => {}
            (Some(code), held) => {
                let why = held.map_or_else(String::new, |line| format!(": {}", clean_bytes(&line)));
                return Err(Problem::new(Kind::Failed, what(), format!("it ended with status {code}{why}"), ""));
            }
            (None, _) => {}
        }
        Ok(())
    };
    let (streamed, read) = tokio::join!(ctx.host.stream(cmd.unlimited(), Pace::Whole, tx, CancellationToken::new()), reading);
    streamed.map_err(|e: HostError| Problem { what: what(), ..Problem::from(e) })?;
    read
}

async fn following(ctx: &Ctx, sources: Vec<LogSource>, mut printers: Vec<Printer>, ask: Ask) -> Done {
    let (tx, mut rx) = mpsc::channel(64);
    let stop = CancellationToken::new();
    // Without a time some lines from before are enough to begin with, wanted or not.
    let ask = Ask { lines: ask.lines.or(ask.since.is_none().then_some(LINES)), ..ask };
    for source in &sources {
        let (host, tx, stop, source) = (std::sync::Arc::clone(&ctx.host), tx.clone(), stop.clone(), source.clone());
        if let LogSource::Job(_) = source {
            return Err(Problem::new(Kind::Usage, source.name(), "a job's log is followed by its own command", "proximity job log N -f"));
        }
        tokio::spawn(async move { follow::follow(host.as_ref(), source, ask, tx, stop).await });
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
                let printer = sources.iter().position(|s| *s == source).and_then(|at| printers.get_mut(at));
                if let Some(printer) = printer {
                    lines.iter().for_each(|l| printer.line(&l.text));
                }
            }
            Some(Fact::LogState { source, state: LogState::Noted(what) }) => eprintln!("{}: {what}", source.name()),
            Some(Fact::LogState { source, state: LogState::Broken { why, .. } }) => eprintln!("{}: {why}; trying again", source.name()),
            Some(_) => {}
            None => break,
        }
    }
    stop.cancel();
    // tail and pct get their TERM before we go.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    printers.iter().for_each(Printer::end);
    Ok(0)
}
