//! A program on a pseudo-terminal of 120 columns and 40 rows, and what stands on its screen.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Bytes of what was written last that are kept.
const KEPT: usize = 64 << 10;

pub struct Term {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    said: Receiver<(Instant, Vec<u8>)>,
    screen: vt100::Parser,
    /// When it was started.
    pub born: Instant,
    /// Bytes it wrote so far, as far as they were taken in.
    pub bytes: usize,
    /// The last of them.
    last: Vec<u8>,
    master: Box<dyn MasterPty + Send>,
}

/// A command with the environment all programs get here.
pub fn command(argv: &[&str], home: &std::path::Path) -> CommandBuilder {
    let mut cmd = CommandBuilder::new(argv[0]);
    cmd.args(&argv[1..]);
    for (name, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8"), ("LESSHISTFILE", "-")] {
        cmd.env(name, value);
    }
    cmd.env("HOME", home);
    for name in ["NO_COLOR", "LESS", "PROXIMITY_HOST", "PROXIMITY_STATE", "PROXIMITY_REFRESH_S", "PROXIMITY_ASCII", "PROXIMITY_MONO"] {
        cmd.env_remove(name);
    }
    cmd.cwd(home);
    cmd
}

impl Term {
    pub fn start(cmd: CommandBuilder) -> Term {
        let pair = native_pty_system().openpty(PtySize { rows: 40, cols: 120, pixel_width: 0, pixel_height: 0 }).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let (tell, said) = channel();
        std::thread::spawn(move || {
            let mut block = vec![0; 1 << 16];
            while let Ok(n) = reader.read(&mut block) {
                if n == 0 || tell.send((Instant::now(), block[..n].to_vec())).is_err() {
                    return;
                }
            }
        });
        let born = Instant::now();
        let child = pair.slave.spawn_command(cmd).unwrap();
        drop(pair.slave);
        Term { child, keys, said, screen: vt100::Parser::new(40, 120, 0), born, bytes: 0, last: Vec::new(), master: pair.master }
    }

    pub fn pid(&self) -> u32 {
        self.child.process_id().unwrap_or(0)
    }

    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// What it wrote last, as it came.
    pub fn sent(&self) -> String {
        String::from_utf8_lossy(&self.last).into_owned()
    }

    /// Gives it another size; what was painted before is not seen any more.
    pub fn resize(&mut self, rows: u16, cols: u16) {
        self.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        self.screen = vt100::Parser::new(rows, cols, 0);
    }

    /// Whether the program has read all keys that were pressed.
    pub fn is_read(&self) -> bool {
        let tty = std::fs::File::open(self.master.tty_name().unwrap()).unwrap();
        // Unlike the count of FIONREAD, poll waits for what is still on its way to the other side.
        let mut fds = [PollFd::new(&tty, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).unwrap() == 0
    }

    /// Whether the program still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn write(&mut self, keys: &[u8]) -> Instant {
        let at = Instant::now();
        self.keys.write_all(keys).unwrap();
        self.keys.flush().unwrap();
        at
    }

    fn take(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len();
        self.last.extend_from_slice(chunk);
        self.last.drain(..self.last.len().saturating_sub(KEPT));
        self.screen.process(chunk);
    }

    /// When the chunk came that made this true of the screen's text; nothing if it did not happen in time.
    pub fn until(&mut self, wait: Duration, is: impl Fn(&str) -> bool) -> Option<Instant> {
        let end = Instant::now() + wait;
        loop {
            match self.said.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok((at, chunk)) => {
                    self.take(&chunk);
                    if is(&self.text()) {
                        return Some(at);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    pub fn until_text(&mut self, seconds: u64, text: &str) -> Option<Instant> {
        self.until(Duration::from_secs(seconds), |screen| screen.contains(text))
    }

    /// Whether these bytes came, at the latest within so many seconds.
    pub fn until_sent(&mut self, seconds: u64, bytes: &str) -> bool {
        let end = Instant::now() + Duration::from_secs(seconds);
        while !self.sent().contains(bytes) {
            let Ok((_, chunk)) = self.said.recv_timeout(end.saturating_duration_since(Instant::now())) else { return false };
            self.take(&chunk);
        }
        true
    }

    /// Presses keys and gives the time until the first chunk that changes the screen or its cursor.
    pub fn key(&mut self, keys: &[u8]) -> Option<Duration> {
        let before = self.screen.screen().contents_formatted();
        let pressed = self.write(keys);
        let end = pressed + Duration::from_secs(2);
        while let Ok((at, chunk)) = self.said.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.take(&chunk);
            if self.screen.screen().contents_formatted() != before {
                return Some(at.saturating_duration_since(pressed));
            }
        }
        None
    }

    /// Takes in what comes until nothing came for so long; gives the bytes.
    pub fn settle(&mut self, quiet: Duration) -> usize {
        let before = self.bytes;
        while let Ok((_, chunk)) = self.said.recv_timeout(quiet) {
            self.take(&chunk);
        }
        self.bytes - before
    }

    /// Takes in what comes for so long; gives the bytes.
    pub fn listen(&mut self, wait: Duration) -> usize {
        let (before, end) = (self.bytes, Instant::now() + wait);
        while let Ok((_, chunk)) = self.said.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.take(&chunk);
        }
        self.bytes - before
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
