//! One connection: TCP, then TLS with the host's proof, then HTTP. Requests exist only behind the proof.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::ext::ReasonPhrase;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName, LOCATION};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::error::{ApiError, said};
use super::tls;
use crate::domain::address::Address;
use crate::domain::certificate::{self, Certificate};
use crate::domain::stamp::Stamp;

/// How long each part of a call may take, and how much may come back.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// TCP and TLS.
    pub connect: Duration,
    /// From the request until status and headers are there. A refused login takes 3 s on purpose.
    pub answer: Duration,
    /// The whole call.
    pub whole: Duration,
    /// Bytes of a body.
    pub body: usize,
    /// Age of a ticket at which it is renewed; it is good for 2 h.
    pub renew: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            whole: Duration::from_secs(60),
            body: 16 << 20,
            renew: Duration::from_secs(90 * 60),
        }
    }
}

/// Where to, and whom to believe there.
#[derive(Clone)]
pub(super) struct Target {
    pub address: Address,
    pub name: ServerName<'static>,
    pub tls: Arc<ClientConfig>,
    pub limits: Limits,
}

/// An answer that came whole.
pub(super) struct Answer {
    pub status: u16,
    /// The status line's text where it is not the usual one: that is where Proxmox says what is wrong.
    pub reason: String,
    /// Content type, in lower case, without parameters.
    pub form: String,
    /// `Location`, cleaned.
    pub location: Option<String>,
    /// What time it was there.
    pub date: Option<Stamp>,
    pub body: Bytes,
}

/// A connection on which requests can be sent.
pub(super) struct Line {
    requests: SendRequest<Full<Bytes>>,
    task: AbortHandle,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Target {
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        let limit = self.limits.connect;
        let late = || ApiError::NoConnection { at: self.address.to_string(), why: format!("nothing came within {} s", limit.as_secs()) };
        timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
    }

    /// Opens a TCP connection, trying all addresses of the name in turn.
    async fn tcp(&self) -> Result<TcpStream, ApiError> {
        let (host, port) = (self.address.host(), self.address.port());
        let no_name = |why: String| ApiError::NoName { host: host.to_owned(), why };
        let all: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map_err(|e| no_name(e.to_string()))?.collect();
        let mut last = no_name("it has no address".into());
        for at in all {
            match TcpStream::connect(at).await {
                Ok(tcp) => {
                    let _ = tcp.set_nodelay(true);
                    return Ok(tcp);
                }
                Err(e) => last = ApiError::NoConnection { at: at.to_string(), why: said(&e.to_string()) },
            }
        }
        Err(last)
    }

    async fn tls(&self) -> Result<TlsStream<TcpStream>, ApiError> {
        let tcp = self.tcp().await?;
        TlsConnector::from(Arc::clone(&self.tls)).connect(self.name.clone(), tcp).await.map_err(|e| match tls::distrust(&e) {
            Some(why) => ApiError::Distrusted(Box::new(why)),
            None => ApiError::NotTls { at: self.address.to_string(), why: said(&e.to_string()) },
        })
    }

    /// Only looks whether something listens there.
    pub async fn reach(&self) -> Result<SocketAddr, ApiError> {
        let tcp = self.in_time(self.tcp()).await?;
        tcp.peer_addr().map_err(|e| ApiError::NoConnection { at: self.address.to_string(), why: e.to_string() })
    }

    /// Only lets it prove who it is; sends nothing else.
    pub async fn certificate(&self) -> Result<Certificate, ApiError> {
        let stream = self.in_time(self.tls()).await?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(|all| all.first()).and_then(|c| certificate::read(c));
        leaf.ok_or_else(|| ApiError::NotTls { at: self.address.to_string(), why: "it showed no certificate".into() })
    }

    /// A connection whose other end has proved who it is.
    pub async fn open(&self) -> Result<Line, ApiError> {
        self.in_time(async {
            let stream = self.tls().await?;
            let begun = http1::Builder::new().handshake(TokioIo::new(stream)).await;
            let (requests, connection) =
                begun.map_err(|e| ApiError::NoConnection { at: self.address.to_string(), why: said(&e.to_string()) })?;
            let task = tokio::spawn(async move { drop(connection.await) }).abort_handle();
            Ok(Line { requests, task })
        })
        .await
    }
}

impl Line {
    /// Whether another request may be sent on it.
    pub fn is_open(&self) -> bool {
        self.requests.is_ready()
    }

    /// Sends a request and reads the answer. `call` names it in errors.
    pub async fn send(&mut self, request: Request<Full<Bytes>>, call: &str, limits: &Limits) -> Result<Answer, ApiError> {
        let late = |limit: Duration| ApiError::TimedOut { call: call.to_owned(), limit_s: limit.as_secs() };
        let whole = async {
            let head = timeout(limits.answer, self.requests.send_request(request)).await.map_err(|_| late(limits.answer))?;
            read(head.map_err(|e| cut(call, &e))?, call, limits.body).await
        };
        timeout(limits.whole, whole).await.map_err(|_| late(limits.whole))?
    }
}

fn cut(call: &str, e: &hyper::Error) -> ApiError {
    let cause = std::error::Error::source(e).map(|s| format!(" ({s})")).unwrap_or_default();
    ApiError::Cut { call: call.to_owned(), why: said(&format!("{e}{cause}")) }
}

async fn read(answer: Response<Incoming>, call: &str, limit: usize) -> Result<Answer, ApiError> {
    let status = answer.status();
    let text = |name: HeaderName, headers: &HeaderMap| headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let headers = answer.headers();
    let form = text(CONTENT_TYPE, headers).unwrap_or_default().split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let location = text(LOCATION, headers).map(|l| said(&l));
    let date = text(DATE, headers).and_then(|d| http_date(&d));
    let reason = answer.extensions().get::<ReasonPhrase>().map(|r| said(&String::from_utf8_lossy(r.as_bytes()))).unwrap_or_default();
    let compressed = headers.contains_key(CONTENT_ENCODING);
    let length = text(CONTENT_LENGTH, headers).and_then(|l| l.parse::<u64>().ok());
    let mut out = Answer { status: status.as_u16(), reason, form, location, date, body: Bytes::new() };
    let body = if compressed {
        // We never ask for it, so nothing is ever unpacked, whatever it would become.
        Err(ApiError::Foreign { call: call.to_owned(), why: "it is compressed, which was not asked for".into() })
    } else if length.is_some_and(|l| l > limit as u64) {
        Err(ApiError::TooLarge { call: call.to_owned(), limit })
    } else {
        gather(answer.into_body(), call, limit).await
    };
    match body {
        Ok(body) => out.body = body,
        // A refusal stands in the status line; its body only repeats it.
        Err(_) if !status.is_success() => {}
        Err(e) => return Err(e),
    }
    Ok(out)
}

async fn gather(mut body: Incoming, call: &str, limit: usize) -> Result<Bytes, ApiError> {
    let mut out = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|e| cut(call, &e))?.into_data() {
            if out.len() + data.len() > limit {
                return Err(ApiError::TooLarge { call: call.to_owned(), limit });
            }
            out.extend_from_slice(&data);
        }
    }
    Ok(out.into())
}

/// `Fri, 20 Nov 2026 17:45:45 GMT` (RFC 9110, 5.6.7); the older forms are not read.
fn http_date(text: &str) -> Option<Stamp> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split(' ');
    let day = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|m| *m == month)? as u32 + 1;
    let year = words.next()?.parse().ok()?;
    let mut time = words.next()?.split(':').map(str::parse::<u32>);
    let mut part = || time.next()?.ok();
    Stamp::from_civil(year, month, day, part()?, part()?, part()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_headers() {
        let read = |text| http_date(text).map(Stamp::rfc3339);
        assert_eq!(read("Fri, 20 Nov 2026 17:45:45 GMT").as_deref(), Some("2026-11-20T17:45:45Z"));
        for bad in ["", "Fri, 20 Nov", "Fri, 20 Xyz 2026 17:45:45 GMT", "Fri, 20 Nov 2026 17:45 GMT", "Friday, 20-Nov-26 17:45:45 GMT"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
