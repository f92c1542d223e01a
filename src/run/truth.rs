//! When the console looks how each pair of ports is: when its pane opens and on `R` at once; else by itself where something is
//! published, as seldom as the lamps are asked, and after a job that publishes. And when it looks at certificates: when their
//! list opens, else each hour.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Hands, locked};
use crate::domain::world::{News, World};
use crate::ops::{certificates, port_truth};

impl Hands {
    /// Looks by itself, if it is time for that, something is published, the appliance runs, and whoever is in may see it.
    pub(super) fn look_ports_if_due(self: &Arc<Self>) {
        if self.looking.try_lock().is_err() || !locked(&self.asked).ports_due(Instant::now()) {
            return;
        }
        let Some(world) = self.with_appliance() else { return };
        if world.ports.get().is_some_and(|map| !map.services.is_empty() || !map.bad_services.is_empty()) {
            let me = Arc::clone(self);
            tokio::spawn(async move { me.look_ports_in(&world).await });
        }
    }

    /// Asks the host, and then looks, now.
    pub(super) async fn look_ports(&self) {
        let world = self.fresh().await;
        self.look_ports_in(&world).await;
    }

    /// Looks at certificates by itself, if it is time for that, the appliance runs, and whoever is in may see it.
    pub(super) fn look_certificates_if_due(self: &Arc<Self>) {
        if self.looking.try_lock().is_err() || !locked(&self.asked).certificates_due(Instant::now()) {
            return;
        }
        if let Some(world) = self.with_appliance() {
            let me = Arc::clone(self);
            tokio::spawn(async move { me.look_certificates_in(&world).await });
        }
    }

    /// Asks the host, and then looks at all certificates, now.
    pub(super) async fn look_certificates(&self) {
        let world = self.fresh().await;
        self.look_certificates_in(&world).await;
    }

    async fn look_certificates_in(&self, world: &World) {
        let _one = self.looking.lock().await;
        locked(&self.asked).looked_at_certificates(Instant::now());
        let certificates = certificates::look(self.ctx.host.as_ref(), world).await;
        self.tell_news(News { certificates: Some(certificates), ..News::default() }).await;
    }

    /// One time after the other.
    async fn look_ports_in(&self, world: &World) {
        let _one = self.looking.lock().await;
        locked(&self.asked).looked_at_ports(Instant::now());
        let mut truth = port_truth::look(self.ctx.host.as_ref(), world).await;
        let (jobs, none) = (locked(&self.jobs).clone(), || "there is no store".to_owned());
        tokio::task::block_in_place(|| {
            let store = jobs.as_ref().map(|jobs| jobs.store());
            port_truth::remember(store.as_deref().ok_or_else(none), &mut truth, !self.ctx.read_only);
        });
        self.tell_news(News { truth: Some(truth), ..News::default() }).await;
    }
}
