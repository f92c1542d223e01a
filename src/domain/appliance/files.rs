//! How the appliance should be, as its files: the same bytes for the same wish, with an ownership line and a format number
//! and without any time. What they say is typed ([`super::desired`]); no text of a user is quoted here, because none gets here.

use super::desired::{Desired, FORMAT, LAN, WAN};
use super::system::{Service, System};
use super::{CADDY_LOG, DNSMASQ_LOG, LEASES, nat};

/// One file of the appliance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Where it lies inside the appliance.
    pub path: &'static str,
    /// Its content.
    pub text: String,
    /// The service that reads it.
    pub read_by: Service,
}

/// Where dnsmasq's configuration lies, on both systems.
pub const DNSMASQ_CONF: &str = "/etc/dnsmasq.conf";
/// Where Caddy's base configuration lies, on both systems.
pub const CADDYFILE: &str = "/etc/caddy/Caddyfile";
/// Where sites lie that somebody wrote by hand; the base imports them, and nothing of Proximity touches them.
pub const SITES: &str = "/etc/caddy/apps";
/// Where what Proximity publishes lies: a folder for each version of it, whole, and [`CURRENT`].
pub const VERSIONS: &str = "/etc/caddy/proximity";
/// A link to the version that the base imports: all its sites take the place of others by one rename of this link.
pub const CURRENT: &str = "/etc/caddy/proximity/current";
/// The kernel's values, on both systems.
pub const SYSCTLS: &str = "/etc/sysctl.d/60-proximity.conf";
/// Caddy's administration, reachable from inside the appliance only.
pub const ADMIN: &str = "127.0.0.1:2019";
/// The label whose TXT record tells which configuration dnsmasq works by.
pub const IN_EFFECT: &str = "config-in-effect";

/// Where the appliance's own resolver stands: it asks itself, for Caddy reaches apps by their names. Proxmox writes this file at
/// each start, from the container's configuration and with marks of its own: so it is known by its lines, not by its bytes.
pub const RESOLVER: &str = "/etc/resolv.conf";

/// The one server in [`RESOLVER`].
pub const NAMESERVER: &str = "127.0.0.1";

/// [`RESOLVER`] as it is written while the appliance runs.
pub fn resolver(d: &Desired) -> String {
    format!("search {}\nnameserver {NAMESERVER}\n", d.domain)
}

/// All files, in the order in which they are written.
pub fn files(d: &Desired) -> Vec<Made> {
    let made = |path, text, read_by| Made { path, text: format!("{}{text}", owned(path)), read_by };
    let mut all = vec![
        made(SYSCTLS, sysctls(d), Service::Sysctl),
        made(d.system.rules_file(), nat::ruleset(d), Service::Rules),
        made(DNSMASQ_CONF, dnsmasq(d), Service::Dnsmasq),
        Made { path: CADDYFILE, text: base(), read_by: Service::Caddy },
    ];
    all.extend(d.system.own_files().iter().map(|(path, text, read_by)| made(path, (*text).into(), *read_by)));
    all
}

/// Where all files lie that are looked at: those of [`files`], in their order, and the resolver.
pub fn paths(system: System) -> Vec<&'static str> {
    let own = system.own_files().iter().map(|(path, _, _)| *path);
    [SYSCTLS, system.rules_file(), DNSMASQ_CONF, CADDYFILE].into_iter().chain(own).chain([RESOLVER]).collect()
}

/// Whether a file's text says that Proximity made it, and in which format.
pub fn made_by_us(text: &str) -> Option<u32> {
    text.strip_prefix(OWNED)?.split(',').next()?.parse().ok()
}

const OWNED: &str = "# Made by Proximity, format ";

fn owned(path: &str) -> String {
    format!("{OWNED}{FORMAT}, from its settings: {path}\n# A change by hand is shown as drift. See: proximity manual appliance\n")
}

/// The kernel's values. The appliance's own connections must not take a port that an app is to have: the kernel hands
/// out 32768–60999, and the internal ports lie in there (TRUST F16).
pub fn kernel(d: &Desired) -> [(&'static str, String); 2] {
    const EPHEMERAL: (u16, u16) = (32_768, 60_999);
    let meets = |(a, b): (u16, u16)| a <= EPHEMERAL.1 && b >= EPHEMERAL.0;
    let mut ranges = vec![d.internal];
    ranges.extend(meets(d.public).then_some(d.public));
    ranges.sort_unstable();
    let reserved: Vec<String> = ranges.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") }).collect();
    [("net.ipv4.ip_forward", "1".into()), ("net.ipv4.ip_local_reserved_ports", reserved.join(","))]
}

fn sysctls(d: &Desired) -> String {
    kernel(d).iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
}

/// dnsmasq(8). `bind-dynamic` rather than `bind-interfaces`: the latter fails where the interface comes up after it.
fn dnsmasq(d: &Desired) -> String {
    let body = dnsmasq_body(d);
    let (label, domain) = (IN_EFFECT, &d.domain);
    format!(
        "{body}# Which configuration it works by can be asked: it reads this file at its start only.\ntxt-record={label}.{domain},{}\n",
        digest(&body)
    )
}

/// The text of the TXT record at `config-in-effect.DOMAIN` while dnsmasq works by this configuration.
pub fn in_effect(d: &Desired) -> String {
    digest(&dnsmasq_body(d))
}

fn digest(body: &str) -> String {
    let hash = blake2b_simd::Params::new().hash_length(16).hash(body.as_bytes());
    format!("format-{FORMAT}-{}", hash.to_hex())
}

fn dnsmasq_body(d: &Desired) -> String {
    let Desired { gateway, domain, name, pool: (first, last), lease_s, .. } = d;
    let netmask = d.lan.netmask();
    let mut out = format!(
        "# Only for the apps, never on the way out.\ninterface={LAN}\nexcept-interface={WAN}\nbind-dynamic\n\
         # Names: those of apps from here, all others from upstream and from nowhere else.\n\
         no-resolv\nno-hosts\nno-poll\ndomain={domain}\nlocal=/{domain}/\ndomain-needed\nbogus-priv\ndns-loop-detect\n"
    );
    d.upstream.iter().for_each(|a| out.push_str(&format!("server={a}\n")));
    out.push_str(&format!("host-record={name}.{domain},{name},{gateway}\n"));
    d.records.iter().for_each(|(n, a)| out.push_str(&format!("host-record={n}.{domain},{n},{a}\n")));
    out.push_str(&format!(
        "# Addresses.\ndhcp-authoritative\ndhcp-range={first},{last},{netmask},{lease_s}\n\
         dhcp-option=option:router,{gateway}\ndhcp-option=option:dns-server,{gateway}\ndhcp-option=option:domain-search,{domain}\n\
         dhcp-leasefile={LEASES}\n\
         # An app called wpad would be everybody's proxy (CERT VU#598349).\ndhcp-name-match=set:wpad,wpad\ndhcp-ignore-names=tag:wpad\n"
    ));
    for client in &d.clients {
        let address = client.address.map_or(String::new(), |a| format!(",{a}"));
        let name = client.name.as_ref().map_or(String::new(), |n| format!(",{n}"));
        // A line with nothing but a hardware address says nothing.
        if !(address.is_empty() && name.is_empty()) {
            out.push_str(&format!("dhcp-host={}{address}{name}\n", client.mac));
        }
    }
    out.push_str(&format!("log-facility={DNSMASQ_LOG}\n"));
    if d.log_queries {
        out.push_str("log-queries\n");
    }
    out
}

/// Caddy's base configuration as it should be: the same everywhere.
pub fn base() -> String {
    format!("{}{}", owned(CADDYFILE), caddy())
}

/// The base. Sites written by hand say `import access` to be in the access log; the global `log` is Caddy's own.
fn caddy() -> String {
    let log: String = access_log(None).iter().map(|line| format!("\t{line}\n")).collect();
    format!(
        "{{\n\tadmin {ADMIN}\n\tauto_https off\n}}\n\n\
         # The access log of every site that imports it: JSON lines, rotated.\n\
         (access) {{\n{log}}}\n\n\
         # Sites made by hand, and those that Proximity publishes.\n\
         import apps/*.caddy\nimport proximity/current/*.caddy\n"
    )
}

/// What the lines of a site of ours are known by in the access log: the encoder calls the logger's name so. It is a constant of
/// the site and stands beside the request, so nothing that a visitor says can look like it. The name itself is no such thing,
/// for it is a number in the order of all sites; and the host is what the visitor says.
pub const NAME_KEY: &str = "port-";

/// The `log` of a site: JSON lines in the one access log, rotated. All sites that write to one file share what writes it
/// (Caddy: writers are one by their file). `port` is told in each line.
pub fn access_log(port: Option<u16>) -> Vec<String> {
    let lines = ["log {", "\toutput file {}", "\t\troll_size 10MiB", "\t\troll_keep 5", "\t\troll_keep_for 720h", "\t}"];
    let mut out: Vec<String> = lines.map(|line| line.replace("{}", &format!("{CADDY_LOG} {{"))).into();
    match port {
        Some(port) => out.extend(["\tformat json {".into(), format!("\t\tname_key {NAME_KEY}{port}"), "\t}".into()]),
        None => out.push("\tformat json".into()),
    }
    out.push("}".into());
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::desired::tests::{sample, settings};
    use super::super::desired::{Around, desired};
    use super::super::names::{Interface, Label, Mac, Name};
    use super::*;
    use crate::domain::guest::{Guest, Kind, Nic, Vmid};
    use crate::domain::settings::{Change, Key, Settings};

    fn golden(name: &str) -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/appliance/golden").join(name)
    }

    /// Compared with what stands beside; `PROXIMITY_GOLDEN=write` writes them anew, to be read before they are committed.
    #[test]
    fn files_are_what_they_were() {
        let mut alpine = sample();
        alpine.publish(&super::super::forward::tests::published());
        let mut debian = alpine.clone();
        debian.system = System::Debian;
        debian.log_queries = true;
        for (system, d) in [("alpine", alpine), ("debian", debian)] {
            for file in files(&d) {
                let path = golden(&format!("{system}{}", file.path.replace('/', "_")));
                if std::env::var("PROXIMITY_GOLDEN").is_ok_and(|v| v == "write") {
                    std::fs::write(&path, &file.text).unwrap();
                }
                assert_eq!(std::fs::read_to_string(&path).unwrap(), file.text, "{}", path.display());
                assert_eq!(made_by_us(&file.text), Some(FORMAT));
            }
        }
        assert_eq!([made_by_us(""), made_by_us("# Made by Proximity, format x"), made_by_us("interface=eth1")], [None; 3]);
    }

    #[test]
    fn ports_that_the_kernel_would_hand_out_are_kept_back() {
        let of = |public: &str, internal: &str| {
            let s = settings(&[("ports.public", public), ("ports.internal", internal)]);
            kernel(&desired(&s, None, &[], &Around::default()).unwrap())[1].1.clone()
        };
        assert_eq!(of("30000-30999", "40000-40999"), "40000-40999");
        assert_eq!(of("50000-50009", "20000-20009"), "20000-20009,50000-50009");
        assert_eq!(of("80-80", "8080-8080"), "8080");
    }

    #[test]
    fn the_digest_is_that_of_the_rest() {
        let (a, mut b) = (sample(), sample());
        assert!(files(&a)[2].text.contains(&in_effect(&a)));
        b.lease_s += 1;
        assert_ne!(in_effect(&a), in_effect(&b));
    }

    /// Every line that dnsmasq's file may hold, with what may stand behind its equals sign.
    fn harmless(line: &str) -> bool {
        let address = |t: &str| t.parse::<std::net::IpAddr>().is_ok();
        let name = |t: &str| Name::new(t).is_some();
        if line.starts_with("# ") {
            return line.is_ascii() && !line.contains('\r');
        }
        let Some((key, value)) = line.split_once('=') else {
            let flags = ["bind-dynamic", "no-resolv", "no-hosts", "no-poll", "domain-needed", "bogus-priv", "dns-loop-detect"];
            return flags.contains(&line) || ["dhcp-authoritative", "log-queries"].contains(&line);
        };
        let parts: Vec<&str> = value.split(',').collect();
        match key {
            "interface" | "except-interface" => Interface::new(value).is_some(),
            "domain" => name(value),
            "local" => value.strip_prefix('/').and_then(|v| v.strip_suffix('/')).is_some_and(name),
            "server" => address(value),
            "host-record" => parts.len() == 3 && name(parts[0]) && Label::new(parts[1]).is_some() && address(parts[2]),
            "dhcp-range" => parts.len() == 4 && parts[..3].iter().all(|p| address(p)) && parts[3].parse::<u64>().is_ok(),
            "dhcp-option" => parts.len() == 2 && (address(parts[1]) || parts[0] == "option:domain-search" && name(parts[1])),
            "dhcp-host" => Mac::new(parts[0]).is_some() && parts[1..].iter().all(|p| address(p) || Label::new(p).is_some()),
            "txt-record" => parts.len() == 2 && name(parts[0]) && parts[1].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
            "dhcp-name-match" => value == "set:wpad,wpad",
            "dhcp-ignore-names" => value == "tag:wpad",
            "dhcp-leasefile" => value == LEASES,
            "log-facility" => value == DNSMASQ_LOG,
            _ => false,
        }
    }

    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![
            ".*",
            "[a-z0-9-]{1,12}",
            "[a-z]{1,4}(\n|,|=|#|\\}|\t|/|\"|\\\\)[a-z-]{1,20}=?[a-z/]{0,9}",
            Just("x\nconf-script=/bin/true".to_owned()),
            Just("web,10.20.0.9".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn nothing_of_a_user_reaches_a_file_as_text(
            names in proptest::collection::vec((hostile(), hostile(), hostile(), 0u8..4), 0..6),
            own in hostile(), domain in hostile(), bridge in hostile(), upstream in hostile(),
        ) {
            let mut chosen: Vec<(Key, Change)> = Vec::new();
            for (key, text) in [("network.domain", &domain), ("network.lan_bridge", &bridge), ("network.upstream", &upstream)] {
                let key: Key = key.parse().unwrap();
                // What the settings refuse never gets to be one.
                if let Ok(value) = key.definition().parse(text) {
                    chosen.push((key, Change::Set(value)));
                }
            }
            let settings = Settings::default().with(chosen.iter().map(|(k, c)| (k, c)));
            let guests: Vec<Guest> = names.iter().enumerate().map(|(n, (name, mac, ip, kind))| Guest {
                name: Some(name.clone()),
                nics: vec![Nic {
                    key: "net0".into(),
                    bridge: Some("proximity-lan".into()),
                    hwaddr: Some(if *kind == 0 { mac.clone() } else { format!("BC:24:11:00:00:{n:02X}") }),
                    ip: Some(match kind { 1 => ip.clone(), 2 => "10.20.0.30/24".into(), _ => "dhcp".into() }),
                    ..Nic::default()
                }],
                ..Guest::bare(Vmid::try_from(101 + n as u32).unwrap(), Kind::Lxc)
            }).collect();
            let appliance = Guest { name: Some(own), ostype: Some("alpine".into()), ..Guest::bare(Vmid::try_from(9999).unwrap(), Kind::Lxc) };
            let Ok(d) = desired(&settings, Some(&appliance), &guests, &Around::default()) else { return Ok(()) };
            let made = files(&d);
            for line in made[2].text.lines() {
                prop_assert!(harmless(line), "{line:?}");
            }
            // The others hold addresses and numbers only: with the same ones they are the same files.
            let plain = desired(&Settings::default(), None, &[], &Around::default()).unwrap();
            let other = files(&plain);
            prop_assert_eq!((&made[0], &made[1], &made[3]), (&other[0], &other[1], &other[3]));
            for note in &d.notes {
                prop_assert!(!note.contains(char::is_control), "{note:?}");
            }
        }
    }
}
