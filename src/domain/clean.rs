//! Makes text from outside harmless before it reaches a cell or a log line (TRUST F6, T31).

use unicode_segmentation::UnicodeSegmentation;

/// How many code points one cell may hold: a base and its marks.
const MARKS_PER_CELL: usize = 4;

/// Gives `text` with everything replaced that could steer a terminal or fool an eye: control
/// characters become their pictures (`␛`), tabs become spaces up to the next multiple of eight,
/// bidirectional, zero-width and tag characters become `�`, and a flood of combining
/// marks on one base is cut. The result holds no line break.
pub fn clean(text: &str) -> String {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for cluster in text.graphemes(true) {
        // A CR LF pair is one cluster; each of its characters is shown.
        for (nth, c) in cluster.chars().enumerate() {
            if nth > MARKS_PER_CELL {
                break;
            }
            match c {
                '\t' => {
                    let stop = 8 - column % 8;
                    out.extend(std::iter::repeat_n(' ', stop));
                    column += stop - 1;
                }
                '\u{7f}' => out.push('\u{2421}'),
                '\0'..='\u{1f}' => out.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}')),
                _ if hidden(c) => out.push('\u{fffd}'),
                _ => out.push(c),
            }
        }
        column += 1;
    }
    out
}

/// Like [`clean`], from bytes of any encoding: what is not UTF-8 becomes `�`.
pub fn clean_bytes(bytes: &[u8]) -> String {
    clean(&String::from_utf8_lossy(bytes))
}

/// C1 controls, zero-width, bidirectional, line-separating, variation, tag and unassigned-invisible characters.
fn hidden(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_lose_their_power() {
        assert_eq!(clean("a\x1b]52;c;eA==\x07b"), "a␛]52;c;eA==␇b");
        assert_eq!(clean("x\u{9b}2J"), "x�2J");
        assert_eq!(clean("ev\u{202e}gpj.exe"), "ev�gpj.exe");
        assert_eq!(clean("one\r\ntwo"), "one␍␊two");
    }

    #[test]
    fn tabs_fill_up_and_marks_are_cut() {
        assert_eq!(clean("ab\tc"), "ab      c");
        let flood = format!("e{}", "\u{301}".repeat(200));
        assert_eq!(clean(&flood).chars().count(), 1 + MARKS_PER_CELL);
    }

    #[test]
    fn ordinary_text_stays_itself() {
        for t in ["", "plain", "Grüße 漢字 👍", "mit\u{308} Punkt"] {
            assert_eq!(clean(t), t);
        }
        assert_eq!(clean_bytes(b"ok \xff\xfe"), "ok ��");
    }
}
