//! Many questions to ports at once, as data: where, and what is spoken there.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::Answer;

/// One port that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knock {
    /// Where.
    pub place: SocketAddr,
    /// In which way.
    pub how: How,
}

/// In which way a port is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// A connection is all that is wanted.
    Connect,
    /// By HTTP.
    Http,
    /// By HTTP over TLS. What is shown is recorded and not believed.
    Https {
        /// The name or address of a host that is asked for. By a name, Caddy knows which certificate and which site is meant; without
        /// one it shows no certificate of its own authority.
        name: Option<String>,
    },
    /// By TLS alone: nothing is asked once it is there.
    Tls {
        /// Likewise.
        name: Option<String>,
    },
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Knocked {
    /// The address that those who are asked see; none where there is no way to the first of them.
    pub from: Option<IpAddr>,
    /// Answers by port.
    pub answers: BTreeMap<u16, Answer>,
    /// The certificates that a port showed, its own first, each in DER.
    pub shown: BTreeMap<u16, Chain>,
}

/// Certificates in the order in which they were shown, each in DER.
pub type Chain = Vec<Vec<u8>>;

/// Reads the head of an answer of HTTP/1: its status and the size of the page by its own word. `None` for what is none.
pub fn head(bytes: &[u8]) -> Option<(u16, Option<u64>)> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    first.next().filter(|v| v.starts_with("HTTP/1."))?;
    let code = first.next()?.parse().ok().filter(|c| (100..600).contains(c))?;
    let size = lines.take_while(|l| !l.is_empty()).find_map(|l| {
        let (name, value) = l.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Some((code, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_and_nothing_else() {
        assert_eq!(head(b"HTTP/1.1 200 OK\r\nServer: Caddy\r\ncontent-LENGTH: 17\r\n\r\nContent-Length: 3"), Some((200, Some(17))));
        assert_eq!(head(b"HTTP/1.0 502 Bad Gateway\r\n\r\n"), Some((502, None)));
        assert_eq!(head(b"HTTP/1.1 204\r\nContent-Length: many\r\n\r\n"), Some((204, None)));
        for none in [&b""[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 999 x\r\n", b"HTTP/2 200\r\n", b"HTTP/1.1 \xff\r\n"] {
            assert_eq!(head(none), None);
        }
    }
}
