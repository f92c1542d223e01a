//! Restricted mode as it is shipped: the example files of `config/`, a real sshd and a real sudo, and an account that tries to
//! get at something else than its console.

use std::process::Stdio;

use crate::console::Line;
use crate::harness::{Lab, Said, skip, wait_for};

const PASSPHRASE: &str = "orbit lantern mosaic velvet quarry seven";
const CANARY: &str = "/tmp/canary";

fn set_up(lab: &Lab) {
    lab.write("/root/pw", PASSPHRASE);
    lab.sh("proximity init --operator ada --passphrase-fd 3 3</root/pw >/root/words");
    lab.sh("proximity operator add vera --role viewer --operator ada --passphrase-fd 3 --new-passphrase-fd 4 3</root/pw 4</root/pw");
    lab.sh(
        "groupadd console-ops && useradd --create-home --shell /bin/sh --groups console-ops vera && mkdir -p /etc/ssh/authorized_keys.d",
    );
    let public = std::fs::read_to_string(format!("{}.pub", lab.env()["LAB_KEY"])).unwrap();
    lab.write("/etc/ssh/authorized_keys.d/vera", &public);
    lab.write("/etc/ssh/sshd_config.d/proximity.conf", include_str!("../../config/sshd-restricted.conf"));
    lab.write("/etc/sudoers.d/proximity", include_str!("../../config/sudoers-restricted"));
    lab.sh("chmod 0440 /etc/sudoers.d/proximity && visudo -c && sshd -t && systemctl reload ssh");
    // sshd begins anew at a reload, and for a moment nobody listens.
    wait_for("sshd", || lab.exec("op", &["sh", "-c", "busybox nc -w1 10.77.0.10 22 </dev/null"]).out.contains("SSH"));
}

/// What `ssh vera@node` with these words says, without a terminal.
fn ssh(lab: &Lab, options: &[&str], command: &[&str]) -> Said {
    let env = lab.env();
    let known = format!("UserKnownHostsFile={}", env["LAB_KNOWN_HOSTS"]);
    let mut words = vec!["timeout", "20", "ssh", "-T", "-i", &env["LAB_KEY"], "-o", &known, "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"];
    words.extend(options);
    words.push("vera@10.77.0.10");
    words.extend(command);
    let out = lab.command("op", &words).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { rc: out.status.code().unwrap_or(-1), out: text(&out.stdout), err: text(&out.stderr) }
}

#[test]
fn an_account_in_restricted_mode_has_its_console_and_nothing_else() {
    let Some(lab) = &Lab::bare("rs") else { return skip("no lab on this machine") };
    set_up(lab);
    let nothing = |what: &str, said: &Said| {
        assert!(!said.out.contains("root:") && !said.err.contains("root:x"), "{what} read a file: {said:?}");
        assert!(!said.out.contains("uid="), "{what} ran a command: {said:?}");
        assert_eq!(lab.sh(&format!("ls {CANARY} 2>/dev/null || true")), "", "{what} wrote a file");
    };
    // The control: the same account with the same key is let in, and gets the console that only wants a terminal.
    let said = ssh(lab, &[], &[]);
    assert!(said.rc == 2 && said.err.contains("it needs a terminal"), "{said:?}");
    let mut tried = 0;
    for command in [
        &["id"][..],
        &["sh", "-c", "'id; touch /tmp/canary'"],
        &["cat", "/etc/shadow"],
        &["sudo", "-n", "id"],
        &["sudo", "-n", "/usr/local/bin/proximity", "guest", "exec", "101", "--", "sh"],
        &["proximity", "--restricted", "--state", "/tmp", "init"],
        &["$(touch /tmp/canary)"],
        &["; touch /tmp/canary"],
        &["--restricted; id"],
        &["scp", "-t", "/tmp/canary"],
        &["/usr/lib/openssh/sftp-server"],
        &["rsync", "--server", "-logDtpr", ".", "/tmp/canary"],
        &["git-upload-pack", "/"],
    ] {
        nothing(&format!("{command:?}"), &ssh(lab, &[], command));
        tried += 1;
    }
    // What ssh itself can be asked for: subsystems, variables, forwarding.
    for options in [
        &["-s"][..],
        &["-o", "SetEnv=EDITOR=/bin/sh"],
        &["-o", "SetEnv=BASH_ENV=/tmp/x", "-o", "SendEnv=*"],
        &["-A"],
        &["-X"],
        &["-w", "0:0"],
    ] {
        nothing(&format!("{options:?}"), &ssh(lab, options, &["sftp"]));
        tried += 1;
    }
    let jump = ssh(lab, &["-W", "127.0.0.1:22"], &[]);
    assert!(jump.rc != 0 && !jump.out.contains("SSH-2.0"), "a way to the node's own ports: {jump:?}");
    let forward = ssh(lab, &["-o", "ExitOnForwardFailure=yes", "-N", "-R", "127.0.0.1:10099:127.0.0.1:1"], &[]);
    assert_ne!(forward.rc, 0, "{forward:?}");
    // sudo from the account's own side: this one command line and no other.
    for line in [
        "sudo -n id",
        "sudo -n /usr/local/bin/proximity",
        "sudo -n /usr/local/bin/proximity status",
        "sudo -n /usr/local/bin/proximity --restricted guest list",
        "sudo -n PROXIMITY_STATE=/tmp /usr/local/bin/proximity --restricted",
        "sudo -n -E /usr/local/bin/proximity --restricted --state /tmp",
        "sudo -n -u ada /usr/local/bin/proximity --restricted",
        "sudo -n sh -c /usr/local/bin/proximity",
    ] {
        let said = lab.exec("pve1", &["su", "vera", "-c", line]);
        assert!(said.rc != 0 && !said.out.contains("uid="), "{line}: {said:?}");
        tried += 1;
    }
    // With a terminal it is the console, for this account alone; what runs is the program and nothing below it.
    let mut line = Line::of("vera", lab, "sh");
    line.wait("passphrase");
    let screen = line.text();
    assert!(screen.contains("vera") && !screen.contains("ada"), "{screen}");
    for keys in ["\u{1a}", "\u{1c}", "!sh\r\u{15}", ":!sh\r\u{15}", "\u{1b}[A", "\u{1d}", "|sh\r\u{15}"] {
        line.press(keys);
        tried += 1;
    }
    let below = lab.sh("ps -o comm= --ppid $(pgrep -x proximity | head -1) || true");
    assert_eq!(below, "", "something runs below the console");
    nothing("the console", &Said { rc: 0, out: line.text(), err: String::new() });
    line.wait("passphrase");
    println!("restricted: {tried} attempts through sshd and sudo, none got through");
}
