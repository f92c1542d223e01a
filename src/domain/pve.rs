//! Every Proxmox command line we run, built from typed parts and nowhere else (TRUST F18, T17).

use super::cmd::{Cmd, DEFAULT_LIMIT_S};
use super::fact::Ask;
use super::guest::Vmid;
use super::storage::StorageId;
use super::task::Upid;

/// `pct VERB ID`.
pub fn pct(verb: &str, id: Vmid) -> Cmd {
    Cmd::new("pct", [verb.to_owned(), id.to_string()])
}

/// `lxc-info`: nothing but `RUNNING`, `STOPPED`, `FROZEN`, …
pub fn lxc_state(id: Vmid) -> Cmd {
    Cmd::new("lxc-info", ["-n", &id.to_string(), "-s", "-H"]).limit(10)
}

/// `pct destroy ID`, even while it runs, with whatever names it: for what was made to be removed.
pub fn destroy(id: Vmid) -> Cmd {
    Cmd::new("pct", ["destroy", &id.to_string(), "--force", "1", "--purge", "1"]).limit(300)
}

/// `pct exec ID -- ARGV…`: the double dash keeps the guest's words from being read as options.
pub fn exec<A: Into<String>>(id: Vmid, argv: impl IntoIterator<Item = A>) -> Cmd {
    let head = ["exec".to_owned(), id.to_string(), "--".to_owned()];
    Cmd::new("pct", head.into_iter().chain(argv.into_iter().map(Into::into)))
}

/// What `pct exec` becomes, without the half second of Perl before it: for questions that are put many at a time. What it
/// changes is nobody's to say, but where a plan is to be done in a second: publishing an app. Other plans go by [`exec`]. No
/// environment is handed in.
pub fn attach<A: Into<String>>(id: Vmid, argv: impl IntoIterator<Item = A>) -> Cmd {
    let head = ["-n".to_owned(), id.to_string(), "--clear-env".to_owned(), "--".to_owned()];
    Cmd::new("lxc-attach", head.into_iter().chain(argv.into_iter().map(Into::into)))
}

/// The same as a user and a group of the guest, by their numbers there.
pub fn attach_as<A: Into<String>>(id: Vmid, (user, group): (u32, u32), argv: impl IntoIterator<Item = A>) -> Cmd {
    let head =
        ["-n".to_owned(), id.to_string(), "--clear-env".to_owned(), format!("--uid={user}"), format!("--gid={group}"), "--".to_owned()];
    Cmd::new("lxc-attach", head.into_iter().chain(argv.into_iter().map(Into::into)))
}

/// The guest that a command of [`exec`] runs in.
pub fn inside(cmd: &Cmd) -> Option<Vmid> {
    match cmd.args.first().map(String::as_str) {
        Some("exec") if cmd.program == "pct" => cmd.args.get(1)?.parse().ok(),
        _ => None,
    }
}

/// The storage that a command line names.
pub fn storage_of(cmd: &Cmd) -> Option<StorageId> {
    let at = cmd.args.iter().position(|a| a == "--storage")?;
    cmd.args.get(at + 1)?.parse().ok()
}

/// The last `lines` of a file inside a guest; goes on through rotation and re-creation where it follows.
pub fn tail_in_guest(id: Vmid, path: &str, lines: Option<u32>, follow: bool) -> Cmd {
    let tail = tail(path, lines, follow);
    let limit_s = tail.limit_s;
    Cmd { limit_s, ..exec(id, std::iter::once(tail.program).chain(tail.args)) }
}

/// The last `lines` of a file of the host, or all of it.
pub fn tail(path: &str, lines: Option<u32>, follow: bool) -> Cmd {
    let lines = lines.map_or("+1".into(), |n| n.to_string());
    if follow { Cmd::new("tail", ["-n", &lines, "-F", "--", path]).unlimited() } else { Cmd::new("tail", ["-n", &lines, "--", path]) }
}

/// The host's journal as one JSON object a line: what is asked of it is left out by journalctl, which has an index.
pub fn journal(ask: &Ask) -> Cmd {
    let mut args = vec!["--no-pager".to_owned(), "--output=json".into()];
    args.push(ask.lines.map_or("--lines=all".into(), |n| format!("--lines={n}")));
    args.extend(ask.since.map(|t| format!("--since=@{}", t.secs())));
    // Up to the end of the second.
    args.extend(ask.until.map(|t| format!("--until=@{}", t.secs() + 1)));
    args.extend(ask.level.map(|l| format!("--priority={}", l.priority())));
    if ask.follow {
        args.push("--follow".into());
        return Cmd::new("journalctl", args).unlimited();
    }
    Cmd::new("journalctl", args)
}

/// What a backup is made with.
#[derive(Debug, Clone, Copy)]
pub struct VzdumpOptions<'a> {
    /// Where to.
    pub storage: &'a StorageId,
    /// `snapshot`, `suspend` or `stop`.
    pub mode: &'a str,
    /// One of vzdump's words: `0` (nothing), `gzip`, `lzo`, `zstd`.
    pub compress: &'a str,
    /// Template of its notes.
    pub notes: &'a str,
    /// KiB/s at most; 0 is no limit, `None` the node's own.
    pub bandwidth: Option<u32>,
    /// Protected against removal.
    pub protected: bool,
}

/// `vzdump ID …`, never pruning what is there (`--remove 0`).
pub fn vzdump(id: Vmid, o: &VzdumpOptions<'_>) -> Cmd {
    let mut args = vec![id.to_string()];
    let mut add = |key: &str, value: &str| args.extend([format!("--{key}"), value.to_owned()]);
    add("storage", o.storage.as_str());
    add("mode", o.mode);
    add("compress", o.compress);
    add("notes-template", o.notes);
    add("remove", "0");
    if let Some(kib) = o.bandwidth {
        add("bwlimit", &kib.to_string());
    }
    if o.protected {
        add("protected", "1");
    }
    Cmd::new("vzdump", args).unlimited()
}

/// What a restore may set beside the archive itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Storage of all volumes.
    pub storage: StorageId,
    /// Given explicitly, since the default differs between versions.
    pub unprivileged: bool,
    /// New host name.
    pub hostname: String,
    /// `(net0, value)` pairs that replace those of the archive.
    pub nets: Vec<(String, String)>,
    /// Its notes, which replace those of the archive.
    pub notes: String,
}

/// `pct restore NEW VOLID …`: never `--force`, new hardware addresses, not started with the host.
pub fn restore(new: Vmid, volid: &str, options: &RestoreOptions) -> Cmd {
    let unprivileged = if options.unprivileged { "1" } else { "0" };
    let mut args: Vec<String> = [
        "restore",
        &new.to_string(),
        volid,
        "--storage",
        options.storage.as_str(),
        "--unprivileged",
        unprivileged,
        "--unique",
        "1",
        "--onboot",
        "0",
        "--hostname",
        &options.hostname,
        "--description",
        &options.notes,
    ]
    .map(str::to_owned)
    .into();
    for (key, value) in &options.nets {
        args.extend([format!("--{key}"), value.clone()]);
    }
    Cmd::new("pct", args).unlimited()
}

/// What a new container is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateOptions {
    /// Its host name.
    pub hostname: String,
    /// Storage of its root disk.
    pub storage: StorageId,
    /// Size of its root disk in GiB.
    pub disk_gib: u32,
    /// Memory in MiB; it gets no swap.
    pub memory_mib: u32,
    /// Processors.
    pub cores: u32,
    /// Whether systemd runs in it, which wants to mount in its own name space.
    pub nesting: bool,
    /// `(net0, value)` pairs.
    pub nets: Vec<(String, String)>,
    /// Whether it starts with the host.
    pub onboot: bool,
    /// Place in the order of start at boot.
    pub order: u32,
    /// Its tag.
    pub tag: String,
    /// Its notes.
    pub notes: String,
}

/// `pct create ID TEMPLATE …`: unprivileged.
pub fn create(id: Vmid, template: &str, o: &CreateOptions) -> Cmd {
    let mut args: Vec<String> = vec!["create".into(), id.to_string(), template.into()];
    let mut add = |key: &str, value: String| args.extend([format!("--{key}"), value]);
    add("hostname", o.hostname.clone());
    add("unprivileged", "1".into());
    add("rootfs", format!("{}:{}", o.storage, o.disk_gib));
    add("memory", o.memory_mib.to_string());
    add("swap", "0".into());
    add("cores", o.cores.to_string());
    if o.nesting {
        add("features", "nesting=1".into());
    }
    o.nets.iter().for_each(|(key, value)| add(key, value.clone()));
    add("onboot", u8::from(o.onboot).to_string());
    add("startup", format!("order={}", o.order));
    add("tags", o.tag.clone());
    add("description", o.notes.clone());
    Cmd::new("pct", args).unlimited()
}

/// What was percent-encoded, as notes in configurations and parts of tickets are; what is no code stays.
pub fn decoded(text: &str) -> Vec<u8> {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(&b) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).filter(|_| b == b'%').and_then(|p| std::str::from_utf8(p).ok());
        match pair.and_then(|p| u8::from_str_radix(p, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(b);
                at += 1;
            }
        }
    }
    out
}

/// `pvesh get PATH --output-format json`.
pub fn pvesh_get(path: &str, params: &[(&str, &str)]) -> Cmd {
    let all: Vec<(&str, &str)> = params.iter().copied().chain([("output-format", "json")]).collect();
    pvesh("get", path, &all).limit(DEFAULT_LIMIT_S)
}

/// `pvesh VERB PATH --KEY VALUE…`.
pub fn pvesh(verb: &str, path: &str, params: &[(&str, &str)]) -> Cmd {
    let mut args = vec![verb.to_owned(), path.to_owned()];
    for (key, value) in params {
        args.extend([format!("--{key}"), (*value).to_owned()]);
    }
    Cmd::new("pvesh", args).limit(60)
}

/// Status of a task by the API's own words.
pub fn task_status(upid: &Upid) -> Cmd {
    pvesh_get(&format!("/nodes/{}/tasks/{upid}/status", upid.node), &[])
}

/// `pvesm free VOLID`: an archive with its notes and log. One that is protected it leaves alone, and says so.
pub fn free(volid: &str) -> Cmd {
    Cmd::new("pvesm", ["free", volid]).limit(300)
}

/// The configuration inside an archive.
pub fn extract_config(volid: &str) -> Cmd {
    Cmd::new("pvesm", ["extractconfig", volid])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_decoded() {
        assert_eq!(decoded("%7B%22a%22%3a1%7D%zz%"), b"{\"a\":1}%zz%");
    }

    #[test]
    fn command_lines_as_they_will_run() {
        let id: Vmid = "101".parse().unwrap();
        let local: StorageId = "local".parse().unwrap();
        let plain = VzdumpOptions {
            storage: &local,
            mode: "snapshot",
            compress: "zstd",
            notes: "{{guestname}}",
            bandwidth: None,
            protected: false,
        };
        assert_eq!(
            vzdump(id, &VzdumpOptions { notes: "two\\nlines", bandwidth: Some(51_200), protected: true, ..plain }).shown(),
            "vzdump 101 --storage local --mode snapshot --compress zstd --notes-template 'two\\nlines' --remove 0 --bwlimit 51200 --protected 1"
        );
        assert_eq!(
            vzdump(id, &plain).shown(),
            "vzdump 101 --storage local --mode snapshot --compress zstd --notes-template {{guestname}} --remove 0"
        );
        let options = RestoreOptions { storage: local, unprivileged: true, hostname: "web-103".into(), nets: vec![], notes: "mine".into() };
        let line = restore("103".parse().unwrap(), "local:backup/x.tar.zst", &options).shown();
        assert_eq!(
            line,
            "pct restore 103 local:backup/x.tar.zst --storage local --unprivileged 1 --unique 1 --onboot 0 --hostname web-103 --description mine"
        );
        assert!(!line.contains("--force"));
        assert_eq!(exec(id, ["rm", "-rf", "--no-preserve-root"]).args[2], "--");
        assert_eq!(exec(id, ["a b", "$(x)"]).shown(), "pct exec 101 -- 'a b' '$(x)'");
    }
}
