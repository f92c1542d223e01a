//! Why a vzdump or a `pct restore` did not do its work, by what it said: the cause, and not the last of its lines.
//!
//! What it says decides nothing about how it ended; it only explains an end that is known.

use super::no_room;
use crate::domain::clean::clean;

/// How near to the cause a line is: the nearest that was heard explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Near {
    /// On standard error without any mark; the last of them counts.
    Said,
    /// What is wrong with a parameter.
    Parameter,
    /// An `ERROR:` of the whole job; the first counts.
    Job,
    /// Why the guest failed.
    Guest,
    /// A disk that is full, or a quota that is used up.
    NoRoom,
}

/// An error with a command in it that is longer has a whole pipeline in it.
const LONG: usize = 160;

/// What was heard so far.
#[derive(Debug, Clone, Default)]
pub struct Complaint {
    said: Option<(Near, String)>,
    /// The last complaint of a program that Proxmox ran.
    tool: Option<String>,
    /// Lines about parameters follow.
    parameters: bool,
}

impl Complaint {
    /// Takes a line of the command's output, either stream.
    pub fn hear(&mut self, line: &str) {
        let line = line.trim_end();
        let (text, error) = match (line.strip_prefix("ERROR: "), line.strip_prefix("INFO: ")) {
            (Some(text), _) => (text.trim(), true),
            (_, Some(text)) => (text.trim(), false),
            _ => (line, false),
        };
        let marked = error || line.starts_with("INFO: ") || line.starts_with("WARN: ");
        if no_room(text) && !error {
            return self.take(Near::NoRoom, text.to_owned());
        }
        let tool = ["tar: ", "zstd: ", "gzip: ", "lzop: ", "rsync: ", "/*stdin*"].iter().any(|head| text.starts_with(head));
        if tool && !error {
            // tar's last sentence says nothing of why.
            if !text.ends_with("exiting now") && !text.contains("Child returned status") {
                self.tool = Some(clean(text));
            }
            return;
        }
        if error {
            // A mail that could not be sent is no reason for anything.
            if text.starts_with("could not notify") {
                return;
            }
            let near = if text.starts_with("Backup of VM ") { Near::Guest } else { Near::Job };
            return self.take(near, self.short(text));
        }
        if marked || text.is_empty() || text == "job errors" || line.starts_with("  ") || line.starts_with("Task finished with ") {
            return;
        }
        if text == "400 Parameter verification failed." {
            self.parameters = true;
            return;
        }
        // The usage that follows.
        if text.ends_with("[OPTIONS]") {
            self.parameters = false;
            return;
        }
        let near = if self.parameters { Near::Parameter } else { Near::Said };
        self.take(near, self.short(text));
    }

    fn take(&mut self, near: Near, text: String) {
        let keeps = self.said.as_ref().is_some_and(|(had, _)| *had > near || (*had == near && near != Near::Said));
        if !keeps {
            self.said = Some((near, clean(&text)));
        }
    }

    /// A whole pipeline in an error says less than what its program complained of.
    fn short(&self, text: &str) -> String {
        if text.len() < LONG && self.tool.is_none() {
            return text.to_owned();
        }
        match text.split_once("command '").zip(text.rsplit_once("' failed: ")) {
            Some(((head, _), (_, how))) => {
                let tool = self.tool.as_ref().map_or(String::new(), |tool| format!(": {tool}"));
                format!("{head}{how}{tool}")
            }
            None => text.to_owned(),
        }
    }

    /// Why, where anything was said.
    pub fn why(&self) -> Option<String> {
        self.said.as_ref().map(|(_, text)| text.clone())
    }

    /// Why a task ended with this text. What Proxmox marked as an error while it ran is nearer to the cause.
    pub fn of_task(&self, text: &str) -> String {
        match &self.said {
            Some((near, said)) if *near >= Near::Job => said.clone(),
            _ => clean(&self.short(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(lines: &[&str]) -> Option<String> {
        let mut heard = Complaint::default();
        lines.iter().for_each(|line| heard.hear(line));
        heard.why()
    }

    #[test]
    fn the_cause_explains_and_not_the_last_line() {
        let full = "INFO: zstd: error 70 : Write error : cannot write block : No space left on device ";
        let pipe = "ERROR: Backup of VM 101 failed - command 'set -o pipefail && tar cpf - | zstd >/x.dat' failed: exit code 70";
        assert!(why(&[full, pipe]).is_some_and(|w| w.starts_with("zstd: error 70") && w.ends_with("No space left on device")));
        let denied = "INFO: tar: /root/x.tmp: Cannot open: Permission denied";
        let exiting = "INFO: tar: Error is not recoverable: exiting now";
        let failed = "Backup of VM 101 failed - exit code 70: tar: /root/x.tmp: Cannot open: Permission denied";
        assert_eq!(why(&[denied, exiting, pipe]).as_deref(), Some(failed));
        let mail = "ERROR: could not notify via target `mail-to-root`: no recipients";
        assert_eq!(
            why(&["ERROR: Backup of VM 1 failed - CT is locked (disk)", mail]).as_deref(),
            Some("Backup of VM 1 failed - CT is locked (disk)")
        );
        assert_eq!(why(&["ERROR: can't acquire lock 'x'", "got unexpected control message:  "]).as_deref(), Some("can't acquire lock 'x'"));
        assert_eq!(why(&["400 Parameter verification failed.", "mode: bad", "vzdump {<vmid>} [OPTIONS]"]).as_deref(), Some("mode: bad"));
        assert_eq!(why(&["INFO: fine", "WARN: hm", "job errors", "  Logical volume"]), None);
        assert_eq!(why(&["ipcc_send_rec[1] failed", "Unable to load"]).as_deref(), Some("Unable to load"));
    }
}
