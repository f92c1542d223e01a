//! Where the lines of a simulated command go: kept for whoever waits for the end, or told as they come.

use std::time::Duration;

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;

use super::super::{Cmd, Output, Pace, Said};

/// The standard output and error of one command.
pub(super) struct Io {
    to: To,
    /// Cancelled when the command gets a TERM.
    pub stop: CancellationToken,
}

enum To {
    Kept { out: Vec<u8>, err: Vec<u8> },
    Told { pace: Pace, said: mpsc::Sender<Said>, dropped: u64 },
}

impl Io {
    pub fn kept(stop: CancellationToken) -> Self {
        Io { to: To::Kept { out: Vec::new(), err: Vec::new() }, stop }
    }

    pub fn told(pace: Pace, said: mpsc::Sender<Said>, stop: CancellationToken) -> Self {
        Io { to: To::Told { pace, said, dropped: 0 }, stop }
    }

    /// What was kept.
    pub fn output(self, cmd: &Cmd, status: i32) -> Output {
        match self.to {
            To::Kept { out, err } => Output::new(cmd, status, out, err, 0),
            To::Told { .. } => Output::new(cmd, status, Vec::new(), Vec::new(), 0),
        }
    }

    /// Lines of standard output. False when nobody listens any more.
    pub async fn out<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) -> bool {
        let lines: Vec<&str> = lines.into_iter().collect();
        self.tell(&lines, false).await
    }

    /// Lines of standard error.
    pub async fn err<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) -> bool {
        let lines: Vec<&str> = lines.into_iter().collect();
        self.tell(&lines, true).await
    }

    async fn tell(&mut self, lines: &[&str], error: bool) -> bool {
        match &mut self.to {
            To::Kept { out, err } => {
                let to = if error { err } else { out };
                for line in lines {
                    to.extend_from_slice(line.as_bytes());
                    to.push(b'\n');
                }
                true
            }
            To::Told { said, .. } if lines.is_empty() => !said.is_closed(),
            To::Told { pace: Pace::Whole, said, .. } => said.send(packed(lines)).await.is_ok(),
            To::Told { pace: Pace::Live, said, dropped } => live(said, dropped, lines),
        }
    }
}

fn packed(lines: &[&str]) -> Said {
    Said::Lines(lines.iter().map(|l| l.as_bytes().into()).collect())
}

/// Sends without waiting; what finds no room is counted and told later.
fn live(said: &mpsc::Sender<Said>, dropped: &mut u64, lines: &[&str]) -> bool {
    if *dropped > 0 {
        match said.try_send(Said::Dropped(*dropped)) {
            Ok(()) => *dropped = 0,
            Err(TrySendError::Closed(_)) => return false,
            Err(TrySendError::Full(_)) => {}
        }
    }
    let sent = if *dropped == 0 { said.try_send(packed(lines)) } else { Err(TrySendError::Full(Said::Dropped(0))) };
    match sent {
        Ok(()) => true,
        Err(TrySendError::Closed(_)) => false,
        Err(TrySendError::Full(_)) => {
            *dropped += lines.len() as u64;
            true
        }
    }
}

/// Ends when the limit is over; never without one.
pub(super) async fn after(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
