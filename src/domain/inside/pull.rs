//! Bringing a file or a folder of an archive back: it is unpacked beside its place, the archive is read to its end, and only
//! then it takes its place by a rename. What was there stays under another name.

use super::super::backup::Archive;
use super::super::clean::clean;
use super::super::cmd::Cmd;
use super::super::guest::{Power, Vmid};
use super::super::plan::{Act, Check, Plan, Purpose, Refusal, Risk, Step, Wants, Watch};
use super::super::pve;
use super::super::stamp::{Stamp, bytes};
use super::super::volume::mount_place;
use super::super::world::World;
use super::listing::{Found, Listing};
use super::parts;
use super::verify::{Ways, path_of};

/// Status of the program that looks where something is put: it is not there, and nothing failed (COMMANDS: not found).
pub const NOT_THERE: i32 = 5;

/// Follows the name of what was unpacked while it changes places with what was there.
pub const HELD: &str = "-held";

/// How the note begins that says under which name stays what is there.
const KEPT: &str = "what is there now is kept as ";

/// What is said of a plan that was carried out.
pub fn done(plan: &Plan) -> String {
    let kept = plan.notes.iter().find_map(|n| n.strip_prefix(KEPT));
    format!("{}: done{}", plan.title, kept.map_or(String::new(), |name| format!("; what was there is kept as {name}")))
}

/// Where something is pulled to: a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Of a guest.
    Guest(Vmid, String),
    /// Of the host.
    Host(String),
}

impl Target {
    /// `101:/srv` or `/root`, as it is typed.
    pub fn text(&self) -> String {
        match self {
            Target::Guest(id, dir) => format!("{id}:{dir}"),
            Target::Host(dir) => dir.clone(),
        }
    }

    /// The same of what is typed.
    pub fn parse(text: &str) -> Result<Target, String> {
        let bad = || "give GUEST:/FOLDER, or /FOLDER of this host".to_owned();
        let text = text.trim();
        let clean_dir = |dir: &str| -> Result<String, String> {
            let all = parts(dir.as_bytes()).filter(|_| dir.starts_with('/')).ok_or_else(bad)?;
            let all: Vec<&str> = all.into_iter().map(|p| std::str::from_utf8(p).unwrap_or_default()).collect();
            Ok(format!("/{}", all.join("/")))
        };
        if text.starts_with('/') {
            return Ok(Target::Host(clean_dir(text)?));
        }
        let (id, dir) = text.split_once(':').ok_or_else(bad)?;
        Ok(Target::Guest(id.parse()?, clean_dir(dir)?))
    }

    /// This name in it.
    pub fn join(&self, name: &str) -> Target {
        let in_it = |dir: &str| format!("{}/{name}", dir.trim_end_matches('/'));
        match self {
            Target::Guest(id, dir) => Target::Guest(*id, in_it(dir)),
            Target::Host(dir) => Target::Host(in_it(dir)),
        }
    }
}

/// What is wished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullWish {
    /// Of which archive.
    pub volid: String,
    /// What: its path there, with a slash at its beginning.
    pub path: String,
    /// Into which folder.
    pub into: Target,
    /// What is there now is removed in the end, and not kept.
    pub overwrite: bool,
    /// What the archive's list tells of it.
    pub found: Found,
}

impl PullWish {
    /// Its name, and the folder it lies in.
    pub fn name(&self) -> (&str, &str) {
        let path = self.path.trim_end_matches('/');
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        (name, if dir.is_empty() { "/" } else { dir })
    }
}

/// The wish to pull something, with what the list tells of it.
pub fn wish(listing: &Listing, volid: &str, path: &[u8], into: Target, overwrite: bool) -> Result<PullWish, Refusal> {
    let no = |why: &str| Refusal::new(format!("pull {}", super::super::clean::clean_bytes(path)), why, "see proximity backup files");
    let at = listing.find(path).ok_or_else(|| no("there is nothing of that name in the archive"))?;
    let found = listing.found(at).ok_or_else(|| no("there is nothing of that name in the archive"))?;
    if let Some(first) = &found.second_of {
        let first = super::super::clean::clean_bytes(first);
        return Err(no(&format!("it is a second name of {first}, which has the content: pull that one")));
    }
    if found.files + found.dirs == 0 {
        return Err(no("it is no file, folder or link"));
    }
    let path = String::from_utf8(listing.path(at)).map_err(|_| no("its name is no text; pull the folder it lies in"))?;
    Ok(PullWish { volid: volid.into(), path, into, overwrite, found })
}

/// What was found at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// Nothing of that name.
    Free,
    /// Something of that name.
    Taken,
    /// The guest does not run, and its volumes are mounted only when it is done.
    Unmounted,
}

/// The archive that is meant, and where it lies.
pub fn archive<'w>(world: &'w World, volid: &str) -> Result<(&'w Archive, String), Refusal> {
    let what = format!("look into {}", clean(volid));
    let refuse = |(why, hint): (String, &str)| Refusal::new(what.clone(), why, hint);
    let all = world.archives.known.as_ref().map_err(|why| refuse((format!("the backups are unknown: {why}"), "see doctor")))?;
    let archive = all.iter().find(|a| a.volid == volid).ok_or_else(|| refuse(("there is no such archive".into(), "see backup list")))?;
    if archive.is_empty() {
        return Err(refuse(("the archive is empty".into(), "choose another one")));
    }
    let path = path_of(world, archive).map_err(|(why, hint)| {
        let hint = if hint.starts_with("verify it") { "restore it beside, and take the files from there" } else { hint };
        refuse((why, hint))
    })?;
    Ok((archive, path))
}

/// The plan, or why it is refused. `now` and `offset_s`: when it is made, for the name of what is kept.
pub fn plan(world: &World, wish: &PullWish, looked: Looked, ways: &Ways, (now, offset_s): (Stamp, i32)) -> Result<Plan, Refusal> {
    let (name, _) = wish.name();
    let what = format!("pull {} into {}", clean(&wish.path), clean(&wish.into.text()));
    let refuse = |why: String, hint: &str| Refusal::new(what.clone(), why, hint);
    let (archive, file) = archive(world, &wish.volid)?;
    if name.is_empty() || parts(wish.path.as_bytes()).is_none() {
        return Err(refuse("that is not one thing in it".into(), "name a file or a folder below /"));
    }
    let mut notes = Vec::new();
    let (guest, owner) = match &wish.into {
        Target::Guest(id, _) => {
            let guest = world.the_guest(*id).map_err(|(why, hint)| refuse(why, hint))?;
            if let (Some(lock), false) = (&guest.lock, guest.power == Power::Running) {
                return Err(refuse(format!("{} does not run and is locked ({lock})", guest.title()), "wait for what holds it"));
            }
            if Some(*id) != archive.vmid {
                notes.push(format!("it is of another guest than {}: owners keep their numbers", guest.title()));
            }
            (*id, "owner, mode and time are those of the archive".to_owned())
        }
        Target::Host(_) => {
            let of = archive.vmid.ok_or_else(|| refuse("its name does not tell which guest it is of".into(), "see backup list"))?;
            (of, "on the host all of it is root's, and nothing is setuid; mode and time are those of the archive".to_owned())
        }
    };
    if wish.found.left_out > 0 {
        notes.push(format!("left out: {} devices, pipes and the like", wish.found.left_out));
    }
    let at = wish.into.join(name);
    let stage = wish.into.join(&format!(".proximity-{:x}", now.0));
    let (y, mo, d, h, mi, s) = now.civil(offset_s);
    let before = wish.into.join(&format!("{name}.before-{y:04}{mo:02}{d:02}-{h:02}{mi:02}{s:02}"));
    let (at_text, stage_text, before_text) = (at.text(), stage.text(), before.text());
    let there = |place: &str| Check::Says {
        what: format!("{} is there", clean(place)),
        cmd: ways.cmd(&["there", place]).limit(60),
        wants: Wants::Success,
    };
    let kind = if wish.found.dir { "folder" } else { "file" };
    let (mut place, mut back) = (vec!["place", &stage_text, &at_text], vec!["back", &at_text]);
    match looked {
        Looked::Free => {}
        Looked::Taken => [&mut place, &mut back].into_iter().for_each(|words| words.push(&before_text)),
        Looked::Unmounted => [&mut place, &mut back].into_iter().for_each(|words| words.extend([before_text.as_str(), "--if-there"])),
    }
    let taken = looked != Looked::Free;
    let mut steps = Vec::new();
    if looked == Looked::Unmounted {
        let at = mount_place(guest);
        let cmd = Cmd::new("stat", ["--format=%m", "--", &at]);
        let check = Check::Says { what: format!("the volumes of {guest} are mounted"), cmd, wants: Wants::OneOf(vec![at]) };
        let mount = Step::run(format!("mount the volumes of {guest}"), pve::pct("mount", guest).limit(120), check);
        steps.push(mount.undone_by(pve::pct("unmount", guest)));
        notes.push(format!("{guest} does not run: its volumes are mounted for it, and let go in the end; it cannot start meanwhile"));
    }
    steps.extend([
        Step {
            title: format!("unpack the {kind} beside its place, and read the archive to its end"),
            act: Act::Run {
                cmd: ways.cmd(&["pull", &file, &wish.path, &stage_text]).unlimited(),
                watch: Watch::Archive { volid: wish.volid.clone(), size: archive.size },
            },
            check: there(&stage_text),
            undo: Some(ways.cmd(&["drop", &stage_text]).limit(600).into()),
            always: true,
        },
        Step {
            title: format!("put it in its place: {}", clean(&at_text)),
            act: Act::Run { cmd: ways.cmd(&place).limit(120), watch: Watch::Exit },
            // That something is there says nothing: it may be what was there before.
            check: Check::Says {
                what: format!("{} is what was unpacked", clean(&at_text)),
                cmd: ways.cmd(&["placed", &stage_text, &at_text]).limit(60),
                wants: Wants::Success,
            },
            undo: Some(ways.cmd(&back).limit(600).into()),
            always: false,
        },
    ]);
    let gone = taken && wish.overwrite;
    if gone {
        let check = Check::Says {
            what: format!("{} is not there", clean(&before_text)),
            cmd: ways.cmd(&["there", &before_text]).limit(60),
            wants: Wants::Status(NOT_THERE),
        };
        steps.push(Step::run("remove what was there before", ways.cmd(&["drop", &before_text]).limit(600), check));
    } else if taken {
        let perhaps = if looked == Looked::Unmounted { ", if anything is" } else { "" };
        notes.push(format!("{KEPT}{}{perhaps}", clean(before_text.rsplit('/').next().unwrap_or_default())));
    }
    if looked == Looked::Unmounted {
        steps.push(Step::run(
            format!("let the volumes of {guest} go"),
            pve::pct("unmount", guest).limit(120),
            Check::Unlocked { vmid: guest },
        ));
    }
    let many = match (wish.found.dir, wish.found.files) {
        (false, _) => String::new(),
        (true, n) => format!("{n} files in {} folders, ", wish.found.dirs),
    };
    Ok(Plan {
        purpose: if matches!(wish.into, Target::Guest(..)) { Purpose::Pull } else { Purpose::PullOut },
        title: what,
        guest,
        host: world.place.host.clone(),
        facts: vec![format!("{many}{}, of {}", bytes(wish.found.bytes), clean(&wish.volid)), owner],
        notes,
        risk: if gone { Risk::Destroys { name: name.to_owned() } } else { Risk::Low },
        steps,
    })
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
