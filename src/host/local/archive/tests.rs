//! Real archives of the real tar, whole and spoilt, and what becomes of what is pulled out of them.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::*;

fn run(argv: &[&str]) {
    let out = Command::new(argv[0]).args(&argv[1..]).output().unwrap();
    assert!(out.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&out.stderr));
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

struct Made {
    dir: tempfile::TempDir,
    root: PathBuf,
}

/// A guest's root as vzdump archives it, with what is to be pulled in srv/x.
fn made() -> Made {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("etc/vzdump")).unwrap();
    std::fs::create_dir_all(root.join("srv/x/deep")).unwrap();
    std::fs::write(root.join("etc/vzdump/pct.conf"), "arch: amd64\n").unwrap();
    let mut noise = vec![0u8; 300_000];
    File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    std::fs::write(root.join("srv/x/rnd"), &noise).unwrap();
    std::fs::write(root.join("srv/x/deep/a\nb"), "text").unwrap();
    symlink("/etc/shadow", root.join("srv/x/link")).unwrap();
    std::fs::hard_link(root.join("srv/x/rnd"), root.join("srv/x/second")).unwrap();
    std::fs::write(root.join("outside"), "o").unwrap();
    std::fs::hard_link(root.join("outside"), root.join("srv/x/third")).unwrap();
    let holes = File::create(root.join("srv/x/holes")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&holes, b"in the middle", 1 << 20).unwrap();
    holes.set_len(3 << 20).unwrap();
    std::fs::set_permissions(root.join("srv/x/rnd"), std::fs::Permissions::from_mode(0o4640)).unwrap();
    std::fs::set_permissions(root.join("srv/x/deep"), std::fs::Permissions::from_mode(0o500)).unwrap();
    Made { dir, root }
}

impl Made {
    /// As vzdump has it made.
    fn tar(&self) -> PathBuf {
        let at = self.dir.path().join("a.tar");
        let owner = ["--owner=1000", "--group=33", "--sort=name"];
        let how = ["--sparse", "--numeric-owner", "--acls", "--xattrs", "-C", text(&self.root), "-cf", text(&at), "."];
        run(&[&["tar"], &owner[..], &how[..]].concat());
        at
    }

    fn packed(&self, with: &[&str], ending: &str) -> PathBuf {
        let tar = self.tar();
        let at = self.dir.path().join(format!("a{ending}"));
        let out = Command::new(with[0]).args(&with[1..]).stdin(File::open(tar).unwrap()).stdout(File::create(&at).unwrap()).status();
        assert!(out.unwrap().success());
        at
    }

    fn zst(&self) -> PathBuf {
        self.packed(&["zstd", "-q"], ".tar.zst")
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let at = self.dir.path().join(name);
        std::fs::write(&at, bytes).unwrap();
        at
    }

    fn out(&self) -> PathBuf {
        let at = self.dir.path().join("out");
        std::fs::create_dir_all(&at).unwrap();
        at
    }
}

fn verdict(path: &Path) -> Verdict {
    verify(text(path), &Progress::default()).verdict
}

fn why(path: &Path) -> String {
    match verdict(path) {
        Verdict::Damaged(why) => why,
        other => unreachable!("{}: {other:?}", path.display()),
    }
}

#[test]
fn a_whole_archive_is_whole_and_its_sum_is_that_of_its_bytes() {
    let made = made();
    for path in [made.tar(), made.zst(), made.packed(&["gzip"], ".tar.gz"), made.packed(&["gzip"], ".tgz")] {
        let progress = Progress::default();
        let report = verify(text(&path), &progress);
        assert_eq!(report.verdict, Verdict::Whole, "{}", path.display());
        let out = Command::new("sha256sum").arg(&path).output().unwrap().stdout;
        assert_eq!(report.sha256.unwrap(), String::from_utf8_lossy(&out).split(' ').next().unwrap());
        assert_eq!((report.size, progress.read.load(Ordering::Relaxed)), (path.metadata().unwrap().len(), report.size));
        assert_eq!(report.entries, 14);
    }
}

#[test]
fn every_way_of_being_spoilt_is_found() {
    let made = made();
    for (path, ending) in [(made.tar(), ".tar"), (made.zst(), ".tar.zst"), (made.packed(&["gzip"], ".tar.gz"), ".tar.gz")] {
        let whole = std::fs::read(&path).unwrap();
        let len = whole.len();
        for cut in [1, 3, 100, 511, 512, len / 3, len / 2, len - 9000, len - 9, len - 1] {
            // Of an archive that is not compressed the last thousands of bytes are zeros that nobody needs.
            if ending != ".tar" || cut < len - 10240 {
                why(&made.write(&format!("cut{ending}"), &whole[..cut]));
            }
        }
        let mut garbage = whole.clone();
        garbage[len / 2..len / 2 + 4096].fill(0xa5);
        let mut flipped = whole.clone();
        flipped[len / 2] ^= 0x10;
        if ending == ".tar" {
            // Only the sum tells, beside an earlier one.
            let at = made.write("flipped.tar", &flipped);
            assert_ne!(verify(text(&at), &Progress::default()).sha256, verify(text(&path), &Progress::default()).sha256);
        } else {
            why(&made.write(&format!("flipped{ending}"), &flipped));
            why(&made.write(&format!("garbage{ending}"), &garbage));
        }
        assert_eq!(why(&made.write(&format!("empty{ending}"), b"")), "it is empty");
        assert!(!why(&made.write(&format!("html{ending}"), "<html>no</html>".repeat(100).as_bytes())).is_empty());
    }
    let whole = std::fs::read(made.tar()).unwrap();
    let at = whole.chunks(512).position(|b| b.starts_with(b"./srv/x/rnd")).unwrap() * 512;
    let mut bad = whole;
    bad[at] ^= 1;
    assert!(why(&made.write("head.tar", &bad)).contains("its sum does not fit"));
    std::fs::remove_file(made.root.join("etc/vzdump/pct.conf")).unwrap();
    assert!(why(&made.zst()).contains("pct.conf"));
}

#[test]
fn what_could_not_be_read_is_unknown_and_not_damaged() {
    let made = made();
    for (name, says) in [("gone.tar.zst", "No such file"), ("root", "is no file"), ("a.vma", "No such file")] {
        match verdict(&made.dir.path().join(name)) {
            Verdict::Unknown(why) => assert!(why.contains(says), "{why}"),
            other => unreachable!("{name}: {other:?}"),
        }
    }
    if !Path::new("/usr/bin/lzop").exists() {
        let at = made.write("a.tar.lzo", b"x");
        assert_eq!(verdict(&at), Verdict::Unknown("lzop is not installed, which takes its compression away".into()));
    }
    assert!(matches!(verdict(&made.write("a.vma", b"x")), Verdict::Unknown(why) if why.contains("ends in nothing")));
    std::fs::create_dir(made.dir.path().join("d.tar.zst")).unwrap();
    assert!(matches!(verdict(&made.dir.path().join("d.tar.zst")), Verdict::Unknown(why) if why.contains("no file")));
    let progress = Progress { stop: AtomicBool::new(true), ..Progress::default() };
    assert!(matches!(verify(text(&made.zst()), &progress).verdict, Verdict::Unknown(why) if why.contains("on request")));
    assert!(matches!(list(text(&made.zst()), &progress), Err(HostError::Cancelled { .. })));
}

#[test]
fn a_list_has_what_tar_lists() {
    let made = made();
    for path in [made.tar(), made.zst()] {
        let listing = list(text(&path), &Progress::default()).unwrap();
        assert_eq!(listing.entries, 14);
        let holes = listing.seen(listing.find(b"/srv/x/holes").unwrap()).unwrap();
        assert_eq!((holes.size, holes.uid, holes.gid), (3 << 20, 1000, 33));
        assert!(listing.find(b"/srv/x/deep/a\nb").is_some());
    }
    let whole = std::fs::read(made.zst()).unwrap();
    let cut = made.write("cut.tar.zst", &whole[..whole.len() - 100]);
    assert!(list(text(&cut), &Progress::default()).unwrap_err().to_string().contains("damaged"));
}

fn place(dir: &Path, name: &str) -> Place {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Place::in_folder(openat(CWD, dir, flags, Mode::empty()).unwrap(), name)
}

fn pulled(path: &Path, wanted: &str, out: &Path, owners: Owners) -> Result<Unpack, String> {
    let mut unpack = Unpack::new(wanted, place(out, "stage"), owners)?;
    pull(text(path), &mut unpack, &Progress::default()).map(|()| unpack)
}

/// Owners can be given by root only.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_folder_comes_back_as_it_was() {
    if !is_root() {
        return;
    }
    let made = made();
    let (out, id) = (made.out(), "101".parse().unwrap());
    let ids = crate::host::local::file::Ids::of_maps("0 100000 65536\n", "0 100000 65536\n").unwrap();
    for path in [made.tar(), made.zst()] {
        let unpack = pulled(&path, "/srv/x", &out, Owners::Guest(id, ids.clone())).unwrap();
        let stage = out.join("stage");
        for name in ["rnd", "deep/a\nb", "holes", "second"] {
            assert!(std::fs::read(stage.join(name)).unwrap() == std::fs::read(made.root.join("srv/x").join(name)).unwrap(), "{name}");
        }
        let of = |name: &str| stage.join(name).symlink_metadata().unwrap();
        assert_eq!((of("rnd").uid(), of("rnd").gid(), of("rnd").mode() & 0o7777), (101_000, 100_033, 0o4640));
        assert_eq!((of("deep").mode() & 0o7777, of("link").uid()), (0o500, 101_000));
        assert_eq!(of("rnd").mtime(), made.root.join("srv/x/rnd").metadata().unwrap().mtime());
        assert_eq!(of("deep").mtime(), made.root.join("srv/x/deep").metadata().unwrap().mtime());
        assert_eq!(std::fs::read_link(stage.join("link")).unwrap(), Path::new("/etc/shadow"));
        assert_eq!(of("rnd").ino(), of("second").ino(), "one file of two names");
        assert!(of("holes").blocks() * 512 < 1 << 20, "its holes are holes");
        assert!(!stage.join("third").exists() && unpack.warnings()[0].contains("second name of ./outside"), "{:?}", unpack.warnings());
        place(&out, "stage").remove().unwrap();
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
    }
    pulled(&made.zst(), "srv/x/rnd", &out, Owners::Host).unwrap();
    let rnd = out.join("stage").metadata().unwrap();
    assert_eq!((rnd.uid(), rnd.mode() & 0o7777), (0, 0o640), "nothing on the host is setuid");
}

#[test]
fn of_an_archive_that_is_not_whole_nothing_stays() {
    let made = made();
    let (out, whole) = (made.out(), std::fs::read(made.zst()).unwrap());
    for cut in [whole.len() / 2, whole.len() - 1] {
        let path = made.write("cut.tar.zst", &whole[..cut]);
        for wanted in ["/srv/x", "/etc/vzdump/pct.conf"] {
            let why = pulled(&path, wanted, &out, Owners::Host).err().unwrap();
            assert!(why.contains("the archive is damaged"), "{why}");
            assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
        }
    }
    let why = pulled(&made.zst(), "/srv/none", &out, Owners::Host).err().unwrap();
    assert!(why.contains("nothing of that name"), "{why}");
    let narrow = crate::host::local::file::Ids::of_maps("0 100000 10\n", "0 100000 10\n").unwrap();
    let why = pulled(&made.zst(), "/srv/x", &out, Owners::Guest("101".parse().unwrap(), narrow)).err().unwrap();
    assert!(why.contains("its owner 1000:33 cannot be in 101"), "{why}");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
}

/// An archive whose own link leads out, and what it would write through it.
#[test]
fn no_archive_writes_through_its_own_links_or_above_its_folder() {
    let made = made();
    let (out, victim) = (made.out(), made.dir.path().join("victim"));
    std::fs::create_dir(&victim).unwrap();
    let bad = made.dir.path().join("bad");
    std::fs::create_dir_all(bad.join("one/srv/x")).unwrap();
    std::fs::create_dir_all(bad.join("two/srv/x/a")).unwrap();
    symlink(&victim, bad.join("one/srv/x/a")).unwrap();
    std::fs::write(bad.join("two/srv/x/a/evil"), "evil").unwrap();
    let tar = made.dir.path().join("evil.tar");
    run(&["tar", "-C", text(&bad.join("one")), "-cf", text(&tar), "./srv/x/a"]);
    run(&["tar", "-C", text(&bad.join("two")), "-rf", text(&tar), "./srv/x/a/evil"]);
    let why = pulled(&tar, "/srv/x", &out, Owners::Host).err().unwrap();
    assert!(why.contains("./srv/x/a/evil") || why.contains("a: "), "{why}");
    run(&["tar", "-C", text(&bad.join("two/srv/x/a")), "-P", "--transform=s,^,./srv/x/../../../victim/,", "-cf", text(&tar), "evil"]);
    assert!(pulled(&tar, "/srv/x", &out, Owners::Host).err().unwrap().contains("nothing of that name"));
    assert_eq!((std::fs::read_dir(&victim).unwrap().count(), std::fs::read_dir(&out).unwrap().count()), (0, 0));
}

#[test]
fn what_was_there_is_kept_and_comes_back() {
    let made = made();
    let out = made.out();
    let at = |name: &str| place(&out, name);
    let says = |name: &str| std::fs::read_to_string(out.join(name)).unwrap_or_default();
    std::fs::write(out.join("file"), "old").unwrap();
    std::fs::create_dir_all(out.join("stage/in/it")).unwrap();
    std::fs::write(out.join("stage/in/it/new"), "new").unwrap();
    assert!(at("file").take(&at("stage"), None).unwrap_err().contains("is there by now"));
    assert_eq!(at("file").has_taken(&at("stage")), Ok(false), "another is there");
    at("file").take(&at("stage"), Some(&at("file.before"))).unwrap();
    assert_eq!(at("file").has_taken(&at("stage")), Ok(true));
    assert_eq!((says("file.before"), says("file/in/it/new")), ("old".into(), "new".into()));
    at("file").give_back(Some(&at("file.before"))).unwrap();
    assert_eq!((says("file"), out.join("file.before").exists(), out.join("stage").exists()), ("old".into(), false, false));
    std::fs::write(out.join("stage"), "new").unwrap();
    std::fs::write(out.join("kept"), "somebody's").unwrap();
    assert!(at("file").take(&at("stage"), Some(&at("kept"))).unwrap_err().contains("is there already"));
    assert!(at("none").take(&at("stage"), Some(&at("x"))).unwrap_err().contains("gone by now"));
    assert_eq!((says("file"), says("stage"), says("kept")), ("old".into(), "new".into(), "somebody's".into()));
    // Broken off while they change places: whichever it is that is held, it is not done.
    std::fs::rename(out.join("stage"), out.join("stage-held")).unwrap();
    assert_eq!(at("file").has_taken(&at("stage")), Ok(false));
    std::fs::rename(out.join("stage-held"), out.join("stage")).unwrap();
    assert_eq!(at("fresh").has_taken(&at("gone")), Ok(false));
    at("fresh").take(&at("stage"), None).unwrap();
    at("fresh").give_back(None).unwrap();
    assert!(!out.join("fresh").exists() && !out.join("stage").exists());
    assert_eq!(at("fresh").remove(), Ok(()), "what is not there is gone");
}

#[test]
fn removing_follows_no_link() {
    let made = made();
    let out = made.out();
    let victim = made.dir.path().join("victim");
    std::fs::create_dir_all(&victim).unwrap();
    std::fs::write(victim.join("x"), "x").unwrap();
    std::fs::create_dir(out.join("d")).unwrap();
    symlink(&victim, out.join("d/link")).unwrap();
    symlink(&victim, out.join("top")).unwrap();
    place(&out, "d").remove().unwrap();
    place(&out, "top").remove().unwrap();
    assert!(victim.join("x").exists() && std::fs::read_dir(&out).unwrap().count() == 0);
}
