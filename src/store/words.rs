//! The recovery key as 24 words (BIP-39, English): 256 bits and an 8-bit checksum. Written here and not taken from the
//! word list's crate because that crate leaves its copies of the key in memory.

use bip39::Language;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::crypto::{self, Key};
use super::{Secret, VaultError};

/// How many words there are.
pub const COUNT: usize = 24;

/// The recovery key, shown once when the vault is made. Wiped on drop; never shown by accident.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct RecoveryWords([u16; COUNT]);

impl RecoveryWords {
    /// Makes words of a new random key.
    pub fn random() -> Result<Self, VaultError> {
        Self::of(&Key::random()?)
    }

    /// Three different places (1 to 24), in order, to ask for as a proof that the words were written down.
    pub fn questions() -> Result<[usize; 3], VaultError> {
        let mut asked = std::collections::BTreeSet::new();
        while asked.len() < 3 {
            let [byte] = crypto::random::<1>()?;
            // Of 256 values, the last sixteen would make some places likelier.
            if byte < 240 {
                asked.insert(usize::from(byte) % COUNT + 1);
            }
        }
        let mut places = asked.into_iter();
        Ok(std::array::from_fn(|_| places.next().unwrap_or(1)))
    }

    /// Makes the words of a key.
    pub(super) fn of(key: &Key) -> Result<Self, VaultError> {
        let mut bits = Zeroizing::new([0u8; 33]);
        bits[..32].copy_from_slice(key.bytes());
        bits[32] = crypto::sha256(key.bytes())?[0];
        let mut words = Self([0; COUNT]);
        for (index, word) in words.0.iter_mut().enumerate() {
            for bit in index * 11..index * 11 + 11 {
                let set = bits[bit / 8] >> (7 - bit % 8) & 1;
                *word = *word << 1 | u16::from(set);
            }
        }
        Ok(words)
    }

    /// Lends the 24 words in order. Each use of this word is a place to review.
    #[must_use]
    pub fn expose(&self) -> [&'static str; COUNT] {
        let list = Language::English.word_list();
        // An index has eleven bits and the list 2048 words, so none is out of range.
        self.0.map(|index| list.get(usize::from(index)).copied().unwrap_or_default())
    }

    /// Whether `typed` is word `number` (1 to 24), for the proof that they were written down.
    #[must_use]
    pub fn is_word(&self, number: usize, typed: &str) -> bool {
        let word = number.checked_sub(1).and_then(|at| self.0.get(at));
        word.is_some_and(|index| find(&typed.trim().to_lowercase()) == Some(*index))
    }

    /// The key behind the words.
    pub(super) fn key(&self) -> Result<Key, VaultError> {
        let mut bits = Zeroizing::new([0u8; 33]);
        for (index, word) in self.0.iter().enumerate() {
            for offset in 0..11 {
                let set = u8::from(word >> (10 - offset) & 1 == 1);
                let bit = index * 11 + offset;
                bits[bit / 8] |= set << (7 - bit % 8);
            }
        }
        let mut key = Zeroizing::new([0u8; 32]);
        key.copy_from_slice(&bits[..32]);
        if crypto::sha256(&*key)?[0] != bits[32] {
            return Err(VaultError::WrongWords { why: "the words do not fit together; one is wrong or out of order".to_owned() });
        }
        Ok(Key::from_bytes(*key))
    }
}

/// Reads words as typed: any white space between them, any case, each at least by its first four letters.
///
/// `WrongWords` names the place of a word that is not in the list, never the word itself.
pub(super) fn read(typed: &Secret) -> Result<Key, VaultError> {
    let wrong = |why: String| VaultError::WrongWords { why };
    let text = typed.expose_text().ok_or_else(|| wrong("that is not text".to_owned()))?;
    let count = text.split_whitespace().count();
    if count != COUNT {
        return Err(wrong(format!("there are {count} words, {COUNT} are needed")));
    }
    let mut words = RecoveryWords([0; COUNT]);
    for (at, word) in text.split_whitespace().enumerate() {
        let word = Zeroizing::new(word.to_lowercase());
        words.0[at] = find(&word).ok_or_else(|| wrong(format!("word {} is not in the list", at + 1)))?;
    }
    words.key()
}

/// The first four letters of each word in the list are unique.
fn find(word: &str) -> Option<u16> {
    let list = Language::English.word_list();
    let at = list.iter().position(|known| *known == word || (word.len() >= 4 && known.starts_with(word)))?;
    u16::try_from(at).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn words_are_those_of_bip39_and_lead_back() {
        for _ in 0..200 {
            let key = Key::random().unwrap();
            let words = RecoveryWords::of(&key).unwrap().expose().join(" ");
            let other = bip39::Mnemonic::from_entropy(key.bytes()).unwrap();
            assert_eq!(words, other.words().collect::<Vec<_>>().join(" "));
            let typed = Secret::from_text(words.to_uppercase());
            assert_eq!(read(&typed).unwrap().bytes(), key.bytes());
        }
    }

    #[test]
    fn the_published_vector_of_all_zeros() {
        let words = RecoveryWords::of(&Key::from_bytes([0; 32])).unwrap().expose();
        assert_eq!(words[..23], ["abandon"; 23]);
        assert_eq!(words[23], "art");
    }

    #[test]
    fn four_letters_are_enough_and_mistakes_are_named_by_place_only() {
        let words = RecoveryWords::of(&Key::from_bytes([7; 32])).unwrap();
        let short: Vec<&str> = words.expose().iter().map(|w| &w[..w.len().min(4)]).collect();
        assert!(read(&Secret::from_text(short.join("\n"))).is_ok());
        assert!(words.is_word(24, words.expose()[23]));
        assert!(!words.is_word(0, "art") && !words.is_word(25, "art"));

        let mut typed = words.expose();
        typed[4] = "hunter2";
        let Err(VaultError::WrongWords { why }) = read(&Secret::from_text(typed.join(" "))) else {
            panic!("a word that is not in the list was accepted");
        };
        assert_eq!(why, "word 5 is not in the list");
        assert!(read(&Secret::from_text("abandon ".repeat(24))).is_err(), "checksum");
        assert!(read(&Secret::from_text("abandon ".repeat(23))).is_err(), "count");
        assert!(read(&Secret::new(vec![0xff; 9])).is_err());
    }
}
