//! Names and hardware addresses that may stand in a generated file. What is not one of these never reaches a file:
//! dnsmasq and Caddy know no quoting that would make any text safe (TRUST F11).

use std::fmt;

use serde::{Deserialize, Serialize};

/// One part of a DNS name: small letters, digits, dashes within, 63 at most (RFC 1123 §2.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// The label of a text in any case; `None` for what is none.
    pub fn new(text: &str) -> Option<Label> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let fits = (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-');
        fits.then(|| Label(text.to_ascii_lowercase()))
    }
}

/// A DNS name: labels with dots, 253 bytes at most, small letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The name of a text; `None` for what is none.
    pub fn new(text: &str) -> Option<Name> {
        (text.len() <= 253 && text.split('.').all(|l| Label::new(l).is_some())).then(|| Name(text.to_ascii_lowercase()))
    }
}

/// A hardware address of six bytes, no group address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

/// Of whoever asks in the place of an app where no app runs: fixed, and administered locally, so nobody else's.
pub const VISITOR: Mac = Mac([0x02, b'p', b'x', 0, 0, 1]);

impl Mac {
    /// The address of `BC:24:11:2C:5E:01`, in any case; `None` for what is none.
    pub fn new(text: &str) -> Option<Mac> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        (parts.next().is_none() && bytes[0] & 1 == 0).then_some(Mac(bytes))
    }
}

/// A network interface as the kernel takes it (`dev_valid_name`), of harmless characters only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interface(String);

impl Interface {
    /// The interface of a text; `None` for what is none.
    pub fn new(text: &str) -> Option<Interface> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let fits = (1..=15).contains(&text.len()) && text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(inner);
        fits.then(|| Interface(text.to_owned()))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// They are written as text and read by the same rules.
macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                $name::new(&text).ok_or_else(|| format!(concat!("no ", stringify!($name), ": {}"), crate::domain::clean::clean(&text)))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.to_string()
            }
        }
    )*};
}
as_text!(Label, Name, Mac, Interface);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
