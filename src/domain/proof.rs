//! Which archives were seen to come back: what each restore beside found out about its archive, and how long the way back took.
//!
//! Told by the jobs that restored; nobody keeps a word of "restorable" beside them. An archive that was restored and not started
//! was not seen to live, and one whose restore was ended on request, or by the end of its worker, told nothing.

use std::collections::BTreeMap;

use super::backup::{Archive, parse_name};
use super::guest::Vmid;
use super::inside::ledger::Ledger;
use super::job::{Job, JobId, State};
use super::plan::{Act, Check, Purpose};
use super::stamp::{self, Stamp};

/// What was asked of what came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Whether its init runs commands.
    Init,
    /// Whether its app answers, too.
    App,
}

/// What one restore found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Of which archive.
    pub volid: String,
    /// Which job.
    pub job: JobId,
    /// When it ended.
    pub at: Stamp,
    /// Seconds from its beginning to its last answer; none where its worker was gone before it told.
    pub took_s: Option<u64>,
    /// What was asked.
    pub asked: Asked,
    /// Whether it lives; else why not.
    pub lives: Result<(), String>,
}

impl Proof {
    /// What a job found out, where it did.
    pub fn of(job: &Job) -> Option<Proof> {
        let plan = job.order.plan();
        let first =
            plan.steps.first().filter(|_| matches!(plan.purpose, Purpose::RestoreBeside | Purpose::RestoreInPlace | Purpose::Drill))?;
        let Act::Run { cmd, .. } = &first.act else { return None };
        let volid = cmd.args.get(2).filter(|_| cmd.args.first().is_some_and(|verb| verb == "restore"))?.clone();
        let asks = |c: &Check| matches!(c, Check::Answers { .. } | Check::App { .. });
        let begin = plan.steps.iter().position(|s| asks(&s.check))?;
        let questions: Vec<&Check> = plan.steps.iter().skip(begin).map(|s| &s.check).take_while(|c| asks(c)).collect();
        let asked = if questions.iter().any(|c| matches!(c, Check::App { .. })) { Asked::App } else { Asked::Init };
        // What comes after its last answer, a removal or the taking of a place, says nothing about the archive.
        let answered_all = job.life.step >= begin + questions.len();
        let (begun, at) = (job.life.started?, job.life.ended?);
        let outcome = job.life.outcome.as_ref();
        let found_out = outcome.is_some_and(|o| o.found_out);
        let lives = match job.state {
            State::Succeeded | State::Warned => Ok(()),
            State::Failed | State::Cancelled | State::Unknown if answered_all => Ok(()),
            State::Failed if !found_out => Err(outcome.map(|o| super::clean::clean(&o.what)).unwrap_or_default()),
            _ => return None,
        };
        // What comes after its last answer is no part of the way back.
        let answered = outcome.and_then(|o| o.answered).or((!found_out).then_some(at));
        let took_s = answered.map(|at| u64::try_from(at.secs() - begun.secs()).unwrap_or(0));
        Some(Proof { volid, job: job.id, at, took_s, asked, lives })
    }

    /// `came back in 41 s, its app answered`, without when.
    pub fn words(&self) -> String {
        let took = self.took_s.map_or(String::new(), |s| format!(" in {}", stamp::span(s)));
        match (&self.lives, self.asked) {
            (Ok(()), Asked::App) => format!("came back{took}, its app answered"),
            (Ok(()), Asked::Init) => format!("came back{took}, its init answered"),
            (Err(why), _) => format!("did not come back: {why}"),
        }
    }
}

/// So many times to recover make a trend.
const TIMES: usize = 12;

/// What jobs found out: of each archive, by its volume, the newest; and of each guest how long it took each time it came back.
#[derive(Debug, Clone, Default)]
pub struct Proofs {
    newest: BTreeMap<String, Proof>,
    /// Seconds, oldest first. By the names of the archives, for those that are gone count too.
    times: BTreeMap<Vmid, Vec<u64>>,
    /// What came back once and was changed since is proven no more.
    ledger: Ledger,
}

impl Proofs {
    /// Of these jobs, in whatever order they stand.
    pub fn of(jobs: &[Job]) -> Proofs {
        let mut all: Vec<Proof> = jobs.iter().filter_map(Proof::of).collect();
        all.sort_by_key(|p| (p.at, p.job));
        let mut proofs = Proofs { ledger: Ledger::of(jobs), ..Proofs::default() };
        for proof in all {
            let of = parse_name(proof.volid.rsplit('/').next().unwrap_or_default());
            if let Some(((_, guest, _), took)) = of.zip(proof.took_s).filter(|_| proof.lives.is_ok()) {
                proofs.times.entry(guest).or_default().push(took);
            }
            proofs.newest.insert(proof.volid.clone(), proof);
        }
        proofs
    }

    /// Of one archive.
    pub fn archive(&self, volid: &str) -> Option<&Proof> {
        self.newest.get(volid)
    }

    /// Whether an archive was seen to come back when it was tried last, and nothing is known against it.
    pub fn came_back(&self, archive: &Archive) -> bool {
        self.archive(&archive.volid).is_some_and(|p| p.lives.is_ok()) && !self.ledger.is_spoilt(archive)
    }

    /// Whether an archive is known to be worth nothing: it did not come back when it was tried last, or it is spoilt.
    pub fn is_lost(&self, archive: &Archive) -> bool {
        self.archive(&archive.volid).is_some_and(|p| p.lives.is_err()) || self.ledger.is_spoilt(archive)
    }

    /// Seconds it took each of the last times that an archive of a guest came back, oldest first.
    pub fn times(&self, id: Vmid) -> &[u64] {
        let all = self.times.get(&id).map_or(&[][..], Vec::as_slice);
        all.get(all.len().saturating_sub(TIMES)..).unwrap_or_default()
    }

    /// The newest word on any archive of a guest among these.
    pub fn guest(&self, archives: &[Archive], id: Vmid) -> Option<&Proof> {
        let own = archives.iter().filter(|a| a.vmid == Some(id));
        own.filter_map(|a| self.archive(&a.volid)).max_by_key(|p| (p.at, p.job))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::super::inside::verify::{Report, Verdict, Verified};
    use super::super::job::{Life, Outcome};
    use super::super::plan::{Approved, Plan, Risk, Step};
    use super::super::pve;
    use super::*;

    pub fn job(id: i64, state: State, checks: &[Check], purpose: Purpose) -> Job {
        let vmid = 103.try_into().unwrap();
        let options = pve::RestoreOptions {
            storage: "local".parse().unwrap(),
            unprivileged: true,
            hostname: "web-103".into(),
            nets: vec![],
            notes: String::new(),
        };
        let mut steps = vec![Step::run("restore", pve::restore(vmid, "local:backup/x.tar.zst", &options), Check::Unlocked { vmid })];
        steps.extend(checks.iter().map(|check| Step::wait("wait", 9, check.clone())));
        let plan = Plan {
            purpose,
            title: "restore".into(),
            guest: vmid,
            host: "local".into(),
            facts: vec![],
            notes: vec![],
            risk: Risk::Low,
            steps,
        };
        let outcome = Outcome { what: "nothing listens on 80 in 103".into(), ..Outcome::default() };
        let life = Life {
            started: Some(Stamp(id * 100_000)),
            ended: Some(Stamp(id * 100_000 + 41_000)),
            outcome: Some(outcome),
            ..Life::default()
        };
        Job { id, state, created: Stamp(0), order: Approved::new(plan, "ada", None).unwrap(), life }
    }

    /// A drill of an archive.
    pub fn drill(id: i64, state: State, volid: &str) -> Job {
        let mut job = job(id, state, &[Check::Answers { vmid: 103.try_into().unwrap() }], Purpose::Drill);
        let mut plan = job.order.plan().clone();
        if let Act::Run { cmd, .. } = &mut plan.steps[0].act {
            cmd.args[2] = volid.into();
        }
        job.order = Approved::new(plan, "ada", None).unwrap();
        job
    }

    /// A job that read an archive to its end.
    pub fn read(id: i64, volid: &str, verdict: Verdict) -> Job {
        let mut job = job(id, State::Succeeded, &[], Purpose::Verify);
        let report = Report { verdict, ..Report::unknown("") };
        let verified = vec![Verified { volid: volid.into(), at: Stamp(id * 100_000), report }];
        job.life.outcome = Some(Outcome { verified, ..Outcome::default() });
        job
    }

    #[test]
    fn what_came_back_and_is_spoilt_since_is_proven_no_more() {
        let vmid = 103.try_into().unwrap();
        let archive = super::super::backup::tests::archive(101, "local:backup/x.tar.zst", Stamp(1), 7);
        let drill = job(1, State::Succeeded, &[Check::Answers { vmid }], Purpose::Drill);
        let told = |jobs: &[Job], archive: &Archive| (Proofs::of(jobs).came_back(archive), Proofs::of(jobs).is_lost(archive));
        assert_eq!(told(std::slice::from_ref(&drill), &archive), (true, false));
        assert_eq!(told(&[drill.clone(), read(2, &archive.volid, Verdict::Whole)], &archive), (true, false));
        assert_eq!(told(&[drill.clone(), read(2, &archive.volid, Verdict::Unknown("x".into()))], &archive), (true, false));
        assert_eq!(told(&[drill.clone(), read(2, &archive.volid, Verdict::Damaged("cut".into()))], &archive), (false, true));
        let server = Archive { server_says: Some(false), ..archive.clone() };
        assert_eq!(told(&[drill], &server), (false, true), "the backup server read it");
        assert_eq!(told(&[job(1, State::Failed, &[Check::Answers { vmid }], Purpose::Drill)], &archive), (false, true));
    }

    #[test]
    fn only_what_was_started_and_asked_is_proven() {
        let vmid = 103.try_into().unwrap();
        let (init, app) = (Check::Answers { vmid }, Check::App { vmid, port: 80, http: true });
        let both = [init.clone(), app];
        let told = |state, checks: &[Check]| Proof::of(&job(7, state, checks, Purpose::RestoreBeside)).map(|p| p.words());
        assert_eq!(told(State::Succeeded, &both).unwrap(), "came back in 41 s, its app answered");
        assert_eq!(told(State::Warned, std::slice::from_ref(&init)).unwrap(), "came back in 41 s, its init answered");
        assert_eq!(told(State::Failed, &both).unwrap(), "did not come back: nothing listens on 80 in 103");
        for (state, checks) in [(State::Succeeded, &[][..]), (State::Cancelled, &both), (State::Unknown, &both), (State::Running, &both)] {
            assert_eq!(told(state, checks), None, "{state:?}");
        }
        assert_eq!(Proof::of(&job(7, State::Succeeded, &both, Purpose::Backup)), None);
        // Of a drill the removal is no part of the way back.
        let mut drill = job(7, State::Succeeded, &both, Purpose::Drill);
        drill.life.outcome.as_mut().unwrap().answered = Some(Stamp(700_000 + 30_000));
        assert_eq!(Proof::of(&drill).unwrap().took_s, Some(30));
        // Of a worker that was killed nobody knows how long it took, nor what a restore that was cut off would have come to.
        let found_out = |state| {
            let mut job = job(7, state, &both, Purpose::Drill);
            job.life.outcome.as_mut().unwrap().found_out = true;
            Proof::of(&job).map(|p| p.words())
        };
        assert_eq!(found_out(State::Succeeded).unwrap(), "came back, its app answered");
        assert_eq!((found_out(State::Failed), found_out(State::Unknown)), (None, None));
        // The newest word counts, wherever it stands in the list.
        let jobs = [job(1, State::Succeeded, &both, Purpose::RestoreBeside), job(3, State::Failed, &both, Purpose::RestoreBeside)];
        let newest = |jobs: &[Job], volid: &str| Proofs::of(jobs).archive(volid).cloned();
        assert!(newest(&jobs, "local:backup/x.tar.zst").unwrap().lives.is_err());
        assert_eq!(newest(&jobs, "local:backup/y.tar.zst"), None);
    }
}
