//! The timer of the drills: a unit and a timer of systemd that run `backup drill --due`, made and removed as a plan.
//!
//! Nothing secret is in them, and what they run needs none: the rows of jobs and of the audit are written by whoever may write the
//! store, with the vault locked.

use crate::domain::calendar::{Event, Zone};
use crate::domain::change::{Change, Place, Was};
use crate::domain::clean::clean;
use crate::domain::cmd::Cmd;
use crate::domain::guest::Vmid;
use crate::domain::plan::{Check, Plan, Purpose, Refusal, Risk, Step, Wants};
use crate::domain::stamp::Stamp;
use crate::domain::world::World;

/// The name of unit and timer, without its ending.
pub const UNIT: &str = "proximity-drills";

/// Path of the unit.
pub const SERVICE: &str = "/etc/systemd/system/proximity-drills.service";

/// Path of the timer.
pub const TIMER: &str = "/etc/systemd/system/proximity-drills.timer";

/// The timer as systemd tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// Its schedule, as it stands in its file.
    pub when: String,
    /// It waits for its time.
    pub active: bool,
    /// It does so after the next boot too.
    pub enabled: bool,
    /// From when its next run is reckoned: its last run, or when it was first switched on.
    pub since: Option<Stamp>,
    /// When its last run began, since the node was started.
    pub ran: Option<Stamp>,
    /// A run is at it.
    pub runs: bool,
    /// Systemd's word for how the last run ended: `success`, `exit-code`, `timeout`.
    pub result: String,
    /// Exit status of the last run.
    pub exit: Option<i32>,
}

impl Timer {
    /// When it comes next.
    pub fn next(&self, now: Stamp, zone: &Zone) -> Option<Stamp> {
        Event::parse(&self.when).ok().filter(|_| self.active)?.next(now, zone)
    }
}

/// The file that systemd touches at each run of the timer (systemd.timer(5), Persistent).
pub const STAMP: &str = "/var/lib/systemd/timers/stamp-proximity-drills.timer";

/// The questions that tell it, for both units at once.
pub fn question() -> Cmd {
    let properties = "--property=Id,ActiveState,UnitFileState,Result,ExecMainStatus,ExecMainStartTimestamp";
    Cmd::new("systemctl", ["show", "--timestamp=unix", properties, &format!("{UNIT}.timer"), &format!("{UNIT}.service")]).limit(10)
}

/// Reads the answer to [`question`] and the timer's file; `since` is when [`STAMP`] was last touched.
pub fn parse(answer: &str, file: &str, since: Option<Stamp>) -> Result<Timer, String> {
    let block = |name: &str| {
        let id = format!("Id={UNIT}.{name}");
        answer.split("\n\n").find(|b| b.lines().any(|l| l == id)).ok_or(format!("systemd tells nothing of {UNIT}.{name}"))
    };
    let get =
        |block: &str, key: &str| block.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('=').map(str::to_owned)).unwrap_or_default();
    let (timer, service) = (block("timer")?, block("service")?);
    // `@1795228200`; nothing, or 0, where there was none.
    let began = get(service, "ExecMainStartTimestamp").strip_prefix('@').and_then(|s| s.parse().ok()).filter(|s| *s > 0);
    let ran = began.map(Stamp::from_secs);
    Ok(Timer {
        when: file.lines().find_map(|l| l.strip_prefix("OnCalendar=")).unwrap_or_default().to_owned(),
        active: get(timer, "ActiveState") == "active",
        enabled: get(timer, "UnitFileState") == "enabled",
        since: since.max(ran),
        ran,
        runs: matches!(get(service, "ActiveState").as_str(), "activating" | "active" | "deactivating"),
        result: get(service, "Result"),
        exit: get(service, "ExecMainStatus").parse().ok(),
    })
}

/// What is wished of the timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillsWish {
    /// Its schedule; none: no timer.
    pub when: Option<String>,
    /// What it runs: absolute path and arguments.
    pub program: Vec<String>,
}

/// Both files as they are now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// The unit.
    pub service: Option<Vec<u8>>,
    /// The timer.
    pub timer: Option<Vec<u8>>,
}

/// The plan, or why it is refused. That nobody but root can change the program was asked before.
pub fn plan(world: &World, wish: &DrillsWish, files: Files) -> Result<Plan, Refusal> {
    let what = "drills by schedule";
    let timer = format!("{UNIT}.timer");
    let (title, facts, steps) = match &wish.when {
        Some(when) => {
            let event = Event::parse(when).map_err(|why| Refusal::new(what, why, "see proximity manual backups"))?;
            let zone = world.schedules.get().map(|s| s.zone.clone()).unwrap_or_default();
            let first = event.next(world.schedules.as_of, &zone);
            let first = first.ok_or_else(|| Refusal::new(what, "that time never comes", "give another one"))?;
            let exec = exec(&wish.program).map_err(|why| Refusal::new(what, why, "install it as /usr/local/bin/proximity"))?;
            let facts = vec![
                format!(
                    "it comes first {}; what was missed while the node was off is made up for",
                    first.minute(zone.offset(first.secs()))
                ),
                "it runs as root, without a passphrase: drills are written down with the vault locked, and nothing secret is in the unit"
                    .into(),
            ];
            (format!("drills by schedule: {}", clean(when)), facts, on(&event, &exec, files, &timer))
        }
        None => ("no drills by schedule any more".to_owned(), Vec::new(), off(files, &timer)),
    };
    Ok(Plan {
        purpose: Purpose::Schedule,
        title,
        guest: Vmid::APPLIANCE,
        host: world.place.host.clone(),
        facts,
        notes: Vec::new(),
        risk: if wish.when.is_some() { Risk::Low } else { Risk::Interrupts },
        steps,
    })
}

/// A command line as systemd reads one: nothing in it that it would take for its own.
fn exec(program: &[String]) -> Result<String, String> {
    let plain = |word: &String| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+=".contains(&b));
    match program.first() {
        Some(first) if first.starts_with('/') && program.iter().all(plain) => Ok(program.join(" ")),
        _ => Err(format!("'{}' cannot stand in a unit", clean(&program.join(" ")))),
    }
}

/// Other sandboxing gives a unit mounts of its own, and a storage that is mounted on demand would then be mounted in there only.
fn service(exec: &str) -> String {
    format!(
        "[Unit]\n\
         Description=Proximity: see whether backups would come back\n\
         After=pve-cluster.service pve-guests.service\n\
         ConditionPathExists=/etc/pve/local\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart={exec}\n\
         # 10: done, and something wants a look.\n\
         SuccessExitStatus=10\n\
         TimeoutStartSec=12h\n\
         StandardInput=null\n\
         UMask=0077\n\
         Nice=10\n\
         IOSchedulingClass=idle\n\
         KillMode=mixed\n\
         NoNewPrivileges=yes\n\
         LockPersonality=yes\n\
         MemoryDenyWriteExecute=yes\n\
         RestrictRealtime=yes\n\
         SystemCallArchitectures=native\n"
    )
}

fn timer_file(event: &Event) -> String {
    format!(
        "[Unit]\n\
         Description=Proximity: drills by schedule\n\
         \n\
         [Timer]\n\
         OnCalendar={}\n\
         Persistent=yes\n\
         AccuracySec=1min\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n",
        event.systemd()
    )
}

fn systemctl<const N: usize>(words: [&str; N]) -> Cmd {
    Cmd::new("systemctl", words).limit(60)
}

fn state(timer: &str, active: &str, enabled: &str, what: &str) -> Check {
    let wants = Wants::Lines(vec![format!("ActiveState={active}"), format!("UnitFileState={enabled}")]);
    Check::Says { what: what.into(), cmd: systemctl(["show", "--property=ActiveState,UnitFileState", timer]), wants }
}

/// Systemd reads its units anew: before anything, so that it does so last where all is taken back.
fn read_first() -> Step {
    let answers = Check::Says { what: "systemd answers".into(), cmd: systemctl(["show", "--property=Version"]), wants: Wants::Something };
    let step = Step::run("see that systemd answers", systemctl(["daemon-reload"]), answers);
    Step { always: true, ..step.undone_by(systemctl(["daemon-reload"])) }
}

fn read_again(loaded: &str, timer: &str) -> Step {
    let what = if loaded == "loaded" { "systemd knows the timer" } else { "systemd knows no such timer any more" };
    let cmd = systemctl(["show", "--property=LoadState", "--value", timer]);
    let check = Check::Says { what: what.into(), cmd, wants: Wants::OneOf(vec![loaded.into()]) };
    Step { always: true, ..Step::run("have systemd read its units", systemctl(["daemon-reload"]), check) }
}

fn put(path: &str, was: Option<Vec<u8>>, now: Option<String>) -> Option<Step> {
    let now = now.map(String::into_bytes);
    (was != now).then(|| {
        Step::put(Change {
            at: Place::Host,
            path: path.into(),
            was: Was::from(was),
            now: now.map(Into::into),
            mode: 0o644,
            test: Vec::new(),
        })
    })
}

fn on(event: &Event, exec: &str, files: Files, timer: &str) -> Vec<Step> {
    let had = files.timer.is_some();
    let mut puts: Vec<Step> = put(SERVICE, files.service, Some(service(exec))).into_iter().collect();
    puts.extend(put(TIMER, files.timer, Some(timer_file(event))));
    let mut steps = vec![read_first()];
    let changed = !puts.is_empty();
    steps.extend(puts);
    steps.push(read_again("loaded", timer));
    let enabled = state(timer, "active", "enabled", "the timer waits, and does so after the next boot");
    let enable = Step::run("switch the timer on", systemctl(["enable", "--now", timer]), enabled);
    // Where there was one before it goes on, by its old file, once systemd reads that again.
    steps.push(if had { enable } else { enable.undone_by(systemctl(["disable", "--now", timer])) });
    if had && changed {
        let enabled = state(timer, "active", "enabled", "the timer waits, and does so after the next boot");
        steps.push(Step { always: true, ..Step::run("begin anew with its new time", systemctl(["restart", timer]), enabled) });
    }
    let next = systemctl(["show", "--property=NextElapseUSecRealtime", "--value", timer]);
    let listed = Check::Says { what: "systemd names its next time".into(), cmd: next, wants: Wants::Something };
    steps.push(Step::wait("see when it comes", 5, listed));
    steps
}

fn off(files: Files, timer: &str) -> Vec<Step> {
    if files == Files::default() {
        return Vec::new();
    }
    let mut steps = vec![read_first()];
    if files.timer.is_some() {
        let gone = state(timer, "inactive", "disabled", "the timer does not wait, nor after the next boot");
        steps.push(
            Step::run("switch the timer off", systemctl(["disable", "--now", timer]), gone)
                .undone_by(systemctl(["enable", "--now", timer])),
        );
    }
    steps.extend(put(TIMER, files.timer, None));
    steps.extend(put(SERVICE, files.service, None));
    steps.push(read_again("not-found", timer));
    steps
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::plan::Act;

    fn wish(when: Option<&str>) -> DrillsWish {
        let program = ["/usr/local/bin/proximity", "backup", "drill", "--due"].map(str::to_owned).into();
        DrillsWish { when: when.map(str::to_owned), program }
    }

    fn written(plan: &Plan) -> Vec<(String, Option<String>, u32)> {
        let one = |s: &Step| match &s.act {
            Act::Put(c) => Some((c.path.clone(), c.now.as_ref().map(|n| String::from_utf8_lossy(n.bytes()).into_owned()), c.mode)),
            _ => None,
        };
        plan.steps.iter().filter_map(one).collect()
    }

    #[test]
    fn the_timer_is_written_switched_on_and_asked_for() {
        let plan = plan(&World::default(), &wish(Some("sat *-1..7 4:00")), Files::default()).unwrap();
        let files = written(&plan);
        assert_eq!((files[0].0.as_str(), files[1].0.as_str(), files[0].2), (SERVICE, TIMER, 0o644));
        assert!(files[0].1.as_ref().unwrap().contains("\nExecStart=/usr/local/bin/proximity backup drill --due\n"));
        assert!(files[1].1.as_ref().unwrap().contains("\nOnCalendar=sat *-*-01..07 04:00:00\nPersistent=yes\n"));
        let told: Vec<String> = plan.steps.iter().map(|s| s.title.clone()).collect();
        assert_eq!(told[3..], ["have systemd read its units", "switch the timer on", "see when it comes"]);
        assert_eq!(
            plan.steps[0].undo.as_ref().unwrap().shown(),
            "systemctl daemon-reload",
            "the last that is done where all is taken back"
        );
        assert!(plan.steps.iter().all(|s| s.undo.is_some() || s.title.starts_with("have systemd") || s.title.starts_with("see when")));
    }

    #[test]
    fn it_is_changed_and_removed() {
        let files = Files { service: Some(b"old".to_vec()), timer: Some(b"OnCalendar=x".to_vec()) };
        let changed = plan(&World::default(), &wish(Some("3:00")), files.clone()).unwrap();
        assert!(changed.steps.iter().any(|s| s.title == "begin anew with its new time"));
        let gone = plan(&World::default(), &wish(None), files).unwrap();
        assert_eq!(
            written(&gone).iter().map(|(p, now, _)| (p.as_str(), now.is_none())).collect::<Vec<_>>(),
            [(TIMER, true), (SERVICE, true)]
        );
        assert_eq!(gone.risk, Risk::Interrupts);
        assert!(plan(&World::default(), &wish(None), Files::default()).unwrap().steps.is_empty());
    }

    #[test]
    fn what_systemd_would_take_for_its_own_is_refused() {
        for program in ["proximity", "/home/a b/proximity", "/opt/%h/proximity", "/opt/$X", "/opt/a\nExecStart=/bin/true", "/opt/a;b"] {
            let wish = DrillsWish { program: vec![program.into()], ..wish(Some("daily")) };
            assert!(plan(&World::default(), &wish, Files::default()).is_err(), "{program}");
        }
        assert!(plan(&World::default(), &wish(Some("02-30")), Files::default()).unwrap_err().why.contains("never comes"));
    }

    #[test]
    fn what_systemd_tells() {
        let answer = "Id=proximity-drills.timer\nActiveState=active\nUnitFileState=enabled\nResult=success\n\nResult=exit-code\nExecMainStartTimestamp=@1795318201\nExecMainStatus=5\nId=proximity-drills.service\nActiveState=failed\nUnitFileState=static\n";
        let timer = parse(answer, "[Timer]\nOnCalendar=*-*-* 02:30:00\n", Some(Stamp::from_secs(1_795_318_200))).unwrap();
        let ran = Some(Stamp::from_secs(1_795_318_201));
        let expected = Timer {
            when: "*-*-* 02:30:00".into(),
            active: true,
            enabled: true,
            since: ran,
            ran,
            runs: false,
            result: "exit-code".into(),
            exit: Some(5),
        };
        assert_eq!(timer, expected);
        assert_eq!(timer.next(Stamp::from_secs(1_795_318_201), &Zone::default()).unwrap().rfc3339(), "2026-11-23T02:30:00Z");
        assert!(parse("", "", None).is_err());
    }
}
