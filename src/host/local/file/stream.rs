//! Carries what a file's tail tells from the thread that reads it to whoever listens.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::open::{NotOpened, Tree, io_error};
use super::tail::{Begin, Tail, Told};

/// Lines that follow others within this time are gathered, so that a flood costs few looks; the first after a silence is
/// told at once.
const GATHER: Duration = Duration::from_millis(4);

/// Follows a file until `stop` is cancelled, nobody listens, or the guest stops. The file is
/// the buffer: nothing is dropped, a slow listener gets it later. The first thing told is an empty batch of lines: it is
/// open. An error says why it could not be opened.
pub async fn stream(tree: Tree, path: String, begin: Begin, told: mpsc::Sender<Told>, stop: CancellationToken) -> Result<(), NotOpened> {
    let failed = |e: std::io::Error| NotOpened::Refused(io_error("following a file", &e));
    let wake: Arc<OwnedFd> = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).map_err(|e| failed(e.into()))?);
    let (ended, end) = tokio::sync::oneshot::channel();
    let (waked, stopped, name) = (Arc::clone(&wake), stop.clone(), path.clone());
    // A thread of its own: a file on a dead network storage may hang it for good.
    let work = move || {
        let _ = ended.send(follow(tree, &name, &begin, &told, &waked, &stopped));
    };
    std::thread::Builder::new().name("tail".into()).spawn(work).map_err(failed)?;
    let mut end = end;
    tokio::select! {
        result = &mut end => result.unwrap_or(Ok(())),
        () = stop.cancelled() => {
            let _ = rustix::io::write(&wake, &1u64.to_ne_bytes());
            Ok(())
        }
    }
}

fn follow(
    tree: Tree,
    path: &str,
    begin: &Begin,
    told: &mpsc::Sender<Told>,
    wake: &OwnedFd,
    stop: &CancellationToken,
) -> Result<(), NotOpened> {
    let mut tail = Tail::open(tree, path, begin)?;
    let tell = |what| !stop.is_cancelled() && told.blocking_send(what).is_ok();
    let mut goes_on = tell(Told::Lines(Vec::new()));
    while goes_on {
        let begun = Instant::now();
        let mut some = false;
        goes_on = tail.read(&mut |what| {
            some = true;
            tell(what)
        });
        if tail.is_over() {
            // What it did last, now that nobody there writes any more.
            tail.read(&mut |what| tell(what));
            tell(Told::Left(tail.left()));
            return Ok(());
        }
        if some {
            std::thread::sleep(GATHER.saturating_sub(begun.elapsed()));
        }
        if goes_on && !stop.is_cancelled() && !told.is_closed() {
            tail.wait(wake.as_fd());
        }
        goes_on &= !stop.is_cancelled() && !told.is_closed();
    }
    Ok(())
}
