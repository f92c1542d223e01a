//! The one key table. The footer, the help, the palette and `print-keys` are all made from it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// One intent of the operator, without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the sentence of each stands in the table below")]
pub enum Action {
    ShowOverview,
    ShowLogs,
    ShowBackups,
    ShowAppliance,
    ShowPorts,
    ShowSettings,
    Edit,
    Unset,
    Undo,
    Save,
    SaveNow,
    AddSite,
    Backup,
    Restore,
    Schedule,
    Verify,
    Files,
    Pull,
    Parent,
    Menu,
    Mend,
    Pin,
    Publish,
    Unpublish,
    Block,
    Reserve,
    Release,
    ReleaseNow,
    Converge,
    WhoHas,
    Certificates,
    Picture,
    KeepChange,
    LogsOf,
    Sources,
    OpenFile,
    GoTo,
    Complete,
    Around,
    Wrap,
    Left,
    Right,
    Search,
    NextHit,
    PrevHit,
    Graver,
    Milder,
    NextError,
    PrevError,
    AtTime,
    Between,
    Filters,
    Mark,
    NextMark,
    PrevMark,
    Marks,
    Export,
    Copy,
    CopyInternal,
    NextPart,
    PrevPart,
    Down,
    Up,
    PageDown,
    PageUp,
    HalfDown,
    HalfUp,
    Top,
    Bottom,
    Open,
    Details,
    Toggle,
    Pick(u8),
    Yes,
    No,
    Cancel,
    Protect,
    Sooner,
    Later,
    First,
    Back,
    Grow,
    Shrink,
    Jobs,
    Audit,
    Refresh,
    Credential,
    CredentialBack,
    Lock,
    SecondFactor,
    Palette,
    Help,
    Quit,
    Repaint,
    QuitNow,
}

/// Where a key is pressed: a pane or a kind of dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// Pane 1.
    Overview,
    /// Pane 3.
    Appliance,
    /// Pane 4.
    Logs,
    /// Pane 5.
    Ports,
    /// Pane 6.
    Backups,
    /// Pane 9.
    Settings,
    /// Something to read: help, details, a refusal.
    Text,
    /// A list to choose from: actions, sources, the palette.
    Choice,
    /// A log file.
    File,
    /// The files of an archive.
    Inside,
    /// The list of jobs.
    Jobs,
    /// One job.
    Job,
    /// The audit.
    Audit,
    /// A log line, opened.
    Record,
    /// A plan before it is carried out.
    Plan,
    /// A few fields to fill in.
    Form,
    /// A question to be answered with yes or no.
    Confirm,
    /// A passphrase or a code to be typed.
    Proof,
    /// The lock screen.
    Unlock,
}

impl Context {
    /// All of them.
    pub const ALL: &[Context] = &[
        Overview, Appliance, Logs, Ports, Backups, Settings, Text, Choice, File, Inside, Jobs, Job, Audit, Record, Plan, Form, Confirm,
        Proof, Unlock,
    ];

    /// Its name in the list of keys.
    pub fn word(self) -> &'static str {
        match self {
            Overview => "overview",
            Appliance => "appliance",
            Logs => "logs",
            Ports => "ports",
            Backups => "backups",
            Settings => "settings",
            Text => "reading",
            Choice => "choosing",
            File => "a file",
            Inside => "files of an archive",
            Jobs => "jobs",
            Job => "one job",
            Audit => "audit",
            Record => "one line",
            Plan => "plan",
            Form => "fields",
            Confirm => "question",
            Proof => "proof",
            Unlock => "locked",
        }
    }
}

use Context::{
    Appliance, Audit, Backups, Choice, Confirm, File, Form, Inside, Job, Jobs, Logs, Overview, Plan, Ports, Proof, Record, Settings, Text,
    Unlock,
};

/// A key with or without Ctrl.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Which.
    pub code: KeyCode,
    /// With Ctrl.
    pub ctrl: bool,
}

impl Key {
    /// The key of an event. Shift is part of the letter; Alt makes it another key that nobody bound.
    fn of(event: &KeyEvent) -> Option<Key> {
        if event.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META) {
            return None;
        }
        Some(Key { code: event.code, ctrl: event.modifiers.contains(KeyModifiers::CONTROL) })
    }

    /// Whether it writes a letter where one types.
    pub fn is_letter(self) -> bool {
        matches!(self.code, KeyCode::Char(_)) && !self.ctrl
    }

    /// Its name on the screen.
    pub fn name(self) -> String {
        let name = match self.code {
            KeyCode::Char(' ') => "Space".into(),
            KeyCode::Char(c) if self.ctrl => return format!("Ctrl-{c}"),
            KeyCode::Char(c) => c.to_string(),
            KeyCode::BackTab => "Shift-Tab".into(),
            KeyCode::PageDown => "PgDn".into(),
            KeyCode::PageUp => "PgUp".into(),
            KeyCode::Up => "↑".into(),
            KeyCode::Down => "↓".into(),
            KeyCode::Left => "←".into(),
            KeyCode::Right => "→".into(),
            KeyCode::F(n) => format!("F{n}"),
            other => format!("{other:?}"),
        };
        if self.ctrl { format!("Ctrl-{name}") } else { name }
    }
}

/// One row of the key table.
#[derive(Debug)]
pub struct Binding {
    /// Keys that mean the same.
    pub keys: &'static [Key],
    /// What they mean.
    pub action: Action,
    /// Where they mean it.
    pub contexts: &'static [Context],
    /// The word in the footer; empty where the footer does not show it.
    pub word: &'static str,
    /// What it does, for help, palette and manual.
    pub sentence: &'static str,
}

impl Binding {
    /// The names of its keys, parted by blanks.
    pub fn key_names(&self) -> String {
        self.keys.iter().map(|k| k.name()).collect::<Vec<_>>().join(" ")
    }
}

const fn c(c: char) -> Key {
    Key { code: KeyCode::Char(c), ctrl: false }
}
const fn ctrl(c: char) -> Key {
    Key { code: KeyCode::Char(c), ctrl: true }
}
const fn k(code: KeyCode) -> Key {
    Key { code, ctrl: false }
}
const fn row(keys: &'static [Key], action: Action, contexts: &'static [Context], word: &'static str, sentence: &'static str) -> Binding {
    Binding { keys, action, contexts, word, sentence }
}

const PANES: &[Context] = &[Overview, Appliance, Logs, Ports, Backups, Settings];
const SEARCHED: &[Context] = &[Overview, Logs, File, Backups];
const GUESTS: &[Context] = &[Overview, Backups];
const MOVING: &[Context] =
    &[Overview, Appliance, Logs, Ports, Backups, Settings, Text, Choice, File, Inside, Jobs, Job, Audit, Record, Plan];
const WITHOUT_UNLOCK: &[Context] =
    &[Overview, Appliance, Logs, Ports, Backups, Settings, Choice, File, Inside, Jobs, Job, Audit, Record, Plan, Form, Confirm];

/// Rows stand in the order of the footer: what is special to a place comes first.
static TABLE: &[Binding] = &[
    row(&[c('y')], Action::Yes, &[Plan, Confirm], "yes", "say yes"),
    row(&[c('n')], Action::No, &[Plan, Confirm], "no", "say no"),
    row(&[c('b')], Action::Backup, GUESTS, "back up", "back up the selected guest"),
    row(&[c('r')], Action::Restore, GUESTS, "restore", "restore the selected archive, or the newest of the guest, beside the original"),
    row(
        &[c('v')],
        Action::Verify,
        &[Backups],
        "verify",
        "read the selected archive, or the newest of the guest, to its end: whether it is whole; the plan is shown first",
    ),
    row(&[c('f')], Action::Files, &[Backups], "files", "walk through the files of the selected archive, and bring some of them back"),
    row(&[c('p')], Action::Pull, &[Inside], "pull", "bring the selected file or folder back; the plan is shown first"),
    row(&[k(KeyCode::Backspace), k(KeyCode::Left)], Action::Parent, &[Inside], "up", "to the folder above"),
    row(&[c('/')], Action::Search, &[Inside], "filter", "keep names that hold what is typed"),
    row(&[c('x')], Action::Menu, GUESTS, "actions", "what can be done with the selected guest: start, stop, shut down, reboot, back up"),
    row(&[c('f')], Action::Mend, &[Appliance], "fix", "bring the appliance back to its settings, or build it; the plan is shown first"),
    row(&[c('p')], Action::Pin, &[Appliance], "static", "make the selected lease static, or dynamic again; the plan is shown first"),
    row(&[c('x')], Action::Menu, &[Appliance], "actions", "what can be done with the appliance: build, fix, restart a service"),
    row(&[c('p')], Action::Publish, &[Ports], "publish", "publish something under a name, on a pair of ports; the plan is shown first"),
    row(&[c('e')], Action::Edit, &[Ports], "edit", "change how the selected name is published; the plan is shown first"),
    row(
        &[c('f')],
        Action::Mend,
        &[Ports],
        "fix",
        "mend the selected difference: by a plan, or with the words for what only a person can do",
    ),
    row(
        &[c('x')],
        Action::Menu,
        &[Ports],
        "actions",
        "what can be done with the selected ports: reserve, give back, and all that has a key",
    ),
    row(&[c('U')], Action::Unpublish, &[Ports], "", "publish the selected name no more, its ports are given back; the plan is shown first"),
    row(
        &[k(KeyCode::Enter)],
        Action::Open,
        &[Overview, Appliance, Logs, Ports, File, Inside, Backups, Choice, Jobs, Audit, Record, Form, Proof, Unlock],
        "open",
        "open what is selected, or go on",
    ),
    row(&[c('e')], Action::Edit, &[Settings], "edit", "change the selected setting; Enter takes what was typed, Esc leaves it"),
    row(&[c('s')], Action::Save, &[Settings], "save", "show all changes and what they would mean, then save them together"),
    row(&[k(KeyCode::Enter)], Action::Open, &[Settings], "history", "what the selected setting held before; Enter there brings it back"),
    row(&[c(' ')], Action::Toggle, &[Settings], "switch", "the next of a few words: on or off, snapshot, suspend, stop"),
    row(&[c('d')], Action::Unset, &[Settings], "default", "back to the default, or no secret any more"),
    row(&[c('u')], Action::Undo, &[Settings], "undo", "take the last change back that is not saved yet"),
    row(&[c('U')], Action::CredentialBack, &[Settings], "", "bring the Proxmox credential back that was kept before"),
    row(&[c('a')], Action::AddSite, &[Settings], "new site", "one more Proxmox site, with hosts and a credential of its own"),
    row(&[k(KeyCode::Enter)], Action::Open, &[Plan, Confirm, Text], "", "go on, where nothing is interrupted or lost by it"),
    row(&[c('w')], Action::WhoHas, &[Ports], "who", "ask who has a port now, what listens there, and who had it"),
    row(&[c('C')], Action::Certificates, &[Ports], "certs", "all certificates: how long each is good, who renews it, whether its key fits"),
    row(&[c('P')], Action::Pin, &[Ports], "pin", "keep the selected ports for their name for ever, or no more"),
    row(&[c('b')], Action::Block, &[Ports], "block", "let nobody have a pair of ports, with a reason; on a blocked one, give it out again"),
    row(&[c('o')], Action::Picture, &[Ports], "picture", "the public URL as a picture (QR code) for a telephone"),
    row(&[c('s'), c(' ')], Action::Sources, &[Logs], "sources", "choose the logs that are followed"),
    row(&[c('s')], Action::Schedule, &[Backups], "schedule", "when the selected guest is backed up, as one of Proxmox's own jobs"),
    row(&[c('o')], Action::OpenFile, &[Logs], "file", "read a file of this host or of a guest, of any size"),
    row(&[c(':')], Action::GoTo, &[File], "go to", "go to a line by its number, or to hundredths of the file such as 50%"),
    row(&[c('l')], Action::LogsOf, GUESTS, "its logs", "show the log lines that name the selected guest"),
    row(&[c('/')], Action::Search, GUESTS, "search", "search by id, name or address"),
    row(&[c(' ')], Action::Toggle, &[Backups], "mark", "mark the selected guest, or no more; b then backs all marked ones up"),
    row(
        &[c('p')],
        Action::Protect,
        &[Backups],
        "protect",
        "protect the selected archive against removal, or no more; the plan is shown first",
    ),
    row(&[c('e')], Action::Edit, &[Backups], "note", "write notes on the selected archive; the plan is shown first"),
    row(
        &[c('/')],
        Action::Search,
        &[Logs, File, Audit],
        "filter",
        "keep lines in which all words match; !word drops lines; words are regular expressions",
    ),
    row(&[c('/')], Action::Search, &[Ports], "filter", "keep rows in which all words are found: name, port, target, difference"),
    row(&[c('n')], Action::NextHit, SEARCHED, "", "next hit"),
    row(&[c('N')], Action::PrevHit, SEARCHED, "", "previous hit"),
    row(&[c('a')], Action::Around, &[Logs, File], "all/matching", "show all lines with hits marked, or only the lines that match"),
    row(&[c('+')], Action::Graver, &[Logs, File], "graver", "only graver lines: from notice, warn, error or critical on"),
    row(&[c('-')], Action::Milder, &[Logs, File], "", "milder lines too"),
    row(&[c('e')], Action::NextError, &[Logs, File], "error", "next error"),
    row(&[c('E')], Action::PrevError, &[Logs, File], "", "previous error"),
    row(&[c('t')], Action::AtTime, &[Logs, File], "time", "go to a time: 10m, 14:30, yesterday, '2026-11-21 14:30'"),
    row(&[c('W')], Action::Between, &[Logs], "", "only lines between two times: 10m, or 14:00 .. 14:30; nothing is all"),
    row(&[c('f')], Action::Filters, &[Logs, File], "", "the filters one by one: switch some off without losing them"),
    row(&[c('m')], Action::Mark, &[Logs, File], "mark", "set a bookmark with a note on the selected line, or take it away"),
    row(&[c(']')], Action::NextMark, &[Logs, File], "", "next bookmark"),
    row(&[c('[')], Action::PrevMark, &[Logs, File], "", "previous bookmark"),
    row(&[c('M')], Action::Marks, &[Logs, File], "", "all bookmarks, also of lines that are gone"),
    row(&[c('>')], Action::Export, &[Logs], "", "write the lines that are shown to a new file, byte for byte"),
    row(&[c('w')], Action::Wrap, &[Logs, File], "wrap", "wrap long lines, or not"),
    row(&[k(KeyCode::Tab)], Action::Complete, &[File], "complete", "let the path that is typed go on as far as the names there agree"),
    row(&[k(KeyCode::Left)], Action::Left, &[Logs, File], "", "scroll to the left"),
    row(&[k(KeyCode::Right)], Action::Right, &[Logs, File], "", "scroll to the right"),
    row(&[k(KeyCode::Tab)], Action::Details, &[Plan], "details", "show or hide checks, time limits and the host"),
    row(&[c('c')], Action::Cancel, &[Jobs, Job], "cancel", "ask the job to end, after a question"),
    row(&[c('+')], Action::Sooner, &[Jobs], "sooner", "let a job that waits begin one place sooner"),
    row(&[c('-')], Action::Later, &[Jobs], "later", "let a job that waits begin one place later"),
    row(&[c('f')], Action::First, &[Jobs], "first", "let a job that waits be the next one"),
    row(&[c(' ')], Action::Toggle, &[Choice, Form], "mark", "switch on or off"),
    row(&[c('1')], Action::Pick(0), &[Choice, Record], "", "take the first entry"),
    row(&[c('2')], Action::Pick(1), &[Choice, Record], "", "take the second entry"),
    row(&[c('3')], Action::Pick(2), &[Choice, Record], "", "take the third entry"),
    row(&[c('4')], Action::Pick(3), &[Record], "", "take the fourth entry"),
    row(&[c('5')], Action::Pick(4), &[Record], "", "take the fifth entry"),
    row(&[c('6')], Action::Pick(5), &[Record], "", "take the sixth entry"),
    row(&[k(KeyCode::Tab)], Action::NextPart, &[Overview, Settings, Form, Unlock], "next part", "go to the next part or field"),
    row(&[k(KeyCode::BackTab)], Action::PrevPart, &[Overview, Settings, Form, Unlock], "", "go to the previous part or field"),
    row(&[c('j'), k(KeyCode::Down)], Action::Down, MOVING, "", "down"),
    row(&[c('k'), k(KeyCode::Up)], Action::Up, MOVING, "", "up"),
    row(&[k(KeyCode::Down)], Action::Down, &[Form, Unlock], "", "next field or operator"),
    row(&[k(KeyCode::Up)], Action::Up, &[Form, Unlock], "", "previous field or operator"),
    row(&[c('g'), k(KeyCode::Home)], Action::Top, MOVING, "", "to the beginning"),
    row(&[c('G'), k(KeyCode::End)], Action::Bottom, MOVING, "", "to the end; in logs go on following"),
    row(&[k(KeyCode::PageDown)], Action::PageDown, MOVING, "", "a page down"),
    row(&[k(KeyCode::PageUp)], Action::PageUp, MOVING, "", "a page up"),
    row(&[k(KeyCode::PageDown)], Action::PageDown, &[Form], "", "a page of the plan down, where one is shown"),
    row(&[k(KeyCode::PageUp)], Action::PageUp, &[Form], "", "a page of the plan up, where one is shown"),
    row(&[ctrl('d')], Action::HalfDown, MOVING, "", "half a page down"),
    row(&[ctrl('u')], Action::HalfUp, MOVING, "", "half a page up"),
    row(
        &[c('y')],
        Action::Copy,
        &[Overview, Logs, File, Inside, Backups, Record],
        "copy",
        "copy what is selected to the clipboard of your terminal",
    ),
    row(&[c('y')], Action::Copy, &[Ports], "copy", "copy the public URL to the clipboard of your terminal"),
    row(&[c('Y')], Action::CopyInternal, &[Ports], "", "copy the internal URL, for trusted sources"),
    row(&[c('c')], Action::KeepChange, PANES, "", "your line still holds after a change of the host's network: keep the change"),
    row(&[c('J')], Action::Jobs, PANES, "jobs", "list the jobs: what runs, how it goes, how it ended"),
    row(&[c('J')], Action::Jobs, &[Audit], "its job", "open the job of this entry"),
    row(&[c('u')], Action::Undo, &[Audit], "undo", "what the settings of this entry held before; Enter there brings it back"),
    row(&[c('A')], Action::Audit, PANES, "", "read the audit: who did what, and what came of it"),
    row(&[c('R')], Action::Refresh, &[Audit], "", "read it again from the end"),
    row(&[c('R')], Action::Refresh, PANES, "", "ask the host everything again, now"),
    row(
        &[c('P')],
        Action::Credential,
        &[Overview, Appliance, Logs, Backups, Settings],
        "",
        "try a credential of the Proxmox API, step by step",
    ),
    row(&[c('+')], Action::Grow, &[Overview], "", "give the part you are in the whole pane"),
    row(&[c('-')], Action::Shrink, &[Overview], "", "show all parts again"),
    row(&[c('1')], Action::ShowOverview, PANES, "", "pane 1, Overview: what is wrong first"),
    row(&[c('3')], Action::ShowAppliance, PANES, "", "pane 3, Appliance: its lamps and what it lent"),
    row(&[c('4')], Action::ShowLogs, PANES, "", "pane 4, Logs"),
    row(&[c('5')], Action::ShowPorts, PANES, "", "pane 5, Ports: what is published, what answers, what is not as promised"),
    row(&[c('6')], Action::ShowBackups, PANES, "", "pane 6, Backups"),
    row(&[c('9')], Action::ShowSettings, PANES, "", "pane 9, Settings"),
    row(&[k(KeyCode::Esc)], Action::Back, Context::ALL, "back", "back: close, say no, end a search"),
    row(&[c('q')], Action::Back, &[Text, Choice, File, Inside, Jobs, Job, Audit, Record], "", "close"),
    row(&[c('z')], Action::Lock, PANES, "", "lock the screen"),
    row(&[c('T')], Action::SecondFactor, PANES, "", "set up a second factor for your own login"),
    row(&[c('q')], Action::Quit, PANES, "quit", "leave; says which jobs go on without you"),
    row(&[c('?'), k(KeyCode::F(1))], Action::Help, WITHOUT_UNLOCK, "help", "all keys that work here"),
    row(&[c(':')], Action::Palette, PANES, "commands", "find a command by typing parts of it"),
    row(&[ctrl('l')], Action::Repaint, Context::ALL, "", "paint the screen anew"),
    row(&[ctrl('c')], Action::QuitNow, Context::ALL, "", "leave at once, everywhere"),
];

/// The one key table.
pub fn key_table() -> &'static [Binding] {
    TABLE
}

/// What a key means in a place.
pub fn find(context: Context, event: &KeyEvent) -> Option<Action> {
    let key = Key::of(event)?;
    TABLE.iter().find(|b| b.contexts.contains(&context) && b.keys.contains(&key)).map(|b| b.action)
}

/// The rows that hold in a place, in the table's order.
pub fn here(context: Context) -> impl Iterator<Item = &'static Binding> {
    TABLE.iter().filter(move |b| b.contexts.contains(&context))
}

/// The whole table as text, by place: what `print-keys` prints.
pub fn keys_text() -> String {
    let mut out = String::new();
    for context in Context::ALL {
        out.push_str(&format!("{}\n", context.word()));
        for b in here(*context) {
            out.push_str(&format!("  {:<12} {}\n", b.key_names(), b.sentence));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_place() {
        for context in Context::ALL {
            let mut seen = std::collections::HashMap::new();
            for b in here(*context) {
                for key in b.keys {
                    let other = seen.insert(*key, b.action);
                    assert_eq!(other, None, "{} in {}", key.name(), context.word());
                }
            }
        }
    }

    #[test]
    fn every_row_says_what_it_does() {
        for b in key_table() {
            assert!(!b.keys.is_empty() && !b.contexts.is_empty() && !b.sentence.is_empty(), "{b:?}");
        }
        assert!(keys_text().contains("Shift-Tab"));
    }
}
