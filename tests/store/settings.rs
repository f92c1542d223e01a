//! Settings in the store: two writers, reverting, secrets that are not touched, rows that somebody changed.

use std::path::Path;
use std::sync::Arc;

use proximity::domain::settings::{Change, Fixed, Held, Key, SecretChange, Staged, Value};
use proximity::domain::stamp::Stamp;
use proximity::store::{SaveError, Store, Vault, VaultError};
use rusqlite::types::Value as Cell;

use super::program::proximity;
use super::{make_vault, new_store, raw, secret};

fn key(name: &str) -> Key {
    name.parse().unwrap()
}

fn set(name: &str, text: &str, seen: u32) -> Staged {
    let key = key(name);
    let change = Change::Set(key.definition().parse(text).unwrap());
    Staged { key, change, seen }
}

fn set_secret(text: &str, seen: u32) -> Staged {
    Staged { key: key("proxmox.secret"), change: Change::Secret(SecretChange::Set(Arc::new(secret(text)))), seen }
}

fn save(store: &Store, vault: &Vault, changes: &[Staged]) -> Result<usize, SaveError> {
    store.save_settings(vault, changes, &[], "marta", Stamp(1_795_000_000_000))
}

/// Everything that is sealed, as it stands on the disk.
fn sealed(dir: &std::path::Path) -> Vec<Vec<Cell>> {
    let conn = raw(dir);
    let mut query = conn.prepare("SELECT * FROM sealed ORDER BY column_name, row_id").unwrap();
    let columns = query.column_count();
    query.query_map([], |row| (0..columns).map(|i| row.get(i)).collect()).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn what_is_saved_holds_and_is_remembered() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let changes = [set("system.refresh", "30 s", 0), set("backups.storage", "nas", 0), set("backups.mode", "snapshot", 0)];
    assert_eq!(save(&store, &vault, &changes).unwrap(), 3);
    assert_eq!(save(&store, &vault, &[set("system.refresh", "30", 1)]).unwrap(), 0, "the same again is no change");
    assert_eq!(save(&store, &vault, &[set("system.refresh", "1 min", 1)]).unwrap(), 1);
    assert_eq!(save(&store, &vault, &[Staged { key: key("backups.storage"), change: Change::Unset, seen: 1 }]).unwrap(), 1);
    drop(store);

    let store = Store::open(&dir).unwrap();
    let settings = store.settings(Some(&vault)).unwrap();
    assert!(settings.checked && settings.bad().next().is_none());
    assert_eq!((settings.span("system.refresh"), settings.storage("backups.storage")), (Ok(60), Ok(None)));
    assert_eq!(settings.span("system.idle_lock"), Ok(900), "a default");
    assert_eq!(settings.row(&key("system.refresh")).unwrap().by, "marta");
    let unchecked = store.settings(None).unwrap();
    assert!(!unchecked.checked && unchecked.span("system.refresh") == Ok(60), "without the vault rows are read, and said to be unchecked");

    let past = store.setting_history(Some(&vault), Some(&key("system.refresh")), 10).unwrap();
    let words: Vec<(u32, String, String)> = past.iter().map(|p| (p.version, p.words().0, p.words().1)).collect();
    assert_eq!(words, [(2, "30 s".into(), "1 min".into()), (1, "10 s (default)".into(), "30 s".into())]);
    assert!(past[0].now && past[0].back().is_err());
    assert_eq!(store.setting_history(Some(&vault), None, 100).unwrap().len(), 5);

    let change = past[1].back().unwrap();
    save(&store, &vault, &[Staged { key: key("system.refresh"), change, seen: 2 }]).unwrap();
    let settings = store.settings(Some(&vault)).unwrap();
    assert_eq!((settings.span("system.refresh"), settings.version(&key("system.refresh"))), (Ok(30), 3));
}

#[test]
fn of_two_consoles_the_second_is_told_and_nothing_of_it_is_saved() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let other = Store::open(&dir).unwrap();
    save(&store, &vault, &[set("network.domain", "apps.lan", 0)]).unwrap();
    let second = [set("system.refresh", "1 min", 0), set("network.domain", "home.lan", 0)];
    let refused = other.save_settings(&vault, &second, &[], "grace", Stamp(1));
    assert!(matches!(&refused, Err(SaveError::Conflict { key: k, by, version: 1 }) if *k == key("network.domain") && by == "marta"));
    let settings = other.settings(Some(&vault)).unwrap();
    assert_eq!(settings.version(&key("system.refresh")), 0, "all or nothing");
    assert_eq!(settings.value(&key("network.domain")), Ok(Some(Value::Text("apps.lan".into()))));
}

#[test]
fn two_halves_of_a_rule_from_two_consoles_do_not_pass() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let moved = [set("network.subnet", "10.20.0.0/23", 0), set("network.gateway", "10.20.1.1", 0)];
    save(&store, &vault, &moved).unwrap();
    // Made upon the old subnet, whose version it does not name.
    let range = save(&store, &vault, &[set("network.dhcp", "10.20.1.1-10.20.1.9", 0)]);
    assert!(matches!(&range, Err(SaveError::Trouble(t)) if t[0].why.contains("gateway 10.20.1.1 lies in")), "{range:?}");
    let fixed = [Fixed { guest: "104 wiki".into(), address: [10, 20, 0, 104].into(), bridge: "proximity-lan".into() }];
    let dhcp = [set("network.dhcp", "10.20.0.100-10.20.0.110", 0)];
    let refused = store.save_settings(&vault, &dhcp, &fixed, "marta", Stamp(1));
    assert!(matches!(&refused, Err(SaveError::Trouble(t)) if t[0].why.contains("104 wiki")));
    assert_eq!(
        store.save_settings(&vault, &[set("system.refresh", "1 min", 0)], &fixed, "marta", Stamp(1)).unwrap(),
        1,
        "a rule broken before is not its fault"
    );
}

#[test]
fn a_secret_goes_one_step_back_and_no_further() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let open = || store.setting_secret(&vault, &key("proxmox.secret")).map(|s| s.expose_text().unwrap().to_owned());
    let back = |version: u32, seen: u32| {
        let past = store.setting_history(Some(&vault), Some(&key("proxmox.secret")), 10).unwrap();
        let change = past.iter().find(|p| p.version == version).unwrap().back()?;
        save(&store, &vault, &[Staged { key: key("proxmox.secret"), change, seen }]).map_err(|e| e.to_string())
    };
    assert!(matches!(open(), Err(VaultError::NotSet { .. })));
    for (n, text) in ["one", "two", "three"].into_iter().enumerate() {
        save(&store, &vault, &[set_secret(text, n as u32)]).unwrap();
    }
    assert_eq!(store.settings(Some(&vault)).unwrap().held(&key("proxmox.secret")), &Held::Secret);
    assert!(back(1, 3).unwrap_err().contains("only the last secret"));
    assert_eq!((back(2, 3), open().unwrap()), (Ok(1), "two".to_owned()));
    assert_eq!((back(3, 4), open().unwrap()), (Ok(1), "three".to_owned()), "and forth again");
    let clear = Staged { key: key("proxmox.secret"), change: Change::Secret(SecretChange::Clear), seen: 5 };
    save(&store, &vault, &[clear]).unwrap();
    assert!(
        matches!(open(), Err(VaultError::NotSet { .. }))
            && store.settings(Some(&vault)).unwrap().held(&key("proxmox.secret")) == &Held::Default
    );
    assert_eq!((back(5, 6), open().unwrap()), (Ok(1), "three".to_owned()));
    let words = |p: &proximity::domain::settings::Past| format!("{} > {}", p.words().0, p.words().1);
    let past = store.setting_history(None, Some(&key("proxmox.secret")), 10).unwrap();
    assert_eq!(past.iter().rev().map(words).collect::<Vec<_>>()[..2], ["not set > set", "set > changed"]);
    let bytes = std::fs::read(dir.join("proximity.db")).unwrap();
    assert!(!bytes.windows(5).any(|w| w == b"three"), "in the open");
}

/// TRUST T42: whatever else is saved, a secret that was not touched keeps its bytes.
#[test]
fn an_untouched_secret_keeps_its_bytes_through_ten_thousand_saves() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    save(&store, &vault, &[set_secret("hunter2", 0)]).unwrap();
    let (before, row) = (sealed(&dir), store.settings(Some(&vault)).unwrap().version(&key("proxmox.secret")));
    let keep = || Staged { key: key("proxmox.secret"), change: Change::Secret(SecretChange::Keep), seen: 1 };
    let mut seed = 7_u64;
    // A form holds many edits; each save here is one form with up to fifty of them.
    let (mut edits, mut versions) = (0, std::collections::BTreeMap::<String, u32>::new());
    while edits < 10_000 {
        let mut form = vec![keep()];
        for (name, values) in [
            ("system.refresh", ["10 s", "30 s", "1 min"]),
            ("resources.memory", ["512", "1024", "4096"]),
            ("backups.mode", ["stop", "suspend", "snapshot"]),
        ] {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            form.push(set(name, values[(seed >> 33) as usize % 3], *versions.get(name).unwrap_or(&0)));
        }
        for sites in 0..46 {
            let name = format!("proxmox@s{sites}.port");
            form.push(set(&name, &(1 + (seed >> 20) % 60_000).to_string(), *versions.get(&name).unwrap_or(&0)));
        }
        edits += form.len();
        save(&store, &vault, &form).unwrap();
        let now = store.settings(None).unwrap();
        versions = form.iter().map(|s| (s.key.to_string(), now.version(&s.key))).collect();
    }
    assert_eq!((sealed(&dir), store.settings(Some(&vault)).unwrap().version(&key("proxmox.secret"))), (before, row));
}

/// Puts a whole file back, and takes away what would tell that it is an older one.
fn put_back(dir: &Path, whole: &[u8]) {
    std::fs::write(dir.join("proximity.db"), whole).unwrap();
    std::fs::remove_file(dir.join("anchor")).unwrap_or_default();
}

/// TRUST T07: every change of a row's live columns is found, and neither its value nor the default is used.
#[test]
fn rows_changed_outside_are_errors_and_never_defaults() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    save(&store, &vault, &[set("system.strict_audit", "on", 0), set("system.refresh", "1 min", 0), set_secret("hunter2", 0)]).unwrap();
    drop(store);
    let whole = std::fs::read(dir.join("proximity.db")).unwrap();
    let tampered = [
        "UPDATE setting SET value = 'off' WHERE key = 'system.strict_audit'",
        "UPDATE setting SET value = NULL, what = 'default' WHERE key = 'system.strict_audit'",
        "UPDATE setting SET value = (SELECT value FROM setting WHERE key = 'system.refresh') WHERE key = 'system.strict_audit'",
        "UPDATE setting SET version = 9 WHERE key = 'system.strict_audit'",
        "UPDATE setting SET who = 'grace' WHERE key = 'system.strict_audit'",
        "UPDATE setting SET at_ms = at_ms + 1 WHERE key = 'system.strict_audit'",
        "UPDATE setting SET mac = NULL WHERE key = 'system.strict_audit'",
        "UPDATE setting SET mac = (SELECT mac FROM setting WHERE key = 'system.refresh') WHERE key = 'system.strict_audit'",
        "UPDATE setting SET id = 99 WHERE key = 'system.strict_audit'",
        "UPDATE setting SET value = value || ' ' WHERE key = 'system.strict_audit'",
    ];
    for sql in tampered {
        put_back(&dir, &whole);
        assert_eq!(raw(&dir).execute(sql, []).unwrap(), 1, "{sql}");
        let store = Store::open(&dir).unwrap();
        let settings = store.settings(Some(&vault)).unwrap();
        assert!(settings.flag("system.strict_audit").is_err(), "{sql}");
        assert_eq!(settings.span("system.refresh"), Ok(60), "the others hold");
        let seen = settings.version(&key("system.strict_audit"));
        let saved = save(&store, &vault, &[set("system.strict_audit", "on", seen)]);
        // What the manifest lists too, a row's number and its tag, stops every change.
        if sql.contains("SET mac") || sql.contains("SET id") {
            assert!(matches!(saved, Err(SaveError::Vault(VaultError::Tampered { .. }))), "{sql}");
            continue;
        }
        assert_eq!(saved.unwrap(), 1, "setting it anew mends it: {sql}");
        assert_eq!(store.settings(Some(&vault)).unwrap().flag("system.strict_audit"), Ok(true));
    }
    for sql in [
        "UPDATE sealed SET body = zeroblob(length(body)) WHERE column_name = 'proxmox.secret'",
        "DELETE FROM sealed WHERE column_name = 'proxmox.secret'",
        "UPDATE setting SET what = 'value', value = 'hunter3' WHERE key = 'proxmox.secret'",
    ] {
        put_back(&dir, &whole);
        assert_eq!(raw(&dir).execute(sql, []).unwrap(), 1, "{sql}");
        let store = Store::open(&dir).unwrap();
        assert_eq!(store.settings(Some(&vault)).unwrap().shown(&key("proxmox.secret")), "cannot be read (tampered?)", "{sql}");
        let saved = save(&store, &vault, &[set_secret("new", 1)]);
        if sql.contains("sealed") {
            assert!(matches!(saved, Err(SaveError::Vault(VaultError::Tampered { .. }))), "{sql}");
            continue;
        }
        saved.unwrap();
        assert_eq!(store.setting_secret(&vault, &key("proxmox.secret")).unwrap().expose(), b"new");
    }
    put_back(&dir, &whole);
    raw(&dir).execute("UPDATE setting_past SET value = 'off' WHERE key = 'system.strict_audit'", []).unwrap();
    let store = Store::open(&dir).unwrap();
    let past = store.setting_history(Some(&vault), Some(&key("system.strict_audit")), 10).unwrap();
    assert!(matches!(&past[0].new, Held::Bad(_)), "history too");
}

#[test]
fn while_read_only_is_on_only_it_can_be_changed() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    save(&store, &vault, &[set("system.read_only", "on", 0)]).unwrap();
    let other = || [set("system.refresh", "1 min", 0)];
    assert!(matches!(save(&store, &vault, &other()), Err(SaveError::ReadOnly)));
    raw(&dir).execute("UPDATE setting SET value = 'off'", []).unwrap();
    assert!(matches!(save(&store, &vault, &other()), Err(SaveError::ReadOnly)), "switched off by somebody else");
    assert_eq!(save(&store, &vault, &[set("system.read_only", "off", 1)]).unwrap(), 1);
    assert_eq!(save(&store, &vault, &other()).unwrap(), 1);
}

/// VACUUM copies the file and may number hidden rows anew; ours have numbers of their own.
#[test]
fn tags_survive_a_vacuum() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    for (n, name) in ["system.refresh", "system.idle_lock", "network.lease"].into_iter().enumerate() {
        save(&store, &vault, &[set(name, &format!("{} min", n + 2), 0)]).unwrap();
    }
    raw(&dir).execute("DELETE FROM setting WHERE key = 'system.refresh'", []).unwrap();
    raw(&dir).execute_batch("VACUUM").unwrap();
    let store = Store::open(&dir).unwrap();
    assert_eq!(store.settings(Some(&vault)).unwrap().bad().count(), 0);
}

#[test]
fn the_vault_of_the_demo_signs_no_file() {
    let (_outer, _dir, store) = new_store();
    assert!(Vault::of_demo(&store).is_err());
    let store = Store::in_memory().unwrap();
    let vault = Vault::of_demo(&store).unwrap();
    assert_eq!(save(&store, &vault, &[set("system.theme", "mono", 0), set_secret("x", 0)]).unwrap(), 2);
    assert_eq!(store.settings(Some(&vault)).unwrap().word("system.theme"), Ok("mono"));
}

/// The command line on a real store: exit statuses, secrets on standard input only, files that were cut.
#[test]
fn the_command_line_saves_refuses_and_tells() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let run = |args: &[&str], input: &str| {
        let args: Vec<&str> = ["--state", dir.to_str().unwrap(), "settings"].into_iter().chain(args.iter().copied()).collect();
        proximity(&dir, &args, input)
    };
    let pass = format!("{}\n", super::PASSPHRASE);
    let (status, out, _) = run(&["set", "system.refresh", "30 s", "--passphrase-fd", "0"], &pass);
    assert!(status == 0 && out.starts_with("system.refresh: 10 s -> 30 s"), "{out}");
    assert_eq!(run(&["set", "system.refresh", "1 min", "--passphrase-fd", "0"], "wrong\n").0, 4);
    assert_eq!(run(&["set", "network.nothing", "1", "--passphrase-fd", "0"], &pass).0, 5);
    assert_eq!(run(&["set", "system.refresh", "1 s", "--passphrase-fd", "0"], &pass).0, 2);
    assert_eq!(run(&["set", "network.subnet", "10.30.0.0/24", "--passphrase-fd", "0"], &pass).0, 6);
    let (status, _, why) = run(&["set", "proxmox.secret", "hunter2", "--passphrase-fd", "0"], &pass);
    assert!(status == 2 && !why.contains("hunter2"), "{why}");
    let moved = [
        "set",
        "network.subnet",
        "10.30.0.0/24",
        "--passphrase-fd",
        "0",
        "--with",
        "network.gateway=10.30.0.1",
        "--with",
        "network.dhcp=10.30.0.9-10.30.0.90",
    ];
    assert_eq!(run(&moved, &pass).0, 0);
    let (status, out, err) = run(&["get", "system.refresh"], "");
    assert!(status == 0 && out == "30 s\n" && err.contains("not checked"), "{out}{err}");

    let file = dir.join("export.toml");
    let file = file.to_str().unwrap();
    assert_eq!(run(&["export", file], "").0, 0);
    assert_eq!(run(&["export", file], "").0, 1, "a file that is there is not written over");
    assert_eq!(run(&["unset", "system.refresh", "--passphrase-fd", "0"], &pass).0, 0);
    let whole = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(run(&["import", file, "--yes", "--passphrase-fd", "0"], &pass).0, 6);
    std::fs::write(file, &whole).unwrap();
    assert_eq!(run(&["import", file, "--passphrase-fd", "0"], &pass).0, 6, "nobody is there to ask");
    let (status, out, err) = run(&["import", file, "--yes", "--passphrase-fd", "0"], &pass);
    assert!(status == 0 && out.contains("10 s -> 30 s") && !out.contains("network"), "{out}{err}");
    assert_eq!(run(&["revert", "system.refresh", "9", "--passphrase-fd", "0"], &pass).0, 5);
    assert_eq!(run(&["revert", "system.refresh", "3", "--passphrase-fd", "0"], &pass).0, 6, "it holds now");
    assert_eq!(run(&["revert", "system.refresh", "2", "--passphrase-fd", "0"], &pass).0, 0);
    assert_eq!(store.settings(Some(&vault)).unwrap().version(&key("system.refresh")), 4);

    raw(&dir).execute("UPDATE setting SET value = '5 s' WHERE key = 'system.refresh'", []).unwrap();
    raw(&dir).execute("UPDATE setting SET what = 'value', value = '5 s' WHERE key = 'system.refresh'", []).unwrap();
    assert_eq!(run(&["get", "system.refresh", "--passphrase-fd", "0"], &pass).0, 1, "changed outside");
    let (status, out, _) = run(&["list", "system", "--passphrase-fd", "0", "-o", "json"], &pass);
    let list: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(status == 1 && list["checked"] == true && list["items"][1]["value"].is_null(), "{list}");
}
