//! Archives as files of this machine, read once from their beginning to their end: the host's own program takes the compression
//! away, what is behind it is read here.
//!
//! ```text
//! file ──(sum)──> zstd -dc ──> domain::inside::tar ──> whoever asked
//!                                                      unpack.rs   writes entries below a folder that nobody else can enter
//!                                                      place.rs    where something is put, and what was there
//! ```

mod place;
mod unpack;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::{ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::process::ENV;
use crate::domain::clean::clean;
use crate::domain::inside::listing::{Builder, Listing};
use crate::domain::inside::tar::{End, Part, Reader};
use crate::domain::inside::verify::{Report, Verdict};
use crate::host::HostError;

pub use place::Place;
pub use unpack::{Owners, Unpack};

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// Below so many bytes it is cheaper to read on than to go elsewhere in the file.
const WORTH_A_SEEK: u64 = 256 << 10;

/// How far reading is; looked at from elsewhere while it goes on.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of the file that were read.
    pub read: AtomicU64,
    /// Bytes it has.
    pub size: AtomicU64,
    /// Entries that were seen.
    pub entries: AtomicU64,
    /// Nobody wants it any more.
    pub stop: AtomicBool,
}

/// What reading gave.
struct Passed {
    size: u64,
    sha256: Option<String>,
    /// What is wrong with it.
    end: Result<End, String>,
}

/// Why an archive was not read to its end, whatever is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// It is not there, the storage failed, a program is missing.
    Failed(String),
    /// Whoever was told of its entries could not go on.
    Refused(String),
    /// Nobody wants it any more.
    Stopped,
}

impl Unread {
    /// Why.
    pub fn why(self) -> String {
        match self {
            Unread::Failed(why) | Unread::Refused(why) => why,
            Unread::Stopped => "ended on request".into(),
        }
    }
}

/// The program that takes the compression away; none for an archive without.
fn decoder(path: &str) -> Result<Option<(&'static str, &'static [&'static str])>, Unread> {
    Ok(match path {
        p if p.ends_with(".tar") => None,
        p if p.ends_with(".tar.zst") => Some(("zstd", &["-dcq"])),
        p if p.ends_with(".tar.gz") || p.ends_with(".tgz") => Some(("gzip", &["-dcq"])),
        p if p.ends_with(".tar.lzo") => Some(("lzop", &["-dcq"])),
        _ => return Err(Unread::Failed("its name ends in nothing that is known: .tar, .tar.zst, .tar.gz, .tar.lzo".into())),
    })
}

/// Reads an archive. `sum`: all its bytes are summed up, and none are left out.
fn pass(
    path: &str,
    sum: bool,
    progress: &Progress,
    mut tell: impl for<'a> FnMut(Part<'a>) -> Result<(), String>,
) -> Result<Passed, Unread> {
    let failed = |e: std::io::Error| Unread::Failed(format!("{}: {e}", clean(path)));
    let file = File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(Unread::Failed(format!("{} is no file", clean(path))));
    }
    progress.size.store(meta.len(), Ordering::Relaxed);
    let mut refused = None;
    let mut reader = Reader::default();
    let mut wrong: Option<String> = None;
    // What is wrong with the stream is no reason to stop: the rest of the bytes belongs to the sum.
    let mut take = |bytes: &[u8], reader: &mut Reader| {
        if wrong.is_none() && refused.is_none() {
            let pushed = reader.push(bytes, |part| {
                if matches!(part, Part::Entry(_)) {
                    progress.entries.fetch_add(1, Ordering::Relaxed);
                }
                tell(part).inspect_err(|why| refused = Some(why.clone()))
            });
            wrong = pushed.err();
        }
        refused.is_none() && !progress.stop.load(Ordering::Relaxed) && (sum || wrong.is_none())
    };
    let (size, sha256, unpacked) = match decoder(path)? {
        None => plain(file, sum, progress, |bytes, reader| take(bytes, reader), &mut reader).map_err(failed)?,
        Some((program, args)) => decoded(file, (program, args), sum, progress, |bytes| take(bytes, &mut reader))?,
    };
    if progress.stop.load(Ordering::Relaxed) {
        return Err(Unread::Stopped);
    }
    if let Some(why) = refused {
        return Err(Unread::Refused(why));
    }
    // Why nothing more came is told by whoever took the compression away.
    let end = match (unpacked, wrong) {
        _ if meta.len() == 0 => Err("it is empty".into()),
        (Err(why), _) => Err(why),
        (Ok(()), Some(why)) => Err(why),
        (Ok(()), None) => reader.end(),
    };
    Ok(Passed { size, sha256, end })
}

/// Bytes read, their sum, and whether the compression was whole.
type Told = (u64, Option<String>, Result<(), String>);

fn plain(
    mut file: File,
    sum: bool,
    progress: &Progress,
    mut take: impl FnMut(&[u8], &mut Reader) -> bool,
    reader: &mut Reader,
) -> std::io::Result<Told> {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    let (mut piece, mut at, size) = (vec![0; PIECE], 0u64, file.metadata()?.len());
    loop {
        let skip = reader.skippable().min(size.saturating_sub(at));
        if !sum && skip >= WORTH_A_SEEK {
            file.seek(SeekFrom::Current(i64::try_from(skip).unwrap_or(0)))?;
            reader.skip(skip);
            at += skip;
        }
        let n = read_some(&mut file, &mut piece)?;
        if n == 0 {
            break;
        }
        at += n as u64;
        progress.read.store(at, Ordering::Relaxed);
        if sum {
            digest.update(&piece[..n]);
        }
        if !take(&piece[..n], reader) {
            break;
        }
    }
    Ok((at, sum.then(|| hex(digest.finish().as_ref())), Ok(())))
}

fn read_some(from: &mut impl Read, piece: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match from.read(piece) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn decoded(
    mut file: File,
    (program, args): (&str, &[&str]),
    sum: bool,
    progress: &Progress,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<Told, Unread> {
    let failed = |what: &str, e: std::io::Error| Unread::Failed(format!("{what}: {e}"));
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(ENV).current_dir("/").stdout(Stdio::piped()).stderr(Stdio::piped());
    let watched = file.try_clone().map_err(|e| failed("the archive", e))?;
    if sum {
        command.stdin(Stdio::piped());
    } else {
        // It reads the file itself; how far it is shows in the offset that both share.
        command.stdin(watched.try_clone().map_err(|e| failed("the archive", e))?);
    }
    let mut child = command.spawn().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Unread::Failed(format!("{program} is not installed, which takes its compression away")),
        _ => failed(program, e),
    })?;
    let (input, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let fed = std::thread::scope(|scope| {
        let said = scope.spawn(move || err.map_or_else(String::new, said));
        let feeder = input.map(|mut pipe| {
            scope.spawn(move || -> std::io::Result<(u64, String)> {
                let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
                let (mut piece, mut at, mut open) = (vec![0; PIECE], 0u64, true);
                loop {
                    let n = read_some(&mut file, &mut piece)?;
                    if n == 0 || progress.stop.load(Ordering::Relaxed) {
                        return Ok((at, hex(digest.finish().as_ref())));
                    }
                    at += n as u64;
                    digest.update(&piece[..n]);
                    progress.read.store(at, Ordering::Relaxed);
                    // Whoever found it broken reads no further; the sum is of all of it.
                    open = open && pipe.write_all(&piece[..n]).is_ok();
                }
            })
        });
        let mut watched = watched;
        let read = out.map_or(Ok(()), |mut out| {
            let _ = rustix::pipe::fcntl_setpipe_size(&out, PIECE);
            let mut piece = vec![0; PIECE];
            loop {
                let n = read_some(&mut out, &mut piece)?;
                if n == 0 || !take(&piece[..n]) {
                    return Ok(());
                }
                if !sum && let Ok(at) = watched.stream_position() {
                    progress.read.store(at, Ordering::Relaxed);
                }
            }
        });
        // One that was read to its end has ended by itself; any other has nobody to write to.
        let status = child.wait();
        let fed = feeder.map(|feeder| feeder.join().unwrap_or_else(|_| Err(std::io::Error::other("its reader ended"))));
        (read, status, fed, said.join().unwrap_or_default())
    });
    let (read, status, fed, said) = fed;
    read.map_err(|e| failed(program, e))?;
    let status = status.map_err(|e| failed(program, e))?;
    let (size, sha256) = match fed {
        // What could not be read is no fault of the archive.
        Some(Err(e)) => return Err(failed("it could not be read", e)),
        Some(Ok((size, sum))) => (size, Some(sum)),
        None => (progress.size.load(Ordering::Relaxed), None),
    };
    let unpacked = match status.code() {
        Some(0) => Ok(()),
        // Its reader had enough, and said why.
        None if std::os::unix::process::ExitStatusExt::signal(&status) == Some(13) => Ok(()),
        None => return Err(Unread::Failed(format!("{program} was ended: {status}"))),
        Some(code) if said.is_empty() => Err(format!("{program} ended with status {code}")),
        // It names itself, or what it calls its input.
        Some(_) => {
            let said = said.trim_start_matches(&format!("{program}: ")).trim_start_matches("/*stdin*\\").trim_start_matches("stdin");
            Err(format!("{program}: {}", said.trim_start_matches([' ', ':'])))
        }
    };
    Ok((size, sha256, unpacked))
}

/// The last line that a program complained with.
fn said(from: ChildStderr) -> String {
    let mut text = Vec::new();
    let _ = from.take(64 << 10).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    clean(text.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or_default().trim())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Reads an archive of a container to its end and says whether it is whole.
pub fn verify(path: &str, progress: &Progress) -> Report {
    let (mut entries, mut conf) = (0u64, false);
    let passed = pass(path, true, progress, |part| {
        if let Part::Entry(e) = part {
            entries += 1;
            let is_conf = || crate::domain::inside::parts(&e.path).is_some_and(|p| p == [&b"etc"[..], b"vzdump", b"pct.conf"]);
            conf = conf || (e.size > 0 && is_conf());
        }
        Ok(())
    });
    let passed = match passed {
        Ok(passed) => passed,
        Err(unread) => return Report { entries, ..Report::unknown(unread.why()) },
    };
    let mut warnings = Vec::new();
    let verdict = match passed.end {
        Err(why) => Verdict::Damaged(why),
        Ok(_) if !conf => Verdict::Damaged("it holds no etc/vzdump/pct.conf, and Proxmox restores nothing without".into()),
        Ok(end) => {
            if end == End::Short {
                warnings.push("the zeros behind its end are cut short; nothing of it is missing".into());
            }
            Verdict::Whole
        }
    };
    Report { sha256: passed.sha256, size: passed.size, entries, verdict, warnings }
}

/// All entries of an archive.
pub fn list(path: &str, progress: &Progress) -> Result<Listing, HostError> {
    let error = |why: String| HostError::Io { what: clean(path), why };
    let mut builder = Builder::default();
    let passed = pass(path, false, progress, |part| {
        if let Part::Entry(e) = part {
            builder.add(&e);
        }
        Ok(())
    });
    let passed = passed.map_err(|unread| match unread {
        Unread::Stopped => HostError::Cancelled { what: clean(path) },
        unread => error(unread.why()),
    })?;
    passed.end.map_err(|why| error(format!("it is damaged: {why}")))?;
    Ok(builder.done())
}

/// Unpacks what is wanted of an archive and reads it to its end; where that is not whole, nothing stays.
pub fn pull(path: &str, unpack: &mut Unpack, progress: &Progress) -> Result<(), String> {
    let passed = pass(path, false, progress, |part| match part {
        Part::Entry(entry) => unpack.begin(entry),
        Part::Data(bytes) => unpack.write(bytes),
    });
    let done = passed.map_err(Unread::why).and_then(|passed| passed.end.map_err(|why| format!("the archive is damaged: {why}")));
    match done.and_then(|_| unpack.finish()) {
        Ok(()) => Ok(()),
        Err(why) => {
            let left = unpack.abandon().err().map_or(String::new(), |e| format!("; what was unpacked is left beside its place: {e}"));
            Err(format!("{why}{left}"))
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
mod tar_tests;
