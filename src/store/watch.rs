//! Who waits for news in the store sleeps until some process wrote to it (inotify(7)), instead of asking every second.

use std::io;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// Calls `on_write` after each burst of writes to the store file, from any process of this machine and this one too, on
/// a thread of its own, for as long as the program lives. The file keeps its inode for life, so one watch is enough.
pub fn watch(store: &Path, on_write: impl Fn() + Send + 'static) -> io::Result<()> {
    let queue = inotify::init(CreateFlags::CLOEXEC)?;
    inotify::add_watch(&queue, store, WatchFlags::MODIFY)?;
    let wait = move || {
        // What the events say does not matter: there is one file.
        let mut events = [0; 4096];
        loop {
            match rustix::io::read(&queue, &mut events) {
                Ok(_) => on_write(),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    };
    std::thread::Builder::new().name("store".into()).spawn(wait).map(drop)
}
