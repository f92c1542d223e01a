//! Tries a credential of the Proxmox API step by step and says in words what it found. Changes nothing there, keeps nothing here.

use std::net::SocketAddr;

use tokio::sync::mpsc;

use crate::domain::certificate::Certificate;
use crate::domain::clean::clean;
use crate::domain::credential::{Candidate, Code, Fingerprint, Trust};
use crate::domain::privilege::{Held, Met};
use crate::domain::stamp::span;
use crate::domain::trial::{Mark, Progress, Report, Step, Taken, Trouble};
use crate::host::Host;
use crate::host::api::{Anchors, Api, ApiError, Distrust, Door, Entry, Limits};

/// A certificate that ends sooner is worth a word. The node's own is renewed in its last two weeks.
const SOON_DAYS: i64 = 10;
/// Clocks that differ more make codes fail and tickets end early.
const SKEW_S: u64 = 30;

/// Tries a candidate. `said` hears of each step as it goes; a second factor is asked for there and awaited on `codes`.
pub async fn test(
    host: &dyn Host,
    candidate: &Candidate,
    limits: Limits,
    said: &mpsc::Sender<Progress>,
    codes: &mut mpsc::Receiver<Code>,
) -> Report {
    let mut trial = Trial { host, candidate, said, report: Report::default() };
    // Where a step goes badly its report is all that there is to tell.
    let _ = trial.run(limits, codes).await;
    let report = trial.report;
    let _ = said.send(Progress::Ended(Box::new(report.clone()))).await;
    report
}

struct Trial<'a> {
    host: &'a dyn Host,
    candidate: &'a Candidate,
    said: &'a mpsc::Sender<Progress>,
    report: Report,
}

/// A step went badly and was told.
struct Ended;

impl Trial<'_> {
    async fn run(&mut self, limits: Limits, codes: &mut mpsc::Receiver<Code>) -> Result<(), Ended> {
        let door = self.address(limits).await?;
        self.certificate(&door).await?;
        let api = self.login(door, codes).await?;
        let major = self.version(&api).await?;
        self.privileges(&api, major).await
    }

    async fn begin(&self, step: Step) {
        let _ = self.said.send(Progress::Begun(step)).await;
    }

    async fn taken(&mut self, step: Step, mark: Mark, found: Vec<String>, hint: impl Into<String>) {
        let taken = Taken { step, mark, found, hint: hint.into() };
        self.report.steps.push(taken.clone());
        let _ = self.said.send(Progress::Taken(taken)).await;
    }

    async fn bad(&mut self, step: Step, trouble: Trouble, why: String, hint: impl Into<String>) -> Ended {
        self.report.trouble = Some(trouble);
        self.taken(step, Mark::Bad, vec![why], hint).await;
        Ended
    }

    async fn failed(&mut self, step: Step, e: &ApiError) -> Ended {
        let trouble = match e {
            e if e.is_unreachable() => Trouble::Unreachable,
            ApiError::Distrusted(_) => Trouble::Distrusted,
            ApiError::NotTaken { .. } | ApiError::LoggedOut { .. } | ApiError::Forbidden { .. } => Trouble::NotAllowed,
            _ => Trouble::Failed,
        };
        let hint = hint(e, self.candidate);
        self.bad(step, trouble, e.to_string(), hint).await
    }

    /// How far the host's clock is from ours, where that is worth a word.
    fn skew(&self, door: &Door) -> Option<String> {
        let (here, there) = (self.host.clock().0.secs(), door.date()?.secs());
        let apart = here.abs_diff(there);
        let way = if there > here { "ahead of" } else { "behind" };
        (apart > SKEW_S).then(|| format!("its clock is {} {way} the one here; codes and tickets depend on it", span(apart)))
    }

    async fn address(&mut self, limits: Limits) -> Result<Door, Ended> {
        self.begin(Step::Address).await;
        if self.host.is_demo() {
            let why = "the demo has no API, and never asks anybody else".to_owned();
            return Err(self.bad(Step::Address, Trouble::Failed, why, "leave out --host demo").await);
        }
        let door = match Anchors::of(self.host, &self.candidate.trust).await {
            Ok(anchors) => Door::new(&self.candidate.address, anchors, limits),
            Err(e) => Err(e),
        };
        let reached = match &door {
            Ok(door) => door.reach().await,
            Err(e) => Err(e.clone()),
        };
        match (door, reached) {
            (Ok(door), Ok(at)) => {
                self.taken(Step::Address, Mark::Good, vec![self.listens(at)], "").await;
                Ok(door)
            }
            (_, Err(e)) | (Err(e), _) => Err(self.failed(Step::Address, &e).await),
        }
    }

    fn listens(&self, at: SocketAddr) -> String {
        let asked = &self.candidate.address;
        if asked.to_string() == at.to_string() { format!("{at} answers") } else { format!("{asked} is {at} and answers") }
    }

    async fn certificate(&mut self, door: &Door) -> Result<(), Ended> {
        self.begin(Step::Certificate).await;
        let shown = match door.certificate().await {
            Ok(shown) => shown,
            Err(e) => {
                if let ApiError::Distrusted(d) = &e {
                    self.report.fingerprint = d.shown.as_ref().map(|c| c.fingerprint.to_string());
                }
                return Err(self.failed(Step::Certificate, &e).await);
            }
        };
        self.report.fingerprint = Some(shown.fingerprint.to_string());
        let days = shown.days_left(self.host.clock().0);
        let mark = if days < SOON_DAYS { Mark::Warn } else { Mark::Good };
        let hint = match (&self.candidate.trust, mark) {
            (_, Mark::Warn) => "on the node: pvecm updatecerts, or renew it where it came from",
            (Trust::Pin(_), _) => "the node renews its own certificate at least every two years; a pin on it must then be renewed too",
            _ => "",
        };
        let found = believed(&shown, &self.candidate.trust, days);
        self.taken(Step::Certificate, mark, found, hint).await;
        Ok(())
    }

    async fn login(&mut self, door: Door, codes: &mut mpsc::Receiver<Code>) -> Result<Api, Ended> {
        self.begin(Step::Login).await;
        let account = &self.candidate.account;
        if account.is_token() {
            // A token is only looked at by a call, so the first one is part of the login.
            let api = door.token(account.clone(), self.candidate.secret.clone());
            return match api.version().await {
                Ok(_) => Ok(self.entered(api).await),
                Err(e) => Err(self.failed(Step::Login, &e).await),
            };
        }
        let challenge = match door.clone().password(account, &self.candidate.secret).await {
            Ok(Entry::Open(api)) => return Ok(self.entered(api).await),
            Ok(Entry::Challenge(challenge)) => challenge,
            Err(e) => return Err(self.failed(Step::Login, &e).await),
        };
        if challenge.offers().is_empty() {
            let why = "the password was taken, but a second factor is wanted that cannot be typed (a security key)";
            return Err(self.bad(Step::Login, Trouble::NotAllowed, why.into(), "use an API token: see proximity manual api").await);
        }
        let _ = self.said.send(Progress::Asks(challenge.offers().to_vec())).await;
        let Some(code) = codes.recv().await else {
            let why = "a second factor is wanted and none was given";
            return Err(self.bad(Step::Login, Trouble::NotAllowed, why.into(), "use an API token for unattended work").await);
        };
        match challenge.answer(&code).await {
            Ok(api) => Ok(self.entered(api).await),
            Err(e @ ApiError::NotTaken { .. }) => {
                let skew = self.skew(&door).map(|s| format!("; {s}")).unwrap_or_default();
                let why = format!("the {} was not taken: {e}{skew}", code.factor.word());
                let hint = "try again with a fresh code; eight wrong ones in a row lock TOTP for this user";
                Err(self.bad(Step::Login, Trouble::NotAllowed, why, hint).await)
            }
            Err(e) => Err(self.failed(Step::Login, &e).await),
        }
    }

    async fn entered(&mut self, api: Api) -> Api {
        let account = &self.candidate.account;
        let kind = if account.is_token() { "API token" } else { "user" };
        let mut found = vec![format!("the {kind} {} is taken", clean(account.as_str()))];
        let (mut mark, mut hint) = (Mark::Good, "");
        if let Some(skew) = self.skew(api.door()) {
            found.push(skew);
            (mark, hint) = (Mark::Warn, "set the clocks right (chrony) on both");
        }
        self.taken(Step::Login, mark, found, hint).await;
        api
    }

    /// Gives the major release.
    async fn version(&mut self, api: &Api) -> Result<u32, Ended> {
        self.begin(Step::Version).await;
        let version = match api.version().await {
            Ok(version) => version,
            Err(e) => return Err(self.failed(Step::Version, &e).await),
        };
        let Some(major) = version.major() else {
            let why = "it does not say its version".to_owned();
            return Err(self.bad(Step::Version, Trouble::Failed, why, "is this a Proxmox VE node, and not another product?").await);
        };
        let name = clean(if version.version.0.is_empty() { &version.release.0 } else { &version.version.0 });
        let mut found = vec![format!("Proxmox VE {name}")];
        let (mut mark, mut hint) = (Mark::Good, "");
        if !(7..=9).contains(&major) {
            (mark, hint) = (Mark::Warn, "releases 7, 8 and 9 are known here; others may answer otherwise");
        }
        match nodes(api).await {
            Ok((text, well)) => {
                found.push(text);
                if !well {
                    (mark, hint) = (Mark::Warn, "what is away cannot be worked with until it is back");
                }
            }
            Err(e) => {
                found.push(format!("the nodes cannot be told: {e}"));
                mark = Mark::Warn;
            }
        }
        self.report.version = Some(name);
        self.taken(Step::Version, mark, found, hint).await;
        Ok(major)
    }

    async fn privileges(&mut self, api: &Api, major: u32) -> Result<(), Ended> {
        self.begin(Step::Privileges).await;
        let held = match api.permissions().await {
            Ok(held) => held,
            Err(e) => return Err(self.failed(Step::Privileges, &e).await),
        };
        let account = &self.candidate.account;
        if held.is_empty() {
            let hint = if account.is_token() {
                "a token with privilege separation holds only what it was given itself: see proximity manual api"
            } else {
                "give it a role: see proximity manual api"
            };
            return Err(self.bad(Step::Privileges, Trouble::NotAllowed, "it may do nothing at all".into(), hint).await);
        }
        let mut found = missing(&held, major);
        self.report.missing = held.missing(major).iter().map(|(need, _)| need.name.to_owned()).collect();
        let short = !found.is_empty();
        if !short {
            found.push("it may do everything that is needed".into());
        }
        let too_much = held.too_much();
        let mut hint = if short { "give it what is missing: see proximity manual api" } else { "" };
        if account.as_str() == "root@pam" {
            found.push("this is root: it may do anything, on every node".into());
            hint = "an API token of a user of its own does with less: see proximity manual api";
        } else if !too_much.is_empty() {
            found.push(format!("it may do more than is needed: {}", too_much.join(", ")));
            hint = if short { hint } else { "a role with only what is needed does less harm when it is lost: see proximity manual api" };
        }
        let mark = if short || !too_much.is_empty() { Mark::Warn } else { Mark::Good };
        self.taken(Step::Privileges, mark, found, hint).await;
        Ok(())
    }
}

/// One line for each privilege that is missing or held in places only.
fn missing(held: &Held, major: u32) -> Vec<String> {
    let line = |(need, met): (&'static crate::domain::privilege::Need, Met)| match met {
        Met::Partly(paths) => {
            let some = paths.iter().take(3).map(|p| clean(p)).collect::<Vec<_>>().join(", ");
            let more = paths.len().saturating_sub(3);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{} only on {some}{more}, to {}", need.name, need.to)
        }
        _ => format!("{} is missing on {}, to {}", need.name, need.path, need.to),
    };
    held.missing(major).into_iter().map(line).collect()
}

/// The nodes in words, and whether all is well with them.
async fn nodes(api: &Api) -> Result<(String, bool), ApiError> {
    let members = match api.cluster().await {
        // Without Sys.Audit the list of nodes is all there is.
        Err(ApiError::Forbidden { .. }) => {
            let nodes = api.nodes().await?;
            let names: Vec<String> = nodes.iter().map(|n| clean(&n.node.0)).collect();
            return Ok((if names.is_empty() { "no node can be seen".into() } else { format!("nodes: {}", names.join(", ")) }, true));
        }
        members => members?,
    };
    let nodes: Vec<_> = members.iter().filter(|m| m.kind.0 == "node").collect();
    let away: Vec<String> = nodes.iter().filter(|n| !n.online.0).map(|n| clean(&n.name.0)).collect();
    let all: Vec<String> = nodes.iter().map(|n| clean(&n.name.0)).collect();
    let mut text = match members.iter().find(|m| m.kind.0 == "cluster") {
        Some(c) => format!("cluster {}: {}{}", clean(&c.name.0), all.join(", "), if c.quorate.0 { ", quorate" } else { ", NO QUORUM" }),
        None => format!("node {}", all.join(", ")),
    };
    if !away.is_empty() {
        text.push_str(&format!("; away: {}", away.join(", ")));
    }
    let quorate = members.iter().filter(|m| m.kind.0 == "cluster").all(|m| m.quorate.0);
    Ok((text, quorate && away.is_empty()))
}

fn believed(c: &Certificate, trust: &Trust, days: i64) -> Vec<String> {
    let by = match trust {
        Trust::Pin(_) => "it is the pinned one",
        Trust::System => "signed by an authority this system trusts, or the node's own",
        Trust::File(_) | Trust::Pem(_) => "signed by the given authority",
    };
    let days = if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
    vec![format!("for {}, by {}, {days} left", clean(&c.subject), clean(&c.issuer)), format!("{by}; SHA-256 {}", c.fingerprint)]
}

/// What to do about it.
fn hint(e: &ApiError, candidate: &Candidate) -> String {
    let at = &candidate.address;
    match e {
        ApiError::NoName { .. } => "write it as the network knows it, or give the IP address".into(),
        ApiError::NoConnection { .. } => format!("is pveproxy running there, and does a firewall let port {} through?", at.port()),
        ApiError::NotTls { .. } => format!("port {} must be that of pveproxy, usually 8006; nothing was sent", at.port()),
        ApiError::Distrusted(d) => distrusted(&d.why, d.shown.as_ref().map(|c| c.fingerprint)),
        ApiError::Anchors { .. } => "give the file /etc/pve/pve-root-ca.pem of the node, or pin its certificate".into(),
        ApiError::NotTaken { .. } if candidate.account.is_token() => {
            "compare the token's name and value; a value is shown only once, when it is made".into()
        }
        ApiError::NotTaken { .. } => "compare user, realm and password".into(),
        ApiError::Forbidden { .. } => "give it what is missing: see proximity manual api".into(),
        ApiError::Redirected { .. } | ApiError::Foreign { .. } => "this is no Proxmox VE node, or a proxy answers in its place".into(),
        ApiError::Behind { .. } => "is pvedaemon running there (systemctl status pvedaemon)?".into(),
        ApiError::TimedOut { .. } | ApiError::Cut { .. } | ApiError::TooLarge { .. } => {
            "try again; if it stays so, look at the node's load and journal".into()
        }
        ApiError::LoggedOut { .. } => "log in again".into(),
        ApiError::Refused { .. } | ApiError::Unknown { .. } => "look at the node: systemctl status pveproxy pvedaemon pve-cluster".into(),
    }
}

fn distrusted(why: &Distrust, shown: Option<Fingerprint>) -> String {
    let what = match why {
        Distrust::Expired => "on the node: pvecm updatecerts --force, then systemctl reload pveproxy; or set the clock right",
        Distrust::NotYet => "set the clock right, here or there",
        Distrust::WrongName => "give one of the names it is for, or pin it",
        Distrust::UnknownIssuer => "give the node's /etc/pve/pve-root-ca.pem, or pin it after comparing with: pvenode cert info",
        Distrust::Changed(_) => "compare on the node with: pvenode cert info. Only if it is the same there, pin the new one",
        Distrust::Bad(_) => "have the node make a new one: pvecm updatecerts --force",
    };
    match (why, shown) {
        (Distrust::UnknownIssuer | Distrust::WrongName, Some(shown)) => format!("{what}. It shows SHA-256 {shown}. Nothing was sent"),
        _ => format!("{what}. Nothing was sent"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn missing_privileges_in_words() {
        let held = Held::new([("/vms/100".to_owned(), "VM.Audit".to_owned(), true)]);
        let lines = missing(&held, 9);
        assert!(lines.contains(&"VM.Audit only on /vms/100, to see guests and how they are set up".to_owned()), "{lines:?}");
        assert!(lines.contains(&"SDN.Use is missing on /sdn, to connect a guest to a bridge".to_owned()), "{lines:?}");
        assert!(!missing(&held, 7).iter().any(|l| l.contains("SDN")));
    }
}
