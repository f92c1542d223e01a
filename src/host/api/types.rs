//! What the API's answers hold, read as widely as they are written: numbers as text, 0/1 as truth, fields that are
//! missing or null, words nobody knew when this was written. Field names are those of the API schema.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, de};

use crate::domain::privilege::Held;

/// A text that may be written as a number, or null.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(pub String);

/// A truth that may be written as 0, 1, "0", "1", true, "yes", or null.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flag(pub bool);

/// A number that may be written as text, as a fraction, or not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Number(pub Option<f64>);

/// Anything but a list or an object, as text.
struct Scalar;

impl Visitor<'_> for Scalar {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number or a truth")
    }
    fn visit_str<E: de::Error>(self, v: &str) -> Result<String, E> {
        Ok(v.to_owned())
    }
    fn visit_string<E: de::Error>(self, v: String) -> Result<String, E> {
        Ok(v)
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> Result<String, E> {
        Ok(v.to_string())
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<String, E> {
        Ok(v.to_string())
    }
    fn visit_f64<E: de::Error>(self, v: f64) -> Result<String, E> {
        Ok(v.to_string())
    }
    fn visit_bool<E: de::Error>(self, v: bool) -> Result<String, E> {
        Ok(u8::from(v).to_string())
    }
    fn visit_unit<E: de::Error>(self) -> Result<String, E> {
        Ok(String::new())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Scalar).map(Text)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = from.deserialize_any(Scalar)?;
        Ok(Flag(matches!(text.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Number(from.deserialize_any(Scalar)?.trim().parse().ok().filter(|n: &f64| n.is_finite())))
    }
}

/// `GET /version`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Version {
    /// Such as `9.1.8`.
    #[serde(default)]
    pub version: Text,
    /// Such as `9.1`.
    #[serde(default)]
    pub release: Text,
}

impl Version {
    /// The major release; `None` where it does not say.
    pub fn major(&self) -> Option<u32> {
        let text = if self.release.0.is_empty() { &self.version.0 } else { &self.release.0 };
        text.split(['.', '-']).next()?.parse().ok()
    }
}

/// A word of a closed list that may grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    /// `online`.
    Online,
    /// `offline`.
    Offline,
    /// `unknown`, or a word that is not known here.
    #[default]
    Unknown,
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match from.deserialize_any(Scalar)?.as_str() {
            "online" => Status::Online,
            "offline" => Status::Offline,
            _ => Status::Unknown,
        })
    }
}

/// One of `GET /nodes`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Node {
    /// Its name.
    #[serde(default)]
    pub node: Text,
    /// Whether it is there.
    #[serde(default)]
    pub status: Status,
    /// Seconds since it started; not told of nodes that are away, or without the right to know.
    #[serde(default)]
    pub uptime: Number,
}

/// One of `GET /cluster/status`: the cluster, or one of its nodes.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Member {
    /// `cluster` or `node`.
    #[serde(default, rename = "type")]
    pub kind: Text,
    /// Its name.
    #[serde(default)]
    pub name: Text,
    /// Of the cluster: whether it has a majority.
    #[serde(default)]
    pub quorate: Flag,
    /// Of a node: whether it is there.
    #[serde(default)]
    pub online: Flag,
    /// Of a node: whether it is the one that answers.
    #[serde(default)]
    pub local: Flag,
}

/// `GET /access/permissions`: of each path, each privilege and whether it holds below.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Permissions(pub BTreeMap<String, Option<BTreeMap<String, Flag>>>);

impl From<Permissions> for Held {
    fn from(all: Permissions) -> Held {
        let flat = |(path, held): (String, Option<BTreeMap<String, Flag>>)| {
            held.unwrap_or_default().into_iter().map(move |(privilege, below)| (path.clone(), privilege, below.0))
        };
        Held::new(all.0.into_iter().flat_map(flat))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_text_missing_and_null_and_words_of_tomorrow() {
        let node: Node = serde_json::from_str(r#"{"node":7,"status":"hibernating","uptime":"12.5","new":{"x":[1]}}"#).unwrap();
        assert_eq!((node.node.0.as_str(), node.status, node.uptime.0), ("7", Status::Unknown, Some(12.5)));
        let bare: Node = serde_json::from_str(r#"{"node":null,"uptime":null,"status":null}"#).unwrap();
        assert_eq!((bare.node.0.as_str(), bare.uptime.0), ("", None));
        for (text, is) in [("1", true), ("0", false), ("\"1\"", true), ("\"\"", false), ("true", true), ("null", false)] {
            assert_eq!(serde_json::from_str::<Flag>(text).unwrap().0, is, "{text}");
        }
        assert!(serde_json::from_str::<Flag>("[1]").is_err(), "a list is no truth");
        let version: Version = serde_json::from_str(r#"{"version":"8.4.1","release":8.4}"#).unwrap();
        assert_eq!(version.major(), Some(8));
        assert_eq!(Version::default().major(), None);
    }

    #[test]
    fn recorded_answers() {
        let members: Vec<Member> = serde_json::from_str(include_str!("../../../tests/recordings/pve-9.1/cluster-status-1.out")).unwrap();
        assert!(members.iter().any(|m| m.local.0 && m.online.0));
        let all: Permissions =
            serde_json::from_str(include_str!("../../../tests/recordings/pve-9.1/pvesh-access-permissions.out")).unwrap();
        assert!(Held::from(all).missing(9).is_empty());
    }
}
