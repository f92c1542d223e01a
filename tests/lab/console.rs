//! The console itself, through a real SSH session with a terminal: what an operator sees and types.

use crate::harness::{Lab, PATIENCE, skip, wait_for};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PASSPHRASE: &str = "orbit lantern mosaic velvet quarry seven";

/// A terminal of 80x24 in which an SSH session to the node runs `command`.
pub(crate) struct Line {
    child: Box<dyn Child + Send + Sync>,
    screen: Arc<Mutex<vt100::Parser>>,
    keys: Box<dyn Write + Send>,
    _master: Box<dyn MasterPty + Send>,
}

impl Line {
    pub(crate) fn open(lab: &Lab, command: &str) -> Line {
        Line::of("root", lab, command)
    }

    /// The same as another account of the node.
    pub(crate) fn of(account: &str, lab: &Lab, command: &str) -> Line {
        let env = lab.env();
        let pty = native_pty_system().openpty(PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 }).unwrap();
        let mut ssh = CommandBuilder::new("nsenter");
        ssh.args([&format!("--net=/run/netns/{}", env["LAB_NETNS"]), "--", "ssh", "-tt", "-i", &env["LAB_KEY"]]);
        ssh.args([
            "-o",
            &format!("UserKnownHostsFile={}", env["LAB_KNOWN_HOSTS"]),
            "-o",
            "LogLevel=ERROR",
            &format!("{account}@{}", env["LAB_HOST"]),
            command,
        ]);
        ssh.env("TERM", "xterm-256color");
        let child = pty.slave.spawn_command(ssh).unwrap();
        drop(pty.slave);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let (mut from, to) = (pty.master.try_clone_reader().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut block = [0; 65536];
            while let Ok(n @ 1..) = from.read(&mut block) {
                to.lock().unwrap().process(&block[..n]);
            }
        });
        Line { child, screen, keys: pty.master.take_writer().unwrap(), _master: pty.master }
    }

    pub(crate) fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    pub(crate) fn wait(&self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.text().contains(what) {
            assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what:?} on the screen:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(&self.text()) {
            assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what} on the screen:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn unlocked(lab: &Lab) -> Line {
        let mut line = Line::open(lab, "LANG=C.UTF-8 proximity");
        line.wait("passphrase");
        line.press(PASSPHRASE);
        line.press("\r");
        line.wait("101");
        line
    }

    /// What a lost line is for the far side: no goodbye.
    fn cut(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn set_up(lab: &Lab) {
    lab.write("/root/pw", PASSPHRASE);
    lab.sh("proximity init --operator ada --passphrase-fd 3 3</root/pw >/root/words");
    // Something that does not compress, so that a rate means what it says.
    lab.guest(101, "mkdir -p /srv && dd if=/dev/urandom of=/srv/rnd bs=1M count=40 2>/dev/null && sync");
    // The first backup tells how large the next one will be.
    lab.node(&["proximity", "backup", "run", "101"]);
}

fn job(lab: &Lab, id: u32) -> serde_json::Value {
    serde_json::from_str(&lab.node(&["proximity", "job", "show", &id.to_string(), "-o", "json"])).unwrap()
}

fn percent(text: &str) -> Option<u64> {
    let before = text.split(" %").find(|t| t.rsplit('~').next().is_some_and(|n| n.len() < 3 && n.parse::<u64>().is_ok()))?;
    before.rsplit('~').next()?.parse().ok()
}

fn consoles(lab: &Lab) -> u32 {
    lab.sh("pgrep -xc proximity || true").parse().unwrap()
}

#[test]
fn a_lost_line_leaves_the_backup_running_and_the_next_console_finds_it() {
    let Some(lab) = Lab::up("line") else { return skip("no lab on this machine") };
    set_up(&lab);
    lab.write("/etc/pve-standin.json", r#"{"vzdump_bytes_per_s": 4000000}"#);
    let sum = lab.guest(101, "md5sum </srv/rnd");

    let mut line = Line::unlocked(&lab);
    // The log of a guest that renews its lease.
    line.press("4");
    line.wait("dnsmasq");
    // dnsmasq tells a page of options with each lease.
    line.press("/DHCPACK\r");
    line.wait("/ DHCPACK");
    let lease_before = line.text().matches("DHCPACK").count();
    lab.guest(101, "killall -USR1 udhcpc");
    line.wait_until("a renewed lease", |t| t.matches("DHCPACK").count() > lease_before && t.contains("web"));

    line.press("1");
    line.wait("guests");
    line.press("b");
    line.wait("vzdump 101");
    line.press("y");
    line.wait_until("a third done", |t| percent(t).is_some_and(|p| (35..90).contains(&p)));
    line.cut();

    wait_for("the console to end with its line", || consoles(&lab) == 1);
    let then = job(&lab, 2);
    assert_eq!(then["state"], "running", "{then}");
    let so_far = then["percent"].as_u64().unwrap();
    wait_for("progress after the line was lost", || job(&lab, 2)["percent"].as_u64().is_none_or(|p| p > so_far));

    let mut line = Line::unlocked(&lab);
    line.press("J");
    line.wait("back up 101");
    // The first backup's line says so already.
    line.wait_until("the second job to succeed", |t| t.lines().any(|l| l.contains(" 2  succeeded")));
    let done = job(&lab, 2);
    assert_eq!(done["state"], "succeeded", "{done}");
    let volid = done["outcome"]["volid"].as_str().unwrap().to_owned();
    let file = volid.split('/').next_back().unwrap();
    assert_ne!(lab.sh(&format!("stat -c %s /var/lib/vz/dump/{file}")), "0");
    assert_eq!(lab.sh("ls /var/lib/vz/dump | grep -c -e dat$ -e tmp$ || true"), "0");
    assert_eq!(lab.sh("grep -c ^lock: /etc/pve/lxc/101.conf || true"), "0");

    // Apart: Esc and q in one go are Alt-q to every terminal.
    line.press("\u{1b}");
    line.wait_until("the drawer to close", |t| !t.contains("how it goes"));
    line.press("q");
    wait_for("the console to end", || consoles(&lab) == 0);
    let config = lab.sh("cat /etc/pve/lxc/101.conf");
    lab.node(&["proximity", "backup", "restore", &volid, "--to", "170"]);
    assert_eq!(lab.guest(170, "md5sum </srv/rnd"), sum);
    assert_eq!(lab.sh("cat /etc/pve/lxc/101.conf"), config, "the original is not touched");
}

#[test]
fn a_killed_console_changes_nothing_for_its_job() {
    let Some(lab) = Lab::up("kill") else { return skip("no lab on this machine") };
    set_up(&lab);
    lab.write("/etc/pve-standin.json", r#"{"vzdump_bytes_per_s": 8000000}"#);
    let mut line = Line::unlocked(&lab);
    line.wait("guests");
    line.press("b");
    line.wait("vzdump 101");
    line.press("y");
    line.wait_until("some progress", |t| percent(t).is_some_and(|p| p > 5));
    // The console is the one with a terminal; the worker has none.
    lab.sh("for p in $(pgrep -x proximity); do [ \"$(ps -o tty= -p $p)\" != '?' ] && kill -9 $p; done; true");
    wait_for("the console to be gone", || consoles(&lab) == 1);
    assert_eq!(lab.exec("pve1", &["proximity", "job", "wait", "2"]).rc, 0);
    assert_eq!(job(&lab, 2)["state"], "succeeded");
}

#[test]
fn a_power_cut_is_shown_as_what_it_is() {
    let Some(lab) = Lab::up("cut") else { return skip("no lab on this machine") };
    set_up(&lab);
    lab.write("/etc/pve-standin.json", r#"{"vzdump_bytes_per_s": 4000000}"#);
    lab.node(&["proximity", "backup", "run", "101", "--no-wait"]);
    wait_for("some progress", || job(&lab, 2)["percent"].as_u64().is_some_and(|p| p > 20));
    lab.crash();
    lab.boot();
    let mut line = Line::unlocked(&lab);
    line.press("J");
    line.wait("failed");
    let after = job(&lab, 2);
    assert_eq!(after["state"], "failed", "{after}");
    let outcome = &after["outcome"];
    assert!(outcome["what"].as_str().unwrap().contains("the host went down"), "{outcome}");
    let left = outcome["left"].to_string();
    assert!(left.contains("locked (backup)") && left.contains(".dat"), "{left}");
    assert_eq!(lab.exec("pve1", &["proximity", "job", "wait", "2"]).rc, 1);
}
