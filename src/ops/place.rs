//! Files of the host and of running guests, read and replaced by commands alone, so that it does not matter how far the host is.

use crate::domain::appliance::tar::{self, Member};
use crate::domain::change::{Change, Lay, Place, Turn, Was};
use crate::domain::cmd::Cmd;
use crate::domain::guest::Vmid;
use crate::domain::pve;
use crate::host::{Host, HostError, Look, bytes_of, last_lines};

/// The most bytes that are read of one file.
const MOST: usize = 1 << 20;

/// The bytes of files, in the order they were asked for; `None` for one that is not there. In a guest it is one command.
pub async fn read(host: &dyn Host, at: Place, paths: &[&str]) -> Result<Vec<Option<Vec<u8>>>, HostError> {
    read_by(host, at, paths, |argv| at.cmd(argv)).await
}

/// The same by [`Place::quick`].
pub async fn read_quick(host: &dyn Host, at: Place, paths: &[&str]) -> Result<Vec<Option<Vec<u8>>>, HostError> {
    read_by(host, at, paths, |argv| at.quick(argv)).await
}

async fn read_by(
    host: &dyn Host,
    at: Place,
    paths: &[&str],
    cmd: impl FnOnce(Vec<String>) -> Cmd,
) -> Result<Vec<Option<Vec<u8>>>, HostError> {
    let Place::Guest(_) = at else {
        let looks = paths.iter().map(|p| Look::File((*p).to_owned(), MOST)).collect();
        let of = |found: &Result<_, _>| match bytes_of(found) {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(HostError::Missing { .. }) => Ok(None),
            Err(e) => Err(e),
        };
        return host.look(looks).await.iter().map(of).collect();
    };
    let names = paths.iter().map(|p| p.trim_start_matches('/'));
    let members =
        members(host, cmd(["tar", "-C", "/", "-cf", "-"].into_iter().chain(names).map(str::to_owned).collect()).limit(20)).await?;
    let of = |path: &&str| match members.iter().find(|m| m.path == **path) {
        None => Ok(None),
        Some(m) => m.bytes.clone().map(Some).ok_or(HostError::Io { what: (*path).to_owned(), why: "it is no regular file".into() }),
    };
    paths.iter().map(of).collect()
}

/// The members of the archive that a command writes.
pub(super) async fn members(host: &dyn Host, cmd: Cmd) -> Result<Vec<Member>, HostError> {
    let what = cmd.shown();
    let out = host.run(cmd).await?;
    let text = out.any();
    unpacked(text.out, text.err).map_err(|why| HostError::Io { what, why })
}

/// What tar wrote, with what it said besides: a path that is not there makes it fail, and the archive tells of the others all the
/// same.
pub(super) fn unpacked(out: &[u8], err: &[u8]) -> Result<Vec<Member>, String> {
    tar::members(out).map_err(|why| {
        let said = last_lines(err);
        if said.is_empty() { why } else { format!("{why}: {said}") }
    })
}

/// Copies what lies at these paths from one running guest to another, and looks whether it is the same there. Gives the number
/// of files. Owners go by their names.
pub async fn carry(host: &dyn Host, from: Vmid, to: Vmid, paths: &[String]) -> Result<usize, String> {
    let asked = host.run(pve::exec(from, ["ls", "-d"].map(str::to_owned).into_iter().chain(paths.iter().cloned())).limit(20)).await;
    let there = asked.map_err(|e| e.to_string())?;
    let there: Vec<String> = String::from_utf8_lossy(there.any().out).lines().map(|p| p.trim_start_matches('/').to_owned()).collect();
    if there.is_empty() {
        return Ok(0);
    }
    let pack = |of: Vmid| pve::exec(of, ["tar", "-C", "/", "-cf", "-"].map(str::to_owned).into_iter().chain(there.clone())).limit(60);
    let packed = async |of: Vmid| {
        let out = host.run(pack(of)).await.map_err(|e| e.to_string())?;
        out.success().map(|text| text.out.to_vec()).map_err(|e| e.to_string())
    };
    let archive = packed(from).await?;
    let had = tar::members(&archive)?;
    let mut unpack = pve::exec(to, ["tar", "-C", "/", "-xpf", "-"]).limit(60);
    unpack.stdin = Some(archive);
    host.run(unpack).await.and_then(|out| out.success().map(|_| ())).map_err(|e| e.to_string())?;
    let has = tar::members(&packed(to).await?)?;
    match had.iter().find(|h| !has.iter().any(|m| m.path == h.path && m.bytes == h.bytes)) {
        Some(other) => Err(format!("{} in {to} is not what it is in {from}", crate::domain::clean::clean(&other.path))),
        None => Ok(had.iter().filter(|m| m.bytes.is_some()).count()),
    }
}

/// Makes a folder that is not there yet: whole and on the disk, or not at all.
pub async fn lay(host: &dyn Host, lay: &Lay) -> Result<(), String> {
    let run = async |argv: Vec<&str>, stdin: Option<Vec<u8>>| {
        let mut cmd = lay.at.quick(argv).limit(60);
        cmd.stdin = stdin;
        host.run(cmd).await.and_then(|out| out.success().map(|_| ())).map_err(|e| e.to_string())
    };
    let new = lay.files.iter().filter_map(|c| Some((c.path.as_str(), c.now.as_ref()?.bytes(), c.mode)));
    let archive = tar::of_files(new).ok_or("a name or a content is too long")?;
    // Who makes it first has it: the other one is told.
    if let Err(why) = run(vec!["mkdir", "-m", "755", "--", &lay.folder], None).await {
        let there = run(vec!["ls", "-d", "--", &lay.folder], None).await.is_ok();
        let taken = || format!("{} is there already: somebody else made a change meanwhile; ask for this one anew", lay.folder);
        return Err(if there { taken() } else { why });
    }
    let filled = async {
        if let Some(from) = &lay.from {
            run(vec!["cp", "-a", &format!("{from}/."), &lay.folder], None).await?;
        }
        let gone: Vec<&str> = lay.files.iter().filter(|c| c.now.is_none()).map(|c| c.path.as_str()).collect();
        if !gone.is_empty() {
            run(["rm", "-f", "--"].into_iter().chain(gone).collect(), None).await?;
        }
        run(vec!["tar", "-C", "/", "-xpf", "-"], Some(archive)).await?;
        // Its own file system: another one of the node may hang.
        run(vec!["sync", "-f", &lay.folder], None).await
    };
    let filled = filled.await;
    if filled.is_err() {
        // A full disk is not to be filled with what nobody reads.
        let _ = run(vec!["rm", "-rf", "--", &lay.folder], None).await;
    }
    filled
}

/// Has a link lead somewhere else: another one takes its place, so that at no moment there is none.
pub async fn turn(host: &dyn Host, turn: &Turn) -> Result<(), String> {
    let run = async |argv: Vec<&str>| {
        let out = host.run(turn.at.quick(argv).limit(20)).await;
        out.and_then(|out| out.success().map(|_| ())).map_err(|e| e.to_string())
    };
    let Some(to) = &turn.to else { return run(vec!["rm", "-f", "--", &turn.link]).await };
    let beside = format!("{}.next", turn.link);
    run(vec!["ln", "-sfn", to, &beside]).await?;
    run(vec!["mv", "-fT", &beside, &turn.link]).await
}

/// Carries a change out: the new file is put beside the old one, tested, and takes its place by a rename. A file that is not
/// as it was when the change was planned is left alone. Gives what the test said where it failed.
pub async fn put(host: &dyn Host, change: &Change) -> Result<(), String> {
    let (at, path, stage) = (change.at, change.path.as_str(), change.stage());
    let found = read(host, at, &[path]).await.map_err(|e| e.to_string())?.into_iter().next().flatten();
    let as_planned = match &change.was {
        Was::Any => true,
        Was::Nothing => found.is_none(),
        Was::This(content) => found.as_deref() == Some(content.bytes()),
    };
    if !as_planned {
        return Err(format!(
            "{} is not as it was when this was planned: somebody changed it; plan it anew",
            crate::domain::clean::clean(path)
        ));
    }
    let run = async |argv: Vec<&str>, stdin: Option<Vec<u8>>| {
        let mut cmd = at.cmd(argv).limit(60);
        cmd.stdin = stdin;
        host.run(cmd).await.and_then(|out| out.success().map(|_| ())).map_err(|e| e.to_string())
    };
    let Some(now) = &change.now else {
        return run(vec!["rm", "-f", "--", path], None).await;
    };
    let archive =
        tar::of_file(&stage, now.bytes(), change.mode).ok_or_else(|| format!("{stage} cannot be written: name or content is too long"))?;
    run(vec!["tar", "-C", "/", "-xpf", "-"], Some(archive)).await?;
    if !change.test.is_empty() {
        let argv = change.test.iter().map(String::as_str).chain([stage.as_str()]).collect();
        if let Err(why) = run(argv, None).await {
            // Nobody reads it, and its reason is told.
            let _ = run(vec!["rm", "-f", "--", &stage], None).await;
            return Err(format!("{} is refused, and nothing was changed: {why}", crate::domain::clean::clean(path)));
        }
    }
    // What is renamed must be on the disk, or a power cut leaves an empty file.
    run(vec!["sync", &stage], None).await?;
    run(vec!["mv", "-f", "--", &stage, path], None).await
}
