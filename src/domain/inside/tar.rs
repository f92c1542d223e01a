//! Reads a tar stream as it comes, in pieces of any size, and believes nothing of it: names may lead out of it, be of any
//! bytes and of any length, sizes may lie. Memory is bounded by the longest name that is taken.
//!
//! ustar and pax (POSIX.1), with GNU tar's long names, big numbers and sparse files, old and new (tar(5), "Basic Tar Format").

use super::{Entry, Kind, Sparse};

/// Bytes of a header, and what everything is padded to.
const BLOCK: usize = 512;
/// Bytes that names and attributes before an entry may have.
const MOST_META: u64 = 4 << 20;
/// Blocks that are written at once: GNU tar fills the last one up with zeros.
const RECORD: u64 = 20 * BLOCK as u64;

/// What is told of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<'a> {
    /// An entry begins.
    Entry(Entry),
    /// Bytes of its content, as they are stored.
    Data(&'a [u8]),
}

/// How a stream ended that was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As tar ends one.
    Whole,
    /// After the last entry and the mark that no more comes, but the zeros behind that are fewer than tar writes.
    Short,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Header,
    /// More places of a sparse file of the old kind.
    Places,
    /// What belongs to the next entry, of this kind.
    Meta(u8),
    Data,
    Ended,
}

/// Reads a stream.
#[derive(Debug)]
pub struct Reader {
    at: At,
    block: [u8; BLOCK],
    have: usize,
    /// Bytes of content still to come, and of padding after them.
    left: u64,
    pad: u64,
    meta: Vec<u8>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Pax,
    /// An entry whose places are still read.
    waits: Option<Entry>,
    /// Where it is, and the name that was told last.
    total: u64,
    last: Vec<u8>,
    zeros: u8,
}

#[derive(Debug, Default)]
struct Pax {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    real: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<i64>,
    sparse_1: bool,
    sparse_0: bool,
    attributes: u32,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader {
            at: At::Header,
            block: [0; BLOCK],
            have: 0,
            left: 0,
            pad: 0,
            meta: Vec::new(),
            name: None,
            link: None,
            pax: Pax::default(),
            waits: None,
            total: 0,
            last: Vec::new(),
            zeros: 0,
        }
    }
}

impl Reader {
    /// Takes the next bytes and tells what they are. An error says what is wrong and where; nothing can be read after it.
    pub fn push<'a>(&mut self, mut bytes: &'a [u8], mut tell: impl FnMut(Part<'a>) -> Result<(), String>) -> Result<(), String> {
        while !bytes.is_empty() {
            let took = match self.at {
                At::Data => {
                    let took = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    if took > 0 {
                        self.left -= took as u64;
                        tell(Part::Data(&bytes[..took]))?;
                        took
                    } else {
                        let took = usize::try_from(self.pad).map_or(bytes.len(), |pad| pad.min(bytes.len()));
                        self.pad -= took as u64;
                        took
                    }
                }
                At::Meta(_) => {
                    let took = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    self.meta.extend_from_slice(&bytes[..took]);
                    self.left -= took as u64;
                    let pad = usize::try_from(self.pad).map_or(0, |pad| pad.min(bytes.len() - took));
                    self.pad -= pad as u64;
                    took + pad
                }
                At::Header | At::Places => {
                    let took = (BLOCK - self.have).min(bytes.len());
                    self.block[self.have..self.have + took].copy_from_slice(&bytes[..took]);
                    self.have += took;
                    took
                }
                At::Ended => {
                    if bytes.iter().any(|b| *b != 0) {
                        return Err("something else stands behind its end".into());
                    }
                    bytes.len()
                }
            };
            self.total += took as u64;
            bytes = &bytes[took..];
            self.step(&mut tell)?;
        }
        Ok(())
    }

    /// Bytes of content, with what they are padded by, that come next. Who does not want them may leave them out.
    pub fn skippable(&self) -> u64 {
        if self.at == At::Data { self.left + self.pad } else { 0 }
    }

    /// So many of them were left out.
    pub fn skip(&mut self, mut bytes: u64) {
        self.total += bytes;
        let content = self.left.min(bytes);
        self.left -= content;
        bytes -= content;
        self.pad -= self.pad.min(bytes);
        if self.at == At::Data && self.left == 0 && self.pad == 0 {
            self.at = At::Header;
        }
    }

    /// What it means that nothing more comes.
    pub fn end(&self) -> Result<End, String> {
        match self.at {
            At::Ended if !self.total.is_multiple_of(RECORD) => Ok(End::Short),
            At::Ended => Ok(End::Whole),
            At::Header if self.have == 0 => Err(format!("it ends {} without an end mark", self.behind())),
            At::Data if self.left > 0 => Err(format!("it ends within {}, {} bytes before its end", self.named(), self.left)),
            _ => Err(format!("it ends {}", self.behind())),
        }
    }

    fn named(&self) -> String {
        crate::domain::clean::clean_bytes(&self.last)
    }

    fn behind(&self) -> String {
        if self.last.is_empty() { "at its beginning".into() } else { format!("behind {}", self.named()) }
    }

    /// What was gathered is whole: goes on with it.
    fn step<'a>(&mut self, tell: &mut impl FnMut(Part<'a>) -> Result<(), String>) -> Result<(), String> {
        match self.at {
            At::Data if self.left == 0 && self.pad == 0 => self.at = At::Header,
            At::Meta(kind) if self.left == 0 && self.pad == 0 => {
                self.at = At::Header;
                let meta = std::mem::take(&mut self.meta);
                match kind {
                    b'L' => self.name = Some(until_nul(&meta).to_vec()),
                    b'K' => self.link = Some(until_nul(&meta).to_vec()),
                    b'x' => self.pax.read(&meta).map_err(|why| format!("{why}, {}", self.behind()))?,
                    // Of a whole archive, such as a comment: nothing that is used here.
                    _ => {}
                }
            }
            At::Header if self.have == BLOCK => {
                self.have = 0;
                return self.header(tell);
            }
            At::Places if self.have == BLOCK => {
                self.have = 0;
                let block = self.block;
                let Some(mut entry) = self.waits.take() else { return Err("a sparse file has no name".into()) };
                if let Sparse::Places(places) = &mut entry.sparse {
                    read_places(&block[..504], places)?;
                    if places.len() > 1 << 20 {
                        return Err(format!("{} has too many holes", self.named()));
                    }
                }
                if block[504] == 1 {
                    self.waits = Some(entry);
                } else {
                    self.begin(entry, tell)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn header<'a>(&mut self, tell: &mut impl FnMut(Part<'a>) -> Result<(), String>) -> Result<(), String> {
        let head = self.block;
        let place = self.total - BLOCK as u64;
        if head.iter().all(|b| *b == 0) {
            self.zeros += 1;
            if self.zeros == 2 {
                self.at = At::Ended;
            }
            return Ok(());
        }
        if self.zeros > 0 {
            return Err(format!("a block of zeros stands in the middle of it, {}", self.behind()));
        }
        if !sum_fits(&head) {
            return Err(format!("no header at byte {place}, {}: its sum does not fit", self.behind()));
        }
        let kind = head[156];
        let stored = number(&head[124..136]).and_then(|n| u64::try_from(n).ok());
        let stored = stored.ok_or_else(|| format!("a size at byte {place} is no number"))?;
        if matches!(kind, b'L' | b'K' | b'x' | b'g') {
            if stored > MOST_META {
                return Err(format!("a name at byte {place} has {stored} bytes"));
            }
            self.at = At::Meta(kind);
            (self.left, self.pad) = (stored, padding(stored));
            return Ok(());
        }
        let pax = std::mem::take(&mut self.pax);
        let (long, long_link) = (self.name.take(), self.link.take());
        let entry = entry(&head, stored, pax, long, long_link);
        self.last.clone_from(&entry.path);
        if kind == b'S' && head[482] == 1 {
            self.waits = Some(entry);
            self.at = At::Places;
            return Ok(());
        }
        self.begin(entry, tell)
    }

    fn begin<'a>(&mut self, entry: Entry, tell: &mut impl FnMut(Part<'a>) -> Result<(), String>) -> Result<(), String> {
        (self.left, self.pad) = (entry.stored, padding(entry.stored));
        self.at = if entry.stored == 0 { At::Header } else { At::Data };
        tell(Part::Entry(entry))
    }
}

fn padding(size: u64) -> u64 {
    let over = size % BLOCK as u64;
    if over == 0 { 0 } else { BLOCK as u64 - over }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

fn entry(head: &[u8; BLOCK], stored: u64, pax: Pax, long: Option<Vec<u8>>, long_link: Option<Vec<u8>>) -> Entry {
    let small = |at: std::ops::Range<usize>| number(&head[at]).and_then(|n| u32::try_from(n).ok());
    // Only POSIX archives have a prefix there; GNU ones use the room for times and places.
    let prefix = if &head[257..263] == b"ustar\0" { until_nul(&head[345..500]) } else { &[] };
    let name = until_nul(&head[..100]);
    let short = || if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() };
    let path = pax.path.or(long).unwrap_or_else(short);
    let link = pax.link.or(long_link).unwrap_or_else(|| until_nul(&head[157..257]).to_vec());
    let kind = match head[156] {
        0 if path.ends_with(b"/") => Kind::Dir,
        b'1' => Kind::Hard,
        b'2' => Kind::Link,
        b'3' | b'4' => Kind::Device,
        b'5' | b'D' => Kind::Dir,
        b'6' => Kind::Fifo,
        0 | b'0' | b'7' | b'S' => Kind::File,
        _ => Kind::Other,
    };
    // A second name has no content of its own, whatever it says (GNU tar, list.c).
    let stored = if kind == Kind::Hard { 0 } else { pax.size.unwrap_or(stored) };
    let (sparse, size) = if pax.sparse_1 {
        (Sparse::Map, pax.real.unwrap_or(stored))
    } else if pax.sparse_0 {
        (Sparse::Unread, pax.real.unwrap_or(stored))
    } else if head[156] == b'S' {
        let mut places = Vec::new();
        // A place that is no number leaves a content that does not add up, which is found when it is written.
        let read = read_places(&head[386..482], &mut places);
        let real = number(&head[483..495]).and_then(|n| u64::try_from(n).ok()).unwrap_or(stored);
        (if read.is_ok() { Sparse::Places(places) } else { Sparse::Unread }, real)
    } else {
        (Sparse::No, stored)
    };
    Entry {
        path,
        link: if matches!(kind, Kind::Hard | Kind::Link) { link } else { Vec::new() },
        kind,
        mode: small(100..108).unwrap_or(0) & 0o7777,
        uid: pax.uid.or_else(|| small(108..116)).unwrap_or(u32::MAX),
        gid: pax.gid.or_else(|| small(116..124)).unwrap_or(u32::MAX),
        size: if kind == Kind::File { size } else { 0 },
        stored,
        mtime: pax.mtime.or_else(|| number(&head[136..148])).unwrap_or(0),
        sparse,
        attributes: pax.attributes,
    }
}

/// Pairs of offset and length, 12 digits each, up to the first that is empty.
fn read_places(bytes: &[u8], places: &mut Vec<(u64, u64)>) -> Result<(), String> {
    for pair in bytes.chunks_exact(24) {
        if pair[0] == 0 {
            break;
        }
        let of = |field: &[u8]| number(field).and_then(|n| u64::try_from(n).ok());
        places.push(of(&pair[..12]).zip(of(&pair[12..])).ok_or("a place in a sparse file is no number")?);
    }
    Ok(())
}

impl Pax {
    /// Records of `LENGTH KEY=VALUE\n`.
    fn read(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        let bad = || "attributes before an entry cannot be read".to_owned();
        while !bytes.is_empty() {
            let blank = bytes.iter().take(20).position(|b| *b == b' ').ok_or_else(bad)?;
            let length: usize = std::str::from_utf8(&bytes[..blank]).ok().and_then(|n| n.parse().ok()).ok_or_else(bad)?;
            let record = bytes.get(blank + 1..length).and_then(|r| r.strip_suffix(b"\n")).ok_or_else(bad)?;
            let equals = record.iter().position(|b| *b == b'=').ok_or_else(bad)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            let text = || std::str::from_utf8(value).ok();
            match key {
                // The real name of a sparse file goes before the one that others would write it to.
                b"path" if self.path.is_none() => self.path = Some(until_nul(value).to_vec()),
                b"GNU.sparse.name" => self.path = Some(until_nul(value).to_vec()),
                b"linkpath" => self.link = Some(until_nul(value).to_vec()),
                b"size" => self.size = Some(text().and_then(|t| t.parse().ok()).ok_or_else(bad)?),
                b"uid" => self.uid = Some(text().and_then(|t| t.parse().ok()).ok_or_else(bad)?),
                b"gid" => self.gid = Some(text().and_then(|t| t.parse().ok()).ok_or_else(bad)?),
                b"mtime" => self.mtime = text().and_then(|t| t.split('.').next()?.parse().ok()),
                b"GNU.sparse.major" => self.sparse_1 = value == b"1",
                b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.real = Some(text().and_then(|t| t.parse().ok()).ok_or_else(bad)?),
                b"GNU.sparse.map" | b"GNU.sparse.numblocks" => self.sparse_0 = true,
                key if key.starts_with(b"SCHILY.xattr.") || key.starts_with(b"SCHILY.acl.") => self.attributes += 1,
                _ => {}
            }
            bytes = &bytes[length..];
        }
        Ok(())
    }
}

/// Octal digits, or a big number in bytes with the highest bit set.
fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        let negative = field[0] == 0xff;
        let first = if negative { -1 } else { i128::from(field[0] & 0x7f) };
        let all = field[1..].iter().try_fold(first, |all, b| all.checked_mul(256)?.checked_add(i128::from(*b)))?;
        return i64::try_from(all).ok();
    }
    let text = std::str::from_utf8(until_nul(field)).ok()?.trim();
    if text.is_empty() { Some(0) } else { i64::from_str_radix(text, 8).ok() }
}

/// The header's sum, taken with blanks in its own place; old tars took bytes for signed ones.
fn sum_fits(head: &[u8; BLOCK]) -> bool {
    let bytes = || head.iter().enumerate().map(|(n, b)| if (148..156).contains(&n) { b' ' } else { *b });
    let unsigned = || bytes().map(i64::from).sum::<i64>();
    let signed = || bytes().map(|b| i64::from(b.cast_signed())).sum::<i64>();
    number(&head[148..156]).is_some_and(|sum| sum == unsigned() || sum == signed())
}

#[cfg(test)]
#[path = "tar_tests.rs"]
pub(crate) mod tests;
