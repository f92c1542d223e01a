//! The composition root of the console: the loop that joins keys, facts and frames. What carries effects out is in `hands.rs`.
//!
//! ```text
//! keys ──> App ──> effects ──> Hands ──> tasks (refresh, follow, plan, jobs, vault)
//!           ^                              │
//!           └────────── facts <────────────┘        keys and news draw at once, log lines within 33 ms
//! ```

mod appliance;
mod demo;
mod door;
mod hands;
mod inside;
mod logs;
mod order;
mod ports;
mod settings;
mod truth;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::cli::{self, Ctx, Done};
use crate::domain::fact::Fact;
use crate::domain::session::Over;
use crate::problem::{Kind, Problem};
use crate::tui::app::App;
use crate::tui::effect::Effect;
use crate::tui::terminal::{self, Screen};
use crate::tui::theme::Theme;
use hands::{Hands, locked};

/// Lines of logs are gathered for so long before they are drawn.
const GATHER: Duration = Duration::from_millis(33);
/// How often ages on the screen are looked at.
const TICK: Duration = Duration::from_secs(5);

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
