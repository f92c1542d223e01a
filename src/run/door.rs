//! The console's door: who is in, how long it stays open, and what whoever is in may have carried out.

use std::sync::Arc;

use super::{Hands, demo, locked};
use crate::cli::{self, Need};
use crate::domain::access::{Object, Permission, Refused, Role, Who, of_log, of_plan, of_wish};
use crate::domain::audit::Deed;
use crate::domain::fact::{Fact, Gate, Login};
use crate::domain::inside;
use crate::domain::log_page::{FileAsk, FileNews};
use crate::domain::plan::Refusal;
use crate::domain::secret::{Secret, Shown};
use crate::domain::session::{Moment, Over, PROOF_MS, Session};
use crate::domain::stamp::Stamp;
use crate::domain::trial::{Mark, Progress, Report, Step, Taken, Trouble};
use crate::domain::world::{News, Part};
use crate::host::local;
use crate::jobs::Jobs;
use crate::problem::{Kind, Problem};
use crate::store::{Passed, PasswordOk, Unlocked, Vault, VaultError, host_key_path};
use crate::tui::effect::Effect;

/// Where whoever sits at the console stands.
#[derive(Default)]
pub(super) enum Door {
    /// Nobody is in. So it is until the store was asked.
    #[default]
    Closed,
    /// There is no store to lock; what can be seen without one may be seen.
    None(Who),
    /// The passphrase was right, and a code is awaited.
    Half(PasswordOk, Moment),
    /// Somebody is in.
    Open(Inside),
}

impl Door {
    /// Who is in, or looks on where there is nothing to unlock.
    pub(super) fn who(&self) -> Option<&Who> {
        match self {
            Door::Open(Inside { who, .. }) | Door::None(who) => Some(who),
            Door::Closed | Door::Half(..) => None,
        }
    }

    /// Whether somebody is in.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Door::Open(_))
    }
}

/// Somebody who is in.
pub(super) struct Inside {
    who: Who,
    vault: Arc<Vault>,
    /// `None` in the demo, which has nothing to protect.
    pub(super) session: Option<Session>,
}

/// What an effect takes; `None` for what concerns the screen or the door itself. A new effect does not compile without
/// its line here.
pub(super) fn need(effect: &Effect) -> Option<Need> {
    let permission = |(permission, object)| Some(Need::Permission(permission, object));
    match effect {
        Effect::Refresh => permission((Permission::Look, Object::Host)),
        // The guest of a job is looked at when its log is opened.
        Effect::Follow { source, on: true } => permission(of_log(source, None)),
        // What is open was allowed.
        Effect::File { source, ask: FileAsk::Open | FileAsk::Names } => permission(of_log(source, None)),
        Effect::File { .. } | Effect::Inside { on: false, .. } => None,
        // As much as reading in the guest.
        Effect::Inside { archive, on: true } => permission((Permission::ReadFile, archive.vmid.map_or(Object::Host, Object::Guest))),
        Effect::Marks(_) | Effect::Export { .. } => permission((Permission::ReadLogs, Object::Host)),
        Effect::Plan(wish) => permission(of_wish(wish)),
        Effect::Start(order) => permission(of_plan(order.plan())),
        Effect::Cancel(id) => Some(Need::Job(Permission::CancelJob, *id)),
        // Others wait longer by it.
        Effect::PutJob(..) => permission((Permission::CancelJob, Object::Host)),
        Effect::Probe | Effect::LookPorts | Effect::LookCertificates | Effect::AskPort(_) => {
            permission((Permission::LookAppliance, Object::Host))
        }
        Effect::LookLocks(_) => permission((Permission::ReadLogs, Object::Host)),
        Effect::KeepPorts(_) => permission((Permission::Ports, Object::Host)),
        Effect::Save(_) | Effect::Try { .. } | Effect::Keep { .. } | Effect::CredentialBack(_) => {
            permission((Permission::ChangeSettings, Object::Host))
        }
        Effect::History(_) => permission((Permission::ReadSettings, Object::Host)),
        Effect::Audit { .. } => permission((Permission::ReadAudit, Object::Host)),
        Effect::BeginSecond | Effect::ConfirmSecond(_) | Effect::Prove(_) | Effect::SecondPerson { .. } | Effect::SecondCode(_) => {
            permission((Permission::OwnLogin, Object::Host))
        }
        Effect::Follow { on: false, .. }
        | Effect::Unlock { .. }
        | Effect::Code(_)
        | Effect::Answer(_)
        | Effect::EndTry
        | Effect::Withdraw
        | Effect::Lock
        | Effect::Copy(_)
        | Effect::Repaint
        | Effect::Quit => None,
    }
}

/// That an effect was refused, as the news that whoever wants it waits for.
pub(super) fn refused(effect: Effect, refused: Refused, now: Stamp) -> Fact {
    const WHAT: &str = "not allowed";
    let Refused { why, hint } = refused;
    match effect {
        Effect::Probe => Fact::News(Box::new(News { appliance: Some(Part::unknown(why, now)), ..News::default() })),
        Effect::LookPorts => Fact::News(Box::new(News { truth: Some(Part::unknown(why, now)), ..News::default() })),
        Effect::LookCertificates => Fact::News(Box::new(News { certificates: Some(Part::unknown(why, now)), ..News::default() })),
        Effect::LookLocks(_) => Fact::News(Box::new(News { locks: Some(Part::unknown(why, now)), ..News::default() })),
        Effect::Plan(_) => Fact::Planned(Err(Refusal::new(WHAT, why, hint))),
        Effect::Save(_) | Effect::CredentialBack(_) => Fact::Saved(Err(Refusal::new(WHAT, why, hint))),
        Effect::Keep { nth, .. } => Fact::Trial { nth, news: Progress::NotKept(why) },
        Effect::File { source, .. } => Fact::File { source, news: FileNews::Failed(why) },
        Effect::Inside { archive, .. } => Fact::Inside { volid: archive.volid, news: inside::News::Failed { why, hint } },
        Effect::Audit { words, below } => Fact::Audit { words, below, page: Err(why) },
        Effect::Try { nth, .. } => {
            let taken = Taken { step: Step::Address, mark: Mark::Bad, found: vec![why], hint };
            let report = Report { steps: vec![taken], trouble: Some(Trouble::NotAllowed), ..Report::default() };
            Fact::Trial { nth, news: Progress::Ended(Box::new(report)) }
        }
        _ => Fact::Problem { what: format!("{WHAT}: {why}"), hint },
    }
}

/// Now, or a moment of no boot, which ends every session: a clock that cannot be read keeps nothing open.
pub(super) fn now() -> Moment {
    local::moment().unwrap_or(Moment { boot: String::new(), ms: 0 })
}

impl Hands {
    /// The gate of a store that was opened; the door is closed by it, but for the demo.
    pub(super) fn gate(&self, jobs: &Jobs) -> Gate {
        if self.ctx.host.is_demo() {
            let store = jobs.store();
            return match Vault::of_demo(&store) {
                Ok(vault) => {
                    if let Err(e) = demo::remember(&store, &vault, self.ctx.host.clock().0) {
                        tracing::warn!(%e, "the demo begins without ports");
                    }
                    *locked(&self.door) = Door::Open(Inside { who: Who::owner("demo"), vault: Arc::new(vault), session: None });
                    Gate::Open("demo".into())
                }
                Err(e) => Gate::Broken { what: e.to_string(), hint: "see proximity doctor".into() },
            };
        }
        *locked(&self.door) = Door::Closed;
        let store = jobs.store();
        match Vault::check_slots(&store).map_err(Problem::from).and_then(|()| Ok(store.operators()?)) {
            Ok(names) => Gate::Locked(cli::may_unlock(&self.ctx, names)),
            Err(problem) if problem.kind == Kind::Configuration => self.without_store(Gate::NoStore(problem.hint)),
            Err(problem) => self.without_store(Gate::Broken { what: format!("{}: {}", problem.what, problem.why), hint: problem.hint }),
        }
    }

    /// Looking is allowed where there is nothing to unlock, but not in restricted mode, where nobody is known then.
    pub(super) fn without_store(&self, gate: Gate) -> Gate {
        if !self.ctx.restricted {
            *locked(&self.door) = Door::None(Who::owner(cli::account()));
        }
        gate
    }

    /// Who is in, as it was known last.
    fn who_was(&self) -> Option<Who> {
        locked(&self.door).who().cloned()
    }

    /// Who is in, by the store as it is now: a role that was taken away is gone at once.
    pub(super) fn who(&self) -> Option<Who> {
        let was = self.who_was()?;
        let Some((vault, _)) = self.vault().filter(|_| !self.ctx.host.is_demo()) else { return Some(was) };
        let jobs = locked(&self.jobs).clone()?;
        let who = vault.who(&jobs.store(), &was.name).ok()?;
        if let Door::Open(inside) = &mut *locked(&self.door) {
            inside.who = who.clone();
        }
        Some(who)
    }

    /// The open vault, and who opened it.
    pub(super) fn vault(&self) -> Option<(Arc<Vault>, String)> {
        match &*locked(&self.door) {
            Door::Open(Inside { vault, who, .. }) => Some((Arc::clone(vault), who.name.clone())),
            _ => None,
        }
    }

    /// Whether the operator may have this, by the store as it is now. Whoever was deactivated is shown the door.
    pub(super) fn allowed(&self, need: &Need) -> Result<Who, Refused> {
        let who = self.who();
        // He was deactivated or removed, or another console changed the vault key: he comes in anew or not at all.
        let gone = who.as_ref().map_or_else(|| self.who_was().is_some(), |w| !w.active);
        if gone {
            self.lock_now(None);
        }
        let (permission, object) = match need {
            Need::Permission(permission, object) => (*permission, *object),
            Need::Job(permission, id) => {
                let job = locked(&self.jobs).clone().and_then(|jobs| jobs.store().job(*id).ok().flatten());
                (*permission, job.map_or(Object::Host, |j| Object::Guest(j.order.plan().guest)))
            }
            Need::Login | Need::Unrestricted => (Permission::OwnLogin, Object::Host),
        };
        cli::authorize_here(&self.ctx, who.as_ref(), permission, object)?;
        who.ok_or_else(|| Refused { why: "nobody is logged in".into(), hint: "unlock first".into() })
    }

    /// The same by what was known last, for what only looks and must not wait. While nobody is in, the host may be asked:
    /// nothing of it is shown.
    pub(super) fn allowed_now(&self, need: &Need) -> Result<(), Refused> {
        match (self.who_was(), need) {
            (None, Need::Permission(Permission::Look, _)) => Ok(()),
            (who, Need::Permission(permission, object)) => cli::authorize_here(&self.ctx, who.as_ref(), *permission, *object),
            _ => Ok(()),
        }
    }

    /// Tells news, as much of them as whoever is in may look at.
    pub(super) async fn tell_news(&self, mut news: News) {
        let Ok(place) = self.facts.reserve().await else { return };
        // Told under the lock: what was learnt while nobody was in must not come after somebody let in.
        let door = locked(&self.door);
        if let Some(who) = door.who() {
            news.only(who);
        }
        place.send(Fact::News(Box::new(news)));
    }

    /// Whether the session is over; then it is locked. `key`: somebody pressed one.
    pub(super) fn is_over(self: &Arc<Self>, key: bool) -> bool {
        let now = now();
        // A setting that cannot be used is no reason to stay open.
        let idle_s = self.told(|s| s.span("system.idle_lock")).unwrap_or(900);
        let idle_ms = (idle_s > 0).then(|| idle_s.saturating_mul(1000));
        let over = match &mut *locked(&self.door) {
            Door::Open(Inside { session: Some(session), .. }) => session.look(&now, key, idle_ms),
            Door::Half(_, since) if now.since(since) > PROOF_MS || now.boot != since.boot => Some(Over::Idle),
            _ => None,
        };
        if over.is_some() {
            self.lock(over);
        }
        over.is_some()
    }

    /// Closes the door at once, and then shows so.
    pub(super) fn lock(self: &Arc<Self>, why: Option<Over>) {
        let was = std::mem::take(&mut *locked(&self.door));
        // Where there is nothing to unlock there is nothing to lock; the demo has no passphrase.
        if matches!(was, Door::None(_) | Door::Open(Inside { session: None, .. })) {
            *locked(&self.door) = was;
            return;
        }
        locked(&self.waiting).take();
        self.end_try();
        self.written.notify_one();
        let me = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            me.write_down(was.who(), "vault.lock", "lock the console");
            me.lock_now(why);
        });
    }

    fn lock_now(&self, why: Option<Over>) {
        let jobs = locked(&self.jobs).clone();
        if let Some(jobs) = jobs {
            let gate = self.gate(&jobs);
            self.tell_now(Fact::Gate(gate));
            if let Some(why) = why {
                self.tell_now(Fact::UnlockFailed(why.words().into()));
            }
        }
    }

    /// One step of a login, on the store.
    pub(super) fn step<T>(&self, f: impl FnOnce(&crate::store::Login<'_>) -> T) -> Option<T> {
        let jobs = locked(&self.jobs).clone()?;
        let store = jobs.store();
        let key = host_key_path(&self.ctx.config.state);
        match cli::login_step(&store, &key) {
            Ok(step) => Some(f(&step)),
            Err(problem) => {
                // Whoever is in waits at a dialog.
                let open = locked(&self.door).is_open();
                self.tell_now(if open { Fact::Login(Login::Wrong(problem.why)) } else { Fact::UnlockFailed(problem.why) });
                None
            }
        }
    }

    /// Tries a passphrase, and writes down that it was tried.
    pub(super) fn try_passphrase(&self, operator: &str, passphrase: &Secret) -> Option<Result<Passed, VaultError>> {
        self.step(|step| {
            let passed = step.passphrase(operator, passphrase);
            // Whoever must still give a code is not in yet.
            match &passed {
                Ok(Passed::Unlocked(unlocked)) => cli::note_login(&self.ctx, step.store, &Ok(&unlocked.who)),
                Ok(Passed::Half(_)) => {}
                Err(e) => cli::note_login(&self.ctx, step.store, &Err((operator, e))),
            }
            passed
        })
    }

    /// Tries a code, and writes down that it was tried.
    pub(super) fn try_code(&self, half: PasswordOk, code: &Secret) -> Option<Result<Unlocked, Box<(PasswordOk, VaultError)>>> {
        self.step(|step| {
            let tried = half.code(step, code);
            match &tried {
                Ok(unlocked) => cli::note_login(&self.ctx, step.store, &Ok(&unlocked.who)),
                Err(failed) => cli::note_login(&self.ctx, step.store, &Err((failed.0.name(), &failed.1))),
            }
            tried
        })
    }

    pub(super) fn unlock(&self, operator: &str, passphrase: &Secret) {
        // The list on the screen is no proof of who may be chosen.
        let may = cli::may_unlock(&self.ctx, vec![operator.to_owned()]);
        if may.is_empty() {
            return self.tell_now(Fact::UnlockFailed("somebody else".into()));
        }
        match self.try_passphrase(operator, passphrase) {
            Some(Ok(Passed::Unlocked(unlocked))) => self.let_in(unlocked),
            Some(Ok(Passed::Half(half))) => {
                *locked(&self.door) = Door::Half(half, now());
                self.tell_now(Fact::Login(Login::CodeWanted));
            }
            Some(Err(e)) => self.tell_now(Fact::UnlockFailed(Problem::from(e).why)),
            None => {}
        }
    }

    pub(super) fn code(&self, code: &Secret) {
        let Door::Half(half, since) = std::mem::take(&mut *locked(&self.door)) else { return };
        match self.try_code(half, code) {
            Some(Ok(unlocked)) => self.let_in(unlocked),
            Some(Err(failed)) => {
                let (half, e) = *failed;
                *locked(&self.door) = Door::Half(half, since);
                self.tell_now(Fact::Login(Login::Wrong(Problem::from(e).why)));
            }
            None => self.lock_now(None),
        }
    }

    fn let_in(&self, unlocked: Unlocked) {
        let Unlocked { vault, who } = unlocked;
        let jobs = locked(&self.jobs).clone();
        if let Some(Err(problem)) = jobs.map(|jobs| cli::after_login(&self.ctx, &jobs.store(), &vault)) {
            self.problem(problem);
        }
        let name = who.name.clone();
        let limited = who.role == Role::ServiceOwner;
        *locked(&self.door) = Door::Open(Inside { who, vault: Arc::new(vault), session: Some(Session::begin(&now())) });
        if limited {
            // What was learnt while nobody was in holds more than he may see.
            self.tell_now(Fact::News(Box::new(News::forget())));
        }
        self.tell_now(Fact::Gate(Gate::Open(name)));
        // Whoever was in before may have seen less, or more.
        self.tell_jobs.store(true, std::sync::atomic::Ordering::Relaxed);
        self.written.notify_one();
        self.refresh.notify_one();
    }

    pub(super) fn begin_second(&self) {
        self.second(|step, vault, who| {
            let shown = vault.begin_second(step.store, &who.name)?;
            let picture = Shown::new(cli::picture(&shown.uri).unwrap_or_default());
            Ok(Login::Second(picture, cli::shown([&shown.text])))
        });
    }

    pub(super) fn confirm_second(&self, code: &Secret) {
        self.second(|step, vault, who| {
            let deed = Deed::by(who, "operator.totp", format!("operator {}", who.name), cli::SECOND_ON);
            let confirm = || vault.confirm_second(step.store, &who.name, code, step.unix_s, step.unix_s * 1000);
            Ok(Login::Codes(cli::shown(&cli::recorded(&self.ctx, step.store, deed, confirm)?)))
        });
    }

    fn second(&self, f: impl FnOnce(&crate::store::Login<'_>, &Vault, &Who) -> Result<Login, Problem>) {
        let Some(((vault, _), who)) = self.vault().filter(|_| !self.ctx.host.is_demo()).zip(self.who()) else {
            let hint = "set it up with: proximity init";
            return self.problem(Problem::new(Kind::Refused, "the second factor", "there is no vault here", hint));
        };
        match self.step(|step| f(step, &vault, &who)) {
            Some(Ok(news)) => self.tell_now(Fact::Login(news)),
            // A code that was wrong, or used already.
            Some(Err(e)) if e.kind == Kind::Locked => self.tell_now(Fact::Login(Login::Wrong(e.why))),
            Some(Err(e)) => self.problem(e),
            None => {}
        }
    }
}
