//! Which command is answered by whom, and the small ones.

use super::super::{Cmd, HostError};
use super::logs::Source;
use super::node::Node;
use super::tree::Tree;
use super::words::{Opts, Reply};
use super::{pct, pvesh, pvesm, vzdump};

/// How a command is answered.
pub(super) enum Answer {
    /// At once.
    Now(Reply),
    /// By the task of this UPID, whose lines it shows.
    Task(String),
    /// By the last lines of a log, and by what comes if it is followed.
    Log(Source, usize, bool),
    /// By a file that is followed from so many lines before its end.
    File(String, usize),
}

impl From<Result<Reply, Reply>> for Answer {
    fn from(reply: Result<Reply, Reply>) -> Self {
        Answer::Now(reply.unwrap_or_else(|bad| bad))
    }
}

impl From<Result<String, Reply>> for Answer {
    fn from(task: Result<String, Reply>) -> Self {
        task.map_or_else(Answer::Now, Answer::Task)
    }
}

/// Programs of the node.
const PROGRAMS: [&str; 22] = [
    "pct",
    "lxc-attach",
    "qm",
    "lxc-info",
    "nsenter",
    "vzdump",
    "pvesm",
    "pvesh",
    "pveversion",
    "journalctl",
    "tail",
    "cat",
    "true",
    "ip",
    "ls",
    "systemctl",
    "rm",
    "test",
    "flock",
    "stat",
    "nice",
    "proximity",
];

/// Whether the program is there.
pub(super) fn known(cmd: &Cmd) -> bool {
    PROGRAMS.contains(&name(cmd))
}

fn name(cmd: &Cmd) -> &str {
    cmd.program.rsplit('/').next().unwrap_or("")
}

/// Begins a command. An unknown program is not there, as on any host.
pub(super) fn begin(node: &mut Node, cmd: &Cmd) -> Result<Answer, HostError> {
    node.settle();
    node.stdin = cmd.stdin.clone().unwrap_or_default();
    Ok(match name(cmd) {
        "pct" => pct::begin(node, &cmd.args),
        "lxc-attach" => pct::attach(node, &cmd.args),
        "qm" => pct::qm(node, &cmd.args).into(),
        "lxc-info" => Answer::Now(pct::lxc_info(node, &cmd.args)),
        "nsenter" => Answer::Now(super::appliance::nsenter(node, &cmd.args)),
        "vzdump" => vzdump::begin(node, &cmd.args).into(),
        "pvesm" => pvesm::begin(node, &cmd.args).into(),
        "pvesh" => pvesh::begin(node, &cmd.args).into(),
        "pveversion" => Answer::Now(Reply::ok("pve-manager/9.1.8/a8e257e1ab2c0d3e (running kernel: 6.17.2-1-pve)\n")),
        "nice" | "proximity" => Answer::Now(super::inside::begin(node, &cmd.args)),
        "stat" => Answer::Now(super::inside::stat(node, &cmd.args)),
        "journalctl" => journalctl(&cmd.args),
        "ip" | "ls" | "systemctl" => Answer::Now(super::appliance::of_the_node(name(cmd), &cmd.args)),
        name @ ("tail" | "cat" | "true") => plain(node, name, &cmd.args),
        // Only the one lock of all backups is played.
        "flock" => {
            let taken = node.tasks.iter().any(|t| t.holds && t.ended.is_none()) && cmd.args.iter().any(|a| a.ends_with("/vzdump.lock"));
            Answer::Now(Reply { status: if taken { 99 } else { 0 }, ..Reply::default() })
        }
        // As it is said of one file, and no other way.
        "rm" if matches!(&cmd.args[..], [dashes, _] if dashes == "--") => Answer::Now(remove(node, &cmd.args)),
        "test" => {
            let there = cmd.args.last().is_some_and(|path| Tree::of(node).is_there(path));
            Answer::Now(Reply { status: i32::from(!there), ..Reply::default() })
        }
        _ => return Err(HostError::Missing { what: cmd.program.clone() }),
    })
}

/// `rm -- PATH`: only files of the disks.
fn remove(node: &mut Node, args: &[String]) -> Reply {
    let Some(path) = args.last() else { return Reply::fail(1, "rm: missing operand") };
    match node.disk.remove(path) {
        Some(_) => Reply::ok(""),
        None => Reply::fail(1, format!("rm: cannot remove '{path}': No such file or directory")),
    }
}

fn journalctl(args: &[String]) -> Answer {
    let opts = Opts::read(args);
    let lines = opts.get("lines").or(opts.get("n")).and_then(|n| if n == "all" { Some(usize::MAX) } else { n.parse().ok() }).unwrap_or(10);
    Answer::Log(Source::Journal, lines, opts.get("follow").is_some() || opts.get("f").is_some())
}

fn plain(node: &Node, name: &str, args: &[String]) -> Answer {
    match name {
        "true" => Answer::Now(Reply::ok("")),
        "cat" => {
            let tree = Tree::of(node);
            let mut reply = Reply::default();
            for path in args.iter().filter(|a| *a != "--") {
                match tree.text(path) {
                    Ok(text) => reply.out += &text,
                    Err(_) => reply = Reply { status: 1, err: format!("{}cat: {path}: No such file or directory\n", reply.err), ..reply },
                }
            }
            Answer::Now(reply)
        }
        _ => {
            let (lines, follow, path) = tail(args);
            if follow {
                return Answer::File(path, lines);
            }
            match Tree::of(node).text(&path) {
                Ok(text) => Answer::Now(Reply::ok(last(&text, lines))),
                Err(_) => Answer::Now(Reply::fail(1, format!("tail: cannot open '{path}' for reading: No such file or directory"))),
            }
        }
    }
}

/// Reads `-n N -F -- PATH`: lines, whether it follows, path.
pub(super) fn tail(args: &[String]) -> (usize, bool, String) {
    let after = args.iter().position(|a| a == "-n").and_then(|at| args.get(at + 1));
    let lines = after.map_or(Some(10), |n| if n.starts_with('+') { Some(usize::MAX) } else { n.parse().ok() }).unwrap_or(10);
    let follow = args.iter().any(|a| a == "-F" || a == "-f");
    (lines, follow, args.last().cloned().unwrap_or_default())
}

/// The last lines of a text.
pub(super) fn last(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|l| format!("{l}\n")).collect()
}
