//! A picture for a telephone's camera (QR code, ISO/IEC 18004), in letters.

use qrcode::{Color, EcLevel, QrCode};

/// Cells of white around it. The standard wants four; every reader takes two.
const QUIET: i32 = 2;

/// Two rows of the picture in each line of text, dark on light; `None` where it is more than one picture holds (2,953 bytes).
pub fn picture(of: &[u8]) -> Option<Vec<String>> {
    let code = QrCode::with_error_correction_level(of, EcLevel::L).ok()?;
    let width = i32::try_from(code.width()).ok()?;
    let colors = code.to_colors();
    let dark = |x: i32, y: i32| {
        let inside = (0..width).contains(&x) && (0..width).contains(&y);
        inside && usize::try_from(y * width + x).ok().and_then(|at| colors.get(at)) == Some(&Color::Dark)
    };
    let row = |y: i32| {
        let cell = |x: i32| match (dark(x, y), dark(x, y + 1)) {
            (true, true) => ' ',
            (true, false) => '▄',
            (false, true) => '▀',
            (false, false) => '█',
        };
        (-QUIET..width + QUIET).map(cell).collect()
    };
    Some((-QUIET..width + QUIET).step_by(2).map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The three finder patterns stand in their corners: seven dark cells in a row, two rows of white above.
    #[test]
    fn a_url_fits_a_small_screen() {
        let rows = picture(b"http://192.168.100.140:30017").unwrap_or_default();
        assert_eq!((rows.len(), rows.iter().map(|r| r.chars().count()).max()), (15, Some(29)), "{rows:?}");
        let second: Vec<char> = rows.get(1).map(|r| r.chars().collect()).unwrap_or_default();
        assert_eq!((second.get(2..9), second.get(20..27)), (Some(&[' ', '▄', '▄', '▄', '▄', '▄', ' '][..]), second.get(2..9)));
        assert!(picture(&[b'x'; 3000]).is_none());
    }
}
