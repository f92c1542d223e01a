//! A TLS server in the test's own process: certificates made on the spot, answers by a script, everything that arrives kept.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proximity::domain::credential::Fingerprint;
use proximity::host::api::{Anchors, Api, Door, Limits};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

/// What the tests look for in what a server received.
pub const TOKEN: &str = "5e1f0e2c-token-5e1f0e2c";
pub const PASSWORD: &str = "hunter2&hunter2=hunter2";

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Such as `GET /api2/json/version`.
    pub line: String,
    pub head: String,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        let field = |l: &'_ str| l.split_once(": ").map(|(n, _)| n.eq_ignore_ascii_case(name)).unwrap_or(false);
        self.head.lines().find(|l| field(l)).and_then(|l| l.split_once(": ")).map(|(_, v)| v)
    }
}

/// How a request is answered.
pub enum Reply {
    Whole(Vec<u8>),
    /// Byte by byte, with a pause after each.
    Drip(Vec<u8>, Duration),
    /// These bytes, then the connection ends.
    Cut(Vec<u8>),
    /// These bytes as often as somebody reads them.
    Endless(Vec<u8>, Vec<u8>),
    Never,
}

/// An answer with a JSON body.
pub fn json(status: &str, body: &str) -> Reply {
    page(status, "application/json;charset=UTF-8", body)
}

pub fn page(status: &str, form: &str, body: &str) -> Reply {
    Reply::Whole(
        format!("HTTP/1.1 {status}\r\nContent-Type: {form}\r\nContent-Length: {}\r\nDate: {}\r\n\r\n{body}", body.len(), http_now())
            .into_bytes(),
    )
}

/// A recorded answer; its date is that of the recording unless `fresh`.
pub fn recorded(name: &str, fresh: bool) -> Reply {
    let base = format!("{}/tests/recordings/{name}", env!("CARGO_MANIFEST_DIR"));
    let head = std::fs::read_to_string(format!("{base}.hdr")).unwrap();
    let body = std::fs::read(format!("{base}.out")).unwrap();
    let mut out = Vec::new();
    for line in head.lines().filter(|l| !l.is_empty() && !l.starts_with("Content-Length")) {
        let line = if fresh && line.starts_with("Date:") { format!("Date: {}", http_now()) } else { line.to_owned() };
        out.extend(format!("{line}\r\n").into_bytes());
    }
    // The bodies were made shorter when secrets were taken out of them.
    out.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes());
    out.extend(body);
    Reply::Whole(out)
}

fn http_now() -> String {
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&jiff::Timestamp::now()).unwrap()
}

/// An authority of the test.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A server's certificate and key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivatePkcs8KeyDer<'static>,
    pub pem: String,
}

impl Identity {
    pub fn fingerprint(&self) -> Fingerprint {
        proximity::domain::certificate::fingerprint(&self.chain[0])
    }
}

/// What may be wrong with a certificate.
#[derive(Clone, Copy, PartialEq)]
pub enum Flaw {
    None,
    Expired,
    NotYet,
    ForClients,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Proxmox Virtual Environment");
        params.distinguished_name.push(DnType::OrganizationName, "PVE Cluster Manager CA");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    pub fn sign(&self, names: &[&str], flaw: Flaw) -> Identity {
        let (params, key) = (leaf(names, flaw), KeyPair::generate().unwrap());
        identity(params.signed_by(&key, &self.issuer).unwrap(), &key)
    }
}

pub fn self_signed(names: &[&str], flaw: Flaw) -> Identity {
    let key = KeyPair::generate().unwrap();
    identity(leaf(names, flaw).self_signed(&key).unwrap(), &key)
}

fn leaf(names: &[&str], flaw: Flaw) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, names[0]);
    let (from, to) = match flaw {
        Flaw::Expired => (2020, 2021),
        Flaw::NotYet => (2090, 2091),
        _ => (2024, 2089),
    };
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    let purpose = if flaw == Flaw::ForClients { ExtendedKeyUsagePurpose::ClientAuth } else { ExtendedKeyUsagePurpose::ServerAuth };
    params.extended_key_usages = vec![purpose];
    params
}

fn identity(cert: rcgen::Certificate, key: &KeyPair) -> Identity {
    Identity { chain: vec![cert.der().clone()], key: key.serialize_der().into(), pem: cert.pem() }
}

type Script = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

/// A server; `script` gets each request and how many came before it.
pub struct Server {
    pub port: u16,
    /// Everything that came through TLS.
    pub bytes: Arc<Mutex<Vec<u8>>>,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    /// Connections that came so far as TCP.
    pub connections: Arc<Mutex<usize>>,
}

impl Server {
    pub async fn new(identity: &Identity, script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Server {
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain.clone(), identity.key.clone_key().into())
            .unwrap();
        Server::serving(Some(TlsAcceptor::from(Arc::new(config))), Arc::new(script)).await
    }

    /// One that speaks HTTP without TLS.
    pub async fn plain(script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Server {
        Server::serving(None, Arc::new(script)).await
    }

    async fn serving(tls: Option<TlsAcceptor>, script: Arc<Script>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server {
            port: listener.local_addr().unwrap().port(),
            bytes: Arc::default(),
            seen: Arc::default(),
            connections: Arc::default(),
        };
        let (bytes, seen, connections) = (Arc::clone(&server.bytes), Arc::clone(&server.seen), Arc::clone(&server.connections));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                *connections.lock().unwrap() += 1;
                let (bytes, seen, script, tls) = (Arc::clone(&bytes), Arc::clone(&seen), Arc::clone(&script), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                answering(stream, &bytes, &seen, &script).await;
                            }
                        }
                        None => answering::<TcpStream>(tcp, &bytes, &seen, &script).await,
                    }
                });
            }
        });
        server
    }

    pub fn hits(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|s| s.line.clone()).collect()
    }

    pub fn door(&self, host: &str, anchors: Anchors, limits: Limits) -> Door {
        Door::new(&format!("{host}:{}", self.port).parse().unwrap(), anchors, limits).unwrap()
    }

    /// Logged in with a token.
    pub fn api(&self, ca: &str, limits: Limits) -> Api {
        let secret = proximity::domain::secret::Secret::from_text(TOKEN.into());
        self.door("localhost", Anchors::pem("ca", ca.as_bytes()).unwrap(), limits)
            .token("root@pam!console".parse().unwrap(), Arc::new(secret))
    }
}

async fn answering<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    bytes: &Mutex<Vec<u8>>,
    seen: &Mutex<Vec<Seen>>,
    script: &Arc<Script>,
) {
    let mut pending = Vec::new();
    loop {
        let Some(request) = request(&mut stream, &mut pending, bytes).await else { return };
        let before = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        match script(&request, before) {
            Reply::Whole(all) => {
                let close = all.windows(17).any(|w| w == b"Connection: close");
                if stream.write_all(&all).await.is_err() || stream.flush().await.is_err() || close {
                    let _ = stream.shutdown().await;
                    return;
                }
            }
            Reply::Drip(all, pause) => {
                for byte in all {
                    if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                }
            }
            Reply::Cut(all) => {
                let _ = stream.write_all(&all).await;
                let _ = stream.flush().await;
                return;
            }
            Reply::Endless(head, more) => {
                let _ = stream.write_all(&head).await;
                while stream.write_all(&more).await.is_ok() && stream.flush().await.is_ok() {}
                return;
            }
            Reply::Never => std::future::pending().await,
        }
    }
}

async fn request<S: AsyncRead + Unpin>(stream: &mut S, pending: &mut Vec<u8>, bytes: &Mutex<Vec<u8>>) -> Option<Seen> {
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = pending.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&pending[..end]).into_owned();
            let mut seen = Seen { line: head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned(), head, body: String::new() };
            let length: usize = seen.header("content-length").map_or(0, |l| l.parse().unwrap());
            if pending.len() >= end + 4 + length {
                seen.body = String::from_utf8_lossy(&pending[end + 4..end + 4 + length]).into_owned();
                pending.drain(..end + 4 + length);
                return Some(seen);
            }
        }
        let read = stream.read(&mut chunk).await.ok().filter(|n| *n > 0)?;
        pending.extend_from_slice(&chunk[..read]);
        bytes.lock().unwrap().extend_from_slice(&chunk[..read]);
    }
}

/// A port on which nobody listens, and which nobody else gets as long as this is held.
pub fn nobody() -> (tokio::net::TcpSocket, u16) {
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = held.local_addr().unwrap().port();
    (held, port)
}

/// Limits for cases in which something never comes. Where it comes, a busy machine would be too slow for them.
pub fn short() -> Limits {
    let soon = Duration::from_millis(400);
    Limits { answer: soon, whole: 2 * soon, ..Limits::default() }
}
