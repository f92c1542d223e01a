//! The lock doctor: evidence with its words, the verdict, what is left, and what would be done.

use proximity::domain::guest::Vmid;
use proximity::domain::locks::{Flock, LockFile, OfGuest, Opened, Process, Rest, SNAP, Section, Seen, Users, VZDUMP_LOCK, config_lock};
use proximity::domain::world::Gap;

use super::*;

fn id() -> Vmid {
    "103".parse().unwrap()
}

/// What a killed backup of 103 left.
fn killed() -> Seen {
    let there = |inode| LockFile { at: Ok(Some(((0, 26), inode))), taken: None };
    let process = |command: &str, state| Process { parent: 1, start: 900, state, command: command.into(), waits: None, files: vec![] };
    let rest = |path: &str, dir| Rest {
        path: format!("/var/lib/vz/dump/vzdump-lxc-103-2026_11_21-02_00_03.{path}"),
        guest: id(),
        dir,
        size: Some(344 << 20),
        modified: Stamp::from_secs(NOW - 9000),
        storage: "local".parse().ok(),
        shared: None,
    };
    Seen {
        at: Stamp::from_secs(NOW - 2),
        booted_s: Some(NOW - 90_000),
        processes: Ok([(1, process("init", 'S')), (4711, process("\u{1b}[2Jevil", 'D'))].into()),
        tasks: Ok(vec![]),
        pid_file: Ok("UPID:pve1:00001267:0019E2FE:6A62022E:vzdump:103:root@pam:".parse().ok()),
        flocks: Ok(vec![]),
        files: [(VZDUMP_LOCK.to_owned(), there(11)), (config_lock(id()), there(12))].into(),
        users: Ok(Users::default()),
        guests: [(
            id(),
            OfGuest {
                written: Some(Stamp::from_secs(NOW - 9000)),
                section: Some(Section::Whole),
                frozen: Some(Ok(false)),
                ..OfGuest::default()
            },
        )]
        .into(),
        mounts: Ok(vec![("/dev/pve/snap_vm-103-disk-0_vzdump".into(), SNAP.into())]),
        rests: vec![rest("tar.dat", false), rest("tmp", true)],
        gaps: vec![Gap { what: "rests of backups on nas".into(), why: "/mnt/pve/nas is not mounted".into() }],
    }
}

fn opened(seen: Seen) -> App {
    let mut app = test_app();
    keys(&mut app, "/103<Enter>");
    keys(&mut app, "x");
    // The entry behind those of power and the backup.
    let effects = keys(&mut app, "jjjjj<Enter>");
    assert!(effects.iter().any(|e| matches!(e, Effect::LookLocks(Some(guest)) if *guest == id())));
    assert!(text(&draw(&mut app, 80, 24)).contains("are being looked at …"));
    learn(&mut app, seen);
    app
}

fn learn(app: &mut App, seen: Seen) {
    let part = Part::new(seen, Stamp::from_secs(NOW - 2), From::Files);
    drop(app.learn(Fact::News(Box::new(News { locks: Some(part), ..News::default() }))));
}

#[test]
fn the_lock_doctor_tells_who_holds_it_what_is_left_and_what_would_be_done() {
    let mut app = opened(killed());
    shot("locks", &mut app);
    let screen = text(&draw(&mut app, 120, 40));
    for says in ["✓ free     tasks", "held by nobody", "lock 'backup'", "snapshot 'vzdump'", "mounted at /mnt/vzsnap0", "688 MiB together"]
    {
        assert!(screen.contains(says), "{says}: {screen}");
    }
    assert!(screen.contains("there is no process 4711") || screen.contains("is another process now"), "{screen}");
    let effects = keys(&mut app, "<Enter>");
    assert!(effects.iter().any(|e| matches!(e, Effect::Plan(Wish::Unlock(w)) if w.guest == Some(id()) && !w.lock_only)));
}

#[test]
fn the_lock_doctor_offers_nothing_while_somebody_holds_it_or_that_is_unknown() {
    let mut held = killed();
    held.flocks = Ok(vec![Flock { pid: 4711, device: (0, 26), inode: 12 }]);
    held.users = Ok(Users { opened: vec![Opened { pid: 4711, path: config_lock(id()), locks: true }], unread: vec![] });
    let mut app = opened(held);
    shot("locks-held", &mut app);
    let screen = text(&draw(&mut app, 120, 40));
    assert!(screen.contains("✗ held     config lock") && screen.contains("state D") && !screen.contains('\u{1b}'), "{screen}");
    assert!(screen.contains("nothing is done now") && !screen.contains("Enter show"), "{screen}");
    assert!(!keys(&mut app, "<Enter>").iter().any(|e| matches!(e, Effect::Plan(_))));
    let mut gap = killed();
    gap.users = Ok(Users { opened: vec![], unread: vec![1, 2, 3] });
    learn(&mut app, gap);
    let screen = text(&draw(&mut app, 120, 40));
    assert!(screen.contains("? unknown  open files") && screen.contains("? unknown who holds it"), "{screen}");
    assert!(!keys(&mut app, "<Enter>").iter().any(|e| matches!(e, Effect::Plan(_))));
}

#[test]
fn findings_of_locks_and_of_what_is_left_open_the_lock_doctor() {
    let mut app = test_app();
    learn(&mut app, killed());
    let screen = text(&draw(&mut app, 120, 40));
    assert!(screen.contains("left by killed jobs") && screen.contains("688 MiB"), "{screen}");
    assert!(screen.contains("locked (backup) and held by nobody"), "{screen}");
    // The part of what is wrong is the one before the guests.
    keys(&mut app, "<Tab>");
    for nth in 0..10 {
        let effects = keys(&mut app, "<Enter>");
        if effects.iter().any(|e| matches!(e, Effect::LookLocks(None))) {
            assert!(text(&draw(&mut app, 120, 40)).contains("lock doctor · this node"));
            return;
        }
        keys(&mut app, "<Esc>");
        keys(&mut app, "j");
        assert!(nth < 9, "no finding led there: {}", text(&draw(&mut app, 120, 40)));
    }
}
