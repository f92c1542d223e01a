//! What jobs that verified found out, by archive: nobody keeps a word of "whole" beside them.
//!
//! There is no table of sums beside the jobs. A worker has no vault key, so a row it wrote could carry no tag; a job's row has
//! its sum, its log and its intent, and its end stands in the audit, whose chain a worker can seal: the sum of the archive, or one
//! over those of all, is in that entry. Whoever prunes jobs one day keeps the first and the last of each archive that is still there.

use std::collections::BTreeMap;

use super::super::backup::Archive;
use super::super::clean::clean;
use super::super::guest::Guest;
use super::super::job::{Job, JobId};
use super::super::plan::Purpose;
use super::super::world::World;
use super::verify::{Verdict, Verified};

/// What one job found out of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// What.
    pub verified: Verified,
    /// Which job.
    pub job: JobId,
}

/// What the jobs found out, by archive, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Ledger(BTreeMap<String, Vec<Word>>);

/// How an archive stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Nobody read it to its end yet.
    Never,
    /// It was whole.
    Whole(&'a Word),
    /// It was not.
    Damaged(&'a Word),
    /// It is not what it was when it was read first.
    Changed(&'a Word),
    /// It could not be read when it was tried last.
    Unknown(&'a Word),
}

impl Ledger {
    /// Of these jobs, in whatever order they stand.
    pub fn of(jobs: &[Job]) -> Ledger {
        let mut all: BTreeMap<String, Vec<Word>> = BTreeMap::new();
        for job in jobs.iter().filter(|j| j.order.plan().purpose == Purpose::Verify) {
            for verified in job.life.outcome.iter().flat_map(|o| &o.verified) {
                all.entry(verified.volid.clone()).or_default().push(Word { verified: verified.clone(), job: job.id });
            }
        }
        all.values_mut().for_each(|words| words.sort_by_key(|w| (w.verified.at, w.job)));
        Ledger(all)
    }

    /// Whether an archive must not be relied on: it is damaged or was changed, by our word or the backup server's.
    pub fn is_spoilt(&self, archive: &Archive) -> bool {
        archive.server_says == Some(false) || self.standing(archive).is_bad()
    }

    /// How an archive stands.
    pub fn standing(&self, archive: &Archive) -> Standing<'_> {
        let Some((words, last)) = self.0.get(&archive.volid).and_then(|words| Some((words, words.last()?))) else {
            return Standing::Never;
        };
        let sum = |w: &&Word| w.verified.report.sha256.is_some();
        let (first, latest) = (words.iter().find(sum), words.iter().rev().find(sum));
        if let Some((first, latest)) = first.zip(latest) {
            let (a, b) = (&first.verified.report, &latest.verified.report);
            // An archive is written once: another size under its name is a change nobody needs to read it for.
            if a.sha256 != b.sha256 || archive.size.is_some_and(|size| size != b.size) {
                return Standing::Changed(latest);
            }
        }
        match &last.verified.report.verdict {
            Verdict::Whole => Standing::Whole(last),
            Verdict::Damaged(_) => Standing::Damaged(last),
            Verdict::Unknown(_) => Standing::Unknown(last),
        }
    }
}

impl Standing<'_> {
    /// What jobs say of it.
    pub fn word(&self) -> Option<&Word> {
        match self {
            Standing::Never => None,
            Standing::Whole(w) | Standing::Damaged(w) | Standing::Changed(w) | Standing::Unknown(w) => Some(w),
        }
    }

    /// Whether it must not be relied on.
    pub fn is_bad(&self) -> bool {
        matches!(self, Standing::Damaged(_) | Standing::Changed(_))
    }

    /// `whole`, `DAMAGED`, `CHANGED`, `unknown`, `never`.
    pub fn label(&self) -> &'static str {
        match self {
            Standing::Never => "never",
            Standing::Whole(_) => "whole",
            Standing::Damaged(_) => "DAMAGED",
            Standing::Changed(_) => "CHANGED",
            Standing::Unknown(_) => "unknown",
        }
    }

    /// What there is to be said of it, without when.
    pub fn words(&self) -> String {
        let report = self.word().map(|w| &w.verified.report);
        match (self, report.map(|r| &r.verdict)) {
            (Standing::Changed(_), _) => "it is not what it was when it was read first: its bytes were changed since".into(),
            (_, Some(Verdict::Damaged(why))) => format!("it is damaged: {why}"),
            (_, Some(Verdict::Unknown(why))) => format!("it could not be read: {why}"),
            (_, Some(Verdict::Whole)) => "it was read to its end and is whole".into(),
            (_, None) => "nobody has read it to its end yet".into(),
        }
    }
}

/// Archives that are there and must not be relied on: what each is of, and why.
pub fn spoilt(world: &World) -> Vec<(String, String)> {
    let Some(archives) = world.archives.get() else { return Vec::new() };
    let ledger = world.jobs.get().map(|jobs| Ledger::of(jobs)).unwrap_or_default();
    let one = |archive: &Archive| {
        let says = match archive.server_says {
            _ if !ledger.is_spoilt(archive) => return None,
            Some(false) => "the backup server says that it is damaged".to_owned(),
            _ => ledger.standing(archive).words(),
        };
        let of = archive.vmid.map_or("?".into(), |id| world.guest(id).map_or(id.to_string(), Guest::title));
        let file = clean(archive.volid.rsplit('/').next().unwrap_or_default());
        Some((format!("backup of {of}"), format!("{file}: {}; make another one, and do not rely on it", clean(&says))))
    };
    // Of an empty one that is told already.
    archives.iter().filter(|a| !a.is_empty()).filter_map(one).collect()
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
