//! What dnsmasq lent, joined to the guests by hardware address, and how much of the range is left.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use super::desired::Desired;
use super::names::{Mac, VISITOR};
use crate::domain::clean::clean;
use crate::domain::guest::{Guest, Vmid};
use crate::domain::stamp::Stamp;

/// One line of dnsmasq.leases (facts §12.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// When it ends; `None` for one without an end.
    pub expires: Option<Stamp>,
    /// Hardware address.
    pub mac: Mac,
    /// Address that is lent.
    pub address: Ipv4Addr,
    /// What the client calls itself; dnsmasq takes only what is a DNS name.
    pub name: Option<String>,
    /// The client's id as it stands there, `01:bc:24:…`.
    pub client: Option<String>,
}

/// The leases file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leases {
    /// IPv4 leases, in the file's order.
    pub all: Vec<Lease>,
    /// Number of IPv6 leases; they have no hardware address to be joined by.
    pub v6: usize,
    /// Lines that cannot be read, cleaned.
    pub odd: Vec<String>,
}

/// Reads the file. What cannot be read is kept as an odd line. What a visitor of ours has for a moment is lent to nobody.
pub fn parse(text: &str) -> Leases {
    let mut out = Leases::default();
    for line in text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with("duid ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_v6 = words.len() == 5 && words[2].parse::<IpAddr>().is_ok_and(|a| a.is_ipv6());
        match (is_v6, lease(&words)) {
            (true, _) => out.v6 += 1,
            (_, Some(lease)) if lease.mac == VISITOR => {}
            (_, Some(lease)) => out.all.push(lease),
            _ => out.odd.push(clean(line)),
        }
    }
    out
}

fn lease(words: &[&str]) -> Option<Lease> {
    let [expires, mac, address, name, client] = words else { return None };
    let known = |w: &str| (w != "*").then(|| w.to_owned());
    let secs: i64 = expires.parse().ok().filter(|s| *s >= 0)?;
    Some(Lease {
        expires: (secs > 0).then(|| Stamp::from_secs(secs)),
        mac: Mac::new(mac)?,
        address: address.parse().ok()?,
        name: known(name),
        client: known(client),
    })
}

/// What is odd about a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    /// No guest has this hardware address any more.
    Stale,
    /// Several guests have this hardware address.
    Duplicate(Vec<Vmid>),
    /// The same hardware address was lent several addresses.
    Twice,
    /// It always gets another address, and has this one.
    Moved(Ipv4Addr),
    /// It ended, and dnsmasq still has it.
    Expired,
    /// It lies outside the range, and is not static.
    Outside,
}

impl Oddity {
    /// In words.
    pub fn words(&self) -> String {
        match self {
            Oddity::Stale => "stale: no guest has this hardware address".into(),
            Oddity::Duplicate(ids) => {
                format!(
                    "duplicate: guests {} have this hardware address",
                    ids.iter().map(Vmid::to_string).collect::<Vec<_>>().join(" and ")
                )
            }
            Oddity::Twice => "twice: this hardware address was lent several addresses".into(),
            Oddity::Moved(to) => format!("moved: it is to have {to}"),
            Oddity::Expired => "expired".into(),
            Oddity::Outside => "outside the range".into(),
        }
    }
}

/// A lease with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The lease.
    pub lease: Lease,
    /// The guest that has the hardware address, where it is one and where guests are known.
    pub guest: Option<(Vmid, String)>,
    /// Whether the address is always this guest's.
    pub fixed: bool,
    /// What is odd.
    pub odd: Vec<Oddity>,
}

/// Joins leases and guests; by address. Without guests nothing is stale: whether one is there is unknown then.
pub fn join(leases: &Leases, guests: Option<&[Guest]>, desired: Option<&Desired>, now: Stamp) -> Vec<Row> {
    let mut owners: BTreeMap<Mac, Vec<&Guest>> = BTreeMap::new();
    for guest in guests.into_iter().flatten() {
        let macs: BTreeSet<Mac> = guest.nics.iter().filter_map(|n| Mac::new(n.hwaddr.as_deref()?)).collect();
        macs.into_iter().for_each(|m| owners.entry(m).or_default().push(guest));
    }
    // Who was put aside keeps the address of who took its place, unplugged: the other one asks for it.
    for (mac, all) in owners.iter_mut().filter(|(_, all)| all.len() > 1) {
        let asks = |g: &&Guest| g.nics.iter().any(|n| n.hwaddr.as_deref().and_then(Mac::new) == Some(*mac) && !n.is_unplugged());
        let plugged: Vec<&Guest> = all.iter().copied().filter(asks).collect();
        if !plugged.is_empty() {
            *all = plugged;
        }
    }
    // A configuration that could not be read may hold any hardware address.
    let all_read = guests.is_some_and(|g| g.iter().all(|g| g.conf_read));
    let row = |lease: &Lease| {
        let mut odd = Vec::new();
        let of = owners.get(&lease.mac).map_or(&[][..], Vec::as_slice);
        match of {
            [] if all_read => odd.push(Oddity::Stale),
            [] | [_] => {}
            several => odd.push(Oddity::Duplicate(several.iter().map(|g| g.id).collect())),
        }
        if leases.all.iter().filter(|l| l.mac == lease.mac).count() > 1 {
            odd.push(Oddity::Twice);
        }
        let pin = desired.and_then(|d| d.clients.iter().find(|c| c.mac == lease.mac)?.address);
        odd.extend(pin.filter(|p| *p != lease.address).map(Oddity::Moved));
        if lease.expires.is_some_and(|e| e < now) {
            odd.push(Oddity::Expired);
        }
        if pin.is_none() && desired.is_some_and(|d| !(d.pool.0..=d.pool.1).contains(&lease.address)) {
            odd.push(Oddity::Outside);
        }
        let guest = if let [one] = of { Some((one.id, one.title())) } else { None };
        Row { lease: lease.clone(), guest, fixed: pin == Some(lease.address), odd }
    };
    let mut rows: Vec<Row> = leases.all.iter().map(row).collect();
    rows.sort_by_key(|r| r.lease.address);
    rows
}

/// How much of the range is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Addresses of the range that are lent, or kept for somebody.
    pub used: u32,
    /// Addresses of the range.
    pub size: u32,
}

/// Counts. An address that is kept for a guest counts, lent or not: nobody else gets it.
pub fn pool(leases: &Leases, desired: &Desired) -> Pool {
    let kept = desired.clients.iter().filter_map(|c| c.address);
    let all: BTreeSet<Ipv4Addr> = leases.all.iter().map(|l| l.address).chain(kept).collect();
    let used = all.range(desired.pool.0..=desired.pool.1).count();
    Pool { used: u32::try_from(used).unwrap_or(u32::MAX), size: desired.pool_size() }
}

/// Days of which something is told; of older ones how the range was used then tells little about now.
const DAYS: i64 = 30;

/// Days that must be known before anything is told.
const ENOUGH: usize = 3;

/// When the range will be full, by how its use grew from day to day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forecast {
    /// Not told; why.
    Unknown(String),
    /// Nothing is left now.
    Full,
    /// What is in use does not grow.
    Steady,
    /// In about so many days, at least one.
    In(u32),
}

impl Forecast {
    /// In words, as the end of `5 of 151 addresses, `.
    pub fn words(&self) -> String {
        match self {
            Forecast::Unknown(why) => format!("days left unknown: {why}"),
            Forecast::Full => "full".into(),
            Forecast::Steady => "not filling".into(),
            Forecast::In(days) if *days > 365 => "not full within a year".into(),
            Forecast::In(1) => "full in ~1 day".into(),
            Forecast::In(days) => format!("full in ~{days} days"),
        }
    }
}

/// Draws the line of least squares through the most addresses in use on each day (days since 1970), and follows it to the
/// size of the range.
pub fn forecast(days: &[(i64, u32)], pool: Pool, today: i64) -> Forecast {
    if pool.used >= pool.size {
        return Forecast::Full;
    }
    let near: Vec<(f64, f64)> = days
        .iter()
        .filter(|(day, _)| (today - DAYS..=today).contains(day))
        .map(|(day, used)| ((day - today) as f64, f64::from(*used)))
        .collect();
    if near.len() < ENOUGH {
        return Forecast::Unknown(format!("{} of {ENOUGH} days seen", near.len()));
    }
    let n = near.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| near.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let slope = near.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / near.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>();
    // Less than one address a year is no growth, and no number that could be told.
    if slope < 1.0 / 365.0 {
        return Forecast::Steady;
    }
    Forecast::In((f64::from(pool.size - pool.used) / slope).ceil().clamp(1.0, 1e9) as u32)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::desired::tests::{guest, sample};
    use super::*;

    const FILE: &str = "\
1795198786 bc:24:11:00:00:02 10.20.0.101 web 01:bc:24:11:00:00:02
0 bc:24:11:00:00:01 10.20.0.117 wiki *
1795198790 bc:24:11:00:00:77 10.20.0.103 * *
1795190000 bc:24:11:00:00:09 10.20.0.20 twin 01:bc:24:11:00:00:09
1795198790 bc:24:11:00:00:09 10.20.0.104 twin ff:11
duid 00:01:00:01:2e:aa
1795198800 737017345 fd00::101 dns 00:01:00:01:aa
half a li\u{1b}ne
1795198790 02:70:78:00:00:01 10.20.0.140 * 01:02:70:78:00:00:01
-5 bc:24:11:00:00:02 10.20.0.101 x *
";

    #[test]
    fn the_file_is_read_and_joined() {
        let leases = parse(FILE);
        assert_eq!((leases.all.len(), leases.v6), (5, 1));
        assert_eq!(leases.odd, ["half a li␛ne", "-5 bc:24:11:00:00:02 10.20.0.101 x *"]);
        let guests = [
            guest(101, "hostname: web\nnet0: name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:02,ip=dhcp"),
            guest(102, "hostname: wiki\nnet0: name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:01,ip=dhcp"),
            guest(108, "net0: name=eth0,hwaddr=BC:24:11:00:00:09"),
            guest(109, "net0: name=eth0,hwaddr=BC:24:11:00:00:09\nnet1: name=eth1,hwaddr=BC:24:11:00:00:09"),
        ];
        let now = Stamp::from_secs(1_795_195_000);
        let told = |guests: Option<&[Guest]>, d: Option<&Desired>| {
            let line = |r: &Row| {
                let odd: Vec<String> = r.odd.iter().map(|o| o.words().split([':', ' ']).next().unwrap().to_owned()).collect();
                let who = r.guest.as_ref().map_or("-".into(), |(_, t)| t.clone());
                format!("{} {who}{} {}", r.lease.address, if r.fixed { " fixed" } else { "" }, odd.join(","))
            };
            join(&leases, guests, d, now).iter().map(line).collect::<Vec<_>>()
        };
        let d = sample();
        assert_eq!(
            told(Some(&guests), Some(&d)),
            [
                "10.20.0.20 - duplicate,twice,expired,outside",
                "10.20.0.101 101 web ",
                "10.20.0.103 - stale",
                "10.20.0.104 - duplicate,twice",
                "10.20.0.117 102 wiki moved"
            ]
        );
        let mut aside = guests.to_vec();
        aside.push(guest(105, "hostname: web-105\nnet0: name=eth0,bridge=proximity-lan,hwaddr=BC:24:11:00:00:02,ip=dhcp,link_down=1"));
        assert_eq!(told(Some(&aside), Some(&d))[1], "10.20.0.101 101 web ", "who was put aside does not ask for it");
        assert!(told(None, None).iter().all(|l| !l.contains("stale")), "without guests nobody is gone");
        let mut half = guests.to_vec();
        half[0].conf_read = false;
        assert!(told(Some(&half), None).iter().all(|l| !l.contains("stale")));
        assert_eq!(pool(&leases, &d), Pool { used: 5, size: 151 }, "four lent in the range, one kept for wiki");
    }

    #[test]
    fn what_is_told_of_the_range_is_never_invented() {
        let of = |days: &[(i64, u32)], used| forecast(days, Pool { used, size: 100 }, 20_000).words();
        assert_eq!(of(&[], 5), "days left unknown: 0 of 3 days seen");
        assert_eq!(of(&[(19_999, 10), (20_000, 90)], 90), "days left unknown: 2 of 3 days seen");
        assert_eq!(
            of(&[(19_000, 1), (19_001, 2), (19_999, 10), (20_000, 12)], 12),
            "days left unknown: 2 of 3 days seen",
            "what is long past tells nothing"
        );
        assert_eq!(of(&[(19_998, 10), (19_999, 12), (20_000, 14)], 14), "full in ~43 days");
        assert_eq!(of(&[(19_998, 10), (19_999, 12), (20_000, 14)], 99), "full in ~1 day");
        assert_eq!(of(&[(19_971, 10), (19_980, 10), (20_000, 11)], 11), "not full within a year");
        assert_eq!(of(&[(19_998, 10), (19_999, 10), (20_000, 10)], 10), "not filling");
        assert_eq!(of(&[(19_998, 14), (19_999, 12), (20_000, 10)], 10), "not filling");
        assert_eq!(of(&[], 100), "full");
    }

    #[test]
    fn at_its_own_address_it_is_fixed() {
        let leases = parse("1795198786 bc:24:11:00:00:01 10.20.0.102 wiki *\n");
        assert!(join(&leases, None, Some(&sample()), Stamp::default())[0].fixed);
    }
}
