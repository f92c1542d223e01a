//! Follows a log of a host for as long as somebody reads it; says how it goes, and tries again when it breaks.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::domain::appliance;
use crate::domain::cmd::Cmd;
use crate::domain::fact::{Ask, Fact, LogLine, LogSource, LogState};
use crate::domain::guest::Vmid;
use crate::domain::pve;
use crate::host::file::{Begin, Told, stream};
use crate::host::{Host, HostError, NotOpened, Pace, Said, last_lines};

/// Lines shown from before the beginning.
const BACKLOG: u32 = 500;
/// Pauses between attempts, in seconds; the last one repeats.
const AGAIN: [u64; 4] = [1, 3, 10, 30];

/// The command that gives what is asked of a source; `None` for a job's log, which is no command's.
pub fn command(source: &LogSource, ask: &Ask) -> Option<Cmd> {
    let Ask { lines, follow, .. } = *ask;
    let id = appliance::vmid()?;
    match source {
        LogSource::Dnsmasq => Some(pve::tail_in_guest(id, appliance::DNSMASQ_LOG, lines, follow)),
        LogSource::Caddy => Some(pve::tail_in_guest(id, appliance::CADDY_LOG, lines, follow)),
        LogSource::Journal => Some(pve::journal(ask)),
        LogSource::File(path) => Some(pve::tail(path, lines, follow)),
        LogSource::InGuest(id, path) => Some(pve::tail_in_guest(*id, path, lines, follow)),
        LogSource::Job(_) => None,
    }
}

/// What a console asks: some lines from before, and what comes.
pub fn live() -> Ask {
    Ask { lines: Some(BACKLOG), follow: true, ..Ask::default() }
}

/// Follows until `stop` is cancelled or nobody listens: a file where it lies, all else and what cannot be read so by a
/// command.
pub async fn follow(host: &dyn Host, source: LogSource, ask: Ask, facts: mpsc::Sender<Fact>, stop: CancellationToken) {
    let Some(cmd) = command(&source, &ask) else { return };
    let mut pauses = AGAIN.iter().copied();
    let mut pause = AGAIN[0];
    // What a command told once a command goes on telling: the file would tell it again.
    let (mut by_command, mut reason) = (false, String::new());
    while !stop.is_cancelled() {
        let state = |state| Fact::LogState { source: source.clone(), state };
        if let Some(file) = source.file().filter(|_| !by_command) {
            let Some(why) = follow_file(host, &source, file, &ask, &facts, &stop).await else { return };
            if why != reason {
                let _ = facts.send(state(LogState::Noted(format!("{why}; a command reads it")))).await;
                reason = why;
            }
        }
        if facts.send(state(LogState::Opening)).await.is_err() {
            return;
        }
        let (why, heard) = once(host, &cmd, &source, &facts, &stop).await;
        if stop.is_cancelled() || facts.is_closed() {
            return;
        }
        // A stream that ran a while broke for a reason of its own: begin with the short pause again.
        if heard {
            pauses = AGAIN.iter().copied();
            by_command = true;
        }
        pause = pauses.next().unwrap_or(pause);
        if facts.send(state(LogState::Broken { why, again: true })).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(pause)) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Follows a file where it lies, through stops of its guest. Gives why only a command can; then nothing was told.
async fn follow_file(
    host: &dyn Host,
    source: &LogSource,
    (guest, path): (Option<Vmid>, &str),
    ask: &Ask,
    facts: &mpsc::Sender<Fact>,
    stop: &CancellationToken,
) -> Option<String> {
    let state = |state| Fact::LogState { source: source.clone(), state };
    let (mut begin, mut said) = (ask.lines.map_or(Begin::All, Begin::Last), String::new());
    while !stop.is_cancelled() && !facts.is_closed() {
        let (told, mut hear) = mpsc::channel(16);
        let tree = host.tree(guest);
        let reading = async {
            match tree {
                Ok(tree) => stream(tree, path.to_owned(), begin.clone(), told, stop.child_token()).await,
                Err(e) => Err(e),
            }
        };
        let telling = async {
            let (mut heard, mut left) = (false, None);
            while let Some(told) = hear.recv().await {
                let fact = match told {
                    Told::Lines(text) if text.is_empty() => state(LogState::Following),
                    Told::Lines(text) => {
                        let lines = text.into_iter().map(|text| LogLine { text }).collect();
                        Fact::Log { source: source.clone(), at: host.clock().0, lines, dropped: 0 }
                    }
                    Told::Note(what) => state(LogState::Noted(what)),
                    Told::Left(place) => {
                        left = Some(place);
                        continue;
                    }
                };
                heard = true;
                if facts.send(fact).await.is_err() {
                    break;
                }
            }
            (heard, left)
        };
        let (result, (heard, left)) = tokio::join!(reading, telling);
        let why = match &result {
            Ok(()) => "the guest has stopped".to_owned(),
            Err(e @ (NotOpened::NotFromHere(_) | NotOpened::NotRunning(_))) if !heard && said.is_empty() => return Some(e.why()),
            Err(e) => e.why(),
        };
        match left {
            Some(place) => begin = Begin::At(place),
            // What comes to be where nothing was is all new.
            None if matches!(result, Err(NotOpened::Refused(HostError::Missing { .. }))) && !matches!(begin, Begin::At(_)) => {
                begin = Begin::All
            }
            None => {}
        }
        if why != said && !stop.is_cancelled() {
            let _ = facts.send(state(LogState::Broken { why: why.clone(), again: true })).await;
            said = why;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(AGAIN[0])) => {}
            () = stop.cancelled() => {}
        }
    }
    None
}

/// One run of the command. Gives why it ended and whether it had said anything.
async fn once(host: &dyn Host, cmd: &Cmd, source: &LogSource, facts: &mpsc::Sender<Fact>, stop: &CancellationToken) -> (String, bool) {
    let (tx, mut rx) = mpsc::channel(64);
    let end = stop.child_token();
    let mut stream = Box::pin(host.stream(cmd.clone(), Pace::Live, tx, end.clone()));
    let (mut heard, mut following, mut lost) = (false, false, 0);
    let mut last: Vec<u8> = Vec::new();
    let result = loop {
        let said = tokio::select! {
            said = rx.recv() => said,
            result = &mut stream => {
                // What was told between the last look and the end.
                while let Ok(said) = rx.try_recv() {
                    if let Said::Lines(lines) = said && let Some(line) = lines.last() { last = line.to_vec(); }
                }
                break result;
            }
        };
        match said {
            Some(Said::Lines(lines)) => {
                last = lines.last().map(|l| l.to_vec()).unwrap_or_default();
                heard = true;
                let lines = lines.into_iter().map(|text| LogLine { text }).collect();
                let told = Fact::Log { source: source.clone(), at: host.clock().0, lines, dropped: std::mem::take(&mut lost) };
                if facts.send(told).await.is_err() {
                    end.cancel();
                }
            }
            Some(Said::Dropped(n)) => lost += n,
            Some(Said::Started(_)) if !following => {
                following = true;
                let _ = facts.send(Fact::LogState { source: source.clone(), state: LogState::Following }).await;
            }
            Some(Said::Started(_)) => {}
            Some(Said::Ended(status)) => {
                let said = last_lines(&last);
                let _ = (&mut stream).await;
                return (format!("ended with status {status}: {said}"), heard && status == 0);
            }
            None => break (&mut stream).await,
        }
    };
    match result {
        Ok(()) => (last_lines(&last), heard),
        Err(HostError::Missing { what }) => (format!("{what} is not there"), false),
        Err(e) => (e.to_string(), heard),
    }
}
