//! Waits for news of one name in a directory and of files that are open (inotify(7)), and keeps track of which files came
//! under that name and what each is called now, so that one which was renamed before anybody looked is still found.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use super::open::Opened;

/// A file that came under the name.
#[derive(Debug)]
pub(super) struct Arrival {
    /// What it is called in the directory now; `None` once it was deleted, replaced or moved elsewhere.
    pub name: Option<String>,
    /// The number of the open file that it is, once it was opened.
    pub file: Option<u64>,
}

/// What was heard since the last look.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Something was said at all.
    pub any: bool,
    /// The kernel could not keep all events: whole files may have come and gone.
    pub overflow: bool,
}

#[derive(Debug)]
pub(super) struct Watch {
    queue: OwnedFd,
    directory: Option<i32>,
    name: String,
    /// In the order in which they came.
    pub arrivals: Vec<Arrival>,
    /// Renames of which only the first half was heard.
    moving: HashMap<u32, usize>,
}

/// A descriptor by the name that the kernel gives it, so that the very file is watched and not what has its name by now.
fn by_descriptor(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

impl Watch {
    /// Watches for `name` in a directory; without one, files only.
    pub fn new(directory: Option<&OwnedFd>, name: &str) -> rustix::io::Result<Watch> {
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        let directory = directory.and_then(|d| inotify::add_watch(&queue, by_descriptor(d.as_fd()), flags).ok());
        Ok(Watch { queue, directory, name: name.into(), arrivals: Vec::new(), moving: HashMap::new() })
    }

    /// Waits for this file's growth too.
    pub fn add(&self, file: &Opened) {
        // Where it cannot be watched the clock finds what is new.
        let _ = inotify::add_watch(&self.queue, by_descriptor(file.file.as_fd()), WatchFlags::MODIFY | WatchFlags::ATTRIB);
    }

    /// Takes in what the kernel said.
    pub fn hear(&mut self) -> Heard {
        let mut heard = Heard::default();
        let mut room = [MaybeUninit::uninit(); 8 << 10];
        let mut events = Vec::new();
        let mut reader = inotify::Reader::new(&self.queue, &mut room);
        while let Ok(event) = reader.next() {
            heard.any = true;
            heard.overflow |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            if Some(event.wd()) == self.directory {
                let name = event.file_name().map(|n| String::from_utf8_lossy(n.to_bytes()).into_owned()).unwrap_or_default();
                events.push((event.events(), event.cookie(), name));
            }
        }
        for (kind, cookie, name) in events {
            self.note(kind, cookie, name);
        }
        heard
    }

    fn named(&self, name: &str) -> Option<usize> {
        self.arrivals.iter().rposition(|a| a.name.as_deref() == Some(name))
    }

    fn note(&mut self, kind: ReadFlags, cookie: u32, name: String) {
        if kind.contains(ReadFlags::MOVED_FROM) {
            if let Some(at) = self.named(&name) {
                self.arrivals[at].name = None;
                self.moving.insert(cookie, at);
            }
        } else if kind.contains(ReadFlags::DELETE) {
            if let Some(at) = self.named(&name) {
                self.arrivals[at].name = None;
            }
        } else if kind.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            // What had this name was replaced.
            if let Some(at) = self.named(&name) {
                self.arrivals[at].name = None;
            }
            match self.moving.remove(&cookie).filter(|_| kind.contains(ReadFlags::MOVED_TO)) {
                Some(at) => self.arrivals[at].name = Some(name),
                None if name == self.name => self.arrivals.push(Arrival { name: Some(name), file: None }),
                None => {}
            }
        }
    }

    /// Forgets arrivals that `keep` does not name.
    pub fn forget(&mut self, keep: impl Fn(&Arrival) -> bool) {
        if self.arrivals.len() > 64 {
            // What was moved elsewhere never gets its second half.
            self.moving.clear();
        }
        if !self.moving.is_empty() {
            // Their numbers are in use until the second half of the rename is heard.
            return;
        }
        self.arrivals.retain(keep);
    }

    /// What can be read when there is something to hear.
    pub fn queue(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

/// Sleeps until one of these can be read or the time is over; gives whether one can.
pub(super) fn sleep<const N: usize>(on: [Option<BorrowedFd<'_>>; N], time: Duration) -> bool {
    let mut fds: Vec<PollFd<'_>> = on.into_iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    let time = Timespec::try_from(time).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
    // A signal that interrupts it is a reason to look, no more.
    poll(&mut fds, Some(&time)).is_ok_and(|ready| ready > 0)
}
