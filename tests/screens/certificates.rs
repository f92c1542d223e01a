//! The list of all certificates: what is wrong first, everything of the selected one below, what could not be read.

use proximity::domain::certificate::{Belief, Certificate, Inventory, Item, KeyState, Parts, Thresholds, Whose};
use proximity::domain::credential::Fingerprint;
use proximity::domain::settings::Settings;
use proximity::domain::world::Gap;

use super::*;

const DAY: i64 = 86_400;

fn parts(subject: &str, issuer: &str, from: i64, to: i64, names: &[&str]) -> Parts {
    let at = |days: i64| Stamp::from_secs(NOW + days * DAY);
    let certificate = Certificate {
        fingerprint: Fingerprint([0xab; 32]),
        subject: subject.into(),
        issuer: issuer.into(),
        not_before: at(from),
        not_after: at(to),
        names: names.iter().map(|n| (*n).to_owned()).collect(),
    };
    Parts { certificate, subject: subject.into(), issuer: issuer.into(), public_key: Vec::new() }
}

fn item(whose: Whose, name: &str, at: &str, from: i64, to: i64, serves: &[&str]) -> Item {
    let own = parts(name, "Example CA", from, to, &[name]);
    let chain = vec![own, parts("Example CA", "Example CA", -1000, 1000, &[])];
    let serves = serves.iter().map(|s| (*s).to_owned()).collect();
    Item { whose, name: name.into(), at: at.into(), chain, key: KeyState::Matches, serves, belief: None }
}

fn inventory() -> Inventory {
    let given = |name: &str| format!("/etc/caddy/proximity-tls/{name}.crt");
    let items = vec![
        item(Whose::Node, "pve-ssl", "/etc/pve/local/pve-ssl.pem", -300, 430, &["the node's web interface 8006"]),
        item(Whose::Given, "cloud.example.org", &given("cloud.example.org"), -360, 5, &["nextcloud 30017"]),
        Item { key: KeyState::Other, ..item(Whose::Given, "wiki", &given("wiki"), -30, 300, &["wiki 30018"]) },
        Item { key: KeyState::Unknown("the key is encrypted".into()), ..item(Whose::Given, "sealed", &given("sealed"), -30, 300, &[]) },
        item(Whose::Acme, "photos.example.org (acme-v02)", "/var/lib/caddy/certificates/x/photos.crt", -72, 18, &["photos 30019"]),
        Item {
            belief: Some(Belief::Skipped),
            key: KeyState::NotLooked,
            ..item(Whose::Upstream, "10.20.0.131", "https://10.20.0.131:8443", -3, 900, &["web 30024"])
        },
        // What somebody wrote into a certificate is not what the screen does.
        item(Whose::Upstream, "evil", "https://10.20.0.7:443", -3, 900, &["evil 30025"]),
    ];
    let gaps = vec![Gap { what: "/etc/caddy/proximity-tls/old.crt".into(), why: "there is no certificate in it".into() }];
    let mut all = Inventory::new(items, gaps, Thresholds::of(&Settings::default()).unwrap(), Stamp::from_secs(NOW));
    let evil = all.items.iter_mut().find(|i| i.name == "evil").unwrap();
    evil.chain[0].certificate.subject = "\u{1b}[2J\u{202e}own".into();
    evil.chain[0].certificate.names = vec!["\u{1b}]0;x\u{7}".into()];
    all
}

fn opened() -> App {
    let mut app = test_app();
    keys(&mut app, "5");
    let effects = keys(&mut app, "C");
    assert!(effects.iter().any(|e| matches!(e, Effect::LookCertificates)));
    app
}

fn learn(app: &mut App, part: Part<Inventory>) {
    drop(app.learn(Fact::News(Box::new(News { certificates: Some(part), ..News::default() }))));
}

#[test]
fn certificates_are_listed_with_what_is_wrong_first() {
    let mut app = opened();
    let screen = text(&draw(&mut app, 80, 24));
    assert!(screen.contains("are being looked at …"), "{screen}");
    learn(&mut app, Part::new(inventory(), Stamp::from_secs(NOW - 4), From::Pct));
    shot("certificates", &mut app);
    let screen = text(&draw(&mut app, 80, 24));
    let rows: Vec<&str> = screen.lines().filter(|l| l.contains("▸") || l.contains("✗ wiki")).collect();
    assert!(rows[0].contains("✗ cloud.example.org") && rows[0].contains("5 d") && rows[1].contains("another's"), "{screen}");
    assert!(screen.contains("✗ it is good for 5 d more") && screen.contains("? /etc/caddy/proximity-tls/old.crt"), "{screen}");
    // The selected one stays selected when what is above it goes.
    keys(&mut app, "jj");
    assert!(text(&draw(&mut app, 120, 40)).contains("it should have been renewed by now"));
    let mut fewer = inventory();
    fewer.items.remove(0);
    learn(&mut app, Part::new(fewer, Stamp::from_secs(NOW - 2), From::Pct));
    let screen = text(&draw(&mut app, 120, 40));
    assert!(screen.lines().any(|l| l.contains("▸ ! photos.example.org")), "{screen}");
    // All of it in a window of its own.
    keys(&mut app, "Gk<Enter>");
    let screen = text(&draw(&mut app, 120, 40));
    assert!(screen.contains("certificate 10.20.0.131") && screen.contains("its certificate is not proven"), "{screen}");
    keys(&mut app, "<Esc>");
    for key in ["j", "k", "k", "k"] {
        keys(&mut app, key);
        let screen = text(&draw(&mut app, 120, 40));
        assert!(
            screen.contains("SHA-256      AB:") && !screen.contains('\u{1b}') && !screen.contains('\u{202e}') && !screen.contains('\u{7}'),
            "{screen}"
        );
    }
    // The Overview says the same.
    learn(&mut app, Part::new(inventory(), Stamp::from_secs(NOW - 1), From::Pct));
    keys(&mut app, "<Esc>1");
    let screen = text(&draw(&mut app, 120, 40));
    assert!(screen.contains("✗ certificate cloud.examp") && screen.contains("it serves nextcloud 30017"), "{screen}");
}

#[test]
fn certificates_that_are_not_known_say_so() {
    let mut app = opened();
    learn(&mut app, Part::unknown("not allowed: you may not", Stamp::from_secs(NOW)));
    assert!(text(&draw(&mut app, 80, 24)).contains("? the certificates are unknown: not allowed: you may not"));
    let nothing = Inventory { items: vec![], gaps: vec![], ..inventory() };
    learn(&mut app, Part::new(nothing, Stamp::from_secs(NOW), From::Pct));
    assert!(text(&draw(&mut app, 80, 24)).contains("No certificate was found."));
}
