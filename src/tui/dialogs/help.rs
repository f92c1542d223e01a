//! The help: every key that works in a place, made from the key table.

use super::text::Text;
use crate::tui::action::{self, Context};
use crate::tui::theme::Tone;

/// The keys of a place, then what every place has in common about states and unknowns.
pub fn help(context: Context) -> Text {
    let mut lines = Vec::new();
    for binding in action::here(context) {
        lines.push((Tone::Plain, format!("{:<12} {}", binding.key_names(), binding.sentence)));
    }
    lines.push((Tone::Plain, String::new()));
    for text in [
        "?  is said where something was asked and could not be told; Enter on it says why. It never means well.",
        "~  before a number means an estimate.",
        "Nothing changes on the host before its plan was shown and you said yes.",
    ] {
        lines.push((Tone::Quiet, text.into()));
    }
    Text::new(format!("keys: {}", context.word()), lines)
}
