//! Follows a log of a host for as long as somebody reads it; says how it goes, and tries again when it breaks.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::overlap::{Overlap, Settled};
use crate::domain::appliance;
use crate::domain::cmd::Cmd;
use crate::domain::conf::parse_lxc;
use crate::domain::fact::{Ask, Fact, LogLine, LogSource, LogState};
use crate::domain::guest::Vmid;
use crate::domain::pve;
use crate::host::file::{Begin, Told, stream};
use crate::host::{Found, Host, HostError, Look, NotOpened, Pace, Said, last_lines};

/// Lines shown from before the beginning.
const BACKLOG: u32 = 500;
/// Pauses between attempts, in seconds; the last one repeats.
const AGAIN: [u64; 4] = [1, 3, 10, 30];
/// A command that ran so long is begun again soon, however it ended.
const A_WHILE: Duration = Duration::from_secs(60);
/// How long lines of a command that began again are gathered before it is decided which of them were told before.
const SETTLE: Duration = Duration::from_secs(1);
/// Said when a guest that had stopped is there again.
const BACK: &str = "the guest runs again; reading goes on where it stopped";

/// Which guest the appliance is, asked of the configurations alone: logs are read while much else cannot be told.
pub async fn appliance_id(host: &dyn Host) -> Vmid {
    let found = host.look(vec![Look::Glob("/etc/pve/local/lxc/*.conf".into(), 1 << 20)]).await;
    let Some(Ok(Found::Files(files))) = found.into_iter().next() else { return appliance::VMID };
    let guest = |(path, bytes): (String, Result<Vec<u8>, _>)| {
        let id = path.rsplit('/').next()?.strip_suffix(".conf")?.parse().ok()?;
        Some(parse_lxc(id, &String::from_utf8_lossy(&bytes.ok()?)))
    };
    appliance::of(&files.into_iter().filter_map(guest).collect::<Vec<_>>(), None)
}

/// The command that gives what is asked of a source; `None` for a job's log, which is no command's. `id`: the appliance.
pub fn command(source: &LogSource, ask: &Ask, id: Vmid) -> Option<Cmd> {
    let Ask { lines, follow, .. } = *ask;
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
    let mut pauses = AGAIN.iter().copied();
    let mut pause = AGAIN[0];
    // What a command told once a command goes on telling: the file would tell it again.
    let (mut told, mut reason) = (Overlap::default(), String::new());
    while !stop.is_cancelled() {
        let state = |state| Fact::LogState { source: source.clone(), state };
        let id = appliance_id(host).await;
        if let Some(file) = source.file(id).filter(|_| told.is_empty()) {
            let Some(why) = follow_file(host, &source, file, &ask, &facts, &stop).await else { return };
            let now = appliance_id(host).await;
            if now != id && file.0 == Some(id) {
                let _ = facts.send(state(LogState::Noted(format!("the appliance is {now} now")))).await;
                continue;
            }
            if why != reason {
                let _ = facts.send(state(LogState::Noted(format!("{why}; a command reads it")))).await;
                reason = why;
            }
        }
        if facts.send(state(LogState::Opening)).await.is_err() {
            return;
        }
        let Some(cmd) = command(&source, &Ask { lines: told.ask(ask.lines), ..ask }, id) else { return };
        let begun = tokio::time::Instant::now();
        let (why, heard) = once(host, cmd, &source, &mut told, &facts, &stop).await;
        if stop.is_cancelled() || facts.is_closed() {
            return;
        }
        // A stream that ran a while broke for a reason of its own: begin with the short pause again.
        if heard || begun.elapsed() > A_WHILE {
            pauses = AGAIN.iter().copied();
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
    let (mut begin, mut said, mut read) = (ask.lines.map_or(Begin::All, Begin::Last), String::new(), false);
    while !stop.is_cancelled() && !facts.is_closed() {
        let (told, mut hear) = mpsc::channel(16);
        let (tree, back) = (host.tree(guest), matches!(begin, Begin::At(_)));
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
                    Told::Lines(text) if text.is_empty() => {
                        if back {
                            let _ = facts.send(state(LogState::Noted(BACK.into()))).await;
                        }
                        state(LogState::Following)
                    }
                    Told::Lines(text) => {
                        let lines = text.into_iter().map(|text| LogLine { text }).collect();
                        Fact::Log { source: source.clone(), at: host.clock().0, lines, dropped: 0 }
                    }
                    Told::Note(what) => state(LogState::Noted(what)),
                    Told::Left(files) => {
                        left = Some(files);
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
        if heard {
            // What was said before is news again.
            (read, said) = (true, String::new());
        }
        let why = match &result {
            Ok(()) => "the guest has stopped".to_owned(),
            Err(e @ (NotOpened::NotFromHere(_) | NotOpened::NotRunning(_))) if !read && said.is_empty() => return Some(e.why()),
            Err(e) => e.why(),
        };
        match left {
            Some(files) => begin = Begin::At(files),
            // What comes to be where nothing was is all new.
            None if matches!(result, Err(NotOpened::Refused(HostError::Missing { .. }))) && !matches!(begin, Begin::At(_)) => {
                begin = Begin::All
            }
            None => {}
        }
        // Another took its place: it will not come back.
        if source.is_the_appliances() && guest != Some(appliance_id(host).await) {
            return Some(why);
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
async fn once(
    host: &dyn Host,
    cmd: Cmd,
    source: &LogSource,
    told: &mut Overlap,
    facts: &mpsc::Sender<Fact>,
    stop: &CancellationToken,
) -> (String, bool) {
    let (tx, mut rx) = mpsc::channel(64);
    let end = stop.child_token();
    let mut stream = Box::pin(host.stream(cmd, Pace::Live, tx, end.clone()));
    let (mut heard, mut following, mut lost) = (false, false, 0);
    let mut last: Vec<u8> = Vec::new();
    let fact = |lines: Vec<Box<[u8]>>, dropped| {
        let lines = lines.into_iter().map(|text| LogLine { text }).collect();
        Fact::Log { source: source.clone(), at: host.clock().0, lines, dropped }
    };
    let state = |state| Fact::LogState { source: source.clone(), state };
    // When it is decided which of the first lines were told before.
    let mut due = None;
    let (mut result, mut status) = (None, None);
    while status.is_none() {
        let said = tokio::select! {
            said = rx.recv() => said,
            ended = &mut stream, if result.is_none() => {
                result = Some(ended);
                continue;
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {
                due = None;
                match told.settle(false) {
                    Some(Settled { lines, note }) => {
                        // Whoever does not listen any more is noticed where the next lines are told.
                        let _ = facts.send(state(LogState::Noted(note))).await;
                        let _ = facts.send(fact(lines, std::mem::take(&mut lost))).await;
                    }
                    None => due = Some(tokio::time::Instant::now() + SETTLE),
                }
                continue;
            }
        };
        match said {
            Some(Said::Lines(lines)) => {
                last = lines.last().map(|l| l.to_vec()).unwrap_or_default();
                heard = true;
                match told.take(lines) {
                    Some(lines) => {
                        if facts.send(fact(lines, std::mem::take(&mut lost))).await.is_err() {
                            end.cancel();
                        }
                    }
                    None => due = due.or_else(|| Some(tokio::time::Instant::now() + SETTLE)),
                }
            }
            Some(Said::Dropped(n)) => {
                lost += n;
                told.missed();
            }
            Some(Said::Started(_)) if !following => {
                following = true;
                let _ = facts.send(state(LogState::Following)).await;
            }
            Some(Said::Started(_)) => {}
            Some(Said::Ended(with)) => status = Some(with),
            None => break,
        }
    }
    if let Some(Settled { lines, note }) = told.settle(true).filter(|_| heard) {
        let _ = facts.send(state(LogState::Noted(note))).await;
        let _ = facts.send(fact(lines, lost)).await;
    }
    let result = match result {
        Some(result) => result,
        None => stream.await,
    };
    match (status, result) {
        (Some(status), _) => (format!("ended with status {status}: {}", last_lines(&last)), heard && status == 0),
        (None, Ok(())) => (last_lines(&last), heard),
        (None, Err(HostError::Missing { what })) => (format!("{what} is not there"), false),
        (None, Err(e)) => (e.to_string(), heard),
    }
}
