//! Answers → lamps. Every verdict comes from an exit status, a number or a parsed answer; what was not answered is unknown.
//!
//! `outside.rs` judges what the host tells, `network.rs` what apps get, `mtu.rs` how large a packet may be, `inside.rs` what
//! lies and runs in the appliance, `stays.rs` what keeps it so, `sites.rs` what people get who come in.

mod inside;
pub mod mtu;
mod network;
mod outside;
pub mod sites;
pub mod stays;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use super::answer::{Asked, Gave};
use super::desired::Desired;
use super::lamp::{Evidence, LAMPS, Lamp, Light};
use crate::domain::clean::clean;
use crate::domain::guest::{Guest, Vmid};
use crate::domain::stamp::Stamp;

/// The name that is asked for to see whether upstream answers: one that every Proxmox host asks for itself.
pub const FAR_NAME: &str = "download.proxmox.com";

/// A label that is no app's, to see whether the appliance says so.
pub const NO_NAME: &str = "no-such-app-here";

/// What the host tells of the bridge of the apps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeSeen {
    /// Whether it is switched on; `None` where there is no such interface.
    pub up: Option<bool>,
    /// What is plugged in.
    pub ports: Vec<String>,
    /// Whether the files of the host bring it up at boot; else why that cannot be told.
    pub persisted: Result<bool, String>,
    /// Whether changes of the network wait to be applied.
    pub staged: bool,
    /// What the host itself has on it: addresses of IPv6, networks of IPv4; else why that cannot be told.
    pub own: Result<Vec<String>, String>,
}

/// What the container's control group tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySeen {
    /// Bytes in use, without what could be given back at once.
    pub used: u64,
    /// Bytes allowed.
    pub limit: u64,
    /// Processes that were killed for want of memory since the start; `None` where the kernel does not count.
    pub killed: Option<u64>,
}

/// Everything that was asked.
#[derive(Debug, Clone)]
pub struct Answers {
    /// The guests of the host.
    pub guests: Asked<Vec<Guest>>,
    /// Whether a guest that is not in the list is certainly not there.
    pub guests_whole: bool,
    /// The bridge of the apps.
    pub bridge: Asked<BridgeSeen>,
    /// MTUs of what [`mtu::on_host`] names, in that order; `None` for what is not there.
    pub links: Asked<Vec<(String, Option<u32>)>>,
    /// The appliance's own interfaces.
    pub own_links: Asked<Gave>,
    /// An app's, with the name of the one on the bridge; nothing where no app runs.
    pub app_links: Option<(String, Asked<Gave>)>,
    /// Status of dnsmasq.
    pub dnsmasq: Asked<Gave>,
    /// Status of Caddy.
    pub caddy: Asked<Gave>,
    /// Its own name.
    pub own_name: Asked<Gave>,
    /// [`FAR_NAME`].
    pub far_name: Asked<Gave>,
    /// [`NO_NAME`].
    pub no_name: Asked<Gave>,
    /// The TXT record of the configuration in effect.
    pub in_effect: Asked<Gave>,
    /// Who asked in the place of apps: `a running app`, `a visitor`.
    pub who: &'static str,
    /// A DISCOVER from there.
    pub dhcp: Asked<Gave>,
    /// `iptables-save`.
    pub rules: Asked<Gave>,
    /// The same of the old backend.
    pub old_rules: Asked<Gave>,
    /// The kernel's values.
    pub kernel: Asked<Gave>,
    /// A connection from there to upstream.
    pub way_out: Asked<Gave>,
    /// Connections from there to the node.
    pub guarded: Vec<Asked<Gave>>,
    /// Caddy's running configuration, asked inside.
    pub admin: Asked<Gave>,
    /// What came back from each place where Caddy listens.
    pub sites: Vec<(SocketAddr, Asked<Gave>)>,
    /// A connection from there to Caddy's administration.
    pub admin_outside: Asked<Gave>,
    /// What Caddy's files would make.
    pub adapted: Asked<Gave>,
    /// What starts with the appliance.
    pub boot: Asked<Gave>,
    /// Owner and mode of Caddy's access log.
    pub access_log: Asked<Gave>,
    /// The files, as an archive.
    pub files: Asked<Gave>,
    /// Seconds since 1970 by the appliance.
    pub clock: Asked<Gave>,
    /// The host's clock just before and just after that.
    pub clock_between: (Stamp, Stamp),
    /// `df -kP /`.
    pub disk: Asked<Gave>,
    /// Memory.
    pub memory: Asked<MemorySeen>,
}

/// All lamps, in the order of [`LAMPS`].
pub fn judge(wish: &Result<Desired, Vec<String>>, a: &Answers, vmid: Vmid) -> Vec<Lamp> {
    let told = LAMPS.map(|(name, _)| {
        let verdict = match name {
            "container" => outside::container(a, vmid),
            "bridge" => outside::bridge(wish, a, vmid),
            "mtu" => mtu::mtu(wish, a),
            "dnsmasq" => inside::service(wish, &a.dnsmasq),
            "dhcp" => network::dhcp(wish, a),
            "dns" => network::dns(wish, a),
            "caddy" => inside::caddy(wish, a),
            "sites" => sites::sites(a),
            "admin" => network::admin(a),
            "access-log" => stays::access_log(a),
            "nat" => network::nat(wish, a),
            "forwarding" => inside::forwarding(a),
            "way-out" => network::way_out(a),
            "isolation" => network::isolation(a),
            "ports" => inside::ports(wish, a),
            "config" => inside::config(wish, a, vmid),
            "boot" => stays::boot(wish, a, vmid),
            "clock" => inside::clock(a),
            "disk" => inside::disk(a),
            "memory" => outside::memory(a),
            _ => Verdict::unknown("nobody judges this lamp", Vec::new()),
        };
        Lamp { name, light: verdict.light, says: clean(&verdict.says), evidence: verdict.evidence }
    });
    told.into()
}

/// What a judge says.
struct Verdict {
    light: Light,
    says: String,
    evidence: Vec<Evidence>,
}

impl Verdict {
    fn new(light: Light, says: impl Into<String>, evidence: Vec<Evidence>) -> Verdict {
        Verdict { light, says: says.into(), evidence }
    }
    fn pass(says: impl Into<String>, evidence: Vec<Evidence>) -> Verdict {
        Verdict::new(Light::Pass, says, evidence)
    }
    fn warn(says: impl Into<String>, evidence: Vec<Evidence>) -> Verdict {
        Verdict::new(Light::Warn, says, evidence)
    }
    fn fail(says: impl Into<String>, evidence: Vec<Evidence>) -> Verdict {
        Verdict::new(Light::Fail, says, evidence)
    }
    fn unknown(says: impl Into<String>, evidence: Vec<Evidence>) -> Verdict {
        Verdict::new(Light::Unknown, says, evidence)
    }
    /// Unknown since the wish is: settings that cannot be used.
    fn no_wish(why: &[String]) -> Verdict {
        Verdict::unknown(format!("how it should be is not known: {}", why.join("; ")), Vec::new())
    }
    /// The worst of several; all that is not well is said.
    fn worst(parts: Vec<Verdict>) -> Verdict {
        let light = parts.iter().map(|p| p.light).max().unwrap_or(Light::Unknown);
        let says: Vec<&str> = parts.iter().filter(|p| light == Light::Pass || p.light != Light::Pass).map(|p| p.says.as_str()).collect();
        let says = says.join("; ");
        Verdict { light, says, evidence: parts.into_iter().flat_map(|p| p.evidence).collect() }
    }
}

/// The answer of a command that ran; else the verdict that nothing is known.
fn answered<'a>(asked: &'a Asked<Gave>, what: &str) -> Result<&'a Gave, Verdict> {
    match &asked.answer {
        // 126 and 127 are the words of whoever was to start it: not executable, not there. Above 128 a signal ended it.
        Ok(gave) if (0..126).contains(&gave.status) => Ok(gave),
        Ok(gave) => {
            let why = format!("{what} could not be asked: the program could not be started, or was ended (status {})", gave.status);
            Err(Verdict::unknown(why, vec![Evidence::of(asked)]))
        }
        Err(why) => Err(Verdict::unknown(format!("{what} could not be asked: {why}"), vec![Evidence::of(asked)])),
    }
}

/// The answer of a command that succeeded.
fn succeeded<'a>(asked: &'a Asked<Gave>, what: &str) -> Result<&'a Gave, Verdict> {
    let gave = answered(asked, what)?;
    if gave.status == 0 {
        return Ok(gave);
    }
    let why = format!("{what} could not be told: the question failed with status {}", gave.status);
    Err(Verdict::unknown(why, vec![Evidence::of(asked)]))
}
