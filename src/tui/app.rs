//! The whole screen: what is known, the panes, the stack of dialogs, the lock. Keys and facts in, effects out.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use crossterm::event::{KeyEvent, KeyEventKind, MouseEvent, MouseEventKind};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::action::{self, Action, Context};
use super::canvas::Canvas;
use super::dialogs::{audit, credential, help, jobs, palette, plan, prove, question, second, seconded, settings, text, unlock::Unlock};
use super::effect::Effect;
use super::frame::{self, Rows, SMALLEST, Said};
use super::pane::{Known, Pane, Then};
use super::panes::{appliance::Appliance, backups::Backups, logs::Logs, overview::Overview, ports::Ports, settings::Settings};
use super::theme::{Theme, Tone};
use super::words;
use crate::domain::clean::clean;
use crate::domain::fact::{Fact, Gate, LogSource, Login, Wish};
use crate::domain::job::JobId;
use crate::domain::stamp::Stamp;
use crate::domain::world::{Place, World};

/// How many dialogs may lie on each other; a flood of problems must not fill the memory.
const DEEPEST: usize = 8;

/// The panes, each as it was left.
#[derive(Default)]
struct Panes {
    overview: Overview,
    logs: Logs,
    appliance: Appliance,
    ports: Ports,
    backups: Backups,
    settings: Settings,
}

/// The screen of the console.
pub struct App {
    known: Known,
    theme: Theme,
    /// The looks that the terminal and the flags allow; settings can only take away.
    base: Theme,
    panes: Panes,
    /// The pane that is shown, by the action that shows it.
    here: Action,
    stack: Vec<Box<dyn Pane>>,
    lock: Option<Unlock>,
    note: Option<String>,
    last: Option<String>,
    /// A refresh that the operator asked for is under way.
    asking: bool,
    dirty: bool,
    /// Fingerprint of the screen as it was drawn last; only made once news come in, so that keys do not pay for it.
    drawn: Option<u64>,
    scratch: Buffer,
}

impl App {
    /// A console of this host that knows nothing yet.
    pub fn new(place: Place) -> App {
        let world = World { place, ..World::default() };
        App {
            known: Known { world, now: Stamp::default(), offset_s: 0, gate: None, size: (80, 24) },
            theme: Theme::default(),
            base: Theme::default(),
            panes: Panes::default(),
            here: Action::ShowOverview,
            stack: Vec::new(),
            lock: None,
            note: None,
            last: None,
            asking: false,
            dirty: true,
            drawn: None,
            scratch: Buffer::default(),
        }
    }

    /// The same with other looks.
    pub fn with_theme(mut self, theme: Theme) -> App {
        (self.theme, self.base) = (theme, theme);
        self
    }

    /// What is wanted before any key: everything about the host.
    pub fn start(&mut self) -> Vec<Effect> {
        vec![Effect::Refresh]
    }

    /// Where keys are pressed now.
    pub fn context(&self) -> Context {
        self.top().context()
    }

    /// Takes the size of the terminal. Whoever tells it has cleared the terminal, so everything is drawn anew.
    pub fn resize(&mut self, width: u16, height: u16) {
        self.dirty = true;
        self.known.size = (width, height);
    }

    /// Whether the screen would look different from what was drawn last.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// The screen was drawn.
    pub fn drawn(&mut self) {
        self.dirty = false;
        self.drawn = None;
    }

    /// Does a slice of work that was put off so that a key need not wait, such as looking at old log lines
    /// with a new filter; some milliseconds at most. `true` while some is left: call again when nothing waits.
    pub fn work(&mut self) -> bool {
        let began = self.panes.logs.is_looking();
        let more = self.panes.logs.work();
        self.dirty |= began && self.here == Action::ShowLogs && self.lock.is_none();
        more
    }

    /// What slices of work came to.
    pub fn ready(&mut self) -> Option<Effect> {
        self.panes.logs.ready()
    }

    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        let action = action::find(self.top().context(), &key);
        if let Some(action @ (Action::QuitNow | Action::Repaint)) = action {
            return self.act(action);
        }
        let known = &self.known;
        let top = top_mut(&mut self.lock, &mut self.stack, self.here, &mut self.panes);
        if top.input().is_some_and(|input| input.key(&key)) {
            let then = top.typed(known);
            self.dirty = true;
            return self.run(then);
        }
        action.map(|a| self.act(a)).unwrap_or_default()
    }

    /// Takes pasted text: into the line that is typed in, and nowhere else. Pasted text is never keys.
    pub fn paste(&mut self, text: &str) -> Vec<Effect> {
        let known = &self.known;
        let top = top_mut(&mut self.lock, &mut self.stack, self.here, &mut self.panes);
        let Some(input) = top.input() else { return Vec::new() };
        input.paste(text);
        let then = top.typed(known);
        self.dirty = true;
        self.run(then)
    }

    fn active_jobs(&self) -> Vec<JobId> {
        self.known.world.jobs.get().into_iter().flatten().filter(|j| !j.state.is_final()).map(|j| j.id).collect()
    }

    /// Takes the wheel of a mouse.
    pub fn mouse(&mut self, event: MouseEvent) -> Vec<Effect> {
        let action = match event.kind {
            MouseEventKind::ScrollDown => Action::Down,
            MouseEventKind::ScrollUp => Action::Up,
            _ => return Vec::new(),
        };
        (0..3).flat_map(|_| self.act(action)).collect()
    }

    /// Takes news in.
    pub fn learn(&mut self, fact: Fact) -> Vec<Effect> {
        match fact {
            Fact::Clock { now, offset_s } => {
                self.work();
                // Nothing on the screen is finer than this.
                if self.known.now.secs().div_euclid(5) == now.secs().div_euclid(5) && self.known.offset_s == offset_s {
                    return Vec::new();
                }
                self.look();
                self.known.now = now;
                self.known.offset_s = offset_s;
                self.look_again();
            }
            Fact::News(news) => {
                self.look();
                let ours = news.jobs.is_some();
                if (news.appliance.is_some() || news.truth.is_some()) && std::mem::take(&mut self.asking) {
                    self.dirty = true;
                }
                let active = self.active_jobs();
                self.known.world.learn(*news);
                let known = &self.known;
                self.panes.overview.news(known);
                self.panes.appliance.news(known);
                self.panes.ports.news(known);
                self.panes.backups.news(known);
                self.panes.settings.news(known);
                let word = known.world.chosen().ok().and_then(|s| s.word("system.theme").ok());
                self.theme = self.base.less(word.unwrap_or_default());
                self.stack.iter_mut().for_each(|d| d.news(known));
                if ours {
                    self.last = None;
                }
                self.look_again();
                // What a job changed is asked for as soon as it ended.
                let still = self.active_jobs();
                if active.iter().any(|id| !still.contains(id)) {
                    // Asking for ports asks the host first.
                    return vec![if self.here == Action::ShowPorts { Effect::LookPorts } else { Effect::Refresh }];
                }
            }
            Fact::Refreshing(on) => {
                if !on && std::mem::take(&mut self.asking) {
                    self.dirty = true;
                }
            }
            Fact::Gate(gate) => return self.gate(gate),
            Fact::UnlockFailed(why) => {
                if let Some(lock) = &mut self.lock {
                    lock.failed(why);
                    self.dirty = true;
                }
            }
            Fact::Login(news) => return self.login(&news),
            Fact::Log { source, at, lines, dropped } => self.log(&source, at, lines, dropped),
            Fact::Marks(marks) => self.panes.logs.marks(marks),
            Fact::File { source, news } => {
                let known = &self.known;
                let then = self.stack.iter_mut().flat_map(|d| d.file(&source, &news, known)).collect();
                self.dirty |= self.lock.is_none() && !self.stack.is_empty();
                return self.run(then);
            }
            Fact::Inside { volid, news } => {
                let known = &self.known;
                self.stack.iter_mut().for_each(|d| d.inside(&volid, &news, known));
                self.dirty |= self.lock.is_none() && !self.stack.is_empty();
            }
            Fact::LogState { source, state } => {
                self.look();
                self.panes.logs.log_state(&source, &state);
                self.stack.iter_mut().for_each(|d| d.log_state(&source, &state));
                self.look_again();
            }
            Fact::Planned(Ok(plan)) if self.lock.is_none() && plan.steps.is_empty() => {
                self.say(format!("{}: nothing to do, all of it holds already", plan.title));
            }
            Fact::Planned(Ok(plan)) if self.lock.is_none() => {
                self.note = None;
                self.push(Box::new(plan::Confirm::new(*plan)));
            }
            Fact::Planned(Err(r)) if self.lock.is_none() => {
                self.note = None;
                self.push(Box::new(text::refusal(&r)));
            }
            // A plan that nobody asked for any more: the screen was locked meanwhile.
            Fact::Planned(_) => {}
            Fact::Audit { words, below, page } => {
                let known = &self.known;
                let then = self.stack.iter_mut().flat_map(|d| d.audit(&words, below, &page, known)).collect();
                self.dirty = true;
                return self.run(then);
            }
            Fact::Saved(Ok(n)) => {
                self.panes.settings.saved(true);
                self.note = None;
                self.last = Some(format!("saved {}", words::many(n, "setting")));
                self.dirty = true;
            }
            Fact::Saved(Err(r)) => {
                self.panes.settings.saved(false);
                self.note = None;
                self.push(Box::new(text::refusal(&r)));
            }
            Fact::History(key, past) if self.lock.is_none() => self.push(Box::new(settings::History::new(key, past))),
            Fact::History(..) => {}
            Fact::Port(asked) => {
                self.stack.iter_mut().for_each(|d| d.port(&asked));
                self.dirty |= self.lock.is_none() && !self.stack.is_empty();
            }
            Fact::Started(id) => self.say(format!("job {id} started; J lists the jobs")),
            Fact::Problem { what, hint } => self.push(Box::new(text::problem(&what, &hint))),
            Fact::Trial { nth, news } => {
                self.dirty = true;
                let then = self.stack.iter_mut().flat_map(|d| d.trial(nth, &news)).collect();
                return self.run(then);
            }
            Fact::Done(what) => {
                self.note = None;
                self.last = Some(what);
                self.dirty = true;
            }
            Fact::Ended(why) => self.push(Box::new(text::problem(&why, "proximity ends; jobs go on without it"))),
        }
        Vec::new()
    }

    /// Draws the screen. Changes nothing.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        if let Some(at) = self.paint(frame.buffer_mut()) {
            frame.set_cursor_position(at);
        }
    }

    fn paint(&self, buf: &mut Buffer) -> Option<Position> {
        let mut cursor = None;
        let mut on = Canvas::new(buf, self.theme, &mut cursor);
        let (wide, high) = (on.width(), on.height());
        if wide < SMALLEST.0 || high < SMALLEST.1 {
            on.put(0, 0, wide, &format!("too small: {}x{} needed", SMALLEST.0, SMALLEST.1), Tone::Plain);
            return None;
        }
        let rows = Rows::of(high);
        if let Some(lock) = &self.lock {
            // Nothing of the host is shown while the screen is locked.
            frame::header(&mut on.rows(rows.header, 1), &self.known);
            lock.draw(&mut on.rows(1, high - 2), &self.known);
            frame::footer(&mut on.rows(rows.footer, 1), lock, &self.known);
            return cursor;
        }
        frame::header(&mut on.rows(rows.header, 1), &self.known);
        if let Some(bar) = rows.bar {
            frame::bar(&mut on.rows(bar, 1), self.here, &self.known);
        }
        if let Some((above, below)) = rows.rules {
            on.rule(above);
            on.rule(below);
        }
        self.pane().draw(&mut on.rows(rows.pane.0, rows.pane.1), &self.known);
        if let Some(job) = rows.job {
            let said = Said { note: self.note.as_deref(), last: self.last.as_deref(), asking: self.asking };
            frame::job_line(&mut on.rows(job, 1), &self.known, &said);
        }
        if let Some(dialog) = self.stack.last() {
            let room = if rows.bar.is_some() { 1 } else { 0 };
            let window = dialog.window(&self.known);
            let mut part = on.rows(room, high - room - 1);
            dialog.draw(&mut part.window(window.width, window.height, &window.title), &self.known);
        }
        frame::footer(&mut on.rows(rows.footer, 1), self.top(), &self.known);
        cursor
    }

    fn pane(&self) -> &dyn Pane {
        match self.here {
            Action::ShowLogs => &self.panes.logs,
            Action::ShowAppliance => &self.panes.appliance,
            Action::ShowPorts => &self.panes.ports,
            Action::ShowBackups => &self.panes.backups,
            Action::ShowSettings => &self.panes.settings,
            _ => &self.panes.overview,
        }
    }

    fn top(&self) -> &dyn Pane {
        match (&self.lock, self.stack.last()) {
            (Some(lock), _) => lock,
            (None, Some(dialog)) => dialog.as_ref(),
            (None, None) => self.pane(),
        }
    }

    fn fingerprint(&mut self) -> u64 {
        let mut buf = std::mem::take(&mut self.scratch);
        // More than the largest terminal anybody has would only cost memory.
        let (w, h) = self.known.size;
        buf.resize(Rect::new(0, 0, w.min(1000), h.min(1000)));
        buf.reset();
        let cursor = self.paint(&mut buf);
        let mut hasher = DefaultHasher::new();
        for cell in &buf.content {
            cell.hash(&mut hasher);
        }
        cursor.map(|c| (c.x, c.y)).hash(&mut hasher);
        self.scratch = buf;
        hasher.finish()
    }

    /// Remembers how the screen looks before news are taken in.
    fn look(&mut self) {
        if !self.dirty && self.drawn.is_none() {
            self.drawn = Some(self.fingerprint());
        }
    }

    /// Finds out whether the screen looks different now: news often tell what is known already.
    fn look_again(&mut self) {
        if !self.dirty {
            let now = self.fingerprint();
            self.dirty = self.drawn != Some(now);
        }
    }

    fn gate(&mut self, gate: Gate) -> Vec<Effect> {
        self.dirty = true;
        if self.known.gate.as_ref() == Some(&gate) && !matches!(gate, Gate::Locked(_)) {
            return Vec::new();
        }
        let mut effects = Vec::new();
        match &gate {
            Gate::Locked(names) => {
                // What lay open is closed: a dialog may hold names and commands.
                while self.stack.last().is_some() {
                    effects.extend(self.run(vec![Then::Close]));
                }
                self.note = None;
                if !self.lock.as_ref().is_some_and(|l| l.is_for(names)) {
                    self.lock = Some(Unlock::new(names.clone()));
                }
            }
            Gate::Open(_) => self.lock = None,
            Gate::NoStore(hint) => {
                self.lock = None;
                self.push(Box::new(text::no_store(hint)));
            }
            Gate::Broken { what, hint } => {
                self.lock = None;
                self.push(Box::new(text::problem(what, hint)));
            }
        }
        self.known.gate = Some(gate);
        effects
    }

    fn login(&mut self, news: &Login) -> Vec<Effect> {
        self.dirty = true;
        if let Some(lock) = &mut self.lock {
            let then = lock.login(news).unwrap_or_default();
            return self.run(then);
        }
        if let Some(then) = self.stack.last_mut().and_then(|dialog| dialog.login(news)) {
            return self.run(then);
        }
        match news {
            Login::ProofWanted { code } => {
                self.note = None;
                self.push(Box::new(prove::Prove::new(*code)));
            }
            Login::SecondWanted { order, why } => {
                self.note = None;
                self.push(Box::new(seconded::Seconded::new((**order).clone(), why.clone())));
            }
            Login::Second(picture, text) => {
                self.note = None;
                self.push(Box::new(second::SetUp::new(picture.clone(), text.clone())));
            }
            // The dialog it was for was closed meanwhile, but for the codes: nobody sees them again.
            Login::Codes(codes) => self.push(Box::new(second::Codes::new(codes.clone()))),
            Login::CodeWanted | Login::Wrong(_) | Login::Proven => {}
        }
        Vec::new()
    }

    fn log(&mut self, source: &LogSource, at: Stamp, lines: Vec<crate::domain::fact::LogLine>, dropped: u64) {
        let known = &self.known;
        if let Some(dialog) = self.stack.iter_mut().rev().find(|d| d.wants(source)) {
            dialog.log(source, at, lines, dropped, known);
            self.dirty |= self.lock.is_none();
        } else if self.panes.logs.wants(source) {
            self.panes.logs.log(source, at, lines, dropped, known);
            self.dirty |= self.lock.is_none() && self.here == Action::ShowLogs;
        }
    }

    fn say(&mut self, what: String) {
        self.note = Some(what);
        self.dirty = true;
    }

    fn push(&mut self, dialog: Box<dyn Pane>) {
        self.dirty = true;
        if self.lock.is_none() && self.stack.len() < DEEPEST {
            self.stack.push(dialog);
        }
    }

    fn act(&mut self, action: Action) -> Vec<Effect> {
        self.does(action).unwrap_or_default()
    }

    /// Carries an action out; `None` where nobody knows it.
    fn does(&mut self, action: Action) -> Option<Vec<Effect>> {
        self.dirty = true;
        self.note = None;
        let known = &self.known;
        let top = top_mut(&mut self.lock, &mut self.stack, self.here, &mut self.panes);
        if let Some(then) = top.act(action, known) {
            return Some(self.run(then));
        }
        if self.lock.is_some() {
            return match action {
                Action::QuitNow => Some(vec![Effect::Quit]),
                Action::Repaint => Some(vec![Effect::Repaint]),
                _ => None,
            };
        }
        let mut effects = Vec::new();
        match action {
            Action::ShowOverview | Action::ShowBackups | Action::ShowSettings => self.here = action,
            Action::ShowAppliance => {
                self.here = action;
                effects.push(Effect::Probe);
            }
            Action::ShowPorts => {
                self.here = action;
                effects.push(Effect::LookPorts);
            }
            Action::ShowLogs => {
                self.here = action;
                let then = self.panes.logs.opened();
                effects = self.run(then);
            }
            Action::Jobs => self.push(Box::new(jobs::Drawer::default())),
            Action::KeepChange if frame::waits_for_a_word(&self.known) => effects = self.run(vec![Then::Wish(Wish::KeepChange)]),
            Action::KeepChange => self.say("no change of the network waits for a word".into()),
            Action::Audit => {
                let mut dialog = audit::Audit::default();
                effects.push(dialog.ask());
                self.push(Box::new(dialog));
            }
            Action::Credential => {
                let site = if self.top().context() == Context::Settings { self.panes.settings.site() } else { "" };
                self.push(Box::new(credential::Credential::new(site, &self.known)));
            }
            Action::CredentialBack => match self.known.operator() {
                Ok(_) => self.push(Box::new(question::credential_back(self.panes.settings.site()))),
                Err((why, hint)) => self.push(Box::new(text::problem(&format!("nothing can be changed now: {why}"), &hint))),
            },
            Action::Palette => self.push(Box::new(palette::Palette::new(self.top().context(), &self.known))),
            Action::Help => self.push(Box::new(help::help(self.top().context()))),
            Action::Refresh => {
                self.asking = true;
                effects.push(match self.here {
                    // Asking the appliance, or for its ports, asks the host first.
                    Action::ShowAppliance => Effect::Probe,
                    Action::ShowPorts => Effect::LookPorts,
                    _ => Effect::Refresh,
                });
            }
            Action::Lock => match &self.known.gate {
                Some(Gate::Open(_)) if !self.known.world.place.demo => effects.push(Effect::Lock),
                _ => self.say("there is nothing to lock here".into()),
            },
            Action::SecondFactor => effects.push(Effect::BeginSecond),
            Action::Back => {
                let then = vec![Then::Close];
                effects = self.run(then);
            }
            Action::Quit => match question::quit(&self.known) {
                Some(question) => self.push(Box::new(question)),
                None => effects.push(Effect::Quit),
            },
            Action::QuitNow => effects.push(Effect::Quit),
            Action::Repaint => effects.push(Effect::Repaint),
            _ => return None,
        }
        Some(effects)
    }

    fn run(&mut self, then: Vec<Then>) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut queue = VecDeque::from(then);
        while let Some(next) = queue.pop_front() {
            match next {
                Then::Do(effect) => {
                    if let Effect::Follow { source, on } = &effect {
                        self.panes.logs.switched(source, *on);
                    }
                    self.asking |= matches!(effect, Effect::Refresh);
                    effects.push(match effect {
                        // What goes to a clipboard comes out in some shell.
                        Effect::Copy(text) => Effect::Copy(clean(&text)),
                        other => other,
                    });
                }
                Then::Open(dialog) => self.push(dialog),
                Then::Close => {
                    if let Some(mut gone) = self.stack.pop() {
                        for more in gone.closed().into_iter().rev() {
                            queue.push_front(more);
                        }
                    }
                }
                Then::Act(action) => effects.extend(self.act(action)),
                Then::Wish(wish) => match self.known.operator() {
                    Ok(_) => {
                        self.say("making the plan …".into());
                        effects.push(Effect::Plan(wish));
                    }
                    Err((why, hint)) => self.push(Box::new(text::problem(&format!("nothing can be changed now: {why}"), &hint))),
                },
                Then::Say(what) => self.say(what),
                Then::Setting(key) => {
                    self.here = Action::ShowSettings;
                    self.panes.settings.go(&key);
                }
                Then::Stage(key, change) => {
                    self.panes.settings.stage(key, change, &self.known);
                    self.say("not saved yet; s saves".into());
                }
                Then::LogsOf(source, words) => {
                    self.here = Action::ShowLogs;
                    let mut then = self.panes.logs.opened();
                    then.extend(source.map(|source| self.panes.logs.with(source)).unwrap_or_default());
                    then.extend(self.panes.logs.only(&words));
                    queue.extend(then);
                }
                Then::File(source) => {
                    self.here = Action::ShowLogs;
                    let mut then = self.panes.logs.opened();
                    // Files of a simulation lie nowhere.
                    if self.known.world.place.demo {
                        then.extend(self.panes.logs.with(source));
                        then.extend(self.panes.logs.only(""));
                    } else {
                        then.extend(self.panes.logs.read_file(source, None, &self.known));
                    }
                    queue.extend(then);
                }
                Then::Logs(ask) => {
                    self.here = Action::ShowLogs;
                    let known = &self.known;
                    // A file that lies open is nearer than the list below it.
                    let then = self.stack.iter_mut().rev().find_map(|d| d.asked(&ask, known));
                    queue.extend(then.unwrap_or_else(|| self.panes.logs.asked(ask, known)));
                }
                Then::Guest(id) => {
                    self.here = Action::ShowOverview;
                    if !self.panes.overview.go(id, &self.known) {
                        self.say(format!("guest {id} is not in the list now"));
                    }
                }
            }
        }
        effects
    }
}

/// What is on top, with only the fields borrowed that it may be.
fn top_mut<'a>(lock: &'a mut Option<Unlock>, stack: &'a mut [Box<dyn Pane>], here: Action, panes: &'a mut Panes) -> &'a mut dyn Pane {
    match (lock, stack.last_mut()) {
        (Some(lock), _) => lock,
        (None, Some(dialog)) => dialog.as_mut(),
        (None, None) => match here {
            Action::ShowLogs => &mut panes.logs,
            Action::ShowAppliance => &mut panes.appliance,
            Action::ShowPorts => &mut panes.ports,
            Action::ShowBackups => &mut panes.backups,
            Action::ShowSettings => &mut panes.settings,
            _ => &mut panes.overview,
        },
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // Dialogs and edits hold typed text; they go before anything that may still draw.
        self.stack.clear();
        self.lock = None;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::domain::audit::{Deed, Entry, Page, Phase, Record, Who};
    use crate::domain::fact::LogLine;
    use crate::domain::guest::{Guest, Kind};
    use crate::domain::job::{Job, Life, State};
    use crate::domain::plan::{Approved, Check, Plan, Purpose, Risk, Step};
    use crate::domain::world::{From, News, Part};

    fn plan() -> Plan {
        Plan {
            purpose: Purpose::Power,
            title: "t".into(),
            guest: "101".parse().unwrap(),
            host: "local".into(),
            facts: vec![],
            notes: vec![],
            risk: Risk::Low,
            steps: vec![Step::wait("w", 1, Check::Running { vmid: "101".parse().unwrap() })],
        }
    }

    /// Apps on whose top something of this context lies: one for each kind of dialog that has it.
    fn of(context: Context) -> Vec<App> {
        let start = || {
            let mut app = App::new(Place { host: "local".into(), demo: false });
            let at = Stamp(1);
            let job = Job {
                id: 1,
                state: State::Running,
                created: at,
                order: Approved::new(plan(), "ada", None).unwrap(),
                life: Life::default(),
            };
            let archive = crate::domain::backup::tests::archive(101, "local:backup/x", at, 1);
            app.learn(Fact::News(Box::new(News {
                guests: Some(Part::new(vec![Guest::bare("101".parse().unwrap(), Kind::Lxc)], at, From::Files)),
                archives: Some(Part::new(vec![archive], at, From::Files)),
                jobs: Some(Part::new(vec![job], at, From::Files)),
                ..News::default()
            })));
            app.learn(Fact::Gate(Gate::Open("ada".into())));
            app
        };
        let ways: &[&[Action]] = match context {
            Context::Overview | Context::Plan | Context::Unlock => &[&[]],
            Context::Logs => &[&[Action::ShowLogs]],
            Context::Appliance => &[&[Action::ShowAppliance]],
            Context::Ports => &[&[Action::ShowPorts]],
            Context::Backups => &[&[Action::ShowBackups]],
            Context::Settings => &[&[Action::ShowSettings]],
            Context::Text => &[&[Action::Help]],
            Context::Choice => &[&[Action::Palette], &[Action::Menu], &[Action::ShowLogs, Action::Sources]],
            Context::File => &[&[Action::ShowLogs, Action::OpenFile]],
            Context::Inside => &[&[Action::ShowBackups, Action::Files]],
            Context::Jobs => &[&[Action::Jobs]],
            Context::Job => &[&[Action::Jobs, Action::Open]],
            Context::Audit => &[&[Action::Audit]],
            Context::Record => &[&[Action::ShowLogs]],
            Context::Form => &[&[Action::Restore], &[]],
            Context::Proof => &[&[]],
            Context::Confirm => &[&[Action::Quit], &[Action::Jobs, Action::Cancel]],
        };
        ways.iter()
            .map(|way| {
                let mut app = start();
                way.iter().for_each(|a| drop(app.act(*a)));
                match context {
                    Context::Audit => {
                        let entry = Entry {
                            seq: 1,
                            epoch: 0,
                            at: Stamp(1),
                            boottime_ms: 1,
                            boot_id: String::new(),
                            who: Who::default(),
                            mode: "console".into(),
                            phase: Phase::Intent,
                            deed: Deed { job: Some(1), ..Deed::new("ada", "job.power", "guest 101", "t") },
                        };
                        let page = Page { records: vec![Record { entry, outcome: None }], total: 1, ..Page::default() };
                        drop(app.learn(Fact::Audit { words: String::new(), below: None, page: Ok(Box::new(page)) }));
                    }
                    Context::Record => {
                        let lines = vec![LogLine { text: b"line about CT 101"[..].into() }];
                        drop(app.learn(Fact::Log { source: LogSource::Dnsmasq, at: Stamp(1), lines, dropped: 0 }));
                        drop(app.act(Action::Open));
                    }
                    Context::Form if way.is_empty() => {
                        let order = Box::new(Approved::new(plan(), "ada", None).unwrap());
                        drop(app.learn(Fact::Login(Login::SecondWanted { order, why: String::new() })));
                    }
                    Context::Plan => drop(app.learn(Fact::Planned(Ok(Box::new(plan()))))),
                    Context::Proof => drop(app.learn(Fact::Login(Login::ProofWanted { code: false }))),
                    Context::Unlock => drop(app.learn(Fact::Gate(Gate::Locked(vec!["ada".into()])))),
                    _ => {}
                }
                assert_eq!(app.context(), context);
                app
            })
            .collect()
    }

    #[test]
    fn what_a_job_changed_is_asked_for_when_it_ended() {
        let mut app = of(Context::Overview).remove(0);
        let mut jobs = app.known.world.jobs.clone();
        let mut learn = |jobs: &Part<Vec<Job>>| app.learn(Fact::News(Box::new(News { jobs: Some(jobs.clone()), ..News::default() })));
        assert!(learn(&jobs).is_empty());
        jobs.known.as_mut().unwrap()[0].state = State::Succeeded;
        assert!(matches!(learn(&jobs)[..], [Effect::Refresh]));
        assert!(learn(&jobs).is_empty());
        let mut app = of(Context::Ports).remove(0);
        assert!(matches!(app.learn(Fact::News(Box::new(News { jobs: Some(jobs), ..News::default() })))[..], [Effect::LookPorts]));
    }

    #[test]
    fn asking_again_asks_each_thing_once() {
        let mut app = of(Context::Overview).remove(0);
        assert!(matches!(app.does(Action::Refresh).unwrap()[..], [Effect::Refresh]));
        app = of(Context::Appliance).remove(0);
        assert!(matches!(app.does(Action::Refresh).unwrap()[..], [Effect::Probe]), "it brings the host's news too");
        assert!(app.asking);
        let mut ports = of(Context::Ports).remove(0);
        assert!(matches!(ports.does(Action::Refresh).unwrap()[..], [Effect::LookPorts]) && ports.asking);
        drop(ports.learn(Fact::News(Box::new(News { truth: Some(Part::unknown("x", Stamp(2))), ..News::default() }))));
        assert!(!ports.asking);
        drop(app.learn(Fact::News(Box::new(News { appliance: Some(Part::unknown("not allowed", Stamp(2))), ..News::default() }))));
        assert!(!app.asking && app.is_dirty());
    }

    #[test]
    fn every_row_of_the_key_table_does_something() {
        for context in Context::ALL {
            for row in action::here(*context) {
                assert!(of(*context).iter_mut().any(|app| app.does(row.action).is_some()), "{:?} in {context:?}", row.action);
            }
        }
    }
}
