//! What the Logs pane has kept outside: the operator's bookmarks and files of lines.
//!
//! Bookmarks are a file of the state folder and no table: they are needed where there is no store or it is locked or
//! read-only, are worth no transaction, and losing them loses nothing else.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Hands, locked};
use crate::domain::fact::{Fact, LogSource};
use crate::domain::log_marks::Mark;
use crate::domain::log_page::{FileAsk, FileNews};
use crate::host::NotOpened;
use crate::host::file::{Reader, names};
use crate::problem::{Kind, Problem};
use crate::store::new_file;

/// Bytes of a file of bookmarks that are read at most.
const MOST: u64 = 4 << 20;

/// A file that is read for the screen, once whoever asked for it was found to be allowed to.
#[derive(Default)]
pub(super) struct OpenFile {
    reader: Option<Reader>,
    /// What was asked of it before.
    waiting: Vec<FileAsk>,
}

/// Names given at most for a path that is typed.
const NAMES: usize = 400;

impl Hands {
    /// What is asked of a file. It is read on a thread of its own.
    pub(super) fn file(self: &Arc<Self>, source: LogSource, ask: FileAsk) {
        let appliance = locked(&self.world).appliance_id();
        let Some((guest, path)) = source.file(appliance) else { return };
        match ask {
            FileAsk::Open => {
                let (me, told, path) = (Arc::clone(self), source.clone(), path.to_owned());
                let tell = move |news| me.facts.blocking_send(Fact::File { source: told.clone(), news }).is_ok();
                let started = Reader::start(self.ctx.host.any_tree(guest), path, tell);
                let mut files = locked(&self.files);
                // Nobody wants it any more.
                let Some(file) = files.get_mut(&source) else { return };
                match started {
                    Ok(reader) => {
                        std::mem::take(&mut file.waiting).into_iter().for_each(|ask| reader.ask(ask));
                        file.reader = Some(reader);
                    }
                    Err(e) => tracing::warn!(%e, "no thread reads the file"),
                }
            }
            FileAsk::Names => {
                let named = self.ctx.host.any_tree(guest).and_then(|tree| {
                    let (dir, head) = path.rsplit_once('/').unwrap_or(("", path));
                    names(&tree, &format!("{dir}/"), head, NAMES).map_err(NotOpened::Refused)
                });
                let news = match named {
                    Ok(names) => FileNews::Names(names),
                    Err(e) => FileNews::Failed(e.why()),
                };
                self.tell_now(Fact::File { source, news });
            }
            FileAsk::Close => drop(locked(&self.files).remove(&source)),
            ask => {
                if let Some(file) = locked(&self.files).get_mut(&source) {
                    match &file.reader {
                        Some(reader) => reader.ask(ask),
                        None => file.waiting.push(ask),
                    }
                }
            }
        }
    }

    /// One file for each operator: a note is for whoever wrote it.
    fn marks_file(&self) -> Option<PathBuf> {
        let name = self.who()?.name;
        // Names of operators are checked when they are made; a file's name is too much to rely on that.
        let letters: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect();
        Some(self.ctx.config.state.join("bookmarks").join(format!("{letters}.json")))
    }

    /// Keeps bookmarks, or tells those that are kept.
    pub(super) fn marks(&self, marks: Option<Vec<Mark>>) {
        let Some(path) = self.marks_file() else { return };
        let done = match &marks {
            Some(marks) => keep(&path, marks),
            None => read(&path).map(|marks| self.tell_now(Fact::Marks(marks))),
        };
        if let Err(e) = done {
            let what = if marks.is_some() { "the bookmarks are not kept" } else { "the bookmarks cannot be read" };
            self.problem(Problem::new(Kind::Failed, what, format!("{}: {e}", path.display()), "they hold until the console ends"));
        }
    }

    /// Writes lines to a new file. In restricted mode nothing is written: whoever chose a path there could write anywhere.
    pub(super) fn export(&self, path: &str, text: &[u8], lines: u64) {
        if self.ctx.restricted {
            let hint = "proximity logs over ssh prints the same lines";
            return self.problem(Problem::new(Kind::Refused, "lines to a file", "no file is written in restricted mode", hint));
        }
        match new_file(Path::new(path)).and_then(|mut file| file.write_all(text)) {
            Ok(()) => self.tell_now(Fact::Done(format!("wrote {lines} lines to {path}"))),
            Err(e) => self.problem(Problem::new(
                Kind::Failed,
                format!("lines to {path}"),
                e.to_string(),
                "a file that is there is never replaced",
            )),
        }
    }
}

fn keep(path: &Path, marks: &[Mark]) -> std::io::Result<()> {
    let temp = path.with_extension(format!("{}.tmp", std::process::id()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let _ = fs::remove_file(&temp);
    let text = serde_json::to_vec_pretty(marks)?;
    new_file(&temp)?.write_all(&text)?;
    fs::rename(&temp, path)
}

fn read(path: &Path) -> std::io::Result<Vec<Mark>> {
    match fs::metadata(path) {
        Ok(is) if is.len() > MOST => return Err(std::io::Error::other("it is too long for a file of bookmarks")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        _ => {}
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn bookmarks_come_back_and_a_broken_file_is_said() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("bookmarks/ada.json");
        assert_eq!(read(&path).unwrap(), []);
        let mark = Mark::new("caddy".into(), None, b"a line", "why".into());
        keep(&path, std::slice::from_ref(&mark)).unwrap();
        keep(&path, &[mark.clone(), mark.clone()]).unwrap();
        assert_eq!(read(&path).unwrap(), [mark.clone(), mark]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "[{").unwrap();
        assert!(read(&path).is_err());
    }

    #[test]
    fn a_file_or_link_that_is_there_is_never_written() {
        let home = tempfile::tempdir().unwrap();
        let (file, link) = (home.path().join("file"), home.path().join("link"));
        new_file(&file).unwrap().write_all(b"x").unwrap();
        std::os::unix::fs::symlink(home.path().join("nowhere"), &link).unwrap();
        assert!(new_file(&file).is_err() && new_file(&link).is_err() && !home.path().join("nowhere").exists());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
