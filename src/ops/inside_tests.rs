//! Lists that are kept.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::domain::backup::parse_name;
use crate::domain::guest::Kind;
use crate::domain::stamp::Stamp;
use crate::domain::storage::{Space, parse_cfg};
use crate::domain::world::{From, Part, Place};
use crate::host::local::LocalHost;
use std::os::unix::fs::PermissionsExt;

const FILE: &str = "vzdump-lxc-101-2026_08_27-02_00_03.tar";

fn world(dir: &Path) -> World {
    let (mut storages, _) = parse_cfg(&format!("dir: local\n\tpath {}\n\tcontent backup\n", dir.display()));
    storages[0].space = Ok(Space { total: 9, used: 1, avail: 8 });
    let (kind, id, _) = parse_name(FILE).unwrap();
    assert_eq!(kind, Kind::Lxc);
    let archive = Archive { size: None, ..crate::domain::backup::tests::archive(id.into(), &format!("local:backup/{FILE}"), Stamp(0), 0) };
    World {
        place: Place { host: "local".into(), demo: false },
        storages: Part::new(storages, Stamp(1), From::Files),
        archives: Part::new(vec![archive], Stamp(1), From::Files),
        ..World::default()
    }
}

fn archived(dir: &Path, name: &str) {
    fs::create_dir_all(dir.join("dump")).unwrap();
    let mut bytes = crate::domain::appliance::tar::of_file(&format!("/{name}"), b"x", 0o644).unwrap();
    bytes.resize(10_240, 0);
    fs::write(dir.join("dump").join(FILE), bytes).unwrap();
}

#[tokio::test]
async fn the_second_look_reads_nothing_and_another_archive_is_another() {
    let home = tempfile::tempdir().unwrap();
    let (state, host, world) = (home.path().join("state"), LocalHost::new(), world(home.path()));
    let lists = Lists::of(&host, &state);
    let look = async || {
        let progress = Arc::new(Progress::default());
        let listing = list(&host, &world, &lists, &format!("local:backup/{FILE}"), Arc::clone(&progress)).await;
        (listing, progress.read.load(std::sync::atomic::Ordering::Relaxed))
    };
    archived(home.path(), "one");
    let (first, read) = look().await;
    assert!(read > 0 && first.as_ref().unwrap().find(b"one").is_some());
    let (second, read) = look().await;
    assert_eq!((read, second), (0, first), "as it was kept");
    let kept: Vec<_> = fs::read_dir(state.join("listings")).unwrap().flatten().collect();
    assert_eq!(kept.iter().map(|e| e.metadata().unwrap().permissions().mode() & 0o777).collect::<Vec<_>>(), [0o600]);
    assert_eq!(fs::metadata(state.join("listings")).unwrap().permissions().mode() & 0o777, 0o700);
    // Rotten: it is read again, and nothing is shown that was not written.
    let path = kept[0].path();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(look().await.1 > 0);
    archived(home.path(), "another");
    let (other, read) = look().await;
    assert!(read > 0 && other.as_ref().unwrap().find(b"another").is_some() && other.unwrap().find(b"one").is_none());
    fs::write(home.path().join("dump").join(FILE), b"cut").unwrap();
    assert!(look().await.0.unwrap_err().why.contains("damaged"));
}

#[test]
fn few_lists_are_kept() {
    let home = tempfile::tempdir().unwrap();
    for nth in 0..KEPT + 5 {
        let path = home.path().join(format!("{nth:03}"));
        fs::write(&path, "x").unwrap();
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(nth as u64);
        fs::File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
    }
    bound(home.path()).unwrap();
    let mut names: Vec<_> = fs::read_dir(home.path()).unwrap().flatten().map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!((names.len(), names[0].as_str()), (KEPT, "005"), "the oldest go");
}
