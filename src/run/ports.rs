//! What the console does with ports: what is remembered of them is changed where no plan is needed, and one is asked about.

use super::{Hands, locked};
use crate::domain::fact::Fact;
use crate::domain::ports::{Asked, PortWish};
use crate::domain::world::Gap;
use crate::ops::ports::{keep, sockets};
use crate::problem::{Kind, Problem};
use crate::store::{Store, StoreError};

/// Times of the past of a port that are shown.
const PAST: u32 = 200;

impl Hands {
    /// Makes a wish about ports true, with its entry in the audit, by what has ports now.
    pub(super) async fn keep_ports(&self, wish: PortWish) {
        let said = match self.kept(&wish).await {
            Ok(said) => Fact::Done(said),
            Err(problem) => Fact::Problem { what: format!("{}: {}", problem.what, problem.why), hint: problem.hint },
        };
        self.tell(said).await;
    }

    async fn kept(&self, wish: &PortWish) -> Result<String, Problem> {
        if self.ctx.read_only {
            return Err(Problem::new(Kind::ReadOnly, "the ports", "--read-only refuses everything that changes something", ""));
        }
        let sockets = sockets(self.ctx.host.as_ref(), &self.fresh().await).await;
        let closed = || Problem::new(Kind::Locked, "the ports", "the vault is closed", "unlock it and ask again");
        let jobs = locked(&self.jobs).clone().ok_or_else(closed)?;
        // After the host was asked: whoever was let out meanwhile changes nothing.
        let ((vault, _), who) = self.vault().zip(self.who()).ok_or_else(closed)?;
        let (now, offset_s) = self.ctx.host.clock();
        let work = || keep(&self.ctx.audit(), &jobs.store(), &vault, &who, now, wish, &sockets);
        let decided = tokio::task::block_in_place(work)?;
        self.written.notify_one();
        Ok(format!("{}: {}", decided.pair, decided.says(now, offset_s)))
    }

    /// What has a port now, and who had it.
    pub(super) async fn ask_port(&self, port: u16) {
        let sockets = sockets(self.ctx.host.as_ref(), &self.fresh().await).await;
        let mut asked = Asked { port, listens: sockets.of(port).collect(), past: Vec::new(), gaps: sockets.gaps };
        let mut gap = |why: String| asked.gaps.push(Gap { what: "who had it".into(), why });
        let jobs = locked(&self.jobs).clone();
        match jobs.map(|jobs| self.past(&jobs.store(), port)) {
            Some(Ok((past, bad))) => {
                bad.into_iter().for_each(&mut gap);
                asked.past = past;
            }
            Some(Err(e)) => gap(e.to_string()),
            None => gap("there is no store that remembers it".into()),
        }
        self.tell(Fact::Port(Box::new(asked))).await;
    }

    fn past(&self, store: &Store, port: u16) -> Result<(Vec<crate::domain::ports::Past>, Vec<String>), StoreError> {
        let vault = self.vault().map(|(vault, _)| vault);
        tokio::task::block_in_place(|| store.port_past(vault.as_deref(), port, PAST))
    }
}
