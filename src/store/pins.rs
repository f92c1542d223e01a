//! Addresses that were made static, each row under its tag; and how many addresses were in use, the most of each day.

use std::net::Ipv4Addr;

use rusqlite::{Connection, params};

use super::{Store, StoreError, StoreMode, Vault, VaultError};
use crate::domain::appliance::hold::{Pin, PinChange, Pins};
use crate::domain::appliance::names::Mac;
use crate::domain::clean::clean;
use crate::domain::stamp::Stamp;

const TABLE: &str = "pin";

/// Days of the range that are kept.
const DAYS: i64 = 90;

impl Store {
    /// All pins. With a vault each is compared with its tag; without it they are read unchecked.
    pub fn pins(&self, vault: Option<&Vault>) -> Result<Pins, StoreError> {
        self.read(|conn| Ok(read(conn, vault))).and_then(|read| {
            read.map_err(|e| match e {
                VaultError::Store(e) => e,
                other => StoreError::Corrupt { why: other.to_string() },
            })
        })
    }

    /// Remembers one change of the pins, in one transaction with what `note` writes down about it.
    pub fn save_pin(
        &self,
        vault: &Vault,
        change: &PinChange,
        by: &str,
        now: Stamp,
        note: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<(), StoreError>,
    ) -> Result<(), VaultError> {
        vault.change(self, |tx| {
            let hwaddr = change.mac.to_string();
            // A row that names nobody's hardware address could never be taken away.
            for (id, whose) in ids(tx)? {
                if Mac::new(&whose).is_none() {
                    tx.execute("DELETE FROM pin WHERE id = ?1", [id])?;
                }
            }
            match change.address {
                None => drop(tx.execute("DELETE FROM pin WHERE hwaddr = ?1", [hwaddr])?),
                Some(address) => {
                    let sql = "INSERT INTO pin (hwaddr, address, at_ms, who) VALUES (?1, ?2, ?3, ?4)
                        ON CONFLICT (hwaddr) DO UPDATE SET address = ?2, at_ms = ?3, who = ?4 RETURNING id";
                    let id: i64 = tx.query_row(sql, params![hwaddr, address.to_string(), now.0, by], |row| row.get(0))?;
                    vault.sign_row(tx, TABLE, id)?;
                }
            }
            Ok(note(tx)?)
        })
    }

    /// The most addresses in use on each day that is known: days since 1970 in UTC, oldest first.
    pub fn pool_days(&self) -> Result<Vec<(i64, u32)>, StoreError> {
        self.read(|conn| {
            let mut all = conn.prepare_cached("SELECT day, used FROM pool_day ORDER BY day")?;
            let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        })
    }

    /// Remembers how many addresses were in use today. Nothing is written where it is known, and where nothing can be.
    pub fn note_pool(&self, now: Stamp, used: u32) -> Result<(), StoreError> {
        let day = now.secs().div_euclid(86_400);
        if *self.mode() != StoreMode::ReadWrite || self.pool_days()?.iter().any(|(d, most)| *d == day && *most >= used) {
            return Ok(());
        }
        self.write_txn(|tx| {
            tx.execute(
                "INSERT INTO pool_day (day, used) VALUES (?1, ?2) ON CONFLICT (day) DO UPDATE SET used = max(used, ?2)",
                params![day, used],
            )?;
            // A clock that was ahead once leaves days that never end; they go, too.
            tx.execute("DELETE FROM pool_day WHERE day <= ?1 OR day > ?2", params![day - DAYS, day])?;
            Ok(())
        })
    }
}

fn ids(conn: &Connection) -> rusqlite::Result<Vec<(i64, String)>> {
    conn.prepare_cached("SELECT id, hwaddr FROM pin")?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn read(conn: &Connection, vault: Option<&Vault>) -> Result<Pins, VaultError> {
    let mut rows = conn.prepare_cached("SELECT id, hwaddr, address, at_ms, who FROM pin ORDER BY hwaddr")?;
    let all = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, Stamp(row.get(3)?), row.get(4)?)))?;
    let mut out = Pins::default();
    for row in all {
        let (id, hwaddr, address, at, by): (i64, String, String, Stamp, String) = row?;
        let why = |what: &str| format!("the static address of {} {what}; make it anew: proximity appliance pin or unpin", clean(&hwaddr));
        let bad = |what: &str| (Mac::new(&hwaddr), why(what));
        match vault.map(|vault| vault.check_row(conn, TABLE, id)) {
            Some(Err(VaultError::Tampered { .. })) => out.bad.push(bad("was changed outside Proximity")),
            Some(Err(e)) => return Err(e),
            _ => match (Mac::new(&hwaddr), address.parse::<Ipv4Addr>()) {
                (Some(mac), Ok(address)) => out.all.push(Pin { mac, address, by, at }),
                _ => out.bad.push(bad("is damaged")),
            },
        }
    }
    Ok(out)
}
