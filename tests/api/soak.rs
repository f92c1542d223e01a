//! Many calls at once on a runtime of one thread: nothing the client does makes others wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proximity::host::api::Limits;
use serde_json::Value;

use super::server::*;

/// How often others must get their turn while a call is under way.
const TURNS: usize = 50;

#[test]
fn others_get_their_turn_while_calls_wait_read_and_parse() {
    // The server lives in threads of its own, so that the client's one thread is all the client's.
    let theirs = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    let ours = Authority::new();
    let identity = ours.sign(&["localhost"], Flaw::None);
    let large = format!(r#"{{"data":[{}0]}}"#, r#"{"vmid":100,"name":"a name","mem":1.5},"#.repeat(100_000));
    let server = theirs.block_on(Server::new(&identity, move |seen, _| match seen.line.as_str() {
        "GET /api2/json/large" => json("200 OK", &large),
        "GET /api2/json/held" => {
            // Answers only after others have had their turn: a client that blocked would wait here for ever.
            let from = counted.load(Ordering::SeqCst);
            while counted.load(Ordering::SeqCst) < from + TURNS {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            json("200 OK", r#"{"data":1}"#)
        }
        line if line.starts_with("POST") => recorded("pve-9.1/http-vzdump-ok", true),
        _ => recorded("pve-9.1/http-nodes", true),
    }));
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (gets, posts, longest) = client.block_on(async {
        let (gap, ours_turns) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&turns));
        let widest = Arc::clone(&gap);
        let ticker = tokio::spawn(async move {
            let mut last = std::time::Instant::now();
            loop {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                ours_turns.fetch_add(1, Ordering::SeqCst);
                widest.fetch_max(last.elapsed().as_millis() as usize, Ordering::SeqCst);
                last = std::time::Instant::now();
            }
        });
        let api = Arc::new(server.api(&ours.pem, Limits::default()));
        assert_eq!(api.get::<Value>(&["held"], &[]).await.unwrap(), Some(1.into()));
        let (mut gets, mut posts) = (0, 0);
        for _ in 0..10 {
            let some = (0..6).map(|_| {
                let api = Arc::clone(&api);
                tokio::spawn(async move { api.nodes().await.unwrap().len() })
            });
            for one in some.collect::<Vec<_>>() {
                gets += one.await.unwrap();
            }
            let upid: Option<String> = api.post(&["nodes", "pve1", "vzdump"], &[("vmid", "100")]).await.unwrap();
            posts += usize::from(upid.is_some());
        }
        let before = turns.load(Ordering::SeqCst);
        let large: Option<Vec<Value>> = api.get(&["large"], &[]).await.unwrap();
        assert_eq!(large.unwrap().len(), 100_001);
        assert!(turns.load(Ordering::SeqCst) > before, "nobody had a turn while 4 MB came in and were read");
        ticker.abort();
        (gets, posts, gap.load(Ordering::SeqCst))
    });
    let sent = server.lines().iter().filter(|l| l.starts_with("POST")).count();
    println!("{gets} GET, {posts} POST ({sent} arrived); the longest anybody waited for the one thread: {longest} ms");
    assert_eq!((gets, posts, sent), (60, 10, 10));
}
