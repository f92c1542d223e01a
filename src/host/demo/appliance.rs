//! The appliance of the simulated node: what it answers when it is probed and changed. All is as the default settings want it,
//! but that the internal ports were forgotten in the kernel's values.

use super::APPLIANCE;
use std::collections::BTreeMap;

use super::logs;
use super::node::{Guest, Node, text_of};
use super::words::Reply;
use crate::domain::appliance::desired::{Around, Desired, desired};
use crate::domain::appliance::judge::FAR_NAME;
use crate::domain::appliance::{CADDY_LOG, LEASES, files, nat, tar};
use crate::domain::conf::parse_lxc;
use crate::domain::guest::Vmid;
use crate::domain::interfaces::Interfaces;
use crate::domain::settings::Settings;

/// The node's own network file.
pub(super) const INTERFACES: &str = "auto lo\niface lo inet loopback\n\niface eno1 inet manual\n\nauto vmbr0\niface vmbr0 inet static\n\taddress 192.168.1.10/24\n\tgateway 192.168.1.1\n\tbridge-ports eno1\n\tbridge-stp off\n\tbridge-fd 0\n\nauto proximity-lan\niface proximity-lan inet manual\n\tbridge-ports none\n\tbridge-stp off\n\tbridge-fd 0\n\tipv6-addrgen off\n#proximity: network of the apps\n\nsource /etc/network/interfaces.d/*\n";

/// Interfaces as `ip -j link show` tells them, of the appliance; an app has the first of them.
const LINKS: &str = "[{\"ifname\":\"eth0\",\"mtu\":1500},{\"ifname\":\"eth1\",\"mtu\":1500}]\n";

/// What Caddy works by: two sites.
const CONFIG: &str = concat!(
    r#"{"admin":{"listen":"127.0.0.1:2019"},"apps":{"http":{"servers":{"#,
    r#""srv0":{"listen":[":30001"]},"srv1":{"listen":[":30002"]}}}}}"#,
    "\n"
);

fn wish(node: &Node) -> Option<Desired> {
    let containers = node.guests.iter().filter(|(_, g)| !g.qemu);
    let guests: Vec<_> = containers.filter_map(|(id, g)| Some(parse_lxc(Vmid::try_from(*id).ok()?, &text_of(&g.conf)))).collect();
    let addresses = Interfaces::parse(INTERFACES).bridges().into_iter().filter(|b| b.name == "vmbr0").flat_map(|b| b.addresses);
    let guarded = addresses.filter_map(|a| a.split('/').next()?.parse().ok()).collect();
    let appliance = guests.iter().find(|g| u32::from(g.id) == APPLIANCE);
    desired(&Settings::default(), appliance, &guests, &Around { guarded, ..Around::default() }).ok()
}

/// What somebody changed in the appliance, from how it is at first.
#[derive(Default)]
pub(super) struct Edge {
    /// Files by path; `None` for one that was removed.
    files: BTreeMap<String, Option<Vec<u8>>>,
    /// The configuration dnsmasq was restarted with.
    in_effect: Option<String>,
    /// The kernel keeps the internal ports back.
    reserved: bool,
}

/// What a program of the node answers that is there for the appliance's sake.
pub(super) fn of_the_node(program: &str, args: &[String]) -> Reply {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match (program, words.as_slice()) {
        ("ip", ["-j", "-4", "route", "show"]) => {
            Reply::ok("[{\"dst\":\"default\",\"dev\":\"vmbr0\"},{\"dst\":\"192.168.1.0/24\",\"dev\":\"vmbr0\"}]\n")
        }
        ("ip", ["-o", "address", "show", "dev", "proximity-lan"]) => Reply::ok(""),
        ("systemctl", ["show", ..]) => Reply::ok("inactive\n"),
        ("systemctl", ["is-active", ..]) => Reply { status: 3, ..Reply::default() },
        ("ls", [path]) if path.starts_with("/sys/class/net/proximity-lan/") => Reply::ok(format!("{path}\n")),
        _ => Reply::fail(1, format!("{program}: not in the demo")),
    }
}

/// A file of the appliance as it is now.
fn file(node: &Node, d: &Desired, path: &str) -> Option<Vec<u8>> {
    if let Some(changed) = node.edge.borrow().files.get(path) {
        return changed.clone();
    }
    let text = match files::files(d).into_iter().find(|m| m.path == path) {
        Some(made) => made.text,
        None if path == LEASES => logs::leases(node),
        None if path == files::RESOLVER => files::resolver(d),
        None => return None,
    };
    Some(text.into_bytes())
}

/// Programs that change the appliance, or would refuse to.
fn changed(node: &Node, d: &Desired, program: &str, words: &[&str]) -> Option<Reply> {
    let done = || Some(Reply::ok(""));
    match (program, words) {
        ("tar", ["-C", "/", "-xpf", "-"]) => {
            let Ok(members) = tar::members(&node.stdin) else { return Some(Reply::fail(2, "tar: This does not look like a tar archive")) };
            node.edge.borrow_mut().files.extend(members.into_iter().map(|m| (m.path, m.bytes)));
            done()
        }
        ("mv", ["-f", "--", from, to]) => {
            let Some(bytes) = file(node, d, from) else {
                return Some(Reply::fail(1, format!("mv: cannot stat '{from}': No such file or directory")));
            };
            node.edge.borrow_mut().files.extend([((*from).to_owned(), None), ((*to).to_owned(), Some(bytes))]);
            done()
        }
        ("rm", ["-f", "--", path]) => {
            node.edge.borrow_mut().files.insert((*path).to_owned(), None);
            done()
        }
        ("rc-service", ["dnsmasq", "restart"]) => {
            let text = file(node, d, files::DNSMASQ_CONF).map(|b| String::from_utf8_lossy(&b).into_owned());
            let told =
                text.as_deref().and_then(|t| t.lines().find_map(|l| Some(l.strip_prefix("txt-record=")?.split_once(',')?.1.to_owned())));
            node.edge.borrow_mut().in_effect = told;
            done()
        }
        ("sysctl", ["-q", "-p", ..]) => {
            node.edge.borrow_mut().reserved = true;
            done()
        }
        ("find", [.., "access.log", "-type", "f"]) => Some(Reply::ok(format!("{CADDY_LOG}\n"))),
        ("which" | "find" | "mkdir" | "test" | "sync" | "rc-update" | "iptables-restore", _) => done(),
        ("dnsmasq", ["--test", ..]) | ("caddy", ["validate" | "reload", ..]) | ("rc-service", [_, "restart"]) => done(),
        ("rc-status", ["-r"]) => Some(Reply::ok("default\n")),
        ("grep", ["^nameserver", files::RESOLVER]) => {
            let text = file(node, d, files::RESOLVER).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
            Some(Reply::ok(text.lines().filter(|l| l.starts_with("nameserver")).map(|l| format!("{l}\n")).collect::<String>()))
        }
        ("ip", ["-4", "route", "show", "default"]) => Some(Reply::ok("default via 192.168.1.1 dev eth0\n")),
        ("ip", ["-4", "-o", "address", ..]) => {
            Some(Reply::ok(format!("3: eth1 inet {}/{} scope global eth1\n", d.gateway, d.lan.prefix_len())))
        }
        _ => None,
    }
}

/// What a program inside the appliance answers; `None` for one that is not played here.
pub(super) fn inside(node: &Node, guest: &Guest, program: &str, args: &[String]) -> Option<Reply> {
    let d = wish(node)?;
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if let Some(reply) = changed(node, &d, program, &words) {
        return Some(reply);
    }
    match (program, words.as_slice()) {
        // Nothing of it was put away yet.
        ("tail", [most, CADDY_LOG]) => {
            let most = most.trim_start_matches(['-', 'c']).parse();
            Some(Reply::ok(logs::last_hour(node, most.unwrap_or(0))))
        }
        ("ls", ["-1", folder]) if CADDY_LOG.starts_with(folder) => Some(Reply::ok("access.log\n")),
        // Everything that is asked for is there.
        ("ls", ["-d", paths @ ..]) => Some(Reply::ok(paths.iter().map(|p| format!("{p}\n")).collect::<String>())),
        ("stat", ["-c%f %U %n", folder, file]) => Some(Reply::ok(format!("41ed caddy {folder}\n8180 caddy {file}\n"))),
        ("rc-service", [_, "status"]) => Some(Reply::ok(" * status: started\n")),
        ("busybox", ["nslookup", .., name, _]) => Some(nslookup(node, &d, name, args.iter().any(|a| a == "-type=txt"))),
        ("busybox", ["wget", ..]) | ("caddy", ["adapt", ..]) => Some(Reply::ok(CONFIG)),
        // Its file is loaded as soon as it is written.
        ("iptables-save", []) => {
            let rules =
                file(node, &d, d.system.rules_file()).map_or_else(|| nat::ruleset(&d), |b| String::from_utf8_lossy(&b).into_owned());
            Some(Reply::ok(format!("# Generated by iptables-save v1.8.11 (nf_tables)\n{rules}")))
        }
        ("sysctl", keys) => {
            let reserved = node.edge.borrow().reserved;
            let value = |key: &str| files::kernel(&d).into_iter().find(|(k, _)| *k == key && (reserved || k.ends_with("ip_forward")));
            Some(Reply::ok(keys.iter().map(|k| format!("{k} = {}\n", value(k).map_or(String::new(), |(_, v)| v))).collect::<String>()))
        }
        ("date", ["+%s"]) => Some(Reply::ok(format!("{}\n", node.now().secs()))),
        ("df", _) => {
            let (all, used) = (guest.disk() >> 10, guest.used >> 10);
            let head = "Filesystem           1024-blocks    Used Available Capacity Mounted on";
            Some(Reply::ok(format!(
                "{head}\n/dev/mapper/pve-vm--9999--disk--0 {all} {used} {} {}% /\n",
                all - used,
                used * 100 / all.max(1)
            )))
        }
        ("tar", ["-C", "/", "-cf", "-", paths @ ..]) => Some(archive(node, &d, paths)),
        _ => None,
    }
}

fn nslookup(node: &Node, d: &Desired, name: &str, text: bool) -> Reply {
    let head = format!("Server:\t\t{}\nAddress:\t{}:53\n\n", d.gateway, d.gateway);
    let host = name.strip_suffix(&format!(".{}", d.domain)).unwrap_or(name);
    let leases = logs::leases(node);
    let lent = leases.lines().map(|l| l.split(' ').collect::<Vec<_>>()).find(|w| w.get(3) == Some(&host)).map(|w| w[2].to_owned());
    let address = match host {
        FAR_NAME => Some("51.91.38.34".to_owned()),
        _ if host == d.name.to_string() => Some(d.gateway.to_string()),
        _ => lent,
    };
    match address {
        _ if text && host == files::IN_EFFECT => {
            let told = node.edge.borrow().in_effect.clone().unwrap_or_else(|| files::in_effect(d));
            Reply::ok(format!("{head}{name}\ttext = \"{told}\"\n"))
        }
        Some(address) => Reply::ok(format!("{head}Name:\t{name}\nAddress: {address}\n\n")),
        None => Reply { status: 1, out: format!("{head}** server can't find {name}: NXDOMAIN\n\n"), err: String::new() },
    }
}

/// An archive as tar writes it; a path that is not there is left out and makes it fail.
fn archive(node: &Node, d: &Desired, paths: &[&str]) -> Reply {
    let mut reply = Reply::default();
    for path in paths {
        let Some(bytes) = file(node, d, &format!("/{path}")) else {
            reply.status = 1;
            reply.err += &format!("tar: {path}: No such file or directory\n");
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        let head = |sum: &str| format!("{path:\0<100}0000644\00000000\00000000\0{:011o}\000000000000\0{sum:<8}0{:\0<355}", text.len(), "");
        let sum: u32 = head("").bytes().map(u32::from).sum();
        let room = text.len().next_multiple_of(512) - text.len();
        reply.out += &format!("{}{text}{}", head(&format!("{sum:06o}\0 ")), "\0".repeat(room));
    }
    reply.out += &"\0".repeat(1024);
    reply
}

/// `nsenter --net=/proc/PID/ns/net -- busybox …`: a question from the network of an app.
pub(super) fn nsenter(node: &Node, args: &[String]) -> Reply {
    let pid = args.first().and_then(|a| a.strip_prefix("--net=/proc/")?.strip_suffix("/ns/net")?.parse::<u32>().ok());
    let app = node.guests.iter().find(|(_, g)| pid.is_some() && g.init.as_ref().map(|i| i.pid) == pid);
    let Some((id, guest)) = app else { return Reply::fail(1, "nsenter: cannot open the network namespace: No such file or directory") };
    let words: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["--", "ip", "-j", "link", "show"] => Reply::ok(LINKS),
        // The appliance answers by whoever's program it is asked.
        ["--setuid=65534", "--setgid=65534", "--", program, ..] if *id == APPLIANCE && !words.contains(&"timeout") => {
            inside(node, guest, program, &args[5..])
                .unwrap_or_else(|| Reply::fail(127, "nsenter: failed to execute: No such file or directory"))
        }
        ["--", "busybox", "udhcpc", ..] => {
            Reply::ok("").with_err(&format!("udhcpc: lease of 10.20.0.{id} obtained from 10.20.0.1, lease time 43200"))
        }
        ["--setuid=65534", "--setgid=65534", "--", "timeout", "--foreground", "5", "busybox", "wget", ..] => {
            Reply::ok("").with_err("  HTTP/1.1 200 OK")
        }
        ["--", "busybox", "nc", "-w", "1", _, "53", ..] => Reply::ok(""),
        ["--", "busybox", "nc", "-w", "1", address, ..] => {
            Reply::fail(1, format!("nc: can't connect to remote host ({address}): Connection refused"))
        }
        _ => Reply::fail(127, "nsenter: failed to execute: No such file or directory"),
    }
}
