//! The hands of the console: what carries effects out, and the standing tasks that tell facts. Who may have what carried out, and
//! how long the door stays open, is in `door.rs`; what an order waits for before it is, in `order.rs`.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::appliance::Asked;
use super::door::{self, Door};
use super::logs;
use super::order::Waiting;
use super::settings::Trial;
use crate::cli::{self, Ctx};
use crate::domain::access::{Permission, Who};
use crate::domain::audit::{Deed, Ending, Wanted};
use crate::domain::fact::{Fact, Gate, LogLine, LogSource, LogState};
use crate::domain::filter::Filter;
use crate::domain::guest::Vmid;
use crate::domain::job::{Job, JobId};
use crate::domain::log_page::FileAsk;
use crate::domain::plan::{Approved, Refusal};
use crate::domain::queue::Move;
use crate::domain::world::{News, Part, World};
use crate::host::Progress;
use crate::jobs::Jobs;
use crate::ops::{follow, locks, log_health, planner, refresh};
use crate::problem::{Kind, Problem};
use crate::store::{StoreError, StoreMode};
use crate::tui::effect::Effect;

/// How often it is asked whether a worker is gone.
const RECONCILE: Duration = Duration::from_secs(10);
/// How often it is asked for new rows where writes to the store cannot be waited for.
const ASK: Duration = Duration::from_secs(1);
/// From a write to the store until it is read.
const SETTLE: Duration = Duration::from_millis(50);
/// How often it is looked how logs grow.
const LOGS: Duration = Duration::from_secs(60);
/// Records of the audit that the screen is given at once.
const AUDIT_ROWS: usize = 200;

/// What carries effects out.
pub(super) struct Hands {
    pub(super) ctx: Ctx,
    pub(super) facts: mpsc::Sender<Fact>,
    pub(super) follows: Mutex<HashMap<LogSource, CancellationToken>>,
    /// Files that are read for the screen.
    pub(super) files: Mutex<HashMap<LogSource, logs::OpenFile>>,
    /// Archives whose files are listed now, by their volumes.
    pub(super) inside: Mutex<HashMap<String, Arc<Progress>>>,
    pub(super) refresh: Notify,
    /// Somebody wrote to the store.
    pub(super) written: Arc<Notify>,
    /// What is known for saving settings and for what they decide; the screen has its own.
    pub(super) world: Mutex<World>,
    /// The jobs, once the store is open.
    pub(super) jobs: Mutex<Option<Arc<Jobs>>>,
    pub(super) door: Mutex<Door>,
    /// Held while the appliance is asked.
    pub(super) probing: tokio::sync::Mutex<()>,
    /// Held while it is looked how ports are.
    pub(super) looking: tokio::sync::Mutex<()>,
    pub(super) asked: Mutex<Asked>,
    /// The rows of jobs are told again although nobody wrote: somebody else looks at them.
    pub(super) tell_jobs: AtomicBool,
    /// An order that waits for a proof or a second person.
    pub(super) waiting: Mutex<Option<Waiting>>,
    /// The credential that is being tried.
    pub(super) trial: Mutex<Option<Trial>>,
    /// Orders to start, in the order in which they were given.
    starts: Mutex<VecDeque<Approved>>,
    /// Held while one is started.
    starting: Mutex<()>,
    pub(super) stop: CancellationToken,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hands {
    pub(super) fn new(ctx: Ctx, facts: mpsc::Sender<Fact>) -> Self {
        Hands {
            ctx,
            facts,
            follows: Mutex::default(),
            files: Mutex::default(),
            inside: Mutex::default(),
            refresh: Notify::new(),
            written: Arc::default(),
            world: Mutex::default(),
            jobs: Mutex::default(),
            door: Mutex::default(),
            probing: tokio::sync::Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            asked: Mutex::default(),
            tell_jobs: AtomicBool::new(false),
            waiting: Mutex::default(),
            trial: Mutex::default(),
            starts: Mutex::default(),
            starting: Mutex::default(),
            stop: CancellationToken::new(),
        }
    }

    pub(super) fn clock(&self) -> Fact {
        let (now, offset_s) = self.ctx.host.clock();
        Fact::Clock { now, offset_s }
    }

    /// The standing tasks: the store, the refresh, the jobs.
    pub(super) fn begin(self: &Arc<Self>) {
        let me = Arc::clone(self);
        tokio::task::spawn_blocking(move || me.open_store());
        let me = Arc::clone(self);
        tokio::spawn(async move { me.refreshing().await });
        let me = Arc::clone(self);
        tokio::spawn(async move { me.watching_jobs().await });
    }

    pub(super) fn end(&self) {
        self.stop.cancel();
        let was = std::mem::take(&mut *locked(&self.door));
        self.write_down(was.who(), "console.exit", "leave the console");
    }

    /// One line in the audit about whoever had the vault open. Locking and leaving are not refused for want of it.
    pub(super) fn write_down(&self, who: Option<&Who>, action: &str, title: &str) {
        let (Some(jobs), Some(who)) = (locked(&self.jobs).clone(), who) else { return };
        let deed = Deed::by(who, action, "console", title);
        if let Err(e) = self.ctx.audit().event(Some(&jobs.store()), self.ctx.host.clock().0, deed, Ending::Ok) {
            tracing::warn!(%e, action, "this could not be written down");
        }
    }

    /// Answers what the screen asks about the audit.
    fn read_audit(&self, words: String, below: Option<u64>) {
        let page = match (locked(&self.jobs).clone(), Filter::parse(&words)) {
            (None, _) => Err("there is no store yet".to_owned()),
            (_, Err(e)) => Err(e),
            (Some(jobs), Ok(filter)) => {
                let wanted = Wanted { words: filter, ..Wanted::default() };
                let page = jobs.store().audit_page(&wanted, below, AUDIT_ROWS);
                page.map_err(|e| Problem::from(e).why)
            }
        };
        self.tell_now(Fact::Audit { words, below, page: page.map(Box::new) });
    }

    pub(super) async fn tell(&self, fact: Fact) {
        let _ = self.facts.send(fact).await;
    }

    pub(super) fn tell_now(&self, fact: Fact) {
        let _ = self.facts.blocking_send(fact);
    }

    fn open_store(&self) {
        let gate = match self.ctx.open_jobs() {
            Ok(jobs) => {
                let gate = self.gate(&jobs);
                *locked(&self.jobs) = Some(jobs);
                self.written.notify_one();
                gate
            }
            Err(problem) if problem.hint == Problem::from(StoreError::Missing { path: self.ctx.config.state.clone() }).hint => {
                self.without_store(Gate::NoStore(problem.hint))
            }
            Err(problem) => self.without_store(Gate::Broken { what: format!("{}: {}", problem.what, problem.why), hint: problem.hint }),
        };
        self.tell_now(Fact::Gate(gate));
    }

    /// Asks everything, then waits for the next time or for somebody who asks. Logs are looked at less often.
    async fn refreshing(self: &Arc<Self>) {
        let mut looked: Option<Instant> = None;
        while !self.stop.is_cancelled() {
            // A file, the environment or a flag goes before the setting.
            let set = if self.ctx.config.is_default("refresh_s") { self.told(|s| s.span("system.refresh")) } else { None };
            let every = Duration::from_secs(set.unwrap_or(self.ctx.config.refresh_s));
            self.tell(Fact::Refreshing(true)).await;
            let news = refresh::refresh(self.ctx.host.as_ref()).await;
            locked(&self.world).learn(news.clone());
            self.tell_news(news).await;
            if looked.is_none_or(|at| at.elapsed() >= LOGS) {
                looked = Some(Instant::now());
                let world = locked(&self.world).clone();
                let logs = log_health::look(self.ctx.host.as_ref(), &world).await;
                let news = News { logs: Some(logs), ..News::default() };
                locked(&self.world).learn(news.clone());
                self.tell_news(news).await;
                self.look_locks(&world, None).await;
            }
            self.tell(Fact::Refreshing(false)).await;
            self.probe_if_due();
            self.look_ports_if_due();
            self.look_certificates_if_due();
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = self.refresh.notified() => looked = None,
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// The World as it is now: what decides about locks and room, or about whom to ask, is not taken from the screen.
    pub(super) async fn fresh(&self) -> World {
        let news = refresh::refresh(self.ctx.host.as_ref()).await;
        let mut world = World { place: self.ctx.place(), ..World::default() };
        {
            let held = locked(&self.world);
            (world.settings, world.pins, world.ports) = (held.settings.clone(), held.pins.clone(), held.ports.clone());
        }
        if let Some(jobs) = locked(&self.jobs).clone() {
            world.jobs = jobs.part(self.ctx.host.clock().0);
        }
        world.learn(news.clone());
        self.tell_news(news).await;
        world
    }

    /// Looks who holds locks and what killed jobs left.
    async fn look_locks(&self, world: &World, also: Option<Vmid>) {
        let mut world = world.clone();
        if let Some(jobs) = locked(&self.jobs).clone() {
            world.jobs = jobs.part(self.ctx.host.clock().0);
        }
        let locks = locks::look(self.ctx.host.as_ref(), &world, also, false).await;
        self.learn_and_tell(News { locks: Some(locks), ..News::default() }).await;
    }

    /// Takes news of what is remembered in, and tells them.
    async fn learn_and_tell(&self, news: News) {
        locked(&self.world).learn(news.clone());
        self.tell_news(news).await;
    }

    /// Looks after the jobs: reads the rows whenever somebody wrote, and asks from time to time whether a worker is gone.
    async fn watching_jobs(&self) {
        let (mut last, mut seen, mut settings, mut pins, mut ports) = (None, None, None, None, None);
        let mut every = RECONCILE;
        let mut reconciled: Option<Instant> = None;
        let mut watched = false;
        while !self.stop.is_cancelled() {
            let jobs = locked(&self.jobs).clone();
            if let Some(jobs) = jobs {
                if !std::mem::replace(&mut watched, true) && !self.watch_store(&jobs) {
                    every = ASK;
                }
                let writable = *jobs.store().mode() == StoreMode::ReadWrite && !self.ctx.read_only;
                if writable && reconciled.is_none_or(|at| at.elapsed() >= RECONCILE) {
                    reconciled = Some(Instant::now());
                    if let Err(e) = jobs.reconcile(self.ctx.host.as_ref()).await {
                        tracing::warn!(%e, "jobs could not be looked after");
                    }
                }
                // Rows are checked anew when they change, and when the vault is opened or closed.
                let version = jobs.store().version().ok().map(|v| (v, locked(&self.door).is_open()));
                // Every row is read only when one was written; with a hundred old jobs that is most of an idle console's work.
                let again = self.tell_jobs.swap(false, Ordering::Relaxed);
                let unchanged = !again && version.is_some() && std::mem::replace(&mut seen, version) == version;
                if !unchanged {
                    if let Some(part) = changed(&mut pins, self.pins(&jobs)) {
                        self.learn_and_tell(News { pins: Some(part), ..News::default() }).await;
                    }
                    if let Some(part) = changed(&mut ports, self.ports(&jobs)) {
                        self.learn_and_tell(News { ports: Some(part), ..News::default() }).await;
                    }
                    let read_before = settings.is_some();
                    if let Some(part) = changed(&mut settings, self.settings(&jobs)) {
                        // How often the host is looked at may have changed.
                        if read_before {
                            self.refresh.notify_one();
                        }
                        self.learn_and_tell(News { settings: Some(part), ..News::default() }).await;
                    }
                }
                let part = if unchanged { None } else { Some(jobs.part(self.ctx.host.clock().0)) };
                if let Some(part) = part
                    && (again || last.as_ref() != Some(&(part.known.clone(), part.gaps.clone())))
                {
                    let rows = |known: &Result<Vec<Job>, String>| known.clone().unwrap_or_default();
                    if let Some((before, _)) = &last {
                        self.jobs_changed(&rows(before), &rows(&part.known));
                    }
                    last = Some((part.known.clone(), part.gaps.clone()));
                    self.tell_news(News { jobs: Some(part), ..News::default() }).await;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                // A transaction is several writes, and many follow each other while a job runs.
                () = self.written.notified() => tokio::time::sleep(SETTLE).await,
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// `false` where writes to the store cannot be waited for: it is in memory, or the kernel has no more watches.
    fn watch_store(&self, jobs: &Jobs) -> bool {
        let written = Arc::clone(&self.written);
        let store = jobs.store();
        store.path().is_some_and(|path| crate::store::watch(path, move || written.notify_one()).is_ok())
    }

    /// Carries an effect out if the operator may have it.
    pub(super) fn carry(self: &Arc<Self>, effect: Effect) {
        match door::need(&effect) {
            Some(need) if matches!(effect, Effect::Refresh | Effect::Follow { .. }) => match self.allowed_now(&need) {
                Ok(()) => self.go(effect),
                Err(refused) => {
                    let me = Arc::clone(self);
                    tokio::spawn(async move { me.tell(door::refused(effect, refused, me.ctx.host.clock().0)).await });
                }
            },
            Some(need) => {
                let me = Arc::clone(self);
                // What is asked of a file meanwhile waits for it.
                if let Effect::File { source, ask: FileAsk::Open } = &effect {
                    locked(&self.files).insert(source.clone(), logs::OpenFile::default());
                }
                // The role is read from the store each time, and the store may be busy.
                tokio::task::spawn_blocking(move || match me.allowed(&need) {
                    Ok(_) => me.go(effect),
                    Err(refused) => me.tell_now(door::refused(effect, refused, me.ctx.host.clock().0)),
                });
            }
            None => self.go(effect),
        }
    }

    fn go(self: &Arc<Self>, effect: Effect) {
        let me = Arc::clone(self);
        match effect {
            Effect::Refresh => self.refresh.notify_one(),
            Effect::Follow { source, on: true } => self.follow(source),
            Effect::Follow { source, on: false } => {
                if let Some(token) = locked(&self.follows).remove(&source) {
                    token.cancel();
                }
            }
            Effect::File { source, ask } => self.file(source, ask),
            Effect::Inside { archive, on } => self.look_inside(archive, on),
            Effect::Marks(marks) => drop(tokio::task::spawn_blocking(move || me.marks(marks))),
            Effect::Export { path, text, lines } => drop(tokio::task::spawn_blocking(move || me.export(&path, &text, lines))),
            Effect::Unlock { operator, passphrase } => drop(tokio::task::spawn_blocking(move || me.unlock(&operator, &passphrase))),
            Effect::Code(code) => drop(tokio::task::spawn_blocking(move || me.code(&code))),
            Effect::Prove(typed) => drop(tokio::task::spawn_blocking(move || me.prove(&typed))),
            Effect::SecondPerson { operator, passphrase } => {
                drop(tokio::task::spawn_blocking(move || me.second_person(&operator, &passphrase)));
            }
            Effect::SecondCode(code) => drop(tokio::task::spawn_blocking(move || me.second_code(&code))),
            Effect::Withdraw => self.withdraw(),
            Effect::BeginSecond => drop(tokio::task::spawn_blocking(move || me.begin_second())),
            Effect::ConfirmSecond(code) => drop(tokio::task::spawn_blocking(move || me.confirm_second(&code))),
            Effect::Lock => self.lock(None),
            Effect::Plan(wish) => drop(tokio::spawn(async move {
                let world = me.fresh().await;
                let planned = planner::plan(me.ctx.host.as_ref(), &world, &wish).await;
                me.tell(Fact::Planned(planned.map(Box::new))).await;
            })),
            Effect::Start(order) => {
                locked(&self.starts).push_back(order);
                drop(tokio::task::spawn_blocking(move || me.start_next()));
            }
            Effect::Audit { words, below } => drop(tokio::task::spawn_blocking(move || me.read_audit(words, below))),
            Effect::Probe => drop(tokio::spawn(async move { me.probe().await })),
            Effect::LookPorts => drop(tokio::spawn(async move { me.look_ports().await })),
            Effect::LookCertificates => drop(tokio::spawn(async move { me.look_certificates().await })),
            Effect::LookLocks(guest) => drop(tokio::spawn(async move {
                let world = me.fresh().await;
                me.look_locks(&world, guest).await;
            })),
            Effect::KeepPorts(wish) => drop(tokio::spawn(async move { me.keep_ports(wish).await })),
            Effect::AskPort(port) => drop(tokio::spawn(async move { me.ask_port(port).await })),
            Effect::Cancel(id) => drop(tokio::task::spawn_blocking(move || me.cancel(id))),
            Effect::PutJob(id, to) => drop(tokio::task::spawn_blocking(move || me.put_job(id, to))),
            Effect::Save(save) => drop(tokio::task::spawn_blocking(move || me.save(&save))),
            Effect::History(key) => drop(tokio::task::spawn_blocking(move || me.history(key))),
            Effect::Try { nth, candidate } => self.try_credential(nth, candidate),
            Effect::Keep { nth, site } => drop(tokio::task::spawn_blocking(move || me.keep(nth, &site))),
            Effect::CredentialBack(site) => drop(tokio::task::spawn_blocking(move || me.back(&site))),
            Effect::Answer(code) => self.answer(code),
            Effect::EndTry => self.end_try(),
            // The loop's own.
            Effect::Copy(_) | Effect::Repaint | Effect::Quit => {}
        }
    }

    pub(super) fn problem(&self, problem: Problem) {
        self.tell_now(Fact::Problem { what: format!("{}: {}", problem.what, problem.why), hint: problem.hint });
    }

    pub(super) fn start(&self, order: Approved) {
        match self.who() {
            Some(who) => self.go_on(order.in_name_of(&who)),
            None => self.go_on(order),
        }
    }

    /// Starts an order that has what it needs, in the name of whoever is in.
    pub(super) fn go_on(&self, order: Approved) {
        let title = order.plan().title.clone();
        if self.ctx.read_only {
            return self.problem(Problem::new(Kind::ReadOnly, title, "--read-only refuses everything that changes something", ""));
        }
        if self.told(|s| s.flag("system.read_only")).unwrap_or(true) {
            let hint = "proximity settings set system.read_only off";
            return self.problem(Problem::new(Kind::ReadOnly, title, "system.read_only is on, or cannot be read", hint));
        }
        let jobs = locked(&self.jobs).clone();
        let is_his = |who: Who| who.name == order.by && locked(&self.door).is_open();
        let Some(jobs) = jobs.filter(|_| self.who().is_some_and(is_his)) else {
            let why = "nothing is changed without a store, and not while it is locked";
            return self.tell_now(Fact::Planned(Err(Refusal::new(title, why, "set it up once with: proximity init, and unlock it"))));
        };
        let Some(order) = self.ready_or_wait(order) else { return };
        if let Err(problem) = self.keep_wished(&jobs, &order.plan().purpose) {
            return self.problem(problem);
        }
        match jobs.start(&self.ctx.host, order) {
            Ok(id) => self.tell_now(Fact::Started(id)),
            Err(e) => self.problem(e.into()),
        }
    }

    pub(super) fn cancel(&self, id: JobId) {
        let Some((jobs, who)) = locked(&self.jobs).clone().zip(self.who()) else { return };
        match jobs.cancel(self.ctx.host.as_ref(), id, &who) {
            Ok(()) => self.tell_now(Fact::Done(format!("job {id} was asked to end"))),
            Err(e) => self.problem(e.into()),
        }
    }

    /// Several that were asked for together stand in the queue as they were asked for.
    fn start_next(self: &Arc<Self>) {
        let _one = locked(&self.starting);
        let order = locked(&self.starts).pop_front();
        if let Some(order) = order {
            self.start(order);
        }
    }

    fn put_job(&self, id: JobId, to: Move) {
        let Some((jobs, who)) = locked(&self.jobs).clone().zip(self.who()) else { return };
        match jobs.put(self.ctx.host.as_ref(), id, to, &who) {
            Ok(()) => self.written.notify_one(),
            Err(e) => self.problem(e.into()),
        }
    }

    fn follow(self: &Arc<Self>, source: LogSource) {
        let token = self.stop.child_token();
        if let Some(old) = locked(&self.follows).insert(source.clone(), token.clone()) {
            old.cancel();
        }
        let me = Arc::clone(self);
        tokio::spawn(async move {
            match source {
                LogSource::Job(id) => me.follow_job(id, token).await,
                source => follow::follow(me.ctx.host.as_ref(), source, follow::live(), me.facts.clone(), token).await,
            }
        });
    }

    /// A job's log grows in a file of ours: looked at four times a second until the job ended.
    async fn follow_job(self: &Arc<Self>, id: JobId, stop: CancellationToken) {
        let source = LogSource::Job(id);
        let Some(jobs) = locked(&self.jobs).clone() else { return };
        let me = Arc::clone(self);
        let allowed = tokio::task::spawn_blocking(move || me.allowed(&cli::Need::Job(Permission::ReadJobs, id))).await;
        if let Ok(Err(refused)) = allowed {
            return self.tell(Fact::LogState { source, state: LogState::Broken { why: refused.why, again: false } }).await;
        }
        self.tell(Fact::LogState { source: source.clone(), state: LogState::Following }).await;
        let mut offset = 0;
        while !stop.is_cancelled() {
            let ended = jobs.store().job(id).ok().flatten().is_none_or(|j| j.state.is_final());
            let state = match jobs.logs().lines(id, offset) {
                Ok((lines, next)) => {
                    let quiet = next == offset;
                    offset = next;
                    if !lines.is_empty() {
                        let lines = lines.into_iter().map(|text| LogLine { text }).collect();
                        self.tell(Fact::Log { source: source.clone(), at: self.ctx.host.clock().0, lines, dropped: 0 }).await;
                    }
                    (quiet && ended).then(|| LogState::Broken { why: "the job has ended".into(), again: false })
                }
                Err(e) => Some(LogState::Broken { why: e.to_string(), again: false }),
            };
            if let Some(state) = state {
                return self.tell(Fact::LogState { source, state }).await;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(250)) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// A part that is not what was read before; that is remembered.
fn changed<T: Clone + PartialEq>(before: &mut Option<Result<T, String>>, part: Part<T>) -> Option<Part<T>> {
    if before.as_ref() == Some(&part.known) {
        return None;
    }
    *before = Some(part.known.clone());
    Some(part)
}
