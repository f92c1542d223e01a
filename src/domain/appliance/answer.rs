//! What a question about the appliance gave: the question as it was asked, when, and the answer or why there is none.

use std::net::Ipv4Addr;

use crate::domain::stamp::Stamp;

/// What a command gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gave {
    /// Exit status; 128+n for a signal.
    pub status: i32,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: Vec<u8>,
}

impl Gave {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// What it said, for evidence: its output, else its errors, else nothing but its status.
    pub fn said(&self) -> String {
        let both = [&self.out, &self.err].map(|b| String::from_utf8_lossy(b).trim_end().to_owned());
        let text: Vec<&str> = both.iter().map(String::as_str).filter(|t| !t.is_empty()).collect();
        format!("{}{}exit status {}", text.join("\n"), if text.is_empty() { "" } else { "\n" }, self.status)
    }
}

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<T> {
    /// The exact command, or the path that was read.
    pub question: String,
    /// When it was answered.
    pub at: Stamp,
    /// The answer; else why there is none.
    pub answer: Result<T, String>,
}

impl<T> Asked<T> {
    /// A question that was not put, and why.
    pub fn not(question: impl Into<String>, at: Stamp, why: impl Into<String>) -> Self {
        Asked { question: question.into(), at, answer: Err(why.into()) }
    }
}

/// What a DNS server said of a name, as busybox's `nslookup` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dns {
    /// Addresses or texts, in order; none where the name is there without what was asked for.
    Found(Vec<String>),
    /// The server's code: `NXDOMAIN`, `REFUSED`, `SERVFAIL`.
    Code(String),
    /// Nothing came back.
    Silence,
}

/// Reads what `busybox nslookup` printed; `None` for what it does not print. Its exit status is 1 for a name that is not
/// there as for a server that is not there, so the lines decide.
pub fn dns(text: &str) -> Option<Dns> {
    let mut found = Vec::new();
    // The first lines name the server that was asked.
    let mut named = false;
    for line in text.lines() {
        if line.starts_with(";; connection timed out") {
            return Some(Dns::Silence);
        }
        if let Some(rest) = line.strip_prefix("** server can't find ") {
            return Some(Dns::Code(rest.rsplit_once(": ")?.1.to_owned()));
        }
        named |= line.starts_with("Name:");
        if let Some(address) = line.strip_prefix("Address:").filter(|_| named) {
            found.push(address.trim().to_owned());
        }
        if let Some((_, text)) = line.split_once("\ttext = \"") {
            found.push(text.trim_end_matches('"').to_owned());
        }
    }
    text.starts_with("Server:").then_some(Dns::Found(found))
}

/// Reads `udhcpc: lease of A obtained from S, lease time N`: the address, and whoever lent it; older ones do not name it.
pub fn offer(gave: &Gave) -> Option<(Ipv4Addr, Option<Ipv4Addr>)> {
    let text = [&gave.out, &gave.err].map(|b| String::from_utf8_lossy(b).into_owned()).join("\n");
    let line = text.lines().find_map(|l| l.split_once("lease of ").map(|(_, rest)| rest.to_owned()))?;
    let (address, rest) = line.split_once(" obtained")?;
    let server = rest.strip_prefix(" from ").and_then(|r| r.split([',', ' ']).next()?.parse().ok());
    Some((address.parse().ok()?, server))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Server:\t\t10.20.0.1\nAddress:\t10.20.0.1:53\n\n";

    #[test]
    fn dns_answers_as_busybox_prints_them() {
        let of = |rest: &str| dns(&format!("{HEAD}{rest}"));
        assert_eq!(
            of("Name:\tweb.prox.local\nAddress: 10.20.0.157\n\nNon-authoritative answer:\n\n"),
            Some(Dns::Found(vec!["10.20.0.157".into()]))
        );
        assert_eq!(
            of("** server can't find nope.prox.local: NXDOMAIN\n\n** server can't find nope.prox.local: NXDOMAIN\n"),
            Some(Dns::Code("NXDOMAIN".into()))
        );
        assert_eq!(of("Non-authoritative answer:\n\n"), Some(Dns::Found(vec![])));
        assert_eq!(of("c.prox.local\ttext = \"format-1-ab\"\n"), Some(Dns::Found(vec!["format-1-ab".into()])));
        assert_eq!(dns(";; connection timed out; no servers could be reached\n\n"), Some(Dns::Silence));
        assert_eq!(dns("nslookup: applet not found"), None);
    }
}
