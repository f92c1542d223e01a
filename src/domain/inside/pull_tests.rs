//! What is planned, and what is refused.
#![allow(clippy::unwrap_used)]

use super::super::super::backup::tests::world;
use super::super::super::world::{From, Part};
use super::*;

const VOLID: &str = "local:backup/vzdump-lxc-101-x.tar.zst";

fn with() -> World {
    let archive = crate::domain::backup::tests::archive(101, VOLID, Stamp(0), 9);
    World { archives: Part::new(vec![archive], Stamp(1), From::Files), ..world() }
}

fn wish(into: &str) -> PullWish {
    let found = Found { dir: true, files: 3, dirs: 2, bytes: 2048, ..Found::default() };
    PullWish { volid: VOLID.into(), path: "/srv/x".into(), into: Target::parse(into).unwrap(), overwrite: false, found }
}

fn planned(wish: &PullWish, looked: Looked) -> Result<Plan, Refusal> {
    let ways = Ways { program: "proximity".into(), ionice: true };
    plan(&with(), wish, looked, &ways, (Stamp(0x1_0000_0000), 3600))
}

#[test]
fn the_plan_as_it_is_shown() {
    insta::assert_snapshot!(planned(&wish("101:/srv"), Looked::Taken).unwrap().lines().join("\n"), @"
    pull /srv/x into 101:/srv
    1 unpack the folder beside its place, and read the archive to its end
        $ proximity in-archive pull /var/lib/vz/dump/vzdump-lxc-101-x.tar.zst /srv/x 101:/srv/.proximity-100000000
        then: 101:/srv/.proximity-100000000 is there
        undo: proximity in-archive drop 101:/srv/.proximity-100000000
    2 put it in its place: 101:/srv/x
        $ proximity in-archive place 101:/srv/.proximity-100000000 101:/srv/x 101:/srv/x.before-19700219-180247
        then: 101:/srv/x is what was unpacked
        undo: proximity in-archive back 101:/srv/x 101:/srv/x.before-19700219-180247
    3 files in 2 folders, 2.0 KiB, of local:backup/vzdump-lxc-101-x.tar.zst
    owner, mode and time are those of the archive
    ! what is there now is kept as x.before-19700219-180247
    ");
    let fresh = planned(&wish("/root"), Looked::Free).unwrap();
    assert_eq!((fresh.purpose.clone(), fresh.risk.clone(), fresh.steps.len()), (Purpose::PullOut, Risk::Low, 2));
    assert!(fresh.facts[1].contains("nothing is setuid") && !fresh.lines().join("\n").contains("before-"));
    let gone = planned(&PullWish { overwrite: true, ..wish("101:/srv") }, Looked::Taken).unwrap();
    assert_eq!((gone.steps.len(), gone.risk), (3, Risk::Destroys { name: "x".into() }), "its name must be typed");
    let stopped = planned(&wish("101:/srv"), Looked::Unmounted).unwrap();
    insta::assert_snapshot!(stopped.lines().join("\n"), @"
    pull /srv/x into 101:/srv
    1 mount the volumes of 101
        $ pct mount 101
        then: the volumes of 101 are mounted
        undo: pct unmount 101
    2 unpack the folder beside its place, and read the archive to its end
        $ proximity in-archive pull /var/lib/vz/dump/vzdump-lxc-101-x.tar.zst /srv/x 101:/srv/.proximity-100000000
        then: 101:/srv/.proximity-100000000 is there
        undo: proximity in-archive drop 101:/srv/.proximity-100000000
    3 put it in its place: 101:/srv/x
        $ proximity in-archive place 101:/srv/.proximity-100000000 101:/srv/x 101:/srv/x.before-19700219-180247 --if-there
        then: 101:/srv/x is what was unpacked
        undo: proximity in-archive back 101:/srv/x 101:/srv/x.before-19700219-180247 --if-there
    4 let the volumes of 101 go
        $ pct unmount 101
        then: 101 exists, without a lock
    3 files in 2 folders, 2.0 KiB, of local:backup/vzdump-lxc-101-x.tar.zst
    owner, mode and time are those of the archive
    ! 101 does not run: its volumes are mounted for it, and let go in the end; it cannot start meanwhile
    ! what is there now is kept as x.before-19700219-180247, if anything is
    ");
    assert_eq!(planned(&PullWish { overwrite: true, ..wish("101:/srv") }, Looked::Free).unwrap().risk, Risk::Low, "nothing is lost");
}

#[test]
fn refusals_say_why() {
    let why = |wish: &PullWish| planned(wish, Looked::Free).unwrap_err().why;
    assert_eq!(why(&wish("109:/srv")), "there is no guest 109");
    assert!(why(&PullWish { path: "/".into(), ..wish("101:/") }).contains("not one thing"));
    assert!(why(&PullWish { path: "/srv/../x".into(), ..wish("101:/") }).contains("not one thing"));
    assert!(why(&PullWish { volid: "local:backup/none".into(), ..wish("101:/") }).contains("no such archive"));
}

#[test]
fn a_wish_is_for_what_can_be_brought_back() {
    use super::super::listing::Builder;
    use super::super::{Entry, Kind as Is, Sparse};
    let entry = |path: &[u8], kind| Entry {
        path: path.to_vec(),
        link: if kind == Is::Hard { b"./srv/first".to_vec() } else { vec![] },
        kind,
        mode: 0,
        uid: 0,
        gid: 0,
        size: 0,
        stored: 0,
        mtime: 0,
        sparse: Sparse::No,
        attributes: 0,
    };
    let mut builder = Builder::default();
    for (path, kind) in [(&b"srv/first"[..], Is::File), (b"srv/second", Is::Hard), (b"srv/null", Is::Device), (b"srv/\xff", Is::File)] {
        builder.add(&entry(path, kind));
    }
    let listing = builder.done();
    let wish = |path: &[u8]| super::wish(&listing, VOLID, path, Target::Host("/root".into()), false).map_err(|r| r.why);
    assert_eq!(wish(b"srv/./first").unwrap().path, "/srv/first");
    assert_eq!(wish(b"/srv/second").unwrap_err(), "it is a second name of ./srv/first, which has the content: pull that one");
    assert_eq!(wish(b"/srv/null").unwrap_err(), "it is no file, folder or link");
    assert_eq!(wish(b"/srv/\xff").unwrap_err(), "its name is no text; pull the folder it lies in");
    assert_eq!(wish(b"/srv/none").unwrap_err(), "there is nothing of that name in the archive");
    let all = wish(b"/srv").unwrap();
    assert_eq!((all.found.files, all.found.left_out, all.name()), (3, 1, ("srv", "/")));
}

#[test]
fn targets_are_folders_and_lead_nowhere_else() {
    for (text, shown) in
        [("101:/srv/", "101:/srv"), ("/root", "/root"), ("101:/", "101:/"), ("101://a/./b", "101:/a/b"), ("101:/a:b", "101:/a:b")]
    {
        assert_eq!(Target::parse(text).unwrap().text(), shown);
    }
    for text in ["", "srv", "101:srv", "101:/srv/../etc", "/a/../b", "x:/srv", "101"] {
        assert!(Target::parse(text).is_err(), "{text}");
    }
    assert_eq!(Target::parse("101:/").unwrap().join("x").text(), "101:/x");
}
