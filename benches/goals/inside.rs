//! What it costs to list the files of an archive, beside `tar -tf` of the same; and to look at the list again.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use proximity::domain::inside::listing::Listing;
use proximity::host::Progress;
use proximity::host::local::archive;

use super::figures::{Table, Times, check, ms};

/// Bytes of content in the archive: half of them noise, half zeros, as in a guest. PROXIMITY_INSIDE_MIB says how many else.
const MIB: u32 = 2048;
const TURNS: usize = 5;

/// S24: a list of an archive, zstd and not compressed, A B B A.
pub fn list(table: &mut Table, home: &Path) {
    let mib: u32 = std::env::var("PROXIMITY_INSIDE_MIB").ok().map_or(MIB, |n| n.parse().unwrap());
    let dir = home.join("inside");
    let tree = dir.join("tree");
    for d in 0..200 {
        let at = tree.join(format!("usr/share/d{d}"));
        std::fs::create_dir_all(&at).unwrap();
        (0..100).for_each(|f| std::fs::write(at.join(format!("file-{f}")), format!("{d} {f}\n")).unwrap());
    }
    let piece = format!("for n in $(seq {}); do head -c 16M /dev/urandom; head -c 16M /dev/zero; done", mib.div_ceil(32));
    let tar = dir.join("a.tar");
    let make = format!("({piece}) >{0}/big && tar -C {0} -cf {1} . && rm -r {0} && zstd -q {1}", tree.display(), tar.display());
    assert!(Command::new("bash").args(["-c", &make]).status().unwrap().success());
    for path in [dir.join("a.tar.zst"), tar] {
        let text = path.to_str().unwrap().to_owned();
        let ours = |times: &mut Times| {
            let progress = Arc::new(Progress::default());
            let begun = Instant::now();
            let listing = archive::list(&text, &progress).unwrap();
            times.add(begun.elapsed());
            assert_eq!(listing.entries, progress.entries.load(Ordering::Relaxed));
            listing
        };
        let theirs = |times: &mut Times| {
            let begun = Instant::now();
            assert!(Command::new("tar").args(["-tf", &text]).output().unwrap().status.success());
            times.add(begun.elapsed());
        };
        let (mut a, mut b) = (Times::default(), Times::default());
        let mut last = None;
        for _ in 0..TURNS {
            theirs(&mut b);
            ours(&mut a);
            last = Some(ours(&mut a));
            theirs(&mut b);
        }
        let ratio = a.p50() / b.p50();
        let kind = if text.ends_with("zst") { "zstd" } else { "not compressed" };
        let what = format!("list of {mib} MiB, {kind}");
        table.row("S24", &what, ms(a.p50()), format!("tar -tf {}", ms(b.p50())), vec![check("<= 1.2x tar -tf", ratio <= 1.2)]);
        let kept = last.unwrap().to_bytes(&[1; 32]);
        let mut again = Times::default();
        for _ in 0..TURNS {
            let begun = Instant::now();
            assert!(Listing::from_bytes(&kept, &[1; 32]).is_some());
            again.add(begun.elapsed());
        }
        table.row("S24", format!("the same again, {} bytes kept", kept.len()), ms(again.p50()), "", vec![]);
    }
    std::fs::remove_dir_all(dir).unwrap();
}
