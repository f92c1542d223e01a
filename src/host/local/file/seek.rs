//! Finds a time or a bookmark in a file of any size: by halving it, since lines are written in the order of their times.
//! Reads some blocks, never the file.

use std::io;

use super::lines::Lines;
use crate::domain::filter::Filter;
use crate::domain::log_marks::fingerprint;
use crate::domain::log_page::PageLine;
use crate::domain::log_time;
use crate::domain::stamp::Stamp;
use crate::domain::when::Here;

/// A stretch so small is gone through line by line.
const SMALL: u64 = 64 << 10;
/// Bytes looked through for a line that tells a time. More without one are for other eyes.
const TIMELESS: u64 = 1 << 20;
/// Bytes gone through at the end of a search.
const MOST: u64 = 8 << 20;
/// Lines read at once.
const SOME: usize = 500;

/// Lines from a line's beginning on, at most so many bytes of them, until `found` says so.
fn walk<T>(lines: &Lines<'_>, start: u64, bytes: u64, mut found: impl FnMut(&PageLine) -> Option<T>) -> io::Result<Option<T>> {
    let mut at = start;
    while at < start + bytes {
        let (some, next) = lines.forward(at, SOME, &Filter::default(), Some)?;
        if let Some(found) = some.iter().find_map(&mut found) {
            return Ok(Some(found));
        }
        if next <= at || some.is_empty() {
            break;
        }
        at = next;
    }
    Ok(None)
}

/// Where the first line begins that was written at this time or later; else why there is none.
pub(super) fn by_time(lines: &Lines<'_>, time: Stamp, here: Here) -> io::Result<Result<u64, String>> {
    let mut last = None;
    let told = |line: &PageLine| log_time::of(&line.text, here).map(|t| (line.offset, t));
    // Whatever begins before `low` is earlier, whatever begins at `high` or behind is not.
    let (mut low, mut high) = (0, lines.end());
    while high - low > SMALL {
        let middle = lines.line_after(low + (high - low) / 2)?;
        if middle >= high {
            break;
        }
        match walk(lines, middle, TIMELESS, told)? {
            Some((offset, at)) if at < time => {
                last = Some(at);
                low = lines.stop(offset)?.1;
            }
            _ => high = middle,
        }
    }
    let found = walk(lines, low, MOST, |line| {
        let (offset, at) = told(line)?;
        last = Some(at);
        (at >= time).then_some(offset)
    })?;
    Ok(found.ok_or_else(|| match last {
        Some(last) => format!("no line is of {} or later; the last is of {}", time.second(here.offset_s), last.second(here.offset_s)),
        None => "its lines tell no times that are known here".into(),
    }))
}

/// Where a line begins that was there, or was written then, and has this fingerprint.
pub(super) fn by_mark(lines: &Lines<'_>, mark: (Option<u64>, Option<Stamp>, u64), here: Here) -> io::Result<Option<u64>> {
    let (offset, time, print) = mark;
    let is = |line: &PageLine| (fingerprint(&line.text) == print).then_some(line.offset);
    if let Some(offset) = offset.filter(|o| *o < lines.end()) {
        let (some, _) = lines.forward(lines.start(offset)?, 1, &Filter::default(), Some)?;
        if let Some(found) = some.first().and_then(is) {
            return Ok(Some(found));
        }
    }
    let Some(time) = time else { return Ok(None) };
    let Ok(start) = by_time(lines, time, here)? else { return Ok(None) };
    // Lines that tell no time are of that of the line before them.
    let mut is_over = false;
    walk(lines, start, MOST, |line| {
        is_over = is_over || log_time::of(&line.text, here).is_some_and(|t| t > time);
        if is_over { Some(None) } else { is(line).map(Some) }
    })
    .map(Option::flatten)
}
