//! Signals as a flag that long work looks at, and as a hook for the process that waits for a worker.
//!
//! The listener is a small thread; handlers are in place when `listen` returns.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static ORDERLY: AtomicBool = AtomicBool::new(false);

/// From here on TERM, INT, QUIT, HUP and a broken pipe only raise the flag: the caller cleans up itself.
pub fn end_orderly() {
    ORDERLY.store(true, Ordering::SeqCst);
    listen(&[SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::hangup()], || {
        INTERRUPTED.store(true, Ordering::SeqCst)
    });
}

pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// True when the broken pipe was taken as an interruption that the caller handles.
pub fn note_broken_pipe() -> bool {
    INTERRUPTED.store(true, Ordering::SeqCst);
    ORDERLY.load(Ordering::SeqCst)
}

/// Calls `then` for each of these signals, from a thread of its own.
pub fn listen(kinds: &[SignalKind], then: impl Fn() + Send + Clone + 'static) {
    let kinds = kinds.to_vec();
    let (ready, wait) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let tasks: Vec<_> = kinds
                .into_iter()
                .map(|kind| {
                    let mut stream = signal(kind).unwrap();
                    let then = then.clone();
                    tokio::spawn(async move {
                        while stream.recv().await.is_some() {
                            then();
                        }
                    })
                })
                .collect();
            let _ = ready.send(());
            for task in tasks {
                let _ = task.await;
            }
        });
    });
    let _ = wait.recv();
}
