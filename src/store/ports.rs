//! Pairs of ports, their past, and what is published on them, each row under its tag. What is changed is decided inside the transaction that changes it.

use rusqlite::{Connection, Row, Transaction, params};

use super::{Store, StoreError, Vault, VaultError, settings};
use crate::domain::ports::{Bad, Change, Decided, Held, Known, Pair, Past, PortMap, PortWish, Ranges, ServiceName, Sockets, What};
use crate::domain::service::Published;
use crate::domain::stamp::Stamp;

const TABLE: &str = "port";
const PAST: &str = "port_past";
const SERVICE: &str = "service";

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// It cannot be so.
    #[error("{0}")]
    Refused(String),
    /// `system.read_only` is on, or cannot be read.
    #[error("system.read_only is on; nothing but it can be changed")]
    ReadOnly,
    /// The vault or the store below it.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<StoreError> for PortError {
    fn from(error: StoreError) -> Self {
        Self::Vault(error.into())
    }
}

/// Who wishes what, when, and what has ports beside us.
#[derive(Debug, Clone, Copy)]
pub struct Wished<'a> {
    /// What.
    pub wish: &'a PortWish,
    /// What listens, looked at just before.
    pub sockets: &'a Sockets,
    /// Who.
    pub by: &'a str,
    /// When.
    pub now: Stamp,
}

impl Store {
    /// All pairs that are not free. With a vault each row is compared with its tag; without it they are read unchecked.
    pub fn ports(&self, vault: Option<&Vault>, now: Stamp) -> Result<PortMap, StoreError> {
        self.read(|conn| Ok(read(conn, vault, now))).and_then(flat)
    }

    /// Who had a number, newest first, at most so many; and what of it cannot be relied on.
    pub fn port_past(&self, vault: Option<&Vault>, port: u16, most: u32) -> Result<(Vec<Past>, Vec<String>), StoreError> {
        let sql = format!("SELECT {PAST_COLUMNS} FROM port_past WHERE ?1 IN (public, internal) ORDER BY id DESC LIMIT ?2");
        self.read(|conn| Ok(past(conn, vault, &sql, params![port, most]))).and_then(flat)
    }

    /// What a wish would come to, with nothing changed and rows read unchecked.
    pub fn preview_port(&self, wished: &Wished<'_>) -> Result<Decided, PortError> {
        let map = self.ports(None, wished.now)?;
        let settings = self.settings(None)?;
        known(&settings, &map, wished)?.decide(wished.wish).map_err(PortError::Refused)
    }

    /// Makes a wish true, in one transaction with what `note` writes down about it. What holds already is left as it is.
    ///
    /// Fails with `Refused` or `ReadOnly`, or with what the vault says; then nothing was changed.
    pub fn change_ports(
        &self,
        vault: &Vault,
        wished: &Wished<'_>,
        note: impl FnOnce(&Transaction<'_>, &Change) -> Result<(), StoreError>,
    ) -> Result<Decided, PortError> {
        vault.change(self, |tx| {
            let settings = settings::read(tx, Some(vault))?;
            let map = read(tx, Some(vault), wished.now)?;
            if settings.flag("system.read_only") != Ok(false) {
                return Ok(Err(PortError::ReadOnly));
            }
            let decided = match known(&settings, &map, wished).and_then(|k| k.decide(wished.wish).map_err(PortError::Refused)) {
                Ok(decided) => decided,
                Err(refused) => return Ok(Err(refused)),
            };
            if let Some(change) = &decided.change {
                write(tx, vault, change, wished.now)?;
                note(tx, change)?;
            }
            Ok(Ok(decided))
        })?
    }
}

/// What a wish is decided by; why not, where settings cannot be used.
fn known<'a>(settings: &crate::domain::settings::Settings, map: &'a PortMap, wished: &Wished<'a>) -> Result<Known<'a>, PortError> {
    let ranges = Ranges::of(settings).map_err(PortError::Refused)?;
    let cool_down_s = settings.span("ports.cool_down").map_err(PortError::Refused)?;
    Ok(Known { map, ranges, cool_down_s, sockets: wished.sockets, now: wished.now, by: wished.by })
}

fn write(tx: &Transaction<'_>, vault: &Vault, change: &Change, now: Stamp) -> Result<(), VaultError> {
    let Pair { public, internal } = change.pair;
    if let Some(past) = &change.past {
        let (what, was) = (&past.was.what, &past.was);
        tx.execute(
            "INSERT INTO port_past (public, internal, what, name, reason, at_ms, who, until_ms, ender, free_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                public,
                internal,
                what.word(),
                what.name().map(ToString::to_string),
                what.reason().map(ToString::to_string),
                was.at.0,
                was.by,
                past.until.0,
                past.by,
                past.free.0
            ],
        )?;
        vault.sign_row(tx, PAST, tx.last_insert_rowid())?;
    }
    if change.thaw {
        let sql = "UPDATE port_past SET free_ms = ?3 WHERE public = ?1 AND internal = ?2 AND free_ms > ?3 RETURNING id";
        let ids =
            tx.prepare_cached(sql)?.query_map(params![public, internal, now.0], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        ids.into_iter().try_for_each(|id| vault.sign_row(tx, PAST, id))?;
    }
    // Numbers that are no ports: such a row could never be named. While there was one this is the change that was asked to end it.
    if let Some((name, published)) = &change.service {
        tx.execute("DELETE FROM service WHERE name = ?1", [name.to_string()])?;
        if let Some(Published { spec, at, by, .. }) = published {
            let spec = serde_json::to_string(spec).map_err(|e| StoreError::Corrupt { why: e.to_string() })?;
            tx.execute("INSERT INTO service (name, spec, at_ms, who) VALUES (?1, ?2, ?3, ?4)", params![name.to_string(), spec, at.0, by])?;
            vault.sign_row(tx, SERVICE, tx.last_insert_rowid())?;
        }
    }
    let gone = "DELETE FROM port WHERE public = ?1 AND internal = ?2
                OR public NOT BETWEEN 1 AND 65535 OR internal NOT BETWEEN 1 AND 65535";
    tx.execute(gone, params![public, internal])?;
    if let Some(held) = &change.after {
        let what = &held.what;
        tx.execute(
            "INSERT INTO port (public, internal, what, name, reason, at_ms, who) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                public,
                internal,
                what.word(),
                what.name().map(ToString::to_string),
                what.reason().map(ToString::to_string),
                held.at.0,
                held.by
            ],
        )?;
        vault.sign_row(tx, TABLE, tx.last_insert_rowid())?;
    }
    Ok(())
}

const COLUMNS: &str = "id, public, internal, what, name, reason, at_ms, who";
const PAST_COLUMNS: &str = "id, public, internal, what, name, reason, at_ms, who, until_ms, ender, free_ms";

/// What both tables begin with: the row's number, and what it says, where that can be.
fn held(row: &Row<'_>) -> rusqlite::Result<(i64, Option<Pair>, Option<Held>)> {
    let port = |at: usize| Ok::<_, rusqlite::Error>(u16::try_from(row.get::<_, i64>(at)?).ok().filter(|p| *p > 0));
    let pair = port(1)?.zip(port(2)?).map(|(public, internal)| Pair { public, internal });
    let (word, name, reason): (String, Option<String>, Option<String>) = (row.get(3)?, row.get(4)?, row.get(5)?);
    let what = What::from_parts(&word, name.as_deref(), reason.as_deref());
    let (at, by) = (Stamp(row.get(6)?), row.get(7)?);
    Ok((row.get(0)?, pair, pair.zip(what).map(|(pair, what)| Held { pair, what, at, by })))
}

/// Whether a row is not as it was signed.
fn tampered(conn: &Connection, vault: Option<&Vault>, table: &'static str, id: i64) -> Result<bool, VaultError> {
    match vault.map_or(Ok(()), |vault| vault.check_row(conn, table, id)) {
        Ok(()) => Ok(false),
        Err(VaultError::Tampered { .. }) => Ok(true),
        Err(e) => Err(e),
    }
}

fn read(conn: &Connection, vault: Option<&Vault>, now: Stamp) -> Result<PortMap, VaultError> {
    let mut out = PortMap { checked: vault.is_some(), ..PortMap::default() };
    let mut all = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM port ORDER BY public"))?;
    for row in all.query_map([], held)? {
        let (id, pair, held) = row?;
        let shown = pair.map_or_else(|| "a row of ports".to_owned(), |pair| format!("the row of ports {pair}"));
        let mend = pair.map_or("PORT".to_owned(), |pair| pair.public.to_string());
        let mend = format!("; after a look at who uses it: proximity ports release {mend}");
        let bad = |what: &str| Bad { pair, why: format!("{shown} {what}, and until it is gone no port is given out{mend}") };
        match (tampered(conn, vault, TABLE, id)?, held) {
            (true, _) => out.bad.push(bad("was changed outside Proximity")),
            (false, None) => out.bad.push(bad("is damaged")),
            (false, Some(held)) => out.held.push(held),
        }
    }
    let sql = format!("SELECT {PAST_COLUMNS} FROM port_past WHERE free_ms > ?1 ORDER BY id DESC");
    (out.cooling, out.bad_past) = past(conn, vault, &sql, [now.0])?;
    services(conn, vault, &mut out)?;
    Ok(out)
}

fn services(conn: &Connection, vault: Option<&Vault>, out: &mut PortMap) -> Result<(), VaultError> {
    let mut all = conn.prepare_cached("SELECT id, name, spec, at_ms, who FROM service ORDER BY name")?;
    let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, Stamp(row.get(3)?), row.get(4)?)))?;
    for row in rows {
        let (id, text, spec, at, by): (i64, String, String, Stamp, String) = row?;
        let name: Option<ServiceName> = text.parse().ok();
        let shown = name.as_ref().map_or_else(|| "a name that is none".to_owned(), ToString::to_string);
        let mend = format!("publish it anew, or take it back: proximity ports unpublish {shown}");
        let why = |what: &str| format!("what is published as {shown} {what}; {mend}");
        let pair = name.as_ref().and_then(|name| out.of(name)).filter(|h| !matches!(h.what, What::Kept(_)));
        match (tampered(conn, vault, SERVICE, id)?, name.clone().zip(serde_json::from_str(&spec).ok())) {
            (true, _) => out.bad_services.push((name, why("was changed outside Proximity"))),
            (false, None) => out.bad_services.push((name, why("is damaged"))),
            (false, Some(_)) if pair.is_none() => out.bad_services.push((name, why("has no ports"))),
            (false, Some((name, spec))) => out.services.push(Published { name, spec, at, by }),
        }
    }
    Ok(())
}

fn past(conn: &Connection, vault: Option<&Vault>, sql: &str, with: impl rusqlite::Params) -> Result<(Vec<Past>, Vec<String>), VaultError> {
    let (mut out, mut bad) = (Vec::new(), Vec::new());
    let mut all = conn.prepare_cached(sql)?;
    let more = |row: &Row<'_>| Ok((held(row)?, Stamp(row.get(8)?), row.get(9)?, Stamp(row.get(10)?)));
    for row in all.query_map(with, more)? {
        let ((id, pair, was), until, by, free) = row?;
        let of = pair.map_or_else(|| "of ports".to_owned(), |pair| format!("of ports {pair}"));
        match (tampered(conn, vault, PAST, id)?, was) {
            (true, _) => bad.push(format!("what was {of} until {} was changed outside Proximity", until.rfc3339())),
            (false, None) => bad.push(format!("what was {of} until {} is damaged", until.rfc3339())),
            (false, Some(was)) => out.push(Past { was, until, by, free }),
        }
    }
    Ok((out, bad))
}

/// Reading without a key fails only as the store does.
fn flat<T>(read: Result<T, VaultError>) -> Result<T, StoreError> {
    read.map_err(|e| match e {
        VaultError::Store(e) => e,
        other => StoreError::Corrupt { why: other.to_string() },
    })
}
