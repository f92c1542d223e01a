//! The Proxmox API over HTTPS, written by hand for the calls we need.
//!
//! ```text
//! Door ── proves itself (tls) ──> token ───────────────────> Api ── get, change ──> typed data
//!                            └──> password ─> Challenge ──┘
//! ```
//!
//! Nothing of a credential exists on a line before the host has proved who it is (`line`); redirects are never followed;
//! a change is never sent twice (`call`); answers are read widely (`types`). There is no switch that turns the proof off.

mod call;
mod error;
mod line;
mod login;
pub mod tls;
pub mod types;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use hyper::Method;
use hyper::header::HeaderMap;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio_rustls::rustls::pki_types::ServerName;

pub use error::ApiError;
pub use line::Limits;
pub use tls::{Anchors, Distrust, Distrusted};

use crate::domain::address::Address;
use crate::domain::certificate::Certificate;
use crate::domain::credential::{Account, Code, Factor};
use crate::domain::privilege::Held;
use crate::domain::secret::Secret;
use crate::domain::stamp::Stamp;
use call::Call;
use line::{Answer, Line, Target};
use login::{Granted, Pass, Session, Ticket, Wanted};

/// A host whom we have not told who we are.
#[derive(Clone)]
pub struct Door {
    target: Target,
    /// The host's clock as it last told it, ms; 0 as long as it has not.
    date: Arc<AtomicI64>,
}

/// What a password opens.
pub enum Entry {
    /// We are in.
    Open(Api),
    /// A second factor is wanted.
    Challenge(Challenge),
}

/// A login that waits for a second factor. Nothing can be asked with it.
pub struct Challenge {
    door: Door,
    wanted: Wanted,
}

/// A host that knows who we are.
pub struct Api {
    door: Door,
    pass: Pass,
    /// The line of the last GET, where the host leaves it open.
    kept: Mutex<Option<Line>>,
}

impl Door {
    /// A host at this address, believed if it proves itself by these.
    pub fn new(address: &Address, anchors: Anchors, limits: Limits) -> Result<Door, ApiError> {
        let name = ServerName::try_from(address.host().to_owned())
            .map_err(|e| ApiError::NoName { host: address.host().to_owned(), why: e.to_string() })?;
        let target = Target { address: address.clone(), name, tls: Arc::new(tls::client(anchors)?), limits };
        Ok(Door { target, date: Arc::default() })
    }

    /// Looks whether something listens there; gives the IP address that answered.
    pub async fn reach(&self) -> Result<SocketAddr, ApiError> {
        self.target.reach().await
    }

    /// Lets it prove who it is and sends nothing.
    pub async fn certificate(&self) -> Result<Certificate, ApiError> {
        self.target.certificate().await
    }

    /// What time it was there when it last answered.
    pub fn date(&self) -> Option<Stamp> {
        Some(self.date.load(Ordering::Relaxed)).filter(|d| *d != 0).map(Stamp)
    }

    /// With an API token, which is only looked at by the first call.
    pub fn token(self, account: Account, secret: Arc<Secret>) -> Api {
        self.api(Pass::Token { account, secret })
    }

    /// Asks for a ticket. The password is not kept.
    pub async fn password(self, user: &Account, password: &Secret) -> Result<Entry, ApiError> {
        let answer = self.ticket(login::password(user, password), password).await?;
        Ok(match answer.granted(user)? {
            Granted::Session(session) => Entry::Open(self.api(Pass::Ticket(Mutex::new(session)))),
            Granted::Wanted(wanted) => Entry::Challenge(Challenge { door: self, wanted }),
        })
    }

    fn api(self, pass: Pass) -> Api {
        Api { door: self, pass, kept: Mutex::default() }
    }

    async fn ticket(&self, form: Bytes, secret: &Secret) -> Result<Ticket, ApiError> {
        let call = Call::change(Method::POST, &["access", "ticket"], form);
        let done = async {
            let answer = self.send(&call, HeaderMap::new(), &mut None).await?;
            call::judge(&call, &answer).map_err(|e| hidden(e, &|text| login::hide(text, secret)))?;
            let ticket: Option<Ticket> = call::data(&call, answer).await?;
            Ok(ticket.unwrap_or_default())
        };
        // A login changes nothing, so not to know whether it went well is only a failure.
        done.await.map_err(|e| match e {
            ApiError::Unknown { why, .. } => *why,
            e => e,
        })
    }

    async fn send(&self, call: &Call, headers: HeaderMap, kept: &mut Option<Line>) -> Result<Answer, ApiError> {
        let answer = call.send(&self.target, headers, kept).await?;
        if let Some(date) = answer.date {
            self.date.store(date.0, Ordering::Relaxed);
        }
        Ok(answer)
    }
}

impl Challenge {
    /// The second factors that can be typed; empty where it wants one that cannot.
    pub fn offers(&self) -> &[Factor] {
        &self.wanted.offers
    }

    /// Answers it. Eight wrong codes in a row lock a user's TOTP, so it is for a person to try again.
    pub async fn answer(&self, code: &Code) -> Result<Api, ApiError> {
        let answer = self.door.ticket(login::second(&self.wanted, code), &code.code).await?;
        match answer.granted(&self.wanted.user)? {
            Granted::Session(session) => Ok(self.door.clone().api(Pass::Ticket(Mutex::new(session)))),
            Granted::Wanted(_) => Err(ApiError::NotTaken { said: "it asks for a second factor again".into() }),
        }
    }
}

impl Api {
    /// The host.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// Asks for something. The path is given in segments, which are encoded here. `None` is null.
    pub async fn get<T: DeserializeOwned + Send + 'static>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Option<T>, ApiError> {
        let call = Call::get(path, query);
        // Whoever comes meanwhile does not wait: he gets a line of his own.
        let mut own = None;
        let mut kept = self.kept.try_lock();
        self.done(&call, kept.as_deref_mut().unwrap_or(&mut own)).await
    }

    /// Changes something by POST, once. Where a task does the work the data is its UPID.
    pub async fn post<T: DeserializeOwned + Send + 'static>(&self, path: &[&str], form: &[(&str, &str)]) -> Result<Option<T>, ApiError> {
        let fields: Vec<_> = form.iter().map(|(k, v)| (*k, [v.as_bytes()])).collect();
        let fields: Vec<(&str, &[&[u8]])> = fields.iter().map(|(k, v)| (*k, &v[..])).collect();
        self.done(&Call::change(Method::POST, path, login::form(&fields)), &mut None).await
    }

    async fn done<T: DeserializeOwned + Send + 'static>(&self, call: &Call, kept: &mut Option<Line>) -> Result<Option<T>, ApiError> {
        self.renew().await?;
        let mut headers = HeaderMap::new();
        self.pass.put(&mut headers, call.is_change()).await;
        let answer = self.door.send(call, headers, kept).await?;
        if let Err(e) = call::judge(call, &answer) {
            return Err(self.told(e).await);
        }
        call::data(call, answer).await
    }

    /// Gets a new ticket for one that is near its end; nothing is sent with one that could not be renewed.
    async fn renew(&self) -> Result<(), ApiError> {
        let Pass::Ticket(session) = &self.pass else { return Ok(()) };
        let mut session = session.lock().await;
        if session.since.elapsed() < self.door.target.limits.renew {
            return Ok(());
        }
        *session = match self.door.ticket(login::renewal(&session), &Secret::new(Vec::new())).await {
            Ok(ticket) => fresh(ticket, &session)?,
            Err(ApiError::NotTaken { said }) => return Err(ApiError::LoggedOut { said: login::hide_ticket(said, &session) }),
            Err(e) => return Err(e),
        };
        Ok(())
    }

    /// An error without the credential in it; 401 for a ticket means that it ran out.
    async fn told(&self, e: ApiError) -> ApiError {
        let mut e = e;
        if let Some(text) = e.words_mut() {
            *text = self.pass.hide(std::mem::take(text)).await;
        }
        match (e, &self.pass) {
            (ApiError::NotTaken { said }, Pass::Ticket(_)) => ApiError::LoggedOut { said },
            (e, _) => e,
        }
    }

    /// `GET /version`.
    pub async fn version(&self) -> Result<types::Version, ApiError> {
        Ok(self.get(&["version"], &[]).await?.unwrap_or_default())
    }

    /// `GET /access/permissions`: what this very account holds.
    pub async fn permissions(&self) -> Result<Held, ApiError> {
        let all: Option<types::Permissions> = self.get(&["access", "permissions"], &[]).await?;
        Ok(all.unwrap_or_default().into())
    }

    /// `GET /nodes`, those that the account may see.
    pub async fn nodes(&self) -> Result<Vec<types::Node>, ApiError> {
        Ok(self.get(&["nodes"], &[]).await?.unwrap_or_default())
    }

    /// `GET /cluster/status`; needs Sys.Audit on `/`.
    pub async fn cluster(&self) -> Result<Vec<types::Member>, ApiError> {
        Ok(self.get(&["cluster", "status"], &[]).await?.unwrap_or_default())
    }
}

fn fresh(ticket: Ticket, old: &Session) -> Result<Session, ApiError> {
    match ticket.granted(&old.user)? {
        Granted::Session(session) => Ok(session),
        Granted::Wanted(_) => Err(ApiError::LoggedOut { said: "it asks for a second factor again".into() }),
    }
}

fn hidden(mut e: ApiError, hide: &dyn Fn(String) -> String) -> ApiError {
    if let Some(text) = e.words_mut() {
        *text = hide(std::mem::take(text));
    }
    e
}
