//! `backup set`: Proximity itself and what its host is configured by, in one folder, with the way back on a card.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::login::{Open, login_for};
use crate::cli::vault::recorded;
use crate::cli::{Ctx, Done, Form, output};
use crate::domain::access::Permission;
use crate::domain::audit::Deed;
use crate::domain::card;
use crate::domain::world::World;
use crate::host::{HostError, Look, text_of};
use crate::problem::{Kind, Problem, WARNED};
use crate::store::{self, Store};

/// What a set is written with.
#[derive(Args)]
pub(crate) struct Set {
    /// The folder in which it gets a folder of its own; best on a disk that is not this host's
    dir: PathBuf,
    #[command(flatten)]
    open: Open,
}

/// What a file of the host holds at most: none of these comes near it.
const MOST: usize = 4 << 20;

pub(super) async fn set(ctx: &Ctx, set: &Set) -> Done {
    let what = "backup set";
    if ctx.host.is_demo() {
        return Err(Problem::new(Kind::Usage, what, "the demo keeps no store", "leave --host demo out"));
    }
    let world = ctx.world_with_jobs().await?;
    let store = Store::open(&ctx.config.state)?;
    let unlocked = login_for(ctx, &store, &set.open, Permission::KeepVault)?;
    let (now, offset_s) = ctx.host.clock();
    let name = format!("proximity-{}-{}", file_name(world.node_name().unwrap_or("host")), file_name(&now.minute(offset_s)));
    let place = set.dir.join(&name);
    if ctx.dry_run {
        output::say(&card::text(&world, now, offset_s, &unlocked.who.name, env!("CARGO_PKG_VERSION")));
        return Ok(0);
    }
    let deed = Deed::by(&unlocked.who, "backup.set", "vault", format!("write a backup set to {}", place.display()));
    let missing = {
        let half = set.dir.join(format!(".{name}.new"));
        let copy = store::take_snapshot(&store, &unlocked.vault, now.0, store::Why::Asked)?;
        let files = files_of_host(ctx, &world).await;
        recorded(ctx, &store, deed, || {
            let written =
                write(&half, &copy.path, &files, &card::text(&world, now, offset_s, &unlocked.who.name, env!("CARGO_PKG_VERSION")))
                    .and_then(|()| if place.exists() { Err(std::io::ErrorKind::AlreadyExists.into()) } else { fs::rename(&half, &place) })
                    .and_then(|()| fs::File::open(&set.dir)?.sync_all());
            written.map_err(|e| {
                // Half a set is none.
                let _ = fs::remove_dir_all(&half);
                Problem::new(Kind::Failed, place.display().to_string(), e.to_string(), "give a folder that is there and has room")
            })
        })?;
        files.into_iter().filter_map(|(path, found)| found.err().map(|why| format!("{path}: {why}"))).collect::<Vec<_>>()
    };
    let gaps = card::gaps(&world);
    if ctx.form == Form::Json {
        output::object(&json!({"set": place.display().to_string(), "missing": missing, "not_safe": gaps}));
    } else {
        output::say(&format!("{} holds the store, proven to open, and {}: print it", place.display(), card::CARD));
        missing.iter().for_each(|line| eprintln!("not in it: {line}"));
        gaps.iter().for_each(|line| eprintln!("not safe: {line}"));
    }
    Ok(if missing.is_empty() && gaps.is_empty() { 0 } else { WARNED })
}

/// Letters, digits and `-` of a text.
fn file_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// Content of the host's files, or why one could not be read. One that is not there is left out: nobody needs it.
async fn files_of_host(ctx: &Ctx, world: &World) -> Vec<(String, Result<String, String>)> {
    let guests = world.guests.get().into_iter().flatten().filter(|g| g.kind == crate::domain::guest::Kind::Lxc);
    let paths: Vec<String> =
        card::FILES.iter().map(|p| (*p).to_owned()).chain(guests.map(|g| format!("/etc/pve/lxc/{}.conf", g.id))).collect();
    let found = ctx.host.look(paths.iter().map(|p| Look::File(p.clone(), MOST)).collect()).await;
    let one = |(path, found): (String, _)| match text_of(&found) {
        Ok(text) => Some((path, Ok(text))),
        Err(HostError::Missing { .. }) => None,
        Err(e) => Some((path, Err(e.to_string()))),
    };
    paths.into_iter().zip(found).filter_map(one).collect()
}

/// Writes a set; whoever calls renames it when it is whole.
fn write(half: &Path, copy: &Path, files: &[(String, Result<String, String>)], card: &str) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let folder = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    // What an earlier try left; it has a name that nobody else gives.
    match fs::remove_dir_all(half) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    fs::DirBuilder::new().mode(0o700).create(half)?;
    let mut sums = String::new();
    let mut put = |name: &str, content: &[u8]| {
        let path = half.join(name);
        path.parent().map_or(Ok(()), folder)?;
        let mut file = store::new_file(&path)?;
        file.write_all(content)?;
        file.sync_all()?;
        sums.push_str(&format!("{}  {name}\n", blake2b_simd::blake2b(content).to_hex()));
        std::io::Result::Ok(())
    };
    put(card::STORE, &fs::read(copy)?)?;
    put(card::CARD, card.as_bytes())?;
    for (path, content) in files {
        if let Ok(content) = content {
            put(&format!("files{path}"), content.as_bytes())?;
        }
    }
    let mut file = store::new_file(&half.join(card::SUMS))?;
    file.write_all(sums.as_bytes())?;
    file.sync_all()?;
    fs::File::open(half)?.sync_all()
}
