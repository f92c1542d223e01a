//! All entries of an archive as a tree: a million of them in some tens of megabytes, the entries of a folder side by side
//! and by name. And the same as bytes, to be kept: where one of them is not as it was written there is no listing.

use std::collections::HashMap;
use std::ops::Range;

use super::{Entry, Kind, mode_words, parts};
use crate::domain::stamp::Stamp;

/// Entries that are listed at most, and bytes of their names.
const MOST: usize = 1 << 21;
const MOST_TEXT: usize = 256 << 20;
/// Names that lead out of the archive and are told.
const ODD: usize = 4;
const MAGIC: &[u8; 8] = b"PXLIST01";
/// Bytes of a node that is kept.
const NODE: usize = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Node {
    parent: u32,
    name: (u32, u16),
    link: (u32, u16),
    kind: Kind,
    mode: u16,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: i64,
    /// Where those in it begin, and how many they are.
    first: u32,
    count: u32,
}

/// The entries of an archive. The first is the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    nodes: Vec<Node>,
    text: Vec<u8>,
    /// Entries that the archive has, listed or not.
    pub entries: u64,
    /// Names that lead out of it and are not listed, and the first of them, clean.
    pub odd: (u64, Vec<String>),
    /// Entries above what is listed.
    pub more: u64,
}

/// One entry as it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Its name in its folder.
    pub name: &'a [u8],
    /// Where it leads, or whose second name it is.
    pub link: &'a [u8],
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Its owner, by the numbers of the guest.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Bytes of a file.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: i64,
}

impl Seen<'_> {
    /// `drwxr-x---`; of a folder that the archive does not name itself that is not known.
    pub fn mode_words(&self) -> String {
        if self.is_named() { mode_words(self.kind, self.mode) } else { "d?????????".into() }
    }

    /// `1000:33`.
    pub fn owner(&self) -> String {
        if self.is_named() { format!("{}:{}", self.uid, self.gid) } else { "?".into() }
    }

    /// When it was changed, where that is known; a time of nobody's calendar is shown at its bounds.
    pub fn time(&self) -> Option<Stamp> {
        self.is_named().then(|| Stamp::from_secs(self.mtime.clamp(-62_135_596_800, 253_402_300_799)))
    }

    fn is_named(&self) -> bool {
        self.uid != u32::MAX
    }
}

/// What would be brought back with an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// It is a folder.
    pub dir: bool,
    /// Files in it, itself among them.
    pub files: u64,
    /// Folders in it, itself among them.
    pub dirs: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Devices, pipes and the like, which are left out.
    pub left_out: u64,
    /// It is a second name of this one.
    pub second_of: Option<Vec<u8>>,
}

/// Takes entries as they come.
#[derive(Debug)]
pub struct Builder {
    nodes: Vec<Node>,
    text: Vec<u8>,
    dirs: HashMap<Vec<u8>, u32>,
    entries: u64,
    odd: (u64, Vec<String>),
    more: u64,
}

/// A folder that the archive does not name itself: its owner is nobody.
const ROOT: Node = Node {
    parent: 0,
    name: (0, 0),
    link: (0, 0),
    kind: Kind::Dir,
    mode: 0,
    uid: u32::MAX,
    gid: u32::MAX,
    size: 0,
    mtime: 0,
    first: 0,
    count: 0,
};

impl Default for Builder {
    fn default() -> Builder {
        let dirs = HashMap::from([(Vec::new(), 0)]);
        Builder { nodes: vec![ROOT], text: Vec::new(), dirs, entries: 0, odd: (0, Vec::new()), more: 0 }
    }
}

impl Builder {
    /// How many were taken.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Takes one.
    pub fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        let Some(parts) = parts(&entry.path) else {
            self.odd.0 += 1;
            if self.odd.1.len() < ODD {
                self.odd.1.push(crate::domain::clean::clean_bytes(&entry.path));
            }
            return;
        };
        let path = parts.join(&b'/');
        let known = if entry.kind == Kind::Dir { self.dirs.get(&path).copied() } else { None };
        let at = match (known, parts.split_last()) {
            (Some(at), _) => Some(at),
            (None, Some((name, above))) => self.folder(above).and_then(|parent| self.push(parent, name)),
            (None, None) => return,
        };
        let link = if entry.link.is_empty() { Some((0, 0)) } else { self.keep(&entry.link) };
        let Some((node, link)) = at.and_then(|at| self.nodes.get_mut(at as usize)).zip(link) else {
            self.more += 1;
            return;
        };
        *node = Node {
            kind: entry.kind,
            mode: (entry.mode & 0o7777) as u16,
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size,
            mtime: entry.mtime,
            link,
            ..*node
        };
        if let (Kind::Dir, None, Some(at)) = (entry.kind, known, at) {
            self.dirs.insert(path, at);
        }
    }

    /// A folder, made where the archive did not name it.
    fn folder(&mut self, parts: &[&[u8]]) -> Option<u32> {
        let path = parts.join(&b'/');
        if let Some(at) = self.dirs.get(&path) {
            return Some(*at);
        }
        let (mut parent, mut path) = (0, Vec::new());
        for part in parts {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(part);
            parent = match self.dirs.get(&path) {
                Some(at) => *at,
                None => {
                    let at = self.push(parent, part)?;
                    self.dirs.insert(path.clone(), at);
                    at
                }
            };
        }
        Some(parent)
    }

    fn push(&mut self, parent: u32, name: &[u8]) -> Option<u32> {
        let at = u32::try_from(self.nodes.len()).ok().filter(|_| self.nodes.len() < MOST)?;
        let name = self.keep(name)?;
        self.nodes.push(Node { parent, name, ..ROOT });
        Some(at)
    }

    fn keep(&mut self, text: &[u8]) -> Option<(u32, u16)> {
        let (at, length) = (u32::try_from(self.text.len()).ok()?, u16::try_from(text.len()).ok()?);
        if self.text.len() + text.len() > MOST_TEXT {
            return None;
        }
        self.text.extend_from_slice(text);
        Some((at, length))
    }

    /// The listing of what was taken. Of two entries of one name the later one counts, as it does for tar.
    pub fn done(self) -> Listing {
        let Builder { nodes, text, entries, odd, more, .. } = self;
        let name = |at: u32| &text[slice(nodes[at as usize].name)];
        let mut order: Vec<u32> = (1..u32::try_from(nodes.len()).unwrap_or(u32::MAX)).collect();
        order.sort_unstable_by(|a, b| (nodes[*a as usize].parent, name(*a), a).cmp(&(nodes[*b as usize].parent, name(*b), b)));
        let mut kept: Vec<u32> = Vec::with_capacity(order.len());
        for at in order {
            let same = |other: &u32| nodes[*other as usize].parent == nodes[at as usize].parent && name(*other) == name(at);
            if kept.last().is_some_and(same) {
                kept.pop();
            }
            kept.push(at);
        }
        // Those of one folder stand side by side now, and a folder knows where its own are.
        let mut new = vec![u32::MAX; nodes.len()];
        new[0] = 0;
        kept.iter().enumerate().for_each(|(nth, old)| new[*old as usize] = nth as u32 + 1);
        let mut out: Vec<Node> = std::iter::once(nodes[0]).chain(kept.iter().map(|old| nodes[*old as usize])).collect();
        let mut at = 1;
        while at < out.len() {
            let old = out[at].parent;
            let from = at;
            while at < out.len() && out[at].parent == old {
                at += 1;
            }
            // What lies in a folder that a later file took the name of is not to be found.
            let parent = new[old as usize];
            if let Some(folder) = out.get_mut(parent as usize).filter(|n| n.kind == Kind::Dir) {
                (folder.first, folder.count) = (from as u32, (at - from) as u32);
            }
            out[from..at].iter_mut().for_each(|n| n.parent = if parent == u32::MAX { 0 } else { parent });
        }
        Listing { nodes: out, text, entries, odd, more }
    }
}

fn slice((at, length): (u32, u16)) -> Range<usize> {
    at as usize..at as usize + usize::from(length)
}

impl Listing {
    /// The root.
    pub const ROOT: u32 = 0;

    /// One entry.
    pub fn seen(&self, at: u32) -> Option<Seen<'_>> {
        let n = self.nodes.get(at as usize)?;
        let (name, link) = (self.text.get(slice(n.name))?, self.text.get(slice(n.link))?);
        Some(Seen { name, link, kind: n.kind, mode: n.mode.into(), uid: n.uid, gid: n.gid, size: n.size, mtime: n.mtime })
    }

    /// What lies in a folder, by name.
    pub fn children(&self, at: u32) -> Range<u32> {
        self.nodes.get(at as usize).map_or(0..0, |n| n.first..n.first + n.count)
    }

    /// The folder of an entry; of the root itself.
    pub fn parent(&self, at: u32) -> u32 {
        self.nodes.get(at as usize).map_or(0, |n| n.parent)
    }

    /// The entry of a path.
    pub fn find(&self, path: &[u8]) -> Option<u32> {
        parts(path)?.into_iter().try_fold(0, |at, part| {
            let all = self.children(at);
            let nth =
                self.nodes.get(all.start as usize..all.end as usize)?.binary_search_by(|n| self.text[slice(n.name)].cmp(part)).ok()?;
            Some(all.start + nth as u32)
        })
    }

    /// Its path, with a slash at its beginning.
    pub fn path(&self, mut at: u32) -> Vec<u8> {
        let mut parts = Vec::new();
        // No path is longer than there are entries.
        while at != 0 && parts.len() <= self.nodes.len() {
            parts.push(self.seen(at).map_or(&b""[..], |s| s.name));
            at = self.parent(at);
        }
        let mut out = Vec::new();
        for part in parts.iter().rev() {
            out.push(b'/');
            out.extend_from_slice(part);
        }
        if out.is_empty() { b"/".to_vec() } else { out }
    }

    /// What comes back with an entry.
    pub fn found(&self, at: u32) -> Option<Found> {
        let top = self.seen(at)?;
        let mut out = Found { dir: top.kind == Kind::Dir, ..Found::default() };
        if top.kind == Kind::Hard {
            out.second_of = Some(top.link.to_vec());
        }
        let mut todo = vec![at];
        while let Some(seen) = todo.pop().and_then(|at| Some((self.seen(at)?, self.children(at)))) {
            match seen.0.kind {
                Kind::Dir => out.dirs += 1,
                Kind::File | Kind::Link | Kind::Hard => out.files += 1,
                Kind::Device | Kind::Fifo | Kind::Other => out.left_out += 1,
            }
            out.bytes = out.bytes.saturating_add(seen.0.size);
            todo.extend(seen.1);
        }
        Some(out)
    }

    /// As bytes, of the archive that `key` names.
    pub fn to_bytes(&self, key: &[u8; 32]) -> Vec<u8> {
        let mut out = Vec::with_capacity(200 + self.nodes.len() * NODE + self.text.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(key);
        for n in [self.nodes.len() as u64, self.text.len() as u64, self.entries, self.more, self.odd.0] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        for n in &self.nodes {
            out.extend_from_slice(&n.parent.to_le_bytes());
            out.extend_from_slice(&n.name.0.to_le_bytes());
            out.extend_from_slice(&n.name.1.to_le_bytes());
            out.extend_from_slice(&n.link.0.to_le_bytes());
            out.extend_from_slice(&n.link.1.to_le_bytes());
            let kind = Kind::ALL.iter().position(|k| *k == n.kind).unwrap_or(6) as u16;
            out.extend_from_slice(&(n.mode | kind << 12).to_le_bytes());
            out.extend_from_slice(&n.uid.to_le_bytes());
            out.extend_from_slice(&n.gid.to_le_bytes());
            out.extend_from_slice(&n.size.to_le_bytes());
            out.extend_from_slice(&n.mtime.to_le_bytes());
            out.extend_from_slice(&n.first.to_le_bytes());
            out.extend_from_slice(&n.count.to_le_bytes());
        }
        out.extend_from_slice(&self.text);
        for name in &self.odd.1 {
            out.extend_from_slice(name.as_bytes());
            out.push(0);
        }
        out.extend_from_slice(sum(&out).as_bytes());
        out
    }

    /// What was kept, if it is of this archive and as it was written.
    pub fn from_bytes(bytes: &[u8], key: &[u8; 32]) -> Option<Listing> {
        let body = bytes.split_at_checked(bytes.len().checked_sub(32)?).filter(|(body, end)| sum(body).as_bytes() == *end)?.0;
        let mut rest = body.strip_prefix(MAGIC)?.strip_prefix(key)?;
        let mut next = || {
            let (n, after) = rest.split_first_chunk::<8>()?;
            rest = after;
            usize::try_from(u64::from_le_bytes(*n)).ok()
        };
        let (count, length, entries, more, odd) = (next()?, next()?, next()?, next()?, next()?);
        if count == 0 || count > MOST {
            return None;
        }
        let (nodes, rest) = rest.split_at_checked(count.checked_mul(NODE)?)?;
        let (text, names) = rest.split_at_checked(length)?;
        let nodes: Vec<Node> = nodes.chunks_exact(NODE).map(node).collect::<Option<_>>()?;
        let inside = |n: &Node| {
            let fits = |r: Range<usize>| r.end <= text.len();
            let end = n.first as usize + n.count as usize;
            (n.parent as usize) < count && end <= count && fits(slice(n.name)) && fits(slice(n.link))
        };
        let odd_names = names.split(|b| *b == 0).filter(|n| !n.is_empty()).map(|n| String::from_utf8_lossy(n).into_owned()).collect();
        let listing =
            Listing { text: text.to_vec(), entries: entries as u64, more: more as u64, odd: (odd as u64, odd_names), nodes: Vec::new() };
        nodes.iter().all(inside).then_some(Listing { nodes, ..listing })
    }
}

fn node(bytes: &[u8]) -> Option<Node> {
    let four = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let two = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let eight = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let mode = two(16)?;
    Some(Node {
        parent: four(0)?,
        name: (four(4)?, two(8)?),
        link: (four(10)?, two(14)?),
        kind: *Kind::ALL.get(usize::from(mode >> 12))?,
        mode: mode & 0o7777,
        uid: four(18)?,
        gid: four(22)?,
        size: eight(26)?,
        mtime: eight(34)?.cast_signed(),
        first: four(42)?,
        count: four(46)?,
    })
}

fn sum(bytes: &[u8]) -> blake2b_simd::Hash {
    blake2b_simd::Params::new().hash_length(32).hash(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Sparse;
    use super::*;

    pub fn entry(path: &str, kind: Kind, size: u64) -> Entry {
        Entry {
            path: path.into(),
            link: Vec::new(),
            kind,
            mode: 0o640,
            uid: 1000,
            gid: 33,
            size,
            stored: size,
            mtime: 7,
            sparse: Sparse::No,
            attributes: 0,
        }
    }

    fn of(all: &[Entry]) -> Listing {
        let mut builder = Builder::default();
        all.iter().for_each(|e| builder.add(e));
        builder.done()
    }

    fn names(l: &Listing, path: &str) -> Vec<String> {
        l.children(l.find(path.as_bytes()).unwrap()).map(|at| String::from_utf8_lossy(l.seen(at).unwrap().name).into_owned()).collect()
    }

    #[test]
    fn a_tree_of_what_stands_there_and_nothing_that_leads_out() {
        let l = of(&[
            entry("./", Kind::Dir, 0),
            entry("./srv/x/b", Kind::File, 5),
            entry("./srv/x/a\n\x1b[2J", Kind::File, 7),
            entry("/etc/passwd", Kind::File, 1),
            entry("../../etc/shadow", Kind::File, 1),
            entry("./srv/../../x", Kind::File, 1),
            entry("./srv/x/", Kind::Dir, 0),
            entry("./srv/x/b", Kind::File, 9),
            entry("./srv/null", Kind::Device, 0),
        ]);
        assert_eq!(
            (names(&l, "/"), names(&l, "/srv"), names(&l, "srv/x")),
            (vec!["etc".into(), "srv".into()], vec!["null".into(), "x".into()], vec!["a\n\x1b[2J".into(), "b".into()])
        );
        let b = l.find(b"/srv/x/b").unwrap();
        assert_eq!((l.seen(b).unwrap().size, l.path(b)), (9, b"/srv/x/b".to_vec()), "the later one counts");
        assert_eq!(l.seen(l.find(b"srv/x").unwrap()).unwrap().mode, 0o640, "named after what lies in it");
        assert_eq!((l.entries, l.odd.0, l.odd.1[0].as_str()), (9, 2, "../../etc/shadow"));
        let found = l.found(l.find(b"/srv").unwrap()).unwrap();
        assert_eq!((found.dirs, found.files, found.bytes, found.left_out), (2, 2, 16, 1));
        for gone in ["../etc", "/srv/x/c", "/srv/x/b/c", "/x"] {
            assert_eq!(l.find(gone.as_bytes()), None, "{gone}");
        }
    }

    #[test]
    fn a_file_in_a_folders_place_hides_what_was_in_it() {
        let l = of(&[entry("a/b", Kind::File, 1), entry("a", Kind::File, 2), entry("c/d", Kind::File, 1)]);
        assert_eq!((names(&l, "/"), names(&l, "a"), names(&l, "c")), (vec!["a".into(), "c".into()], vec![], vec!["d".into()]));
    }

    #[test]
    fn what_is_kept_comes_back_or_not_at_all() {
        let l = of(&[entry("./srv/x/b", Kind::File, 5), entry("../x", Kind::File, 1)]);
        let (key, bytes) = ([7; 32], l.to_bytes(&[7; 32]));
        assert_eq!(Listing::from_bytes(&bytes, &key), Some(l));
        assert_eq!(Listing::from_bytes(&bytes, &[8; 32]), None, "of another archive");
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(Listing::from_bytes(&bad, &key), None, "byte {at}");
            assert_eq!(Listing::from_bytes(&bytes[..at], &key), None, "cut at {at}");
        }
    }

    #[test]
    fn a_million_entries_are_listed_and_found() {
        let mut builder = Builder::default();
        (0..1_000_000u32).for_each(|n| builder.add(&entry(&format!("./d{}/f{n}", n % 1000), Kind::File, 1)));
        let l = builder.done();
        assert_eq!((l.entries, names(&l, "d7").len(), l.more), (1_000_000, 1000, 0));
        assert!(l.find(b"d7/f7007").is_some());
        assert!(l.to_bytes(&[0; 32]).len() < 100 << 20);
    }
}
