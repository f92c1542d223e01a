//! Logins by password: tickets, their renewal, the second factor.

use std::time::Duration;

use proximity::domain::credential::{Code, Factor};
use proximity::domain::secret::Secret;
use proximity::host::api::{Anchors, Api, ApiError, Entry, Limits};
use serde_json::Value;

use super::server::*;

const TICKET: &str = "PVE:root@pam:68AE8D43::c2ln+/==";

fn full() -> Reply {
    json("200 OK", &format!(r#"{{"data":{{"ticket":"{TICKET}","CSRFPreventionToken":"68AE8D43:x/y","username":"root@pam"}}}}"#))
}

fn challenge() -> Reply {
    let ticket = "PVE:!tfa!%7B%22totp%22%3Atrue%2C%22recovery%22%3A%22available%22%7D:68AE8D43::c2ln";
    json("200 OK", &format!(r#"{{"data":{{"NeedTFA":1,"ticket":"{ticket}","CSRFPreventionToken":"x","username":"root@pam"}}}}"#))
}

async fn login(server: &Server, ca: &str, limits: Limits) -> Result<Entry, ApiError> {
    let door = server.door("localhost", Anchors::pem("ca", ca.as_bytes()).unwrap(), limits);
    door.password(&"root@pam".parse().unwrap(), &Secret::from_text(PASSWORD.into())).await
}

fn open(entry: Result<Entry, ApiError>) -> Api {
    match entry {
        Ok(Entry::Open(api)) => api,
        Ok(Entry::Challenge(_)) => panic!("a second factor is wanted"),
        Err(e) => panic!("{e}"),
    }
}

async fn serving(script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> (Server, String) {
    let ours = Authority::new();
    (Server::new(&ours.sign(&["localhost"], Flaw::None), script).await, ours.pem)
}

#[tokio::test]
async fn a_ticket_goes_in_a_cookie_and_changes_carry_the_token_against_forgery() {
    let (server, ca) = serving(|seen, _| match seen.line.as_str() {
        "POST /api2/json/access/ticket" => full(),
        "GET /api2/json/version" => recorded("pve-9.1/http-ticket-get", true),
        _ => recorded("pve-9.1/http-ticket-post-ok", true),
    })
    .await;
    let api = open(login(&server, &ca, Limits::default()).await);
    assert_eq!(api.version().await.unwrap().major(), Some(9));
    let e = api.post::<Value>(&["nodes", "pve1", "lxc", "100", "status", "start"], &[]).await.unwrap_err();
    assert_eq!(e.to_string(), "CT 100 already running (500)");
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen[0].body, "password=hunter2%26hunter2%3Dhunter2&username=root%40pam");
    assert_eq!(seen[0].header("cookie"), None);
    let cookie = Some("PVEAuthCookie=PVE%3Aroot%40pam%3A68AE8D43%3A%3Ac2ln%2B%2F%3D%3D");
    assert_eq!((seen[1].header("cookie"), seen[1].header("csrfpreventiontoken")), (cookie, None));
    assert_eq!((seen[2].header("cookie"), seen[2].header("csrfpreventiontoken")), (cookie, Some("68AE8D43:x/y")));
    assert!(seen.iter().skip(1).all(|s| !s.head.contains("hunter2")), "the password is sent once");
}

#[tokio::test]
async fn a_login_that_is_refused_says_so_and_is_not_tried_again() {
    let (server, ca) = serving(|_, _| recorded("pve-9.1/http-login-badpw", true)).await;
    let e = login(&server, &ca, Limits::default()).await.err().unwrap();
    assert!(matches!(&e, ApiError::NotTaken { said } if said == "authentication failure"), "{e}");
    // Proxmox keeps who was wrong waiting for 3 s: a limit below that would make a wrong password look like a dead host.
    assert!(Limits::default().answer > Duration::from_secs(5));
    let (late, ca) = serving(|_, _| match recorded("pve-9.1/http-login-badpw", true) {
        Reply::Whole(all) => Reply::Drip(all, Duration::from_millis(4)),
        other => other,
    })
    .await;
    let e = login(&late, &ca, Limits::default()).await.err().unwrap();
    assert!(matches!(e, ApiError::NotTaken { .. }), "{e}");
    assert_eq!((server.hits(), late.hits()), (1, 1));
    let (_server, ca) = serving(|_, _| json("401 no such user, hunter2&hunter2=hunter2", "")).await;
    assert!(!login(&_server, &ca, Limits::default()).await.err().unwrap().to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_ticket_is_renewed_before_it_ends_and_nothing_is_sent_with_one_that_ended() {
    let old = Limits { renew: Duration::ZERO, ..Limits::default() };
    let (server, ca) = serving(|seen, _| if seen.line.starts_with("POST") { full() } else { recorded("pve-9.1/http-nodes", true) }).await;
    let api = open(login(&server, &ca, old).await);
    api.nodes().await.unwrap();
    assert_eq!(server.lines(), ["POST /api2/json/access/ticket", "POST /api2/json/access/ticket", "GET /api2/json/nodes"]);
    assert_eq!(server.seen.lock().unwrap()[1].body, "password=PVE%3Aroot%40pam%3A68AE8D43%3A%3Ac2ln%2B%2F%3D%3D&username=root%40pam");

    let (server, ca) = serving(|_, before| if before == 0 { full() } else { recorded("pve-9.1/http-login-badpw", true) }).await;
    let api = open(login(&server, &ca, old).await);
    let e = api.post::<Value>(&["nodes", "pve1", "vzdump"], &[]).await.unwrap_err();
    assert!(matches!(e, ApiError::LoggedOut { .. }), "{e}");
    assert_eq!(server.hits(), 2, "the change was not sent");

    // One that the server itself thinks too old, for instance since its clock was set.
    let (server, ca) = serving(|_, before| if before == 0 { full() } else { recorded("pve-9.1/http-badticket", true) }).await;
    let api = open(login(&server, &ca, Limits::default()).await);
    let e = api.version().await.unwrap_err();
    assert!(matches!(&e, ApiError::LoggedOut { said } if said == "Authentication failed!"), "{e}");
    assert_eq!(server.hits(), 2);

    let (server, ca) = serving(|_, _| full()).await;
    let api = open(login(&server, &ca, Limits::default()).await);
    drop(api.version().await);
    assert_eq!(server.lines()[1], "GET /api2/json/version", "a fresh one is not renewed");
}

#[tokio::test]
async fn a_second_factor_cannot_be_gone_round() {
    let (server, ca) = serving(|seen, _| match seen.line.as_str() {
        "POST /api2/json/access/ticket" if seen.body.contains("password=totp%3A287082") => full(),
        "POST /api2/json/access/ticket" if seen.body.contains("tfa-challenge") => recorded("pve-9.1/http-login-badpw", true),
        "POST /api2/json/access/ticket" => challenge(),
        _ => recorded("pve-9.1/http-nodes", true),
    })
    .await;
    let Ok(Entry::Challenge(challenged)) = login(&server, &ca, Limits::default()).await else { panic!("let in without") };
    assert_eq!(challenged.offers(), [Factor::Totp, Factor::Recovery]);
    let code = |text: &str| Code { factor: Factor::Totp, code: Secret::from_text(text.into()) };
    let e = challenged.answer(&code("000000")).await.err().unwrap();
    assert!(matches!(e, ApiError::NotTaken { .. }), "{e}");
    let api = challenged.answer(&code("287082")).await.unwrap();
    assert_eq!(api.nodes().await.unwrap().len(), 1);
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.len(), 4);
    let sent = &seen[2].body;
    assert!(sent.starts_with("password=totp%3A287082&tfa-challenge=PVE%3A%21tfa%21%257B%2522totp"), "{sent}");
    assert!(sent.ends_with("&username=root%40pam"), "no secret is the end of what is sealed: {sent}");
    assert!(!seen[2].body.contains("hunter2"), "the password is not sent again");
}

#[tokio::test]
async fn answers_to_a_login_that_are_no_login() {
    let cases = [
        r#"{"data":null}"#.to_owned(),
        r#"{"data":{"ticket":"PVE:ada@pam:0::x","CSRFPreventionToken":"x","username":"ada@pam"}}"#.into(),
        r#"{"data":{"ticket":"PVE:root@pam:0::x","CSRFPreventionToken":"x","username":"root@pam","NeedTFA":1}}"#.into(),
        r#"{"data":{"ticket":["PVE:root@pam:0::x"],"CSRFPreventionToken":"x","username":"root@pam"}}"#.into(),
        r#"{"data":"PVE:root@pam:0::x"}"#.into(),
        format!(r#"{{"data":{{"ticket":"{TICKET}","username":"root@pam"}}}}"#),
    ];
    for body in cases {
        let shown = body.clone();
        let (server, ca) = serving(move |_, _| json("200 OK", &body)).await;
        let e = login(&server, &ca, Limits::default()).await.err().unwrap_or_else(|| panic!("let in by {shown}"));
        assert!(matches!(e, ApiError::Foreign { .. }), "{shown}: {e}");
        assert!(!e.to_string().contains("PVE:root"), "{e}");
    }
    // Again a challenge in answer to a code is no login either.
    let (server, ca) = serving(|_, _| challenge()).await;
    let Ok(Entry::Challenge(challenged)) = login(&server, &ca, Limits::default()).await else { panic!("let in") };
    let code = Code { factor: Factor::Recovery, code: Secret::from_text("a-b".into()) };
    assert!(matches!(challenged.answer(&code).await, Err(ApiError::NotTaken { .. })));
    assert_eq!(server.hits(), 2);
}
