//! The journal of this machine as a place to write to: systemd's native protocol, one datagram an entry
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>). It stands here beside the other things that are this machine's; what
//! it is used for is the second sink of the audit, on another file system and under another owner than the store.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::clean::clean;

/// The journal's socket.
#[derive(Debug, Clone)]
pub struct Journal {
    socket: PathBuf,
    /// Whether what it takes is still there after a reboot.
    lasting: bool,
    patience: Duration,
}

impl Journal {
    /// The journal of this machine. It lasts where /var/log/journal is there (journald.conf(5), Storage=auto).
    pub fn of_this_machine() -> Journal {
        Journal::at("/run/systemd/journal/socket".into(), Path::new("/var/log/journal").is_dir(), Duration::from_secs(5))
    }

    /// A journal at another socket, which is waited for at most so long.
    pub fn at(socket: PathBuf, lasting: bool, patience: Duration) -> Journal {
        Journal { socket, lasting, patience }
    }

    /// Whether what it takes survives a reboot.
    pub fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// Hands one entry over. Names are ours: capitals, digits and `_`. Values are cleaned, so each is one line.
    ///
    /// `Ok` says that the journal has it, not that it is on the disk; the journal syncs on its own.
    pub fn tell(&self, fields: &[(&str, String)]) -> io::Result<()> {
        let text: String = fields.iter().map(|(name, value)| format!("{name}={}\n", clean(value))).collect();
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(self.patience))?;
        let sent = socket.send_to(text.as_bytes(), &self.socket)?;
        if sent == text.len() { Ok(()) } else { Err(io::Error::new(io::ErrorKind::WriteZero, "it took only a part")) }
    }
}
