//! Many files in one answer: `tar -cf -` inside the appliance, read here. One command instead of one per file, the bytes
//! exactly as they are, and a link is told as a link instead of being followed to somewhere.

/// One member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path, with a slash at its beginning.
    pub path: String,
    /// Its bytes; `None` for what is no regular file.
    pub bytes: Option<Vec<u8>>,
}

const BLOCK: usize = 512;

/// Reads an archive in the ustar form that busybox and GNU tar write (POSIX pax, "ustar Interchange Format"). What cannot
/// be read ends the list with an error; members of other kinds than files are told without bytes.
pub fn members(archive: &[u8]) -> Result<Vec<Member>, String> {
    let mut out = Vec::new();
    let mut at = 0;
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
        let (prefix, name) = (text(&head[345..500]), text(&head[..100]));
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let regular = matches!(head[156], b'0' | 0);
        out.push(Member {
            path: format!("/{}", path.trim_start_matches("./").trim_start_matches('/')),
            bytes: regular.then(|| bytes.to_vec()),
        });
        at = from + size.div_ceil(BLOCK) * BLOCK;
    }
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
        assert_eq!(members(&[0; 1024]), Ok(vec![]));
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
