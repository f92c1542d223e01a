//! Text for the eye: widths, cutting, wrapping, numbers, ages. All widths are columns of the terminal.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::domain::stamp::{self, Stamp};
use crate::domain::world::{From, Part};

/// No screen is wider; a number above it would overflow where widths are added.
const WIDEST: usize = 16_000;

/// Columns of a text, at most 16,000.
pub fn width(text: &str) -> u16 {
    let columns = if text.is_ascii() { text.len() } else { text.width() };
    columns.min(WIDEST) as u16
}

/// The longest beginning of `text` of at most `room` columns: its bytes and its columns.
pub fn fits(text: &str, room: u16) -> (usize, u16) {
    if text.is_ascii() {
        let n = text.len().min(room.into());
        return (n, n as u16);
    }
    let mut used = 0;
    for (at, cluster) in text.grapheme_indices(true) {
        let w = width(cluster);
        if used + w > room {
            return (at, used);
        }
        used += w;
    }
    (text.len(), used)
}

/// What is left of `text` behind its first `columns` columns.
pub fn skip(text: &str, columns: u16) -> &str {
    text.get(fits(text, columns).0..).unwrap_or("")
}

/// Breaks a text at blanks into lines of at most `room` columns; a longer word is broken where it must be.
/// A continued line begins with `indent` blanks.
pub fn wrap(text: &str, room: u16, indent: u16) -> Vec<String> {
    let room = room.max(1);
    let indent = if indent * 2 > room { 0 } else { indent };
    let (mut out, mut rest) = (Vec::new(), text);
    loop {
        let lead = if out.is_empty() { 0 } else { indent };
        let (mut cut, _) = fits(rest, room - lead);
        let line = |part: &str| format!("{}{part}", " ".repeat(lead.into()));
        if cut >= rest.len() {
            out.push(line(rest));
            return out;
        }
        if cut == 0 {
            // A letter wider than the room.
            cut = rest.graphemes(true).next().map_or(rest.len(), str::len);
        }
        let head = &rest[..cut];
        let own = head.len() - head.trim_start().len();
        let at = if rest[cut..].starts_with(' ') { cut } else { head.rfind(' ').filter(|at| *at > own).unwrap_or(cut) };
        out.push(line(rest[..at].trim_end()));
        rest = rest[at..].trim_start();
        if rest.is_empty() {
            return out;
        }
    }
}

/// `1,204,331`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 guest`, `2 guests`.
pub fn many(n: usize, what: &str) -> String {
    format!("{} {what}{}", count(n as u64), if n == 1 { "" } else { "s" })
}

/// How fresh facts are. Seconds are not told apart: facts are asked anew every few, and a screen on which
/// nothing happens stays silent (TRUST, SPEED S10).
pub fn fresh(now: Stamp, as_of: Stamp) -> String {
    match now.secs() - as_of.secs() {
        -60..=59 => "under 1 min ago".into(),
        ..=-61 => "clock?".into(),
        _ => format!("{} ago", stamp::age(now, as_of)),
    }
}

/// Where facts are from and how old they are: the right end of a table's title.
pub fn source<T>(part: &Part<T>, now: Stamp) -> String {
    if part.is_pending() {
        return "not asked yet".into();
    }
    let from = match part.from {
        From::Files => "files",
        From::Pvesh => "pvesh",
        From::Pct => "pct",
        From::Kernel => "kernel",
        From::Nowhere => "asked",
    };
    let gaps = if part.gaps.is_empty() { String::new() } else { format!(" · {} unknown", part.gaps.len()) };
    // What matters most stands first, because the end is cut where room is short.
    format!("{} · {from}{gaps}", fresh(now, part.as_of))
}

/// A coarse age without seconds: `now` up to a minute.
pub fn age(now: Stamp, then: Stamp) -> String {
    let secs = now.secs() - then.secs();
    if (5..60).contains(&secs) { "now".into() } else { stamp::age(now, then) }
}

/// Whole percent of a part of something.
pub fn percent(part: u64, whole: u64) -> Option<u8> {
    (whole > 0).then(|| (part as f64 * 100.0 / whole as f64).round().min(100.0) as u8)
}

/// A bar of `room` cells for a percentage.
pub fn bar(percent: u8, room: u16) -> String {
    let full = (usize::from(percent.min(100)) * usize::from(room) + 50) / 100;
    let full = if percent > 0 { full.max(1) } else { 0 }.min(room.into());
    "▓".repeat(full) + &"░".repeat(usize::from(room) - full)
}

/// Whether the letters of `needle` come in this order in `text`; smaller is a closer match.
pub fn fuzzy(text: &str, needle: &str) -> Option<usize> {
    let mut score = 0;
    for word in needle.split_whitespace() {
        let word = word.to_lowercase();
        if let Some(at) = text.to_lowercase().find(&word) {
            score += at.min(40);
            continue;
        }
        let (mut chars, mut last) = (text.char_indices(), 0);
        score += 100;
        for want in word.chars() {
            let (at, _) = chars.find(|(_, c)| c.to_lowercase().eq(std::iter::once(want)))?;
            score += (at - last).min(20);
            last = at;
        }
    }
    Some(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_columns() {
        assert_eq!((width("漢字"), fits("漢字x", 3), fits("漢字", 1)), (4, (3, 2), (0, 0)));
        assert_eq!(skip("漢字x", 2), "字x");
    }

    #[test]
    fn wrapping_loses_nothing_and_ends() {
        assert_eq!(wrap("one two three", 7, 0), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh", 3, 0), ["abc", "def", "gh"]);
        assert_eq!(wrap("漢字", 1, 0), ["漢", "字"]);
        assert_eq!(wrap("  $ a bb ccc", 8, 4), ["  $ a bb", "    ccc"]);
        assert_eq!(wrap("", 5, 2), [""]);
    }

    #[test]
    fn numbers_bars_and_matches() {
        assert_eq!([count(7), count(1_204_331), many(1, "guest")], ["7", "1,204,331", "1 guest"]);
        assert_eq!([bar(0, 4), bar(1, 4), bar(100, 4)], ["░░░░", "▓░░░", "▓▓▓▓"]);
        assert!(fuzzy("back up 101 web", "bkweb").is_some() && fuzzy("back up 101 web", "xyz").is_none());
        assert!(fuzzy("back up 101 web", "web") < fuzzy("start 101 w e b", "web"));
    }
}
