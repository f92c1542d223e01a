//! Each sink fails, hangs or is not there: nothing is begun without a record that lasts.
#![allow(clippy::unwrap_used)]

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use super::*;
use crate::domain::audit::Wanted;

const NOW: Stamp = Stamp(1_795_271_520_000);

fn deed() -> Deed {
    Deed::new("ada", "guest.exec", "guest 101", "run a command in 101 web\nMESSAGE=forged")
}

struct Scene {
    dir: tempfile::TempDir,
    journal: UnixDatagram,
}

impl Scene {
    fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let journal = UnixDatagram::bind(dir.path().join("socket")).unwrap();
        journal.set_nonblocking(true).unwrap();
        Scene { dir, journal }
    }

    fn recorder(&self, socket: &str, lasting: bool) -> Recorder {
        let journal = Journal::at(self.dir.path().join(socket), lasting, Duration::from_millis(300));
        Recorder { mode: "command".into(), journal: Some(journal) }
    }

    fn heard(&self) -> Vec<String> {
        let mut buf = vec![0; 1 << 16];
        std::iter::from_fn(|| self.journal.recv(&mut buf).ok().map(|n| String::from_utf8(buf[..n].to_vec()).unwrap())).collect()
    }
}

#[test]
fn the_journal_gets_the_head_of_each_entry() {
    let scene = Scene::new();
    let store = Store::in_memory().unwrap();
    let audit = scene.recorder("socket", true);
    let intent = audit.intent(Some(&store), NOW, deed()).unwrap();
    audit.outcome(Some(&store), NOW, &intent, End::exit(3));
    let heard = scene.heard();
    assert_eq!(heard.len(), 2);
    let (head, _) = store.audit_end().unwrap().unwrap();
    assert!(heard[1].contains(&format!("PROXIMITY_AUDIT_SEQ=2\nPROXIMITY_AUDIT_HASH={}\n", hex(&head.hash))), "{heard:?}");
    assert!(heard[0].lines().filter(|l| l.starts_with("MESSAGE=")).count() == 1, "a title is one line: {heard:?}");
    // As journalctl gives them back, they are what the verifier takes.
    let json: String = heard
        .iter()
        .map(|text| {
            let all: serde_json::Map<_, _> =
                text.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.to_owned(), v.into())).collect();
            format!("{}\n", serde_json::Value::Object(all))
        })
        .collect();
    let told = heads(json.as_bytes());
    assert_eq!((told.len(), told[1]), (2, head));
    assert!(store.audit_verify(None, &told).unwrap().is_whole());
    let page = store.audit_page(&Wanted::default(), None, 9).unwrap();
    let [record] = &page.records[..] else { unreachable!("{page:?}") };
    assert_eq!(
        (record.standing().word(), record.outcome.as_ref().unwrap().phase),
        ("failed", Phase::Outcome { of: 1, ending: Ending::Failed, exit: Some(3) })
    );
    assert!(heads(b"{}\nnonsense\n{\"PROXIMITY_AUDIT_SEQ\":\"1\"}").is_empty());
}

#[test]
fn one_durable_record_is_enough_and_none_is_not() {
    let scene = Scene::new();
    let store = Store::in_memory().unwrap();
    assert!(scene.recorder("nobody", true).intent(Some(&store), NOW, deed()).is_ok(), "the store has it");

    let broken = Store::in_memory().unwrap();
    broken.write_txn(|tx| Ok(tx.execute_batch("DROP TABLE audit")?)).unwrap();
    for store in [Some(&broken), None] {
        let audit = scene.recorder("socket", true);
        let intent = audit.intent(store, NOW, deed()).unwrap();
        audit.outcome(store, NOW, &intent, End::ok());
        let heard = scene.heard();
        assert!(heard.len() == 2 && heard[0].contains("guest.exec") && heard[1].contains("ok"), "{heard:?}");

        let gone = scene.recorder("nobody", true).intent(store, NOW, deed()).unwrap_err().to_string();
        assert!(gone.contains("nothing is done that is not"), "{gone}");
        let forgets = scene.recorder("socket", false).intent(store, NOW, deed()).unwrap_err().to_string();
        assert!(forgets.contains("forgets at a reboot"), "{forgets}");
        let none = Recorder { mode: "command".into(), journal: None };
        assert!(none.intent(store, NOW, deed()).is_err());
    }
}

#[test]
fn a_journal_that_hangs_is_not_waited_for_and_counts_as_none() {
    let scene = Scene::new();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(&[0; 512], scene.dir.path().join("socket")).is_ok() {}
    let begun = Instant::now();
    assert!(scene.recorder("socket", true).intent(None, NOW, deed()).is_err());
    let store = Store::in_memory().unwrap();
    assert!(scene.recorder("socket", true).intent(Some(&store), NOW, deed()).is_ok());
    assert!(begun.elapsed() < Duration::from_secs(60));
}
