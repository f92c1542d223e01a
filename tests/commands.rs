//! The command line as a program of its own: what it prints, and with which status it ends.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "program.rs"]
mod program;

use program::proximity;

const LOG: &str = "header
2026-11-21 10:00:00 INFO begins
2026-11-21 10:00:05 ERROR it broke
    at first
2026-11-21 17:00:09 WARN be careful
";

#[test]
fn logs_are_sifted_by_time_level_and_number() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("app.log");
    std::fs::write(&path, LOG).unwrap();
    let source = format!("file:{}", path.display());
    let run = |args: &[&str]| {
        let args: Vec<&str> = ["logs", &source].into_iter().chain(args.iter().copied()).collect();
        proximity(home.path(), &args, "")
    };
    let lines = |range: std::ops::Range<usize>| LOG.split_inclusive('\n').collect::<Vec<_>>()[range].concat();
    for (args, expected) in [
        (&[][..], lines(0..5)),
        (&["-n", "2"], lines(3..5)),
        (&["--since", "2026-11-21 10:00:05", "--until", "2026-11-21T10:00:05Z"], lines(2..4)),
        (&["--level", "warn"], lines(2..5)),
        (&["--level", "warn", "-n", "1"], lines(4..5)),
        (&["--since", "2026-11-21", "--match", "it|at"], lines(2..4)),
        (&["--not", "e"], lines(3..4)),
        (&["--since", "2031-01-01"], String::new()),
    ] {
        let (status, out, _) = run(args);
        assert_eq!((status, out), (0, expected), "{args:?}");
    }
    assert!(run(&["--since", "2026-11-21"]).2.contains("1 line tells no time"));
    let (_, out, _) = run(&["-o", "json", "--match", "at first"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["line"], &told["source"]), (&"    at first".into(), &source.as_str().into()));
    assert_eq!(proximity(home.path(), &["logs", "-", "--level", "error"], LOG).1, lines(2..4));
}

#[test]
fn what_logs_cannot_do_is_said_and_has_a_status() {
    let home = tempfile::tempdir().unwrap();
    for (args, status, why) in [
        (&["logs", "file:/nowhere"][..], 1, "/nowhere is not there"),
        (&["logs", "/dev/null"], 1, "is a device, and only files are read"),
        (&["logs", "/"], 1, "is a directory"),
        (&["logs", "nobody"], 5, "there is no source 'nobody'"),
        (&["logs", "-", "--since", "soon"], 2, "'soon' is no time"),
        (&["logs", "-", "--level", "loud"], 2, "give one of debug, info"),
        (&["logs", "-", "--match", "("], 2, "not a regular expression"),
        (&["logs", "-", "--since", "1h", "--until", "2h"], 2, "before --since"),
        (&["logs", "-f", "--until", "now"], 2, "cannot be used with"),
        (&["logs", "job:1"], 3, "there is no store"),
    ] {
        let (got, out, err) = proximity(home.path(), args, "");
        assert!(got == status && out.is_empty() && err.contains(why), "{args:?}: {got} {err}");
    }
}

/// A passphrase on standard input; `proximity` reads it as descriptor 0.
const PASSPHRASE: &str = "orbit lantern mosaic velvet quarry seven\n";

#[test]
fn the_audit_is_listed_and_verified_and_one_changed_row_is_found() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let run = |args: &[&str], input: &str| {
        let args: Vec<&str> = ["--state", state.to_str().unwrap()].into_iter().chain(args.iter().copied()).collect();
        proximity(home.path(), &args, input)
    };
    let json = |args: &[&str]| -> serde_json::Value { serde_json::from_str(&run(args, "").1).unwrap() };
    assert_eq!(run(&["audit", "list"], "").0, 3, "there is no store");
    let (status, _, err) = run(&["init", "--operator", "ada", "--passphrase-fd", "0"], PASSPHRASE);
    assert_eq!(status, 0, "{err}");
    assert_eq!(run(&["vault", "status", "--passphrase-fd", "0"], "wrong\n").0, 4);
    assert_eq!(run(&["vault", "status", "--operator", "hunter2", "--passphrase-fd", "0"], PASSPHRASE).0, 4);

    let told = json(&["-o", "json", "audit", "list"]);
    let told: Vec<(&str, &str, &str)> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| (i["operator"].as_str().unwrap(), i["action"].as_str().unwrap(), i["outcome"].as_str().unwrap()))
        .collect();
    let expected = [("(unknown)", "vault.unlock", "refused"), ("ada", "vault.unlock", "refused"), ("ada", "vault.init", "ok")];
    assert_eq!(told, expected, "what was typed for a name is not written down");
    let found = json(&["-o", "json", "audit", "list", "--action", "vault.init", "--object", "vault", "--since", "1h"]);
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert_eq!(run(&["audit", "list", "--since", "soon"], "").0, 2);

    let (status, out, err) = run(&["audit", "verify", "--passphrase-fd", "0"], PASSPHRASE);
    assert!(status == 0 && out.contains("ok: 5 entries") && out.contains("seals: checked"), "{out}{err}");
    let (status, out, _) = run(&["audit", "verify", "--no-vault"], "");
    assert!(status == 10 && out.contains("seals: not checked"), "{out}");
    let lines = run(&["-o", "json", "audit", "export"], "").1;
    let lines: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((lines.len(), &lines[1]["entry"]["phase"], &lines[1]["entry"]["of"]), (5, &"outcome".into(), &1.into()));
    assert!(!serde_json::to_string(&lines).unwrap().contains("hunter2"));

    let db = rusqlite::Connection::open(state.join("proximity.db")).unwrap();
    let mut entry: Vec<u8> = db.query_row("SELECT entry FROM audit WHERE seq = 1", [], |row| row.get(0)).unwrap();
    let at = entry.windows(3).position(|w| w == b"ada").unwrap();
    entry[at..at + 3].copy_from_slice(b"eve");
    assert_eq!(db.execute("UPDATE audit SET entry = ?1 WHERE seq = 1", [entry]).unwrap(), 1);
    for args in [&["audit", "verify", "--passphrase-fd", "0"][..], &["audit", "verify", "--no-vault"]] {
        let (status, out, err) = run(args, PASSPHRASE);
        assert!(status == 1 && out.starts_with("entry 1: it is not what was written"), "{out}{err}");
        assert!(err.contains("1 thing(s) are not as they were written"), "{err}");
    }
}

#[test]
fn a_credential_is_tried_from_the_settings_or_as_given_and_nothing_is_saved() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let run = |args: &[&str], input: &str| {
        let args: Vec<&str> = ["--state", state.to_str().unwrap()].into_iter().chain(args.iter().copied()).collect();
        proximity(home.path(), &args, input)
    };
    let (status, _, err) = run(&["settings", "test", "proxmox", "127.0.0.1:1", "root@pam"], "hunter2\n");
    assert!(status == 7 && err.contains("Connection refused"), "{status} {err}");
    let test = ["settings", "test", "proxmox", "--passphrase-fd", "0"];
    assert_eq!(run(&test, PASSPHRASE).0, 3, "there is no store");
    assert_eq!(run(&["init", "--operator", "ada", "--passphrase-fd", "0"], PASSPHRASE).0, 0);
    let (status, _, err) = run(&test, PASSPHRASE);
    assert!(status == 3 && err.contains("proxmox.hosts: it is not set"), "{status} {err}");
    for pair in [["proxmox.hosts", "127.0.0.1"], ["proxmox.port", "1"], ["proxmox.user", "root@pam"]] {
        let (status, _, err) = run(&["settings", "set", pair[0], pair[1], "--passphrase-fd", "0"], PASSPHRASE);
        assert_eq!(status, 0, "{err}");
    }
    let (status, _, err) = run(&test, PASSPHRASE);
    assert!(status != 0 && err.contains("proxmox.secret"), "without a secret nothing is tried: {status} {err}");
    let told: serde_json::Value = serde_json::from_str(&run(&["-o", "json", "audit", "list", "--action", "settings.save"], "").1).unwrap();
    assert_eq!(told["items"].as_array().unwrap().len(), 3, "what was set is written down, what was tried is not");
}

#[test]
fn the_appliance_of_the_demo_has_one_lamp_that_is_not_well_and_every_lamp_its_evidence() {
    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let args: Vec<&str> = ["--host", "demo", "-o", "json", "appliance"].into_iter().chain(args.iter().copied()).collect();
        let (status, out, err) = proximity(home.path(), &args, "");
        (status, serde_json::from_str::<serde_json::Value>(&out).unwrap_or_default(), err)
    };
    let (status, told, err) = run(&["probe"]);
    assert_eq!(status, 10, "{err}");
    let items = told["items"].as_array().unwrap();
    let not: Vec<&str> = items.iter().filter(|i| i["light"] != "pass").map(|i| i["name"].as_str().unwrap()).collect();
    assert_eq!((items.len(), not), (20, vec!["ports"]));
    assert!(items.iter().all(|i| !i["evidence"].as_array().unwrap().is_empty() && i["means"] != ""), "{told}");
    assert_eq!((run(&["probe", "dns"]).0, run(&["probe", "ports"]).0, run(&["probe", "luck"]).0), (0, 10, 5));
    let (status, told, _) = run(&["leases"]);
    let web = told["items"].as_array().unwrap().iter().find(|i| i["guest"] == 101).unwrap();
    assert_eq!((status, &web["address"], &told["pool"]["size"]), (0, &"10.20.0.101".into(), &151.into()));
    assert_eq!((&told["pool"]["full_in_days"], &told["pins"]), (&serde_json::Value::Null, &serde_json::json!([])), "nothing is invented");
    let (status, out, _) = proximity(home.path(), &["--host", "demo", "--dry-run", "appliance", "pin", "101"], "");
    assert!(status == 0 && out.contains("+ dhcp-host=bc:24:11:00:00:65,10.20.0.101,web"), "{out}");
    for (args, why) in [
        (["pin", "101", "10.20.0.102"], "is lent to bc:24:11:00:00:66"),
        (["pin", "101", "10.20.0.1"], "the appliance's own address"),
        (["release", "10.20.0.101", "--yes"], "would go on using"),
    ] {
        let (status, _, err) = run(&args);
        assert!(status != 0 && err.contains(why), "{args:?}: {err}");
    }
    // Without a host nothing passes: this machine has no appliance.
    let (status, out, _) = proximity(home.path(), &["appliance", "status"], "");
    assert!(status == 1 || status == 7, "{status}: {out}");
    assert!(!out.contains("PASS"), "{out}");
}

#[test]
fn several_logs_are_merged_by_the_times_of_their_lines() {
    let home = tempfile::tempdir().unwrap();
    let (one, two) = (home.path().join("one.log"), home.path().join("two.log"));
    std::fs::write(&one, "2026-11-21 10:00:01 INFO a\n2026-11-21 10:00:05 ERROR b\n    at first\n2026-11-21 10:00:09 INFO c\n").unwrap();
    std::fs::write(&two, "{\"ts\":1795255202.5,\"msg\":\"x\"}\n{\"ts\":1795255205,\"level\":\"error\",\"msg\":\"y\",\"status\":502}\n")
        .unwrap();
    let (a, b) = (format!("file:{}", one.display()), format!("file:{}", two.display()));
    let run = |args: &[&str]| {
        let args: Vec<&str> = ["logs", &a, &b].into_iter().chain(args.iter().copied()).collect();
        let (status, out, err) = proximity(home.path(), &args, "");
        assert_eq!((status, err.as_str()), (0, ""), "{args:?}");
        out
    };
    let told = |out: &str| -> Vec<serde_json::Value> { out.lines().map(|l| serde_json::from_str(l).unwrap()).collect() };
    // The last letter of each line.
    let order = |out: &str| out.lines().filter_map(|l| l.chars().rev().find(|c| c.is_alphabetic())).collect::<String>();
    assert_eq!(order(&run(&[])), "axbtsc");
    assert_eq!(order(&run(&["--since", "2026-11-21 10:00:02"])), "xbtsc");
    assert_eq!(
        run(&["--level", "error"]),
        format!(
            "{a}: 2026-11-21 10:00:05 ERROR b\n{a}:     at first\n{b}: {}\n",
            "{\"ts\":1795255205,\"level\":\"error\",\"msg\":\"y\",\"status\":502}"
        )
    );
    assert_eq!(order(&run(&["-n", "2"])), "sc");
    let objects = told(&run(&["-o", "json", "--fields", "-n", "3"]));
    let of = |nth: usize, name: &str| objects[nth][name].clone();
    assert_eq!(objects.len(), 3);
    assert_eq!((of(0, "source"), of(0, "time"), of(0, "line")), (a.as_str().into(), "2026-11-21T10:00:05Z".into(), "    at first".into()));
    assert_eq!((of(1, "source"), of(1, "level"), of(1, "time")), (b.as_str().into(), "error".into(), "2026-11-21T10:00:05Z".into()));
    assert_eq!((objects[1]["fields"]["status"].clone(), objects[1]["fields"]["msg"].clone()), ("502".into(), "y".into()));
    assert!(told(&run(&["-o", "json"]))[0].get("fields").is_none());
    // One that cannot be read is said, and the other is printed all the same.
    let (status, out, err) = proximity(home.path(), &["logs", &a, "file:/nowhere"], "");
    assert!(status == 1 && out.lines().count() == 4 && err.contains("/nowhere is not there"), "{out}{err}");
}

#[test]
fn ports_are_given_out_by_the_demo_and_names_that_are_none_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let args: Vec<&str> = ["--host", "demo", "-o", "json"].into_iter().chain(args.iter().copied()).collect();
        let (status, out, err) = proximity(home.path(), &args, "");
        (status, serde_json::from_str::<serde_json::Value>(&out).unwrap_or_default(), err)
    };
    let (status, told, err) = run(&["ports", "list"]);
    assert_eq!((status, told["unknown"].as_array().unwrap().len()), (0, 0), "{err} {told}");
    // What Caddy of the demo listens on, and nobody reserved here.
    let states: Vec<_> =
        told["items"].as_array().unwrap().iter().map(|i| (i["public"].clone(), i["state"].clone(), i["listens"][0].clone())).collect();
    assert_eq!(states, [30_001, 30_002].map(|p: u16| (p.into(), "foreign".into(), "caddy".into())));
    assert_eq!(
        (&told["pairs"]["free"], &told["nearer_limit"]["is"], &told["addresses"]["size"]),
        (&998.into(), &"addresses".into(), &151.into())
    );
    for args in [&["ports", "reserve", "nextcloud"][..], &["--dry-run", "ports", "reserve", "nextcloud"]] {
        let (status, told, _) = run(args);
        assert_eq!(
            (status, &told["public"], &told["internal"], &told["changed"]),
            (0, &30_000.into(), &40_000.into(), &true.into()),
            "{told}"
        );
    }
    assert_eq!(run(&["ports", "pin", "wiki", "30002"]).1["now"]["state"], "kept");
    assert_eq!(run(&["ports", "who", "40002"]).1["state"], "free", "nothing listens on the internal one");
    let (status, told, _) = run(&["ports", "who", "30002", "--since", "2026-06-01"]);
    assert_eq!((status, &told["state"], &told["pair"]["internal"]), (0, &"foreign".into(), &40_002.into()));
    assert_eq!(run(&["--read-only", "ports", "reserve", "nextcloud"]).0, 8);
    for args in
        [&["release", "nobody"][..], &["unpin", "30005"], &["unblock", "30005"], &["block", "99", "--reason", "x"], &["pin", "wiki"]]
    {
        let (status, _, err) = run(&[&["ports"], args].concat());
        assert!(status == 6 && err.contains("nothing was changed"), "{args:?}: {err}");
    }
    let long = "a".repeat(300);
    for name in ["a\nb", "a\"b", "{a}", "a#", "ä", "30017", "", &long, "a b", "$HOME", "../etc", "\u{1b}[2J"] {
        let (status, _, err) = run(&["ports", "reserve", name]);
        assert_eq!(status, 2, "{name:?}: {err}");
        assert!(!err.contains('\u{1b}'), "{err:?}");
    }
    assert_eq!(run(&["ports", "block", "30005", "--reason", "two\nlines"]).0, 2);
    assert_eq!(run(&["ports", "site", "wiki", "--to", "wiki:80"]).0, 5, "it has no ports");
    for to in ["wiki", "wiki:80 {", "wiki}:80", "{$HOME}:80", "wiki:80\nrespond", "unix//run/x"] {
        assert_eq!(run(&["ports", "site", "wiki", "--to", to]).0, 2, "{to:?}");
    }
    assert_eq!(run(&["ports", "who", "0"]).0, 2);
    assert_eq!(run(&["ports", "who", "30001", "--since", "soon"]).0, 2);
}

/// The stuck guest of the demo: who holds its lock is told by each kind of evidence, and one plan clears away what is left.
#[test]
fn the_lock_doctor_names_what_is_left_of_the_killed_backup_of_the_demo() {
    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| proximity(home.path(), &[&["--host", "demo"], args].concat(), "");
    let (status, out, _) = run(&["-o", "json", "repair", "check", "locks", "104"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &told["guests"][0]["verdict"]["is"]), (0, &"nobody".into()), "{told}");
    let evidence = told["guests"][0]["evidence"].as_array().unwrap();
    assert!(evidence.len() >= 6 && evidence.iter().all(|e| matches!(e["mark"].as_str(), Some("free" | "noted"))), "{told}");
    let left = told["left"].as_array().unwrap();
    assert_eq!(left.iter().map(|l| l["what"].as_str().unwrap()).collect::<Vec<_>>(), ["lock", "partial"], "{told}");
    assert_eq!(left[1]["size"], 344 << 20);
    // The storage that is not mounted may hold more.
    assert_eq!(told["unknown"][0]["what"], "rests of backups on nas");
    let (status, plan, _) = run(&["--dry-run", "repair", "fix", "locks", "104"]);
    assert!(status == 0 && plan.matches("ask once more").count() == 2, "{plan}");
    assert!(
        plan.contains("    undo: pct set 104 --lock backup") && plan.contains("    $ rm -- /var/lib/vz/dump/vzdump-lxc-104-"),
        "{plan}"
    );
    assert_eq!(run(&["repair", "fix", "locks", "104"]).0, 6, "nobody is there to ask");
    let (status, out, said) = run(&["repair", "fix", "locks", "--yes"]);
    assert!(status == 0 && out.contains("succeeded"), "{out} {said}");
    let (status, out, _) = run(&["repair", "fix", "locks", "101", "--yes"]);
    assert!(status == 0 && out.contains("nothing to do"), "{out}");
    assert_eq!(run(&["repair", "fix", "locks", "777", "--yes"]).0, 0, "nothing is left of a guest that is not there");
}
