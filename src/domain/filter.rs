//! A simple filter over log lines: what must be in, what must not.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};

use super::log_level::{self, Level};
use super::log_time;
use super::stamp::Stamp;
use super::when::Here;

/// Lines in and lines out. Empty lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    keep: Vec<Regex>,
    drop: Vec<Regex>,
    /// Finds in a text of many lines those that decide: with a match for the first word to keep, or else for any to drop.
    /// `None` where no expression can do that, or where nothing is asked.
    fast: Option<Regex>,
    /// What `fast` finds decides alone: it is the only expression and plain text, so it cannot reach beyond its line.
    plain: bool,
    text: String,
    /// Lines less grave do not pass.
    level: Option<Level>,
}

/// What the line before a text tells, for lines that go on with it, such as those of a stack trace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Before {
    /// Its level.
    pub level: Option<Level>,
    /// Lines since it.
    pub lines: usize,
}

/// Lines that go on with one line at most. More is no trace any more, and would have to be looked for without end.
pub const GOES_ON: usize = 200;

impl Filter {
    /// Reads what an operator types: words and regular expressions parted by blanks, all of which must match;
    /// one that begins with `!` must not. Case does not matter unless it holds a capital.
    /// Errors say in one line what is wrong with the expression.
    pub fn parse(text: &str) -> Result<Filter, String> {
        let mut filter = Filter { text: text.trim().to_owned(), ..Filter::default() };
        for word in text.split_whitespace() {
            match word.strip_prefix('!') {
                Some("") => {}
                Some(out) => filter.drop.push(compile(out)?),
                None => filter.keep.push(compile(word)?),
            }
        }
        Ok(filter.prepared())
    }

    /// From separate lists, as the command line gives them; each is one expression, blanks and all.
    pub fn from_lists(keep: &[String], drop: &[String]) -> Result<Filter, String> {
        let all = |list: &[String]| list.iter().map(|e| compile(e)).collect::<Result<Vec<_>, _>>();
        Ok(Filter { keep: all(keep)?, drop: all(drop)?, text: keep.join(" "), ..Filter::default() }.prepared())
    }

    fn prepared(mut self) -> Filter {
        // The longest word is taken for the rarest.
        let expressions: Vec<&str> = match self.keep.iter().max_by_key(|r| r.as_str().len()) {
            Some(longest) => vec![longest.as_str()],
            None => self.drop.iter().map(Regex::as_str).collect(),
        };
        self.fast = over_lines(&expressions);
        self.plain = self.keep.len() + self.drop.len() == 1 && expressions.iter().all(|e| is_plain(e));
        self
    }

    /// The same for lines that are so grave at least; a line that tells no level counts as info.
    pub fn at_least(mut self, level: Option<Level>) -> Filter {
        self.level = level;
        self
    }

    /// Whether what passes depends on the line before this text.
    pub fn depends_on_before(&self, text: &[u8]) -> bool {
        self.level.is_some() && may_go_on(text)
    }

    /// Whether everything passes.
    pub fn is_empty(&self) -> bool {
        self.asks_no_words() && self.level.is_none()
    }

    fn asks_no_words(&self) -> bool {
        self.keep.is_empty() && self.drop.is_empty()
    }

    /// What was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the words of this line pass. The CR of a CRLF is no part of it.
    pub fn passes(&self, line: &[u8]) -> bool {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.keep.iter().all(|r| r.is_match(line)) && !self.drop.iter().any(|r| r.is_match(line))
    }

    /// Whether lines pass unless an expression finds something in them.
    pub fn only_drops(&self) -> bool {
        self.keep.is_empty() && self.level.is_none()
    }

    /// Gives to `visit` ranges of `text` that hold whole lines, with their ends, all of which pass and between which none
    /// does; in order. `text` begins at the beginning of a line and ends with the end of one, or of all. Where lines are
    /// seldom, or seldom left out, it costs little more than one search for the words.
    pub fn passing(&self, before: Before, text: &[u8], mut visit: impl FnMut(Range<usize>)) {
        if !self.only_drops() {
            return self.found(before, text, visit);
        }
        let mut run = 0;
        self.found(before, text, |line| {
            if run < line.start {
                visit(run..line.start);
            }
            run = line.end;
        });
        if run < text.len() {
            visit(run..text.len());
        }
    }

    /// Gives to `visit` the lines of `text`, with their ends, that the expressions decide about: those that pass, or for a
    /// filter that only drops those that do not. In order; `text` is as for [`Filter::passing`].
    pub fn found(&self, before: Before, text: &[u8], mut visit: impl FnMut(Range<usize>)) {
        if let Some(level) = self.level {
            return self.grave(level, before, text, visit);
        }
        if self.is_empty() {
            return;
        }
        let mut at = 0;
        while at < text.len() {
            let candidate = match &self.fast {
                Some(fast) => fast.find_at(text, at).map(|m| m.start()),
                None => Some(at),
            };
            // An empty match behind the last line end is of no line.
            let Some(hit) = candidate.filter(|hit| *hit < text.len() || !text.ends_with(b"\n")) else { break };
            let start = memchr::memrchr(b'\n', &text[at..hit]).map_or(at, |n| at + n + 1);
            let end = memchr::memchr(b'\n', &text[hit..]).map_or(text.len(), |n| hit + n);
            let next = (end + 1).min(text.len());
            if self.plain || self.passes(&text[start..end]) != self.only_drops() {
                visit(start..next);
            }
            at = next;
        }
    }

    /// The lines so grave that also pass by their words. Between lines that could tell such a level it looks for nothing.
    fn grave(&self, least: Level, before: Before, text: &[u8], mut visit: impl FnMut(Range<usize>)) {
        let everything = least <= Level::Info;
        let end_of = |at: usize| memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |n| at + n + 1);
        let bare = |line: &Range<usize>| {
            let line = &text[line.clone()];
            line.strip_suffix(b"\n").unwrap_or(line)
        };
        let mut at = 0;
        let mut head = before;
        while at < text.len() {
            let line = at..end_of(at);
            let told = log_level::of(bare(&line));
            let goes_on = told.is_none() && head.lines < GOES_ON && goes_on(bare(&line));
            head = if goes_on { Before { lines: head.lines + 1, ..head } } else { Before { level: told, lines: 0 } };
            let grave = head.level.unwrap_or(Level::Info) >= least;
            at = line.end;
            if grave && self.passes(bare(&line)) {
                visit(line);
            }
            if !grave && !everything && (at >= text.len() || !may_go_on(&text[at..])) {
                // The next line that could tell such a level; none between goes on with one that did.
                let Some(found) = log_level::may_be_grave(&text[at..]) else { return };
                let next = memchr::memrchr(b'\n', &text[at..at + found]).map_or(at, |n| at + n + 1);
                if next > at {
                    // What stands before it may be the head of what goes on, and tells nothing grave.
                    (at, head) = (next, Before::default());
                }
            }
        }
    }

    /// Byte ranges of the first kept expression in `text`, for marking on the screen.
    pub fn hits<'a>(&'a self, text: &'a str) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
        self.keep.first().into_iter().flat_map(move |r| r.find_iter(text.as_bytes()).map(|m| m.range()))
    }
}

/// Whether a text begins with a line that may go on with the one before it.
fn may_go_on(text: &[u8]) -> bool {
    text.first().is_some_and(|b| b" \t}".contains(b))
}

/// Whether a line goes on with the one before it: it tells neither a level nor a time, and is indented.
pub fn goes_on(line: &[u8]) -> bool {
    const NOW: Here = Here { now: Stamp(0), offset_s: 0 };
    may_go_on(line) && log_level::of(line).is_none() && log_time::of(line, NOW).is_none()
}

fn builder(expression: &str) -> RegexBuilder {
    let mut builder = RegexBuilder::new(expression);
    // `crlf` keeps `.` off a CR here as it must in a text of many lines.
    builder.unicode(true).crlf(true).size_limit(1 << 20);
    builder
}

/// One expression that finds every line in which any of these would match, and perhaps some more, in a text of many lines.
/// `^` and `$` hold at each line there. What asks for the beginning or end of all, or sets flags, would miss lines: `None`.
fn over_lines(expressions: &[&str]) -> Option<Regex> {
    if expressions.is_empty() || expressions.iter().any(|e| ["\\A", "\\z", "(?"].iter().any(|w| e.contains(w))) {
        return None;
    }
    let one = |e: &str| if e.chars().any(char::is_uppercase) { format!("(?:{e})") } else { format!("(?i:{e})") };
    let joined = expressions.iter().map(|e| one(e)).collect::<Vec<_>>().join("|");
    builder(&joined).multi_line(true).build().ok()
}

/// Whether an expression means just its letters, none of which can be part of a line's end.
fn is_plain(expression: &str) -> bool {
    !expression.is_empty() && expression.chars().all(|c| c.is_alphanumeric() || " -_/:;=,@%&<>~\"'".contains(c))
}

fn compile(expression: &str) -> Result<Regex, String> {
    builder(expression).case_insensitive(!expression.chars().any(char::is_uppercase)).build().map_err(|e| {
        let last = e.to_string().lines().last().unwrap_or("").trim_start_matches("error: ").to_owned();
        format!("'{}' is not a regular expression: {last}", super::clean::clean(expression))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_in_and_out() {
        let f = Filter::parse("nextcloud !health").unwrap();
        assert!(f.passes(b"GET Nextcloud /x") && !f.passes(b"nextcloud /health") && !f.passes(b"gitea"));
        assert!(Filter::parse("  ").unwrap().is_empty());
        let f = Filter::parse("Error").unwrap();
        assert!(f.passes(b"Error") && !f.passes(b"error"));
    }

    /// What `passing` finds, line by line, against asking for each line.
    fn compare(filter: &Filter, text: &[u8]) {
        let mut found = Vec::new();
        filter.passing(Before::default(), text, |range| {
            let run = &text[range];
            found.extend(run.strip_suffix(b"\n").unwrap_or(run).split(|b| *b == b'\n').map(<[u8]>::to_vec));
        });
        let whole = text.strip_suffix(b"\n").unwrap_or(text);
        let asked = whole.split(|b| *b == b'\n').filter(|l| !text.is_empty() && filter.passes(l)).map(<[u8]>::to_vec);
        assert_eq!(found, asked.collect::<Vec<_>>(), "{filter:?} on {:?}", String::from_utf8_lossy(text));
    }

    #[test]
    fn a_text_of_many_lines_gives_the_same_lines() {
        let text = b"GET /a 200\nGET /health 200\r\n\nPOST /a 500\r\nerror\n\xff\x00error \rx\nlast";
        for words in [
            "",
            "get",
            "!get",
            "error",
            "!00",
            "error$",
            "^error",
            "200$ !health",
            "!200",
            "!health !error",
            "^$",
            "!^$",
            r"\s500",
            r"\Aerror",
            r"or\z",
            "(?i)ERROR",
            "r.x",
            "[^x]$",
        ] {
            compare(&Filter::parse(words).unwrap(), text);
            compare(&Filter::parse(words).unwrap(), b"\n\n");
            compare(&Filter::parse(words).unwrap(), b"");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_the_same_lines(text in "[abG\r\n]{0,60}", parts in proptest::collection::vec(0usize..PARTS.len(), 1..9)) {
            let words: String = parts.iter().map(|n| PARTS[*n]).collect();
            if let Ok(filter) = Filter::parse(&words) {
                compare(&filter, text.as_bytes());
            }
        }
    }

    const PARTS: [&str; 12] = ["a", "b", "G", "^", "$", ".", r"\s", r"\b", "[^a]", "*", " ", " !"];

    #[test]
    fn hostile_bytes_and_expressions() {
        assert!(Filter::parse("a").unwrap().passes(b"\xff\x00a"));
        assert!(Filter::parse("(").unwrap_err().contains("not a regular expression"));
        assert!(Filter::parse("a{1000}{1000}{1000}").is_err());
    }
}
