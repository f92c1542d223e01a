//! Bad days of the API: every one a typed error in words, a GET repeated only where that is safe, a change sent once.

use std::time::Duration;

use proximity::host::api::{Api, ApiError, Limits};
use serde_json::Value;

use super::server::*;

async fn one(reply: impl Fn() -> Reply + Send + Sync + 'static, limits: Limits) -> (Server, Api) {
    let ours = Authority::new();
    let server = Server::new(&ours.sign(&["localhost"], Flaw::None), move |_, _| reply()).await;
    let api = server.api(&ours.pem, limits);
    (server, api)
}

async fn get(reply: impl Fn() -> Reply + Send + Sync + 'static, limits: Limits) -> Result<Option<Value>, ApiError> {
    let (server, api) = one(reply, limits).await;
    let got = api.get(&["nodes"], &[]).await;
    assert_eq!(server.hits(), 1, "once, whatever came");
    got
}

fn head(length: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{length}\r\n\r\n")
}

#[tokio::test]
async fn answers_that_are_no_good_days() {
    let long = Limits::default();
    let mut told: Vec<(&str, ApiError)> = Vec::new();
    for (name, recording) in [
        ("no ticket", "pve-9.1/http-noauth"),
        ("no ticket on 8.4", "pve-8.4/http-noauth"),
        ("wrong token", "pve-9.1/http-token-bad"),
        ("missing right", "pve-9.1/http-limited-stop-403"),
        ("missing container", "pve-8.4/http-lxc-missing"),
        ("unknown path", "pve-9.1/http-path-unknown"),
        ("wrong parameter", "pve-9.1/http-vzdump-param400"),
        ("no route to the node", "pve-9.1/http-node-noroute"),
        ("node refuses", "pve-9.1/http-node-refused"),
        ("wrong certificate behind", "pve-9.1/http-node-wrongcert"),
        ("pmxcfs is down", "pve-9.1/http-pmxcfs-down"),
        ("compressed unasked", "pve-9.1/http-gzip"),
    ] {
        told.push((name, get(move || recorded(recording, true), long).await.unwrap_err()));
    }
    for status in [
        "404 Not Found",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "597 x",
        "599 x",
    ] {
        told.push((status, get(move || page(status, "text/html", "<html><h1>nginx</h1></html>"), long).await.unwrap_err()));
    }
    told.push(("a page of HTML", get(|| page("200 OK", "text/html", "<html>Welcome</html>"), long).await.unwrap_err()));
    told.push(("no JSON", get(|| json("200 OK", "{\"data\":"), long).await.unwrap_err()));
    told.push(("nothing", get(|| json("200 OK", ""), long).await.unwrap_err()));
    told.push(("a list for an envelope", get(|| json("200 OK", "[1]"), long).await.unwrap_err()));
    told.push(("cut body", get(|| Reply::Cut((head("Content-Length: 900") + "{\"data\":[").into_bytes()), long).await.unwrap_err()));
    told.push(("cut head", get(|| Reply::Cut(b"HTTP/1.1 200 O".to_vec()), long).await.unwrap_err()));
    told.push(("closed without a word", get(|| Reply::Cut(Vec::new()), long).await.unwrap_err()));
    told.push(("no HTTP", get(|| Reply::Cut(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()), long).await.unwrap_err()));
    told.push(("100 MB announced", get(|| Reply::Cut(head("Content-Length: 100000000").into_bytes()), long).await.unwrap_err()));
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    let endless = move || Reply::Endless(head("Transfer-Encoding: chunked").into_bytes(), chunk.clone());
    told.push(("endless JSON", get(endless, long).await.unwrap_err()));
    let bomb = || Reply::Whole((head("Content-Encoding: gzip\r\nContent-Length: 3") + "\x1f\x0b\x08").into_bytes());
    told.push(("gzip bomb", get(bomb, long).await.unwrap_err()));
    told.push((
        "headers without end",
        get(|| Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-Y: z\r\n".repeat(64)), long).await.unwrap_err(),
    ));
    let slowly = || Reply::Drip(head("Content-Length: 60").into_bytes(), Duration::from_secs(1));
    told.push(("1 byte a second", get(slowly, short()).await.unwrap_err()));
    let body = || Reply::Drip((head("Content-Length: 60") + "{\"data\":").into_bytes(), Duration::from_millis(20));
    told.push(("a body that never ends", get(body, Limits { answer: Duration::from_secs(30), ..short() }).await.unwrap_err()));
    told.push(("never", get(|| Reply::Never, short()).await.unwrap_err()));
    for (name, e) in &told {
        println!("{name:<26} {e}");
        let text = e.to_string();
        assert!(text.len() > 10 && !text.contains(TOKEN) && !text.contains('\u{1b}') && !text.contains("<html"), "{name}: {text}");
    }
    let find = |name: &str| told.iter().find(|(n, _)| *n == name).map(|(_, e)| e).unwrap();
    assert!(matches!(find("no ticket"), ApiError::NotTaken { said } if said == "No ticket"));
    assert!(matches!(find("missing right"), ApiError::Forbidden { said } if said == "Permission check failed (/vms/100, VM.PowerMgmt)"));
    assert!(matches!(find("missing container"), ApiError::Refused { status: 500, said } if said.contains("999.conf' does not exist")));
    assert!(matches!(find("wrong parameter"), ApiError::Refused { status: 400, said } if said.contains("vmid: invalid format")));
    assert!(matches!(find("unknown path"), ApiError::Refused { status: 501, .. }));
    assert!(matches!(find("pmxcfs is down"), ApiError::Refused { status: 500, said } if said.contains("Connection refused")));
    for (name, status) in [("no route to the node", 595), ("wrong certificate behind", 596), ("597 x", 597), ("599 x", 599)] {
        assert!(find(name).is_unreachable() && matches!(find(name), ApiError::Behind { status: s, .. } if *s == status), "{name}");
    }
    for name in ["gzip bomb", "compressed unasked", "a page of HTML", "no JSON", "nothing", "a list for an envelope"] {
        assert!(matches!(find(name), ApiError::Foreign { .. }), "{name}");
    }
    for name in ["100 MB announced", "endless JSON"] {
        assert!(matches!(find(name), ApiError::TooLarge { .. }), "{name}");
    }
    for name in ["cut body", "cut head", "closed without a word", "no HTTP", "headers without end"] {
        assert!(matches!(find(name), ApiError::Cut { .. }), "{name}: {:?}", find(name));
    }
    for name in ["1 byte a second", "a body that never ends", "never"] {
        assert!(matches!(find(name), ApiError::TimedOut { .. }), "{name}");
    }
    println!("{} bad answers, each with its own words", told.len());
    assert!(told.len() >= 30);
}

#[tokio::test]
async fn data_of_another_form_is_told_without_repeating_it() {
    let (server, api) = one(|| json("200 OK", r#"{"data":"a secret word"}"#), Limits::default()).await;
    let e = api.permissions().await.unwrap_err();
    assert!(matches!(&e, ApiError::Foreign { why, .. } if why.contains("another form")), "{e}");
    assert!(!e.to_string().contains("secret word"));
    assert_eq!(server.hits(), 1);
    let (_server, api) = one(|| json("200 OK", r#"{"data":null}"#), Limits::default()).await;
    assert!(api.nodes().await.unwrap().is_empty() && api.permissions().await.unwrap().is_empty());
    assert_eq!(api.version().await.unwrap().major(), None, "null is unknown, not a version");
}

#[tokio::test]
async fn a_server_that_repeats_the_credential_does_not_make_us_repeat_it() {
    let (_server, api) = one(|| json(&format!("401 invalid token value {TOKEN}!"), ""), Limits::default()).await;
    let e = api.version().await.unwrap_err();
    assert_eq!(e.to_string(), "invalid token value …! (401)");
}

#[tokio::test]
async fn a_change_is_sent_exactly_once_whatever_becomes_of_it() {
    type Case = (&'static str, fn() -> Reply, bool);
    let cases: [Case; 11] = [
        ("done", || recorded("pve-9.1/http-vzdump-ok", true), false),
        ("never answered", || Reply::Never, true),
        ("closed without a word", || Reply::Cut(Vec::new()), true),
        ("cut head", || Reply::Cut(b"HTTP/1.1 200".to_vec()), true),
        ("cut body", || Reply::Cut(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{\"da".to_vec()), true),
        ("dripping", || Reply::Drip(b"HTTP/1.1 200 OK\r\n".to_vec(), Duration::from_secs(1)), true),
        ("refused", || recorded("pve-9.1/http-ticket-post-ok", true), false),
        ("redirected", || Reply::Whole(b"HTTP/1.1 307 x\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n".to_vec()), false),
        ("daemon down", || recorded("pve-9.1/http-pvedaemon-down", true), false),
        ("cut behind", || json("597 connection lost", ""), true),
        ("proxy gave up", || page("504 Gateway Time-out", "text/html", "<html>"), true),
    ];
    let count = cases.len();
    for (name, reply, unknown) in cases {
        let never = matches!(reply(), Reply::Never | Reply::Drip(..));
        let (server, api) = one(reply, if never { short() } else { Limits::default() }).await;
        let got: Result<Option<String>, _> = api.post(&["nodes", "pve1", "vzdump"], &[("vmid", "100"), ("storage", "lo&cal")]).await;
        assert_eq!(server.lines(), ["POST /api2/json/nodes/pve1/vzdump"], "{name}");
        assert_eq!(server.seen.lock().unwrap()[0].body, "vmid=100&storage=lo%26cal");
        assert_eq!(matches!(got, Err(ApiError::Unknown { .. })), unknown, "{name}: {got:?}");
        if name == "done" {
            assert!(got.unwrap().unwrap().starts_with("UPID:pve1:"));
        }
    }
    println!("{count} ways a change can end, each sent exactly once");
    // Where no connection came about nothing was sent, and that is known.
    let (_held, port) = nobody();
    let ours = Authority::new();
    let server = Server { port, bytes: Default::default(), seen: Default::default(), connections: Default::default() };
    let got: Result<Option<String>, _> = server.api(&ours.pem, short()).post(&["x"], &[]).await;
    assert!(matches!(got, Err(ApiError::NoConnection { .. })), "{got:?}");
}

#[tokio::test]
async fn a_get_uses_its_line_again_and_finds_another_where_that_was_closed() {
    let ours = Authority::new();
    let identity = ours.sign(&["localhost"], Flaw::None);
    let server = Server::new(&identity, |_, before| match before {
        // The third request arrives on a line that the server closes at that very moment.
        2 => Reply::Cut(Vec::new()),
        _ => recorded("pve-9.1/http-nodes", true),
    })
    .await;
    let api = server.api(&ours.pem, Limits::default());
    for _ in 0..3 {
        assert_eq!(api.nodes().await.unwrap().len(), 1);
    }
    assert_eq!((server.hits(), *server.connections.lock().unwrap()), (4, 2));
    // A change never goes over a line that may be about to close.
    let _: Result<Option<Value>, _> = api.post(&["x"], &[]).await;
    assert_eq!((server.hits(), *server.connections.lock().unwrap()), (5, 3));
}
