//! Where the person at this process came from: what the kernel and sshd left in /proc. Looked up once.
//!
//! sudo takes the SSH variables away, so the environments of our ancestors are read too, where we may. All of it but
//! the login uid can be made up by whoever has a shell; it is written down as what was said, not as a proof.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

use crate::domain::audit::Who;
use crate::store::audit::ssh_fingerprint;

/// The kernel's word for "nobody logged in": a service, a boot.
const NOBODY: u32 = u32::MAX;
/// How far up ancestors are asked.
const UP: usize = 16;

/// Who is at this process.
pub fn who() -> &'static Who {
    static FOUND: OnceLock<Who> = OnceLock::new();
    FOUND.get_or_init(find)
}

fn find() -> Who {
    let login_uid = fs::read_to_string("/proc/self/loginuid").ok().and_then(|t| t.trim().parse().ok()).filter(|uid| *uid != NOBODY);
    let ssh = variable("SSH_CONNECTION").and_then(|v| v.split(' ').next().map(str::to_owned));
    let key = variable("SSH_USER_AUTH").and_then(|path| fingerprint(&fs::read_to_string(path).ok()?));
    let tty = (0..3).find_map(|n| {
        let at = fs::read_link(format!("/proc/self/fd/{n}")).ok()?;
        let text = at.to_str()?;
        (text.starts_with("/dev/pts/") || text.starts_with("/dev/tty") || text == "/dev/console").then(|| text.to_owned())
    });
    Who { login_uid, sudo_user: variable("SUDO_USER"), ssh, tty, key }
}

/// A variable of ours, or of the nearest ancestor that has it.
fn variable(name: &str) -> Option<String> {
    if let Some(own) = std::env::var_os(name).filter(|v| !v.is_empty()) {
        return Some(String::from_utf8_lossy(own.as_bytes()).into_owned());
    }
    let mut pid = std::process::id();
    for _ in 0..UP {
        pid = parent(pid)?;
        let Ok(all) = fs::read(Path::new("/proc").join(pid.to_string()).join("environ")) else { return None };
        let found = all.split(|b| *b == 0).find_map(|v| v.strip_prefix(name.as_bytes())?.strip_prefix(b"=").filter(|v| !v.is_empty()));
        if let Some(found) = found {
            return Some(String::from_utf8_lossy(found).into_owned());
        }
    }
    None
}

/// Field 4 of /proc/PID/stat, behind the name, which may hold anything.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok().filter(|pid| *pid > 0)
}

/// The fingerprint of the first key in what sshd writes with ExposeAuthInfo (`publickey TYPE BASE64`).
fn fingerprint(auth: &str) -> Option<String> {
    let key = auth.lines().find_map(|l| l.strip_prefix("publickey ")?.split(' ').nth(1))?;
    ssh_fingerprint(&unbase64(key)?)
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut out = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().try_fold(0u32, |all, c| Some(all << 6 | u32::from(value(*c)?)))?;
        let bytes = (bits << (6 * (4 - four.len()))).to_be_bytes();
        out.extend(&bytes[1..four.len()]);
    }
    Some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_logged_in_has_the_name_that_ssh_keygen_gives_it() {
        // ssh-keygen -lf of this line.
        let auth = "publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n";
        assert_eq!(fingerprint(auth).unwrap(), "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
        assert_eq!(fingerprint("password\n"), None);
        assert_eq!(fingerprint("publickey ssh-ed25519 *\n"), None);
    }

    #[test]
    fn a_variable_is_found_at_an_ancestor() {
        assert!(variable("PATH").is_some() && variable("PROXIMITY_NOBODY_SETS_THIS").is_none());
        assert!(parent(std::process::id()).is_some());
    }
}
