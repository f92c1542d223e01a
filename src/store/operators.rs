//! The operators as rows: names, roles, assignments. Read here without a key, for the door and for the worker;
//! [`Vault::who`](super::Vault::who) reads them with the tag checked, and only the vault changes them.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{Store, StoreError, Vault};
use crate::domain::access::{Role, Who};
use crate::domain::guest::Vmid;
use crate::domain::plan::Approved;
use crate::domain::second;

/// One operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Number of the row.
    pub(super) row: i64,
    /// What his sealed records and codes belong to.
    pub(super) id: [u8; 16],
    /// Name, role, state, assignments.
    pub who: Who,
    /// Whether a second factor is asked for.
    pub second_factor: bool,
    /// When he was added, milliseconds since 1970, UTC.
    pub created_ms: i64,
    /// When anything about him was changed last; 0 for never.
    pub changed_ms: i64,
}

/// Without a value: the first operator of a store from before there were roles.
const COLUMNS: &str = "SELECT rowid, id, name, ifnull(role, 'admin'), ifnull(active, 1), ifnull(guests, ''),
    ifnull(second_factor, 0), created_ms, ifnull(changed_ms, 0) FROM operator";

impl Store {
    /// Names of the operators who may log in, in the order in which they were added.
    pub fn operators(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM operator WHERE ifnull(active, 1) = 1 ORDER BY created_ms, name";
        self.read(|conn| conn.prepare(sql)?.query_map([], |row| row.get(0))?.collect())
    }

    /// All operators, in the order in which they were added.
    pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let sql = format!("{COLUMNS} ORDER BY created_ms, name");
        let rows: Vec<Raw> = self.read(|conn| conn.prepare(&sql)?.query_map([], raw)?.collect())?;
        rows.into_iter().map(parse).collect()
    }

    /// One operator by his name.
    pub fn account(&self, name: &str) -> Result<Option<Account>, StoreError> {
        account(&self.conn, name)
    }

    /// Whether an order needs a second operator's yes and has none, by settings and operators as they are now. With the
    /// vault the row of the setting is checked too. What cannot be read asks for one.
    pub fn lacks_second(&self, order: &Approved, vault: Option<&Vault>) -> bool {
        let settings = self.settings(vault).map_err(|e| e.to_string());
        let operators = self.accounts().map_or(usize::MAX, |all| all.len());
        second::is_missing(order, settings.and_then(|s| s.word(second::SETTING)), operators)
    }
}

/// The same inside a transaction.
pub(super) fn account(conn: &Connection, name: &str) -> Result<Option<Account>, StoreError> {
    conn.query_row(&format!("{COLUMNS} WHERE name = ?1"), [name], raw).optional()?.map(parse).transpose()
}

type Raw = (i64, Vec<u8>, String, String, bool, String, bool, i64, i64);

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?))
}

fn parse((row, id, name, role, active, guests, second_factor, created_ms, changed_ms): Raw) -> Result<Account, StoreError> {
    let damaged = || StoreError::Corrupt { why: format!("the row of operator {}", name.escape_default()) };
    let guests: Option<Vec<Vmid>> = guests.split_whitespace().map(|id| id.parse().ok()).collect();
    let who = Who {
        role: Role::from_word(&role).ok_or_else(damaged)?,
        guests: guests.ok_or_else(damaged)?,
        name: name.clone(),
        active,
        owner: false,
    };
    Ok(Account { row, id: id.try_into().map_err(|_| damaged())?, who, second_factor, created_ms, changed_ms })
}
