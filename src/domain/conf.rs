//! Reads `/etc/pve/lxc/NNN.conf` and its like (facts: PVE::LXC::Config, pct.conf(5)).
//!
//! Tolerant: what is not understood is kept as an odd line, never a reason to lose the guest.

use super::guest::{Guest, Kind, Mount, Nic, Vmid, pairs};
use super::pve::decoded;

/// Fills a guest from the text of its configuration. Snapshot sections only give their names;
/// pending changes are not merged: what is told is what holds now.
pub fn parse_lxc(id: Vmid, text: &str) -> Guest {
    let mut guest = Guest { conf_read: true, unprivileged: Some(false), ..Guest::bare(id, Kind::Lxc) };
    let mut in_main = true;
    for line in text.lines() {
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        if let Some(note) = line.strip_prefix('#') {
            // Those of a snapshot are its own.
            guest.notes.extend(in_main.then(|| String::from_utf8_lossy(&decoded(note)).into_owned()));
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            in_main = false;
            if !section.starts_with("pve:") {
                guest.snapshots.push(section.to_owned());
            }
            continue;
        }
        if in_main {
            // Lines of LXC's own have one sign or the other in Proxmox's file (PVE::LXC::Config).
            let lxc = line.split_once([':', '=']).map(|(key, value)| (key.trim(), value.trim())).filter(|(key, _)| key.starts_with("lxc."));
            if let Some((key, value)) = lxc {
                guest.raw_lxc.push(format!("{key}: {value}"));
                continue;
            }
            match line.split_once(':') {
                Some((key, value)) if is_key(key) => set(&mut guest, key, value.trim()),
                _ => guest.odd_lines.push(super::clean::clean(line)),
            }
        }
    }
    guest.nics.sort_by_key(|n| number_after(&n.key, "net"));
    guest.mounts.sort_by_key(|m| number_after(&m.key, "mp").map_or(0, |n| n + 1));
    guest
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

fn number_after(key: &str, prefix: &str) -> Option<u32> {
    key.strip_prefix(prefix)?.parse().ok()
}

fn set(guest: &mut Guest, key: &str, value: &str) {
    let text = || Some(value.to_owned()).filter(|v| !v.is_empty());
    match key {
        "hostname" | "name" => guest.name = text(),
        "lock" => guest.lock = text(),
        "memory" => guest.mem_max = value.parse::<u64>().ok().and_then(|m| m.checked_mul(1 << 20)),
        "unprivileged" => guest.unprivileged = Some(value == "1"),
        "onboot" => guest.onboot = value == "1",
        "template" => guest.template = value == "1",
        "protection" => guest.protection = value == "1",
        "ostype" => guest.ostype = text(),
        "tags" => guest.tags = value.split([';', ',', ' ']).filter(|t| !t.is_empty()).map(str::to_owned).collect(),
        "rootfs" => guest.mounts.push(mount(key, value)),
        _ if number_after(key, "mp").is_some() => guest.mounts.push(mount(key, value)),
        _ if number_after(key, "net").is_some() => guest.nics.push(nic(key, value)),
        _ if number_after(key, "dev").is_some() => {
            guest.devices.extend(pairs(value, "path").get("path").map(|path| (*path).to_owned()).filter(|p| !p.is_empty()));
        }
        _ => {}
    }
}

fn mount(key: &str, value: &str) -> Mount {
    let words = pairs(value, "volume");
    let source = words.get("volume").copied().unwrap_or("").to_owned();
    let bind = source.starts_with('/');
    Mount {
        key: key.into(),
        path: if key == "rootfs" { "/".into() } else { words.get("mp").copied().unwrap_or("").to_owned() },
        bind,
        in_backup: key == "rootfs" || (!bind && words.get("backup") == Some(&"1")),
        size: words.get("size").and_then(|s| size(s)),
        raw: value.to_owned(),
        source,
    }
}

fn nic(key: &str, value: &str) -> Nic {
    let words = pairs(value, "name");
    let get = |k: &str| words.get(k).map(|v| (*v).to_owned());
    Nic {
        key: key.into(),
        name: get("name").unwrap_or_default(),
        bridge: get("bridge"),
        ip: get("ip"),
        hwaddr: get("hwaddr").map(|h| h.to_ascii_uppercase()),
        raw: value.into(),
    }
}

/// `4G`, `1124M`, `512K`, `0.5T` or plain bytes, in bytes (PVE::JSONSchema parse_size).
pub fn size(text: &str) -> Option<u64> {
    let shift = match text.as_bytes().last()? {
        b'K' => 10,
        b'M' => 20,
        b'G' => 30,
        b'T' => 40,
        _ => 0,
    };
    let number: f64 = text[..text.len() - usize::from(shift > 0)].parse().ok()?;
    (number >= 0.0 && number.is_finite()).then(|| (number * (1u64 << shift) as f64) as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id() -> Vmid {
        "101".parse().unwrap()
    }

    #[test]
    fn the_recorded_configuration() {
        let g = parse_lxc(id(), include_str!("../../tests/recordings/pve-9.1/cat-ct-conf-running.out"));
        assert_eq!((g.name.as_deref(), g.mem_max, g.unprivileged), (Some("web01"), Some(256 << 20), Some(true)));
        assert_eq!(g.nics[0].ip.as_deref(), Some("10.99.0.100/24"));
        assert_eq!(g.mounts[0].size, Some(1124 << 20));
        assert_eq!((g.tags.len(), g.onboot, g.odd_lines.len()), (1, true, 0));
    }

    #[test]
    fn what_is_not_in_a_backup_is_named() {
        let text = "hostname: app\nlock: backup\nrootfs: local-lvm:vm-101-disk-0,size=4G\nmp10: local-lvm:vm-101-disk-3,mp=/later,backup=1\nmp0: /data,mp=/srv\nmp1: local-lvm:vm-101-disk-1,mp=/cache\nmp2: local-lvm:vm-101-disk-2,mp=/db,backup=1\n\n[pve:pending]\nmemory: 1\n[clean]\nlock: snapshot\n";
        let g = parse_lxc(id(), text);
        assert_eq!(g.not_in_backup(), ["/srv (mp0 bind mount)", "/cache (mp1 backup=0)"]);
        assert_eq!((g.lock.as_deref(), g.snapshots.len(), g.mem_max), (Some("backup"), 1, None));
        assert_eq!(g.mounts.iter().map(|m| m.key.as_str()).collect::<Vec<_>>(), ["rootfs", "mp0", "mp1", "mp2", "mp10"]);
    }

    #[test]
    fn broken_files_lose_only_what_is_broken() {
        let g = parse_lxc(id(), "memory: plenty\nthis is no line\nhostname:\nnet0: \nrootfs:\n\u{0}\u{1b}[2J: x");
        assert_eq!((g.name.as_deref(), g.mem_max, g.odd_lines.len()), (None, None, 2));
        assert!(g.odd_lines[1].contains('␛'));
        assert_eq!(g.label(), "CT101");
    }

    #[test]
    fn sizes() {
        assert_eq!([size("4G"), size("512K"), size("77"), size("x"), size("")], [Some(4 << 30), Some(512 << 10), Some(77), None, None]);
    }
}
