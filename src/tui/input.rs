//! Lines to type in: one that shows what it holds, and one for passphrases that shows nothing about it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_segmentation::UnicodeSegmentation;
use zeroize::Zeroize;

use super::canvas::Canvas;
use super::pane::Typed;
use super::theme::Tone;
use super::words;
use crate::domain::secret::Secret;

/// Bytes a line takes at most.
const MOST: usize = 512;

/// One line of text with a cursor.
#[derive(Debug, Default)]
pub struct Input {
    text: String,
    /// Byte position, always at a letter's edge.
    at: usize,
}

impl Input {
    /// A line that holds text already.
    pub fn with(text: impl Into<String>) -> Input {
        let text = text.into();
        Input { at: text.len(), text }
    }

    /// What was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Hands what was typed over as a secret. It was on the screen, so it is one that is good once.
    pub fn into_secret(self) -> Secret {
        Secret::from_text(self.text)
    }

    /// Draws it in at most `room` columns, so that the cursor is seen.
    pub fn draw(&self, on: &mut Canvas<'_>, x: u16, y: u16, room: u16, focus: bool) {
        let before = words::width(&self.text[..self.at]);
        let hidden = (before + 1).saturating_sub(room);
        let shown = words::skip(&self.text, hidden);
        on.put(x, y, room, shown, Tone::Plain);
        if focus {
            on.cursor(x + before.saturating_sub(hidden), y);
        }
    }

    fn insert(&mut self, text: &str) {
        for c in text.chars().filter(|c| !c.is_control()) {
            if self.text.len() + c.len_utf8() <= MOST {
                self.text.insert(self.at, c);
                self.at += c.len_utf8();
            }
        }
    }

    fn before(&self) -> usize {
        self.text[..self.at].grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        self.at + self.text[self.at..].graphemes(true).next().map_or(0, str::len)
    }
}

impl Typed for Input {
    fn key(&mut self, key: &KeyEvent) -> bool {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('u') if ctrl => {
                self.text.drain(..self.at);
                self.at = 0;
            }
            KeyCode::Char('w') if ctrl => {
                let from = self.text[..self.at].trim_end().rfind(' ').map_or(0, |at| at + 1);
                self.text.drain(from..self.at);
                self.at = from;
            }
            KeyCode::Char('a') if ctrl => self.at = 0,
            KeyCode::Char('e') if ctrl => self.at = self.text.len(),
            KeyCode::Char(_) if ctrl || key.modifiers.contains(KeyModifiers::ALT) => return false,
            KeyCode::Char(c) => self.insert(c.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace => {
                let from = self.before();
                self.text.drain(from..self.at);
                self.at = from;
            }
            KeyCode::Delete => {
                let to = self.after();
                self.text.drain(self.at..to);
            }
            KeyCode::Left => self.at = self.before(),
            KeyCode::Right => self.at = self.after(),
            KeyCode::Home => self.at = 0,
            KeyCode::End => self.at = self.text.len(),
            _ => return false,
        }
        true
    }

    fn paste(&mut self, text: &str) {
        self.insert(text.lines().next().unwrap_or(""));
    }
}

/// Bytes a passphrase may have.
pub const LONGEST: usize = 4096;

/// A passphrase being typed. The memory is reserved at once, so that growing leaves no copies behind,
/// and is wiped. There is no `Debug`, and what is drawn is the same for every length above zero.
pub struct Passphrase {
    bytes: Vec<u8>,
    over: bool,
}

impl Default for Passphrase {
    fn default() -> Self {
        Passphrase { bytes: Vec::with_capacity(LONGEST), over: false }
    }
}

impl Drop for Passphrase {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl Passphrase {
    /// Whether nothing was typed.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Hands the secret over and is empty again; `None` where it was longer than [`LONGEST`]: a passphrase
    /// is never cut silently.
    pub fn take(&mut self) -> Option<Secret> {
        let over = std::mem::take(&mut self.over);
        let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(LONGEST));
        let secret = Secret::new(bytes);
        (!over).then_some(secret)
    }

    /// Eight dots, or nothing while nothing was typed.
    pub fn draw(&self, on: &mut Canvas<'_>, x: u16, y: u16) {
        let used = if self.is_empty() { 0 } else { on.put(x, y, 8, "••••••••", Tone::Plain) };
        on.cursor(x + used, y);
    }

    fn push(&mut self, c: char) {
        if self.bytes.len() + c.len_utf8() > LONGEST {
            self.over = true;
            return;
        }
        let mut room = [0; 4];
        self.bytes.extend_from_slice(c.encode_utf8(&mut room).as_bytes());
        room.zeroize();
    }
}

impl Typed for Passphrase {
    fn key(&mut self, key: &KeyEvent) -> bool {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('u') if ctrl => {
                self.bytes.zeroize();
                self.over = false;
            }
            KeyCode::Char(_) if ctrl => return false,
            KeyCode::Char(c) => self.push(c),
            KeyCode::Backspace => {
                // The last letter may have several bytes: its first is not a continuation byte.
                while let Some(last) = self.bytes.last_mut() {
                    let first = *last & 0xc0 != 0x80;
                    *last = 0;
                    self.bytes.pop();
                    if first {
                        break;
                    }
                }
            }
            _ => return false,
        }
        true
    }

    fn paste(&mut self, text: &str) {
        for c in text.chars().filter(|c| !matches!(c, '\n' | '\r')) {
            self.push(c);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn press(to: &mut dyn Typed, code: KeyCode) -> bool {
        to.key(&KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn letters_are_edited_whole() {
        let mut i = Input::with("aü漢");
        press(&mut i, KeyCode::Backspace);
        press(&mut i, KeyCode::Left);
        press(&mut i, KeyCode::Char('x'));
        assert_eq!(i.text(), "axü");
        i.paste("1\n2");
        assert_eq!(i.text(), "ax1ü");
        assert!(!press(&mut i, KeyCode::Enter) && !press(&mut i, KeyCode::Esc));
    }

    #[test]
    fn a_passphrase_is_whole_or_refused() {
        let mut p = Passphrase::default();
        p.paste("pässwort");
        press(&mut p, KeyCode::Backspace);
        assert_eq!(p.take().unwrap().expose(), "pässwor".as_bytes());
        assert!(p.is_empty());
        p.paste(&"x".repeat(LONGEST + 1));
        assert!(p.take().is_none());
    }
}
