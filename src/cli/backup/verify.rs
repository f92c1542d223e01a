//! `backup verify`, and what jobs that verified say of an archive.

use serde_json::{Value as Json, json};

use super::{Ctx, Done};
use crate::domain::backup::Archive;
use crate::domain::fact::Wish;
use crate::domain::guest::Vmid;
use crate::domain::inside::ledger::{Ledger, Standing};
use crate::domain::inside::verify::VerifyWish;
use crate::domain::stamp::{Stamp, ago};
use crate::problem::{Kind, Problem};

/// An archive, the newest of a guest, or all.
pub(super) async fn verify(ctx: &Ctx, what: Option<String>, all: bool) -> Done {
    let wish = match (what, all) {
        (None, true) => VerifyWish::All,
        (Some(what), false) => what.parse::<Vmid>().map_or_else(|_| VerifyWish::Archive(what), VerifyWish::Guest),
        _ => return Err(Problem::new(Kind::Usage, "verify", "what is not said", "give an archive, a guest, or --all")),
    };
    ctx.fulfil(Wish::Verify(wish)).await
}

/// A cell of a table: `3 h ago`, `never`, `DAMAGED`, `server: ok`, `unknown`. `ledger`: none where it is not known.
pub(super) fn cell(ledger: Option<&Ledger>, archive: &Archive, now: Stamp) -> String {
    if let Some(ok) = archive.server_says {
        return if ok { "server: ok".into() } else { "server: FAILED".into() };
    }
    let Some(ledger) = ledger else { return "unknown".into() };
    match ledger.standing(archive) {
        Standing::Whole(word) => format!("whole, {}", ago(now, word.verified.at)),
        other => other.label().into(),
    }
}

/// The same as JSON.
pub(super) fn as_json(ledger: Option<&Ledger>, archive: &Archive) -> Json {
    let Some(ledger) = ledger else { return Json::Null };
    let standing = ledger.standing(archive);
    let report = standing.word().map(|w| &w.verified.report);
    json!({"is": standing.label().to_lowercase(), "says": standing.words(), "at": standing.word().map(|w| w.verified.at.rfc3339()),
        "job": standing.word().map(|w| w.job), "sha256": report.and_then(|r| r.sha256.as_ref()), "entries": report.map(|r| r.entries)})
}
