//! Something to read: details, help, a refusal, a problem. Scrolls when it is long.

use crate::domain::fact::LogSource;
use crate::domain::plan::Refusal;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::pane::{Known, Pane, Then, Window};
use crate::tui::theme::Tone;
use crate::tui::words;

/// A line with its tone.
pub type Line = (Tone, String);

/// Text in a window.
pub struct Text {
    title: String,
    lines: Vec<Line>,
    top: usize,
    /// The log that Enter leads to.
    log: Option<LogSource>,
}

/// Columns a text is at most wide, for reading.
const WIDEST: u16 = 96;

impl Text {
    /// A window with this title and these lines.
    pub fn new(title: impl Into<String>, lines: Vec<Line>) -> Text {
        Text { title: title.into(), lines, top: 0, log: None }
    }

    /// Enter leads to this log, and the last line says so.
    pub fn leading_to(mut self, source: LogSource) -> Text {
        self.lines.extend([(Tone::Plain, String::new()), (Tone::Strong, format!("Enter: read {}", source.name()))]);
        self.log = Some(source);
        self
    }
}

/// `name  value`, for lists of details; an unknown value is `?` with its reason.
pub fn field(name: &str, value: Result<String, &str>) -> Line {
    match value {
        Ok(value) => (Tone::Plain, format!("{name:<12} {value}")),
        Err(why) => (Tone::Unknown, format!("{name:<12} ? {why}")),
    }
}

/// Wraps lines for a width; a continued line stands under its value.
pub fn wrapped(lines: &[Line], room: u16) -> Vec<Line> {
    lines
        .iter()
        .flat_map(|(tone, text)| words::wrap(&crate::domain::clean::clean(text), room, indent(text)).into_iter().map(move |l| (*tone, l)))
        .collect()
}

/// Where a continued line begins: behind the name of a field, the sign of a note, the prompt of a command.
fn indent(text: &str) -> u16 {
    let own = text.len() - text.trim_start().len();
    let body = &text[own..];
    let extra = if body.starts_with("$ ") || body.starts_with("! ") || body.starts_with("? ") { 2 } else { 0 };
    let is_field = own == 0
        && text.as_bytes().get(12) == Some(&b' ')
        && text.get(..12).is_some_and(|name| !name.trim_end().contains("  "))
        && text.as_bytes().get(11) == Some(&b' ');
    if is_field { 13 } else { (own + extra).min(20) as u16 }
}

/// Columns of a window over log lines that wants `most`: all there are where fewer than twenty would be left beside it, since
/// pieces of lines only confuse.
pub fn over_lines(known: &Known, most: u16) -> u16 {
    if known.size.0 < most + 20 { known.size.0 } else { most }
}

/// Columns of a window that wants `most`: on a narrow screen all there are, for slivers of the pane beside it
/// only confuse.
pub fn wide(known: &Known, most: u16) -> u16 {
    if known.size.0 <= 84 { known.size.0 } else { most.min(known.size.0 - 4) }
}

/// Columns of a text window on this screen.
pub fn text_width(known: &Known) -> u16 {
    wide(known, WIDEST)
}

/// Rows a window may have.
pub fn most_rows(known: &Known) -> u16 {
    known.size.1.saturating_sub(2)
}

/// Draws lines from `top` on and says how much is below.
pub fn draw_lines(on: &mut Canvas<'_>, lines: &[Line], top: usize) {
    let rows = usize::from(on.height());
    let top = top.min(lines.len().saturating_sub(rows));
    for (y, (tone, line)) in lines.iter().skip(top).take(rows).enumerate() {
        on.put(1, y as u16, on.width().saturating_sub(2), line, *tone);
    }
    let below = lines.len().saturating_sub(top + rows);
    if below > 0 && rows > 0 {
        on.put_right(on.width(), rows as u16 - 1, 16, &format!(" {below} more ↓ "), Tone::Mode);
    }
}

/// Scrolls by an action.
pub fn scroll(top: &mut usize, action: Action, len: usize, rows: usize) -> bool {
    let last = len.saturating_sub(rows);
    let page = rows.max(1);
    *top = match action {
        Action::Down => *top + 1,
        Action::Up => top.saturating_sub(1),
        Action::PageDown => *top + page,
        Action::PageUp => top.saturating_sub(page),
        Action::HalfDown => *top + page.div_ceil(2),
        Action::HalfUp => top.saturating_sub(page.div_ceil(2)),
        Action::Top => 0,
        Action::Bottom => last,
        _ => return false,
    }
    .min(last);
    true
}

impl Pane for Text {
    fn context(&self) -> Context {
        Context::Text
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        if action == Action::Open {
            let log = self.log.take().map(Then::File);
            return Some(std::iter::once(Then::Close).chain(log).collect());
        }
        let window = self.window(known);
        let lines = wrapped(&self.lines, window.width.saturating_sub(4)).len();
        scroll(&mut self.top, action, lines, window.height.saturating_sub(2).into()).then(Vec::new)
    }

    fn window(&self, known: &Known) -> Window {
        let width = text_width(known);
        let lines = wrapped(&self.lines, width.saturating_sub(4)).len() as u16;
        Window { title: self.title.clone(), width, height: (lines + 2).min(most_rows(known)) }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        draw_lines(on, &wrapped(&self.lines, on.width().saturating_sub(2)), self.top);
    }
}

/// Why a wish is refused, and what to do.
pub fn refusal(r: &Refusal) -> Text {
    Text::new(
        format!("cannot {}", r.what),
        vec![(Tone::Bad, sentence(&r.why)), (Tone::Plain, String::new()), (Tone::Strong, format!("What to do: {}", r.hint))],
    )
}

/// What could not be done, and what to do.
pub fn problem(what: &str, hint: &str) -> Text {
    Text::new("problem", vec![(Tone::Bad, sentence(what)), (Tone::Plain, String::new()), (Tone::Strong, format!("What to do: {hint}"))])
}

/// Nobody set the store up: looking is allowed.
pub fn no_store(hint: &str) -> Text {
    let lines = vec![
        (Tone::Strong, "You can look at everything. Nothing can be changed from here yet.".into()),
        (Tone::Plain, String::new()),
        (Tone::Plain, "Every change is written down before it is done, and there is no store to write it to.".into()),
        (Tone::Plain, String::new()),
        (Tone::Strong, format!("What to do: {hint}")),
        (Tone::Quiet, "Enter or Esc: look around".into()),
    ];
    Text::new("no store yet", lines)
}

fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| format!("{}{}.", c.to_uppercase(), chars.as_str()))
}
