//! `backup files` and `backup pull`: what is in an archive, and some of it back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{Ctx, Done, Form, output};
use crate::domain::backup::Archive;
use crate::domain::clean::clean_bytes;
use crate::domain::fact::Wish;
use crate::domain::inside::listing::{Listing, Seen};
use crate::domain::inside::pull::{self, Target};
use crate::domain::stamp::{Stamp, bytes};
use crate::host::Progress;
use crate::ops::inside::{self, Lists};
use crate::problem::{Kind, Problem};

/// How often it is said how far reading is.
const OFTEN: Duration = Duration::from_secs(2);

/// The list of an archive, and the archive; how far it is is said on standard error where somebody waits.
async fn listed(ctx: &Ctx, volid: &str) -> Result<(Arc<Listing>, Archive), Problem> {
    let world = ctx.world().await?;
    let (archive, _) = pull::archive(&world, volid)?;
    let archive = archive.clone();
    let progress = Arc::new(Progress::default());
    let lists = Lists::of(ctx.host.as_ref(), &ctx.config.state);
    let mut listing = Box::pin(inside::list(ctx.host.as_ref(), &world, &lists, volid, Arc::clone(&progress)));
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + OFTEN, OFTEN);
    loop {
        tokio::select! {
            listing = &mut listing => return Ok((listing?, archive)),
            _ = tick.tick() => {
                let (read, size) = (progress.read.load(Ordering::Relaxed), progress.size.load(Ordering::Relaxed));
                if ctx.form == Form::Table {
                    let entries = progress.entries.load(Ordering::Relaxed);
                    output::murmur(&format!("read {} of {}, {entries} entries", bytes(read), bytes(size)));
                }
            }
        }
    }
}

/// What lies in a folder of an archive, or one thing in it.
pub(super) async fn files(ctx: &Ctx, volid: &str, path: Option<&str>) -> Done {
    let (listing, _) = listed(ctx, volid).await?;
    let path = path.unwrap_or("/");
    let at = listing.find(path.as_bytes());
    let at = at.ok_or_else(|| Problem::new(Kind::NotFound, path, "there is nothing of that name in the archive", "see backup files"))?;
    let inside = listing.children(at);
    let rows: Vec<u32> = if inside.is_empty() && at != Listing::ROOT { vec![at] } else { inside.collect() };
    let seen = rows.iter().filter_map(|at| listing.seen(*at));
    if ctx.form == Form::Json {
        let items: Vec<Json> = seen.map(item).collect();
        let odd = json!({"count": listing.odd.0, "names": listing.odd.1});
        output::object(&json!({"archive": volid, "path": clean_bytes(&listing.path(at)), "items": items,
            "entries": listing.entries, "not_listed": listing.more, "lead_out": odd}));
        return Ok(0);
    }
    let table: Vec<Vec<String>> = seen.map(row).collect();
    if table.is_empty() {
        output::say("nothing is in it");
    } else {
        output::table(ctx.form, &["MODE", "OWNER", "SIZE", "TIME (UTC)", "NAME"], &table);
    }
    if listing.odd.0 > 0 {
        output::murmur(&format!("{} names lead out of the archive and are not listed: {}", listing.odd.0, listing.odd.1.join(", ")));
    }
    if listing.more > 0 {
        output::murmur(&format!("{} entries more than can be listed", listing.more));
    }
    Ok(0)
}

fn row(seen: Seen<'_>) -> Vec<String> {
    let link = if seen.link.is_empty() { String::new() } else { format!(" -> {}", clean_bytes(seen.link)) };
    vec![
        seen.mode_words(),
        seen.owner(),
        if seen.size == 0 { "-".into() } else { bytes(seen.size) },
        seen.time().map_or("?".into(), |at| at.minute(0)),
        format!("{}{link}", clean_bytes(seen.name)),
    ]
}

fn item(seen: Seen<'_>) -> Json {
    // What is not text is told by its bytes, too, so that nothing has two names.
    let bytes = std::str::from_utf8(seen.name).err().map(|_| seen.name);
    json!({"name": String::from_utf8_lossy(seen.name), "name_bytes": bytes, "kind": seen.kind, "mode": format!("{:04o}", seen.mode),
        "uid": seen.uid, "gid": seen.gid, "size": seen.size, "time": seen.time().map(Stamp::rfc3339),
        "link": (!seen.link.is_empty()).then(|| String::from_utf8_lossy(seen.link))})
}

/// Some of it back. Without a target: to where it was, in the guest it is of.
pub(super) async fn pull(ctx: &Ctx, volid: &str, path: &str, into: Option<&str>, dir: Option<&str>, overwrite: bool) -> Done {
    let usage = |why: String| Problem::new(Kind::Usage, "pull", why, "--into GUEST:/FOLDER, or --into-dir /FOLDER");
    let (listing, archive) = listed(ctx, volid).await?;
    let (above, _) = path.trim_end_matches('/').rsplit_once('/').unwrap_or(("", path));
    let above = format!("/{}", above.trim_start_matches('/'));
    let target = match (into, dir) {
        (_, Some(dir)) if !dir.starts_with('/') => return Err(usage("the folder of the host begins with /".into())),
        (_, Some(dir)) => Target::parse(dir).map_err(usage)?,
        (Some(into), None) if into.starts_with('/') => return Err(usage("that names no guest".into())),
        (Some(into), None) => {
            Target::parse(&if into.ends_with(':') { format!("{into}{above}") } else { into.to_owned() }).map_err(usage)?
        }
        (None, None) => {
            let id = archive.vmid.ok_or_else(|| usage("its name does not tell which guest it is of".into()))?;
            Target::parse(&format!("{id}:{above}")).map_err(usage)?
        }
    };
    if ctx.restricted && matches!(target, Target::Host(_)) {
        let why = "no file of the host is written in restricted mode";
        return Err(Problem::new(Kind::Refused, "pull", why, "pull it into a guest"));
    }
    ctx.fulfil(Wish::Pull(pull::wish(&listing, volid, path.as_bytes(), target, overwrite)?)).await
}
