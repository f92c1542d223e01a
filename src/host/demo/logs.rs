//! The logs of the simulated node: which line stands at which time is fixed by the clock alone, so that
//! everyone who follows a log sees the same lines, and nothing has to run while nobody follows.

use super::APPLIANCE;
use serde_json::json;

use super::node::{BOOT_ID, NAME, Node};
use crate::domain::appliance::files::NAME_KEY;
use crate::domain::appliance::{CADDY_LOG, DNSMASQ_LOG, LEASES};
use crate::domain::log_health::{Entry, Found};
use crate::domain::stamp::Stamp;
use crate::domain::storage::Space;

/// A log that lines are made for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Dnsmasq,
    Caddy,
    Journal,
    Postgres,
}

/// Further back nothing was logged.
const MEMORY_S: i64 = 6 * 3600;
/// Caddy's log is not there in the first seconds, and again for some in each period.
const GAP_S: i64 = 6;
const GAP_EVERY_S: i64 = 150;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Name, last part of its address, hardware address.
const HOSTS: [(&str, u32); 6] = [("web", 101), ("wiki", 102), ("nextcloud", 103), ("gitea", 104), ("db", 105), ("prox-appliance", 1)];

const NAMES: [&str; 8] = [
    "deb.debian.org",
    "dl-cdn.alpinelinux.org",
    "acme-v02.api.letsencrypt.org",
    "nextcloud.prox.local",
    "gitea.prox.local",
    "time.cloudflare.com",
    "registry.npmjs.org",
    "wiki.prox.local",
];

/// App, port, paths.
const APPS: [(&str, u32, [&str; 4]); 4] = [
    ("nextcloud", 30_017, ["/apps/dashboard/", "/ocs/v2.php/apps/notifications", "/remote.php/dav/files/ada/", "/status.php"]),
    ("gitea", 30_018, ["/explore/repos", "/ada/dotfiles.git/info/refs", "/user/login", "/api/healthz"]),
    ("wiki", 30_019, ["/start", "/lib/exe/css.php", "/howto:backup", "/feed.php"]),
    ("web", 30_020, ["/", "/style.css", "/favicon.ico", "/posts/2026/selfhosting"]),
];

/// Who, how important (syslog priority), what.
const JOURNAL: [(&str, u8, &str); 10] = [
    ("pvestatd", 4, "storage 'nas' is not online"),
    ("pvedaemon", 6, "<root@pam> successful auth for user 'root@pam'"),
    ("systemd", 6, "Starting pve-daily-update.service - Daily PVE download activities..."),
    ("kernel", 6, "proximity-lan: port 3(veth103i0) entered forwarding state"),
    ("pveproxy", 6, "worker 5000912 finished"),
    ("sshd", 6, "Accepted publickey for root from 192.168.1.20 port 50222 ssh2: ED25519"),
    ("pmxcfs", 5, "[status] notice: received log"),
    ("smartd", 6, "Device: /dev/sda [SAT], SMART Usage Attribute: 194 Temperature_Celsius changed from 66 to 65"),
    ("pvestatd", 4, "status update time (10.214 seconds)"),
    ("kernel", 3, "nfs: server 192.168.1.9 not responding, timed out"),
];

/// Spreads numbers so that neighbours have nothing in common (splitmix64).
fn mix(a: u64, b: u64) -> u64 {
    let mut z =
        a.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(b.wrapping_mul(0xD1B5_4A32_D192_ED03)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn pick<T: Copy>(from: &[T], by: u64) -> T {
    from[(by % from.len() as u64) as usize]
}

/// The times in milliseconds of the lines of one second.
fn times(source: Source, second: i64) -> Vec<i64> {
    let h = mix(second as u64, source as u64 + 1);
    let count = match source {
        Source::Journal => u64::from(h.is_multiple_of(3)),
        _ if h.is_multiple_of(29) => 16,
        _ => h % 6,
    };
    let mut times: Vec<i64> = (0..count).map(|n| second * 1000 + (mix(h, n) % 1000) as i64).collect();
    times.sort_unstable();
    times
}

/// Whether the log is there at this time. The broken thing of the Logs pane.
pub(super) fn there(node: &Node, source: Source, at: Stamp) -> bool {
    source != Source::Caddy || (at.secs() - node.seed.secs()).rem_euclid(GAP_EVERY_S) >= GAP_S
}

/// Lines after one time up to and with another.
pub(super) fn between(node: &Node, source: Source, from: Stamp, to: Stamp) -> Vec<String> {
    let from = Stamp(from.0.max(to.0 - MEMORY_S * 1000));
    let mut out = Vec::new();
    for second in from.secs()..=to.secs() {
        for (n, at) in times(source, second).into_iter().enumerate() {
            if at > from.0 && at <= to.0 && there(node, source, Stamp(at)) {
                out.push(line(node, source, Stamp(at), n as u64));
            }
        }
    }
    out
}

/// The last lines up to a time.
pub(super) fn last(node: &Node, source: Source, lines: usize, to: Stamp) -> Vec<String> {
    let mut from = to.secs();
    let mut found = 0;
    while found < lines && to.secs() - from < MEMORY_S {
        found += times(source, from).into_iter().filter(|at| *at <= to.0 && there(node, source, Stamp(*at))).count();
        from -= 1;
    }
    let mut all = between(node, source, Stamp::from_secs(from), to);
    all.split_off(all.len().saturating_sub(lines))
}

/// The end of Caddy's access log: what was written within an hour, at most so many bytes.
pub(super) fn last_hour(node: &Node, most: usize) -> String {
    let now = node.now();
    let text: String = between(node, Source::Caddy, Stamp(now.0 - 3_600_000), now).iter().map(|line| format!("{line}\n")).collect();
    text.get(text.len().saturating_sub(most)..).unwrap_or_default().to_owned()
}

/// When the next line comes.
pub(super) fn next(source: Source, after: Stamp) -> Stamp {
    let mut seconds = after.secs()..after.secs() + 60;
    let found = seconds.find_map(|s| times(source, s).into_iter().find(|at| *at > after.0));
    Stamp(found.unwrap_or(after.0 + 60_000))
}

fn line(node: &Node, source: Source, at: Stamp, n: u64) -> String {
    let h = mix(at.secs() as u64, source as u64 + 17);
    match source {
        Source::Dnsmasq => dnsmasq(node, at, mix(h, n / 3), n % 3),
        Source::Caddy => caddy(at, mix(h, n)),
        Source::Journal => journal(at, h),
        Source::Postgres => postgres(at, mix(h, n)),
    }
}

fn syslog_time(node: &Node, at: Stamp) -> String {
    let (_, mo, d, h, mi, s) = at.civil(node.offset_s);
    format!("{} {d:2} {h:02}:{mi:02}:{s:02}", MONTHS[usize::from(mo.clamp(1, 12)) - 1])
}

/// A question, what becomes of it, its answer; or one step of a lease.
fn dnsmasq(node: &Node, at: Stamp, h: u64, step: u64) -> String {
    let time = syslog_time(node, at);
    let (host, end) = pick(&HOSTS[..5], h >> 8);
    let (ip, mac) = (format!("10.20.0.{end}"), format!("bc:24:11:00:00:{end:02x}"));
    if h.is_multiple_of(5) {
        let text = match step {
            0 => format!("DHCPDISCOVER(eth1) {mac}"),
            1 => format!("DHCPREQUEST(eth1) {ip} {mac}"),
            _ => format!("DHCPACK(eth1) {ip} {mac} {host}"),
        };
        return format!("{time} dnsmasq-dhcp[212]: {text}");
    }
    let name = pick(&NAMES, h >> 16);
    let local = HOSTS.iter().find(|(h, _)| name.strip_suffix(".prox.local") == Some(h));
    let answer = local.map_or_else(|| format!("151.101.{}.{}", h >> 24 & 255, h >> 32 & 255), |(_, e)| format!("10.20.0.{e}"));
    let text = match (step, local) {
        (0, _) => format!("query[{}] {name} from {ip}", if h % 7 == 1 { "AAAA" } else { "A" }),
        (1, None) => format!("forwarded {name} to 1.1.1.1"),
        (2, None) if h % 11 == 3 => format!("reply {name} is NXDOMAIN"),
        (2, None) => format!("reply {name} is {answer}"),
        _ => format!("DHCP {name} is {answer}"),
    };
    format!("{time} dnsmasq[212]: {text}")
}

fn caddy(at: Stamp, h: u64) -> String {
    let (app, port, paths) = pick(&APPS, h >> 8);
    let uri = pick(&paths, h >> 12);
    let status = match h % 40 {
        0..=3 => 304,
        4..=5 => 404,
        6 => 401,
        // The app answers wrongly every now and then: the finding an operator looks for.
        _ if app == "nextcloud" && h.is_multiple_of(3) => 502,
        _ => 200,
    };
    let (level, msg) = if status >= 500 { ("error", "handled request") } else { ("info", "handled request") };
    let remote = format!("192.168.1.{}", 20 + h % 9);
    let agent = pick(
        &[
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Nextcloud-android/3.33.0",
            "git/2.47.3",
            "curl/8.14.1",
        ],
        h >> 20,
    );
    let method = if h.is_multiple_of(13) { "POST" } else { "GET" };
    let key = format!("{NAME_KEY}{port}");
    let duration = if status == 502 { 0.0119 } else { (h >> 28 & 0xFFFF) as f64 / 4e5 };
    json!({
        "level": level, "ts": at.0 as f64 / 1000.0, key: "http.log.access.log0", "msg": msg,
        "request": {"remote_ip": remote, "remote_port": (40_000 + h % 20_000).to_string(), "client_ip": remote, "proto": "HTTP/2.0", "method": method,
            "host": format!("{app}.prox.local:{port}"), "uri": uri, "headers": {"User-Agent": [agent]}},
        "bytes_read": 0, "user_id": "", "duration": duration, "size": if status == 200 { h >> 40 & 0xFFFF } else { 0 }, "status": status,
        "resp_headers": {"Server": ["Caddy"]}
    })
    .to_string()
}

fn journal(at: Stamp, h: u64) -> String {
    let (who, priority, text) = pick(&JOURNAL, h >> 8);
    json!({
        "__CURSOR": format!("s=demo;i={:x};b={};t={:x}", at.0, BOOT_ID.replace('-', ""), at.0 * 1000),
        "__REALTIME_TIMESTAMP": (at.0 * 1000).to_string(), "_BOOT_ID": BOOT_ID.replace('-', ""), "_HOSTNAME": NAME, "_PID": (5_000_000 + h % 9000).to_string(),
        "_TRANSPORT": if who == "kernel" { "kernel" } else { "syslog" }, "PRIORITY": priority.to_string(), "SYSLOG_IDENTIFIER": who, "MESSAGE": text
    })
    .to_string()
}

/// A database that logs every statement, which somebody once switched on to look for something.
fn postgres(at: Stamp, h: u64) -> String {
    let time = at.rfc3339().replace('T', " ").replace('Z', &format!(".{:03} UTC", at.0.rem_euclid(1000)));
    let said = match h % 23 {
        0 => "ERROR:  canceling statement due to lock timeout".to_owned(),
        1 => format!("LOG:  checkpoint complete: wrote {} buffers", 20 + h % 900),
        _ => format!("LOG:  statement: SELECT * FROM oc_filecache WHERE fileid = {}", h >> 40),
    };
    format!("{time} [{}] nextcloud@nextcloud {said}", 800 + (h >> 8) % 40)
}

/// The database's log, in guest 105: begun weeks ago and never put away. The broken thing among the logs as files.
pub(super) const POSTGRES: (u32, &str) = (105, "/var/log/postgresql/postgresql-17-main.log");

/// The logs of the node or of a guest that runs, as they lie there.
pub(super) fn files(node: &Node, guest: Option<u32>) -> Option<Found> {
    let now = node.now();
    let ago = |s: i64| Stamp(now.0 - s * 1000);
    let file =
        |path: &str, size: u64, modified: Stamp, days: i64| Entry { path: path.into(), size, modified, born: Some(ago(days * 86_400)) };
    let Some(id) = guest else {
        let files = vec![file("/var/log/syslog", 3 << 20, ago(20), 5), file("/var/log/syslog.1", 9 << 20, ago(5 * 86_400), 12)];
        let (total, used) = super::storage::ROOT;
        return Some(Found { files, space: Space { total, used, avail: total - used }, left_out: 0 });
    };
    let g = node.guests.get(&id).filter(|g| !g.qemu && g.init.is_some())?;
    let mut files = vec![file("/var/log/messages", 400 << 10, ago(300), 6), file("/var/log/messages.0", 900 << 10, ago(6 * 86_400), 20)];
    if id == APPLIANCE {
        files.push(file(DNSMASQ_LOG, 2 << 20, ago(1), 2));
        files.push(file(CADDY_LOG, 7 << 20, ago(1), 1));
        files.push(file(LEASES, 400, ago(90), 60));
    }
    if id == POSTGRES.0 {
        // About what its statements take.
        let grown = u64::try_from(now.secs() - node.seed.secs()).unwrap_or(0) * 300;
        files.push(file(POSTGRES.1, (1900 << 20) + grown, ago(1), 47));
    }
    let (total, used) = (g.disk(), g.used);
    Some(Found { files, space: Space { total, used, avail: total.saturating_sub(used) }, left_out: 0 })
}

/// dnsmasq's leases: each is renewed every half hour.
pub(super) fn leases(node: &Node) -> String {
    let now = node.now().secs();
    let running = HOSTS[..5].iter().filter(|(_, id)| node.guests.get(id).is_some_and(|g| g.init.is_some()));
    running
        .map(|(name, id)| {
            let renewed = now - (now + i64::from(*id) * 97).rem_euclid(1800);
            format!("{} bc:24:11:00:00:{id:02x} 10.20.0.{id} {name} 01:bc:24:11:00:00:{id:02x}\n", renewed + 3600)
        })
        .collect()
}
