//! Listing the files of an archive for the screen: far from the keys, with how far it is, and ended when nobody looks any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Hands, locked};
use crate::domain::backup::Archive;
use crate::domain::fact::Fact;
use crate::domain::inside::News;
use crate::host::Progress;
use crate::ops::inside::{self, Lists};

/// How often it is told how far it is.
const OFTEN: Duration = Duration::from_millis(200);

impl Hands {
    pub(super) fn look_inside(self: &Arc<Self>, archive: Archive, on: bool) {
        let progress = Arc::new(Progress::default());
        let before = if on {
            locked(&self.inside).insert(archive.volid.clone(), Arc::clone(&progress))
        } else {
            locked(&self.inside).remove(&archive.volid)
        };
        if let Some(before) = before {
            before.stop.store(true, Ordering::Relaxed);
        }
        if on {
            let me = Arc::clone(self);
            tokio::spawn(async move { me.list_inside(archive.volid, progress).await });
        }
    }

    async fn list_inside(&self, volid: String, progress: Arc<Progress>) {
        let world = self.fresh().await;
        let lists = Lists::of(self.ctx.host.as_ref(), &self.ctx.config.state);
        let mut listing = Box::pin(inside::list(self.ctx.host.as_ref(), &world, &lists, &volid, Arc::clone(&progress)));
        let tell = |news| self.tell(Fact::Inside { volid: volid.clone(), news });
        let mut tick = tokio::time::interval(OFTEN);
        let news = loop {
            tokio::select! {
                listed = &mut listing => break match listed {
                    Ok(listing) => News::Listed(listing),
                    Err(refusal) => News::Failed { why: refusal.why, hint: refusal.hint },
                },
                _ = tick.tick() => {
                    let of = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
                    tell(News::Reading { read: of(&progress.read), size: of(&progress.size), entries: of(&progress.entries) }).await;
                }
                () = self.stop.cancelled() => progress.stop.store(true, Ordering::Relaxed),
            }
        };
        // Whoever looks at it by now began another look.
        if !progress.stop.load(Ordering::Relaxed) {
            tell(news).await;
        }
    }
}
