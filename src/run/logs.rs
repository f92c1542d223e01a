//! What the Logs pane has kept outside: the operator's bookmarks and files of lines.
//!
//! Bookmarks are a file of the state folder and no table: they are needed where there is no store or it is locked or
//! read-only, are worth no transaction, and losing them loses nothing else.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Hands;
use crate::domain::fact::Fact;
use crate::domain::log_marks::Mark;
use crate::problem::{Kind, Problem};
use crate::store::new_file;

/// Bytes of a file of bookmarks that are read at most.
const MOST: u64 = 4 << 20;

impl Hands {
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
