//! The composition root of the console: the loop that joins keys, facts and frames, and what carries effects out.
//!
//! ```text
//! keys ──> App ──> effects ──> Hands ──> tasks (refresh, follow, plan, jobs, vault)
//!           ^                              │
//!           └────────── facts <────────────┘        keys and news draw at once, log lines within 33 ms
//! ```

mod appliance;
mod door;
mod logs;
mod order;
mod settings;

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::cli::{self, Ctx, Done};
use crate::domain::access::{Permission, Who};
use crate::domain::audit::{Deed, Ending, Wanted};
use crate::domain::fact::{Fact, Gate, LogLine, LogSource, LogState};
use crate::domain::filter::Filter;
use crate::domain::job::{Job, JobId};
use crate::domain::log_page::FileAsk;
use crate::domain::plan::{Approved, Purpose, Refusal};
use crate::domain::session::Over;
use crate::domain::world::{News, World};
use crate::jobs::Jobs;
use crate::ops::{follow, log_health, planner, refresh};
use crate::problem::{Kind, Problem};
use crate::store::{StoreError, StoreMode};
use crate::tui::app::App;
use crate::tui::effect::Effect;
use crate::tui::terminal::{self, Screen};
use crate::tui::theme::Theme;
use appliance::Asked;
use door::Door;
use order::Waiting;
use settings::Trial;

/// Lines of logs are gathered for so long before they are drawn.
const GATHER: Duration = Duration::from_millis(33);
/// How often it is asked whether a worker is gone.
const RECONCILE: Duration = Duration::from_secs(10);
/// How often it is asked for new rows where writes to the store cannot be waited for.
const ASK: Duration = Duration::from_secs(1);
/// From a write to the store until it is read.
const SETTLE: Duration = Duration::from_millis(50);
/// How often ages on the screen are looked at.
const TICK: Duration = Duration::from_secs(5);
/// How often it is looked how logs grow.
const LOGS: Duration = Duration::from_secs(60);
/// Records of the audit that the screen is given at once.
const AUDIT_ROWS: usize = 200;

/// Opens the console and stays until the operator or his line is gone.
pub(crate) fn console(ctx: Ctx) -> Done {
    let no = |why: &str| Problem::new(Kind::Usage, "the console", why, "without a screen use the commands: proximity --help");
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(no("it needs a terminal"));
    }
    if std::env::var("TERM").is_ok_and(|t| t == "dumb") {
        return Err(no("this terminal (TERM=dumb) cannot be drawn on"));
    }
    cli::check_console(&ctx)?;
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        terminal::leave();
        hook(info);
    }));
    let runtime = cli::runtime()?;
    let ended = runtime.block_on(run(ctx));
    terminal::leave();
    // A look that hangs must not keep the program alive.
    runtime.shutdown_background();
    ended
}

/// Whether the locale says UTF-8; the first that is set of these decides (locale(7)).
fn locale_is_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|n| std::env::var(n).ok().filter(|v| !v.is_empty()));
    set.is_some_and(|v| v.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

async fn run(ctx: Ctx) -> Done {
    let lost = |e: std::io::Error| Problem::new(Kind::Failed, "the terminal", e.to_string(), "");
    let mut app = App::new(ctx.place()).with_theme(Theme::new(ctx.config.mono, ctx.config.ascii || !locale_is_utf8()));
    let mut screen = Screen::enter().map_err(lost)?;
    let (width, height) = crossterm::terminal::size().map_err(lost)?;
    app.resize(width, height);
    let (facts, mut news) = mpsc::channel(1024);
    let hands = Arc::new(Hands::new(ctx, facts.clone()));
    watch_for_hangup(facts.clone());
    tokio::spawn(lock_when_stopped(Arc::clone(&hands)));
    app.learn(hands.clock());
    draw(&mut screen, &mut app).map_err(lost)?;
    hands.begin();
    for effect in app.start() {
        hands.carry(effect);
    }
    let ended = tokio::select! {
        ended = looping(&mut app, &mut screen, &hands, &mut news) => ended,
        () = asked_to_go() => Ok(()),
    };
    hands.end();
    drop(screen);
    // Whoever ended the line is not there to read about it.
    ended.map(|()| 0).or_else(|e| if is_gone(&e) { Ok(0) } else { Err(lost(e)) })
}

/// EIO and EPIPE are how a terminal says that it is gone.
fn is_gone(e: &std::io::Error) -> bool {
    matches!(e.raw_os_error(), Some(5 | 32)) || matches!(e.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::BrokenPipe)
}

async fn asked_to_go() {
    let mut signals: Vec<_> = [SignalKind::hangup(), SignalKind::terminate(), SignalKind::quit(), SignalKind::interrupt()]
        .into_iter()
        .filter_map(|k| signal(k).ok())
        .collect();
    futures_util::future::poll_fn(|cx| {
        if signals.iter_mut().any(|s| s.poll_recv(cx).is_ready()) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// A stop from outside locks instead: nobody shall find an open console in some shell's background.
async fn lock_when_stopped(hands: Arc<Hands>) {
    /// SIGCONT and SIGTSTP (signal(7)).
    const STOPS: [i32; 2] = [18, 20];
    let mut signals: Vec<_> = STOPS.into_iter().filter_map(|n| signal(SignalKind::from_raw(n)).ok()).collect();
    loop {
        futures_util::future::poll_fn(|cx| {
            if signals.iter_mut().any(|s| s.poll_recv(cx).is_ready()) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        hands.lock(Some(Over::Gap));
    }
}

/// A terminal that hangs up gives no event that can be relied on: its own thread waits for just that, and sleeps otherwise.
fn watch_for_hangup(facts: mpsc::Sender<Fact>) {
    let watch = move || {
        let stdin = rustix::stdio::stdin();
        let mut fds = [rustix::event::PollFd::new(&stdin, rustix::event::PollFlags::empty())];
        while let Err(rustix::io::Errno::INTR) = rustix::event::poll(&mut fds, None) {}
        let _ = facts.blocking_send(Fact::Ended("the terminal is gone".into()));
    };
    let _ = std::thread::Builder::new().name("hangup".into()).spawn(watch);
}

fn draw(screen: &mut Screen, app: &mut App) -> std::io::Result<()> {
    screen.draw(|frame| app.draw(frame))?;
    app.drawn();
    Ok(())
}

async fn looping(app: &mut App, screen: &mut Screen, hands: &Arc<Hands>, news: &mut mpsc::Receiver<Fact>) -> std::io::Result<()> {
    let mut keys = EventStream::new();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_draw = Instant::now();
    let mut more = false;
    loop {
        let (mut at_once, mut effects) = (false, Vec::new());
        tokio::select! {
            biased;
            event = keys.next() => match event {
                Some(Ok(event)) => {
                    at_once = true;
                    let by_hand = matches!(event, Event::Key(_) | Event::Paste(_) | Event::Mouse(_));
                    if by_hand {
                        hands.typed();
                    }
                    // A key that comes too late locks, and does nothing else.
                    if !(by_hand && hands.is_over(true)) {
                        effects = on_event(app, screen, event)?;
                    }
                }
                Some(Err(e)) => return Err(e),
                None => return Ok(()),
            },
            () = sleep_until(last_draw + GATHER), if app.is_dirty() => at_once = true,
            fact = news.recv() => match fact {
                Some(Fact::Ended(_)) | None => return Ok(()),
                // Lines of a log come in floods and are gathered, but for the first after a silence. The rest is seldom.
                Some(fact) => {
                    at_once = !matches!(fact, Fact::Log { .. }) || last_draw.elapsed() >= GATHER;
                    effects = app.learn(fact);
                }
            },
            _ = tick.tick() => {
                hands.is_over(false);
                effects = app.learn(hands.clock());
            }
            () = std::future::ready(()), if more => {}
        }
        more = app.work();
        effects.extend(app.ready());
        for effect in effects {
            match effect {
                Effect::Quit => return Ok(()),
                Effect::Repaint => screen.repaint()?,
                Effect::Copy(text) => screen.copy(&text)?,
                other => hands.carry(other),
            }
        }
        if at_once && app.is_dirty() {
            draw(screen, app)?;
            last_draw = Instant::now();
        }
    }
}

fn on_event(app: &mut App, screen: &mut Screen, event: Event) -> std::io::Result<Vec<Effect>> {
    Ok(match event {
        Event::Key(key) => app.key(key),
        // It may be a secret.
        Event::Paste(text) => app.paste(&zeroize::Zeroizing::new(text)),
        Event::Mouse(mouse) => app.mouse(mouse),
        Event::Resize(width, height) => {
            app.resize(width, height);
            screen.repaint()?;
            Vec::new()
        }
        Event::FocusGained | Event::FocusLost => Vec::new(),
    })
}

/// What carries effects out. Who may have what carried out, and how long the door stays open, is in `door.rs`;
/// what an order waits for before it is, in `order.rs`.
struct Hands {
    ctx: Ctx,
    facts: mpsc::Sender<Fact>,
    follows: Mutex<HashMap<LogSource, CancellationToken>>,
    /// Files that are read for the screen.
    files: Mutex<HashMap<LogSource, logs::OpenFile>>,
    refresh: Notify,
    /// Somebody wrote to the store.
    written: Arc<Notify>,
    /// What is known for saving settings and for what they decide; the screen has its own.
    world: Mutex<World>,
    /// The jobs, once the store is open.
    jobs: Mutex<Option<Arc<Jobs>>>,
    door: Mutex<Door>,
    /// Held while the appliance is asked.
    probing: tokio::sync::Mutex<()>,
    asked: Mutex<Asked>,
    /// The rows of jobs are told again although nobody wrote: somebody else looks at them.
    tell_jobs: AtomicBool,
    /// An order that waits for a proof or a second person.
    waiting: Mutex<Option<Waiting>>,
    /// The credential that is being tried.
    trial: Mutex<Option<Trial>>,
    stop: CancellationToken,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hands {
    fn new(ctx: Ctx, facts: mpsc::Sender<Fact>) -> Self {
        Hands {
            ctx,
            facts,
            follows: Mutex::default(),
            files: Mutex::default(),
            refresh: Notify::new(),
            written: Arc::default(),
            world: Mutex::default(),
            jobs: Mutex::default(),
            door: Mutex::default(),
            probing: tokio::sync::Mutex::default(),
            asked: Mutex::default(),
            tell_jobs: AtomicBool::new(false),
            waiting: Mutex::default(),
            trial: Mutex::default(),
            stop: CancellationToken::new(),
        }
    }

    fn clock(&self) -> Fact {
        let (now, offset_s) = self.ctx.host.clock();
        Fact::Clock { now, offset_s }
    }

    /// The standing tasks: the store, the refresh, the jobs.
    fn begin(self: &Arc<Self>) {
        let me = Arc::clone(self);
        tokio::task::spawn_blocking(move || me.open_store());
        let me = Arc::clone(self);
        tokio::spawn(async move { me.refreshing().await });
        let me = Arc::clone(self);
        tokio::spawn(async move { me.watching_jobs().await });
    }

    fn end(&self) {
        self.stop.cancel();
        let was = std::mem::take(&mut *locked(&self.door));
        self.write_down(was.who(), "console.exit", "leave the console");
    }

    /// One line in the audit about whoever had the vault open. Locking and leaving are not refused for want of it.
    fn write_down(&self, who: Option<&Who>, action: &str, title: &str) {
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

    async fn tell(&self, fact: Fact) {
        let _ = self.facts.send(fact).await;
    }

    fn tell_now(&self, fact: Fact) {
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
            }
            self.tell(Fact::Refreshing(false)).await;
            self.probe_if_due();
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = self.refresh.notified() => looked = None,
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// The World as it is now: what decides about locks and room, or about whom to ask, is not taken from the screen.
    async fn fresh(&self) -> World {
        let news = refresh::refresh(self.ctx.host.as_ref()).await;
        let mut world = World { place: self.ctx.place(), ..World::default() };
        {
            let held = locked(&self.world);
            (world.settings, world.pins) = (held.settings.clone(), held.pins.clone());
        }
        if let Some(jobs) = locked(&self.jobs).clone() {
            world.jobs = jobs.part(self.ctx.host.clock().0);
        }
        world.learn(news.clone());
        self.tell_news(news).await;
        world
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
                    let part = self.pins(&jobs);
                    if pins.as_ref() != Some(&part.known) {
                        pins = Some(part.known.clone());
                        let news = News { pins: Some(part), ..News::default() };
                        locked(&self.world).learn(news.clone());
                        self.tell_news(news).await;
                    }
                    let part = self.ports(&jobs);
                    if ports.as_ref() != Some(&part.known) {
                        ports = Some(part.known.clone());
                        let news = News { ports: Some(part), ..News::default() };
                        locked(&self.world).learn(news.clone());
                        self.tell_news(news).await;
                    }
                    let part = self.settings(&jobs);
                    if settings.as_ref() != Some(&part.known) {
                        // How often the host is looked at may have changed.
                        if settings.replace(part.known.clone()).is_some() {
                            self.refresh.notify_one();
                        }
                        let news = News { settings: Some(part), ..News::default() };
                        locked(&self.world).learn(news.clone());
                        self.tell_news(news).await;
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
    fn carry(self: &Arc<Self>, effect: Effect) {
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
            Effect::Start(order) => drop(tokio::task::spawn_blocking(move || me.start(order))),
            Effect::Audit { words, below } => drop(tokio::task::spawn_blocking(move || me.read_audit(words, below))),
            Effect::Probe => drop(tokio::spawn(async move { me.probe().await })),
            Effect::Cancel(id) => drop(tokio::task::spawn_blocking(move || me.cancel(id))),
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

    fn problem(&self, problem: Problem) {
        self.tell_now(Fact::Problem { what: format!("{}: {}", problem.what, problem.why), hint: problem.hint });
    }

    fn start(&self, order: Approved) {
        match self.who() {
            Some(who) => self.go_on(order.in_name_of(&who)),
            None => self.go_on(order),
        }
    }

    /// Starts an order that has what it needs, in the name of whoever is in.
    fn go_on(&self, order: Approved) {
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
        if let Purpose::Pin(change) = &order.plan().purpose
            && let Err(problem) = self.keep_pin(&jobs, change)
        {
            return self.problem(problem);
        }
        match jobs.start(&self.ctx.host, order) {
            Ok(id) => self.tell_now(Fact::Started(id)),
            Err(e) => self.problem(e.into()),
        }
    }

    fn cancel(&self, id: JobId) {
        let Some((jobs, who)) = locked(&self.jobs).clone().zip(self.who()) else { return };
        match jobs.cancel(self.ctx.host.as_ref(), id, &who) {
            Ok(()) => self.tell_now(Fact::Done(format!("job {id} was asked to end"))),
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
