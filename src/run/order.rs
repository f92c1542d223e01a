//! What an order waits for on the console: a fresh proof of whoever allowed it, and the yes of a second person. His login
//! opens nothing here: the session stays with whoever is in.

use super::door::{Door, Inside, now};
use super::{Hands, locked};
use crate::domain::access::Who;
use crate::domain::fact::{Fact, Login};
use crate::domain::plan::{Approved, Risk};
use crate::domain::secret::Secret;
use crate::problem::Problem;
use crate::store::{Passed, PasswordOk, Unlocked};

/// An order that waits.
pub(super) struct Waiting {
    order: Approved,
    /// The second person's passphrase was right, and his code is awaited.
    half: Option<PasswordOk>,
}

impl Hands {
    /// Gives an order back that may begin. Another waits until it is withdrawn or has what it needs.
    pub(super) fn ready_or_wait(&self, order: Approved) -> Option<Approved> {
        let destroys = matches!(order.plan().risk, Risk::Destroys { .. });
        let fresh = match &*locked(&self.door) {
            Door::Open(Inside { session: Some(session), .. }) => session.is_fresh(&now()),
            Door::Open(Inside { session: None, .. }) => true,
            _ => false,
        };
        let (vault, name) = self.vault()?;
        let jobs = locked(&self.jobs).clone()?;
        let store = jobs.store();
        let news = if destroys && !fresh {
            Login::ProofWanted { code: store.account(&name).ok().flatten().is_some_and(|a| a.second_factor) }
        } else if store.lacks_second(&order, Some(&vault)) {
            Login::SecondWanted { order: Box::new(order.clone()), why: String::new() }
        } else {
            return Some(order);
        };
        drop(store);
        *locked(&self.waiting) = Some(Waiting { order, half: None });
        self.tell_now(Fact::Login(news));
        None
    }

    fn waits(&self) -> Option<Approved> {
        locked(&self.waiting).as_ref().map(|w| w.order.clone())
    }

    /// Lets this order go on if it is still the one that waits. While a passphrase was looked at it may have been
    /// withdrawn, and what waits then is another one, to which nobody said yes.
    fn end_wait(&self, order: &Approved) -> bool {
        let mut waiting = locked(&self.waiting);
        let same = waiting.as_ref().is_some_and(|w| w.order == *order);
        if same {
            waiting.take();
        }
        same
    }

    /// Nobody wants what waits any more.
    pub(super) fn withdraw(&self) {
        locked(&self.waiting).take();
    }

    pub(super) fn prove(&self, typed: &Secret) {
        let Some((order, (vault, name))) = self.waits().zip(self.vault()) else { return };
        match self.step(|step| step.prove(&vault, &name, typed)) {
            Some(Ok(())) => {
                if let Door::Open(Inside { session: Some(session), .. }) = &mut *locked(&self.door) {
                    session.proven(&now());
                }
                if self.end_wait(&order) {
                    self.tell_now(Fact::Login(Login::Proven));
                    self.go_on(order);
                }
            }
            Some(Err(e)) => self.wrong(e),
            None => {}
        }
    }

    /// Somebody else says yes to what waits: his passphrase.
    pub(super) fn second_person(&self, operator: &str, passphrase: &Secret) {
        let Some(order) = self.waits() else { return };
        match self.try_passphrase(operator, passphrase) {
            Some(Ok(Passed::Unlocked(unlocked))) => self.second_yes(order, &unlocked.who),
            Some(Ok(Passed::Half(half))) => {
                let mut waiting = locked(&self.waiting);
                if let Some(waiting) = waiting.as_mut().filter(|w| w.order == order) {
                    waiting.half = Some(half);
                    self.tell_now(Fact::Login(Login::CodeWanted));
                }
            }
            Some(Err(e)) => self.wrong(e),
            None => {}
        }
    }

    /// The code that belongs to it.
    pub(super) fn second_code(&self, code: &Secret) {
        let taken = locked(&self.waiting).as_mut().and_then(|w| Some((w.order.clone(), w.half.take()?)));
        let Some((order, half)) = taken else { return };
        match self.try_code(half, code) {
            Some(Ok(Unlocked { who, .. })) => self.second_yes(order, &who),
            Some(Err(failed)) => {
                let (half, e) = *failed;
                if let Some(waiting) = locked(&self.waiting).as_mut().filter(|w| w.order == order) {
                    waiting.half = Some(half);
                }
                self.wrong(e);
            }
            None => {}
        }
    }

    /// `who` has proven that he is it. Whether his yes counts is told only now: to nobody else.
    fn second_yes(&self, order: Approved, who: &Who) {
        match order.clone().seconded(who) {
            Ok(seconded) => {
                if self.end_wait(&order) {
                    self.tell_now(Fact::Login(Login::Proven));
                    self.go_on(seconded);
                }
            }
            Err(_) if self.waits().as_ref() != Some(&order) => {}
            Err(refused) => self.tell_now(Fact::Login(Login::SecondWanted { order: Box::new(order), why: refused.why })),
        }
    }

    fn wrong(&self, e: impl Into<Problem>) {
        self.tell_now(Fact::Login(Login::Wrong(e.into().why)));
    }
}
