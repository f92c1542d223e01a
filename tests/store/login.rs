//! The way in: tries are counted before they are looked at, codes are good once, nobody is past the door with half a proof.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use proximity::domain::access::Role;
use proximity::domain::session::Moment;
use proximity::store::{Login, OperatorChange, Passed, Secret, Store, Unlocked, Vault, VaultError, host_key_path};

use super::crash::another;
use super::{OPERATOR, PASSPHRASE, ROOMY, make_vault, new_store, raw, secret};

const NOW: i64 = 1_795_000_000;

fn login<'a>(store: &'a Store, key: &'a Path, boot_s: u64, unix_s: i64) -> Login<'a> {
    let now = Moment { boot: "a".into(), ms: boot_s * 1000 };
    Login { store, host_key: key, memory_available: ROOMY, now, unix_s, pause: &|_| () }
}

/// RFC 6238 once more, by hand from the base 32 that is shown, so that the test does not trust what it tests.
fn code_of(text: &Secret, unix_s: i64) -> Secret {
    use ring::hmac;
    let letters: Vec<u8> = text.expose().iter().copied().filter(|b| *b != b' ').collect();
    let bits: String =
        letters.iter().map(|l| format!("{:05b}", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|x| x == l).unwrap())).collect();
    let key: Vec<u8> = bits.as_bytes().chunks_exact(8).map(|b| u8::from_str_radix(std::str::from_utf8(b).unwrap(), 2).unwrap()).collect();
    assert_eq!(key.len(), 20);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key), &(unix_s / 30).to_be_bytes());
    let hash = tag.as_ref();
    let at = usize::from(hash[19] & 15);
    let number = (u32::from_be_bytes(hash[at..at + 4].try_into().unwrap()) & 0x7fff_ffff) % 1_000_000;
    secret(&format!("{number:06}"))
}

/// The first moment from then on around which no code is like another, and none is `000000`: of a random secret two codes in
/// reach of each other are the same once in a hundred thousand times.
fn plain(text: &Secret, from: i64) -> i64 {
    let codes = |at: i64| (-3..=3).map(|step| code_of(text, at + 30 * step).expose().to_vec()).collect::<BTreeSet<_>>();
    (0..).map(|n| from + 30 * n).find(|at| codes(*at).len() == 7 && !codes(*at).contains(&b"000000"[..])).unwrap()
}

#[test]
fn a_second_factor_is_asked_for_from_the_first_right_code_on() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let key = host_key_path(&dir);
    let passed = |at| login(&store, &key, at, NOW).passphrase(OPERATOR, &secret(PASSPHRASE)).unwrap();
    assert!(matches!(passed(1), Passed::Unlocked(_)));

    let shown = vault.begin_second(&store, OPERATOR).unwrap();
    let now = plain(&shown.text, NOW);
    assert!(shown.uri.expose_text().unwrap().starts_with("otpauth://totp/Proximity:marta?secret="));
    assert!(shown.uri.len() <= 78, "so that its picture has room on a small screen");
    assert!(matches!(passed(2), Passed::Unlocked(_)), "it is not on before a code was right");
    let wrong = vault.confirm_second(&store, OPERATOR, &secret("000000"), now, 1);
    assert!(matches!(wrong, Err(VaultError::WrongCode)) && vault.codes_left(&store, OPERATOR).unwrap() == 0);
    let papers = vault.confirm_second(&store, OPERATOR, &code_of(&shown.text, now), now, 1).unwrap();
    assert_eq!((papers.len(), vault.codes_left(&store, OPERATOR).unwrap()), (10, 10));
    assert!(matches!(vault.begin_second(&store, OPERATOR), Err(VaultError::SecondFactorOn)));

    let Passed::Half(half) = passed(3) else { panic!("the passphrase alone opened it") };
    let at = |boot_s, unix_s| login(&store, &key, boot_s, unix_s);
    // The step of the set-up is used up; the one before it too; one from outside the window was never right.
    let (half, e) = *half.code(&at(4, now), &code_of(&shown.text, now)).map(|_| ()).unwrap_err();
    assert!(matches!(e, VaultError::UsedCode));
    let (half, e) = *half.code(&at(4, now), &code_of(&shown.text, now - 30)).map(|_| ()).unwrap_err();
    assert!(matches!(e, VaultError::UsedCode));
    let (half, e) = *half.code(&at(4, now), &code_of(&shown.text, now + 60)).map(|_| ()).unwrap_err();
    assert!(matches!(e, VaultError::WrongCode));
    let Unlocked { who, .. } = half.code(&at(5, now + 30), &code_of(&shown.text, now + 30)).map_err(|failed| failed.1).unwrap();
    assert_eq!((who.name.as_str(), who.role), (OPERATOR, Role::Admin));

    // A code on paper, typed carelessly, is good once.
    let Passed::Half(half) = passed(6) else { panic!() };
    let careless = secret(&papers[3].expose_text().unwrap().to_lowercase().replace('-', " "));
    assert!(half.code(&at(6, now), &careless).is_ok());
    let Passed::Half(half) = passed(7) else { panic!() };
    let (_, e) = *half.code(&at(7, now), &careless).map(|_| ()).unwrap_err();
    assert!(matches!(e, VaultError::UsedCode) && vault.codes_left(&store, OPERATOR).unwrap() == 9);

    // None of it stands in the file.
    let bytes = std::fs::read(dir.join("proximity.db")).unwrap();
    for hidden in papers.iter().chain([&shown.text]) {
        let plain: Vec<u8> = hidden.expose().iter().copied().filter(|b| b.is_ascii_alphanumeric()).collect();
        assert!(!bytes.windows(plain.len()).any(|w| w == plain), "a code is readable in the file");
    }
    vault.end_second(&store, OPERATOR, 2).unwrap();
    assert!(matches!(passed(8), Passed::Unlocked(_)));
}

#[test]
fn a_second_factor_taken_away_in_the_file_lets_nobody_in() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let key = host_key_path(&dir);
    let shown = vault.begin_second(&store, OPERATOR).unwrap();
    vault.confirm_second(&store, OPERATOR, &code_of(&shown.text, NOW), NOW, 1).unwrap();
    for (sql, back) in [
        ("UPDATE operator SET second_factor = 0", "UPDATE operator SET second_factor = 1"),
        ("UPDATE operator SET role = 'viewer'", "UPDATE operator SET role = 'admin'"),
        ("UPDATE operator SET guests = '101'", "UPDATE operator SET guests = ''"),
    ] {
        raw(&dir).execute(sql, []).unwrap();
        let out = login(&store, &key, 9, NOW).passphrase(OPERATOR, &secret(PASSPHRASE));
        assert!(matches!(out, Err(VaultError::Tampered { .. })), "{sql}");
        raw(&dir).execute(back, []).unwrap();
    }
    // Behind the back of a half-way login: the code is refused, and nobody gets as far again.
    for sql in ["UPDATE second_factor SET last_step = 0", "DELETE FROM second_factor"] {
        let (_outer, dir, store) = new_store();
        let (vault, _) = make_vault(&store, &dir);
        let key = host_key_path(&dir);
        let shown = vault.begin_second(&store, OPERATOR).unwrap();
        let now = plain(&shown.text, NOW);
        vault.confirm_second(&store, OPERATOR, &code_of(&shown.text, now), now, 1).unwrap();
        let Ok(Passed::Half(half)) = login(&store, &key, 9, NOW).passphrase(OPERATOR, &secret(PASSPHRASE)) else { panic!("{sql}") };
        raw(&dir).execute(sql, []).unwrap();
        let out = half.code(&login(&store, &key, 9, now + 30), &code_of(&shown.text, now + 30));
        assert!(matches!(out, Err(failed) if matches!(failed.1, VaultError::Tampered { .. })), "{sql}");
    }
}

#[test]
fn of_many_who_bring_the_same_code_one_gets_in() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let shown = vault.begin_second(&store, OPERATOR).unwrap();
    let papers = vault.confirm_second(&store, OPERATOR, &code_of(&shown.text, NOW), NOW, 1).unwrap();
    let rounds: Vec<i64> = std::iter::successors(Some(NOW), |at| Some(plain(&shown.text, at + 30))).skip(1).take(500).collect();
    let stores = [Store::open(&dir).unwrap(), Store::open(&dir).unwrap()];
    let key = host_key_path(&dir);
    let (wins, paper_wins) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let lines = std::sync::Barrier::new(stores.len());
    std::thread::scope(|scope| {
        for store in stores {
            let (vault, shown, papers, lines, key, rounds) = (&vault, &shown, &papers, &lines, &key, &rounds);
            let (wins, paper_wins) = (&wins, &paper_wins);
            scope.spawn(move || {
                for (round, unix_s) in (1..).zip(rounds.iter().copied()) {
                    // Nobody waits for a wait here: the hours between the rounds forgive all.
                    let login = login(&store, key, round * 7200, unix_s);
                    lines.wait();
                    match login.prove(vault, OPERATOR, &code_of(&shown.text, unix_s)) {
                        Ok(()) => drop(wins.fetch_add(1, Ordering::SeqCst)),
                        Err(VaultError::UsedCode) => {}
                        Err(other) => panic!("{other}"),
                    }
                    lines.wait();
                }
                for (n, paper) in papers.iter().enumerate() {
                    let login = login(&store, key, 9_000_000 + n as u64 * 7200, NOW);
                    lines.wait();
                    if login.prove(vault, OPERATOR, paper).is_ok() {
                        paper_wins.fetch_add(1, Ordering::SeqCst);
                    }
                    lines.wait();
                }
            });
        }
    });
    assert_eq!(wins.into_inner(), 500, "each code once");
    assert_eq!(paper_wins.into_inner(), 10, "each code on paper once");
}

#[test]
fn a_kill_between_prompt_and_verdict_gives_no_free_try() {
    let (_outer, dir, store) = new_store();
    make_vault(&store, &dir);
    let counted = || {
        let conn = raw(&dir);
        conn.query_row("SELECT coalesce(sum(count), 0) FROM attempt", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    // Five wrong tries, each killed while the passphrase is being verified.
    for round in 1..=5 {
        let mut child = another("guesser", &dir);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        writeln!(child.stdin.take().unwrap(), "go").unwrap();
        let before = std::time::Instant::now();
        while counted() < round {
            assert!(before.elapsed().as_secs() < 120, "it was never counted");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(lines.next().map(Result::unwrap), None, "it was killed before the verdict");
        assert_eq!(counted(), round);
    }
    // The sixth is held up as if nobody had been killed, the right passphrase too; the recovery words are not.
    let key = host_key_path(&dir);
    let out = login(&store, &key, 1, NOW).passphrase(OPERATOR, &secret(PASSPHRASE));
    assert!(matches!(out, Err(VaultError::Throttled { seconds: 1 })), "the sixth try");
    assert!(login(&store, &key, 2, NOW).passphrase(OPERATOR, &secret(PASSPHRASE)).is_ok());
    assert_eq!(counted(), 0);
}

#[test]
fn the_recovery_words_wait_for_nobody() {
    let (_outer, dir, store) = new_store();
    let (_, words) = make_vault(&store, &dir);
    raw(&dir).execute("INSERT INTO attempt VALUES (?1, 'passphrase', 90, 'a', 1000)", [OPERATOR]).unwrap();
    let key = host_key_path(&dir);
    let out = login(&store, &key, 1, NOW).passphrase(OPERATOR, &secret(PASSPHRASE));
    assert!(matches!(out, Err(VaultError::Throttled { seconds: 300 })));
    assert!(Vault::unlock_with_words(&store, &secret(&words.expose().join(" "))).is_ok());
}

#[test]
fn an_admin_always_stays_and_changes_hold_at_once() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    let refused = |change: &OperatorChange| vault.change_operator(&store, OPERATOR, change, 5).unwrap_err();
    for change in [OperatorChange::Active(false), OperatorChange::Role(Role::Operator), OperatorChange::Role(Role::Viewer)] {
        assert!(matches!(refused(&change), VaultError::LastAdmin), "{change:?}");
        let who = vault.who(&store, OPERATOR).unwrap();
        assert!(who.active && who.role == Role::Admin, "nothing of it stays");
    }
    vault.change_operator(&store, OPERATOR, &OperatorChange::Guests(vec!["101".parse().unwrap()]), 5).unwrap();
    let account = store.account(OPERATOR).unwrap().unwrap();
    assert_eq!((account.who.guests.len(), account.changed_ms), (1, 5));
    assert!(matches!(vault.who(&store, "martin"), Err(VaultError::UnknownOperator { .. })));
    raw(&dir).execute("UPDATE operator SET active = 0", []).unwrap();
    assert!(matches!(vault.who(&store, OPERATOR), Err(VaultError::Tampered { .. })));
    assert!(store.operators().unwrap().is_empty());
}
