//! How many lines that pass a filter begin in each block of a file: all that is kept about its lines. From it follow their
//! number, where they lie, and which blocks need not be read, at four bytes for 64 KiB however short the lines are.

/// Bytes of a block.
pub const BLOCK: u64 = 64 << 10;

/// Lines by block, known for one stretch of the file that grows from its end to its beginning, and with the file.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    blocks: Vec<u32>,
    /// The block that is the first of these; another one than that of the file only in a part.
    first: usize,
    /// Lines that begin here or later are counted …
    from: u64,
    /// … up to here. Both are beginnings of lines.
    to: u64,
    total: u64,
}

impl Tally {
    /// Nothing is known yet; it begins at this line and goes both ways.
    pub fn at(line: u64) -> Tally {
        Tally { blocks: Vec::new(), first: 0, from: line, to: line, total: 0 }
    }

    /// For lines from this one on that are counted by themselves, to be joined to the rest.
    pub fn part(line: u64) -> Tally {
        Tally { first: index(line), ..Tally::at(line) }
    }

    /// Counts what was counted in a part.
    pub fn join(&mut self, part: &Tally) {
        for (nth, lines) in part.blocks.iter().enumerate().filter(|(_, lines)| **lines > 0) {
            self.add((part.first + nth) as u64 * BLOCK, *lines);
        }
    }

    /// Counts `lines` lines that begin in the block that holds `offset`.
    pub fn add(&mut self, offset: u64, lines: u32) {
        let block = index(offset).saturating_sub(self.first);
        if block >= self.blocks.len() {
            // Zeroed memory that nobody wrote to costs nothing, so there is room down to the beginning at once.
            self.blocks.resize(block + 1, 0);
        }
        self.blocks[block] += lines;
        self.total += u64::from(lines);
    }

    /// Takes a line back that was counted at `offset`.
    pub fn take(&mut self, offset: u64) {
        if let Some(lines) = self.blocks.get_mut(index(offset).saturating_sub(self.first)).filter(|lines| **lines > 0) {
            *lines -= 1;
            self.total -= 1;
        }
    }

    /// Counts the lines of a run: it begins at a line's beginning, and `text` stands at `offset` in the file.
    pub fn add_run(&mut self, offset: u64, text: &[u8]) {
        // The end of the last line begins no line of the run.
        let Some(inner) = text.len().checked_sub(1) else { return };
        self.add(offset, 1);
        let mut at = 0;
        while at < inner {
            // A line that begins in a block stands behind a line end that lies one byte before.
            let until = (index(offset + at as u64 + 1) as u64 + 1) * BLOCK - 1;
            let end = usize::try_from(until - offset).unwrap_or(inner).min(inner);
            let lines = memchr::memchr_iter(b'\n', &text[at..end]).count();
            if lines > 0 {
                self.add(offset + at as u64 + 1, u32::try_from(lines).unwrap_or(u32::MAX));
            }
            at = end;
        }
    }

    /// All lines from this beginning of a line on are counted now.
    pub fn reached_down(&mut self, line: u64) {
        self.from = self.from.min(line);
    }

    /// All lines before this beginning of a line are counted now.
    pub fn reached_up(&mut self, line: u64) {
        self.to = self.to.max(line);
    }

    /// Offsets between which every line is counted.
    pub fn known(&self) -> std::ops::Range<u64> {
        self.from..self.to
    }

    /// Whether it reaches down to the beginning of the file.
    pub fn is_whole(&self) -> bool {
        self.from == 0
    }

    /// Lines counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How much of what lies before the end is counted, in hundredths.
    pub fn percent(&self) -> u8 {
        (self.to - self.from).saturating_mul(100).checked_div(self.to).map_or(100, |p| p as u8)
    }

    /// Lines counted in the blocks before the one that holds `offset`.
    pub fn before(&self, offset: u64) -> u64 {
        self.blocks.iter().take(index(offset)).map(|n| u64::from(*n)).sum()
    }

    /// Where the block begins in which the line number `nth`, from 0, begins, and how many come before it in the block.
    pub fn block_of(&self, mut nth: u64) -> Option<(u64, u64)> {
        for (block, lines) in self.blocks.iter().enumerate() {
            if nth < u64::from(*lines) {
                return Some((block as u64 * BLOCK, nth));
            }
            nth -= u64::from(*lines);
        }
        None
    }

    /// The first offset at or behind `offset` at which a counted line may begin; the end of what is counted if none does.
    pub fn next(&self, offset: u64) -> u64 {
        let first = index(offset);
        let found = self.blocks.iter().skip(first).position(|n| *n > 0);
        found.map_or(self.to, |n| offset.max((first + n) as u64 * BLOCK)).min(self.to.max(offset))
    }

    /// The last offset before which, below `offset`, a counted line may begin; the beginning of what is counted if none does.
    pub fn previous(&self, offset: u64) -> u64 {
        let Some(last) = offset.checked_sub(1).map(index) else { return 0 };
        let found = self.blocks.iter().take(last + 1).rposition(|n| *n > 0);
        found.map_or(self.from, |n| offset.min((n as u64 + 1) * BLOCK)).max(self.from.min(offset))
    }

    /// Bytes of memory it takes at most.
    pub fn memory(&self) -> usize {
        self.blocks.capacity() * 4
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset / BLOCK).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn lines_are_counted_where_they_begin(lengths in proptest::collection::vec(0usize..40_000, 1..30), offset in 0u64..200_000) {
            let text: Vec<u8> = lengths.iter().flat_map(|n| std::iter::repeat_n(b'x', *n).chain([b'\n'])).collect();
            let (mut run, mut single, mut at) = (Tally::at(offset), Tally::at(offset), offset);
            run.add_run(offset, &text);
            for n in &lengths {
                single.add(at, 1);
                at += *n as u64 + 1;
            }
            proptest::prop_assert_eq!(&run.blocks, &single.blocks);
            let (mut part, mut joined) = (Tally::part(offset), Tally::at(offset));
            part.add_run(offset, &text);
            joined.join(&part);
            proptest::prop_assert_eq!(&joined.blocks, &single.blocks);
            proptest::prop_assert_eq!(joined.total(), run.total());
            proptest::prop_assert_eq!(run.total(), lengths.len() as u64);
            let (block, rest) = run.block_of(lengths.len() as u64 - 1).unwrap();
            proptest::prop_assert_eq!(run.before(block) + rest + 1, lengths.len() as u64);
        }
    }

    #[test]
    fn blocks_without_hits_are_passed_over() {
        let mut t = Tally::at(100 * BLOCK);
        t.add(90 * BLOCK + 5, 1);
        t.add(20 * BLOCK, 2);
        t.reached_down(10 * BLOCK + 3);
        assert_eq!((t.next(30 * BLOCK), t.next(90 * BLOCK + 7), t.next(91 * BLOCK)), (90 * BLOCK, 90 * BLOCK + 7, 100 * BLOCK));
        assert_eq!(
            (t.previous(30 * BLOCK), t.previous(90 * BLOCK + 7), t.previous(20 * BLOCK)),
            (21 * BLOCK, 90 * BLOCK + 7, 10 * BLOCK + 3)
        );
        assert_eq!((t.total(), t.percent(), t.is_whole(), t.block_of(2)), (3, 89, false, Some((90 * BLOCK, 0))));
        assert!(t.block_of(3).is_none());
    }
}
