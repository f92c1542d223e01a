//! Proxmox tasks: the UPID that names one, and how one ended. Texts as in PVE::UPID and PVE::RESTEnvironment.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::stamp::Stamp;

/// `UPID:<node>:<pid>:<pstart>:<starttime>:<type>:<id>:<user>:`, kept as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Upid {
    text: String,
    /// Node name.
    pub node: String,
    /// Process id of the worker on that node.
    pub pid: u32,
    /// Kernel start time of that process in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub pstart: u64,
    /// When it started.
    pub started: Stamp,
    /// Type such as `vzdump`, `vzrestore`, `vzstart`.
    pub kind: String,
    /// What it works on: a VMID, a service, or nothing.
    pub id: String,
    /// Who, such as `root@pam`.
    pub user: String,
}

impl Upid {
    /// The UPID as Proxmox writes it, with its trailing colon.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The task log below `/var/log/pve/tasks`: last hex digit of the start time, then the UPID.
    pub fn log_path(&self) -> String {
        let digit = format!("{:X}", self.started.secs() & 0xF);
        format!("/var/log/pve/tasks/{digit}/{}", self.text)
    }
}

impl FromStr for Upid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("not a UPID: {}", super::clean::clean(text));
        let parts: Vec<&str> = text.split(':').collect();
        let [head, node, pid, pstart, start, kind, id, user, tail] = parts[..] else { return Err(bad()) };
        let hex = |s: &str, min: usize, max: usize| {
            let fits = (min..=max).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_hexdigit());
            fits.then(|| u64::from_str_radix(s, 16).ok()).flatten().ok_or_else(bad)
        };
        let word = |s: &str| !s.bytes().any(|b| b == b'/' || b.is_ascii_whitespace() || b.is_ascii_control());
        let name = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if head != "UPID"
            || !tail.is_empty()
            || !name(node)
            || kind.is_empty()
            || user.is_empty()
            || ![kind, id, user].iter().all(|s| word(s))
        {
            return Err(bad());
        }
        Ok(Upid {
            text: text.to_owned(),
            node: node.into(),
            pid: u32::try_from(hex(pid, 8, 8)?).map_err(|_| bad())?,
            pstart: hex(pstart, 8, 9)?,
            started: Stamp::from_secs(i64::try_from(hex(start, 8, 8)?).map_err(|_| bad())?),
            kind: kind.into(),
            id: id.into(),
            user: user.into(),
        })
    }
}

impl TryFrom<String> for Upid {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Upid> for String {
    fn from(upid: Upid) -> String {
        upid.text
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How a task ended, by its status text. Only the first two are success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskEnd {
    /// `OK`.
    Ok,
    /// `WARNINGS: n`.
    Warnings(u32),
    /// The error text of the last line.
    Error(String),
    /// The worker vanished: the log has no `TASK …` line (`unexpected status`).
    Vanished,
}

impl TaskEnd {
    /// Reads a status as `active`, `index` and the API give it.
    pub fn from_status(status: &str) -> TaskEnd {
        let status = status.trim();
        match status.strip_prefix("WARNINGS: ").map(str::parse) {
            Some(Ok(n)) => TaskEnd::Warnings(n),
            _ if status == "OK" => TaskEnd::Ok,
            _ if status == "unexpected status" || status.is_empty() => TaskEnd::Vanished,
            _ => TaskEnd::Error(status.to_owned()),
        }
    }

    /// Reads the end of a task log of a process that is known to be gone. Only the very last line
    /// counts: `TASK OK` inside a guest's output decides nothing.
    pub fn from_log(log: &str) -> TaskEnd {
        let last = log.trim_end_matches(['\n', '\r']).rsplit('\n').next().unwrap_or("");
        if last == "TASK OK" {
            return TaskEnd::Ok;
        }
        match (last.strip_prefix("TASK WARNINGS: ").map(str::parse), last.strip_prefix("TASK ERROR: ")) {
            (Some(Ok(n)), _) => TaskEnd::Warnings(n),
            (_, Some(text)) => TaskEnd::Error(text.to_owned()),
            _ => TaskEnd::Vanished,
        }
    }
}

/// One line of `/var/log/pve/tasks/active`: `UPID saved[ ENDTIME STATUS]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSeen {
    /// Its name.
    pub upid: Upid,
    /// When it ended; `None` while it runs (or while its end was not written yet).
    pub ended: Option<Stamp>,
    /// How it ended; `None` while it runs.
    pub end: Option<TaskEnd>,
}

/// Reads `/var/log/pve/tasks/active`. Lines that do not parse are left out.
pub fn parse_active(text: &str) -> Vec<TaskSeen> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.splitn(4, ' ');
            let upid = words.next()?.parse().ok()?;
            let _saved = words.next();
            let ended = words.next().and_then(|h| i64::from_str_radix(h, 16).ok()).map(Stamp::from_secs);
            let end = ended.map(|_| TaskEnd::from_status(words.next().unwrap_or("")));
            Some(TaskSeen { upid, ended, end })
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn upids_of_every_shape() {
        let u: Upid = "UPID:pve1:00001139:000469BB:6B0086DD:vzdump:100:root@pam:".parse().unwrap();
        assert_eq!((u.pid, u.pstart, u.kind.as_str(), u.id.as_str()), (4409, 289_211, "vzdump", "100"));
        assert_eq!(u.log_path(), "/var/log/pve/tasks/D/UPID:pve1:00001139:000469BB:6B0086DD:vzdump:100:root@pam:");
        for ok in [
            "UPID:pve:0002F5A1:101C4D2E3:68AE8D43:vzdump::root@pam!console:",
            "UPID:pve:0002F5A1:01C4D2E3:68AE8D43:imgdel:100@local:root@pam:",
        ] {
            assert!(ok.parse::<Upid>().is_ok(), "{ok}");
        }
        for bad in [
            "",
            "UPID:a:1:2:3:t:i:u:",
            "UPID:pve1:00001139:000469BB:6B0086DD:vz/dump:100:root@pam:",
            "UPID:pve1:00001139:000469BB:6B0086DD:vzdump:100:root@pam",
        ] {
            assert!(bad.parse::<Upid>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ends_by_last_line_only() {
        assert_eq!(TaskEnd::from_log("INFO: x\nTASK OK\n"), TaskEnd::Ok);
        assert_eq!(TaskEnd::from_log("x\nTASK WARNINGS: 2"), TaskEnd::Warnings(2));
        assert_eq!(TaskEnd::from_log("x\n\nTASK ERROR: job errors\n"), TaskEnd::Error("job errors".into()));
        assert_eq!(TaskEnd::from_log("guest said TASK OK\nTASK OK\nmore\n"), TaskEnd::Vanished);
        assert_eq!(TaskEnd::from_log("INFO: TASK OK"), TaskEnd::Vanished);
        assert_eq!(TaskEnd::from_log(""), TaskEnd::Vanished);
        assert_eq!(TaskEnd::from_status("WARNINGS: 1"), TaskEnd::Warnings(1));
        assert_eq!(TaskEnd::from_status("WARNINGS: many"), TaskEnd::Error("WARNINGS: many".into()));
    }

    #[test]
    fn the_recorded_active_file() {
        let text = include_str!("../../tests/recordings/pve-9.1/cat-tasks-active.out");
        let tasks = parse_active(text);
        assert_eq!(tasks.len(), text.lines().filter(|l| l.starts_with("UPID:")).count());
        assert!(tasks.iter().any(|t| t.end == Some(TaskEnd::Warnings(1))));
        assert!(tasks.iter().any(|t| t.end == Some(TaskEnd::Error("job errors".into()))));
    }
}
