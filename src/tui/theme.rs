//! How things look: tones instead of colours, and the letters of a terminal that has only ASCII.
//! Default foreground and background always; a tone is never the only sign of a state.

use ratatui::style::{Color, Modifier, Style};

/// The looks a terminal can show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Theme {
    mono: bool,
    ascii: bool,
}

/// What a piece of text is, for its look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Ordinary text.
    Plain,
    /// Rules, units, what may be overlooked.
    Quiet,
    /// Titles and names.
    Strong,
    /// Works not, or is about to stop.
    Bad,
    /// Wants a look.
    Warn,
    /// Is well.
    Good,
    /// Could not be asked.
    Unknown,
    /// Where the operator is.
    Chosen,
    /// A URL that the terminal may open. No other tone looks like it: the screen finds links by this look.
    Link,
    /// What a search found.
    Mark,
    /// An abnormal mode in the header.
    Mode,
    /// A key in the footer.
    Key,
    /// A picture for a camera: white on black on every terminal.
    Picture,
}

/// How a link looks.
pub const LINK: Modifier = Modifier::UNDERLINED;

impl Theme {
    /// `mono` as `NO_COLOR` asks for; `ascii` for a terminal without UTF-8.
    pub fn new(mono: bool, ascii: bool) -> Theme {
        Theme { mono, ascii }
    }

    /// The same with less, by the word of `system.theme`: `mono`, `ascii`, or `plain`, which is both.
    pub fn less(self, word: &str) -> Theme {
        Theme { mono: self.mono || matches!(word, "mono" | "plain"), ascii: self.ascii || matches!(word, "ascii" | "plain") }
    }

    /// The style of a tone.
    pub fn style(self, tone: Tone) -> Style {
        // Written over a rule, a title must not stay dim: a style replaces what was there.
        let plain = Style::reset();
        let colour = |c: Color, otherwise: Style| if self.mono { otherwise } else { plain.fg(c) };
        match tone {
            Tone::Plain => plain,
            // Dim, not bright black: that is the background colour of a widespread palette.
            Tone::Quiet => plain.add_modifier(Modifier::DIM),
            Tone::Strong | Tone::Key => plain.add_modifier(Modifier::BOLD),
            Tone::Bad => colour(Color::Red, plain).add_modifier(Modifier::BOLD),
            Tone::Warn => colour(Color::Yellow, plain),
            Tone::Good => colour(Color::Green, plain),
            Tone::Unknown => colour(Color::Magenta, plain),
            Tone::Chosen | Tone::Mode => plain.add_modifier(Modifier::REVERSED),
            Tone::Picture => plain.fg(Color::White).bg(Color::Black),
            Tone::Link => plain.add_modifier(LINK),
            Tone::Mark => plain.add_modifier(Modifier::UNDERLINED | Modifier::BOLD),
        }
    }

    /// Whether only ASCII may reach a cell.
    pub fn is_ascii(self) -> bool {
        self.ascii
    }
}

/// The ASCII letter that stands for one of ours; `?` for a letter of somebody else.
pub fn ascii(c: char) -> char {
    match c {
        ' '..='~' => c,
        '─' | '·' | '–' | '—' | '⋯' => '-',
        '│' | '▏' => '|',
        '▁' => '_',
        '▂' | '▃' => '.',
        '▄' | '▅' => '=',
        '▆' | '▇' => '*',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' => '+',
        '█' | '▓' => '#',
        '░' => '.',
        '…' => '~',
        '●' | '•' | '×' => '*',
        '○' => 'o',
        '✗' => 'x',
        '▸' | '→' | '▶' => '>',
        '←' | '◂' => '<',
        '↑' => '^',
        '↓' => 'v',
        _ => '?',
    }
}
