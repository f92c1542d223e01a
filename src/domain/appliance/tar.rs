//! Files as they are, to and fro. `tar -cf -` inside the appliance, read here: one command instead of one per file, the bytes
//! exactly as they are, and a link is told as a link instead of being followed to somewhere. And one file with its owner and
//! mode for `tar -xf -`, whatever the umask of whoever runs it.

/// One member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path, with a slash at its beginning.
    pub path: String,
    /// Its bytes; `None` for what is no regular file.
    pub bytes: Option<Vec<u8>>,
    /// Where it leads, for a symbolic link.
    pub link: Option<String>,
    /// Permission bits.
    pub mode: u32,
    /// Names of its owner and its group, where the archive tells them.
    pub owner: (String, String),
}

impl Member {
    /// Whether its own permissions let this user, of a group of the same name, read it.
    pub fn lets_read(&self, user: &str) -> bool {
        let has = |bit: u32| self.mode & bit != 0;
        match &self.owner {
            (owner, _) if owner == user => has(0o400),
            (_, group) if group == user => has(0o040),
            _ => has(0o004),
        }
    }
}

const BLOCK: usize = 512;

/// Reads an archive in the ustar form that busybox and GNU tar write (POSIX pax, "ustar Interchange Format"). What cannot
/// be read ends the list with an error; members of other kinds than files are told without bytes.
pub fn members(archive: &[u8]) -> Result<Vec<Member>, String> {
    let mut out = Vec::new();
    let mut at = 0;
    let mut long = None;
    loop {
        let head = archive.get(at..at + BLOCK).ok_or("the archive ends before its end mark")?;
        if head.iter().all(|b| *b == 0) {
            return Ok(out);
        }
        if !sum_fits(head) {
            return Err("the archive is damaged: a header's sum does not fit".into());
        }
        let size = octal(&head[124..136]).ok_or("the archive has a size that is no number")?;
        let from = at + BLOCK;
        let bytes = from.checked_add(size).and_then(|to| archive.get(from..to)).ok_or("the archive ends within a file")?;
        at = from + size.div_ceil(BLOCK) * BLOCK;
        // A name too long for a header stands before it, as GNU and busybox write it.
        if head[156] == b'L' {
            long = Some(text(bytes));
            continue;
        }
        let (prefix, name) = (text(&head[345..500]), text(&head[..100]));
        let path = long.take().unwrap_or_else(|| if prefix.is_empty() { name } else { format!("{prefix}/{name}") });
        let regular = matches!(head[156], b'0' | 0);
        out.push(Member {
            path: format!("/{}", path.trim_start_matches("./").trim_start_matches('/')),
            bytes: regular.then(|| bytes.to_vec()),
            link: (head[156] == b'2').then(|| text(&head[157..257])),
            mode: octal(&head[100..108]).and_then(|m| u32::try_from(m).ok()).unwrap_or(0),
            owner: (text(&head[265..297]), text(&head[297..329])),
        });
    }
}

/// An archive of one file that root owns, in the same form. `path` is absolute; `None` where it does not fit into a header
/// or the bytes are too many.
pub fn of_file(path: &str, bytes: &[u8], mode: u32) -> Option<Vec<u8>> {
    of_files([(path, bytes, mode)])
}

/// The same of several files.
pub fn of_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8], u32)>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (path, bytes, mode) in files {
        out.extend(member(path, bytes, mode)?);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    Some(out)
}

/// One of them, without the end mark.
fn member(path: &str, bytes: &[u8], mode: u32) -> Option<Vec<u8>> {
    let name = path.strip_prefix('/')?;
    if name.is_empty() || name.len() > 100 || bytes.len() >= 1 << 30 {
        return None;
    }
    let mut head = [0u8; BLOCK];
    let mut put = |at: usize, text: &str| head.iter_mut().skip(at).zip(text.bytes()).for_each(|(slot, b)| *slot = b);
    put(0, name);
    put(100, &format!("{:07o}", mode & 0o7777));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", bytes.len()));
    put(136, "00000000000");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    put(265, "root");
    put(297, "root");
    put(148, "        ");
    let sum: u32 = head.iter().map(|b| u32::from(*b)).sum();
    head.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()).for_each(|(slot, b)| *slot = b);
    let mut out = head.to_vec();
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    Some(out)
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
}

fn octal(field: &[u8]) -> Option<usize> {
    let text = text(field);
    let digits = text.trim();
    // A file of a gibibyte is none of ours; larger sizes are written in another way.
    usize::from_str_radix(digits, 8).ok().filter(|n| *n < 1 << 30)
}

/// The header's sum, taken with blanks in its own place.
fn sum_fits(head: &[u8]) -> bool {
    let sum: usize = head.iter().enumerate().map(|(n, b)| if (148..156).contains(&n) { usize::from(b' ') } else { usize::from(*b) }).sum();
    octal(&head[148..156]) == Some(sum)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What the real tar makes of files.
    fn archive() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/a.conf"), "x\n".repeat(700)).unwrap();
        std::fs::write(dir.path().join("etc/empty"), "").unwrap();
        std::os::unix::fs::symlink("/etc/shadow", dir.path().join("etc/link")).unwrap();
        let args = ["-C", dir.path().to_str().unwrap(), "-cf", "-", "etc/a.conf", "etc/empty", "etc/link"];
        std::process::Command::new("tar").args(args).output().unwrap().stdout
    }

    #[test]
    fn files_come_back_as_they_are_and_links_are_not_followed() {
        let all = members(&archive()).unwrap();
        let names: Vec<_> = all.iter().map(|m| (m.path.as_str(), m.bytes.as_ref().map(Vec::len))).collect();
        assert_eq!(names, [("/etc/a.conf", Some(1400)), ("/etc/empty", Some(0)), ("/etc/link", None)]);
        let links: Vec<_> = all.iter().map(|m| m.link.as_deref()).collect();
        assert_eq!(links, [None, None, Some("/etc/shadow")]);
        assert_eq!(members(&[0; 1024]), Ok(vec![]));
    }

    #[test]
    fn long_names_are_read_and_permissions_told() {
        use std::os::unix::fs::PermissionsExt;
        for tool in [&["tar", "--format=gnu"][..], &["busybox", "tar"]] {
            let dir = tempfile::tempdir().unwrap();
            let (long, at) = ("x".repeat(150), dir.path().to_str().unwrap());
            std::fs::write(dir.path().join(&long), "y").unwrap();
            std::fs::set_permissions(dir.path().join(&long), std::fs::Permissions::from_mode(0o640)).unwrap();
            let args = tool[1..].iter().copied().chain(["-C", at, "-cf", "-", long.as_str()]);
            let Ok(out) = std::process::Command::new(tool[0]).args(args).output() else { continue };
            let [one] = members(&out.stdout).unwrap().try_into().unwrap();
            assert_eq!((one.path.as_str(), one.mode & 0o777), (format!("/{long}").as_str(), 0o640), "{tool:?}");
            assert!(!one.lets_read("nobody-of-these"));
            assert!(one.lets_read(&one.owner.0) && Member { mode: 0o644, ..one }.lets_read("caddy"));
        }
    }

    #[test]
    fn the_real_tar_takes_what_is_made_here() {
        use std::io::Write;
        use std::os::unix::fs::PermissionsExt;
        for tool in [&["tar"][..], &["busybox", "tar"]] {
            let Ok(_) = std::process::Command::new(tool[0]).arg("--help").output() else { continue };
            let dir = tempfile::tempdir().unwrap();
            for bytes in [&b""[..], b"x\n", &[b'a'; 512], &[0xff; 1300]] {
                let archive = of_file("/etc/some where/a.conf", bytes, 0o644).unwrap();
                let at = dir.path().to_str().unwrap();
                let args = tool[1..].iter().copied().chain(["-C", at, "-xpf", "-"]);
                let mut child = std::process::Command::new(tool[0]).args(args).stdin(std::process::Stdio::piped()).spawn().unwrap();
                child.stdin.take().unwrap().write_all(&archive).unwrap();
                assert!(child.wait().unwrap().success(), "{tool:?}");
                let file = dir.path().join("etc/some where/a.conf");
                assert_eq!(std::fs::read(&file).unwrap(), bytes);
                assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o644);
                assert_eq!(members(&archive).unwrap()[0].bytes.as_deref(), Some(bytes));
            }
        }
        assert_eq!(of_file(&format!("/{}", "x".repeat(101)), b"", 0o644), None);
        assert_eq!(of_file("relative", b"", 0o644), None);
    }

    #[test]
    fn any_cut_and_any_changed_byte_of_a_header_is_an_error() {
        let whole = archive();
        for cut in [0, 1, 511, 512, 1000, 2047] {
            assert!(members(&whole[..cut]).is_err(), "{cut}");
        }
        // The sum itself may be written in several ways.
        for at in (0..148).chain(156..BLOCK) {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            assert!(members(&bad).is_err(), "byte {at}");
        }
    }
}
