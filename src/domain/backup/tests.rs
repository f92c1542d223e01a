//! Backups: plans as they are shown, refusals, names of archives, recorded logs.

use super::*;
use crate::domain::conf::parse_lxc;
use crate::domain::storage::{Space, parse_cfg};
use crate::domain::world::{From, Part, Place};

pub fn world() -> World {
    let mut guest = parse_lxc(
        "101".parse().unwrap(),
        "hostname: web\nunprivileged: 1\nrootfs: local-lvm:vm-101-disk-0,size=4G\nmp0: /data,mp=/srv\nnet0: name=eth0,bridge=proximity-lan,ip=dhcp,hwaddr=bc:24:11:00:00:01\n",
    );
    guest.power = Power::Running;
    let (mut storages, _) = parse_cfg(
        "dir: local\n\tpath /var/lib/vz\n\tcontent backup,vztmpl\nbtrfs: local-lvm\n\tpath /var/lib/pool\n\tcontent rootdir,images\ndir: old\n\tpath /o\n\tcontent backup\n\tdisable\n",
    );
    for s in &mut storages {
        s.space = Ok(Space { total: 100 << 30, used: 10 << 30, avail: 90 << 30 });
    }
    World {
        place: Place { host: "local".into(), demo: false },
        guests: Part::new(vec![guest], Stamp(1), From::Files),
        storages: Part::new(storages, Stamp(1), From::Files),
        archives: Part::new(vec![], Stamp(1), From::Files),
        tasks: Part::new(vec![], Stamp(1), From::Files),
        ..World::default()
    }
}

/// An archive of a container, on the storage its volume id names; `size` in bytes.
pub(crate) fn archive(id: u32, volid: &str, made: Stamp, size: u64) -> Archive {
    Archive {
        volid: volid.into(),
        storage: volid.split(':').next().unwrap().parse().unwrap(),
        vmid: id.try_into().ok(),
        kind: Some(Kind::Lxc),
        made,
        size: Some(size),
        notes: None,
        protected: false,
        server_says: None,
    }
}

fn wish() -> BackupWish {
    BackupWish::of("101".parse().unwrap())
}

#[test]
fn the_plan_as_it_is_shown() {
    insta::assert_snapshot!(plan(&world(), &wish()).unwrap().lines().join("\n"), @"
    back up 101 web to local
    1 vzdump 101 in snapshot mode
        $ vzdump 101 --storage local --mode snapshot --compress zstd --notes-template {{guestname}} --remove 0
        then: task ended well, archive stands whole on local
    size unknown, there is no earlier backup; local has 90 GiB free
    ! not in it: /srv (mp0 bind mount)
    ");
}

#[test]
fn settings_decide_what_the_wish_leaves_open() {
    use crate::domain::settings::{Change, Key, Settings};
    let settings = |set: &[(&str, &str)]| {
        let changes: Vec<(Key, Change)> = set
            .iter()
            .map(|(k, v)| {
                let key: Key = k.parse().unwrap();
                let value = key.definition().parse(v).unwrap();
                (key, Change::Set(value))
            })
            .collect();
        Settings::default().with(changes.iter().map(|(k, c)| (k, c)))
    };
    let mut w = world();
    let set = settings(&[("backups.storage", "local"), ("backups.mode", "stop"), ("backups.compression", "none")]);
    w.settings = Part::new(set, Stamp(1), From::Files);
    let p = plan(&w, &wish()).unwrap();
    let Act::Run { cmd, .. } = &p.steps[0].act else { panic!("nothing is run") };
    assert_eq!(cmd.shown(), "vzdump 101 --storage local --mode stop --compress 0 --notes-template {{guestname}} --remove 0");
    assert_eq!(p.facts[1], "by the settings: storage local, mode stop, compression none (not checked: the vault is locked)");
    assert_eq!(p.risk, Risk::Interrupts);
    let p = plan(&w, &BackupWish { mode: Some(Mode::Snapshot), ..wish() }).unwrap();
    assert_eq!(p.risk, Risk::Low, "the wish goes before the settings");
    w.settings = Part::new(settings(&[("backups.storage", "old")]), Stamp(1), From::Files);
    assert!(plan(&w, &wish()).unwrap_err().why.contains("disabled"));
    w.settings = Part::unknown("the store was tampered with", Stamp(1));
    assert!(plan(&w, &wish()).unwrap_err().why.contains("tampered"), "no default in its place");
}

#[test]
fn refusals_say_why() {
    let why = |w: &World, wish: &BackupWish| plan(w, wish).unwrap_err().why;
    let mut w = world();
    assert_eq!(why(&w, &BackupWish { guest: "109".parse().unwrap(), ..wish() }), "there is no guest 109");
    for (name, text) in [("old", "disabled"), ("local-lvm", "does not take backups"), ("nowhere", "there is no storage")] {
        assert!(why(&w, &BackupWish { storage: Some(name.parse().unwrap()), ..wish() }).contains(text), "{name}");
    }
    w.guests.known.as_mut().unwrap()[0].lock = Some("backup".into());
    assert_eq!(why(&w, &wish()), "101 web is locked (backup)");
    w = world();
    w.storages.known.as_mut().unwrap()[0].space = Ok(Space { total: 1 << 30, used: 1 << 30, avail: 1000 });
    assert!(why(&w, &wish()).contains("1000 B free") || why(&w, &wish()).contains("free and about"));
    w = world();
    w.guests = Part::unknown("/etc/pve is empty", Stamp(1));
    assert!(why(&w, &wish()).contains("/etc/pve is empty"));
    w = world();
    w.guests.known.as_mut().unwrap()[0].node = Some("pve2".into());
    w.node = Part::new(crate::domain::world::Node { name: "pve1".into(), ..Default::default() }, Stamp(1), From::Files);
    assert!(why(&w, &wish()).contains("lives on node pve2"));
}

#[test]
fn names_of_archives() {
    let (kind, id, at) = parse_name("vzdump-lxc-101-2026_08_27-02_00_03.tar.zst").unwrap();
    assert_eq!((kind, id.to_string().as_str(), at), (Kind::Lxc, "101", [2026, 8, 27, 2, 0, 3]));
    for no in [
        "vzdump-lxc-101-2026_08_27-02_00_03.tar.dat",
        "vzdump-lxc-101-2026_08_27-02_00_03.log",
        "vzdump-lxc-101-2026_08_27-02_00_03.tar.zst.notes",
        "vzdump-lxc-1-2026_08_27-02_00_03.tar",
        "vzdump-lxc-101-ü026_08_27-02_00_0.tar",
        "x",
    ] {
        assert!(parse_name(no).is_none(), "{no}");
    }
    let a = "/var/lib/vz/dump/vzdump-lxc-101-2026_08_27-02_00_03.tar.zst";
    assert_eq!(partial_of(a).as_deref(), Some("/var/lib/vz/dump/vzdump-lxc-101-2026_08_27-02_00_03.tar.dat"));
    assert_eq!(tmp_of(a).as_deref(), Some("/var/lib/vz/dump/vzdump-lxc-101-2026_08_27-02_00_03.tmp"));
}

#[test]
fn recorded_logs_are_read() {
    let of = |text: &str| text.lines().filter_map(parse_line).collect::<Vec<_>>();
    let ok = of(include_str!("../../../tests/recordings/pve-9.1/vzdump-snapshot-ok.out"));
    assert!(ok.contains(&VzdumpLine::Mode("snapshot".into())));
    assert!(ok.iter().any(|l| matches!(l, VzdumpLine::Archive(p) if p.ends_with(".tar.zst"))));
    let bad = of(include_str!("../../../tests/recordings/pve-9.1/vzdump-with-mps.out"));
    assert_eq!(bad, [VzdumpLine::Error("Backup of VM 100 failed - CT is locked (mounted)".into())]);
    assert_eq!(parse_line("INFO:  13% (3.4 GiB of 25.0 GiB) in 3s, read: 1.1 GiB/s, write: 350.2 MiB/s"), Some(VzdumpLine::Percent(13)));
    let mps = of(include_str!("../../../tests/recordings/pve-9.1/edge-vzdump-mps.out"));
    assert!(mps.iter().any(|l| matches!(l, VzdumpLine::Excluded(_))), "{mps:?}");
}
