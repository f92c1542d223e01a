//! The audit log: a million entries verified, one entry written down.

use std::path::Path;
use std::time::Instant;

use proximity::domain::audit::{Deed, Ending, Entry, Phase, Wanted, Who};
use proximity::domain::stamp::Stamp;
use proximity::store::Store;
use proximity::store::audit::append;

use super::figures::{Table, Times, check, cpu_ticks_ms, ms};

const ENTRIES: u64 = 1_000_000;
const AT_ONCE: u64 = 10_000;

fn entry(n: u64) -> Entry {
    let phase = if n % 2 == 0 { Phase::Intent } else { Phase::Outcome { of: n, ending: Ending::Ok, exit: Some(0) } };
    Entry {
        seq: 0,
        epoch: 0,
        at: Stamp(1_795_271_520_000 + n as i64 * 2_000),
        boottime_ms: n * 2_000,
        boot_id: "5f2f6b1e-8f0d-4c44-9ef4-2f6d5e6f7a81".into(),
        who: Who { login_uid: Some(1000), ssh: Some("10.1.2.3".into()), tty: Some("/dev/pts/3".into()), ..Who::default() },
        mode: "command".into(),
        phase,
        deed: Deed { role: "admin".into(), ..Deed::new("ada", "job.backup", "guest 101", "back up 101 web to local").undo("job 17") },
    }
}

/// S20: a file with a million entries as jobs write them, read back whole by one thread: chain, epochs, seals, ends.
/// Beside it a durable entry of its own, which waits for the disk, and a filter that fits nothing.
pub fn all(home: &Path, table: &mut Table) {
    let store = Store::create(&home.join("audit")).unwrap();
    for from in (0..ENTRIES).step_by(AT_ONCE as usize) {
        store.write_txn(|tx| append(tx, (from..from + AT_ONCE).map(entry))).unwrap();
    }
    let (mut times, before) = (Times::default(), cpu_ticks_ms(std::process::id()));
    for _ in 0..3 {
        let begun = Instant::now();
        let verdict = store.audit_verify(None, &[]).unwrap();
        times.add(begun.elapsed());
        assert!(verdict.is_whole() && verdict.entries == ENTRIES && verdict.unknown == 0, "{verdict:?}");
    }
    let cpu = (cpu_ticks_ms(std::process::id()) - before) / 3.0;
    let size = std::fs::metadata(store.path().unwrap()).unwrap().len() / ENTRIES;
    table.row(
        "S20",
        format!("1,000,000 audit entries of {size} B verified, one thread, cpu (wall)"),
        format!("{} ({})", ms(cpu), ms(times.p50())),
        "",
        vec![check("<= 1 s", cpu <= 1000.0)],
    );
    let mut one = Times::default();
    for n in 0..50 {
        let begun = Instant::now();
        store.record(entry(ENTRIES + n)).unwrap();
        one.add(begun.elapsed());
    }
    table.row("S20", "one audit entry written down, on the disk", ms(one.p50()), "", vec![]);
    let nobody = Wanted { operator: Some("nobody".into()), ..Wanted::default() };
    let begun = Instant::now();
    store.audit_page(&nobody, None, 200).unwrap();
    table.row("S20", "20,000 audit entries looked through for a filter", ms(begun.elapsed().as_secs_f64() * 1e3), "", vec![]);
}
