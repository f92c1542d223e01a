//! Settings as kinds of writes: a credential, of which a number in the open and a secret are told apart, and taken back whole.
//! Each save is three transactions: what is about to be done, the change, what came of it.

use std::path::Path;
use std::sync::Arc;

use proximity::domain::access::Who;
use proximity::domain::audit::{Phase, Wanted};
use proximity::domain::credential::{Candidate, Trust};
use proximity::domain::settings::Key;
use proximity::domain::stamp::Stamp;
use proximity::domain::world::World;
use proximity::host::local::LocalHost;
use proximity::ops::audit::Recorder;
use proximity::ops::settings::Saver;
use proximity::store::{SaveError, Store, Vault, audit};

use super::super::image::{Image, scratch};
use super::super::support::OPERATOR;
use super::{Bad, Before, Cut, a_vault, not_lost, number_of, numbered, promise, text, unlocked, unreadable, whole};

const OPEN: &str = "proxmox.port";
const SECRET: &str = "proxmox.secret";
/// A port that stands for write number 0.
const FIRST: u64 = 1000;
/// Where the vault keeps the secret that holds and the one before.
const NOW: u8 = 0;
const BEFORE: u8 = 1;

fn key(name: &str) -> Key {
    name.parse().unwrap()
}

/// Saves in the one way there is, later than whatever was saved before.
fn saving(store: &Store, vault: &Vault, work: impl FnOnce(&Saver<'_>) -> Result<usize, SaveError>) -> Result<(), String> {
    let version = store.settings(Some(vault)).map_err(text)?.version(&key(OPEN));
    let audit = Recorder::new("test", &LocalHost::new()).with_journal(None);
    let (world, who) = (World::default(), Who::owner(OPERATOR));
    let now = Stamp(1_795_000_000_000 + i64::from(version));
    work(&Saver { audit: &audit, store, vault, world: &world, who: &who, now }).map_err(text).map(drop)
}

/// Keeps a credential whose port and secret tell the same number.
fn put_number(store: &Store, vault: &Vault, number: usize) -> Result<(), String> {
    let address = format!("pve1:{}", FIRST + number as u64).parse().unwrap();
    let (account, secret) = ("root@pam!tests".parse().unwrap(), Arc::new(numbered(number, 300)));
    saving(store, vault, |saver| saver.keep(&Candidate { address, account, secret, trust: Trust::System }, ""))
}

fn with_numbers(last: usize) -> Before {
    let (_outer, dir) = scratch();
    let before = a_vault();
    before.image.lay(&dir);
    let (store, vault) = unlocked(&dir, &before.words).unwrap();
    audit::keep(&vault, &store).unwrap();
    (0..=last).for_each(|number| put_number(&store, &vault, number).unwrap());
    drop(store);
    Before { image: Image::of(&dir), ..before }
}

pub fn saved_once() -> Before {
    with_numbers(0)
}

pub fn saved_twice() -> Before {
    with_numbers(1)
}

pub fn save_both(dir: &Path, words: &str, rounds: usize) -> Result<(), String> {
    let (store, vault) = unlocked(dir, words)?;
    for number in 1..=rounds {
        put_number(&store, &vault, number)?;
        promise();
    }
    Ok(())
}

/// Brings the version before the last one back, again and again: the two values take turns.
pub fn revert_both(dir: &Path, words: &str, rounds: usize) -> Result<(), String> {
    let (store, vault) = unlocked(dir, words)?;
    for _ in 0..rounds {
        saving(&store, &vault, |saver| saver.back(""))?;
        promise();
    }
    Ok(())
}

/// What a directory with saved settings holds.
struct Saved {
    /// Of both; each save makes one.
    version: usize,
    /// What they say.
    number: usize,
    /// The number in the secret before.
    before: Option<usize>,
}

/// Both settings, their history and the log tell the same story.
fn saved(cut: &Cut<'_>) -> Result<Saved, Bad> {
    let (store, vault) = whole(cut)?;
    let settings = store.settings(Some(&vault)).map_err(unreadable)?;
    if settings.bad().next().is_some() {
        return Err(unreadable(settings.bad().collect::<Vec<_>>()));
    }
    let open = settings.value(&key(OPEN)).map_err(unreadable)?.map(|value| value.to_string());
    let number = number_of(&vault, &store, "setting", SECRET, NOW)?;
    let versions = [OPEN, SECRET].map(|name| settings.version(&key(name)) as usize);
    let past = |name: &str| store.setting_history(Some(&vault), Some(&key(name)), 1000).map_err(unreadable);
    let pasts = [past(OPEN)?, past(SECRET)?].map(|past| past.len());
    let version = versions[0];
    if open != Some((FIRST + number as u64).to_string()) || versions != [version; 2] || pasts != [version; 2] {
        return Err(Bad::Torn(format!("port {open:?} beside secret {number}, versions {versions:?}, history of {pasts:?}")));
    }
    let wanted = Wanted { action: Some("settings.save".into()), ..Wanted::default() };
    let page = store.audit_page(&wanted, None, 1000).map_err(unreadable)?;
    let intents = page.records.iter().filter(|record| record.entry.phase == Phase::Intent).count();
    if intents < version || intents > version + 1 {
        return Err(Bad::Torn(format!("{version} saves, {intents} were written down before")));
    }
    let before = if version > 1 { Some(number_of(&vault, &store, "setting", SECRET, BEFORE)?) } else { None };
    Ok(Saved { version, number, before })
}

pub fn both_saved(cut: &Cut<'_>) -> Result<(), Bad> {
    let Saved { version, number, before } = saved(cut)?;
    if number + 1 != version || before != number.checked_sub(1) {
        return Err(Bad::Torn(format!("secret {number} after {before:?} in version {version}")));
    }
    not_lost(number, cut.promises)
}

pub fn both_reverted(cut: &Cut<'_>) -> Result<(), Bad> {
    let Saved { version, number, before } = saved(cut)?;
    // Version 2 holds number 1, and each revert changes places.
    let (due, other) = ((version + 1) % 2, version % 2);
    if number != due || before != Some(other) {
        return Err(Bad::Torn(format!("secret {number} after {before:?} in version {version}")));
    }
    not_lost(version - 2, cut.promises)
}
