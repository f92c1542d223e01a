//! What the vault answers for about operators beside their way in: role, state, assignments. Every change leaves an admin
//! behind who can log in.

use rusqlite::{Transaction, params};

use super::{Vault, VaultError};
use crate::domain::access::{Role, Who};
use crate::domain::guest::Vmid;
use crate::store::operators::{Account, account};
use crate::store::{Store, StoreError};

/// What may be changed about an operator.
#[derive(Debug, Clone)]
pub enum OperatorChange {
    /// His role.
    Role(Role),
    /// Whether he may log in and do anything.
    Active(bool),
    /// The guests that are assigned to him, all of them.
    Guests(Vec<Vmid>),
}

impl Vault {
    /// An operator as the vault answers for him: `UnknownOperator`, or `Tampered` where his row is not as it was signed.
    pub fn who(&self, store: &Store, name: &str) -> Result<Who, VaultError> {
        Ok(self.account(&store.conn, name)?.who)
    }

    /// The same with all that is known about him.
    pub(in crate::store) fn account_checked(&self, store: &Store, name: &str) -> Result<Account, VaultError> {
        self.account(&store.conn, name)
    }

    pub(super) fn account(&self, conn: &rusqlite::Connection, name: &str) -> Result<Account, VaultError> {
        let found = account(conn, name)?.ok_or_else(|| VaultError::UnknownOperator { name: name.to_owned() })?;
        self.check_row(conn, "operator", found.row).map_err(|error| match error {
            VaultError::Tampered { .. } => VaultError::Tampered { what: format!("the row of operator {}", name.escape_default()) },
            other => other,
        })?;
        Ok(found)
    }

    /// Changes an operator. `LastAdmin` where nobody would be left to change anything.
    pub fn change_operator(&self, store: &Store, name: &str, change: &OperatorChange, now_ms: i64) -> Result<(), VaultError> {
        self.change(store, |tx| {
            let before = self.account(tx, name)?;
            match change {
                OperatorChange::Role(role) => set_role(tx, before.row, *role)?,
                OperatorChange::Active(on) => {
                    tx.execute("UPDATE operator SET active = ?2 WHERE rowid = ?1", params![before.row, on])?;
                }
                OperatorChange::Guests(ids) => {
                    let text = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                    tx.execute("UPDATE operator SET guests = ?2 WHERE rowid = ?1", params![before.row, text])?;
                }
            }
            self.touched(tx, before.row, now_ms)?;
            keep_an_admin(tx)
        })
    }

    /// Writes down when an operator was changed, and signs his row.
    pub(super) fn touched(&self, tx: &Transaction<'_>, row: i64, now_ms: i64) -> Result<(), VaultError> {
        tx.execute("UPDATE operator SET changed_ms = ?2 WHERE rowid = ?1", params![row, now_ms])?;
        self.sign_row(tx, "operator", row)
    }
}

/// Sets the role in a row, which must be signed afterwards. A new row has the least of them.
pub fn set_role(tx: &Transaction<'_>, row: i64, role: Role) -> Result<(), VaultError> {
    tx.execute("UPDATE operator SET role = ?2 WHERE rowid = ?1", params![row, role.word()])?;
    Ok(())
}

/// `LastAdmin` unless an active admin is there; for the end of every change that might have taken the last one away.
pub(super) fn keep_an_admin(tx: &Transaction<'_>) -> Result<(), VaultError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM operator WHERE ifnull(role, 'admin') = 'admin' AND ifnull(active, 1) = 1)";
    let any: bool = tx.query_row(sql, [], |row| row.get(0)).map_err(StoreError::from)?;
    if any { Ok(()) } else { Err(VaultError::LastAdmin) }
}
