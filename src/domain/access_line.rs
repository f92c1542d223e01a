//! One line of Caddy's access log, as far as numbers are made of it: which port it came in at, who asked, what came of it.
//!
//! The port is what the encoder of its site calls the logger's name ([`NAME_KEY`]), beside the request and never in it. Host,
//! agent and the rest of the request are what the visitor says.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};

use super::appliance::files::NAME_KEY;
use super::stamp::Stamp;

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLine<'a> {
    /// When it was written: at the end of the answer. `None` where it does not tell.
    pub at: Option<Stamp>,
    /// The port that it came in at; `None` for what no site of ours wrote.
    pub port: Option<u16>,
    /// Who asked, as Caddy saw him.
    pub from: Option<IpAddr>,
    /// What he asked for.
    pub method: Cow<'a, str>,
    /// Its path and the rest.
    pub uri: Cow<'a, str>,
    /// What he calls himself; empty where he says nothing.
    pub agent: Cow<'a, str>,
    /// What he was answered; 0 where he went before.
    pub status: u16,
    /// How long it took, microseconds.
    pub took_us: u64,
    /// Bytes of the answer's body.
    pub size: u64,
}

impl<'a> AccessLine<'a> {
    /// Reads a line. `None` for what is no line of an access log as Caddy writes it in JSON.
    pub fn parse(line: &'a [u8]) -> Option<AccessLine<'a>> {
        serde_json::from_slice(line).ok()
    }
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    remote_ip: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    uri: Cow<'a, str>,
    #[serde(borrow, default)]
    headers: Headers<'a>,
}

#[derive(Deserialize, Default)]
struct Headers<'a> {
    #[serde(borrow, default, rename = "User-Agent")]
    agent: Vec<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for AccessLine<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Line)
    }
}

struct Line;

impl<'de> Visitor<'de> for Line {
    type Value = AccessLine<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a line of an access log")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<AccessLine<'de>, M::Error> {
        let (mut at, mut port, mut request, mut status, mut seconds, mut size) = (None, None, None, None, 0.0, 0);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "ts" => at = Some(Stamp((map.next_value::<f64>()? * 1000.0) as i64)),
                "request" => request = Some(map.next_value::<Request<'de>>()?),
                "status" => status = Some(map.next_value()?),
                "duration" => seconds = map.next_value::<f64>()?,
                "size" => size = map.next_value()?,
                key => {
                    if let Some(number) = key.strip_prefix(NAME_KEY) {
                        // One line has one logger: two names of it are nobody's.
                        if port.is_some() {
                            return Err(de::Error::custom("two ports"));
                        }
                        port = Some(number.parse::<u16>().map_err(de::Error::custom)?);
                    }
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let Request { remote_ip, method, uri, headers } = request.ok_or_else(|| de::Error::missing_field("request"))?;
        Ok(AccessLine {
            at,
            port,
            from: remote_ip.and_then(|ip| ip.parse().ok()),
            method,
            uri,
            agent: headers.agent.into_iter().next().unwrap_or_default(),
            status: status.ok_or_else(|| de::Error::missing_field("status"))?,
            took_us: (seconds * 1e6).round() as u64,
            size,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Written by Caddy 2.6.2 for `curl -u ada:… -H 'Host: forged:43017' http://127.0.0.1:33017/a`.
    pub(super) const REAL: &str = r#"{"level":"error","ts":1795336447.6694744,"port-33017":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"127.0.0.1","remote_port":"37916","proto":"HTTP/1.1","method":"GET","host":"forged:43017","uri":"/a","headers":{"Authorization":[],"User-Agent":["curl/7.88.1"],"Accept":["*/*"]}},"user_id":"","duration":0.001092542,"size":0,"status":401,"resp_headers":{"Server":["Caddy"],"Www-Authenticate":["Basic realm=\"x\""]}}"#;

    #[test]
    fn a_real_line_is_read_and_its_port_is_not_what_the_visitor_says() {
        let line = AccessLine::parse(REAL.as_bytes()).unwrap();
        let told = (line.port, line.at, line.from, line.status, line.took_us, line.size);
        assert_eq!(told, (Some(33_017), Some(Stamp(1_795_336_447_669)), Some([127, 0, 0, 1].into()), 401, 1093, 0));
        assert_eq!((&*line.method, &*line.uri, &*line.agent), ("GET", "/a", "curl/7.88.1"));
        // Whatever stands in a request stays in it, as Caddy writes it.
        let forged = REAL.replace("forged:43017", r#"x\",\"port-40017\":\"y"#).replace("curl/7.88.1", r#"\"}},\"port-40017\":\"y"#);
        assert_eq!(AccessLine::parse(forged.as_bytes()).unwrap().port, Some(33_017));
        let header = REAL.replace("\"Accept\"", "\"Port-40017\":[\"x\"],\"port-40017\":[\"x\"],\"Accept\"");
        assert_eq!(AccessLine::parse(header.as_bytes()).unwrap().port, Some(33_017));
        let by_hand = REAL.replace("port-33017", "logger");
        assert_eq!(AccessLine::parse(by_hand.as_bytes()).unwrap().port, None);
    }

    #[test]
    fn what_is_no_such_line_is_none() {
        let two = REAL.replace("\"msg\"", "\"port-40017\":\"x\",\"msg\"");
        let huge = REAL.replace("port-33017", "port-70000");
        for odd in ["", "{}", "null", r#"{"ts":1,"msg":"x"}"#, &REAL[..200], &two, &huge, "10.0.0.1 - - [x]"] {
            assert_eq!(AccessLine::parse(odd.as_bytes()), None, "{odd}");
        }
    }
}
