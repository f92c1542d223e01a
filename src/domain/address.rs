//! Where the API of a Proxmox host is: a name or IP address and a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The port of pveproxy.
pub const API_PORT: u16 = 8006;

/// A host and a port, as `pve1`, `pve1:8006`, `10.0.0.2`, `[fd00::2]:8006` or `fd00::2` are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// A host that was given without its port.
    pub fn new(host: &str, port: u16) -> Result<Address, String> {
        if port == 0 {
            return Err("0 is no port".into());
        }
        Ok(Address { host: host_of(host)?, port })
    }

    /// Name or IP address, in lower case, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let text = text.trim();
        if text.contains("://") || text.contains('/') {
            return Err("give the name or IP address only, without https:// and without a path".into());
        }
        let port_of =
            |port: &str| port.parse::<u16>().ok().filter(|p| *p > 0 && port.bytes().all(|b| b.is_ascii_digit())).ok_or_else(no_port);
        if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or("an IPv6 address in brackets ends with ]")?;
            host.parse::<Ipv6Addr>().map_err(|_| format!("'{}' is no IPv6 address", super::clean::clean(host)))?;
            let port = match after {
                "" => API_PORT,
                after => port_of(after.strip_prefix(':').ok_or_else(no_port)?)?,
            };
            return Address::new(host, port);
        }
        match text.split_once(':') {
            // Two colons without brackets are an IPv6 address, never one with a port.
            Some((host, port)) if !port.contains(':') => Address::new(host, port_of(port)?),
            _ => Address::new(text, API_PORT),
        }
    }
}

fn no_port() -> String {
    "a port is a number from 1 to 65535".into()
}

/// A host name (RFC 1123) or an IP address. A leading '-' would be an option to some tool (CVE-2026-4631).
fn host_of(text: &str) -> Result<String, String> {
    let text = text.trim();
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    let shown = super::clean::clean(text.get(..80).unwrap_or(text));
    if text.is_empty() {
        return Err("give the name or IP address of a Proxmox host".into());
    }
    let label = |l: &str| {
        (1..=63).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !l.starts_with('-') && !l.ends_with('-')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let numeric = name.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
    if numeric || name.len() > 253 || !name.split('.').all(label) {
        return Err(format!("'{shown}' is no host name and no IP address"));
    }
    Ok(name.to_ascii_lowercase())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        for (text, shown) in [
            ("pve1", "pve1:8006"),
            (" PVE1.Example.test ", "pve1.example.test:8006"),
            ("pve1:443", "pve1:443"),
            ("10.0.0.2:8006", "10.0.0.2:8006"),
            ("fd00::2", "[fd00::2]:8006"),
            ("[fd00::2]", "[fd00::2]:8006"),
            ("[FD00:0::2]:1", "[fd00::2]:1"),
            ("pve1.", "pve1:8006"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address() {
        let bad = [
            "",
            "-oProxyCommand=x",
            "pve1:0",
            "pve1:65536",
            "pve1:+80",
            "pve1:",
            "a b",
            "a_b",
            "https://pve1:8006",
            "pve1/x",
            "[fd00::2",
            "[pve1]:80",
            "10.0.0.256",
            "10.0.0",
            "a..b",
            "a-",
            "pve\u{1b}[2J",
            "user@pve1",
        ];
        for text in bad {
            let why = text.parse::<Address>().unwrap_err();
            assert!(!why.contains('\u{1b}'), "{text:?}");
        }
        assert!("x".repeat(64).parse::<Address>().is_err());
    }
}
