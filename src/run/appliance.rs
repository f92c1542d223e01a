//! When the console asks the appliance: on opening its pane and on `R` at once; else by itself after a refresh of the host,
//! at most each five minutes, or when a job on it ended, and never while somebody types. Each lamp is a command in the
//! appliance, which is why no refresh asks them all.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Hands, locked};
use crate::domain::access::{Object, Permission, authorize};
use crate::domain::guest::Power;
use crate::domain::job::Job;
use crate::domain::plan::{Plan, Purpose};
use crate::domain::world::{News, World};
use crate::ops::probe;

/// How long what the lamps said is good enough for the Overview.
const EVERY: Duration = Duration::from_secs(300);

/// How long what was seen of certificates is good enough for the Overview.
const SELDOM: Duration = Duration::from_secs(3600);

/// So long no key was pressed: nobody types.
const STILL: Duration = Duration::from_secs(3);

/// When the appliance was asked, and when somebody typed.
#[derive(Default)]
pub(super) struct Asked {
    appliance: Option<Instant>,
    ports: Option<Instant>,
    certificates: Option<Instant>,
    key: Option<Instant>,
}

impl Asked {
    fn is_due(&self, now: Instant) -> bool {
        self.since(self.appliance, EVERY, now)
    }

    /// The same for ports.
    pub(super) fn ports_due(&self, now: Instant) -> bool {
        self.since(self.ports, EVERY, now)
    }

    /// Somebody looks at ports.
    pub(super) fn looked_at_ports(&mut self, now: Instant) {
        self.ports = Some(now);
    }

    /// The same for certificates, which change by days.
    pub(super) fn certificates_due(&self, now: Instant) -> bool {
        self.since(self.certificates, SELDOM, now)
    }

    /// Somebody looks at certificates.
    pub(super) fn looked_at_certificates(&mut self, now: Instant) {
        self.certificates = Some(now);
    }

    fn since(&self, asked: Option<Instant>, every: Duration, now: Instant) -> bool {
        let long_ago = |at: Option<Instant>, span| at.is_none_or(|at| now.duration_since(at) >= span);
        long_ago(asked, every) && long_ago(self.key, STILL)
    }
}

impl Hands {
    /// Somebody pressed a key.
    pub(super) fn typed(&self) {
        locked(&self.asked).key = Some(Instant::now());
    }

    /// A job that ended on the appliance leaves nothing of what its lamps and its ports said. `before` and `now` are the rows of
    /// jobs.
    pub(super) fn jobs_changed(&self, before: &[Job], now: &[Job]) {
        let appliance = locked(&self.world).appliance_id();
        let of_it =
            |plan: &Plan| plan.guest == appliance || matches!(plan.purpose, Purpose::Appliance | Purpose::Pin(_) | Purpose::Publish(_));
        let ended = |job: &&Job| job.state.is_final() && of_it(job.order.plan());
        let was_ended = |job: &Job| before.iter().any(|b| b.id == job.id && b.state.is_final());
        if now.iter().filter(ended).any(|job| !was_ended(job)) {
            let mut asked = locked(&self.asked);
            (asked.appliance, asked.ports) = (None, None);
        }
    }

    /// Asks the appliance by itself, if it is time for that, it runs, and whoever is in may see it.
    pub(super) fn probe_if_due(self: &Arc<Self>) {
        if self.probing.try_lock().is_err() || !locked(&self.asked).is_due(Instant::now()) {
            return;
        }
        if let Some(world) = self.with_appliance() {
            let me = Arc::clone(self);
            tokio::spawn(async move { me.probe_in(&world).await });
        }
    }

    /// The host as it is known, where the appliance runs and whoever is in may see it.
    pub(super) fn with_appliance(&self) -> Option<World> {
        let sees = locked(&self.door).who().is_some_and(|who| authorize(Some(who), Permission::LookAppliance, Object::Host).is_ok());
        let world = sees.then(|| locked(&self.world).clone())?;
        world.guest(world.appliance_id()).is_some_and(|g| g.power == Power::Running).then_some(world)
    }

    /// Asks the host, and then the appliance everything, now.
    pub(super) async fn probe(&self) {
        let world = self.fresh().await;
        self.probe_in(&world).await;
    }

    /// One time after the other.
    async fn probe_in(&self, world: &World) {
        let _one = self.probing.lock().await;
        locked(&self.asked).appliance = Some(Instant::now());
        let mut seen = probe::look(self.ctx.host.as_ref(), world, self.ctx.read_only).await;
        let jobs = locked(&self.jobs).clone();
        if let (Ok(seen), Some(jobs)) = (&mut seen.known, jobs)
            && let Some(pool) = seen.pool
        {
            seen.forecast = probe::forecast(&jobs.store(), pool, self.ctx.host.clock().0, !self.ctx.read_only);
        }
        self.tell_news(News { appliance: Some(seen), ..News::default() }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_seldom_and_not_while_somebody_types() {
        let now = Instant::now() + EVERY * 2;
        let due = |appliance: Option<Duration>, key: Option<Duration>| {
            let before = |span: Option<Duration>| span.and_then(|s| now.checked_sub(s));
            let asked = Asked { appliance: before(appliance), ports: before(appliance), certificates: before(appliance), key: before(key) };
            assert_eq!(asked.is_due(now), asked.ports_due(now));
            assert_eq!(asked.certificates_due(now), appliance.is_none() && asked.is_due(now), "they are looked at less often");
            asked.is_due(now)
        };
        assert!(due(None, None) && due(Some(EVERY), Some(STILL)));
        assert!(!due(Some(EVERY - STILL), None) && !due(None, Some(STILL / 2)));
    }
}
