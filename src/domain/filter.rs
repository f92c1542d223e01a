//! A simple filter over log lines: what must be in, what must not.

use regex::bytes::{Regex, RegexBuilder};

/// Lines in and lines out. Empty lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    keep: Vec<Regex>,
    drop: Vec<Regex>,
    text: String,
}

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
        Ok(filter)
    }

    /// From separate lists, as the command line gives them; each is one expression, blanks and all.
    pub fn from_lists(keep: &[String], drop: &[String]) -> Result<Filter, String> {
        let all = |list: &[String]| list.iter().map(|e| compile(e)).collect::<Result<Vec<_>, _>>();
        Ok(Filter { keep: all(keep)?, drop: all(drop)?, text: keep.join(" ") })
    }

    /// Whether everything passes.
    pub fn is_empty(&self) -> bool {
        self.keep.is_empty() && self.drop.is_empty()
    }

    /// What was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether this line passes.
    pub fn passes(&self, line: &[u8]) -> bool {
        self.keep.iter().all(|r| r.is_match(line)) && !self.drop.iter().any(|r| r.is_match(line))
    }

    /// Byte ranges of the first kept expression in `text`, for marking on the screen.
    pub fn hits<'a>(&'a self, text: &'a str) -> impl Iterator<Item = std::ops::Range<usize>> + 'a {
        self.keep.first().into_iter().flat_map(move |r| r.find_iter(text.as_bytes()).map(|m| m.range()))
    }
}

fn compile(expression: &str) -> Result<Regex, String> {
    RegexBuilder::new(expression)
        .case_insensitive(!expression.chars().any(char::is_uppercase))
        .unicode(true)
        .size_limit(1 << 20)
        .build()
        .map_err(|e| {
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

    #[test]
    fn hostile_bytes_and_expressions() {
        assert!(Filter::parse("a").unwrap().passes(b"\xff\x00a"));
        assert!(Filter::parse("(").unwrap_err().contains("not a regular expression"));
        assert!(Filter::parse("a{1000}{1000}{1000}").is_err());
    }
}
