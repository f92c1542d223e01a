//! The vault: what an unlock, a save and another vault key cost.

use std::time::{Duration, Instant};

use proximity::store::{NewOperator, Secret, Store, Vault, calibrate, host_key_path};

use super::figures::{Table, check, cpu_ticks_ms, ms};

const RECORDS: u32 = 10_000;

/// S17 to S19 on one core, since nothing of it is done by several.
pub fn all(home: &std::path::Path, table: &mut Table) {
    let dir = home.join("vault");
    let store = Store::create(&dir).unwrap();
    let (host_key, passphrase) = (host_key_path(&dir), Secret::from_text("orbit velvet cactus lantern mosaic".to_owned()));
    let (memory_available, begun) = (16 << 30, Instant::now());
    let cost = calibrate(memory_available, || begun.elapsed()).unwrap();
    let new = NewOperator { host_key: &host_key, operator: "ada", passphrase: &passphrase, cost, memory_available, now_ms: 0 };
    let (mut vault, _) = Vault::create(&store, &new).unwrap();
    vault
        .change(&store, |tx| {
            (0..RECORDS).try_for_each(|number| {
                let mut row = [0; 16];
                row[..4].copy_from_slice(&number.to_be_bytes());
                vault.seal_in(tx, "host", "password", &row, &Secret::new(vec![7; 40]))
            })
        })
        .unwrap();

    let took = |f: &mut dyn FnMut()| -> Duration {
        let begun = Instant::now();
        f();
        begun.elapsed()
    };
    let unlock = took(&mut || drop(Vault::unlock(&store, &host_key, "ada", &passphrase, memory_available).unwrap()));
    let spent = format!("{} with {} MiB, {RECORDS} records listed", ms(unlock.as_secs_f64() * 1e3), cost.memory_kib / 1024);
    // A busy machine may calibrate low and be busier afterwards.
    table.row("S17", "unlock, calibrated", spent, "", vec![check("<= 1.5 s", unlock.as_secs_f64() <= 1.5)]);

    let listed = took(&mut || vault.check(&store).unwrap());
    let spent = ms(listed.as_secs_f64() * 1e3);
    table.row("S18", "check before a privileged action, 10,000 records", spent, "", vec![check("<= 30 ms", listed.as_millis() <= 30)]);
    let us = std::process::id();
    let before = cpu_ticks_ms(us);
    for _ in 0..20 {
        vault.seal(&store, "host", "token", &[9; 16], &Secret::new(vec![7; 40])).unwrap();
    }
    let cpu = (cpu_ticks_ms(us) - before) / 20.0;
    table.row("S18", "one save beside 10,000 records, CPU", ms(cpu), "", vec![check("<= 30 ms", cpu <= 30.0)]);

    let rotated = took(&mut || assert_eq!(vault.rotate(&store).unwrap(), RECORDS as usize + 1));
    let spent = ms(rotated.as_secs_f64() * 1e3);
    table.row("S19", "another vault key, 10,000 records", spent, "", vec![check("<= 2 s", rotated.as_secs_f64() <= 2.0)]);
    vault.verify_all(&store).unwrap().into_result().unwrap();
}
