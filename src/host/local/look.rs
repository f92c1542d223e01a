//! Reads files, directories and file systems of this machine, each with a time limit: a dead network
//! storage or a stuck /etc/pve must stop neither the other questions nor the program (TRUST R23).

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::{Found, HostError, Look, NotOpened, PathStat, Tree};
use super::{file, users};
use crate::domain::guest::Vmid;
use crate::domain::log_health;
use crate::domain::stamp::Stamp;
use crate::domain::storage::Space;

/// How long one look may take.
const LIMIT: Duration = Duration::from_secs(2);
/// More files than this in one pattern are not read: something is wrong there.
const MOST_FILES: usize = 20_000;

/// Answers all looks in order. One that hangs is given up and not asked again while its thread hangs;
/// the rest goes on in another thread.
pub(super) async fn look(at: Vec<Look>, hung: Arc<Mutex<HashSet<Look>>>) -> Vec<Result<Found, HostError>> {
    let mut answers: Vec<Result<Found, HostError>> = Vec::with_capacity(at.len());
    while answers.len() < at.len() {
        let rest = at[answers.len()..].to_vec();
        let (tell, mut told) = mpsc::unbounded_channel();
        let hangs = Arc::clone(&hung);
        // Not the runtime's own blocking threads: the program's end would wait for one that hangs.
        let spawned = std::thread::Builder::new().name("look".into()).spawn(move || work(rest, &hangs, &tell));
        if let Err(e) = spawned {
            let why = e.to_string();
            answers.resize_with(at.len(), || Err(HostError::Io { what: "look".into(), why: why.clone() }));
            break;
        }
        while answers.len() < at.len() {
            match timeout(LIMIT, told.recv()).await {
                Ok(Some(answer)) => answers.push(answer),
                Ok(None) => break,
                Err(_) => {
                    answers.push(Err(HostError::TimedOut { what: words(&at[answers.len()]), limit: LIMIT }));
                    break;
                }
            }
        }
    }
    answers
}

fn work(looks: Vec<Look>, hung: &Mutex<HashSet<Look>>, tell: &mpsc::UnboundedSender<Result<Found, HostError>>) {
    for look in looks {
        let fresh = hung.lock().unwrap_or_else(PoisonError::into_inner).insert(look.clone());
        let answer = if fresh { one(&look) } else { Err(HostError::TimedOut { what: words(&look), limit: LIMIT }) };
        if fresh {
            hung.lock().unwrap_or_else(PoisonError::into_inner).remove(&look);
        }
        if tell.send(answer).is_err() {
            return;
        }
    }
}

fn words(look: &Look) -> String {
    match look {
        Look::File(p, _) | Look::Tail(p, _) | Look::Glob(p, _) | Look::Dir(p) | Look::Stat(p) | Look::Space(p) => p.clone(),
        Look::Logs(guest, _) => guest.map_or("logs of the host".into(), |id| format!("logs of {id}")),
        Look::Processes(guest) => format!("processes of {guest}"),
        Look::Users(names) => format!("who has {} open", names.join(", ")),
    }
}

fn one(look: &Look) -> Result<Found, HostError> {
    let found = match look {
        Look::File(path, most) => read(Path::new(path), *most).map(Found::Bytes),
        Look::Tail(path, most) => tail(Path::new(path), *most).map(Found::Bytes),
        Look::Glob(pattern, most) => glob(pattern, *most).map(Found::Files),
        Look::Dir(path) => names(Path::new(path)).map(Found::Names),
        Look::Stat(path) => stat(Path::new(path)).map(Found::Stat),
        Look::Space(path) => space(Path::new(path)).map(Found::Space),
        Look::Logs(guest, besides) => return logs(*guest, besides).map(Found::Logs),
        Look::Processes(guest) => return file::processes(*guest).map(Found::Names),
        Look::Users(names) => users::of(Path::new("/proc"), names).map(Found::Users),
    };
    found.map_err(|e| host_error(&words(look), &e))
}

fn logs(guest: Option<Vmid>, besides: &[String]) -> Result<log_health::Found, HostError> {
    match guest.map_or_else(|| Ok(Tree::machine()), Tree::of_guest) {
        Ok(tree) => file::logs(&tree, besides),
        Err(NotOpened::Refused(e)) => Err(e),
        Err(e) => Err(HostError::Io { what: words(&Look::Logs(guest, Vec::new())), why: e.why() }),
    }
}

fn host_error(what: &str, e: &io::Error) -> HostError {
    match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => HostError::Missing { what: what.into() },
        io::ErrorKind::PermissionDenied => HostError::Denied { what: what.into() },
        _ => HostError::Io { what: what.into(), why: e.to_string() },
    }
}

/// Opens a regular file; a FIFO or device in its place must not stop us.
fn open(path: &Path) -> io::Result<File> {
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = File::options().read(true).custom_flags(nonblock).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn tail(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut file = open(path)?;
    let from = file.metadata()?.len().saturating_sub(most as u64);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names =
        std::fs::read_dir(path)?.map(|e| e.map(|e| e.file_name().to_string_lossy().into_owned())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn stat(path: &Path) -> io::Result<PathStat> {
    let m = std::fs::metadata(path)?;
    let modified = Stamp(m.mtime().saturating_mul(1000) + m.mtime_nsec() / 1_000_000);
    Ok(PathStat { dir: m.is_dir(), size: m.len(), modified, mode: m.mode() & 0o7777, dev: m.dev(), inode: m.ino() })
}

fn space(path: &Path) -> io::Result<Space> {
    Ok(file::space_of(&rustix::fs::statvfs(path)?))
}

type Read1 = (String, Result<Vec<u8>, HostError>);

/// All files of a pattern. The part before the first `*` must be there; deeper parts may be missing.
fn glob(pattern: &str, most: usize) -> io::Result<Vec<Read1>> {
    let star = pattern.find('*').unwrap_or(pattern.len());
    let base_end = pattern[..star].rfind('/').map_or(0, |i| i + 1);
    let (base, rest) = pattern.split_at(base_end);
    let mut dirs = vec![base.trim_end_matches('/').to_owned()];
    std::fs::metadata(if base.is_empty() { "/" } else { base })?;
    let parts: Vec<&str> = rest.split('/').collect();
    for part in &parts {
        let mut next = Vec::new();
        for dir in &dirs {
            match part.split_once('*') {
                None => next.push(format!("{dir}/{part}")),
                Some((head, tail)) => {
                    let here = names(Path::new(if dir.is_empty() { "/" } else { dir })).unwrap_or_default();
                    let fits = |n: &String| n.len() >= head.len() + tail.len() && n.starts_with(head) && n.ends_with(tail);
                    next.extend(here.into_iter().filter(fits).map(|n| format!("{dir}/{n}")));
                }
            }
            if next.len() > MOST_FILES {
                return Err(io::Error::other(format!("more than {MOST_FILES} files")));
            }
        }
        dirs = next;
    }
    let mut files = Vec::with_capacity(dirs.len());
    for path in dirs {
        match read(Path::new(&path), most) {
            // A guest that stopped meanwhile, or a directory without that file, is no news.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            read => files.push((path.clone(), read.map_err(|e| host_error(&path, &e)))),
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(files)
}
