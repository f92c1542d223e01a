//! Tries a credential of the Proxmox API and keeps it only then: the fields, the steps as they go, the whole report, the save.
//!
//! ```text
//! ▸ address      pve1
//!   account      proximity@pve!console
//!   secret       ••••••••
//!   proof        /etc/pve/pve-root-ca.pem
//!   ok   address      pve1:8006 is 10.0.0.2:8006 and answers
//!   …    certificate
//! ```

use std::sync::Arc;

use super::text::{self, Line, Text};
use crate::domain::credential::{Account, Candidate, Code, Factor, Fingerprint, Trust};
use crate::domain::secret::Secret;
use crate::domain::trial::{Mark, Progress, Report, Step, Taken};
use crate::tui::action::{Action, Context};
use crate::tui::canvas::Canvas;
use crate::tui::effect::Effect;
use crate::tui::input::{Input, LONGEST, Passphrase};
use crate::tui::pane::{Known, Pane, Then, Typed, Window};
use crate::tui::theme::Tone;

/// The fields in order: name, and what is said while one is in it.
const FIELDS: [(&str, &str); 5] = [
    ("address", "name or IP address, with :PORT where that is not 8006"),
    ("account", "an API token, such as proximity@pve!console, or a user"),
    ("secret", "the token's value, or the user's password"),
    ("proof", "empty: this system's authorities; a CA file; or a SHA-256 pin"),
    ("code", "six digits of TOTP, or a recovery key"),
];
const SECRET: usize = 2;
const CODE: usize = 4;

/// How a try goes.
#[derive(PartialEq, Eq)]
enum State {
    /// Fields are filled in.
    Filling,
    /// It runs, or waits for the server.
    Trying,
    /// It waits for a second factor.
    Asked(Vec<Factor>),
    /// It passed and may be kept.
    Passed,
    /// It is being kept.
    Keeping,
}

/// Fields of a credential, and how trying it goes.
pub struct Credential {
    /// The site it is for; the first has no name.
    site: String,
    address: Input,
    account: Input,
    secret: Passphrase,
    /// The secret of the last try, so that a wrong address does not cost it.
    kept: Option<Arc<Secret>>,
    proof: Input,
    code: Passphrase,
    at: usize,
    state: State,
    /// Number of the try: news of an earlier one are not for us.
    nth: u32,
    begun: Option<Step>,
    taken: Vec<Taken>,
    said: (Tone, String),
}

impl Credential {
    /// With what the settings of a site hold, but for the secret. The first site has no name.
    pub fn new(site: &str, known: &Known) -> Credential {
        let settings = known.world.chosen().map(std::borrow::Cow::into_owned).unwrap_or_default();
        let at = if site.is_empty() { String::new() } else { format!("@{site}") };
        let text = |name: &str| {
            let key = format!("proxmox{at}.{name}").parse().ok();
            key.and_then(|key| settings.value(&key).ok().flatten()).map(|v| v.to_string()).unwrap_or_default()
        };
        let (hosts, port) = (text("hosts"), text("port"));
        let host = hosts.split(',').next().unwrap_or_default().trim();
        let address = match (host.contains(':'), port.as_str()) {
            (true, "8006" | "") => format!("[{host}]"),
            (true, port) => format!("[{host}]:{port}"),
            (false, "8006" | "") => host.to_owned(),
            (false, port) => format!("{host}:{port}"),
        };
        let proof = [text("fingerprint"), text("ca")].into_iter().find(|t| !t.is_empty()).unwrap_or_default();
        Credential {
            site: site.to_owned(),
            address: Input::with(if host.is_empty() { String::new() } else { address }),
            account: Input::with(text("user")),
            secret: Passphrase::default(),
            kept: None,
            proof: Input::with(proof),
            code: Passphrase::default(),
            at: 0,
            state: State::Filling,
            nth: 0,
            begun: None,
            taken: Vec::new(),
            said: (Tone::Quiet, String::new()),
        }
    }

    fn wrong(&mut self, at: usize, why: impl Into<String>) -> Vec<Then> {
        self.at = at;
        self.said = (Tone::Bad, why.into());
        Vec::new()
    }

    fn go(&mut self) -> Vec<Then> {
        match &self.state {
            State::Filling => self.begin(),
            State::Trying | State::Keeping => Vec::new(),
            State::Passed => {
                self.state = State::Keeping;
                self.said = (Tone::Quiet, "saving …".into());
                vec![Then::Do(Effect::Keep { nth: self.nth, site: self.site.clone() })]
            }
            State::Asked(offers) => {
                if self.code.is_empty() {
                    return self.wrong(CODE, "type the code first");
                }
                let only_recovery = !offers.contains(&Factor::Totp);
                let may_recover = offers.contains(&Factor::Recovery);
                let Some(code) = self.code.take() else { return self.wrong(CODE, "that is no code") };
                // A code of an app has six digits, a recovery key 16 in groups.
                let factor = if only_recovery || (may_recover && code.len() > 8) { Factor::Recovery } else { Factor::Totp };
                self.state = State::Trying;
                vec![Then::Do(Effect::Answer(Code { factor, code }))]
            }
        }
    }

    fn begin(&mut self) -> Vec<Then> {
        let address = match self.address.text().parse() {
            Ok(address) => address,
            Err(why) => return self.wrong(0, why),
        };
        let account: Account = match self.account.text().parse() {
            Ok(account) => account,
            Err(why) => return self.wrong(1, why),
        };
        let trust = match trust(self.proof.text()) {
            Ok(trust) => trust,
            Err(why) => return self.wrong(3, why),
        };
        if !self.secret.is_empty() {
            let Some(secret) = self.secret.take() else {
                return self.wrong(SECRET, format!("a secret has at most {LONGEST} bytes; it was cleared"));
            };
            self.kept = Some(Arc::new(secret));
        }
        let Some(secret) = self.kept.clone() else { return self.wrong(SECRET, "type the token's value or the password first") };
        self.nth += 1;
        self.state = State::Trying;
        self.taken.clear();
        self.said = (Tone::Quiet, "trying; Esc stops".into());
        vec![Then::Do(Effect::Try { nth: self.nth, candidate: Candidate { address, account, secret, trust } })]
    }

    fn turn(&mut self, by: usize) {
        if matches!(self.state, State::Filling | State::Passed) {
            self.state = State::Filling;
            self.at = (self.at + by) % CODE;
            self.said = (Tone::Quiet, String::new());
        }
    }

    fn field(&mut self) -> &mut dyn Typed {
        match self.at {
            0 => &mut self.address,
            1 => &mut self.account,
            SECRET => &mut self.secret,
            3 => &mut self.proof,
            _ => &mut self.code,
        }
    }

    fn is_busy(&self) -> bool {
        matches!(self.state, State::Trying | State::Keeping)
    }

    fn is_asked(&self) -> bool {
        matches!(self.state, State::Asked(_))
    }
}

/// What somebody means by the field "proof".
fn trust(text: &str) -> Result<Trust, String> {
    match text.trim() {
        "" => Ok(Trust::System),
        path if path.starts_with('/') => Ok(Trust::File(path.to_owned())),
        pin => pin.parse::<Fingerprint>().map(Trust::Pin).map_err(|_| "give the whole path of a PEM file, or a SHA-256 in 32 pairs".into()),
    }
}

fn mark(mark: Mark) -> (&'static str, Tone) {
    match mark {
        Mark::Good => ("ok", Tone::Good),
        Mark::Warn => ("warn", Tone::Warn),
        Mark::Bad => ("BAD", Tone::Bad),
    }
}

/// The whole report, to be read.
fn report(report: &Report) -> Text {
    let mut lines: Vec<Line> = Vec::new();
    for taken in &report.steps {
        let (word, tone) = mark(taken.mark);
        for (nth, found) in taken.found.iter().enumerate() {
            let name = if nth == 0 { taken.step.word() } else { "" };
            let shown = if nth == 0 { tone } else { Tone::Plain };
            let word = if nth == 0 && taken.mark != Mark::Good { format!("{word}: ") } else { String::new() };
            lines.push((shown, format!("{name:<12} {word}{found}")));
        }
        if !taken.hint.is_empty() {
            lines.push((Tone::Strong, format!("{:<12} What to do: {}", "", taken.hint)));
        }
    }
    Text::new(report.verdict().trim_end_matches('.').to_owned(), lines)
}

impl Pane for Credential {
    fn context(&self) -> Context {
        Context::Form
    }

    fn act(&mut self, action: Action, _known: &Known) -> Option<Vec<Then>> {
        match action {
            Action::NextPart | Action::Down => self.turn(1),
            Action::PrevPart | Action::Up => self.turn(CODE - 1),
            Action::Open => return Some(self.go()),
            Action::Back if matches!(self.state, State::Trying | State::Asked(_)) => {
                self.state = State::Filling;
                (self.begun, self.at) = (None, 0);
                self.code = Passphrase::default();
                self.said = (Tone::Plain, "stopped; nothing was kept".into());
                return Some(vec![Then::Do(Effect::EndTry)]);
            }
            _ => return None,
        }
        Some(Vec::new())
    }

    fn can(&self, action: Action, _known: &Known) -> bool {
        match action {
            Action::Toggle => false,
            Action::NextPart => matches!(self.state, State::Filling | State::Passed),
            Action::Open => !self.is_busy(),
            _ => true,
        }
    }

    fn is_typing(&self) -> bool {
        true
    }

    fn input(&mut self) -> Option<&mut dyn Typed> {
        (!self.is_busy()).then(|| self.field())
    }

    fn typed(&mut self, _known: &Known) -> Vec<Then> {
        // What was tried is not what stands there now.
        if self.state == State::Passed {
            self.state = State::Filling;
        }
        self.said = (Tone::Quiet, String::new());
        Vec::new()
    }

    fn trial(&mut self, nth: u32, news: &Progress) -> Vec<Then> {
        if nth != self.nth || self.state == State::Filling {
            return Vec::new();
        }
        match news {
            Progress::Begun(step) => self.begun = Some(*step),
            Progress::Taken(taken) => {
                self.begun = None;
                self.taken.push(taken.clone());
            }
            Progress::Asks(offers) => {
                self.state = State::Asked(offers.clone());
                self.at = CODE;
                self.said = (Tone::Strong, "the password was taken; it asks for a second factor".into());
            }
            Progress::Ended(ended) => {
                let (state, tone) = if ended.passed() { (State::Passed, Tone::Good) } else { (State::Filling, Tone::Bad) };
                (self.state, self.begun, self.at) = (state, None, 0);
                self.said = (tone, ended.verdict());
                return vec![Then::Open(Box::new(report(ended)))];
            }
            Progress::Kept(n) => {
                let what = crate::tui::words::many(*n, "setting");
                return vec![Then::Close, Then::Say(format!("saved {what}; U in Settings brings the credential before back"))];
            }
            Progress::NotKept(why) => {
                self.state = State::Filling;
                self.said = (Tone::Bad, format!("not saved: {why}"));
            }
        }
        Vec::new()
    }

    fn closed(&mut self) -> Vec<Then> {
        vec![Then::Do(Effect::EndTry)]
    }

    fn window(&self, known: &Known) -> Window {
        Window {
            title: match self.site.as_str() {
                "" => "try a Proxmox API credential".into(),
                site => format!("try a Proxmox API credential of {site}"),
            },
            width: text::text_width(known).min(80),
            height: 16.min(text::most_rows(known)),
        }
    }

    fn draw(&self, on: &mut Canvas<'_>, _known: &Known) {
        let room = on.width().saturating_sub(2);
        let shown = if self.is_asked() { FIELDS.len() } else { CODE };
        for (y, (name, _)) in FIELDS.iter().enumerate().take(shown) {
            let (row, here) = (y as u16, y == self.at && !self.is_busy());
            on.put(1, row, 1, if here { "▸" } else { " " }, Tone::Strong);
            on.put(3, row, 10, name, Tone::Quiet);
            let value = room.saturating_sub(13);
            match y {
                0 => self.address.draw(on, 14, row, value, here),
                1 => self.account.draw(on, 14, row, value, here),
                3 => self.proof.draw(on, 14, row, value, here),
                _ => {
                    let secret = if y == SECRET { &self.secret } else { &self.code };
                    let kept = y == SECRET && self.kept.is_some() && secret.is_empty();
                    if here && !kept {
                        secret.draw(on, 14, row);
                    } else if !secret.is_empty() {
                        on.put(14, row, value, "••••••••", Tone::Plain);
                    } else if kept {
                        on.put(14, row, value, "as typed before; type another one over it", Tone::Quiet);
                        if here {
                            on.cursor(14, row);
                        }
                    }
                }
            }
        }
        let said = if self.said.1.is_empty() { FIELDS[self.at].1 } else { self.said.1.as_str() };
        on.put(1, shown as u16, room, said, self.said.0);
        let last = on.height().saturating_sub(1);
        let first = shown as u16 + 1;
        let rows = usize::from(last.saturating_sub(first));
        let going = self.begun.map(|step| ("…", Tone::Quiet, step, ""));
        let steps = self.taken.iter().map(|t| (mark(t.mark).0, mark(t.mark).1, t.step, t.found.first().map_or("", String::as_str)));
        let steps: Vec<_> = steps.chain(going).collect();
        for (y, (word, tone, step, found)) in steps.iter().skip(steps.len().saturating_sub(rows)).enumerate() {
            let row = first + y as u16;
            on.put(3, row, 4, word, *tone);
            on.put(8, row, 12, step.word(), Tone::Plain);
            on.put(21, row, room.saturating_sub(20), found, Tone::Plain);
        }
        let enter = match self.state {
            State::Filling => " test it   ",
            State::Trying | State::Keeping => " ",
            State::Asked(_) => " send the code   ",
            State::Passed => " save it   ",
        };
        let esc = if matches!(self.state, State::Trying | State::Asked(_)) { " stop" } else { " close" };
        let key = if self.is_busy() { "" } else { "Enter" };
        on.line(1, last, &[(key, Tone::Key), (enter, Tone::Plain), ("Esc", Tone::Key), (esc, Tone::Plain)]);
    }
}
