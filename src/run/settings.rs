//! What the console does with settings, and with a credential that is tried first and kept then.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Hands, locked};
use crate::domain::appliance::hold::Pins;
use crate::domain::credential::{Candidate, Code};
use crate::domain::fact::Fact;
use crate::domain::plan::{Purpose, Refusal};
use crate::domain::ports::{PortMap, Sockets};
use crate::domain::settings::{Key, Save, Settings};
use crate::domain::stamp::Stamp;
use crate::domain::trial::Progress;
use crate::domain::world::{From, Part};
use crate::host::api::Limits;
use crate::jobs::Jobs;
use crate::ops::settings::Saver;
use crate::ops::{credential, pins, ports};
use crate::problem::{Kind, Problem};
use crate::store::{SaveError, StoreError, Vault};

/// Entries of a setting's history that are shown.
const PAST: usize = 200;

/// A credential that is being tried, or was.
pub(super) struct Trial {
    nth: u32,
    /// Ends it.
    stop: CancellationToken,
    /// Where a second factor goes.
    codes: mpsc::Sender<Code>,
    /// What was tried, once it passed; only that is ever kept.
    passed: Option<Candidate>,
}

impl Hands {
    pub(super) fn settings(&self, jobs: &Jobs) -> Part<Settings> {
        self.remembered(|vault, _| jobs.store().settings(vault))
    }

    pub(super) fn pins(&self, jobs: &Jobs) -> Part<Pins> {
        self.remembered(|vault, _| jobs.store().pins(vault))
    }

    pub(super) fn ports(&self, jobs: &Jobs) -> Part<PortMap> {
        self.remembered(|vault, now| jobs.store().ports(vault, now))
    }

    /// What the store says, its rows checked where the vault is open; or why it does not.
    fn remembered<T>(&self, read: impl FnOnce(Option<&Vault>, Stamp) -> Result<T, StoreError>) -> Part<T> {
        let now = self.ctx.host.clock().0;
        let vault = self.vault().map(|(vault, _)| vault);
        match read(vault.as_deref(), now) {
            Ok(told) => Part::new(told, now, From::Files),
            Err(e) => Part::unknown(e.to_string(), now),
        }
    }

    /// Remembers what a plan brings in force, before it is begun.
    pub(super) fn keep_wished(&self, jobs: &Jobs, purpose: &Purpose) -> Result<(), Problem> {
        let closed = || Problem::new(Kind::Locked, "what is wished", "the vault is closed", "unlock it and ask again");
        let open = || self.vault().zip(self.who()).ok_or_else(closed);
        let (audit, store, now) = (self.ctx.audit(), jobs.store(), self.ctx.host.clock().0);
        match purpose {
            Purpose::Pin(change) => {
                let ((vault, _), who) = open()?;
                Ok(pins::keep(&audit, &store, &vault, &who, now, change)?)
            }
            // What listens was looked at for the plan; whether the pair is still free is decided here.
            Purpose::Publish(Some(wish)) => {
                let ((vault, _), who) = open()?;
                ports::keep(&audit, &store, &vault, &who, now, wish, &Sockets::default())?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What the settings say, where they can be read.
    pub(super) fn told<T>(&self, ask: impl FnOnce(&Settings) -> Result<T, String>) -> Option<T> {
        locked(&self.world).chosen().ok().and_then(|s| ask(&s).ok())
    }

    pub(super) fn save(&self, save: &Save) {
        let saved = self.saving(|saver| saver.save(save));
        self.tell_now(Fact::Saved(saved));
    }

    /// Brings the credential back that was kept before.
    pub(super) fn back(&self, site: &str) {
        let saved = self.saving(|saver| saver.back(site));
        self.tell_now(Fact::Saved(saved));
    }

    /// Keeps the credential that was tried under this number, if it passed.
    pub(super) fn keep(&self, nth: u32, site: &str) {
        let passed = locked(&self.trial).as_mut().filter(|t| t.nth == nth).and_then(|t| t.passed.take());
        let news = match passed {
            None => Progress::NotKept("it was not tried, or did not pass".into()),
            Some(tried) => match self.saving(|saver| saver.keep(&tried, site)) {
                Ok(n) => Progress::Kept(n),
                Err(refusal) => Progress::NotKept(format!("{}: {}", refusal.why, refusal.hint)),
            },
        };
        self.tell_now(Fact::Trial { nth, news });
    }

    fn saving(&self, work: impl FnOnce(&Saver<'_>) -> Result<usize, SaveError>) -> Result<usize, Refusal> {
        let what = "save the settings";
        if self.ctx.read_only {
            return Err(Refusal::new(what, "--read-only refuses everything that changes something", "leave it out"));
        }
        let jobs = locked(&self.jobs).clone();
        let (Some(jobs), Some((vault, _)), Some(who)) = (jobs, self.vault(), self.who()) else {
            return Err(Refusal::new(what, "the vault is closed", "unlock it and save again"));
        };
        let world = locked(&self.world).clone();
        let (audit, store) = (self.ctx.audit(), jobs.store());
        let saver = Saver { audit: &audit, store: &store, vault: &vault, world: &world, who: &who, now: self.ctx.host.clock().0 };
        let saved = work(&saver);
        drop(store);
        self.written.notify_one();
        saved.map_err(|e| {
            let problem = Problem::from(e);
            Refusal::new(what, problem.why, problem.hint)
        })
    }

    pub(super) fn history(&self, key: Key) {
        let Some(jobs) = locked(&self.jobs).clone() else { return self.tell_now(Fact::History(key, Vec::new())) };
        let vault = self.vault().map(|(vault, _)| vault);
        let past = jobs.store().setting_history(vault.as_deref(), Some(&key), PAST);
        match past {
            Ok(past) => self.tell_now(Fact::History(key, past)),
            Err(e) => self.problem(e.into()),
        }
    }

    pub(super) fn try_credential(self: &Arc<Self>, nth: u32, candidate: Candidate) {
        let stop = self.stop.child_token();
        let (codes, mut answers) = mpsc::channel(1);
        if let Some(old) = locked(&self.trial).replace(Trial { nth, stop: stop.clone(), codes, passed: None }) {
            old.stop.cancel();
        }
        let me = Arc::clone(self);
        tokio::spawn(async move {
            let (said, mut heard) = mpsc::channel(16);
            let host = Arc::clone(&me.ctx.host);
            let tried = candidate.clone();
            let trying = async move { drop(credential::test(host.as_ref(), &tried, Limits::default(), &said, &mut answers).await) };
            let telling = async {
                while let Some(news) = heard.recv().await {
                    if let Progress::Ended(report) = &news
                        && report.passed()
                        && let Some(trial) = locked(&me.trial).as_mut().filter(|t| t.nth == nth)
                    {
                        trial.passed = Some(candidate.clone());
                    }
                    me.tell(Fact::Trial { nth, news }).await;
                }
            };
            tokio::select! {
                _ = async { tokio::join!(trying, telling) } => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// A second factor for the credential that is being tried.
    pub(super) fn answer(&self, code: Code) {
        if let Some(trial) = &*locked(&self.trial) {
            let _ = trial.codes.try_send(code);
        }
    }

    /// Ends the try, and forgets what was tried.
    pub(super) fn end_try(&self) {
        if let Some(trial) = locked(&self.trial).take() {
            trial.stop.cancel();
        }
    }
}
