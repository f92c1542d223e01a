//! Hosts that are not what they should be: nothing of a credential reaches them, and each is told in its own words.

use std::collections::HashSet;
use std::sync::Arc;

use proximity::domain::secret::Secret;
use proximity::host::api::{Anchors, ApiError, Distrust, Entry, Limits};

use super::server::*;

fn welcoming(seen: &Seen, _: usize) -> Reply {
    recorded(if seen.line.starts_with("POST") { "pve-9.1/http-login-ok" } else { "pve-9.1/http-token-version" }, true)
}

/// Tries a token and then a password; gives the error of both, which must be the same.
async fn refused(server: &Server, host: &str, anchors: impl Fn() -> Anchors) -> ApiError {
    let door = || server.door(host, anchors(), Limits::default());
    let api = door().token("root@pam!console".parse().unwrap(), Arc::new(Secret::from_text(TOKEN.into())));
    let by_token = api.version().await.unwrap_err();
    let password = Secret::from_text(PASSWORD.into());
    let by_password = door().password(&"root@pam".parse().unwrap(), &password).await.err().expect("let in");
    let kind = |e: &ApiError| std::mem::discriminant(e);
    assert_eq!(kind(&by_token), kind(&by_password), "{by_token} / {by_password}");
    let received = server.bytes.lock().unwrap();
    let text = String::from_utf8_lossy(&received);
    for secret in [TOKEN, PASSWORD, "hunter2", "root@pam", "root%40pam", "PVEAPIToken"] {
        assert!(!text.contains(secret), "{secret} reached the server: {text}");
    }
    by_token
}

#[tokio::test]
async fn nothing_reaches_a_host_that_is_not_believed() {
    let (ours, others) = (Authority::new(), Authority::new());
    let ca = |a: &Authority| {
        let pem = a.pem.clone();
        move || Anchors::pem("ca", pem.as_bytes()).unwrap()
    };
    let here = &["localhost", "127.0.0.1"][..];
    let (mut words, mut cases) = (HashSet::new(), 0);
    let mut told = |e: &ApiError| {
        cases += 1;
        let text = e.to_string().split([':', '\'']).next().unwrap().chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        println!("{cases:>2}  {e}");
        words.insert(text)
    };
    let why = |e: &ApiError| match e {
        ApiError::Distrusted(d) => d.why.clone(),
        other => panic!("{other}"),
    };

    // Each with its own message.
    for (identity, host, anchors, expected) in [
        (ours.sign(here, Flaw::Expired), "localhost", ca(&ours), Distrust::Expired),
        (ours.sign(here, Flaw::NotYet), "localhost", ca(&ours), Distrust::NotYet),
        (ours.sign(&["pve2", "10.0.0.2"], Flaw::None), "localhost", ca(&ours), Distrust::WrongName),
        (ours.sign(here, Flaw::None), "localhost", ca(&others), Distrust::UnknownIssuer),
    ] {
        let server = Server::new(&identity, welcoming).await;
        let e = refused(&server, host, anchors).await;
        assert_eq!(why(&e), expected);
        assert!(told(&e), "another case has the same words: {e}");
        assert!(server.bytes.lock().unwrap().is_empty(), "not one byte came through");
    }
    let pinned = self_signed(here, Flaw::None);
    let changed = self_signed(here, Flaw::None);
    let server = Server::new(&changed, welcoming).await;
    let e = refused(&server, "localhost", || Anchors::pin(pinned.fingerprint())).await;
    assert!(told(&e));
    let both = [pinned.fingerprint().to_string(), changed.fingerprint().to_string()];
    assert!(both.iter().all(|f| e.to_string().contains(f)), "both fingerprints are told: {e}");

    // The same reasons in other clothes.
    for (identity, host, anchors, expected) in [
        (ours.sign(&["localhost"], Flaw::None), "127.0.0.1", ca(&ours), Distrust::WrongName),
        (self_signed(here, Flaw::None), "localhost", ca(&ours), Distrust::UnknownIssuer),
        (others.sign(here, Flaw::Expired), "localhost", ca(&ours), Distrust::Expired),
    ] {
        let server = Server::new(&identity, welcoming).await;
        let e = refused(&server, host, anchors).await;
        // An expired one of an unknown issuer is not to be believed for either reason.
        assert!(why(&e) == expected || expected == Distrust::Expired, "{e}");
        told(&e);
    }
    let server = Server::new(&ours.sign(here, Flaw::ForClients), welcoming).await;
    let e = refused(&server, "localhost", ca(&ours)).await;
    assert!(matches!(why(&e), Distrust::Bad(_)), "{e}");
    assert!(told(&e));
    let expired = self_signed(here, Flaw::Expired);
    let server = Server::new(&expired, welcoming).await;
    let e = refused(&server, "localhost", || Anchors::pin(expired.fingerprint())).await;
    assert_eq!(why(&e), Distrust::Expired, "a pin does not make an expired certificate good");
    told(&e);

    // Downgrade: whoever is on the way answers without TLS.
    let server = Server::plain(|_, _| recorded("pve-9.1/http-token-version", true)).await;
    // A TLS hello is no HTTP request, so this one answers as soon as anybody comes.
    let e = refused(&server, "localhost", ca(&ours)).await;
    assert!(matches!(e, ApiError::NotTls { .. } | ApiError::NoConnection { .. }), "{e}");
    told(&e);
    let shouting = shouting("HTTP/1.1 301 Moved Permanently\r\nLocation: http://localhost/\r\nContent-Length: 0\r\n\r\n").await;
    let e = refused(&shouting, "localhost", ca(&ours)).await;
    assert!(matches!(e, ApiError::NotTls { .. }), "{e}");
    assert!(told(&e));
    println!("{cases} hosts that were not believed; bytes of a credential that reached them: 0");
    assert!(cases >= 12);
}

/// Answers before it was asked, and keeps what comes.
async fn shouting(text: &'static str) -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Server { port, bytes: Arc::default(), seen: Arc::default(), connections: Arc::default() };
    let bytes = Arc::clone(&server.bytes);
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let bytes = Arc::clone(&bytes);
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let _ = tcp.write_all(text.as_bytes()).await;
                let mut chunk = [0; 4096];
                while let Ok(n @ 1..) = tcp.read(&mut chunk).await {
                    bytes.lock().unwrap().extend_from_slice(&chunk[..n]);
                }
            });
        }
    });
    server
}

#[tokio::test]
async fn a_redirect_is_never_followed_wherever_it_points() {
    let ours = Authority::new();
    let identity = ours.sign(&["localhost"], Flaw::None);
    let other = Server::new(&identity, welcoming).await;
    let plain = Server::plain(welcoming).await;
    for to in [format!("https://localhost:{}/api2/json/version", other.port), format!("http://localhost:{}/", plain.port), "/else".into()] {
        for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
            let location = to.clone();
            let server = Server::new(&identity, move |_, _| {
                Reply::Whole(format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes())
            })
            .await;
            let e = server.api(&ours.pem, Limits::default()).version().await.unwrap_err();
            assert!(matches!(&e, ApiError::Redirected { to: told, .. } if *told == to), "{e}");
            let door = server.door("localhost", Anchors::pem("ca", ours.pem.as_bytes()).unwrap(), Limits::default());
            let e = door.password(&"root@pam".parse().unwrap(), &Secret::from_text(PASSWORD.into())).await.err().unwrap();
            assert!(matches!(e, ApiError::Redirected { .. }), "{e}");
            assert_eq!(server.hits(), 2);
        }
    }
    assert_eq!((other.hits(), plain.hits(), *other.connections.lock().unwrap(), *plain.connections.lock().unwrap()), (0, 0, 0, 0));
}

#[tokio::test]
async fn the_right_host_is_believed_by_authority_by_pin_and_by_its_own_file() {
    let ours = Authority::new();
    let identity = ours.sign(&["localhost", "127.0.0.1", "::1"], Flaw::None);
    let server = Server::new(&identity, welcoming).await;
    let own = self_signed(&["pve7"], Flaw::None);
    let alone = Server::new(&own, welcoming).await;
    for (server, host, anchors) in [
        (&server, "localhost", Anchors::pem("ca", ours.pem.as_bytes()).unwrap()),
        (&server, "127.0.0.1", Anchors::pem("ca", ours.pem.as_bytes()).unwrap()),
        // A pin stands for the certificate whatever its names are.
        (&alone, "localhost", Anchors::pin(own.fingerprint())),
        (&alone, "localhost", Anchors::pem("leaf", own.pem.as_bytes()).unwrap()),
    ] {
        let door = server.door(host, anchors, Limits::default());
        let shown = door.certificate().await.unwrap();
        assert!(shown.subject == "localhost" || shown.subject == "pve7");
        assert!(matches!(door.password(&"root@pam".parse().unwrap(), &Secret::from_text(PASSWORD.into())).await, Ok(Entry::Open(_))));
    }
    let bytes = String::from_utf8_lossy(&server.bytes.lock().unwrap()).into_owned();
    assert!(bytes.contains("hunter2%26hunter2%3Dhunter2"), "the looking glass of these tests does see what is sent: {bytes}");
}
