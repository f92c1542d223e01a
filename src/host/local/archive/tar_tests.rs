//! Streams of the real tar, in all the forms that are met, whole and cut at every byte.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

use crate::domain::inside::tar::End;
use crate::domain::inside::tar::tests::{read, read_by};
use crate::domain::inside::{Kind, Sparse};

fn made(args: &[&str], make: impl FnOnce(&std::path::Path)) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let out = Command::new("tar").args(["-C", dir.path().to_str().unwrap(), "-cf", "-"]).args(args).arg(".").output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

#[test]
fn what_the_real_tar_makes_is_read_as_it_is() {
    let long = "n".repeat(180);
    for format in ["gnu", "pax", "ustar", "oldgnu"] {
        let bytes = made(&[&format!("--format={format}"), "--numeric-owner", "--owner=70000", "--group=33", "--sort=name"], |dir| {
            std::fs::create_dir(dir.join("d")).unwrap();
            std::fs::write(dir.join("d/a\nb"), "x".repeat(700)).unwrap();
            std::os::unix::fs::symlink("/etc/shadow", dir.join("d/link")).unwrap();
            std::fs::hard_link(dir.join("d/a\nb"), dir.join("d/second")).unwrap();
            let deep = if format == "ustar" { "p".repeat(90) } else { long.clone() };
            std::fs::create_dir(dir.join(&deep)).unwrap();
            std::fs::write(dir.join(&deep).join("q".repeat(90)), "y").unwrap();
        });
        let (all, end) = read(&bytes).unwrap();
        assert_eq!(end, End::Whole);
        let of = |name: &str| all.iter().find(|(e, _)| e.path == name.as_bytes()).unwrap_or_else(|| panic!("{format}: {name}: {all:?}"));
        let (file, content) = of("./d/a\nb");
        assert_eq!((file.kind, file.uid, file.gid, content.len()), (Kind::File, 70_000, 33, 700), "{format}");
        assert_eq!((of("./d/link").0.kind, of("./d/link").0.link.as_slice()), (Kind::Link, &b"/etc/shadow"[..]));
        assert_eq!((of("./d/second").0.kind, of("./d/second").0.link.as_slice()), (Kind::Hard, &b"./d/a\nb"[..]));
        let deep = if format == "ustar" { "p".repeat(90) } else { long.clone() };
        assert_eq!(of(&format!("./{deep}/{}", "q".repeat(90))).1, b"y", "{format}");
        assert!(file.mtime > 1_600_000_000, "{format}");
    }
}

#[test]
fn files_with_holes_have_their_real_name_and_size() {
    use std::io::{Seek, SeekFrom, Write};
    for (format, more) in [("pax", "--sparse-version=1.0"), ("pax", "--sparse-version=0.1"), ("gnu", "--no-xattrs")] {
        let bytes = made(&[&format!("--format={format}"), "--sparse", more], |dir| {
            let mut file = std::fs::File::create(dir.join("disk")).unwrap();
            for n in 0..30u64 {
                file.seek(SeekFrom::Start(n << 20)).unwrap();
                file.write_all(&[b'z'; 4096]).unwrap();
            }
            file.set_len(40 << 20).unwrap();
        });
        let (all, _) = read(&bytes).unwrap();
        let (disk, content) = all.iter().find(|(e, _)| e.path == b"./disk").unwrap_or_else(|| panic!("{format} {more}: {all:?}"));
        assert_eq!((disk.size, disk.kind), (40 << 20, Kind::File), "{format} {more}");
        assert!(content.len() < 1 << 20);
        match (&disk.sparse, more) {
            (Sparse::Places(places), "--no-xattrs") => assert_eq!((places.len() >= 30, places[1]), (true, (1 << 20, 4096))),
            (Sparse::Map, "--sparse-version=1.0") | (Sparse::Unread, "--sparse-version=0.1") => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_cut_is_found_and_so_is_what_stands_behind_the_end() {
    let whole = made(&["--format=gnu"], |dir| std::fs::write(dir.join("a"), "x".repeat(3000)).unwrap());
    let content = 512 + 512 + 3072;
    for cut in 0..whole.len() {
        match read_by(&whole[..cut], 4096) {
            // Of the zeros at the end so many may be missing as are not needed.
            Ok((_, end)) => assert!(cut >= content + 1024 && end == End::Short, "{cut}"),
            Err(why) => assert!(cut < content + 1024 && why.starts_with("it ends"), "{cut}: {why}"),
        }
    }
    let why = read(&whole[..2000]).unwrap_err();
    assert!(why.starts_with("it ends within ./a, 2"), "{why}");
    let mut more = whole.clone();
    *more.last_mut().unwrap() = 1;
    assert_eq!(read(&more).unwrap_err(), "something else stands behind its end");
    let mut hole = whole;
    hole[512..1024].fill(0);
    assert!(read(&hole).unwrap_err().contains("a block of zeros stands in the middle"));
}
