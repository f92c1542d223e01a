//! Refuses passphrases that guessing programs try first. It is no measure of strength: what passes is only not obvious.

use zeroize::Zeroizing;

use super::{Secret, VaultError};

/// A passphrase of fewer characters must have [`WORDS`] words instead.
const CHARACTERS: usize = 12;
const WORDS: usize = 5;

/// What people choose, without the digits and signs they put around it. Lower case, `0` read as `o` and so on.
const WEAK: &[&str] = &[
    "password",
    "passwort",
    "passphrase",
    "parola",
    "motdepasse",
    "contrasena",
    "secret",
    "geheim",
    "admin",
    "administrator",
    "root",
    "toor",
    "changeme",
    "changethis",
    "default",
    "welcome",
    "willkommen",
    "letmein",
    "iloveyou",
    "qwerty",
    "qwertz",
    "azerty",
    "master",
    "monkey",
    "dragon",
    "sunshine",
    "princess",
    "football",
    "baseball",
    "superman",
    "batman",
    "shadow",
    "trustno",
    "hello",
    "login",
    "access",
    "test",
    "testing",
    "guest",
    "server",
    "proxmox",
    "proximity",
    "homelab",
    "linux",
    "debian",
    "ubuntu",
    "summer",
    "winter",
    "spring",
    "autumn",
    "sommer",
    "correcthorsebatterystaple",
    "passwordpassword",
    "whatever",
    "starwars",
    "michael",
    "computer",
    "internet",
];

/// Rows a finger runs along.
const ROWS: &[&str] = &[
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "yxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "q1w2e3r4t5y6u7i8o9p0",
];

/// Accepts a new passphrase or says in one sentence why not (`WeakPassphrase`). `operator` is who will use it.
pub fn check(passphrase: &Secret, operator: &str) -> Result<(), VaultError> {
    match objection(passphrase, operator) {
        Some(why) => Err(VaultError::WeakPassphrase { why }),
        None => Ok(()),
    }
}

fn objection(passphrase: &Secret, operator: &str) -> Option<&'static str> {
    let Some(text) = passphrase.expose_text() else {
        return Some("it is not text");
    };
    if text.chars().any(char::is_control) {
        return Some("it holds a control character");
    }
    let mut words: Vec<&str> = text.split_whitespace().filter(|w| w.chars().count() > 1).collect();
    words.sort_unstable();
    words.dedup();
    if text.chars().count() < CHARACTERS && words.len() < WORDS {
        return Some("it is shorter than 12 characters; five unrelated words are good");
    }
    let plain = plain(text);
    let letters = Zeroizing::new(plain.chars().collect::<Vec<char>>());
    let mut different = Zeroizing::new(letters.to_vec());
    different.sort_unstable();
    different.dedup();
    if different.len() < 5 {
        return Some("it uses the same few characters again and again");
    }
    if repeats(&letters) {
        return Some("it repeats one short piece");
    }
    if runs_along_a_row(&letters) {
        return Some("it follows the alphabet, the digits or a row of the keyboard");
    }
    if is_built_of_weak_words(text, operator) {
        return Some("it is a well-known password or a name with something added");
    }
    None
}

/// Lower case letters and digits only.
fn plain(text: &str) -> Zeroizing<String> {
    keep(text, text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase))
}

/// The letters behind the usual replacements. Digits and signs around the whole stand for nothing.
fn unmask(text: &str) -> Zeroizing<String> {
    let inner = text.trim_matches(|c: char| !c.is_alphabetic());
    let letters = inner.chars().flat_map(char::to_lowercase).map(|c| match c {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    });
    keep(text, letters.filter(|c| c.is_alphabetic()))
}

/// Collects without growing, because a text that grows leaves copies behind. Lower case takes at most three times the room.
fn keep(text: &str, chars: impl Iterator<Item = char>) -> Zeroizing<String> {
    let mut kept = Zeroizing::new(String::with_capacity(text.len() * 3));
    kept.extend(chars);
    kept
}

/// A piece of up to a third of the length, again and again.
fn repeats(letters: &[char]) -> bool {
    (1..=letters.len() / 3).any(|piece| letters.iter().zip(letters.iter().skip(piece)).all(|(a, b)| a == b))
}

/// Two of three neighbours are neighbours in a row too, or equal.
fn runs_along_a_row(letters: &[char]) -> bool {
    let pairs = letters.len().saturating_sub(1);
    let in_row = letters.windows(2).filter(|pair| {
        let [a, b] = **pair else { return false };
        let (there, back) = (String::from_iter([a, b]), String::from_iter([b, a]));
        a == b || ROWS.iter().any(|row| row.contains(&there) || row.contains(&back))
    });
    in_row.count() * 3 > pairs * 2
}

/// Takes weak words (and the operator's name) away and looks whether enough is left.
fn is_built_of_weak_words(text: &str, operator: &str) -> bool {
    let own = plain(operator);
    let plain_text = plain(text);
    let only_letters = keep(text, plain_text.chars().filter(|c| c.is_alphabetic()));
    [plain_text, unmask(text), only_letters].into_iter().any(|mut rest| {
        let mut found = false;
        let names = WEAK.iter().copied().chain([own.as_str()]).filter(|w| w.len() >= 3);
        let mut names: Vec<&str> = names.collect();
        names.sort_by_key(|word| std::cmp::Reverse(word.len()));
        for word in names {
            found |= rest.contains(word);
            rest = Zeroizing::new(rest.replace(word, ""));
        }
        let left = rest.chars().filter(|c| c.is_alphabetic()).count();
        found && left < 6
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> bool {
        objection(&Secret::from_text(text.to_owned()), "marta").is_some()
    }

    #[test]
    fn the_obvious_is_refused() {
        let mut passed: Vec<String> = Vec::new();
        let mut tried = 0;
        let mut attempt = |text: String| {
            tried += 1;
            if !refused(&text) {
                passed.push(text);
            }
        };
        for word in WEAK.iter().chain(&["marta", "P@ssw0rd", "Adm1n", "L3tmein", "Pr0xm0x"]) {
            attempt((*word).to_owned());
            attempt(format!("{word}1234567890"));
            attempt(format!("{word}-{word}-2026!"));
            attempt(format!("!!{}!!2025!!", word.to_uppercase()));
        }
        for row in ROWS {
            attempt((*row).to_owned());
            attempt(row.chars().rev().collect());
            attempt(format!("{row}{row}"));
        }
        for text in [
            "",
            "aaaaaaaaaaaaaaaa",
            "abababababababab",
            "abcabcabcabcabc",
            "123123123123123",
            "112233445566",
            "hunter2",
            "a b c d e f g",
            "qwertyuiop[]",
            "1q2w3e4r5t6y",
            "2026-01-01 2026",
            "aaaaaaaaaaab",
            "Tr0ub4dor&3",
            "one one one one one",
            "\u{1b}[31mred and long enough",
        ] {
            attempt(text.to_owned());
        }
        assert!(tried >= 200, "{tried}");
        assert!(passed.is_empty(), "{passed:?}");
    }

    #[test]
    fn good_ones_pass() {
        for text in [
            "orbit velvet cactus lantern mosaic",
            "Sturm auf dem Dach, Tee im Glas",
            "x9#Lq2!vRw7@Zp",
            "ich og du er va ko",
            "grün wie der Fluß im März",
            "tarnish-gravel-4-umbrella",
            "root cellar with winter apples and moths",
        ] {
            assert!(!refused(text), "{text}");
        }
    }
}
