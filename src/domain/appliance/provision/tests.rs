//! Plans for an appliance from every ground it may stand on. What their steps bring about is shown in the lab.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::domain::appliance::desired::tests::{guest, sample};
use crate::domain::plan::{Act, Undo, Wants};
use crate::domain::stamp::Stamp;
use crate::domain::storage::Space;
use crate::domain::storage::parse_cfg;
use crate::domain::world::{From, Part, Place as Here};

const OURS: &str = "#Proximity network appliance. x\nhostname: edge\nostype: alpine\ntags: proximity\nnet0: name=eth0,bridge=vmbr0,ip=dhcp\nnet1: name=eth1,bridge=proximity-lan,hwaddr=BC:24:11:00:00:99,ip=10.20.0.1/24";
const HOST: &str =
    "auto lo\niface lo inet loopback\n\nauto vmbr0\niface vmbr0 inet static\n\taddress 192.168.1.2/24\n\tbridge-ports eno1\n";

fn id() -> Vmid {
    9999.try_into().unwrap()
}

fn world(appliance: Option<(&str, Power)>) -> World {
    let guests = appliance.map(|(conf, power)| Guest { power, ..guest(9999, conf) }).into_iter().collect();
    let (mut storages, _) = parse_cfg(
        "dir: local\n\tpath /var/lib/vz\n\tcontent vztmpl,backup\n\nlvmthin: local-lvm\n\tcontent rootdir\n\nlvmthin: other\n\tcontent rootdir\n",
    );
    for (storage, avail) in storages.iter_mut().zip([100, 20, 50u64]) {
        storage.space = Ok(Space { total: 200 << 30, used: 0, avail: avail << 30 });
    }
    World {
        place: Here { host: "local".into(), demo: false },
        guests: Part::new(guests, Stamp(1), From::Files),
        storages: Part::new(storages, Stamp(1), From::Files),
        ..World::default()
    }
}

fn ground(interfaces: &str) -> Ground {
    Ground {
        interfaces: vec![("/etc/network/interfaces".into(), Interfaces::parse(interfaces))],
        gap: None,
        before: None,
        armed: false,
        bridge: Ok(BridgeSeen { up: None, ports: vec![], persisted: Ok(false), staged: false, own: Ok(vec![]) }),
        routes: Ok(vec![("192.168.1.0/24".parse().unwrap(), "vmbr0".into()), ("0.0.0.0/0".parse().unwrap(), "vmbr0".into())]),
        templates: Ok(["alpine-3.9-default_1_amd64.tar.xz", "alpine-3.23-default_2_amd64.tar.xz", "debian-13-standard_1_amd64.tar.zst"]
            .map(|n| format!("local:vztmpl/{n}"))
            .into()),
        available: Err("not asked".into()),
        inside: None,
        caddy_runs: false,
    }
}

fn provision(world: &World, ground: &Ground, options: Options) -> Result<Plan, Refusal> {
    plan(world, &ApplianceWish::Provision(options), &sample(), ground, id())
}

fn commands(plan: &Plan) -> Vec<String> {
    let shown = |s: &Step| match &s.act {
        Act::Run { cmd, .. } => cmd.shown(),
        Act::Put(change) => change.shown(),
        Act::Wait { .. } => format!("wait: {}", s.check.words()),
        Act::Lay(lay) => lay.shown(),
        Act::Turn(turn) => turn.shown(),
        Act::Carry { from, to, paths } => format!("carry {} from {from} to {to}", paths.join(" ")),
    };
    plan.steps.iter().map(shown).collect()
}

fn position(all: &[String], part: &str) -> usize {
    all.iter().position(|c| c.contains(part)).unwrap_or_else(|| panic!("{part} in {all:#?}"))
}

#[test]
fn from_nothing_the_way_back_is_armed_before_the_network_changes() {
    let p = provision(&world(None), &ground(HOST), Options::default()).unwrap();
    let all = commands(&p);
    let order = [
        "write /etc/network/interfaces.proximity-before",
        "systemd-run",
        "change /etc/network/interfaces in",
        "ifup proximity-lan",
        "wait: you said",
        "remove /etc/network/interfaces.proximity-before",
        "pct create 9999 local:vztmpl/alpine-3.23",
        "pct start",
        "apk add",
        "write /etc/dnsmasq.conf",
        "--nameserver 127.0.0.1",
        "rc-service dnsmasq restart",
        "rc-service caddy restart",
        "wait: no lamp",
    ];
    let at: Vec<usize> = order.iter().map(|part| position(&all, part)).collect();
    assert!(at.is_sorted(), "{all:#?}");
    assert_eq!(p.risk, Risk::Interrupts);
    // What the network and the container become is taken back, in the place of the bytes that were there.
    let back = |n: usize| p.steps[at[n]].undo.as_ref().map(Undo::shown);
    assert_eq!(back(3).unwrap(), "ip link delete dev proximity-lan type bridge");
    assert_eq!(back(6).unwrap(), "pct destroy 9999 --purge 1");
    let Some(Undo::Put(change)) = &p.steps[at[2]].undo else { panic!() };
    assert_eq!(change.now.as_ref().unwrap().bytes(), HOST.as_bytes());
    // The storage of the settings goes before one with more room; the network is asked for by DHCP.
    assert!(
        all[at[6]].contains("--rootfs local-lvm:2")
            && all[at[6]].contains("bridge=vmbr0,ip=dhcp")
            && all[at[6]].contains("--unprivileged 1")
    );
    assert!(!all[at[6]].contains("nameserver"), "packages are fetched before dnsmasq is there");
}

#[test]
fn options_are_carried_out() {
    let address = Some(("192.168.1.40/24".parse().unwrap(), "192.168.1.1".parse().unwrap()));
    let options = Options {
        storage: Some("other".parse().unwrap()),
        template: Some("local:vztmpl/debian-13-standard_1_amd64.tar.zst".into()),
        address,
        confirm_s: 30,
        ..Options::default()
    };
    let p = provision(&world(None), &ground(HOST), options).unwrap();
    let all = commands(&p);
    let create = &all[position(&all, "pct create")];
    assert!(
        create.contains("--rootfs other:2")
            && create.contains("ip=192.168.1.40/24,gw=192.168.1.1")
            && create.contains("--features nesting=1"),
        "{create}"
    );
    assert!(all[position(&all, "systemd-run")].contains("--on-active=30"));
    for debian in ["systemctl restart dnsmasq", "/etc/iptables/rules.v4", "dhclient-enter-hooks.d/proximity", "/etc/default/dnsmasq"] {
        position(&all, debian);
    }
    // Nobody is asked for packages that are there, or for lists that are.
    let update = &p.steps[position(&all, "apt-get -qq --error-on=any update")];
    assert!(!update.always && update.check.inside() == Some(id()), "{update:?}");
    let words = update.check.words();
    assert!(words.contains("caddy") && words.ends_with("are there, or they can be installed"), "{words}");
    assert!(position(&all, "chown -h caddy") < position(&all, "/etc/caddy/Caddyfile"));
    assert!(!all.iter().any(|c| c.contains("rc-service") || c.contains("apk ")), "{all:#?}");
}

#[test]
fn a_template_is_fetched_only_where_that_was_said() {
    let none = Ground { templates: Ok(vec![]), ..ground(HOST) };
    let why = provision(&world(None), &none, Options::default()).unwrap_err();
    assert!(why.why.contains("no Alpine template") && why.hint.contains("--download") && why.hint.contains("local"), "{why:?}");
    let names = [
        "alpine-3.22-default_20250617_amd64.tar.xz",
        "alpine-3.24-default_20260714_amd64.tar.xz",
        "debian-13-standard_13.6-1_amd64.tar.zst",
    ];
    let some = Ground { available: Ok(names.map(str::to_owned).into()), ..none };
    let all = commands(&provision(&world(None), &some, Options { download: true, ..Options::default() }).unwrap());
    assert_eq!(all[position(&all, "pveam")], "pveam download local alpine-3.24-default_20260714_amd64.tar.xz");
    assert!(position(&all, "pveam") < position(&all, "pct create 9999 local:vztmpl/alpine-3.24"));
    let why =
        provision(&world(None), &ground(HOST), Options { template: Some("local:vztmpl/x".into()), ..Options::default() }).unwrap_err();
    assert!(why.why.contains("there is no template local:vztmpl/x"), "{why:?}");
}

/// Where it cannot be known or is somebody else's, nothing is planned.
#[test]
fn what_stands_in_the_way_is_refused() {
    let refused = |world: &World, ground: &Ground| provision(world, ground, Options::default()).unwrap_err().why;
    let none = world(None);
    let with = |change: fn(&mut Ground)| {
        let mut g = ground(HOST);
        change(&mut g);
        refused(&none, &g)
    };
    assert!(with(|g| g.gap = Some("x".into())).contains("not all known"));
    assert!(with(|g| g.bridge = Err("x".into())).contains("bridges of the host are unknown"));
    assert!(with(|g| g.routes = Err("x".into())).contains("networks of the host are unknown"));
    assert!(with(|g| g.routes = Ok(vec![("10.20.0.0/16".parse().unwrap(), "vmbr0".into())])).contains("overlaps 10.20.0.0/16"));
    assert!(with(|g| g.bridge.as_mut().unwrap().staged = true).contains("interfaces.new"));
    assert!(with(|g| g.templates = Err("x".into())).contains("templates are unknown"));
    let file = |text: &str| refused(&none, &ground(&format!("{HOST}\n{text}")));
    assert!(file("auto proximity-lan\niface proximity-lan inet manual\n\tbridge-ports eno2\n").contains("the port eno2"));
    assert!(
        file("auto proximity-lan\niface proximity-lan inet static\n\taddress 10.20.0.9/24\n\tbridge-ports none\n").contains("10.20.0.9/24")
    );
    assert!(file("iface proximity-lan inet manual\n\tbridge-ports none\n").contains("without 'auto'"));
    assert!(file("x\\").contains("backslash"));

    let live = |own: &[&str], ports: &[&str]| {
        let mut g = ground(HOST);
        let seen = g.bridge.as_mut().unwrap();
        (seen.up, seen.own) = (Some(true), Ok(own.iter().map(|a| (*a).to_owned()).collect()));
        seen.ports = ports.iter().map(|p| (*p).to_owned()).collect();
        provision(&none, &g, Options::default()).map_err(|r| r.why)
    };
    // A bridge of somebody else under this name: its addresses are not flushed, its ports not used.
    assert!(live(&["172.17.0.0"], &[]).unwrap_err().contains("the host's address 172.17.0.0"));
    assert!(live(&["2001:db8::1"], &[]).unwrap_err().contains("2001:db8::1"));
    assert!(live(&[], &["veth101i0", "enp3s0"]).unwrap_err().contains("the port enp3s0"));
    assert!(live(&["fe80::1"], &["veth101i0", "tap200i0", "fwpr102p0"]).is_ok());

    let of = |conf: &str, power| refused(&world(Some((conf, power))), &ground(HOST));
    assert!(of("hostname: mine\nostype: alpine", Power::Running).contains("not Proximity's"));
    assert!(of("#Proximity network appliance\nhostname: mine\nostype: alpine", Power::Running).contains("lacks the tag"));
    assert!(of("hostname: mine\nostype: alpine\ntags: proximity", Power::Running).contains("lacks the tag"));
    assert!(of("lock: create", Power::Stopped).contains("broken off"));
    assert!(of(&format!("{OURS}\nlock: backup"), Power::Running).contains("locked (backup)"));
    let mut unknown = world(None);
    unknown.guests.from = From::Kernel;
    assert!(refused(&unknown, &ground(HOST)).contains("unknown"));
    unknown.guests = Part::unknown("x", Stamp(1));
    assert!(refused(&unknown, &ground(HOST)).contains("guests of this host are unknown"));
    let mut full = world(None);
    full.storages.known.as_mut().unwrap().iter_mut().for_each(|s| s.space.as_mut().unwrap().avail = 1 << 30);
    assert!(refused(&full, &ground(HOST)).contains("1.0 GiB left, and 2 GiB are needed"));
}

const KEPT: &str = "\nauto proximity-lan\niface proximity-lan inet manual\n\tbridge-ports none\n\tbridge-stp off\n\tbridge-fd 0\n\tipv6-addrgen off\n#proximity: network of the apps\n";

#[test]
fn a_bridge_that_is_there_is_never_pulled_apart() {
    let text = format!("{HOST}{KEPT}");
    let of = |up, armed, before: Option<&str>| {
        let mut g = Ground { armed, before: before.map(|b| b.as_bytes().to_vec()), ..ground(&text) };
        g.bridge.as_mut().unwrap().up = up;
        commands(&provision(&world(None), &g, Options::default()).unwrap())
    };
    let down = of(Some(false), false, None);
    assert!(down.contains(&"ip link set dev proximity-lan up".to_owned()) && !down.iter().any(|c| c.starts_with("ifup")), "{down:#?}");
    assert!(of(None, false, None).contains(&"ifup proximity-lan".to_owned()));
    for all in [&down, &of(None, false, None)] {
        assert!(!all.iter().any(|c| c.contains("systemd-run") || c.contains("interfaces in the host")), "nothing is written: {all:#?}");
    }
    // A worker that was killed while it waited for the word, and one that was killed after it.
    let waits = of(Some(true), true, Some(HOST));
    assert!(position(&waits, "wait: you said") < position(&waits, "remove /etc/network/interfaces.proximity-before"));
    let after = of(Some(true), false, Some(HOST));
    assert!(
        !after.iter().any(|c| c.contains("you said"))
            && after.iter().any(|c| c.starts_with("remove /etc/network/interfaces.proximity-before"))
    );
    // Ours that somebody changed is brought back; up without a line of its own it gets one, and nothing is applied.
    let mut g = ground(&text.replace("\tipv6-addrgen off\n", ""));
    g.bridge.as_mut().unwrap().up = Some(true);
    let all = commands(&provision(&world(None), &g, Options::default()).unwrap());
    assert!(all[0].starts_with("change /etc/network/interfaces") && !all.iter().any(|c| c.contains("systemd-run")), "{all:#?}");
    let mut g = ground(HOST);
    g.bridge.as_mut().unwrap().up = Some(true);
    let all = commands(&provision(&world(None), &g, Options::default()).unwrap());
    assert!(
        all[0].starts_with("change /etc/network/interfaces") && !all.iter().any(|c| c.contains("systemd-run") || c.starts_with("ifup")),
        "{all:#?}"
    );
}

#[test]
fn converge_needs_one_that_runs_and_keeps_its_hardware_address() {
    let asked = |world: &World, ground: &Ground| plan(world, &ApplianceWish::Converge, &sample(), ground, id());
    let mut g = ground(&format!("{HOST}{KEPT}"));
    g.bridge.as_mut().unwrap().up = Some(true);
    assert!(asked(&world(None), &g).unwrap_err().hint.contains("provision"));
    assert!(asked(&world(Some((OURS, Power::Stopped))), &g).unwrap_err().why.contains("is stopped"));
    assert!(asked(&world(Some((OURS, Power::Unknown))), &g).unwrap_err().why.contains("unknown"));
    g.inside = Some(Err("x".into()));
    assert!(asked(&world(Some((OURS, Power::Running))), &g).unwrap_err().why.contains("could not be read"));
    g.inside = Some(Ok(vec![("/etc/dnsmasq.conf".into(), Some(b"by hand\n".to_vec())), ("/etc/caddy/Caddyfile".into(), None)]));
    g.caddy_runs = true;
    let p = asked(&world(Some((&OURS.replace("10.20.0.1/24", "10.20.0.3/24"), Power::Running))), &g).unwrap();
    let all = commands(&p);
    let plugged = &p.steps[position(&all, "pct set 9999 --net1")];
    assert!(commands(&p)[position(&all, "--net1")].contains("name=eth1,bridge=proximity-lan,ip=10.20.0.1/24,hwaddr=BC:24:11:00:00:99"));
    assert!(plugged.always && plugged.undo.as_ref().unwrap().shown().contains("10.20.0.3/24"));
    position(&all, "veth9999i1 master proximity-lan");
    // A file as it was is what is put back; where none was, none will be; a Caddy that runs is not interrupted.
    let undo = |path: &str| p.steps[position(&all, path)].undo.as_ref().unwrap().shown();
    assert_eq!(
        (undo("/etc/dnsmasq.conf").as_str(), undo("/etc/caddy/Caddyfile").as_str()),
        ("change /etc/dnsmasq.conf in 9999", "remove /etc/caddy/Caddyfile in 9999")
    );
    position(&all, "caddy reload");
    assert!(!all.iter().any(|c| c.contains("pct create") || c.contains("apk") || c.contains("pct start")));
}

#[test]
fn a_service_is_restarted_only_with_a_file_it_takes() {
    let w = world(Some((OURS, Power::Running)));
    for (service, test, restart) in [
        (Service::Dnsmasq, "pct exec 9999 -- dnsmasq --test -C /etc/dnsmasq.conf", "rc-service dnsmasq restart"),
        (Service::Caddy, "pct exec 9999 -- caddy validate --adapter caddyfile --config /etc/caddy/Caddyfile", "rc-service caddy restart"),
    ] {
        let p = plan(&w, &ApplianceWish::Restart(service), &sample(), &ground(HOST), id()).unwrap();
        // Caddy's log is there and Caddy's before the test, which would make one of its own, could do so.
        let before = commands(&p).iter().take_while(|c| c.contains("/var/log/caddy")).count();
        assert_eq!(before, if service == Service::Caddy { 3 } else { 0 });
        let steps = &p.steps[before..];
        let Check::Says { cmd, wants: Wants::Success, .. } = &steps[0].check else { panic!("{p:?}") };
        assert_eq!(cmd.shown(), test);
        assert!(steps[0].always && steps[1].always && commands(&p)[before + 1].contains(restart));
        assert!(matches!(steps[2].check, Check::Lamps { .. }));
    }
    let why = plan(&world(None), &ApplianceWish::Restart(Service::Caddy), &sample(), &ground(HOST), id()).unwrap_err();
    assert!(why.why.contains("there is no appliance"), "{why:?}");
    // Nothing is known of the host, and the time runs.
    let word = keep_change(&World::default());
    assert_eq!((word.risk, word.steps[0].always), (Risk::Low, true));
}

#[test]
fn what_does_not_start_with_the_host_is_made_to() {
    let of = |conf: &str| {
        commands(&plan(&world(Some((conf, Power::Running))), &ApplianceWish::Converge, &sample(), &ground(HOST), id()).unwrap())
    };
    let asked = |all: Vec<String>| all.iter().any(|c| c == "pct set 9999 --onboot 1");
    assert_eq!((asked(of(OURS)), asked(of(&format!("{OURS}\nonboot: 1")))), (true, false));
}

#[test]
fn a_plan_survives_the_job_row() {
    let p = provision(&world(None), &ground(&format!("{HOST}# caf\u{e9}\n")), Options::default()).unwrap();
    let back: Plan = serde_json::from_str(&serde_json::to_string(&p).unwrap()).unwrap();
    assert_eq!(back, p);
}

fn with(mut world: World, conf: &str, id: u32, power: Power) -> World {
    let mut guests = world.guests.known.unwrap();
    guests.push(Guest { power, ..guest(id, conf) });
    world.guests.known = Ok(guests);
    world
}

#[test]
fn a_new_one_takes_the_place_of_the_old_and_never_stands_beside_it() {
    let conf = format!("{OURS}\nonboot: 1\n#kept%3A words");
    let world = world(Some((&conf, Power::Running)));
    let rebuild = |world: &World, options| plan(world, &ApplianceWish::Rebuild(options), &sample(), &ground(HOST), id());
    let p = rebuild(&world, Options::default()).unwrap();
    let all = commands(&p);
    let wan = "--net0 name=eth0,bridge=vmbr0,ip=dhcp";
    let order = [
        "pct create 9998 local:vztmpl/alpine-3.23",
        "pct start 9998",
        "apk add",
        "write /etc/dnsmasq.conf in 9998",
        "carry /var/lib/misc/dnsmasq.leases /etc/caddy/apps /etc/caddy/proximity /etc/caddy/proximity-tls /var/lib/caddy from 9999 to 9998",
        "pct stop 9998",
        &format!("pct set 9998 --onboot 1 {wan} --net1 name=eth1,bridge=proximity-lan,hwaddr=BC:24:11:00:00:99"),
        "pct set 9998 --description 'Proximity network appliance. Made",
        "pct set 9999 --description 'Proximity network appliance that was. Made",
        "pct stop 9999",
        "wait: dnsmasq works",
        "wait: no lamp",
    ];
    let at: Vec<usize> = order.iter().map(|part| position(&all, part)).collect();
    assert!(at.is_sorted(), "{all:#?}");
    // While it is built it is not among the apps, and does not come up with the host.
    assert!(!all[at[0]].contains("net1") && all[at[0]].contains("--onboot 0"), "{}", all[at[0]]);
    assert_eq!(all.iter().filter(|c| c.as_str() == "pct start 9998").count(), 2);
    // Every step of the change of places has a way back, and the old one keeps what else was noted.
    let back = |n: usize| p.steps[at[n]].undo.as_ref().map(Undo::shown).unwrap_or_default();
    assert!(back(8).contains("network appliance. x") && back(8).contains("kept: words") && back(8).ends_with("--onboot 1"), "{}", back(8));
    assert_eq!((back(0).as_str(), back(9).as_str()), ("pct destroy 9998 --purge 1", "pct start 9999"));
    assert_eq!(p.guest, id());

    // What an attempt left is cleared away, and its id is taken again.
    let next = "#Proximity network appliance to be. x\ntags: proximity\nnet0: name=eth0,bridge=vmbr0,ip=dhcp";
    let left = with(world.clone(), next, 9990, Power::Running);
    let all = commands(&rebuild(&left, Options::default()).unwrap());
    assert_eq!(all[..2], ["pct stop 9990", "pct destroy 9990 --purge 1"]);
    assert!(all[2].starts_with("pct create 9990 "), "{}", all[2]);

    // An old one that does not run gives nothing.
    let stopped = rebuild(&super::tests::world(Some((&conf, Power::Stopped))), Options::default()).unwrap();
    assert!(stopped.notes.iter().any(|n| n.contains("not carried over")), "{:?}", stopped.notes);
    assert!(!commands(&stopped).iter().any(|c| c.starts_with("carry") || c == "pct stop 9999"));

    // Refusals: none there, an id that is somebody's, an address that two cannot have, interfaces that are to be mended first.
    let why = |world: &World, options| rebuild(world, options).unwrap_err().why;
    assert!(why(&super::tests::world(None), Options::default()).contains("there is no appliance"));
    let taken = Options { vmid: Some(9990.try_into().unwrap()), ..Options::default() };
    assert!(why(&with(world.clone(), "hostname: else", 9990, Power::Stopped), taken).contains("9990 else is there"));
    let fixed = conf.replace("ip=dhcp", "ip=192.168.1.9/24,gw=192.168.1.1");
    assert!(why(&super::tests::world(Some((&fixed, Power::Running))), Options::default()).contains("fixed address"));
    let elsewhere = conf.replace("10.20.0.1/24", "10.9.0.1/24");
    assert!(why(&super::tests::world(Some((&elsewhere, Power::Running))), Options::default()).contains("not as the settings want it"));
}

#[test]
fn where_the_usual_id_is_somebody_elses_another_one_is_taken() {
    let foreign = "hostname: plex\nnet0: name=eth0,bridge=vmbr0,ip=dhcp";
    let world = world(Some((foreign, Power::Running)));
    let why = provision(&world, &ground(HOST), Options::default()).unwrap_err();
    assert!(why.why.contains("9999 plex is not Proximity's") && why.hint.contains("--id 9998"), "{why:?}");
    let other: Vmid = 9998.try_into().unwrap();
    let options = Options { vmid: Some(other), ..Options::default() };
    let made = plan(&world, &ApplianceWish::Provision(options.clone()), &sample(), &ground(HOST), other).unwrap();
    assert!(commands(&made).iter().any(|c| c.starts_with("pct create 9998 ")));
    // From then on that is the appliance, and there is no second one.
    let there = with(world, OURS, 9998, Power::Stopped);
    assert_eq!(there.appliance_id(), other);
    let again = Options { vmid: Some(9997.try_into().unwrap()), ..Options::default() };
    let why = plan(&there, &ApplianceWish::Provision(again), &sample(), &ground(HOST), 9997.try_into().unwrap()).unwrap_err();
    assert!(why.why.contains("is there already: 9998"), "{why:?}");
}

#[test]
fn a_change_of_places_that_was_broken_off_never_has_both() {
    // Both of one address: what was begun first is stopped before the other is started.
    let former = OURS.replace("appliance. x", "appliance that was. x");
    let both = with(world(Some((&former, Power::Running))), OURS, 9998, Power::Stopped);
    assert_eq!(both.appliance_id(), 9998.try_into().unwrap());
    let p = plan(&both, &ApplianceWish::Provision(Options::default()), &sample(), &ground(HOST), both.appliance_id()).unwrap();
    let all = commands(&p);
    assert!(position(&all, "pct stop 9999") < position(&all, "pct start 9998"), "{all:#?}");
    // Of two that say they are it, the one that runs is.
    let two = with(world(Some((OURS, Power::Running))), OURS, 9998, Power::Stopped);
    assert_eq!(two.appliance_id(), id());
}
