//! A disk that keeps only what it was told to keep: after a power loss any of the writes that were not yet synced may
//! be there, or not, or in part.
//!
//! What is assumed, and no more: `fsync` and `fdatasync` of a file make all earlier writes and lengths of it durable;
//! `fsync` of a directory makes the names in it durable; what is durable stays; a file is renamed or it is not. Nothing
//! else is in any order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::image::Image;
use super::strace::Does;

/// A change of a file's content that may be lost.
#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

/// A change of a name that may be lost.
#[derive(Clone)]
enum NameChange {
    Add {
        name: PathBuf,
        file: usize,
    },
    Remove {
        name: PathBuf,
    },
    /// In one step, as POSIX has it.
    Rename {
        from: PathBuf,
        to: PathBuf,
        file: usize,
    },
}

#[derive(Clone, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Default)]
pub struct Disk {
    files: Vec<File>,
    /// Names as programs see them now.
    names: BTreeMap<PathBuf, usize>,
    /// Names that survive for certain.
    durable_names: BTreeMap<PathBuf, usize>,
    /// By the directory they are in.
    pending_names: Vec<(PathBuf, NameChange)>,
}

/// One way in which a power loss may end: which of the pending changes reached the disk.
pub struct Loss {
    /// For each pending change of content, in order, how it fared.
    fates: Vec<Fate>,
    /// For each pending change of a name, whether it is there.
    names: Vec<bool>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Kept,
    Lost,
    /// The first so many bytes only.
    Torn(usize),
    /// The file is longer, but what was written is something else.
    Garbage,
}

impl Disk {
    /// A disk on which all of this is durable.
    pub fn of(image: &Image) -> Self {
        let mut disk = Self::default();
        for (number, (name, bytes)) in image.0.iter().enumerate() {
            disk.files.push(File { durable: bytes.clone(), pending: Vec::new() });
            disk.names.insert(name.clone(), number);
        }
        disk.durable_names = disk.names.clone();
        disk
    }

    /// Does what a recorded call did.
    pub fn apply(&mut self, does: &Does) {
        match does {
            Does::Say(_) | Does::Nothing | Does::Open { new: false, .. } => {}
            // Only directories of the store's own; that they are there is taken for durable.
            Does::MakeDir { .. } => {}
            Does::Open { file, new: true } => {
                if !self.names.contains_key(file) {
                    self.files.push(File::default());
                    self.add_name(file.clone(), self.files.len() - 1);
                }
            }
            Does::Write { file, at, bytes } => {
                let number = self.names[file];
                let at = at.unwrap_or_else(|| self.content(number).len());
                self.files[number].pending.push(Change::Write { at, bytes: bytes.clone() });
            }
            Does::Truncate { file, length } => {
                let number = self.names[file];
                self.files[number].pending.push(Change::Length(*length));
            }
            Does::Sync { file } => match self.names.get(file) {
                Some(number) => {
                    self.files[*number].durable = self.content(*number);
                    self.files[*number].pending.clear();
                }
                None => self.sync_names(file),
            },
            Does::Unlink { file } => {
                self.names.remove(file);
                self.pending_names.push((parent(file), NameChange::Remove { name: file.clone() }));
            }
            Does::Rename { from, to } => {
                let file = self.names.remove(from).unwrap();
                self.names.insert(to.clone(), file);
                assert_eq!(parent(from), parent(to), "within one directory");
                self.pending_names.push((parent(to), NameChange::Rename { from: from.clone(), to: to.clone(), file }));
            }
        }
    }

    fn add_name(&mut self, name: PathBuf, file: usize) {
        self.names.insert(name.clone(), file);
        self.pending_names.push((parent(&name), NameChange::Add { name, file }));
    }

    fn sync_names(&mut self, dir: &Path) {
        let all = std::mem::take(&mut self.pending_names);
        let (now, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|(at, _)| at == dir);
        self.pending_names = later;
        for (_, change) in now {
            carry_out(&mut self.durable_names, &change);
        }
    }

    fn content(&self, number: usize) -> Vec<u8> {
        let file = &self.files[number];
        let mut bytes = file.durable.clone();
        for change in &file.pending {
            put(&mut bytes, change, Fate::Kept);
        }
        bytes
    }

    /// What may be lost now: changes of content, changes of names.
    fn pending(&self) -> (usize, usize) {
        (self.files.iter().map(|file| file.pending.len()).sum(), self.pending_names.len())
    }

    /// Ways a power loss may end now: all kept, all lost, each one alone, all but each one, torn ones at 1, 512 and
    /// 2,048 bytes, garbage, and `random` mixtures; with each of these the pending names kept, lost or mixed.
    pub fn losses(&self, dice: &mut Dice, random: usize) -> Vec<Loss> {
        use Fate::{Garbage, Kept, Lost, Torn};
        let (changes, names) = self.pending();
        let mut all = vec![vec![Lost; changes], vec![Kept; changes]];
        for one in 0..changes {
            let with = |others: Fate, this: Fate| (0..changes).map(|at| if at == one { this } else { others }).collect::<Vec<_>>();
            all.extend([with(Lost, Kept), with(Kept, Lost), with(Kept, Garbage)]);
            // What came before is there, what came after is not.
            let upto = |this: Fate| {
                (0..changes)
                    .map(|at| {
                        if at == one {
                            this
                        } else if at < one {
                            Kept
                        } else {
                            Lost
                        }
                    })
                    .collect()
            };
            all.extend([1, 512, 2048].map(|length| upto(Torn(length))));
            all.push(with(Kept, Torn(512)));
        }
        if changes > 2 {
            let fate = |dice: &mut Dice| [Kept, Lost, Torn(512), Kept, Lost][dice.below(5)];
            all.extend((0..random).map(|_| (0..changes).map(|_| fate(dice)).collect::<Vec<_>>()));
        }
        let mut losses = Vec::new();
        for fates in all {
            losses.push(Loss { fates: fates.clone(), names: vec![true; names] });
            if names > 0 {
                losses.push(Loss { fates: fates.clone(), names: vec![false; names] });
            }
            if names > 1 {
                losses.push(Loss { fates, names: (0..names).map(|_| dice.below(2) == 0).collect() });
            }
        }
        losses
    }

    /// What is on the disk after such a loss.
    pub fn after(&self, loss: &Loss) -> Image {
        let mut names = self.durable_names.clone();
        for ((_, change), kept) in self.pending_names.iter().zip(&loss.names) {
            if *kept {
                carry_out(&mut names, change);
            }
        }
        let mut fates = loss.fates.iter();
        let contents: Vec<Vec<u8>> = self
            .files
            .iter()
            .map(|file| {
                let mut bytes = file.durable.clone();
                for (change, fate) in file.pending.iter().zip(&mut fates) {
                    put(&mut bytes, change, *fate);
                }
                bytes
            })
            .collect();
        Image(names.into_iter().map(|(name, number)| (name, contents[number].clone())).collect())
    }
}

fn parent(name: &Path) -> PathBuf {
    name.parent().unwrap().to_owned()
}

fn carry_out(names: &mut BTreeMap<PathBuf, usize>, change: &NameChange) {
    match change {
        NameChange::Add { name, file } => drop(names.insert(name.clone(), *file)),
        NameChange::Remove { name } => drop(names.remove(name)),
        NameChange::Rename { from, to, file } => {
            names.remove(from);
            names.insert(to.clone(), *file);
        }
    }
}

fn put(bytes: &mut Vec<u8>, change: &Change, fate: Fate) {
    let (at, new) = match change {
        Change::Length(length) if fate != Fate::Lost => return bytes.resize(*length, 0),
        Change::Length(_) => return,
        Change::Write { at, bytes } => (*at, bytes),
    };
    let mut put = |new: &[u8]| {
        bytes.resize(bytes.len().max(at + new.len()), 0);
        bytes[at..at + new.len()].copy_from_slice(new);
    };
    match fate {
        Fate::Lost => {}
        Fate::Kept => put(new),
        Fate::Torn(length) => put(&new[..length.min(new.len())]),
        Fate::Garbage => put(&new.iter().map(|byte| byte.wrapping_mul(167) ^ 0x5a).collect::<Vec<_>>()),
    }
}

/// Numbers that look random and are the same each time (xorshift64*).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end
    }
}
