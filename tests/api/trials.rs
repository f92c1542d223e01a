//! "Test, then save": a candidate tried against the server, as the dialog and the command line tell it.

use std::sync::Arc;

use proximity::domain::credential::{Candidate, Code, Factor, Trust};
use proximity::domain::secret::Secret;
use proximity::domain::trial::{Mark, Progress, Report, Step, Trouble};
use proximity::host::api::Limits;
use proximity::host::local::LocalHost;
use proximity::ops::credential;
use tokio::sync::mpsc;

use super::server::*;

fn node(seen: &Seen, fresh: bool) -> Reply {
    match seen.line.as_str() {
        "POST /api2/json/access/ticket" => recorded("pve-9.1/http-login-ok", fresh),
        "GET /api2/json/version" => recorded("pve-9.1/http-token-version", fresh),
        "GET /api2/json/nodes" => recorded("pve-9.1/http-nodes", fresh),
        "GET /api2/json/cluster/status" => data("pve-9.1/cluster-status-1"),
        "GET /api2/json/access/permissions" => data("pve-9.1/pvesh-access-permissions"),
        other => panic!("{other} is not asked by a test"),
    }
}

fn data(recording: &str) -> Reply {
    let path = format!("{}/tests/recordings/{recording}.out", env!("CARGO_MANIFEST_DIR"));
    json("200 OK", &format!(r#"{{"data":{}}}"#, std::fs::read_to_string(path).unwrap()))
}

fn candidate(port: u16, account: &str, trust: Trust) -> Candidate {
    let account: proximity::domain::credential::Account = account.parse().unwrap();
    let secret = if account.is_token() { TOKEN } else { PASSWORD };
    Candidate { address: format!("localhost:{port}").parse().unwrap(), account, secret: Arc::new(Secret::from_text(secret.into())), trust }
}

/// Tries it; gives the report, the codes that were asked for, and everything that was told.
async fn tried(candidate: &Candidate, limits: Limits, codes: Vec<Code>) -> (Report, Vec<Progress>) {
    let (said, mut heard) = mpsc::channel(64);
    let (answers, mut answered) = mpsc::channel(8);
    for code in codes {
        answers.send(code).await.unwrap();
    }
    drop(answers);
    let report = credential::test(&LocalHost::new(), candidate, limits, &said, &mut answered).await;
    drop(said);
    let mut all = Vec::new();
    while let Some(progress) = heard.recv().await {
        all.push(progress);
    }
    for taken in &report.steps {
        for line in taken.found.iter().chain([&taken.hint]) {
            assert!(!line.contains(TOKEN) && !line.contains("hunter2") && !line.contains('\u{1b}'), "{line}");
        }
        println!("{:?} {:<11} {}  -> {}", taken.mark, taken.step.word(), taken.found.join(" · "), taken.hint);
    }
    (report, all)
}

async fn server(script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> (Server, Trust) {
    let ours = Authority::new();
    (Server::new(&ours.sign(&["localhost"], Flaw::None), script).await, Trust::Pem(ours.pem))
}

#[tokio::test]
async fn root_by_password_and_by_token_works_and_is_told_that_less_would_do() {
    let (server, trust) = server(|seen, _| node(seen, true)).await;
    for account in ["root@pam", "root@pam!console"] {
        let (report, told) = tried(&candidate(server.port, account, trust.clone()), Limits::default(), vec![]).await;
        assert!(report.passed() && report.worst() == Mark::Warn, "{report:?}");
        assert_eq!(report.version.as_deref(), Some("9.1.8"));
        assert!(report.missing.is_empty() && report.fingerprint.is_some());
        let last = report.steps.last().unwrap();
        assert!(last.hint.contains("proximity manual api"), "{last:?}");
        // Each step is told when it begins and when it was taken, in order, and the end last.
        let begun: Vec<Step> = told.iter().filter_map(|p| if let Progress::Begun(s) = p { Some(*s) } else { None }).collect();
        assert_eq!(begun, Step::ALL);
        assert!(matches!(told.last(), Some(Progress::Ended(r)) if **r == report));
    }
}

#[tokio::test]
async fn a_lean_account_is_good_and_a_poor_one_is_told_what_it_lacks_and_for_what() {
    let lean: Vec<String> = proximity::domain::privilege::NEEDS.iter().map(|n| format!(r#""{}":1"#, n.name)).collect();
    let lean = lean.join(",");
    let all = ["/", "/vms", "/nodes", "/storage", "/sdn"].map(|p| format!(r#""{p}":{{{lean}}}"#)).join(",");
    let of = |permissions: String| {
        move |seen: &Seen, _: usize| match seen.line.as_str() {
            "GET /api2/json/access/permissions" => json("200 OK", &format!(r#"{{"data":{{{permissions}}}}}"#)),
            "GET /api2/json/cluster/status" => json("403 Permission check failed (/, Sys.Audit)", ""),
            _ => node(seen, true),
        }
    };
    let (good, trust) = server(of(all)).await;
    let (report, _) = tried(&candidate(good.port, "proximity@pve!console", trust), Limits::default(), vec![]).await;
    assert!(report.passed() && report.worst() == Mark::Good, "{report:?}");

    let (poor, trust) = server(of(r#""/":{},"/vms/105":{"VM.Audit":1,"VM.PowerMgmt":"1"}"#.into())).await;
    let (report, _) = tried(&candidate(poor.port, "ada@pve", trust.clone()), Limits::default(), vec![]).await;
    // The recorded ticket is root's, and a ticket for somebody else is no login.
    assert_eq!((report.trouble, report.steps.len()), (Some(Trouble::Failed), 3));
    let (report, _) = tried(&candidate(poor.port, "ada@pve!t1", trust), Limits::default(), vec![]).await;
    assert!(report.passed(), "it may be kept, as it is known what it lacks");
    let lines = &report.steps.last().unwrap().found;
    assert!(lines.contains(&"VM.PowerMgmt only on /vms/105, to start, stop, shut down and reboot guests".to_owned()), "{lines:?}");
    assert!(report.missing.contains(&"VM.Backup".to_owned()));

    let (none, trust) = server(of(r#""/":{},"/vms":null"#.into())).await;
    let (report, _) = tried(&candidate(none.port, "ada@pve!t1", trust), Limits::default(), vec![]).await;
    assert_eq!((report.trouble, report.passed()), (Some(Trouble::NotAllowed), false));
}

#[tokio::test]
async fn the_second_factor_is_asked_for_and_a_missing_or_wrong_one_ends_the_try() {
    let script = |seen: &Seen, _: usize| match seen.line.as_str() {
        "POST /api2/json/access/ticket" if seen.body.contains("totp%3A287082") => recorded("pve-9.1/http-login-ok", true),
        "POST /api2/json/access/ticket" if seen.body.contains("tfa-challenge") => recorded("pve-9.1/http-login-badpw", true),
        "POST /api2/json/access/ticket" => {
            json("200 OK", r#"{"data":{"NeedTFA":1,"ticket":"PVE:!tfa!%7B%22totp%22%3Atrue%7D:68AE8D43::c2ln","username":"root@pam"}}"#)
        }
        _ => node(seen, true),
    };
    let (server, trust) = server(script).await;
    let code = |text: &str| vec![Code { factor: Factor::Totp, code: Secret::from_text(text.into()) }];
    let candidate = candidate(server.port, "root@pam", trust);
    let (report, told) = tried(&candidate, Limits::default(), code("287082")).await;
    assert!(report.passed() && told.contains(&Progress::Asks(vec![Factor::Totp])));
    let (report, _) = tried(&candidate, Limits::default(), code("000000")).await;
    assert_eq!((report.trouble, report.steps.last().unwrap().step), (Some(Trouble::NotAllowed), Step::Login));
    let before = server.hits();
    let (report, _) = tried(&candidate, Limits::default(), vec![]).await;
    assert_eq!((report.trouble, server.hits() - before), (Some(Trouble::NotAllowed), 1), "nothing is asked without a second factor");
}

/// The program itself with a store of its own, the secret on descriptor 3 and the passphrase on descriptor 4.
async fn program(home: &std::path::Path, args: &[&str], secret: &str) -> (i32, String) {
    const PASSPHRASE: &str = "orbit lantern mosaic velvet quarry seven\n";
    let (first, second) = (home.join("secret"), home.join("passphrase"));
    std::fs::write(&first, secret).unwrap();
    std::fs::write(&second, PASSPHRASE).unwrap();
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", "exec \"$@\" 3<\"$S\" 4<\"$P\"", "sh", env!("CARGO_BIN_EXE_proximity"), "--state"]).arg(home.join("state"));
    command.args(args).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home).env("S", first).env("P", second);
    let out = command.output().await.unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(secret.is_empty() || !text.contains(secret), "{text}");
    (out.status.code().unwrap(), text)
}

#[tokio::test]
async fn what_passed_is_kept_what_did_not_is_not_and_the_one_before_comes_back() {
    let identity = self_signed(&["localhost"], Flaw::None);
    let server = Server::new(&identity, |seen, _| match seen.header("authorization") {
        Some(token) if !token.ends_with(TOKEN) && !token.ends_with("another") => json("401 authentication failure", ""),
        _ => node(seen, true),
    })
    .await;
    let home = tempfile::tempdir().unwrap();
    let run = |args: Vec<String>, secret: &'static str| {
        let home = home.path().to_owned();
        async move { program(&home, &args.iter().map(String::as_str).collect::<Vec<_>>(), secret).await }
    };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let at = format!("localhost:{}", server.port);
    let pin = identity.fingerprint().to_string();
    let keep = |account: &str| words(&format!("settings test proxmox {at} {account} --pin {pin} --secret-fd 3 --passphrase-fd 4 --save"));
    assert_eq!(run(words("init --operator ada --passphrase-fd 4"), "").await.0, 0);
    assert_eq!(run(words("settings revert proxmox --passphrase-fd 4"), "").await.0, 5, "there is none yet");
    // A token that is not taken is not kept, and neither is one that nobody tried.
    let (status, out) = run(keep("root@pam!console"), "wrong").await;
    assert!(status == 4 && !out.contains("saved"), "{status} {out}");
    assert!(run(words("settings get proxmox.secret"), "").await.1.contains("not set"));
    let (status, out) = run(words("settings set proxmox.secret - --passphrase-fd 4"), "").await;
    assert!(status == 2 && out.contains("tried before it is kept"), "{out}");
    let (status, out) = run(keep("root@pam!console"), TOKEN).await;
    assert!(status == 10 && out.contains("saved (5 settings)") || out.contains("saved (5 setting(s))"), "{status} {out}");
    // What is kept is what was tried.
    let saved = words("settings test proxmox --passphrase-fd 4");
    assert_eq!(run(saved.clone(), "").await.0, 10);
    assert!(server.seen.lock().unwrap().last().unwrap().header("authorization").unwrap().ends_with(TOKEN));
    // Nothing sends it elsewhere untried.
    let (status, out) = run(words("settings set proxmox.hosts evil.example.org --passphrase-fd 4"), "").await;
    assert!(status == 6 && out.contains("--save"), "{status} {out}");
    let (status, out) = run(words("settings set proxmox.user root@pam!other --passphrase-fd 4"), "").await;
    assert!(status == 6, "{status} {out}");
    // Another one, and back, and back again.
    assert_eq!(run(keep("root@pam!other"), "another").await.0, 10);
    for (account, token) in [("root@pam!console", TOKEN), ("root@pam!other", "another")] {
        let (status, out) = run(words("settings revert proxmox --passphrase-fd 4"), "").await;
        assert_eq!(status, 0, "{out}");
        assert!(run(words("settings get proxmox.user"), "").await.1.contains(account));
        assert_eq!(run(saved.clone(), "").await.0, 10);
        let sent = server.seen.lock().unwrap().last().unwrap().header("authorization").unwrap().to_owned();
        assert_eq!(sent, format!("PVEAPIToken={account}={token}"));
    }
    let audit = run(words("audit list --action settings -o json"), "").await.1;
    assert!(
        audit.contains("keep a credential that was tried")
            && audit.contains("bring the credential before back")
            && audit.contains("\"role\":\"admin\""),
        "{audit}"
    );
}

#[tokio::test]
async fn each_bad_host_ends_at_its_step_with_its_own_words() {
    let ours = Authority::new();
    let trust = Trust::Pem(ours.pem.clone());
    let here = &["localhost"][..];
    let version = |reply: fn() -> Reply| move |_: &Seen, _: usize| reply();
    let mut words = std::collections::HashSet::new();
    let mut cases = 0;
    let (_held, nobody) = nobody();
    let (report, _) = tried(&candidate(nobody, "root@pam!t1", trust.clone()), Limits::default(), vec![]).await;
    let mut check = |report: Report, step: Step, trouble: Trouble| {
        cases += 1;
        let last = report.steps.last().unwrap();
        assert_eq!((last.step, last.mark, report.trouble, report.passed()), (step, Mark::Bad, Some(trouble), false), "{last:?}");
        assert!(!last.hint.is_empty(), "{last:?}");
        assert!(words.insert(last.found.join("")), "another has the same words: {last:?}");
    };
    check(report, Step::Address, Trouble::Unreachable);
    let of = |identity: Identity| {
        let trust = trust.clone();
        async move {
            let server = Server::new(&identity, |seen, _| node(seen, true)).await;
            let (report, _) = tried(&candidate(server.port, "root@pam!t1", trust), Limits::default(), vec![]).await;
            assert!(server.bytes.lock().unwrap().is_empty(), "nothing was sent");
            report
        }
    };
    check(of(ours.sign(here, Flaw::Expired)).await, Step::Certificate, Trouble::Distrusted);
    check(of(ours.sign(here, Flaw::NotYet)).await, Step::Certificate, Trouble::Distrusted);
    check(of(ours.sign(&["pve2"], Flaw::None)).await, Step::Certificate, Trouble::Distrusted);
    check(of(self_signed(here, Flaw::None)).await, Step::Certificate, Trouble::Distrusted);
    let pinned = Trust::Pin(self_signed(here, Flaw::None).fingerprint());
    let server = Server::new(&self_signed(here, Flaw::None), |seen, _| node(seen, true)).await;
    let (report, _) = tried(&candidate(server.port, "root@pam!t1", pinned), Limits::default(), vec![]).await;
    check(report, Step::Certificate, Trouble::Distrusted);
    for (reply, step, trouble, limits) in [
        (version(|| recorded("pve-9.1/http-token-bad", true)), Step::Login, Trouble::NotAllowed, Limits::default()),
        (version(|| recorded("pve-9.1/http-node-wrongcert", true)), Step::Login, Trouble::Unreachable, Limits::default()),
        (version(|| page("200 OK", "text/html", "<html>")), Step::Login, Trouble::Failed, Limits::default()),
        (version(|| json("200 OK", r#"{"data":{}}"#)), Step::Version, Trouble::Failed, Limits::default()),
        (version(|| Reply::Never), Step::Login, Trouble::Unreachable, short()),
    ] {
        let server = Server::new(&ours.sign(here, Flaw::None), reply).await;
        let (report, _) = tried(&candidate(server.port, "root@pam!t1", trust.clone()), limits, vec![]).await;
        check(report, step, trouble);
    }
    let (report, _) = tried(&candidate(nobody, "root@pam!t1", Trust::File("/nonexistent/ca.pem".into())), Limits::default(), vec![]).await;
    check(report, Step::Address, Trouble::Failed);
    let (report, _) = tried(&candidate(nobody, "root@pam!t1", Trust::Pem("no pem".into())), Limits::default(), vec![]).await;
    check(report, Step::Address, Trouble::Failed);
    println!("{cases} tries that ended badly, each with its own words");
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_told_of() {
    // The recording is of another day.
    let (server, trust) = server(|seen, _| node(seen, false)).await;
    let (report, _) = tried(&candidate(server.port, "root@pam!t1", trust), Limits::default(), vec![]).await;
    let login = report.steps.iter().find(|s| s.step == Step::Login).unwrap();
    assert_eq!(login.mark, Mark::Warn);
    assert!(login.found.iter().any(|l| l.starts_with("its clock is ")), "{login:?}");
}
