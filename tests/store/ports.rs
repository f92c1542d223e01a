//! Pairs of ports in the store: who has them and who had them, rows that somebody changed, and eight processes at once.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use proximity::domain::access::Who;
use proximity::domain::audit::Wanted;
use proximity::domain::ports::{Answer, Decided, LastWell, Of, Pair, PortWish, Row, Sockets, Truth, Well};
use proximity::domain::service::Spec;
use proximity::domain::settings::{Change, Staged};
use proximity::domain::stamp::Stamp;
use proximity::domain::world::{From, Part};
use proximity::host::local::LocalHost;
use proximity::ops::audit::Recorder;
use proximity::ops::port_truth::remember;
use proximity::ops::ports::keep;
use proximity::store::{PortError, Store, StoreError, Vault, VaultError, Wished};

use super::crash::another;
use super::{full, make_vault, new_store, raw};

const DAY: i64 = 86_400_000;

fn wish(store: &Store, vault: &Vault, day: i64, wish: PortWish) -> Result<Decided, PortError> {
    let audit = Recorder::new("test", &LocalHost::new()).with_journal(None);
    keep(&audit, store, vault, &Who::owner("marta"), Stamp(day * DAY), &wish, &Sockets::default())
}

fn reserve(name: &str) -> PortWish {
    PortWish::Reserve(name.parse().unwrap())
}

fn release(what: &str) -> PortWish {
    PortWish::Release(what.parse::<Of>().unwrap(), false)
}

fn set(store: &Store, vault: &Vault, values: &[(&str, &str)]) {
    let seen = store.settings(Some(vault)).unwrap();
    let one = |(key, text): &(&str, &str)| {
        let key: proximity::domain::settings::Key = key.parse().unwrap();
        Staged { seen: seen.version(&key), change: Change::Set(key.definition().parse(text).unwrap()), key }
    };
    store.save_settings(vault, &values.iter().map(one).collect::<Vec<_>>(), &[], "marta", Stamp(0)).unwrap();
}

fn shown(store: &Store, vault: Option<&Vault>, day: i64) -> Vec<String> {
    let map = store.ports(vault, Stamp(day * DAY)).unwrap();
    assert!(map.bad.is_empty(), "{:?}", map.bad);
    let held = map.held.iter().map(|h| format!("{} {}", h.pair, h.what));
    held.chain(map.cooling.iter().map(|p| format!("{} free on day {}", p.was.pair, p.free.0 / DAY))).collect()
}

#[test]
fn ports_are_remembered_with_who_had_them_and_what_was_written_down() {
    let (_outer, dir, store) = new_store();
    let (mut vault, _) = make_vault(&store, &dir);
    for (day, what) in [
        (10, reserve("wiki")),
        (11, reserve("gitea")),
        (12, PortWish::Block(30_002, "the old \"web\" {server} # näh".parse().unwrap())),
        (40, release("wiki")),
        (41, reserve("cloud")),
        (48, reserve("photos")),
        (49, PortWish::Pin("gitea".parse().unwrap(), None)),
        (49, PortWish::Pin("gitea".parse().unwrap(), None)),
        (50, release("40001")),
    ] {
        wish(&store, &vault, day, what).unwrap();
    }
    drop(store);
    let store = Store::open(&dir).unwrap();
    let now = [
        "30000 / 40000 reserved for photos",
        "30001 / 40001 kept for gitea",
        "30002 / 40002 blocked: the old \"web\" {server} # näh",
        "30003 / 40003 reserved for cloud",
        "30001 / 40001 free on day 57",
    ];
    assert_eq!(shown(&store, Some(&vault), 51), now);
    assert_eq!(shown(&store, Some(&vault), 58), now[..4]);
    let had = |vault: &Vault, port| {
        let (past, bad) = store.port_past(Some(vault), port, 10).unwrap();
        assert_eq!(bad, Vec::<String>::new());
        past.iter().map(|p| format!("{} {}-{}", p.was.what, p.was.at.0 / DAY, p.until.0 / DAY)).collect::<Vec<_>>()
    };
    assert_eq!(had(&vault, 40_000), ["reserved for wiki 10-40"]);
    assert_eq!(had(&vault, 30_001), ["reserved for gitea, and pinned 11-50"], "a pin ends nothing and begins nothing");
    let page = store.audit_page(&Wanted::default(), None, 100).unwrap();
    let mut said: Vec<String> = page
        .records
        .iter()
        .map(|r| &r.entry.deed)
        .filter(|d| d.action.starts_with("ports."))
        .map(|d| format!("{} {}: {} -> {}", d.action, d.object, d.before.as_deref().unwrap(), d.after.as_deref().unwrap()))
        .collect();
    said.reverse();
    assert_eq!(said.len(), 8, "what holds already is not written down: {said:#?}");
    assert_eq!(said[0], "ports.reserve ports 30000 / 40000: free -> reserved for wiki");
    assert_eq!(said[3], "ports.release ports 30000 / 40000: reserved for wiki -> free at 1970-02-17T00:00:00Z");
    // Another key of the vault signs all of it anew.
    vault.rotate(&store).unwrap();
    assert_eq!(shown(&store, Some(&vault), 51), now);
    assert_eq!(had(&vault, 30_001).len(), 1);
}

#[test]
fn what_cannot_be_written_down_is_not_done() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let (what, sockets) = (reserve("wiki"), Sockets::default());
    let wished = Wished { wish: &what, sockets: &sockets, by: "marta", now: Stamp(DAY) };
    assert!(matches!(store.change_ports(&vault, &wished, |_, _| Err(StoreError::Full)), Err(PortError::Vault(_))));
    assert_eq!(shown(&store, Some(&vault), 1), Vec::<String>::new());
    set(&store, &vault, &[("system.read_only", "on")]);
    assert!(matches!(wish(&store, &vault, 1, reserve("wiki")), Err(PortError::ReadOnly)));
    assert_eq!(shown(&store, Some(&vault), 1), Vec::<String>::new());
}

#[test]
fn a_row_that_somebody_changed_is_told_and_nothing_is_given_out_meanwhile() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let fill = |store: &Store| ["wiki", "gitea"].map(|name| wish(store, &vault, 1, reserve(name)).unwrap());
    fill(&store);
    for (change, mend) in [
        ("name = 'mine'", "30000"),
        ("what = 'kept'", "40000"),
        ("at_ms = 7", "30000"),
        ("who = 'otto'", "30000"),
        ("what = 'nonsense'", "30000"),
        ("public = 30500", "30500"),
        ("public = 99999", "30000"),
        ("internal = -1", "30000"),
    ] {
        assert_eq!(raw(&dir).execute(&format!("UPDATE port SET {change} WHERE name = 'wiki'"), []).unwrap(), 1);
        let map = store.ports(Some(&vault), Stamp(DAY)).unwrap();
        assert_eq!((map.held.len(), map.bad.len()), (1, 1), "{change}");
        let why = wish(&store, &vault, 2, reserve("cloud")).unwrap_err().to_string();
        assert!(why.contains("no port is given out; after a look at who uses it: proximity ports release"), "{why}");
        wish(&store, &vault, 2, release(mend)).unwrap();
        assert_eq!(shown(&store, Some(&vault), 9), ["30001 / 40001 reserved for gitea"], "{change}");
        raw(&dir).execute("DELETE FROM port_past", []).unwrap();
        vault.accept(&store).unwrap();
        fill(&store);
    }
    raw(&dir).execute("UPDATE port SET name = 'mine' WHERE name = 'wiki'", []).unwrap();
    assert_eq!(store.ports(None, Stamp(0)).unwrap().held[0].what.name().unwrap().to_string(), "mine", "unchecked without the vault");
    wish(&store, &vault, 2, release("30000")).unwrap();
    wish(&store, &vault, 3, release("gitea")).unwrap();
    raw(&dir).execute("UPDATE port_past SET name = 'mine', free_ms = free_ms + 1 WHERE name = 'gitea'", []).unwrap();
    let (past, bad) = store.port_past(Some(&vault), 30_001, 10).unwrap();
    assert_eq!((past.len(), bad.len()), (0, 1), "{past:?}");
    assert_eq!(store.ports(Some(&vault), Stamp(4 * DAY)).unwrap().bad_past, bad);
    // A row that is gone is told by the list.
    raw(&dir).execute("DELETE FROM port_past", []).unwrap();
    assert!(matches!(wish(&store, &vault, 4, reserve("x")), Err(PortError::Vault(VaultError::Tampered { .. }))));
}

/// The allocator looks first; but whatever looks, the store takes no number twice.
#[test]
fn the_store_itself_takes_no_number_and_no_name_twice() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    wish(&store, &vault, 1, reserve("wiki")).unwrap();
    let insert = |public: u16, internal: u16, name: &str| {
        let sql = "INSERT INTO port (public, internal, what, name, at_ms, who) VALUES (?1, ?2, 'reserved', ?3, 0, 'x')";
        raw(&dir).execute(sql, rusqlite::params![public, internal, name])
    };
    for (public, internal, name) in
        [(30_000, 41_000, "a"), (31_000, 40_000, "a"), (40_000, 41_000, "a"), (31_000, 30_000, "a"), (5, 5, "a"), (31_000, 41_000, "wiki")]
    {
        assert!(insert(public, internal, name).is_err(), "{public} {internal} {name}");
    }
    insert(31_000, 41_000, "a").unwrap();
}

#[test]
fn pairs_keep_their_numbers_when_the_ranges_move() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let to = |public: &str, internal: &str| set(&store, &vault, &[("ports.public", public), ("ports.internal", internal)]);
    to("30000-30002", "40000-40002");
    for name in ["a", "b", "c"] {
        wish(&store, &vault, 1, reserve(name)).unwrap();
    }
    let why = wish(&store, &vault, 1, reserve("d")).unwrap_err().to_string();
    assert_eq!(why, "no pair of 30000-30002 / 40000-40002 is free: 3 of 3 used");
    // Where the public ones were are internal ones now.
    to("40001-40004", "30001-30004");
    let pair = wish(&store, &vault, 1, reserve("d")).unwrap().pair;
    assert_eq!(pair, Pair { public: 40_003, internal: 30_003 }, "no number that somebody has");
    assert_eq!(wish(&store, &vault, 1, reserve("a")).unwrap().pair.public, 30_000, "what one has one has");
    wish(&store, &vault, 1, release("b")).unwrap();
    assert_eq!(wish(&store, &vault, 1, reserve("e")).unwrap().pair.public, 40_004, "40001 and 30001 cool down");
    assert!(wish(&store, &vault, 1, reserve("f")).is_err());
    assert_eq!(wish(&store, &vault, 9, reserve("f")).unwrap().pair, Pair { public: 40_001, internal: 30_001 });
}

const PROCESSES: usize = 8;

/// 1,000 reservations into a range of 1,000 pairs, each with its entry in the audit; by day a part of them.
#[test]
fn eight_processes_reserve_the_whole_range_and_nobody_is_refused() {
    let each = if full() { 125 } else { 12 };
    let (_outer, dir, store) = new_store();
    let (vault, words) = make_vault(&store, &dir);
    let all = PROCESSES * each;
    let (public, internal) = (format!("30000-{}", 30_000 + all - 1), format!("40000-{}", 40_000 + all - 1));
    set(&store, &vault, &[("ports.public", &public), ("ports.internal", &internal)]);
    let begun = std::time::Instant::now();
    let said = together(&dir, &words.expose().join(" "), each);
    println!("{all} reservations by {PROCESSES} processes in {:?}", begun.elapsed());
    let mut took: Vec<u16> = said.iter().filter_map(|line| line.strip_prefix("took ")?.parse().ok()).collect();
    took.sort_unstable();
    assert_eq!(took, (0..all).map(|n| 30_000 + u16::try_from(n).unwrap()).collect::<Vec<_>>(), "{said:?}");
    let map = store.ports(Some(&vault), Stamp(DAY)).unwrap();
    assert_eq!((map.held.len(), map.bad.len()), (all, 0));
    let names: BTreeSet<String> = map.held.iter().map(|h| h.what.to_string()).collect();
    assert_eq!(names.len(), all);
    let page = store.audit_page(&Wanted { action: Some("ports.reserve".into()), ..Wanted::default() }, None, 2 * all).unwrap();
    assert_eq!(page.records.len(), all);
    assert!(wish(&store, &vault, 1, reserve("late")).unwrap_err().to_string().contains("is free"));
    vault.check(&store).unwrap();
}

fn together(dir: &Path, words: &str, each: usize) -> Vec<String> {
    let mut children: Vec<_> = (0..PROCESSES).map(|_| another("reserver", dir)).collect();
    let mut inputs: Vec<_> = children.iter_mut().map(|child| child.stdin.take().unwrap()).collect();
    inputs.iter_mut().for_each(|input| writeln!(input, "{words}").unwrap());
    let mut lines: Vec<_> = children.iter_mut().map(|child| BufReader::new(child.stdout.take().unwrap()).lines()).collect();
    for line in &mut lines {
        assert_eq!(line.next().unwrap().unwrap(), "ready");
    }
    inputs.iter_mut().for_each(|input| writeln!(input, "{each}").unwrap());
    let said: Vec<String> = lines.into_iter().flatten().map(Result::unwrap).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    said
}

/// The command line on a real store, on a machine without an appliance.
#[test]
fn the_command_line_reserves_tells_and_finds_who_had_it() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let pass = format!("{}\n", super::PASSPHRASE);
    let run = |args: &[&str], input: &str| {
        let args: Vec<&str> = ["--state", dir.to_str().unwrap()].into_iter().chain(args.iter().copied()).collect();
        let (status, out, err) = super::program::proximity(&dir, &args, input);
        (status, out, err)
    };
    // In a range where nothing of this machine listens, but for one who does.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let first = taken.local_addr().unwrap().port();
    let first = if first > 60_000 { first - 3 } else { first };
    let busy = taken.local_addr().unwrap().port();
    let (public, internal) = (format!("{first}-{}", first + 9), "9000-9009");
    set(&store, &vault, &[("ports.public", &public), ("ports.internal", internal)]);
    let (status, out, err) = run(&["ports", "reserve", "wiki", "--passphrase-fd", "0", "-o", "json"], &pass);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    let got = told["public"].as_u64().unwrap() as u16;
    assert!(got != busy && (first..first + 10).contains(&got), "{out} {err}");
    // Nobody could tell of the guests of a machine that is no Proxmox host.
    assert!(status == 10 && told["unknown"].to_string().contains("appliance"), "{status} {out}");
    assert_eq!(run(&["ports", "reserve", "gitea", "--passphrase-fd", "0"], "wrong\n").0, 4);
    let told: serde_json::Value = serde_json::from_str(&run(&["ports", "who", &busy.to_string(), "-o", "json"], "").1).unwrap();
    assert_eq!(told["listens"], serde_json::json!(["host"]), "{told}");
    let (_, out, _) = run(&["ports", "who", &got.to_string()], "");
    assert!(out.contains("reserved for wiki") && out.contains("UNTIL"), "{out}");
    assert!(run(&["ports", "who", &got.to_string(), "--until", "2020-01-01"], "").1.contains("nobody had it then"));
    // Moving the ranges tells first who stays behind.
    let (_, out, _) = run(&["--dry-run", "settings", "set", "ports.public", "20000-20009", "--with", "ports.internal=21000-21009"], "");
    assert!(out.contains(&format!("! ports {} stay reserved for wiki", store.ports(None, Stamp(0)).unwrap().held[0].pair)), "{out}");
    assert!(out.contains("is then not kept for trusted sources") && out.contains("0 of 10 pairs are held then"), "{out}");
    let (status, out, _) = run(&["ports", "release", "wiki", "--passphrase-fd", "0"], &pass);
    assert!(status == 0 && out.contains("given back; free for others at"), "{out}");
    raw(&dir).execute("UPDATE port_past SET name = 'mine'", []).unwrap();
    let (status, _, err) = run(&["ports", "list", "--check", "--passphrase-fd", "0"], &pass);
    assert!(status == 10 && err.contains("was changed outside Proximity"), "{status} {err}");
}

/// A row of something published that answers, or does not.
fn row(name: &str, pair: Pair, day: i64, well: bool) -> Row {
    let answer = if well { Answer::Status { code: 200, ms: 1, size: None } } else { Answer::Silent("refused".into()) };
    Row {
        public: Some(pair.public),
        internal: Some(pair.internal),
        state: "published",
        name: name.parse().ok(),
        note: String::new(),
        target: String::new(),
        tls: None,
        outside: answer.clone(),
        inside: answer,
        lately: Default::default(),
        since: Some(Stamp(day * DAY)),
        drift: Vec::new(),
    }
}

#[test]
fn when_ports_last_answered_well_is_remembered_of_what_is_published_there_now() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let publish = |name: &str, day| {
        wish(&store, &vault, day, PortWish::Publish(name.parse().unwrap(), Box::new(Spec::to("web:80".parse().unwrap())), None))
    };
    let (web, wiki) = (publish("web", 10).unwrap().pair, publish("wiki", 10).unwrap().pair);
    // Looks at both, at this time; what is told of the public port of each.
    let look = |at: i64, web_well: bool, wiki_well: bool, write: bool| {
        let rows = vec![row("web", web, 10, web_well), row("wiki", wiki, 10, wiki_well)];
        let mut part = Part::new(Truth { rows, ..Truth::default() }, Stamp(at), From::Pct);
        remember(Ok(&store), &mut part, write);
        part.known.unwrap().rows.iter().map(|r| r.lately[0].well.clone()).collect::<Vec<_>>()
    };
    let (at, begun) = (|n: i64| LastWell::At(Stamp(n)), 11 * DAY);
    assert_eq!(look(begun, true, false, false), [at(begun), LastWell::Never]);
    assert_eq!(store.wells().unwrap(), [], "nothing was written");
    assert_eq!(look(begun, true, true, true), [at(begun), at(begun)]);
    assert_eq!(store.wells().unwrap().len(), 4);
    // The next look, after a restart of the console.
    let again = Store::open(&dir).unwrap();
    assert_eq!(again.wells().unwrap(), store.wells().unwrap());
    assert_eq!(look(begun + 9, false, true, true), [at(begun), at(begun + 9)]);
    // A clock that was ahead does not hold for ever.
    assert_eq!(look(begun + 10, false, false, true), [at(begun), at(begun + 9)]);
    raw(&dir).execute("UPDATE last_well SET well_ms = ?1 WHERE port = ?2", [begun * 9, i64::from(wiki.public)]).unwrap();
    assert_eq!(look(begun + 11, true, false, true), [at(begun + 11), LastWell::Never]);
    assert_eq!(look(begun + 12, false, true, true), [at(begun + 11), at(begun + 12)]);
    assert_eq!(look(begun + 13, false, false, true), [at(begun + 11), at(begun + 12)]);
    // Rows that are of nobody, or of somebody else.
    for change in ["name = 'Not A Name'", "name = 'other'", "published_ms = 7"] {
        raw(&dir).execute(&format!("UPDATE last_well SET {change} WHERE port = {}", web.public), []).unwrap();
        assert_eq!(look(begun + 20, false, false, true), [LastWell::Never, at(begun + 12)], "{change}");
        assert_eq!(look(begun + 12, true, true, true), [at(begun + 12), at(begun + 12)], "{change}");
    }
    // All of a look, or nothing of it.
    let well = |port: u16, n: i64| Well { port, name: "web".parse().unwrap(), published: Stamp(10 * DAY), at: Stamp(n) };
    let before = store.wells().unwrap();
    assert!(store.note_wells(&[well(web.public, begun + 90), well(web.internal, begun + 90), well(0, begun + 90)]).is_err());
    assert_eq!(store.wells().unwrap(), before);
    // Given up, or published otherwise: it goes with the next look, and nobody inherits it.
    wish(&store, &vault, 12, PortWish::Unpublish("web".parse().unwrap())).unwrap();
    look(begun + 100, false, true, true);
    assert_eq!(store.wells().unwrap().iter().map(|w| w.port).collect::<Vec<_>>(), [wiki.public, wiki.internal]);
}
