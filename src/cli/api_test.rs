//! `settings test proxmox`: tries a credential of the Proxmox API, steps as they go, then one verdict. Saves nothing.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;

use super::login::{Open, login_for};
use super::{Ctx, Done, Form, Need, on_host, output, secrets};
use crate::domain::access::Permission;
use crate::domain::address::Address;
use crate::domain::credential::{Account, Candidate, Code, Factor, Fingerprint, Trust};
use crate::domain::secret::Secret;
use crate::domain::settings;
use crate::domain::trial::{Mark, Progress, Report, Taken, Trouble};
use crate::host::api::Limits;
use crate::ops::credential;
use crate::ops::settings::Saver;
use crate::problem::{Kind, Problem, WARNED};
use crate::store::{Store, Unlocked};

/// What is tried: what the settings hold, or what is given. A given secret comes on standard input or a descriptor, never
/// as an argument.
#[derive(Args)]
pub(super) struct Test {
    /// Name or IP address of a Proxmox host, with its port where that is not 8006; without it what the settings hold is tried
    #[arg(requires = "account")]
    address: Option<String>,
    /// User or API token, such as root@pam or proximity@pve!console
    account: Option<String>,
    /// The site whose settings are tried, or that the credential is saved for, where there are several
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// Keep the credential that is given, if it passes: it is sealed, and the one before is kept for one step back
    #[arg(long, requires = "address")]
    save: bool,
    #[command(flatten)]
    open: Open,
    /// PEM file with the authority that signed the host's certificate, such as /etc/pve/pve-root-ca.pem
    #[arg(long, value_name = "FILE", conflicts_with = "pin")]
    ca: Option<PathBuf>,
    /// SHA-256 fingerprint of the one certificate that is believed, as pvenode cert info prints it
    #[arg(long, value_name = "SHA256")]
    pin: Option<String>,
    /// Descriptor the password or token value is read from; without it standard input, or the terminal
    #[arg(long, value_name = "N")]
    secret_fd: Option<i32>,
    /// Descriptor a second factor of Proxmox is read from; without it the terminal is asked
    #[arg(long, value_name = "N")]
    proxmox_code_fd: Option<i32>,
    /// The second factor is a recovery key, not a TOTP code
    #[arg(long)]
    recovery: bool,
}

impl Test {
    /// What it takes. The authority of a file is read from the host.
    pub(super) fn needs(&self) -> Vec<Need> {
        let mut all = vec![if self.address.is_some() { on_host(Permission::ChangeSettings) } else { Need::Login }];
        all.extend(self.save.then_some(Need::Login));
        all.extend(self.ca.is_some().then_some(Need::Unrestricted));
        all
    }
}

/// Tries it and tells how it went.
pub(super) async fn test_proxmox(ctx: &Ctx, args: &Test) -> Done {
    let candidate = match (&args.address, &args.account) {
        (Some(address), Some(account)) => given(args, address, account)?,
        _ => saved(ctx, args)?,
    };
    let report = run(ctx, args, &candidate).await;
    let kept = if args.save && report.passed() { Some(keep(ctx, args, &candidate).await) } else { None };
    if ctx.form == Form::Json {
        let (address, account) = (candidate.address.to_string(), candidate.account.as_str());
        let (now, passed, saved) = (ctx.host.clock().0.rfc3339(), report.passed(), matches!(kept, Some(Ok(_))));
        output::object(
            &json!({ "as_of": now, "address": address, "account": account, "passed": passed, "saved": saved, "report": report }),
        );
    } else if let Some(Ok(n)) = kept {
        output::say(&format!("saved ({n} setting(s)); settings revert proxmox brings the credential before back"));
    }
    if let Some(Err(problem)) = kept {
        return Err(problem);
    }
    done(&candidate, &report)
}

/// What the settings hold, checked, with its secret out of the vault.
fn saved(ctx: &Ctx, args: &Test) -> Result<Candidate, Problem> {
    if ctx.host.is_demo() {
        return Err(Problem::new(Kind::Usage, "settings test", "the demo keeps no credential", "leave --host demo out"));
    }
    let store = Store::open(&ctx.config.state)?;
    let vault = login_for(ctx, &store, &args.open, Permission::ChangeSettings)?.vault;
    let settings = store.settings(Some(&vault))?;
    let site = args.site.as_deref().unwrap_or_default();
    let wrong = |(what, why): (String, String)| Problem::new(Kind::Configuration, what, why, "see proximity settings list proxmox");
    let keys = settings::login_keys(site).map_err(|why| Problem::new(Kind::NotFound, "--site", why, "see proximity settings list"))?;
    // What is not set is told before what is not sealed.
    settings::to_candidate(&settings, site, Arc::new(Secret::new(Vec::new()))).map_err(wrong)?;
    let secret =
        keys.iter().find(|key| key.definition().is_secret()).ok_or_else(|| wrong(("proxmox.secret".into(), "is no setting".into())))?;
    settings::to_candidate(&settings, site, Arc::new(store.setting_secret(&vault, secret)?)).map_err(wrong)
}

/// Keeps what was tried and passed.
async fn keep(ctx: &Ctx, args: &Test, tried: &Candidate) -> Result<usize, Problem> {
    if ctx.read_only {
        return Err(Problem::new(Kind::ReadOnly, "the settings", "--read-only refuses everything that changes something", ""));
    }
    let store = Store::open(&ctx.config.state)?;
    let world = ctx.whole_world().await;
    let Unlocked { vault, who } = login_for(ctx, &store, &args.open, Permission::ChangeSettings)?;
    let audit = ctx.audit();
    let saver = Saver { audit: &audit, store: &store, vault: &vault, world: &world, who: &who, now: ctx.host.clock().0 };
    Ok(saver.keep(tried, args.site.as_deref().unwrap_or_default())?)
}

/// What is given as arguments, with its secret from a descriptor, standard input or the terminal.
fn given(args: &Test, address: &str, account: &str) -> Result<Candidate, Problem> {
    let wrong = |what: &str, why: String| Problem::new(Kind::Usage, what, why, "see proximity manual api");
    let address: Address = address.parse().map_err(|why| wrong("the address", why))?;
    let account: Account = account.parse().map_err(|why| wrong("the account", why))?;
    let trust = match (&args.ca, &args.pin) {
        (Some(path), _) => {
            let path = std::path::absolute(path).map_err(|e| wrong("--ca", e.to_string()))?;
            Trust::File(path.to_str().ok_or_else(|| wrong("--ca", "its name is not UTF-8".into()))?.to_owned())
        }
        (None, Some(pin)) => Trust::Pin(pin.parse::<Fingerprint>().map_err(|why| wrong("--pin", why))?),
        (None, None) => Trust::System,
    };
    let asked = if account.is_token() { "value of the token" } else { "password" };
    // Asked for here only where there is nothing else to read it from.
    let fd = args.secret_fd.or_else(|| (!std::io::stdin().is_terminal()).then_some(0));
    let secret = secrets::passphrase(fd, asked)?;
    if secret.is_empty() {
        return Err(wrong("the secret", "it is empty".into()));
    }
    Ok(Candidate { address, account, secret: Arc::new(secret), trust })
}

async fn run(ctx: &Ctx, args: &Test, candidate: &Candidate) -> Report {
    let (said, mut heard) = mpsc::channel(16);
    let (answers, mut codes) = mpsc::channel(1);
    let telling = async move {
        // Ends with the last step; dropping `answers` tells that there is nobody to ask.
        let mut answers = Some(answers);
        while let Some(progress) = heard.recv().await {
            match progress {
                Progress::Taken(taken) if ctx.form != Form::Json => tell(ctx.form, &taken),
                Progress::Asks(offers) => {
                    let answers = answers.take();
                    if let (Some(code), Some(answers)) = (ask(args, &offers).await, answers) {
                        let _ = answers.send(code).await;
                    }
                }
                Progress::Ended(_) => break,
                Progress::Begun(_) | Progress::Taken(_) | Progress::Kept(_) | Progress::NotKept(_) => {}
            }
        }
    };
    let (report, ()) = tokio::join!(credential::test(ctx.host.as_ref(), candidate, Limits::default(), &said, &mut codes), telling);
    report
}

/// The second factor; `None` where there is nobody to ask.
async fn ask(args: &Test, offers: &[Factor]) -> Option<Code> {
    let factor = if args.recovery || !offers.contains(&Factor::Totp) { Factor::Recovery } else { Factor::Totp };
    let fd = args.proxmox_code_fd;
    if fd.is_none() && !std::io::stderr().is_terminal() {
        return None;
    }
    let asked = tokio::task::spawn_blocking(move || secrets::passphrase(fd, factor.word())).await;
    let code = asked.ok()?.inspect_err(|p| eprintln!("proximity: {}", p.text())).ok()?;
    Some(Code { factor, code })
}

fn tell(form: Form, taken: &Taken) {
    let mark = match taken.mark {
        Mark::Good => "ok",
        Mark::Warn => "warn",
        Mark::Bad => "BAD",
    };
    if form == Form::Plain {
        taken.found.iter().for_each(|found| output::say(&format!("{mark}\t{}\t{found}", taken.step.word())));
        return;
    }
    for (nth, found) in taken.found.iter().enumerate() {
        let (mark, word) = if nth == 0 { (mark, taken.step.word()) } else { ("", "") };
        output::say(&format!("{mark:<4}  {word:<11}  {found}"));
    }
    if !taken.hint.is_empty() && taken.mark != Mark::Bad {
        output::say(&format!("{:<4}  {:<11}  -> {}", "", "", taken.hint));
    }
}

fn done(candidate: &Candidate, report: &Report) -> Done {
    if report.passed() {
        return Ok(if report.worst() == Mark::Good { 0 } else { WARNED });
    }
    let kind = match report.trouble {
        Some(Trouble::Unreachable) => Kind::Unreachable,
        Some(Trouble::Distrusted) => Kind::Refused,
        Some(Trouble::NotAllowed) => Kind::Locked,
        Some(Trouble::Failed) | None => Kind::Failed,
    };
    let (why, hint) = report.steps.last().map_or(("nothing was tried".into(), ""), |s| (s.found.join("; "), s.hint.as_str()));
    Err(Problem::new(kind, format!("{} at {}", candidate.account, candidate.address), why, hint))
}
