//! A credential of the Proxmox API: whose it is, the secret, and how the host proves that it is the right one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::address::Address;
use super::secret::Secret;

/// A user, `name@realm`, or one of his API tokens, `name@realm!token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    text: String,
    /// Byte position of the `!`.
    bang: Option<usize>,
}

impl Account {
    /// The user, `name@realm`.
    pub fn user(&self) -> &str {
        &self.text[..self.bang.unwrap_or(self.text.len())]
    }

    /// Whether it is an API token; else it is a user with a password.
    pub fn is_token(&self) -> bool {
        self.bang.is_some()
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Account {
    type Err = String;

    /// The rules of pve-access-control: a name without `:`, `/` and blanks, a realm and a token id of `[A-Za-z][A-Za-z0-9._-]+`.
    fn from_str(text: &str) -> Result<Account, String> {
        let text = text.trim();
        let word = |w: &str| {
            w.len() >= 2
                && w.len() <= 64
                && w.starts_with(|c: char| c.is_ascii_alphabetic())
                && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let (user, token) = match text.split_once('!') {
            Some((user, token)) => (user, Some(token)),
            None => (text, None),
        };
        if token.is_some_and(|t| !word(t)) {
            return Err("a token id is letters, digits, '.', '_' and '-', as in proximity@pve!console".into());
        }
        let Some((name, realm)) = user.rsplit_once('@') else {
            return Err("give user and realm, as in root@pam, or a token, as in proximity@pve!console".into());
        };
        let name_fits =
            (1..=60).contains(&name.len()) && name.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"!:/\"'\\;,".contains(c));
        if !name_fits || !word(realm) {
            return Err("a user is NAME@REALM, such as root@pam or proximity@pve".into());
        }
        Ok(Account { text: text.to_owned(), bang: token.map(|_| user.len()) })
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// SHA-256 over a certificate as it is sent (DER), as `pvenode cert info` and browsers show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl FromStr for Fingerprint {
    type Err = String;

    /// 64 hexadecimal digits in pairs with or without colons.
    fn from_str(text: &str) -> Result<Fingerprint, String> {
        let no = || "a fingerprint is the SHA-256 of the certificate: 32 pairs of hexadecimal digits, with or without colons".to_owned();
        let digits: Vec<u8> = text.trim().bytes().filter(|b| *b != b':').collect();
        let pairs_end_in_colons = !text.contains(':') || text.trim().split(':').all(|pair| pair.len() == 2);
        if digits.len() != 64 || !pairs_end_in_colons {
            return Err(no());
        }
        let mut out = [0; 32];
        for (byte, pair) in out.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).ok().filter(|p| p.bytes().all(|b| b.is_ascii_hexdigit())).ok_or_else(no)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| no())?;
        }
        Ok(Fingerprint(out))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

/// How the host proves that it is the right one. There is no way to switch this off: a pin is for hosts whose authority nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// The authorities this system trusts, and on a Proxmox node its own certificates and authority.
    #[default]
    System,
    /// The authorities in this PEM file of the host, and no others.
    File(String),
    /// The authorities in this PEM text, and no others.
    Pem(String),
    /// The one certificate with this fingerprint.
    Pin(Fingerprint),
}

/// A credential that may be tried, and kept when it passed. The secret is shared, never copied.
#[derive(Clone)]
pub struct Candidate {
    /// Where.
    pub address: Address,
    /// Who.
    pub account: Account,
    /// The token's value or the user's password.
    pub secret: Arc<Secret>,
    /// How the host proves itself.
    pub trust: Trust,
}

/// A second factor that a server may ask for and a person can type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factor {
    /// Six digits from an app.
    Totp,
    /// One of the recovery keys.
    Recovery,
}

impl Factor {
    /// Its name in sentences.
    pub fn word(self) -> &'static str {
        match self {
            Factor::Totp => "TOTP code",
            Factor::Recovery => "recovery key",
        }
    }
}

/// A second factor as typed.
pub struct Code {
    /// Which.
    pub factor: Factor,
    /// The digits or letters.
    pub code: Secret,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn users_and_tokens() {
        let token: Account = "root@pam!console".parse().unwrap();
        assert_eq!((token.user(), token.is_token()), ("root@pam", true));
        let user: Account = " ada@example.test@ldap ".parse().unwrap();
        assert_eq!((user.user(), user.is_token()), ("ada@example.test@ldap", false));
        for bad in ["root", "@pam", "root@", "root@pam!", "root@pam!x y", "ro ot@pam", "root@p/m", "a\r\nb@pam", "root@pam!a!b", ""] {
            assert!(bad.parse::<Account>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn fingerprints_as_tools_print_them() {
        let text = "99:0A:0D:55:30:AC:24:99:47:0D:F2:91:86:BA:BD:A9:E6:99:36:C8:EC:A3:FC:EB:B8:5B:3A:9E:4D:E0:F6:8C";
        let fingerprint: Fingerprint = text.parse().unwrap();
        assert_eq!(fingerprint.to_string(), text);
        assert_eq!(text.replace(':', "").to_lowercase().parse(), Ok(fingerprint));
        for bad in ["", "99:0A", &text[1..], &text.replace('9', "g"), &text.replacen(':', "", 1), &format!("{text}:00")] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad:?}");
        }
    }
}
