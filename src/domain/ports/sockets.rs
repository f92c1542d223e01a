//! What listens, by the kernel's own lists of sockets: `/proc/net/tcp`, `tcp6`, `udp`, `udp6` (proc(5)).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::world::Gap;

/// What has a port now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Listener {
    /// A site of the appliance's Caddy, by its running configuration.
    Caddy,
    /// A program in the appliance.
    Appliance,
    /// A connection that the appliance began itself. It holds its port against a listener, too.
    Outgoing,
    /// A program of the host.
    Host,
}

impl Listener {
    /// The word in tables and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Listener::Caddy => "caddy",
            Listener::Appliance => "appliance",
            Listener::Outgoing => "outgoing",
            Listener::Host => "host",
        }
    }

    /// As the beginning of `… has 30017`.
    pub fn words(self) -> &'static str {
        match self {
            Listener::Caddy => "a site of the appliance's Caddy",
            Listener::Appliance => "a program in the appliance",
            Listener::Outgoing => "a connection that the appliance began",
            Listener::Host => "a program of the host",
        }
    }
}

/// What has which port, and what could not be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sockets {
    /// By port.
    pub at: BTreeMap<u16, BTreeSet<Listener>>,
    /// What is not known of it.
    pub gaps: Vec<Gap>,
}

impl Sockets {
    /// Takes ports of one kind in.
    pub fn add(&mut self, ports: impl IntoIterator<Item = u16>, of: Listener) {
        for port in ports {
            self.at.entry(port).or_default().insert(of);
        }
    }

    /// [`Gap::what`] where it is not known what listens in the appliance.
    pub const INSIDE: &'static str = "listeners of the appliance";
    /// The same of the host.
    pub const OUTSIDE: &'static str = "listeners of the host";

    /// Whether this was asked and told.
    pub fn knows(&self, what: &str) -> bool {
        !self.gaps.iter().any(|g| g.what == what)
    }

    /// The same for what could not be asked.
    pub fn gap(&mut self, what: &str, why: impl Into<String>) {
        self.gaps.push(Gap { what: what.to_owned(), why: why.into() });
    }

    /// What has a port, most telling first.
    pub fn of(&self, port: u16) -> impl Iterator<Item = Listener> {
        self.at.get(&port).into_iter().flatten().copied()
    }
}

/// Ports that are listened on, and ports of other sockets: connections. A list that is no such list is `None`.
///
/// Those that wait after their end (TIME_WAIT) keep nobody from listening, as all who do set SO_REUSEADDR (tcp(7)).
pub fn listening(text: &str) -> Option<(BTreeSet<u16>, BTreeSet<u16>)> {
    const TIME_WAIT: u8 = 6;
    const CLOSE: u8 = 7;
    const LISTEN: u8 = 10;
    let mut lines = text.lines();
    let udp = lines.next().filter(|head| head.contains("local_address"))?.contains("drops");
    let (mut listens, mut others) = (BTreeSet::new(), BTreeSet::new());
    for line in lines.filter(|l| !l.trim().is_empty()) {
        let mut words = line.split_whitespace().skip(1);
        let (local, _, state) = (words.next()?, words.next()?, words.next()?);
        let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        let state = u8::from_str_radix(state, 16).ok()?;
        // A datagram socket has no state but CLOSE while it is not connected.
        if state == LISTEN || (udp && state == CLOSE) {
            listens.insert(port);
        } else if state != TIME_WAIT {
            others.insert(port);
        }
    }
    // A connection that was accepted has the port of its listener.
    others.retain(|port| *port > 0 && !listens.contains(port));
    listens.remove(&0);
    Some((listens, others))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:7531 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21001 1 0 100 0 0 10 0
   1: 0100007F:07E3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21002 1 0 100 0 0 10 0
   2: 0101140A:7531 6501140A:C001 01 00000000:00000000 00:00000000 00000000     0        0 21003 1 0 100 0 0 10 0
   3: 0101140A:9C42 7601140A:0BB8 01 00000000:00000000 00:00000000 00000000     0        0 21004 1 0 100 0 0 10 0
   4: 0101140A:9C43 7601140A:0BB8 06 00000000:00000000 03:00000AC7 00000000     0        0 0 3 0
";
    const UDP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 21005 2 0 0
  101: 00000000000000000000000001000000:9C44 00000000000000000000000001000000:0035 01 00000000:00000000 00:00000000 00000000     0        0 21006 2 0 0
";

    #[test]
    fn listeners_and_outgoing_connections_are_told_apart() {
        let of = |text: &str| listening(text).map(|(l, o)| (Vec::from_iter(l), Vec::from_iter(o)));
        assert_eq!(of(TCP), Some((vec![2019, 30001], vec![40002])));
        assert_eq!(of(UDP6), Some((vec![53], vec![40004])));
        assert_eq!(of(TCP.lines().next().unwrap()), Some((vec![], vec![])));
        for broken in ["", "nonsense\n", &TCP.replace("00000000:7531 00000000:0000 0A", "7531"), &TCP.replace("07E3", "x")] {
            assert_eq!(of(broken), None, "{broken}");
        }
    }
}
