//! How we say who we are: an API token, or a ticket that was got for a password and, where asked, a second factor.
//!
//! A [`Session`] can only be made from a full ticket of the very user who was asked for. An answer that wants a second
//! factor makes a [`Challenge`] instead, whatever else it says; nothing turns that into a session but another answer of
//! the server (the lesson of CVE-2023-54391). Everything that exposes a secret stands in this file.

use std::time::Instant;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use zeroize::{Zeroize, Zeroizing};

use super::error::ApiError;
use super::types::{Flag, Text};
use crate::domain::credential::{Account, Code, Factor};
use crate::domain::pve::decoded;
use crate::domain::secret::Secret;

const CSRF: HeaderName = HeaderName::from_static("csrfpreventiontoken");

/// Secrets shorter than this are not looked for in texts: they would hit harmless ones.
const SHORTEST: usize = 6;

/// What goes along with each call.
pub(super) enum Pass {
    /// An API token; good for ever.
    Token {
        /// `user@realm!id`.
        account: Account,
        /// Its value.
        secret: std::sync::Arc<Secret>,
    },
    /// A ticket, renewed while it is good.
    Ticket(tokio::sync::Mutex<Session>),
}

/// A login that was granted.
pub(super) struct Session {
    pub user: Account,
    ticket: Secret,
    csrf: Secret,
    pub since: Instant,
}

/// A second factor is wanted.
pub(super) struct Wanted {
    pub user: Account,
    ticket: Secret,
    pub offers: Vec<Factor>,
}

/// What the server says to a password.
pub(super) enum Granted {
    Session(Session),
    Wanted(Wanted),
}

/// The answer to `POST /access/ticket`. The texts are wiped when they become secrets.
#[derive(Deserialize, Default)]
pub(super) struct Ticket {
    #[serde(default)]
    ticket: Text,
    #[serde(default, rename = "CSRFPreventionToken")]
    csrf: Text,
    #[serde(default)]
    username: Text,
    #[serde(default, rename = "NeedTFA")]
    need_tfa: Flag,
}

impl Ticket {
    /// What was granted to this user.
    pub fn granted(self, user: &Account) -> Result<Granted, ApiError> {
        let no = |why: &str| ApiError::Foreign { call: "POST /access/ticket".into(), why: why.to_owned() };
        let (ticket, csrf) = (Secret::from_text(self.ticket.0), Secret::from_text(self.csrf.0));
        let text = ticket.expose_text().unwrap_or("");
        if let Some(rest) = text.strip_prefix("PVE:!tfa!") {
            let offers = offers(rest);
            return Ok(Granted::Wanted(Wanted { user: user.clone(), ticket, offers }));
        }
        if self.need_tfa.0 {
            return Err(no("it wants a second factor in a way that is not known here"));
        }
        let named = self.username.0.as_str();
        if named != user.as_str()
            || !text.strip_prefix("PVE:").and_then(|t| t.strip_prefix(user.as_str())).is_some_and(|t| t.starts_with(':'))
        {
            return Err(no("the ticket is not for the user who logged in"));
        }
        if csrf.is_empty() {
            return Err(no("it lacks the token for changes"));
        }
        Ok(Granted::Session(Session { user: user.clone(), ticket, csrf, since: Instant::now() }))
    }
}

/// The second factors a challenge offers that can be typed: the JSON in the ticket, percent-encoded, up to the next colon.
fn offers(ticket: &str) -> Vec<Factor> {
    let json = decoded(ticket.split(':').next().unwrap_or(""));
    let offered: serde_json::Value = serde_json::from_slice(&json).unwrap_or_default();
    let has = |name: &str| match offered.get(name) {
        None | Some(serde_json::Value::Null) => false,
        Some(serde_json::Value::Bool(b)) => *b,
        Some(serde_json::Value::String(s)) => s != "unavailable",
        Some(serde_json::Value::Number(n)) => n.as_u64() != Some(0),
        Some(serde_json::Value::Array(a)) => !a.is_empty(),
        Some(serde_json::Value::Object(_)) => true,
    };
    [(Factor::Totp, "totp"), (Factor::Recovery, "recovery")].into_iter().filter(|(_, name)| has(name)).map(|(f, _)| f).collect()
}

impl Pass {
    /// Puts the credential into the headers of a call; for a ticket and a change also the token against forgery.
    pub async fn put(&self, headers: &mut HeaderMap, change: bool) {
        match self {
            Pass::Token { account, secret } => {
                let parts = [b"PVEAPIToken=", account.as_str().as_bytes(), b"=", secret.expose()];
                insert(headers, AUTHORIZATION, &parts);
            }
            Pass::Ticket(session) => {
                let session = session.lock().await;
                let mut cookie = buffer(session.ticket.len());
                cookie.extend_from_slice(b"PVEAuthCookie=");
                encode(session.ticket.expose(), &mut cookie);
                insert(headers, COOKIE, &[&cookie]);
                cookie.zeroize();
                if change {
                    insert(headers, CSRF, &[session.csrf.expose()]);
                }
            }
        }
    }

    /// The text without the credential, should a server ever repeat it.
    pub async fn hide(&self, text: String) -> String {
        match self {
            Pass::Token { secret, .. } => hide(text, secret),
            Pass::Ticket(session) => {
                let session = session.lock().await;
                hide(hide_ticket(text, &session), &session.csrf)
            }
        }
    }
}

/// The text without a session's ticket.
pub(super) fn hide_ticket(text: String, session: &Session) -> String {
    hide(text, &session.ticket)
}

/// The text without a secret.
pub(super) fn hide(text: String, secret: &Secret) -> String {
    match secret.expose_text() {
        Some(secret) if secret.len() >= SHORTEST && text.contains(secret) => text.replace(secret, "…"),
        _ => text,
    }
}

/// The form of a first login.
///
/// In all these the user comes last: the cipher copies the last incomplete block of what it seals to the stack, where it may
/// stay, and `&username=u%40pam` is longer than a block.
pub(super) fn password(user: &Account, password: &Secret) -> Bytes {
    form(&[("password", &[password.expose()]), ("username", &[user.as_str().as_bytes()])])
}

/// The form that answers a challenge.
pub(super) fn second(wanted: &Wanted, code: &Code) -> Bytes {
    let kind: &[u8] = match code.factor {
        Factor::Totp => b"totp:",
        Factor::Recovery => b"recovery:",
    };
    let user = wanted.user.as_str().as_bytes();
    form(&[("password", &[kind, code.code.expose()]), ("tfa-challenge", &[wanted.ticket.expose()]), ("username", &[user])])
}

/// The form that renews a ticket: the ticket itself is the password.
pub(super) fn renewal(session: &Session) -> Bytes {
    password(&session.user, &session.ticket)
}

/// A form (`application/x-www-form-urlencoded`) in memory that is wiped after use.
pub(super) fn form(fields: &[(&str, &[&[u8]])]) -> Bytes {
    let length = fields.iter().map(|(name, parts)| name.len() + parts.iter().map(|p| p.len()).sum::<usize>() + 2).sum();
    let mut out = buffer(length);
    for (name, parts) in fields {
        if !out.is_empty() {
            out.push(b'&');
        }
        encode(name.as_bytes(), &mut out);
        out.push(b'=');
        parts.iter().for_each(|p| encode(p, &mut out));
    }
    Bytes::from_owner(Zeroizing::new(out))
}

/// Room for so many bytes percent-encoded, so that growing leaves no copies behind.
fn buffer(length: usize) -> Vec<u8> {
    Vec::with_capacity(3 * length + 64)
}

/// Percent-encodes everything but the unreserved characters (RFC 3986, 2.3).
pub(super) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &b in bytes {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(b);
        } else {
            out.extend([b'%', DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
        }
    }
}

/// A header whose value is never shown and wiped after use. A value that is no header is left out: the server then says what it misses.
fn insert(headers: &mut HeaderMap, name: HeaderName, parts: &[&[u8]]) {
    let mut value = Vec::with_capacity(parts.iter().map(|p| p.len()).sum());
    parts.iter().for_each(|p| value.extend_from_slice(p));
    if let Ok(mut value) = HeaderValue::from_maybe_shared(Bytes::from_owner(Zeroizing::new(value))) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn granted(json: &str, user: &str) -> Result<Granted, ApiError> {
        serde_json::from_str::<Ticket>(json).unwrap().granted(&user.parse().unwrap())
    }

    #[test]
    fn a_session_is_only_made_of_a_full_ticket_of_the_same_user() {
        let full = r#"{"ticket":"PVE:root@pam:68AE8D43::sig","CSRFPreventionToken":"68AE8D43:x","username":"root@pam"}"#;
        assert!(matches!(granted(full, "root@pam"), Ok(Granted::Session(_))));
        let half = r#""ticket":"PVE:!tfa!%7B%22totp%22%3Atrue%2C%22recovery%22%3A%22unavailable%22%7D:68AE8D43::sig""#;
        // Whatever stands beside it, a ticket that wants a second factor is no session.
        for beside in [r#""NeedTFA":1"#, r#""NeedTFA":"0""#, r#""CSRFPreventionToken":"x","username":"root@pam""#] {
            let got = granted(&format!("{{{half},{beside}}}"), "root@pam");
            assert!(matches!(got, Ok(Granted::Wanted(w)) if w.offers == [Factor::Totp]), "{beside}");
        }
        let bad = [
            full.replace("PVE:root@pam", "PVE:ada@pam"),
            full.replace("\"root@pam\"", "\"ada@pam\""),
            full.replace("PVE:root@pam:", "PVE:root@pam2:"),
            full.replace("PVE:", "PMG:"),
            full.replace("68AE8D43:x", ""),
            full.replace("}", ",\"NeedTFA\":1}"),
            "{}".into(),
        ];
        for json in bad {
            assert!(matches!(granted(&json, "root@pam"), Err(ApiError::Foreign { .. })), "{json}");
        }
    }

    #[test]
    fn forms_are_encoded() {
        let body = form(&[("password", &[b"totp:", "p&w=+ü".as_bytes()])]);
        assert_eq!(&body[..], b"password=totp%3Ap%26w%3D%2B%C3%BC");
    }

    #[test]
    fn a_header_never_shows_its_value_and_holds_no_line_break() {
        let mut headers = HeaderMap::new();
        insert(&mut headers, AUTHORIZATION, &[b"PVEAPIToken=", b"hunter2-hunter2"]);
        assert!(!format!("{headers:?}").contains("hunter2"));
        insert(&mut headers, COOKIE, &[b"a\r\nX: y"]);
        assert_eq!(headers.len(), 1);
        assert_eq!(hide("no hunter2-hunter2!".into(), &Secret::from_text("hunter2-hunter2".into())), "no …!");
    }
}
