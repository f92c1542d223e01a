//! Guests: their ids, their states, what is known of each.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A VMID: 100 … 999,999,999, as Proxmox checks it (`[1-9][0-9]{2,8}`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Vmid(u32);

impl Vmid {
    /// That of the network appliance, unless it lives elsewhere.
    pub const APPLIANCE: Vmid = Vmid(9999);
}

impl TryFrom<u32> for Vmid {
    type Error = String;
    fn try_from(n: u32) -> Result<Self, String> {
        if (100..=999_999_999).contains(&n) { Ok(Vmid(n)) } else { Err(format!("a guest id is a number from 100 to 999999999, not {n}")) }
    }
}

impl From<Vmid> for u32 {
    fn from(v: Vmid) -> u32 {
        v.0
    }
}

impl FromStr for Vmid {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        let number = if digits { text.parse::<u32>().ok() } else { None };
        number
            .and_then(|n| Vmid::try_from(n).ok())
            .ok_or_else(|| format!("a guest id is a number from 100 to 999999999, not '{}'", super::clean::clean(text)))
    }
}

impl fmt::Display for Vmid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Container or virtual machine. Proximity drives containers; machines are only shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// LXC container.
    Lxc,
    /// QEMU virtual machine.
    Qemu,
}

/// Whether a guest runs. *Unknown* is an answer: it was asked and could not be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// Its init process is there.
    Running,
    /// It is not there.
    Stopped,
    /// Nobody could say.
    Unknown,
}

impl Power {
    /// The word on the screen and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Power::Running => "running",
            Power::Stopped => "stopped",
            Power::Unknown => "unknown",
        }
    }
}

/// One network interface of a guest, from its `netN` line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Nic {
    /// `net0`.
    pub key: String,
    /// Name inside, `eth0`.
    pub name: String,
    /// Bridge on the host.
    pub bridge: Option<String>,
    /// `dhcp`, `manual` or an address with prefix.
    pub ip: Option<String>,
    /// Hardware address, upper case.
    pub hwaddr: Option<String>,
    /// The whole value as it stands in the file.
    pub raw: String,
}

/// The line of an interface with its plug pulled.
pub fn unplugged(raw: &str) -> String {
    switched_on(raw, "link_down")
}

/// A line of a configuration with this switch on, whatever it was.
fn switched_on(raw: &str, key: &str) -> String {
    let words: Vec<&str> = raw.split(',').filter(|w| w.strip_prefix(key).is_none_or(|rest| !rest.starts_with('='))).collect();
    format!("{},{key}=1", words.join(","))
}

impl Nic {
    /// Whether its plug is pulled: it is on no bridge, whatever it is configured for.
    pub fn is_unplugged(&self) -> bool {
        self.raw.split(',').any(|part| part == "link_down=1")
    }
}

/// A volume or bind mount of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// `rootfs`, `mp0`, …
    pub key: String,
    /// Volume id, or the host's path for a bind mount.
    pub source: String,
    /// Where it appears inside.
    pub path: String,
    /// True for a path of the host.
    pub bind: bool,
    /// True where vzdump takes it in: rootfs always, others only with `backup=1` and never a bind mount.
    pub in_backup: bool,
    /// Configured size in bytes, where the line says it.
    pub size: Option<u64>,
    /// The whole value as it stands in the file.
    pub raw: String,
}

impl Mount {
    /// Whether nothing can be written there.
    pub fn is_read_only(&self) -> bool {
        self.raw.split(',').any(|part| part == "ro=1")
    }

    /// Its line, so that nothing can be written there.
    pub fn read_only(&self) -> String {
        switched_on(&self.raw, "ro")
    }
}

/// One guest as it is known now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guest {
    /// Its id.
    pub id: Vmid,
    /// Container or machine.
    pub kind: Kind,
    /// Node it lives on; `None` where nothing told.
    pub node: Option<String>,
    /// Its host name; `None` for a guest without one (Proxmox shows `CT<id>`).
    pub name: Option<String>,
    /// Whether it runs.
    pub power: Power,
    /// Configuration lock, such as `backup`; `None` when there is none. Only meaningful when `conf_read`.
    pub lock: Option<String>,
    /// Whether its configuration was read. When false, everything that stands there is unknown, not absent.
    pub conf_read: bool,
    /// Memory in use and limit, bytes.
    pub mem: Option<u64>,
    /// Configured memory in bytes.
    pub mem_max: Option<u64>,
    /// CPU time used since its start, microseconds.
    pub cpu_usec: Option<u64>,
    /// Seconds its init has been running.
    pub uptime_s: Option<u64>,
    /// Used and total bytes of its root disk, where something could tell.
    pub disk: Option<(u64, u64)>,
    /// Unprivileged (`Some(true)`), privileged, or not known.
    pub unprivileged: Option<bool>,
    /// Starts with the host.
    pub onboot: bool,
    /// Is a template.
    pub template: bool,
    /// Protected against removal.
    pub protection: bool,
    /// Operating system kind, `alpine`, `debian`, …
    pub ostype: Option<String>,
    /// Tags in order.
    pub tags: Vec<String>,
    /// Lines of its notes.
    pub notes: Vec<String>,
    /// Interfaces in order.
    pub nics: Vec<Nic>,
    /// Root disk and mount points in order.
    pub mounts: Vec<Mount>,
    /// Names of its snapshots.
    pub snapshots: Vec<String>,
    /// Lines of LXC's own that stand in its configuration, as they stand there: `lxc.mount.entry: …`.
    pub raw_lxc: Vec<String>,
    /// Devices of the host that it gets: paths.
    pub devices: Vec<String>,
    /// Lines of the configuration that could not be read.
    pub odd_lines: Vec<String>,
}

impl Guest {
    /// A guest of which only the id and kind are known.
    pub fn bare(id: Vmid, kind: Kind) -> Self {
        Guest {
            id,
            kind,
            node: None,
            name: None,
            power: Power::Unknown,
            lock: None,
            conf_read: false,
            mem: None,
            mem_max: None,
            cpu_usec: None,
            uptime_s: None,
            disk: None,
            unprivileged: None,
            onboot: false,
            template: false,
            protection: false,
            ostype: None,
            tags: Vec::new(),
            notes: Vec::new(),
            nics: Vec::new(),
            mounts: Vec::new(),
            snapshots: Vec::new(),
            raw_lxc: Vec::new(),
            devices: Vec::new(),
            odd_lines: Vec::new(),
        }
    }

    /// Its name as Proxmox shows it: the host name, else `CT101` or `VM101`.
    pub fn label(&self) -> String {
        match (&self.name, self.kind) {
            (Some(name), _) => super::clean::clean(name),
            (None, Kind::Lxc) => format!("CT{}", self.id),
            (None, Kind::Qemu) => format!("VM{}", self.id),
        }
    }

    /// `101 web`, the form in titles and messages.
    pub fn title(&self) -> String {
        format!("{} {}", self.id, self.label())
    }

    /// What a backup of this guest will not hold, one short line each.
    pub fn not_in_backup(&self) -> Vec<String> {
        let why = |m: &Mount| if m.bind { "bind mount" } else { "backup=0" };
        self.mounts.iter().filter(|m| !m.in_backup).map(|m| format!("{} ({} {})", super::clean::clean(&m.path), m.key, why(m))).collect()
    }
}

/// Splits `a=1,b=2,c` into pairs; a word without `=` gets the key `first`.
pub(super) fn pairs<'a>(value: &'a str, first: &'a str) -> BTreeMap<&'a str, &'a str> {
    value.split(',').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((first, p))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_as_proxmox_takes_them() {
        for ok in ["100", "101", "999999999"] {
            assert_eq!(ok.parse::<Vmid>().unwrap().to_string(), ok);
        }
        for bad in ["", "99", "0100", "1000000000", "-101", "101 ", "1e3", "--force", "10１"] {
            assert!(bad.parse::<Vmid>().is_err(), "{bad}");
        }
    }
}
