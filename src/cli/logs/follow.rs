//! What comes to logs that are followed. Lines of several sources are held for a moment, so that one that is read a little
//! later than it was written still stands before what was written after it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{LINES, Printer};
use crate::cli::{Ctx, Done, output};
use crate::domain::fact::{Ask, Fact, LogSource, LogState};
use crate::domain::log_merge::{Kept, Merge};
use crate::ops::follow;
use crate::problem::{Kind, Problem};

/// Lines of several sources are held for one to two of these.
const HOLD: Duration = Duration::from_millis(125);

/// Lines that are held.
#[derive(Default)]
struct Held {
    list: VecDeque<Kept>,
    merge: Merge,
    /// Number of the first one.
    first: u64,
    /// Those before this number were held long enough.
    ripe: u64,
}

impl Held {
    fn take(&mut self, lines: impl Iterator<Item = Kept>) {
        let shift = self.merge.add(&mut self.list, self.first, lines, |_| {});
        self.ripe = shift.of(self.ripe);
    }

    /// Gives what was held since the last but one call; all of it where nothing more comes.
    fn let_go(&mut self, all: bool, mut tell: impl FnMut(&Kept)) {
        while (all || self.first < self.ripe)
            && let Some(line) = self.list.pop_front()
        {
            tell(&line);
            self.first += 1;
        }
        self.ripe = self.first + self.list.len() as u64;
    }
}

/// Follows until it is interrupted.
pub(super) async fn following(ctx: &Ctx, sources: Vec<LogSource>, mut printers: Vec<Printer>, ask: Ask) -> Done {
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
    let mut held = Held::default();
    let mut tick = tokio::time::interval(HOLD);
    loop {
        let fact = tokio::select! {
            fact = rx.recv() => fact,
            _ = tick.tick(), if !held.list.is_empty() => {
                held.let_go(false, |line| print(&printers, line));
                output::flush();
                continue;
            }
            _ = tokio::signal::ctrl_c() => None,
        };
        match fact {
            Some(Fact::Log { source, at, lines, dropped }) => {
                if dropped > 0 {
                    eprintln!("{}: {dropped} lines were lost here", source.name());
                }
                let Some(nth) = sources.iter().position(|s| *s == source) else { continue };
                let Some(printer) = printers.get_mut(nth) else { continue };
                printer.now(at);
                if sources.len() == 1 {
                    lines.iter().for_each(|l| printer.line(&l.text));
                    output::flush();
                } else {
                    held.take(lines.iter().filter_map(|l| printer.kept(&l.text, nth as u8)));
                }
            }
            Some(Fact::LogState { source, state: LogState::Noted(what) }) => eprintln!("{}: {what}", source.name()),
            Some(Fact::LogState { source, state: LogState::Broken { why, .. } }) => eprintln!("{}: {why}; trying again", source.name()),
            Some(_) => {}
            None => break,
        }
    }
    held.let_go(true, |line| print(&printers, line));
    stop.cancel();
    // tail and pct get their TERM before we go.
    tokio::time::sleep(Duration::from_millis(50)).await;
    printers.iter().for_each(Printer::end);
    Ok(0)
}

fn print(printers: &[Printer], line: &Kept) {
    if let Some(printer) = printers.get(usize::from(line.source)) {
        printer.print_told(&line.text, line.told());
    }
}
