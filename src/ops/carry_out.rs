//! The one executor: carries an allowed plan out step by step, checks each, undoes on failure, and says what is left.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::check::{self, Held};
use super::left::left_by;
use super::place;
use super::truth::{self, Truth};
use crate::domain::backup::{Complaint, VzdumpLine, parse_line, partial_of};
use crate::domain::clean::clean;
use crate::domain::cmd::Cmd;
use crate::domain::inside::pull;
use crate::domain::inside::verify::{Line, Report, Verified, conclude};
use crate::domain::job::{Life, Outcome, State};
use crate::domain::plan::{Act, Check, Plan, Purpose, Step, Undo, Watch};
use crate::domain::stamp::{Stamp, bytes};
use crate::domain::task::TaskEnd;
use crate::host::{Found, Host, HostError, Look, Pace, Said};

/// Where an executor writes what happens. The life is written before anything that it announces is done.
pub trait Journal: Send {
    /// Remembers the life as it stands now. An error stops the plan: nothing is done that cannot be remembered.
    fn remember(&mut self, life: &Life) -> Result<(), String>;
    /// Adds a line to the job's log.
    fn line(&mut self, at: Stamp, text: &[u8]);
}

/// What a command said that may explain its end.
#[derive(Default)]
struct Heard {
    /// Of vzdump and pct.
    complaint: Complaint,
    /// The last line, or the first complaint of a package manager.
    last: Option<String>,
}

/// Why a step did not succeed.
enum Bad {
    Failed(String),
    Cancelled,
    Unknown(String),
}

struct Run<'a> {
    host: &'a dyn Host,
    life: Life,
    /// The life as it was remembered last.
    remembered: Option<Life>,
    journal: &'a mut dyn Journal,
    stop: CancellationToken,
    /// What was done was taken back, but for what the outcome names.
    undone: bool,
    /// Why vzdump took another mode than it was asked for.
    fell_back: Option<String>,
    out: Outcome,
}

/// Carries a plan out from its first step. Gives the final state and the life with its outcome.
pub async fn carry_out(host: &dyn Host, plan: &Plan, life: Life, journal: &mut dyn Journal, stop: CancellationToken) -> (State, Life) {
    let mut run = Run { host, life, remembered: None, journal, stop, undone: false, fell_back: None, out: Outcome::default() };
    let ended = if plan.host == host.name() {
        run.steps(plan).await
    } else {
        Err(Bad::Failed(format!("the plan is for host {} and this is {}", plan.host, host.name())))
    };
    let state = run.conclude(plan, ended).await;
    run.life.ended = Some(host.clock().0);
    run.life.child = None;
    run.say(&format!("{}: {}", state.word(), run.out.what.clone()));
    run.life.outcome = Some(run.out);
    (state, run.life)
}

impl Run<'_> {
    fn say(&mut self, text: &str) {
        self.journal.line(self.host.clock().0, text.as_bytes());
    }

    fn remember(&mut self) -> Result<(), Bad> {
        self.journal.remember(&self.life).map_err(|why| Bad::Failed(format!("the job's state could not be written: {why}")))?;
        self.remembered = Some(self.life.clone());
        Ok(())
    }

    async fn steps(&mut self, plan: &Plan) -> Result<(), Bad> {
        for (n, step) in plan.steps.iter().enumerate() {
            self.life.step = n;
            self.life.upid = None;
            self.life.progress.phase = step.title.clone();
            self.remember()?;
            self.say(&format!("step {} of {}: {}", n + 1, plan.steps.len(), step.title));
            let done = self.step(step).await;
            if plan.purpose == Purpose::Verify && !matches!(done, Err(Bad::Cancelled)) {
                self.verified(step, done.err());
                continue;
            }
            if let Err(bad) = done {
                // What was built stands and checked itself; that it does not do what it is for is no reason to tear it down.
                let stays = matches!(step.check, Check::Lamps { .. } | Check::App { .. }) && plan.purpose != Purpose::Drill;
                if !stays {
                    self.undo(&plan.steps[..n]).await;
                    self.undone = !anything_stays(&plan.steps[..n]);
                }
                return Err(bad);
            }
            if matches!(step.check, Check::Answers { .. } | Check::App { .. }) {
                self.out.answered = Some(self.host.clock().0);
            }
        }
        Ok(())
    }

    /// What an archive is not told of is not known; and one that cannot be read keeps no other from being read.
    fn verified(&mut self, step: &Step, bad: Option<Bad>) {
        let Act::Run { watch: Watch::Archive { volid, .. }, .. } = &step.act else { return };
        let why = match bad {
            Some(Bad::Failed(why) | Bad::Unknown(why)) => Some(why),
            Some(Bad::Cancelled) | None => None,
        };
        let at = self.host.clock().0;
        let told = self.out.verified.iter().position(|v| v.volid == *volid).map(|nth| self.out.verified.remove(nth).report);
        let report = match (told, why) {
            (Some(report), None) => report,
            (_, Some(why)) => Report::unknown(why),
            (None, None) => Report::unknown("nothing was told of it"),
        };
        let verified = Verified { volid: volid.clone(), at, report };
        self.say(&verified.words());
        self.out.warnings.extend(verified.report.warnings.iter().map(|w| crate::domain::clean::clean(w)));
        self.out.verified.push(verified);
    }

    async fn step(&mut self, step: &Step) -> Result<(), Bad> {
        if self.stop.is_cancelled() {
            return Err(Bad::Cancelled);
        }
        if !step.always && check::holds(self.host, &step.check, &self.life, None).await == Held::Yes {
            self.say(&format!("holds already: {}", step.check.words()));
            return Ok(());
        }
        match &step.act {
            Act::Run { cmd, watch } => {
                let init = match step.check {
                    Check::Restarted { vmid } => check::init_pid(self.host, vmid).await.ok().flatten(),
                    _ => None,
                };
                self.run(cmd, watch).await?;
                self.settle(step, init).await
            }
            Act::Wait { within_s } => self.wait(step, Duration::from_secs((*within_s).into()), None).await,
            Act::Put(change) => {
                change.lines().iter().for_each(|line| self.say(line));
                place::put(self.host, change).await.map_err(Bad::Failed)?;
                self.wait(step, Duration::ZERO, None).await
            }
            Act::Lay(lay) => {
                self.say(&lay.shown());
                lay.lines().iter().for_each(|line| self.say(line));
                place::lay(self.host, lay).await.map_err(Bad::Failed)?;
                self.wait(step, Duration::ZERO, None).await
            }
            Act::Turn(turn) => {
                place::turn(self.host, turn).await.map_err(Bad::Failed)?;
                self.wait(step, Duration::ZERO, None).await
            }
            Act::Carry { from, to, paths } => {
                let carried = place::carry(self.host, *from, *to, paths).await.map_err(Bad::Failed)?;
                self.say(&format!("carried over: {carried} files"));
                self.wait(step, Duration::ZERO, None).await
            }
        }
    }

    /// A command came back; what it was to bring about may need a moment (a container that starts).
    async fn settle(&mut self, step: &Step, init: Option<u32>) -> Result<(), Bad> {
        let grace = if matches!(step.check, Check::Archived { .. }) { Duration::ZERO } else { Duration::from_secs(10) };
        self.wait(step, grace, init).await
    }

    async fn wait(&mut self, step: &Step, within: Duration, init: Option<u32>) -> Result<(), Bad> {
        let deadline = Instant::now() + within;
        loop {
            let held = check::holds(self.host, &step.check, &self.life, init).await;
            match held {
                Held::Yes => {
                    self.say(&format!("checked: {}", step.check.words()));
                    return Ok(());
                }
                Held::No(why) if Instant::now() >= deadline => return Err(Bad::Failed(why)),
                Held::Unknown(why) if Instant::now() >= deadline => return Err(Bad::Unknown(why)),
                Held::No(_) | Held::Unknown(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(300)) => {}
                () = self.stop.cancelled() => return Err(Bad::Cancelled),
            }
        }
    }

    /// Runs a command, follows what it says, and judges by its task where it is one.
    async fn run(&mut self, cmd: &Cmd, watch: &Watch) -> Result<(), Bad> {
        self.say(&format!("$ {}", cmd.shown()));
        let since = self.host.clock().0;
        let (tx, mut rx) = mpsc::channel(256);
        let host = self.host;
        let mut stream = Box::pin(host.stream(cmd.clone(), Pace::Whole, tx, self.stop.clone()));
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut ended, mut link, mut heard) = (None, None, Heard::default());
        let mut meter = Meter::default();
        while ended.is_none() && link.is_none() {
            tokio::select! {
                said = rx.recv() => match said {
                    Some(Said::Started(process)) => {
                        meter.tick = Some(process.start);
                        self.life.child = Some(process);
                        self.remember()?;
                    }
                    Some(Said::Lines(lines)) => for line in lines {
                        self.hear(&line, watch, &mut heard);
                    },
                    Some(Said::Ended(status)) => ended = Some(status),
                    Some(Said::Dropped(_)) => {}
                    // The channel closes when the stream's future is done; its result says the rest.
                    None => { link = Some((&mut stream).await.err()); }
                },
                result = &mut stream => { link = Some(result.err()); }
                _ = tick.tick() => self.measure(watch, since, &mut meter).await?,
            }
        }
        // What was told between the last look and the end: of a quick command, all of it.
        rx.close();
        while let Some(said) = rx.recv().await {
            match said {
                Said::Started(process) => meter.tick = Some(process.start),
                Said::Lines(lines) => lines.iter().for_each(|l| self.hear(l, watch, &mut heard)),
                Said::Ended(status) => ended = Some(status),
                _ => {}
            }
        }
        self.life.child = None;
        // Where the host could not tell which process it was the second decides.
        meter.tick.get_or_insert(0);
        self.measure(watch, since, &mut meter).await?;
        let cancelled = self.stop.is_cancelled();
        match (ended, link.flatten()) {
            _ if cancelled => Err(Bad::Cancelled),
            (_, Some(e @ HostError::LinkLost { .. })) => Err(Bad::Unknown(e.to_string())),
            (None, Some(e)) => Err(Bad::Failed(e.to_string())),
            (Some(status), _) => self.verdict(cmd, watch, status, heard).await,
            (None, None) => Err(Bad::Unknown("the command's end was not told".into())),
        }
    }

    /// One line of the running command: into the log, and what it tells into the life.
    fn hear(&mut self, line: &[u8], watch: &Watch, heard: &mut Heard) {
        let text = String::from_utf8_lossy(line);
        if let Watch::Archive { volid, .. } = watch {
            match Line::parse(&text) {
                Some(Line::Read(done, all)) => {
                    (self.life.progress.bytes, self.life.progress.expect) = (Some(done), Some(all));
                    return;
                }
                Some(Line::Report(report)) => {
                    return self.out.verified.push(Verified { volid: volid.clone(), at: self.host.clock().0, report });
                }
                Some(Line::Warning(why)) => self.out.warnings.push(clean(&why)),
                None => {}
            }
        }
        self.journal.line(self.host.clock().0, line);
        match watch {
            Watch::Restore { .. } => heard.complaint.hear(&text),
            Watch::Vzdump { .. } => {
                heard.complaint.hear(&text);
                self.hear_vzdump(&text);
            }
            Watch::Exit | Watch::Packages | Watch::Archive { .. } => {
                // "E: " and "W: " of apt, "ERROR: " and "WARNING: " of apk.
                let complains = |line: &str| ["E: ", "W: ", "ERROR: ", "WARNING: "].iter().any(|head| line.starts_with(head));
                let told = matches!(watch, Watch::Packages) && heard.last.as_deref().is_some_and(complains);
                if !text.trim().is_empty() && !told {
                    heard.last = Some(clean(text.trim()));
                }
            }
        }
    }

    fn hear_vzdump(&mut self, text: &str) {
        let phase = &mut self.life.progress.phase;
        match parse_line(text) {
            Some(VzdumpLine::Archive(path)) => {
                self.life.archive = Some(path);
                *phase = "writing the archive".into();
            }
            Some(VzdumpLine::Phase(p)) => *phase = clean(&p),
            Some(VzdumpLine::Waiting) => *phase = "waiting: another vzdump holds the node's lock".into(),
            Some(VzdumpLine::Excluded(what)) => {
                // It is said again for the mode it falls back to.
                let what = clean(&what);
                if !self.out.not_in_it.contains(&what) {
                    self.out.not_in_it.push(what);
                }
            }
            Some(VzdumpLine::Warning(w)) => self.out.warnings.push(clean(&w)),
            Some(VzdumpLine::FellBack(why)) => self.fell_back = Some(clean(&why)),
            Some(VzdumpLine::Mode(mode)) => {
                *phase = format!("{mode} mode");
                if let Some(why) = self.fell_back.as_mut().filter(|why| !why.contains(" mode: ")) {
                    *why = format!("in {} mode: {why}", clean(&mode));
                }
            }
            Some(VzdumpLine::Percent(p)) => (self.life.progress.bytes, self.life.progress.expect) = (Some(p.into()), Some(100)),
            Some(VzdumpLine::Error(_)) | None => {}
        }
    }

    /// Once a second: the task's name, until it is known, the bytes written so far, and what was heard meanwhile.
    async fn measure(&mut self, watch: &Watch, since: Stamp, meter: &mut Meter) -> Result<(), Bad> {
        let (kind, vmid) = match watch {
            Watch::Vzdump { vmid, .. } => ("vzdump", *vmid),
            Watch::Restore { vmid } => ("vzrestore", *vmid),
            Watch::Archive { .. } => {
                let read = self.life.progress.bytes.unwrap_or(0);
                self.life.progress.rate = meter.rate(self.host.clock().0, read);
                return if self.remembered.as_ref() == Some(&self.life) { Ok(()) } else { self.remember() };
            }
            Watch::Exit | Watch::Packages => return Ok(()),
        };
        // Before its process is known, another's task could be taken for its own.
        if let (None, Some(tick)) = (&self.life.upid, meter.tick) {
            // pct and vzdump name their restore task vzrestore or vzcreate, by version.
            self.life.upid = match truth::find(self.host, kind, vmid, since, tick).await {
                Ok(None) if kind == "vzrestore" => truth::find(self.host, "vzcreate", vmid, since, tick).await.ok().flatten(),
                found => found.ok().flatten(),
            };
        }
        if let (Watch::Vzdump { expect, .. }, Some(archive)) = (watch, self.life.archive.as_ref().filter(|a| a.starts_with('/'))) {
            let looks = partial_of(archive).into_iter().chain([archive.clone()]).map(Look::Stat).collect();
            let size = self.host.look(looks).await.into_iter().find_map(|f| match f {
                Ok(Found::Stat(s)) => Some(s.size),
                _ => None,
            });
            if let Some(size) = size {
                self.life.progress.rate = meter.rate(self.host.clock().0, size);
                (self.life.progress.bytes, self.life.progress.expect) = (Some(size), *expect);
            }
        }
        if self.remembered.as_ref() == Some(&self.life) { Ok(()) } else { self.remember() }
    }

    /// What the command's end means. A task is judged by its own last line, not by the exit status alone:
    /// several tools exit 0 although their task failed.
    async fn verdict(&mut self, cmd: &Cmd, watch: &Watch, status: i32, heard: Heard) -> Result<(), Bad> {
        let Heard { complaint, last } = heard;
        let said = || complaint.why().or(last).unwrap_or_else(|| format!("{} exited with status {status}", cmd.program));
        let exit = if status == 0 { Ok(()) } else { Err(Bad::Failed(said())) };
        let (Watch::Vzdump { .. } | Watch::Restore { .. }, Some(upid)) = (watch, self.life.upid.clone()) else { return exit };
        let boot = truth::boot_id(self.host).await.map_err(|e| Bad::Unknown(e.to_string()))?;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match truth::of_task(self.host, &upid, &boot).await {
                Truth::Running if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(200)).await,
                Truth::Running => return Err(Bad::Unknown(format!("{} ended, but task {upid} still runs", cmd.program))),
                Truth::Unknown(why) => return Err(Bad::Unknown(format!("how task {upid} ended is unknown: {why}"))),
                Truth::Ended(TaskEnd::Ok) => return exit,
                Truth::Ended(TaskEnd::Warnings(n)) => {
                    if self.out.warnings.is_empty() {
                        self.out.warnings.push(format!("{n} warning(s); see the log"));
                    }
                    return exit;
                }
                Truth::Ended(TaskEnd::Error(text)) if text == "job errors" => {
                    return Err(Bad::Failed(complaint.why().unwrap_or_else(|| format!("task {upid}: job errors"))));
                }
                Truth::Ended(TaskEnd::Error(text)) => return Err(Bad::Failed(complaint.of_task(&text))),
                Truth::Ended(TaskEnd::Vanished) => {
                    return Err(Bad::Failed(complaint.of_task(&format!("interrupted: task {upid} vanished without an end"))));
                }
            }
        }
    }

    /// Takes the steps that were done back, last first. An undo that fails is said and does not stop the others.
    async fn undo(&mut self, done: &[Step]) {
        for step in done.iter().rev() {
            let Some(undo) = &step.undo else { continue };
            // A file or an interface that is not as the step left it is gone already, or somebody else's by now.
            let plain = matches!(step.check, Check::Content { .. } | Check::LinkUp { .. } | Check::Says { .. } | Check::Job { .. });
            if plain && matches!(check::holds(self.host, &step.check, &self.life, None).await, Held::No(_)) {
                continue;
            }
            self.say(&format!("undo of '{}': {}", step.title, undo.shown()));
            let result = match undo {
                Undo::Run(cmd) => {
                    let out = self.host.run(cmd.clone().limit(120)).await;
                    out.and_then(|out| out.success().map(|_| ())).map_err(|e| e.to_string())
                }
                Undo::Put(change) => place::put(self.host, change).await,
                Undo::Turn(turn) => place::turn(self.host, turn).await,
            };
            match result {
                Ok(()) => self.say("undone"),
                Err(e) => {
                    self.say(&format!("not undone: {e}"));
                    self.out.left.push(format!("'{}' could not be taken back: {e}", step.title));
                }
            }
        }
    }

    async fn conclude(&mut self, plan: &Plan, ended: Result<(), Bad>) -> State {
        match ended {
            Ok(()) => self.success(plan).await,
            Err(bad) => {
                if !(self.undone && plan.purpose == Purpose::Appliance) {
                    self.out.left.extend(left_by(self.host, plan, &self.life).await);
                }
                let (state, what, hint) = match bad {
                    Bad::Failed(why) => (State::Failed, why, "see the job's log"),
                    Bad::Cancelled => (State::Cancelled, "ended on request".into(), ""),
                    Bad::Unknown(why) => (State::Unknown, why, "look at the host before you start it again"),
                };
                (self.out.what, self.out.hint) = (what, hint.into());
                state
            }
        }
    }

    async fn success(&mut self, plan: &Plan) -> State {
        match &plan.purpose {
            Purpose::Backup => {
                finish_backup(self.host, plan, &self.life, &mut self.out).await;
                self.out.what.extend(self.fell_back.iter().map(|how| format!(", {how}")));
            }
            Purpose::RestoreBeside => self.out.what = format!("{} is there and was checked", plan.guest),
            Purpose::Drill => {
                let begun = self.life.started.zip(self.out.answered);
                let took = begun.and_then(|(begun, answered)| u64::try_from(answered.secs() - begun.secs()).ok());
                let took = took.map_or("in an unknown time".to_owned(), crate::domain::stamp::span);
                self.out.what = format!("it came back in {took} and answered; {} is removed", plan.guest);
            }
            Purpose::Verify => {
                let (state, what, hint) = conclude(&self.out.verified);
                (self.out.what, self.out.hint) = (what, hint.into());
                return state;
            }
            Purpose::Pull | Purpose::PullOut => self.out.what = pull::done(plan),
            Purpose::Prune => self.out.what = format!("{} archive(s) removed", plan.steps.len()),
            Purpose::Swap | Purpose::RestoreInPlace => self.out.what = format!("{} has the place and answers", plan.guest),
            Purpose::Power
            | Purpose::Unlock
            | Purpose::Appliance
            | Purpose::Pin(_)
            | Purpose::Publish(_)
            | Purpose::Label
            | Purpose::Schedule
            | Purpose::Unprotect => self.out.what = plan.steps.last().map(|s| s.check.words()).unwrap_or_default(),
        }
        if self.out.warnings.is_empty() { State::Succeeded } else { State::Warned }
    }
}

/// Whether something of these steps stays although all that can be taken back was: with a guest that was made for them goes
/// whatever was done to it.
fn anything_stays(done: &[Step]) -> bool {
    let made = done.iter().position(|s| matches!(s.check, Check::Ours { .. }) && s.undo.is_some()).unwrap_or(done.len());
    done[..made].iter().any(|s| matches!(s.act, Act::Run { .. }) && s.undo.is_none())
}

/// Names the archive, its size and what is not in it.
pub(crate) async fn finish_backup(host: &dyn Host, plan: &Plan, life: &Life, out: &mut Outcome) {
    let Some(Check::Archived { storage, .. }) = plan.steps.first().map(|s| &s.check) else { return };
    if let Some(path) = &life.archive {
        let name = if path.starts_with('/') { path.rsplit('/').next().unwrap_or(path) } else { path };
        out.volid = Some(format!("{storage}:backup/{name}"));
        if path.starts_with('/')
            && let Some(Ok(Found::Stat(s))) = host.look(vec![Look::Stat(path.clone())]).await.into_iter().next()
        {
            out.size = Some(s.size);
        }
    }
    let size = out.size.map_or(String::new(), |n| format!(", {}", bytes(n)));
    out.what = format!("{}{size}", out.volid.as_deref().unwrap_or("done"));
}

/// Bytes per second over the last measurements.
#[derive(Default)]
struct Meter {
    /// When the command's process began, in clock ticks since boot.
    tick: Option<u64>,
    seen: std::collections::VecDeque<(Stamp, u64)>,
}

impl Meter {
    fn rate(&mut self, at: Stamp, size: u64) -> Option<u64> {
        self.seen.push_back((at, size));
        if self.seen.len() > 6 {
            self.seen.pop_front();
        }
        let (first, last) = (self.seen.front()?, self.seen.back()?);
        let ms = u64::try_from(last.0.0 - first.0.0).ok().filter(|ms| *ms >= 500)?;
        Some(last.1.saturating_sub(first.1).saturating_mul(1000) / ms)
    }
}
