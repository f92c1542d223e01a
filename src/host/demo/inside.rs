//! What is in the archives of the simulated node, and how they are read: the same tree for each guest, with its name in it.

use std::sync::atomic::Ordering;

use super::super::{HostError, Progress};
use super::node::Node;
use super::words::Reply;
use crate::domain::inside::listing::{Builder, Listing};
use crate::domain::inside::verify::{Line, Report, Verdict};
use crate::domain::inside::{Entry, Kind, Sparse};

/// Path, permission bits, owner and group, bytes, days before now. A folder ends with a slash, a link tells where it leads.
type Row = (&'static str, u32, (u32, u32), u64, i64);

const TREE: [Row; 24] = [
    ("etc/", 0o755, (0, 0), 0, 3),
    ("etc/hostname", 0o644, (0, 0), 9, 210),
    ("etc/nginx/", 0o755, (0, 0), 0, 40),
    ("etc/nginx/nginx.conf", 0o644, (0, 0), 2_640, 40),
    ("etc/nginx/sites-enabled/", 0o755, (0, 0), 0, 12),
    ("etc/nginx/sites-enabled/default -> ../sites-available/default", 0o777, (0, 0), 0, 12),
    ("etc/passwd", 0o644, (0, 0), 1_418, 210),
    ("etc/shadow", 0o640, (0, 42), 742, 210),
    ("etc/vzdump/", 0o755, (0, 0), 0, 0),
    ("etc/vzdump/pct.conf", 0o644, (0, 0), 312, 0),
    ("home/", 0o755, (0, 0), 0, 210),
    ("root/", 0o700, (0, 0), 0, 5),
    ("root/.ssh/", 0o700, (0, 0), 0, 190),
    ("root/.ssh/authorized_keys", 0o600, (0, 0), 562, 190),
    ("srv/", 0o755, (0, 0), 0, 1),
    ("srv/app/", 0o750, (1000, 33), 0, 1),
    ("srv/app/config.yaml", 0o640, (1000, 33), 1_904, 6),
    ("srv/app/data.db", 0o640, (1000, 33), 38_912_000, 0),
    ("srv/app/uploads/", 0o750, (1000, 33), 0, 1),
    ("srv/app/uploads/bill 2026-11.pdf", 0o640, (1000, 33), 184_320, 1),
    ("srv/app/uploads/logo.png", 0o640, (1000, 33), 48_223, 61),
    ("usr/bin/sudo", 0o4755, (0, 0), 281_624, 300),
    ("var/log/syslog", 0o640, (0, 4), 8_120_443, 0),
    ("var/www/index.html", 0o644, (33, 33), 612, 90),
];

/// The list of an archive; none where there is no such archive, or an empty one.
pub(super) fn listing(node: &Node, path: &str) -> Result<Listing, HostError> {
    let file = node.disk.get(path).ok_or_else(|| HostError::Missing { what: path.into() })?;
    if file.size(node.now()) == 0 {
        return Err(HostError::Io { what: path.into(), why: "it is damaged: it is empty".into() });
    }
    let mut builder = Builder::default();
    for (name, mode, (uid, gid), size, days) in TREE {
        let (path, link) = name.split_once(" -> ").unwrap_or((name, ""));
        let kind = match (path.ends_with('/'), link.is_empty()) {
            (true, _) => Kind::Dir,
            (false, true) => Kind::File,
            (false, false) => Kind::Link,
        };
        builder.add(&Entry {
            path: path.into(),
            link: link.into(),
            kind,
            mode,
            uid,
            gid,
            size,
            stored: size,
            mtime: file.modified.secs() - days * 86_400,
            sparse: Sparse::No,
            attributes: 0,
        });
    }
    Ok(builder.done())
}

/// How far reading is after so many of so many looks.
pub(super) fn far(progress: &Progress, size: u64, (nth, of): (u64, u64)) {
    progress.size.store(size, Ordering::Relaxed);
    progress.read.store(size / of * nth, Ordering::Relaxed);
    progress.entries.store(TREE.len() as u64 * nth / of, Ordering::Relaxed);
}

/// Our own program, by its words: only what jobs call it with.
pub(super) fn begin(node: &mut Node, args: &[String]) -> Reply {
    let words: Vec<&str> = args.iter().map(String::as_str).skip_while(|w| *w != "in-archive").skip(1).collect();
    match words[..] {
        ["verify", path] => verify(node, path),
        ["pull", path, wanted, to] => match listing(node, path) {
            Ok(listing) if listing.find(wanted.as_bytes()).is_some() => {
                node.placed.insert(to.to_owned());
                Reply::ok("unpacked\n")
            }
            Ok(_) => Reply::fail(6, "there is nothing of that name in the archive"),
            Err(e) => Reply::fail(6, e.to_string()),
        },
        ["place", stage, at, ref before @ ..] => {
            node.placed.remove(stage);
            node.placed.extend(before.iter().chain([&at]).filter(|w| !w.starts_with("--")).map(|w| (*w).to_owned()));
            Reply::ok("")
        }
        ["back", at, ref before @ ..] => {
            before.iter().chain([&at]).for_each(|w| {
                node.placed.remove(*w);
            });
            Reply::ok("")
        }
        ["drop", at] => {
            node.placed.remove(at);
            Reply::ok("")
        }
        ["there", at] => there(node, at),
        _ => Reply::fail(2, "usage: proximity in-archive"),
    }
}

/// A guest has what its archives have, and what was put there.
fn there(node: &Node, at: &str) -> Reply {
    let known = |path: &str| TREE.iter().any(|(name, ..)| name.starts_with(path.trim_start_matches('/')));
    let folder = |path: &str| path.rsplit_once('/').is_none_or(|(dir, _)| dir.is_empty() || known(&format!("{dir}/")));
    let path = at.split_once(':').map_or(at, |(_, path)| path);
    let in_guest = at.contains(':');
    if node.placed.contains(at) {
        return Reply::ok("");
    }
    if in_guest && !folder(path) {
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        return Reply::fail(6, format!("there is no folder {dir} there"));
    }
    let is = in_guest && TREE.iter().any(|(name, ..)| name.trim_end_matches('/') == path.trim_start_matches('/'));
    Reply { status: if is { 0 } else { 5 }, ..Reply::default() }
}

fn verify(node: &Node, path: &str) -> Reply {
    let Some(size) = node.disk.get(path).map(|f| f.size(node.now())) else {
        let why = format!("{path}: No such file or directory (os error 2)");
        return Reply::ok(Line::Report(Report::unknown(why)).text() + "\n");
    };
    let sum = blake2b_simd::Params::new().hash_length(32).hash(path.as_bytes()).to_hex().to_string();
    let (verdict, entries) = match size {
        0 => (Verdict::Damaged("it is empty".into()), 0),
        _ => (Verdict::Whole, TREE.len() as u64),
    };
    let report = Report { sha256: Some(sum), size, entries, verdict, warnings: Vec::new() };
    Reply::ok(format!("{}\n{}\n", Line::Read(size, size).text(), Line::Report(report).text()))
}

/// `stat --format=%s -- PATH`.
pub(super) fn stat(node: &Node, args: &[String]) -> Reply {
    let path = args.last().map_or("", String::as_str);
    if args.first().is_some_and(|a| a == "--format=%m") {
        return Reply::ok(format!("{path}\n"));
    }
    match node.disk.get(path) {
        Some(file) => Reply::ok(format!("{}\n", file.size(node.now()))),
        None => Reply::fail(1, format!("stat: cannot statx '{path}': No such file or directory")),
    }
}
