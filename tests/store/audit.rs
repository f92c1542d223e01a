//! The audit log from outside: what an attacker with the whole file and the key of today may try, thousands of times;
//! changes that come with their entry or not at all; a chain that must be readable for ever.
//!
//! The attacker computes with the cipher library itself and shares no code with the log.

use orion::hazardous::hash::blake2::blake2b::Blake2b;
use orion::hazardous::kdf::hkdf::{Hkdf, SHA256};
use orion::hazardous::mac::blake2b as keyed;
use proximity::domain::audit::{Deed, Ending, Entry, Head, Phase, Wanted, Who};
use proximity::domain::cmd::Cmd;
use proximity::domain::stamp::Stamp;
use proximity::store::audit::{self, Seals, append};
use proximity::store::{Store, StoreError, Vault, VaultError};
use rusqlite::{Connection, params};

use super::{OPERATOR, ROOMY, id, make_vault, new_store, raw, secret};

const START: i64 = 1_795_271_520_000;
const MINUTE: i64 = 60_000;

fn entry(at: i64, phase: Phase, title: &str) -> Entry {
    Entry {
        seq: 0,
        epoch: 0,
        at: Stamp(at),
        boottime_ms: (at - START).unsigned_abs(),
        boot_id: "5f2f6b1e-8f0d-4c44-9ef4-2f6d5e6f7a81".into(),
        who: Who { login_uid: Some(1000), ssh: Some("10.1.2.3".into()), tty: Some("/dev/pts/3".into()), ..Who::default() },
        mode: "command".into(),
        phase,
        deed: Deed::new("ada", "job.backup", "guest 101", title),
    }
}

/// So many entries, so many minutes between each two: intents and their outcomes in turn.
fn fill(store: &Store, entries: u64, minutes: i64) -> Head {
    let one = |n: u64| {
        let at = START + n.cast_signed() * minutes * MINUTE;
        let outcome = Phase::Outcome { of: n, ending: Ending::Ok, exit: Some(0) };
        entry(at, if n.is_multiple_of(2) { Phase::Intent } else { outcome }, &format!("back up 101 web, round {n}"))
    };
    store.write_txn(|tx| append(tx, (0..entries).map(one))).unwrap()
}

struct Raw {
    seq: i64,
    entry: Vec<u8>,
    hash: Vec<u8>,
    mac: Vec<u8>,
}

fn rows(store: &Store) -> Vec<Raw> {
    let all = |conn: &Connection| {
        let mut query = conn.prepare("SELECT seq, entry, hash, mac FROM audit ORDER BY seq")?;
        query.query_map([], |r| Ok(Raw { seq: r.get(0)?, entry: r.get(1)?, hash: r.get(2)?, mac: r.get(3)? }))?.collect()
    };
    store.read(all).unwrap()
}

fn put(conn: &Connection, row: &Raw) {
    let sql = "UPDATE audit SET entry = ?2, hash = ?3, mac = ?4 WHERE seq = ?1";
    assert_eq!(conn.execute(sql, params![row.seq, row.entry, row.hash, row.mac]).unwrap(), 1);
}

fn link(last: &[u8], entry: &[u8]) -> Vec<u8> {
    let mut hash = Blake2b::new(32).unwrap();
    hash.update(last).unwrap();
    hash.update(entry).unwrap();
    hash.finalize().unwrap().as_ref().to_vec()
}

fn hkdf(key: &[u8], log: &[u8], label: &str) -> [u8; 32] {
    let info = [&u32::try_from(label.len()).unwrap().to_be_bytes()[..], label.as_bytes()].concat();
    let mut out = [0; 32];
    Hkdf::<SHA256>::derive_key(log, key, Some(&info), &mut out).unwrap();
    out
}

fn seal(key: &[u8], log: &[u8], hash: &[u8]) -> Vec<u8> {
    let mut mac = keyed::Blake2b::new(&keyed::SecretKey::try_from(&hkdf(key, log, "audit seal")).unwrap(), 32).unwrap();
    mac.update(hash).unwrap();
    mac.finalize().unwrap().unprotected_as_ref().to_vec()
}

/// Random numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

/// A log whose keys are in the vault, and what a thief of the file finds in it.
struct Scene {
    store: Store,
    vault: Vault,
    rows: Vec<Raw>,
    log: Vec<u8>,
    key: Vec<u8>,
    epoch: u32,
    head: Head,
    _dir: tempfile::TempDir,
}

impl Scene {
    fn of(entries: u64, minutes: i64) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::in_memory().unwrap();
        let (vault, _) = make_vault(&store, dir.path());
        audit::keep(&vault, &store).unwrap();
        let head = fill(&store, entries, minutes);
        let sql = "SELECT log_id, key, epoch FROM audit_state";
        let (log, key, epoch) = store.read(|c| c.query_row(sql, [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))).unwrap();
        let rows = rows(&store);
        Scene { store, vault, rows, log, key, epoch, head, _dir: dir }
    }

    /// What the verifier says of the log after `attack`, and then the log is as it was.
    fn after(&self, seen: &[Head], attack: impl FnOnce(&Connection)) -> audit::Verdict {
        struct Undo(audit::Verdict);
        impl From<StoreError> for Undo {
            fn from(e: StoreError) -> Self {
                panic!("{e}")
            }
        }
        let looked = self.store.write_txn_as::<(), Undo>(|tx| {
            attack(tx);
            Err(Undo(self.store.audit_verify(Some(&self.vault), seen).unwrap()))
        });
        looked.err().unwrap().0
    }

    /// Links from `from` on made to fit, as anybody can.
    fn rechain(&self, conn: &Connection, changed: &[(usize, Vec<u8>)], sealed_with: Option<&[u8]>) {
        let first = changed[0].0;
        let mut last =
            if first == 0 { link(&[0; 32], &[b"proximity audit", &self.log[..]].concat()) } else { self.rows[first - 1].hash.clone() };
        for (at, row) in self.rows.iter().enumerate().skip(first) {
            let entry = changed.iter().find(|(n, _)| *n == at).map_or(&row.entry, |(_, e)| e).clone();
            let hash = link(&last, &entry);
            let mac = sealed_with.map_or(row.mac.clone(), |key| seal(key, &self.log, &hash));
            put(conn, &Raw { seq: row.seq, entry, hash: hash.clone(), mac });
            last = hash;
        }
        conn.execute("UPDATE audit_state SET hash = ?1", [last]).unwrap();
    }

    /// The entry at `at` with another story in it.
    fn forged(&self, at: usize, round: usize) -> Vec<u8> {
        let mut entry = Entry::read(&self.rows[at].entry).unwrap();
        match round % 4 {
            0 => entry.deed.operator = "bob".into(),
            1 => entry.deed.title.push('x'),
            2 => entry.at = Stamp(entry.at.0 + 1),
            _ => entry.who.ssh = None,
        }
        entry.bytes()
    }

    fn age(&self, at: usize) -> u32 {
        Entry::read(&self.rows[at].entry).unwrap().epoch
    }
}

fn say(kind: &str, found: usize, tried: usize) {
    println!("{kind}: {found} of {tried} found");
    assert_eq!(found, tried, "{kind}");
}

#[test]
fn every_forgery_is_found() {
    let scene = Scene::of(64, 2);
    assert!(scene.epoch >= 7, "{}", scene.epoch);
    let whole = scene.after(&[scene.head], |_| {});
    assert!(whole.is_whole() && whole.seals == Seals::Checked && whole.entries == 64, "{whole:?}");

    const ROUNDS: usize = 1000;
    let (len, dice) = (scene.rows.len(), &mut Dice(7));
    let run = |kind: &str, dice: &mut Dice, attack: &dyn Fn(&Connection, &mut Dice, usize)| {
        let found = (0..ROUNDS).filter(|round| !scene.after(&[], |conn| attack(conn, dice, *round)).is_whole()).count();
        say(kind, found, ROUNDS);
    };
    run("a byte of an entry, its link, its seal or its number changed", dice, &|conn, dice, round| {
        let mut row = Raw { seq: scene.rows[dice.below(len)].seq, ..Raw { seq: 0, entry: vec![], hash: vec![], mac: vec![] } };
        let was = &scene.rows[usize::try_from(row.seq - 1).unwrap()];
        (row.entry, row.hash, row.mac) = (was.entry.clone(), was.hash.clone(), was.mac.clone());
        let part = match round % 3 {
            0 => &mut row.entry,
            1 => &mut row.hash,
            _ => &mut row.mac,
        };
        let at = dice.below(part.len());
        part[at] ^= 1 << dice.below(8);
        put(conn, &row);
    });
    run("another story in an entry", dice, &|conn, dice, round| {
        let at = dice.below(len);
        put(
            conn,
            &Raw { entry: scene.forged(at, round), hash: scene.rows[at].hash.clone(), mac: scene.rows[at].mac.clone(), ..scene.rows[at] },
        );
    });
    run("entries taken out", dice, &|conn, dice, round| {
        let at = i64::try_from(dice.below(len - 4)).unwrap() + 1;
        let gone = i64::try_from(round % 3).unwrap() + 1;
        conn.execute("DELETE FROM audit WHERE seq >= ?1 AND seq < ?1 + ?2", [at, gone]).unwrap();
        if round % 2 == 0 {
            // And the rest moved up.
            conn.execute("UPDATE audit SET seq = -seq WHERE seq > ?1", [at]).unwrap();
            conn.execute("UPDATE audit SET seq = -seq - ?1 WHERE seq < 0", [gone]).unwrap();
            conn.execute("UPDATE audit_state SET seq = seq - ?1", [gone]).unwrap();
        }
    });
    run("two entries in each other's place", dice, &|conn, dice, round| {
        let a = dice.below(len - 1);
        let b = if round % 2 == 0 { a + 1 } else { (a + 1 + dice.below(len - 1)) % len };
        let (a, b) = (&scene.rows[a], &scene.rows[b]);
        put(conn, &Raw { seq: a.seq, entry: b.entry.clone(), hash: b.hash.clone(), mac: b.mac.clone() });
        put(conn, &Raw { seq: b.seq, entry: a.entry.clone(), hash: a.hash.clone(), mac: a.mac.clone() });
    });
    run("the end cut off", dice, &|conn, dice, _| {
        let left = i64::try_from(dice.below(len)).unwrap();
        conn.execute("DELETE FROM audit WHERE seq > ?1", [left]).unwrap();
    });
    run("an entry changed and the whole chain made anew", dice, &|conn, dice, round| {
        let at = dice.below(len);
        scene.rechain(conn, &[(at, scene.forged(at, round))], None);
    });
    let old = (0..len).filter(|at| scene.age(*at) < scene.epoch).count();
    run("an older entry changed, chain and seals made anew with the key of today", dice, &|conn, dice, round| {
        let at = dice.below(old);
        scene.rechain(conn, &[(at, scene.forged(at, round))], Some(&scene.key));
    });
    run("the same, said to be of the epoch of that key", dice, &|conn, dice, round| {
        let at = dice.below(old);
        let later: Vec<(usize, Vec<u8>)> = (at..len)
            .map(|n| {
                let mut entry = Entry::read(&scene.forged(n, round)).unwrap();
                entry.epoch = scene.epoch;
                (n, entry.bytes())
            })
            .collect();
        scene.rechain(conn, &later, Some(&scene.key));
    });
    run("an old entry written once more at the end", dice, &|conn, dice, _| {
        let again = &scene.rows[dice.below(len)];
        let mut entry = Entry::read(&again.entry).unwrap();
        entry.seq = len as u64 + 1;
        let hash = link(&scene.rows[len - 1].hash, &entry.bytes());
        let sql = "INSERT INTO audit (seq, entry, hash, mac) VALUES (?1, ?2, ?3, ?4)";
        conn.execute(sql, params![len as i64 + 1, entry.bytes(), hash, again.mac]).unwrap();
        conn.execute("UPDATE audit_state SET seq = seq + 1, hash = ?1, count = count + 1", [hash]).unwrap();
    });
    run("the row that says how it goes on changed", dice, &|conn, dice, round| {
        let sql =
            ["key = randomblob(32)", "epoch = epoch + 1", "seq = seq - 1", "hash = randomblob(32)", "log_id = randomblob(16)"][round % 5];
        conn.execute(&format!("UPDATE audit_state SET {sql}"), []).unwrap();
        let _ = dice;
    });
    run("an outcome filed under another intent", dice, &|conn, dice, round| {
        let at = i64::try_from(dice.below(len)).unwrap() + 1;
        let other = if round % 2 == 0 { None } else { Some(at + 100) };
        let sql = "UPDATE audit SET of_seq = ?2 WHERE seq = ?1";
        // An intent has none to begin with.
        let other = if at % 2 == 1 { Some(at + 100) } else { other };
        conn.execute(sql, params![at, other]).unwrap();
    });
}

#[test]
fn a_cut_that_hides_itself_is_told_by_epoch_or_by_who_saw_the_head() {
    let scene = Scene::of(64, 2);
    let cut = |left: usize| {
        let last = &scene.rows[left - 1];
        move |conn: &Connection| {
            conn.execute("DELETE FROM audit WHERE seq > ?1", [last.seq]).unwrap();
            conn.execute("UPDATE audit_state SET seq = ?1, hash = ?2", params![last.seq, last.hash]).unwrap();
        }
    };
    for left in 1..scene.rows.len() {
        let alone = scene.after(&[], cut(left));
        // The key of an older epoch cannot be had back.
        assert!(!alone.is_whole() || scene.age(left - 1) == scene.epoch, "{left}: {alone:?}");
        let seen = scene.after(&[scene.head], cut(left));
        assert!(!seen.is_whole(), "{left}");
    }
    let whole = scene.after(&[Head { seq: 3, hash: [9; 32], ..scene.head }], |_| {});
    assert_eq!(whole.faults[0].seq, 3, "another entry was seen elsewhere: {whole:?}");
    let foreign = scene.after(&[Head { log: id(9), seq: 900, hash: [9; 32] }], |_| {});
    assert!(foreign.is_whole(), "heads of another log say nothing of this one");
}

#[test]
fn a_fault_is_named_once_and_where_it_is() {
    let scene = Scene::of(64, 2);
    let one = scene.after(&[], |conn| {
        put(
            conn,
            &Raw { entry: scene.forged(20, 0), hash: scene.rows[20].hash.clone(), mac: scene.rows[20].mac.clone(), ..scene.rows[20] },
        );
    });
    assert_eq!(one.faults.iter().map(|f| f.seq).collect::<Vec<_>>(), [21], "{one:?}");
    let gone = scene.after(&[], |conn| assert!(conn.execute("DELETE FROM audit WHERE seq = 21", []).unwrap() > 0));
    assert_eq!((gone.faults[0].seq, gone.faults[0].what.as_str()), (22, "entry 21 is gone"), "{gone:?}");
    let all = scene.after(&[], |conn| assert!(conn.execute("UPDATE audit SET mac = zeroblob(32)", []).unwrap() > 0));
    assert_eq!((all.faults.len() as u64 + all.more, all.faults.len()), (64, 50));
}

#[test]
fn keys_change_after_256_entries_and_after_15_minutes_whatever_the_clock_does() {
    let scene = Scene::of(600, 0);
    let epochs: Vec<u32> = (0..600).map(|at| scene.age(at)).collect();
    assert_eq!((epochs[255], epochs[256], epochs[511], epochs[512], scene.epoch), (0, 1, 1, 2, 2));
    assert!(scene.after(&[scene.head], |_| {}).is_whole());

    let store = Store::in_memory().unwrap();
    let key = || store.read(|c| c.query_row("SELECT key FROM audit_state", [], |r| r.get::<_, Vec<u8>>(0))).unwrap();
    let mut epochs = Vec::new();
    // On, back by ten years, on again.
    for minutes in [0, 14, 15, 16, -5_256_000, -5_255_990, 0] {
        store.record(entry(START + minutes * MINUTE, Phase::Intent, "x")).unwrap();
        epochs.push(Entry::read(&rows(&store).last().unwrap().entry).unwrap().epoch);
    }
    assert_eq!(epochs, [0, 0, 1, 1, 2, 2, 3]);
    assert!(store.audit_verify(None, &[]).unwrap().is_whole());
    let before = key();
    for _ in 0..255 {
        store.record(entry(START, Phase::Intent, "x")).unwrap();
    }
    assert_ne!(before, key(), "the key of a full epoch is erased with its last entry");
    assert!(store.audit_verify(None, &[]).unwrap().is_whole());
}

#[test]
fn a_log_begins_before_there_is_a_vault_and_the_vault_takes_its_key() {
    let (_outer, dir, store) = new_store();
    store.record(entry(START, Phase::Intent, "before the vault")).unwrap();
    let first = || store.read(|c| c.query_row("SELECT first_key FROM audit_state", [], |r| r.get::<_, Option<Vec<u8>>>(0))).unwrap();
    let open = first().unwrap();
    assert_eq!(store.audit_verify(None, &[]).unwrap().seals, Seals::InTheOpen);
    let (vault, _) = super::support::try_vault(&store, &dir).unwrap();
    audit::keep(&vault, &store).unwrap();
    assert_eq!(first(), None);
    let file = std::fs::read(dir.join("proximity.db")).unwrap();
    // A(0) is still the key of today; once it was replaced no copy is left in the file.
    store.record(entry(START + 20 * MINUTE, Phase::Intent, "later")).unwrap();
    let later = std::fs::read(dir.join("proximity.db")).unwrap();
    let has = |file: &[u8]| file.windows(32).any(|w| w == open);
    assert_eq!((has(&file), has(&later)), (true, false));
    assert_eq!(store.audit_verify(None, &[]).unwrap().seals, Seals::NotChecked);
    let verdict = store.audit_verify(Some(&vault), &[]).unwrap();
    assert!(verdict.is_whole() && verdict.seals == Seals::Checked, "{verdict:?}");
    assert_eq!((verdict.entries, verdict.unknown), (2, 2));

    // The next unlock sees what was cut in between, although it hides itself.
    let vault = Vault::unlock(&store, &dir.join("host.key"), OPERATOR, &secret(super::PASSPHRASE), ROOMY).unwrap();
    audit::keep(&vault, &store).unwrap();
    let last = rows(&store).pop().unwrap();
    raw(&dir).execute("DELETE FROM audit WHERE seq = 2", []).unwrap();
    let was = rows(&store).pop().unwrap();
    raw(&dir).execute("UPDATE audit_state SET seq = 1, hash = ?1", [was.hash]).unwrap();
    assert!(matches!(audit::keep(&vault, &store), Err(VaultError::Tampered { .. })));
    assert!(!store.audit_verify(Some(&vault), &[]).unwrap().is_whole());
    let back = "INSERT INTO audit (seq, entry, hash, mac) VALUES (?1, ?2, ?3, ?4)";
    raw(&dir).execute(back, params![last.seq, last.entry, last.hash, last.mac]).unwrap();
    raw(&dir).execute("UPDATE audit_state SET seq = 2, hash = ?1", [last.hash]).unwrap();
    assert!(audit::keep(&vault, &store).is_ok());

    // A log that was thrown away does not begin again unseen.
    raw(&dir).execute_batch("DELETE FROM audit; DELETE FROM audit_state").unwrap();
    assert!(!store.audit_verify(Some(&vault), &[]).unwrap().is_whole());
    store.record(entry(START, Phase::Intent, "a new log")).unwrap();
    assert!(matches!(audit::keep(&vault, &store), Err(VaultError::Tampered { .. })));
    let verdict = store.audit_verify(Some(&vault), &[]).unwrap();
    assert!(verdict.faults[0].what.contains("replaced"), "{verdict:?}");
}

#[test]
fn rows_without_their_state_are_no_new_log() {
    let store = Store::in_memory().unwrap();
    assert!(store.audit_verify(None, &[]).unwrap().head.is_none());
    fill(&store, 4, 1);
    store.write_txn(|tx| Ok(tx.execute("DELETE FROM audit_state", [])?)).unwrap();
    assert!(matches!(store.record(entry(START, Phase::Intent, "x")), Err(StoreError::Corrupt { .. })));
    assert!(!store.audit_verify(None, &[]).unwrap().is_whole());
}

#[test]
fn a_change_and_its_entry_are_both_there_or_neither() {
    let store = Store::in_memory().unwrap();
    let failed = store.write_txn(|tx| {
        append(tx, [entry(START, Phase::Intent, "never")])?;
        Err::<(), _>(StoreError::Busy)
    });
    assert!(failed.is_err());
    assert_eq!(store.audit_page(&Wanted::default(), None, 9).unwrap().total, 0);
    assert!(store.audit_verify(None, &[]).unwrap().is_whole());
}

#[test]
fn pages_are_newest_first_with_their_outcomes_and_say_where_to_go_on() {
    let store = Store::in_memory().unwrap();
    fill(&store, 51, 1);
    let first = store.audit_page(&Wanted::default(), None, 10).unwrap();
    assert_eq!((first.total, first.records.len()), (51, 10));
    assert_eq!(first.records[0].entry.seq, 51);
    assert_eq!((first.records[0].standing().word(), first.records[1].standing().word()), ("unknown", "ok"));
    let (mut all, mut next) = (first.records, first.next);
    while let Some(below) = next {
        let page = store.audit_page(&Wanted::default(), Some(below), 7).unwrap();
        all.extend(page.records);
        next = page.next;
    }
    let seqs: Vec<u64> = all.iter().map(|r| r.entry.seq).collect();
    assert_eq!(seqs, (0..26).map(|n| 51 - 2 * n).collect::<Vec<u64>>());
    let object = Wanted { object: Some("round 8".into()), ..Wanted::default() };
    assert_eq!(store.audit_page(&object, None, 99).unwrap().records.len(), 1);
    // What is filed wrongly is not believed.
    store.write_txn(|tx| Ok(tx.execute("UPDATE audit SET of_seq = 51 WHERE seq = 2", [])?)).unwrap();
    let page = store.audit_page(&Wanted::default(), None, 99).unwrap();
    assert_eq!((page.records[0].standing().word(), page.records[25].standing().word()), ("unknown", "unknown"));
    store.write_txn(|tx| Ok(tx.execute("UPDATE audit SET entry = x'00' WHERE seq = 5", [])?)).unwrap();
    assert_eq!(store.audit_page(&Wanted::default(), None, 99).unwrap().unread, [5]);
}

#[test]
fn commands_have_one_hash_each() {
    let hash = |commands: &[(&str, &[&str])]| {
        let commands: Vec<Cmd> = commands.iter().map(|(p, a)| Cmd::new(p, a.iter().copied())).collect();
        audit::argv_hash(&commands).unwrap()
    };
    let all = [
        hash(&[("pct", &["start", "101"])]),
        hash(&[("pct", &["start 101"])]),
        hash(&[("pct", &["start"]), ("101", &[])]),
        hash(&[("pct", &["start", "102"])]),
        hash(&[]),
    ];
    for (n, one) in all.iter().enumerate() {
        assert!(!all[..n].contains(one), "{n}");
    }
    // printf 'hello' | sha256sum, in base64.
    assert_eq!(audit::ssh_fingerprint(b"hello").unwrap(), "SHA256:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ");
}

const FROZEN: &str = include_str!("../vectors/audit-v1.txt");

/// `tests/vectors/read_audit.py` made it and reads it, and shares no code with the log.
#[test]
fn the_frozen_chain_of_ten_is_whole_and_is_written_again_byte_for_byte() {
    let value = |name: &str| FROZEN.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(" = ")).unwrap();
    let blob = |name: &str| -> Vec<u8> {
        let text = value(name);
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let number = |name: &str| value(name).parse::<i64>().unwrap();
    let all: Vec<Raw> = (1..=10)
        .map(|seq| Raw { seq, entry: blob(&format!("entry.{seq}")), hash: blob(&format!("hash.{seq}")), mac: blob(&format!("mac.{seq}")) })
        .collect();
    let state = "INSERT INTO audit_state (only, log_id, first_key, key, epoch, began_ms, count, seq, hash) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

    let read = Store::in_memory().unwrap();
    let put = |tx: &rusqlite::Transaction<'_>| {
        for row in &all {
            let of = match Entry::read(&row.entry).unwrap().phase {
                Phase::Outcome { of, .. } => Some(of.cast_signed()),
                _ => None,
            };
            let sql = "INSERT INTO audit (seq, entry, hash, mac, of_seq) VALUES (?1, ?2, ?3, ?4, ?5)";
            tx.execute(sql, params![row.seq, row.entry, row.hash, row.mac, of])?;
        }
        let (epoch, began, count) = (number("epoch"), number("began_ms"), number("count"));
        tx.execute(state, params![blob("log_id"), blob("first_key"), blob("key"), epoch, began, count, 10, all[9].hash])?;
        Ok(())
    };
    read.write_txn(put).unwrap();
    let verdict = read.audit_verify(None, &[]).unwrap();
    assert!(verdict.is_whole() && verdict.seals == Seals::InTheOpen, "{verdict:?}");
    assert_eq!((verdict.entries, verdict.unknown, number("epoch")), (10, 0, 4));

    let again = Store::in_memory().unwrap();
    let begin = link(&[0; 32], &[&b"proximity audit"[..], &blob("log_id")].concat());
    let first = blob("first_key");
    again.write_txn(|tx| Ok(tx.execute(state, params![blob("log_id"), first, first, 0, 0, 0, 0, begin])?)).unwrap();
    let entries: Vec<Entry> = all.iter().map(|row| Entry::read(&row.entry).unwrap()).collect();
    again.write_txn(|tx| append(tx, entries)).unwrap();
    for (was, is) in all.iter().zip(rows(&again)) {
        assert_eq!((&was.entry, &was.hash, &was.mac), (&is.entry, &is.hash, &is.mac), "entry {}", was.seq);
    }
    let (key, epoch): (Vec<u8>, i64) =
        again.read(|c| c.query_row("SELECT key, epoch FROM audit_state", [], |r| Ok((r.get(0)?, r.get(1)?)))).unwrap();
    assert_eq!((key, epoch), (blob("key"), number("epoch")));
}
