//! Guests' files read from the host: only files, only the guest's own, and let go of when the guest stops.

use crate::harness::Lab;

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
