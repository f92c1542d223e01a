//! A slot: one way in. It wraps a private key for an operator's passphrase, the recovery words or the host, and the vault
//! key is sealed to the public half of it (HPKE), so that the vault key can be changed with nobody else present.
//!
//! ```text
//! operator   Argon2id(passphrase, salt, cost, secret = host key, ad = header) = K0
//! recovery   the 256-bit key behind the words                                 = K0
//! host       the 256-bit key in the file of the host slot                     = K0
//!            HKDF(K0, "commit", header) = check value, stored, compared before anything is opened
//!            HKDF(K0, "kek", header)    = wraps the private key (XChaCha20-Poly1305)
//!            private key                = opens the sealed vault key, which is bound to epoch and row version
//! ```
//! The header carries kind, cost and public key and goes into the derivation, so a changed header gives another key and not
//! a weaker check. Order when opening: shape, sum, header, cost, host key, and only then the slow step.

use std::path::Path;

use rusqlite::{Connection, Row, Transaction, params};

use super::VaultError;
use super::binding::{Binding, Purpose};
use super::host_key;
use crate::store::crypto::{self, Key, NONCE, PUBLIC, SEALED_KEY, TAG};
use crate::store::{Cost, Secret, words};

const MAGIC: &[u8; 6] = b"PXSLOT";
const VERSION: u16 = 2;
const HEADER_FIXED: usize = 6 + 2 + 1 + 16 + 16 + 12 + 16 + 16 + PUBLIC + 2;

/// Whose way in it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Operator = 1,
    Recovery = 2,
    Host = 3,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Recovery => "recovery",
            Self::Host => "host",
        }
    }
}

/// What is said in the open about a slot. Only an operator's has cost, salt, host key and name (else zero, empty).
#[derive(PartialEq, Eq)]
struct Header {
    kind: Kind,
    vault_id: [u8; 16],
    slot_id: [u8; 16],
    cost: Cost,
    salt: [u8; 16],
    host_key_id: [u8; 16],
    public: [u8; PUBLIC],
    operator: String,
}

/// A row of the table, as it is.
pub(super) struct Slot {
    id: Vec<u8>,
    kind: String,
    operator: Option<String>,
    header: Vec<u8>,
    check_value: Vec<u8>,
    nonce: Vec<u8>,
    wrapped: Vec<u8>,
    sealed_key: Vec<u8>,
    row_version: i64,
    mac: Vec<u8>,
    sum: Vec<u8>,
}

/// The parts of the vault a slot is bound to.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub vault_id: &'a [u8; 16],
    pub epoch: u32,
}

/// What an opened slot gives: the vault key, and the private key that opens the next one.
pub(super) struct Opened {
    pub vault_key: Key,
    pub private: Key,
    pub slot_id: Vec<u8>,
}

/// Makes the slot of an operator; takes as long as `cost` says.
pub(super) fn for_operator(
    owner: Owner<'_>,
    vault_key: &Key,
    operator: &str,
    passphrase: &Secret,
    cost: Cost,
    host_key: &Key,
) -> Result<Slot, VaultError> {
    let (private, mut header) = blank(owner, Kind::Operator)?;
    header.cost = cost;
    header.salt = crypto::random()?;
    header.host_key_id = host_key::fingerprint(host_key, owner.vault_id)?;
    operator.clone_into(&mut header.operator);
    let k0 = crypto::argon2id(passphrase, &header.salt, cost, Some(host_key), &header.bytes())?;
    make(owner, vault_key, &header, &private, &k0)
}

/// Makes the slot of the recovery words, or of the host's own key file: `key` is the key behind either.
pub(super) fn for_key(owner: Owner<'_>, vault_key: &Key, kind: Kind, key: &Key) -> Result<Slot, VaultError> {
    let (private, header) = blank(owner, kind)?;
    make(owner, vault_key, &header, &private, key)
}

/// A new key pair, and the header that carries its public half.
fn blank(owner: Owner<'_>, kind: Kind) -> Result<(Key, Header), VaultError> {
    let (private, public) = crypto::key_pair()?;
    let header = Header {
        kind,
        vault_id: *owner.vault_id,
        slot_id: crypto::random()?,
        cost: Cost { memory_kib: 0, passes: 0, lanes: 0 },
        salt: [0; 16],
        host_key_id: [0; 16],
        public,
        operator: String::new(),
    };
    Ok((private, header))
}

fn make(owner: Owner<'_>, vault_key: &Key, header: &Header, private: &Key, k0: &Key) -> Result<Slot, VaultError> {
    let bytes = header.bytes();
    let nonce: [u8; NONCE] = crypto::random()?;
    let kek = crypto::derive(k0, owner.vault_id, "kek", &[&bytes])?;
    let mut slot = Slot {
        id: header.slot_id.to_vec(),
        kind: header.kind.word().to_owned(),
        operator: (header.kind == Kind::Operator).then(|| header.operator.clone()),
        check_value: crypto::derive(k0, owner.vault_id, "commit", &[&bytes])?.bytes().to_vec(),
        wrapped: crypto::seal(&kek, &nonce, &private_binding(owner.vault_id, &header.slot_id), private.bytes())?,
        nonce: nonce.to_vec(),
        header: bytes,
        sealed_key: Vec::new(),
        row_version: 0,
        mac: Vec::new(),
        sum: Vec::new(),
    };
    slot.seal_to(owner, vault_key)?;
    Ok(slot)
}

/// All slots of the store.
pub(super) fn all(conn: &Connection) -> Result<Vec<Slot>, VaultError> {
    let mut query = conn.prepare(
        "SELECT id, kind, operator, header, check_value, nonce, wrapped, sealed_key, row_version, mac, sum
         FROM slot ORDER BY kind, operator, id",
    )?;
    let slots = query.query_map([], Slot::from_row)?.collect::<Result<_, _>>()?;
    Ok(slots)
}

/// The slot of an operator, after the checks that need no key.
pub(super) fn of_operator(slots: Vec<Slot>, operator: &str) -> Result<Slot, VaultError> {
    // A damaged name looks like a name that is not there, so damage anywhere is told first in that case.
    let damaged = slots.iter().find_map(|slot| slot.check_undamaged().err());
    let wanted = |slot: &Slot| slot.kind == Kind::Operator.word() && slot.operator.as_deref() == Some(operator);
    match (slots.into_iter().find(wanted), damaged) {
        (Some(slot), _) => slot.check_undamaged().map(|()| slot),
        (None, Some(damage)) => Err(damage),
        (None, None) => Err(VaultError::UnknownOperator { name: operator.to_owned() }),
    }
}

/// The one slot of another kind, if there is one, after the checks that need no key.
pub(super) fn of_kind(slots: Vec<Slot>, kind: Kind) -> Result<Option<Slot>, VaultError> {
    let damaged = slots.iter().find_map(|slot| slot.check_undamaged().err());
    match (slots.into_iter().find(|slot| slot.kind == kind.word()), damaged) {
        (Some(slot), _) => slot.check_undamaged().map(|()| Some(slot)),
        (None, Some(damage)) => Err(damage),
        (None, None) => Ok(None),
    }
}

impl Slot {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            kind: row.get(1)?,
            operator: row.get(2)?,
            header: row.get(3)?,
            check_value: row.get(4)?,
            nonce: row.get(5)?,
            wrapped: row.get(6)?,
            sealed_key: row.get(7)?,
            row_version: row.get(8)?,
            mac: row.get(9)?,
            sum: row.get(10)?,
        })
    }

    /// Writes the slot, in place of one with its id.
    pub(super) fn write(&self, tx: &Transaction<'_>) -> Result<(), VaultError> {
        tx.execute(
            "INSERT OR REPLACE INTO slot (id, kind, operator, header, check_value, nonce, wrapped, sealed_key, row_version, mac, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                self.id,
                self.kind,
                self.operator,
                self.header,
                self.check_value,
                self.nonce,
                self.wrapped,
                self.sealed_key,
                self.row_version,
                self.mac,
                self.sum
            ],
        )?;
        Ok(())
    }

    /// Seals a vault key to the slot's public key and makes its tags anew. Check the old tag before, or a stranger's public
    /// key gets it.
    pub(super) fn seal_to(&mut self, owner: Owner<'_>, vault_key: &Key) -> Result<(), VaultError> {
        let public = Header::parse(&self.header).ok_or_else(|| self.corrupt())?.public;
        self.row_version = self.row_version.checked_add(1).ok_or_else(|| self.corrupt())?;
        self.sealed_key = crypto::seal_key_to(&public, &self.key_binding(owner), vault_key)?;
        self.mac = self.expected_mac(owner, vault_key)?.to_vec();
        self.sum = self.expected_sum()?.to_vec();
        Ok(())
    }

    /// Its identifier.
    pub(super) fn id(&self) -> &[u8] {
        &self.id
    }

    /// The operator whose slot it is.
    pub(super) fn operator(&self) -> Option<&str> {
        self.operator.as_deref()
    }

    /// What the slot is called in messages.
    pub(super) fn name(&self) -> String {
        match &self.operator {
            Some(operator) => format!("the slot of {}", operator.escape_default()),
            None if self.kind == Kind::Host.word() => "the host slot".to_owned(),
            None => "the recovery slot".to_owned(),
        }
    }

    fn tampered(&self) -> VaultError {
        VaultError::Tampered { what: self.name() }
    }

    fn corrupt(&self) -> VaultError {
        VaultError::Corrupt { what: self.name() }
    }

    /// Shape first, then the sum over all columns. Neither needs a key, so damage is told before a passphrase is asked for.
    pub(super) fn check_undamaged(&self) -> Result<(), VaultError> {
        let right_shape = self.id.len() == 16
            && self.header.len() >= HEADER_FIXED
            && self.check_value.len() == 32
            && self.nonce.len() == NONCE
            && self.wrapped.len() == 32 + TAG
            && self.sealed_key.len() == SEALED_KEY
            && self.mac.len() == 32
            && self.sum.len() == 32;
        if !right_shape {
            return Err(self.corrupt());
        }
        if !crypto::equal(&self.sum, &self.expected_sum()?) {
            return Err(self.tampered());
        }
        Ok(())
    }

    /// Checks the tag that only the vault key can make, for a slot nobody has just come in by.
    pub(super) fn check_mac(&self, owner: Owner<'_>, vault_key: &Key) -> Result<(), VaultError> {
        if crypto::equal(&self.mac, &self.expected_mac(owner, vault_key)?) {
            return Ok(());
        }
        Err(self.tampered())
    }

    /// Opens an operator's slot. `available` is MemAvailable in bytes.
    pub(super) fn open_with_passphrase(
        &self,
        owner: Owner<'_>,
        passphrase: &Secret,
        host_key_path: &Path,
        available: u64,
    ) -> Result<Opened, VaultError> {
        let header = self.read_header(owner, Kind::Operator)?;
        header.cost.check_open(available)?;
        let host_key = host_key::read(host_key_path)?;
        if host_key::fingerprint(&host_key, owner.vault_id)? != header.host_key_id {
            return Err(VaultError::HostKeyOther { path: host_key_path.to_owned() });
        }
        let k0 = crypto::argon2id(passphrase, &header.salt, header.cost, Some(&host_key), &self.header)?;
        self.open(owner, &k0, VaultError::WrongPassphrase)
    }

    /// Opens the recovery slot with the words as typed.
    pub(super) fn open_with_words(&self, owner: Owner<'_>, typed: &Secret) -> Result<Opened, VaultError> {
        self.read_header(owner, Kind::Recovery)?;
        let k0 = words::read(typed)?;
        let why = "they are in order, but of another vault".to_owned();
        self.open(owner, &k0, VaultError::WrongWords { why })
    }

    /// Opens the host slot with the key in its file.
    pub(super) fn open_with_host_file(&self, owner: Owner<'_>, file: &Path) -> Result<Opened, VaultError> {
        self.read_header(owner, Kind::Host)?;
        self.open(owner, &host_key::read(file)?, VaultError::HostKeyOther { path: file.to_owned() })
    }

    /// Opens the vault key with a private key that came out of this slot before.
    pub(super) fn open_with_private(&self, owner: Owner<'_>, private: &Key) -> Result<Key, VaultError> {
        let opened = crypto::open_sealed_key(private, &self.key_binding(owner), &self.sealed_key);
        let vault_key = opened.ok_or_else(|| self.tampered())?;
        self.check_mac(owner, &vault_key)?;
        Ok(vault_key)
    }

    fn open(&self, owner: Owner<'_>, k0: &Key, wrong: VaultError) -> Result<Opened, VaultError> {
        let check = crypto::derive(k0, owner.vault_id, "commit", &[&self.header])?;
        // The cipher does not commit to its key: without this, one body could open under two passphrases.
        if !crypto::equal(check.bytes(), &self.check_value) {
            return Err(wrong);
        }
        let kek = crypto::derive(k0, owner.vault_id, "kek", &[&self.header])?;
        let nonce = self.nonce.as_slice().try_into().map_err(|_| self.corrupt())?;
        let plain = crypto::open(&kek, &nonce, &private_binding(owner.vault_id, &self.id), &self.wrapped);
        let private = plain.and_then(|plain| Key::from_secret(&plain)).ok_or_else(|| self.tampered())?;
        Ok(Opened { vault_key: self.open_with_private(owner, &private)?, private, slot_id: self.id.clone() })
    }

    /// What the sealed vault key is bound to.
    fn key_binding(&self, owner: Owner<'_>) -> Vec<u8> {
        let (epoch, row_version) = (owner.epoch, self.row_version.cast_unsigned());
        let (purpose, column) = (Purpose::VaultKey, "sealed_key");
        let (vault_id, row_id) = (owner.vault_id, self.id.as_slice());
        Binding { purpose, vault_id, table: "slot", column, row_id, scope_id: &[0; 16], epoch, row_version }.bytes()
    }

    fn read_header(&self, owner: Owner<'_>, kind: Kind) -> Result<Header, VaultError> {
        let header = Header::parse(&self.header).ok_or_else(|| self.corrupt())?;
        let agrees = header.kind == kind
            && header.kind.word() == self.kind
            && header.vault_id == *owner.vault_id
            && header.slot_id == self.id.as_slice()
            && header.operator == self.operator.as_deref().unwrap_or_default();
        if agrees { Ok(header) } else { Err(self.tampered()) }
    }

    fn columns(&self) -> [Vec<u8>; 9] {
        [
            self.id.clone(),
            self.kind.clone().into_bytes(),
            self.operator.clone().unwrap_or_default().into_bytes(),
            self.header.clone(),
            self.check_value.clone(),
            self.nonce.clone(),
            self.wrapped.clone(),
            self.sealed_key.clone(),
            self.row_version.to_be_bytes().to_vec(),
        ]
    }

    fn expected_mac(&self, owner: Owner<'_>, vault_key: &Key) -> Result<[u8; 32], VaultError> {
        let columns = self.columns();
        let parts: Vec<&[u8]> = columns.iter().map(Vec::as_slice).collect();
        Ok(*crypto::derive(vault_key, owner.vault_id, "slot", &parts)?.bytes())
    }

    fn expected_sum(&self) -> Result<[u8; 32], VaultError> {
        let columns = self.columns();
        let mut parts: Vec<&[u8]> = columns.iter().map(Vec::as_slice).collect();
        parts.push(&self.mac);
        Ok(crypto::sum(&parts)?)
    }
}

/// What a wrapped private key is bound to. It outlives epochs, so it knows none.
fn private_binding(vault_id: &[u8; 16], slot_id: &[u8]) -> Vec<u8> {
    let (purpose, table, column) = (Purpose::PrivateKey, "slot", "wrapped");
    Binding { purpose, vault_id, table, column, row_id: slot_id, scope_id: &[0; 16], epoch: 0, row_version: 0 }.bytes()
}

impl Header {
    /// `magic 6 | version u16 | kind u8 | vault 16 | slot 16 | KiB u32 | passes u32 | lanes u32 | salt 16 |
    /// host key id 16 | public key 32 | operator u16 + bytes`, numbers big endian.
    fn bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.push(self.kind as u8);
        out.extend_from_slice(&self.vault_id);
        out.extend_from_slice(&self.slot_id);
        for number in [self.cost.memory_kib, self.cost.passes, self.cost.lanes] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.host_key_id);
        out.extend_from_slice(&self.public);
        // Names are at most 64 bytes; see `super::check_name`.
        out.extend_from_slice(&u16::try_from(self.operator.len()).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(self.operator.as_bytes());
        out
    }

    /// Reads exactly what `bytes` writes, and nothing else.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut take = |count: usize| {
            let (part, after) = rest.split_at_checked(count)?;
            rest = after;
            Some(part)
        };
        if take(6)? != MAGIC || take(2)? != VERSION.to_be_bytes() {
            return None;
        }
        let kind = match take(1)? {
            [1] => Kind::Operator,
            [2] => Kind::Recovery,
            [3] => Kind::Host,
            _ => return None,
        };
        let vault_id = take(16)?.try_into().ok()?;
        let slot_id = take(16)?.try_into().ok()?;
        let mut number = || Some(u32::from_be_bytes(take(4)?.try_into().ok()?));
        let cost = Cost { memory_kib: number()?, passes: number()?, lanes: number()? };
        let salt = take(16)?.try_into().ok()?;
        let host_key_id = take(16)?.try_into().ok()?;
        let public = take(PUBLIC)?.try_into().ok()?;
        let length = usize::from(u16::from_be_bytes(take(2)?.try_into().ok()?));
        let operator = String::from_utf8(take(length)?.to_vec()).ok()?;
        let header = Self { kind, vault_id, slot_id, cost, salt, host_key_id, public, operator };
        rest.is_empty().then_some(header)
    }
}

#[cfg(test)]
#[path = "slot_tests.rs"]
mod tests;
