//! What the tests of the store run as another process: killed while it writes, taking numbers beside others, without a umask.
//! And `freeze`, which prints a vault for `tests/vectors/` when the format gets a new version; the old file stays and
//! must open too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, dead_code)]

#[path = "image.rs"]
mod image;
#[path = "kinds.rs"]
mod kinds;
#[path = "support.rs"]
mod support;

use std::fmt::Write as _;
use std::io::BufRead;
use std::path::Path;

use proximity::domain::access::Who;
use proximity::domain::ports::{PortWish, Sockets};
use proximity::domain::session::Moment;
use proximity::domain::stamp::Stamp;
use proximity::host::local::LocalHost;
use proximity::ops::audit::Recorder;
use proximity::ops::ports::keep;
use proximity::store::{Login, Store, StoreError, Vault, host_key_path};
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use support::*;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[1..] {
        ["writer", dir] => writer(Path::new(dir)),
        ["guesser", dir] => guesser(Path::new(dir)),
        ["allocator", dir] => allocator(Path::new(dir), false),
        ["allocator-deferred", dir] => allocator(Path::new(dir), true),
        ["reserver", dir] => reserver(Path::new(dir)),
        ["maker-without-umask", dir] => maker_without_umask(Path::new(dir)),
        ["rotator", dir] => rotator(Path::new(dir)),
        ["holder", guard] => holder(guard),
        ["look", pid] => look(pid),
        ["write", kind, rounds, dir] => write(kind, rounds.parse().unwrap(), Path::new(dir)),
        ["freeze"] => freeze(),
        _ => panic!(
            "store-role writer|guesser|allocator|allocator-deferred|reserver|rotator|maker-without-umask DIR, write KIND ROUNDS DIR, holder guarded|open, look PID, or freeze"
        ),
    }
}

fn a_line() -> String {
    std::io::stdin().lock().lines().next().unwrap().unwrap()
}

/// One of the kinds of writes, to be cut off. Refusing is an answer, and no panic.
fn write(kind: &str, rounds: usize, dir: &Path) {
    let words = a_line();
    if let Err(why) = (kinds::by_name(kind).write)(dir, &words, rounds) {
        kinds::refuse(&why);
    }
}

/// Seals pairs for ever and says each one; the recovery words come on standard input. A pair must never be torn.
fn writer(dir: &Path) {
    let store = Store::open(dir).unwrap();
    let vault = Vault::unlock_with_words(&store, &secret(&a_line())).unwrap();
    for round in 0u64.. {
        let value = secret(&format!("{round:08} {}", "x".repeat(3000)));
        vault
            .change(&store, |tx| {
                vault.seal_in(tx, "pair", "left", &id(1), &value)?;
                vault.seal_in(tx, "pair", "right", &id(1), &value)
            })
            .unwrap();
        println!("wrote {round}");
    }
}

/// Changes the vault key for ever and says each time.
fn rotator(dir: &Path) {
    let store = Store::open(dir).unwrap();
    let mut vault = Vault::unlock_with_words(&store, &secret(&a_line())).unwrap();
    loop {
        println!("rotated {}", vault.rotate(&store).unwrap());
    }
}

/// Holds an open vault until it is killed.
fn holder(guard: &str) {
    if guard == "guarded" {
        proximity::store::guard_memory();
    } else {
        let all = rustix::process::Rlimit { current: None, maximum: None };
        // Only where the limit may be raised; the test says what it could not prove.
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, all);
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::in_memory().unwrap();
    let _held = make_vault(&store, dir.path());
    println!("holding");
    std::thread::sleep(std::time::Duration::from_secs(60));
}

/// Tries to open the memory of another process.
fn look(pid: &str) {
    match std::fs::File::open(format!("/proc/{pid}/mem")) {
        Ok(_) => println!("opened"),
        Err(e) => println!("{}", e.kind()),
    }
}

/// Takes the lowest free port so many times; the number comes on standard input. `deferred` begins its transactions as
/// SQLite does by itself, which no release does.
fn allocator(dir: &Path, deferred: bool) {
    let store = Store::open(dir).unwrap();
    println!("ready");
    let rounds: usize = a_line().parse().unwrap();
    let take = |conn: &Connection| {
        let free = "SELECT coalesce(min(port), 29999) + 1 FROM test_port a
                    WHERE NOT EXISTS (SELECT 1 FROM test_port b WHERE b.port = a.port + 1)";
        let port: i64 = conn.query_row(free, [], |row| row.get(0))?;
        // Between reading and writing is where a number is given twice; leave the others time to come in.
        std::thread::sleep(std::time::Duration::from_micros(300));
        conn.execute("INSERT INTO test_port (port, app) VALUES (?1, ?2)", [port, i64::from(std::process::id())])?;
        Ok::<_, rusqlite::Error>(port)
    };
    for _ in 0..rounds {
        let taken = if deferred {
            store.read(|conn| {
                let tx = Transaction::new_unchecked(conn, TransactionBehavior::Deferred)?;
                let port = take(&tx)?;
                tx.commit()?;
                Ok(port)
            })
        } else {
            store.write_txn(|tx| Ok(take(tx)?))
        };
        match taken {
            Ok(port) => println!("took {port}"),
            Err(StoreError::Busy) => println!("locked"),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Reserves ports under names of its own, with their entries in the audit; the recovery words and the number come on
/// standard input.
fn reserver(dir: &Path) {
    let store = Store::open(dir).unwrap();
    let vault = Vault::unlock_with_words(&store, &secret(&a_line())).unwrap();
    let audit = Recorder::new("test", &LocalHost::new()).with_journal(None);
    let (who, sockets) = (Who::owner(OPERATOR), Sockets::default());
    println!("ready");
    let rounds: usize = a_line().parse().unwrap();
    for round in 0..rounds {
        let wish = PortWish::Reserve(format!("app-{}-{round}", std::process::id()).parse().unwrap());
        match keep(&audit, &store, &vault, &who, Stamp(86_400_000), &wish, &sockets) {
            Ok(decided) => println!("took {}", decided.pair.public),
            Err(why) => println!("refused: {why}"),
        }
    }
}

/// Tries one wrong passphrase.
fn guesser(dir: &Path) {
    let store = Store::open(dir).unwrap();
    println!("ready");
    a_line();
    let login = Login {
        store: &store,
        host_key: &host_key_path(dir),
        memory_available: ROOMY,
        now: Moment { boot: "a".into(), ms: 1000 },
        unix_s: 0,
        pause: &|_| (),
    };
    println!("{}", login.passphrase(OPERATOR, &secret("orbit velvet cactus lantern mosaik")).is_ok());
}

fn maker_without_umask(dir: &Path) {
    rustix::process::umask(rustix::fs::Mode::empty());
    let store = Store::create(dir).unwrap();
    try_vault(&store, dir).unwrap();
    drop(store);
    Store::open(dir).unwrap().write_txn(|_| Ok(())).unwrap();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn freeze_row(out: &mut String, conn: &Connection, name: &str, table: &str, columns: &str, filter: &str) {
    for column in columns.split(' ') {
        let sql = format!("SELECT {column} FROM {table} WHERE {filter}");
        let value = match conn.query_row(&sql, [], |row| row.get(0)).unwrap() {
            Value::Integer(number) => format!("int {number}"),
            Value::Text(text) => format!("text {text}"),
            Value::Blob(bytes) => format!("hex {}", hex(&bytes)),
            Value::Null | Value::Real(_) => "null".to_owned(),
        };
        writeln!(out, "{name}.{column} = {value}").unwrap();
    }
}

fn freeze() {
    let plain = "the frozen value";
    let (_outer, dir, store) = new_store();
    let (vault, words) = make_vault(&store, &dir);
    vault.seal(&store, "host", "password", &id(7), &secret("an earlier value")).unwrap();
    vault.seal(&store, "host", "password", &id(7), &secret(plain)).unwrap();
    let conn = raw(&dir);
    let mut out = String::new();
    writeln!(out, "passphrase = text {PASSPHRASE}\nwords = text {}", words.expose().join(" ")).unwrap();
    writeln!(out, "host_key = hex {}", hex(&std::fs::read(dir.join("host.key")).unwrap())).unwrap();
    writeln!(out, "plain = text {plain}").unwrap();
    freeze_row(&mut out, &conn, "meta", "vault_meta", META, "only = 1");
    freeze_row(&mut out, &conn, "slot_operator", "slot", SLOT, "kind = 'operator'");
    freeze_row(&mut out, &conn, "slot_recovery", "slot", SLOT, "kind = 'recovery'");
    freeze_row(&mut out, &conn, "operator", "operator", OPERATOR_ROW, "1");
    freeze_row(&mut out, &conn, "manifest", "manifest", MANIFEST, "1");
    freeze_row(&mut out, &conn, "record", "sealed", RECORD, "1");
    println!("{out}");
}
