//! A guest's log that is followed while the guest stops, starts and is made anew, and one that only a command can read:
//! what is shown is compared with what was written.

use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::{Lab, wait_for};
use crate::logs::listened;

/// `proximity logs -f` of a file in guest 310.
struct Follower {
    child: Child,
    heard: Arc<Mutex<Vec<String>>>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Follower {
    fn of(lab: &Lab, path: &str) -> Follower {
        let mut child = lab
            .command("pve1", &["proximity", "--read-only", "logs", "-f", &format!("310:{path}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (heard, said) = (listened(child.stdout.take().unwrap()), listened(child.stderr.take().unwrap()));
        Follower { child, heard, said }
    }

    fn has(&self, line: &str) -> bool {
        self.heard.lock().unwrap().iter().any(|l| l == line)
    }

    fn said(&self, what: &str) -> usize {
        self.said.lock().unwrap().iter().filter(|l| l.contains(what)).count()
    }

    /// Waits until as much is shown as was written and compares the two; their order is compared by who writes alone.
    fn compare(&self, wrote: &[String], what: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.heard.lock().unwrap().len() < wrote.len() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let (mut shown, mut wrote) = (self.heard.lock().unwrap().clone(), wrote.to_vec());
        shown.sort();
        wrote.sort();
        let doubled: Vec<&String> = shown.windows(2).filter(|w| w[0] == w[1]).map(|w| &w[0]).take(20).collect();
        let lost: Vec<&String> = wrote.iter().filter(|l| shown.binary_search(l).is_err()).take(20).collect();
        // What was shown and then cut off by the test itself would count as neither.
        let more: Vec<&String> = shown.iter().filter(|l| wrote.binary_search(l).is_err()).take(20).collect();
        let said = self.said.lock().unwrap();
        let rest = said.len().saturating_sub(20);
        assert!(
            shown == wrote,
            "{what}: lost {lost:?}, doubled {doubled:?}, not there {more:?} of {}; said last {:#?}",
            wrote.len(),
            &said[rest..]
        );
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes lines that tell apart who wrote them, each with a file opened for it, until it is killed.
const WRITER: &str = r#"n=0; while :; do n=$((n+1)); echo "$0 line $n" >> /var/log/app.log; [ $((n % 16)) = 0 ] && sleep 0.01; done"#;
/// As logrotate does before it makes a new `.1`; so many that none is thrown away.
const SHIFT: &str = "cd LOG && for n in $(seq 60 -1 1); do [ ! -e app.log.$n ] || mv app.log.$n app.log.$((n+1)); done";
/// Appends nothing: the writer may have made the new file already.
const RENAME: &str = "mv app.log app.log.1; : >> app.log; chown 100000:100000 app.log";

#[test]
fn a_guest_that_stops_and_is_made_anew_has_each_line_shown_once() {
    let Some(lab) = Lab::up_with("lw", &["--bare"]) else { return };
    let seed: u64 = std::env::var("PROXIMITY_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_121);
    let mut random = seed;
    let mut dice = |sides: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % sides
    };
    lab.create(310);
    // The guest's log where it lies on the node: also when the guest does not run.
    let log = || {
        let volume = lab.sh("pct config 310 | sed -n 's/^rootfs: \\([^,]*\\).*/\\1/p'");
        format!("{}/var/log", lab.node(&["pvesm", "path", &volume]))
    };
    let on_node = |script: &str| lab.sh(&script.replace("LOG", &log()));
    let written = || -> Vec<String> {
        let text = on_node("cd LOG && cat $(ls -vr app.log.* 2>/dev/null) app.log 2>/dev/null; true");
        text.lines().map(str::to_owned).collect()
    };
    lab.guest(310, "echo 'the first line' > /var/log/app.log");
    let follower = Follower::of(&lab, "/var/log/app.log");
    wait_for("the first line", || follower.has("the first line"));
    let (mut before, mut stops, mut rebuilds, mut renames) = (Vec::new(), 0, 0, 0);
    for sequence in 0..26 {
        let what = format!("sequence {sequence} of seed {seed}");
        let writer = format!("sequence-{sequence}");
        // It begins right after the start: these lines come before anybody looks again.
        let argv = ["pct", "exec", "310", "--", "sh", "-c", WRITER, &writer];
        let mut writing = lab.command("pve1", &argv).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the writer", || written().iter().any(|l| l.starts_with(&writer)));
        for _ in 0..dice(3) {
            on_node(&format!("{SHIFT} && {RENAME}"));
            renames += 1;
        }
        // Of a guest that is destroyed before anybody came back to it nobody can know what it wrote.
        let ends = sequence % 5 == 4;
        if dice(2) == 0 || ends {
            let begun = Instant::now();
            while !follower.has(&format!("{writer} line 40")) {
                let said = || follower.said.lock().unwrap().clone();
                assert!(begun.elapsed() < Duration::from_secs(20), "{what}: nothing of {:?} comes, said {:#?}", written().last(), said());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        lab.node(&["pct", "stop", "310"]);
        stops += 1;
        writing.wait().unwrap();
        if ends {
            before.extend(written());
            lab.node(&["pct", "destroy", "310"]);
            lab.create(310);
            rebuilds += 1;
            continue;
        }
        // What can happen to the log of a guest that does not run, or before anybody reads it again after the start.
        match dice(5) {
            0 => drop(on_node(&format!("cd LOG && for n in 1 2 3; do echo '{writer} away '$n >> app.log; done"))),
            1 => drop(on_node(&format!("{SHIFT} && {RENAME} && echo '{writer} away' >> app.log"))),
            2 => drop(on_node(&format!("{SHIFT} && cp app.log app.log.1 && : > app.log && echo '{writer} away' >> app.log"))),
            3 => drop(on_node(&format!("{SHIFT} && {RENAME} && echo '{writer} away' >> app.log && {SHIFT} && {RENAME}"))),
            _ => {}
        }
        lab.node(&["pct", "start", "310"]);
        if dice(2) == 0 {
            let all: Vec<String> = before.iter().cloned().chain(written()).collect();
            follower.compare(&all, &what);
        }
    }
    lab.guest(310, "echo 'the last line' >> /var/log/app.log");
    wait_for("the last line", || follower.has("the last line"));
    before.extend(written());
    follower.compare(&before, &format!("the end of seed {seed}"));
    assert!(rebuilds >= 5 && stops >= 20 && before.len() > 500, "{rebuilds} {stops} {}", before.len());
    for (what, least) in [("the guest has stopped", 20), ("the guest runs again", 20), ("is not there any more", rebuilds)] {
        let told = follower.said(what);
        assert!(told >= least, "{what} is said {told} times: {:#?}", follower.said.lock().unwrap());
    }
    assert_eq!(follower.said("a command reads it"), 0, "the file itself was read all the time");
    println!("{} lines, {stops} stops, {rebuilds} rebuilds, {renames} renames under a writer: each shown once", before.len());
}

#[test]
fn a_command_that_breaks_and_begins_again_tells_each_line_once() {
    let Some(lab) = Lab::up_with("lb", &["--bare"]) else { return };
    lab.create(310);
    // A file system that is not among those read from the host.
    lab.guest(310, "mkdir -p /srv/log && mount -t ramfs none /srv/log && echo 'the first line' > /srv/log/app.log");
    let follower = Follower::of(&lab, "/srv/log/app.log");
    wait_for("the first line", || follower.has("the first line"));
    assert_eq!(follower.said("a command reads it"), 1, "{:?}", follower.said.lock().unwrap());
    let mut wrote = vec!["the first line".to_owned()];
    for (round, lines) in [30, 400, 3].into_iter().enumerate() {
        let mut write = |from: u32, to: u32| {
            lab.guest(310, &format!("for n in $(seq {from} {to}); do echo round {round} line $n; done >> /srv/log/app.log"));
            wrote.extend((from..=to).map(|n| format!("round {round} line {n}")));
        };
        write(1, lines);
        wait_for("the lines", || follower.has(&format!("round {round} line {lines}")));
        lab.guest(310, "killall tail");
        write(lines + 1, lines * 2);
        wait_for("the lines of the break", || follower.has(&format!("round {round} line {}", lines * 2)));
    }
    follower.compare(&wrote, "a command that broke three times");
    assert_eq!(*follower.heard.lock().unwrap(), wrote, "in order");
    assert_eq!(follower.said("that were told before are left out"), 3, "{:?}", follower.said.lock().unwrap());
}
