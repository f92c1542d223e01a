//! Verify: archives are read to their ends. The plan, what the program that reads them tells, and what comes of it.

use serde::{Deserialize, Serialize};

use super::super::backup::Archive;
use super::super::clean::clean;
use super::super::cmd::Cmd;
use super::super::guest::{Kind, Vmid};
use super::super::job::State;
use super::super::plan::{Act, Check, Plan, Purpose, Refusal, Risk, Step, Wants, Watch, digest};
use super::super::stamp::{Stamp, bytes};
use super::super::world::World;

/// What reading an archive to its end gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All of it can be read, and it ends as it should.
    Whole,
    /// It cannot be restored, or not all of it; why.
    Damaged(String),
    /// It could not be read, so nothing is known of it; why.
    Unknown(String),
}

/// What is told of one archive that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Of all its bytes; none where not all could be read.
    pub sha256: Option<String>,
    /// Bytes that were read.
    pub size: u64,
    /// Entries in it.
    pub entries: u64,
    /// What came of it.
    pub verdict: Verdict,
    /// What should be known although it is whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Report {
    /// That it could not be read.
    pub fn unknown(why: impl Into<String>) -> Report {
        Report { sha256: None, size: 0, entries: 0, verdict: Verdict::Unknown(why.into()), warnings: Vec::new() }
    }
}

/// The same with whose it is and when it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Which archive.
    pub volid: String,
    /// When it was read to its end.
    pub at: Stamp,
    /// What was found.
    #[serde(flatten)]
    pub report: Report,
}

impl Verified {
    /// `FILE is whole: 1.2 GiB, 41,003 entries, sha256 5e…`.
    pub fn words(&self) -> String {
        let file = clean(self.volid.rsplit('/').next().unwrap_or(&self.volid));
        let sum = self.report.sha256.as_ref().map_or(String::new(), |sum| format!(", sha256 {sum}"));
        match &self.report.verdict {
            Verdict::Whole => format!("{file} is whole: {}, {} entries{sum}", bytes(self.report.size), self.report.entries),
            Verdict::Damaged(why) => format!("{file} is DAMAGED: {why}{sum}"),
            Verdict::Unknown(why) => format!("{file} could not be read: {why}"),
        }
    }
}

/// A line that the program that looks inside archives tells its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// So many bytes are read, of so many.
    Read(u64, u64),
    /// What came of it.
    Report(Report),
    /// Something that is not as it should be and no reason to end.
    Warning(String),
}

impl Line {
    /// As it is written.
    pub fn text(&self) -> String {
        match self {
            Line::Read(done, all) => format!("read {done} of {all}"),
            Line::Report(report) => format!("verdict {}", serde_json::to_string(report).unwrap_or_default()),
            Line::Warning(text) => format!("warning: {}", clean(text)),
        }
    }

    /// What a line tells; none for any other.
    pub fn parse(text: &str) -> Option<Line> {
        if let Some(rest) = text.strip_prefix("read ") {
            let (done, all) = rest.split_once(" of ")?;
            return Some(Line::Read(done.parse().ok()?, all.parse().ok()?));
        }
        if let Some(rest) = text.strip_prefix("verdict ") {
            return serde_json::from_str(rest).ok().map(Line::Report);
        }
        text.strip_prefix("warning: ").map(|rest| Line::Warning(rest.to_owned()))
    }
}

/// What a job that verified says in the end: how it went, what happened, what to do.
pub fn conclude(all: &[Verified]) -> (State, String, &'static str) {
    let of = |which: fn(&Verdict) -> bool| all.iter().filter(|v| which(&v.report.verdict)).collect::<Vec<_>>();
    let (damaged, unknown) = (of(|v| matches!(v, Verdict::Damaged(_))), of(|v| matches!(v, Verdict::Unknown(_))));
    let (state, hint) = match (damaged.len(), unknown.len()) {
        (0, 0) if all.iter().any(|v| !v.report.warnings.is_empty()) => (State::Warned, ""),
        (0, 0) => (State::Succeeded, ""),
        (0, _) => (State::Unknown, "see why it could not be read, then verify it again"),
        _ => (State::Failed, "make another backup, and do not rely on this one"),
    };
    if let [one] = all {
        return (state, one.words(), hint);
    }
    let named = |what: &str, of: &[&Verified]| match of {
        [] => String::new(),
        of => format!(", {} {what}: {}", of.len(), of.iter().map(|v| v.words()).collect::<Vec<_>>().join("; ")),
    };
    let sums: String = all.iter().map(|v| format!("{} {}\n", v.volid, v.report.sha256.as_deref().unwrap_or("-"))).collect();
    let whole = all.len() - damaged.len() - unknown.len();
    let more = named("DAMAGED", &damaged) + &named("unknown", &unknown);
    (state, format!("{whole} whole{more}; all sums together: {}", digest(sums.as_bytes())), hint)
}

/// What is to be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyWish {
    /// This archive.
    Archive(String),
    /// The newest archive of this guest.
    Guest(Vmid),
    /// All of all containers.
    All,
}

/// What it is read with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ways {
    /// This program, as the host runs it.
    pub program: String,
    /// Whether ionice(1) is there: without it the disk is read as by anybody else.
    pub ionice: bool,
}

impl Ways {
    /// A command of ours that looks inside an archive.
    pub fn cmd(&self, words: &[&str]) -> Cmd {
        Cmd::new(&self.program, std::iter::once("in-archive").chain(words.iter().copied()))
    }

    /// The same, when nobody else wants the processor or the disk.
    fn idle(&self, words: &[&str]) -> Cmd {
        let head: &[&str] = if self.ionice { &["-n", "19", "ionice", "-c3"] } else { &["-n", "19"] };
        let cmd = self.cmd(words);
        Cmd::new("nice", head.iter().map(|w| (*w).to_owned()).chain([cmd.program]).chain(cmd.args)).unlimited()
    }
}

/// Where an archive of a container lies as a file; else why it is not read from here, and what to do.
pub fn path_of(world: &World, archive: &Archive) -> Result<String, (String, &'static str)> {
    let file = archive.volid.rsplit('/').next().unwrap_or_default();
    if archive.kind != Some(Kind::Lxc) {
        return Err(("it is not of a container".into(), "use the Proxmox page for virtual machines, or vma verify"));
    }
    let storage = world.storage(&archive.storage).ok_or_else(|| (format!("storage {} is not known", archive.storage), "see status"))?;
    let Some(dir) = storage.dump_dir() else {
        let hint = "verify it on the backup server; what that said last is shown by: proximity backup list";
        return Err((format!("{} keeps its backups on a server, which reads them itself", archive.storage), hint));
    };
    if let Err(why) = &storage.space {
        return Err((format!("storage {}: {why}", archive.storage), "bring the storage back"));
    }
    if archive.volid != format!("{}:backup/{file}", archive.storage) {
        return Err(("its volume id names no file".into(), "see backup list"));
    }
    Ok(format!("{dir}/{file}"))
}

/// The plan, or why it is refused.
pub fn plan(world: &World, wish: &VerifyWish, ways: &Ways) -> Result<Plan, Refusal> {
    let what = match wish {
        VerifyWish::Archive(volid) => format!("verify {}", clean(volid)),
        VerifyWish::Guest(id) => format!("verify the newest backup of {}", world.guest(*id).map_or(id.to_string(), |g| g.title())),
        VerifyWish::All => "verify all backups".to_owned(),
    };
    let refuse = |why: String, hint: &str| Refusal::new(what.clone(), why, hint);
    let all = world.archives.known.as_ref().map_err(|why| refuse(format!("the backups are unknown: {why}"), "see doctor"))?;
    let of: Vec<&Archive> = match wish {
        VerifyWish::Archive(volid) => all.iter().filter(|a| a.volid == *volid).collect(),
        VerifyWish::Guest(id) => all.iter().filter(|a| a.vmid == Some(*id)).max_by_key(|a| (a.made, &a.volid)).into_iter().collect(),
        VerifyWish::All => all.iter().collect(),
    };
    let (mut steps, mut notes, mut total, mut guest, mut bare) = (Vec::new(), Vec::new(), 0u64, None, false);
    for archive in &of {
        let path = match path_of(world, archive) {
            Ok(path) => path,
            Err((why, hint)) if of.len() == 1 => return Err(refuse(why, hint)),
            Err((why, _)) => {
                notes.push(format!("not read: {}: {why}", clean(&archive.volid)));
                continue;
            }
        };
        guest = guest.or(archive.vmid);
        total += archive.size.unwrap_or(0);
        bare = bare || path.ends_with(".tar");
        steps.push(step(ways, archive, &path));
    }
    let Some(guest) = guest else { return Err(refuse("there is no such archive".into(), "see backup list")) };
    notes.extend(world.archives.gaps.iter().filter(|_| *wish == VerifyWish::All).map(|g| format!("not read: {}: {}", g.what, g.why)));
    if bare {
        notes.push("what is not compressed has no sums of its own: a changed byte in a file of it shows only beside an earlier sum".into());
    }
    if !ways.ionice {
        notes.push("ionice is not there: the disk is read without giving way to others".into());
    }
    let title = match &of[..] {
        [one] => format!("verify {}", clean(one.volid.rsplit('/').next().unwrap_or(&one.volid))),
        _ => format!("verify {} archives", steps.len()),
    };
    Ok(Plan {
        purpose: Purpose::Verify,
        title,
        guest,
        host: world.place.host.clone(),
        facts: vec![format!("{} are read, when nobody else wants the processor or the disk; nothing is changed", bytes(total))],
        notes,
        risk: Risk::Low,
        steps,
    })
}

fn step(ways: &Ways, archive: &Archive, path: &str) -> Step {
    let file = clean(archive.volid.rsplit('/').next().unwrap_or(&archive.volid));
    let wants = archive.size.map_or(Wants::Success, |size| Wants::OneOf(vec![size.to_string()]));
    Step {
        title: format!("read {file} to its end"),
        act: Act::Run { cmd: ways.idle(&["verify", path]), watch: Watch::Archive { volid: archive.volid.clone(), size: archive.size } },
        // Whether it is whole is for the verdict to say; that it did not change while it was read is looked up.
        check: Check::Says { what: format!("{file} is as long as before"), cmd: Cmd::new("stat", ["--format=%s", "--", path]), wants },
        undo: None,
        always: true,
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
