//! The jobs: what runs, how it goes, how it ended; and one job with its plan and its log.

use super::question;
use super::text::{self, Line};
use crate::domain::fact::{LogLine, LogSource, LogState};
use crate::domain::job::{Job, JobId, State};
use crate::domain::log_buffer::LogBuffer;
use crate::domain::queue::{self, Move};
use crate::domain::{clean, stamp};
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::frame;
use crate::tui::list::{Column, List, cell, column, fit, heads, marker};
use crate::tui::pane::{Known, Pane, Then, Window};
use crate::tui::theme::Tone;
use crate::tui::words;

const COLUMNS: [Column; 5] = [
    column("job", 5, 7, 0, true),
    column("state", 11, 11, 0, false),
    column("what", 18, 40, 0, false),
    column("began", 6, 8, 3, true),
    column("how it goes", 14, 200, 2, false),
];

/// The list of jobs.
#[derive(Default)]
pub struct Drawer {
    list: List,
    /// The selected job, so that a new one above it does not move the selection.
    chosen: Option<JobId>,
}

/// The tone of a state. Its word always stands beside.
pub fn tone(state: State) -> Tone {
    match state {
        State::Succeeded => Tone::Good,
        State::Warned | State::Cancelled => Tone::Warn,
        State::Failed => Tone::Bad,
        State::Unknown | State::Unreachable => Tone::Unknown,
        State::Queued | State::Running => Tone::Strong,
    }
}

fn all(known: &Known) -> &[Job] {
    known.world.jobs.get().map_or(&[], Vec::as_slice)
}

impl Drawer {
    fn job<'k>(&self, known: &'k Known) -> Option<&'k Job> {
        all(known).get(self.list.at)
    }
}

impl Pane for Drawer {
    fn context(&self) -> Context {
        Context::Jobs
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        let rows = usize::from(self.window(known).height.saturating_sub(3));
        match action {
            Action::Open => Some(self.job(known).map(|j| open(j, known)).unwrap_or_default()),
            Action::Cancel => Some(ask_cancel(self.job(known))),
            Action::Sooner => Some(put(self.job(known), Move::Sooner)),
            Action::Later => Some(put(self.job(known), Move::Later)),
            Action::First => Some(put(self.job(known), Move::First)),
            _ => {
                let moved = self.list.act(action, all(known).len(), rows);
                self.chosen = self.job(known).map(|j| j.id);
                moved.then(Vec::new)
            }
        }
    }

    fn can(&self, action: Action, known: &Known) -> bool {
        match action {
            Action::Cancel => self.job(known).is_some_and(|j| !j.state.is_final()),
            Action::Sooner | Action::Later | Action::First => self.job(known).is_some_and(waits),
            Action::Open => self.job(known).is_some(),
            _ => true,
        }
    }

    fn news(&mut self, known: &Known) {
        if let Some(at) = self.chosen.and_then(|id| all(known).iter().position(|j| j.id == id)) {
            let rows = usize::from(self.window(known).height.saturating_sub(3));
            self.list.go(at, all(known).len(), rows);
        }
    }

    fn window(&self, known: &Known) -> Window {
        let rows = all(known).len().clamp(3, 24) as u16;
        let title = format!("jobs · {}", words::source(&known.world.jobs, known.now));
        Window { title, width: text::wide(known, 120), height: (rows + 3).min(text::most_rows(known)) }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let jobs = match &known.world.jobs.known {
            Ok(jobs) => jobs,
            Err(why) => {
                on.put(1, 0, on.width().saturating_sub(2), &format!("? the jobs are unknown: {why}"), Tone::Unknown);
                return;
            }
        };
        if jobs.is_empty() {
            on.put(1, 0, on.width().saturating_sub(2), "No job was ever started here.", Tone::Plain);
            on.put(1, 1, on.width().saturating_sub(2), "b on a guest backs it up; x shows what else can be done.", Tone::Quiet);
            return;
        }
        let places = fit(&COLUMNS, 2, on.width().saturating_sub(1));
        heads(on, 0, &COLUMNS, &places);
        let rows = usize::from(on.height().saturating_sub(1));
        let top = self.list.top(jobs.len(), rows);
        for (y, (nth, job)) in jobs.iter().enumerate().skip(top).take(rows).enumerate() {
            let y = y as u16 + 1;
            marker(on, y, nth == self.list.at);
            let began = words::age(known.now, job.life.started.unwrap_or(job.created));
            let texts = [job.id.to_string(), job.state.word().to_owned(), job.title().to_owned(), began, queue::line(jobs, job)];
            for ((place, text), (column, nth)) in places.iter().zip(&texts).zip(COLUMNS.iter().zip(0..)) {
                if let Some(place) = place {
                    cell(on, y, *place, text, if nth == 1 { tone(job.state) } else { Tone::Plain }, column.right);
                }
            }
        }
    }
}

/// Whether a job waits for its turn.
fn waits(job: &Job) -> bool {
    job.state == State::Queued
}

fn put(job: Option<&Job>, to: Move) -> Vec<Then> {
    match job {
        Some(job) if waits(job) => vec![Then::Do(Effect::PutJob(job.id, to))],
        Some(job) => vec![Then::Say(format!("job {} waits for nothing: {}", job.id, job.state.word()))],
        None => vec![Then::Say("no job is selected".into())],
    }
}

fn ask_cancel(job: Option<&Job>) -> Vec<Then> {
    match job {
        Some(job) if !job.state.is_final() => vec![Then::Open(Box::new(question::cancel(job)))],
        Some(job) => vec![Then::Say(format!("job {} ended already: {}", job.id, job.state.word()))],
        None => vec![Then::Say("no job is selected".into())],
    }
}

/// Opens the job of this number; nothing where it is not in the list.
pub fn open_job(id: JobId, known: &Known) -> Option<Vec<Then>> {
    all(known).iter().find(|j| j.id == id).map(|job| open(job, known))
}

/// Opens one job and follows its log.
fn open(job: &Job, known: &Known) -> Vec<Then> {
    let mut detail = Detail { id: job.id, log: LogBuffer::default(), state: LogState::Opening, head: Vec::new(), top: None };
    detail.head = head(job, known);
    let source = LogSource::Job(job.id);
    vec![Then::Open(Box::new(detail)), Then::Do(Effect::Follow { source, on: true })]
}

/// One job.
pub struct Detail {
    id: JobId,
    log: LogBuffer,
    state: LogState,
    /// What is known of it, above its log.
    head: Vec<Line>,
    /// The first line seen; `None` follows the end of the log.
    top: Option<usize>,
}

fn head(job: &Job, known: &Known) -> Vec<Line> {
    let mut out = Vec::new();
    let time = |at: stamp::Stamp| at.minute(known.offset_s);
    let mut when = format!("asked {} by {}", time(job.created), job.order.allowed_by());
    if let Some(ended) = job.life.ended {
        when.push_str(&format!(", ended {}", time(ended)));
        if let Some(started) = job.life.started {
            when.push_str(&format!(" after {}", stamp::span((ended.secs() - started.secs()).max(0).unsigned_abs())));
        }
    }
    out.push((Tone::Quiet, when));
    if let Some(o) = &job.life.outcome {
        out.push((tone(job.state), o.what.clone()));
        if !o.hint.is_empty() {
            out.push((Tone::Strong, format!("What to do: {}", o.hint)));
        }
        out.extend(o.left.iter().map(|l| (Tone::Warn, format!("left behind: {l}"))));
        out.extend(o.not_in_it.iter().map(|l| (Tone::Warn, format!("not in it: {l}"))));
        out.extend(o.warnings.iter().map(|l| (Tone::Warn, format!("warning: {l}"))));
        if let Some(volid) = &o.volid {
            let size = o.size.map(|s| format!(", {}", stamp::bytes(s))).unwrap_or_default();
            out.push((Tone::Plain, format!("made: {volid}{size}")));
        }
    } else if job.life.cancel {
        out.push((Tone::Warn, "it was asked to end".into()));
    }
    if let Some(upid) = &job.life.upid {
        out.push((Tone::Quiet, format!("task {}", upid.as_str())));
    }
    for (nth, step) in job.order.plan().steps.iter().enumerate() {
        let done = job.state == State::Succeeded || nth < job.life.step;
        let sign = match (done, nth == job.life.step) {
            (true, _) => "done",
            (false, true) if !job.state.is_final() => "now ",
            (false, true) => "here",
            _ => "    ",
        };
        out.push((Tone::Plain, format!("{sign} {} {}", nth + 1, step.title)));
        if let crate::domain::plan::Act::Run { cmd, .. } = &step.act {
            out.push((Tone::Quiet, format!("       $ {}", cmd.shown())));
        }
    }
    out.push((Tone::Quiet, "log".into()));
    out
}

impl Detail {
    fn rows(&self, known: &Known) -> usize {
        self.window(known).height.saturating_sub(4).into()
    }

    fn head_lines(&self, known: &Known) -> Vec<Line> {
        text::wrapped(&self.head, self.window(known).width.saturating_sub(4))
    }

    fn job<'k>(&self, known: &'k Known) -> Option<&'k Job> {
        all(known).iter().find(|j| j.id == self.id)
    }
}

impl Pane for Detail {
    fn context(&self) -> Context {
        Context::Job
    }

    fn act(&mut self, action: Action, known: &Known) -> Option<Vec<Then>> {
        if action == Action::Cancel {
            return Some(ask_cancel(self.job(known)));
        }
        let rows = self.rows(known);
        let len = self.head_lines(known).len() + self.log.len();
        let last = len.saturating_sub(rows);
        let mut top = self.top.unwrap_or(last);
        if !text::scroll(&mut top, action, len, rows) {
            return None;
        }
        self.top = (top < last).then_some(top);
        Some(Vec::new())
    }

    fn can(&self, action: Action, known: &Known) -> bool {
        action != Action::Cancel || self.job(known).is_some_and(|j| !j.state.is_final())
    }

    fn news(&mut self, known: &Known) {
        if let Some(job) = self.job(known) {
            self.head = head(job, known);
        }
    }

    fn wants(&self, source: &LogSource) -> bool {
        *source == LogSource::Job(self.id)
    }

    fn log(&mut self, _source: &LogSource, _at: crate::domain::stamp::Stamp, lines: Vec<LogLine>, dropped: u64, _known: &Known) {
        self.log.push(lines, dropped);
    }

    fn log_state(&mut self, source: &LogSource, state: &LogState) {
        if self.wants(source) {
            self.state = state.clone();
        }
    }

    fn closed(&mut self) -> Vec<Then> {
        vec![Then::Do(Effect::Follow { source: LogSource::Job(self.id), on: false })]
    }

    fn window(&self, known: &Known) -> Window {
        let title = self.job(known).map_or(format!("job {}", self.id), |j| format!("job {} {}", j.id, j.title()));
        Window { title, width: text::wide(known, 120), height: text::most_rows(known) }
    }

    fn draw(&self, on: &mut Canvas<'_>, known: &Known) {
        let room = on.width().saturating_sub(2);
        match self.job(known) {
            Some(job) if !job.state.is_final() => {
                frame::progress(on, 1, 0, room, job);
            }
            Some(job) => {
                on.put(1, 0, room, job.state.word(), tone(job.state));
            }
            None => {
                on.put(1, 0, room, "? this job is not in the list any more", Tone::Unknown);
            }
        }
        let head = self.head_lines(known);
        let rows = self.rows(known).min(on.height().saturating_sub(2).into());
        let len = head.len() + self.log.len();
        let last = len.saturating_sub(rows);
        let top = self.top.map_or(last, |t| t.min(last));
        for (y, nth) in (top..len).take(rows).enumerate() {
            let y = y as u16 + 1;
            match head.get(nth) {
                Some((tone, line)) => on.put(1, y, room, line, *tone),
                None => match self.log.line(nth - head.len()) {
                    Some((_, line)) => on.put(1, y, room, &clean::clean_bytes(&line.text[..line.text.len().min(4096)]), Tone::Plain),
                    None => 0,
                },
            };
        }
        let state = match &self.state {
            LogState::Opening => "opening the log …".to_owned(),
            LogState::Following if self.log.is_empty() => "no line yet".to_owned(),
            LogState::Following | LogState::Noted(_) => words::many(self.log.len(), "line"),
            LogState::Broken { why, again } => format!("log: {why}{}", if *again { ", tried again" } else { "" }),
        };
        let below = len.saturating_sub(top + rows);
        let tail = if below > 0 { format!("{state} · {below} more below, G goes there") } else { state };
        on.put(1, on.height() - 1, room, &tail, Tone::Quiet);
    }
}
