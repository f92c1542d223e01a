//! Static addresses in the store: who made them, rows that somebody changed or took away; and the days of the range.

use proximity::domain::appliance::hold::PinChange;
use proximity::domain::appliance::names::Mac;
use proximity::domain::stamp::Stamp;
use proximity::store::{Store, StoreError, Vault, VaultError};

use super::{make_vault, new_store, raw};

fn mac(last: u8) -> Mac {
    Mac::new(&format!("bc:24:11:00:00:{last:02x}")).unwrap()
}

fn pin(store: &Store, vault: &Vault, last: u8, address: Option<&str>) -> Result<(), VaultError> {
    let change = PinChange { mac: mac(last), address: address.map(|a| a.parse().unwrap()) };
    store.save_pin(vault, &change, "marta", Stamp(1_795_000_000_000), |_| Ok(()))
}

fn shown(store: &Store, vault: Option<&Vault>) -> (Vec<String>, Vec<Option<Mac>>) {
    let pins = store.pins(vault).unwrap();
    (
        pins.all.iter().map(|p| format!("{} {} {} {}", p.mac, p.address, p.by, p.at.0)).collect(),
        pins.bad.into_iter().map(|(whose, _)| whose).collect(),
    )
}

#[test]
fn pins_are_kept_changed_and_taken_away() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    pin(&store, &vault, 1, Some("10.20.0.101")).unwrap();
    pin(&store, &vault, 2, Some("10.20.0.102")).unwrap();
    pin(&store, &vault, 1, Some("10.20.0.30")).unwrap();
    let both =
        vec!["bc:24:11:00:00:01 10.20.0.30 marta 1795000000000".to_owned(), "bc:24:11:00:00:02 10.20.0.102 marta 1795000000000".to_owned()];
    drop(store);
    let store = Store::open(&dir).unwrap();
    assert_eq!(shown(&store, Some(&vault)), (both.clone(), vec![]));
    assert!(pin(&store, &vault, 3, Some("10.20.0.30")).is_err(), "one address is one guest's, whoever was faster");
    // Not remembered where it could not be written down.
    let change = PinChange { mac: mac(4), address: Some("10.20.0.104".parse().unwrap()) };
    assert!(store.save_pin(&vault, &change, "marta", Stamp(1), |_| Err(StoreError::Full)).is_err());
    assert_eq!(shown(&store, Some(&vault)), (both.clone(), vec![]));
    pin(&store, &vault, 1, None).unwrap();
    assert_eq!(shown(&store, Some(&vault)), (both[1..].to_vec(), vec![]));
    vault.check(&store).unwrap();
}

#[test]
fn a_pin_that_somebody_changed_is_none_until_it_is_made_anew() {
    let (_outer, dir, store) = new_store();
    let (vault, _) = make_vault(&store, &dir);
    pin(&store, &vault, 1, Some("10.20.0.101")).unwrap();
    pin(&store, &vault, 2, Some("10.20.0.102")).unwrap();
    for (n, column) in ["address = '10.20.0.66'", "who = 'otto'", "at_ms = 1"].into_iter().enumerate() {
        assert_eq!(raw(&dir).execute(&format!("UPDATE pin SET {column} WHERE hwaddr LIKE '%:01'"), []).unwrap(), 1);
        let store = Store::open(&dir).unwrap();
        let (all, bad) = shown(&store, Some(&vault));
        assert_eq!((all.len(), bad), (1, vec![Some(mac(1))]), "{column}");
        assert!(store.pins(Some(&vault)).unwrap().addresses().unwrap_err().contains("changed outside"), "nothing is decided by the rest");
        assert_eq!(shown(&store, None).0.len(), 2, "without the vault it is read unchecked");
        if n == 1 {
            pin(&store, &vault, 1, None).unwrap();
        }
        pin(&store, &vault, 1, Some("10.20.0.101")).unwrap();
        assert_eq!(shown(&store, Some(&vault)).1, vec![]);
    }
    raw(&dir).execute("UPDATE pin SET hwaddr = 'nobody' WHERE hwaddr LIKE '%:02'", []).unwrap();
    assert_eq!(shown(&store, Some(&vault)).1, vec![None]);
    pin(&store, &vault, 1, Some("10.20.0.103")).unwrap();
    assert_eq!(shown(&store, Some(&vault)), (vec!["bc:24:11:00:00:01 10.20.0.103 marta 1795000000000".into()], vec![]));
    // A row that is gone, or another one's, is told by the list.
    raw(&dir).execute("DELETE FROM pin", []).unwrap();
    assert!(matches!(vault.check(&store), Err(VaultError::Tampered { .. })));
    assert!(matches!(pin(&store, &vault, 1, Some("10.20.0.103")), Err(VaultError::Tampered { .. })));
}

#[test]
fn the_most_of_each_day_is_kept_for_ninety_days() {
    let (_outer, _dir, store) = new_store();
    let at = |day: i64, hour: i64| Stamp::from_secs(day * 86_400 + hour * 3600);
    for (day, hour, used) in [(20_000, 1, 5), (20_000, 2, 7), (20_000, 23, 6), (20_001, 0, 3)] {
        store.note_pool(at(day, hour), used).unwrap();
    }
    assert_eq!(store.pool_days().unwrap(), [(20_000, 7), (20_001, 3)]);
    let version = store.version().unwrap();
    store.note_pool(at(20_001, 5), 2).unwrap();
    assert_eq!(store.version().unwrap(), version, "what is known is not written again");
    (20_002..20_200).for_each(|day| store.note_pool(at(day, 0), 1).unwrap());
    let days = store.pool_days().unwrap();
    assert_eq!((days.len(), days[0].0, days[89].0), (90, 20_110, 20_199));
    store.note_pool(at(20_150, 0), 2).unwrap();
    assert_eq!(store.pool_days().unwrap().last(), Some(&(20_150, 2)), "a clock that was ahead leaves nothing");
}
