//! The worlds the screens are drawn of.

use proximity::domain::access;
use proximity::domain::appliance::Seen;
use proximity::domain::appliance::instance;
use proximity::domain::appliance::lamp::{Evidence, LAMPS, Lamp, Light};
use proximity::domain::appliance::lease::{self, Forecast, Pool};
use proximity::domain::audit::{Deed, Ending, Entry, Page, Phase, Record, Who};
use proximity::domain::backup::Archive;
use proximity::domain::calendar::Zone;
use proximity::domain::cmd::Cmd;
use proximity::domain::conf::parse_lxc;
use proximity::domain::fact::{Fact, Gate};
use proximity::domain::guest::{Guest, Kind, Power, Vmid};
use proximity::domain::job::{Job, Life, Outcome, Progress, State};
use proximity::domain::plan::{Act, Approved, Check, Plan, Purpose, Risk, Step, Watch};
use proximity::domain::schedule::{Schedules, parse_jobs};
use proximity::domain::stamp::Stamp;
use proximity::domain::storage::{Space, Storage, parse_cfg};
use proximity::domain::world::{Bridge, From, Gap, News, Node, Part, Place, Quorum};
use proximity::tui::app::App;

/// 2026-11-21 14:32:08 UTC.
pub const NOW: i64 = 1_795_271_528;

pub fn ago(secs: i64) -> Stamp {
    Stamp::from_secs(NOW - secs)
}

pub fn part<T>(value: T) -> Part<T> {
    Part::new(value, ago(4), From::Files)
}

fn guest(id: u32, conf: &str, power: Power) -> Guest {
    let mut g = parse_lxc(id.try_into().unwrap(), conf);
    g.power = power;
    g.node = Some("pve1".into());
    if power == Power::Running {
        g.mem = Some((u64::from(id) * 3) << 20);
        g.uptime_s = Some(u64::from(id) * 4000);
        g.disk = Some((1 << 30, 8 << 30));
    }
    g
}

fn guests() -> Vec<Guest> {
    let net = |ip: &str| {
        let card = ip.split('/').next().and_then(|ip| ip.rsplit('.').next()).and_then(|last| last.parse().ok()).unwrap_or(0xddu8);
        format!(
            "net0: name=eth0,bridge=proximity-lan,ip={ip},hwaddr=bc:24:11:00:00:{card:02x}\nmemory: 1024\nostype: debian\nunprivileged: 1\n"
        )
    };
    let mut unread = Guest::bare(110.try_into().unwrap(), Kind::Lxc);
    unread.node = Some("pve1".into());
    let mut vm = Guest::bare(200.try_into().unwrap(), Kind::Qemu);
    (vm.name, vm.power, vm.conf_read, vm.mem_max) = (Some("windows".into()), Power::Stopped, true, Some(8 << 30));
    vec![
        guest(
            101,
            &format!(
                "hostname: web\nrootfs: local-lvm:vm-101-disk-0,size=4G\nmp0: /data,mp=/srv\nonboot: 1\ntags: prod;www\n{}",
                net("dhcp")
            ),
            Power::Running,
        ),
        guest(
            103,
            &format!("hostname: db\nlock: backup\nrootfs: local-lvm:vm-103-disk-0,size=8G\n{}", net("10.20.0.103/24")),
            Power::Running,
        ),
        guest(105, &format!("hostname: nextcloud\nrootfs: local-lvm:vm-105-disk-0,size=32G\n{}", net("10.20.0.104/24")), Power::Running),
        guest(
            106,
            &format!("hostname: gitea\nrootfs: local-lvm:vm-106-disk-0,size=8G\nonboot: 1\n{}", net("10.20.0.106/24")),
            Power::Stopped,
        ),
        guest(109, &format!("hostname: wiki\nrootfs: local-lvm:vm-109-disk-0,size=8G\n{}", net("dhcp")), Power::Running),
        unread,
        vm,
        guest(9999, &format!("hostname: edge\nrootfs: local-lvm:vm-9999-disk-0,size=2G\n{}", net("10.20.0.1/24")), Power::Running),
    ]
}

fn storages() -> Vec<Storage> {
    let (mut all, _) = parse_cfg(
        "dir: local\n\tpath /var/lib/vz\n\tcontent backup,vztmpl\nlvmthin: local-lvm\n\tcontent rootdir,images\nnfs: nas\n\tserver x\n\tcontent backup\ndir: old\n\tpath /o\n\tcontent backup\n\tdisable\n",
    );
    let space = |total: u64, used: u64| Ok(Space { total: total << 30, used: used << 30, avail: (total - used) << 30 });
    for (s, space) in
        all.iter_mut().zip([space(94, 86), space(400, 120), Err("/mnt/pve/nas is not mounted".into()), Err("not measured yet".into())])
    {
        s.space = space;
    }
    all
}

fn archive(id: u32, age: i64, size: u64, notes: Option<&str>) -> Archive {
    let (y, mo, d, h, mi, s) = ago(age).civil(0);
    Archive {
        volid: format!("local:backup/vzdump-lxc-{id}-{y:04}_{mo:02}_{d:02}-{h:02}_{mi:02}_{s:02}.tar.zst"),
        storage: "local".parse().unwrap(),
        vmid: id.try_into().ok(),
        kind: Some(Kind::Lxc),
        made: ago(age),
        size: Some(size),
        notes: notes.map(str::to_owned),
        protected: notes.is_some_and(|n| n.contains("keep")),
        server_says: None,
    }
}

fn node() -> Node {
    Node {
        name: "pve1".into(),
        version: Some("9.1.8".into()),
        load: Some([0.42, 0.5, 0.6]),
        cpus: Some(8),
        cpu_ticks: Some((100_000, 1_000_000)),
        mem: Some((12 << 30, 31 << 30)),
        swap: Some((200 << 20, 8 << 30)),
        root: Some((18 << 30, 94 << 30)),
        uptime_s: Some(1_050_000),
        boot_id: Some("b".into()),
    }
}

/// A node with some trouble.
pub fn news() -> News {
    let gap = Gap { what: "guest 110".into(), why: "/etc/pve/lxc/110.conf: permission denied".into() };
    News {
        node: Some(part(node())),
        quorum: Some(part(Quorum::Quorate { nodes: 3 })),
        guests: Some(part(guests()).with_gaps(vec![gap])),
        storages: Some(part(storages())),
        network: Some(part(vec![Bridge { name: "vmbr0".into(), operstate: "up".into() }])),
        tasks: Some(part(vec![])),
        archives: Some(part(vec![
            archive(105, 3 * 3600, 2_252_341_248, Some("nextcloud")),
            archive(101, 86_400, 412 << 20, Some("before the upgrade, keep")),
            archive(105, 27 * 3600, 2_202_341_248, None),
            archive(101, 9 * 86_400, 0, None),
            archive(120, 30 * 86_400, 1 << 30, Some("gone long ago")),
        ])),
        schedules: Some(part(schedules())),
        jobs: Some(part(vec![])),
        settings: None,
        pins: None,
        ports: None,
        truth: None,
        certificates: None,
        appliance: None,
        logs: Some(part(vec![])),
        locks: None,
    }
}

/// One job each night, one on Saturdays, one that is off.
fn schedules() -> Schedules {
    let jobs = "vzdump: nightly\n\tschedule 02:00\n\tvmid 105\nvzdump: weekly\n\tschedule sat 15:00\n\tvmid 101\nvzdump: off\n\tschedule 3:00\n\tvmid 102\n\tenabled 0\n";
    Schedules { jobs: parse_jobs(jobs), zone: Zone::fixed(3600), drills: Ok(None) }
}

/// What an appliance said that is not quite well.
pub fn appliance() -> Seen {
    let at = ago(4);
    let lamp = |name: &'static str, light, says: &str| Lamp {
        name,
        light,
        says: says.into(),
        evidence: vec![Evidence { asked: format!("pct exec 9999 -- ask {name}"), answer: "first line\nsecond line".into(), at }],
    };
    let lamps = LAMPS
        .iter()
        .map(|(name, _)| match *name {
            "caddy" => lamp(name, Light::Fail, "it does not run: crashed"),
            "ports" => lamp(name, Light::Warn, "of the ports 40000-40999 not all are kept back"),
            "isolation" => lamp(name, Light::Unknown, "no running app to ask from"),
            _ => lamp(name, Light::Pass, "well"),
        })
        .collect();
    let lent = "1795290000 bc:24:11:00:00:dd 10.20.0.131 web *\n1795290000 bc:24:11:00:00:77 10.20.0.140 old *\n";
    let leases = lease::parse(lent);
    let rows = lease::join(&leases, Some(&guests()), None, ago(0));
    let rrd =
        Ok(format!("pve-vm-9.0/9999:1036800:edge:running:0:{}:2:0.031:536870912:32505856:8589934592:387973120:1:2:3:4\n", ago(8).secs()));
    let instances = instance::instances(&guests(), Vmid::APPLIANCE, Some("pve1"), &rrd);
    Seen { lamps, leases: Ok(rows), pool: Some(Pool { used: 2, size: 151 }), forecast: Forecast::In(40), instances }
}

/// A node on which nothing is wrong.
pub fn well() -> News {
    let mut guests = guests();
    guests.retain(|g| ![103, 106, 110].contains(&u32::from(g.id)));
    let mut storages = storages();
    storages.retain(|s| s.id.as_str() == "local-lvm");
    News { guests: Some(part(guests)), storages: Some(part(storages)), quorum: Some(part(Quorum::Quorate { nodes: 1 })), ..news() }
}

/// A node that does not answer.
pub fn unknown() -> News {
    fn no<T>() -> Option<Part<T>> {
        Some(Part::unknown("10.1.2.30 did not answer within 5 s", ago(200)))
    }
    News {
        pins: None,
        ports: None,
        truth: None,
        certificates: None,
        node: no(),
        quorum: no(),
        guests: no(),
        storages: no(),
        network: no(),
        tasks: no(),
        archives: no(),
        schedules: no(),
        jobs: no(),
        settings: no(),
        appliance: no(),
        logs: no(),
        locks: None,
    }
}

/// The same node, with this name wherever a name from outside may stand.
pub fn named(name: &str) -> News {
    let mut news = news();
    for g in news.guests.as_mut().unwrap().known.as_mut().unwrap() {
        g.name = Some(name.into());
        g.lock = Some(name.into());
        g.node = Some(name.into());
        g.tags = vec![name.into()];
        g.odd_lines = vec![name.into()];
        for n in &mut g.nics {
            (n.ip, n.bridge) = (Some(name.into()), Some(name.into()));
        }
    }
    for a in news.archives.as_mut().unwrap().known.as_mut().unwrap() {
        (a.notes, a.volid) = (Some(name.into()), name.into());
    }
    for s in news.storages.as_mut().unwrap().known.as_mut().unwrap() {
        (s.kind, s.content, s.space) = (name.into(), vec![name.into()], Err(name.into()));
    }
    news.node.as_mut().unwrap().known.as_mut().unwrap().name = name.into();
    let mut jobs = jobs();
    for j in &mut jobs {
        let mut plan = j.order.plan().clone();
        plan.title = name.into();
        j.order = Approved::new(plan, name, None).unwrap();
        j.life.progress.phase = name.into();
    }
    news.jobs = Some(part(jobs));
    news
}

/// A plan with all there is in one.
pub fn plan(risk: Risk) -> Plan {
    let to = 107.try_into().unwrap();
    Plan {
        purpose: Purpose::RestoreBeside,
        title: "restore 105 nextcloud beside as 107 on local-lvm".into(),
        guest: to,
        host: "local".into(),
        facts: vec!["105 is not touched; the new guest gets new hardware addresses".into()],
        notes: vec!["not in it: /srv (mp0 bind mount)".into()],
        risk,
        steps: vec![
            Step {
                title: "restore 107 nextcloud-107".into(),
                act: Act::Run {
                    cmd: Cmd::new(
                        "pct",
                        [
                            "restore",
                            "107",
                            "local:backup/vzdump-lxc-105-2026_11_21-11_32_08.tar.zst",
                            "--storage",
                            "local-lvm",
                            "--unprivileged",
                            "1",
                            "--unique",
                            "1",
                            "--hostname",
                            "nextcloud-107",
                        ],
                    )
                    .unlimited(),
                    watch: Watch::Restore { vmid: to },
                },
                check: Check::Unlocked { vmid: to },
                undo: Some(Cmd::new("pct", ["destroy", "107"]).into()),
                always: true,
            },
            Step {
                title: "start 107".into(),
                act: Act::Run { cmd: Cmd::new("pct", ["start", "107"]), watch: Watch::Exit },
                check: Check::Running { vmid: to },
                undo: Some(Cmd::new("pct", ["stop", "107"]).into()),
                always: false,
            },
            Step {
                title: "wait until 107 answers".into(),
                act: Act::Wait { within_s: 90 },
                check: Check::Answers { vmid: to },
                undo: None,
                always: false,
            },
        ],
    }
}

/// One job that runs and some that ended.
pub fn jobs() -> Vec<Job> {
    let backup = |id: u32, name: &str| Plan {
        purpose: Purpose::Backup,
        title: format!("back up {id} {name} to local"),
        guest: id.try_into().unwrap(),
        steps: vec![Step {
            title: format!("vzdump {id} in snapshot mode"),
            act: Act::Run { cmd: Cmd::new("vzdump", [&id.to_string(), "--storage", "local", "--mode", "snapshot"]), watch: Watch::Exit },
            check: Check::Archived { vmid: id.try_into().unwrap(), storage: "local".parse().unwrap() },
            undo: None,
            always: true,
        }],
        ..plan(Risk::Low)
    };
    let job = |id, state, plan, age| Job {
        id,
        state,
        created: ago(age),
        order: Approved::new(plan, "ada", None).unwrap(),
        life: Life { started: Some(ago(age)), ended: (state != State::Running).then(|| ago(age - 40)), ..Life::default() },
    };
    let mut running = job(17, State::Running, backup(105, "nextcloud"), 25);
    running.life.progress =
        Progress { bytes: Some(900 << 20), expect: Some(2148 << 20), rate: Some(118 << 20), phase: "writing the archive".into() };
    let mut failed = job(16, State::Failed, backup(103, "db"), 4000);
    let otto = access::Who { owner: false, name: "otto".into(), ..access::Who::owner("") };
    failed.order = failed.order.seconded(&otto).unwrap();
    failed.life.outcome = Some(Outcome {
        what: "vzdump ended with: CT is locked (backup)".into(),
        hint: "see what holds the lock; if nothing does, pct unlock 103".into(),
        left: vec!["lock 'backup' on 103".into()],
        not_in_it: vec!["/srv (mp0 bind mount)".into()],
        warnings: vec!["socket ignored".into()],
        ..Outcome::default()
    });
    let mut done = job(15, State::Succeeded, backup(101, "web"), 86_400);
    done.life.outcome = Some(Outcome { what: "archive stands whole on local, 412 MiB".into(), ..Outcome::default() });
    let mut lost = job(14, State::Unknown, plan(Risk::Low), 172_800);
    lost.life.outcome = Some(Outcome {
        what: "the host restarted while it ran; how it ended cannot be told".into(),
        hint: "look at guest 107".into(),
        ..Outcome::default()
    });
    vec![running, failed, done, lost]
}

/// A console at work: everything was asked, and the operator ada is in.
pub fn test_app() -> App {
    let mut app = App::new(Place { host: "10.1.2.30".into(), demo: false });
    app.learn(Fact::Clock { now: Stamp::from_secs(NOW), offset_s: 0 });
    app.learn(Fact::News(Box::new(news())));
    let mut later = news();
    later.node.as_mut().unwrap().known.as_mut().unwrap().cpu_ticks = Some((102_300, 1_010_000));
    app.learn(Fact::News(Box::new(later)));
    app.learn(Fact::Gate(Gate::Open("ada".into())));
    app
}

/// A page of the audit: so many records, the newest still open.
pub fn records(count: u64, next: Option<u64>) -> Page {
    let who = Who {
        login_uid: Some(1000),
        sudo_user: Some("ada".into()),
        ssh: Some("10.1.2.3".into()),
        tty: Some("/dev/pts/3".into()),
        key: Some("SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU".into()),
    };
    let entry = |seq: u64, phase, deed| Entry {
        seq,
        epoch: 0,
        at: Stamp::from_secs(NOW - 600 * (20 + 2 * count - seq).cast_signed()),
        boottime_ms: 1,
        boot_id: "b".into(),
        who: who.clone(),
        mode: "console".into(),
        phase,
        deed,
    };
    let record = |n: u64| {
        let seq = 20 + (count - n) * 2;
        let job = |id, title: &str| Deed { job: Some(id), ..Deed::new("ada", "job.backup", "guest 101", title).undo(format!("job {id}")) };
        let done = |deed: Deed, ending, said: &str, exit| {
            let outcome = entry(seq + 1, Phase::Outcome { of: seq, ending, exit }, deed.clone().said(said));
            Record { entry: entry(seq, Phase::Intent, deed), outcome: Some(outcome) }
        };
        let event = |deed, ending| Record { entry: entry(seq, Phase::Event { ending }, deed), outcome: None };
        match n % 8 {
            0 => Record { entry: entry(seq, Phase::Intent, job(jobs()[0].id, "back up 101 nextcloud to local")), outcome: None },
            1 => done(job(16, "back up 102 gitea to local"), Ending::Ok, "archive written", None),
            2 => done(job(15, "back up 103 wiki to pbs"), Ending::Failed, "storage 'pbs' is not online", None),
            3 => event(Deed::new("ada", "vault.unlock", "vault", "open the vault"), Ending::Ok),
            4 => {
                event(Deed::new("bob", "vault.unlock", "vault", "open the vault").said("the passphrase is wrong").refused(), Ending::Failed)
            }
            5 => done(
                Deed::new("ada", "guest.exec", "guest 101", "run a command in 101 nextcloud").commands(Some([7; 32])),
                Ending::Failed,
                "",
                Some(3),
            ),
            6 => done(job(14, "stop 104 evil\u{1b}]52;c;eA==\u{7}\u{202e}name"), Ending::Cancelled, "ended on request", None),
            _ => event(
                Deed::new("ada", "settings.save", "network.subnet", "change network.subnet").change("10.20.0.0/24", "10.30.0.0/24"),
                Ending::Ok,
            ),
        }
    };
    Page { records: (0..count).map(record).collect(), total: 900, next, unread: vec![] }
}
