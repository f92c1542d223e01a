//! Asks many ports at once from a network of this machine. Not by a program for each: a thousand of them take a minute of
//! processor time. A thread of its own goes into the network (setns(2) moves a thread, not the process) and ends with it.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::AsFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::unproven::{self, handshake};
use crate::domain::ports::{Answer, Chain, How, Knock, Knocked, head};
use crate::host::HostError;

/// Questions that are put at once.
const AT_ONCE: usize = 32;
/// How long one may take: Caddy gives an app up after three seconds.
const ONE: Duration = Duration::from_secs(5);
/// How long all may take. Those that were not put by then are unknown.
const ALL: Duration = Duration::from_secs(10);
/// Bytes of the head of an answer that are read.
const HEAD: usize = 16 << 10;

/// Asks from the network of a process, or from this machine's own.
pub(super) async fn knock(pid: Option<u32>, at: Vec<Knock>) -> Result<Knocked, HostError> {
    let what = pid.map_or("this machine's network".to_owned(), |pid| format!("/proc/{pid}/ns/net"));
    let failed = |e: Error| match e.kind() {
        ErrorKind::NotFound => HostError::Missing { what: what.clone() },
        ErrorKind::PermissionDenied => HostError::Denied { what: what.clone() },
        _ => HostError::Io { what: what.clone(), why: e.to_string() },
    };
    let (told, answer) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("knock".into());
    let begun = thread.spawn(move || drop(told.send(inside(pid, at))));
    begun.map_err(failed)?;
    answer.await.unwrap_or_else(|_| Err(Error::other("the thread that asks ended"))).map_err(failed)
}

fn inside(pid: Option<u32>, at: Vec<Knock>) -> Result<Knocked, Error> {
    if let Some(pid) = pid {
        let net = File::open(format!("/proc/{pid}/ns/net"))?;
        move_into_link_name_space(net.as_fd(), Some(LinkNameSpaceType::Network))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let from = at.first().and_then(|k| own_address(k.place));
    let until = Instant::now() + ALL;
    let client = &unproven::client()?;
    let one = |k: Knock| async move { (k.place.port(), ask(&k, until, client).await) };
    let all: Vec<_> = runtime.block_on(async { stream::iter(at).map(one).buffer_unordered(AT_ONCE).collect().await });
    let mut out = Knocked { from, ..Knocked::default() };
    for (port, (answer, chain)) in all {
        out.answers.insert(port, answer);
        out.shown.extend(chain.map(|chain| (port, chain)));
    }
    Ok(out)
}

/// The address that a place would see; nothing is sent to learn it.
fn own_address(to: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

async fn ask(knock: &Knock, until: Instant, client: &TlsConnector) -> (Answer, Option<Chain>) {
    let begun = Instant::now();
    if begun >= until {
        return (Answer::Unknown(format!("not asked within {} s", ALL.as_secs())), None);
    }
    let end = begun + ONE;
    let stream = match timeout_at(end, TcpStream::connect(knock.place)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return (Answer::Silent(words(&e)), None),
        Err(_) => return (Answer::Silent(format!("no connection within {} s", ONE.as_secs())), None),
    };
    let ms = || u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
    let place = knock.place.to_string();
    let (name, is_asked) = match &knock.how {
        How::Connect => return (Answer::Taken { ms: ms() }, None),
        How::Http => {
            let again = async { exchange(TcpStream::connect(knock.place).await?, &place, "GET").await };
            return (told(either(end, exchange(stream, &place, "HEAD"), again).await, ms()), None);
        }
        How::Https { name } => (name.as_deref(), true),
        How::Tls { name } => (name.as_deref(), false),
    };
    let (stream, chain) = match timeout_at(end, handshake(client, stream, knock.place, name)).await {
        Ok(Ok(both)) => both,
        Ok(Err(how)) => return (Answer::NoTls(how), None),
        Err(_) => return (Answer::NoTls(format!("no handshake within {} s", ONE.as_secs())), None),
    };
    if !is_asked {
        return (Answer::Taken { ms: ms() }, Some(chain));
    }
    // Nobody proved who answers here, so nothing but this question is ever sent: no login, no token, no cookie.
    let host = name.map_or(place, |name| format!("{name}:{}", knock.place.port()));
    let again = async {
        let (stream, _) = handshake(client, TcpStream::connect(knock.place).await?, knock.place, name).await.map_err(Error::other)?;
        exchange(stream, &host, "GET").await
    };
    (told(either(end, exchange(stream, &host, "HEAD"), again).await, ms()), Some(chain))
}

type Asked = Result<Result<(u16, Option<u64>), Error>, Elapsed>;

/// The answer to a first question. Some apps do not know HEAD and hang up: before that is said of them they are asked `again`, as a
/// browser asks.
async fn either(
    end: Instant,
    first: impl Future<Output = Result<(u16, Option<u64>), Error>>,
    again: impl Future<Output = Result<(u16, Option<u64>), Error>>,
) -> Asked {
    match timeout_at(end, first).await {
        Ok(Ok((502..=504, _))) => timeout(ONE, again).await,
        other => other,
    }
}

fn told(said: Asked, ms: u32) -> Answer {
    match said {
        Ok(Ok((code, size))) => Answer::Status { code, ms, size },
        Ok(Err(e)) => Answer::Silent(words(&e)),
        Err(_) => Answer::Silent(format!("no answer within {} s", ONE.as_secs())),
    }
}

/// One question and the head of its answer; the page itself is not waited for.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, host: &str, verb: &str) -> Result<(u16, Option<u64>), Error> {
    let text = format!("{verb} / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: proximity\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await?;
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    while !bytes.windows(4).any(|w| w == b"\r\n\r\n") && bytes.len() < HEAD {
        match stream.read(&mut part).await? {
            0 => break,
            n => bytes.extend_from_slice(&part[..n]),
        }
    }
    head(&bytes).ok_or_else(|| Error::other(if bytes.is_empty() { "it hung up without a word" } else { "what came back is no HTTP" }))
}

fn words(e: &Error) -> String {
    match e.kind() {
        ErrorKind::ConnectionRefused => "refused".to_owned(),
        ErrorKind::ConnectionReset => "it hung up without a word".to_owned(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "there is no way there".to_owned(),
        _ => e.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A server that answers each request with what it is told to.
    fn serve(answer: fn(&str) -> &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut bytes = [0; 4096];
                let n = stream.read(&mut bytes).unwrap();
                let _ = stream.write_all(answer(&String::from_utf8_lossy(&bytes[..n])).as_bytes());
            }
        });
        place
    }

    #[tokio::test]
    async fn many_ports_are_asked_and_each_says_its_own() {
        let well = serve(|_| "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
        let only_get = serve(|q| if q.starts_with("HEAD") { "HTTP/1.1 502 Bad Gateway\r\n\r\n" } else { "HTTP/1.1 404 x\r\n\r\n" });
        let mute = serve(|_| "");
        let other = serve(|_| "SSH-2.0-x\r\n\r\n");
        // Taken once, so that nobody else has it now.
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let at = [well, only_get, mute, other, closed].map(|place| Knock { place, how: How::Http });
        let told = knock(None, at.into()).await.unwrap();
        let of = |place: SocketAddr| match &told.answers[&place.port()] {
            Answer::Status { code, size, .. } => format!("{code} {size:?}"),
            Answer::Silent(how) => how.clone(),
            other => format!("{other:?}"),
        };
        assert_eq!((of(well), of(only_get)), ("200 Some(7)".into(), "404 None".into()));
        assert_eq!(
            (of(mute), of(other), of(closed)),
            ("it hung up without a word".into(), "what came back is no HTTP".into(), "refused".into())
        );
        assert_eq!(told.from, Some([127, 0, 0, 1].into()));
        let plain = knock(None, vec![Knock { place: well, how: How::Connect }]).await.unwrap();
        assert!(matches!(plain.answers[&well.port()], Answer::Taken { .. }));
        assert!(matches!(knock(Some(u32::MAX), vec![]).await, Err(HostError::Missing { .. })));
    }

    /// A server that shows a certificate of nobody and answers with the host it was asked for.
    fn serve_tls(names: &[&str]) -> (SocketAddr, Vec<u8>) {
        use tokio_rustls::rustls::pki_types::PrivateKeyDer;
        use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned, crypto};
        let made = rcgen::generate_simple_self_signed(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
        let (der, key) = (made.cert.der().clone(), PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap());
        let shown = der.to_vec();
        let config = ServerConfig::builder_with_provider(crypto::ring::default_provider().into()).with_safe_default_protocol_versions();
        let config = std::sync::Arc::new(config.unwrap().with_no_client_auth().with_single_cert(vec![der], key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream.unwrap());
                let mut bytes = [0; 4096];
                let Ok(n) = tls.read(&mut bytes) else { continue };
                let asked = String::from_utf8_lossy(&bytes[..n]).into_owned();
                let right = tls.conn.server_name() == Some("cloud.home") && asked.contains(&format!("Host: cloud.home:{}\r", place.port()));
                let secret = ["cookie", "authorization"].iter().any(|w| asked.to_lowercase().contains(w));
                let code = if right && !secret { 200 } else { 421 };
                let _ = tls.write_all(format!("HTTP/1.1 {code} x\r\n\r\n").as_bytes());
                let _ = tls.flush();
            }
        });
        (place, shown)
    }

    #[tokio::test]
    async fn what_is_shown_is_recorded_and_only_a_page_is_asked_for() {
        let (tls, der) = serve_tls(&["other.home"]);
        let plain = serve(|_| "HTTP/1.1 400 Bad Request\r\n\r\n");
        let mute = serve(|_| "");
        let name = || Some("cloud.home".to_owned());
        let at = [(tls, How::Https { name: name() }), (plain, How::Https { name: name() }), (mute, How::Tls { name: None })];
        let told = knock(None, at.map(|(place, how)| Knock { place, how }).into()).await.unwrap();
        assert!(matches!(told.answers[&tls.port()], Answer::Status { code: 200, .. }), "{told:?}");
        assert_eq!(told.shown, std::collections::BTreeMap::from([(tls.port(), vec![der])]));
        assert_eq!(told.answers[&plain.port()], Answer::NoTls("what answers speaks no TLS".into()));
        assert!(matches!(&told.answers[&mute.port()], Answer::NoTls(how) if how == "it hung up at the handshake"), "{told:?}");
        let bare = knock(None, vec![Knock { place: tls, how: How::Tls { name: None } }]).await.unwrap();
        assert!(matches!(bare.answers[&tls.port()], Answer::Taken { .. }) && bare.shown.len() == 1);
        let odd = knock(None, vec![Knock { place: tls, how: How::Tls { name: Some("a b".into()) } }]).await.unwrap();
        assert!(matches!(odd.answers[&tls.port()], Answer::NoTls(_)));
    }

    /// What it takes is printed; that all were asked is what counts.
    #[tokio::test]
    async fn a_thousand_are_asked_in_one_go() {
        let well = serve(|_| "HTTP/1.1 200 OK\r\n\r\n");
        let listeners: Vec<TcpListener> = (0..1000).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let mut at: Vec<Knock> = listeners.iter().map(|l| Knock { place: l.local_addr().unwrap(), how: How::Connect }).collect();
        at.push(Knock { place: well, how: How::Http });
        let begun = Instant::now();
        let told = knock(None, at).await.unwrap();
        println!("1,001 ports: {:?}", begun.elapsed());
        assert_eq!(told.answers.len(), 1001);
        assert!(told.answers.values().all(Answer::is_well));
    }

    /// A handshake costs what a thousand of them must not: what it takes is printed.
    #[tokio::test]
    async fn five_hundred_are_asked_by_tls_in_one_go() {
        let all: Vec<SocketAddr> = (0..500).map(|_| serve_tls(&["cloud.home"]).0).collect();
        let at = all.iter().map(|place| Knock { place: *place, how: How::Https { name: Some("cloud.home".into()) } }).collect();
        let begun = Instant::now();
        let told = knock(None, at).await.unwrap();
        println!("500 ports by TLS: {:?}", begun.elapsed());
        assert_eq!((told.answers.len(), told.shown.len()), (500, 500));
        assert!(told.answers.values().all(|a| matches!(a, Answer::Status { code: 200, .. })));
    }
}
