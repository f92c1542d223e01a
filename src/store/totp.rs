//! One-time passwords by the clock (RFC 6238 with HMAC-SHA-1, six digits, 30 seconds: what every telephone knows).
//! SHA-1 serves here and nowhere else; a collision in it breaks nothing in an HMAC.

use ring::hmac;

/// Seconds that a code holds.
pub(super) const STEP_S: i64 = 30;

/// Bytes of a secret, as long as the hash (RFC 4226, 4).
pub(super) const SECRET: usize = 20;

/// The code of a time step, as a number below a million.
pub(super) fn code(secret: &[u8], step: i64) -> Option<u32> {
    truncated(secret, step).map(|whole| whole % 1_000_000)
}

fn truncated(secret: &[u8], step: i64) -> Option<u32> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let hash = tag.as_ref();
    let at = usize::from(hash.last()? & 0xf);
    let four: [u8; 4] = hash.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(four) & 0x7fff_ffff)
}

/// RFC 4648 base 32 without padding.
pub(super) fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for five in bytes.chunks(5) {
        let mut word = 0u64;
        for at in 0..5 {
            word = word << 8 | u64::from(five.get(at).copied().unwrap_or(0));
        }
        for letter in 0..(five.len() * 8).div_ceil(5) {
            out.push(char::from(LETTERS[(word >> (35 - 5 * letter) & 31) as usize]));
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_6238() {
        for (time, expected) in [
            (59, 94_287_082),
            (1_111_111_109, 7_081_804),
            (1_111_111_111, 14_050_471),
            (1_234_567_890, 89_005_924),
            (2_000_000_000, 69_279_037),
            (20_000_000_000i64, 65_353_130),
        ] {
            assert_eq!(truncated(b"12345678901234567890", time / STEP_S).unwrap() % 100_000_000, expected);
            assert_eq!(code(b"12345678901234567890", time / STEP_S).unwrap(), expected % 1_000_000);
        }
    }

    #[test]
    fn the_vectors_of_rfc_4648() {
        for (plain, expected) in
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("fooba", "MZXW6YTB"), ("foobar", "MZXW6YTBOI")]
        {
            assert_eq!(base32(plain.as_bytes()), expected);
        }
    }
}
