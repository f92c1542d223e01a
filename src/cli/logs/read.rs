//! What logs hold now: one source as it stands, several merged by the times of their lines.
//!
//! Several are read side by side, each a little ahead of what is printed, so that nothing is kept but what is asked for.

use std::collections::VecDeque;
use std::io::BufRead;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Printer;
use crate::cli::{Ctx, Done, output};
use crate::domain::clean::clean_bytes;
use crate::domain::fact::{Ask, LogSource};
use crate::domain::guest::Vmid;
use crate::domain::job::JobId;
use crate::domain::log_merge::Kept;
use crate::host::{HostError, NotOpened, Pace, Said, file};
use crate::ops::follow;
use crate::problem::{Kind, Problem};

/// Lines that a source is ahead of what is printed, in batches.
const BATCH: usize = 512;
const AHEAD: usize = 4;

/// Where the lines of one source go, in their order.
trait Take {
    fn line(&mut self, line: &[u8]);
    /// So many of its last lines that have these words are enough.
    fn last_are_enough(&self) -> Option<usize>;
    fn printer(&mut self) -> &mut Printer;
    /// One of the lines that are enough.
    fn last(&mut self, line: &[u8]);
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

    fn end(mut self) {
        for line in std::mem::take(&mut self.kept) {
            self.printer.print(&line);
        }
        self.printer.end();
    }
}

impl Take for Last {
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

    fn last_are_enough(&self) -> Option<usize> {
        self.keep.filter(|_| self.printer.sieve.wanted().asks_only_words())
    }

    fn printer(&mut self) -> &mut Printer {
        &mut self.printer
    }

    fn last(&mut self, line: &[u8]) {
        self.printer.print(line);
    }
}

/// One of several sources: its lines go to whoever merges them.
struct Ahead {
    printer: Printer,
    nth: u8,
    keep: Option<usize>,
    batch: Vec<Kept>,
    to: SyncSender<Vec<Kept>>,
}

impl Ahead {
    fn send(&mut self) {
        // Nobody listens any more only where printing ended the program.
        let _ = self.to.send(std::mem::take(&mut self.batch));
    }
}

impl Take for Ahead {
    fn line(&mut self, line: &[u8]) {
        self.batch.extend(self.printer.kept(line, self.nth));
        if self.batch.len() >= BATCH {
            self.send();
        }
    }

    fn last_are_enough(&self) -> Option<usize> {
        self.keep.filter(|_| self.printer.sieve.wanted().asks_only_words())
    }

    fn printer(&mut self) -> &mut Printer {
        &mut self.printer
    }

    fn last(&mut self, line: &[u8]) {
        self.line(line);
    }
}

/// Lines from standard input, which is read to its end.
pub(super) fn standard_input(printer: Printer, keep: Option<usize>) -> Done {
    let mut last = Last::new(printer, keep);
    for line in std::io::stdin().lock().split(b'\n') {
        last.line(&line.map_err(|e| Problem::new(Kind::Failed, "standard input", e.to_string(), ""))?);
        output::flush();
    }
    last.end();
    Ok(0)
}

/// Sources one after the other.
pub(super) async fn each(ctx: &Ctx, sources: Vec<LogSource>, printers: Vec<Printer>, ask: Ask, count: Option<usize>) -> Done {
    for (source, printer) in sources.iter().zip(printers) {
        let mut last = Last::new(printer, count);
        let read = read(ctx, source, &ask, &mut last).await;
        last.end();
        read?;
    }
    Ok(0)
}

/// Several sources in one list by time.
pub(super) fn merged(ctx: &Ctx, sources: &[LogSource], printers: Vec<Printer>, ask: Ask, count: Option<usize>) -> Done {
    let runtime = tokio::runtime::Handle::current();
    // Each source has a thread that waits for its turn, and the merging waits for them: nothing here may block a task.
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let (mut heads, mut readers) = (Vec::new(), Vec::new());
            for (nth, (source, printer)) in sources.iter().zip(&printers).enumerate() {
                let (to, from) = sync_channel(AHEAD);
                heads.push(Head { from, lines: VecDeque::new() });
                let mut ahead = Ahead { printer: printer.like(), nth: nth as u8, keep: count, batch: Vec::new(), to };
                let runtime = runtime.clone();
                readers.push(scope.spawn(move || {
                    let read = runtime.block_on(read(ctx, source, &ask, &mut ahead));
                    ahead.send();
                    ahead.printer.end();
                    read
                }));
            }
            let print = |line: &Kept| {
                if let Some(printer) = printers.get(usize::from(line.source)) {
                    printer.print_told(&line.text, line.told());
                }
            };
            let mut last = VecDeque::new();
            in_order(heads, |line| match count {
                None => print(&line),
                Some(keep) => {
                    last.push_back(line);
                    if last.len() > keep {
                        last.pop_front();
                    }
                }
            });
            last.iter().for_each(print);
            let mut failed = None;
            for reader in readers {
                // The other sources are worth reading all the same.
                if let Ok(Err(problem)) = reader.join() {
                    eprintln!("proximity: {}", problem.text());
                    failed = Some(problem);
                }
            }
            failed.map_or(Ok(0), Err)
        })
    })
}

/// A source among several.
struct Head {
    from: Receiver<Vec<Kept>>,
    lines: VecDeque<Kept>,
}

impl Head {
    /// Its next line; `None` at its end.
    fn next(&mut self) -> Option<&Kept> {
        while self.lines.is_empty() {
            self.lines = self.from.recv().ok()?.into();
        }
        self.lines.front()
    }
}

/// The lines of all, the earliest first. One that goes on stays behind the line before it.
fn in_order(mut heads: Vec<Head>, mut tell: impl FnMut(Kept)) {
    let mut now: Option<usize> = None;
    loop {
        let goes_on = now.filter(|at| heads.get_mut(*at).and_then(Head::next).is_some_and(|l| l.goes_on));
        now = goes_on.or_else(|| {
            let times = heads.iter_mut().enumerate().filter_map(|(at, head)| Some((head.next()?.time, at)));
            times.min().map(|(_, at)| at)
        });
        let Some(line) = now.and_then(|at| heads.get_mut(at)).and_then(|head| head.lines.pop_front()) else { return };
        tell(line);
    }
}

async fn read(ctx: &Ctx, source: &LogSource, ask: &Ask, to: &mut (dyn Take + Send)) -> Result<(), Problem> {
    if let LogSource::Job(id) = source {
        return job(ctx, *id, to);
    }
    let appliance = follow::appliance_id(ctx.host.as_ref()).await;
    match of_file(ctx, source, appliance, to) {
        Some(read) => read,
        None => whole(ctx, source, ask, appliance, to).await,
    }
}

fn job(ctx: &Ctx, id: JobId, to: &mut (dyn Take + Send)) -> Result<(), Problem> {
    let jobs = ctx.open_jobs()?;
    let text = jobs.logs().read(id, 0, usize::MAX >> 1);
    let text = text.map_err(|e| Problem::new(Kind::Failed, LogSource::Job(id).name(), e.to_string(), ""))?;
    text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).for_each(|l| to.line(l));
    Ok(())
}

/// Reads a file where it lies; `None` where only a command can. A number of last lines is looked for from the end, which
/// is soon found however long the file is, unless times or levels are asked for: they need the lines before.
fn of_file(ctx: &Ctx, source: &LogSource, appliance: Vmid, to: &mut (dyn Take + Send)) -> Option<Result<(), Problem>> {
    let (guest, path) = source.file(appliance)?;
    let failed = |why: String| Problem::new(Kind::Failed, format!("log {}", source.name()), why, "");
    let tree = match ctx.host.tree(guest) {
        // No command could read there either.
        Err(NotOpened::NotRunning(id)) => match ctx.host.stopped_tree(id) {
            Ok(tree) => Ok(tree),
            Err(e) => return Some(Err(failed(e.why()))),
        },
        tree => tree,
    };
    let opened = match tree.and_then(|tree| tree.open(path)) {
        Ok(opened) => opened,
        Err(NotOpened::Refused(e)) => return Some(Err(failed(e.to_string()))),
        Err(NotOpened::NotFromHere(_) | NotOpened::NotRunning(_)) => return None,
    };
    let read = match to.last_are_enough() {
        Some(keep) => {
            let filter = to.printer().sieve.wanted().filter.clone();
            file::last_passing(&opened, keep, &filter, |line| to.last(line))
        }
        None => file::each_line(&opened, |line| to.line(line)),
    };
    Some(read.map_err(|e| failed(e.to_string())))
}

/// All that a source tells, however much it is: nothing is kept but what is wanted.
async fn whole(ctx: &Ctx, source: &LogSource, ask: &Ask, appliance: Vmid, to: &mut (dyn Take + Send)) -> Result<(), Problem> {
    let Some(cmd) = follow::command(source, ask, appliance) else { return Ok(()) };
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
                            to.line(&before);
                        }
                    }
                    output::flush();
                }
                Said::Ended(code) => status = Some(code),
                Said::Started(_) | Said::Dropped(_) => {}
            }
        }
        match (status, held) {
            (Some(0), Some(line)) => to.line(&line),
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
