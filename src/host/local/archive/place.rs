//! Where something is put: a name in a folder of a guest or of the host. The folder is opened once, through no link of the guest,
//! and all that is done is done in what is open.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, fstat, fsync, openat, openat2, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::unpack::Owners;
use crate::domain::clean::clean;
use crate::domain::inside::pull::{HELD, Target};
use crate::host::Host;
use crate::host::local::file::answers_by_itself;

/// Folders in each other that are removed at most.
const DEEPEST: usize = 400;

/// A name in a folder.
#[derive(Debug)]
pub struct Place {
    folder: OwnedFd,
    name: String,
    shown: String,
}

impl Place {
    /// Opens the folder of a target; and whose it becomes what is put there.
    pub fn open(host: &dyn Host, target: &Target) -> Result<(Place, Owners), String> {
        let text = target.text();
        let (dir, name) = text.rsplit_once('/').filter(|(_, name)| !name.is_empty()).ok_or("it names no file")?;
        let shown = clean(&text);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let (folder, owners) = match target {
            Target::Host(_) => {
                let path = if dir.is_empty() { "/" } else { dir };
                (openat(CWD, path, flags, Mode::empty()).map_err(|e| format!("{}: {e}", clean(path)))?, Owners::Host)
            }
            Target::Guest(id, path) => {
                let tree = host.any_tree(Some(*id)).map_err(|e| e.why())?;
                let dir = path.rsplit_once('/').map_or("/", |(dir, _)| if dir.is_empty() { "/" } else { dir });
                if let Some(volume) = tree.missing_volume(path) {
                    return Err(format!("{} lies on {volume}, which is not mounted while {id} does not run", clean(path)));
                }
                let (root, ids) = tree.root().zip(tree.ids()).ok_or_else(|| format!("who owns what in {id} is not known"))?;
                (in_guest(root, dir)?, Owners::Guest(*id, ids.clone()))
            }
        };
        if matches!(owners, Owners::Guest(..)) && !answers_by_itself(&folder).map_err(|e| format!("{shown}: {e}"))? {
            return Err(format!("{shown} lies on a file system that may keep whoever writes waiting"));
        }
        Ok((Place { folder, name: name.to_owned(), shown }, owners))
    }

    /// A place in a folder that is open.
    #[cfg(test)]
    pub(super) fn in_folder(folder: OwnedFd, name: &str) -> Place {
        Place { folder, name: name.into(), shown: name.into() }
    }

    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// As it is said.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    fn say(&self, e: Errno) -> String {
        format!("{}: {e}", self.shown)
    }

    /// Whether something has that name; of a link that leads nowhere, too.
    pub fn is_there(&self) -> Result<bool, String> {
        match statat(&self.folder, &*self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(self.say(e)),
        }
    }

    /// Puts what has the stage's name in this place. What is there gets the name `before`, and at no moment there is nothing. Under
    /// the stage's name there is at no moment what was in the place: whoever removes it loses nothing.
    pub fn take(&self, stage: &Place, before: Option<&Place>) -> Result<(), String> {
        let renamed = |from: &Place, to: &Place| renameat_with(&from.folder, &*from.name, &to.folder, &*to.name, RenameFlags::NOREPLACE);
        let Some(before) = before else {
            return match renamed(stage, self) {
                Ok(()) => self.settle(),
                Err(Errno::EXIST) => Err(format!("{} is there by now; plan it anew", self.shown)),
                Err(e) => Err(self.say(e)),
            };
        };
        if before.is_there()? {
            return Err(format!("{} is there already", before.shown));
        }
        let held = stage.held()?;
        renamed(stage, &held).map_err(|e| held.say(e))?;
        if let Err(e) = renameat_with(&held.folder, &*held.name, &self.folder, &*self.name, RenameFlags::EXCHANGE) {
            let not_back = renamed(&held, stage).err().map_or(String::new(), |e| format!("; what was unpacked is {}: {e}", held.shown));
            return Err(match e {
                Errno::NOENT => format!("what was at {} is gone by now; plan it anew", self.shown),
                Errno::BUSY => format!("{} is a mount point: pull what is in it", self.shown),
                e => self.say(e),
            } + &not_back);
        }
        if let Err(e) = renamed(&held, before) {
            // As it was.
            let back = renameat_with(&held.folder, &*held.name, &self.folder, &*self.name, RenameFlags::EXCHANGE);
            let not_back = match back.and_then(|()| renamed(&held, stage)) {
                Ok(()) => String::new(),
                Err(e) => format!("; look at {} before you remove it, it may be what was there: {e}", held.shown),
            };
            return Err(before.say(e) + &not_back);
        }
        self.settle()
    }

    /// The name that both have while they change places. Who finds it does not know which of them it is.
    pub fn held(&self) -> Result<Place, String> {
        let folder = self.folder.try_clone().map_err(|e| format!("{}: {e}", self.shown))?;
        Ok(Place { folder, name: format!("{}{HELD}", self.name), shown: format!("{}{HELD}", self.shown) })
    }

    /// Whether what had the stage's name is in this place, and all of that is done.
    pub fn has_taken(&self, stage: &Place) -> Result<bool, String> {
        Ok(self.is_there()? && !stage.is_there()? && !stage.held()?.is_there()?)
    }

    /// Takes that back: what had the place before has it again, and what took it is removed.
    pub fn give_back(&self, before: Option<&Place>) -> Result<(), String> {
        let Some(before) = before else { return self.remove() };
        renameat_with(&before.folder, &*before.name, &self.folder, &*self.name, RenameFlags::EXCHANGE).map_err(|e| before.say(e))?;
        before.remove()
    }

    /// Removes what has this name, with all that is in it on the same volume. What is not there is gone.
    pub fn remove(&self) -> Result<(), String> {
        let device = match statat(&self.folder, &*self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat.st_dev,
            Err(Errno::NOENT) => return Ok(()),
            Err(e) => return Err(self.say(e)),
        };
        remove(self.folder.as_fd(), self.name.as_bytes(), device, 0).map_err(|why| format!("{}: {why}", self.shown))?;
        self.settle()
    }

    fn settle(&self) -> Result<(), String> {
        fsync(&self.folder).map_err(|e| self.say(e))
    }
}

/// A folder of a guest, through no link: whoever may write there could lead root somewhere else in the guest, too.
fn in_guest(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags, Mode::empty(), resolve).map_err(|e| match e {
        Errno::LOOP => format!("{} leads through a symbolic link there; name the real folder", clean(path)),
        Errno::NOENT => format!("there is no folder {} there", clean(path)),
        Errno::NOTDIR => format!("{} is no folder there", clean(path)),
        e => format!("{}: {e}", clean(path)),
    })
}

fn remove(folder: BorrowedFd<'_>, name: &[u8], device: u64, depth: usize) -> Result<(), String> {
    let say = |e: Errno| format!("{}: {e}", crate::domain::clean::clean_bytes(name));
    if depth > DEEPEST {
        return Err(format!("folders are more than {DEEPEST} deep"));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = match openat(folder, name, flags, Mode::empty()) {
        Ok(dir) => dir,
        Err(Errno::NOTDIR | Errno::LOOP) => return unlinkat(folder, name, AtFlags::empty()).map_err(say),
        Err(e) => return Err(say(e)),
    };
    if fstat(&dir).map_err(say)?.st_dev != device {
        return Err(format!("{}: another volume is mounted there", crate::domain::clean::clean_bytes(name)));
    }
    let file = File::from(dir);
    for entry in Dir::read_from(&file).map_err(say)? {
        let entry = entry.map_err(say)?;
        let name = entry.file_name().to_bytes();
        match (name, entry.file_type()) {
            (b"." | b"..", _) => {}
            (name, FileType::Directory | FileType::Unknown) => remove(file.as_fd(), name, device, depth + 1)?,
            (name, _) => unlinkat(&file, name, AtFlags::empty()).map_err(say)?,
        }
    }
    unlinkat(folder, name, AtFlags::REMOVEDIR).map_err(say)
}
