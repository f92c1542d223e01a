//! Plans for what is published, from plain data: what is written, in which order, what is refused.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::domain::conf::parse_lxc;
use crate::domain::guest::{Guest, Power};
use crate::domain::ports::{Held, Known, Ranges, Sockets, What};
use crate::domain::service::Published;
use crate::domain::stamp::Stamp;
use crate::domain::world::{From, Part, Place as Here};

fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

/// web leads to web:80 on 30000, wiki to wiki:80 on 30001.
fn map() -> PortMap {
    let held = |n: u16, of: &str| Held {
        pair: Pair { public: 30_000 + n, internal: 40_000 + n },
        what: What::Reserved(name(of)),
        at: Stamp(1),
        by: "ada".into(),
    };
    let published =
        |of: &str| Published { name: name(of), spec: Spec::to(format!("{of}:80").parse().unwrap()), at: Stamp(1), by: "ada".into() };
    PortMap { held: vec![held(0, "web"), held(1, "wiki")], services: vec![published("web"), published("wiki")], ..PortMap::default() }
}

fn world(map: &PortMap, power: Power) -> World {
    let conf = "hostname: prox\nostype: alpine\ntags: proximity\n#Proximity network appliance";
    let guest = Guest { power, ..parse_lxc(Vmid::try_from(9999).unwrap(), conf) };
    World {
        place: Here { host: "local".into(), demo: false },
        guests: Part::new(vec![guest], Stamp(1), From::Files),
        ports: Part::new(map.clone(), Stamp(1), From::Files),
        ..World::default()
    }
}

/// Version 7 holds what `map` promises.
fn ground(map: &PortMap) -> Ground {
    let files = wanted(map, &Settings::default()).unwrap().into_iter().map(|(n, text)| (n, Some(text.into_bytes()))).collect();
    Ground {
        versions: ["current", "v5", "v6", "v7", "set-aside-before-v3"].map(str::to_owned).into(),
        current: Some("v7".into()),
        files,
        base: Some(b"{\n}\nimport apps/*.caddy\nimport proximity/current/*.caddy\n".to_vec()),
        system: System::Alpine,
        caddy_runs: true,
        in_force: Ok(()),
        caddy: (100, 101),
    }
}

fn planned(map: &PortMap, ground: &Ground, asked: &PublishWish) -> Result<Plan, Refusal> {
    let settings = Settings::default();
    let sockets = Sockets::default();
    let ranges = Ranges::of(&settings).unwrap();
    let known = Known { map, ranges, cool_down_s: 60, sockets: &sockets, now: Stamp(9), by: "ada" };
    let decided = asked.of_ports().map(|wish| (known.decide(&wish).unwrap(), wish));
    let then = decided.as_ref().map_or_else(|| map.clone(), |(decided, _)| after(map, decided));
    plan(&world(map, Power::Running), asked, &then, decided.map(|(d, wish)| (wish, d.pair)), &settings, ground)
}

fn publish(of: &str, to: &str) -> PublishWish {
    PublishWish::Publish { name: name(of), spec: Box::new(Spec::to(to.parse().unwrap())), unanswered: false }
}

/// Each step in a line: what it does, and how it is taken back.
fn told(plan: &Plan) -> Vec<String> {
    let act = |s: &Step| match &s.act {
        Act::Run { cmd, .. } => cmd.shown(),
        Act::Lay(lay) => {
            let files: Vec<&str> = lay.files.iter().map(|c| c.path.as_str()).collect();
            format!("lay {} from {} with {}", lay.folder, lay.from.as_deref().unwrap_or("nothing"), files.join(" "))
        }
        Act::Turn(turn) => turn.shown(),
        _ => s.title.clone(),
    };
    let all = plan.steps.iter().map(|s| (act(s), s.undo.as_ref().map_or(String::new(), |u| format!(" | {}", u.shown()))));
    all.map(|(act, undo)| format!("{act}{undo}").replace("lxc-attach -n 9999 --clear-env -- ", "IN ").replace("/etc/caddy/proximity", "P"))
        .collect()
}

#[test]
fn a_new_one_is_tried_put_in_force_by_a_rename_and_asked() {
    let (map, asked) = (map(), publish("cloud", "cloud:8080"));
    let plan = planned(&map, &ground(&map), &asked).unwrap();
    assert_eq!(
        told(&plan),
        [
            "lay P/v8 from P/current with P/v8/cloud.caddy /etc/caddy/Caddyfile.proximity-next",
            "ask whether Caddy takes them",
            "ask whether nobody else changed them | IN caddy reload --adapter caddyfile --config /etc/caddy/Caddyfile",
            "have P/current in 9999 lead to v8 | have P/current in 9999 lead to v7",
            "IN caddy reload --adapter caddyfile --config /etc/caddy/Caddyfile",
            "IN rm -rf -- /etc/caddy/Caddyfile.proximity-next /tmp/proximity-trial P/v6 P/v5",
            "ask both ports",
        ]
    );
    assert_eq!((plan.risk.clone(), plan.notes.len()), (Risk::Low, 0));
    let pair = Pair { public: 30_002, internal: 40_002 };
    assert!(matches!(&plan.purpose, Purpose::Publish(Some(PortWish::Publish(of, _, Some(p)))) if *of == name("cloud") && *p == pair));
    let Check::Serves { pair: asked, unanswered: false, .. } = &plan.steps.last().unwrap().check else { panic!("not asked") };
    assert_eq!(*asked, pair);
    // What is tried imports the new version and is the base otherwise.
    let Act::Lay(lay) = &plan.steps[0].act else { panic!("nothing laid") };
    let trial = String::from_utf8(lay.files[1].now.as_ref().unwrap().bytes().to_vec()).unwrap();
    assert_eq!(trial, "{\n}\nimport apps/*.caddy\nimport /etc/caddy/proximity/v8/*.caddy\n");
    let Check::Says { cmd, .. } = &plan.steps[1].check else { panic!("not tried") };
    assert!(cmd.shown().contains("--uid=100 --gid=101") && cmd.shown().ends_with(TRIAL), "{}", cmd.shown());
}

#[test]
fn who_changes_one_thing_leaves_the_others_and_says_so_and_converge_brings_all_back() {
    let map = map();
    let mut found = ground(&map);
    found.files[1].1 = Some(b"# Made by Proximity, format 2, by hand\n".to_vec());
    found.files.push(("old.caddy".into(), Some(b"# Made by Proximity, format 1, for old: x\n".to_vec())));
    found.files.push(("hand.caddy".into(), Some(b"http://:1 {\n}\n".to_vec())));
    let plan = planned(&map, &found, &publish("web", "10.20.0.9:80")).unwrap();
    assert!(told(&plan)[0].ends_with("with P/v8/web.caddy /etc/caddy/Caddyfile.proximity-next"), "{:?}", told(&plan));
    assert!(plan.notes[0].contains("wiki.caddy, old.caddy") && !plan.notes[0].contains("hand.caddy"), "{:?}", plan.notes);
    assert_eq!(plan.risk, Risk::Interrupts);
    let plan = planned(&map, &found, &PublishWish::Converge).unwrap();
    assert!(told(&plan)[0].ends_with("with P/v8/wiki.caddy P/v8/old.caddy /etc/caddy/Caddyfile.proximity-next"), "{:?}", told(&plan));
    assert!(matches!(&plan.steps.last().unwrap().check, Check::Listens { ports, .. } if ports.len() == 4));
    assert_eq!(planned(&map, &ground(&map), &PublishWish::Converge).unwrap().steps, [], "nothing to do");
}

#[test]
fn what_is_given_up_is_served_no_more_and_the_pair_cools() {
    let map = map();
    let plan = planned(&map, &ground(&map), &PublishWish::Unpublish(name("wiki"))).unwrap();
    let Act::Lay(lay) = &plan.steps[0].act else { panic!("nothing laid") };
    assert!(lay.files[0].path.ends_with("/wiki.caddy") && lay.files[0].now.is_none());
    assert!(plan.facts[0].contains("30001 / 40001") && plan.facts[0].contains("cool"), "{:?}", plan.facts);
    assert!(matches!(&plan.steps.last().unwrap().check, Check::Listens { ports, .. } if *ports == [30_000, 40_000]));
}

#[test]
fn what_cannot_be_relied_on_is_refused_and_what_is_odd_is_set_right() {
    let mut map = map();
    let why = |map: &PortMap, ground: &Ground| planned(map, ground, &PublishWish::Converge).unwrap_err().why;
    let found = Ground { base: Some(b"import apps/*.caddy\n".to_vec()), ..ground(&map) };
    assert!(why(&map, &found).contains("does not import"));
    assert!(why(&map, &Ground { base: None, ..found }).contains("does not import"));
    map.bad_services.push((Some(name("evil")), "what is published as evil was changed outside Proximity".into()));
    assert!(why(&map, &ground(&map)).contains("evil"));
    // Published anew, it is as it is wished now.
    assert!(planned(&map, &ground(&map), &publish("evil", "web:80")).is_ok());
    map.bad_services.clear();
    let stopped = world(&map, Power::Stopped);
    assert!(plan(&stopped, &PublishWish::Converge, &map, None, &Settings::default(), &ground(&map)).unwrap_err().why.contains("stopped"));

    // No link yet; a folder in its place; Caddy that does not run.
    let first = Ground { versions: vec![], current: None, files: vec![], ..ground(&map) };
    let steps = told(&planned(&map, &first, &PublishWish::Converge).unwrap());
    assert!(steps[0].starts_with("lay P/v1 from nothing with") && steps[3].ends_with("| remove P/current in 9999"), "{steps:?}");
    let folder = Ground { current: None, in_force: Err("Caddy does not work".into()), files: vec![], ..ground(&map) };
    let plan = planned(&map, &folder, &PublishWish::Converge).unwrap();
    let steps = told(&plan);
    assert_eq!(steps[0], "IN mv -T P/current P/set-aside-before-v8 | IN mv -T P/set-aside-before-v8 P/current");
    assert!(steps[1].starts_with("lay P/v8 from P/set-aside-before-v8 with"), "{steps:?}");
    assert!(plan.notes.iter().any(|n| n.contains("by hand")), "{:?}", plan.notes);
    let down = Ground { caddy_runs: false, in_force: Err("down".into()), ..ground(&map) };
    assert_eq!(told(&planned(&map, &down, &PublishWish::Converge).unwrap())[0], "IN rc-service caddy restart");
}
