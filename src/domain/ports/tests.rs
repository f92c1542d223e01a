//! The allocator against a model, and what it says.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::domain::appliance::lease::Pool;
use crate::domain::service::Spec;

const COOL: u64 = 100;

fn ranges() -> Ranges {
    Ranges::new((30_000, 30_007), (40_000, 40_007)).unwrap()
}

/// Ranges to which somebody moved: shifted, the two changed, one where the other was.
fn moved() -> [Ranges; 3] {
    let all = [((30_004, 30_011), (40_000, 40_007)), ((40_002, 40_009), (30_002, 30_009)), ((30_003, 30_004), (40_006, 40_007))];
    all.map(|(public, internal)| Ranges::new(public, internal).unwrap())
}

fn name(n: u8) -> ServiceName {
    format!("app-{n}").parse().unwrap()
}

/// What the store does with a change.
fn apply(map: &mut PortMap, change: &Change, now: Stamp) {
    if change.thaw {
        map.cooling.iter_mut().filter(|p| p.was.pair == change.pair).for_each(|p| p.free = p.free.min(now));
    }
    map.cooling.extend(change.past.clone());
    map.held.retain(|h| h.pair != change.pair);
    map.bad.retain(|b| b.pair != Some(change.pair));
    map.held.extend(change.after.clone());
    map.held.sort_by_key(|h| h.pair);
}

struct Desk {
    map: PortMap,
    ranges: Ranges,
    sockets: Sockets,
    now: Stamp,
}

impl Desk {
    fn new() -> Desk {
        Desk { map: PortMap::default(), ranges: ranges(), sockets: Sockets::default(), now: Stamp(1_000_000) }
    }

    fn asked(&self, wish: &PortWish) -> Result<Decided, String> {
        let Desk { map, ranges, sockets, now } = self;
        Known { map, ranges: *ranges, cool_down_s: COOL, sockets, now: *now, by: "marta" }.decide(wish)
    }

    fn wish(&mut self, wish: PortWish) -> Result<Pair, String> {
        let decided = self.asked(&wish)?;
        if let Some(change) = &decided.change {
            apply(&mut self.map, change, self.now);
        }
        Ok(decided.pair)
    }

    fn reserve(&mut self, n: u8) -> Result<u16, String> {
        self.wish(PortWish::Reserve(name(n))).map(|p| p.public)
    }

    fn release(&mut self, n: u8, at_once: bool) -> Result<u16, String> {
        self.wish(PortWish::Release(Of::Name(name(n)), at_once)).map(|p| p.public)
    }

    fn pin(&mut self, n: u8, port: Option<u16>) -> Result<u16, String> {
        self.wish(PortWish::Pin(name(n), port)).map(|p| p.public)
    }

    fn later(&mut self, secs: i64) {
        self.now = Stamp(self.now.0 + secs * 1000);
    }
}

#[test]
fn ports_are_given_out_in_order_and_wait_after_they_were_given_back() {
    let mut desk = Desk::new();
    assert_eq!([desk.reserve(1), desk.reserve(2), desk.reserve(1)], [Ok(30_000), Ok(30_001), Ok(30_000)], "twice is as once");
    assert_eq!(desk.map.of(&name(2)).unwrap().pair.internal, 40_001);
    desk.release(1, false).unwrap();
    assert_eq!(desk.reserve(3), Ok(30_002), "30000 waits");
    assert!(desk.release(1, false).unwrap_err().contains("cools down until 1970-01-01T00:18:20Z; --at-once ends that"));
    assert_eq!(desk.reserve(1), Ok(30_000), "for whoever had it there is nothing to wait for");
    desk.release(1, false).unwrap();
    desk.later(100);
    assert_eq!(desk.reserve(4), Ok(30_000), "the cool-down is over");
    desk.release(4, true).unwrap();
    assert_eq!(desk.reserve(5), Ok(30_000), "there was none");
    desk.release(5, false).unwrap();
    desk.release(5, true).unwrap();
    assert_eq!(desk.reserve(6), Ok(30_000), "it was ended");
    assert_eq!(desk.release(9, false).unwrap_err(), "app-9 has no port");
}

#[test]
fn a_pin_outlives_what_it_was_used_for() {
    let mut desk = Desk::new();
    assert_eq!(desk.pin(1, Some(40_003)), Ok(30_003), "by either number");
    assert!(desk.pin(1, None).is_ok() && desk.pin(1, Some(30_004)).unwrap_err().contains("kept for app-1"));
    assert!(desk.pin(2, Some(30_003)).unwrap_err().contains("is kept for app-1"));
    assert!(desk.pin(2, None).unwrap_err().contains("app-2 has no port"));
    assert!(desk.pin(2, Some(30_008)).unwrap_err().contains("in none of the ranges 30000-30007 / 40000-40007"));
    assert_eq!(desk.reserve(1), Ok(30_003));
    assert_eq!(desk.map.of(&name(1)).unwrap().what, What::Pinned(name(1)));
    desk.release(1, false).unwrap();
    assert_eq!(desk.map.of(&name(1)).unwrap().what, What::Kept(name(1)));
    assert!(desk.release(1, false).unwrap_err().contains("unpin ends that"));
    desk.wish(PortWish::Unpin(Of::Port(30_003))).unwrap();
    assert!(desk.map.held.is_empty());
    assert!(desk.pin(2, Some(30_003)).unwrap_err().contains("30003 / 40003 was app-1's and cools down"), "the pin ended, not the waiting");
    // What a name has already.
    assert_eq!((desk.reserve(2), desk.pin(2, None)), (Ok(30_000), Ok(30_000)));
    let at = desk.map.of(&name(2)).unwrap().at;
    desk.later(5);
    desk.wish(PortWish::Unpin(Of::Name(name(2)))).unwrap();
    assert_eq!((desk.map.of(&name(2)).unwrap().what.clone(), desk.map.of(&name(2)).unwrap().at), (What::Reserved(name(2)), at));
}

#[test]
fn blocked_ports_and_ports_of_others_are_passed_over() {
    let mut desk = Desk::new();
    let reason = |text: &str| text.parse::<Reason>().unwrap();
    desk.wish(PortWish::Block(40_000, reason("the printer"))).unwrap();
    desk.sockets.add([30_001], Listener::Host);
    desk.sockets.add([40_002], Listener::Outgoing);
    desk.sockets.add([30_003], Listener::Caddy);
    assert_eq!(desk.reserve(1), Ok(30_004));
    assert_eq!(desk.pin(2, Some(30_003)), Ok(30_003), "what listens there is what it is pinned for");
    assert!(desk.pin(3, Some(30_000)).unwrap_err().contains("blocked: the printer"));
    assert!(desk.wish(PortWish::Block(30_004, reason("x"))).unwrap_err().contains("reserved for app-1"));
    assert!(desk.wish(PortWish::Unblock(30_004)).unwrap_err().contains("it is reserved for app-1"));
    let usage = Usage::count(&desk.map, desk.ranges, &desk.sockets, desk.now);
    assert_eq!(usage.words(), "2 of 8 used, 1 blocked, 2 in use by something else");
    for n in 5..8 {
        desk.reserve(n).unwrap();
    }
    desk.release(5, false).unwrap();
    assert_eq!(
        desk.reserve(9).unwrap_err(),
        "no pair of 30000-30007 / 40000-40007 is free: 4 of 8 used, 1 blocked, 1 cooling down, 2 in use by something else; \
         the first that cools down is free at 1970-01-01T00:18:20Z"
    );
    desk.wish(PortWish::Unblock(30_000)).unwrap();
    assert_eq!(desk.reserve(9), Ok(30_000));
}

#[test]
fn the_limit_that_is_nearer_is_named() {
    let usage = Usage { size: 1000, held: 38, free: 962, ..Usage::default() };
    let nearer = |used, size| Nearer::of(&usage, Ok(Pool { used, size })).words();
    assert_eq!(nearer(38, 151), "113 addresses left, the nearer limit");
    assert_eq!(nearer(0, 962), "962 ports left, the nearer limit");
    assert_eq!(nearer(9, 5), "0 addresses left, the nearer limit");
    assert!(Nearer::of(&usage, Err("it is stopped".into())).words().contains("unknown: it is stopped"));
    let most = |quota| Usage { quota: Some(quota), ..usage };
    let pool = || Ok(Pool { used: 38, size: 151 });
    assert_eq!(Nearer::of(&most(112), pool()).words(), "112 more may be published by ports.quota, the nearer limit");
    assert_eq!(Nearer::of(&most(113), pool()), Nearer::Addresses(113));
    assert_eq!(Nearer::of(&most(0), Err("it is stopped".into())), Nearer::Quota(0));
}

#[test]
fn no_more_is_published_than_the_quota_allows() {
    let quota = ("ports.quota".parse().unwrap(), crate::domain::settings::Change::Set(Value::Number(2)));
    let ranges = Ranges::of(&Settings::default().with([(&quota.0, &quota.1)])).unwrap();
    let spec = || Box::new(Spec::to("web:80".parse().unwrap()));
    let publish = |map: &PortMap, name: &str, ranges| {
        let wish = PortWish::Publish(name.parse().unwrap(), spec(), None);
        let known = Known { map, ranges, cool_down_s: COOL, sockets: &Sockets::default(), now: Stamp(1), by: "marta" };
        known.decide(&wish).map(|decided| crate::domain::publish::after(map, &decided))
    };
    let one = publish(&PortMap::default(), "one", ranges).unwrap();
    let two = publish(&one, "two", ranges).unwrap();
    assert_eq!((ranges.quota_left(&one), ranges.quota_left(&two), ranges.pairs().count()), (Some(1), Some(0), 1000));
    assert_eq!(
        publish(&two, "three", ranges).unwrap_err(),
        "2 things are published, and ports.quota allows no more: unpublish one, or raise it"
    );
    // What is published already may be changed; without a quota there is none.
    assert!(publish(&two, "one", ranges).is_ok());
    assert!(publish(&two, "three", Ranges::of(&Settings::default()).unwrap()).is_ok());
}

#[test]
fn a_row_that_cannot_be_relied_on_stops_all_but_its_end() {
    let mut desk = Desk::new();
    let pair = Pair { public: 30_002, internal: 40_002 };
    desk.map.bad = vec![Bad { pair: Some(pair), why: "was changed".into() }];
    assert_eq!(desk.reserve(1), Err("was changed".into()));
    assert_eq!(desk.wish(PortWish::Release(Of::Port(40_003), false)), Err("was changed".into()));
    desk.wish(PortWish::Release(Of::Port(40_002), true)).unwrap();
    assert_eq!((desk.reserve(1), desk.reserve(2), desk.reserve(3)), (Ok(30_000), Ok(30_001), Ok(30_003)), "30002 cools down");
    desk.map.bad = vec![Bad { pair: None, why: "is damaged".into() }];
    assert!(desk.wish(PortWish::Release(Of::Port(30_000), false)).is_err(), "that is another one's");
    let ended = desk.asked(&PortWish::Release(Of::Port(30_006), false)).unwrap().change.unwrap();
    assert_eq!((ended.pair.internal, ended.past.is_some()), (40_006, true));
}

#[test]
fn names_and_reasons_are_harmless_or_refused() {
    for good in ["a", "nextcloud", "Next-Cloud", "3d", &"a".repeat(63)] {
        assert_eq!(good.parse::<ServiceName>().unwrap().to_string(), good.to_ascii_lowercase());
    }
    let long = "a".repeat(300);
    let hostile = [
        "",
        "30017",
        "-a",
        "a-",
        "a b",
        "a\nb",
        "a\"",
        "a'",
        "a{",
        "a}",
        "a#",
        "a.b",
        "a/b",
        "../a",
        "a:1",
        "ä",
        "a\u{202e}b",
        "a\0",
        "{$HOME}",
        "a\\",
        "$(id)",
        &long,
    ];
    for name in hostile {
        let why = name.parse::<ServiceName>().unwrap_err();
        assert!(why.chars().count() < 200 && clean(&why) == why, "{why:?}");
    }
    for no in ["", "  ", "a\nb", "a\u{1b}[2J", "a\u{202e}b", &"x".repeat(201)] {
        assert!(no.parse::<Reason>().is_err(), "{no:?}");
    }
    assert_eq!(" the old \"web\" {server} # näh ".parse::<Reason>().unwrap().to_string(), "the old \"web\" {server} # näh");
    assert_eq!("030017".parse::<Of>(), Ok(Of::Port(30_017)));
    for no in ["0", "65536", "99999999999999999999", "1-2", "30017 "] {
        assert!(no.parse::<Of>().is_err() || no == "1-2", "{no}");
    }
    for (word, name, reason) in
        [("reserved", None, None), ("reserved", Some("a b"), None), ("blocked", Some("a"), None), ("x", Some("a"), None)]
    {
        assert_eq!(What::from_parts(word, name, reason), None);
    }
}

#[test]
fn ranges_make_pairs() {
    for (public, internal) in [((1, 9), (9, 17)), ((1, 9), (10, 17)), ((9, 1), (20, 12)), ((0, 1), (2, 3))] {
        assert_eq!(Ranges::new(public, internal), None);
    }
    let all = Ranges::new((1, 32_767), (32_768, 65_534)).unwrap();
    assert_eq!((all.pairs().count(), all.pair_of(65_534).unwrap().public, all.pair_of(65_535)), (32_767, 32_767, None));
    let default = Ranges::of(&Settings::default()).unwrap();
    assert_eq!((default.pairs().count(), default.pair_of(30_017).unwrap().internal), (1000, 40_017));
}

#[derive(Debug, Clone)]
enum Do {
    Wish(PortWish),
    Later(i64),
    Range(usize),
    Listen(BTreeSet<u16>),
}

fn deeds() -> impl Strategy<Value = Do> {
    let port = prop_oneof![30_000u16..30_012, 40_000u16..40_010];
    let name = || (0u8..6).prop_map(name);
    let of = prop_oneof![port.clone().prop_map(Of::Port), name().prop_map(Of::Name)];
    let wish = prop_oneof![
        4 => name().prop_map(PortWish::Reserve),
        3 => (of.clone(), any::<bool>()).prop_map(|(of, at_once)| PortWish::Release(of, at_once)),
        1 => (name(), proptest::option::of(port.clone())).prop_map(|(name, port)| PortWish::Pin(name, port)),
        1 => of.prop_map(PortWish::Unpin),
        1 => port.clone().prop_map(|port| PortWish::Block(port, Reason("because".into()))),
        1 => port.clone().prop_map(PortWish::Unblock),
    ];
    prop_oneof![
        12 => wish.prop_map(Do::Wish),
        2 => (1i64..150).prop_map(Do::Later),
        1 => (0usize..4).prop_map(Do::Range),
        1 => proptest::collection::btree_set(port, 0..3).prop_map(Do::Listen),
    ]
}

proptest! {
    /// Whatever is done in whatever order: a number is in one pair, a name has one, what is given out is free and the lowest.
    #[test]
    fn nobody_gets_what_another_has(all in proptest::collection::vec(deeds(), 1..80)) {
        let mut desk = Desk::new();
        for deed in all {
            let wish = match deed {
                Do::Later(secs) => { desk.later(secs); continue }
                Do::Range(n) => { desk.ranges = moved().into_iter().chain([ranges()]).nth(n).unwrap(); continue }
                Do::Listen(ports) => { desk.sockets = Sockets::default(); desk.sockets.add(ports, Listener::Appliance); continue }
                Do::Wish(wish) => wish,
            };
            let free = |pair: Pair| State::of(pair, &desk.map, &desk.sockets, desk.now) == State::Free;
            let lowest = desk.ranges.pairs().find(|p| free(*p));
            let was = desk.map.clone();
            let decided = desk.asked(&wish);
            if let PortWish::Reserve(name) = &wish && desk.map.of(name).is_none() {
                let own: Vec<Pair> = desk.map.cooling.iter().filter(|p| p.was.what.name() == Some(name)).map(|p| p.was.pair).collect();
                match &decided {
                    Ok(decided) => prop_assert!(Some(decided.pair) == lowest || own.contains(&decided.pair), "{decided:?}, lowest {lowest:?}"),
                    Err(_) => prop_assert_eq!(lowest, None),
                }
            }
            if let Ok(Decided { change: Some(change), .. }) = &decided {
                if let (None, Some(after)) = (&change.before, &change.after) {
                    prop_assert!(desk.ranges.has(after.pair));
                    let mut waits = was.cooling.iter().filter(|p| p.free > desk.now && p.was.pair.meets(after.pair));
                    prop_assert!(after.what.reason().is_some() || waits.all(|p| p.was.what.name() == after.what.name()));
                }
                apply(&mut desk.map, change, desk.now);
            }
            let numbers: Vec<u16> = desk.map.held.iter().flat_map(|h| [h.pair.public, h.pair.internal]).collect();
            prop_assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len());
            let names: Vec<_> = desk.map.held.iter().filter_map(|h| h.what.name()).collect();
            prop_assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        }
    }

    #[test]
    fn no_text_becomes_a_name_that_is_more_than_a_label(text in "\\PC*|[\\x00-\\x7f]{0,8}") {
        if let Ok(name) = text.parse::<ServiceName>() {
            let name = name.to_string();
            prop_assert!(name.len() <= 63 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            prop_assert!(matches!(name.parse::<Of>(), Ok(Of::Name(_))));
        }
    }
}
