//! A line as it is printed: into a pipe byte for byte, cleaned on a terminal, or as an object. Lines are gathered: whoever
//! prints some flushes them.

use std::io::IsTerminal;

use serde_json::{Map, Value, json};

use crate::cli::{Form, output};
use crate::domain::clean::clean_bytes;
use crate::domain::log_level::Level;
use crate::domain::log_merge::Kept;
use crate::domain::log_sieve::{Sieve, Teller, Told, Wanted};
use crate::domain::record;
use crate::domain::stamp::Stamp;
use crate::domain::when::Here;

/// Sifts and prints the lines of one source.
pub(super) struct Printer {
    form: Form,
    /// Under JSON: what a line is made of, too.
    fields: bool,
    name: String,
    /// What stands before a line, where there are several sources.
    tag: String,
    pub(super) sieve: Sieve,
    here: Here,
    terminal: bool,
    /// Reads time and level of what is printed as JSON, and of what is merged.
    teller: Teller,
}

impl Printer {
    /// For the source of this name; `tag` stands before its lines.
    pub(super) fn new(name: String, tag: Option<String>, (form, fields): (Form, bool), wanted: &Wanted, here: Here) -> Printer {
        let tag = tag.map(|t| format!("{t}: ")).unwrap_or_default();
        let (sieve, terminal) = (Sieve::new(wanted.clone(), here), std::io::stdout().is_terminal());
        Printer { form, fields, name, tag, sieve, here, terminal, teller: Teller::default() }
    }

    /// Another one for the same source that has read nothing yet.
    pub(super) fn like(&self) -> Printer {
        let sieve = Sieve::new(self.sieve.wanted().clone(), self.here);
        Printer { name: self.name.clone(), tag: self.tag.clone(), sieve, teller: Teller::default(), ..*self }
    }

    /// Prints a line if it is wanted.
    pub(super) fn line(&mut self, line: &[u8]) {
        if self.sieve.passes(line) {
            self.print(line);
        }
    }

    /// A line with what it tells, if it is wanted; `source` is its number among several.
    pub(super) fn kept(&mut self, line: &[u8], source: u8) -> Option<Kept> {
        let (told, own) = self.teller.told(line, self.here);
        let level = told.level.unwrap_or(Level::Info);
        self.sieve.takes(told, line).then(|| Kept { text: line.into(), time: told.time, level, source, late: false, goes_on: !own })
    }

    /// Reads times without a year by this clock from now on.
    pub(super) fn now(&mut self, now: Stamp) {
        self.here.now = now;
        self.sieve.now(now);
    }

    /// Prints a line.
    pub(super) fn print(&mut self, line: &[u8]) {
        let told = if self.form == Form::Json { self.teller.told(line, self.here).0 } else { Told::default() };
        self.print_told(line, told);
    }

    /// Prints a line that tells this.
    pub(super) fn print_told(&self, line: &[u8], Told { time, level }: Told) {
        if self.form == Form::Json {
            let (time, level) = (time.map(Stamp::rfc3339), level.map(Level::word));
            let mut object = json!({"source": self.name, "time": time, "level": level, "line": String::from_utf8_lossy(line)});
            if self.fields
                && let Some(object) = object.as_object_mut()
            {
                let record = record::parse(line, self.here);
                let fields: Map<String, Value> = record.fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
                object.insert("format".into(), record.format.into());
                object.insert("fields".into(), fields.into());
            }
            output::gather(&[object.to_string().as_bytes()]);
        } else if self.terminal {
            output::gather(&[self.tag.as_bytes(), clean_bytes(line).as_bytes()]);
        } else {
            output::gather(&[self.tag.as_bytes(), line]);
        }
    }

    /// Says what was left out for want of a time.
    pub(super) fn end(&self) {
        let n = self.sieve.timeless();
        if n > 0 {
            let lines = if n == 1 { "1 line tells no time and was" } else { &format!("{n} lines tell no time and were") };
            eprintln!("{}: {lines} left out", self.name);
        }
    }
}
