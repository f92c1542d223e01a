//! The files of an archive: how it is read, walked through, filtered; what is brought back, and what verifying found.

use std::sync::Arc;

use proximity::domain::inside::listing::Builder;
use proximity::domain::inside::pull::Target;
use proximity::domain::inside::verify::{Report, Verdict, Verified, VerifyWish};
use proximity::domain::inside::{Entry, Kind, News as Inside, Sparse};
use proximity::domain::job::{Job, State};
use proximity::domain::plan::Purpose;

use super::*;

fn entry(path: &[u8], kind: Kind, mode: u32, size: u64) -> Entry {
    let link = if kind == Kind::Link { b"../available/\x1b[2J".to_vec() } else { Vec::new() };
    Entry {
        path: path.to_vec(),
        link,
        kind,
        mode,
        uid: 1000,
        gid: 33,
        size,
        stored: size,
        mtime: NOW - 86_400,
        sparse: Sparse::No,
        attributes: 0,
    }
}

fn listed(odd: bool) -> Inside {
    let mut builder = Builder::default();
    for (path, kind, mode, size) in [
        (&b"./etc/nginx/on"[..], Kind::Link, 0o777, 0),
        (b"./srv/", Kind::Dir, 0o755, 0),
        (b"./srv/app/", Kind::Dir, 0o2750, 0),
        (b"./srv/app/config.yaml", Kind::File, 0o640, 1904),
        (b"./srv/app/data.db", Kind::File, 0o640, 38_912_000),
        (b"./srv/app/\x1b[2Jown\xff\n", Kind::File, 0o4755, 9),
        (b"./srv/app/uploads/", Kind::Dir, 0o1777, 0),
        (b"./srv/app/first", Kind::Hard, 0o640, 0),
        (b"./srv/app/null", Kind::Device, 0o666, 0),
        (b"./srv/empty/", Kind::Dir, 0o755, 0),
    ] {
        builder.add(&entry(path, kind, mode, size));
    }
    (0..60).for_each(|n| builder.add(&entry(format!("./srv/app/uploads/bill {n:03}.pdf").as_bytes(), Kind::File, 0o600, 184_320 + n)));
    if odd {
        builder.add(&entry(b"../../root/.ssh/authorized_keys", Kind::File, 0o600, 9));
    }
    Inside::Listed(Arc::new(builder.done()))
}

/// At the newest archive of 105, with its volume.
fn opened() -> (App, String) {
    let mut app = test_app();
    keys(&mut app, "6");
    keys(&mut app, "/nextcloud<Enter>");
    let effects = keys(&mut app, "f");
    let Some(Effect::Inside { archive, on: true }) = effects.into_iter().next() else { panic!("nothing is read") };
    (app, archive.volid)
}

fn learn(app: &mut App, volid: &str, news: Inside) {
    app.learn(Fact::Inside { volid: volid.to_owned(), news });
}

#[test]
fn the_files_of_an_archive_are_walked_through() {
    let (mut app, volid) = opened();
    learn(&mut app, &volid, Inside::Reading { read: 731_000_000, size: 2_252_341_248, entries: 41_233 });
    shot("inside-reading", &mut app);
    learn(&mut app, "another:one", listed(false));
    assert!(text(&draw(&mut app, 80, 24)).contains("41,233 entries so far"), "of another archive");
    learn(&mut app, &volid, listed(false));
    shot("inside-root", &mut app);
    keys(&mut app, "j<Enter><Enter>");
    shot("inside-folder", &mut app);
    // Down into a folder and back to where one was.
    keys(&mut app, "G<Enter>");
    assert!(text(&draw(&mut app, 80, 24)).contains("/srv/app/uploads"), "{}", text(&draw(&mut app, 80, 24)));
    keys(&mut app, "/05");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("bill 005.pdf") && screen.contains("bill 059.pdf") && !screen.contains("bill 004.pdf"), "{screen}");
    keys(&mut app, "9<Enter>");
    let effects = keys(&mut app, "y");
    assert!(matches!(&effects[..], [Effect::Copy(path)] if path == "/srv/app/uploads/bill 059.pdf"));
    keys(&mut app, "<Esc><BS>");
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.lines().any(|l| l.contains("▸ uploads/")), "{screen}");
    keys(&mut app, "<BS><BS><BS>");
    assert!(text(&draw(&mut app, 80, 24)).lines().any(|l| l.contains("▸ srv/")));
    let effects = keys(&mut app, "<Esc>");
    assert!(effects.iter().any(|e| matches!(e, Effect::Inside { on: false, .. })), "reading ends with the dialog");
}

#[test]
fn what_is_brought_back_is_asked_where_to_and_planned() {
    let (mut app, volid) = opened();
    learn(&mut app, &volid, listed(true));
    assert!(text(&draw(&mut app, 120, 40)).contains("1 names lead out of the archive and are not listed: ../../root/.ssh"));
    keys(&mut app, "j<Enter><Enter>");
    // A second name, and a name that is no text, are told at once.
    keys(&mut app, "jjj");
    for (typed, says) in [("p", "it is a second name"), ("kkkp", "its name is no text")] {
        assert!(keys(&mut app, typed).is_empty());
        let screen = text(&draw(&mut app, 120, 40));
        assert!(screen.contains(says), "{says}: {screen}");
    }
    keys(&mut app, "jp");
    shot("inside-pull", &mut app);
    let effects = keys(&mut app, "<Enter>");
    let [Effect::Plan(Wish::Pull(wish))] = &effects[..] else { panic!("no wish") };
    assert_eq!((wish.volid.as_str(), wish.path.as_str(), wish.found.files), (volid.as_str(), "/srv/app/config.yaml", 1));
    assert_eq!(wish.into, Target::Guest("105".parse().unwrap(), "/srv/app".into()));
    keys(&mut app, "p");
    keys(&mut app, "<C-u>somewhere");
    assert!(keys(&mut app, "<Enter>").is_empty());
    assert!(text(&draw(&mut app, 80, 24)).contains("give GUEST:/FOLDER"));
    let effects = keys(&mut app, "<C-u>/root/out<Enter>");
    assert!(matches!(&effects[..], [Effect::Plan(Wish::Pull(w))] if w.into == Target::Host("/root/out".into())));
}

#[test]
fn an_archive_that_cannot_be_listed_says_why() {
    let (mut app, volid) = opened();
    let failed =
        Inside::Failed { why: "it is damaged: zstd: premature end".into(), hint: "verify tells more: proximity backup verify".into() };
    learn(&mut app, &volid, failed);
    shot("inside-failed", &mut app);
    assert!(keys(&mut app, "p<Enter>/").is_empty());
}

fn verified(id: i64, volid: &str, sum: &str, verdict: Verdict) -> Job {
    let mut job = world::jobs().into_iter().find(|j| j.state.is_final()).unwrap();
    let mut plan = world::plan(Risk::Low);
    plan.purpose = Purpose::Verify;
    (job.id, job.state, job.order) = (id, State::Succeeded, Approved::new(plan, "ada", None).unwrap());
    let report = Report { sha256: Some(sum.repeat(32)), size: 2_252_341_248, entries: 7, verdict, warnings: vec![] };
    job.life.outcome.as_mut().unwrap().verified = vec![Verified { volid: volid.into(), at: world::ago(3000 - id), report }];
    job
}

#[test]
fn what_verifying_found_stands_with_the_archive_and_among_what_is_wrong() {
    let (mut app, volid) = opened();
    keys(&mut app, "<Esc><Enter>");
    assert!(text(&draw(&mut app, 120, 40)).contains("Nobody has read it to its end yet: v verifies it."));
    let effects = keys(&mut app, "<Esc>v");
    assert!(matches!(&effects[..], [Effect::Plan(Wish::Verify(VerifyWish::Archive(of)))] if *of == volid));
    let learn =
        |app: &mut App, jobs: Vec<Job>| drop(app.learn(Fact::News(Box::new(News { jobs: Some(world::part(jobs)), ..News::default() }))));
    learn(&mut app, vec![verified(90, &volid, "ab", Verdict::Whole)]);
    keys(&mut app, "<Enter>");
    let screen = text(&draw(&mut app, 120, 40));
    assert!(screen.contains("by job 90: it was read to its end and is whole"), "{screen}");
    keys(&mut app, "<Esc>");
    learn(&mut app, vec![verified(91, &volid, "cd", Verdict::Whole), verified(90, &volid, "ab", Verdict::Whole)]);
    keys(&mut app, "<Enter>");
    shot("archive-changed", &mut app);
    keys(&mut app, "<Esc>1");
    let screen = text(&draw(&mut app, 120, 40));
    assert!(screen.contains("it is not what it was when it was read first"), "{screen}");
}
