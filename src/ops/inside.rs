//! Looks inside archives: their lists of files, which are kept, and what the plans that verify and pull need to know.
//!
//! A list is kept in the state folder, as a file that only its owner reads: what it tells whoever reads it as root finds in the
//! archive itself, so it is not sealed; and nothing depends on it, so it is no table. Its name is a sum over volume id, size and
//! time of the archive: another archive of the same name is another one.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::backup::Archive;
use crate::domain::clean::clean;
use crate::domain::guest::Power;
use crate::domain::inside::listing::Listing;
use crate::domain::inside::pull::{self, Looked, PullWish, Target};
use crate::domain::inside::verify::{self, VerifyWish, Ways};
use crate::domain::plan::{Plan, Refusal};
use crate::domain::world::World;
use crate::host::{Found, Host, HostError, Look, Progress};

/// Lists that are kept at most, and their bytes.
const KEPT: usize = 16;
const KEPT_BYTES: u64 = 256 << 20;
/// Where ionice(1) of util-linux is.
const IONICE: &str = "/usr/bin/ionice";

/// What our own program is called by on this host, and whether disks can be read without disturbing anybody.
pub async fn ways(host: &dyn Host) -> Ways {
    let own = std::env::current_exe().ok().and_then(|p| p.to_str().map(str::to_owned));
    // A program that was replaced since it began has no path any more; the one that is installed does.
    let own = own.filter(|p| host.name() == "local" && !p.ends_with(" (deleted)"));
    let ionice = matches!(host.look(vec![Look::Stat(IONICE.into())]).await.first(), Some(Ok(_)));
    Ways { program: own.unwrap_or_else(|| "proximity".into()), ionice }
}

pub(super) async fn plan_verify(host: &dyn Host, world: &World, wish: &VerifyWish) -> Result<Plan, Refusal> {
    verify::plan(world, wish, &ways(host).await)
}

pub(super) async fn plan_pull(host: &dyn Host, world: &World, wish: &PullWish) -> Result<Plan, Refusal> {
    let ways = ways(host).await;
    let refuse = |why: String, hint: &str| Refusal::new(format!("pull {}", clean(&wish.path)), why, hint);
    if let Target::Guest(id, _) = &wish.into {
        let guest = world.the_guest(*id).map_err(|(why, hint)| refuse(why, hint))?;
        if guest.power == Power::Stopped {
            return pull::plan(world, wish, Looked::Unmounted, &ways, host.clock());
        }
    }
    let at = wish.into.join(wish.name().0);
    // 0: it is there, 5: it is not; else the folder is not there, or not to be written to, and it says why.
    let asked = host.run(ways.cmd(&["there", &at.text()]).limit(60)).await;
    let looked = match asked.as_ref().map(|out| out.any().status) {
        Ok(0) => Looked::Taken,
        Ok(5) => Looked::Free,
        Ok(_) => {
            let said = asked.as_ref().map_or(String::new(), |out| crate::host::last_lines(out.any().err));
            return Err(refuse(said, "choose another folder"));
        }
        Err(e) => return Err(refuse(e.to_string(), "see doctor")),
    };
    pull::plan(world, wish, looked, &ways, host.clock())
}

/// Where lists are kept; nowhere for the demo.
#[derive(Debug, Clone)]
pub struct Lists(Option<PathBuf>);

impl Lists {
    /// Below the state folder.
    pub fn of(host: &dyn Host, state: &Path) -> Lists {
        Lists((!host.is_demo()).then(|| state.join("listings")))
    }

    fn read(&self, key: &[u8; 32]) -> Option<Listing> {
        let path = self.0.as_ref()?.join(name(key));
        let listing = Listing::from_bytes(&fs::read(&path).ok()?, key)?;
        // What was used last goes last.
        let _ = fs::File::open(&path).and_then(|file| file.set_modified(std::time::SystemTime::now()));
        Some(listing)
    }

    /// Keeps a list. Where that fails the archive is read again the next time, and nothing else is lost.
    fn keep(&self, key: &[u8; 32], listing: &Listing) -> std::io::Result<()> {
        let Some(dir) = &self.0 else { return Ok(()) };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let bytes = listing.to_bytes(key);
        if bytes.len() as u64 > KEPT_BYTES {
            return Ok(());
        }
        let temp = dir.join(format!("{}.tmp", std::process::id()));
        let _ = fs::remove_file(&temp);
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?.write_all(&bytes)?;
        fs::rename(&temp, dir.join(name(key)))?;
        bound(dir)
    }
}

/// Removes the oldest lists until few enough are left; and what a write that was broken off left.
fn bound(dir: &Path) -> std::io::Result<()> {
    let mut all: Vec<(std::time::SystemTime, u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(dir)?.flatten() {
        let meta = entry.metadata()?;
        let age = meta.modified()?;
        if entry.file_name().to_string_lossy().ends_with(".tmp") && age.elapsed().is_ok_and(|a| a.as_secs() > 600) {
            fs::remove_file(entry.path())?;
            continue;
        }
        all.push((age, meta.len(), entry.path()));
    }
    all.sort_by_key(|(age, ..)| std::cmp::Reverse(*age));
    let mut bytes = 0;
    for (nth, (_, size, path)) in all.iter().enumerate() {
        bytes += size;
        if nth >= KEPT || bytes > KEPT_BYTES {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn name(key: &[u8; 32]) -> String {
    key.iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// By what an archive is known: its volume, and size and time of its file.
async fn key_of(host: &dyn Host, archive: &Archive, path: &str) -> Result<[u8; 32], HostError> {
    let found = host.look(vec![Look::Stat(path.to_owned())]).await.into_iter().next();
    let stat = match found {
        Some(Ok(Found::Stat(stat))) => stat,
        Some(Err(e)) => return Err(e),
        _ => return Err(HostError::Io { what: clean(path), why: "no answer".into() }),
    };
    let text = format!("{}\n{}\n{}", archive.volid, stat.size, stat.modified.0);
    let sum = blake2b_simd::Params::new().hash_length(32).hash(text.as_bytes());
    let mut key = [0; 32];
    key.copy_from_slice(sum.as_bytes());
    Ok(key)
}

/// What is in an archive: as it was kept, else by reading it through. `progress` tells how far that is, and ends it.
pub async fn list(host: &dyn Host, world: &World, lists: &Lists, volid: &str, progress: Arc<Progress>) -> Result<Arc<Listing>, Refusal> {
    let (archive, path) = pull::archive(world, volid)?;
    let refuse =
        |e: HostError| Refusal::new(format!("look into {}", clean(volid)), e.to_string(), "verify tells more: proximity backup verify");
    let key = key_of(host, archive, &path).await.map_err(refuse)?;
    let kept = lists.clone();
    if let Ok(Some(listing)) = tokio::task::spawn_blocking(move || kept.read(&key)).await {
        return Ok(Arc::new(listing));
    }
    let listing = host.list_archive(path.clone(), progress).await.map_err(refuse)?;
    // An archive that was replaced while it was read is not known by what it was.
    if key_of(host, archive, &path).await.map_err(refuse)? != key {
        return Err(Refusal::new(format!("look into {}", clean(volid)), "it was changed while it was read", "look again"));
    }
    let listing = Arc::new(listing);
    let (kept, keep) = (lists.clone(), Arc::clone(&listing));
    let done = tokio::task::spawn_blocking(move || kept.keep(&key, &keep)).await;
    if let Ok(Err(e)) = done {
        tracing::warn!(%e, "the list of an archive is not kept");
    }
    Ok(listing)
}

#[cfg(test)]
#[path = "inside_tests.rs"]
mod tests;
