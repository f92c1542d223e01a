//! Questions that are answered with yes or no: leaving while jobs run, ending a job.

use super::text::{self, Line};
use crate::domain::fact;
use crate::domain::job::Job;
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::frame;
use crate::tui::pane::{Known, Pane, Then, Window};
use crate::tui::theme::Tone;

enum Answer {
    Quit,
    Cancel(i64),
    CredentialBack(String),
}

/// A question.
pub struct Question {
    title: &'static str,
    lines: Vec<Line>,
    yes: Answer,
}

/// Whether to leave; `None` where no job runs and nothing needs to be asked.
pub fn quit(known: &Known) -> Option<Question> {
    let Some(jobs) = known.world.jobs.get() else {
        let unknown = !known.world.jobs.is_pending();
        let lines = vec![(Tone::Unknown, "Whether jobs run is not known. Those that do go on without you.".to_owned())];
        return unknown.then_some(Question { title: "leave?", lines, yes: Answer::Quit });
    };
    let mut lines: Vec<Line> =
        fact::running(jobs).map(|j| (Tone::Strong, format!("job {} goes on without you: {}", j.id, j.title()))).collect();
    if lines.is_empty() {
        return None;
    }
    lines.push((Tone::Plain, "Start proximity again to see how it went.".into()));
    Some(Question { title: "leave?", lines, yes: Answer::Quit })
}

/// Whether to end a job, and what will be left.
pub fn cancel(job: &Job) -> Question {
    let lines = vec![
        (Tone::Strong, format!("job {} {}", job.id, job.title())),
        (Tone::Plain, "It is asked to end; what it did so far is not undone by that.".into()),
        (Tone::Warn, frame::leaves(job)),
        (Tone::Plain, "The job will say what was left in the end.".into()),
    ];
    Question { title: "cancel this job?", lines, yes: Answer::Cancel(job.id) }
}

/// Whether to bring the credential of Proxmox back that was kept before.
pub fn credential_back(site: &str) -> Question {
    let lines = vec![
        (Tone::Plain, "The host, user, secret and proof that were kept before hold again; they were tried then.".into()),
        (Tone::Plain, "Doing this once more brings today's back.".into()),
    ];
    Question { title: "the credential before?", lines, yes: Answer::CredentialBack(site.to_owned()) }
}

impl Pane for Question {
    fn context(&self) -> Context {
        Context::Confirm
    }

    fn act(&mut self, action: Action, _known: &Known) -> Option<Vec<Then>> {
        match (action, &self.yes) {
            (Action::Yes | Action::Open, Answer::Quit) => Some(vec![Then::Close, Then::Do(Effect::Quit)]),
            (Action::Yes, Answer::Cancel(id)) => {
                Some(vec![Then::Close, Then::Do(Effect::Cancel(*id)), Then::Say(format!("job {id} was asked to end"))])
            }
            (Action::Yes | Action::Open, Answer::CredentialBack(site)) => {
                Some(vec![Then::Close, Then::Do(Effect::CredentialBack(site.clone())), Then::Say("saving …".into())])
            }
            (Action::Open, Answer::Cancel(_)) => Some(vec![Then::Say("type y to cancel the job, n to let it run".into())]),
            (Action::No, _) => Some(vec![Then::Close]),
            _ => None,
        }
    }

    fn window(&self, known: &Known) -> Window {
        let width = text::text_width(known).min(72);
        let lines = text::wrapped(&self.lines, width.saturating_sub(4)).len() as u16;
        Window { title: self.title.into(), width, height: (lines + 4).min(text::most_rows(known)) }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        let rows = on.height().saturating_sub(1);
        let lines = text::wrapped(&self.lines, on.width().saturating_sub(2));
        text::draw_lines(&mut on.rows(0, rows), &lines, 0);
        let yes = if !matches!(self.yes, Answer::Cancel(_)) { "y or Enter" } else { "y" };
        on.line(1, rows, &[(yes, Tone::Key), (" yes   ", Tone::Plain), ("n or Esc", Tone::Key), (" no", Tone::Plain)]);
    }
}
