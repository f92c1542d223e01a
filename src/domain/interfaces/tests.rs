//! Files as Proxmox and as people write them, and any bytes at all.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::domain::appliance::names::Interface;

fn wish(mtu: Option<u16>) -> Wish {
    Wish::new(Interface::new("proximity-lan").unwrap(), mtu)
}

static SAMPLES: include_dir::Dir<'_> = include_dir::include_dir!("$CARGO_MANIFEST_DIR/tests/interfaces");

fn samples() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> =
        SAMPLES.files().map(|f| (f.path().to_string_lossy().into_owned(), f.contents().to_vec())).collect();
    all.sort();
    assert!(all.len() >= 30, "only {} files", all.len());
    all
}

/// `name!ports/addresses` of every bridge; `!` for one that comes up at boot, `*` for ours, `v` for one that knows VLANs.
fn told(file: &Interfaces) -> String {
    let of = |b: Bridge| {
        let marks = [(b.auto, '!'), (b.ours, '*'), (b.vlan_aware, 'v')].iter().filter(|(is, _)| *is).map(|(_, c)| *c).collect::<String>();
        format!("{}{marks} {}/{}", b.name, b.ports.join("+"), b.addresses.join("+"))
    };
    file.bridges().into_iter().map(of).collect::<Vec<_>>().join("; ")
}

const EXPECTED: &str = "\
01-fresh-9: vmbr0! eno1/192.168.1.2/24
02-fresh-7: vmbr0! eno1/192.168.1.2/24
03-vlan-aware: vmbr0!v enp3s0/192.168.1.2/24
04-bond-active-backup: vmbr0! bond0/192.168.1.2/24
05-bond-lacp-vlan: vmbr0! bond0/; vmbr20! bond0.20/10.0.20.5/24
06-nat-by-hand: vmbr0! eno1/192.168.1.2/24; vmbr1! /10.10.10.1/24
07-dual-stack: vmbr0! eno1/192.168.1.2/24+2001:db8:1::2/64
08-old-underscores: vmbr0! eth0/172.16.0.10
09-no-line-end: vmbr0! eno1/192.168.1.2/24
10-crlf: vmbr0! eno1/192.168.1.2/24
11-continued: vmbr0! eno1+eno2+eno3/192.168.1.2/24
12-all-in-includes: 
13-hotplug: vmbr7! enp4s0/
14-ovs: vmbr0! eno1+mgmt/
15-several-auto: vmbr0! eno1/10.1.1.2/24; vmbr1! /
16-comments-everywhere: vmbr0! eno1/192.168.1.2/24
17-hetzner-routed: vmbr0! /203.0.113.77/32
18-wifi: vmbr0! /192.168.99.1/24
19-mtu-offload: vmbr0! enp5s0/192.168.1.2/24
20-sdn: vmbr0! eno1/192.168.1.2/24
21-mapping: 
22-vlan-on-bridge: vmbr0!v eno1/
23-spaces-for-tabs: vmbr0! eno1/192.168.1.2/24
24-umlauts: vmbr0! eno1/192.168.1.2/24
25-empty: 
26-only-newlines: 
27-infiniband: vmbr0! eno1/192.168.1.2/24
28-vxlan: vmbr0! eno1/192.168.1.2/24; vmbr100! vxlan100/
29-dhcp-bridge: vmbr0! eno1/
30-taken-by-hand: vmbr0! eno1/192.168.1.2/24; proximity-lan! /10.20.0.254/24
31-ours: vmbr0! eno1/192.168.1.2/24; proximity-lan!* /
32-template-ifupdown2: br${i}! /; vmbr0! eno1/192.168.1.2/24
33-ends-with-backslash: vmbr0! eno1/192.168.1.2/24
";

#[test]
fn bridges_of_real_files_are_read() {
    let lines: String = samples().into_iter().map(|(name, bytes)| format!("{name}: {}\n", told(&Interfaces::parse(bytes)))).collect();
    assert_eq!(lines, EXPECTED);
}

#[test]
fn our_stanza_comes_and_goes_and_every_other_byte_stays() {
    let (mut added, mut refused) = (0, Vec::new());
    for (name, bytes) in samples() {
        let file = Interfaces::parse(bytes.clone());
        match file.add(&wish(None)) {
            Ok(with) => {
                added += 1;
                assert!(with.bytes().starts_with(&bytes), "{name}: what was there stays there");
                let ours = with.bridges().into_iter().find(|b| b.name == "proximity-lan").unwrap();
                assert!(ours.ours && ours.auto && ours.ports.is_empty() && ours.addresses.is_empty(), "{name}");
                assert_eq!(with.add(&wish(None)), Err(NotChanged::Taken("proximity-lan".into())), "{name}");
                let changed = with.change(&wish(Some(1400))).unwrap();
                assert_ne!(changed, with, "{name}");
                assert_eq!(changed.change(&wish(None)).unwrap(), with, "{name}");
                assert_eq!(with.remove("proximity-lan").unwrap(), file, "{name}");
                assert_eq!(changed.remove("proximity-lan").unwrap(), file, "{name}");
            }
            Err(why) => refused.push(format!("{name}: {why:?}")),
        }
    }
    let taken = |name: &str| format!("{name}: Taken(\"proximity-lan\")");
    assert_eq!(refused, [taken("30-taken-by-hand"), taken("31-ours"), "33-ends-with-backslash: Unfinished".into()]);
    assert_eq!(added, 30);
}

#[test]
fn a_stanza_that_is_not_ours_is_never_touched() {
    let by_hand = Interfaces::parse(samples().into_iter().find(|(n, _)| n == "30-taken-by-hand").unwrap().1);
    let not_there = NotChanged::NotThere("proximity-lan".into());
    assert_eq!((by_hand.remove("proximity-lan"), by_hand.change(&wish(None))), (Err(not_there.clone()), Err(not_there)));
    // Two of ours: somebody copied it. Which one is meant is not guessed.
    let text = "auto proximity-lan\niface proximity-lan inet manual\n\tbridge-ports none\n#proximity: x\n".repeat(2);
    assert_eq!(Interfaces::parse(text).remove("proximity-lan"), Err(NotChanged::Several(2)));
}

#[test]
fn ours_is_known_after_proxmox_has_rewritten_the_file() {
    // As PVE::INotify writes it: our stanza in the middle, sources last, the comment behind its stanza.
    let ours = samples().into_iter().find(|(n, _)| n == "31-ours").unwrap().1;
    let without = Interfaces::parse(ours).remove("proximity-lan").unwrap();
    let text = String::from_utf8(without.bytes().to_vec()).unwrap();
    assert!(!text.contains("proximity") && text.ends_with("\tbridge-fd 0\n\nsource /etc/network/interfaces.d/*\n"), "{text}");
}

#[test]
fn includes_are_named() {
    let text = samples().into_iter().find(|(n, _)| n == "12-all-in-includes").unwrap().1;
    assert_eq!(Interfaces::parse(text).includes(), ["/etc/network/interfaces.d/*.cfg", "/etc/network/more", "ifaces/lan"]);
}

/// Bytes that look like the file often enough to be dangerous.
fn any_file() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\\\n".to_vec()),
        Just(b"\\".to_vec()),
        Just(b"auto proximity-lan".to_vec()),
        Just(b"iface vmbr0 inet manual\n".to_vec()),
        Just(b"\tbridge-ports none\n".to_vec()),
        Just(b"#proximity: x\n".to_vec()),
        Just(b"# c\\\n".to_vec()),
        Just(b"source x\n".to_vec()),
        Just(b"\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|all| all.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_bytes_are_kept_and_ours_leaves_no_trace(bytes in any_file()) {
        let file = Interfaces::parse(bytes.clone());
        prop_assert_eq!(file.bytes(), &bytes[..]);
        let parts: Vec<u8> = lines(&bytes).iter().flat_map(|l| bytes[l.at.clone()].to_vec()).collect();
        prop_assert_eq!(&parts, &bytes);
        let _ = (file.bridges(), file.includes());
        if let Ok(with) = file.add(&wish(Some(1500))) {
            prop_assert_eq!(with.bridges().iter().filter(|b| b.ours && b.name == "proximity-lan").count(), 1);
            prop_assert_eq!(with.remove("proximity-lan").unwrap(), file);
        }
    }
}
