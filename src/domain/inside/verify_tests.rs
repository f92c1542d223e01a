//! What is planned, told and concluded.
#![allow(clippy::unwrap_used)]

use super::super::super::backup::tests::world;
use super::super::super::world::{From, Gap, Part};
use super::*;

pub fn archive(id: u32, file: &str, made: i64) -> Archive {
    crate::domain::backup::tests::archive(id, &format!("local:backup/{file}"), Stamp(made), 412 << 20)
}

fn ways(ionice: bool) -> Ways {
    Ways { program: "/usr/local/bin/proximity".into(), ionice }
}

fn with(archives: Vec<Archive>) -> World {
    World { archives: Part::new(archives, Stamp(1), From::Files), ..world() }
}

#[test]
fn the_plan_as_it_is_shown() {
    let w = with(vec![archive(101, "vzdump-lxc-101-new.tar.zst", 9), archive(101, "vzdump-lxc-101-old.tar", 1)]);
    insta::assert_snapshot!(plan(&w, &VerifyWish::Guest("101".parse().unwrap()), &ways(true)).unwrap().lines().join("\n"), @"
    verify vzdump-lxc-101-new.tar.zst
    1 read vzdump-lxc-101-new.tar.zst to its end
        $ nice -n 19 ionice -c3 /usr/local/bin/proximity in-archive verify /var/lib/vz/dump/vzdump-lxc-101-new.tar.zst
        then: vzdump-lxc-101-new.tar.zst is as long as before
    412 MiB are read, when nobody else wants the processor or the disk; nothing is changed
    ");
    let all = plan(&w, &VerifyWish::All, &ways(false)).unwrap();
    assert_eq!((all.steps.len(), all.title.as_str(), all.risk == Risk::Low), (2, "verify 2 archives", true));
    assert!(all.notes.iter().any(|n| n.contains("no sums of its own")) && all.notes.iter().any(|n| n.contains("ionice is not there")));
    let Act::Run { cmd, .. } = &all.steps[0].act else { unreachable!("nothing is run") };
    assert!(cmd.shown().starts_with("nice -n 19 /usr/local/bin/proximity in-archive verify /") && cmd.limit_s.is_none());
}

#[test]
fn what_is_not_read_from_here_is_refused_or_named() {
    let volid = |volid: &str| VerifyWish::Archive(volid.into());
    let machine = Archive { kind: Some(Kind::Qemu), ..archive(200, "vzdump-qemu-200-x.vma.zst", 1) };
    let server = Archive { storage: "pbs".parse().unwrap(), volid: "pbs:backup/ct/101/2026-08-27T00:00:03Z".into(), ..archive(101, "", 1) };
    let mut w = with(vec![machine.clone(), server.clone(), archive(101, "vzdump-lxc-101-a.tar.zst", 1)]);
    let mut pbs = w.storages.get().unwrap()[0].clone();
    (pbs.id, pbs.path) = ("pbs".parse().unwrap(), None);
    w.storages.known.as_mut().unwrap().push(pbs);
    let why = |w: &World, wish: &VerifyWish| plan(w, wish, &ways(true)).unwrap_err();
    assert!(why(&w, &volid(&machine.volid)).why.contains("not of a container"));
    let refused = why(&w, &volid(&server.volid));
    assert!(refused.why.contains("on a server") && refused.hint.contains("verify it on the backup server"), "{refused:?}");
    assert!(why(&w, &volid("local:backup/none")).why.contains("no such archive"));
    w.archives.gaps.push(Gap { what: "backups on nas".into(), why: "no answer".into() });
    let all = plan(&w, &VerifyWish::All, &ways(true)).unwrap();
    assert_eq!((all.steps.len(), all.notes.len()), (1, 3), "{:?}", all.notes);
    w.storages.known.as_mut().unwrap()[0].space = Err("no answer".into());
    assert!(why(&w, &volid("local:backup/vzdump-lxc-101-a.tar.zst")).why.contains("no answer"));
    w.archives = Part::unknown("no answer", Stamp(1));
    assert!(why(&w, &VerifyWish::All).why.contains("unknown"));
}

#[test]
fn lines_say_the_same_on_both_ends() {
    let report =
        Report { sha256: Some("ab".into()), size: 5, entries: 2, verdict: Verdict::Damaged("cut".into()), warnings: vec!["w".into()] };
    for line in [Line::Read(3, 5), Line::Report(report), Line::Report(Report::unknown("gone")), Line::Warning("odd".into())] {
        assert_eq!(Line::parse(&line.text()), Some(line));
    }
    for text in ["read x of 5", "verdict {}", "tar: read 3 of 5", ""] {
        assert_eq!(Line::parse(text), None, "{text}");
    }
}

#[test]
fn the_worst_decides_and_unknown_is_not_damaged() {
    let one = |file: &str, verdict: Verdict| Verified {
        volid: format!("local:backup/{file}"),
        at: Stamp(1),
        report: Report { sha256: Some("ab".into()), size: 1 << 20, entries: 7, verdict, warnings: vec![] },
    };
    let (whole, bad, gone) =
        (one("a", Verdict::Whole), one("b", Verdict::Damaged("cut".into())), one("c", Verdict::Unknown("no zstd".into())));
    assert_eq!(conclude(std::slice::from_ref(&whole)), (State::Succeeded, "a is whole: 1.0 MiB, 7 entries, sha256 ab".into(), ""));
    let (state, what, _) = conclude(&[whole.clone(), gone.clone()]);
    assert!(state == State::Unknown && what.starts_with("1 whole, 1 unknown: c could not be read: no zstd; all sums together: "), "{what}");
    let (state, what, _) = conclude(&[whole, gone, bad]);
    assert!(state == State::Failed && what.contains("1 DAMAGED: b is DAMAGED: cut"), "{what}");
}
