//! Restricted mode and roles with the real binary: attempts to get at a shell, a file, another store or a role, each in a
//! mount namespace of its own store, under strace. What was executed is compared with what may be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use proximity::domain::access::{Role, Who};
use proximity::domain::audit::{Decision, Phase, Wanted};
use proximity::domain::job::State;
use proximity::domain::plan::{Approved, Plan, Purpose, Risk};
use proximity::domain::stamp::Stamp;
use proximity::host::Host;
use proximity::host::local::LocalHost;
use proximity::ops::audit::{Recorder, deed_of};
use proximity::store::{Cost, NewOperator, OperatorChange, Secret, Store, Vault, host_key_path, set_role};

const PASSPHRASE: &str = "orbit lantern mosaic velvet quarry seven";

/// What the program itself may execute: the tools of the host, by argument vectors of its own making.
const MAY: [&str; 7] = ["pct", "pvesh", "pvesm", "vzdump", "journalctl", "tail", "lxc-info"];

/// How long anything is waited for, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

struct World {
    outer: tempfile::TempDir,
}

impl World {
    /// A store as /var/lib/proximity with one operator of each role; `None` where nobody may make namespaces.
    fn new() -> Option<World> {
        let can = Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|s| s.success())
            && Command::new("strace").arg("-V").output().is_ok_and(|o| o.status.success());
        if !can {
            eprintln!("restricted: SKIPPED: needs root, unshare and strace");
            assert!(std::env::var_os("CI").is_none(), "in CI this must run");
            return None;
        }
        let world = World { outer: tempfile::tempdir().unwrap() };
        let dir = world.dir();
        std::fs::create_dir(dir.parent().unwrap()).unwrap();
        let store = Store::create(&dir).unwrap();
        let key = host_key_path(&dir);
        let passphrase = Secret::from_text(PASSPHRASE.into());
        let new = |operator: &'static str| NewOperator {
            host_key: &key,
            operator,
            passphrase: &passphrase,
            cost: Cost::FLOOR,
            memory_available: 16 << 30,
            now_ms: 1,
        };
        let (vault, _) = Vault::create(&store, &new("ada")).unwrap();
        for (name, role) in [("otto", Role::Operator), ("sven", Role::ServiceOwner), ("vera", Role::Viewer)] {
            vault.add_operator(&store, &new(name), |tx, row| set_role(tx, row, role)).unwrap();
        }
        vault.change_operator(&store, "sven", &OperatorChange::Guests(vec!["101".parse().unwrap()]), 2).unwrap();
        Some(world)
    }

    fn dir(&self) -> PathBuf {
        self.outer.path().join("lib/proximity")
    }

    fn canary(&self) -> PathBuf {
        self.outer.path().join("canary")
    }

    /// The words that run `args` of the program as `account`, with /var/lib being ours; what is executed goes to `log`.
    fn argv(&self, account: &str, env: &[(&str, &str)], args: &[&str]) -> Vec<String> {
        let log = self.outer.path().join("execs");
        let mut words: Vec<String> = ["unshare", "-m", "--propagation", "private", "sh", "-c"].map(String::from).into();
        // A file `code` is there to be read as descriptor 3.
        words.push(
            "mount --bind \"$0\" /var/lib; cd \"$0/..\"; [ ! -d etc ] || mount --bind etc /etc; [ ! -f code ] || exec 3<code; exec \"$@\""
                .into(),
        );
        words.push(self.dir().parent().unwrap().display().to_string());
        words.extend(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "TERM=xterm-256color"].map(String::from));
        words.extend(env.iter().map(|(k, v)| format!("{k}={v}")));
        if !account.is_empty() {
            words.push(format!("SUDO_USER={account}"));
        }
        words.extend(["strace", "-f", "-qq", "-s", "300", "-e", "trace=execve", "-e", "signal=none", "-o"].map(String::from));
        words.extend([log.display().to_string(), env!("CARGO_BIN_EXE_proximity").into()]);
        words.extend(args.iter().map(|a| (*a).to_owned()));
        words
    }

    fn run(&self, account: &str, env: &[(&str, &str)], args: &[&str]) -> Output {
        let words = self.argv(account, env, args);
        Command::new(&words[0]).args(&words[1..]).output().unwrap()
    }

    /// The same with something to read as descriptor 0; its status and what it said of what is wrong.
    fn tell(&self, account: &str, args: &[&str], input: &str) -> (i32, String) {
        let words = self.argv(account, &[], args);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may end without reading all.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let out = child.wait_with_output().unwrap();
        (out.status.code().unwrap_or(-1), String::from_utf8(out.stderr).unwrap())
    }

    /// An /etc whose Proxmox has a guest 101; whether it runs is not known, so it can be stopped.
    fn with_guest(self) -> World {
        let etc = self.outer.path().join("etc");
        let confs = etc.join("pve/nodes/elsewhere/lxc");
        std::fs::create_dir_all(&confs).unwrap();
        std::fs::write(confs.join("101.conf"), "hostname: web\narch: amd64\n").unwrap();
        std::os::unix::fs::symlink("nodes/elsewhere/lxc", etc.join("pve/lxc")).unwrap();
        std::fs::write(etc.join("passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        self
    }

    /// The vault, as ada opens it.
    fn vault(&self, store: &Store) -> Vault {
        Vault::unlock(store, &host_key_path(&self.dir()), "ada", &Secret::from_text(PASSPHRASE.into()), 16 << 30).unwrap()
    }

    fn set_second_person(&self, word: &str) {
        let said = self.tell("ada", &["settings", "set", "system.second_person", word, "--passphrase-fd", "0"], PASSPHRASE);
        assert_eq!(said.0, 0, "{}", said.1);
    }

    /// What was executed beside the program itself and the tools it may use.
    fn strangers(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.outer.path().join("execs")).unwrap_or_default();
        let may = |line: &str| {
            let path = line.split("execve(\"").nth(1).and_then(|r| r.split('"').next()).unwrap_or("");
            path == env!("CARGO_BIN_EXE_proximity") || MAY.contains(&path.rsplit('/').next().unwrap_or(""))
        };
        log.lines().filter(|l| l.contains("execve(") && !may(l)).map(str::to_owned).collect()
    }

    fn check(&self, what: &str) {
        assert_eq!(self.strangers(), Vec::<String>::new(), "{what} executed something");
        assert!(!self.canary().exists(), "{what} made the canary");
        assert!(!Path::new("/tmp/proximity-escape").exists(), "{what} made the canary in /tmp");
    }
}

/// Payloads that mean something to a shell, a pager, an editor or an option parser somewhere.
const PAYLOADS: [&str; 10] = [
    "$(touch /tmp/proximity-escape)",
    "`touch /tmp/proximity-escape`",
    "101;touch /tmp/proximity-escape",
    "|touch /tmp/proximity-escape",
    "--script=/tmp/proximity-escape",
    "-oProxyCommand=touch /tmp/proximity-escape",
    "../../../bin/sh",
    "101\ntouch /tmp/proximity-escape",
    "!sh",
    "0&touch${IFS}/tmp/proximity-escape",
];

#[test]
fn there_is_no_way_out_by_arguments_and_environment() {
    let Some(world) = World::new() else { return };
    let mut tried = 0;
    let mut refused = |account: &str, env: &[(&str, &str)], args: &[&str], status: &[i32]| {
        let mut all = vec!["--restricted"];
        all.extend(args);
        let out = world.run(account, env, &all);
        let code = out.status.code().unwrap_or(-1);
        let what = format!("{account} {env:?} {args:?}");
        assert!(status.contains(&code), "{what}: {code}\n{}", String::from_utf8_lossy(&out.stderr));
        assert!(!String::from_utf8_lossy(&out.stdout).contains("root:x:0:0"), "{what} read a file");
        world.check(&what);
        tried += 1;
    };
    let locked = &[4];
    // Another store, another host, another command than its own.
    for args in [
        &["--state", "/tmp/x", "status"][..],
        &["--state=/etc", "guest", "list"],
        &["status", "--state", "/"],
        &["--host", "demo", "status"],
        &["--host=demo", "guest", "exec", "101", "--", "sh"],
        &["job", "list", "--host", "local"],
        &["job-worker", "1"],
        &["job-worker", "--unit", "x", "999"],
        &["init"],
        &["init", "--operator", "mallory"],
        &["logs", "file:/etc/passwd"],
        &["logs", "file:/etc/shadow", "-f"],
        &["logs", "journal", "file:/root/.ssh/id_ed25519"],
        &["logs", "file:/proc/self/environ"],
        &["settings", "import", "/etc/passwd"],
        &["settings", "export", "/tmp/proximity-escape"],
        &["settings", "test", "proxmox", "127.0.0.1", "root@pam", "--ca", "/etc/shadow"],
        &["vault", "export", "/tmp/proximity-escape"],
        &["vault", "import", "/etc/shadow"],
        &["vault", "restore", "--yes"],
        &["vault", "status", "--words"],
    ] {
        // The admin too: these are not there for any role.
        for account in ["ada", "vera"] {
            refused(account, &[], args, locked);
        }
    }
    // A shell inside a guest needs the role; changing something too.
    for args in [
        &["guest", "enter", "101"][..],
        &["guest", "exec", "101", "--", "sh"],
        &["guest", "exec", "101", "--", "touch", "/tmp/proximity-escape"],
        &["logs", "file:/etc/passwd"],
    ] {
        for account in ["otto", "sven", "vera"] {
            refused(account, &[], args, locked);
        }
    }
    for args in [
        &["guest", "start", "101"][..],
        &["ports", "reserve", "web"],
        &["ports", "release", "30001", "--at-once"],
        &["guest", "stop", "101", "--yes"],
        &["guest", "stop", "101", "--yes", "--second", "ada", "--second-fd", "0"],
        &["guest", "unlock", "101", "--yes"],
        &["guest", "reboot", "101", "--yes", "--name", "web"],
        &["backup", "run", "101", "--yes"],
        &["backup", "restore", "local:backup/x.tar.zst", "--yes"],
        &["job", "cancel", "1"],
        &["operator", "list", "--yes"],
        &["audit", "list"],
        &["audit", "export"],
        &["vault", "snapshot", "--list"],
        &["settings", "test", "proxmox", "127.0.0.1", "root@pam"],
    ] {
        refused("vera", &[], args, locked);
    }
    for args in [
        &["guest", "start", "102"][..],
        &["guest", "show", "102"],
        &["backup", "run", "102", "--yes"],
        &["logs", "journal"],
        &["settings", "list"],
        &["audit", "verify"],
    ] {
        refused("sven", &[], args, locked);
    }
    // Nobody, somebody else, a name sudo never gives.
    for account in ["", "mallory", "root", "ada ", "ADA", "ada\nx", "../ada", "' OR 1=1 --"] {
        refused(account, &[], &["status"], locked);
        refused(account, &[], &["guest", "list"], locked);
    }
    // Logging in as somebody else than the account, though the passphrase may be known.
    for args in [
        &["operator", "role", "vera", "admin", "--operator", "ada"][..],
        &["operator", "totp", "off", "ada", "--operator", "ada"],
        &["operator", "add", "mallory", "--operator", "ada"],
        &["operator", "remove", "ada", "--operator", "ada"],
        &["vault", "status", "--operator", "ada"],
    ] {
        refused("vera", &[], args, locked);
    }
    // The environment of whoever comes: nothing of it counts, nothing of it is run.
    let evil = world.outer.path().join("evil");
    std::fs::write(&evil, format!("#!/bin/sh\ntouch {}\n", world.canary().display())).unwrap();
    std::fs::set_permissions(&evil, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let evil = evil.display().to_string();
    for name in ["EDITOR", "VISUAL", "PAGER", "SHELL", "LESSOPEN", "SYSTEMD_PAGER", "BASH_ENV", "ENV", "BROWSER", "MANPAGER"] {
        refused("vera", &[(name, &evil)], &["manual", "vault"], &[0]);
        refused("vera", &[(name, &evil)], &["guest", "enter", "101"], locked);
    }
    for (name, value) in [
        ("PROXIMITY_STATE", "/tmp"),
        ("PROXIMITY_HOST", "demo"),
        ("PROXIMITY_REFRESH_S", "0"),
        ("HOME", "/tmp"),
        ("XDG_CONFIG_HOME", "/tmp"),
        ("EDITOR", "vim -- /etc/shadow"),
        ("LESS", "+!touch /tmp/proximity-escape"),
    ] {
        let out = world.run("ada", &[(name, value)], &["--restricted", "print-config"]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success() && text.contains("/var/lib/proximity") && !text.contains("environment"), "{name}: {text}");
        world.check(name);
        refused("vera", &[(name, value)], &["guest", "start", "101"], locked);
    }
    // Text that means something elsewhere, in every place that takes text.
    for payload in PAYLOADS {
        for args in [
            &["guest", "show", "--", payload][..],
            &["job", "show", "--", payload],
            &["job", "log", "--", payload],
            &["logs", "--match", payload, "--", payload],
            &["manual", "--", payload],
            &["appliance", "probe", "--", payload],
            &["ports", "reserve", "--", payload],
            &["ports", "block", "30001", "--reason", payload],
        ] {
            refused("otto", &[], args, &[1, 2, 4, 5, 6]);
        }
    }
    for id in ["0", "-1", "99999999999999999999", "1e3", "0x1", "1 2", "9223372036854775807"] {
        refused("otto", &[], &["job", "show", "--", id], &[2, 5]);
    }
    println!("restricted: {tried} attempts by arguments and environment, none got through");
    assert!(tried >= 120, "{tried}");
}

/// A terminal with the program of `account` in it.
struct Line {
    screen: Arc<Mutex<vt100::Parser>>,
    keys: Arc<Mutex<Box<dyn Write + Send>>>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Line {
    fn open(world: &World, account: &str) -> Line {
        Line::run(world, account, &["--restricted"])
    }

    fn run(world: &World, account: &str, args: &[&str]) -> Line {
        let pty = native_pty_system().openpty(PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 }).unwrap();
        let words = world.argv(account, &[("SHELL", "/bin/sh"), ("EDITOR", "vi")], args);
        let mut command = CommandBuilder::new(&words[0]);
        command.args(&words[1..]);
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let (mut from, to) = (pty.master.try_clone_reader().unwrap(), Arc::clone(&screen));
        let keys = Arc::new(Mutex::new(pty.master.take_writer().unwrap()));
        let answer = Arc::clone(&keys);
        std::thread::spawn(move || {
            let mut block = [0; 65536];
            while let Ok(n @ 1..) = from.read(&mut block) {
                // A terminal tells where its cursor is when it is asked, as after a new size.
                if block[..n].windows(4).any(|w| w == b"\x1b[6n") {
                    answer.lock().unwrap().write_all(b"\x1b[1;1R").unwrap();
                }
                to.lock().unwrap().process(&block[..n]);
            }
        });
        Line { screen, keys, child, master: pty.master }
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    fn wait(&self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.text().contains(what) {
            assert!(Instant::now() < deadline, "waited for {what:?} on:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_gone(&self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.text().contains(what) {
            assert!(Instant::now() < deadline, "waited for {what:?} to go from:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn press(&mut self, keys: &[u8]) {
        let mut to = self.keys.lock().unwrap();
        to.write_all(keys).unwrap();
        to.flush().unwrap();
    }
}

#[test]
fn there_is_no_way_out_of_the_console() {
    let Some(world) = World::new() else { return };
    let mut line = Line::open(&world, "vera");
    line.wait("passphrase");
    let screen = line.text();
    // Words, since the name of this machine may have some letters of hers.
    let names: Vec<&str> = screen.split(|c: char| !c.is_alphanumeric()).collect();
    assert!(names.contains(&"vera") && !names.contains(&"ada"), "only the account itself may be chosen:\n{screen}");
    let mut tried = 0;
    // The last: crossterm swallows an answer that nobody asked for up to its c or u.
    let attempts: [&[u8]; 14] = [
        b"\x1a",
        b"\x1c",
        b"!sh\r\x15",
        b":!sh\r\x15",
        b"\x1b[A\x1b[B\t\t",
        b"|sh\r\x15",
        b"\x1bOP\x1bOQ",
        b"\x0fsh\r\x15",
        b"\x1b[200~!sh\n:!sh\n\x1b[201~\x15",
        b"\x1d\x1e\x1f",
        b"v:w\x15",
        b"\x18\x05\x15",
        b"\x1b]52;c;?\x07\x15",
        b"\x1b[?1049lc\x15",
    ];
    for keys in attempts {
        line.press(keys);
        tried += 1;
    }
    // All that came before has been read, and letters are taken again.
    while !line.text().contains("••••••••") {
        line.press(b"X");
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut megabyte = b"\x1b[200~".to_vec();
    megabyte.extend(b"touch /tmp/proximity-escape; ".iter().cycle().take(1 << 20));
    megabyte.extend(b"\x1b[201~");
    line.press(&megabyte);
    tried += 1;
    for rows in [1, 2, 200, 24] {
        line.master.resize(PtySize { rows, cols: rows * 2, pixel_width: 0, pixel_height: 0 }).unwrap();
        tried += 1;
    }
    line.master.resize(PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 }).unwrap();
    line.wait("passphrase");
    // In, as somebody who only looks: what changes something is refused, and no key leads out.
    line.wait_gone("this takes a moment");
    line.press(b"\x15");
    line.press(b"\x1b[200~");
    line.press(PASSPHRASE.as_bytes());
    line.press(b"\x1b[201~\r");
    line.wait("Overview");
    for keys in attempts {
        line.press(keys);
        line.press(b"\x1b\x1b");
        tried += 1;
    }
    line.wait("proximity");
    // A stop from outside locks.
    // The console under our own strace and no other program of this name, which would stop.
    let strace = line.child.process_id().unwrap().to_string();
    let pids = Command::new("pgrep").args(["-x", "-P", &strace, "proximity"]).output().unwrap();
    for pid in String::from_utf8_lossy(&pids.stdout).split_whitespace() {
        Command::new("kill").args(["-TSTP", pid]).status().unwrap();
        tried += 1;
    }
    line.wait("the program was stopped meanwhile");
    line.press(b"\x03");
    let deadline = Instant::now() + PATIENCE;
    while line.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it does not end:\n{}", line.text());
        std::thread::sleep(Duration::from_millis(20));
    }
    world.check("the console");
    println!("restricted: {tried} attempts in the console, none got through");
}

#[test]
fn outside_restricted_mode_the_account_that_sudo_names_has_its_role() {
    let Some(world) = World::new() else { return };
    let status = |account: &str, args: &[&str]| world.run(account, &[], args).status.code().unwrap();
    assert_eq!(status("vera", &["guest", "start", "101"]), 4);
    assert_eq!(status("sven", &["guest", "start", "102"]), 4);
    assert_ne!(status("sven", &["guest", "show", "101"]), 4, "his own");
    assert_ne!(status("mallory", &["job", "list"]), 4, "root who is no operator owns the store");
    assert_eq!(status("vera", &["job", "list"]), 0);
    let out = world.run("otto", &[], &["operator", "list", "-o", "json"]);
    let list: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(list["items"][2]["role"], "service-owner");
    assert_eq!(list["items"][2]["guests"][0], 101);
}

#[test]
fn a_worker_asks_again() {
    let Some(world) = World::new() else { return };
    let store = Store::open(&world.dir()).unwrap();
    let plan = Plan {
        purpose: Purpose::Power,
        title: "start 101".into(),
        guest: "101".parse().unwrap(),
        host: "local".into(),
        facts: vec![],
        notes: vec![],
        risk: Risk::Low,
        steps: vec![],
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for (by, expected) in [("vera", State::Failed), ("mallory", State::Failed), ("sven", State::Succeeded), ("ada", State::Succeeded)] {
        let order = Approved::new(plan.clone(), by, None).unwrap();
        let audit = Recorder::new("test", &LocalHost::new()).with_journal(None);
        let id = store.add_job(&order, Stamp(1), audit.entry(Stamp(1), Phase::Intent, deed_of(&order))).unwrap();
        let state = runtime.block_on(proximity::jobs::work(&world.dir(), id, None)).unwrap();
        assert_eq!(state, expected, "{by}");
        let outcome = store.job(id).unwrap().unwrap().life.outcome.unwrap();
        assert_eq!(outcome.what.starts_with("refused before anything was done"), expected == State::Failed, "{by}: {}", outcome.what);
    }
}

/// A code by the clock (RFC 6238) of the secret as it is shown, so many steps of half a minute from now.
fn code_of(text: &Secret, steps: i64) -> String {
    use ring::hmac;
    let letters = text.expose().iter().filter(|b| **b != b' ');
    let bits: String =
        letters.map(|l| format!("{:05b}", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|x| x == l).unwrap())).collect();
    let key: Vec<u8> = bits.as_bytes().chunks_exact(8).map(|b| u8::from_str_radix(std::str::from_utf8(b).unwrap(), 2).unwrap()).collect();
    let step = LocalHost::new().clock().0.secs() / 30 + steps;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key), &step.to_be_bytes());
    let at = usize::from(tag.as_ref()[19] & 15);
    let number = u32::from_be_bytes(tag.as_ref()[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// A second factor for an operator; the codes on his paper, and one that is wrong for an hour.
fn second_factor(world: &World, store: &Store, name: &str) -> (Vec<String>, String) {
    let vault = world.vault(store);
    let shown = vault.begin_second(store, name).unwrap();
    let now = LocalHost::new().clock().0.secs();
    let papers = vault.confirm_second(store, name, &Secret::from_text(code_of(&shown.text, 0)), now, now * 1000).unwrap();
    let right: Vec<String> = (-2..120).map(|steps| code_of(&shown.text, steps)).collect();
    let wrong = (0..).map(|n| format!("{n:06}")).find(|code| !right.contains(code)).unwrap();
    (papers.iter().map(|p| p.expose_text().unwrap().to_owned()).collect(), wrong)
}

#[test]
fn a_second_operator_says_yes_on_the_command_line_or_nothing_is_done() {
    let Some(world) = World::new().map(World::with_guest) else { return };
    let store = Store::open(&world.dir()).unwrap();
    let jobs = || store.jobs(100).unwrap().0;
    let stop = |account: &str, more: &[&str], input: &str| {
        let mut args = vec!["guest", "stop", "101", "--yes"];
        args.extend(more);
        let before = jobs().len();
        let (status, err) = world.tell(account, &args, input);
        (status, jobs().len() - before, err)
    };
    let refused = |account: &str, more: &[&str], input: &str, status: i32, why: &str| {
        let (got, started, err) = stop(account, more, input);
        assert!(got == status && started == 0 && err.contains(why), "{account} {more:?}: {got}, {started} job(s), {err}");
    };
    assert_eq!(stop("otto", &[], "").0, 0, "nobody else is asked unless it is set");
    world.set_second_person("destroys");
    assert_eq!(stop("otto", &[], "").0, 0, "it destroys nothing");
    world.set_second_person("interrupts");
    let by = |name| ["--second", name, "--second-fd", "0"];
    refused("otto", &[], "", 6, "none is named");
    refused("otto", &["--second", "ada"], "", 6, "nobody is there to ask");
    refused("otto", &by("otto"), PASSPHRASE, 4, "otto allowed it himself");
    refused("otto", &by("vera"), PASSPHRASE, 4, "vera (viewer) may not start or stop this guest");
    refused("otto", &by("mallory"), PASSPHRASE, 4, "mallory");
    refused("", &[], "", 6, "none is named");
    let (status, started, err) = stop("otto", &by("sven"), PASSPHRASE);
    assert_eq!((status, started), (0, 1), "his guest: {err}");
    assert_eq!((jobs()[0].order.by.as_str(), jobs()[0].order.second()), ("otto", Some("sven")));
    let id = jobs()[0].id.to_string();
    let said = |args: &[&str]| String::from_utf8(world.run("otto", &[], args).stdout).unwrap();
    assert!(said(&["job", "show", &id]).contains("allowed by otto, seconded by sven"));
    assert!(said(&["job", "log", &id]).contains("(allowed by otto, seconded by sven)"));
    let page = store.audit_page(&Wanted::default(), None, 500).unwrap();
    let record = page.records.into_iter().find(|r| r.entry.deed.job == Some(jobs()[0].id)).unwrap();
    assert_eq!(record.entry.phase, Phase::Intent);
    for entry in [&record.entry, &record.outcome.unwrap()] {
        assert_eq!((entry.deed.operator.as_str(), entry.deed.title.as_str()), ("otto", "stop 101 web, seconded by sven"));
    }

    // A code where he has a second factor; the owner of the store, and restricted mode.
    let (papers, wrong) = second_factor(&world, &store, "ada");
    let with_code = ["--second", "ada", "--second-fd", "0", "--second-code-fd", "3", "--restricted"];
    let code = |text: &str| std::fs::write(world.outer.path().join("code"), text).unwrap();
    code(&wrong);
    refused("otto", &with_code, PASSPHRASE, 4, "code");
    code(&papers[0]);
    assert_eq!(stop("otto", &with_code, PASSPHRASE).0, 0);
    refused("otto", &with_code, PASSPHRASE, 4, "used");
    code(&papers[1]);
    assert_eq!(stop("", &with_code[..6], PASSPHRASE).0, 0);
    assert_eq!((jobs()[0].order.owner, jobs()[0].order.second()), (true, Some("ada")));

    // What is of low risk waits for nobody; that it fails here is for want of pct.
    let before = jobs().len();
    world.tell("otto", &["guest", "start", "101"], "");
    assert_eq!(jobs().len(), before + 1);

    // A setting that cannot be read asks for one; whoever is deactivated is none.
    let raw = rusqlite::Connection::open(world.dir().join("proximity.db")).unwrap();
    assert_eq!(raw.execute("UPDATE setting SET value = 'nobody' WHERE key = 'system.second_person'", []).unwrap(), 1);
    refused("otto", &[], "", 6, "none is named");
    world.vault(&store).change_operator(&store, "sven", &OperatorChange::Active(false), 3).unwrap();
    refused("otto", &by("sven"), PASSPHRASE, 4, "sven is deactivated");

    // Each try counts, and is written down as any login.
    for _ in 0..2 {
        refused("otto", &by("vera"), "wrong", 4, "passphrase");
    }
    let sql = "UPDATE attempt SET count = 20 WHERE operator = 'vera' AND count = 2";
    assert_eq!(raw.execute(sql, []).unwrap(), 1, "both were counted");
    refused("otto", &by("vera"), PASSPHRASE, 4, "too many tries");
    let page = store.audit_page(&Wanted::default(), None, 500).unwrap();
    let tries = page.records.iter().filter(|r| r.entry.deed.operator == "vera" && r.entry.deed.decision == Decision::Refused).count();
    assert_eq!(tries, 3);
}

#[test]
fn a_second_operator_is_asked_for_at_the_terminal() {
    let Some(world) = World::new().map(World::with_guest) else { return };
    let store = Store::open(&world.dir()).unwrap();
    world.set_second_person("interrupts");
    for (more, answers) in [
        (&[][..], &[("type yes:", "yes"), ("another operator who says yes:", "sven")][..]),
        (&["--yes", "--second", "sven"], &[("1 stop 101", "")]),
    ] {
        let args: Vec<&str> = ["guest", "stop", "101", "--no-wait"].into_iter().chain(more.iter().copied()).collect();
        let mut line = Line::run(&world, "otto", &args);
        for (what, answer) in answers {
            line.wait(what);
            if !answer.is_empty() {
                line.press(format!("{answer}\r").as_bytes());
            }
        }
        line.wait("passphrase of sven, who says yes beside otto:");
        line.press(format!("{PASSPHRASE}\r").as_bytes());
        assert!(line.child.wait().unwrap().success(), "{}", line.text());
        assert!(!line.text().contains("orbit"), "it was shown:\n{}", line.text());
    }
    let jobs = store.jobs(100).unwrap().0;
    assert_eq!(jobs.iter().map(|j| j.order.second()).collect::<Vec<_>>(), [Some("sven"), Some("sven")]);
}

#[test]
fn a_worker_asks_for_the_second_yes_again() {
    let Some(world) = World::new() else { return };
    let store = Store::open(&world.dir()).unwrap();
    let plan = Plan {
        purpose: Purpose::Power,
        title: "stop 101".into(),
        guest: "101".parse().unwrap(),
        host: "local".into(),
        facts: vec![],
        notes: vec![],
        risk: Risk::Interrupts,
        steps: vec![],
    };
    let who = |name: &str| store.account(name).unwrap().unwrap().who;
    let alone = Approved::new(plan, "ada", None).unwrap();
    let owner = alone.clone().in_name_of(&Who::owner("root"));
    let by_otto = alone.clone().seconded(&who("otto")).unwrap();
    let mut forged = serde_json::to_value(&alone).unwrap();
    forged["second"] = "ada".into();
    let forged: Approved = serde_json::from_value(forged).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let work = |order: &Approved| {
        let audit = Recorder::new("test", &LocalHost::new()).with_journal(None);
        let id = store.add_job(order, Stamp(1), audit.entry(Stamp(1), Phase::Intent, deed_of(order))).unwrap();
        let state = runtime.block_on(proximity::jobs::work(&world.dir(), id, None)).unwrap();
        (state == State::Succeeded, store.job(id).unwrap().unwrap().life.outcome.unwrap().what)
    };
    let refused = |order: &Approved, why: &str| {
        let (done, what) = work(order);
        assert!(!done && what.starts_with("refused before anything was done") && what.contains(why), "{what}");
    };
    assert!(work(&alone).0 && work(&owner).0 && work(&by_otto).0);
    refused(&forged, "ada allowed it himself");
    world.set_second_person("interrupts");
    assert!(work(&by_otto).0);
    refused(&alone, "no second operator said yes");
    refused(&owner, "no second operator said yes");
    // Between the yes and the work.
    let mut vault = world.vault(&store);
    for (change, why) in [
        (OperatorChange::Active(false), "otto is deactivated"),
        (OperatorChange::Active(true), ""),
        (OperatorChange::Role(Role::Viewer), "otto (viewer) may not"),
    ] {
        vault.change_operator(&store, "otto", &change, 4).unwrap();
        if why.is_empty() { assert!(work(&by_otto).0) } else { refused(&by_otto, why) }
    }
    vault.remove_operator(&store, "otto").unwrap();
    refused(&by_otto, "otto is no operator");
}

#[test]
fn a_second_operator_says_yes_in_the_console_or_nothing_is_done() {
    let Some(world) = World::new().map(World::with_guest) else { return };
    let store = Store::open(&world.dir()).unwrap();
    world.set_second_person("interrupts");
    let (papers, wrong) = second_factor(&world, &store, "sven");
    let jobs = || store.jobs(100).unwrap().0;
    let unlocks = |name: &str| {
        let all = store.audit_page(&Wanted::default(), None, 500).unwrap().records.into_iter();
        all.filter(|r| r.entry.deed.action == "vault.unlock" && r.entry.deed.operator == name).count()
    };
    let mut line = Line::open(&world, "otto");
    let typed = |text: &str| format!("\x1b[200~{text}\x1b[201~\r").into_bytes();
    line.wait("passphrase");
    line.press(&typed(PASSPHRASE));
    line.wait("1 guest");
    let ask = |line: &mut Line| {
        line.press(b"x");
        line.wait("shut down");
        line.press(b"2");
        line.wait("this interrupts something");
        line.press(b"y");
        line.wait("who else says yes?");
    };
    // No for an answer, before a passphrase is looked at and while it is.
    ask(&mut line);
    line.press(b"\x1b");
    line.wait("nothing was done");
    let raw = rusqlite::Connection::open(world.dir().join("proximity.db")).unwrap();
    let (before, mut rounds) = (unlocks("ada"), 0);
    while unlocks("ada") == before {
        rounds += 1;
        assert!(rounds <= 5, "no try was written down");
        ask(&mut line);
        // A try is counted before it is looked at: it waits here until he left.
        raw.execute_batch("BEGIN IMMEDIATE").unwrap();
        line.press(b"ada\r");
        line.press(&typed(PASSPHRASE));
        line.wait("this takes a moment");
        std::thread::sleep(Duration::from_secs(1));
        line.press(b"\x1b");
        line.wait_gone("who else says yes?");
        raw.execute_batch("COMMIT").unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while unlocks("ada") == before && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    ask(&mut line);
    assert_eq!(jobs().len(), 0, "a yes to what was withdrawn is a yes to nothing");
    // Himself, somebody who may not, a wrong passphrase, a wrong code.
    line.press(b"otto\r");
    line.press(&typed(PASSPHRASE));
    line.wait("otto allowed it himself");
    line.press(b"vera\r");
    line.press(&typed(PASSPHRASE));
    line.wait("vera (viewer) may not");
    line.press(b"sven\r");
    line.press(&typed("wrong"));
    line.wait("the passphrase is wrong");
    line.press(&typed(PASSPHRASE));
    line.wait("one from his paper");
    line.press(&typed(&wrong));
    line.wait("the code is wrong");
    assert_eq!(jobs().len(), 0, "nothing was done so far");
    line.press(&typed(&papers[0]));
    let deadline = Instant::now() + PATIENCE;
    while jobs().is_empty() {
        assert!(Instant::now() < deadline, "not started:\n{}", line.text());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!((jobs()[0].order.by.as_str(), jobs()[0].order.second()), ("otto", Some("sven")));
    assert_eq!(unlocks("sven"), 3, "two that were refused and one that was not");
    line.wait_gone("who else says yes?");
    assert!(line.text().contains("otto  "), "the session stays his:\n{}", line.text());
    line.press(b"\x03");
    line.child.wait().unwrap();
}
