//! The lock doctor over evidence by hand and over generated evidence.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::domain::guest::{Guest, Kind, Power};
use crate::domain::job::{Job, Life, State};
use crate::domain::plan::{Approved, Check, Plan, Purpose, Risk, Step};
use crate::domain::pve;
use crate::domain::task::TaskEnd;
use crate::domain::world::{From, Node as NodeFacts, Part, Quorum, World};

const ID: u32 = 104;
const UPID: &str = "UPID:pve1:00001267:0019E2FE:6A62022E:vzdump:104:root@pam:";
const OF_102: &str = "UPID:pve1:00001267:0019E2FE:6A62022E:vzdump:102:root@pam:";
const OF_ALL: &str = "UPID:pve1:00001267:0019E2FE:6A62022E:vzdump::root@pam:";

fn id() -> Vmid {
    ID.try_into().unwrap()
}

fn upid(text: &str) -> Upid {
    text.parse().unwrap()
}

fn process(start: u64, state: char) -> Process {
    Process { parent: 1, start, state, command: "perl".into(), waits: None, files: vec![] }
}

/// Somebody's process that is the task's own.
fn alive() -> (u32, Process) {
    (upid(UPID).pid, process(upid(UPID).pstart, 'S'))
}

fn file(at: u64) -> LockFile {
    LockFile { at: Ok(Some(((0, 26), at))), taken: None }
}

/// Nobody is anywhere, and all of it was asked.
fn seen() -> Seen {
    Seen {
        at: Stamp::from_secs(2_000_000_000),
        booted_s: Some(1_700_000_000),
        processes: Ok([(1, process(1, 'S')), (77, process(9000, 'S'))].into()),
        tasks: Ok(vec![]),
        pid_file: Ok(None),
        flocks: Ok(vec![]),
        files: [(VZDUMP_LOCK.to_owned(), file(11)), (config_lock(id()), file(12))].into(),
        users: Ok(Users::default()),
        guests: [(id(), OfGuest::default())].into(),
        mounts: Ok(vec![]),
        rests: vec![],
        gaps: vec![],
    }
}

fn task(text: &str, end: Option<TaskEnd>) -> TaskSeen {
    TaskSeen { upid: upid(text), ended: None, end }
}

fn no_jobs() -> Part<Vec<Job>> {
    Part::new(vec![], Stamp(1), From::Files)
}

fn verdict(seen: &Seen) -> Verdict {
    judge(seen, id(), Some(&no_jobs())).verdict
}

fn who(seen: &Seen) -> String {
    match verdict(seen) {
        Verdict::Held { by, .. } => by,
        other => other.words(),
    }
}

/// One way in which evidence may be.
type Change = fn(&mut Seen);

fn vzdump_lock(s: &mut Seen) -> &mut LockFile {
    s.files.get_mut(VZDUMP_LOCK).unwrap()
}

const CHANGES: [Change; 21] = [
    |_| {},
    |s| s.tasks = Ok(vec![task(UPID, Some(TaskEnd::Vanished)), task(OF_ALL, Some(TaskEnd::Ok))]),
    |s| s.tasks = Ok(vec![task(UPID, None)]),
    |s| s.tasks = Ok(vec![task(OF_ALL, None)]),
    |s| s.tasks = Err("no".into()),
    |s| s.pid_file = Ok(Some(upid(UPID))),
    |s| s.pid_file = Err("no".into()),
    |s| s.users = Err("no".into()),
    |s| s.users.iter_mut().for_each(|u| u.unread.push(5)),
    |s| {
        let opened = Opened { pid: 77, path: "/d/vzdump-lxc-104-2026_08_27-02_00_03.tar.dat".into(), locks: false };
        s.users.iter_mut().for_each(|u| u.opened.push(opened.clone()));
    },
    |s| s.flocks = Err("no".into()),
    |s| s.flocks.iter_mut().for_each(|l| l.push(Flock { pid: 77, device: (0, 26), inode: 12 })),
    |s| s.flocks.iter_mut().for_each(|l| l.push(Flock { pid: 77, device: (0, 27), inode: 12 })),
    |s| drop(s.files.remove(&config_lock(id()))),
    |s| vzdump_lock(s).at = Ok(None),
    |s| vzdump_lock(s).at = Err("no".into()),
    |s| vzdump_lock(s).taken = Some(Ok(false)),
    |s| vzdump_lock(s).taken = Some(Ok(true)),
    |s| vzdump_lock(s).taken = Some(Err("no".into())),
    |s| s.processes = Err("no".into()),
    live,
];

fn live(s: &mut Seen) {
    if let Ok(all) = &mut s.processes {
        all.extend([alive()]);
    }
}

/// Every pair and every third of ways in which evidence may be: with one that is a gap or a person, nobody is never said.
#[test]
fn nobody_is_never_said_over_a_gap() {
    let (mut nobody, mut all) = (0, 0);
    for a in CHANGES {
        for b in CHANGES {
            for c in CHANGES {
                let mut s = seen();
                [a, b, c].iter().for_each(|change| change(&mut s));
                let named = s.pid_file.iter().flatten().count() + s.tasks.iter().flatten().filter(|t| t.end.is_none()).count();
                let lives = s.processes.as_ref().map_or(true, |p| p.contains_key(&upid(UPID).pid));
                // Told once more by hand, from what is there in the end: a change may take an earlier one back.
                let gap = s.tasks.is_err()
                    || s.pid_file.is_err()
                    || s.users.as_ref().map_or(true, |u| !u.unread.is_empty() || !u.opened.is_empty())
                    || !s.files.contains_key(&config_lock(id()))
                    || s.files.values().any(|f| f.at.is_err() || matches!(f.taken, Some(Err(_) | Ok(true))))
                    || (s.flocks.is_err() && s.files.values().any(|f| matches!(f.at, Ok(Some(_)))))
                    || (s.flocks.iter().flatten().any(|l| l.device == (0, 26)))
                    || (named > 0 && lives);
                let is = verdict(&s);
                all += 1;
                nobody += usize::from(is == Verdict::Nobody);
                assert_eq!(is == Verdict::Nobody, !gap, "{is:?} over {s:?}");
            }
        }
    }
    assert!(nobody > 200 && all - nobody > 5000, "{nobody} of {all}");
}

#[test]
fn what_cannot_be_asked_of_processes_is_unknown_and_not_dead() {
    let mut s = seen();
    s.processes = Err("no".into());
    assert_eq!(verdict(&s), Verdict::Nobody, "nobody is named anywhere, so no process has to be asked");
    s.tasks = Ok(vec![task(UPID, None)]);
    assert!(matches!(verdict(&s), Verdict::Unknown { .. }));
    s.tasks = Ok(vec![]);
    s.pid_file = Ok(Some(upid(UPID)));
    assert!(matches!(verdict(&s), Verdict::Unknown { .. }));
}

/// A later process that got the number of the one that was killed is not it.
#[test]
fn a_number_that_was_given_again_is_nobody() {
    let mut s = seen();
    s.tasks = Ok(vec![task(UPID, None)]);
    s.pid_file = Ok(Some(upid(UPID)));
    let (pid, own) = alive();
    for (process, nobody) in [
        (own.clone(), false),
        (Process { start: own.start + 1, ..own.clone() }, true),
        (Process { start: own.start - 1, ..own.clone() }, true),
        (Process { state: 'Z', ..own.clone() }, true),
        (Process { state: 'D', ..own.clone() }, false),
    ] {
        s.processes.as_mut().unwrap().insert(pid, process.clone());
        assert_eq!(verdict(&s) == Verdict::Nobody, nobody, "{process:?}");
        let says = &judge(&s, id(), None).evidence[0].says;
        assert_eq!(says.contains("is another process now"), nobody && process.lives(), "{says}");
    }
}

#[test]
fn whoever_holds_it_is_named_with_what_he_waits_for() {
    let mut s = seen();
    live(&mut s);
    s.tasks = Ok(vec![task(UPID, None)]);
    assert_eq!(who(&s), format!("vzdump of root@pam (pid {})", upid(UPID).pid));
    // What it started hangs on a storage: tar in state D, which no signal ends.
    let tar = Process {
        parent: upid(UPID).pid,
        command: "tar cpf -".into(),
        waits: Some("rpc_wait_bit_killable".into()),
        files: vec!["/mnt/pve/nas/dump/vzdump-lxc-104-2026_08_27-02_00_03.tar.dat".into()],
        ..process(99, 'D')
    };
    s.processes.as_mut().unwrap().insert(4712, tar);
    let Verdict::Held { does, hint, .. } = verdict(&s) else { panic!("{:?}", verdict(&s)) };
    assert!(does.contains("tar cpf - (pid 4712) waits in the kernel (state D) in rpc_wait_bit_killable"), "{does}");
    assert!(does.contains("/mnt/pve/nas/dump/") && hint.contains("no signal ends it"), "{does} {hint}");
    // Somebody who is no backup.
    let mut s = seen();
    s.flocks.as_mut().unwrap().push(Flock { pid: 77, device: (0, 26), inode: 11 });
    assert_eq!(who(&s), "perl (pid 77)");
    assert_eq!(s.since(77), Some(Stamp::from_secs(1_700_000_090)));
    // Who took it has ended, and a child has the open file still.
    let mut s = seen();
    s.users.as_mut().unwrap().opened.push(Opened { pid: 77, path: "/run/vzdump.lock".into(), locks: true });
    assert_eq!(who(&s), "perl (pid 77)");
    s.flocks.as_mut().unwrap().push(Flock { pid: 70, device: (0, 26), inode: 11 });
    assert_eq!(who(&s), "perl (pid 77)", "who took it is named by the kernel still");
    s.flocks = Ok(vec![]);
    s.users.as_mut().unwrap().opened[0].locks = false;
    assert_eq!(verdict(&s), Verdict::Nobody, "open is not held");
}

/// The one lock of the node is held by the backup of another guest: that says nothing of this one.
#[test]
fn a_backup_of_another_guest_holds_only_its_own() {
    let mut s = seen();
    live(&mut s);
    s.tasks = Ok(vec![task(OF_102, None)]);
    s.pid_file = Ok(Some(upid(OF_102)));
    s.flocks.as_mut().unwrap().push(Flock { pid: upid(OF_102).pid, device: (0, 26), inode: 11 });
    assert_eq!(verdict(&s), Verdict::Nobody);
    assert!(matches!(node_works(&s), Node::Works(_)));
    // The same process at the configuration of this guest is another matter.
    s.flocks.as_mut().unwrap().push(Flock { pid: upid(OF_102).pid, device: (0, 26), inode: 12 });
    assert!(matches!(verdict(&s), Verdict::Held { .. }));
}

#[test]
fn the_kernels_own_lists_are_read() {
    let locks = "1: POSIX  ADVISORY  WRITE 900 00:1a:7 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 00:1a:1234 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 4712 00:1a:1234 0 EOF\nrubbish\n";
    assert_eq!(parse_locks(locks), [Flock { pid: 4711, device: (0, 26), inode: 1234 }]);
    assert_eq!((numbers(0x1a), numbers(0xfd01)), ((0, 26), (253, 1)));
    let stat = "4711 (a ) b(c) D 1 4711 4711 0 -1 4194560 900 0 4 0 12 31 0 0 20 0 1 0 289211 2400256 320 0\n";
    let (pid, p) = Process::parse(stat).unwrap();
    assert_eq!((pid, p.parent, p.start, p.state, p.command.as_str()), (4711, 1, 289_211, 'D', "a ) b(c"));
    assert_eq!(Process::parse("4711 (x"), None);
    let status = |state: &str| format!("Name:\tvzdump\nState:\t{state}\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t9\n");
    assert_eq!((waits_in_kernel(&status("D (disk sleep)")), waits_in_kernel(&status("S (sleeping)"))), (Some(150), None));
}

#[test]
fn rests_of_backups_are_known_by_their_whole_names() {
    for (name, guest) in [
        ("vzdump-lxc-104-2026_08_27-02_00_03.tar.dat", Some(104)),
        ("vzdump-lxc-104-2026_08_27-02_00_03.dat", Some(104)),
        ("vzdump-lxc-104-2026_08_27-02_00_03.tmp", Some(104)),
        ("vzdump-qemu-200-2026_08_27-02_00_03.vma.dat", Some(200)),
        ("vzdump-lxc-104-2026_08_27-02_00_03.tar.zst", None),
        ("vzdump-lxc-104-2026_08_27-02_00_03.log", None),
        ("vzdump-lxc-104-mine.dat", None),
        ("vzdump-lxc-104-2026_08_27-02_00_03.tar.zst.dat", None),
        ("database.dat", None),
        (".tmp", None),
        ("vzdump-lxc-0104-2026_08_27-02_00_03.tar.dat", None),
    ] {
        assert_eq!(rest_of_backup(name).map(u32::from), guest, "{name}");
    }
    let of = |name| rest_of_tmp(name).map(u32::from);
    assert_eq!([of("vzdumptmp4711_104"), of("vzdumptmp_104"), of("vzdumptmp4711_x"), of("vzdumptmp4711")], [Some(104), None, None, None]);
}

#[test]
fn how_far_a_snapshot_came_stands_in_its_section() {
    let conf = "lock: backup\n[clean]\nsnapstate: prepare\n[vzdump]\nsnaptime: 1\n\n";
    assert!(others_broken(conf, "vzdump") && !others_broken(conf, "clean"));
    let of = |name| section(conf, name);
    assert_eq!([of("vzdump"), of("clean"), of("gone")], [Some(Section::Whole), Some(Section::Broken), None]);
}

fn world(conf: &str) -> World {
    let guest = Guest { power: Power::Running, node: Some("pve1".into()), ..crate::domain::conf::parse_lxc(id(), conf) };
    let node = NodeFacts {
        name: "pve1".into(),
        version: None,
        load: None,
        cpus: None,
        cpu_ticks: None,
        mem: None,
        swap: None,
        root: None,
        uptime_s: None,
        boot_id: None,
    };
    World {
        node: Part::new(node, Stamp(1), From::Files),
        guests: Part::new(vec![guest], Stamp(1), From::Files),
        quorum: Part::new(Quorum::Quorate { nodes: 1 }, Stamp(1), From::Files),
        jobs: no_jobs(),
        ..World::default()
    }
}

fn rest(shared: Option<&str>) -> Rest {
    Rest {
        path: "/d/dump/vzdump-lxc-104-2026_08_27-02_00_03.tar.dat".into(),
        guest: id(),
        dir: false,
        size: Some(5 << 20),
        modified: Stamp(1),
        storage: "local".parse().ok(),
        shared: shared.map(str::to_owned),
    }
}

/// A backup that was killed in its middle, and everything it can leave.
fn killed() -> (World, Seen) {
    let w = world("hostname: gitea\nlock: backup\nrootfs: local-lvm:vm-104-disk-0,size=8G\n[vzdump]\nsnaptime: 1\n");
    let mut s = seen();
    s.guests.insert(id(), OfGuest { section: Some(Section::Whole), frozen: Some(Ok(true)), ..OfGuest::default() });
    s.mounts = Ok(vec![("/dev/pve/snap_vm-104-disk-0_vzdump".into(), SNAP.into())]);
    s.rests = vec![rest(None), Rest { path: "/d/dump/vzdump-lxc-104-2026_08_27-02_00_03.tmp".into(), dir: true, ..rest(None) }];
    (w, s)
}

fn plan_of(w: &World, s: &Seen, guest: Option<Vmid>, lock_only: bool) -> Result<Plan, crate::domain::plan::Refusal> {
    plan(w, s, &LockWish { guest, lock_only })
}

fn does(plan: &Plan) -> Vec<String> {
    let run = |s: &Step| match &s.act {
        crate::domain::plan::Act::Run { cmd, .. } => Some(cmd.shown()),
        _ => None,
    };
    plan.steps.iter().filter_map(run).collect()
}

#[test]
fn everything_that_is_left_goes_by_one_plan_that_asks_before_each_step() {
    let (w, s) = killed();
    let p = plan_of(&w, &s, Some(id()), false).unwrap();
    assert_eq!(
        does(&p),
        [
            "umount --recursive /mnt/vzsnap0",
            "lxc-unfreeze -n 104",
            "pct unlock 104",
            "pct delsnapshot 104 vzdump",
            "rm -- /d/dump/vzdump-lxc-104-2026_08_27-02_00_03.tar.dat",
            "rm --recursive --one-file-system -- /d/dump/vzdump-lxc-104-2026_08_27-02_00_03.tmp",
        ]
    );
    assert_eq!((p.purpose.clone(), p.risk.clone(), p.guest), (Purpose::Unlock, Risk::Interrupts, id()));
    // Each thing that is done stands behind a question of its own.
    for pair in p.steps.chunks(2) {
        assert!(matches!(pair[0].check, Check::Idle { .. } | Check::Unused { .. }), "{:?}", pair[0]);
        assert!(!matches!(pair[1].check, Check::Idle { .. } | Check::Unused { .. }), "{:?}", pair[1]);
    }
    let unlock = p.steps.iter().find(|s| s.title == "unlock 104").unwrap();
    assert_eq!(unlock.undo.as_ref().unwrap().shown(), "pct set 104 --lock backup");
    // The same for the whole node, and nothing but the lock where that is wanted.
    assert_eq!(does(&plan_of(&w, &s, None, false).unwrap()), does(&p));
    assert_eq!(does(&plan_of(&w, &s, Some(id()), true).unwrap()), ["pct unlock 104"]);
    // Where Proxmox itself says that the snapshot is half made.
    let mut half = s.clone();
    half.guests.get_mut(&id()).unwrap().section = Some(Section::Broken);
    assert!(does(&plan_of(&w, &half, None, false).unwrap()).contains(&"pct delsnapshot 104 vzdump --force 1".to_owned()));
}

#[test]
fn what_somebody_may_need_stays() {
    let (w, s) = killed();
    // At work: nothing of it is left.
    let mut works = s.clone();
    live(&mut works);
    works.tasks = Ok(vec![task(UPID, None)]);
    assert!(plan_of(&w, &works, Some(id()), false).unwrap_err().why.starts_with("held by vzdump of root@pam"));
    assert!(left(&w, &works).is_empty() && plan_of(&w, &works, None, false).unwrap().steps.is_empty());
    // A backup of another guest reads what is mounted; a process has half an archive open; another node may write to it.
    let mut other = s.clone();
    live(&mut other);
    other.tasks = Ok(vec![task(OF_102, None)]);
    assert!(!does(&plan_of(&w, &other, Some(id()), false).unwrap()).iter().any(|c| c.starts_with("umount")));
    let mut open = s.clone();
    open.rests = vec![rest(Some("storage nas is shared: another node may write it"))];
    let p = plan_of(&w, &open, Some(id()), false).unwrap();
    assert!(
        !does(&p).iter().any(|c| c.starts_with("rm")) && p.notes.iter().any(|n| n.starts_with("stays: ") && n.contains("shared")),
        "{:?}",
        p.notes
    );
    let mut stuck = s.clone();
    stuck.rests = vec![rest(None)];
    stuck.users.as_mut().unwrap().opened.push(Opened { pid: 77, path: format!("{SNAP}/etc"), locks: false });
    assert!(plan_of(&w, &stuck, Some(id()), false).is_err(), "whoever reads there reads this guest");
    // A gap anywhere keeps everything where it is.
    let mut gap = s;
    gap.users = Err("no".into());
    assert!(plan_of(&w, &gap, Some(id()), false).unwrap_err().why.contains("unknown"));
    assert!(plan_of(&w, &gap, None, false).is_err());
}

#[test]
fn locks_that_hide_half_a_guest_have_ways_of_their_own() {
    let s = seen();
    for (lock, scope, commands, risk) in [
        ("create", Some(id()), vec!["pct unlock 104", "pct destroy 104 --force 1 --purge 1"], true),
        ("destroyed", Some(id()), vec!["pct unlock 104", "pct destroy 104 --force 1 --purge 1"], true),
        ("snapshot", Some(id()), vec!["pct unlock 104"], false),
        ("fstrim", None, vec!["pct unlock 104"], false),
    ] {
        let w = world(&format!("hostname: gitea\nlock: {lock}\n"));
        let p = plan_of(&w, &s, scope, false).unwrap();
        assert_eq!(does(&p), commands, "{lock}");
        assert_eq!(matches!(&p.risk, Risk::Destroys { name } if name == "gitea"), risk, "{lock}");
    }
    // Without its number no guest goes, and what may be half there is only unlocked, by its name, on demand.
    assert!(plan_of(&world("lock: create\n"), &s, None, false).unwrap_err().why.contains("only by its own number"));
    for lock in ["migrate", "rollback", "disk", "snapshot-delete", "something-new"] {
        let w = world(&format!("hostname: gitea\nlock: {lock}\n"));
        assert!(plan_of(&w, &s, Some(id()), false).unwrap_err().why.contains("may be half there"), "{lock}");
        let p = plan_of(&w, &s, Some(id()), true).unwrap();
        assert_eq!((does(&p), p.risk), (vec!["pct unlock 104".to_owned()], Risk::Destroys { name: "gitea".into() }), "{lock}");
    }
    let mut removal = seen();
    removal.guests.insert(id(), OfGuest { section: Some(Section::Broken), ..OfGuest::default() });
    let w = world("lock: snapshot-delete\n");
    assert_eq!(does(&plan_of(&w, &removal, None, false).unwrap()), ["pct unlock 104", "pct delsnapshot 104 vzdump --force 1"]);
    removal.guests.get_mut(&id()).unwrap().others_broken = true;
    assert!(plan_of(&w, &removal, None, false).is_err(), "or it was another one");
    let mut mounted = seen();
    mounted.guests.get_mut(&id()).unwrap().mounted = true;
    assert_eq!(does(&plan_of(&world("lock: mounted\n"), &mounted, None, false).unwrap()), ["pct unmount 104"]);
    assert_eq!(does(&plan_of(&world("lock: mounted\n"), &s, None, false).unwrap()), ["pct unlock 104"]);
    assert!(plan_of(&world("hostname: x\n"), &s, Some(id()), true).unwrap_err().why.contains("is not locked"));
    assert!(plan_of(&world("hostname: x\n"), &s, Some(id()), false).unwrap().steps.is_empty());
    let machine = World { guests: Part::new(vec![Guest::bare(id(), Kind::Qemu)], Stamp(1), From::Files), ..world("") };
    assert!(plan_of(&machine, &s, Some(id()), false).unwrap_err().why.contains("virtual machine"));
    let no_quorum = World { quorum: Part::new(Quorum::NoQuorum, Stamp(1), From::Files), ..world("lock: backup\n") };
    assert!(plan_of(&no_quorum, &s, Some(id()), false).unwrap_err().why.contains("no quorum"));
}

#[test]
fn a_guest_on_another_node_is_told_by_that_node_only() {
    let mut w = world("lock: backup\n");
    w.guests.known.as_mut().unwrap()[0].node = Some("pve2".into());
    assert!(matches!(examine(&w, &seen(), id()).verdict, Verdict::Unknown { .. }));
    assert!(left(&w, &seen()).is_empty());
}

fn job(purpose: Purpose, state: State, steps: Vec<Step>) -> Job {
    let plan = Plan { purpose, title: "t".into(), guest: id(), host: "local".into(), facts: vec![], notes: vec![], risk: Risk::Low, steps };
    let life = Life { ended: Some(Stamp(50)), ..Life::default() };
    Job { id: 7, state, created: Stamp(1), order: Approved::new(plan, "ada", None).unwrap(), life }
}

#[test]
fn what_our_own_jobs_were_to_remove_is_theirs_only_where_that_is_proven() {
    let restore = || {
        let cmd = crate::domain::cmd::Cmd::new("pct", ["restore", "104", "x", "--description", "made of x"]);
        Step::run("restore", cmd, Check::Unlocked { vmid: id() })
    };
    let destroy = || Step::run("remove", pve::destroy(id()), Check::Gone { vmid: id() });
    let things = |conf: &str, jobs: Vec<Job>, written: i64| {
        let w = World { jobs: Part::new(jobs, Stamp(1), From::Files), ..world(conf) };
        let mut s = seen();
        s.guests.get_mut(&id()).unwrap().written = Some(Stamp(written));
        left(&w, &s).into_iter().map(|l| l.thing).collect::<Vec<_>>()
    };
    let drill = |state| vec![job(Purpose::Drill, state, vec![restore(), destroy()])];
    assert_eq!(things("#made of x\nhostname: a\n", drill(State::Failed), 1), [Thing::Scratch { job: 7 }]);
    assert_eq!(things("hostname: a\n", drill(State::Failed), 1), [], "somebody else's of the same number");
    assert_eq!(things("#made of x\nhostname: a\n", drill(State::Running), 1), [], "it is at it");
    assert_eq!(things("lock: create\n", drill(State::Failed), 1), [Thing::Half { job: Some(7) }]);
    assert_eq!(things("lock: create\n", vec![], 1), [Thing::Half { job: None }]);
    // Our own removal of half a guest, killed between the lock and the rest.
    let removal = || vec![job(Purpose::Unlock, State::Failed, vec![destroy()])];
    assert_eq!(things("hostname: a\n", removal(), 50), [Thing::Scratch { job: 7 }]);
    assert_eq!(things("hostname: a\n", removal(), 51), [], "somebody wrote to it since");
    let later = vec![job(Purpose::Power, State::Succeeded, vec![]), removal().remove(0)];
    assert_eq!(things("hostname: a\n", later, 50), [], "somebody used it since");
}

#[test]
fn our_own_jobs_hold_too() {
    let running = Part::new(vec![job(Purpose::RestoreBeside, State::Running, vec![])], Stamp(1), From::Files);
    assert!(matches!(judge(&seen(), id(), Some(&running)).verdict, Verdict::Held { hint, .. } if hint.contains("job cancel 7")));
    let waits = Part::new(vec![job(Purpose::Backup, State::Queued, vec![])], Stamp(1), From::Files);
    assert_eq!(judge(&seen(), id(), Some(&waits)).verdict, Verdict::Nobody, "it waits its turn");
    assert!(matches!(judge(&seen(), id(), Some(&Part::unknown("no", Stamp(1)))).verdict, Verdict::Unknown { .. }));
    assert_eq!(judge(&seen(), id(), Some(&Part::default())).verdict, Verdict::Nobody, "without a store there are none");
}
