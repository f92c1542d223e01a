//! Guests' files read from the host: only files, only the guest's own, and let go of when the guest stops.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::console::Line;
use crate::harness::{Lab, PATIENCE, wait_for};

#[test]
fn a_guests_files_are_read_from_the_host_and_nothing_else_is() {
    let Some(lab) = Lab::up("lf") else { return };
    let guest = |script: &str| {
        let said = lab.exec("101", &["sh", "-c", script]);
        assert_eq!(said.rc, 0, "{script}: {said:?}");
    };
    guest("printf 'one\\ntwo of the guest\\n' > /var/log/app.log");
    guest("ln -s /etc/shadow /var/log/link.log; mkfifo /var/log/fifo.log; mkdir -p /var/log/dir.log");
    guest("ln -s / /var/log/root; mknod /var/log/device.log c 1 5 || true");
    lab.node(&["sh", "-c", "echo of the host > /root/only-here"]);
    let logs = |path: &str| lab.exec("pve1", &["proximity", "--read-only", "logs", &format!("101:{path}")]);

    // The way through /proc is taken: `pct exec` would take half a second, and is taken away here.
    lab.node(&["sh", "-c", "mv $(command -v pct) /root/pct-away"]);
    let said = logs("/var/log/app.log");
    assert_eq!((said.rc, said.out.as_str()), (0, "one\ntwo of the guest\n"), "{said:?}");
    for (path, why) in [
        ("/var/log/link.log", "is a symbolic link to /etc/shadow"),
        ("/var/log/fifo.log", "is a FIFO"),
        ("/var/log/dir.log", "is a directory"),
        ("/var/log/root/root/only-here", "is not there"),
        ("/../../root/only-here", "is not there"),
    ] {
        let said = logs(path);
        assert!(said.rc == 1 && said.out.is_empty() && said.err.contains(why), "{path}: {said:?}");
    }
    lab.node(&["sh", "-c", "mv /root/pct-away $(dirname $(command -v pvesm))/pct"]);
    let said = logs("/proc/uptime");
    assert!(said.rc == 0 && !said.out.is_empty(), "what the kernel makes up is read inside the guest: {said:?}");
}

/// A guest that is stopped is read where its root volume is a directory of the host, and nothing is mounted for it.
#[test]
fn a_stopped_guests_file_is_read_from_its_directory_or_said_why_not() {
    let Some(lab) = Lab::up("ls") else { return };
    assert_eq!(lab.exec("102", &["sh", "-c", "echo of the guest > /var/log/app.log; ln -s /root/only-here /var/log/link.log"]).rc, 0);
    lab.node(&["sh", "-c", "echo of the host > /root/only-here"]);
    lab.node(&["pct", "stop", "102"]);
    let logs = |path: &str| lab.exec("pve1", &["proximity", "--read-only", "logs", &format!("102:{path}")]);
    let said = logs("/var/log/app.log");
    assert!(said.rc == 1 && said.err.contains("102 does not run, and its root volume") && said.err.contains("is a disk on"), "{said:?}");
    lab.node(&[
        "sh",
        "-ec",
        "cd /var/lib/pool/images/102; mv vm-102-disk-0 subvol-102-disk-0.subvol; \
         sed -i 's/vm-102-disk-0.raw/subvol-102-disk-0.subvol/' /etc/pve/lxc/102.conf; grep -q subvol-102 /etc/pve/lxc/102.conf",
    ]);
    let mounts = || lab.node(&["sh", "-c", "wc -l < /proc/self/mounts"]);
    let before = mounts();
    let said = logs("/var/log/app.log");
    assert_eq!((said.rc, said.out.as_str()), (0, "of the guest\n"), "{said:?}");
    let said = logs("/var/log/link.log");
    assert!(said.rc == 1 && said.out.is_empty() && said.err.contains("is a symbolic link"), "{said:?}");
    assert_eq!(mounts(), before);
}

/// A log that nobody rotates, and one whose service writes to what was put away: found by looking, gone with the cause.
#[test]
fn what_is_wrong_with_a_guests_logs_is_found_from_the_host() {
    let Some(lab) = Lab::up("lh") else { return };
    let guest = |script: &str| {
        let said = lab.exec("101", &["sh", "-c", script]);
        assert_eq!(said.rc, 0, "{script}: {said:?}");
    };
    let wrong = || {
        let said = lab.node(&["proximity", "--read-only", "status", "-o", "json"]);
        let status: serde_json::Value = serde_json::from_str(&said).unwrap();
        let of = |f: &serde_json::Value| Some(format!("{} {}", f["log"].as_str()?, f["why"].as_str()?));
        status["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(of)
            .filter(|f| f.starts_with("101:") || f.starts_with("dnsmasq"))
            .collect::<Vec<_>>()
    };
    assert_eq!(wrong(), [""; 0], "nothing is wrong at first");
    // dnsmasq goes on writing to the file that was moved away from under it.
    let appliance = |script: &str| lab.exec("9999", &["sh", "-ec", script]).rc;
    assert_eq!(appliance("pidof dnsmasq; touch /var/lib/misc/dnsmasq.leases; mv /var/log/dnsmasq.log /var/log/away"), 0);
    let found = wrong().join("\n");
    assert!(found.starts_with("dnsmasq silent: dnsmasq runs and wrote its leases"), "{found}");
    assert_eq!(appliance("mv /var/log/away /var/log/dnsmasq.log; echo x >> /var/log/dnsmasq.log"), 0);
    guest("mkdir -p /var/log/app; dd if=/dev/urandom of=/var/log/app/big.log bs=1M count=210 2>/dev/null");
    guest("touch -d '2 hours ago' /var/log/moved.log || touch -t 202001010000 /var/log/moved.log; echo x > /var/log/moved.log.1");
    let found = wrong().join("\n");
    assert!(found.contains("101:/var/log/app/big.log not rotated: 210 MiB in one file"), "{found}");
    assert!(found.contains("101:/var/log/moved.log silent: its service still writes to moved.log.1"), "{found}");
    guest("mv /var/log/app/big.log /var/log/app/big.log.1; echo x > /var/log/app/big.log; rm /var/log/moved.log.1");
    assert_eq!(wrong(), [""; 0], "rotated, and nothing written elsewhere");
}

/// What a command printed so far.
pub(crate) fn listened(from: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let (from, to) = (BufReader::new(from), Arc::clone(&heard));
    std::thread::spawn(move || {
        for line in from.lines().map_while(Result::ok) {
            to.lock().unwrap().push(line);
        }
    });
    heard
}

#[test]
fn the_appliances_log_is_followed_through_rotation_and_a_stop() {
    let Some(lab) = Lab::up("la") else { return };
    let appliance = |script: &str| {
        let said = lab.exec("9999", &["sh", "-c", script]);
        assert_eq!(said.rc, 0, "{script}: {said:?}");
    };
    // The log is ours alone for this: what the appliance's own dnsmasq writes would be in between.
    let log = "/var/log/dnsmasq.log";
    appliance(&format!("rm -f {log}; echo 'Nov 21 10:00:00 test: begin' > {log}"));
    // `pct exec` is taken away, so that only the file itself can be read.
    lab.node(&["sh", "-c", "mkdir -p /root/away && mv $(command -v pct) /root/away/pct"]);
    let mut child = lab
        .command("pve1", &["proximity", "--read-only", "logs", "-f", "dnsmasq", "--match", "test:"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let heard = listened(child.stdout.take().unwrap());
    let said = listened(child.stderr.take().unwrap());
    let has = |line: &str| heard.lock().unwrap().iter().any(|l| l.ends_with(line));
    wait_for("the first line", || has("test: begin"));
    // Each kind of rotation while a writer writes; a copy that is truncated is truncated in a pause, as its lines would be lost.
    let write = |from: u32, to: u32| {
        format!("i={from}; while [ $i -lt {to} ]; do echo \"Nov 21 10:00:01 test: line $i\" >> {log}; i=$((i+1)); done")
    };
    appliance(&format!("{}; mv {log} {log}.1; {}", write(0, 200), write(200, 400)));
    wait_for("lines behind a rename", || has("line 399"));
    appliance(&format!("cp {log} {log}.2; : > {log}; {}", write(400, 600)));
    wait_for("lines behind a truncation", || has("line 599"));
    appliance(&format!("{}; mv {log} {log}.3; {}; mv {log} {log}.4; {}", write(600, 700), write(700, 800), write(800, 900)));
    wait_for("lines behind two renames", || has("line 899"));
    lab.node(&["sh", "-c", "mv /root/away/pct $(dirname $(command -v pvesm))/pct"]);
    lab.node(&["pct", "stop", "9999"]);
    wait_for("that the guest has stopped", || said.lock().unwrap().concat().contains("the guest has stopped"));
    lab.node(&["pct", "start", "9999"]);
    wait_for("the appliance", || lab.exec("9999", &["true"]).rc == 0);
    appliance(&write(900, 1000));
    wait_for("lines behind a new start", || has("line 999"));
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = heard.lock().unwrap().clone();
    let numbers: Vec<u32> = lines.iter().filter_map(|l| l.rsplit_once("line ")?.1.parse().ok()).collect();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>(), "nothing lost, doubled or out of order");
    let said = said.lock().unwrap().concat();
    for what in ["was rotated", "truncated", "the guest has stopped"] {
        assert!(said.contains(what), "{what} is not said: {said}");
    }
    // A link in its place is refused and said, and no command is asked instead.
    appliance(&format!("rm -f {log}; ln -s /etc/passwd {log}"));
    let refused = lab.exec("pve1", &["proximity", "--read-only", "logs", "dnsmasq"]);
    assert!(refused.rc == 1 && refused.err.contains("symbolic link"), "{refused:?}");
}

/// `1,204` behind which this word stands in the status row.
fn told(screen: &str, word: &str) -> Option<u64> {
    let row = screen.lines().rev().find(|l| l.contains(" lines"))?;
    let part = row.split('·').find(|p| p.contains(word))?;
    part.trim().split(' ').next()?.replace(',', "").parse().ok()
}

#[test]
fn a_guest_writes_fifty_thousand_lines_a_second_and_each_is_accounted_for() {
    // The full form of LAB.md asks for a minute.
    let seconds: u64 = std::env::var("PROXIMITY_FLOOD_S").ok().and_then(|s| s.parse().ok()).unwrap_or(10);
    let all = seconds * 50_000;
    let Some(lab) = Lab::up("lv") else { return };
    let log = "/var/log/dnsmasq.log";
    // Nobody else writes: a console that nobody types in visits the apps, and Caddy logs it.
    let quiet = "rc-service caddy stop && rc-service dnsmasq stop";
    let said = lab.exec("9999", &["sh", "-c", &format!("{quiet} && rm -f {log} /var/log/caddy/access.log && : > {log}")]);
    assert_eq!(said.rc, 0, "{said:?}");
    let mut line = Line::open(&lab, "LANG=C.UTF-8 PROXIMITY_REFRESH_S=3600 proximity --read-only");
    line.wait("no store");
    line.press("\r");
    line.press("4");
    line.wait("No line yet");
    // Pages of 5,000 lines, each as soon as its tenth of a second has come; a page that is late is made up for.
    let flood = format!(
        "awk 'function now() {{ getline up < \"/proc/uptime\"; close(\"/proc/uptime\"); return up + 0 }} BEGIN {{ begun = now(); \
         for (p = 0; p < {}; p++) {{ for (n = 0; n < 5000; n++) printf \"Nov 21 10:00:00 flood: line %d of %s\\n\", \
         p * 5000 + n, (n % 7 ? \"gitea\" : \"nextcloud\"); fflush(); \
         while (now() - begun < (p + 1) / 10) system(\"sleep 0.02\") }} }}' >> {log}",
        all / 5000
    );
    let begun = Instant::now();
    let writer = std::thread::spawn({
        let mut command = lab.command("9999", &["sh", "-c", &flood]);
        move || (command.status(), begun.elapsed())
    });
    line.wait("flood: line");
    // Letters of a filter, typed while the lines come: from the key until it stands in the row of the filter.
    let mut times = Vec::new();
    while !writer.is_finished() {
        line.press("/");
        for (at, letter) in "nextcloud".char_indices() {
            let pressed = Instant::now();
            line.press(&letter.to_string());
            let wanted = format!("/ {}", &"nextcloud"[..=at]);
            while !line.text().contains(&wanted) {
                assert!(pressed.elapsed() < PATIENCE, "{wanted} is not shown:\n{}", line.text());
                std::thread::sleep(Duration::from_micros(500));
            }
            times.push(pressed.elapsed());
        }
        // Esc and the next key in one piece would be another key.
        line.press("\x1b");
        line.wait("/ no filter");
    }
    let (status, took) = writer.join().unwrap();
    assert!(status.unwrap().success());
    line.press("/nextcloud\r");
    let whole = |text: &str| told(text, "lines") == Some(all) && told(text, "match").is_some() && !text.contains("looking");
    line.wait_until("all lines", whole);
    let screen = line.text();
    let dropped = told(&screen, "dropped").unwrap_or(0);
    let fallen = told(&screen, "too old").unwrap_or(0);
    assert_eq!((dropped, fallen), (0, all - 100_000), "a file is its own buffer, and what is kept is bounded: {screen}");
    // What is kept are the last lines, so what must pass the filter is known to the line.
    let passing = (all - 100_000..all).filter(|n| n % 5000 % 7 == 0).count() as u64;
    assert_eq!(told(&screen, "match"), Some(passing), "{screen}");
    times.sort();
    let at = |hundredths: usize| times[(times.len() - 1) * hundredths / 100].as_secs_f64() * 1000.0;
    println!(
        "{all} lines in {:.1} s, {} a second; {} keys typed meanwhile: p50 {:.1} ms, p99 {:.1} ms to the screen, over SSH",
        took.as_secs_f64(),
        all * 1000 / took.as_millis() as u64,
        times.len(),
        at(50),
        at(99)
    );
    assert!(took < PATIENCE + Duration::from_secs(seconds), "the guest did not write that fast: {took:?}");
}
