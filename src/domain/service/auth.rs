//! Who may come in: everybody, who knows a password, who has a token, or whom a verifier lets in. Of passwords and tokens
//! nothing but hashes is here.

use serde::{Deserialize, Serialize};

use super::Upstream;
use super::typed::{Account, Hash, HeaderName, UriPath};
use crate::domain::appliance::names::Name;
use crate::domain::stamp::Stamp;

/// Cost of the hash of a password that a person chose.
pub const COST: u32 = 12;

/// Cost of the hash of a token: 256 bits that nobody chose are not guessed, and each new wrong one costs Caddy this much.
pub const TOKEN_COST: u32 = 5;

/// How long a token that was replaced is still taken, where nothing else is said.
pub const GRACE: &str = "7d";

/// Who may come in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// Everybody.
    #[default]
    None,
    /// Who says this name with its password.
    Basic {
        /// The name.
        user: Account,
        /// Of its password.
        hash: Hash,
    },
    /// Who has a token (RFC 6750), or for a while the one before.
    Bearer {
        /// The token.
        now: Key,
        /// The one before it, and until when it is taken.
        #[serde(default)]
        previous: Option<(Key, Stamp)>,
    },
    /// Whom a verifier lets in: it is asked about each request, and whatever is no yes (2xx) is a no.
    Jwt {
        /// Who is asked.
        verifier: Upstream,
        /// What for.
        path: UriPath,
        /// What it says about the visitor that the app is told.
        #[serde(default)]
        copy: Vec<HeaderName>,
    },
}

impl Auth {
    /// The word on the command line and in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Auth::None => "none",
            Auth::Basic { .. } => "basic",
            Auth::Bearer { .. } => "bearer",
            Auth::Jwt { .. } => "jwt",
        }
    }

    /// The same, the verifier having a name of this domain where its own has one part.
    pub fn within(self, domain: &Name) -> Auth {
        match self {
            Auth::Jwt { verifier, path, copy } => Auth::Jwt { verifier: verifier.within(domain), path, copy },
            other => other,
        }
    }

    /// The same, without a token whose time is over.
    pub fn as_of(self, now: Stamp) -> Auth {
        match self {
            Auth::Bearer { now: key, previous } => Auth::Bearer { now: key, previous: previous.filter(|(_, until)| *until > now) },
            other => other,
        }
    }

    /// A new token, from 32 random bytes for it and 16 for its hash: what is shown once, and what is remembered. What was in
    /// force is taken until `until`.
    pub fn rotated(&self, random: &[u8; 32], salt: [u8; 16], now: Stamp, until: Stamp) -> Result<(String, Auth), String> {
        let previous = match self.clone().as_of(now) {
            Auth::Bearer { now: key, .. } => Some((key, until)).filter(|_| until > now),
            _ => None,
        };
        let slot = if matches!(&previous, Some((Key { slot: Slot::A, .. }, _))) { Slot::B } else { Slot::A };
        let secret = base62(random);
        let token = format!("{PREFIX}{}", base64(format!("{}:{secret}", slot.word()).as_bytes()));
        let now = Key { slot, hash: Hash::of(secret.as_bytes(), salt, TOKEN_COST)? };
        Ok((token, Auth::Bearer { now, previous }))
    }
}

/// What a token begins with, so that it is known for what it is wherever somebody finds it.
pub const PREFIX: &str = "prox_";

/// What is remembered of a token. Caddy compares hashes for one kind of login only, name and password in base 64: so that is
/// what stands behind the prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its name.
    pub slot: Slot,
    /// Of its secret part.
    pub hash: Hash,
}

/// Two tokens that are taken at the same time have different names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Slot {
    /// One.
    A,
    /// The other.
    B,
}

impl Slot {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Slot::A => "a",
            Slot::B => "b",
        }
    }
}

/// A number of 256 bits in 43 letters and digits: with a name of one letter and a colon it makes 45 bytes, and base 64 of these
/// needs no padding.
fn base62(number: &[u8; 32]) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = *number;
    let mut out = String::new();
    for _ in 0..43 {
        let mut rest = 0u16;
        for byte in &mut number {
            let part = rest << 8 | u16::from(*byte);
            *byte = (part / 62) as u8;
            rest = part % 62;
        }
        out.insert(0, char::from(DIGITS[usize::from(rest)]));
    }
    out
}

/// Base 64 (RFC 4648 §4) of bytes by threes.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let four = |three: &[u8]| {
        let number = three.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(DIGITS[(number >> shift & 63) as usize]))
    };
    bytes.chunks_exact(3).flat_map(four).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_replaced_and_the_one_before_is_taken_until_its_time_is_over() {
        let (first, one) = Auth::None.rotated(&[1; 32], [1; 16], Stamp(0), Stamp(1000)).unwrap();
        let (second, two) = one.rotated(&[2; 32], [2; 16], Stamp(0), Stamp(1000)).unwrap();
        let (third, three) = two.rotated(&[3; 32], [3; 16], Stamp(1), Stamp(2000)).unwrap();
        for token in [&first, &second, &third] {
            assert!(token.starts_with("prox_") && token.len() == 65 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        }
        assert!(first != second && second != third);
        let keys = |auth: &Auth| match auth {
            Auth::Bearer { now, previous } => (now.slot, previous.as_ref().map(|(key, until)| (key.slot, *until))),
            _ => panic!(),
        };
        assert_eq!((keys(&one), keys(&two)), ((Slot::A, None), (Slot::B, Some((Slot::A, Stamp(1000))))));
        assert_eq!(keys(&three), (Slot::A, Some((Slot::B, Stamp(2000)))));
        assert_eq!((keys(&two.clone().as_of(Stamp(999))), keys(&two.clone().as_of(Stamp(1000)))), (keys(&two), (Slot::B, None)));
        // At once, without a grace.
        assert_eq!(keys(&two.rotated(&[4; 32], [4; 16], Stamp(5), Stamp(5)).unwrap().1), (Slot::A, None));
        let json = serde_json::to_string(&three).unwrap();
        assert!(!json.contains(&third[10..]) && serde_json::from_str::<Auth>(&json).unwrap() == three);
    }

    #[test]
    fn what_stands_behind_the_prefix_is_a_name_and_its_secret() {
        let (token, auth) = Auth::None.rotated(&[255; 32], [9; 16], Stamp(0), Stamp(0)).unwrap();
        assert_eq!(base64(b"a:Man"), "YTpN", "by threes");
        assert_eq!(base62(&[0; 32]), "0".repeat(43));
        assert_eq!(base62(&[255; 32]), "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1", "2^256 - 1");
        let secret = base62(&[255; 32]);
        assert_eq!(token, format!("prox_{}", base64(format!("a:{secret}").as_bytes())));
        let Auth::Bearer { now, .. } = auth else { panic!() };
        assert!(now.hash.is_of(secret.as_bytes()));
    }
}
