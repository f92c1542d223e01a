//! How results are printed: aligned columns, one JSON object, or bare lines.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use super::Form;
use crate::domain::job::JobId;
use crate::domain::plan::Plan;
use crate::domain::world::{From, Gap, Part};
use crate::problem::{Kind, Problem};

/// Prints a line; a reader that went away (`| head`) ends the program quietly.
pub(super) fn say(line: &str) {
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Bytes gathered at most before they are written.
const GATHERED: usize = 64 << 10;
static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Prints a line with those that follow at once, as each write wakes whoever reads; [`flush`] must come after.
pub(super) fn gather(parts: &[&[u8]]) {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    parts.iter().for_each(|part| lines.extend_from_slice(part));
    lines.push(b'\n');
    if lines.len() >= GATHERED {
        write_out(&mut lines);
    }
}

/// Writes what was gathered.
pub(super) fn flush() {
    write_out(&mut LINES.lock().unwrap_or_else(PoisonError::into_inner));
}

fn write_out(lines: &mut Vec<u8>) {
    let mut out = std::io::stdout();
    if !lines.is_empty() && out.write_all(lines).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
    lines.clear();
}

/// Prints one JSON object.
pub(super) fn object(value: &Value) {
    say(&value.to_string());
}

/// Prints rows under their heads. Plain: cells parted by a tab, no heads. Cells are cleaned already.
pub(super) fn table(form: Form, heads: &[&str], rows: &[Vec<String>]) {
    if form == Form::Plain {
        rows.iter().for_each(|r| say(&r.join("\t")));
        return;
    }
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| c.width()).chain([heads[i].width()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(c, w)| format!("{c}{}", " ".repeat(w.saturating_sub(c.width()))));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    say(&line(heads.to_vec()));
    rows.iter().for_each(|r| say(&line(r.iter().map(String::as_str).collect())));
}

/// `as_of`, `from` and `unknown` of a part.
pub(super) fn stamps<T>(part: &Part<T>, what: &str) -> (Value, Value, Vec<Value>) {
    let mut unknown: Vec<Value> = part.gaps.iter().map(|Gap { what, why }| json!({"what": what, "why": why})).collect();
    if let Err(why) = &part.known {
        unknown.push(json!({"what": what, "why": why}));
    }
    let from = match part.from {
        From::Nowhere => Value::Null,
        from => json!(from),
    };
    (json!(part.as_of.rfc3339()), from, unknown)
}

/// Says on standard error what could not be told.
pub(super) fn gaps<T>(part: &Part<T>, what: &str) {
    for gap in &part.gaps {
        eprintln!("unknown: {}: {}", gap.what, gap.why);
    }
    if let Err(why) = &part.known {
        eprintln!("unknown: {what}: {why}");
    }
}

/// A list as JSON.
pub(super) fn list<T>(part: &Part<T>, what: &str, items: &[Value]) -> Value {
    let (as_of, from, unknown) = stamps(part, what);
    json!({"as_of": as_of, "from": from, "items": items, "unknown": unknown})
}

/// Prints a plan.
pub(super) fn plan(form: Form, plan: &Plan) {
    if form == Form::Json {
        object(&json!({ "plan": plan, "text": plan.lines() }));
    } else {
        plan.lines().iter().for_each(|l| say(l));
    }
}

/// Prints the number of a job that was started.
pub(super) fn job_id(form: Form, id: JobId) {
    if form == Form::Json { object(&json!({ "job": id })) } else { say(&id.to_string()) }
}

/// Whether a person is there to be asked.
pub(super) fn at_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// A line for whoever sits there; standard output is for results.
pub(super) fn murmur(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A plan that has no steps left.
pub(super) fn nothing_to_do(form: Form, plan: &Plan) {
    match form {
        Form::Json => object(&serde_json::json!({ "plan": plan, "done": "nothing" })),
        _ => say(&format!("{}: nothing to do, all of it holds already", plan.title)),
    }
}

/// Asks for a yes; anything else is a no.
pub(super) fn ask_yes() -> Result<bool, Problem> {
    Ok(ask("go on? type yes: ")? == "yes")
}

/// Asks at the terminal for one line, without blanks around it.
pub(super) fn ask(what: &str) -> Result<String, Problem> {
    eprint!("{what}");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|e| Problem::new(Kind::Failed, "the terminal", e.to_string(), ""))?;
    Ok(line.trim().to_owned())
}
