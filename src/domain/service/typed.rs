//! Words that may stand in a site: paths, header names, accounts, hashes, mail addresses. What is not one of these never
//! reaches a Caddyfile.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::UpHost;
use crate::domain::appliance::names::Name;
use crate::domain::clean::clean;

/// A text of a person in a refusal: clean, and not longer than a line.
fn shown(text: &str) -> String {
    clean(&text.chars().take(80).collect::<String>())
}

/// Texts that are read from JSON by the same rules as from a person.
macro_rules! by_text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(it: $name) -> String {
                it.to_string()
            }
        }
    )*};
}

macro_rules! is_its_text {
    ($($name:ident),*) => {$(
        by_text!($name);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

/// A path on a server, with a query where there is one: `/healthz?full=1`. 200 characters at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UriPath(String);

impl FromStr for UriPath {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b"/-._~?=&,".contains(&b);
        // With two slashes it would be another host.
        let fits = text.len() <= 200 && text.starts_with('/') && !text.starts_with("//") && text.bytes().all(inner);
        fits.then(|| UriPath(text.to_owned())).ok_or_else(|| {
            format!("'{}' is no path: it starts with one /, and has letters, digits and -._~?=&, in it, 200 at most", shown(text))
        })
    }
}

/// Name of an HTTP header that a verifier may set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderName(String);

impl FromStr for HeaderName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let fits = (1..=64).contains(&text.len()) && text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(inner);
        let low = text.to_ascii_lowercase();
        // What a connection is made of, and what Caddy says of the visitor, is nobody else's to say.
        let taken = ["host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer"].contains(&low.as_str())
            || low.starts_with("x-forwarded-");
        (fits && !taken).then(|| HeaderName(text.to_owned())).ok_or_else(|| format!("'{}' is no header that can be copied", shown(text)))
    }
}

/// Who logs in: letters, digits and `._@-`, 64 at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Account(String);

impl FromStr for Account {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b"._@-".contains(&b);
        let fits = (1..=64).contains(&text.len()) && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(inner);
        let no = || format!("'{}' is no account: letters, digits and ._@-, a letter or digit first, 64 at most", shown(text));
        fits.then(|| Account(text.to_owned())).ok_or_else(no)
    }
}

/// A hash of bcrypt, as Caddy takes it: `$2b$12$…`. It is no secret, but helps to find a weak one: it is not in `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(String);

impl Hash {
    /// The hash of a secret; `cost` is the logarithm of the rounds. Fails for a secret of which bcrypt would not take all: of
    /// more than 72 bytes, or with a zero in it; and for an empty one.
    pub fn of(secret: &[u8], salt: [u8; 16], cost: u32) -> Result<Hash, String> {
        if secret.is_empty() || secret.len() > 71 || secret.contains(&0) {
            return Err("a password has 1 to 71 bytes, none of them zero".into());
        }
        let parts = bcrypt::non_truncating_hash_with_salt(secret, cost, salt).map_err(|e| e.to_string())?;
        parts.format_for_version(bcrypt::Version::TwoB).parse()
    }

    /// Whether it is the hash of this.
    pub fn is_of(&self, secret: &[u8]) -> bool {
        bcrypt::verify(secret, &self.0).unwrap_or(false)
    }
}

impl FromStr for Hash {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b"./".contains(&b);
        let fits = || {
            let rest = text.strip_prefix("$2a$").or(text.strip_prefix("$2b$")).or(text.strip_prefix("$2y$"))?;
            let (cost, rest) = rest.split_once('$')?;
            let cost = Some(cost).filter(|c| c.len() == 2 && c.bytes().all(|b| b.is_ascii_digit()))?.parse::<u32>().ok()?;
            ((4..=16).contains(&cost) && rest.len() == 53 && rest.bytes().all(inner)).then_some(())
        };
        // What was refused is not shown: perhaps it is a password.
        fits().map(|()| Hash(text.to_owned())).ok_or_else(|| "it is no hash of bcrypt with a cost of 4 to 16".to_owned())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash")
    }
}

/// A mail address that an authority may write to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mail(String);

impl FromStr for Mail {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
        let fits = text.split_once('@').is_some_and(|(who, at)| {
            (1..=64).contains(&who.len())
                && who.starts_with(|c: char| c.is_ascii_alphanumeric())
                && who.bytes().all(inner)
                && at.contains('.')
                && Name::new(at).is_some()
        });
        fits.then(|| Mail(text.to_owned())).ok_or_else(|| format!("'{}' is no mail address", shown(text)))
    }
}

is_its_text!(UriPath, HeaderName, Account, Hash, Mail);
by_text!(UpHost);

impl FromStr for UpHost {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let address = match text.strip_prefix('[') {
            Some(six) => six.strip_suffix(']').and_then(|six| six.parse().ok()).map(IpAddr::V6),
            None => text.parse().ok().map(IpAddr::V4),
        };
        // What ends in a number is an address to a browser and to Go, or a mistake (WHATWG URL, ends in a number).
        let name = Name::new(text).filter(|_| text.rsplit('.').next().is_some_and(|l| l.bytes().any(|b| b.is_ascii_alphabetic())));
        let host = address.map(UpHost::Address).or(name.map(UpHost::Name));
        host.ok_or_else(|| format!("'{}' is no name and no address; an address of IPv6 stands in brackets", shown(text)))
    }
}

impl fmt::Display for UpHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpHost::Name(name) => name.fmt(f),
            UpHost::Address(IpAddr::V4(four)) => four.fmt(f),
            UpHost::Address(IpAddr::V6(six)) => write!(f, "[{six}]"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_may_stand_in_a_site_and_what_not() {
        let takes = |text: &str| {
            let all: [(&str, bool); 6] = [
                ("path", text.parse::<UriPath>().is_ok()),
                ("header", text.parse::<HeaderName>().is_ok()),
                ("account", text.parse::<Account>().is_ok()),
                ("hash", text.parse::<Hash>().is_ok()),
                ("mail", text.parse::<Mail>().is_ok()),
                ("host", text.parse::<UpHost>().is_ok()),
            ];
            all.iter().filter(|(_, is)| *is).map(|(what, _)| *what).collect::<Vec<_>>().join(" ")
        };
        let hash = "$2b$12$0123456789012345678901./ABCDEFGHIJKLMNOPQRSTUVWXYZabc";
        for (text, is) in [
            ("/healthz?full=1&x=2", "path"),
            ("/", "path"),
            ("X-User", "header account host"),
            ("Remote-User", "header account host"),
            ("ada@example.org", "account mail"),
            ("10.20.0.9", "account host"),
            ("[fd00::1]", "host"),
            (hash, "hash"),
            ("", ""),
            ("//evil.example/x", ""),
            ("/a b", ""),
            ("/a\nb", ""),
            ("/{env.HOME}", ""),
            ("/a#b", ""),
            ("/a\"b", ""),
            ("host:80", ""),
            ("X-Forwarded-For", "account host"),
            ("content-length", "account host"),
            ("ada\tx", ""),
            ("{$HOME}", ""),
            ("ada@localhost", "account"),
            ("a da@example.org", ""),
            (&hash[..58], ""),
            ("$2b$31$0123456789012345678901./ABCDEFGHIJKLMNOPQRSTUVWXYZabc", ""),
            ("$2b$12$0123456789012345678901./ABCDEFGHIJKLMNOPQRSTUVWXYZa c", ""),
        ] {
            assert_eq!(takes(text), is, "{text}");
        }
        assert!("x".repeat(65).parse::<Account>().is_err() && format!("/{}", "x".repeat(200)).parse::<UriPath>().is_err());
    }

    #[test]
    fn a_hash_is_of_one_password_alone_and_is_not_shown() {
        let hash = Hash::of(b"open sesame", [7; 16], 4).unwrap();
        assert!(hash.is_of(b"open sesame") && !hash.is_of(b"open sesam") && !hash.is_of(b""));
        assert!(hash.to_string().starts_with("$2b$04$") && !format!("{hash:?}").contains('$'));
        for no in [&b""[..], &[b'x'; 72], b"a\0b"] {
            assert!(Hash::of(no, [7; 16], 4).is_err());
        }
        assert!(Hash::of(&[b'x'; 71], [7; 16], 4).unwrap().is_of(&[b'x'; 71]));
        assert!(!"hunter2".parse::<Hash>().unwrap_err().contains("hunter2"));
    }
}
