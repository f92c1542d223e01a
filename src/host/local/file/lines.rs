//! Finds the lines of a file that is never loaded: their beginnings and ends by searching blocks of bytes, a page of them
//! around any offset, the count of those that pass a filter. No thread and no state here.

use std::io;
use std::ops::Range;

use super::open::Opened;
use crate::domain::filter::{Before, Filter, GOES_ON, goes_on};
use crate::domain::log_level;
use crate::domain::log_page::{PageLine, SHOWN};
use crate::domain::log_tally::Tally;

/// A line longer than this many bytes is told in pieces that end at multiples of it, so that a file without line ends
/// can be read like any other. No piece is longer than twice this.
pub const PIECE: u64 = 16 << 20;
/// Bytes looked at in one slice of work: a few milliseconds, after which somebody may ask for something else. Smaller ones
/// make the count of a whole file slower, not faster (measured with 512 KiB).
const SLICE: u64 = 2 << 20;
/// Where more than this was counted and is left to be counted, two count a quarter of it each.
const WIDE: u64 = 16 << 20;
/// Bytes read at once where a slice is looked through: they are still in the processor's cache when they are searched.
const READ: u64 = 256 << 10;
/// Bytes of lines that are looked through at once for a page.
const CHUNK: u64 = 64 << 10;
/// Bytes read at first where a line end is looked for; doubled while there is none.
const FIRST: u64 = 4 << 10;

/// The lines of a file up to an offset that was its end once.
pub struct Lines<'a> {
    file: &'a Opened,
    end: u64,
}

/// The file became shorter than it was.
fn shrank() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter")
}

impl<'a> Lines<'a> {
    /// The lines before `end`.
    pub fn new(file: &'a Opened, end: u64) -> Self {
        Lines { file, end }
    }

    /// The offset that was its end.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes of a range. An error of kind `UnexpectedEof` says that the file became shorter.
    pub fn bytes(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut buf = Vec::new();
        self.bytes_into(range, &mut buf)?;
        Ok(buf)
    }

    /// The same into memory that was used before: fresh memory for each of many blocks costs as much as reading them.
    fn bytes_into<'b>(&self, range: Range<u64>, room: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
        let length = usize::try_from(range.end - range.start).map_err(|_| shrank())?;
        if room.len() < length {
            room.resize(length, 0);
        } else if length <= SLICE as usize {
            // What one huge line took is given back.
            room.truncate(2 * SLICE as usize);
            room.shrink_to(2 * SLICE as usize);
        }
        let buf = room.get_mut(..length).ok_or_else(shrank)?;
        if self.file.read_at(range.start, buf)? < length {
            return Err(shrank());
        }
        Ok(buf)
    }

    /// The last line end in a range.
    fn last_end(&self, range: Range<u64>) -> io::Result<Option<u64>> {
        let (mut high, mut step) = (range.end, FIRST);
        while high > range.start {
            let low = high.saturating_sub(step).max(range.start);
            if let Some(n) = memchr::memrchr(b'\n', &self.bytes(low..high)?) {
                return Ok(Some(low + n as u64));
            }
            (high, step) = (low, (step * 2).min(SLICE));
        }
        Ok(None)
    }

    /// The first line end in a range.
    fn first_end(&self, range: Range<u64>) -> io::Result<Option<u64>> {
        let (mut low, mut step) = (range.start, FIRST);
        while low < range.end {
            let high = (low + step).min(range.end);
            if let Some(n) = memchr::memchr(b'\n', &self.bytes(low..high)?) {
                return Ok(Some(low + n as u64));
            }
            (low, step) = (high, (step * 2).min(SLICE));
        }
        Ok(None)
    }

    /// Where the line, or the piece of one, begins that holds the byte at `at`.
    pub fn start(&self, at: u64) -> io::Result<u64> {
        let at = at.min(self.end);
        let piece = at / PIECE * PIECE;
        if let Some(n) = self.last_end(piece..at)? {
            return Ok(n + 1);
        }
        // A piece ends where a whole one before it holds no line end.
        match piece.checked_sub(PIECE) {
            Some(before) => Ok(self.last_end(before..piece)?.map_or(piece, |n| n + 1)),
            None => Ok(0),
        }
    }

    /// Where the text of a line that begins at `start` ends, and where the next one begins. At the end of the file both
    /// are the end: such a line is not finished.
    pub fn stop(&self, start: u64) -> io::Result<(u64, u64)> {
        let cut = start.div_ceil(PIECE) * PIECE + PIECE;
        match self.first_end(start..cut.min(self.end))? {
            Some(n) => Ok((n, n + 1)),
            None => Ok((cut.min(self.end), cut.min(self.end))),
        }
    }

    /// At most `most` lines from a line's beginning on that pass, in order, and where the search ended. `skip` gives the
    /// first offset from the one given at which such a line may begin, or `None` where nobody knows: there it ends.
    pub fn forward(&self, start: u64, most: usize, filter: &Filter, skip: impl Fn(u64) -> Option<u64>) -> io::Result<(Vec<PageLine>, u64)> {
        let (mut found, mut at) = (Vec::new(), start);
        while found.len() < most && at < self.end {
            let Some(next) = skip(at) else { break };
            if next > at {
                at = self.line_after(next)?;
                continue;
            }
            let high = self.whole_lines(at, CHUNK)?;
            let chunk = self.chunk(at..high, filter)?;
            at = high;
            for n in &chunk.lines {
                if found.len() == most {
                    at = chunk.at + *n as u64;
                    break;
                }
                found.push(chunk.line(*n));
            }
        }
        Ok((found, at))
    }

    /// At most `most` lines before a line's beginning that pass, in order, and where the search ended. `skip` gives the
    /// last offset up to the one given below which such a line may begin, or `None` where nobody knows: there it ends.
    pub fn back(&self, start: u64, most: usize, filter: &Filter, skip: impl Fn(u64) -> Option<u64>) -> io::Result<(Vec<PageLine>, u64)> {
        let (mut found, mut at) = (Vec::new(), start);
        while found.len() < most && at > 0 {
            let Some(previous) = skip(at) else { break };
            let lower = if previous < at { self.line_after(previous)? } else { at };
            if lower < at {
                at = lower;
                continue;
            }
            let low = self.start_below(at, CHUNK)?;
            let chunk = self.chunk(low..at, filter)?;
            for n in chunk.lines.iter().rev() {
                if found.len() == most {
                    break;
                }
                at = chunk.at + *n as u64;
                found.push(chunk.line(*n));
            }
            if found.len() < most {
                at = low;
            }
        }
        found.reverse();
        Ok((found, at))
    }

    /// Reads a range of whole lines and finds those that pass.
    fn chunk(&self, range: Range<u64>, filter: &Filter) -> io::Result<Chunk> {
        let bytes = self.bytes(range.clone())?;
        let mut lines = Vec::new();
        filter.passing(self.before(range.start, &bytes, filter)?, &bytes, |run| starts(&bytes[run.clone()], |n| lines.push(run.start + n)));
        Ok(Chunk { at: range.start, bytes, lines })
    }

    /// What the line before `text`, which stands at `start`, tells for lines that go on with it.
    fn before(&self, start: u64, text: &[u8], filter: &Filter) -> io::Result<Before> {
        let (mut at, mut lines) = (start, 0);
        if !filter.depends_on_before(text) {
            return Ok(Before::default());
        }
        while at > 0 && lines < GOES_ON {
            let low = self.start(at - 1)?;
            let line = self.bytes(low..(at - 1).min(low + SHOWN))?;
            if !goes_on(&line) {
                return Ok(Before { level: log_level::of(&line), lines });
            }
            (at, lines) = (low, lines + 1);
        }
        Ok(Before { level: None, lines })
    }

    /// The first beginning of a line at or behind `at`.
    pub fn line_after(&self, at: u64) -> io::Result<u64> {
        if at >= self.end {
            return Ok(self.end);
        }
        let start = self.start(at)?;
        if start == at { Ok(at) } else { Ok(self.stop(start)?.1) }
    }

    /// Where lines end that begin at `start` and are about `bytes` long together; at least one line.
    fn whole_lines(&self, start: u64, bytes: u64) -> io::Result<u64> {
        let high = (start + bytes).min(self.end);
        if high == self.end {
            return Ok(high);
        }
        match self.last_end(start..high)? {
            Some(n) => Ok(n + 1),
            None => Ok(self.stop(start)?.1),
        }
    }

    /// A line's beginning about `bytes` before the one at `start`; at least one line before.
    fn start_below(&self, start: u64, bytes: u64) -> io::Result<u64> {
        let low = start.saturating_sub(bytes);
        if low == 0 {
            return Ok(0);
        }
        match self.first_end(low - 1..start - 1)? {
            Some(n) => Ok(n + 1),
            None => self.start(start - 1),
        }
    }

    /// Counts one slice of lines that pass, downwards from where the tally ended, then upwards as far as lines are
    /// finished. `true` while more is left. `rooms` is memory for what is read, to be kept for the next slice.
    pub fn count(&self, tally: &mut Tally, filter: &Filter, [room, other]: &mut [Vec<u8>; 2]) -> io::Result<bool> {
        let known = tally.known();
        if known.end < self.end {
            let high = self.whole_lines(known.end, SLICE)?;
            let bytes = self.bytes_into(known.end..high, room)?;
            // A line that is not finished may still come to pass, or not to.
            let finished = if high == self.end { memchr::memrchr(b'\n', bytes).map_or(0, |n| n + 1) } else { bytes.len() };
            if finished > 0 {
                let text = &bytes[..finished];
                tally_passing(tally, filter, known.end, self.before(known.end, text, filter)?, text);
                tally.reached_up(known.end + finished as u64);
                return Ok(true);
            }
        }
        if known.start == 0 {
            return Ok(false);
        }
        // The first slices are short: somebody waits for the first page.
        let wide = known.start.min(known.end - known.start) >= WIDE;
        let middle = self.start_below(known.start, if wide { WIDE / 4 } else { SLICE })?;
        let low = if wide { self.start_below(middle, WIDE / 4)? } else { middle };
        // Joined to the rest once all of it is counted, so that what cannot be read is not counted twice.
        let (mut near, mut far) = (Tally::part(middle), Tally::part(low));
        let reached = std::thread::scope(|scope| {
            // Copying out of the page cache takes as long as searching does, so two do it at once.
            let work = || self.count_range(&mut far, filter, low..middle, other);
            // Without another thread it is done by the next slice.
            let other = (low < middle).then(|| std::thread::Builder::new().name("counter".into()).spawn_scoped(scope, work).ok()).flatten();
            self.count_range(&mut near, filter, middle..known.start, room)?;
            let Some(other) = other else { return Ok(middle) };
            other.join().map_err(|_| io::Error::other("counting lines broke off"))??;
            Ok::<u64, io::Error>(low)
        })?;
        tally.join(&near);
        tally.join(&far);
        tally.reached_down(reached);
        Ok(reached > 0)
    }

    /// Counts the lines of a range of whole lines.
    fn count_range(&self, tally: &mut Tally, filter: &Filter, range: Range<u64>, room: &mut Vec<u8>) -> io::Result<()> {
        let mut at = range.start;
        while at < range.end {
            let bytes = self.some_lines(at..range.end, room)?;
            tally_passing(tally, filter, at, self.before(at, bytes, filter)?, bytes);
            at += bytes.len() as u64;
        }
        Ok(())
    }

    /// Whole lines at the beginning of a range of whole lines, as many as are read at once, or one.
    fn some_lines<'b>(&self, range: Range<u64>, room: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
        let mut high = (range.start + READ).min(range.end);
        let length = self.bytes_into(range.start..high, room)?.len();
        if high < range.end {
            match memchr::memrchr(b'\n', &room[..length]) {
                Some(n) => high = range.start + n as u64 + 1,
                // One line that is longer.
                None => high = self.stop(range.start)?.1.min(range.end),
            }
        }
        let whole = usize::try_from(high - range.start).map_err(|_| shrank())?;
        if whole > length {
            return self.bytes_into(range.start..high, room);
        }
        room.get(..whole).ok_or_else(shrank)
    }

    /// How many lines begin in a range that begins at the beginning of a line.
    pub fn beginning_in(&self, range: Range<u64>) -> io::Result<u64> {
        let mut lines = 0;
        starts(&self.bytes(range)?, |_| lines += 1);
        Ok(lines)
    }

    /// Whether the last line, if it is not finished, passes.
    pub fn unfinished(&self, filter: &Filter) -> io::Result<bool> {
        let start = self.start(self.end)?;
        if start == self.end {
            return Ok(false);
        }
        let mut passes = false;
        let line = self.bytes(start..self.end)?;
        filter.passing(self.before(start, &line, filter)?, &line, |_| passes = true);
        Ok(passes)
    }
}

/// Counts the lines of a text at `offset` that pass. Where a filter only drops, counting all lines and taking those back
/// that are dropped is cheaper than counting each stretch between them: line ends are counted by the block.
fn tally_passing(tally: &mut Tally, filter: &Filter, offset: u64, before: Before, text: &[u8]) {
    if filter.only_drops() {
        tally.add_run(offset, text);
        filter.found(before, text, |line| tally.take(offset + line.start as u64));
    } else {
        filter.found(before, text, |line| tally.add(offset + line.start as u64, 1));
    }
}

/// Whole lines, and where those begin in it that passed.
struct Chunk {
    at: u64,
    bytes: Vec<u8>,
    lines: Vec<usize>,
}

impl Chunk {
    /// The line that begins here, its text as far as a screen has use for it.
    fn line(&self, start: usize) -> PageLine {
        let rest = &self.bytes[start..];
        let (line, ended) = memchr::memchr(b'\n', rest).map_or((rest, false), |n| (&rest[..n], true));
        let mut text = &line[..line.len().min(SHOWN as usize)];
        // The CR of a CRLF ends the line with it.
        if ended && text.len() == line.len() {
            text = text.strip_suffix(b"\r").unwrap_or(text);
        }
        PageLine { offset: self.at + start as u64, length: line.len() as u64, text: text.into() }
    }
}

/// Gives the last `count` lines that pass, whole and in order, without their ends.
pub fn last_passing(file: &Opened, count: usize, filter: &Filter, mut tell: impl FnMut(&[u8])) -> io::Result<()> {
    let lines = Lines::new(file, file.size()?);
    let (mut found, mut at) = (std::collections::VecDeque::new(), lines.end);
    while found.len() < count && at > 0 {
        let (some, next) = lines.back(at, (count - found.len()).min(10_000), filter, Some)?;
        some.iter().rev().for_each(|l| found.push_front((l.offset, l.length)));
        at = next;
    }
    for (offset, length) in found {
        tell(&lines.bytes(offset..offset + length)?);
    }
    Ok(())
}

/// Gives every line, whole and in order, without its end.
pub fn each_line(file: &Opened, mut tell: impl FnMut(&[u8])) -> io::Result<()> {
    let lines = Lines::new(file, file.size()?);
    let mut at = 0;
    while at < lines.end {
        let high = lines.whole_lines(at, SLICE)?;
        let bytes = lines.bytes(at..high)?;
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        text.split(|b| *b == b'\n').for_each(&mut tell);
        at = high;
    }
    Ok(())
}

/// The beginnings of the lines of a text.
fn starts(text: &[u8], mut tell: impl FnMut(usize)) {
    if text.is_empty() {
        return;
    }
    tell(0);
    memchr::memchr_iter(b'\n', &text[..text.len() - 1]).for_each(|n| tell(n + 1));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::open::Tree;
    use super::*;
    use crate::domain::log_level::Level;
    use std::io::Write;

    fn opened(text: &[u8]) -> (tempfile::NamedTempFile, Opened) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        let opened = Tree::machine().open(file.path().to_str().unwrap()).unwrap();
        (file, opened)
    }

    fn counted(lines: &Lines<'_>, filter: &Filter) -> Tally {
        let mut tally = Tally::at(lines.start(lines.end).unwrap());
        let mut rooms = Default::default();
        while lines.count(&mut tally, filter, &mut rooms).unwrap() {}
        tally
    }

    fn texts(lines: Vec<PageLine>) -> Vec<Vec<u8>> {
        lines.into_iter().map(|l| l.text.into_vec()).collect()
    }

    /// Every way of reading a text against splitting it in memory.
    fn compare(text: &[u8], words: &str) {
        let (_file, opened) = opened(text);
        let lines = Lines::new(&opened, text.len() as u64);
        let filter = Filter::parse(words).unwrap();
        let whole = text.strip_suffix(b"\n").unwrap_or(text);
        let finished = |n: usize, all: usize| n + 1 < all || text.ends_with(b"\n");
        let all: Vec<&[u8]> = if text.is_empty() { Vec::new() } else { whole.split(|b| *b == b'\n').collect() };
        let expected: Vec<Vec<u8>> = all
            .iter()
            .enumerate()
            .filter(|(_, l)| filter.passes(l))
            .map(|(n, l)| if finished(n, all.len()) { l.strip_suffix(b"\r").unwrap_or(l) } else { l })
            .map(|l| l[..l.len().min(SHOWN as usize)].to_vec())
            .collect();
        let tally = counted(&lines, &filter);
        assert!(tally.is_whole());
        let unfinished = usize::from(lines.unfinished(&filter).unwrap());
        assert_eq!(tally.total() as usize + unfinished, expected.len(), "{words:?}");
        for known in [false, true] {
            let next = |at| Some(if known && at < tally.known().end { tally.next(at) } else { at });
            let previous = |at| Some(if known && at <= tally.known().end { tally.previous(at) } else { at });
            let (forward, end) = lines.forward(0, usize::MAX, &filter, next).unwrap();
            assert!(texts(forward) == expected && end == text.len() as u64, "forward to {end}, {words:?}, {known}");
            let (back, end) = lines.back(text.len() as u64, usize::MAX, &filter, previous).unwrap();
            assert!(texts(back) == expected && end == 0, "back to {end}, {words:?}, {known}");
            // A few at a time, up and down again.
            let few = 3.max(expected.len() / 50);
            let (mut at, mut up) = (text.len() as u64, Vec::new());
            loop {
                let (some, _) = lines.back(at, few, &filter, previous).unwrap();
                let Some(first) = some.first() else { break };
                at = first.offset;
                up.splice(0..0, texts(some));
            }
            assert!(up == expected, "up, {words:?}, {known}");
            let mut down = Vec::new();
            let mut at = 0;
            while at < text.len() as u64 {
                let (some, next) = lines.forward(at, few, &filter, next).unwrap();
                at = next;
                down.extend(texts(some));
            }
            assert!(down == expected, "down, {words:?}, {known}");
        }
    }

    #[test]
    fn hostile_texts_are_read_and_counted_right() {
        let long = [b"head ".as_slice(), &vec![b'x'; 300_000], b" tail\nshort\n"].concat();
        for text in [
            &b""[..],
            b"\n",
            b"\n\n\n",
            b"one",
            b"one\n",
            b"one\r\ntwo\r\n",
            b"one\r\ntwo\r",
            b"a\0b\n\xff\xfe\n\0\n",
            &long,
            &long[..long.len() - 1],
            &[b"\n".repeat(70_000).as_slice(), b"end"].concat(),
        ] {
            for words in ["", "o", "!o", "x", "!x", "t$", "^$"] {
                compare(text, words);
            }
        }
    }

    /// Whatever is asked of a file with a least level is what going through it line by line gives: traces stay with their
    /// line across blocks, and are let go of where they would have no end.
    #[test]
    fn levels_hold_across_blocks() {
        let mut text = Vec::new();
        for n in 0..1_500u32 {
            let level = if n % 37 == 5 { "ERROR" } else { "INFO" };
            text.extend_from_slice(format!("2026-11-21T10:00:00Z {level} number {n} {}\n", "x".repeat(n as usize % 90)).as_bytes());
            let trace = if n % 370 == 5 { 300 } else { n % 5 };
            (0..trace).for_each(|i| text.extend_from_slice(format!("    at frame {i}\n").as_bytes()));
        }
        let (_file, opened) = opened(&text);
        let lines = Lines::new(&opened, text.len() as u64);
        for (words, level) in
            [("", Level::Error), ("!frame", Level::Error), ("number", Level::Warn), ("", Level::Critical), ("", Level::Info)]
        {
            let filter = Filter::parse(words).unwrap().at_least(Some(level));
            let (mut expected, mut head, mut since) = (Vec::new(), Level::Info, 0);
            for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
                let goes_on = line.starts_with(b" ") && since < GOES_ON;
                since = if goes_on { since + 1 } else { 0 };
                head = if goes_on { head } else { log_level::of(line).unwrap_or(Level::Info) };
                if head >= level && filter.passes(line) {
                    expected.push(line.to_vec());
                }
            }
            assert_eq!(expected.is_empty(), level == Level::Critical);
            let (forward, _) = lines.forward(0, usize::MAX, &filter, Some).unwrap();
            assert!(texts(forward) == expected, "forward, {words:?}, {level:?}");
            assert_eq!(counted(&lines, &filter).total() as usize, expected.len(), "{words:?}, {level:?}");
            let (mut at, mut up) = (text.len() as u64, Vec::new());
            loop {
                let (some, next) = lines.back(at, 17, &filter, Some).unwrap();
                if some.is_empty() {
                    break;
                }
                at = some.first().map_or(next, |l| l.offset);
                up.splice(0..0, texts(some));
            }
            assert!(up == expected, "up, {words:?}, {level:?}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(40))]
        #[test]
        fn any_lengths_of_lines(lengths in proptest::collection::vec((0usize..3_000, 0u8..20), 0..200), ended: bool, zoom in 1usize..80) {
            let mut text = Vec::new();
            for (length, kind) in lengths {
                text.extend(std::iter::repeat_n(b'.', if kind == 0 { length * zoom } else { length % 90 }));
                text.extend_from_slice(if kind < 3 { b"hit\n" } else { b"\n" });
            }
            if !ended {
                text.pop();
            }
            for words in ["", "hit", "!hit"] {
                compare(&text, words);
            }
        }
    }

    #[test]
    fn a_file_that_is_counted_by_two_is_counted_right() {
        let mut text = Vec::new();
        for n in 0u64.. {
            text.extend(std::iter::repeat_n(b'.', (n * 7919 % 3001) as usize));
            text.extend_from_slice(if n % 7 == 0 { b"hit\n" } else { b"\n" });
            if text.len() as u64 > 3 * WIDE {
                break;
            }
        }
        let (_file, opened) = opened(&text);
        let lines = Lines::new(&opened, text.len() as u64);
        let starts: Vec<u64> = memchr::memchr_iter(b'\n', &text).map(|n| n as u64 + 1).collect();
        for words in ["", "hit", "!hit"] {
            let filter = Filter::parse(words).unwrap();
            let tally = counted(&lines, &filter);
            let passing: Vec<u64> = std::iter::once(0)
                .chain(starts.iter().copied())
                .zip(&starts)
                .filter(|(from, to)| filter.passes(&text[*from as usize..**to as usize - 1]))
                .map(|(from, _)| from)
                .collect();
            assert_eq!((tally.total(), tally.is_whole()), (passing.len() as u64, true), "{words}");
            for block in 0..text.len() as u64 / crate::domain::log_tally::BLOCK {
                let offset = block * crate::domain::log_tally::BLOCK;
                assert_eq!(tally.before(offset), passing.partition_point(|p| *p < offset) as u64, "{words} before block {block}");
            }
        }
    }

    #[test]
    fn any_offset_tells_its_line() {
        let text = b"one\n\nthree\nfour";
        let (_file, opened) = opened(text);
        let lines = Lines::new(&opened, text.len() as u64);
        let starts: Vec<u64> = (0..=text.len() as u64).map(|at| lines.start(at).unwrap()).collect();
        assert_eq!(starts, [0, 0, 0, 0, 4, 5, 5, 5, 5, 5, 5, 11, 11, 11, 11, 11]);
        let after: Vec<u64> = (0..=text.len() as u64).map(|at| lines.line_after(at).unwrap()).collect();
        assert_eq!(after, [0, 4, 4, 4, 4, 5, 11, 11, 11, 11, 11, 11, 15, 15, 15, 15]);
    }

    #[test]
    fn a_line_of_ten_megabytes_is_one_line_and_one_of_sixty_is_told_in_pieces() {
        let ten = [b"a\n".as_slice(), &vec![b'x'; 10 << 20], b"needle\nb\n"].concat();
        let (_file, file) = opened(&ten);
        let lines = Lines::new(&file, ten.len() as u64);
        let filter = Filter::parse("needle").unwrap();
        let (found, _) = lines.back(ten.len() as u64, 9, &filter, Some).unwrap();
        assert_eq!(found.iter().map(|l| (l.offset, l.length, l.text.len() as u64)).collect::<Vec<_>>(), [(2, (10 << 20) + 6, SHOWN)]);
        assert_eq!((counted(&lines, &Filter::default()).total(), counted(&lines, &filter).total()), (3, 1));

        let sixty = [b"a\n".as_slice(), &vec![b'x'; 60 << 20], b"\nb\n"].concat();
        let (_file, file) = opened(&sixty);
        let lines = Lines::new(&file, sixty.len() as u64);
        let (down, _) = lines.forward(0, 99, &Filter::default(), Some).unwrap();
        let (up, _) = lines.back(sixty.len() as u64, 99, &Filter::default(), Some).unwrap();
        assert_eq!(down, up);
        let total: u64 = down.iter().map(|l| l.length).sum();
        assert_eq!((total, down.len() as u64), (sixty.len() as u64 - 3, counted(&lines, &Filter::default()).total()));
        assert!(down.len() > 3 && down.iter().all(|l| l.length <= 2 * PIECE));
    }

    #[test]
    fn a_file_that_shrinks_is_an_error_and_no_crash() {
        let (file, opened) = opened(&b"line\n".repeat(100_000));
        let lines = Lines::new(&opened, 500_000);
        file.as_file().set_len(1_000).unwrap();
        assert_eq!(lines.back(500_000, 10, &Filter::default(), Some).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(lines.count(&mut Tally::at(500_000), &Filter::default(), &mut Default::default()).is_err());
    }

    #[test]
    fn the_end_of_a_hundred_gigabytes_is_there_at_once() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        if file.as_file().set_len(100 << 30).is_err() {
            return;
        }
        use std::io::Seek;
        file.seek(io::SeekFrom::End(0)).unwrap();
        file.write_all(b"piece\nlast but one\nlast\n").unwrap();
        let opened = Tree::machine().open(file.path().to_str().unwrap()).unwrap();
        let end = opened.size().unwrap();
        let lines = Lines::new(&opened, end);
        let (found, _) = lines.back(end, 3, &Filter::default(), Some).unwrap();
        assert_eq!(found.iter().map(|l| l.text.len()).collect::<Vec<_>>(), [5, 12, 4]);
        assert_eq!(lines.forward(0, 2, &Filter::default(), Some).unwrap().0.len(), 2);
    }
}
