//! What one save of settings costs: the transaction, the tags, the history, the rules; on a disk, without the screen.

use std::path::Path;
use std::time::Instant;

use proximity::domain::access::Who;
use proximity::domain::settings::{Change, Key, Save, Staged};
use proximity::domain::stamp::Stamp;
use proximity::domain::world::World;
use proximity::ops::settings::Saver;

use super::figures::{Table, Times, check, cpu_ticks_ms, ms};
use super::scratch;

/// Saves that are measured; processor time is counted in steps of 10 ms.
const SAVES: u32 = 200;

/// S21: three settings changed and saved, as a form does.
pub fn save(table: &mut Table, home: &Path) {
    let (store, vault, audit) = scratch::store(&home.join("settings"));
    let world = World::default();
    let (mut times, me) = (Times::default(), std::process::id());
    let before = cpu_ticks_ms(me);
    let who = Who::owner("marta");
    for n in 0..SAVES {
        let form: Save = [
            ("network.gateway", format!("10.20.0.{}", 1 + n % 2)),
            ("resources.memory", (512 + n).to_string()),
            ("backups.window", format!("01:{:02}-05:00", n % 60)),
        ]
        .into_iter()
        .map(|(name, text)| {
            let key: Key = name.parse().unwrap();
            let change = Change::Set(key.definition().parse(&text).unwrap());
            Staged { key, change, seen: n }
        })
        .collect();
        let saver = Saver { audit: &audit, store: &store, vault: &vault, world: &world, who: &who, now: Stamp(1) };
        let begun = Instant::now();
        assert_eq!(saver.save(&form).unwrap(), 3);
        times.add(begun.elapsed());
    }
    let cpu = (cpu_ticks_ms(me) - before) / f64::from(SAVES);
    table.row("S21", "settings: one save of three", format!("{} CPU", ms(cpu)), "", vec![check("<= 30 ms CPU", cpu <= 30.0)]);
    table.row("S21", "the same until it is on the disk, p50", ms(times.p50()), "", vec![]);
}
