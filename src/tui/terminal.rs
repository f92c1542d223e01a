//! The operator's terminal: taken over on entry, given back as it was on every way out.

use std::io::{self, BufWriter, Stdout, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::{Buffer, Cell};
use ratatui::{Frame, Terminal};

use super::theme::LINK;

/// Whether the terminal is ours now. One process has one terminal, and the panic hook must know.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal while it is ours. Dropping it gives it back.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    /// Where the terminal has links now.
    linked: Vec<Link>,
}

/// A URL on the screen that the terminal may open: the letters that are seen, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    /// Its place.
    x: u16,
    y: u16,
    /// Its letters.
    cells: Vec<Cell>,
}

impl Screen {
    /// Takes the terminal over: raw mode, alternate screen, bracketed paste. The mouse stays the operator's.
    pub fn enter() -> io::Result<Screen> {
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, cursor::Hide).inspect_err(|_| leave())?;
        // One write a frame: a frame that is torn apart by the line flickers.
        let backend = CrosstermBackend::new(BufWriter::with_capacity(64 << 10, io::stdout()));
        let terminal = Terminal::new(backend).inspect_err(|_| leave())?;
        Ok(Screen { terminal, linked: Vec::new() })
    }

    /// Draws a frame: only what changed, in one write, inside a synchronized update.
    pub fn draw(&mut self, paint: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        let drawn = self.terminal.draw(paint)?;
        let (now, gone) = (links(drawn.buffer), under(drawn.buffer, &self.linked));
        write_links(self.terminal.backend_mut(), &gone, &now)?;
        self.linked = now;
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
    }

    /// Forgets what is on the screen, so that the next frame is painted whole.
    ///
    /// Not by `Terminal::clear`: it asks the terminal where its cursor is and fails after two seconds without an answer,
    /// which a slow line or a simple terminal does not give. Nothing is ever asked of the terminal.
    pub fn repaint(&mut self) -> io::Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    /// Puts text on the clipboard of the operator's terminal. Nothing is ever read from it.
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(self.terminal.backend_mut(), crossterm::clipboard::CopyToClipboard::to_clipboard_from(text))
    }
}

/// All links of a screen: rows of cells that look like one, whose letters are a plain URL of a host and a port. One that is cut
/// or wrapped is none.
fn links(buf: &Buffer) -> Vec<Link> {
    let mut out = Vec::new();
    let wide = usize::from(buf.area.width).max(1);
    for (y, row) in (0u16..).zip(buf.content.chunks(wide)) {
        let mut x = 0;
        for run in row.chunk_by(|a, b| is_link(a) == is_link(b)) {
            if run.first().is_some_and(is_link) && is_url(&run.iter().map(Cell::symbol).collect::<String>()) {
                out.push(Link { x, y, cells: run.to_vec() });
            }
            x += u16::try_from(run.len()).unwrap_or(u16::MAX);
        }
    }
    out
}

fn is_link(cell: &Cell) -> bool {
    cell.modifier == LINK
}

/// `http://HOST:PORT` of letters, digits, dots and dashes: nothing in it can end the sequence that it is sent in.
fn is_url(text: &str) -> bool {
    let place = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let Some((host, port)) = place.and_then(|p| p.rsplit_once(':')) else { return false };
    let named = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
    named && port.parse::<u16>().is_ok_and(|p| p > 0) && port.bytes().all(|b| b.is_ascii_digit())
}

/// What stands now where links were.
fn under(buf: &Buffer, links: &[Link]) -> Vec<Link> {
    let at = |link: &Link, nth: usize| Some(buf.cell((link.x.checked_add(u16::try_from(nth).ok()?)?, link.y))?.clone());
    let now = |link: &Link| Link { cells: (0..link.cells.len()).map_while(|nth| at(link, nth)).collect(), ..link.clone() };
    links.iter().map(now).collect()
}

/// Writes letters again where links were, and then those of links as such (OSC 8). What a frame changes beside them is written
/// by its difference, which knows no links; so the few letters that are links are written with every frame.
fn write_links<W: Write>(backend: &mut CrosstermBackend<W>, gone: &[Link], links: &[Link]) -> io::Result<()> {
    if gone.is_empty() && links.is_empty() {
        return Ok(());
    }
    // The cursor stands where somebody types.
    queue!(backend, cursor::SavePosition)?;
    let cells = |link: &Link| (link.x..).zip(link.cells.clone()).map(|(x, cell)| (x, link.y, cell)).collect::<Vec<_>>();
    for link in gone.iter().filter(|g| !links.contains(g)) {
        backend.draw(cells(link).iter().map(|(x, y, cell)| (*x, *y, cell)))?;
    }
    for link in links {
        let url: String = link.cells.iter().map(Cell::symbol).collect();
        write!(backend, "\x1b]8;;{url}\x1b\\")?;
        backend.draw(cells(link).iter().map(|(x, y, cell)| (*x, *y, cell)))?;
        write!(backend, "\x1b]8;;\x1b\\")?;
    }
    queue!(backend, cursor::RestorePosition)
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Gives the terminal back, once. Errors are of no use to anybody: the terminal may be gone.
pub fn leave() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), EndSynchronizedUpdate, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
        let _ = io::stdout().flush();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::{Modifier, Style};

    use super::*;

    fn screen(lines: &[&str], style: Style) -> Buffer {
        let mut buf = Buffer::empty(Rect::new(0, 0, 40, 4));
        for (y, line) in (0..).zip(lines) {
            buf.set_string(2, y, line, style);
        }
        buf
    }

    fn bytes(gone: &[Link], links: &[Link]) -> String {
        let mut out = Vec::new();
        write_links(&mut CrosstermBackend::new(&mut out), gone, links).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_url_that_looks_like_a_link_is_one_and_ends_with_its_letters() {
        let link = Style::reset().add_modifier(LINK);
        let found = links(&screen(&["http://192.168.1.40:30017"], link));
        assert_eq!((found.len(), found[0].x, found[0].y), (1, 2, 0));
        let sent = bytes(&[], &found);
        let (head, rest) = sent.split_once("\x1b]8;;http://192.168.1.40:30017\x1b\\").unwrap();
        let (letters, tail) = rest.split_once("\x1b]8;;\x1b\\").unwrap();
        assert!(head.ends_with("\x1b7") && tail.starts_with("\x1b8") && letters.contains("http://192.168.1.40:30017"), "{sent:?}");
        assert!(links(&screen(&["http://192.168.1.40:30017"], Style::reset())).is_empty(), "it must look like one");
    }

    /// Nothing from outside becomes a link of its own, and no letter can end the sequence.
    #[test]
    fn what_is_no_plain_url_is_no_link() {
        let link = Style::reset().add_modifier(LINK);
        for no in
            ["http://ä:80", "http://a b:80", "http://a:80;x", "file:///etc/passwd", "http://:80", "http://a:0", "http://a…", "javascript:1"]
        {
            assert!(links(&screen(&[no], link)).is_empty(), "{no}");
        }
        assert!(!is_url("http://a\x1b]8;;http://evil\x07:80") && !is_url("http://a:+80"));
        let mark = link.add_modifier(Modifier::BOLD);
        assert!(links(&screen(&["http://a:80"], mark)).is_empty(), "what a search found is underlined too");
    }

    #[test]
    fn a_link_that_went_is_written_over() {
        let link = Style::reset().add_modifier(LINK);
        let before = links(&screen(&["http://a:30017", "", "http://a:40017"], link));
        let after = screen(&["http://a:40017"], link);
        let sent = bytes(&under(&after, &before), &links(&after));
        assert_eq!(sent.matches("\x1b]8;;http://").count(), 1, "{sent:?}");
        assert!(sent.contains("]8;;http://a:40017") && !sent.contains("30017"), "{sent:?}");
        // Below, blanks take the place of the other, before any link begins.
        let (plain, _) = sent.split_once("\x1b]8;;").unwrap();
        assert!(plain.contains("\x1b[3;3H") && plain.contains(&" ".repeat(14)), "{sent:?}");
        assert!(bytes(&[], &[]).is_empty(), "a screen without links costs nothing");
    }
}
